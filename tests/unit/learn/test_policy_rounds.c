/* test_policy_rounds.c - when a round is planned, how large it is and when it ends. */
#include "learn/policy.h"

#include "support/check.h"

static const struct trib_policy *const rounds = &trib_policy_rounds;

static struct trib_policy_settings usual_settings(void) {
    return (struct trib_policy_settings){.fraction = 1,
                                         .quorum = 3,
                                         .deadline = 60 * TRIB_SECOND,
                                         .first_deadline = 3600 * TRIB_SECOND,
                                         .if_short = TRIB_POLICY_SHORT_WAIT};
}

static const struct trib_policy_memory nothing_observed;

static struct trib_plan plan_of(struct trib_policy_settings settings, uint32_t present) {
    struct trib_policy_view view = {.now = 5 * TRIB_SECOND, .present = present};
    struct trib_plan plan = {0};
    assert_true(rounds->plan(&settings, &nothing_observed, &view, &plan));
    return plan;
}

static void a_round_waits_for_its_quorum_of_trainers(void **state) {
    (void)state;
    struct trib_policy_settings settings = usual_settings();
    struct trib_policy_view view = {.present = 2};
    struct trib_plan plan;
    assert_false(rounds->plan(&settings, &nothing_observed, &view, &plan));
    view.present = 3;
    assert_true(rounds->plan(&settings, &nothing_observed, &view, &plan));
}

static void the_fraction_is_rounded_up_but_not_by_binary_dust(void **state) {
    (void)state;
    struct trib_policy_settings settings = usual_settings();
    settings.quorum = 1;
    settings.fraction = 0.1;
    assert_int_equal(plan_of(settings, 30).wanted, 3); /* 0.1 * 30 = 3.0000000000000004 */
    assert_int_equal(plan_of(settings, 31).wanted, 4);
    assert_int_equal(plan_of(settings, 1).wanted, 1);
    settings.fraction = 0.07;
    for (uint32_t hundreds = 1; hundreds < 10000; hundreds++)
        assert_int_equal(plan_of(settings, hundreds * 100).wanted, hundreds * 7);
}

static void wanted_is_at_least_the_quorum_and_at_most_all(void **state) {
    (void)state;
    struct trib_policy_settings settings = usual_settings();
    settings.fraction = 0.01;
    assert_int_equal(plan_of(settings, 10).wanted, 3);
    assert_int_equal(plan_of(settings, 10).quorum, 3);
    settings.fraction = 1;
    assert_int_equal(plan_of(settings, 10).wanted, 10);
    settings.quorum = 0;
    assert_int_equal(plan_of(settings, 1).quorum, 1);
}

static void over_selection_asks_more_but_only_who_is_there(void **state) {
    (void)state;
    struct trib_policy_settings settings = usual_settings();
    settings.fraction = 0.5;
    settings.over_selection = 0.3;
    struct trib_plan plan = plan_of(settings, 20);
    assert_int_equal(plan.wanted, 10);
    assert_int_equal(plan.asked, 13);
    settings.over_selection = 5;
    assert_int_equal(plan_of(settings, 20).asked, 20);
}

static trib_time_ns deadline_after(const trib_time_ns *durations, size_t count) {
    struct trib_policy_settings settings = usual_settings();
    settings.deadline = -1;
    struct trib_policy_memory memory = {0};
    for (size_t index = 0; index < count; index++)
        rounds->observe(&memory, durations[index]);
    struct trib_policy_view view = {.now = 0, .present = 3};
    struct trib_plan plan;
    assert_true(rounds->plan(&settings, &memory, &view, &plan));
    return plan.deadline;
}

static void the_automatic_deadline_needs_eight_durations(void **state) {
    (void)state;
    trib_time_ns durations[8];
    for (size_t index = 0; index < 8; index++)
        durations[index] = 10 * TRIB_SECOND;
    assert_int_equal(deadline_after(durations, 7), 3600 * TRIB_SECOND);
    assert_int_equal(deadline_after(durations, 8), 20 * TRIB_SECOND);
}

static void the_automatic_deadline_is_the_later_of_median_and_p90(void **state) {
    (void)state;
    trib_time_ns durations[10];
    for (int index = 0; index < 10; index++)
        durations[index] = (index + 1) * TRIB_SECOND; /* median 6, p90 9 */
    assert_int_equal(deadline_after(durations, 10), 12 * TRIB_SECOND);
    durations[8] = 40 * TRIB_SECOND; /* p90 is now 10: the sorted ninth */
    durations[7] = 30 * TRIB_SECOND;
    assert_int_equal(deadline_after(durations, 10), 30 * TRIB_SECOND / 4 * 5);
}

static void the_automatic_deadline_has_a_floor_of_a_second(void **state) {
    (void)state;
    trib_time_ns durations[9] = {0};
    assert_int_equal(deadline_after(durations, 9), TRIB_SECOND);
}

static void old_durations_are_forgotten(void **state) {
    (void)state;
    trib_time_ns durations[10 + TRIB_POLICY_ARRIVALS];
    for (size_t index = 0; index < 10 + TRIB_POLICY_ARRIVALS; index++)
        durations[index] = index < 10 ? 1000 * TRIB_SECOND : 2 * TRIB_SECOND;
    assert_int_equal(deadline_after(durations, 10 + TRIB_POLICY_ARRIVALS), 4 * TRIB_SECOND);
}

/* The verdict on a round of 10 wanted, quorum 3, deadline 100 s. */
static enum trib_verdict judged(enum trib_policy_short if_short, struct trib_policy_view view,
                                struct trib_plan *plan, trib_time_ns *look_again) {
    struct trib_policy_settings settings = usual_settings();
    settings.if_short = if_short;
    *plan =
        (struct trib_plan){.asked = 10, .wanted = 10, .quorum = 3, .deadline = 100 * TRIB_SECOND};
    return rounds->judge(&settings, &nothing_observed, &view, plan, look_again);
}

static void a_round_ends_with_the_updates_it_wanted(void **state) {
    (void)state;
    struct trib_plan plan;
    trib_time_ns again;
    struct trib_policy_view view = {.now = 0, .received = 9, .training = 1};
    assert_int_equal(judged(TRIB_POLICY_SHORT_WAIT, view, &plan, &again), TRIB_VERDICT_WAIT);
    assert_int_equal(again, 100 * TRIB_SECOND);
    view.received = 10;
    /* A stream of further updates being written does not hold it up. */
    view.writing = 5;
    assert_int_equal(judged(TRIB_POLICY_SHORT_WAIT, view, &plan, &again), TRIB_VERDICT_CLOSE);
}

static void a_round_ends_when_nobody_is_left_and_the_quorum_is_there(void **state) {
    (void)state;
    struct trib_plan plan;
    trib_time_ns again;
    struct trib_policy_view view = {.now = 0, .received = 3};
    assert_int_equal(judged(TRIB_POLICY_SHORT_WAIT, view, &plan, &again), TRIB_VERDICT_CLOSE);
    view.writing = 1;
    assert_int_equal(judged(TRIB_POLICY_SHORT_WAIT, view, &plan, &again), TRIB_VERDICT_WAIT);
    view = (struct trib_policy_view){.received = 3, .training = 1};
    assert_int_equal(judged(TRIB_POLICY_SHORT_WAIT, view, &plan, &again), TRIB_VERDICT_WAIT);
    view = (struct trib_policy_view){.received = 2};
    assert_int_equal(judged(TRIB_POLICY_SHORT_WAIT, view, &plan, &again), TRIB_VERDICT_WAIT);
}

static void the_deadline_ends_a_round_with_its_quorum(void **state) {
    (void)state;
    struct trib_plan plan;
    trib_time_ns again;
    struct trib_policy_view view = {.now = 100 * TRIB_SECOND, .received = 3, .training = 7};
    assert_int_equal(judged(TRIB_POLICY_SHORT_WAIT, view, &plan, &again), TRIB_VERDICT_CLOSE);
    view.now--;
    assert_int_equal(judged(TRIB_POLICY_SHORT_WAIT, view, &plan, &again), TRIB_VERDICT_WAIT);
}

static void short_wait_ends_with_the_quorum(void **state) {
    (void)state;
    struct trib_plan plan;
    trib_time_ns again;
    struct trib_policy_view view = {.now = 100 * TRIB_SECOND, .received = 2, .training = 7};
    assert_int_equal(judged(TRIB_POLICY_SHORT_WAIT, view, &plan, &again), TRIB_VERDICT_WAIT);
    assert_int_equal(again, TRIB_TIME_NEVER);
    assert_int_equal(plan.wanted, 3);
}

static void short_go_ends_with_one_update(void **state) {
    (void)state;
    struct trib_plan plan;
    trib_time_ns again;
    struct trib_policy_view view = {.now = 100 * TRIB_SECOND, .received = 0, .training = 7};
    assert_int_equal(judged(TRIB_POLICY_SHORT_GO, view, &plan, &again), TRIB_VERDICT_WAIT);
    assert_int_equal(plan.wanted, 1);
    view.received = 1;
    assert_int_equal(judged(TRIB_POLICY_SHORT_GO, view, &plan, &again), TRIB_VERDICT_CLOSE);
}

static void short_pause_gives_the_round_its_time_again(void **state) {
    (void)state;
    struct trib_plan plan;
    trib_time_ns again;
    struct trib_policy_view view = {.now = 100 * TRIB_SECOND, .received = 2, .training = 7};
    assert_int_equal(judged(TRIB_POLICY_SHORT_PAUSE, view, &plan, &again), TRIB_VERDICT_PAUSE);
    assert_int_equal(plan.deadline, 160 * TRIB_SECOND);
}

static void a_round_is_not_short_while_the_missing_update_is_being_written(void **state) {
    (void)state;
    struct trib_plan plan;
    trib_time_ns again;
    struct trib_policy_view view = {
        .now = 100 * TRIB_SECOND, .received = 2, .writing = 1, .training = 7};
    assert_int_equal(judged(TRIB_POLICY_SHORT_PAUSE, view, &plan, &again), TRIB_VERDICT_WAIT);
    assert_int_equal(again, TRIB_TIME_NEVER);
}

static void policies_are_found_by_name(void **state) {
    (void)state;
    assert_ptr_equal(trib_policy_find("rounds"), &trib_policy_rounds);
    assert_null(trib_policy_find("round"));
    struct trib_policy_needs needs = {0};
    struct trib_policy_settings settings = usual_settings();
    rounds->declare(&settings, &needs);
    assert_int_equal(needs.buffers_max, 2);
}

/* Nine of ten clients are fast: the tenth is not waited for, unless noise makes it worth it. */
static void backup_workers_are_as_many_as_pay(void **state) {
    (void)state;
    struct trib_policy_settings settings = usual_settings();
    settings.quorum = 1;
    settings.backs_up = true;
    settings.noise = 1;
    struct trib_policy_memory memory = {0};
    struct trib_policy_view view = {.present = 9};
    struct trib_plan plan;
    for (uint32_t seen = 0; seen < TRIB_POLICY_ARRIVALS; seen++) {
        bool is_enough = seen >= 8; /* before, everybody is waited for */
        assert_true(rounds->plan(&settings, &memory, &view, &plan));
        assert_true(plan.asked == 9 && (is_enough || plan.wanted == 9));
        rounds->observe(&memory, (seen % 10 == 9 ? 1000 : 10) * TRIB_SECOND);
    }
    /* 58 of 64 took 10 s: the k-th of 9 is expected at place 6.4 k, so the ninth is the first of the
     * long ones, at 57.6. */
    assert_true(rounds->plan(&settings, &memory, &view, &plan));
    assert_int_equal(plan.wanted, 9);
    view.present = 10; /* the tenth is at 58.2 */
    assert_true(rounds->plan(&settings, &memory, &view, &plan));
    assert_int_equal(plan.asked, 10);
    assert_int_equal(plan.wanted, 9);
    settings.noise = 9.95; /* nine bring nothing */
    assert_true(rounds->plan(&settings, &memory, &view, &plan));
    assert_int_equal(plan.wanted, 10);
    settings.noise = 100; /* nothing brings anything: then all of it */
    assert_true(rounds->plan(&settings, &memory, &view, &plan));
    assert_int_equal(plan.wanted, 10);
    settings.noise = 0; /* the first is as good as all */
    assert_true(rounds->plan(&settings, &memory, &view, &plan));
    assert_int_equal(plan.wanted, 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_waits_for_its_quorum_of_trainers),
        cmocka_unit_test(the_fraction_is_rounded_up_but_not_by_binary_dust),
        cmocka_unit_test(wanted_is_at_least_the_quorum_and_at_most_all),
        cmocka_unit_test(over_selection_asks_more_but_only_who_is_there),
        cmocka_unit_test(the_automatic_deadline_needs_eight_durations),
        cmocka_unit_test(the_automatic_deadline_is_the_later_of_median_and_p90),
        cmocka_unit_test(the_automatic_deadline_has_a_floor_of_a_second),
        cmocka_unit_test(old_durations_are_forgotten),
        cmocka_unit_test(a_round_ends_with_the_updates_it_wanted),
        cmocka_unit_test(a_round_ends_when_nobody_is_left_and_the_quorum_is_there),
        cmocka_unit_test(the_deadline_ends_a_round_with_its_quorum),
        cmocka_unit_test(short_wait_ends_with_the_quorum),
        cmocka_unit_test(short_go_ends_with_one_update),
        cmocka_unit_test(short_pause_gives_the_round_its_time_again),
        cmocka_unit_test(a_round_is_not_short_while_the_missing_update_is_being_written),
        cmocka_unit_test(policies_are_found_by_name),
        cmocka_unit_test(backup_workers_are_as_many_as_pay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
