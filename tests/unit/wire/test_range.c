/* test_range.c - conditions and ranges as RFC 9110 sections 13 and 14 have them. */
#include "wire/range.h"

#include "support/check.h"

#define ETAG "\"abc\""

struct row {
    struct trib_range_request request;
    uint64_t byte_count;
    struct trib_range expected;
};

static void check_rows(const struct row *rows, size_t count) {
    for (size_t index = 0; index < count; index++) {
        struct trib_range range =
            trib_range_evaluate(&rows[index].request, ETAG, rows[index].byte_count);
        if (range.kind != rows[index].expected.kind || range.first != rows[index].expected.first ||
            range.count != rows[index].expected.count)
            fail_msg("row %zu: kind %d, first %llu, count %llu", index, (int)range.kind,
                     (unsigned long long)range.first, (unsigned long long)range.count);
    }
}
#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof *(rows))

#define WHOLE(bytes) \
    { TRIB_RANGE_WHOLE, 0, bytes }
#define PART(first, count) \
    { TRIB_RANGE_PART, first, count }
#define UNSATISFIABLE \
    { TRIB_RANGE_UNSATISFIABLE, 0, 0 }
#define NOT_MODIFIED \
    { TRIB_RANGE_NOT_MODIFIED, 0, 0 }

static void one_range_is_served_in_part(void **state) {
    (void)state;
    static const struct row rows[] = {
        {{.range = "bytes=0-0"}, 100, PART(0, 1)},
        {{.range = "bytes=0-99"}, 100, PART(0, 100)},
        {{.range = "bytes=10-19"}, 100, PART(10, 10)},
        {{.range = "Bytes=10-19"}, 100, PART(10, 10)}, /* units ignore case: section 14.1 */
        {{.range = "bytes=90-"}, 100, PART(90, 10)},
        {{.range = "bytes=90-1000"}, 100, PART(90, 10)},
        {{.range = "bytes=0-99999999999999999999999"}, 100, PART(0, 100)},
        {{.range = "bytes=-5"}, 100, PART(95, 5)},
        {{.range = "bytes=-500"}, 100, PART(0, 100)},
        {{.range = "bytes= 1-2 "}, 100, PART(1, 2)},
        {{.range = "bytes=18446744073709551613-"}, UINT64_MAX, PART(UINT64_MAX - 2, 2)},
    };
    CHECK(rows);
}

static void a_range_past_the_end_is_unsatisfiable(void **state) {
    (void)state;
    static const struct row rows[] = {
        {{.range = "bytes=100-"}, 100, UNSATISFIABLE},
        {{.range = "bytes=100-200"}, 100, UNSATISFIABLE},
        {{.range = "bytes=-0"}, 100, UNSATISFIABLE},
        {{.range = "bytes=0-"}, 0, UNSATISFIABLE},
        {{.range = "bytes=99999999999999999999999-"}, 100, UNSATISFIABLE},
        {{.range = "bytes=-5"}, 0, WHOLE(0)}, /* satisfiable, and Content-Range cannot say it */
    };
    CHECK(rows);
}

static void what_is_not_one_range_of_bytes_is_ignored(void **state) {
    (void)state;
    static const struct row rows[] = {
        {{.range = "bytes=0-1,5-6"}, 100, WHOLE(100)},
        {{.range = "bytes=5-4"}, 100, WHOLE(100)},
        {{.range = "bytes="}, 100, WHOLE(100)},
        {{.range = "bytes=-"}, 100, WHOLE(100)},
        {{.range = "bytes=a-b"}, 100, WHOLE(100)},
        {{.range = "bytes=1"}, 100, WHOLE(100)},
        {{.range = "bytes=1-2x"}, 100, WHOLE(100)},
        {{.range = "bytes=+1-2"}, 100, WHOLE(100)},
        {{.range = "bytes 1-2"}, 100, WHOLE(100)},
        {{.range = "rows=1-2"}, 100, WHOLE(100)},
        {{.range = ""}, 100, WHOLE(100)},
        {{.range = NULL}, 100, WHOLE(100)},
        {{.range = "bytes=0-1", .is_head = true}, 100, WHOLE(100)},
    };
    CHECK(rows);
}

static void if_range_needs_a_strong_match(void **state) {
    (void)state;
    static const struct row rows[] = {
        {{.range = "bytes=0-1", .if_range = ETAG}, 100, PART(0, 2)},
        {{.range = "bytes=0-1", .if_range = "\"other\""}, 100, WHOLE(100)},
        {{.range = "bytes=0-1", .if_range = "W/" ETAG}, 100, WHOLE(100)},
        {{.range = "bytes=0-1", .if_range = "Sat, 29 Oct 1994 19:43:31 GMT"}, 100, WHOLE(100)},
        {{.range = "bytes=0-1", .if_range = "abc"}, 100, WHOLE(100)},
        {{.range = "bytes=0-1", .if_range = ETAG ", \"x\""}, 100, WHOLE(100)},
        {{.range = "bytes=500-", .if_range = "\"other\""}, 100, WHOLE(100)},
        {{.if_range = ETAG}, 100, WHOLE(100)},
    };
    CHECK(rows);
}

/* docs/protocol.md section 3: two requests of one download may see two versions. */
static void a_moving_version_is_ranged_only_by_if_range(void **state) {
    (void)state;
    static const struct row rows[] = {
        {{.is_moving = true, .range = "bytes=0-1"}, 100, WHOLE(100)},
        {{.is_moving = true, .range = "bytes=0-1", .if_range = ETAG}, 100, PART(0, 2)},
        {{.is_moving = true, .range = "bytes=0-1", .if_range = "\"o\""}, 100, WHOLE(100)},
    };
    CHECK(rows);
}

static void if_none_match_comes_first_and_compares_weakly(void **state) {
    (void)state;
    static const struct row rows[] = {
        {{.if_none_match = ETAG}, 100, NOT_MODIFIED},
        {{.if_none_match = "W/" ETAG}, 100, NOT_MODIFIED},
        {{.if_none_match = "*"}, 100, NOT_MODIFIED},
        {{.if_none_match = "\"x\" , " ETAG}, 100, NOT_MODIFIED},
        {{.if_none_match = "\"x\",, " ETAG " ,"}, 100, NOT_MODIFIED},
        {{.if_none_match = ETAG, .is_head = true}, 100, NOT_MODIFIED},
        {{.if_none_match = ETAG, .range = "bytes=0-1"}, 100, NOT_MODIFIED},
        {{.if_none_match = "\"x\"", .range = "bytes=0-1"}, 100, PART(0, 2)},
        {{.if_none_match = "abc"}, 100, WHOLE(100)},
        {{.if_none_match = "\"abc"}, 100, WHOLE(100)},
        {{.if_none_match = "\"a\" " ETAG}, 100, WHOLE(100)},
        {{.if_none_match = ""}, 100, WHOLE(100)},
    };
    CHECK(rows);
}

static void content_range_is_written_as_it_is_read(void **state) {
    (void)state;
    char text[TRIB_RANGE_TEXT_BYTES];
    struct trib_range part = PART(10, 5);
    struct trib_range none = UNSATISFIABLE;
    struct trib_range last = PART(UINT64_MAX - 2, 2);
    assert_string_equal(trib_range_text(&part, 100, text), "bytes 10-14/100");
    assert_string_equal(trib_range_text(&none, 100, text), "bytes */100");
    assert_string_equal(trib_range_text(&last, UINT64_MAX, text),
                        "bytes 18446744073709551613-18446744073709551614/18446744073709551615");
}

static void a_part_says_where_it_belongs(void **state) {
    (void)state;
    struct trib_content_range range = {0};
    assert_true(trib_content_range_read("bytes 10-14/100", &range));
    assert_int_equal(range.first, 10);
    assert_int_equal(range.last, 14);
    assert_int_equal(range.total, 100);
    assert_true(trib_content_range_read("Bytes  0-0/1", &range));
    assert_true(trib_content_range_read(
        "bytes 18446744073709551613-18446744073709551614/18446744073709551615", &range));
    assert_true(range.total == UINT64_MAX);
}

static void what_is_no_part_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "bytes",
        "bytes ",
        "bytes */100",
        "bytes 0-9/*",
        "bytes 0-9",
        "bytes 0-9/",
        "bytes -9/100",
        "bytes 0-/100",
        "bytes 9-0/100",
        "bytes 0-100/100",
        "bytes 0-9/0",
        "bytes 00-9/100",
        "bytes 0 -9/100",
        "bytes 0-9/100 ",
        "bytes 0-9/100, 10-19/100",
        "bytes +0-9/100",
        "bytes 0-18446744073709551615/18446744073709551616",
        "bytes 0-000000000000000000000000000009/100",
        "items 0-9/100",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct trib_content_range range = {.total = 7};
        assert_false(trib_content_range_read(texts[i], &range));
        assert_int_equal(range.total, 7);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_range_is_served_in_part),
        cmocka_unit_test(a_range_past_the_end_is_unsatisfiable),
        cmocka_unit_test(what_is_not_one_range_of_bytes_is_ignored),
        cmocka_unit_test(if_range_needs_a_strong_match),
        cmocka_unit_test(a_moving_version_is_ranged_only_by_if_range),
        cmocka_unit_test(if_none_match_comes_first_and_compares_weakly),
        cmocka_unit_test(content_range_is_written_as_it_is_read),
        cmocka_unit_test(a_part_says_where_it_belongs),
        cmocka_unit_test(what_is_no_part_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
