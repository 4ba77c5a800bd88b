/* ranges.c - a short sorted list: what is inserted joins its neighbours. */
#include "node/ranges.h"

#include "base/status.h"

#include <string.h>

/* The first range that ends behind `at`. */
static size_t find(const struct trib_ranges *ranges, uint64_t at) {
    size_t index = 0;
    while (index < ranges->count && ranges->items[index].end <= at) {
        index++;
    }
    return index;
}

bool trib_ranges_overlap(const struct trib_ranges *ranges, uint64_t first, uint64_t end) {
    size_t index = find(ranges, first);
    return first < end && index < ranges->count && ranges->items[index].first < end;
}

static void remove_item(struct trib_ranges *ranges, size_t index) {
    struct trib_bytes_range *item = &ranges->items[index];
    ranges->count--;
    memmove(item, item + 1, (ranges->count - index) * sizeof *item);
}

void trib_ranges_add(struct trib_ranges *ranges, uint64_t first, uint64_t end) {
    TRIB_ASSERT(!trib_ranges_overlap(ranges, first, end));
    if (first == end) {
        return;
    }
    size_t index = find(ranges, first);
    struct trib_bytes_range *item = &ranges->items[index];
    bool joins_next = index < ranges->count && item->first == end;
    bool joins_previous = index > 0 && item[-1].end == first;
    if (joins_previous) {
        item[-1].end = joins_next ? item->end : end;
        if (joins_next) {
            remove_item(ranges, index);
        }
    } else if (joins_next) {
        item->first = first;
    } else {
        TRIB_ASSERT(ranges->count < TRIB_RANGES_MAX);
        memmove(item + 1, item, (ranges->count - index) * sizeof *item);
        ranges->count++;
        *item = (struct trib_bytes_range){first, end};
    }
}

bool trib_ranges_hold(const struct trib_ranges *ranges, uint64_t end) {
    return ranges->count == 1 && ranges->items[0].first == 0 && ranges->items[0].end == end;
}
