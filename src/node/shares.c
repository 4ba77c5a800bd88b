/* shares.c - fair shares of the worker threads: turns of the runs that have jobs waiting.
 *
 * A queue per sender, as in Nagle 1985, RFC 970. Turns are counted in jobs, not in time: the
 * longest job of a run is bounded by the size of its model. */
#include "node/shares.h"

struct trib_shared_job {
    struct trib_share *share;
    void (*work)(void *context);
    void (*done)(void *context);
    void *context;
    struct trib_shared_job *next;
};

void trib_shares_init(struct trib_shares *shares, struct trib_loop *loop, unsigned threads) {
    TRIB_ASSERT(threads >= 2);
    *shares = (struct trib_shares){.loop = loop, .threads = threads};
}

/* --- queues ----------------------------------------------------------------------------------- */

static void add_waiting(struct trib_shares *shares, struct trib_share *share) {
    share->next = NULL;
    if (shares->first == NULL) {
        shares->first = share;
    } else {
        shares->last->next = share;
    }
    shares->last = share;
}

static void add_job(struct trib_share *share, struct trib_shared_job *job) {
    if (share->first == NULL) {
        share->first = job;
        trib_turn_wake(&share->shares->turns, &share->turn);
        add_waiting(share->shares, share);
    } else {
        share->last->next = job;
    }
    share->last = job;
}

/* The share whose turn it is, taken out of the list; NULL: none may have another thread. */
static struct trib_share *next_turn(struct trib_shares *shares) {
    struct trib_share *share = NULL, *previous = NULL, *before = NULL;
    for (struct trib_share *s = shares->first; s != NULL; before = s, s = s->next) {
        bool may_begin = s->under_way < shares->threads - 1;
        if (may_begin && (share == NULL || trib_turn_is_before(&s->turn, &share->turn))) {
            share = s;
            previous = before;
        }
    }
    if (share == NULL) {
        return NULL;
    }
    if (previous == NULL) {
        shares->first = share->next;
    } else {
        previous->next = share->next;
    }
    if (shares->last == share) {
        shares->last = previous;
    }
    return share;
}

/* Its oldest job; the share goes to the end when it has more. */
static struct trib_shared_job *take_job(struct trib_share *share) {
    struct trib_shared_job *job = share->first;
    share->first = job->next;
    if (share->first != NULL) {
        add_waiting(share->shares, share);
    }
    return job;
}

/* --- jobs --------------------------------------------------------------------------------------- */

static void release_job(struct trib_shared_job *job) {
    trib_release(trib_loop_env(job->share->shares->loop), job, 1, sizeof *job);
}

static void work_on(void *context) {
    struct trib_shared_job *job = context;
    job->work(job->context);
}

static void work_ended(void *context);

static bool hand_over(struct trib_shared_job *job) {
    struct trib_shares *shares = job->share->shares;
    if (trib_work_submit(shares->loop, work_on, work_ended, job) != TRIB_OK) {
        return false;
    }
    shares->under_way++;
    job->share->under_way++;
    return true;
}

static void run_here(struct trib_shared_job *job) {
    struct trib_shared_job finished = *job;
    release_job(job);
    finished.work(finished.context);
    finished.done(finished.context);
}

/* Start what may start. Without memory for the hand-over a job is done on this thread, since no
 * other end of a job may ever come to try again; what it submits waits for this loop. */
static void start_jobs(struct trib_shares *shares) {
    if (shares->is_starting) {
        return;
    }
    shares->is_starting = true;
    struct trib_share *share;
    while (shares->under_way < shares->threads && (share = next_turn(shares)) != NULL) {
        struct trib_shared_job *job = take_job(share);
        trib_turn_take(&shares->turns, &share->turn);
        if (!hand_over(job)) {
            run_here(job);
        }
    }
    shares->is_starting = false;
}

static void work_ended(void *context) {
    struct trib_shared_job *job = context;
    struct trib_shares *shares = job->share->shares;
    struct trib_shared_job finished = *job;
    shares->under_way--;
    job->share->under_way--;
    release_job(job);
    start_jobs(shares); /* the thread has work again while this one is answered */
    finished.done(finished.context);
}

enum trib_status trib_share_submit(struct trib_share *share, void (*work)(void *context),
                                   void (*done)(void *context), void *context) {
    struct trib_shares *shares = share->shares;
    struct trib_shared_job *job = trib_allocate(trib_loop_env(shares->loop), 1, sizeof *job);
    if (job == NULL) {
        return TRIB_EMEMORY;
    }
    *job = (struct trib_shared_job){.share = share, .work = work, .done = done, .context = context};
    bool is_first = share->first == NULL && shares->under_way < shares->threads &&
                    share->under_way < shares->threads - 1 && !shares->is_starting;
    if (is_first) { /* nobody waits who could go before it */
        if (hand_over(job)) {
            trib_turn_wake(&shares->turns, &share->turn);
            trib_turn_take(&shares->turns, &share->turn);
            return TRIB_OK;
        }
        release_job(job);
        return TRIB_EMEMORY;
    }
    add_job(share, job);
    return TRIB_OK;
}
