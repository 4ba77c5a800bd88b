/* test_run.c - what transcripts cannot show: memory, chance, names.
 *
 * The promises themselves are in tests/run/: transcripts and random worlds. */
#include "run/run.h"

#include <math.h>
#include <stdio.h>

#include "base/random.h"
#include "learn/policy.h"
#include "support/check.h"
#include "support/env_faulty.h"

static struct trib_spec usual_spec(void) {
    return (struct trib_spec){
        .name = "unit",
        .seed = 1,
        .strategy = {.policy = trib_policy_find("rounds"),
                     .fraction = 0.2,
                     .quorum = 1,
                     .deadline = 60 * TRIB_SECOND,
                     .first_deadline = 60 * TRIB_SECOND,
                     .weight_max = 1000,
                     .weight_total_max = 100000,
                     .staleness_table = {1}},
        .stop = {.target = (double)NAN},
        .lease = 600 * TRIB_SECOND,
        .clients_max = 1000,
        .updates_pending_max = 16,
    };
}

static struct trib_effects effects;

static void join(struct trib_run *run, trib_request request, const char *client) {
    struct trib_event event = {.kind = TRIB_EVENT_JOIN, .request = request, .client = client};
    trib_run_step(run, &event, &effects);
    assert_int_equal(effects.count, 1);
    assert_int_equal(effects.items[0].kind, TRIB_EFFECT_JOINED);
}

/* Which of 50 clients, joined in the given order, are asked for version 1. */
static void choose_cohort(uint64_t seed, const uint32_t *order, bool *is_asked) {
    struct trib_spec spec = usual_spec();
    struct trib_run_limits limits = {.accumulators = 1};
    spec.seed = seed;
    struct trib_run *run = trib_run_new(trib_env_system(), &spec, &limits);
    char name[16];
    for (uint32_t place = 0; place < 50; place++) {
        snprintf(name, sizeof name, "dev-%u", order[place]);
        join(run, place + 1, name);
    }
    struct trib_event event = {.kind = TRIB_EVENT_MODEL};
    trib_run_step(run, &event, &effects);
    for (uint32_t index = 0; index < 50; index++) {
        snprintf(name, sizeof name, "dev-%u", index);
        event = (struct trib_event){.kind = TRIB_EVENT_ASK, .request = 100 + index, .client = name};
        trib_run_step(run, &event, &effects);
        assert_int_equal(effects.count, 1);
        is_asked[index] = effects.items[0].task.kind == TRIB_TASK_TRAIN;
    }
    trib_run_free(run);
}

static void a_cohort_does_not_depend_on_the_order_of_joins(void **state) {
    (void)state;
    uint32_t order[50];
    bool in_order[50], shuffled[50];
    struct trib_random random;
    trib_random_init(&random, 3);
    for (uint32_t index = 0; index < 50; index++)
        order[index] = index;
    choose_cohort(7, order, in_order);
    trib_random_shuffle(&random, order, 50);
    choose_cohort(7, order, shuffled);
    assert_memory_equal(in_order, shuffled, sizeof in_order);
    choose_cohort(8, order, shuffled);
    assert_memory_not_equal(in_order, shuffled, sizeof in_order);
}

/* 2000 cohorts of 10 out of 50: each client is in 400 of them, give or take 5 standard deviations
 * (sqrt(2000 * 0.2 * 0.8) = 17.9). */
static void every_client_is_as_likely_as_any_other(void **state) {
    (void)state;
    uint32_t order[50], chosen[50] = {0};
    for (uint32_t index = 0; index < 50; index++)
        order[index] = index;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        bool is_asked[50];
        uint32_t cohort = 0;
        choose_cohort(seed, order, is_asked);
        for (uint32_t index = 0; index < 50; index++) {
            chosen[index] += is_asked[index];
            cohort += is_asked[index];
        }
        assert_int_equal(cohort, 10);
    }
    for (uint32_t index = 0; index < 50; index++)
        assert_in_range(chosen[index], 400 - 90, 400 + 90);
}

static void a_run_without_memory_is_no_run(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_spec spec = usual_spec();
    struct trib_run_limits limits = {.accumulators = 2};
    trib_env_faulty_init(&faulty);
    struct trib_run *run = NULL;
    for (uint64_t nth = 1; !run; nth++) {
        assert_int_equal(faulty.blocks_live, 0);
        trib_env_faulty_fail(&faulty, nth);
        run = trib_run_new(&faulty.env, &spec, &limits);
        assert_int_equal(run == NULL, faulty.has_failed);
    }
    trib_run_free(run);
    trib_run_free(NULL);
    trib_env_faulty_deinit(&faulty);
}

static bool has_kind(enum trib_effect_kind kind) {
    for (uint32_t index = 0; index < effects.count; index++) {
        if (effects.items[index].kind == kind)
            return true;
    }
    return false;
}

/* Each allocation of a round of 40 clients fails once. Whoever is refused for it asks again, and
 * the round comes to its end as if nothing had happened. */
static void steps_without_memory_refuse_and_go_on(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_spec spec = usual_spec();
    struct trib_run_limits limits = {.accumulators = 2};
    spec.strategy.fraction = 1;
    spec.updates_pending_max = 64;
    trib_env_faulty_init(&faulty);
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct trib_run *run = trib_run_new(&faulty.env, &spec, &limits);
        trib_request request = 0;
        trib_env_faulty_fail(&faulty, nth);
        for (uint32_t index = 0; index < 40; index++) {
            char name[16];
            snprintf(name, sizeof name, "dev-%u", index);
            struct trib_event event = {.kind = TRIB_EVENT_JOIN, .client = name, .id = "u1"};
            for (event.request = ++request;; event.request = ++request) {
                trib_run_step(run, &event, &effects);
                assert_int_equal(effects.count, 1);
                if (effects.items[0].kind == TRIB_EFFECT_JOINED)
                    break;
                assert_int_equal(effects.items[0].refusal, TRIB_REFUSE_FULL);
            }
            event.kind = TRIB_EVENT_ASK;
            event.wait_until = 100;
            event.request = ++request;
            trib_run_step(run, &event, &effects);
            /* Parked, or told at once that it cannot be. */
            assert_true(effects.count == 0 || effects.items[0].task.kind == TRIB_TASK_WAIT);
        }
        struct trib_event event = {.kind = TRIB_EVENT_MODEL};
        trib_run_step(run, &event, &effects);
        for (uint32_t index = 0; index < 40; index++) {
            char name[16];
            snprintf(name, sizeof name, "dev-%u", index);
            event = (struct trib_event){
                .kind = TRIB_EVENT_UPDATE, .client = name, .id = "u1", .examples = 1};
            for (event.request = ++request;; event.request = ++request) {
                trib_run_step(run, &event, &effects);
                assert_int_equal(effects.count, 1);
                if (effects.items[0].kind == TRIB_EFFECT_SPOOL)
                    break;
                assert_int_equal(effects.items[0].refusal, TRIB_REFUSE_BUSY);
            }
            event = (struct trib_event){.kind = TRIB_EVENT_SPOOLED, .slot = effects.items[0].slot};
            trib_run_step(run, &event, &effects);
            assert_true(has_kind(TRIB_EFFECT_ACKNOWLEDGE) && has_kind(TRIB_EFFECT_FOLD));
            event.kind = TRIB_EVENT_FOLDED;
            trib_run_step(run, &event, &effects);
        }
        assert_true(has_kind(TRIB_EFFECT_MERGE));
        has_failed = faulty.has_failed;
        trib_run_free(run);
        assert_int_equal(faulty.blocks_live, 0);
    }
    trib_env_faulty_deinit(&faulty);
}

static void every_state_and_refusal_has_a_name(void **state) {
    (void)state;
    for (int code = TRIB_REFUSE_NONE; code <= TRIB_REFUSE_VERSION; code++)
        assert_true(trib_refusal_code((enum trib_refusal)code)[0] != 0);
    assert_string_equal(trib_refusal_code(TRIB_REFUSE_STALE), "stale");
    assert_string_equal(trib_refusal_code((enum trib_refusal)99), "unknown");
    for (int each = TRIB_RUN_AWAITING_MODEL; each <= TRIB_RUN_FAILED; each++)
        assert_true(trib_run_state_name((enum trib_run_state)each)[0] != 0);
    assert_string_equal(trib_run_state_name(TRIB_RUN_AWAITING_MODEL), "awaiting_model");
}

static void those_set_aside_are_named(void **state) {
    (void)state;
    struct trib_spec spec = usual_spec();
    struct trib_run_limits limits = {.accumulators = 1};
    struct trib_run *run = trib_run_new(trib_env_system(), &spec, &limits);
    join(run, 1, "dev-1");
    join(run, 2, "dev-2");
    struct trib_event event = {.kind = TRIB_EVENT_MODEL};
    trib_run_step(run, &event, &effects);
    assert_null(trib_run_set_aside(run, 0));
    event = (struct trib_event){.kind = TRIB_EVENT_OFFER, .client = "dev-2", .id = "u1"};
    for (event.request = 3; event.request < 6; event.request++)
        trib_run_step(run, &event, &effects);
    assert_string_equal(trib_run_set_aside(run, 0), "dev-2");
    assert_null(trib_run_set_aside(run, 1));
    trib_run_free(run);
}

static void a_clock_that_goes_back_is_not_followed(void **state) {
    (void)state;
    struct trib_spec spec = usual_spec();
    struct trib_run_limits limits = {.accumulators = 1};
    struct trib_run *run = trib_run_new(trib_env_system(), &spec, &limits);
    assert_int_equal(trib_run_deadline(run), TRIB_TIME_NEVER);
    struct trib_event event = {
        .kind = TRIB_EVENT_JOIN, .now = 1000 * TRIB_SECOND, .request = 1, .client = "dev-1"};
    trib_run_step(run, &event, &effects);
    assert_int_equal(trib_run_deadline(run), 1600 * TRIB_SECOND);
    event = (struct trib_event){.kind = TRIB_EVENT_ALIVE, .now = 5, .client = "dev-1"};
    trib_run_step(run, &event, &effects);
    assert_int_equal(trib_run_deadline(run), 1600 * TRIB_SECOND);
    trib_run_free(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cohort_does_not_depend_on_the_order_of_joins),
        cmocka_unit_test(every_client_is_as_likely_as_any_other),
        cmocka_unit_test(a_run_without_memory_is_no_run),
        cmocka_unit_test(steps_without_memory_refuse_and_go_on),
        cmocka_unit_test(every_state_and_refusal_has_a_name),
        cmocka_unit_test(those_set_aside_are_named),
        cmocka_unit_test(a_clock_that_goes_back_is_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
