/* test_trainer.c - training follows its rule, is repeatable, and learns. */
#include "train/trainer.h"

#include <math.h>

#include "base/random.h"
#include "reference.h"
#include "support/check.h"
#include "support/env_faulty.h"

enum { FEATURES = 6, CLASSES = 3, ROWS = 600, PARAMETERS_MAX = 256 };

static float features[ROWS * FEATURES];
static int32_t labels[ROWS];
static const struct trib_dataset noise = {.features = features,
                                          .labels = labels,
                                          .row_count = ROWS,
                                          .feature_count = FEATURES,
                                          .class_count = CLASSES};

static const struct trib_trainer_spec small_mlp = {.kind = "mlp",
                                                   .feature_count = FEATURES,
                                                   .class_count = CLASSES,
                                                   .hidden = {8, 5},
                                                   .hidden_count = 2};
static const struct reference small_reference = {.widths = {FEATURES, 8, 5, CLASSES},
                                                 .layer_count = 3};

static int fill_noise(void **state) {
    (void)state;
    struct trib_random random;
    trib_random_init(&random, 1);
    for (size_t i = 0; i < ROWS * FEATURES; i++) {
        features[i] = (float)trib_random_normal(&random);
    }
    for (size_t i = 0; i < ROWS; i++) {
        labels[i] = (int32_t)trib_random_below(&random, CLASSES);
    }
    return 0;
}

static struct trib_trainer *trainer_of(const struct trib_trainer_spec *spec, float *parameters) {
    struct trib_trainer *trainer = NULL;
    struct trib_error error = {0};
    if (trib_trainer_new(trib_env_system(), spec, &trainer, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    assert_true(trib_trainer_parameter_count(trainer) <= PARAMETERS_MAX);
    trib_trainer_initialise(trainer, 1, parameters);
    return trainer;
}

static struct trib_train_result train(struct trib_trainer *trainer, size_t row_count,
                                      struct trib_train_settings settings, float *parameters) {
    uint32_t rows[ROWS];
    struct trib_train_result result = {0};
    struct trib_error error = {0};
    for (size_t i = 0; i < row_count; i++) {
        rows[i] = (uint32_t)i;
    }
    if (trib_trainer_train(trainer, &noise, rows, row_count, &settings, parameters, &result,
                           &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    return result;
}

/* 600 rows are three slices, the last one shorter. */
static void the_gradient_of_many_rows_is_the_slope_of_the_mean_loss(void **state) {
    (void)state;
    float parameters[PARAMETERS_MAX];
    float gradient[PARAMETERS_MAX];
    double exact[PARAMETERS_MAX];
    struct trib_trainer *trainer = trainer_of(&small_mlp, parameters);
    const size_t count = trib_trainer_parameter_count(trainer);
    assert_int_equal(count, reference_parameter_count(&small_reference));
    struct trib_random random;
    trib_random_init(&random, 2);
    for (size_t i = 0; i < count; i++) {
        /* With biases of zero a unit whose inputs are all zero would sit on the kink of its ReLU. */
        parameters[i] += 0.1F * (float)trib_random_normal(&random);
        exact[i] = (double)parameters[i];
    }
    double loss = 0.0;
    assert_int_equal(
        trib_trainer_gradient(trainer, &noise, NULL, 0, parameters, gradient, &loss, NULL),
        TRIB_OK);
    assert_true(fabs(loss - reference_loss(&small_reference, exact, features, labels, ROWS)) <
                1e-6);
    for (size_t i = 0; i < count; i++) {
        const double slope = reference_slope(&small_reference, exact, i, features, labels, ROWS);
        if (!(fabs((double)gradient[i] - slope) < 1e-5)) {
            fail_msg("parameter %zu: %g, not %g", i, (double)gradient[i], slope);
        }
    }
    trib_trainer_free(trainer);
}

/* A full batch is a single one in any order, so training must equal gradient and step by hand,
 * up to the order in which rows are summed. */
static void training_is_the_gradient_and_the_step_repeated(void **state) {
    (void)state;
    static const double mus[] = {0.0, 0.7};
    for (size_t k = 0; k < 2; k++) {
        float trained[PARAMETERS_MAX];
        float by_hand[PARAMETERS_MAX];
        float base[PARAMETERS_MAX];
        float gradient[PARAMETERS_MAX];
        struct trib_trainer *trainer = trainer_of(&small_mlp, trained);
        const size_t count = trib_trainer_parameter_count(trainer);
        trib_trainer_initialise(trainer, 1, by_hand);
        trib_trainer_initialise(trainer, 1, base);
        const struct trib_train_result result =
            train(trainer, ROWS, (struct trib_train_settings){.epochs = 4, .lr = 0.5, .mu = mus[k]},
                  trained);
        assert_int_equal(result.step_count, 4);
        double loss_sum = 0.0;
        for (int step = 0; step < 4; step++) {
            double loss = 0.0;
            assert_int_equal(
                trib_trainer_gradient(trainer, &noise, NULL, 0, by_hand, gradient, &loss, NULL),
                TRIB_OK);
            const struct trib_step by_rule = {.lr = 0.5, .scale = 1.0, .mu = mus[k], .base = base};
            trib_step_take(&by_rule, 1, by_hand, gradient, NULL, count);
            loss_sum += loss;
        }
        assert_true(fabs(result.loss - loss_sum / 4.0) < 1e-6);
        for (size_t i = 0; i < count; i++) {
            assert_true(fabsf(trained[i] - by_hand[i]) < 1e-5F);
        }
        trib_trainer_free(trainer);
    }
}

/* With steps too small to change a weight, the mean loss of a pass is that of the rows exactly
 * if each is visited once. */
static void a_pass_visits_every_row_once(void **state) {
    (void)state;
    float parameters[PARAMETERS_MAX];
    float gradient[PARAMETERS_MAX];
    struct trib_trainer *trainer = trainer_of(&small_mlp, parameters);
    double loss = 0.0;
    assert_int_equal(
        trib_trainer_gradient(trainer, &noise, NULL, 0, parameters, gradient, &loss, NULL),
        TRIB_OK);
    static const size_t batches[] = {1, 7, 300, 599, 600, 5000};
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        const struct trib_train_result result = train(
            trainer, ROWS,
            (struct trib_train_settings){.epochs = 2, .batch = batches[i], .lr = 1e-30, .seed = i},
            parameters);
        assert_true(fabs(result.loss - loss) < 1e-6);
        assert_int_equal(result.row_count, ROWS);
    }
    trib_trainer_free(trainer);
}

static void steps_and_rows_are_counted(void **state) {
    (void)state;
    static const struct {
        struct trib_train_settings settings;
        uint64_t step_count;
        uint64_t row_count;
    } cases[] = {
        {{.lr = 0.01}, 1, 10},             /* one full batch */
        {{.lr = 0.01, .batch = 4}, 3, 10}, /* 4 + 4 + 2 */
        {{.lr = 0.01, .batch = 4, .epochs = 3}, 9, 10},
        {{.lr = 0.01, .batch = 4, .steps = 2}, 2, 8}, /* two rows were not seen */
        {{.lr = 0.01, .batch = 4, .steps = 3}, 3, 10},
        {{.lr = 0.01, .batch = 4, .steps = 5, .epochs = 9}, 5, 10}, /* steps win */
        {{.lr = 0.01, .batch = 10, .steps = 4}, 4, 10},
    };
    float parameters[PARAMETERS_MAX];
    struct trib_trainer *trainer = trainer_of(&small_mlp, parameters);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct trib_train_result result = train(trainer, 10, cases[i].settings, parameters);
        assert_int_equal(result.step_count, cases[i].step_count);
        assert_int_equal(result.row_count, cases[i].row_count);
    }
    trib_trainer_free(trainer);
}

static bool is_last(void *context) {
    uint32_t *left = context;
    return --*left == 0;
}

/* A call ends training after a whole step; what it changed is shared out among the steps. */
static void a_call_ends_training_and_a_change_may_be_per_step(void **state) {
    (void)state;
    float parameters[3][PARAMETERS_MAX];
    uint32_t left = 3;
    struct trib_train_settings settings = {.batch = 4, .lr = 0.1, .steps = 3, .seed = 5};
    struct trib_trainer *trainer = trainer_of(&small_mlp, parameters[0]);
    const size_t count = trib_trainer_parameter_count(trainer);
    (void)train(trainer, 10, settings, parameters[0]);
    settings.steps = 1000;
    settings.is_over = is_last;
    settings.over_context = &left;
    trib_trainer_initialise(trainer, 1, parameters[1]);
    assert_int_equal(train(trainer, 10, settings, parameters[1]).step_count, 3);
    assert_memory_equal(parameters[0], parameters[1], count * sizeof(float));
    left = 3;
    settings.is_per_step = true;
    trib_trainer_initialise(trainer, 1, parameters[2]);
    assert_int_equal(train(trainer, 10, settings, parameters[2]).step_count, 3);
    trib_trainer_initialise(trainer, 1, parameters[1]);
    double change = 0;
    for (size_t i = 0; i < count; i++) {
        const double third = ((double)parameters[0][i] - (double)parameters[1][i]) / 3;
        change += fabs(third);
        assert_true(fabs((double)parameters[2][i] - (double)parameters[1][i] - third) < 1e-6);
    }
    assert_true(change > 1e-3);
    trib_trainer_free(trainer);
}

static void the_same_seed_gives_the_same_bits(void **state) {
    (void)state;
    float first[PARAMETERS_MAX];
    float second[PARAMETERS_MAX];
    struct trib_train_settings settings = {.epochs = 3, .batch = 10, .lr = 0.1, .seed = 5};
    struct trib_trainer *trainer = trainer_of(&small_mlp, first);
    const size_t bytes = trib_trainer_parameter_count(trainer) * sizeof *first;
    (void)train(trainer, ROWS, settings, first);
    trib_trainer_initialise(trainer, 1, second);
    (void)train(trainer, ROWS, settings, second);
    assert_memory_equal(first, second, bytes);
    struct trib_trainer *fresh = trainer_of(&small_mlp, second);
    (void)train(fresh, ROWS, settings, second);
    assert_memory_equal(first, second, bytes);
    settings.seed = 6;
    trib_trainer_initialise(fresh, 1, second);
    (void)train(fresh, ROWS, settings, second);
    assert_memory_not_equal(first, second, bytes);
    trib_trainer_free(fresh);
    trib_trainer_free(trainer);
}

/* Only the rows that were asked for may have an influence. */
static void other_rows_do_not_matter(void **state) {
    (void)state;
    float first[PARAMETERS_MAX];
    float second[PARAMETERS_MAX];
    const struct trib_train_settings settings = {.epochs = 2, .batch = 3, .lr = 0.1, .seed = 5};
    const uint32_t rows[] = {500, 3, 77, 78, 1};
    struct trib_trainer *trainer = trainer_of(&small_mlp, first);
    assert_int_equal(trib_trainer_train(trainer, &noise, rows, 5, &settings, first, NULL, NULL),
                     TRIB_OK);

    float few_features[5 * FEATURES];
    int32_t few_labels[5];
    for (size_t i = 0; i < 5; i++) {
        memcpy(few_features + i * FEATURES, features + rows[i] * FEATURES,
               FEATURES * sizeof *features);
        few_labels[i] = labels[rows[i]];
    }
    const struct trib_dataset few = {.features = few_features,
                                     .labels = few_labels,
                                     .row_count = 5,
                                     .feature_count = FEATURES,
                                     .class_count = CLASSES};
    trib_trainer_initialise(trainer, 1, second);
    assert_int_equal(trib_trainer_train(trainer, &few, NULL, 0, &settings, second, NULL, NULL),
                     TRIB_OK);
    assert_memory_equal(first, second, trib_trainer_parameter_count(trainer) * sizeof *first);
    trib_trainer_free(trainer);
}

/* Two clouds that a line can part; and four that it cannot (exclusive or), for the mlp. */
static void toy_problems_are_learnt_completely(void **state) {
    (void)state;
    enum { POINTS = 80 };
    static const char *const kinds[] = {"softmax", "mlp", "mlp"};
    for (size_t k = 0; k < 3; k++) {
        const bool is_exclusive_or = k == 2;
        float points[POINTS * 2];
        int32_t sides[POINTS];
        struct trib_random random;
        trib_random_init(&random, 4);
        for (size_t i = 0; i < POINTS; i++) {
            const bool is_right = i % 2;
            const bool is_top = i / 2 % 2;
            points[2 * i] = (is_right ? 1.0F : -1.0F) + 0.3F * (float)trib_random_unit(&random);
            points[2 * i + 1] = (is_top ? 1.0F : -1.0F) + 0.3F * (float)trib_random_unit(&random);
            sides[i] = is_exclusive_or ? is_right != is_top : is_right;
        }
        const struct trib_dataset toy = {.features = points,
                                         .labels = sides,
                                         .row_count = POINTS,
                                         .feature_count = 2,
                                         .class_count = 2};
        const struct trib_trainer_spec spec = {.kind = kinds[k],
                                               .feature_count = 2,
                                               .class_count = 2,
                                               .hidden = {16},
                                               .hidden_count = k == 0 ? 0 : 1};
        const struct trib_train_settings settings = {
            .epochs = 50, .batch = 8, .lr = 0.1, .seed = 1};
        float parameters[PARAMETERS_MAX];
        struct trib_trainer *trainer = trainer_of(&spec, parameters);
        struct trib_evaluate_result before;
        struct trib_evaluate_result after;
        assert_int_equal(trib_trainer_evaluate(trainer, &toy, parameters, &before, NULL), TRIB_OK);
        assert_true(before.accuracy < 1.0);
        assert_int_equal(
            trib_trainer_train(trainer, &toy, NULL, 0, &settings, parameters, NULL, NULL), TRIB_OK);
        assert_int_equal(trib_trainer_evaluate(trainer, &toy, parameters, &after, NULL), TRIB_OK);
        assert_int_equal(after.correct_count, POINTS);
        assert_true(after.accuracy == 1.0 && after.loss < 0.1 * before.loss);
        trib_trainer_free(trainer);
    }
}

static void scores_are_those_counted_by_hand(void **state) {
    (void)state;
    /* Softmax over one feature: outputs are (x, 0, -x). */
    float parameters[PARAMETERS_MAX] = {0, 0, 0, 1, 0, -1};
    float values[] = {2.0F, -2.0F, 0.0F, 0.0F};
    int32_t truth[] = {0, 0, 0, 1};
    const struct trib_dataset data = {
        .features = values, .labels = truth, .row_count = 4, .feature_count = 1, .class_count = 3};
    const struct trib_trainer_spec spec = {.kind = "softmax", .feature_count = 1, .class_count = 3};
    float unused[PARAMETERS_MAX];
    struct trib_trainer *trainer = trainer_of(&spec, unused);
    struct trib_evaluate_result result;
    assert_int_equal(trib_trainer_evaluate(trainer, &data, parameters, &result, NULL), TRIB_OK);
    assert_int_equal(result.row_count, 4);
    assert_int_equal(result.correct_count, 2); /* the first row, and of equal outputs the first */
    assert_true(result.accuracy == 0.5);
    const double total = exp(2.0) + 1.0 + exp(-2.0);
    const double expected = (2.0 * log(total) - 2.0 + 2.0 + 2.0 * log(3.0)) / 4.0;
    assert_true(fabs(result.loss - expected) < 1e-6);

    parameters[4] = NAN;
    assert_int_equal(trib_trainer_evaluate(trainer, &data, parameters, &result, NULL), TRIB_OK);
    assert_int_equal(result.correct_count, 0);
    assert_false(isfinite(result.loss));
    trib_trainer_free(trainer);
}

/* Scoring goes through in slices of 256: the sum over parts must be the whole. */
static void scores_of_parts_add_up(void **state) {
    (void)state;
    float parameters[PARAMETERS_MAX];
    struct trib_trainer *trainer = trainer_of(&small_mlp, parameters);
    struct trib_evaluate_result whole;
    assert_int_equal(trib_trainer_evaluate(trainer, &noise, parameters, &whole, NULL), TRIB_OK);
    uint64_t correct_count = 0;
    double loss_sum = 0.0;
    for (size_t row = 0; row < ROWS; row++) {
        struct trib_dataset one = noise;
        struct trib_evaluate_result result;
        one.features += row * FEATURES;
        one.labels += row;
        one.row_count = 1;
        assert_int_equal(trib_trainer_evaluate(trainer, &one, parameters, &result, NULL), TRIB_OK);
        correct_count += result.correct_count;
        loss_sum += result.loss;
    }
    assert_int_equal(whole.row_count, ROWS);
    assert_int_equal(whole.correct_count, correct_count);
    assert_true(fabs(whole.loss - loss_sum / ROWS) < 1e-6);
    trib_trainer_free(trainer);
}

static void training_that_diverges_says_so(void **state) {
    (void)state;
    float parameters[PARAMETERS_MAX];
    struct trib_error error = {0};
    const struct trib_train_settings steep = {.epochs = 50, .batch = 10, .lr = 1e30};
    const struct trib_train_settings one_step = {.steps = 1, .lr = 1e300};
    struct trib_trainer *trainer = trainer_of(&small_mlp, parameters);
    assert_int_equal(trib_trainer_train(trainer, &noise, NULL, 0, &steep, parameters, NULL, &error),
                     TRIB_ENONFINITE);
    assert_non_null(strstr(error.text, "lr"));
    assert_null(strstr(error.text, "step 3000")); /* noticed when it happened, not at the end */
    /* Seen even when no later step computes a loss from the weights. */
    trib_trainer_initialise(trainer, 1, parameters);
    assert_int_equal(
        trib_trainer_train(trainer, &noise, NULL, 0, &one_step, parameters, NULL, &error),
        TRIB_ENONFINITE);
    trib_trainer_free(trainer);
}

static void settings_and_data_that_do_not_fit_are_refused(void **state) {
    (void)state;
    float parameters[PARAMETERS_MAX];
    float gradient[PARAMETERS_MAX];
    double loss = 0.0;
    struct trib_trainer *trainer = trainer_of(&small_mlp, parameters);
    const struct trib_train_settings bad[] = {
        {.lr = 0},
        {.lr = -1},
        {.lr = NAN},
        {.lr = INFINITY},
        {.lr = 1, .mu = -1},
        {.lr = 1, .mu = NAN},
        {.lr = 1, .clip = -1},
        {.lr = 1, .beta2 = 1},
        {.lr = 1, .optimizer = TRIB_STEP_COUNT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(
            trib_trainer_train(trainer, &noise, NULL, 0, &bad[i], parameters, NULL, NULL),
            TRIB_EINVALID);
    }

    struct trib_dataset wider = noise;
    struct trib_dataset richer = noise;
    struct trib_dataset empty = noise;
    struct trib_dataset bare = noise;
    wider.feature_count++;
    richer.class_count++;
    empty.row_count = 0;
    bare.features = NULL;
    const struct {
        const struct trib_dataset *dataset;
        enum trib_status status;
    } cases[] = {
        {&wider, TRIB_ESHAPE},
        {&richer, TRIB_ESHAPE},
        {&empty, TRIB_EINVALID},
        {&bare, TRIB_EINVALID},
    };
    const struct trib_train_settings fine = {.lr = 0.1};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trib_evaluate_result result;
        struct trib_error error = {0};
        const struct trib_dataset *data = cases[i].dataset;
        assert_int_equal(
            trib_trainer_train(trainer, data, NULL, 0, &fine, parameters, NULL, &error),
            cases[i].status);
        assert_true(error.text[0] != '\0');
        assert_int_equal(trib_trainer_evaluate(trainer, data, parameters, &result, NULL),
                         cases[i].status);
        assert_int_equal(
            trib_trainer_gradient(trainer, data, NULL, 0, parameters, gradient, &loss, NULL),
            cases[i].status);
    }
    const uint32_t nothing = 0;
    assert_int_equal(
        trib_trainer_train(trainer, &noise, &nothing, 0, &fine, parameters, NULL, NULL),
        TRIB_EINVALID);
    trib_trainer_free(trainer);
    trib_trainer_free(NULL);
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    const struct trib_train_settings settings = {.batch = 10, .lr = 0.1, .mu = 0.1};
    uint64_t nth = 0;
    do {
        float parameters[PARAMETERS_MAX];
        float gradient[PARAMETERS_MAX];
        double loss = 0.0;
        struct trib_trainer *trainer = NULL;
        struct trib_error error = {0};
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_trainer_new(&faulty.env, &small_mlp, &trainer, &error);
        if (status == TRIB_OK) {
            trib_trainer_initialise(trainer, 1, parameters);
            status =
                trib_trainer_train(trainer, &noise, NULL, 0, &settings, parameters, NULL, &error);
        }
        if (status == TRIB_OK) {
            status = trib_trainer_gradient(trainer, &noise, NULL, 0, parameters, gradient, &loss,
                                           &error);
        }
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_true(status == TRIB_OK || error.text[0] != '\0');
        trib_trainer_free(trainer);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 5);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_of_many_rows_is_the_slope_of_the_mean_loss),
        cmocka_unit_test(training_is_the_gradient_and_the_step_repeated),
        cmocka_unit_test(a_pass_visits_every_row_once),
        cmocka_unit_test(steps_and_rows_are_counted),
        cmocka_unit_test(a_call_ends_training_and_a_change_may_be_per_step),
        cmocka_unit_test(the_same_seed_gives_the_same_bits),
        cmocka_unit_test(other_rows_do_not_matter),
        cmocka_unit_test(toy_problems_are_learnt_completely),
        cmocka_unit_test(scores_are_those_counted_by_hand),
        cmocka_unit_test(scores_of_parts_add_up),
        cmocka_unit_test(training_that_diverges_says_so),
        cmocka_unit_test(settings_and_data_that_do_not_fit_are_refused),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, fill_noise, NULL);
}
