/* test_network.c - outputs, loss and gradient against a second implementation in double. */
#include "train/network.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "reference.h"
#include "support/check.h"
#include "support/env_faulty.h"

enum { ROWS = 7, PARAMETERS_MAX = 4096 };

static float features[ROWS * 64];
static int32_t labels[ROWS];
static float parameters[PARAMETERS_MAX];
static double exact_parameters[PARAMETERS_MAX];
static float gradient[PARAMETERS_MAX];

static void fill(const struct reference *reference, uint64_t seed) {
    struct trib_random random;
    trib_random_init(&random, seed);
    for (size_t i = 0; i < ROWS * reference->widths[0]; i++) {
        features[i] = (float)trib_random_normal(&random);
    }
    for (size_t i = 0; i < ROWS; i++) {
        labels[i] = (int32_t)trib_random_below(&random, reference->widths[reference->layer_count]);
    }
    assert_true(reference_parameter_count(reference) <= PARAMETERS_MAX);
    for (size_t i = 0; i < reference_parameter_count(reference); i++) {
        parameters[i] = (float)(0.5 * trib_random_normal(&random));
        exact_parameters[i] = (double)parameters[i];
    }
}

static struct trib_products products;

static struct trib_network network_of(const struct reference *reference) {
    struct trib_network network;
    struct trib_error error = {0};
    trib_network_place(&network, reference->widths, reference->layer_count, 0);
    if (trib_products_init(&products, &error) != TRIB_OK ||
        trib_network_init(&network, trib_env_system(), &products, 256, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    return network;
}

static const struct reference shapes[] = {
    {.widths = {6, 3}, .layer_count = 1},
    {.widths = {5, 8, 4}, .layer_count = 2},
    {.widths = {33, 17, 19, 10}, .layer_count = 3},
    {.widths = {1, 1, 2}, .layer_count = 2},
};
#define SHAPE_COUNT (sizeof shapes / sizeof shapes[0])

/* The gradient of a slice into, or on top of, an array. */
static void backward(struct trib_network *network, const float *inputs, size_t row_count,
                     float keep, float *values) {
    const struct trib_gradient into = {.values = values, .keep = keep, .scale = 1.0F};
    trib_network_backward(network, parameters, inputs, row_count, &into, NULL);
}

static void the_gradient_is_the_slope_of_the_loss(void **state) {
    (void)state;
    for (size_t shape = 0; shape < SHAPE_COUNT; shape++) {
        const struct reference *reference = &shapes[shape];
        struct trib_network network = network_of(reference);
        assert_int_equal(network.parameter_count, reference_parameter_count(reference));
        fill(reference, 1 + shape);

        (void)trib_network_forward(&network, parameters, features, ROWS);
        const double loss = trib_network_loss(&network, labels, ROWS, ROWS) / ROWS;
        backward(&network, features, ROWS, 0.0F, gradient);
        const double expected_loss =
            reference_loss(reference, exact_parameters, features, labels, ROWS);
        assert_true(fabs(loss - expected_loss) < 1e-5 * (1.0 + expected_loss));
        for (size_t i = 0; i < network.parameter_count; i++) {
            const double slope =
                reference_slope(reference, exact_parameters, i, features, labels, ROWS);
            if (!(fabs((double)gradient[i] - slope) < 2e-5 * (1.0 + fabs(slope)))) {
                fail_msg("shape %zu, parameter %zu: %g, not %g", shape, i, (double)gradient[i],
                         slope);
            }
        }
        assert_int_equal(trib_products_check(&products, NULL), TRIB_OK);
        trib_network_deinit(&network);
    }
}

static void slices_add_up_to_the_batch(void **state) {
    (void)state;
    const struct reference *reference = &shapes[2];
    const size_t width = reference->widths[0];
    struct trib_network network = network_of(reference);
    static float whole[PARAMETERS_MAX];
    fill(reference, 5);
    (void)trib_network_forward(&network, parameters, features, ROWS);
    const double loss = trib_network_loss(&network, labels, ROWS, ROWS);
    backward(&network, features, ROWS, 0.0F, whole);

    memset(gradient, 0xff, sizeof gradient); /* not numbers: keep 0 must not read them */
    double sliced_loss = 0.0;
    for (size_t first = 0; first < ROWS; first += 3) {
        const size_t count = ROWS - first < 3 ? ROWS - first : 3;
        const float *slice = features + first * width;
        (void)trib_network_forward(&network, parameters, slice, count);
        sliced_loss += trib_network_loss(&network, labels + first, count, ROWS);
        backward(&network, slice, count, first == 0 ? 0.0F : 1.0F, gradient);
    }
    assert_true(fabs(loss - sliced_loss) < 1e-6 * loss);
    for (size_t i = 0; i < network.parameter_count; i++) {
        assert_true(fabsf(gradient[i] - whole[i]) < 1e-6F);
    }
    trib_network_deinit(&network);
}

static void far_outputs_give_a_finite_loss_and_wrong_numbers_do_not(void **state) {
    (void)state;
    const struct reference *reference = &shapes[0];
    struct trib_network network = network_of(reference);
    fill(reference, 3);
    memset(parameters, 0, sizeof parameters);
    parameters[0] = 1e30F; /* bias of class 0 */
    labels[0] = 1;
    (void)trib_network_forward(&network, parameters, features, 1);
    const double loss = trib_network_loss(&network, labels, 1, 1);
    assert_true(fabs(loss / 1e30 - 1.0) < 1e-6);
    backward(&network, features, 1, 0.0F, gradient);
    assert_true(gradient[0] == 1.0F && gradient[1] == -1.0F && gradient[2] == 0.0F);

    static const float wrong[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        parameters[1] = wrong[i];
        (void)trib_network_forward(&network, parameters, features, 1);
        assert_false(isfinite(trib_network_loss(&network, labels, 1, 1)));
    }
    trib_network_deinit(&network);
}

static size_t count_threads(void) {
    size_t count = 0;
    DIR *threads = opendir("/proc/self/task");
    assert_non_null(threads);
    for (struct dirent *entry = readdir(threads); entry != NULL; entry = readdir(threads)) {
        count += entry->d_name[0] != '.';
    }
    assert_int_equal(closedir(threads), 0);
    return count;
}

/* Trainers run side by side, one per core: helpers of one would steal from the others. */
static void no_helper_threads_are_started(void **state) {
    (void)state;
    static const struct reference wide = {.widths = {64, 63, 10}, .layer_count = 2};
    static float many_inputs[256 * 64];
    static float many_parameters[64 * 64 + 64 * 10];
    const size_t thread_count = count_threads();
    struct trib_network network = network_of(&wide);
    for (int round = 0; round < 10; round++) {
        (void)trib_network_forward(&network, many_parameters, many_inputs, 256);
    }
    trib_network_deinit(&network);
    assert_int_equal(count_threads(), thread_count);
}

/* What stands after the end of a text: as if the row were not there. */
static void rows_without_a_label_have_no_influence(void **state) {
    (void)state;
    static float whole[PARAMETERS_MAX];
    struct trib_network network = network_of(&shapes[2]);
    fill(&shapes[2], 6);
    (void)trib_network_forward(&network, parameters, features, ROWS - 2);
    const double loss = trib_network_loss(&network, labels, ROWS - 2, ROWS - 2);
    backward(&network, features, ROWS - 2, 0.0F, whole);
    labels[ROWS - 1] = labels[ROWS - 2] = -1;
    (void)trib_network_forward(&network, parameters, features, ROWS);
    assert_true(fabs(trib_network_loss(&network, labels, ROWS, ROWS - 2) - loss) < 1e-6 * loss);
    backward(&network, features, ROWS, 0.0F, gradient);
    for (size_t i = 0; i < network.parameter_count; i++) {
        assert_true(fabsf(gradient[i] - whole[i]) < 1e-6F);
    }
    trib_network_deinit(&network);
}

static void without_memory_nothing_is_left(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_network network;
    trib_env_faulty_init(&faulty);
    trib_env_faulty_fail(&faulty, 1);
    trib_network_place(&network, shapes[1].widths, 2, 0);
    assert_int_equal(trib_network_init(&network, &faulty.env, &products, 256, NULL), TRIB_EMEMORY);
    trib_network_deinit(&network);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_helper_threads_are_started), /* first: helpers would stay */
        cmocka_unit_test(the_gradient_is_the_slope_of_the_loss),
        cmocka_unit_test(slices_add_up_to_the_batch),
        cmocka_unit_test(far_outputs_give_a_finite_loss_and_wrong_numbers_do_not),
        cmocka_unit_test(rows_without_a_label_have_no_influence),
        cmocka_unit_test(without_memory_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
