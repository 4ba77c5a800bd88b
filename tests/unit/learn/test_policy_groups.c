/* test_policy_groups.c - steps that let clients arrive together. The authors' own log is met by
 * tests/run/compass.c; here is what that log does not show. */
#include <math.h>
#include <string.h>

#include "learn/policy.h"

#include "support/check.h"

#define CLIENTS 100

static const struct trib_policy *const groups = &trib_policy_groups;
static const struct trib_policy_settings settings = {
    .steps_min = 20, .steps_max = 100, .slack = 1.5, .speed_beta = 0.9, .clients = 4};
static struct trib_policy_client clients[CLIENTS];
static struct trib_policy_memory memory;

static int forget_all(void **state) {
    (void)state;
    memset(clients, 0, sizeof clients);
    memory = (struct trib_policy_memory){.clients = clients, .client_count = CLIENTS};
    return 0;
}

static struct trib_assignment assign(uint32_t client, double now) {
    struct trib_assignment assignment;
    groups->assign(&settings, &memory, client, (trib_time_ns)(now * TRIB_SECOND), &assignment);
    return assignment;
}

static uint32_t arrive(uint32_t client, double now) {
    return groups->arrive(&settings, &memory, client, (trib_time_ns)(now * TRIB_SECOND), true);
}

/* What closes at `now`; TRIB_HOLD_NONE: nothing does. */
static uint32_t close_at(double now, uint32_t *other, trib_time_ns *look_again) {
    struct trib_policy_view view = {.now = (trib_time_ns)(now * TRIB_SECOND), .present = 4};
    struct trib_plan plan;
    assert_true(groups->plan(&settings, &memory, &view, &plan));
    if (groups->judge(&settings, &memory, &view, &plan, look_again) != TRIB_VERDICT_CLOSE)
        return TRIB_HOLD_NONE;
    *other = plan.closes[1];
    return plan.closes[0];
}

static void expect_close(double now, uint32_t hold, uint32_t other) {
    uint32_t with = 0;
    trib_time_ns look_again;
    assert_int_equal(close_at(now, &with, &look_again), hold);
    assert_int_equal(with, other);
    groups->closed(&memory, hold);
    groups->closed(&memory, other);
}

/* A client whose pace is known, as after its first answer. */
static void know(uint32_t client, double pace) {
    clients[client].pace = pace;
}

static void a_first_answer_makes_a_version_and_tells_the_pace(void **state) {
    (void)state;
    struct trib_assignment first = assign(0, 10);
    assert_int_equal(first.steps, 100);
    assert_int_equal(first.expected_by, TRIB_TIME_NEVER);
    assert_int_equal(arrive(0, 60), TRIB_HOLD_FIRST);
    assert_true(clients[0].pace == 0.5 && clients[0].is_waiting);
    expect_close(60, TRIB_HOLD_FIRST, TRIB_HOLD_NONE);
    assert_false(clients[0].is_waiting);
}

static void the_newest_speed_counts_most(void **state) {
    (void)state;
    know(0, 1);
    assert_int_equal(assign(0, 0).steps, 100);
    arrive(0, 50);
    assert_true(fabs(clients[0].pace - 0.55) < 1e-12);
}

static void the_group_with_the_most_steps_is_joined(void **state) {
    (void)state;
    know(0, 1), know(1, 1.2), know(2, 1);
    struct trib_assignment first = assign(0, 0); /* until 100 */
    assert_int_equal(first.expected_by, 100 * TRIB_SECOND);
    assert_int_equal(assign(1, 0).steps, 83); /* joins it: 100 / 1.2 */
    assert_int_equal(memory.groups[0].training, 2);
    assert_int_equal(assign(2, 90).steps, 100); /* 10 are too few: a group of its own, until 190 */
    know(3, 1);
    assert_int_equal(assign(3, 95).steps, 95); /* not 5 */
    assert_int_equal(clients[3].group, clients[2].group);
}

static void whoever_fits_no_group_gets_steps_until_another_has_worked_twice(void **state) {
    (void)state;
    know(0, 1), know(1, 4), know(2, 100);
    (void)assign(0, 0); /* until 100, at most until 150 */
    assert_int_equal(assign(1, 60).steps, (150 - 60 + 100) / 4);
    assert_int_equal(assign(2, 60).steps, settings.steps_min); /* fewer would be right */
}

static void a_group_closes_when_all_are_there_or_its_time_has_come(void **state) {
    (void)state;
    know(0, 1), know(1, 1), know(2, 1);
    (void)assign(0, 0), (void)assign(1, 0), (void)assign(2, 0);
    uint32_t group = arrive(0, 99), other;
    trib_time_ns look_again;
    assert_true(group >= TRIB_HOLD_GROUPS);
    assert_int_equal(close_at(99, &other, &look_again), TRIB_HOLD_NONE);
    assert_int_equal(look_again, 150 * TRIB_SECOND);
    assert_int_equal(arrive(1, 150), group); /* in time to the dot */
    expect_close(150, group, TRIB_HOLD_LATE);
    assert_int_equal(arrive(2, 151), TRIB_HOLD_LATE);
    assert_false(clients[2].is_waiting);
}

static void a_group_whose_time_has_passed_with_nobody_there_is_nobodys(void **state) {
    (void)state;
    know(0, 1), know(1, 1);
    (void)assign(0, 0), (void)assign(1, 0);
    uint32_t other;
    trib_time_ns look_again;
    assert_int_equal(close_at(151, &other, &look_again), TRIB_HOLD_NONE);
    assert_int_equal(look_again, TRIB_TIME_NEVER);
    assert_int_equal(arrive(0, 151), TRIB_HOLD_LATE);
    assert_int_equal(arrive(1, 152), TRIB_HOLD_LATE);
    assert_int_equal(memory.late_count, 2);
}

static void late_updates_wait_for_whatever_closes_next_each_of_them(void **state) {
    (void)state;
    know(0, 1), know(1, 1);
    (void)assign(0, 0);
    assert_int_equal(arrive(0, 151), TRIB_HOLD_LATE);
    (void)assign(0, 151);
    assert_int_equal(arrive(0, 1000), TRIB_HOLD_LATE);
    assert_int_equal(memory.late_count, 2);
    (void)assign(1, 1000);
    uint32_t group = arrive(1, 1100);
    expect_close(1100, group, TRIB_HOLD_LATE);
    assert_int_equal(memory.late_count, 0);
}

static void whoever_leaves_is_not_waited_for(void **state) {
    (void)state;
    know(0, 1), know(1, 1);
    (void)assign(0, 0), (void)assign(1, 0);
    uint32_t group = arrive(0, 100);
    groups->leave(&memory, 1);
    expect_close(100, group, TRIB_HOLD_LATE);
    assert_int_equal(arrive(1, 101), TRIB_HOLD_LATE);
    groups->leave(&memory, 1); /* twice is once */
}

static void a_client_that_is_asked_anew_leaves_its_group(void **state) {
    (void)state;
    know(0, 1);
    (void)assign(0, 0);
    (void)assign(0, 200);
    (void)arrive(0, 300);
    assert_int_equal(memory.groups[0].training, 0);
    assert_int_equal(memory.groups[0].arrived, 1);
}

static void what_nobody_asked_for_tells_no_pace(void **state) {
    (void)state;
    assert_int_equal(groups->arrive(&settings, &memory, 0, TRIB_SECOND, false), TRIB_HOLD_FIRST);
    assert_true(clients[0].pace == 0 && !clients[0].is_waiting);
    know(1, 1);
    (void)assign(1, 0);
    assert_int_equal(groups->arrive(&settings, &memory, 1, TRIB_SECOND, false), TRIB_HOLD_LATE);
    assert_true(clients[1].pace == 1 && memory.groups[0].training == 1);
}

static void late_updates_that_fill_all_places_are_counted(void **state) {
    (void)state;
    know(0, 1);
    (void)assign(0, 0);
    (void)arrive(0, 151);
    struct trib_policy_view view = {.now = 151 * TRIB_SECOND, .present = 1, .is_full = true};
    struct trib_plan plan;
    trib_time_ns look_again;
    assert_true(groups->plan(&settings, &memory, &view, &plan));
    assert_int_equal(groups->judge(&settings, &memory, &view, &plan, &look_again),
                     TRIB_VERDICT_CLOSE);
    assert_int_equal(plan.closes[0], TRIB_HOLD_LATE);
}

static void more_groups_than_there_are_places_for_do_without(void **state) {
    (void)state;
    for (uint32_t client = 0; client < CLIENTS; client++) {
        know(client, 1e3);
        (void)assign(client, client * 99e3); /* 1e5 s each: nobody can join the one before */
        memory.groups[client % TRIB_POLICY_GROUPS].latest = TRIB_TIME_NEVER;
    }
    assert_int_equal(clients[TRIB_POLICY_GROUPS - 1].group, TRIB_HOLD_GROUPS + 63);
    assert_int_equal(clients[TRIB_POLICY_GROUPS].group, 0);
    assert_int_equal(arrive(TRIB_POLICY_GROUPS, 1e7), TRIB_HOLD_LATE);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, forget_all)
    const struct CMUnitTest tests[] = {
        TEST(a_first_answer_makes_a_version_and_tells_the_pace),
        TEST(the_newest_speed_counts_most),
        TEST(the_group_with_the_most_steps_is_joined),
        TEST(whoever_fits_no_group_gets_steps_until_another_has_worked_twice),
        TEST(a_group_closes_when_all_are_there_or_its_time_has_come),
        TEST(a_group_whose_time_has_passed_with_nobody_there_is_nobodys),
        TEST(late_updates_wait_for_whatever_closes_next_each_of_them),
        TEST(whoever_leaves_is_not_waited_for),
        TEST(a_client_that_is_asked_anew_leaves_its_group),
        TEST(what_nobody_asked_for_tells_no_pace),
        TEST(late_updates_that_fill_all_places_are_counted),
        TEST(more_groups_than_there_are_places_for_do_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
