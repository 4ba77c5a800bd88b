/* json.h - a strict pull reader for JSON, over bytes that need not end in NUL.
 *
 * It allocates nothing, so the smallest client can use it; the safetensors header and the
 * client's replies are read with it (the daemon's documents use jansson). RFC 8259 without
 * extensions: UTF-8 is checked, depth is at most TRIB_JSON_DEPTH_MAX, duplicate keys are the
 * caller's to find. */
#ifndef TRIB_BASE_JSON_H
#define TRIB_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRIB_JSON_DEPTH_MAX 32

enum trib_json_kind {
    TRIB_JSON_ERROR, /* malformed; stays so; see offset */
    TRIB_JSON_END,   /* the document is complete and nothing but blanks follows */
    TRIB_JSON_OBJECT,
    TRIB_JSON_OBJECT_END,
    TRIB_JSON_ARRAY,
    TRIB_JSON_ARRAY_END,
    TRIB_JSON_KEY, /* text as for a string; its value comes next */
    TRIB_JSON_STRING,
    TRIB_JSON_NUMBER,
    TRIB_JSON_TRUE,
    TRIB_JSON_FALSE,
    TRIB_JSON_NULL,
};

struct trib_json {
    const char *start;        /* private */
    const char *next;         /* private */
    const char *limit;        /* private */
    const char *text;         /* read-only: raw bytes of the key, string (without quotes, escapes
                             untouched) or number just read; borrowed from the input */
    size_t text_bytes;        /* read-only */
    uint64_t nesting;         /* private: a bit per level, 1 = object */
    uint32_t depth;           /* read-only */
    uint32_t expects;         /* private: what may come next */
    enum trib_json_kind kind; /* read-only: what trib_json_next() returned last */
    bool has_escape;          /* read-only: the text holds backslashes */
    bool is_failed;           /* read-only */
};

void trib_json_init(struct trib_json *json, const void *bytes, size_t byte_count);
enum trib_json_kind trib_json_next(struct trib_json *json);
/* Skip the value that comes next (after a key or in an array); false when malformed or when no
 * value comes next. */
bool trib_json_skip(struct trib_json *json);
size_t trib_json_offset(const struct trib_json *json); /* bytes read so far */
/* Copy the current key or string with escapes decoded (UTF-8, NUL-terminated); false when it
 * does not fit in room, holds U+0000 or a lone surrogate. */
bool trib_json_copy_text(const struct trib_json *json, char *text, size_t room);
/* Current number as an exact unsigned integer (no sign, point or exponent); false otherwise. */
bool trib_json_u64(const struct trib_json *json, uint64_t *value);
/* Current number as the nearest double, independent of the locale; false when not a number, when
 * too large for a double, or when written with more than 1000 characters. */
bool trib_json_f64(const struct trib_json *json, double *value);
/* Current key or string equals plain (compared after decoding when it has escapes). */
bool trib_json_is(const struct trib_json *json, const char *plain);

#endif
