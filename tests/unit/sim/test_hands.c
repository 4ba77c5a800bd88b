/* test_hands.c - every job is done once, the urgent ones first, by as many hands as there are. */
#include "sim/hands.h"

#include <stdatomic.h>

#include "support/check.h"
#include "support/env_faulty.h"

#define JOBS 300

struct bench {
    _Atomic uint32_t done[JOBS];
    _Atomic uint32_t order;
    uint32_t order_of[JOBS];
    _Atomic uint32_t at_once, most_at_once;
};

static void work(void *context, uint32_t job, uint32_t hand) {
    struct bench *bench = context;
    (void)hand;
    uint32_t now = atomic_fetch_add(&bench->at_once, 1) + 1;
    if (now > atomic_load(&bench->most_at_once)) {
        atomic_store(&bench->most_at_once, now);
    }
    atomic_fetch_add(&bench->done[job], 1);
    bench->order_of[job] = atomic_fetch_add(&bench->order, 1);
    atomic_fetch_sub(&bench->at_once, 1);
}

static void all_jobs_are_done_once(uint32_t hand_count) {
    static struct bench bench;
    bench = (struct bench){0};
    struct trib_hands *hands;
    assert_int_equal(trib_hands_new(trib_env_system(), hand_count, JOBS, 8, work, &bench, &hands),
                     TRIB_OK);
    for (uint32_t job = 0; job < JOBS; job++) {
        trib_hands_give(hands, job, JOBS - job);
    }
    for (uint32_t job = 0; job < JOBS; job++) { /* the latest first: nobody waits for ever */
        trib_hands_take(hands, job);
        assert_int_equal(bench.done[job], 1);
    }
    assert_true(bench.most_at_once <= hand_count);
    trib_hands_give(hands, 7, 0); /* the same number again */
    trib_hands_take(hands, 7);
    assert_int_equal(bench.done[7], 2);
    trib_hands_free(hands);
}

static void one_hand_does_everything(void **state) {
    (void)state;
    all_jobs_are_done_once(1);
}

static void many_hands_do_everything(void **state) {
    (void)state;
    all_jobs_are_done_once(4);
}

/* With one hand nothing is done before it is asked for. */
static void what_is_dropped_in_time_is_never_done(void **state) {
    (void)state;
    static struct bench bench;
    bench = (struct bench){0};
    struct trib_hands *hands;
    assert_int_equal(trib_hands_new(trib_env_system(), 1, JOBS, 8, work, &bench, &hands), TRIB_OK);
    trib_hands_give(hands, 1, 5);
    trib_hands_give(hands, 2, 6);
    assert_false(trib_hands_drop(hands, 1));
    assert_false(trib_hands_drop(hands, 3)); /* never given */
    trib_hands_take(hands, 2);
    assert_int_equal(bench.done[1], 0);
    trib_hands_free(hands);
}

/* More results than may lie about are not worked out before they are asked for. */
static void nobody_goes_too_far_ahead(void **state) {
    (void)state;
    static struct bench bench;
    bench = (struct bench){0};
    struct trib_hands *hands;
    assert_int_equal(trib_hands_new(trib_env_system(), 3, JOBS, 5, work, &bench, &hands), TRIB_OK);
    for (uint32_t job = 0; job < JOBS; job++) {
        trib_hands_give(hands, job, job);
    }
    for (uint32_t job = 0; job < JOBS; job++) {
        trib_hands_take(hands, job);
        assert_true(bench.order_of[job] <= job + 5);
    }
    trib_hands_free(hands);
}

static void an_end_comes_with_jobs_left(void **state) {
    (void)state;
    static struct bench bench;
    bench = (struct bench){0};
    struct trib_hands *hands;
    assert_int_equal(trib_hands_new(trib_env_system(), 2, JOBS, 5, work, &bench, &hands), TRIB_OK);
    for (uint32_t job = 0; job < JOBS; job++) {
        trib_hands_give(hands, job, 0);
    }
    trib_hands_free(hands);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_hands *hands = NULL;
    enum trib_status status = TRIB_EMEMORY;
    for (uint64_t nth = 1; status == TRIB_EMEMORY; nth++) {
        trib_env_faulty_fail(&faulty, nth);
        status = trib_hands_new(&faulty.env, 2, JOBS, 5, work, NULL, &hands);
    }
    assert_int_equal(status, TRIB_OK);
    trib_hands_free(hands);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_hand_does_everything),
        cmocka_unit_test(many_hands_do_everything),
        cmocka_unit_test(what_is_dropped_in_time_is_never_done),
        cmocka_unit_test(nobody_goes_too_far_ahead),
        cmocka_unit_test(an_end_comes_with_jobs_left),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
