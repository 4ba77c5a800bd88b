/* answers_runs.c - runs: create, list, look at, control, delete. */
#include <string.h>

#include "node/daemon.h"
#include "node/import.h"
#include "node/record.h"
#include "node/report.h"
#include "wire/link.h"

void trib_call_reply_run(struct trib_call *call, int status, struct trib_hosted *hosted) {
    json_t *document = json_pack("{s:s, s:o}", "run", hosted->spec->name, "spec",
                                 trib_spec_document(hosted->spec));
    struct trib_token token = {.scope = TRIB_TOKEN_JOIN};
    memcpy(token.run, hosted->spec->name, sizeof token.run);
    if (!trib_revoked_has(&hosted->revoked, &token)) {
        char link[TRIB_LINK_TEXT_BYTES];
        trib_node_link(call->node, &token, link);
        (void)json_object_set_new(document, "join", json_string(link));
    }
    if (hosted->has_model) {
        (void)json_object_set_new(document, "resolution",
                                  json_real(trib_model_resolution(&hosted->model)));
        (void)json_object_set_new(document, "scale", json_real(trib_model_scale(&hosted->model)));
    }
    trib_call_reply(call, status, document);
}

/* The same spec again is the same run; another one under its name is a conflict. */
/* TRIB_ECONFLICT: the run has another spec; TRIB_EMEMORY. */
static enum trib_status compare_spec(const struct trib_hosted *hosted,
                                     const struct trib_spec *spec) {
    json_t *there = trib_spec_document(hosted->spec);
    json_t *wanted = trib_spec_document(spec);
    bool has_both = there != NULL && wanted != NULL;
    bool is_same = has_both && json_equal(there, wanted) == 1;
    json_decref(there);
    json_decref(wanted);
    return is_same ? TRIB_OK : has_both ? TRIB_ECONFLICT : TRIB_EMEMORY;
}

static void reply_existing(struct trib_call *call, struct trib_hosted *hosted,
                           const struct trib_spec *spec) {
    enum trib_status status = compare_spec(hosted, spec);
    if (status == TRIB_OK) {
        trib_call_reply_run(call, 200, hosted);
    } else if (status == TRIB_ECONFLICT) {
        trib_call_refuse(call, "conflict", "run %s exists with another spec", spec->name);
    } else {
        trib_call_refuse(call, "busy", "out of memory; try again");
    }
}

/* Can the daemon give this run the model that its spec asks for? */
static bool can_start(struct trib_call *call, const struct trib_spec *spec,
                      struct trib_hosted **source) {
    *source = NULL;
    if (spec->model.init == TRIB_INIT_TRAINER && call->node->config.create_model == NULL) {
        trib_call_refuse(call, "spec", "model.init: this daemon has no native trainers");
        return false;
    }
    if (spec->model.init == TRIB_INIT_RUN) {
        *source = trib_node_find(call->node, spec->model.source_run);
        if (*source == NULL) {
            trib_call_refuse(call, "spec", "model.init.run: no run of the name %s",
                             spec->model.source_run);
            return false;
        }
    }
    return true;
}

static void create(struct trib_call *call, const struct trib_spec *spec) {
    struct trib_error error = {0};
    struct trib_hosted *source;
    if (!can_start(call, spec, &source)) {
        return;
    }
    if (trib_node_create_run(call->node, spec, &error) != TRIB_OK) {
        trib_call_refuse_error(call, &error);
        return;
    }
    struct trib_hosted *hosted = trib_node_find(call->node, spec->name);
    if (compare_spec(hosted, spec) != TRIB_OK) {
        reply_existing(call, hosted, spec); /* left by an attempt with another spec */
        return;
    }
    call->hosted = hosted;
    if (trib_spec_makes_model(spec)) {
        trib_import_by_spec(hosted, call, source);
    } else {
        trib_call_reply_run(call, 201, hosted);
    }
}

void trib_answer_run_create(struct trib_call *call) {
    struct trib_error error = {0};
    json_t *document = NULL;
    struct trib_spec *spec = NULL;
    if (trib_document_read((const char *)call->body, call->body_bytes, &document, &error) !=
        TRIB_OK) {
        trib_call_refuse_input(call, "malformed", &error);
        return;
    }
    enum trib_status status = trib_spec_parse(call->node->env, document, &spec, &error);
    json_decref(document);
    if (status != TRIB_OK) {
        trib_call_refuse_input(call, "spec", &error);
        return;
    }
    struct trib_hosted *existing = trib_node_find(call->node, spec->name);
    if (existing != NULL) {
        reply_existing(call, existing, spec);
    } else {
        create(call, spec);
    }
    trib_spec_free(spec);
}

void trib_answer_run_list(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    json_t *runs = json_array();
    for (size_t i = 0; i < call->node->hosted_count; i++) {
        (void)json_array_append_new(runs, trib_report_summary(call->node->hosted[i]));
    }
    trib_call_reply(call, 200, json_pack("{s:o}", "runs", runs));
}

void trib_answer_run_status(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    trib_call_reply(call, 200, trib_report_status(call->hosted));
}

void trib_answer_run_spec(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    trib_call_reply(call, 200, trib_spec_document(call->hosted->spec));
}

void trib_answer_run_control(struct trib_call *call) {
    static const struct {
        enum trib_route route;
        enum trib_control control;
    } controls[] = {
        {TRIB_ROUTE_RUN_PAUSE, TRIB_CONTROL_PAUSE},
        {TRIB_ROUTE_RUN_RESUME, TRIB_CONTROL_RESUME},
        {TRIB_ROUTE_RUN_STOP, TRIB_CONTROL_STOP},
    };
    struct trib_event event = trib_call_event(call, TRIB_EVENT_CONTROL);
    for (size_t i = 0; i < sizeof controls / sizeof *controls; i++) {
        if (controls[i].route == call->target.rule->route) {
            event.control = controls[i].control;
        }
    }
    trib_hosted_feed(call->hosted, &event);
}

/* Does the model go with the spec: its sums, and what its optimizer remembers? */
static bool fits_model(struct trib_call *call, const struct trib_spec *spec) {
    struct trib_error error = {0};
    enum trib_status status = trib_model_check(&call->hosted->model, spec, &error);
    if (status != TRIB_OK) {
        trib_call_refuse(call, "spec", "%s", error.text);
    }
    return status == TRIB_OK;
}

void trib_answer_run_change(struct trib_call *call) {
    struct trib_error error = {0};
    json_t *patch = NULL;
    if (trib_document_read((const char *)call->body, call->body_bytes, &patch, &error) != TRIB_OK) {
        trib_call_refuse(call, "malformed", "%s", error.text);
        return;
    }
    struct trib_hosted *hosted = call->hosted;
    const struct trib_spec *newest = hosted->revised != NULL ? hosted->revised : hosted->spec;
    enum trib_status status = trib_spec_change(newest, patch, &call->revised, &error);
    json_decref(patch);
    if (status != TRIB_OK) {
        trib_call_refuse(call, "spec", "%s", error.text);
    } else if (!hosted->has_model) {
        trib_call_refuse(call, "conflict", "run %s has no model yet", call->target.run);
    } else if (fits_model(call, call->revised)) {
        struct trib_event event = trib_call_event(call, TRIB_EVENT_REVISE);
        trib_hosted_feed(hosted, &event);
    }
}

void trib_answer_run_delete(struct trib_call *call) {
    struct trib_hosted *hosted = call->hosted;
    char who[TRIB_TOKEN_WHO_BYTES];
    /* The one thing asked for that no ledger can keep. */
    trib_log(call->node->env, TRIB_LOG_INFO, "delete run=%s by=\"%s\"", hosted->spec->name,
             trib_token_who(&call->token, who));
    call->hosted = NULL;
    trib_call_reply_empty(call, 204);
    trib_node_delete_run(call->node, hosted);
}

void trib_answer_history(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    trib_call_reply(call, 200, trib_report_history(call->hosted));
}

void trib_answer_events(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    if (trib_watchers_add(&call->hosted->watchers, call->exchange, trib_node_now(call->node))) {
        call->is_answered = true;
    } else {
        trib_call_refuse(call, "busy", "%d listen to this run already", TRIB_WATCHERS_MAX);
    }
}

void trib_answer_ledger(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    trib_record_read(call->hosted, call);
}

void trib_answer_ledger_head(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    trib_record_read_head(call->hosted, call);
}
