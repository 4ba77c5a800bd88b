/* hosted.h - one run as the daemon hosts it: the heart, its numbers, its files, and who waits for it.
 *
 *             events                         effects
 *   answers ----------> trib_run_step ----------------------> carry.c
 *   jobs    ---^                                 |   replies to calls
 *                                                |   intake.c   check, spool     (worker)
 *                                                |   folding.c  fold, merge      (workers)
 *                                                '   record.c   ledger, index    (worker)
 *
 * All of it belongs to the loop's thread; a job owns what it was lent until its done. */
#ifndef TRIB_NODE_HOSTED_H
#define TRIB_NODE_HOSTED_H

#include "node/combining.h"
#include "node/model.h"
#include "node/parts.h"
#include "node/phases.h"
#include "node/pruning.h"
#include "node/quotas.h"
#include "node/ranged.h"
#include "node/revoked.h"
#include "node/shares.h"
#include "node/tape.h"
#include "node/upload.h"
#include "node/watch.h"
#include "run/run.h"
#include "store/checkpoint.h"
#include "store/index.h"
#include "store/ledger.h"
#include "store/spool.h"
#include "wire/documents.h"
#include "wire/refusals.h"

struct trib_node;
struct trib_call;
struct trib_import; /* import.h */
struct trib_record; /* record.h */

/* A list of places in the spool that grows; the struct is the owner's. */
struct trib_places {
    struct trib_spool_place *items;
    size_t count, capacity;
};

/* Updates on their way into one accumulator: one batch is folded while the next gathers. */
struct trib_folding {
    struct trib_phases phases;
    struct trib_hosted *hosted;
    uint32_t accumulator;
    struct trib_upload *waiting, *waiting_last; /* for the next batch */
    struct trib_upload *batch;                  /* being folded; NULL: no job under way */
    size_t batch_count;
    struct trib_weighted_update *updates; /* [batch_count] opened */
    struct trib_spool_reader *readers;    /* [batch_count] of bodies that are not in memory */
    struct trib_source *sources;          /* [batch_count] of bodies that are */

    /* of a ranged model: what has been counted, to be folded when the version is made */
    struct trib_ranged_update *counted; /* [counted_room], counted_count of them used */
    size_t counted_count, counted_room;
};

struct trib_hosted {
    struct trib_node *node;
    struct trib_spec *spec;
    struct trib_spec *revised;      /* the newest of the ledger, not yet in force; NULL: none */
    trib_version revised_from;      /* from which version on it is */
    struct trib_run *run;           /* the heart */
    struct trib_timer *timer;       /* for trib_run_deadline() */
    struct trib_tape tape;          /* what the heart is told, where updates are kept for ever */
    char path[TRIB_NAME_BYTES + 8]; /* "runs/<name>" */

    struct trib_share share; /* of the worker threads */

    struct trib_model model;
    bool has_model;
    uint64_t model_bytes;               /* that the node is charged for it */
    char *settings[TRIB_SITES_MAX + 1]; /* of train tasks, JSON: of spec.train, then by site; NULL
                                           until the first one (carry.c) */
    struct trib_import *import;         /* version 0 is being taken in; NULL: no */
    struct trib_revoked revoked;
    struct trib_quotas quotas;

    struct trib_ledger *ledger;      /* recording job only */
    struct trib_index *index;        /* loop thread: look-ups */
    struct trib_index *index_writer; /* recording job only */
    struct trib_spool *spool;        /* commit job only, but for bodies and readers */

    struct trib_queue queues[TRIB_WANT_COUNT]; /* lending.c: uploads that wait for memory */

    struct trib_parts *parts; /* parts.c: updates that arrive in parts */
    size_t parts_count;

    struct trib_upload **slots; /* [updates_pending_max]: the update behind each slot */

    /* intake.c: the commit job */
    struct trib_upload *checked, *checked_last; /* to be spooled with the next commit */
    struct trib_upload *committing;             /* being spooled; with `releasing` */
    struct trib_places released, releasing;     /* entries that are no longer needed */
    bool is_committing;
    struct trib_pruning commit_pruning; /* should the disk be full */

    /* folding.c */
    struct trib_folding folding[TRIB_ACCUMULATORS_MAX];
    struct trib_phases merging;
    uint32_t merging_accumulator;
    struct trib_ranged *ranged;     /* of a ranged model: the version that is being made, or NULL */
    struct trib_ranged_draft draft; /* the one that is to be recorded */
    struct trib_error merge_error;
    struct trib_combining combining; /* combining.c: where the combiner is external */

    /* record.c: the recording job */
    struct trib_record *recorded, *recorded_last; /* waiting */
    struct trib_record *recording;                /* being written */
    enum trib_status
        record_status;          /* recording job only: of the record that could not be written */
    trib_time_ns checkpoint_at; /* of the newest checkpoint */
    trib_version checkpoint;    /* the newest one on record: a restart begins there */
    struct trib_places uncheckpointed; /* counted since then: released with the next one */

    /* for status, history and watchers */
    trib_time_ns version_at; /* when the current version was published */
    trib_version best;
    bool has_best;
    struct trib_watchers watchers;
    struct trib_refusals refusals; /* since it was opened, by code */
    double opened_at;              /* seconds since 1970 */

    enum trib_status
        io_status;      /* of the disk or memory failure that ended the run; TRIB_OK: none */
    bool is_deleted;    /* its data goes, once it is closed */
    bool is_reopening;  /* closed and opened at once, with the spec that is in force now */
    trib_time_ns pause; /* before it is opened again after a failure; 0: it never failed */
    uint64_t jobs;      /* whatever still refers to this run */
    bool is_closing;    /* deleted or stopping: no more events reach the heart */
};

/* --- hosted.c --- */

/* Give an event to the heart and carry out what it answers; `now` is filled in. */
void trib_hosted_feed(struct trib_hosted *hosted, struct trib_event *event);
/* A job could not read or write: the heart fails the run, and the node opens it again later. */
void trib_hosted_note_failure(struct trib_hosted *hosted, enum trib_status status);
/* From now on its model takes so much of the node's memory for models; a log line says how it is
 * held. 0: there is none. */
void trib_hosted_charge_model(struct trib_hosted *hosted, uint64_t bytes);
/* One reference fewer; the node frees a closing run when none is left. */
void trib_hosted_job_done(struct trib_hosted *hosted);
/* Answer everybody who waits with 503 and let no more events in. */
void trib_hosted_close(struct trib_hosted *hosted);
/* Give everything back; no job may be under way. NULL allowed. */
void trib_hosted_free(struct trib_hosted *hosted);
bool trib_places_add(const struct trib_env *env, struct trib_places *places,
                     const struct trib_spool_place *place);
void trib_places_deinit(const struct trib_env *env, struct trib_places *places);

/* --- carry.c --- */

/* Carry out one effect. `request` is that of the event that caused it. */
void trib_hosted_carry(struct trib_hosted *hosted, const struct trib_effect *effect);

/* --- recover.c --- */

/* Open a run's files and bring it to where it was: newest checkpoint, then the recorded versions again from the
 * spool, then the pending updates. On error *hosted is NULL. */
enum trib_status trib_hosted_open(struct trib_node *node, const char *name,
                                  struct trib_hosted **hosted, struct trib_error *error);
/* An opened run goes on; until then it has no job, so that it can be freed. */
void trib_hosted_start(struct trib_hosted *hosted);

/* --- intake.c --- */

/* Check an admitted update on a worker, then make it durable with the next commit; then SPOOLED. */
void trib_intake_spool(struct trib_hosted *hosted, struct trib_upload *upload);
/* A durable entry is no longer needed. */
void trib_intake_release(struct trib_hosted *hosted, const struct trib_spool_place *place);
void trib_intake_pump(struct trib_hosted *hosted);

/* --- folding.c --- */

/* Fold a durable update with the next batch; then FOLDED. */
void trib_folding_add(struct trib_hosted *hosted, struct trib_upload *upload, uint32_t accumulator);
/* Make the next version of the sum; then MERGED. */
void trib_folding_merge(struct trib_hosted *hosted, uint32_t accumulator);
/* Workers that share so many elements. */
uint32_t trib_folding_part_count(const struct trib_node *node, uint64_t element_count);

/* --- ranging.c: the same two for a ranged model --- */

/* A batch: count its updates, to be folded when the version is made. Thread: a worker. */
enum trib_status trib_ranging_count(struct trib_folding *folding);
void trib_ranging_merge(struct trib_hosted *hosted, uint32_t accumulator);
void trib_ranging_deinit(struct trib_hosted *hosted);

#endif
