/* exact_sum.h - running weighted sum of updates in 64-bit integers (design section 5).
 *
 * An update adds rint(weight * x * 2^shift) per element. Integer addition is associative, so any
 * arrival order, thread count, instruction set or tree gives the same bits. */
#ifndef TRIB_LEARN_EXACT_SUM_H
#define TRIB_LEARN_EXACT_SUM_H

#include "base/block.h"
#include "codec/codec.h"
#include "tensor/kernels.h"
#include "tensor/layout.h"

#define TRIB_WEIGHT_MAX (UINT64_C(1) << 29) /* largest integer weight of one update */

/* How fine the integers are. Chosen once at creation from the bounds of the spec. */
struct trib_resolution {
    int8_t *shift; /* per tensor: F */
    size_t tensor_count;
    uint64_t weight_max;        /* largest weight of one update, in weight units, <= 2^29 */
    uint64_t weight_total_max;  /* largest sum of weights in one buffer, in weight units */
    const struct trib_env *env; /* private */
};

/* Per tensor that is trained or averaged, the largest F <= TRIB_SHIFT_MAX with
 *
 *     weight_max * delta_max * 2^F <= 2^51         one term converts exactly (kernels.h)
 *     weight_total_max * delta_max * 2^F < 2^62    no sum of a buffer can overflow
 *
 * Frozen tensors get 0.
 *
 * layout            has at least one tensor; roles are assigned.
 * weight_max        1 <= weight_max <= TRIB_WEIGHT_MAX, in weight units.
 * weight_total_max  >= weight_max, in weight units.
 *
 * TRIB_EINVALID: a weight or a delta_max is out of its range, or F < TRIB_SHIFT_MIN (values would
 * be cut to less than 2^-8): error names the tensor, F and what to lower. TRIB_EMEMORY.
 * On error the struct is all-zero. */
#define TRIB_SHIFT_MIN 8
#define TRIB_SHIFT_MAX 127
enum trib_status trib_resolution_init(struct trib_resolution *resolution,
                                      const struct trib_env *env, const struct trib_layout *layout,
                                      uint64_t weight_max, uint64_t weight_total_max,
                                      struct trib_error *error);
void trib_resolution_deinit(struct trib_resolution *resolution); /* all-zero is safe */

struct trib_exact_sum {
    const struct trib_layout *layout;         /* borrowed */
    const struct trib_resolution *resolution; /* borrowed */
    struct trib_block *totals; /* int64, of `first` and the elements behind it; NULL: none yet */
    uint64_t first;            /* read-only: element of the layout; 0, but for a window */
    uint64_t weight_total[TRIB_GROUPS_MAX]; /* read-only: per group, in weight units */
    uint64_t update_count[TRIB_GROUPS_MAX]; /* read-only: per group */
};

/* Weights and counts alone, all zero; totals are lent before the first fold. */
void trib_exact_sum_begin(struct trib_exact_sum *sum, const struct trib_layout *layout,
                          const struct trib_resolution *resolution);
/* Zero totals of all elements. NULL: no memory. */
struct trib_block *trib_exact_sum_totals(const struct trib_env *env,
                                         const struct trib_layout *layout);
/* Sum into these totals from now on (taken): zero, of element `first` and those behind it. The sum
 * must have none. */
void trib_exact_sum_lend(struct trib_exact_sum *sum, struct trib_block *totals, uint64_t first);
/* Its totals, the caller's now; NULL: it had none. */
struct trib_block *trib_exact_sum_return(struct trib_exact_sum *sum);
/* Begin, with totals of all elements. TRIB_EMEMORY: then the struct is all-zero. */
enum trib_status trib_exact_sum_init(struct trib_exact_sum *sum, const struct trib_env *env,
                                     const struct trib_layout *layout,
                                     const struct trib_resolution *resolution);
void trib_exact_sum_deinit(struct trib_exact_sum *sum); /* all-zero is safe */
/* For the next buffer: totals of a range, then weights and counts. Thread: ranges as folds. */
void trib_exact_sum_clear_range(struct trib_exact_sum *sum, uint64_t first, uint64_t count);
void trib_exact_sum_clear_counts(struct trib_exact_sum *sum);

/* Add the elements [first, first + count), of which it has the totals, of some updates. Does not touch the weights: call
 * trib_exact_sum_count once per update.
 *
 * terms  updates of one codec, checked by it: all values within their tensor's delta_max; weights
 *        as counted, 1 <= weight <= weight_max (asserted).
 *
 * TRIB_EIO: part of the range may have been added; the sum is of no use any more.
 * Thread: any number, on disjoint ranges. */
enum trib_status trib_exact_sum_fold(struct trib_exact_sum *sum, const struct trib_codec *codec,
                                     const struct trib_term *terms, size_t term_count,
                                     const struct trib_kernels *kernels, uint64_t first,
                                     uint64_t count);
/* Count the update's weight in every group that it carries. TRIB_ELIMIT when a group would pass
 * weight_total_max: nothing has changed. Call before folding. Thread: one at a time. */
enum trib_status trib_exact_sum_count(struct trib_exact_sum *sum, const struct trib_codec *codec,
                                      const struct trib_update *update, uint64_t weight);
/* sum += other (partial sums of a tree): totals, weights and counts. Both have the same layout and
 * resolution (asserted). TRIB_ELIMIT as above. Thread: one at a time. */
enum trib_status trib_exact_sum_merge(struct trib_exact_sum *sum,
                                      const struct trib_exact_sum *other,
                                      const struct trib_kernels *kernels);

#endif
