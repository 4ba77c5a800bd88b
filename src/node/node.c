/* node.c - the daemon: one data directory, one event loop, many runs. */
#include "node/node.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "node/daemon.h"
#include "wire/link.h"

#define STOP_PATIENCE (5 * TRIB_SECOND)
#define PULSE TRIB_SECOND

uint64_t trib_node_model_bytes_free(const struct trib_node *node) {
    uint64_t most = node->config.model_bytes_max;
    return node->model_bytes < most ? most - node->model_bytes : 0;
}

trib_time_ns trib_node_now(const struct trib_node *node) {
    return trib_loop_now(node->loop);
}

double trib_node_wall(const struct trib_node *node) {
    return node->env->wall(node->env->context);
}

const char *trib_node_url(const struct trib_node *node) {
    return node->url;
}

struct trib_hosted *trib_node_find(const struct trib_node *node, const char *run) {
    for (size_t i = 0; i < node->hosted_count; i++) {
        if (strcmp(node->hosted[i]->spec->name, run) == 0) {
            return node->hosted[i];
        }
    }
    return NULL;
}

void trib_node_link(const struct trib_node *node, const struct trib_token *token, char *text) {
    char token_text[TRIB_TOKEN_TEXT_BYTES], pin[TRIB_PIN_BYTES];
    struct trib_link link;
    trib_token_format(node->directory.key, token, token_text);
    (void)snprintf(text, TRIB_LINK_TEXT_BYTES, "%s/%s", node->url, token->run);
    bool has_pin = trib_link_parse(text, &link, NULL) == TRIB_OK && trib_link_is_tls(&link) &&
                   trib_server_pin(node->server, link.host, pin);
    (void)snprintf(text, TRIB_LINK_TEXT_BYTES, "%s/%s%s%s#%s", node->url, token->run,
                   has_pin ? "?pin=sha256:" : "", has_pin ? pin : "", token_text);
}

/* --- runs -------------------------------------------------------------------------------------------- */

/* Its data is still there: a deleted run until it is buried, a failed one until it comes back. */
static bool is_going_or_resting(const struct trib_node *node, const char *run) {
    bool is_there = trib_node_find_resting(node, run) != NULL;
    for (size_t i = 0; i < node->closing_count; i++) {
        is_there = is_there || strcmp(node->closing[i]->spec->name, run) == 0;
    }
    return is_there;
}

enum trib_status trib_node_create_run(struct trib_node *node, const struct trib_spec *spec,
                                      struct trib_error *error) {
    if (node->hosted_count + node->closing_count + node->resting_count >= TRIB_RUNS_MAX) {
        return trib_error_set(error, TRIB_ELIMIT, "%d runs are hosted already", TRIB_RUNS_MAX);
    }
    if (node->is_stopping || is_going_or_resting(node, spec->name)) {
        return trib_error_set(error, TRIB_EUNAVAILABLE,
                              "run %s is being closed or rests; try again", spec->name);
    }
    struct trib_text text;
    trib_text_init(&text, node->env);
    json_t *document = trib_spec_document(spec);
    trib_document_write(&text, document);
    json_decref(document);
    enum trib_status status =
        text.is_failed ? trib_error_set(error, TRIB_EMEMORY, "no memory for the spec")
                       : trib_directory_create_run(node->env, node->directory.files, spec->name,
                                                   text.bytes, text.byte_count, error);
    trib_text_deinit(&text);
    struct trib_hosted *hosted = NULL;
    if (status == TRIB_ECONFLICT) {
        /* What is in the way was left by an attempt that failed after it had made the run. */
        *error = (struct trib_error){0};
        status = node->directory.files->sync_directory(node->directory.files->context, "runs");
    }
    if (status == TRIB_OK) {
        status = trib_hosted_open(node, spec->name, &hosted, error);
    }
    if (status == TRIB_OK) {
        node->hosted[node->hosted_count++] = hosted;
        trib_hosted_start(hosted);
        trib_log(node->env, TRIB_LOG_INFO, "created run=%s strategy=%s", spec->name,
                 spec->strategy.preset);
    }
    return status;
}

static bool is_called(const struct trib_node *node, const struct trib_hosted *hosted) {
    for (const struct trib_call *call = node->calls; call != NULL; call = call->next) {
        if (call->hosted == hosted) {
            return true;
        }
    }
    return false;
}

static void remove_data(struct trib_node *node, const char *run) {
    struct trib_error error = {0};
    if (trib_directory_remove_run(node->env, node->directory.files, run, &error) != TRIB_OK) {
        trib_log(node->env, TRIB_LOG_WARN, "remove_failed run=%s reason=\"%s\"", run, error.text);
    }
}

#define REST_FIRST TRIB_SECOND
#define REST_MAX (60 * TRIB_SECOND)

static void let_rest(struct trib_node *node, const char *run, trib_time_ns pause,
                     const char *reason) {
    struct trib_resting *resting = &node->resting[node->resting_count++];
    *resting = (struct trib_resting){.pause = pause, .retry_at = trib_node_now(node) + pause};
    (void)snprintf(resting->run, sizeof resting->run, "%s", run);
    (void)snprintf(resting->reason, sizeof resting->reason, "%s", reason);
}

/* Free closed runs that nobody refers to any more: deleted ones lose their data, failed ones rest,
 * and those whose strategy changes come back at once. */
static void bury(struct trib_node *node) {
    for (size_t i = 0; i < node->closing_count;) {
        struct trib_hosted *hosted = node->closing[i];
        if (hosted->jobs > 0 || is_called(node, hosted)) {
            i++;
            continue;
        }
        node->closing[i] = node->closing[--node->closing_count];
        char name[TRIB_NAME_BYTES];
        memcpy(name, hosted->spec->name, sizeof name);
        bool is_deleted = hosted->is_deleted;
        bool is_well = hosted->is_reopening && hosted->io_status == TRIB_OK;
        trib_time_ns pause = is_well ? 0 : hosted->pause == 0 ? REST_FIRST : hosted->pause;
        const char *reason = is_well ? "its strategy changes" : trib_status_text(hosted->io_status);
        trib_hosted_free(hosted);
        if (is_deleted) {
            remove_data(node, name);
        } else {
            let_rest(node, name, pause, reason);
        }
    }
}

static void close_run(struct trib_node *node, size_t index) {
    struct trib_hosted *hosted = node->hosted[index];
    node->hosted[index] = node->hosted[--node->hosted_count];
    node->closing[node->closing_count++] = hosted;
    trib_hosted_close(hosted);
}

void trib_node_delete_run(struct trib_node *node, struct trib_hosted *hosted) {
    for (size_t i = 0; i < node->hosted_count; i++) {
        if (node->hosted[i] == hosted) {
            hosted->is_deleted = true;
            close_run(node, i);
            trib_log(node->env, TRIB_LOG_INFO, "deleted run=%s", hosted->spec->name);
            break;
        }
    }
    trib_timer_arm(node->pulse, trib_node_now(node));
}

/* The disk refused something that a run cannot do without, whether the heart has heard of it or
 * not: what is acknowledged is on it, so the run is closed and brought back as after a restart, as
 * soon as the disk is well again. */
static void close_failed(struct trib_node *node) {
    for (size_t i = 0; i < node->hosted_count;) {
        if (node->hosted[i]->io_status != TRIB_OK || node->hosted[i]->is_reopening) {
            close_run(node, i);
        } else {
            i++;
        }
    }
}

static void wake_resting(struct trib_node *node) {
    for (size_t i = 0; i < node->resting_count;) {
        struct trib_resting resting = node->resting[i];
        if (trib_node_now(node) < resting.retry_at) {
            i++;
            continue;
        }
        node->resting[i] = node->resting[--node->resting_count];
        struct trib_hosted *hosted = NULL;
        struct trib_error error = {0};
        trib_time_ns pause = 2 * resting.pause < REST_MAX ? 2 * resting.pause : REST_MAX;
        pause = resting.pause == 0 ? REST_FIRST : pause;
        if (trib_hosted_open(node, resting.run, &hosted, &error) == TRIB_OK) {
            hosted->pause = resting.pause == 0 ? 0 : pause;
            node->hosted[node->hosted_count++] = hosted;
            trib_hosted_start(hosted);
            trib_log(node->env, TRIB_LOG_INFO, "reopened run=%s", resting.run);
        } else {
            let_rest(node, resting.run, pause, error.text);
            trib_log(node->env, TRIB_LOG_WARN, "still_failed run=%s reason=\"%s\"", resting.run,
                     error.text);
        }
    }
}

bool trib_node_is_closing(const struct trib_node *node, const char *run) {
    bool is_closing = node->is_stopping;
    for (size_t i = 0; i < node->closing_count; i++) {
        const struct trib_hosted *hosted = node->closing[i];
        is_closing = is_closing || (!hosted->is_deleted && strcmp(hosted->spec->name, run) == 0);
    }
    return is_closing;
}

const struct trib_resting *trib_node_find_resting(const struct trib_node *node, const char *run) {
    for (size_t i = 0; i < node->resting_count; i++) {
        if (strcmp(node->resting[i].run, run) == 0) {
            return &node->resting[i];
        }
    }
    return NULL;
}

static bool has_jobs(const struct trib_node *node);

static void on_pulse(void *context) {
    struct trib_node *node = context;
    for (size_t i = 0; i < node->hosted_count; i++) {
        trib_watchers_keep_awake(&node->hosted[i]->watchers, trib_node_now(node));
        trib_parts_expire(node->hosted[i]);
    }
    trib_combining_expire(node);
    trib_upload_hurry(node);
    bury(node);
    if (!node->is_stopping) {
        close_failed(node);
        wake_resting(node);
    }
    if (node->is_stopped && !has_jobs(node)) {
        trib_loop_stop(node->loop);
        return;
    }
    bool is_busy = node->is_stopping || node->closing_count > 0;
    trib_time_ns pause = is_busy ? PULSE / 100 : PULSE;
    trib_timer_arm(node->pulse, trib_node_now(node) + pause);
}

/* --- starting ---------------------------------------------------------------------------------------- */

static void fill_in_defaults(struct trib_node_config *config) {
    if (config->listen[0] == NULL) {
        config->listen[0] = "127.0.0.1:7700";
    }
    if (config->body_bytes_max == 0) {
        config->body_bytes_max = UINT64_C(256) << 20;
    }
    if (config->chunk_count_max == 0) {
        config->chunk_count_max = 256;
    }
    if (config->model_bytes_max == 0) {
        config->model_bytes_max = UINT64_C(8) << 30;
    }
    if (config->connections_max == 0) {
        config->connections_max = 4096;
    }
    if (config->worker_count == 0) {
        config->worker_count = 4;
    }
    if (config->idle_after == 0) {
        config->idle_after = 30 * TRIB_SECOND;
    }
    if (config->idle_bytes == 0) {
        config->idle_bytes = 1024;
    }
}

static bool is_loopback_address(const char *address) {
    char host[256];
    size_t bytes =
        strrchr(address, ':') == NULL ? strlen(address) : (size_t)(strrchr(address, ':') - address);
    size_t skip = address[0] == '[' ? 1 : 0;
    bytes = bytes >= 2 * skip ? bytes - 2 * skip : 0;
    bytes = bytes < sizeof host ? bytes : sizeof host - 1;
    memcpy(host, address + skip, bytes);
    host[bytes] = '\0';
    return strncmp(address, "unix:", 5) == 0 || trib_host_is_loopback(host);
}

static enum trib_status write_admin_token(struct trib_node *node, struct trib_error *error) {
    struct trib_token token = {.scope = TRIB_TOKEN_ADMIN};
    trib_token_format(node->directory.key, &token, node->admin_token);
    char line[TRIB_TOKEN_TEXT_BYTES + 1];
    int bytes = snprintf(line, sizeof line, "%s\n", node->admin_token);
    enum trib_status status =
        trib_files_publish(node->directory.files, "admin.token", line, (size_t)bytes);
    return status == TRIB_OK
               ? TRIB_OK
               : trib_error_set(error, status, "admin.token: %s", trib_status_text(status));
}

static enum trib_status listen_everywhere(struct trib_node *node, struct trib_error *error) {
    const struct trib_node_config *config = &node->config;
    bool has_tls = config->certificate_file != NULL;
    const char *first_tcp = NULL;
    for (size_t i = 0; i < TRIB_LISTEN_MAX && config->listen[i] != NULL; i++) {
        const char *address = config->listen[i];
        bool is_unix = strncmp(address, "unix:", 5) == 0;
        if (!has_tls && !config->is_insecure && !is_loopback_address(address)) {
            return trib_error_set(error, TRIB_EFORBIDDEN,
                                  "%s is not loopback: give --tls-cert and --tls-key, or say "
                                  "--insecure",
                                  address);
        }
        enum trib_status status =
            trib_server_listen(node->server, address, has_tls && !is_unix, error);
        if (status != TRIB_OK) {
            return status;
        }
        first_tcp = first_tcp == NULL && !is_unix ? address : first_tcp;
    }
    if (config->public_url != NULL) {
        (void)snprintf(node->url, sizeof node->url, "%s", config->public_url);
    } else if (first_tcp == NULL) {
        (void)snprintf(node->url, sizeof node->url, "%s", config->listen[0]);
    } else {
        int host_bytes = (int)(strrchr(first_tcp, ':') - first_tcp);
        (void)snprintf(node->url, sizeof node->url, "%s://%.*s:%u", has_tls ? "https" : "http",
                       host_bytes, first_tcp, trib_server_port(node->server));
    }
    return TRIB_OK;
}

struct restoring {
    struct trib_node *node;
    struct trib_error *error;
};

static enum trib_status restore_run(void *context, const char *run) {
    struct restoring *restoring = context;
    struct trib_node *node = restoring->node;
    if (node->hosted_count == TRIB_RUNS_MAX) {
        return trib_error_set(restoring->error, TRIB_ELIMIT, "over %d runs", TRIB_RUNS_MAX);
    }
    struct trib_hosted *hosted = NULL;
    enum trib_status status = trib_hosted_open(node, run, &hosted, restoring->error);
    if (status != TRIB_OK) {
        return trib_error_prefix(restoring->error, status, "run %s", run);
    }
    node->hosted[node->hosted_count++] = hosted;
    return TRIB_OK;
}

static enum trib_status start(struct trib_node *node, struct trib_error *error) {
    const struct trib_node_config *config = &node->config;
    /* A run gets worker_count threads and never the last one: node/shares.h. */
    unsigned threads = config->worker_count + 1;
    struct trib_loop_config loop_config = {.worker_count = threads};
    enum trib_status status =
        trib_directory_open(&node->directory, node->env, config->data_dir, error);
    if (status == TRIB_OK) {
        status = write_admin_token(node, error);
    }
    if (status == TRIB_OK) {
        status = trib_signed_key_open(node->env, node->directory.files, &node->ledger_key, error);
    }
    if (status == TRIB_OK) {
        status = trib_loop_new(node->env, &loop_config, &node->loop);
    }
    if (status != TRIB_OK) {
        return status;
    }
    trib_shares_init(&node->shares, node->loop, threads);
    trib_fingerprint_key_init(&node->fingerprint_key, node->directory.key,
                              sizeof node->directory.key, "tributary bodies");
    node->pulse = trib_timer_new(node->loop, on_pulse, node);
    if (!trib_lending_init(node, config->chunk_count_max) || node->pulse == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    struct trib_server_config server_config = {
        .connections_max = config->connections_max,
        .idle = {config->idle_after, config->idle_bytes},
        .certificate_file = config->certificate_file,
        .key_file = config->key_file,
        .client_ca_file = config->client_ca_file,
    };
    status = trib_server_new(node->loop, &server_config, &trib_call_handlers, node, &node->server,
                             error);
    struct restoring restoring = {node, error};
    if (status == TRIB_OK) {
        status = trib_directory_runs(node->env, node->directory.files, &restoring, restore_run);
    }
    if (status == TRIB_OK) {
        status = listen_everywhere(node, error);
    }
    for (size_t i = 0; status == TRIB_OK && i < node->hosted_count; i++) {
        trib_hosted_start(node->hosted[i]);
    }
    node->started_at = trib_node_now(node);
    trib_timer_arm(node->pulse, node->started_at + PULSE);
    return status;
}

enum trib_status trib_node_new(const struct trib_env *env, const struct trib_node_config *config,
                               struct trib_node **node, struct trib_error *error) {
    *node = NULL;
    struct trib_node *fresh = trib_allocate(env, 1, sizeof *fresh);
    if (fresh == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    fresh->env = env;
    fresh->config = *config;
    fill_in_defaults(&fresh->config);
    enum trib_status status = start(fresh, error);
    if (status != TRIB_OK) {
        if (error != NULL && error->status == TRIB_OK) {
            (void)trib_error_set(error, status, "%s", trib_status_text(status));
        }
        trib_node_free(fresh);
        return status;
    }
    *node = fresh;
    return TRIB_OK;
}

/* --- running and stopping ---------------------------------------------------------------------------- */

static bool has_jobs(const struct trib_node *node) {
    bool has = false;
    for (size_t i = 0; i < node->hosted_count; i++) {
        has = has || node->hosted[i]->jobs > 0;
    }
    for (size_t i = 0; i < node->closing_count; i++) {
        has = has || node->closing[i]->jobs > 0;
    }
    return has;
}

/* The last connection is closed: workers may still write what they were given. */
static void on_stopped(void *context) {
    struct trib_node *node = context;
    node->is_stopped = true;
    trib_timer_arm(node->pulse, trib_node_now(node));
}

/* Whoever waits is told to come back later; what is being answered is finished. */
static void begin_stop(struct trib_node *node) {
    if (node->is_stopping) {
        return;
    }
    node->is_stopping = true;
    trib_log(node->env, TRIB_LOG_INFO, "closing");
    for (size_t i = 0; i < node->hosted_count; i++) {
        trib_hosted_close(node->hosted[i]);
    }
    trib_server_stop(node->server, trib_node_now(node) + STOP_PATIENCE, on_stopped, node);
}

static void reload_certificate(struct trib_node *node) {
    struct trib_error error = {0};
    if (node->config.certificate_file == NULL) {
        trib_log(node->env, TRIB_LOG_INFO, "reload: there is no certificate to read again");
    } else if (trib_server_reload(node->server, &error) == TRIB_OK) {
        trib_log(node->env, TRIB_LOG_INFO, "reloaded certificate=%s",
                 node->config.certificate_file);
    } else {
        trib_log(node->env, TRIB_LOG_ERROR, "reload_failed reason=\"%s\"", error.text);
    }
}

static void on_signal(void *context, int number) {
    if (number == SIGHUP) {
        reload_certificate(context);
    } else { /* SIGTERM and SIGINT mean the same */
        begin_stop(context);
    }
}

void trib_node_stop(struct trib_node *node) {
    atomic_store(&node->is_stop_wanted, true);
    trib_loop_stop(node->loop); /* wakes the loop; trib_node_run() then stops in order */
}

enum trib_status trib_node_run(struct trib_node *node) {
    enum trib_status status = trib_loop_watch_signals(node->loop, on_signal, node);
    if (status != TRIB_OK) {
        return status;
    }
    trib_log(node->env, TRIB_LOG_INFO, "listening url=%s runs=%zu cpu=%s", node->url,
             node->hosted_count, trib_kernels_select()->name);
    for (;;) {
        trib_loop_run(node->loop);
        if (node->is_stopping || !atomic_load(&node->is_stop_wanted)) {
            return TRIB_OK;
        }
        begin_stop(node);
    }
}

void trib_node_free(struct trib_node *node) {
    if (node == NULL) {
        return;
    }
    for (size_t i = 0; i < node->hosted_count; i++) {
        trib_hosted_free(node->hosted[i]);
    }
    for (size_t i = 0; i < node->closing_count; i++) {
        trib_hosted_free(node->closing[i]);
    }
    trib_server_free(node->server);
    trib_timer_free(node->pulse);
    trib_loop_free(node->loop);
    trib_lending_deinit(node);
    trib_signature_key_free(node->ledger_key);
    trib_directory_close(&node->directory);
    trib_release(node->env, node, 1, sizeof *node);
}
