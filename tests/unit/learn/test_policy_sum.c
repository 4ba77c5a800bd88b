/* test_policy_sum.c - a sum waits for enough clients, and for all that were asked. */
#include "learn/policy.h"

#include "support/check.h"

static const struct trib_policy_settings settings = {.quorum = 3};
static const struct trib_policy_memory nothing_observed;

static enum trib_verdict judge(uint32_t received, uint32_t training, uint32_t writing) {
    struct trib_plan plan;
    trib_time_ns look_again;
    struct trib_policy_view view = {
        .present = 5, .received = received, .training = training, .writing = writing};
    assert_true(trib_policy_sum.plan(&settings, &nothing_observed, &view, &plan));
    assert_int_equal(plan.asked, UINT32_MAX);
    assert_int_equal(plan.deadline, TRIB_TIME_NEVER);
    enum trib_verdict verdict =
        trib_policy_sum.judge(&settings, &nothing_observed, &view, &plan, &look_again);
    assert_int_equal(look_again, TRIB_TIME_NEVER);
    return verdict;
}

static void nothing_is_made_of_fewer_than_the_quorum(void **state) {
    (void)state;
    assert_int_equal(judge(2, 0, 0), TRIB_VERDICT_WAIT);
    assert_int_equal(judge(3, 0, 0), TRIB_VERDICT_CLOSE);
    assert_int_equal(judge(5, 0, 0), TRIB_VERDICT_CLOSE);
}

static void whoever_was_asked_is_waited_for(void **state) {
    (void)state;
    assert_int_equal(judge(4, 1, 0), TRIB_VERDICT_WAIT);
    assert_int_equal(judge(4, 0, 1), TRIB_VERDICT_WAIT);
}

static void it_begins_with_the_quorum(void **state) {
    (void)state;
    struct trib_plan plan;
    struct trib_policy_view view = {.present = 2};
    assert_false(trib_policy_sum.plan(&settings, &nothing_observed, &view, &plan));
}

static void it_is_a_plain_sum_with_each_client_once(void **state) {
    (void)state;
    struct trib_policy_needs needs;
    trib_policy_sum.declare(&settings, &needs);
    assert_int_equal(needs.denominator, TRIB_DENOMINATOR_CONSTANT);
    assert_true(needs.constant == 1);
    assert_true(needs.is_once);
    assert_int_equal(needs.present_min, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_made_of_fewer_than_the_quorum),
        cmocka_unit_test(whoever_was_asked_is_waited_for),
        cmocka_unit_test(it_begins_with_the_quorum),
        cmocka_unit_test(it_is_a_plain_sum_with_each_client_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
