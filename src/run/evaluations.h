/* evaluations.h - reports on versions: their weighted mean, the best version, when to give up.
 *
 * The mean is weighted by examples. A version counts as evaluated once it has enough reports; its
 * mean moves on with every further one. Only the newest versions take reports, so memory is
 * bounded; the best version is remembered beyond them. */
#ifndef TRIB_RUN_EVALUATIONS_H
#define TRIB_RUN_EVALUATIONS_H

#include "run/spec.h"

#include <stdbool.h>
#include <stdint.h>

#define TRIB_EVALUATIONS_KEPT 64 /* versions; not more than a client's reports remember */

#define TRIB_METRIC_MAX 1e200 /* so that no sum of examples * metric overflows */

struct trib_evaluation {
    uint64_t version;
    uint32_t report_count;
    double metric_examples; /* behind metric_sum */
    double metric_sum;      /* of examples * metric */
    bool is_evaluated;
};

struct trib_evaluated {
    bool is_set;
    uint64_t version;
    double metric; /* NAN: no report had one */
};

struct trib_evaluations {
    const struct trib_spec_evaluate *rules;             /* private */
    double target;                                      /* private: NAN = none */
    struct trib_evaluation ring[TRIB_EVALUATIONS_KEPT]; /* private: by version % KEPT */
    struct trib_evaluated newest;                       /* read-only: newest evaluated version */
    struct trib_evaluated best;                         /* read-only; the older of equals */
    struct trib_evaluated reached;                      /* read-only: first to reach the target */
    uint32_t without_best; /* read-only: evaluated in a row, newer than the best */
};

/* What one report changed. */
struct trib_evaluation_news {
    bool is_evaluated; /* the version has enough reports, its mean is new */
    bool is_best;      /* there is another best version */
};

/* `rules` is borrowed for life. */
void trib_evaluations_init(struct trib_evaluations *evaluations,
                           const struct trib_spec_evaluate *rules, double target);

/* Are reports on `version` still taken when `current` is the newest version? */
bool trib_evaluations_takes(uint64_t version, uint64_t current);
/* Add a report on a version that is taken; the caller sees to it that a client reports a version
 * once. examples: 1 .. 2^53. metric: if there is one, at most TRIB_METRIC_MAX in magnitude. */
struct trib_evaluation_news trib_evaluations_add(struct trib_evaluations *evaluations,
                                                 uint64_t version, uint64_t examples, double metric,
                                                 bool has_metric);
bool trib_evaluations_is_evaluated(const struct trib_evaluations *evaluations, uint64_t version);

#endif
