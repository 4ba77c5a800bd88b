/* admission.c - an update from its head to its acknowledgement.
 *
 * The head is judged at OFFER, so that nobody sends a body in vain, and again at UPDATE, since
 * the world has moved while the body came in. There staleness, weight and buffer are fixed, once
 * and for all; whether the client still had its seat plays no part. */
#include "base/words.h"
#include "run/heart.h"

/* What admission would decide now. */
struct judgement {
    enum trib_refusal refusal;
    char text[160];
    uint32_t buffer; /* 0 or 1 */
    bool is_full;    /* buffers[0] cannot take it */
    bool is_held;    /* all below and the buffer are decided later */
    uint64_t staleness, weight;
};

static void refuse(struct judgement *judgement, enum trib_refusal refusal, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct judgement *judgement, enum trib_refusal refusal, const char *format,
                   ...) {
    va_list arguments;
    va_start(arguments, format);
    judgement->refusal = refusal;
    trib_words_list(judgement->text, sizeof judgement->text, format, arguments);
    va_end(arguments);
}

static void judge_state(const struct trib_run *run, struct judgement *judgement) {
    if (run->state == TRIB_RUN_AWAITING_MODEL)
        refuse(judgement, TRIB_REFUSE_STATE, "the run has no model yet");
    else if (run->state == TRIB_RUN_STOPPED)
        refuse(judgement, TRIB_REFUSE_ENDED, "run stopped: %s", run->reason);
    else if (run->state == TRIB_RUN_FAILED)
        refuse(judgement, TRIB_REFUSE_ENDED, "run failed: %s", run->reason);
    else if (trib_states_is_stopping(run))
        refuse(judgement, TRIB_REFUSE_ENDED, "the run is stopping");
}

static void judge_bounds(const struct trib_run *run, const struct trib_event *event,
                         struct judgement *judgement) {
    const struct trib_spec *spec = run->spec;
    uint64_t bytes_max = spec->update_bytes_max, examples_max = spec->strategy.weight_max;
    if (bytes_max > 0 && event->byte_count > bytes_max)
        refuse(judgement, TRIB_REFUSE_TOO_LARGE,
               "body of %" PRIu64 " bytes (update_bytes_max %" PRIu64 ")", event->byte_count,
               bytes_max);
    else if (event->examples == 0)
        refuse(judgement, TRIB_REFUSE_WEIGHT, "examples is 0");
    else if (event->examples > examples_max)
        refuse(judgement, TRIB_REFUSE_WEIGHT,
               "examples is %" PRIu64 " (strategy.weight_max %" PRIu64 ")", event->examples,
               examples_max);
    else if (event->version > run->version)
        refuse(judgement, TRIB_REFUSE_BASE_UNKNOWN,
               "base version %" PRIu64 " (the current version is %" PRIu64 ")", event->version,
               run->version);
}

/* What an update weighs before its age is looked at. */
static uint64_t mass_of(const struct trib_run *run, const struct trib_client *client,
                        uint64_t examples) {
    bool is_attribute = run->spec->strategy.weights == TRIB_WEIGHT_ATTRIBUTE;
    return is_attribute ? client->traits.mass : examples;
}

static const char *unit_of(const struct trib_run *run) {
    const struct trib_spec_strategy *strategy = &run->spec->strategy;
    return strategy->weights == TRIB_WEIGHT_ATTRIBUTE ? strategy->weight_attribute : "examples";
}

/* An update that has waited for longer than staleness_max since it was acknowledged counts as the
 * oldest that are admitted do. */
uint64_t trib_admission_weigh(const struct trib_run *run, const struct trib_client *client,
                              const struct trib_admitted *admitted, bool is_new) {
    uint64_t oldest = run->spec->strategy.staleness_max;
    bool is_first = client->updates == 0;
    trib_version since = is_first ? admitted->base : client->since;
    struct trib_weighing weighing = {
        .mass = mass_of(run, client, admitted->examples),
        .staleness = is_new || admitted->staleness < oldest ? admitted->staleness : oldest,
        .version = admitted->target,
        .versions = admitted->target - since,
        .updates = client->updates + (is_new || is_first),
    };
    return trib_spec_weigh(run->spec, &weighing);
}

/* Staleness and weight in the chosen buffer. */
static void judge_age(const struct trib_run *run, const struct trib_event *event,
                      const struct trib_client *client, struct judgement *judgement) {
    const struct trib_spec_strategy *strategy = &run->spec->strategy;
    judgement->staleness = run->version + judgement->buffer - event->version;
    if (strategy->late == TRIB_LATE_REFUSE && judgement->staleness > 0) {
        refuse(judgement, TRIB_REFUSE_STALE,
               "base version %" PRIu64 " is late for version %" PRIu64 " (strategy.late: refuse)",
               event->version, run->version + judgement->buffer + 1);
        return;
    }
    if (judgement->staleness > strategy->staleness_max) {
        refuse(judgement, TRIB_REFUSE_STALE, "staleness %" PRIu64 " (strategy.staleness_max %u)",
               judgement->staleness, strategy->staleness_max);
        return;
    }
    struct trib_admitted admitted = {.base = event->version,
                                     .target = run->version + judgement->buffer + 1,
                                     .staleness = judgement->staleness,
                                     .examples = event->examples};
    judgement->weight = trib_admission_weigh(run, client, &admitted, true);
    if (judgement->weight == 0)
        refuse(judgement, TRIB_REFUSE_WEIGHT,
               "%" PRIu64 " %s at staleness %" PRIu64 " weigh nothing",
               mass_of(run, client, event->examples), unit_of(run), judgement->staleness);
    else if (judgement->weight > trib_buffer_weight_max(run))
        refuse(judgement, TRIB_REFUSE_WEIGHT,
               "%" PRIu64 " %s (strategy.weight_total_max %" PRIu64 ")",
               mass_of(run, client, event->examples), unit_of(run), strategy->weight_total_max);
}

static bool fits(const struct trib_run *run, const struct judgement *judgement) {
    uint64_t weight_total = run->buffers[judgement->buffer].weight_total;
    return judgement->weight <= trib_buffer_weight_max(run) - weight_total;
}

/* All the updates that the policy allows in it. */
static bool has_all(const struct trib_run *run, const struct trib_buffer *buffer) {
    uint32_t updates = trib_buffer_received(buffer) + buffer->writing;
    return run->needs.updates_max > 0 && updates >= run->needs.updates_max;
}

static void judge_buffer(const struct trib_run *run, const struct trib_event *event,
                         const struct trib_client *client, struct judgement *judgement) {
    const struct trib_buffer *first = &run->buffers[0];
    judgement->buffer = first->state == TRIB_BUFFER_COLLECTING && !has_all(run, first) ? 0 : 1;
    judge_age(run, event, client, judgement);
    if (judgement->refusal == TRIB_REFUSE_NONE && judgement->buffer == 0 && !fits(run, judgement)) {
        judgement->is_full = true;
        judgement->buffer = 1;
        judge_age(run, event, client, judgement);
    }
    if (judgement->refusal != TRIB_REFUSE_NONE)
        return;
    if (trib_revision_blocks(run, run->version + judgement->buffer + 1))
        refuse(judgement, TRIB_REFUSE_BUSY, "the strategy changes with version %" PRIu64,
               run->version + judgement->buffer + 1);
    else if (!fits(run, judgement))
        refuse(judgement, TRIB_REFUSE_BUSY, "version %" PRIu64 " has all the weight it can take",
               run->version + judgement->buffer + 1);
    else if (has_all(run, &run->buffers[judgement->buffer]))
        refuse(judgement, TRIB_REFUSE_BUSY, "version %" PRIu64 " has its %u update%s",
               run->version + judgement->buffer + 1, run->needs.updates_max,
               run->needs.updates_max == 1 ? "" : "s");
    else if (run->slots.used == run->slots.slot_count)
        refuse(judgement, TRIB_REFUSE_BUSY, "updates_pending_max %u is reached",
               run->slots.slot_count);
}

/* Whether it could be counted today says whether it will be: only its age changes until then, and
 * that costs an acknowledged update nothing but weight. */
static void judge_held(const struct trib_run *run, const struct trib_event *event,
                       const struct trib_client *client, struct judgement *judgement) {
    judge_age(run, event, client, judgement);
    if (judgement->refusal == TRIB_REFUSE_NONE && run->slots.used == run->slots.slot_count)
        refuse(judgement, TRIB_REFUSE_BUSY, "updates_pending_max %u is reached",
               run->slots.slot_count);
    judgement->is_held = true;
    judgement->staleness = judgement->weight = 0;
}

/* Another update would count its client twice. */
static void judge_once(const struct trib_event *event, const struct trib_client *client,
                       struct judgement *judgement) {
    if (client->base == event->version && client->updates_of_base > 0)
        refuse(judgement, TRIB_REFUSE_STATE, "%s is in version %" PRIu64 " already", client->name,
               event->version + 1);
}

/* An update that does not fit shows that buffers[0] is full. It is closed whatever becomes of the
 * update: one that waited for more updates of the usual weight could wait for ever. */
static struct judgement decide(struct trib_run *run, const struct trib_event *event,
                               const struct trib_client *client) {
    struct judgement judgement = {0};
    judge_state(run, &judgement);
    if (judgement.refusal == TRIB_REFUSE_NONE)
        judge_bounds(run, event, &judgement);
    if (judgement.refusal == TRIB_REFUSE_NONE && run->needs.is_once)
        judge_once(event, client, &judgement);
    if (judgement.refusal == TRIB_REFUSE_NONE && run->needs.holds)
        judge_held(run, event, client, &judgement);
    else if (judgement.refusal == TRIB_REFUSE_NONE)
        judge_buffer(run, event, client, &judgement);
    if (judgement.is_full)
        run->buffers[0].state = TRIB_BUFFER_CLOSED;
    return judgement;
}

/* --- heads and bodies ----------------------------------------------------------------------- */

static bool is_trainer(struct trib_run *run, const struct trib_event *event,
                       struct trib_client *client) {
    if (client->role != TRIB_CLIENT_TRAINER)
        trib_heart_refuse(run, event->request, client, TRIB_REFUSE_ROLE,
                          "%s has not joined as a trainer", client->name);
    else if (client->is_set_aside)
        trib_heart_refuse(run, event->request, client, TRIB_REFUSE_SET_ASIDE,
                          "%s is set aside after %u refusals in a row", client->name,
                          TRIB_REFUSALS_MAX);
    else
        return true;
    return false;
}

static bool is_known(const struct trib_run *run, const struct trib_event *event,
                     const struct trib_client *client) {
    return event->settled.fate != TRIB_FATE_NONE ||
           (client->pins > 0 &&
            trib_slots_find(&run->slots, event->client, event->id) != TRIB_SLOT_NONE);
}

void trib_admission_offer(struct trib_run *run, const struct trib_event *event) {
    struct trib_client *client = trib_polls_hear(run, event);
    if (!client)
        return;
    /* First of all: whoever was acknowledged can ask again, in any state. */
    if (is_known(run, event, client)) {
        trib_heart_emit(run, TRIB_EFFECT_COMPARE)->request = event->request;
        return;
    }
    if (!is_trainer(run, event, client))
        return;
    struct judgement judgement = decide(run, event, client);
    if (judgement.refusal == TRIB_REFUSE_NONE)
        trib_heart_emit(run, TRIB_EFFECT_RECEIVE)->request = event->request;
    else
        trib_heart_refuse(run, event->request, client, judgement.refusal, "%s", judgement.text);
}

static void admit(struct trib_run *run, const struct trib_event *event, struct trib_client *client,
                  const struct judgement *judgement, trib_slot slot) {
    struct trib_admitted *admitted = &run->slots.items[slot];
    admitted->client_index = trib_roster_index(&run->roster, client);
    trib_roster_pin(&run->roster, admitted->client_index);
    admitted->request = event->request;
    admitted->base = event->version;
    admitted->target = judgement->is_held ? TRIB_TARGET_HELD : run->version + 1 + judgement->buffer;
    admitted->is_answer = trib_round_task_state(run, client) == TRIB_TASK_HELD &&
                          client->task_version == event->version;
    admitted->staleness = judgement->staleness;
    admitted->weight = judgement->weight;
    admitted->examples = event->examples;

    struct trib_buffer *buffer = trib_buffer_of(run, admitted->target);
    if (client->updates++ == 0)
        client->since = admitted->base;
    client->writing++;
    buffer->writing++;
    buffer->weight_total += admitted->weight;
    trib_round_answer(run, client, admitted->base, admitted->target);

    struct trib_effect *effect = trib_heart_emit(run, TRIB_EFFECT_SPOOL);
    effect->request = event->request;
    effect->slot = slot;
    effect->version = admitted->target;
    effect->staleness = admitted->staleness;
    effect->weight = admitted->weight;
}

void trib_admission_update(struct trib_run *run, const struct trib_event *event) {
    struct trib_client *client = trib_polls_hear(run, event);
    if (!client)
        return;
    if (is_known(run, event, client)) {
        trib_heart_refuse(run, event->request, client, TRIB_REFUSE_BUSY,
                          "another attempt for update %.64s came first", event->id);
        return;
    }
    if (!is_trainer(run, event, client))
        return;
    struct judgement judgement = decide(run, event, client);
    if (judgement.refusal != TRIB_REFUSE_NONE) {
        trib_heart_refuse(run, event->request, client, judgement.refusal, "%s", judgement.text);
        return;
    }
    trib_slot slot = trib_slots_take(&run->slots, event->client, event->id);
    if (slot != TRIB_SLOT_NONE && trib_heart_hold(run, event->request, TRIB_HOLDER_SLOT, slot)) {
        admit(run, event, client, &judgement, slot);
        return;
    }
    if (slot != TRIB_SLOT_NONE)
        trib_slots_free(&run->slots, slot);
    trib_heart_refuse(run, event->request, client, TRIB_REFUSE_BUSY, "no memory for an update");
}

/* --- acknowledgements ------------------------------------------------------------------------- */

static void acknowledge(struct trib_run *run, trib_request request, trib_slot slot) {
    if (request == 0)
        return;
    const struct trib_admitted *admitted = &run->slots.items[slot];
    struct trib_effect *effect = trib_heart_emit(run, TRIB_EFFECT_ACKNOWLEDGE);
    effect->request = request;
    effect->slot = slot;
    effect->fate = TRIB_FATE_SPOOLED;
    effect->version = admitted->target;
    effect->staleness = admitted->staleness;
    /* One that may still be cut is not told. */
    effect->weight = trib_spec_caps_shares(run->spec) ? 0 : admitted->weight;
}

static void acknowledge_settled(struct trib_run *run, const struct trib_event *event) {
    struct trib_effect *effect = trib_heart_emit(run, TRIB_EFFECT_ACKNOWLEDGE);
    effect->request = event->request;
    effect->fate = event->settled.fate;
    effect->version = event->settled.version;
}

void trib_admission_repeat(struct trib_run *run, const struct trib_event *event) {
    struct trib_client *client = trib_polls_hear(run, event);
    if (!client)
        return;
    trib_slot slot = trib_slots_find(&run->slots, event->client, event->id);
    const struct trib_admitted *held = slot == TRIB_SLOT_NONE ? NULL : &run->slots.items[slot];
    bool is_settled = !held && event->settled.fate != TRIB_FATE_NONE;
    const struct trib_digest *known = held ? &held->digest : &event->settled.digest;
    if (held && held->state == TRIB_SLOT_WRITING)
        trib_heart_refuse(run, event->request, client, TRIB_REFUSE_BUSY,
                          "the first attempt for update %.64s is being written", event->id);
    else if (!held && !is_settled)
        trib_heart_refuse(run, event->request, client, TRIB_REFUSE_BUSY,
                          "the first attempt for update %.64s has failed; send it again",
                          event->id);
    else if (!trib_digest_equal(known, &event->digest))
        trib_heart_refuse(run, event->request, client, TRIB_REFUSE_CONFLICT,
                          "update %.64s is known with another body", event->id);
    else if (held)
        acknowledge(run, event->request, slot);
    else
        acknowledge_settled(run, event);
}

static bool is_trouble_of_ours(enum trib_status status) {
    return status == TRIB_EIO || status == TRIB_EFULL || status == TRIB_EMEMORY ||
           status == TRIB_EUNAVAILABLE;
}

/* The update is neither durable nor welcome: as if it had never been admitted. */
static void give_up(struct trib_run *run, trib_slot slot, enum trib_status status) {
    struct trib_admitted given_up = run->slots.items[slot];
    struct trib_client *client = &run->roster.clients[given_up.client_index];
    bool is_ours = is_trouble_of_ours(status);
    trib_buffer_of(run, given_up.target)->weight_total -= given_up.weight;
    client->updates--;
    trib_round_unanswer(run, client, given_up.base, !is_ours);
    trib_heart_refuse(run, given_up.request, client, is_ours ? TRIB_REFUSE_IO : TRIB_REFUSE_BODY,
                      "update %s: %s", given_up.id, trib_status_text(status));
    trib_buffer_free_slot(run, slot);
}

void trib_admission_spooled(struct trib_run *run, const struct trib_event *event) {
    TRIB_ASSERT(event->slot < run->slots.slot_count);
    struct trib_admitted *admitted = &run->slots.items[event->slot];
    TRIB_ASSERT(admitted->state == TRIB_SLOT_WRITING);
    trib_buffer_of(run, admitted->target)->writing--;
    run->roster.clients[admitted->client_index].writing--;
    trib_heart_let_go(run, admitted->request);
    if (event->status != TRIB_OK) {
        give_up(run, event->slot, event->status);
        return;
    }
    admitted->digest = event->digest;
    trib_buffer_add_durable(run, event->slot);
    if (admitted->target == TRIB_TARGET_HELD)
        trib_round_arrive(run, admitted);
    run->roster.clients[admitted->client_index].refusals = 0;
    acknowledge(run, admitted->request, event->slot);
    admitted->request = 0;
}
