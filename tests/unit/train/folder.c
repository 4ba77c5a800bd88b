/* folder.c - a temporary folder with small data files for a test. */
#include "folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <zlib.h>

#include "support/check.h"

int test_folder_setup(void **state) {
    struct test_folder *folder = calloc(1, sizeof *folder);
    assert_non_null(folder);
    (void)snprintf(folder->path, sizeof folder->path, "/tmp/trib-train-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    *state = folder;
    return 0;
}

int test_folder_teardown(void **state) {
    struct test_folder *folder = *state;
    DIR *directory = opendir(folder->path);
    assert_non_null(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (entry->d_name[0] != '.') {
            test_folder_remove(folder, entry->d_name);
        }
    }
    assert_int_equal(closedir(directory), 0);
    assert_int_equal(rmdir(folder->path), 0);
    free(folder);
    return 0;
}

const char *test_folder_path(struct test_folder *folder, const char *name) {
    const int length =
        snprintf(folder->joined, sizeof folder->joined, "%s/%.60s", folder->path, name);
    assert_true(length > 0 && (size_t)length < sizeof folder->joined);
    return folder->joined;
}

void test_folder_write(struct test_folder *folder, const char *name, const void *bytes,
                       size_t byte_count) {
    const char *path = test_folder_path(folder, name);
    const size_t name_bytes = strlen(name);
    if (name_bytes > 3 && strcmp(name + name_bytes - 3, ".gz") == 0) {
        gzFile stream = gzopen(path, "wb");
        assert_non_null(stream);
        assert_int_equal(gzfwrite(bytes, 1, byte_count, stream), byte_count);
        assert_int_equal(gzclose(stream), Z_OK);
    } else {
        FILE *stream = fopen(path, "wb");
        assert_non_null(stream);
        assert_int_equal(fwrite(bytes, 1, byte_count, stream), byte_count);
        assert_int_equal(fclose(stream), 0);
    }
}

void test_folder_write_text(struct test_folder *folder, const char *name, const char *text) {
    test_folder_write(folder, name, text, strlen(text));
}

void test_folder_remove(struct test_folder *folder, const char *name) {
    assert_int_equal(unlink(test_folder_path(folder, name)), 0);
}

void test_folder_write_idx(struct test_folder *folder, const char *name, uint32_t magic,
                           const uint32_t *dimensions, size_t dimension_count, const void *bytes,
                           size_t byte_count) {
    unsigned char file[4096];
    size_t used = 0;
    assert_true(4 * (1 + dimension_count) + byte_count <= sizeof file);
    for (size_t i = 0; i <= dimension_count; i++) {
        const uint32_t word = i == 0 ? magic : dimensions[i - 1];
        file[used++] = (unsigned char)(word >> 24);
        file[used++] = (unsigned char)(word >> 16);
        file[used++] = (unsigned char)(word >> 8);
        file[used++] = (unsigned char)word;
    }
    memcpy(file + used, bytes, byte_count);
    test_folder_write(folder, name, file, used + byte_count);
}
