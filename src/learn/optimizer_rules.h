/* optimizer_rules.h - the rules of the server optimizers, one function per rule. Private to learn.
 *
 * The order of operations is part of the rule: it is what makes two machines agree. */
#ifndef TRIB_LEARN_OPTIMIZER_RULES_H
#define TRIB_LEARN_OPTIMIZER_RULES_H

#include "learn/optimizer.h"

#include <math.h>

typedef void trib_optimizer_rule(const struct trib_optimizer *optimizer, double rate, double mean,
                                 struct trib_optimizer_element *element);

static inline void apply_sgd(const struct trib_optimizer *optimizer, double rate, double mean,
                             struct trib_optimizer_element *element) {
    (void)optimizer;
    element->x += rate * mean;
}

static inline void apply_momentum(const struct trib_optimizer *optimizer, double rate, double mean,
                                  struct trib_optimizer_element *element) {
    element->m = optimizer->momentum * element->m + mean;
    element->x += rate * element->m;
}

static inline void apply_nesterov(const struct trib_optimizer *optimizer, double rate, double mean,
                                  struct trib_optimizer_element *element) {
    element->m = optimizer->momentum * element->m + mean;
    element->x += rate * (mean + optimizer->momentum * element->m);
}

/* What the three adaptive rules have in common: tau is outside of the root, so that lr / tau is
 * the largest amplification. */
static inline void average_mean(const struct trib_optimizer *optimizer, double mean,
                                struct trib_optimizer_element *element) {
    element->m = optimizer->beta1 * element->m + (1 - optimizer->beta1) * mean;
}

static inline void move_adaptively(const struct trib_optimizer *optimizer, double rate,
                                   struct trib_optimizer_element *element) {
    element->x += rate * element->m / (sqrt(element->v) + optimizer->tau);
}

static inline void apply_adagrad(const struct trib_optimizer *optimizer, double rate, double mean,
                                 struct trib_optimizer_element *element) {
    average_mean(optimizer, mean, element);
    element->v += mean * mean;
    move_adaptively(optimizer, rate, element);
}

static inline void apply_adam(const struct trib_optimizer *optimizer, double rate, double mean,
                              struct trib_optimizer_element *element) {
    average_mean(optimizer, mean, element);
    element->v = optimizer->beta2 * element->v + (1 - optimizer->beta2) * (mean * mean);
    move_adaptively(optimizer, rate, element);
}

static inline void apply_yogi(const struct trib_optimizer *optimizer, double rate, double mean,
                              struct trib_optimizer_element *element) {
    average_mean(optimizer, mean, element);
    const double square = mean * mean;
    const double change = (1 - optimizer->beta2) * square;
    if (element->v > square) {
        element->v -= change;
    } else if (element->v < square) {
        element->v += change;
    } /* else sign(0) = 0: v is where it belongs */
    move_adaptively(optimizer, rate, element);
}

#endif
