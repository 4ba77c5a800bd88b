/* convolution.h - one layer of a picture network: 5x5 convolution, 2x2 max pooling, ReLU.
 *
 *   inputs [rows][channels in][side][side]
 *     -> convolution with a margin of zeros that keeps the side
 *     -> the largest of each 2x2 square, plus bias, ReLU (pooling first: it commutes with both)
 *     -> outputs [rows][channels out][side / 2][side / 2]
 *
 * Parameters: bias [channels out], weight [channels out, channels in, 5, 5].
 * Source: McMahan et al. 2017, section 3, the CNN for MNIST. */
#ifndef TRIB_TRAIN_CONVOLUTION_H
#define TRIB_TRAIN_CONVOLUTION_H

#include "base/env.h"
#include "train/products.h"

#define TRIB_CONVOLUTION_KERNEL 5 /* pixels, each way */

struct trib_convolution {
    /* read-only */
    size_t input_channels, output_channels;
    size_t side; /* of the inputs, even */
    size_t bias_offset, weight_offset;
    float *outputs; /* of the last forward */
    float *errors;  /* for the owner to fill: d loss / d outputs */

    /* private */
    const struct trib_env *env;
    struct trib_products *products;
    float *scratch;
    size_t scratch_count;
    uint8_t *winners; /* [rows][outputs of a row]: which of the four was the largest */
    size_t winner_count;
    float *columns;       /* [channels in * 25][side * side]: one picture unfolded */
    float *planes;        /* [channels out][side * side]: of one picture, before pooling */
    float *weight_errors; /* as the weights */
    float *bias_errors;
};

size_t trib_convolution_parameter_count(const struct trib_convolution *convolution);
size_t trib_convolution_outputs_per_row(const struct trib_convolution *convolution);
/* floats of scratch memory per row. */
size_t trib_convolution_row_floats(const struct trib_convolution *convolution);

/* Scratch memory for slices of at most row_count_max rows; channels, side and offsets are set by
 * the caller, all else is zero. products is kept. TRIB_EMEMORY. */
enum trib_status trib_convolution_init(struct trib_convolution *convolution,
                                       const struct trib_env *env, struct trib_products *products,
                                       size_t row_count_max, struct trib_error *error);
void trib_convolution_deinit(struct trib_convolution *convolution); /* all-zero is safe */

/* Returns `outputs`, valid until the next forward. */
const float *trib_convolution_forward(struct trib_convolution *convolution, const float *parameters,
                                      const float *inputs, size_t row_count);
/* From `errors`: the gradient (values may be the parameters) and, unless NULL, the errors of the
 * inputs, which are written. Same inputs and row_count as forward. */
void trib_convolution_backward(struct trib_convolution *convolution, const float *parameters,
                               const float *inputs, size_t row_count,
                               const struct trib_gradient *gradient, float *input_errors);

#endif
