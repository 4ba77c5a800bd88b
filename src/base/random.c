/* random.c - xoshiro256++ (Blackman and Vigna 2019), seeded through splitmix64 as they advise. */
#include "base/random.h"

#include <math.h>

#include "base/status.h"

static uint64_t splitmix(uint64_t *state) {
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

void trib_random_init(struct trib_random *random, uint64_t seed) {
    for (size_t index = 0; index < 4; index++)
        random->state[index] = splitmix(&seed);
}

void trib_random_derive(struct trib_random *random, uint64_t seed, const char *name,
                        uint64_t index) {
    uint64_t mixed = splitmix(&seed);
    for (const char *next = name; *next; next++) {
        mixed ^= (unsigned char)*next;
        mixed = splitmix(&mixed);
    }
    /* The name's end is mixed in, so that ("a", 'b') and ("ab", ...) do not meet. */
    mixed ^= UINT64_C(0x100);
    mixed = splitmix(&mixed) ^ index;
    trib_random_init(random, splitmix(&mixed));
}

static uint64_t rotate_left(uint64_t value, int bits) {
    return value << bits | value >> (64 - bits);
}

uint64_t trib_random_u64(struct trib_random *random) {
    uint64_t *state = random->state;
    uint64_t result = rotate_left(state[0] + state[3], 23) + state[0];
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate_left(state[3], 45);
    return result;
}

uint64_t trib_random_below(struct trib_random *random, uint64_t bound) {
    TRIB_ASSERT(bound > 0);
    /* The lowest 2^64 mod bound draws would make small results likelier; draw again. */
    uint64_t first_fair = (0 - bound) % bound;
    uint64_t draw;
    do
        draw = trib_random_u64(random);
    while (draw < first_fair);
    return draw % bound;
}

double trib_random_unit(struct trib_random *random) {
    return (double)(trib_random_u64(random) >> 11) * 0x1p-53;
}

double trib_random_normal(struct trib_random *random) {
    double x, y, square;
    do {
        x = 2 * trib_random_unit(random) - 1;
        y = 2 * trib_random_unit(random) - 1;
        square = x * x + y * y;
    } while (square >= 1 || square == 0);
    /* y would give a second normal; it is not kept, so that the state stays four words. */
    return x * sqrt(-2 * log(square) / square);
}

void trib_random_shuffle(struct trib_random *random, uint32_t *indices, size_t count) {
    for (size_t left = count; left > 1; left--) {
        size_t chosen = (size_t)trib_random_below(random, left);
        uint32_t swapped = indices[left - 1];
        indices[left - 1] = indices[chosen];
        indices[chosen] = swapped;
    }
}
