/* token.h - self-checking tokens: what the bearer may do, signed with the data directory's key.
 *
 * Nothing is stored per token, so tokens survive restarts and cost no memory. Text form, safe in
 * headers and URL fragments:
 *
 *     scope~run~subject~expiry~serial~MAC
 *
 * expiry: unix seconds, decimal, 0 = never. serial: 16 hex digits. MAC: HMAC-SHA-256 of all before
 * the last '~', 64 hex digits. Expiry and revocation (node/revoked.h) are the caller's to judge:
 * a token that parses is one that this daemon has signed, no more. */
#ifndef TRIB_NODE_TOKEN_H
#define TRIB_NODE_TOKEN_H

#include "base/digest.h"
#include "base/name.h"

#define TRIB_TOKEN_KEY_BYTES 32
#define TRIB_TOKEN_TEXT_BYTES 256  /* with the NUL; the longest token fits */
#define TRIB_TOKEN_SERIAL_BYTES 17 /* as text, with the NUL */
#define TRIB_TOKEN_WHO_BYTES 96    /* of trib_token_who(), with the NUL */

enum trib_token_scope {
    TRIB_TOKEN_NONE,    /* no token, or not a valid one */
    TRIB_TOKEN_ADMIN,   /* everything on this daemon; with a run: control of that run */
    TRIB_TOKEN_JOIN,    /* become a client of one run; with a subject: that client only */
    TRIB_TOKEN_OBSERVE, /* read one run: status, versions, events, ledger */
    TRIB_TOKEN_CLIENT,  /* be one client of one run */
    TRIB_TOKEN_MERGE,   /* combine the updates of one run: read each of them; and observe it */
};

struct trib_token {
    enum trib_token_scope scope;
    char run[TRIB_NAME_BYTES];     /* all scopes; "" for admin: every run */
    char subject[TRIB_NAME_BYTES]; /* client: its id; join: the only id; others: whose it is */
    uint64_t expiry;               /* unix seconds; 0: never */
    /* Names the token when it is revoked. 0: made from the key alone (admin.token, the join link
     * of a run). Of a client: how often its name had been revoked when it joined. */
    uint64_t serial;
};

/* Write the text of a token; names must be valid. text has TRIB_TOKEN_TEXT_BYTES of room. */
void trib_token_format(const unsigned char key[TRIB_TOKEN_KEY_BYTES],
                       const struct trib_token *token, char *text);
/* Check a text of any origin. On failure *token is all zero (scope NONE). The MAC is compared in
 * constant time. */
bool trib_token_parse(const unsigned char key[TRIB_TOKEN_KEY_BYTES], const char *text,
                      size_t text_bytes, struct trib_token *token);

/* "join", "" for NONE. */
const char *trib_token_scope_name(enum trib_token_scope scope);
/* NONE for a word that is no scope. */
enum trib_token_scope trib_token_scope_of(const char *name);
/* 16 hex digits; the second is false for anything else. */
void trib_token_serial_format(uint64_t serial, char text[TRIB_TOKEN_SERIAL_BYTES]);
bool trib_token_serial_parse(const char *text, uint64_t *serial);
/* Who acts, for records and logs; nothing secret in it: "admin", "alice (admin
 * 5f0c9c2e7a61d3b4)", "dev-1 (client)". Returns text. */
const char *trib_token_who(const struct trib_token *token, char text[TRIB_TOKEN_WHO_BYTES]);

#endif
