/* interrupt.c - what SIGINT and SIGTERM do to a command that would be cut off in the middle. */
#include "cli/interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "cli/command.h"

#define STACK_BYTES 65536 /* AVX-512 and AMX registers alone take 11 KiB of it */

/* Signal handlers can be given nothing, so this is the one place of the room with state. */
static void (*volatile noticing)(void);
static const char *volatile draft;
static atomic_bool is_interrupted;
static char stack[STACK_BYTES];

static void on_signal(int number) {
    (void)number; /* both mean the same */
    bool was_interrupted = atomic_exchange(&is_interrupted, true);
    if (noticing != NULL && !was_interrupted) {
        noticing();
        return;
    }
    if (draft != NULL) {
        (void)unlink(draft); /* nothing to be done about a failure here */
    }
    _exit(TRIB_EXIT_INTERRUPTED);
}

/* The handler has a stack of its own: oneDNN's kernels point the stack register into their data, and
 * what is pushed there for a signal would destroy it (2026-11-20, MNIST network: 7 % of the signals
 * during training found it there, and each of those runs crashed without this). */
void trib_interrupt_catch(void (*notice)(void)) {
    const stack_t own = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    noticing = notice;
    /* None of these can fail with these arguments. */
    (void)sigaltstack(&own, NULL);
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool trib_is_interrupted(void) {
    return atomic_load(&is_interrupted);
}

void trib_interrupt_removes(const char *path) {
    draft = path;
}
