/* recover.c - bring a run to where it was: ledger, index, checkpoint, replay, pending updates.
 *
 *   1  ledger, first pass     the chain is checked; the index catches up; where did the run stand, and by which spec?
 *   2  newest checkpoint      version and optimizer state, checked against the ledger's digests
 *   3  spool                  counted up to the checkpoint: release; counted since: replay; not counted: pending
 *   4  ledger, second pass    versions since the checkpoint are made again; evaluations reach the heart
 *   5  pending updates        take their slots with the weights of their admission
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "node/daemon.h"
#include "node/record_document.h"
#include "node/record_index.h"
#include "node/recording.h"
#include "node/replay.h"
#include "node/report.h"

struct recovery {
    struct trib_hosted *hosted;
    uint64_t indexed; /* records that the index has */
    struct trib_restored state;
    bool has_start;
    struct trib_replay_start start; /* the newest checkpoint on record */
    struct trib_revisions revisions;
    struct trib_spec *first; /* the run's first spec, if another is in force; owned */
    struct trib_spec
        *replayed; /* the spec of the versions that are made again, if that is neither; owned */
    const json_t *replayed_by; /* its document; NULL: the first */
    struct trib_bodies bodies; /* to replay, and pending */
    struct trib_error *error;
};

/* --- 1: first pass -------------------------------------------------------------------------------- */

static enum trib_run_state state_from_name(const char *name) {
    for (int i = 0; i <= (int)TRIB_RUN_FAILED; i++) {
        if (name != NULL && strcmp(name, trib_run_state_name((enum trib_run_state)i)) == 0) {
            return (enum trib_run_state)i;
        }
    }
    return TRIB_RUN_RUNNING;
}

static void note_time(struct trib_restored *state, const json_t *document) {
    state->ran_for = (trib_time_ns)(json_number_value(json_object_get(document, "ran")) * 1e9);
}

static void note_version(struct trib_restored *state, const json_t *document) {
    state->has_model = true;
    if (state->state == TRIB_RUN_AWAITING_MODEL) {
        state->state = TRIB_RUN_RUNNING;
    }
    state->version = trib_record_number(document, "version");
    state->counted += json_array_size(json_object_get(document, "updates"));
    note_time(state, document);
}

/* Whoever combined the newest version may not have heard of it. */
static void note_combined(struct trib_combining *combining, const json_t *document) {
    const json_t *combined = json_object_get(document, "combined");
    if (trib_record_digest(combined, "digest", &combining->done.digest)) {
        combining->done.version = trib_record_number(document, "version");
    }
}

static void note_state(struct trib_restored *state, const json_t *document) {
    const char *reason = json_string_value(json_object_get(document, "reason"));
    state->state = state_from_name(json_string_value(json_object_get(document, "state")));
    state->dropped += json_array_size(json_object_get(document, "dropped"));
    note_time(state, document);
    (void)snprintf(state->reason, sizeof state->reason, "%s", reason == NULL ? "" : reason);
}

/* What is in the chain was written by us: if it is no JSON object, it is not the ledger. */
static enum trib_status parse(const struct trib_ledger_record *record, json_t **document,
                              struct trib_error *error) {
    struct trib_error detail = {0};
    enum trib_status status =
        trib_document_read(record->payload, record->payload_bytes, document, &detail);
    if (status == TRIB_OK || status == TRIB_EMEMORY) {
        return status;
    }
    return trib_error_set(error, TRIB_ECORRUPT, "record %" PRIu64 ": %.100s", record->index,
                          detail.text);
}

static enum trib_status first_pass(void *context, const struct trib_ledger_record *record) {
    struct recovery *recovery = context;
    json_t *document;
    enum trib_status status = parse(record, &document, recovery->error);
    if (status != TRIB_OK) {
        return status;
    }
    if (strcmp(trib_record_type(document), "version") == 0) {
        note_version(&recovery->state, document);
        note_combined(&recovery->hosted->combining, document);
        recovery->has_start |= trib_replay_start_read(document, &recovery->start);
    } else if (strcmp(trib_record_type(document), "state") == 0) {
        note_state(&recovery->state, document);
    } else if (strcmp(trib_record_type(document), "revision") == 0) {
        note_time(&recovery->state, document);
    }
    status = trib_revoked_take(&recovery->hosted->revoked, document);
    if (status == TRIB_OK) {
        status = trib_revisions_take(&recovery->revisions, document);
    }
    json_decref(document);
    return status;
}

static enum trib_status open_ledger(struct recovery *recovery, const char *name) {
    struct trib_node *node = recovery->hosted->node;
    char path[TRIB_DIRECTORY_PATH_BYTES];
    uint64_t torn_bytes = 0;
    enum trib_status status = trib_ledger_open(
        node->env, node->directory.files, trib_directory_path(path, name, "ledger"), name,
        &recovery->hosted->ledger, &torn_bytes, recovery->error, recovery, first_pass);
    if (torn_bytes > 0) {
        trib_log(node->env, TRIB_LOG_WARN, "ledger_tail_cut run=%s bytes=%" PRIu64, name,
                 torn_bytes);
    }
    return status;
}

static enum trib_status index_record(void *context, const struct trib_ledger_record *record) {
    struct trib_hosted *hosted = context;
    json_t *document;
    enum trib_status status = parse(record, &document, NULL);
    if (status == TRIB_OK) {
        status = trib_record_index(hosted->index_writer, document);
        json_decref(document);
    }
    return status;
}

static enum trib_status index_from(struct trib_hosted *hosted, uint64_t first) {
    enum trib_status status = trib_index_begin(hosted->index_writer);
    if (status == TRIB_OK) {
        status = trib_ledger_read(hosted->ledger, first, UINT64_MAX, hosted, index_record);
    }
    if (status == TRIB_OK) {
        return trib_index_commit(hosted->index_writer, trib_ledger_count(hosted->ledger));
    }
    trib_index_rollback(hosted->index_writer);
    return status;
}

/* The index takes in what it lacks. One that knows of records which the ledger does not have, or that cannot
 * be read, is made anew. */
static enum trib_status catch_up(struct recovery *recovery) {
    struct trib_hosted *hosted = recovery->hosted;
    enum trib_status status = TRIB_ECORRUPT;
    if (recovery->indexed <= trib_ledger_count(hosted->ledger)) {
        status = index_from(hosted, recovery->indexed);
    }
    if (status == TRIB_ECORRUPT) {
        trib_log(hosted->node->env, TRIB_LOG_WARN, "index_rebuilt run=%s", hosted->spec->name);
        status = trib_index_rebuild(hosted->index_writer, recovery->error);
        status = status == TRIB_OK ? index_from(hosted, 0) : status;
    }
    return status;
}

static enum trib_status open_index(struct recovery *recovery, struct trib_index **index,
                                   uint64_t *ledger_count) {
    const struct trib_node *node = recovery->hosted->node;
    char path[TRIB_DIRECTORY_PATH_BYTES], real[4096];
    (void)snprintf(real, sizeof real, "%s/%s", node->config.data_dir,
                   trib_directory_path(path, recovery->hosted->spec->name, "index.sqlite"));
    return trib_index_open(node->env, real, index, ledger_count, recovery->error);
}

/* Two connections: the recording job writes, the loop's thread looks up. The second comes when the
 * file is complete and stays. If it finds another one all the same, because opening met an error
 * and made the file anew, it would take what is counted for pending. */
static enum trib_status open_reader(struct recovery *recovery) {
    struct trib_hosted *hosted = recovery->hosted;
    uint64_t count;
    enum trib_status status = open_index(recovery, &hosted->index, &count);
    if (status == TRIB_OK && count != trib_ledger_count(hosted->ledger)) {
        return trib_error_set(recovery->error, TRIB_EIO,
                              "the index has %" PRIu64 " records of %" PRIu64, count,
                              trib_ledger_count(hosted->ledger));
    }
    return status;
}

/* --- specs ---------------------------------------------------------------------------------------------- */

/* The spec of this document; NULL: a copy of the first. */
static enum trib_status parse_spec(struct recovery *recovery, const json_t *document,
                                   struct trib_spec **spec) {
    const struct trib_hosted *hosted = recovery->hosted;
    const struct trib_spec *first = recovery->first != NULL ? recovery->first : hosted->spec;
    json_t *copy = document == NULL ? trib_spec_document(first) : NULL;
    enum trib_status status = trib_spec_parse(hosted->node->env, document == NULL ? copy : document,
                                              spec, recovery->error);
    json_decref(copy);
    return status;
}

/* Which spec is in force, and is another to follow? */
static enum trib_status choose_spec(struct recovery *recovery) {
    struct trib_hosted *hosted = recovery->hosted;
    trib_version next = recovery->state.version + 1;
    const json_t *document = trib_revisions_find(&recovery->revisions, next);
    enum trib_status status = TRIB_OK;
    if (document != NULL) {
        struct trib_spec *spec;
        status = parse_spec(recovery, document, &spec);
        if (status == TRIB_OK) {
            recovery->first = hosted->spec;
            hosted->spec = spec;
        }
    }
    hosted->revised_from = trib_revisions_next(&recovery->revisions, next);
    recovery->state.revised_from = hosted->revised_from;
    if (status == TRIB_OK && hosted->revised_from > 0) {
        status =
            parse_spec(recovery, trib_revisions_find(&recovery->revisions, hosted->revised_from),
                       &hosted->revised);
    }
    return status;
}

/* The versions from this one on are made again by the spec that made them. */
static enum trib_status replay_by(struct recovery *recovery, trib_version version) {
    const json_t *document = trib_revisions_find(&recovery->revisions, version);
    if (document == recovery->replayed_by && recovery->replayed != NULL) {
        return TRIB_OK;
    }
    struct trib_spec *spec;
    enum trib_status status = parse_spec(recovery, document, &spec);
    if (status == TRIB_OK && recovery->replayed != NULL) {
        status = trib_model_change(&recovery->hosted->model, spec, recovery->error);
    }
    if (status != TRIB_OK) {
        trib_spec_free(spec);
        return status;
    }
    trib_spec_free(recovery->replayed);
    recovery->replayed = spec;
    recovery->replayed_by = document;
    return TRIB_OK;
}

/* All are there: the model goes on with the spec that is in force. */
static enum trib_status end_replay(struct recovery *recovery) {
    struct trib_hosted *hosted = recovery->hosted;
    if (!hosted->has_model) {
        return TRIB_OK;
    }
    enum trib_status status = trib_model_change(&hosted->model, hosted->spec, recovery->error);
    if (status == TRIB_OK) {
        trib_hosted_charge_model(hosted, trib_model_bytes(&hosted->model));
    }
    return status;
}

/* --- 2: checkpoint ------------------------------------------------------------------------------------ */

typedef enum trib_status remove_number(const struct trib_files *files, const char *run,
                                       uint64_t version);

/* A checkpoint whose record never became durable is of a version that was not: the one that will
 * have its number may be made of other updates. So it goes, for good, before that one is made. */
static enum trib_status remove_unrecorded(const struct recovery *recovery, const char *folder,
                                          const struct trib_numbers *numbers,
                                          remove_number *remove) {
    const struct trib_hosted *hosted = recovery->hosted;
    const struct trib_files *files = hosted->node->directory.files;
    enum trib_status status = TRIB_OK;
    bool is_changed = false;
    for (size_t i = 0; status == TRIB_OK && i < numbers->count; i++) {
        if (numbers->numbers[i] > recovery->state.version) {
            status = remove(files, hosted->path, numbers->numbers[i]);
            is_changed = true;
        }
    }
    if (status == TRIB_OK && is_changed) {
        char path[TRIB_DIRECTORY_PATH_BYTES];
        status = files->sync_directory(files->context,
                                       trib_directory_path(path, hosted->spec->name, folder));
    }
    return status;
}

static enum trib_status remove_all_unrecorded(const struct recovery *recovery) {
    const struct trib_hosted *hosted = recovery->hosted;
    const struct trib_env *env = hosted->node->env;
    const struct trib_files *files = hosted->node->directory.files;
    struct trib_numbers versions = {0}, states = {0};
    enum trib_status status = trib_checkpoint_list_versions(env, files, hosted->path, &versions);
    if (status == TRIB_OK) {
        status = trib_checkpoint_list_states(env, files, hosted->path, &states);
    }
    if (status == TRIB_OK) {
        status = remove_unrecorded(recovery, "versions", &versions, trib_checkpoint_remove_version);
    }
    if (status == TRIB_OK) {
        status = remove_unrecorded(recovery, "state", &states, trib_checkpoint_remove_state);
    }
    trib_numbers_deinit(&versions);
    trib_numbers_deinit(&states);
    return status;
}

/* Versions that pending updates and those of clients that are training may have as their base. One
 * whose file is gone is missed only if such an update comes. All are in the index by now. */
static enum trib_status load_recent(struct recovery *recovery) {
    struct trib_hosted *hosted = recovery->hosted;
    struct trib_model *model = &hosted->model;
    enum trib_status status = TRIB_OK;
    for (uint32_t age = 1;
         status == TRIB_OK && age <= model->bases.recent_count && age <= model->version; age++) {
        struct trib_block *block = NULL;
        struct trib_digest digest;
        if (!trib_report_digest(hosted, model->version - age, &digest)) {
            return TRIB_EIO;
        }
        if (model->window_bytes > 0) {
            trib_model_remember_digest(model, model->version - age, &digest);
            continue;
        }
        status = trib_checkpoint_load_version(hosted->node->env, hosted->node->directory.files,
                                              hosted->path, model->version - age, &digest, &block,
                                              recovery->error);
        if (status == TRIB_OK) {
            trib_model_remember(model, model->version - age, block);
        }
        status = status == TRIB_ENOTFOUND ? TRIB_OK : status;
        trib_block_unref(block);
    }
    return status;
}

static enum trib_status load_checkpoint(struct recovery *recovery) {
    struct trib_hosted *hosted = recovery->hosted;
    if (!recovery->has_start) {
        return trib_error_set(recovery->error, TRIB_ECORRUPT,
                              "no version with a checkpoint is on record");
    }
    const uint64_t bytes_free = trib_node_model_bytes_free(hosted->node);
    enum trib_status status = remove_all_unrecorded(recovery);
    if (status == TRIB_OK) {
        status = replay_by(recovery, recovery->start.version);
    }
    if (status == TRIB_OK) {
        status = trib_replay_load(hosted->node->env, hosted->node->directory.files, hosted->path,
                                  recovery->replayed, &recovery->start, bytes_free, &hosted->model,
                                  recovery->error);
    }
    if (status == TRIB_OK) {
        hosted->has_model = true;
        hosted->checkpoint = recovery->start.version;
        status = load_recent(recovery);
    }
    return status;
}

/* --- 3: spool ------------------------------------------------------------------------------------------- */

/* Is it of a version that is to be made again? One whose version is not on record is of no use: that
 * version will be offered anew, and may have more updates then. */
static bool is_combined_recently(const struct recovery *recovery,
                                 const struct trib_spool_entry *entry) {
    return entry->kind == TRIB_SPOOL_COMBINED && entry->target > recovery->start.version &&
           entry->target <= recovery->state.version;
}

static enum trib_status sort_entry(void *context, const struct trib_spool_entry *entry) {
    struct recovery *recovery = context;
    struct trib_hosted *hosted = recovery->hosted;
    struct trib_index_update row = {0};
    enum trib_status status = TRIB_ENOTFOUND;
    if (entry->kind == TRIB_SPOOL_UPDATE) {
        status = trib_index_get_update(hosted->index, entry->client, entry->update, &row);
    }
    bool is_pending = status == TRIB_ENOTFOUND && entry->kind == TRIB_SPOOL_UPDATE;
    bool is_recent = status == TRIB_OK && row.fate == TRIB_INDEX_COUNTED &&
                     row.version > recovery->start.version;
    is_recent |= is_combined_recently(recovery, entry);
    if (status != TRIB_OK && status != TRIB_ENOTFOUND) {
        return status;
    }
    if ((is_pending || is_recent) && !entry->place.is_body_missing) {
        bool is_repeat;
        if (!trib_bodies_add(&recovery->bodies, entry, &is_repeat)) {
            return TRIB_EMEMORY;
        }
        if (!is_repeat) {
            if (is_recent) {
                (void)trib_places_add(hosted->node->env, &hosted->uncheckpointed, &entry->place);
            }
            return TRIB_OK;
        } /* a body that was spooled again after a crash: one will do, so this place goes now */
    }
    if (!hosted->spec->keep.updates_forever) {
        trib_intake_release(hosted, &entry->place);
    }
    return TRIB_OK;
}

/* A segment goes as a whole, when none of its entries is needed any more: what is released stays
 * on disk for up to two segments. So they are small, and smaller where there is a quota. */
#define SEGMENT_BYTES_MAX (UINT64_C(4) << 20)
#define SEGMENTS_IN_QUOTA 16

static uint64_t segment_bytes(const struct trib_spec *spec) {
    uint64_t quota = spec->keep.disk_bytes_max;
    uint64_t share = quota / SEGMENTS_IN_QUOTA;
    return quota == 0 || share > SEGMENT_BYTES_MAX ? SEGMENT_BYTES_MAX : share + 1;
}

static enum trib_status open_spool(struct recovery *recovery, const char *name) {
    struct trib_hosted *hosted = recovery->hosted;
    struct trib_node *node = hosted->node;
    char path[TRIB_DIRECTORY_PATH_BYTES];
    struct trib_spool_options options = {
        .segment_bytes = segment_bytes(hosted->spec),
        .inline_bytes_max = TRIB_UPLOAD_INLINE_BYTES,
        .bytes_max = hosted->spec->keep.disk_bytes_max,
    };
    struct trib_spool_report report = {0};
    enum trib_status status =
        trib_spool_open(node->env, node->directory.files, trib_directory_path(path, name, "spool"),
                        &options, &hosted->spool, &report, recovery->error, recovery, sort_entry);
    if (report.torn_bytes > 0 || report.orphan_count > 0) {
        trib_log(node->env, TRIB_LOG_WARN,
                 "spool_mended run=%s torn_bytes=%" PRIu64 " orphans=%" PRIu64, name,
                 report.torn_bytes, report.orphan_count);
    }
    return status;
}

/* --- 4: second pass -------------------------------------------------------------------------------------- */

/* The heart is restored, and the tape knows by what. */
static bool restore(struct trib_hosted *hosted, const struct trib_told *told, trib_slot *slot) {
    trib_tape_add(&hosted->tape, told);
    return trib_told_restore(hosted->run, told, slot);
}

static void restore_evaluation(struct trib_hosted *hosted, const json_t *document) {
    const char *client = json_string_value(json_object_get(document, "client"));
    const json_t *value =
        json_object_get(json_object_get(document, "metrics"), hosted->spec->evaluate.metric);
    const struct trib_told told = {
        .kind = TRIB_TOLD_EVALUATION,
        .event = {.client = client,
                  .version = trib_record_number(document, "version"),
                  .examples = trib_record_number(document, "examples"),
                  .metric = value == NULL ? NAN : json_number_value(value),
                  .has_metric = value != NULL},
    };
    if (client != NULL) {
        (void)restore(hosted, &told, NULL);
    }
}

/* NULL: all are forgiven. */
static void restore_set_aside(struct trib_hosted *hosted, const char *client) {
    const struct trib_told told = {.kind = TRIB_TOLD_SET_ASIDE, .event = {.client = client}};
    if (client == NULL || trib_name_is_valid(client, strlen(client))) {
        (void)restore(hosted, &told, NULL);
    }
}

static bool is_running(const json_t *document) {
    const char *name = json_string_value(json_object_get(document, "state"));
    return name != NULL && state_from_name(name) == TRIB_RUN_RUNNING;
}

static enum trib_status second_pass(void *context, const struct trib_ledger_record *record) {
    struct recovery *recovery = context;
    struct trib_hosted *hosted = recovery->hosted;
    json_t *document;
    enum trib_status status = parse(record, &document, recovery->error);
    if (status != TRIB_OK) {
        return status;
    }
    const char *type = trib_record_type(document);
    if (strcmp(type, "evaluation") == 0) {
        restore_evaluation(hosted, document);
    } else if (strcmp(type, "set_aside") == 0) {
        const char *client = json_string_value(json_object_get(document, "client"));
        restore_set_aside(hosted, client == NULL ? "" : client);
    } else if (strcmp(type, "state") == 0 && is_running(document)) {
        restore_set_aside(hosted, NULL);
    } else if (strcmp(type, "version") == 0 &&
               trib_record_number(document, "version") > recovery->start.version) {
        status = replay_by(recovery, trib_record_number(document, "version"));
        if (status == TRIB_OK) {
            const struct trib_replay_place place = {hosted->node->directory.files, hosted->path,
                                                    hosted->spool, &recovery->bodies};
            status = trib_replay_version(&hosted->model, &place, document, recovery->error);
        }
    }
    json_decref(document);
    return status;
}

/* --- 5: clients and pending updates ----------------------------------------------------------------------- */

static enum trib_status restore_client(void *context, const struct trib_index_client *row) {
    struct trib_hosted *hosted = context;
    bool is_evaluator = strcmp(row->role, "evaluator") == 0;
    struct trib_attribute attributes[TRIB_ATTRIBUTES_MAX];
    uint32_t count = 0;
    enum trib_status status =
        trib_attributes_decode(row->attributes, strlen(row->attributes), attributes, &count, NULL);
    const struct trib_told told = {
        .kind = TRIB_TOLD_CLIENT,
        .event = {.client = row->client,
                  .role = is_evaluator ? TRIB_CLIENT_EVALUATOR : TRIB_CLIENT_TRAINER,
                  .attributes = attributes,
                  .attribute_count = count},
    };
    if (status == TRIB_OK && !restore(hosted, &told, NULL)) {
        status = TRIB_EMEMORY;
    }
    return status;
}

static enum trib_status restore_pending(struct recovery *recovery,
                                        const struct trib_spool_entry *entry) {
    struct trib_hosted *hosted = recovery->hosted;
    const struct trib_told told = {
        .kind = TRIB_TOLD_PENDING,
        .event = {.client = entry->client,
                  .id = entry->update,
                  .version = entry->base,
                  .examples = entry->examples,
                  .digest = entry->digest},
        .target = entry->target,
        .staleness = entry->staleness,
        .weight = entry->weight,
    };
    trib_slot slot;
    struct trib_upload *upload = trib_allocate(hosted->node->env, 1, sizeof *upload);
    if (upload == NULL) {
        return TRIB_EMEMORY;
    }
    if (!restore(hosted, &told, &slot)) {
        trib_release(hosted->node->env, upload, 1, sizeof *upload);
        return trib_error_set(recovery->error, TRIB_ELIMIT,
                              "pending update %s of %s finds no place (updates_pending_max is %u)",
                              entry->update, entry->client, hosted->spec->updates_pending_max);
    }
    upload->hosted = hosted;
    upload->entry = *entry;
    upload->byte_count = entry->place.body_bytes;
    upload->is_spooled = true;
    upload->slot = slot;
    hosted->slots[slot] = upload;
    return TRIB_OK;
}

static enum trib_status restore_all_pending(struct recovery *recovery) {
    enum trib_status status = TRIB_OK;
    uint64_t count = 0;
    for (size_t i = 0; status == TRIB_OK && i < recovery->bodies.count; i++) {
        const struct trib_spool_entry *entry = &recovery->bodies.items[i];
        struct trib_index_update row;
        if (entry->kind != TRIB_SPOOL_UPDATE) {
            continue;
        }
        enum trib_status found =
            trib_index_get_update(recovery->hosted->index, entry->client, entry->update, &row);
        bool is_pending = found == TRIB_ENOTFOUND;
        if (found != TRIB_OK && !is_pending) {
            status = found; /* taken for settled, it would be forgotten */
        } else if (is_pending && recovery->state.state == TRIB_RUN_STOPPED) {
            /* The record of the stop lists whatever was acknowledged: this was not. */
            trib_intake_release(recovery->hosted, &entry->place);
        } else if (is_pending) {
            status = restore_pending(recovery, entry);
            count++;
        }
    }
    if (count > 0) {
        trib_log(recovery->hosted->node->env, TRIB_LOG_INFO, "pending run=%s updates=%" PRIu64,
                 recovery->hosted->spec->name, count);
    }
    return status;
}

/* --- all of it ---------------------------------------------------------------------------------------------- */

/* The first record of a new run. */
static enum trib_status record_spec(struct trib_hosted *hosted) {
    json_t *document =
        json_pack("{s:s, s:o}", "type", "run", "spec", trib_spec_document(hosted->spec));
    enum trib_status status = trib_record_append(hosted, document);
    json_decref(document);
    return status == TRIB_OK ? trib_ledger_sync(hosted->ledger) : status;
}

static void on_deadline(void *context) {
    struct trib_event tick = {.kind = TRIB_EVENT_TICK};
    trib_hosted_feed(context, &tick);
}

/* Only a run that keeps its updates can be played again, and one that has stopped has been. */
static enum trib_status begin_tape(struct recovery *recovery) {
    struct trib_hosted *hosted = recovery->hosted;
    const struct trib_spec *spec = hosted->spec;
    bool is_kept = spec->keep.updates_forever && spec->durability == TRIB_DURABILITY_SPOOL &&
                   recovery->state.state != TRIB_RUN_STOPPED;
    return is_kept ? trib_tape_begin(&hosted->tape, hosted->node->env,
                                     hosted->node->directory.files, spec->name)
                   : TRIB_OK;
}

static enum trib_status make_heart(struct recovery *recovery) {
    struct trib_hosted *hosted = recovery->hosted;
    const struct trib_env *env = hosted->node->env;
    struct trib_run_limits limits = {.accumulators = TRIB_ACCUMULATORS_MAX};
    hosted->slots = trib_allocate(env, hosted->spec->updates_pending_max, sizeof(void *));
    hosted->run = trib_run_new(env, hosted->spec, &limits);
    hosted->timer = trib_timer_new(hosted->node->loop, on_deadline, hosted);
    if (hosted->slots == NULL || hosted->run == NULL || hosted->timer == NULL) {
        return TRIB_EMEMORY;
    }
    recovery->state.now = trib_node_now(hosted->node);
    hosted->version_at = recovery->state.now;
    hosted->checkpoint_at = recovery->state.now;
    enum trib_status status = begin_tape(recovery);
    const struct trib_told told = {
        .kind = TRIB_TOLD_RESTORE,
        .restored = recovery->state,
        .ledger_count = trib_ledger_count(hosted->ledger),
    };
    (void)restore(hosted, &told, NULL);
    return status == TRIB_OK ? trib_index_clients(hosted->index, NULL, hosted, restore_client)
                             : status;
}

/* A file that is found may have a name for the time being only: whoever gave it that, died or failed
 * before the folder was synced. What is promised of such a file is lost in the next power cut. (The spool
 * sees to its own folder.) */
static enum trib_status sync_names(const struct recovery *recovery, const char *name) {
    const struct trib_files *files = recovery->hosted->node->directory.files;
    char path[TRIB_DIRECTORY_PATH_BYTES];
    const char *const folders[] = {"runs", trib_directory_path(path, name, NULL)};
    enum trib_status status = TRIB_OK;
    for (size_t i = 0; status == TRIB_OK && i < sizeof folders / sizeof *folders; i++) {
        status = files->sync_directory(files->context, folders[i]);
        if (status != TRIB_OK) {
            (void)trib_error_set(recovery->error, status, "sync %s: %s", folders[i],
                                 trib_status_text(status));
        }
    }
    return status;
}

static enum trib_status recover(struct recovery *recovery, const char *name) {
    struct trib_hosted *hosted = recovery->hosted;
    struct trib_node *node = hosted->node;
    enum trib_status status = trib_replay_read_spec(node->env, node->directory.files, name,
                                                    &hosted->spec, recovery->error);
    if (status == TRIB_OK) {
        status = sync_names(recovery, name);
    }
    if (status == TRIB_OK) {
        hosted->share.turn.weight = hosted->spec->share;
        for (enum trib_want want = 0; want < TRIB_WANT_COUNT; want++) {
            hosted->queues[want].turn.weight = hosted->spec->share;
        }
        status = open_index(recovery, &hosted->index_writer, &recovery->indexed);
    }
    if (status == TRIB_OK) {
        status = open_ledger(recovery, name);
    }
    if (status == TRIB_OK && trib_ledger_count(hosted->ledger) == 0) {
        status = record_spec(hosted);
    }
    if (status == TRIB_OK) {
        status = choose_spec(recovery);
    }
    if (status == TRIB_OK) {
        status = catch_up(recovery);
    }
    if (status == TRIB_OK) {
        status = open_reader(recovery);
    }
    if (status == TRIB_OK && recovery->state.has_model) {
        status = load_checkpoint(recovery);
    }
    if (status == TRIB_OK) {
        status = open_spool(recovery, name);
    }
    if (status == TRIB_OK) {
        status = make_heart(recovery);
    }
    if (status == TRIB_OK) {
        status = trib_ledger_read(hosted->ledger, 0, UINT64_MAX, recovery, second_pass);
    }
    if (status == TRIB_OK) {
        status = end_replay(recovery);
    }
    return status == TRIB_OK ? restore_all_pending(recovery) : status;
}

static void take_best(struct trib_hosted *hosted) {
    struct trib_run_status status;
    trib_run_status(hosted->run, trib_node_now(hosted->node), &status);
    hosted->best = status.best;
    hosted->has_best = status.has_best;
}

enum trib_status trib_hosted_open(struct trib_node *node, const char *name,
                                  struct trib_hosted **hosted, struct trib_error *error) {
    *hosted = NULL;
    struct trib_hosted *fresh = trib_allocate(node->env, 1, sizeof *fresh);
    if (fresh == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    fresh->node = node;
    for (uint32_t i = 0; i < TRIB_ACCUMULATORS_MAX; i++) {
        fresh->folding[i].hosted = fresh;
        fresh->folding[i].accumulator = i;
    }
    fresh->share.shares = &node->shares;
    fresh->opened_at = trib_node_wall(node);
    trib_revoked_init(&fresh->revoked, node->env);
    trib_quotas_init(&fresh->quotas, node->env);
    (void)snprintf(fresh->path, sizeof fresh->path, "runs/%s", name);
    struct recovery recovery = {.hosted = fresh, .error = error};
    trib_bodies_init(&recovery.bodies, node->env);
    trib_revisions_init(&recovery.revisions, node->env);
    enum trib_status status = recover(&recovery, name);
    trib_bodies_deinit(&recovery.bodies);
    trib_revisions_deinit(&recovery.revisions);
    trib_spec_free(recovery.first);
    trib_spec_free(recovery.replayed);
    if (status != TRIB_OK) {
        if (error->status == TRIB_OK) {
            (void)trib_error_set(error, status, "%s", trib_status_text(status));
        }
        trib_hosted_free(fresh);
        return status;
    }
    take_best(fresh);
    *hosted = fresh;
    return TRIB_OK;
}

void trib_hosted_start(struct trib_hosted *hosted) {
    struct trib_event tick = {.kind = TRIB_EVENT_TICK};
    trib_hosted_feed(hosted, &tick);
    trib_intake_pump(hosted);
}
