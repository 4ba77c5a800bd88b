/* remote.c - the daemon as the commands see it: requests by method and path, documents in and out. */
#include "cli/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/name.h"
#include "client/join_link.h"

#define DEFAULT_URL "http://127.0.0.1:7700"
#define TOKEN_BYTES 512
#define JSON_TYPE "application/json"

/* --- address and token ------------------------------------------------------------------------ */

/* The first line of a file. */
static enum trib_exit read_token(const struct trib_cli *cli, const char *path,
                                 char token[TOKEN_BYTES]) {
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "token file %s: %s", path, strerror(errno));
    }
    bool is_read = fgets(token, TOKEN_BYTES, file) != NULL;
    (void)fclose(file); /* nothing was written to it */
    if (!is_read) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "token file %s is empty", path);
    }
    token[strcspn(token, "\r\n")] = '\0';
    return TRIB_EXIT_OK;
}

static enum trib_exit find_token(const struct trib_cli *cli,
                                 const struct trib_remote_options *options,
                                 char token[TOKEN_BYTES]) {
    const char *given = options->token;
    const char *file = options->token_file;
    if (given == NULL && file == NULL) { /* what was typed goes before what is set */
        given = trib_environment("TRIB_ADMIN_TOKEN");
        file = trib_environment("TRIB_ADMIN_TOKEN_FILE");
    }
    token[0] = '\0';
    if (given == NULL) {
        return file == NULL ? TRIB_EXIT_OK : read_token(cli, file, token);
    }
    if (strlen(given) >= TOKEN_BYTES) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "the token is too long");
    }
    (void)strcpy(token, given);
    return TRIB_EXIT_OK;
}

/* An address is a join link without its run, so the parser of links reads it. */
static enum trib_exit read_url(struct trib_remote *remote, struct trib_link *link) {
    char text[sizeof remote->url + 8];
    struct trib_error error = {0};
    size_t bytes = strlen(remote->url);
    while (bytes > 0 && remote->url[bytes - 1] == '/') {
        bytes--;
    }
    (void)snprintf(text, sizeof text, "%.*s/any", (int)bytes, remote->url);
    if (strchr(remote->url, '#') != NULL || trib_join_link_parse(text, link, &error) != TRIB_OK) {
        return trib_cli_fail(remote->cli, TRIB_EXIT_USAGE,
                             "%s is not an address such as https://host:7700/prefix%s%s",
                             remote->url, error.text[0] == '\0' ? "" : ": ", error.text);
    }
    return TRIB_EXIT_OK;
}

static enum trib_exit open_remote(struct trib_remote *remote,
                                  const struct trib_remote_options *options) {
    char token[TOKEN_BYTES], port[8];
    struct trib_http_options http = {.env = remote->cli->env};
    struct trib_link link;
    enum trib_exit result = find_token(remote->cli, options, token);
    if (result == TRIB_EXIT_OK) {
        result = read_url(remote, &link);
    }
    if (result != TRIB_EXIT_OK) {
        return result;
    }
    struct trib_error error = {0};
    enum trib_status status =
        trib_way_open(remote->cli->env, &link, &options->way, &remote->way, &error);
    remote->has_way = status == TRIB_OK;
    if (status != TRIB_OK) {
        return trib_cli_fail(remote->cli,
                             status == TRIB_EINVALID ? TRIB_EXIT_USAGE : TRIB_EXIT_FAILED, "%s",
                             error.text);
    }
    (void)snprintf(port, sizeof port, "%u", (unsigned)link.port);
    (void)strcpy(remote->prefix, link.prefix);
    http.host = link.host;
    http.port = link.port == 0 ? NULL : port; /* 0: a Unix socket */
    http.token = token[0] == '\0' ? NULL : token;
    http.transport = trib_way_transport(&remote->way);
    if (trib_http_open(&http, &remote->http, &error) != TRIB_OK) {
        return trib_cli_fail(remote->cli, TRIB_EXIT_USAGE, "%s: %s", remote->url, error.text);
    }
    return TRIB_EXIT_OK;
}

enum trib_exit trib_remote_open(const struct trib_cli *cli,
                                const struct trib_remote_options *options,
                                struct trib_remote *remote) {
    *remote = (struct trib_remote){.cli = cli};
    const char *url = options->url != NULL ? options->url : trib_environment("TRIB_URL");
    url = url == NULL ? DEFAULT_URL : url;
    enum trib_exit result = TRIB_EXIT_OK;
    if (strlen(url) >= sizeof remote->url) {
        result = trib_cli_fail(cli, TRIB_EXIT_USAGE, "the address is too long");
    } else {
        (void)strcpy(remote->url, url);
        result = open_remote(remote, options);
    }
    if (result != TRIB_EXIT_OK) {
        trib_remote_close(remote);
    }
    return result;
}

void trib_remote_close(struct trib_remote *remote) {
    trib_http_close(remote->http);
    if (remote->has_way) {
        trib_way_close(&remote->way);
    }
    *remote = (struct trib_remote){0};
}

/* --- requests --------------------------------------------------------------------------------- */

enum trib_exit trib_remote_fail(const struct trib_remote *remote, const struct trib_error *error) {
    switch (error->status) {
    case TRIB_EUNAVAILABLE:
        return trib_cli_fail(remote->cli, TRIB_EXIT_UNREACHABLE,
                             "%s (is 'trib serve' running? --url or TRIB_URL says where)",
                             error->text);
    case TRIB_ECLOSED:
    case TRIB_ETIMEOUT:
    case TRIB_EMALFORMED:
        return trib_cli_fail(remote->cli, TRIB_EXIT_UNREACHABLE, "%s: %s", remote->url,
                             error->text);
    default:
        return trib_cli_fail(remote->cli, TRIB_EXIT_FAILED, "%s", error->text);
    }
}

/* "code: message (hint)", or whatever a proxy in between may have said. */
static enum trib_exit print_refusal(struct trib_remote *remote) {
    char *bytes = NULL;
    size_t count = 0;
    int status = trib_http_reply_status(remote->http);
    json_t *document = NULL;
    if (trib_http_read_all(remote->http, 1 << 20, &bytes, &count, NULL) == TRIB_OK) {
        document = json_loadb(bytes, count, 0, NULL);
        trib_release(remote->cli->env, bytes, count + 1, 1);
    }
    const char *code = json_string_value(json_object_get(document, "code"));
    const char *message = json_string_value(json_object_get(document, "message"));
    const char *hint = json_string_value(json_object_get(document, "hint"));
    if (code == NULL || message == NULL) {
        (void)fprintf(remote->cli->err, "trib: %s answered with HTTP status %d\n", remote->url,
                      status);
    } else {
        (void)fprintf(remote->cli->err, "%s: %s%s%s%s\n", code, message, hint == NULL ? "" : " (",
                      hint == NULL ? "" : hint, hint == NULL ? "" : ")");
    }
    json_decref(document);
    return TRIB_EXIT_FAILED;
}

enum trib_exit trib_remote_send(struct trib_remote *remote,
                                const struct trib_remote_request *request) {
    char target[sizeof remote->prefix + TRIB_REMOTE_PATH_BYTES];
    (void)snprintf(target, sizeof target, "%s%s", remote->prefix, request->path);
    const struct trib_http_call call = {
        .method = request->method,
        .target = target,
        .content_type = request->content_type,
        .body = request->body,
    };
    struct trib_error error = {0};
    if (trib_http_call(remote->http, &call, &error) != TRIB_OK) {
        bool is_silent = request->is_quiet && error.status != TRIB_EINVALID;
        return is_silent ? TRIB_EXIT_UNREACHABLE : trib_remote_fail(remote, &error);
    }
    int status = trib_http_reply_status(remote->http);
    return status >= 200 && status < 300 ? TRIB_EXIT_OK : print_refusal(remote);
}

enum trib_exit trib_remote_document(struct trib_remote *remote, json_t **document) {
    char *bytes = NULL;
    size_t count = 0;
    struct trib_error error = {0};
    if (trib_http_read_all(remote->http, TRIB_REMOTE_DOCUMENT_BYTES_MAX, &bytes, &count, &error) !=
        TRIB_OK) {
        return trib_remote_fail(remote, &error);
    }
    *document = json_loadb(bytes, count, 0, NULL);
    trib_release(remote->cli->env, bytes, count + 1, 1);
    if (*document == NULL) {
        return trib_cli_fail(remote->cli, TRIB_EXIT_FAILED,
                             "%s answered with something that is not JSON", remote->url);
    }
    return TRIB_EXIT_OK;
}

enum trib_exit trib_remote_json(struct trib_remote *remote, const char *method, const char *path,
                                const json_t *body, json_t **reply) {
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (reply != NULL) {
        *reply = NULL;
    }
    if (body != NULL && text == NULL) {
        return trib_cli_fail(remote->cli, TRIB_EXIT_FAILED, "out of memory");
    }
    struct trib_source source = trib_source_of_memory(text, text == NULL ? 0 : strlen(text));
    const struct trib_remote_request request = {
        .method = method,
        .path = path,
        .content_type = text == NULL ? NULL : JSON_TYPE,
        .body = text == NULL ? NULL : &source,
    };
    enum trib_exit result = trib_remote_send(remote, &request);
    free(text);
    if (result == TRIB_EXIT_OK && reply != NULL) {
        result = trib_remote_document(remote, reply);
    }
    return result;
}

enum trib_exit trib_remote_run_path(const struct trib_cli *cli, const char *run, const char *rest,
                                    char path[TRIB_REMOTE_PATH_BYTES]) {
    if (!trib_name_is_valid(run, strlen(run))) {
        return trib_cli_fail(
            cli, TRIB_EXIT_USAGE,
            "\"%.64s\" is not the name of a run: 1 to 64 of A-Z a-z 0-9 . _ -, the "
            "first a letter or digit",
            run);
    }
    int bytes = snprintf(path, TRIB_REMOTE_PATH_BYTES, "/v1/runs/%s%s", run, rest);
    TRIB_ASSERT(bytes > 0 && bytes < TRIB_REMOTE_PATH_BYTES);
    return TRIB_EXIT_OK;
}
