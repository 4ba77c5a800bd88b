/* playback_effects.c - what the heart wants done: bodies, sums, versions; all of it at once.
 *
 * Whoever got an answer then gets none now. An event that answers an effect must find it owed: a
 * tape that somebody has written by hand must not reach the heart's assertions. */
#include "sim/playback_parts.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/words.h"
#include "codec/codec.h"
#include "node/record_document.h"

static void fail_words(struct trib_playback *playback, enum trib_status status) {
    if (playback->error->status == TRIB_OK) {
        (void)trib_error_set(playback->error, status, "%s", trib_status_text(status));
    }
    trib_playback_fail(playback, status, NULL);
}

/* --- what is owed ------------------------------------------------------------------------------- */

bool trib_playback_is_owed(const struct trib_playback *playback, const struct trib_event *event) {
    bool has_slot = playback->slots != NULL && event->slot < playback->spec->updates_pending_max;
    switch (event->kind) {
    case TRIB_EVENT_SPOOLED:
        return has_slot && playback->slots[event->slot].owed == TRIB_EVENT_SPOOLED;
    case TRIB_EVENT_FOLDED:
        return has_slot && playback->slots[event->slot].owed == TRIB_EVENT_FOLDED;
    case TRIB_EVENT_MERGED:
    case TRIB_EVENT_PERSISTED:
        return playback->owed == event->kind && event->version == playback->made.version;
    case TRIB_EVENT_RECORDED:
        return trib_map_get(&playback->records, &event->record, sizeof event->record, NULL);
    default:
        return true;
    }
}

void trib_playback_settle(struct trib_playback *playback, const struct trib_event *event) {
    if (event->kind == TRIB_EVENT_SPOOLED || event->kind == TRIB_EVENT_FOLDED) {
        playback->slots[event->slot].owed = TRIB_EVENT_TICK;
    } else if (event->kind == TRIB_EVENT_MERGED || event->kind == TRIB_EVENT_PERSISTED) {
        playback->owed = TRIB_EVENT_TICK;
    } else if (event->kind == TRIB_EVENT_RECORDED) {
        (void)trib_map_remove(&playback->records, &event->record, sizeof event->record);
    }
}

/* --- updates ------------------------------------------------------------------------------------ */

enum trib_status trib_playback_compare_entry(const struct trib_playback *playback,
                                             const struct trib_slot_view *view,
                                             const struct trib_digest *digest,
                                             const struct trib_spool_entry **entry) {
    const struct trib_spool_entry *kept = *entry =
        trib_bodies_find(&playback->bodies, view->client, view->id);
    if (kept == NULL) {
        return trib_error_set(playback->error, TRIB_EUNSUPPORTED,
                              "update %s of %s is no longer kept", view->id, view->client);
    }
    if (!trib_digest_equal(&kept->digest, digest)) {
        return trib_error_set(playback->error, TRIB_ECORRUPT,
                              "update %s of %s: the body kept is not the one that came", view->id,
                              view->client);
    }
    const struct {
        const char *name;
        uint64_t expected, found;
    } fields[] = {
        {"base", kept->base, view->base},
        {"version", kept->target, view->target},
        {"staleness", kept->staleness, view->staleness},
        {"weight", kept->weight, view->weight},
        {"examples", kept->examples, view->examples},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].expected != fields[i].found) {
            return trib_error_set(playback->error, TRIB_ECORRUPT,
                                  "update %s of %s was admitted with %s %" PRIu64
                                  " (expected), and now with %" PRIu64 " (found)",
                                  view->id, view->client, fields[i].name, fields[i].expected,
                                  fields[i].found);
        }
    }
    return TRIB_OK;
}

/* With so many local steps. *is_same: its bytes are those that came; they must be, where they came as
 * clients of this program send them. Of other encodings the version decides. */
static enum trib_status train_with(struct trib_playback *playback, struct trib_playback_slot *slot,
                                   const struct trib_pupil_task *task, const char *settings,
                                   uint32_t steps, struct trib_digest *digest, bool *is_same) {
    const struct trib_spool_entry *entry = slot->entry;
    struct trib_work_trained trained = {0};
    trib_block_unref(slot->body);
    slot->body = NULL;
    enum trib_status status =
        trib_pupils_train(&playback->pupils, playback->model.layout, entry->client, task, settings,
                          steps, &slot->body, &trained, playback->error);
    if (status == TRIB_OK) {
        slot->loss = trained.loss;
        trib_digest_of(slot->body->bytes, slot->body->byte_count, digest);
        *is_same = trib_digest_equal(digest, &entry->digest) ||
                   strcmp(entry->codec, trib_codec_dense.name) != 0;
    }
    return status;
}

/* How many local steps the task may have had: one number, but where it was not recorded (pupils.h) or
 * was the client's to find out, because it worked until it was called. 0: as the settings say. */
struct steps_range {
    uint32_t first, last;
};

static struct steps_range bound_steps(const struct trib_playback *playback,
                                      const struct trib_pupil_task *task, const char *settings) {
    const struct trib_spec_strategy *strategy = &playback->spec->strategy;
    struct steps_range range = {task->steps, task->steps};
    json_t *read = json_loads(settings, 0, NULL);
    json_int_t steps = json_integer_value(json_object_get(read, "steps"));
    if (!task->is_recorded && strategy->steps_max > 0) {
        range = (struct steps_range){strategy->steps_min, strategy->steps_max};
    } else if (json_is_true(json_object_get(read, "until_called")) && steps > 0) {
        range = (struct steps_range){1, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX};
    }
    json_decref(read);
    return range;
}

static enum trib_status differ_trained(const struct trib_playback *playback,
                                       const struct trib_spool_entry *entry,
                                       const struct trib_digest *digest) {
    char expected[TRIB_DIGEST_HEX_BYTES], found[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(&entry->digest, expected);
    trib_digest_to_hex(digest, found);
    return trib_error_set(playback->error, TRIB_ECORRUPT,
                          "update %s of %s on version %" PRIu64
                          ": expected %.16s, trained again it is %.16s",
                          entry->update, entry->client, entry->base, expected, found);
}

/* The same update once more; of several numbers of steps the one that gives the same bytes. */
static enum trib_status train_again(struct trib_playback *playback,
                                    struct trib_playback_slot *slot) {
    const struct trib_spool_entry *entry = slot->entry;
    const struct trib_pupil_task *task =
        trib_pupils_find(&playback->pupils, entry->client, entry->base);
    if (task == NULL) {
        return trib_error_set(playback->error, TRIB_EUNSUPPORTED,
                              "%s was not asked to train version %" PRIu64
                              ", as far as is recorded",
                              entry->client, entry->base);
    }
    char *settings = trib_work_settings(playback->env, playback->spec, task->site);
    if (settings == NULL) {
        return TRIB_EMEMORY;
    }
    const struct steps_range range = bound_steps(playback, task, settings);
    enum trib_status status = TRIB_OK;
    bool is_same = false;
    struct trib_digest digest;
    for (uint64_t steps = range.first; status == TRIB_OK && !is_same && steps <= range.last;
         steps++) {
        status = train_with(playback, slot, task, settings, (uint32_t)steps, &digest, &is_same);
    }
    trib_text_release(playback->env, settings);
    return status == TRIB_OK && !is_same ? differ_trained(playback, entry, &digest) : status;
}

enum trib_status trib_playback_take_update(struct trib_playback *playback, trib_slot number,
                                           const struct trib_spool_entry *entry) {
    struct trib_playback_slot *slot = &playback->slots[number];
    slot->entry = entry;
    slot->loss = NAN;
    return playback->options->work == NULL ? TRIB_OK : train_again(playback, slot);
}

static void forget(struct trib_playback_slot *slot) {
    trib_block_unref(slot->body);
    *slot = (struct trib_playback_slot){0};
}

void trib_playback_forget_slots(struct trib_playback *playback) {
    uint32_t count = playback->spec == NULL ? 0 : playback->spec->updates_pending_max;
    for (uint32_t slot = 0; playback->slots != NULL && slot < count; slot++) {
        trib_block_unref(playback->slots[slot].body);
    }
    trib_release(playback->env, playback->slots, count, sizeof *playback->slots);
    playback->slots = NULL;
    trib_map_clear(&playback->records);
    playback->owed = TRIB_EVENT_TICK;
}

static enum trib_status fold_body(struct trib_playback *playback, uint32_t accumulator,
                                  const struct trib_playback_slot *slot, uint64_t weight) {
    struct trib_model *model = &playback->model;
    const struct trib_source source =
        trib_source_of_memory(slot->body->bytes, slot->body->byte_count);
    struct trib_weighted_update update = {
        .codec = &trib_codec_dense, .weight = weight, .base = slot->entry->base};
    double norm;
    enum trib_status status = trib_codec_dense.open(playback->env, model->layout, &source,
                                                    &update.update, NULL, playback->error);
    if (status == TRIB_OK) {
        status = trib_codec_dense.check(update.update, model->kernels, &norm, playback->error);
    }
    if (status == TRIB_OK) {
        status = trib_model_count(model, accumulator, &update);
    }
    if (status == TRIB_OK) {
        status = trib_model_fold(model, accumulator, &update, 1, 0, model->layout->element_count);
    }
    trib_codec_dense.free(update.update);
    return status;
}

static void carry_spool(struct trib_playback *playback, const struct trib_effect *effect) {
    forget(&playback->slots[effect->slot]);
    playback->slots[effect->slot].owed = TRIB_EVENT_SPOOLED;
}

static void carry_fold(struct trib_playback *playback, const struct trib_effect *effect) {
    struct trib_playback_slot *slot = &playback->slots[effect->slot];
    enum trib_status status =
        slot->body != NULL
            ? fold_body(playback, effect->accumulator, slot, effect->weight)
            : trib_replay_fold(&playback->model, effect->accumulator, playback->spool, slot->entry,
                               effect->weight, playback->error);
    if (status != TRIB_OK) {
        (void)trib_error_prefix(playback->error, status, "update %s of %s", slot->entry->update,
                                slot->entry->client);
        fail_words(playback, status);
    }
    slot->owed = TRIB_EVENT_FOLDED;
}

/* --- versions ----------------------------------------------------------------------------------- */

static enum trib_status merge(struct trib_playback *playback, uint32_t accumulator) {
    struct trib_model *model = &playback->model;
    enum trib_status status = trib_model_merge_begin(model, accumulator);
    if (status == TRIB_OK) {
        status = trib_model_merge_range(model, 0, model->layout->element_count, playback->error);
    }
    if (status == TRIB_OK) {
        trib_model_merge_end(model);
    }
    return status;
}

static void carry_merge(struct trib_playback *playback, const struct trib_effect *effect) {
    enum trib_status status = TRIB_OK;
    if (playback->spec->strategy.combiner == TRIB_COMBINER_EXTERNAL) {
        status = trib_playback_fold_combined(playback, effect->accumulator);
    }
    if (status == TRIB_OK) {
        status = merge(playback, effect->accumulator);
    }
    if (status != TRIB_OK) {
        (void)trib_error_prefix(playback->error, status, "version %" PRIu64, effect->version);
        fail_words(playback, status);
    }
    playback->owed = TRIB_EVENT_MERGED;
    playback->made.version = effect->version;
}

static bool list_updates(struct trib_playback *playback, const trib_slot *slots, size_t count) {
    struct trib_playback_counted *updates = trib_allocate(playback->env, count, sizeof *updates);
    trib_release(playback->env, playback->made.updates, playback->made.count,
                 sizeof *playback->made.updates);
    playback->made.updates = updates;
    playback->made.count = updates == NULL ? 0 : count;
    playback->made.losses = 0;
    playback->made.loss = 0.0;
    for (size_t i = 0; i < playback->made.count; i++) {
        struct trib_slot_view view;
        trib_run_slot(playback->run, slots[i], &view);
        updates[i] = (struct trib_playback_counted){
            .base = view.base,
            .staleness = view.staleness,
            .weight = view.weight,
            .examples = view.examples,
            .digest = view.digest,
        };
        trib_words(updates[i].client, sizeof updates[i].client, "%s", view.client);
        trib_words(updates[i].update, sizeof updates[i].update, "%s", view.id);
        double loss = playback->slots[slots[i]].loss;
        playback->made.losses += !isnan(loss);
        playback->made.loss += isnan(loss) ? 0.0 : loss;
        forget(&playback->slots[slots[i]]);
    }
    return updates != NULL;
}

/* Its slots are known now, and are free by the time when it is on record. */
static void carry_persist(struct trib_playback *playback, const struct trib_effect *effect) {
    size_t count = trib_run_slots_of(playback->run, effect->version, NULL, 0);
    trib_slot *slots = trib_allocate(playback->env, count, sizeof *slots);
    if (slots != NULL) {
        (void)trib_run_slots_of(playback->run, effect->version, slots, count);
    }
    if (slots == NULL || !list_updates(playback, slots, count)) {
        fail_words(playback, TRIB_EMEMORY);
    }
    trib_release(playback->env, slots, count, sizeof *slots);
    playback->owed = TRIB_EVENT_PERSISTED;
}

static void carry_record(struct trib_playback *playback, const struct trib_effect *effect) {
    if (!trib_map_put(&playback->records, &effect->record, sizeof effect->record, 1)) {
        fail_words(playback, TRIB_EMEMORY);
    }
    if (effect->record_kind != TRIB_RECORD_STATE) {
        return;
    }
    if (playback->change.is_set) { /* the heart makes one at a time: it is on record */
        trib_playback_fail(playback, trib_playback_find_state(playback), NULL);
    }
    playback->change.is_set = true;
    playback->change.state = effect->state;
    trib_words(playback->change.reason, sizeof playback->change.reason, "%s", effect->text);
}

/* --- answers ------------------------------------------------------------------------------------ */

static void carry_task(struct trib_playback *playback, const struct trib_effect *effect) {
    if (playback->options->work != NULL && playback->has_model) {
        trib_pupils_task(&playback->pupils, effect->request, &effect->task,
                         playback->model.current);
    }
}

static void carry_state(struct trib_playback *playback, const struct trib_effect *effect) {
    struct trib_fleet_report *fleet = &playback->report->fleet;
    trib_words(fleet->ending, sizeof fleet->ending, "%s%s%s", trib_run_state_name(effect->state),
               effect->text[0] != '\0' ? ": " : "", effect->text);
}

static void carry_nothing(struct trib_playback *playback, const struct trib_effect *effect) {
    (void)playback, (void)effect;
}

void trib_playback_carry(struct trib_playback *playback, const struct trib_effect *effect) {
    static void (*const carriers[])(struct trib_playback * playback,
                                    const struct trib_effect *effect) = {
        [TRIB_EFFECT_JOINED] = carry_nothing,  [TRIB_EFFECT_TASK] = carry_task,
        [TRIB_EFFECT_DONE] = carry_nothing,    [TRIB_EFFECT_REFUSE] = carry_nothing,
        [TRIB_EFFECT_RECEIVE] = carry_nothing, [TRIB_EFFECT_COMPARE] = carry_nothing,
        [TRIB_EFFECT_SPOOL] = carry_spool,     [TRIB_EFFECT_ACKNOWLEDGE] = carry_nothing,
        [TRIB_EFFECT_FOLD] = carry_fold,       [TRIB_EFFECT_COMBINE] = carry_nothing,
        [TRIB_EFFECT_MERGE] = carry_merge,     [TRIB_EFFECT_PERSIST] = carry_persist,
        [TRIB_EFFECT_PUBLISH] = carry_nothing, [TRIB_EFFECT_RECORD] = carry_record,
        [TRIB_EFFECT_BEST] = carry_nothing,    [TRIB_EFFECT_EVALUATED] = carry_nothing,
        [TRIB_EFFECT_STATE] = carry_state,     [TRIB_EFFECT_SET_ASIDE] = carry_nothing,
        [TRIB_EFFECT_REOPEN] = carry_nothing,
    };
    TRIB_ASSERT(effect->kind < sizeof carriers / sizeof *carriers);
    carriers[effect->kind](playback, effect);
}
