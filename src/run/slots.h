/* slots.h - admitted updates from admission until their version is persisted.
 *
 * A fixed number of places; what was decided at admission stands in them and never
 * changes, but for weights that weight_share_max cuts before the fold. */
#ifndef TRIB_RUN_SLOTS_H
#define TRIB_RUN_SLOTS_H

#include "base/map.h"
#include "run/run.h"

enum trib_slot_state {
    TRIB_SLOT_FREE,
    TRIB_SLOT_WRITING, /* SPOOL issued */
    TRIB_SLOT_DURABLE, /* acknowledged; not yet given to a fold */
    TRIB_SLOT_FOLDING, /* FOLD issued */
    TRIB_SLOT_FOLDED,
};

/* The target of an update that waits for its version; staleness and weight are 0 until then. */
#define TRIB_TARGET_HELD UINT64_C(0)

struct trib_admitted {
    enum trib_slot_state state;
    uint32_t client_index;
    char client[TRIB_NAME_BYTES];
    char id[TRIB_NAME_BYTES];
    trib_version base, target;
    uint64_t staleness, weight, examples;
    bool is_answer; /* to the task that its client had */
    uint32_t hold;  /* what it waits for while its target is TRIB_TARGET_HELD: enum trib_hold */
    struct trib_digest digest; /* of the body, once durable */
    trib_request request;      /* who waits for the acknowledgement; 0 = nobody */
    trib_slot next;            /* in the list it is in: free ones, or durable ones of its buffer */
};

struct trib_slots {
    const struct trib_env *env;  /* private */
    struct trib_admitted *items; /* [slot_count] */
    uint32_t slot_count;         /* read-only */
    uint32_t used;               /* read-only: not free */
    uint32_t touched;            /* private: no slot from this one on was ever used */
    trib_slot first_free;        /* private */
    struct trib_map ids;         /* private: client and id -> slot */
};

/* False: no memory (deinit is safe). */
bool trib_slots_init(struct trib_slots *slots, const struct trib_env *env, uint32_t slot_count);
void trib_slots_deinit(struct trib_slots *slots);

/* TRIB_SLOT_NONE: not here. */
trib_slot trib_slots_find(const struct trib_slots *slots, const char *client, const char *id);
/* A place for a new update, known by (client, id) from now on; all else is zero but the state,
 * TRIB_SLOT_WRITING. TRIB_SLOT_NONE: all are taken, or no memory. */
trib_slot trib_slots_take(struct trib_slots *slots, const char *client, const char *id);
void trib_slots_free(struct trib_slots *slots, trib_slot slot);
/* The first slot of this version from `from` on; TRIB_SLOT_NONE: there is none. */
trib_slot trib_slots_next_of(const struct trib_slots *slots, trib_version target, trib_slot from);

/* Slots of the versions first to final that are durable or beyond, sorted by client, then id.
 * Returns how many there are; writes at most slots_max. */
size_t trib_slots_gather(const struct trib_slots *slots, trib_version first, trib_version final,
                         trib_slot *gathered, size_t slots_max);

#endif
