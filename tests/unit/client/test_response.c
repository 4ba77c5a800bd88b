/* test_response.c - every way an HTTP/1.1 response can end, and those it must not. */
#include "client/response.h"

#include <stdio.h>

#include "support/check.h"

struct outcome {
    struct trib_response response;
    char body[4096];
    size_t body_bytes;
    size_t consumed;
};

/* Feed `text` in pieces of `step` bytes, each in memory of exactly its size. */
static void feed(struct outcome *outcome, const char *text, size_t count, size_t step,
                 bool is_head_request) {
    memset(outcome, 0, sizeof *outcome);
    trib_response_begin(&outcome->response, is_head_request);
    for (size_t offset = 0; offset < count; offset += step) {
        size_t left = count - offset < step ? count - offset : step;
        char *piece = test_malloc(left);
        memcpy(piece, text + offset, left);
        for (size_t used = 0, taken = 1; used < left && taken > 0; used += taken) {
            const char *body;
            size_t body_bytes;
            taken = trib_response_feed(&outcome->response, piece + used, left - used, &body,
                                       &body_bytes);
            assert_true(taken <= left - used);
            assert_true(outcome->body_bytes + body_bytes <= sizeof outcome->body);
            memcpy(outcome->body + outcome->body_bytes, body_bytes > 0 ? body : "", body_bytes);
            outcome->body_bytes += body_bytes;
            outcome->consumed += taken;
        }
        test_free(piece);
    }
}

/* The same result whatever the pieces. */
static void check(const char *text, enum trib_response_state state, int status, const char *body,
                  bool keeps_alive) {
    for (size_t step = 1; step <= strlen(text); step++) {
        struct outcome outcome;
        feed(&outcome, text, strlen(text), step, false);
        assert_int_equal(outcome.response.state, state);
        assert_int_equal(outcome.response.status, status);
        assert_int_equal(outcome.body_bytes, strlen(body));
        assert_memory_equal(outcome.body, body, strlen(body));
        assert_int_equal(outcome.response.keeps_alive, keeps_alive);
    }
}

static void check_broken(const char *text) {
    struct outcome outcome;
    feed(&outcome, text, strlen(text), strlen(text), false);
    assert_int_equal(outcome.response.state, TRIB_RESPONSE_BROKEN);
    assert_non_null(outcome.response.error);
    assert_false(outcome.response.keeps_alive);
}

static void lengths_end_the_body(void **state) {
    (void)state;
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", TRIB_RESPONSE_DONE, 200, "hello",
          true);
    check("HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", TRIB_RESPONSE_DONE, 200, "", true);
    check("HTTP/1.1 404 \r\nContent-Length: 9\r\n\r\nhello", TRIB_RESPONSE_BODY, 404, "hello",
          true);
}

static void what_follows_the_reply_is_left_alone(void **state) {
    (void)state;
    const char *text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1";
    struct outcome outcome;
    feed(&outcome, text, strlen(text), strlen(text), false);
    assert_int_equal(outcome.response.state, TRIB_RESPONSE_DONE);
    assert_int_equal(outcome.consumed, strlen(text) - 8);
}

static void chunks_are_joined(void **state) {
    (void)state;
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nabc\r\n1F;name=value\r\n0123456789012345678901234567890\r\n0\r\n\r\n",
          TRIB_RESPONSE_DONE, 200, "abc0123456789012345678901234567890", true);
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n",
        TRIB_RESPONSE_DONE, 200, "x", true);
}

static void chunks_must_be_well_formed(void **state) {
    (void)state;
    static const char *const chunks[] = {
        "\r\n",
        "g\r\n",
        "3\nabc\r\n",
        "3\r\nabcd\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "-1\r\n",
        "\x13\r\n",
        "1000000000000000\r\n",
        "3 \rx",
        "0\r\n\rx",
        "0x3\r\nabc\r\n",
    };
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        char text[256];
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s",
                 chunks[i]);
        check_broken(text);
    }
}

static void chunk_extensions_and_trailers_have_a_limit(void **state) {
    (void)state;
    static char text[8192];
    const char *head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    int count = snprintf(text, sizeof text, "%s1;%05000d\r\n", head, 0);
    assert_true(count > 5000);
    check_broken(text);
    snprintf(text, sizeof text, "%s0\r\nA: %05000d\r\n", head, 0);
    check_broken(text);
}

static void the_end_of_the_connection_may_end_the_body(void **state) {
    (void)state;
    struct outcome outcome;
    const char *text = "HTTP/1.1 200 OK\r\n\r\nuntil the end";
    feed(&outcome, text, strlen(text), 7, false);
    assert_int_equal(outcome.response.state, TRIB_RESPONSE_BODY);
    trib_response_closed(&outcome.response);
    assert_int_equal(outcome.response.state, TRIB_RESPONSE_DONE);
    assert_false(outcome.response.keeps_alive);
    assert_int_equal(outcome.body_bytes, 13);
}

static void an_early_end_is_no_reply(void **state) {
    (void)state;
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct outcome outcome;
        feed(&outcome, texts[i], strlen(texts[i]), 64, false);
        trib_response_closed(&outcome.response);
        assert_int_equal(outcome.response.state, TRIB_RESPONSE_BROKEN);
    }
}

static void some_replies_have_no_body(void **state) {
    (void)state;
    check("HTTP/1.1 204 No Content\r\n\r\n", TRIB_RESPONSE_DONE, 204, "", true);
    check("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", TRIB_RESPONSE_DONE, 304, "",
          true);
    struct outcome outcome;
    const char *text = "HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n";
    feed(&outcome, text, strlen(text), 3, true);
    assert_int_equal(outcome.response.state, TRIB_RESPONSE_DONE);
    assert_true(outcome.response.has_length);
    assert_int_equal(outcome.response.body_bytes, 700);
}

static void interim_replies_are_skipped(void **state) {
    (void)state;
    check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n"
          "HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
          TRIB_RESPONSE_DONE, 201, "x", true);
}

static void connections_are_kept_unless_said_otherwise(void **state) {
    (void)state;
    check("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", TRIB_RESPONSE_DONE,
          200, "", false);
    check("HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
          TRIB_RESPONSE_DONE, 200, "", true);
    check("HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 0\r\n\r\n",
          TRIB_RESPONSE_DONE, 200, "", false);
}

static void ambiguous_heads_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 600 High\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1234567890123456789\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        check_broken(texts[i]);
    }
}

static void heads_have_a_limit(void **state) {
    (void)state;
    static char text[TRIB_RESPONSE_HEAD_MAX + 64];
    int count = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nA: ");
    memset(text + count, 'a', sizeof text - (size_t)count - 1);
    check_broken(text);
}

static void fields_are_found_in_any_case(void **state) {
    (void)state;
    struct outcome outcome;
    char value[16];
    const char *text = "HTTP/1.1 200 OK\r\nETag:\t \"abc\" \r\nRetry-After: 7\r\nretry-after: 8\r\n"
                       "Empty:\r\nContent-Length: 0\r\n\r\n";
    feed(&outcome, text, strlen(text), 11, false);
    assert_true(trib_response_field(&outcome.response, "etag", value, sizeof value));
    assert_string_equal(value, "\"abc\"");
    assert_true(trib_response_field(&outcome.response, "Retry-After", value, sizeof value));
    assert_string_equal(value, "7");
    assert_true(trib_response_field(&outcome.response, "EMPTY", value, sizeof value));
    assert_string_equal(value, "");
    assert_false(trib_response_field(&outcome.response, "ETag", value, 5));
    assert_false(trib_response_field(&outcome.response, "ETa", value, sizeof value));
    assert_false(trib_response_field(&outcome.response, "HTTP/1.1 200 OK", value, sizeof value));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_end_the_body),
        cmocka_unit_test(what_follows_the_reply_is_left_alone),
        cmocka_unit_test(chunks_are_joined),
        cmocka_unit_test(chunks_must_be_well_formed),
        cmocka_unit_test(chunk_extensions_and_trailers_have_a_limit),
        cmocka_unit_test(the_end_of_the_connection_may_end_the_body),
        cmocka_unit_test(an_early_end_is_no_reply),
        cmocka_unit_test(some_replies_have_no_body),
        cmocka_unit_test(interim_replies_are_skipped),
        cmocka_unit_test(connections_are_kept_unless_said_otherwise),
        cmocka_unit_test(ambiguous_heads_are_refused),
        cmocka_unit_test(heads_have_a_limit),
        cmocka_unit_test(fields_are_found_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
