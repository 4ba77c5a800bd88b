/* trainer.c - training and scoring of a native model on the rows of a dataset.
 *
 * A batch is gathered row by row into one matrix and goes through the network in slices; the
 * step rule is a loop of its own, so that the gradient that is tested is the one that is used. */
#include "train/trainer.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "train/model.h"

struct trib_trainer {
    const struct trib_env *env;
    struct trib_trainer_model model;
    float *inputs;   /* [row_count_max][feature_count]: rows gathered from a dataset */
    int32_t *labels; /* [label_count][row_count_max], as the model wants them */
    float *gradient; /* [parameter_count] */
};

enum trib_status trib_trainer_new(const struct trib_env *env, const struct trib_trainer_spec *spec,
                                  struct trib_trainer **trainer, struct trib_error *error) {
    struct trib_trainer *made = trib_allocate(env, 1, sizeof *made);
    if (made == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for a trainer");
    }
    made->env = env;
    enum trib_status status = trib_trainer_model_init(&made->model, env, spec, error);
    if (status == TRIB_OK) {
        const struct trib_trainer_model *model = &made->model;
        made->inputs =
            trib_allocate(env, model->row_count_max * spec->feature_count, sizeof *made->inputs);
        made->labels =
            trib_allocate(env, model->row_count_max * model->label_count, sizeof *made->labels);
        made->gradient = trib_allocate(env, model->parameter_count, sizeof *made->gradient);
        if (made->inputs == NULL || made->labels == NULL || made->gradient == NULL) {
            status = trib_error_set(error, TRIB_EMEMORY, "no memory for %zu parameters",
                                    model->parameter_count);
        }
    }
    if (status != TRIB_OK) {
        trib_trainer_free(made);
        return status;
    }
    *trainer = made;
    return TRIB_OK;
}

void trib_trainer_free(struct trib_trainer *trainer) {
    if (trainer == NULL) {
        return;
    }
    const struct trib_env *env = trainer->env;
    const struct trib_trainer_model *model = &trainer->model;
    trib_release(env, trainer->gradient, model->parameter_count, sizeof *trainer->gradient);
    trib_release(env, trainer->labels, model->row_count_max * model->label_count,
                 sizeof *trainer->labels);
    trib_release(env, trainer->inputs, model->row_count_max * model->feature_count,
                 sizeof *trainer->inputs);
    trib_trainer_model_deinit(&trainer->model);
    trib_release(env, trainer, 1, sizeof *trainer);
}

const struct trib_tensor *trib_trainer_tensors(const struct trib_trainer *trainer, size_t *count) {
    *count = trainer->model.tensor_count;
    return trainer->model.tensors;
}

size_t trib_trainer_parameter_count(const struct trib_trainer *trainer) {
    return trainer->model.parameter_count;
}

const struct trib_env *trib_trainer_env(const struct trib_trainer *trainer) {
    return trainer->env;
}

void trib_trainer_initialise(const struct trib_trainer *trainer, uint64_t seed, float *parameters) {
    trib_trainer_model_initialise(&trainer->model, seed, parameters);
}

/* What training and scoring need of a dataset. */
static enum trib_status check_dataset(const struct trib_trainer *trainer,
                                      const struct trib_dataset *dataset, size_t row_count,
                                      struct trib_error *error) {
    if (dataset->feature_count != trainer->model.feature_count) {
        return trib_error_set(error, TRIB_ESHAPE, "the data has %zu features, the model %zu",
                              dataset->feature_count, trainer->model.feature_count);
    }
    if (dataset->class_count > trainer->model.class_count) {
        return trib_error_set(error, TRIB_ESHAPE, "the data has %u classes, the model %u",
                              dataset->class_count, trainer->model.class_count);
    }
    const bool is_text = dataset->symbol_count > 0;
    if (is_text != trib_trainer_model_reads_symbols(&trainer->model)) {
        return trib_error_set(error, TRIB_ESHAPE, "the data is %s, the model reads %s",
                              is_text ? "text" : "numbers", is_text ? "numbers" : "text");
    }
    if (dataset->symbol_count > trainer->model.class_count) {
        return trib_error_set(error, TRIB_ESHAPE, "the data has %u symbols, the model %u",
                              dataset->symbol_count, trainer->model.class_count);
    }
    if (dataset->features == NULL || row_count == 0) {
        return trib_error_set(error, TRIB_EINVALID, "there are no rows to work on");
    }
    return TRIB_OK;
}

/* Copy rows of the dataset next to each other; labels in the order of the model. */
static void gather(struct trib_trainer *trainer, const struct trib_dataset *dataset,
                   const uint32_t *rows, size_t row_count) {
    const size_t width = trainer->model.feature_count;
    const size_t label_count = trainer->model.label_count;
    for (size_t i = 0; i < row_count; i++) {
        memcpy(trainer->inputs + i * width, dataset->features + rows[i] * width,
               width * sizeof *trainer->inputs);
        for (size_t k = 0; k < label_count; k++) {
            trainer->labels[k * row_count + i] = dataset->labels[rows[i] * label_count + k];
        }
    }
}

/* Labels of the rows that are there: of text, not those after its end. */
static size_t count_labels(const struct trib_trainer *trainer, const struct trib_dataset *dataset,
                           const uint32_t *rows, size_t row_count) {
    const size_t label_count = trainer->model.label_count;
    size_t count = 0;
    for (size_t i = 0; i < row_count; i++) {
        for (size_t k = 0; k < label_count; k++) {
            count += dataset->labels[rows[i] * label_count + k] >= 0;
        }
    }
    return count;
}

/* The sum of the losses of a batch. gradient->keep is for the first slice; the others add up. */
static double batch_gradient(struct trib_trainer *trainer, const struct trib_dataset *dataset,
                             const uint32_t *rows, size_t row_count, size_t label_count,
                             const float *parameters, struct trib_gradient gradient) {
    struct trib_trainer_model *model = &trainer->model;
    double loss = 0.0;
    for (size_t first = 0; first < row_count; first += model->row_count_max) {
        const size_t rest = row_count - first;
        const size_t count = rest < model->row_count_max ? rest : model->row_count_max;
        gather(trainer, dataset, rows + first, count);
        (void)trib_trainer_model_forward(model, parameters, trainer->inputs, count);
        loss += trib_trainer_model_loss(model, trainer->labels, count, label_count);
        trib_trainer_model_backward(model, parameters, trainer->inputs, count, &gradient);
        gradient.keep = 1.0F;
    }
    return loss;
}

/* A copy of rows, or 0, 1, 2, ... for NULL; trib_release(). NULL: no memory. */
static uint32_t *list_rows(const struct trib_env *env, const struct trib_dataset *dataset,
                           const uint32_t *rows, size_t row_count) {
    uint32_t *list = trib_allocate(env, row_count, sizeof *list);
    for (size_t i = 0; list != NULL && i < row_count; i++) {
        list[i] = rows == NULL ? (uint32_t)i : rows[i];
        TRIB_ASSERT(list[i] < dataset->row_count);
    }
    return list;
}

static bool all_finite(const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

static enum trib_status diverged(struct trib_error *error, uint64_t step) {
    return trib_error_set(error, TRIB_ENONFINITE,
                          "training diverged at step %llu; a smaller lr may help",
                          (unsigned long long)step);
}

/* What one training needs besides the parameters. */
struct course {
    const struct trib_train_settings *settings;
    struct trib_step step;
    float *base;   /* [parameter count] at the start; NULL: not needed */
    float *memory; /* of the optimizer; NULL: not needed */
    float *second; /* [parameter count]: where fedspeed looks uphill; NULL: it does not */
    bool is_plain; /* a step is nothing but the gradient */
};

/* y + rho * gradient, or rho times its direction. Sun et al. 2023, Algorithm 1; the direction is
 * what the authors' code takes. */
static void climb(const struct trib_train_settings *settings, const float *parameters,
                  const float *gradient, size_t count, float *uphill) {
    const double norm = settings->is_ascent_normalised ? trib_norm(gradient, count) : 1.0;
    const float rate = (float)(settings->rho / (norm > 0.0 ? norm : 1.0));
    for (size_t i = 0; i < count; i++) {
        uphill[i] = parameters[i] + rate * gradient[i];
    }
}

/* The gradient that the step takes; the loss is that at the parameters. */
static double find_gradient(struct trib_trainer *trainer, const struct trib_dataset *dataset,
                            const uint32_t *rows, size_t row_count, size_t label_count,
                            const struct course *course, const float *parameters) {
    const struct trib_train_settings *settings = course->settings;
    const size_t count = trainer->model.parameter_count;
    struct trib_gradient gradient = {.values = trainer->gradient, .scale = 1.0F};
    const double loss =
        batch_gradient(trainer, dataset, rows, row_count, label_count, parameters, gradient);
    if (course->second != NULL) {
        climb(settings, parameters, trainer->gradient, count, course->second);
        const float rest = (float)(1.0 - settings->alpha);
        for (size_t i = 0; i < count; i++) {
            trainer->gradient[i] *= rest;
        }
        gradient.keep = 1.0F;
        gradient.scale = (float)settings->alpha;
        (void)batch_gradient(trainer, dataset, rows, row_count, label_count, course->second,
                             gradient);
    }
    trib_clip(trainer->gradient, count, settings->clip);
    return loss;
}

/* One batch: gradient and step. A step that is nothing but the gradient is taken while the gradient
 * is made, if a slice holds the batch: with two slices the second would see other weights. */
static double take_step(struct trib_trainer *trainer, const struct trib_dataset *dataset,
                        const uint32_t *rows, size_t row_count, size_t label_count,
                        const struct course *course, uint64_t number, float *parameters) {
    if (course->is_plain && row_count <= trainer->model.row_count_max) {
        const struct trib_gradient step = {
            .values = parameters, .keep = 1.0F, .scale = -(float)course->settings->lr};
        return batch_gradient(trainer, dataset, rows, row_count, label_count, parameters, step);
    }
    const double loss =
        find_gradient(trainer, dataset, rows, row_count, label_count, course, parameters);
    trib_step_take(&course->step, number, parameters, trainer->gradient, course->memory,
                   trainer->model.parameter_count);
    return loss;
}

static bool needs_base(const struct trib_train_settings *settings) {
    return settings->mu > 0.0 || settings->is_per_step;
}

/* FAVANO: slow and fast clients bring the same progress (learn/contacts.h). */
static void shrink(const struct course *course, uint64_t step_count, float *parameters,
                   size_t count) {
    for (size_t i = 0; course->settings->is_per_step && i < count; i++) {
        const double change = (double)parameters[i] - (double)course->base[i];
        parameters[i] = (float)((double)course->base[i] + change / (double)step_count);
    }
}

/* The loop itself. order is shuffled in place before each pass. */
static enum trib_status run_steps(struct trib_trainer *trainer, const struct trib_dataset *dataset,
                                  uint32_t *order, size_t row_count, const struct course *course,
                                  float *parameters, struct trib_train_result *result,
                                  struct trib_error *error) {
    const struct trib_train_settings *settings = course->settings;
    const size_t parameter_count = trainer->model.parameter_count;
    const size_t batch =
        settings->batch == 0 || settings->batch > row_count ? row_count : settings->batch;
    const uint64_t batches_per_pass = (row_count + batch - 1) / batch;
    const uint64_t epochs = settings->epochs == 0 ? 1 : settings->epochs;
    const uint64_t step_limit = settings->steps > 0 ? settings->steps : epochs * batches_per_pass;

    double loss = 0.0;
    uint64_t step_count = 0;
    uint64_t visit_count = 0;
    uint64_t label_total = 0;
    for (bool is_over = false; step_count < step_limit && !is_over; step_count++) {
        const uint64_t step = step_count;
        const size_t first = (size_t)(step % batches_per_pass) * batch;
        if (first == 0) {
            struct trib_random random;
            trib_random_derive(&random, settings->seed, "train.pass", step / batches_per_pass);
            trib_random_shuffle(&random, order, row_count);
        }
        const size_t count = row_count - first < batch ? row_count - first : batch;
        const size_t label_count = count_labels(trainer, dataset, order + first, count);
        const double batch_loss = take_step(trainer, dataset, order + first, count, label_count,
                                            course, step + 1, parameters);
        if (!isfinite(batch_loss)) {
            return diverged(error, step);
        }
        loss += batch_loss;
        visit_count += count;
        label_total += label_count;
        is_over = settings->is_over != NULL && settings->is_over(settings->over_context);
    }
    shrink(course, step_count, parameters, parameter_count);
    const enum trib_status status = trib_products_check(&trainer->model.products, error);
    if (status != TRIB_OK) {
        return status;
    }
    if (!all_finite(parameters, parameter_count)) {
        return diverged(error, step_count);
    }
    *result = (struct trib_train_result){
        .loss = loss / (double)label_total,
        .row_count = visit_count < row_count ? visit_count : row_count,
        .step_count = step_count,
    };
    return TRIB_OK;
}

static enum trib_status check_settings(const struct trib_train_settings *settings,
                                       struct trib_error *error) {
    const struct {
        const char *name;
        double value;
    } from_zero[] = {
        {"mu", settings->mu},
        {"momentum", settings->momentum},
        {"rho", settings->rho},
        {"beta1", settings->beta1},
        {"beta2", settings->beta2},
        {"alpha", settings->alpha},
        {"epsilon", settings->epsilon},
        {"clip", settings->clip},
        {"weight_decay", settings->weight_decay},
    };
    if (!(settings->lr > 0.0 && isfinite(settings->lr))) {
        return trib_error_set(error, TRIB_EINVALID, "lr is %g, must be above 0", settings->lr);
    }
    for (size_t i = 0; i < sizeof from_zero / sizeof from_zero[0]; i++) {
        if (!(from_zero[i].value >= 0.0 && isfinite(from_zero[i].value))) {
            return trib_error_set(error, TRIB_EINVALID, "%s is %g, must be 0 or more",
                                  from_zero[i].name, from_zero[i].value);
        }
    }
    if (settings->beta1 >= 1.0 || settings->beta2 >= 1.0 || settings->alpha > 1.0 ||
        (size_t)settings->optimizer >= TRIB_STEP_COUNT) {
        return trib_error_set(error, TRIB_EINVALID,
                              "beta1 and beta2 must be below 1, alpha at most 1");
    }
    return TRIB_OK;
}

/* Vectors of a course, one after the other. */
static size_t course_vectors(const struct trib_train_settings *settings) {
    return needs_base(settings) + (settings->alpha > 0.0) + trib_step_memory(settings->optimizer);
}

/* vectors  zero, course_vectors() of parameter_count each. */
static struct course course_of(const struct trib_train_settings *settings, float *vectors,
                               const float *parameters, size_t parameter_count) {
    struct course course = {
        .settings = settings,
        .step = {.kind = settings->optimizer,
                 .lr = settings->lr,
                 .scale = settings->gradient_scale == 0.0 ? 1.0 : settings->gradient_scale,
                 .shift = settings->shift,
                 .mu = settings->mu,
                 .weight_decay = settings->weight_decay,
                 .momentum = settings->momentum,
                 .beta1 = settings->beta1,
                 .beta2 = settings->beta2,
                 .epsilon = settings->epsilon},
    };
    course.is_plain = vectors == NULL && settings->shift == NULL && course.step.scale == 1.0 &&
                      settings->weight_decay == 0.0 && settings->clip == 0.0;
    if (needs_base(settings)) {
        course.base = vectors;
        course.step.base = course.base;
        memcpy(course.base, parameters, parameter_count * sizeof *vectors);
        vectors += parameter_count;
    }
    if (settings->alpha > 0.0) {
        course.second = vectors;
        vectors += parameter_count;
    }
    course.memory = vectors;
    return course;
}

enum trib_status trib_trainer_train(struct trib_trainer *trainer,
                                    const struct trib_dataset *dataset, const uint32_t *rows,
                                    size_t row_count, const struct trib_train_settings *settings,
                                    float *parameters, struct trib_train_result *result,
                                    struct trib_error *error) {
    const struct trib_env *env = trainer->env;
    const size_t parameter_count = trainer->model.parameter_count;
    row_count = rows == NULL ? dataset->row_count : row_count;
    enum trib_status status = check_settings(settings, error);
    if (status == TRIB_OK) {
        status = check_dataset(trainer, dataset, row_count, error);
    }
    if (status != TRIB_OK) {
        return status;
    }

    const size_t value_count = course_vectors(settings) * parameter_count;
    uint32_t *order = list_rows(env, dataset, rows, row_count);
    float *vectors = value_count > 0 ? trib_allocate(env, value_count, sizeof *vectors) : NULL;
    if (order == NULL || (value_count > 0 && vectors == NULL)) {
        status = trib_error_set(error, TRIB_EMEMORY, "no memory to train on %zu rows", row_count);
    } else {
        struct trib_train_result unused;
        const struct course course = course_of(settings, vectors, parameters, parameter_count);
        trib_products_use_one_thread();
        status = run_steps(trainer, dataset, order, row_count, &course, parameters,
                           result == NULL ? &unused : result, error);
    }
    trib_release(env, vectors, value_count, sizeof *vectors);
    trib_release(env, order, row_count, sizeof *order);
    return status;
}

enum trib_status trib_trainer_gradient(struct trib_trainer *trainer,
                                       const struct trib_dataset *dataset, const uint32_t *rows,
                                       size_t row_count, const float *parameters, float *gradient,
                                       double *loss, struct trib_error *error) {
    row_count = rows == NULL ? dataset->row_count : row_count;
    const enum trib_status status = check_dataset(trainer, dataset, row_count, error);
    if (status != TRIB_OK) {
        return status;
    }
    uint32_t *order = list_rows(trainer->env, dataset, rows, row_count);
    if (order == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for %zu rows", row_count);
    }
    trib_products_use_one_thread();
    const size_t label_count = count_labels(trainer, dataset, order, row_count);
    const double loss_sum =
        batch_gradient(trainer, dataset, order, row_count, label_count, parameters,
                       (struct trib_gradient){.values = gradient, .scale = 1.0F});
    trib_release(trainer->env, order, row_count, sizeof *order);
    *loss = loss_sum / (double)label_count;
    return trib_products_check(&trainer->model.products, error);
}

/* Is the label the first of the largest outputs? Never when one of them is not a number. */
static bool is_correct(const float *outputs, size_t class_count, size_t label) {
    bool is_largest = true;
    for (size_t i = 0; i < class_count; i++) {
        is_largest &= i < label ? outputs[label] > outputs[i] : outputs[label] >= outputs[i];
    }
    return is_largest;
}

enum trib_status trib_trainer_evaluate(struct trib_trainer *trainer,
                                       const struct trib_dataset *dataset, const float *parameters,
                                       struct trib_evaluate_result *result,
                                       struct trib_error *error) {
    enum trib_status status = check_dataset(trainer, dataset, dataset->row_count, error);
    if (status != TRIB_OK) {
        return status;
    }
    struct trib_trainer_model *model = &trainer->model;
    double loss = 0.0;
    uint64_t correct_count = 0;
    uint64_t label_total = 0;
    trib_products_use_one_thread();
    for (size_t first = 0; first < dataset->row_count; first += model->row_count_max) {
        const size_t rest = dataset->row_count - first;
        const size_t count = rest < model->row_count_max ? rest : model->row_count_max;
        uint32_t rows[TRIB_TRAINER_MODEL_ROWS_MAX];
        for (size_t i = 0; i < count; i++) {
            rows[i] = (uint32_t)(first + i);
        }
        gather(trainer, dataset, rows, count);
        const float *outputs =
            trib_trainer_model_forward(model, parameters, trainer->inputs, count);
        loss += trib_trainer_model_loss(model, trainer->labels, count, 1);
        for (size_t i = 0; i < count * model->label_count; i++) {
            const int32_t label = trainer->labels[i];
            label_total += label >= 0;
            correct_count += label >= 0 && is_correct(outputs + i * model->class_count,
                                                      model->class_count, (size_t)label);
        }
    }
    status = trib_products_check(&model->products, error);
    if (status != TRIB_OK) {
        return status;
    }
    *result = (struct trib_evaluate_result){
        .accuracy = (double)correct_count / (double)label_total,
        .loss = loss / (double)label_total,
        .correct_count = correct_count,
        .label_count = label_total,
        .row_count = dataset->row_count,
    };
    return TRIB_OK;
}
