/* test_settings.c - settings have defaults and ranges; the order of rows is the client's own. */
#include "train/settings.h"

#include "support/check.h"

/* One setting has a value, all others their fallback. */
struct given {
    const char *name;
    double value;
};

static double find(const void *context, const char *name, double fallback) {
    const struct given *given = context;
    return strcmp(given->name, name) == 0 ? given->value : fallback;
}

static enum trib_status read_one(const char *name, double value, const char *client,
                                 uint64_t version, uint64_t seed,
                                 struct trib_train_settings *settings, struct trib_error *error) {
    const struct given given = {name, value};
    const struct trib_train_who who = {client, version, seed};
    return trib_train_settings_read(find, &given, &who, settings, error);
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

static void the_rate_decays_with_the_version(void **state) {
    (void)state;
    struct trib_train_settings settings;
    assert_int_equal(read_one("lr_decay", 0.5, "a", 3, 1, &settings, NULL), TRIB_OK);
    assert_true(settings.lr == 0.1 * 0.125);
}

static void a_value_out_of_range_is_named(void **state) {
    (void)state;
    static const struct given bad[] = {
        {"epochs", -1}, {"batch", 1e10}, {"lr", 1e300}, {"lr_decay", 1.5}};
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
        cmocka_unit_test(the_rate_decays_with_the_version),
        cmocka_unit_test(a_value_out_of_range_is_named),
        cmocka_unit_test(client_version_and_seed_decide_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
