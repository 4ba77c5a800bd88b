/* test_source.c - the rules of source.h. */
#include "support/check.h"

#include "tensor/bodies.h"
#include "tensor/source.h"

static void memory_is_seen_in_place(void **state) {
    (void)state;
    const char text[] = "abcdefgh";
    struct trib_source source = trib_source_of_memory(text, 8);
    char buffer[8] = "";
    assert_int_equal(source.byte_count, 8);
    assert_ptr_equal(trib_source_bytes(&source, 3, 5, buffer), text + 3);
    assert_int_equal(source.read(source.context, 6, buffer, 2), TRIB_OK);
    assert_memory_equal(buffer, "gh", 2);
}

static void nothing_can_be_seen_anywhere(void **state) {
    (void)state;
    struct trib_source source = trib_source_of_memory(NULL, 0);
    char buffer[1];
    assert_ptr_equal(trib_source_bytes(&source, 0, 0, buffer), buffer);
    assert_int_equal(source.read(source.context, 0, buffer, 0), TRIB_OK);
}

static void only_what_straddles_chunks_is_copied(void **state) {
    (void)state;
    struct body body = body_of("{}", "0123456789", 10);
    struct pieces pieces;
    struct trib_source source = pieces_of(&pieces, &body, 4);
    char buffer[8];
    assert_ptr_equal(trib_source_bytes(&source, 12, 4, buffer), body.bytes + 12);
    assert_int_equal(pieces.read_count, 0);
    assert_ptr_equal(trib_source_bytes(&source, 13, 4, buffer), buffer);
    assert_memory_equal(buffer, "3456", 4);
    assert_int_equal(pieces.read_count, 1);
    body_free(&body);
}

static void what_is_not_in_memory_is_read(void **state) {
    (void)state;
    struct body body = body_of("{}", "0123456789", 10);
    struct pieces pieces;
    struct trib_source source = pieces_of(&pieces, &body, 0);
    char buffer[4];
    assert_ptr_equal(trib_source_bytes(&source, 12, 4, buffer), buffer);
    assert_memory_equal(buffer, "2345", 4);
    source.view = NULL; /* the slot may be empty */
    assert_ptr_equal(trib_source_bytes(&source, 16, 4, buffer), buffer);
    assert_memory_equal(buffer, "6789", 4);
    body_free(&body);
}

static void a_read_that_fails_gives_nothing(void **state) {
    (void)state;
    struct body body = body_of("{}", "0123456789", 10);
    struct pieces pieces;
    struct trib_source source = pieces_of(&pieces, &body, 0);
    pieces.reads_left = 0;
    char buffer[4];
    assert_null(trib_source_bytes(&source, 12, 4, buffer));
    body_free(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_seen_in_place),
        cmocka_unit_test(nothing_can_be_seen_anywhere),
        cmocka_unit_test(only_what_straddles_chunks_is_copied),
        cmocka_unit_test(what_is_not_in_memory_is_read),
        cmocka_unit_test(a_read_that_fails_gives_nothing),
    };
    return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
