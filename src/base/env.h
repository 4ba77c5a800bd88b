/* env.h - the environment: memory, clocks, entropy and the log, as one table of functions.
 *
 * Everything that allocates or reads a clock takes a `const struct trib_env *`; tests and the
 * simulator pass their own table. trib_env_system() is the real one. */
#ifndef TRIB_BASE_ENV_H
#define TRIB_BASE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Monotonic nanoseconds since an arbitrary start; deadlines and durations. */
typedef int64_t trib_time_ns;
#define TRIB_TIME_NEVER INT64_MAX
#define TRIB_SECOND INT64_C(1000000000)
#define TRIB_MILLISECOND INT64_C(1000000)

enum trib_log_level { TRIB_LOG_DEBUG, TRIB_LOG_INFO, TRIB_LOG_WARN, TRIB_LOG_ERROR };

struct trib_env {
    void *context;
    /* NULL when memory is out. Alignment: 64 bytes. bytes > 0. */
    void *(*allocate)(void *context, size_t bytes);
    /* memory may be NULL; bytes is what allocate() was given. */
    void (*release)(void *context, void *memory, size_t bytes);
    trib_time_ns (*monotonic)(void *context);
    /* Seconds since 1970 with fraction; for logs and records only, never for decisions. */
    double (*wall)(void *context);
    /* Fill with unpredictable bytes (tokens, ids). Cannot fail. */
    void (*entropy)(void *context, void *bytes, size_t count);
    /* One line without newline: an event word, then key=value pairs. */
    void (*log)(void *context, enum trib_log_level level, const char *line);
};

const struct trib_env *trib_env_system(void);

/* Lines below `level` are not printed by the system environment (default INFO). */
void trib_env_log_level(enum trib_log_level level);

/* Sugar over the table. trib_allocate returns zeroed memory; count * bytes is checked for
 * overflow (NULL then). trib_release takes the same count and bytes. */
void *trib_allocate(const struct trib_env *env, size_t count, size_t bytes);
void trib_release(const struct trib_env *env, void *memory, size_t count, size_t bytes);

/* Grow an array from `count` to `new_count` elements of `bytes` each (zeroed tail). On failure
 * returns NULL and the old array stays valid. */
void *trib_regrow(const struct trib_env *env, void *array, size_t count, size_t new_count,
                  size_t bytes);

/* A heap copy of a NUL-terminated string; release with trib_text_release. NULL: no memory. */
char *trib_text_copy(const struct trib_env *env, const char *text);
void trib_text_release(const struct trib_env *env, char *text);

void trib_log(const struct trib_env *env, enum trib_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* *result = count * bytes; false when it would overflow or exceed PTRDIFF_MAX. */
bool trib_count_to_bytes(size_t count, size_t bytes, size_t *result);

#endif
