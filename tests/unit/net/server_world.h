/* server_world.h - a real server on its own thread, and blocking clients to drive it.
 *
 * The server knows a few paths, each for one way to answer:
 *
 *     GET /hello          "hello\n"
 *     GET /block?off,n    n bytes of a block of BLOCK_BYTES
 *     GET /file?off,n     n bytes of a file of BLOCK_BYTES with the same contents
 *     GET /poll           nothing, until somebody asks for /release
 *     GET /events?n       n events, then the end
 *     GET /flood          events without end; aborted when a write is refused
 *     GET /field          a reply whose field would split it
 *     GET /who            what the server knows about the peer
 *     PUT /take           takes up to 16 MiB and says "<bytes> <sum>\n"
 *     PUT /small          the same up to 1000 bytes
 *     PUT /lean           the same, but memory is 7 bytes and there is none every other time
 *     PUT /hold           the same, but there is no memory until somebody asks for /release
 *     PUT /memory         takes a body that is handed over and says how many bytes it has, or "none"
 *     PUT /forget         the same, but nobody takes it
 *     PUT /early          takes some of the body, then refuses with 422
 *     PUT /refuse         403 at once
 *
 * Assertions of the handlers are TRIB_ASSERT: cmocka's belong to the thread of the test. */
#ifndef TRIB_NET_SERVER_WORLD_H
#define TRIB_NET_SERVER_WORLD_H

#include <pthread.h>

#include "net/server.h"
#include "support/check.h"
#include "support/env_faulty.h"

#define BLOCK_BYTES 3000000u

enum { STATUS_COUNT = 32 };

struct world {
    struct trib_env_faulty faulty;
    struct trib_loop *loop;
    struct trib_server *server;
    struct trib_block *block;
    char directory[64]; /* for files of the test; removed at the end */
    int file;
    pthread_t thread;
    bool is_running;

    pthread_mutex_t lock; /* over all below */
    pthread_cond_t changed;
    size_t heads;
    size_t done;
    size_t gone[STATUS_COUNT]; /* by enum trib_status */
    size_t lends;
    size_t writes;                 /* of /flood */
    struct trib_exchange *polling; /* at /poll */
    struct trib_exchange *held;    /* at /hold */
    bool is_stopped;
    char last_peer[64];
};

/* A config with short limits for tests of the clock; zero means default, as in the server. */
void world_begin(struct world *world, const struct trib_server_config *config);
void world_listen(struct world *world, const char *address, bool is_tls);
void world_run(struct world *world); /* on its own thread, from now on */
/* Stop, and assert that every exchange has ended once and no memory is left. */
void world_end(struct world *world);
/* Call trib_server_stop() on the server's thread, deadline from now. */
void world_stop_server(struct world *world, trib_time_ns left);

/* Wait until *counter >= value, at most 10 s. */
void world_wait(struct world *world, const size_t *counter, size_t value);
size_t world_read(struct world *world, const size_t *counter);
void world_counts(struct world *world, struct trib_server_counts *counts);

/* The bytes of block and file. */
unsigned char world_byte(size_t index);

/* ---- clients ---- */

struct response {
    int status;
    char head[4096];
    char *body; /* free() it */
    size_t body_bytes;
};

/* Connected to the server's port; reads and writes give up after 10 s. */
int client_connect(struct world *world);
int client_connect_unix(const char *path);
void client_send(int socket, const void *bytes, size_t count);
void client_say(int socket, const char *text);
/* False: the connection ended before the whole response was there. */
bool client_receive(int socket, bool is_head_request, struct response *response);
/* Say and receive; asserts that a response comes. */
void client_ask(int socket, const char *text, struct response *response);
/* True when the server closes the connection, within 10 s. */
bool client_sees_end(int socket);

#define REQUEST(line) line " HTTP/1.1\r\nHost: localhost\r\n"

#endif
