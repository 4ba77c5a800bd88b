/* lending.h - memory for the bodies of updates: who gets some now, and who waits.
 *
 *   budget (--memory)    bodies that stay in memory until they are folded: a block for a small one,
 *                        chunks for a larger one, which may have three quarters of it at most
 *   chunks (64 MiB)      of bodies on their way into a file, two for each
 *
 * What an upload finds used up it waits for in a queue of its run, unread; what comes back goes to
 * the runs in turn. Nobody waits for the slow: a chunk that has been filling for a second goes to its
 * file as it is, and who has waited for the budget for some seconds goes by way of the disk.
 *
 * Thread: everything on the loop's. */
#ifndef TRIB_NODE_LENDING_H
#define TRIB_NODE_LENDING_H

#include "base/pool.h"
#include "node/turns.h"

#include <stdint.h>

struct trib_node;
struct trib_upload;

enum trib_want { TRIB_WANT_CHUNK, TRIB_WANT_BUDGET, TRIB_WANT_COUNT };

/* Uploads of one run that wait for the same, oldest first. */
struct trib_queue {
    struct trib_upload *first, *last;
    struct trib_turn turn;
};

/* What the runs share. */
struct trib_lending {
    struct trib_pool *chunks;      /* on the way into files */
    struct trib_pool *kept_chunks; /* of bodies that stay in memory, charged to the budget */
    uint64_t kept_bytes;           /* in these, of node->body_bytes */
    struct trib_turns turns[TRIB_WANT_COUNT];
    size_t waiting_count[TRIB_WANT_COUNT];
};

/* False: no memory. */
bool trib_lending_init(struct trib_node *node, size_t chunk_count_max);
void trib_lending_deinit(struct trib_node *node); /* all-zero is safe */

/* What a body of this announced length would be charged (UINT64_MAX: it is not announced); 0: it
 * never stays in memory. */
uint64_t trib_lending_charge_for(const struct trib_node *node, uint64_t length);
/* Memory for the whole body or the list of its chunks, charged; true when it has it already. False:
 * the budget is used up, or others wait for it. */
bool trib_lending_charge(struct trib_upload *upload);
/* The same for a body that is handed over, now or never: it is memory, if not ours, and a part of
 * what larger bodies may have. */
bool trib_lending_charge_handed(struct trib_upload *upload);
/* The next chunk to be filled; false: none now. */
bool trib_lending_chunk(struct trib_upload *upload);
void trib_lending_wait(struct trib_upload *upload, enum trib_want want);
void trib_lending_wait_no_more(struct trib_upload *upload); /* also when it does not wait */

/* Give back, and serve those that wait. */
void trib_lending_return_chunk(struct trib_upload *upload, unsigned char **chunk);
void trib_lending_return_body(struct trib_upload *upload);
/* Serve those that wait: for when memory has come back in another way. */
void trib_lending_serve(struct trib_node *node);

/* The first one that has waited for the budget since `before` or longer; NULL: none. */
struct trib_upload *trib_lending_overdue(const struct trib_node *node, int64_t before);
/* Once a second: memory that nobody has needed goes back to the system. */
void trib_lending_trim(struct trib_node *node);

#endif
