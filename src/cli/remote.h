/* remote.h - the daemon as the commands see it: requests by method and path, documents in and out.
 *
 * Every failure is printed here, once, so that a command only passes the exit code on. */
#ifndef TRIB_CLI_REMOTE_H
#define TRIB_CLI_REMOTE_H

#include <jansson.h>

#include "cli/command.h"
#include "cli/way.h"
#include "client/http.h"

#define TRIB_REMOTE_DOCUMENT_BYTES_MAX ((size_t)64 << 20) /* a history of 100,000 versions */

struct trib_remote_options {
    const char *url;        /* NULL: TRIB_URL, else http://127.0.0.1:7700 */
    const char *token;      /* NULL: TRIB_ADMIN_TOKEN, else from the file */
    const char *token_file; /* NULL: TRIB_ADMIN_TOKEN_FILE, else no token */
    struct trib_way_options way;
};

/* The rows of an option table for a member of this type. */
#define TRIB_REMOTE_ROWS(type, member)                                      \
    {"url",                                                                 \
     TRIB_OPTION_TEXT,                                                      \
     offsetof(type, member.url),                                            \
     .value = "URL",                                                        \
     .otherwise = "TRIB_URL, or http://127.0.0.1:7700",                     \
     .meaning = "address of the daemon, with a prefix where there is one"}, \
        {"token",                                                           \
         TRIB_OPTION_TEXT,                                                  \
         offsetof(type, member.token),                                      \
         .value = "TOKEN",                                                  \
         .otherwise = "TRIB_ADMIN_TOKEN",                                   \
         .meaning = "admin token; others can see it in ps"},                \
        {"token-file",                                                      \
         TRIB_OPTION_TEXT,                                                  \
         offsetof(type, member.token_file),                                 \
         .value = "FILE",                                                   \
         .otherwise = "TRIB_ADMIN_TOKEN_FILE",                              \
         .meaning = "file with the admin token"},                           \
        TRIB_WAY_ROWS(type, member.way)

struct trib_remote {
    struct trib_http *http; /* read-only: for replies that are read in pieces */

    /* private */
    const struct trib_cli *cli;
    char url[512];
    char prefix[256];
    struct trib_way way;
    bool has_way;
};

/* Nothing is sent yet. On failure *remote is zero. Prints; TRIB_EXIT_USAGE, TRIB_EXIT_FAILED. */
enum trib_exit trib_remote_open(const struct trib_cli *cli,
                                const struct trib_remote_options *options,
                                struct trib_remote *remote);
void trib_remote_close(struct trib_remote *remote); /* all-zero is safe */

/* One request; any 2xx is success. The body of the reply may then be read through remote->http.
 * Prints; TRIB_EXIT_FAILED: the daemon refused; TRIB_EXIT_UNREACHABLE: there is no answer. */
struct trib_remote_request {
    const char *method;
    const char *path;         /* "/v1/runs", without the prefix */
    const char *content_type; /* of the body; NULL without one */
    const struct trib_source *body;
    bool is_quiet; /* print nothing when no answer comes: the caller tries again */
};
enum trib_exit trib_remote_send(struct trib_remote *remote,
                                const struct trib_remote_request *request);

/* The body of the reply, a document: new reference on success. Prints; exit codes as above. */
enum trib_exit trib_remote_document(struct trib_remote *remote, json_t **document);
/* Both, with documents. body NULL: none. reply NULL: dropped; else a new reference on success,
 * NULL otherwise. */
enum trib_exit trib_remote_json(struct trib_remote *remote, const char *method, const char *path,
                                const json_t *body, json_t **reply);

/* A call on remote->http failed: print it, and say how the program ends. */
enum trib_exit trib_remote_fail(const struct trib_remote *remote, const struct trib_error *error);

/* "/v1/runs/RUN" and a format behind it into path[room]. Prints when run is no name:
 * TRIB_EXIT_USAGE. */
#define TRIB_REMOTE_PATH_BYTES 256
enum trib_exit trib_remote_run_path(const struct trib_cli *cli, const char *run, const char *rest,
                                    char path[TRIB_REMOTE_PATH_BYTES]);

#endif
