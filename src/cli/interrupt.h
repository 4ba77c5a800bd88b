/* interrupt.h - what SIGINT and SIGTERM do to a command that would be cut off in the middle. */
#ifndef TRIB_CLI_INTERRUPT_H
#define TRIB_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on the first SIGINT or SIGTERM calls `notice` (which must be async-signal-safe) and
 * trib_is_interrupted() is true; a second one ends the program at once. NULL: the first one ends
 * it too, with exit code 130. */
void trib_interrupt_catch(void (*notice)(void));
bool trib_is_interrupted(void);

/* A draft that is removed when a signal ends the program; NULL: none. Kept, not copied. */
void trib_interrupt_removes(const char *path);

#endif
