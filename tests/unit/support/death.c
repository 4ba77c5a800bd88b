/* death.c - fork, act, look at the signal. */
#include "support/death.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/status.h"

bool trib_test_aborts(void (*action)(void *context), void *context) {
    pid_t child = fork();
    TRIB_ASSERT(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = {0};
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        signal(SIGABRT, SIG_DFL); /* cmocka's handler would go on with the next test */
        action(context);
        _exit(0);
    }
    int outcome;
    TRIB_ASSERT(waitpid(child, &outcome, 0) == child);
    return WIFSIGNALED(outcome) && WTERMSIG(outcome) == SIGABRT;
}
