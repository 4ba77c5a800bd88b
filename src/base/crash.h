/* crash.h - named points at which a test lets the process die.
 *
 * A point is passed in silence, for one relaxed load, unless the environment asks for more:
 *
 *   TRIB_CRASH=ledger.sync.before:2    SIGKILL at the second passing of this point
 *   TRIB_CRASH=*:41                    at the 41st passing of any point
 *   TRIB_CRASH=*:41:power              as if the power failed: what files were given and not
 *                                      synced is taken back first (files_crash.h)
 *   TRIB_CRASH_LIST=path               append the name of each point passed, one per line
 *
 * Nothing is caught and nothing cleaned up, so what a restart finds is what a real crash leaves.
 * docs/state.md lists the points. Thread: any. */
#ifndef TRIB_BASE_CRASH_H
#define TRIB_BASE_CRASH_H

#include <stdbool.h>

#include "base/status.h"

/* Read the two variables; a plan once taken stays. TRIB_EINVALID: a variable is not as above or
 * its file cannot be opened, and nothing is armed: a test with a slip in it must not pass. */
enum trib_status trib_crash_arm(struct trib_error *error);

/* Is there a plan or a list? And is the plan's death one of power? */
bool trib_crash_is_armed(void);
bool trib_crash_is_power_cut(void);

/* Pass "subject.action.moment". None may be NULL. */
void trib_crash_point(const char *subject, const char *action, const char *moment);

/* What is to be done between the decision to die of a power cut and the death; NULL: nothing more.
 * One per process: a second replaces the first. Called with no other point being passed. */
void trib_crash_set_last_act(void (*act)(void *context), void *context);

#endif
