/* test_signature.c - Ed25519 as RFC 8032 has it, and keys that come back from their files. */
#include "base/signature.h"

#include "support/check.h"

/* RFC 8032 section 7.1, tests 1 and 3. */
static const struct {
    unsigned char seed[32];
    const char *message;
    const char *signature;
} vectors[] = {
    {{0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a,
      0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32,
      0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60},
     "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
     "d25bf5f0595bbe24655141438e7a100b"},
    {{0xc5, 0xaa, 0x8d, 0xf4, 0x3f, 0x9f, 0x83, 0x7b, 0xed, 0xb7, 0x44,
      0x2f, 0x31, 0xdc, 0xb7, 0xb1, 0x66, 0xd3, 0x85, 0x35, 0x07, 0x6f,
      0x09, 0x4b, 0x85, 0xce, 0x3a, 0x2e, 0x0b, 0x44, 0x58, 0xf7},
     "\xaf\x82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
     "4a7c15e9716ed28dc027beceea1ec40a"},
};

static const unsigned char *seed_next;

static void give_seed(void *context, void *bytes, size_t count) {
    (void)context;
    assert_int_equal(count, 32);
    memcpy(bytes, seed_next, count);
}

static struct trib_signature_key *key_of(size_t vector) {
    struct trib_env env = *trib_env_system();
    struct trib_signature_key *key;
    env.entropy = give_seed;
    seed_next = vectors[vector].seed;
    assert_int_equal(trib_signature_key_make(&env, &key), TRIB_OK);
    return key;
}

static void signatures_are_those_of_the_standard(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct trib_signature_key *key = key_of(i);
        struct trib_signature signature, read;
        char hex[TRIB_SIGNATURE_HEX_BYTES];
        size_t count = strlen(vectors[i].message);
        trib_signature_make(key, vectors[i].message, count, &signature);
        trib_signature_to_hex(&signature, hex);
        assert_string_equal(hex, vectors[i].signature);
        assert_true(trib_signature_from_hex(hex, &read));
        assert_true(trib_signature_is_good(key, vectors[i].message, count, &read));
        trib_signature_key_free(key);
    }
}

static void a_changed_bit_or_another_key_is_noticed(void **state) {
    (void)state;
    struct trib_signature_key *key = key_of(0), *other = key_of(1);
    struct trib_signature signature;
    char text[] = "tributary";
    trib_signature_make(key, text, sizeof text, &signature);
    assert_false(trib_signature_is_good(other, text, sizeof text, &signature));
    assert_false(trib_signature_is_good(key, text, sizeof text - 1, &signature));
    for (size_t bit = 0; bit < 8 * sizeof text; bit++) {
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
        assert_false(trib_signature_is_good(key, text, sizeof text, &signature));
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
    }
    for (size_t bit = 0; bit < 8 * sizeof signature.bytes; bit++) {
        signature.bytes[bit / 8] = (unsigned char)(signature.bytes[bit / 8] ^ (1u << bit % 8));
        assert_false(trib_signature_is_good(key, text, sizeof text, &signature));
        signature.bytes[bit / 8] = (unsigned char)(signature.bytes[bit / 8] ^ (1u << bit % 8));
    }
    assert_true(trib_signature_is_good(key, text, sizeof text, &signature));
    trib_signature_key_free(key);
    trib_signature_key_free(other);
}

static void keys_come_back_from_their_files(void **state) {
    (void)state;
    struct trib_signature_key *key = key_of(0), *private_key, *public_key;
    struct trib_text text;
    struct trib_signature first, second;
    trib_text_init(&text, trib_env_system());
    trib_signature_key_write_private(key, &text);
    assert_false(text.is_failed);
    assert_non_null(strstr(text.bytes, "-----BEGIN PRIVATE KEY-----"));
    assert_int_equal(trib_signature_key_read(text.bytes, text.byte_count, &private_key), TRIB_OK);
    trib_text_deinit(&text);
    trib_text_init(&text, trib_env_system());
    trib_signature_key_write_public(key, &text);
    assert_non_null(strstr(text.bytes, "-----BEGIN PUBLIC KEY-----"));
    assert_int_equal(trib_signature_key_read(text.bytes, text.byte_count, &public_key), TRIB_OK);
    trib_text_deinit(&text);
    trib_signature_make(key, "x", 1, &first);
    trib_signature_make(private_key, "x", 1, &second);
    assert_memory_equal(&first, &second, sizeof first);
    assert_true(trib_signature_is_good(public_key, "x", 1, &first));
    trib_signature_key_free(key);
    trib_signature_key_free(private_key);
    trib_signature_key_free(public_key);
}

static void what_is_no_key_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "rubbish",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        /* X25519: of the same family, but not for signing */
        "-----BEGIN PUBLIC KEY-----\n"
        "MCowBQYDK2VuAyEA3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=\n"
        "-----END PUBLIC KEY-----\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct trib_signature_key *key = (struct trib_signature_key *)texts;
        assert_int_equal(trib_signature_key_read(texts[i], strlen(texts[i]), &key),
                         TRIB_EMALFORMED);
        assert_null(key);
    }
}

static void hex_is_128_small_digits(void **state) {
    (void)state;
    struct trib_signature signature;
    char hex[TRIB_SIGNATURE_HEX_BYTES + 1];
    memset(hex, 'a', sizeof hex);
    hex[128] = '\0';
    assert_true(trib_signature_from_hex(hex, &signature));
    assert_int_equal(signature.bytes[63], 0xaa);
    hex[127] = 'A';
    assert_false(trib_signature_from_hex(hex, &signature));
    hex[127] = '\0';
    assert_false(trib_signature_from_hex(hex, &signature));
    memset(hex, 'a', sizeof hex);
    hex[129] = '\0';
    assert_false(trib_signature_from_hex(hex, &signature));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_those_of_the_standard),
        cmocka_unit_test(a_changed_bit_or_another_key_is_noticed),
        cmocka_unit_test(keys_come_back_from_their_files),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(hex_is_128_small_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
