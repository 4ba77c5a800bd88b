/* test_dataset_idx.c - the four files of MNIST: what is read and what is refused. */
#include "train/dataset.h"

#include "folder.h"
#include "support/check.h"
#include "support/env_faulty.h"

enum { IMAGES = 0x803, LABELS = 0x801, HEIGHT = 2, WIDTH = 3, PIXELS = HEIGHT * WIDTH };

static const unsigned char train_pixels[4 * PIXELS] = {
    0, 255, 51, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 102,
};
static const unsigned char train_labels[4] = {3, 0, 1, 2};
static const unsigned char test_pixels[PIXELS] = {0, 0, 255, 0, 0, 0};
static const unsigned char test_label = 1;

static void write_all(struct test_folder *folder) {
    const uint32_t train[] = {4, HEIGHT, WIDTH};
    const uint32_t test[] = {1, HEIGHT, WIDTH};
    test_folder_write_idx(folder, "train-images-idx3-ubyte.gz", IMAGES, train, 3, train_pixels,
                          sizeof train_pixels);
    test_folder_write_idx(folder, "train-labels-idx1-ubyte", LABELS, train, 1, train_labels, 4);
    test_folder_write_idx(folder, "t10k-images-idx3-ubyte", IMAGES, test, 3, test_pixels,
                          sizeof test_pixels);
    test_folder_write_idx(folder, "t10k-labels-idx1-ubyte.gz", LABELS, test, 1, &test_label, 1);
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

static void both_parts_are_read_and_scaled(void **state) {
    struct test_folder *folder = *state;
    write_all(folder);
    struct trib_dataset train = load(folder->path, (struct trib_dataset_request){0});
    assert_int_equal(train.row_count, 4);
    assert_int_equal(train.feature_count, PIXELS);
    assert_int_equal(train.class_count, 4);
    assert_int_equal((uintptr_t)train.features % 64, 0);
    for (size_t i = 0; i < sizeof train_pixels; i++) {
        assert_true(train.features[i] == (float)(train_pixels[i] / 255.0));
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(train.labels[i], train_labels[i]);
    }
    trib_dataset_deinit(&train);

    struct trib_dataset test =
        load(folder->path, (struct trib_dataset_request){.part = TRIB_DATASET_TEST});
    assert_int_equal(test.row_count, 1);
    assert_int_equal(test.class_count, 4); /* of the training part */
    assert_true(test.features[2] == 1.0F);
    assert_int_equal(test.labels[0], 1);
    trib_dataset_deinit(&test);
}

static void chosen_rows_are_read_alone(void **state) {
    struct test_folder *folder = *state;
    write_all(folder);
    const uint32_t rows[] = {0, 3};
    struct trib_dataset dataset =
        load(folder->path,
             (struct trib_dataset_request){.rows = rows, .row_count = 2, .feature_scale = 51});
    assert_int_equal(dataset.row_count, 2);
    assert_int_equal(dataset.class_count, 4);
    assert_true(dataset.features[1] == 5.0F && dataset.features[2] == 1.0F);
    assert_true(dataset.features[2 * PIXELS - 1] == 2.0F);
    assert_int_equal(dataset.labels[0], 3);
    assert_int_equal(dataset.labels[1], 2);
    trib_dataset_deinit(&dataset);
}

static void labels_alone_can_be_had(void **state) {
    struct test_folder *folder = *state;
    write_all(folder);
    struct trib_dataset dataset =
        load(folder->path, (struct trib_dataset_request){.is_labels_only = true});
    assert_null(dataset.features);
    assert_int_equal(dataset.row_count, 4);
    assert_int_equal(dataset.feature_count, PIXELS);
    assert_int_equal(dataset.labels[0], 3);
    trib_dataset_deinit(&dataset);
}

static void assert_refused(struct test_folder *folder, struct trib_dataset_request request,
                           enum trib_status expected, const char *words) {
    struct trib_dataset dataset;
    struct trib_error error = {0};
    memset(&dataset, 0x5a, sizeof dataset);
    const struct trib_dataset before = dataset;
    assert_int_equal(trib_dataset_load(trib_env_system(), folder->path, &request, &dataset, &error),
                     expected);
    assert_memory_equal(&dataset, &before, sizeof dataset);
    if (strstr(error.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", error.text, words);
    }
}

static void write_images(struct test_folder *folder, uint32_t magic, uint32_t count,
                         uint32_t height, uint32_t width, size_t byte_count) {
    static const unsigned char zeros[256];
    const uint32_t dimensions[] = {count, height, width};
    test_folder_write_idx(folder, "train-images-idx3-ubyte.gz", magic, dimensions, 3, zeros,
                          byte_count);
}

static void write_labels(struct test_folder *folder, uint32_t magic, uint32_t count,
                         size_t byte_count) {
    test_folder_write_idx(folder, "train-labels-idx1-ubyte", magic, &count, 1, train_labels,
                          byte_count);
}

static void hostile_images_are_refused_by_name(void **state) {
    struct test_folder *folder = *state;
    const struct trib_dataset_request all = {0};
    write_all(folder);
    write_images(folder, 0x801, 4, 2, 3, 24);
    assert_refused(folder, all, TRIB_EMALFORMED, "images-idx3-ubyte.gz: begins with 0x00000801");
    write_images(folder, IMAGES, 3, 2, 3, 18);
    assert_refused(folder, all, TRIB_EMALFORMED, "3 images, but there are 4 labels");
    write_images(folder, IMAGES, 0, 2, 3, 0);
    assert_refused(folder, all, TRIB_EMALFORMED, "0 rows");
    write_images(folder, IMAGES, 4, 2, 0, 0);
    assert_refused(folder, all, TRIB_EMALFORMED, "without pixels");
    write_images(folder, IMAGES, 4, 0x10000, 0x10000, 24); /* the product is 0 in 32 bits */
    assert_refused(folder, all, TRIB_ELIMIT, "65536 x 65536");
    write_images(folder, IMAGES, 0xffffffff, 2, 3, 24);
    assert_refused(folder, all, TRIB_ELIMIT, "4294967295 rows");
    write_images(folder, IMAGES, 4, 2, 3, 23);
    assert_refused(folder, all, TRIB_ETRUNCATED, "ends too early");
    write_images(folder, IMAGES, 4, 2, 3, 25);
    assert_refused(folder, all, TRIB_EMALFORMED, "more bytes than its head announces");
    test_folder_write(folder, "train-images-idx3-ubyte.gz", "\0\0", 2);
    assert_refused(folder, all, TRIB_ETRUNCATED, "ends too early");
    test_folder_remove(folder, "train-images-idx3-ubyte.gz");
    assert_refused(folder, all, TRIB_ENOTFOUND, "train-images-idx3-ubyte");
}

static void hostile_labels_are_refused_by_name(void **state) {
    struct test_folder *folder = *state;
    const struct trib_dataset_request all = {0};
    write_all(folder);
    write_labels(folder, IMAGES, 4, 4);
    assert_refused(folder, all, TRIB_EMALFORMED, "labels-idx1-ubyte: begins with 0x00000803");
    write_labels(folder, LABELS, 4, 3);
    assert_refused(folder, all, TRIB_ETRUNCATED, "labels-idx1-ubyte: ends too early");
    write_labels(folder, LABELS, 3, 4);
    assert_refused(folder, all, TRIB_EMALFORMED, "labels-idx1-ubyte: has more bytes");
    write_labels(folder, LABELS, 0x80000000, 4);
    assert_refused(folder, all, TRIB_ELIMIT, "2147483648 rows");
    write_labels(folder, LABELS, 4, 4);
    assert_refused(folder, (struct trib_dataset_request){.class_count = 3}, TRIB_EMALFORMED,
                   "label 3 of row 0");
}

static void memory_may_run_out_anywhere(void **state) {
    struct test_folder *folder = *state;
    write_all(folder);
    for (int part = 0; part < 2; part++) {
        const struct trib_dataset_request request = {.part = part};
        struct trib_env_faulty faulty;
        trib_env_faulty_init(&faulty);
        uint64_t nth = 0;
        do {
            struct trib_dataset dataset = {0};
            trib_env_faulty_fail(&faulty, ++nth);
            const enum trib_status status =
                trib_dataset_load(&faulty.env, folder->path, &request, &dataset, NULL);
            assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
            trib_dataset_deinit(&dataset);
            assert_int_equal(faulty.blocks_live, 0);
        } while (faulty.has_failed);
        trib_env_faulty_deinit(&faulty);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(both_parts_are_read_and_scaled),
        TEST_IN_FOLDER(chosen_rows_are_read_alone),
        TEST_IN_FOLDER(labels_alone_can_be_had),
        TEST_IN_FOLDER(hostile_images_are_refused_by_name),
        TEST_IN_FOLDER(hostile_labels_are_refused_by_name),
        TEST_IN_FOLDER(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
