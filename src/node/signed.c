/* signed.c - what the daemon puts its name to: receipts of updates, and the head of a ledger. */
#include "node/signed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wire/number.h"

#define KEY_FILE_BYTES_MAX 4096
#define RECEIPT_WORD "tributary-receipt-1"
#define HEAD_WORD "tributary-head-1"

/* --- the key ---------------------------------------------------------------------------------- */

typedef void write_key(const struct trib_signature_key *key, struct trib_text *text);

static enum trib_status publish(const struct trib_env *env, const struct trib_files *files,
                                const char *path, write_key *write,
                                const struct trib_signature_key *key) {
    struct trib_text text;
    trib_text_init(&text, env);
    write(key, &text);
    enum trib_status status = text.is_failed
                                  ? TRIB_EMEMORY
                                  : trib_files_publish(files, path, text.bytes, text.byte_count);
    if (text.bytes != NULL) {
        explicit_bzero(text.bytes, text.byte_count);
    }
    trib_text_deinit(&text);
    return status;
}

static enum trib_status read_key(const struct trib_env *env, const struct trib_files *files,
                                 struct trib_signature_key **key) {
    char *pem;
    size_t pem_bytes;
    enum trib_status status =
        trib_files_read_all(env, files, TRIB_SIGNED_KEY_FILE, KEY_FILE_BYTES_MAX, &pem, &pem_bytes);
    if (status != TRIB_OK) {
        return status;
    }
    bool is_private = strstr(pem, "PRIVATE KEY") != NULL;
    status = is_private ? trib_signature_key_read(pem, pem_bytes, key) : TRIB_EMALFORMED;
    explicit_bzero(pem, pem_bytes);
    trib_release(env, pem, pem_bytes + 1, 1);
    return status;
}

/* The private key is there before the public one: after a crash in between nothing is lost. */
static enum trib_status make_key(const struct trib_env *env, const struct trib_files *files,
                                 struct trib_signature_key **key) {
    enum trib_status status = trib_signature_key_make(env, key);
    return status == TRIB_OK
               ? publish(env, files, TRIB_SIGNED_KEY_FILE, trib_signature_key_write_private, *key)
               : status;
}

static enum trib_status publish_missing(const struct trib_env *env, const struct trib_files *files,
                                        const struct trib_signature_key *key) {
    char *pem;
    size_t pem_bytes;
    enum trib_status status = trib_files_read_all(env, files, TRIB_SIGNED_PUBLIC_FILE,
                                                  KEY_FILE_BYTES_MAX, &pem, &pem_bytes);
    if (status == TRIB_OK) {
        trib_release(env, pem, pem_bytes + 1, 1);
        return TRIB_OK;
    }
    return status == TRIB_ENOTFOUND
               ? publish(env, files, TRIB_SIGNED_PUBLIC_FILE, trib_signature_key_write_public, key)
               : status;
}

enum trib_status trib_signed_key_open(const struct trib_env *env, const struct trib_files *files,
                                      struct trib_signature_key **key, struct trib_error *error) {
    *key = NULL;
    enum trib_status status = read_key(env, files, key);
    if (status == TRIB_ENOTFOUND) {
        status = make_key(env, files, key);
    } else if (status == TRIB_EMALFORMED || status == TRIB_ELIMIT) {
        return trib_error_set(error, TRIB_ECORRUPT,
                              TRIB_SIGNED_KEY_FILE
                              ": not an Ed25519 key; move it away and start anew to make another, "
                              "which old receipts will not agree with");
    }
    if (status == TRIB_OK) {
        status = publish_missing(env, files, *key);
    }
    if (status != TRIB_OK) {
        trib_signature_key_free(*key);
        *key = NULL;
        return trib_error_set(error, status, TRIB_SIGNED_KEY_FILE ": %s", trib_status_text(status));
    }
    return TRIB_OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

static const char *add_signature(const struct trib_signature_key *key, int length,
                                 char text[TRIB_SIGNED_TEXT_BYTES]) {
    struct trib_signature signature;
    TRIB_ASSERT(length > 0 &&
                (size_t)length + 1 + TRIB_SIGNATURE_HEX_BYTES <= (size_t)TRIB_SIGNED_TEXT_BYTES);
    trib_signature_make(key, text, (size_t)length, &signature);
    text[length] = '~';
    trib_signature_to_hex(&signature, text + length + 1);
    return text;
}

const char *trib_signed_receipt_write(const struct trib_signature_key *key,
                                      const struct trib_signed_receipt *receipt,
                                      char text[TRIB_SIGNED_TEXT_BYTES]) {
    char hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(&receipt->digest, hex);
    int length = snprintf(text, TRIB_SIGNED_TEXT_BYTES,
                          RECEIPT_WORD "~%s~%s~%s~%s~%" PRIu64 "~%" PRIu64 "~%" PRIu64 "~%" PRIu64,
                          receipt->run, receipt->client, receipt->update, hex, receipt->base,
                          receipt->weight, receipt->version, receipt->time);
    return add_signature(key, length, text);
}

const char *trib_signed_head_write(const struct trib_signature_key *key,
                                   const struct trib_signed_head *head,
                                   char text[TRIB_SIGNED_TEXT_BYTES]) {
    char hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(&head->digest, hex);
    int length = snprintf(text, TRIB_SIGNED_TEXT_BYTES, HEAD_WORD "~%s~%" PRIu64 "~%s~%" PRIu64,
                          head->run, head->index, hex, head->time);
    return add_signature(key, length, text);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The next field of a line that is cut up at '~'; "" after the last one, which no field may be. */
static const char *take(char **rest) {
    char *field = *rest;
    char *end = strchr(field, '~');
    *rest = end == NULL ? field + strlen(field) : end + 1;
    if (end != NULL) {
        *end = '\0';
    }
    return field;
}

static bool take_word(char **rest, const char *word) {
    return strcmp(take(rest), word) == 0;
}

static bool take_name(char **rest, char name[TRIB_NAME_BYTES]) {
    const char *field = take(rest);
    if (!trib_name_is_valid(field, strlen(field))) {
        return false;
    }
    memcpy(name, field, strlen(field) + 1);
    return true;
}

static bool take_number(char **rest, uint64_t *number) {
    return trib_number_read(take(rest), number);
}

static bool take_digest(char **rest, struct trib_digest *digest) {
    return trib_digest_from_hex(take(rest), digest);
}

/* Copy the line without the end of line that a file has, and check its signature. */
static enum trib_status open_line(const struct trib_signature_key *key, const char *text,
                                  char line[TRIB_SIGNED_TEXT_BYTES]) {
    size_t bytes = strcspn(text, "\r\n");
    struct trib_signature signature;
    if (bytes >= TRIB_SIGNED_TEXT_BYTES || strspn(text + bytes, "\r\n") != strlen(text + bytes)) {
        return TRIB_EMALFORMED;
    }
    memcpy(line, text, bytes);
    line[bytes] = '\0';
    char *last = strrchr(line, '~');
    if (last == NULL || !trib_signature_from_hex(last + 1, &signature)) {
        return TRIB_EMALFORMED;
    }
    if (!trib_signature_is_good(key, line, (size_t)(last - line), &signature)) {
        return TRIB_EUNAUTHORIZED;
    }
    *last = '\0';
    return TRIB_OK;
}

enum trib_status trib_signed_receipt_read(const struct trib_signature_key *key, const char *text,
                                          struct trib_signed_receipt *receipt) {
    char line[TRIB_SIGNED_TEXT_BYTES], *rest = line;
    memset(receipt, 0, sizeof *receipt);
    enum trib_status status = open_line(key, text, line);
    if (status != TRIB_OK) {
        return status;
    }
    bool is_read = take_word(&rest, RECEIPT_WORD) && take_name(&rest, receipt->run) &&
                   take_name(&rest, receipt->client) && take_name(&rest, receipt->update) &&
                   take_digest(&rest, &receipt->digest) && take_number(&rest, &receipt->base) &&
                   take_number(&rest, &receipt->weight) && take_number(&rest, &receipt->version) &&
                   take_number(&rest, &receipt->time) && *rest == '\0';
    return is_read ? TRIB_OK : TRIB_EMALFORMED;
}

enum trib_status trib_signed_head_read(const struct trib_signature_key *key, const char *text,
                                       struct trib_signed_head *head) {
    char line[TRIB_SIGNED_TEXT_BYTES], *rest = line;
    memset(head, 0, sizeof *head);
    enum trib_status status = open_line(key, text, line);
    if (status != TRIB_OK) {
        return status;
    }
    bool is_read = take_word(&rest, HEAD_WORD) && take_name(&rest, head->run) &&
                   take_number(&rest, &head->index) && take_digest(&rest, &head->digest) &&
                   take_number(&rest, &head->time) && *rest == '\0';
    return is_read ? TRIB_OK : TRIB_EMALFORMED;
}
