/* test_number.c - whole numbers have one spelling. */
#include "wire/number.h"

#include "support/check.h"

static void reads_every_u64(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t number;
    } rows[] = {{"0", 0}, {"7", 7}, {"1048576", 1048576}, {"18446744073709551615", UINT64_MAX}};
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++) {
        uint64_t number = 99;
        assert_true(trib_number_read(rows[index].text, &number));
        assert_true(number == rows[index].number);
    }
}

static void refuses_everything_else_and_changes_nothing(void **state) {
    (void)state;
    static const char *const rows[] = {"",    " 1",  "1 ",
                                       "+1",  "-1",  "01",
                                       "00",  "1.0", "1e3",
                                       "0x1", "１",  "18446744073709551616",
                                       "a",   "1a",  "184467440737095516150"};
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++) {
        uint64_t number = 99;
        assert_false(trib_number_read(rows[index], &number));
        assert_int_equal(number, 99);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_u64),
        cmocka_unit_test(refuses_everything_else_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
