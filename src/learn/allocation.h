/* allocation.h - FedAST: how several runs share the clients of one population.
 *
 * Askin et al. 2024 (FedAST, UAI) and the authors' server. Run m keeps R_m requests at clients and
 * makes a version of each b_m answers, without weights for staleness. The total of all requests is
 * fixed; they are shared out by score, in units of as many requests as there are for each place in a
 * buffer, so that R_m / b_m is the same for all runs.
 *
 * The authors' score is how differently a run's updates point. The daemon's policies see no numbers
 * of updates, so scores come from outside; equal ones share evenly. (Where the code has `**1/2`, which
 * halves, a square root is meant.) */
#ifndef TRIB_LEARN_ALLOCATION_H
#define TRIB_LEARN_ALLOCATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trib_allocation {
    double score;      /* given: >= 0; 0: the run has ended and gets nothing */
    uint32_t requests; /* R_m: strategy.concurrency */
    uint32_t goal;     /* b_m = R_m / unit: strategy.goal */
};

/* Share out `total` requests, a multiple of `unit` > 0 (what is over stays unused). Every run that
 * has a score gets one unit, and each further unit goes where most is missing of the run's share of
 * the scores; of equals to the first. False: there are fewer units than such runs, or no such runs;
 * then nothing has changed. */
bool trib_allocation_share(struct trib_allocation *runs, uint32_t run_count, uint32_t total,
                           uint32_t unit);

#endif
