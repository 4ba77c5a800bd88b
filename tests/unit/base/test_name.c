/* test_name.c - no name is a path; globs and distances by small tables. */
#include "base/name.h"

#include "support/check.h"

static void test_valid_names(void **state) {
    (void)state;
    static const char *const names[] = {"a", "7", "Mercy-1", "a..b", "run_2.final"};
    for (size_t index = 0; index < sizeof names / sizeof *names; index++)
        assert_true(trib_name_is_valid(names[index], strlen(names[index])));
    assert_true(trib_name_is_valid("r1/ledger", 2)); /* only what the length covers counts */
}

static void test_names_that_could_be_something_else(void **state) {
    (void)state;
    static const char *const names[] = {
        "",    ".",    "..", ".git", "-rf", "_x", "a/b", "a b", "a%2f", "a\n", "\xc3\xa9t\xc3\xa9",
        "a:b", "a\\b", "a~"};
    for (size_t index = 0; index < sizeof names / sizeof *names; index++)
        assert_false(trib_name_is_valid(names[index], strlen(names[index])));
    assert_false(trib_name_is_valid("a\0b", 3));
}

static void test_names_have_at_most_64_characters(void **state) {
    (void)state;
    char name[TRIB_NAME_BYTES];
    memset(name, 'x', sizeof name);
    assert_true(trib_name_is_valid(name, 64));
    assert_false(trib_name_is_valid(name, 65));
}

static void test_globs(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        const char *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "anything.at/all", true},
        {"?", "", false},
        {"?", "a", true},
        {"encoder.*", "encoder.0.weight", true},
        {"encoder.*", "decoder.0.weight", false},
        {"*.running_*", "bn1.running_mean", true},
        {"*.running_*", "running_mean", false},
        {"*.weight", "a.weight.weight", true}, /* the star must be tried again */
        {"*.weight", "a.weights", false},
        {"a*b*c", "a-b-b-c", true},
        {"a*b*c", "a-c-b", false},
        {"l?.*", "l1.bias", true},
        {"l?.*", "l12.bias", false},
        {"a**", "a", true},
        {"[ab]", "a", false}, /* brackets are themselves */
        {"[ab]", "[ab]", true},
        {"*?", "", false},
        {"a", "", false},
    };
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
        if (trib_glob_matches(cases[index].pattern, cases[index].text) != cases[index].matches)
            fail_msg("%s against %s", cases[index].pattern, cases[index].text);
    }
}

static void test_hostile_glob_ends_soon(void **state) {
    (void)state;
    /* A backtracking matcher would need 2^20 times longer than this test may take. */
    char text[2001];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_false(trib_glob_matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

static void test_distances(void **state) {
    (void)state;
    assert_int_equal(trib_text_distance("", ""), 0);
    assert_int_equal(trib_text_distance("", "abc"), 3);
    assert_int_equal(trib_text_distance("abc", ""), 3);
    assert_int_equal(trib_text_distance("kitten", "sitting"), 3);
    assert_int_equal(trib_text_distance("deadline", "deadlnie"), 2);
    assert_int_equal(trib_text_distance("quorum", "quorom"), 1);
    assert_int_equal(trib_text_distance("lr", "rl"), trib_text_distance("rl", "lr"));
}

static void test_distance_cuts_long_texts(void **state) {
    (void)state;
    char a[100], b[100];
    memset(a, 'a', sizeof a);
    memset(b, 'a', sizeof b);
    a[99] = b[99] = '\0';
    b[80] = 'x'; /* beyond the 63 characters that are compared */
    assert_int_equal(trib_text_distance(a, b), 0);
    b[62] = 'x';
    assert_int_equal(trib_text_distance(a, b), 1);
    assert_int_equal(trib_text_distance(a, ""), 63);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_names),
        cmocka_unit_test(test_names_that_could_be_something_else),
        cmocka_unit_test(test_names_have_at_most_64_characters),
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_hostile_glob_ends_soon),
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_distance_cuts_long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
