/* status.c - views of a run, for records, status pages and tests. */
#include <math.h>

#include "base/words.h"
#include "run/heart.h"

const char *trib_refusal_code(enum trib_refusal refusal) {
    static const char *const codes[] = {
        [TRIB_REFUSE_NONE] = "none",
        [TRIB_REFUSE_UNKNOWN_CLIENT] = "forbidden",
        [TRIB_REFUSE_ROLE] = "forbidden",
        [TRIB_REFUSE_SET_ASIDE] = "set_aside",
        [TRIB_REFUSE_STATE] = "conflict",
        [TRIB_REFUSE_ENDED] = "ended",
        [TRIB_REFUSE_BASE_UNKNOWN] = "base_unknown",
        [TRIB_REFUSE_STALE] = "stale",
        [TRIB_REFUSE_WEIGHT] = "weight",
        [TRIB_REFUSE_CONFLICT] = "conflict",
        [TRIB_REFUSE_TOO_LARGE] = "too_large",
        [TRIB_REFUSE_BUSY] = "busy",
        [TRIB_REFUSE_FULL] = "busy",
        [TRIB_REFUSE_BODY] = "malformed",
        [TRIB_REFUSE_IO] = "io",
        [TRIB_REFUSE_TASK_UNKNOWN] = "conflict",
        [TRIB_REFUSE_VERSION] = "not_found",
    };
    return (size_t)refusal < sizeof codes / sizeof codes[0] ? codes[refusal] : "unknown";
}

const char *trib_run_state_name(enum trib_run_state state) {
    static const char *const names[] = {
        [TRIB_RUN_AWAITING_MODEL] = "awaiting_model",
        [TRIB_RUN_RUNNING] = "running",
        [TRIB_RUN_PAUSED] = "paused",
        [TRIB_RUN_STOPPED] = "stopped",
        [TRIB_RUN_FAILED] = "failed",
    };
    return (size_t)state < sizeof names / sizeof names[0] ? names[state] : "unknown";
}

/* --- slots ------------------------------------------------------------------------------------ */

void trib_run_slot(const struct trib_run *run, trib_slot slot, struct trib_slot_view *view) {
    TRIB_ASSERT(slot < run->slots.slot_count);
    const struct trib_admitted *admitted = &run->slots.items[slot];
    TRIB_ASSERT(admitted->state != TRIB_SLOT_FREE);
    *view = (struct trib_slot_view){
        .client = admitted->client,
        .id = admitted->id,
        .base = admitted->base,
        .target = admitted->target,
        .staleness = admitted->staleness,
        .weight = admitted->weight,
        .examples = admitted->examples,
        .digest = admitted->digest,
    };
}

bool trib_run_find(const struct trib_run *run, const char *client, const char *id,
                   struct trib_slot_view *view) {
    trib_slot slot = trib_slots_find(&run->slots, client, id);
    if (slot == TRIB_SLOT_NONE || run->slots.items[slot].state == TRIB_SLOT_WRITING)
        return false;
    trib_run_slot(run, slot, view);
    return true;
}

size_t trib_run_slots_of(const struct trib_run *run, trib_version version, trib_slot *slots,
                         size_t slots_max) {
    return trib_slots_gather(&run->slots, version, version, slots, slots_max);
}

size_t trib_run_slots_pending(const struct trib_run *run, trib_slot *slots, size_t slots_max) {
    return trib_slots_gather(&run->slots, TRIB_TARGET_HELD, run->version + 2, slots, slots_max);
}

bool trib_run_client(const struct trib_run *run, const char *name, struct trib_client_view *view) {
    const struct trib_client *client = trib_roster_find(&run->roster, name);
    if (!client)
        return false;
    *view = (struct trib_client_view){
        .is_present = client->is_present,
        .is_training = trib_round_has_seat(run, client),
        .is_selected = client->traits.unselected_by == 0,
        .is_set_aside = client->is_set_aside,
    };
    return true;
}

const char *trib_run_set_aside(const struct trib_run *run, size_t index) {
    for (uint32_t place = 0; place < run->roster.count; place++) {
        const struct trib_client *client = &run->roster.clients[place];
        if (client->is_set_aside && index-- == 0)
            return client->name;
    }
    return NULL;
}

/* --- what the run waits for ------------------------------------------------------------------- */

#define SENTENCE_BYTES sizeof((struct trib_run_status *)0)->waiting_for

static const char *plural(uint64_t count) {
    return count == 1 ? "" : "s";
}

static void tell_tick(const struct trib_run *run, trib_time_ns now, uint32_t received,
                      char *sentence) {
    const struct trib_plan *plan = &run->round.plan;
    trib_time_ns left = plan->deadline > now ? plan->deadline - now : 0;
    trib_words(sentence, SENTENCE_BYTES,
               "the tick of version %" PRIu64 " in %.1f s (%u update%s, at least %u)",
               run->version + 1, (double)left / (double)TRIB_SECOND, received, plural(received),
               plan->quorum);
}

static void tell_groups(const struct trib_run *run, trib_time_ns now, char *sentence) {
    const struct trib_plan *plan = &run->round.plan;
    char latest[48] = "";
    if (plan->deadline != TRIB_TIME_NEVER && plan->deadline > now)
        trib_words(latest, sizeof latest, " (%.1f s at most)",
                   (double)(plan->deadline - now) / (double)TRIB_SECOND);
    trib_words(sentence, SENTENCE_BYTES,
               "a group of clients for version %" PRIu64 "%s; %u update%s wait%s", run->version + 1,
               latest, run->held.durable, plural(run->held.durable),
               run->held.durable == 1 ? "s" : "");
}

static void tell_round(const struct trib_run *run, trib_time_ns now, char *sentence) {
    const struct trib_plan *plan = &run->round.plan;
    uint32_t received = trib_buffer_received(&run->buffers[0]);
    if (run->needs.holds) {
        tell_groups(run, now, sentence);
        return;
    }
    if (plan->wanted == UINT32_MAX) {
        tell_tick(run, now, received, sentence);
        return;
    }
    uint32_t missing = plan->wanted > received ? plan->wanted - received : 0;
    char deadline[48] = "";
    if (plan->deadline != TRIB_TIME_NEVER) {
        trib_time_ns left = plan->deadline > now ? plan->deadline - now : 0;
        trib_words(deadline, sizeof deadline, " (deadline in %.1f s)",
                   (double)left / (double)TRIB_SECOND);
    }
    if (missing == 0 && run->round.seats_held > 0) {
        trib_words(sentence, SENTENCE_BYTES,
                   "%u client%s that may still send (%u update%s for version %" PRIu64 ")%s",
                   run->round.seats_held, plural(run->round.seats_held), received, plural(received),
                   run->version + 1, deadline);
        return;
    }
    trib_words(sentence, SENTENCE_BYTES, "%u of %u updates for version %" PRIu64 "%s", missing,
               plan->wanted, run->version + 1, deadline);
}

static void tell_missing(const struct trib_run *run, char *sentence) {
    uint32_t needed = run->needs.present_min;
    uint32_t present = run->roster.trainers_available;
    uint32_t seats = run->round.seats_max;
    uint32_t there = seats < present ? seats : present;
    uint32_t missing = there < needed ? needed - there : 0;
    char selection[96] = "";
    if (run->roster.trainers_unselected > 0)
        trib_words(selection, sizeof selection, "; select leaves out %u",
                   run->roster.trainers_unselected);
    else if (seats < present)
        trib_words(selection, sizeof selection, "; select.quota allows %u of them", seats);
    trib_words(sentence, SENTENCE_BYTES, "%u more trainer%s (%u of %u present%s)", missing,
               plural(missing), present, needed, selection);
}

static void tell_offer(const struct trib_run *run, trib_time_ns now, char *sentence) {
    const struct trib_buffer *buffer = &run->buffers[0];
    trib_words(sentence, SENTENCE_BYTES,
               "a combiner to merge version %" PRIu64 " (%u update%s, for %.1f s now)",
               run->version + 1, buffer->folded, plural(buffer->folded),
               (double)(now - buffer->offered_at) / (double)TRIB_SECOND);
}

static void tell_running(const struct trib_run *run, trib_time_ns now, char *sentence) {
    if (run->ending.is_set && now < run->ending.until)
        trib_words(sentence, SENTENCE_BYTES, "the evaluation of version %" PRIu64, run->version);
    else if (run->ending.is_set)
        trib_words(sentence, SENTENCE_BYTES, "the record of its stop (%s)", run->ending.reason);
    else if (run->buffers[0].state == TRIB_BUFFER_OFFERED)
        tell_offer(run, now, sentence);
    else if (run->buffers[0].state == TRIB_BUFFER_PERSISTING)
        trib_words(sentence, SENTENCE_BYTES, "writing version %" PRIu64, run->version + 1);
    else if (run->buffers[0].state != TRIB_BUFFER_COLLECTING)
        trib_words(sentence, SENTENCE_BYTES, "merging version %" PRIu64, run->version + 1);
    else if (trib_revision_blocks(run, run->version + 1))
        trib_words(sentence, SENTENCE_BYTES, "the change of strategy with version %" PRIu64,
                   run->version + 1);
    else if (run->round.is_open)
        tell_round(run, now, sentence);
    else
        tell_missing(run, sentence);
}

static void tell(const struct trib_run *run, trib_time_ns now, char *sentence) {
    switch (run->state) {
    case TRIB_RUN_AWAITING_MODEL:
        trib_words(sentence, SENTENCE_BYTES, "a model (PUT versions/0)");
        break;
    case TRIB_RUN_RUNNING:
        tell_running(run, now, sentence);
        break;
    case TRIB_RUN_PAUSED:
        trib_words(sentence, SENTENCE_BYTES, "resume: paused (%s)", run->reason);
        break;
    case TRIB_RUN_STOPPED:
        trib_words(sentence, SENTENCE_BYTES, "nothing: stopped (%s)", run->reason);
        break;
    case TRIB_RUN_FAILED:
        trib_words(sentence, SENTENCE_BYTES, "a restart: failed (%s)", run->reason);
        break;
    }
}

void trib_run_status(const struct trib_run *run, trib_time_ns now, struct trib_run_status *status) {
    const struct trib_round *round = &run->round;
    const struct trib_evaluations *evaluations = &run->evaluations;
    bool is_collecting = run->buffers[0].state == TRIB_BUFFER_COLLECTING;
    *status = (struct trib_run_status){
        .state = run->state,
        .has_model = run->has_model,
        .version = run->version,
        .joined = run->roster.count,
        .present = run->roster.present,
        .training = round->seats_held,
        .set_aside = run->roster.set_aside,
        .unselected = run->roster.trainers_unselected,
        .asked = run->needs.keeps_seats ? round->seats_held : round->plan.asked,
        .received = trib_buffer_received(&run->buffers[0]) + run->held.durable,
        .wanted = round->plan.wanted == UINT32_MAX ? round->plan.quorum : round->plan.wanted,
        .quorum = round->plan.quorum,
        .round_open = round->is_open && is_collecting,
        .deadline = round->is_open ? round->plan.deadline : TRIB_TIME_NEVER,
        .is_ending = run->ending.is_set,
        .is_offered = run->buffers[0].state == TRIB_BUFFER_OFFERED,
        .offered_at = run->buffers[0].offered_at,
        .counted = run->counted,
        .pending = run->slots.used,
        .dropped = run->dropped,
        .ran_for = trib_states_ran_for(run, now),
        .has_best = evaluations->best.is_set,
        .has_evaluated = evaluations->newest.is_set,
        .best = evaluations->best.version,
        .evaluated = evaluations->newest.version,
        .best_metric = evaluations->best.is_set ? evaluations->best.metric : (double)NAN,
        .evaluated_metric = evaluations->newest.is_set ? evaluations->newest.metric : (double)NAN,
    };
    tell(run, now, status->waiting_for);
}
