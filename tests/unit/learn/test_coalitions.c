/* test_coalitions.c - FedCollab: the cost of a partition and its descent, tests/vectors/fedcollab.json. */
#include "learn/coalitions.h"

#include <math.h>

#include "support/check.h"
#include "vectors.h"

#define CLIENTS 4

struct example {
    struct trib_coalitions coalitions;
    double divergence[CLIENTS * CLIENTS], beta[CLIENTS];
};

static void read_example(struct example *example, const json_t *item) {
    const json_t *rows = vectors_at(item, "inputs.disc");
    for (size_t i = 0; i < CLIENTS; i++)
        vectors_numbers(json_array_get(rows, i), &example->divergence[i * CLIENTS], CLIENTS);
    vectors_numbers(vectors_at(item, "inputs.beta"), example->beta, CLIENTS);
    example->coalitions = (struct trib_coalitions){.client_count = CLIENTS,
                                                   .divergence = example->divergence,
                                                   .beta = example->beta,
                                                   .samples = vectors_number(item, "inputs.m"),
                                                   .complexity = vectors_number(item, "inputs.C")};
}

static bool near(double a, double b) {
    return fabs(a - b) <= VECTOR_TOLERANCE;
}

static void a_partition_costs_what_its_members_pay(void **state) {
    (void)state;
    json_t *file = vectors_load("fedcollab.json");
    const json_t *item = vectors_case(file, "errors_of_a_given_clustering");
    struct example example;
    read_example(&example, item);
    const uint32_t cluster[CLIENTS] = {0, 0, 1, 1};
    double errors[CLIENTS], expected[CLIENTS];
    double cost = trib_coalitions_cost(&example.coalitions, cluster, errors);
    vectors_numbers(vectors_at(item, "outputs.errors"), expected, CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++)
        assert_true(near(errors[i], expected[i]));
    assert_true(near(cost, vectors_number(item, "outputs.objective")));
    json_decref(file);
}

static bool is_same_partition(const uint32_t *a, const double *b) {
    for (size_t i = 0; i < CLIENTS; i++) {
        for (size_t j = 0; j < CLIENTS; j++) {
            if ((a[i] == a[j]) != (b[i] == b[j]))
                return false;
        }
    }
    return true;
}

static void descents_and_the_solver_find_what_is_there(void **state) {
    (void)state;
    static const char *const names[] = {"coordinate_descent_from_all_singletons_C0.5",
                                        "coordinate_descent_from_all_singletons_C2",
                                        "coordinate_descent_from_all_singletons_C10"};
    json_t *file = vectors_load("fedcollab.json");
    for (size_t row = 0; row < sizeof names / sizeof *names; row++) {
        const json_t *item = vectors_case(file, names[row]);
        struct example example;
        read_example(&example, item);
        const uint32_t order[CLIENTS] = {0, 1, 2, 3};
        uint32_t cluster[CLIENTS] = {0, 1, 2, 3};
        struct trib_coalition scratch[CLIENTS];
        double cost = trib_coalitions_descend(&example.coalitions, order, scratch, cluster);
        double expected[CLIENTS];
        vectors_numbers(vectors_at(item, "outputs.clusters"), expected, CLIENTS);
        assert_true(is_same_partition(cluster, expected));
        assert_true(near(cost, vectors_number(item, "outputs.objective")));
        /* Descents from singletons stick where C is 10; the solver does not. */
        double best;
        assert_int_equal(
            trib_coalitions_solve(trib_env_system(), &example.coalitions, 1, cluster, &best),
            TRIB_OK);
        assert_true(near(best, vectors_number(item, "outputs.global_optimum_over_15_partitions")));
        assert_int_equal(cluster[0], 0);
    }
    json_decref(file);
}

/* What a descent keeps up to date as it goes is what a fresh look would find. */
static void running_sums_stay_true(void **state) {
    (void)state;
    enum { MANY = 12 };
    static double divergence[MANY * MANY], beta[MANY];
    struct trib_coalitions coalitions = {.client_count = MANY,
                                         .divergence = divergence,
                                         .beta = beta,
                                         .samples = 60,
                                         .complexity = 3};
    for (uint32_t i = 0; i < MANY; i++) {
        beta[i] = (1.0 + i) / 78;
        for (uint32_t j = 0; j < MANY; j++)
            divergence[i * MANY + j] = i == j ? 0 : fabs(sin(7.0 * i) - sin(7.0 * j));
    }
    uint32_t order[MANY], cluster[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        order[i] = (5 * i) % MANY;
        cluster[i] = i % 3;
    }
    double before = trib_coalitions_cost(&coalitions, cluster, NULL);
    struct trib_coalition scratch[MANY];
    double cost = trib_coalitions_descend(&coalitions, order, scratch, cluster);
    assert_true(cost < before);
    double total = 0;
    for (uint32_t label = 0; label < MANY; label++) {
        const struct trib_coalition *of = &scratch[label];
        if (of->members > 0)
            total += of->members * 3 / sqrt(60 * of->share) + of->pairs / of->share;
    }
    assert_true(fabs(total / MANY - cost) <= 1e-9);
    /* No single client would rather be elsewhere. */
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t own = cluster[i];
        for (uint32_t label = 0; label < MANY; label++) {
            cluster[i] = label;
            assert_true(trib_coalitions_cost(&coalitions, cluster, NULL) >= cost - 1e-9);
        }
        cluster[i] = own;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_partition_costs_what_its_members_pay),
        cmocka_unit_test(descents_and_the_solver_find_what_is_there),
        cmocka_unit_test(running_sums_stay_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
