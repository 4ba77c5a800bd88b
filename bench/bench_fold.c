/* bench_fold.c - how fast each tier of kernels is, next to plain reading of memory.
 *
 * Every kernel runs twice: with all its arrays in cache, and with its int64 array in memory while
 * the input is a cache-hot chunk, as when a body is folded on arrival. Figures are medians of
 * RUNS; the runs of all kernels alternate, so that a noisy moment hurts all alike.
 *
 *   GB/s   10^9 bytes of input (fold, scan: the values; add, mean: int64) per second
 *   moved  bytes read and written per second, as a multiple of the memory read of this run
 *   tier   times the speed of the scalar tier */
#include "base/env.h"
#include "tensor/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 11
#define CHUNK 16384             /* elements: 64 KiB of float, 128 KiB of int64 */
#define MEMORY_COUNT (8u << 20) /* elements of the accumulator in memory: 64 MiB */
#define ELEMENTS (16u << 20)    /* elements that one run works through */

struct arrays {
    void *input; /* CHUNK elements */
    int64_t *sum;
    double total; /* keeps results alive */
};

struct kernel {
    const char *name;
    double input_bytes; /* per element */
    double moved_bytes;
    void (*run)(const struct trib_kernels *kernels, struct arrays *arrays, int64_t *sum);
};

static void fold(trib_fold_kernel *kernel, struct arrays *arrays, int64_t *sum) {
    const void *values = arrays->input;
    const double scale = 1000;
    kernel(sum, &values, &scale, 1, CHUNK);
}

static void fold_f32(const struct trib_kernels *kernels, struct arrays *arrays, int64_t *sum) {
    fold(kernels->fold_f32, arrays, sum);
}

static void fold_bf16(const struct trib_kernels *kernels, struct arrays *arrays, int64_t *sum) {
    fold(kernels->fold_bf16, arrays, sum);
}

static void fold_f16(const struct trib_kernels *kernels, struct arrays *arrays, int64_t *sum) {
    fold(kernels->fold_f16, arrays, sum);
}

static void fold_i8(const struct trib_kernels *kernels, struct arrays *arrays, int64_t *sum) {
    fold(kernels->fold_i8, arrays, sum);
}

static void scan_f32(const struct trib_kernels *kernels, struct arrays *arrays, int64_t *sum) {
    arrays->total += kernels->scan_f32((const float *)sum, CHUNK * 2, 1e30).square_sum;
}

static void add_i64(const struct trib_kernels *kernels, struct arrays *arrays, int64_t *sum) {
    kernels->add_i64(sum, arrays->input, CHUNK);
}

static void mean_f64(const struct trib_kernels *kernels, struct arrays *arrays, int64_t *sum) {
    kernels->mean_f64(arrays->input, sum, CHUNK, 0x1p-30, 1000);
}

static const struct kernel kernels_measured[] = {
    {"fold_f32", 4, 20, fold_f32}, {"fold_bf16", 2, 18, fold_bf16}, {"fold_f16", 2, 18, fold_f16},
    {"fold_i8", 1, 17, fold_i8},   {"scan_f32", 8, 8, scan_f32},    {"add_i64", 8, 24, add_i64},
    {"mean_f64", 8, 16, mean_f64},
};
#define KERNEL_COUNT (sizeof kernels_measured / sizeof kernels_measured[0])

static double now(void) {
    const struct trib_env *env = trib_env_system();
    return (double)env->monotonic(env->context) * 1e-9;
}

/* Seconds to read MEMORY_COUNT words, in eight sums so that no addition waits for another. */
static double time_memory_read(struct arrays *arrays) {
    uint64_t sums[8] = {0};
    double start = now();
    for (size_t i = 0; i < MEMORY_COUNT; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            sums[k] += (uint64_t)arrays->sum[i + k];
        }
    }
    double seconds = now() - start;
    for (size_t k = 0; k < 8; k++) {
        arrays->total += (double)sums[k];
    }
    return seconds;
}

static double time_kernel(const struct trib_kernels *kernels, const struct kernel *kernel,
                          struct arrays *arrays, size_t sum_count) {
    double start = now();
    for (size_t done = 0; done < ELEMENTS; done += CHUNK) {
        kernel->run(kernels, arrays, arrays->sum + done % sum_count);
    }
    return now() - start;
}

static int compare(const void *a, const void *b) {
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double seconds[RUNS]) {
    qsort(seconds, RUNS, sizeof seconds[0], compare);
    return seconds[RUNS / 2];
}

static double seconds_of[TRIB_KERNEL_TIERS][KERNEL_COUNT][2][RUNS];
static double read_seconds[RUNS];
static const size_t sum_counts[2] = {CHUNK, MEMORY_COUNT};

static void measure(struct arrays *arrays) {
    for (int run = 0; run < RUNS; run++) {
        read_seconds[run] = time_memory_read(arrays);
        for (size_t t = 0; t < TRIB_KERNEL_TIERS; t++) {
            const struct trib_kernels *tier = trib_kernels_tier(t);
            for (size_t k = 0; tier && k < KERNEL_COUNT; k++) {
                for (int place = 0; place < 2; place++) {
                    /* Zero is valid in each array, whatever the kernel before left there. */
                    memset(arrays->input, 0, CHUNK * 8);
                    seconds_of[t][k][place][run] =
                        time_kernel(tier, &kernels_measured[k], arrays, sum_counts[place]);
                }
            }
        }
    }
}

static void print_table(void) {
    double read_rate = MEMORY_COUNT * 8.0 / median(read_seconds) * 1e-9;
    printf("memory read, one thread: %.1f GB/s (median of %d)\n\n", read_rate, RUNS);
    printf("%-10s %-7s %24s   %24s\n", "", "", "--- all in cache ---", "--- int64 in memory ---");
    printf("%-10s %-7s %8s %8s %6s   %8s %8s %6s\n", "kernel", "", "GB/s", "moved", "tier", "GB/s",
           "moved", "tier");
    for (size_t k = 0; k < KERNEL_COUNT; k++) {
        double scalar[2] = {0};
        for (size_t t = 0; t < TRIB_KERNEL_TIERS; t++) {
            const struct trib_kernels *tier = trib_kernels_tier(t);
            if (!tier) {
                continue;
            }
            printf("%-10s %-7s", kernels_measured[k].name, tier->name);
            for (int place = 0; place < 2; place++) {
                double rate = ELEMENTS / median(seconds_of[t][k][place]) * 1e-9;
                scalar[place] = t == 0 ? rate : scalar[place];
                printf(" %8.1f %8.2f %6.1f  ", rate * kernels_measured[k].input_bytes,
                       rate * kernels_measured[k].moved_bytes / read_rate, rate / scalar[place]);
            }
            printf("\n");
        }
    }
}

int main(void) {
    struct arrays arrays = {.input = malloc(CHUNK * 8), .sum = malloc(MEMORY_COUNT * 8)};
    if (!arrays.input || !arrays.sum) {
        fprintf(stderr, "bench_fold: no memory\n");
        return 1;
    }
    memset(arrays.sum, 0, MEMORY_COUNT * 8);
    measure(&arrays);
    print_table();
    int is_strange = arrays.total != arrays.total; /* the results must be needed */
    free(arrays.input);
    free(arrays.sum);
    return is_strange;
}
