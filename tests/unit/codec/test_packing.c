/* test_packing.c - what is written is read by the codecs, and is what its definition says. */
#include "codec/packing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "support/check.h"
#include "support/env_faulty.h"
#include "tensor/convert.h"
#include "tensor/safetensors.h"

#define LONG 3001
static const struct trib_tensor model_tensors[] = {
    {.name = "bias", .dtype = TRIB_F32, .rank = 1, .shape = {3}},
    {.name = "none", .dtype = TRIB_F32, .rank = 2, .shape = {0, 4}},
    {.name = "w", .dtype = TRIB_F32, .rank = 1, .shape = {LONG}},
};
#define ELEMENTS (3 + LONG)
#define SHIFT 30

static struct {
    struct trib_layout *dense, *model;
    float changes[ELEMENTS], got[ELEMENTS];
    struct trib_block *body;
    uint64_t data_bytes;
} world;

static int set_up(void **state) {
    (void)state;
    const struct trib_env *env = trib_env_system();
    struct trib_random random;
    trib_random_init(&random, 5);
    assert_int_equal(trib_layout_of_tensors(env, model_tensors, 3, &world.dense, NULL), TRIB_OK);
    assert_int_equal(trib_layout_of_model(env, world.dense, NULL, 0, 16, &world.model, NULL),
                     TRIB_OK);
    for (size_t i = 0; i < ELEMENTS; i++) {
        world.changes[i] = (float)(trib_random_unit(&random) - 0.5);
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    trib_layout_free(world.dense);
    trib_layout_free(world.model);
    return 0;
}

static struct trib_packing packing_of(const char *text) {
    struct trib_packing packing;
    struct trib_error error = {0};
    if (trib_packing_parse(text, &packing, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    return packing;
}

/* Write as the packing says, open and check; what a fold adds is what the body stands for. */
static enum trib_status there_and_back(const char *text, struct trib_error *error) {
    const struct trib_packing packing = packing_of(text);
    const struct trib_env *env = trib_env_system();
    const struct trib_codec *codec = trib_packing_codec(&packing);
    static int64_t totals[ELEMENTS];
    const int8_t shifts[3] = {SHIFT, SHIFT, SHIFT};
    struct trib_layout *packed;
    struct trib_update *update = NULL;
    double norm;
    assert_int_equal(trib_packing_layout(&packing, env, world.dense, &packed, NULL), TRIB_OK);
    world.data_bytes = packed->data_bytes;
    struct trib_block *body =
        trib_packing_encode(&packing, env, world.dense, packed, world.changes);
    assert_int_equal(body->byte_count, packed->data_offset + packed->data_bytes);
    struct trib_source source = trib_source_of_memory(body->bytes, body->byte_count);
    enum trib_status status = codec->open(env, world.model, &source, &update, NULL, error);
    if (status == TRIB_OK) {
        status = codec->check(update, trib_kernels_select(), &norm, error);
    }
    if (status == TRIB_OK) {
        memset(totals, 0, sizeof totals);
        assert_int_equal(codec->fold(&(struct trib_term){update, 1}, 1, trib_kernels_select(),
                                     shifts, 0, ELEMENTS, totals),
                         TRIB_OK);
        for (size_t i = 0; i < ELEMENTS; i++) {
            world.got[i] = (float)ldexp((double)totals[i], -SHIFT);
        }
    }
    codec->free(update);
    trib_block_unref(body);
    trib_layout_free(packed);
    return status;
}

static void must_arrive(const char *text) {
    struct trib_error error = {0};
    if (there_and_back(text, &error) != TRIB_OK) {
        fail_msg("%s: %s", text, error.text);
    }
}

static void dense_is_exact_and_halves_are_near(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
        double step; /* of a number below 1, relative to its power of two */
    } rows[] = {
        {"dense", 4 * ELEMENTS, 0}, {"bf16", 2 * ELEMENTS, 0x1p-8}, {"f16", 2 * ELEMENTS, 0x1p-11}};
    for (size_t row = 0; row < 3; row++) {
        must_arrive(rows[row].text);
        assert_int_equal(world.data_bytes, rows[row].bytes);
        for (size_t i = 0; i < ELEMENTS; i++) {
            double error = fabs((double)world.got[i] - (double)world.changes[i]);
            assert_true(error <= fabs((double)world.changes[i]) * rows[row].step + 0x1p-30);
        }
    }
}

/* Every number of 16 bits comes back, and between two neighbours the even one is taken in the middle,
 * otherwise the nearer one. */
static void halves_are_rounded_to_nearest_even(void **state) {
    (void)state;
    static const enum trib_dtype dtypes[] = {TRIB_BF16, TRIB_F16};
    const struct trib_tensor one = {.name = "w", .dtype = TRIB_F32, .rank = 1, .shape = {3}};
    const struct trib_env *env = trib_env_system();
    struct trib_layout *dense;
    assert_int_equal(trib_layout_of_tensors(env, &one, 1, &dense, NULL), TRIB_OK);
    for (size_t which = 0; which < 2; which++) {
        const struct trib_packing packing = packing_of(which == 0 ? "bf16" : "f16");
        struct trib_layout *packed;
        assert_int_equal(trib_packing_layout(&packing, env, dense, &packed, NULL), TRIB_OK);
        for (uint32_t bits = 0; bits < (which == 0 ? 0x7f7fu : 0x7bffu); bits++) {
            const uint16_t pair[2] = {(uint16_t)bits, (uint16_t)(bits + 1)};
            float near[2];
            (void)trib_convert_to_f32(near, dtypes[which], pair, 2);
            const float middle = (float)(((double)near[0] + (double)near[1]) / 2);
            const float changes[3] = {near[0], middle, -nextafterf(middle, INFINITY)};
            struct trib_block *body = trib_packing_encode(&packing, env, dense, packed, changes);
            uint16_t got[3];
            memcpy(got, body->bytes + packed->data_offset, sizeof got);
            trib_block_unref(body);
            assert_int_equal(got[0], bits);
            assert_int_equal(got[2], 0x8000 | (bits + 1));
            if ((double)middle ==
                ((double)near[0] + (double)near[1]) / 2) { /* not below all floats */
                assert_int_equal(got[1], bits + (bits & 1));
            }
        }
        trib_layout_free(packed);
    }
    trib_layout_free(dense);
}

static void eight_bits_are_within_half_a_step_of_their_block(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t block;
    } rows[] = {{"int8:64", 64}, {"int8", 251}, {"int8:100000", LONG}}; /* 12 blocks of 251 */
    for (size_t row = 0; row < 3; row++) {
        must_arrive(rows[row].text);
        assert_true(world.data_bytes < 1.2 * LONG + 12);
        const float *changes = world.changes + 3, *got = world.got + 3;
        for (size_t first = 0; first < LONG; first += rows[row].block) {
            double most = 0;
            size_t end = first + rows[row].block < LONG ? first + rows[row].block : LONG;
            for (size_t i = first; i < end; i++) {
                most = fmax(most, fabs((double)changes[i]));
            }
            for (size_t i = first; i < end; i++) {
                assert_true(fabs((double)got[i] - (double)changes[i]) <= most / 254 * 1.000001);
            }
        }
    }
    must_arrive("int8:1"); /* a scale for each would be longer */
    assert_int_equal(world.data_bytes, 4 * ELEMENTS);
}

static void the_largest_are_sent_as_they_are(void **state) {
    (void)state;
    float *changes = world.changes + 3;
    for (size_t i = 100; i < 110; i++) {
        changes[i] = i % 2 == 0 ? 0.75F : -0.75F; /* ten of one size, larger than all others */
    }
    must_arrive("sparse:0.1");
    assert_int_equal(world.data_bytes, 8 * 301 + 8);
    double least = 1, largest = 0;
    size_t sent = 0;
    for (size_t i = 0; i < LONG; i++) {
        const double size = fabs((double)changes[i]);
        if (world.got[3 + i] != 0) {
            assert_true(fabs((double)world.got[3 + i] - (double)changes[i]) < 0x1p-29);
            least = fmin(least, size);
            sent++;
        } else {
            largest = fmax(largest, size);
        }
    }
    assert_int_equal(sent, 301);
    assert_true(least >= largest);
    must_arrive("sparse:0.002"); /* seven of the ten: the first ones */
    for (size_t i = 0; i < LONG; i++) {
        assert_int_equal(world.got[3 + i] != 0, i >= 100 && i < 107);
    }
    must_arrive("sparse:0.9"); /* would be longer */
    assert_int_equal(world.data_bytes, 4 * ELEMENTS);
}

static void what_is_not_finite_is_refused_by_the_codec(void **state) {
    (void)state;
    static const char *const texts[] = {"dense", "bf16", "f16", "int8", "sparse:0.01"};
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t text = 0; text < 5; text++) {
        for (size_t i = 0; i < 3; i++) {
            struct trib_error error = {0};
            float kept = world.changes[1000];
            world.changes[1000] = bad[i];
            assert_int_equal(there_and_back(texts[text], &error), TRIB_ENONFINITE);
            world.changes[1000] = kept;
        }
    }
}

static void other_words_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"",         "int4",     "int8:",     "int8:0",   "int8:1.5",
                                        "sparse",   "sparse:0", "sparse:1",  "dense:1",  "f16:2",
                                        "sparse:x", "int8:64k", "sparse:-1", "spars:0.1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct trib_packing packing;
        struct trib_error error = {0};
        assert_int_equal(trib_packing_parse(texts[i], &packing, &error), TRIB_EINVALID);
        assert_non_null(strstr(error.text, "sparse:SHARE"));
    }
}

static void memory_may_run_out(void **state) {
    (void)state;
    const struct trib_packing packing = packing_of("sparse:0.1");
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_layout *packed;
        struct trib_block *body = NULL;
        trib_env_faulty_fail(&faulty, ++nth);
        if (trib_packing_layout(&packing, &faulty.env, world.dense, &packed, NULL) == TRIB_OK) {
            body = trib_packing_encode(&packing, &faulty.env, world.dense, packed, world.changes);
        }
        assert_int_equal(body == NULL, faulty.has_failed);
        trib_block_unref(body);
        trib_layout_free(packed);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 4);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_is_exact_and_halves_are_near),
        cmocka_unit_test(halves_are_rounded_to_nearest_even),
        cmocka_unit_test(eight_bits_are_within_half_a_step_of_their_block),
        cmocka_unit_test(the_largest_are_sent_as_they_are),
        cmocka_unit_test(what_is_not_finite_is_refused_by_the_codec),
        cmocka_unit_test(other_words_are_refused),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
