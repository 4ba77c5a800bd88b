/* test_shares.c - runs take turns at the workers; none gets the last thread; every job ends once. */
#include "node/shares.h"

#include "support/check.h"
#include "support/env_faulty.h"

#include <pthread.h>
#include <string.h>

#define JOBS_MAX 64
#define THREADS 3

struct world {
    struct trib_loop *loop;
    struct trib_shares shares;
    struct trib_share runs[3];
    pthread_mutex_t gate; /* held while jobs shall not end */
    pthread_mutex_t lock;
    char begun[JOBS_MAX + 1]; /* a letter per job, in the order of their beginning */
    size_t begun_count, ended_count, submitted_count;
};

struct job {
    struct world *world;
    char letter;
    int works, dones;
};

static void work(void *context) {
    struct job *job = context;
    struct world *world = job->world;
    pthread_mutex_lock(&world->lock);
    TRIB_ASSERT(world->begun_count < JOBS_MAX);
    world->begun[world->begun_count++] = job->letter;
    pthread_mutex_unlock(&world->lock);
    pthread_mutex_lock(&world->gate);
    pthread_mutex_unlock(&world->gate);
    job->works++;
}

static void done(void *context) {
    struct job *job = context;
    struct world *world = job->world;
    job->dones++;
    if (++world->ended_count == world->submitted_count) {
        trib_loop_stop(world->loop);
    }
}

/* While set, a job is done in the moment that it is handed to a thread, so that the order of the
 * hand-overs is seen and not what the scheduler makes of it. Its end comes from the loop as ever. */
static bool is_immediate;

enum trib_status __real_trib_work_submit(struct trib_loop *loop, void (*begin)(void *context),
                                         void (*end)(void *context), void *context);
enum trib_status __wrap_trib_work_submit(struct trib_loop *loop, void (*begin)(void *context),
                                         void (*end)(void *context), void *context);

static void no_work(void *context) {
    (void)context; /* was done at the hand-over */
}

enum trib_status __wrap_trib_work_submit(struct trib_loop *loop, void (*begin)(void *context),
                                         void (*end)(void *context), void *context) {
    if (is_immediate) {
        begin(context);
        begin = no_work;
    }
    return __real_trib_work_submit(loop, begin, end, context);
}

static void set_up_threads(struct world *world, const struct trib_env *env, unsigned threads) {
    *world = (struct world){.gate = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct trib_loop_config config = {.worker_count = threads};
    assert_int_equal(trib_loop_new(env, &config, &world->loop), TRIB_OK);
    trib_shares_init(&world->shares, world->loop, threads);
    for (size_t i = 0; i < 3; i++) {
        world->runs[i].shares = &world->shares;
    }
}

static void set_up(struct world *world, const struct trib_env *env) {
    set_up_threads(world, env, THREADS);
}

static void submit(struct world *world, size_t run, struct job *job, char letter) {
    *job = (struct job){.world = world, .letter = letter};
    world->submitted_count++;
    assert_int_equal(trib_share_submit(&world->runs[run], work, done, job), TRIB_OK);
}

static size_t count_begun(struct world *world) {
    pthread_mutex_lock(&world->lock);
    size_t count = world->begun_count;
    pthread_mutex_unlock(&world->lock);
    return count;
}

static void wait_for_begun(struct world *world, size_t count) {
    while (count_begun(world) < count) {
    }
}

static void finish(struct world *world, const struct job *jobs, size_t count) {
    trib_loop_run(world->loop);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(jobs[i].works, 1);
        assert_int_equal(jobs[i].dones, 1);
    }
    assert_int_equal(world->shares.under_way, 0);
    assert_null(world->shares.first);
    trib_loop_free(world->loop);
}

/* A floods: its jobs take all threads but one, and B's job begins at once. */
static void the_last_thread_is_for_others(void **state) {
    (void)state;
    struct world world;
    struct job jobs[11];
    set_up(&world, trib_env_system());
    pthread_mutex_lock(&world.gate);
    for (size_t i = 0; i < 10; i++) {
        submit(&world, 0, &jobs[i], 'a');
    }
    wait_for_begun(&world, THREADS - 1);
    assert_int_equal(world.shares.under_way, THREADS - 1);
    submit(&world, 1, &jobs[10], 'b');
    wait_for_begun(&world, THREADS);
    assert_string_equal(world.begun, "aab");
    pthread_mutex_unlock(&world.gate);
    finish(&world, jobs, 11);
}

/* Two of A and one of B get the threads; after that each run with jobs has one in turn, however many
 * another has waiting. */
static void runs_take_turns(void **state) {
    (void)state;
    struct world world;
    struct job jobs[30];
    set_up(&world, trib_env_system());
    is_immediate = true;
    for (size_t i = 0; i < 20; i++) {
        submit(&world, 0, &jobs[i], 'a');
    }
    for (size_t i = 20; i < 25; i++) {
        submit(&world, 1, &jobs[i], 'b');
    }
    for (size_t i = 25; i < 30; i++) {
        submit(&world, 2, &jobs[i], 'c');
    }
    finish(&world, jobs, 30);
    is_immediate = false;
    assert_string_equal(world.begun, "aabcabcabcabcabcaaaaaaaaaaaaaa");
}

/* While both wait, a has three turns for each of b: of five threads it may have four. Where a job of
 * b ends while a has its four, b comes before its turn. */
static void turns_go_by_weight(void **state) {
    (void)state;
    struct world world;
    struct job jobs[22];
    set_up_threads(&world, trib_env_system(), 5);
    world.runs[0].turn.weight = 3;
    is_immediate = true;
    for (size_t i = 0; i < 16; i++) {
        submit(&world, 0, &jobs[i], 'a');
    }
    for (size_t i = 16; i < 22; i++) {
        submit(&world, 1, &jobs[i], 'b');
    }
    finish(&world, jobs, 22);
    is_immediate = false;
    size_t turns_of_b = 0;
    for (size_t i = 0; i < 20; i++) { /* b has jobs that wait all the while */
        turns_of_b += world.begun[i] == 'b';
    }
    assert_in_range(turns_of_b, 4, 5);
}

/* Whatever allocation fails: a job is refused and nothing of it happens, or it ends exactly once. */
static void no_memory_loses_no_job(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct world world;
        struct job jobs[12];
        trib_env_faulty_init(&faulty);
        set_up(&world, &faulty.env);
        trib_env_faulty_fail(&faulty, nth);
        for (size_t i = 0; i < 12; i++) {
            jobs[i] = (struct job){.world = &world, .letter = 'a'};
            world.submitted_count++;
            if (trib_share_submit(&world.runs[i % 2], work, done, &jobs[i]) != TRIB_OK) {
                assert_int_equal(jobs[i].works, 0);
                world.submitted_count--;
                jobs[i].works = jobs[i].dones = 1;
            }
        }
        finish(&world, jobs, 12);
        has_failed = faulty.has_failed;
        trib_env_faulty_deinit(&faulty);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_thread_is_for_others),
        cmocka_unit_test(runs_take_turns),
        cmocka_unit_test(turns_go_by_weight),
        cmocka_unit_test(no_memory_loses_no_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
