/* spec.c - the life of a spec and the weight it gives to an update. Reading is in spec_parse.c,
 * writing in spec_document.c, the fields are in spec_table.c. */
#include "run/spec.h"

void trib_spec_free(struct trib_spec *spec) {
    if (!spec)
        return;
    const struct trib_env *env = spec->env;
    trib_text_release(env, spec->train);
    for (uint32_t index = 0; spec->sites && index < spec->site_count; index++)
        trib_text_release(env, spec->sites[index].train);
    trib_release(env, spec->sites, spec->site_count, sizeof *spec->sites);
    trib_release(env, spec, 1, sizeof *spec);
}

struct trib_policy_settings trib_spec_policy_settings(const struct trib_spec *spec) {
    static const enum trib_policy_short shorts[] = {
        [TRIB_SHORT_WAIT] = TRIB_POLICY_SHORT_WAIT,
        [TRIB_SHORT_GO] = TRIB_POLICY_SHORT_GO,
        [TRIB_SHORT_PAUSE] = TRIB_POLICY_SHORT_PAUSE,
    };
    const struct trib_spec_strategy *strategy = &spec->strategy;
    return (struct trib_policy_settings){
        .fraction = strategy->fraction,
        .over_selection = strategy->over_selection,
        .quorum = strategy->quorum,
        .deadline = strategy->deadline,
        .first_deadline = strategy->first_deadline,
        .if_short = shorts[strategy->if_short],
        .goal = strategy->goal,
        .concurrency = strategy->concurrency,
        .tick = strategy->tick,
        .staleness_max = strategy->staleness_max,
        .divide = strategy->divide,
        .clients = strategy->clients,
        .steps_min = strategy->steps_min,
        .steps_max = strategy->steps_max,
        .slack = strategy->slack,
        .speed_beta = strategy->speed_beta,
    };
}

uint64_t trib_spec_weight_max(const struct trib_spec *spec) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    uint64_t largest = 0;
    for (uint32_t staleness = 0; staleness <= strategy->staleness_max; staleness++) {
        uint32_t weight = strategy->staleness_table[staleness];
        largest = weight > largest ? weight : largest;
    }
    return largest * (strategy->weights == TRIB_WEIGHT_EQUAL ? 1 : strategy->weight_max);
}

uint64_t trib_spec_weight(const struct trib_spec *spec, uint64_t examples, uint64_t staleness) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    if (examples == 0 || staleness > strategy->staleness_max)
        return 0;
    if (strategy->weights == TRIB_WEIGHT_EQUAL)
        return strategy->staleness_table[staleness];
    if (examples > strategy->weight_max)
        return 0;
    return examples * strategy->staleness_table[staleness];
}
