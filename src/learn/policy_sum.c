/* policy_sum.c - one exact sum of what clients send: counts, sums and histograms before training.
 *
 * Everybody who is there is asked, once. The sum is released when the quorum has sent theirs and nobody
 * who was asked is still at it, so never of fewer clients; whoever falls silent is not waited for. */
#include "learn/policy.h"

static uint32_t quorum_of(const struct trib_policy_settings *settings) {
    return settings->quorum > 0 ? settings->quorum : 1;
}

static void declare(const struct trib_policy_settings *settings, struct trib_policy_needs *needs) {
    *needs = (struct trib_policy_needs){
        .denominator = TRIB_DENOMINATOR_CONSTANT,
        .constant = 1,
        .buffers_max = 2,
        .base_versions = 1,
        .present_min = quorum_of(settings),
        .is_once = true,
    };
}

static bool plan(const struct trib_policy_settings *settings,
                 const struct trib_policy_memory *memory, const struct trib_policy_view *view,
                 struct trib_plan *plan) {
    (void)memory; /* There is no round before this one. */
    *plan = (struct trib_plan){
        .asked = UINT32_MAX,
        .wanted = quorum_of(settings),
        .quorum = quorum_of(settings),
        .deadline = TRIB_TIME_NEVER,
    };
    return view->present >= plan->quorum;
}

static enum trib_verdict judge(const struct trib_policy_settings *settings,
                               const struct trib_policy_memory *memory,
                               const struct trib_policy_view *view, struct trib_plan *plan,
                               trib_time_ns *look_again) {
    (void)settings, (void)memory;
    bool is_alone = view->training == 0 && view->writing == 0;
    *look_again = TRIB_TIME_NEVER;
    return is_alone && view->received >= plan->quorum ? TRIB_VERDICT_CLOSE : TRIB_VERDICT_WAIT;
}

const struct trib_policy trib_policy_sum = {
    .name = "sum",
    .declare = declare,
    .plan = plan,
    .judge = judge,
};
