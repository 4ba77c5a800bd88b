/* hands.c - threads that do numbered jobs ahead of time. */
#include "sim/hands.h"

#include <pthread.h>

#include "run/agenda.h"

enum job_state { JOB_NONE, JOB_GIVEN, JOB_UNDER_WAY, JOB_DONE };

struct hand {
    struct trib_hands *hands;
    pthread_t thread;
    uint32_t number;
};

struct trib_hands {
    const struct trib_env *env;
    trib_hands_do *work;
    void *context;
    uint32_t hand_count, job_count, ahead_max;
    struct hand *threads; /* [hand_count]; number 0 is the caller's and has no thread */
    uint32_t started;     /* threads */

    pthread_mutex_t mutex;     /* guards all below */
    pthread_cond_t given;      /* there is more to do, or nothing more */
    pthread_cond_t done;       /* some job is done */
    struct trib_agenda agenda; /* jobs that are given, by due */
    unsigned char *states;     /* [job_count] enum job_state */
    uint32_t ahead;            /* jobs under way or done */
    bool is_closing;
};

/* --- doing (the mutex is held outside of work) ------------------------------------------------- */

static void do_job(struct trib_hands *hands, uint32_t job, uint32_t hand) {
    trib_agenda_set(&hands->agenda, job, TRIB_TIME_NEVER);
    hands->states[job] = JOB_UNDER_WAY;
    hands->ahead++;
    pthread_mutex_unlock(&hands->mutex);
    hands->work(hands->context, job, hand);
    pthread_mutex_lock(&hands->mutex);
    hands->states[job] = JOB_DONE;
    pthread_cond_signal(&hands->done);
}

static bool may_go_ahead(const struct trib_hands *hands) {
    return hands->agenda.count > 0 && hands->ahead < hands->ahead_max;
}

static void *work_on(void *context) {
    const struct hand *hand = context;
    struct trib_hands *hands = hand->hands;
    pthread_mutex_lock(&hands->mutex);
    while (!hands->is_closing) {
        if (may_go_ahead(hands)) {
            uint32_t job;
            (void)trib_agenda_first(&hands->agenda, &job);
            do_job(hands, job, hand->number);
        } else {
            pthread_cond_wait(&hands->given, &hands->mutex);
        }
    }
    pthread_mutex_unlock(&hands->mutex);
    return NULL;
}

/* --- life --------------------------------------------------------------------------------------- */

static enum trib_status start_threads(struct trib_hands *hands) {
    for (uint32_t number = 1; number < hands->hand_count; number++) {
        struct hand *hand = &hands->threads[number];
        *hand = (struct hand){.hands = hands, .number = number};
        if (pthread_create(&hand->thread, NULL, work_on, hand) != 0) {
            return TRIB_EUNAVAILABLE;
        }
        hands->started++;
    }
    return TRIB_OK;
}

enum trib_status trib_hands_new(const struct trib_env *env, uint32_t hand_count, uint32_t job_count,
                                uint32_t ahead_max, trib_hands_do *work, void *context,
                                struct trib_hands **hands) {
    TRIB_ASSERT(hand_count > 0 && hand_count <= TRIB_HANDS_MAX);
    TRIB_ASSERT(job_count > 0 && ahead_max > 0);
    *hands = NULL;
    struct trib_hands *made = trib_allocate(env, 1, sizeof *made);
    if (made == NULL) {
        return TRIB_EMEMORY;
    }
    made->env = env;
    made->work = work;
    made->context = context;
    made->hand_count = hand_count;
    made->job_count = job_count;
    made->ahead_max = ahead_max;
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->given, NULL);
    pthread_cond_init(&made->done, NULL);
    trib_agenda_init(&made->agenda, env);
    made->threads = trib_allocate(env, hand_count, sizeof *made->threads);
    made->states = trib_allocate(env, job_count, sizeof *made->states);
    enum trib_status status = TRIB_EMEMORY;
    if (made->threads != NULL && made->states != NULL &&
        trib_agenda_reserve(&made->agenda, job_count)) {
        status = start_threads(made);
    }
    if (status != TRIB_OK) {
        trib_hands_free(made);
        return status;
    }
    *hands = made;
    return TRIB_OK;
}

void trib_hands_free(struct trib_hands *hands) {
    if (hands == NULL) {
        return;
    }
    pthread_mutex_lock(&hands->mutex);
    hands->is_closing = true;
    pthread_cond_broadcast(&hands->given);
    pthread_mutex_unlock(&hands->mutex);
    for (uint32_t number = 1; number <= hands->started; number++) {
        pthread_join(hands->threads[number].thread, NULL);
    }
    pthread_cond_destroy(&hands->done);
    pthread_cond_destroy(&hands->given);
    pthread_mutex_destroy(&hands->mutex);
    trib_agenda_deinit(&hands->agenda);
    trib_release(hands->env, hands->states, hands->job_count, sizeof *hands->states);
    trib_release(hands->env, hands->threads, hands->hand_count, sizeof *hands->threads);
    trib_release(hands->env, hands, 1, sizeof *hands);
}

/* --- giving and taking -------------------------------------------------------------------------- */

void trib_hands_give(struct trib_hands *hands, uint32_t job, trib_time_ns due) {
    TRIB_ASSERT(job < hands->job_count);
    pthread_mutex_lock(&hands->mutex);
    TRIB_ASSERT(hands->states[job] == JOB_NONE);
    hands->states[job] = JOB_GIVEN;
    trib_agenda_set(&hands->agenda, job, due == TRIB_TIME_NEVER ? due - 1 : due);
    pthread_cond_signal(&hands->given);
    pthread_mutex_unlock(&hands->mutex);
}

/* Until the job is done: do it, or another that is due soon, or wait for whoever does it. */
static void see_to(struct trib_hands *hands, uint32_t job) {
    while (hands->states[job] != JOB_DONE) {
        if (hands->states[job] == JOB_GIVEN) {
            do_job(hands, job, 0);
        } else if (may_go_ahead(hands)) {
            uint32_t other;
            (void)trib_agenda_first(&hands->agenda, &other);
            do_job(hands, other, 0);
        } else {
            pthread_cond_wait(&hands->done, &hands->mutex);
        }
    }
}

/* There is room for another result. */
static void clear(struct trib_hands *hands, uint32_t job) {
    hands->states[job] = JOB_NONE;
    hands->ahead--;
    pthread_cond_signal(&hands->given);
}

void trib_hands_take(struct trib_hands *hands, uint32_t job) {
    TRIB_ASSERT(job < hands->job_count);
    pthread_mutex_lock(&hands->mutex);
    TRIB_ASSERT(hands->states[job] != JOB_NONE);
    see_to(hands, job);
    clear(hands, job);
    pthread_mutex_unlock(&hands->mutex);
}

bool trib_hands_drop(struct trib_hands *hands, uint32_t job) {
    TRIB_ASSERT(job < hands->job_count);
    bool was_begun = false;
    pthread_mutex_lock(&hands->mutex);
    if (hands->states[job] == JOB_GIVEN) {
        trib_agenda_set(&hands->agenda, job, TRIB_TIME_NEVER);
        hands->states[job] = JOB_NONE;
    } else if (hands->states[job] != JOB_NONE) {
        was_begun = true;
        see_to(hands, job);
        clear(hands, job);
    }
    pthread_mutex_unlock(&hands->mutex);
    return was_begun;
}
