/* test_planning.c - what is planned before runs are created, and what cannot be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "screen.h"
#include "support/check.h"
#include "support/env_faulty.h"

/* The example of FedCollab: two pairs of sites, near within and far between. */
#define PAIRS                                                                    \
    "{\"examples\": {\"a\": 4, \"b\": 6, \"c\": 3, \"d\": 7}, \"divergence\": [" \
    "[0, 0.5, 1, 1], [0.5, 0, 1, 1], [1, 1, 0, 0.5], [1, 1, 0.5, 0]]}"

static void write_file(char path[32], const char *text) {
    strcpy(path, "/tmp/trib-plan-XXXXXX");
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, strlen(text)), strlen(text));
    close(descriptor);
}

static void check_coalitions(const char *text, const char *complexity, enum trib_exit exit,
                             const char *out, const char *err) {
    char path[32];
    write_file(path, text);
    struct test_screen screen;
    test_screen_init(&screen, trib_env_system());
    assert_int_equal(TEST_RUN(&screen, "plan", "coalitions", path, "--complexity", complexity),
                     exit);
    assert_string_equal(screen.out, out);
    if (strstr(screen.err, err) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", err, screen.err);
    }
    test_screen_deinit(&screen);
    unlink(path);
}

static void coalitions_are_printed_as_they_are_used(void **state) {
    (void)state;
    check_coalitions(PAIRS, "2", TRIB_EXIT_OK,
                     "select: {require: {site: [\"a\",\"b\"]}}\n"
                     "select: {require: {site: [\"c\",\"d\"]}}\n",
                     "mean cost 0.882456\n");
    check_coalitions(PAIRS, "10", TRIB_EXIT_OK,
                     "select: {require: {site: [\"a\",\"b\",\"c\",\"d\"]}}\n",
                     "mean cost 2.86107\n");
    /* What was estimated below 0 is as near as can be. */
    check_coalitions("{\"examples\": {\"a\": 1, \"b\": 1}, \"divergence\": [[0, -0.1], [-0.1, 0]]}",
                     "1", TRIB_EXIT_OK, "select: {require: {site: [\"a\",\"b\"]}}\n", "mean cost");
}

static void a_file_that_makes_no_sense_is_refused_where_it_does_not(void **state) {
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"{\"examples\": {\"a\": 1,}}", ":1:22: "},
        {"{}", "examples: must name 1 to 1000 sites"},
        {"[1]", "examples: must name 1 to 1000 sites"},
        {"{\"examples\": {\"a\": 0}, \"divergence\": [[0]]}",
         "examples.a: must be a number above 0"},
        {"{\"examples\": {\"a\": \"x\"}, \"divergence\": [[0]]}", "examples.a: must be a number"},
        {"{\"examples\": {\"a\": 1, \"b\": 1}, \"divergence\": [[0, 1]]}",
         "divergence: must have a row for each of 2 sites"},
        {"{\"examples\": {\"a\": 1, \"b\": 1}, \"divergence\": [[0, 1], [1]]}",
         "divergence[1]: must be a row of 2 numbers"},
        {"{\"examples\": {\"a\": 1, \"b\": 1}, \"divergence\": [[0, 1], [0.5, 0]]}",
         "divergence[0][1]: must be a number, the same as its mirror image"},
        {"{\"examples\": {\"a\": 1, \"b\": 1}, \"divergence\": [[0, 1], [1, 0.5]]}",
         "divergence[1][1]: must be 0"},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        check_coalitions(rows[row].text, "10", TRIB_EXIT_FAILED, "", rows[row].error);
    }
    check_coalitions(PAIRS, "many", TRIB_EXIT_USAGE, "", "--complexity: must be a number");
    check_coalitions(PAIRS, "-1", TRIB_EXIT_USAGE, "", "--complexity: must be a number");
}

static void no_memory_is_an_answer(void **state) {
    (void)state;
    char path[32];
    write_file(path, PAIRS);
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&faulty, ++nth);
        struct test_screen screen;
        test_screen_init(&screen, &faulty.env);
        enum trib_exit exit = TEST_RUN(&screen, "plan", "coalitions", path);
        assert_true(exit == (faulty.has_failed ? TRIB_EXIT_FAILED : TRIB_EXIT_OK));
        assert_true(!faulty.has_failed || strstr(screen.err, "memory") != NULL);
        assert_int_equal(faulty.blocks_live, 0);
        test_screen_deinit(&screen);
    } while (faulty.has_failed);
    assert_true(nth > 6);
    trib_env_faulty_deinit(&faulty);
    unlink(path);
}

static void requests_are_printed_as_strategies(void **state) {
    (void)state;
    struct test_screen screen;
    test_screen_init(&screen, trib_env_system());
    assert_int_equal(TEST_RUN(&screen, "plan", "requests", "a=2", "b=0", "c=2", "--total", "24"),
                     TRIB_EXIT_OK);
    assert_string_equal(screen.out,
                        "a: {preset: fedbuff, staleness: constant, goal: 3, concurrency: 12}\n"
                        "c: {preset: fedbuff, staleness: constant, goal: 3, concurrency: 12}\n");
    test_screen_deinit(&screen);
    static const struct {
        const char *run, *total, *error;
    } rows[] = {
        {"a", "8", "a: must be RUN=SCORE"},           {"a=", "8", "a=: must be RUN=SCORE"},
        {"a/b=1", "8", "a/b=1: must be RUN=SCORE"},   {"a=-1", "8", "a=-1: must be RUN=SCORE"},
        {"a=nan", "8", "a=nan: must be RUN=SCORE"},   {"a=1", "3", "--total: must have --unit, 4"},
        {"a=0", "8", "--total: must have --unit, 4"},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        test_screen_init(&screen, trib_env_system());
        assert_true(TEST_RUN(&screen, "plan", "requests", rows[row].run, "--total",
                             rows[row].total) != TRIB_EXIT_OK);
        assert_non_null(strstr(screen.err, rows[row].error));
        test_screen_deinit(&screen);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coalitions_are_printed_as_they_are_used),
        cmocka_unit_test(a_file_that_makes_no_sense_is_refused_where_it_does_not),
        cmocka_unit_test(no_memory_is_an_answer),
        cmocka_unit_test(requests_are_printed_as_strategies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
