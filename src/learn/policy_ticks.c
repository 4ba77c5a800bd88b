/* policy_ticks.c - a version per tick of a clock, from whatever has arrived (FedFix); of clients that
 * are called in the middle of their work, FAVANO and S2S.
 *
 * Fraboni et al. 2023 (A General Theory for Federated Optimization with Asynchronous and
 * Heterogeneous Clients Updates), FedFix: everybody trains; whoever has answered starts anew with
 * the version of the next tick, whoever has not goes on undisturbed. A tick that finds fewer updates
 * than the quorum makes no version; what has arrived waits for the next one.
 *
 * The paper's weights d = ceil(duration / tick) * p need no clock here: a client starts at a
 * version, so the ticks it took are its staleness + 1, which is the staleness rule "linear". Ticks
 * without a version do not count in it, nor should they: what has to be made up for is how rarely a
 * client is in a version.
 *
 * Contacts: in FAVANO (Leconte, Nguyen and Moulines 2023) the server contacts s random clients of n in
 * each step, whatever they have done by then; in S2S (Rodio et al. 2026) it samples m devices. Both take
 * the mean of these clients' models, and the others go on from where they are. A client that dials out
 * cannot be called at a moment that it does not know. So the moment is drawn when it is asked: after
 * every tick it is called with probability C, hence after j ticks with probability C (1 - C)^(j - 1),
 * and told so with its task. The papers draw s out of n; here each is drawn by itself, which has the
 * same mean number and the same law for each client. It is called half a tick before the tick that
 * counts it, time enough for most uploads, and at the latest when its base is about to be forgotten. */
#include "learn/policy.h"

#include "base/random.h"

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

static void declare_contacts(const struct trib_policy_settings *settings,
                             struct trib_policy_needs *needs) {
    declare(settings, needs);
    if (settings->divide == TRIB_DIVIDE_BOTH)
        needs->denominator = TRIB_DENOMINATOR_BOTH;
    needs->base_versions = settings->staleness_max + 1;
    needs->pull = TRIB_PULL_MODELS;
}

/* Ticks until the one that counts it, 1 at least. */
static uint32_t draw_ticks(const struct trib_policy_settings *settings, uint64_t draw) {
    struct trib_random random;
    uint32_t ticks = 1;
    trib_random_derive(&random, settings->seed, "contact", draw);
    while (ticks < settings->staleness_max && trib_random_unit(&random) >= settings->fraction)
        ticks++;
    return ticks;
}

static void assign(const struct trib_policy_settings *settings, struct trib_policy_memory *memory,
                   uint32_t client, trib_time_ns now, struct trib_assignment *assignment) {
    (void)client; /* All are alike. */
    uint32_t ticks = draw_ticks(settings, memory->call_count++);
    trib_time_ns half = settings->tick / 2;
    bool is_never = settings->tick > TRIB_TIME_NEVER / ticks;
    *assignment = (struct trib_assignment){
        .expected_by = is_never ? TRIB_TIME_NEVER : later(now, settings->tick * ticks - half)};
}

const struct trib_policy trib_policy_ticks = {
    .name = "ticks",
    .declare = declare,
    .plan = plan,
    .judge = judge,
};

const struct trib_policy trib_policy_contacts = {
    .name = "contacts",
    .declare = declare_contacts,
    .plan = plan,
    .judge = judge,
    .assign = assign,
};
