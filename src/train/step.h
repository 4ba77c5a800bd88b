/* step.h - one step of a client's optimizer, element by element in float.
 *
 *   d = scale * gradient + shift + mu * (w - base) + weight_decay * w
 *
 *   sgd        w -= lr * d
 *   momentum   m = momentum * m + d                        w -= lr * m
 *   adam       m = beta1 * m + (1 - beta1) * d
 *              v = beta2 * v + (1 - beta2) * d * d
 *              w -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon),  t = 1, 2, ...
 *
 * Sources: Li et al. 2020, equation 2 (mu); Sutskever et al. 2013 (momentum); Kingma and Ba 2015,
 * Algorithm 1 (adam). scale and shift are what the client rules need (train/rule.h). */
#ifndef TRIB_TRAIN_STEP_H
#define TRIB_TRAIN_STEP_H

#include <stddef.h>
#include <stdint.h>

enum trib_step_kind { TRIB_STEP_SGD, TRIB_STEP_MOMENTUM, TRIB_STEP_ADAM, TRIB_STEP_COUNT };

struct trib_step {
    enum trib_step_kind kind;
    double lr;
    double scale;        /* of the gradient; 1 = as it is */
    const float *shift;  /* [count]; NULL: none */
    double mu;           /* pull towards base (FedProx); 0 = none */
    const float *base;   /* [count]; may be NULL when mu is 0 */
    double weight_decay; /* pull towards zero, added to the gradient; 0 = none */
    double momentum;     /* momentum only */
    double beta1, beta2; /* adam only */
    double epsilon;      /* adam only */
};

/* Vectors of memory besides the parameters: 0, 1 (m) or 2 (m, then v), zero at the start. */
size_t trib_step_memory(enum trib_step_kind kind);

/* Step number t, from 1.
 * gradient  float32[count], is used up: undefined afterwards.
 * memory    float32[trib_step_memory() * count]; NULL when there is none. */
void trib_step_take(const struct trib_step *step, uint64_t t, float *parameters, float *gradient,
                    float *memory, size_t count);

/* The euclidean norm, summed in double. */
double trib_norm(const float *values, size_t count);
/* Scale the gradient down to the norm `most` when it is longer; 0: as it is. Pascanu et al. 2013. */
void trib_clip(float *gradient, size_t count, double most);

#endif
