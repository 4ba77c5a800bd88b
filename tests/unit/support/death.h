/* death.h - whether an action breaks a promise, tried in a child process. */
#ifndef TRIB_SUPPORT_DEATH_H
#define TRIB_SUPPORT_DEATH_H

#include <stdbool.h>

/* True when action(context) ends in abort(); what it prints is thrown away. The caller's memory
 * is not changed. Only for single-threaded tests. */
bool trib_test_aborts(void (*action)(void *context), void *context);

#endif
