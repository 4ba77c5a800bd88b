/* loop.h - the event loop of the daemon: time, timers, signals and work for other threads.
 *
 * A loop belongs to the thread that runs it, and everything here is called on that thread unless
 * a function says "any thread". Callbacks run on it too, one at a time, and never from inside the
 * call that asked for them. The loop is libuv's; no other room sees that. */
#ifndef TRIB_NET_LOOP_H
#define TRIB_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "base/status.h"

struct trib_loop;
struct trib_timer;

struct trib_loop_config {
    /* Threads for work and file transfers; 0: one per processor, at least 4, because a thread may
     * wait for a disk. At most 1024. Fixed for the process by the first loop: libuv keeps one set
     * of threads for all. */
    unsigned worker_count;
};

/* A loop that is not running yet. From now on the process ignores SIGPIPE: a peer that has left is
 * an error of its connection, not the death of all.
 *
 * env     kept; its monotonic() is the clock of the loop.
 * config  NULL: every default.
 *
 * Returns TRIB_OK and *loop; TRIB_EMEMORY; TRIB_EIO when the system refuses (descriptors). */
enum trib_status trib_loop_new(const struct trib_env *env, const struct trib_loop_config *config,
                               struct trib_loop **loop);

/* Turn until trib_loop_stop() is called, or nothing is left that could ever call back. May be
 * called again afterwards. */
void trib_loop_run(struct trib_loop *loop);

/* Make trib_loop_run() return after the callback at hand; when it is not running, the next run
 * returns at once. Any thread, and repeatable. */
void trib_loop_stop(struct trib_loop *loop);

/* Wait for the work under way, call what is owed, and give everything back. Timers (asserted) and
 * servers must have been freed before. NULL allowed. */
void trib_loop_free(struct trib_loop *loop);

const struct trib_env *trib_loop_env(const struct trib_loop *loop);

/* The time of this turn of the loop: all callbacks of one turn see the same. */
trib_time_ns trib_loop_now(struct trib_loop *loop);

/* ---- how long turns take ---- */

/* What the loop's thread did between two waits. While it lasts everybody waits: a turn beyond
 * 10 ms is one that a client may notice. */
enum { TRIB_LOOP_BOUND_COUNT = 7 };
extern const double trib_loop_bounds_s[TRIB_LOOP_BOUND_COUNT]; /* ascending */
struct trib_loop_turns {
    uint64_t counts[TRIB_LOOP_BOUND_COUNT + 1]; /* turns up to each bound; the last: longer ones */
    uint64_t total;                             /* nanoseconds in all of them */
};
const struct trib_loop_turns *trib_loop_turns(const struct trib_loop *loop);

/* ---- timers ---- */

/* A timer that is not armed. NULL: no memory. callback(context) runs once per arming. */
struct trib_timer *trib_timer_new(struct trib_loop *loop, void (*callback)(void *context),
                                  void *context);
/* Call back once, when the loop's clock has reached deadline: never earlier, and in the next turn
 * when it has passed already. Arming again replaces the deadline; TRIB_TIME_NEVER disarms. */
void trib_timer_arm(struct trib_timer *timer, trib_time_ns deadline);
void trib_timer_disarm(struct trib_timer *timer);
/* No callback comes any more. NULL allowed. */
void trib_timer_free(struct trib_timer *timer);

/* ---- signals ---- */

/* Call callback(context, number) for each SIGTERM, SIGINT and SIGHUP of the process, instead of
 * dying.
 * Once per loop (asserted). Returns TRIB_OK or TRIB_EIO. */
enum trib_status trib_loop_watch_signals(struct trib_loop *loop,
                                         void (*callback)(void *context, int number),
                                         void *context);

/* ---- work ---- */

/* Run work(context) on a worker thread, then done(context) on the loop's thread; each exactly
 * once. The context belongs to the worker in between. Work that waits for other work may starve:
 * the threads are few.
 *
 * Returns TRIB_OK, or TRIB_EMEMORY: then neither is called. */
enum trib_status trib_work_submit(struct trib_loop *loop, void (*work)(void *context),
                                  void (*done)(void *context), void *context);

/* ---- the idle rule ---- */

/* One rule instead of a family of time-outs: a transfer is given up only when fewer than `bytes`
 * have moved within `after`. So a slow peer is never cut off, a silent one always is. */
struct trib_idle_rule {
    trib_time_ns after;
    uint64_t bytes;
};

struct trib_idle {
    trib_time_ns since;   /* private: start of the stretch being watched */
    uint64_t bytes_since; /* private: what had moved by then */
};

/* Watch anew from now on; bytes_total counts everything that has moved, ever. */
void trib_idle_restart(struct trib_idle *idle, trib_time_ns now, uint64_t bytes_total);
/* True when the stretch is over and too little has moved in it. Looked at seldom, a transfer may
 * live up to twice the rule's time. */
bool trib_idle_is_over(struct trib_idle *idle, const struct trib_idle_rule *rule, trib_time_ns now,
                       uint64_t bytes_total);

/* ---- for this room only ---- */

struct uv_loop_s;
struct uv_loop_s *trib_loop_uv(struct trib_loop *loop);

#endif
