/* replay.h - make recorded versions again from the spool: after a restart, and to prove a ledger.
 *
 * A version record lists its updates with the weights of their admission; with the version before, the optimizer's
 * state and the bodies, the same code gives the same bits, which the record's digest confirms. Of a version that was
 * combined outside, the combined body is all that is needed. */
#ifndef TRIB_NODE_REPLAY_H
#define TRIB_NODE_REPLAY_H

#include <jansson.h>

#include "base/map.h"
#include "node/ranged.h"

/* Bodies by (client, update); those of external combiners by what is in them. */
struct trib_bodies {
    const struct trib_env *env;     /* private */
    struct trib_map map;            /* private: name of the update -> index of items */
    struct trib_spool_entry *items; /* read-only, in spool order */
    size_t count, capacity;         /* count: read-only */
};

void trib_bodies_init(struct trib_bodies *bodies, const struct trib_env *env);
void trib_bodies_deinit(struct trib_bodies *bodies); /* all-zero is safe */
/* False: no memory. *is_repeat: there is one of that name; the first one stays. */
bool trib_bodies_add(struct trib_bodies *bodies, const struct trib_spool_entry *entry,
                     bool *is_repeat);
/* NULL when there is none. */
const struct trib_spool_entry *trib_bodies_find(const struct trib_bodies *bodies,
                                                const char *client, const char *update);
const struct trib_spool_entry *trib_bodies_find_combined(const struct trib_bodies *bodies,
                                                         const struct trib_digest *digest);

/* The spec of a run from its spec.json. The caller owns *spec. */
enum trib_status trib_replay_read_spec(const struct trib_env *env, const struct trib_files *files,
                                       const char *run, struct trib_spec **spec,
                                       struct trib_error *error);
/* The specs that came after the first, as the ledger tells: which one makes a version? */
struct trib_revisions {
    const struct trib_env *env;     /* private */
    struct trib_revision_row *rows; /* private: [count], in ledger order */
    size_t count, capacity;         /* private */
};
void trib_revisions_init(struct trib_revisions *revisions, const struct trib_env *env);
void trib_revisions_deinit(struct trib_revisions *revisions); /* all-zero is safe */
/* Take in a record if it is a revision. TRIB_EMEMORY, TRIB_ECORRUPT. */
enum trib_status trib_revisions_take(struct trib_revisions *revisions, const json_t *record);
/* The document of the spec that makes `version`, borrowed; NULL: the run's first one. */
const json_t *trib_revisions_find(const struct trib_revisions *revisions, trib_version version);
/* What is to come after `version`: the first version of another spec; 0: nothing. */
trib_version trib_revisions_next(const struct trib_revisions *revisions, trib_version version);

/* What the record of a version with a checkpoint says of its files. */
struct trib_replay_start {
    trib_version version;
    struct trib_digest model, state;
};
/* False: the document is not the record of a version with a checkpoint; *start is unchanged. */
bool trib_replay_start_read(const json_t *document, struct trib_replay_start *start);
/* The model of a checkpoint: versions/<n> with state/<n> below run_path, both with the digests of
 * the record; ranged if bytes_free do not hold it (trib_ranged_window_bytes). On error *model is all
 * zero. TRIB_ENOTFOUND: a file is not there; TRIB_ECORRUPT. */
enum trib_status trib_replay_load(const struct trib_env *env, const struct trib_files *files,
                                  const char *run_path, const struct trib_spec *spec,
                                  const struct trib_replay_start *start, uint64_t bytes_free,
                                  struct trib_model *model, struct trib_error *error);

/* Fold a body that was kept, after a look at its SHA-256. TRIB_ECORRUPT: it is another; TRIB_ENOTFOUND;
 * TRIB_EUNSUPPORTED: nobody knows its codec. */
enum trib_status trib_replay_fold(struct trib_model *model, uint32_t accumulator,
                                  const struct trib_spool *spool,
                                  const struct trib_spool_entry *entry, uint64_t weight,
                                  struct trib_error *error);

/* Where a version is made from. */
struct trib_replay_place {
    const struct trib_files *files;
    const char *run_path;
    const struct trib_spool *spool;
    const struct trib_bodies *bodies;
};
/* Make the version of this record from the model's (which must be the one before) and advance. Those of a ranged model
 * are written as versions/<n> and state/<n> again.
 * TRIB_ENOTFOUND: a body or a base version is not kept any more. TRIB_ECORRUPT: the digest of a body or of the result
 * differs. After an error the model must not be used. */
enum trib_status trib_replay_version(struct trib_model *model,
                                     const struct trib_replay_place *place, const json_t *record,
                                     struct trib_error *error);

#endif
