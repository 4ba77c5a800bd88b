/* test_activation.c - our exp, sigmoid and tanh against those of the C library in double. */
#include "train/activation.h"

#include <math.h>

#include "support/check.h"

static void exp_is_within_two_ulp(void **state) {
    (void)state;
    for (float x = -87.0F; x <= 88.0F; x += 0x1p-9F) {
        const double right = exp((double)x);
        assert_true(fabs((double)trib_exp(x) - right) <= 2.0 * 0x1p-23 * right);
    }
    assert_true(trib_exp(0.0F) == 1.0F);
}

static void ends_and_wrong_numbers_are_kept(void **state) {
    (void)state;
    assert_true(trib_exp(-88.0F) == 0.0F);
    assert_true(trib_exp(-INFINITY) == 0.0F);
    assert_true(isinf(trib_exp(89.0F)));
    assert_true(isinf(trib_exp(INFINITY)));
    assert_true(isnan(trib_exp(NAN)));
    assert_true(trib_sigmoid(100.0F) == 1.0F && trib_sigmoid(-100.0F) == 0.0F);
    assert_true(trib_tanh(100.0F) == 1.0F && trib_tanh(-100.0F) == -1.0F);
    assert_true(isnan(trib_sigmoid(NAN)) && isnan(trib_tanh(NAN)));
}

static void sigmoid_and_tanh_are_within_their_bound(void **state) {
    (void)state;
    for (float x = -20.0F; x <= 20.0F; x += 0x1p-9F) {
        assert_true(fabs((double)trib_sigmoid(x) - 1.0 / (1.0 + exp(-(double)x))) < 1.5e-7);
        assert_true(fabs((double)trib_tanh(x) - tanh((double)x)) < 2.5e-7);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_two_ulp),
        cmocka_unit_test(ends_and_wrong_numbers_are_kept),
        cmocka_unit_test(sigmoid_and_tanh_are_within_their_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
