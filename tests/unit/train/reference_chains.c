/* reference_chains.c - the picture and the sequence model written down a second time, in double,
 * one row and one number at a time. */
#include "reference_chains.h"

#include <math.h>
#include <stdlib.h>

#include "support/check.h"

static double *zeros(size_t count) {
    double *values = calloc(count, sizeof *values);
    assert_non_null(values);
    return values;
}

static double cross_entropy(const double *outputs, size_t class_count, int32_t label) {
    double total = 0.0;
    for (size_t i = 0; i < class_count; i++) {
        total += exp(outputs[i]);
    }
    return log(total) - outputs[label];
}

/* bias then weight [outs][ins]; returns what is behind them. */
static const double *dense(const double *parameters, const double *inputs, size_t ins, size_t outs,
                           double *outputs) {
    for (size_t o = 0; o < outs; o++) {
        outputs[o] = parameters[o];
        for (size_t i = 0; i < ins; i++) {
            outputs[o] += parameters[outs + o * ins + i] * inputs[i];
        }
    }
    return parameters + outs * (ins + 1);
}

/* One pixel of a 5x5 convolution with a margin of zeros. */
static double convolved(const double *weight, const double *inputs, size_t channels, size_t side,
                        size_t y, size_t x) {
    double sum = 0.0;
    for (size_t c = 0; c < channels; c++) {
        for (int ky = -2; ky <= 2; ky++) {
            for (int kx = -2; kx <= 2; kx++) {
                const int at_y = (int)y + ky;
                const int at_x = (int)x + kx;
                if (at_y >= 0 && at_y < (int)side && at_x >= 0 && at_x < (int)side) {
                    sum += weight[(c * 5 + (size_t)(ky + 2)) * 5 + (size_t)(kx + 2)] *
                           inputs[(c * side + (size_t)at_y) * side + (size_t)at_x];
                }
            }
        }
    }
    return sum;
}

/* Convolution, ReLU, then pooling, in the order of the paper. */
static const double *convolve_and_pool(const double *parameters, const double *inputs, size_t ins,
                                       size_t outs, size_t side, double *outputs) {
    const double *weights = parameters + outs;
    for (size_t o = 0; o < outs; o++) {
        for (size_t y = 0; y < side / 2; y++) {
            for (size_t x = 0; x < side / 2; x++) {
                double largest = 0.0;
                for (size_t k = 0; k < 4; k++) {
                    const double value =
                        parameters[o] + convolved(weights + o * ins * 25, inputs, ins, side,
                                                  2 * y + k / 2, 2 * x + k % 2);
                    largest = fmax(largest, value); /* 0: the ReLU */
                }
                outputs[(o * (side / 2) + y) * (side / 2) + x] = largest;
            }
        }
    }
    return parameters + outs * (ins * 25 + 1);
}

double reference_cnn_loss(const struct reference_chain *chain, const double *parameters,
                          const float *features, const int32_t *labels, size_t row_count) {
    const size_t side = (size_t)lround(sqrt((double)chain->feature_count));
    double *picture = zeros(chain->feature_count);
    double *first = zeros(32 * chain->feature_count / 4);
    double *second = zeros(64 * chain->feature_count / 16);
    double *hidden = zeros(chain->hidden[0]);
    double *outputs = zeros(chain->class_count);
    double loss = 0.0;
    for (size_t row = 0; row < row_count; row++) {
        for (size_t i = 0; i < chain->feature_count; i++) {
            picture[i] = (double)features[row * chain->feature_count + i];
        }
        const double *next = convolve_and_pool(parameters, picture, 1, 32, side, first);
        next = convolve_and_pool(next, first, 32, 64, side / 2, second);
        next = dense(next, second, 64 * chain->feature_count / 16, chain->hidden[0], hidden);
        for (size_t i = 0; i < chain->hidden[0]; i++) {
            hidden[i] = fmax(hidden[i], 0.0);
        }
        (void)dense(next, hidden, chain->hidden[0], chain->class_count, outputs);
        loss += cross_entropy(outputs, chain->class_count, labels[row]);
    }
    free(outputs);
    free(hidden);
    free(second);
    free(first);
    free(picture);
    return loss / (double)row_count;
}

static double sigmoid(double x) {
    return 1.0 / (1.0 + exp(-x));
}

/* The four parts of a layer, wherever they lie. */
struct cell {
    size_t inputs, units;
    const double *bias, *peephole, *hidden_weight, *input_weight;
};

static double inside(const struct cell *cell, size_t gate, size_t k, const double *x,
                     const double *h) {
    const size_t row = gate * cell->units + k;
    double sum = cell->bias[row];
    for (size_t i = 0; i < cell->inputs; i++) {
        sum += cell->input_weight[row * cell->inputs + i] * x[i];
    }
    for (size_t i = 0; i < cell->units; i++) {
        sum += cell->hidden_weight[row * cell->units + i] * h[i];
    }
    return sum;
}

/* c and next_h from x, h and c. */
static void lstm_step(const struct cell *cell, const double *x, const double *h, double *c,
                      double *next_h) {
    for (size_t k = 0; k < cell->units; k++) {
        const double *p = cell->peephole + k;
        const double i = sigmoid(inside(cell, 0, k, x, h) + p[0] * c[k]);
        const double f = sigmoid(inside(cell, 1, k, x, h) + p[cell->units] * c[k]);
        const double g = tanh(inside(cell, 2, k, x, h));
        c[k] = f * c[k] + i * g;
        next_h[k] = sigmoid(inside(cell, 3, k, x, h) + p[2 * cell->units] * c[k]) * tanh(c[k]);
    }
}

/* Where the parts of all layers lie, in the order of their names: bias_l0, bias_l1, peephole_l0, ... */
static void place_cells(const struct reference_chain *chain, const double *parameters,
                        struct cell *cells) {
    for (size_t part = 0; part < 4; part++) {
        for (size_t i = 0; i < chain->hidden_count; i++) {
            struct cell *cell = &cells[i];
            cell->inputs = i == 0 ? 8 : chain->hidden[i - 1];
            cell->units = chain->hidden[i];
            const double **const parts[] = {&cell->bias, &cell->peephole, &cell->hidden_weight,
                                            &cell->input_weight};
            const size_t counts[] = {4 * cell->units, 3 * cell->units,
                                     4 * cell->units * cell->units, 4 * cell->units * cell->inputs};
            *parts[part] = parameters;
            parameters += counts[part];
        }
    }
}

double reference_lstm_loss(const struct reference_chain *chain, const double *parameters,
                           const float *features, const int32_t *labels, size_t row_count) {
    const size_t steps = chain->feature_count;
    const size_t last = chain->hidden[chain->hidden_count - 1];
    const double *output_layer = parameters + chain->class_count * 8;
    struct cell cells[2];
    place_cells(chain, output_layer + chain->class_count * (last + 1), cells);
    double *outputs = zeros(chain->class_count);
    double loss = 0.0;
    size_t label_count = 0;
    for (size_t row = 0; row < row_count; row++) {
        double *h[2] = {zeros(chain->hidden[0]), zeros(last)};
        double *c[2] = {zeros(chain->hidden[0]), zeros(last)};
        double *next_h[2] = {zeros(chain->hidden[0]), zeros(last)};
        for (size_t step = 0; step < steps; step++) {
            const double *x = parameters + 8 * (size_t)features[row * steps + step];
            for (size_t i = 0; i < chain->hidden_count; i++) {
                double *before = h[i];
                lstm_step(&cells[i], x, before, c[i], next_h[i]);
                x = h[i] = next_h[i];
                next_h[i] = before;
            }
            const int32_t label = labels[row * steps + step];
            (void)dense(output_layer, x, last, chain->class_count, outputs);
            if (label >= 0) {
                loss += cross_entropy(outputs, chain->class_count, label);
                label_count++;
            }
        }
        for (size_t i = 0; i < 2; i++) {
            free(h[i]);
            free(c[i]);
            free(next_h[i]);
        }
    }
    free(outputs);
    return loss / (double)label_count;
}
