/* chance.c - random numbers by index. */
#include "sim/chance.h"

#include "base/random.h"

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

__extension__ typedef unsigned __int128 wide; /* gcc and clang have it, ISO C does not */

static uint64_t mix(uint64_t bits) {
    bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
    return bits ^ bits >> 31;
}

struct trib_chance trib_chance_of(uint64_t seed, const char *name) {
    struct trib_random random;
    trib_random_derive(&random, seed, name, 0);
    return (struct trib_chance){.key = trib_random_u64(&random)};
}

uint64_t trib_chance_u64(const struct trib_chance *chance, uint64_t index) {
    return mix(mix(index + GOLDEN) ^ chance->key);
}

double trib_chance_unit(const struct trib_chance *chance, uint64_t index) {
    return (double)(trib_chance_u64(chance, index) >> 11) * 0x1p-53;
}

uint64_t trib_chance_below(const struct trib_chance *chance, uint64_t index, uint64_t bound) {
    return (uint64_t)((wide)trib_chance_u64(chance, index) * bound >> 64);
}
