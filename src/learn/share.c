/* share.c - the most that one client may weigh in a version.
 *
 * With the m largest of n capped at c and the others summing to R, a capped one's share is
 * c / (m c + R) <= s, so c <= s R / (1 - s m). The right m is the first for which the next largest
 * is within c; the floor of c keeps the share within s. */
#include "learn/share.h"

#include <stdlib.h>

#include "base/status.h"

#define UNIT (UINT64_C(1) << 20) /* of shares */

__extension__ typedef unsigned __int128 wide; /* no ISO C, but every compiler of ours */

static int compare_down(const void *a, const void *b) {
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return (first < second) - (first > second);
}

uint64_t trib_share_cap(uint64_t *weights, size_t count, double share_max) {
    TRIB_ASSERT(count > 0);
    uint64_t share = (uint64_t)(share_max * (double)UNIT);
    uint64_t left = 0; /* weight of those that are not capped */
    qsort(weights, count, sizeof *weights, compare_down);
    for (size_t index = 0; index < count; index++)
        left += weights[index];
    if (share == 0 || count < (UNIT + share - 1) / share)
        return weights[count - 1];
    /* It ends: once share * (capped + 1) >= UNIT, the next largest is within the cap. */
    for (size_t capped = 0;; capped++) {
        wide cap = (wide)share * left / (UNIT - share * capped);
        if (weights[capped] <= cap)
            return (uint64_t)cap;
        left -= weights[capped];
    }
}
