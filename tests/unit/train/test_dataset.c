/* test_dataset.c - which reader a path gets, and which requests are refused. */
#include "train/dataset.h"

#include <math.h>

#include "folder.h"
#include "support/check.h"
#include "train/dataset_formats.h"

static enum trib_status load(const char *path, const struct trib_dataset_request *request,
                             struct trib_error *error) {
    struct trib_dataset dataset = {0};
    const enum trib_status status =
        trib_dataset_load(trib_env_system(), path, request, &dataset, error);
    trib_dataset_deinit(&dataset);
    return status;
}

static void a_path_without_data_says_what_was_looked_for(void **state) {
    struct test_folder *folder = *state;
    struct trib_error error = {0};
    assert_int_equal(load(folder->path, NULL, &error), TRIB_ENOTFOUND);
    assert_non_null(strstr(error.text, folder->path));
    assert_non_null(strstr(error.text, "train-labels-idx1-ubyte"));
    assert_non_null(strstr(error.text, "train.csv"));
    assert_int_equal(load(test_folder_path(folder, "no.csv"), NULL, &error), TRIB_ENOTFOUND);
    assert_non_null(strstr(error.text, "no.csv: no such file"));
    test_folder_write_text(folder, "notes.md", "1,0\n");
    assert_int_equal(load(test_folder_path(folder, "notes.md"), NULL, &error), TRIB_ENOTFOUND);
}

static void a_damaged_file_is_not_passed_over_for_another_format(void **state) {
    struct test_folder *folder = *state;
    struct trib_error error = {0};
    test_folder_write_text(folder, "train.csv", "1,0\n2,1\n");
    assert_int_equal(load(folder->path, NULL, &error), TRIB_OK);
    test_folder_write_text(folder, "train-labels-idx1-ubyte", "?");
    assert_int_equal(load(folder->path, NULL, &error), TRIB_ETRUNCATED);
}

static void requests_that_make_no_sense_are_refused(void **state) {
    struct test_folder *folder = *state;
    test_folder_write_text(folder, "train.csv", "1,0\n2,1\n3,0\n");
    const uint32_t repeated[] = {1, 1};
    const uint32_t descending[] = {2, 0};
    const uint32_t beyond[] = {0, 3};
    const uint32_t good[] = {0, 2};
    const struct trib_dataset_request bad[] = {
        {.part = (enum trib_dataset_part)2},
        {.feature_scale = -1},
        {.feature_scale = NAN},
        {.feature_scale = INFINITY},
        {.rows = good, .row_count = 0},
        {.rows = repeated, .row_count = 2},
        {.rows = descending, .row_count = 2},
        {.rows = beyond, .row_count = 2},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct trib_error error = {0};
        assert_int_equal(load(folder->path, &bad[i], &error), TRIB_EINVALID);
        assert_true(error.text[0] != '\0');
    }
    const struct trib_dataset_request many_classes = {.class_count = TRIB_DATASET_CLASSES_MAX + 1};
    assert_int_equal(load(folder->path, &many_classes, NULL), TRIB_ELIMIT);
    const struct trib_dataset_request fine = {.rows = good, .row_count = 2};
    assert_int_equal(load(folder->path, &fine, NULL), TRIB_OK);
}

static void a_table_beyond_the_limit_is_refused_before_memory_is_asked_for(void **state) {
    (void)state;
    struct trib_dataset dataset = {0};
    struct trib_error error = {0};
    assert_int_equal(
        trib_dataset_reserve(&dataset, trib_env_system(), 1u << 20, 1u << 20, 0, true, &error),
        TRIB_ELIMIT);
    assert_non_null(strstr(error.text, "4096 MiB"));
}

static void an_empty_data_set_can_be_released(void **state) {
    (void)state;
    struct trib_dataset dataset = {0};
    trib_dataset_deinit(&dataset);
    trib_dataset_deinit(&dataset);
    assert_null(dataset.features);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(a_path_without_data_says_what_was_looked_for),
        TEST_IN_FOLDER(a_damaged_file_is_not_passed_over_for_another_format),
        TEST_IN_FOLDER(requests_that_make_no_sense_are_refused),
        cmocka_unit_test(a_table_beyond_the_limit_is_refused_before_memory_is_asked_for),
        cmocka_unit_test(an_empty_data_set_can_be_released),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
