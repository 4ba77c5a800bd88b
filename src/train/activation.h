/* activation.h - exp, sigmoid and tanh in float that a compiler can vectorise.
 *
 * Branch-free, without libm, at most 2 ulp (exp) and 1e-7 absolute (the others) from the true
 * value: test_activation.c measures it. The same bits with every instruction set. */
#ifndef TRIB_TRAIN_ACTIVATION_H
#define TRIB_TRAIN_ACTIVATION_H

#include <stdint.h>
#include <string.h>

/* e^x = 2^n * e^r with n = rint(x / ln 2) and |r| <= ln 2 / 2; e^r by its Taylor series to r^7,
 * whose remainder is below 4e-9. ln 2 is split in two so that n * ln 2 is exact in its first part
 * (Cody and Waite 1980, chapter 6). From -87 to 88; smaller x give 0, larger ones infinity, and a
 * NaN stays one. */
static inline float trib_exp(float x) {
    const float magic = 0x1.8p23F; /* adding it rounds to an integer, in the low bits */
    const float bounded = x < -87.0F ? -87.0F : x > 88.0F ? 88.0F : x;
    const float shifted = bounded * 0x1.715476p0F + magic;
    const float n = shifted - magic;
    const float r = (bounded - n * 0x1.62e4p-1F) - n * 0x1.7f7d1cp-20F;
    float sum = 1.0F / 5040.0F;
    sum = sum * r + 1.0F / 720.0F;
    sum = sum * r + 1.0F / 120.0F;
    sum = sum * r + 1.0F / 24.0F;
    sum = sum * r + 1.0F / 6.0F;
    sum = sum * r + 0.5F;
    sum = sum * (r * r) + r + 1.0F;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23; /* 2^n: what magic put above is shifted out */
    float power;
    memcpy(&power, &bits, sizeof power);
    const float result = sum * power;
    return x < -87.0F ? 0.0F : x > 88.0F ? __builtin_inff() : result;
}

static inline float trib_sigmoid(float x) {
    return 1.0F / (1.0F + trib_exp(-x));
}

static inline float trib_tanh(float x) {
    return 2.0F / (1.0F + trib_exp(-2.0F * x)) - 1.0F;
}

#endif
