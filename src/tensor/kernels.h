/* kernels.h - the loops over numbers, one table per instruction set.
 *
 * The scalar table is the specification; every other tier gives the same bits for finite input.
 * Contract of every kernel: count may be 0; no alignment is needed; input and output are equal or
 * disjoint; nothing outside the arrays is touched; int64 sums wrap around.
 * Thread: any, on disjoint output.
 * TRIB_CPU=scalar|avx2|avx512|neon in the environment forces a lower tier. */
#ifndef TRIB_TENSOR_KERNELS_H
#define TRIB_TENSOR_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one pass over an update's values finds. NaN and infinity count as over any bound, also
 * over an infinite one; below 0 or NaN, the bound admits nothing. */
struct trib_scan {
    size_t first_bad;  /* index of the first value with !(|x| <= bound); count if none */
    double square_sum; /* of the values before it: element i in lane i mod 16, folded by halves */
};

/* For each update k: sum[i] += (int64) rint(x[k][i] * scales[k]), in double, ties to even. The sums
 * are read and written once, whatever update_count is. The caller has checked
 * |x[k][i] * scales[k]| <= 2^51; each scale is exact in double. x[k] holds count values of the
 * kernel's type, at any alignment. */
typedef void trib_fold_kernel(int64_t *sum, const void *const *x, const double *scales,
                              size_t update_count, size_t count);

struct trib_kernels {
    const char *name; /* "scalar", "avx2", "avx512", "neon" */
    trib_fold_kernel *fold_f32, *fold_bf16, *fold_f16, *fold_i8;
    /* sum[i] += other[i]; sum[i] -= other[i] (partial sums of a tree). */
    void (*add_i64)(int64_t *sum, const int64_t *other, size_t count);
    void (*subtract_i64)(int64_t *sum, const int64_t *other, size_t count);
    /* Find the first value beyond the bound, with the squared norm of those before it. */
    struct trib_scan (*scan_f32)(const float *x, size_t count, double bound);
    struct trib_scan (*scan_bf16)(const uint16_t *x, size_t count, double bound);
    struct trib_scan (*scan_f16)(const uint16_t *x, size_t count, double bound);
    struct trib_scan (*scan_i8)(const int8_t *x, size_t count, double bound);
    /* mean[i] = ((double) sum[i] * scale) / denominator; scale = 2^-F. */
    void (*mean_f64)(double *mean, const int64_t *sum, size_t count, double scale,
                     double denominator);
    /* delta[i] = after[i] - before[i] (clients). */
    void (*subtract_f32)(float *delta, const float *after, const float *before, size_t count);
};

/* The best tier that the CPU and the operating system allow and TRIB_CPU does not forbid;
 * chosen once. An unknown TRIB_CPU falls back to scalar and is logged as a warning. */
const struct trib_kernels *trib_kernels_select(void);
/* The best tier of this machine that is not above the named one (NULL: no limit). NULL when
 * there is no tier of that name. */
const struct trib_kernels *trib_kernels_best(const char *highest);
/* Tier by index 0.. in rising order; NULL when this machine or build lacks it. */
const struct trib_kernels *trib_kernels_tier(size_t index);
#define TRIB_KERNEL_TIERS 4

#endif
