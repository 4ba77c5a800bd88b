/* test_words.c - text of a fixed room is cut, and decimal digits are those that printf writes. */
#include "base/words.h"

#include <inttypes.h>
#include <stdio.h>

#include "support/check.h"

static void what_does_not_fit_is_cut(void **state) {
    (void)state;
    char text[8];
    trib_words(text, sizeof text, "%s %d", "seven", 77);
    assert_string_equal(text, "seven 7");
}

static void decimals_are_those_of_printf(void **state) {
    (void)state;
    const uint64_t numbers[] = {0, 9, 10, 99, 100, 4294967295, UINT64_MAX / 10, UINT64_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[TRIB_DECIMAL_BYTES], expected[32];
        int length = snprintf(expected, sizeof expected, "%" PRIu64, numbers[i]);
        assert_int_equal(trib_words_decimal(text, numbers[i]), length);
        assert_string_equal(text, expected);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_fit_is_cut),
        cmocka_unit_test(decimals_are_those_of_printf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
