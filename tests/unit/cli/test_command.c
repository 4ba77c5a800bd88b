/* test_command.c - the table of commands is complete, and each command line finds its way. */
#include "cli/command.h"

#include "screen.h"
#include "support/check.h"

static void every_command_can_explain_itself(void **state) {
    (void)state;
    const struct trib_command *command;
    for (size_t i = 0; (command = trib_command_at(i)) != NULL; i++) {
        assert_non_null(command->name);
        assert_non_null(command->group);
        assert_non_null(command->summary);
        assert_non_null(command->run);
        assert_true(command->options_bytes > 0);
        for (const struct trib_option *row = command->options; row->name != NULL; row++) {
            assert_non_null(row->meaning);
            assert_true(row->offset < command->options_bytes);
            if (row->kind == TRIB_OPTION_FLAG) {
                continue;
            }
            assert_non_null(row->value);
            /* What happens when it is not given is never left open. */
            if (row->is_required == (row->initial != NULL || row->otherwise != NULL)) {
                fail_msg("%s --%s: its default is not told", command->name, row->name);
            }
        }
    }
}

static void every_default_can_be_read(void **state) {
    (void)state;
    const struct trib_command *command;
    for (size_t i = 0; (command = trib_command_at(i)) != NULL; i++) {
        const char *words[64];
        size_t count = 0;
        char target[2048] = {0};
        struct trib_error error = {0};
        char names[64][80];
        assert_true(command->options_bytes <= sizeof target);
        for (const struct trib_option *row = command->options; row->name != NULL; row++) {
            if (row->is_required) {
                (void)snprintf(names[count], sizeof names[count],
                               row->is_positional ? "x" : "--%s=x", row->name);
                words[count] = names[count];
                count++;
            }
        }
        if (trib_options_read(command->options, words, count, target, &error) != TRIB_OK) {
            fail_msg("%s: %s", command->name, error.text);
        }
    }
}

static void names_are_unique_and_groups_together(void **state) {
    (void)state;
    const struct trib_command *command, *other;
    for (size_t i = 0; (command = trib_command_at(i)) != NULL; i++) {
        bool is_left = false;
        for (size_t k = i + 1; (other = trib_command_at(k)) != NULL; k++) {
            assert_string_not_equal(command->name, other->name);
            bool is_same = strcmp(command->group, other->group) == 0;
            assert_false(is_left && is_same);
            is_left = is_left || !is_same;
        }
    }
}

static void one_or_two_words_name_a_command(void **state) {
    (void)state;
    const char *const two[] = {"run", "create", "spec.yaml"};
    const char *const one[] = {"status", "list"};
    size_t used;
    assert_ptr_equal(trib_command_find(two, 3, &used, NULL), &trib_command_run_create);
    assert_int_equal(used, 2);
    assert_ptr_equal(trib_command_find(one, 2, &used, NULL), &trib_command_status);
    assert_int_equal(used, 1);
}

static void an_unknown_command_is_told_the_nearest(void **state) {
    (void)state;
    struct test_screen screen;
    test_screen_init(&screen, trib_env_system());
    assert_int_equal(TEST_RUN(&screen, "statsu"), TRIB_EXIT_USAGE);
    assert_string_equal(screen.err, "trib: statsu: unknown command; did you mean status?\n");
    assert_int_equal(TEST_RUN(&screen, "run", "craete", "x"), TRIB_EXIT_USAGE);
    assert_string_equal(screen.err,
                        "trib: run craete: unknown command; did you mean run create?\n");
    assert_int_equal(TEST_RUN(&screen, "run"), TRIB_EXIT_USAGE);
    assert_string_equal(screen.err, "trib: run: which? See 'trib help run'\n");
    assert_int_equal(TEST_RUN(&screen, "qqqqqqqqqqqq"), TRIB_EXIT_USAGE);
    assert_string_equal(screen.err, "trib: qqqqqqqqqqqq: unknown command; see 'trib help'\n");
    assert_int_equal(trib_cli_run(&screen.cli, NULL, 0), TRIB_EXIT_USAGE);
    test_screen_deinit(&screen);
}

static void a_wrong_option_is_a_matter_of_usage(void **state) {
    (void)state;
    struct test_screen screen;
    test_screen_init(&screen, trib_env_system());
    assert_int_equal(TEST_RUN(&screen, "watch", "digits", "--gaol"), TRIB_EXIT_USAGE);
    assert_string_equal(screen.err, "trib: watch: --gaol: unknown option; did you mean --goal? "
                                    "(see 'trib help watch')\n");
    assert_int_equal(TEST_RUN(&screen, "run", "rm", "digits"), TRIB_EXIT_USAGE);
    assert_non_null(strstr(screen.err, "--yes"));
    assert_int_equal(TEST_RUN(&screen, "status", "../x"), TRIB_EXIT_USAGE);
    assert_non_null(strstr(screen.err, "not the name of a run"));
    test_screen_deinit(&screen);
}

static void help_is_found_however_it_is_asked_for(void **state) {
    (void)state;
    struct test_screen screen;
    test_screen_init(&screen, trib_env_system());
    static const char *const ways[][4] = {
        {"help", "run", "create"}, {"run", "create", "--help"}, {"run", "create", "-h"}};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(test_screen_run(&screen, ways[i]), TRIB_EXIT_OK);
        assert_int_equal(strncmp(screen.out, "Usage: trib run create SPEC", 27), 0);
        assert_non_null(strstr(screen.out, "--link-only"));
    }
    assert_int_equal(TEST_RUN(&screen, "help"), TRIB_EXIT_OK);
    assert_non_null(strstr(screen.out, "model inspect"));
    assert_int_equal(TEST_RUN(&screen, "--help"), TRIB_EXIT_OK);
    assert_int_equal(TEST_RUN(&screen, "run", "--help"), TRIB_EXIT_OK);
    assert_non_null(strstr(screen.out, "run pause"));
    assert_int_equal(TEST_RUN(&screen, "help", "spec"), TRIB_EXIT_OK);
    assert_non_null(strstr(screen.out, "evaluate.goal"));
    assert_int_equal(TEST_RUN(&screen, "help", "schema"), TRIB_EXIT_OK);
    assert_non_null(strstr(screen.out, "json-schema.org"));
    assert_int_equal(TEST_RUN(&screen, "help", "exit"), TRIB_EXIT_OK);
    assert_non_null(strstr(screen.out, "130  interrupted"));
    assert_int_equal(TEST_RUN(&screen, "help", "wathc"), TRIB_EXIT_USAGE);
    assert_non_null(strstr(screen.err, "did you mean watch?"));
    test_screen_deinit(&screen);
}

static void help_of_every_command_names_its_units(void **state) {
    (void)state;
    struct test_screen screen;
    test_screen_init(&screen, trib_env_system());
    assert_int_equal(TEST_RUN(&screen, "help", "serve"), TRIB_EXIT_OK);
    assert_non_null(strstr(screen.out, "SIZE is a number of bytes"));
    assert_non_null(strstr(screen.out, "DURATION is a number with ms, s, m, h or d"));
    assert_non_null(strstr(screen.out, "(default 256MiB)"));
    test_screen_deinit(&screen);
}

static void output_that_cannot_be_written_is_a_failure(void **state) {
    (void)state;
    struct trib_cli cli = {trib_env_system(), fopen("/dev/full", "w"), fopen("/dev/null", "w")};
    const char *const words[] = {"version"};
    assert_non_null(cli.out);
    assert_non_null(cli.err);
    assert_int_equal(trib_cli_run(&cli, words, 1), TRIB_EXIT_FAILED);
    (void)fclose(cli.out); /* fails again */
    (void)fclose(cli.err);
}

static void version_says_what_runs(void **state) {
    (void)state;
    struct test_screen screen;
    test_screen_init(&screen, trib_env_system());
    assert_int_equal(TEST_RUN(&screen, "--version"), TRIB_EXIT_OK);
    assert_int_equal(strncmp(screen.out, "trib ", 5), 0);
    assert_non_null(strstr(screen.out, "\nprotocol 1\n"));
    assert_non_null(strstr(screen.out, "\nkernels "));
    test_screen_deinit(&screen);
}

static void a_daemon_that_is_not_there_is_unreachable(void **state) {
    (void)state;
    struct test_screen screen;
    test_screen_init(&screen, trib_env_system());
    assert_int_equal(TEST_RUN(&screen, "status", "--url", "unix:/nonexistent/socket"),
                     TRIB_EXIT_UNREACHABLE);
    assert_non_null(strstr(screen.err, "is 'trib serve' running?"));
    assert_int_equal(TEST_RUN(&screen, "status", "--url", "ftp://host"), TRIB_EXIT_USAGE);
    assert_int_equal(TEST_RUN(&screen, "status", "--token-file", "/nonexistent"), TRIB_EXIT_USAGE);
    assert_non_null(strstr(screen.err, "/nonexistent"));
    test_screen_deinit(&screen);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_can_explain_itself),
        cmocka_unit_test(every_default_can_be_read),
        cmocka_unit_test(names_are_unique_and_groups_together),
        cmocka_unit_test(one_or_two_words_name_a_command),
        cmocka_unit_test(an_unknown_command_is_told_the_nearest),
        cmocka_unit_test(a_wrong_option_is_a_matter_of_usage),
        cmocka_unit_test(help_is_found_however_it_is_asked_for),
        cmocka_unit_test(help_of_every_command_names_its_units),
        cmocka_unit_test(output_that_cannot_be_written_is_a_failure),
        cmocka_unit_test(version_says_what_runs),
        cmocka_unit_test(a_daemon_that_is_not_there_is_unreachable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
