/* test_model.c - names, shapes and first weights of the native models. */
#include "train/model.h"

#include <math.h>
#include <stdlib.h>

#include "support/check.h"
#include "support/env_faulty.h"
#include "tensor/safetensors.h"

static const struct trib_trainer_spec two_nn = {
    .kind = "mlp", .feature_count = 784, .class_count = 10};

static void init(struct trib_trainer_model *model, const struct trib_trainer_spec *spec) {
    struct trib_error error = {0};
    if (trib_trainer_model_init(model, trib_env_system(), spec, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
}

static void the_default_mlp_is_the_2nn_of_mcmahan(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint32_t rank;
        uint64_t shape[2];
    } expected[] = {
        {"fc1.bias", 1, {200, 0}},     {"fc1.weight", 2, {200, 784}}, {"fc2.bias", 1, {200, 0}},
        {"fc2.weight", 2, {200, 200}}, {"fc3.bias", 1, {10, 0}},      {"fc3.weight", 2, {10, 200}},
    };
    struct trib_trainer_model model;
    init(&model, &two_nn);
    assert_int_equal(model.parameter_count, 199210);
    assert_int_equal(model.network.layer_count, 3);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(model.tensors[i].name, expected[i].name);
        assert_int_equal(model.tensors[i].dtype, TRIB_F32);
        assert_int_equal(model.tensors[i].rank, expected[i].rank);
        assert_int_equal(model.tensors[i].shape[0], expected[i].shape[0]);
        assert_int_equal(model.tensors[i].shape[1], expected[i].shape[1]);
    }
    trib_trainer_model_deinit(&model);
}

static void softmax_is_one_layer(void **state) {
    (void)state;
    struct trib_trainer_model model;
    const struct trib_trainer_spec spec = {
        .kind = "softmax", .feature_count = 64, .class_count = 10};
    init(&model, &spec);
    assert_int_equal(model.network.layer_count, 1);
    assert_int_equal(model.parameter_count, 650);
    assert_string_equal(model.tensors[0].name, "bias");
    assert_string_equal(model.tensors[1].name, "weight");
    assert_int_equal(model.tensors[1].shape[0], 10);
    assert_int_equal(model.tensors[1].shape[1], 64);
    trib_trainer_model_deinit(&model);
}

/* The parameters of a trainer are the data section of a version only if both agree on the order. */
static void tensors_lie_as_the_canonical_layout_puts_them(void **state) {
    (void)state;
    const struct trib_trainer_spec specs[] = {
        two_nn,
        {.kind = "softmax", .feature_count = 3, .class_count = 2},
        {.kind = "mlp",
         .feature_count = 3,
         .class_count = 2,
         .hidden = {1, 2, 3, 4, 5, 6, 7, 8},
         .hidden_count = 8},
        {.kind = "cnn", .feature_count = 16, .class_count = 2, .hidden = {3}, .hidden_count = 1},
        {.kind = "lstm",
         .feature_count = 3,
         .class_count = 2,
         .hidden = {1, 2, 3, 4, 5, 6, 7, 8},
         .hidden_count = 8},
    };
    for (size_t k = 0; k < sizeof specs / sizeof specs[0]; k++) {
        struct trib_trainer_model model;
        struct trib_layout *layout = NULL;
        init(&model, &specs[k]);
        const size_t count = model.tensor_count;
        assert_int_equal(
            trib_layout_of_tensors(trib_env_system(), model.tensors, count, &layout, NULL),
            TRIB_OK);
        assert_int_equal(layout->tensor_count, count);
        assert_int_equal(layout->element_count, model.parameter_count);
        for (size_t i = 0; i < count; i++) {
            assert_string_equal(layout->tensors[i].name, model.tensors[i].name);
            assert_int_equal(layout->tensors[i].element_count, model.tensors[i].element_count);
            assert_int_equal(layout->tensors[i].element_offset, model.tensors[i].element_offset);
            assert_int_equal(layout->tensors[i].byte_offset, model.tensors[i].byte_offset);
        }
        trib_layout_free(layout);
        trib_trainer_model_deinit(&model);
    }
}

static void specs_that_make_no_model_are_refused(void **state) {
    (void)state;
    const struct trib_trainer_spec bad[] = {
        {.kind = "gru", .feature_count = 4, .class_count = 2},
        {.kind = "cnn", .feature_count = 785, .class_count = 10},
        {.kind = "cnn", .feature_count = 36, .class_count = 10}, /* 6 x 6 cannot be halved twice */
        {.kind = "cnn", .feature_count = 260 * 260, .class_count = 10},
        {.kind = "lstm", .feature_count = 1025, .class_count = 10},
        {.kind = "", .feature_count = 4, .class_count = 2},
        {.kind = "mlp", .feature_count = 0, .class_count = 2},
        {.kind = "mlp", .feature_count = TRIB_DATASET_FEATURES_MAX + 1, .class_count = 2},
        {.kind = "mlp", .feature_count = 4, .class_count = 1},
        {.kind = "mlp", .feature_count = 4, .class_count = TRIB_DATASET_CLASSES_MAX + 1},
        {.kind = "mlp", .feature_count = 4, .class_count = 2, .hidden = {0}, .hidden_count = 1},
        {.kind = "mlp",
         .feature_count = 4,
         .class_count = 2,
         .hidden = {TRIB_TRAINER_WIDTH_MAX + 1},
         .hidden_count = 1},
        {.kind = "mlp",
         .feature_count = 4,
         .class_count = 2,
         .hidden_count = TRIB_TRAINER_HIDDEN_MAX + 1},
        {.kind = "softmax", .feature_count = 4, .class_count = 2, .hidden = {3}, .hidden_count = 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct trib_trainer_model model;
        struct trib_error error = {0};
        assert_int_equal(trib_trainer_model_init(&model, trib_env_system(), &bad[i], &error),
                         TRIB_EINVALID);
        assert_true(error.text[0] != '\0');
        trib_trainer_model_deinit(&model);
    }
}

static void every_kind_has_a_name_that_works(void **state) {
    (void)state;
    size_t count = 0;
    for (; trib_trainer_kind(count) != NULL; count++) {
        const struct trib_trainer_spec spec = {
            .kind = trib_trainer_kind(count), .feature_count = 16, .class_count = 2};
        struct trib_trainer_model model;
        init(&model, &spec);
        trib_trainer_model_deinit(&model);
    }
    assert_int_equal(count, 4);
}

/* He et al. 2015: the variance of a weight before a ReLU is 2 / inputs; 1 / inputs without. */
static void first_weights_are_even_and_have_the_stated_variance(void **state) {
    (void)state;
    struct trib_trainer_model model;
    init(&model, &two_nn);
    float *parameters = malloc(model.parameter_count * sizeof *parameters);
    assert_non_null(parameters);
    trib_trainer_model_initialise(&model, 1, parameters);
    for (size_t layer = 0; layer < 3; layer++) {
        const struct trib_tensor *bias = &model.tensors[2 * layer];
        const struct trib_tensor *weight = &model.tensors[2 * layer + 1];
        for (uint64_t i = 0; i < bias->element_count; i++) {
            assert_true(parameters[bias->element_offset + i] == 0.0F);
        }
        const double variance = (layer < 2 ? 2.0 : 1.0) / (double)weight->shape[1];
        double mean = 0.0;
        double square = 0.0;
        for (uint64_t i = 0; i < weight->element_count; i++) {
            const double value = (double)parameters[weight->element_offset + i];
            assert_true(fabs(value) <= sqrt(3.0 * variance) * (1.0 + 1e-6));
            mean += value / (double)weight->element_count;
            square += value * value / (double)weight->element_count;
        }
        /* Four standard errors; the square of a uniform variate has variance 0.8 variance^2. */
        assert_true(fabs(mean) < 4.0 * sqrt(variance / (double)weight->element_count));
        assert_true(fabs(square - variance) <
                    4.0 * variance * sqrt(0.8 / (double)weight->element_count));
    }
    free(parameters);
    trib_trainer_model_deinit(&model);
}

static void a_cell_starts_out_remembering(void **state) {
    (void)state;
    const struct trib_trainer_spec spec = {
        .kind = "lstm", .feature_count = 3, .class_count = 5, .hidden = {4}, .hidden_count = 1};
    struct trib_trainer_model model;
    float parameters[512];
    init(&model, &spec);
    assert_true(model.parameter_count <= 512);
    trib_trainer_model_initialise(&model, 1, parameters);
    const float *bias = parameters + model.recurrences[0].bias_offset;
    for (size_t i = 0; i < 16; i++) {
        assert_true(bias[i] == (i / 4 == 1 ? 1.0F : 0.0F)); /* gates i, f, g, o */
    }
    trib_trainer_model_deinit(&model);
}

/* Whatever the widths, scratch memory stays within bounds that do not depend on the batch. */
static void scratch_memory_is_bounded_for_wide_layers(void **state) {
    (void)state;
    const struct trib_trainer_spec spec = {.kind = "mlp",
                                           .feature_count = 1u << 20,
                                           .class_count = 4096,
                                           .hidden = {65536},
                                           .hidden_count = 1};
    struct trib_env_faulty faulty;
    struct trib_trainer_model model;
    trib_env_faulty_init(&faulty);
    assert_int_equal(trib_trainer_model_init(&model, &faulty.env, &spec, NULL), TRIB_OK);
    assert_int_equal(model.row_count_max, 3);
    assert_true(faulty.bytes_live < 4u << 20);
    trib_trainer_model_deinit(&model);
    trib_env_faulty_deinit(&faulty);
}

static void draws_of_one_tensor_do_not_shift_those_of_another(void **state) {
    (void)state;
    const struct trib_trainer_spec shallow_spec = {
        .kind = "mlp", .feature_count = 5, .class_count = 3, .hidden = {4}, .hidden_count = 1};
    const struct trib_trainer_spec deep_spec = {
        .kind = "mlp", .feature_count = 5, .class_count = 3, .hidden = {4, 6}, .hidden_count = 2};
    struct trib_trainer_model shallow;
    struct trib_trainer_model deep;
    float first[128];
    float second[128];
    init(&shallow, &shallow_spec);
    init(&deep, &deep_spec);
    trib_trainer_model_initialise(&shallow, 9, first);
    trib_trainer_model_initialise(&deep, 9, second);
    assert_memory_equal(first, second, (4 + 20) * sizeof *first);
    trib_trainer_model_initialise(&shallow, 10, second);
    assert_memory_not_equal(first, second, (4 + 20) * sizeof *first);
    trib_trainer_model_deinit(&deep);
    trib_trainer_model_deinit(&shallow);
}

static void softmax_starts_at_zero(void **state) {
    (void)state;
    const struct trib_trainer_spec spec = {.kind = "softmax", .feature_count = 4, .class_count = 3};
    struct trib_trainer_model model;
    float parameters[15];
    memset(parameters, 0xff, sizeof parameters);
    init(&model, &spec);
    trib_trainer_model_initialise(&model, 1, parameters);
    for (size_t i = 0; i < 15; i++) {
        assert_true(parameters[i] == 0.0F);
    }
    trib_trainer_model_deinit(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_mlp_is_the_2nn_of_mcmahan),
        cmocka_unit_test(softmax_is_one_layer),
        cmocka_unit_test(tensors_lie_as_the_canonical_layout_puts_them),
        cmocka_unit_test(specs_that_make_no_model_are_refused),
        cmocka_unit_test(every_kind_has_a_name_that_works),
        cmocka_unit_test(first_weights_are_even_and_have_the_stated_variance),
        cmocka_unit_test(a_cell_starts_out_remembering),
        cmocka_unit_test(scratch_memory_is_bounded_for_wide_layers),
        cmocka_unit_test(draws_of_one_tensor_do_not_shift_those_of_another),
        cmocka_unit_test(softmax_starts_at_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
