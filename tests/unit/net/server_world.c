/* server_world.c - a real server on its own thread, and blocking clients to drive it. */
#include "server_world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { TAKE_BYTES = 70000, LEAN_BYTES = 7 };

/* What one exchange of the test server remembers. */
struct task {
    struct world *world;
    uint64_t bytes;
    uint64_t sum;
    size_t room;
    bool is_lean;
    bool is_starving;
    bool is_forgetful;
    bool is_early;
    bool is_held;
    struct trib_timer *timer;
    struct trib_exchange *exchange;
    bool is_flood;
    unsigned char memory[TAKE_BYTES];
};

unsigned char world_byte(size_t index) {
    return (unsigned char)(index * 31 + (index >> 12));
}

static void lock(struct world *world) {
    TRIB_ASSERT(pthread_mutex_lock(&world->lock) == 0);
}

static void unlock(struct world *world) {
    TRIB_ASSERT(pthread_cond_broadcast(&world->changed) == 0);
    TRIB_ASSERT(pthread_mutex_unlock(&world->lock) == 0);
}

static void count(struct world *world, size_t *counter) {
    lock(world);
    ++*counter;
    unlock(world);
}

/* ---- handlers ---- */

static void answer(struct trib_exchange *exchange, int status, const char *text) {
    const struct trib_reply reply = {
        .status = status,
        .content_type = "text/plain",
        .body = TRIB_REPLY_BYTES,
        .bytes = text,
        .body_bytes = strlen(text),
    };
    trib_exchange_reply(exchange, &reply);
}

static struct task *new_task(struct world *world, struct trib_exchange *exchange) {
    struct task *task = trib_allocate(&world->faulty.env, 1, sizeof *task);
    TRIB_ASSERT(task != NULL);
    task->world = world;
    task->exchange = exchange;
    task->room = TAKE_BYTES;
    trib_exchange_set_context(exchange, task);
    return task;
}

static void free_task(struct trib_exchange *exchange) {
    struct task *task = trib_exchange_context(exchange);
    if (task != NULL) {
        trib_timer_free(task->timer);
        trib_release(&task->world->faulty.env, task, 1, sizeof *task);
    }
}

static void answer_range(struct world *world, struct trib_exchange *exchange, const char *query,
                         bool is_file) {
    unsigned long offset = 0;
    unsigned long bytes = BLOCK_BYTES;
    (void)sscanf(query, "%lu,%lu", &offset, &bytes);
    const struct trib_reply reply = {
        .status = bytes < BLOCK_BYTES ? 206 : 200,
        .content_type = "application/octet-stream",
        .fields = {{"ETag", "\"x\""}},
        .body = is_file ? TRIB_REPLY_FILE : TRIB_REPLY_BLOCK,
        .block = world->block,
        .descriptor = world->file,
        .offset = offset,
        .body_bytes = bytes,
    };
    trib_exchange_reply(exchange, &reply);
}

static void flood(void *context) {
    struct task *task = context;
    char event[1000];
    memset(event, 'x', sizeof event);
    while (trib_exchange_write(task->exchange, event, sizeof event)) {
        count(task->world, &task->world->writes);
    }
    trib_exchange_abort(task->exchange);
}

static void stream(struct world *world, struct trib_exchange *exchange, const char *path,
                   const char *query) {
    const struct trib_reply reply = {.status = 200, .content_type = "text/event-stream"};
    trib_exchange_stream(exchange, &reply);
    if (strcmp(path, "/flood") == 0) {
        struct task *task = new_task(world, exchange);
        task->timer = trib_timer_new(world->loop, flood, task);
        TRIB_ASSERT(task->timer != NULL);
        trib_timer_arm(task->timer, 0);
        return;
    }
    for (int i = 0; i < atoi(query); i++) {
        char event[64];
        int bytes = snprintf(event, sizeof event, "data: %d\n\n", i);
        TRIB_ASSERT(trib_exchange_write(exchange, event, (size_t)bytes));
    }
    trib_exchange_end(exchange);
}

static void release_all(struct world *world) {
    lock(world);
    struct trib_exchange *polling = world->polling;
    world->polling = NULL;
    unlock(world);
    if (polling != NULL) {
        answer(polling, 200, "released\n");
    }
    if (world->held != NULL) {
        struct task *task = trib_exchange_context(world->held);
        task->is_held = false;
        trib_exchange_resume(world->held);
        world->held = NULL;
    }
}

static void describe(struct trib_exchange *exchange) {
    char text[128];
    (void)snprintf(text, sizeof text, "%s%s%s %s\n",
                   trib_exchange_is_loopback(exchange) ? "loopback" : "remote",
                   trib_exchange_is_unix(exchange) ? " unix" : "",
                   trib_exchange_is_tls(exchange) ? " tls" : "", trib_exchange_peer(exchange));
    answer(exchange, 200, text);
}

static void get(struct world *world, struct trib_exchange *exchange,
                const struct trib_http_request *request) {
    const char *path = request->path;
    if (strcmp(path, "/hello") == 0) {
        answer(exchange, 200, "hello\n");
    } else if (strcmp(path, "/block") == 0 || strcmp(path, "/file") == 0) {
        answer_range(world, exchange, request->query, path[1] == 'f' && path[2] == 'i');
    } else if (strcmp(path, "/poll") == 0) {
        lock(world);
        world->polling = exchange;
        unlock(world);
    } else if (strcmp(path, "/release") == 0) {
        release_all(world);
        answer(exchange, 200, "ok\n");
    } else if (strcmp(path, "/events") == 0 || strcmp(path, "/flood") == 0) {
        stream(world, exchange, path, request->query);
    } else if (strcmp(path, "/field") == 0) {
        const struct trib_reply reply = {.status = 200, .fields = {{"X", "a\r\nSet-Cookie: b"}}};
        trib_exchange_reply(exchange, &reply);
    } else if (strcmp(path, "/who") == 0) {
        describe(exchange);
    } else {
        answer(exchange, 404, "no such path\n");
    }
}

static void on_head(void *context, struct trib_exchange *exchange,
                    const struct trib_http_request *request) {
    struct world *world = context;
    TRIB_ASSERT(trib_exchange_context(exchange) == NULL);
    count(world, &world->heads);
    if (request->method != TRIB_HTTP_PUT && request->method != TRIB_HTTP_POST) {
        get(world, exchange, request);
        return;
    }
    if (strcmp(request->path, "/refuse") == 0) {
        answer(exchange, 403, "no\n");
        return;
    }
    struct task *task = new_task(world, exchange);
    task->is_forgetful = strcmp(request->path, "/forget") == 0;
    if (task->is_forgetful || strcmp(request->path, "/memory") == 0) {
        TRIB_ASSERT(trib_exchange_is_handed(exchange));
        trib_exchange_receive_handed(exchange);
        return;
    }
    task->is_lean = strcmp(request->path, "/lean") == 0;
    task->is_held = strcmp(request->path, "/hold") == 0;
    task->is_early = strcmp(request->path, "/early") == 0;
    task->room = task->is_lean ? LEAN_BYTES : TAKE_BYTES;
    trib_exchange_receive(exchange, strcmp(request->path, "/small") == 0 ? 1000 : 16 << 20);
}

static void feed(void *context) {
    struct task *task = context;
    trib_exchange_resume(task->exchange);
}

static void *on_lend(void *context, struct trib_exchange *exchange, size_t *room) {
    struct world *world = context;
    struct task *task = trib_exchange_context(exchange);
    count(world, &world->lends);
    if (task->is_held) {
        world->held = exchange;
        return NULL;
    }
    task->is_starving = task->is_lean && !task->is_starving;
    if (task->is_starving) {
        if (task->timer == NULL) {
            task->timer = trib_timer_new(world->loop, feed, task);
            TRIB_ASSERT(task->timer != NULL);
        }
        trib_timer_arm(task->timer, 0);
        return NULL;
    }
    *room = task->room;
    return task->memory;
}

static void on_filled(void *context, struct trib_exchange *exchange, size_t bytes) {
    (void)context;
    struct task *task = trib_exchange_context(exchange);
    TRIB_ASSERT(bytes > 0);
    TRIB_ASSERT(bytes <= task->room);
    for (size_t i = 0; i < bytes; i++) {
        task->sum = task->sum * 31 + task->memory[i];
    }
    task->bytes += bytes;
    TRIB_ASSERT(task->bytes == trib_exchange_bytes_received(exchange));
    if (task->is_early) {
        answer(exchange, 422, "enough\n");
    }
}

static void on_complete(void *context, struct trib_exchange *exchange) {
    (void)context;
    struct task *task = trib_exchange_context(exchange);
    char text[64];
    if (task->is_forgetful) {
        answer(exchange, 200, "forgotten\n");
        return;
    }
    if (trib_exchange_is_handed(exchange)) {
        struct stat found;
        int descriptor = trib_exchange_take_handed(exchange);
        bool is_there = fstat(descriptor, &found) == 0;
        (void)snprintf(text, sizeof text, is_there ? "%lld\n" : "none\n", (long long)found.st_size);
        answer(exchange, 200, text);
        (void)close(descriptor);
        return;
    }
    (void)snprintf(text, sizeof text, "%llu %llx\n", (unsigned long long)task->bytes,
                   (unsigned long long)task->sum);
    answer(exchange, 200, text);
}

static void on_done(void *context, struct trib_exchange *exchange) {
    struct world *world = context;
    free_task(exchange);
    count(world, &world->done);
}

static void on_gone(void *context, struct trib_exchange *exchange, enum trib_status why) {
    struct world *world = context;
    free_task(exchange);
    lock(world);
    world->gone[why]++;
    if (world->polling == exchange) {
        world->polling = NULL;
    }
    unlock(world);
}

static const struct trib_server_handlers handlers = {
    .head = on_head,
    .lend = on_lend,
    .filled = on_filled,
    .complete = on_complete,
    .done = on_done,
    .gone = on_gone,
};

/* ---- the world ---- */

static void make_file(struct world *world) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/file", world->directory);
    world->file = open(path, O_CREAT | O_RDWR, 0600);
    assert_true(world->file >= 0);
    assert_int_equal(write(world->file, world->block->bytes, BLOCK_BYTES), BLOCK_BYTES);
}

void world_begin(struct world *world, const struct trib_server_config *config) {
    memset(world, 0, sizeof *world);
    trib_env_faulty_init(&world->faulty);
    world->faulty.env.monotonic = trib_env_system()->monotonic;
    assert_int_equal(pthread_mutex_init(&world->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&world->changed, NULL), 0);
    strcpy(world->directory, "/tmp/trib-net-XXXXXX");
    assert_non_null(mkdtemp(world->directory));
    world->block = trib_block_new(&world->faulty.env, BLOCK_BYTES);
    assert_non_null(world->block);
    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        world->block->bytes[i] = world_byte(i);
    }
    trib_block_seal(world->block);
    make_file(world);
    struct trib_error error;
    assert_int_equal(trib_loop_new(&world->faulty.env, NULL, &world->loop), TRIB_OK);
    assert_int_equal(trib_server_new(world->loop, config, &handlers, world, &world->server, &error),
                     TRIB_OK);
}

void world_listen(struct world *world, const char *address, bool is_tls) {
    struct trib_error error = {0};
    if (trib_server_listen(world->server, address, is_tls, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
}

static void *run(void *context) {
    struct world *world = context;
    trib_loop_run(world->loop);
    return NULL;
}

void world_run(struct world *world) {
    world->is_running = true;
    assert_int_equal(pthread_create(&world->thread, NULL, run, world), 0);
}

static void pause_world(struct world *world) {
    if (world->is_running) {
        trib_loop_stop(world->loop);
        assert_int_equal(pthread_join(world->thread, NULL), 0);
        world->is_running = false;
    }
}

static void on_stopped(void *context) {
    struct world *world = context;
    trib_server_free(world->server);
    lock(world);
    world->is_stopped = true;
    unlock(world);
}

void world_stop_server(struct world *world, trib_time_ns left) {
    pause_world(world);
    trib_server_stop(world->server, trib_loop_now(world->loop) + left, on_stopped, world);
    assert_false(world->is_stopped);
    world_run(world);
}

static void remove_directory(const char *path) {
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char name[512];
        (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        (void)unlink(name); /* fails for "." and ".." */
    }
    closedir(directory);
    assert_int_equal(rmdir(path), 0);
}

void world_end(struct world *world) {
    struct trib_server_counts counts = {0};
    pause_world(world);
    if (!world->is_stopped) {
        trib_server_counts(world->server, &counts);
        trib_server_stop(world->server, 0, on_stopped, world);
        trib_loop_run(world->loop);
    }
    assert_true(world->is_stopped);
    size_t ended = world->done;
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        ended += world->gone[i];
    }
    assert_int_equal(ended, world->heads);
    trib_loop_free(world->loop);
    trib_block_unref(world->block);
    close(world->file);
    remove_directory(world->directory);
    pthread_cond_destroy(&world->changed);
    pthread_mutex_destroy(&world->lock);
    trib_env_faulty_deinit(&world->faulty);
}

void world_wait(struct world *world, const size_t *counter, size_t value) {
    struct timespec deadline;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &deadline), 0);
    deadline.tv_sec += 10;
    assert_int_equal(pthread_mutex_lock(&world->lock), 0);
    int failed = 0;
    while (*counter < value && failed == 0) {
        failed = pthread_cond_timedwait(&world->changed, &world->lock, &deadline);
    }
    assert_int_equal(pthread_mutex_unlock(&world->lock), 0);
    assert_int_equal(failed, 0);
}

size_t world_read(struct world *world, const size_t *counter) {
    assert_int_equal(pthread_mutex_lock(&world->lock), 0);
    size_t value = *counter;
    assert_int_equal(pthread_mutex_unlock(&world->lock), 0);
    return value;
}

void world_counts(struct world *world, struct trib_server_counts *counts) {
    pause_world(world);
    trib_server_counts(world->server, counts);
    world_run(world);
}

/* ---- clients ---- */

static int prepared(int socket) {
    const struct timeval patience = {.tv_sec = 10};
    assert_true(socket >= 0);
    assert_int_equal(setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
    return socket;
}

int client_connect(struct world *world) {
    int client = prepared(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)trib_server_port(world->server))};
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    return client;
}

int client_connect_unix(const char *path) {
    int client = prepared(socket(AF_UNIX, SOCK_STREAM, 0));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof address.sun_path);
    strcpy(address.sun_path, path);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    return client;
}

void client_send(int socket, const void *bytes, size_t count) {
    const char *next = bytes;
    while (count > 0) {
        ssize_t sent = send(socket, next, count, MSG_NOSIGNAL);
        assert_true(sent > 0);
        next += sent;
        count -= (size_t)sent;
    }
}

void client_say(int socket, const char *text) {
    client_send(socket, text, strlen(text));
}

static bool read_exactly(int socket, void *bytes, size_t count) {
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

/* Up to and with `ending`, byte by byte: nothing of what follows may be taken. */
static bool read_until(int socket, const char *ending, char *text, size_t room) {
    size_t bytes = 0;
    size_t ending_bytes = strlen(ending);
    while (bytes < ending_bytes || memcmp(text + bytes - ending_bytes, ending, ending_bytes) != 0) {
        assert_true(bytes + 1 < room);
        if (!read_exactly(socket, text + bytes, 1)) {
            return false;
        }
        bytes++;
    }
    text[bytes] = '\0';
    return true;
}

static bool read_chunks(int socket, struct response *response) {
    char line[64];
    size_t chunk_bytes = 0;
    do {
        if (!read_until(socket, "\r\n", line, sizeof line)) {
            return false;
        }
        chunk_bytes = strtoul(line, NULL, 16);
        response->body = realloc(response->body, response->body_bytes + chunk_bytes + 1);
        assert_non_null(response->body);
        if (!read_exactly(socket, response->body + response->body_bytes, chunk_bytes) ||
            !read_until(socket, "\r\n", line, sizeof line)) {
            return false;
        }
        response->body_bytes += chunk_bytes;
    } while (chunk_bytes > 0);
    return true;
}

bool client_receive(int socket, bool is_head_request, struct response *response) {
    memset(response, 0, sizeof *response);
    if (!read_until(socket, "\r\n\r\n", response->head, sizeof response->head)) {
        return false;
    }
    assert_int_equal(sscanf(response->head, "HTTP/1.1 %d ", &response->status), 1);
    bool is_whole = true;
    const char *length = strstr(response->head, "Content-Length: ");
    if (strstr(response->head, "Transfer-Encoding: chunked") != NULL && !is_head_request) {
        is_whole = read_chunks(socket, response);
    } else if (length != NULL && !is_head_request) {
        response->body_bytes = strtoul(length + strlen("Content-Length: "), NULL, 10);
        response->body = malloc(response->body_bytes + 1);
        assert_non_null(response->body);
        is_whole = read_exactly(socket, response->body, response->body_bytes);
    }
    if (response->body != NULL) {
        response->body[response->body_bytes] = '\0';
    }
    return is_whole;
}

void client_ask(int socket, const char *text, struct response *response) {
    client_say(socket, text);
    assert_true(client_receive(socket, false, response));
}

bool client_sees_end(int socket) {
    char byte;
    ssize_t got;
    do {
        got = recv(socket, &byte, 1, 0);
    } while (got > 0);
    return got == 0 || errno == ECONNRESET;
}
