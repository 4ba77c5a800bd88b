/* token.h - self-checking tokens: what the bearer may do, signed with the data directory's key.
 *
 * Nothing is stored per token, so tokens survive restarts and cost no memory. Text form, safe in
 * headers and URL fragments:   scope~run~subject~MAC   with MAC = HMAC-SHA-256, 64 hex digits. */
#ifndef TRIB_NODE_TOKEN_H
#define TRIB_NODE_TOKEN_H

#include "base/digest.h"
#include "base/name.h"

#define TRIB_TOKEN_KEY_BYTES 32
#define TRIB_TOKEN_TEXT_BYTES 224 /* with the NUL */

enum trib_token_scope {
    TRIB_TOKEN_NONE,   /* no token, or not a valid one */
    TRIB_TOKEN_ADMIN,  /* everything on this daemon */
    TRIB_TOKEN_JOIN,   /* become a client of one run */
    TRIB_TOKEN_CLIENT, /* be one client of one run */
};

struct trib_token {
    enum trib_token_scope scope;
    char run[TRIB_NAME_BYTES];     /* join, client */
    char subject[TRIB_NAME_BYTES]; /* client: its id */
};

/* Write the text of a token; names must be valid. text has TRIB_TOKEN_TEXT_BYTES of room. */
void trib_token_format(const unsigned char key[TRIB_TOKEN_KEY_BYTES],
                       const struct trib_token *token, char *text);
/* Check a text of any origin. On failure *token is all zero (scope NONE). The MAC is compared in
 * constant time. */
bool trib_token_parse(const unsigned char key[TRIB_TOKEN_KEY_BYTES], const char *text,
                      size_t text_bytes, struct trib_token *token);

#endif
