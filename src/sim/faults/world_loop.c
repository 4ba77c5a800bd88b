/* world_loop.c - net/loop.h in virtual time.
 *
 * Work is done at some later time and reported at a still later one, in any order; between the
 * two the loop goes on. Timers come at their time or a little late. */
#include "net/loop.h"

#include "sim/faults/machine.h"
#include "sim/faults/world.h"

struct trib_loop {
    const struct trib_env *env;
    bool is_stopped;
    size_t timer_count;
    uint64_t work_count;
    void (*signal_callback)(void *context, int number);
    void *signal_context;
};

struct trib_timer {
    struct trib_loop *loop;
    uint64_t happening; /* 0: not armed */
    void (*callback)(void *context);
    void *context;
};

struct work {
    struct trib_loop *loop;
    void (*work)(void *context);
    void (*done)(void *context);
    void *context;
};

const double trib_loop_bounds_s[TRIB_LOOP_BOUND_COUNT];

/* Turns take no time here. */
const struct trib_loop_turns *trib_loop_turns(const struct trib_loop *loop) {
    static const struct trib_loop_turns none;
    (void)loop;
    return &none;
}

static struct trib_loop *running; /* the daemon has one */

enum trib_status trib_loop_new(const struct trib_env *env, const struct trib_loop_config *config,
                               struct trib_loop **loop) {
    (void)config;
    struct trib_loop *made = trib_allocate(env, 1, sizeof *made);
    TRIB_ASSERT(running == NULL);
    if (made == NULL) {
        return TRIB_EMEMORY;
    }
    made->env = env;
    running = *loop = made;
    return TRIB_OK;
}

/* The daemon's loop is the world's: clients and network act in it as well. */
void trib_loop_run(struct trib_loop *loop) {
    loop->is_stopped = false;
    while (!loop->is_stopped && !world.is_over && world_step()) {
    }
}

void trib_loop_stop(struct trib_loop *loop) {
    loop->is_stopped = true;
}

void trib_loop_free(struct trib_loop *loop) {
    if (loop == NULL) {
        return;
    }
    TRIB_ASSERT(loop->timer_count == 0);
    while (loop->work_count > 0) {
        TRIB_ASSERT(world_step());
    }
    trib_release(loop->env, loop, 1, sizeof *loop);
    running = NULL;
}

const struct trib_env *trib_loop_env(const struct trib_loop *loop) {
    return loop->env;
}

trib_time_ns trib_loop_now(struct trib_loop *loop) {
    (void)loop;
    return world.now;
}

/* --- timers ------------------------------------------------------------------------------------------ */

struct trib_timer *trib_timer_new(struct trib_loop *loop, void (*callback)(void *context),
                                  void *context) {
    struct trib_timer *timer = trib_allocate(loop->env, 1, sizeof *timer);
    if (timer == NULL) {
        return NULL;
    }
    *timer = (struct trib_timer){.loop = loop, .callback = callback, .context = context};
    loop->timer_count++;
    return timer;
}

static void ring(void *context) {
    struct trib_timer *timer = context;
    timer->happening = 0;
    timer->callback(timer->context);
}

void trib_timer_arm(struct trib_timer *timer, trib_time_ns deadline) {
    trib_timer_disarm(timer);
    if (deadline != TRIB_TIME_NEVER) {
        trib_time_ns wait = deadline > world.now ? deadline - world.now : 0;
        trib_time_ns late = world_chance(0.2) ? world_delay(0, 20 * TRIB_MILLISECOND) : 0;
        timer->happening = world_schedule(wait + late, WORLD_MACHINE, ring, timer);
    }
}

void trib_timer_disarm(struct trib_timer *timer) {
    if (timer->happening != 0) {
        world_cancel(timer->happening);
        timer->happening = 0;
    }
}

void trib_timer_free(struct trib_timer *timer) {
    if (timer != NULL) {
        trib_timer_disarm(timer);
        timer->loop->timer_count--;
        trib_release(timer->loop->env, timer, 1, sizeof *timer);
    }
}

/* --- signals ----------------------------------------------------------------------------------------- */

enum trib_status trib_loop_watch_signals(struct trib_loop *loop,
                                         void (*callback)(void *context, int number),
                                         void *context) {
    loop->signal_callback = callback;
    loop->signal_context = context;
    return TRIB_OK;
}

void machine_terminate(void) {
    if (running != NULL && running->signal_callback != NULL) {
        running->signal_callback(running->signal_context, 15);
    }
}

void machine_loop_crash(void) {
    running = NULL;
}

/* --- work ---------------------------------------------------------------------------------------------- */

/* Mostly a moment; now and then a disk that thinks about it. */
static trib_time_ns pace(void) {
    trib_time_ns most = world_chance(0.03) ? 5 * TRIB_SECOND : 20 * TRIB_MILLISECOND;
    return world_delay(0, most);
}

static void report(void *context) {
    struct work job = *(struct work *)context;
    trib_release(job.loop->env, context, 1, sizeof job);
    job.loop->work_count--;
    job.done(job.context);
}

static void do_work(void *context) {
    struct work *job = context;
    job->work(job->context);
    (void)world_schedule(pace(), WORLD_MACHINE, report, job);
}

enum trib_status trib_work_submit(struct trib_loop *loop, void (*work)(void *context),
                                  void (*done)(void *context), void *context) {
    if (world_fault(TALLY_NO_WORKER, 0.003)) {
        world_trace("        no memory for work");
        return TRIB_EMEMORY; /* the daemon does it itself, or refuses */
    }
    struct work *job = trib_allocate(loop->env, 1, sizeof *job);
    if (job == NULL) {
        return TRIB_EMEMORY;
    }
    *job = (struct work){loop, work, done, context};
    loop->work_count++;
    (void)world_schedule(pace(), WORLD_MACHINE, do_work, job);
    return TRIB_OK;
}
