/* coalitions.h - FedCollab: which clients should train together.
 *
 * Bao et al. 2023 (Optimizing the Collaboration Structure in Cross-Silo Federated Learning, ICML) and
 * the authors' solver. Training with others whose data differs costs bias, training with few costs
 * variance. A coalition with the share B of all m samples costs each member i
 *
 *     C / sqrt(m B) + (1 / B) sum over members j of beta_j D_ij
 *
 * and the partition wanted has the smallest mean cost. D comes from pairwise discriminators and is
 * given here. One run for each coalition then trains it (`select` in its spec). */
#ifndef TRIB_LEARN_COALITIONS_H
#define TRIB_LEARN_COALITIONS_H

#include "base/env.h"
#include "base/status.h"

struct trib_coalitions {
    uint32_t client_count;    /* N >= 1 */
    const double *divergence; /* D, double[N][N], symmetric, 0 on the diagonal, >= 0 */
    const double *beta;       /* double[N]: shares of the samples, > 0, sum 1 */
    double samples;           /* m > 0 */
    double complexity;        /* C >= 0; the authors take 8 to 10 */
};

/* The cost of each client (errors, NULL: not wanted) and their mean. cluster: uint32_t[N], labels
 * below N. */
double trib_coalitions_cost(const struct trib_coalitions *coalitions, const uint32_t *cluster,
                            double *errors);
/* From the partition in `cluster` on: clients in this order, each to the label where the mean cost is
 * smallest, if that is less than now; until a pass changes nothing, at most 100 times. Returns the
 * mean cost. Cost: N^2 for each pass. */
struct trib_coalition { /* scratch: [N] */
    uint32_t members;
    double share, pairs; /* B; sum over pairs of members of beta_j D_ij */
    double bias, spread; /* between the client that is looked at and members: sums of beta_j D_ij
                             and of D_ij */
};
double trib_coalitions_descend(const struct trib_coalitions *coalitions, const uint32_t *order,
                               struct trib_coalition *scratch, uint32_t *cluster);
/* The best partition that descents find from all on their own, in 100 random orders, and from all
 * together, in as many (descents from singletons alone can stick). The same for the same seed; labels
 * count up in the order of their first members. TRIB_EMEMORY: *cost and cluster mean nothing. */
enum trib_status trib_coalitions_solve(const struct trib_env *env,
                                       const struct trib_coalitions *coalitions, uint64_t seed,
                                       uint32_t *cluster, double *cost);

#endif
