/* reference_chains.h - the picture and the sequence model written down a second time, in double,
 * one row and one number at a time.
 *
 * Nothing here is shared with src/train but the order of the parameters. */
#ifndef TRIB_TESTS_TRAIN_REFERENCE_CHAINS_H
#define TRIB_TESTS_TRAIN_REFERENCE_CHAINS_H

#include <stddef.h>
#include <stdint.h>

struct reference_chain {
    size_t feature_count, class_count;
    size_t hidden[2]; /* of the sequence model all, of the picture model the first */
    size_t hidden_count;
};

/* Mean cross-entropy over the labels that are not below 0. */
typedef double reference_chain_loss(const struct reference_chain *chain, const double *parameters,
                                    const float *features, const int32_t *labels, size_t row_count);
reference_chain_loss reference_cnn_loss;
reference_chain_loss reference_lstm_loss;

#endif
