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

#define ANY UINT64_MAX /* in a shape: whatever it is */

/* What a tensor of a model must look like. */
struct expected {
    const char *name;
    uint64_t shape[5]; /* 0 ends it */
};

static enum trib_status expect(const struct trib_client_tensor *tensor,
                               const struct expected *expected, const char *kind,
                               struct trib_error *error) {
    char why[96];
    if (strcmp(tensor->name, expected->name) != 0) {
        (void)snprintf(why, sizeof why, "is not part of a %s model", kind);
        return refuse(tensor, why, error);
    }
    uint32_t rank = 0;
    bool fits = true;
    for (; expected->shape[rank] != 0; rank++) {
        fits = fits && rank < tensor->rank && tensor->shape[rank] > 0 &&
               tensor->shape[rank] <= UINT32_MAX &&
               (expected->shape[rank] == ANY || expected->shape[rank] == tensor->shape[rank]);
    }
    if (!fits || tensor->rank != rank) {
        (void)snprintf(why, sizeof why, "does not have the shape that it has in a %s model", kind);
        return refuse(tensor, why, error);
    }
    return TRIB_OK;
}

/* Fully connected layers, a bias and a weight each; inputs ANY: as the first weight says, which
 * *input_count tells. Widths go to spec. */
static enum trib_status take_layers(const struct trib_client_tensor *tensors, size_t layer_count,
                                    bool is_numbered, struct trib_trainer_spec *spec,
                                    uint64_t *input_count, struct trib_error *error) {
    uint64_t inputs = ANY;
    for (size_t i = 0; i < layer_count; i++, tensors += 2) {
        char bias[32] = "bias", weight[32] = "weight";
        if (is_numbered) {
            (void)snprintf(bias, sizeof bias, "fc%zu.bias", i + 1);
            (void)snprintf(weight, sizeof weight, "fc%zu.weight", i + 1);
        }
        enum trib_status status =
            expect(&tensors[0], &(struct expected){bias, {ANY}}, spec->kind, error);
        if (status == TRIB_OK) {
            const struct expected matrix = {weight, {tensors[0].shape[0], inputs}};
            status = expect(&tensors[1], &matrix, spec->kind, error);
        }
        if (status != TRIB_OK) {
            return status;
        }
        if (i == 0) {
            *input_count = tensors[1].shape[1];
        }
        inputs = tensors[0].shape[0];
        if (i + 1 < layer_count) {
            spec->hidden[spec->hidden_count++] = (uint32_t)inputs;
        }
    }
    spec->class_count = (uint32_t)inputs;
    return TRIB_OK;
}

static enum trib_status infer_softmax(const struct trib_client_tensor *tensors, size_t tensor_count,
                                      struct trib_trainer_spec *spec, struct trib_error *error) {
    uint64_t inputs;
    const enum trib_status status =
        take_layers(tensors, tensor_count / 2, false, spec, &inputs, error);
    if (status == TRIB_OK) {
        spec->feature_count = (size_t)inputs;
    }
    return status;
}

static enum trib_status infer_mlp(const struct trib_client_tensor *tensors, size_t tensor_count,
                                  struct trib_trainer_spec *spec, struct trib_error *error) {
    uint64_t inputs;
    const enum trib_status status =
        take_layers(tensors, tensor_count / 2, true, spec, &inputs, error);
    if (status == TRIB_OK) {
        spec->feature_count = (size_t)inputs;
    }
    return status;
}

static enum trib_status infer_cnn(const struct trib_client_tensor *tensors, size_t tensor_count,
                                  struct trib_trainer_spec *spec, struct trib_error *error) {
    static const struct expected convolutions[] = {
        {"conv1.bias", {32}},
        {"conv1.weight", {32, 1, 5, 5}},
        {"conv2.bias", {64}},
        {"conv2.weight", {64, 32, 5, 5}},
    };
    enum trib_status status = TRIB_OK;
    for (size_t i = 0; i < 4 && status == TRIB_OK; i++) {
        status = expect(&tensors[i], &convolutions[i], spec->kind, error);
    }
    uint64_t inputs = 0;
    if (status == TRIB_OK) {
        status = take_layers(tensors + 4, (tensor_count - 4) / 2, true, spec, &inputs, error);
    }
    if (status == TRIB_OK) {
        /* 64 channels, each a sixteenth of the picture; trib_trainer_new() checks the rest. */
        spec->feature_count = (size_t)(inputs / 64 * 16);
        if (inputs % 64 != 0) {
            status = refuse(&tensors[5], "does not take 64 channels", error);
        }
    }
    return status;
}

/* lstm.bias_l0, lstm.bias_l1, lstm.peephole_l0, ...: layer_count of each part. */
static enum trib_status expect_recurrences(const struct trib_client_tensor *tensors,
                                           size_t layer_count, const struct trib_trainer_spec *spec,
                                           struct trib_error *error) {
    static const char *const parts[] = {"bias", "peephole", "weight_hh", "weight_ih"};
    enum trib_status status = TRIB_OK;
    for (size_t i = 0; i < 4 * layer_count && status == TRIB_OK; i++) {
        const size_t layer = i % layer_count;
        const uint64_t units = spec->hidden[layer];
        const uint64_t inputs = layer == 0 ? 8 : spec->hidden[layer - 1];
        char name[32];
        (void)snprintf(name, sizeof name, "lstm.%s_l%zu", parts[i / layer_count], layer);
        const struct expected shapes[] = {
            {name, {4 * units}},
            {name, {3, units}},
            {name, {4 * units, units}},
            {name, {4 * units, inputs}},
        };
        status = expect(&tensors[i], &shapes[i / layer_count], spec->kind, error);
    }
    return status;
}

static enum trib_status infer_lstm(const struct trib_client_tensor *tensors, size_t tensor_count,
                                   struct trib_trainer_spec *spec, struct trib_error *error) {
    const size_t layer_count = (tensor_count - 3) / 4;
    const uint64_t classes = tensors[0].shape[0];
    const struct expected ends[] = {
        {"embedding.weight", {ANY, 8}}, {"fc.bias", {classes}}, {"fc.weight", {classes, ANY}}};
    enum trib_status status = TRIB_OK;
    for (size_t i = 0; i < 3 && status == TRIB_OK; i++) {
        status = expect(&tensors[i], &ends[i], spec->kind, error);
    }
    for (size_t i = 0; i < layer_count && status == TRIB_OK; i++) {
        const struct trib_client_tensor *peephole = &tensors[3 + layer_count + i];
        spec->hidden[i] = peephole->rank == 2 && peephole->shape[1] <= TRIB_TRAINER_WIDTH_MAX
                              ? (uint32_t)peephole->shape[1]
                              : 0;
    }
    if (status == TRIB_OK) {
        status = expect_recurrences(tensors + 3, layer_count, spec, error);
    }
    if (status == TRIB_OK && tensors[2].shape[1] != spec->hidden[layer_count - 1]) {
        status = refuse(&tensors[2], "does not fit the last recurrent layer", error);
    }
    spec->hidden_count = (uint32_t)layer_count;
    spec->class_count = (uint32_t)classes;
    return status;
}

/* A kind is known by its first tensor; `fixed` tensors, then `each` per layer. */
static const struct {
    const char *kind, *first;
    size_t fixed, each, layers_min, layers_max;
    enum trib_status (*infer)(const struct trib_client_tensor *tensors, size_t tensor_count,
                              struct trib_trainer_spec *spec, struct trib_error *error);
} natives[] = {
    {"softmax", "bias", 0, 2, 1, 1, infer_softmax},
    {"mlp", "fc1.bias", 0, 2, 2, TRIB_TRAINER_HIDDEN_MAX + 1, infer_mlp},
    {"cnn", "conv1.bias", 4, 2, 2, TRIB_TRAINER_HIDDEN_MAX + 1, infer_cnn},
    {"lstm", "embedding.weight", 3, 4, 1, TRIB_TRAINER_HIDDEN_MAX, infer_lstm},
};

enum trib_status trib_native_infer(const struct trib_client_tensor *tensors, size_t tensor_count,
                                   struct trib_trainer_spec *spec, struct trib_error *error) {
    for (size_t i = 0; i < sizeof natives / sizeof natives[0] && tensor_count > 0; i++) {
        const size_t layers = (tensor_count - natives[i].fixed) / natives[i].each;
        if (strcmp(tensors[0].name, natives[i].first) != 0 || tensor_count < natives[i].fixed ||
            tensor_count != natives[i].fixed + layers * natives[i].each ||
            layers < natives[i].layers_min || layers > natives[i].layers_max) {
            continue;
        }
        struct trib_trainer_spec found = {.kind = natives[i].kind};
        const enum trib_status status = natives[i].infer(tensors, tensor_count, &found, error);
        if (status == TRIB_OK) {
            *spec = found;
        }
        return status;
    }
    return trib_error_set(error, TRIB_EUNSUPPORTED,
                          "no native trainer fits this model of %zu tensors; softmax has bias and "
                          "weight, mlp fc1.bias, fc1.weight, fc2.bias, ..., cnn conv1.bias, ..., "
                          "lstm embedding.weight, ...",
                          tensor_count);
}
