/* step.c - one step of a client's optimizer, element by element in float.
 *
 * One term after the other over a block that stays in the first-level cache, so that every loop
 * does one thing and is vectorised. */
#include "train/step.h"

#include <math.h>

#include "base/status.h"

#define BLOCK 1024

/* What is constant in a step, in float. */
struct rates {
    float lr, scale, mu, weight_decay, momentum, beta1, beta2, epsilon;
    float root; /* 1 / sqrt(1 - beta2^t) */
};

size_t trib_step_memory(enum trib_step_kind kind) {
    return kind == TRIB_STEP_SGD ? 0 : kind == TRIB_STEP_MOMENTUM ? 1 : 2;
}

static struct rates rates_of(const struct trib_step *step, uint64_t t) {
    struct rates rates = {
        .lr = (float)step->lr,
        .scale = (float)step->scale,
        .mu = (float)step->mu,
        .weight_decay = (float)step->weight_decay,
        .momentum = (float)step->momentum,
        .beta1 = (float)step->beta1,
        .beta2 = (float)step->beta2,
        .epsilon = (float)step->epsilon,
    };
    if (step->kind == TRIB_STEP_ADAM) {
        rates.lr = (float)(step->lr / (1.0 - pow(step->beta1, (double)t)));
        rates.root = (float)(1.0 / sqrt(1.0 - pow(step->beta2, (double)t)));
    }
    return rates;
}

/* gradient becomes d. */
static void find_direction(const struct rates *rates, const float *parameters, const float *shift,
                           const float *base, float *gradient, size_t count) {
    if (rates->scale != 1.0F) {
        for (size_t i = 0; i < count; i++) {
            gradient[i] *= rates->scale;
        }
    }
    if (shift != NULL) {
        for (size_t i = 0; i < count; i++) {
            gradient[i] += shift[i];
        }
    }
    if (rates->mu != 0.0F) {
        for (size_t i = 0; i < count; i++) {
            gradient[i] += rates->mu * (parameters[i] - base[i]);
        }
    }
    if (rates->weight_decay != 0.0F) {
        for (size_t i = 0; i < count; i++) {
            gradient[i] += rates->weight_decay * parameters[i];
        }
    }
}

static void move(const struct rates *rates, float *restrict parameters,
                 const float *restrict direction, size_t count) {
    for (size_t i = 0; i < count; i++) {
        parameters[i] -= rates->lr * direction[i];
    }
}

static void move_with_momentum(const struct rates *rates, float *restrict parameters,
                               const float *restrict direction, float *restrict m, size_t count) {
    for (size_t i = 0; i < count; i++) {
        m[i] = rates->momentum * m[i] + direction[i];
        parameters[i] -= rates->lr * m[i];
    }
}

static void move_with_adam(const struct rates *rates, float *restrict parameters,
                           const float *restrict direction, float *restrict m, float *restrict v,
                           size_t count) {
    for (size_t i = 0; i < count; i++) {
        const float d = direction[i];
        m[i] = rates->beta1 * m[i] + (1.0F - rates->beta1) * d;
        v[i] = rates->beta2 * v[i] + (1.0F - rates->beta2) * (d * d);
        parameters[i] -= rates->lr * m[i] / (sqrtf(v[i]) * rates->root + rates->epsilon);
    }
}

void trib_step_take(const struct trib_step *step, uint64_t t, float *parameters, float *gradient,
                    float *memory, size_t count) {
    const struct rates rates = rates_of(step, t);
    TRIB_ASSERT(step->mu == 0.0 || step->base != NULL);
    TRIB_ASSERT(memory != NULL || trib_step_memory(step->kind) == 0);
    for (size_t first = 0; first < count; first += BLOCK) {
        const size_t rest = count - first;
        const size_t block = rest < BLOCK ? rest : BLOCK;
        float *w = parameters + first;
        float *d = gradient + first;
        find_direction(&rates, w, step->shift != NULL ? step->shift + first : NULL,
                       step->base != NULL ? step->base + first : NULL, d, block);
        if (step->kind == TRIB_STEP_SGD) {
            move(&rates, w, d, block);
        } else if (step->kind == TRIB_STEP_MOMENTUM) {
            move_with_momentum(&rates, w, d, memory + first, block);
        } else {
            move_with_adam(&rates, w, d, memory + first, memory + count + first, block);
        }
    }
}

double trib_norm(const float *values, size_t count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)values[i] * (double)values[i];
    }
    return sqrt(sum);
}

void trib_clip(float *gradient, size_t count, double most) {
    const double norm = most > 0.0 ? trib_norm(gradient, count) : 0.0;
    if (!(norm > most)) {
        return;
    }
    const float factor = (float)(most / norm);
    for (size_t i = 0; i < count; i++) {
        gradient[i] *= factor;
    }
}
