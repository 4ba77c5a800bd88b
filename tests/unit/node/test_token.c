/* test_token.c - only what this daemon signed opens a door. */
#include "node/token.h"

#include "support/check.h"

#include <stdio.h>

static const unsigned char key[TRIB_TOKEN_KEY_BYTES] = {1, 2, 3};

static struct trib_token client_token(void) {
    struct trib_token token = {.scope = TRIB_TOKEN_CLIENT, .run = "chest-xray", .subject = "dev.1"};
    return token;
}

static void a_token_says_what_it_was_made_for(void **state) {
    (void)state;
    struct trib_token tokens[] = {
        {.scope = TRIB_TOKEN_ADMIN}, {.scope = TRIB_TOKEN_JOIN, .run = "r"}, client_token()};
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
    struct trib_token token = {.scope = TRIB_TOKEN_CLIENT}, read;
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
        {.scope = TRIB_TOKEN_ADMIN, .run = "r"},
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_says_what_it_was_made_for),
        cmocka_unit_test(the_longest_names_fit),
        cmocka_unit_test(every_changed_character_is_noticed),
        cmocka_unit_test(another_key_opens_nothing),
        cmocka_unit_test(fields_must_fit_the_scope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
