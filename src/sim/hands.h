/* hands.h - threads that do numbered jobs ahead of time, the most urgent first.
 *
 * The caller gives jobs out as soon as their input is known and asks for a result when it is
 * wanted. Meanwhile the hands work in the order of `due`. Whoever waits is a hand as well (number
 * 0), so one hand means no thread at all. What a job computes must depend on its input alone;
 * then nothing that the caller sees depends on the number of hands. */
#ifndef TRIB_SIM_HANDS_H
#define TRIB_SIM_HANDS_H

#include "base/env.h"
#include "base/status.h"

#define TRIB_HANDS_MAX 256

struct trib_hands; /* opaque */

/* Do job `job` (< job_count) with the tools of hand `hand` (< hand_count). */
typedef void trib_hands_do(void *context, uint32_t job, uint32_t hand);

/* ahead_max  results that may lie about unasked for: a bound on memory. > 0.
 * TRIB_EMEMORY; TRIB_EUNAVAILABLE: no thread could be started. */
enum trib_status trib_hands_new(const struct trib_env *env, uint32_t hand_count, uint32_t job_count,
                                uint32_t ahead_max, trib_hands_do *work, void *context,
                                struct trib_hands **hands);
/* Finishes what is being done, drops the rest. NULL allowed. */
void trib_hands_free(struct trib_hands *hands);

/* All of these: from the caller's thread only. */

/* The job may be done from now on; it must not be given out already. */
void trib_hands_give(struct trib_hands *hands, uint32_t job, trib_time_ns due);
/* Wait until it is done. It must have been given. */
void trib_hands_take(struct trib_hands *hands, uint32_t job);
/* Its result is of no use: false when nobody has begun it, true when there is one (it is waited
 * for). Nothing for a job that is not given out: false. */
bool trib_hands_drop(struct trib_hands *hands, uint32_t job);

#endif
