/* test_metadata.c - what an update says about itself. */
#include "support/check.h"

#include "codec/metadata.h"

/* One key; the reader starts from nothing. */
static bool read_one(const char *key, const char *value, struct trib_update_metadata *metadata,
                     struct trib_error *error) {
    *metadata = (struct trib_update_metadata){0};
    struct trib_metadata_reader reader = {metadata, error};
    return trib_metadata_read(key, value, &reader);
}

static void the_four_keys_are_read(void **state) {
    (void)state;
    struct trib_update_metadata metadata = {0};
    struct trib_metadata_reader reader = {&metadata, NULL};
    assert_true(trib_metadata_read("base_version", "12", &reader));
    assert_true(trib_metadata_read("examples", "18446744073709551615", &reader));
    assert_true(metadata.has_base && metadata.has_examples);
    assert_false(metadata.has_codec || metadata.has_metrics);
    assert_true(trib_metadata_read("codec", "dense", &reader));
    assert_true(trib_metadata_read("metrics", "{\"loss\":0.31}", &reader));
    assert_true(metadata.has_codec && metadata.has_metrics);
    assert_int_equal(metadata.base, 12);
    assert_true(metadata.examples == UINT64_MAX);
    assert_string_equal(metadata.codec, "dense");
    assert_string_equal(metadata.metrics, "{\"loss\":0.31}");
}

static void keys_of_others_are_skipped(void **state) {
    (void)state;
    struct trib_update_metadata metadata;
    assert_true(read_one("format", "pt", &metadata, NULL));
    assert_true(read_one("Examples", "many", &metadata, NULL));
    assert_false(metadata.has_base || metadata.has_examples || metadata.has_codec ||
                 metadata.has_metrics);
}

static void only_whole_numbers_are_numbers(void **state) {
    (void)state;
    static const char *const bad[] = {"",    " ",   "-1",  "+1",    "1.0",
                                      "1e3", "012", "0x1", " 1",    "1 ",
                                      "1\n", "a",   "1 2", "\"1\"", "18446744073709551616"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct trib_update_metadata metadata;
        struct trib_error error = {0};
        assert_false(read_one("examples", bad[i], &metadata, &error));
        assert_false(metadata.has_examples);
        assert_int_equal(error.status, TRIB_EINVALID);
        assert_string_equal(error.text, "examples in __metadata__ is not a whole number");
        assert_false(read_one("base_version", bad[i], &metadata, &error));
        assert_string_equal(error.text, "base_version in __metadata__ is not a whole number");
    }
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    struct trib_update_metadata metadata;
    struct trib_error error;
    char value[1025];
    memset(value, 'x', sizeof value);
    value[1024] = '\0';
    assert_false(read_one("metrics", value, &metadata, &error));
    assert_string_equal(error.text, "metrics in __metadata__ is too long");
    assert_true(read_one("metrics", value + 1, &metadata, &error));
    assert_false(read_one("codec", value + 1024 - 32, &metadata, &error));
    assert_string_equal(error.text, "codec in __metadata__ is not the name of a codec");
    assert_true(read_one("codec", value + 1024 - 31, &metadata, &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_four_keys_are_read),
        cmocka_unit_test(keys_of_others_are_skipped),
        cmocka_unit_test(only_whole_numbers_are_numbers),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests_name("metadata", tests, NULL, NULL);
}
