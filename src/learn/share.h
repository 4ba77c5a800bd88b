/* share.h - the most that one client may weigh in a version, so that nobody's share is too large.
 *
 * Clients that weigh more than the cap count with the cap, the others as they are: the largest cap
 * for which everybody's share of the sum stays within share_max (Water filling, from above.) It
 * depends on the set of weights alone, not on their order, and is exact: whole numbers throughout.
 */
#ifndef TRIB_LEARN_SHARE_H
#define TRIB_LEARN_SHARE_H

#include <stddef.h>
#include <stdint.h>

/* The cap for these weights, one for each client; they are sorted.
 *
 * weights    [count], each > 0, their sum at most 2^62.
 * share_max  above 0, at most 1; taken down to a multiple of 2^-20.
 *
 * Fewer than 1 / share_max clients cannot all keep within it: then the cap is the least weight, so
 * that all weigh the same. Always at least 1. */
uint64_t trib_share_cap(uint64_t *weights, size_t count, double share_max);

#endif
