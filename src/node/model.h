/* model.h - the numbers of one run: the current version, the optimizer's state, the exact sums.
 *
 * A model is resident, or it is ranged: then versions and state are in files, and of the numbers only those of a window
 * are here, while a version is made (ranged.h). What is computed is the same, to the bit.
 *
 * Everything here computes on memory that the caller lends; it knows no events, clients or files. The daemon calls it from
 * workers, by ranges; recovery and `trib ledger verify` call it in one piece. So a version that is recomputed goes through
 * the same code as the one that was published. */
#ifndef TRIB_NODE_MODEL_H
#define TRIB_NODE_MODEL_H

#include "learn/exact_sum.h"
#include "learn/optimizer.h"
#include "run/run.h"
#include "tensor/safetensors.h"

#define TRIB_ACCUMULATORS_MAX 2

/* Updates in a sum that started from one version, which the next one is pulled towards. */
struct trib_based {
    trib_version base;
    uint64_t weight; /* of all of them, in weight units */
};

/* Versions that updates may have as their base, where the next one is pulled towards them. */
struct trib_bases {
    struct trib_block **recent; /* version n at n % recent_count, as long as a base may be that old;
                                   NULL: not at hand */
    uint32_t recent_count;      /* strategy.base_versions - 1 */
    struct trib_based
        *based[TRIB_ACCUMULATORS_MAX]; /* [recent_count + 1], by version: of the updates
                                                        in each sum */
    struct trib_pull_towards *pulls;   /* [recent_count + 1], of the merge under way */
    trib_version *pulled;              /* [recent_count + 1]: the versions of these */
    struct trib_digest *digests;       /* of a ranged model, in place of recent; zero: not known */
};

struct trib_model {
    const struct trib_env *env;         /* private */
    const struct trib_spec *spec;       /* private: borrowed */
    const struct trib_kernels *kernels; /* private */
    struct trib_layout *layout;         /* read-only: of versions */
    struct trib_resolution resolution;  /* read-only */
    trib_version version;               /* read-only: of `current` */
    uint64_t window_bytes;              /* read-only: of a ranged model; 0: it is resident */
    double scale;                       /* private: of a ranged model; trib_model_scale() */
    bool has_stored_state;      /* read-only: ranged: state/<version> belongs to this optimizer */
    struct trib_block *current; /* read-only: canonical bytes, sealed; NULL: ranged */
    struct trib_digest digest;  /* read-only: of `current` */
    struct trib_optimizer_state state; /* read-only: after `current`, or after `next` once merged */
    struct trib_exact_sum sums[TRIB_ACCUMULATORS_MAX]; /* with totals while something is in them */
    _Atomic(struct trib_block *) spare_totals; /* private: all zero, for the next sum; or NULL */
    struct trib_bases bases;                   /* private */
    struct trib_merge merge;                   /* private: between merge_begin and merge_end */
    struct trib_exact_sum *merging;            /* private: the sum that is merged and cleared */
    struct trib_block *next;  /* read-only: after merge_end, until advance; NULL: ranged */
    bool has_next;            /* read-only: after merge_end, until advance */
    struct trib_block *spare; /* private: an old version's memory, for the next one; or NULL */
    struct trib_digest next_digest; /* read-only: of `next` */
};

/* One opened update with the weight decided at its admission. */
struct trib_weighted_update {
    const struct trib_codec *codec;
    struct trib_update *update;
    uint64_t weight;
    trib_version base;
};

/* Version 0 from a model file of any dtype: layout by the spec's rules, values as fp32. The caller
 * owns both results. error names the tensor. */
enum trib_status trib_model_import(const struct trib_env *env, const struct trib_spec *spec,
                                   const struct trib_source *file, struct trib_layout **layout,
                                   struct trib_block **version, struct trib_error *error);
/* The two layouts of that alone: of the file, and of versions. The caller owns both; NULL on error. */
enum trib_status trib_model_import_layouts(const struct trib_env *env, const struct trib_spec *spec,
                                           const struct trib_source *file,
                                           struct trib_layout **file_layout,
                                           struct trib_layout **layout, struct trib_error *error);
/* The layout of a version file's bytes (canonical, as stored) with the spec's roles. */
enum trib_status trib_model_read_layout(const struct trib_env *env, const struct trib_spec *spec,
                                        const struct trib_block *version,
                                        struct trib_layout **layout, struct trib_error *error);

/* Takes `layout` (also on error), keeps a reference to `current` (sealed). Optimizer state is
 * that of a fresh run. The memory of a sum comes with the first update that is counted in it. */
enum trib_status trib_model_init(struct trib_model *model, const struct trib_env *env,
                                 const struct trib_spec *spec, struct trib_layout *layout,
                                 struct trib_block *current, trib_version version,
                                 struct trib_error *error);
/* The same of a ranged model. window_bytes: > 0, for the numbers of a window. */
enum trib_status trib_model_init_ranged(struct trib_model *model, const struct trib_env *env,
                                        const struct trib_spec *spec, struct trib_layout *layout,
                                        const struct trib_digest *digest, trib_version version,
                                        uint64_t window_bytes, struct trib_error *error);
void trib_model_deinit(struct trib_model *model); /* all-zero is safe */
/* Could the model go on with this spec? error names the field. */
enum trib_status trib_model_check(const struct trib_model *model, const struct trib_spec *spec,
                                  struct trib_error *error);
/* Go on with another spec (borrowed), between two versions, with nothing in the sums. What the server
 * optimizer remembers stays if it is the same one, and starts anew otherwise. After an error the
 * model must not be used. */
enum trib_status trib_model_change(struct trib_model *model, const struct trib_spec *spec,
                                   struct trib_error *error);
/* The struct was copied to its final place: pointers into itself follow. Before any fold. */
void trib_model_moved(struct trib_model *model);
/* Memory that it takes at most: of a resident model both sums, state, current and next version. */
uint64_t trib_model_bytes(const struct trib_model *model);
/* The same of a resident model with this layout. */
uint64_t trib_model_bytes_of(const struct trib_spec *spec, const struct trib_layout *layout);
/* Of a version. */
uint64_t trib_model_file_bytes(const struct trib_model *model);
/* The coarsest step of the sums, in units of the parameters: the error of one update's term is at most half of it. */
double trib_model_resolution(const struct trib_model *model);
/* Root mean square of the train tensors, against which the resolution is to be seen. Of a ranged
 * model it is known from its import to the next restart, then NaN. */
double trib_model_scale(const struct trib_model *model);
/* Its parts: a sum of squares over all elements in their order, then the root of the mean. */
void trib_model_add_squares(const struct trib_layout *layout, uint64_t first, uint64_t count,
                            const float *values, double *sum);
double trib_model_scale_of(const struct trib_layout *layout, double square_sum);

/* An older version, for updates that have it as their base: after a restart, from its file. Keeps a
 * reference. Nothing happens where no base is that old. */
void trib_model_remember(struct trib_model *model, trib_version version, struct trib_block *block);
/* The same of a ranged model, of which only the digest has to be known. */
void trib_model_remember_digest(struct trib_model *model, trib_version version,
                                const struct trib_digest *digest);
/* NULL: that version cannot be a base any more, or is not at hand. */
const struct trib_digest *trib_model_recent_digest(const struct trib_model *model,
                                                   trib_version version);

/* As it was when `current` became current: nothing in the sums, no next version, and this state of the
 * optimizer (encoded). TRIB_ECORRUPT when it does not fit. */
enum trib_status trib_model_rewind(struct trib_model *model, const void *state, size_t state_bytes);

/* Optimizer state of `version` from a checkpoint; TRIB_ECORRUPT when it does not fit. */
enum trib_status trib_model_set_state(struct trib_model *model, const void *bytes, size_t count);

/* Count the updates' weights in sums[accumulator]; once per update, before its ranges are folded.
 * TRIB_EMEMORY: there is none for the sum. Thread: one per accumulator at a time. */
enum trib_status trib_model_count(struct trib_model *model, uint32_t accumulator,
                                  const struct trib_weighted_update *update);
/* Fold the elements [first, first + count) of several updates into sums[accumulator], block by block so that the
 * totals stay in cache. Thread: any number, on disjoint ranges of one accumulator. TRIB_EIO. */
enum trib_status trib_model_fold(struct trib_model *model, uint32_t accumulator,
                                 const struct trib_weighted_update *updates, size_t update_count,
                                 uint64_t first, uint64_t count);

/* sums[accumulator] becomes the next version: begin; ranges on any threads (each clears its totals); end (seals, digests);
 * advance makes it current. Until advance `current` stays readable. A failure in between leaves the optimizer's state
 * undefined: the run must be restored from its last checkpoint. */
/* TRIB_ENOTFOUND: the base version of an update that is to be mixed is not at hand. */
enum trib_status trib_model_merge_begin(struct trib_model *model, uint32_t accumulator);
enum trib_status trib_model_merge_range(struct trib_model *model, uint64_t first, uint64_t count,
                                        struct trib_error *error);
void trib_model_merge_end(struct trib_model *model);

/* Of a ranged model the same for one window after the other: the first time begin, then window,
 * ranges in it, return; end_ranged with the digest of what was made. */
struct trib_model_window {
    uint64_t first, count;             /* elements of the layout */
    struct trib_block *totals;         /* int64[count], all zero; stays the caller's */
    const float *current;              /* [count] */
    const float *const *bases;         /* [merge.pull_count] of [count]: versions bases.pulled */
    float *next;                       /* [count] */
    struct trib_block *vectors;        /* fp32[vectors][train_count]: state, changed in place */
    uint64_t train_first, train_count; /* train elements in the window; first: those before it */
};
/* TRIB_ENOTFOUND: as merge_begin. */
enum trib_status trib_model_begin_ranged(struct trib_model *model, uint32_t accumulator);
void trib_model_open_window(struct trib_model *model, const struct trib_model_window *window);
void trib_model_close_window(struct trib_model *model);
void trib_model_end_ranged(struct trib_model *model, const struct trib_digest *digest);

void trib_model_advance(struct trib_model *model);

#endif
