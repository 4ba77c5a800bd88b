/* status.c - names and texts of status codes, errors for people, failed assertions. */
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *trib_status_name(enum trib_status status) {
    switch (status) {
#define X(name, value, text) \
    case TRIB_##name:        \
        return #name;
        TRIB_STATUS_LIST(X)
#undef X
    }
    return "EUNKNOWN"; /* a value from a newer program */
}

const char *trib_status_text(enum trib_status status) {
    switch (status) {
#define X(name, value, text) \
    case TRIB_##name:        \
        return text;
        TRIB_STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

enum trib_status trib_error_set(struct trib_error *error, enum trib_status status,
                                const char *format, ...) {
    if (!error)
        return status;
    /* Formatted aside: the arguments may point into error->text. */
    char text[TRIB_ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(error->text, text, strlen(text) + 1);
    error->status = status;
    return status;
}

enum trib_status trib_error_prefix(struct trib_error *error, enum trib_status status,
                                   const char *format, ...) {
    if (!error)
        return status;
    if (error->status == TRIB_OK)
        trib_error_set(error, status, "%s", trib_status_text(status));
    char text[2 * TRIB_ERROR_TEXT_BYTES + 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, TRIB_ERROR_TEXT_BYTES, format, arguments);
    va_end(arguments);
    strcat(text, ": ");
    strcat(text, error->text);
    text[TRIB_ERROR_TEXT_BYTES - 1] = '\0';
    memcpy(error->text, text, TRIB_ERROR_TEXT_BYTES);
    return error->status;
}

void trib_assert_failed(const char *condition, const char *file, int line) {
    fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, condition);
    abort();
}
