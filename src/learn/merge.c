/* merge.c - from the exact sum of a buffer to the next version, range by range.
 *
 * Per element: int64 -> double, times 2^-F, divided once; then the rule in double; then fp32 for
 * the version and the state. Nothing of one element depends on another, so ranges may be cut and
 * handed out as it suits. */
#include "learn/optimizer.h"

#include <math.h>
#include <string.h>

#define BLOCK_ELEMENTS 1024 /* 8 KiB of means: they stay in the first-level cache */

/* A stretch of one tensor. */
struct stretch {
    const struct trib_tensor *tensor;
    size_t tensor_index;
    uint64_t first; /* element of the layout */
    uint64_t count;
    uint64_t state_first; /* train element; for train tensors only */
};

void trib_merge_begin(const struct trib_merge *merge) {
    for (size_t group = 0; group < merge->layout->group_count; group++) {
        const bool has_updates = merge->sum->update_count[group] > 0;
        merge->next_state->steps[group] = merge->state->steps[group] + has_updates;
    }
}

double trib_merge_denominator(const struct trib_merge *merge, uint32_t group) {
    const double count = (double)merge->sum->update_count[group];
    switch (merge->denominator) {
    case TRIB_DENOMINATOR_COUNT:
        return count / merge->weight_unit;
    case TRIB_DENOMINATOR_CONSTANT:
        return merge->constant / merge->weight_unit;
    case TRIB_DENOMINATOR_GOAL:
        return fmax(merge->constant, count) / merge->weight_unit;
    case TRIB_DENOMINATOR_BOTH:
        return (double)merge->sum->weight_total[group] + 1 / merge->weight_unit;
    default:
        return (double)merge->sum->weight_total[group];
    }
}

/* State vector `which` (0: m, 1: v) from a train element on; NULL when the rule has none. */
static float *state_vector(const struct trib_merge *merge, const struct trib_optimizer_state *state,
                           size_t which, uint64_t train_element) {
    if (which >= trib_optimizer_state_count(merge->optimizer)) {
        return NULL;
    }
    return (float *)state->vectors->bytes + which * state->held_count +
           (train_element - state->held_first);
}

/* Nothing was learned about these: they, and their state, stay. */
static void keep(const struct trib_merge *merge, const struct stretch *stretch) {
    const uint64_t at = stretch->first - merge->first;
    memcpy(merge->next + at, merge->current + at, (size_t)stretch->count * sizeof(float));
    if (stretch->tensor->role != TRIB_ROLE_TRAIN || merge->next_state == merge->state) {
        return;
    }
    for (size_t which = 0; which < trib_optimizer_state_count(merge->optimizer); which++) {
        memmove(state_vector(merge, merge->next_state, which, stretch->state_first),
                state_vector(merge, merge->state, which, stretch->state_first),
                (size_t)stretch->count * sizeof(float));
    }
}

/* Weighted mean only: what an optimizer would do to a variance is not a variance. */
static bool add_means(const struct trib_merge *merge, const struct stretch *stretch,
                      const double *means) {
    const float *current = merge->current + (stretch->first - merge->first);
    float *next = merge->next + (stretch->first - merge->first);
    bool is_finite = true;
    for (uint64_t i = 0; i < stretch->count; i++) {
        next[i] = (float)((double)current[i] + means[i]);
        is_finite &= isfinite(next[i]) != 0;
    }
    return is_finite;
}

static bool optimize(const struct trib_merge *merge, const struct stretch *stretch, double rate,
                     const double *means) {
    const uint64_t at = stretch->first - merge->first;
    const struct trib_optimizer_span span = {
        .count = (size_t)stretch->count,
        .means = means,
        .x = merge->current + at,
        .m = state_vector(merge, merge->state, 0, stretch->state_first),
        .v = state_vector(merge, merge->state, 1, stretch->state_first),
        .next_x = merge->next + at,
        .next_m = state_vector(merge, merge->next_state, 0, stretch->state_first),
        .next_v = state_vector(merge, merge->next_state, 1, stretch->state_first),
    };
    return trib_optimizer_apply_span(merge->optimizer, merge->kernels, rate, &span);
}

/* (1 - a) x + a (base + delta) = x + a delta + a (base - x); the mean is a delta. */
static void pull(const struct trib_merge *merge, const struct stretch *stretch, double *means) {
    const uint64_t at = stretch->first - merge->first;
    const float *current = merge->current + at;
    for (size_t which = 0; which < merge->pull_count; which++) {
        const float *base = merge->pulls[which].base + at;
        const double share = merge->pulls[which].share;
        for (uint64_t i = 0; i < stretch->count; i++) {
            means[i] += share * ((double)base[i] - (double)current[i]);
        }
    }
}

static bool merge_stretch(const struct trib_merge *merge, struct stretch stretch) {
    const uint32_t group = stretch.tensor->group;
    const bool is_train = stretch.tensor->role == TRIB_ROLE_TRAIN;
    if (!trib_role_is_summed(stretch.tensor->role) || merge->sum->update_count[group] == 0) {
        keep(merge, &stretch);
        return true;
    }
    const int64_t *totals = (const int64_t *)merge->sum->totals->bytes;
    const double scale = ldexp(1, -merge->resolution->shift[stretch.tensor_index]);
    const double denominator = stretch.tensor->role == TRIB_ROLE_CONTROL
                                   ? merge->population / merge->weight_unit
                                   : trib_merge_denominator(merge, group);
    const double rate =
        is_train ? trib_optimizer_rate(merge->optimizer, merge->next_state->steps[group]) : 0;
    bool is_finite = true;
    uint64_t left = stretch.count;
    while (left > 0) {
        double means[BLOCK_ELEMENTS];
        stretch.count = left < BLOCK_ELEMENTS ? left : BLOCK_ELEMENTS;
        merge->kernels->mean_f64(means, totals + (stretch.first - merge->sum->first),
                                 (size_t)stretch.count, scale, denominator);
        pull(merge, &stretch, means);
        is_finite &=
            is_train ? optimize(merge, &stretch, rate, means) : add_means(merge, &stretch, means);
        stretch.first += stretch.count;
        stretch.state_first += stretch.count;
        left -= stretch.count;
    }
    return is_finite;
}

enum trib_status trib_merge_range(const struct trib_merge *merge, uint64_t first, uint64_t count,
                                  struct trib_error *error) {
    const struct trib_layout *layout = merge->layout;
    TRIB_ASSERT(first <= layout->element_count);
    TRIB_ASSERT(count <= layout->element_count - first);
    TRIB_ASSERT(merge->next != merge->current);
    const uint64_t limit = first + count;
    uint64_t state_first = 0; /* train elements before the tensor */
    for (size_t i = 0; i < layout->tensor_count; i++) {
        const struct trib_tensor *tensor = &layout->tensors[i];
        const uint64_t tensor_limit = tensor->element_offset + tensor->element_count;
        if (tensor->element_offset >= limit) {
            break;
        }
        if (tensor_limit > first && tensor->element_count > 0) {
            const uint64_t begin = first > tensor->element_offset ? first : tensor->element_offset;
            const uint64_t end = limit < tensor_limit ? limit : tensor_limit;
            const struct stretch stretch = {
                .tensor = tensor,
                .tensor_index = i,
                .first = begin,
                .count = end - begin,
                .state_first = state_first + (begin - tensor->element_offset),
            };
            if (!merge_stretch(merge, stretch)) {
                return trib_error_set(error, TRIB_ENONFINITE,
                                      "tensor %.*s: the next version is not finite",
                                      trib_name_shown(tensor->name), tensor->name);
            }
        }
        if (tensor->role == TRIB_ROLE_TRAIN) {
            state_first += tensor->element_count;
        }
    }
    return TRIB_OK;
}
