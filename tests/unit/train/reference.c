/* reference.c - the same models written down a second time, in double, one row at a time. */
#include "reference.h"

#include <math.h>
#include <string.h>

#include "support/check.h"

#define WIDTH_MAX 64
/* Small enough that hardly ever a unit crosses the kink of its ReLU on the way, large enough that
 * the difference of two losses keeps seven digits. */
#define STEP 1e-7

size_t reference_parameter_count(const struct reference *reference) {
    size_t count = 0;
    for (size_t i = 0; i < reference->layer_count; i++) {
        count += reference->widths[i + 1] * (reference->widths[i] + 1);
    }
    return count;
}

static double row_loss(const struct reference *reference, const double *parameters,
                       const float *features, int32_t label) {
    double values[WIDTH_MAX];
    for (size_t i = 0; i < reference->widths[0]; i++) {
        values[i] = (double)features[i];
    }
    for (size_t layer = 0; layer < reference->layer_count; layer++) {
        const size_t ins = reference->widths[layer];
        const size_t outs = reference->widths[layer + 1];
        double next[WIDTH_MAX];
        for (size_t o = 0; o < outs; o++) {
            next[o] = parameters[o];
            for (size_t i = 0; i < ins; i++) {
                next[o] += parameters[outs + o * ins + i] * values[i];
            }
            if (layer + 1 < reference->layer_count && next[o] < 0.0) {
                next[o] = 0.0;
            }
        }
        memcpy(values, next, outs * sizeof *values);
        parameters += outs * (ins + 1);
    }
    double total = 0.0;
    for (size_t i = 0; i < reference->widths[reference->layer_count]; i++) {
        total += exp(values[i]);
    }
    return log(total) - values[label];
}

double reference_loss(const struct reference *reference, const double *parameters,
                      const float *features, const int32_t *labels, size_t row_count) {
    double loss = 0.0;
    for (size_t i = 0; i <= reference->layer_count; i++) {
        assert_true(reference->widths[i] <= WIDTH_MAX);
    }
    for (size_t row = 0; row < row_count; row++) {
        loss += row_loss(reference, parameters, features + row * reference->widths[0], labels[row]);
    }
    return loss / (double)row_count;
}

double reference_slope(const struct reference *reference, double *parameters, size_t index,
                       const float *features, const int32_t *labels, size_t row_count) {
    const double saved = parameters[index];
    parameters[index] = saved + STEP;
    const double above = reference_loss(reference, parameters, features, labels, row_count);
    parameters[index] = saved - STEP;
    const double below = reference_loss(reference, parameters, features, labels, row_count);
    parameters[index] = saved;
    return (above - below) / (2.0 * STEP);
}
