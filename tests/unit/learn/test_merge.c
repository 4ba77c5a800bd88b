/* test_merge.c - from exact sums to the next version: means, roles, groups, ranges, vectors. */
#include "learn/optimizer.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/digest.h"
#include "base/random.h"
#include "small_model.h"
#include "support/check.h"
#include "tensor/safetensors.h"
#include "vectors.h"

static const struct trib_optimizer plain = {.kind = TRIB_OPTIMIZER_SGD, .lr = 1};
static const struct trib_optimizer adam = {.kind = TRIB_OPTIMIZER_ADAM,
                                           .variant = TRIB_VARIANT_STANDARD,
                                           .lr = 0.1,
                                           .beta1 = 0.9,
                                           .beta2 = 0.99,
                                           .tau = 1e-3};

/* A run without its machinery: one sum, one state, the current version. */
struct run {
    const struct trib_env *env;
    struct trib_layout *layout;
    struct trib_resolution resolution;
    struct trib_exact_sum sum;
    struct trib_optimizer optimizer;
    struct trib_optimizer_state state;
    struct trib_block *current;
    struct trib_merge merge;
};

static void run_init(struct run *run, struct trib_layout *layout, const float *values,
                     struct trib_optimizer optimizer, uint64_t weight_max,
                     uint64_t weight_total_max) {
    *run = (struct run){.env = trib_env_system(), .layout = layout, .optimizer = optimizer};
    assert_int_equal(trib_resolution_init(&run->resolution, run->env, layout, weight_max,
                                          weight_total_max, NULL),
                     TRIB_OK);
    assert_int_equal(trib_exact_sum_init(&run->sum, run->env, layout, &run->resolution), TRIB_OK);
    assert_int_equal(trib_optimizer_state_init(&run->state, run->env, &run->optimizer, layout),
                     TRIB_OK);
    run->current = small_version(run->env, layout, values);
    run->merge = (struct trib_merge){
        .layout = layout,
        .resolution = &run->resolution,
        .sum = &run->sum,
        .optimizer = &run->optimizer,
        .denominator = TRIB_DENOMINATOR_WEIGHT,
        .weight_unit = 1,
        .state = &run->state,
        .next_state = &run->state,
        .kernels = trib_kernels_select(),
    };
}

static void run_deinit(struct run *run) {
    trib_block_unref(run->current);
    trib_optimizer_state_deinit(&run->state);
    trib_exact_sum_deinit(&run->sum);
    trib_resolution_deinit(&run->resolution);
    trib_layout_free(run->layout);
}

static void add(struct run *run, uint32_t groups, const float *values, uint64_t weight) {
    struct small_update update;
    small_update_init(&update, run->env, run->layout, groups, TRIB_F32, values, weight);
    small_update_add(&update, &run->sum, run->merge.kernels);
    small_update_deinit(&update);
}

/* Merge in ranges of at most `step` elements into a fresh version; the caller's reference. */
static struct trib_block *merged(struct run *run, uint64_t step) {
    struct trib_block *next = trib_safetensors_block(run->env, run->layout);
    assert_non_null(next);
    run->merge.current = small_values(run->current, run->layout);
    run->merge.next = (float *)(next->bytes + run->layout->data_offset);
    trib_merge_begin(&run->merge);
    for (uint64_t first = 0; first < run->layout->element_count; first += step) {
        const uint64_t left = run->layout->element_count - first;
        assert_int_equal(trib_merge_range(&run->merge, first, left < step ? left : step, NULL),
                         TRIB_OK);
    }
    trib_block_seal(next);
    return next;
}

/* The merged version becomes the current one, and the buffer is empty again. */
static const float *advance(struct run *run) {
    struct trib_block *next = merged(run, UINT64_C(1) << 40);
    trib_block_unref(run->current);
    run->current = next;
    small_sum_clear(&run->sum);
    return small_values(next, run->layout);
}

static void check_fp32(double actual, double expected) {
    assert_true(fabs(actual - expected) <= VECTOR_TOLERANCE_FP32 * fabs(expected) + 1e-12);
}

/* What the means are before they are rounded to fp32. */
static void read_means(const struct run *run, double denominator, double *means, size_t count) {
    run->merge.kernels->mean_f64(means, (const int64_t *)run->sum.totals->bytes, count,
                                 ldexp(1, -run->resolution.shift[0]), denominator);
}

static void load_clients(const json_t *item, const char *name, double rows[3][3], double *weights) {
    vectors_numbers(vectors_at(item, "inputs.n"), weights, 3);
    for (size_t k = 0; k < 3; k++) {
        vectors_numbers(json_array_get(json_object_get(vectors_at(item, "inputs"), name), k),
                        rows[k], 3);
    }
}

/* fedavg.json: a weighted average, in one buffer and through two leaves. */
static void test_vector_weighted_average(void **state) {
    (void)state;
    json_t *file = vectors_load("fedavg.json");
    const json_t *item = vectors_case(file, "weighted_average_and_tree");
    double models[3][3], weights[3], global[3], expected[3], means[3];
    load_clients(item, "client_models", models, weights);
    vectors_numbers(vectors_at(item, "inputs.w_global"), global, 3);
    float current[3], deltas[3][3];
    for (int i = 0; i < 3; i++) {
        current[i] = (float)global[i];
        for (int k = 0; k < 3; k++) {
            deltas[k][i] = (float)(models[k][i] - global[i]); /* exact: eighths */
        }
    }
    struct run run;
    run_init(&run, vector_layout(trib_env_system(), 3, 16), current, plain, 60, 100);
    struct trib_exact_sum leaf;
    assert_int_equal(trib_exact_sum_init(&leaf, run.env, run.layout, &run.resolution), TRIB_OK);
    for (int k = 0; k < 3; k++) {
        add(&run, 1, deltas[k], (uint64_t)weights[k]);
    }
    vectors_numbers(vectors_at(item, "outputs.weighted_delta"), expected, 3);
    read_means(&run, 100, means, 3);
    for (int i = 0; i < 3; i++) {
        assert_true(fabs(means[i] - expected[i]) <= VECTOR_TOLERANCE);
    }
    struct trib_block *flat = merged(&run, 3);
    vectors_numbers(vectors_at(item, "outputs.weighted_model"), expected, 3);
    for (int i = 0; i < 3; i++) {
        check_fp32(small_values(flat, run.layout)[i], expected[i]);
    }
    /* The same through a leaf for client 2. */
    small_sum_clear(&run.sum);
    add(&run, 1, deltas[2], 60);
    struct trib_exact_sum whole = run.sum;
    run.sum = leaf;
    add(&run, 1, deltas[0], 10);
    add(&run, 1, deltas[1], 30);
    assert_int_equal(run.sum.weight_total[0], 40);
    assert_int_equal(trib_exact_sum_merge(&run.sum, &whole, run.merge.kernels), TRIB_OK);
    trib_exact_sum_deinit(&whole);
    const float *root = advance(&run);
    assert_memory_equal(root, small_values(flat, run.layout), sizeof current);
    trib_block_unref(flat);
    run_deinit(&run);
    json_decref(file);
}

/* fedavg.json: the leaves' own sums, of models instead of deltas; and equal weights. */
static void test_vector_leaf_sums(void **state) {
    (void)state;
    json_t *file = vectors_load("fedavg.json");
    const json_t *item = vectors_case(file, "weighted_average_and_tree");
    double models[3][3], weights[3], expected[3], means[3];
    load_clients(item, "client_models", models, weights);
    float zero[3] = {0}, values[3][3];
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 3; i++) {
            values[k][i] = (float)models[k][i];
        }
    }
    struct run run;
    run_init(&run, vector_layout(trib_env_system(), 3, 16), zero, plain, 60, 100);
    add(&run, 1, values[0], 10);
    add(&run, 1, values[1], 30);
    read_means(&run, 1, means, 3);
    vectors_numbers(vectors_at(item, "outputs.leaf_A_clients_0_1.sum_nw"), expected, 3);
    assert_memory_equal(means, expected, sizeof means);
    assert_true((double)run.sum.weight_total[0] ==
                vectors_number(item, "outputs.leaf_A_clients_0_1.sum_n"));
    small_sum_clear(&run.sum);
    add(&run, 1, values[2], 60);
    read_means(&run, 1, means, 3);
    vectors_numbers(vectors_at(item, "outputs.leaf_B_client_2.sum_nw"), expected, 3);
    assert_memory_equal(means, expected, sizeof means);
    small_sum_clear(&run.sum);
    for (int k = 0; k < 3; k++) {
        add(&run, 1, values[k], 1);
    }
    const float *uniform = advance(&run);
    vectors_numbers(vectors_at(item, "outputs.uniform_model"), expected, 3);
    for (int i = 0; i < 3; i++) {
        check_fp32(uniform[i], expected[i]);
    }
    run_deinit(&run);
    json_decref(file);
}

/* fedavg.json: one step against the mean gradient. */
static void test_vector_fedsgd(void **state) {
    (void)state;
    json_t *file = vectors_load("fedavg.json");
    const json_t *item = vectors_case(file, "fedsgd_equals_fedavg_with_one_full_batch_step");
    double gradients[3][3], weights[3], global[3], expected[3], means[3];
    load_clients(item, "gradients", gradients, weights);
    vectors_numbers(vectors_at(item, "inputs.w_global"), global, 3);
    const float current[3] = {(float)global[0], (float)global[1], (float)global[2]};
    struct trib_optimizer optimizer = plain;
    optimizer.lr = vectors_number(item, "inputs.eta");
    struct run run;
    run_init(&run, vector_layout(trib_env_system(), 3, 16), current, optimizer, 60, 100);
    for (int k = 0; k < 3; k++) {
        float delta[3];
        for (int i = 0; i < 3; i++) {
            delta[i] = (float)-gradients[k][i];
        }
        add(&run, 1, delta, (uint64_t)weights[k]);
    }
    read_means(&run, 100, means, 3);
    vectors_numbers(vectors_at(item, "outputs.mean_gradient"), expected, 3);
    for (int i = 0; i < 3; i++) {
        assert_true(fabs(means[i] + expected[i]) <= VECTOR_TOLERANCE);
    }
    const float *next = advance(&run);
    vectors_numbers(vectors_at(item, "outputs.w_next"), expected, 3);
    for (int i = 0; i < 3; i++) {
        check_fp32(next[i], expected[i]);
    }
    run_deinit(&run);
    json_decref(file);
}

/* fedavg.json: two of three reported. Divided by what reported, or by a constant: the expected
 * weight of the sample, sum n * m / N. */
static void test_vector_partial_participation(void **state) {
    (void)state;
    json_t *file = vectors_load("fedavg.json");
    const json_t *item = vectors_case(file, "two_of_three_reported_ratio_vs_unbiased");
    double models[3][3], weights[3], global[3], ratio[3], unbiased[3];
    load_clients(item, "client_models", models, weights);
    vectors_numbers(vectors_at(item, "inputs.w_global"), global, 3);
    vectors_numbers(vectors_at(item, "outputs.ratio_estimator"), ratio, 3);
    vectors_numbers(vectors_at(item, "outputs.uniform_sampling_unbiased"), unbiased, 3);
    const float current[3] = {(float)global[0], (float)global[1], (float)global[2]};
    struct run run;
    run_init(&run, vector_layout(trib_env_system(), 3, 16), current, plain, 60, 100);
    for (int k = 0; k < 3; k += 2) {
        float delta[3];
        for (int i = 0; i < 3; i++) {
            delta[i] = (float)(models[k][i] - global[i]);
        }
        add(&run, 1, delta, (uint64_t)weights[k]);
    }
    struct trib_block *by_weight = merged(&run, 3);
    run.merge.denominator = TRIB_DENOMINATOR_CONSTANT;
    run.merge.constant = 100.0 * 2 / vectors_number(item, "inputs.population");
    struct trib_block *by_constant = merged(&run, 3);
    for (int i = 0; i < 3; i++) {
        check_fp32(small_values(by_weight, run.layout)[i], ratio[i]);
        check_fp32(small_values(by_constant, run.layout)[i], unbiased[i]);
    }
    trib_block_unref(by_weight);
    trib_block_unref(by_constant);
    run_deinit(&run);
    json_decref(file);
}

/* fedopt.json over three versions with model and state stored as fp32. */
static void check_fedopt(const json_t *item, struct trib_optimizer optimizer, const char *m_name,
                         const char *v_name) {
    double x[3], m[3], v[3], delta[3];
    vectors_numbers(vectors_at(item, "inputs.x0"), x, 3);
    const float first[3] = {(float)x[0], (float)x[1], (float)x[2]};
    struct run run;
    run_init(&run, vector_layout(trib_env_system(), 3, 1), first, optimizer, 1, 1);
    for (size_t t = 0; t < 3; t++) {
        const json_t *expected = json_array_get(vectors_at(item, "outputs.steps"), t);
        vectors_numbers(json_array_get(vectors_at(item, "inputs.deltas"), t), delta, 3);
        const float values[3] = {(float)delta[0], (float)delta[1], (float)delta[2]};
        add(&run, 1, values, 1);
        const float *next = advance(&run);
        const float *vectors = (const float *)run.state.vectors->bytes;
        vectors_numbers(vectors_at(expected, "x"), x, 3);
        vectors_numbers(vectors_at(expected, m_name), m, 3);
        for (int i = 0; i < 3; i++) {
            check_fp32(next[i], x[i]);
            check_fp32(vectors[i], m[i]);
        }
        if (v_name) {
            vectors_numbers(vectors_at(expected, v_name), v, 3);
            for (int i = 0; i < 3; i++) {
                check_fp32(vectors[3 + i], v[i]);
            }
        }
    }
    assert_int_equal(run.state.steps[0], 3);
    run_deinit(&run);
}

/* The case with Flower's exponents is out of scope, as in test_optimizer.c. */
static void test_vectors_fedopt_as_fp32(void **state) {
    (void)state;
    json_t *file = vectors_load("fedopt.json");
    struct trib_optimizer optimizer = adam;
    check_fedopt(vectors_case(file, "FedAdam_standard_bias_correction_v0_zero"), optimizer, "m",
                 "v");
    optimizer.variant = TRIB_VARIANT_PAPER;
    check_fedopt(vectors_case(file, "FedAdam_paper_no_bias_correction"), optimizer, "m", "v");
    optimizer.kind = TRIB_OPTIMIZER_YOGI;
    check_fedopt(vectors_case(file, "FedYogi_paper"), optimizer, "m", "v");
    optimizer.kind = TRIB_OPTIMIZER_ADAGRAD;
    optimizer.beta1 = 0;
    check_fedopt(vectors_case(file, "FedAdagrad_paper"), optimizer, "m", "v");
    const struct trib_optimizer momentum = {
        .kind = TRIB_OPTIMIZER_MOMENTUM, .lr = 1, .momentum = 0.9};
    check_fedopt(vectors_case(file, "FedAvgM"), momentum, "v", NULL);
    json_decref(file);
}

static void fill(float *values, uint64_t seed) {
    struct trib_random random;
    trib_random_init(&random, seed);
    for (size_t i = 0; i < SMALL_ELEMENTS; i++) {
        values[i] = small_round(trib_random_unit(&random) * 2 - 1);
    }
}

static void run_init_small(struct run *run, struct trib_optimizer optimizer) {
    float values[SMALL_ELEMENTS];
    fill(values, 99);
    run_init(run, small_layout(trib_env_system(), 16), values, optimizer, 1000, 100000);
}

/* Rule: statistics of batch normalisation become x + weighted mean, whatever the optimizer, and
 * its state has no room for them; frozen tensors stay bit for bit. */
static void test_roles(void **state) {
    (void)state;
    struct run run;
    run_init_small(&run, adam);
    assert_int_equal(run.state.vectors->byte_count, 2 * SMALL_TRAIN * sizeof(float));
    float before[SMALL_ELEMENTS], a[SMALL_ELEMENTS], b[SMALL_ELEMENTS];
    memcpy(before, small_values(run.current, run.layout), sizeof before);
    fill(a, 1);
    fill(b, 2);
    add(&run, SMALL_ALL_GROUPS, a, 3);
    add(&run, SMALL_ALL_GROUPS, b, 5);
    const float *next = advance(&run);
    size_t train = 0;
    for (size_t t = 0; t < run.layout->tensor_count; t++) {
        const struct trib_tensor *tensor = &run.layout->tensors[t];
        for (uint64_t k = 0; k < tensor->element_count; k++) {
            const uint64_t i = tensor->element_offset + k;
            const double mean = (3.0 * a[i] + 5.0 * b[i]) / 8; /* exact: few bits */
            struct trib_optimizer_element element = {.x = before[i]};
            switch (tensor->role) {
            case TRIB_ROLE_TRAIN:
                trib_optimizer_apply(&adam, 1, mean, &element);
                assert_true(next[i] == (float)element.x);
                assert_true(((float *)run.state.vectors->bytes)[train] == (float)element.m);
                assert_true(((float *)run.state.vectors->bytes)[SMALL_TRAIN + train] ==
                            (float)element.v);
                train++;
                break;
            case TRIB_ROLE_AVERAGE:
                assert_true(next[i] == (float)((double)before[i] + mean));
                break;
            default:
                assert_memory_equal(&next[i], &before[i], sizeof(float));
                break;
            }
        }
    }
    assert_int_equal(train, SMALL_TRAIN);
    run_deinit(&run);
}

/* Rule: a buffer that moves the statistics alone (zero deltas elsewhere, sgd) moves only them. */
static void test_average_alone(void **state) {
    (void)state;
    struct run run;
    run_init_small(&run, plain);
    float before[SMALL_ELEMENTS], delta[SMALL_ELEMENTS] = {0};
    memcpy(before, small_values(run.current, run.layout), sizeof before);
    const uint64_t first = trib_layout_find(run.layout, "norm.running_mean")->element_offset;
    for (uint64_t i = first; i < SMALL_ELEMENTS; i++) {
        delta[i] = 0.5f;
    }
    add(&run, SMALL_ALL_GROUPS, delta, 7);
    const float *next = advance(&run);
    assert_memory_equal(next, before, first * sizeof(float));
    for (uint64_t i = first; i < SMALL_ELEMENTS; i++) {
        assert_true(next[i] == before[i] + 0.5f);
    }
    assert_null(run.state.vectors);
    run_deinit(&run);
}

/* Rule: a group without updates keeps its values, its state and its number of steps. */
static void test_group_without_updates(void **state) {
    (void)state;
    struct run run;
    run_init_small(&run, adam);
    float a[SMALL_ELEMENTS];
    fill(a, 3);
    add(&run, SMALL_ALL_GROUPS, a, 10);
    float before[SMALL_ELEMENTS];
    memcpy(before, advance(&run), sizeof before);
    struct trib_optimizer_state next_state;
    assert_int_equal(trib_optimizer_state_init(&next_state, run.env, &run.optimizer, run.layout),
                     TRIB_OK);
    run.merge.next_state = &next_state;
    add(&run, 2, a, 10); /* the head alone */
    const float *next = advance(&run);
    assert_int_equal(next_state.steps[0], 1);
    assert_int_equal(next_state.steps[1], 2);
    assert_int_equal(run.state.steps[1], 1);
    const float *state_before = (const float *)run.state.vectors->bytes;
    const float *state_after = (const float *)next_state.vectors->bytes;
    size_t train = 0;
    for (size_t t = 0; t < run.layout->tensor_count; t++) {
        const struct trib_tensor *tensor = &run.layout->tensors[t];
        const bool is_head = tensor->group == 1;
        for (uint64_t k = 0; k < tensor->element_count; k++) {
            const uint64_t i = tensor->element_offset + k;
            assert_int_equal(next[i] == before[i], !is_head || a[i] == 0);
            if (tensor->role == TRIB_ROLE_TRAIN) {
                const bool is_same =
                    state_after[train] == state_before[train] &&
                    state_after[SMALL_TRAIN + train] == state_before[SMALL_TRAIN + train];
                assert_int_equal(is_same, !is_head || a[i] == 0);
                train++;
            }
        }
    }
    trib_optimizer_state_deinit(&next_state);
    run_deinit(&run);
}

/* Rule: weights in units of 2^-k give the same mean by weight; count and constant are meant in
 * the weights of the spec. */
static void test_denominators(void **state) {
    (void)state;
    const float zero[1] = {0}, one[1] = {1}, three[1] = {3};
    struct run run;
    run_init(&run, vector_layout(trib_env_system(), 1, 16), zero, plain, 1000, 10000);
    run.merge.weight_unit = 0.25;
    add(&run, 1, one, 8);   /* weight 2 */
    add(&run, 1, three, 2); /* weight 0.5 */
    struct trib_block *next = merged(&run, 1);
    assert_true(small_values(next, run.layout)[0] == (float)(3.5 / 2.5));
    trib_block_unref(next);
    run.merge.denominator = TRIB_DENOMINATOR_COUNT;
    next = merged(&run, 1);
    assert_true(small_values(next, run.layout)[0] == 3.5f / 2);
    trib_block_unref(next);
    run.merge.denominator = TRIB_DENOMINATOR_CONSTANT;
    run.merge.constant = 7;
    next = merged(&run, 1);
    assert_true(small_values(next, run.layout)[0] == 0.5f);
    trib_block_unref(next);
    run.merge.denominator = TRIB_DENOMINATOR_GOAL;
    next = merged(&run, 1);
    assert_true(small_values(next, run.layout)[0] == 0.5f);
    trib_block_unref(next);
    run.merge.constant = 1; /* more updates than the goal: their number */
    next = merged(&run, 1);
    assert_true(small_values(next, run.layout)[0] == 3.5f / 2);
    trib_block_unref(next);
    run_deinit(&run);
}

/* Rule: ranges may be cut anywhere, the state may be updated in place or beside, on any tier; the
 * bits are the same. */
static void test_ranges_and_storage(void **state) {
    (void)state;
    static const uint64_t steps[] = {SMALL_ELEMENTS, 1, 3, 37, 1023, 1024, 1025};
    float a[SMALL_ELEMENTS];
    fill(a, 5);
    struct trib_digest digest = {{0}};
    for (size_t trial = 0; trial < 2 * sizeof steps / sizeof steps[0]; trial++) {
        struct run run;
        run_init_small(&run, adam);
        const struct trib_kernels *tier = trib_kernels_tier(trial % TRIB_KERNEL_TIERS);
        run.merge.kernels = tier ? tier : run.merge.kernels;
        struct trib_optimizer_state beside;
        assert_int_equal(trib_optimizer_state_init(&beside, run.env, &run.optimizer, run.layout),
                         TRIB_OK);
        memset(beside.vectors->bytes, 0xff, beside.vectors->byte_count);
        struct trib_optimizer_state *after = trial % 2 ? &beside : &run.state;
        run.merge.next_state = after;
        add(&run, 1, a, 9); /* the head has none, and keeps its state */
        struct trib_block *next = merged(&run, steps[trial / 2]);
        struct trib_digester digester;
        struct trib_digest this_one;
        assert_true(trib_digester_begin(&digester));
        trib_digester_add(&digester, next->bytes, next->byte_count);
        trib_digester_add(&digester, after->vectors->bytes, after->vectors->byte_count);
        trib_digester_finish(&digester, &this_one);
        digest = trial == 0 ? this_one : digest;
        assert_memory_equal(&this_one, &digest, sizeof digest);
        trib_block_unref(next);
        trib_optimizer_state_deinit(&beside);
        run_deinit(&run);
    }
}

/* Rule: a version that would not be finite is refused, with the name of its tensor. */
static void test_not_finite(void **state) {
    (void)state;
    static const char *const names[] = {"body.bias", "norm.running_var"};
    for (int n = 0; n < 2; n++) {
        struct run run;
        run_init_small(&run, adam);
        run.optimizer.lr = 1e300;
        float values[SMALL_ELEMENTS] = {0}, delta[SMALL_ELEMENTS] = {0};
        const uint64_t at = trib_layout_find(run.layout, names[n])->element_offset;
        values[at] = FLT_MAX;
        delta[at] = 1;
        trib_block_unref(run.current);
        run.current = small_version(run.env, run.layout, values);
        if (n == 1) { /* adding 1 to FLT_MAX stays finite: add many */
            delta[at] = 16;
            run.merge.denominator = TRIB_DENOMINATOR_CONSTANT;
            run.merge.constant = 1e-38;
        }
        add(&run, SMALL_ALL_GROUPS, delta, 1);
        struct trib_block *next = trib_safetensors_block(run.env, run.layout);
        assert_non_null(next);
        run.merge.current = small_values(run.current, run.layout);
        run.merge.next = (float *)(next->bytes + run.layout->data_offset);
        trib_merge_begin(&run.merge);
        struct trib_error error = {0};
        assert_int_equal(trib_merge_range(&run.merge, 0, SMALL_ELEMENTS, &error), TRIB_ENONFINITE);
        assert_non_null(strstr(error.text, names[n]));
        assert_int_equal(trib_merge_range(&run.merge, at + 1, 10, &error), TRIB_OK);
        trib_block_unref(next);
        run_deinit(&run);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector_weighted_average),
        cmocka_unit_test(test_vector_leaf_sums),
        cmocka_unit_test(test_vector_fedsgd),
        cmocka_unit_test(test_vector_partial_participation),
        cmocka_unit_test(test_vectors_fedopt_as_fp32),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_average_alone),
        cmocka_unit_test(test_group_without_updates),
        cmocka_unit_test(test_denominators),
        cmocka_unit_test(test_ranges_and_storage),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
