/* network.c - the arithmetic of fully connected layers: outputs, loss, gradient. */
#include "train/network.h"

#include <math.h>
#include <string.h>

#include "train/activation.h"

/* Rows of scratch matrices begin at multiples of 64 bytes when the widths allow it. */
#define ALIGNED_FLOATS 16

static size_t round_up(size_t count) {
    return (count + ALIGNED_FLOATS - 1) / ALIGNED_FLOATS * ALIGNED_FLOATS;
}

void trib_network_place(struct trib_network *network, const size_t *widths, size_t layer_count,
                        size_t first) {
    TRIB_ASSERT(layer_count > 0 && layer_count <= TRIB_NETWORK_LAYERS_MAX);
    memset(network, 0, sizeof *network);
    network->layer_count = layer_count;
    size_t offset = first;
    for (size_t i = 0; i < layer_count; i++) {
        struct trib_network_layer *layer = &network->layers[i];
        layer->input_count = widths[i];
        layer->output_count = widths[i + 1];
        layer->bias_offset = offset;
        layer->weight_offset = offset + layer->output_count;
        offset = layer->weight_offset + layer->output_count * layer->input_count;
    }
    network->parameter_count = offset - first;
}

size_t trib_network_row_floats(const struct trib_network *network) {
    size_t count = 0;
    for (size_t i = 0; i < network->layer_count; i++) {
        count += 2 * network->layers[i].output_count;
    }
    return count;
}

enum trib_status trib_network_init(struct trib_network *network, const struct trib_env *env,
                                   struct trib_products *products, size_t row_count_max,
                                   struct trib_error *error) {
    size_t widest = 0;
    network->env = env;
    network->products = products;
    network->scratch_count = 0;
    for (size_t i = 0; i < network->layer_count; i++) {
        const size_t width = network->layers[i].output_count;
        network->scratch_count += 2 * round_up(row_count_max * width);
        widest = width > widest ? width : widest;
    }
    network->scratch_count += widest;
    network->scratch = trib_allocate(env, network->scratch_count, sizeof *network->scratch);
    if (network->scratch == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for the network's scratch space");
    }
    float *next = network->scratch;
    for (size_t i = 0; i < network->layer_count; i++) {
        struct trib_network_layer *layer = &network->layers[i];
        layer->outputs = next;
        next += round_up(row_count_max * layer->output_count);
        layer->errors = next;
        next += round_up(row_count_max * layer->output_count);
    }
    network->row_sum = next;
    return TRIB_OK;
}

void trib_network_deinit(struct trib_network *network) {
    if (network->env != NULL) {
        trib_release(network->env, network->scratch, network->scratch_count,
                     sizeof *network->scratch);
    }
    memset(network, 0, sizeof *network);
}

static void apply_relu(float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        values[i] = values[i] > 0.0F ? values[i] : 0.0F;
    }
}

const float *trib_network_forward(struct trib_network *network, const float *parameters,
                                  const float *inputs, size_t row_count) {
    for (size_t i = 0; i < network->layer_count; i++) {
        const struct trib_network_layer *layer = &network->layers[i];
        for (size_t row = 0; row < row_count; row++) {
            memcpy(layer->outputs + row * layer->output_count, parameters + layer->bias_offset,
                   layer->output_count * sizeof *layer->outputs);
        }
        const struct trib_product outputs = {
            .rows = row_count,
            .columns = layer->output_count,
            .depth = layer->input_count,
            .a = inputs,
            .a_stride = layer->input_count,
            .b = parameters + layer->weight_offset,
            .b_stride = layer->input_count,
            .is_b_transposed = true,
            .scale = 1.0F,
            .keep = 1.0F,
            .out = layer->outputs,
            .out_stride = layer->output_count,
        };
        trib_multiply(network->products, &outputs);
        if (i + 1 < network->layer_count) {
            apply_relu(layer->outputs, row_count * layer->output_count);
        }
        inputs = layer->outputs;
    }
    return inputs;
}

double trib_network_loss(struct trib_network *network, const int32_t *labels, size_t row_count,
                         size_t batch_label_count) {
    const struct trib_network_layer *last = &network->layers[network->layer_count - 1];
    const size_t class_count = last->output_count;
    double loss = 0.0;
    for (size_t row = 0; row < row_count; row++) {
        const float *outputs = last->outputs + row * class_count;
        float *errors = last->errors + row * class_count;
        if (labels[row] < 0) {
            memset(errors, 0, class_count * sizeof *errors);
            continue;
        }
        const size_t label = (size_t)labels[row];
        float largest = outputs[0];
        for (size_t i = 1; i < class_count; i++) {
            largest = fmaxf(largest, outputs[i]);
        }
        for (size_t i = 0; i < class_count; i++) {
            errors[i] = trib_exp(outputs[i] - largest);
        }
        double total = 0.0;
        for (size_t i = 0; i < class_count; i++) {
            total += (double)errors[i];
        }
        loss += log(total) - ((double)outputs[label] - (double)largest);
        const float scale = (float)(1.0 / (total * (double)batch_label_count));
        for (size_t i = 0; i < class_count; i++) {
            errors[i] *= scale;
        }
        errors[label] -= (float)(1.0 / (double)batch_label_count);
    }
    return loss;
}

/* ReLU passes an error where its output was positive. */
static void mask_errors(float *errors, const float *outputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        errors[i] = outputs[i] > 0.0F ? errors[i] : 0.0F;
    }
}

void trib_network_backward(struct trib_network *network, const float *parameters,
                           const float *inputs, size_t row_count,
                           const struct trib_gradient *gradient, float *input_errors) {
    for (size_t i = network->layer_count; i-- > 0;) {
        const struct trib_network_layer *layer = &network->layers[i];
        const struct trib_network_layer *below = i > 0 ? &network->layers[i - 1] : NULL;
        float *errors_below = below != NULL ? below->errors : input_errors;
        if (errors_below != NULL) { /* first: the gradient may go to the weights themselves */
            const struct trib_product errors = {
                .rows = row_count,
                .columns = layer->input_count,
                .depth = layer->output_count,
                .a = layer->errors,
                .a_stride = layer->output_count,
                .b = parameters + layer->weight_offset,
                .b_stride = layer->input_count,
                .scale = 1.0F,
                .out = errors_below,
                .out_stride = layer->input_count,
            };
            trib_multiply(network->products, &errors);
        }
        if (below != NULL) {
            mask_errors(below->errors, below->outputs, row_count * below->output_count);
        }
        const struct trib_product weights = {
            .rows = layer->output_count,
            .columns = layer->input_count,
            .depth = row_count,
            .a = layer->errors,
            .a_stride = layer->output_count,
            .is_a_transposed = true,
            .b = below != NULL ? below->outputs : inputs,
            .b_stride = layer->input_count,
            .scale = gradient->scale,
            .keep = gradient->keep,
            .out = gradient->values + layer->weight_offset,
            .out_stride = layer->input_count,
        };
        trib_multiply(network->products, &weights);
        trib_gradient_add_rows(gradient, layer->bias_offset, layer->errors, row_count,
                               layer->output_count, network->row_sum);
    }
}
