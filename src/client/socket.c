/* socket.c - sockets that never block by themselves: every wait is a poll() that also watches the
 * bell, so that one byte in a pipe interrupts whatever is going on.
 *
 * A pipe and not a flag, because a flag that is set just before the poll would be slept over. */
#include "client/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NO_BELL (-1)
#define IDLE_MS 60000
#define CONNECT_MS 10000 /* per address: a host whose IPv6 is a black hole must not look dead */

/* --- the bell ------------------------------------------------------------------------------- */

bool trib_sockets_init(struct trib_sockets *sockets, uint32_t idle_ms) {
    sockets->idle_ms = idle_ms;
    return pipe2(sockets->bell, O_CLOEXEC | O_NONBLOCK) == 0;
}

void trib_sockets_deinit(struct trib_sockets *sockets) {
    (void)close(sockets->bell[0]); /* nothing was ever promised about the bytes in there */
    (void)close(sockets->bell[1]);
}

void trib_sockets_ring(struct trib_sockets *sockets) {
    int saved = errno; /* a signal handler must leave it as it was */
    ssize_t written = write(sockets->bell[1], "!", 1);
    (void)written; /* it fails only when the pipe is full: then the bell is ringing already */
    errno = saved;
}

void trib_sockets_silence(struct trib_sockets *sockets) {
    char rings[64];
    while (read(sockets->bell[0], rings, sizeof rings) > 0) {
    }
}

/* What became of a wait; 0: the time is over. */
enum { WAIT_READY = 1, WAIT_OVER = 0, WAIT_RUNG = -1 };

/* Wait for events of a descriptor (-1: none), or the bell. A signal starts the time anew: it is a
 * limit on silence, not a clock. */
static int wait_for(const struct trib_sockets *sockets, int descriptor, short events, int ms,
                    short *happened) {
    struct pollfd watched[2] = {{.fd = descriptor, .events = events},
                                {.fd = sockets->bell[0], .events = POLLIN}};
    int count;
    do {
        count = poll(watched, 2, ms);
    } while (count < 0 && errno == EINTR);
    if (count < 0 || watched[1].revents != 0) {
        return WAIT_RUNG;
    }
    *happened = watched[0].revents;
    return count > 0 ? WAIT_READY : WAIT_OVER;
}

bool trib_sockets_is_ringing(const struct trib_sockets *sockets) {
    short happened;
    return wait_for(sockets, -1, 0, 0, &happened) == WAIT_RUNG;
}

bool trib_sockets_pause(const struct trib_sockets *sockets, int64_t pause_ms) {
    short happened;
    int ms = pause_ms < 0 ? 0 : pause_ms > INT_MAX ? INT_MAX : (int)pause_ms;
    return wait_for(sockets, -1, 0, ms, &happened) != WAIT_RUNG;
}

/* --- connections: the descriptor itself, plus one so that it is never NULL ------------------- */

static void *connection_of(int descriptor) {
    return (void *)((intptr_t)descriptor + 1);
}

static int descriptor_of(void *connection) {
    return (int)((intptr_t)connection - 1);
}

/* 0, or an errno. */
static int connect_to(const struct trib_sockets *sockets, int descriptor,
                      const struct sockaddr *address, socklen_t address_bytes) {
    if (connect(descriptor, address, address_bytes) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS && errno != EINTR) {
        return errno;
    }
    short happened;
    int waited = wait_for(sockets, descriptor, POLLOUT, CONNECT_MS, &happened);
    if (waited != WAIT_READY) {
        return waited == WAIT_OVER ? ETIMEDOUT : EINTR;
    }
    int failure = 0;
    socklen_t failure_bytes = sizeof failure;
    return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &failure_bytes) == 0 ? failure
                                                                                       : errno;
}

/* A connected descriptor, or -1 and *failure. */
static int dial(const struct trib_sockets *sockets, const struct sockaddr *address,
                socklen_t address_bytes, int *failure) {
    int descriptor = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) {
        *failure = errno;
        return -1;
    }
    *failure = connect_to(sockets, descriptor, address, address_bytes);
    if (*failure != 0) {
        (void)close(descriptor); /* nothing was sent */
        return -1;
    }
    return descriptor;
}

static int dial_path(const struct trib_sockets *sockets, const char *path, int *failure) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        *failure = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    return dial(sockets, (const struct sockaddr *)&address, sizeof address, failure);
}

/* The first address that answers. */
static int dial_any(const struct trib_sockets *sockets, const struct addrinfo *addresses,
                    int *failure) {
    int descriptor = -1;
    *failure = EADDRNOTAVAIL;
    for (; addresses != NULL && descriptor < 0; addresses = addresses->ai_next) {
        descriptor = dial(sockets, addresses->ai_addr, addresses->ai_addrlen, failure);
        if (*failure == EINTR) {
            break;
        }
    }
    int yes = 1;
    if (descriptor >= 0) {
        /* Head and body leave in few large writes; waiting to join them would only delay. A socket
         * that refuses the option works all the same. */
        (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
    return descriptor;
}

static int socket_connect(void *context, const char *host, const char *port, void **connection,
                          char *text, size_t text_room) {
    const struct trib_sockets *sockets = context;
    int failure = 0;
    int descriptor;
    if (strncmp(host, TRIB_UNIX_PREFIX, strlen(TRIB_UNIX_PREFIX)) == 0) {
        descriptor = dial_path(sockets, host + strlen(TRIB_UNIX_PREFIX), &failure);
    } else {
        const struct addrinfo wanted = {
            .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
        struct addrinfo *addresses = NULL;
        int unknown = getaddrinfo(host, port, &wanted, &addresses);
        if (unknown != 0) {
            snprintf(text, text_room, "%s", gai_strerror(unknown));
            return -1;
        }
        descriptor = dial_any(sockets, addresses, &failure);
        freeaddrinfo(addresses);
    }
    if (descriptor < 0) {
        snprintf(text, text_room, "%s", strerror(failure));
        return -1;
    }
    *connection = connection_of(descriptor);
    return 0;
}

static void socket_close(void *context, void *connection) {
    (void)context;
    (void)close(descriptor_of(connection)); /* what was acknowledged has arrived */
}

static int socket_wait(void *context, void *connection, int timeout_ms) {
    short happened;
    return wait_for(context, descriptor_of(connection), POLLIN, timeout_ms, &happened);
}

static long socket_read(void *context, void *connection, void *bytes, size_t count) {
    const struct trib_sockets *sockets = context;
    for (;;) {
        ssize_t got = recv(descriptor_of(connection), bytes, count, 0);
        if (got >= 0) {
            return (long)got;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return -1;
        }
        if (socket_wait(context, connection, (int)sockets->idle_ms) != WAIT_READY) {
            return -1;
        }
    }
}

static long socket_write(void *context, void *connection, const void *bytes, size_t count) {
    const struct trib_sockets *sockets = context;
    int descriptor = descriptor_of(connection);
    for (;;) {
        ssize_t sent = send(descriptor, bytes, count, MSG_NOSIGNAL);
        if (sent >= 0) {
            return (long)sent;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return -1;
        }
        short happened;
        if (wait_for(sockets, descriptor, POLLOUT | POLLIN, (int)sockets->idle_ms, &happened) !=
                WAIT_READY ||
            (happened & POLLOUT) == 0) {
            return -1; /* it talks instead of listening: the refusal is worth reading */
        }
    }
}

struct trib_transport trib_sockets_transport(struct trib_sockets *sockets) {
    return (struct trib_transport){
        .context = sockets,
        .connect = socket_connect,
        .read = socket_read,
        .write = socket_write,
        .close = socket_close,
        .wait = socket_wait,
    };
}

const struct trib_transport *trib_socket_transport(void) {
    static const struct trib_sockets sockets = {.bell = {NO_BELL, NO_BELL}, .idle_ms = IDLE_MS};
    static const struct trib_transport transport = {
        .context = (void *)&sockets, /* only ever read */
        .connect = socket_connect,
        .read = socket_read,
        .write = socket_write,
        .close = socket_close,
        .wait = socket_wait,
    };
    return &transport;
}
