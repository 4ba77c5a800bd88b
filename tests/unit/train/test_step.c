/* test_step.c - the steps of a client's optimizer are the published ones. */
#include "train/step.h"

#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "support/check.h"

enum { COUNT = 2500 }; /* two blocks and a bit */

/* F(w) = sum a/2 (w - b)^2 with a = (1, 4), b = (2, -1), from w = (0, 0); mu 0.5, lr 0.1. By hand,
 * w' = w - 0.1 (a (w - b) + 0.5 w): 0 -> 0.2 -> 0.37 -> 0.5145 and 0 -> -0.4 -> -0.62 -> -0.741.
 * Source of the rule: Li et al. 2020, equation 2. */
static void the_step_follows_fedprox(void **state) {
    (void)state;
    static const double expected[3][2] = {{0.2, -0.4}, {0.37, -0.62}, {0.5145, -0.741}};
    const float base[2] = {0.0F, 0.0F};
    float w[2] = {0.0F, 0.0F};
    const struct trib_step step = {.lr = 0.1, .scale = 1.0, .mu = 0.5, .base = base};
    for (size_t t = 0; t < 3; t++) {
        float gradient[2] = {w[0] - 2.0F, 4.0F * (w[1] + 1.0F)};
        trib_step_take(&step, t + 1, w, gradient, NULL, 2);
        assert_true(fabs((double)w[0] - expected[t][0]) < 2e-6);
        assert_true(fabs((double)w[1] - expected[t][1]) < 2e-6);
    }
}

static void draw(struct trib_random *random, float *values) {
    for (size_t i = 0; i < COUNT; i++) {
        values[i] = (float)trib_random_normal(random);
    }
}

/* The same once more in double, one element after the other, straight from the papers. */
static double by_paper(const struct trib_step *step, uint64_t t, double w, double gradient,
                       double shift, double base, double *m, double *v) {
    const double d =
        step->scale * gradient + shift + step->mu * (w - base) + step->weight_decay * w;
    switch (step->kind) {
    case TRIB_STEP_MOMENTUM:
        *m = step->momentum * *m + d;
        return w - step->lr * *m;
    case TRIB_STEP_ADAM:
        *m = step->beta1 * *m + (1 - step->beta1) * d;
        *v = step->beta2 * *v + (1 - step->beta2) * d * d;
        return w - step->lr * (*m / (1 - pow(step->beta1, (double)t))) /
                       (sqrt(*v / (1 - pow(step->beta2, (double)t))) + step->epsilon);
    default:
        return w - step->lr * d;
    }
}

static void every_kind_is_the_rule_of_its_paper(void **state) {
    (void)state;
    static float w[COUNT], gradient[COUNT], shift[COUNT], base[COUNT], memory[2 * COUNT];
    static double exact[COUNT], m[COUNT], v[COUNT];
    for (int kind = 0; kind < TRIB_STEP_COUNT; kind++) {
        struct trib_random random;
        const struct trib_step step = {.kind = (enum trib_step_kind)kind,
                                       .lr = 0.01,
                                       .scale = 0.3,
                                       .shift = shift,
                                       .mu = 0.7,
                                       .base = base,
                                       .weight_decay = 0.05,
                                       .momentum = 0.9,
                                       .beta1 = 0.8,
                                       .beta2 = 0.95,
                                       .epsilon = 1e-3};
        trib_random_init(&random, 5);
        draw(&random, w);
        draw(&random, shift);
        draw(&random, base);
        memset(memory, 0, sizeof memory);
        for (size_t i = 0; i < COUNT; i++) {
            exact[i] = (double)w[i];
            m[i] = v[i] = 0.0;
        }
        for (uint64_t t = 1; t <= 4; t++) {
            draw(&random, gradient);
            for (size_t i = 0; i < COUNT; i++) {
                exact[i] = by_paper(&step, t, exact[i], (double)gradient[i], (double)shift[i],
                                    (double)base[i], &m[i], &v[i]);
            }
            trib_step_take(&step, t, w, gradient, trib_step_memory(step.kind) > 0 ? memory : NULL,
                           COUNT);
        }
        for (size_t i = 0; i < COUNT; i++) {
            assert_true(fabs((double)w[i] - exact[i]) < 2e-6);
        }
    }
}

static void long_gradients_are_cut_and_short_ones_are_not(void **state) {
    (void)state;
    float gradient[2] = {3.0F, -4.0F};
    trib_clip(gradient, 2, 0.0);
    trib_clip(gradient, 2, 5.5);
    assert_true(gradient[0] == 3.0F && gradient[1] == -4.0F);
    trib_clip(gradient, 2, 1.0);
    assert_true(fabsf(gradient[0] - 0.6F) < 1e-6F && fabsf(gradient[1] + 0.8F) < 1e-6F);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_step_follows_fedprox),
        cmocka_unit_test(every_kind_is_the_rule_of_its_paper),
        cmocka_unit_test(long_gradients_are_cut_and_short_ones_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
