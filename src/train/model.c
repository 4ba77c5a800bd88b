/* model.c - what a native model looks like: its layers, its tensors, its first weights.
 *
 * The table below holds what differs between the kinds. Tensors are made in the order of their
 * names, which is the layout order, so each one begins where the one before it ends. */
#include "train/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"

_Static_assert(TRIB_TRAINER_HIDDEN_MAX + 1 == TRIB_NETWORK_LAYERS_MAX, "the last is not hidden");
_Static_assert(TRIB_NETWORK_LAYERS_MAX <= 9, "fc10 would sort before fc2");

#define SLICE_VALUES_MAX (1u << 22) /* float32 of scratch memory: 16 MiB */

#define SIDE_MAX 256   /* reason: one unfolded picture takes up to 52 MB */
#define STEPS_MAX 1024 /* reason: every step of a row is kept until the gradient is done */

struct trib_trainer_model_kind {
    const char *name;
    enum trib_status (*describe)(struct trib_trainer_model *model, const uint32_t *hidden,
                                 uint32_t hidden_count, struct trib_error *error);
    uint32_t hidden[TRIB_TRAINER_HIDDEN_MAX]; /* defaults */
    uint32_t hidden_count;
    uint32_t hidden_count_max;
    bool starts_at_zero;
    bool is_sequence; /* features are symbols in order of time, and each has a label */
};

/* --- the tensors of each kind ----------------------------------------------------------------- */

/* The next tensor in the order of names; its offset in the parameters. columns 0: a vector. */
static size_t add_tensor(struct trib_trainer_model *model, const char *name, size_t rows,
                         size_t columns, double bound) {
    TRIB_ASSERT(model->tensor_count < TRIB_TRAINER_MODEL_TENSORS_MAX);
    const size_t index = model->tensor_count++;
    const size_t offset = model->parameter_count;
    TRIB_ASSERT(index == 0 || strcmp(model->names[index - 1], name) < 0);
    (void)snprintf(model->names[index], sizeof model->names[index], "%s", name);
    model->bounds[index] = bound;
    model->tensors[index] = (struct trib_tensor){
        .name = model->names[index],
        .dtype = TRIB_F32,
        .rank = columns > 0 ? 2 : 1,
        .shape = {rows, columns},
        .element_count = columns > 0 ? rows * columns : rows,
        .byte_offset = offset * sizeof(float),
        .element_offset = offset,
    };
    model->parameter_count += (size_t)model->tensors[index].element_count;
    return offset;
}

/* "fc2.weight", or without a number "fc.weight", or without a prefix "weight". */
static const char *name_of(char *buffer, const char *prefix, size_t number, const char *part) {
    char digits[8] = "";
    if (number > 0) {
        (void)snprintf(digits, sizeof digits, "%zu", number);
    }
    (void)snprintf(buffer, TRIB_TRAINER_MODEL_NAME_BYTES, "%s%s%s%s", prefix, digits,
                   prefix[0] != '\0' ? "." : "", part);
    return buffer;
}

/* Fully connected layers from `inputs` over the hidden ones to the classes. He et al. 2015: the
 * variance of a weight before a ReLU is 2 / inputs; 1 / inputs without. */
static void add_network(struct trib_trainer_model *model, const char *prefix, size_t inputs,
                        const uint32_t *hidden, uint32_t hidden_count) {
    const bool is_numbered = hidden_count > 0;
    const size_t layer_count = (size_t)hidden_count + 1;
    size_t widths[TRIB_NETWORK_LAYERS_MAX + 1] = {inputs};
    for (size_t i = 0; i < hidden_count; i++) {
        widths[i + 1] = hidden[i];
    }
    widths[layer_count] = model->class_count;
    trib_network_place(&model->network, widths, layer_count, model->parameter_count);
    for (size_t i = 0; i < layer_count; i++) {
        char name[TRIB_TRAINER_MODEL_NAME_BYTES];
        const double bound = sqrt((i + 1 < layer_count ? 6.0 : 3.0) / (double)widths[i]);
        const size_t number = is_numbered ? i + 1 : 0;
        const size_t bias =
            add_tensor(model, name_of(name, prefix, number, "bias"), widths[i + 1], 0, 0.0);
        const size_t weight = add_tensor(model, name_of(name, prefix, number, "weight"),
                                         widths[i + 1], widths[i], bound);
        TRIB_ASSERT(bias == model->network.layers[i].bias_offset);
        TRIB_ASSERT(weight == model->network.layers[i].weight_offset);
    }
}

static enum trib_status describe_softmax(struct trib_trainer_model *model, const uint32_t *hidden,
                                         uint32_t hidden_count, struct trib_error *error) {
    (void)error; /* any sizes will do */
    add_network(model, "", model->feature_count, hidden, hidden_count);
    return TRIB_OK;
}

static enum trib_status describe_mlp(struct trib_trainer_model *model, const uint32_t *hidden,
                                     uint32_t hidden_count, struct trib_error *error) {
    (void)error; /* any sizes will do */
    add_network(model, "fc", model->feature_count, hidden, hidden_count);
    return TRIB_OK;
}

static enum trib_status describe_cnn(struct trib_trainer_model *model, const uint32_t *hidden,
                                     uint32_t hidden_count, struct trib_error *error) {
    static const size_t channels[TRIB_TRAINER_MODEL_CONVOLUTIONS + 1] = {1, 32, 64};
    const size_t side = (size_t)lround(sqrt((double)model->feature_count));
    if (side * side != model->feature_count || side % 4 != 0 || side > SIDE_MAX) {
        return trib_error_set(error, TRIB_EINVALID,
                              "cnn: %zu features; must be a square picture, 784 for 28 x 28, with "
                              "a side that four divides and of at most %d",
                              model->feature_count, SIDE_MAX);
    }
    model->convolution_count = TRIB_TRAINER_MODEL_CONVOLUTIONS;
    size_t layer_side = side;
    for (size_t i = 0; i < model->convolution_count; i++, layer_side /= 2) {
        struct trib_convolution *convolution = &model->convolutions[i];
        char name[TRIB_TRAINER_MODEL_NAME_BYTES];
        const size_t taps = TRIB_CONVOLUTION_KERNEL * TRIB_CONVOLUTION_KERNEL;
        convolution->input_channels = channels[i];
        convolution->output_channels = channels[i + 1];
        convolution->side = layer_side;
        convolution->bias_offset =
            add_tensor(model, name_of(name, "conv", i + 1, "bias"), channels[i + 1], 0, 0.0);
        convolution->weight_offset =
            add_tensor(model, name_of(name, "conv", i + 1, "weight"), channels[i + 1],
                       channels[i] * taps, sqrt(6.0 / (double)(channels[i] * taps)));
        struct trib_tensor *weight = &model->tensors[model->tensor_count - 1];
        weight->rank = 4;
        weight->shape[1] = channels[i];
        weight->shape[2] = TRIB_CONVOLUTION_KERNEL;
        weight->shape[3] = TRIB_CONVOLUTION_KERNEL;
    }
    add_network(model, "fc", channels[TRIB_TRAINER_MODEL_CONVOLUTIONS] * layer_side * layer_side,
                hidden, hidden_count);
    return TRIB_OK;
}

/* The tensor `part` of every layer: by name, all of one part come before those of the next. */
static void add_recurrent_part(struct trib_trainer_model *model, const char *part, size_t number) {
    for (size_t i = 0; i < model->recurrence_count; i++) {
        struct trib_recurrence *layer = &model->recurrences[i];
        const struct {
            size_t *offset;
            size_t rows, columns;
        } shapes[] = {
            {&layer->bias_offset, 4 * layer->unit_count, 0},
            {&layer->peephole_offset, 3, layer->unit_count},
            {&layer->hidden_weight_offset, 4 * layer->unit_count, layer->unit_count},
            {&layer->input_weight_offset, 4 * layer->unit_count, layer->input_count},
        };
        char name[TRIB_TRAINER_MODEL_NAME_BYTES];
        (void)snprintf(name, sizeof name, "lstm.%s_l%zu", part, i);
        const bool is_weight = shapes[number].rows == 4 * layer->unit_count && number > 0;
        *shapes[number].offset =
            add_tensor(model, name, shapes[number].rows, shapes[number].columns,
                       is_weight ? 1.0 / sqrt((double)layer->unit_count) : 0.0);
    }
}

static enum trib_status describe_lstm(struct trib_trainer_model *model, const uint32_t *hidden,
                                      uint32_t hidden_count, struct trib_error *error) {
    static const char *const parts[] = {"bias", "peephole", "weight_hh", "weight_ih"};
    if (model->feature_count > STEPS_MAX) {
        return trib_error_set(error, TRIB_EINVALID, "lstm: %zu symbols in a row, at most %d",
                              model->feature_count, STEPS_MAX);
    }
    model->label_count = model->feature_count;
    model->recurrence_count = hidden_count;
    size_t inputs = TRIB_TRAINER_MODEL_EMBEDDING;
    for (size_t i = 0; i < hidden_count; i++) {
        model->recurrences[i].input_count = inputs;
        model->recurrences[i].unit_count = inputs = hidden[i];
        model->recurrences[i].step_count = model->feature_count;
    }
    /* Variance 1, as PyTorch's. */
    model->embedding_offset = add_tensor(model, "embedding.weight", model->class_count,
                                         TRIB_TRAINER_MODEL_EMBEDDING, sqrt(3.0));
    add_network(model, "fc", inputs, NULL, 0);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        add_recurrent_part(model, parts[i], i);
    }
    return TRIB_OK;
}

static const struct trib_trainer_model_kind kinds[] = {
    {.name = "softmax", .describe = describe_softmax, .starts_at_zero = true},
    {.name = "mlp",
     .describe = describe_mlp,
     .hidden = {200, 200},
     .hidden_count = 2,
     .hidden_count_max = TRIB_TRAINER_HIDDEN_MAX},
    {.name = "cnn",
     .describe = describe_cnn,
     .hidden = {512},
     .hidden_count = 1,
     .hidden_count_max = TRIB_TRAINER_HIDDEN_MAX},
    {.name = "lstm",
     .describe = describe_lstm,
     .hidden = {256, 256},
     .hidden_count = 2,
     .hidden_count_max = TRIB_TRAINER_HIDDEN_MAX,
     .is_sequence = true},
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

bool trib_trainer_model_reads_symbols(const struct trib_trainer_model *model) {
    return model->kind->is_sequence;
}

/* --- making one ------------------------------------------------------------------------------- */

static enum trib_status check_sizes(const struct trib_trainer_model_kind *kind,
                                    const struct trib_trainer_spec *spec,
                                    struct trib_error *error) {
    if (spec->hidden_count > kind->hidden_count_max) {
        return trib_error_set(error, TRIB_EINVALID, "%s: %u hidden layers, at most %u", kind->name,
                              spec->hidden_count, kind->hidden_count_max);
    }
    if (spec->feature_count == 0 || spec->feature_count > TRIB_DATASET_FEATURES_MAX) {
        return trib_error_set(error, TRIB_EINVALID, "%s: %zu features, must be 1 to %u", kind->name,
                              spec->feature_count, TRIB_DATASET_FEATURES_MAX);
    }
    if (spec->class_count < 2 || spec->class_count > TRIB_DATASET_CLASSES_MAX) {
        return trib_error_set(error, TRIB_EINVALID, "%s: %u classes, must be 2 to %d", kind->name,
                              spec->class_count, TRIB_DATASET_CLASSES_MAX);
    }
    for (uint32_t i = 0; i < spec->hidden_count; i++) {
        if (spec->hidden[i] == 0 || spec->hidden[i] > TRIB_TRAINER_WIDTH_MAX) {
            return trib_error_set(error, TRIB_EINVALID,
                                  "%s: hidden layer %u has %u units, must be 1 to %d", kind->name,
                                  i + 1, spec->hidden[i], TRIB_TRAINER_WIDTH_MAX);
        }
    }
    return TRIB_OK;
}

static size_t widest_recurrence(const struct trib_trainer_model *model) {
    size_t widest = TRIB_TRAINER_MODEL_EMBEDDING;
    for (size_t i = 0; i < model->recurrence_count; i++) {
        const size_t units = model->recurrences[i].unit_count;
        widest = units > widest ? units : widest;
    }
    return widest;
}

static size_t row_floats(const struct trib_trainer_model *model) {
    size_t count =
        model->feature_count + model->label_count * (1 + trib_network_row_floats(&model->network));
    for (size_t i = 0; i < model->convolution_count; i++) {
        count += trib_convolution_row_floats(&model->convolutions[i]);
    }
    for (size_t i = 0; i < model->recurrence_count; i++) {
        count += trib_recurrence_row_floats(&model->recurrences[i]);
    }
    return count;
}

static enum trib_status reserve(struct trib_trainer_model *model, const struct trib_env *env,
                                struct trib_error *error) {
    const size_t affordable = SLICE_VALUES_MAX / row_floats(model);
    const size_t rows = affordable > TRIB_TRAINER_MODEL_ROWS_MAX ? TRIB_TRAINER_MODEL_ROWS_MAX
                        : affordable > 0                         ? affordable
                                                                 : 1;
    model->env = env;
    model->row_count_max = rows;
    enum trib_status status = trib_products_init(&model->products, error);
    for (size_t i = 0; status == TRIB_OK && i < model->convolution_count; i++) {
        status = trib_convolution_init(&model->convolutions[i], env, &model->products, rows, error);
    }
    for (size_t i = 0; status == TRIB_OK && i < model->recurrence_count; i++) {
        status = trib_recurrence_init(&model->recurrences[i], env, &model->products, rows, error);
    }
    if (status == TRIB_OK) {
        status = trib_network_init(&model->network, env, &model->products,
                                   rows * model->label_count, error);
    }
    if (status != TRIB_OK || model->recurrence_count == 0) {
        return status;
    }
    model->sequence_error_count = rows * model->feature_count * widest_recurrence(model);
    model->sequence_errors =
        trib_allocate(env, model->sequence_error_count, sizeof *model->sequence_errors);
    model->embedded = trib_allocate(env, rows * model->feature_count * TRIB_TRAINER_MODEL_EMBEDDING,
                                    sizeof *model->embedded);
    return model->sequence_errors != NULL && model->embedded != NULL
               ? TRIB_OK
               : trib_error_set(error, TRIB_EMEMORY, "no memory for sequences");
}

enum trib_status trib_trainer_model_init(struct trib_trainer_model *model,
                                         const struct trib_env *env,
                                         const struct trib_trainer_spec *spec,
                                         struct trib_error *error) {
    memset(model, 0, sizeof *model);
    const struct trib_trainer_model_kind *kind = find_kind(spec->kind);
    if (kind == NULL) {
        return trib_error_set(error, TRIB_EINVALID, "no trainer is called '%.32s'", spec->kind);
    }
    enum trib_status status = check_sizes(kind, spec, error);
    if (status != TRIB_OK) {
        return status;
    }
    model->kind = kind;
    model->feature_count = spec->feature_count;
    model->class_count = spec->class_count;
    model->label_count = 1;
    const bool is_default = spec->hidden_count == 0;
    status = kind->describe(model, is_default ? kind->hidden : spec->hidden,
                            is_default ? kind->hidden_count : spec->hidden_count, error);
    if (status == TRIB_OK) {
        status = reserve(model, env, error);
    }
    if (status != TRIB_OK) {
        trib_trainer_model_deinit(model);
    }
    return status;
}

void trib_trainer_model_deinit(struct trib_trainer_model *model) {
    for (size_t i = 0; i < model->convolution_count; i++) {
        trib_convolution_deinit(&model->convolutions[i]);
    }
    for (size_t i = 0; i < model->recurrence_count; i++) {
        trib_recurrence_deinit(&model->recurrences[i]);
    }
    trib_network_deinit(&model->network);
    if (model->env != NULL) {
        trib_release(model->env, model->sequence_errors, model->sequence_error_count,
                     sizeof *model->sequence_errors);
        trib_release(model->env, model->embedded,
                     model->row_count_max * model->feature_count * TRIB_TRAINER_MODEL_EMBEDDING,
                     sizeof *model->embedded);
    }
    memset(model, 0, sizeof *model);
}

void trib_trainer_model_initialise(const struct trib_trainer_model *model, uint64_t seed,
                                   float *parameters) {
    memset(parameters, 0, model->parameter_count * sizeof *parameters);
    for (size_t i = 0; i < model->tensor_count && !model->kind->starts_at_zero; i++) {
        float *values = parameters + model->tensors[i].element_offset;
        const double bound = model->bounds[i];
        struct trib_random random;
        trib_random_derive(&random, seed, model->names[i], 0);
        for (size_t k = 0; bound > 0.0 && k < model->tensors[i].element_count; k++) {
            values[k] = (float)(bound * (2.0 * trib_random_unit(&random) - 1.0));
        }
    }
    /* A cell that forgets nothing at first learns long spans (Jozefowicz et al. 2015, section 2). */
    for (size_t i = 0; i < model->recurrence_count; i++) {
        const size_t units = model->recurrences[i].unit_count;
        float *forget_bias = parameters + model->recurrences[i].bias_offset + units;
        for (size_t k = 0; k < units; k++) {
            forget_bias[k] = 1.0F;
        }
    }
}

/* --- the chain -------------------------------------------------------------------------------- */

/* Rows of symbols into [step][row][embedding]. */
static void embed(struct trib_trainer_model *model, const float *parameters, const float *inputs,
                  size_t row_count) {
    float *to = model->embedded;
    for (size_t step = 0; step < model->feature_count; step++) {
        for (size_t row = 0; row < row_count; row++) {
            const size_t symbol = (size_t)inputs[row * model->feature_count + step];
            TRIB_ASSERT(symbol < model->class_count);
            memcpy(to, parameters + model->embedding_offset + symbol * TRIB_TRAINER_MODEL_EMBEDDING,
                   TRIB_TRAINER_MODEL_EMBEDDING * sizeof *to);
            to += TRIB_TRAINER_MODEL_EMBEDDING;
        }
    }
}

/* What went to a symbol's numbers, added up; errors as `embedded`. */
static void add_embedding(const struct trib_trainer_model *model, const float *inputs,
                          size_t row_count, const float *errors,
                          const struct trib_gradient *gradient) {
    float *values = gradient->values + model->embedding_offset;
    if (gradient->keep == 0.0F) {
        memset(values, 0, model->class_count * TRIB_TRAINER_MODEL_EMBEDDING * sizeof *values);
    }
    for (size_t step = 0; step < model->feature_count; step++) {
        for (size_t row = 0; row < row_count; row++) {
            const size_t symbol = (size_t)inputs[row * model->feature_count + step];
            for (size_t i = 0; i < TRIB_TRAINER_MODEL_EMBEDDING; i++) {
                values[symbol * TRIB_TRAINER_MODEL_EMBEDDING + i] += gradient->scale * *errors++;
            }
        }
    }
}

/* What layer i of the recurrent ones reads. */
static const float *recurrence_inputs(const struct trib_trainer_model *model, size_t i,
                                      size_t row_count) {
    if (i == 0) {
        return model->embedded;
    }
    const struct trib_recurrence *below = &model->recurrences[i - 1];
    return below->hidden + row_count * below->unit_count; /* from the first step on */
}

const float *trib_trainer_model_forward(struct trib_trainer_model *model, const float *parameters,
                                        const float *inputs, size_t row_count) {
    TRIB_ASSERT(row_count > 0 && row_count <= model->row_count_max);
    for (size_t i = 0; i < model->convolution_count; i++) {
        inputs = trib_convolution_forward(&model->convolutions[i], parameters, inputs, row_count);
    }
    if (model->recurrence_count > 0) {
        embed(model, parameters, inputs, row_count);
    }
    for (size_t i = 0; i < model->recurrence_count; i++) {
        inputs = trib_recurrence_forward(&model->recurrences[i], parameters,
                                         recurrence_inputs(model, i, row_count), row_count);
    }
    return trib_network_forward(&model->network, parameters, inputs,
                                row_count * model->label_count);
}

double trib_trainer_model_loss(struct trib_trainer_model *model, const int32_t *labels,
                               size_t row_count, size_t batch_label_count) {
    return trib_network_loss(&model->network, labels, row_count * model->label_count,
                             batch_label_count);
}

static void backward_pictures(struct trib_trainer_model *model, const float *parameters,
                              const float *inputs, size_t row_count,
                              const struct trib_gradient *gradient) {
    for (size_t i = model->convolution_count; i-- > 0;) {
        struct trib_convolution *below = i > 0 ? &model->convolutions[i - 1] : NULL;
        trib_convolution_backward(&model->convolutions[i], parameters,
                                  below != NULL ? below->outputs : inputs, row_count, gradient,
                                  below != NULL ? below->errors : NULL);
    }
}

static void backward_sequences(struct trib_trainer_model *model, const float *parameters,
                               const float *inputs, size_t row_count,
                               const struct trib_gradient *gradient) {
    float *errors = model->sequence_errors;
    for (size_t i = model->recurrence_count; i-- > 0;) {
        trib_recurrence_backward(&model->recurrences[i], parameters,
                                 recurrence_inputs(model, i, row_count), row_count, errors,
                                 gradient, errors);
    }
    add_embedding(model, inputs, row_count, errors, gradient);
}

void trib_trainer_model_backward(struct trib_trainer_model *model, const float *parameters,
                                 const float *inputs, size_t row_count,
                                 const struct trib_gradient *gradient) {
    struct trib_network *network = &model->network;
    const size_t rows = row_count * model->label_count;
    if (model->convolution_count > 0) {
        struct trib_convolution *last = &model->convolutions[model->convolution_count - 1];
        trib_network_backward(network, parameters, last->outputs, rows, gradient, last->errors);
        backward_pictures(model, parameters, inputs, row_count, gradient);
    } else if (model->recurrence_count > 0) {
        trib_network_backward(network, parameters,
                              recurrence_inputs(model, model->recurrence_count, row_count), rows,
                              gradient, model->sequence_errors);
        backward_sequences(model, parameters, inputs, row_count, gradient);
    } else {
        trib_network_backward(network, parameters, inputs, rows, gradient, NULL);
    }
}
