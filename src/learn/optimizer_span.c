/* optimizer_span.c - the loops over neighbouring elements, built once for each instruction set.
 *
 * TRIB_TIER names it. A compiler may use its vectors: additions, products, quotients and roots are
 * rounded alike in every lane, nothing is reordered or contracted, so all tiers give the same bits.
 * Each rule is inlined and has a loop of its own. */
#include "learn/optimizer_rules.h"

#include <float.h>

trib_optimizer_span_function trib_optimizer_span_scalar, trib_optimizer_span_avx2,
    trib_optimizer_span_avx512, trib_optimizer_span_neon;

#define STEP 64 /* elements in arrays of their own, which no compiler takes for one another */

static inline void load(double *to, const float *from, size_t count) {
    for (size_t i = 0; i < count; i++) {
        to[i] = from[i];
    }
}

/* Returns how many are not finite. */
static inline uint32_t store(float *to, const double *from, size_t count) {
    uint32_t bad_count = 0;
    for (size_t i = 0; i < count; i++) {
        const float value = (float)from[i];
        to[i] = value;
        bad_count += !(fabsf(value) <= FLT_MAX);
    }
    return bad_count;
}

static inline __attribute__((always_inline)) uint32_t apply_to_some(
    trib_optimizer_rule *apply, size_t state_count, const struct trib_optimizer *optimizer,
    double rate, const struct trib_optimizer_span *span, size_t first, size_t count) {
    const double *const means = span->means + first;
    double x[STEP], m[STEP], v[STEP];
    load(x, span->x + first, count);
    if (state_count > 0) {
        load(m, span->m + first, count);
    }
    if (state_count > 1) {
        load(v, span->v + first, count);
    }
    for (size_t i = 0; i < count; i++) {
        struct trib_optimizer_element element = {
            .x = x[i], .m = state_count > 0 ? m[i] : 0, .v = state_count > 1 ? v[i] : 0};
        apply(optimizer, rate, means[i], &element);
        x[i] = element.x;
        m[i] = element.m;
        v[i] = element.v;
    }
    uint32_t bad_count = store(span->next_x + first, x, count);
    if (state_count > 0) {
        bad_count += store(span->next_m + first, m, count);
    }
    if (state_count > 1) {
        bad_count += store(span->next_v + first, v, count);
    }
    return bad_count;
}

static inline __attribute__((always_inline)) bool apply_to_each(
    trib_optimizer_rule *apply, size_t state_count, const struct trib_optimizer *optimizer,
    double rate, const struct trib_optimizer_span *span) {
    uint32_t bad_count = 0;
    size_t first = 0;
    for (; span->count - first >= STEP; first += STEP) {
        bad_count += apply_to_some(apply, state_count, optimizer, rate, span, first, STEP);
    }
    bad_count +=
        apply_to_some(apply, state_count, optimizer, rate, span, first, span->count - first);
    return bad_count == 0;
}

#define JOINED_(a, b) a##b
#define JOINED(a, b) JOINED_(a, b)

bool JOINED(trib_optimizer_span_, TRIB_TIER)(const struct trib_optimizer *optimizer, double rate,
                                             const struct trib_optimizer_span *span) {
    switch (optimizer->kind) {
    case TRIB_OPTIMIZER_MOMENTUM:
        return apply_to_each(apply_momentum, 1, optimizer, rate, span);
    case TRIB_OPTIMIZER_NESTEROV:
        return apply_to_each(apply_nesterov, 1, optimizer, rate, span);
    case TRIB_OPTIMIZER_ADAGRAD:
        return apply_to_each(apply_adagrad, 2, optimizer, rate, span);
    case TRIB_OPTIMIZER_ADAM:
        return apply_to_each(apply_adam, 2, optimizer, rate, span);
    case TRIB_OPTIMIZER_YOGI:
        return apply_to_each(apply_yogi, 2, optimizer, rate, span);
    default:
        return apply_to_each(apply_sgd, 0, optimizer, rate, span);
    }
}
