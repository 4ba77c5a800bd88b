/* keepsake.h - what a client keeps between its tasks, in a directory of its own.
 *
 * With SCAFFOLD and FedSpeed a client has a vector of its own (train/rule.h), which must change
 * exactly when its update counts, whatever dies in between. The order that makes it so:
 *
 *   1. promise   the update, and what would be kept after it, are written to `sending`
 *   2. (send)    the update goes to the daemon until it says that it counts, or that it never will
 *   3. settle    counted: `own` is replaced; in either case `sending` is removed
 *
 * Whoever finds `sending` at the start begins at step 2: the same bytes under the same id. The
 * daemon answers an update that it has with what it said before and takes one that it lost, so its
 * answer is the truth about this very update, and no other attempt can still be under way: a new
 * one replaces it (docs/protocol.md, section 4). If `own` is that of this update already, only the
 * last half of step 3 was missing. Both files are published by rename, so each is there whole or
 * not at all.
 *
 * One directory serves one client of one run and one process at a time (a lock says so). */
#ifndef TRIB_CLI_KEEPSAKE_H
#define TRIB_CLI_KEEPSAKE_H

#include "base/env.h"
#include "base/files.h"
#include "base/name.h"

#define TRIB_KEEPSAKE_METRICS_BYTES 1024
#define TRIB_KEEPSAKE_TASK_BYTES 32

struct trib_keepsake {
    /* read-only */
    float *own; /* [count]; NULL: nothing kept yet, which means zero */
    size_t count;
    uint64_t version; /* base of the update that made it; 0 before the first */

    /* read-only: the update that is promised and not settled; body NULL: none */
    unsigned char *body;
    size_t body_bytes;
    char task[TRIB_KEEPSAKE_TASK_BYTES];
    uint64_t base;
    uint64_t examples;
    char metrics[TRIB_KEEPSAKE_METRICS_BYTES];

    /* private */
    const struct trib_env *env;
    const struct trib_files *files;
    struct trib_files *opened; /* the same when this owns them */
    char run[TRIB_NAME_BYTES];
    char client[TRIB_NAME_BYTES];
    char own_task[TRIB_KEEPSAKE_TASK_BYTES]; /* whose update made own */
    float *next_own;                         /* [next_count]: of the promised update */
    size_t next_count;
};

/* Open or make the directory and read what is there. run and client are copied.
 * TRIB_ECONFLICT: another process has it, or it belongs to another client or run; TRIB_ECORRUPT: a
 * file is damaged; TRIB_EIO, TRIB_EMEMORY. On error the keepsake is closed; error has the words. */
enum trib_status trib_keepsake_open(struct trib_keepsake *keepsake, const struct trib_env *env,
                                    const char *directory, const char *run, const char *client,
                                    struct trib_error *error);
/* The same over any files (tests), which are borrowed. */
enum trib_status trib_keepsake_open_files(struct trib_keepsake *keepsake,
                                          const struct trib_env *env,
                                          const struct trib_files *files, const char *run,
                                          const char *client, struct trib_error *error);
void trib_keepsake_close(struct trib_keepsake *keepsake); /* all-zero is safe */

/* An update that is about to be sent. Nothing may be promised yet. */
struct trib_promise {
    const char *task; /* as in struct trib_client_task */
    uint64_t base;
    uint64_t examples;
    const char *metrics;
    const void *body;
    size_t body_bytes;
    const float *next_own; /* [count]: kept if it counts */
    size_t count;
};
/* Step 1: durable when it returns TRIB_OK. Everything is copied. */
enum trib_status trib_keepsake_promise(struct trib_keepsake *keepsake,
                                       const struct trib_promise *promise,
                                       struct trib_error *error);
/* Step 3. On error the promise stands, and is settled at the next opening. */
enum trib_status trib_keepsake_settle(struct trib_keepsake *keepsake, bool is_counted,
                                      struct trib_error *error);

#endif
