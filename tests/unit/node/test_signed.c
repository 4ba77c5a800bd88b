/* test_signed.c - a line that the daemon has signed says what it was made for, and nothing else. */
#include "node/signed.h"

#include "base/files_memory.h"
#include "support/check.h"

#include <stdio.h>

static struct trib_signature_key *new_key(void) {
    struct trib_signature_key *key;
    assert_int_equal(trib_signature_key_make(trib_env_system(), &key), TRIB_OK);
    return key;
}

static struct trib_signed_receipt a_receipt(void) {
    struct trib_signed_receipt receipt = {.run = "chest-xray",
                                          .client = "dev-1",
                                          .update = "dev-1.12.0",
                                          .base = 12,
                                          .weight = 600,
                                          .version = 13,
                                          .time = 1700000000};
    memset(receipt.digest.bytes, 0xab, sizeof receipt.digest.bytes);
    return receipt;
}

static void receipts_and_heads_come_back(void **state) {
    (void)state;
    struct trib_signature_key *key = new_key();
    char text[TRIB_SIGNED_TEXT_BYTES];
    struct trib_signed_receipt receipt = a_receipt(), read;
    trib_signed_receipt_write(key, &receipt, text);
    assert_memory_equal(text, "tributary-receipt-1~chest-xray~dev-1~dev-1.12.0~abab", 52);
    assert_int_equal(trib_signed_receipt_read(key, text, &read), TRIB_OK);
    assert_memory_equal(&read, &receipt, sizeof read);
    strcat(text, "\r\n");
    assert_int_equal(trib_signed_receipt_read(key, text, &read), TRIB_OK);
    struct trib_signed_head head = {.run = "r", .index = 7, .time = 9}, head_read;
    trib_signed_head_write(key, &head, text);
    assert_int_equal(trib_signed_head_read(key, text, &head_read), TRIB_OK);
    assert_memory_equal(&head_read, &head, sizeof head);
    trib_signature_key_free(key);
}

static void the_longest_line_fits(void **state) {
    (void)state;
    struct trib_signature_key *key = new_key();
    char text[TRIB_SIGNED_TEXT_BYTES];
    struct trib_signed_receipt receipt = {.base = UINT64_MAX,
                                          .weight = UINT64_MAX,
                                          .version = UINT64_MAX,
                                          .time = UINT64_MAX},
                               read;
    memset(receipt.run, 'r', TRIB_NAME_BYTES - 1);
    memset(receipt.client, 'c', TRIB_NAME_BYTES - 1);
    memset(receipt.update, 'u', TRIB_NAME_BYTES - 1);
    trib_signed_receipt_write(key, &receipt, text);
    assert_int_equal(trib_signed_receipt_read(key, text, &read), TRIB_OK);
    assert_memory_equal(&read, &receipt, sizeof read);
    trib_signature_key_free(key);
}

static void every_flipped_bit_is_noticed(void **state) {
    (void)state;
    struct trib_signature_key *key = new_key(), *other = new_key();
    char text[TRIB_SIGNED_TEXT_BYTES];
    struct trib_signed_receipt receipt = a_receipt(), read;
    trib_signed_receipt_write(key, &receipt, text);
    assert_int_equal(trib_signed_receipt_read(other, text, &read), TRIB_EUNAUTHORIZED);
    for (size_t i = 0; i < strlen(text); i++) {
        for (int bit = 0; bit < 8; bit++) {
            text[i] ^= (char)(1 << bit);
            assert_int_not_equal(trib_signed_receipt_read(key, text, &read), TRIB_OK);
            text[i] ^= (char)(1 << bit);
        }
    }
    for (size_t bytes = strlen(text); bytes-- > 0;) {
        text[bytes] = '\0';
        assert_int_not_equal(trib_signed_receipt_read(key, text, &read), TRIB_OK);
    }
    trib_signature_key_free(key);
    trib_signature_key_free(other);
}

/* What was signed for one purpose must not serve another. */
static void signed_lines_of_another_kind_are_refused(void **state) {
    (void)state;
    static const char *const lines[] = {
        "",
        "tributary-head-1~r~0",
        "tributary-head-2~r~0~%s~0",
        "tributary-head-1~r~0~%s~0~0",
        "tributary-head-1~r~00~%s~0",
        "tributary-head-1~r~-1~%s~0",
        "tributary-head-1~.r~0~%s~0",
        "tributary-head-1~r~0~%sa~0",
        "tributary-receipt-1~r~c~u~%s~0~0~0~0",
    };
    struct trib_signature_key *key = new_key();
    char digest[TRIB_DIGEST_HEX_BYTES];
    memset(digest, 'a', sizeof digest - 1);
    digest[sizeof digest - 1] = '\0';
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[TRIB_SIGNED_TEXT_BYTES], hex[TRIB_SIGNATURE_HEX_BYTES];
        struct trib_signature signature;
        struct trib_signed_head head;
        const char *hole = strstr(lines[i], "%s");
        (void)snprintf(text, sizeof text, "%.*s%s%s",
                       (int)(hole == NULL ? strlen(lines[i]) : (size_t)(hole - lines[i])), lines[i],
                       hole == NULL ? "" : digest, hole == NULL ? "" : hole + 2);
        trib_signature_make(key, text, strlen(text), &signature);
        trib_signature_to_hex(&signature, hex);
        strcat(strcat(text, "~"), hex);
        assert_int_equal(trib_signed_head_read(key, text, &head), TRIB_EMALFORMED);
        (void)snprintf(text + strlen(text), 3, "\nx");
        assert_int_equal(trib_signed_head_read(key, text, &head), TRIB_EMALFORMED);
    }
    trib_signature_key_free(key);
}

static void the_key_is_made_once_and_kept(void **state) {
    (void)state;
    struct trib_files_memory memory;
    trib_files_memory_init(&memory);
    const struct trib_files *files = &memory.files;
    const struct trib_env *env = trib_env_system();
    struct trib_signature_key *first, *second, *public_key;
    struct trib_error error = {0};
    char text[TRIB_SIGNED_TEXT_BYTES], *pem;
    size_t pem_bytes;
    assert_int_equal(trib_signed_key_open(env, files, &first, &error), TRIB_OK);
    assert_int_equal(files->remove(files->context, TRIB_SIGNED_PUBLIC_FILE), TRIB_OK);
    assert_int_equal(trib_signed_key_open(env, files, &second, &error), TRIB_OK);
    assert_int_equal(
        trib_files_read_all(env, files, TRIB_SIGNED_PUBLIC_FILE, 4096, &pem, &pem_bytes), TRIB_OK);
    assert_int_equal(trib_signature_key_read(pem, pem_bytes, &public_key), TRIB_OK);
    trib_release(env, pem, pem_bytes + 1, 1);
    struct trib_signed_receipt receipt = a_receipt(), read;
    trib_signed_receipt_write(first, &receipt, text);
    assert_int_equal(trib_signed_receipt_read(second, text, &read), TRIB_OK);
    assert_int_equal(trib_signed_receipt_read(public_key, text, &read), TRIB_OK);
    trib_signature_key_free(first);
    trib_signature_key_free(second);
    trib_signature_key_free(public_key);
    assert_int_equal(trib_files_publish(files, TRIB_SIGNED_KEY_FILE, "rubbish", 7), TRIB_OK);
    assert_int_equal(trib_signed_key_open(env, files, &first, &error), TRIB_ECORRUPT);
    assert_null(first);
    assert_non_null(strstr(error.text, "ledger.key: not an Ed25519 key"));
    trib_files_memory_deinit(&memory);
}

/* Whatever fails, and wherever power is lost: a key that was used once is there for good. */
static void a_key_survives_every_failure(void **state) {
    (void)state;
    struct trib_files_memory memory;
    const struct trib_env *env = trib_env_system();
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct trib_signature_key *first, *second;
        struct trib_signed_receipt receipt = a_receipt(), read;
        char text[TRIB_SIGNED_TEXT_BYTES];
        trib_files_memory_init(&memory);
        trib_files_memory_stop(&memory, nth);
        enum trib_status status = trib_signed_key_open(env, &memory.files, &first, NULL);
        has_failed = memory.has_failed;
        assert_int_equal(status == TRIB_OK, !has_failed);
        assert_int_equal(first != NULL, !has_failed);
        trib_files_memory_crash(&memory);
        assert_int_equal(trib_signed_key_open(env, &memory.files, &second, NULL), TRIB_OK);
        if (first != NULL) {
            trib_signed_receipt_write(first, &receipt, text);
            assert_int_equal(trib_signed_receipt_read(second, text, &read), TRIB_OK);
        }
        trib_signature_key_free(first);
        trib_signature_key_free(second);
        trib_files_memory_deinit(&memory);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receipts_and_heads_come_back),
        cmocka_unit_test(the_longest_line_fits),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(signed_lines_of_another_kind_are_refused),
        cmocka_unit_test(the_key_is_made_once_and_kept),
        cmocka_unit_test(a_key_survives_every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
