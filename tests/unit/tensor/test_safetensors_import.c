/* test_safetensors_import.c - a model file of any dtypes becomes version 0. */
#include "support/check.h"

#include <math.h>

#include "support/env_faulty.h"
#include "tensor/bodies.h"
#include "tensor/safetensors.h"

/* Data not in name order, so no value is aligned to its size. */
static const char mixed_json[] =
    "{\"steps\":{\"dtype\":\"I8\",\"shape\":[],\"data_offsets\":[0,1]},"
    "\"half\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[1,5]},"
    "\"double\":{\"dtype\":\"F64\",\"shape\":[1,2],\"data_offsets\":[5,21]},"
    "\"brain\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[21,23]},"
    "\"count\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[23,27]},"
    "\"plain\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[27,31]}}";

struct mixed {
    signed char data[31];
};

static struct mixed mixed_data(double second, int32_t count) {
    struct mixed mixed = {{0}};
    const uint16_t half[] = {0x3C00, 0x0001};
    const double doubles[] = {0.1, second};
    const uint16_t brain = 0xC040;
    const float plain = -7.5f;
    mixed.data[0] = 99;
    memcpy(mixed.data + 1, half, sizeof half);
    memcpy(mixed.data + 5, doubles, sizeof doubles);
    memcpy(mixed.data + 21, &brain, sizeof brain);
    memcpy(mixed.data + 23, &count, sizeof count);
    memcpy(mixed.data + 27, &plain, sizeof plain);
    return mixed;
}

static const struct trib_role_rule freeze_count = {
    .match = "count", .role = TRIB_ROLE_FREEZE, .has_role = true};

/* The whole way of a model into a version. */
static enum trib_status import(const struct trib_env *env, const struct trib_source *source,
                               struct trib_layout **layout, struct trib_block **version,
                               struct trib_error *error) {
    struct trib_layout *file = NULL;
    *layout = NULL;
    *version = NULL;
    enum trib_status status = trib_safetensors_parse(env, source, 4096, NULL, NULL, &file, error);
    if (status == TRIB_OK) {
        status = trib_layout_of_model(env, file, &freeze_count, 1, 16, layout, error);
    }
    if (status == TRIB_OK) {
        status = trib_safetensors_import(env, file, source, *layout, version, error);
    }
    trib_layout_free(file);
    return status;
}

static void every_dtype_becomes_fp32(void **state) {
    (void)state;
    const struct mixed mixed = mixed_data(1 + 0x1p-30, 1 << 24);
    struct body body = body_of(mixed_json, &mixed, sizeof mixed.data);
    const float expected[] = {-3, 0x1p24f, 0.1f, 1, 1, 0x1p-24f, -7.5f}; /* in name order */
    for (size_t chunk_bytes = 0; chunk_bytes < 8; chunk_bytes++) {
        struct pieces pieces;
        struct trib_source source = pieces_of(&pieces, &body, chunk_bytes);
        struct trib_layout *layout;
        struct trib_block *version;
        struct trib_error error;
        assert_int_equal(import(trib_env_system(), &source, &layout, &version, &error), TRIB_OK);
        assert_true(trib_block_is_sealed(version));
        assert_int_equal(version->byte_count, layout->data_offset + sizeof expected);
        assert_memory_equal(version->bytes + layout->data_offset, expected, sizeof expected);
        trib_block_unref(version);
        trib_layout_free(layout);
    }
    body_free(&body);
}

static void a_version_imports_as_itself(void **state) {
    (void)state;
    const struct mixed mixed = mixed_data(2, 3);
    struct body body = body_of(mixed_json, &mixed, sizeof mixed.data);
    struct trib_layout *layout, *again_layout;
    struct trib_block *version, *again;
    struct trib_error error;
    assert_int_equal(import(trib_env_system(), &body.source, &layout, &version, &error), TRIB_OK);
    struct trib_source source = trib_source_of_memory(version->bytes, version->byte_count);
    assert_int_equal(import(trib_env_system(), &source, &again_layout, &again, &error), TRIB_OK);
    assert_int_equal(again->byte_count, version->byte_count);
    assert_memory_equal(again->bytes, version->bytes, version->byte_count);
    trib_block_unref(version);
    trib_block_unref(again);
    trib_layout_free(layout);
    trib_layout_free(again_layout);
    body_free(&body);
}

static void what_fp32_lacks_is_refused_by_name(void **state) {
    (void)state;
    const struct {
        double second;
        int32_t count;
        enum trib_status status;
        const char *text;
    } cases[] = {
        {(double)NAN, 0, TRIB_ENONFINITE, "tensor double: value 1 is not a finite fp32 number"},
        {1e300, 0, TRIB_ENONFINITE, "tensor double: value 1 is not a finite fp32 number"},
        {0, (1 << 24) + 1, TRIB_EBOUND, "tensor count: value 0 is not exact in fp32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct mixed mixed = mixed_data(cases[i].second, cases[i].count);
        struct body body = body_of(mixed_json, &mixed, sizeof mixed.data);
        struct trib_layout *layout;
        struct trib_block *version;
        struct trib_error error;
        assert_int_equal(import(trib_env_system(), &body.source, &layout, &version, &error),
                         cases[i].status);
        assert_string_equal(error.text, cases[i].text);
        assert_null(version);
        trib_layout_free(layout);
        body_free(&body);
    }
}

/* The 10,000th value is in the third piece: its index is counted from the start of the tensor. */
static void large_tensors_are_converted_in_pieces(void **state) {
    (void)state;
    static float values[10000];
    for (size_t i = 0; i < 10000; i++) {
        values[i] = (float)i;
    }
    for (size_t is_bad = 0; is_bad < 2; is_bad++) {
        if (is_bad) {
            values[9999] = INFINITY;
        }
        struct body body = body_of("{\"w\":{\"dtype\":\"F32\",\"shape\":[100,100],"
                                   "\"data_offsets\":[0,40000]}}",
                                   values, sizeof values);
        struct pieces pieces;
        struct trib_source source = pieces_of(&pieces, &body, 4099);
        struct trib_layout *layout;
        struct trib_block *version;
        struct trib_error error;
        assert_int_equal(import(trib_env_system(), &source, &layout, &version, &error),
                         is_bad ? TRIB_ENONFINITE : TRIB_OK);
        if (is_bad) {
            assert_string_equal(error.text, "tensor w: value 9999 is not a finite fp32 number");
        } else {
            assert_memory_equal(version->bytes + layout->data_offset, values, sizeof values);
        }
        trib_block_unref(version);
        trib_layout_free(layout);
        body_free(&body);
    }
}

static void another_model_is_refused(void **state) {
    (void)state;
    struct body body =
        body_of("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", NULL, 8);
    const struct trib_tensor others[] = {{.name = "v"}, {.name = "w", .rank = 1, .shape = {1}}};
    const enum trib_status expected[] = {TRIB_ENOTFOUND, TRIB_ESHAPE};
    struct trib_layout *file = NULL;
    assert_int_equal(
        trib_safetensors_parse(trib_env_system(), &body.source, 4096, NULL, NULL, &file, NULL),
        TRIB_OK);
    for (size_t i = 0; i < 2; i++) {
        struct trib_layout *layout = NULL;
        struct trib_block *version = NULL;
        assert_int_equal(trib_layout_of_tensors(trib_env_system(), &others[i], 1, &layout, NULL),
                         TRIB_OK);
        assert_int_equal(
            trib_safetensors_import(trib_env_system(), file, &body.source, layout, &version, NULL),
            expected[i]);
        assert_null(version);
        trib_layout_free(layout);
    }
    trib_layout_free(file);
    body_free(&body);
}

static void faults_leave_nothing(void **state) {
    (void)state;
    const struct mixed mixed = mixed_data(2, 3);
    struct body body = body_of(mixed_json, &mixed, sizeof mixed.data);
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct pieces pieces;
    struct trib_source source = pieces_of(&pieces, &body, 0);
    struct trib_layout *layout;
    struct trib_block *version;
    enum trib_status status;
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&faulty, ++nth);
        status = import(&faulty.env, &source, &layout, &version, NULL);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_block_unref(version);
        trib_layout_free(layout);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    trib_env_faulty_fail(&faulty, 0);
    size_t reads = 0;
    do {
        pieces.read_count = 0;
        pieces.reads_left = reads++;
        status = import(&faulty.env, &source, &layout, &version, NULL);
        assert_true(status == TRIB_EIO || status == TRIB_OK);
        trib_block_unref(version);
        trib_layout_free(layout);
        assert_int_equal(faulty.blocks_live, 0);
    } while (status != TRIB_OK);
    assert_int_equal(reads, 1 + 2 + 5); /* two for the head, one for each tensor but I8 */
    trib_env_faulty_deinit(&faulty);
    body_free(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dtype_becomes_fp32),
        cmocka_unit_test(a_version_imports_as_itself),
        cmocka_unit_test(what_fp32_lacks_is_refused_by_name),
        cmocka_unit_test(large_tensors_are_converted_in_pieces),
        cmocka_unit_test(another_model_is_refused),
        cmocka_unit_test(faults_leave_nothing),
    };
    return cmocka_run_group_tests_name("safetensors_import", tests, NULL, NULL);
}
