/* kernels_tiers.h - the table of each instruction set, and the little that they share.
 *
 * Only the kernels and their selection include this; everyone else asks kernels.h. */
#ifndef TRIB_TENSOR_KERNELS_TIERS_H
#define TRIB_TENSOR_KERNELS_TIERS_H

#include "tensor/kernels.h"

#include <float.h>
#include <math.h>

extern const struct trib_kernels trib_kernels_scalar;
/* In builds for their processors only. Call nothing of a tier that trib_kernels_tier() does not
 * give out. */
extern const struct trib_kernels trib_kernels_avx2;
extern const struct trib_kernels trib_kernels_avx512;
extern const struct trib_kernels trib_kernels_neon;

/* For loops that take the function that loads a value: a call per value would cost half the speed. */
#define TRIB_INLINED inline __attribute__((always_inline))

/* fold_f32() of a tier and so on, from the tier's fold() and what that needs to know of the type. */
#define TRIB_FOLD_KERNEL(type, ...)                                                   \
    static void fold_##type(int64_t *sum, const void *const *x, const double *scales, \
                            size_t update_count, size_t count) {                      \
        fold(sum, x, scales, update_count, count, __VA_ARGS__);                       \
    }

#define TRIB_LANES 16 /* of every reduction: element i goes into lane i mod 16 */

/* The total of all lanes: the upper half onto the lower, then again. Destroys lanes. */
static inline double trib_lanes_fold(double lanes[TRIB_LANES]) {
    for (size_t half = TRIB_LANES / 2; half > 0; half /= 2) {
        for (size_t lane = 0; lane < half; lane++) {
            lanes[lane] += lanes[lane + half];
        }
    }
    return lanes[0];
}

/* The largest float that is not above bound: |x| <= bound exactly when |x| <= this, for any float x
 * but infinity, which is over any bound. NaN stays NaN, and negative bounds negative. */
static inline float trib_bound_as_f32(double bound) {
    if (bound >= FLT_MAX) {
        return FLT_MAX;
    }
    float nearest = (float)bound;
    return nearest > bound ? nextafterf(nearest, -INFINITY) : nearest;
}

#endif
