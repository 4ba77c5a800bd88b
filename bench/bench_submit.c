/* bench_submit.c - updates through the device library, one after the other.
 *
 *     bench_submit LINK COUNT [CLIENT]
 *
 * Prints the median time from asking for a task to the acknowledgement of its update, and the
 * processor time of one. The first value of each tensor is changed; bench_python.py does the same
 * through the Python package. Where a task comes only when all have answered the one before, as
 * in rounds, it is the time of a round. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "tributary/client.h"

#define COUNT_MAX 1000

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double processor(void) {
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

static enum trib_client_result do_task(struct trib_client *client) {
    struct trib_client_task task;
    const struct trib_client_tensor *tensors;
    size_t count;
    enum trib_client_result result = trib_client_next(client, &task);
    if (result == TRIB_CLIENT_OK) {
        result = trib_client_model(client, &task, &tensors, &count);
    }
    for (size_t i = 0; result == TRIB_CLIENT_OK && i < count; i++) {
        tensors[i].values[0] += 0.001F;
    }
    return result == TRIB_CLIENT_OK ? trib_client_submit(client, &task, 1, NULL) : result;
}

static int order(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv) {
    char why[256];
    double seconds[COUNT_MAX];
    struct trib_client *client;
    int count = argc == 3 || argc == 4 ? atoi(argv[2]) : 0;
    double used = 0;
    if (count < 2 || count > COUNT_MAX) {
        fprintf(stderr, "usage: %s LINK COUNT [CLIENT]\n", argv[0]);
        return 2;
    }
    const struct trib_client_options options = {
        .size = sizeof options, .link = argv[1], .client = argc == 4 ? argv[3] : "bench"};
    if (trib_client_open(&options, &client, why, sizeof why) != TRIB_CLIENT_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        double began = now();
        if (do_task(client) != TRIB_CLIENT_OK) {
            fprintf(stderr, "%s\n", trib_client_error(client));
            return 1;
        }
        seconds[i] = now() - began;
        used = i == 0 ? processor() : used;
    }
    /* Not the first: connections and pages are new to it. */
    qsort(seconds + 1, (size_t)count - 1, sizeof *seconds, order);
    printf("submit.c\t%.6f\tms\n", seconds[1 + (count - 1) / 2] * 1e3);
    printf("submit.cpu\t%.6f\ts\n", (processor() - used) / (count - 1));
    trib_client_close(client);
    return 0;
}
