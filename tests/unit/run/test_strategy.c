/* test_strategy.c - the presets are the published algorithms. */
#include "run/strategy.h"

#include <jansson.h>

#include "support/check.h"

static void presets_have_the_published_numbers(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum trib_optimizer_kind kind;
        double lr, momentum, beta1;
        const char *train;
        bool is_pace_fixed;
        const struct trib_policy *policy;
    } rows[] = {
        {"fedavg", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{}", false, &trib_policy_rounds},
        {"fedsgd", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{\"steps\": 1, \"batch\": 0}", true,
         &trib_policy_rounds},
        {"fedprox", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{\"mu\": 0.01}", false, &trib_policy_rounds},
        {"fedavgm", TRIB_OPTIMIZER_MOMENTUM, 1, 0.9, 0.9, "{}", false, &trib_policy_rounds},
        {"fedadagrad", TRIB_OPTIMIZER_ADAGRAD, 0.1, 0, 0, "{}", false, &trib_policy_rounds},
        {"fedadam", TRIB_OPTIMIZER_ADAM, 0.01, 0, 0.9, "{}", false, &trib_policy_rounds},
        {"fedyogi", TRIB_OPTIMIZER_YOGI, 0.01, 0, 0.9, "{}", false, &trib_policy_rounds},
        {"fedcm", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{\"rule\": \"fedcm\", \"beta\": 0.1}", false,
         &trib_policy_rounds},
        {"scaffold", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{\"rule\": \"scaffold\"}", false,
         &trib_policy_rounds},
        {"scaffold_m", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{\"rule\": \"scaffold_m\", \"beta\": 0.1}",
         false, &trib_policy_rounds},
        {"fedspeed", TRIB_OPTIMIZER_SGD, 1, 0, 0.9,
         "{\"rule\": \"fedspeed\", \"lambda\": 10, \"rho\": 0.1, \"alpha\": 1}", false,
         &trib_policy_rounds},
        {"fedbuff", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{}", false, &trib_policy_buffer},
        {"fedasync", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{}", false, &trib_policy_async},
        {"fedasmu", TRIB_OPTIMIZER_SGD, 1, 0, 0.9,
         "{\"refresh_at\": 0.5, \"refresh_gamma\": 1.0, \"refresh_upsilon\": 0.5}", false,
         &trib_policy_async},
        {"asyncfedavg", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{}", false, &trib_policy_buffer},
        {"dbw", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{}", false, &trib_policy_rounds},
        {"fedfix", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{}", false, &trib_policy_ticks},
        {"favano", TRIB_OPTIMIZER_SGD, 1, 0, 0.9,
         "{\"steps\": 20, \"until_called\": true, \"per_step\": true}", false,
         &trib_policy_contacts},
        {"s2s", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{\"steps\": 1000, \"until_called\": true}", false,
         &trib_policy_contacts},
        {"s2a", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{}", false, &trib_policy_rounds},
        {"cdfl", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{}", false, &trib_policy_async},
        {"fedcompass", TRIB_OPTIMIZER_SGD, 0.9, 0, 0.9, "{}", false, &trib_policy_groups},
        {"sum", TRIB_OPTIMIZER_SGD, 1, 0, 0.9, "{}", false, &trib_policy_sum},
    };
    size_t count = sizeof rows / sizeof *rows;
    for (size_t index = 0; index < count; index++) {
        const struct trib_strategy *strategy = trib_strategy_find(rows[index].name);
        assert_non_null(strategy);
        assert_ptr_equal(strategy->pace->policy, rows[index].policy);
        assert_int_equal(strategy->optimizer->kind, rows[index].kind);
        assert_int_equal(strategy->optimizer->variant, TRIB_VARIANT_PAPER);
        assert_true(strategy->optimizer->lr == rows[index].lr);
        assert_true(strategy->optimizer->momentum == rows[index].momentum);
        assert_true(strategy->optimizer->beta1 == rows[index].beta1);
        assert_true(strategy->optimizer->beta2 == 0.99);
        assert_true(strategy->optimizer->tau == 0.001);
        assert_string_equal(strategy->train, rows[index].train);
        assert_int_equal(strategy->is_pace_fixed, rows[index].is_pace_fixed);
    }
    assert_non_null(trib_strategy_at(count - 1));
    assert_null(trib_strategy_at(count));
    assert_null(trib_strategy_find("fedmagic"));
}

static void the_first_preset_is_the_default(void **state) {
    (void)state;
    assert_string_equal(trib_strategy_at(0)->name, "fedavg");
}

static void client_settings_are_json_objects(void **state) {
    (void)state;
    const struct trib_strategy *strategy;
    for (size_t index = 0; (strategy = trib_strategy_at(index)); index++) {
        json_t *train = json_loads(strategy->train, JSON_REJECT_DUPLICATES, NULL);
        assert_true(json_is_object(train));
        json_decref(train);
    }
}

static void every_optimizer_has_usual_settings_in_range(void **state) {
    (void)state;
    for (int kind = 0; kind < TRIB_OPTIMIZER_COUNT; kind++) {
        const struct trib_optimizer *usual = trib_optimizer_usual((enum trib_optimizer_kind)kind);
        assert_int_equal(usual->kind, kind);
        assert_true(usual->lr > 0 && usual->tau > 0);
        assert_true(usual->momentum >= 0 && usual->momentum < 1);
        assert_true(usual->beta1 >= 0 && usual->beta1 < 1);
        assert_true(usual->beta2 >= 0 && usual->beta2 < 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_have_the_published_numbers),
        cmocka_unit_test(the_first_preset_is_the_default),
        cmocka_unit_test(client_settings_are_json_objects),
        cmocka_unit_test(every_optimizer_has_usual_settings_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
