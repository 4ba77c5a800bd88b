/* interrupt.c - what SIGINT and SIGTERM do to a command that would be cut off in the middle. */
#include "cli/interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "cli/command.h"

/* Signal handlers can be given nothing, so this is the one place of the room with state. */
static void (*volatile noticing)(void);
static const char *volatile draft;
static atomic_bool is_interrupted;

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

void trib_interrupt_catch(void (*notice)(void)) {
    noticing = notice;
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);     /* cannot fail */
    (void)sigaction(SIGINT, &action, NULL); /* cannot fail for these two */
    (void)sigaction(SIGTERM, &action, NULL);
}

bool trib_is_interrupted(void) {
    return atomic_load(&is_interrupted);
}

void trib_interrupt_removes(const char *path) {
    draft = path;
}
