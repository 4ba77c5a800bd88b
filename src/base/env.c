/* env.c - the system environment, and the helpers over any environment's table. */
#include "base/env.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"

#define LOG_LINE_BYTES 1024

static _Atomic int log_level = TRIB_LOG_INFO;

static void *system_allocate(void *context, size_t bytes) {
    (void)context;
    /* Not aligned_alloc: it wants a rounded size, which would hide small overruns from ASan. */
    void *memory = NULL;
    return posix_memalign(&memory, 64, bytes) == 0 ? memory : NULL;
}

static void system_release(void *context, void *memory, size_t bytes) {
    (void)context;
    (void)bytes;
    free(memory);
}

static trib_time_ns system_monotonic(void *context) {
    (void)context;
    struct timespec now;
    TRIB_ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (trib_time_ns)now.tv_sec * TRIB_SECOND + now.tv_nsec;
}

static double system_wall(void *context) {
    (void)context;
    struct timespec now;
    TRIB_ASSERT(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void system_entropy(void *context, void *bytes, size_t count) {
    (void)context;
    unsigned char *next = bytes;
    while (count > 0) {
        ssize_t got = getrandom(next, count, 0);
        if (got < 0 && errno == EINTR)
            continue;
        TRIB_ASSERT(got > 0); /* tokens from a broken source would be worse than no daemon */
        next += got;
        count -= (size_t)got;
    }
}

static void system_log(void *context, enum trib_log_level level, const char *line) {
    static const char *const names[] = {"debug", "info", "warn", "error"};
    (void)context;
    if ((int)level < atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    time_t seconds = (time_t)system_wall(NULL);
    struct tm utc;
    char stamp[sizeof "2026-11-20T12:00:00Z"];
    if (!gmtime_r(&seconds, &utc) || strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        strcpy(stamp, "-");
    char text[LOG_LINE_BYTES + 64];
    int count = snprintf(text, sizeof text, "%s %s %s\n", stamp, names[level], line);
    size_t bytes = (size_t)count < sizeof text ? (size_t)count : sizeof text - 1;
    text[bytes - 1] = '\n';
    /* One write, so that lines of several threads and processes do not mix. A log that cannot be
     * written has nowhere to complain. */
    ssize_t written = write(STDERR_FILENO, text, bytes);
    (void)written;
}

const struct trib_env *trib_env_system(void) {
    static const struct trib_env system = {
        .allocate = system_allocate,
        .release = system_release,
        .monotonic = system_monotonic,
        .wall = system_wall,
        .entropy = system_entropy,
        .log = system_log,
    };
    return &system;
}

void trib_env_log_level(enum trib_log_level level) {
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

void *trib_allocate(const struct trib_env *env, size_t count, size_t bytes) {
    size_t total;
    if (!trib_count_to_bytes(count, bytes, &total))
        return NULL;
    if (total == 0)
        total = 1; /* a table need not answer for 0 bytes, and NULL must mean failure */
    void *memory = env->allocate(env->context, total);
    return memory ? memset(memory, 0, total) : NULL;
}

void trib_release(const struct trib_env *env, void *memory, size_t count, size_t bytes) {
    if (!memory)
        return;
    size_t total;
    TRIB_ASSERT(trib_count_to_bytes(count, bytes, &total));
    env->release(env->context, memory, total == 0 ? 1 : total);
}

void *trib_regrow(const struct trib_env *env, void *array, size_t count, size_t new_count,
                  size_t bytes) {
    TRIB_ASSERT(new_count >= count);
    void *grown = trib_allocate(env, new_count, bytes);
    if (!grown)
        return NULL;
    if (array) {
        memcpy(grown, array, count * bytes);
        trib_release(env, array, count, bytes);
    }
    return grown;
}

char *trib_text_copy(const struct trib_env *env, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = trib_allocate(env, bytes, 1);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void trib_text_release(const struct trib_env *env, char *text) {
    if (text)
        trib_release(env, text, strlen(text) + 1, 1);
}

void trib_log(const struct trib_env *env, enum trib_log_level level, const char *format, ...) {
    char line[LOG_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    /* Values may come from outside; a line break in one would forge a line of the log. */
    for (char *next = line; *next; next++) {
        if ((unsigned char)*next < ' ' || *next == 0x7f)
            *next = '?';
    }
    env->log(env->context, level, line);
}

bool trib_count_to_bytes(size_t count, size_t bytes, size_t *result) {
    return !__builtin_mul_overflow(count, bytes, result) && *result <= PTRDIFF_MAX;
}
