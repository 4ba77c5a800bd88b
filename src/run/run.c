/* run.c - the step of the heart: birth, restart, dispatch. */
#include "run/run.h"

#include <stddef.h>
#include <string.h>

#include "base/words.h"
#include "run/heart.h"

/* Room that queues leave for what one event causes directly. */
#define EFFECTS_RESERVED 16

/* --- birth ------------------------------------------------------------------------------------ */

struct trib_run *trib_run_new(const struct trib_env *env, const struct trib_spec *spec,
                              const struct trib_run_limits *limits) {
    TRIB_ASSERT(limits->accumulators == 1 || limits->accumulators == 2);
    TRIB_ASSERT(spec->strategy.policy != NULL);
    struct trib_run *run = trib_allocate(env, 1, sizeof *run);
    if (!run)
        return NULL;
    run->env = env;
    run->spec = spec;
    run->limits = *limits;
    run->settings = trib_spec_policy_settings(spec);
    spec->strategy.policy->declare(&run->settings, &run->needs);
    run->round.look_again = TRIB_TIME_NEVER;
    for (uint32_t index = 0; index < 2; index++)
        run->buffers[index] = trib_buffer_empty();
    run->held = trib_buffer_empty();
    trib_roster_init(&run->roster, env, spec->clients_max, spec->lease);
    trib_evaluations_init(&run->evaluations, &spec->evaluate, spec->stop.target);
    trib_tally_init(&run->tally, env);
    trib_map_init(&run->waiting, env);
    bool has_slots = trib_slots_init(&run->slots, env, spec->updates_pending_max);
    run->reports = trib_allocate(env, TRIB_RECORDS_MAX, sizeof *run->reports);
    if (run->needs.holds) {
        run->memory.client_count = spec->clients_max;
        run->memory.clients =
            trib_allocate(env, run->memory.client_count, sizeof *run->memory.clients);
    }
    bool has_memory = !run->needs.holds || run->memory.clients;
    if (trib_spec_caps_shares(spec)) {
        run->scale.slots = trib_allocate(env, spec->updates_pending_max, sizeof(trib_slot));
        run->scale.weights = trib_allocate(env, spec->updates_pending_max, sizeof(uint64_t));
        has_memory = has_memory && run->scale.slots && run->scale.weights;
    }
    if (has_slots && run->reports && has_memory)
        return run;
    trib_run_free(run);
    return NULL;
}

void trib_run_free(struct trib_run *run) {
    if (!run)
        return;
    trib_release(run->env, run->memory.clients, run->memory.client_count,
                 sizeof *run->memory.clients);
    trib_release(run->env, run->scale.slots, run->spec->updates_pending_max, sizeof(trib_slot));
    trib_release(run->env, run->scale.weights, run->spec->updates_pending_max, sizeof(uint64_t));
    trib_release(run->env, run->reports, TRIB_RECORDS_MAX, sizeof *run->reports);
    trib_slots_deinit(&run->slots);
    trib_tally_deinit(&run->tally);
    trib_map_deinit(&run->waiting);
    trib_roster_deinit(&run->roster);
    trib_release(run->env, run, 1, sizeof *run);
}

/* --- restart ---------------------------------------------------------------------------------- */

void trib_run_restore(struct trib_run *run, const struct trib_restored *restored) {
    run->state = restored->state;
    if (restored->state == TRIB_RUN_FAILED ||
        (restored->state == TRIB_RUN_AWAITING_MODEL && restored->has_model))
        run->state = TRIB_RUN_RUNNING;
    if (run->state != TRIB_RUN_RUNNING)
        trib_words(run->reason, sizeof run->reason, "%s", restored->reason);
    run->has_model = restored->has_model;
    run->version = restored->version;
    run->now = restored->now;
    run->state_since = restored->now;
    run->ran_for = restored->ran_for;
    run->counted = restored->counted;
    run->dropped = restored->dropped;
    run->revision.from = restored->revised_from;
    run->revision.is_recorded = restored->revised_from > 0;
    run->has_more = true;
}

bool trib_run_restore_client(struct trib_run *run, const char *client, enum trib_client_role role,
                             const struct trib_attribute *attributes, uint32_t attribute_count) {
    struct trib_client *known = trib_roster_find(&run->roster, client);
    if (known)
        trib_roster_set_role(&run->roster, known, role);
    else
        known = trib_roster_add(&run->roster, client, role);
    if (known)
        trib_round_describe(run, known, attributes, attribute_count);
    return known != NULL;
}

void trib_run_restore_set_aside(struct trib_run *run, const char *name) {
    if (!name) {
        trib_states_forgive_all(run);
        return;
    }
    struct trib_client *client = trib_roster_find(&run->roster, name);
    if (!client)
        client = trib_roster_add(&run->roster, name, TRIB_CLIENT_TRAINER);
    if (client) /* else the roster is full of others of its kind */
        trib_roster_set_aside(&run->roster, client, true);
}

bool trib_run_restore_update(struct trib_run *run, const struct trib_pending *pending,
                             trib_slot *slot) {
    if (run->state == TRIB_RUN_STOPPED || run->state == TRIB_RUN_AWAITING_MODEL)
        return false;
    struct trib_client *client = trib_roster_find(&run->roster, pending->client);
    if (!client)
        client = trib_roster_add(&run->roster, pending->client, TRIB_CLIENT_TRAINER);
    if (!client || trib_slots_find(&run->slots, pending->client, pending->id) != TRIB_SLOT_NONE)
        return false;
    *slot = trib_slots_take(&run->slots, pending->client, pending->id);
    if (*slot == TRIB_SLOT_NONE)
        return false;
    struct trib_admitted *admitted = &run->slots.items[*slot];
    admitted->client_index = trib_roster_index(&run->roster, client);
    trib_roster_pin(&run->roster, admitted->client_index);
    admitted->base = pending->base;
    admitted->staleness = pending->staleness;
    admitted->weight = pending->weight;
    admitted->examples = pending->examples;
    admitted->digest = pending->digest;
    admitted->target = pending->target > run->version + 1 ? run->version + 2 : run->version + 1;
    if (pending->target == TRIB_TARGET_HELD) {
        admitted->target = TRIB_TARGET_HELD;
        admitted->hold = TRIB_HOLD_LATE;
        run->memory.late_count++;
    }
    trib_buffer_of(run, admitted->target)->weight_total += admitted->weight;
    trib_buffer_add_durable(run, *slot);
    /* It was admitted after the buffer before its own had been closed; one that was full would
     * wait for a quorum that it has no room for. */
    if (admitted->target == run->version + 2)
        run->buffers[0].state = TRIB_BUFFER_CLOSED;
    trib_round_answer(run, client, admitted->base, admitted->target);
    run->has_more = true;
    return true;
}

void trib_run_restore_evaluation(struct trib_run *run, const char *client, trib_version version,
                                 uint64_t examples, double metric, bool has_metric) {
    struct trib_client *reporter = trib_roster_find(&run->roster, client);
    if (reporter)
        trib_client_mark_reported(reporter, version);
    /* All of them, in order: the best version may be older than those that are kept. */
    if (version <= run->version)
        trib_evaluations_add(&run->evaluations, version, examples, metric, has_metric);
}

/* --- effects ---------------------------------------------------------------------------------- */

struct trib_effect *trib_heart_emit(struct trib_run *run, enum trib_effect_kind kind) {
    struct trib_effects *effects = run->effects;
    TRIB_ASSERT(effects->count < TRIB_EFFECTS_MAX);
    struct trib_effect *effect = &effects->items[effects->count++];
    memset(effect, 0, offsetof(struct trib_effect, task));
    effect->kind = kind;
    effect->slot = TRIB_SLOT_NONE;
    effect->text[0] = '\0';
    return effect;
}

bool trib_heart_has_room(struct trib_run *run) {
    return run->effects->count < TRIB_EFFECTS_MAX - EFFECTS_RESERVED;
}

void trib_heart_done(struct trib_run *run, trib_request request) {
    if (request)
        trib_heart_emit(run, TRIB_EFFECT_DONE)->request = request;
}

/* Refusals that a sound trainer does not earn again and again. */
static const bool counts_against[TRIB_REFUSE_VERSION + 1] = {
    [TRIB_REFUSE_BASE_UNKNOWN] = true, [TRIB_REFUSE_WEIGHT] = true, [TRIB_REFUSE_CONFLICT] = true,
    [TRIB_REFUSE_TOO_LARGE] = true,    [TRIB_REFUSE_BODY] = true,
};

static void count_against(struct trib_run *run, struct trib_client *client) {
    client->refusals++;
    if (client->refusals < TRIB_REFUSALS_MAX || client->is_set_aside)
        return;
    trib_roster_set_aside(&run->roster, client, true);
    trib_round_lose_seat(run, client);
    struct trib_effect *effect = trib_heart_emit(run, TRIB_EFFECT_SET_ASIDE);
    trib_words(effect->text, sizeof effect->text, "%s", client->name);
}

void trib_heart_refuse(struct trib_run *run, trib_request request, struct trib_client *client,
                       enum trib_refusal refusal, const char *format, ...) {
    if (client && client->role == TRIB_CLIENT_TRAINER && counts_against[refusal])
        count_against(run, client);
    if (request == 0)
        return;
    struct trib_effect *effect = trib_heart_emit(run, TRIB_EFFECT_REFUSE);
    effect->request = request;
    effect->refusal = refusal;
    va_list arguments;
    va_start(arguments, format);
    trib_words_list(effect->text, sizeof effect->text, format, arguments);
    va_end(arguments);
}

/* --- requests that wait ----------------------------------------------------------------------- */

bool trib_heart_hold(struct trib_run *run, trib_request request, enum trib_holder holder,
                     uint32_t index) {
    TRIB_ASSERT(request != 0);
    uint64_t value = (uint64_t)holder << 32 | index;
    return trib_map_put(&run->waiting, &request, sizeof request, value);
}

void trib_heart_let_go(struct trib_run *run, trib_request request) {
    if (request)
        trib_map_remove(&run->waiting, &request, sizeof request);
}

/* --- the step --------------------------------------------------------------------------------- */

static void recorded(struct trib_run *run, const struct trib_event *event) {
    if (!trib_reports_recorded(run, event) && !trib_revision_recorded(run, event))
        trib_states_recorded(run, event);
}

static void model(struct trib_run *run, const struct trib_event *event) {
    (void)event;
    trib_states_model(run);
}

static void tick(struct trib_run *run, const struct trib_event *event) {
    (void)run, (void)event; /* Time has passed: what follows from that follows every event. */
}

static void (*const handlers[])(struct trib_run *run, const struct trib_event *event) = {
    [TRIB_EVENT_TICK] = tick,
    [TRIB_EVENT_MODEL] = model,
    [TRIB_EVENT_JOIN] = trib_polls_join,
    [TRIB_EVENT_ASK] = trib_polls_ask,
    [TRIB_EVENT_LEAVE] = trib_polls_leave,
    [TRIB_EVENT_ALIVE] = trib_polls_alive,
    [TRIB_EVENT_DEPART] = trib_polls_depart,
    [TRIB_EVENT_DECLINE] = trib_polls_decline,
    [TRIB_EVENT_RENEW] = trib_polls_renew,
    [TRIB_EVENT_OFFER] = trib_admission_offer,
    [TRIB_EVENT_UPDATE] = trib_admission_update,
    [TRIB_EVENT_REPEAT] = trib_admission_repeat,
    [TRIB_EVENT_SPOOLED] = trib_admission_spooled,
    [TRIB_EVENT_FOLDED] = trib_buffers_folded,
    [TRIB_EVENT_COMBINED] = trib_buffers_combined,
    [TRIB_EVENT_MERGED] = trib_buffers_merged,
    [TRIB_EVENT_PERSISTED] = trib_buffers_persisted,
    [TRIB_EVENT_EVALUATION] = trib_reports_evaluation,
    [TRIB_EVENT_RECORDED] = recorded,
    [TRIB_EVENT_CONTROL] = trib_states_control,
    [TRIB_EVENT_REVISE] = trib_revision_ask,
};

void trib_run_step(struct trib_run *run, const struct trib_event *event,
                   struct trib_effects *effects) {
    TRIB_ASSERT((size_t)event->kind < sizeof handlers / sizeof handlers[0]);
    effects->count = 0;
    run->effects = effects;
    if (event->now > run->now)
        run->now = event->now;
    handlers[event->kind](run, event);
    trib_polls_expire(run);  /* may free seats */
    trib_states_settle(run); /* may end the run */
    trib_revision_settle(run);
    trib_round_settle(run);   /* may ask, may close the buffer */
    trib_buffers_settle(run); /* may fold and merge */
    trib_polls_settle(run);   /* answers whom any of this concerns */
    run->has_more = trib_roster_has_called(&run->roster) || trib_buffers_have_more(run);
    run->effects = NULL;
}

trib_time_ns trib_run_deadline(const struct trib_run *run) {
    if (run->has_more)
        return run->now;
    const trib_time_ns times[] = {
        trib_roster_deadline(&run->roster),
        trib_states_deadline(run),
        trib_round_deadline(run),
    };
    trib_time_ns first = TRIB_TIME_NEVER;
    for (size_t index = 0; index < sizeof times / sizeof times[0]; index++) {
        if (times[index] < first)
            first = times[index];
    }
    return first;
}
