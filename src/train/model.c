/* model.c - what a native model looks like: its layers, its tensors, its first weights.
 *
 * Every kind is a network of fully connected layers; softmax is one without hidden layers. The
 * table below holds what else differs. Layers are named so that their order by name is their order
 * from input to output, and then layout order is the order of the network's parameters. */
#include "train/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"

_Static_assert(TRIB_TRAINER_HIDDEN_MAX + 1 == TRIB_NETWORK_LAYERS_MAX, "the last is not hidden");
_Static_assert(TRIB_NETWORK_LAYERS_MAX <= 9, "fc10 would sort before fc2");

struct trib_trainer_model_kind {
    const char *name;
    const char *prefix; /* of tensor names; with a layer number from 1 and a dot; NULL: neither */
    uint32_t hidden[TRIB_TRAINER_HIDDEN_MAX]; /* defaults */
    uint32_t hidden_count;
    uint32_t hidden_count_max;
    bool starts_at_zero;
};

static const struct trib_trainer_model_kind kinds[] = {
    {.name = "softmax", .starts_at_zero = true},
    {.name = "mlp",
     .prefix = "fc",
     .hidden = {200, 200},
     .hidden_count = 2,
     .hidden_count_max = TRIB_TRAINER_HIDDEN_MAX},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

const char *trib_trainer_kind(size_t index) {
    return index < KIND_COUNT ? kinds[index].name : NULL;
}

static const struct trib_trainer_model_kind *find_kind(const char *name) {
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* The widths of all layers from the spec and the kind's defaults; *layer_count of them and one. */
static enum trib_status choose_widths(const struct trib_trainer_model_kind *kind,
                                      const struct trib_trainer_spec *spec, size_t *widths,
                                      size_t *layer_count, struct trib_error *error) {
    const bool is_default = spec->hidden_count == 0;
    const uint32_t *hidden = is_default ? kind->hidden : spec->hidden;
    const uint32_t hidden_count = is_default ? kind->hidden_count : spec->hidden_count;
    if (hidden_count > kind->hidden_count_max) {
        return trib_error_set(error, TRIB_EINVALID, "%s: %u hidden layers, at most %u", kind->name,
                              hidden_count, kind->hidden_count_max);
    }
    if (spec->feature_count == 0 || spec->feature_count > TRIB_DATASET_FEATURES_MAX) {
        return trib_error_set(error, TRIB_EINVALID, "%s: %zu features, must be 1 to %u", kind->name,
                              spec->feature_count, TRIB_DATASET_FEATURES_MAX);
    }
    if (spec->class_count < 2 || spec->class_count > TRIB_DATASET_CLASSES_MAX) {
        return trib_error_set(error, TRIB_EINVALID, "%s: %u classes, must be 2 to %d", kind->name,
                              spec->class_count, TRIB_DATASET_CLASSES_MAX);
    }
    widths[0] = spec->feature_count;
    for (uint32_t i = 0; i < hidden_count; i++) {
        if (hidden[i] == 0 || hidden[i] > TRIB_TRAINER_WIDTH_MAX) {
            return trib_error_set(error, TRIB_EINVALID,
                                  "%s: hidden layer %u has %u units, must be 1 to %d", kind->name,
                                  i + 1, hidden[i], TRIB_TRAINER_WIDTH_MAX);
        }
        widths[i + 1] = hidden[i];
    }
    widths[hidden_count + 1] = spec->class_count;
    *layer_count = hidden_count + 1;
    return TRIB_OK;
}

static void describe_tensor(struct trib_trainer_model *model, size_t index, const char *part,
                            size_t offset, uint32_t rank, size_t rows, size_t columns) {
    struct trib_tensor *tensor = &model->tensors[index];
    char *name = model->names[index];
    if (model->kind->prefix == NULL) {
        (void)snprintf(name, TRIB_TRAINER_MODEL_NAME_BYTES, "%s", part);
    } else {
        (void)snprintf(name, TRIB_TRAINER_MODEL_NAME_BYTES, "%s%zu.%s", model->kind->prefix,
                       index / 2 + 1, part);
    }
    *tensor = (struct trib_tensor){
        .name = name,
        .dtype = TRIB_F32,
        .rank = rank,
        .shape = {rows, rank == 2 ? columns : 0},
        .element_count = rank == 2 ? rows * columns : rows,
        .byte_offset = offset * sizeof(float),
        .element_offset = offset,
    };
}

static void describe_tensors(struct trib_trainer_model *model) {
    for (size_t i = 0; i < model->network.layer_count; i++) {
        const struct trib_network_layer *layer = &model->network.layers[i];
        describe_tensor(model, 2 * i, "bias", layer->bias_offset, 1, layer->output_count, 0);
        describe_tensor(model, 2 * i + 1, "weight", layer->weight_offset, 2, layer->output_count,
                        layer->input_count);
    }
}

enum trib_status trib_trainer_model_init(struct trib_trainer_model *model,
                                         const struct trib_env *env,
                                         const struct trib_trainer_spec *spec,
                                         struct trib_error *error) {
    memset(model, 0, sizeof *model);
    model->kind = find_kind(spec->kind);
    if (model->kind == NULL) {
        return trib_error_set(error, TRIB_EINVALID, "no trainer is called '%.32s'", spec->kind);
    }
    size_t widths[TRIB_NETWORK_LAYERS_MAX + 1];
    size_t layer_count = 0;
    enum trib_status status = choose_widths(model->kind, spec, widths, &layer_count, error);
    if (status == TRIB_OK) {
        status = trib_network_init(&model->network, env, widths, layer_count, error);
    }
    if (status == TRIB_OK) {
        model->feature_count = spec->feature_count;
        model->class_count = spec->class_count;
        describe_tensors(model);
    }
    return status;
}

void trib_trainer_model_deinit(struct trib_trainer_model *model) {
    trib_network_deinit(&model->network);
    memset(model, 0, sizeof *model);
}

void trib_trainer_model_initialise(const struct trib_trainer_model *model, uint64_t seed,
                                   float *parameters) {
    memset(parameters, 0, model->network.parameter_count * sizeof *parameters);
    if (model->kind->starts_at_zero) {
        return;
    }
    const size_t layer_count = model->network.layer_count;
    for (size_t i = 0; i < layer_count; i++) {
        const struct trib_network_layer *layer = &model->network.layers[i];
        const double bound = sqrt((i + 1 < layer_count ? 6.0 : 3.0) / (double)layer->input_count);
        float *weight = parameters + layer->weight_offset;
        struct trib_random random;
        trib_random_derive(&random, seed, model->names[2 * i + 1], 0);
        for (size_t k = 0; k < layer->output_count * layer->input_count; k++) {
            weight[k] = (float)(bound * (2.0 * trib_random_unit(&random) - 1.0));
        }
    }
}
