/* folder.h - a temporary folder with small data files for a test. */
#ifndef TRIB_TESTS_TRAIN_FOLDER_H
#define TRIB_TESTS_TRAIN_FOLDER_H

#include <stddef.h>
#include <stdint.h>

struct test_folder {
    char path[64];
    char joined[128]; /* the latest test_folder_path() */
};

/* cmocka fixtures: *state is the folder; teardown removes it with all that is in it. */
int test_folder_setup(void **state);
int test_folder_teardown(void **state);
#define TEST_IN_FOLDER(test) \
    cmocka_unit_test_setup_teardown(test, test_folder_setup, test_folder_teardown)

/* folder/name, valid until the next call. */
const char *test_folder_path(struct test_folder *folder, const char *name);

/* Write a file, replacing what is there; gzip when the name ends in ".gz". */
void test_folder_write(struct test_folder *folder, const char *name, const void *bytes,
                       size_t byte_count);
void test_folder_write_text(struct test_folder *folder, const char *name, const char *text);
void test_folder_remove(struct test_folder *folder, const char *name);

/* An IDX file: the magic and dimensions as big-endian words, then bytes. */
void test_folder_write_idx(struct test_folder *folder, const char *name, uint32_t magic,
                           const uint32_t *dimensions, size_t dimension_count, const void *bytes,
                           size_t byte_count);

#endif
