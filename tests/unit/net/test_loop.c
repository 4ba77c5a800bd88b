/* test_loop.c - timers, work, stopping and signals of the event loop. */
#include "net/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "support/check.h"
#include "support/env_faulty.h"

struct world {
    struct trib_env_faulty faulty;
    struct trib_loop *loop;
    struct trib_timer *timer;
    struct trib_timer *other;
    trib_time_ns deadline;
    int fired;
    int done;
    int signal_number;
    atomic_int worked;
    pthread_t loop_thread;
};

/* Counts memory, but lives in real time. */
static void begin(struct world *world) {
    memset(world, 0, sizeof *world);
    trib_env_faulty_init(&world->faulty);
    world->faulty.env.monotonic = trib_env_system()->monotonic;
    assert_int_equal(trib_loop_new(&world->faulty.env, NULL, &world->loop), TRIB_OK);
    world->loop_thread = pthread_self();
}

static void end(struct world *world) {
    trib_loop_free(world->loop);
    trib_env_faulty_deinit(&world->faulty);
}

static trib_time_ns real_now(void) {
    return trib_env_system()->monotonic(NULL);
}

static void fire(void *context) {
    struct world *world = context;
    assert_true(real_now() >= world->deadline);
    world->fired++;
}

static void be_busy(void *context) {
    (void)context;
    trib_time_ns start = real_now();
    while (real_now() - start < 20 * TRIB_MILLISECOND) {
    }
}

/* Waiting is no part of a turn: 60 ms of it and 20 ms of work are a turn of 20 ms. */
static void turns_are_timed_without_the_waiting(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    world.timer = trib_timer_new(world.loop, be_busy, &world);
    world.other = trib_timer_new(world.loop, fire, &world);
    trib_time_ns start = real_now();
    trib_timer_arm(world.timer, start + 60 * TRIB_MILLISECOND);
    trib_timer_arm(world.other, start + 90 * TRIB_MILLISECOND); /* the turn after it */
    trib_loop_run(world.loop);
    const struct trib_loop_turns *turns = trib_loop_turns(world.loop);
    uint64_t count = 0, long_count = 0;
    for (size_t i = 0; i <= TRIB_LOOP_BOUND_COUNT; i++) {
        count += turns->counts[i];
        long_count += i >= 4 ? turns->counts[i] : 0; /* beyond 10 ms */
    }
    assert_in_range(long_count, 1, count - 1);
    assert_in_range(turns->total, 10 * TRIB_MILLISECOND,
                    real_now() - start - 40 * TRIB_MILLISECOND);
    trib_timer_free(world.other);
    trib_timer_free(world.timer);
    end(&world);
}

static void timer_fires_once_and_never_early(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    world.timer = trib_timer_new(world.loop, fire, &world);
    for (int i = 1; i <= 5; i++) {
        world.deadline = real_now() + i * TRIB_MILLISECOND + 300000;
        trib_timer_arm(world.timer, world.deadline);
        trib_loop_run(world.loop);
        assert_int_equal(world.fired, i);
    }
    /* A deadline in the past fires in the next turn, not inside the call. */
    world.deadline = real_now() - TRIB_SECOND;
    trib_timer_arm(world.timer, world.deadline);
    assert_int_equal(world.fired, 5);
    trib_loop_run(world.loop);
    assert_int_equal(world.fired, 6);
    /* Disarmed in either way, nothing keeps the loop running. */
    trib_timer_arm(world.timer, real_now() + 3600 * TRIB_SECOND);
    trib_timer_disarm(world.timer);
    trib_timer_arm(world.timer, real_now() + 3600 * TRIB_SECOND);
    trib_timer_arm(world.timer, TRIB_TIME_NEVER);
    trib_loop_run(world.loop);
    assert_int_equal(world.fired, 6);
    trib_timer_free(world.timer);
    end(&world);
}

static void arm_late(void *context) {
    struct world *world = context;
    if (world->fired++ == 0) {
        usleep(20000);
        world->deadline = real_now() + 10 * TRIB_MILLISECOND;
        trib_timer_arm(world->timer, world->deadline);
        /* A turn in between, which brings libuv's clock up to date. */
        trib_timer_arm(world->other, real_now() + TRIB_MILLISECOND);
    } else {
        assert_true(real_now() >= world->deadline);
    }
}

static void do_nothing(void *context) {
    (void)context;
}

/* libuv counts from the beginning of the turn: a callback that took its time must not make the
 * next deadline come early. */
static void deadlines_count_from_the_real_now(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    world.timer = trib_timer_new(world.loop, arm_late, &world);
    world.other = trib_timer_new(world.loop, do_nothing, &world);
    trib_timer_arm(world.timer, 0);
    trib_loop_run(world.loop);
    assert_int_equal(world.fired, 2);
    trib_timer_free(world.other);
    trib_timer_free(world.timer);
    end(&world);
}

static void see_deadline(void *context) {
    struct world *world = context;
    assert_true(trib_loop_now(world->loop) >= world->deadline);
    if (++world->fired < 5) {
        usleep(3000);
        world->deadline = trib_loop_now(world->loop) + 2 * TRIB_MILLISECOND; /* over already */
        trib_timer_arm(world->timer, world->deadline);
    }
}

/* A callback sees only the time of its turn: called while that is before its deadline it would do
 * nothing and arm it again, for ever. */
static void deadlines_are_reached_on_the_clock_of_the_loop(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    world.timer = trib_timer_new(world.loop, see_deadline, &world);
    trib_timer_arm(world.timer, 0);
    trib_loop_run(world.loop);
    assert_int_equal(world.fired, 5);
    trib_timer_free(world.timer);
    end(&world);
}

static void arm_for_ever(void *context) {
    struct world *world = context;
    assert_true(world->fired++ < 100000);
    if (world->done == 0) {
        trib_timer_arm(world->timer, 0);
    }
}

static void work_hard(void *context) {
    struct world *world = context;
    TRIB_ASSERT(!pthread_equal(pthread_self(), world->loop_thread));
    atomic_fetch_add(&world->worked, 1);
}

static void work_done(void *context) {
    struct world *world = context;
    assert_true(pthread_equal(pthread_self(), world->loop_thread));
    world->done++;
}

static void work_is_done_exactly_once(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(trib_work_submit(world.loop, work_hard, work_done, &world), TRIB_OK);
    }
    assert_int_equal(world.done, 0);
    trib_loop_run(world.loop);
    assert_int_equal(atomic_load(&world.worked), 1000);
    assert_int_equal(world.done, 1000);
    /* Freeing the loop waits for work and calls what is owed. */
    assert_int_equal(trib_work_submit(world.loop, work_hard, work_done, &world), TRIB_OK);
    end(&world);
    assert_int_equal(world.done, 1001);
}

/* A timer that is always due takes no turn from anybody else. */
static void a_due_timer_lets_others_run(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    world.timer = trib_timer_new(world.loop, arm_for_ever, &world);
    trib_timer_arm(world.timer, 0);
    assert_int_equal(trib_work_submit(world.loop, work_hard, work_done, &world), TRIB_OK);
    trib_loop_run(world.loop);
    assert_int_equal(world.done, 1);
    trib_timer_free(world.timer);
    end(&world);
}

static void *stop_from_outside(void *context) {
    struct world *world = context;
    trib_loop_stop(world->loop);
    return NULL;
}

static void any_thread_may_stop_the_loop(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    world.timer = trib_timer_new(world.loop, fire, &world);
    trib_timer_arm(world.timer, real_now() + 3600 * TRIB_SECOND);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_from_outside, &world), 0);
    trib_loop_run(world.loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(world.fired, 0);
    trib_timer_free(world.timer);
    end(&world);
}

static void signal_came(void *context, int number) {
    struct world *world = context;
    world->signal_number = number;
    trib_loop_stop(world->loop);
}

static void signals_become_callbacks(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    assert_int_equal(trib_loop_watch_signals(world.loop, signal_came, &world), TRIB_OK);
    world.timer = trib_timer_new(world.loop, fire, &world);
    trib_timer_arm(world.timer, real_now() + 3600 * TRIB_SECOND);
    assert_int_equal(raise(SIGTERM), 0);
    trib_loop_run(world.loop);
    assert_int_equal(world.signal_number, SIGTERM);
    assert_int_equal(raise(SIGINT), 0);
    trib_loop_run(world.loop);
    assert_int_equal(world.signal_number, SIGINT);
    trib_timer_free(world.timer);
    end(&world);
}

static void keep_clock(void *context) {
    struct world *world = context;
    trib_time_ns first = trib_loop_now(world->loop);
    usleep(5000);
    assert_true(trib_loop_now(world->loop) == first);
    world->deadline = first;
    world->fired++;
}

/* One reading per turn: two decisions of one turn cannot disagree about the time. */
static void time_stands_still_within_a_turn(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    world.timer = trib_timer_new(world.loop, keep_clock, &world);
    trib_timer_arm(world.timer, 0);
    trib_loop_run(world.loop);
    trib_time_ns first = world.deadline;
    trib_timer_arm(world.timer, 0);
    trib_loop_run(world.loop);
    assert_int_equal(world.fired, 2);
    assert_true(world.deadline >= first + 5 * TRIB_MILLISECOND);
    trib_timer_free(world.timer);
    end(&world);
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_loop *loop = NULL;
        struct world world = {.loop_thread = pthread_self()};
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_loop_new(&faulty.env, NULL, &loop);
        if (status == TRIB_OK) {
            struct trib_timer *timer = trib_timer_new(loop, fire, &world);
            status =
                timer == NULL ? TRIB_EMEMORY : trib_work_submit(loop, work_hard, work_done, &world);
            trib_timer_free(timer);
            trib_loop_free(loop);
        }
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_int_equal(world.done, status == TRIB_OK ? 1 : 0);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_int_equal(nth, 4);
    trib_env_faulty_deinit(&faulty);
}

static void idle_rule_counts_bytes_not_time(void **state) {
    (void)state;
    const struct trib_idle_rule rule = {.after = 100, .bytes = 10};
    struct trib_idle idle;
    trib_idle_restart(&idle, 1000, 50);
    assert_false(trib_idle_is_over(&idle, &rule, 1099, 50));
    /* Ten bytes in every stretch: it lives on, however long that takes. */
    assert_false(trib_idle_is_over(&idle, &rule, 1100, 60));
    assert_false(trib_idle_is_over(&idle, &rule, 1199, 60));
    assert_false(trib_idle_is_over(&idle, &rule, 1200, 70));
    /* Nine: over. */
    assert_true(trib_idle_is_over(&idle, &rule, 1300, 79));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_are_timed_without_the_waiting),
        cmocka_unit_test(timer_fires_once_and_never_early),
        cmocka_unit_test(deadlines_count_from_the_real_now),
        cmocka_unit_test(deadlines_are_reached_on_the_clock_of_the_loop),
        cmocka_unit_test(a_due_timer_lets_others_run),
        cmocka_unit_test(work_is_done_exactly_once),
        cmocka_unit_test(any_thread_may_stop_the_loop),
        cmocka_unit_test(signals_become_callbacks),
        cmocka_unit_test(time_stands_still_within_a_turn),
        cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(idle_rule_counts_bytes_not_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
