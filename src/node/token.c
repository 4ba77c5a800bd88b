/* token.c - self-checking tokens: what the bearer may do, signed with the data directory's key. */
#include "node/token.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wire/number.h"

static const char *const scope_names[] = {
    [TRIB_TOKEN_NONE] = "",           [TRIB_TOKEN_ADMIN] = "admin",   [TRIB_TOKEN_JOIN] = "join",
    [TRIB_TOKEN_OBSERVE] = "observe", [TRIB_TOKEN_CLIENT] = "client", [TRIB_TOKEN_MERGE] = "merge",
};
#define SCOPE_COUNT (sizeof scope_names / sizeof *scope_names)

const char *trib_token_scope_name(enum trib_token_scope scope) {
    return scope_names[scope];
}

enum trib_token_scope trib_token_scope_of(const char *name) {
    for (size_t i = 1; i < SCOPE_COUNT; i++) {
        if (strcmp(name, scope_names[i]) == 0) {
            return (enum trib_token_scope)i;
        }
    }
    return TRIB_TOKEN_NONE;
}

void trib_token_serial_format(uint64_t serial, char text[TRIB_TOKEN_SERIAL_BYTES]) {
    (void)snprintf(text, TRIB_TOKEN_SERIAL_BYTES, "%016" PRIx64, serial);
}

bool trib_token_serial_parse(const char *text, uint64_t *serial) {
    static const char digits[] = "0123456789abcdef";
    *serial = 0;
    for (size_t i = 0; i < TRIB_TOKEN_SERIAL_BYTES - 1; i++) {
        const char *digit = text[i] == '\0' ? NULL : strchr(digits, text[i]);
        if (digit == NULL) {
            return false;
        }
        *serial = *serial << 4 | (uint64_t)(digit - digits);
    }
    return text[TRIB_TOKEN_SERIAL_BYTES - 1] == '\0';
}

const char *trib_token_who(const struct trib_token *token, char text[TRIB_TOKEN_WHO_BYTES]) {
    const char *scope = scope_names[token->scope];
    char serial[TRIB_TOKEN_SERIAL_BYTES] = "";
    bool is_named = token->serial != 0 && token->scope != TRIB_TOKEN_CLIENT;
    if (is_named) {
        trib_token_serial_format(token->serial, serial);
    }
    if (!is_named && token->subject[0] == '\0') {
        (void)snprintf(text, TRIB_TOKEN_WHO_BYTES, "%s", scope);
    } else {
        (void)snprintf(text, TRIB_TOKEN_WHO_BYTES, "%s%s(%s%s%s)", token->subject,
                       token->subject[0] == '\0' ? "" : " ", scope, is_named ? " " : "", serial);
    }
    return text;
}

/* --- text form -------------------------------------------------------------------------------- */

void trib_token_format(const unsigned char key[TRIB_TOKEN_KEY_BYTES],
                       const struct trib_token *token, char *text) {
    char serial[TRIB_TOKEN_SERIAL_BYTES];
    trib_token_serial_format(token->serial, serial);
    int length =
        snprintf(text, TRIB_TOKEN_TEXT_BYTES, "%s~%s~%s~%" PRIu64 "~%s", scope_names[token->scope],
                 token->run, token->subject, token->expiry, serial);
    struct trib_digest mac;
    trib_hmac(key, TRIB_TOKEN_KEY_BYTES, text, (size_t)length, &mac);
    text[length] = '~';
    trib_digest_to_hex(&mac, text + length + 1);
}

/* Which of the fields a scope has. A join token without a run would be good for all of them, so
 * even a signed one must not be honoured. */
static bool has_expected_fields(const struct trib_token *token) {
    bool has_run = token->run[0] != '\0';
    switch (token->scope) {
    case TRIB_TOKEN_ADMIN:
        return has_run || token->serial == 0; /* no list of revoked ones but a run's */
    case TRIB_TOKEN_JOIN:
    case TRIB_TOKEN_OBSERVE:
    case TRIB_TOKEN_MERGE:
        return has_run;
    case TRIB_TOKEN_CLIENT:
        return has_run && token->subject[0] != '\0';
    default:
        return false;
    }
}

static bool is_name_or_empty(const char *text) {
    return text[0] == '\0' || trib_name_is_valid(text, strlen(text));
}

/* Copy one field up to '~' and step over it. */
static bool take_field(const char **next, const char *limit, char *field, size_t room) {
    const char *end = memchr(*next, '~', (size_t)(limit - *next));
    if (end == NULL || (size_t)(end - *next) >= room ||
        memchr(*next, '\0', (size_t)(end - *next)) != NULL) {
        return false;
    }
    memcpy(field, *next, (size_t)(end - *next));
    field[end - *next] = '\0';
    *next = end + 1;
    return true;
}

static bool parse_fields(const char *text, size_t text_bytes, struct trib_token *token) {
    char scope[8], expiry[21], serial[TRIB_TOKEN_SERIAL_BYTES];
    const char *next = text;
    const char *limit = text + text_bytes;
    if (!take_field(&next, limit, scope, sizeof scope) ||
        !take_field(&next, limit, token->run, sizeof token->run) ||
        !take_field(&next, limit, token->subject, sizeof token->subject) ||
        !take_field(&next, limit, expiry, sizeof expiry) ||
        !take_field(&next, limit, serial, sizeof serial)) {
        return false;
    }
    token->scope = trib_token_scope_of(scope);
    return next == limit && trib_number_read(expiry, &token->expiry) &&
           trib_token_serial_parse(serial, &token->serial) && is_name_or_empty(token->run) &&
           is_name_or_empty(token->subject) && has_expected_fields(token);
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
