/* chance.h - random numbers by index: the i-th draw of a name is always the same.
 *
 * A population of millions keeps no generators: whatever is random about client i is worked out
 * from (seed, name, i) whenever it is wanted. Mixing is splitmix64's finalizer (Steele, Lea and
 * Flood 2014). */
#ifndef TRIB_SIM_CHANCE_H
#define TRIB_SIM_CHANCE_H

#include <stdint.h>

struct trib_chance {
    uint64_t key; /* private */
};

/* Draws of their own for (seed, name): adding a name does not shift another's. */
struct trib_chance trib_chance_of(uint64_t seed, const char *name);
uint64_t trib_chance_u64(const struct trib_chance *chance, uint64_t index);
/* Uniform in [0, 1) with 53 bits. */
double trib_chance_unit(const struct trib_chance *chance, uint64_t index);
/* Uniform below bound > 0, but for a bias of bound / 2^64. */
uint64_t trib_chance_below(const struct trib_chance *chance, uint64_t index, uint64_t bound);

#endif
