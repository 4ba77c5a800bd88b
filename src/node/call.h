/* call.h - one request being answered: who asks, what for, and the body as it comes.
 *
 * A call lives from the server's head() to its done() or gone(). Its address is the trib_request by which
 * the heart knows it; `waits` says that the heart owes it an answer. */
#ifndef TRIB_NODE_CALL_H
#define TRIB_NODE_CALL_H

#include "net/server.h"
#include "node/access.h"
#include "node/token.h"
#include "run/run.h"
#include "store/checkpoint.h"
#include "wire/documents.h"
#include "wire/range.h"
#include "wire/routes.h"

struct trib_node;
struct trib_hosted;
struct trib_import;
struct trib_record;
struct trib_upload;

struct trib_call {
    struct trib_node *node;
    struct trib_exchange *exchange;
    struct trib_hosted *hosted; /* the run of the target; NULL for none */
    struct trib_target target;
    struct trib_token token;
    enum trib_token_fault fault; /* then the token is not to be honoured */
    bool is_local;               /* from this machine, as far as one can tell */
    uint32_t retry_after_s;      /* for 429 and 503; 0: a second */
    bool waits;                  /* in the heart: an effect will answer, or LEAVE withdraws */
    bool is_answered;
    const struct trib_http_request *request; /* only while the head is being answered */
    const struct trib_update_head *head;     /* the same, of an update */
    bool has_length;                         /* of an update: its head has announced it */
    struct trib_content_range part; /* of an update that comes in parts; total 0: it comes whole */
    bool wants_receipt;             /* the same: whoever sends it asks for one */
    trib_time_ns alive_at;          /* when the heart was last told that its upload moves */
    struct trib_upload *upload;     /* body of an update, until the heart has admitted it */
    const struct trib_upload *admitted; /* the same, once admitted, until the call is answered */
    unsigned char *body;                /* other bodies: body_bytes of body_room received */
    size_t body_bytes, body_room;
    uint64_t *budget;           /* that body_room is charged to */
    struct trib_import *import; /* of version 0, that this call waits for */
    struct trib_record *record; /* that this call waits for (reading the ledger) */
    struct trib_join *join;     /* decoded bodies, for the effect that answers */
    struct trib_evaluation *evaluation;
    struct trib_spec *revised; /* of a change: the spec that it makes */
    struct trib_file *file;    /* that a reply is sent from */
    trib_time_ns offer_until;  /* it waits so long for an offer (combining.h); 0: it does not */
    struct trib_call *next, *previous;
};

/* --- answering (call.c) --- */

/* Answer with a JSON document; takes the reference (NULL: 500). */
void trib_call_reply(struct trib_call *call, int status, json_t *document);
/* Answer with an error document; code decides the status (docs/protocol.md). */
void trib_call_refuse(struct trib_call *call, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with a document that says more; takes it. */
void trib_call_refuse_document(struct trib_call *call, const char *code, const char *message,
                               json_t *document);
void trib_call_refuse_error(struct trib_call *call, const struct trib_error *error);
/* What came in is not good ("malformed", "spec"), unless it was memory that ran out on reading it. */
void trib_call_refuse_input(struct trib_call *call, const char *code,
                            const struct trib_error *error);
void trib_call_reply_text(struct trib_call *call, const char *content_type, struct trib_text *text);
/* The console's page: nothing from elsewhere may run in it or frame it. */
void trib_call_reply_page(struct trib_call *call, struct trib_text *text);
void trib_call_reply_empty(struct trib_call *call, int status);
/* Answer with (a part of) call->file. */
void trib_call_reply_file(struct trib_call *call, const struct trib_reply *reply);
/* The document of a run that was created or was there (answers_runs.c). */
void trib_call_reply_run(struct trib_call *call, int status, struct trib_hosted *hosted);
/* The reading of the call's body may go on. NULL allowed. */
void trib_call_resume(struct trib_call *call);
/* Give a body back that was received into memory, and its charge. NULL allowed. */
void trib_call_release_body(struct trib_node *node, unsigned char *body, size_t room,
                            uint64_t *budget);
/* An event that asks for this call; trib_hosted_feed() it and an effect will answer. */
struct trib_event trib_call_event(struct trib_call *call, enum trib_event_kind kind);

/* The server's handlers for a node (context: struct trib_node *). */
extern const struct trib_server_handlers trib_call_handlers;

/* --- what each route does (answers_*.c): a row per route --- */

struct trib_answer {
    /* The head is known and access was granted. Answers, or starts to take the body. NULL: take
     * the body into memory, then `body`. */
    void (*head)(struct trib_call *call, const struct trib_http_request *request);
    /* The body is in call->body. */
    void (*body)(struct trib_call *call);
};
extern const struct trib_answer trib_answers[TRIB_ROUTE_COUNT];

void trib_answer_run_create(struct trib_call *call);
void trib_answer_run_list(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_run_status(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_run_spec(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_run_control(struct trib_call *call);
void trib_answer_run_change(struct trib_call *call);
void trib_answer_run_delete(struct trib_call *call);
void trib_answer_model_begin(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_model_put(struct trib_call *call);
void trib_answer_model_get(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_token_create(struct trib_call *call);
void trib_answer_token_revoke(struct trib_call *call);
void trib_answer_client_revoke(struct trib_call *call);
void trib_answer_join(struct trib_call *call);
void trib_answer_probe(struct trib_call *call);
void trib_answer_task(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_decline(struct trib_call *call);
void trib_answer_renew(struct trib_call *call);
void trib_answer_update_put(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_update_get(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_evaluation(struct trib_call *call);
void trib_answer_offer(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_offer_update(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_combined_put(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_events(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_ledger(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_ledger_head(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_client_list(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_history(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_metrics(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_health(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_ready(struct trib_call *call, const struct trib_http_request *request);
void trib_answer_console(struct trib_call *call, const struct trib_http_request *request);

/* --- updates (answers_updates.c) --- */

/* The body is complete; upload->status says whether it could be stored. */
void trib_call_upload_complete(struct trib_call *call, struct trib_upload *upload);

/* --- combining (answers_merge.c) --- */

/* The same for what an external combiner sends; with upload->is_compare its digest is there. */
void trib_call_combined_complete(struct trib_call *call, struct trib_upload *upload);
/* Answer with the open offer. */
void trib_call_reply_offer(struct trib_call *call);
/* Answer whoever sent the combined delta of this version, which is published. */
void trib_call_reply_combined(struct trib_call *call, trib_version version);

#endif
