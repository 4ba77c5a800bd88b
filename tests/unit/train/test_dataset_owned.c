/* test_dataset_owned.c - hospitals and people keep their rows, and every fifth is held out. */
#include "train/dataset.h"

#include <math.h>
#include <stdio.h>

#include "folder.h"
#include "support/check.h"
#include "support/env_faulty.h"

#define FIRST "63,1,4,140,260,0,1,112,1,3,2,?,7,"

static void write_hospital(struct test_folder *folder, const char *name, const char *text) {
    char file[48];
    (void)snprintf(file, sizeof file, "processed.%s.data", name);
    test_folder_write_text(folder, file, text);
}

/* Seven rows of one hospital, two of another, one of the others. Age counts up from 60. */
static void write_heart(struct test_folder *folder) {
    char text[1024] = "";
    for (int row = 0; row < 7; row++) {
        char line[96];
        (void)snprintf(line, sizeof line, "%d.0,1,4,%s,260,0,1,112,1,3,2,?,7,%d\n", 60 + row,
                       row == 0 ? "?" : "140", row % 5);
        strcat(text, line);
    }
    write_hospital(folder, "cleveland", text);
    write_hospital(folder, "hungarian", FIRST "0\n" FIRST "3\n");
    write_hospital(folder, "switzerland", FIRST "1\r\n\n");
    write_hospital(folder, "va", FIRST "4");
}

static struct trib_dataset load(struct test_folder *folder, const char *path,
                                enum trib_dataset_part part) {
    const struct trib_dataset_request request = {.part = part};
    struct trib_dataset dataset;
    struct trib_error error = {0};
    (void)folder;
    if (trib_dataset_load(trib_env_system(), path, &request, &dataset, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    return dataset;
}

static void hospitals_own_their_patients(void **state) {
    struct test_folder *folder = *state;
    write_heart(folder);
    struct trib_dataset train = load(folder, folder->path, TRIB_DATASET_TRAIN);
    struct trib_dataset test = load(folder, folder->path, TRIB_DATASET_TEST);
    assert_int_equal(train.row_count, 10);
    assert_int_equal(test.row_count, 1); /* the fifth of the first */
    assert_int_equal(train.feature_count, 13);
    assert_int_equal(train.class_count, 2);
    assert_int_equal(train.owner_count, 4);
    static const uint32_t owners[] = {0, 0, 0, 0, 0, 0, 1, 1, 2, 3};
    static const int32_t labels[] = {0, 1, 1, 1, 0, 1, 0, 1, 1, 1};
    for (size_t row = 0; row < 10; row++) {
        assert_int_equal(train.owners[row], owners[row]);
        assert_int_equal(train.labels[row], labels[row]);
    }
    assert_int_equal(test.labels[0], 1);
    trib_dataset_deinit(&train);
    trib_dataset_deinit(&test);
}

/* Training rows have mean 0 and deviation 1, also where one value is missing, which is 0. */
static void features_are_centred_and_scaled(void **state) {
    struct test_folder *folder = *state;
    write_heart(folder);
    struct trib_dataset train = load(folder, folder->path, TRIB_DATASET_TRAIN);
    double sum = 0.0, square_sum = 0.0;
    for (size_t row = 0; row < train.row_count; row++) {
        double age = train.features[row * 13];
        sum += age;
        square_sum += age * age;
        assert_true(train.features[row * 13 + 11] == 0.0F); /* missing everywhere */
        assert_true(isfinite(train.features[row * 13 + 3]));
    }
    assert_true(fabs(sum) < 1e-5);
    assert_true(fabs(square_sum / (double)train.row_count - 1.0) < 1e-5);
    assert_true(train.features[3] == 0.0F);
    trib_dataset_deinit(&train);
}

static void write_wisdm(struct test_folder *folder, const char *lines) {
    char text[4096];
    (void)snprintf(text, sizeof text, "@relation people\n@attribute \"user\"\n@data\n%s", lines);
    test_folder_write_text(folder, "people.arff", text);
}

static const char *wisdm_line(char line[256], int person, const char *first, const char *class) {
    int used = snprintf(line, 256, "9,%d,%s", person, first);
    for (int i = 1; i < 43; i++) {
        used += snprintf(line + used, 256 - (size_t)used, ",%d", i);
    }
    (void)snprintf(line + used, 256 - (size_t)used, ",%s\n", class);
    return line;
}

static void people_own_their_windows(void **state) {
    struct test_folder *folder = *state;
    char lines[3000] = "", line[256];
    for (int row = 0; row < 6; row++) {
        strcat(lines, wisdm_line(line, 33, "0.5", row < 3 ? "Jogging" : "Walking"));
    }
    strcat(lines, wisdm_line(line, 2, "?", "Sitting"));
    write_wisdm(folder, lines);
    const char *path = test_folder_path(folder, "people.arff");
    struct trib_dataset train = load(folder, path, TRIB_DATASET_TRAIN);
    assert_int_equal(train.row_count, 6);
    assert_int_equal(train.feature_count, 43);
    assert_int_equal(train.class_count, 6);
    assert_int_equal(train.owners[0], 32);
    assert_int_equal(train.owners[5], 1);
    assert_int_equal(train.labels[0], 1);
    assert_int_equal(train.labels[4], 5);
    assert_int_equal(train.labels[5], 2);
    trib_dataset_deinit(&train);
}

static void a_bad_line_has_its_place(void **state) {
    struct test_folder *folder = *state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {FIRST "x\n", "line 1, column 14: not a number"},
        {FIRST "5\n", "line 1, column 14: not a whole number in its range"},
        {FIRST "?\n", "line 1, column 14: not a whole number in its range"},
        {FIRST "1,2\n", "line 1, column 15: more columns"},
        {FIRST "1\n1,2\n", "line 2, column 3: not a number"},
        {"1,inf\n", "line 1, column 2: not a number"},
    };
    struct trib_dataset dataset;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct trib_error error = {0};
        write_heart(folder);
        write_hospital(folder, "va", rows[i].text);
        assert_int_equal(trib_dataset_load(trib_env_system(), folder->path, NULL, &dataset, &error),
                         TRIB_EMALFORMED);
        if (strstr(error.text, rows[i].part) == NULL) {
            fail_msg("%s", error.text);
        }
    }
    char line[256];
    static const struct {
        int person;
        const char *class, *part;
    } people[] = {{37, "Walking", "line 4, column 2"}, {3, "Flying", "unknown activity"}};
    for (size_t i = 0; i < sizeof people / sizeof *people; i++) {
        struct trib_error error = {0};
        write_wisdm(folder, wisdm_line(line, people[i].person, "1", people[i].class));
        assert_int_equal(trib_dataset_load(trib_env_system(),
                                           test_folder_path(folder, "people.arff"), NULL, &dataset,
                                           &error),
                         TRIB_EMALFORMED);
        assert_non_null(strstr(error.text, people[i].part));
    }
}

static void every_allocation_may_fail(void **state) {
    struct test_folder *folder = *state;
    write_heart(folder);
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_dataset dataset = {0};
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status =
            trib_dataset_load(&faulty.env, folder->path, NULL, &dataset, NULL);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_dataset_deinit(&dataset);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(hospitals_own_their_patients),
        TEST_IN_FOLDER(features_are_centred_and_scaled),
        TEST_IN_FOLDER(people_own_their_windows),
        TEST_IN_FOLDER(a_bad_line_has_its_place),
        TEST_IN_FOLDER(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
