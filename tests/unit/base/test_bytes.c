/* test_bytes.c - the byte order is fixed, and a failure lasts. */
#include "base/bytes.h"

#include "support/check.h"

static void test_layout_is_little_endian(void **state) {
    (void)state;
    unsigned char bytes[64];
    struct trib_writer writer;
    trib_writer_init(&writer, bytes, sizeof bytes);
    trib_put_u8(&writer, 0x01);
    trib_put_u16(&writer, 0x0302);
    trib_put_u32(&writer, 0x07060504);
    trib_put_u64(&writer, UINT64_C(0x0f0e0d0c0b0a0908));
    trib_put_f64(&writer, -2.0); /* IEEE 754: c000000000000000 */
    trib_put_text(&writer, "ab");
    trib_put_bytes(&writer, "xyz", 3);
    static const unsigned char expected[] = {1,  2,  3,    4,  5,  6,   7,   8,   9,   10,
                                             11, 12, 13,   14, 15, 0,   0,   0,   0,   0,
                                             0,  0,  0xc0, 2,  0,  'a', 'b', 'x', 'y', 'z'};
    assert_false(writer.is_failed);
    assert_int_equal(writer.byte_count, sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
}

static void test_what_was_put_is_got(void **state) {
    (void)state;
    unsigned char bytes[64];
    struct trib_writer writer;
    trib_writer_init(&writer, bytes + 1, sizeof bytes - 1); /* unaligned on purpose */
    trib_put_u8(&writer, 200);
    trib_put_u16(&writer, 60000);
    trib_put_u32(&writer, 4000000000);
    trib_put_u64(&writer, UINT64_MAX - 1);
    trib_put_f64(&writer, 0.1);
    trib_put_text(&writer, "tide");
    struct trib_reader reader;
    char text[5];
    trib_reader_init(&reader, bytes + 1, writer.byte_count);
    assert_int_equal(trib_get_u8(&reader), 200);
    assert_int_equal(trib_get_u16(&reader), 60000);
    assert_int_equal(trib_get_u32(&reader), 4000000000);
    assert_true(trib_get_u64(&reader) == UINT64_MAX - 1);
    assert_true(trib_get_f64(&reader) == 0.1);
    trib_get_text(&reader, text, sizeof text);
    assert_string_equal(text, "tide");
    assert_false(reader.is_failed);
    assert_int_equal(reader.bytes_left, 0);
}

static void test_reader_stays_failed(void **state) {
    (void)state;
    static const unsigned char bytes[] = {1, 2, 3};
    struct trib_reader reader;
    trib_reader_init(&reader, bytes, sizeof bytes);
    assert_int_equal(trib_get_u32(&reader), 0);
    assert_true(reader.is_failed);
    assert_int_equal(trib_get_u8(&reader), 0); /* would fit */
    assert_null(trib_get_bytes(&reader, 0));
    trib_reader_init(&reader, NULL, 0);
    assert_int_equal(trib_get_u8(&reader), 0);
    assert_true(reader.is_failed);
}

static void test_views_are_borrowed(void **state) {
    (void)state;
    static const unsigned char bytes[] = {1, 2, 3};
    struct trib_reader reader;
    trib_reader_init(&reader, bytes, sizeof bytes);
    assert_ptr_equal(trib_get_bytes(&reader, 2), bytes);
    assert_ptr_equal(trib_get_bytes(&reader, 1), bytes + 2);
    assert_null(trib_get_bytes(&reader, SIZE_MAX));
}

static void test_texts_that_do_not_fit_or_hold_nul_fail(void **state) {
    (void)state;
    char text[4] = "old";
    struct trib_reader reader;
    trib_reader_init(&reader, "\x04\x00tide", 6);
    trib_get_text(&reader, text, sizeof text); /* needs five bytes with the NUL */
    assert_true(reader.is_failed);
    assert_string_equal(text, "");
    trib_reader_init(&reader, "\x03\x00t\0d", 5);
    trib_get_text(&reader, text, sizeof text);
    assert_true(reader.is_failed);
    trib_reader_init(&reader, "\x09\x00tide", 6);
    trib_get_text(&reader, text, sizeof text); /* longer than the input */
    assert_true(reader.is_failed);
    trib_reader_init(&reader, "\0\0", 2);
    trib_get_text(&reader, text, sizeof text);
    assert_false(reader.is_failed);
    assert_string_equal(text, "");
}

static void test_writer_fails_once_and_writes_nothing_more(void **state) {
    (void)state;
    unsigned char bytes[4] = {9, 9, 9, 9};
    struct trib_writer writer;
    trib_writer_init(&writer, bytes, 3);
    trib_put_u16(&writer, 0);
    trib_put_u16(&writer, 0);
    assert_true(writer.is_failed);
    trib_put_u8(&writer, 0); /* would fit */
    assert_int_equal(writer.byte_count, 2);
    assert_int_equal(bytes[2], 9);
    assert_int_equal(bytes[3], 9);
}

static void test_texts_longer_than_their_length_field_fail(void **state) {
    (void)state;
    static char text[UINT16_MAX + 2];
    static unsigned char bytes[UINT16_MAX + 10];
    struct trib_writer writer;
    memset(text, 'x', UINT16_MAX);
    trib_writer_init(&writer, bytes, sizeof bytes);
    trib_put_text(&writer, text);
    assert_false(writer.is_failed);
    text[UINT16_MAX] = 'x';
    trib_writer_init(&writer, bytes, sizeof bytes);
    trib_put_text(&writer, text);
    assert_true(writer.is_failed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout_is_little_endian),
        cmocka_unit_test(test_what_was_put_is_got),
        cmocka_unit_test(test_reader_stays_failed),
        cmocka_unit_test(test_views_are_borrowed),
        cmocka_unit_test(test_texts_that_do_not_fit_or_hold_nul_fail),
        cmocka_unit_test(test_writer_fails_once_and_writes_nothing_more),
        cmocka_unit_test(test_texts_longer_than_their_length_field_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
