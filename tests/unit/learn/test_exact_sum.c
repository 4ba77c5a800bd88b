/* test_exact_sum.c - resolution from bounds; folding, counting and merging of exact sums. */
#include "learn/exact_sum.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "small_model.h"
#include "support/check.h"
#include "support/env_faulty.h"
#include "vectors.h"

static const struct trib_kernels *kernels;
static struct trib_env_faulty faulty;
static const struct trib_env *env;

static int set_up(void **state) {
    (void)state;
    kernels = trib_kernels_select();
    trib_env_faulty_init(&faulty);
    env = &faulty.env;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    trib_env_faulty_deinit(&faulty);
    return 0;
}

static int shift_of(double delta_max, uint64_t weight_max, uint64_t weight_total_max) {
    struct trib_layout *layout = vector_layout(env, 3, delta_max);
    struct trib_resolution resolution;
    struct trib_error error = {0};
    int shift = -1;
    if (trib_resolution_init(&resolution, env, layout, weight_max, weight_total_max, &error) ==
        TRIB_OK) {
        shift = resolution.shift[0];
    } else {
        assert_int_equal(error.status, TRIB_EINVALID);
    }
    trib_resolution_deinit(&resolution);
    trib_layout_free(layout);
    return shift;
}

/* Rule: F is the largest at which a term stays within 2^51 and a total below 2^62. */
static void test_shift_is_the_largest_that_fits(void **state) {
    (void)state;
    assert_int_equal(shift_of(1, 1, 1), 51);
    assert_int_equal(shift_of(16, 1 << 10, 1 << 20), 51 - 14);
    assert_int_equal(shift_of(16, 1 << 10, (1 << 21) - 1), 51 - 14); /* one term decides */
    assert_int_equal(shift_of(16, 1 << 10, 1 << 21), 61 - 25);       /* the total decides */
    assert_int_equal(shift_of(16, 1 << 10, (1 << 22) - 1), 62 - 26);
    assert_int_equal(shift_of(16, 1 << 10, 1 << 22), 61 - 26);
    assert_int_equal(shift_of(16, (1 << 10) + 1, 1 << 20), 51 - 15);
    assert_int_equal(shift_of(0.75, 1, 1), 51);
    assert_int_equal(shift_of(0.5, 1, 1), 52);
    assert_int_equal(shift_of(1e-30, 1, 1), TRIB_SHIFT_MAX);
}

/* Rule: what would be too coarse is refused: at F = 8 it is not, at 7 it is. */
static void test_coarse_is_refused(void **state) {
    (void)state;
    assert_int_equal(shift_of(0x1p14, TRIB_WEIGHT_MAX, TRIB_WEIGHT_MAX), 8);
    assert_int_equal(shift_of(0x1.1p14, TRIB_WEIGHT_MAX, TRIB_WEIGHT_MAX), -1);
    assert_int_equal(shift_of(1, 1, (UINT64_C(1) << 54) - 2), 8);
    assert_int_equal(shift_of(1, 1, UINT64_C(1) << 54), -1);
    assert_int_equal(shift_of(1e308, TRIB_WEIGHT_MAX, UINT64_MAX), -1);
    struct trib_layout *layout = vector_layout(env, 3, 0x1p15);
    struct trib_resolution resolution;
    struct trib_error error = {0};
    assert_int_equal(
        trib_resolution_init(&resolution, env, layout, TRIB_WEIGHT_MAX, TRIB_WEIGHT_MAX, &error),
        TRIB_EINVALID);
    assert_non_null(strstr(error.text, "tensor w:"));
    assert_non_null(strstr(error.text, "or weight_max"));
    assert_int_equal(trib_resolution_init(&resolution, env, layout, 1, UINT64_C(1) << 60, &error),
                     TRIB_EINVALID);
    assert_non_null(strstr(error.text, "or weight_total_max"));
    assert_null(resolution.shift);
    trib_layout_free(layout);
}

/* Rule: weights and bounds out of their range are refused. */
static void test_ranges(void **state) {
    (void)state;
    assert_int_equal(shift_of(1, 0, 1), -1);
    assert_int_equal(shift_of(1, 2, 1), -1);
    assert_int_equal(shift_of(1, TRIB_WEIGHT_MAX + 1, UINT64_C(1) << 40), -1);
    assert_int_equal(shift_of(0x1p-10, TRIB_WEIGHT_MAX, TRIB_WEIGHT_MAX), 51 - 29 + 10);
    struct trib_layout *layout = vector_layout(env, 3, 1);
    static const double bad[] = {0, -1, NAN, INFINITY};
    for (size_t i = 0; i < 4; i++) {
        struct trib_resolution resolution;
        layout->tensors[0].delta_max = bad[i];
        assert_int_equal(trib_resolution_init(&resolution, env, layout, 1, 1, NULL), TRIB_EINVALID);
    }
    trib_layout_free(layout);
}

/* Rule: each tensor has the resolution of its own bound; frozen ones need none. */
static void test_shift_per_tensor(void **state) {
    (void)state;
    struct trib_layout *layout = small_layout(env, 16);
    layout->tensors[0].delta_max = 0; /* a.frozen */
    layout->tensors[5].delta_max = 1024;
    struct trib_resolution resolution;
    assert_int_equal(trib_resolution_init(&resolution, env, layout, 1000, 100000, NULL), TRIB_OK);
    assert_int_equal(resolution.shift[0], 0);
    for (int i = 1; i < 5; i++) {
        assert_int_equal(resolution.shift[i], 51 - 4 - 10);
    }
    assert_int_equal(resolution.shift[5], 51 - 10 - 10);
    trib_resolution_deinit(&resolution);
    trib_layout_free(layout);
}

/* A layout of one vector, its resolution and a sum. */
struct bench {
    struct trib_layout *layout;
    struct trib_resolution resolution;
    struct trib_exact_sum sum;
};

static void bench_init(struct bench *bench, struct trib_layout *layout, uint64_t weight_max,
                       uint64_t weight_total_max) {
    bench->layout = layout;
    assert_int_equal(
        trib_resolution_init(&bench->resolution, env, layout, weight_max, weight_total_max, NULL),
        TRIB_OK);
    assert_int_equal(trib_exact_sum_init(&bench->sum, env, layout, &bench->resolution), TRIB_OK);
}

static void bench_deinit(struct bench *bench) {
    trib_exact_sum_deinit(&bench->sum);
    trib_resolution_deinit(&bench->resolution);
    trib_layout_free(bench->layout);
}

static const int64_t *totals_of(const struct trib_exact_sum *sum) {
    return (const int64_t *)sum->totals->bytes;
}

/* Rule: at the bounds themselves, the largest weights of the largest values fill a buffer without
 * overflow, and the sum is exact. */
static void test_full_buffer_does_not_overflow(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, vector_layout(env, 2, 16), 1 << 10, (1 << 22) - 1);
    const float largest[2] = {16, -16};
    struct small_update update;
    small_update_init(&update, env, bench.layout, 1, TRIB_F32, largest, 1 << 10);
    int count = 0;
    while (trib_exact_sum_count(&bench.sum, &trib_codec_dense, update.update, update.weight) ==
           TRIB_OK) {
        assert_int_equal(trib_exact_sum_fold(&bench.sum, &trib_codec_dense,
                                             &(struct trib_term){update.update, update.weight}, 1,
                                             kernels, 0, 2),
                         TRIB_OK);
        count++;
    }
    assert_int_equal(count, (1 << 12) - 1);
    const int64_t expected = INT64_C(16) * count * (1 << 10) << bench.resolution.shift[0];
    assert_true(expected < INT64_C(1) << 62);
    assert_int_equal(totals_of(&bench.sum)[0], expected);
    assert_int_equal(totals_of(&bench.sum)[1], -expected);
    small_update_deinit(&update);
    bench_deinit(&bench);
}

static void fill_values(float *values, uint64_t seed) {
    struct trib_random random;
    trib_random_init(&random, seed);
    for (size_t i = 0; i < SMALL_ELEMENTS; i++) {
        values[i] = small_round(trib_random_unit(&random) * 4 - 2);
    }
}

/* Rule: only groups that an update carries are counted and summed; frozen tensors never are. */
static void test_groups_are_counted_apart(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, small_layout(env, 16), 100, 1000);
    float values[SMALL_ELEMENTS];
    fill_values(values, 1);
    struct small_update all, head;
    small_update_init(&all, env, bench.layout, SMALL_ALL_GROUPS, TRIB_F32, values, 100);
    small_update_init(&head, env, bench.layout, 2, TRIB_BF16, values, 7);
    small_update_add(&all, &bench.sum, kernels);
    small_update_add(&head, &bench.sum, kernels);
    assert_int_equal(bench.sum.weight_total[0], 100);
    assert_int_equal(bench.sum.weight_total[1], 107);
    assert_int_equal(bench.sum.update_count[0], 1);
    assert_int_equal(bench.sum.update_count[1], 2);
    for (size_t t = 0; t < bench.layout->tensor_count; t++) {
        const struct trib_tensor *tensor = &bench.layout->tensors[t];
        const double weight = tensor->role == TRIB_ROLE_FREEZE ? 0 : tensor->group ? 107 : 100;
        for (uint64_t i = 0; i < tensor->element_count; i++) {
            const uint64_t at = tensor->element_offset + i;
            const double exact = ldexp(values[at] * weight, bench.resolution.shift[t]);
            assert_true((double)totals_of(&bench.sum)[at] == exact);
        }
    }
    small_update_deinit(&all);
    small_update_deinit(&head);
    bench_deinit(&bench);
}

/* Rule: a weight that passes weight_total_max in any group changes nothing in any. */
static void test_weight_limit_changes_nothing(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, small_layout(env, 16), 100, 250);
    float values[SMALL_ELEMENTS];
    fill_values(values, 2);
    struct small_update all, head;
    small_update_init(&all, env, bench.layout, SMALL_ALL_GROUPS, TRIB_F32, values, 100);
    small_update_init(&head, env, bench.layout, 2, TRIB_F16, values, 100);
    small_update_add(&all, &bench.sum, kernels);
    small_update_add(&head, &bench.sum, kernels);
    const struct trib_exact_sum before = bench.sum;
    assert_int_equal(trib_exact_sum_count(&bench.sum, &trib_codec_dense, all.update, 51),
                     TRIB_ELIMIT);
    assert_memory_equal(&before, &bench.sum, sizeof before);
    assert_int_equal(trib_exact_sum_count(&bench.sum, &trib_codec_dense, all.update, 50), TRIB_OK);
    assert_int_equal(bench.sum.weight_total[0], 150);
    assert_int_equal(bench.sum.weight_total[1], 250);

    struct trib_exact_sum other;
    assert_int_equal(trib_exact_sum_init(&other, env, bench.layout, &bench.resolution), TRIB_OK);
    small_update_add(&head, &other, kernels);
    int64_t first = totals_of(&bench.sum)[7];
    assert_int_equal(trib_exact_sum_merge(&bench.sum, &other, kernels), TRIB_ELIMIT);
    assert_int_equal(bench.sum.weight_total[1], 250);
    assert_int_equal(totals_of(&bench.sum)[7], first);
    trib_exact_sum_deinit(&other);
    small_update_deinit(&all);
    small_update_deinit(&head);
    bench_deinit(&bench);
}

/* Rule: merging two partial sums is the same as folding all updates into one; reset forgets. */
static void test_merge_and_reset(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, small_layout(env, 16), 100, 1000);
    struct trib_exact_sum parts[2];
    struct small_update updates[4];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(trib_exact_sum_init(&parts[i], env, bench.layout, &bench.resolution),
                         TRIB_OK);
    }
    for (unsigned i = 0; i < 4; i++) {
        float values[SMALL_ELEMENTS];
        fill_values(values, i);
        small_update_init(&updates[i], env, bench.layout, i == 3 ? 1 : 3, TRIB_F32, values, 10 + i);
        small_update_add(&updates[i], &bench.sum, kernels);
        small_update_add(&updates[i], &parts[i % 2], kernels);
    }
    assert_int_equal(trib_exact_sum_merge(&parts[1], &parts[0], kernels), TRIB_OK);
    assert_memory_equal(parts[1].totals->bytes, bench.sum.totals->bytes, SMALL_ELEMENTS * 8);
    assert_memory_equal(parts[1].weight_total, bench.sum.weight_total,
                        sizeof parts[1].weight_total);
    assert_memory_equal(parts[1].update_count, bench.sum.update_count,
                        sizeof parts[1].update_count);
    small_sum_clear(&parts[1]);
    for (size_t i = 0; i < SMALL_ELEMENTS; i++) {
        assert_int_equal(totals_of(&parts[1])[i], 0);
    }
    assert_int_equal(parts[1].weight_total[0] + parts[1].update_count[1], 0);
    for (int i = 0; i < 4; i++) {
        small_update_deinit(&updates[i]);
    }
    trib_exact_sum_deinit(&parts[0]);
    trib_exact_sum_deinit(&parts[1]);
    bench_deinit(&bench);
}

/* Rule: wherever ranges are cut, the totals are the same, and nothing outside is touched. */
static void test_ranges_add_up(void **state) {
    (void)state;
    struct bench whole, cut;
    bench_init(&whole, small_layout(env, 16), 100, 1000);
    bench_init(&cut, small_layout(env, 16), 100, 1000);
    float values[SMALL_ELEMENTS];
    fill_values(values, 3);
    struct small_update update;
    small_update_init(&update, env, whole.layout, 3, TRIB_F16, values, 100);
    small_update_add(&update, &whole.sum, kernels);
    uint64_t first = 0;
    for (uint64_t count = 0; first < SMALL_ELEMENTS; count = count * 2 + 1) {
        count = count < SMALL_ELEMENTS - first ? count : SMALL_ELEMENTS - first;
        assert_int_equal(trib_exact_sum_fold(&cut.sum, &trib_codec_dense,
                                             &(struct trib_term){update.update, 100}, 1, kernels,
                                             first, count),
                         TRIB_OK);
        first += count;
        assert_memory_equal(cut.sum.totals->bytes, whole.sum.totals->bytes, first * 8);
        for (uint64_t i = first; i < SMALL_ELEMENTS; i++) {
            assert_int_equal(totals_of(&cut.sum)[i], 0);
        }
    }
    small_update_deinit(&update);
    bench_deinit(&whole);
    bench_deinit(&cut);
}

/* Rule: memory that runs out is said so, and nothing is left behind. */
static void test_no_memory(void **state) {
    (void)state;
    struct trib_layout *layout = small_layout(env, 16);
    const uint64_t blocks_before = faulty.blocks_live;
    uint64_t nth = 0;
    do {
        struct trib_resolution resolution;
        struct trib_exact_sum sum = {0};
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_resolution_init(&resolution, env, layout, 1, 1, NULL);
        if (status == TRIB_OK) {
            status = trib_exact_sum_init(&sum, env, layout, &resolution);
        }
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        if (faulty.has_failed) {
            assert_null(sum.totals);
        }
        trib_exact_sum_deinit(&sum);
        trib_resolution_deinit(&resolution);
        assert_int_equal(faulty.blocks_live, blocks_before);
    } while (faulty.has_failed);
    trib_env_faulty_fail(&faulty, 0);
    assert_true(nth >= 3);
    trib_layout_free(layout);
}

/* numerics.json, order_dependence: floats give a sum per order; the exact sum knows one only, off
 * by no more than the rounding of each term. */
static void test_vector_order_dependence(void **state) {
    (void)state;
    json_t *file = vectors_load("numerics.json");
    const json_t *item = vectors_case(file, "order_dependence");
    double values[8];
    vectors_numbers(vectors_at(item, "inputs.values_fp32"), values, 8);
    struct bench bench;
    bench_init(&bench, vector_layout(env, 1, 0x1p27), 1, 8);
    const char *const names[] = {"given", "reversed", "by_magnitude"};
    int64_t first_total = 0;
    for (int n = 0; n < 3; n++) {
        double order[8];
        vectors_numbers(json_object_get(vectors_at(item, "inputs.orders"), names[n]), order, 8);
        small_sum_clear(&bench.sum);
        float in_float = 0;
        for (int i = 0; i < 8; i++) {
            const float value = (float)values[(int)order[i]];
            struct small_update update;
            small_update_init(&update, env, bench.layout, 1, TRIB_F32, &value, 1);
            small_update_add(&update, &bench.sum, kernels);
            small_update_deinit(&update);
            in_float += value;
        }
        assert_true(in_float ==
                    json_number_value(json_object_get(vectors_at(item, "outputs.fp32"), names[n])));
        const int64_t total = totals_of(&bench.sum)[0];
        first_total = n == 0 ? total : first_total;
        assert_int_equal(total, first_total);
    }
    const double sum = ldexp((double)first_total, -bench.resolution.shift[0]);
    assert_true(fabs(sum - vectors_number(item, "outputs.exact")) <=
                8 * ldexp(0.5, -bench.resolution.shift[0]));
    bench_deinit(&bench);
    json_decref(file);
}

/* numerics.json, fixed_point_weighted_sum: exact to the last digit. The vector rounds before it
 * weighs, so the roles of x and scale are exchanged here. mean_of_10000_fp32_values_error gives
 * no values, only errors of other methods, and cannot be run. */
static void test_vector_fixed_point(void **state) {
    (void)state;
    json_t *file = vectors_load("numerics.json");
    const json_t *item = vectors_case(file, "fixed_point_weighted_sum");
    double weights[3], values[3], expected[3];
    vectors_numbers(vectors_at(item, "inputs.weights"), weights, 3);
    vectors_numbers(vectors_at(item, "inputs.values"), values, 3);
    vectors_numbers(vectors_at(item, "outputs.q"), expected, 3);
    const double scale = vectors_number(item, "inputs.scale");
    int64_t total = 0;
    for (int i = 0; i < 3; i++) {
        const float one = 1, weight = (float)weights[i];
        const void *of_one = &one, *of_weight = &weight;
        const double value = values[i] * scale;
        int64_t q = 0;
        kernels->fold_f32(&q, &of_one, &value, 1, 1);
        assert_int_equal(q, (int64_t)expected[i]);
        kernels->fold_f32(&total, &of_weight, &(double){(double)q}, 1, 1);
    }
    assert_true((double)total == vectors_number(item, "outputs.accumulator"));
    double mean = 0;
    kernels->mean_f64(&mean, &total, 1, 1 / scale, weights[0] + weights[1] + weights[2]);
    assert_true(mean == vectors_number(item, "outputs.decoded_mean"));
    json_decref(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shift_is_the_largest_that_fits),
        cmocka_unit_test(test_coarse_is_refused),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_shift_per_tensor),
        cmocka_unit_test(test_full_buffer_does_not_overflow),
        cmocka_unit_test(test_groups_are_counted_apart),
        cmocka_unit_test(test_weight_limit_changes_nothing),
        cmocka_unit_test(test_merge_and_reset),
        cmocka_unit_test(test_ranges_add_up),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_vector_order_dependence),
        cmocka_unit_test(test_vector_fixed_point),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
