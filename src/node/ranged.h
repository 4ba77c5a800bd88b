/* ranged.h - the versions of a model that is larger than memory, made window by window from files to a file.
 *
 *   begin --> verify --> ( load --> make --> store )... --> end         publish
 *
 * A window is a range of elements whose numbers fit the budget. Every update of the buffer waits in the spool; of each
 * window their values are folded, merged with the current version's, which are read from its file, and written to a
 * draft beside it; so is the optimizer's state. Nothing that exists is changed: until the drafts are published and the
 * ledger has the version, a crash or an error leaves the version before as it was, and the next one begins again.
 *
 * The sums are exact and the rest is element-wise, so that the bits are those of a resident model. Memory: the window,
 * and a few updates' heads for each thread, whatever the number of updates. */
#ifndef TRIB_NODE_RANGED_H
#define TRIB_NODE_RANGED_H

#include "node/model.h"
#include "store/checkpoint.h"
#include "store/spool.h"

/* Of a model with this layout in a run with this spec: 0: it is resident, since `bytes_free` hold it, or has to be
 * (durability memory keeps no bodies to fold later). Else the memory for a window: half of what is free, so that
 * the next run finds some, up to a bound beyond which larger ones are no faster; no less than one can be cut to. */
#define TRIB_WINDOW_BYTES_MIN (UINT64_C(32) << 10)
#define TRIB_WINDOW_BYTES_MAX (UINT64_C(256) << 20)
uint64_t trib_ranged_window_bytes(const struct trib_spec *spec, const struct trib_layout *layout,
                                  uint64_t bytes_free);

/* --- files in the making ------------------------------------------------------------------------ */

/* A version and its state; all-zero: none. */
struct trib_ranged_draft {
    const struct trib_files *files;  /* private */
    const char *path;                /* private: the run's folder, borrowed */
    trib_version version;            /* private */
    struct trib_file *model, *state; /* private */
};
/* Sync both and give them their names, state last; the draft is all-zero then, also on error, and
 * *digest that of the state. */
enum trib_status trib_ranged_publish(const struct trib_env *env, struct trib_ranged_draft *draft,
                                     struct trib_digest *digest, struct trib_error *error);
void trib_ranged_discard(struct trib_ranged_draft *draft); /* all-zero is safe */

/* --- version 0 ---------------------------------------------------------------------------------- */

/* What a model file becomes as version 0, without its being held: digest and scale
 * (trib_model_scale_of). draft: its files are written, too; NULL: not wanted. Errors as those of
 * trib_safetensors_import(), and of files. */
struct trib_ranged_import {
    const struct trib_env *env;
    const struct trib_files *files;
    const char *path; /* the run's folder, borrowed also by the draft */
    const struct trib_spec *spec;
    const struct trib_layout *file_layout, *layout;
    const struct trib_source *source;
};
enum trib_status trib_ranged_import(const struct trib_ranged_import *import,
                                    struct trib_ranged_draft *draft, struct trib_digest *digest,
                                    double *scale, struct trib_error *error);

/* --- the next version --------------------------------------------------------------------------- */

/* One durable update; the entry is borrowed. */
struct trib_ranged_update {
    const struct trib_spool_entry *entry;
    uint64_t weight;
};
/* Count its weight in the model's sum: what is left to do for it before its version is made. */
enum trib_status trib_ranged_count(struct trib_model *model, uint32_t accumulator,
                                   const struct trib_spool *spool,
                                   const struct trib_ranged_update *update,
                                   struct trib_error *error);

struct trib_ranged {
    struct trib_model *model; /* the caller's, all of these; they stay until close */
    const struct trib_files *files;
    const char *path;
    const struct trib_spool *spool;
    uint32_t accumulator;
    const struct trib_ranged_update *updates; /* all that are counted in it */
    size_t update_count;

    struct trib_ranged_draft draft; /* taken by whoever publishes it, else discarded by close */

    struct trib_checkpoint_reader current, state; /* private */
    struct trib_checkpoint_reader *bases;         /* private: [base_count] */
    const float **base_values;                    /* private: [base_count], in numbers */
    size_t base_count;                            /* private: merge.pull_count */
    struct trib_digester digester;                /* private */
    struct trib_model_window window;              /* read-only: first, count */
    uint64_t window_elements;                     /* private: of a whole window */
    bool is_open;                                 /* private: the model has the window */
    struct trib_block *numbers;                   /* private: float: current, next, bases */
};

/* Open the files, begin the drafts. On any error of these, close. TRIB_ENOTFOUND: a base version is
 * not kept any more. */
enum trib_status trib_ranged_begin(struct trib_ranged *ranged, struct trib_error *error);
/* Compare each part_count-th body with the digest of its entry, and so the files of version, base and state with what is
 * known of them: they lay on the disk for long, perhaps. TRIB_ECORRUPT. Thread: any, one per part. */
enum trib_status trib_ranged_verify(const struct trib_ranged *ranged, uint32_t part,
                                    uint32_t part_count);
/* Read the next window. False: there is none, the whole version has been stored. */
bool trib_ranged_has_more(const struct trib_ranged *ranged);
enum trib_status trib_ranged_load(struct trib_ranged *ranged);
/* Fold and merge elements [first, first + count) of the window. Thread: any, on disjoint ranges. */
enum trib_status trib_ranged_make(struct trib_ranged *ranged, uint64_t first, uint64_t count,
                                  struct trib_error *error);
/* Write and digest the window. */
enum trib_status trib_ranged_store(struct trib_ranged *ranged);
/* model->next_digest is that of the draft, and the model may advance. */
enum trib_status trib_ranged_end(struct trib_ranged *ranged);
/* Give memory and files back. */
void trib_ranged_close(struct trib_ranged *ranged);

/* All of it from begin to end, on the calling thread; close follows in any case. */
enum trib_status trib_ranged_run(struct trib_ranged *ranged, struct trib_error *error);

#endif
