/* hops.c - two plain ways to gather updates, ours, to hold the daemon against: what LIFL (Qi, Ramakrishnan
 * and Lee, MLSys 2024) calls copies at each hop and message brokers, without its platforms around them.
 *
 *   hops copies READY-FILE BYTES COUNT   one process. A body is received whole into the buffer of
 *                                        its connection, copied into a message (as a decoder
 *                                        does), queued, and copied again by the aggregator
 *   hops broker READY-FILE BYTES COUNT   two processes. A broker receives a body whole, stores it
 *                                        in memory, acknowledges, and forwards it over loopback
 *                                        to the aggregator, which holds it until all are there
 *
 * They speak as much HTTP as bench/load.c does. When COUNT updates of BYTES bytes are there the
 * aggregator makes one pass for each over an fp32 sum and divides: version 1. Nothing is checked,
 * digested or written to a disk. A thread per connection, blocking: nothing else to be slow at.
 * After version 1 the program prints processor time and peak memory of both processes on SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD_BYTES 8192

/* One update on its way; `bytes` is the whole body. */
struct message {
    unsigned char *bytes;
    size_t count;
    struct message *next;
};

static size_t value_count, update_count;
static bool is_broker;
static atomic_int version;
static struct sockaddr_in aggregator; /* broker: where bodies are forwarded to */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct message *first, **last = &first; /* the queue */

_Noreturn static void fail(const char *what) {
    (void)fprintf(stderr, "hops: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *need(void *memory) {
    return memory != NULL ? memory : (fail("memory"), NULL);
}

/* --- the queue -------------------------------------------------------------------------------- */

static void put(unsigned char *bytes, size_t count) {
    struct message *message = need(malloc(sizeof *message));
    *message = (struct message){.bytes = bytes, .count = count};
    (void)pthread_mutex_lock(&lock);
    *last = message;
    last = &message->next;
    (void)pthread_cond_signal(&changed);
    (void)pthread_mutex_unlock(&lock);
}

static struct message *take(void) {
    (void)pthread_mutex_lock(&lock);
    while (first == NULL) {
        (void)pthread_cond_wait(&changed, &lock);
    }
    struct message *message = first;
    first = message->next;
    last = first == NULL ? &first : last;
    (void)pthread_mutex_unlock(&lock);
    return message;
}

/* --- the aggregator --------------------------------------------------------------------------- */

static void *aggregate(void *unused) {
    unsigned char **held = need(calloc(update_count, sizeof *held));
    float *sum = need(calloc(value_count, sizeof *sum));
    size_t tensor_bytes = value_count * sizeof(float);
    (void)unused;
    for (size_t i = 0; i < update_count; i++) {
        struct message *message = take();
        /* The tensor out of the message: what lies behind the head of the file. */
        held[i] = need(malloc(tensor_bytes));
        memcpy(held[i], message->bytes + message->count - tensor_bytes, tensor_bytes);
        free(message->bytes);
        free(message);
    }
    for (size_t i = 0; i < update_count; i++) {
        const float *values = (const float *)(const void *)held[i];
        for (size_t k = 0; k < value_count; k++) {
            sum[k] += values[k];
        }
        free(held[i]);
    }
    for (size_t k = 0; k < value_count; k++) {
        sum[k] /= (float)update_count;
    }
    version = 1;
    return NULL;
}

/* --- sockets ------------------------------------------------------------------------------------ */

static bool send_all(int socket, const void *bytes, size_t count) {
    const char *next = bytes;
    while (count > 0) {
        ssize_t sent = send(socket, next, count, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        next += sent;
        count -= (size_t)sent;
    }
    return true;
}

static bool receive_all(int socket, void *bytes, size_t count) {
    char *next = bytes;
    while (count > 0) {
        ssize_t got = recv(socket, next, count, 0);
        if (got <= 0) {
            return false;
        }
        next += got;
        count -= (size_t)got;
    }
    return true;
}

static void start(void *(*work)(void *), void *argument) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, argument) != 0 || pthread_detach(thread) != 0) {
        fail("thread");
    }
}

static int listen_at(struct sockaddr_in *address) {
    socklen_t bytes = sizeof *address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (listener < 0 || bind(listener, (struct sockaddr *)address, bytes) != 0 ||
        listen(listener, 512) != 0 ||
        getsockname(listener, (struct sockaddr *)address, &bytes) != 0) {
        fail("listen");
    }
    return listener;
}

/* Each connection to a thread of its own, which gets its descriptor. */
_Noreturn static void accept_all(int listener, void *(*serve)(void *)) {
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        if (peer < 0) {
            fail("accept");
        }
        start(serve, (void *)(intptr_t)peer);
    }
}

/* --- from the broker to the aggregator: a length and a body ------------------------------------- */

static void *forward(void *unused) {
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)unused;
    if (peer < 0 || connect(peer, (struct sockaddr *)&aggregator, sizeof aggregator) != 0) {
        fail("connect to the aggregator");
    }
    for (;;) {
        struct message *message = take();
        uint64_t count = message->count;
        if (!send_all(peer, &count, sizeof count) || !send_all(peer, message->bytes, count)) {
            fail("forward");
        }
        free(message->bytes);
        free(message);
    }
}

static void *receive_forwarded(void *argument) {
    int peer = (int)(intptr_t)argument;
    uint64_t count;
    while (receive_all(peer, &count, sizeof count)) {
        unsigned char *bytes = need(malloc(count));
        if (!receive_all(peer, bytes, count)) {
            break;
        }
        put(bytes, count);
    }
    (void)close(peer);
    return NULL;
}

/* --- HTTP --------------------------------------------------------------------------------------- */

/* A head into head[HEAD_BYTES], and how long its body is. */
static bool read_head(int peer, char *head, size_t *body_bytes) {
    size_t count = 0;
    do { /* byte by byte: what follows is the body's */
        if (count == HEAD_BYTES - 1 || recv(peer, head + count, 1, 0) != 1) {
            return false;
        }
        head[++count] = '\0';
    } while (count < 4 || memcmp(head + count - 4, "\r\n\r\n", 4) != 0);
    const char *length = strcasestr(head, "\r\nContent-Length:");
    *body_bytes = length == NULL ? 0 : strtoull(length + 17, NULL, 10);
    return true;
}

static bool reply(int peer) {
    char text[512], body[128];
    /* One body for all: load.c takes from it what it looks for. */
    int bytes = snprintf(body, sizeof body,
                         "{\"token\":\"none\",\"kind\":\"train\",\"version\":%d}", version);
    bytes =
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", bytes, body);
    return send_all(peer, text, (size_t)bytes);
}

static bool take_update(int peer, size_t count) {
    unsigned char *received = need(malloc(count));
    if (!receive_all(peer, received, count)) {
        free(received);
        return false;
    }
    if (!is_broker) { /* as a decoder, which does not keep the bytes of the wire */
        unsigned char *decoded = need(malloc(count));
        memcpy(decoded, received, count);
        free(received);
        received = decoded;
    }
    put(received, count);
    return true;
}

static void *serve(void *argument) {
    int peer = (int)(intptr_t)argument;
    char head[HEAD_BYTES];
    size_t count;
    bool is_good = true;
    while (is_good && read_head(peer, head, &count)) {
        if (strstr(head, "/updates/") != NULL) {
            is_good = take_update(peer, count);
        } else if (count > 0) { /* a join */
            char small[HEAD_BYTES];
            is_good = count <= sizeof small && receive_all(peer, small, count);
        }
        is_good = is_good && reply(peer);
    }
    (void)close(peer);
    return NULL;
}

/* --- processes ------------------------------------------------------------------------------------ */

static int parent_pipe = -1; /* the aggregator's process says its version there */

/* The broker answers for the version, so it has to hear of it. */
static void *hear_version(void *unused) {
    char byte;
    (void)unused;
    if (read(parent_pipe, &byte, 1) == 1) {
        version = 1;
    }
    return NULL;
}

static void *aggregate_and_tell(void *unused) {
    (void)aggregate(unused);
    if (write(parent_pipe, "1", 1) != 1) {
        fail("pipe");
    }
    return NULL;
}

static pid_t start_aggregator(void) {
    int pipe_ends[2];
    int listener = listen_at(&aggregator);
    if (pipe(pipe_ends) != 0) {
        fail("pipe");
    }
    pid_t child = fork();
    if (child == 0) {
        parent_pipe = pipe_ends[1];
        start(aggregate_and_tell, NULL);
        accept_all(listener, receive_forwarded);
    }
    parent_pipe = pipe_ends[0];
    (void)close(listener);
    start(hear_version, NULL);
    start(forward, NULL);
    return child;
}

static double processor_s(const struct rusage *used) {
    return (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) +
           (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) * 1e-6;
}

static void *end_on_signal(void *argument) {
    pid_t child = (pid_t)(intptr_t)argument;
    sigset_t set;
    int number;
    struct rusage own, other = {0};
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigwait(&set, &number);
    if (child > 0) {
        (void)kill(child, SIGKILL);
        (void)wait4(child, NULL, 0, &other);
    }
    (void)getrusage(RUSAGE_SELF, &own);
    (void)printf("cpu\t%.3f\ts\nrss\t%.1f\tMB\n", processor_s(&own) + processor_s(&other),
                 (double)(own.ru_maxrss + other.ru_maxrss) * 1024 / 1e6);
    exit(0);
}

static void announce(const char *path, const struct sockaddr_in *address) {
    char draft[4096];
    (void)snprintf(draft, sizeof draft, "%s.new", path);
    FILE *file = fopen(draft, "w");
    if (file == NULL) {
        fail(draft);
    }
    (void)fprintf(file, "http://127.0.0.1:%u\n", (unsigned)ntohs(address->sin_port));
    if (fclose(file) != 0 || rename(draft, path) != 0) {
        fail(path);
    }
}

int main(int count, char **words) {
    struct sockaddr_in address;
    sigset_t set;
    if (count != 5 || (strcmp(words[1], "copies") != 0 && strcmp(words[1], "broker") != 0)) {
        (void)fprintf(stderr, "usage: hops copies|broker READY-FILE BYTES COUNT\n");
        return 2;
    }
    is_broker = strcmp(words[1], "broker") == 0;
    value_count = strtoull(words[3], NULL, 10) / sizeof(float);
    update_count = strtoull(words[4], NULL, 10);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL); /* for all threads to come */
    pid_t child = 0;
    if (is_broker) {
        child = start_aggregator();
    } else {
        start(aggregate, NULL);
    }
    start(end_on_signal, (void *)(intptr_t)child);
    int listener = listen_at(&address);
    announce(words[2], &address);
    accept_all(listener, serve);
}
