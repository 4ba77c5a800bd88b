/* audit.h - prove a run from its files: chain, version digests, and the versions made again.
 *
 * Needs the data directory for itself (no daemon may run on it), and mends what a start would mend: a torn tail of
 * the ledger or the spool is cut off and reported. */
#ifndef TRIB_NODE_AUDIT_H
#define TRIB_NODE_AUDIT_H

#include "base/digest.h"
#include "base/env.h"
#include "base/status.h"

struct trib_audit_report {
    uint64_t records;        /* in the ledger, all of the chain good */
    uint64_t torn_bytes;     /* cut from its end */
    struct trib_digest head; /* of the last record */
    uint64_t versions;       /* recorded, without version 0 */
    uint64_t recomputed;     /* made again from kept updates: same bits */
    uint64_t files_checked;  /* version files whose bytes have the recorded digest */
    uint64_t updates;        /* counted in all versions */
};

/* TRIB_OK: everything that could be checked is right. TRIB_ECORRUPT: error says what is wrong and where.
 * TRIB_ENOTFOUND: no such run; TRIB_ECONFLICT: a daemon has the directory. */
/* model_bytes_max: memory for the model with its sums. One that needs more is not made again: its versions are proved by
 * their digests alone. */
enum trib_status trib_audit_run(const struct trib_env *env, const char *data_dir, const char *run,
                                uint64_t model_bytes_max, struct trib_audit_report *report,
                                struct trib_error *error);

#endif
