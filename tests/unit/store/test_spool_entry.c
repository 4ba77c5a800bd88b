/* test_spool_entry.c - an entry survives the way to bytes and back; rubbish does not pass. */
#include "store/spool_entry.h"

#include <stdlib.h>

#include "store/journal.h"
#include "support/check.h"

static struct trib_spool_entry make_entry(void) {
    struct trib_spool_entry entry = {
        .kind = TRIB_SPOOL_UPDATE,
        .client = "dev-3",
        .update = "dev-3.12.0",
        .base = 12,
        .target = 14,
        .staleness = 1,
        .weight = 600,
        .examples = 601,
        .codec = "dense",
        .metrics = "{\"loss\":0.5}",
        .wall_s = 1700000000.25,
        .place = {.body_bytes = 5},
    };
    memset(entry.digest.bytes, 0xd1, sizeof entry.digest.bytes);
    return entry;
}

static void check_same(const struct trib_spool_entry *a, const struct trib_spool_entry *b) {
    assert_string_equal(a->client, b->client);
    assert_string_equal(a->update, b->update);
    assert_int_equal(a->base, b->base);
    assert_int_equal(a->target, b->target);
    assert_int_equal(a->staleness, b->staleness);
    assert_int_equal(a->weight, b->weight);
    assert_int_equal(a->examples, b->examples);
    assert_true(trib_digest_equal(&a->digest, &b->digest));
    assert_string_equal(a->codec, b->codec);
    assert_string_equal(a->metrics, b->metrics);
    assert_string_equal(a->reason, b->reason);
    assert_true(a->wall_s == b->wall_s);
    assert_int_equal(a->place.body_bytes, b->place.body_bytes);
    assert_int_equal(a->place.body_number, b->place.body_number);
}

static void test_all_fields_come_back(void **state) {
    (void)state;
    struct trib_spool_entry entry = make_entry();
    struct trib_spool_entry found = {.kind = entry.kind};
    unsigned char bytes[TRIB_SPOOL_ENTRY_BYTES_MAX + 5] = {0};
    assert_true(trib_spool_entry_is_valid(&entry));
    size_t byte_count = trib_spool_entry_encode(&entry, bytes);
    assert_true(trib_spool_entry_decode(bytes, byte_count + 5, 1000, &found));
    assert_int_equal(found.place.body_offset, 1000 + TRIB_JOURNAL_HEAD_BYTES + byte_count);
    check_same(&found, &entry);

    entry.place.body_number = 7; /* in a file of its own: nothing follows */
    byte_count = trib_spool_entry_encode(&entry, bytes);
    assert_true(trib_spool_entry_decode(bytes, byte_count, 1000, &found));
    check_same(&found, &entry);
    assert_int_equal(found.place.body_offset, 0);
    assert_false(trib_spool_entry_decode(bytes, byte_count + 5, 1000, &found));
}

static void test_the_longest_texts_fit(void **state) {
    (void)state;
    struct trib_spool_entry entry = make_entry();
    struct trib_spool_entry found = {.kind = entry.kind};
    unsigned char bytes[TRIB_SPOOL_ENTRY_BYTES_MAX];
    memset(entry.client, 'c', sizeof entry.client - 1);
    memset(entry.update, 'u', sizeof entry.update - 1);
    memset(entry.codec, 'k', sizeof entry.codec - 1);
    memset(entry.metrics, 'm', sizeof entry.metrics - 1);
    memset(entry.reason, 'r', sizeof entry.reason - 1);
    entry.place.body_bytes = 0;
    assert_true(trib_spool_entry_is_valid(&entry));
    size_t byte_count = trib_spool_entry_encode(&entry, bytes);
    assert_true(trib_spool_entry_decode(bytes, byte_count, 0, &found));
    assert_string_equal(found.metrics, entry.metrics);
    assert_string_equal(found.reason, entry.reason);
}

static void test_every_bad_field_is_refused(void **state) {
    (void)state;
    struct trib_spool_entry entry = make_entry();
    entry.client[0] = '\0';
    assert_false(trib_spool_entry_is_valid(&entry));
    entry = make_entry();
    strcpy(entry.update, "../x");
    assert_false(trib_spool_entry_is_valid(&entry));
    entry = make_entry();
    entry.kind = (enum trib_spool_kind)4;
    assert_false(trib_spool_entry_is_valid(&entry));
    entry = make_entry();
    memset(entry.metrics, 'm', sizeof entry.metrics); /* does not end */
    assert_false(trib_spool_entry_is_valid(&entry));
    entry = make_entry();
    memset(entry.reason, 'r', sizeof entry.reason);
    assert_false(trib_spool_entry_is_valid(&entry));
}

static void test_cut_payloads_are_refused(void **state) {
    (void)state;
    struct trib_spool_entry entry = make_entry();
    struct trib_spool_entry found;
    unsigned char bytes[TRIB_SPOOL_ENTRY_BYTES_MAX + 5] = {0};
    size_t byte_count = trib_spool_entry_encode(&entry, bytes) + 5;
    for (size_t count = 0; count < byte_count; count++) {
        unsigned char *exact = malloc(count + 1); /* a sanitizer sees a byte too many */
        assert_non_null(exact);
        memcpy(exact, bytes, count);
        assert_false(trib_spool_entry_decode(exact, count, 0, &found));
        free(exact);
    }
    assert_true(trib_spool_entry_decode(bytes, byte_count, 0, &found));
}

/* A later version may put fields behind ours. */
static void test_unknown_fields_at_the_end_are_skipped(void **state) {
    (void)state;
    struct trib_spool_entry entry = make_entry();
    struct trib_spool_entry found;
    unsigned char bytes[TRIB_SPOOL_ENTRY_BYTES_MAX + 16] = {0};
    size_t byte_count = trib_spool_entry_encode(&entry, bytes);
    bytes[0] = (unsigned char)(bytes[0] + 9); /* of a length below 247 */
    assert_true(byte_count - 4 < 247);
    assert_true(trib_spool_entry_decode(bytes, byte_count + 9 + 5, 0, &found));
    assert_int_equal(found.place.body_offset, TRIB_JOURNAL_HEAD_BYTES + byte_count + 9);
    assert_string_equal(found.metrics, entry.metrics);
}

/* A number that no file can be called by. */
static void test_impossible_body_number_is_refused(void **state) {
    (void)state;
    struct trib_spool_entry entry = make_entry();
    struct trib_spool_entry found;
    unsigned char bytes[TRIB_SPOOL_ENTRY_BYTES_MAX];
    entry.place.body_number = UINT64_MAX;
    size_t byte_count = trib_spool_entry_encode(&entry, bytes);
    assert_false(trib_spool_entry_decode(bytes, byte_count, 0, &found));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_fields_come_back),
        cmocka_unit_test(test_the_longest_texts_fit),
        cmocka_unit_test(test_every_bad_field_is_refused),
        cmocka_unit_test(test_cut_payloads_are_refused),
        cmocka_unit_test(test_unknown_fields_at_the_end_are_skipped),
        cmocka_unit_test(test_impossible_body_number_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
