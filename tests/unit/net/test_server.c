/* test_server.c - exchanges, limits, refusals and the end of a real server over loopback. */
#include "net/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server_world.h"

static void begin_plain(struct world *world, const struct trib_server_config *config) {
    world_begin(world, config);
    world_listen(world, "127.0.0.1:0", false);
    world_run(world);
}

static void assert_response(struct response *response, int status, const char *body) {
    assert_int_equal(response->status, status);
    assert_string_equal(response->body, body);
    free(response->body);
}

/* "<bytes> <sum>\n", as the server's /take says it. */
static const char *sum_of(const unsigned char *bytes, size_t count, char text[64]) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum = sum * 31 + bytes[i];
    }
    (void)snprintf(text, 64, "%zu %llx\n", count, (unsigned long long)sum);
    return text;
}

static unsigned char *pattern(size_t count) {
    unsigned char *bytes = malloc(count);
    assert_non_null(bytes);
    for (size_t i = 0; i < count; i++) {
        bytes[i] = world_byte(i);
    }
    return bytes;
}

/* ---- exchanges ---- */

static void a_connection_serves_many_requests(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    for (int i = 0; i < 3; i++) {
        client_ask(client, REQUEST("GET /hello") "\r\n", &response);
        assert_non_null(strstr(response.head, "\r\nTributary-Version: 1\r\n"));
        assert_null(strstr(response.head, "Connection:"));
        assert_response(&response, 200, "hello\n");
    }
    client_ask(client, REQUEST("GET /hello") "Connection: close\r\n\r\n", &response);
    assert_non_null(strstr(response.head, "\r\nConnection: close\r\n"));
    assert_response(&response, 200, "hello\n");
    assert_true(client_sees_end(client));
    close(client);
    world_wait(&world, &world.done, 4);
    struct trib_server_counts counts;
    world_counts(&world, &counts);
    assert_int_equal(counts.accepted, 1);
    assert_int_equal(counts.requests, 4);
    assert_int_equal(counts.exchanges, 0);
    assert_int_equal(counts.bytes_sent, 24);
    world_end(&world);
}

static void pipelined_requests_are_answered_in_order(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_say(
        client,
        REQUEST("GET /hello") "\r\n" REQUEST("PUT /take") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" REQUEST(
            "PUT /take") "Content-Length: 2\r\n\r\nab" REQUEST("GET /nothing") "\r\n");
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, "hello\n");
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, "3 17862\n");
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, "2 c21\n");
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 404, "no such path\n");
    close(client);
    world_end(&world);
}

/* Requests behind one that waits stay in the inbox, and no more than that is read. */
static void requests_behind_a_long_poll_wait(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_say(client, REQUEST("GET /poll") "\r\n");
    for (int i = 0; i < 100; i++) {
        client_say(client, REQUEST("GET /hello") "\r\n");
    }
    world_wait(&world, &world.heads, 1);
    int other = client_connect(&world);
    client_ask(other, REQUEST("GET /release") "\r\n", &response);
    assert_response(&response, 200, "ok\n");
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, "released\n");
    for (int i = 0; i < 100; i++) {
        assert_true(client_receive(client, false, &response));
        assert_response(&response, 200, "hello\n");
    }
    close(client);
    close(other);
    world_end(&world);
}

/* What comes with the end of a body is kept: up to an inbox full, the rest stays in the kernel. */
static void many_requests_behind_a_chunked_body(void **state) {
    (void)state;
    enum { REQUESTS = 1500 };
    static const char request[] = REQUEST("GET /hello") "\r\n";
    static const char body[] = "3\r\nabc\r\n0\r\n\r\n";
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_ask(client,
               REQUEST("PUT /take") "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
               &response);
    assert_int_equal(response.status, 100);
    size_t count = sizeof body - 1 + REQUESTS * (sizeof request - 1);
    char *all = malloc(count + 1);
    assert_non_null(all);
    strcpy(all, body);
    for (size_t i = 0; i < REQUESTS; i++) {
        strcpy(all + sizeof body - 1 + i * (sizeof request - 1), request);
    }
    client_send(client, all, count);
    free(all);
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, "3 17862\n");
    for (size_t i = 0; i < REQUESTS; i++) {
        assert_true(client_receive(client, false, &response));
        assert_response(&response, 200, "hello\n");
    }
    close(client);
    world_end(&world);
}

static void body_arrives_byte_by_byte(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    const int on = 1;
    assert_int_equal(setsockopt(client, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on), 0);
    const char text[] = REQUEST("PUT /take") "Transfer-Encoding: chunked\r\n\r\n"
                                             "5;x=y\r\nhello\r\n1\r\n \r\n0\r\nA: b\r\n\r\n";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        client_send(client, text + i, 1);
    }
    char expected[64];
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, sum_of((const unsigned char *)"hello ", 6, expected));
    close(client);
    world_end(&world);
}

static void send_chunked(int client, const unsigned char *bytes, size_t count, size_t chunk_bytes) {
    client_say(client, REQUEST("PUT /take") "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t next = 0; next < count; next += chunk_bytes) {
        size_t here = chunk_bytes < count - next ? chunk_bytes : count - next;
        char head[32];
        (void)snprintf(head, sizeof head, "%zX\r\n", here);
        client_say(client, head);
        client_send(client, bytes + next, here);
        client_say(client, "\r\n");
    }
    /* The next request comes in the same breath. */
    client_say(client, "0\r\n\r\n" REQUEST("GET /hello") "\r\n");
}

static void put_large_bodies(const struct trib_server_config *config) {
    struct world world;
    struct response response;
    begin_plain(&world, config);
    enum { BYTES = 5000000 };
    unsigned char *bytes = pattern(BYTES);
    char expected[64];
    sum_of(bytes, BYTES, expected);
    int client = client_connect(&world);
    client_say(client, REQUEST("PUT /take") "Content-Length: 5000000\r\n\r\n");
    client_send(client, bytes, BYTES);
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, expected);
    static const size_t chunk_bytes[] = {1000, 65536, 3000000};
    for (size_t i = 0; i < 3; i++) {
        send_chunked(client, bytes, BYTES, chunk_bytes[i]);
        assert_true(client_receive(client, false, &response));
        assert_response(&response, 200, expected);
        assert_true(client_receive(client, false, &response));
        assert_response(&response, 200, "hello\n");
    }
    close(client);
    free(bytes);
    world_end(&world);
}

static void large_bodies_arrive_whole(void **state) {
    (void)state;
    put_large_bodies(NULL);
}

/* A turn that is over after every few kilobytes changes nothing but the speed. */
static void large_bodies_arrive_in_many_turns(void **state) {
    (void)state;
    const struct trib_server_config config = {.turn_bytes = 5000};
    put_large_bodies(&config);
}

static void reading_stops_while_there_is_no_memory(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    enum { BYTES = 20000 };
    unsigned char *bytes = pattern(BYTES);
    char expected[64];
    sum_of(bytes, BYTES, expected);
    int client = client_connect(&world);
    client_say(client, REQUEST("PUT /lean") "Content-Length: 20000\r\n\r\n");
    client_send(client, bytes, BYTES);
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, expected);
    client_ask(client,
               REQUEST("PUT /lean") "Transfer-Encoding: chunked\r\n\r\n"
                                    "a\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
               &response);
    assert_response(&response, 200,
                    sum_of((const unsigned char *)"01234567890123456789", 20, expected));
    /* Asked at most twice for each 7 bytes: it does not spin while it waits. */
    assert_true(world_read(&world, &world.lends) < 2 * (BYTES / 7) + 100);
    close(client);
    free(bytes);
    world_end(&world);
}

static void a_request_without_a_body_completes_at_once(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_ask(client, REQUEST("POST /take") "\r\n", &response);
    assert_response(&response, 200, "0 0\n");
    client_ask(client, REQUEST("PUT /take") "Content-Length: 0\r\n\r\n", &response);
    assert_response(&response, 200, "0 0\n");
    client_ask(client, REQUEST("PUT /take") "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
               &response);
    assert_response(&response, 200, "0 0\n");
    close(client);
    world_end(&world);
}

/* ---- replies ---- */

static void say_range(int client, const char *path, size_t offset, size_t count) {
    char request[128];
    (void)snprintf(request, sizeof request, "GET %s?%zu,%zu HTTP/1.1\r\nHost: localhost\r\n\r\n",
                   path, offset, count);
    client_say(client, request);
}

static void receive_range(int client, size_t offset, size_t count) {
    struct response response;
    assert_true(client_receive(client, false, &response));
    assert_int_equal(response.body_bytes, count);
    for (size_t i = 0; i < count; i++) {
        if ((unsigned char)response.body[i] != world_byte(offset + i)) {
            fail_msg("byte %zu differs", offset + i);
        }
    }
    free(response.body);
}

static void assert_range(int client, const char *path, size_t offset, size_t count) {
    say_range(client, path, offset, count);
    receive_range(client, offset, count);
}

static void blocks_and_files_are_sent_in_ranges(void **state) {
    (void)state;
    struct world world;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    for (int i = 0; i < 2; i++) {
        const char *path = i == 0 ? "/block" : "/file";
        assert_range(client, path, 0, BLOCK_BYTES);
        assert_range(client, path, 12345, 1);
        assert_range(client, path, BLOCK_BYTES - 1, 1);
        assert_range(client, path, 1 << 20, 1 << 20);
        assert_range(client, path, 7, (1 << 20) + 1);
        assert_range(client, path, BLOCK_BYTES, 0);
    }
    close(client);
    struct trib_server_counts counts;
    world_wait(&world, &world.done, 12);
    world_counts(&world, &counts);
    assert_int_equal(counts.bytes_sent, 2 * (BLOCK_BYTES + 2 + (2 << 20) + 1));
    world_end(&world);
}

/* More than all buffers between the two hold: the worker must come back when the socket is full,
 * and nothing is sent twice or left out. */
static void slow_readers_get_everything(void **state) {
    (void)state;
    struct world world;
    begin_plain(&world, NULL);
    for (int i = 0; i < 2; i++) {
        int client = client_connect(&world);
        const int room = 65536;
        assert_int_equal(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
        for (size_t n = 0; n < 4; n++) {
            say_range(client, i == 0 ? "/block" : "/file", n, BLOCK_BYTES - n);
        }
        usleep(50000);
        for (size_t n = 0; n < 4; n++) {
            receive_range(client, n, BLOCK_BYTES - n);
        }
        close(client);
    }
    world_end(&world);
}

static void head_requests_get_the_head_only(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    static const char *const requests[] = {
        REQUEST("HEAD /hello") "\r\n", REQUEST("HEAD /block") "\r\n", REQUEST("HEAD /file") "\r\n"};
    static const char *const lengths[] = {"Content-Length: 6\r\n", "Content-Length: 3000000\r\n",
                                          "Content-Length: 3000000\r\n"};
    for (size_t i = 0; i < 3; i++) {
        client_say(client, requests[i]);
        assert_true(client_receive(client, true, &response));
        assert_int_equal(response.status, 200);
        assert_non_null(strstr(response.head, lengths[i]));
    }
    client_ask(client, REQUEST("GET /hello") "\r\n", &response);
    assert_response(&response, 200, "hello\n");
    client_say(client, REQUEST("HEAD /events") "\r\n");
    assert_true(client_receive(client, true, &response));
    assert_true(client_sees_end(client));
    close(client);
    world_end(&world);
}

static void a_file_that_is_too_short_ends_the_connection(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_say(client, REQUEST("GET /file?2999990,20") "\r\n");
    assert_false(client_receive(client, false, &response));
    free(response.body);
    world_wait(&world, &world.gone[TRIB_EIO], 1);
    close(client);
    world_end(&world);
}

static void a_field_that_would_split_the_reply_is_not_sent(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_say(client, REQUEST("GET /field") "\r\n");
    assert_false(client_receive(client, false, &response));
    world_wait(&world, &world.gone[TRIB_EINVALID], 1);
    close(client);
    world_end(&world);
}

static void events_are_streamed_in_chunks(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_ask(client, REQUEST("GET /events?3") "\r\n", &response);
    assert_non_null(strstr(response.head, "Content-Type: text/event-stream\r\n"));
    assert_response(&response, 200, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    assert_true(client_sees_end(client));
    close(client);
    world_wait(&world, &world.done, 1);
    world_end(&world);
}

static void a_slow_reader_of_events_is_cut_off(void **state) {
    (void)state;
    struct world world;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_say(client, REQUEST("GET /flood") "\r\n");
    world_wait(&world, &world.gone[TRIB_ECLOSED], 1);
    /* What may wait here, and what the kernel took at once. */
    assert_true(world_read(&world, &world.writes) >= 1000);
    assert_true(world_read(&world, &world.writes) < 1100 + 8000);
    close(client);
    world_end(&world);
}

/* ---- refusals ---- */

static void expect_is_answered_before_the_body(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_ask(client, REQUEST("PUT /take") "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
               &response);
    assert_int_equal(response.status, 100);
    client_ask(client, "abc", &response);
    assert_response(&response, 200, "3 17862\n");
    /* The refusal comes instead of 100, and the connection ends. */
    client_ask(client, REQUEST("PUT /refuse") "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
               &response);
    assert_non_null(strstr(response.head, "Connection: close\r\n"));
    assert_response(&response, 403, "no\n");
    assert_true(client_sees_end(client));
    close(client);
    world_end(&world);
}

static void refusal_reaches_a_client_that_writes_first(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    enum { BYTES = 10000000 };
    unsigned char *bytes = pattern(BYTES);
    int client = client_connect(&world);
    client_say(client, REQUEST("PUT /refuse") "Content-Length: 10000000\r\n\r\n");
    client_send(client, bytes, BYTES);
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 403, "no\n");
    assert_true(client_sees_end(client));
    close(client);
    /* A body that has been dropped whole ends it as well, without any wait. */
    client = client_connect(&world);
    client_ask(client,
               REQUEST("PUT /refuse") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
               &response);
    assert_response(&response, 403, "no\n");
    assert_true(client_sees_end(client));
    close(client);
    free(bytes);
    world_end(&world);
}

/* Our side stays open, for longer than lingering takes, while a body of moderate size still comes:
 * a slow client that reads when it has written is not reset. */
static void refused_bodies_are_dropped_at_their_own_pace(void **state) {
    (void)state;
    struct world world;
    struct response response;
    const struct trib_server_config config = {.linger = 20 * TRIB_MILLISECOND};
    begin_plain(&world, &config);
    unsigned char *bytes = pattern(50000);
    int client = client_connect(&world);
    client_say(client, REQUEST("PUT /refuse") "Content-Length: 500000\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        usleep(20000);
        client_send(client, bytes, 50000);
    }
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 403, "no\n");
    char byte;
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    close(client);
    free(bytes);
    world_end(&world);
}

/* The lingering end is bounded, whatever the peer does. */
static void lingering_ends(void **state) {
    (void)state;
    struct world world;
    struct response response;
    const struct trib_server_config config = {.linger = 50 * TRIB_MILLISECOND};
    begin_plain(&world, &config);
    int client = client_connect(&world);
    client_ask(client, REQUEST("PUT /refuse") "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
               &response);
    assert_response(&response, 403, "no\n");
    assert_true(client_sees_end(client));
    /* We keep our side open; the server forgets us nevertheless. */
    struct trib_server_counts counts;
    do {
        usleep(1000);
        world_counts(&world, &counts);
    } while (counts.connections > 0);
    close(client);
    world_end(&world);
}

static void refusal_in_the_middle_of_a_body(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    unsigned char *bytes = pattern(2000000);
    int client = client_connect(&world);
    client_say(client, REQUEST("PUT /early") "Content-Length: 2000000\r\n\r\n");
    client_send(client, bytes, 2000000);
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 422, "enough\n");
    assert_true(client_sees_end(client));
    close(client);
    free(bytes);
    world_end(&world);
}

static void bodies_over_the_limit_are_refused(void **state) {
    (void)state;
    static const char *const requests[] = {
        REQUEST("PUT /small") "Content-Length: 1001\r\n\r\n",
        REQUEST("PUT /small") "Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n",
        REQUEST("PUT /small") "Transfer-Encoding: chunked\r\n\r\n3e8\r\n",
    };
    struct world world;
    struct response response;
    unsigned char *bytes = pattern(1001);
    begin_plain(&world, NULL);
    for (size_t i = 0; i < 3; i++) {
        int client = client_connect(&world);
        client_say(client, requests[i]);
        if (i == 2) { /* one byte too many, in a chunk of its own */
            client_send(client, bytes, 1000);
            client_say(client, "\r\n1\r\nx\r\n");
        }
        assert_true(client_receive(client, false, &response));
        assert_non_null(strstr(response.body, "\"code\": \"too_large\""));
        assert_int_equal(response.status, 413);
        free(response.body);
        close(client);
        world_wait(&world, &world.gone[TRIB_ELIMIT], i + 1);
    }
    /* Exactly the limit is fine. */
    int client = client_connect(&world);
    char expected[64];
    client_say(client, REQUEST("PUT /small") "Content-Length: 1000\r\n\r\n");
    client_send(client, bytes, 1000);
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, sum_of(bytes, 1000, expected));
    close(client);
    free(bytes);
    world_end(&world);
}

static void broken_heads_and_framing_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET /hello HTTP/1.1\nHost: localhost\n\n", 400},
        {REQUEST("GET /hello") "Host: again\r\n\r\n", 400},
        {REQUEST("TRACE /hello") "\r\n", 501},
        {"GET /hello HTTP/1.0\r\n\r\n", 505},
        {REQUEST("PUT /take") "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400},
    };
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int client = client_connect(&world);
        client_ask(client, cases[i].text, &response);
        assert_int_equal(response.status, cases[i].status);
        assert_non_null(strstr(response.head, "Content-Type: application/json\r\n"));
        assert_non_null(strstr(response.head, "Connection: close\r\n"));
        free(response.body);
        assert_true(client_sees_end(client));
        close(client);
    }
    /* Only the last one was ever announced to the handlers. */
    world_wait(&world, &world.gone[TRIB_EMALFORMED], 1);
    assert_int_equal(world_read(&world, &world.heads), 1);
    world_end(&world);
}

static void a_head_of_16_kib_is_too_large(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    static char field[TRIB_HTTP_HEAD_BYTES_MAX];
    memset(field, 'x', sizeof field);
    client_say(client, REQUEST("GET /hello") "X: ");
    client_send(client, field, sizeof field);
    client_ask(client, "\r\n\r\n", &response);
    assert_int_equal(response.status, 431);
    free(response.body);
    close(client);
    world_end(&world);
}

/* ---- peers that leave or fall silent ---- */

static void a_truncated_body_is_gone(void **state) {
    (void)state;
    struct world world;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_say(client, REQUEST("PUT /take") "Content-Length: 10\r\n\r\nabc");
    close(client);
    world_wait(&world, &world.gone[TRIB_ECLOSED], 1);
    world_end(&world);
}

static void a_peer_that_leaves_its_long_poll_is_noticed(void **state) {
    (void)state;
    struct world world;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_say(client, REQUEST("GET /poll") "\r\n");
    world_wait(&world, &world.heads, 1);
    close(client);
    world_wait(&world, &world.gone[TRIB_ECLOSED], 1);
    world_end(&world);
}

static void close_with_reset(int client) {
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    close(client);
}

static void a_reset_is_safe_at_any_time(void **state) {
    (void)state;
    static const char *const texts[] = {
        REQUEST("GET /block") "\r\n" REQUEST("GET /file") "\r\n",
        REQUEST("PUT /take") "Content-Length: 100000\r\n\r\nabcdefgh",
        REQUEST("GET /events?100") "\r\n",
        REQUEST("PUT /refuse") "Content-Length: 100000\r\n\r\nabcdefgh",
    };
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    for (size_t i = 0; i < 4; i++) {
        for (size_t bytes = 0; bytes <= strlen(texts[i]); bytes += 3) {
            int client = client_connect(&world);
            client_send(client, texts[i], bytes);
            if (bytes % 2 == 0) {
                usleep(500); /* let it begin to answer */
            }
            close_with_reset(client);
        }
    }
    int client = client_connect(&world);
    client_ask(client, REQUEST("GET /hello") "\r\n", &response);
    assert_response(&response, 200, "hello\n");
    close(client);
    world_end(&world);
}

static const struct trib_server_config hasty = {
    .idle = {.after = 100 * TRIB_MILLISECOND, .bytes = 100},
    .keep_alive = 10 * TRIB_SECOND,
    .linger = 100 * TRIB_MILLISECOND,
};

static void silent_heads_and_bodies_are_closed(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, &hasty);
    /* One byte now and then is as good as silence. */
    int client = client_connect(&world);
    client_say(client, "GET /hel");
    for (int i = 0; i < 5; i++) {
        usleep(10000);
        client_say(client, "l");
    }
    assert_true(client_receive(client, false, &response));
    assert_int_equal(response.status, 408);
    free(response.body);
    assert_true(client_sees_end(client));
    close(client);
    assert_int_equal(world_read(&world, &world.heads), 0);

    client = client_connect(&world);
    client_say(client, REQUEST("PUT /take") "Content-Length: 1000\r\n\r\nabc");
    assert_true(client_receive(client, false, &response));
    assert_int_equal(response.status, 408);
    free(response.body);
    close(client);
    world_wait(&world, &world.gone[TRIB_ETIMEOUT], 1);

    /* A reader that reads nothing. */
    client = client_connect(&world);
    const int room = 4096;
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    for (int i = 0; i < 4; i++) {
        client_say(client, REQUEST("GET /block") "\r\n");
    }
    world_wait(&world, &world.gone[TRIB_ETIMEOUT], 2);
    close(client);
    world_end(&world);
}

/* No transfer fails on the clock while bytes make progress; and long polls are never silent. */
static void slow_transfers_and_long_polls_live(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, &hasty);
    int poll = client_connect(&world);
    client_say(poll, REQUEST("GET /poll") "\r\n");
    int client = client_connect(&world);
    unsigned char *bytes = pattern(2000);
    char expected[64];
    client_say(client, REQUEST("PUT /take") "Content-Length: 2000\r\n\r\n");
    for (int i = 0; i < 20; i++) { /* five times as long as the rule's stretch */
        client_send(client, bytes + (size_t)i * 100, 100);
        usleep(25000);
    }
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, sum_of(bytes, 2000, expected));
    client_ask(client, REQUEST("GET /release") "\r\n", &response);
    assert_response(&response, 200, "ok\n");
    assert_true(client_receive(poll, false, &response));
    assert_response(&response, 200, "released\n");
    close(client);
    close(poll);
    free(bytes);
    world_end(&world);
}

/* Who waits for our memory is not silent. */
static void a_peer_that_waits_for_memory_lives(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, &hasty);
    int held = client_connect(&world);
    client_say(held, REQUEST("PUT /hold") "Content-Length: 3\r\n\r\nabc");
    world_wait(&world, &world.lends, 1);
    usleep(300000); /* three times the rule's stretch */
    int client = client_connect(&world);
    client_ask(client, REQUEST("GET /release") "\r\n", &response);
    assert_response(&response, 200, "ok\n");
    assert_true(client_receive(held, false, &response));
    assert_response(&response, 200, "3 17862\n");
    close(held);
    close(client);
    world_end(&world);
}

static void idle_connections_are_closed_without_a_word(void **state) {
    (void)state;
    struct world world;
    struct response response;
    const struct trib_server_config config = {.keep_alive = 50 * TRIB_MILLISECOND};
    begin_plain(&world, &config);
    int client = client_connect(&world);
    client_ask(client, REQUEST("GET /hello") "\r\n", &response);
    assert_response(&response, 200, "hello\n");
    char byte;
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    close(client);
    world_end(&world);
}

/* ---- limits ---- */

static void the_longest_idle_makes_room_for_a_newcomer(void **state) {
    (void)state;
    struct world world;
    struct response response;
    const struct trib_server_config config = {.connections_max = 2,
                                              .room_after = 20 * TRIB_MILLISECOND};
    begin_plain(&world, &config);
    int poll = client_connect(&world);
    client_say(poll, REQUEST("GET /poll") "\r\n");
    world_wait(&world, &world.heads, 1);
    int idle = client_connect(&world);
    client_ask(idle, REQUEST("GET /hello") "\r\n", &response);
    assert_response(&response, 200, "hello\n");
    int newcomer = client_connect(&world);
    client_say(newcomer, REQUEST("PUT /take") "Content-Length: 1\r\n\r\n");
    assert_true(client_sees_end(idle));
    close(idle);
    world_wait(&world, &world.heads, 3);
    /* Now nobody is idle: the next one waits until somebody leaves. */
    int waiting = client_connect(&world);
    client_say(waiting, REQUEST("GET /hello") "\r\n");
    usleep(20000);
    assert_int_equal(world_read(&world, &world.heads), 3);
    client_ask(newcomer, "x", &response);
    assert_response(&response, 200, "1 78\n");
    close(newcomer);
    assert_true(client_receive(waiting, false, &response));
    assert_response(&response, 200, "hello\n");
    close(waiting);
    close(poll);
    world_end(&world);
}

static void who_has_just_come_makes_no_room_for_a_newcomer(void **state) {
    (void)state;
    struct world world;
    struct response response;
    const struct trib_server_config config = {.connections_max = 1, .room_after = TRIB_TIME_NEVER};
    begin_plain(&world, &config);
    int first = client_connect(&world);
    int waiting[3];
    for (size_t i = 0; i < 3; i++) {
        waiting[i] = client_connect(&world);
        client_say(waiting[i], REQUEST("GET /hello") "\r\n");
    }
    for (size_t i = 0; i < 3; i++) {
        client_ask(first, REQUEST("GET /hello") "\r\n", &response);
        assert_response(&response, 200, "hello\n");
        usleep(20000);
        assert_int_equal(world_read(&world, &world.heads), (int)i + 1);
    }
    close(first);
    for (size_t i = 0; i < 3; i++) {
        assert_true(client_receive(waiting[i], false, &response));
        assert_response(&response, 200, "hello\n");
        close(waiting[i]);
    }
    world_end(&world);
}

static void a_thousand_connections_cost_little(void **state) {
    (void)state;
    enum { CONNECTIONS = 1000 };
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 2 * CONNECTIONS + 100) {
        limit.rlim_cur = 2 * CONNECTIONS + 100;
        if (limit.rlim_cur > limit.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            skip();
        }
    }
    struct world world;
    struct response response;
    struct trib_server_counts counts;
    static int clients[CONNECTIONS];
    begin_plain(&world, NULL);
    world_counts(&world, &counts);
    uint64_t before = trib_env_faulty_bytes_live(&world.faulty);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        clients[i] = client_connect(&world);
        client_ask(clients[i], REQUEST("GET /hello") "\r\n", &response);
        assert_response(&response, 200, "hello\n");
    }
    world_wait(&world, &world.done, CONNECTIONS);
    world_counts(&world, &counts);
    assert_int_equal(counts.connections, CONNECTIONS);
    assert_true((trib_env_faulty_bytes_live(&world.faulty) - before) / CONNECTIONS < 2048);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        close(clients[i]);
    }
    do {
        usleep(1000);
        world_counts(&world, &counts);
    } while (counts.connections > 0);
    assert_int_equal(trib_env_faulty_bytes_live(&world.faulty), before);
    world_end(&world);
}

static void running_out_of_descriptors_is_survived(void **state) {
    (void)state;
    struct world world;
    struct response response;
    struct rlimit limit;
    struct rlimit low;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_ask(client, REQUEST("GET /hello") "\r\n", &response);
    assert_response(&response, 200, "hello\n");
    int unlucky = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)unlucky + 1; /* the lowest free descriptor is above */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct sockaddr_storage address;
    socklen_t address_bytes = sizeof address;
    assert_int_equal(getpeername(client, (struct sockaddr *)&address, &address_bytes), 0);
    assert_int_equal(connect(unlucky, (struct sockaddr *)&address, address_bytes), 0);
    assert_true(client_sees_end(unlucky));
    /* The one that was there goes on. */
    client_ask(client, REQUEST("GET /hello") "\r\n", &response);
    assert_response(&response, 200, "hello\n");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(unlucky);
    int lucky = client_connect(&world);
    client_ask(lucky, REQUEST("GET /hello") "\r\n", &response);
    assert_response(&response, 200, "hello\n");
    close(lucky);
    close(client);
    world_end(&world);
}

/* Whichever allocation fails, that connection ends and the server goes on. */
static void memory_may_run_out_at_any_moment(void **state) {
    (void)state;
    static const char *const requests[] = {
        REQUEST("GET /hello") "\r\n",
        REQUEST("GET /block") "\r\n",
        REQUEST("GET /file?0,100") "\r\n",
    };
    struct world world;
    struct response response;
    struct trib_server_counts counts;
    const struct trib_server_config config = {.linger = 20 * TRIB_MILLISECOND};
    begin_plain(&world, &config);
    for (size_t i = 0; i < 3; i++) {
        uint64_t nth = 0;
        do {
            world_counts(&world, &counts); /* stops and starts the server's thread */
            trib_env_faulty_fail(&world.faulty, ++nth);
            int client = client_connect(&world);
            client_say(client, requests[i]);
            bool is_whole = client_receive(client, false, &response);
            assert_true(is_whole || trib_env_faulty_has_failed(&world.faulty));
            free(response.body);
            close(client);
        } while (trib_env_faulty_has_failed(&world.faulty));
        assert_true(nth > 3);
    }
    world_end(&world);
}

static void the_server_itself_may_lack_memory(void **state) {
    (void)state;
    static const struct trib_server_handlers none;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_loop *loop = NULL;
        struct trib_server *server = NULL;
        struct trib_error error = {0};
        assert_int_equal(trib_loop_new(&faulty.env, NULL, &loop), TRIB_OK);
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_server_new(loop, NULL, &none, NULL, &server, &error);
        if (status == TRIB_OK) {
            status = trib_server_listen(server, "127.0.0.1:0", false, &error);
            if (status == TRIB_OK) {
                trib_server_stop(server, 0, (void (*)(void *))trib_server_free, server);
            } else {
                trib_server_free(server);
            }
        }
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_int_equal(error.status, status);
        bool has_failed = faulty.has_failed;
        trib_env_faulty_fail(&faulty, 0);
        trib_loop_free(loop);
        assert_int_equal(faulty.blocks_live, 0);
        faulty.has_failed = has_failed;
    } while (faulty.has_failed);
    assert_int_equal(nth, 4);
    trib_env_faulty_deinit(&faulty);
}

/* ---- addresses ---- */

static void the_same_http_over_a_unix_socket(void **state) {
    (void)state;
    struct world world;
    struct response response;
    char address[128];
    world_begin(&world, NULL);
    (void)snprintf(address, sizeof address, "unix:%s/socket", world.directory);
    world_listen(&world, address, false);
    assert_int_equal(trib_server_port(world.server), 0);
    struct stat found;
    assert_int_equal(stat(address + 5, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    world_run(&world);
    int client = client_connect_unix(address + 5);
    client_ask(client, REQUEST("GET /who") "\r\n", &response);
    assert_response(&response, 200, "loopback unix unix\n");
    assert_range(client, "/block", 0, BLOCK_BYTES);
    assert_range(client, "/file", 0, BLOCK_BYTES);
    close(client);
    world_end(&world);
    assert_int_equal(stat(address + 5, &found), -1);
}

#define HANDED "Content-Length: 1\r\nTributary-Handover: 7\r\nExpect: 100-continue\r\n\r\n"

static void hand_over(int client, const int *descriptors, size_t count) {
    char control[CMSG_SPACE(4 * sizeof *descriptors)] = {0};
    struct iovec place = {.iov_base = "x", .iov_len = 1};
    struct msghdr message = {.msg_iov = &place,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(count * sizeof *descriptors)};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(count * sizeof *descriptors);
    memcpy(CMSG_DATA(part), descriptors, count * sizeof *descriptors);
    assert_int_equal(sendmsg(client, &message, 0), 1);
}

static size_t descriptors_open(void) {
    size_t count = 0;
    for (int descriptor = 0; descriptor < 1000; descriptor++) {
        count += fcntl(descriptor, F_GETFD) >= 0;
    }
    return count;
}

static void a_descriptor_comes_with_the_body(void **state) {
    (void)state;
    struct world world;
    struct response response;
    char address[128];
    size_t before = descriptors_open();
    world_begin(&world, NULL);
    (void)snprintf(address, sizeof address, "unix:%s/socket", world.directory);
    world_listen(&world, address, false);
    world_run(&world);
    int client = client_connect_unix(address + 5);
    for (size_t count = 1; count <= 4; count++) { /* of several the first counts */
        const int descriptors[] = {world.file, world.file, world.file, world.file};
        client_say(client, REQUEST("PUT /memory") HANDED);
        assert_true(client_receive(client, false, &response));
        assert_int_equal(response.status, 100);
        hand_over(client, descriptors, count);
        assert_true(client_receive(client, false, &response));
        assert_non_null(strstr(response.head, "\r\nTributary-Handover: memfd\r\n"));
        assert_response(&response, 200, "3000000\n");
    }
    /* A byte without one, and a byte that came before it was asked for. */
    client_say(client, REQUEST("PUT /memory") HANDED "x" REQUEST("PUT /memory") HANDED);
    assert_true(client_receive(client, false, &response));
    assert_int_equal(response.status, 100);
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, "none\n");
    assert_true(client_receive(client, false, &response));
    assert_int_equal(response.status, 100);
    client_say(client, "x" REQUEST("GET /hello") "\r\n");
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, "none\n");
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, "hello\n");
    /* One whose descriptor nobody takes, and one that leaves instead. */
    client_say(client, REQUEST("PUT /forget") HANDED);
    assert_true(client_receive(client, false, &response));
    assert_int_equal(response.status, 100);
    hand_over(client, &world.file, 1);
    assert_true(client_receive(client, false, &response));
    assert_response(&response, 200, "forgotten\n");
    client_say(client, REQUEST("PUT /memory") HANDED);
    assert_true(client_receive(client, false, &response));
    assert_int_equal(response.status, 100);
    close(client);
    world_wait(&world, &world.gone[TRIB_ECLOSED], 1);
    world_end(&world);
    assert_int_equal(descriptors_open(), before);
}

static void memory_is_refused_where_nobody_asked_for_it(void **state) {
    (void)state;
    struct world world;
    struct response response;
    char address[128];
    world_begin(&world, NULL);
    (void)snprintf(address, sizeof address, "unix:%s/socket", world.directory);
    world_listen(&world, address, false);
    world_listen(&world, "127.0.0.1:0", false);
    world_run(&world);
    static const char *const heads[] = {
        REQUEST("PUT /take") HANDED,
        REQUEST("PUT /memory") "Content-Length: 1\r\nTributary-Handover: 7\r\n\r\n",
        REQUEST("PUT /memory") "Content-Length: 2\r\nTributary-Handover: 7\r\n"
                               "Expect: 100-continue\r\n\r\n",
        REQUEST("PUT /memory") "Content-Length: 1\r\nTributary-Handover: 0\r\n"
                               "Expect: 100-continue\r\n\r\n",
        REQUEST("PUT /memory") "Content-Length: 1\r\nTributary-Handover: -1\r\n"
                               "Expect: 100-continue\r\n\r\n",
        REQUEST("PUT /memory") "Transfer-Encoding: chunked\r\nTributary-Handover: 7\r\n"
                               "Expect: 100-continue\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        int client = client_connect_unix(address + 5);
        client_ask(client, heads[i], &response);
        assert_int_equal(response.status, 417);
        free(response.body);
        close(client);
    }
    int client = client_connect(&world); /* over TCP nothing can be handed over */
    client_ask(client, REQUEST("PUT /memory") HANDED, &response);
    assert_int_equal(response.status, 417);
    assert_null(strstr(response.head, "Tributary-Handover"));
    free(response.body);
    close(client);
    world_end(&world);
}

static void addresses_are_refused_with_a_reason(void **state) {
    (void)state;
    struct world world;
    struct trib_error error;
    char taken[64];
    world_begin(&world, NULL);
    world_listen(&world, "127.0.0.1:0", false);
    (void)snprintf(taken, sizeof taken, "127.0.0.1:%u", trib_server_port(world.server));
    assert_int_equal(trib_server_listen(world.server, taken, false, &error), TRIB_ECONFLICT);
    assert_non_null(strstr(error.text, taken));
    assert_int_equal(trib_server_listen(world.server, "nowhere", false, &error), TRIB_EINVALID);
    assert_int_equal(trib_server_listen(world.server, "192.0.2.1:0", false, &error), TRIB_EINVALID);
    for (int i = 0; i < 7; i++) {
        world_listen(&world, "127.0.0.1:0", false);
    }
    assert_int_equal(trib_server_listen(world.server, "127.0.0.1:0", false, &error), TRIB_ELIMIT);
    world_end(&world);
}

static void the_peer_is_described(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int client = client_connect(&world);
    client_ask(client, REQUEST("GET /who") "\r\n", &response);
    assert_memory_equal(response.body, "loopback 127.0.0.1:", 19);
    free(response.body);
    close(client);
    world_end(&world);
}

/* ---- the end ---- */

static void stopping_lets_replies_finish(void **state) {
    (void)state;
    struct world world;
    struct response response;
    begin_plain(&world, NULL);
    int idle = client_connect(&world);
    client_ask(idle, REQUEST("GET /hello") "\r\n", &response);
    assert_response(&response, 200, "hello\n");
    int poll = client_connect(&world);
    client_say(poll, REQUEST("GET /poll") "\r\n");
    int put = client_connect(&world);
    client_say(put, REQUEST("PUT /take") "Content-Length: 3\r\n\r\nab");
    world_wait(&world, &world.heads, 3);
    world_stop_server(&world, 60 * TRIB_SECOND);
    assert_true(client_sees_end(idle));
    close(idle);
    /* Nobody comes in any more. */
    int late = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_storage address;
    socklen_t address_bytes = sizeof address;
    assert_int_equal(getpeername(put, (struct sockaddr *)&address, &address_bytes), 0);
    assert_int_equal(connect(late, (struct sockaddr *)&address, address_bytes), -1);
    close(late);
    client_ask(put, "c", &response);
    assert_non_null(strstr(response.head, "Connection: close\r\n"));
    assert_response(&response, 200, "3 17862\n");
    assert_true(client_sees_end(put));
    close(put);
    close(poll);
    world_wait(&world, &world.gone[TRIB_ECLOSED], 1);
    assert_int_equal(pthread_join(world.thread, NULL), 0); /* nothing is left to run for */
    world.is_running = false;
    assert_true(world.is_stopped);
    world_end(&world);
}

static void stopping_ends_at_its_deadline(void **state) {
    (void)state;
    struct world world;
    const struct trib_server_config config = {.linger = 20 * TRIB_MILLISECOND};
    begin_plain(&world, &config);
    int poll = client_connect(&world);
    client_say(poll, REQUEST("GET /poll") "\r\n");
    world_wait(&world, &world.heads, 1);
    world_stop_server(&world, 50 * TRIB_MILLISECOND);
    world_wait(&world, &world.gone[TRIB_ECLOSED], 1);
    assert_true(client_sees_end(poll));
    close(poll);
    world_end(&world);
}

static void a_server_may_stop_before_it_has_begun(void **state) {
    (void)state;
    struct world world;
    world_begin(&world, NULL);
    world_end(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_serves_many_requests),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(requests_behind_a_long_poll_wait),
        cmocka_unit_test(many_requests_behind_a_chunked_body),
        cmocka_unit_test(body_arrives_byte_by_byte),
        cmocka_unit_test(large_bodies_arrive_whole),
        cmocka_unit_test(large_bodies_arrive_in_many_turns),
        cmocka_unit_test(reading_stops_while_there_is_no_memory),
        cmocka_unit_test(a_request_without_a_body_completes_at_once),
        cmocka_unit_test(blocks_and_files_are_sent_in_ranges),
        cmocka_unit_test(slow_readers_get_everything),
        cmocka_unit_test(head_requests_get_the_head_only),
        cmocka_unit_test(a_file_that_is_too_short_ends_the_connection),
        cmocka_unit_test(a_field_that_would_split_the_reply_is_not_sent),
        cmocka_unit_test(events_are_streamed_in_chunks),
        cmocka_unit_test(a_slow_reader_of_events_is_cut_off),
        cmocka_unit_test(expect_is_answered_before_the_body),
        cmocka_unit_test(refusal_reaches_a_client_that_writes_first),
        cmocka_unit_test(refused_bodies_are_dropped_at_their_own_pace),
        cmocka_unit_test(lingering_ends),
        cmocka_unit_test(refusal_in_the_middle_of_a_body),
        cmocka_unit_test(bodies_over_the_limit_are_refused),
        cmocka_unit_test(broken_heads_and_framing_are_refused),
        cmocka_unit_test(a_head_of_16_kib_is_too_large),
        cmocka_unit_test(a_truncated_body_is_gone),
        cmocka_unit_test(a_peer_that_leaves_its_long_poll_is_noticed),
        cmocka_unit_test(a_reset_is_safe_at_any_time),
        cmocka_unit_test(silent_heads_and_bodies_are_closed),
        cmocka_unit_test(slow_transfers_and_long_polls_live),
        cmocka_unit_test(a_peer_that_waits_for_memory_lives),
        cmocka_unit_test(idle_connections_are_closed_without_a_word),
        cmocka_unit_test(the_longest_idle_makes_room_for_a_newcomer),
        cmocka_unit_test(who_has_just_come_makes_no_room_for_a_newcomer),
        cmocka_unit_test(a_thousand_connections_cost_little),
        cmocka_unit_test(running_out_of_descriptors_is_survived),
        cmocka_unit_test(memory_may_run_out_at_any_moment),
        cmocka_unit_test(the_server_itself_may_lack_memory),
        cmocka_unit_test(the_same_http_over_a_unix_socket),
        cmocka_unit_test(a_descriptor_comes_with_the_body),
        cmocka_unit_test(memory_is_refused_where_nobody_asked_for_it),
        cmocka_unit_test(addresses_are_refused_with_a_reason),
        cmocka_unit_test(the_peer_is_described),
        cmocka_unit_test(stopping_lets_replies_finish),
        cmocka_unit_test(stopping_ends_at_its_deadline),
        cmocka_unit_test(a_server_may_stop_before_it_has_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
