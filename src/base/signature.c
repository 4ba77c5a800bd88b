/* signature.c - Ed25519 (RFC 8032): what one says and anybody can check.
 *
 * struct trib_signature_key is never defined: it is OpenSSL's own object under our name. */
#include "base/signature.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#define SEED_BYTES 32

static EVP_PKEY *pkey_of(const struct trib_signature_key *key) {
    return (EVP_PKEY *)key;
}

enum trib_status trib_signature_key_make(const struct trib_env *env,
                                         struct trib_signature_key **key) {
    unsigned char seed[SEED_BYTES];
    env->entropy(env->context, seed, sizeof seed);
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
    OPENSSL_cleanse(seed, sizeof seed);
    ERR_clear_error();
    *key = (struct trib_signature_key *)pkey;
    return pkey == NULL ? TRIB_EMEMORY : TRIB_OK;
}

/* Nobody is asked for a password: an encrypted key is no key of ours. */
static int refuse_password(char *buffer, int room, int is_writing, void *context) {
    (void)buffer, (void)room, (void)is_writing, (void)context; /* see above */
    return -1;
}

enum trib_status trib_signature_key_read(const char *pem, size_t pem_bytes,
                                         struct trib_signature_key **key) {
    *key = NULL;
    BIO *bio = pem_bytes > INT_MAX ? NULL : BIO_new_mem_buf(pem, (int)pem_bytes);
    if (bio == NULL) {
        return TRIB_EMALFORMED;
    }
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, refuse_password, NULL);
    if (pkey == NULL && BIO_reset(bio) == 1) {
        pkey = PEM_read_bio_PUBKEY(bio, NULL, refuse_password, NULL);
    }
    BIO_free(bio);
    ERR_clear_error();
    if (pkey == NULL || EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519) {
        EVP_PKEY_free(pkey);
        return TRIB_EMALFORMED;
    }
    *key = (struct trib_signature_key *)pkey;
    return TRIB_OK;
}

void trib_signature_key_free(struct trib_signature_key *key) {
    EVP_PKEY_free(pkey_of(key));
}

typedef int write_pem(BIO *bio, EVP_PKEY *pkey);

static int write_private(BIO *bio, EVP_PKEY *pkey) {
    return PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
}

static int write_public(BIO *bio, EVP_PKEY *pkey) {
    return PEM_write_bio_PUBKEY(bio, pkey);
}

static void write(const struct trib_signature_key *key, write_pem *pem, struct trib_text *text) {
    BIO *bio = BIO_new(BIO_s_secmem());
    char *bytes = NULL;
    if (bio != NULL && pem(bio, pkey_of(key)) == 1) {
        long count = BIO_get_mem_data(bio, &bytes);
        trib_text_add(text, bytes, (size_t)count);
    } else {
        text->is_failed = true;
    }
    BIO_free(bio);
    ERR_clear_error();
}

void trib_signature_key_write_private(const struct trib_signature_key *key,
                                      struct trib_text *text) {
    write(key, write_private, text);
}

void trib_signature_key_write_public(const struct trib_signature_key *key, struct trib_text *text) {
    write(key, write_public, text);
}

void trib_signature_make(const struct trib_signature_key *key, const void *bytes, size_t count,
                         struct trib_signature *signature) {
    size_t signature_bytes = sizeof signature->bytes;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    TRIB_ASSERT(context != NULL);
    TRIB_ASSERT(EVP_DigestSignInit(context, NULL, NULL, NULL, pkey_of(key)) == 1);
    TRIB_ASSERT(EVP_DigestSign(context, signature->bytes, &signature_bytes, bytes, count) == 1);
    TRIB_ASSERT(signature_bytes == sizeof signature->bytes);
    EVP_MD_CTX_free(context);
}

bool trib_signature_is_good(const struct trib_signature_key *key, const void *bytes, size_t count,
                            const struct trib_signature *signature) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good =
        context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey_of(key)) == 1 &&
        EVP_DigestVerify(context, signature->bytes, sizeof signature->bytes, bytes, count) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return is_good;
}

/* --- hex -------------------------------------------------------------------------------------- */

static const char digits[] = "0123456789abcdef";

void trib_signature_to_hex(const struct trib_signature *signature,
                           char hex[TRIB_SIGNATURE_HEX_BYTES]) {
    for (size_t i = 0; i < TRIB_SIGNATURE_BYTES; i++) {
        hex[2 * i] = digits[signature->bytes[i] >> 4];
        hex[2 * i + 1] = digits[signature->bytes[i] & 15];
    }
    hex[TRIB_SIGNATURE_HEX_BYTES - 1] = '\0';
}

bool trib_signature_from_hex(const char *hex, struct trib_signature *signature) {
    if (strlen(hex) != TRIB_SIGNATURE_HEX_BYTES - 1 ||
        strspn(hex, digits) != TRIB_SIGNATURE_HEX_BYTES - 1) {
        return false;
    }
    for (size_t i = 0; i < TRIB_SIGNATURE_BYTES; i++) {
        size_t high = (size_t)(strchr(digits, hex[2 * i]) - digits);
        size_t low = (size_t)(strchr(digits, hex[2 * i + 1]) - digits);
        signature->bytes[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}
