/* asmu.h - the weights of FedASMU: how much of an update goes into the mix, and how much of a fresher
 * version a client takes over in the middle of its work.
 *
 * Liu et al. 2024 (FedASMU, AAAI), equations 1, 2, 7 and 8. Versions are counted from 1 there and
 * from 0 here, so their time slot t is the version that an update is to make, and their o is its base
 * plus 1. Only sqrt and division: the same bits on every machine. Scales mu are part of lambda, iota
 * and gamma here, which is the same rule.
 *
 * The paper also learns lambda, sigma and iota by gradient descent on the loss after each version.
 * The step is here; a daemon has no data and so no such gradient, and does not take it. */
#ifndef TRIB_LEARN_ASMU_H
#define TRIB_LEARN_ASMU_H

#include <stdint.h>

/* alpha = xi / (1 + xi), xi = reach / sqrt(version) + iota. Below 1.
 *
 * reach    lambda (staleness + 1)^-sigma, >= 0
 * iota     >= 0: what is left of it after many versions
 * version  that the update is to make, >= 1 */
double trib_asmu_share(double reach, double iota, uint64_t version);

/* beta: a client that trains from `base` and finds `fresh` goes on from (1 - beta) own + beta fresh.
 * beta = phi / (1 + phi), phi = gamma / sqrt(fresh + 1) (1 - upsilon / sqrt(fresh - base + 1)), or 0
 * if that is negative. fresh >= base; gamma, upsilon >= 0. */
double trib_asmu_refresh(double gamma, double upsilon, uint64_t base, uint64_t fresh);

/* Derivatives of the loss after a version by what decided its share. */
struct trib_asmu_slope {
    double lambda, sigma, iota;
};
/* along: <gradient of the loss at the new version, model of the update - version before>.
 * logarithm: ln(staleness + 1). The rest as above; iota of the share that was taken. */
struct trib_asmu_slope trib_asmu_control(double along, double lambda, double reach, double iota,
                                         uint64_t version, double logarithm);

#endif
