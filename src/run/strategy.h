/* strategy.h - the table of presets: a name for a policy, a server optimizer and client settings.
 *
 * A preset only fills in defaults; every field of the spec can still be set. A new algorithm
 * that is a combination of what exists is a new row here and nothing else. */
#ifndef TRIB_RUN_STRATEGY_H
#define TRIB_RUN_STRATEGY_H

#include "run/spec.h"

/* What presets of one tempo have in common: the policy, and the defaults of the fields that another
 * tempo wants otherwise. */
struct trib_pace {
    enum trib_tempo tempo;
    const struct trib_policy *policy;
    trib_time_ns deadline;
    double fraction; /* 0: of no meaning */
    uint32_t goal;
    double alpha;
    bool backs_up;
    uint32_t staleness_max;
    enum trib_staleness_rule staleness;
    enum trib_weight_rule weights;
    const char *weight_attribute; /* with weights: attribute */
    uint64_t weight_max;          /* 0: TRIB_WEIGHT_MAX_USUAL */
    enum trib_policy_divide divide;
};
#define TRIB_WEIGHT_MAX_USUAL (UINT64_C(1) << 20)

struct trib_strategy {
    const char *name;    /* "fedavg" */
    const char *meaning; /* one line for people */
    const struct trib_pace *pace;
    const struct trib_optimizer *optimizer;
    const char *train;   /* JSON object of client settings, added where the spec is silent */
    bool is_pace_fixed;  /* epochs, steps and batch in `train` are what defines the algorithm */
    uint32_t companions; /* set of enum trib_companion that its versions have */
};

/* NULL past the end of the table; "fedavg" is the first row. */
const struct trib_strategy *trib_strategy_at(size_t index);
/* NULL when unknown. */
const struct trib_strategy *trib_strategy_find(const char *name);

/* The usual settings of an optimizer, for a spec that names a kind and no numbers. */
const struct trib_optimizer *trib_optimizer_usual(enum trib_optimizer_kind kind);

#endif
