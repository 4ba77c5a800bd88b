/* kernels_select.c - which tier of kernels this machine can run, and which one it shall.
 *
 * __builtin_cpu_supports() answers for the processor and for the operating system: the run-time
 * libraries of GCC and Clang report AVX and AVX-512 only where XGETBV shows that their registers
 * are saved on a task switch. */
#include "tensor/kernels_tiers.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* Not every compiler's __builtin_cpu_supports() knows the name "f16c". */
static bool has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && has_f16c();
}

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

/* In rising order, those of all processors. */
static const char *const tier_names[TRIB_KERNEL_TIERS] = {"scalar", "avx2", "avx512", "neon"};

const struct trib_kernels *trib_kernels_tier(size_t index) {
    switch (index) {
    case 0:
        return &trib_kernels_scalar;
#if defined(__x86_64__)
    case 1:
        return has_avx2() ? &trib_kernels_avx2 : NULL;
    case 2:
        return has_avx512() ? &trib_kernels_avx512 : NULL;
#endif
#if defined(__aarch64__)
    case 3:
        return &trib_kernels_neon;
#endif
    default:
        return NULL;
    }
}

const struct trib_kernels *trib_kernels_best(const char *highest) {
    size_t top = TRIB_KERNEL_TIERS;
    if (highest) {
        while (top > 0 && strcmp(highest, tier_names[top - 1]) != 0) {
            top--;
        }
    }
    const struct trib_kernels *best = top > 0 ? &trib_kernels_scalar : NULL;
    for (size_t index = 1; index < top; index++) {
        const struct trib_kernels *tier = trib_kernels_tier(index);
        best = tier ? tier : best;
    }
    return best;
}

/* Any thread may come first: all would find the same. */
static _Atomic(const struct trib_kernels *) selected;

const struct trib_kernels *trib_kernels_select(void) {
    const struct trib_kernels *kernels = atomic_load(&selected);
    if (kernels) {
        return kernels;
    }
    const char *wanted = getenv("TRIB_CPU");
    kernels = trib_kernels_best(wanted && *wanted ? wanted : NULL);
    if (!kernels) {
        kernels = &trib_kernels_scalar;
        trib_log(trib_env_system(), TRIB_LOG_WARN, "kernels-unknown TRIB_CPU=%.32s using=%s",
                 wanted, kernels->name);
    }
    atomic_store(&selected, kernels);
    return kernels;
}
