/* test_model_file.c - what inspect and diff say of a file is true. */
#include "cli/model_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "folder.h"
#include "screen.h"
#include "support/check.h"
#include "support/env_faulty.h"
#include "tensor/safetensors.h"

/* A safetensors file from its JSON head and data. */
static const char *write_model(struct test_folder *folder, const char *name, const char *head,
                               const void *data, size_t data_bytes) {
    unsigned char file[4096] = {0};
    size_t head_bytes = strlen(head);
    assert_true(8 + head_bytes + data_bytes <= sizeof file);
    file[0] = (unsigned char)head_bytes;
    file[1] = (unsigned char)(head_bytes >> 8);
    memcpy(file + 8, head, head_bytes);
    memcpy(file + 8 + head_bytes, data, data_bytes);
    test_folder_write(folder, name, file, 8 + head_bytes + data_bytes);
    return test_folder_path(folder, name);
}

static void open_file(const char *path, struct trib_model_file *file) {
    struct trib_error error = {0};
    if (trib_model_file_open(trib_env_system(), path, file, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
}

/* A version as the daemon writes it: a [2,3], b []. */
static const char *write_canonical(struct test_folder *folder, const char *name,
                                   const float values[7]) {
    const struct trib_tensor tensors[] = {
        {.name = "b", .dtype = TRIB_F32, .rank = 0},
        {.name = "a", .dtype = TRIB_F32, .rank = 2, .shape = {2, 3}},
    };
    struct trib_layout *layout;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), tensors, 2, &layout, NULL), TRIB_OK);
    struct trib_block *block = trib_safetensors_block(trib_env_system(), layout);
    assert_non_null(block);
    memcpy(block->bytes + layout->data_offset, values, 7 * sizeof *values);
    test_folder_write(folder, name, block->bytes, block->byte_count);
    trib_block_unref(block);
    trib_layout_free(layout);
    return test_folder_path(folder, name);
}

static void canonical_is_byte_for_byte(void **state) {
    struct test_folder *folder = *state;
    static const float values[7] = {1, 2, 3, 4, 5, 6, 7};
    static const struct {
        const char *head;
        bool is_canonical;
    } cases[] = {
        /* the data would be the same in each of them */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[7],\"data_offsets\":[0,28]}}",
         false}, /* no padding */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[7],\"data_offsets\":[0,28]}} ", true},
        {"{\"a\": {\"dtype\":\"F32\",\"shape\":[7],\"data_offsets\":[0,28]}}", false}, /* blank */
        {"{\"a\":{\"shape\":[7],\"dtype\":\"F32\",\"data_offsets\":[0,28]}} ", false}, /* order */
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[7],\"data_offsets\":[0,28]}} ", false},
    };
    struct trib_model_file file;
    bool is_canonical;
    open_file(write_canonical(folder, "good.safetensors", values), &file);
    assert_int_equal(trib_model_file_is_canonical(&file, &is_canonical), TRIB_OK);
    assert_true(is_canonical);
    trib_model_file_close(&file);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_file(write_model(folder, "x", cases[i].head, values, sizeof values), &file);
        assert_int_equal(trib_model_file_is_canonical(&file, &is_canonical), TRIB_OK);
        if (is_canonical != cases[i].is_canonical) {
            fail_msg("%s", cases[i].head);
        }
        trib_model_file_close(&file);
    }
}

static void the_digest_is_that_of_the_file(void **state) {
    struct test_folder *folder = *state;
    static const float values[7] = {0};
    struct trib_model_file file;
    struct trib_digest digest, expected;
    unsigned char bytes[512];
    const char *path = write_canonical(folder, "m", values);
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    size_t count = fread(bytes, 1, sizeof bytes, stream);
    assert_int_equal(fclose(stream), 0);
    trib_digest_of(bytes, count, &expected);
    open_file(path, &file);
    assert_int_equal(trib_model_file_digest(&file, &digest), TRIB_OK);
    assert_true(trib_digest_equal(&digest, &expected));
    trib_model_file_close(&file);
}

static void a_summary_leaves_nan_out(void **state) {
    const float values[7] = {1, NAN, 3, 5, NAN, 7, -4};
    struct trib_model_file file;
    struct trib_tensor_summary summary;
    open_file(write_canonical(*state, "m", values), &file);
    assert_int_equal(trib_model_file_summary(&file, &file.layout->tensors[0], &summary), TRIB_OK);
    assert_int_equal(summary.nan_count, 2);
    assert_true(summary.mean == 4.0);
    assert_true(fabs(summary.deviation - sqrt(5.0)) < 1e-12);
    assert_true(summary.smallest == 1.0 && summary.largest == 7.0);
    assert_int_equal(trib_model_file_summary(&file, &file.layout->tensors[1], &summary), TRIB_OK);
    assert_true(summary.mean == -4.0 && summary.deviation == 0.0);
    trib_model_file_close(&file);
}

static void an_empty_tensor_has_no_mean(void **state) {
    struct trib_model_file file;
    struct trib_tensor_summary summary;
    open_file(write_model(*state, "m",
                          "{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", "",
                          0),
              &file);
    assert_int_equal(trib_model_file_summary(&file, &file.layout->tensors[0], &summary), TRIB_OK);
    assert_true(isnan(summary.mean) && isnan(summary.smallest) && summary.nan_count == 0);
    trib_model_file_close(&file);
}

static void every_dtype_becomes_its_value(void **state) {
    static const struct {
        const char *dtype;
        unsigned char bytes[8];
        size_t width;
        double value;
    } cases[] = {
        {"F32", {0, 0, 0xc0, 0xbf}, 4, -1.5},
        {"F16", {0, 0x3e}, 2, 1.5},
        {"BF16", {0xc0, 0x3f}, 2, 1.5},
        {"F64", {0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xb9, 0x3f}, 8, 0.1},
        {"I8", {0x80}, 1, -128},
        {"U8", {0x80}, 1, 128},
        {"I16", {0xff, 0xff}, 2, -1},
        {"U16", {0xff, 0xff}, 2, 65535},
        {"I32", {0x01, 0, 0, 0x81}, 4, -2130706431},
        {"U32", {0xff, 0xff, 0xff, 0xff}, 4, 4294967295.0},
        {"I64", {0, 0, 0, 0, 0, 0, 0, 0x80}, 8, -9223372036854775808.0},
        {"U64", {0, 0, 0, 0, 0, 0, 0, 0x80}, 8, 9223372036854775808.0},
        {"BOOL", {1}, 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char head[128];
        struct trib_model_file file;
        double value;
        (void)snprintf(head, sizeof head,
                       "{\"x\":{\"dtype\":\"%s\",\"shape\":[1],\"data_offsets\":[0,%zu]}}",
                       cases[i].dtype, cases[i].width);
        open_file(write_model(*state, "m", head, cases[i].bytes, cases[i].width), &file);
        assert_int_equal(trib_model_file_values(&file, &file.layout->tensors[0], 0, 1, &value),
                         TRIB_OK);
        if (value != cases[i].value) {
            fail_msg("%s: %.17g instead of %.17g", cases[i].dtype, value, cases[i].value);
        }
        trib_model_file_close(&file);
    }
}

static void a_difference_is_measured(void **state) {
    struct test_folder *folder = *state;
    const float left[7] = {3, NAN, 4, 1, NAN, 0, 2};
    const float right[7] = {0, NAN, 8, 1, 5, 0, 2};
    struct trib_model_file a, b;
    struct trib_tensor_difference found;
    open_file(write_canonical(folder, "a", left), &a);
    open_file(write_canonical(folder, "b", right), &b);
    assert_int_equal(
        trib_model_file_compare(&a, &a.layout->tensors[0], &b, &b.layout->tensors[0], &found),
        TRIB_OK);
    assert_int_equal(found.differing, 3); /* 3 and 0, 4 and 8, NaN and 5 */
    assert_true(found.largest == 4.0);
    assert_true(found.norm == 5.0);
    assert_true(fabs(found.relative - 5.0 / sqrt(26.0)) < 1e-12);
    assert_int_equal(
        trib_model_file_compare(&a, &a.layout->tensors[1], &b, &b.layout->tensors[1], &found),
        TRIB_OK);
    assert_int_equal(found.differing, 0);
    assert_true(found.largest == 0.0 && found.relative == 0.0);
    trib_model_file_close(&a);
    trib_model_file_close(&b);
}

static void what_is_no_model_is_told_with_its_path(void **state) {
    struct test_folder *folder = *state;
    struct trib_model_file file;
    struct trib_error error = {0};
    assert_int_equal(trib_model_file_open(trib_env_system(), "/nonexistent", &file, &error),
                     TRIB_ENOTFOUND);
    assert_non_null(strstr(error.text, "/nonexistent: "));
    assert_int_equal(trib_model_file_open(trib_env_system(), folder->path, &file, &error),
                     TRIB_EIO);
    test_folder_write_text(folder, "m", "no model");
    assert_int_not_equal(
        trib_model_file_open(trib_env_system(), test_folder_path(folder, "m"), &file, &error),
        TRIB_OK);
    assert_null(file.layout);
    trib_model_file_close(&file); /* zero */
}

static void memory_may_run_out(void **state) {
    static const float values[7] = {0};
    const char *path = write_canonical(*state, "m", values);
    struct trib_env_faulty faulty;
    uint64_t nth = 0;
    trib_env_faulty_init(&faulty);
    do {
        struct trib_model_file file;
        struct trib_digest digest;
        bool is_canonical;
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_model_file_open(&faulty.env, path, &file, NULL);
        status = status == TRIB_OK ? trib_model_file_digest(&file, &digest) : status;
        status = status == TRIB_OK ? trib_model_file_is_canonical(&file, &is_canonical) : status;
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_model_file_close(&file);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 4);
    trib_env_faulty_deinit(&faulty);
}

static void the_commands_show_it(void **state) {
    struct test_folder *folder = *state;
    const float values[7] = {1, 2, 3, 4, 5, 6, 7};
    const float others[7] = {1, 2, 3, 4, 5, 6, 8};
    char a[128], b[128], c[128];
    struct test_screen screen;
    (void)snprintf(a, sizeof a, "%s", write_canonical(folder, "a", values));
    (void)snprintf(b, sizeof b, "%s", write_canonical(folder, "b", others));
    (void)snprintf(c, sizeof c, "%s",
                   write_model(folder, "c",
                               "{\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]},"
                               "\"z\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[24,28]}}",
                               values, sizeof values));
    test_screen_init(&screen, trib_env_system());
    assert_int_equal(TEST_RUN(&screen, "model", "inspect", a), TRIB_EXIT_OK);
    assert_non_null(strstr(screen.out, ": 2 tensors, 7 parameters, "));
    assert_non_null(strstr(screen.out, ", canonical\nsha256 "));
    assert_int_equal(TEST_RUN(&screen, "model", "inspect", c, "--json"), TRIB_EXIT_OK);
    json_t *document = json_loads(screen.out, 0, NULL);
    assert_false(json_is_true(json_object_get(document, "canonical")));
    assert_int_equal(json_array_size(json_object_get(document, "tensors")), 2);
    json_decref(document);
    assert_int_equal(TEST_RUN(&screen, "model", "diff", a, a), TRIB_EXIT_OK);
    assert_int_equal(TEST_RUN(&screen, "model", "diff", a, b), TRIB_EXIT_FAILED);
    assert_int_equal(TEST_RUN(&screen, "model", "diff", a, c, "--json"), TRIB_EXIT_FAILED);
    assert_non_null(strstr(screen.out, "\"shape\""));
    assert_non_null(strstr(screen.out, "\"only in A\""));
    assert_non_null(strstr(screen.out, "\"only in B\""));
    assert_int_equal(TEST_RUN(&screen, "model", "diff", a, "/nonexistent"), TRIB_EXIT_USAGE);
    test_screen_deinit(&screen);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(canonical_is_byte_for_byte),
        TEST_IN_FOLDER(the_digest_is_that_of_the_file),
        TEST_IN_FOLDER(a_summary_leaves_nan_out),
        TEST_IN_FOLDER(an_empty_tensor_has_no_mean),
        TEST_IN_FOLDER(every_dtype_becomes_its_value),
        TEST_IN_FOLDER(a_difference_is_measured),
        TEST_IN_FOLDER(what_is_no_model_is_told_with_its_path),
        TEST_IN_FOLDER(memory_may_run_out),
        TEST_IN_FOLDER(the_commands_show_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
