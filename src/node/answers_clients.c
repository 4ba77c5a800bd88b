/* answers_clients.c - join, probe, task, decline, renew, evaluation: small documents; who has
 * joined. */
#include "node/daemon.h"
#include "node/report.h"

#include <math.h>
#include <string.h>

void trib_answer_join(struct trib_call *call) {
    struct trib_error error = {0};
    call->join = trib_allocate(call->node->env, 1, sizeof *call->join);
    if (call->join == NULL) {
        trib_call_refuse(call, "busy", "out of memory; try again");
        return;
    }
    if (trib_join_decode((const char *)call->body, call->body_bytes, call->join, &error) !=
        TRIB_OK) {
        trib_call_refuse_input(call, "malformed", &error);
        return;
    }
    struct trib_event join = trib_call_event(call, TRIB_EVENT_JOIN);
    join.client = call->target.client;
    join.role = call->join->is_evaluator ? TRIB_CLIENT_EVALUATOR : TRIB_CLIENT_TRAINER;
    join.attributes = call->join->attributes;
    join.attribute_count = call->join->attribute_count;
    trib_hosted_feed(call->hosted, &join);
}

void trib_answer_client_list(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    json_t *clients = trib_report_clients(call->hosted, call->target.after);
    if (clients == NULL) {
        trib_call_refuse(call, "io", "the list of clients cannot be read");
    } else {
        trib_call_reply(call, 200, clients);
    }
}

/* The bytes are gone already; how many came is all that there is to say. */
void trib_answer_probe(struct trib_call *call) {
    trib_call_reply(call, 200, json_pack("{s:I}", "bytes", (json_int_t)call->body_bytes));
}

void trib_answer_task(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    struct trib_event ask = trib_call_event(call, TRIB_EVENT_ASK);
    ask.wait_until = trib_node_now(call->node) + call->target.wait_s * TRIB_SECOND;
    trib_hosted_feed(call->hosted, &ask);
}

void trib_answer_decline(struct trib_call *call) {
    struct trib_error error = {0};
    struct trib_decline decline;
    if (trib_decline_decode((const char *)call->body, call->body_bytes, &decline, &error) !=
        TRIB_OK) {
        trib_call_refuse_input(call, "malformed", &error);
        return;
    }
    trib_log(call->node->env, TRIB_LOG_INFO, "declined run=%s client=%s task=%s reason=\"%s\"",
             call->target.run, call->token.subject, decline.task, decline.reason);
    struct trib_event event = trib_call_event(call, TRIB_EVENT_DECLINE);
    event.id = decline.task;
    trib_hosted_feed(call->hosted, &event);
}

void trib_answer_renew(struct trib_call *call) {
    struct trib_error error = {0};
    struct trib_renewal renewal;
    if (trib_renewal_decode((const char *)call->body, call->body_bytes, &renewal, &error) !=
        TRIB_OK) {
        trib_call_refuse(call, "malformed", "%s", error.text);
        return;
    }
    if (renewal.done >= 0) {
        trib_watchers_tell(&call->hosted->watchers, call->node->env, trib_node_now(call->node),
                           "client",
                           json_pack("{s:s, s:s, s:s, s:f}", "client", call->token.subject, "what",
                                     "training", "task", renewal.task, "done", renewal.done));
    }
    struct trib_event event = trib_call_event(call, TRIB_EVENT_RENEW);
    trib_hosted_feed(call->hosted, &event);
}

void trib_answer_evaluation(struct trib_call *call) {
    struct trib_error error = {0};
    call->evaluation = trib_allocate(call->node->env, 1, sizeof *call->evaluation);
    if (call->evaluation == NULL) {
        trib_call_refuse(call, "busy", "out of memory; try again");
        return;
    }
    if (trib_evaluation_decode((const char *)call->body, call->body_bytes, call->evaluation,
                               &error) != TRIB_OK) {
        trib_call_refuse_input(call, "malformed", &error);
        return;
    }
    const char *metric = call->hosted->spec->evaluate.metric;
    const double *value = trib_metrics_find(&call->evaluation->metrics, metric);
    struct trib_event event = trib_call_event(call, TRIB_EVENT_EVALUATION);
    event.version = call->evaluation->version;
    event.examples = call->evaluation->examples;
    event.has_metric = value != NULL;
    event.metric = value == NULL ? NAN : *value;
    if (trib_index_has_evaluation(call->hosted->index, event.version, call->token.subject) ==
        TRIB_OK) {
        event.settled.fate = TRIB_FATE_COUNTED;
    }
    trib_hosted_feed(call->hosted, &event);
}
