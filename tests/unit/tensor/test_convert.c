/* test_convert.c - every dtype to fp32, against the definitions of the formats. */
#include "support/check.h"

#include <math.h>

#include "tensor/convert.h"

/* The definition, in doubles: (-1)^s * 2^(e - bias) * 1.f, subnormal below. */
static double small_float(uint32_t bits, int exponent_bits, int fraction_bits) {
    int exponent = (int)(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    double fraction = (double)(bits & ((1u << fraction_bits) - 1)) / (1 << fraction_bits);
    int bias = (1 << (exponent_bits - 1)) - 1;
    double magnitude =
        exponent > 0 ? ldexp(1 + fraction, exponent - bias) : ldexp(fraction, 1 - bias);
    return bits >> (exponent_bits + fraction_bits) ? -magnitude : magnitude;
}

static void every_f16_is_exact(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits <= UINT16_MAX; bits++) {
        const uint16_t raw = (uint16_t)bits;
        float value;
        size_t first_bad = trib_convert_to_f32(&value, TRIB_F16, &raw, 1);
        if ((bits & 0x7C00) == 0x7C00) { /* infinity and NaN */
            assert_int_equal(first_bad, 0);
        } else {
            assert_int_equal(first_bad, 1);
            assert_true((double)value == small_float(bits, 5, 10));
            assert_int_equal(signbit(value) != 0, bits >> 15);
        }
    }
}

static void every_f8_is_exact(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits <= UINT8_MAX; bits++) {
        const uint8_t raw = (uint8_t)bits;
        float value;
        size_t first_bad = trib_convert_to_f32(&value, TRIB_F8_E4M3, &raw, 1);
        if ((bits & 0x7F) == 0x7F) { /* the only NaN; there is no infinity */
            assert_int_equal(first_bad, 0);
        } else {
            assert_int_equal(first_bad, 1);
            assert_true((double)value == small_float(bits, 4, 3));
        }
        first_bad = trib_convert_to_f32(&value, TRIB_F8_E5M2, &raw, 1);
        if ((bits & 0x7C) == 0x7C) {
            assert_int_equal(first_bad, 0);
        } else {
            assert_int_equal(first_bad, 1);
            assert_true((double)value == small_float(bits, 5, 2));
        }
    }
}

/* Largest and smallest values as the publications print them. */
static void the_published_extremes_are_met(void **state) {
    (void)state;
    const uint16_t f16[] = {0x7BFF, 0x0001, 0x3555, 0xC000};
    const uint8_t e4m3[] = {0x7E, 0x01, 0xB8};
    const uint8_t e5m2[] = {0x7B, 0x01, 0xBC};
    float value[4];
    assert_int_equal(trib_convert_to_f32(value, TRIB_F16, f16, 4), 4);
    assert_true(value[0] == 65504 && value[1] == 0x1p-24f && value[2] == 0.333251953125f &&
                value[3] == -2);
    assert_int_equal(trib_convert_to_f32(value, TRIB_F8_E4M3, e4m3, 3), 3);
    assert_true(value[0] == 448 && value[1] == 0x1p-9f && value[2] == -1);
    assert_int_equal(trib_convert_to_f32(value, TRIB_F8_E5M2, e5m2, 3), 3);
    assert_true(value[0] == 57344 && value[1] == 0x1p-16f && value[2] == -1);
}

static void every_bf16_is_the_upper_half_of_a_float(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits <= UINT16_MAX; bits++) {
        const uint16_t raw = (uint16_t)bits;
        float value;
        size_t first_bad = trib_convert_to_f32(&value, TRIB_BF16, &raw, 1);
        uint32_t got;
        memcpy(&got, &value, sizeof got);
        assert_int_equal(got, bits << 16);
        assert_int_equal(first_bad, (bits & 0x7F80) != 0x7F80);
    }
}

static void doubles_are_rounded_to_even(void **state) {
    (void)state;
    const double doubles[] = {1 + 0x1p-24,    1 + 0x3p-24, 0.1,
                              -0x1p-149,      0x1p-151,    0x1.fffffefffffffp127,
                              0x1.ffffffp127, (double)NAN};
    float values[8];
    assert_int_equal(trib_convert_to_f32(values, TRIB_F64, doubles, 8), 6);
    assert_true(values[0] == 1.0f && values[1] == 1 + 0x1p-22f && values[2] == 0.1f);
    assert_true(values[3] == -0x1p-149f && values[4] == 0 && values[5] == 0x1.fffffep127f);
}

static void integers_pass_only_unchanged(void **state) {
    (void)state;
    float values[4];
    const int64_t i64[] = {-(INT64_C(1) << 24), INT64_MIN, (INT64_C(1) << 24) + 1, 0};
    assert_int_equal(trib_convert_to_f32(values, TRIB_I64, i64, 4), 2);
    assert_true(values[0] == -0x1p24f && values[1] == -0x1p63f && isnan(values[2]));
    const int64_t i64_max = INT64_MAX; /* rounds to 2^63, which is no int64 */
    assert_int_equal(trib_convert_to_f32(values, TRIB_I64, &i64_max, 1), 0);
    const uint64_t u64[] = {UINT64_C(1) << 63, UINT64_MAX};
    assert_int_equal(trib_convert_to_f32(values, TRIB_U64, u64, 2), 1);
    assert_true(values[0] == 0x1p63f);
    const int32_t i32[] = {INT32_MIN, -1, INT32_MAX};
    assert_int_equal(trib_convert_to_f32(values, TRIB_I32, i32, 3), 2);
    assert_true(values[0] == -0x1p31f && values[1] == -1);
    const uint32_t u32[] = {UINT32_C(1) << 31, UINT32_MAX};
    assert_int_equal(trib_convert_to_f32(values, TRIB_U32, u32, 2), 1);
    const int16_t i16[] = {INT16_MIN, INT16_MAX};
    assert_int_equal(trib_convert_to_f32(values, TRIB_I16, i16, 2), 2);
    assert_true(values[0] == -32768 && values[1] == 32767);
    const uint16_t u16[] = {UINT16_MAX};
    assert_int_equal(trib_convert_to_f32(values, TRIB_U16, u16, 1), 1);
    assert_true(values[0] == 65535);
    const int8_t i8[] = {-128, 127};
    assert_int_equal(trib_convert_to_f32(values, TRIB_I8, i8, 2), 2);
    assert_true(values[0] == -128 && values[1] == 127);
    const uint8_t u8[] = {255};
    assert_int_equal(trib_convert_to_f32(values, TRIB_U8, u8, 1), 1);
    assert_true(values[0] == 255);
    const uint8_t truths[] = {0, 1, 2};
    assert_int_equal(trib_convert_to_f32(values, TRIB_BOOL, truths, 3), 2);
    assert_true(values[0] == 0 && values[1] == 1);
}

static void floats_are_copied_at_any_alignment(void **state) {
    (void)state;
    const float floats[] = {1.5f, -0.0f, 1e-45f, -INFINITY};
    unsigned char odd[1 + sizeof floats];
    memcpy(odd + 1, floats, sizeof floats);
    float values[4];
    assert_int_equal(trib_convert_to_f32(values, TRIB_F32, odd + 1, 4), 3);
    assert_memory_equal(values, floats, sizeof floats);
    assert_int_equal(trib_convert_to_f32(values, TRIB_F32, odd, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_is_exact),
        cmocka_unit_test(every_f8_is_exact),
        cmocka_unit_test(the_published_extremes_are_met),
        cmocka_unit_test(every_bf16_is_the_upper_half_of_a_float),
        cmocka_unit_test(doubles_are_rounded_to_even),
        cmocka_unit_test(integers_pass_only_unchanged),
        cmocka_unit_test(floats_are_copied_at_any_alignment),
    };
    return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
