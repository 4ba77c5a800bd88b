/* server.c - listens, accepts within limits, keeps time for all connections, and stops.
 *
 * One timer looks at every connection four times per shortest time limit: cheaper than a timer per
 * connection that is moved with every byte, and as exact as such limits need to be. Running out of
 * descriptors is libuv's business: it keeps a spare one, takes newcomers with it and closes them at
 * once, so that they learn about it and the loop does not spin. */
#include "net/server.h"

#include <string.h>
#include <sys/stat.h>

#include "net/connection.h"

enum { BACKLOG = 1024 };

static const struct trib_server_config defaults = {
    .connections_max = 4096,
    .idle = {.after = 30 * TRIB_SECOND, .bytes = 1024},
    .keep_alive = 75 * TRIB_SECOND,
    .linger = 2 * TRIB_SECOND,
    .room_after = TRIB_SECOND,
    .drop_bytes = 1 << 20,
    .turn_bytes = 1 << 20,
    .stream_bytes = 1 << 20,
};

#define FILL(field)                     \
    if (config->field == 0) {           \
        config->field = defaults.field; \
    }

static void fill_defaults(struct trib_server_config *config) {
    FILL(connections_max)
    FILL(idle.after)
    FILL(idle.bytes)
    FILL(keep_alive)
    FILL(linger)
    FILL(room_after)
    FILL(drop_bytes)
    FILL(turn_bytes)
    FILL(stream_bytes)
}

/* ---- turns ---- */

/* Connections that are scheduled meanwhile get the next turn, not this one. */
static void wake(uv_idle_t *waker) {
    struct trib_server *server = waker->data;
    struct trib_connection *last = server->ready_last;
    struct trib_connection *connection = NULL;
    while (server->ready_first != NULL && connection != last) {
        connection = server->ready_first;
        server->ready_first = connection->ready_next;
        connection->is_ready = false;
        connection->turn_bytes = 0;
        trib_connection_advance(connection);
    }
    if (server->ready_first == NULL) {
        server->ready_last = NULL;
        (void)uv_idle_stop(waker); /* cannot fail */
    }
    if (server->is_stopping && server->handles_open == 0 && server->stopped != NULL) {
        void (*stopped)(void *context) = server->stopped;
        server->stopped = NULL;
        stopped(server->stopped_context); /* may free the server */
    }
}

static void start_waker(struct trib_server *server) {
    (void)uv_idle_start(&server->waker, wake); /* cannot fail */
}

void trib_server_schedule(struct trib_connection *connection) {
    struct trib_server *server = connection->server;
    if (connection->is_ready || connection->phase == CONNECTION_CLOSING) {
        return;
    }
    connection->is_ready = true;
    connection->ready_next = NULL;
    if (server->ready_first == NULL) {
        server->ready_first = connection;
    } else {
        server->ready_last->ready_next = connection;
    }
    server->ready_last = connection;
    start_waker(server);
}

void trib_server_schedule_failure(struct trib_connection *connection, enum trib_status why) {
    if (connection->failure == TRIB_OK) {
        connection->failure = why;
    }
    trib_server_schedule(connection);
}

/* Rare, and the list is short: a search is cheaper than a second pointer in every connection. */
static void leave_ready_list(struct trib_server *server, struct trib_connection *connection) {
    struct trib_connection *previous = NULL;
    struct trib_connection *other = server->ready_first;
    while (other != connection) {
        previous = other;
        other = other->ready_next;
    }
    if (previous == NULL) {
        server->ready_first = connection->ready_next;
    } else {
        previous->ready_next = connection->ready_next;
    }
    if (server->ready_last == connection) {
        server->ready_last = previous;
    }
}

/* ---- the clock ---- */

static void accept_one(struct listener *listener);

static void accept_waiting(struct trib_server *server) {
    for (size_t i = 0; !server->is_stopping && i < server->listener_count; i++) {
        if (server->listeners[i]->has_waiting) {
            accept_one(server->listeners[i]);
        }
    }
}

static void tick(uv_timer_t *timer) {
    struct trib_server *server = timer->data;
    trib_time_ns now = trib_loop_now(server->loop);
    bool is_over = server->is_stopping && now >= server->stop_deadline;
    struct trib_connection *next = NULL;
    for (struct trib_connection *connection = server->connections; connection != NULL;
         connection = next) {
        /* Memory goes in close callbacks only, so that the list stays as it is meanwhile. */
        next = connection->next;
        if (is_over) {
            trib_connection_fail(connection, TRIB_ECLOSED);
        } else {
            trib_connection_tick(connection, now);
        }
    }
    accept_waiting(server); /* memory may be there again, or somebody idle for long enough */
}

static trib_time_ns least(trib_time_ns a, trib_time_ns b) {
    return a < b ? a : b;
}

static void start_tick(struct trib_server *server) {
    if (!uv_is_active((uv_handle_t *)&server->tick)) {
        const struct trib_server_config *config = &server->config;
        trib_time_ns limit = least(least(config->idle.after, config->room_after),
                                   least(config->keep_alive, config->linger));
        uint64_t every_ms = (uint64_t)(limit / 4 / TRIB_MILLISECOND);
        every_ms = every_ms < 5 ? 5 : every_ms > 1000 ? 1000 : every_ms;
        (void)uv_timer_start(&server->tick, tick, every_ms, every_ms); /* has a callback */
    }
}

/* ---- newcomers ---- */

/* Not one that has just come, or just been answered: its next request is on the way, and would meet
 * a reset. Whoever is told to go may still say so; meanwhile nothing is lost. */
static void close_longest_idle(struct trib_server *server) {
    const trib_time_ns before = trib_loop_now(server->loop) - server->config.room_after;
    struct trib_connection *longest = NULL;
    for (struct trib_connection *connection = server->connections; connection != NULL;
         connection = connection->next) {
        if (trib_connection_is_idle(connection) && connection->idle.since <= before &&
            (longest == NULL || connection->idle.since <= longest->idle.since)) {
            longest = connection;
        }
    }
    if (longest != NULL) {
        trib_connection_half_close(longest);
    }
}

/* While one waits libuv accepts no other at this address: the kernel's queue holds them. */
static void accept_one(struct listener *listener) {
    struct trib_server *server = listener->server;
    bool is_full = server->counts.connections >= server->config.connections_max;
    if (is_full) {
        close_longest_idle(server);
    }
    listener->has_waiting = is_full || !trib_connection_accept(listener);
    start_tick(server);
}

static void connection_came(uv_stream_t *stream, int failed) {
    struct listener *listener = stream->data;
    if (failed != 0) {
        trib_log(listener->server->env, TRIB_LOG_WARN, "accept_failed error=%s",
                 uv_err_name(failed));
        return;
    }
    accept_one(listener);
}

void trib_server_forget(struct trib_server *server, struct trib_connection *connection) {
    server->handles_open--;
    if (connection != NULL) {
        if (connection->is_ready) {
            leave_ready_list(server, connection);
        }
        if (connection->previous == NULL) {
            server->connections = connection->next;
        } else {
            connection->previous->next = connection->next;
        }
        if (connection->next != NULL) {
            connection->next->previous = connection->previous;
        }
        server->counts.connections--;
    }
    if (server->connections == NULL) {
        (void)uv_timer_stop(&server->tick); /* cannot fail */
    }
    accept_waiting(server);
    if (server->is_stopping && server->handles_open == 0) {
        start_waker(server);
    }
}

/* ---- listening ---- */

static void listener_unused(uv_handle_t *handle) {
    struct listener *listener = handle->data;
    trib_release(listener->env, listener, 1, sizeof *listener);
}

static void listener_closed(uv_handle_t *handle) {
    struct listener *listener = handle->data;
    trib_server_forget(listener->server, NULL);
    listener_unused(handle);
}

static enum trib_status explain(struct trib_error *error, const char *address, int failed) {
    enum trib_status status = TRIB_EIO;
    switch (failed) {
    case UV_EADDRINUSE:
        status = TRIB_ECONFLICT;
        break;
    case UV_EACCES:
    case UV_EPERM:
        status = TRIB_EFORBIDDEN;
        break;
    case UV_EADDRNOTAVAIL:
        status = TRIB_EINVALID;
        break;
    case UV_ENOMEM:
        status = TRIB_EMEMORY;
        break;
    default:
        break;
    }
    return trib_error_set(error, status, "listen at %s: %s", address, uv_strerror(failed));
}

static int listen_at_path(struct listener *listener) {
    /* The mode of a socket is that of its creation: there must be no moment with another one. */
    mode_t mask = umask(0177);
    int failed = uv_pipe_bind(&listener->socket.pipe, listener->address.path.sun_path);
    umask(mask);
    return failed != 0 ? failed : uv_listen(&listener->socket.stream, BACKLOG, connection_came);
}

static int listen_at_port(struct listener *listener) {
    int failed = uv_tcp_bind(&listener->socket.tcp, &listener->address.any, 0);
    if (failed == 0) {
        failed = uv_listen(&listener->socket.stream, BACKLOG, connection_came);
    }
    if (failed == 0) {
        int address_bytes = sizeof listener->address;
        failed = uv_tcp_getsockname(&listener->socket.tcp, &listener->address.any, &address_bytes);
    }
    return failed;
}

enum trib_status trib_server_listen(struct trib_server *server, const char *address, bool is_tls,
                                    struct trib_error *error) {
    union trib_address parsed;
    TRIB_ASSERT(!server->is_stopping);
    TRIB_ASSERT(!is_tls || server->tls != NULL);
    if (trib_address_parse(address, &parsed) != TRIB_OK) {
        return trib_error_set(error, TRIB_EINVALID,
                              "listen at %s: not like 127.0.0.1:7700, [::1]:7700 or unix:/path",
                              address);
    }
    bool is_unix = parsed.any.sa_family == AF_UNIX;
    TRIB_ASSERT(!is_tls || !is_unix);
    enum trib_status status = is_unix ? trib_address_prepare(&parsed) : TRIB_OK;
    if (status != TRIB_OK) {
        return trib_error_set(error, status, "listen at %s: %s", address, trib_status_text(status));
    }
    if (server->listener_count == TRIB_LISTENERS_MAX) {
        return trib_error_set(error, TRIB_ELIMIT, "listen at %s: too many addresses", address);
    }
    struct listener *listener = trib_allocate(server->env, 1, sizeof *listener);
    if (listener == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "listen at %s: out of memory", address);
    }
    *listener = (struct listener){
        .server = server, .env = server->env, .address = parsed, .is_tls = is_tls};
    uv_loop_t *loop = trib_loop_uv(server->loop);
    int failed = is_unix ? uv_pipe_init(loop, &listener->socket.pipe, 0)
                         : uv_tcp_init(loop, &listener->socket.tcp);
    TRIB_ASSERT(failed == 0); /* no descriptor is opened yet */
    listener->socket.handle.data = listener;
    failed = is_unix ? listen_at_path(listener) : listen_at_port(listener);
    if (failed != 0) {
        uv_close(&listener->socket.handle, listener_unused);
        return explain(error, address, failed);
    }
    server->handles_open++;
    server->listeners[server->listener_count++] = listener;
    if (server->port == 0) {
        server->port = trib_address_port(&listener->address.any);
    }
    return TRIB_OK;
}

unsigned trib_server_port(const struct trib_server *server) {
    return server->port;
}

void trib_server_counts(const struct trib_server *server, struct trib_server_counts *counts) {
    *counts = server->counts;
}

/* ---- the beginning and the end ---- */

/* *tls is NULL when none is configured, or on error. */
static enum trib_status make_tls(const struct trib_server_config *config, struct trib_tls **tls,
                                 struct trib_error *error) {
    *tls = NULL;
    if (config->certificate_file == NULL || config->key_file == NULL) {
        return TRIB_OK;
    }
    enum trib_status status = trib_tls_new(config->certificate_file, config->key_file, tls, error);
    if (status == TRIB_OK && config->client_ca_file != NULL) {
        status = trib_tls_require_clients(*tls, config->client_ca_file, error);
        if (status != TRIB_OK) {
            trib_tls_free(*tls);
            *tls = NULL;
        }
    }
    return status;
}

enum trib_status trib_server_reload(struct trib_server *server, struct trib_error *error) {
    struct trib_tls *tls;
    enum trib_status status = make_tls(&server->config, &tls, error);
    if (status == TRIB_OK) {
        trib_tls_free(server->tls); /* open sessions keep what they need of it */
        server->tls = tls;
    }
    return status;
}

bool trib_server_pin(const struct trib_server *server, const char *host, char pin[TRIB_PIN_BYTES]) {
    return server->tls != NULL && trib_tls_pin(server->tls, host, pin);
}

enum trib_status trib_server_new(struct trib_loop *loop, const struct trib_server_config *config,
                                 const struct trib_server_handlers *handlers, void *context,
                                 struct trib_server **server, struct trib_error *error) {
    const struct trib_env *env = trib_loop_env(loop);
    enum trib_status status = TRIB_EMEMORY;
    struct trib_server *made = trib_allocate(env, 1, sizeof *made);
    if (made == NULL) {
        return trib_error_set(error, status, "server: out of memory");
    }
    made->loop = loop;
    made->env = env;
    made->config = config == NULL ? defaults : *config;
    fill_defaults(&made->config);
    made->handlers = handlers;
    made->context = context;
    made->scratch = trib_allocate(env, SCRATCH_BYTES, 1);
    if (made->scratch == NULL) {
        trib_error_set(error, status, "server: out of memory");
        goto fail_scratch;
    }
    status = make_tls(&made->config, &made->tls, error);
    if (status != TRIB_OK) {
        goto fail_tls;
    }
    (void)uv_timer_init(trib_loop_uv(loop), &made->tick); /* neither can fail */
    (void)uv_idle_init(trib_loop_uv(loop), &made->waker);
    made->tick.data = made->waker.data = made;
    *server = made;
    return TRIB_OK;

fail_tls:
    trib_release(env, made->scratch, SCRATCH_BYTES, 1);
fail_scratch:
    trib_release(env, made, 1, sizeof *made);
    return status;
}

void trib_server_stop(struct trib_server *server, trib_time_ns deadline,
                      void (*stopped)(void *context), void *context) {
    server->stop_deadline = deadline;
    if (server->is_stopping) {
        return;
    }
    server->is_stopping = true;
    server->stopped = stopped;
    server->stopped_context = context;
    for (size_t i = 0; i < server->listener_count; i++) {
        uv_close(&server->listeners[i]->socket.handle, listener_closed);
    }
    for (struct trib_connection *connection = server->connections; connection != NULL;
         connection = connection->next) {
        if (trib_connection_is_idle(connection)) {
            trib_connection_fail(connection, TRIB_ECLOSED); /* has no exchange: nobody is told */
        }
    }
    start_waker(server); /* when nothing is open nothing else would call back */
}

static void own_handle_closed(uv_handle_t *handle) {
    struct trib_server *server = handle->data;
    if (--server->own_handles_open > 0) {
        return;
    }
    trib_tls_free(server->tls);
    trib_release(server->env, server->scratch, SCRATCH_BYTES, 1);
    trib_release(server->env, server, 1, sizeof *server);
}

void trib_server_free(struct trib_server *server) {
    if (server == NULL) {
        return;
    }
    TRIB_ASSERT(server->handles_open == 0);
    server->own_handles_open = 2;
    uv_close((uv_handle_t *)&server->tick, own_handle_closed);
    uv_close((uv_handle_t *)&server->waker, own_handle_closed);
}
