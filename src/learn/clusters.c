/* clusters.c - client-driven training: mixing into clusters and out of them. */
#include "learn/clusters.h"

void trib_clusters_take(double *clusters, size_t cluster_count, size_t count, const double *share,
                        const double *model, double rate) {
    for (size_t k = 0; k < cluster_count; k++) {
        double a = rate * share[k];
        for (size_t i = 0; i < count; i++)
            clusters[k * count + i] += a * (model[i] - clusters[k * count + i]);
    }
}

void trib_clusters_reply(const double *clusters, size_t cluster_count, size_t count,
                         const double *share, double *reply) {
    for (size_t i = 0; i < count; i++) {
        reply[i] = 0;
        for (size_t k = 0; k < cluster_count; k++)
            reply[i] += share[k] * clusters[k * count + i];
    }
}
