/* coalitions.c - FedCollab: coordinate descent over partitions.
 *
 * The cost of a coalition needs only its size, its share B and Q, the sum over pairs of members of
 * beta_j D_ij. A move changes these by sums over the two coalitions, so a pass over all clients takes
 * N^2 steps. */
#include "learn/coalitions.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

#define PASSES_MAX 100
#define ORDERS 100
#define GAIN_MIN 1e-12 /* less is dust of rounding, and could go in circles */

static double divergence(const struct trib_coalitions *coalitions, uint32_t i, uint32_t j) {
    return coalitions->divergence[(size_t)i * coalitions->client_count + j];
}

double trib_coalitions_cost(const struct trib_coalitions *coalitions, const uint32_t *cluster,
                            double *errors) {
    double total = 0;
    for (uint32_t i = 0; i < coalitions->client_count; i++) {
        double share = 0, bias = 0;
        for (uint32_t j = 0; j < coalitions->client_count; j++) {
            if (cluster[j] != cluster[i])
                continue;
            share += coalitions->beta[j];
            bias += coalitions->beta[j] * divergence(coalitions, i, j);
        }
        double error = coalitions->complexity / sqrt(coalitions->samples * share) + bias / share;
        if (errors)
            errors[i] = error;
        total += error;
    }
    return total / coalitions->client_count;
}

static double cost_of(const struct trib_coalitions *coalitions, uint32_t members, double share,
                      double pairs) {
    if (members == 0)
        return 0;
    return members * coalitions->complexity / sqrt(coalitions->samples * share) + pairs / share;
}

/* What client i, which is not in it, adds to the cost of all by joining it. */
static double cost_of_joining(const struct trib_coalitions *coalitions,
                              const struct trib_coalition *to, uint32_t i) {
    double beta = coalitions->beta[i];
    return cost_of(coalitions, to->members + 1, to->share + beta,
                   to->pairs + to->bias + beta * to->spread) -
           cost_of(coalitions, to->members, to->share, to->pairs);
}

/* sign 1: client i becomes a member; -1: it is none any more. */
static void change(const struct trib_coalitions *coalitions, struct trib_coalition *of, uint32_t i,
                   int sign) {
    double beta = coalitions->beta[i];
    of->members += (uint32_t)sign;
    of->share = of->members > 0 ? of->share + sign * beta : 0;
    of->pairs = of->members > 1 ? of->pairs + sign * (of->bias + beta * of->spread) : 0;
}

/* How far client i is from the members of each coalition. */
static void look_at(const struct trib_coalitions *coalitions, const uint32_t *cluster, uint32_t i,
                    struct trib_coalition *all) {
    for (uint32_t label = 0; label < coalitions->client_count; label++)
        all[label].bias = all[label].spread = 0;
    for (uint32_t j = 0; j < coalitions->client_count; j++) {
        all[cluster[j]].bias += coalitions->beta[j] * divergence(coalitions, i, j);
        all[cluster[j]].spread += divergence(coalitions, i, j);
    }
}

static bool move(const struct trib_coalitions *coalitions, uint32_t i, struct trib_coalition *all,
                 uint32_t *cluster) {
    look_at(coalitions, cluster, i, all);
    change(coalitions, &all[cluster[i]], i, -1);
    uint32_t best = cluster[i];
    double cost = cost_of_joining(coalitions, &all[best], i);
    for (uint32_t label = 0; label < coalitions->client_count; label++) {
        double other = cost_of_joining(coalitions, &all[label], i);
        if (other < cost - GAIN_MIN) {
            cost = other;
            best = label;
        }
    }
    change(coalitions, &all[best], i, 1);
    bool is_moved = cluster[i] != best;
    cluster[i] = best;
    return is_moved;
}

double trib_coalitions_descend(const struct trib_coalitions *coalitions, const uint32_t *order,
                               struct trib_coalition *scratch, uint32_t *cluster) {
    uint32_t client_count = coalitions->client_count;
    memset(scratch, 0, client_count * sizeof *scratch);
    for (uint32_t i = 0; i < client_count; i++) {
        struct trib_coalition *of = &scratch[cluster[i]];
        of->bias = of->spread = 0;
        for (uint32_t j = 0; j < i; j++) {
            double between = cluster[j] == cluster[i] ? divergence(coalitions, i, j) : 0;
            of->bias += coalitions->beta[j] * between;
            of->spread += between;
        }
        change(coalitions, of, i, 1);
    }
    bool is_moved = true;
    for (uint32_t pass = 0; is_moved && pass < PASSES_MAX; pass++) {
        is_moved = false;
        for (uint32_t place = 0; place < client_count; place++)
            is_moved |= move(coalitions, order[place], scratch, cluster);
    }
    return trib_coalitions_cost(coalitions, cluster, NULL);
}

/* Labels 0, 1, ... in the order of their first members. */
static void number_anew(uint32_t client_count, uint32_t *cluster, uint32_t *label_of) {
    uint32_t label_count = 0;
    for (uint32_t i = 0; i < client_count; i++)
        label_of[i] = UINT32_MAX;
    for (uint32_t i = 0; i < client_count; i++) {
        uint32_t *label = &label_of[cluster[i]];
        *label = *label == UINT32_MAX ? label_count++ : *label;
        cluster[i] = *label;
    }
}

enum trib_status trib_coalitions_solve(const struct trib_env *env,
                                       const struct trib_coalitions *coalitions, uint64_t seed,
                                       uint32_t *cluster, double *cost) {
    uint32_t client_count = coalitions->client_count;
    struct trib_coalition *scratch = trib_allocate(env, client_count, sizeof *scratch);
    uint32_t *order = trib_allocate(env, client_count, sizeof *order);
    uint32_t *found = trib_allocate(env, client_count, sizeof *found);
    enum trib_status status = scratch && order && found ? TRIB_OK : TRIB_EMEMORY;
    *cost = INFINITY;
    for (uint32_t trial = 0; status == TRIB_OK && trial < 2 * ORDERS; trial++) {
        struct trib_random random;
        trib_random_derive(&random, seed, "coalitions", trial);
        for (uint32_t i = 0; i < client_count; i++) {
            order[i] = i;
            found[i] = trial < ORDERS ? i : 0; /* on their own, or all together */
        }
        trib_random_shuffle(&random, order, client_count);
        double found_cost = trib_coalitions_descend(coalitions, order, scratch, found);
        if (found_cost < *cost) {
            *cost = found_cost;
            memcpy(cluster, found, client_count * sizeof *cluster);
        }
    }
    if (status == TRIB_OK)
        number_anew(client_count, cluster, order);
    trib_release(env, scratch, client_count, sizeof *scratch);
    trib_release(env, order, client_count, sizeof *order);
    trib_release(env, found, client_count, sizeof *found);
    return status;
}
