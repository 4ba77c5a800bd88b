/* compass.c - FedCompass on the heart with an instant node, against the log of the authors'
 * scheduler: tests/vectors/fedcompass.json.
 *
 * Four clients of different speed, one of which slows down for a while; 700 virtual seconds. Every
 * job must start and end when it does there and have as many steps, and every version must have the
 * same value. The model is one number, w; what a client adds to it is known from its steps.
 *
 * Once in the log a client is late, and then in time before its late update has been counted. The
 * authors keep one update of a client in a version and lose the late one; here both count. So what
 * is compared with their value is the sum without it. */
#include <math.h>
#include <string.h>

#include "learn/vectors.h"
#include "run/run.h"
#include "support/check.h"

#define CLIENTS 4
#define JOBS_MAX 64
#define SLOTS_MAX 64
#define LOG_TOLERANCE 1e-9 /* of the vectors */

struct job {
    uint32_t client, steps;
    trib_time_ns start, end;
    char task[32];
    trib_version base;
    bool is_done;
};

struct fleet {
    struct trib_spec *spec;
    struct trib_run *run;
    trib_time_ns now;
    struct job jobs[JOBS_MAX];
    uint32_t job_count;
    uint32_t sent_by[SLOTS_MAX]; /* slot -> job */
    double w;                    /* as in the log */
    double parts[CLIENTS]; /* of the version in the making: the newest update of each client */
    uint32_t part_count[CLIENTS], lost_count; /* updates; those that the log lost */
    const json_t *events;                     /* of the log */
    size_t next_event;
};

static const char *const names[CLIENTS] = {"dev-0", "dev-1", "dev-2", "dev-3"};

static double seconds(trib_time_ns time) {
    return (double)time / TRIB_SECOND;
}

static double seconds_per_step(uint32_t client, trib_time_ns start) {
    static const double usual[CLIENTS] = {1, 2, 0.5, 4};
    bool is_slow = client == 2 && start >= 150 * TRIB_SECOND && start < 330 * TRIB_SECOND;
    return is_slow ? 1.5 : usual[client];
}

/* A request is the number of its client, plus one. */
static void take_task(struct fleet *fleet, const struct trib_effect *effect) {
    const struct trib_task *task = &effect->task;
    assert_int_equal(task->kind, TRIB_TASK_TRAIN);
    assert_true(fleet->job_count < JOBS_MAX);
    struct job *job = &fleet->jobs[fleet->job_count++];
    *job = (struct job){.client = (uint32_t)effect->request - 1,
                        .steps = task->steps,
                        .start = fleet->now,
                        .base = task->version};
    memcpy(job->task, task->id, sizeof job->task);
    double length = task->steps * seconds_per_step(job->client, job->start);
    job->end = job->start + (trib_time_ns)llround(length * TRIB_SECOND);
}

/* The log's next event that made a version. */
static const json_t *next_version(struct fleet *fleet) {
    const json_t *event;
    while ((event = json_array_get(fleet->events, fleet->next_event++)) != NULL) {
        if (json_object_get(event, "w"))
            return event;
    }
    return NULL;
}

static void fold(struct fleet *fleet, const struct trib_effect *effect) {
    const struct job *job = &fleet->jobs[fleet->sent_by[effect->slot]];
    double share = pow(1 + (double)effect->staleness, -0.5);
    assert_int_equal(effect->weight, lround(65536 * share));
    /* They are folded in the order of their arrival. */
    fleet->lost_count += fleet->part_count[job->client]++ > 0;
    fleet->parts[job->client] = share * 0.01 * (job->client + 1) * job->steps;
}

static void publish(struct fleet *fleet, const struct trib_effect *effect) {
    const struct trib_spec_strategy *strategy = &fleet->spec->strategy;
    for (uint32_t client = 0; client < CLIENTS; client++)
        fleet->w += strategy->optimizer.lr * fleet->parts[client] / strategy->denominator_constant;
    memset(fleet->parts, 0, sizeof fleet->parts);
    memset(fleet->part_count, 0, sizeof fleet->part_count);
    const json_t *event = next_version(fleet);
    assert_non_null(event);
    assert_int_equal(effect->version, (trib_version)vectors_number(event, "version"));
    assert_true(fabs(seconds(fleet->now) - vectors_number(event, "t")) <= LOG_TOLERANCE);
    assert_true(fabs(fleet->w - vectors_number(event, "w")) <= LOG_TOLERANCE);
}

static void step(struct fleet *fleet, struct trib_event event);

/* The node does at once whatever it is told. */
static void carry_out(struct fleet *fleet, const struct trib_effect *effect) {
    struct trib_event done = {.slot = effect->slot, .version = effect->version};
    switch (effect->kind) {
    case TRIB_EFFECT_TASK:
        take_task(fleet, effect);
        return;
    case TRIB_EFFECT_PUBLISH:
        publish(fleet, effect);
        return;
    case TRIB_EFFECT_SPOOL:
        assert_int_equal(effect->weight, 0);
        done.kind = TRIB_EVENT_SPOOLED;
        break;
    case TRIB_EFFECT_FOLD:
        fold(fleet, effect);
        done.kind = TRIB_EVENT_FOLDED;
        break;
    case TRIB_EFFECT_MERGE:
        done.kind = TRIB_EVENT_MERGED;
        break;
    case TRIB_EFFECT_PERSIST:
        done.kind = TRIB_EVENT_PERSISTED;
        break;
    default:
        assert_true(effect->kind != TRIB_EFFECT_REFUSE);
        return;
    }
    step(fleet, done);
}

static void step(struct fleet *fleet, struct trib_event event) {
    struct trib_effects effects;
    event.now = fleet->now;
    trib_run_step(fleet->run, &event, &effects);
    for (uint32_t index = 0; index < effects.count; index++)
        carry_out(fleet, &effects.items[index]);
}

static void ask(struct fleet *fleet, uint32_t client, enum trib_event_kind kind) {
    step(fleet, (struct trib_event){.kind = kind,
                                    .request = client + 1,
                                    .client = names[client],
                                    .wait_until = TRIB_TIME_NEVER});
}

static void send(struct fleet *fleet, struct job *job) {
    struct trib_event event = {.now = fleet->now,
                               .kind = TRIB_EVENT_UPDATE,
                               .request = job->client + 1,
                               .client = names[job->client],
                               .id = job->task,
                               .version = job->base,
                               .examples = 1};
    struct trib_effects effects;
    job->is_done = true;
    trib_run_step(fleet->run, &event, &effects);
    assert_int_equal(effects.items[0].kind, TRIB_EFFECT_SPOOL);
    fleet->sent_by[effects.items[0].slot] = (uint32_t)(job - fleet->jobs);
    carry_out(fleet, &effects.items[0]);
    ask(fleet, job->client, TRIB_EVENT_ASK);
}

/* Arrivals before timers, arrivals in the order in which they were scheduled. */
static bool play_next(struct fleet *fleet, trib_time_ns horizon) {
    struct job *next = NULL;
    for (uint32_t index = 0; index < fleet->job_count; index++) {
        struct job *job = &fleet->jobs[index];
        if (!job->is_done && (!next || job->end < next->end))
            next = job;
    }
    trib_time_ns deadline = trib_run_deadline(fleet->run);
    bool is_arrival = next && next->end <= deadline;
    trib_time_ns now = is_arrival ? next->end : deadline;
    if (now > horizon)
        return false;
    fleet->now = now;
    if (is_arrival)
        send(fleet, next);
    else
        step(fleet, (struct trib_event){.kind = TRIB_EVENT_TICK});
    return true;
}

static const struct job *find_job(const struct fleet *fleet, uint32_t client, double start) {
    for (uint32_t index = 0; index < fleet->job_count; index++) {
        const struct job *job = &fleet->jobs[index];
        if (job->client == client && fabs(seconds(job->start) - start) <= LOG_TOLERANCE)
            return job;
    }
    return NULL;
}

/* Jobs that start at the same time are in no order: each client hears of its own. */
static void check_jobs(const struct fleet *fleet, const json_t *jobs) {
    assert_int_equal(fleet->job_count, json_array_size(jobs));
    for (size_t index = 0; index < json_array_size(jobs); index++) {
        const json_t *logged = json_array_get(jobs, index);
        const struct job *job = find_job(fleet, (uint32_t)vectors_number(logged, "client"),
                                         vectors_number(logged, "start"));
        assert_non_null(job);
        assert_int_equal(job->steps, vectors_number(logged, "steps"));
        assert_true(fabs(seconds(job->end) - vectors_number(logged, "end")) <= LOG_TOLERANCE);
    }
}

static void the_authors_log_is_met_job_by_job(void **state) {
    (void)state;
    json_t *file = vectors_load("fedcompass.json");
    const json_t *item = vectors_case(file, "four_clients_700s");
    struct fleet fleet = {.events = vectors_at(item, "outputs.events")};
    json_t *document =
        json_pack("{s:s, s:{}, s:{s:s, s:i}, s:s, s:i, s:{s:i}}", "name", "compass", "model",
                  "strategy", "preset", "fedcompass", "clients", CLIENTS, "lease", "1h",
                  "updates_pending_max", SLOTS_MAX, "evaluate", "every", 0);
    struct trib_error error = {0};
    assert_int_equal(trib_spec_parse(trib_env_system(), document, &fleet.spec, &error), TRIB_OK);
    json_decref(document);
    assert_int_equal(fleet.spec->strategy.steps_min, vectors_number(item, "inputs.qmin"));
    assert_int_equal(fleet.spec->strategy.steps_max, vectors_number(item, "inputs.qmax"));
    assert_true(fleet.spec->strategy.slack == vectors_number(item, "inputs.lam"));
    assert_true(fleet.spec->strategy.speed_beta == vectors_number(item, "inputs.beta"));
    assert_true(fleet.spec->strategy.optimizer.lr == vectors_number(item, "inputs.alpha"));
    fleet.run =
        trib_run_new(trib_env_system(), fleet.spec, &(struct trib_run_limits){.accumulators = 2});
    assert_non_null(fleet.run);

    step(&fleet, (struct trib_event){.kind = TRIB_EVENT_MODEL});
    for (uint32_t client = 0; client < CLIENTS; client++) {
        ask(&fleet, client, TRIB_EVENT_JOIN);
        ask(&fleet, client, TRIB_EVENT_ASK);
    }
    while (play_next(&fleet, 700 * TRIB_SECOND))
        continue;
    check_jobs(&fleet, vectors_at(item, "outputs.jobs"));
    assert_null(next_version(&fleet));
    assert_int_equal(fleet.lost_count, 1);
    assert_true(fabs(fleet.w - vectors_number(item, "outputs.final_w")) <= LOG_TOLERANCE);

    trib_run_free(fleet.run);
    trib_spec_free(fleet.spec);
    json_decref(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_authors_log_is_met_job_by_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
