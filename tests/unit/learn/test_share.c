/* test_share.c - nobody weighs more than a share, and no more is cut than that takes. */
#include "learn/share.h"

#include <stdbool.h>
#include <string.h>

#include "base/random.h"
#include "support/check.h"

#define CLIENTS_MAX 12
#define UNIT 1048576 /* shares are multiples of 2^-20 */

__extension__ typedef unsigned __int128 wide;

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Does everybody keep within the share when weights are cut to `cap`? */
static bool is_fair(const uint64_t *weights, size_t count, uint64_t cap, double share_max) {
    wide whole = 0;
    uint64_t most = 0;
    for (size_t index = 0; index < count; index++) {
        whole += least(weights[index], cap);
        most = least(weights[index], cap) > most ? least(weights[index], cap) : most;
    }
    return (wide)most * UNIT <= whole * (uint64_t)(share_max * UNIT);
}

static uint64_t cap_of(const uint64_t *weights, size_t count, double share_max) {
    uint64_t copy[CLIENTS_MAX];
    memcpy(copy, weights, count * sizeof *copy);
    return trib_share_cap(copy, count, share_max);
}

static void the_large_one_is_cut_to_its_share(void **state) {
    (void)state;
    const uint64_t weights[] = {80, 10000, 100, 120};
    assert_int_equal(cap_of(weights, 4, 0.3), 128); /* 128 of 428 */
    const uint64_t many[] = {1000, 1000, 1, 1, 1, 1};
    assert_int_equal(cap_of(many, 6, 0.25), 2); /* 2 of 8, twice */
}

static void whoever_is_within_the_share_stays(void **state) {
    (void)state;
    const uint64_t weights[] = {100, 120, 80, 90};
    assert_true(cap_of(weights, 4, 0.4) >= 120);
    assert_true(cap_of(weights, 4, 1) >= 120);
    assert_true(cap_of(weights, 1, 1) >= 100);
}

static void too_few_for_the_share_weigh_the_same(void **state) {
    (void)state;
    const uint64_t weights[] = {100, 7, 80};
    assert_int_equal(cap_of(weights, 3, 0.3), 7);
    assert_int_equal(cap_of(weights, 1, 0.3), 100);
    assert_int_equal(cap_of(weights, 3, 1e-9), 7);
}

static void exactly_enough_for_the_share_weigh_the_same(void **state) {
    (void)state;
    const uint64_t weights[] = {100, 7, 80, 9};
    assert_int_equal(cap_of(weights, 4, 0.25), 7);
}

static void it_is_the_largest_fair_cap_in_any_order(void **state) {
    (void)state;
    struct trib_random random;
    trib_random_init(&random, 1);
    for (int trial = 0; trial < 20000; trial++) {
        uint64_t weights[CLIENTS_MAX], largest = 0;
        size_t count = 1 + trib_random_below(&random, CLIENTS_MAX);
        double share_max = 1.0 / UNIT + trib_random_unit(&random) * (1 - 1.0 / UNIT);
        for (size_t index = 0; index < count; index++) {
            weights[index] =
                1 + trib_random_below(&random, UINT64_C(1) << trib_random_below(&random, 58));
            largest = weights[index] > largest ? weights[index] : largest;
        }
        uint64_t cap = cap_of(weights, count, share_max);
        assert_true(cap >= 1);
        if (count * (uint64_t)(share_max * UNIT) < UNIT)
            continue;
        assert_true(is_fair(weights, count, cap, share_max));
        if (cap < largest)
            assert_false(is_fair(weights, count, cap + 1, share_max));
        uint64_t turned[CLIENTS_MAX];
        for (size_t index = 0; index < count; index++)
            turned[index] = weights[count - 1 - index];
        assert_int_equal(cap_of(turned, count, share_max), cap);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_large_one_is_cut_to_its_share),
        cmocka_unit_test(whoever_is_within_the_share_stays),
        cmocka_unit_test(too_few_for_the_share_weigh_the_same),
        cmocka_unit_test(exactly_enough_for_the_share_weigh_the_same),
        cmocka_unit_test(it_is_the_largest_fair_cap_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
