/* kernels_neon.c - the kernels for AArch64, bit-equal to the scalar ones.
 *
 * Every AArch64 processor has these instructions, so nothing is asked at run time. They have what
 * AVX2 lacks: a conversion of doubles to 64-bit integers that rounds as rint() does.
 * Leftovers of less than one step go to the scalar kernels. */
#include "tensor/kernels_tiers.h"

#include <arm_neon.h>
#include <string.h>

/* Four values of an array from index on, widened to float. */
typedef float32x4_t load_values(const void *values, size_t index);

/* vld1q of an array may want its alignment; bytes have none. */
static inline uint8x16_t load_16_bytes(const void *values, size_t offset) {
    return vld1q_u8((const uint8_t *)values + offset);
}

static inline uint16x4_t load_four_u16(const void *values, size_t index) {
    return vreinterpret_u16_u8(vld1_u8((const uint8_t *)values + 2 * index));
}

static inline float32x4_t load_f32(const void *values, size_t index) {
    return vreinterpretq_f32_u8(load_16_bytes(values, 4 * index));
}

static inline float32x4_t load_bf16(const void *values, size_t index) {
    return vreinterpretq_f32_u32(vshll_n_u16(load_four_u16(values, index), 16));
}

static inline float32x4_t load_f16(const void *values, size_t index) {
    return vcvt_f32_f16(vreinterpret_f16_u16(load_four_u16(values, index)));
}

static inline float32x4_t load_i8(const void *values, size_t index) {
    uint32_t four;
    memcpy(&four, (const int8_t *)values + index, sizeof four);
    const int8x8_t bytes = vreinterpret_s8_u32(vdup_n_u32(four));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
}

static inline int64x2_t load_i64(const int64_t *values) {
    return vreinterpretq_s64_u8(load_16_bytes(values, 0));
}

static inline void store_i64(int64_t *values, int64x2_t vector) {
    vst1q_u8((uint8_t *)values, vreinterpretq_u8_s64(vector));
}

static inline float64x2_t lower_half(float32x4_t values) {
    return vcvt_f64_f32(vget_low_f32(values));
}

static inline float64x2_t upper_half(float32x4_t values) {
    return vcvt_high_f64_f32(values);
}

#define FOLD_STEP 8

static TRIB_INLINED void fold_step(int64_t *sum, const void *const *x, size_t index,
                                   const double *scales, size_t update_count, load_values *load) {
    int64x2_t totals[FOLD_STEP / 2];
    for (size_t j = 0; j < FOLD_STEP / 2; j++) {
        totals[j] = load_i64(sum + 2 * j);
    }
    for (size_t k = 0; k < update_count; k++) {
        for (size_t j = 0; j < FOLD_STEP / 4; j++) {
            const float32x4_t values = load(x[k], index + 4 * j);
            const float64x2_t low = vmulq_n_f64(lower_half(values), scales[k]);
            const float64x2_t high = vmulq_n_f64(upper_half(values), scales[k]);
            totals[2 * j] = vaddq_s64(totals[2 * j], vcvtnq_s64_f64(low));
            totals[2 * j + 1] = vaddq_s64(totals[2 * j + 1], vcvtnq_s64_f64(high));
        }
    }
    for (size_t j = 0; j < FOLD_STEP / 2; j++) {
        store_i64(sum + 2 * j, totals[j]);
    }
}

static TRIB_INLINED void fold(int64_t *sum, const void *const *x, const double *scales,
                              size_t update_count, size_t count, load_values *load,
                              size_t value_bytes, trib_fold_kernel *fold_rest) {
    size_t i = 0;
    for (; count - i >= FOLD_STEP; i += FOLD_STEP) {
        fold_step(sum + i, x, i, scales, update_count, load);
    }
    for (size_t k = 0; i < count && k < update_count; k++) {
        const void *rest = (const unsigned char *)x[k] + i * value_bytes;
        fold_rest(sum + i, &rest, &scales[k], 1, count - i);
    }
}

TRIB_FOLD_KERNEL(f32, load_f32, sizeof(float), trib_kernels_scalar.fold_f32)
TRIB_FOLD_KERNEL(bf16, load_bf16, sizeof(uint16_t), trib_kernels_scalar.fold_bf16)
TRIB_FOLD_KERNEL(f16, load_f16, sizeof(uint16_t), trib_kernels_scalar.fold_f16)
TRIB_FOLD_KERNEL(i8, load_i8, sizeof(int8_t), trib_kernels_scalar.fold_i8)

static void add_i64(int64_t *sum, const int64_t *other, size_t count) {
    size_t i = 0;
    for (; count - i >= 2; i += 2) {
        store_i64(sum + i, vaddq_s64(load_i64(sum + i), load_i64(other + i)));
    }
    trib_kernels_scalar.add_i64(sum + i, other + i, count - i);
}

static void subtract_i64(int64_t *sum, const int64_t *other, size_t count) {
    size_t i = 0;
    for (; count - i >= 2; i += 2) {
        store_i64(sum + i, vsubq_s64(load_i64(sum + i), load_i64(other + i)));
    }
    trib_kernels_scalar.subtract_i64(sum + i, other + i, count - i);
}

/* All of the next 16 values are within the bound: their squares go into the lanes. False: one is
 * not, and nothing has changed. */
static TRIB_INLINED bool scan_step(float64x2_t lanes[TRIB_LANES / 2], const void *x, size_t index,
                                   float32x4_t limit, load_values *load) {
    float32x4_t values[TRIB_LANES / 4];
    uint32x4_t good = vdupq_n_u32(UINT32_MAX);
    for (size_t j = 0; j < TRIB_LANES / 4; j++) {
        values[j] = load(x, index + 4 * j);
        good = vandq_u32(good, vcaleq_f32(values[j], limit));
    }
    if (vminvq_u32(good) == 0) {
        return false;
    }
    for (size_t j = 0; j < TRIB_LANES / 4; j++) {
        const float64x2_t low = lower_half(values[j]);
        const float64x2_t high = upper_half(values[j]);
        lanes[2 * j] = vaddq_f64(lanes[2 * j], vmulq_f64(low, low));
        lanes[2 * j + 1] = vaddq_f64(lanes[2 * j + 1], vmulq_f64(high, high));
    }
    return true;
}

/* The last values one by one, into the lanes that the whole steps have filled. */
static TRIB_INLINED size_t scan_rest(double lanes[TRIB_LANES], const void *x, size_t count,
                                     double limit, size_t value_bytes, load_values *load) {
    for (size_t i = 0; i < count; i++) {
        unsigned char one[16] = {0};
        memcpy(one, (const unsigned char *)x + i * value_bytes, value_bytes);
        const double value = (double)vgetq_lane_f32(load(one, 0), 0);
        if (!(fabs(value) <= limit)) {
            return i;
        }
        lanes[i % TRIB_LANES] += value * value;
    }
    return count;
}

static TRIB_INLINED struct trib_scan scan(const void *x, size_t count, double bound,
                                          size_t value_bytes, load_values *load) {
    const float limit = trib_bound_as_f32(bound);
    float64x2_t vectors[TRIB_LANES / 2];
    for (size_t j = 0; j < TRIB_LANES / 2; j++) {
        vectors[j] = vdupq_n_f64(0);
    }
    size_t i = 0;
    /* |limit| is what vcale compares with: a negative or missing bound lets nothing through. */
    while (limit >= 0 && count - i >= TRIB_LANES &&
           scan_step(vectors, x, i, vdupq_n_f32(limit), load)) {
        i += TRIB_LANES;
    }
    double lanes[TRIB_LANES];
    for (size_t j = 0; j < TRIB_LANES / 2; j++) {
        vst1q_f64(lanes + 2 * j, vectors[j]);
    }
    const void *rest = (const unsigned char *)x + i * value_bytes;
    i += scan_rest(lanes, rest, count - i, (double)limit, value_bytes, load);
    return (struct trib_scan){.first_bad = i, .square_sum = trib_lanes_fold(lanes)};
}

static struct trib_scan scan_f32(const float *x, size_t count, double bound) {
    return scan(x, count, bound, sizeof *x, load_f32);
}

static struct trib_scan scan_bf16(const uint16_t *x, size_t count, double bound) {
    return scan(x, count, bound, sizeof *x, load_bf16);
}

static struct trib_scan scan_f16(const uint16_t *x, size_t count, double bound) {
    return scan(x, count, bound, sizeof *x, load_f16);
}

static struct trib_scan scan_i8(const int8_t *x, size_t count, double bound) {
    return scan(x, count, bound, sizeof *x, load_i8);
}

static void mean_f64(double *mean, const int64_t *sum, size_t count, double scale,
                     double denominator) {
    const float64x2_t denominators = vdupq_n_f64(denominator);
    size_t i = 0;
    for (; count - i >= 2; i += 2) {
        const float64x2_t totals = vmulq_n_f64(vcvtq_f64_s64(load_i64(sum + i)), scale);
        vst1q_u8((uint8_t *)(mean + i), vreinterpretq_u8_f64(vdivq_f64(totals, denominators)));
    }
    trib_kernels_scalar.mean_f64(mean + i, sum + i, count - i, scale, denominator);
}

static void subtract_f32(float *delta, const float *after, const float *before, size_t count) {
    size_t i = 0;
    for (; count - i >= 4; i += 4) {
        const float32x4_t difference = vsubq_f32(load_f32(after, i), load_f32(before, i));
        vst1q_u8((uint8_t *)(delta + i), vreinterpretq_u8_f32(difference));
    }
    trib_kernels_scalar.subtract_f32(delta + i, after + i, before + i, count - i);
}

const struct trib_kernels trib_kernels_neon = {
    .name = "neon",
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
