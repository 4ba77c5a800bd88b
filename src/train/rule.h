/* rule.h - rules of local training that tie a client to the others: SCAFFOLD, FedCM, FedSpeed.
 *
 * x is the model of the task, y the client's after K steps of rate lr, and every step goes along
 *
 *   fedcm       beta * grad + (1 - beta) * g                            Cheng et al. 2024, FedAvg-M;
 *                                                                       the same as Xu et al. 2021
 *   scaffold    grad - c_i + c                                          Karimireddy et al. 2020
 *   scaffold_m  beta * (grad - c_i + c) + (1 - beta) * g                Cheng et al. 2024
 *   fedspeed    (1 - alpha) * grad(y) + alpha * grad(y + rho * grad(y)) Sun et al. 2023
 *                 - h_i + (y - x) / lambda
 *
 * The server keeps, as tensors of each version, c, the mean of the c_i of all clients (`control`),
 * and g, the mean direction of the clients of the last version (`momentum`). A client keeps c_i, or
 * h_i of fedspeed (`own`), both zero at first. What it sends and what it keeps afterwards:
 *
 *   g'    = (x - y) / (K lr)                       its direction; the server's next g is their mean
 *   c_i'  = mean of its K gradients = (g' - shift) / beta, or, by option 1, grad(x)
 *   h_i'  = h_i - (y - x) / lambda, and instead of y it sends y - lambda * h_i'
 *
 * where shift is what every step adds to beta * grad; for scaffold this is option 2 of the paper.
 * What a client keeps must change exactly when its update counts: c stays the mean of the c_i only
 * if both move together. */
#ifndef TRIB_TRAIN_RULE_H
#define TRIB_TRAIN_RULE_H

#include "train/trainer.h"

/* All arrays are float32[parameter count] in the order of the parameters. */
struct trib_rule_vectors {
    const float *control;  /* c; NULL: the rule does not read it */
    const float *momentum; /* g; NULL: likewise */
    const float *own;      /* c_i or h_i; NULL: nothing kept yet, all zero */

    /* Written; each may be NULL when the rule does not make it. */
    float *next_control;  /* c + c_i' - c_i: what goes into the update in place of c */
    float *next_momentum; /* g' */
    float *next_own; /* what the client keeps, if the update counts. c_i' as the server sees it:
                             c_i + (next_control - c), with the rounding of float */
};

/* What a rule reads and makes. */
const char *trib_rule_name(enum trib_rule rule);
bool trib_rule_from_name(const char *name, enum trib_rule *rule);
bool trib_rule_has_control(enum trib_rule rule);
bool trib_rule_has_momentum(enum trib_rule rule);
bool trib_rule_has_own(enum trib_rule rule); /* a client must keep something */

/* As trib_trainer_train() with settings->rule; parameters become what the client sends. TRIB_EINVALID
 * too when the settings do not go together, such as adam with scaffold's option 2. */
enum trib_status trib_rule_train(struct trib_trainer *trainer, const struct trib_dataset *dataset,
                                 const uint32_t *rows, size_t row_count,
                                 const struct trib_train_settings *settings,
                                 const struct trib_rule_vectors *vectors, float *parameters,
                                 struct trib_train_result *result, struct trib_error *error);

/* The two halves of it, pure arithmetic; in between come K steps with `step`.
 *
 * begin: fill in what the rule puts into a step; shift is float32[count], written when the rule has
 * one, and step->base must be x where step->mu is not 0.
 * end: from x (start) and y (parameters, which become what is sent).
 * gradient  option 1 only: grad(x). */
void trib_rule_begin(const struct trib_train_settings *settings,
                     const struct trib_rule_vectors *vectors, size_t count, float *shift,
                     struct trib_step *step);
void trib_rule_end(const struct trib_train_settings *settings,
                   const struct trib_rule_vectors *vectors, const struct trib_step *step,
                   const float *start, const float *gradient, uint64_t step_count, size_t count,
                   float *parameters);

#endif
