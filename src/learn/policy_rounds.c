/* policy_rounds.c - rounds with a cohort, a quorum and an observed deadline (FedAvg, DiLoCo, ...).
 *
 * A round asks a share C of the clients that are present (McMahan et al. 2017, Algorithm 1), a few
 * more if some are expected to fail (over-selection, Bonawitz et al. 2019), and ends
 *
 *   as soon as the wanted number of updates is durable;
 *   as soon as nobody is left who could send one and the quorum is there;
 *   at the deadline with the quorum; short of it, as the spec says:
 *     wait   with the update that completes the quorum
 *     go     with what is there, one update at least
 *     pause  not at all: the run pauses and the round gets its time again after it
 *
 * With dynamic backup workers (Xu, Neglia and Sebastianelli 2020, DBW) the wanted number is decided for
 * each round: the k that gains most per time. k updates with noise gain 1 - rho / k of what is to be
 * gained, where rho is the noise of one, and they take as long as the k-th fastest of those asked
 * may be expected to. The paper estimates rho in each iteration from the gradients; a policy sees no
 * numbers of the model, so here it is a setting.
 *
 * The deadline comes from the durations of earlier tasks, late ones included, so that it follows
 * the fleet. */
#include "learn/policy.h"

#include <stdlib.h>
#include <string.h>

#define OBSERVED_MIN 8           /* fewer durations say too little: first_deadline */
#define DEADLINE_MIN TRIB_SECOND /* a floor, so that a tick of jitter ends no round */

static void declare(const struct trib_policy_settings *settings, struct trib_policy_needs *needs) {
    *needs = (struct trib_policy_needs){
        .denominator = TRIB_DENOMINATOR_WEIGHT,
        .buffers_max = 2, /* one merges while the next fills */
        .base_versions = 1,
        .present_min = settings->quorum > 0 ? settings->quorum : 1,
    };
}

/* ceil(factor * count), but a product that is whole in decimals stays whole: 0.1 * 30 is
 * 3.0000000000000004 in binary and must not become 4. */
static uint32_t scale_up(double factor, uint32_t count) {
    double product = factor * count * (1 - 0x1p-40);
    if (product >= UINT32_MAX)
        return UINT32_MAX;
    uint32_t whole = (uint32_t)product;
    return whole + (product > whole);
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

static int compare_times(const void *a, const void *b) {
    trib_time_ns first = *(const trib_time_ns *)a, second = *(const trib_time_ns *)b;
    return (first > second) - (first < second);
}

/* Durations, the shortest first; returns how many. */
static uint32_t sort_observed(const struct trib_policy_memory *memory,
                              trib_time_ns sorted[TRIB_POLICY_ARRIVALS]) {
    uint32_t count = least(memory->arrival_count, TRIB_POLICY_ARRIVALS);
    memcpy(sorted, memory->arrivals, count * sizeof sorted[0]);
    qsort(sorted, count, sizeof sorted[0], compare_times);
    return count;
}

/* Twice the median, or a quarter more than what nine of ten needed, whichever is later. */
static trib_time_ns observed_allowance(const struct trib_policy_memory *memory) {
    trib_time_ns sorted[TRIB_POLICY_ARRIVALS];
    uint32_t count = sort_observed(memory, sorted);
    trib_time_ns by_median = 2 * sorted[count / 2];
    trib_time_ns slow = sorted[(count * 9 - 1) / 10];
    trib_time_ns by_slow = slow + slow / 4;
    trib_time_ns allowance = by_median > by_slow ? by_median : by_slow;
    return allowance > DEADLINE_MIN ? allowance : DEADLINE_MIN;
}

/* When a round that starts now has to end. */
static trib_time_ns deadline_from(const struct trib_policy_settings *settings,
                                  const struct trib_policy_memory *memory, trib_time_ns now) {
    trib_time_ns allowance = settings->deadline;
    if (allowance < 0)
        allowance = memory->arrival_count < OBSERVED_MIN ? settings->first_deadline
                                                         : observed_allowance(memory);
    return allowance > TRIB_TIME_NEVER - now ? TRIB_TIME_NEVER : now + allowance;
}

/* How many of those asked to wait for. The k-th fastest of n is expected at the quantile k / (n + 1)
 * of what has been observed. */
static uint32_t worth_waiting(const struct trib_policy_settings *settings,
                              const struct trib_policy_memory *memory, uint32_t asked,
                              uint32_t quorum) {
    trib_time_ns sorted[TRIB_POLICY_ARRIVALS];
    uint32_t count = sort_observed(memory, sorted), best = asked;
    if (count < OBSERVED_MIN)
        return asked;
    double best_rate = 0;
    for (uint32_t k = quorum; k <= asked; k++) {
        trib_time_ns time = sorted[(uint64_t)k * count / ((uint64_t)asked + 1)];
        double rate = (1 - settings->noise / k) / (double)(time > 0 ? time : 1);
        if (rate >= best_rate) {
            best_rate = rate;
            best = k;
        }
    }
    return best;
}

static bool plan(const struct trib_policy_settings *settings,
                 const struct trib_policy_memory *memory, const struct trib_policy_view *view,
                 struct trib_plan *plan) {
    uint32_t quorum = most(settings->quorum, 1);
    if (view->present < quorum)
        return false;
    uint32_t share = scale_up(settings->fraction, view->present);
    uint32_t wanted = least(most(share, quorum), view->present);
    *plan = (struct trib_plan){
        .asked = least(scale_up(1 + settings->over_selection, wanted), view->present),
        .wanted = wanted,
        .quorum = quorum,
        .deadline = deadline_from(settings, memory, view->now),
    };
    if (settings->backs_up)
        plan->wanted = worth_waiting(settings, memory, plan->asked, quorum);
    return true;
}

static enum trib_verdict judge_short(const struct trib_policy_settings *settings,
                                     const struct trib_policy_memory *memory,
                                     const struct trib_policy_view *view, struct trib_plan *plan) {
    /* What is being written will tell in a moment whether the round is short at all. */
    if (view->received + view->writing >= plan->quorum)
        return TRIB_VERDICT_WAIT;
    switch (settings->if_short) {
    case TRIB_POLICY_SHORT_PAUSE:
        plan->deadline = deadline_from(settings, memory, view->now);
        return TRIB_VERDICT_PAUSE;
    case TRIB_POLICY_SHORT_GO:
        plan->wanted = 1;
        break;
    case TRIB_POLICY_SHORT_WAIT:
        plan->wanted = plan->quorum;
        break;
    }
    plan->deadline = TRIB_TIME_NEVER;
    return view->received >= plan->wanted ? TRIB_VERDICT_CLOSE : TRIB_VERDICT_WAIT;
}

static enum trib_verdict judge(const struct trib_policy_settings *settings,
                               const struct trib_policy_memory *memory,
                               const struct trib_policy_view *view, struct trib_plan *plan,
                               trib_time_ns *look_again) {
    enum trib_verdict verdict = TRIB_VERDICT_WAIT;
    bool is_alone = view->training == 0 && view->writing == 0;
    if (view->received >= plan->wanted || (is_alone && view->received >= plan->quorum))
        verdict = TRIB_VERDICT_CLOSE;
    else if (view->now >= plan->deadline)
        verdict = view->received >= plan->quorum ? TRIB_VERDICT_CLOSE
                                                 : judge_short(settings, memory, view, plan);
    /* A deadline that has passed needs no second look: only an update changes anything. */
    *look_again = plan->deadline > view->now ? plan->deadline : TRIB_TIME_NEVER;
    return verdict;
}

static void observe(struct trib_policy_memory *memory, trib_time_ns duration) {
    memory->arrivals[memory->arrival_count % TRIB_POLICY_ARRIVALS] = duration;
    memory->arrival_count++;
    /* Stays full when the count wraps around. */
    if (memory->arrival_count == 0)
        memory->arrival_count = TRIB_POLICY_ARRIVALS;
}

const struct trib_policy trib_policy_rounds = {
    .name = "rounds",
    .declare = declare,
    .plan = plan,
    .judge = judge,
    .observe = observe,
};
