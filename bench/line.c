/* line.c - one connection of a load generator, plain or with TLS. */
#include "line.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_CTX *client_context(void) {
    static SSL_CTX *context;
    if (context == NULL && (context = SSL_CTX_new(TLS_client_method())) != NULL) {
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        /* What is sent next need not lie where it lay at the last attempt; and thousands of lines
         * that only wait shall not keep buffers. */
        (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                            SSL_MODE_RELEASE_BUFFERS);
        (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    }
    return context;
}

static bool begin_tls(struct line *line) {
    SSL_CTX *context = client_context();
    line->tls = context == NULL ? NULL : SSL_new(context);
    if (line->tls == NULL || SSL_set_fd(line->tls, line->socket) != 1) {
        errno = ENOMEM;
        return false;
    }
    SSL_set_connect_state(line->tls);
    return true;
}

bool line_open(struct line *line, const struct sockaddr_in *address, bool is_tls) {
    int one = 1;
    line->tls = NULL;
    line->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (line->socket < 0) {
        return false;
    }
    (void)setsockopt(line->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* only faster */
    if ((connect(line->socket, (const struct sockaddr *)address, sizeof *address) != 0 &&
         errno != EINPROGRESS) ||
        (is_tls && !begin_tls(line))) {
        int why = errno;
        line_close(line);
        errno = why;
        return false;
    }
    return true;
}

void line_close(struct line *line) {
    SSL_free(line->tls);
    line->tls = NULL;
    if (line->socket >= 0) {
        (void)close(line->socket); /* it leaves any poller with it */
        line->socket = -1;
    }
}

/* What a call of OpenSSL that moved nothing means to the callers of send(2) and recv(2). */
static ssize_t say(struct line *line, int result, ssize_t at_end) {
    switch (SSL_get_error(line->tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return at_end;
    case SSL_ERROR_SYSCALL:
        if (errno == ENOTCONN) { /* the connection is still being made */
            ERR_clear_error();
            errno = EAGAIN;
            return -1;
        }
        /* fall through */
    default:
        ERR_clear_error();
        errno = ECONNRESET;
        return -1;
    }
}

ssize_t line_send(struct line *line, const void *bytes, size_t count) {
    if (line->tls == NULL) {
        ssize_t sent = send(line->socket, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == ENOTCONN) {
            errno = EAGAIN;
        }
        return sent;
    }
    int sent = SSL_write(line->tls, bytes, count < 1 << 30 ? (int)count : 1 << 30);
    return sent > 0 ? sent : say(line, sent, -1);
}

ssize_t line_receive(struct line *line, void *bytes, size_t room) {
    if (line->tls == NULL) {
        return recv(line->socket, bytes, room, 0);
    }
    int got = SSL_read(line->tls, bytes, room < 1 << 30 ? (int)room : 1 << 30);
    return got > 0 ? got : say(line, got, 0);
}

bool line_waits_for_peer(const struct line *line) {
    return line->tls != NULL && !SSL_is_init_finished(line->tls) && SSL_want_read(line->tls);
}
