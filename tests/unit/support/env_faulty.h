/* env_faulty.h - an environment for tests: counts memory, fails on demand, holds its own clocks.
 *
 * Every block is filled with rubbish when handed out and when taken back; a release with the wrong
 * size, or of memory that is not from here, aborts. Any thread may allocate. A sweep over all
 * allocations of an operation:
 *
 *     struct trib_env_faulty faulty;
 *     trib_env_faulty_init(&faulty);
 *     uint64_t nth = 0;
 *     do {
 *         trib_env_faulty_fail(&faulty, ++nth);
 *         enum trib_status status = operation(&faulty.env);
 *         assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
 *         assert_int_equal(faulty.blocks_live, 0);
 *     } while (faulty.has_failed);
 *     trib_env_faulty_deinit(&faulty);
 */
#ifndef TRIB_SUPPORT_ENV_FAULTY_H
#define TRIB_SUPPORT_ENV_FAULTY_H

#include <pthread.h>

#include "base/env.h"
#include "base/random.h"

struct trib_env_faulty {
    struct trib_env env; /* read-only: pass &faulty.env */

    /* settings, changed at will between calls */
    trib_time_ns now; /* what monotonic() answers; starts at 0 */
    double wall_now;  /* what wall() answers; starts at 1.7e9 */

    /* read-only */
    bool has_failed;           /* an allocation was refused since the last ..._fail() */
    uint64_t blocks_live;      /* allocated and not released */
    uint64_t bytes_live;       /* in those */
    uint64_t bytes_peak;       /* the most there ever were */
    uint64_t allocation_count; /* successful ones since init */
    uint64_t log_count;        /* lines logged since init */
    char log_last[512];        /* the latest line, cut to fit */
    enum trib_log_level log_last_level;

    /* private */
    uint64_t allocations_until_failure; /* 0: none */
    struct trib_random random;          /* entropy() is the same in every run of a test */
    pthread_mutex_t lock;
};

void trib_env_faulty_init(struct trib_env_faulty *faulty);
/* Asserts that nothing is left allocated. */
void trib_env_faulty_deinit(struct trib_env_faulty *faulty);
/* The nth allocation from now on returns NULL (1 = the next one, 0 = none); once. */
void trib_env_faulty_fail(struct trib_env_faulty *faulty, uint64_t nth);
/* bytes_live and has_failed, while other threads allocate. */
uint64_t trib_env_faulty_bytes_live(struct trib_env_faulty *faulty);
bool trib_env_faulty_has_failed(struct trib_env_faulty *faulty);

#endif
