/* sums.h - the model of a world, and what its versions must be: computed anew, without src/learn.
 *
 * Three tensors: "a.weight" (train), "b.running_mean" (average), "c.frozen" (freeze). Terms are
 * taken from the bits of the floats as whole numbers and rounded as such, sums are 128 bits wide;
 * only the last step of a version, which the design defines in double, is done in double. */
#ifndef TRIB_SIM_FAULTS_SUMS_H
#define TRIB_SIM_FAULTS_SUMS_H

#include "base/digest.h"
#include "sim/faults/rules.h"

#define SUMS_TENSORS 3

__extension__ typedef __int128 sums_wide; /* no ISO C, but every compiler of ours */
__extension__ typedef unsigned __int128 sums_size;

struct sums {
    /* set once */
    uint32_t counts[SUMS_TENSORS]; /* elements of each tensor */
    size_t base_count; /* versions that can still be the base of an update; 0: no matter */
    /* until the spec changes */
    struct rules rules;
    int shift;      /* F: one term is rint(weight * x * 2^F) */
    uint64_t steps; /* that the server optimizer has taken */
    /* the version so far */
    uint64_t version;
    float *values;         /* all tensors, one after the other */
    float *first_moments;  /* of a.weight: m */
    float *second_moments; /* of a.weight: v */
    float **bases;         /* [base_count] values of version n at n modulo that */
    /* the buffer */
    sums_wide *totals;
    uint64_t weight_total, update_count;
    uint64_t *base_weights; /* [base_count] like bases: of the updates that came from each */
};

/* values are drawn from the seed. */
void sums_begin(struct sums *sums, const uint32_t counts[SUMS_TENSORS], const struct rules *rules);
void sums_end(struct sums *sums);
/* The versions from now on are made by other rules; nothing has been added yet. Bases that were
 * of no matter before cannot begin to matter. */
void sums_follow(struct sums *sums, const struct rules *rules);

/* Elements that an update carries: the first two tensors. */
size_t sums_update_count(const struct sums *sums);
/* Add weight * deltas[sums_update_count()], made from version `base`, to the buffer. */
void sums_add(struct sums *sums, const float *deltas, uint64_t base, uint64_t weight);
/* The buffer becomes the next version. */
void sums_merge(struct sums *sums);
/* The canonical bytes of the version; malloc'd. */
unsigned char *sums_version(const struct sums *sums, size_t *byte_count);

/* The body of an update: a safetensors file with these deltas, malloc'd.
 * metadata: JSON object for __metadata__, or NULL. is_bf16: a.weight as BF16, whose values the
 * deltas must already be. */
unsigned char *sums_body(const struct sums *sums, const float *deltas, const char *metadata,
                         bool is_bf16, size_t *byte_count);
/* The nearest bf16 below, as a float. */
float sums_bf16(float value);

#endif
