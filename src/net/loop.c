/* loop.c - the event loop: a thin hand over libuv's.
 *
 * Handles are closed asynchronously, so every object here is given back in its close callback;
 * trib_loop_free() turns the loop until all of them have come. */
#include "net/loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { WORKERS_MIN = 4, WORKERS_MAX = 1024, SIGNAL_COUNT = 3 };

struct trib_loop {
    uv_loop_t uv;
    const struct trib_env *env;
    uv_async_t stopper;
    size_t timer_count;

    uv_prepare_t before_wait;
    struct trib_loop_turns turns;
    uint64_t turn_at, idle; /* when the turn under way began, and all waiting before it */

    /* The clock is read when libuv's own time has moved, which it does once per turn. */
    trib_time_ns now;
    uint64_t now_uv;
    bool has_now;

    uv_signal_t signals[SIGNAL_COUNT];
    bool is_watching;
    void (*signal_callback)(void *context, int number);
    void *signal_context;
};

struct trib_timer {
    uv_timer_t uv;
    struct trib_loop *loop;
    trib_time_ns deadline;
    void (*callback)(void *context);
    void *context;
};

struct work_request {
    uv_work_t uv;
    struct trib_loop *loop;
    void (*work)(void *context);
    void (*done)(void *context);
    void *context;
};

const double trib_loop_bounds_s[] = {1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10};

/* Between two waits lies the time since the last one began, without how long that was. */
static void count_turn(uv_prepare_t *before_wait) {
    struct trib_loop *loop = before_wait->data;
    uint64_t now = uv_hrtime(), idle = uv_metrics_idle_time(&loop->uv);
    uint64_t busy = now - loop->turn_at - (idle - loop->idle);
    size_t bound = 0;
    while (bound < TRIB_LOOP_BOUND_COUNT && (double)busy > trib_loop_bounds_s[bound] * 1e9) {
        bound++;
    }
    loop->turns.counts[bound]++;
    loop->turns.total += busy;
    loop->turn_at = now;
    loop->idle = idle;
}

static void stop_now(uv_async_t *async) {
    uv_stop(async->loop);
}

static void set_worker_count(unsigned count) {
    if (count == 0) {
        count = uv_available_parallelism();
        count = count < WORKERS_MIN ? WORKERS_MIN : count;
    }
    char text[16];
    (void)snprintf(text, sizeof text, "%u", count < WORKERS_MAX ? count : WORKERS_MAX);
    /* libuv reads it when the first work is submitted, and never again. Without memory for the
     * variable there are libuv's own four threads. */
    (void)uv_os_setenv("UV_THREADPOOL_SIZE", text);
}

enum trib_status trib_loop_new(const struct trib_env *env, const struct trib_loop_config *config,
                               struct trib_loop **loop) {
    struct trib_loop *made = trib_allocate(env, 1, sizeof *made);
    if (made == NULL) {
        return TRIB_EMEMORY;
    }
    made->env = env;
    if (uv_loop_init(&made->uv) != 0) {
        goto fail_loop;
    }
    if (uv_async_init(&made->uv, &made->stopper, stop_now) != 0) {
        goto fail_stopper;
    }
    uv_unref((uv_handle_t *)&made->stopper);
    /* Neither can fail for a loop that is fresh and a callback that is there. */
    (void)uv_loop_configure(&made->uv, UV_METRICS_IDLE_TIME);
    (void)uv_prepare_init(&made->uv, &made->before_wait);
    (void)uv_prepare_start(&made->before_wait, count_turn);
    uv_unref((uv_handle_t *)&made->before_wait);
    made->before_wait.data = made;
    set_worker_count(config == NULL ? 0 : config->worker_count);
    signal(SIGPIPE, SIG_IGN);
    *loop = made;
    return TRIB_OK;

fail_stopper:
    TRIB_ASSERT(uv_loop_close(&made->uv) == 0);
fail_loop:
    trib_release(env, made, 1, sizeof *made);
    return TRIB_EIO;
}

void trib_loop_run(struct trib_loop *loop) {
    loop->turn_at = uv_hrtime();
    loop->idle = uv_metrics_idle_time(&loop->uv);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void trib_loop_stop(struct trib_loop *loop) {
    TRIB_ASSERT(uv_async_send(&loop->stopper) == 0);
}

void trib_loop_free(struct trib_loop *loop) {
    if (loop == NULL) {
        return;
    }
    TRIB_ASSERT(loop->timer_count == 0);
    uv_close((uv_handle_t *)&loop->before_wait, NULL);
    uv_close((uv_handle_t *)&loop->stopper, NULL);
    for (size_t i = 0; loop->is_watching && i < SIGNAL_COUNT; i++) {
        uv_close((uv_handle_t *)&loop->signals[i], NULL);
    }
    /* A stop that nobody has noticed yet must not end this one early. */
    while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0) {
    }
    TRIB_ASSERT(uv_loop_close(&loop->uv) == 0);
    trib_release(loop->env, loop, 1, sizeof *loop);
}

const struct trib_loop_turns *trib_loop_turns(const struct trib_loop *loop) {
    return &loop->turns;
}

const struct trib_env *trib_loop_env(const struct trib_loop *loop) {
    return loop->env;
}

struct uv_loop_s *trib_loop_uv(struct trib_loop *loop) {
    return &loop->uv;
}

trib_time_ns trib_loop_now(struct trib_loop *loop) {
    uint64_t now_uv = uv_now(&loop->uv);
    if (!loop->has_now || now_uv != loop->now_uv) {
        loop->now = loop->env->monotonic(loop->env->context);
        loop->now_uv = now_uv;
        loop->has_now = true;
    }
    return loop->now;
}

/* ---- timers ---- */

static void timer_fired(uv_timer_t *uv) {
    struct trib_timer *timer = uv->data;
    /* libuv counts whole milliseconds of its own clock and may be a little early on ours. What
     * counts is the time of this turn, because the callback sees no other: called before its
     * deadline by that time it would find nothing to do and arm the same deadline again. */
    if (trib_loop_now(timer->loop) < timer->deadline) {
        trib_timer_arm(timer, timer->deadline);
        return;
    }
    timer->callback(timer->context);
}

static void timer_closed(uv_handle_t *handle) {
    struct trib_timer *timer = handle->data;
    trib_release(timer->loop->env, timer, 1, sizeof *timer);
}

struct trib_timer *trib_timer_new(struct trib_loop *loop, void (*callback)(void *context),
                                  void *context) {
    struct trib_timer *timer = trib_allocate(loop->env, 1, sizeof *timer);
    if (timer == NULL) {
        return NULL;
    }
    TRIB_ASSERT(uv_timer_init(&loop->uv, &timer->uv) == 0);
    timer->uv.data = timer;
    timer->loop = loop;
    timer->callback = callback;
    timer->context = context;
    loop->timer_count++;
    return timer;
}

void trib_timer_arm(struct trib_timer *timer, trib_time_ns deadline) {
    if (deadline == TRIB_TIME_NEVER) {
        trib_timer_disarm(timer);
        return;
    }
    timer->deadline = deadline;
    /* At least 1 ms: libuv (1.44) calls a timer of 0 ms back in this turn, again and again when it
     * arms itself, and nothing else would ever run. */
    trib_time_ns left = deadline - trib_loop_now(timer->loop);
    uint64_t left_ms = left > 0 ? (uint64_t)((left + TRIB_MILLISECOND - 1) / TRIB_MILLISECOND) : 1;
    /* Fails only without a callback or when closing. */
    TRIB_ASSERT(uv_timer_start(&timer->uv, timer_fired, left_ms, 0) == 0);
}

void trib_timer_disarm(struct trib_timer *timer) {
    (void)uv_timer_stop(&timer->uv); /* cannot fail */
}

void trib_timer_free(struct trib_timer *timer) {
    if (timer == NULL) {
        return;
    }
    timer->loop->timer_count--;
    uv_close((uv_handle_t *)&timer->uv, timer_closed);
}

/* ---- signals ---- */

static void signal_came(uv_signal_t *uv, int number) {
    struct trib_loop *loop = uv->data;
    loop->signal_callback(loop->signal_context, number);
}

enum trib_status trib_loop_watch_signals(struct trib_loop *loop,
                                         void (*callback)(void *context, int number),
                                         void *context) {
    static const int numbers[SIGNAL_COUNT] = {SIGTERM, SIGINT, SIGHUP};
    TRIB_ASSERT(!loop->is_watching);
    loop->signal_callback = callback;
    loop->signal_context = context;
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        if (uv_signal_init(&loop->uv, &loop->signals[i]) != 0) {
            TRIB_ASSERT(i == 0); /* only the first one opens descriptors */
            return TRIB_EIO;
        }
        loop->signals[i].data = loop;
        uv_unref((uv_handle_t *)&loop->signals[i]);
    }
    loop->is_watching = true;
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        if (uv_signal_start(&loop->signals[i], signal_came, numbers[i]) != 0) {
            return TRIB_EIO;
        }
    }
    return TRIB_OK;
}

/* ---- work ---- */

static void do_work(uv_work_t *uv) {
    struct work_request *request = uv->data;
    request->work(request->context);
}

static void work_done(uv_work_t *uv, int status) {
    struct work_request *request = uv->data;
    TRIB_ASSERT(status == 0); /* nothing is ever cancelled */
    struct work_request finished = *request;
    trib_release(request->loop->env, request, 1, sizeof *request);
    finished.done(finished.context);
}

enum trib_status trib_work_submit(struct trib_loop *loop, void (*work)(void *context),
                                  void (*done)(void *context), void *context) {
    struct work_request *request = trib_allocate(loop->env, 1, sizeof *request);
    if (request == NULL) {
        return TRIB_EMEMORY;
    }
    request->uv.data = request;
    request->loop = loop;
    request->work = work;
    request->done = done;
    request->context = context;
    /* Fails only without a work function. */
    TRIB_ASSERT(uv_queue_work(&loop->uv, &request->uv, do_work, work_done) == 0);
    return TRIB_OK;
}

/* ---- the idle rule ---- */

void trib_idle_restart(struct trib_idle *idle, trib_time_ns now, uint64_t bytes_total) {
    idle->since = now;
    idle->bytes_since = bytes_total;
}

bool trib_idle_is_over(struct trib_idle *idle, const struct trib_idle_rule *rule, trib_time_ns now,
                       uint64_t bytes_total) {
    if (now - idle->since < rule->after) {
        return false;
    }
    if (bytes_total - idle->bytes_since < rule->bytes) {
        return true;
    }
    trib_idle_restart(idle, now, bytes_total);
    return false;
}
