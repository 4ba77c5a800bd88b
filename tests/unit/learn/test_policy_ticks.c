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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_trains_until_the_tick),
        cmocka_unit_test(only_the_tick_closes_a_buffer),
        cmocka_unit_test(a_tick_without_its_quorum_is_skipped),
        cmocka_unit_test(clients_go_on_but_answer_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
