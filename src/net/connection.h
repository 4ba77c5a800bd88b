/* connection.h - one connection of the server, and what all of them share; for this room only.
 *
 *            head()          receive()         complete()
 *     HEAD ---------> WAIT ------------> BODY ------------> WAIT
 *      ^                |  reply()        | reply()           | reply()
 *      |                v                 v                   v
 *      |   body read   SEND <-------------+-------------------'      stream() --> STREAM
 *      '---------------'|
 *                       | body not read: DROP ----------> LINGER ----> CLOSING
 *                       '-- closing, nothing to drop -----^
 *
 * connection.c reads and decides, sending.c writes, server.c accepts, keeps time and stops. One
 * write is under way at a time; what is next is decided when it has ended. */
#ifndef TRIB_NET_CONNECTION_H
#define TRIB_NET_CONNECTION_H

#include <uv.h>

#include "base/text.h"
#include "net/address.h"
#include "net/server.h"
#include "net/tls.h"

enum connection_phase {
    CONNECTION_HEAD,    /* between two requests, or a head is arriving */
    CONNECTION_WAIT,    /* the handlers owe a decision or a reply */
    CONNECTION_BODY,    /* the body goes to the handlers */
    CONNECTION_SEND,    /* a reply is leaving */
    CONNECTION_STREAM,  /* a reply without an end yet */
    CONNECTION_DROP,    /* refused: what is left of the body is read and forgotten */
    CONNECTION_LINGER,  /* our side is closed: waiting for the peer's */
    CONNECTION_CLOSING, /* memory goes in the close callback */
};

enum connection_body {
    BODY_NONE, /* there was none, or it has been read to its end */
    BODY_LENGTH,
    BODY_CHUNKED,
};

union connection_socket {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct trib_exchange {
    void *context;           /* the handlers' */
    bool is_live;            /* head() was called, done() and gone() were not */
    bool is_streaming;       /* trib_exchange_end() has not been called */
    uint64_t bytes_max;      /* of the body */
    uint64_t bytes_received; /* of the body */
    uint64_t bytes_sent;     /* of the reply's body */
};

struct file_transfer; /* sending.c */

/* What is left to send, in this order; see trib_connection_send(). */
struct outgoing {
    unsigned char *prefix; /* head, and a body that was copied */
    size_t prefix_bytes;
    size_t prefix_next;
    size_t prefix_head_bytes; /* of those; the others count as body */
    struct trib_block *block; /* a reference of ours */
    const unsigned char *block_next;
    size_t block_left;
    struct file_transfer *file;
    uint64_t file_left;
    struct trib_text pending; /* of a stream, framed */
    struct trib_text flight;  /* of a stream, being written */
    unsigned char *cipher;    /* being written */
    size_t cipher_bytes;
    uint64_t slice_body_bytes; /* of what is being written, bytes that count as body */
};

struct trib_connection {
    union connection_socket socket;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct trib_server *server;
    struct trib_connection *previous; /* of all connections */
    struct trib_connection *next;
    struct trib_connection *ready_next; /* of those that want a turn */
    struct trib_tls_session *tls;       /* NULL: plain */
    struct trib_exchange exchange;

    enum connection_phase phase;
    enum trib_status failure; /* what trib_connection_advance() shall fail with; or TRIB_OK */
    bool is_ready;            /* in the list of those that want a turn */
    bool is_reading;          /* libuv watches the socket */
    bool is_writing;          /* a uv_write is under way */
    bool is_file_busy;        /* a worker has the socket's descriptor: it must stay open */
    bool is_starved;          /* lend() had nothing */
    bool is_loopback;
    bool is_unix;
    bool is_persistent;    /* the request's */
    bool is_head_request;  /* the reply has no body */
    bool is_closing;       /* after the reply */
    bool expects_continue; /* the peer still waits for 100 */
    bool owes_continue;    /* 100 is to be sent */
    bool has_peer_ended;   /* while a reply was leaving */

    enum connection_body body;
    uint64_t body_left; /* BODY_LENGTH */
    bool is_handed;     /* the body is one byte with a descriptor, not the bytes announced */
    int handed;         /* that descriptor, until somebody takes it; -1: none */
    ssize_t handed_got; /* what the last attempt to receive it said, as recvmsg(2) */
    struct trib_http_chunks chunks;
    void *lent; /* where the next bytes of the body go; valid until the next callback */

    unsigned char *inbox; /* TRIB_HTTP_HEAD_BYTES_MAX bytes; NULL while empty */
    size_t inbox_start;
    size_t inbox_end;
    size_t head_scanned;

    size_t turn_bytes;       /* read since others had their turn */
    uint64_t dropped_bytes;  /* of a refused body */
    uint64_t bytes_in;       /* from the socket, ever */
    uint64_t bytes_out;      /* given to libuv or the kernel, ever */
    struct trib_idle idle;   /* since the phase began */
    trib_time_ns linger_end; /* CONNECTION_LINGER */
    struct outgoing out;
    char peer[TRIB_ADDRESS_TEXT_BYTES];
};

#define TRIB_LISTENERS_MAX 8

struct listener {
    union connection_socket socket;
    struct trib_server *server;
    const struct trib_env *env;
    union trib_address address; /* with the port that the kernel chose */
    bool is_tls;
    bool has_waiting; /* libuv holds an accepted connection back until there is room */
};

struct trib_server {
    struct trib_loop *loop;
    const struct trib_env *env;
    struct trib_server_config config;
    const struct trib_server_handlers *handlers;
    void *context;
    struct trib_tls *tls;
    unsigned char *scratch; /* SCRATCH_BYTES: what is used within one callback */

    struct listener *listeners[TRIB_LISTENERS_MAX];
    size_t listener_count;
    unsigned port;
    struct trib_connection *connections;
    struct trib_connection *ready_first;
    struct trib_connection *ready_last;
    struct trib_server_counts counts;

    uv_timer_t tick;     /* runs while there are connections */
    uv_idle_t waker;     /* runs while somebody wants a turn */
    size_t handles_open; /* listeners and connections not yet closed */
    size_t own_handles_open;

    bool is_stopping;
    trib_time_ns stop_deadline;
    void (*stopped)(void *context);
    void *stopped_context;
};

enum { SCRATCH_BYTES = 65536 };

/* connection.c */

/* Take what the listener has accepted. False: no memory or descriptor; nothing was taken. */
bool trib_connection_accept(struct listener *listener);
/* Do all that the bytes at hand allow, then watch the socket or not. Only from callbacks of the
 * loop: it calls the handlers. */
void trib_connection_advance(struct trib_connection *connection);
/* A whole reply has been given to the system. Only from callbacks. */
void trib_connection_sent(struct trib_connection *connection);
/* Look at the clock. */
void trib_connection_tick(struct trib_connection *connection, trib_time_ns now);
/* End the exchange, if there is one, and close. Only from callbacks. */
void trib_connection_fail(struct trib_connection *connection, enum trib_status why);
/* Between two requests, with nothing of the next one there. */
bool trib_connection_is_idle(const struct trib_connection *connection);
struct trib_connection *trib_connection_of(const struct trib_exchange *exchange);

/* handover.c */

/* Is the body of this request handed over as memory? Then its announced length becomes that of the
 * memory. NULL; or why it is refused. */
const struct trib_http_refusal *trib_connection_read_handover(struct trib_connection *connection,
                                                              struct trib_http_request *request);
/* Receive the byte and its descriptor, into handed_got and handed, instead of libuv. */
void trib_connection_receive_handed(struct trib_connection *connection);
void trib_connection_drop_handed(struct trib_connection *connection);

/* sending.c */

/* Send what is next, unless something is being sent. Failures come in a later turn. */
void trib_connection_send(struct trib_connection *connection);
/* Answer without the handlers, then close. Only from callbacks, without a live exchange. */
void trib_connection_refuse(struct trib_connection *connection,
                            const struct trib_http_refusal *refusal);
/* Forget what is left to send. */
void trib_connection_discard(struct trib_connection *connection);
/* Close our side, so that the peer sees the end of what we sent, and wait for the peer's. */
void trib_connection_half_close(struct trib_connection *connection);
/* Bytes that have moved in either direction, as far as the kernel has told. */
uint64_t trib_connection_moved(const struct trib_connection *connection);

/* server.c */

/* Have trib_connection_advance() called in a later turn. */
void trib_server_schedule(struct trib_connection *connection);
/* The same, to fail there. */
void trib_server_schedule_failure(struct trib_connection *connection, enum trib_status why);
/* A handle counted in handles_open has been closed; connection may be NULL. */
void trib_server_forget(struct trib_server *server, struct trib_connection *connection);

#endif
