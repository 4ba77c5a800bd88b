/* server.h - an HTTP/1.1 server: connections over TCP, TLS 1.3 and Unix sockets.
 *
 * The server checks heads, moves bodies and keeps peers in bounds; what a request means is the
 * handlers' business. One exchange is one request with its reply:
 *
 *     head() -----> trib_exchange_reply() -----------------------------------------> done()
 *        |          trib_exchange_stream(), _write()..., _end() -------------------> done()
 *        '--------> trib_exchange_receive() -> lend(), filled()... -> complete()
 *        '--------> trib_exchange_receive_handed() ------------------> complete()
 *                                                 -> trib_exchange_reply() --------> done()
 *     at any time: the peer leaves or breaks a rule -------------------------------> gone()
 *
 * Every exchange that head() has announced ends with exactly one of done() and gone(); after it,
 * and not before, the exchange is dead. Replies may be given at once or much later (long polls):
 * meanwhile nothing is read but what tells that the peer has left. A reply given before the body
 * has been read is a refusal: the connection closes after it, gently enough for the peer to see
 * the reason. Handlers are never called from inside a function of this file, but for functions
 * of this file they may call any at any time.
 *
 * Thread: everything on the thread of the loop. */
#ifndef TRIB_NET_SERVER_H
#define TRIB_NET_SERVER_H

#include "base/block.h"
#include "net/certificate.h"
#include "net/loop.h"
#include "wire/http.h"
#include "wire/refusals.h"

struct trib_server;
struct trib_exchange;

/* ---- the server ---- */

/* Zero in a field means its default. */
struct trib_server_config {
    /* Connections open at one time; default 4096, and never more than the process may have
     * descriptors. An idle one costs a descriptor and less than 2 KiB, besides what OpenSSL needs.
     * When all are in use newcomers wait in the kernel's queue; of those that have been idle for
     * room_after the longest idle one is closed for each. */
    size_t connections_max;
    /* Default 1 s: whoever has just been answered asks again within moments, or not soon. */
    trib_time_ns room_after;
    /* The idle rule, while a head or body is arriving or a reply is leaving; default 1 KiB in
     * 30 s: slower than any modem, so only the dead are cut off. */
    struct trib_idle_rule idle;
    /* How long a connection may wait for its next request; default 75 s: longer than the longest
     * poll, so that a client which polls again finds its connection open. */
    trib_time_ns keep_alive;
    /* How long a half-closed connection may take to be closed by the peer; default 2 s. */
    trib_time_ns linger;
    /* Body bytes of a refused request that are read and dropped before the sending side is
     * closed; default 1 MiB. */
    uint64_t drop_bytes;
    /* Bytes read from one connection before others get their turn; default 1 MiB. */
    size_t turn_bytes;
    /* Bytes that may wait in a stream for its slow reader; default 1 MiB. */
    size_t stream_bytes;
    /* PEM files for TLS; NULL: no TLS. The certificate file may hold a chain, leaf first. */
    const char *certificate_file;
    const char *key_file;
    /* PEM; then TLS peers must have a certificate signed by one of these. NULL: they need none. */
    const char *client_ca_file;
};

struct trib_server_handlers {
    /* A request has come. Answer now or later with exactly one of trib_exchange_reply(),
     * trib_exchange_stream() and trib_exchange_receive().
     * request and all it points to are borrowed until return. */
    void (*head)(void *context, struct trib_exchange *exchange,
                 const struct trib_http_request *request);
    /* Where shall the next bytes of the body go? Return memory for 1 or more bytes and set *room,
     * or NULL when there is none now: reading stops until trib_exchange_resume().
     * The answer is used before the next turn of the loop or not at all; it may be asked again
     * without filled() in between. With a chunked body the framing passes through this memory
     * too, so that it may be asked for although no payload is left; and bytes behind the filled
     * part may be overwritten. */
    void *(*lend)(void *context, struct trib_exchange *exchange, size_t *room);
    /* count > 0 bytes of the body are now at the start of what lend() returned last. */
    void (*filled)(void *context, struct trib_exchange *exchange, size_t count);
    /* The body is complete: reply now or later. */
    void (*complete)(void *context, struct trib_exchange *exchange);
    /* The reply has been handed to the system as a whole; blocks and files of it are free. */
    void (*done)(void *context, struct trib_exchange *exchange);
    /* The exchange ended without (all of) a reply of the handlers'. why: TRIB_ECLOSED, the peer
     * left (closing its sending side before the reply is leaving) or the server stops; TRIB_EMALFORMED, it broke the framing (the server answers 400);
     * TRIB_ELIMIT, the body is over bytes_max (413); TRIB_ETIMEOUT, the idle rule (408 if no reply
     * has begun); TRIB_EMEMORY; TRIB_EIO, the file of a reply could not be read or is short;
     * TRIB_EINVALID, a field of the reply was not allowed. */
    void (*gone)(void *context, struct trib_exchange *exchange, enum trib_status why);
};

/* A server that listens nowhere yet.
 *
 * loop      kept; must outlive the server.
 * config    copied; NULL: every default.
 * handlers  kept; every function must be there.
 * context   first argument of the handlers.
 *
 * Returns TRIB_OK and *server; TRIB_EMEMORY; TRIB_EIO or TRIB_EINVALID when certificate or key
 * cannot be read or do not belong together: error says why. error may be NULL. */
enum trib_status trib_server_new(struct trib_loop *loop, const struct trib_server_config *config,
                                 const struct trib_server_handlers *handlers, void *context,
                                 struct trib_server **server, struct trib_error *error);

/* Accept connections at one more address (at most 8):
 *
 *     "127.0.0.1:7700"  "[::1]:7700"  "[::]:7700"   TCP; port 0: the kernel chooses
 *     "localhost:7700"                              the same as 127.0.0.1
 *     "unix:/run/tributary/socket"                  mode 0600; a missing directory is made, 0700;
 *                                                   a socket nobody listens on is replaced
 *
 * is_tls  speak TLS 1.3 here; needs certificate and key in the config (asserted); never with unix:.
 *
 * Returns TRIB_OK; TRIB_EINVALID for an address not of these forms; TRIB_ECONFLICT when another
 * process listens there; TRIB_EFORBIDDEN; TRIB_ELIMIT; TRIB_EMEMORY; TRIB_EIO. */
enum trib_status trib_server_listen(struct trib_server *server, const char *address, bool is_tls,
                                    struct trib_error *error);

/* Read certificate, key and client CA again, for the connections to come; those that are open go
 * on as they are. TRIB_OK, also when there is no TLS; on error (as of trib_server_new()) the old
 * ones stay in use. */
enum trib_status trib_server_reload(struct trib_server *server, struct trib_error *error);

/* The pin (net/certificate.h) of the certificate in use, if clients who call this host need one:
 * the certificate is one of `trib cert`, and for that host. A certificate for another host is not
 * what they will meet: there is a proxy in between. False: they need none, or there is no TLS. */
bool trib_server_pin(const struct trib_server *server, const char *host, char pin[TRIB_PIN_BYTES]);

/* The port of the first TCP address listened on; 0: none. */
unsigned trib_server_port(const struct trib_server *server);

struct trib_server_counts {
    size_t connections;           /* open now */
    size_t exchanges;             /* announced by head() and not ended */
    uint64_t accepted;            /* connections, since the start */
    uint64_t requests;            /* complete heads that passed the check */
    struct trib_refusals refused; /* heads and bodies refused by the server itself, by code */
    uint64_t bytes_received;      /* of bodies, framing and TLS removed */
    uint64_t bytes_sent;          /* of bodies */
};
void trib_server_counts(const struct trib_server *server, struct trib_server_counts *counts);

/* Stop: listen no more, close idle connections now, the others after their reply, and all that is
 * left at the deadline (gone() with TRIB_ECLOSED). stopped(context) is called once, when the last
 * connection is closed; never from inside this call. May be called again with another deadline;
 * the first callback stays. */
void trib_server_stop(struct trib_server *server, trib_time_ns deadline,
                      void (*stopped)(void *context), void *context);

/* Only before the first listen or after stopped() (asserted; from inside it is fine). NULL allowed.
 * The loop must turn once more, or be freed, for the memory to come back. */
void trib_server_free(struct trib_server *server);

/* ---- one exchange ---- */

/* Take the body: sends 100 Continue when the peer waits for it; then lend() and filled() until
 * complete(). A request without a body is complete() at once, in a later turn or after head().
 *
 * bytes_max  a longer body is answered with 413: at once when its length was announced, else
 *            when it passes the limit. */
void trib_exchange_receive(struct trib_exchange *exchange, uint64_t bytes_max);
/* The same for a body that is handed over: trib_exchange_is_handed(), and content_length in the
 * request is the size of the memory. complete() follows without lend() and filled(); then
 * trib_exchange_take_handed() once. trib_exchange_receive() refuses such bodies with 417. */
void trib_exchange_receive_handed(struct trib_exchange *exchange);
bool trib_exchange_is_handed(const struct trib_exchange *exchange);
/* The descriptor that came, for the caller to check (base/handover.h) and close; -1: none came. */
int trib_exchange_take_handed(struct trib_exchange *exchange);
/* There is memory again: ask lend() once more. No effect when reading has not stopped. */
void trib_exchange_resume(struct trib_exchange *exchange);

enum trib_reply_body {
    TRIB_REPLY_EMPTY,
    TRIB_REPLY_BYTES, /* copied */
    TRIB_REPLY_BLOCK, /* referenced until the exchange ends, gathered into the socket */
    TRIB_REPLY_FILE,  /* sendfile(2); under TLS and when the socket is full, through a buffer */
};

#define TRIB_REPLY_FIELDS_MAX 8

struct trib_reply {
    int status;               /* 200..599 */
    const char *content_type; /* borrowed; NULL: none */
    /* More fields, borrowed; the first without a name ends them. Date, Content-Type, the framing,
     * Connection and Tributary-Version are the server's own. */
    struct trib_http_field fields[TRIB_REPLY_FIELDS_MAX];
    bool is_closing; /* close the connection afterwards */

    enum trib_reply_body body;
    const void *bytes;        /* BYTES: body_bytes bytes; borrowed */
    struct trib_block *block; /* BLOCK: kept */
    int descriptor;           /* FILE: must stay open until done() or gone() */
    uint64_t offset;          /* BLOCK, FILE: where the body starts */
    uint64_t body_bytes;      /* length of the body; offset + body_bytes must be there */
};

/* Answer. A HEAD request gets the head only, with the length the body would have. A field from
 * outside with a control character in it is not sent: the exchange is gone, TRIB_EINVALID. */
void trib_exchange_reply(struct trib_exchange *exchange, const struct trib_reply *reply);

/* Answer with a body without an end yet (server-sent events); the connection closes after it.
 * body of reply must be TRIB_REPLY_EMPTY. */
void trib_exchange_stream(struct trib_exchange *exchange, const struct trib_reply *reply);
/* Send count bytes, copied. False, and nothing is queued, when they do not fit behind what the
 * peer has not read yet, or memory is out: cut it off with trib_exchange_abort(). */
bool trib_exchange_write(struct trib_exchange *exchange, const void *bytes, size_t count);
/* No more is to come: done() follows when all is sent. */
void trib_exchange_end(struct trib_exchange *exchange);

/* Close the connection without another word; gone(TRIB_ECLOSED) follows in a later turn. */
void trib_exchange_abort(struct trib_exchange *exchange);

/* One pointer for the handlers' own use; NULL at head(). */
void trib_exchange_set_context(struct trib_exchange *exchange, void *context);
void *trib_exchange_context(const struct trib_exchange *exchange);

/* The peer is on this machine: a loopback address, or a Unix socket. */
bool trib_exchange_is_loopback(const struct trib_exchange *exchange);
bool trib_exchange_is_unix(const struct trib_exchange *exchange);
bool trib_exchange_is_tls(const struct trib_exchange *exchange);
/* "192.0.2.7:50312", "[2001:db8::1]:50312" or "unix"; valid until the exchange ends. */
const char *trib_exchange_peer(const struct trib_exchange *exchange);
/* Bytes of the body received, and of the reply's body handed to the system, so far. */
uint64_t trib_exchange_bytes_received(const struct trib_exchange *exchange);
uint64_t trib_exchange_bytes_sent(const struct trib_exchange *exchange);

#endif
