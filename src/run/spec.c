/* spec.c - the life of a spec and the weight it gives to an update. Reading is in spec_parse.c,
 * writing in spec_document.c, the fields are in spec_table.c. */
#include "run/spec.h"

void trib_spec_free(struct trib_spec *spec) {
    if (!spec)
        return;
    const struct trib_env *env = spec->env;
    trib_text_release(env, spec->train);
    trib_release(env, spec, 1, sizeof *spec);
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
