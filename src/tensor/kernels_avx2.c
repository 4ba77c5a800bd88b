/* kernels_avx2.c - the kernels for AVX2 and F16C, bit-equal to the scalar ones.
 *
 * AVX2 has no conversion between double and int64. To integers: adding 1.5 * 2^52 to |y| <= 2^51
 * gives a double in [2^52, 2^53], where neighbours are 1 apart. The addition itself thus rounds
 * to the nearest integer, ties to even, just as rint() does, and the bits of the result count up
 * by one per integer from those of 1.5 * 2^52. What they hold too much is taken off the sums at
 * once for all terms: integers wrap.
 * Leftovers of less than one step are padded, or go to the scalar kernels. */
#include "tensor/kernels_tiers.h"

#include <immintrin.h>
#include <string.h>

#define VECTOR 8 /* values per step: one vector of floats, two of doubles */

/* VECTOR values of an array from index on, widened to float. */
typedef __m256 load_values(const void *values, size_t index);

static inline __m256 load_f32(const void *values, size_t index) {
    return _mm256_loadu_ps((const float *)values + index);
}

static inline __m256 load_bf16(const void *values, size_t index) {
    __m128i halves = _mm_loadu_si128((const __m128i_u *)((const uint16_t *)values + index));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

static inline __m256 load_f16(const void *values, size_t index) {
    __m128i halves = _mm_loadu_si128((const __m128i_u *)((const uint16_t *)values + index));
    return _mm256_cvtph_ps(halves);
}

static inline __m256 load_i8(const void *values, size_t index) {
    __m128i bytes = _mm_loadu_si64((const int8_t *)values + index);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

static inline __m256i load_i64(const int64_t *values) {
    return _mm256_loadu_si256((const __m256i_u *)values);
}

static inline void store_i64(int64_t *values, __m256i vector) {
    _mm256_storeu_si256((__m256i_u *)values, vector);
}

static inline __m256d lower_half(__m256 values) {
    return _mm256_cvtps_pd(_mm256_castps256_ps128(values));
}

static inline __m256d upper_half(__m256 values) {
    return _mm256_cvtps_pd(_mm256_extractf128_ps(values, 1));
}

/* Four values of an array from index on, widened to double. */
typedef __m256d widen_values(const void *values, size_t index);

static inline __m256d widen_f32(const void *values, size_t index) {
    return _mm256_cvtps_pd(_mm_loadu_ps((const float *)values + index));
}

static inline __m128i load_four_u16(const void *values, size_t index) {
    return _mm_cvtepu16_epi32(_mm_loadu_si64((const uint16_t *)values + index));
}

static inline __m256d widen_bf16(const void *values, size_t index) {
    return _mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32(load_four_u16(values, index), 16)));
}

static inline __m256d widen_f16(const void *values, size_t index) {
    return _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadu_si64((const uint16_t *)values + index)));
}

static inline __m256d widen_i8(const void *values, size_t index) {
    int32_t four;
    memcpy(&four, (const int8_t *)values + index, sizeof four);
    return _mm256_cvtepi32_pd(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(four)));
}

#define MAGIC 0x1.8p52
#define MAGIC_BITS UINT64_C(0x4338000000000000)
#define FOLD_STEP 16

/* The sums of FOLD_STEP elements, on top of the next values of every update. */
static TRIB_INLINED void fold_step(int64_t *sum, const void *const *x, size_t index,
                                   const double *scales, size_t update_count, widen_values *widen) {
    const __m256i surplus = _mm256_set1_epi64x((int64_t)(MAGIC_BITS * update_count));
    const __m256d magic = _mm256_set1_pd(MAGIC);
    __m256i totals[FOLD_STEP / 4];
    for (size_t j = 0; j < FOLD_STEP / 4; j++) {
        totals[j] = _mm256_sub_epi64(load_i64(sum + 4 * j), surplus);
    }
    for (size_t k = 0; k < update_count; k++) {
        const __m256d scale = _mm256_set1_pd(scales[k]);
        for (size_t j = 0; j < FOLD_STEP / 4; j++) {
            __m256d term = _mm256_mul_pd(widen(x[k], index + 4 * j), scale);
            __m256i bits = _mm256_castpd_si256(_mm256_add_pd(term, magic));
            totals[j] = _mm256_add_epi64(totals[j], bits);
        }
    }
    for (size_t j = 0; j < FOLD_STEP / 4; j++) {
        store_i64(sum + 4 * j, totals[j]);
    }
}

static TRIB_INLINED void fold(int64_t *sum, const void *const *x, const double *scales,
                              size_t update_count, size_t count, widen_values *widen,
                              size_t value_bytes) {
    size_t i = 0;
    for (; count - i >= FOLD_STEP; i += FOLD_STEP) {
        fold_step(sum + i, x, i, scales, update_count, widen);
    }
    if (i == count) {
        return;
    }
    int64_t totals[FOLD_STEP] = {0};
    memcpy(totals, sum + i, (count - i) * sizeof *sum);
    for (size_t k = 0; k < update_count; k++) {
        unsigned char rest[FOLD_STEP * sizeof(float)] = {0};
        const void *values = rest;
        memcpy(rest, (const unsigned char *)x[k] + i * value_bytes, (count - i) * value_bytes);
        fold_step(totals, &values, 0, &scales[k], 1, widen);
    }
    memcpy(sum + i, totals, (count - i) * sizeof *sum);
}

TRIB_FOLD_KERNEL(f32, widen_f32, sizeof(float))
TRIB_FOLD_KERNEL(bf16, widen_bf16, sizeof(uint16_t))
TRIB_FOLD_KERNEL(f16, widen_f16, sizeof(uint16_t))
TRIB_FOLD_KERNEL(i8, widen_i8, sizeof(int8_t))

static void add_i64(int64_t *sum, const int64_t *other, size_t count) {
    size_t i = 0;
    for (; count - i >= 4; i += 4) {
        store_i64(sum + i, _mm256_add_epi64(load_i64(sum + i), load_i64(other + i)));
    }
    trib_kernels_scalar.add_i64(sum + i, other + i, count - i);
}

static void subtract_i64(int64_t *sum, const int64_t *other, size_t count) {
    size_t i = 0;
    for (; count - i >= 4; i += 4) {
        store_i64(sum + i, _mm256_sub_epi64(load_i64(sum + i), load_i64(other + i)));
    }
    trib_kernels_scalar.subtract_i64(sum + i, other + i, count - i);
}

/* The 16 lanes of a scan, in order. */
struct lanes {
    __m256d first, second, third, fourth;
};

static inline __m256d add_squares(__m256d lanes, __m256d values) {
    return _mm256_add_pd(lanes, _mm256_mul_pd(values, values));
}

/* VECTOR flags: is |x| <= limit? */
static inline unsigned good_of(__m256 values, __m256 limit) {
    __m256 magnitudes = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), values);
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(magnitudes, limit, _CMP_LE_OQ));
}

/* The first `count` values, and zeros after them. */
static inline __m256 keep_first(__m256 values, size_t count) {
    const __m256 positions = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
    __m256 is_kept = _mm256_cmp_ps(positions, _mm256_set1_ps((float)count), _CMP_LT_OQ);
    return _mm256_and_ps(values, is_kept);
}

/* Look at 16 values from index on. Adds the squares of those before the first bad one, and
 * returns how many these are: 16 when all are good. */
static TRIB_INLINED size_t scan_step(struct lanes *lanes, const void *x, size_t index, __m256 limit,
                                     load_values *load) {
    __m256 low = load(x, index);
    __m256 high = load(x, index + VECTOR);
    unsigned good = good_of(low, limit) | good_of(high, limit) << VECTOR;
    size_t good_count = (size_t)__builtin_ctz(~good);
    if (good_count < TRIB_LANES) { /* zeros add nothing: no lane is ever -0 */
        low = keep_first(low, good_count);
        high = keep_first(high, good_count > VECTOR ? good_count - VECTOR : 0);
    }
    lanes->first = add_squares(lanes->first, lower_half(low));
    lanes->second = add_squares(lanes->second, upper_half(low));
    lanes->third = add_squares(lanes->third, lower_half(high));
    lanes->fourth = add_squares(lanes->fourth, upper_half(high));
    return good_count;
}

static TRIB_INLINED struct trib_scan scan(const void *x, size_t count, double bound,
                                          size_t value_bytes, load_values *load) {
    const __m256 limit = _mm256_set1_ps(trib_bound_as_f32(bound));
    struct lanes lanes = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(),
                          _mm256_setzero_pd()};
    size_t i = 0;
    size_t good_count = TRIB_LANES;
    while (count - i >= TRIB_LANES) {
        good_count = scan_step(&lanes, x, i, limit, load);
        if (good_count < TRIB_LANES) {
            break;
        }
        i += TRIB_LANES; /* not good_count: the next load would wait for it */
    }
    if (good_count == TRIB_LANES && i < count) {
        /* The last values, and zeros after them, which change no lane. */
        unsigned char rest[TRIB_LANES * sizeof(float)] = {0};
        memcpy(rest, (const unsigned char *)x + i * value_bytes, (count - i) * value_bytes);
        good_count = scan_step(&lanes, rest, 0, limit, load);
    }
    size_t first_bad = good_count < count - i ? i + good_count : count;
    double totals[TRIB_LANES];
    _mm256_storeu_pd(totals, lanes.first);
    _mm256_storeu_pd(totals + 4, lanes.second);
    _mm256_storeu_pd(totals + 8, lanes.third);
    _mm256_storeu_pd(totals + 12, lanes.fourth);
    return (struct trib_scan){.first_bad = first_bad, .square_sum = trib_lanes_fold(totals)};
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

/* (double) of four int64: the upper 32 bits, signed, times 2^32 and the lower 32 bits, as the
 * fraction of 2^52, are both exact; only their sum is rounded. */
static inline __m256d i64_to_f64(__m256i values) {
    const __m256i odd = _mm256_setr_epi32(1, 3, 5, 7, 1, 3, 5, 7);
    const __m256i zero = _mm256_setzero_si256();
    const __m256d base = _mm256_set1_pd(0x1p52);
    __m128i upper = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(values, odd));
    __m256i lower = _mm256_blend_epi32(values, zero, 0xaa);
    lower = _mm256_or_si256(lower, _mm256_castpd_si256(base));
    return _mm256_add_pd(_mm256_mul_pd(_mm256_cvtepi32_pd(upper), _mm256_set1_pd(0x1p32)),
                         _mm256_sub_pd(_mm256_castsi256_pd(lower), base));
}

static void mean_f64(double *mean, const int64_t *sum, size_t count, double scale,
                     double denominator) {
    const __m256d scales = _mm256_set1_pd(scale);
    const __m256d denominators = _mm256_set1_pd(denominator);
    size_t i = 0;
    for (; count - i >= 4; i += 4) {
        __m256d total = _mm256_mul_pd(i64_to_f64(load_i64(sum + i)), scales);
        _mm256_storeu_pd(mean + i, _mm256_div_pd(total, denominators));
    }
    trib_kernels_scalar.mean_f64(mean + i, sum + i, count - i, scale, denominator);
}

static void subtract_f32(float *delta, const float *after, const float *before, size_t count) {
    size_t i = 0;
    for (; count - i >= VECTOR; i += VECTOR) {
        __m256 difference = _mm256_sub_ps(_mm256_loadu_ps(after + i), _mm256_loadu_ps(before + i));
        _mm256_storeu_ps(delta + i, difference);
    }
    trib_kernels_scalar.subtract_f32(delta + i, after + i, before + i, count - i);
}

const struct trib_kernels trib_kernels_avx2 = {
    .name = "avx2",
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
