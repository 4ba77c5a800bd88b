/* test_token.c - only what this daemon signed opens a door. */
#include "node/token.h"

#include "support/check.h"

#include <stdio.h>

static const unsigned char key[TRIB_TOKEN_KEY_BYTES] = {1, 2, 3};

static struct trib_token client_token(void) {
    return (struct trib_token){
        .scope = TRIB_TOKEN_CLIENT, .run = "chest-xray", .subject = "dev.1", .serial = 2};
}

static void a_token_says_what_it_was_made_for(void **state) {
    (void)state;
    struct trib_token tokens[] = {
        {.scope = TRIB_TOKEN_ADMIN},
        {.scope = TRIB_TOKEN_ADMIN, .run = "r", .subject = "alice", .expiry = 1, .serial = 9},
        {.scope = TRIB_TOKEN_JOIN, .run = "r"},
        {.scope = TRIB_TOKEN_JOIN, .run = "r", .subject = "mercy", .serial = UINT64_MAX},
        {.scope = TRIB_TOKEN_OBSERVE, .run = "r", .expiry = UINT64_MAX},
        {.scope = TRIB_TOKEN_MERGE, .run = "r", .subject = "robust", .serial = 7},
        client_token(),
    };
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        char text[TRIB_TOKEN_TEXT_BYTES];
        struct trib_token read;
        trib_token_format(key, &tokens[i], text);
        assert_true(trib_token_parse(key, text, strlen(text), &read));
        assert_memory_equal(&read, &tokens[i], sizeof read);
    }
}

static void the_longest_names_fit(void **state) {
    (void)state;
    struct trib_token token = {.scope = TRIB_TOKEN_OBSERVE, .expiry = UINT64_MAX}, read;
    token.serial = UINT64_MAX;
    memset(token.run, 'r', TRIB_NAME_BYTES - 1);
    memset(token.subject, 's', TRIB_NAME_BYTES - 1);
    char text[TRIB_TOKEN_TEXT_BYTES];
    trib_token_format(key, &token, text);
    assert_true(trib_token_parse(key, text, strlen(text), &read));
    assert_string_equal(read.subject, token.subject);
}

static void every_changed_character_is_noticed(void **state) {
    (void)state;
    struct trib_token token = client_token(), read;
    char text[TRIB_TOKEN_TEXT_BYTES];
    trib_token_format(key, &token, text);
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        char kept = text[i];
        text[i] = kept == 'a' ? 'b' : 'a';
        assert_false(trib_token_parse(key, text, length, &read));
        assert_int_equal(read.scope, TRIB_TOKEN_NONE);
        text[i] = kept;
    }
    for (size_t bytes = 0; bytes < length; bytes++) {
        assert_false(trib_token_parse(key, text, bytes, &read));
    }
}

static void another_key_opens_nothing(void **state) {
    (void)state;
    unsigned char other[TRIB_TOKEN_KEY_BYTES] = {1, 2, 4};
    struct trib_token token = client_token(), read;
    char text[TRIB_TOKEN_TEXT_BYTES];
    trib_token_format(other, &token, text);
    assert_false(trib_token_parse(key, text, strlen(text), &read));
}

/* A signature over fields that make no sense together must not be honoured: a join token without
 * a run would be good for all of them. */
static void fields_must_fit_the_scope(void **state) {
    (void)state;
    struct trib_token odd[] = {
        {.scope = TRIB_TOKEN_JOIN},
        {.scope = TRIB_TOKEN_OBSERVE, .subject = "s"},
        {.scope = TRIB_TOKEN_MERGE, .subject = "s"},
        {.scope = TRIB_TOKEN_ADMIN, .serial = 1}, /* no run, so nobody could revoke it */
        {.scope = TRIB_TOKEN_CLIENT, .run = "r"},
        {.scope = TRIB_TOKEN_NONE, .run = "r", .subject = "s"},
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char text[TRIB_TOKEN_TEXT_BYTES];
        struct trib_token read;
        trib_token_format(key, &odd[i], text);
        assert_false(trib_token_parse(key, text, strlen(text), &read));
    }
}

static void sign(const char *fields, char text[TRIB_TOKEN_TEXT_BYTES]) {
    char hex[TRIB_DIGEST_HEX_BYTES];
    struct trib_digest mac;
    trib_hmac(key, sizeof key, fields, strlen(fields), &mac);
    trib_digest_to_hex(&mac, hex);
    (void)snprintf(text, TRIB_TOKEN_TEXT_BYTES, "%s~%s", fields, hex);
}

/* Also of signed text there is one spelling only: what was signed by mistake opens nothing. */
static void signed_nonsense_is_no_token(void **state) {
    (void)state;
    static const char *const fields[] = {
        "",
        "join~r~~0",
        "join~r~~0~0000000000000000~",
        "join~r~~~0000000000000000",
        "join~r~~00~0000000000000000",
        "join~r~~-1~0000000000000000",
        "join~r~~18446744073709551616~0000000000000000",
        "join~r~~0~000000000000000",
        "join~r~~0~00000000000000000",
        "join~r~~0~000000000000000G",
        "join~r~~0~000000000000000A",
        "JOIN~r~~0~0000000000000000",
        "~r~~0~0000000000000000",
        "join~r~",
    };
    char text[TRIB_TOKEN_TEXT_BYTES];
    struct trib_token read;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        sign(fields[i], text);
        assert_false(trib_token_parse(key, text, strlen(text), &read));
        assert_int_equal(read.scope, TRIB_TOKEN_NONE);
    }
    sign("join~r~~0~0000000000000000", text);
    assert_true(trib_token_parse(key, text, strlen(text), &read));
}

static void records_name_the_bearer_and_no_secret(void **state) {
    (void)state;
    static const struct {
        struct trib_token token;
        const char *who;
    } rows[] = {
        {{.scope = TRIB_TOKEN_ADMIN}, "admin"},
        {{.scope = TRIB_TOKEN_JOIN, .run = "r"}, "join"},
        {{.scope = TRIB_TOKEN_JOIN, .run = "r", .serial = 0x5f}, "(join 000000000000005f)"},
        {{.scope = TRIB_TOKEN_ADMIN, .run = "r", .subject = "alice", .serial = 1},
         "alice (admin 0000000000000001)"},
        {{.scope = TRIB_TOKEN_CLIENT, .run = "r", .subject = "dev-1", .serial = 1},
         "dev-1 (client)"},
    };
    char who[TRIB_TOKEN_WHO_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_string_equal(trib_token_who(&rows[i].token, who), rows[i].who);
    }
    struct trib_token longest = {.scope = TRIB_TOKEN_OBSERVE, .serial = UINT64_MAX};
    memset(longest.subject, 's', TRIB_NAME_BYTES - 1);
    assert_string_equal(trib_token_who(&longest, who) + TRIB_NAME_BYTES - 1,
                        " (observe ffffffffffffffff)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_says_what_it_was_made_for),
        cmocka_unit_test(the_longest_names_fit),
        cmocka_unit_test(every_changed_character_is_noticed),
        cmocka_unit_test(another_key_opens_nothing),
        cmocka_unit_test(fields_must_fit_the_scope),
        cmocka_unit_test(signed_nonsense_is_no_token),
        cmocka_unit_test(records_name_the_bearer_and_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
