/* test_select.c - which tier is chosen: what the machine has, and what TRIB_CPU forbids. */
#include "tensor/kernels.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check.h"

/* Rule: tiers rise from scalar, which every machine has; each table is complete and named. */
static void test_tiers_are_complete(void **state) {
    (void)state;
    static const char *const names[TRIB_KERNEL_TIERS] = {"scalar", "avx2", "avx512", "neon"};
    assert_non_null(trib_kernels_tier(0));
    assert_null(trib_kernels_tier(TRIB_KERNEL_TIERS));
    for (size_t index = 0; index < TRIB_KERNEL_TIERS; index++) {
        const struct trib_kernels *tier = trib_kernels_tier(index);
        if (!tier) {
            continue;
        }
        assert_string_equal(tier->name, names[index]);
        assert_true(tier->fold_f32 && tier->fold_bf16 && tier->fold_f16 && tier->fold_i8);
        assert_true(tier->scan_f32 && tier->scan_bf16 && tier->scan_f16 && tier->scan_i8);
        assert_true(tier->add_i64 && tier->subtract_i64);
        assert_true(tier->mean_f64 && tier->subtract_f32);
    }
}

/* Rule: the name is a ceiling; a tier that the machine lacks gives the next lower one. */
static void test_best_below_a_name(void **state) {
    (void)state;
    const struct trib_kernels *best = trib_kernels_tier(0);
    assert_ptr_equal(trib_kernels_best("scalar"), best);
    best = trib_kernels_tier(1) ? trib_kernels_tier(1) : best;
    assert_ptr_equal(trib_kernels_best("avx2"), best);
    best = trib_kernels_tier(2) ? trib_kernels_tier(2) : best;
    assert_ptr_equal(trib_kernels_best("avx512"), best);
    best = trib_kernels_tier(3) ? trib_kernels_tier(3) : best;
    assert_ptr_equal(trib_kernels_best("neon"), best);
    assert_ptr_equal(trib_kernels_best(NULL), best);
    assert_null(trib_kernels_best("sse2"));
    assert_null(trib_kernels_best("AVX2"));
    assert_null(trib_kernels_best(""));
}

/* What a fresh process with this TRIB_CPU selects: an index of a tier. */
static int selected_index(const char *wanted) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(STDERR_FILENO); /* the warning about a wrong name is expected */
        if (wanted ? setenv("TRIB_CPU", wanted, 1) : unsetenv("TRIB_CPU")) {
            _exit(100);
        }
        const struct trib_kernels *kernels = trib_kernels_select();
        for (int index = 0; index < TRIB_KERNEL_TIERS; index++) {
            if (kernels == trib_kernels_tier((size_t)index)) {
                _exit(kernels == trib_kernels_select() ? index : 101);
            }
        }
        _exit(102);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int index_of(const struct trib_kernels *kernels) {
    int index = TRIB_KERNEL_TIERS - 1;
    while (index >= 0 && trib_kernels_tier((size_t)index) != kernels) {
        index--;
    }
    return index;
}

/* Rule: TRIB_CPU forces a lower tier, never a higher one; unknown names are safe. */
static void test_environment(void **state) {
    (void)state;
    assert_int_equal(selected_index(NULL), index_of(trib_kernels_best(NULL)));
    assert_int_equal(selected_index(""), index_of(trib_kernels_best(NULL)));
    assert_int_equal(selected_index("scalar"), 0);
    assert_int_equal(selected_index("avx2"), index_of(trib_kernels_best("avx2")));
    assert_int_equal(selected_index("avx512"), index_of(trib_kernels_best("avx512")));
    assert_int_equal(selected_index("pentium"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiers_are_complete),
        cmocka_unit_test(test_best_below_a_name),
        cmocka_unit_test(test_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
