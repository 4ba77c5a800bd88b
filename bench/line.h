/* line.h - one connection of a load generator, plain or with TLS; never blocks.
 *
 * The peer's certificate is not looked at: what is measured is the peer, on the same machine. */
#ifndef BENCH_LINE_H
#define BENCH_LINE_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>

struct line {
    int socket; /* -1: none */
    SSL *tls;   /* NULL: plain */
};

/* Begin to connect. False: errno says why, and there is no line. */
bool line_open(struct line *line, const struct sockaddr_in *address, bool is_tls);
void line_close(struct line *line);

/* As send(2) and recv(2): -1 and EAGAIN when nothing can move now. A handshake goes on by itself
 * whenever either is called. */
ssize_t line_send(struct line *line, const void *bytes, size_t count);
ssize_t line_receive(struct line *line, void *bytes, size_t room);

/* The handshake waits for the peer: room in the socket does not help it. */
bool line_waits_for_peer(const struct line *line);

#endif
