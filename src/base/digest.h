/* digest.h - SHA-256, HMAC-SHA-256, fingerprints and CRC-32; the words of identity and integrity.
 *
 * SHA-256 names versions, updates and ledger records; CRC-32 (zlib's) finds torn or rotten
 * records quickly. Backed by OpenSSL and zlib. */
#ifndef TRIB_BASE_DIGEST_H
#define TRIB_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRIB_DIGEST_BYTES 32
#define TRIB_DIGEST_HEX_BYTES 65 /* with the NUL */

struct trib_digest {
    unsigned char bytes[TRIB_DIGEST_BYTES];
};

/* A secret for fingerprints, made from another secret for one use of it. */
struct trib_fingerprint_key {
    unsigned char bytes[64]; /* private: 32 for the hash, 32 to hide it */
};
void trib_fingerprint_key_init(struct trib_fingerprint_key *key, const void *secret,
                               size_t secret_bytes, const char *use);

struct trib_digester {
    void *state;                            /* private; NULL after finish */
    const struct trib_fingerprint_key *key; /* private; NULL: SHA-256 */
    uint64_t byte_count;                    /* private */
};

/* begin may run out of memory: then false and finish must not be called. */
bool trib_digester_begin(struct trib_digester *digester);
/* The same for a fingerprint, seven times as fast: who does not have the key can neither find two
 * texts with one fingerprint nor check one. key: borrowed until finish.
 * Poly1305 (RFC 8439, section 2.5) as a universal hash that never leaves; what does is its
 * HMAC-SHA-256, with the number of bytes (hash, then PRF: Wegman and Carter 1981). */
bool trib_digester_begin_fingerprint(struct trib_digester *digester,
                                     const struct trib_fingerprint_key *key);
void trib_digester_add(struct trib_digester *digester, const void *bytes, size_t count);
/* Writes the digest and frees the state. */
void trib_digester_finish(struct trib_digester *digester, struct trib_digest *digest);
/* Frees the state without a result; all-zero is safe. */
void trib_digester_abandon(struct trib_digester *digester);

/* One call for bytes in memory; aborts when memory is out. */
void trib_digest_of(const void *bytes, size_t count, struct trib_digest *digest);
bool trib_digest_equal(const struct trib_digest *a, const struct trib_digest *b);
void trib_digest_to_hex(const struct trib_digest *digest, char hex[TRIB_DIGEST_HEX_BYTES]);
bool trib_digest_from_hex(const char *hex, struct trib_digest *digest); /* exactly 64 digits */

/* As above. key_bytes <= INT_MAX. */
void trib_hmac(const void *key, size_t key_bytes, const void *bytes, size_t count,
               struct trib_digest *mac);
/* Same time whatever the bytes: for secrets. */
bool trib_equal_constant_time(const void *a, const void *b, size_t count);

/* crc = 0 to start; feed the result back in to continue. */
uint32_t trib_crc32(uint32_t crc, const void *bytes, size_t count);

#endif
