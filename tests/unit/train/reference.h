/* reference.h - the same models written down a second time, in double, one row at a time.
 *
 * Nothing here is shared with src/train but the order of the parameters. */
#ifndef TRIB_TESTS_TRAIN_REFERENCE_H
#define TRIB_TESTS_TRAIN_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

struct reference {
    size_t widths[10]; /* features, hidden units, classes */
    size_t layer_count;
};

size_t reference_parameter_count(const struct reference *reference);

/* Mean cross-entropy over rows. features[row_count][widths[0]]; parameters as bias then weight
 * [outputs][inputs] for each layer. */
double reference_loss(const struct reference *reference, const double *parameters,
                      const float *features, const int32_t *labels, size_t row_count);

/* d loss / d parameters[index] by central differences; parameters are restored. */
double reference_slope(const struct reference *reference, double *parameters, size_t index,
                       const float *features, const int32_t *labels, size_t row_count);

#endif
