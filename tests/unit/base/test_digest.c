/* test_digest.c - published vectors: FIPS 180-4, RFC 4231, the CRC catalogue's check value. */
#include "base/digest.h"

#include "support/check.h"

static void assert_digest(const struct trib_digest *digest, const char *hex) {
    char text[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(digest, text);
    assert_string_equal(text, hex);
}

static void test_sha256_of_published_inputs(void **state) {
    (void)state;
    struct trib_digest digest;
    trib_digest_of(NULL, 0, &digest);
    assert_digest(&digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    trib_digest_of("abc", 3, &digest);
    assert_digest(&digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const char *two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    trib_digest_of(two_blocks, strlen(two_blocks), &digest);
    assert_digest(&digest, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void fingerprint(const char *secret, const char *use, const void *bytes, size_t count,
                        size_t piece_bytes, struct trib_digest *digest) {
    struct trib_fingerprint_key key;
    struct trib_digester digester;
    trib_fingerprint_key_init(&key, secret, strlen(secret), use);
    assert_true(trib_digester_begin_fingerprint(&digester, &key));
    for (size_t at = 0; at < count; at += piece_bytes) {
        size_t left = count - at;
        trib_digester_add(&digester, (const char *)bytes + at,
                          left < piece_bytes ? left : piece_bytes);
    }
    trib_digester_finish(&digester, digest);
    assert_null(digester.state);
}

static void test_a_fingerprint_is_of_every_byte_the_length_and_the_key(void **state) {
    (void)state;
    unsigned char bytes[100] = {0};
    struct trib_digest first, other;
    fingerprint("secret", "use", bytes, sizeof bytes, 100, &first);
    fingerprint("secret", "use", bytes, sizeof bytes, 7, &other);
    assert_true(trib_digest_equal(&first, &other));
    for (size_t index = 0; index < sizeof bytes; index++) {
        bytes[index] = 1;
        fingerprint("secret", "use", bytes, sizeof bytes, 100, &other);
        assert_false(trib_digest_equal(&first, &other));
        bytes[index] = 0;
    }
    fingerprint("secret", "use", bytes, sizeof bytes - 1, 100, &other);
    assert_false(trib_digest_equal(&first, &other));
    fingerprint("Secret", "use", bytes, sizeof bytes, 100, &other);
    assert_false(trib_digest_equal(&first, &other));
    fingerprint("secret", "another use", bytes, sizeof bytes, 100, &other);
    assert_false(trib_digest_equal(&first, &other));
}

/* Recomputed from Poly1305 and HMAC by another program: ledgers have these, and must go on to. */
static void test_a_fingerprint_never_changes_its_way(void **state) {
    (void)state;
    struct trib_digest digest;
    fingerprint("secret", "use", "a body", 6, 6, &digest);
    assert_digest(&digest, "2a0abd5de6f83d50c8c3a60717196933a4a02b772b68f6d94fecb6041385e9ef");
}

static void test_pieces_give_the_digest_of_the_whole(void **state) {
    (void)state;
    unsigned char bytes[1000];
    for (size_t index = 0; index < sizeof bytes; index++)
        bytes[index] = (unsigned char)(index * 31);
    struct trib_digest whole, pieces;
    trib_digest_of(bytes, sizeof bytes, &whole);
    struct trib_digester digester;
    assert_true(trib_digester_begin(&digester));
    size_t offset = 0;
    for (size_t count = 0; offset + count < sizeof bytes; offset += count, count += 7)
        trib_digester_add(&digester, bytes + offset, count);
    trib_digester_add(&digester, bytes + offset, sizeof bytes - offset);
    trib_digester_finish(&digester, &pieces);
    assert_null(digester.state);
    assert_true(trib_digest_equal(&whole, &pieces));
}

static void test_abandon_is_safe_at_any_time(void **state) {
    (void)state;
    struct trib_digester digester = {0};
    trib_digester_abandon(&digester);
    assert_true(trib_digester_begin(&digester));
    trib_digester_add(&digester, "x", 1);
    trib_digester_abandon(&digester);
    trib_digester_abandon(&digester);
}

static void test_every_byte_counts_in_equality(void **state) {
    (void)state;
    struct trib_digest a, b;
    trib_digest_of("abc", 3, &a);
    for (size_t index = 0; index < TRIB_DIGEST_BYTES; index++) {
        b = a;
        assert_true(trib_digest_equal(&a, &b));
        b.bytes[index] ^= 0x80;
        assert_false(trib_digest_equal(&a, &b));
        assert_false(trib_equal_constant_time(a.bytes, b.bytes, TRIB_DIGEST_BYTES));
    }
    assert_true(trib_equal_constant_time("", "", 0));
}

static void test_hex_is_exactly_64_digits(void **state) {
    (void)state;
    struct trib_digest digest, read = {{0}};
    char hex[TRIB_DIGEST_HEX_BYTES + 1] = {0};
    trib_digest_of("abc", 3, &digest);
    trib_digest_to_hex(&digest, hex);
    assert_true(trib_digest_from_hex(hex, &read));
    assert_true(trib_digest_equal(&digest, &read));
    hex[64] = '0'; /* 65 digits */
    assert_false(trib_digest_from_hex(hex, &read));
    hex[63] = '\0'; /* 63 */
    assert_false(trib_digest_from_hex(hex, &read));
    hex[0] = '\0';
    assert_false(trib_digest_from_hex(hex, &read));
    trib_digest_to_hex(&digest, hex);
    hex[10] = 'g';
    assert_false(trib_digest_from_hex(hex, &read));
    assert_true(trib_digest_equal(&digest, &read)); /* untouched by the refusals */
}

static void test_hmac_of_rfc_4231(void **state) {
    (void)state;
    struct trib_digest mac;
    const char *question = "what do ya want for nothing?";
    trib_hmac("Jefe", 4, question, strlen(question), &mac); /* test case 2 */
    assert_digest(&mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    unsigned char key[131];
    memset(key, 0xaa, sizeof key);
    const char *first = "Test Using Larger Than Block-Size Key - Hash Key First";
    trib_hmac(key, sizeof key, first, strlen(first), &mac); /* test case 6 */
    assert_digest(&mac, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_hmac_without_key_or_bytes_is_not_the_last_one(void **state) {
    (void)state;
    struct trib_digest mac;
    trib_hmac("Jefe", 4, "x", 1, &mac);
    trib_hmac(NULL, 0, NULL, 0, &mac);
    assert_digest(&mac, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_crc_continues_where_it_stopped(void **state) {
    (void)state;
    assert_int_equal(trib_crc32(0, "123456789", 9), 0xcbf43926);
    uint32_t crc = trib_crc32(0, "1234", 4);
    crc = trib_crc32(crc, NULL, 0);
    assert_int_equal(trib_crc32(crc, "56789", 5), 0xcbf43926);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_of_published_inputs),
        cmocka_unit_test(test_a_fingerprint_is_of_every_byte_the_length_and_the_key),
        cmocka_unit_test(test_a_fingerprint_never_changes_its_way),
        cmocka_unit_test(test_pieces_give_the_digest_of_the_whole),
        cmocka_unit_test(test_abandon_is_safe_at_any_time),
        cmocka_unit_test(test_every_byte_counts_in_equality),
        cmocka_unit_test(test_hex_is_exactly_64_digits),
        cmocka_unit_test(test_hmac_of_rfc_4231),
        cmocka_unit_test(test_hmac_without_key_or_bytes_is_not_the_last_one),
        cmocka_unit_test(test_crc_continues_where_it_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
