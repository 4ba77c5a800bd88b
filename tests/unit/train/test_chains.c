/* test_chains.c - the picture and the sequence model: sizes, gradients and learning. */
#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "reference_chains.h"
#include "support/check.h"
#include "support/env_faulty.h"
#include "train/trainer.h"

enum { ROWS = 5, SAMPLES = 12 };

/* A model, rows to go through it, and the same once more in double. */
struct world {
    struct trib_trainer_spec spec;
    struct reference_chain reference;
    reference_chain_loss *loss;
    struct trib_dataset dataset;
    struct trib_trainer *trainer;
    size_t parameter_count;
    float *parameters, *gradient;
    double *exact;
};

static void *allocate(size_t count, size_t bytes) {
    void *memory = calloc(count, bytes);
    assert_non_null(memory);
    return memory;
}

static void fill_rows(struct world *world, bool is_text) {
    struct trib_random random;
    const size_t features = world->spec.feature_count;
    const size_t labels = is_text ? features : 1;
    trib_random_init(&random, 3);
    world->dataset = (struct trib_dataset){
        .features = allocate(ROWS * features, sizeof(float)),
        .labels = allocate(ROWS * labels, sizeof(int32_t)),
        .row_count = ROWS,
        .feature_count = features,
        .class_count = world->spec.class_count,
        .symbol_count = is_text ? world->spec.class_count : 0,
    };
    for (size_t i = 0; i < ROWS * features; i++) {
        world->dataset.features[i] =
            is_text ? (float)trib_random_below(&random, world->spec.class_count)
                    : (float)trib_random_normal(&random);
    }
    for (size_t i = 0; i < ROWS * labels; i++) {
        world->dataset.labels[i] = (int32_t)trib_random_below(&random, world->spec.class_count);
    }
    if (is_text) { /* the last row has ended before its last two symbols */
        world->dataset.labels[ROWS * labels - 1] = -1;
        world->dataset.labels[ROWS * labels - 2] = -1;
    }
}

static struct world world_of(const char *kind, size_t feature_count, const uint32_t *hidden,
                             uint32_t hidden_count) {
    const bool is_text = strcmp(kind, "lstm") == 0;
    struct world world = {
        .spec = {.kind = kind,
                 .feature_count = feature_count,
                 .class_count = 4,
                 .hidden_count = hidden_count},
        .reference = {.feature_count = feature_count,
                      .class_count = 4,
                      .hidden_count = hidden_count},
        .loss = is_text ? reference_lstm_loss : reference_cnn_loss,
    };
    struct trib_error error = {0};
    for (uint32_t i = 0; i < hidden_count; i++) {
        world.spec.hidden[i] = hidden[i];
        world.reference.hidden[i] = hidden[i];
    }
    if (trib_trainer_new(trib_env_system(), &world.spec, &world.trainer, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    world.parameter_count = trib_trainer_parameter_count(world.trainer);
    world.parameters = allocate(world.parameter_count, sizeof(float));
    world.gradient = allocate(world.parameter_count, sizeof(float));
    world.exact = allocate(world.parameter_count, sizeof(double));
    trib_trainer_initialise(world.trainer, 1, world.parameters);
    fill_rows(&world, is_text);
    return world;
}

static void destroy(struct world *world) {
    trib_trainer_free(world->trainer);
    free(world->dataset.features);
    free(world->dataset.labels);
    free(world->parameters);
    free(world->gradient);
    free(world->exact);
}

static struct world picture_world(void) {
    return world_of("cnn", 64, (const uint32_t[]){6}, 1);
}

static struct world sequence_world(void) {
    return world_of("lstm", 7, (const uint32_t[]){5, 3}, 2);
}

static double slope(struct world *world, size_t index) {
    const double step = 1e-6;
    const double saved = world->exact[index];
    world->exact[index] = saved + step;
    const double above = world->loss(&world->reference, world->exact, world->dataset.features,
                                     world->dataset.labels, ROWS);
    world->exact[index] = saved - step;
    const double below = world->loss(&world->reference, world->exact, world->dataset.features,
                                     world->dataset.labels, ROWS);
    world->exact[index] = saved;
    return (above - below) / (2.0 * step);
}

/* Some parameters of every tensor, all when there are few; none of them may be flat everywhere. */
static void check_gradient(struct world *world) {
    struct trib_random random;
    struct trib_error error = {0};
    double loss = 0.0;
    trib_random_init(&random, 2);
    for (size_t i = 0; i < world->parameter_count; i++) {
        /* Off the kinks of ReLU, and peepholes away from zero. */
        world->parameters[i] += 0.05F * (float)trib_random_normal(&random);
        world->exact[i] = (double)world->parameters[i];
    }
    assert_int_equal(trib_trainer_gradient(world->trainer, &world->dataset, NULL, 0,
                                           world->parameters, world->gradient, &loss, &error),
                     TRIB_OK);
    const double expected = world->loss(&world->reference, world->exact, world->dataset.features,
                                        world->dataset.labels, ROWS);
    assert_true(fabs(loss - expected) < 1e-5);

    size_t tensor_count = 0;
    const struct trib_tensor *tensors = trib_trainer_tensors(world->trainer, &tensor_count);
    for (size_t i = 0; i < tensor_count; i++) {
        double steepest = 0.0;
        for (size_t k = 0; k < SAMPLES; k++) {
            const size_t index = (size_t)(tensors[i].element_offset +
                                          trib_random_below(&random, tensors[i].element_count));
            const double right = slope(world, index);
            if (!(fabs((double)world->gradient[index] - right) < 1e-5)) {
                fail_msg("%s: %g, not %g", tensors[i].name, (double)world->gradient[index], right);
            }
            steepest = fmax(steepest, fabs(right));
        }
        assert_true(steepest > 1e-6);
    }
}

static void the_gradient_of_pictures_is_the_slope_of_the_loss(void **state) {
    (void)state;
    struct world world = picture_world();
    check_gradient(&world);
    destroy(&world);
}

static void the_gradient_of_sequences_is_the_slope_of_the_loss(void **state) {
    (void)state;
    struct world world = sequence_world();
    check_gradient(&world);
    destroy(&world);
}

/* A step that goes straight to the weights must be the gradient, then the step: no weight may be
 * changed before it has been used. mu below any influence takes the long way. */
static void a_step_is_the_gradient_and_then_the_step(void **state) {
    (void)state;
    struct world worlds[] = {picture_world(), sequence_world()};
    for (size_t k = 0; k < 2; k++) {
        struct world *world = &worlds[k];
        const size_t bytes = world->parameter_count * sizeof(float);
        float *by_hand = allocate(world->parameter_count, sizeof(float));
        double loss = 0.0;
        memcpy(by_hand, world->parameters, bytes);
        const struct trib_train_settings settings = {.steps = 1, .lr = 0.5};
        assert_int_equal(trib_trainer_gradient(world->trainer, &world->dataset, NULL, 0, by_hand,
                                               world->gradient, &loss, NULL),
                         TRIB_OK);
        const struct trib_step by_rule = {.lr = 0.5, .scale = 1.0};
        trib_step_take(&by_rule, 1, by_hand, world->gradient, NULL, world->parameter_count);
        assert_int_equal(trib_trainer_train(world->trainer, &world->dataset, NULL, 0, &settings,
                                            world->parameters, NULL, NULL),
                         TRIB_OK);
        for (size_t i = 0; i < world->parameter_count; i++) {
            assert_true(fabsf(by_hand[i] - world->parameters[i]) < 2e-6F);
        }
        free(by_hand);
        destroy(world);
    }
}

static void the_models_have_the_sizes_of_the_paper(void **state) {
    (void)state;
    static const struct {
        struct trib_trainer_spec spec;
        size_t parameter_count;
        const char *first, *last;
    } models[] = {
        {{.kind = "cnn", .feature_count = 784, .class_count = 10},
         1663370,
         "conv1.bias",
         "fc2.weight"},
        {{.kind = "lstm", .feature_count = 80, .class_count = 258},
         866578,
         "embedding.weight",
         "lstm.weight_ih_l1"},
    };
    for (size_t i = 0; i < 2; i++) {
        struct trib_trainer *trainer = NULL;
        size_t count = 0;
        assert_int_equal(trib_trainer_new(trib_env_system(), &models[i].spec, &trainer, NULL),
                         TRIB_OK);
        assert_int_equal(trib_trainer_parameter_count(trainer), models[i].parameter_count);
        const struct trib_tensor *tensors = trib_trainer_tensors(trainer, &count);
        assert_string_equal(tensors[0].name, models[i].first);
        assert_string_equal(tensors[count - 1].name, models[i].last);
        trib_trainer_free(trainer);
    }
}

/* Slices of a sequence model hold few rows; results must not depend on where they are cut. */
static void many_rows_are_the_mean_of_their_parts(void **state) {
    (void)state;
    enum { MANY = 300, STEPS = 7 };
    struct world world = sequence_world();
    static float features[MANY * STEPS];
    static int32_t labels[MANY * STEPS];
    struct trib_random random;
    trib_random_init(&random, 8);
    for (size_t i = 0; i < MANY * STEPS; i++) {
        features[i] = (float)trib_random_below(&random, 4);
        labels[i] = (int32_t)trib_random_below(&random, 4);
    }
    struct trib_dataset many = world.dataset;
    many.features = features;
    many.labels = labels;
    many.row_count = MANY;
    struct trib_evaluate_result whole, part;
    double loss = 0.0, sum = 0.0;
    uint64_t correct_count = 0;
    assert_int_equal(trib_trainer_evaluate(world.trainer, &many, world.parameters, &whole, NULL),
                     TRIB_OK);
    assert_int_equal(trib_trainer_gradient(world.trainer, &many, NULL, 0, world.parameters,
                                           world.gradient, &loss, NULL),
                     TRIB_OK);
    many.row_count = 1;
    for (size_t row = 0; row < MANY; row++, many.features += STEPS, many.labels += STEPS) {
        assert_int_equal(trib_trainer_evaluate(world.trainer, &many, world.parameters, &part, NULL),
                         TRIB_OK);
        sum += part.loss;
        correct_count += part.correct_count;
    }
    assert_true(fabs(whole.loss - sum / MANY) < 1e-6);
    assert_true(fabs(loss - sum / MANY) < 1e-6);
    assert_int_equal(whole.correct_count, correct_count);
    assert_int_equal(whole.label_count, MANY * STEPS);
    assert_int_equal(whole.row_count, MANY);
    destroy(&world);
}

/* Random labels can only be learnt by heart: with enough steps they are. */
static void both_learn_a_few_rows_by_heart(void **state) {
    (void)state;
    struct world worlds[] = {world_of("cnn", 64, (const uint32_t[]){32}, 1),
                             world_of("lstm", 7, (const uint32_t[]){24, 24}, 2)};
    static const double rates[] = {0.02, 1.0};
    for (size_t k = 0; k < 2; k++) {
        struct world *world = &worlds[k];
        struct trib_evaluate_result before, after;
        const struct trib_train_settings settings = {.steps = 400, .lr = rates[k]};
        assert_int_equal(trib_trainer_evaluate(world->trainer, &world->dataset, world->parameters,
                                               &before, NULL),
                         TRIB_OK);
        assert_int_equal(trib_trainer_train(world->trainer, &world->dataset, NULL, 0, &settings,
                                            world->parameters, NULL, NULL),
                         TRIB_OK);
        assert_int_equal(
            trib_trainer_evaluate(world->trainer, &world->dataset, world->parameters, &after, NULL),
            TRIB_OK);
        if (!(before.accuracy < 0.6 && after.accuracy > 0.9 && after.loss < 0.2 * before.loss)) {
            fail_msg("%s: accuracy %g to %g, loss %g to %g", world->spec.kind, before.accuracy,
                     after.accuracy, before.loss, after.loss);
        }
        destroy(world);
    }
}

static void data_of_the_other_kind_is_refused(void **state) {
    (void)state;
    struct world worlds[] = {picture_world(), sequence_world()};
    for (size_t k = 0; k < 2; k++) {
        struct trib_dataset other = worlds[k].dataset;
        struct trib_evaluate_result result;
        struct trib_error error = {0};
        other.symbol_count = k == 0 ? 4 : 0;
        assert_int_equal(
            trib_trainer_evaluate(worlds[k].trainer, &other, worlds[k].parameters, &result, &error),
            TRIB_ESHAPE);
        assert_non_null(strstr(error.text, "text"));
        destroy(&worlds[k]);
    }
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    static const struct trib_trainer_spec specs[] = {
        {.kind = "cnn", .feature_count = 16, .class_count = 2, .hidden = {2}, .hidden_count = 1},
        {.kind = "lstm", .feature_count = 3, .class_count = 2, .hidden = {2}, .hidden_count = 1},
    };
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    for (size_t i = 0; i < 2; i++) {
        uint64_t nth = 0;
        do {
            struct trib_trainer *trainer = NULL;
            struct trib_error error = {0};
            trib_env_faulty_fail(&faulty, ++nth);
            const enum trib_status status =
                trib_trainer_new(&faulty.env, &specs[i], &trainer, &error);
            assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
            assert_true(status == TRIB_OK || error.text[0] != '\0');
            trib_trainer_free(trainer);
            assert_int_equal(faulty.blocks_live, 0);
        } while (faulty.has_failed);
        assert_true(nth > 7);
    }
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_models_have_the_sizes_of_the_paper),
        cmocka_unit_test(the_gradient_of_pictures_is_the_slope_of_the_loss),
        cmocka_unit_test(the_gradient_of_sequences_is_the_slope_of_the_loss),
        cmocka_unit_test(a_step_is_the_gradient_and_then_the_step),
        cmocka_unit_test(many_rows_are_the_mean_of_their_parts),
        cmocka_unit_test(both_learn_a_few_rows_by_heart),
        cmocka_unit_test(data_of_the_other_kind_is_refused),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
