/* test_policy_ticks.c - the clock that makes versions. */
#include "learn/policy.h"

#include "support/check.h"

static const struct trib_policy *const ticks = &trib_policy_ticks;
static const struct trib_policy_memory nothing_observed;
static const struct trib_policy_settings settings = {.tick = 10 * TRIB_SECOND, .quorum = 2};

static struct trib_plan plan_at(trib_time_ns now) {
    struct trib_policy_view view = {.now = now, .present = 3};
    struct trib_plan plan = {0};
    assert_true(ticks->plan(&settings, &nothing_observed, &view, &plan));
    return plan;
}

static enum trib_verdict judge(struct trib_plan *plan, uint32_t received, trib_time_ns now,
                               trib_time_ns *look_again) {
    struct trib_policy_view view = {.now = now, .present = 3, .received = received};
    return ticks->judge(&settings, &nothing_observed, &view, plan, look_again);
}

static void everybody_trains_until_the_tick(void **state) {
    (void)state;
    struct trib_plan plan = plan_at(5 * TRIB_SECOND);
    assert_int_equal(plan.asked, UINT32_MAX);
    assert_int_equal(plan.wanted, UINT32_MAX);
    assert_int_equal(plan.deadline, 15 * TRIB_SECOND);
    struct trib_policy_view nobody = {.present = 0};
    assert_false(ticks->plan(&settings, &nothing_observed, &nobody, &plan));
}

static void only_the_tick_closes_a_buffer(void **state) {
    (void)state;
    struct trib_plan plan = plan_at(0);
    trib_time_ns look_again;
    assert_int_equal(judge(&plan, 100, 9 * TRIB_SECOND, &look_again), TRIB_VERDICT_WAIT);
    assert_int_equal(look_again, 10 * TRIB_SECOND);
    assert_int_equal(judge(&plan, 2, 10 * TRIB_SECOND, &look_again), TRIB_VERDICT_CLOSE);
}

static void a_tick_without_its_quorum_is_skipped(void **state) {
    (void)state;
    struct trib_plan plan = plan_at(0);
    trib_time_ns look_again;
    assert_int_equal(judge(&plan, 1, 10 * TRIB_SECOND, &look_again), TRIB_VERDICT_WAIT);
    assert_int_equal(look_again, 20 * TRIB_SECOND);
    assert_int_equal(judge(&plan, 2, 12 * TRIB_SECOND, &look_again), TRIB_VERDICT_WAIT);
    /* Long after: the clock has gone on in the same steps. */
    assert_int_equal(judge(&plan, 0, 57 * TRIB_SECOND, &look_again), TRIB_VERDICT_WAIT);
    assert_int_equal(look_again, 60 * TRIB_SECOND);
    assert_int_equal(judge(&plan, 5, 61 * TRIB_SECOND, &look_again), TRIB_VERDICT_CLOSE);
}

static void clients_go_on_but_answer_once(void **state) {
    (void)state;
    struct trib_policy_needs needs;
    ticks->declare(&settings, &needs);
    assert_true(needs.keeps_seats && !needs.asks_again);
    assert_int_equal(needs.denominator, TRIB_DENOMINATOR_WEIGHT);
    struct trib_policy_settings sum = settings;
    sum.divide = TRIB_DIVIDE_NONE;
    ticks->declare(&sum, &needs);
    assert_int_equal(needs.denominator, TRIB_DENOMINATOR_CONSTANT);
    assert_true(needs.constant == 1);
}

/* --- contacts --- */

static const struct trib_policy_settings calls = {.seed = 7,
                                                  .tick = 10 * TRIB_SECOND,
                                                  .fraction = 0.25,
                                                  .staleness_max = 40,
                                                  .divide = TRIB_DIVIDE_BOTH};

/* Ticks from being asked to being counted; a call is half a tick before. */
static uint32_t draw(const struct trib_policy_settings *drawn, struct trib_policy_memory *memory) {
    struct trib_assignment task;
    trib_policy_contacts.assign(drawn, memory, 0, TRIB_SECOND, &task);
    assert_int_equal(task.steps, 0);
    trib_time_ns halves = (task.expected_by - TRIB_SECOND) / (drawn->tick / 2);
    assert_int_equal(task.expected_by, TRIB_SECOND + halves * (drawn->tick / 2));
    assert_int_equal(halves % 2, 1);
    return (uint32_t)(halves + 1) / 2;
}

/* Geometric with mean 1 / C: the standard error of the mean of n is sqrt(1 - C) / (C sqrt(n)). */
static void a_client_is_called_with_probability_c_in_each_tick(void **state) {
    (void)state;
    enum { DRAWS = 20000 };
    struct trib_policy_memory memory = {0};
    uint32_t sum = 0, first = 0;
    for (int n = 0; n < DRAWS; n++) {
        uint32_t wait = draw(&calls, &memory);
        assert_in_range(wait, 1, calls.staleness_max);
        sum += wait;
        first += wait == 1;
    }
    assert_in_range(sum, 3.88 * DRAWS, 4.12 * DRAWS);
    assert_in_range(first, 0.24 * DRAWS, 0.26 * DRAWS);
    struct trib_policy_settings all = calls, few = calls;
    all.fraction = 1;
    assert_int_equal(draw(&all, &memory), 1);
    few.fraction = 1e-9;
    assert_int_equal(draw(&few, &memory), few.staleness_max); /* its base is still at hand */
    few.tick = TRIB_TIME_NEVER / 2;
    struct trib_assignment task;
    trib_policy_contacts.assign(&few, &memory, 0, TRIB_SECOND, &task);
    assert_int_equal(task.expected_by, TRIB_TIME_NEVER);
}

static void contacts_average_models(void **state) {
    (void)state;
    struct trib_policy_needs needs;
    trib_policy_contacts.declare(&calls, &needs);
    assert_int_equal(needs.denominator, TRIB_DENOMINATOR_BOTH);
    assert_int_equal(needs.pull, TRIB_PULL_MODELS);
    assert_int_equal(needs.base_versions, 41);
    assert_true(needs.keeps_seats && !needs.asks_again);
    struct trib_policy_settings mean = calls;
    mean.divide = TRIB_DIVIDE_WEIGHT;
    trib_policy_contacts.declare(&mean, &needs);
    assert_int_equal(needs.denominator, TRIB_DENOMINATOR_WEIGHT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_trains_until_the_tick),
        cmocka_unit_test(only_the_tick_closes_a_buffer),
        cmocka_unit_test(a_tick_without_its_quorum_is_skipped),
        cmocka_unit_test(clients_go_on_but_answer_once),
        cmocka_unit_test(a_client_is_called_with_probability_c_in_each_tick),
        cmocka_unit_test(contacts_average_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
