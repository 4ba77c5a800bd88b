/* test_asmu.c - the weights of FedASMU, tests/vectors/fedasmu.json. */
#include "learn/asmu.h"

#include <math.h>
#include <stdbool.h>

#include "support/check.h"
#include "vectors.h"

static bool near(double a, double b) {
    return fabs(a - b) <= VECTOR_TOLERANCE;
}

static void shares_and_refreshes_are_the_papers(void **state) {
    (void)state;
    json_t *file = vectors_load("fedasmu.json");
    const json_t *item = vectors_case(file, "weights");
    assert_true(vectors_number(item, "inputs.mu_alpha") == 1);
    assert_true(vectors_number(item, "inputs.mu_beta") == 1);
    size_t index;
    json_t *row;
    json_array_foreach((json_t *)vectors_at(item, "outputs.rows"), index, row) {
        double t = vectors_number(row, "t"), base = vectors_number(row, "base_version");
        double reach = vectors_number(item, "inputs.lam") *
                       pow(t - base + 1, -vectors_number(item, "inputs.sigma"));
        double share = trib_asmu_share(reach, vectors_number(item, "inputs.iota"), (uint64_t)t);
        assert_true(near(share, vectors_number(row, "alpha")));
        double refresh = trib_asmu_refresh(vectors_number(item, "inputs.gamma"),
                                           vectors_number(item, "inputs.upsilon"),
                                           (uint64_t)base - 1, (uint64_t)t - 1);
        assert_true(near(refresh, vectors_number(row, "local_beta")));
    }
    json_decref(file);
}

static void nothing_is_taken_of_what_is_hardly_fresher(void **state) {
    (void)state;
    assert_true(trib_asmu_refresh(1, 2, 5, 5) == 0);
    assert_true(trib_asmu_refresh(1, 2, 5, 8) == 0); /* 1 - 2 / sqrt(4) */
    assert_true(trib_asmu_refresh(1, 2, 5, 9) > 0);
}

static void control_follows_the_chain_rule(void **state) {
    (void)state;
    json_t *file = vectors_load("fedasmu.json");
    const json_t *item = vectors_case(file, "server_mix_and_control_gradients");
    double w[2], trained[2], gradient[2], next[2], along = 0;
    vectors_numbers(vectors_at(item, "inputs.w"), w, 2);
    vectors_numbers(vectors_at(item, "inputs.w_client"), trained, 2);
    vectors_numbers(vectors_at(item, "inputs.loss_gradient_at_new_model"), gradient, 2);
    vectors_numbers(vectors_at(item, "outputs.w_next"), next, 2);
    double t = vectors_number(item, "inputs.t");
    double age = t - vectors_number(item, "inputs.base_version") + 1;
    double reach = 1 / sqrt(age), iota = 0.1;
    double share = trib_asmu_share(reach, iota, (uint64_t)t);
    for (size_t i = 0; i < 2; i++) {
        assert_true(near(w[i] + share * (trained[i] - w[i]), next[i]));
        along += gradient[i] * (trained[i] - w[i]);
    }
    struct trib_asmu_slope slope = trib_asmu_control(along, 1, reach, iota, (uint64_t)t, log(age));
    assert_true(near(slope.lambda, vectors_number(item, "outputs.d_lambda")));
    assert_true(near(slope.sigma, vectors_number(item, "outputs.d_sigma")));
    assert_true(near(slope.iota, vectors_number(item, "outputs.d_iota")));
    json_decref(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_and_refreshes_are_the_papers),
        cmocka_unit_test(nothing_is_taken_of_what_is_hardly_fresher),
        cmocka_unit_test(control_follows_the_chain_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
