/* native.c - between the tensors of a run and the native trainers. */
#include "cli/native.h"

#include <stdio.h>
#include <string.h>

#include "tensor/safetensors.h"

_Static_assert(TRIB_HIDDEN_LAYERS_MAX <= TRIB_TRAINER_HIDDEN_MAX, "a spec fits a trainer");

/* --- first models ----------------------------------------------------------------------------- */

static enum trib_status fill_block(const struct trib_env *env, const struct trib_trainer *trainer,
                                   uint64_t seed, struct trib_block **model,
                                   struct trib_error *error) {
    size_t count;
    const struct trib_tensor *tensors = trib_trainer_tensors(trainer, &count);
    struct trib_layout *layout;
    enum trib_status status = trib_layout_of_tensors(env, tensors, count, &layout, error);
    if (status != TRIB_OK) {
        return status;
    }
    TRIB_ASSERT(layout->element_count == trib_trainer_parameter_count(trainer));
    struct trib_block *block = trib_safetensors_block(env, layout);
    if (block == NULL) {
        status = trib_error_set(error, TRIB_EMEMORY, "no memory for the model");
    } else {
        trib_trainer_initialise(trainer, seed,
                                (float *)(void *)(block->bytes + layout->data_offset));
        trib_block_seal(block);
        *model = block;
    }
    trib_layout_free(layout);
    return status;
}

enum trib_status trib_native_create(void *context, const struct trib_env *env,
                                    const struct trib_spec *spec, struct trib_block **model,
                                    struct trib_error *error) {
    (void)context; /* everything is in the spec */
    *model = NULL;
    struct trib_trainer_spec wanted = {
        .kind = spec->model.trainer,
        .feature_count = spec->model.features,
        .class_count = spec->model.classes,
        .hidden_count = spec->model.hidden_count,
    };
    memcpy(wanted.hidden, spec->model.hidden, sizeof spec->model.hidden);
    struct trib_trainer *trainer;
    enum trib_status status = trib_trainer_new(env, &wanted, &trainer, error);
    if (status == TRIB_OK) {
        status = fill_block(env, trainer, spec->model.trainer_seed, model, error);
        trib_trainer_free(trainer);
    }
    return status;
}

/* --- which trainer? --------------------------------------------------------------------------- */

static enum trib_status refuse(const struct trib_client_tensor *tensor, const char *why,
                               struct trib_error *error) {
    return trib_error_set(error, TRIB_EUNSUPPORTED,
                          "no native trainer fits this model: tensor %.*s %s",
                          trib_name_shown(tensor->name), tensor->name, why);
}

/* Are these two the bias [outputs] and weight [outputs, inputs] of a layer? inputs 0: any. */
static enum trib_status check_layer(const struct trib_client_tensor *pair, const char *layer,
                                    uint64_t inputs, struct trib_error *error) {
    char bias[32], weight[32];
    (void)snprintf(bias, sizeof bias, "%sbias", layer);
    (void)snprintf(weight, sizeof weight, "%sweight", layer);
    if (strcmp(pair[0].name, bias) != 0) {
        return refuse(&pair[0], "is not part of a softmax or mlp model", error);
    }
    if (strcmp(pair[1].name, weight) != 0) {
        return refuse(&pair[1], "is not part of a softmax or mlp model", error);
    }
    if (pair[1].rank != 2 || (inputs != 0 && pair[1].shape[1] != inputs) ||
        pair[1].shape[0] > UINT32_MAX) {
        return refuse(&pair[1], "does not have the shape [outputs, inputs] of its layer", error);
    }
    if (pair[0].rank != 1 || pair[0].shape[0] != pair[1].shape[0]) {
        return refuse(&pair[0], "does not have one value for each output of its layer", error);
    }
    return TRIB_OK;
}

enum trib_status trib_native_infer(const struct trib_client_tensor *tensors, size_t tensor_count,
                                   struct trib_trainer_spec *spec, struct trib_error *error) {
    size_t layer_count = tensor_count / 2;
    bool is_softmax = tensor_count == 2 && strcmp(tensors[0].name, "bias") == 0;
    /* An mlp has at least one hidden layer and one that answers. */
    bool is_mlp =
        tensor_count % 2 == 0 && layer_count >= 2 && layer_count <= TRIB_TRAINER_HIDDEN_MAX + 1;
    if (!is_softmax && !is_mlp) {
        return trib_error_set(error, TRIB_EUNSUPPORTED,
                              "no native trainer fits this model of %zu tensors; softmax has bias "
                              "and weight, mlp has fc1.bias, fc1.weight, fc2.bias, ...",
                              tensor_count);
    }
    struct trib_trainer_spec found = {.kind = is_softmax ? "softmax" : "mlp"};
    uint64_t inputs = 0;
    for (size_t i = 0; i < layer_count; i++) {
        char layer[24];
        (void)snprintf(layer, sizeof layer, "fc%zu.", i + 1);
        const struct trib_client_tensor *pair = &tensors[2 * i];
        enum trib_status status = check_layer(pair, is_softmax ? "" : layer, inputs, error);
        if (status != TRIB_OK) {
            return status;
        }
        inputs = pair[1].shape[0];
        if (i + 1 < layer_count) {
            found.hidden[found.hidden_count++] = (uint32_t)inputs;
        }
    }
    found.feature_count = (size_t)tensors[1].shape[1];
    found.class_count = (uint32_t)inputs;
    *spec = found;
    return TRIB_OK;
}
