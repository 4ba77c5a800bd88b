/* test_dataset_csv.c - tables become data sets: split, scale, classes, chosen rows. */
#include "train/dataset.h"

#include <stdio.h>

#include "folder.h"
#include "support/check.h"
#include "support/env_faulty.h"

enum { ROWS = 23, TEST_ROWS = 5, TRAIN_ROWS = ROWS - TEST_ROWS };

/* Row i is (i, -i, i % 3): it can be told from its features, whatever the scale. */
static void write_table(struct test_folder *folder, const char *name) {
    char text[1024];
    size_t used = 0;
    for (int i = 0; i < ROWS; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%d,%d,%d\n", i, -i, i % 3);
    }
    test_folder_write(folder, name, text, used);
}

static struct trib_dataset load(const char *path, struct trib_dataset_request request) {
    struct trib_dataset dataset;
    struct trib_error error = {0};
    const enum trib_status status =
        trib_dataset_load(trib_env_system(), path, &request, &dataset, &error);
    if (status != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    return dataset;
}

static void a_file_is_split_without_losing_or_repeating_a_row(void **state) {
    struct test_folder *folder = *state;
    write_table(folder, "all.csv.gz");
    const char *path = test_folder_path(folder, "all.csv.gz");
    bool is_seen[ROWS] = {false};
    size_t row_count[2];
    for (int part = 0; part < 2; part++) {
        struct trib_dataset dataset = load(
            path, (struct trib_dataset_request){.part = part, .split_seed = 3, .feature_scale = 1});
        assert_int_equal(dataset.feature_count, 2);
        assert_int_equal(dataset.class_count, 3);
        row_count[part] = dataset.row_count;
        float before = -1;
        for (size_t i = 0; i < dataset.row_count; i++) {
            const float value = dataset.features[2 * i];
            assert_true(value > before); /* file order */
            assert_true(dataset.features[2 * i + 1] == -value);
            assert_int_equal(dataset.labels[i], (int)value % 3);
            assert_false(is_seen[(int)value]);
            is_seen[(int)value] = true;
            before = value;
        }
        trib_dataset_deinit(&dataset);
    }
    assert_int_equal(row_count[TRIB_DATASET_TRAIN], TRAIN_ROWS);
    assert_int_equal(row_count[TRIB_DATASET_TEST], TEST_ROWS);
}

static void the_seed_decides_the_split(void **state) {
    struct test_folder *folder = *state;
    write_table(folder, "all.csv");
    const char *path = test_folder_path(folder, "all.csv");
    uint32_t sets[4];
    for (size_t i = 0; i < 4; i++) {
        struct trib_dataset_request request = {
            .part = TRIB_DATASET_TEST, .split_seed = i % 2, .feature_scale = 1};
        struct trib_dataset dataset = load(path, request);
        sets[i] = 0;
        for (size_t row = 0; row < dataset.row_count; row++) {
            sets[i] |= 1u << (int)dataset.features[2 * row];
        }
        trib_dataset_deinit(&dataset);
    }
    assert_int_equal(sets[0], sets[2]);
    assert_int_equal(sets[1], sets[3]);
    assert_int_not_equal(sets[0], sets[1]);
}

static void the_scale_is_the_largest_magnitude_of_the_training_part(void **state) {
    struct test_folder *folder = *state;
    test_folder_write_text(folder, "train.csv", "1,-8,0\n4,2,1\n");
    test_folder_write_text(folder, "test.csv.gz", "16,1,1\n");
    struct trib_dataset train = load(folder->path, (struct trib_dataset_request){0});
    assert_int_equal(train.row_count, 2);
    assert_true(train.features[0] == 0.125F && train.features[1] == -1.0F);
    assert_true(train.features[2] == 0.5F && train.features[3] == 0.25F);
    trib_dataset_deinit(&train);
    struct trib_dataset test =
        load(folder->path, (struct trib_dataset_request){.part = TRIB_DATASET_TEST});
    assert_int_equal(test.row_count, 1);
    assert_true(test.features[0] == 2.0F && test.features[1] == 0.125F);
    trib_dataset_deinit(&test);
    /* A client that has other numbers than the rest can be told the scale of all. */
    train = load(folder->path, (struct trib_dataset_request){.feature_scale = 2});
    assert_true(train.features[0] == 0.5F && train.features[1] == -4.0F);
    trib_dataset_deinit(&train);
}

/* The features of row i are i and -i, so the largest of the training part is in its last row. */
static void the_test_rows_of_a_split_file_have_no_say_in_the_scale(void **state) {
    struct test_folder *folder = *state;
    write_table(folder, "all.csv");
    const char *path = test_folder_path(folder, "all.csv");
    size_t count_of_smaller_scales = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct trib_dataset plain =
            load(path, (struct trib_dataset_request){.split_seed = seed, .feature_scale = 1});
        struct trib_dataset scaled = load(path, (struct trib_dataset_request){.split_seed = seed});
        const float largest = plain.features[2 * (plain.row_count - 1)];
        count_of_smaller_scales += largest < (float)(ROWS - 1);
        for (size_t i = 0; i < 2 * plain.row_count; i++) {
            assert_true(scaled.features[i] == plain.features[i] / largest);
        }
        trib_dataset_deinit(&scaled);
        trib_dataset_deinit(&plain);
    }
    assert_in_range(count_of_smaller_scales, 1, 19);
}

static void features_that_are_all_zero_stay_so(void **state) {
    struct test_folder *folder = *state;
    test_folder_write_text(folder, "train.csv", "0,0,0\n0,0,1\n");
    struct trib_dataset train = load(folder->path, (struct trib_dataset_request){0});
    for (size_t i = 0; i < 4; i++) {
        assert_true(train.features[i] == 0.0F);
    }
    trib_dataset_deinit(&train);
}

static void chosen_rows_keep_the_scale_and_classes_of_all(void **state) {
    struct test_folder *folder = *state;
    test_folder_write_text(folder, "train.csv", "1,0\n2,1\n8,2\n4,1\n");
    const uint32_t rows[] = {1, 3};
    struct trib_dataset dataset =
        load(folder->path, (struct trib_dataset_request){.rows = rows, .row_count = 2});
    assert_int_equal(dataset.row_count, 2);
    assert_int_equal(dataset.class_count, 3);
    assert_true(dataset.features[0] == 0.25F && dataset.features[1] == 0.5F);
    assert_int_equal(dataset.labels[0], 1);
    assert_int_equal(dataset.labels[1], 1);
    trib_dataset_deinit(&dataset);
}

static void labels_alone_can_be_had(void **state) {
    struct test_folder *folder = *state;
    test_folder_write_text(folder, "train.csv", "1,0\n2,1\n8,2\n");
    struct trib_dataset dataset =
        load(folder->path, (struct trib_dataset_request){.is_labels_only = true});
    assert_null(dataset.features);
    assert_int_equal(dataset.row_count, 3);
    assert_int_equal(dataset.feature_count, 1);
    assert_int_equal(dataset.labels[2], 2);
    trib_dataset_deinit(&dataset);
}

static enum trib_status try_load(const char *path, struct trib_dataset_request request,
                                 struct trib_error *error) {
    struct trib_dataset dataset;
    memset(&dataset, 0x5a, sizeof dataset);
    const struct trib_dataset before = dataset;
    const enum trib_status status =
        trib_dataset_load(trib_env_system(), path, &request, &dataset, error);
    assert_int_not_equal(status, TRIB_OK);
    assert_memory_equal(&dataset, &before, sizeof dataset);
    return status;
}

static void parts_that_do_not_fit_together_are_refused(void **state) {
    struct test_folder *folder = *state;
    struct trib_error error;
    const struct trib_dataset_request test = {.part = TRIB_DATASET_TEST};
    test_folder_write_text(folder, "train.csv", "1,2,0\n");
    assert_int_equal(try_load(folder->path, test, &error), TRIB_ENOTFOUND);
    assert_non_null(strstr(error.text, "test.csv"));
    test_folder_write_text(folder, "test.csv", "1,0\n");
    assert_int_equal(try_load(folder->path, test, &error), TRIB_ESHAPE);
    test_folder_write_text(folder, "test.csv", "1,2,1\n");
    assert_int_equal(try_load(folder->path, test, &error), TRIB_EMALFORMED);
    assert_non_null(strstr(error.text, "label 1"));
    assert_non_null(strstr(error.text, folder->path));
    struct trib_dataset ten_classes = load(
        folder->path, (struct trib_dataset_request){.part = TRIB_DATASET_TEST, .class_count = 10});
    assert_int_equal(ten_classes.class_count, 10);
    trib_dataset_deinit(&ten_classes);
}

static void one_row_cannot_be_split(void **state) {
    struct test_folder *folder = *state;
    struct trib_error error;
    test_folder_write_text(folder, "one.csv", "1,2,0\n");
    assert_int_equal(
        try_load(test_folder_path(folder, "one.csv"), (struct trib_dataset_request){0}, &error),
        TRIB_EMALFORMED);
}

static void memory_may_run_out_anywhere(void **state) {
    struct test_folder *folder = *state;
    write_table(folder, "all.csv");
    const char *path = test_folder_path(folder, "all.csv");
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_dataset dataset = {0};
        trib_env_faulty_fail(&faulty, ++nth);
        const enum trib_status status = trib_dataset_load(&faulty.env, path, NULL, &dataset, NULL);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_dataset_deinit(&dataset);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(a_file_is_split_without_losing_or_repeating_a_row),
        TEST_IN_FOLDER(the_seed_decides_the_split),
        TEST_IN_FOLDER(the_scale_is_the_largest_magnitude_of_the_training_part),
        TEST_IN_FOLDER(the_test_rows_of_a_split_file_have_no_say_in_the_scale),
        TEST_IN_FOLDER(features_that_are_all_zero_stay_so),
        TEST_IN_FOLDER(chosen_rows_keep_the_scale_and_classes_of_all),
        TEST_IN_FOLDER(labels_alone_can_be_had),
        TEST_IN_FOLDER(parts_that_do_not_fit_together_are_refused),
        TEST_IN_FOLDER(one_row_cannot_be_split),
        TEST_IN_FOLDER(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
