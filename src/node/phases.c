/* phases.c - one job in three steps on worker threads: prepare once, parts side by side, finish once. */
#include "node/phases.h"

#define RANGE_STEP UINT64_C(1024)

static void note(struct trib_phases *phases, enum trib_status status) {
    int expected = TRIB_OK;
    if (status != TRIB_OK) {
        (void)atomic_compare_exchange_strong(&phases->status, &expected, (int)status);
    }
}

static bool is_sound(struct trib_phases *phases) {
    return atomic_load(&phases->status) == TRIB_OK;
}

static void run_prepare(void *context) {
    struct trib_phases *phases = context;
    if (phases->prepare != NULL) {
        note(phases, phases->prepare(phases->context));
    }
}

static void run_part(void *context) {
    struct trib_phases *phases = context;
    uint32_t part = atomic_fetch_add(&phases->next_part, 1);
    if (is_sound(phases)) {
        note(phases, phases->part(phases->context, part, phases->part_count));
    }
}

static void run_finish(void *context) {
    struct trib_phases *phases = context;
    if (phases->finish != NULL && is_sound(phases)) {
        note(phases, phases->finish(phases->context));
    }
}

static void run_all(void *context) {
    run_prepare(context);
    run_part(context);
    run_finish(context);
}

static void end_job(void *context) {
    struct trib_phases *phases = context;
    phases->done(phases->context, (enum trib_status)atomic_load(&phases->status));
}

static void submit(struct trib_phases *phases, void (*work)(void *), void (*done)(void *)) {
    if (trib_share_submit(phases->share, work, done, phases) != TRIB_OK) {
        work(phases);
        done(phases);
    }
}

static void part_done(void *context) {
    struct trib_phases *phases = context;
    if (--phases->parts_under_way == 0) {
        submit(phases, run_finish, end_job);
    }
}

static void start_parts(void *context) {
    struct trib_phases *phases = context;
    if (!is_sound(phases)) {
        end_job(phases);
        return;
    }
    uint32_t part_count = phases->part_count; /* done may free the job during the last submit */
    phases->parts_under_way = part_count;
    for (uint32_t i = 0; i < part_count; i++) {
        submit(phases, run_part, part_done);
    }
}

void trib_phases_start(struct trib_phases *phases) {
    TRIB_ASSERT(phases->part_count >= 1);
    atomic_store(&phases->next_part, 0);
    atomic_store(&phases->status, TRIB_OK);
    if (phases->part_count == 1) {
        submit(phases, run_all, end_job);
    } else {
        submit(phases, run_prepare, start_parts);
    }
}

void trib_phases_range(uint64_t total, uint32_t part, uint32_t part_count, uint64_t *first,
                       uint64_t *count) {
    uint64_t steps = (total + RANGE_STEP - 1) / RANGE_STEP;
    uint64_t begin = steps * part / part_count * RANGE_STEP;
    uint64_t end = steps * (part + 1) / part_count * RANGE_STEP;
    *first = begin < total ? begin : total;
    *count = (end < total ? end : total) - *first;
}
