/* small_model.h - a model of a few thousand elements and updates for it, for tests of learn.
 *
 *     a.frozen        [7]       freeze
 *     body.bias       [33]      train    group ""
 *     body.weight     [65, 32]  train    group ""
 *     head.weight     [32, 19]  train    group "head"
 *     norm.running_mean, norm.running_var  [33]  average  group "" */
#ifndef TRIB_TESTS_LEARN_SMALL_MODEL_H
#define TRIB_TESTS_LEARN_SMALL_MODEL_H

#include "learn/optimizer.h"

#define SMALL_ELEMENTS (7 + 33 + 65 * 32 + 32 * 19 + 33 + 33)
#define SMALL_TRAIN (33 + 65 * 32 + 32 * 19)
#define SMALL_GROUPS 2
#define SMALL_ALL_GROUPS 3u /* bit 0: "", bit 1: "head" */

/* The layout of versions; delta_max for every tensor. Asserts that memory suffices. */
struct trib_layout *small_layout(const struct trib_env *env, double delta_max);

/* A layout of one train tensor "w" [count]. */
struct trib_layout *vector_layout(const struct trib_env *env, uint64_t count, double delta_max);

/* One opened and checked update. */
struct small_update {
    struct trib_block *body;
    struct trib_source source;
    struct trib_update *update;
    uint64_t weight;
};

/* values: one float per element of the layout, exact in `dtype` (F32, BF16 or F16); those of other
 * groups, and of tensors that updates do not carry, are ignored. */
void small_update_init(struct small_update *update, const struct trib_env *env,
                       const struct trib_layout *layout, uint32_t groups, enum trib_dtype dtype,
                       const float *values, uint64_t weight);
void small_update_deinit(struct small_update *update);

/* Count and fold the whole of it; asserts success. */
void small_update_add(const struct small_update *update, struct trib_exact_sum *sum,
                      const struct trib_kernels *kernels);

/* Empty, for the next buffer. */
void small_sum_clear(struct trib_exact_sum *sum);

/* A sealed version of the layout with these values. */
struct trib_block *small_version(const struct trib_env *env, const struct trib_layout *layout,
                                 const float *values);
const float *small_values(const struct trib_block *version, const struct trib_layout *layout);

/* Round to what all three dtypes of updates hold exactly: 8 bits of significand, at least 2^-14 in
 * magnitude, or zero. */
float small_round(double value);

#endif
