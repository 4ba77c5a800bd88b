/* test_interrupt.c - the first signal is a request, the second an end; handlers leave data alone. */
#include "cli/interrupt.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check.h"

static volatile sig_atomic_t notice_count;
static volatile sig_atomic_t is_on_own_stack;

static void notice(void) {
    char here;
    stack_t own;
    notice_count++;
    is_on_own_stack = sigaltstack(NULL, &own) == 0 && &here >= (char *)own.ss_sp &&
                      &here < (char *)own.ss_sp + own.ss_size;
}

/* What a child that does this ends with: its exit code, or -1. */
static int outcome_of(void (*act)(void)) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        act();
        _exit(99);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void take_one_signal(void) {
    trib_interrupt_catch(notice);
    bool was_interrupted = trib_is_interrupted();
    (void)raise(SIGTERM);
    _exit(!was_interrupted && trib_is_interrupted() && notice_count == 1 ? 7 : 8);
}

static void take_two_signals(void) {
    trib_interrupt_catch(notice);
    (void)raise(SIGINT);
    (void)raise(SIGTERM);
}

static void look_at_the_stack(void) {
    trib_interrupt_catch(notice);
    (void)raise(SIGTERM);
    _exit(is_on_own_stack ? 7 : 8);
}

static void end_without_notice(void) {
    trib_interrupt_catch(NULL);
    (void)raise(SIGINT);
}

static char draft[] = "/tmp/trib-cli-XXXXXX";

static void end_with_a_draft(void) {
    trib_interrupt_catch(NULL);
    trib_interrupt_removes(draft);
    (void)raise(SIGINT);
}

static void end_without_the_draft(void) {
    trib_interrupt_catch(NULL);
    trib_interrupt_removes(draft);
    trib_interrupt_removes(NULL);
    (void)raise(SIGINT);
}

static void the_first_signal_is_noticed_once(void **state) {
    (void)state;
    assert_int_equal(outcome_of(take_one_signal), 7);
}

static void the_second_signal_ends_the_program(void **state) {
    (void)state;
    assert_int_equal(outcome_of(take_two_signals), 130);
}

/* Training points the stack register into its data (see interrupt.c). */
static void the_handler_has_a_stack_of_its_own(void **state) {
    (void)state;
    assert_int_equal(outcome_of(look_at_the_stack), 7);
}

static void without_a_notice_the_first_signal_ends_it(void **state) {
    (void)state;
    assert_int_equal(outcome_of(end_without_notice), 130);
}

static void a_draft_is_removed_and_nothing_else(void **state) {
    (void)state;
    int descriptor = mkstemp(draft);
    assert_true(descriptor >= 0);
    assert_int_equal(close(descriptor), 0);
    assert_int_equal(outcome_of(end_without_the_draft), 130);
    assert_int_equal(access(draft, F_OK), 0);
    assert_int_equal(outcome_of(end_with_a_draft), 130);
    assert_int_not_equal(access(draft, F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_signal_is_noticed_once),
        cmocka_unit_test(the_second_signal_ends_the_program),
        cmocka_unit_test(the_handler_has_a_stack_of_its_own),
        cmocka_unit_test(without_a_notice_the_first_signal_ends_it),
        cmocka_unit_test(a_draft_is_removed_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
