/* network.c - the arithmetic of fully connected layers: outputs, loss, gradient.
 *
 * Products are dnnl_sgemm(), not inner product primitives: the weights change with every step, so
 * there is nothing to gain from a packed layout, and any batch size works without making
 * primitives for it. A training step of 784-200-200-10 took 0.14 ms at 10 rows and 0.54 ms at 50
 * (one core of an AMD EPYC with AVX-512, oneDNN 2.6.3, November 2026). */
#include "train/network.h"

#include <math.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

/* A slice is this many rows, fewer when a layer is so wide that they would not stay in cache. */
#define SLICE_ROWS_MAX 256
#define SLICE_VALUES_MAX (1u << 22)

/* Rows of scratch matrices begin at multiples of 64 bytes when the widths allow it. */
#define ALIGNED_FLOATS 16

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
/* oneDNN has no call of its own for this. <omp.h> belongs to the compiler, not to the library that
 * oneDNN was linked with, so the prototype (OpenMP 5.0, section 3.2.1) stands here. */
extern void omp_set_num_threads(int thread_count);

void trib_network_use_one_thread(void) {
    omp_set_num_threads(1);
}
#elif DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_SEQ
void trib_network_use_one_thread(void) {
}
#else
#error "oneDNN must be built for OpenMP or for one thread"
#endif

static size_t round_up(size_t count) {
    return (count + ALIGNED_FLOATS - 1) / ALIGNED_FLOATS * ALIGNED_FLOATS;
}

static void remember(struct trib_network *network, dnnl_status_t status) {
    if (network->failure == dnnl_success) {
        network->failure = status;
    }
}

/* Where each layer's numbers lie among the parameters; returns the widest layer. */
static size_t place_layers(struct trib_network *network, const size_t *widths) {
    size_t widest = widths[0];
    size_t offset = 0;
    for (size_t i = 0; i < network->layer_count; i++) {
        struct trib_network_layer *layer = &network->layers[i];
        layer->input_count = widths[i];
        layer->output_count = widths[i + 1];
        layer->bias_offset = offset;
        layer->weight_offset = offset + layer->output_count;
        offset = layer->weight_offset + layer->output_count * layer->input_count;
        if (layer->output_count > widest) {
            widest = layer->output_count;
        }
    }
    network->parameter_count = offset;
    return widest;
}

/* One small product shows whether the library can run its kernels here at all. */
static void try_product(struct trib_network *network) {
    const float two = 2.0F;
    float four = 0.0F;
    remember(network, dnnl_sgemm('N', 'N', 1, 1, 1, 1.0F, &two, 1, &two, 1, 0.0F, &four, 1));
    if (four != 4.0F) {
        remember(network, dnnl_runtime_error);
    }
}

enum trib_status trib_network_init(struct trib_network *network, const struct trib_env *env,
                                   const size_t *widths, size_t layer_count,
                                   struct trib_error *error) {
    TRIB_ASSERT(layer_count > 0 && layer_count <= TRIB_NETWORK_LAYERS_MAX);
    memset(network, 0, sizeof *network);
    network->env = env;
    network->layer_count = layer_count;
    const size_t widest = place_layers(network, widths);
    network->row_count_max = SLICE_VALUES_MAX / widest;
    if (network->row_count_max > SLICE_ROWS_MAX) {
        network->row_count_max = SLICE_ROWS_MAX;
    }
    TRIB_ASSERT(network->row_count_max > 0);

    for (size_t i = 0; i < layer_count; i++) {
        network->scratch_count +=
            2 * round_up(network->row_count_max * network->layers[i].output_count);
    }
    network->scratch = trib_allocate(env, network->scratch_count, sizeof *network->scratch);
    if (network->scratch == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for the network's scratch space");
    }
    float *next = network->scratch;
    for (size_t i = 0; i < layer_count; i++) {
        struct trib_network_layer *layer = &network->layers[i];
        layer->outputs = next;
        next += round_up(network->row_count_max * layer->output_count);
        layer->errors = next;
        next += round_up(network->row_count_max * layer->output_count);
    }

    trib_network_use_one_thread();
    try_product(network);
    const enum trib_status status = trib_network_check(network, error);
    if (status != TRIB_OK) {
        trib_network_deinit(network);
    }
    return status;
}

void trib_network_deinit(struct trib_network *network) {
    if (network->env != NULL) {
        trib_release(network->env, network->scratch, network->scratch_count,
                     sizeof *network->scratch);
    }
    memset(network, 0, sizeof *network);
}

enum trib_status trib_network_check(const struct trib_network *network, struct trib_error *error) {
    const dnnl_status_t failure = (dnnl_status_t)network->failure;
    if (failure == dnnl_success) {
        return TRIB_OK;
    }
    return trib_error_set(error, failure == dnnl_out_of_memory ? TRIB_EMEMORY : TRIB_EUNSUPPORTED,
                          "oneDNN cannot multiply matrices: %s", dnnl_status2str(failure));
}

static void apply_relu(float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        values[i] = values[i] > 0.0F ? values[i] : 0.0F;
    }
}

const float *trib_network_forward(struct trib_network *network, const float *parameters,
                                  const float *inputs, size_t row_count) {
    TRIB_ASSERT(row_count > 0 && row_count <= network->row_count_max);
    for (size_t i = 0; i < network->layer_count; i++) {
        const struct trib_network_layer *layer = &network->layers[i];
        const dnnl_dim_t rows = (dnnl_dim_t)row_count;
        const dnnl_dim_t outs = (dnnl_dim_t)layer->output_count;
        const dnnl_dim_t ins = (dnnl_dim_t)layer->input_count;
        for (size_t row = 0; row < row_count; row++) {
            memcpy(layer->outputs + row * layer->output_count, parameters + layer->bias_offset,
                   layer->output_count * sizeof *layer->outputs);
        }
        /* outputs[rows][outs] += inputs[rows][ins] * weight[outs][ins]^T */
        remember(network,
                 dnnl_sgemm('N', 'T', rows, outs, ins, 1.0F, inputs, ins,
                            parameters + layer->weight_offset, ins, 1.0F, layer->outputs, outs));
        if (i + 1 < network->layer_count) {
            apply_relu(layer->outputs, row_count * layer->output_count);
        }
        inputs = layer->outputs;
    }
    return inputs;
}

double trib_network_loss(struct trib_network *network, const int32_t *labels, size_t row_count,
                         size_t batch_row_count) {
    const struct trib_network_layer *last = &network->layers[network->layer_count - 1];
    const size_t class_count = last->output_count;
    double loss = 0.0;
    for (size_t row = 0; row < row_count; row++) {
        const float *outputs = last->outputs + row * class_count;
        float *errors = last->errors + row * class_count;
        const size_t label = (size_t)labels[row];
        float largest = outputs[0];
        for (size_t i = 1; i < class_count; i++) {
            largest = fmaxf(largest, outputs[i]);
        }
        double total = 0.0;
        for (size_t i = 0; i < class_count; i++) {
            errors[i] = expf(outputs[i] - largest);
            total += (double)errors[i];
        }
        loss += log(total) - ((double)outputs[label] - (double)largest);
        const float scale = (float)(1.0 / (total * (double)batch_row_count));
        for (size_t i = 0; i < class_count; i++) {
            errors[i] *= scale;
        }
        errors[label] -= (float)(1.0 / (double)batch_row_count);
    }
    return loss;
}

/* bias gradient: the errors summed over the rows, in row order. */
static void add_rows(const float *errors, size_t row_count, size_t width, float keep, float *sum) {
    if (keep == 0.0F) {
        memset(sum, 0, width * sizeof *sum);
    }
    for (size_t row = 0; row < row_count; row++) {
        for (size_t i = 0; i < width; i++) {
            sum[i] += errors[row * width + i];
        }
    }
}

/* ReLU passes an error where its output was positive. */
static void mask_errors(float *errors, const float *outputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        errors[i] = outputs[i] > 0.0F ? errors[i] : 0.0F;
    }
}

void trib_network_backward(struct trib_network *network, const float *parameters,
                           const float *inputs, size_t row_count, float keep, float *gradient) {
    for (size_t i = network->layer_count; i-- > 0;) {
        const struct trib_network_layer *layer = &network->layers[i];
        const struct trib_network_layer *below = i > 0 ? &network->layers[i - 1] : NULL;
        const float *layer_inputs = below != NULL ? below->outputs : inputs;
        const dnnl_dim_t rows = (dnnl_dim_t)row_count;
        const dnnl_dim_t outs = (dnnl_dim_t)layer->output_count;
        const dnnl_dim_t ins = (dnnl_dim_t)layer->input_count;
        /* weight gradient[outs][ins] = errors[rows][outs]^T * inputs[rows][ins] */
        remember(network,
                 dnnl_sgemm('T', 'N', outs, ins, rows, 1.0F, layer->errors, outs, layer_inputs, ins,
                            keep, gradient + layer->weight_offset, ins));
        add_rows(layer->errors, row_count, layer->output_count, keep,
                 gradient + layer->bias_offset);
        if (below != NULL) {
            /* errors below[rows][ins] = errors[rows][outs] * weight[outs][ins] */
            remember(network,
                     dnnl_sgemm('N', 'N', rows, ins, outs, 1.0F, layer->errors, outs,
                                parameters + layer->weight_offset, ins, 0.0F, below->errors, ins));
            mask_errors(below->errors, below->outputs, row_count * below->output_count);
        }
    }
}
