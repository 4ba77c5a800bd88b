/* token.c - self-checking tokens: what the bearer may do, signed with the data directory's key. */
#include "node/token.h"

#include <stdio.h>
#include <string.h>

static const char *const scope_names[] = {
    [TRIB_TOKEN_NONE] = "",
    [TRIB_TOKEN_ADMIN] = "admin",
    [TRIB_TOKEN_JOIN] = "join",
    [TRIB_TOKEN_CLIENT] = "client",
};
#define SCOPE_COUNT (sizeof scope_names / sizeof *scope_names)

void trib_token_format(const unsigned char key[TRIB_TOKEN_KEY_BYTES],
                       const struct trib_token *token, char *text) {
    int length = snprintf(text, TRIB_TOKEN_TEXT_BYTES, "%s~%s~%s", scope_names[token->scope],
                          token->run, token->subject);
    struct trib_digest mac;
    trib_hmac(key, TRIB_TOKEN_KEY_BYTES, text, (size_t)length, &mac);
    text[length] = '~';
    trib_digest_to_hex(&mac, text + length + 1);
}

/* Which of the fields a scope has; the others must be empty. */
static bool has_expected_fields(const struct trib_token *token) {
    bool has_run = token->run[0] != '\0';
    bool has_subject = token->subject[0] != '\0';
    switch (token->scope) {
    case TRIB_TOKEN_ADMIN:
        return !has_run && !has_subject;
    case TRIB_TOKEN_JOIN:
        return has_run && !has_subject;
    case TRIB_TOKEN_CLIENT:
        return has_run && has_subject;
    default:
        return false;
    }
}

/* Copy one field up to '~' and step over it. */
static bool take_field(const char **next, const char *limit, char *field, size_t room) {
    const char *end = memchr(*next, '~', (size_t)(limit - *next));
    if (end == NULL || (size_t)(end - *next) >= room) {
        return false;
    }
    memcpy(field, *next, (size_t)(end - *next));
    field[end - *next] = '\0';
    *next = end + 1;
    return true;
}

static bool parse_fields(const char *text, size_t text_bytes, struct trib_token *token) {
    char scope[8];
    const char *next = text;
    const char *limit = text + text_bytes;
    if (!take_field(&next, limit, scope, sizeof scope) ||
        !take_field(&next, limit, token->run, sizeof token->run) ||
        !take_field(&next, limit, token->subject, sizeof token->subject)) {
        return false;
    }
    for (size_t i = 1; i < SCOPE_COUNT; i++) {
        if (strcmp(scope, scope_names[i]) == 0) {
            token->scope = (enum trib_token_scope)i;
        }
    }
    return has_expected_fields(token);
}

bool trib_token_parse(const unsigned char key[TRIB_TOKEN_KEY_BYTES], const char *text,
                      size_t text_bytes, struct trib_token *token) {
    memset(token, 0, sizeof *token);
    size_t mac_chars = TRIB_DIGEST_HEX_BYTES - 1;
    if (text_bytes < mac_chars + 1 || text_bytes >= TRIB_TOKEN_TEXT_BYTES) {
        return false;
    }
    char hex[TRIB_DIGEST_HEX_BYTES];
    memcpy(hex, text + text_bytes - mac_chars, mac_chars);
    hex[mac_chars] = '\0';
    struct trib_digest claimed, mac;
    size_t signed_bytes = text_bytes - mac_chars - 1;
    trib_hmac(key, TRIB_TOKEN_KEY_BYTES, text, signed_bytes, &mac);
    bool is_valid = text[signed_bytes] == '~' && trib_digest_from_hex(hex, &claimed) &&
                    trib_equal_constant_time(mac.bytes, claimed.bytes, sizeof mac.bytes) &&
                    parse_fields(text, signed_bytes + 1, token);
    if (!is_valid) {
        memset(token, 0, sizeof *token);
    }
    return is_valid;
}
