/* record.c - what the ledger says: one function for each kind of record. */
#include "node/record.h"

#include "node/daemon.h"
#include "node/import.h"
#include "node/record_document.h"
#include "node/report.h"

/* Models up to this size get a checkpoint with each version (design section 7). */
#define CHECKPOINT_ALWAYS_BYTES (UINT64_C(64) << 20)

/* Seconds in the state running so far: a restart goes on from there. */
static json_t *ran_for(const struct trib_hosted *hosted) {
    struct trib_run_status status;
    trib_run_status(hosted->run, trib_node_now(hosted->node), &status);
    return json_real((double)status.ran_for / 1e9);
}

/* Who asked for it, where a token says so. */
static void add_by(struct trib_record *record, const struct trib_call *call) {
    char who[TRIB_TOKEN_WHO_BYTES];
    if (call != NULL && call->token.scope != TRIB_TOKEN_NONE) {
        const char *by = trib_token_who(&call->token, who);
        trib_record_put(record, "by", json_string(by));
    }
}

/* Weight and bytes of all updates together. */
static void add_totals(struct trib_record *record) {
    uint64_t weight = 0, bytes = 0;
    for (size_t i = 0; i < record->upload_count; i++) {
        weight += record->uploads[i]->entry.weight;
        bytes += record->uploads[i]->byte_count;
    }
    trib_record_put(record, "weight", json_integer((json_int_t)weight));
    trib_record_put(record, "bytes", json_integer((json_int_t)bytes));
}

/* Takes the document; NULL: it could not be made. NULL: no memory; where the heart waits for the
 * record, the run has failed by it and will be opened again. */
static struct trib_record *new_record(struct trib_hosted *hosted, enum trib_record_reply reply,
                                      json_t *document) {
    struct trib_record *record = trib_allocate(hosted->node->env, 1, sizeof *record);
    if (record == NULL) {
        json_decref(document);
        bool is_for_heart =
            reply == TRIB_RECORD_REPLY_PERSISTED || reply == TRIB_RECORD_REPLY_RECORDED;
        trib_hosted_note_failure(hosted, is_for_heart ? TRIB_EMEMORY : TRIB_OK);
        return NULL;
    }
    record->hosted = hosted;
    record->reply = reply;
    record->document = document;
    record->status = document == NULL ? TRIB_EMEMORY : TRIB_OK;
    return record;
}

/* Its updates can go only with a checkpoint. It must come before there is no room for those of the
 * next version: without that there would never be one again. */
static bool is_spool_crowded(const struct trib_hosted *hosted) {
    uint64_t bytes = trib_spool_bytes(hosted->spool), quota = hosted->spec->keep.disk_bytes_max;
    return (quota > 0 && bytes > quota / 4) || !trib_spool_has_room(hosted->spool, bytes);
}

static bool is_checkpoint_due(const struct trib_hosted *hosted) {
    trib_time_ns every = hosted->spec->checkpoint_every;
    if (hosted->model.window_bytes > 0) {
        return true; /* it is in its file already */
    }
    if (hosted->spec->strategy.base_versions > 1) {
        return true; /* a restart must find every version that can be a base */
    }
    if (is_spool_crowded(hosted)) {
        return true;
    }
    if (hosted->spec->durability != TRIB_DURABILITY_SPOOL) {
        return true; /* its updates are nowhere, so it could not be made again */
    }
    if (every == 0 && trib_model_file_bytes(&hosted->model) <= CHECKPOINT_ALWAYS_BYTES) {
        return true;
    }
    trib_time_ns interval = every == 0 ? 60 * TRIB_SECOND : every;
    return trib_node_now(hosted->node) - hosted->checkpoint_at >= interval;
}

static struct trib_record *version_record(struct trib_hosted *hosted, enum trib_record_reply reply,
                                          trib_version version, const struct trib_block *block,
                                          const struct trib_digest *digest, bool is_checkpoint) {
    double seconds = (double)(trib_node_now(hosted->node) - hosted->version_at) / 1e9;
    json_t *document = json_pack(
        "{s:s, s:I, s:o, s:f, s:b, s:o, s:f}", "type", "version", "version", (json_int_t)version,
        "model", trib_record_hex(digest), "seconds", version == 0 ? 0.0 : seconds, "checkpoint",
        (int)is_checkpoint, "ran", ran_for(hosted), "time", trib_node_wall(hosted->node));
    struct trib_record *record = new_record(hosted, reply, document);
    if (record != NULL) {
        record->version = version;
        record->block = block;
        record->is_checkpoint = is_checkpoint;
        record->pruning = trib_pruning_now(hosted);
        record->pruning.version = version;
    }
    return record;
}

void trib_record_first_version(struct trib_hosted *hosted, const struct trib_call *call) {
    struct trib_model *model = &hosted->model;
    struct trib_record *record =
        version_record(hosted, TRIB_RECORD_REPLY_MODEL, 0, model->current, &model->digest, true);
    if (record == NULL) {
        trib_import_recorded(hosted, TRIB_EMEMORY);
        return;
    }
    trib_record_put(record, "updates", json_array());
    add_by(record, call);
    trib_recording_add(record);
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
    struct trib_upload **uploads = trib_allocate(env, count, sizeof *uploads);
    if (slots == NULL || uploads == NULL) {
        trib_release(env, slots, count, sizeof *slots);
        trib_release(env, uploads, count, sizeof *uploads);
        record->status = TRIB_EMEMORY;
        return;
    }
    record->uploads = uploads;
    record->upload_count = count;
    (void)list(record, slots, count);
    for (size_t i = 0; i < count; i++) {
        uploads[i] = record->hosted->slots[slots[i]];
    }
    trib_release(env, slots, count, sizeof *slots);
}

/* Where the combiner is external: what the version is made of instead of its updates. */
static void add_combined(struct trib_record *record) {
    const struct trib_combining *combining = &record->hosted->combining;
    record->combined = combining->upload;
    if (record->combined != NULL) {
        trib_record_put(record, "combined",
                        json_pack("{s:s, s:o}", "by", combining->by, "digest",
                                  trib_record_hex(&record->combined->entry.digest)));
    }
}

void trib_record_version(struct trib_hosted *hosted, trib_version version) {
    struct trib_model *model = &hosted->model;
    struct trib_record *record =
        version_record(hosted, TRIB_RECORD_REPLY_PERSISTED, version, model->next,
                       &model->next_digest, is_checkpoint_due(hosted));
    if (record != NULL) {
        take_uploads(record, slots_of_version);
        add_totals(record);
        add_combined(record);
        trib_recording_add(record);
    }
}

void trib_record_evaluation(struct trib_hosted *hosted, const struct trib_effect *effect,
                            const struct trib_call *call) {
    json_t *document = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:o, s:f}", "type", "evaluation", "client", call->token.subject,
        "evaluation", call->target.id, "version", (json_int_t)call->evaluation->version, "examples",
        (json_int_t)call->evaluation->examples, "metrics",
        trib_metrics_document(&call->evaluation->metrics), "time", trib_node_wall(hosted->node));
    struct trib_record *record = new_record(hosted, TRIB_RECORD_REPLY_RECORDED, document);
    if (record != NULL) {
        record->number = effect->record;
        trib_recording_add(record);
    }
}

static void refuse_for_memory(struct trib_call *call) {
    trib_call_refuse(call, "busy", "out of memory; try again");
}

void trib_record_revision(struct trib_hosted *hosted, const struct trib_effect *effect,
                          struct trib_call *call) {
    json_t *document =
        json_pack("{s:s, s:I, s:o, s:o, s:f}", "type", "revision", "version",
                  (json_int_t)effect->version, "spec", trib_spec_document(call->revised), "ran",
                  ran_for(hosted), "time", trib_node_wall(hosted->node));
    struct trib_record *record = new_record(hosted, TRIB_RECORD_REPLY_RECORDED, document);
    if (record == NULL) { /* the run is opened again, and the caller told so */
        return;
    }
    record->number = effect->record;
    add_by(record, call);
    /* Should it not become durable, the run fails and is opened again from the ledger. */
    trib_spec_free(hosted->revised);
    hosted->revised = call->revised;
    hosted->revised_from = effect->version;
    call->revised = NULL;
    trib_recording_add(record);
}

static void read_for(struct trib_hosted *hosted, struct trib_call *call,
                     enum trib_record_reply reply) {
    struct trib_record *record = new_record(hosted, reply, json_null());
    if (record == NULL) {
        refuse_for_memory(call);
        return;
    }
    record->call = call;
    record->from = call->target.from;
    trib_text_init(&record->text, hosted->node->env);
    call->record = record;
    trib_recording_add(record);
}

void trib_record_read(struct trib_hosted *hosted, struct trib_call *call) {
    read_for(hosted, call, TRIB_RECORD_REPLY_READ);
}

void trib_record_read_head(struct trib_hosted *hosted, struct trib_call *call) {
    read_for(hosted, call, TRIB_RECORD_REPLY_HEAD);
}

static void enqueue_for_call(struct trib_hosted *hosted, struct trib_call *call, json_t *document,
                             int status, json_t *answer) {
    struct trib_record *record = new_record(hosted, TRIB_RECORD_REPLY_CALL, document);
    if (record != NULL) {
        add_by(record, call);
        trib_record_put(record, "time", json_real(trib_node_wall(hosted->node)));
    }
    if (record == NULL || record->status != TRIB_OK) { /* nobody but the call has to know */
        trib_recording_forgo(record);
        json_decref(answer);
        refuse_for_memory(call);
        return;
    }
    record->call = call;
    record->answer_status = status;
    record->answer = answer;
    call->record = record;
    trib_recording_add(record);
}

void trib_record_for_call(struct trib_hosted *hosted, struct trib_call *call, json_t *document,
                          json_t *answer) {
    enqueue_for_call(hosted, call, document, 201, answer);
}

void trib_record_client(struct trib_hosted *hosted, struct trib_call *call, json_t *answer) {
    json_t *document = trib_join_document(call->join);
    int failures = json_object_set_new(document, "type", json_string("client"));
    failures |= json_object_set_new(document, "client", json_string(call->target.client));
    if (failures != 0 || answer == NULL) {
        json_decref(document);
        json_decref(answer);
        refuse_for_memory(call);
    } else if (trib_report_knows_client(hosted, call->target.client, document)) {
        json_decref(document);
        trib_call_reply(call, 200, answer);
    } else {
        enqueue_for_call(hosted, call, document, 200, answer);
    }
}

/* What was acknowledged and will not be counted: the record that stops the run says so. */
static void add_dropped(struct trib_record *record) {
    take_uploads(record, slots_pending);
    trib_record_put(record, "dropped", trib_record_counted(record->uploads, record->upload_count));
}

void trib_record_state(struct trib_hosted *hosted, const struct trib_effect *effect,
                       const struct trib_call *call) {
    json_t *document = json_pack("{s:s, s:s, s:s, s:o, s:f}", "type", "state", "state",
                                 trib_run_state_name(effect->state), "reason", effect->text, "ran",
                                 ran_for(hosted), "time", trib_node_wall(hosted->node));
    struct trib_record *record = new_record(hosted, TRIB_RECORD_REPLY_RECORDED, document);
    if (record == NULL) {
        return;
    }
    record->number = effect->record;
    add_by(record, call);
    if (effect->state == TRIB_RUN_STOPPED) {
        add_dropped(record);
    }
    trib_recording_add(record);
}

void trib_record_set_aside(struct trib_hosted *hosted, const char *client) {
    json_t *document = json_pack("{s:s, s:s, s:f}", "type", "set_aside", "client", client, "time",
                                 trib_node_wall(hosted->node));
    trib_recording_add(new_record(hosted, TRIB_RECORD_REPLY_NONE, document));
}
