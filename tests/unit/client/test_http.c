/* test_http.c - requests and replies over real sockets, and over a transport that dribbles. */
#include "client/http.h"

#include <netdb.h>
#include <stdio.h>

#include "client/scripted.h"
#include "support/check.h"
#include "support/env_faulty.h"

#define OK_REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct trib_http *open_to(const struct scripted *server, uint32_t idle_ms) {
    const struct trib_http_options options = {
        .host = server->host, .port = server->port, .token = "secret", .idle_ms = idle_ms};
    struct trib_http *http;
    assert_int_equal(trib_http_open(&options, &http, NULL), TRIB_OK);
    return http;
}

static enum trib_status get(struct trib_http *http, const char *target, struct trib_error *error) {
    const struct trib_http_call call = {.method = "GET", .target = target};
    return trib_http_call(http, &call, error);
}

static void expect_body(struct trib_http *http, const char *expected) {
    char *bytes;
    size_t count;
    assert_int_equal(trib_http_read_all(http, 1000, &bytes, &count, NULL), TRIB_OK);
    assert_int_equal(count, strlen(expected));
    assert_string_equal(bytes, expected);
    trib_release(trib_env_system(), bytes, count + 1, 1);
}

static void requests_are_written_as_the_rules_want(void **state) {
    (void)state;
    const struct scripted_step steps[] = {{.expected = "PUT", .reply = OK_REPLY},
                                          {.expected = "GET", .reply = OK_REPLY}};
    struct scripted server;
    scripted_start(&server, steps, 2);
    struct trib_http *http = open_to(&server, 0);
    const struct trib_source body = trib_source_of_memory("{}", 2);
    const struct trib_http_call call = {.method = "PUT",
                                        .target = "/v1/x",
                                        .fields = "A: b\r\nC: d\r\n",
                                        .content_type = "application/json",
                                        .body = &body};
    assert_int_equal(trib_http_call(http, &call, NULL), TRIB_OK);
    assert_int_equal(trib_http_reply_status(http), 200);
    expect_body(http, "ok");
    assert_int_equal(trib_http_set_token(http, NULL, NULL), TRIB_OK);
    assert_int_equal(get(http, "/", NULL), TRIB_OK);
    trib_http_close(http);
    scripted_finish(&server);
    char expected[300];
    snprintf(expected, sizeof expected,
             "PUT /v1/x HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAuthorization: Bearer secret\r\n"
             "Content-Type: application/json\r\nContent-Length: 2\r\nA: b\r\nC: d\r\n\r\n",
             server.port);
    assert_string_equal(server.requests[0].head, expected);
    assert_string_equal(server.requests[0].body, "{}");
    snprintf(expected, sizeof expected, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n",
             server.port);
    assert_string_equal(server.requests[1].head, expected);
    scripted_release(&server);
}

static void connections_are_kept(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        {.expected = "GET /1", .reply = OK_REPLY},
        {.expected = "GET /2", .reply = OK_REPLY},
        {.expected = "HEAD /3", .reply = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"},
        {.expected = "GET /4", .reply = OK_REPLY}};
    struct scripted server;
    scripted_start(&server, steps, 4);
    struct trib_http *http = open_to(&server, 0);
    assert_int_equal(get(http, "/1", NULL), TRIB_OK);
    expect_body(http, "ok");
    assert_int_equal(get(http, "/2", NULL), TRIB_OK);
    expect_body(http, "ok");
    const struct trib_http_call head = {.method = "HEAD", .target = "/3"};
    uint64_t announced = 0;
    assert_int_equal(trib_http_call(http, &head, NULL), TRIB_OK);
    assert_true(trib_http_reply_bytes(http, &announced));
    assert_int_equal(announced, 9);
    expect_body(http, "");
    assert_int_equal(get(http, "/4", NULL), TRIB_OK);
    trib_http_close(http);
    scripted_finish(&server);
    assert_int_equal(server.requests[3].connection, 1);
    scripted_release(&server);
}

static void unread_bodies_cost_the_connection(void **state) {
    (void)state;
    const struct scripted_step steps[] = {{.expected = "GET /1", .reply = OK_REPLY, .holds = true},
                                          {.expected = "GET /2", .reply = OK_REPLY}};
    struct scripted server;
    scripted_start(&server, steps, 2);
    struct trib_http *http = open_to(&server, 0);
    assert_int_equal(get(http, "/1", NULL), TRIB_OK);
    assert_int_equal(get(http, "/2", NULL), TRIB_OK);
    expect_body(http, "ok");
    trib_http_close(http);
    scripted_finish(&server);
    assert_int_equal(server.requests[1].connection, 2);
    scripted_release(&server);
}

static void a_kept_connection_that_is_gone_is_replaced_once(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        {.expected = "GET /1", .reply = OK_REPLY, .closes = true},
        {.expected = "GET /2", .reply = OK_REPLY},
        {.expected = "GET /3", .closes = true}, /* closed between our look and our request */
        {.expected = "GET /3", .reply = OK_REPLY, .closes = true},
        {.expected = "GET /4", .closes = true}, /* on a fresh connection: that is a failure */
    };
    struct scripted server;
    struct trib_error error = {0};
    scripted_start(&server, steps, 5);
    struct trib_http *http = open_to(&server, 0);
    for (int i = 1; i <= 3; i++) {
        char target[8];
        snprintf(target, sizeof target, "/%d", i);
        assert_int_equal(get(http, target, NULL), TRIB_OK);
        expect_body(http, "ok");
    }
    assert_int_equal(get(http, "/4", &error), TRIB_ECLOSED);
    assert_true(error.text[0] != '\0');
    trib_http_close(http);
    scripted_finish(&server);
    scripted_release(&server);
}

static void chunks_come_as_pieces(void **state) {
    (void)state;
    const struct scripted_step step = {.expected = "GET",
                                       .reply =
                                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                           "4\r\ndata\r\n6\r\n: one\n\r\n0\r\n\r\n"};
    struct scripted server;
    scripted_start(&server, &step, 1);
    struct trib_http *http = open_to(&server, 0);
    char piece[3];
    char all[32] = "";
    size_t count;
    uint64_t announced;
    assert_int_equal(get(http, "/events", NULL), TRIB_OK);
    assert_false(trib_http_reply_bytes(http, &announced));
    do {
        assert_int_equal(trib_http_read(http, piece, sizeof piece, &count, NULL), TRIB_OK);
        assert_in_range(count, 0, sizeof piece);
        strncat(all, piece, count);
    } while (count > 0);
    assert_string_equal(all, "data: one\n");
    trib_http_close(http);
    scripted_finish(&server);
    scripted_release(&server);
}

static void a_body_may_end_with_the_connection(void **state) {
    (void)state;
    const struct scripted_step step = {
        .expected = "GET", .reply = "HTTP/1.1 200 OK\r\n\r\nall of it", .closes = true};
    struct scripted server;
    scripted_start(&server, &step, 1);
    struct trib_http *http = open_to(&server, 0);
    assert_int_equal(get(http, "/", NULL), TRIB_OK);
    expect_body(http, "all of it");
    trib_http_close(http);
    scripted_finish(&server);
    scripted_release(&server);
}

static void replies_over_the_limit_are_refused(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        {.expected = "GET", .reply = OK_REPLY},
        {.expected = "GET",
         .reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
        {.expected = "GET",
         .reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
    };
    struct scripted server;
    char *bytes = NULL;
    size_t count = 77;
    scripted_start(&server, steps, 3);
    struct trib_http *http = open_to(&server, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(get(http, "/", NULL), TRIB_OK);
        assert_int_equal(trib_http_read_all(http, i == 0 ? 1 : 2, &bytes, &count, NULL),
                         TRIB_ELIMIT);
        assert_null(bytes);
        assert_int_equal(count, 77);
    }
    assert_int_equal(get(http, "/", NULL), TRIB_OK);
    assert_int_equal(trib_http_read_all(http, 3, &bytes, &count, NULL), TRIB_OK);
    assert_string_equal(bytes, "abc");
    trib_release(trib_env_system(), bytes, count + 1, 1);
    trib_http_close(http);
    scripted_finish(&server);
    scripted_release(&server);
}

/* --- large bodies --------------------------------------------------------------------------- */

struct pattern {
    uint64_t read_to; /* the furthest byte asked for */
    uint64_t fails_at;
};

static unsigned char pattern_byte(uint64_t offset) {
    return (unsigned char)(offset * 31 + (offset >> 16));
}

static enum trib_status read_pattern(void *context, uint64_t offset, void *bytes, size_t count) {
    struct pattern *pattern = context;
    assert_int_equal(offset % 64, 0);
    if (offset + count > pattern->fails_at) {
        return TRIB_EIO;
    }
    for (size_t i = 0; i < count; i++) {
        ((unsigned char *)bytes)[i] = pattern_byte(offset + i);
    }
    pattern->read_to = offset + count;
    return TRIB_OK;
}

static enum trib_status put_pattern(struct trib_http *http, struct pattern *pattern,
                                    uint64_t byte_count, struct trib_error *error) {
    const struct trib_source body = {
        .context = pattern, .byte_count = byte_count, .read = read_pattern};
    const struct trib_http_call call = {
        .method = "PUT", .target = "/", .content_type = "application/safetensors", .body = &body};
    return trib_http_call(http, &call, error);
}

static void large_bodies_arrive_whole(void **state) {
    (void)state;
    const struct scripted_step step = {.expected = "PUT", .reply = OK_REPLY};
    struct scripted server;
    struct pattern pattern = {.fails_at = UINT64_MAX};
    scripted_start(&server, &step, 1);
    struct trib_http *http = open_to(&server, 0);
    assert_int_equal(put_pattern(http, &pattern, 3000001, NULL), TRIB_OK);
    trib_http_close(http);
    scripted_finish(&server);
    assert_int_equal(server.requests[0].body_bytes, 3000001);
    for (size_t i = 0; i < 3000001; i++) {
        if ((unsigned char)server.requests[0].body[i] != pattern_byte(i)) {
            fail_msg("byte %zu differs", i);
        }
    }
    scripted_release(&server);
}

static void an_early_refusal_ends_the_sending(void **state) {
    (void)state;
    const uint64_t total = UINT64_C(4) << 30;
    const struct scripted_step steps[] = {
        {.expected = "PUT",
         .reply = "HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno",
         .is_early = true},
        {.expected = "GET", .reply = OK_REPLY}};
    struct scripted server;
    struct pattern pattern = {.fails_at = UINT64_MAX};
    scripted_start(&server, steps, 2);
    struct trib_http *http = open_to(&server, 0);
    assert_int_equal(put_pattern(http, &pattern, total, NULL), TRIB_OK);
    assert_int_equal(trib_http_reply_status(http), 413);
    expect_body(http, "no");
    assert_true(pattern.read_to < total / 8);
    assert_int_equal(get(http, "/", NULL), TRIB_OK); /* half a request is behind us: reconnect */
    trib_http_close(http);
    scripted_finish(&server);
    assert_int_equal(server.requests[1].connection, 2);
    scripted_release(&server);
}

static void a_connection_lost_in_mid_body_is_told(void **state) {
    (void)state;
    const struct scripted_step step = {.expected = "PUT", .is_cut = true};
    struct scripted server;
    struct pattern pattern = {.fails_at = UINT64_MAX};
    scripted_start(&server, &step, 1);
    struct trib_http *http = open_to(&server, 0);
    assert_int_equal(put_pattern(http, &pattern, 64 << 20, NULL), TRIB_ECLOSED);
    trib_http_close(http);
    scripted_finish(&server);
    scripted_release(&server);
}

static void a_body_that_cannot_be_read_is_told(void **state) {
    (void)state;
    const struct scripted_step step = {.expected = "GET", .reply = OK_REPLY};
    struct scripted server;
    struct pattern pattern = {.fails_at = 0};
    struct trib_error error = {0};
    scripted_start(&server, &step, 1);
    struct trib_http *http = open_to(&server, 0);
    assert_int_equal(put_pattern(http, &pattern, 10, &error), TRIB_EIO);
    assert_string_equal(error.text, "the body of the request cannot be read");
    assert_int_equal(get(http, "/", NULL), TRIB_OK);
    trib_http_close(http);
    scripted_finish(&server);
    scripted_release(&server);
}

/* --- trouble -------------------------------------------------------------------------------- */

static void silence_is_a_timeout(void **state) {
    (void)state;
    const struct scripted_step step = {.expected = "GET", .holds = true};
    struct scripted server;
    scripted_start(&server, &step, 1);
    struct trib_http *http = open_to(&server, 30);
    assert_int_equal(get(http, "/", NULL), TRIB_ETIMEOUT);
    trib_http_close(http);
    scripted_finish(&server);
    scripted_release(&server);
}

static void other_protocols_are_malformed(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        {.expected = "GET", .reply = "SSH-2.0-x\r\n\r\n", .holds = true},
        {.expected = "GET",
         .reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
         .holds = true}};
    struct scripted server;
    char byte;
    size_t count;
    scripted_start(&server, steps, 2);
    struct trib_http *http = open_to(&server, 0);
    assert_int_equal(get(http, "/", NULL), TRIB_EMALFORMED);
    assert_int_equal(get(http, "/", NULL), TRIB_OK);
    assert_int_equal(trib_http_read(http, &byte, 1, &count, NULL), TRIB_EMALFORMED);
    assert_int_equal(count, 0);
    trib_http_close(http);
    scripted_finish(&server);
    scripted_release(&server);
}

static void a_reply_cut_short_is_not_whole(void **state) {
    (void)state;
    const struct scripted_step step = {.expected = "GET",
                                       .reply = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
                                       .closes = true};
    struct scripted server;
    char *bytes = NULL;
    size_t count;
    scripted_start(&server, &step, 1);
    struct trib_http *http = open_to(&server, 0);
    assert_int_equal(get(http, "/", NULL), TRIB_OK);
    assert_int_equal(trib_http_read_all(http, 100, &bytes, &count, NULL), TRIB_ECLOSED);
    assert_null(bytes);
    trib_http_close(http);
    scripted_finish(&server);
    scripted_release(&server);
}

static void nobody_there_is_unavailable(void **state) {
    (void)state;
    struct scripted server = {.host = "127.0.0.1"};
    struct trib_error error = {0};
    scripted_free_port(server.port);
    struct trib_http *http = open_to(&server, 0);
    assert_int_equal(get(http, "/", &error), TRIB_EUNAVAILABLE);
    assert_non_null(strstr(error.text, "cannot connect to 127.0.0.1 port"));
    trib_http_close(http);
}

static void unix_sockets_carry_it_too(void **state) {
    (void)state;
    const struct scripted_step step = {.expected = "GET / HTTP/1.1\r\nHost: localhost\r\n",
                                       .reply = OK_REPLY};
    struct scripted server;
    scripted_start_unix(&server, &step, 1);
    struct trib_http *http = open_to(&server, 0);
    assert_int_equal(get(http, "/", NULL), TRIB_OK);
    expect_body(http, "ok");
    trib_http_close(http);
    scripted_finish(&server);
    scripted_release(&server);
}

/* Handing over is offered by the daemon, tried once it pays, and given up for good when refused. */
static void memory_that_is_refused_is_sent(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        {.expected = "PUT /early", .reply = OK_REPLY}, /* nobody has said that memory is taken */
        {.expected = "PUT /small",
         .reply = "HTTP/1.1 200 OK\r\nTributary-Handover: memfd\r\nContent-Length: 0\r\n\r\n"},
        {.expected = "PUT /small", .reply = OK_REPLY},
        {.expected = "PUT /other", .reply = OK_REPLY}, /* no update */
        {.expected = "PUT /large",
         .reply = "HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
         .is_early = true},
        {.expected = "PUT /large", .reply = OK_REPLY},
        {.expected = "PUT /again",
         .reply = "HTTP/1.1 200 OK\r\nTributary-Handover: memfd\r\nContent-Length: 0\r\n\r\n"},
    };
    static unsigned char bytes[TRIB_HANDOVER_BYTES_MIN];
    const struct trib_source large = trib_source_of_memory(bytes, sizeof bytes);
    const struct trib_source small = trib_source_of_memory(bytes, sizeof bytes - 1);
    struct scripted server;
    scripted_start_unix(&server, steps, sizeof steps / sizeof *steps);
    const struct trib_http_options options = {.host = server.host};
    struct trib_http *http;
    assert_int_equal(trib_http_open(&options, &http, NULL), TRIB_OK);
    const struct trib_http_call calls[] = {
        {.method = "PUT", .target = "/early", .body = &large, .may_hand_over = true},
        {.method = "PUT", .target = "/small", .body = &large, .may_hand_over = true},
        {.method = "PUT", .target = "/small", .body = &small, .may_hand_over = true},
        {.method = "PUT", .target = "/other", .body = &large},
        {.method = "PUT", .target = "/large", .body = &large, .may_hand_over = true},
        {.method = "PUT", .target = "/again", .body = &large, .may_hand_over = true}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        assert_int_equal(trib_http_call(http, &calls[i], NULL), TRIB_OK);
        assert_int_equal(trib_http_reply_status(http), 200);
    }
    trib_http_close(http);
    scripted_finish(&server);
    static const size_t received[] = {sizeof bytes, sizeof bytes, sizeof bytes - 1, sizeof bytes, 0,
                                      sizeof bytes, sizeof bytes};
    for (size_t i = 0; i < sizeof received / sizeof *received; i++) {
        bool is_handed = strstr(server.requests[i].head, "\r\nTributary-Handover: 1048576\r\n");
        assert_int_equal(is_handed, i == 4);
        assert_int_equal(server.requests[i].body_bytes, received[i]);
    }
    scripted_release(&server);
}

static void every_address_of_a_name_is_tried(void **state) {
    (void)state;
    struct addrinfo *addresses = NULL;
    if (getaddrinfo("localhost", NULL, NULL, &addresses) != 0) {
        skip(); /* a system without /etc/hosts */
    }
    freeaddrinfo(addresses);
    const struct scripted_step step = {.expected = "GET", .reply = OK_REPLY};
    struct scripted server;
    scripted_start(&server, &step, 1);
    strcpy(server.host, "localhost"); /* ::1 first where there is IPv6; nobody listens there */
    struct trib_http *http = open_to(&server, 0);
    assert_int_equal(get(http, "/", NULL), TRIB_OK);
    trib_http_close(http);
    scripted_finish(&server);
    scripted_release(&server);
}

static void heads_cannot_be_split_from_outside(void **state) {
    (void)state;
    static const struct trib_http_options options[] = {
        {.host = NULL, .port = "80"},
        {.host = "", .port = "80"},
        {.host = "a b", .port = "80"},
        {.host = "a\r\nX: y", .port = "80"},
        {.host = "a"},
        {.host = "a", .port = "http"},
        {.host = "a", .port = "123456789"},
        {.host = "a", .port = "80", .token = "x\r\ny: z"},
        {.host = "a", .port = "80", .token = "\xc3\xa4"},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        struct trib_http *http;
        struct trib_error error = {0};
        assert_int_equal(trib_http_open(&options[i], &http, &error), TRIB_EINVALID);
        assert_null(http);
        assert_true(error.text[0] != '\0');
    }
}

static void heads_have_a_limit(void **state) {
    (void)state;
    static char fields[20000];
    const struct scripted_step step = {.expected = "GET", .reply = OK_REPLY};
    struct scripted server;
    scripted_start(&server, &step, 1);
    struct trib_http *http = open_to(&server, 0);
    memset(fields, 'a', sizeof fields - 1);
    const struct trib_http_call call = {.method = "GET", .target = "/", .fields = fields};
    assert_int_equal(trib_http_call(http, &call, NULL), TRIB_EINVALID);
    assert_int_equal(get(http, "/", NULL), TRIB_OK);
    trib_http_close(http);
    scripted_finish(&server);
    scripted_release(&server);
}

/* --- transports of one's own ---------------------------------------------------------------- */

/* One byte at a time, in both directions, and no way to wait. */
struct dribble {
    const char *reply;
    size_t read_bytes;
    char sent[512];
    size_t sent_bytes;
    size_t fails_at; /* the write of this byte fails */
    int open;
};

static int dribble_connect(void *context, const char *host, const char *port, void **connection,
                           char *text, size_t text_room) {
    struct dribble *dribble = context;
    (void)host;
    (void)port;
    (void)text;
    (void)text_room;
    dribble->open++;
    dribble->read_bytes = 0;
    *connection = dribble;
    return 0;
}

static long dribble_read(void *context, void *connection, void *bytes, size_t count) {
    struct dribble *dribble = context;
    (void)connection;
    if (count == 0 || dribble->reply[dribble->read_bytes] == '\0') {
        return 0;
    }
    *(char *)bytes = dribble->reply[dribble->read_bytes++];
    return 1;
}

static long dribble_write(void *context, void *connection, const void *bytes, size_t count) {
    struct dribble *dribble = context;
    (void)connection;
    (void)count;
    if (dribble->sent_bytes == dribble->fails_at) {
        return -1;
    }
    dribble->sent[dribble->sent_bytes++] = *(const char *)bytes;
    return 1;
}

static void dribble_close(void *context, void *connection) {
    (void)connection;
    ((struct dribble *)context)->open--;
}

static enum trib_status dribble_call(const struct trib_env *env, struct dribble *dribble,
                                     char **bytes, size_t *count) {
    const struct trib_transport transport = {.context = dribble,
                                             .connect = dribble_connect,
                                             .read = dribble_read,
                                             .write = dribble_write,
                                             .close = dribble_close};
    const struct trib_http_options options = {
        .env = env, .transport = &transport, .host = "far.example", .port = "443"};
    struct trib_http *http;
    enum trib_status status = trib_http_open(&options, &http, NULL);
    status = status == TRIB_OK ? get(http, "/", NULL) : status;
    status = status == TRIB_OK ? trib_http_read_all(http, 100000, bytes, count, NULL) : status;
    trib_http_close(http);
    assert_int_equal(dribble->open, 0);
    return status;
}

static void short_reads_and_writes_are_enough(void **state) {
    (void)state;
    struct dribble dribble = {.reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                       "3\r\nabc\r\n0\r\n\r\n",
                              .fails_at = SIZE_MAX};
    char *bytes;
    size_t count;
    assert_int_equal(dribble_call(trib_env_system(), &dribble, &bytes, &count), TRIB_OK);
    assert_string_equal(bytes, "abc");
    assert_string_equal(dribble.sent, "GET / HTTP/1.1\r\nHost: far.example:443\r\n\r\n");
    trib_release(trib_env_system(), bytes, count + 1, 1);
}

static void a_failing_write_is_a_lost_connection(void **state) {
    (void)state;
    struct dribble dribble = {.reply = "", .fails_at = 10};
    char *bytes;
    size_t count;
    assert_int_equal(dribble_call(trib_env_system(), &dribble, &bytes, &count), TRIB_ECLOSED);
}

/* A peer that answers after 100,000 bytes and would take the rest for ever, over a connection that
 * stays open. */
struct eager {
    struct dribble replies;
    uint64_t sent_bytes;
    int connect_count;
};

static int eager_connect(void *context, const char *host, const char *port, void **connection,
                         char *text, size_t text_room) {
    struct eager *eager = context;
    eager->connect_count++;
    eager->sent_bytes = 0;
    return dribble_connect(&eager->replies, host, port, connection, text, text_room);
}

static long eager_read(void *context, void *connection, void *bytes, size_t count) {
    return dribble_read(&((struct eager *)context)->replies, connection, bytes, count);
}

static bool eager_is_over(const struct eager *eager) {
    return eager->replies.reply[eager->replies.read_bytes] == '\0';
}

static long eager_write(void *context, void *connection, const void *bytes, size_t count) {
    struct eager *eager = context;
    (void)connection;
    (void)bytes;
    if (eager_is_over(eager)) {
        eager->replies.read_bytes = 0; /* takes anything for the next request */
    }
    eager->sent_bytes += count;
    return (long)count;
}

static void eager_close(void *context, void *connection) {
    dribble_close(&((struct eager *)context)->replies, connection);
}

static int eager_wait(void *context, void *connection, int timeout_ms) {
    const struct eager *eager = context;
    (void)connection;
    return timeout_ms > 0 || (eager->sent_bytes > 100000 && !eager_is_over(eager));
}

static void half_a_request_is_never_followed_by_another(void **state) {
    (void)state;
    struct eager eager = {.replies = {.reply = OK_REPLY}};
    const struct trib_transport transport = {.context = &eager,
                                             .connect = eager_connect,
                                             .read = eager_read,
                                             .write = eager_write,
                                             .close = eager_close,
                                             .wait = eager_wait};
    const struct trib_http_options options = {
        .transport = &transport, .host = "far.example", .port = "443"};
    struct pattern pattern = {.fails_at = UINT64_MAX};
    struct trib_http *http;
    assert_int_equal(trib_http_open(&options, &http, NULL), TRIB_OK);
    assert_int_equal(put_pattern(http, &pattern, UINT64_C(1) << 40, NULL), TRIB_OK);
    assert_in_range(pattern.read_to, 100000, 300000);
    expect_body(http, "ok");
    assert_int_equal(get(http, "/", NULL), TRIB_OK);
    assert_int_equal(eager.connect_count, 2);
    trib_http_close(http);
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    static char reply[12000];
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    snprintf(reply, sizeof reply,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n%010000d\r\n0\r\n\r\n",
             7);
    uint64_t nth = 0;
    do {
        struct dribble dribble = {.reply = reply, .fails_at = SIZE_MAX};
        char *bytes = NULL;
        size_t count = 0;
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = dribble_call(&faulty.env, &dribble, &bytes, &count);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_int_equal(count, faulty.has_failed ? 0 : 10000);
        if (bytes != NULL) {
            trib_release(&faulty.env, bytes, count + 1, 1);
        }
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 3);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_written_as_the_rules_want),
        cmocka_unit_test(connections_are_kept),
        cmocka_unit_test(unread_bodies_cost_the_connection),
        cmocka_unit_test(a_kept_connection_that_is_gone_is_replaced_once),
        cmocka_unit_test(chunks_come_as_pieces),
        cmocka_unit_test(a_body_may_end_with_the_connection),
        cmocka_unit_test(replies_over_the_limit_are_refused),
        cmocka_unit_test(large_bodies_arrive_whole),
        cmocka_unit_test(an_early_refusal_ends_the_sending),
        cmocka_unit_test(a_connection_lost_in_mid_body_is_told),
        cmocka_unit_test(a_body_that_cannot_be_read_is_told),
        cmocka_unit_test(silence_is_a_timeout),
        cmocka_unit_test(other_protocols_are_malformed),
        cmocka_unit_test(a_reply_cut_short_is_not_whole),
        cmocka_unit_test(nobody_there_is_unavailable),
        cmocka_unit_test(unix_sockets_carry_it_too),
        cmocka_unit_test(memory_that_is_refused_is_sent),
        cmocka_unit_test(every_address_of_a_name_is_tried),
        cmocka_unit_test(heads_cannot_be_split_from_outside),
        cmocka_unit_test(heads_have_a_limit),
        cmocka_unit_test(short_reads_and_writes_are_enough),
        cmocka_unit_test(a_failing_write_is_a_lost_connection),
        cmocka_unit_test(half_a_request_is_never_followed_by_another),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
