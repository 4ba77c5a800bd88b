/* http.h - a blocking HTTP/1.1 connection to one daemon, over any struct trib_transport.
 *
 *     struct trib_http *http;
 *     const struct trib_http_options options = {.host = "127.0.0.1", .port = "7070"};
 *     if (trib_http_open(&options, &http, &error) != TRIB_OK) ...
 *     const struct trib_http_call call = {.method = "GET", .target = "/v1/runs"};
 *     if (trib_http_call(http, &call, &error) == TRIB_OK && trib_http_reply_status(http) == 200)
 *         status = trib_http_read_all(http, 1 << 20, &bytes, &count, &error);
 *     trib_http_close(http);
 *
 * The connection is made by the first call, kept for the next one where the daemon allows it, and
 * made again where it does not; which failed calls are worth repeating is the caller's to judge.
 * Any status of the daemon, 500 too, is TRIB_OK here: look at trib_http_reply_status().
 * Bodies are sent with Content-Length, never chunked. Sources: RFC 9110, RFC 9112.
 * Thread: one per handle. */
#ifndef TRIB_CLIENT_HTTP_H
#define TRIB_CLIENT_HTTP_H

#include <stdbool.h>

#include "base/env.h"
#include "base/status.h"
#include "tensor/source.h"
#include "tributary/client.h"

#define TRIB_HANDOVER_BYTES_MIN (UINT64_C(1) << 20) /* less is sent sooner than made a memory of */

struct trib_http;

struct trib_http_options {
    const struct trib_env *env;             /* NULL: trib_env_system(); borrowed until close */
    const struct trib_transport *transport; /* NULL: plain sockets (client/socket.h); borrowed
                                               until close */
    const char *host;                       /* name, IPv4, IPv6 without brackets, or
                                               "unix:/path"; copied */
    const char *port;                       /* "7070"; NULL with unix: */
    const char *token;                      /* sent as Authorization: Bearer; NULL: none; copied */
    uint32_t idle_ms;                       /* a daemon that is silent for so long is lost;
                                               0: 60,000 (long polls take up to 30 s) */
};

struct trib_http_call {
    const char *method;             /* "GET" */
    const char *target;             /* "/v1/runs", with the prefix of the link */
    const char *fields;             /* further head lines, each ending in "\r\n"; NULL: none */
    const char *content_type;       /* of the body; NULL without one */
    const struct trib_source *body; /* NULL: none. Read in pieces at multiples of 64 bytes, and
                                       again from the start when the call is repeated. Memory:
                                       trib_source_of_memory() */
    bool may_hand_over;             /* an update: memory will do as well as bytes */
};

/* Make a handle; nothing is sent yet. *http is the caller's (trib_http_close), NULL on error.
 * TRIB_EINVALID: host, port or token is missing, too long or has characters that do not belong
 * there; TRIB_EMEMORY. error may be NULL, here and below. */
enum trib_status trib_http_open(const struct trib_http_options *options, struct trib_http **http,
                                struct trib_error *error);
void trib_http_close(struct trib_http *http); /* NULL allowed */
/* For the calls that follow; NULL: none. TRIB_EINVALID: as above, nothing has changed. */
enum trib_status trib_http_set_token(struct trib_http *http, const char *token,
                                     struct trib_error *error);

/* Send a request and read the head of its reply. A body left unread from the call before is given
 * up together with its connection.
 *
 * An answer that comes while the body is being sent ends the sending, so that a refusal is seen
 * early. A kept connection that turns out to be closed is replaced once, silently: every request
 * of docs/protocol.md may be repeated.
 *
 * A body of TRIB_HANDOVER_BYTES_MIN or more that may be handed over as memory (base/handover.h) is,
 * to "unix:/path" through sockets of client/socket.h, once the daemon has said in a reply that it takes
 * it; where it then does not (417), the bytes are sent, now and with all calls to come.
 *
 * TRIB_EUNAVAILABLE: no connection could be made; TRIB_EFORBIDDEN: likewise, and another attempt
 * will fare no better (TRIB_CONNECT_REFUSED); TRIB_ECLOSED: it was lost; TRIB_ETIMEOUT: idle
 * for too long; TRIB_EMALFORMED: the reply is not HTTP; TRIB_EINVALID: the request's head does not
 * fit 16 KiB; or what body->read returned. After an error the connection is closed; the handle may
 * be used again. */
enum trib_status trib_http_call(struct trib_http *http, const struct trib_http_call *call,
                                struct trib_error *error);

/* Of the reply to the last successful call: 200 to 599. */
int trib_http_reply_status(const struct trib_http *http);
/* Value of a field, name in any case, copied to value[room]; false when absent or too long. */
bool trib_http_reply_field(const struct trib_http *http, const char *name, char *value,
                           size_t room);
/* The announced length of the body; false when it is chunked or ends with the connection. */
bool trib_http_reply_bytes(const struct trib_http *http, uint64_t *byte_count);

/* The next piece of the reply's body as soon as there is any, at most room > 0 bytes; *count is 0
 * at its end. For server-sent events, and files larger than memory. Errors as trib_http_call(). */
enum trib_status trib_http_read(struct trib_http *http, void *bytes, size_t room, size_t *count,
                                struct trib_error *error);
/* The rest of the body in fresh memory, with a NUL behind it: release with
 * trib_release(env, *bytes, *count + 1, 1). TRIB_ELIMIT: more than bytes_max (< SIZE_MAX);
 * TRIB_EMEMORY; else as trib_http_call(). On error *bytes and *count are untouched. */
enum trib_status trib_http_read_all(struct trib_http *http, size_t bytes_max, char **bytes,
                                    size_t *count, struct trib_error *error);

#endif
