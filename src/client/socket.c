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

#include "client/response.h"

#define NO_BELL (-1)
#define IDLE_MS 60000
#define CONNECT_MS 10000  /* nobody who answers takes so long */
#define HEAD_START_MS 250 /* RFC 8305 section 8 */
/* Where nothing passes, as during a long poll, a peer that is gone without a word (its machine lost
 * power, its address moved) is noticed after 9 + 3 * 3 s. */
#define PROBE_AFTER_S 9
#define PROBE_EVERY_S 3
#define PROBES_LOST_MAX 3
#define RUNNERS_MAX 8

/* --- the bell ------------------------------------------------------------------------------- */

bool trib_sockets_init(struct trib_sockets *sockets, uint32_t idle_ms) {
    sockets->idle_ms = idle_ms;
    sockets->proxy = (struct trib_proxy){.host = ""};
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

/* Attempts under way to reach one host, begun one after another. */
struct race {
    struct pollfd runners[RUNNERS_MAX + 1]; /* behind the last: the bell */
    size_t count;
};

/* One more attempt: 0, or an errno. */
static int enter(struct race *race, const struct addrinfo *address) {
    int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                            address->ai_protocol);
    if (descriptor < 0) {
        return errno;
    }
    if (connect(descriptor, address->ai_addr, address->ai_addrlen) != 0 && errno != EINPROGRESS &&
        errno != EINTR) {
        int failure = errno;
        (void)close(descriptor); /* nothing was sent */
        return failure;
    }
    race->runners[race->count++] = (struct pollfd){.fd = descriptor, .events = POLLOUT};
    return 0;
}

/* Take runner i out of the race. 0: it is connected and is the caller's; else why it is not, and
 * it is closed. */
static int leave(struct race *race, size_t i) {
    int descriptor = race->runners[i].fd;
    int failure = 0;
    socklen_t failure_bytes = sizeof failure;
    race->runners[i] = race->runners[--race->count];
    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &failure_bytes) != 0) {
        failure = errno;
    }
    if (failure != 0) {
        (void)close(descriptor); /* nothing was sent */
    }
    return failure;
}

/* Wait until one of them arrives: its descriptor. -1: the first that came to an end has failed
 * (*failure says how), or nobody has moved for ms (ETIMEDOUT), or the bell has rung (EINTR). */
static int await(const struct trib_sockets *sockets, struct race *race, int ms, int *failure) {
    race->runners[race->count] = (struct pollfd){.fd = sockets->bell[0], .events = POLLIN};
    int moved;
    do {
        moved = poll(race->runners, race->count + 1, ms);
    } while (moved < 0 && errno == EINTR);
    *failure = moved == 0 ? ETIMEDOUT : EINTR;
    if (moved <= 0 || race->runners[race->count].revents != 0) {
        return -1;
    }
    for (size_t i = 0;; i++) {
        if (race->runners[i].revents != 0) {
            int descriptor = race->runners[i].fd;
            *failure = leave(race, i);
            return *failure == 0 ? descriptor : -1;
        }
    }
}

/* A socket that refuses an option, as those with a path do, works all the same. No TCP_USER_TIMEOUT:
 * that would also give up on a daemon that is there and has stopped reading for a while. */
static void set_options(int descriptor) {
    static const struct {
        int level, name, value;
    } options[] = {
        /* Head and body leave in few large writes; waiting to join them would only delay. */
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, PROBE_AFTER_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, PROBE_EVERY_S},
        {IPPROTO_TCP, TCP_KEEPCNT, PROBES_LOST_MAX},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        (void)setsockopt(descriptor, options[i].level, options[i].name, &options[i].value,
                         sizeof options[i].value);
    }
}

/* A connected descriptor, or -1 and *failure. A host whose IPv6 is a black hole must not look
 * dead, nor slow: the next address does not wait for the one before to give up. */
static int dial(const struct trib_sockets *sockets, const struct addrinfo *addresses,
                int *failure) {
    struct race race = {.count = 0};
    int winner = -1;
    bool is_over = false;
    *failure = EADDRNOTAVAIL;
    while (winner < 0 && !is_over && (addresses != NULL || race.count > 0)) {
        bool has_next = addresses != NULL && race.count < RUNNERS_MAX;
        if (has_next) {
            *failure = enter(&race, addresses);
            addresses = addresses->ai_next;
        }
        if (!has_next || *failure == 0) {
            bool is_last = addresses == NULL || race.count == RUNNERS_MAX;
            winner = await(sockets, &race, is_last ? CONNECT_MS : HEAD_START_MS, failure);
            is_over = *failure == EINTR || (is_last && *failure == ETIMEDOUT);
        }
    }
    while (race.count > 0) {
        (void)close(race.runners[--race.count].fd); /* nothing was sent */
    }
    if (winner >= 0) {
        set_options(winner);
    }
    return winner;
}

/* A connected descriptor, or -1 and text; the same below. */
static int dial_path(const struct trib_sockets *sockets, const char *path, char *text,
                     size_t text_room) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct addrinfo only = {.ai_family = AF_UNIX,
                                  .ai_socktype = SOCK_STREAM,
                                  .ai_addr = (struct sockaddr *)&address,
                                  .ai_addrlen = sizeof address};
    int failure = ENAMETOOLONG;
    int descriptor = -1;
    if (strlen(path) < sizeof address.sun_path) {
        strcpy(address.sun_path, path);
        descriptor = dial(sockets, &only, &failure);
    }
    if (descriptor < 0) {
        snprintf(text, text_room, "%s", strerror(failure));
    }
    return descriptor;
}

static int dial_host(const struct trib_sockets *sockets, const char *host, const char *port,
                     char *text, size_t text_room) {
    const struct addrinfo wanted = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    int failure = 0;
    int unknown = getaddrinfo(host, port, &wanted, &addresses);
    if (unknown != 0) {
        snprintf(text, text_room, "%s", gai_strerror(unknown));
        return -1;
    }
    int descriptor = dial(sockets, addresses, &failure);
    freeaddrinfo(addresses);
    if (descriptor < 0) {
        snprintf(text, text_room, "%s", strerror(failure));
    }
    return descriptor;
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

bool trib_socket_hand_over(void *connection, int descriptor) {
    char byte = 0;
    union {
        struct cmsghdr head; /* aligns it */
        char bytes[CMSG_SPACE(sizeof descriptor)];
    } control = {.bytes = {0}};
    struct iovec place = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &place,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(part), &descriptor, sizeof descriptor);
    ssize_t sent;
    do { /* there is room: the daemon has just answered */
        sent = sendmsg(descriptor_of(connection), &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == 1;
}

/* --- connecting ----------------------------------------------------------------------------- */

static bool send_all(void *sockets, void *connection, const char *bytes, size_t count) {
    while (count > 0) {
        long sent = socket_write(sockets, connection, bytes, count);
        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        count -= (size_t)sent;
    }
    return true;
}

/* Read the head of the proxy's answer; whatever it says of a body, a tunnel has none (RFC 9110
 * section 9.3.6). Byte by byte, because what follows the head belongs to the tunnel. */
static bool receive_answer(void *sockets, void *connection, struct trib_response *response) {
    trib_response_begin(response, true);
    while (response->state == TRIB_RESPONSE_HEAD) {
        char byte;
        const char *body;
        size_t body_bytes;
        long got = socket_read(sockets, connection, &byte, 1);
        if (got == 1) {
            (void)trib_response_feed(response, &byte, 1, &body, &body_bytes); /* it takes it */
        } else {
            trib_response_closed(response);
        }
    }
    return response->state == TRIB_RESPONSE_DONE;
}

/* 0, or what connect returns; text goes on after "proxy HOST port PORT". */
static int open_tunnel(struct trib_sockets *sockets, void *connection, const char *host,
                       const char *port, char *text, size_t text_room) {
    char head[TRIB_PROXY_HEAD_BYTES];
    struct trib_response response;
    size_t head_bytes = trib_proxy_write_head(&sockets->proxy, host, port, head);
    if (!send_all(sockets, connection, head, head_bytes) ||
        !receive_answer(sockets, connection, &response)) {
        snprintf(text, text_room, "lost the connection, or does not speak HTTP");
        return -1;
    }
    const char *refusal = trib_proxy_refusal(response.status);
    if (refusal == NULL) {
        return 0;
    }
    snprintf(text, text_room, "%s", refusal);
    return response.status < 500 ? TRIB_CONNECT_REFUSED : -1;
}

static int connect_through_proxy(struct trib_sockets *sockets, const char *host, const char *port,
                                 void **connection, char *text, size_t text_room) {
    const struct trib_proxy *proxy = &sockets->proxy;
    char why[96];
    int descriptor = dial_host(sockets, proxy->host, proxy->port, why, sizeof why);
    if (descriptor < 0) {
        snprintf(text, text_room, "proxy %s port %s: %s", proxy->host, proxy->port, why);
        return -1;
    }
    int result = open_tunnel(sockets, connection_of(descriptor), host, port, why, sizeof why);
    if (result != 0) {
        snprintf(text, text_room, "proxy %s port %s %s", proxy->host, proxy->port, why);
        (void)close(descriptor); /* nothing of ours is in there */
        return result;
    }
    *connection = connection_of(descriptor);
    return 0;
}

static int socket_connect(void *context, const char *host, const char *port, void **connection,
                          char *text, size_t text_room) {
    struct trib_sockets *sockets = context;
    bool is_unix = strncmp(host, TRIB_UNIX_PREFIX, strlen(TRIB_UNIX_PREFIX)) == 0;
    if (!is_unix && sockets->proxy.host[0] != '\0') {
        return connect_through_proxy(sockets, host, port, connection, text, text_room);
    }
    int descriptor = is_unix ? dial_path(sockets, host + strlen(TRIB_UNIX_PREFIX), text, text_room)
                             : dial_host(sockets, host, port, text, text_room);
    if (descriptor < 0) {
        return -1;
    }
    *connection = connection_of(descriptor);
    return 0;
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

bool trib_sockets_made(const struct trib_transport *transport) {
    return transport->connect == socket_connect;
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
