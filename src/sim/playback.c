/* playback.c - a recorded run once more: its files, its tapes, its restarts. */
#include "sim/playback_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/record_document.h"
#include "store/directory.h"

void trib_playback_fail(struct trib_playback *playback, enum trib_status status,
                        const struct trib_error *error) {
    if (playback->status != TRIB_OK || status == TRIB_OK) {
        return;
    }
    playback->status = status;
    if (error != NULL && error != playback->error) {
        *playback->error = *error;
    }
}

static enum trib_status differ(const struct trib_playback *playback, const char *what) {
    return trib_error_set(playback->error, TRIB_ECORRUPT, "tape %" PRIu64 ": %s", playback->tape,
                          what);
}

/* --- names -------------------------------------------------------------------------------------- */

static bool is_name(const char *text) {
    return text != NULL && trib_name_is_valid(text, strlen(text));
}

/* What an event cannot do without; names that are none could not have come in. */
static bool has_all(const struct trib_event *event) {
    static const struct {
        bool client, id, request;
    } needs[] = {
        [TRIB_EVENT_JOIN] = {.client = true},
        [TRIB_EVENT_ASK] = {.client = true, .request = true},
        [TRIB_EVENT_ALIVE] = {.client = true},
        [TRIB_EVENT_DEPART] = {.client = true},
        [TRIB_EVENT_DECLINE] = {.client = true},
        [TRIB_EVENT_RENEW] = {.client = true},
        [TRIB_EVENT_OFFER] = {.client = true, .id = true},
        [TRIB_EVENT_UPDATE] = {.client = true, .id = true, .request = true},
        [TRIB_EVENT_REPEAT] = {.client = true, .id = true},
        [TRIB_EVENT_EVALUATION] = {.client = true, .request = true},
        [TRIB_EVENT_CONTROL] = {.request = true},
        [TRIB_EVENT_REVISE] = {.request = true},
    };
    bool is_task_named = event->kind != TRIB_EVENT_DECLINE || event->id != NULL; /* by any text */
    return (!needs[event->kind].client || is_name(event->client)) &&
           (!needs[event->kind].id || is_name(event->id)) &&
           (!needs[event->kind].request || event->request != 0) && is_task_named;
}

/* The same for what is restored. */
static bool is_complete(const struct trib_told *told) {
    switch (told->kind) {
    case TRIB_TOLD_EVENT:
        return has_all(&told->event);
    case TRIB_TOLD_PENDING:
        return is_name(told->event.client) && is_name(told->event.id);
    case TRIB_TOLD_SET_ASIDE:
        return told->event.client == NULL || is_name(told->event.client);
    case TRIB_TOLD_CLIENT:
    case TRIB_TOLD_EVALUATION:
        return is_name(told->event.client);
    case TRIB_TOLD_RESTORE:
    case TRIB_TOLD_KIND_END:
        break;
    }
    return true;
}

/* --- where a tape begins ------------------------------------------------------------------------ */

/* The spec that makes this version, as the ledger says by now. */
static enum trib_status find_spec(const struct trib_playback *playback, trib_version version,
                                  const json_t **document, struct trib_spec **spec) {
    *document = trib_revisions_find(&playback->revisions, version);
    *document = *document == NULL ? playback->first_spec : *document;
    enum trib_status status = trib_spec_parse(playback->env, *document, spec, playback->error);
    return status == TRIB_OK ? TRIB_OK
                             : trib_error_prefix(playback->error, status,
                                                 "the spec of version %" PRIu64, version);
}

static enum trib_status choose_spec(struct trib_playback *playback, struct trib_spec **spec) {
    trib_version next = playback->has_model ? playback->model.version + 1 : 1;
    return find_spec(playback, next, &playback->spec_document, spec);
}

/* A version that was merged and did not become durable never was. */
static enum trib_status rewind_model(struct trib_playback *playback, struct trib_spec *spec) {
    playback->made.version = 0;
    playback->change.is_set = false;
    if (!playback->has_model) {
        return TRIB_OK;
    }
    /* The state is that of the spec which made the version: another one that was to follow, and was
     * replaced before it had made anything, has changed nothing. */
    const json_t *document;
    struct trib_spec *made_by = NULL;
    enum trib_status status = find_spec(playback, playback->model.version, &document, &made_by);
    if (status == TRIB_OK) {
        status = trib_model_change(&playback->model, made_by, playback->error);
    }
    if (status == TRIB_OK) {
        status = trib_model_rewind(&playback->model, playback->state, playback->state_bytes);
    }
    if (status == TRIB_OK) {
        status = trib_model_change(&playback->model, spec, playback->error);
    }
    playback->model.spec = spec;
    trib_spec_free(made_by);
    return status;
}

static enum trib_status make_heart(struct trib_playback *playback, struct trib_spec *spec) {
    const struct trib_run_limits limits = {.accumulators = TRIB_ACCUMULATORS_MAX};
    trib_playback_forget_slots(playback);
    trib_run_free(playback->run);
    trib_spec_free(playback->spec);
    playback->spec = spec;
    playback->run = trib_run_new(playback->env, spec, &limits);
    playback->slots =
        trib_allocate(playback->env, spec->updates_pending_max, sizeof *playback->slots);
    return playback->run == NULL || playback->slots == NULL ? TRIB_EMEMORY : TRIB_OK;
}

/* The run was opened, for the first time or once more. */
static enum trib_status open_run(struct trib_playback *playback, const struct trib_told *told) {
    struct trib_spec *spec = NULL;
    enum trib_status status = trib_playback_catch_up(playback, told->ledger_count);
    if (status == TRIB_OK) {
        status = choose_spec(playback, &spec);
    }
    if (status == TRIB_OK) {
        status = rewind_model(playback, spec);
        if (status != TRIB_OK) {
            trib_spec_free(spec);
        }
    }
    if (status == TRIB_OK) {
        status = make_heart(playback, spec);
    }
    trib_version version = playback->has_model ? playback->model.version : 0;
    bool is_same = told->restored.has_model == playback->has_model &&
                   (!playback->has_model || told->restored.version == version);
    if (status == TRIB_OK && !is_same) {
        return trib_error_set(playback->error, TRIB_ECORRUPT,
                              "tape %" PRIu64 " begins at version %" PRIu64
                              ", the ledger by then at %" PRIu64,
                              playback->tape, told->restored.version, version);
    }
    if (told->restored.now < playback->now) { /* another boot: its clock began anew */
        playback->began_at -= playback->now - told->restored.now;
        playback->now = told->restored.now;
    }
    if (playback->options->work != NULL && playback->has_model) {
        trib_pupils_remember(&playback->pupils, version, playback->model.current);
    }
    if (playback->options->work != NULL && playback->previous != NULL) {
        trib_pupils_remember(&playback->pupils, version - 1, playback->previous);
    }
    playback->report->openings++;
    playback->is_opened = true;
    return status;
}

/* It was durable and not counted when the run was opened. */
static enum trib_status restore_pending(struct trib_playback *playback,
                                        const struct trib_told *told) {
    const struct trib_slot_view view = {
        .client = told->event.client,
        .id = told->event.id,
        .base = told->event.version,
        .target = told->target,
        .staleness = told->staleness,
        .weight = told->weight,
        .examples = told->event.examples,
        .digest = told->event.digest,
    };
    const struct trib_spool_entry *entry = NULL;
    trib_slot slot;
    enum trib_status status = trib_playback_compare_entry(playback, &view, &view.digest, &entry);
    if (status == TRIB_OK && !trib_told_restore(playback->run, told, &slot)) {
        status = differ(playback, "an update finds no place");
    }
    return status == TRIB_OK ? trib_playback_take_update(playback, slot, entry) : status;
}

/* --- events ------------------------------------------------------------------------------------- */

/* The update is durable now: as the spool has it? */
static enum trib_status take_spooled(struct trib_playback *playback,
                                     const struct trib_event *event) {
    struct trib_slot_view view;
    const struct trib_spool_entry *entry;
    trib_run_slot(playback->run, event->slot, &view);
    enum trib_status status = trib_playback_compare_entry(playback, &view, &event->digest, &entry);
    return status == TRIB_OK ? trib_playback_take_update(playback, event->slot, entry) : status;
}

/* What the heart hears to be durable is on record. */
static enum trib_status look_at_record(struct trib_playback *playback,
                                       const struct trib_event *event) {
    if (event->status != TRIB_OK) {
        return TRIB_OK;
    }
    switch (event->kind) {
    case TRIB_EVENT_MODEL:
    case TRIB_EVENT_PERSISTED:
        return trib_playback_find_version(playback);
    case TRIB_EVENT_SPOOLED:
        return take_spooled(playback, event);
    default:
        return TRIB_OK;
    }
}

static enum trib_status play_event(struct trib_playback *playback, const struct trib_event *event) {
    if (!trib_playback_is_owed(playback, event)) {
        return differ(playback, "an event that could not have been");
    }
    playback->now = event->now;
    playback->began_at = playback->began_at == 0 ? event->now : playback->began_at;
    enum trib_status status = look_at_record(playback, event);
    if (status != TRIB_OK) {
        return status;
    }
    trib_playback_settle(playback, event);
    playback->report->events++;
    if (event->kind == TRIB_EVENT_ASK && playback->options->work != NULL &&
        !trib_pupils_ask(&playback->pupils, event->client, event->request)) {
        return TRIB_EMEMORY;
    }
    trib_run_step(playback->run, event, &playback->effects);
    for (uint32_t i = 0; i < playback->effects.count && playback->status == TRIB_OK; i++) {
        trib_playback_carry(playback, &playback->effects.items[i]);
    }
    return playback->status;
}

static enum trib_status play(void *context, const struct trib_told *told) {
    struct trib_playback *playback = context;
    if (playback->is_opened == (told->kind == TRIB_TOLD_RESTORE)) {
        return differ(playback, "it does not begin with where the run stood");
    }
    if (!is_complete(told)) {
        return differ(playback, "an event lacks what it needs");
    }
    enum trib_status status;
    switch (told->kind) {
    case TRIB_TOLD_EVENT:
        return play_event(playback, &told->event);
    case TRIB_TOLD_PENDING:
        return restore_pending(playback, told);
    case TRIB_TOLD_RESTORE:
        status = open_run(playback, told);
        if (status != TRIB_OK) {
            return status;
        }
        break;
    default:
        break;
    }
    return trib_told_restore(playback->run, told, NULL)
               ? TRIB_OK
               : differ(playback, "what was restored cannot be restored again");
}

/* --- all of it ---------------------------------------------------------------------------------- */

static enum trib_status keep_body(void *context, const struct trib_spool_entry *entry) {
    struct trib_playback *playback = context;
    bool is_repeat;
    if (entry->kind == TRIB_SPOOL_DROP || entry->place.is_body_missing) {
        return TRIB_OK;
    }
    return trib_bodies_add(&playback->bodies, entry, &is_repeat) ? TRIB_OK : TRIB_EMEMORY;
}

static enum trib_status take_first_spec(void *context, const struct trib_ledger_record *record) {
    struct trib_playback *playback = context;
    json_t *document = json_loadb(record->payload, record->payload_bytes, 0, NULL);
    playback->first_spec = json_incref(json_object_get(document, "spec"));
    json_decref(document);
    return playback->first_spec == NULL ? TRIB_ECORRUPT : TRIB_OK;
}

static enum trib_status open_files(struct trib_playback *playback) {
    char path[TRIB_DIRECTORY_PATH_BYTES];
    const struct trib_files *files = playback->options->files;
    const char *run = playback->options->run;
    enum trib_status status =
        trib_ledger_open(playback->env, files, trib_directory_path(path, run, "ledger"), run,
                         &playback->ledger, NULL, playback->error, NULL, NULL);
    if (status == TRIB_OK) {
        status =
            trib_spool_open(playback->env, files, trib_directory_path(path, run, "spool"), NULL,
                            &playback->spool, NULL, playback->error, playback, keep_body);
    }
    if (status == TRIB_OK && trib_ledger_count(playback->ledger) > 0) {
        status = trib_ledger_read(playback->ledger, 0, 1, playback, take_first_spec);
    }
    return status;
}

/* The ledger's last records, which no event on a tape comes after. */
static enum trib_status end(struct trib_playback *playback) {
    enum trib_status status = trib_playback_catch_up(playback, trib_ledger_count(playback->ledger));
    struct trib_playback_report *report = playback->report;
    report->digest = playback->model.digest;
    report->fleet.version = playback->model.version;
    report->fleet.ended_at = playback->now - playback->began_at;
    report->fleet.is_complete = status == TRIB_OK;
    report->fleet.clients = playback->pupils.count;
    if (playback->options->last != NULL && status == TRIB_OK && playback->has_model) {
        *playback->options->last = trib_block_ref(playback->model.current);
    }
    return status;
}

/* The first field that is another: its path, as deep as both have objects. False: there is none. */
static bool find_difference(const json_t *expected, const json_t *found, char *path,
                            size_t path_bytes) {
    path[0] = '\0';
    if (json_equal(expected, found)) {
        return false;
    }
    const char *name;
    json_t *value;
    for (bool goes_deeper = true; goes_deeper;) {
        goes_deeper = false;
        json_object_foreach((json_t *)expected, name, value) { /* jansson's own lack of const */
            const json_t *other = json_object_get(found, name);
            if (json_equal(value, other)) {
                continue;
            }
            size_t used = strlen(path);
            (void)snprintf(path + used, path_bytes - used, "%s%s", used > 0 ? "." : "", name);
            goes_deeper = json_is_object(value) && json_is_object(other);
            expected = value;
            found = other;
            break;
        }
    }
    return true;
}

/* The training follows the spec that was given, all else the one of the ledger. Where version 0
 * comes from is not compared: its digest will be. */
static enum trib_status compare_specs(const struct trib_playback *playback) {
    const struct trib_spec *given = playback->options->spec;
    if (given == NULL) {
        return TRIB_OK;
    }
    if (given->strategy.companions != 0) {
        return trib_error_set(
            playback->error, TRIB_EUNSUPPORTED,
            "clients of %s keep or send more than a model, and do not train again; "
            "trib replay works",
            given->strategy.preset);
    }
    json_t *expected = json_deep_copy(playback->first_spec);
    json_t *found = trib_spec_document(given);
    (void)json_object_del(json_object_get(expected, "model"), "init");
    (void)json_object_del(json_object_get(found, "model"), "init");
    char path[96] = "";
    bool is_other = find_difference(expected, found, path, sizeof path);
    json_decref(expected);
    json_decref(found);
    return is_other ? trib_error_set(playback->error, TRIB_EINVALID,
                                     "%s is not as it was when %s was recorded",
                                     path[0] == '\0' ? "the spec" : path, playback->options->run)
                    : TRIB_OK;
}

static enum trib_status play_all(struct trib_playback *playback) {
    const struct trib_playback_options *options = playback->options;
    struct trib_numbers tapes = {0};
    enum trib_status status = open_files(playback);
    if (status == TRIB_OK) {
        status = compare_specs(playback);
    }
    if (status == TRIB_OK) {
        status = trib_tape_list(playback->env, options->files, options->run, &tapes);
    }
    if (status == TRIB_OK && tapes.count == 0) {
        status = trib_error_set(playback->error, TRIB_EUNSUPPORTED,
                                "%s was not recorded: keep.updates must be forever from the start, "
                                "and durability spool",
                                options->run);
    }
    for (size_t i = 0; status == TRIB_OK && i < tapes.count; i++) {
        playback->tape = tapes.numbers[i];
        playback->is_opened = false;
        status = trib_tape_read(playback->env, options->files, options->run, tapes.numbers[i],
                                playback->error, playback, play);
    }
    trib_numbers_deinit(&tapes);
    return status == TRIB_OK ? end(playback) : status;
}

static void destroy(struct trib_playback *playback) {
    trib_playback_forget_slots(playback);
    trib_pupils_deinit(&playback->pupils);
    trib_run_free(playback->run);
    trib_block_unref(playback->previous);
    trib_model_deinit(&playback->model);
    trib_release(playback->env, playback->state, playback->state_bytes, 1);
    trib_release(playback->env, playback->made.updates, playback->made.count,
                 sizeof *playback->made.updates);
    trib_map_deinit(&playback->records);
    trib_bodies_deinit(&playback->bodies);
    trib_revisions_deinit(&playback->revisions);
    trib_ledger_close(playback->ledger);
    trib_spool_close(playback->spool);
    trib_spec_free(playback->spec);
    json_decref(playback->first_spec);
    trib_release(playback->env, playback, 1, sizeof *playback);
}

enum trib_status trib_playback_run(const struct trib_env *env,
                                   const struct trib_playback_options *options,
                                   struct trib_playback_report *report, struct trib_error *error) {
    *report = (struct trib_playback_report){0};
    if (options->last != NULL) {
        *options->last = NULL;
    }
    if (!trib_name_is_valid(options->run, strlen(options->run))) {
        return trib_error_set(error, TRIB_EINVALID, "%.64s is not a name of a run", options->run);
    }
    struct trib_playback *playback = trib_allocate(env, 1, sizeof *playback);
    if (playback == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    playback->env = env;
    playback->options = options;
    playback->report = report;
    playback->error = error;
    trib_bodies_init(&playback->bodies, env);
    trib_revisions_init(&playback->revisions, env);
    trib_map_init(&playback->records, env);
    trib_pupils_init(&playback->pupils, env, options->work);
    enum trib_status status = play_all(playback);
    if (status != TRIB_OK && error->status == TRIB_OK) {
        (void)trib_error_set(error, status, "%s", trib_status_text(status));
    }
    destroy(playback);
    return status;
}
