/* semidec.c - semi-decentralised training: the server's round and the devices'. */
#include "learn/semidec.h"

void trib_semidec_average(double *x, size_t device_count, size_t count, const size_t *sampled,
                          size_t sampled_count, bool to_all) {
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t place = 0; place < sampled_count; place++)
            sum += x[sampled[place] * count + i];
        double mean = sum / (double)sampled_count;
        for (size_t place = 0; place < sampled_count; place++)
            x[sampled[place] * count + i] = mean;
        for (size_t device = 0; to_all && device < device_count; device++)
            x[device * count + i] = mean;
    }
}

void trib_semidec_gossip(const double *w, const double *x, double *next, size_t device_count,
                         size_t count) {
    for (size_t device = 0; device < device_count; device++) {
        for (size_t i = 0; i < count; i++) {
            double sum = 0;
            for (size_t other = 0; other < device_count; other++)
                sum += w[device * device_count + other] * x[other * count + i];
            next[device * count + i] = sum;
        }
    }
}
