/* signature.h - Ed25519 (RFC 8032): what one says and anybody can check.
 *
 * Keys are files in PEM, so that other programs can check as well:
 *     openssl pkeyutl -verify -pubin -inkey KEY.pub -rawin -in TEXT -sigfile SIGNATURE
 * Backed by OpenSSL, which takes its memory from malloc, not from the environment. */
#ifndef TRIB_BASE_SIGNATURE_H
#define TRIB_BASE_SIGNATURE_H

#include "base/env.h"
#include "base/status.h"
#include "base/text.h"

#define TRIB_SIGNATURE_BYTES 64
#define TRIB_SIGNATURE_HEX_BYTES 129 /* with the NUL */

struct trib_signature_key; /* a private key with its public one, or the public one alone */

struct trib_signature {
    unsigned char bytes[TRIB_SIGNATURE_BYTES];
};

/* A new private key, from entropy of env. TRIB_OK; TRIB_EMEMORY. */
enum trib_status trib_signature_key_make(const struct trib_env *env,
                                         struct trib_signature_key **key);
/* From PEM: "PRIVATE KEY" (PKCS #8) or "PUBLIC KEY". TRIB_OK; TRIB_EMALFORMED: not one of these,
 * not Ed25519, or encrypted. On error *key is NULL. */
enum trib_status trib_signature_key_read(const char *pem, size_t pem_bytes,
                                         struct trib_signature_key **key);
void trib_signature_key_free(struct trib_signature_key *key); /* NULL allowed */
/* Append PEM; a private one needs a private key. When it fails, text->is_failed. */
void trib_signature_key_write_private(const struct trib_signature_key *key, struct trib_text *text);
void trib_signature_key_write_public(const struct trib_signature_key *key, struct trib_text *text);

/* Sign; needs a private key. The same key and bytes give the same signature. Aborts when memory is
 * out. Thread: any.  Cost: some 40 microseconds. */
void trib_signature_make(const struct trib_signature_key *key, const void *bytes, size_t count,
                         struct trib_signature *signature);
bool trib_signature_is_good(const struct trib_signature_key *key, const void *bytes, size_t count,
                            const struct trib_signature *signature);

void trib_signature_to_hex(const struct trib_signature *signature,
                           char hex[TRIB_SIGNATURE_HEX_BYTES]);
bool trib_signature_from_hex(const char *hex, struct trib_signature *signature); /* 128 digits */

#endif
