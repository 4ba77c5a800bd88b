/* rules.h - what the spec of a run says about its updates and versions, read from its document.
 *
 * A reader of its own: nothing here is shared with src/run, whose work is being judged. */
#ifndef TRIB_SIM_FAULTS_RULES_H
#define TRIB_SIM_FAULTS_RULES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* What the sum of a buffer is divided by. */
enum rules_divisor {
    RULES_BY_WEIGHT, /* the sum of its weights */
    RULES_BY_GOAL,   /* `goal`, or the number of its updates if that is more */
    RULES_BY_ONE,
    RULES_BY_BOTH, /* the sum of its weights, and 1 for the version before */
};

/* The server optimizer; numbers that the kind does not use are 0. */
struct rules_server {
    char kind[16];
    bool is_standard; /* variant: standard */
    double lr, momentum, beta1, beta2, tau;
};

struct rules {
    bool is_durable;  /* durability: spool */
    bool is_equal;    /* weights: equal */
    bool is_combined; /* by somebody else: a version is made of one delta, which weighs 1 */
    bool is_mixing;   /* fedasync: an update pulls towards its base, too */
    bool has_models;  /* favano, s2s: a version is a mean of models, from whichever bases */
    double alpha;     /* of the mix */
    char staleness[16];
    double staleness_a, staleness_b;
    uint64_t staleness_max;
    int unit_bits;              /* k: weights are in units of 2^-k */
    uint64_t examples_max;      /* of one update */
    uint64_t weight_max;        /* of one update, in units */
    uint64_t total_max;         /* of one version, in units */
    enum rules_divisor divisor; /* a combined delta: by its weight, 1 */
    uint64_t goal;
    double delta_max;
    struct rules_server server;
};

/* document: complete, as GET .../spec gives it; borrowed. False: it weighs updates by something
 * that is not known here. */
bool rules_read(struct rules *rules, const json_t *document);
/* Units that an update weighs. */
uint64_t rules_weight(const struct rules *rules, uint64_t examples, uint64_t staleness);
/* F: the finest for which no term and no sum can leave its range (design section 5). */
int rules_shift(const struct rules *rules);

#endif
