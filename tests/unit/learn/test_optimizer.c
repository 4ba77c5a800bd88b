/* test_optimizer.c - the rules in float64 against independent vectors; their state in bytes. */
#include "learn/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "small_model.h"
#include "support/check.h"
#include "support/env_faulty.h"
#include "vectors.h"

static const struct trib_optimizer adam = {
    .kind = TRIB_OPTIMIZER_ADAM, .lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .tau = 1e-3};

static struct trib_optimizer with(enum trib_optimizer_kind kind,
                                  enum trib_optimizer_variant variant) {
    struct trib_optimizer optimizer = adam;
    optimizer.kind = kind;
    optimizer.variant = variant;
    optimizer.momentum = 0.9;
    return optimizer;
}

/* Rule: names are as in the spec, both ways; each rule says how many vectors it keeps. */
static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum trib_optimizer_kind kind;
        size_t state_count;
    } expected[] = {
        {"sgd", TRIB_OPTIMIZER_SGD, 0},           {"momentum", TRIB_OPTIMIZER_MOMENTUM, 1},
        {"nesterov", TRIB_OPTIMIZER_NESTEROV, 1}, {"adagrad", TRIB_OPTIMIZER_ADAGRAD, 2},
        {"adam", TRIB_OPTIMIZER_ADAM, 2},         {"yogi", TRIB_OPTIMIZER_YOGI, 2},
    };
    for (size_t i = 0; i < TRIB_OPTIMIZER_COUNT; i++) {
        enum trib_optimizer_kind kind = TRIB_OPTIMIZER_COUNT;
        assert_string_equal(trib_optimizer_name(expected[i].kind), expected[i].name);
        assert_true(trib_optimizer_from_name(expected[i].name, &kind));
        assert_int_equal(kind, expected[i].kind);
        struct trib_optimizer optimizer = with(kind, TRIB_VARIANT_PAPER);
        assert_int_equal(trib_optimizer_state_count(&optimizer), expected[i].state_count);
    }
    enum trib_optimizer_kind kind = TRIB_OPTIMIZER_SGD;
    assert_false(trib_optimizer_from_name("Adam", &kind));
    assert_false(trib_optimizer_from_name("", &kind));
}

static void check_near(double actual, double expected) {
    assert_true(fabs(actual - expected) <= VECTOR_TOLERANCE);
}

/* Three steps over three elements, compared after each one. */
static void check_vector(const json_t *item, const struct trib_optimizer *optimizer,
                         const char *m_name, const char *v_name) {
    double x0[3];
    vectors_numbers(vectors_at(item, "inputs.x0"), x0, 3);
    struct trib_optimizer_element elements[3];
    for (int i = 0; i < 3; i++) {
        elements[i] = (struct trib_optimizer_element){
            .x = x0[i], .m = 0, .v = trib_optimizer_first_v(optimizer)};
    }
    for (size_t t = 0; t < 3; t++) {
        const json_t *expected = json_array_get(vectors_at(item, "outputs.steps"), t);
        double means[3], x[3], m[3], v[3];
        vectors_numbers(json_array_get(vectors_at(item, "inputs.deltas"), t), means, 3);
        vectors_numbers(vectors_at(expected, "x"), x, 3);
        vectors_numbers(vectors_at(expected, m_name), m, 3);
        if (v_name) {
            vectors_numbers(vectors_at(expected, v_name), v, 3);
        }
        for (int i = 0; i < 3; i++) {
            trib_optimizer_apply(optimizer, t + 1, means[i], &elements[i]);
            check_near(elements[i].x, x[i]);
            check_near(elements[i].m, m[i]);
            if (v_name) {
                check_near(elements[i].v, v[i]);
            }
        }
    }
}

/* fedopt.json. The case FedAdam_flower_compat_v0_zero_exponent_t_plus_1 is out of scope: its
 * exponents are one too many, and no variant of a spec asks for them. */
static void test_vectors(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum trib_optimizer_kind kind;
        enum trib_optimizer_variant variant;
    } cases[] = {
        {"FedAdagrad_paper", TRIB_OPTIMIZER_ADAGRAD, TRIB_VARIANT_PAPER},
        {"FedAdam_paper_no_bias_correction", TRIB_OPTIMIZER_ADAM, TRIB_VARIANT_PAPER},
        {"FedYogi_paper", TRIB_OPTIMIZER_YOGI, TRIB_VARIANT_PAPER},
        {"FedAdam_standard_bias_correction_v0_zero", TRIB_OPTIMIZER_ADAM, TRIB_VARIANT_STANDARD},
    };
    json_t *file = vectors_load("fedopt.json");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const json_t *item = vectors_case(file, cases[i].name);
        const struct trib_optimizer optimizer = {
            .kind = cases[i].kind,
            .variant = cases[i].variant,
            .lr = vectors_number(item, "inputs.eta"),
            .beta1 = vectors_number(item, "inputs.beta1"),
            .beta2 = vectors_number(item, "inputs.beta2"),
            .tau = vectors_number(item, "inputs.tau"),
        };
        check_near(trib_optimizer_first_v(&optimizer), vectors_number(item, "inputs.v_init"));
        check_vector(item, &optimizer, "m", "v");
    }
    const json_t *item = vectors_case(file, "FedAvgM");
    const struct trib_optimizer momentum = {
        .kind = TRIB_OPTIMIZER_MOMENTUM,
        .lr = vectors_number(item, "inputs.eta"),
        .momentum = vectors_number(item, "inputs.beta"),
    };
    check_vector(item, &momentum, "v", NULL); /* the vector calls the momentum v */
    json_decref(file);
}

/* Rule: sgd adds lr times the mean; nesterov looks one step ahead. By hand. */
static void test_plain_rules(void **state) {
    (void)state;
    struct trib_optimizer_element element = {.x = 1};
    struct trib_optimizer optimizer = {.kind = TRIB_OPTIMIZER_SGD, .lr = 0.5, .momentum = 0.5};
    trib_optimizer_apply(&optimizer, 1, 3, &element);
    assert_true(element.x == 2.5 && element.m == 0 && element.v == 0);
    optimizer.kind = TRIB_OPTIMIZER_NESTEROV;
    element = (struct trib_optimizer_element){.x = 1, .m = 4};
    trib_optimizer_apply(&optimizer, 1, 3, &element); /* m = 5; x += 0.5 * (3 + 2.5) */
    assert_true(element.m == 5 && element.x == 3.75 && element.v == 0);
}

/* Rule: in yogi sign(0) = 0, so that v stays where it equals the square. */
static void test_yogi_sign_of_zero(void **state) {
    (void)state;
    const struct trib_optimizer yogi = with(TRIB_OPTIMIZER_YOGI, TRIB_VARIANT_PAPER);
    struct trib_optimizer_element element = {.v = 0.25};
    trib_optimizer_apply(&yogi, 1, -0.5, &element);
    assert_true(element.v == 0.25);
    element.v = 0.3;
    trib_optimizer_apply(&yogi, 1, -0.5, &element);
    assert_true(element.v == 0.3 - (1 - 0.99) * 0.25);
    element.v = 0.2;
    trib_optimizer_apply(&yogi, 1, -0.5, &element);
    assert_true(element.v == 0.2 + (1 - 0.99) * 0.25);
}

/* Rule: only the standard variant corrects the rate, and only for what is a decaying mean. */
static void test_rates(void **state) {
    (void)state;
    const enum trib_optimizer_variant standard = TRIB_VARIANT_STANDARD;
    for (int kind = 0; kind < TRIB_OPTIMIZER_COUNT; kind++) {
        const struct trib_optimizer paper = with((enum trib_optimizer_kind)kind, 0);
        assert_true(trib_optimizer_rate(&paper, 1) == 0.1);
        assert_true(trib_optimizer_rate(&paper, 1000) == 0.1);
    }
    struct trib_optimizer optimizer = with(TRIB_OPTIMIZER_MOMENTUM, standard);
    assert_true(trib_optimizer_rate(&optimizer, 1) == 0.1);
    optimizer = with(TRIB_OPTIMIZER_ADAGRAD, standard);
    check_near(trib_optimizer_rate(&optimizer, 1), 0.1 / 0.1);
    optimizer = with(TRIB_OPTIMIZER_YOGI, standard);
    double power1 = 1, power2 = 1;
    for (uint64_t step = 1; step <= 100; step++) {
        power1 *= 0.9;
        power2 *= 0.99;
        check_near(trib_optimizer_rate(&optimizer, step), 0.1 * sqrt(1 - power2) / (1 - power1));
    }
    assert_true(trib_optimizer_rate(&optimizer, UINT64_MAX) == 0.1);
    assert_true(trib_optimizer_first_v(&optimizer) == 0);
}

/* Rule: v starts at tau^2 for the paper's variant, at 0 for the standard one; m at 0. */
/* Rule: every instruction set gives the bits of the rule, for every length, and finds every value that
 * is not finite. */
static void test_spans_are_the_rule(void **state) {
    (void)state;
    enum { COUNT = 200 };
    static double means[COUNT];
    static float x[COUNT], m[COUNT], v[COUNT], next[3][COUNT];
    struct trib_random random;
    trib_random_derive(&random, 1, "spans", 0);
    for (size_t i = 0; i < COUNT; i++) {
        means[i] = i % 7 == 3 ? 0 : trib_random_unit(&random) - 0.5;
        x[i] = (float)(trib_random_unit(&random) * 4 - 2);
        m[i] = i % 5 == 1 ? 0 : (float)(trib_random_unit(&random) - 0.5);
        v[i] = i % 3 == 0 ? (float)(means[i] * means[i]) : (float)trib_random_unit(&random);
    }
    for (size_t kind = 0; kind < TRIB_OPTIMIZER_COUNT; kind++) {
        const struct trib_optimizer optimizer = {
            .kind = kind, .lr = 0.3, .momentum = 0.9, .beta1 = 0.9, .beta2 = 0.99, .tau = 1e-3};
        for (size_t tier = 0; tier < TRIB_KERNEL_TIERS; tier++) {
            const struct trib_kernels *kernels = trib_kernels_tier(tier);
            for (size_t count = 0; kernels != NULL && count <= COUNT; count += 1 + count / 9) {
                const struct trib_optimizer_span span = {count, means,   x,       m,
                                                         v,     next[0], next[1], next[2]};
                assert_true(trib_optimizer_apply_span(&optimizer, kernels, 0.3, &span));
                for (size_t i = 0; i < count; i++) {
                    struct trib_optimizer_element element = {x[i], m[i], v[i]};
                    trib_optimizer_apply(&optimizer, 1, means[i], &element);
                    assert_true(next[0][i] == (float)element.x);
                    if (trib_optimizer_state_count(&optimizer) > 0) {
                        assert_true(next[1][i] == (float)element.m);
                    }
                    if (trib_optimizer_state_count(&optimizer) > 1) {
                        assert_true(next[2][i] == (float)element.v);
                    }
                }
            }
            for (size_t bad = 0; kernels != NULL && bad < 130; bad += 13) {
                const double mean = means[bad];
                means[bad] = bad % 2 ? NAN : 1e300;
                const struct trib_optimizer_span span = {130, means,   x,       m,
                                                         v,   next[0], next[1], next[2]};
                assert_false(trib_optimizer_apply_span(&optimizer, kernels, 0.3, &span));
                means[bad] = mean;
            }
        }
    }
}

static void test_state_starts(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_layout *layout = small_layout(&faulty.env, 16);
    struct trib_optimizer_state started;
    for (int kind = 0; kind < TRIB_OPTIMIZER_COUNT; kind++) {
        for (int variant = 0; variant < 2; variant++) {
            const struct trib_optimizer optimizer =
                with((enum trib_optimizer_kind)kind, (enum trib_optimizer_variant)variant);
            const size_t count = trib_optimizer_state_count(&optimizer);
            assert_int_equal(trib_optimizer_state_init(&started, &faulty.env, &optimizer, layout),
                             TRIB_OK);
            assert_int_equal(started.train_element_count, SMALL_TRAIN);
            assert_int_equal(started.vectors ? started.vectors->byte_count : 0,
                             count * SMALL_TRAIN * 4);
            for (size_t i = 0; i < count * SMALL_TRAIN; i++) {
                const bool is_v = i >= SMALL_TRAIN;
                assert_true(((float *)started.vectors->bytes)[i] ==
                            (is_v && variant == TRIB_VARIANT_PAPER ? 1e-6f : 0.0f));
            }
            trib_optimizer_state_deinit(&started);
        }
    }
    const uint64_t blocks_before = faulty.blocks_live;
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_optimizer_state_init(&started, &faulty.env, &adam, layout);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_optimizer_state_deinit(&started);
        assert_int_equal(faulty.blocks_live, blocks_before);
    } while (faulty.has_failed);
    assert_true(nth >= 2);
    trib_layout_free(layout);
    trib_env_faulty_deinit(&faulty);
}

struct coded {
    struct trib_layout *layout;
    struct trib_optimizer_state state;
    unsigned char *bytes;
    size_t byte_count;
};

static void read_pieces(const struct trib_source *source, size_t piece, unsigned char *bytes) {
    for (size_t at = 0; at < source->byte_count; at += piece) {
        size_t left = source->byte_count - at;
        assert_int_equal(source->read(source->context, at, bytes + at, left < piece ? left : piece),
                         TRIB_OK);
    }
}

static void coded_init(struct coded *coded, const struct trib_optimizer *optimizer) {
    const struct trib_env *env = trib_env_system();
    coded->layout = vector_layout(env, 5, 16);
    assert_int_equal(trib_optimizer_state_init(&coded->state, env, optimizer, coded->layout),
                     TRIB_OK);
    for (size_t i = 0; i < 5 * trib_optimizer_state_count(optimizer); i++) {
        ((float *)coded->state.vectors->bytes)[i] = (float)i - 2.5f;
    }
    coded->state.steps[0] = 41;
    coded->state.steps[TRIB_GROUPS_MAX - 1] = UINT64_MAX;
    struct trib_optimizer_encoded encoded;
    trib_optimizer_state_encode(&coded->state, &encoded);
    coded->byte_count = encoded.source.byte_count;
    coded->bytes = malloc(coded->byte_count); /* of the exact size, for AddressSanitizer */
    assert_non_null(coded->bytes);
    read_pieces(&encoded.source, coded->byte_count, coded->bytes);
}

static void coded_deinit(struct coded *coded) {
    free(coded->bytes);
    trib_optimizer_state_deinit(&coded->state);
    trib_layout_free(coded->layout);
}

/* Rule: a state that was written down comes back bit for bit. */
static void test_state_round_trip(void **state) {
    (void)state;
    for (int kind = 0; kind < TRIB_OPTIMIZER_COUNT; kind++) {
        const struct trib_optimizer optimizer =
            with((enum trib_optimizer_kind)kind, TRIB_VARIANT_PAPER);
        struct coded coded;
        coded_init(&coded, &optimizer);
        struct trib_optimizer_state back;
        assert_int_equal(
            trib_optimizer_state_init(&back, trib_env_system(), &optimizer, coded.layout), TRIB_OK);
        assert_int_equal(trib_optimizer_state_decode(&back, coded.bytes, coded.byte_count),
                         TRIB_OK);
        assert_memory_equal(back.steps, coded.state.steps, sizeof back.steps);
        if (back.vectors) {
            assert_memory_equal(back.vectors->bytes, coded.state.vectors->bytes,
                                back.vectors->byte_count);
        }
        trib_optimizer_state_deinit(&back);
        coded_deinit(&coded);
    }
}

/* Rule: bytes that are cut, too long, of another optimizer or model, or not finite are corrupt,
 * and then nothing has changed. */
static void test_state_corrupt(void **state) {
    (void)state;
    struct coded coded, other;
    coded_init(&coded, &adam);
    const struct trib_optimizer momentum = with(TRIB_OPTIMIZER_MOMENTUM, TRIB_VARIANT_PAPER);
    coded_init(&other, &momentum);
    struct trib_optimizer_state *target = &coded.state;
    assert_int_equal(trib_optimizer_state_decode(target, other.bytes, other.byte_count),
                     TRIB_ECORRUPT);
    for (size_t count = 0; count < coded.byte_count; count++) {
        unsigned char *cut = malloc(count + 1);
        assert_non_null(cut);
        memcpy(cut, coded.bytes, count);
        assert_int_equal(trib_optimizer_state_decode(target, cut, count), TRIB_ECORRUPT);
        free(cut);
    }
    unsigned char *longer = calloc(1, coded.byte_count + 4);
    assert_non_null(longer);
    memcpy(longer, coded.bytes, coded.byte_count);
    assert_int_equal(trib_optimizer_state_decode(target, longer, coded.byte_count + 4),
                     TRIB_ECORRUPT);
    for (size_t i = 0; i < 24; i++) { /* magic, slots, elements, bytes */
        longer[i] ^= 1;
        assert_int_equal(trib_optimizer_state_decode(target, longer, coded.byte_count),
                         TRIB_ECORRUPT);
        longer[i] ^= 1;
    }
    const float strange[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        memcpy(longer + coded.byte_count - 4 * (i + 1), &strange[i], 4);
        longer[24] ^= 1; /* a step that must not be taken over */
        assert_int_equal(trib_optimizer_state_decode(target, longer, coded.byte_count),
                         TRIB_ECORRUPT);
        memcpy(longer, coded.bytes, coded.byte_count);
    }
    assert_int_equal(target->steps[0], 41);
    struct trib_optimizer_encoded again;
    trib_optimizer_state_encode(target, &again);
    read_pieces(&again.source, 7, longer); /* across head and vectors */
    assert_memory_equal(longer, coded.bytes, coded.byte_count);
    free(longer);
    coded_deinit(&coded);
    coded_deinit(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_plain_rules),   cmocka_unit_test(test_yogi_sign_of_zero),
        cmocka_unit_test(test_rates),         cmocka_unit_test(test_spans_are_the_rule),
        cmocka_unit_test(test_state_starts),  cmocka_unit_test(test_state_round_trip),
        cmocka_unit_test(test_state_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
