/* text.h - a growing text for pages, metrics and messages; fails once and stays failed. */
#ifndef TRIB_BASE_TEXT_H
#define TRIB_BASE_TEXT_H

#include "base/env.h"

struct trib_text {
    const struct trib_env *env; /* private */
    char *bytes;                /* read-only; NUL-terminated, may be NULL while empty */
    size_t byte_count;          /* read-only; without the NUL */
    size_t capacity;            /* private */
    bool is_failed;             /* read-only: memory ran out */
};

void trib_text_init(struct trib_text *text, const struct trib_env *env);
void trib_text_deinit(struct trib_text *text); /* all-zero is safe */
void trib_text_add(struct trib_text *text, const char *bytes, size_t byte_count);
void trib_text_format(struct trib_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* HTML-escaped: & < > " ' become entities. */
void trib_text_add_html(struct trib_text *text, const char *plain);

/* "250ms", "30s", "1.5h", "7d", "1h30m" -> nanoseconds; false when malformed, without a unit,
 * negative or over 292 years. Larger units come first. */
bool trib_duration_parse(const char *text, trib_time_ns *duration);
/* "64KiB", "1.5GiB", "100MB", "1.5 GB", "4096" -> bytes; false when malformed or over 2^62.
 * Case does not matter. */
bool trib_bytes_parse(const char *text, uint64_t *bytes);
/* Human forms: "1.5 GB", "2h 05m"; at least 24 bytes of room. Return `buffer`. */
const char *trib_bytes_human(char *buffer, size_t room, uint64_t bytes);
const char *trib_duration_human(char *buffer, size_t room, trib_time_ns duration);

#endif
