/* agenda.h - when each client next needs a look: one time per index, the earliest first.
 *
 * A binary heap of indices that knows where each index sits, so that a time can be moved. */
#ifndef TRIB_RUN_AGENDA_H
#define TRIB_RUN_AGENDA_H

#include "base/env.h"

struct trib_agenda_entry {
    trib_time_ns due; /* of this index */
    uint32_t place;   /* of this index: its position in the heap + 1; 0 = it has no time */
    uint32_t index;   /* the heap: whose time is at this position */
};

struct trib_agenda {
    const struct trib_env *env;        /* private */
    struct trib_agenda_entry *entries; /* private: [capacity] */
    uint32_t capacity;                 /* read-only */
    uint32_t count;                    /* read-only: indices that have a time */
};

void trib_agenda_init(struct trib_agenda *agenda, const struct trib_env *env);
void trib_agenda_deinit(struct trib_agenda *agenda); /* all-zero is safe */
/* Room for the indices below capacity; never shrinks. False: no memory, nothing has changed. */
bool trib_agenda_reserve(struct trib_agenda *agenda, uint32_t capacity);
/* Give index (< capacity) a time; TRIB_TIME_NEVER takes it off.  Cost: O(log count). */
void trib_agenda_set(struct trib_agenda *agenda, uint32_t index, trib_time_ns due);
/* The earliest time and, unless index is NULL, whose it is; TRIB_TIME_NEVER: nobody's. */
trib_time_ns trib_agenda_first(const struct trib_agenda *agenda, uint32_t *index);

#endif
