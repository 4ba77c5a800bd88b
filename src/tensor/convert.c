/* convert.c - one value at a time, as the formats are defined: IEEE 754 for F64 and F16, the upper
 * half of a float for BF16, and Micikevicius et al. 2022, "FP8 formats for deep learning", table 1
 * for F8_E4M3 (no infinity, one NaN per sign) and F8_E5M2. */
#include "tensor/convert.h"

#include <math.h>
#include <string.h>

/* The data section is little-endian and is copied into numbers as it is. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a little-endian machine");

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double double_of_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A binary float of fewer bits whose largest finite magnitude is `last`; above it come infinity,
 * in the formats that have one, and NaN, both of which become NaN here: neither is welcome.
 *
 * Made by exact products of normal numbers, so that a caller's flush-to-zero mode cannot change
 * what a small value means. */
static float widen(uint64_t bits, int exponent_bits, int fraction_bits, uint32_t last) {
    const uint32_t magnitude = (uint32_t)bits & ((1u << (exponent_bits + fraction_bits)) - 1);
    if (magnitude > last) {
        return NAN;
    }
    uint32_t fraction = magnitude & ((1u << fraction_bits) - 1);
    int exponent = (int)(magnitude >> fraction_bits);
    if (exponent > 0) {
        fraction |= 1u << fraction_bits; /* the hidden bit */
    } else {
        exponent = 1; /* subnormal */
    }
    exponent -= (1 << (exponent_bits - 1)) - 1 + fraction_bits; /* bias and binary point */
    const float sign = magnitude == bits ? 1.0f : -1.0f;
    return sign * (float)fraction * float_of_bits((uint32_t)(127 + exponent) << 23);
}

/* NaN when the integer is between two floats. */
static float exact_of_signed(int64_t value) {
    float nearest = (float)value;
    return nearest < 0x1p63f && (int64_t)nearest == value ? nearest : NAN;
}

static float exact_of_unsigned(uint64_t value) {
    float nearest = (float)value;
    return nearest < 0x1p64f && (uint64_t)nearest == value ? nearest : NAN;
}

/* NaN or infinity for what fp32 does not have. */
static float f32_of(enum trib_dtype dtype, uint64_t bits) {
    switch (dtype) {
    case TRIB_F32:
        return float_of_bits((uint32_t)bits);
    case TRIB_F16:
        return widen(bits, 5, 10, 0x7BFF);
    case TRIB_BF16:
        return float_of_bits((uint32_t)bits << 16);
    case TRIB_F64:
        return (float)double_of_bits(bits);
    case TRIB_F8_E4M3:
        return widen(bits, 4, 3, 0x7E);
    case TRIB_F8_E5M2:
        return widen(bits, 5, 2, 0x7B);
    case TRIB_I8:
        return (float)(int8_t)bits;
    case TRIB_I16:
        return (float)(int16_t)bits;
    case TRIB_I32:
        return exact_of_signed((int32_t)bits);
    case TRIB_I64:
        return exact_of_signed((int64_t)bits);
    case TRIB_U8:
    case TRIB_U16:
    case TRIB_U32:
    case TRIB_U64:
        return exact_of_unsigned(bits);
    case TRIB_BOOL:
        return bits <= 1 ? (float)bits : NAN;
    case TRIB_DTYPE_COUNT:
        break;
    }
    return NAN;
}

size_t trib_convert_to_f32(float *values, enum trib_dtype dtype, const void *bytes, size_t count) {
    const unsigned char *source = bytes;
    const size_t width = trib_dtype_bytes(dtype);
    size_t first_bad = count;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = 0;
        memcpy(&bits, source + i * width, width);
        values[i] = f32_of(dtype, bits);
        if (first_bad == count && !isfinite(values[i])) {
            first_bad = i;
        }
    }
    return first_bad;
}
