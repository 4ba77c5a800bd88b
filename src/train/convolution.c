/* convolution.c - one layer of a picture network: 5x5 convolution, 2x2 max pooling, ReLU.
 *
 * A picture is unfolded so that the convolution is one matrix product: row (c, ky, kx) of `columns`
 * is channel c moved by (ky - 2, kx - 2). One picture at a time, so that what is unfolded (25 times
 * the inputs) stays in the second-level cache. */
#include "train/convolution.h"

#include <string.h>

#define KERNEL TRIB_CONVOLUTION_KERNEL
#define TAPS (KERNEL * KERNEL)
#define MARGIN (KERNEL / 2)

static size_t pixel_count(const struct trib_convolution *convolution) {
    return convolution->side * convolution->side;
}

static size_t weight_count(const struct trib_convolution *convolution) {
    return convolution->output_channels * convolution->input_channels * TAPS;
}

size_t trib_convolution_parameter_count(const struct trib_convolution *convolution) {
    return convolution->output_channels + weight_count(convolution);
}

size_t trib_convolution_outputs_per_row(const struct trib_convolution *convolution) {
    return convolution->output_channels * pixel_count(convolution) / 4;
}

size_t trib_convolution_row_floats(const struct trib_convolution *convolution) {
    return 2 * trib_convolution_outputs_per_row(convolution);
}

enum trib_status trib_convolution_init(struct trib_convolution *convolution,
                                       const struct trib_env *env, struct trib_products *products,
                                       size_t row_count_max, struct trib_error *error) {
    const size_t output_count = row_count_max * trib_convolution_outputs_per_row(convolution);
    const size_t column_count = convolution->input_channels * TAPS * pixel_count(convolution);
    const size_t plane_count = convolution->output_channels * pixel_count(convolution);
    TRIB_ASSERT(convolution->side % 2 == 0);
    convolution->env = env;
    convolution->products = products;
    convolution->winner_count = output_count;
    convolution->winners = trib_allocate(env, output_count, sizeof *convolution->winners);
    convolution->scratch_count = 2 * output_count + column_count + plane_count +
                                 weight_count(convolution) + convolution->output_channels;
    convolution->scratch =
        trib_allocate(env, convolution->scratch_count, sizeof *convolution->scratch);
    if (convolution->scratch == NULL || convolution->winners == NULL) {
        trib_convolution_deinit(convolution);
        return trib_error_set(error, TRIB_EMEMORY, "no memory for a convolution");
    }
    convolution->outputs = convolution->scratch;
    convolution->errors = convolution->outputs + output_count;
    convolution->columns = convolution->errors + output_count;
    convolution->planes = convolution->columns + column_count;
    convolution->weight_errors = convolution->planes + plane_count;
    convolution->bias_errors = convolution->weight_errors + weight_count(convolution);
    return TRIB_OK;
}

void trib_convolution_deinit(struct trib_convolution *convolution) {
    if (convolution->env != NULL) {
        trib_release(convolution->env, convolution->scratch, convolution->scratch_count,
                     sizeof *convolution->scratch);
        trib_release(convolution->env, convolution->winners, convolution->winner_count,
                     sizeof *convolution->winners);
    }
    memset(convolution, 0, sizeof *convolution);
}

/* The part of a line of `side` pixels that is still there when it has moved by `shift`. */
struct span {
    size_t to;    /* first pixel written */
    size_t from;  /* first pixel read */
    size_t count; /* may be 0 */
};

static struct span shifted(size_t side, size_t tap) {
    const size_t to = tap < MARGIN ? MARGIN - tap : 0;
    const size_t from = tap > MARGIN ? tap - MARGIN : 0;
    return (struct span){to, from, side > to + from ? side - to - from : 0};
}

static void unfold(struct trib_convolution *convolution, const float *picture) {
    const size_t side = convolution->side;
    float *row = convolution->columns;
    for (size_t channel = 0; channel < convolution->input_channels; channel++) {
        const float *plane = picture + channel * side * side;
        for (size_t tap = 0; tap < TAPS; tap++, row += side * side) {
            const struct span y = shifted(side, tap / KERNEL);
            const struct span x = shifted(side, tap % KERNEL);
            memset(row, 0, side * side * sizeof *row);
            for (size_t line = 0; line < y.count; line++) {
                memcpy(row + (y.to + line) * side + x.to, plane + (y.from + line) * side + x.from,
                       x.count * sizeof *row);
            }
        }
    }
}

/* The other way round: what was copied is added up. */
static void fold(const struct trib_convolution *convolution, float *picture) {
    const size_t side = convolution->side;
    const float *row = convolution->columns;
    memset(picture, 0, convolution->input_channels * side * side * sizeof *picture);
    for (size_t channel = 0; channel < convolution->input_channels; channel++) {
        float *plane = picture + channel * side * side;
        for (size_t tap = 0; tap < TAPS; tap++, row += side * side) {
            const struct span y = shifted(side, tap / KERNEL);
            const struct span x = shifted(side, tap % KERNEL);
            for (size_t line = 0; line < y.count; line++) {
                float *to = plane + (y.from + line) * side + x.from;
                const float *from = row + (y.to + line) * side + x.to;
                for (size_t i = 0; i < x.count; i++) {
                    to[i] += from[i];
                }
            }
        }
    }
}

/* The first when they are equal, as everywhere here. */
static inline float fmax_of(float first, float second) {
    return second > first ? second : first;
}

/* Of equal ones the first wins, in reading order. */
static void pool(const struct trib_convolution *convolution, const float *bias, float *outputs,
                 uint8_t *winners) {
    const size_t side = convolution->side;
    for (size_t channel = 0; channel < convolution->output_channels; channel++) {
        const float *plane = convolution->planes + channel * side * side;
        for (size_t y = 0; y < side; y += 2) {
            const float *above = plane + y * side;
            const float *below = above + side;
            for (size_t x = 0; x < side / 2; x++) {
                /* Selections, not branches: who wins is as good as random. */
                const float top = fmax_of(above[2 * x], above[2 * x + 1]);
                const float bottom = fmax_of(below[2 * x], below[2 * x + 1]);
                const unsigned top_winner = above[2 * x + 1] > above[2 * x];
                const unsigned bottom_winner = 2u + (below[2 * x + 1] > below[2 * x]);
                const unsigned is_below = bottom > top;
                const float value = fmax_of(top, bottom) + bias[channel];
                winners[x] = (uint8_t)(top_winner + is_below * (bottom_winner - top_winner));
                outputs[x] = value > 0.0F ? value : 0.0F;
            }
            winners += side / 2;
            outputs += side / 2;
        }
    }
}

/* Errors go back to where the largest came from, if the ReLU let it through. */
static void unpool(struct trib_convolution *convolution, const float *outputs, const float *errors,
                   const uint8_t *winners) {
    const size_t side = convolution->side;
    memset(convolution->planes, 0,
           convolution->output_channels * side * side * sizeof *convolution->planes);
    for (size_t channel = 0; channel < convolution->output_channels; channel++) {
        float *plane = convolution->planes + channel * side * side;
        float sum = 0.0F;
        for (size_t y = 0; y < side; y += 2) {
            for (size_t x = 0; x < side; x += 2) {
                const float error = *outputs++ > 0.0F ? *errors : 0.0F;
                const uint8_t winner = *winners++;
                plane[(y + winner / 2) * side + x + winner % 2] = error;
                sum += error;
                errors++;
            }
        }
        convolution->bias_errors[channel] += sum;
    }
}

const float *trib_convolution_forward(struct trib_convolution *convolution, const float *parameters,
                                      const float *inputs, size_t row_count) {
    const size_t pixels = pixel_count(convolution);
    const size_t output_count = trib_convolution_outputs_per_row(convolution);
    const struct trib_product planes = {
        .rows = convolution->output_channels,
        .columns = pixels,
        .depth = convolution->input_channels * TAPS,
        .a = parameters + convolution->weight_offset,
        .a_stride = convolution->input_channels * TAPS,
        .b = convolution->columns,
        .b_stride = pixels,
        .scale = 1.0F,
        .out = convolution->planes,
        .out_stride = pixels,
    };
    for (size_t row = 0; row < row_count; row++) {
        unfold(convolution, inputs + row * convolution->input_channels * pixels);
        trib_multiply(convolution->products, &planes);
        pool(convolution, parameters + convolution->bias_offset,
             convolution->outputs + row * output_count, convolution->winners + row * output_count);
    }
    return convolution->outputs;
}

void trib_convolution_backward(struct trib_convolution *convolution, const float *parameters,
                               const float *inputs, size_t row_count,
                               const struct trib_gradient *gradient, float *input_errors) {
    const size_t pixels = pixel_count(convolution);
    const size_t depth = convolution->input_channels * TAPS;
    const size_t output_count = trib_convolution_outputs_per_row(convolution);
    const size_t input_count = convolution->input_channels * pixels;
    struct trib_product weights = {
        .rows = convolution->output_channels,
        .columns = depth,
        .depth = pixels,
        .a = convolution->planes,
        .a_stride = pixels,
        .b = convolution->columns,
        .b_stride = pixels,
        .is_b_transposed = true,
        .scale = 1.0F,
        .out = convolution->weight_errors,
        .out_stride = depth,
    };
    const struct trib_product columns = {
        .rows = depth,
        .columns = pixels,
        .depth = convolution->output_channels,
        .a = parameters + convolution->weight_offset,
        .a_stride = depth,
        .is_a_transposed = true,
        .b = convolution->planes,
        .b_stride = pixels,
        .scale = 1.0F,
        .out = convolution->columns,
        .out_stride = pixels,
    };
    memset(convolution->bias_errors, 0,
           convolution->output_channels * sizeof *convolution->bias_errors);
    for (size_t row = 0; row < row_count; row++) {
        unpool(convolution, convolution->outputs + row * output_count,
               convolution->errors + row * output_count, convolution->winners + row * output_count);
        unfold(convolution, inputs + row * input_count);
        trib_multiply(convolution->products, &weights);
        weights.keep = 1.0F;
        if (input_errors != NULL) {
            trib_multiply(convolution->products, &columns);
            fold(convolution, input_errors + row * input_count);
        }
    }
    trib_gradient_add(gradient, convolution->bias_offset, convolution->bias_errors,
                      convolution->output_channels);
    trib_gradient_add(gradient, convolution->weight_offset, convolution->weight_errors,
                      weight_count(convolution));
}
