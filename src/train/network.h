/* network.h - the arithmetic of fully connected layers: outputs, loss, gradient.
 *
 * Rows go through in slices, so that scratch memory does not depend on the batch. One caller at a time. A slice is worked on in three calls, in this order:
 *
 *     trib_network_forward(network, parameters, inputs, row_count);
 *     loss += trib_network_loss(network, labels, row_count, batch_label_count);
 *     trib_network_backward(network, parameters, inputs, row_count, &gradient, input_errors);
 */
#ifndef TRIB_TRAIN_NETWORK_H
#define TRIB_TRAIN_NETWORK_H

#include "base/env.h"
#include "train/products.h"

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

    /* private */
    const struct trib_env *env;
    struct trib_products *products;
    float *scratch;
    size_t scratch_count;
    float *row_sum; /* [widest output] */
};

/* The layers and where their numbers lie, without scratch memory.
 * widths  [layer_count + 1]: features, hidden units, classes; all > 0.
 * first   offset of the first layer's bias in the parameters. */
void trib_network_place(struct trib_network *network, const size_t *widths, size_t layer_count,
                        size_t first);
/* floats of scratch memory per row. */
size_t trib_network_row_floats(const struct trib_network *network);
/* Scratch memory for slices of at most row_count_max rows, once placed. products is kept.
 * TRIB_EMEMORY. */
enum trib_status trib_network_init(struct trib_network *network, const struct trib_env *env,
                                   struct trib_products *products, size_t row_count_max,
                                   struct trib_error *error);
void trib_network_deinit(struct trib_network *network); /* all-zero is safe */

/* The last layer's outputs for a slice.
 * inputs  float32[row_count][features], 0 < row_count <= row_count_max.
 * Returns float32[row_count][classes] in scratch memory, valid until the next forward. */
const float *trib_network_forward(struct trib_network *network, const float *parameters,
                                  const float *inputs, size_t row_count);

/* Sum of the cross-entropies of the last forward, in nats, computed from the outputs in double.
 * Leaves (softmax - one hot) / batch_label_count for backward, so that the gradient is that of the
 * mean over a batch of which the slice is a part.
 * labels  [row_count], < classes; a row with a label below 0 has no loss and no error. */
double trib_network_loss(struct trib_network *network, const int32_t *labels, size_t row_count,
                         size_t batch_label_count);

/* Add the gradient of the slice; same inputs and row_count as forward. gradient->values may be the
 * parameters: every weight is read before it is written.
 * input_errors  [row_count][features], written: d loss / d inputs; NULL: not wanted. */
void trib_network_backward(struct trib_network *network, const float *parameters,
                           const float *inputs, size_t row_count,
                           const struct trib_gradient *gradient, float *input_errors);

#endif
