/* calendar.h - what happens next in virtual time: a heap of moments, the earliest first.
 *
 * Moments of one time come in the order in which they were put in, so a simulation that puts the
 * same moments in always takes the same ones out. */
#ifndef TRIB_SIM_CALENDAR_H
#define TRIB_SIM_CALENDAR_H

#include "base/env.h"

struct trib_moment {
    trib_time_ns at;
    uint64_t order; /* among moments of one time; the calendar's */
    uint64_t what;  /* the owner's */
};

struct trib_calendar {
    const struct trib_env *env;  /* private */
    struct trib_moment *moments; /* private: the heap */
    size_t count;                /* read-only */
    size_t capacity;             /* private */
    uint64_t put_count;          /* private: so far */
};

void trib_calendar_init(struct trib_calendar *calendar, const struct trib_env *env);
void trib_calendar_deinit(struct trib_calendar *calendar); /* all-zero is safe */
/* False: no memory, nothing has changed.  Cost: O(log count). */
bool trib_calendar_put(struct trib_calendar *calendar, trib_time_ns at, uint64_t what);
/* When the first moment comes; TRIB_TIME_NEVER: there is none. */
trib_time_ns trib_calendar_next(const struct trib_calendar *calendar);
/* Take the first moment out. False: there is none. */
bool trib_calendar_take(struct trib_calendar *calendar, struct trib_moment *moment);

#endif
