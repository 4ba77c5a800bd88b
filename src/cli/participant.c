/* participant.c - a native trainer or evaluator: data, a model of the run, one task after another. */
#include "cli/participant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/native.h"
#include "train/settings.h"

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
        participant->trainer = NULL;
        participant->parameters = NULL;
    }
}

/* The trainer's parameters are the tensors one after the other. */
static void gather(struct trib_participant *participant, const struct trib_client_tensor *tensors,
                   size_t tensor_count) {
    float *next = participant->parameters;
    for (size_t i = 0; i < tensor_count; i++) {
        memcpy(next, tensors[i].values, tensors[i].element_count * sizeof *next);
        next += tensors[i].element_count;
    }
    TRIB_ASSERT(next == participant->parameters + participant->parameter_count);
}

static void scatter(const struct trib_participant *participant,
                    const struct trib_client_tensor *tensors, size_t tensor_count) {
    const float *next = participant->parameters;
    for (size_t i = 0; i < tensor_count; i++) {
        memcpy(tensors[i].values, next, tensors[i].element_count * sizeof *next);
        next += tensors[i].element_count;
    }
}

static double find_setting(const void *context, const char *name, double fallback) {
    return trib_client_setting(context, name, fallback);
}

static enum trib_status train(struct trib_participant *participant,
                              const struct trib_client_task *task,
                              struct trib_participant_result *result, struct trib_error *error) {
    struct trib_train_settings settings;
    struct trib_train_result trained;
    const struct trib_train_who who = {participant->client, task->version, participant->seed};
    enum trib_status status = trib_train_settings_read(find_setting, task, &who, &settings, error);
    if (status == TRIB_OK) {
        status = trib_trainer_train(participant->trainer, participant->dataset, NULL, 0, &settings,
                                    participant->parameters, &trained, error);
    }
    if (status == TRIB_OK) {
        result->examples = trained.row_count;
        result->loss = trained.loss;
        result->step_count = trained.step_count;
    }
    return status;
}

static enum trib_status evaluate(struct trib_participant *participant,
                                 struct trib_participant_result *result, struct trib_error *error) {
    struct trib_evaluate_result score;
    enum trib_status status = trib_trainer_evaluate(participant->trainer, participant->dataset,
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
    *result = (struct trib_participant_result){.loss = NAN, .accuracy = NAN};
    enum trib_status status = TRIB_OK;
    if (participant->trainer == NULL) { /* the tensors of a run never change their shapes */
        status = make_trainer(participant, tensors, tensor_count, error);
    }
    if (status != TRIB_OK) {
        return status;
    }
    gather(participant, tensors, tensor_count);
    if (task->kind == TRIB_CLIENT_EVALUATE) {
        status = evaluate(participant, result, error);
    } else {
        status = train(participant, task, result, error);
    }
    if (status == TRIB_OK && task->kind == TRIB_CLIENT_TRAIN) {
        scatter(participant, tensors, tensor_count);
    }
    write_metrics(result);
    return status;
}
