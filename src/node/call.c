/* call.c - one request being answered: judging its head, bodies into memory, replies.
 *
 * A head is judged before its body is read: who asks (node/access.h), and whether the body has the
 * exact type of the route. */
#include "node/call.h"

#include "base/crash.h"
#include "node/daemon.h"
#include "node/import.h"
#include "node/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct trib_answer trib_answers[TRIB_ROUTE_COUNT] = {
    [TRIB_ROUTE_RUN_CREATE] = {.body = trib_answer_run_create},
    [TRIB_ROUTE_RUN_LIST] = {.head = trib_answer_run_list},
    [TRIB_ROUTE_RUN_STATUS] = {.head = trib_answer_run_status},
    [TRIB_ROUTE_RUN_SPEC] = {.head = trib_answer_run_spec},
    [TRIB_ROUTE_RUN_PAUSE] = {.body = trib_answer_run_control},
    [TRIB_ROUTE_RUN_RESUME] = {.body = trib_answer_run_control},
    [TRIB_ROUTE_RUN_STOP] = {.body = trib_answer_run_control},
    [TRIB_ROUTE_RUN_CHANGE] = {.body = trib_answer_run_change},
    [TRIB_ROUTE_RUN_DELETE] = {.body = trib_answer_run_delete},
    [TRIB_ROUTE_MODEL_PUT] = {.head = trib_answer_model_begin, .body = trib_answer_model_put},
    [TRIB_ROUTE_MODEL_GET] = {.head = trib_answer_model_get},
    [TRIB_ROUTE_TOKEN_CREATE] = {.body = trib_answer_token_create},
    [TRIB_ROUTE_TOKEN_REVOKE] = {.body = trib_answer_token_revoke},
    [TRIB_ROUTE_CLIENT_REVOKE] = {.body = trib_answer_client_revoke},
    [TRIB_ROUTE_CLIENT_PROBE] = {.body = trib_answer_probe},
    [TRIB_ROUTE_CLIENT_JOIN] = {.body = trib_answer_join},
    [TRIB_ROUTE_TASK_GET] = {.head = trib_answer_task},
    [TRIB_ROUTE_TASK_DECLINE] = {.body = trib_answer_decline},
    [TRIB_ROUTE_TASK_RENEW] = {.body = trib_answer_renew},
    [TRIB_ROUTE_UPDATE_PUT] = {.head = trib_answer_update_put},
    [TRIB_ROUTE_UPDATE_GET] = {.head = trib_answer_update_get},
    [TRIB_ROUTE_EVALUATION_PUT] = {.body = trib_answer_evaluation},
    [TRIB_ROUTE_OFFER_GET] = {.head = trib_answer_offer},
    [TRIB_ROUTE_OFFER_UPDATE_GET] = {.head = trib_answer_offer_update},
    [TRIB_ROUTE_COMBINED_PUT] = {.head = trib_answer_combined_put},
    [TRIB_ROUTE_EVENTS] = {.head = trib_answer_events},
    [TRIB_ROUTE_LEDGER] = {.head = trib_answer_ledger},
    [TRIB_ROUTE_LEDGER_HEAD] = {.head = trib_answer_ledger_head},
    [TRIB_ROUTE_CLIENT_LIST] = {.head = trib_answer_client_list},
    [TRIB_ROUTE_HISTORY] = {.head = trib_answer_history},
    [TRIB_ROUTE_METRICS] = {.head = trib_answer_metrics},
    [TRIB_ROUTE_HEALTH] = {.head = trib_answer_health},
    [TRIB_ROUTE_READY] = {.head = trib_answer_ready},
    [TRIB_ROUTE_CONSOLE] = {.head = trib_answer_console},
};

/* --- answering ------------------------------------------------------------------------------ */

struct trib_event trib_call_event(struct trib_call *call, enum trib_event_kind kind) {
    call->waits = true;
    return (struct trib_event){
        .kind = kind,
        .request = (trib_request)(uintptr_t)call,
        .client = call->token.subject,
        .id = call->target.id,
    };
}

static void send_reply(struct trib_call *call, const struct trib_reply *reply) {
    TRIB_ASSERT(!call->is_answered);
    call->is_answered = true;
    call->offer_until = 0; /* whoever waited for an offer has heard something else */
    call->waits = false;
    call->admitted = NULL; /* it may be folded and freed from now on */
    const struct trib_route_rule *rule = call->target.rule;
    const char *path = rule == NULL ? "nowhere" : rule->path;
    const char *method = rule == NULL ? "any" : trib_http_method_name(rule->method);
    trib_crash_point(path, method, "before");
    trib_exchange_reply(call->exchange, reply);
    trib_crash_point(path, method, "after");
}

void trib_call_reply_empty(struct trib_call *call, int status) {
    send_reply(call, &(struct trib_reply){.status = status});
}

#define RETRY_AFTER_BYTES 12

#define RETRY_FULL_S 10 /* a disk or a quota that is full is not empty in a second */

/* 503, 429 and 507 say when to come back, 405 what would be allowed. */
static void add_error_fields(const struct trib_call *call, struct trib_reply *reply,
                             char retry_after[RETRY_AFTER_BYTES]) {
    if (reply->status == 503 || reply->status == 429 || reply->status == 507) {
        uint32_t usual = reply->status == 507 ? RETRY_FULL_S : 1;
        (void)snprintf(retry_after, RETRY_AFTER_BYTES, "%u",
                       call->retry_after_s == 0 ? usual : call->retry_after_s);
        reply->fields[1] = (struct trib_http_field){"Retry-After", retry_after};
    } else if (reply->status == 405) {
        reply->fields[1] = (struct trib_http_field){"Allow", call->target.allow};
    } else if (reply->status == 401) {
        reply->fields[1] = (struct trib_http_field){"WWW-Authenticate", "Bearer"};
    }
}

/* A text that memory ran out for is a 503 without words. */
void trib_call_reply_text(struct trib_call *call, const char *content_type,
                          struct trib_text *text) {
    struct trib_reply reply = {
        .status = text->is_failed ? 503 : 200,
        .content_type = content_type,
        .fields = {{"Cache-Control", "no-store"}},
        .body = TRIB_REPLY_BYTES,
        .bytes = text->bytes,
        .body_bytes = text->is_failed ? 0 : text->byte_count,
    };
    char retry_after[RETRY_AFTER_BYTES];
    add_error_fields(call, &reply, retry_after);
    send_reply(call, &reply);
}

void trib_call_reply_page(struct trib_call *call, struct trib_text *text) {
    struct trib_reply reply = {
        .status = text->is_failed ? 503 : 200,
        .content_type = "text/html; charset=utf-8",
        .fields = {{"Cache-Control", "no-store"},
                   {"Content-Security-Policy",
                    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"},
                   {"X-Content-Type-Options", "nosniff"},
                   {"Referrer-Policy", "no-referrer"}},
        .body = TRIB_REPLY_BYTES,
        .bytes = text->bytes,
        .body_bytes = text->is_failed ? 0 : text->byte_count,
    };
    send_reply(call, &reply);
}

void trib_call_reply_file(struct trib_call *call, const struct trib_reply *reply) {
    send_reply(call, reply);
}

void trib_call_reply(struct trib_call *call, int status, json_t *document) {
    struct trib_text text;
    trib_text_init(&text, call->node->env);
    trib_document_write(&text, document);
    json_decref(document);
    struct trib_reply reply = {
        .status = text.is_failed ? 503 : status,
        .content_type = "application/json",
        .fields = {{"Cache-Control", "no-store"}},
        .body = TRIB_REPLY_BYTES,
        .bytes = text.bytes,
        .body_bytes = text.is_failed ? 0 : text.byte_count,
    };
    char retry_after[RETRY_AFTER_BYTES];
    add_error_fields(call, &reply, retry_after);
    send_reply(call, &reply);
    trib_text_deinit(&text);
}

void trib_call_refuse(struct trib_call *call, const char *code, const char *format, ...) {
    char message[TRIB_ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    trib_call_refuse_document(call, code, message, trib_error_document(code, message, NULL));
}

void trib_call_refuse_document(struct trib_call *call, const char *code, const char *message,
                               json_t *document) {
    trib_refusals_add(&call->node->refusals, code);
    if (call->hosted != NULL) {
        trib_refusals_add(&call->hosted->refusals, code);
    }
    /* Whoever tries tokens shall not fill the disk with our lines about it. */
    bool is_noise = call->retry_after_s > 0;
    trib_log(call->node->env, is_noise ? TRIB_LOG_DEBUG : TRIB_LOG_INFO,
             "refused code=%s run=%s client=%s update=%s peer=%s reason=\"%s\"", code,
             call->target.run, call->token.subject, call->target.id,
             trib_exchange_peer(call->exchange), message);
    trib_call_reply(call, trib_code_http_status(code), document);
}

void trib_call_refuse_error(struct trib_call *call, const struct trib_error *error) {
    trib_call_refuse(call, trib_status_code(error->status), "%s", error->text);
}

void trib_call_refuse_input(struct trib_call *call, const char *code,
                            const struct trib_error *error) {
    trib_call_refuse(call, error->status == TRIB_EMEMORY ? "busy" : code, "%s", error->text);
}

void trib_call_resume(struct trib_call *call) {
    if (call != NULL) {
        trib_exchange_resume(call->exchange);
    }
}

/* --- the head ----------------------------------------------------------------------------------- */

static bool has_good_body(struct trib_call *call, const struct trib_http_request *request) {
    const struct trib_route_rule *rule = call->target.rule;
    bool takes_body = rule->body != TRIB_BODY_NONE;
    bool is_write = request->method != TRIB_HTTP_GET && request->method != TRIB_HTTP_HEAD;
    bool has_body = request->is_chunked || request->content_length > 0;
    if (is_write && rule->body == TRIB_BODY_TENSORS && !request->has_length &&
        !request->is_chunked) {
        trib_call_refuse(call, "length", "Content-Length or Transfer-Encoding: chunked is needed");
        return false;
    }
    /* Who does not know of parts must not take one for the whole (RFC 9110 section 14.5). */
    if (rule->route != TRIB_ROUTE_UPDATE_PUT &&
        trib_http_request_field(request, "content-range") != NULL) {
        trib_call_refuse(call, "header", "Content-Range: only updates can come in parts");
        return false;
    }
    if (is_write && takes_body && (has_body || rule->body != TRIB_BODY_JSON_OPTIONAL) &&
        !trib_body_accepts(rule->body, trib_http_request_field(request, "content-type"))) {
        trib_call_refuse(call, "content_type", "Content-Type must be %s",
                         trib_body_content_type(rule->body));
        return false;
    }
    return true;
}

/* --- the server's handlers -------------------------------------------------------------------- */

static struct trib_call *new_call(struct trib_node *node, struct trib_exchange *exchange) {
    struct trib_call *call = trib_allocate(node->env, 1, sizeof *call);
    if (call == NULL) {
        return NULL;
    }
    call->node = node;
    call->exchange = exchange;
    call->next = node->calls;
    if (call->next != NULL) {
        call->next->previous = call;
    }
    node->calls = call;
    trib_exchange_set_context(exchange, call);
    return call;
}

static const char *target_error_code(enum trib_status status) {
    switch (status) {
    case TRIB_ENOTFOUND:
        return "not_found";
    case TRIB_EUNSUPPORTED:
        return "method";
    case TRIB_EINVALID:
        return "name";
    case TRIB_ELIMIT:
        return "header_too_large";
    default:
        return "malformed";
    }
}

static void on_head(void *context, struct trib_exchange *exchange,
                    const struct trib_http_request *request) {
    struct trib_node *node = context;
    struct trib_call *call = new_call(node, exchange);
    if (call == NULL) {
        trib_exchange_reply(exchange, &(struct trib_reply){.status = 503, .is_closing = true});
        return;
    }
    struct trib_error error = {0};
    trib_access_read(call, request);
    enum trib_status status =
        trib_target_decode(request->method, request->path, request->query, &call->target, &error);
    if (status != TRIB_OK) {
        trib_call_refuse(call, target_error_code(status), "%s", error.text);
        return;
    }
    if (call->target.run[0] != '\0') {
        call->hosted = trib_node_find(node, call->target.run);
    }
    if (!trib_access_is_granted(call, request) || !has_good_body(call, request)) {
        return;
    }
    if (call->target.run[0] != '\0' && trib_node_is_closing(node, call->target.run)) {
        trib_call_refuse(call, "closing", "run %s is being closed, or opened again",
                         call->target.run);
        return;
    }
    const struct trib_resting *resting = trib_node_find_resting(node, call->target.run);
    if (resting != NULL) {
        trib_call_refuse(call, "busy", "run %s rests after a failure: %s", call->target.run,
                         resting->reason);
        return;
    }
    if (call->target.run[0] != '\0' && call->hosted == NULL) {
        trib_call_refuse(call, "not_found", "no run of the name %s", call->target.run);
        return;
    }
    const struct trib_answer *answer = &trib_answers[call->target.rule->route];
    if (answer->head != NULL) {
        call->request = request;
        answer->head(call, request);
        call->request = NULL;
        return;
    }
    const struct trib_route_rule *rule = call->target.rule;
    trib_exchange_receive(exchange, rule->body == TRIB_BODY_TENSORS
                                        ? node->config.model_bytes_max - node->model_bytes
                                    : rule->body_bytes_max > 0 ? rule->body_bytes_max
                                                               : TRIB_JSON_BODY_BYTES_MAX);
}

#define BODY_ROOM_FIRST ((size_t)4096)

/* Room for a body in memory grows as bytes arrive, and is charged to the budget that
 * its kind of body has: announcing much costs us nothing. */
static bool has_room(struct trib_call *call) {
    struct trib_node *node = call->node;
    if (call->body_bytes < call->body_room) {
        return true;
    }
    size_t room = call->body_room == 0 ? BODY_ROOM_FIRST : 2 * call->body_room;
    bool is_model = call->target.rule->body == TRIB_BODY_TENSORS;
    uint64_t *used = is_model ? &node->model_bytes : &node->body_bytes;
    uint64_t most = is_model ? node->config.model_bytes_max : node->config.body_bytes_max;
    if (*used + (room - call->body_room) > most) {
        return false;
    }
    unsigned char *body = trib_regrow(node->env, call->body, call->body_room, room, 1);
    if (body == NULL) {
        return false;
    }
    *used += room - call->body_room;
    call->budget = used;
    call->body = body;
    call->body_room = room;
    return true;
}

void trib_call_release_body(struct trib_node *node, unsigned char *body, size_t room,
                            uint64_t *budget) {
    if (body != NULL) {
        trib_release(node->env, body, room, 1);
        *budget -= room;
    }
}

static void *on_lend(void *context, struct trib_exchange *exchange, size_t *room) {
    (void)context; /* the call knows its node */
    struct trib_call *call = trib_exchange_context(exchange);
    if (call->upload != NULL) {
        return trib_upload_lend(call->upload, room);
    }
    if (call->target.rule->body == TRIB_BODY_OCTETS) {
        *room = sizeof call->node->drain;
        return call->node->drain;
    }
    if (!has_room(call)) {
        trib_call_refuse(call, "busy", "too many bodies are being received; try again");
        return NULL;
    }
    *room = call->body_room - call->body_bytes;
    return call->body + call->body_bytes;
}

static void on_filled(void *context, struct trib_exchange *exchange, size_t count) {
    struct trib_node *node = context;
    struct trib_call *call = trib_exchange_context(exchange);
    if (call->upload == NULL) {
        call->body_bytes += count;
        return;
    }
    node->update_bytes_received += count;
    trib_upload_filled(call->upload, count);
    bool is_client = call->token.scope == TRIB_TOKEN_CLIENT;
    if (is_client && trib_node_now(node) - call->alive_at >= TRIB_SECOND) {
        call->alive_at = trib_node_now(node);
        struct trib_event alive = {.kind = TRIB_EVENT_ALIVE, .client = call->token.subject};
        trib_hosted_feed(call->hosted, &alive);
    }
}

static void on_complete(void *context, struct trib_exchange *exchange) {
    (void)context; /* the call knows its node */
    struct trib_call *call = trib_exchange_context(exchange);
    if (trib_access_was_revoked(call)) {
        trib_call_refuse(call, "revoked", "the token has been revoked");
    } else if (call->upload != NULL) {
        trib_upload_complete(call->upload);
    } else {
        trib_answers[call->target.rule->route].body(call);
    }
}

/* The exchange has ended; whatever the heart still owes it is withdrawn. */
static void end_call(struct trib_call *call) {
    struct trib_node *node = call->node;
    if (call->waits && call->hosted != NULL) {
        call->waits = false;
        struct trib_event leave = {.kind = TRIB_EVENT_LEAVE,
                                   .request = (trib_request)(uintptr_t)call};
        trib_hosted_feed(call->hosted, &leave);
    }
    if (call->hosted != NULL) {
        trib_watchers_remove(&call->hosted->watchers, call->exchange);
        trib_combining_forget_call(call);
    }
    if (call->import != NULL) {
        trib_import_forget_call(call->import);
    }
    if (call->record != NULL) {
        trib_record_forget_call(call->record);
    }
    trib_upload_free(call->upload);
    if (call->file != NULL) {
        node->directory.files->close(node->directory.files->context, call->file);
    }
    trib_call_release_body(node, call->body, call->body_room, call->budget);
    trib_release(node->env, call->join, 1, sizeof *call->join);
    trib_release(node->env, call->evaluation, 1, sizeof *call->evaluation);
    trib_spec_free(call->revised);
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else {
        node->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->previous = call->previous;
    }
    trib_release(node->env, call, 1, sizeof *call);
}

static void on_done(void *context, struct trib_exchange *exchange) {
    (void)context; /* the call knows its node */
    struct trib_call *call = trib_exchange_context(exchange);
    if (call != NULL) {
        end_call(call);
    }
}

static void on_gone(void *context, struct trib_exchange *exchange, enum trib_status why) {
    (void)why; /* the server has answered what could be answered */
    on_done(context, exchange);
}

const struct trib_server_handlers trib_call_handlers = {
    .head = on_head,
    .lend = on_lend,
    .filled = on_filled,
    .complete = on_complete,
    .done = on_done,
    .gone = on_gone,
};
