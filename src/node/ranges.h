/* ranges.h - which bytes of a body are there: disjoint ranges in order, joined where they touch. Pure. */
#ifndef TRIB_NODE_RANGES_H
#define TRIB_NODE_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRIB_RANGES_MAX 64

struct trib_ranges { /* all-zero: none */
    struct trib_bytes_range {
        uint64_t first, end; /* end: one behind the last */
    } items[TRIB_RANGES_MAX];
    size_t count;
};

/* Is any byte of [first, end) there? */
bool trib_ranges_overlap(const struct trib_ranges *ranges, uint64_t first, uint64_t end);
/* Add [first, end), first <= end, of which no byte is there (asserted), and room for one more range
 * if it touches none. */
void trib_ranges_add(struct trib_ranges *ranges, uint64_t first, uint64_t end);
/* Are all of [0, end) there, end > 0? */
bool trib_ranges_hold(const struct trib_ranges *ranges, uint64_t end);

#endif
