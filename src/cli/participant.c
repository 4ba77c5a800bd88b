/* participant.c - a native trainer or evaluator: data, a model of the run, one task after another. */
#include "cli/participant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/native.h"
#include "train/rule.h"
#include "train/settings.h"

/* Vectors of a rule: read, then written. */
enum { CONTROL, MOMENTUM, NEXT_CONTROL, NEXT_MOMENTUM, NEXT_OWN, VECTOR_COUNT };

static enum trib_status make_trainer(struct trib_participant *participant,
                                     const struct trib_client_tensor *tensors, size_t tensor_count,
                                     struct trib_error *error) {
    struct trib_trainer_spec spec;
    enum trib_status status = trib_native_infer(tensors, tensor_count, &spec, error);
    if (status != TRIB_OK) {
        return status;
    }
    const struct trib_dataset *dataset = participant->dataset;
    if (spec.feature_count == 0) { /* sequences of whatever length the data has */
        spec.feature_count = dataset->feature_count;
    }
    if (spec.feature_count != dataset->feature_count || spec.class_count < dataset->class_count) {
        return trib_error_set(error, TRIB_ESHAPE,
                              "the model takes %zu features and tells %u classes, the data has %zu "
                              "features and %u classes",
                              spec.feature_count, spec.class_count, dataset->feature_count,
                              dataset->class_count);
    }
    status = trib_trainer_new(participant->env, &spec, &participant->trainer, error);
    if (status != TRIB_OK) {
        return status;
    }
    participant->parameter_count = trib_trainer_parameter_count(participant->trainer);
    participant->parameters = trib_allocate(participant->env, participant->parameter_count,
                                            sizeof *participant->parameters);
    if (participant->parameters == NULL) {
        trib_participant_deinit(participant);
        return trib_error_set(error, TRIB_EMEMORY, "no memory for the model");
    }
    return TRIB_OK;
}

void trib_participant_deinit(struct trib_participant *participant) {
    if (participant->trainer != NULL) {
        trib_trainer_free(participant->trainer);
        trib_release(participant->env, participant->parameters, participant->parameter_count,
                     sizeof *participant->parameters);
        trib_release(participant->env, participant->vectors,
                     VECTOR_COUNT * participant->parameter_count, sizeof *participant->vectors);
        participant->trainer = NULL;
        participant->parameters = NULL;
        participant->vectors = NULL;
    }
}

/* --- tensors ---------------------------------------------------------------------------------- */

static bool begins_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Has the tensor another's name behind a companion's prefix? */
static bool is_companion(const struct trib_client_tensor *tensors, size_t tensor_count,
                         const struct trib_client_tensor *tensor) {
    static const enum trib_companion kinds[] = {TRIB_COMPANION_CONTROL, TRIB_COMPANION_MOMENTUM};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        const char *prefix = trib_companion_prefix(kinds[k]);
        for (size_t i = 0; begins_with(tensor->name, prefix) && i < tensor_count; i++) {
            if (strcmp(tensors[i].name, tensor->name + strlen(prefix)) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* The tensors of a task: what is trained, then its companions, each in the order of names. */
struct parts {
    struct trib_client_tensor *tensors; /* [count] */
    size_t count;
    size_t model_count;
    const struct trib_client_tensor *control;  /* [model_count]; NULL: there are none */
    const struct trib_client_tensor *momentum; /* likewise */
};

static enum trib_status sort_parts(const struct trib_env *env,
                                   const struct trib_client_tensor *tensors, size_t tensor_count,
                                   struct parts *parts) {
    *parts = (struct parts){.count = tensor_count,
                            .tensors = trib_allocate(env, tensor_count, sizeof *tensors)};
    if (parts->tensors == NULL) {
        return TRIB_EMEMORY;
    }
    struct trib_client_tensor *next = parts->tensors;
    for (size_t i = 0; i < tensor_count; i++) {
        if (!is_companion(tensors, tensor_count, &tensors[i])) {
            *next++ = tensors[i];
        }
    }
    parts->model_count = (size_t)(next - parts->tensors);
    for (size_t i = 0; i < tensor_count; i++) {
        if (!is_companion(tensors, tensor_count, &tensors[i])) {
            continue;
        }
        const bool is_control =
            begins_with(tensors[i].name, trib_companion_prefix(TRIB_COMPANION_CONTROL));
        const struct trib_client_tensor **first = is_control ? &parts->control : &parts->momentum;
        *first = *first == NULL ? next : *first;
        *next++ = tensors[i];
    }
    return TRIB_OK;
}

/* The trainer's parameters are tensors one after the other. */
static void gather(const struct trib_client_tensor *tensors, size_t tensor_count, float *values) {
    for (size_t i = 0; i < tensor_count; i++) {
        memcpy(values, tensors[i].values, tensors[i].element_count * sizeof *values);
        values += tensors[i].element_count;
    }
}

static void scatter(const float *values, const struct trib_client_tensor *tensors,
                    size_t tensor_count) {
    for (size_t i = 0; i < tensor_count; i++) {
        memcpy(tensors[i].values, values, tensors[i].element_count * sizeof *values);
        values += tensors[i].element_count;
    }
}

/* --- rules ------------------------------------------------------------------------------------ */

static float *vector(const struct trib_participant *participant, size_t index) {
    return participant->vectors + index * participant->parameter_count;
}

/* Does the rule find what it needs: with the server, and with us? */
static enum trib_status check_rule(const struct trib_participant *participant, enum trib_rule rule,
                                   const struct parts *parts, uint64_t version,
                                   struct trib_error *error) {
    const struct trib_keepsake *keepsake = participant->keepsake;
    const char *name = trib_rule_name(rule);
    if (trib_rule_has_control(rule) != (parts->control != NULL) ||
        trib_rule_has_momentum(rule) != (parts->momentum != NULL)) {
        return trib_error_set(error, TRIB_EUNSUPPORTED,
                              "rule %s does not go with the tensors of the version", name);
    }
    if (trib_rule_has_own(rule) && keepsake == NULL) {
        return trib_error_set(error, TRIB_EINVALID,
                              "rule %s keeps something between tasks; say where: --state DIR",
                              name);
    }
    if (trib_rule_has_own(rule) && keepsake->own != NULL &&
        (keepsake->count != participant->parameter_count || version < keepsake->version)) {
        return trib_error_set(error, TRIB_ESHAPE,
                              "what is kept belongs to another run of this name; give this one a "
                              "directory of its own");
    }
    return TRIB_OK;
}

static enum trib_status train_by_rule(struct trib_participant *participant,
                                      const struct trib_train_settings *settings,
                                      const struct parts *parts, struct trib_train_result *trained,
                                      struct trib_error *error) {
    const size_t vector_values = VECTOR_COUNT * participant->parameter_count;
    if (participant->vectors == NULL) {
        participant->vectors =
            trib_allocate(participant->env, vector_values, sizeof *participant->vectors);
    }
    if (participant->vectors == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for rule %s",
                              trib_rule_name(settings->rule));
    }
    struct trib_rule_vectors vectors = {
        .own = participant->keepsake != NULL ? participant->keepsake->own : NULL,
        .next_control = vector(participant, NEXT_CONTROL),
        .next_momentum = vector(participant, NEXT_MOMENTUM),
        .next_own = vector(participant, NEXT_OWN),
    };
    if (parts->control != NULL) {
        gather(parts->control, parts->model_count, vector(participant, CONTROL));
        vectors.control = vector(participant, CONTROL);
    }
    if (parts->momentum != NULL) {
        gather(parts->momentum, parts->model_count, vector(participant, MOMENTUM));
        vectors.momentum = vector(participant, MOMENTUM);
    }
    const enum trib_status status =
        trib_rule_train(participant->trainer, participant->dataset, NULL, 0, settings, &vectors,
                        participant->parameters, trained, error);
    if (status == TRIB_OK && parts->control != NULL) {
        scatter(vectors.next_control, parts->control, parts->model_count);
    }
    if (status == TRIB_OK && parts->momentum != NULL) {
        scatter(vectors.next_momentum, parts->momentum, parts->model_count);
    }
    return status;
}

/* --- tasks ------------------------------------------------------------------------------------ */

static enum trib_status train(struct trib_participant *participant,
                              const struct trib_client_task *task, const struct parts *parts,
                              struct trib_participant_result *result, struct trib_error *error) {
    struct trib_train_settings settings;
    struct trib_train_result trained;
    const struct trib_train_who who = {participant->client, task->version, participant->seed};
    enum trib_status status = trib_train_settings_read(task->settings, &who, &settings, error);
    if (status == TRIB_OK) {
        status = check_rule(participant, settings.rule, parts, task->version, error);
    }
    if (status == TRIB_OK && settings.is_until_called) {
        settings.is_over = participant->is_called;
        settings.over_context = participant->context;
    }
    if (status == TRIB_OK && settings.rule != TRIB_RULE_PLAIN) {
        status = train_by_rule(participant, &settings, parts, &trained, error);
    } else if (status == TRIB_OK) {
        status = trib_trainer_train(participant->trainer, participant->dataset, NULL, 0, &settings,
                                    participant->parameters, &trained, error);
    }
    if (status != TRIB_OK) {
        return status;
    }
    scatter(participant->parameters, parts->tensors, parts->model_count);
    result->examples = trained.row_count;
    result->loss = trained.loss;
    result->step_count = trained.step_count;
    result->waits_for_call = settings.is_until_called;
    if (trib_rule_has_own(settings.rule)) {
        result->next_own = vector(participant, NEXT_OWN);
        result->next_own_count = participant->parameter_count;
    }
    return TRIB_OK;
}

static enum trib_status evaluate(struct trib_participant *participant,
                                 struct trib_participant_result *result, struct trib_error *error) {
    struct trib_evaluate_result score;
    const struct trib_dataset *dataset =
        participant->held != NULL ? participant->held : participant->dataset;
    enum trib_status status = trib_trainer_evaluate(participant->trainer, dataset,
                                                    participant->parameters, &score, error);
    if (status == TRIB_OK) {
        result->examples = score.row_count;
        result->accuracy = score.accuracy;
        result->loss = isfinite(score.loss) ? score.loss : (double)NAN;
    }
    return status;
}

static void write_metrics(struct trib_participant_result *result) {
    char *next = result->metrics;
    char *end = next + sizeof result->metrics;
    const char *comma = "";
    next += snprintf(next, (size_t)(end - next), "{");
    if (!isnan(result->accuracy)) {
        next += snprintf(next, (size_t)(end - next), "\"accuracy\":%.17g", result->accuracy);
        comma = ",";
    }
    if (!isnan(result->loss)) {
        next += snprintf(next, (size_t)(end - next), "%s\"loss\":%.17g", comma, result->loss);
    }
    (void)snprintf(next, (size_t)(end - next), "}");
}

enum trib_status trib_participant_work(struct trib_participant *participant,
                                       const struct trib_client_task *task,
                                       const struct trib_client_tensor *tensors,
                                       size_t tensor_count, struct trib_participant_result *result,
                                       struct trib_error *error) {
    struct parts parts;
    *result = (struct trib_participant_result){.loss = NAN, .accuracy = NAN};
    enum trib_status status = sort_parts(participant->env, tensors, tensor_count, &parts);
    if (status != TRIB_OK) {
        return trib_error_set(error, status, "no memory for %zu tensors", tensor_count);
    }
    if (participant->trainer == NULL) { /* the tensors of a run never change their shapes */
        status = make_trainer(participant, parts.tensors, parts.model_count, error);
    }
    if (status == TRIB_OK) {
        gather(parts.tensors, parts.model_count, participant->parameters);
        status = task->kind == TRIB_CLIENT_EVALUATE
                     ? evaluate(participant, result, error)
                     : train(participant, task, &parts, result, error);
    }
    write_metrics(result);
    trib_release(participant->env, parts.tensors, parts.count, sizeof *parts.tensors);
    return status;
}
