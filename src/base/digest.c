/* digest.c - SHA-256, HMAC and Poly1305 from OpenSSL's libcrypto (SHA-NI where there is one), CRC
 * from zlib.
 *
 * libcrypto can only fail here when memory is out. Where the caller cannot be told, that is an
 * assertion: a wrong digest must never leave this file. */
#include "base/digest.h"

#include <limits.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <zlib.h>

#include "base/status.h"

#define HASH_KEY_BYTES 32
#define HASH_BYTES 16

bool trib_digester_begin(struct trib_digester *digester) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(context);
        context = NULL;
    }
    *digester = (struct trib_digester){.state = context};
    return context != NULL;
}

bool trib_digester_begin_fingerprint(struct trib_digester *digester,
                                     const struct trib_fingerprint_key *key) {
    EVP_MAC *hash = EVP_MAC_fetch(NULL, "POLY1305", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(hash);
    EVP_MAC_free(hash); /* the context has a reference */
    if (context && EVP_MAC_init(context, key->bytes, HASH_KEY_BYTES, NULL) != 1) {
        EVP_MAC_CTX_free(context);
        context = NULL;
    }
    *digester = (struct trib_digester){.state = context, .key = key};
    return context != NULL;
}

void trib_digester_add(struct trib_digester *digester, const void *bytes, size_t count) {
    TRIB_ASSERT(digester->state != NULL);
    digester->byte_count += count;
    if (digester->key != NULL)
        TRIB_ASSERT(EVP_MAC_update(digester->state, bytes, count) == 1);
    else
        TRIB_ASSERT(EVP_DigestUpdate(digester->state, bytes, count) == 1);
}

/* The hash alone would tell of its key, which serves for every text. */
static void finish_fingerprint(struct trib_digester *digester, struct trib_digest *digest) {
    unsigned char text[HASH_BYTES + sizeof(uint64_t)];
    size_t hash_bytes = 0;
    TRIB_ASSERT(EVP_MAC_final(digester->state, text, &hash_bytes, HASH_BYTES) == 1);
    TRIB_ASSERT(hash_bytes == HASH_BYTES);
    for (size_t index = 0; index < sizeof(uint64_t); index++)
        text[HASH_BYTES + index] = (unsigned char)(digester->byte_count >> 8 * index);
    trib_hmac(digester->key->bytes + HASH_KEY_BYTES, sizeof digester->key->bytes - HASH_KEY_BYTES,
              text, sizeof text, digest);
}

void trib_digester_finish(struct trib_digester *digester, struct trib_digest *digest) {
    TRIB_ASSERT(digester->state != NULL);
    if (digester->key != NULL)
        finish_fingerprint(digester, digest);
    else
        TRIB_ASSERT(EVP_DigestFinal_ex(digester->state, digest->bytes, NULL) == 1);
    trib_digester_abandon(digester);
}

void trib_digester_abandon(struct trib_digester *digester) {
    if (digester->key != NULL)
        EVP_MAC_CTX_free(digester->state);
    else
        EVP_MD_CTX_free(digester->state);
    digester->state = NULL;
}

void trib_fingerprint_key_init(struct trib_fingerprint_key *key, const void *secret,
                               size_t secret_bytes, const char *use) {
    struct trib_digest first, second;
    trib_hmac(secret, secret_bytes, use, strlen(use), &first);
    trib_hmac(&first, sizeof first, use, strlen(use), &second);
    memcpy(key->bytes, first.bytes, HASH_KEY_BYTES);
    memcpy(key->bytes + HASH_KEY_BYTES, second.bytes, sizeof second.bytes);
}

void trib_digest_of(const void *bytes, size_t count, struct trib_digest *digest) {
    TRIB_ASSERT(SHA256(bytes, count, digest->bytes) != NULL);
}

bool trib_digest_equal(const struct trib_digest *a, const struct trib_digest *b) {
    return trib_equal_constant_time(a->bytes, b->bytes, TRIB_DIGEST_BYTES);
}

void trib_digest_to_hex(const struct trib_digest *digest, char hex[TRIB_DIGEST_HEX_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t index = 0; index < TRIB_DIGEST_BYTES; index++) {
        hex[2 * index] = digits[digest->bytes[index] >> 4];
        hex[2 * index + 1] = digits[digest->bytes[index] & 15];
    }
    hex[2 * TRIB_DIGEST_BYTES] = '\0';
}

static int digit_value(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

bool trib_digest_from_hex(const char *hex, struct trib_digest *digest) {
    struct trib_digest read;
    for (size_t index = 0; index < TRIB_DIGEST_BYTES; index++) {
        int high = digit_value(hex[2 * index]);
        int low = high < 0 ? -1 : digit_value(hex[2 * index + 1]);
        if (low < 0)
            return false;
        read.bytes[index] = (unsigned char)(high << 4 | low);
    }
    if (hex[2 * TRIB_DIGEST_BYTES] != '\0')
        return false;
    *digest = read;
    return true;
}

void trib_hmac(const void *key, size_t key_bytes, const void *bytes, size_t count,
               struct trib_digest *mac) {
    TRIB_ASSERT(key_bytes <= INT_MAX);
    /* A NULL key would mean "the key of the last call" to libcrypto. */
    TRIB_ASSERT(HMAC(EVP_sha256(), key_bytes > 0 ? key : "", (int)key_bytes, bytes, count,
                     mac->bytes, NULL) != NULL);
}

bool trib_equal_constant_time(const void *a, const void *b, size_t count) {
    return CRYPTO_memcmp(a, b, count) == 0;
}

uint32_t trib_crc32(uint32_t crc, const void *bytes, size_t count) {
    /* zlib answers a NULL range with the initial value instead of the one passed in. */
    return count > 0 ? (uint32_t)crc32_z(crc, bytes, count) : crc;
}
