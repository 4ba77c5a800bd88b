/* random.h - seeded generators for simulation, selection and initial weights.
 *
 * Not for secrets (those come from trib_env.entropy). Sub-generators are derived by name, so
 * that adding a draw in one place does not shift another. The generator is xoshiro256++ seeded
 * through splitmix64 (Blackman and Vigna 2019). */
#ifndef TRIB_BASE_RANDOM_H
#define TRIB_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct trib_random {
    uint64_t state[4]; /* private */
};

void trib_random_init(struct trib_random *random, uint64_t seed);
/* A generator of its own for (seed, name, index): e.g. (7, "cohort", version). */
void trib_random_derive(struct trib_random *random, uint64_t seed, const char *name,
                        uint64_t index);
uint64_t trib_random_u64(struct trib_random *random);
/* Uniform in [0, bound), without bias (rejection). bound > 0. */
uint64_t trib_random_below(struct trib_random *random, uint64_t bound);
/* Uniform in [0, 1) with 53 bits. */
double trib_random_unit(struct trib_random *random);
/* Standard normal by the polar method (Marsaglia and Bray 1964). Uses libm's log: the last bit may
 * differ between C libraries, so draw on one machine what must be equal on many. */
double trib_random_normal(struct trib_random *random);
/* Shuffle an array of indices in place (Fisher-Yates). */
void trib_random_shuffle(struct trib_random *random, uint32_t *indices, size_t count);

#endif
