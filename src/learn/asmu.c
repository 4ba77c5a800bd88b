/* asmu.c - the weights of FedASMU. */
#include "learn/asmu.h"

#include <math.h>

static double squash(double x) {
    return x / (1 + x);
}

double trib_asmu_share(double reach, double iota, uint64_t version) {
    return squash(reach / sqrt((double)version) + iota);
}

double trib_asmu_refresh(double gamma, double upsilon, uint64_t base, uint64_t fresh) {
    double age = (double)(fresh - base);
    double phi = gamma / sqrt((double)fresh + 1) * (1 - upsilon / sqrt(age + 1));
    return phi > 0 ? squash(phi) : 0;
}

struct trib_asmu_slope trib_asmu_control(double along, double lambda, double reach, double iota,
                                         uint64_t version, double logarithm) {
    double whole = 1 + reach / sqrt((double)version) + iota;
    double by_iota = along / (whole * whole);
    double by_reach = by_iota / sqrt((double)version);
    return (struct trib_asmu_slope){
        .lambda = lambda > 0 ? by_reach * reach / lambda : 0,
        .sigma = -logarithm * by_reach * reach,
        .iota = by_iota,
    };
}
