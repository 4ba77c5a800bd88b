/* test_policy_buffer.c - when a buffer of K updates closes, and what its sum is divided by. */
#include "learn/policy.h"

#include "support/check.h"

static const struct trib_policy *const buffer = &trib_policy_buffer;
static const struct trib_policy_memory nothing_observed;

static struct trib_policy_settings usual_settings(void) {
    return (struct trib_policy_settings){.goal = 4,
                                         .concurrency = 7,
                                         .quorum = 2,
                                         .deadline = 60 * TRIB_SECOND,
                                         .divide = TRIB_DIVIDE_GOAL};
}

static struct trib_plan plan_of(struct trib_policy_settings settings) {
    struct trib_policy_view view = {.now = 5 * TRIB_SECOND, .present = 1};
    struct trib_plan plan = {0};
    assert_true(buffer->plan(&settings, &nothing_observed, &view, &plan));
    return plan;
}

static enum trib_verdict verdict(uint32_t received, trib_time_ns now, trib_time_ns *look_again) {
    struct trib_policy_settings settings = usual_settings();
    struct trib_plan plan = plan_of(settings);
    struct trib_policy_view view = {.now = now, .present = 1, .received = received};
    return buffer->judge(&settings, &nothing_observed, &view, &plan, look_again);
}

static void one_client_is_enough_to_begin(void **state) {
    (void)state;
    struct trib_policy_settings settings = usual_settings();
    struct trib_policy_view view = {.present = 0};
    struct trib_plan plan;
    assert_false(buffer->plan(&settings, &nothing_observed, &view, &plan));
    plan = plan_of(settings);
    assert_int_equal(plan.asked, 7);
    assert_int_equal(plan.wanted, 4);
    assert_int_equal(plan.quorum, 2);
    assert_int_equal(plan.deadline, 65 * TRIB_SECOND);
}

static void zero_is_everybody_and_never(void **state) {
    (void)state;
    struct trib_plan plan = plan_of((struct trib_policy_settings){.deadline = TRIB_TIME_NEVER});
    assert_int_equal(plan.asked, UINT32_MAX);
    assert_int_equal(plan.wanted, 1);
    assert_int_equal(plan.quorum, 1);
    assert_int_equal(plan.deadline, TRIB_TIME_NEVER);
}

static void the_goal_closes_it_at_any_time(void **state) {
    (void)state;
    trib_time_ns look_again;
    assert_int_equal(verdict(3, 6 * TRIB_SECOND, &look_again), TRIB_VERDICT_WAIT);
    assert_int_equal(look_again, 65 * TRIB_SECOND);
    assert_int_equal(verdict(4, 6 * TRIB_SECOND, &look_again), TRIB_VERDICT_CLOSE);
    assert_int_equal(verdict(9, 6 * TRIB_SECOND, &look_again), TRIB_VERDICT_CLOSE);
}

static void the_deadline_closes_it_with_the_quorum(void **state) {
    (void)state;
    trib_time_ns look_again;
    assert_int_equal(verdict(2, 65 * TRIB_SECOND - 1, &look_again), TRIB_VERDICT_WAIT);
    assert_int_equal(verdict(2, 65 * TRIB_SECOND, &look_again), TRIB_VERDICT_CLOSE);
    assert_int_equal(verdict(1, 65 * TRIB_SECOND, &look_again), TRIB_VERDICT_WAIT);
    assert_int_equal(look_again, TRIB_TIME_NEVER); /* only an update changes anything */
}

static void it_declares_what_the_sum_is_divided_by(void **state) {
    (void)state;
    struct trib_policy_settings settings = usual_settings();
    struct trib_policy_needs needs;
    buffer->declare(&settings, &needs);
    assert_int_equal(needs.denominator, TRIB_DENOMINATOR_GOAL);
    assert_true(needs.constant == 4);
    assert_true(needs.keeps_seats && needs.asks_again);
    assert_int_equal(needs.present_min, 1);
    settings.divide = TRIB_DIVIDE_WEIGHT;
    buffer->declare(&settings, &needs);
    assert_int_equal(needs.denominator, TRIB_DENOMINATOR_WEIGHT);
    settings.divide = TRIB_DIVIDE_NONE;
    buffer->declare(&settings, &needs);
    assert_int_equal(needs.denominator, TRIB_DENOMINATOR_CONSTANT);
    assert_true(needs.constant == 1);
}

static void fedasync_is_a_buffer_of_one_that_needs_its_bases(void **state) {
    (void)state;
    const struct trib_policy *async = &trib_policy_async;
    struct trib_policy_settings settings = {.staleness_max = 5, .deadline = TRIB_TIME_NEVER};
    struct trib_policy_needs needs;
    async->declare(&settings, &needs);
    assert_int_equal(needs.base_versions, 6);
    assert_int_equal(needs.updates_max, 1);
    assert_true(needs.pull == TRIB_PULL_SHARE && needs.asks_again && needs.keeps_seats);
    assert_int_equal(needs.denominator, TRIB_DENOMINATOR_CONSTANT);
    struct trib_policy_view view = {.present = 1};
    struct trib_plan plan;
    assert_true(async->plan(&settings, &nothing_observed, &view, &plan));
    assert_int_equal(plan.wanted, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_client_is_enough_to_begin),
        cmocka_unit_test(zero_is_everybody_and_never),
        cmocka_unit_test(the_goal_closes_it_at_any_time),
        cmocka_unit_test(the_deadline_closes_it_with_the_quorum),
        cmocka_unit_test(fedasync_is_a_buffer_of_one_that_needs_its_bases),
        cmocka_unit_test(it_declares_what_the_sum_is_divided_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
