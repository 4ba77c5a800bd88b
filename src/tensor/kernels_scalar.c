/* kernels_scalar.c - the specification of every kernel: plain loops, one element after another.
 *
 * Built without auto-vectorisation, so that what is read here is what runs. Pointers may have any
 * alignment: values are copied in and out, never dereferenced. Integers wrap, as all tiers do. */
#include "tensor/kernels_tiers.h"

#include <float.h>
#include <math.h>
#include <string.h>

static inline float f32_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* One value of an array, widened to float; exact for all of these dtypes. */
typedef float load_value(const void *values, size_t index);

static inline float load_f32(const void *values, size_t index) {
    float value;
    memcpy(&value, (const unsigned char *)values + index * sizeof value, sizeof value);
    return value;
}

static inline uint16_t load_u16(const void *values, size_t index) {
    uint16_t value;
    memcpy(&value, (const unsigned char *)values + index * sizeof value, sizeof value);
    return value;
}

/* bfloat16 is the upper half of a float. */
static inline float load_bf16(const void *values, size_t index) {
    return f32_of_bits((uint32_t)load_u16(values, index) << 16);
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static inline float load_f16(const void *values, size_t index) {
    uint32_t bits = load_u16(values, index);
    uint32_t sign = (bits & 0x8000u) << 16;
    uint32_t exponent = bits >> 10 & 0x1fu;
    uint32_t fraction = bits & 0x3ffu;
    if (exponent == 0) { /* zero or subnormal: a multiple of 2^-24 */
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    /* The bias of a float is 112 larger; infinity and NaN keep all exponent bits set. */
    exponent = exponent == 0x1fu ? 0xffu : exponent + 112;
    return f32_of_bits(sign | exponent << 23 | fraction << 13);
}

static inline float load_i8(const void *values, size_t index) {
    return (float)((const int8_t *)values)[index];
}

static inline int64_t load_i64(const void *values, size_t index) {
    int64_t value;
    memcpy(&value, (const unsigned char *)values + index * sizeof value, sizeof value);
    return value;
}

static inline void store_i64(void *values, size_t index, uint64_t value) {
    memcpy((unsigned char *)values + index * sizeof value, &value, sizeof value);
}

static TRIB_INLINED void fold(int64_t *sum, const void *const *x, const double *scales,
                              size_t update_count, size_t count, load_value *load) {
    for (size_t i = 0; i < count; i++) {
        uint64_t total = (uint64_t)load_i64(sum, i);
        for (size_t k = 0; k < update_count; k++) {
            total += (uint64_t)(int64_t)rint((double)load(x[k], i) * scales[k]);
        }
        store_i64(sum, i, total);
    }
}

TRIB_FOLD_KERNEL(f32, load_f32)
TRIB_FOLD_KERNEL(bf16, load_bf16)
TRIB_FOLD_KERNEL(f16, load_f16)
TRIB_FOLD_KERNEL(i8, load_i8)

static void add_i64(int64_t *sum, const int64_t *other, size_t count) {
    for (size_t i = 0; i < count; i++) {
        store_i64(sum, i, (uint64_t)load_i64(sum, i) + (uint64_t)load_i64(other, i));
    }
}

static void subtract_i64(int64_t *sum, const int64_t *other, size_t count) {
    for (size_t i = 0; i < count; i++) {
        store_i64(sum, i, (uint64_t)load_i64(sum, i) - (uint64_t)load_i64(other, i));
    }
}

static TRIB_INLINED struct trib_scan scan(const void *x, size_t count, double bound,
                                          load_value *load) {
    double lanes[TRIB_LANES] = {0};
    double limit = bound > FLT_MAX ? FLT_MAX : bound; /* infinity is over any bound */
    size_t i = 0;
    for (; i < count; i++) {
        double value = load(x, i);
        if (!(fabs(value) <= limit)) {
            break;
        }
        lanes[i % TRIB_LANES] += value * value;
    }
    return (struct trib_scan){.first_bad = i, .square_sum = trib_lanes_fold(lanes)};
}

static struct trib_scan scan_f32(const float *x, size_t count, double bound) {
    return scan(x, count, bound, load_f32);
}

static struct trib_scan scan_bf16(const uint16_t *x, size_t count, double bound) {
    return scan(x, count, bound, load_bf16);
}

static struct trib_scan scan_f16(const uint16_t *x, size_t count, double bound) {
    return scan(x, count, bound, load_f16);
}

static struct trib_scan scan_i8(const int8_t *x, size_t count, double bound) {
    return scan(x, count, bound, load_i8);
}

static void mean_f64(double *mean, const int64_t *sum, size_t count, double scale,
                     double denominator) {
    for (size_t i = 0; i < count; i++) {
        double value = (double)load_i64(sum, i) * scale / denominator;
        memcpy((unsigned char *)mean + i * sizeof value, &value, sizeof value);
    }
}

static void subtract_f32(float *delta, const float *after, const float *before, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float value = load_f32(after, i) - load_f32(before, i);
        memcpy((unsigned char *)delta + i * sizeof value, &value, sizeof value);
    }
}

const struct trib_kernels trib_kernels_scalar = {
    .name = "scalar",
    .fold_f32 = fold_f32,
    .fold_bf16 = fold_bf16,
    .fold_f16 = fold_f16,
    .fold_i8 = fold_i8,
    .add_i64 = add_i64,
    .subtract_i64 = subtract_i64,
    .scan_f32 = scan_f32,
    .scan_bf16 = scan_bf16,
    .scan_f16 = scan_f16,
    .scan_i8 = scan_i8,
    .mean_f64 = mean_f64,
    .subtract_f32 = subtract_f32,
};
