/* test_reference.c - the scalar kernels against the same arithmetic, written another way. */
#include "tensor/kernels.h"

#include <float.h>
#include <math.h>

#include "support/check.h"

static const struct trib_kernels *scalar;

static int set_up(void **state) {
    (void)state;
    scalar = trib_kernels_tier(0);
    return scalar ? 0 : -1;
}

/* Values of one update. */
static void fold(trib_fold_kernel *kernel, int64_t *sum, const void *x, size_t count,
                 double scale) {
    kernel(sum, &x, &scale, 1, count);
}

static int64_t fold_one(float x, double scale) {
    int64_t sum = 0;
    fold(scalar->fold_f32, &sum, &x, 1, scale);
    return sum;
}

/* Rule: a term is rounded to the nearest integer, and to the even one from half-way. */
static void test_halves_round_to_even(void **state) {
    (void)state;
    static const struct {
        float x;
        double scale;
        int64_t term;
    } cases[] = {
        {0.5f, 1, 0},
        {-0.5f, 1, 0},
        {1.5f, 1, 2},
        {-1.5f, 1, -2},
        {2.5f, 1, 2},
        {-2.5f, 1, -2},
        {0.50000006f, 1, 1},
        {0.49999997f, 1, 0},
        {0.25f, 6, 2},
        {0.125f, 0x1p10, 128},
        {4194304.5f, 1, 4194304},
        {4194305.5f, 1, 4194306},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(fold_one(cases[i].x, cases[i].scale), cases[i].term);
    }
}

/* Rule: terms up to 2^51 in magnitude are exact, denormals and zeros of both signs vanish. */
static void test_extreme_terms_are_exact(void **state) {
    (void)state;
    assert_int_equal(fold_one(1.0f, 0x1p51), INT64_C(1) << 51);
    assert_int_equal(fold_one(-1.0f, 0x1p51), -(INT64_C(1) << 51));
    assert_int_equal(fold_one(0x1.fffffep-1f, 0x1p51), (INT64_C(1) << 51) - (INT64_C(1) << 27));
    assert_int_equal(fold_one(FLT_MAX, 0x1p-77), INT64_C(0xffffff) << 27);
    assert_int_equal(fold_one(0.0f, 0x1p51), 0);
    assert_int_equal(fold_one(-0.0f, 0x1p51), 0);
    assert_int_equal(fold_one(FLT_TRUE_MIN, 0x1p51), 0);
    assert_int_equal(fold_one(FLT_TRUE_MIN, 0x1p149), 1);
}

/* Rule: the product with a weight of up to 29 bits is not rounded before rint(). */
static void test_products_are_exact(void **state) {
    (void)state;
    const int64_t weight = (1 << 29) - 1;
    const int64_t significand = (1 << 24) - 1;
    /* 53 bits; 2 of them behind the point, where they are 01. */
    int64_t product = weight * significand;
    assert_int_equal(product & 3, 1);
    assert_int_equal(fold_one((float)significand, (double)weight * 0.25), product >> 2);
}

/* Rule: folding adds to what is there, element by element. */
static void test_fold_accumulates(void **state) {
    (void)state;
    int64_t sum[3] = {10, -20, INT64_C(1) << 61};
    const float x[3] = {1.0f, 2.0f, -3.0f};
    fold(scalar->fold_f32, sum, x, 3, 100);
    fold(scalar->fold_f32, sum, x, 3, 1);
    assert_int_equal(sum[0], 111);
    assert_int_equal(sum[1], 182);
    assert_int_equal(sum[2], (INT64_C(1) << 61) - 303);
}

/* Rule: several updates at once are each of them after the other. */
static void test_several_updates_add_up(void **state) {
    (void)state;
    const float x[2] = {1.5f, -2.5f};
    const float y[2] = {0.25f, 100.0f};
    const void *both[2] = {x, y};
    const double scales[2] = {3, 10};
    int64_t sum[2] = {7, -7};
    scalar->fold_f32(sum, both, scales, 2, 2);
    assert_int_equal(sum[0], 7 + 4 + 2); /* rint(4.5), rint(2.5): each term is rounded by itself */
    assert_int_equal(sum[1], -7 - 8 + 1000);
    scalar->fold_f32(sum, both, scales, 0, 2);
    assert_int_equal(sum[0], 13);
}

/* Rule: bytes are whole numbers. */
static void test_i8_is_exact(void **state) {
    (void)state;
    for (int value = INT8_MIN; value <= INT8_MAX; value++) {
        const int8_t byte = (int8_t)value;
        int64_t sum = 0;
        fold(scalar->fold_i8, &sum, &byte, 1, 0x1p40);
        assert_int_equal(sum, (int64_t)value * (INT64_C(1) << 40));
        const struct trib_scan scan = scalar->scan_i8(&byte, 1, 100);
        assert_int_equal(scan.first_bad, value >= -100 && value <= 100 ? 1 : 0);
        assert_true(scan.square_sum == (scan.first_bad == 1 ? value * value : 0));
    }
}

/* sign * significand * 2^exponent of any finite 16-bit float. */
struct parts {
    int64_t significand;
    int exponent;
    bool is_finite;
};

static struct parts take_apart(uint16_t bits, int fraction_bits, int bias) {
    int exponent_bits = 15 - fraction_bits;
    int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
    int64_t significand = bits & ((1 << fraction_bits) - 1);
    bool is_finite = exponent != (1 << exponent_bits) - 1;
    if (exponent == 0) {
        exponent = 1;
    } else {
        significand += INT64_C(1) << fraction_bits;
    }
    return (struct parts){bits & 0x8000 ? -significand : significand,
                          exponent - bias - fraction_bits, is_finite};
}

typedef struct trib_scan scan_u16(const uint16_t *x, size_t count, double bound);

static void check_all_patterns(trib_fold_kernel *kernel, scan_u16 *scan, int fraction_bits,
                               int bias) {
    for (uint32_t pattern = 0; pattern <= UINT16_MAX; pattern++) {
        uint16_t bits = (uint16_t)pattern;
        struct parts parts = take_apart(bits, fraction_bits, bias);
        struct trib_scan seen = scan(&bits, 1, INFINITY);
        assert_int_equal(seen.first_bad, parts.is_finite ? 1 : 0);
        if (parts.is_finite) {
            int64_t sum = 0;
            fold(kernel, &sum, &bits, 1, ldexp(1, -parts.exponent));
            assert_int_equal(sum, parts.significand);
            double value = ldexp((double)parts.significand, parts.exponent);
            assert_true(seen.square_sum == value * value);
        }
    }
}

/* Rule: every one of the 65536 patterns of a 16-bit float is widened exactly. */
static void test_bf16_is_exact(void **state) {
    (void)state;
    check_all_patterns(scalar->fold_bf16, scalar->scan_bf16, 7, 127);
}

static void test_f16_is_exact(void **state) {
    (void)state;
    check_all_patterns(scalar->fold_f16, scalar->scan_f16, 10, 15);
}

/* Rule: element i goes into lane i mod 16 and lanes fold by halves. The values are such that
 * every other order of these additions gives another sum. */
static void test_scan_folds_16_lanes(void **state) {
    (void)state;
    float x[53];
    double lane[16] = {0};
    double in_order = 0;
    for (size_t i = 0; i < 53; i++) {
        x[i] = ldexpf((float)(1 + i * 7919 % 1009), (int)(i * 31 % 47) - 20);
        lane[i % 16] += (double)x[i] * x[i];
        in_order += (double)x[i] * x[i];
    }
    double expected = (((lane[0] + lane[8]) + (lane[4] + lane[12])) +
                       ((lane[2] + lane[10]) + (lane[6] + lane[14]))) +
                      (((lane[1] + lane[9]) + (lane[5] + lane[13])) +
                       ((lane[3] + lane[11]) + (lane[7] + lane[15])));
    struct trib_scan scan = scalar->scan_f32(x, 53, INFINITY);
    assert_int_equal(scan.first_bad, 53);
    assert_true(scan.square_sum == expected);
    assert_true(scan.square_sum != in_order);
}

/* Rule: a value equal to the bound is good; NaN, infinity and the next float are not. */
static void test_scan_bounds(void **state) {
    (void)state;
    const float x[4] = {-3.0f, 4.0f, -0.0f, 12.0f};
    assert_int_equal(scalar->scan_f32(x, 4, 12.0).first_bad, 4);
    assert_true(scalar->scan_f32(x, 4, 12.0).square_sum == 169.0);
    assert_int_equal(scalar->scan_f32(x, 4, 11.999999).first_bad, 3);
    assert_true(scalar->scan_f32(x, 4, 11.999999).square_sum == 25.0);
    assert_int_equal(scalar->scan_f32(x, 4, -1.0).first_bad, 0);
    assert_int_equal(scalar->scan_f32(x, 4, NAN).first_bad, 0);
    assert_int_equal(scalar->scan_f32(x, 0, 1.0).first_bad, 0);
    assert_int_equal(scalar->scan_f32(x + 2, 1, 0.0).first_bad, 1);
    const float bad[3] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(scalar->scan_f32(bad + i, 1, INFINITY).first_bad, 0);
        assert_int_equal(scalar->scan_f32(bad + i, 1, DBL_MAX).first_bad, 0);
    }
}

/* Rule: the mean rounds three times: to double, times a power of two, divided. */
static void test_mean(void **state) {
    (void)state;
    const int64_t sum[3] = {-7, (INT64_C(1) << 53) + 1, INT64_C(13958643690)};
    double mean[3];
    scalar->mean_f64(mean, sum, 2, 0x1p-2, 5.0);
    assert_true(mean[0] == -1.75 / 5.0);
    assert_true(mean[1] == 0x1p51 / 5.0);
    scalar->mean_f64(mean, sum + 2, 1, 0x1p-30, 100.0);
    assert_true(mean[0] == 0.12999999979510904);
}

static void test_small_sums(void **state) {
    (void)state;
    int64_t sum[2] = {5, INT64_MAX};
    const int64_t other[2] = {-7, 1};
    scalar->add_i64(sum, other, 2);
    assert_int_equal(sum[0], -2);
    assert_int_equal(sum[1], INT64_MIN); /* wraps, so that subtracting always undoes adding */
    scalar->subtract_i64(sum, other, 2);
    assert_int_equal(sum[0], 5);
    assert_int_equal(sum[1], INT64_MAX);
    const float after[2] = {1.5f, -2.0f}, before[2] = {1.0f, 2.5f};
    float delta[2];
    scalar->subtract_f32(delta, after, before, 2);
    assert_true(delta[0] == 0.5f && delta[1] == -4.5f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_halves_round_to_even),
        cmocka_unit_test(test_extreme_terms_are_exact),
        cmocka_unit_test(test_products_are_exact),
        cmocka_unit_test(test_fold_accumulates),
        cmocka_unit_test(test_several_updates_add_up),
        cmocka_unit_test(test_i8_is_exact),
        cmocka_unit_test(test_bf16_is_exact),
        cmocka_unit_test(test_f16_is_exact),
        cmocka_unit_test(test_scan_folds_16_lanes),
        cmocka_unit_test(test_scan_bounds),
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_small_sums),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
