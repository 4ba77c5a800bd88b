/* spec.c - the life of a spec and the weight it gives to an update. Reading is in spec_parse.c,
 * writing in spec_document.c, the fields are in spec_table.c. */
#include "run/spec.h"

#include "learn/asmu.h"

void trib_spec_free(struct trib_spec *spec) {
    if (!spec)
        return;
    const struct trib_env *env = spec->env;
    trib_text_release(env, spec->train);
    trib_release(env, spec->model.zeros, spec->model.zeros_count, sizeof *spec->model.zeros);
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
        .seed = spec->seed,
        .fraction = strategy->fraction,
        .over_selection = strategy->over_selection,
        .backs_up = strategy->backs_up,
        .noise = strategy->noise,
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
    if (strategy->pull == TRIB_PULL_SHARE) /* a share of at most 1 */
        return UINT64_C(1) << strategy->weight_unit_bits;
    return largest * (strategy->weights == TRIB_WEIGHT_EQUAL ? 1 : strategy->weight_max);
}

/* A share in the mix, which examples or an attribute, where they count, are a part of. */
static uint64_t mixing_weight(const struct trib_spec *spec, const struct trib_weighing *weighing) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    double unit = (double)(UINT64_C(1) << strategy->weight_unit_bits);
    double weight = strategy->staleness_table[weighing->staleness];
    if (strategy->staleness == TRIB_STALENESS_ASMU)
        weight = unit * trib_asmu_share(weight / unit, strategy->iota, weighing->version);
    if (strategy->weights != TRIB_WEIGHT_EQUAL)
        weight *= (double)weighing->mass / (double)strategy->weight_max;
    return (uint64_t)(weight + 0.5);
}

/* versions / updates: 1 / the share of versions that the client is in (Fraboni et al. 2023, section
 * 4: an update weighs p / P(its client is in a version)). At most what a table allows. */
static uint64_t participation_weight(const struct trib_spec *spec,
                                     const struct trib_weighing *weighing) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    double unit = (double)(UINT64_C(1) << strategy->weight_unit_bits);
    double weight = (double)weighing->versions / (double)weighing->updates * unit;
    uint64_t most = strategy->staleness_table[strategy->staleness_max];
    if (weight >= (double)most)
        return most;
    return weight > 1 ? (uint64_t)(weight + 0.5) : 1;
}

uint64_t trib_spec_weigh(const struct trib_spec *spec, const struct trib_weighing *weighing) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    TRIB_ASSERT(weighing->updates > 0);
    if (weighing->mass == 0 || weighing->staleness > strategy->staleness_max)
        return 0;
    uint64_t fresh = strategy->weights == TRIB_WEIGHT_EQUAL ? 1 : weighing->mass;
    if (fresh > strategy->weight_max)
        return 0;
    if (strategy->pull == TRIB_PULL_SHARE)
        return mixing_weight(spec, weighing);
    return fresh * (strategy->staleness == TRIB_STALENESS_PARTICIPATION
                        ? participation_weight(spec, weighing)
                        : strategy->staleness_table[weighing->staleness]);
}

uint64_t trib_spec_weight(const struct trib_spec *spec, uint64_t mass, uint64_t staleness) {
    bool is_known = staleness <= spec->strategy.staleness_max;
    return trib_spec_weigh(spec, &(struct trib_weighing){.mass = mass,
                                                         .staleness = staleness,
                                                         .version = is_known ? staleness + 1 : 1,
                                                         .versions = is_known ? staleness + 1 : 1,
                                                         .updates = 1});
}

bool trib_spec_caps_shares(const struct trib_spec *spec) {
    double share_max = spec->strategy.weight_share_max;
    return share_max > 0 && share_max < 1;
}

bool trib_spec_makes_model(const struct trib_spec *spec) {
    enum trib_init_kind init = spec->model.init;
    return init == TRIB_INIT_TRAINER || init == TRIB_INIT_RUN || init == TRIB_INIT_ZEROS;
}
