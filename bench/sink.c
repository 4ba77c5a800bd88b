/* sink.c - the least that an HTTP server on libuv can do with a body: read it and throw it away.
 *
 *   sink READY-FILE [CERTIFICATE KEY]
 *
 * listens on a free port of 127.0.0.1 and writes its URL into the file; with two PEM files it
 * speaks TLS 1.3, OpenSSL between two buffers as libuv's servers have it.
 *
 * The limit that the daemon's data plane is measured against. Every request gets the same answer,
 * which holds what bench/load.c looks for in any of its answers. One thread, one buffer. */
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#define HEAD_BYTES 8192
#define BUFFER_BYTES (256 << 10)

static const char body[] = "{\"token\":\"none\",\"kind\":\"train\",\"task\":\"0.0\",\"version\":1,"
                           "\"fate\":\"spooled\"}";
static char answer[512];
static size_t answer_bytes;
static char buffer[BUFFER_BYTES]; /* whoever is read, nobody looks at it for longer */
static char plain[16384];         /* one record of TLS */
static SSL_CTX *context;          /* NULL: plain */

struct peer {
    uv_tcp_t socket; /* first: a handle is its peer */
    char head[HEAD_BYTES + 1];
    size_t head_bytes;
    uint64_t body_left;
    SSL *tls;
    BIO *from_peer, *to_peer;
};

_Noreturn static void fail(const char *what) {
    (void)fprintf(stderr, "sink: %s\n", what);
    exit(1);
}

static void closed(uv_handle_t *handle) {
    SSL_free(((struct peer *)handle)->tls);
    free(handle);
}

static void written(uv_write_t *request, int status) {
    (void)status;
    free(request);
}

/* What OpenSSL has for the peer: little enough for the socket to take it always. */
static void flush_tls(struct peer *peer) {
    char *bytes;
    long count = BIO_get_mem_data(peer->to_peer, &bytes);
    uv_buf_t piece = uv_buf_init(bytes, (unsigned)count);
    if (count > 0 && uv_try_write((uv_stream_t *)&peer->socket, &piece, 1) != (int)count) {
        fail("TLS: the socket is full");
    }
    (void)BIO_reset(peer->to_peer);
}

static void reply(struct peer *peer) {
    if (peer->tls != NULL) { /* flush_tls() follows */
        if (SSL_write(peer->tls, answer, (int)answer_bytes) != (int)answer_bytes) {
            fail("TLS write");
        }
        return;
    }
    uv_buf_t piece = uv_buf_init(answer, (unsigned)answer_bytes);
    if (uv_try_write((uv_stream_t *)&peer->socket, &piece, 1) == (int)answer_bytes) {
        return;
    }
    uv_write_t *request = calloc(1, sizeof *request);
    if (request == NULL || uv_write(request, (uv_stream_t *)&peer->socket, &piece, 1, written)) {
        fail("write");
    }
}

/* Bytes of heads; what lies behind the head belongs to its body. Returns how many were taken. */
static size_t take_head(struct peer *peer, const char *bytes, size_t count) {
    size_t room = HEAD_BYTES - peer->head_bytes;
    size_t taken = count < room ? count : room;
    size_t before = peer->head_bytes;
    memcpy(peer->head + before, bytes, taken);
    peer->head[before + taken] = '\0';
    const char *end = strstr(peer->head, "\r\n\r\n");
    if (end == NULL) {
        if (taken < count) {
            fail("head too long");
        }
        peer->head_bytes += taken;
        return taken;
    }
    const char *length = strcasestr(peer->head, "\r\nContent-Length:");
    peer->body_left = length != NULL && length < end ? strtoull(length + 17, NULL, 10) : 0;
    peer->head_bytes = 0;
    if (peer->body_left == 0) {
        reply(peer);
    }
    return (size_t)(end + 4 - peer->head) - before;
}

static void take(struct peer *peer, const char *bytes, size_t left) {
    while (left > 0) {
        size_t taken;
        if (peer->body_left == 0) {
            taken = take_head(peer, bytes, left);
        } else {
            taken = left < peer->body_left ? left : (size_t)peer->body_left;
            peer->body_left -= taken;
            if (peer->body_left == 0) {
                reply(peer);
            }
        }
        bytes += taken;
        left -= taken;
    }
}

static void take_tls(struct peer *peer, const char *bytes, int count) {
    int got;
    if (BIO_write(peer->from_peer, bytes, count) != count) {
        fail("TLS memory");
    }
    while ((got = SSL_read(peer->tls, plain, sizeof plain)) > 0) {
        take(peer, plain, (size_t)got);
    }
    flush_tls(peer);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *piece) {
    struct peer *peer = (struct peer *)stream;
    if (count < 0) {
        uv_close((uv_handle_t *)stream, closed);
    } else if (peer->tls != NULL) {
        take_tls(peer, piece->base, (int)count);
    } else {
        take(peer, piece->base, (size_t)count);
    }
}

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *piece) {
    (void)handle;
    (void)suggested;
    *piece = uv_buf_init(buffer, sizeof buffer);
}

static bool begin_tls(struct peer *peer) {
    if (context == NULL) {
        return true;
    }
    peer->tls = SSL_new(context);
    peer->from_peer = BIO_new(BIO_s_mem());
    peer->to_peer = BIO_new(BIO_s_mem());
    if (peer->tls == NULL || peer->from_peer == NULL || peer->to_peer == NULL) {
        return false;
    }
    SSL_set_bio(peer->tls, peer->from_peer, peer->to_peer);
    SSL_set_accept_state(peer->tls);
    return true;
}

static void load_certificate(const char *certificate, const char *key) {
    context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        fail("certificate");
    }
}

static void on_connection(uv_stream_t *listener, int status) {
    struct peer *peer = calloc(1, sizeof *peer);
    if (status != 0 || peer == NULL || uv_tcp_init(listener->loop, &peer->socket) != 0 ||
        uv_accept(listener, (uv_stream_t *)&peer->socket) != 0 ||
        uv_tcp_nodelay(&peer->socket, 1) != 0 || !begin_tls(peer) ||
        uv_read_start((uv_stream_t *)&peer->socket, lend, on_read) != 0) {
        fail("accept");
    }
}

static void announce(const uv_tcp_t *listener, const char *path) {
    struct sockaddr_in address;
    int length = sizeof address;
    char draft[4096];
    (void)snprintf(draft, sizeof draft, "%s.new", path);
    FILE *file = fopen(draft, "w");
    if (file == NULL || uv_tcp_getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
        fail("ready file");
    }
    (void)fprintf(file, "http%s://127.0.0.1:%u\n", context == NULL ? "" : "s",
                  (unsigned)ntohs(address.sin_port));
    if (fclose(file) != 0 || rename(draft, path) != 0) {
        fail("ready file");
    }
}

int main(int count, char **arguments) {
    if (count != 2 && count != 4) {
        fail("usage: sink READY-FILE [CERTIFICATE KEY]");
    }
    if (count == 4) {
        load_certificate(arguments[2], arguments[3]);
    }
    answer_bytes = (size_t)snprintf(answer, sizeof answer,
                                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                    "Content-Length: %zu\r\n\r\n%s",
                                    sizeof body - 1, body);
    uv_tcp_t listener;
    struct sockaddr_in address;
    if (uv_tcp_init(uv_default_loop(), &listener) != 0 ||
        uv_ip4_addr("127.0.0.1", 0, &address) != 0 ||
        uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0) != 0 ||
        uv_listen((uv_stream_t *)&listener, 512, on_connection) != 0) {
        fail("listen");
    }
    announce(&listener, arguments[1]);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
