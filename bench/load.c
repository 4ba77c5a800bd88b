/* load.c - a crowd of clients for one run, in one process: a load generator over TCP and TLS.
 *
 *   load poll   --url URL --run R --clients N [--until-version V]
 *               all join and hold a long poll open until it tells of version V or later
 *   load push   --url URL --run R --clients N --bytes B [--rate BYTES_PER_S] [--abandon]
 *                                                       [--until-version V] [--receipts]
 *               all join and send updates of B bytes, one after the other, each with an id of its
 *               own; at a rate, or as fast as it goes; --abandon: half a body, then a new
 *               connection; with a version, the last one waits until it is there
 *   load round  --url URL --run R --clients N --bytes B
 *               all join, ask for a task, train nothing, send their update, ask again; what is
 *               measured is the time from sending an update to the task for the next version
 *   load flap   --url URL --run R --clients N --bytes B [--pause S] [--acknowledged FILE]
 *               all come and go: each joins, polls, sends an update or half of one, hangs up
 *               wherever it is, stays away for S seconds on average (1 in 20 ten times as long)
 *               and comes back, 1 in 10 under a new name; FILE gets "client id" of each update
 *               that was acknowledged
 *
 * --role evaluator for poll; --name PREFIX of client names; --seconds S and --count K (answers
 * per client) end it, whichever comes first. Prints one line of JSON:
 *
 *   acknowledged   updates (push), rounds (round), or polls answered as wanted (poll)
 *   p50_ms p99_ms  of these
 *   after_ms       push with --until-version: from the last byte of the last update to the version
 *   refused        other answers, by status; a client that is refused pauses for Retry-After
 *   lost           connections that ended without an answer
 *
 * The model must have one tensor, w of B / 4 floats. One thread, epoll; a client is a connection
 * and what it waits for. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "line.h"

#define REQUEST_BYTES 1024
#define REPLY_BYTES 8192
#define TOKEN_BYTES 512
#define OPENING_MAX \
    200 /* joins under way: the daemon's queue of newcomers is not what we measure */
#define EVENTS_MAX 512
#define TICK_MS 10
#define SEEN_PAUSE_US 2000
#define STATUS_MAX 600

enum mode { MODE_POLL, MODE_PUSH, MODE_ROUND, MODE_FLAP };

/* What a client waits for an answer to, or will do when its pause is over. */
enum step { STEP_JOIN, STEP_STATUS, STEP_TASK, STEP_UPDATE, STEP_ENDED };

struct options {
    enum mode mode;
    struct sockaddr_in address;
    bool is_tls;
    const char *run, *name, *role;
    long clients, count;
    double seconds, rate, pause;
    uint64_t bytes, until_version;
    bool is_abandoning, wants_receipts;
    FILE *acknowledged; /* NULL: nobody asks */
};

struct client {
    struct line line;
    enum step step;
    bool is_sending; /* the request has not left yet */
    bool is_paused;
    bool is_watched_for_room; /* epoll tells when there is room to send */
    double pause_until;
    double asked_at;     /* when the request under way began */
    double sent_at;      /* round: when the update began; 0: none yet */
    double leave_at;     /* flap: hangs up on whatever it waits for; 0: stays */
    bool is_leaving;     /* flap: in the middle of its update */
    unsigned generation; /* flap: part of its name */
    char token[TOKEN_BYTES];
    char *request; /* its head, while it is sent */
    size_t request_bytes;
    uint64_t total_bytes, sent_bytes; /* head and body */
    char *reply;                      /* while it comes */
    size_t reply_bytes;
    uint64_t base, next_id;
    long answers;
};

static struct options options;
static struct client *clients;
static int poller;
static double started_at;
static double arrived_at; /* push: the last byte of an update has left */
static double after_ms;   /* push --until-version: from then to the version */
static long opened, opening, ended;

static char *body_head; /* of the safetensors file; the numbers behind it are 0 */
static size_t body_head_bytes;
static unsigned char zeros[1 << 18];

static uint32_t *latencies_us;
static size_t latency_count, latencies_max;
static uint64_t acknowledged, lost, bytes_sent, refused[STATUS_MAX];

_Noreturn static void fail(const char *what) {
    (void)fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *need(void *memory) {
    return memory != NULL ? memory : (fail("memory"), NULL);
}

static double seconds_now(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- requests ------------------------------------------------------------------------------------ */

static size_t client_index(const struct client *client) {
    return (size_t)(client - clients);
}

static void watch(struct client *client, bool wants_room) {
    struct epoll_event event = {
        .events = EPOLLIN | (wants_room ? EPOLLOUT : 0),
        .data.u64 = client_index(client),
    };
    client->is_watched_for_room = wants_room;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, client->line.socket, &event) != 0) {
        fail("epoll_ctl");
    }
}

static void disconnect(struct client *client) {
    line_close(&client->line);
    free(client->request);
    free(client->reply);
    client->request = client->reply = NULL;
    client->reply_bytes = 0;
    client->is_sending = false;
}

static void connect_anew(struct client *client) {
    if (!line_open(&client->line, &options.address, options.is_tls)) {
        fail("connect");
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.u64 = client_index(client)};
    client->is_watched_for_room = true;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, client->line.socket, &event) != 0) {
        fail("epoll_ctl");
    }
}

/* Somewhere in 0 .. 1, the same in every run of the program (xorshift64, Marsaglia 2003). */
static double chance(void) {
    static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 0x1p53;
}

/* "load-7", when it flaps "load-7.3" */
static const char *name_of(const struct client *client, char name[64]) {
    int bytes = snprintf(name, 64, "%s-%zu", options.name, client_index(client));
    if (options.mode == MODE_FLAP && bytes > 0 && bytes < 64) {
        (void)snprintf(name + bytes, 64 - (size_t)bytes, ".%u", client->generation);
    }
    return name;
}

static int write_head(const struct client *client, char *head, size_t room) {
    char name[64];
    switch (client->step) {
    case STEP_JOIN:
        return snprintf(head, room,
                        "PUT /v1/runs/%s/clients/%s HTTP/1.1\r\nHost: localhost\r\n"
                        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n"
                        "{\"role\":\"%s\"}",
                        options.run, name_of(client, name), strlen(options.role) + 11,
                        options.role);
    case STEP_STATUS:
        return snprintf(head, room, "GET /v1/runs/%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        options.run);
    case STEP_TASK:
        return snprintf(head, room,
                        "GET /v1/runs/%s/task?wait=60 HTTP/1.1\r\nHost: localhost\r\n"
                        "Authorization: Bearer %s\r\n\r\n",
                        options.run, client->token);
    default:
        return snprintf(head, room,
                        "PUT /v1/runs/%s/updates/%s.%d.%" PRIu64 " HTTP/1.1\r\n"
                        "Host: localhost\r\nAuthorization: Bearer %s\r\n"
                        "Content-Type: application/safetensors\r\n"
                        "Tributary-Base-Version: %" PRIu64 "\r\nTributary-Examples: 1\r\n"
                        "%sContent-Length: %" PRIu64 "\r\n\r\n",
                        options.run, name_of(client, name), (int)getpid(), client->next_id,
                        client->token, client->base,
                        options.wants_receipts ? "Tributary-Receipt: yes\r\n" : "",
                        body_head_bytes + options.bytes);
    }
}

static void ask(struct client *client, enum step step) {
    client->step = step;
    if (client->line.socket < 0) {
        connect_anew(client);
    }
    client->request = need(malloc(REQUEST_BYTES));
    client->reply = need(malloc(REPLY_BYTES));
    client->reply_bytes = 0;
    int bytes = write_head(client, client->request, REQUEST_BYTES);
    if (bytes < 0 || bytes >= REQUEST_BYTES) {
        errno = EMSGSIZE;
        fail("request");
    }
    client->request_bytes = client->total_bytes = (size_t)bytes;
    if (step == STEP_UPDATE) {
        client->total_bytes += body_head_bytes + options.bytes;
        client->next_id++;
    }
    client->sent_bytes = 0;
    client->is_sending = true;
    client->asked_at = seconds_now();
    if (!client->is_watched_for_room) {
        watch(client, true);
    }
}

static void end(struct client *client) {
    if (client->step == STEP_JOIN) {
        opening--;
    }
    disconnect(client);
    client->step = STEP_ENDED;
    ended++;
}

static bool is_over(const struct client *client) {
    return options.count > 0 && client->answers >= options.count;
}

static void pause_client(struct client *client, double seconds) {
    client->is_paused = true;
    client->pause_until = seconds_now() + seconds;
}

/* --- sending --------------------------------------------------------------------------------------- */

/* The bytes of the request from sent_bytes on that lie together. */
static const void *next_piece(const struct client *client, size_t *count) {
    uint64_t at = client->sent_bytes;
    if (at < client->request_bytes) {
        *count = client->request_bytes - (size_t)at;
        return client->request + at;
    }
    at -= client->request_bytes;
    if (at < body_head_bytes) {
        *count = body_head_bytes - (size_t)at;
        return body_head + at;
    }
    uint64_t left = client->total_bytes - client->sent_bytes;
    *count = left < sizeof zeros ? (size_t)left : sizeof zeros;
    return zeros;
}

static bool ends_midway(const struct client *client) {
    return options.is_abandoning || client->is_leaving;
}

/* How far a body may be by now. */
static uint64_t allowed_bytes(const struct client *client) {
    uint64_t limit = client->total_bytes;
    if (client->step == STEP_UPDATE && ends_midway(client)) {
        limit = client->request_bytes + (limit - client->request_bytes) / 2;
    }
    if (client->step != STEP_UPDATE || options.rate <= 0) {
        return limit;
    }
    double paced = (seconds_now() - client->asked_at) * options.rate;
    uint64_t most = client->request_bytes + (uint64_t)paced;
    return most < limit ? most : limit;
}

/* Away for a while; what it does then begins with joining. */
static void leave(struct client *client) {
    double pause = 2 * chance() * options.pause;
    disconnect(client);
    opening += client->step != STEP_JOIN;
    client->step = STEP_JOIN;
    client->is_leaving = false;
    client->leave_at = 0;
    client->generation += chance() < 0.1;
    pause_client(client, chance() < 0.05 ? 10 * pause : pause);
}

static void abandon(struct client *client) {
    if (options.mode == MODE_FLAP) {
        leave(client);
        return;
    }
    disconnect(client);
    client->answers++;
    if (is_over(client)) {
        end(client);
    } else {
        ask(client, STEP_JOIN);
        opening++;
    }
}

static void lose(struct client *client) {
    enum step step = client->step;
    lost++;
    disconnect(client);
    pause_client(client, 0.2);
    client->step = step;
}

static void send_more(struct client *client) {
    uint64_t allowed = allowed_bytes(client);
    while (client->sent_bytes < allowed) {
        size_t count;
        const void *bytes = next_piece(client, &count);
        if (count > allowed - client->sent_bytes) {
            count = (size_t)(allowed - client->sent_bytes);
        }
        ssize_t sent = line_send(&client->line, bytes, count);
        if (sent < 0 && errno == EAGAIN) {
            if (line_waits_for_peer(&client->line)) {
                watch(client, false); /* until the peer has said its part; see turn() */
            }
            return;
        }
        if (sent < 0) {
            /* A refusal may be there to be read although the daemon takes no more. */
            client->is_sending = false;
            watch(client, false);
            return;
        }
        client->sent_bytes += (uint64_t)sent;
        bytes_sent += (uint64_t)sent;
    }
    if (client->sent_bytes == client->total_bytes) {
        if (client->step == STEP_UPDATE) {
            arrived_at = seconds_now();
        }
        client->is_sending = false;
        watch(client, false);
    } else if (ends_midway(client) && options.rate <= 0) {
        abandon(client);
    } else {
        watch(client, false); /* until the next tick */
    }
}

/* --- answers --------------------------------------------------------------------------------------- */

static bool find_number(const char *text, const char *key, uint64_t *number) {
    const char *found = strstr(text, key);
    if (found == NULL) {
        return false;
    }
    *number = strtoull(found + strlen(key), NULL, 10);
    return true;
}

static void note(double since) {
    if (latency_count == latencies_max) {
        latencies_max = latencies_max == 0 ? 65536 : 2 * latencies_max;
        latencies_us = need(realloc(latencies_us, latencies_max * sizeof *latencies_us));
    }
    latencies_us[latency_count++] = (uint32_t)((seconds_now() - since) * 1e6);
    acknowledged++;
}

static void go_on(struct client *client, enum step step) {
    bool is_last = ended == options.clients - 1;
    if (is_over(client) && is_last && options.mode == MODE_PUSH && options.until_version > 0) {
        ask(client, STEP_STATUS);
    } else if (is_over(client)) {
        end(client);
    } else {
        ask(client, step);
    }
}

static void joined(struct client *client, const char *body) {
    const char *token = strstr(body, "\"token\":\"");
    opening--;
    if (token == NULL || sscanf(token + 9, "%511[^\"]", client->token) != 1) {
        errno = EPROTO;
        fail("join");
    }
    double whim = chance();
    if (options.mode != MODE_FLAP) {
        ask(client, options.mode == MODE_PUSH ? STEP_UPDATE : STEP_TASK);
    } else if (whim < 0.1) {
        client->step = STEP_TASK; /* it has joined */
        leave(client);
    } else if (whim < 0.5) { /* an update, or half of one */
        client->is_leaving = whim < 0.2;
        ask(client, STEP_STATUS);
    } else { /* waits, and hangs up before long */
        client->leave_at = seconds_now() + 4 * chance();
        ask(client, STEP_TASK);
    }
}

static void seen(struct client *client, const char *body) {
    (void)find_number(body, "\"version\":", &client->base);
    if (!is_over(client)) {
        ask(client, STEP_UPDATE);
    } else if (client->base >= options.until_version) {
        after_ms = (seconds_now() - arrived_at) * 1e3;
        end(client);
    } else {
        (void)usleep(SEEN_PAUSE_US); /* all others have ended */
        ask(client, STEP_STATUS);
    }
}

static void told(struct client *client, const char *body) {
    uint64_t version = 0;
    bool is_stop = strstr(body, "\"kind\":\"stop\"") != NULL;
    (void)find_number(body, "\"version\":", &version);
    if (is_stop) {
        end(client);
    } else if (options.mode == MODE_POLL) {
        if (strstr(body, "\"kind\":\"wait\"") == NULL && version >= options.until_version) {
            note(client->asked_at);
            end(client);
        } else {
            ask(client, STEP_TASK);
        }
    } else if (strstr(body, "\"kind\":\"train\"") == NULL) {
        ask(client, STEP_TASK);
    } else if (options.mode == MODE_FLAP) {
        client->base = version;
        client->leave_at = 0;
        ask(client, STEP_UPDATE);
    } else {
        if (client->sent_at > 0) {
            note(client->sent_at);
            client->answers++;
        }
        client->base = version;
        go_on(client, STEP_UPDATE);
        client->sent_at = client->asked_at;
    }
}

static void taken(struct client *client, const char *body) {
    uint64_t version = 0;
    if (options.mode == MODE_ROUND) {
        ask(client, STEP_TASK);
        return;
    }
    note(client->asked_at);
    if (options.mode == MODE_FLAP) {
        char name[64];
        if (options.acknowledged != NULL) {
            (void)fprintf(options.acknowledged, "%s %s.%d.%" PRIu64 "\n", name_of(client, name),
                          name, (int)getpid(), client->next_id - 1);
        }
        leave(client);
        return;
    }
    client->answers++;
    /* It is counted in the next version or the one after: two before is there, and young. */
    if (find_number(body, "\"version\":", &version) && version >= 2) {
        client->base = version - 2;
    }
    go_on(client, STEP_UPDATE);
}

/* A whole reply is there. */
static void answered(struct client *client, int status, const char *head, const char *body) {
    bool is_closing = strcasestr(head, "\r\nConnection: close") != NULL;
    enum step step = client->step;
    char copy[REPLY_BYTES];
    (void)snprintf(copy, sizeof copy, "%s", body);
    uint64_t retry_after = 0;
    (void)find_number(head, "Retry-After: ", &retry_after);
    if (is_closing || client->is_sending) {
        disconnect(client);
    }
    free(client->request);
    free(client->reply);
    client->request = client->reply = NULL;
    client->is_sending = false;
    if (status >= 300) {
        refused[status < STATUS_MAX ? status : 0]++;
        if (options.mode == MODE_FLAP) {
            leave(client);
            return;
        }
        pause_client(client, retry_after > 0 ? (double)retry_after : 0.1);
        if (step == STEP_UPDATE && status == 409) { /* its base is too old */
            client->step = options.mode == MODE_ROUND ? STEP_TASK : STEP_STATUS;
        }
    } else if (step == STEP_JOIN) {
        joined(client, copy);
    } else if (step == STEP_STATUS) {
        seen(client, copy);
    } else if (step == STEP_TASK) {
        told(client, copy);
    } else {
        taken(client, copy);
    }
}

static void read_reply(struct client *client) {
    char ignored[256];
    bool is_expected = client->reply != NULL;
    char *place = is_expected ? client->reply + client->reply_bytes : ignored;
    size_t room = is_expected ? REPLY_BYTES - 1 - client->reply_bytes : sizeof ignored;
    ssize_t count = line_receive(&client->line, place, room);
    if (count < 0 && errno == EAGAIN) {
        return;
    }
    if (count <= 0) {
        if (is_expected) {
            lose(client);
        } else {
            disconnect(client); /* while it pauses: it will connect again */
        }
        return;
    }
    if (!is_expected) {
        return;
    }
    client->reply_bytes += (size_t)count;
    client->reply[client->reply_bytes] = '\0';
    char *body = strstr(client->reply, "\r\n\r\n");
    uint64_t body_bytes = 0;
    if (body == NULL) {
        return;
    }
    body += 4;
    (void)find_number(client->reply, "Content-Length: ", &body_bytes);
    if (client->reply_bytes - (size_t)(body - client->reply) < body_bytes) {
        return;
    }
    body[-2] = '\0'; /* the head keeps the end of its last line */
    answered(client, atoi(client->reply + 9), client->reply, body);
}

/* --- the crowd --------------------------------------------------------------------------------------- */

static void open_more(void) {
    while (opened < options.clients && opening < OPENING_MAX) {
        struct client *client = &clients[opened++];
        client->line.socket = -1;
        opening++;
        ask(client, STEP_JOIN);
    }
}

static void tick(void) {
    double now = seconds_now();
    for (long i = 0; i < opened; i++) {
        struct client *client = &clients[i];
        if (client->step == STEP_ENDED) {
            continue;
        }
        if (client->is_paused) {
            if (now >= client->pause_until) {
                client->is_paused = false;
                ask(client, client->step);
            }
        } else if (client->leave_at > 0 && now >= client->leave_at) {
            leave(client);
        } else if (client->is_sending && !client->is_watched_for_room) {
            if (ends_midway(client) && client->step == STEP_UPDATE &&
                client->sent_bytes - client->request_bytes >=
                    (client->total_bytes - client->request_bytes) / 2) {
                abandon(client);
            } else {
                watch(client, true);
            }
        }
    }
    open_more();
}

static void turn(void) {
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(poller, events, EVENTS_MAX, TICK_MS);
    for (int i = 0; i < count; i++) {
        struct client *client = &clients[events[i].data.u64];
        if (client->line.socket >= 0 && events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
            bool was_shaking = line_waits_for_peer(&client->line);
            read_reply(client);
            if (was_shaking && client->line.socket >= 0 && client->is_sending) {
                watch(client, true);
            }
        }
        if (client->line.socket >= 0 && client->is_sending && events[i].events & EPOLLOUT) {
            send_more(client);
        }
    }
}

static volatile sig_atomic_t is_interrupted;

static void interrupt(int number) {
    (void)number;
    is_interrupted = 1;
}

static void run(void) {
    double next_tick = 0;
    started_at = seconds_now();
    while (ended < options.clients && !is_interrupted) {
        double now = seconds_now();
        if (options.seconds > 0 && now - started_at >= options.seconds) {
            break;
        }
        if (now >= next_tick) {
            tick();
            next_tick = now + TICK_MS / 1e3;
        }
        turn();
    }
}

/* --- what came of it ----------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile_ms(double share) {
    return latency_count == 0 ? 0
                              : latencies_us[(size_t)(share * (double)(latency_count - 1))] / 1e3;
}

static void report(void) {
    static const char *const names[] = {"poll", "push", "round", "flap"};
    double seconds = seconds_now() - started_at;
    if (latency_count > 0) {
        qsort(latencies_us, latency_count, sizeof *latencies_us, compare);
    }
    (void)printf("{\"mode\": \"%s\", \"clients\": %ld, \"ended\": %ld, \"seconds\": %.3f, "
                 "\"acknowledged\": %" PRIu64 ", \"per_second\": %.1f, \"p50_ms\": %.3f, "
                 "\"p99_ms\": %.3f, \"max_ms\": %.3f, \"after_ms\": %.3f, \"sent_bytes\": %" PRIu64
                 ", \"lost\": %" PRIu64 ", \"refused\": {",
                 names[options.mode], options.clients, ended, seconds, acknowledged,
                 (double)acknowledged / seconds, percentile_ms(0.5), percentile_ms(0.99),
                 percentile_ms(1), after_ms, bytes_sent, lost);
    const char *separator = "";
    for (int status = 0; status < STATUS_MAX; status++) {
        if (refused[status] > 0) {
            (void)printf("%s\"%d\": %" PRIu64, separator, status, refused[status]);
            separator = ", ";
        }
    }
    (void)printf("}}\n");
}

/* --- options --------------------------------------------------------------------------------------------- */

_Noreturn static void misused(const char *what) {
    (void)fprintf(stderr, "load: %s; see the top of bench/load.c\n", what);
    exit(2);
}

static void read_url(const char *url) {
    char host[64];
    unsigned port;
    options.is_tls = strncmp(url, "https:", 6) == 0;
    if (sscanf(url, options.is_tls ? "https://%63[^:/]:%u" : "http://%63[^:/]:%u", host, &port) !=
            2 ||
        port > 65535 || inet_pton(AF_INET, host, &options.address.sin_addr) != 1) {
        misused("--url must be like http://127.0.0.1:7700, or https:");
    }
    options.address.sin_family = AF_INET;
    options.address.sin_port = htons((uint16_t)port);
}

static void read_option(const char *name, const char *value) {
    if (strcmp(name, "--url") == 0) {
        read_url(value);
    } else if (strcmp(name, "--run") == 0) {
        options.run = value;
    } else if (strcmp(name, "--name") == 0) {
        options.name = value;
    } else if (strcmp(name, "--role") == 0) {
        options.role = value;
    } else if (strcmp(name, "--clients") == 0) {
        options.clients = atol(value);
    } else if (strcmp(name, "--count") == 0) {
        options.count = atol(value);
    } else if (strcmp(name, "--seconds") == 0) {
        options.seconds = atof(value);
    } else if (strcmp(name, "--rate") == 0) {
        options.rate = atof(value);
    } else if (strcmp(name, "--pause") == 0) {
        options.pause = atof(value);
    } else if (strcmp(name, "--acknowledged") == 0) {
        options.acknowledged = fopen(value, "w");
        if (options.acknowledged == NULL) {
            fail(value);
        }
    } else if (strcmp(name, "--bytes") == 0) {
        options.bytes = strtoull(value, NULL, 10);
    } else if (strcmp(name, "--until-version") == 0) {
        options.until_version = strtoull(value, NULL, 10);
    } else {
        misused(name);
    }
}

static void read_options(int count, char **words) {
    options.name = "load";
    options.role = "trainer";
    options.clients = 1;
    options.pause = 1;
    const char *mode = count > 1 ? words[1] : "";
    if (strcmp(mode, "poll") == 0) {
        options.mode = MODE_POLL;
    } else if (strcmp(mode, "push") == 0) {
        options.mode = MODE_PUSH;
    } else if (strcmp(mode, "round") == 0) {
        options.mode = MODE_ROUND;
    } else if (strcmp(mode, "flap") == 0) {
        options.mode = MODE_FLAP;
    } else {
        misused("poll, push, round or flap");
    }
    for (int i = 2; i < count; i++) {
        if (strcmp(words[i], "--abandon") == 0) {
            options.is_abandoning = true;
        } else if (strcmp(words[i], "--receipts") == 0) {
            options.wants_receipts = true;
        } else if (i + 1 < count) {
            read_option(words[i], words[i + 1]);
            i++;
        } else {
            misused(words[i]);
        }
    }
    if (options.run == NULL || options.address.sin_port == 0 || options.clients < 1) {
        misused("--url, --run and --clients are needed");
    }
}

static void make_body(void) {
    body_head = need(malloc(256));
    int bytes = snprintf(body_head + 8, 248,
                         "{\"w\":{\"dtype\":\"F32\",\"shape\":[%" PRIu64
                         "],\"data_offsets\":[0,%" PRIu64 "]}}",
                         options.bytes / 4, options.bytes);
    for (int i = 0; i < 8; i++) {
        body_head[i] = (char)((uint64_t)bytes >> (8 * i) & 0xff);
    }
    body_head_bytes = 8 + (size_t)bytes;
}

int main(int count, char **words) {
    read_options(count, words);
    make_body();
    (void)signal(SIGTERM, interrupt);
    (void)signal(SIGINT, interrupt);
    clients = need(calloc((size_t)options.clients, sizeof *clients));
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) {
        fail("epoll_create1");
    }
    run();
    report();
    for (long i = 0; i < opened; i++) {
        disconnect(&clients[i]);
    }
    free(clients);
    free(body_head);
    free(latencies_us);
    if (options.acknowledged != NULL && fclose(options.acknowledged) != 0) {
        fail("--acknowledged");
    }
    (void)close(poller);
    return 0;
}
