/* answers_merge.c - external combiners: the offer, its updates one by one, and what was made of them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/daemon.h"
#include "node/record_document.h"
#include "node/report.h"

static bool is_external(struct trib_call *call) {
    if (call->hosted->spec->strategy.combiner == TRIB_COMBINER_EXTERNAL) {
        return true;
    }
    trib_call_refuse(call, "conflict",
                     "run %s combines its updates itself: strategy.combiner is sum",
                     call->target.run);
    return false;
}

/* --- the offer -------------------------------------------------------------------------------- */

static json_t *update_document(const struct trib_upload *upload, size_t index) {
    const struct trib_spool_entry *entry = &upload->entry;
    json_t *metrics = entry->metrics[0] == '\0' ? NULL : json_loads(entry->metrics, 0, NULL);
    return json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:o}", "index",
                     (json_int_t)index, "client", entry->client, "update", entry->update, "base",
                     (json_int_t)entry->base, "staleness", (json_int_t)entry->staleness, "weight",
                     (json_int_t)entry->weight, "examples", (json_int_t)entry->examples, "bytes",
                     (json_int_t)upload->byte_count, "codec", entry->codec, "digest",
                     trib_record_hex(&entry->digest), "metrics",
                     metrics == NULL ? json_object() : metrics);
}

/* null when nothing is offered. */
static json_t *offer_document(const struct trib_hosted *hosted) {
    const struct trib_combining *combining = &hosted->combining;
    if (!trib_combining_is_open(combining)) {
        return json_null();
    }
    json_t *updates = json_array();
    for (size_t i = 0; i < combining->slot_count; i++) {
        (void)json_array_append_new(updates,
                                    update_document(hosted->slots[combining->slots[i]], i));
    }
    return json_pack("{s:I, s:o, s:{s:I, s:o}, s:o}", "version", (json_int_t)combining->version,
                     "offer", trib_record_hex(&combining->offer), "current", "version",
                     (json_int_t)hosted->model.version, "digest",
                     trib_record_hex(&hosted->model.digest), "updates", updates);
}

void trib_call_reply_offer(struct trib_call *call) {
    trib_call_reply(call, 200, offer_document(call->hosted));
}

void trib_answer_offer(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    struct trib_hosted *hosted = call->hosted;
    struct trib_run_status status;
    trib_run_status(hosted->run, trib_node_now(call->node), &status);
    if (!is_external(call)) {
        return;
    }
    bool is_over = status.state == TRIB_RUN_STOPPED || status.state == TRIB_RUN_FAILED;
    if (status.is_ending || is_over) { /* what was offered will be dropped */
        trib_call_refuse(call, "ended", "run %s is %s", call->target.run,
                         is_over ? trib_run_state_name(status.state) : "stopping");
    } else if (trib_combining_is_open(&hosted->combining)) {
        trib_call_reply_offer(call);
    } else if (call->target.wait_s == 0) {
        trib_call_reply_empty(call, 204);
    } else {
        call->offer_until = trib_node_now(call->node) + call->target.wait_s * TRIB_SECOND;
    }
}

/* --- one of its updates ----------------------------------------------------------------------- */

void trib_answer_offer_update(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    struct trib_hosted *hosted = call->hosted;
    const struct trib_combining *combining = &hosted->combining;
    const struct trib_target *target = &call->target;
    if (!is_external(call)) {
        return;
    }
    if (target->version == 0 || target->version != combining->version ||
        target->index >= combining->slot_count) {
        trib_call_refuse(call, "not_found",
                         "no update %" PRIu64 " of version %" PRIu64 " is offered", target->index,
                         target->version);
        return;
    }
    const struct trib_spool_entry *entry = &hosted->slots[combining->slots[target->index]]->entry;
    struct trib_spool_reader reader;
    enum trib_status status = trib_spool_read_open(hosted->spool, &entry->place, &reader);
    if (status != TRIB_OK) {
        trib_call_refuse(call, "io", "update %s of %s: %s", entry->update, entry->client,
                         trib_status_text(status));
        return;
    }
    const struct trib_files *files = call->node->directory.files;
    call->file = reader.file; /* the call closes it */
    trib_call_reply_file(
        call, &(struct trib_reply){
                  .status = 200,
                  .content_type = "application/safetensors",
                  .fields = {{"Cache-Control", "no-store"}, {"Tributary-Codec", entry->codec}},
                  .body = TRIB_REPLY_FILE,
                  .descriptor = files->descriptor(files->context, reader.file),
                  .offset = reader.offset,
                  .body_bytes = entry->place.body_bytes,
              });
}

/* --- what was made of them -------------------------------------------------------------------- */

static void refuse_offer(struct trib_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* With what is offered now: whoever is behind can go on at once. */
static void refuse_offer(struct trib_call *call, const char *format, ...) {
    char message[TRIB_ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    json_t *document = trib_error_document("conflict", message, NULL);
    (void)json_object_set_new(document, "offer", offer_document(call->hosted));
    trib_call_refuse_document(call, "conflict", message, document);
}

void trib_call_reply_combined(struct trib_call *call, trib_version version) {
    struct trib_digest digest = call->hosted->model.digest;
    if (version != call->hosted->model.version &&
        !trib_report_digest(call->hosted, version, &digest)) {
        trib_call_refuse(call, "io", "the index of versions cannot be read");
        return;
    }
    trib_call_reply(call, 200,
                    json_pack("{s:I, s:o}", "version", (json_int_t)version, "digest",
                              trib_record_hex(&digest)));
}

/* Can it still be the answer to the offer? False: it has been refused. */
static bool is_awaited(struct trib_call *call) {
    const struct trib_combining *combining = &call->hosted->combining;
    uint64_t version = call->target.version;
    if (version == 0 || version != combining->version) {
        refuse_offer(call, "version %" PRIu64 " does not wait for a combiner", version);
        return false;
    }
    if (combining->upload != NULL) {
        trib_call_refuse(call, "busy", "another delta for version %" PRIu64 " is being merged",
                         version);
        return false;
    }
    return true;
}

/* Is it made of these very updates? */
static bool is_of_offer(struct trib_call *call, const struct trib_http_request *request) {
    const char *hex = trib_http_request_field(request, "tributary-offer");
    struct trib_digest offer;
    if (hex == NULL || !trib_digest_from_hex(hex, &offer)) {
        trib_call_refuse(call, "header",
                         "Tributary-Offer: the offer that this is made of, 64 hex "
                         "digits, as GET .../merge names it");
        return false;
    }
    if (!trib_digest_equal(&offer, &call->hosted->combining.offer)) {
        refuse_offer(call, "version %" PRIu64 " is offered with other updates now",
                     call->target.version);
        return false;
    }
    return true;
}

static bool is_done(const struct trib_call *call) {
    const struct trib_combining *combining = &call->hosted->combining;
    return call->target.version > 0 && call->target.version == combining->done.version;
}

void trib_answer_combined_put(struct trib_call *call, const struct trib_http_request *request) {
    bool is_compare = is_done(call);
    if (!is_external(call) || (!is_compare && (!is_awaited(call) || !is_of_offer(call, request)))) {
        return;
    }
    call->has_length = request->has_length;
    trib_upload_begin(call, is_compare);
}

void trib_call_combined_complete(struct trib_call *call, struct trib_upload *upload) {
    const struct trib_combining *combining = &call->hosted->combining;
    if (!upload->is_compare && is_awaited(call)) {
        trib_combining_take(call, upload);
    } else if (upload->is_compare && is_done(call) &&
               trib_digest_equal(&upload->entry.digest, &combining->done.digest)) {
        trib_call_reply_combined(call, call->target.version);
    } else if (upload->is_compare) {
        refuse_offer(call, "version %" PRIu64 " was made of another delta", call->target.version);
    }
}
