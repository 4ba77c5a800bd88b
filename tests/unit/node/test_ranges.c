/* test_ranges.c - whatever the order of parts, the ranges say exactly which bytes are there. */
#include "node/ranges.h"

#include <string.h>

#include "base/random.h"
#include "support/check.h"
#include "support/death.h"

static void test_parts_join_where_they_touch(void **state) {
    (void)state;
    struct trib_ranges ranges = {.count = 0};
    trib_ranges_add(&ranges, 10, 20);
    trib_ranges_add(&ranges, 30, 40);
    trib_ranges_add(&ranges, 0, 5);
    assert_int_equal(ranges.count, 3);
    trib_ranges_add(&ranges, 20, 30);
    assert_int_equal(ranges.count, 2);
    assert_false(trib_ranges_hold(&ranges, 40));
    trib_ranges_add(&ranges, 5, 8);
    trib_ranges_add(&ranges, 9, 10);
    assert_int_equal(ranges.count, 2);
    trib_ranges_add(&ranges, 8, 9);
    assert_true(trib_ranges_hold(&ranges, 40));
    assert_false(trib_ranges_hold(&ranges, 41));
    assert_false(trib_ranges_hold(&ranges, 39));
}

static void test_nothing_changes_nothing_and_overlaps_nothing(void **state) {
    (void)state;
    struct trib_ranges ranges = {.count = 0};
    trib_ranges_add(&ranges, 7, 7);
    assert_int_equal(ranges.count, 0);
    trib_ranges_add(&ranges, 5, 10);
    assert_false(trib_ranges_overlap(&ranges, 7, 7));
    assert_false(trib_ranges_overlap(&ranges, 0, 5));
    assert_false(trib_ranges_overlap(&ranges, 10, UINT64_MAX));
    assert_true(trib_ranges_overlap(&ranges, 0, 6));
    assert_true(trib_ranges_overlap(&ranges, 9, 10));
    assert_true(trib_ranges_overlap(&ranges, 0, UINT64_MAX));
}

#define BODY_BYTES 200

/* Beside a table with one flag per byte. */
static void test_random_parts_are_all_remembered(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct trib_random random;
        trib_random_init(&random, seed);
        struct trib_ranges ranges = {.count = 0};
        bool is_there[BODY_BYTES] = {false};
        for (int part = 0; part < 200; part++) {
            uint64_t first = trib_random_below(&random, BODY_BYTES);
            uint64_t end = first + 1 + trib_random_below(&random, 8);
            end = end < BODY_BYTES ? end : BODY_BYTES;
            bool is_overlap = false;
            for (uint64_t at = first; at < end; at++) {
                is_overlap = is_overlap || is_there[at];
            }
            assert_int_equal(trib_ranges_overlap(&ranges, first, end), is_overlap);
            if (!is_overlap && ranges.count < TRIB_RANGES_MAX) {
                trib_ranges_add(&ranges, first, end);
                memset(is_there + first, true, (size_t)(end - first));
            }
        }
        for (uint64_t at = 0; at < BODY_BYTES; at++) {
            assert_int_equal(trib_ranges_overlap(&ranges, at, at + 1), is_there[at]);
        }
        for (size_t i = 1; i < ranges.count; i++) {
            assert_true(ranges.items[i - 1].end < ranges.items[i].first);
        }
    }
}

static void add_twice(void *context) {
    struct trib_ranges *ranges = context;
    trib_ranges_add(ranges, 0, 2);
    trib_ranges_add(ranges, 1, 3);
}

static void test_a_byte_is_never_there_twice(void **state) {
    (void)state;
    struct trib_ranges ranges = {.count = 0};
    assert_true(trib_test_aborts(add_twice, &ranges));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_join_where_they_touch),
        cmocka_unit_test(test_nothing_changes_nothing_and_overlaps_nothing),
        cmocka_unit_test(test_random_parts_are_all_remembered),
        cmocka_unit_test(test_a_byte_is_never_there_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
