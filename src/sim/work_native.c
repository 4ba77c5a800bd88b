/* work_native.c - simulated clients that train the native models on a real data set. */
#include "sim/work_native.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/partition.h"
#include "train/rule.h"
#include "train/settings.h"

#define TEST_ROWS_PER_PART 512 /* enough for a product of matrices, few enough to share out */

/* Vectors of a rule: what is read and what is written. */
enum { PARAMETERS, CONTROL, MOMENTUM, NEXT_CONTROL, NEXT_MOMENTUM, NEXT_OWN, VECTOR_COUNT };
#define KINDS 3 /* the first of them: what a version has of each tensor */

/* A tensor of the model and where versions have it and its companions. */
struct span {
    uint64_t element_count;
    uint64_t at[KINDS]; /* first element in a version */
};

struct trib_work_native {
    const struct trib_env *env;
    struct trib_work_native_options options;
    char *settings;
    struct trib_trainer **trainers; /* [hands] */
    size_t parameter_count;
    struct span *spans; /* [span_count], of the trainer's tensors in their order */
    size_t span_count;
    uint32_t companions; /* set of enum trib_companion that versions have */
    float **vectors;     /* [hands] each [VECTOR_COUNT][parameter_count]; NULL until it is needed */
    uint32_t *rows;      /* [row_count] by owner, ascending within one */
    uint32_t
        *first_rows; /* [owner_count + 1] of each owner; those that it holds out are the last */
};

/* --- rows by owner ------------------------------------------------------------------------------ */

static size_t count_rows(const struct trib_work_native *native, uint64_t owner) {
    return native->first_rows[owner + 1] - native->first_rows[owner];
}

static size_t count_held(const struct trib_work_native *native, uint64_t owner) {
    return trib_hold_out_count(count_rows(native, owner), native->options.hold_out);
}

/* Of each owner, the rows that it holds out behind the others; both stay in their order. */
static enum trib_status hold_out(struct trib_work_native *native) {
    const size_t row_count = native->options.train->row_count;
    uint32_t *held_rows = trib_allocate(native->env, row_count, sizeof *held_rows);
    for (uint32_t owner = 0; held_rows != NULL && owner < native->options.owner_count; owner++) {
        const size_t count = count_rows(native, owner), held = count_held(native, owner);
        uint32_t *rows = native->rows + native->first_rows[owner];
        size_t kept = 0, out = 0;
        for (size_t i = 0; i < count; i++) {
            if (trib_hold_out_has(i, count, held)) {
                held_rows[out++] = rows[i];
            } else {
                rows[kept++] = rows[i];
            }
        }
        memcpy(rows + kept, held_rows, out * sizeof *rows);
    }
    trib_release(native->env, held_rows, row_count, sizeof *held_rows);
    return held_rows == NULL ? TRIB_EMEMORY : TRIB_OK;
}

/* By counting: how many each has, where each begins, then one row after the other. */
static enum trib_status sort_rows(struct trib_work_native *native, struct trib_error *error) {
    const struct trib_work_native_options *options = &native->options;
    size_t row_count = options->train->row_count;
    uint32_t owner_count = options->owner_count;
    native->rows = trib_allocate(native->env, row_count, sizeof *native->rows);
    native->first_rows =
        trib_allocate(native->env, (size_t)owner_count + 1, sizeof *native->first_rows);
    if (native->rows == NULL || native->first_rows == NULL) {
        return TRIB_EMEMORY;
    }
    uint32_t *first = native->first_rows;
    for (size_t row = 0; row < row_count; row++) {
        TRIB_ASSERT(options->owners[row] < owner_count);
        first[options->owners[row] + 1]++;
    }
    for (uint32_t owner = 0; owner < owner_count; owner++) {
        if (first[owner + 1] == 0) {
            return trib_error_set(error, TRIB_EINVALID, "client %u would have no data", owner);
        }
        first[owner + 1] += first[owner];
    }
    for (size_t row = row_count; row-- > 0;) { /* from behind: each begin moves to its place */
        native->rows[--first[options->owners[row] + 1]] = (uint32_t)row;
    }
    memmove(first, first + 1, owner_count * sizeof *first);
    first[owner_count] = (uint32_t)row_count;
    return hold_out(native);
}

/* --- work --------------------------------------------------------------------------------------- */

static uint64_t count_examples(void *context, uint64_t client) {
    const struct trib_work_native *native = context;
    uint64_t owner = client % native->options.owner_count;
    return count_rows(native, owner) - count_held(native, owner);
}

/* --- versions with companions --- */

static float *vector(const struct trib_work_native *native, uint32_t hand, size_t which) {
    return native->vectors[hand] + which * native->parameter_count;
}

/* From a version to the trainer's order, and back. */
static void gather(const struct trib_work_native *native, const float *version, size_t kind,
                   float *values) {
    for (size_t i = 0; i < native->span_count; i++) {
        const struct span *span = &native->spans[i];
        memcpy(values, version + span->at[kind], span->element_count * sizeof *values);
        values += span->element_count;
    }
}

static void scatter(const struct trib_work_native *native, const float *values, size_t kind,
                    float *version) {
    for (size_t i = 0; i < native->span_count; i++) {
        const struct span *span = &native->spans[i];
        memcpy(version + span->at[kind], values, span->element_count * sizeof *values);
        values += span->element_count;
    }
}

/* As `trib join` does it (cli/participant.c). `own` goes from one task to the next in blocks. */
static enum trib_status train_by_rule(const struct trib_work_native *native, uint32_t hand,
                                      const struct trib_work_task *task,
                                      const struct trib_train_settings *settings,
                                      const uint32_t *rows, size_t row_count, float *trained,
                                      struct trib_train_result *outcome,
                                      struct trib_block **next_own, struct trib_error *error) {
    const size_t own_bytes = native->parameter_count * sizeof(float);
    struct trib_rule_vectors vectors = {
        .own = task->own == NULL ? NULL : (const float *)task->own->bytes,
        .next_control = vector(native, hand, NEXT_CONTROL),
        .next_momentum = vector(native, hand, NEXT_MOMENTUM),
        .next_own = vector(native, hand, NEXT_OWN),
    };
    float *parameters = vector(native, hand, PARAMETERS);
    gather(native, trained, PARAMETERS, parameters);
    if ((native->companions & TRIB_COMPANION_CONTROL) != 0) {
        gather(native, trained, CONTROL, vector(native, hand, CONTROL));
        vectors.control = vector(native, hand, CONTROL);
    }
    if ((native->companions & TRIB_COMPANION_MOMENTUM) != 0) {
        gather(native, trained, MOMENTUM, vector(native, hand, MOMENTUM));
        vectors.momentum = vector(native, hand, MOMENTUM);
    }
    enum trib_status status =
        trib_rule_train(native->trainers[hand], native->options.train, rows, row_count, settings,
                        &vectors, parameters, outcome, error);
    if (status != TRIB_OK) {
        return status;
    }
    scatter(native, parameters, PARAMETERS, trained);
    if (vectors.control != NULL) {
        scatter(native, vectors.next_control, CONTROL, trained);
    }
    if (vectors.momentum != NULL) {
        scatter(native, vectors.next_momentum, MOMENTUM, trained);
    }
    if (trib_rule_has_own(settings->rule)) {
        *next_own = trib_block_new(native->env, own_bytes);
        if (*next_own == NULL) {
            return trib_error_set(error, TRIB_EMEMORY, "out of memory");
        }
        memcpy((*next_own)->bytes, vectors.next_own, own_bytes);
        trib_block_seal(*next_own);
    }
    return TRIB_OK;
}

static enum trib_status make_vectors(struct trib_work_native *native, uint32_t hand) {
    if (native->vectors[hand] == NULL) {
        native->vectors[hand] =
            trib_allocate(native->env, VECTOR_COUNT * native->parameter_count, sizeof(float));
    }
    return native->vectors[hand] == NULL ? TRIB_EMEMORY : TRIB_OK;
}

/* What the trainer takes of a version. */
static enum trib_status find_parameters(struct trib_work_native *native, uint32_t hand,
                                        const float **parameters, struct trib_error *error) {
    if (native->companions == 0) {
        return TRIB_OK;
    }
    if (make_vectors(native, hand) != TRIB_OK) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    gather(native, *parameters, PARAMETERS, vector(native, hand, PARAMETERS));
    *parameters = vector(native, hand, PARAMETERS);
    return TRIB_OK;
}

static enum trib_status train(void *context, uint32_t hand, const struct trib_work_task *task,
                              const float *base, float *trained, struct trib_work_trained *result,
                              struct trib_error *error) {
    struct trib_work_native *native = context;
    uint64_t owner = task->client % native->options.owner_count;
    const struct trib_train_who who = {task->name, task->version, native->options.seed};
    struct trib_train_settings settings;
    struct trib_train_result outcome;
    struct trib_block *next_own = NULL;
    memcpy(trained, base, native->options.layout->element_count * sizeof *trained);
    enum trib_status status = trib_train_settings_read(
        task->settings != NULL ? task->settings : native->settings, &who, &settings, error);
    if (task->steps > 0) {
        settings.steps = task->steps;
    }
    const uint32_t *rows = native->rows + native->first_rows[owner];
    const size_t row_count = (size_t)count_examples(context, task->client);
    const bool is_plain = settings.rule == TRIB_RULE_PLAIN && native->companions == 0;
    if (status == TRIB_OK && is_plain) {
        status = trib_trainer_train(native->trainers[hand], native->options.train, rows, row_count,
                                    &settings, trained, &outcome, error);
    } else if (status == TRIB_OK) {
        status = make_vectors(native, hand);
        status = status != TRIB_OK ? status
                                   : train_by_rule(native, hand, task, &settings, rows, row_count,
                                                   trained, &outcome, &next_own, error);
    }
    if (status == TRIB_OK) {
        *result = (struct trib_work_trained){
            .examples = outcome.row_count, .loss = outcome.loss, .next_own = next_own};
    }
    return status;
}

static enum trib_status evaluate(void *context, uint32_t hand, uint32_t part,
                                 const float *parameters, struct trib_work_score *score,
                                 struct trib_error *error) {
    struct trib_work_native *native = context;
    struct trib_dataset rows = *native->options.test; /* a view: it is never given back */
    enum trib_status status = find_parameters(native, hand, &parameters, error);
    if (status != TRIB_OK) {
        return status;
    }
    size_t first = (size_t)part * TEST_ROWS_PER_PART;
    size_t left = rows.row_count - first;
    rows.features += first * rows.feature_count;
    rows.labels += first * (rows.symbol_count > 0 ? rows.feature_count : 1);
    rows.row_count = left < TEST_ROWS_PER_PART ? left : TEST_ROWS_PER_PART;
    struct trib_evaluate_result result;
    status = trib_trainer_evaluate(native->trainers[hand], &rows, parameters, &result, error);
    if (status == TRIB_OK) {
        *score = (struct trib_work_score){
            .examples = result.label_count,
            .correct = (double)result.correct_count,
            .loss = result.loss * (double)result.label_count,
        };
    }
    return status;
}

static enum trib_status evaluate_own(void *context, uint32_t hand, uint64_t client,
                                     const float *parameters, struct trib_work_score *score,
                                     struct trib_error *error) {
    struct trib_work_native *native = context;
    const uint64_t owner = client % native->options.owner_count;
    const size_t held = count_held(native, owner);
    const size_t count = held > 0 ? held : count_rows(native, owner);
    const uint32_t *rows = native->rows + native->first_rows[owner + 1] - count;
    struct trib_dataset own;
    struct trib_evaluate_result result;
    enum trib_status status = find_parameters(native, hand, &parameters, error);
    if (status == TRIB_OK) {
        status = trib_dataset_pick(native->env, native->options.train, rows, count, &own, error);
    }
    if (status != TRIB_OK) {
        return status;
    }
    status = trib_trainer_evaluate(native->trainers[hand], &own, parameters, &result, error);
    trib_dataset_deinit(&own);
    if (status == TRIB_OK) { /* weighted as `trib join` weighs it: by rows */
        *score = (struct trib_work_score){
            .examples = result.row_count,
            .correct = result.accuracy * (double)result.row_count,
            .loss = result.loss * (double)result.row_count,
        };
    }
    return status;
}

/* --- life --------------------------------------------------------------------------------------- */

static enum trib_status check_data(const struct trib_trainer_spec *trainer,
                                   const struct trib_dataset *dataset, struct trib_error *error) {
    if (trainer->feature_count != dataset->feature_count ||
        trainer->class_count < dataset->class_count) {
        return trib_error_set(error, TRIB_ESHAPE,
                              "the model takes %zu features and tells %u classes, the data has %zu "
                              "features and %u classes",
                              trainer->feature_count, trainer->class_count, dataset->feature_count,
                              dataset->class_count);
    }
    return TRIB_OK;
}

static enum trib_status make_trainers(struct trib_work_native *native,
                                      const struct trib_trainer_spec *trainer,
                                      struct trib_error *error) {
    const struct trib_work_native_options *options = &native->options;
    native->trainers = trib_allocate(native->env, options->hands, sizeof *native->trainers);
    native->vectors = trib_allocate(native->env, options->hands, sizeof *native->vectors);
    if (native->trainers == NULL || native->vectors == NULL) {
        return TRIB_EMEMORY;
    }
    for (uint32_t hand = 0; hand < options->hands; hand++) {
        enum trib_status status =
            trib_trainer_new(native->env, trainer, &native->trainers[hand], error);
        if (status != TRIB_OK) {
            return status;
        }
    }
    native->parameter_count = trib_trainer_parameter_count(native->trainers[0]);
    return TRIB_OK;
}

/* Where the tensors are. Those of a version are ordered by name, and so are the trainer's. */
static enum trib_status make_spans(struct trib_work_native *native) {
    static const uint32_t companions[KINDS] = {
        [CONTROL] = TRIB_COMPANION_CONTROL, [MOMENTUM] = TRIB_COMPANION_MOMENTUM};
    const struct trib_layout *layout = native->options.layout;
    native->spans = trib_allocate(native->env, layout->tensor_count, sizeof *native->spans);
    for (size_t t = 0; native->spans != NULL && t < layout->tensor_count; t++) {
        const struct trib_tensor *tensor = &layout->tensors[t];
        if (tensor->is_companion) {
            continue;
        }
        struct span *span = &native->spans[native->span_count++];
        *span = (struct span){tensor->element_count, {tensor->element_offset}};
        for (size_t kind = 1; kind < KINDS; kind++) {
            char name[2 * TRIB_TENSOR_NAME_BYTES_MAX];
            (void)snprintf(name, sizeof name, "%s%s", trib_companion_prefix(companions[kind]),
                           tensor->name);
            const struct trib_tensor *companion = trib_layout_find(layout, name);
            if (companion != NULL && companion->is_companion) {
                span->at[kind] = companion->element_offset;
                native->companions |= companions[kind];
            }
        }
    }
    return native->spans == NULL ? TRIB_EMEMORY : TRIB_OK;
}

static enum trib_status make(struct trib_work_native *native, struct trib_error *error) {
    const struct trib_work_native_options *options = &native->options;
    struct trib_train_settings settings;
    struct trib_trainer_spec trainer = *options->trainer;
    enum trib_status status = trib_train_settings_read(
        options->settings, &(struct trib_train_who){"", 0, 0}, &settings, error);
    if (status != TRIB_OK) {
        return status;
    }
    native->settings = trib_text_copy(native->env, options->settings);
    if (native->settings == NULL) {
        return TRIB_EMEMORY;
    }
    if (trainer.feature_count == 0) { /* sequences of whatever length the data has */
        trainer.feature_count = options->train->feature_count;
    }
    status = check_data(&trainer, options->train, error);
    if (status == TRIB_OK && options->test != NULL) {
        status = check_data(&trainer, options->test, error);
    }
    if (status == TRIB_OK) {
        status = make_spans(native);
    }
    if (status == TRIB_OK) {
        status = sort_rows(native, error);
    }
    return status == TRIB_OK ? make_trainers(native, &trainer, error) : status;
}

enum trib_status trib_work_native_new(const struct trib_env *env,
                                      const struct trib_work_native_options *options,
                                      struct trib_work_native **native, struct trib_error *error) {
    *native = NULL;
    struct trib_work_native *made = trib_allocate(env, 1, sizeof *made);
    if (made == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    made->env = env;
    made->options = *options;
    enum trib_status status = make(made, error);
    if (status == TRIB_OK) {
        *native = made;
        return TRIB_OK;
    }
    trib_work_native_free(made);
    return status == TRIB_EMEMORY ? trib_error_set(error, status, "out of memory") : status;
}

void trib_work_native_free(struct trib_work_native *native) {
    if (native == NULL) {
        return;
    }
    for (uint32_t hand = 0; native->trainers != NULL && hand < native->options.hands; hand++) {
        trib_trainer_free(native->trainers[hand]);
    }
    for (uint32_t hand = 0; native->vectors != NULL && hand < native->options.hands; hand++) {
        trib_release(native->env, native->vectors[hand], VECTOR_COUNT * native->parameter_count,
                     sizeof(float));
    }
    trib_release(native->env, native->vectors, native->options.hands, sizeof *native->vectors);
    trib_release(native->env, native->spans, native->options.layout->tensor_count,
                 sizeof *native->spans);
    trib_release(native->env, native->trainers, native->options.hands, sizeof *native->trainers);
    trib_release(native->env, native->rows, native->options.train->row_count, sizeof *native->rows);
    trib_release(native->env, native->first_rows, (size_t)native->options.owner_count + 1,
                 sizeof *native->first_rows);
    trib_text_release(native->env, native->settings);
    trib_release(native->env, native, 1, sizeof *native);
}

struct trib_work trib_work_native_table(struct trib_work_native *native) {
    const struct trib_dataset *test = native->options.test;
    struct trib_work work = {.context = native,
                             .has_companions = true,
                             .examples = count_examples,
                             .train = train,
                             .evaluate_own = evaluate_own};
    if (test != NULL) {
        work.evaluate = evaluate;
        work.evaluate_parts =
            (uint32_t)((test->row_count + TEST_ROWS_PER_PART - 1) / TEST_ROWS_PER_PART);
    }
    return work;
}
