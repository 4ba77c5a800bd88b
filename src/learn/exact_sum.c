/* exact_sum.c - running weighted sum of updates in 64-bit integers.
 *
 * Terms are rounded once, each by itself; everything after is integer addition, so no order of
 * anything can show in the result. A value too large for its tensor's bound never gets here: the
 * codec's check refuses it whole, because saturating would not be associative. */
#include "learn/exact_sum.h"

#include <math.h>
#include <string.h>

#define TERM_MAX 0x1p51    /* where doubles still convert by one addition (kernels.h) */
#define TOTAL_LIMIT 0x1p62 /* half the range of int64: rounding up N halves cannot pass the rest */

static bool is_summed(const struct trib_tensor *tensor) {
    return trib_role_is_summed(tensor->role);
}

static bool is_term_exact(const struct trib_resolution *resolution, double delta_max, int shift) {
    return ldexp((double)resolution->weight_max * delta_max, shift) <= TERM_MAX;
}

static bool is_total_exact(const struct trib_resolution *resolution, double delta_max, int shift) {
    return ldexp((double)resolution->weight_total_max * delta_max, shift) < TOTAL_LIMIT;
}

/* Products that round do no harm: terms round the same way, and rounding keeps their order. */
static enum trib_status choose_shift(struct trib_resolution *resolution, size_t index,
                                     const struct trib_tensor *tensor, struct trib_error *error) {
    const int shown = trib_name_shown(tensor->name);
    const double delta_max = tensor->delta_max;
    if (!(delta_max > 0) || !isfinite(delta_max)) {
        return trib_error_set(error, TRIB_EINVALID,
                              "tensor %.*s: delta_max %g is not a positive number", shown,
                              tensor->name, delta_max);
    }
    int shift = TRIB_SHIFT_MAX;
    while (shift >= TRIB_SHIFT_MIN && !(is_term_exact(resolution, delta_max, shift) &&
                                        is_total_exact(resolution, delta_max, shift))) {
        shift--;
    }
    if (shift < TRIB_SHIFT_MIN) {
        const bool is_term = !is_term_exact(resolution, delta_max, TRIB_SHIFT_MIN);
        return trib_error_set(error, TRIB_EINVALID,
                              "tensor %.*s: deltas would be cut to less than %d binary places; "
                              "lower delta_max (%g) or %s",
                              shown, tensor->name, TRIB_SHIFT_MIN, delta_max,
                              is_term ? "weight_max" : "weight_total_max");
    }
    resolution->shift[index] = (int8_t)shift;
    return TRIB_OK;
}

enum trib_status trib_resolution_init(struct trib_resolution *resolution,
                                      const struct trib_env *env, const struct trib_layout *layout,
                                      uint64_t weight_max, uint64_t weight_total_max,
                                      struct trib_error *error) {
    TRIB_ASSERT(layout->tensor_count > 0);
    *resolution = (struct trib_resolution){0};
    if (weight_max < 1 || weight_max > TRIB_WEIGHT_MAX || weight_total_max < weight_max) {
        return trib_error_set(error, TRIB_EINVALID,
                              "weight_max must be 1 to %llu units and weight_total_max no less",
                              (unsigned long long)TRIB_WEIGHT_MAX);
    }
    *resolution = (struct trib_resolution){
        .shift = trib_allocate(env, layout->tensor_count, sizeof *resolution->shift),
        .tensor_count = layout->tensor_count,
        .weight_max = weight_max,
        .weight_total_max = weight_total_max,
        .env = env,
    };
    if (resolution->shift == NULL) {
        *resolution = (struct trib_resolution){0};
        return trib_error_set(error, TRIB_EMEMORY, "no memory for the resolution of %zu tensors",
                              layout->tensor_count);
    }
    for (size_t i = 0; i < layout->tensor_count; i++) {
        const struct trib_tensor *tensor = &layout->tensors[i];
        enum trib_status status = TRIB_OK;
        if (is_summed(tensor)) {
            status = choose_shift(resolution, i, tensor, error);
        }
        if (status != TRIB_OK) {
            trib_resolution_deinit(resolution);
            return status;
        }
    }
    return TRIB_OK;
}

void trib_resolution_deinit(struct trib_resolution *resolution) {
    if (resolution->shift != NULL) {
        trib_release(resolution->env, resolution->shift, resolution->tensor_count,
                     sizeof *resolution->shift);
    }
    *resolution = (struct trib_resolution){0};
}

void trib_exact_sum_begin(struct trib_exact_sum *sum, const struct trib_layout *layout,
                          const struct trib_resolution *resolution) {
    TRIB_ASSERT(resolution->tensor_count == layout->tensor_count);
    *sum = (struct trib_exact_sum){.layout = layout, .resolution = resolution};
}

struct trib_block *trib_exact_sum_totals(const struct trib_env *env,
                                         const struct trib_layout *layout) {
    size_t byte_count = 0;
    if (layout->element_count > SIZE_MAX ||
        !trib_count_to_bytes((size_t)layout->element_count, sizeof(int64_t), &byte_count)) {
        return NULL;
    }
    return trib_block_new(env, byte_count);
}

void trib_exact_sum_lend(struct trib_exact_sum *sum, struct trib_block *totals, uint64_t first) {
    TRIB_ASSERT(sum->totals == NULL);
    sum->totals = totals;
    sum->first = first;
}

struct trib_block *trib_exact_sum_return(struct trib_exact_sum *sum) {
    struct trib_block *totals = sum->totals;
    sum->totals = NULL;
    sum->first = 0;
    return totals;
}

enum trib_status trib_exact_sum_init(struct trib_exact_sum *sum, const struct trib_env *env,
                                     const struct trib_layout *layout,
                                     const struct trib_resolution *resolution) {
    struct trib_block *totals = trib_exact_sum_totals(env, layout);
    if (totals == NULL) {
        *sum = (struct trib_exact_sum){0};
        return TRIB_EMEMORY;
    }
    trib_exact_sum_begin(sum, layout, resolution);
    trib_exact_sum_lend(sum, totals, 0);
    return TRIB_OK;
}

void trib_exact_sum_deinit(struct trib_exact_sum *sum) {
    trib_block_unref(sum->totals);
    *sum = (struct trib_exact_sum){0};
}

static void check_range(const struct trib_exact_sum *sum, uint64_t first, uint64_t count) {
    const uint64_t total_count = sum->totals->byte_count / sizeof(int64_t);
    TRIB_ASSERT(first >= sum->first && first - sum->first <= total_count);
    TRIB_ASSERT(count <= total_count - (first - sum->first));
}

void trib_exact_sum_clear_range(struct trib_exact_sum *sum, uint64_t first, uint64_t count) {
    check_range(sum, first, count);
    memset((int64_t *)sum->totals->bytes + (first - sum->first), 0,
           (size_t)count * sizeof(int64_t));
}

void trib_exact_sum_clear_counts(struct trib_exact_sum *sum) {
    memset(sum->weight_total, 0, sizeof sum->weight_total);
    memset(sum->update_count, 0, sizeof sum->update_count);
}

enum trib_status trib_exact_sum_fold(struct trib_exact_sum *sum, const struct trib_codec *codec,
                                     const struct trib_term *terms, size_t term_count,
                                     const struct trib_kernels *kernels, uint64_t first,
                                     uint64_t count) {
    for (size_t k = 0; k < term_count; k++) {
        TRIB_ASSERT(terms[k].weight >= 1 && terms[k].weight <= sum->resolution->weight_max);
    }
    check_range(sum, first, count);
    int64_t *totals = (int64_t *)sum->totals->bytes + (first - sum->first);
    return codec->fold(terms, term_count, kernels, sum->resolution->shift, first, count, totals);
}

enum trib_status trib_exact_sum_count(struct trib_exact_sum *sum, const struct trib_codec *codec,
                                      const struct trib_update *update, uint64_t weight) {
    TRIB_ASSERT(weight >= 1 && weight <= sum->resolution->weight_max);
    const uint64_t total_max = sum->resolution->weight_total_max;
    for (uint32_t group = 0; group < sum->layout->group_count; group++) {
        if (codec->has_group(update, group) && weight > total_max - sum->weight_total[group]) {
            return TRIB_ELIMIT;
        }
    }
    for (uint32_t group = 0; group < sum->layout->group_count; group++) {
        if (codec->has_group(update, group)) {
            sum->weight_total[group] += weight;
            sum->update_count[group]++;
        }
    }
    return TRIB_OK;
}

enum trib_status trib_exact_sum_merge(struct trib_exact_sum *sum,
                                      const struct trib_exact_sum *other,
                                      const struct trib_kernels *kernels) {
    const struct trib_resolution *resolution = sum->resolution;
    TRIB_ASSERT(sum->totals->byte_count == other->totals->byte_count);
    TRIB_ASSERT(resolution->tensor_count == other->resolution->tensor_count);
    TRIB_ASSERT(memcmp(resolution->shift, other->resolution->shift, resolution->tensor_count) == 0);
    for (size_t group = 0; group < sum->layout->group_count; group++) {
        if (other->weight_total[group] > resolution->weight_total_max - sum->weight_total[group]) {
            return TRIB_ELIMIT;
        }
    }
    kernels->add_i64((int64_t *)sum->totals->bytes, (const int64_t *)other->totals->bytes,
                     sum->totals->byte_count / sizeof(int64_t));
    for (size_t group = 0; group < sum->layout->group_count; group++) {
        sum->weight_total[group] += other->weight_total[group];
        sum->update_count[group] += other->update_count[group];
    }
    return TRIB_OK;
}
