/* test_calendar.c - moments come out in the order of time, and of their arrival. */
#include "sim/calendar.h"

#include "base/random.h"
#include "support/check.h"
#include "support/env_faulty.h"

#define COUNT 5000

static void an_empty_calendar_has_no_moment(void **state) {
    (void)state;
    struct trib_calendar calendar;
    struct trib_moment moment;
    trib_calendar_init(&calendar, trib_env_system());
    assert_int_equal(trib_calendar_next(&calendar), TRIB_TIME_NEVER);
    assert_false(trib_calendar_take(&calendar, &moment));
    trib_calendar_deinit(&calendar);
}

/* Few different times, so that most moments are at the same time as others; two taken for three
 * put in, so that both happen at all sizes. */
static void moments_come_by_time_then_by_arrival(void **state) {
    (void)state;
    struct trib_calendar calendar;
    struct trib_random random;
    struct trib_moment before = {.at = -1};
    trib_calendar_init(&calendar, trib_env_system());
    trib_random_init(&random, 3);
    trib_time_ns now = 0;
    uint64_t taken = 0;
    for (uint64_t what = 0; what < COUNT || calendar.count > 0; what++) {
        struct trib_moment moment;
        if (what < COUNT) {
            trib_time_ns at = now + (trib_time_ns)trib_random_below(&random, 20);
            assert_true(trib_calendar_put(&calendar, at, what));
        }
        if (what < COUNT && what % 3 == 0) {
            continue;
        }
        trib_time_ns next = trib_calendar_next(&calendar);
        assert_true(trib_calendar_take(&calendar, &moment));
        assert_int_equal(moment.at, next);
        assert_int_equal(moment.order, moment.what); /* they were put in in this order */
        assert_true(moment.at > before.at || moment.order > before.order);
        assert_true(moment.at >= before.at);
        before = moment;
        now = moment.at;
        taken++;
    }
    assert_int_equal(taken, COUNT);
    trib_calendar_deinit(&calendar);
}

static void without_memory_nothing_changes(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_calendar calendar;
    trib_env_faulty_init(&faulty);
    trib_calendar_init(&calendar, &faulty.env);
    uint64_t put = 0;
    while (put < 10 || calendar.count < calendar.capacity) {
        assert_true(trib_calendar_put(&calendar, 7, put++));
    }
    trib_env_faulty_fail(&faulty, 1);
    assert_false(trib_calendar_put(&calendar, 1, put));
    assert_int_equal(calendar.count, put);
    assert_int_equal(trib_calendar_next(&calendar), 7);
    trib_calendar_deinit(&calendar);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_calendar_has_no_moment),
        cmocka_unit_test(moments_come_by_time_then_by_arrival),
        cmocka_unit_test(without_memory_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
