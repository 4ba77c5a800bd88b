/* policy_ticks.c - a version per tick of a clock, from whatever has arrived (FedFix).
 *
 * Fraboni et al. 2023 (A General Theory for Federated Optimization with Asynchronous and
 * Heterogeneous Clients Updates), FedFix: everybody trains; whoever has answered starts anew with
 * the version of the next tick, whoever has not goes on undisturbed. A tick that finds fewer updates
 * than the quorum makes no version; what has arrived waits for the next one.
 *
 * The paper's weights d = ceil(duration / tick) * p need no clock here: a client starts at a
 * version, so the ticks it took are its staleness + 1, which is the staleness rule "linear". Ticks
 * without a version do not count in it, nor should they: what has to be made up for is how rarely a
 * client is in a version. */
#include "learn/policy.h"

static void declare(const struct trib_policy_settings *settings, struct trib_policy_needs *needs) {
    bool is_mean = settings->divide == TRIB_DIVIDE_WEIGHT;
    *needs = (struct trib_policy_needs){
        .denominator = is_mean ? TRIB_DENOMINATOR_WEIGHT : TRIB_DENOMINATOR_CONSTANT,
        .constant = settings->divide == TRIB_DIVIDE_CLIENTS ? settings->clients : 1,
        .buffers_max = 2, /* one merges while the next fills */
        .base_versions = 1,
        .present_min = 1,
        .keeps_seats = true,
    };
}

static trib_time_ns later(trib_time_ns time, trib_time_ns by) {
    return by > TRIB_TIME_NEVER - time ? TRIB_TIME_NEVER : time + by;
}

static bool plan(const struct trib_policy_settings *settings,
                 const struct trib_policy_memory *memory, const struct trib_policy_view *view,
                 struct trib_plan *plan) {
    (void)memory; /* The clock does not depend on what clients did. */
    if (view->present == 0)
        return false;
    *plan = (struct trib_plan){
        .asked = UINT32_MAX,
        .wanted = UINT32_MAX,
        .quorum = settings->quorum > 0 ? settings->quorum : 1,
        .deadline = later(view->now, settings->tick),
    };
    return true;
}

static enum trib_verdict judge(const struct trib_policy_settings *settings,
                               const struct trib_policy_memory *memory,
                               const struct trib_policy_view *view, struct trib_plan *plan,
                               trib_time_ns *look_again) {
    (void)memory;
    bool is_due = view->now >= plan->deadline;
    if (is_due && view->received >= plan->quorum)
        return TRIB_VERDICT_CLOSE;
    if (is_due) {
        /* In step with the clock, also after a pause of many ticks. */
        trib_time_ns missed = (view->now - plan->deadline) / settings->tick + 1;
        plan->deadline = later(plan->deadline, missed * settings->tick);
    }
    *look_again = plan->deadline;
    return TRIB_VERDICT_WAIT;
}

const struct trib_policy trib_policy_ticks = {
    .name = "ticks",
    .declare = declare,
    .plan = plan,
    .judge = judge,
};
