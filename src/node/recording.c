/* recording.c - the one writer of a run's ledger: documents become durable in the order they were asked for. */
#include "node/recording.h"

#include <string.h>

#include "node/daemon.h"
#include "node/import.h"
#include "node/record_document.h"
#include "node/record_index.h"

/* A reply of GET .../ledger ends after this much; the reader goes on with `from`. */
#define READ_BYTES_MAX ((size_t)8 << 20)

static json_t *train_means(struct trib_upload *const *uploads, size_t count) {
    struct trib_means means = {.values = json_object(), .weights = json_object()};
    for (size_t i = 0; i < count; i++) {
        trib_means_add(&means, uploads[i]->entry.metrics, uploads[i]->entry.examples);
    }
    bool is_complete = means.values != NULL && !means.is_failed;
    json_decref(means.weights);
    if (!is_complete) {
        json_decref(means.values);
    }
    return is_complete ? means.values : NULL;
}

json_t *trib_record_counted(struct trib_upload *const *uploads, size_t count) {
    json_t *list = json_array();
    bool is_complete = list != NULL;
    for (size_t i = 0; i < count && is_complete; i++) {
        const struct trib_spool_entry *entry = &uploads[i]->entry;
        int result = json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o}", "client", entry->client, "update",
                      entry->update, "base", (json_int_t)entry->base, "staleness",
                      (json_int_t)entry->staleness, "weight", (json_int_t)entry->weight, "examples",
                      (json_int_t)entry->examples, "digest", trib_record_hex(&entry->digest)));
        is_complete = result == 0;
    }
    if (!is_complete) {
        json_decref(list);
    }
    return is_complete ? list : NULL;
}

void trib_record_put(struct trib_record *record, const char *key, json_t *value) {
    if (json_object_set_new(record->document, key, value) != 0) {
        record->status = TRIB_EMEMORY;
    }
}

/* Of a ranged model both are written; they only lack their names. */
static enum trib_status publish_draft(struct trib_record *record) {
    struct trib_hosted *hosted = record->hosted;
    struct trib_digest digest;
    enum trib_status status = trib_ranged_publish(hosted->node->env, &hosted->draft, &digest, NULL);
    if (status == TRIB_OK) {
        trib_record_put(record, "state", trib_record_hex(&digest));
    }
    return status;
}

static enum trib_status write_checkpoint(struct trib_record *record) {
    struct trib_hosted *hosted = record->hosted;
    const struct trib_env *env = hosted->node->env;
    const struct trib_files *files = hosted->node->directory.files;
    struct trib_error error = {0};
    struct trib_source bytes =
        trib_source_of_memory(record->block->bytes, record->block->byte_count);
    enum trib_status status =
        trib_checkpoint_write_version(env, files, hosted->path, record->version, &bytes, &error);
    struct trib_optimizer_encoded state;
    struct trib_digest digest;
    trib_optimizer_state_encode(&hosted->model.state, &state);
    if (status == TRIB_OK) {
        status = trib_source_digest(&state.source, &digest);
    }
    if (status == TRIB_OK) {
        trib_record_put(record, "state", trib_record_hex(&digest));
        status = trib_checkpoint_write_state(env, files, hosted->path, record->version,
                                             &state.source, &error);
    }
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

static enum trib_status append_record(struct trib_record *record) {
    struct trib_hosted *hosted = record->hosted;
    if (record->is_checkpoint && record->status == TRIB_OK) {
        bool is_ranged = record->block == NULL;
        enum trib_status status = is_ranged ? publish_draft(record) : write_checkpoint(record);
        if (status == TRIB_EFULL && !is_ranged) {
            trib_prune_for_room(hosted, &record->pruning);
            status = write_checkpoint(record);
        }
        if (status != TRIB_OK) {
            return status;
        }
    }
    if (record->reply == TRIB_RECORD_REPLY_PERSISTED) {
        trib_record_put(record, "updates",
                        trib_record_counted(record->uploads, record->upload_count));
        trib_record_put(record, "train", train_means(record->uploads, record->upload_count));
    }
    return record->status == TRIB_OK ? trib_record_append(hosted, record->document)
                                     : record->status;
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
        .time = (uint64_t)trib_node_wall(hosted->node),
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

/* Nothing of it goes into the ledger. */
static bool is_reader(const struct trib_record *record) {
    return record->reply == TRIB_RECORD_REPLY_READ || record->reply == TRIB_RECORD_REPLY_HEAD ||
           record->reply == TRIB_RECORD_REPLY_FLUSH;
}

/* Before the ledger, so that whatever it has can be played. The run does not depend on it. */
static void write_tape(struct trib_hosted *hosted) {
    enum trib_status status = trib_tape_write(&hosted->tape);
    if (status != TRIB_OK) {
        trib_log(hosted->node->env, TRIB_LOG_WARN, "tape_ends run=%s reason=\"%s\"",
                 hosted->spec->name, trib_status_text(status));
    }
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
    write_tape(hosted);
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
            trib_prune_after(hosted, &r->pruning);
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
    if (record->combined != NULL) {
        (void)trib_places_add(hosted->node->env, places, &record->combined->entry.place);
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

/* Whoever was put out hears of it, and its place is the first to be given to another. */
static void dismiss_revoked(struct trib_hosted *hosted, const json_t *document) {
    if (strcmp(trib_record_type(document), "revoked") != 0) {
        return;
    }
    trib_access_end_revoked(hosted);
    struct trib_event depart = {
        .kind = TRIB_EVENT_DEPART,
        .client = json_string_value(json_object_get(document, "client")),
    };
    if (depart.client != NULL) {
        trib_hosted_feed(hosted, &depart);
    }
}

static void answer_asker(struct trib_record *record) {
    struct trib_hosted *hosted = record->hosted;
    struct trib_call *call = record->call;
    if (record->status == TRIB_OK) {
        enum trib_status taken = trib_revoked_take(&hosted->revoked, record->document);
        trib_hosted_note_failure(hosted, taken); /* opened again it knows */
        dismiss_revoked(hosted, record->document);
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
    case TRIB_RECORD_REPLY_NONE:
    case TRIB_RECORD_REPLY_FLUSH:
        return;
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
        hosted->checkpoint = record->version;
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
    if (record->combined != NULL) {
        trib_combining_settle(hosted);
    }
}

void trib_recording_forgo(struct trib_record *record) {
    if (record == NULL) {
        return;
    }
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
        trib_recording_forgo(record);
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
    trib_tape_take(&hosted->tape);
    hosted->jobs++;
    if (trib_share_submit(&hosted->share, write_records, records_written, hosted) != TRIB_OK) {
        write_records(hosted);
        records_written(hosted);
    }
}

void trib_recording_add(struct trib_record *record) {
    struct trib_hosted *hosted = record->hosted;
    if (hosted->recorded == NULL) {
        hosted->recorded = record;
    } else {
        hosted->recorded_last->next = record;
    }
    hosted->recorded_last = record;
    pump(hosted);
}

void trib_recording_flush(struct trib_hosted *hosted) {
    if (hosted->recording != NULL || hosted->recorded != NULL) {
        return; /* the next job takes it along */
    }
    struct trib_record *record = trib_allocate(hosted->node->env, 1, sizeof *record);
    if (record != NULL) { /* without memory it is due again with the next event */
        record->hosted = hosted;
        record->reply = TRIB_RECORD_REPLY_FLUSH;
        record->document = json_null();
        trib_recording_add(record);
    }
}

void trib_record_forget_call(struct trib_record *record) {
    record->call = NULL;
}
