/* scripted.c - a blocking server that takes one connection at a time. */
#include "client/scripted.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/check.h"

#define PATIENCE_MS 20000 /* a test that waits longer hangs */
#define DEAF_MS 300       /* how long nothing of an early refused body is read */

static bool is_ready(int descriptor) {
    struct pollfd watched = {.fd = descriptor, .events = POLLIN};
    return poll(&watched, 1, PATIENCE_MS) == 1;
}

static bool fail_step(struct scripted *server, const char *what) {
    snprintf(server->failure, sizeof server->failure, "step %zu: %s", server->done + 1, what);
    return false;
}

static void hang_up(struct scripted *server) {
    if (server->descriptor >= 0) {
        close(server->descriptor);
        server->descriptor = -1;
    }
}

/* Read what there is; false at the end of the connection or of patience. */
static bool take(struct scripted *server, char *bytes, size_t room, size_t *count) {
    ssize_t got = is_ready(server->descriptor) ? recv(server->descriptor, bytes, room, 0) : -1;
    *count = got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* The head byte by byte, so that nothing of the body is taken with it. */
static bool read_head(struct scripted *server, struct scripted_request *request) {
    size_t used = 0;
    while (used + 1 < sizeof request->head) {
        size_t count;
        if (!take(server, request->head + used, 1, &count)) {
            return false;
        }
        used++;
        if (used >= 4 && memcmp(request->head + used - 4, "\r\n\r\n", 4) == 0) {
            request->head[used] = '\0';
            return true;
        }
    }
    return false;
}

static bool read_body(struct scripted *server, struct scripted_request *request, size_t wanted) {
    request->body = calloc(wanted + 1, 1);
    while (request->body_bytes < wanted) {
        size_t count;
        if (!take(server, request->body + request->body_bytes, wanted - request->body_bytes,
                  &count)) {
            return false;
        }
        request->body_bytes += count;
    }
    return true;
}

static size_t announced_bytes(const char *head) {
    const char *field = strcasestr(head, "\r\nContent-Length: ");
    return field == NULL ? 0 : (size_t)strtoull(field + 18, NULL, 10);
}

/* A request; on a connection that the client gave up, on its next one. */
static bool read_request(struct scripted *server, struct scripted_request *request) {
    for (;;) {
        if (server->descriptor < 0) {
            if (!is_ready(server->listener)) {
                return fail_step(server, "nobody connects");
            }
            server->descriptor = accept(server->listener, NULL, NULL);
            server->accepted++;
        }
        if (read_head(server, request)) {
            request->connection = server->accepted;
            return true;
        }
        hang_up(server);
    }
}

static void wait_for_end(struct scripted *server) {
    char dropped[4096];
    size_t count;
    while (take(server, dropped, sizeof dropped, &count)) {
    }
    hang_up(server);
}

static bool send_reply(struct scripted *server, const struct scripted_step *step) {
    size_t left = step->reply_bytes > 0 ? step->reply_bytes : strlen(step->reply);
    const char *next = step->reply;
    while (left > 0) {
        ssize_t sent = send(server->descriptor, next, left, MSG_NOSIGNAL);
        if (sent <= 0) {
            return fail_step(server, "the client takes no reply");
        }
        next += sent;
        left -= (size_t)sent;
    }
    return true;
}

static bool play(struct scripted *server, const struct scripted_step *step,
                 struct scripted_request *request) {
    if (!read_request(server, request)) {
        return false;
    }
    if (strncmp(request->head, step->expected, strlen(step->expected)) != 0) {
        return fail_step(server, request->head);
    }
    size_t wanted = announced_bytes(request->head);
    wanted = step->is_early ? 0 : step->is_cut ? wanted / 2 : wanted;
    if (!read_body(server, request, wanted)) {
        return fail_step(server, "the body ends too early");
    }
    if (step->reply != NULL && !send_reply(server, step)) {
        return false;
    }
    if (step->is_early) {
        /* A client that looks has stopped by now; the end of its connection comes behind what it
         * has sent, so that must be read. */
        usleep(1000 * DEAF_MS);
    }
    if (step->holds || step->is_early) {
        wait_for_end(server);
    }
    if (step->closes || step->is_cut) {
        hang_up(server);
    }
    return true;
}

static void *run(void *context) {
    struct scripted *server = context;
    while (server->done < server->step_count &&
           play(server, &server->steps[server->done], &server->requests[server->done])) {
        server->done++;
    }
    hang_up(server);
    close(server->listener);
    return NULL;
}

static void start(struct scripted *server, const struct sockaddr *address, socklen_t bytes,
                  const struct scripted_step *steps, size_t count) {
    assert_true(count <= SCRIPTED_STEPS_MAX);
    memset(server, 0, sizeof *server);
    server->steps = steps;
    server->step_count = count;
    server->descriptor = -1;
    server->listener = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server->listener >= 0);
    assert_int_equal(bind(server->listener, address, bytes), 0);
    assert_int_equal(listen(server->listener, 8), 0);
}

static void bound_port(int listener, char port[8]) {
    struct sockaddr_in address;
    socklen_t bytes = sizeof address;
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    snprintf(port, 8, "%u", (unsigned)ntohs(address.sin_port));
}

static const struct sockaddr_in loopback = {.sin_family = AF_INET};

static struct sockaddr_in any_port(void) {
    struct sockaddr_in address = loopback;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

void scripted_start(struct scripted *server, const struct scripted_step *steps, size_t count) {
    const struct sockaddr_in address = any_port();
    start(server, (const struct sockaddr *)&address, sizeof address, steps, count);
    bound_port(server->listener, server->port);
    strcpy(server->host, "127.0.0.1");
    assert_int_equal(pthread_create(&server->thread, NULL, run, server), 0);
}

void scripted_start_unix(struct scripted *server, const struct scripted_step *steps, size_t count) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/trib-test-%d", (int)getpid());
    unlink(address.sun_path);
    start(server, (const struct sockaddr *)&address, sizeof address, steps, count);
    snprintf(server->host, sizeof server->host, "unix:%.50s", address.sun_path);
    assert_int_equal(pthread_create(&server->thread, NULL, run, server), 0);
}

void scripted_finish(struct scripted *server) {
    pthread_join(server->thread, NULL);
    if (server->host[0] == 'u') {
        unlink(server->host + strlen("unix:"));
    }
    if (server->done < server->step_count) {
        print_error("%s\n", server->failure);
    }
    assert_int_equal(server->done, server->step_count);
}

void scripted_release(struct scripted *server) {
    for (size_t i = 0; i < SCRIPTED_STEPS_MAX; i++) {
        free(server->requests[i].body);
        server->requests[i].body = NULL;
    }
}

const char *scripted_json(int status, const char *fields, const char *json) {
    static char replies[8][2048];
    static unsigned next;
    char *reply = replies[next++ % 8];
    snprintf(reply, sizeof replies[0],
             "HTTP/1.1 %d Words\r\nContent-Type: application/json\r\nContent-Length: "
             "%zu\r\n%s\r\n%s",
             status, strlen(json), fields == NULL ? "" : fields, json);
    return reply;
}

void scripted_free_port(char port[8]) {
    const struct sockaddr_in address = any_port();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    bound_port(listener, port);
    close(listener);
}
