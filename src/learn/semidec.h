/* semidec.h - semi-decentralised training: devices gossip, and now and then a server averages a few.
 *
 * Rodio et al. 2026 (arXiv 2511.11560). Between the server's rounds devices train and mix with their
 * neighbours, x = W x. The server averages the models of m sampled devices and writes the mean back
 *
 *     S2S  to the sampled devices: the mean over all devices stays what it was, for every sample
 *     S2A  to all devices: it stays so only in expectation, but all agree at once
 *
 * S2S suits components of the network that differ much, S2A those that do not, or few samples.
 *
 * Presets s2s and s2a do the server's part; the devices' mixing passes it by (docs/strategies.md). Here
 * is the rule by itself. */
#ifndef TRIB_LEARN_SEMIDEC_H
#define TRIB_LEARN_SEMIDEC_H

#include <stdbool.h>
#include <stddef.h>

/* x: double[device_count][count], changed in place; sampled: at least one index, each once.
 * to_all: S2A, else S2S. */
void trib_semidec_average(double *x, size_t device_count, size_t count, const size_t *sampled,
                          size_t sampled_count, bool to_all);
/* next = W x; next is not x. W: double[device_count][device_count], rows sum to 1. */
void trib_semidec_gossip(const double *w, const double *x, double *next, size_t device_count,
                         size_t count);

#endif
