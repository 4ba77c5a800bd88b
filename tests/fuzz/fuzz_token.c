/* fuzz_token.c - the text of a token: as it comes, and signed, so that its fields are reached.
 *
 * Rules: what is not signed opens nothing; what parses is written again as the same text. */
#include "fuzz/target.h"

#include "node/token.h"

static const unsigned char key[TRIB_TOKEN_KEY_BYTES] = {7};
static const unsigned char other_key[TRIB_TOKEN_KEY_BYTES] = {8};

static void check_parsed(const struct trib_token *token, const char *text) {
    char again[TRIB_TOKEN_TEXT_BYTES];
    trib_token_format(key, token, again);
    TRIB_ASSERT(strcmp(again, text) == 0);
    TRIB_ASSERT(token->run[0] == '\0' || trib_name_is_valid(token->run, strlen(token->run)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct trib_token token;
    char *plain = malloc(size > 0 ? size : 1);
    TRIB_ASSERT(plain != NULL);
    memcpy(plain, data, size);
    TRIB_ASSERT(!trib_token_parse(other_key, plain, size, &token));
    TRIB_ASSERT(token.scope == TRIB_TOKEN_NONE);
    free(plain);
    if (size > TRIB_TOKEN_TEXT_BYTES) {
        return 0;
    }
    char *text = malloc(size + 1 + TRIB_DIGEST_HEX_BYTES);
    struct trib_digest mac;
    TRIB_ASSERT(text != NULL);
    memcpy(text, data, size);
    trib_hmac(key, sizeof key, text, size, &mac);
    text[size] = '~';
    trib_digest_to_hex(&mac, text + size + 1);
    if (trib_token_parse(key, text, size + TRIB_DIGEST_HEX_BYTES, &token)) {
        check_parsed(&token, text);
    }
    free(text);
    return 0;
}
