/* test_gzip_file.c - plain and gzip files are read alike, and every failure has words. */
#include "train/gzip_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "support/check.h"

static void assert_reads(struct test_folder *folder, const char *name, const char *contents) {
    struct trib_gzip_file file;
    struct trib_error error = {0};
    char bytes[16] = "";
    assert_int_equal(trib_gzip_file_open(&file, folder->path, name, &error), TRIB_OK);
    assert_int_equal(trib_gzip_file_get(&file), contents[0]);
    assert_int_equal(trib_gzip_file_read(&file, bytes, strlen(contents) - 1, &error), TRIB_OK);
    assert_string_equal(bytes, contents + 1);
    assert_int_equal(trib_gzip_file_expect_end(&file, &error), TRIB_OK);
    assert_int_equal(trib_gzip_file_get(&file), -1);
    assert_int_equal(trib_gzip_file_check(&file, &error), TRIB_OK);
    trib_gzip_file_close(&file);
}

static void plain_and_gzip_files_read_alike(void **state) {
    struct test_folder *folder = *state;
    test_folder_write_text(folder, "plain", "river");
    test_folder_write_text(folder, "packed.gz", "river");
    assert_reads(folder, "plain", "river");
    assert_reads(folder, "packed", "river");
    assert_reads(folder, "packed.gz", "river");
}

static void the_plain_file_comes_before_the_packed_one(void **state) {
    struct test_folder *folder = *state;
    test_folder_write_text(folder, "both", "plain");
    test_folder_write_text(folder, "both.gz", "packed");
    assert_reads(folder, "both", "plain");
}

static void a_missing_file_is_not_found_by_name(void **state) {
    struct test_folder *folder = *state;
    struct trib_gzip_file file;
    struct trib_error error = {0};
    assert_int_equal(trib_gzip_file_open(&file, folder->path, "gone", &error), TRIB_ENOTFOUND);
    assert_non_null(strstr(error.text, "gone"));
    trib_gzip_file_close(&file); /* allowed after a failure */
    assert_int_equal(trib_gzip_file_open(&file, NULL, test_folder_path(folder, "gone"), NULL),
                     TRIB_ENOTFOUND);
}

static void a_folder_is_not_a_file(void **state) {
    struct test_folder *folder = *state;
    struct trib_gzip_file file;
    struct trib_error error = {0};
    enum trib_status status = trib_gzip_file_open(&file, NULL, folder->path, &error);
    if (status == TRIB_OK) {
        char byte;
        status = trib_gzip_file_read(&file, &byte, 1, &error);
        trib_gzip_file_close(&file);
    }
    assert_int_equal(status, TRIB_EIO);
    assert_non_null(strstr(error.text, folder->path));
}

static void a_path_that_does_not_fit_is_a_limit(void **state) {
    (void)state;
    struct trib_gzip_file file;
    char *name = malloc(TRIB_PATH_BYTES_MAX + 1);
    assert_non_null(name);
    memset(name, 'a', TRIB_PATH_BYTES_MAX);
    name[TRIB_PATH_BYTES_MAX] = '\0';
    assert_int_equal(trib_gzip_file_open(&file, NULL, name, NULL), TRIB_ELIMIT);
    free(name);
}

static void reading_past_the_end_is_truncation(void **state) {
    struct test_folder *folder = *state;
    struct trib_gzip_file file;
    struct trib_error error = {0};
    char bytes[8];
    test_folder_write_text(folder, "short", "abc");
    assert_int_equal(trib_gzip_file_open(&file, folder->path, "short", &error), TRIB_OK);
    assert_int_equal(trib_gzip_file_read(&file, bytes, 4, &error), TRIB_ETRUNCATED);
    trib_gzip_file_close(&file);
}

static void more_than_expected_is_malformed(void **state) {
    struct test_folder *folder = *state;
    struct trib_gzip_file file;
    struct trib_error error = {0};
    char bytes[8];
    test_folder_write_text(folder, "long", "abc");
    assert_int_equal(trib_gzip_file_open(&file, folder->path, "long", &error), TRIB_OK);
    assert_int_equal(trib_gzip_file_read(&file, bytes, 2, &error), TRIB_OK);
    assert_int_equal(trib_gzip_file_expect_end(&file, &error), TRIB_EMALFORMED);
    trib_gzip_file_close(&file);
}

/* Reads a damaged copy of a gzip file to its end; what came of it. */
static enum trib_status read_damaged(struct test_folder *folder, const unsigned char *packed,
                                     size_t packed_bytes) {
    FILE *stream = fopen(test_folder_path(folder, "damaged.gz"), "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(packed, 1, packed_bytes, stream), packed_bytes);
    assert_int_equal(fclose(stream), 0);

    struct trib_gzip_file file;
    assert_int_equal(trib_gzip_file_open(&file, folder->path, "damaged", NULL), TRIB_OK);
    while (trib_gzip_file_get(&file) != -1) {
    }
    struct trib_error error = {0};
    const enum trib_status status = trib_gzip_file_check(&file, &error);
    assert_true(status == TRIB_OK || strstr(error.text, "damaged.gz") != NULL);
    trib_gzip_file_close(&file);
    return status;
}

static void a_gzip_file_cut_short_or_damaged_is_an_error(void **state) {
    struct test_folder *folder = *state;
    char text[1000];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + i * i % 23);
    }
    test_folder_write(folder, "whole.gz", text, sizeof text);
    unsigned char packed[2000];
    FILE *stream = fopen(test_folder_path(folder, "whole.gz"), "rb");
    assert_non_null(stream);
    const size_t packed_bytes = fread(packed, 1, sizeof packed, stream);
    assert_int_equal(fclose(stream), 0);

    assert_int_equal(read_damaged(folder, packed, packed_bytes), TRIB_OK);
    assert_int_equal(read_damaged(folder, packed, packed_bytes - 20), TRIB_EIO);
    packed[packed_bytes - 8] ^= 1; /* the CRC of the contents */
    assert_int_equal(read_damaged(folder, packed, packed_bytes), TRIB_EIO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(plain_and_gzip_files_read_alike),
        TEST_IN_FOLDER(the_plain_file_comes_before_the_packed_one),
        TEST_IN_FOLDER(a_missing_file_is_not_found_by_name),
        TEST_IN_FOLDER(a_folder_is_not_a_file),
        cmocka_unit_test(a_path_that_does_not_fit_is_a_limit),
        TEST_IN_FOLDER(reading_past_the_end_is_truncation),
        TEST_IN_FOLDER(more_than_expected_is_malformed),
        TEST_IN_FOLDER(a_gzip_file_cut_short_or_damaged_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
