/* round.c - the cohort of a version: who has a seat, who is asked instead, when the buffer closes.
 *
 * Every client draws a rank from (seed, version, its name); seats go to the lowest ranks of those
 * who can be asked. That is a uniform sample without replacement, it does not depend on the order
 * in which clients joined, and the one asked when a seat is freed is the next in the same order.
 *
 * Where whoever has answered is asked again (needs.asks_again), seats are freed one by one and each
 * is a fresh draw: a fixed order would always prefer the same clients.
 *
 * Whoever select.prefer likes better comes before any rank or draw, and select.quota passes over
 * those whose group has its seats. A free seat then costs a look at every client.
 *
 * After every step either no seat is free, or nobody is left to take it, or the updates that were
 * wanted are there or being written: so the policy may close a round as soon as nobody is training,
 * and whoever is asked as a version is about to come gets that version. */
#include <stdlib.h>

#include "base/random.h"
#include "base/words.h"
#include "run/heart.h"

#define PROBES_MAX 64 /* draws in a row that may miss before everybody is ranked */

enum trib_task_state trib_round_task_state(const struct trib_run *run,
                                           const struct trib_client *client) {
    bool is_kept =
        run->needs.keeps_seats && client->has_seat && client->task_state == TRIB_TASK_HELD;
    bool is_current = client->task_version == run->version;
    return is_current || is_kept ? client->task_state : TRIB_TASK_NONE;
}

bool trib_round_has_seat(const struct trib_run *run, const struct trib_client *client) {
    return client->has_seat && trib_round_task_state(run, client) == TRIB_TASK_HELD;
}

/* --- who may be asked --------------------------------------------------------------------- */

static uint32_t seats_free(const struct trib_run *run) {
    const struct trib_round *round = &run->round;
    uint32_t taken = round->seats_held + round->seats_answered;
    return round->is_open && taken < round->plan.asked ? round->plan.asked - taken : 0;
}

bool trib_round_waits_for_group(const struct trib_run *run, const struct trib_client *client) {
    uint32_t index = trib_roster_index(&run->roster, client);
    return run->needs.holds && (client->writing > 0 || run->memory.clients[index].is_waiting);
}

static bool is_candidate(const struct trib_run *run, const struct trib_client *client) {
    bool is_resting = run->needs.keeps_seats && client->rests_until > run->now;
    if (!trib_client_is_available(client) || is_resting || trib_round_waits_for_group(run, client))
        return false;
    switch (trib_round_task_state(run, client)) {
    case TRIB_TASK_NONE:
        return true;
    case TRIB_TASK_HELD:
        return !client->has_seat; /* Back from a silence. */
    case TRIB_TASK_ANSWERED:
        return false;
    case TRIB_TASK_RETURNED:
        return client->rests_until <= run->now;
    }
    return false;
}

void trib_round_meet(struct trib_run *run, const struct trib_client *client) {
    if (client && run->needs.holds)
        run->memory.clients[trib_roster_index(&run->roster, client)] =
            (struct trib_policy_client){0};
}

static bool has_room(const struct trib_run *run, const struct trib_client *client) {
    return trib_tally_has_room(&run->tally, &run->spec->select, &client->traits);
}

void trib_round_notice(struct trib_run *run, const struct trib_client *client) {
    if (seats_free(run) > 0 && is_candidate(run, client) && has_room(run, client))
        run->round.may_fill = true;
}

static int compare_ranks(const void *a, const void *b) {
    const struct trib_ranked *first = a, *second = b;
    if (first->liking != second->liking)
        return first->liking > second->liking ? -1 : 1;
    if (first->rank != second->rank)
        return first->rank < second->rank ? -1 : 1;
    return first->index < second->index ? -1 : first->index > second->index;
}

/* The fastest first; in units that tell a nanosecond per step from two. */
static uint64_t rank_of_pace(double pace) {
    double ns = pace * (double)TRIB_SECOND;
    return ns < 0x1p63 ? (uint64_t)ns : UINT64_MAX;
}

/* Fill roster.ranking with everybody who may be asked: the best liked first, among equals the lowest
 * rank. */
static uint32_t rank_candidates(struct trib_run *run) {
    struct trib_roster *roster = &run->roster;
    /* Where seats are kept, whoever has one is no candidate: most of them, where many train. */
    bool is_kept = run->needs.keeps_seats;
    uint32_t looked_at = is_kept ? roster->unseated_count : roster->count;
    struct trib_random random;
    trib_random_derive(&random, run->spec->seed, "cohort", run->version + 1);
    uint64_t salt = trib_random_u64(&random);
    uint32_t count = 0;
    for (uint32_t place = 0; place < looked_at; place++) {
        uint32_t index = is_kept ? roster->unseated[place] : place;
        const struct trib_client *client = &roster->clients[index];
        if (!is_candidate(run, client) || !has_room(run, client))
            continue;
        trib_random_derive(&random, salt, client->name, 0);
        uint64_t rank = run->needs.holds ? rank_of_pace(run->memory.clients[index].pace)
                                         : trib_random_u64(&random);
        roster->ranking[count++] =
            (struct trib_ranked){.rank = rank, .index = index, .liking = client->traits.liking};
    }
    if (count > 1)
        qsort(roster->ranking, count, sizeof *roster->ranking, compare_ranks);
    return count;
}

static void give_task(struct trib_run *run, struct trib_client *client) {
    if (client->task_state == TRIB_TASK_HELD) {
        client->has_late_task = true;
        client->late_version = client->task_version;
        client->late_asked_at = client->asked_at;
    }
    client->task_version = run->version;
    client->task_state = TRIB_TASK_HELD;
    client->asked_at = run->now;
    if (run->spec->strategy.policy->assign)
        run->spec->strategy.policy->assign(&run->settings, &run->memory,
                                           trib_roster_index(&run->roster, client), run->now,
                                           &client->assignment);
}

/* False: its group has its seats, or there is no memory to count it. */
static bool give_seat(struct trib_run *run, struct trib_client *client) {
    if (!has_room(run, client) || !trib_tally_add(&run->tally, &run->spec->select, &client->traits))
        return false;
    if (trib_round_task_state(run, client) != TRIB_TASK_HELD)
        give_task(run, client);
    trib_roster_set_seat(&run->roster, client, true);
    run->round.seats_held++;
    trib_roster_call(&run->roster, client);
    return true;
}

void trib_round_renew(struct trib_run *run, struct trib_client *client) {
    if (trib_round_has_seat(run, client) && client->task_version != run->version)
        give_task(run, client);
}

/* Uniform among the candidates: the first that a uniform draw of all clients meets. NULL: they are
 * too few to be met like this. */
static struct trib_client *draw_candidate(struct trib_run *run) {
    struct trib_roster *roster = &run->roster;
    struct trib_random random;
    uint64_t draw = run->draws++;
    if (run->needs.keeps_seats && roster->unseated_count <= 1) { /* no draw is needed */
        struct trib_client *only =
            roster->unseated_count == 1 ? &roster->clients[roster->unseated[0]] : NULL;
        return only && is_candidate(run, only) ? only : NULL;
    }
    trib_random_derive(&random, run->spec->seed, "seat", draw);
    for (uint32_t probe = 0; probe < PROBES_MAX && roster->count > 0; probe++) {
        struct trib_client *client = &roster->clients[trib_random_below(&random, roster->count)];
        if (is_candidate(run, client))
            return client;
    }
    return NULL;
}

/* Uniform among the best liked candidates whose groups have room. NULL: there are none. */
static struct trib_client *draw_liked(struct trib_run *run) {
    struct trib_roster *roster = &run->roster;
    struct trib_client *drawn = NULL;
    uint64_t equals = 0;
    struct trib_random random;
    trib_random_derive(&random, run->spec->seed, "seat", run->draws++);
    for (uint32_t index = 0; index < roster->count; index++) {
        struct trib_client *client = &roster->clients[index];
        if (!is_candidate(run, client) || !has_room(run, client) ||
            (drawn && client->traits.liking < drawn->traits.liking))
            continue;
        equals = drawn && client->traits.liking == drawn->traits.liking ? equals + 1 : 1;
        if (trib_random_below(&random, equals) == 0)
            drawn = client;
    }
    return drawn;
}

static struct trib_client *draw(struct trib_run *run) {
    const struct trib_spec_select *select = &run->spec->select;
    bool is_plain = select->quota_count == 0 && select->prefer.count == 0;
    return is_plain ? draw_candidate(run) : draw_liked(run);
}

static void fill_seats(struct trib_run *run) {
    run->round.may_fill = false;
    uint32_t seats = seats_free(run);
    struct trib_client *drawn;
    while (run->needs.asks_again && seats > 0 && (drawn = draw(run)) != NULL &&
           give_seat(run, drawn))
        seats--;
    if (seats == 0)
        return;
    uint32_t count = rank_candidates(run);
    for (uint32_t next = 0; next < count && seats > 0; next++)
        seats -= give_seat(run, &run->roster.clients[run->roster.ranking[next].index]);
}

/* --- what becomes of a task --------------------------------------------------------------- */

/* How long the client took, from its task to its update, also if that comes late. */
static void observe(struct trib_run *run, struct trib_client *client, trib_version base) {
    trib_time_ns asked_at;
    if (client->task_state == TRIB_TASK_HELD && client->task_version == base) {
        asked_at = client->asked_at;
    } else if (client->has_late_task && client->late_version == base) {
        asked_at = client->late_asked_at;
        client->has_late_task = false;
    } else {
        return;
    }
    if (run->spec->strategy.policy->observe)
        run->spec->strategy.policy->observe(&run->memory, run->now - asked_at);
}

/* Names of tasks count up, so only the newest base is of interest. */
static void count_update(struct trib_client *client, trib_version base) {
    if (base > client->base)
        client->updates_of_base = 0;
    client->base = base > client->base ? base : client->base;
    client->updates_of_base += client->base == base;
}

static void free_seat(struct trib_run *run, struct trib_client *client) {
    trib_roster_set_seat(&run->roster, client, false);
    trib_tally_remove(&run->tally, &run->spec->select, &client->traits);
    if (run->needs.keeps_seats)
        client->task_state = TRIB_TASK_NONE; /* else there would be more tasks than seats */
    run->round.seats_held--;
    run->round.may_fill = true;
}

static void leave_group(struct trib_run *run, const struct trib_client *client) {
    if (run->needs.holds)
        run->spec->strategy.policy->leave(&run->memory, trib_roster_index(&run->roster, client));
}

/* Where seats are kept: a client that holds another task than the one it answered goes on with it.
 * One that is not to be asked again for this version is marked as having answered. */
static void answer_kept(struct trib_run *run, struct trib_client *client, trib_version base,
                        trib_version target) {
    bool holds_task = trib_round_has_seat(run, client);
    if (holds_task && client->task_version != base)
        return;
    if (holds_task)
        free_seat(run, client);
    if (run->needs.asks_again || target != run->version + 1)
        return;
    client->task_version = run->version;
    client->task_state = TRIB_TASK_ANSWERED;
}

void trib_round_answer(struct trib_run *run, struct trib_client *client, trib_version base,
                       trib_version target) {
    count_update(client, base);
    observe(run, client, base);
    if (run->needs.keeps_seats) {
        answer_kept(run, client, base, target);
        return;
    }
    if (base != run->version || target != run->version + 1) {
        /* No answer in this round: should its buffer open again, the client may be asked. */
        if (client->task_version == base) {
            trib_round_lose_seat(run, client);
            client->task_state = TRIB_TASK_NONE;
        }
        return;
    }
    if (trib_round_task_state(run, client) == TRIB_TASK_ANSWERED)
        return;
    if (trib_round_has_seat(run, client)) {
        run->round.seats_held--;
        run->round.seats_answered++;
    } else {
        /* Nobody asked it, or its seat was given up: then it takes a free one, if there is one. */
        bool takes_seat = seats_free(run) > 0 && has_room(run, client) &&
                          trib_tally_add(&run->tally, &run->spec->select, &client->traits);
        trib_roster_set_seat(&run->roster, client, takes_seat);
        run->round.seats_answered += takes_seat;
    }
    client->task_version = base;
    client->task_state = TRIB_TASK_ANSWERED;
}

/* The client has lost its seat with its update; whether it sends it again or starts anew, it may be
 * asked, but for a bad one not at once. */
static void unanswer_kept(struct trib_run *run, struct trib_client *client, bool is_bad) {
    leave_group(run, client);
    if (is_bad) {
        trib_round_return(run, client);
    } else if (trib_round_task_state(run, client) == TRIB_TASK_ANSWERED) {
        client->task_state = TRIB_TASK_NONE;
        run->round.may_fill = true;
    }
}

void trib_round_unanswer(struct trib_run *run, struct trib_client *client, trib_version base,
                         bool is_bad) {
    if (client->base == base && client->updates_of_base > 0)
        client->updates_of_base--;
    bool is_current = client->base == base && client->updates_of_base == 0 &&
                      trib_round_task_state(run, client) == TRIB_TASK_ANSWERED;
    if (run->needs.keeps_seats) {
        unanswer_kept(run, client, is_bad);
        return;
    }
    if (base != run->version || !is_current)
        return;
    if (client->has_seat) {
        run->round.seats_answered--;
        run->round.seats_held++;
    }
    client->task_state = TRIB_TASK_HELD;
    if (is_bad)
        trib_round_return(run, client);
    else if (!client->is_present)
        trib_round_lose_seat(run, client); /* Its silence was noticed before it held one again. */
}

void trib_round_lose_seat(struct trib_run *run, struct trib_client *client) {
    if (!trib_round_has_seat(run, client))
        return;
    free_seat(run, client);
    leave_group(run, client);
}

void trib_round_describe(struct trib_run *run, struct trib_client *client,
                         const struct trib_attribute *attributes, uint32_t count) {
    enum trib_task_state state = trib_round_task_state(run, client);
    bool is_tallied = client->has_seat && (state == TRIB_TASK_HELD || state == TRIB_TASK_ANSWERED);
    struct trib_traits traits;
    trib_traits_of(run->spec, attributes, count, &traits);
    if (is_tallied)
        trib_tally_remove(&run->tally, &run->spec->select, &client->traits);
    trib_roster_set_traits(&run->roster, client, &traits);
    /* Its group may now have one too many for as long as it trains. */
    if (is_tallied)
        (void)trib_tally_add(&run->tally, &run->spec->select, &traits);
    if (traits.unselected_by > 0)
        trib_round_lose_seat(run, client);
    run->round.may_fill |= is_tallied; /* the groups have changed */
}

void trib_round_return(struct trib_run *run, struct trib_client *client) {
    trib_round_lose_seat(run, client);
    client->task_version = run->version;
    client->task_state = TRIB_TASK_RETURNED;
    client->rests_until = run->now + run->spec->lease;
    trib_roster_schedule(&run->roster, client, run->now);
}

/* --- the buffer ----------------------------------------------------------------------------- */

static struct trib_policy_view view_of(const struct trib_run *run) {
    return (struct trib_policy_view){
        .now = run->now,
        .present = run->roster.trainers_available,
        .received = trib_buffer_received(&run->buffers[0]),
        .writing = run->buffers[0].writing,
        .training = run->round.seats_held,
        .is_full = run->slots.used == run->slots.slot_count,
    };
}

/* How many clients the quotas let into one round. Exact with one quota; with more of them, one
 * outcome of many. */
static uint32_t count_seats_max(struct trib_run *run) {
    const struct trib_spec_select *select = &run->spec->select;
    struct trib_tally *tally = &run->tally; /* empty until the round is open */
    uint32_t count = 0;
    if (select->quota_count == 0)
        return UINT32_MAX;
    for (uint32_t index = 0; index < run->roster.count; index++) {
        const struct trib_client *client = &run->roster.clients[index];
        if (trib_client_is_available(client) && has_room(run, client))
            count += trib_tally_add(tally, select, &client->traits);
    }
    trib_tally_clear(tally);
    return count;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* In a round nobody is asked twice, so that the quotas limit what can be wanted of it. */
static bool fit_quotas(struct trib_run *run, struct trib_plan *plan) {
    run->round.seats_max = run->needs.keeps_seats ? UINT32_MAX : count_seats_max(run);
    plan->asked = least(plan->asked, run->round.seats_max);
    plan->wanted = least(plan->wanted, run->round.seats_max);
    return run->round.seats_max >= plan->quorum;
}

static bool open_round(struct trib_run *run) {
    struct trib_policy_view view = view_of(run);
    struct trib_plan plan;
    run->round.seats_max = UINT32_MAX;
    if (!run->spec->strategy.policy->plan(&run->settings, &run->memory, &view, &plan) ||
        !fit_quotas(run, &plan))
        return false;
    run->round.is_open = true;
    run->round.may_fill = true;
    run->round.plan = plan;
    return true;
}

/* The updates that close the buffer are there or being written. */
static bool is_filled(const struct trib_run *run) {
    const struct trib_buffer *buffer = &run->buffers[0];
    return trib_buffer_received(buffer) + buffer->writing >= run->round.plan.wanted;
}

static void release(struct trib_run *run) {
    trib_buffer_release(run, run->round.plan.closes);
    for (uint32_t place = 0; place < 2; place++)
        run->spec->strategy.policy->closed(&run->memory, run->round.plan.closes[place]);
}

void trib_round_arrive(struct trib_run *run, struct trib_admitted *admitted) {
    admitted->hold = run->spec->strategy.policy->arrive(
        &run->settings, &run->memory, admitted->client_index, run->now, admitted->is_answer);
    run->round.may_fill = true; /* its client, or those of a group that it completes */
}

static void judge_round(struct trib_run *run) {
    struct trib_policy_view view = view_of(run);
    struct trib_round *round = &run->round;
    uint32_t quorum = round->plan.quorum;
    switch (run->spec->strategy.policy->judge(&run->settings, &run->memory, &view, &round->plan,
                                              &round->look_again)) {
    case TRIB_VERDICT_WAIT:
        break;
    case TRIB_VERDICT_CLOSE:
        run->buffers[0].state = TRIB_BUFFER_CLOSED;
        if (run->needs.holds)
            release(run);
        break;
    case TRIB_VERDICT_PAUSE:
        trib_states_pause(run, "version %" PRIu64 " had %u of %u updates at its deadline",
                          run->version + 1, view.received, quorum);
        break;
    }
}

/* Does the policy have anything to say about buffers[0] now? */
static bool is_active(const struct trib_run *run) {
    return run->state == TRIB_RUN_RUNNING && run->change.record == 0 && !run->ending.is_set &&
           run->buffers[0].state == TRIB_BUFFER_COLLECTING &&
           !trib_revision_blocks(run, run->version + 1);
}

void trib_round_settle(struct trib_run *run) {
    if (!is_active(run) || (!run->round.is_open && !open_round(run)))
        return;
    if (run->round.may_fill && !is_filled(run))
        fill_seats(run);
    judge_round(run);
}

void trib_round_end(struct trib_run *run) {
    for (uint32_t index = 0; index < run->roster.count; index++)
        trib_roster_set_seat(&run->roster, &run->roster.clients[index], false);
    trib_tally_clear(&run->tally);
    run->round = (struct trib_round){.look_again = TRIB_TIME_NEVER};
}

void trib_round_postpone(struct trib_run *run, trib_time_ns duration) {
    struct trib_plan *plan = &run->round.plan;
    bool has_deadline = run->round.is_open && plan->deadline <= TRIB_TIME_NEVER - duration;
    plan->deadline = has_deadline ? plan->deadline + duration : TRIB_TIME_NEVER;
}

trib_time_ns trib_round_deadline(const struct trib_run *run) {
    return is_active(run) && run->round.is_open ? run->round.look_again : TRIB_TIME_NEVER;
}
