/* http.c - one request at a time over one connection, with a single buffer.
 *
 * The buffer first holds what is sent (the head and, right behind it, the start of the body, so
 * that a small request is one write) and then what is received and not yet handed out. */
#include "client/http.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/handover.h"
#include "client/response.h"
#include "client/socket.h"

#define BUFFER_BYTES 65536
#define HEAD_BYTES_MAX 16384
#define HOST_BYTES 256
#define PORT_BYTES 8
#define TOKEN_BYTES 512
#define IDLE_MS 60000
#define READ_ALL_START 4096
#define EXPECTATION_FAILED 417
#define PIECE_ALIGNMENT 64 /* http.h promises it to sources */

struct trib_http {
    const struct trib_env *env;
    const struct trib_transport *transport;
    char host[HOST_BYTES];
    char port[PORT_BYTES];
    char token[TOKEN_BYTES]; /* "": none */
    int idle_ms;
    void *connection;   /* NULL: none */
    bool was_cut;       /* the request was not sent to its end */
    bool may_hand_over; /* its transport can, and it has not been refused */
    bool is_taken;      /* the daemon has said that it takes memory */
    int handed;         /* the body of the call under way as memory; -1: it is sent */
    size_t first;       /* received bytes not yet handed out: buffer[first, limit) */
    size_t limit;
    struct trib_response response;
    char buffer[BUFFER_BYTES];
};

/* --- the handle ----------------------------------------------------------------------------- */

/* Copy a part of what becomes a head; printable ASCII without blanks only. */
static bool take_text(const char *text, char *copy, size_t room) {
    size_t count = strlen(text);
    for (size_t i = 0; i < count; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    if (count >= room) {
        return false;
    }
    memcpy(copy, text, count + 1);
    return true;
}

enum trib_status trib_http_set_token(struct trib_http *http, const char *token,
                                     struct trib_error *error) {
    char fresh[TOKEN_BYTES] = "";
    if (token != NULL && !take_text(token, fresh, sizeof fresh)) {
        return trib_error_set(error, TRIB_EINVALID, "the token is not valid");
    }
    memcpy(http->token, fresh, sizeof fresh);
    return TRIB_OK;
}

static bool is_unix(const char *host) {
    return strncmp(host, TRIB_UNIX_PREFIX, strlen(TRIB_UNIX_PREFIX)) == 0;
}

static enum trib_status set_up(struct trib_http *http, const struct trib_http_options *options,
                               struct trib_error *error) {
    const char *port = options->port == NULL ? "" : options->port;
    http->env = options->env;
    http->transport = options->transport == NULL ? trib_socket_transport() : options->transport;
    http->handed = -1;
    http->idle_ms = options->idle_ms == 0 ? IDLE_MS : (int)(options->idle_ms & INT32_MAX);
    if (options->host == NULL || options->host[0] == '\0' ||
        !take_text(options->host, http->host, sizeof http->host)) {
        return trib_error_set(error, TRIB_EINVALID, "the host is not valid");
    }
    http->may_hand_over = is_unix(http->host) && trib_sockets_made(http->transport);
    if (strspn(port, "0123456789") != strlen(port) || (port[0] == '\0' && !is_unix(http->host)) ||
        !take_text(port, http->port, sizeof http->port)) {
        return trib_error_set(error, TRIB_EINVALID, "the port is not valid");
    }
    return trib_http_set_token(http, options->token, error);
}

enum trib_status trib_http_open(const struct trib_http_options *options, struct trib_http **http,
                                struct trib_error *error) {
    *http = NULL;
    struct trib_http_options filled = *options;
    filled.env = options->env == NULL ? trib_env_system() : options->env;
    struct trib_http *fresh = trib_allocate(filled.env, 1, sizeof *fresh);
    if (fresh == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for a connection");
    }
    enum trib_status status = set_up(fresh, &filled, error);
    if (status != TRIB_OK) {
        trib_http_close(fresh);
        return status;
    }
    *http = fresh;
    return TRIB_OK;
}

static void disconnect(struct trib_http *http) {
    if (http->connection != NULL) {
        http->transport->close(http->transport->context, http->connection);
        http->connection = NULL;
    }
    http->first = http->limit = 0;
}

void trib_http_close(struct trib_http *http) {
    if (http != NULL) {
        disconnect(http);
        trib_release(http->env, http, 1, sizeof *http);
    }
}

/* --- bytes in and out ----------------------------------------------------------------------- */

static enum trib_status lose(struct trib_http *http, enum trib_status status, const char *text,
                             struct trib_error *error) {
    disconnect(http);
    return trib_error_set(error, status, "%s", text);
}

/* 1, 0 or -1 as the transport's wait; one that cannot wait always says `unknown`. */
static int look(struct trib_http *http, int timeout_ms, int unknown) {
    const struct trib_transport *transport = http->transport;
    return transport->wait == NULL
               ? unknown
               : transport->wait(transport->context, http->connection, timeout_ms);
}

static enum trib_status dial(struct trib_http *http, struct trib_error *error) {
    char text[192] = "";
    void *connection = NULL;
    int result = http->transport->connect(http->transport->context, http->host, http->port,
                                          &connection, text, sizeof text);
    if (result != 0) {
        enum trib_status status =
            result == TRIB_CONNECT_REFUSED ? TRIB_EFORBIDDEN : TRIB_EUNAVAILABLE;
        return trib_error_set(error, status, "cannot connect to %s%s%s: %s", http->host,
                              http->port[0] == '\0' ? "" : " port ", http->port, text);
    }
    http->connection = connection;
    return TRIB_OK;
}

/* Wait for bytes and put them behind those that are there; the buffer is empty when it is called.
 * At the end of the connection the response learns of it. */
static enum trib_status receive(struct trib_http *http, struct trib_error *error) {
    int ready = look(http, http->idle_ms, 1);
    if (ready == 0) {
        return lose(http, TRIB_ETIMEOUT, "the daemon has been silent for too long", error);
    }
    long got = ready < 0 ? -1
                         : http->transport->read(http->transport->context, http->connection,
                                                 http->buffer, sizeof http->buffer);
    if (got < 0) {
        return lose(http, TRIB_ECLOSED, "the connection was lost", error);
    }
    http->first = 0;
    http->limit = (size_t)got;
    if (got == 0) {
        trib_response_closed(&http->response);
        if (http->response.state == TRIB_RESPONSE_BROKEN) {
            return lose(http, TRIB_ECLOSED, "the daemon closed the connection", error);
        }
    }
    return TRIB_OK;
}

/* What is left of sending: everything went out, or the daemon has spoken already. */
static enum trib_status send_bytes(struct trib_http *http, const char *bytes, size_t count,
                                   struct trib_error *error) {
    while (count > 0 && !http->was_cut) {
        long sent =
            http->transport->write(http->transport->context, http->connection, bytes, count);
        if (sent > 0) {
            bytes += sent;
            count -= (size_t)sent;
        } else if (look(http, 0, 0) == 1) {
            http->was_cut = true;
        } else {
            return lose(http, TRIB_ECLOSED, "the connection was lost while sending", error);
        }
    }
    return TRIB_OK;
}

/* --- requests ------------------------------------------------------------------------------- */

/* The head into the buffer; 0 when it does not fit. */
static size_t write_head(struct trib_http *http, const struct trib_http_call *call) {
    char authority[HOST_BYTES + PORT_BYTES + 4];
    bool has_brackets = strchr(http->host, ':') != NULL;
    if (is_unix(http->host)) {
        strcpy(authority, "localhost"); /* a path is no authority (RFC 9110, section 7.2) */
    } else {
        snprintf(authority, sizeof authority, "%s%s%s:%s", has_brackets ? "[" : "", http->host,
                 has_brackets ? "]" : "", http->port);
    }
    char length[128] = "";
    if (http->handed >= 0) {
        snprintf(length, sizeof length,
                 "Content-Length: 1\r\nExpect: 100-continue\r\nTributary-Handover: %" PRIu64 "\r\n",
                 call->body->byte_count);
    } else if (call->body != NULL) {
        snprintf(length, sizeof length, "Content-Length: %" PRIu64 "\r\n", call->body->byte_count);
    }
    int count = snprintf(
        http->buffer, HEAD_BYTES_MAX, "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s%s%s%s%s%s%s\r\n",
        call->method, call->target, authority,
        http->token[0] == '\0' ? "" : "Authorization: Bearer ", http->token,
        http->token[0] == '\0' ? "" : "\r\n", call->content_type == NULL ? "" : "Content-Type: ",
        call->content_type == NULL ? "" : call->content_type,
        call->content_type == NULL ? "" : "\r\n", length, call->fields == NULL ? "" : call->fields);
    return count > 0 && count < HEAD_BYTES_MAX ? (size_t)count : 0;
}

/* Send the first `filled` bytes of the buffer and the body behind them. */
static enum trib_status send_request(struct trib_http *http, const struct trib_source *body,
                                     size_t filled, struct trib_error *error) {
    uint64_t body_bytes = body == NULL ? 0 : body->byte_count;
    uint64_t offset = 0;
    do {
        uint64_t left = body_bytes - offset;
        size_t room = (sizeof http->buffer - filled) & ~(size_t)(PIECE_ALIGNMENT - 1);
        size_t piece = left < room ? (size_t)left : room;
        if (offset > 0 && look(http, 0, 0) == 1) {
            http->was_cut = true; /* nobody speaks before the end of a body but to refuse it */
            return TRIB_OK;
        }
        enum trib_status status =
            piece == 0 ? TRIB_OK : body->read(body->context, offset, http->buffer + filled, piece);
        if (status != TRIB_OK) {
            return lose(http, status, "the body of the request cannot be read", error);
        }
        status = send_bytes(http, http->buffer, filled + piece, error);
        if (status != TRIB_OK) {
            return status;
        }
        offset += piece;
        filled = 0;
    } while (offset < body_bytes && !http->was_cut);
    return TRIB_OK;
}

/* The head of the reply, or 100 Continue only. */
static enum trib_status receive_head(struct trib_http *http, bool is_continue_enough,
                                     struct trib_error *error) {
    struct trib_response *response = &http->response;
    const char *body;
    size_t body_bytes;
    while (response->state == TRIB_RESPONSE_HEAD &&
           !(is_continue_enough && response->has_continued)) {
        if (http->first == http->limit) {
            enum trib_status status = receive(http, error);
            if (status != TRIB_OK) {
                return status;
            }
        }
        http->first += trib_response_feed(response, http->buffer + http->first,
                                          http->limit - http->first, &body, &body_bytes);
    }
    return response->state == TRIB_RESPONSE_BROKEN
               ? lose(http, TRIB_EMALFORMED, response->error, error)
               : TRIB_OK;
}

/* Send the head in the buffer, and the body's memory when the daemon asks for it. */
static enum trib_status hand_over(struct trib_http *http, size_t head_bytes,
                                  struct trib_error *error) {
    enum trib_status status = send_bytes(http, http->buffer, head_bytes, error);
    status = status == TRIB_OK ? receive_head(http, true, error) : status;
    if (status == TRIB_OK && http->response.state == TRIB_RESPONSE_HEAD &&
        !trib_socket_hand_over(http->connection, http->handed)) {
        return lose(http, TRIB_ECLOSED, "the connection was lost while sending", error);
    }
    return status;
}

/* One attempt over the connection that is there. */
static enum trib_status attempt(struct trib_http *http, const struct trib_http_call *call,
                                struct trib_error *error) {
    http->was_cut = false;
    trib_response_begin(&http->response, strcmp(call->method, "HEAD") == 0);
    size_t head_bytes = write_head(http, call);
    if (head_bytes == 0) {
        disconnect(http);
        return trib_error_set(error, TRIB_EINVALID, "the head of the request is over 16 KiB");
    }
    enum trib_status status = http->handed >= 0 ? hand_over(http, head_bytes, error)
                                                : send_request(http, call->body, head_bytes, error);
    status = status == TRIB_OK ? receive_head(http, false, error) : status;
    if (status == TRIB_OK && http->may_hand_over && !http->is_taken) {
        char what[8];
        http->is_taken = trib_http_reply_field(http, "Tributary-Handover", what, sizeof what) &&
                         strcmp(what, "memfd") == 0;
    }
    return status;
}

/* May the connection that is there carry one more request? Bytes or an end that nobody asked for
 * say no. */
static bool is_reusable(struct trib_http *http) {
    return http->connection != NULL && http->response.state == TRIB_RESPONSE_DONE &&
           http->response.keeps_alive && !http->was_cut && http->first == http->limit &&
           look(http, 0, 0) == 0;
}

static enum trib_status call_daemon(struct trib_http *http, const struct trib_http_call *call,
                                    struct trib_error *error) {
    if (is_reusable(http)) {
        enum trib_status status = attempt(http, call, error);
        /* The daemon may close an idle connection at the moment when we use it again (RFC 9112,
         * section 9.3.1). Once is no trouble: ask again. */
        if (status != TRIB_ECLOSED || http->response.head_bytes > 0) {
            return status;
        }
    }
    disconnect(http);
    enum trib_status status = dial(http, error);
    return status == TRIB_OK ? attempt(http, call, error) : status;
}

/* --- handing over --------------------------------------------------------------------------- */

/* The body into sealed memory. What the body's source says; else TRIB_OK, and *descriptor is
 * negative when this machine has no memory for it. */
static enum trib_status fill_memory(struct trib_http *http, const struct trib_source *body,
                                    int *descriptor) {
    int fresh = -1;
    enum trib_status memory = trib_handover_begin(&fresh);
    enum trib_status status = TRIB_OK;
    for (uint64_t at = 0; at < body->byte_count && memory == TRIB_OK && status == TRIB_OK;) {
        uint64_t left = body->byte_count - at;
        size_t count = left < sizeof http->buffer ? (size_t)left : sizeof http->buffer;
        status = body->read(body->context, at, http->buffer, count);
        if (status == TRIB_OK) {
            memory = trib_handover_append(fresh, http->buffer, count);
        }
        at += count;
    }
    if (memory == TRIB_OK && status == TRIB_OK) {
        memory = trib_handover_seal(fresh);
    }
    if (fresh >= 0 && (memory != TRIB_OK || status != TRIB_OK)) {
        (void)close(fresh); /* nobody reads it */
        fresh = -1;
    }
    *descriptor = fresh;
    return status;
}

/* Hand the body over if both sides can; *is_done: there is a reply that is no refusal of memory. */
static enum trib_status call_with_memory(struct trib_http *http, const struct trib_http_call *call,
                                         bool *is_done, struct trib_error *error) {
    *is_done = false;
    if (!http->may_hand_over || !http->is_taken || !call->may_hand_over || call->body == NULL ||
        call->body->byte_count < TRIB_HANDOVER_BYTES_MIN) {
        return TRIB_OK;
    }
    if (http->first < http->limit || http->response.state != TRIB_RESPONSE_DONE) {
        disconnect(http); /* the buffer is needed, and what is left in it is given up */
    }
    enum trib_status status = fill_memory(http, call->body, &http->handed);
    if (status != TRIB_OK) {
        return lose(http, status, "the body of the request cannot be read", error);
    }
    if (http->handed < 0) {
        return TRIB_OK;
    }
    status = call_daemon(http, call, error);
    (void)close(http->handed); /* the daemon has its own */
    http->handed = -1;
    bool is_refused = status == TRIB_OK && http->response.status == EXPECTATION_FAILED;
    http->may_hand_over &= !is_refused;
    *is_done = status == TRIB_OK && !is_refused;
    return status;
}

enum trib_status trib_http_call(struct trib_http *http, const struct trib_http_call *call,
                                struct trib_error *error) {
    bool is_done;
    enum trib_status status = call_with_memory(http, call, &is_done, error);
    return status == TRIB_OK && !is_done ? call_daemon(http, call, error) : status;
}

/* --- replies -------------------------------------------------------------------------------- */

int trib_http_reply_status(const struct trib_http *http) {
    return http->response.status;
}

bool trib_http_reply_field(const struct trib_http *http, const char *name, char *value,
                           size_t room) {
    return trib_response_field(&http->response, name, value, room);
}

bool trib_http_reply_bytes(const struct trib_http *http, uint64_t *byte_count) {
    *byte_count = http->response.body_bytes;
    return http->response.has_length;
}

enum trib_status trib_http_read(struct trib_http *http, void *bytes, size_t room, size_t *count,
                                struct trib_error *error) {
    struct trib_response *response = &http->response;
    *count = 0;
    while (response->state == TRIB_RESPONSE_BODY && *count == 0) {
        if (http->connection == NULL) {
            return trib_error_set(error, TRIB_ECLOSED, "the connection was lost");
        }
        if (http->first == http->limit) {
            enum trib_status status = receive(http, error);
            if (status != TRIB_OK) {
                return status;
            }
        }
        size_t there = http->limit - http->first;
        const char *body;
        http->first += trib_response_feed(response, http->buffer + http->first,
                                          there < room ? there : room, &body, count);
        memcpy(bytes, *count > 0 ? body : "", *count);
    }
    return response->state == TRIB_RESPONSE_BROKEN
               ? lose(http, TRIB_EMALFORMED, response->error, error)
               : TRIB_OK;
}

/* Read to the end into an array that grows; *used counts what is in it. */
static enum trib_status read_growing(struct trib_http *http, size_t bytes_max, char **bytes,
                                     size_t *room, size_t *used, struct trib_error *error) {
    for (;;) {
        size_t count;
        enum trib_status status =
            trib_http_read(http, *bytes + *used, *room - *used, &count, error);
        *used += count;
        if (status != TRIB_OK || count == 0) {
            return status;
        }
        if (*used < *room) {
            continue;
        }
        if (*used > bytes_max) {
            return lose(http, TRIB_ELIMIT, "the reply is larger than it may be", error);
        }
        size_t more = *room < bytes_max / 2 ? *room * 2 : bytes_max + 1;
        char *grown = trib_regrow(http->env, *bytes, *room, more, 1);
        if (grown == NULL) {
            return lose(http, TRIB_EMEMORY, "no memory for the reply", error);
        }
        *bytes = grown;
        *room = more;
    }
}

enum trib_status trib_http_read_all(struct trib_http *http, size_t bytes_max, char **bytes,
                                    size_t *count, struct trib_error *error) {
    uint64_t announced;
    size_t room = READ_ALL_START < bytes_max ? READ_ALL_START : bytes_max + 1;
    if (http->response.state == TRIB_RESPONSE_BODY && trib_http_reply_bytes(http, &announced)) {
        if (announced > bytes_max) {
            return lose(http, TRIB_ELIMIT, "the reply is larger than it may be", error);
        }
        room = (size_t)announced + 1;
    }
    char *fresh = trib_allocate(http->env, room, 1);
    if (fresh == NULL) {
        return lose(http, TRIB_EMEMORY, "no memory for the reply", error);
    }
    size_t used = 0;
    enum trib_status status = read_growing(http, bytes_max, &fresh, &room, &used, error);
    if (status == TRIB_OK && used + 1 != room) {
        /* The caller gives back *count + 1 bytes, so that is what it must get. */
        char *fitting = trib_allocate(http->env, used + 1, 1);
        if (fitting == NULL) {
            status = lose(http, TRIB_EMEMORY, "no memory for the reply", error);
        } else {
            memcpy(fitting, fresh, used);
            trib_release(http->env, fresh, room, 1);
            fresh = fitting;
            room = used + 1;
        }
    }
    if (status != TRIB_OK) {
        trib_release(http->env, fresh, room, 1);
        return status;
    }
    *bytes = fresh;
    *count = used;
    return TRIB_OK;
}
