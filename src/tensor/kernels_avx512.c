/* kernels_avx512.c - the kernels for AVX-512 (F, DQ, BW, VL), bit-equal to the scalar ones.
 *
 * A step is 16 elements, one per lane. The last step masks the lanes that lie past the end: they
 * are neither read nor written, and read as zero. */
#include "tensor/kernels_tiers.h"

#include <immintrin.h>

#define VECTOR 16 /* one vector of floats, two of doubles */
#define ALL_LANES 0xffffu

/* VECTOR values of an array from index on, widened to float; lanes outside `mask` are zero. */
typedef __m512 load_values(const void *values, size_t index, __mmask16 mask);

static inline __m512 load_f32(const void *values, size_t index, __mmask16 mask) {
    return _mm512_maskz_loadu_ps(mask, (const float *)values + index);
}

static inline __m512 load_bf16(const void *values, size_t index, __mmask16 mask) {
    __m256i halves = _mm256_maskz_loadu_epi16(mask, (const uint16_t *)values + index);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

static inline __m512 load_f16(const void *values, size_t index, __mmask16 mask) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, (const uint16_t *)values + index));
}

static inline __m512 load_i8(const void *values, size_t index, __mmask16 mask) {
    __m128i bytes = _mm_maskz_loadu_epi8(mask, (const int8_t *)values + index);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

static inline __m512d lower_half(__m512 values) {
    return _mm512_cvtps_pd(_mm512_castps512_ps256(values));
}

static inline __m512d upper_half(__m512 values) {
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(values, 1));
}

/* The lanes of the elements that are left. */
static inline __mmask16 mask_of(size_t count) {
    return (__mmask16)(count < VECTOR ? (1u << count) - 1 : ALL_LANES);
}

static inline __mmask8 lower_mask(__mmask16 mask) {
    return (__mmask8)(mask & 0xffu);
}

/* Eight values of an array from index on, widened to double; lanes outside `mask` are zero. */
typedef __m512d widen_values(const void *values, size_t index, __mmask8 mask);

static inline __m512d widen_f32(const void *values, size_t index, __mmask8 mask) {
    return _mm512_cvtps_pd(_mm256_maskz_loadu_ps(mask, (const float *)values + index));
}

static inline __m512d widen_bf16(const void *values, size_t index, __mmask8 mask) {
    __m128i halves = _mm_maskz_loadu_epi16(mask, (const uint16_t *)values + index);
    __m256i words = _mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
    return _mm512_cvtps_pd(_mm256_castsi256_ps(words));
}

static inline __m512d widen_f16(const void *values, size_t index, __mmask8 mask) {
    __m128i halves = _mm_maskz_loadu_epi16(mask, (const uint16_t *)values + index);
    return _mm512_cvtps_pd(_mm256_cvtph_ps(halves));
}

static inline __m512d widen_i8(const void *values, size_t index, __mmask8 mask) {
    __m128i bytes = _mm_maskz_loadu_epi8(mask, (const int8_t *)values + index);
    return _mm512_cvtepi32_pd(_mm256_cvtepi8_epi32(bytes));
}

/* The sums of `vectors` times eight elements, on top of the next values of every update. Lanes
 * outside `mask` are left alone. The conversion rounds as rint() does. */
static TRIB_INLINED void fold_step(int64_t *sum, const void *const *x, size_t index,
                                   const double *scales, size_t update_count, size_t vectors,
                                   __mmask8 mask, widen_values *widen) {
    __m512i totals[4];
    for (size_t j = 0; j < vectors; j++) {
        totals[j] = _mm512_maskz_loadu_epi64(mask, sum + 8 * j);
    }
    for (size_t k = 0; k < update_count; k++) {
        const __m512d scale = _mm512_set1_pd(scales[k]);
        for (size_t j = 0; j < vectors; j++) {
            __m512d term = _mm512_mul_pd(widen(x[k], index + 8 * j, mask), scale);
            totals[j] = _mm512_add_epi64(totals[j], _mm512_cvtpd_epi64(term));
        }
    }
    for (size_t j = 0; j < vectors; j++) {
        _mm512_mask_storeu_epi64(sum + 8 * j, mask, totals[j]);
    }
}

static TRIB_INLINED void fold(int64_t *sum, const void *const *x, const double *scales,
                              size_t update_count, size_t count, widen_values *widen) {
    size_t i = 0;
    for (; count - i >= 32; i += 32) {
        fold_step(sum + i, x, i, scales, update_count, 4, 0xff, widen);
    }
    for (; i < count; i += 8) {
        fold_step(sum + i, x, i, scales, update_count, 1, lower_mask(mask_of(count - i)), widen);
    }
}

TRIB_FOLD_KERNEL(f32, widen_f32)
TRIB_FOLD_KERNEL(bf16, widen_bf16)
TRIB_FOLD_KERNEL(f16, widen_f16)
TRIB_FOLD_KERNEL(i8, widen_i8)

/* The 16 lanes of a scan: 0 to 7, and 8 to 15. */
struct lanes {
    __m512d low, high;
};

/* Look at the values in `mask` from index on. Adds the squares of those before the first bad one,
 * and returns how many these are: VECTOR when all are good. */
static TRIB_INLINED size_t scan_step(struct lanes *lanes, const void *x, size_t index,
                                     __mmask16 mask, __m512 limit, load_values *load) {
    __m512 values = load(x, index, mask);
    unsigned good = _mm512_cmp_ps_mask(_mm512_abs_ps(values), limit, _CMP_LE_OQ);
    size_t good_count = (size_t)__builtin_ctz(~good);
    if (good_count < VECTOR) { /* zeros add nothing: no lane is ever -0 */
        values = _mm512_maskz_mov_ps(mask_of(good_count), values);
    }
    __m512d low = lower_half(values);
    __m512d high = upper_half(values);
    lanes->low = _mm512_add_pd(lanes->low, _mm512_mul_pd(low, low));
    lanes->high = _mm512_add_pd(lanes->high, _mm512_mul_pd(high, high));
    return good_count;
}

static TRIB_INLINED struct trib_scan scan(const void *x, size_t count, double bound,
                                          load_values *load) {
    const __m512 limit = _mm512_set1_ps(trib_bound_as_f32(bound));
    struct lanes lanes = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    size_t i = 0;
    size_t good_count = VECTOR;
    while (count - i >= VECTOR) {
        good_count = scan_step(&lanes, x, i, ALL_LANES, limit, load);
        if (good_count < VECTOR) {
            break;
        }
        i += VECTOR; /* not good_count: the next load would wait for it */
    }
    if (good_count == VECTOR && i < count) {
        good_count = scan_step(&lanes, x, i, mask_of(count - i), limit, load);
    }
    size_t first_bad = good_count < count - i ? i + good_count : count;
    double totals[TRIB_LANES];
    _mm512_storeu_pd(totals, lanes.low);
    _mm512_storeu_pd(totals + 8, lanes.high);
    return (struct trib_scan){.first_bad = first_bad, .square_sum = trib_lanes_fold(totals)};
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

static inline void add_step(int64_t *sum, const int64_t *other, __mmask8 mask) {
    __m512i totals = _mm512_add_epi64(_mm512_maskz_loadu_epi64(mask, sum),
                                      _mm512_maskz_loadu_epi64(mask, other));
    _mm512_mask_storeu_epi64(sum, mask, totals);
}

static void add_i64(int64_t *sum, const int64_t *other, size_t count) {
    size_t i = 0;
    for (; count - i >= 8; i += 8) {
        add_step(sum + i, other + i, 0xff);
    }
    add_step(sum + i, other + i, lower_mask(mask_of(count - i)));
}

static inline void subtract_step(int64_t *sum, const int64_t *other, __mmask8 mask) {
    __m512i totals = _mm512_sub_epi64(_mm512_maskz_loadu_epi64(mask, sum),
                                      _mm512_maskz_loadu_epi64(mask, other));
    _mm512_mask_storeu_epi64(sum, mask, totals);
}

static void subtract_i64(int64_t *sum, const int64_t *other, size_t count) {
    size_t i = 0;
    for (; count - i >= 8; i += 8) {
        subtract_step(sum + i, other + i, 0xff);
    }
    subtract_step(sum + i, other + i, lower_mask(mask_of(count - i)));
}

static inline void mean_step(double *mean, const int64_t *sum, __mmask8 mask, __m512d scales,
                             __m512d denominators) {
    __m512d totals = _mm512_cvtepi64_pd(_mm512_maskz_loadu_epi64(mask, sum));
    totals = _mm512_div_pd(_mm512_mul_pd(totals, scales), denominators);
    _mm512_mask_storeu_pd(mean, mask, totals);
}

static void mean_f64(double *mean, const int64_t *sum, size_t count, double scale,
                     double denominator) {
    const __m512d scales = _mm512_set1_pd(scale);
    const __m512d denominators = _mm512_set1_pd(denominator);
    size_t i = 0;
    for (; count - i >= 8; i += 8) {
        mean_step(mean + i, sum + i, 0xff, scales, denominators);
    }
    mean_step(mean + i, sum + i, lower_mask(mask_of(count - i)), scales, denominators);
}

static inline void difference_step(float *delta, const float *after, const float *before,
                                   __mmask16 mask) {
    __m512 difference =
        _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, after), _mm512_maskz_loadu_ps(mask, before));
    _mm512_mask_storeu_ps(delta, mask, difference);
}

static void subtract_f32(float *delta, const float *after, const float *before, size_t count) {
    size_t i = 0;
    for (; count - i >= VECTOR; i += VECTOR) {
        difference_step(delta + i, after + i, before + i, ALL_LANES);
    }
    difference_step(delta + i, after + i, before + i, mask_of(count - i));
}

const struct trib_kernels trib_kernels_avx512 = {
    .name = "avx512",
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
