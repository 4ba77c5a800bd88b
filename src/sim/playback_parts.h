/* playback_parts.h - the playback from inside, and what its files do for each other.
 *
 *   playback.c          opens everything, reads the tapes, starts the heart anew where it was
 *   playback_effects.c  what the heart wants done: bodies, sums, versions
 *   playback_ledger.c   what is on record, and whether it is the same */
#ifndef TRIB_SIM_PLAYBACK_PARTS_H
#define TRIB_SIM_PLAYBACK_PARTS_H

#include <jansson.h>

#include "node/replay.h"
#include "node/tape.h"
#include "sim/playback.h"
#include "sim/pupils.h"
#include "store/ledger.h"

/* What is behind a slot of the heart once it is durable. */
struct trib_playback_slot {
    enum trib_event_kind owed; /* SPOOLED or FOLDED; TICK: nothing */
    const struct trib_spool_entry *entry;
    struct trib_block *body; /* trained again; NULL: the one that was kept */
    double loss;
};

/* One update of a version that was merged. */
struct trib_playback_counted {
    char client[TRIB_NAME_BYTES], update[TRIB_NAME_BYTES];
    uint64_t base, staleness, weight, examples;
    struct trib_digest digest;
};

struct trib_playback {
    const struct trib_env *env;
    const struct trib_playback_options *options;
    struct trib_playback_report *report;
    struct trib_error *error;
    enum trib_status status; /* of the effects of one event: the first that failed */

    struct trib_ledger *ledger;
    uint64_t next_record; /* the first that was not compared yet */
    struct trib_spool *spool;
    struct trib_bodies bodies;
    json_t *first_spec;
    struct trib_revisions revisions;

    uint64_t tape;               /* number of the one that is read */
    bool is_opened;              /* it has told where the run stood */
    struct trib_spec *spec;      /* in force */
    const json_t *spec_document; /* its document, borrowed */
    struct trib_run *run;
    struct trib_effects effects;
    trib_time_ns now, began_at;       /* began_at: of the first event */
    struct trib_playback_slot *slots; /* [updates_pending_max] */
    struct trib_map records;          /* numbers of RECORD effects that are not durable yet */
    enum trib_event_kind owed;        /* MERGED or PERSISTED, of made.version; TICK: nothing */
    struct trib_pupils pupils;

    struct trib_model model;
    bool has_model;
    struct trib_block *previous; /* the version before model.current; NULL: none */
    unsigned char *state;        /* of the optimizer after model.current, encoded */
    size_t state_bytes;
    struct {                  /* the version that was merged and is not on record yet */
        trib_version version; /* 0: none */
        struct trib_playback_counted *updates;
        size_t count;
        double loss;
        uint64_t losses;
    } made;
    const struct trib_spool_entry *combined; /* what an external combiner sent for the next one */
    struct {                                 /* a change of state that is not on record yet */
        bool is_set;
        enum trib_run_state state;
        char reason[96];
    } change;
};

/* Note the first failure; error is in words, or NULL. */
void trib_playback_fail(struct trib_playback *playback, enum trib_status status,
                        const struct trib_error *error);

/* --- playback_effects.c --- */

/* False: nobody waits for this event. */
bool trib_playback_is_owed(const struct trib_playback *playback, const struct trib_event *event);
void trib_playback_settle(struct trib_playback *playback, const struct trib_event *event);
void trib_playback_carry(struct trib_playback *playback, const struct trib_effect *effect);
void trib_playback_forget_slots(struct trib_playback *playback);
/* Did the spool take this update as the heart admits it now, with this body? */
enum trib_status trib_playback_compare_entry(const struct trib_playback *playback,
                                             const struct trib_slot_view *view,
                                             const struct trib_digest *digest,
                                             const struct trib_spool_entry **entry);
/* It is what is behind the slot; where clients train again, this one does. */
enum trib_status trib_playback_take_update(struct trib_playback *playback, trib_slot number,
                                           const struct trib_spool_entry *entry);

/* --- playback_ledger.c --- */

/* Compare the records up to this index. */
enum trib_status trib_playback_catch_up(struct trib_playback *playback, uint64_t record_end);
/* Compare the records up to that of a version, or of a state. */
enum trib_status trib_playback_find_version(struct trib_playback *playback);
enum trib_status trib_playback_find_state(struct trib_playback *playback);
/* Where the combiner is external: fold what came for the next version instead of its updates. */
enum trib_status trib_playback_fold_combined(struct trib_playback *playback, uint32_t accumulator);
/* Score a version of those that are to be scored, where there is somebody who can. */
void trib_playback_evaluate(struct trib_playback *playback, struct trib_fleet_point *point);
/* Keep the optimizer's state, to come back to it. */
enum trib_status trib_playback_save_state(struct trib_playback *playback);

#endif
