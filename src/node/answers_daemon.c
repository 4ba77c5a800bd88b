/* answers_daemon.c - health, metrics, and the plain page that says what each run is waiting for. */
#include <stdio.h>
#include <string.h>

#include "node/daemon.h"
#include "node/report.h"

void trib_answer_health(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    trib_call_reply(call, 200, json_pack("{s:s}", "status", "ok"));
}

/* Runs are restored before the first connection is taken, so a daemon that answers is ready
 * until it begins to close. */
void trib_answer_ready(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    if (call->node->is_stopping) {
        trib_call_refuse(call, "closing", "the daemon is closing");
    } else {
        trib_call_reply(call, 200, json_pack("{s:s}", "status", "ready"));
    }
}

void trib_answer_metrics(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* the target says it all */
    struct trib_text text;
    trib_text_init(&text, call->node->env);
    trib_report_metrics(call->node, &text);
    trib_call_reply_text(call, "text/plain; version=0.0.4", &text);
    trib_text_deinit(&text);
}

/* --- the page ------------------------------------------------------------------------------------- */

static const char page_head[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta http-equiv=\"refresh\" content=\"2\"><title>Tributary</title><style>"
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;"
    "color:#1b2a33}h1{font-size:1.3rem}h2{font-size:1.1rem;margin:1.6rem 0 .2rem}"
    "table{border-collapse:collapse}td,th{padding:.15rem .9rem .15rem 0;text-align:left;"
    "font-variant-numeric:tabular-nums}th{font-weight:600;border-bottom:1px solid #cdd}"
    ".wait{font-size:1.05rem}.quiet{color:#667}</style></head><body><h1>Tributary</h1>\n";

static void add_row(struct trib_text *text, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add_row(struct trib_text *text, const char *name, const char *format, ...) {
    char value[200];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    trib_text_format(text, "<tr><td class=\"quiet\">%s</td><td>", name);
    trib_text_add_html(text, value);
    trib_text_format(text, "</td></tr>\n");
}

#define HISTORY_ROWS 12

static void add_history(struct trib_text *text, struct trib_hosted *hosted) {
    json_t *history = trib_report_history(hosted);
    const json_t *versions = json_object_get(history, "versions");
    size_t count = json_array_size(versions);
    const char *metric = hosted->spec->evaluate.metric;
    trib_text_format(text, "<table><tr><th>version</th><th>updates</th><th>seconds</th><th>");
    trib_text_add_html(text, metric);
    trib_text_format(text, "</th></tr>\n");
    for (size_t i = 0; i < HISTORY_ROWS && i < count; i++) {
        const json_t *row = json_array_get(versions, count - 1 - i);
        const json_t *value = json_object_get(json_object_get(row, "evaluation"), metric);
        trib_text_format(text, "<tr><td>%lld</td><td>%lld</td><td>%.2f</td><td>",
                         (long long)json_integer_value(json_object_get(row, "version")),
                         (long long)json_integer_value(json_object_get(row, "updates")),
                         json_number_value(json_object_get(row, "seconds")));
        if (value != NULL) {
            trib_text_format(text, "%.4f", json_number_value(value));
        }
        trib_text_format(text, "</td></tr>\n");
    }
    trib_text_format(text, "</table>\n");
    json_decref(history);
}

static void add_run(struct trib_text *text, struct trib_hosted *hosted) {
    struct trib_run_status status;
    trib_run_status(hosted->run, trib_node_now(hosted->node), &status);
    trib_text_format(text, "<h2>%s</h2><p class=\"wait\">Waiting for: ", hosted->spec->name);
    trib_text_add_html(text, status.waiting_for);
    trib_text_format(text, "</p>\n<table>\n");
    add_row(text, "state", "%s", trib_run_state_name(status.state));
    add_row(text, "strategy", "%s", hosted->spec->strategy.preset);
    add_row(text, "version", "%llu", (unsigned long long)status.version);
    add_row(text, "clients", "%u joined, %u present, %u training, %u set aside", status.joined,
            status.present, status.training, status.set_aside);
    add_row(text, "updates", "%llu counted, %llu pending, %llu dropped",
            (unsigned long long)status.counted, (unsigned long long)status.pending,
            (unsigned long long)status.dropped);
    if (status.has_best) {
        add_row(text, "best", "version %llu, %s %.4f", (unsigned long long)status.best,
                hosted->spec->evaluate.metric, status.best_metric);
    }
    trib_text_format(text, "</table>\n");
    add_history(text, hosted);
}

void trib_answer_console(struct trib_call *call, const struct trib_http_request *request) {
    (void)request; /* one page */
    if (call->target.asset[0] != '\0') {
        trib_call_refuse(call, "not_found", "no page %s", call->target.asset);
        return;
    }
    struct trib_text text;
    trib_text_init(&text, call->node->env);
    trib_text_add(&text, page_head, sizeof page_head - 1);
    if (call->node->hosted_count == 0) {
        trib_text_format(&text, "<p>No runs yet: <code>trib run create spec.yaml</code></p>");
    }
    for (size_t i = 0; i < call->node->hosted_count; i++) {
        add_run(&text, call->node->hosted[i]);
    }
    trib_text_format(&text, "</body></html>\n");
    trib_call_reply_page(call, &text);
    trib_text_deinit(&text);
}
