/* test_evaluations.c - means by examples, the best version, target and patience. */
#include "run/evaluations.h"

#include <math.h>

#include "support/check.h"

static const struct trib_spec_evaluate highest = {.every = 1, .clients_min = 1};
static const struct trib_spec_evaluate lowest = {.every = 1, .clients_min = 1, .is_min = true};

static struct trib_evaluations begin(const struct trib_spec_evaluate *rules, double target) {
    struct trib_evaluations evaluations;
    trib_evaluations_init(&evaluations, rules, target);
    return evaluations;
}

static struct trib_evaluation_news add(struct trib_evaluations *evaluations, uint64_t version,
                                       uint64_t examples, double metric) {
    return trib_evaluations_add(evaluations, version, examples, metric, true);
}

static void the_mean_is_weighted_by_examples(void **state) {
    (void)state;
    struct trib_evaluations evaluations = begin(&highest, (double)NAN);
    add(&evaluations, 1, 100, 0.5);
    add(&evaluations, 1, 300, 0.75);
    assert_float_equal(evaluations.newest.metric, 0.6875, 0);
    /* A report without the metric counts as a report and leaves the mean alone. */
    trib_evaluations_add(&evaluations, 1, 1000, 0, false);
    assert_float_equal(evaluations.newest.metric, 0.6875, 0);
}

static void a_version_needs_enough_reports(void **state) {
    (void)state;
    const struct trib_spec_evaluate rules = {.every = 1, .clients_min = 3};
    struct trib_evaluations evaluations = begin(&rules, (double)NAN);
    assert_false(add(&evaluations, 1, 1, 0.5).is_evaluated);
    assert_false(add(&evaluations, 1, 1, 0.5).is_evaluated);
    assert_false(trib_evaluations_is_evaluated(&evaluations, 1));
    assert_true(add(&evaluations, 1, 1, 0.5).is_evaluated);
    assert_true(trib_evaluations_is_evaluated(&evaluations, 1));
    assert_false(trib_evaluations_is_evaluated(&evaluations, 1 + TRIB_EVALUATIONS_KEPT));
}

static void the_best_follows_the_mode_and_equals_keep_the_older(void **state) {
    (void)state;
    struct trib_evaluations evaluations = begin(&highest, (double)NAN);
    assert_true(add(&evaluations, 1, 1, 0.5).is_best);
    assert_false(add(&evaluations, 2, 1, 0.5).is_best);
    assert_true(add(&evaluations, 3, 1, 0.6).is_best);
    assert_int_equal(evaluations.best.version, 3);
    assert_true(add(&evaluations, 2, 1, 0.7).is_best); /* its mean is 0.6 now, and it is older */
    assert_int_equal(evaluations.best.version, 2);

    evaluations = begin(&lowest, (double)NAN);
    add(&evaluations, 1, 1, 0.5);
    assert_false(add(&evaluations, 2, 1, 0.6).is_best);
    assert_true(add(&evaluations, 3, 1, 0.4).is_best);
}

static void a_best_whose_mean_falls_gives_way(void **state) {
    (void)state;
    struct trib_evaluations evaluations = begin(&highest, (double)NAN);
    add(&evaluations, 1, 1, 0.5);
    add(&evaluations, 2, 1, 0.9);
    struct trib_evaluation_news news = add(&evaluations, 2, 3, 0.1);
    assert_true(news.is_best);
    assert_int_equal(evaluations.best.version, 1);
}

static void the_best_outlives_what_is_kept(void **state) {
    (void)state;
    struct trib_evaluations evaluations = begin(&highest, (double)NAN);
    add(&evaluations, 1, 1, 0.9);
    for (uint64_t version = 2; version < 200; version++)
        add(&evaluations, version, 1, 0.5);
    assert_int_equal(evaluations.best.version, 1);
    assert_float_equal(evaluations.best.metric, 0.9, 0);
    assert_int_equal(evaluations.without_best, 198);
    assert_false(trib_evaluations_takes(135, 199));
    assert_true(trib_evaluations_takes(136, 199));
    assert_false(trib_evaluations_takes(200, 199));
    /* What is no longer kept changes nothing. */
    assert_false(add(&evaluations, 135, 1, 5).is_evaluated);
    assert_int_equal(evaluations.best.version, 1);
}

static void patience_counts_evaluated_versions_after_the_best(void **state) {
    (void)state;
    struct trib_evaluations evaluations = begin(&highest, (double)NAN);
    add(&evaluations, 2, 1, 0.5);
    add(&evaluations, 1, 1, 0.1); /* older than the best */
    assert_int_equal(evaluations.without_best, 0);
    add(&evaluations, 3, 1, 0.4);
    add(&evaluations, 3, 1, 0.4); /* the same version again */
    assert_int_equal(evaluations.without_best, 1);
    add(&evaluations, 4, 1, 0.4);
    assert_int_equal(evaluations.without_best, 2);
    add(&evaluations, 5, 1, 0.6);
    assert_int_equal(evaluations.without_best, 0);
}

static void the_target_is_reached_from_the_right_side(void **state) {
    (void)state;
    struct trib_evaluations evaluations = begin(&highest, 0.9);
    add(&evaluations, 1, 1, 0.89);
    assert_false(evaluations.reached.is_set);
    add(&evaluations, 2, 1, 0.9);
    assert_true(evaluations.reached.is_set);
    assert_int_equal(evaluations.reached.version, 2);

    evaluations = begin(&lowest, 0.9);
    add(&evaluations, 1, 1, 0.95);
    assert_false(evaluations.reached.is_set);
    add(&evaluations, 2, 1, 0.89);
    assert_true(evaluations.reached.is_set);
}

static void a_version_without_the_metric_is_evaluated_but_never_best(void **state) {
    (void)state;
    struct trib_evaluations evaluations = begin(&highest, 0.9);
    struct trib_evaluation_news news = trib_evaluations_add(&evaluations, 1, 5, 0, false);
    assert_true(news.is_evaluated);
    assert_false(news.is_best);
    assert_true(isnan(evaluations.newest.metric));
    assert_true(add(&evaluations, 2, 5, -3).is_best);
}

static void the_largest_reports_do_not_overflow(void **state) {
    (void)state;
    struct trib_evaluations evaluations = begin(&highest, (double)NAN);
    for (int report = 0; report < 5000; report++)
        add(&evaluations, 1, UINT64_C(1) << 53, TRIB_METRIC_MAX);
    assert_true(fabs(evaluations.newest.metric / TRIB_METRIC_MAX - 1) < 1e-9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mean_is_weighted_by_examples),
        cmocka_unit_test(a_version_needs_enough_reports),
        cmocka_unit_test(the_best_follows_the_mode_and_equals_keep_the_older),
        cmocka_unit_test(a_best_whose_mean_falls_gives_way),
        cmocka_unit_test(the_best_outlives_what_is_kept),
        cmocka_unit_test(patience_counts_evaluated_versions_after_the_best),
        cmocka_unit_test(the_target_is_reached_from_the_right_side),
        cmocka_unit_test(a_version_without_the_metric_is_evaluated_but_never_best),
        cmocka_unit_test(the_largest_reports_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
