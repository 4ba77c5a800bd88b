/* fuzz_range.c - the value of Content-Range; of Range the same text.
 *
 * Rules: what is read is a part of its total, and written again it is read as the same part; what
 * is served is within the representation. */
#include "fuzz/target.h"

#include "wire/range.h"

#define REPRESENTATION_BYTES 1000

static void check_part(const struct trib_content_range *part) {
    TRIB_ASSERT(part->first <= part->last);
    TRIB_ASSERT(part->last < part->total);
    const struct trib_range range = {TRIB_RANGE_PART, part->first, part->last - part->first + 1};
    char text[TRIB_RANGE_TEXT_BYTES];
    struct trib_content_range again;
    TRIB_ASSERT(trib_content_range_read(trib_range_text(&range, part->total, text), &again));
    TRIB_ASSERT(again.first == part->first);
    TRIB_ASSERT(again.last == part->last);
    TRIB_ASSERT(again.total == part->total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    TRIB_ASSERT(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    struct trib_content_range part;
    if (trib_content_range_read(text, &part)) {
        check_part(&part);
    }
    const struct trib_range_request request = {.range = text, .if_none_match = text};
    const struct trib_range range = trib_range_evaluate(&request, "\"etag\"", REPRESENTATION_BYTES);
    TRIB_ASSERT(range.first <= REPRESENTATION_BYTES);
    TRIB_ASSERT(range.count <= REPRESENTATION_BYTES - range.first);
    free(text);
    return 0;
}
