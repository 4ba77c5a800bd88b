/* test_sharing.c - rules of several models or many devices: FedAST, FAVANO, S2S and S2A, CDFL, each
 * against its file in tests/vectors. */
#include <math.h>
#include <stdio.h>

#include "learn/allocation.h"
#include "learn/clusters.h"
#include "learn/contacts.h"
#include "learn/semidec.h"
#include "support/check.h"
#include "vectors.h"

static void check_near(const double *got, const json_t *expected, size_t count) {
    double numbers[16];
    assert_true(count <= 16);
    vectors_numbers(expected, numbers, count);
    for (size_t i = 0; i < count; i++)
        assert_true(fabs(got[i] - numbers[i]) <= VECTOR_TOLERANCE);
}

/* --- FedAST --- */

static void requests_follow_the_scores(void **state) {
    (void)state;
    json_t *file = vectors_load("fedast.json");
    for (int which = 0; which < 3; which++) {
        char name[16];
        snprintf(name, sizeof name, "realloc_%d", which);
        const json_t *item = vectors_case(file, name);
        double scores[3], requests[3], goals[3];
        vectors_numbers(vectors_at(item, "inputs.score"), scores, 3);
        struct trib_allocation runs[3] = {
            {.score = scores[0]}, {.score = scores[1]}, {.score = scores[2]}};
        assert_true(
            trib_allocation_share(runs, 3, (uint32_t)vectors_number(item, "inputs.R_total"),
                                  (uint32_t)vectors_number(item, "inputs.unit_R_over_buffer")));
        for (size_t m = 0; m < 3; m++) {
            requests[m] = runs[m].requests;
            goals[m] = runs[m].goal;
        }
        check_near(requests, vectors_at(item, "outputs.active_requests"), 3);
        check_near(goals, vectors_at(item, "outputs.buffer_size"), 3);
    }
    json_decref(file);
}

static void every_run_that_goes_on_needs_a_unit(void **state) {
    (void)state;
    struct trib_allocation runs[3] = {{.score = 1}, {.score = 0}, {.score = 1e9}};
    assert_false(trib_allocation_share(runs, 3, 7, 4)); /* one unit for two */
    assert_int_equal(runs[0].requests, 0);
    assert_true(trib_allocation_share(runs, 3, 11, 4)); /* 3 are over */
    assert_int_equal(runs[0].requests, 4);
    assert_int_equal(runs[1].requests, 0);
    assert_int_equal(runs[2].requests, 4);
    assert_false(trib_allocation_share(&runs[1], 1, 8, 4)); /* nobody goes on */
}

/* --- FAVANO --- */

/* The distributions of the vectors as so many contacts of each kind. */
static const struct {
    const char *name;
    struct {
        uint32_t steps, contacts;
    } parts[3];
} speeds[] = {{"slow", {{0, 5}, {1, 3}, {2, 2}}}, {"fast", {{2, 1}, {4, 2}, {8, 1}}}};

static void slow_and_fast_bring_the_same_progress(void **state) {
    (void)state;
    json_t *file = vectors_load("favano.json");
    const json_t *item = vectors_case(file, "alpha_and_unbiasedness");
    const uint32_t most = (uint32_t)vectors_number(item, "inputs.K");
    const double eta = vectors_number(item, "inputs.eta");
    for (size_t row = 0; row < 2; row++) {
        struct trib_contacts contacts = {0};
        assert_true(trib_contacts_alpha_expected(&contacts) == 0);
        for (size_t part = 0; part < 3; part++) {
            for (uint32_t n = 0; n < speeds[row].parts[part].contacts; n++)
                trib_contacts_note(&contacts, speeds[row].parts[part].steps, most);
        }
        double alpha = trib_contacts_alpha_expected(&contacts), expected = 0, sampled = 0;
        const json_t *alphas = vectors_at(item, "outputs.alpha_deterministic");
        assert_true(fabs(alpha - vectors_number(alphas, speeds[row].name)) <= VECTOR_TOLERANCE);
        for (size_t part = 0; part < 3; part++) {
            uint32_t steps = speeds[row].parts[part].steps;
            const double start = 0, own = -eta * (steps < most ? steps : most);
            double share = (double)speeds[row].parts[part].contacts / (double)contacts.count;
            double sum = 0;
            trib_contacts_add(&sum, &start, &own, 1, alpha);
            expected += share * sum;
            sum = 0;
            trib_contacts_add(&sum, &start, &own, 1,
                              trib_contacts_alpha_sampled(&contacts, steps, most));
            sampled += share * sum;
        }
        assert_true(fabs(expected + eta) <= VECTOR_TOLERANCE);
        assert_true(fabs(sampled + eta) <= VECTOR_TOLERANCE);
    }
    json_decref(file);
}

static void the_server_averages_itself_with_its_contacts(void **state) {
    (void)state;
    json_t *file = vectors_load("favano.json");
    const json_t *item = vectors_case(file, "server_step");
    double w[2], sum[2] = {0};
    vectors_numbers(vectors_at(item, "inputs.w_prev"), w, 2);
    size_t index;
    json_t *client;
    json_array_foreach((json_t *)vectors_at(item, "inputs.clients"), index, client) {
        double start[2], own[2], sent[2] = {0};
        vectors_numbers(json_object_get(client, "w_init"), start, 2);
        vectors_numbers(json_object_get(client, "w"), own, 2);
        trib_contacts_add(sent, start, own, 2, vectors_number(client, "alpha"));
        check_near(sent, json_array_get(vectors_at(item, "outputs.w_unbiased"), index), 2);
        trib_contacts_add(sum, start, own, 2, vectors_number(client, "alpha"));
    }
    trib_contacts_step(w, sum, 2, (uint32_t)vectors_number(item, "inputs.s"));
    check_near(w, vectors_at(item, "outputs.w_next"), 2);
    json_decref(file);
}

/* --- S2S and S2A --- */

static double mean_of(const double *x, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i];
    return sum / (double)count;
}

static void a_round_writes_back_to_the_sampled_or_to_all(void **state) {
    (void)state;
    static const struct {
        bool to_all;
        const char *after, *mean, *mixed;
    } rows[] = {{false, "outputs.s2s", "outputs.s2s_network_mean", "outputs.after_d2d_s2s"},
                {true, "outputs.s2a", "outputs.s2a_network_mean", "outputs.after_d2d_s2a"}};
    json_t *file = vectors_load("semidec.json");
    const json_t *item = vectors_case(file, "one_round");
    double matrix[16];
    for (size_t i = 0; i < 4; i++)
        vectors_numbers(json_array_get(vectors_at(item, "inputs.W"), i), &matrix[4 * i], 4);
    for (size_t row = 0; row < 2; row++) {
        double x[4], mixed[4];
        vectors_numbers(vectors_at(item, "inputs.x"), x, 4);
        trib_semidec_average(x, 4, 1, (const size_t[]){0, 2}, 2, rows[row].to_all);
        check_near(x, vectors_at(item, rows[row].after), 4);
        assert_true(mean_of(x, 4) == vectors_number(item, rows[row].mean));
        trib_semidec_gossip(matrix, x, mixed, 4, 1);
        check_near(mixed, vectors_at(item, rows[row].mixed), 4);
    }
    json_decref(file);
}

static void only_s2s_keeps_the_mean_of_the_network(void **state) {
    (void)state;
    json_t *file = vectors_load("semidec.json");
    const json_t *item = vectors_case(file, "mean_and_variance_over_all_pairs");
    static const char *const means_of[] = {"outputs.s2s_means", "outputs.s2a_means"};
    for (size_t to_all = 0; to_all < 2; to_all++) {
        double means[6];
        size_t pairs = 0;
        for (size_t a = 0; a < 4; a++) {
            for (size_t b = a + 1; b < 4; b++) {
                double x[4];
                vectors_numbers(vectors_at(item, "inputs.x"), x, 4);
                trib_semidec_average(x, 4, 1, (const size_t[]){a, b}, 2, to_all);
                means[pairs++] = mean_of(x, 4);
            }
        }
        check_near(means, vectors_at(item, means_of[to_all]), 6);
    }
    json_decref(file);
}

/* --- CDFL --- */

static void a_model_goes_into_clusters_by_its_shares_and_comes_back_so(void **state) {
    (void)state;
    json_t *file = vectors_load("semidec.json");
    const json_t *item = vectors_case(file, "cdfl_smallest_version");
    double clusters[4], share[2], upload[2], reply[2];
    for (size_t k = 0; k < 2; k++)
        vectors_numbers(json_array_get(vectors_at(item, "inputs.clusters"), k), &clusters[2 * k],
                        2);
    vectors_numbers(vectors_at(item, "inputs.mixture"), share, 2);
    vectors_numbers(vectors_at(item, "inputs.upload"), upload, 2);
    double rate =
        vectors_number(item, "inputs.alpha") / sqrt(1 + vectors_number(item, "inputs.staleness"));
    trib_clusters_take(clusters, 2, 2, share, upload, rate);
    for (size_t k = 0; k < 2; k++)
        check_near(&clusters[2 * k], json_array_get(vectors_at(item, "outputs.clusters"), k), 2);
    trib_clusters_reply(clusters, 2, 2, share, reply);
    check_near(reply, vectors_at(item, "outputs.reply"), 2);
    json_decref(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_follow_the_scores),
        cmocka_unit_test(every_run_that_goes_on_needs_a_unit),
        cmocka_unit_test(slow_and_fast_bring_the_same_progress),
        cmocka_unit_test(the_server_averages_itself_with_its_contacts),
        cmocka_unit_test(a_round_writes_back_to_the_sampled_or_to_all),
        cmocka_unit_test(only_s2s_keeps_the_mean_of_the_network),
        cmocka_unit_test(a_model_goes_into_clusters_by_its_shares_and_comes_back_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
