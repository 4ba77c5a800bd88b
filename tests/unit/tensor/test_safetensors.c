/* test_safetensors.c - the reader: what is a safetensors file, and what only looks like one. */
#include "support/check.h"

#include <stdio.h>

#include "support/env_faulty.h"
#include "tensor/bodies.h"
#include "tensor/safetensors.h"

#define W "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"

static enum trib_status parse(const struct body *body, struct trib_layout **layout,
                              struct trib_error *error) {
    return trib_safetensors_parse(trib_env_system(), &body->source, TRIB_SAFETENSORS_HEAD_MAX, NULL,
                                  NULL, layout, error);
}

static void a_head_becomes_a_layout(void **state) {
    (void)state;
    /* Blanks, another order of keys, escapes, data in another order than names, trailing blanks. */
    struct body body =
        body_of("{ \"z\\u0065d\" : { \"shape\": [ 3 , 1 ],\"data_offsets\":[0,6],\n"
                "\"dtype\":\"BF16\"}, \"__metadata__\":{\"format\":\"pt\"},"
                "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[6,14]},"
                "\"none\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[6,6]}}  ",
                NULL, 14);
    struct trib_layout *layout = NULL;
    struct trib_error error;
    assert_int_equal(parse(&body, &layout, &error), TRIB_OK);
    assert_int_equal(layout->tensor_count, 3);
    assert_int_equal(layout->data_bytes, 14);
    assert_int_equal(layout->data_offset, body.byte_count - 14);
    assert_int_equal(layout->element_count, 4);
    body_free(&body); /* the layout keeps nothing of it */
    const struct trib_tensor *zed = trib_layout_find(layout, "zed");
    assert_non_null(zed);
    assert_int_equal(zed->dtype, TRIB_BF16);
    assert_int_equal(zed->rank, 2);
    assert_int_equal(zed->shape[0], 3);
    assert_int_equal(zed->element_count, 3);
    assert_int_equal(zed->byte_offset, 0);
    assert_int_equal(zed->element_offset, 1);
    const struct trib_tensor *scalar = trib_layout_find(layout, "scalar");
    assert_int_equal(scalar->element_count, 1);
    assert_int_equal(scalar->byte_offset, 6);
    assert_int_equal(trib_layout_find(layout, "none")->element_count, 0);
    trib_layout_free(layout);
}

static void a_file_without_tensors_is_one(void **state) {
    (void)state;
    struct body body = body_of("{}", NULL, 0);
    struct trib_layout *layout = NULL;
    assert_int_equal(parse(&body, &layout, NULL), TRIB_OK);
    assert_int_equal(layout->tensor_count, 0);
    trib_layout_free(layout);
    body_free(&body);
}

struct refusal {
    const char *json;
    size_t data_bytes;
    enum trib_status status;
    const char *text; /* part of the message */
};

static const struct refusal refusals[] = {
    {"[]", 0, TRIB_EMALFORMED, "start with {"},
    {" {" W "}", 8, TRIB_EMALFORMED, "start with {"},
    {"{", 0, TRIB_EMALFORMED, "malformed JSON"},
    {"{" W, 8, TRIB_EMALFORMED, "malformed JSON"},
    {"{" W "}}", 8, TRIB_EMALFORMED, "malformed JSON"},
    {"{" W ",}", 8, TRIB_EMALFORMED, "malformed JSON"},
    {"{\"\xFF\":{}}", 0, TRIB_EMALFORMED, "malformed JSON"},
    /* twice */
    {"{" W "," W "}", 8, TRIB_EINVALID, "tensor w is there twice"},
    {"{" W ",\"\\u0077\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[8,8]}}", 8,
     TRIB_EINVALID, "tensor w is there twice"},
    {"{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     TRIB_EMALFORMED, "tensor w: it has a key twice"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"shap\\u0065\":[2],\"data_offsets\":[0,8]}}", 8,
     TRIB_EMALFORMED, "tensor w: it has a key twice"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, TRIB_EMALFORMED,
     "__metadata__ is there twice"},
    {"{\"__metadata__\":{\"a\":\"1\",\"\\u0061\":\"2\"}}", 0, TRIB_EMALFORMED, "is there twice"},
    /* entries */
    {"{\"w\":[]}", 0, TRIB_EMALFORMED, "tensor w: its value is not an object"},
    {"{\"w\":1}", 0, TRIB_EMALFORMED, "tensor w: its value is not an object"},
    {"{\"w\":{}}", 0, TRIB_EMALFORMED, "tensor w: dtype, shape or data_offsets is missing"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, TRIB_EMALFORMED, "is missing"},
    {"{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, TRIB_EMALFORMED, "is missing"},
    {"{\"w\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TRIB_EMALFORMED, "is missing"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"scale\":1}}", 8,
     TRIB_EMALFORMED, "tensor w: it has a key other than"},
    {"{\"w\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TRIB_EDTYPE,
     "tensor w: unknown dtype F31"},
    {"{\"w\":{\"dtype\":\"F3\\n2\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TRIB_EDTYPE,
     "tensor w: unknown dtype F3\\n2"},
    {"{\"w\":{\"dtype\":\"F32F32F32F32F32F32F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     TRIB_EDTYPE, "tensor w: unknown dtype"},
    {"{\"w\":{\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TRIB_EMALFORMED,
     "tensor w: dtype is not a string"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, TRIB_EMALFORMED,
     "tensor w: shape is not"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, TRIB_EMALFORMED,
     "tensor w: shape is not"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, TRIB_EMALFORMED,
     "tensor w: shape is not"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[[2]],\"data_offsets\":[0,8]}}", 8, TRIB_EMALFORMED,
     "tensor w: shape is not"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8,
     TRIB_EMALFORMED, "tensor w: shape is not"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[18446744073709551616],\"data_offsets\":[0,8]}}", 8,
     TRIB_EMALFORMED, "tensor w: shape is not"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0,
     TRIB_ELIMIT, "tensor w: shape [4611686018427387904,4] is too large"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
     TRIB_ELIMIT, "is too large"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, TRIB_EMALFORMED,
     "tensor w: data_offsets is not"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, TRIB_EMALFORMED,
     "tensor w: data_offsets is not"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, TRIB_EMALFORMED,
     "tensor w: data_offsets is not"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{}}}", 8, TRIB_EMALFORMED,
     "tensor w: data_offsets is not"},
    /* names */
    {"{\"\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TRIB_EINVALID, "empty"},
    {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TRIB_EINVALID,
     "not valid text"},
    {"{\"a\\nb\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TRIB_EINVALID,
     "not printable UTF-8 after \"a\""},
    {"{\"\\ud800\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TRIB_EINVALID,
     "not valid text"},
    /* offsets against shape, file and each other */
    {"{\"fc1.weight\":{\"dtype\":\"F32\",\"shape\":[10,3],\"data_offsets\":[0,96]}}", 96,
     TRIB_EMALFORMED, "tensor fc1.weight: shape [10,3] needs 120 bytes, data_offsets give 96"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,12]}}", 12, TRIB_EMALFORMED,
     "tensor w: shape [2] needs 8 bytes, data_offsets give 12"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}", 0,
     TRIB_ELIMIT, "is too large"}, /* 2^63 bytes */
    {"{" W "}", 7, TRIB_ETRUNCATED, "tensor w: it ends at byte 8 of the data, which has 7"},
    {"{" W "}", 9, TRIB_EMALFORMED, "the tensors end at byte 8 of the data, which has 9"},
    {"{}", 1, TRIB_EMALFORMED, "the tensors end at byte 0 of the data, which has 1"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, TRIB_EMALFORMED,
     "tensor w: it begins at byte 4 of the data, a gap begins at 0"},
    {"{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":"
     "[18446744073709551614,18446744073709551615]}}",
     8, TRIB_ETRUNCATED, "tensor w: it ends"},
    {"{" W ",\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, TRIB_EMALFORMED,
     "tensor x: it begins at byte 4 of the data, the one before it ends at 8"},
    {"{" W ",\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TRIB_EMALFORMED,
     "tensor "},
    {"{" W ",\"x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]}}", 8, TRIB_EMALFORMED,
     "tensor x: it begins at byte 4"},
    {"{" W ",\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]}}", 16,
     TRIB_EMALFORMED, "tensor x: it begins at byte 12 of the data, a gap begins at 8"},
    /* metadata */
    {"{\"__metadata__\":[]}", 0, TRIB_EMALFORMED, "__metadata__ is not an object"},
    {"{\"__metadata__\":{\"a\":1}}", 0, TRIB_EMALFORMED, "other than strings"},
    {"{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}", 0, TRIB_EMALFORMED, "other than strings"},
    {"{\"__metadata__\":{\"\":\"c\"}}", 0, TRIB_EMALFORMED, "a key of __metadata__ is empty"},
};

static void what_is_wrong_is_refused_by_name(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *refusal = &refusals[i];
        struct body body = body_of(refusal->json, NULL, refusal->data_bytes);
        struct trib_layout *layout = NULL;
        struct trib_error error = {0};
        enum trib_status status = parse(&body, &layout, &error);
        if (status != refusal->status || strstr(error.text, refusal->text) == NULL) {
            fail_msg("%s: %s: %s", refusal->json, trib_status_name(status), error.text);
        }
        assert_null(layout);
        assert_int_equal(parse(&body, &layout, NULL), status); /* error may be NULL */
        body_free(&body);
    }
}

/* Every file that ends too early is refused, whatever byte is the last. */
static void no_prefix_of_a_file_is_a_file(void **state) {
    (void)state;
    struct body body = body_of("{\"__metadata__\":{\"a\":\"b\"}," W "}", NULL, 8);
    for (size_t count = 0; count < body.byte_count; count++) {
        struct body prefix = {.bytes = malloc(count + 1), .byte_count = count};
        memcpy(prefix.bytes, body.bytes, count);
        prefix.source = trib_source_of_memory(prefix.bytes, count);
        struct trib_layout *layout = NULL;
        assert_int_not_equal(parse(&prefix, &layout, NULL), TRIB_OK);
        assert_null(layout);
        body_free(&prefix);
    }
    body_free(&body);
}

static void the_head_has_a_limit(void **state) {
    (void)state;
    struct body body = body_of("{" W "}", NULL, 8);
    const size_t head = body.byte_count - 16;
    struct trib_layout *layout = NULL;
    struct trib_error error;
    assert_int_equal(trib_safetensors_parse(trib_env_system(), &body.source, head - 1, NULL, NULL,
                                            &layout, &error),
                     TRIB_ELIMIT);
    assert_int_equal(
        trib_safetensors_parse(trib_env_system(), &body.source, head, NULL, NULL, &layout, &error),
        TRIB_OK);
    trib_layout_free(layout);
    memset(body.bytes, 0xFF, 8); /* N = 2^64 - 1 */
    assert_int_equal(trib_safetensors_parse(trib_env_system(), &body.source, SIZE_MAX, NULL, NULL,
                                            &layout, &error),
                     TRIB_ELIMIT);
    memset(body.bytes, 0, 8);
    assert_int_equal(parse(&body, &layout, &error), TRIB_EMALFORMED);
    assert_string_equal(error.text, "the safetensors head is empty");
    body.bytes[0] = (unsigned char)(body.byte_count - 7);
    assert_int_equal(parse(&body, &layout, &error), TRIB_ETRUNCATED);
    body_free(&body);
}

static void tensors_have_a_limit(void **state) {
    (void)state;
    static const char entry[] =
        "\"%06zu\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},";
    static char json[(TRIB_TENSORS_MAX + 1) * sizeof entry + 8];
    for (size_t count = TRIB_TENSORS_MAX; count <= TRIB_TENSORS_MAX + 1; count++) {
        size_t used = 1;
        json[0] = '{';
        for (size_t i = 0; i < count; i++) {
            used += (size_t)sprintf(json + used, entry, (i * 7919) % count);
        }
        json[used - 1] = '}';
        struct body body = body_of(json, NULL, 0);
        struct trib_layout *layout = NULL;
        assert_int_equal(parse(&body, &layout, NULL),
                         count > TRIB_TENSORS_MAX ? TRIB_ELIMIT : TRIB_OK);
        trib_layout_free(layout);
        body_free(&body);
    }
}

/* Copies what it is shown as "key=value;"; refuses the key "bad", with or without a reason. */
struct notes {
    char text[256];
    struct trib_error *error;
};

static bool note(const char *key, const char *value, void *context) {
    struct notes *notes = context;
    size_t used = strlen(notes->text);
    snprintf(notes->text + used, sizeof notes->text - used, "%s=%s;", key, value);
    if (strcmp(key, "bad") == 0 && notes->error != NULL) {
        (void)trib_error_set(notes->error, TRIB_EINVALID, "the reason");
    }
    return strcmp(key, "bad") != 0;
}

static void metadata_is_shown_to_the_visitor(void **state) {
    (void)state;
    struct body body = body_of("{\"__metadata__\":{\"examples\":\"600\",\"a\\\"\":\"\\u00e9\\n\","
                               "\"\xC3\xA9\":\"\"}," W "}",
                               NULL, 8);
    struct notes notes = {"", NULL};
    struct trib_layout *layout = NULL;
    assert_int_equal(
        trib_safetensors_parse(trib_env_system(), &body.source, 1000, note, &notes, &layout, NULL),
        TRIB_OK);
    assert_string_equal(notes.text, "examples=600;a\"=\xC3\xA9\n;\xC3\xA9=;");
    trib_layout_free(layout);
    body_free(&body);
}

static void a_visitor_can_refuse(void **state) {
    (void)state;
    struct body body = body_of("{\"__metadata__\":{\"bad\":\"1\",\"c\":\"2\"}," W "}", NULL, 8);
    struct trib_error error;
    memset(&error, 0x55, sizeof error); /* nobody has set it before */
    struct notes notes = {"", NULL};
    struct trib_layout *layout = NULL;
    assert_int_equal(trib_safetensors_parse(trib_env_system(), &body.source, 1000, note, &notes,
                                            &layout, &error),
                     TRIB_EINVALID);
    assert_null(layout);
    assert_string_equal(notes.text, "bad=1;");
    assert_string_equal(error.text, "a string of __metadata__ is refused");
    notes = (struct notes){"", &error};
    assert_int_equal(trib_safetensors_parse(trib_env_system(), &body.source, 1000, note, &notes,
                                            &layout, &error),
                     TRIB_EINVALID);
    assert_string_equal(error.text, "the reason");
    body_free(&body);
    body = body_of("{\"__metadata__\":{\"a\":\"\\u0000\"}," W "}", NULL, 8);
    assert_int_equal(trib_safetensors_parse(trib_env_system(), &body.source, 1000, note, &notes,
                                            &layout, &error),
                     TRIB_EMALFORMED);
    body_free(&body);
}

static void metadata_has_limits(void **state) {
    (void)state;
    static char json[TRIB_METADATA_KEYS_MAX * 16 + 64];
    for (size_t count = TRIB_METADATA_KEYS_MAX; count <= TRIB_METADATA_KEYS_MAX + 1; count++) {
        size_t used = (size_t)sprintf(json, "{\"__metadata__\":{");
        for (size_t i = 0; i < count; i++) {
            used += (size_t)sprintf(json + used, "%s\"%zu\":\"\"", i > 0 ? "," : "", i);
        }
        strcpy(json + used, "}}");
        struct body body = body_of(json, NULL, 0);
        struct trib_layout *layout = NULL;
        assert_int_equal(parse(&body, &layout, NULL),
                         count > TRIB_METADATA_KEYS_MAX ? TRIB_ELIMIT : TRIB_OK);
        trib_layout_free(layout);
        body_free(&body);
    }
    for (int count = TRIB_METADATA_KEY_BYTES_MAX; count <= TRIB_METADATA_KEY_BYTES_MAX + 1;
         count++) {
        sprintf(json, "{\"__metadata__\":{\"%0*d\":\"\"}}", count, 0);
        struct body body = body_of(json, NULL, 0);
        struct trib_layout *layout = NULL;
        assert_int_equal(parse(&body, &layout, NULL),
                         count > TRIB_METADATA_KEY_BYTES_MAX ? TRIB_EMALFORMED : TRIB_OK);
        trib_layout_free(layout);
        body_free(&body);
    }
}

static void a_head_is_read_from_any_source(void **state) {
    (void)state;
    struct body body = body_of("{" W "}", NULL, 8);
    for (size_t chunk_bytes = 0; chunk_bytes < 20; chunk_bytes++) {
        struct pieces pieces;
        struct trib_source source = pieces_of(&pieces, &body, chunk_bytes);
        struct trib_layout *layout = NULL;
        assert_int_equal(
            trib_safetensors_parse(trib_env_system(), &source, 1000, NULL, NULL, &layout, NULL),
            TRIB_OK);
        assert_int_equal(layout->tensor_count, 1);
        trib_layout_free(layout);
    }
    for (size_t reads = 0; reads < 2; reads++) {
        struct pieces pieces;
        struct trib_source source = pieces_of(&pieces, &body, 0);
        pieces.reads_left = reads;
        struct trib_layout *layout = NULL;
        assert_int_equal(
            trib_safetensors_parse(trib_env_system(), &source, 1000, NULL, NULL, &layout, NULL),
            TRIB_EIO);
        assert_null(layout);
    }
    body_free(&body);
}

static void memory_that_runs_out_leaves_nothing(void **state) {
    (void)state;
    struct body body =
        body_of("{\"__metadata__\":{\"a\":\"b\",\"c\":\"d\"}," W ",\"x\":{\"dtype\":\"F32\","
                "\"shape\":[1],\"data_offsets\":[8,12]}}",
                NULL, 12);
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&faulty, ++nth);
        struct notes notes = {"", NULL};
        struct trib_layout *layout = NULL;
        struct trib_error error;
        enum trib_status status =
            trib_safetensors_parse(&faulty.env, &body.source, 1000, note, &notes, &layout, &error);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_true((layout != NULL) == (status == TRIB_OK));
        trib_layout_free(layout);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 7); /* head, layout, tensors, names, by_offset, keys, two values */
    trib_env_faulty_deinit(&faulty);
    body_free(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_becomes_a_layout),
        cmocka_unit_test(a_file_without_tensors_is_one),
        cmocka_unit_test(what_is_wrong_is_refused_by_name),
        cmocka_unit_test(no_prefix_of_a_file_is_a_file),
        cmocka_unit_test(the_head_has_a_limit),
        cmocka_unit_test(tensors_have_a_limit),
        cmocka_unit_test(metadata_is_shown_to_the_visitor),
        cmocka_unit_test(a_visitor_can_refuse),
        cmocka_unit_test(metadata_has_limits),
        cmocka_unit_test(a_head_is_read_from_any_source),
        cmocka_unit_test(memory_that_runs_out_leaves_nothing),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
