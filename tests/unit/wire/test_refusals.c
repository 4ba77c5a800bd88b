/* test_refusals.c - each code is counted by itself, and the table has an end. */
#include "wire/refusals.h"

#include "support/check.h"

#include <stdio.h>

static void codes_are_counted(void **state) {
    (void)state;
    struct trib_refusals refusals = {0};
    trib_refusals_add(&refusals, "token");
    trib_refusals_add(&refusals, "busy");
    trib_refusals_add(&refusals, "token");
    assert_int_equal(refusals.row_count, 2);
    assert_string_equal(refusals.rows[0].code, "token");
    assert_int_equal(refusals.rows[0].count, 2);
    assert_int_equal(refusals.rows[1].count, 1);
}

static void nothing_is_written_behind_the_table(void **state) {
    (void)state;
    static char names[TRIB_REFUSAL_CODES_MAX + 3][8];
    struct trib_refusals refusals = {0};
    for (size_t i = 0; i < TRIB_REFUSAL_CODES_MAX + 3; i++) {
        (void)snprintf(names[i], sizeof names[i], "c%zu", i);
        trib_refusals_add(&refusals, names[i]);
    }
    assert_int_equal(refusals.row_count, TRIB_REFUSAL_CODES_MAX);
    assert_string_equal(refusals.rows[TRIB_REFUSAL_CODES_MAX - 1].code, "other");
    assert_int_equal(refusals.rows[TRIB_REFUSAL_CODES_MAX - 1].count, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_counted),
        cmocka_unit_test(nothing_is_written_behind_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
