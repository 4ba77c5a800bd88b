/* serve.c - trib serve: the daemon. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_memory.h"
#include "cli/command.h"
#include "cli/native.h"
#include "node/node.h"

struct serve_options {
    const char *data_dir;
    struct trib_option_list listen;
    const char *certificate_file, *key_file, *client_ca_file;
    bool is_insecure;
    struct trib_option_list host_names;
    const char *public_url;
    const char *ready_file;
    uint64_t body_bytes, model_bytes;
    uint64_t connections, workers;
    trib_time_ns idle_after;
    bool is_verbose;
};

#define AT(member) offsetof(struct serve_options, member)

static const struct trib_option serve_table[] = {
    {"data-dir", TRIB_OPTION_TEXT, AT(data_dir), .value = "DIR", .is_required = true,
     .meaning = "where runs are kept; made when missing"},
    {"listen", TRIB_OPTION_LIST, AT(listen), .value = "ADDR", .otherwise = "127.0.0.1:7700",
     .meaning = "HOST:PORT, [IPV6]:PORT or unix:PATH; port 0 = any free one"},
    {"tls-cert", TRIB_OPTION_TEXT, AT(certificate_file), .value = "FILE",
     .otherwise = "no TLS, loopback only", .meaning = "certificate chain, PEM"},
    {"tls-key", TRIB_OPTION_TEXT, AT(key_file), .value = "FILE", .otherwise = "no TLS",
     .meaning = "its key, PEM"},
    {"client-ca", TRIB_OPTION_TEXT, AT(client_ca_file), .value = "FILE",
     .otherwise = "clients need none",
     .meaning = "TLS clients must have a certificate signed by one of these, PEM"},
    {"insecure", TRIB_OPTION_FLAG, AT(is_insecure),
     .meaning = "allow plain text beyond loopback: tokens and models can be read"},
    {"host-name", TRIB_OPTION_LIST, AT(host_names), .value = "NAME",
     .otherwise = "localhost and loopback addresses",
     .meaning = "another name under which clients may call it"},
    {"public-url", TRIB_OPTION_TEXT, AT(public_url), .value = "URL",
     .otherwise = "the first address", .meaning = "what join links say"},
    {"ready-file", TRIB_OPTION_TEXT, AT(ready_file), .value = "FILE", .otherwise = "none",
     .meaning = "its URL is written there once it listens"},
    {"memory", TRIB_OPTION_SIZE, AT(body_bytes), .value = "SIZE", .initial = "256MiB",
     .meaning = "update bodies held in memory at one time"},
    {"model-memory", TRIB_OPTION_SIZE, AT(model_bytes), .value = "SIZE", .initial = "8GiB",
     .meaning = "models of all runs with their sums"},
    {"connections", TRIB_OPTION_INTEGER, AT(connections), .value = "N", .initial = "4096",
     .least = 1, .most = 1000000, .meaning = "open at one time"},
    {"workers", TRIB_OPTION_INTEGER, AT(workers), .value = "N", .initial = "4", .least = 1,
     .most = 1024, .meaning = "threads for files, checks and sums"},
    {"idle-after", TRIB_OPTION_DURATION, AT(idle_after), .value = "DURATION", .initial = "30s",
     .meaning = "a transfer that brings less than 1 KiB in this time is given up"},
    {"verbose", TRIB_OPTION_FLAG, AT(is_verbose), .meaning = "log more"},
    {0},
};

/* Write the URL so that whoever waits for the file sees all of it or no file. */
static bool publish_url(const struct trib_cli *cli, const char *path, const char *url) {
    char draft[4096];
    if (snprintf(draft, sizeof draft, "%s.tmp", path) >= (int)sizeof draft) {
        errno = ENAMETOOLONG;
    } else {
        FILE *file = fopen(draft, "w");
        bool is_written = file != NULL && fprintf(file, "%s\n", url) > 0;
        is_written = file != NULL && fclose(file) == 0 && is_written;
        if (is_written && rename(draft, path) == 0) {
            return true;
        }
    }
    (void)trib_cli_fail(cli, TRIB_EXIT_FAILED, "ready file %s: %s", path, strerror(errno));
    return false;
}

static void fill_config(const struct serve_options *options, struct trib_node_config *config) {
    *config = (struct trib_node_config){
        .data_dir = options->data_dir,
        .public_url = options->public_url,
        .certificate_file = options->certificate_file,
        .key_file = options->key_file,
        .client_ca_file = options->client_ca_file,
        .is_insecure = options->is_insecure,
        .body_bytes_max = options->body_bytes,
        .model_bytes_max = options->model_bytes,
        .connections_max = (size_t)options->connections,
        .worker_count = (unsigned)options->workers,
        .idle_after = options->idle_after,
        .create_model = trib_native_create,
    };
    for (size_t i = 0; i < options->listen.count; i++) {
        config->listen[i] = options->listen.items[i];
    }
    for (size_t i = 0; i < options->host_names.count; i++) {
        config->host_names[i] = options->host_names.items[i];
    }
}

static enum trib_exit serve(const struct trib_cli *cli, const void *given) {
    const struct serve_options *options = given;
    if (options->listen.count > TRIB_LISTEN_MAX || options->host_names.count > TRIB_LISTEN_MAX) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "--listen and --host-name: at most %d each",
                             TRIB_LISTEN_MAX);
    }
    if ((options->certificate_file == NULL) != (options->key_file == NULL)) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "--tls-cert and --tls-key belong together");
    }
    if (options->client_ca_file != NULL && options->certificate_file == NULL) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "--client-ca needs --tls-cert and --tls-key");
    }
    if (options->is_verbose) {
        trib_env_log_level(TRIB_LOG_DEBUG);
    }
    struct trib_node_config config;
    fill_config(options, &config);
    struct trib_node *node;
    struct trib_error error = {0};
    json_set_alloc_funcs(trib_json_allocate, free);
    if (trib_node_new(cli->env, &config, &node, &error) != TRIB_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s", error.text);
    }
    (void)fprintf(cli->err, "console      %s/\nadmin token  %s/admin.token\n", trib_node_url(node),
                  options->data_dir);
    enum trib_exit result = TRIB_EXIT_FAILED;
    if (options->ready_file == NULL || publish_url(cli, options->ready_file, trib_node_url(node))) {
        result = trib_node_run(node) == TRIB_OK
                     ? TRIB_EXIT_OK
                     : trib_cli_fail(cli, TRIB_EXIT_FAILED, "signals cannot be watched");
    }
    trib_node_free(node);
    return result;
}

const struct trib_command trib_command_serve = {
    .name = "serve",
    .group = "Daemon",
    .summary = "Run the daemon that hosts runs, until SIGTERM or SIGINT",
    .details = "It listens on loopback in plain text; any other address needs a certificate, or\n"
               "--insecure. The console is at its URL; the admin token is in DIR/admin.token.\n",
    .options = serve_table,
    .options_bytes = sizeof(struct serve_options),
    .run = serve,
};
