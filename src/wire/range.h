/* range.h - conditions and ranges of a GET: which bytes of one representation to send; and which bytes
 * a part of a PUT has.
 *
 * RFC 9110 sections 13 and 14, for representations that have a strong entity tag and no date.
 * Pure. Only a single range is served in part; several are answered with the whole, which
 * section 14.2 allows and no client of ours asks for. */
#ifndef TRIB_WIRE_RANGE_H
#define TRIB_WIRE_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trib_range_kind {
    TRIB_RANGE_WHOLE,         /* 200 */
    TRIB_RANGE_PART,          /* 206 with Content-Range */
    TRIB_RANGE_NOT_MODIFIED,  /* 304 */
    TRIB_RANGE_UNSATISFIABLE, /* 416 with Content-Range */
};

/* Header values as they came; NULL: absent. */
struct trib_range_request {
    bool is_head;   /* HEAD: Range means nothing (section 14.2) */
    bool is_moving; /* `latest`, `best`: a range only with a matching If-Range */
    const char *range;
    const char *if_range;
    const char *if_none_match;
};

struct trib_range {
    enum trib_range_kind kind;
    uint64_t first; /* first byte to send */
    uint64_t count; /* bytes to send; 0 for 304 and 416 */
};

/* etag: with its quotes, strong, as it is sent. byte_count: of the whole representation. */
struct trib_range trib_range_evaluate(const struct trib_range_request *request, const char *etag,
                                      uint64_t byte_count);
/* The value of Content-Range: "bytes 0-9/100" for a part; for 416 with an asterisk instead of
 * the positions. buffer has TRIB_RANGE_TEXT_BYTES of room and is returned. */
#define TRIB_RANGE_TEXT_BYTES 72
const char *trib_range_text(const struct trib_range *range, uint64_t byte_count,
                            char buffer[TRIB_RANGE_TEXT_BYTES]);

/* The Content-Range of a part that is sent (RFC 9110 sections 14.4 and 14.5). */
struct trib_content_range {
    uint64_t first, last; /* positions; first <= last < total */
    uint64_t total;       /* bytes of the whole; 0: no part */
};
/* "bytes 0-9/100", the total known; positions have no leading zeros. False: anything else; *range is
 * unchanged. */
bool trib_content_range_read(const char *text, struct trib_content_range *range);

#endif
