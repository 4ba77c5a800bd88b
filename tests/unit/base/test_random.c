/* test_random.c - published outputs, independence of names, and plain statistics. */
#include "base/random.h"

#include <math.h>

#include "support/check.h"

static void test_splitmix_seeds_the_state(void **state) {
    (void)state;
    /* splitmix64 from 1234567, as its reference program prints it. */
    struct trib_random random;
    trib_random_init(&random, 1234567);
    assert_true(random.state[0] == UINT64_C(6457827717110365317));
    assert_true(random.state[1] == UINT64_C(3203168211198807973));
    assert_true(random.state[2] == UINT64_C(9817491932198370423));
    assert_true(random.state[3] == UINT64_C(4593380528125082431));
}

static void test_generator_matches_the_reference(void **state) {
    (void)state;
    /* xoshiro256++ 1.0 from the state 1, 2, 3, 4. */
    static const uint64_t expected[] = {
        UINT64_C(41943041),
        UINT64_C(58720359),
        UINT64_C(3588806011781223),
        UINT64_C(3591011842654386),
        UINT64_C(9228616714210784205),
        UINT64_C(9973669472204895162),
    };
    struct trib_random random = {{1, 2, 3, 4}};
    for (size_t index = 0; index < sizeof expected / sizeof *expected; index++)
        assert_true(trib_random_u64(&random) == expected[index]);
}

static void test_derived_generators_are_stable_and_apart(void **state) {
    (void)state;
    static const struct {
        uint64_t seed;
        const char *name;
        uint64_t index;
    } keys[] = {
        {7, "cohort", 0}, {7, "cohort", 1}, {8, "cohort", 0}, {7, "cohort2", 0},
        {7, "", 0},       {7, "a", 'b'},    {7, "ab", 0},     {7, "b", 'a'},
    };
    uint64_t firsts[8];
    for (size_t index = 0; index < 8; index++) {
        struct trib_random random, again;
        trib_random_derive(&random, keys[index].seed, keys[index].name, keys[index].index);
        trib_random_derive(&again, keys[index].seed, keys[index].name, keys[index].index);
        firsts[index] = trib_random_u64(&random);
        assert_true(firsts[index] == trib_random_u64(&again));
        for (size_t other = 0; other < index; other++)
            assert_true(firsts[other] != firsts[index]);
    }
}

static void test_below_is_in_range_and_even(void **state) {
    (void)state;
    struct trib_random random;
    trib_random_init(&random, 1);
    size_t hits[6] = {0};
    for (int draw = 0; draw < 60000; draw++) {
        uint64_t value = trib_random_below(&random, 6);
        assert_true(value < 6);
        hits[value]++;
    }
    /* Five standard deviations of a binomial with n = 60000, p = 1/6 are 456. */
    for (size_t index = 0; index < 6; index++)
        assert_in_range(hits[index], 10000 - 456, 10000 + 456);
    assert_int_equal(trib_random_below(&random, 1), 0);
}

static void test_below_has_no_bias_near_the_word_size(void **state) {
    (void)state;
    /* Without rejection a third of the draws below 3 * 2^62 would be doubled: values under 2^62
     * would come half of the time instead of a third. */
    struct trib_random random;
    trib_random_init(&random, 2);
    size_t low = 0;
    for (int draw = 0; draw < 9000; draw++)
        low += trib_random_below(&random, UINT64_C(3) << 62) < UINT64_C(1) << 62;
    assert_in_range(low, 3000 - 224, 3000 + 224);
}

static void test_unit_fills_zero_to_one(void **state) {
    (void)state;
    struct trib_random random;
    trib_random_init(&random, 3);
    double sum = 0, smallest = 1, largest = 0;
    for (int draw = 0; draw < 100000; draw++) {
        double value = trib_random_unit(&random);
        assert_true(value >= 0 && value < 1);
        sum += value;
        smallest = fmin(smallest, value);
        largest = fmax(largest, value);
    }
    assert_true(fabs(sum / 100000 - 0.5) < 5 * 0.2887 / sqrt(100000));
    assert_true(smallest < 0.001 && largest > 0.999);
}

static void test_normal_has_its_moments(void **state) {
    (void)state;
    struct trib_random random;
    trib_random_init(&random, 4);
    double sum = 0, squares = 0, beyond = 0;
    for (int draw = 0; draw < 100000; draw++) {
        double value = trib_random_normal(&random);
        sum += value;
        squares += value * value;
        beyond += fabs(value) > 1.959964;
    }
    assert_true(fabs(sum / 100000) < 5 / sqrt(100000));
    assert_true(fabs(squares / 100000 - 1) < 5 * sqrt(2.0 / 100000));
    assert_true(fabs(beyond - 5000) < 5 * 69);
}

static void test_shuffle_reaches_every_order_evenly(void **state) {
    (void)state;
    struct trib_random random;
    trib_random_init(&random, 5);
    size_t hits[27] = {0};
    for (int draw = 0; draw < 6000; draw++) {
        uint32_t indices[3] = {0, 1, 2};
        trib_random_shuffle(&random, indices, 3);
        hits[indices[0] * 9 + indices[1] * 3 + indices[2]]++;
    }
    static const size_t orders[] = {0 * 9 + 1 * 3 + 2, 0 * 9 + 2 * 3 + 1, 1 * 9 + 0 * 3 + 2,
                                    1 * 9 + 2 * 3 + 0, 2 * 9 + 0 * 3 + 1, 2 * 9 + 1 * 3 + 0};
    for (size_t index = 0; index < 6; index++)
        assert_in_range(hits[orders[index]], 1000 - 145, 1000 + 145);
    trib_random_shuffle(&random, NULL, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splitmix_seeds_the_state),
        cmocka_unit_test(test_generator_matches_the_reference),
        cmocka_unit_test(test_derived_generators_are_stable_and_apart),
        cmocka_unit_test(test_below_is_in_range_and_even),
        cmocka_unit_test(test_below_has_no_bias_near_the_word_size),
        cmocka_unit_test(test_unit_fills_zero_to_one),
        cmocka_unit_test(test_normal_has_its_moments),
        cmocka_unit_test(test_shuffle_reaches_every_order_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
