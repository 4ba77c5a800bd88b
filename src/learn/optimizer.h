/* optimizer.h - server optimizers: from the mean delta of a buffer to the next version.
 *
 * Element-wise, in double, one fixed order of operations, no libm but sqrt; parameters and state
 * are stored as fp32. D below is the mean of (model after - model before), so it is added.
 *
 *   sgd                                             x += lr * D
 *   momentum  m = b*m + D                           x += lr * m           Hsu et al. 2019
 *   nesterov  m = b*m + D                           x += lr * (D + b*m)
 *   adagrad   m = b1*m + (1-b1)*D
 *             v = v + D*D                           x += r * m / (sqrt(v) + tau)
 *   adam      m as above
 *             v = b2*v + (1-b2)*D*D                 x as above
 *   yogi      m as above
 *             v = v - (1-b2)*D*D*sign(v - D*D)      x as above; sign(0) = 0
 *
 * The last three are Reddi et al. 2021, Algorithm 2. The rate r is lr, or bias-corrected
 * (enum trib_optimizer_variant). */
#ifndef TRIB_LEARN_OPTIMIZER_H
#define TRIB_LEARN_OPTIMIZER_H

#include "learn/exact_sum.h"

enum trib_optimizer_kind {
    TRIB_OPTIMIZER_SGD,
    TRIB_OPTIMIZER_MOMENTUM,
    TRIB_OPTIMIZER_NESTEROV,
    TRIB_OPTIMIZER_ADAGRAD,
    TRIB_OPTIMIZER_ADAM,
    TRIB_OPTIMIZER_YOGI,
    TRIB_OPTIMIZER_COUNT
};

/* The two are different rules with different results, not two spellings of one. */
enum trib_optimizer_variant {
    TRIB_VARIANT_PAPER, /* v starts at tau^2; r = lr (Reddi et al.) */
    /* v starts at 0; r = lr * sqrt(1 - b2^t) / (1 - b1^t) for t = 1, 2, ... (Kingma and Ba 2015,
     * end of section 2). The v of adagrad is a sum, not a mean, and needs no correction: there
     * r = lr / (1 - b1^t). */
    TRIB_VARIANT_STANDARD,
};

struct trib_optimizer {
    enum trib_optimizer_kind kind;
    enum trib_optimizer_variant variant; /* adagrad, adam, yogi only */
    double lr;                           /* > 0 */
    double momentum;                     /* b, 0 <= b < 1: momentum and nesterov */
    double beta1;                        /* 0 <= beta1 < 1 */
    double beta2;                        /* 0 <= beta2 < 1 */
    double tau; /* > 0: added to the root; sets the largest amplification lr / tau */
};

const char *trib_optimizer_name(enum trib_optimizer_kind kind);
bool trib_optimizer_from_name(const char *name, enum trib_optimizer_kind *kind);
/* fp32 state vectors per train element: 0, 1 (m) or 2 (m, v). */
size_t trib_optimizer_state_count(const struct trib_optimizer *optimizer);

/* r of step t >= 1; powers by squaring, so that they are the same on every machine. */
double trib_optimizer_rate(const struct trib_optimizer *optimizer, uint64_t step);
/* What v is before the first step. */
double trib_optimizer_first_v(const struct trib_optimizer *optimizer);

/* One element, changed in place; the specification of the rule. step counts from 1. What the
 * rule does not use stays. */
struct trib_optimizer_element {
    double x, m, v;
};
void trib_optimizer_apply(const struct trib_optimizer *optimizer, uint64_t step, double mean,
                          struct trib_optimizer_element *element);

/* Neighbouring elements of one tensor. m and v are NULL where the rule keeps none. */
struct trib_optimizer_span {
    size_t count;
    const double *means;
    const float *x, *m, *v;          /* before */
    float *next_x, *next_m, *next_v; /* after; next_m and next_v may be m and v */
};
typedef bool trib_optimizer_span_function(const struct trib_optimizer *optimizer, double rate,
                                          const struct trib_optimizer_span *span);
/* Apply to each, in double; results are rounded to fp32. rate: trib_optimizer_rate(); kernels: whose
 * tier is used, which changes no bit. False when a result is not finite; all are written in either
 * case. Thread: any, on disjoint spans. */
bool trib_optimizer_apply_span(const struct trib_optimizer *optimizer,
                               const struct trib_kernels *kernels, double rate,
                               const struct trib_optimizer_span *span);

/* State of a run's optimizer: `vectors` fp32[train elements] each, in layout order over train
 * tensors only, one after the other; and how many steps each group has done. */
struct trib_optimizer_state {
    struct trib_block *vectors; /* fp32[vector_count][held_count]; NULL if 0, or none are held */
    size_t vector_count;
    uint64_t train_element_count;
    uint64_t held_first, held_count; /* train elements in the vectors: all, or those of a window */
    uint64_t steps[TRIB_GROUPS_MAX]; /* per group; a step without updates does not count */
};
/* Of no steps, without vectors: they are lent for one window after the other. */
void trib_optimizer_state_begin(struct trib_optimizer_state *state,
                                const struct trib_optimizer *optimizer,
                                const struct trib_layout *layout);
/* What vector `which` has before the first step. */
void trib_optimizer_state_fill(const struct trib_optimizer *optimizer, size_t which, float *vector,
                               uint64_t count);
/* With vectors of no steps. TRIB_EMEMORY: then the struct is all-zero. */
enum trib_status trib_optimizer_state_init(struct trib_optimizer_state *state,
                                           const struct trib_env *env,
                                           const struct trib_optimizer *optimizer,
                                           const struct trib_layout *layout);
void trib_optimizer_state_deinit(struct trib_optimizer_state *state); /* all-zero is safe */
/* The state as bytes for a checkpoint, and back into a state of the same optimizer and layout: a
 * head, then the vectors as they are. The source reads from the state, which must stay and not
 * change meanwhile; the struct must not move. decode: TRIB_ECORRUPT when sizes or fields do not fit or a
 * number is not finite; then nothing has changed. */
#define TRIB_OPTIMIZER_HEAD_BYTES (4 + 4 + 8 + 8 + 8 * (size_t)TRIB_GROUPS_MAX)
struct trib_optimizer_encoded {
    struct trib_source source;                     /* read-only: pass &encoded.source */
    const struct trib_optimizer_state *state;      /* private */
    unsigned char head[TRIB_OPTIMIZER_HEAD_BYTES]; /* private */
};
void trib_optimizer_state_encode(const struct trib_optimizer_state *state,
                                 struct trib_optimizer_encoded *encoded);
/* Take over the steps from the head alone, whose vectors lie elsewhere. TRIB_ECORRUPT as decode. */
enum trib_status trib_optimizer_state_decode_head(
    struct trib_optimizer_state *state, const unsigned char head[TRIB_OPTIMIZER_HEAD_BYTES]);
enum trib_status trib_optimizer_state_decode(struct trib_optimizer_state *state, const void *bytes,
                                             size_t byte_count);

/* How the sum becomes a mean. The constant and the counts are in units of the spec's weights. */
enum trib_denominator {
    TRIB_DENOMINATOR_WEIGHT,   /* the group's sum of weights (usual) */
    TRIB_DENOMINATOR_COUNT,    /* number of updates */
    TRIB_DENOMINATOR_CONSTANT, /* `constant` */
    TRIB_DENOMINATOR_GOAL,     /* `constant`, or the number of updates where there are more */
    TRIB_DENOMINATOR_BOTH,     /* the sum of weights and 1: the current version is one more model */
};

/* A version that the next one is pulled towards, and how strongly. */
struct trib_pull_towards {
    const float *base; /* its data section */
    double share;      /* of base - current that is added to the mean */
};

struct trib_merge {
    const struct trib_layout *layout;
    const struct trib_resolution *resolution;
    const struct trib_exact_sum *sum;
    const struct trib_optimizer *optimizer;
    enum trib_denominator denominator;
    double constant;    /* for TRIB_DENOMINATOR_CONSTANT and _GOAL, > 0 */
    double population;  /* clients in all, > 0: what control tensors are divided by */
    double weight_unit; /* 2^-k: one weight unit in the weights of the spec; count and constant
                           are divided by it, to be in weight units too */
    const struct trib_pull_towards *pulls; /* [pull_count], added in this order; borrowed */
    size_t pull_count;
    const struct trib_optimizer_state *state; /* before; not changed */
    struct trib_optimizer_state *next_state;  /* after; other storage or the same */
    uint64_t first;       /* element that base, current and next begin with; 0, but for a window */
    const float *current; /* data section of the current version */
    float *next;          /* data section of the next version; not `current` */
    const struct trib_kernels *kernels;
};

/* What the sum of a tensor group is divided by, in weight units. */
double trib_merge_denominator(const struct trib_merge *merge, uint32_t group);
/* Steps of next_state per group; call once, before the ranges. */
void trib_merge_begin(const struct trib_merge *merge);
/* Elements [first, first + count) of the next version: train tensors through the optimizer,
 * average tensors x + mean, control tensors x + sum / population, others and groups without updates copied (their state too).
 * TRIB_ENONFINITE: a result is not finite (error names the tensor); the next version and next
 * state must not be used. Thread: any number, on disjoint ranges. */
enum trib_status trib_merge_range(const struct trib_merge *merge, uint64_t first, uint64_t count,
                                  struct trib_error *error);

#endif
