/* buffers.c - from durable updates to the next version: fold, merge, persist, publish. */
#include "run/heart.h"

#include "learn/share.h"

uint32_t trib_buffer_received(const struct trib_buffer *buffer) {
    return buffer->durable + buffer->folding + buffer->folded;
}

struct trib_buffer *trib_buffer_of(struct trib_run *run, trib_version target) {
    if (target == TRIB_TARGET_HELD)
        return &run->held;
    TRIB_ASSERT(target > run->version && target <= run->version + 2);
    return &run->buffers[target - run->version - 1];
}

struct trib_buffer trib_buffer_empty(void) {
    return (struct trib_buffer){.accumulator = TRIB_ACCUMULATOR_NONE,
                                .first_durable = TRIB_SLOT_NONE,
                                .last_durable = TRIB_SLOT_NONE};
}

void trib_buffer_free_slot(struct trib_run *run, trib_slot slot) {
    uint32_t client_index = run->slots.items[slot].client_index;
    trib_slots_free(&run->slots, slot);
    trib_roster_unpin(&run->roster, client_index);
}

/* Free every slot of this version; returns how many. */
static uint32_t free_slots_of(struct trib_run *run, trib_version target) {
    uint32_t freed = 0;
    trib_slot slot = 0;
    while ((slot = trib_slots_next_of(&run->slots, target, slot)) != TRIB_SLOT_NONE) {
        trib_buffer_free_slot(run, slot);
        freed++;
    }
    return freed;
}

void trib_buffer_add_durable(struct trib_run *run, trib_slot slot) {
    struct trib_admitted *admitted = &run->slots.items[slot];
    struct trib_buffer *buffer = trib_buffer_of(run, admitted->target);
    admitted->state = TRIB_SLOT_DURABLE;
    admitted->next = TRIB_SLOT_NONE;
    if (buffer->durable == 0)
        buffer->first_durable = slot;
    else
        run->slots.items[buffer->last_durable].next = slot;
    buffer->last_durable = slot;
    buffer->durable++;
}

static void fix_weight(const struct trib_run *run, struct trib_admitted *admitted) {
    const struct trib_client *client = &run->roster.clients[admitted->client_index];
    admitted->target = run->version + 1;
    admitted->staleness = run->version - admitted->base;
    uint64_t weight = trib_admission_weigh(run, client, admitted, false);
    /* Its client may have another attribute by now; what was acknowledged is not nothing. */
    admitted->weight = weight > 0 ? weight : 1;
}

static bool is_combined_outside(const struct trib_run *run) {
    return run->spec->strategy.combiner == TRIB_COMBINER_EXTERNAL;
}

void trib_buffer_release(struct trib_run *run, const uint32_t holds[2]) {
    trib_slot next = run->held.first_durable;
    uint32_t left = run->held.durable, writing = run->held.writing;
    run->held = trib_buffer_empty();
    run->held.writing = writing;
    for (; left > 0; left--) {
        trib_slot slot = next;
        struct trib_admitted *admitted = &run->slots.items[slot];
        next = admitted->next;
        if (admitted->hold == holds[0] || admitted->hold == holds[1]) {
            fix_weight(run, admitted);
            run->buffers[0].weight_total += admitted->weight;
        }
        trib_buffer_add_durable(run, slot);
    }
    TRIB_ASSERT(run->buffers[0].weight_total <= trib_buffer_weight_max(run)); /* spec_fit.c */
}

uint64_t trib_buffer_weight_max(const struct trib_run *run) {
    const struct trib_spec_strategy *strategy = &run->spec->strategy;
    uint64_t whole = strategy->weight_total_max;
    uint32_t bits = strategy->weight_unit_bits;
    return whole > UINT64_MAX >> bits ? UINT64_MAX : whole << bits;
}

/* --- accumulators ----------------------------------------------------------------------------- */

static bool is_lent(const struct trib_run *run, uint32_t accumulator) {
    return run->buffers[0].accumulator == accumulator || run->buffers[1].accumulator == accumulator;
}

/* buffers[0] must never wait for an accumulator that buffers[1] holds: with only one, buffers[1]
 * has to wait until the merge of buffers[0] has emptied it. */
static void lend_accumulator(struct trib_run *run, struct trib_buffer *buffer) {
    bool is_next = buffer == &run->buffers[1];
    bool is_needed_first =
        is_next && run->limits.accumulators == 1 && run->buffers[0].state != TRIB_BUFFER_PERSISTING;
    if (buffer->accumulator != TRIB_ACCUMULATOR_NONE || buffer->durable == 0 || is_needed_first)
        return;
    for (uint32_t accumulator = 0; accumulator < run->limits.accumulators; accumulator++) {
        if (!is_lent(run, accumulator)) {
            buffer->accumulator = accumulator;
            return;
        }
    }
}

static bool may_fold(const struct trib_run *run) {
    return run->state != TRIB_RUN_FAILED && run->state != TRIB_RUN_STOPPED && !run->ending.is_set;
}

static void fold_first(struct trib_run *run, struct trib_buffer *buffer) {
    trib_slot slot = buffer->first_durable;
    struct trib_admitted *admitted = &run->slots.items[slot];
    struct trib_effect *effect = trib_heart_emit(run, TRIB_EFFECT_FOLD);
    effect->slot = slot;
    effect->version = admitted->target;
    effect->accumulator = buffer->accumulator;
    effect->staleness = admitted->staleness;
    effect->weight = admitted->weight;
    admitted->state = TRIB_SLOT_FOLDING;
    buffer->first_durable = admitted->next;
    buffer->durable--;
    buffer->folding++;
}

/* --- shares ----------------------------------------------------------------------------------- */

/* The total weight of each client: those of one client are next to each other. Returns how many. */
static size_t weigh_clients(const struct trib_run *run, size_t slot_count, uint64_t *weights) {
    const struct trib_admitted *items = run->slots.items;
    size_t clients = 0;
    for (size_t place = 0; place < slot_count; place++) {
        const struct trib_admitted *admitted = &items[run->scale.slots[place]];
        bool is_same =
            place > 0 && items[run->scale.slots[place - 1]].client_index == admitted->client_index;
        if (!is_same)
            weights[clients++] = 0;
        weights[clients - 1] += admitted->weight;
    }
    return clients;
}

/* One client's updates, which weigh `whole` together, to the cap, each in proportion. None to
 * nothing: it was acknowledged. */
static void cut(struct trib_run *run, size_t first, size_t end, uint64_t whole, uint64_t cap) {
    __extension__ typedef unsigned __int128 wide;
    for (size_t place = first; place < end && whole > cap; place++) {
        struct trib_admitted *admitted = &run->slots.items[run->scale.slots[place]];
        uint64_t weight = (uint64_t)((wide)admitted->weight * cap / whole);
        admitted->weight = weight > 0 ? weight : 1;
    }
}

/* Now that everything of the buffer is durable, what each update counts with follows from all of
 * them. */
static void cap_shares(struct trib_run *run, trib_version target) {
    const struct trib_admitted *items = run->slots.items;
    const trib_slot *slots = run->scale.slots;
    size_t count =
        trib_slots_gather(&run->slots, target, target, run->scale.slots, run->slots.slot_count);
    size_t clients = weigh_clients(run, count, run->scale.weights);
    uint64_t cap =
        trib_share_cap(run->scale.weights, clients, run->spec->strategy.weight_share_max);
    for (size_t first = 0, end; first < count; first = end) {
        uint64_t whole = 0;
        for (end = first;
             end < count && items[slots[end]].client_index == items[slots[first]].client_index;
             end++)
            whole += items[slots[end]].weight;
        cut(run, first, end, whole, cap);
    }
}

/* May the updates of this buffer be folded: do they have the weights they count with? */
static bool is_weighed(struct trib_run *run, struct trib_buffer *buffer) {
    if (!trib_spec_caps_shares(run->spec) || buffer->is_capped)
        return true;
    if (buffer->state != TRIB_BUFFER_CLOSED || buffer->writing > 0 || buffer->durable == 0)
        return false;
    cap_shares(run, run->version + 1); /* only buffers[0] is ever closed */
    buffer->is_capped = true;
    return true;
}

/* Where somebody else combines them, durable is all that they need to be. */
static void take_waiting(struct trib_run *run, struct trib_buffer *buffer) {
    for (; buffer->durable > 0; buffer->durable--) {
        struct trib_admitted *admitted = &run->slots.items[buffer->first_durable];
        admitted->state = TRIB_SLOT_FOLDED;
        buffer->first_durable = admitted->next;
        buffer->folded++;
    }
}

/* Usually that is the one update that has just become durable; hundreds after a merge or a
 * restart. */
static void fold_waiting(struct trib_run *run, struct trib_buffer *buffer) {
    if (is_combined_outside(run)) {
        take_waiting(run, buffer);
        return;
    }
    if (!is_weighed(run, buffer))
        return;
    lend_accumulator(run, buffer);
    if (buffer->accumulator == TRIB_ACCUMULATOR_NONE)
        return;
    while (buffer->durable > 0 && trib_heart_has_room(run))
        fold_first(run, buffer);
}

bool trib_buffers_have_more(const struct trib_run *run) {
    for (uint32_t index = 0; index < 2; index++) {
        const struct trib_buffer *buffer = &run->buffers[index];
        if (may_fold(run) && buffer->durable > 0 && buffer->accumulator != TRIB_ACCUMULATOR_NONE)
            return true;
    }
    return false;
}

void trib_buffers_folded(struct trib_run *run, const struct trib_event *event) {
    TRIB_ASSERT(event->slot < run->slots.slot_count);
    struct trib_admitted *admitted = &run->slots.items[event->slot];
    TRIB_ASSERT(admitted->state == TRIB_SLOT_FOLDING);
    struct trib_buffer *buffer = trib_buffer_of(run, admitted->target);
    admitted->state = TRIB_SLOT_FOLDED;
    buffer->folding--;
    buffer->folded++;
    if (event->status != TRIB_OK)
        trib_states_fail(run, event->status, "fold update %s of %s", admitted->id,
                         admitted->client);
}

/* --- merge, persist, publish ------------------------------------------------------------------ */

static void merge(struct trib_run *run, uint32_t accumulator) {
    struct trib_effect *effect = trib_heart_emit(run, TRIB_EFFECT_MERGE);
    effect->version = run->version + 1;
    effect->accumulator = accumulator;
    run->buffers[0].state = TRIB_BUFFER_MERGING;
}

static void merge_closed(struct trib_run *run) {
    struct trib_buffer *buffer = &run->buffers[0];
    if (buffer->state != TRIB_BUFFER_CLOSED || buffer->writing > 0 || buffer->durable > 0 ||
        buffer->folding > 0)
        return;
    if (buffer->folded == 0) {
        /* It was full of updates that all turned out bad: an empty version helps nobody. */
        buffer->state = TRIB_BUFFER_COLLECTING;
        return;
    }
    if (is_combined_outside(run)) {
        buffer->state = TRIB_BUFFER_OFFERED;
        buffer->offered_at = run->now;
        trib_heart_emit(run, TRIB_EFFECT_COMBINE)->version = run->version + 1;
    } else {
        merge(run, buffer->accumulator);
    }
}

void trib_buffers_combined(struct trib_run *run, const struct trib_event *event) {
    bool is_offered = run->buffers[0].state == TRIB_BUFFER_OFFERED &&
                      event->version == run->version + 1 && may_fold(run);
    if (is_offered)
        merge(run, 0); /* nothing else is ever summed */
}

void trib_buffers_merged(struct trib_run *run, const struct trib_event *event) {
    struct trib_buffer *buffer = &run->buffers[0];
    TRIB_ASSERT(buffer->state == TRIB_BUFFER_MERGING && event->version == run->version + 1);
    buffer->state = TRIB_BUFFER_PERSISTING;
    if (event->status != TRIB_OK) {
        trib_states_fail(run, event->status, "merge version %" PRIu64, event->version);
        return;
    }
    buffer->accumulator = TRIB_ACCUMULATOR_NONE;
    trib_heart_emit(run, TRIB_EFFECT_PERSIST)->version = event->version;
}

static void publish(struct trib_run *run) {
    run->version++;
    run->counted += free_slots_of(run, run->version);
    run->buffers[0] = run->buffers[1];
    run->buffers[1] = trib_buffer_empty();
    uint32_t seats_kept = run->needs.keeps_seats ? run->round.seats_held : 0;
    if (!run->needs.keeps_seats)
        trib_tally_clear(&run->tally);
    run->round = (struct trib_round){.look_again = TRIB_TIME_NEVER, .seats_held = seats_kept};
    trib_heart_emit(run, TRIB_EFFECT_PUBLISH)->version = run->version;
    /* There may be something to evaluate; and whoever was kept from a task of a version that was in
     * the making gets one now. */
    trib_version due;
    if (run->spec->strategy.late == TRIB_LATE_REFUSE ||
        (trib_reports_due(run, &due) && due == run->version))
        trib_roster_call_all(&run->roster);
}

void trib_buffers_persisted(struct trib_run *run, const struct trib_event *event) {
    TRIB_ASSERT(run->buffers[0].state == TRIB_BUFFER_PERSISTING);
    TRIB_ASSERT(event->version == run->version + 1);
    if (event->status == TRIB_OK)
        publish(run);
    else
        trib_states_fail(run, event->status, "write version %" PRIu64, event->version);
}

void trib_buffers_settle(struct trib_run *run) {
    if (!may_fold(run))
        return;
    fold_waiting(run, &run->buffers[0]);
    fold_waiting(run, &run->buffers[1]);
    merge_closed(run);
}

/* --- the end ---------------------------------------------------------------------------------- */

bool trib_buffers_are_quiet(const struct trib_run *run) {
    for (uint32_t index = 0; index < 2; index++) {
        const struct trib_buffer *buffer = &run->buffers[index];
        if (buffer->writing > 0 || buffer->folding > 0 || buffer->state >= TRIB_BUFFER_MERGING)
            return false;
    }
    return run->held.writing == 0;
}

void trib_buffers_drop_all(struct trib_run *run) {
    for (uint32_t index = 0; index < 2; index++) {
        run->dropped += free_slots_of(run, run->version + 1 + index);
        run->buffers[index] = trib_buffer_empty();
    }
    run->dropped += free_slots_of(run, TRIB_TARGET_HELD);
    run->held = trib_buffer_empty();
}
