/* test_csv_table.c - numbers as text: what is read, what is refused and with which words. */
#include "train/csv_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "folder.h"
#include "support/check.h"
#include "support/env_faulty.h"

static enum trib_status read_text(struct test_folder *folder, const char *text,
                                  struct trib_csv_table *table, struct trib_error *error) {
    test_folder_write_text(folder, "table.csv", text);
    memset(error, 0, sizeof *error);
    return trib_csv_table_read(table, trib_env_system(), folder->path, "table.csv", error);
}

static void assert_reads_two_rows(struct test_folder *folder, const char *text) {
    struct trib_csv_table table;
    struct trib_error error;
    assert_int_equal(read_text(folder, text, &table, &error), TRIB_OK);
    assert_int_equal(table.row_count, 2);
    assert_int_equal(table.column_count, 3);
    assert_true(trib_csv_table_row(&table, 0)[0] == 0.5F);
    assert_true(trib_csv_table_row(&table, 0)[1] == -2.0F);
    assert_int_equal(trib_csv_table_label(&table, 0), 7);
    assert_true(trib_csv_table_row(&table, 1)[0] == 300.0F);
    assert_true(trib_csv_table_row(&table, 1)[1] == 0.0F);
    assert_int_equal(trib_csv_table_label(&table, 1), 0);
    trib_csv_table_deinit(&table);
}

static void the_same_table_in_many_spellings(void **state) {
    struct test_folder *folder = *state;
    assert_reads_two_rows(folder, "0.5,-2,7\n300,0,0\n");
    assert_reads_two_rows(folder, "0.5,-2,7\n300,0,0");            /* no last line break */
    assert_reads_two_rows(folder, "0.5,-2,7\r\n300,0,0\r\n");      /* from another system */
    assert_reads_two_rows(folder, ".5, -2.0 ,7\n\n3e2,\t0,0\n\n"); /* blanks, empty lines */
    assert_reads_two_rows(folder, "x,\"y, z\",label\n0.5,-2,7\n+300.,-0,0\n"); /* a header */
    assert_reads_two_rows(folder, "#\n0.5,-2,7.0\n300,0,0\n");
}

static void refusals_name_file_line_and_column(void **state) {
    static const struct {
        const char *text;
        enum trib_status status;
        const char *place;
    } cases[] = {
        {"", TRIB_EMALFORMED, "table.csv: no rows"},
        {"a,b,c\n", TRIB_EMALFORMED, "table.csv: no rows"},
        {"a", TRIB_EMALFORMED, "table.csv: no rows"},
        {"5\n", TRIB_EMALFORMED, "line 1, column 1: a row needs"},
        {"1,2,0\n1,x,0\n", TRIB_EMALFORMED, "table.csv: line 2, column 2: not a number"},
        {"1,2,0\nx,2,0\n", TRIB_EMALFORMED, "line 2, column 1: not a number"},
        {"1,,0\n", TRIB_EMALFORMED, "line 1, column 2: nothing"},
        {",1,0\n", TRIB_EMALFORMED, "line 1, column 1: nothing"},
        {"1,2,\n", TRIB_EMALFORMED, "line 1, column 3: nothing"},
        {"1,2,0\n\n1,2\n", TRIB_EMALFORMED, "line 3 has 2 columns"},
        {"1,2,0\n1,2,3,0\n", TRIB_EMALFORMED, "line 2 has 4 columns"},
        {"1,0x10,0\n", TRIB_EMALFORMED, "column 2: not a number"},
        {"1,nan,0\n", TRIB_EMALFORMED, "column 2: not a number"},
        {"1,-inf,0\n", TRIB_EMALFORMED, "column 2: not a number"},
        {"1,1 2,0\n", TRIB_EMALFORMED, "column 2: not a number"},
        {"1,--1,0\n", TRIB_EMALFORMED, "column 2: not a number"},
        {"1,1e,0\n", TRIB_EMALFORMED, "column 2: not a number"},
        {"1,1e39,0\n", TRIB_EBOUND, "column 2: too large"},
        {"1,-1e999,0\n", TRIB_EBOUND, "column 2: too large"},
        {"1,2,0.5\n", TRIB_EMALFORMED, "column 3: the label"},
        {"1,2,-1\n", TRIB_EMALFORMED, "column 3: the label"},
        {"1,2,4096\n", TRIB_EMALFORMED, "column 3: the label"},
        {"1,0000000000000000000000000000000000000000000000000000000000000002,0\n", TRIB_EMALFORMED,
         "column 2: not a number: too long"},
        {"\xef\xbb\xbf"
         "1,2,0\n",
         TRIB_EMALFORMED, "line 1, column 1: not a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trib_csv_table table;
        struct trib_error error;
        assert_int_equal(read_text(*state, cases[i].text, &table, &error), cases[i].status);
        if (strstr(error.text, cases[i].place) == NULL) {
            fail_msg("case %zu says '%s', not '%s'", i, error.text, cases[i].place);
        }
        trib_csv_table_deinit(&table);
    }
}

static void a_byte_zero_does_not_hide_what_follows_it(void **state) {
    struct test_folder *folder = *state;
    struct trib_csv_table table;
    test_folder_write(folder, "table.csv", "1,2\0.5,0\n", 9);
    assert_int_equal(
        trib_csv_table_read(&table, trib_env_system(), folder->path, "table.csv", NULL),
        TRIB_EMALFORMED);
    trib_csv_table_deinit(&table);
}

static void memory_may_run_out_at_any_row(void **state) {
    struct test_folder *folder = *state;
    enum { ROWS = 5000 };
    char *text = malloc(ROWS * 6);
    assert_non_null(text);
    for (size_t i = 0; i < ROWS; i++) {
        memcpy(text + i * 6, "1,2,0\n", 6);
    }
    test_folder_write(folder, "table.csv.gz", text, ROWS * 6);
    free(text);

    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_csv_table table;
        trib_env_faulty_fail(&faulty, ++nth);
        const enum trib_status status =
            trib_csv_table_read(&table, &faulty.env, folder->path, "table.csv", NULL);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        if (status == TRIB_OK) {
            assert_int_equal(table.row_count, ROWS);
            assert_true(trib_csv_table_row(&table, ROWS - 1)[1] == 2.0F);
        }
        trib_csv_table_deinit(&table);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 2);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(the_same_table_in_many_spellings),
        TEST_IN_FOLDER(refusals_name_file_line_and_column),
        TEST_IN_FOLDER(a_byte_zero_does_not_hide_what_follows_it),
        TEST_IN_FOLDER(memory_may_run_out_at_any_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
