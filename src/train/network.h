/* network.h - the arithmetic of fully connected layers: outputs, loss, gradient.
 *
 * Rows go through in slices of at most row_count_max, so that scratch memory does not depend on
 * the batch. One caller at a time. A slice is worked on in three calls, in this order:
 *
 *     trib_network_forward(network, parameters, inputs, row_count);
 *     loss += trib_network_loss(network, labels, row_count, batch_row_count);
 *     trib_network_backward(network, parameters, inputs, row_count, keep, gradient);
 */
#ifndef TRIB_TRAIN_NETWORK_H
#define TRIB_TRAIN_NETWORK_H

#include "base/env.h"
#include "base/status.h"

#define TRIB_NETWORK_LAYERS_MAX 9

struct trib_network_layer {
    size_t input_count;   /* read-only */
    size_t output_count;  /* read-only */
    size_t bias_offset;   /* read-only: in the parameters, [output_count] */
    size_t weight_offset; /* read-only: in the parameters, [output_count][input_count] */
    float *outputs;       /* read-only: [rows][output_count]; after ReLU but in the last layer */
    float *errors;        /* private: d loss / d (outputs before ReLU), same shape */
};

struct trib_network {
    /* read-only */
    struct trib_network_layer layers[TRIB_NETWORK_LAYERS_MAX];
    size_t layer_count;
    size_t parameter_count; /* bias before weight, first layer first, nothing between them */
    size_t row_count_max;   /* rows of a slice */

    /* private */
    const struct trib_env *env;
    float *scratch;
    size_t scratch_count;
    int failure; /* the first dnnl_status_t that was not success */
};

/* widths[layer_count + 1]: features, hidden units, classes; all > 0. TRIB_EMEMORY;
 * TRIB_EUNSUPPORTED: oneDNN does not work here. */
enum trib_status trib_network_init(struct trib_network *network, const struct trib_env *env,
                                   const size_t *widths, size_t layer_count,
                                   struct trib_error *error);
void trib_network_deinit(struct trib_network *network); /* all-zero is safe */

/* Call on the thread that will compute, before it does: oneDNN shall not start helpers. */
void trib_network_use_one_thread(void);

/* The last layer's outputs for a slice.
 * inputs  float32[row_count][features], 0 < row_count <= row_count_max.
 * Returns float32[row_count][classes] in scratch memory, valid until the next forward. */
const float *trib_network_forward(struct trib_network *network, const float *parameters,
                                  const float *inputs, size_t row_count);

/* Sum of the cross-entropies of the last forward, in nats, computed from the outputs in double.
 * Leaves (softmax - one hot) / batch_row_count for backward, so that the gradient is that of the
 * mean over a batch of which the slice is a part. */
double trib_network_loss(struct trib_network *network, const int32_t *labels, size_t row_count,
                         size_t batch_row_count);

/* gradient = keep * gradient + that of the slice; keep 0 (contents do not matter) or 1.
 * Same inputs and row_count as forward. gradient is not parameters. */
void trib_network_backward(struct trib_network *network, const float *parameters,
                           const float *inputs, size_t row_count, float keep, float *gradient);

/* TRIB_OK while every product has worked; a failure stays. */
enum trib_status trib_network_check(const struct trib_network *network, struct trib_error *error);

#endif
