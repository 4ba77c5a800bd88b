/* spec_fit.c - fields that depend on each other; weights as integers (design section 5).
 *
 * A weight is examples * s(staleness) in units of 2^-k. k is the largest for which the largest
 * weight still fits 2^29, so that as little of s as possible is lost; where s is whole, k is 0. pow() may be used here because the results are rounded to at most 17 bits, and because
 * a weight is recorded when it is decided and never computed again. */
#include "run/spec_fit.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "learn/exact_sum.h"

#define UNIT_BITS_MAX 16
#define DELTA_MAX 16.0
#define DELTA_MAX_OF_SUM 0x1p24         /* up to here fp32 has every whole number */
#define SUM_CLIENTS_MAX UINT64_C(65536) /* resolution of the sum: 2^-21 */
#define UNIT_BITS_MIXING 24             /* a share of at most 1, to fp32's precision */

/* Most that one update weighs before its staleness is looked at. */
static uint64_t fresh_weight_max(const struct trib_spec_strategy *strategy) {
    if (strategy->tempo == TRIB_TEMPO_ASYNC)
        return 1; /* examples are a part of a share */
    return strategy->weights == TRIB_WEIGHT_EQUAL ? 1 : strategy->weight_max;
}

static uint32_t choose_unit_bits(const struct trib_spec_strategy *strategy) {
    bool is_whole = strategy->staleness == TRIB_STALENESS_CONSTANT ||
                    strategy->staleness == TRIB_STALENESS_LINEAR;
    bool is_scaled_up = strategy->staleness == TRIB_STALENESS_PARTICIPATION;
    uint64_t largest =
        fresh_weight_max(strategy) * (is_scaled_up ? 1 + (uint64_t)strategy->staleness_max : 1);
    uint32_t bits = 0;
    if (strategy->tempo == TRIB_TEMPO_ASYNC)
        return UNIT_BITS_MIXING;
    while (!is_whole && bits < UNIT_BITS_MAX && largest << (bits + 1) <= TRIB_WEIGHT_MAX)
        bits++;
    return bits;
}

/* s(u), Xie et al. 2019 (FedAsync), section 5.2; linear: policy_ticks.c. s(0) = 1 in every rule. */
static double staleness_weight(const struct trib_spec_strategy *strategy, uint32_t staleness) {
    double u = staleness;
    double a = strategy->staleness_a;
    double b = strategy->staleness_b;
    switch (strategy->staleness) {
    case TRIB_STALENESS_CONSTANT:
        return 1;
    case TRIB_STALENESS_POLYNOMIAL:
    case TRIB_STALENESS_ASMU: /* what trib_asmu_share() calls its reach */
        return pow(1 + u, -a);
    case TRIB_STALENESS_HINGE:
        return u <= b ? 1 : 1 / (a * (u - b) + 1);
    case TRIB_STALENESS_LINEAR:
    case TRIB_STALENESS_PARTICIPATION: /* the last one is the most that it can be */
        return 1 + u;
    }
    return 0;
}

static void fill_staleness_table(struct trib_spec_strategy *strategy) {
    double fresh = strategy->tempo == TRIB_TEMPO_ASYNC ? strategy->alpha : 1;
    strategy->weight_unit_bits = choose_unit_bits(strategy);
    for (uint32_t u = 0; u <= strategy->staleness_max; u++) {
        double weight =
            ldexp(fresh * staleness_weight(strategy, u), (int)strategy->weight_unit_bits);
        strategy->staleness_table[u] = (uint32_t)lround(weight);
    }
}

/* A weight that rounds to 0 would turn updates away for ever: say so now, not one by one. */
static enum trib_status check_staleness_table(const struct trib_spec_strategy *strategy,
                                              struct trib_error *error) {
    for (uint32_t u = 0; u <= strategy->staleness_max; u++) {
        if (strategy->staleness_table[u] == 0)
            return trib_error_set(
                error, TRIB_EINVALID,
                "strategy.staleness_max: %" PRIu32 " is too large, at staleness %" PRIu32
                " the weight rounds to 0 (in units of 1/%u; a smaller weight_max gives finer ones)",
                strategy->staleness_max, u, 1u << strategy->weight_unit_bits);
    }
    return TRIB_OK;
}

static enum trib_status check_weight_max(const struct trib_spec *spec, struct trib_error *error) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    uint64_t largest = trib_spec_weight_max(spec) >> strategy->weight_unit_bits;
    if (largest <= strategy->weight_total_max && largest <= TRIB_WEIGHT_MAX)
        return TRIB_OK;
    return trib_error_set(error, TRIB_EINVALID,
                          "strategy.staleness_max: at %" PRIu32 " one update can weigh %" PRIu64
                          " (at most %" PRIu64 "); lower it, or weight_max",
                          strategy->staleness_max, largest,
                          strategy->weight_total_max < TRIB_WEIGHT_MAX ? strategy->weight_total_max
                                                                       : TRIB_WEIGHT_MAX);
}

static enum trib_status check_at_most(const char *field, uint64_t value, const char *limit_field,
                                      uint64_t limit, struct trib_error *error) {
    if (value <= limit)
        return TRIB_OK;
    return trib_error_set(error, TRIB_EINVALID, "%s: %" PRIu64 " is over %s, %" PRIu64, field,
                          value, limit_field, limit);
}

static enum trib_status check_counts(const struct trib_spec *spec, struct trib_error *error) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    uint32_t quorum = strategy->quorum;
    const struct {
        const char *field;
        uint64_t value;
        const char *limit_field;
        uint64_t limit;
    } pairs[] = {
        {"strategy.quorum", quorum, "clients_max", spec->clients_max},
        {"strategy.quorum", quorum, "updates_pending_max", spec->updates_pending_max},
        {"strategy.quorum", quorum, "strategy.weight_total_max", strategy->weight_total_max},
        {"strategy.population", strategy->population, "clients_max", spec->clients_max},
        {"strategy.weight_max", fresh_weight_max(strategy), "strategy.weight_total_max",
         strategy->weight_total_max},
        {"strategy.goal", strategy->goal, "updates_pending_max", spec->updates_pending_max},
        {"strategy.goal", strategy->goal, "strategy.weight_total_max", strategy->weight_total_max},
        {"strategy.concurrency", strategy->concurrency, "clients_max", spec->clients_max},
        {"evaluate.min_clients", spec->evaluate.clients_min, "clients_max", spec->clients_max},
    };
    enum trib_status status = TRIB_OK;
    for (size_t index = 0; index < sizeof pairs / sizeof *pairs && status == TRIB_OK; index++)
        status = check_at_most(pairs[index].field, pairs[index].value, pairs[index].limit_field,
                               pairs[index].limit, error);
    return status;
}

static enum trib_status check_buffer(const struct trib_spec_strategy *strategy,
                                     struct trib_error *error) {
    uint32_t goal = strategy->goal, concurrency = strategy->concurrency, quorum = strategy->quorum;
    if (concurrency > 0 && goal > concurrency)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.goal: %" PRIu32 " updates from %" PRIu32
                              " clients (strategy.concurrency) would count some twice in each "
                              "version; goal %" PRIu32 " works",
                              goal, concurrency, concurrency);
    if (strategy->deadline == TRIB_DURATION_AUTO)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.deadline: auto is for rounds; none works, or a duration "
                              "such as 10m");
    if (quorum > 1 && strategy->deadline == TRIB_TIME_NEVER)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.quorum: %" PRIu32 " decides nothing without a deadline; "
                              "leave it out, or add strategy.deadline 10m",
                              quorum);
    if (quorum > goal)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.quorum: %" PRIu32 " is over strategy.goal, %" PRIu32
                              ", which makes a version before the deadline",
                              quorum, goal);
    return TRIB_OK;
}

/* Updates that wait for their group may all be counted at once. */
static enum trib_status check_held(const struct trib_spec *spec, struct trib_error *error) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    uint64_t unit = UINT64_C(1) << strategy->weight_unit_bits;
    uint64_t largest = (trib_spec_weight_max(spec) + unit - 1) / unit;
    uint64_t together = strategy->weight_total_max / largest;
    if (strategy->tempo != TRIB_TEMPO_GROUPS || spec->updates_pending_max <= together)
        return TRIB_OK;
    return trib_error_set(error, TRIB_EINVALID,
                          "updates_pending_max: %" PRIu32 " updates that wait for their groups, of "
                          "weights up to %" PRIu64 ", are over strategy.weight_total_max, %" PRIu64
                          "; updates_pending_max %" PRIu64 " works",
                          spec->updates_pending_max, largest, strategy->weight_total_max, together);
}

static enum trib_status check_groups(const struct trib_spec_strategy *strategy,
                                     struct trib_error *error) {
    if (strategy->steps_min > strategy->steps_max)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.steps_min: %" PRIu32 " is over strategy.steps_max, %" PRIu32
                              "; steps_min %" PRIu32 " works",
                              strategy->steps_min, strategy->steps_max, strategy->steps_max);
    return TRIB_OK;
}

/* A mean of models: the version before counts as one model only where all count the same, and a base
 * counts whole. */
static enum trib_status check_contacts(const struct trib_spec *spec, struct trib_error *error) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    if (strategy->divide != TRIB_DIVIDE_WEIGHT && strategy->divide != TRIB_DIVIDE_BOTH)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.divide: %s makes means of models; weight or both works",
                              strategy->preset);
    if (strategy->divide == TRIB_DIVIDE_BOTH && strategy->weights != TRIB_WEIGHT_EQUAL)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.divide: both counts the version before as one update, so "
                              "all have to count the same; strategy.weights equal works");
    for (size_t rule = 0; rule < spec->model.rule_count; rule++) {
        if (spec->model.rules[rule].group[0] != '\0')
            return trib_error_set(error, TRIB_EINVALID,
                                  "model.tensors[%zu].group: a mean of models takes whole ones; "
                                  "leave it out, or use preset fedavg",
                                  rule);
    }
    return TRIB_OK;
}

/* A cap on shares needs enough clients, and a mean. */
static enum trib_status check_share(const struct trib_spec *spec, struct trib_error *error) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    bool is_buffer = strategy->tempo == TRIB_TEMPO_BUFFER;
    bool is_goal = is_buffer && strategy->deadline == TRIB_TIME_NEVER;
    uint32_t fewest = is_goal ? strategy->goal : strategy->quorum;
    if (strategy->weights == TRIB_WEIGHT_ATTRIBUTE && strategy->tempo == TRIB_TEMPO_GROUPS)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.weights: attribute does not go with %s, whose weights are "
                              "decided when a group closes; equal works",
                              strategy->preset);
    if (strategy->weights == TRIB_WEIGHT_ATTRIBUTE && strategy->weight_attribute[0] == '\0')
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.weight_attribute: required: the attribute; clients without "
                              "a whole number from 1 to weight_max are not asked");
    if (!trib_spec_caps_shares(spec))
        return TRIB_OK;
    if (strategy->divide != TRIB_DIVIDE_WEIGHT)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.weight_share_max: a share of what is not divided by the "
                              "weight; strategy.divide weight works");
    if ((double)fewest * strategy->weight_share_max >= 1)
        return TRIB_OK;
    return trib_error_set(
        error, TRIB_EINVALID,
        "strategy.weight_share_max: of %" PRIu32 " client%s (strategy.%s) one has "
        "more than %.15g; %s %.0f works",
        fewest, fewest == 1 ? "" : "s", is_goal ? "goal" : "quorum", strategy->weight_share_max,
        is_goal ? "goal" : "quorum", ceil(1 / strategy->weight_share_max));
}

/* c is the mean of what all clients keep only if every counted update moves it by its share, 1/N. */
static enum trib_status check_control(const struct trib_spec *spec, struct trib_error *error) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    if ((strategy->companions & TRIB_COMPANION_CONTROL) == 0)
        return TRIB_OK;
    if (strategy->weights != TRIB_WEIGHT_EQUAL)
        return trib_error_set(
            error, TRIB_EINVALID,
            "strategy.weights: control variates are a mean over clients, not over "
            "examples; equal works");
    if (strategy->staleness != TRIB_STALENESS_CONSTANT)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.staleness: a control variate counts whole, however old; "
                              "constant works");
    if (trib_spec_caps_shares(spec))
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.weight_share_max: a control variate counts whole; 1 works");
    if (spec->durability != TRIB_DURABILITY_SPOOL)
        return trib_error_set(error, TRIB_EINVALID,
                              "durability: a lost update would leave clients and server with "
                              "different control variates; spool works");
    return check_at_most("strategy.quorum", strategy->quorum, "strategy.population",
                         strategy->population, error);
}

/* Somebody else makes the delta, from bodies that must be there to be read. */
static enum trib_status check_combiner(const struct trib_spec *spec, struct trib_error *error) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    if (strategy->combiner != TRIB_COMBINER_EXTERNAL)
        return TRIB_OK;
    if (strategy->tempo == TRIB_TEMPO_ASYNC)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.combiner: external combines the updates of a version, and "
                              "preset %s mixes each into the one before; preset fedbuff with goal "
                              "1 works",
                              strategy->preset);
    bool is_rule = strategy->tempo == TRIB_TEMPO_SUM || strategy->tempo == TRIB_TEMPO_CONTACTS;
    if (is_rule || strategy->companions != 0)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.combiner: external, and preset %s is a rule for what the "
                              "exact sum gives; preset fedavg works",
                              strategy->preset);
    if (spec->durability == TRIB_DURABILITY_MEMORY)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.combiner: external reads updates from the disk, and "
                              "durability memory puts none there; durability spool works");
    if (trib_spec_caps_shares(spec))
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.weight_share_max: what a client's share is, is up to the "
                              "external combiner; leave it out, or set strategy.combiner to sum");
    return TRIB_OK;
}

static enum trib_status refuse_both(const struct trib_spec_strategy *strategy,
                                    struct trib_error *error) {
    return trib_error_set(error, TRIB_EINVALID,
                          "strategy.divide: both is for means of models, and %s sums changes; "
                          "weight works, or preset favano",
                          strategy->preset);
}

/* What a preset of one tempo cannot do; what it does not even have is refused by the table. */
static enum trib_status check_tempo(const struct trib_spec *spec, struct trib_error *error) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    bool counts_updates =
        strategy->divide == TRIB_DIVIDE_GOAL || strategy->divide == TRIB_DIVIDE_CLIENTS;
    if (counts_updates && strategy->weights != TRIB_WEIGHT_EQUAL)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.divide: %s counts updates while strategy.weights is "
                              "%s, so a step would grow with the weights; weight works",
                              strategy->divide == TRIB_DIVIDE_GOAL ? "goal" : "clients",
                              strategy->weights == TRIB_WEIGHT_EXAMPLES ? "examples" : "attribute");
    enum trib_status status = check_share(spec, error);
    if (status != TRIB_OK)
        return status;
    if (strategy->tempo == TRIB_TEMPO_BUFFER)
        return strategy->divide == TRIB_DIVIDE_BOTH ? refuse_both(strategy, error)
                                                    : check_buffer(strategy, error);
    if (strategy->backs_up && strategy->over_selection > 0)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.over_selection: with backup dynamic everybody asked is a "
                              "candidate to wait for; leave it out, or set backup to none");
    if (strategy->divide == TRIB_DIVIDE_GOAL)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.divide: %s has no goal; weight, none or clients works",
                              strategy->preset);
    if (strategy->divide == TRIB_DIVIDE_BOTH && strategy->tempo != TRIB_TEMPO_CONTACTS)
        return refuse_both(strategy, error);
    if (strategy->tempo == TRIB_TEMPO_GROUPS)
        return check_groups(strategy, error);
    if (strategy->tempo == TRIB_TEMPO_CONTACTS)
        status = check_contacts(spec, error);
    if (status != TRIB_OK)
        return status;
    if (strategy->tempo != TRIB_TEMPO_ASYNC && strategy->staleness == TRIB_STALENESS_ASMU)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.staleness: asmu is a share in a mix, and preset %s mixes "
                              "nothing; polynomial works, or preset fedasmu",
                              strategy->preset);
    bool amplifies = strategy->staleness == TRIB_STALENESS_LINEAR ||
                     strategy->staleness == TRIB_STALENESS_PARTICIPATION;
    if (strategy->tempo == TRIB_TEMPO_ASYNC && amplifies)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.staleness: %s gives the slowest the largest share in the "
                              "mix; polynomial works",
                              strategy->staleness == TRIB_STALENESS_LINEAR ? "linear"
                                                                           : "participation");
    return TRIB_OK;
}

/* A sum has no base that ages and no optimizer, and is made once. */
static enum trib_status fit_sum(struct trib_spec *spec, struct trib_error *error) {
    struct trib_spec_strategy *strategy = &spec->strategy;
    const struct trib_optimizer *server = &strategy->optimizer;
    if (strategy->tempo != TRIB_TEMPO_SUM)
        return TRIB_OK;
    strategy->staleness_max = 0;
    strategy->weight_total_max = SUM_CLIENTS_MAX;
    if (strategy->weights != TRIB_WEIGHT_EQUAL)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.weights: a sum has none; equal works");
    if (server->kind != TRIB_OPTIMIZER_SGD || server->lr != 1)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.server: a sum is not optimized; leave it out");
    if (spec->stop.versions > 1)
        return trib_error_set(error, TRIB_EINVALID,
                              "stop.versions: a sum is made once; leave it out");
    spec->stop.versions = 1;
    return TRIB_OK;
}

static enum trib_status check_model(const struct trib_spec *spec, struct trib_error *error) {
    const struct trib_spec_model *model = &spec->model;
    if (model->init == TRIB_INIT_RUN && strcmp(model->source_run, spec->name) == 0)
        return trib_error_set(error, TRIB_EINVALID, "model.init.run: %s cannot start from itself",
                              spec->name);
    if (model->init == TRIB_INIT_TRAINER && strcmp(model->trainer, "softmax") == 0 &&
        model->hidden_count > 0)
        return trib_error_set(error, TRIB_EINVALID,
                              "model.init.hidden: softmax has no hidden layers; use trainer mlp");
    return TRIB_OK;
}

static enum trib_status check_evaluation(const struct trib_spec *spec, struct trib_error *error) {
    const struct trib_spec_evaluate *evaluate = &spec->evaluate;
    if (evaluate->every > 0) {
        if (evaluate->on_clients || evaluate->on_evaluators)
            return TRIB_OK;
        return trib_error_set(error, TRIB_EINVALID,
                              "evaluate.on: nobody would evaluate; name clients or evaluators, or "
                              "set evaluate.every to 0");
    }
    if (!isnan(spec->stop.target))
        return trib_error_set(error, TRIB_EINVALID,
                              "stop.target: %.15g is never reached while evaluate.every is 0",
                              spec->stop.target);
    if (!isnan(evaluate->goal))
        return trib_error_set(error, TRIB_EINVALID,
                              "evaluate.goal: %.15g is never reached while evaluate.every is 0",
                              evaluate->goal);
    if (spec->stop.patience > 0)
        return trib_error_set(error, TRIB_EINVALID,
                              "stop.patience: %" PRIu32 " never runs out while evaluate.every is 0",
                              spec->stop.patience);
    return TRIB_OK;
}

static void declare_needs(struct trib_spec *spec) {
    struct trib_policy_settings settings = trib_spec_policy_settings(spec);
    struct trib_policy_needs needs;
    spec->strategy.policy->declare(&settings, &needs);
    spec->strategy.denominator = needs.denominator;
    spec->strategy.denominator_constant = needs.constant;
    spec->strategy.base_versions = needs.base_versions;
    spec->strategy.pull = needs.pull;
    bool is_alone = spec->strategy.combiner == TRIB_COMBINER_EXTERNAL; /* one delta of weight 1 */
    if (is_alone)
        spec->strategy.denominator = TRIB_DENOMINATOR_WEIGHT;
}

enum trib_status trib_spec_fit(struct trib_spec *spec, struct trib_error *error) {
    if (spec->model.delta_max == 0)
        spec->model.delta_max =
            spec->strategy.tempo == TRIB_TEMPO_SUM ? DELTA_MAX_OF_SUM : DELTA_MAX;
    enum trib_status status = fit_sum(spec, error);
    if (status == TRIB_OK)
        status = check_counts(spec, error);
    if (status == TRIB_OK)
        status = check_model(spec, error);
    if (status == TRIB_OK)
        status = check_evaluation(spec, error);
    if (status == TRIB_OK)
        status = check_combiner(spec, error);
    if (status == TRIB_OK)
        status = check_tempo(spec, error);
    if (status == TRIB_OK)
        status = check_control(spec, error);
    if (status != TRIB_OK)
        return status;
    fill_staleness_table(&spec->strategy);
    declare_needs(spec);
    status = check_staleness_table(&spec->strategy, error);
    if (status == TRIB_OK)
        status = check_weight_max(spec, error);
    return status == TRIB_OK ? check_held(spec, error) : status;
}
