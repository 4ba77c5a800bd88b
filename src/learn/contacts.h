/* contacts.h - FAVANO (FAVAS): clients that never stop, and a server that contacts some of them.
 *
 * Leconte, Nguyen and Moulines 2023 (arXiv 2305.16099). A contacted client i, which has done E_i
 * steps since the last time, at most K, sends
 *
 *     start_i + (own_i - start_i) / alpha_i        and starts anew from what the server then has:
 *     w = (w + the sum of what s clients sent) / (s + 1)
 *
 * With either alpha slow and fast clients bring the same progress in the mean:
 *
 *     expected   alpha = E[min(E_i, K)]
 *     sampled    alpha = P(E_i > 0) min(E_i, K);  E_i = 0: it sends start_i
 *
 * Preset favano is the second with E_i > 0: its policy is policy_ticks.c, its step is merge.c with a
 * pull towards each base, and clients divide by their steps (train/trainer.h). Here is the rule by
 * itself, with the estimate of alpha that would need a client's history (docs/strategies.md). */
#ifndef TRIB_LEARN_CONTACTS_H
#define TRIB_LEARN_CONTACTS_H

#include <stddef.h>
#include <stdint.h>

/* What contacts of one client have told; all-zero at first. */
struct trib_contacts {
    uint64_t count;  /* contacts */
    uint64_t worked; /* with at least one step */
    uint64_t steps;  /* in all of them, each cut at K */
};

/* A contact that found so many steps done. steps_max: K, the same every time. */
void trib_contacts_note(struct trib_contacts *contacts, uint32_t steps, uint32_t steps_max);
/* alpha from what has been noted; 0: nothing is known, or no step was ever done. */
double trib_contacts_alpha_expected(const struct trib_contacts *contacts);
/* The same for a contact that found so many steps; 0: then the client sends where it started. */
double trib_contacts_alpha_sampled(const struct trib_contacts *contacts, uint32_t steps,
                                   uint32_t steps_max);

/* One contact of the server's step: sum[i] += start[i] + (own[i] - start[i]) / alpha; alpha 0:
 * start[i] alone. All of `count` numbers. */
void trib_contacts_add(double *sum, const double *start, const double *own, size_t count,
                       double alpha);
/* w[i] = (w[i] + sum[i]) / (contacted + 1). */
void trib_contacts_step(double *w, const double *sum, size_t count, uint32_t contacted);

#endif
