/* status.h - what can go wrong, by name, and an error text for people.
 *
 * Inner layers return only the code; functions that speak to users also take a
 * struct trib_error and each layer may put its context in front of the text. */
#ifndef TRIB_BASE_STATUS_H
#define TRIB_BASE_STATUS_H

#include <stdarg.h>

/* name, frozen value, text. Values travel on the wire and on disk: append only. */
#define TRIB_STATUS_LIST(X)                            \
    X(OK, 0, "ok")                                     \
    X(EMALFORMED, 1, "malformed input")                \
    X(EINVALID, 2, "value not allowed")                \
    X(ELIMIT, 3, "over a configured limit")            \
    X(EMEMORY, 4, "out of memory")                     \
    X(EIO, 5, "input or output failed")                \
    X(EFULL, 6, "no space left")                       \
    X(ECORRUPT, 7, "checksum differs")                 \
    X(ENOTFOUND, 8, "not found")                       \
    X(ECONFLICT, 9, "conflicts with what is there")    \
    X(EGONE, 10, "no longer kept")                     \
    X(ESHAPE, 11, "shape differs")                     \
    X(EDTYPE, 12, "dtype differs")                     \
    X(ENONFINITE, 13, "not a finite number")           \
    X(EBOUND, 14, "out of bounds")                     \
    X(EUNAUTHORIZED, 15, "token missing or not valid") \
    X(EFORBIDDEN, 16, "not permitted")                 \
    X(EUNAVAILABLE, 17, "not now, try again later")    \
    X(ETRUNCATED, 18, "ends too early")                \
    X(ECLOSED, 19, "connection closed")                \
    X(ETIMEOUT, 20, "took too long")                   \
    X(EUNSUPPORTED, 21, "not supported")               \
    X(ESTALE, 22, "base version too old")

enum trib_status {
#define X(name, value, text) TRIB_##name = value,
    TRIB_STATUS_LIST(X)
#undef X
};

/* "EMALFORMED" and "malformed input"; never NULL, also for unknown values. */
const char *trib_status_name(enum trib_status status);
const char *trib_status_text(enum trib_status status);

#define TRIB_ERROR_TEXT_BYTES 256

struct trib_error {
    enum trib_status status;          /* TRIB_OK: no error was set */
    char text[TRIB_ERROR_TEXT_BYTES]; /* one line for people, NUL-terminated */
};

/* Set code and text (printf style, cut to fit). `error` may be NULL. Returns `status`,
 * so that a refusal is one line: return trib_error_set(error, TRIB_ESHAPE, "..."). */
enum trib_status trib_error_set(struct trib_error *error, enum trib_status status,
                                const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Put "context: " in front of the text that is there (cut to fit); when no error was set, of the
 * text of `status`, which is set too. Returns error->status; with a NULL error returns `status`
 * unchanged. */
enum trib_status trib_error_prefix(struct trib_error *error, enum trib_status status,
                                   const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A broken promise inside the program: print the place and abort, in every build. */
#define TRIB_ASSERT(condition) \
    ((condition) ? (void)0 : trib_assert_failed(#condition, __FILE__, __LINE__))

#ifdef TRIB_DEBUG
#define TRIB_DEBUG_ASSERT(condition) TRIB_ASSERT(condition)
#else
#define TRIB_DEBUG_ASSERT(condition) ((void)0)
#endif

_Noreturn void trib_assert_failed(const char *condition, const char *file, int line);

#endif
