/* clusters.h - client-driven training (CDFL) with one model per cluster, in its smallest version.
 *
 * A client calls when it likes, with a model and its share in each cluster. Each cluster takes in the
 * model as FedAsync would, by alpha s(staleness) share; the answer is one model for this client, the
 * clusters weighted by its shares. How shares are found (by the loss on a small set, by distance) is
 * the client's business.
 *
 * On the daemon a cluster is a run of its own with preset cdfl, the client's share is an attribute of
 * it there, and it mixes what it reads from the runs itself (docs/strategies.md). */
#ifndef TRIB_LEARN_CLUSTERS_H
#define TRIB_LEARN_CLUSTERS_H

#include <stddef.h>

/* clusters: double[cluster_count][count], changed in place; share: double[cluster_count] that sum to
 * 1; rate: alpha s(staleness), 0..1. */
void trib_clusters_take(double *clusters, size_t cluster_count, size_t count, const double *share,
                        const double *model, double rate);
/* reply = the sum of share[k] * clusters[k]. */
void trib_clusters_reply(const double *clusters, size_t cluster_count, size_t count,
                         const double *share, double *reply);

#endif
