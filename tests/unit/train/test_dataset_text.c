/* test_dataset_text.c - text becomes windows of symbols, each owner's for itself. */
#include "train/dataset.h"

#include "folder.h"
#include "support/check.h"
#include "support/env_faulty.h"

static struct trib_dataset load(const char *path, struct trib_dataset_request request) {
    struct trib_dataset dataset = {0};
    struct trib_error error = {0};
    if (trib_dataset_load(trib_env_system(), path, &request, &dataset, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    return dataset;
}

/* Two roles whose lines alternate, one with a single line. */
static const char roles[] = "P\tANN\t1\tab\n"
                            "P\tBOB\t1\tx\n"
                            "P\tANN\t1\tcd\n"
                            "P\tCY\t2\tleft out\n"
                            "P\tANN\t2\te\n"
                            "P\tBOB\t3\tyz\n";

/* Check one row: what comes next at each place, and before it the same one place later. */
static void check_row(const struct trib_dataset *dataset, size_t row, uint32_t owner,
                      const char *text) {
    const int32_t *labels = dataset->labels + row * TRIB_TEXT_WINDOW;
    const float *features = dataset->features + row * TRIB_TEXT_WINDOW;
    const size_t count = strlen(text);
    assert_int_equal(dataset->owners[row], owner);
    assert_int_equal((int)features[0], TRIB_TEXT_START);
    for (size_t i = 0; i < TRIB_TEXT_WINDOW; i++) {
        assert_int_equal(labels[i], i < count ? text[i] : -1);
        if (i + 1 < TRIB_TEXT_WINDOW) {
            assert_int_equal((int)features[i + 1], i < count ? text[i] : TRIB_TEXT_END);
        }
    }
}

static void each_role_is_an_owner_with_lines_of_its_own(void **state) {
    struct test_folder *folder = *state;
    test_folder_write_text(folder, "plays.tsv.gz", roles);
    const char *path = test_folder_path(folder, "plays.tsv.gz");
    struct trib_dataset training = load(path, (struct trib_dataset_request){0});
    struct trib_dataset test = load(path, (struct trib_dataset_request){.part = TRIB_DATASET_TEST});
    assert_int_equal(training.row_count, 2);
    assert_int_equal(training.feature_count, 80);
    assert_int_equal(training.class_count, 258);
    assert_int_equal(training.symbol_count, 258);
    assert_int_equal(training.owner_count, 3);
    check_row(&training, 0, 0, "ab\ncd\n"); /* 80 % of three lines are two */
    check_row(&training, 1, 1, "x\n");
    assert_int_equal(test.row_count, 2);
    check_row(&test, 0, 0, "e\n");
    check_row(&test, 1, 1, "yz\n");
    trib_dataset_deinit(&test);
    trib_dataset_deinit(&training);
}

/* 5 lines of 39 and a newline: 4 of them train, which are two full windows; and in a .txt the last
 * window is short. The first symbol of a later window is the last one of the window before. */
static void windows_follow_each_other(void **state) {
    struct test_folder *folder = *state;
    char text[512] = "";
    for (int i = 0; i < 5; i++) {
        strcat(text, "P\tA\t1\t");
        memset(text + strlen(text), 'a' + i, 39);
        strcat(text, "\n");
    }
    test_folder_write_text(folder, "long.tsv", text);
    struct trib_dataset dataset =
        load(test_folder_path(folder, "long.tsv"), (struct trib_dataset_request){0});
    assert_int_equal(dataset.row_count, 2);
    assert_int_equal((int)dataset.features[0], TRIB_TEXT_START);
    assert_int_equal((int)dataset.features[80], '\n');
    assert_int_equal(dataset.labels[80], 'c');
    assert_int_equal(dataset.labels[159], '\n');
    trib_dataset_deinit(&dataset);

    memset(text, 'q', 100);
    text[90] = 'r';
    text[100] = '\0';
    test_folder_write_text(folder, "whole.txt", text);
    dataset = load(test_folder_path(folder, "whole.txt"), (struct trib_dataset_request){0});
    assert_int_equal(dataset.row_count, 2);
    assert_int_equal(dataset.owner_count, 1);
    assert_int_equal(dataset.labels[80 + 9], 'q');
    assert_int_equal(dataset.labels[80 + 10], '\n');
    assert_int_equal(dataset.labels[80 + 11], -1);
    trib_dataset_deinit(&dataset);
    dataset = load(test_folder_path(folder, "whole.txt"),
                   (struct trib_dataset_request){.part = TRIB_DATASET_TEST});
    check_row(&dataset, 0, 0, "rqqqqqqqqq\n");
    trib_dataset_deinit(&dataset);
}

static void rows_may_be_chosen(void **state) {
    struct test_folder *folder = *state;
    const uint32_t second = 1;
    test_folder_write_text(folder, "plays.tsv", roles);
    const char *path = test_folder_path(folder, "plays.tsv");
    struct trib_dataset dataset =
        load(path, (struct trib_dataset_request){.rows = &second, .row_count = 1});
    assert_int_equal(dataset.row_count, 1);
    assert_int_equal(dataset.owner_count, 3);
    check_row(&dataset, 0, 1, "x\n");
    trib_dataset_deinit(&dataset);
    dataset = load(path, (struct trib_dataset_request){.is_labels_only = true});
    assert_null(dataset.features);
    assert_int_equal(dataset.owners[1], 1);
    trib_dataset_deinit(&dataset);
}

static void what_is_no_text_of_roles_is_refused_with_its_line(void **state) {
    struct test_folder *folder = *state;
    static const struct {
        const char *text;
        enum trib_status status;
        const char *words;
    } cases[] = {
        {"P\tA\t1\tx\nP\tA\n", TRIB_EMALFORMED, "line 2"},
        {"no tabs", TRIB_EMALFORMED, "column 2"},
        {"P\tA\t1\tx\n\nP\tA\t1\ty\n", TRIB_EMALFORMED, "line 2"},
        {"", TRIB_EMALFORMED, "no text"},
        {"P\tA\t1\tonly one line\n", TRIB_EMALFORMED, "no text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trib_dataset dataset = {0};
        struct trib_error error = {0};
        test_folder_write_text(folder, "bad.tsv", cases[i].text);
        assert_int_equal(trib_dataset_load(trib_env_system(), test_folder_path(folder, "bad.tsv"),
                                           NULL, &dataset, &error),
                         cases[i].status);
        if (strstr(error.text, cases[i].words) == NULL) {
            fail_msg("case %zu: %s", i, error.text);
        }
    }
    const uint32_t far = 7;
    const struct trib_dataset_request request = {.rows = &far, .row_count = 1};
    struct trib_dataset dataset = {0};
    test_folder_write_text(folder, "plays.tsv", roles);
    assert_int_equal(trib_dataset_load(trib_env_system(), test_folder_path(folder, "plays.tsv"),
                                       &request, &dataset, NULL),
                     TRIB_EINVALID);
}

static void memory_may_run_out_anywhere(void **state) {
    struct test_folder *folder = *state;
    static const char *const names[] = {"plays.tsv", "whole.txt"};
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    for (size_t i = 0; i < 2; i++) {
        uint64_t nth = 0;
        test_folder_write_text(folder, names[i], roles);
        do {
            struct trib_dataset dataset = {0};
            trib_env_faulty_fail(&faulty, ++nth);
            const enum trib_status status = trib_dataset_load(
                &faulty.env, test_folder_path(folder, names[i]), NULL, &dataset, NULL);
            assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
            trib_dataset_deinit(&dataset);
            assert_int_equal(faulty.blocks_live, 0);
        } while (faulty.has_failed);
        assert_true(nth > 7);
    }
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(each_role_is_an_owner_with_lines_of_its_own),
        TEST_IN_FOLDER(windows_follow_each_other),
        TEST_IN_FOLDER(rows_may_be_chosen),
        TEST_IN_FOLDER(what_is_no_text_of_roles_is_refused_with_its_line),
        TEST_IN_FOLDER(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
