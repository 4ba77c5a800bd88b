/* calendar.c - what happens next in virtual time.
 *
 * A heap of four children per node: half as deep as a binary one, and the children that are
 * compared lie side by side. */
#include "sim/calendar.h"

#define CHILDREN 4
#define CAPACITY_FIRST 64

void trib_calendar_init(struct trib_calendar *calendar, const struct trib_env *env) {
    *calendar = (struct trib_calendar){.env = env};
}

void trib_calendar_deinit(struct trib_calendar *calendar) {
    if (calendar->moments != NULL) {
        trib_release(calendar->env, calendar->moments, calendar->capacity,
                     sizeof *calendar->moments);
    }
    *calendar = (struct trib_calendar){0};
}

static bool comes_before(const struct trib_moment *a, const struct trib_moment *b) {
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static bool make_room(struct trib_calendar *calendar) {
    if (calendar->count < calendar->capacity) {
        return true;
    }
    size_t capacity = calendar->capacity == 0 ? CAPACITY_FIRST : 2 * calendar->capacity;
    struct trib_moment *grown = trib_regrow(calendar->env, calendar->moments, calendar->capacity,
                                            capacity, sizeof *calendar->moments);
    if (grown == NULL) {
        return false;
    }
    calendar->moments = grown;
    calendar->capacity = capacity;
    return true;
}

bool trib_calendar_put(struct trib_calendar *calendar, trib_time_ns at, uint64_t what) {
    if (!make_room(calendar)) {
        return false;
    }
    const struct trib_moment moment = {.at = at, .order = calendar->put_count++, .what = what};
    size_t hole = calendar->count++;
    while (hole > 0 && comes_before(&moment, &calendar->moments[(hole - 1) / CHILDREN])) {
        calendar->moments[hole] = calendar->moments[(hole - 1) / CHILDREN];
        hole = (hole - 1) / CHILDREN;
    }
    calendar->moments[hole] = moment;
    return true;
}

trib_time_ns trib_calendar_next(const struct trib_calendar *calendar) {
    return calendar->count == 0 ? TRIB_TIME_NEVER : calendar->moments[0].at;
}

static size_t first_child(const struct trib_calendar *calendar, size_t parent) {
    size_t child = parent * CHILDREN + 1;
    size_t end = child + CHILDREN < calendar->count ? child + CHILDREN : calendar->count;
    size_t first = child;
    while (++child < end) {
        if (comes_before(&calendar->moments[child], &calendar->moments[first])) {
            first = child;
        }
    }
    return first;
}

bool trib_calendar_take(struct trib_calendar *calendar, struct trib_moment *moment) {
    if (calendar->count == 0) {
        return false;
    }
    *moment = calendar->moments[0];
    const struct trib_moment last = calendar->moments[--calendar->count];
    size_t hole = 0;
    while (hole * CHILDREN + 1 < calendar->count) {
        size_t child = first_child(calendar, hole);
        if (!comes_before(&calendar->moments[child], &last)) {
            break;
        }
        calendar->moments[hole] = calendar->moments[child];
        hole = child;
    }
    calendar->moments[hole] = last;
    return true;
}
