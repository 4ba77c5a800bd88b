/* test_settings.c - settings have defaults and ranges; the order of rows is the client's own. */
#include "train/settings.h"

#include <stdio.h>

#include "support/check.h"

static enum trib_status read_text(const char *json, struct trib_train_settings *settings,
                                  struct trib_error *error) {
    return trib_train_settings_read(json, &(struct trib_train_who){"a", 0, 1}, settings, error);
}

/* One setting has a value, all others their fallback. */
static enum trib_status read_one(const char *name, double value, const char *client,
                                 uint64_t version, uint64_t seed,
                                 struct trib_train_settings *settings, struct trib_error *error) {
    char json[128];
    const struct trib_train_who who = {client, version, seed};
    (void)snprintf(json, sizeof json, "{\"%s\":%.17g}", name, value);
    return trib_train_settings_read(json, &who, settings, error);
}

static void what_is_absent_has_its_default(void **state) {
    (void)state;
    struct trib_train_settings settings;
    assert_int_equal(read_one("other", 7, "a", 0, 1, &settings, NULL), TRIB_OK);
    assert_int_equal(settings.epochs, 1);
    assert_int_equal(settings.steps, 0);
    assert_int_equal(settings.batch, 32);
    assert_true(settings.lr == 0.1 && settings.mu == 0.0);
}

static void words_choose_optimizer_and_rule(void **state) {
    (void)state;
    struct trib_train_settings settings;
    assert_int_equal(
        read_text("{\"optimizer\":\"adam\",\"beta2\":0.99,\"clip\":3}", &settings, NULL), TRIB_OK);
    assert_int_equal(settings.optimizer, TRIB_STEP_ADAM);
    assert_true(settings.beta1 == 0.9 && settings.beta2 == 0.99 && settings.epsilon == 1e-8);
    assert_true(settings.clip == 3.0 && settings.alpha == 0.0);
    assert_int_equal(
        read_text("{\"rule\":\"fedspeed\",\"lambda\":4,\"other\":[{}]}", &settings, NULL), TRIB_OK);
    assert_int_equal(settings.rule, TRIB_RULE_FEDSPEED);
    assert_int_equal(settings.optimizer, TRIB_STEP_SGD);
    assert_true(settings.lambda == 4.0 && settings.rho == 0.1 && settings.alpha == 1.0);
    assert_false(settings.is_ascent_normalised);
    assert_int_equal(read_text(NULL, &settings, NULL), TRIB_OK);
    assert_false(settings.is_until_called || settings.is_per_step);
    assert_int_equal(read_text("{\"until_called\":true,\"per_step\":true}", &settings, NULL),
                     TRIB_OK);
    assert_true(settings.is_until_called && settings.is_per_step);
}

static void what_is_no_object_of_settings_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *json, *words;
    } bad[] = {
        {"", "no JSON"},
        {"[]", "no JSON"},
        {"{\"lr\":0.1", "no JSON"},
        {"{\"lr\":\"fast\"}", "setting lr"},
        {"{\"optimizer\":\"adamw\"}", "adam"},
        {"{\"optimizer\":1}", "optimizer"},
        {"{\"rule\":\"scaffold_x\"}", "scaffold_m"},
        {"{\"rule\":\"fedspeed\",\"per_step\":true}", "fedspeed needs all steps"},
        {"{\"rule\":\"a name that is far too long\"}", "rule"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct trib_train_settings settings;
        struct trib_error error = {0};
        assert_int_equal(read_text(bad[i].json, &settings, &error), TRIB_EINVALID);
        if (strstr(error.text, bad[i].words) == NULL) {
            fail_msg("%s: %s", bad[i].json, error.text);
        }
    }
}

static void the_rate_decays_with_the_version(void **state) {
    (void)state;
    struct trib_train_settings settings;
    assert_int_equal(read_one("lr_decay", 0.5, "a", 3, 1, &settings, NULL), TRIB_OK);
    assert_true(settings.lr == 0.1 * 0.125);
}

static void a_value_out_of_range_is_named(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double value;
    } bad[] = {{"epochs", -1}, {"batch", 1e10}, {"lr", 1e300}, {"lr_decay", 1.5}, {"option", 3}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct trib_train_settings settings;
        struct trib_error error = {0};
        assert_int_equal(read_one(bad[i].name, bad[i].value, "a", 0, 1, &settings, &error),
                         TRIB_EINVALID);
        assert_non_null(strstr(error.text, bad[i].name));
    }
}

static void client_version_and_seed_decide_the_order(void **state) {
    (void)state;
    struct trib_train_settings first, other;
    assert_int_equal(read_one("", 0, "a", 2, 1, &first, NULL), TRIB_OK);
    assert_int_equal(read_one("", 0, "a", 2, 1, &other, NULL), TRIB_OK);
    assert_true(first.seed == other.seed);
    assert_int_equal(read_one("", 0, "b", 2, 1, &other, NULL), TRIB_OK);
    assert_true(first.seed != other.seed);
    assert_int_equal(read_one("", 0, "a", 3, 1, &other, NULL), TRIB_OK);
    assert_true(first.seed != other.seed);
    assert_int_equal(read_one("", 0, "a", 2, 2, &other, NULL), TRIB_OK);
    assert_true(first.seed != other.seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_absent_has_its_default),
        cmocka_unit_test(words_choose_optimizer_and_rule),
        cmocka_unit_test(what_is_no_object_of_settings_is_refused),
        cmocka_unit_test(the_rate_decays_with_the_version),
        cmocka_unit_test(a_value_out_of_range_is_named),
        cmocka_unit_test(client_version_and_seed_decide_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
