/* record.c - what the ledger says: JSON records, one writer, and their way into the index. */
#include "node/record.h"

#include "node/daemon.h"
#include "node/import.h"
#include "node/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Models up to this size get a checkpoint with each version (design section 7). */
#define CHECKPOINT_ALWAYS_BYTES (UINT64_C(64) << 20)

/* A reply of GET .../ledger ends after this much; the reader goes on with `from`. */
#define READ_BYTES_MAX ((size_t)8 << 20)

/* --- reading ---------------------------------------------------------------------------------- */

const char *trib_record_type(const json_t *document) {
    const char *type = json_string_value(json_object_get(document, "type"));
    return type == NULL ? "" : type;
}

uint64_t trib_record_number(const json_t *document, const char *key) {
    json_int_t value = json_integer_value(json_object_get(document, key));
    return value < 0 ? 0 : (uint64_t)value;
}

bool trib_record_digest(const json_t *document, const char *key, struct trib_digest *digest) {
    const char *hex = json_string_value(json_object_get(document, key));
    return hex != NULL && trib_digest_from_hex(hex, digest);
}

bool trib_counted_read(const json_t *element, struct trib_counted *counted) {
    counted->client = json_string_value(json_object_get(element, "client"));
    counted->update = json_string_value(json_object_get(element, "update"));
    counted->base = trib_record_number(element, "base");
    counted->staleness = trib_record_number(element, "staleness");
    counted->weight = trib_record_number(element, "weight");
    counted->examples = trib_record_number(element, "examples");
    return counted->client != NULL && counted->update != NULL &&
           trib_record_digest(element, "digest", &counted->digest);
}

/* --- documents ---------------------------------------------------------------------------------- */

static json_t *hex_of(const struct trib_digest *digest) {
    char hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(digest, hex);
    return json_string(hex);
}

/* Seconds in the state running so far: a restart goes on from there. */
static json_t *ran_for(const struct trib_hosted *hosted) {
    struct trib_run_status status;
    trib_run_status(hosted->run, trib_node_now(hosted->node), &status);
    return json_real((double)status.ran_for / 1e9);
}

/* Who asked for it, where a token says so. */
static void add_by(json_t *document, const struct trib_call *call) {
    char who[TRIB_TOKEN_WHO_BYTES];
    if (call != NULL && call->token.scope != TRIB_TOKEN_NONE) {
        const char *by = trib_token_who(&call->token, who);
        (void)json_object_set_new(document, "by", json_string(by));
    }
}

static double wall(const struct trib_hosted *hosted) {
    const struct trib_env *env = hosted->node->env;
    return env->wall(env->context);
}

/* Running means of metrics, weighted by examples; a metric counts where it was sent. */
struct means {
    json_t *values, *weights;
};

static void add_to_means(struct means *means, const char *metrics_text, uint64_t examples) {
    json_t *metrics = json_loads(metrics_text, 0, NULL);
    const char *name;
    json_t *value;
    json_object_foreach(metrics, name, value) {
        double weight = json_number_value(json_object_get(means->weights, name)) + (double)examples;
        double mean = json_number_value(json_object_get(means->values, name));
        mean += (json_number_value(value) - mean) * ((double)examples / weight);
        (void)json_object_set_new(means->values, name, json_real(mean));
        (void)json_object_set_new(means->weights, name, json_real(weight));
    }
    json_decref(metrics);
}

static json_t *train_means(struct trib_upload *const *uploads, size_t count) {
    struct means means = {json_object(), json_object()};
    for (size_t i = 0; i < count; i++) {
        add_to_means(&means, uploads[i]->entry.metrics, uploads[i]->entry.examples);
    }
    json_decref(means.weights);
    return means.values;
}

static json_t *counted_documents(struct trib_upload *const *uploads, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct trib_spool_entry *entry = &uploads[i]->entry;
        (void)json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o}", "client", entry->client, "update",
                      entry->update, "base", (json_int_t)entry->base, "staleness",
                      (json_int_t)entry->staleness, "weight", (json_int_t)entry->weight, "examples",
                      (json_int_t)entry->examples, "digest", hex_of(&entry->digest)));
    }
    return list;
}

/* Weight and bytes of all updates together. */
static void add_totals(json_t *document, struct trib_upload *const *uploads, size_t count) {
    uint64_t weight = 0, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        weight += uploads[i]->entry.weight;
        bytes += uploads[i]->byte_count;
    }
    (void)json_object_set_new(document, "weight", json_integer((json_int_t)weight));
    (void)json_object_set_new(document, "bytes", json_integer((json_int_t)bytes));
}

/* --- the recording job ---------------------------------------------------------------------------- */

static enum trib_status write_checkpoint(struct trib_record *record) {
    struct trib_hosted *hosted = record->hosted;
    const struct trib_env *env = hosted->node->env;
    const struct trib_files *files = hosted->node->directory.files;
    struct trib_error error = {0};
    struct trib_source bytes =
        trib_source_of_memory(record->block->bytes, record->block->byte_count);
    enum trib_status status =
        trib_checkpoint_write_version(env, files, hosted->path, record->version, &bytes, &error);
    size_t state_bytes = trib_optimizer_state_encoded_bytes(&hosted->model.state);
    void *state = trib_allocate(env, state_bytes, 1);
    if (status == TRIB_OK && state == NULL) {
        status = TRIB_EMEMORY;
    }
    if (status == TRIB_OK) {
        trib_optimizer_state_encode(&hosted->model.state, state);
        struct trib_digest digest;
        trib_digest_of(state, state_bytes, &digest);
        (void)json_object_set_new(record->document, "state", hex_of(&digest));
        bytes = trib_source_of_memory(state, state_bytes);
        status =
            trib_checkpoint_write_state(env, files, hosted->path, record->version, &bytes, &error);
    }
    trib_release(env, state, state_bytes, 1);
    return status;
}

enum trib_status trib_record_append(struct trib_hosted *hosted, const json_t *document) {
    struct trib_text text;
    trib_text_init(&text, hosted->node->env);
    trib_document_write(&text, document);
    enum trib_status status = TRIB_EMEMORY;
    if (!text.is_failed) {
        status = trib_ledger_append(hosted->ledger, text.bytes, text.byte_count);
    }
    trib_text_deinit(&text);
    return status;
}

/* Remove the versions that no rule keeps; what cannot be removed now is tried again next time. */
static void prune_versions(const struct trib_record *record, uint32_t last,
                           trib_version checkpoint) {
    struct trib_hosted *hosted = record->hosted;
    const struct trib_env *env = hosted->node->env;
    const struct trib_files *files = hosted->node->directory.files;
    uint32_t bases = hosted->spec->strategy.base_versions;
    struct trib_keep keep = {
        .last = last,
        .every = hosted->spec->keep.every,
        .has_best = hosted->spec->keep.best && record->has_best,
        .best = record->best,
        .has_checkpoint = true,
        .checkpoint = checkpoint,
        .has_base =
            bases > 1, /* counted from the version before: this one may fail to be written */
        .base = record->version > bases ? record->version - bases : 0,
    };
    struct trib_numbers present;
    if (trib_checkpoint_list_versions(env, files, hosted->path, &present) != TRIB_OK) {
        return;
    }
    uint64_t *doomed = trib_allocate(env, present.count + 1, sizeof *doomed);
    size_t count =
        doomed == NULL ? 0 : trib_keep_choose(&keep, present.numbers, present.count, doomed);
    for (size_t i = 0; i < count; i++) {
        bool is_root = doomed[i] == 0 && hosted->spec->keep.updates_forever;
        if (!is_root) { /* kept updates can only be recomputed from the first version on */
            (void)trib_checkpoint_remove_version(files, hosted->path, doomed[i]);
        }
    }
    trib_release(env, doomed, present.count + 1, sizeof *doomed);
    trib_numbers_deinit(&present);
}

/* Its checkpoint is durable: older versions and states go as the rules say. */
static void prune(const struct trib_record *record) {
    struct trib_hosted *hosted = record->hosted;
    const struct trib_files *files = hosted->node->directory.files;
    prune_versions(record, hosted->spec->keep.last, record->version);
    struct trib_numbers states;
    if (trib_checkpoint_list_states(hosted->node->env, files, hosted->path, &states) != TRIB_OK) {
        return;
    }
    for (size_t i = 0; i < states.count; i++) {
        if (states.numbers[i] < record->version) {
            (void)trib_checkpoint_remove_state(files, hosted->path, states.numbers[i]);
        }
    }
    trib_numbers_deinit(&states);
}

/* The disk is full: the versions that its checkpoint would push out go before it is written. The
 * checkpoint that a restart would begin with stays. */
static void make_room(const struct trib_record *record) {
    struct trib_hosted *hosted = record->hosted;
    struct trib_numbers states;
    if (trib_checkpoint_list_states(hosted->node->env, hosted->node->directory.files, hosted->path,
                                    &states) != TRIB_OK) {
        return;
    }
    trib_version checkpoint = 0;
    for (size_t i = 0; i < states.count; i++) {
        if (states.numbers[i] < record->version) {
            checkpoint = states.numbers[i];
        }
    }
    trib_numbers_deinit(&states);
    prune_versions(record, hosted->spec->keep.last - 1, checkpoint);
}

static enum trib_status append_record(struct trib_record *record) {
    struct trib_hosted *hosted = record->hosted;
    if (record->is_checkpoint) {
        enum trib_status status = write_checkpoint(record);
        if (status == TRIB_EFULL) {
            make_room(record);
            status = write_checkpoint(record);
        }
        if (status != TRIB_OK) {
            return status;
        }
    }
    if (record->reply == TRIB_RECORD_REPLY_PERSISTED) {
        (void)json_object_set_new(record->document, "updates",
                                  counted_documents(record->uploads, record->upload_count));
        (void)json_object_set_new(record->document, "train",
                                  train_means(record->uploads, record->upload_count));
    }
    return trib_record_append(hosted, record->document);
}

/* One line of JSON per record, as GET .../ledger gives them. */
static enum trib_status add_line(void *context, const struct trib_ledger_record *record) {
    struct trib_record *reader = context;
    char digest[TRIB_DIGEST_HEX_BYTES], previous[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(&record->digest, digest);
    trib_digest_to_hex(&record->previous, previous);
    trib_text_format(&reader->text,
                     "{\"index\":%llu,\"digest\":\"%s\",\"previous\":\"%s\",\"record\":",
                     (unsigned long long)record->index, digest, previous);
    trib_text_add(&reader->text, record->payload, record->payload_bytes);
    trib_text_add(&reader->text, "}\n", 2);
    if (reader->text.is_failed) {
        return TRIB_EMEMORY;
    }
    return reader->text.byte_count > READ_BYTES_MAX ? TRIB_ELIMIT : TRIB_OK; /* enough for once */
}

/* The head of what is synced, signed. */
static enum trib_status add_head(struct trib_record *reader) {
    const struct trib_hosted *hosted = reader->hosted;
    struct trib_signed_head head = {
        .index = trib_ledger_count(hosted->ledger) - 1, /* of a run there is one at least */
        .time = (uint64_t)wall(hosted),
    };
    char line[TRIB_SIGNED_TEXT_BYTES], digest[TRIB_DIGEST_HEX_BYTES];
    memcpy(head.run, hosted->spec->name, sizeof head.run);
    trib_ledger_head(hosted->ledger, &head.digest);
    trib_digest_to_hex(&head.digest, digest);
    (void)trib_signed_head_write(hosted->node->ledger_key, &head, line);
    trib_text_format(&reader->text,
                     "{\"index\":%llu,\"digest\":\"%s\",\"time\":%llu,\"signature\":\"%s\","
                     "\"head\":\"%s\"}",
                     (unsigned long long)head.index, digest, (unsigned long long)head.time,
                     strrchr(line, '~') + 1, line);
    return reader->text.is_failed ? TRIB_EMEMORY : TRIB_OK;
}

static bool is_reader(const struct trib_record *record) {
    return record->reply == TRIB_RECORD_REPLY_READ || record->reply == TRIB_RECORD_REPLY_HEAD;
}

static enum trib_status append_all(struct trib_hosted *hosted) {
    enum trib_status status = TRIB_OK;
    for (struct trib_record *r = hosted->recording; r != NULL && status == TRIB_OK; r = r->next) {
        if (!is_reader(r)) {
            status = append_record(r);
        }
    }
    return status == TRIB_OK ? trib_ledger_sync(hosted->ledger) : status;
}

/* The ledger has them; the index follows in one transaction. */
static enum trib_status index_all(struct trib_hosted *hosted) {
    enum trib_status status = trib_index_begin(hosted->index_writer);
    for (struct trib_record *r = hosted->recording; r != NULL && status == TRIB_OK; r = r->next) {
        status = trib_record_index(hosted->index_writer, r->document);
    }
    if (status != TRIB_OK) {
        trib_index_rollback(hosted->index_writer);
        return status;
    }
    return trib_index_commit(hosted->index_writer, trib_ledger_count(hosted->ledger));
}

/* After one record that ledger or index could not take there is no other until the run is opened
 * again: it might be written behind a gap, or the index might believe that it has them all. */
static void write_records(void *context) {
    struct trib_hosted *hosted = context;
    enum trib_status status = hosted->record_status;
    if (status == TRIB_OK) {
        status = append_all(hosted);
    }
    if (status == TRIB_OK) {
        status = index_all(hosted);
    }
    hosted->record_status = status;
    for (struct trib_record *r = hosted->recording; r != NULL; r = r->next) {
        r->status = status;
        if (r->reply == TRIB_RECORD_REPLY_READ) {
            enum trib_status read =
                trib_ledger_read(hosted->ledger, r->from, TRIB_RECORDS_READ_MAX, r, add_line);
            r->status = read == TRIB_ELIMIT ? TRIB_OK : read;
        } else if (r->reply == TRIB_RECORD_REPLY_HEAD) {
            r->status = add_head(r);
        } else if (status == TRIB_OK && r->is_checkpoint) {
            prune(r);
        }
    }
}

static void pump(struct trib_hosted *hosted);

/* What was dropped is not needed any more; what was counted, not after the next checkpoint. */
static void release_spooled(struct trib_hosted *hosted, const struct trib_record *record) {
    bool is_counted = record->reply == TRIB_RECORD_REPLY_PERSISTED;
    struct trib_places *places = is_counted ? &hosted->uncheckpointed : &hosted->released;
    if (hosted->spec->keep.updates_forever || hosted->spec->durability != TRIB_DURABILITY_SPOOL) {
        return;
    }
    for (size_t i = 0; i < record->upload_count; i++) {
        (void)trib_places_add(hosted->node->env, places, &record->uploads[i]->entry.place);
    }
    if (record->is_checkpoint) {
        for (size_t i = 0; i < hosted->uncheckpointed.count; i++) {
            trib_intake_release(hosted, &hosted->uncheckpointed.items[i]);
        }
        hosted->uncheckpointed.count = 0;
    }
    trib_intake_pump(hosted);
}

static void answer_reader(struct trib_record *record) {
    struct trib_call *call = record->call;
    if (call == NULL) {
        return;
    }
    call->record = NULL;
    if (record->status != TRIB_OK) {
        trib_call_refuse(call, trib_status_code(record->status), "ledger: %s",
                         trib_status_text(record->status));
    } else {
        bool is_head = record->reply == TRIB_RECORD_REPLY_HEAD;
        trib_call_reply_text(call, is_head ? "application/json" : "application/x-ndjson",
                             &record->text);
    }
}

static void answer_asker(struct trib_record *record) {
    struct trib_hosted *hosted = record->hosted;
    struct trib_call *call = record->call;
    if (record->status == TRIB_OK) {
        enum trib_status taken = trib_revoked_take(&hosted->revoked, record->document);
        trib_hosted_note_failure(hosted, taken); /* opened again it knows */
        trib_access_end_revoked(hosted);
    }
    if (call == NULL) {
        return;
    }
    call->record = NULL;
    if (record->status != TRIB_OK) {
        trib_call_refuse(call, trib_status_code(record->status), "ledger: %s",
                         trib_status_text(record->status));
    } else if (record->answer != NULL) {
        trib_call_reply(call, record->answer_status, json_incref(record->answer));
    } else {
        trib_call_reply_empty(call, 204);
    }
}

static void answer(struct trib_record *record) {
    struct trib_hosted *hosted = record->hosted;
    struct trib_event event = {
        .version = record->version, .record = record->number, .status = record->status};
    switch (record->reply) {
    case TRIB_RECORD_REPLY_MODEL:
        event.kind = TRIB_EVENT_MODEL;
        break;
    case TRIB_RECORD_REPLY_PERSISTED:
        event.kind = TRIB_EVENT_PERSISTED;
        break;
    case TRIB_RECORD_REPLY_RECORDED:
        event.kind = TRIB_EVENT_RECORDED;
        break;
    case TRIB_RECORD_REPLY_CALL:
        answer_asker(record);
        return;
    case TRIB_RECORD_REPLY_HEAD:
    case TRIB_RECORD_REPLY_READ:
        answer_reader(record);
        return;
    }
    if (record->status == TRIB_OK && record->is_checkpoint) {
        hosted->checkpoint_at = trib_node_now(hosted->node);
    }
    if (record->reply == TRIB_RECORD_REPLY_MODEL) {
        trib_import_recorded(hosted, record->status);
    }
    if (record->reply != TRIB_RECORD_REPLY_MODEL || record->status == TRIB_OK) {
        trib_hosted_feed(hosted, &event);
    }
}

/* The updates of a version that is published have left the heart and need their place no more. */
static void settle_uploads(const struct trib_record *record) {
    struct trib_hosted *hosted = record->hosted;
    for (size_t i = 0; i < record->upload_count; i++) {
        hosted->slots[record->uploads[i]->slot] = NULL;
        trib_upload_free(record->uploads[i]);
    }
}

static void free_record(struct trib_record *record) {
    const struct trib_env *env = record->hosted->node->env;
    json_decref(record->document);
    json_decref(record->answer);
    trib_text_deinit(&record->text);
    trib_release(env, record->uploads, record->upload_count, sizeof *record->uploads);
    trib_release(env, record, 1, sizeof *record);
}

static void records_written(void *context) {
    struct trib_hosted *hosted = context;
    struct trib_record *next = hosted->recording;
    hosted->recording = NULL;
    while (next != NULL) {
        struct trib_record *record = next;
        next = record->next;
        if (record->status != TRIB_OK && !is_reader(record)) {
            trib_hosted_note_failure(hosted, record->status);
            trib_log(hosted->node->env, TRIB_LOG_ERROR, "record_failed run=%s reason=\"%s\"",
                     hosted->spec->name, trib_status_text(record->status));
        } else if (record->upload_count > 0) {
            hosted->pause = 0; /* the disk is well again */
            release_spooled(hosted, record);
        }
        answer(record);
        if (record->status == TRIB_OK) {
            settle_uploads(record);
        }
        free_record(record);
    }
    pump(hosted);
    trib_hosted_job_done(hosted);
}

static void pump(struct trib_hosted *hosted) {
    if (hosted->recording != NULL || hosted->recorded == NULL) {
        return;
    }
    hosted->recording = hosted->recorded;
    hosted->recorded = hosted->recorded_last = NULL;
    hosted->jobs++;
    if (trib_share_submit(&hosted->share, write_records, records_written, hosted) != TRIB_OK) {
        write_records(hosted);
        records_written(hosted);
    }
}

static void enqueue(struct trib_hosted *hosted, struct trib_record *record) {
    if (hosted->recorded == NULL) {
        hosted->recorded = record;
    } else {
        hosted->recorded_last->next = record;
    }
    hosted->recorded_last = record;
    pump(hosted);
}

static struct trib_record *new_record(struct trib_hosted *hosted, enum trib_record_reply reply,
                                      json_t *document) {
    struct trib_record *record = trib_allocate(hosted->node->env, 1, sizeof *record);
    TRIB_ASSERT(record != NULL &&
                document != NULL); /* a few hundred bytes: nothing else works either */
    record->hosted = hosted;
    record->reply = reply;
    record->document = document;
    return record;
}

/* --- what is recorded -------------------------------------------------------------------------- */

static bool is_checkpoint_due(const struct trib_hosted *hosted) {
    trib_time_ns every = hosted->spec->checkpoint_every;
    if (hosted->spec->strategy.base_versions > 1) {
        return true; /* a restart must find every version that can be a base */
    }
    if (every == 0 && hosted->model.current->byte_count <= CHECKPOINT_ALWAYS_BYTES) {
        return true;
    }
    trib_time_ns interval = every == 0 ? 60 * TRIB_SECOND : every;
    return trib_node_now(hosted->node) - hosted->checkpoint_at >= interval;
}

static struct trib_record *version_record(struct trib_hosted *hosted, enum trib_record_reply reply,
                                          trib_version version, const struct trib_block *block,
                                          const struct trib_digest *digest, bool is_checkpoint) {
    double seconds = (double)(trib_node_now(hosted->node) - hosted->version_at) / 1e9;
    json_t *document = json_pack("{s:s, s:I, s:o, s:f, s:b, s:o, s:f}", "type", "version",
                                 "version", (json_int_t)version, "model", hex_of(digest), "seconds",
                                 version == 0 ? 0.0 : seconds, "checkpoint", (int)is_checkpoint,
                                 "ran", ran_for(hosted), "time", wall(hosted));
    struct trib_record *record = new_record(hosted, reply, document);
    record->version = version;
    record->block = block;
    record->is_checkpoint = is_checkpoint;
    record->has_best = hosted->has_best;
    record->best = hosted->best;
    return record;
}

void trib_record_first_version(struct trib_hosted *hosted, const struct trib_call *call) {
    struct trib_model *model = &hosted->model;
    struct trib_record *record =
        version_record(hosted, TRIB_RECORD_REPLY_MODEL, 0, model->current, &model->digest, true);
    (void)json_object_set_new(record->document, "updates", json_array());
    add_by(record->document, call);
    enqueue(hosted, record);
}

typedef size_t list_slots(const struct trib_record *record, trib_slot *slots, size_t slots_max);

static size_t slots_of_version(const struct trib_record *record, trib_slot *slots,
                               size_t slots_max) {
    return trib_run_slots_of(record->hosted->run, record->version, slots, slots_max);
}

static size_t slots_pending(const struct trib_record *record, trib_slot *slots, size_t slots_max) {
    return trib_run_slots_pending(record->hosted->run, slots, slots_max);
}

/* The updates behind these slots, in their order (by client, then id). */
static void take_uploads(struct trib_record *record, list_slots *list) {
    const struct trib_env *env = record->hosted->node->env;
    size_t count = list(record, NULL, 0);
    if (count == 0) {
        return;
    }
    trib_slot *slots = trib_allocate(env, count, sizeof *slots);
    record->uploads = trib_allocate(env, count, sizeof *record->uploads);
    TRIB_ASSERT(slots != NULL && record->uploads != NULL);
    record->upload_count = count;
    (void)list(record, slots, count);
    for (size_t i = 0; i < count; i++) {
        record->uploads[i] = record->hosted->slots[slots[i]];
    }
    trib_release(env, slots, count, sizeof *slots);
}

void trib_record_version(struct trib_hosted *hosted, trib_version version) {
    struct trib_model *model = &hosted->model;
    struct trib_record *record =
        version_record(hosted, TRIB_RECORD_REPLY_PERSISTED, version, model->next,
                       &model->next_digest, is_checkpoint_due(hosted));
    take_uploads(record, slots_of_version);
    add_totals(record->document, record->uploads, record->upload_count);
    enqueue(hosted, record);
}

void trib_record_evaluation(struct trib_hosted *hosted, const struct trib_effect *effect,
                            const struct trib_call *call) {
    json_t *document = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:o, s:f}", "type", "evaluation", "client", call->token.subject,
        "evaluation", call->target.id, "version", (json_int_t)call->evaluation->version, "examples",
        (json_int_t)call->evaluation->examples, "metrics",
        trib_metrics_document(&call->evaluation->metrics), "time", wall(hosted));
    struct trib_record *record = new_record(hosted, TRIB_RECORD_REPLY_RECORDED, document);
    record->number = effect->record;
    enqueue(hosted, record);
}

static void read_for(struct trib_hosted *hosted, struct trib_call *call,
                     enum trib_record_reply reply) {
    struct trib_record *record = new_record(hosted, reply, json_object());
    record->call = call;
    record->from = call->target.from;
    trib_text_init(&record->text, hosted->node->env);
    call->record = record;
    enqueue(hosted, record);
}

void trib_record_read(struct trib_hosted *hosted, struct trib_call *call) {
    read_for(hosted, call, TRIB_RECORD_REPLY_READ);
}

void trib_record_read_head(struct trib_hosted *hosted, struct trib_call *call) {
    read_for(hosted, call, TRIB_RECORD_REPLY_HEAD);
}

static void enqueue_for_call(struct trib_hosted *hosted, struct trib_call *call, json_t *document,
                             int status, json_t *answer) {
    add_by(document, call);
    (void)json_object_set_new(document, "time", json_real(wall(hosted)));
    struct trib_record *record = new_record(hosted, TRIB_RECORD_REPLY_CALL, document);
    record->call = call;
    record->answer_status = status;
    record->answer = answer;
    call->record = record;
    enqueue(hosted, record);
}

void trib_record_for_call(struct trib_hosted *hosted, struct trib_call *call, json_t *document,
                          json_t *answer) {
    enqueue_for_call(hosted, call, document, 201, answer);
}

void trib_record_forget_call(struct trib_record *record) {
    record->call = NULL;
}

void trib_record_client(struct trib_hosted *hosted, struct trib_call *call, json_t *answer) {
    json_t *document = trib_join_document(call->join);
    (void)json_object_set_new(document, "type", json_string("client"));
    (void)json_object_set_new(document, "client", json_string(call->target.client));
    if (trib_report_knows_client(hosted, call->target.client, document)) {
        json_decref(document);
        trib_call_reply(call, 200, answer);
    } else {
        enqueue_for_call(hosted, call, document, 200, answer);
    }
}

/* What was acknowledged and will not be counted: the record that stops the run says so. */
static void add_dropped(struct trib_record *record) {
    take_uploads(record, slots_pending);
    (void)json_object_set_new(record->document, "dropped",
                              counted_documents(record->uploads, record->upload_count));
}

void trib_record_state(struct trib_hosted *hosted, const struct trib_effect *effect,
                       const struct trib_call *call) {
    json_t *document = json_pack("{s:s, s:s, s:s, s:o, s:f}", "type", "state", "state",
                                 trib_run_state_name(effect->state), "reason", effect->text, "ran",
                                 ran_for(hosted), "time", wall(hosted));
    struct trib_record *record = new_record(hosted, TRIB_RECORD_REPLY_RECORDED, document);
    record->number = effect->record;
    add_by(document, call);
    if (effect->state == TRIB_RUN_STOPPED) {
        add_dropped(record);
    }
    enqueue(hosted, record);
}

/* --- into the index ------------------------------------------------------------------------------ */

static enum trib_status index_counted(struct trib_index *index, const json_t *document) {
    size_t i;
    json_t *element;
    json_array_foreach(json_object_get(document, "updates"), i, element) {
        struct trib_counted counted;
        if (!trib_counted_read(element, &counted)) {
            return TRIB_ECORRUPT;
        }
        struct trib_index_update row = {
            .fate = TRIB_INDEX_COUNTED,
            .version = trib_record_number(document, "version"),
            .digest = counted.digest,
            .weight = counted.weight,
            .staleness = counted.staleness,
        };
        (void)strncpy(row.client, counted.client, sizeof row.client - 1);
        (void)strncpy(row.update, counted.update, sizeof row.update - 1);
        enum trib_status status = trib_index_put_update(index, &row);
        if (status != TRIB_OK) {
            return status;
        }
    }
    return TRIB_OK;
}

static enum trib_status index_version(struct trib_index *index, const json_t *document) {
    char *train = json_dumps(json_object_get(document, "train"), JSON_COMPACT);
    struct trib_index_version row = {
        .version = trib_record_number(document, "version"),
        .updates = json_array_size(json_object_get(document, "updates")),
        .weight = trib_record_number(document, "weight"),
        .bytes = trib_record_number(document, "bytes"),
        .seconds = json_number_value(json_object_get(document, "seconds")),
        .wall_s = json_number_value(json_object_get(document, "time")),
        .train = train == NULL ? "{}" : train,
    };
    enum trib_status status = TRIB_ECORRUPT;
    if (trib_record_digest(document, "model", &row.digest)) {
        status = trib_index_put_version(index, &row);
    }
    free(train);
    return status == TRIB_OK ? index_counted(index, document) : status;
}

static enum trib_status index_dropped(struct trib_index *index, const json_t *document) {
    const char *reason = json_string_value(json_object_get(document, "reason"));
    size_t i;
    json_t *element;
    json_array_foreach(json_object_get(document, "dropped"), i, element) {
        struct trib_counted dropped;
        if (!trib_counted_read(element, &dropped)) {
            return TRIB_ECORRUPT;
        }
        struct trib_index_update row = {.fate = TRIB_INDEX_DROPPED, .digest = dropped.digest};
        (void)strncpy(row.client, dropped.client, sizeof row.client - 1);
        (void)strncpy(row.update, dropped.update, sizeof row.update - 1);
        (void)strncpy(row.reason, reason == NULL ? "" : reason, sizeof row.reason - 1);
        enum trib_status status = trib_index_put_update(index, &row);
        if (status != TRIB_OK) {
            return status;
        }
    }
    return TRIB_OK;
}

static enum trib_status add_report(void *context, const struct trib_index_evaluation *row) {
    add_to_means(context, row->metrics, row->examples);
    return TRIB_OK;
}

static enum trib_status index_evaluation(struct trib_index *index, const json_t *document) {
    const char *client = json_string_value(json_object_get(document, "client"));
    const char *id = json_string_value(json_object_get(document, "evaluation"));
    char *metrics = json_dumps(json_object_get(document, "metrics"), JSON_COMPACT);
    if (client == NULL || id == NULL || metrics == NULL) {
        free(metrics);
        return TRIB_ECORRUPT;
    }
    struct trib_index_evaluation row = {
        .version = trib_record_number(document, "version"),
        .examples = trib_record_number(document, "examples"),
        .metrics = metrics,
    };
    (void)strncpy(row.client, client, sizeof row.client - 1);
    (void)strncpy(row.evaluation, id, sizeof row.evaluation - 1);
    enum trib_status status = trib_index_put_evaluation(index, &row);
    free(metrics);
    struct means means = {json_object(), json_object()};
    if (status == TRIB_OK) {
        status = trib_index_evaluations(index, row.version, &means, add_report);
    }
    char *text = json_dumps(means.values, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (status == TRIB_OK) {
        status = text == NULL ? TRIB_EMEMORY
                              : trib_index_put_version_evaluation(index, row.version, text);
    }
    free(text);
    json_decref(means.values);
    json_decref(means.weights);
    return status;
}

static enum trib_status index_client(struct trib_index *index, const json_t *document) {
    const char *client = json_string_value(json_object_get(document, "client"));
    const char *role = json_string_value(json_object_get(document, "role"));
    char *attributes = json_dumps(json_object_get(document, "attributes"), JSON_COMPACT);
    if (client == NULL || role == NULL) {
        free(attributes);
        return TRIB_ECORRUPT;
    }
    struct trib_index_client row = {
        .attributes = attributes == NULL ? "{}" : attributes,
        .joined_s = json_number_value(json_object_get(document, "time")),
    };
    (void)strncpy(row.client, client, sizeof row.client - 1);
    (void)strncpy(row.role, role, sizeof row.role - 1);
    enum trib_status status = trib_index_put_client(index, &row);
    free(attributes);
    return status;
}

static const struct {
    const char *type;
    enum trib_status (*put)(struct trib_index *index, const json_t *document);
} indexers[] = {
    {"version", index_version},
    {"state", index_dropped},
    {"evaluation", index_evaluation},
    {"client", index_client},
};

enum trib_status trib_record_index(struct trib_index *index, const json_t *document) {
    for (size_t i = 0; i < sizeof indexers / sizeof *indexers; i++) {
        if (strcmp(trib_record_type(document), indexers[i].type) == 0) {
            return indexers[i].put(index, document);
        }
    }
    return TRIB_OK; /* records that have nothing to look up */
}
