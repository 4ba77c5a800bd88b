/* sink.c - the least that an HTTP server on libuv can do with a body: read it and throw it away.
 *
 *   sink READY-FILE      listens on a free port of 127.0.0.1 and writes its URL into the file
 *
 * The limit that the daemon's data plane is measured against. Every request gets the same answer,
 * which holds what bench/load.c looks for in any of its answers. One thread, one buffer. */
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

struct peer {
    uv_tcp_t socket; /* first: a handle is its peer */
    char head[HEAD_BYTES + 1];
    size_t head_bytes;
    uint64_t body_left;
};

_Noreturn static void fail(const char *what) {
    (void)fprintf(stderr, "sink: %s\n", what);
    exit(1);
}

static void closed(uv_handle_t *handle) {
    free(handle);
}

static void written(uv_write_t *request, int status) {
    (void)status;
    free(request);
}

static void reply(struct peer *peer) {
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

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *piece) {
    struct peer *peer = (struct peer *)stream;
    if (count < 0) {
        uv_close((uv_handle_t *)stream, closed);
        return;
    }
    const char *bytes = piece->base;
    size_t left = (size_t)count;
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

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *piece) {
    (void)handle;
    (void)suggested;
    *piece = uv_buf_init(buffer, sizeof buffer);
}

static void on_connection(uv_stream_t *listener, int status) {
    struct peer *peer = calloc(1, sizeof *peer);
    if (status != 0 || peer == NULL || uv_tcp_init(listener->loop, &peer->socket) != 0 ||
        uv_accept(listener, (uv_stream_t *)&peer->socket) != 0 ||
        uv_tcp_nodelay(&peer->socket, 1) != 0 ||
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
    (void)fprintf(file, "http://127.0.0.1:%u\n", (unsigned)ntohs(address.sin_port));
    if (fclose(file) != 0 || rename(draft, path) != 0) {
        fail("ready file");
    }
}

int main(int count, char **arguments) {
    if (count != 2) {
        fail("usage: sink READY-FILE");
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
