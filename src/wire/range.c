/* range.c - If-None-Match, If-Range and Range in the order of RFC 9110 section 13.2.2. */
#include "wire/range.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "wire/number.h"

static const char *skip_blanks(const char *text) {
    return text + strspn(text, " \t");
}

/* One entity tag at text: its opaque part with quotes (after W/ if weak), its length, and what
 * follows. False: no tag there. */
struct tag {
    const char *opaque;
    size_t byte_count;
    bool is_weak;
    const char *rest;
};

static bool read_tag(const char *text, struct tag *tag) {
    tag->is_weak = strncmp(text, "W/", 2) == 0;
    tag->opaque = text + (tag->is_weak ? 2 : 0);
    const char *close = tag->opaque[0] == '"' ? strchr(tag->opaque + 1, '"') : NULL;
    if (!close)
        return false;
    tag->byte_count = (size_t)(close + 1 - tag->opaque);
    tag->rest = close + 1;
    return true;
}

static bool is_opaque_equal(const struct tag *tag, const char *etag) {
    return strlen(etag) == tag->byte_count && memcmp(tag->opaque, etag, tag->byte_count) == 0;
}

/* Section 13.1.2: "*" or a list of tags, compared weakly. A malformed list matches nothing. */
static bool matches_any(const char *list, const char *etag) {
    list = skip_blanks(list);
    if (*list == '*')
        return *skip_blanks(list + 1) == '\0';
    struct tag tag;
    bool is_found = false;
    while (read_tag(list, &tag)) {
        is_found = is_found || is_opaque_equal(&tag, etag);
        list = skip_blanks(tag.rest);
        if (*list == '\0')
            return is_found;
        if (*list != ',')
            return false;
        list += strspn(list, ", \t"); /* empty members are allowed (section 5.6.1) */
        if (*list == '\0')
            return is_found;
    }
    return false;
}

/* Section 13.1.5: a strong comparison; a date never matches, as we send none. */
static bool matches_if_range(const char *if_range, const char *etag) {
    struct tag tag;
    return read_tag(skip_blanks(if_range), &tag) && !tag.is_weak && is_opaque_equal(&tag, etag) &&
           *skip_blanks(tag.rest) == '\0';
}

/* Digits at text; a number over 2^64 - 1 stays there, which is past the end of anything.
 * Returns what follows; NULL when there is no digit. */
static const char *read_position(const char *text, uint64_t *position) {
    if (*text < '0' || *text > '9')
        return NULL;
    *position = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(*position, 10, position) ||
            __builtin_add_overflow(*position, (uint64_t)(*text - '0'), position))
            *position = UINT64_MAX;
    }
    return text;
}

/* Section 14.1.2. Anything else than one well-formed range of bytes: the whole. */
static struct trib_range read_range(const char *text, uint64_t byte_count) {
    const struct trib_range whole = {TRIB_RANGE_WHOLE, 0, byte_count};
    const struct trib_range unsatisfiable = {TRIB_RANGE_UNSATISFIABLE, 0, 0};
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;
    if (strncasecmp(text, "bytes=", 6) != 0)
        return whole;
    text = skip_blanks(text + 6);
    bool is_suffix = *text == '-';
    if (!is_suffix)
        text = read_position(text, &first);
    if (!text || *text != '-')
        return whole;
    text++;
    const char *digits = text;
    if (*text >= '0' && *text <= '9')
        text = read_position(text, &last);
    bool has_last = text > digits;
    if (*skip_blanks(text) || (is_suffix && !has_last) || (!is_suffix && last < first))
        return whole;
    if (is_suffix) {
        if (last == 0)
            return unsatisfiable;
        if (byte_count == 0)
            return whole;
        uint64_t count = last < byte_count ? last : byte_count;
        return (struct trib_range){TRIB_RANGE_PART, byte_count - count, count};
    }
    if (first >= byte_count)
        return unsatisfiable;
    if (last >= byte_count)
        last = byte_count - 1;
    return (struct trib_range){TRIB_RANGE_PART, first, last - first + 1};
}

struct trib_range trib_range_evaluate(const struct trib_range_request *request, const char *etag,
                                      uint64_t byte_count) {
    const struct trib_range whole = {TRIB_RANGE_WHOLE, 0, byte_count};
    if (request->if_none_match && matches_any(request->if_none_match, etag))
        return (struct trib_range){TRIB_RANGE_NOT_MODIFIED, 0, 0};
    if (!request->range || request->is_head)
        return whole;
    if (request->if_range ? !matches_if_range(request->if_range, etag) : request->is_moving)
        return whole;
    return read_range(request->range, byte_count);
}

const char *trib_range_text(const struct trib_range *range, uint64_t byte_count,
                            char buffer[TRIB_RANGE_TEXT_BYTES]) {
    if (range->kind == TRIB_RANGE_UNSATISFIABLE)
        snprintf(buffer, TRIB_RANGE_TEXT_BYTES, "bytes */%" PRIu64, byte_count);
    else
        snprintf(buffer, TRIB_RANGE_TEXT_BYTES, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
                 range->first, range->first + range->count - 1, byte_count);
    return buffer;
}

/* Digits up to `stop`, which is skipped; NULL: no number that number.h would read. */
static const char *read_number(const char *text, char stop, uint64_t *number) {
    char digits[24];
    size_t count = strspn(text, "0123456789");
    if (count >= sizeof digits || text[count] != stop)
        return NULL;
    memcpy(digits, text, count);
    digits[count] = '\0';
    return trib_number_read(digits, number) ? text + count + (stop != '\0') : NULL;
}

bool trib_content_range_read(const char *text, struct trib_content_range *range) {
    struct trib_content_range read;
    if (strncasecmp(text, "bytes ", 6) != 0)
        return false;
    text = read_number(skip_blanks(text + 6), '-', &read.first);
    text = text ? read_number(text, '/', &read.last) : NULL;
    text = text ? read_number(text, '\0', &read.total) : NULL;
    if (!text || read.first > read.last || read.last >= read.total)
        return false;
    *range = read;
    return true;
}
