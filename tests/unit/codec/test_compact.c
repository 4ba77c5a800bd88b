/* test_compact.c - updates in 8-bit blocks and sparse ones: what they may hold, and what they add.
 *
 * Each body is compared with the dense values that it stands for: the definition of the codec. */
#include "support/check.h"

#include <math.h>
#include <stdio.h>

#include "codec/codec.h"
#include "support/env_faulty.h"
#include "tensor/bodies.h"
#include "tensor/safetensors.h"

#define LONG 20001
static const struct trib_tensor model_tensors[] = {
    {.name = "bias", .rank = 1, .shape = {3}},
    {.name = "w", .rank = 2, .shape = {3, 6667}},
};
#define ELEMENTS (3 + LONG)
#define WEIGHT 600
static const int8_t shifts[] = {20, 24};

static struct trib_layout *new_model(void) {
    struct trib_layout *file = NULL;
    struct trib_layout *model = NULL;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), model_tensors, 2, &file, NULL),
                     TRIB_OK);
    assert_int_equal(trib_layout_of_model(trib_env_system(), file, NULL, 0, 16, &model, NULL),
                     TRIB_OK);
    trib_layout_free(file);
    return model;
}

/* A body is written tensor by tensor; safetensors asks for no order of names. */
struct writer {
    char json[2048];
    unsigned char data[400000];
    size_t bytes;
};
static struct writer writer;

static void begin(void) {
    strcpy(writer.json, "{");
    writer.bytes = 0;
}

static void put(const char *name, const char *dtype, const char *shape, const void *data,
                size_t bytes) {
    char entry[256];
    sprintf(entry, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
            writer.json[1] != '\0' ? "," : "", name, dtype, shape, writer.bytes,
            writer.bytes + bytes);
    strcat(writer.json, entry);
    memcpy(writer.data + writer.bytes, data, bytes);
    writer.bytes += bytes;
}

static void put_bias(void) {
    static const float bias[3] = {0.5f, -0.25f, 15.0f};
    put("bias", "F32", "3", bias, sizeof bias);
}

static struct body end(void) {
    strcat(writer.json, strlen(writer.json) % 2 == 0 ? "}" : "} ");
    return body_of(writer.json, writer.data, writer.bytes);
}

static enum trib_status open_body(const struct trib_codec *codec, const struct trib_layout *model,
                                  const struct trib_source *source, struct trib_update **update,
                                  struct trib_error *error) {
    *error = (struct trib_error){0};
    return codec->open(trib_env_system(), model, source, update, NULL, error);
}

/* The body that is being written is refused, when it is opened or when it is checked. */
static void refused(const struct trib_codec *codec, enum trib_status expected, const char *words) {
    struct trib_layout *model = new_model();
    struct body body = end();
    struct trib_update *update = NULL;
    struct trib_error error;
    enum trib_status status = open_body(codec, model, &body.source, &update, &error);
    if (status == TRIB_OK) {
        double norm = 0;
        status = codec->check(update, trib_kernels_select(), &norm, &error);
    }
    if (status != expected || strstr(error.text, words) == NULL) {
        fail_msg("expected %s with \"%s\", got %s: %s", trib_status_text(expected), words,
                 trib_status_text(status), error.text);
    }
    codec->free(update);
    body_free(&body);
    trib_layout_free(model);
}

/* Definition of a fold, from the dense values of w. */
static void fold_plainly(const float *w, int64_t *totals) {
    static const double bias[3] = {0.5, -0.25, 15.0};
    for (size_t i = 0; i < 3; i++) {
        totals[i] += (int64_t)rint(bias[i] * WEIGHT * exp2(shifts[0]));
    }
    for (size_t i = 0; i < LONG; i++) {
        totals[3 + i] += (int64_t)rint((double)w[i] * (WEIGHT * exp2(shifts[1])));
    }
}

/* The body that is being written stands for `w`: in any pieces of memory, on any tier, in one range
 * or in many. */
static void stands_for(const struct trib_codec *codec, const float *w) {
    static const size_t chunks[] = {0, 3, 4097};
    static const uint64_t bounds[] = {0, 2, 3, 4, 1000, 1001, 8195, 16391, ELEMENTS};
    static int64_t expected[ELEMENTS], totals[ELEMENTS];
    struct trib_layout *model = new_model();
    struct body body = end();
    double square_sum = 0.25 + 0.0625 + 225;
    memset(expected, 0, sizeof expected);
    fold_plainly(w, expected);
    for (size_t i = 0; i < LONG; i++) {
        square_sum += (double)w[i] * (double)w[i];
    }
    for (size_t c = 0; c < 3; c++) {
        struct pieces pieces;
        struct trib_source source = pieces_of(&pieces, &body, chunks[c]);
        struct trib_update *update = NULL;
        struct trib_error error;
        if (open_body(codec, model, &source, &update, &error) != TRIB_OK) {
            fail_msg("%s", error.text);
        }
        double first_norm = 0;
        for (size_t t = 0; t < TRIB_KERNEL_TIERS; t++) {
            const struct trib_kernels *kernels = trib_kernels_tier(t);
            if (kernels == NULL) {
                continue;
            }
            double norm = 0;
            assert_int_equal(codec->check(update, kernels, &norm, &error), TRIB_OK);
            assert_true(fabs(norm - sqrt(square_sum)) <= 1e-12 * norm);
            assert_true(t == 0 || norm == first_norm);
            first_norm = norm;
            memset(totals, 0, sizeof totals);
            const struct trib_term term = {update, WEIGHT};
            for (size_t i = sizeof bounds / sizeof bounds[0] - 1; i > 0; i--) {
                const uint64_t first = bounds[i - 1];
                assert_int_equal(codec->fold(&term, 1, kernels, shifts, first, bounds[i] - first,
                                             totals + first),
                                 TRIB_OK);
            }
            assert_memory_equal(totals, expected, sizeof totals);
        }
        codec->free(update);
    }
    body_free(&body);
    trib_layout_free(model);
}

/* --- int8 ------------------------------------------------------------------------------------------ */

static int8_t quanta[LONG];
static float scales[LONG];
static float decoded[LONG];

/* All bytes there are, and scales such that a float holds each product. */
static void make_quanta(size_t scale_count) {
    const size_t block = (LONG + scale_count - 1) / scale_count;
    for (size_t i = 0; i < scale_count; i++) {
        scales[i] = i % 5 == 4 ? 0.0f : ldexpf(1.0f + (float)(i % 3) / 2, -4 - (int)(i % 6));
    }
    for (size_t i = 0; i < LONG; i++) {
        quanta[i] = (int8_t)(i * 37 % 256);
        decoded[i] = (float)quanta[i] * scales[i / block];
    }
}

/* Rule: blocks of any length, down to one element and up to the whole tensor. */
static void int8_stands_for_its_products(void **state) {
    (void)state;
    static const size_t scale_counts[] = {1, 3, 20, 157, 6667, LONG};
    for (size_t c = 0; c < sizeof scale_counts / sizeof scale_counts[0]; c++) {
        const size_t count = scale_counts[c];
        make_quanta(count);
        char shape[32];
        sprintf(shape, "%zu", count);
        begin();
        put_bias();
        put("w", "I8", "3,6667", quanta, LONG);
        put("w.scale", "F32", shape, scales, count * sizeof(float));
        stands_for(&trib_codec_int8, decoded);
    }
}

static void put_int8(size_t scale_count, float scale) {
    memset(quanta, 100, sizeof quanta);
    char shape[32];
    sprintf(shape, "%zu", scale_count);
    for (size_t i = 0; i < scale_count; i++) {
        scales[i] = scale;
    }
    begin();
    put_bias();
    put("w", "I8", "3,6667", quanta, LONG);
    put("w.scale", "F32", shape, scales, scale_count * sizeof(float));
}

static void int8_refuses_what_does_not_fit(void **state) {
    (void)state;
    put_int8(0, 1);
    refused(&trib_codec_int8, TRIB_ESHAPE, "w: 20001 elements do not make 0 blocks");
    put_int8(10000, 1); /* blocks of 3 are 6667 */
    refused(&trib_codec_int8, TRIB_ESHAPE, "do not make 10000 blocks of one length");
    put_int8(3, -0.1f);
    refused(&trib_codec_int8, TRIB_ENONFINITE, "scale of value 0 is -0.1");
    put_int8(3, NAN);
    refused(&trib_codec_int8, TRIB_ENONFINITE, "scale");
    put_int8(3, INFINITY);
    refused(&trib_codec_int8, TRIB_ENONFINITE, "scale");
    put_int8(3, 0.25f);
    refused(&trib_codec_int8, TRIB_EBOUND, "tensor w: value 0 is 25, delta_max is 16");
    begin();
    put_bias();
    put("w", "I8", "3,6667", quanta, LONG);
    refused(&trib_codec_int8, TRIB_EINVALID, "tensor w: an update has");
    begin();
    put_bias();
    put("w.scale", "F32", "3", scales, 12);
    refused(&trib_codec_int8, TRIB_EINVALID, "tensor w: an update has");
    begin();
    put_bias();
    put("w", "I8", "20001", quanta, LONG);
    put("w.scale", "F32", "3", scales, 12);
    refused(&trib_codec_int8, TRIB_ESHAPE, "w");
    begin();
    put_bias();
    put("w", "I8", "3,6667", quanta, LONG);
    put("w.scale", "F16", "3", scales, 6);
    refused(&trib_codec_int8, TRIB_EDTYPE, "w.scale: dtype F16, an update has F32");
}

/* Rule: at the bound is within it, in the last place of a product that no float holds. */
static void int8_bounds_are_exact(void **state) {
    (void)state;
    put_int8(1, nextafterf(0.16f, 1)); /* 0.16f is below 0.16, the next float above it */
    refused(&trib_codec_int8, TRIB_EBOUND, "delta_max is 16");
    put_int8(1, 0.16f);
    struct trib_layout *model = new_model();
    struct body body = end();
    struct trib_update *update = NULL;
    struct trib_error error;
    double norm = 0;
    assert_int_equal(open_body(&trib_codec_int8, model, &body.source, &update, &error), TRIB_OK);
    assert_int_equal(trib_codec_int8.check(update, trib_kernels_select(), &norm, &error), TRIB_OK);
    trib_codec_int8.free(update);
    body_free(&body);
    trib_layout_free(model);
}

/* --- sparse ---------------------------------------------------------------------------------------- */

static void put_sparse(const char *index_dtype, const void *index, size_t index_bytes,
                       const float *values, size_t count) {
    char shape[32];
    sprintf(shape, "%zu", count);
    put("w.index", index_dtype, shape, index, count * index_bytes);
    put("w.value", "F32", shape, values, count * sizeof *values);
}

/* Rule: what has a position has its value, everything else is 0; all four dtypes of positions. */
static void sparse_stands_for_its_elements(void **state) {
    (void)state;
    static const size_t strides[] = {1, 2, 7, 20000, 20001};
    static uint64_t wide[LONG];
    static uint32_t narrow[LONG];
    static float values[LONG];
    for (size_t c = 0; c < 5; c++) {
        size_t count = 0;
        memset(decoded, 0, sizeof decoded);
        for (size_t i = strides[c] / 2; i < LONG; i += strides[c], count++) {
            values[count] = decoded[i] = ldexpf((float)(i % 1021) - 510, -9);
            wide[count] = i;
            narrow[count] = (uint32_t)i;
        }
        for (size_t d = 0; d < 4; d++) {
            static const char *const dtypes[] = {"U32", "I32", "U64", "I64"};
            begin();
            put_bias();
            put_sparse(dtypes[d], d < 2 ? (const void *)narrow : wide, d < 2 ? 4 : 8, values,
                       count);
            stands_for(&trib_codec_sparse, decoded);
        }
    }
    memset(decoded, 0, sizeof decoded);
    begin();
    put_bias();
    put_sparse("I64", wide, 8, values, 0);
    stands_for(&trib_codec_sparse, decoded);
}

static void sparse_refuses_what_does_not_fit(void **state) {
    (void)state;
    static const struct {
        int64_t index[3];
        float values[3];
        enum trib_status status;
        const char *words;
    } cases[] = {
        {{0, 5, 5}, {1, 1, 1}, TRIB_EINVALID, "w: .index[2] is 5"},
        {{5, 4, 6}, {1, 1, 1}, TRIB_EINVALID, "w: .index[1] is 4"},
        {{0, 1, LONG}, {1, 1, 1}, TRIB_EINVALID, "stay below 20001"},
        {{-1, 1, 2}, {1, 1, 1}, TRIB_EINVALID, "w: .index[0] is -1"},
        {{0, 1, INT64_MAX}, {1, 1, 1}, TRIB_EINVALID, "w: .index[2]"},
        {{0, 1, 2}, {1, NAN, 1}, TRIB_ENONFINITE, "w: value 1 is not a number"},
        {{0, 7, 9}, {1, 1, 17}, TRIB_EBOUND, "w: value 9 is 17, delta_max is 16"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        begin();
        put_bias();
        put_sparse("I64", cases[c].index, 8, cases[c].values, 3);
        refused(&trib_codec_sparse, cases[c].status, cases[c].words);
    }
    const int32_t negative[1] = {-2};
    const float one[2] = {1, 1};
    begin();
    put_bias();
    put_sparse("I32", negative, 4, one, 1);
    refused(&trib_codec_sparse, TRIB_EINVALID, "w: .index[0] is -2");
    begin();
    put_bias();
    put("w.index", "I32", "1", negative, 4);
    put("w.value", "F32", "2", one, 8);
    refused(&trib_codec_sparse, TRIB_ESHAPE, "1 positions in .index, 2 numbers in .value");
    begin();
    put_bias();
    put("w.index", "F32", "1", one, 4);
    put("w.value", "F32", "1", one, 4);
    refused(&trib_codec_sparse, TRIB_EDTYPE, "w.index: dtype F32, an update has I32");
    begin();
    put_bias();
    put("w.value", "F32", "1", one, 4);
    refused(&trib_codec_sparse, TRIB_EINVALID, "tensor w: an update has");
}

/* --- both ------------------------------------------------------------------------------------------- */

/* Rule: a codec's updates hold its own encodings and dense tensors, nothing else. */
static void encodings_belong_to_codecs(void **state) {
    (void)state;
    const int64_t index[1] = {4};
    const float one[1] = {1};
    begin();
    put_bias();
    put_sparse("I64", index, 8, one, 1);
    refused(&trib_codec_int8, TRIB_ENOTFOUND, "w.index is not in the model");
    begin();
    put_bias();
    put_sparse("I64", index, 8, one, 1);
    refused(&trib_codec_dense, TRIB_ENOTFOUND, "w.index is not in the model");
    put_int8(3, 0.1f);
    refused(&trib_codec_sparse, TRIB_EDTYPE, "w: dtype I8, an update has F32, BF16 or F16");
    put_int8(3, 0.1f);
    refused(&trib_codec_dense, TRIB_EDTYPE, "w: dtype I8, an update has F32, BF16 or F16");
    begin();
    put_bias();
    put("v.index", "I64", "1", index, 8);
    refused(&trib_codec_sparse, TRIB_ENOTFOUND, "v.index is not in the model");
    begin();
    put_bias();
    refused(&trib_codec_sparse, TRIB_ENOTFOUND, "tensor w is missing");
}

/* Rule: several updates in one call are each of them by itself, whatever their dtypes. */
static void terms_add_up(void **state) {
    (void)state;
    static int64_t together[ELEMENTS], apart[ELEMENTS];
    struct trib_layout *model = new_model();
    struct body bodies[11];
    struct trib_term terms[11];
    for (size_t k = 0; k < 11; k++) {
        begin();
        put_bias();
        if (k % 5 == 3) {
            make_quanta(20);
            put("w", "I8", "3,6667", quanta, LONG);
            put("w.scale", "F32", "20", scales, 80);
        } else {
            for (size_t i = 0; i < LONG; i++) {
                decoded[i] = ldexpf((float)((i * (k + 1)) % 2039) - 1000, -8);
            }
            put("w", "F32", "3,6667", decoded, sizeof decoded);
        }
        bodies[k] = end();
        struct trib_update *update = NULL;
        struct trib_error error;
        assert_int_equal(open_body(&trib_codec_int8, model, &bodies[k].source, &update, &error),
                         TRIB_OK);
        terms[k] = (struct trib_term){update, 1 + 97 * k};
    }
    const struct trib_kernels *kernels = trib_kernels_select();
    assert_int_equal(trib_codec_int8.fold(terms, 11, kernels, shifts, 0, ELEMENTS, together),
                     TRIB_OK);
    for (size_t k = 0; k < 11; k++) {
        assert_int_equal(
            trib_codec_int8.fold(&terms[10 - k], 1, kernels, shifts, 0, ELEMENTS, apart), TRIB_OK);
    }
    assert_memory_equal(together, apart, sizeof apart);
    for (size_t k = 0; k < 11; k++) {
        trib_codec_int8.free((struct trib_update *)terms[k].update);
        body_free(&bodies[k]);
    }
    trib_layout_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(int8_stands_for_its_products),
        cmocka_unit_test(int8_refuses_what_does_not_fit),
        cmocka_unit_test(int8_bounds_are_exact),
        cmocka_unit_test(sparse_stands_for_its_elements),
        cmocka_unit_test(sparse_refuses_what_does_not_fit),
        cmocka_unit_test(encodings_belong_to_codecs),
        cmocka_unit_test(terms_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
