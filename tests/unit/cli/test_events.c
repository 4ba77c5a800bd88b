/* test_events.c - an event stream is read the same however it is cut into pieces. */
#include "cli/events.h"

#include "support/check.h"
#include "support/env_faulty.h"

static const char stream_text[] = "id: 1\nevent: state\ndata: {\"state\":\"running\"}\n\n"
                                  ":\n\n"
                                  ": awake\n"
                                  "event: update\r\ndata:{\"n\":2}\r\n\r\n"
                                  "unknown: x\nevent: none\n\n"
                                  "data: no name\n\n"
                                  "event: cut\ndata: {\"never";

static const char expected[] = "state={\"state\":\"running\"}\nupdate={\"n\":2}\n"
                               "=no name\n";

/* Feed all in pieces of piece_bytes; what came out as lines. */
static void read_in_pieces(size_t piece_bytes, struct trib_text *lines) {
    struct trib_event_stream stream;
    trib_event_stream_init(&stream, trib_env_system());
    size_t total = strlen(stream_text);
    for (size_t at = 0; at < total; at += piece_bytes) {
        size_t count = total - at < piece_bytes ? total - at : piece_bytes;
        size_t done = 0, used;
        while (done < count) {
            if (trib_event_stream_feed(&stream, stream_text + at + done, count - done, &used)) {
                trib_text_format(lines, "%s=%.*s\n", stream.name, (int)stream.data.byte_count,
                                 stream.data.bytes);
            }
            assert_true(used > 0);
            done += used;
        }
    }
    assert_false(trib_event_stream_is_failed(&stream));
    trib_event_stream_deinit(&stream);
}

static void pieces_do_not_matter(void **state) {
    (void)state;
    for (size_t piece = 1; piece <= sizeof stream_text; piece++) {
        struct trib_text lines;
        trib_text_init(&lines, trib_env_system());
        read_in_pieces(piece, &lines);
        assert_string_equal(lines.bytes, expected);
        trib_text_deinit(&lines);
    }
}

static void a_name_that_is_too_long_is_cut(void **state) {
    (void)state;
    struct trib_event_stream stream;
    trib_event_stream_init(&stream, trib_env_system());
    const char text[] = "event: 0123456789012345678901234567890123456789\ndata: x\n\n";
    size_t used;
    assert_true(trib_event_stream_feed(&stream, text, strlen(text), &used));
    assert_int_equal(used, strlen(text));
    assert_int_equal(strlen(stream.name), TRIB_EVENT_NAME_BYTES - 1);
    trib_event_stream_deinit(&stream);
}

static void a_line_without_end_is_given_up(void **state) {
    (void)state;
    struct trib_event_stream stream;
    char piece[4096];
    size_t used, total = 0;
    memset(piece, 'x', sizeof piece);
    trib_event_stream_init(&stream, trib_env_system());
    while (!trib_event_stream_is_failed(&stream)) {
        assert_false(trib_event_stream_feed(&stream, piece, sizeof piece, &used));
        total += used;
        assert_true(total <= TRIB_EVENT_LINE_BYTES_MAX + sizeof piece);
    }
    trib_event_stream_deinit(&stream);
}

static void memory_may_run_out(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_event_stream stream;
        size_t used;
        trib_env_faulty_fail(&faulty, ++nth);
        trib_event_stream_init(&stream, &faulty.env);
        bool is_event = trib_event_stream_feed(&stream, stream_text, strlen(stream_text), &used);
        assert_int_equal(is_event, !faulty.has_failed);
        assert_int_equal(trib_event_stream_is_failed(&stream), faulty.has_failed);
        trib_event_stream_deinit(&stream);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 2);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_do_not_matter),
        cmocka_unit_test(a_name_that_is_too_long_is_cut),
        cmocka_unit_test(a_line_without_end_is_given_up),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
