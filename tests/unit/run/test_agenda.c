/* test_agenda.c - the earliest time is always first, whatever is moved or taken off. */
#include "run/agenda.h"

#include "base/random.h"
#include "support/check.h"
#include "support/env_faulty.h"

#define COUNT 200

static void nobody_has_a_time_at_first(void **state) {
    (void)state;
    struct trib_agenda agenda;
    trib_agenda_init(&agenda, trib_env_system());
    assert_true(trib_agenda_reserve(&agenda, 4));
    assert_int_equal(trib_agenda_first(&agenda, NULL), TRIB_TIME_NEVER);
    trib_agenda_set(&agenda, 2, TRIB_TIME_NEVER); /* taking off what is not on is nothing */
    assert_int_equal(agenda.count, 0);
    trib_agenda_deinit(&agenda);
}

/* Compared with a plain array searched from end to end. */
static void the_first_is_the_earliest_after_any_change(void **state) {
    (void)state;
    struct trib_agenda agenda;
    struct trib_random random;
    trib_time_ns times[COUNT];
    trib_random_init(&random, 5);
    trib_agenda_init(&agenda, trib_env_system());
    for (uint32_t index = 0; index < COUNT; index++)
        times[index] = TRIB_TIME_NEVER;
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t room = COUNT / 4 * (1 + round / 5000); /* grows while it is in use */
        assert_true(trib_agenda_reserve(&agenda, room));
        uint32_t index = (uint32_t)trib_random_below(&random, room);
        uint64_t draw = trib_random_below(&random, 100);
        times[index] = draw < 30 ? TRIB_TIME_NEVER : (trib_time_ns)draw;
        trib_agenda_set(&agenda, index, times[index]);
        trib_time_ns earliest = TRIB_TIME_NEVER;
        for (uint32_t other = 0; other < COUNT; other++)
            earliest = times[other] < earliest ? times[other] : earliest;
        uint32_t first = 0;
        assert_int_equal(trib_agenda_first(&agenda, &first), earliest);
        if (earliest != TRIB_TIME_NEVER)
            assert_int_equal(times[first], earliest);
    }
    trib_agenda_deinit(&agenda);
}

static void without_memory_nothing_changes(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_agenda agenda;
    trib_agenda_init(&agenda, &faulty.env);
    assert_true(trib_agenda_reserve(&agenda, 2));
    trib_agenda_set(&agenda, 1, 7);
    trib_env_faulty_fail(&faulty, 1);
    assert_false(trib_agenda_reserve(&agenda, 100));
    assert_int_equal(agenda.capacity, 2);
    assert_int_equal(trib_agenda_first(&agenda, NULL), 7);
    trib_agenda_deinit(&agenda);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_has_a_time_at_first),
        cmocka_unit_test(the_first_is_the_earliest_after_any_change),
        cmocka_unit_test(without_memory_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
