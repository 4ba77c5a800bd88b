/* test_http.c - heads are judged before bodies; chunked framing; reply heads. */
#include "wire/http.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"

#define HOST "Host: localhost\r\n"

/* The head goes into a block of its exact size, so that the sanitizer sees every step outside. */
static const struct trib_http_refusal *parse(const char *text, size_t count,
                                             struct trib_http_request *request, char **memory) {
    *memory = malloc(count > 0 ? count : 1);
    assert_non_null(*memory);
    memcpy(*memory, text, count);
    size_t scanned = 0;
    size_t head_bytes = 0;
    const struct trib_http_refusal *refusal =
        trib_http_head_scan(*memory, count, &scanned, &head_bytes);
    if (refusal != NULL) {
        return refusal;
    }
    assert_int_equal(head_bytes, count);
    return trib_http_request_parse(*memory, count, request);
}

static void good_head_is_read(void **state) {
    (void)state;
    const char text[] = "PUT /v1/runs/r1/updates/a.1?x=%20&y HTTP/1.1\r\n"
                        "HOST: 127.0.0.1:7700\r\n"
                        "Content-Length:  42 \r\n"
                        "Expect: 100-Continue\r\n"
                        "X-Empty:\r\n"
                        "origin:\t http://x \t\r\n"
                        "Tributary-Examples: 600\r\n"
                        "\r\n";
    struct trib_http_request request;
    char *memory;
    assert_null(parse(text, sizeof text - 1, &request, &memory));
    assert_int_equal(request.method, TRIB_HTTP_PUT);
    assert_string_equal(trib_http_method_name(request.method), "PUT");
    assert_string_equal(request.path, "/v1/runs/r1/updates/a.1");
    assert_string_equal(request.query, "x=%20&y");
    assert_string_equal(request.host, "127.0.0.1:7700");
    assert_string_equal(request.origin, "http://x");
    assert_true(request.has_length);
    assert_false(request.is_chunked);
    assert_int_equal(request.content_length, 42);
    assert_true(request.expects_continue);
    assert_true(request.is_persistent);
    assert_int_equal(request.field_count, 6);
    assert_string_equal(request.fields[3].name, "x-empty");
    assert_string_equal(request.fields[3].value, "");
    assert_string_equal(trib_http_request_field(&request, "tributary-examples"), "600");
    assert_null(trib_http_request_field(&request, "authorization"));
    free(memory);
}

static void other_good_heads(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is_chunked, expects_continue, is_persistent;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, false, true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false, false, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Close\r\n\r\n", false, false, false},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", true, false, true},
        {"POST / HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n",
         true, true, true},
        /* Nothing to wait for without a body. */
        {"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", false, false, true},
        {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n", false,
         false, true},
        /* An offer to speak something else is not taken up. */
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false,
         false, true},
        /* Bytes above ASCII are allowed in values; a list may come in pieces. */
        {"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa4\r\nAccept: b\r\nAccept: c\r\n\r\n", false, false,
         true},
        {"DELETE /a//b?c?d HTTP/1.1\r\nHost: [::1]:1\r\n\r\n", false, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trib_http_request request;
        char *memory;
        const struct trib_http_refusal *refusal =
            parse(cases[i].text, strlen(cases[i].text), &request, &memory);
        if (refusal != NULL) {
            fail_msg("%s -> %d %s", cases[i].text, refusal->status, refusal->message);
        }
        assert_int_equal(request.is_chunked, cases[i].is_chunked);
        assert_int_equal(request.expects_continue, cases[i].expects_continue);
        assert_int_equal(request.is_persistent, cases[i].is_persistent);
        free(memory);
    }
}

static void hostile_heads_are_refused(void **state) {
    (void)state;
#define CASE(status, code, text) \
    { status, code, text, sizeof(text) - 1 }
    static const struct {
        int status;
        const char *code;
        const char *text;
        size_t count;
    } cases[] = {
        /* lines */
        CASE(400, "malformed", "GET / HTTP/1.1\n" HOST "\r\n"),
        CASE(400, "malformed", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
        CASE(400, "malformed", "GET / HTTP/1.1\r" HOST "\r\n"),
        CASE(400, "malformed", "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n"),
        CASE(400, "malformed", "GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"),
        CASE(400, "malformed", "GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n"),
        CASE(400, "malformed", "GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n"),
        CASE(400, "malformed", "\r\nGET / HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "malformed", "\x16\x03\x01\x02"),
        CASE(400, "header", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"),
        CASE(400, "header", "GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n"),
        CASE(400, "header", "GET / HTTP/1.1\r\n X: folded\r\n" HOST "\r\n"),
        CASE(400, "header", "GET / HTTP/1.1\r\n" HOST "X : a\r\n\r\n"),
        CASE(400, "header", "GET / HTTP/1.1\r\nHo st: a\r\n\r\n"),
        CASE(400, "header", "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n"),
        CASE(400, "header", "GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n"),
        CASE(400, "header", "GET / HTTP/1.1\r\n" HOST "X\xc3: a\r\n\r\n"),
        /* the first line */
        CASE(400, "malformed", "GET /\r\n\r\n"),
        CASE(400, "malformed", "GET\r\n\r\n"),
        CASE(400, "malformed", "GET  / HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "malformed", "GET /a b HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "malformed", "GET /a\tb HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "malformed", "GET / HTTP/1.1 \r\n" HOST "\r\n"),
        CASE(400, "malformed", "GET / http/1.1\r\n" HOST "\r\n"),
        CASE(400, "malformed", "GET / HTTP/1.10\r\n" HOST "\r\n"),
        CASE(400, "malformed", " GET / HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "malformed", "G@T / HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "malformed", "GET http://localhost/ HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "malformed", "GET x HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "malformed", "GET * HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "malformed", "GET /a#b HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "malformed", "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n"),
        CASE(505, "http_version", "GET / HTTP/1.0\r\n" HOST "\r\n"),
        CASE(505, "http_version", "GET / HTTP/0.9\r\n" HOST "\r\n"),
        CASE(505, "http_version", "PRI * HTTP/2.0\r\n\r\n"),
        CASE(501, "unsupported", "TRACE / HTTP/1.1\r\n" HOST "\r\n"),
        CASE(501, "unsupported", "get / HTTP/1.1\r\n" HOST "\r\n"),
        CASE(501, "unsupported", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"),
        CASE(501, "unsupported", "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n"),
        CASE(501, "unsupported", "TRACE / HTTP/1.1\r\n" HOST "\r\n"),
        /* Host */
        CASE(400, "header", "GET / HTTP/1.1\r\n\r\n"),
        CASE(400, "header", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        CASE(400, "header", "GET / HTTP/1.1\r\n" HOST HOST "\r\n"),
        CASE(400, "header", "GET / HTTP/1.1\r\n" HOST "hOST: b\r\n\r\n"),
        /* framing: these four are how requests are smuggled */
        CASE(400, "header",
             "PUT / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
        CASE(400, "header",
             "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
        CASE(400, "header",
             "PUT / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n"),
        CASE(400, "header",
             "PUT / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"),
        CASE(400, "header", "PUT / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\n"),
        CASE(400, "header", "PUT / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\n"),
        CASE(400, "header", "PUT / HTTP/1.1\r\n" HOST "Content-Length: -3\r\n\r\n"),
        CASE(400, "header", "PUT / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\n"),
        CASE(400, "header", "PUT / HTTP/1.1\r\n" HOST "Content-Length: 3 4\r\n\r\n"),
        CASE(400, "header", "PUT / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"),
        CASE(400, "header",
             "PUT / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n"),
        CASE(400, "header",
             "PUT / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n"),
        CASE(400, "header", "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"),
        CASE(400, "header", "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
        CASE(400, "header", "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"),
        CASE(400, "header", "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;a\r\n\r\n"),
        CASE(400, "header", "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n"),
        CASE(400, "header",
             "PUT / HTTP/1.1\r\n" HOST
             "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        /* fields that may be there once */
        CASE(400, "header",
             "GET / HTTP/1.1\r\n" HOST
             "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n"),
        CASE(400, "header",
             "PUT / HTTP/1.1\r\n" HOST "Tributary-Examples: 1\r\ntributary-examples: 2\r\n\r\n"),
        CASE(417, "expectation",
             "PUT / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nExpect: 200-ok\r\n\r\n"),
    };
#undef CASE
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trib_http_request request;
        char *memory;
        const struct trib_http_refusal *refusal =
            parse(cases[i].text, cases[i].count, &request, &memory);
        if (refusal == NULL) {
            fail_msg("accepted: %s", cases[i].text);
        }
        if (refusal->status != cases[i].status || strcmp(refusal->code, cases[i].code) != 0) {
            fail_msg("%s -> %d %s (%s)", cases[i].text, refusal->status, refusal->code,
                     refusal->message);
        }
        free(memory);
    }
}

static size_t write_head(char *head, size_t field_count) {
    size_t count = (size_t)sprintf(head, "GET / HTTP/1.1\r\n" HOST);
    for (size_t i = 1; i < field_count; i++) {
        count += (size_t)sprintf(head + count, "X-%zu: 1\r\n", i);
    }
    return count + (size_t)sprintf(head + count, "\r\n");
}

static void heads_have_at_most_64_fields(void **state) {
    (void)state;
    char head[4096];
    struct trib_http_request request;
    char *memory;
    size_t count = write_head(head, TRIB_HTTP_FIELDS_MAX);
    assert_null(parse(head, count, &request, &memory));
    assert_int_equal(request.field_count, TRIB_HTTP_FIELDS_MAX);
    assert_string_equal(request.fields[63].name, "x-63");
    free(memory);
    count = write_head(head, TRIB_HTTP_FIELDS_MAX + 1);
    assert_int_equal(parse(head, count, &request, &memory)->status, 431);
    free(memory);
}

static void heads_have_at_most_16_kib(void **state) {
    (void)state;
    static char head[TRIB_HTTP_HEAD_BYTES_MAX + 2];
    size_t scanned = 0;
    size_t head_bytes;
    memset(head, 'x', sizeof head);
    memcpy(head + TRIB_HTTP_HEAD_BYTES_MAX - 4, "\r\n\r\n", 4);
    assert_null(trib_http_head_scan(head, TRIB_HTTP_HEAD_BYTES_MAX, &scanned, &head_bytes));
    assert_int_equal(head_bytes, TRIB_HTTP_HEAD_BYTES_MAX);
    memcpy(head + TRIB_HTTP_HEAD_BYTES_MAX - 4, "x\r\n\r\n", 5);
    scanned = 0;
    const struct trib_http_refusal *refusal =
        trib_http_head_scan(head, TRIB_HTTP_HEAD_BYTES_MAX + 1, &scanned, &head_bytes);
    assert_int_equal(refusal->status, 431);
    /* A full buffer without an end is refused without waiting for one byte more. */
    scanned = 0;
    memset(head, 'x', sizeof head);
    refusal = trib_http_head_scan(head, TRIB_HTTP_HEAD_BYTES_MAX, &scanned, &head_bytes);
    assert_int_equal(refusal->status, 431);
}

static void scan_finds_the_end_wherever_the_pieces_break(void **state) {
    (void)state;
    const char text[] = "GET / HTTP/1.1\r\n" HOST "\r\nGET /next";
    size_t end = strlen("GET / HTTP/1.1\r\n" HOST "\r\n");
    size_t scanned = 0;
    size_t head_bytes = 0;
    for (size_t i = 0; i < end; i++) {
        assert_int_equal(head_bytes, 0);
        assert_null(trib_http_head_scan(text, i + 1, &scanned, &head_bytes));
    }
    assert_int_equal(head_bytes, end);
    scanned = 0;
    assert_null(trib_http_head_scan(text, sizeof text - 1, &scanned, &head_bytes));
    assert_int_equal(head_bytes, end);
}

/* A bare LF is refused as soon as it is seen: nobody waits for an end that cannot come. */
static void scan_refuses_early(void **state) {
    (void)state;
    size_t scanned = 0;
    size_t head_bytes;
    assert_null(trib_http_head_scan("GET / HTTP/1.1", 14, &scanned, &head_bytes));
    assert_non_null(trib_http_head_scan("GET / HTTP/1.1\n", 15, &scanned, &head_bytes));
}

/* The caller should have found the end first; what it did not is refused all the same. */
static void parts_of_a_head_are_no_head(void **state) {
    (void)state;
    const char text[] = "GET / HTTP/1.1\r\n" HOST "\r\n";
    for (size_t count = 0; count < sizeof text - 1; count++) {
        struct trib_http_request request;
        char *part = malloc(count > 0 ? count : 1);
        memcpy(part, text, count);
        assert_non_null(trib_http_request_parse(part, count, &request));
        free(part);
    }
}

/* ---- chunked bodies ---- */

static const char chunked[] = "5\r\nhello\r\n"
                              "1;name=\"value\"\r\n \r\n"
                              "0000A\r\n0123456789\r\n"
                              "0\r\nTrailer: dropped\r\nOther: x\r\n\r\n"
                              "GET /next";
static const char dechunked[] = "hello 0123456789";

static void chunks_are_joined_wherever_the_pieces_break(void **state) {
    (void)state;
    size_t total = sizeof chunked - 1;
    size_t body = total - strlen("GET /next");
    for (size_t piece = 1; piece <= total; piece++) {
        struct trib_http_chunks chunks = {0};
        char joined[64];
        size_t joined_count = 0;
        size_t next = 0;
        while (!chunks.is_done) {
            size_t count = piece < total - next ? piece : total - next;
            char *bytes = malloc(count);
            memcpy(bytes, chunked + next, count);
            size_t payload;
            size_t consumed;
            assert_int_equal(trib_http_chunks_decode(&chunks, bytes, count, &payload, &consumed),
                             TRIB_OK);
            memcpy(joined + joined_count, bytes, payload);
            joined_count += payload;
            next += consumed;
            /* What follows the body is the next request, untouched. */
            assert_memory_equal(bytes + consumed, chunked + next, count - consumed);
            free(bytes);
        }
        assert_int_equal(next, body);
        assert_int_equal(joined_count, strlen(dechunked));
        assert_memory_equal(joined, dechunked, joined_count);
    }
}

static enum trib_status decode_all(const char *text, size_t count,
                                   struct trib_http_chunks *chunks) {
    char *bytes = malloc(count > 0 ? count : 1);
    memcpy(bytes, text, count);
    size_t payload;
    size_t consumed;
    enum trib_status status = trib_http_chunks_decode(chunks, bytes, count, &payload, &consumed);
    free(bytes);
    return status;
}

static void broken_framing_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "\r\n",
        "x\r\n",
        ";a\r\n",
        "5 \r\nhello\r\n",
        "-5\r\n",
        "0x5\r\n",
        "5\nhello",
        "5\rhello",
        "5\r\nhello!",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0",
        "5\r\nhello\r\n\r\n",
        "5;a\nb\r\nhello\r\n",
        "0\r\nTrailer: a\nb\r\n\r\n",
        "0\r\nTrailer: a\r\r\n",
        "0\r\n\rx",
        "0\r\n\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct trib_http_chunks chunks = {0};
        if (decode_all(texts[i], strlen(texts[i]), &chunks) != TRIB_EMALFORMED) {
            fail_msg("accepted: %s", texts[i]);
        }
    }
}

static void framing_is_bounded(void **state) {
    (void)state;
    static char text[8192];
    struct trib_http_chunks chunks = {0};
    assert_int_equal(decode_all("fffffffffffffffff\r\n", 19, &chunks), TRIB_ELIMIT);
    memset(text, '0', sizeof text);
    chunks = (struct trib_http_chunks){0};
    assert_int_equal(decode_all(text, 300, &chunks), TRIB_ELIMIT);
    memset(text, 'x', sizeof text);
    memcpy(text, "5;", 2);
    chunks = (struct trib_http_chunks){0};
    assert_int_equal(decode_all(text, 256, &chunks), TRIB_OK);
    assert_int_equal(decode_all(text, 1, &chunks), TRIB_ELIMIT);
    /* Many short trailers are as much as one long one. */
    for (size_t i = 0; i + 4 <= sizeof text; i += 4) {
        memcpy(text + i, "a:\r\n", 4);
    }
    memcpy(text, "0 \r\n", 4);
    text[1] = ';';
    chunks = (struct trib_http_chunks){0};
    assert_int_equal(decode_all(text, 4096, &chunks), TRIB_OK);
    assert_int_equal(decode_all(text, 100, &chunks), TRIB_ELIMIT);
}

/* ---- replies ---- */

static void reply_head_is_written(void **state) {
    (void)state;
    const struct trib_http_field fields[] = {{"ETag", "\"ab\""}, {"Retry-After", "1"}};
    struct trib_http_reply reply = {
        .status = 503,
        .framing = TRIB_HTTP_LENGTH,
        .body_bytes = UINT64_C(123456789012),
        .content_type = "application/json",
        .is_closing = true,
        .date_s = 784111777, /* the example of RFC 9110, section 5.6.7 */
        .fields = fields,
        .field_count = 2,
    };
    const char expected[] = "HTTP/1.1 503 Service Unavailable\r\n"
                            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                            "Tributary-Version: 1\r\n"
                            "Content-Type: application/json\r\n"
                            "Content-Length: 123456789012\r\n"
                            "Connection: close\r\n"
                            "ETag: \"ab\"\r\n"
                            "Retry-After: 1\r\n"
                            "\r\n";
    char head[512];
    size_t head_bytes;
    assert_int_equal(trib_http_reply_write(&reply, head, sizeof head, &head_bytes), TRIB_OK);
    assert_int_equal(head_bytes, sizeof expected - 1);
    assert_memory_equal(head, expected, head_bytes);
    /* Every smaller room is too small, and nothing is written behind it. */
    for (size_t room = 0; room < sizeof expected - 1; room++) {
        char *small = malloc(room > 0 ? room : 1);
        assert_int_equal(trib_http_reply_write(&reply, small, room, &head_bytes), TRIB_ELIMIT);
        free(small);
    }
    reply = (struct trib_http_reply){.status = 204, .date_s = -1};
    const char no_content[] = "HTTP/1.1 204 No Content\r\nTributary-Version: 1\r\n\r\n";
    assert_int_equal(trib_http_reply_write(&reply, head, sizeof head, &head_bytes), TRIB_OK);
    assert_int_equal(head_bytes, sizeof no_content - 1);
    assert_memory_equal(head, no_content, head_bytes);
}

/* No text from outside can add a field or a second reply. */
static void replies_cannot_be_split(void **state) {
    (void)state;
    static const struct trib_http_field fields[] = {
        {"X", "a\r\nSet-Cookie: b"},
        {"X", "a\nb"},
        {"X", "a\rb"},
        {"X", "a\x01"},
        {"X", "\x7f"},
        {"", "a"},
        {"X: a\r\nY", "b"},
        {"X Y", "b"},
    };
    char head[512];
    size_t head_bytes;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        struct trib_http_reply reply = {.status = 200, .fields = &fields[i], .field_count = 1};
        assert_int_equal(trib_http_reply_write(&reply, head, sizeof head, &head_bytes),
                         TRIB_EINVALID);
    }
    struct trib_http_reply reply = {.status = 200, .content_type = "a\r\nb: c"};
    assert_int_equal(trib_http_reply_write(&reply, head, sizeof head, &head_bytes), TRIB_EINVALID);
}

static void chunk_heads_are_hexadecimal(void **state) {
    (void)state;
    char head[TRIB_HTTP_CHUNK_HEAD_BYTES];
    assert_int_equal(trib_http_chunk_head_write(head, 500), 5);
    assert_memory_equal(head, "1f4\r\n", 5);
    assert_int_equal(trib_http_chunk_head_write(head, SIZE_MAX), 18);
    assert_memory_equal(head, "ffffffffffffffff\r\n", 18);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_head_is_read),
        cmocka_unit_test(other_good_heads),
        cmocka_unit_test(hostile_heads_are_refused),
        cmocka_unit_test(heads_have_at_most_64_fields),
        cmocka_unit_test(heads_have_at_most_16_kib),
        cmocka_unit_test(scan_finds_the_end_wherever_the_pieces_break),
        cmocka_unit_test(scan_refuses_early),
        cmocka_unit_test(parts_of_a_head_are_no_head),
        cmocka_unit_test(chunks_are_joined_wherever_the_pieces_break),
        cmocka_unit_test(broken_framing_is_refused),
        cmocka_unit_test(framing_is_bounded),
        cmocka_unit_test(reply_head_is_written),
        cmocka_unit_test(replies_cannot_be_split),
        cmocka_unit_test(chunk_heads_are_hexadecimal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
