/* test_crash.c - a point is nothing without a plan, and with one the process dies at that point
 * and no other. Each case runs in a child, because a plan once taken stays. */
#include "base/crash.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check.h"

#define LIVED (-1)

static void pass_many(void *context) {
    const char *reached = context;
    for (int i = 0; i < 3; i++) {
        trib_crash_point("ledger", "sync", "before");
        trib_crash_point("ledger", "sync", "after");
    }
    (void)close(open(reached, O_WRONLY | O_CREAT, 0600)); /* a trace of having lived */
}

/* The signal that ended a child which armed itself with these variables, or LIVED. */
static int end_of(const char *plan, const char *list, void (*act)(void *), void *context) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (plan)
            setenv("TRIB_CRASH", plan, 1);
        if (list)
            setenv("TRIB_CRASH_LIST", list, 1);
        struct trib_error error = {0};
        if (trib_crash_arm(&error) != TRIB_OK)
            _exit(error.status == TRIB_EINVALID && error.text[0] != '\0' ? 3 : 4);
        act(context);
        _exit(0);
    }
    int outcome;
    assert_int_equal(waitpid(child, &outcome, 0), child);
    if (WIFSIGNALED(outcome))
        return WTERMSIG(outcome);
    return WEXITSTATUS(outcome) == 0 ? LIVED : WEXITSTATUS(outcome);
}

static char folder[64], list_path[96], reached_path[96];

static int set_up(void **state) {
    (void)state;
    unsetenv("TRIB_CRASH");
    unsetenv("TRIB_CRASH_LIST");
    snprintf(folder, sizeof folder, "/tmp/trib-crash-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(list_path, sizeof list_path, "%s/list", folder);
    snprintf(reached_path, sizeof reached_path, "%s/reached", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(list_path);
    unlink(reached_path);
    return rmdir(folder);
}

static const char *listed(void) {
    static char text[4096];
    FILE *file = fopen(list_path, "r");
    size_t count = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[count] = '\0';
    return text;
}

static void test_no_plan_no_death(void **state) {
    (void)state;
    assert_int_equal(end_of(NULL, NULL, pass_many, reached_path), LIVED);
    assert_int_equal(access(reached_path, F_OK), 0);
    assert_false(trib_crash_is_armed());
}

static void test_dies_at_the_counted_passing(void **state) {
    (void)state;
    assert_int_equal(end_of("ledger.sync.after:2", list_path, pass_many, reached_path), SIGKILL);
    assert_int_not_equal(access(reached_path, F_OK), 0);
    assert_string_equal(listed(), "ledger.sync.before\nledger.sync.after\n"
                                  "ledger.sync.before\nledger.sync.after\n");
}

static void test_any_point_counts_for_the_star(void **state) {
    (void)state;
    assert_int_equal(end_of("*:3", list_path, pass_many, reached_path), SIGKILL);
    assert_string_equal(listed(), "ledger.sync.before\nledger.sync.after\nledger.sync.before\n");
}

static void test_a_point_that_is_not_reached_kills_nobody(void **state) {
    (void)state;
    static const char *const plans[] = {"ledger.sync.after:4", "ledger.sync:1", "*:7", "other:1"};
    for (size_t index = 0; index < sizeof plans / sizeof *plans; index++)
        assert_int_equal(end_of(plans[index], NULL, pass_many, reached_path), LIVED);
}

static void test_a_plan_with_a_slip_in_it_is_refused(void **state) {
    (void)state;
    static const char *const plans[] = {"",        "ledger.sync.after",
                                        ":1",      "a:",
                                        "a:0",     "a:-1",
                                        "a: 1",    "a:1x",
                                        "a:1:",    "a:1:powers",
                                        "a:1:p:r", "a:99999999999999999999"};
    for (size_t index = 0; index < sizeof plans / sizeof *plans; index++)
        assert_int_equal(end_of(plans[index], NULL, pass_many, reached_path), 3);
    assert_int_equal(end_of(NULL, "/none/such/list", pass_many, reached_path), 3);
}

static void leave_a_trace(void *path) {
    (void)close(open(path, O_WRONLY | O_CREAT, 0600));
}

static void pass_one_with_a_last_act(void *path) {
    trib_crash_set_last_act(leave_a_trace, path);
    trib_crash_point("a", "b", "c");
}

static void test_only_a_power_cut_has_a_last_act(void **state) {
    (void)state;
    assert_int_equal(end_of("a.b.c:1", NULL, pass_one_with_a_last_act, reached_path), SIGKILL);
    assert_int_not_equal(access(reached_path, F_OK), 0);
    assert_int_equal(end_of("a.b.c:1:power", NULL, pass_one_with_a_last_act, reached_path),
                     SIGKILL);
    assert_int_equal(access(reached_path, F_OK), 0);
}

int main(void) {
#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_no_plan_no_death),
        CASE(test_dies_at_the_counted_passing),
        CASE(test_any_point_counts_for_the_star),
        CASE(test_a_point_that_is_not_reached_kills_nobody),
        CASE(test_a_plan_with_a_slip_in_it_is_refused),
        CASE(test_only_a_power_cut_has_a_last_act),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
