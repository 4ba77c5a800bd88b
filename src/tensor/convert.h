/* convert.h - values of any dtype to fp32, the dtype of versions; used on the way in, not in loops
 * that must be fast (kernels.h has those). */
#ifndef TRIB_TENSOR_CONVERT_H
#define TRIB_TENSOR_CONVERT_H

#include <stddef.h>

#include "tensor/layout.h"

/* Convert count values of `dtype` at `bytes` (little-endian, any alignment) into values[count].
 * F16, BF16 and F8 are exact; F64 is rounded to nearest, ties to even. What fp32 does not have
 * becomes NaN or infinity: values that are not finite, doubles that round to infinity, integers
 * that would change, a BOOL other than 0 and 1.
 *
 * Returns the index of the first of these, count if there is none; all values are written in
 * either case. Thread: any. */
size_t trib_convert_to_f32(float *values, enum trib_dtype dtype, const void *bytes, size_t count);

#endif
