/* evaluations.c - weighted means of reports, best, target and patience. */
#include "run/evaluations.h"

#include <math.h>

void trib_evaluations_init(struct trib_evaluations *evaluations,
                           const struct trib_spec_evaluate *rules, double target) {
    *evaluations = (struct trib_evaluations){.rules = rules, .target = target};
}

bool trib_evaluations_takes(uint64_t version, uint64_t current) {
    return version <= current && current - version < TRIB_EVALUATIONS_KEPT;
}

static double mean_of(const struct trib_evaluation *evaluation) {
    return evaluation->metric_examples > 0 ? evaluation->metric_sum / evaluation->metric_examples
                                           : (double)NAN;
}

static struct trib_evaluation *place_of(struct trib_evaluations *evaluations, uint64_t version) {
    return &evaluations->ring[version % TRIB_EVALUATIONS_KEPT];
}

/* Is `a` strictly better than `b`? Nothing is better than what is not a number. */
static bool is_better(const struct trib_evaluations *evaluations, double a, double b) {
    if (isnan(b))
        return !isnan(a);
    return evaluations->rules->is_min ? a < b : a > b;
}

/* The best of those still in the ring and of a best that has left it. Means in the ring may have
 * moved, also down, so all are compared anew. */
static struct trib_evaluated find_best(const struct trib_evaluations *evaluations) {
    struct trib_evaluated best = evaluations->best;
    const struct trib_evaluation *kept = &evaluations->ring[best.version % TRIB_EVALUATIONS_KEPT];
    if (best.is_set && kept->version == best.version)
        best.metric = mean_of(kept);
    for (uint32_t place = 0; place < TRIB_EVALUATIONS_KEPT; place++) {
        const struct trib_evaluation *other = &evaluations->ring[place];
        double metric = other->is_evaluated ? mean_of(other) : (double)NAN;
        if (isnan(metric))
            continue;
        bool is_older_equal = metric == best.metric && other->version < best.version;
        if (!best.is_set || is_better(evaluations, metric, best.metric) || is_older_equal)
            best = (struct trib_evaluated){true, other->version, metric};
    }
    return best;
}

static void look_at_target(struct trib_evaluations *evaluations, uint64_t version, double metric) {
    if (evaluations->reached.is_set || isnan(evaluations->target) || isnan(metric))
        return;
    if (metric == evaluations->target || is_better(evaluations, metric, evaluations->target))
        evaluations->reached = (struct trib_evaluated){true, version, metric};
}

struct trib_evaluation_news trib_evaluations_add(struct trib_evaluations *evaluations,
                                                 uint64_t version, uint64_t examples, double metric,
                                                 bool has_metric) {
    struct trib_evaluation_news news = {0};
    struct trib_evaluation *evaluation = place_of(evaluations, version);
    if (evaluation->version > version)
        return news; /* No longer kept. */
    if (evaluation->version != version)
        *evaluation = (struct trib_evaluation){.version = version};
    evaluation->report_count++;
    if (has_metric) {
        evaluation->metric_examples += (double)examples;
        evaluation->metric_sum += (double)examples * metric;
    }
    if (evaluation->report_count < evaluations->rules->clients_min)
        return news;

    bool is_first = !evaluation->is_evaluated;
    evaluation->is_evaluated = true;
    news.is_evaluated = true;
    double mean = mean_of(evaluation);
    if (!evaluations->newest.is_set || version >= evaluations->newest.version)
        evaluations->newest = (struct trib_evaluated){true, version, mean};
    look_at_target(evaluations, version, mean);

    struct trib_evaluated best = find_best(evaluations);
    news.is_best =
        best.is_set && (!evaluations->best.is_set || best.version != evaluations->best.version);
    evaluations->best = best;
    if (news.is_best)
        evaluations->without_best = 0;
    else if (is_first && best.is_set && version > best.version)
        evaluations->without_best++;
    return news;
}

bool trib_evaluations_is_evaluated(const struct trib_evaluations *evaluations, uint64_t version) {
    const struct trib_evaluation *evaluation = &evaluations->ring[version % TRIB_EVALUATIONS_KEPT];
    return evaluation->version == version && evaluation->is_evaluated;
}
