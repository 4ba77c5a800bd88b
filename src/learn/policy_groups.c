/* policy_groups.c - so many local steps for each client that clients arrive in groups (FedCompass).
 *
 * Li et al. 2024 (FedCompass, ICLR), section 3.2 and the authors' scheduler. A client's pace, in
 * seconds per step with its transfers, is estimated from its answers. Whoever is asked joins the
 * group that it can reach with the most steps in [Qmin, Qmax]; if there is none it opens a group of
 * its own, with as many steps as let a fast member of another group do Qmax more in the meantime.
 *
 *   first answer    a version by itself; from then on the pace is known
 *   in time         waits for its group, which closes when all are there, or when its latest time
 *                   has come and somebody is
 *   late            waits for whatever closes next; its client goes on at once
 *
 * A group that has closed, or whose time has passed with nobody there, is forgotten: its stragglers
 * find no group and so are late. The authors keep such groups until all have come; nobody can join
 * them either.
 *
 * Three deviations. A client that is late twice before a group closes has both updates counted; the
 * authors' scheduler forgets the first. A client that falls silent is nobody's member any more, so
 * that its group need not wait for its latest time. First answers that come while a version is being
 * made share the next one. */
#include "learn/policy.h"

static void declare(const struct trib_policy_settings *settings, struct trib_policy_needs *needs) {
    *needs = (struct trib_policy_needs){
        .denominator = settings->divide == TRIB_DIVIDE_WEIGHT ? TRIB_DENOMINATOR_WEIGHT
                                                              : TRIB_DENOMINATOR_CONSTANT,
        .constant = settings->divide == TRIB_DIVIDE_CLIENTS ? settings->clients : 1,
        .buffers_max = 2, /* one merges while the next fills, after a restart */
        .base_versions = 1,
        .present_min = 1,
        .keeps_seats = true,
        .holds = true,
    };
}

static bool plan(const struct trib_policy_settings *settings,
                 const struct trib_policy_memory *memory, const struct trib_policy_view *view,
                 struct trib_plan *plan) {
    (void)settings, (void)memory;
    *plan = (struct trib_plan){
        .asked = UINT32_MAX,
        .wanted = UINT32_MAX,
        .quorum = 1,
        .deadline = TRIB_TIME_NEVER,
    };
    return view->present > 0;
}

/* --- groups ----------------------------------------------------------------------------------- */

static struct trib_policy_group *find(struct trib_policy_memory *memory, uint32_t number) {
    for (uint32_t place = 0; number >= TRIB_HOLD_GROUPS && place < TRIB_POLICY_GROUPS; place++) {
        if (memory->groups[place].number == number)
            return &memory->groups[place];
    }
    return NULL;
}

static bool is_open(const struct trib_policy_group *group, trib_time_ns now) {
    return group->number != 0 && (group->arrived > 0 || group->latest >= now);
}

/* A free place, or one whose group has come to nothing; NULL: there is none. */
static struct trib_policy_group *find_place(struct trib_policy_memory *memory, trib_time_ns now) {
    for (uint32_t place = 0; place < TRIB_POLICY_GROUPS; place++) {
        if (!is_open(&memory->groups[place], now))
            return &memory->groups[place];
    }
    return NULL;
}

static void forget_empty(struct trib_policy_group *group) {
    if (group->training == 0 && group->arrived == 0)
        *group = (struct trib_policy_group){0};
}

static void leave(struct trib_policy_memory *memory, uint32_t index) {
    struct trib_policy_client *client = &memory->clients[index];
    struct trib_policy_group *group = client->is_waiting ? NULL : find(memory, client->group);
    if (client->is_waiting)
        return; /* Its update is there; it leaves nobody waiting. */
    client->group = 0;
    if (group) {
        group->training--;
        forget_empty(group);
    }
}

static void closed(struct trib_policy_memory *memory, uint32_t hold) {
    struct trib_policy_group *group = find(memory, hold);
    if (hold == TRIB_HOLD_LATE)
        memory->late_count = 0;
    if (hold == TRIB_HOLD_FIRST)
        memory->first_count = 0;
    if (group)
        *group = (struct trib_policy_group){0};
    for (uint32_t index = 0; index < memory->clients_seen; index++) {
        struct trib_policy_client *client = &memory->clients[index];
        if (client->is_waiting && client->group == hold) {
            client->is_waiting = false;
            client->group = 0;
        }
    }
}

/* --- assignments ------------------------------------------------------------------------------ */

static double seconds(trib_time_ns duration) {
    return (double)duration / (double)TRIB_SECOND;
}

/* `from` and so many seconds; never, when that is beyond all times. */
static trib_time_ns later(trib_time_ns from, double by) {
    double ns = by * (double)TRIB_SECOND;
    return ns < (double)(TRIB_TIME_NEVER - from) ? from + (trib_time_ns)ns : TRIB_TIME_NEVER;
}

/* Whole steps of this pace in so many seconds, -1 when it is none at all; a bound keeps it in range. */
static int64_t steps_in(double time, double pace) {
    double steps = time / pace;
    if (steps < 0)
        return -1;
    return steps < UINT32_MAX ? (int64_t)steps : UINT32_MAX;
}

static double fastest_pace(const struct trib_policy_memory *memory, uint32_t number) {
    double fastest = 0;
    for (uint32_t index = 0; index < memory->clients_seen; index++) {
        const struct trib_policy_client *client = &memory->clients[index];
        if (client->group == number && (fastest == 0 || client->pace < fastest))
            fastest = client->pace;
    }
    return fastest;
}

/* The group to join, with its steps; NULL: it can reach none with at least the fewest. Of equals,
 * the one that was opened last. */
static struct trib_policy_group *best_group(const struct trib_policy_settings *settings,
                                            struct trib_policy_memory *memory, double pace,
                                            trib_time_ns now, uint32_t *steps) {
    struct trib_policy_group *best = NULL;
    for (uint32_t place = 0; place < TRIB_POLICY_GROUPS; place++) {
        struct trib_policy_group *group = &memory->groups[place];
        if (!is_open(group, now))
            continue;
        int64_t reach = steps_in(seconds(group->expected - now), pace);
        bool is_better =
            !best || reach > *steps || (reach == *steps && group->number > best->number);
        if (reach >= settings->steps_min && reach <= settings->steps_max && is_better) {
            best = group;
            *steps = (uint32_t)reach;
        }
    }
    return best;
}

/* Steps of a client that opens a group: until a fast member of another one, done with that, has done
 * the most steps again. */
static uint32_t steps_alone(const struct trib_policy_settings *settings,
                            const struct trib_policy_memory *memory, double pace,
                            trib_time_ns now) {
    int64_t most = -1;
    for (uint32_t place = 0; place < TRIB_POLICY_GROUPS; place++) {
        const struct trib_policy_group *group = &memory->groups[place];
        if (!is_open(group, now) || now >= group->latest)
            continue;
        double again = fastest_pace(memory, group->number) * settings->steps_max;
        int64_t steps = steps_in(seconds(group->latest - now) + again, pace);
        if (steps <= settings->steps_max && steps > most)
            most = steps;
    }
    if (most < 0)
        return settings->steps_max;
    return most < settings->steps_min ? settings->steps_min : (uint32_t)most;
}

static struct trib_policy_group *open_group(const struct trib_policy_settings *settings,
                                            struct trib_policy_memory *memory,
                                            const struct trib_policy_client *client) {
    struct trib_policy_group *group = find_place(memory, client->asked_at);
    if (!group)
        return NULL;
    double time = client->steps * client->pace;
    *group = (struct trib_policy_group){
        .number = TRIB_HOLD_GROUPS + memory->groups_made++,
        .expected = later(client->asked_at, time),
        .latest = later(client->asked_at, time * settings->slack),
    };
    return group;
}

/* Without a pace, or when there are as many groups as can be: the most steps, for no group. */
static void assign(const struct trib_policy_settings *settings, struct trib_policy_memory *memory,
                   uint32_t index, trib_time_ns now, struct trib_assignment *assignment) {
    struct trib_policy_client *client = &memory->clients[index];
    leave(memory, index);
    if (index >= memory->clients_seen)
        memory->clients_seen = index + 1;
    client->asked_at = now;
    client->steps = settings->steps_max;
    client->is_waiting = false;
    struct trib_policy_group *group = NULL;
    if (client->pace > 0) {
        group = best_group(settings, memory, client->pace, now, &client->steps);
        if (!group) {
            client->steps = steps_alone(settings, memory, client->pace, now);
            group = open_group(settings, memory, client);
        }
    }
    client->group = group ? group->number : 0;
    if (group)
        group->training++;
    *assignment = (struct trib_assignment){
        .steps = client->steps,
        .expected_by = group ? group->expected : TRIB_TIME_NEVER,
    };
}

/* --- arrivals --------------------------------------------------------------------------------- */

static void learn_pace(const struct trib_policy_settings *settings,
                       struct trib_policy_client *client, trib_time_ns now) {
    double pace = seconds(now - client->asked_at) / client->steps;
    double beta = client->pace > 0 ? settings->speed_beta : 1;
    client->pace = (1 - beta) * client->pace + beta * pace;
    /* A clock that stood still tells nothing, but the client has answered. */
    if (client->pace <= 0)
        client->pace = seconds(1);
}

static uint32_t wait_for(struct trib_policy_client *client, uint32_t hold) {
    client->group = hold;
    client->is_waiting = true;
    return hold;
}

static uint32_t arrive(const struct trib_policy_settings *settings,
                       struct trib_policy_memory *memory, uint32_t index, trib_time_ns now,
                       bool is_answer) {
    struct trib_policy_client *client = &memory->clients[index];
    struct trib_policy_group *group = is_answer ? find(memory, client->group) : NULL;
    bool is_first = client->pace == 0;
    if (is_answer && client->steps > 0)
        learn_pace(settings, client, now);
    if (group && now <= group->latest) {
        group->training--;
        group->arrived++;
        return wait_for(client, group->number);
    }
    if (is_answer)
        leave(memory, index);
    if (is_first) {
        memory->first_count++;
        return is_answer ? wait_for(client, TRIB_HOLD_FIRST) : TRIB_HOLD_FIRST;
    }
    memory->late_count++;
    return TRIB_HOLD_LATE;
}

/* --- closing ---------------------------------------------------------------------------------- */

static enum trib_verdict close_with(struct trib_plan *plan, uint32_t hold, uint32_t other) {
    plan->closes[0] = hold;
    plan->closes[1] = other;
    return TRIB_VERDICT_CLOSE;
}

static enum trib_verdict judge(const struct trib_policy_settings *settings,
                               const struct trib_policy_memory *memory,
                               const struct trib_policy_view *view, struct trib_plan *plan,
                               trib_time_ns *look_again) {
    (void)settings;
    *look_again = TRIB_TIME_NEVER;
    if (view->received > 0) /* Kept over a restart, with its version. */
        return close_with(plan, TRIB_HOLD_NONE, TRIB_HOLD_NONE);
    if (memory->first_count > 0)
        return close_with(plan, TRIB_HOLD_FIRST, TRIB_HOLD_NONE);
    plan->deadline = TRIB_TIME_NEVER;
    for (uint32_t place = 0; place < TRIB_POLICY_GROUPS; place++) {
        const struct trib_policy_group *group = &memory->groups[place];
        if (group->arrived == 0)
            continue;
        if (group->training == 0 || view->now >= group->latest)
            return close_with(plan, group->number, TRIB_HOLD_LATE);
        if (group->latest < plan->deadline)
            plan->deadline = group->latest;
    }
    *look_again = plan->deadline;
    if (view->is_full && memory->late_count > 0)
        return close_with(plan, TRIB_HOLD_LATE, TRIB_HOLD_NONE);
    return TRIB_VERDICT_WAIT;
}

const struct trib_policy trib_policy_groups = {
    .name = "groups",
    .declare = declare,
    .plan = plan,
    .judge = judge,
    .assign = assign,
    .arrive = arrive,
    .leave = leave,
    .closed = closed,
};
