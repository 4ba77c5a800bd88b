/* shares.h - fair shares of the worker threads: jobs wait in a queue per run, and runs take turns.
 *
 * The threads serve what comes first. One run whose clients send a hundred large bodies would
 * therefore put a hundred checks before the next small round of every other run. Here
 *
 *     run A  [job job job job ...]  --.
 *     run B  [job]                  ---+--> in turn, by weight --> worker threads
 *     run C  []                     --'
 *
 * and the last thread is never given to a run that has all the others, so that a newcomer waits
 * for no job at all, unless two runs flood at once; then for one. So of N threads a run has N - 1 at
 * most while others have work, whatever its weight.
 *
 * Thread: everything on the loop's. */
#ifndef TRIB_NODE_SHARES_H
#define TRIB_NODE_SHARES_H

#include "net/loop.h"
#include "node/turns.h"

struct trib_share;
struct trib_shared_job;

/* What the runs share; the struct is the caller's, every field private. */
struct trib_shares {
    struct trib_loop *loop;
    unsigned threads;   /* jobs of all runs under way at one time */
    unsigned under_way; /* of these */
    struct trib_turns turns;
    struct trib_share *first, *last; /* shares with jobs that wait; who has had a turn goes last */
    bool is_starting;                /* jobs are being started: what is submitted waits */
};

/* One run's part in it; all-zero but for `shares` and turn.weight, which the caller sets. It must
 * stay where it is while jobs wait or are under way. The other fields are private. */
struct trib_share {
    struct trib_shares *shares;
    struct trib_turn turn;
    struct trib_shared_job *first, *last; /* waiting, oldest first */
    unsigned under_way;
    struct trib_share *next; /* in the list of those that wait */
};

/* threads: those of the loop, >= 2: one run gets all but one of them. */
void trib_shares_init(struct trib_shares *shares, struct trib_loop *loop, unsigned threads);

/* As trib_work_submit(), when it is the run's turn; jobs of one share begin in their order. */
enum trib_status trib_share_submit(struct trib_share *share, void (*work)(void *context),
                                   void (*done)(void *context), void *context);

#endif
