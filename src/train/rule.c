/* rule.c - rules of local training that tie a client to the others: SCAFFOLD, FedCM, FedSpeed. */
#include "train/rule.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    bool has_control, has_momentum, has_own;
} rules[TRIB_RULE_COUNT] = {
    [TRIB_RULE_PLAIN] = {"plain", false, false, false},
    [TRIB_RULE_FEDCM] = {"fedcm", false, true, false},
    [TRIB_RULE_SCAFFOLD] = {"scaffold", true, false, true},
    [TRIB_RULE_SCAFFOLD_M] = {"scaffold_m", true, true, true},
    [TRIB_RULE_FEDSPEED] = {"fedspeed", false, false, true},
};

const char *trib_rule_name(enum trib_rule rule) {
    TRIB_ASSERT(rule < TRIB_RULE_COUNT);
    return rules[rule].name;
}

bool trib_rule_from_name(const char *name, enum trib_rule *rule) {
    for (size_t i = 0; i < TRIB_RULE_COUNT; i++) {
        if (strcmp(rules[i].name, name) == 0) {
            *rule = (enum trib_rule)i;
            return true;
        }
    }
    return false;
}

bool trib_rule_has_control(enum trib_rule rule) {
    return rules[rule].has_control;
}

bool trib_rule_has_momentum(enum trib_rule rule) {
    return rules[rule].has_momentum;
}

bool trib_rule_has_own(enum trib_rule rule) {
    return rules[rule].has_own;
}

static float own_at(const struct trib_rule_vectors *vectors, size_t i) {
    return vectors->own != NULL ? vectors->own[i] : 0.0F;
}

/* Share of the gradient in a step that also goes along with g. */
static double gradient_share(const struct trib_train_settings *settings) {
    return rules[settings->rule].has_momentum ? settings->beta : 1.0;
}

void trib_rule_begin(const struct trib_train_settings *settings,
                     const struct trib_rule_vectors *vectors, size_t count, float *shift,
                     struct trib_step *step) {
    const double share = gradient_share(settings);
    const float beta = (float)share;
    const float rest = (float)(1.0 - share);
    step->scale = share;
    step->shift = settings->rule == TRIB_RULE_PLAIN ? NULL : shift;
    if (settings->rule == TRIB_RULE_FEDSPEED) {
        step->mu = 1.0 / settings->lambda;
        for (size_t i = 0; i < count; i++) {
            shift[i] = -own_at(vectors, i);
        }
        return;
    }
    for (size_t i = 0; i < count && step->shift != NULL; i++) {
        const float control =
            vectors->control != NULL ? vectors->control[i] - own_at(vectors, i) : 0.0F;
        const float momentum = vectors->momentum != NULL ? vectors->momentum[i] : 0.0F;
        shift[i] = beta * control + rest * momentum;
    }
}

void trib_rule_end(const struct trib_train_settings *settings,
                   const struct trib_rule_vectors *vectors, const struct trib_step *step,
                   const float *start, const float *gradient, uint64_t step_count, size_t count,
                   float *parameters) {
    const double pace = 1.0 / (settings->lr * (double)step_count);
    const double share = gradient_share(settings);
    for (size_t i = 0; i < count; i++) {
        const double moved = (double)parameters[i] - (double)start[i]; /* y - x */
        const double direction = -moved * pace;
        if (rules[settings->rule].has_momentum) {
            vectors->next_momentum[i] = (float)direction;
        }
        if (rules[settings->rule].has_control) {
            const double mean_gradient = gradient != NULL
                                             ? (double)gradient[i]
                                             : (direction - (double)step->shift[i]) / share;
            const float own = own_at(vectors, i);
            const float next = vectors->control[i] + (float)(mean_gradient - (double)own);
            vectors->next_control[i] = next;
            vectors->next_own[i] = own + (next - vectors->control[i]);
        }
        if (settings->rule == TRIB_RULE_FEDSPEED) {
            const double next = (double)own_at(vectors, i) - moved / settings->lambda;
            vectors->next_own[i] = (float)next;
            parameters[i] = (float)((double)parameters[i] - settings->lambda * next);
        }
    }
}

/* What the formulas of the rules hold for. */
static enum trib_status check(const struct trib_train_settings *settings,
                              struct trib_error *error) {
    const char *name = trib_rule_name(settings->rule);
    const bool reads_gradients =
        rules[settings->rule].has_control || rules[settings->rule].has_momentum;
    const char *bad = settings->optimizer != TRIB_STEP_SGD               ? "another optimizer"
                      : settings->mu != 0.0                              ? "mu"
                      : reads_gradients && settings->weight_decay != 0.0 ? "weight_decay"
                      : reads_gradients && settings->clip != 0.0         ? "clip"
                                                                         : NULL;
    if (settings->rule != TRIB_RULE_PLAIN && bad != NULL) {
        return trib_error_set(error, TRIB_EINVALID,
                              "rule %s counts on plain steps of sgd and does not go with %s", name,
                              bad);
    }
    if (rules[settings->rule].has_momentum && !(settings->beta > 0.0 && settings->beta <= 1.0)) {
        return trib_error_set(error, TRIB_EINVALID, "beta is %g, must be above 0 and at most 1",
                              settings->beta);
    }
    if (settings->rule == TRIB_RULE_FEDSPEED && !(settings->lambda > 0.0)) {
        return trib_error_set(error, TRIB_EINVALID, "lambda is %g, must be above 0",
                              settings->lambda);
    }
    return TRIB_OK;
}

/* scratch: start, then shift. */
static enum trib_status train_with(struct trib_trainer *trainer, const struct trib_dataset *dataset,
                                   const uint32_t *rows, size_t row_count,
                                   const struct trib_train_settings *settings,
                                   const struct trib_rule_vectors *vectors, float *parameters,
                                   struct trib_train_result *result, float *scratch,
                                   struct trib_error *error) {
    const size_t count = trib_trainer_parameter_count(trainer);
    float *start = scratch;
    float *shift = scratch + count;
    float *gradient = settings->rule != TRIB_RULE_FEDSPEED && settings->scaffold_option == 1 &&
                              rules[settings->rule].has_control
                          ? shift + count
                          : NULL;
    memcpy(start, parameters, count * sizeof *start);
    enum trib_status status = TRIB_OK;
    if (gradient != NULL) {
        double unused;
        status = trib_trainer_gradient(trainer, dataset, rows, row_count, parameters, gradient,
                                       &unused, error);
    }
    struct trib_train_settings bound = *settings;
    struct trib_step step = {.mu = settings->mu};
    trib_rule_begin(settings, vectors, count, shift, &step);
    bound.shift = step.shift;
    bound.gradient_scale = step.scale;
    bound.mu = step.mu;
    if (status == TRIB_OK) {
        status = trib_trainer_train(trainer, dataset, rows, row_count, &bound, parameters, result,
                                    error);
    }
    if (status == TRIB_OK) {
        trib_rule_end(settings, vectors, &step, start, gradient, result->step_count, count,
                      parameters);
    }
    return status;
}

enum trib_status trib_rule_train(struct trib_trainer *trainer, const struct trib_dataset *dataset,
                                 const uint32_t *rows, size_t row_count,
                                 const struct trib_train_settings *settings,
                                 const struct trib_rule_vectors *vectors, float *parameters,
                                 struct trib_train_result *result, struct trib_error *error) {
    enum trib_status status = check(settings, error);
    if (status != TRIB_OK) {
        return status;
    }
    if (settings->rule == TRIB_RULE_PLAIN) {
        return trib_trainer_train(trainer, dataset, rows, row_count, settings, parameters, result,
                                  error);
    }
    TRIB_ASSERT(!rules[settings->rule].has_control || vectors->control != NULL);
    TRIB_ASSERT(!rules[settings->rule].has_momentum || vectors->momentum != NULL);
    const size_t count = trib_trainer_parameter_count(trainer);
    const struct trib_env *env = trib_trainer_env(trainer);
    float *scratch = trib_allocate(env, 3 * count, sizeof *scratch);
    if (scratch == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for rule %s",
                              trib_rule_name(settings->rule));
    }
    struct trib_train_result unused;
    status = train_with(trainer, dataset, rows, row_count, settings, vectors, parameters,
                        result == NULL ? &unused : result, scratch, error);
    trib_release(env, scratch, 3 * count, sizeof *scratch);
    return status;
}
