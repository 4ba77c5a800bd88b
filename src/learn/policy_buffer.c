/* policy_buffer.c - a version per K updates, clients that never wait (FedBuff); with K = 1 and a mix
 * of models instead of a sum of deltas, FedAsync.
 *
 * Nguyen et al. 2022, Algorithm 1: up to C clients train at one time, each from the version that was
 * current when it was asked; as soon as one finishes, another is asked, or the same one again. K
 * updates close a buffer, whoever they come from, so one slow client costs nothing but its own
 * update's freshness. With durations of any distribution an update is (C - 1) / K versions old in
 * the mean.
 *
 * The sum is divided by K (the paper), by the sum of the weights (then the size of a step does not
 * depend on staleness), by the number of clients, or not at all (then the server's learning rate has
 * to contain 1 / K).
 *
 * Two deviations. A buffer may have a deadline, at which it closes with a quorum: for fleets that
 * fall asleep. And updates that come in while the version before is being made may be more than K:
 * they are all counted, and divided by their number, because turning them away would make clients
 * wait for the server.
 *
 * FedAsync, Xie et al. 2019, Algorithm 1: x = (1 - a) x + a x_new for each update, a = alpha s(u).
 * With x_new = base + delta that is x + a (base - x) + a delta: the sum has a delta, and the merge
 * adds the pull towards the base, which must still be at hand. Mixing does not commute, so there is
 * one update in a version and the ledger has the order. */
#include "learn/policy.h"

static uint32_t at_least_one(uint32_t count) {
    return count > 0 ? count : 1;
}

static void declare(const struct trib_policy_settings *settings, struct trib_policy_needs *needs) {
    static const enum trib_denominator denominators[] = {
        [TRIB_DIVIDE_WEIGHT] = TRIB_DENOMINATOR_WEIGHT,
        [TRIB_DIVIDE_GOAL] = TRIB_DENOMINATOR_GOAL,
        [TRIB_DIVIDE_NONE] = TRIB_DENOMINATOR_CONSTANT,
        [TRIB_DIVIDE_CLIENTS] = TRIB_DENOMINATOR_CONSTANT,
    };
    const double constants[] = {
        [TRIB_DIVIDE_WEIGHT] = 1,
        [TRIB_DIVIDE_GOAL] = at_least_one(settings->goal),
        [TRIB_DIVIDE_NONE] = 1,
        [TRIB_DIVIDE_CLIENTS] = settings->clients,
    };
    *needs = (struct trib_policy_needs){
        .denominator = denominators[settings->divide],
        .constant = constants[settings->divide],
        .buffers_max = 2, /* one merges while the next fills */
        .base_versions = 1,
        .present_min = 1,
        .keeps_seats = true,
        .asks_again = true,
    };
}

static bool plan(const struct trib_policy_settings *settings,
                 const struct trib_policy_memory *memory, const struct trib_policy_view *view,
                 struct trib_plan *plan) {
    (void)memory; /* Nothing is learned from earlier versions. */
    if (view->present == 0)
        return false;
    bool is_endless = settings->deadline > TRIB_TIME_NEVER - view->now;
    *plan = (struct trib_plan){
        .asked = settings->concurrency > 0 ? settings->concurrency : UINT32_MAX,
        .wanted = at_least_one(settings->goal),
        .quorum = at_least_one(settings->quorum),
        .deadline = is_endless ? TRIB_TIME_NEVER : view->now + settings->deadline,
    };
    return true;
}

static enum trib_verdict judge(const struct trib_policy_settings *settings,
                               const struct trib_policy_memory *memory,
                               const struct trib_policy_view *view, struct trib_plan *plan,
                               trib_time_ns *look_again) {
    (void)settings, (void)memory; /* The plan has it all. */
    bool is_due = view->now >= plan->deadline;
    *look_again = is_due ? TRIB_TIME_NEVER : plan->deadline;
    bool is_enough = view->received >= plan->wanted || (is_due && view->received >= plan->quorum);
    return is_enough ? TRIB_VERDICT_CLOSE : TRIB_VERDICT_WAIT;
}

static void declare_async(const struct trib_policy_settings *settings,
                          struct trib_policy_needs *needs) {
    *needs = (struct trib_policy_needs){
        .denominator = TRIB_DENOMINATOR_CONSTANT,
        .constant = 1,
        .buffers_max = 2,
        .updates_max = 1,
        .base_versions = settings->staleness_max + 1,
        .present_min = 1,
        .keeps_seats = true,
        .asks_again = true,
        .pull = TRIB_PULL_SHARE,
    };
}

const struct trib_policy trib_policy_async = {
    .name = "async",
    .declare = declare_async,
    .plan = plan,
    .judge = judge,
};

const struct trib_policy trib_policy_buffer = {
    .name = "buffer",
    .declare = declare,
    .plan = plan,
    .judge = judge,
};
