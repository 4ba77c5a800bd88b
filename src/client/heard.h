/* heard.h - what the daemon said: its JSON replies, read strictly and without allocation.
 *
 * Fields that are not named here are skipped, so that a newer daemon may say more.
 * Thread: any. */
#ifndef TRIB_CLIENT_HEARD_H
#define TRIB_CLIENT_HEARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trib_heard_kind {
    TRIB_HEARD_TRAIN,
    TRIB_HEARD_EVALUATE,
    TRIB_HEARD_WAIT,
    TRIB_HEARD_STOP,
};

struct trib_heard_task {
    enum trib_heard_kind kind;
    char id[32];           /* train, evaluate */
    uint64_t version;      /* train, evaluate */
    uint64_t global_step;  /* 0 when not said */
    char digest[65];       /* of the version, hex; "" when not said */
    double expected_by_s;  /* from now; < 0: not said */
    double after_s;        /* wait: at least 0 */
    char reason[160];      /* wait, stop; "" when not said or too long */
    const char *settings;  /* JSON object, borrowed from the reply; NULL when not said */
    size_t settings_bytes; /* of it */
};

/* The reply to GET .../task. False: not a task; *task is undefined then. */
bool trib_heard_task(const char *bytes, size_t byte_count, struct trib_heard_task *task);
/* The token of the reply to a join, copied to token[room]. False: there is none, or it does not
 * fit. */
bool trib_heard_join(const char *bytes, size_t byte_count, char *token, size_t room);

/* Does the reply to an update say that it has been dropped? */
bool trib_heard_is_dropped(const char *bytes, size_t byte_count);

struct trib_heard_error {
    char code[32];     /* "" when the body is no error document */
    char message[256]; /* "" likewise, or when too long */
};

/* The body of a reply that is not 2xx; whatever it is. */
void trib_heard_error(const char *bytes, size_t byte_count, struct trib_heard_error *error);

/* --- other people's JSON -------------------------------------------------------------------- */

/* Is it one JSON object with nothing behind it? */
bool trib_heard_is_object(const char *bytes, size_t byte_count);
/* A number at the top of an object; false when it is absent or of another type. */
bool trib_heard_number(const char *object, size_t byte_count, const char *name, double *number);
/* Call visit for each string of the array `name` at the top of an object (none when absent).
 * False: it is no array of strings, a string is longer than 512 bytes, or visit said so. */
bool trib_heard_strings(const char *object, size_t byte_count, const char *name,
                        bool (*visit)(void *context, const char *text), void *context);

#endif
