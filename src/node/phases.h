/* phases.h - one job in three steps on worker threads: prepare once, parts side by side, finish once.
 *
 *   prepare --> part 0, part 1, ... --> finish --> done (on the loop's thread)
 *
 * The first step that fails ends the job: parts already under way finish, later steps are left out, done gets the
 * status. A job of one part makes a single trip to a worker. */
#ifndef TRIB_NODE_PHASES_H
#define TRIB_NODE_PHASES_H

#include "node/shares.h"

#include <stdatomic.h>

struct trib_phases {
    struct trib_share *share;                   /* of the workers */
    uint32_t part_count;                        /* >= 1 */
    void *context;                              /* first argument of the steps */
    enum trib_status (*prepare)(void *context); /* NULL: nothing to prepare */
    enum trib_status (*part)(void *context, uint32_t part, uint32_t part_count);
    enum trib_status (*finish)(void *context); /* NULL: nothing to finish */
    void (*done)(void *context, enum trib_status status);

    _Atomic uint32_t next_part; /* private */
    _Atomic int status;         /* private: of the first step that failed */
    uint32_t parts_under_way;   /* private: loop thread only */
};

/* Start the job; the struct and its context must live until done. When there is no memory for the hand-over, the job
 * runs on the calling thread, so that done always comes, in a later turn or from within this call. */
void trib_phases_start(struct trib_phases *phases);

/* The range of `part` when `total` elements are cut into part_count ranges at multiples of 1024. */
void trib_phases_range(uint64_t total, uint32_t part, uint32_t part_count, uint64_t *first,
                       uint64_t *count);

#endif
