/* digest.c - SHA-256 and HMAC from OpenSSL's libcrypto (SHA-NI where there is one), CRC from zlib.
 *
 * libcrypto can only fail here when memory is out. Where the caller cannot be told, that is an
 * assertion: a wrong digest must never leave this file. */
#include "base/digest.h"

#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <zlib.h>

#include "base/status.h"

bool trib_digester_begin(struct trib_digester *digester) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(context);
        context = NULL;
    }
    digester->state = context;
    return context != NULL;
}

void trib_digester_add(struct trib_digester *digester, const void *bytes, size_t count) {
    TRIB_ASSERT(digester->state != NULL);
    TRIB_ASSERT(EVP_DigestUpdate(digester->state, bytes, count) == 1);
}

void trib_digester_finish(struct trib_digester *digester, struct trib_digest *digest) {
    TRIB_ASSERT(digester->state != NULL);
    TRIB_ASSERT(EVP_DigestFinal_ex(digester->state, digest->bytes, NULL) == 1);
    trib_digester_abandon(digester);
}

void trib_digester_abandon(struct trib_digester *digester) {
    EVP_MD_CTX_free(digester->state);
    digester->state = NULL;
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
