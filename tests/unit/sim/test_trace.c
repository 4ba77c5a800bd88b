/* test_trace.c - tables of numbers, and the place of the first thing that is none. */
#include "sim/trace.h"

#include <unistd.h>

#include "support/check.h"
#include "support/env_faulty.h"
#include "written.h"

static void rows_are_numbers_in_order(void **state) {
    (void)state;
    char path[WRITTEN_PATH_BYTES];
    struct trib_trace trace;
    written(path, "# device, from\n1, 2.5\n\n 3,4e2 \r\n5,6");
    assert_int_equal(trib_trace_read(&trace, trib_env_system(), path, 2, NULL), TRIB_OK);
    assert_int_equal(trace.row_count, 3);
    assert_true(trib_trace_row(&trace, 0)[1] == 2.5);
    assert_true(trib_trace_row(&trace, 1)[1] == 400.0);
    assert_true(trib_trace_row(&trace, 2)[0] == 5.0);
    assert_int_equal(trib_trace_line(&trace, 1), 4);
    trib_trace_deinit(&trace);
    unlink(path);
}

static void the_first_error_has_its_line_and_column(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"1,2\n1,x\n", "line 2, column 2: not a number"},
        {"1,2\n,3\n", "line 2, column 1: nothing where a number should be"},
        {"1,2\n3\n", "line 2, column 1: fewer columns"},
        {"1,2\n3,4,5\n", "line 2, column 3: more than the columns"},
        {"1,-2\n", "line 1, column 2: must be a finite number of at least 0"},
        {"1,1e999\n", "line 1, column 2: must be a finite number"},
        {"1,nan\n", "line 1, column 2: not a number"},
        {"1,2 3\n", "line 1, column 2: more than"},
        {"\n\n", "no rows"},
        {"name\nname\n", "line 2, column 1: not a number"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[WRITTEN_PATH_BYTES];
        struct trib_trace trace;
        struct trib_error error = {0};
        written(path, rows[i].text);
        assert_int_equal(trib_trace_read(&trace, trib_env_system(), path, 2, &error),
                         TRIB_EMALFORMED);
        if (strstr(error.text, rows[i].part) == NULL) {
            fail_msg("\"%s\": %s", rows[i].text, error.text);
        }
        unlink(path);
    }
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    char path[WRITTEN_PATH_BYTES], text[9000] = "";
    for (size_t i = 0; i < 2000; i++) {
        memcpy(text + 4 * i, "1,2\n", 5);
    }
    written(path, text);
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    enum trib_status status = TRIB_EMEMORY;
    for (uint64_t nth = 1; status == TRIB_EMEMORY; nth++) {
        struct trib_trace trace;
        trib_env_faulty_fail(&faulty, nth);
        status = trib_trace_read(&trace, &faulty.env, path, 2, NULL);
        assert_true(status == TRIB_OK || status == TRIB_EMEMORY);
        trib_trace_deinit(&trace);
    }
    trib_env_faulty_deinit(&faulty);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_numbers_in_order),
        cmocka_unit_test(the_first_error_has_its_line_and_column),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
