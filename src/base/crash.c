/* crash.c - counts the points passed and ends the process at the chosen one. */
#include "base/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_BYTES 256

static atomic_bool
    is_armed; /* the rest does not change once this is set, but for what lock holds */

static struct {
    char name[NAME_BYTES]; /* "" without a plan; "*": any */
    bool is_power_cut;
    int list; /* -1: none */
    pthread_mutex_t lock;
    uint64_t passings_left; /* under lock */
    void (*last_act)(void *context);
    void *last_act_context;
} crash = {.list = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

/* name:count or name:count:power. Names have no colon. */
static bool read_plan(const char *text) {
    const char *colon = strchr(text, ':');
    size_t name_bytes = colon ? (size_t)(colon - text) : 0;
    if (name_bytes == 0 || name_bytes >= sizeof crash.name)
        return false;
    char *end;
    errno = 0;
    crash.passings_left = strtoull(colon + 1, &end, 10);
    crash.is_power_cut = strcmp(end, ":power") == 0;
    if (errno != 0 || colon[1] < '0' || colon[1] > '9' || crash.passings_left == 0 ||
        (*end != '\0' && !crash.is_power_cut))
        return false;
    memcpy(crash.name, text, name_bytes);
    crash.name[name_bytes] = '\0';
    return true;
}

enum trib_status trib_crash_arm(struct trib_error *error) {
    const char *plan = getenv("TRIB_CRASH");
    const char *list = getenv("TRIB_CRASH_LIST");
    if (atomic_load(&is_armed) || (!plan && !list))
        return TRIB_OK;
    if (plan && !read_plan(plan))
        return trib_error_set(error, TRIB_EINVALID, "TRIB_CRASH=%s is not point:count[:power]",
                              plan);
    if (list)
        crash.list = open(list, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (list && crash.list < 0)
        return trib_error_set(error, TRIB_EINVALID, "TRIB_CRASH_LIST=%s: %s", list,
                              strerror(errno));
    atomic_store(&is_armed, true);
    return TRIB_OK;
}

bool trib_crash_is_armed(void) {
    return atomic_load_explicit(&is_armed, memory_order_relaxed);
}

bool trib_crash_is_power_cut(void) {
    return trib_crash_is_armed() && crash.is_power_cut;
}

void trib_crash_set_last_act(void (*act)(void *context), void *context) {
    pthread_mutex_lock(&crash.lock);
    crash.last_act = act;
    crash.last_act_context = context;
    pthread_mutex_unlock(&crash.lock);
}

static bool is_the_one(const char *name) {
    bool is_named = strcmp(crash.name, "*") == 0 || strcmp(crash.name, name) == 0;
    return is_named && crash.passings_left > 0 && --crash.passings_left == 0;
}

static void pass(const char *subject, const char *action, const char *moment) {
    char line[NAME_BYTES + 1];
    int count = snprintf(line, NAME_BYTES, "%s.%s.%s", subject, action, moment);
    TRIB_ASSERT(count > 0 && count < NAME_BYTES);
    pthread_mutex_lock(&crash.lock);
    bool is_end = is_the_one(line);
    line[count] = '\n';
    /* Short or failed, the list is the test's own loss. */
    if (crash.list >= 0 && write(crash.list, line, (size_t)count + 1) < 0)
        crash.list = -1;
    if (is_end && crash.is_power_cut && crash.last_act)
        crash.last_act(crash.last_act_context);
    if (is_end)
        (void)raise(SIGKILL); /* cannot fail, and nothing comes after it */
    pthread_mutex_unlock(&crash.lock);
}

void trib_crash_point(const char *subject, const char *action, const char *moment) {
    if (trib_crash_is_armed())
        pass(subject, action, moment);
}
