/* report.c - what a run looks like from outside: status, history, metrics. */
#include "node/report.h"

#include "node/daemon.h"

#include <math.h>
#include <string.h>

#define UPDATE_HEAD_ROOM (UINT64_C(1) << 20) /* of a body, for its safetensors head */

static json_t *whole(uint64_t value) {
    return json_integer((json_int_t)value);
}

static json_t *hex_of(const struct trib_digest *digest) {
    char hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(digest, hex);
    return json_string(hex);
}

static json_t *json_of(const char *text) {
    json_t *value = text[0] == '\0' ? NULL : json_loads(text, 0, NULL);
    return value == NULL ? json_object() : value;
}

uint64_t trib_report_update_bytes_max(const struct trib_hosted *hosted) {
    if (hosted->spec->update_bytes_max > 0) {
        return hosted->spec->update_bytes_max;
    }
    return 2 * hosted->model.layout->data_bytes + UPDATE_HEAD_ROOM;
}

/* --- rows of the index --------------------------------------------------------------------------- */

struct version_row {
    bool is_found;
    struct trib_index_version row;
    json_t *train, *evaluation;
};

static enum trib_status take_version(void *context, const struct trib_index_version *row) {
    struct version_row *found = context;
    found->is_found = true;
    found->row = *row;
    found->train = json_of(row->train);
    found->evaluation = json_of(row->evaluation);
    return TRIB_OK;
}

static bool find_version(struct trib_hosted *hosted, trib_version version,
                         struct version_row *found) {
    memset(found, 0, sizeof *found);
    return trib_index_versions(hosted->index, version, version, found, take_version) == TRIB_OK &&
           found->is_found;
}

static void free_row(struct version_row *found) {
    json_decref(found->train);
    json_decref(found->evaluation);
}

bool trib_report_digest(struct trib_hosted *hosted, trib_version version,
                        struct trib_digest *digest) {
    struct version_row found;
    bool is_found = find_version(hosted, version, &found);
    *digest = found.row.digest;
    free_row(&found);
    return is_found;
}

struct client_row {
    const json_t *join;
    bool is_same;
};

static enum trib_status compare_client(void *context, const struct trib_index_client *row) {
    struct client_row *known = context;
    const char *role = json_string_value(json_object_get(known->join, "role"));
    json_t *attributes = json_of(row->attributes);
    json_t *wanted = json_object_get(known->join, "attributes");
    bool has_none = wanted == NULL && json_object_size(attributes) == 0;
    known->is_same = role != NULL && strcmp(role, row->role) == 0 &&
                     (has_none || json_equal(wanted, attributes));
    json_decref(attributes);
    return TRIB_OK;
}

bool trib_report_knows_client(struct trib_hosted *hosted, const char *client, const json_t *join) {
    struct client_row known = {.join = join};
    return trib_index_clients(hosted->index, client, &known, compare_client) == TRIB_OK &&
           known.is_same;
}

struct client_list {
    struct trib_hosted *hosted;
    json_t *clients;
};

static enum trib_status add_client(void *context, const struct trib_index_client *row) {
    struct client_list *list = context;
    struct trib_client_view view = {0}; /* absent, where the run has not heard of it */
    if (json_array_size(list->clients) == TRIB_REPORT_CLIENTS_MAX) {
        return TRIB_ELIMIT;
    }
    (void)trib_run_client(list->hosted->run, row->client, &view);
    json_t *document =
        json_pack("{s:s, s:s, s:o, s:f, s:b, s:b, s:b, s:b}", "client", row->client, "role",
                  row->role, "attributes", json_of(row->attributes), "joined", row->joined_s,
                  "present", (int)view.is_present, "training", (int)view.is_training, "selected",
                  (int)view.is_selected, "set_aside", (int)view.is_set_aside);
    return json_array_append_new(list->clients, document) == 0 ? TRIB_OK : TRIB_EMEMORY;
}

json_t *trib_report_clients(struct trib_hosted *hosted, const char *after) {
    struct client_list list = {hosted, json_array()};
    enum trib_status status = trib_index_clients_after(hosted->index, after, &list, add_client);
    if (status != TRIB_OK && status != TRIB_ELIMIT) {
        json_decref(list.clients);
        return NULL;
    }
    return json_pack("{s:o}", "clients", list.clients);
}

static json_t *version_document(const struct trib_index_version *row, json_t *train) {
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:o, s:o}", "version", (json_int_t)row->version,
                     "updates", (json_int_t)row->updates, "weight", (json_int_t)row->weight,
                     "bytes", (json_int_t)row->bytes, "seconds", row->seconds, "train", train,
                     "digest", hex_of(&row->digest));
}

json_t *trib_report_version(struct trib_hosted *hosted, trib_version version) {
    struct version_row found;
    if (!find_version(hosted, version, &found)) {
        free_row(&found);
        return json_pack("{s:I}", "version", (json_int_t)version);
    }
    json_decref(found.evaluation);
    return version_document(&found.row, found.train);
}

static enum trib_status add_examples(void *context, const struct trib_index_evaluation *row) {
    uint64_t *examples = context;
    *examples += row->examples;
    return TRIB_OK;
}

json_t *trib_report_evaluation(struct trib_hosted *hosted, trib_version version) {
    struct version_row found;
    uint64_t examples = 0;
    (void)trib_index_evaluations(hosted->index, version, &examples, add_examples);
    (void)find_version(hosted, version, &found);
    json_decref(found.train);
    json_t *metrics = found.evaluation == NULL ? json_object() : found.evaluation;
    return json_pack("{s:I, s:I, s:o, s:b}", "version", (json_int_t)version, "examples",
                     (json_int_t)examples, "metrics", metrics, "best",
                     (int)(hosted->has_best && hosted->best == version));
}

static enum trib_status add_history(void *context, const struct trib_index_version *row) {
    json_t *document = version_document(row, json_of(row->train));
    (void)json_object_set_new(document, "evaluation", json_of(row->evaluation));
    return json_array_append_new(context, document) == 0 ? TRIB_OK : TRIB_EMEMORY;
}

json_t *trib_report_history(struct trib_hosted *hosted) {
    json_t *versions = json_array();
    enum trib_status status =
        trib_index_versions(hosted->index, 0, UINT64_MAX, versions, add_history);
    if (status != TRIB_OK) {
        json_decref(versions);
        return NULL;
    }
    return json_pack("{s:o}", "versions", versions);
}

/* --- status ---------------------------------------------------------------------------------------- */

static json_t *deadline_of(const struct trib_hosted *hosted, trib_time_ns deadline) {
    if (deadline == TRIB_TIME_NEVER) {
        return json_null();
    }
    trib_time_ns left = deadline - trib_node_now(hosted->node);
    return json_real(left > 0 ? (double)left / 1e9 : 0.0);
}

static json_t *clients_document(const struct trib_hosted *hosted,
                                const struct trib_run_status *status) {
    json_t *set_aside = json_array();
    const char *name;
    for (size_t i = 0; (name = trib_run_set_aside(hosted->run, i)) != NULL; i++) {
        (void)json_array_append_new(set_aside, json_string(name));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "joined", (json_int_t)status->joined, "present",
                     (json_int_t)status->present, "training", (json_int_t)status->training,
                     "unselected", (json_int_t)status->unselected, "set_aside", set_aside);
}

static json_t *refused_document(const struct trib_refusals *refusals) {
    json_t *refused = json_object();
    for (size_t i = 0; i < refusals->row_count; i++) {
        (void)json_object_set_new(refused, refusals->rows[i].code, whole(refusals->rows[i].count));
    }
    return refused;
}

static void add_model(struct trib_hosted *hosted, const struct trib_run_status *status,
                      json_t *document) {
    if (!hosted->has_model || !status->has_model) {
        return;
    }
    const struct trib_model *model = &hosted->model;
    (void)json_object_set_new(document, "model",
                              json_pack("{s:I, s:I, s:I, s:s, s:I, s:o}", "tensors",
                                        (json_int_t)model->layout->tensor_count, "parameters",
                                        (json_int_t)model->layout->element_count, "bytes",
                                        (json_int_t)trib_model_file_bytes(model), "held",
                                        model->window_bytes > 0 ? "by ranges" : "whole", "memory",
                                        (json_int_t)trib_model_bytes(model), "digest",
                                        hex_of(&model->digest)));
}

static void add_evaluations(struct trib_hosted *hosted, const struct trib_run_status *status,
                            json_t *document) {
    if (status->has_best) {
        (void)json_object_set_new(document, "best",
                                  json_pack("{s:I, s:s, s:f}", "version", (json_int_t)status->best,
                                            "metric", hosted->spec->evaluate.metric, "value",
                                            status->best_metric));
    }
    if (status->has_evaluated) {
        json_t *evaluated = trib_report_evaluation(hosted, status->evaluated);
        (void)json_object_set_new(document, "evaluated", evaluated);
    }
}

static json_t *stop_document(const struct trib_spec_stop *stop) {
    json_t *document = json_object();
    if (stop->versions > 0) {
        (void)json_object_set_new(document, "versions", whole(stop->versions));
    }
    if (!isnan(stop->target)) {
        (void)json_object_set_new(document, "target", json_real(stop->target));
    }
    return document;
}

json_t *trib_report_status(struct trib_hosted *hosted) {
    struct trib_run_status status;
    trib_run_status(hosted->run, trib_node_now(hosted->node), &status);
    json_t *document =
        json_pack("{s:s, s:s, s:I, s:s, s:s, s:o, s:o, s:o, s:f, s:o}", "run", hosted->spec->name,
                  "state", trib_run_state_name(status.state), "version", (json_int_t)status.version,
                  "waiting_for", status.waiting_for, "strategy", hosted->spec->strategy.preset,
                  "clients", clients_document(hosted, &status), "updates",
                  json_pack("{s:I, s:I, s:I}", "counted", (json_int_t)status.counted, "pending",
                            (json_int_t)status.pending, "dropped", (json_int_t)status.dropped),
                  "refused", refused_document(&hosted->refusals), "since", hosted->opened_at,
                  "stop", stop_document(&hosted->spec->stop));
    if (document == NULL) {
        return NULL;
    }
    if (hosted->revised != NULL) {
        (void)json_object_set_new(document, "change",
                                  json_pack("{s:I, s:s}", "version",
                                            (json_int_t)hosted->revised_from, "strategy",
                                            hosted->revised->strategy.preset));
    }
    if (status.round_open) {
        (void)json_object_set_new(
            document, "round",
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "version", (json_int_t)status.version + 1,
                      "asked", (json_int_t)status.asked, "received", (json_int_t)status.received,
                      "wanted", (json_int_t)status.wanted, "quorum", (json_int_t)status.quorum,
                      "deadline_s", deadline_of(hosted, status.deadline)));
    }
    if (status.is_offered) {
        double since = (double)(trib_node_now(hosted->node) - status.offered_at) / 1e9;
        (void)json_object_set_new(document, "offer",
                                  json_pack("{s:I, s:I, s:f}", "version",
                                            (json_int_t)status.version + 1, "updates",
                                            (json_int_t)status.received, "since_s", since));
    }
    add_model(hosted, &status, document);
    add_evaluations(hosted, &status, document);
    return document;
}

json_t *trib_report_summary(struct trib_hosted *hosted) {
    struct trib_run_status status;
    trib_run_status(hosted->run, trib_node_now(hosted->node), &status);
    return json_pack("{s:s, s:s, s:I, s:s}", "run", hosted->spec->name, "state",
                     trib_run_state_name(status.state), "version", (json_int_t)status.version,
                     "waiting_for", status.waiting_for);
}

/* --- metrics ---------------------------------------------------------------------------------------- */

static void gauge(struct trib_text *text, const char *name, const char *help, const char *type,
                  uint64_t value) {
    trib_text_format(text, "# HELP tributary_%s %s\n# TYPE tributary_%s %s\ntributary_%s %llu\n",
                     name, help, name, type, name, (unsigned long long)value);
}

static void run_metric(struct trib_text *text, const struct trib_hosted *hosted, const char *name,
                       uint64_t value) {
    trib_text_format(text, "tributary_run_%s{run=\"%s\"} %llu\n", name, hosted->spec->name,
                     (unsigned long long)value);
}

static void run_metrics(struct trib_hosted *hosted, struct trib_text *text) {
    struct trib_run_status status;
    trib_run_status(hosted->run, trib_node_now(hosted->node), &status);
    run_metric(text, hosted, "version", status.version);
    run_metric(text, hosted, "clients_joined", status.joined);
    run_metric(text, hosted, "clients_present", status.present);
    run_metric(text, hosted, "clients_training", status.training);
    run_metric(text, hosted, "clients_set_aside", status.set_aside);
    run_metric(text, hosted, "updates_counted_total", status.counted);
    run_metric(text, hosted, "updates_pending", status.pending);
    /* Nothing else drops what was acknowledged. */
    trib_text_format(text,
                     "tributary_run_updates_dropped_total{run=\"%s\",reason=\"stopped\"} %llu\n",
                     hosted->spec->name, (unsigned long long)status.dropped);
    for (size_t i = 0; i < hosted->refusals.row_count; i++) {
        const struct trib_refusals_row *row = &hosted->refusals.rows[i];
        trib_text_format(text, "tributary_run_refused_total{run=\"%s\",reason=\"%s\"} %llu\n",
                         hosted->spec->name, row->code, (unsigned long long)row->count);
    }
    if (hosted->spec->strategy.combiner == TRIB_COMBINER_EXTERNAL) {
        trib_time_ns now = trib_node_now(hosted->node);
        double waited = status.is_offered ? (double)(now - status.offered_at) / 1e9 : 0.0;
        trib_text_format(text, "tributary_run_offer_seconds{run=\"%s\"} %.3f\n", hosted->spec->name,
                         waited);
    }
    if (status.has_evaluated) {
        trib_text_format(text, "tributary_run_metric{run=\"%s\",name=\"%s\"} %.17g\n",
                         hosted->spec->name, hosted->spec->evaluate.metric,
                         status.evaluated_metric);
    }
}

static void refusal_metrics(struct trib_text *text, const char *name, const char *help,
                            const struct trib_refusals *refusals) {
    trib_text_format(text, "# HELP tributary_%s %s\n# TYPE tributary_%s counter\n", name, help,
                     name);
    for (size_t i = 0; i < refusals->row_count; i++) {
        trib_text_format(text, "tributary_%s{code=\"%s\"} %llu\n", name, refusals->rows[i].code,
                         (unsigned long long)refusals->rows[i].count);
    }
}

static void token_metrics(const struct trib_node *node, struct trib_text *text) {
    trib_text_format(text, "# HELP tributary_tokens_refused_total Tokens that came and were not "
                           "honoured, by reason.\n# TYPE tributary_tokens_refused_total counter\n");
    for (size_t i = 1; i < TRIB_TOKEN_FAULT_COUNT; i++) {
        trib_text_format(text, "tributary_tokens_refused_total{reason=\"%s\"} %llu\n",
                         trib_token_fault_names[i], (unsigned long long)node->token_faults[i]);
    }
}

static void turn_metrics(const struct trib_node *node, struct trib_text *text) {
    const struct trib_loop_turns *turns = trib_loop_turns(node->loop);
    const char *name = "tributary_loop_turn_seconds";
    uint64_t count = 0;
    trib_text_format(text,
                     "# HELP %s What the loop does between two waits, and everybody waits "
                     "for.\n# TYPE %s histogram\n",
                     name, name);
    for (size_t i = 0; i < TRIB_LOOP_BOUND_COUNT; i++) {
        count += turns->counts[i];
        trib_text_format(text, "%s_bucket{le=\"%g\"} %llu\n", name, trib_loop_bounds_s[i],
                         (unsigned long long)count);
    }
    count += turns->counts[TRIB_LOOP_BOUND_COUNT];
    trib_text_format(text, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9f\n%s_count %llu\n", name,
                     (unsigned long long)count, name, (double)turns->total / 1e9, name,
                     (unsigned long long)count);
}

void trib_report_metrics(struct trib_node *node, struct trib_text *text) {
    struct trib_server_counts counts;
    trib_server_counts(node->server, &counts);
    gauge(text, "connections", "Connections open now.", "gauge", counts.connections);
    gauge(text, "requests_total", "Requests with a good head.", "counter", counts.requests);
    refusal_metrics(text, "requests_refused_total", "Requests refused by the HTTP layer, by code.",
                    &counts.refused);
    refusal_metrics(text, "refusals_total", "Requests refused for what they ask, by code.",
                    &node->refusals);
    token_metrics(node, text);
    gauge(text, "received_bytes_total", "Bytes of request bodies.", "counter",
          counts.bytes_received);
    gauge(text, "sent_bytes_total", "Bytes of reply bodies.", "counter", counts.bytes_sent);
    gauge(text, "updates_received_total", "Updates admitted.", "counter", node->updates_received);
    gauge(text, "updates_handed_total", "Bodies of updates handed over as memory.", "counter",
          node->updates_handed);
    gauge(text, "versions_published_total", "Versions published.", "counter",
          node->versions_published);
    gauge(text, "body_bytes", "Update bodies held in memory.", "gauge", node->body_bytes);
    gauge(text, "body_bytes_max", "Their limit.", "gauge", node->config.body_bytes_max);
    gauge(text, "chunks_lent", "Chunks of 256 KiB lent to bodies on their way to a file.", "gauge",
          trib_pool_chunks_lent(node->lending.chunks));
    gauge(text, "chunks_max", "Their limit.", "gauge", trib_pool_chunks_max(node->lending.chunks));
    gauge(text, "model_bytes", "Models with their sums, held in memory.", "gauge",
          node->model_bytes);
    turn_metrics(node, text);
    for (size_t i = 0; i < node->hosted_count; i++) {
        run_metrics(node->hosted[i], text);
    }
}
