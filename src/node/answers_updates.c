/* answers_updates.c - PUT and GET of updates: from the head to the heart.
 *
 * The heart judges the head (OFFER) before the body and the body (UPDATE) once more. Where base or examples are only in
 * the body's __metadata__, the head is judged with what is known and the rest when the body is there. */
#include "node/daemon.h"
#include "node/import.h"
#include "node/report.h"

#include <stdio.h>
#include <string.h>

/* Settled updates have left the heart; the index knows them. */
static enum trib_status find_settled(struct trib_hosted *hosted, const char *client, const char *id,
                                     struct trib_settled *settled, char *reason) {
    struct trib_index_update row;
    enum trib_status status = trib_index_get_update(hosted->index, client, id, &row);
    if (status == TRIB_ENOTFOUND) {
        return TRIB_OK;
    }
    if (status == TRIB_OK) {
        settled->fate = row.fate == TRIB_INDEX_COUNTED ? TRIB_FATE_COUNTED : TRIB_FATE_DROPPED;
        settled->version = row.version;
        settled->digest = row.digest;
        if (reason != NULL) {
            memcpy(reason, row.reason, sizeof row.reason);
        }
    }
    return status;
}

static bool add_settled(struct trib_call *call, struct trib_event *event) {
    if (find_settled(call->hosted, call->token.subject, call->target.id, &event->settled, NULL) ==
        TRIB_OK) {
        return true;
    }
    call->waits = false;
    trib_call_refuse(call, "io", "the index of updates cannot be read");
    return false;
}

static bool read_part(struct trib_call *call, const struct trib_http_request *request) {
    const char *text = trib_http_request_field(request, "content-range");
    if (text == NULL || trib_content_range_read(text, &call->part)) {
        return true;
    }
    trib_call_refuse(call, "header",
                     "Content-Range: must be like \"bytes 0-1048575/4194304\", not \"%.64s\"",
                     text);
    return false;
}

/* Of the whole update, as far as it is known; else 0. */
static uint64_t announced_bytes(const struct trib_call *call,
                                const struct trib_http_request *request) {
    if (call->part.total > 0) {
        return call->part.total;
    }
    return request->has_length ? request->content_length : 0;
}

/* What the spec allows one client to send within an hour. Of an update in parts the first one counts, for all. */
static bool has_quota(struct trib_call *call, const struct trib_http_request *request) {
    struct trib_hosted *hosted = call->hosted;
    uint64_t bytes = announced_bytes(call, request);
    if (call->part.total > 0 && trib_parts_are_held(hosted, call->token.subject, call->target.id)) {
        return true;
    }
    call->retry_after_s = trib_quotas_take(&hosted->quotas, &hosted->spec->limits,
                                           call->token.subject, bytes, trib_node_now(call->node));
    if (call->retry_after_s == 0) {
        return true;
    }
    trib_call_refuse(call, "rate", "client %s has sent what it may within an hour",
                     call->token.subject);
    return false;
}

/* A signature is a quarter of what a small update costs, so it is made for those who keep it. */
static bool read_wish(struct trib_call *call, const struct trib_http_request *request) {
    const char *wish = trib_http_request_field(request, "tributary-receipt");
    call->wants_receipt = wish != NULL && strcmp(wish, "yes") == 0;
    if (wish == NULL || call->wants_receipt || strcmp(wish, "no") == 0) {
        return true;
    }
    trib_call_refuse(call, "header", "Tributary-Receipt: \"%.24s\" is neither yes nor no", wish);
    return false;
}

void trib_answer_update_put(struct trib_call *call, const struct trib_http_request *request) {
    struct trib_hosted *hosted = call->hosted;
    struct trib_update_texts texts = {
        .base = trib_http_request_field(request, "tributary-base-version"),
        .examples = trib_http_request_field(request, "tributary-examples"),
        .codec = trib_http_request_field(request, "tributary-codec"),
        .metrics = trib_http_request_field(request, "tributary-metrics"),
    };
    struct trib_update_head head;
    struct trib_error error = {0};
    if (trib_update_head_decode(&texts, &head, &error) != TRIB_OK) {
        trib_call_refuse_input(call, "header", &error);
        return;
    }
    if (!read_wish(call, request) || !read_part(call, request) || !has_quota(call, request)) {
        return;
    }
    call->has_length = request->has_length;
    call->head = &head;
    struct trib_event offer = trib_call_event(call, TRIB_EVENT_OFFER);
    offer.version = head.has_base ? head.base : hosted->model.version;
    offer.examples = head.has_examples ? head.examples : 1;
    offer.byte_count = announced_bytes(call, request);
    if (add_settled(call, &offer)) {
        trib_hosted_feed(hosted, &offer);
    }
    call->head = NULL;
}

/* --- the body is there -------------------------------------------------------------------------- */

static void send_update(struct trib_call *call, struct trib_upload *upload) {
    upload->wants_receipt =
        call->wants_receipt && call->hosted->spec->durability == TRIB_DURABILITY_SPOOL;
    (void)snprintf(upload->entry.codec, sizeof upload->entry.codec, "%.31s", upload->head.codec);
    json_t *metrics = trib_metrics_document(&upload->head.metrics);
    size_t bytes = upload->head.metrics.count == 0
                       ? 0
                       : json_dumpb(metrics, upload->entry.metrics, sizeof upload->entry.metrics,
                                    JSON_COMPACT | JSON_REAL_PRECISION(17));
    upload->entry.metrics[bytes < sizeof upload->entry.metrics ? bytes : 0] = '\0';
    json_decref(metrics);
    struct trib_event event = trib_call_event(call, TRIB_EVENT_UPDATE);
    event.version = upload->head.base;
    event.examples = upload->head.examples;
    event.byte_count = upload->byte_count;
    if (add_settled(call, &event)) {
        trib_hosted_feed(call->hosted, &event);
    }
}

static void send_repeat(struct trib_call *call, struct trib_upload *upload) {
    struct trib_event event = trib_call_event(call, TRIB_EVENT_REPEAT);
    event.digest = upload->entry.digest;
    if (add_settled(call, &event)) {
        trib_hosted_feed(call->hosted, &event);
    }
}

enum trib_status trib_upload_read_metadata(struct trib_upload *upload,
                                           const struct trib_update_metadata *found) {
    char base[24], examples[24];
    (void)snprintf(base, sizeof base, "%llu", (unsigned long long)found->base);
    (void)snprintf(examples, sizeof examples, "%llu", (unsigned long long)found->examples);
    struct trib_update_texts metadata = {
        .base = found->has_base ? base : NULL,
        .examples = found->has_examples ? examples : NULL,
        .codec = found->has_codec ? found->codec : NULL,
        .metrics = found->has_metrics ? found->metrics : NULL,
    };
    struct trib_update_head inner;
    enum trib_status status = trib_update_head_decode(&metadata, &inner, &upload->error);
    if (status == TRIB_OK) {
        status = trib_update_head_join(&upload->head, &inner, &upload->head, &upload->error);
    }
    upload->is_head_wrong = status != TRIB_OK;
    return status;
}

/* What the body itself says, on a worker: its metadata, or for a repeat its digest. */
static void look_inside(void *context) {
    struct trib_upload *upload = context;
    if (upload->is_compare) {
        upload->status = trib_upload_digest(upload);
        return;
    }
    struct trib_source source = trib_upload_source(upload);
    struct trib_update_metadata found = {0};
    upload->status = trib_update_describe(upload->hosted->node->env, upload->hosted->model.layout,
                                          &source, &found, &upload->error);
    if (upload->status == TRIB_OK) {
        upload->status = trib_upload_read_metadata(upload, &found);
    }
}

static bool is_combined(const struct trib_call *call) {
    return call->target.rule->route == TRIB_ROUTE_COMBINED_PUT;
}

static void go_on(struct trib_upload *upload) {
    struct trib_call *call = upload->call;
    if (upload->is_orphan) {
        trib_upload_free(upload);
    } else if (upload->status != TRIB_OK) {
        trib_call_refuse(call, trib_upload_error_code(upload), "%s",
                         upload->error.status != TRIB_OK ? upload->error.text
                                                         : trib_status_text(upload->status));
    } else if (is_combined(call)) {
        trib_call_combined_complete(call, upload);
    } else if (upload->is_compare) {
        send_repeat(call, upload);
    } else {
        send_update(call, upload);
    }
}

static void looked_inside(void *context) {
    struct trib_upload *upload = context;
    struct trib_hosted *hosted = upload->hosted;
    upload->is_lent = false;
    go_on(upload);
    trib_hosted_job_done(hosted);
}

void trib_call_upload_complete(struct trib_call *call, struct trib_upload *upload) {
    bool is_announced = call->has_length || call->part.total > 0;
    bool is_update = call->target.rule->route == TRIB_ROUTE_UPDATE_PUT;
    if (!is_announced && is_update) { /* a quota is a client's */
        trib_quotas_add(&call->hosted->quotas, call->token.subject, upload->byte_count);
    }
    if (upload->status != TRIB_OK) {
        trib_call_refuse_error(call, &upload->error);
        return;
    }
    if (call->target.rule->route == TRIB_ROUTE_MODEL_PUT) {
        trib_import_upload(call);
        return;
    }
    if (is_combined(call) && !upload->is_compare) {
        trib_call_combined_complete(call, upload);
        return;
    }
    if (!upload->is_compare && upload->head.has_base && upload->head.has_examples) {
        const struct trib_update_head nothing = {0};
        (void)trib_update_head_join(&upload->head, &nothing, &upload->head, NULL);
        send_update(call, upload); /* the usual way: everything was in the headers */
        return;
    }
    upload->is_lent = true;
    upload->hosted->jobs++;
    if (trib_share_submit(&upload->hosted->share, look_inside, looked_inside, upload) != TRIB_OK) {
        upload->is_lent = false;
        trib_hosted_job_done(upload->hosted);
        trib_call_refuse(call, "busy", "out of memory; try again");
    }
}

/* --- its fate ------------------------------------------------------------------------------------ */

void trib_answer_update_get(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    struct trib_hosted *hosted = call->hosted;
    struct trib_settled settled = {0};
    char reason[TRIB_INDEX_REASON_BYTES] = "";
    struct trib_receipt receipt = {
        .update = call->target.id,
        .durability = hosted->spec->durability == TRIB_DURABILITY_SPOOL ? "spool" : "memory",
    };
    struct trib_slot_view view;
    if (trib_run_find(hosted->run, call->token.subject, call->target.id, &view)) {
        receipt.fate = "spooled";
        receipt.has_admission = receipt.has_version = view.target > 0;
        receipt.base = view.base;
        receipt.staleness = view.staleness;
        receipt.weight = trib_spec_caps_shares(hosted->spec) ? 0 : view.weight;
        receipt.version = view.target;
    } else if (find_settled(hosted, call->token.subject, call->target.id, &settled, reason) !=
               TRIB_OK) {
        trib_call_refuse(call, "io", "the index of updates cannot be read");
        return;
    } else if (settled.fate == TRIB_FATE_NONE &&
               trib_parts_are_held(hosted, call->token.subject, call->target.id)) {
        trib_call_reply(call, 200,
                        trib_parts_document(hosted, call->token.subject, call->target.id));
        return;
    } else if (settled.fate == TRIB_FATE_NONE) {
        trib_call_refuse(call, "not_found", "no update %s of client %s", call->target.id,
                         call->token.subject);
        return;
    } else {
        bool is_counted = settled.fate == TRIB_FATE_COUNTED;
        receipt.fate = is_counted ? "counted" : "dropped";
        receipt.has_version = is_counted;
        receipt.version = settled.version;
        receipt.reason = is_counted ? NULL : reason;
    }
    trib_call_reply(call, 200, trib_receipt_document(&receipt));
}
