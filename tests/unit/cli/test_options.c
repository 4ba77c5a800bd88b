/* test_options.c - words are read along the table, and what does not fit is told in full. */
#include "cli/options.h"

#include "support/check.h"
#include "support/env_faulty.h"

struct sample {
    const char *run, *version;
    const char *output;
    bool is_loud;
    struct trib_option_list hosts;
    uint64_t count, bytes;
    trib_time_ns pause;
};

#define AT(member) offsetof(struct sample, member)

static const struct trib_option table[] = {
    {"run", TRIB_OPTION_TEXT, AT(run), .value = "RUN", .is_positional = true, .is_required = true,
     .meaning = "which run"},
    {"version", TRIB_OPTION_TEXT, AT(version), .value = "VERSION", .is_positional = true,
     .initial = "latest", .meaning = "which version"},
    {"output", TRIB_OPTION_TEXT, AT(output), .alias = "out", .value = "FILE",
     .otherwise = "the screen", .meaning = "where to"},
    {"loud", TRIB_OPTION_FLAG, AT(is_loud), .meaning = "say more"},
    {"host", TRIB_OPTION_LIST, AT(hosts), .value = "NAME", .meaning = "a host"},
    {"count", TRIB_OPTION_INTEGER, AT(count), .value = "N", .initial = "4", .least = 1, .most = 16,
     .meaning = "how many"},
    {"memory", TRIB_OPTION_SIZE, AT(bytes), .value = "SIZE", .initial = "64MiB",
     .meaning = "how much"},
    {"pause", TRIB_OPTION_DURATION, AT(pause), .value = "DURATION", .initial = "30s",
     .meaning = "how long"},
    {0},
};

#define READ(sample, error, ...) read_words(sample, error, (const char *const[]){__VA_ARGS__, NULL})

static enum trib_status read_words(struct sample *sample, struct trib_error *error,
                                   const char *const *words) {
    size_t count = 0;
    while (words[count] != NULL) {
        count++;
    }
    *sample = (struct sample){0};
    *error = (struct trib_error){0};
    return trib_options_read(table, words, count, sample, error);
}

static void what_is_not_given_has_its_default(void **state) {
    (void)state;
    struct sample sample;
    struct trib_error error;
    assert_int_equal(READ(&sample, &error, "digits"), TRIB_OK);
    assert_string_equal(sample.run, "digits");
    assert_string_equal(sample.version, "latest");
    assert_null(sample.output);
    assert_false(sample.is_loud);
    assert_int_equal(sample.hosts.count, 0);
    assert_int_equal(sample.count, 4);
    assert_int_equal(sample.bytes, 64 << 20);
    assert_int_equal(sample.pause, 30 * TRIB_SECOND);
}

static void both_spellings_of_a_value_are_read(void **state) {
    (void)state;
    struct sample sample;
    struct trib_error error;
    assert_int_equal(READ(&sample, &error, "--output", "a", "digits", "--count=16", "--loud", "7",
                          "--memory", "1.5GB", "--pause=2h", "--host", "x", "--host=y"),
                     TRIB_OK);
    assert_string_equal(sample.output, "a");
    assert_string_equal(sample.run, "digits");
    assert_string_equal(sample.version, "7");
    assert_int_equal(sample.count, 16);
    assert_true(sample.is_loud);
    assert_int_equal(sample.bytes, 1500000000);
    assert_int_equal(sample.pause, 7200 * TRIB_SECOND);
    assert_int_equal(sample.hosts.count, 2);
    assert_string_equal(sample.hosts.items[0], "x");
    assert_string_equal(sample.hosts.items[1], "y");
}

static void a_value_may_hold_an_equals_sign_and_begin_with_dashes(void **state) {
    (void)state;
    struct sample sample;
    struct trib_error error;
    assert_int_equal(READ(&sample, &error, "r", "--out=--a=b"), TRIB_OK);
    assert_string_equal(sample.output, "--a=b");
}

static void nothing_is_a_name_behind_two_dashes(void **state) {
    (void)state;
    struct sample sample;
    struct trib_error error;
    assert_int_equal(READ(&sample, &error, "--", "--loud", "--"), TRIB_OK);
    assert_string_equal(sample.run, "--loud");
    assert_string_equal(sample.version, "--");
    assert_false(sample.is_loud);
}

static void refusals_say_what_is_wrong_and_what_is_allowed(void **state) {
    (void)state;
    static const struct {
        const char *words[8];
        const char *text;
    } cases[] = {
        {{NULL}, "RUN is missing: which run"},
        {{"a", "b", "c", NULL}, "c: one word too many"},
        {{"a", "--outptu", "x", NULL}, "--outptu: unknown option; did you mean --output?"},
        {{"a", "--outptu=x", NULL}, "--outptu: unknown option; did you mean --output?"},
        {{"a", "--zzzzzzzzz", NULL}, "--zzzzzzzzz: unknown option"},
        {{"a", "--run", "b", NULL}, "--run: unknown option"},
        {{"a", "--output", NULL}, "--output: needs a value (FILE)"},
        {{"a", "--output", "--loud", NULL}, "--output: needs a value (FILE)"},
        {{"a", "--output=", NULL}, "FILE is empty"},
        {{"", NULL}, "RUN is empty"},
        {{"a", "--loud=yes", NULL}, "--loud: takes no value"},
        {{"a", "--loud", "--loud", NULL}, "--loud: given twice"},
        {{"a", "--count", "3", "--count", "3", NULL}, "--count: given twice"},
        {{"a", "--count", "0", NULL}, "--count: must be a whole number from 1 to 16"},
        {{"a", "--count", "17", NULL}, "--count: must be a whole number from 1 to 16"},
        {{"a", "--count", "4x", NULL}, "--count: must be a whole number from 1 to 16"},
        {{"a", "--count=", NULL}, "--count: must be a whole number from 1 to 16"},
        {{"a", "--count=99999999999999999999", NULL},
         "--count: must be a whole number from 1 to 16"},
        {{"a", "--memory", "much", NULL}, "--memory: must be a size such as 64MiB or 2GB"},
        {{"a", "--pause", "30", NULL}, "--pause: must be a duration such as 500ms, 30s or 2h"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample sample;
        struct trib_error error;
        assert_int_equal(read_words(&sample, &error, cases[i].words), TRIB_EINVALID);
        if (strncmp(error.text, cases[i].text, strlen(cases[i].text)) != 0) {
            fail_msg("%s instead of %s", error.text, cases[i].text);
        }
    }
}

static void a_list_ends_at_its_limit(void **state) {
    (void)state;
    const char *words[TRIB_OPTION_LIST_MAX + 3] = {"run"};
    struct sample sample;
    struct trib_error error;
    for (size_t i = 1; i <= TRIB_OPTION_LIST_MAX; i++) {
        words[i] = "--host=x";
    }
    assert_int_equal(read_words(&sample, &error, words), TRIB_OK);
    assert_int_equal(sample.hosts.count, TRIB_OPTION_LIST_MAX);
    words[TRIB_OPTION_LIST_MAX + 1] = "--host=x";
    assert_int_equal(read_words(&sample, &error, words), TRIB_EINVALID);
}

static void an_empty_table_takes_nothing(void **state) {
    (void)state;
    static const struct trib_option none[] = {{0}};
    const char *const words[] = {"--help", "me"};
    char target;
    struct trib_error error = {0};
    assert_int_equal(trib_options_read(none, words, 0, &target, &error), TRIB_OK);
    assert_int_equal(trib_options_read(none, words, 1, &target, &error), TRIB_EINVALID);
    assert_int_equal(trib_options_read(none, words + 1, 1, &target, &error), TRIB_EINVALID);
}

static void help_has_each_row_with_its_default(void **state) {
    (void)state;
    struct trib_text text;
    trib_text_init(&text, trib_env_system());
    trib_options_usage(table, &text);
    assert_string_equal(text.bytes, " RUN [VERSION] [options]");
    trib_text_deinit(&text);
    trib_options_help(table, &text);
    assert_string_equal(text.bytes, "  RUN                       which run (required)\n"
                                    "  VERSION                   which version (default latest)\n"
                                    "  --output FILE             where to (default: the screen)\n"
                                    "  --loud                    say more\n"
                                    "  --host NAME               a host; may be repeated\n"
                                    "  --count N                 how many (default 4)\n"
                                    "  --memory SIZE             how much (default 64MiB)\n"
                                    "  --pause DURATION          how long (default 30s)\n");
    trib_text_deinit(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_given_has_its_default),
        cmocka_unit_test(both_spellings_of_a_value_are_read),
        cmocka_unit_test(a_value_may_hold_an_equals_sign_and_begin_with_dashes),
        cmocka_unit_test(nothing_is_a_name_behind_two_dashes),
        cmocka_unit_test(refusals_say_what_is_wrong_and_what_is_allowed),
        cmocka_unit_test(a_list_ends_at_its_limit),
        cmocka_unit_test(an_empty_table_takes_nothing),
        cmocka_unit_test(help_has_each_row_with_its_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
