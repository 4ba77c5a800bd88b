/* connection.c - what arrives at a connection, and what is done about it.
 *
 * Bytes are read straight to where they belong: a head into the inbox (16 KiB, there only while it
 * holds something), a body into memory lent by the handlers, what nobody wants into the server's
 * scratch memory. What is in the inbox behind a head is body or the next request, and is used up
 * before the socket is read again; so an idle connection holds no buffer at all. */
#include "net/connection.h"

#include <string.h>

static const struct trib_http_refusal refusal_of_framing = {400, "malformed",
                                                            "the chunked body is malformed"};
static const struct trib_http_refusal refusal_of_size = {413, "too_large",
                                                         "the body is larger than allowed here"};
static const struct trib_http_refusal refusal_of_memory = {
    417, "expectation", "only whole updates can be handed over; send the bytes"};
static const struct trib_http_refusal refusal_of_silence = {408, "idle",
                                                            "nothing has arrived for too long"};

struct trib_connection *trib_connection_of(const struct trib_exchange *exchange) {
    return (struct trib_connection *)((char *)(uintptr_t)exchange -
                                      offsetof(struct trib_connection, exchange));
}

static void restart_idle(struct trib_connection *connection) {
    trib_idle_restart(&connection->idle, trib_loop_now(connection->server->loop),
                      trib_connection_moved(connection));
}

static void enter(struct trib_connection *connection, enum connection_phase phase) {
    connection->phase = phase;
    restart_idle(connection);
}

/* ---- the inbox ---- */

static size_t inbox_count(const struct trib_connection *connection) {
    return connection->inbox_end - connection->inbox_start;
}

static void release_inbox(struct trib_connection *connection) {
    const struct trib_env *env = connection->server->env;
    if (connection->inbox != NULL) {
        env->release(env->context, connection->inbox, TRIB_HTTP_HEAD_BYTES_MAX);
    }
    connection->inbox = NULL;
    connection->inbox_start = connection->inbox_end = connection->head_scanned = 0;
}

/* NULL: no memory. Not zeroed: only what was read into it is ever looked at. */
static unsigned char *inbox_room(struct trib_connection *connection, size_t *room) {
    const struct trib_env *env = connection->server->env;
    if (connection->inbox == NULL) {
        connection->inbox = env->allocate(env->context, TRIB_HTTP_HEAD_BYTES_MAX);
        if (connection->inbox == NULL) {
            trib_server_schedule_failure(connection, TRIB_EMEMORY);
            return NULL;
        }
    }
    if (connection->inbox_start > 0) {
        memmove(connection->inbox, connection->inbox + connection->inbox_start,
                inbox_count(connection));
        connection->inbox_end -= connection->inbox_start;
        connection->inbox_start = 0;
    }
    *room = TRIB_HTTP_HEAD_BYTES_MAX - connection->inbox_end;
    return connection->inbox + connection->inbox_end;
}

/* ---- the end ---- */

static void end_exchange(struct trib_connection *connection) {
    connection->exchange.is_live = false;
    trib_connection_drop_handed(connection);
    connection->server->counts.exchanges--;
    trib_connection_discard(connection);
}

static void closed(uv_handle_t *handle) {
    struct trib_connection *connection = handle->data;
    struct trib_server *server = connection->server;
    trib_connection_discard(connection);
    trib_tls_session_free(connection->tls);
    release_inbox(connection);
    trib_server_forget(server, connection);
    trib_release(server->env, connection, 1, sizeof *connection);
}

static void close_connection(struct trib_connection *connection) {
    if (connection->phase != CONNECTION_CLOSING) {
        TRIB_ASSERT(!connection->is_file_busy);
        connection->phase = CONNECTION_CLOSING;
        uv_close(&connection->socket.handle, closed);
    }
}

static void end_as_gone(struct trib_connection *connection, enum trib_status why) {
    struct trib_server *server = connection->server;
    if (connection->exchange.is_live) {
        end_exchange(connection);
        server->handlers->gone(server->context, &connection->exchange, why);
    }
}

void trib_connection_fail(struct trib_connection *connection, enum trib_status why) {
    if (connection->is_file_busy) {
        /* The descriptor could be another connection's when the worker uses it. */
        connection->failure = why;
        return;
    }
    end_as_gone(connection, why);
    close_connection(connection);
}

/* The exchange ends, but the peer learns why. */
static void fail_and_refuse(struct trib_connection *connection, enum trib_status why,
                            const struct trib_http_refusal *refusal) {
    end_as_gone(connection, why);
    if (connection->phase != CONNECTION_CLOSING) {
        trib_refusals_add(&connection->server->counts.refused, refusal->code);
        trib_connection_refuse(connection, refusal);
    }
}

static void fail_with(struct trib_connection *connection, enum trib_status why) {
    connection->failure = TRIB_OK;
    if (why == TRIB_ELIMIT) {
        fail_and_refuse(connection, why, &refusal_of_size);
    } else if (why == TRIB_EUNSUPPORTED) {
        fail_and_refuse(connection, why, &refusal_of_memory);
    } else {
        trib_connection_fail(connection, why);
    }
}

/* The peer sends no more. */
static void peer_ended(struct trib_connection *connection) {
    connection->has_peer_ended = true;
    if (connection->phase != CONNECTION_SEND) {
        trib_connection_fail(connection, TRIB_ECLOSED);
    }
}

/* ---- heads ---- */

static void begin_exchange(struct trib_connection *connection,
                           const struct trib_http_request *request) {
    connection->exchange = (struct trib_exchange){.is_live = true};
    connection->is_persistent = request->is_persistent;
    connection->is_head_request = request->method == TRIB_HTTP_HEAD;
    connection->expects_continue = request->expects_continue;
    connection->body_left = connection->is_handed ? 1 : request->content_length;
    connection->chunks = (struct trib_http_chunks){0};
    connection->body = request->is_chunked           ? BODY_CHUNKED
                       : request->content_length > 0 ? BODY_LENGTH
                                                     : BODY_NONE;
    connection->server->counts.exchanges++;
    connection->server->counts.requests++;
}

/* True: a head was there, and has been dealt with. */
static bool use_head(struct trib_connection *connection) {
    struct trib_server *server = connection->server;
    char *head = (char *)connection->inbox + connection->inbox_start;
    size_t head_bytes = 0;
    if (inbox_count(connection) == 0) {
        return false;
    }
    struct trib_http_request request;
    const struct trib_http_refusal *refusal =
        trib_http_head_scan(head, inbox_count(connection), &connection->head_scanned, &head_bytes);
    if (refusal == NULL && head_bytes == 0) {
        return false;
    }
    if (refusal == NULL) {
        refusal = trib_http_request_parse(head, head_bytes, &request);
    }
    if (refusal == NULL) {
        refusal = trib_connection_read_handover(connection, &request);
    }
    connection->head_scanned = 0;
    if (refusal != NULL) {
        /* What follows cannot be told apart any more. */
        connection->body = BODY_NONE;
        connection->is_head_request = false;
        connection->inbox_start = connection->inbox_end = 0;
        fail_and_refuse(connection, TRIB_EMALFORMED, refusal);
        return true;
    }
    connection->inbox_start += head_bytes;
    begin_exchange(connection, &request);
    enter(connection, CONNECTION_WAIT);
    server->handlers->head(server->context, &connection->exchange, &request);
    return true;
}

/* ---- bodies ---- */

/* Never so much that what is behind the body would not fit into the inbox. */
static void *lend(struct trib_connection *connection, size_t *room) {
    struct trib_server *server = connection->server;
    connection->lent = server->handlers->lend(server->context, &connection->exchange, room);
    if (connection->phase != CONNECTION_BODY) {
        return NULL; /* the handlers have decided otherwise meanwhile */
    }
    if (connection->lent == NULL || *room == 0) {
        connection->is_starved = true;
        return NULL;
    }
    uint64_t room_max = connection->body == BODY_LENGTH
                            ? connection->body_left
                            : connection->chunks.chunk_left + TRIB_HTTP_HEAD_BYTES_MAX;
    if (*room > room_max) {
        *room = (size_t)room_max;
    }
    return connection->lent;
}

/* Remove the framing of bytes[count]. Sets body to BODY_NONE behind the last byte. */
static enum trib_status unframe(struct trib_connection *connection, void *bytes, size_t count,
                                size_t *payload, size_t *consumed) {
    enum trib_status status = TRIB_OK;
    if (connection->body == BODY_LENGTH) {
        *consumed = count < connection->body_left ? count : (size_t)connection->body_left;
        *payload = *consumed;
        connection->body_left -= *consumed;
        if (connection->body_left == 0) {
            connection->body = BODY_NONE;
        }
    } else {
        status = trib_http_chunks_decode(&connection->chunks, bytes, count, payload, consumed);
        if (status != TRIB_OK || connection->chunks.is_done) {
            connection->body = BODY_NONE;
        }
    }
    return status;
}

static void finish_body(struct trib_connection *connection) {
    struct trib_server *server = connection->server;
    enter(connection, CONNECTION_WAIT);
    server->handlers->complete(server->context, &connection->exchange);
}

/* What has come behind the body goes before all that is still to come. */
static void keep_rest(struct trib_connection *connection, const unsigned char *rest, size_t count) {
    size_t room = 0;
    unsigned char *place = inbox_room(connection, &room);
    if (place != NULL) {
        TRIB_ASSERT(count <= room);
        memcpy(place, rest, count);
        connection->inbox_end += count;
    }
}

/* count bytes of the peer's have been put where lend() said. */
static void take_body(struct trib_connection *connection, size_t count, bool is_from_inbox) {
    struct trib_server *server = connection->server;
    struct trib_exchange *exchange = &connection->exchange;
    unsigned char *bytes = connection->lent;
    size_t payload = 0;
    size_t consumed = 0;
    enum trib_status status = unframe(connection, bytes, count, &payload, &consumed);
    if (is_from_inbox) {
        connection->inbox_start += consumed;
    } else if (consumed < count) {
        keep_rest(connection, bytes + consumed, count - consumed);
    }
    if (status != TRIB_OK) {
        fail_and_refuse(connection, TRIB_EMALFORMED, &refusal_of_framing);
        return;
    }
    if (payload > exchange->bytes_max - exchange->bytes_received) {
        fail_and_refuse(connection, TRIB_ELIMIT, &refusal_of_size);
        return;
    }
    exchange->bytes_received += payload;
    server->counts.bytes_received += payload;
    if (payload > 0) {
        server->handlers->filled(server->context, exchange, payload);
    }
    if (connection->phase == CONNECTION_BODY && connection->body == BODY_NONE) {
        finish_body(connection);
    }
}

/* The one byte of a body that is handed over has come. */
static void take_handed(struct trib_connection *connection) {
    connection->body_left = 0;
    connection->body = BODY_NONE;
    finish_body(connection);
}

static bool waits_for_handed(const struct trib_connection *connection) {
    return connection->is_handed && connection->phase == CONNECTION_BODY;
}

static bool use_body(struct trib_connection *connection) {
    size_t room = 0;
    if (connection->is_handed && inbox_count(connection) > 0) {
        connection->inbox_start++; /* sent too early: its descriptor is lost */
        take_handed(connection);
        return true;
    }
    if (connection->body == BODY_NONE) { /* there never was one */
        finish_body(connection);
        return true;
    }
    if (inbox_count(connection) == 0 || connection->is_starved) {
        return false;
    }
    void *place = lend(connection, &room);
    if (place == NULL) {
        return connection->phase != CONNECTION_BODY;
    }
    size_t count = room < inbox_count(connection) ? room : inbox_count(connection);
    memcpy(place, connection->inbox + connection->inbox_start, count);
    take_body(connection, count, true);
    return true;
}

/* ---- refused bodies ---- */

static void drop(struct trib_connection *connection, void *bytes, size_t count) {
    size_t payload = 0;
    size_t consumed = 0;
    connection->dropped_bytes += count;
    /* A peer that breaks the framing now has been told enough. */
    (void)unframe(connection, bytes, count, &payload, &consumed);
    if (connection->body == BODY_NONE ||
        connection->dropped_bytes >= connection->server->config.drop_bytes) {
        trib_connection_half_close(connection);
    }
}

static bool use_inbox_for_drop(struct trib_connection *connection) {
    size_t count = inbox_count(connection);
    if (count == 0) {
        return false;
    }
    unsigned char *bytes = connection->inbox + connection->inbox_start;
    connection->inbox_start = connection->inbox_end;
    drop(connection, bytes, count);
    return true;
}

/* ---- the socket ---- */

static bool wants_bytes(const struct trib_connection *connection) {
    if (connection->has_peer_ended || connection->failure != TRIB_OK ||
        connection->turn_bytes >= connection->server->config.turn_bytes) {
        return false;
    }
    switch (connection->phase) {
    case CONNECTION_HEAD:
    case CONNECTION_WAIT: /* only to see the peer leave; also while sending, because to stop and */
    case CONNECTION_SEND: /* start reading for each small reply would cost two system calls */
        return inbox_count(connection) < TRIB_HTTP_HEAD_BYTES_MAX;
    case CONNECTION_BODY:
        return !connection->is_starved; /* else the inbox has been used up before */
    case CONNECTION_STREAM:
    case CONNECTION_DROP:
    case CONNECTION_LINGER:
        return true;
    case CONNECTION_CLOSING:
        break;
    }
    return false;
}

/* Where the next bytes of plain text go; NULL: nowhere now. */
static void *find_place(struct trib_connection *connection, size_t *room) {
    switch (connection->phase) {
    case CONNECTION_HEAD:
    case CONNECTION_WAIT:
    case CONNECTION_SEND:
        return inbox_room(connection, room);
    case CONNECTION_BODY:
        return lend(connection, room);
    default:
        *room = SCRATCH_BYTES;
        return connection->server->scratch;
    }
}

/* count bytes of plain text are where find_place() said. */
static void take(struct trib_connection *connection, size_t count) {
    switch (connection->phase) {
    case CONNECTION_HEAD:
        if (inbox_count(connection) == 0) {
            restart_idle(connection); /* from now on it is a head that takes its time */
        }
        connection->inbox_end += count;
        break;
    case CONNECTION_WAIT:
    case CONNECTION_SEND:
        connection->inbox_end += count;
        break;
    case CONNECTION_BODY:
        take_body(connection, count, false);
        break;
    case CONNECTION_DROP:
        drop(connection, connection->server->scratch, count);
        break;
    default:
        break;
    }
}

/* TLS: move plain text out of the session. True: there was some. */
static bool pull(struct trib_connection *connection) {
    size_t room = 0;
    size_t count = 0;
    if (connection->tls == NULL || connection->phase == CONNECTION_LINGER ||
        !wants_bytes(connection)) {
        return false;
    }
    void *place = find_place(connection, &room);
    if (place == NULL) {
        return false;
    }
    switch (trib_tls_read(connection->tls, place, room, &count)) {
    case TRIB_OK:
        if (count > 0) {
            take(connection, count);
        }
        return count > 0;
    case TRIB_ECLOSED:
        peer_ended(connection);
        return false;
    default:
        /* Closing our side sends the alert that says what was wrong. */
        end_as_gone(connection, TRIB_EMALFORMED);
        if (connection->phase != CONNECTION_CLOSING) {
            trib_connection_half_close(connection);
        }
        return false;
    }
}

static void allocate(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buffer) {
    (void)suggested_bytes;
    struct trib_connection *connection = handle->data;
    size_t room = SCRATCH_BYTES;
    void *place = connection->server->scratch;
    if (waits_for_handed(connection)) {
        trib_connection_receive_handed(connection);
        place = NULL; /* libuv shall not read what is behind it: arrived() is called all the same */
    } else if (connection->tls == NULL) {
        place = find_place(connection, &room);
    }
    size_t turn_bytes = connection->server->config.turn_bytes;
    buffer->base = place;
    buffer->len = place == NULL ? 0 : room < turn_bytes ? room : turn_bytes;
}

static void arrived(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct trib_connection *connection = stream->data;
    if (count == 0) {
        return; /* the socket had nothing after all */
    }
    if (count > 0) {
        connection->bytes_in += (uint64_t)count;
        connection->turn_bytes += (size_t)count;
        if (connection->tls == NULL) {
            take(connection, (size_t)count);
        } else if (connection->phase != CONNECTION_LINGER &&
                   !trib_tls_feed(connection->tls, buffer->base, (size_t)count)) {
            trib_connection_fail(connection, TRIB_EMEMORY);
        }
    } else if (count == UV_EOF) {
        connection->is_reading = false;
        peer_ended(connection);
    } else if (count != UV_ENOBUFS) {
        trib_connection_fail(connection, TRIB_ECLOSED);
    } else if (waits_for_handed(connection) && connection->handed_got > 0) {
        connection->bytes_in++;
        take_handed(connection);
    } else if (waits_for_handed(connection) && connection->handed_got == 0) {
        peer_ended(connection);
    }
    trib_connection_advance(connection);
}

static void watch_socket(struct trib_connection *connection) {
    bool should_read = wants_bytes(connection);
    if (should_read && !connection->is_reading) {
        if (uv_read_start(&connection->socket.stream, allocate, arrived) != 0) {
            trib_server_schedule_failure(connection, TRIB_ECLOSED);
            return;
        }
    } else if (!should_read && connection->is_reading) {
        (void)uv_read_stop(&connection->socket.stream); /* always succeeds */
    }
    connection->is_reading = should_read;
}

/* ---- one turn ---- */

static bool use_inbox(struct trib_connection *connection) {
    switch (connection->phase) {
    case CONNECTION_HEAD:
        return use_head(connection);
    case CONNECTION_BODY:
        return use_body(connection);
    case CONNECTION_DROP:
        return use_inbox_for_drop(connection);
    default:
        return false;
    }
}

void trib_connection_advance(struct trib_connection *connection) {
    do {
        if (connection->failure != TRIB_OK && connection->phase != CONNECTION_CLOSING) {
            fail_with(connection, connection->failure);
        }
        if (connection->phase == CONNECTION_CLOSING) {
            return;
        }
    } while (use_inbox(connection) || pull(connection));
    if (connection->phase == CONNECTION_CLOSING) {
        return;
    }
    if (inbox_count(connection) == 0) {
        release_inbox(connection);
    }
    trib_connection_send(connection); /* TLS may have something to say by itself */
    watch_socket(connection);
    if (connection->turn_bytes >= connection->server->config.turn_bytes) {
        trib_server_schedule(connection);
    }
}

void trib_connection_sent(struct trib_connection *connection) {
    struct trib_server *server = connection->server;
    bool is_live = connection->exchange.is_live;
    if (is_live) {
        end_exchange(connection);
    } else {
        trib_connection_discard(connection);
    }
    if (connection->has_peer_ended) {
        close_connection(connection);
    } else if (connection->body != BODY_NONE && !connection->expects_continue) {
        enter(connection, CONNECTION_DROP);
    } else if (connection->is_closing) {
        trib_connection_half_close(connection);
    } else {
        enter(connection, CONNECTION_HEAD);
    }
    if (is_live) {
        server->handlers->done(server->context, &connection->exchange);
    }
    trib_connection_advance(connection);
}

bool trib_connection_is_idle(const struct trib_connection *connection) {
    return connection->phase == CONNECTION_HEAD && inbox_count(connection) == 0 &&
           (connection->tls == NULL || trib_tls_is_established(connection->tls));
}

static bool is_silent(struct trib_connection *connection, trib_time_ns now) {
    return trib_idle_is_over(&connection->idle, &connection->server->config.idle, now,
                             trib_connection_moved(connection));
}

void trib_connection_tick(struct trib_connection *connection, trib_time_ns now) {
    switch (connection->phase) {
    case CONNECTION_HEAD:
        if (trib_connection_is_idle(connection)) {
            if (now - connection->idle.since >= connection->server->config.keep_alive) {
                close_connection(connection);
            }
        } else if (is_silent(connection, now)) {
            connection->body = BODY_NONE;
            connection->is_head_request = false;
            fail_and_refuse(connection, TRIB_ETIMEOUT, &refusal_of_silence);
        }
        break;
    case CONNECTION_BODY:
        /* Who waits for our memory is not silent. */
        if (!connection->is_starved && is_silent(connection, now)) {
            connection->body = BODY_NONE;
            fail_and_refuse(connection, TRIB_ETIMEOUT, &refusal_of_silence);
        }
        break;
    case CONNECTION_STREAM:
        if (!connection->is_writing) {
            restart_idle(connection); /* nothing to say */
            break;
        }
        /* fall through */
    case CONNECTION_SEND:
    case CONNECTION_DROP:
        if (is_silent(connection, now)) {
            trib_connection_fail(connection, TRIB_ETIMEOUT);
        }
        break;
    case CONNECTION_LINGER:
        if (now >= connection->linger_end) {
            close_connection(connection);
        }
        break;
    case CONNECTION_WAIT:
    case CONNECTION_CLOSING:
        break;
    }
}

/* ---- the beginning ---- */

static void find_peer(struct trib_connection *connection) {
    union trib_address address = {.any = {.sa_family = AF_UNIX}};
    int address_bytes = sizeof address;
    if (!connection->is_unix &&
        uv_tcp_getpeername(&connection->socket.tcp, &address.any, &address_bytes) != 0) {
        address.any.sa_family = AF_UNSPEC; /* it has left already; reading will tell */
    }
    connection->is_loopback = trib_address_is_loopback(&address.any);
    trib_address_format(&address.any, connection->peer, sizeof connection->peer);
}

bool trib_connection_accept(struct listener *listener) {
    struct trib_server *server = listener->server;
    uv_loop_t *loop = trib_loop_uv(server->loop);
    struct trib_connection *connection = trib_allocate(server->env, 1, sizeof *connection);
    if (connection == NULL) {
        return false;
    }
    if (listener->is_tls) {
        connection->tls = trib_tls_session_new(server->tls);
        if (connection->tls == NULL) {
            trib_release(server->env, connection, 1, sizeof *connection);
            return false;
        }
    }
    connection->server = server;
    connection->handed = -1;
    connection->is_unix = listener->address.any.sa_family == AF_UNIX;
    int failed = connection->is_unix ? uv_pipe_init(loop, &connection->socket.pipe, 0)
                                     : uv_tcp_init(loop, &connection->socket.tcp);
    TRIB_ASSERT(failed == 0); /* no descriptor is opened yet */
    connection->socket.handle.data = connection;
    connection->next = server->connections;
    if (connection->next != NULL) {
        connection->next->previous = connection;
    }
    server->connections = connection;
    server->counts.connections++;
    server->counts.accepted++;
    server->handles_open++;
    enter(connection, CONNECTION_HEAD);
    if (uv_accept(&listener->socket.stream, &connection->socket.stream) != 0) {
        close_connection(connection); /* libuv has closed the descriptor */
        return true;
    }
    if (!connection->is_unix) {
        /* Replies are gathered before they are written: waiting for more could only delay them.
         * Refused by a peer that has gone: reading will tell. */
        (void)uv_tcp_nodelay(&connection->socket.tcp, 1);
    }
    find_peer(connection);
    watch_socket(connection);
    return true;
}

/* ---- what handlers may say about a request; replies are in sending.c ---- */

static void begin_body(struct trib_connection *connection) {
    enter(connection, CONNECTION_BODY);
    connection->is_starved = false;
    connection->owes_continue = connection->expects_continue;
    connection->expects_continue = false;
    trib_connection_send(connection);
    trib_server_schedule(connection);
}

void trib_exchange_receive(struct trib_exchange *exchange, uint64_t bytes_max) {
    struct trib_connection *connection = trib_connection_of(exchange);
    TRIB_ASSERT(exchange->is_live);
    TRIB_ASSERT(connection->phase == CONNECTION_WAIT);
    exchange->bytes_max = bytes_max;
    if (connection->failure != TRIB_OK) {
        return;
    }
    if (connection->is_handed) {
        trib_server_schedule_failure(connection, TRIB_EUNSUPPORTED);
        return;
    }
    if (connection->body == BODY_LENGTH && connection->body_left > bytes_max) {
        trib_server_schedule_failure(connection, TRIB_ELIMIT);
        return;
    }
    begin_body(connection);
}

void trib_exchange_receive_handed(struct trib_exchange *exchange) {
    struct trib_connection *connection = trib_connection_of(exchange);
    TRIB_ASSERT(exchange->is_live && connection->is_handed);
    TRIB_ASSERT(connection->phase == CONNECTION_WAIT);
    if (connection->failure == TRIB_OK) {
        begin_body(connection);
    }
}

void trib_exchange_resume(struct trib_exchange *exchange) {
    struct trib_connection *connection = trib_connection_of(exchange);
    TRIB_ASSERT(exchange->is_live);
    if (connection->phase == CONNECTION_BODY && connection->is_starved) {
        connection->is_starved = false;
        restart_idle(connection);
        trib_server_schedule(connection);
    }
}

void trib_exchange_abort(struct trib_exchange *exchange) {
    TRIB_ASSERT(exchange->is_live);
    trib_server_schedule_failure(trib_connection_of(exchange), TRIB_ECLOSED);
}

void trib_exchange_set_context(struct trib_exchange *exchange, void *context) {
    exchange->context = context;
}

void *trib_exchange_context(const struct trib_exchange *exchange) {
    return exchange->context;
}

bool trib_exchange_is_loopback(const struct trib_exchange *exchange) {
    return trib_connection_of(exchange)->is_loopback;
}

bool trib_exchange_is_unix(const struct trib_exchange *exchange) {
    return trib_connection_of(exchange)->is_unix;
}

bool trib_exchange_is_tls(const struct trib_exchange *exchange) {
    return trib_connection_of(exchange)->tls != NULL;
}

const char *trib_exchange_peer(const struct trib_exchange *exchange) {
    return trib_connection_of(exchange)->peer;
}

uint64_t trib_exchange_bytes_received(const struct trib_exchange *exchange) {
    return exchange->bytes_received;
}

uint64_t trib_exchange_bytes_sent(const struct trib_exchange *exchange) {
    return exchange->bytes_sent;
}
