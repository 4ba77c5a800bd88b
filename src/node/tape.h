/* tape.h - what the heart of a run was told, in order: enough to play the run again (trib replay).
 *
 * The heart is pure: the same calls give the same effects. So a run whose updates are kept for ever
 * also keeps every event with its time, and what a start restored. Each opening of a run writes a
 * tape of its own, runs/<run>/tape/<n>, a journal (docs/state.md); the first thing it tells is where
 * the run stood.
 *
 *   loop thread     trib_tape_add() ... trib_tape_take()      memory only
 *   recording job                        trib_tape_write()    append, sync; then the ledger's record
 *
 * What the ledger has is therefore on a tape, after any crash. What is on none, the heart took in
 * between the last record and the crash: the next tape begins with whatever of it was durable.
 *
 * A tape that cannot be written ends there, and the run goes on: it is evidence, not state. */
#ifndef TRIB_NODE_TAPE_H
#define TRIB_NODE_TAPE_H

#include "base/text.h"
#include "run/run.h"
#include "store/directory.h"
#include "store/journal.h"
#include "store/numbers.h"

enum trib_told_kind {
    TRIB_TOLD_EVENT = 1,  /* a step of this event */
    TRIB_TOLD_RESTORE,    /* the first of a tape: restored; ledger_count records were there */
    TRIB_TOLD_CLIENT,     /* event: client, role, attributes */
    TRIB_TOLD_SET_ASIDE,  /* event: client; NULL: all are forgiven */
    TRIB_TOLD_EVALUATION, /* event: client, version, examples, metric, has_metric */
    TRIB_TOLD_PENDING,    /* event: client, id, version (its base), examples, digest; and target,
                             staleness, weight */
    TRIB_TOLD_KIND_END
};

/* One call of the heart. */
struct trib_told {
    enum trib_told_kind kind;
    struct trib_event event;
    uint64_t target, staleness, weight;
    uint64_t ledger_count;
    struct trib_restored restored;
};

/* Restore by it (not an event). *slot: of PENDING. False: as the heart's function says. */
bool trib_told_restore(struct trib_run *run, const struct trib_told *told, trib_slot *slot);

/* --- writing ------------------------------------------------------------------------------------ */

struct trib_tape {
    const struct trib_env *env;           /* private; NULL: nothing is kept */
    const struct trib_files *files;       /* private */
    char run_path[TRIB_NAME_BYTES + 8];   /* private: "runs/<run>" */
    char path[TRIB_DIRECTORY_PATH_BYTES]; /* private: of its file, made by the first write */
    struct trib_text gathered;            /* private: loop thread */
    trib_time_ns now;                     /* private: of the newest event */
    struct trib_text writing;             /* private: recording job, or nobody's */
    struct trib_journal journal;          /* private: recording job */
    bool has_journal, is_broken;          /* private: recording job */
};

/* Choose the next number; nothing is written yet. TRIB_EIO, TRIB_EMEMORY: all zero. */
enum trib_status trib_tape_begin(struct trib_tape *tape, const struct trib_env *env,
                                 const struct trib_files *files, const char *run);
void trib_tape_end(struct trib_tape *tape); /* all-zero is safe; what was not written is lost */

/* All of these do nothing for a tape that is all zero. Without memory, or when nothing is written
 * any more, the tape ends before it. */
void trib_tape_add(struct trib_tape *tape, const struct trib_told *told);
void trib_tape_add_event(struct trib_tape *tape, const struct trib_event *event);
/* So much has gathered that it should be written before there is a record. */
bool trib_tape_is_due(const struct trib_tape *tape);
/* Hand over what has gathered; the write of before is over. */
void trib_tape_take(struct trib_tape *tape);
/* Append and sync what was handed over. After an error nothing is written any more: TRIB_OK. */
enum trib_status trib_tape_write(struct trib_tape *tape);

/* --- reading ------------------------------------------------------------------------------------ */

/* Numbers of all tapes of a run, ascending; the caller's to deinit. None: TRIB_OK. */
enum trib_status trib_tape_list(const struct trib_env *env, const struct trib_files *files,
                                const char *run, struct trib_numbers *numbers);
/* told is borrowed until return. Anything but TRIB_OK ends the reading and is returned. */
typedef enum trib_status trib_tape_visit(void *context, const struct trib_told *told);
/* Everything that this tape tells; a torn tail is passed over. TRIB_ECORRUPT: error says where, but
 * for words of the visitor. */
enum trib_status trib_tape_read(const struct trib_env *env, const struct trib_files *files,
                                const char *run, uint64_t number, struct trib_error *error,
                                void *context, trib_tape_visit *visit);

#endif
