/* test_print.c - YAML that is printed is the same document when it is read. */
#include "cli/print.h"

#include "run/spec.h"
#include "support/check.h"
#include "support/env_faulty.h"
#include "wire/yaml.h"

static json_t *load(const char *text) {
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    return value;
}

static void check_text(const char *json, const char *expected) {
    struct trib_text text;
    json_t *value = load(json);
    trib_text_init(&text, trib_env_system());
    trib_yaml_add(&text, value);
    assert_false(text.is_failed);
    if (expected != NULL) {
        assert_string_equal(text.bytes, expected);
    }
    json_t *again = NULL;
    struct trib_error error = {0};
    if (trib_yaml_read(text.bytes, text.byte_count, &again, &error) != TRIB_OK) {
        fail_msg("%s\nread back: %s", text.bytes, error.text);
    }
    if (!json_equal(value, again)) {
        fail_msg("not the same when read back:\n%s", text.bytes);
    }
    json_decref(again);
    json_decref(value);
    trib_text_deinit(&text);
}

static void objects_are_blocks_and_short_lists_are_not(void **state) {
    (void)state;
    check_text("{\"name\":\"digits\",\"model\":{\"init\":\"upload\",\"tensors\":[]},"
               "\"train\":{},\"on\":[\"clients\",2,null]}",
               "name: digits\n"
               "model:\n"
               "  init: upload\n"
               "  tensors: []\n"
               "train: {}\n"
               "on: [clients, 2, null]\n");
    check_text(
        "{\"rules\":[{\"match\":\"*.w\",\"role\":\"freeze\"},{\"match\":\"b\",\"in\":[{}]}]}",
        "rules:\n"
        "  - match: \"*.w\"\n"
        "    role: freeze\n"
        "  - match: b\n"
        "    in:\n"
        "      - {}\n");
}

static void texts_that_look_like_something_else_are_quoted(void **state) {
    (void)state;
    check_text("{\"a\":\"true\",\"b\":\"1\",\"c\":\"0x1f\",\"d\":\"~\",\"e\":\"\",\"f\":\"1e3\","
               "\"g\":\"null\",\"h\":\"- x\",\"i\":\"a: b\",\"j\":\"#\",\"k\":\"x # y\","
               "\"l\":\" x\",\"m\":\"a\\nb\\t\\u00e9\\\"\\\\\",\"n\":\".5\",\"o\":\"---\","
               "\"p\":\"6h\",\"q\":\"*x\",\"r\":\"&x\",\"s\":\"!t\",\"t\":\"[\",\"u\":\".inf\"}",
               NULL);
    check_text("{\"true\":1,\"1\":2,\"a b\":3}", NULL);
    check_text("{\"p\":\"6h\"}", "p: 6h\n");
}

static void numbers_have_the_fewest_digits_that_keep_them(void **state) {
    (void)state;
    check_text(
        "{\"a\":0.1,\"b\":0.30000000000000004,\"c\":16.0,\"d\":1e300,\"e\":-9007199254740993}",
        "a: 0.1\nb: 0.30000000000000004\nc: 16.0\nd: 1e300\ne: -9007199254740993\n");
}

static void deep_documents_end_as_json(void **state) {
    (void)state;
    char json[256];
    size_t length = 0;
    for (int i = 0; i < 25; i++) {
        length += (size_t)snprintf(json + length, sizeof json - length, i % 2 ? "[" : "{\"k\":");
    }
    length += (size_t)snprintf(json + length, sizeof json - length, "1");
    for (int i = 24; i >= 0; i--) {
        length += (size_t)snprintf(json + length, sizeof json - length, i % 2 ? "]" : "}");
    }
    check_text(json, NULL);
}

static void scalars_stand_alone(void **state) {
    (void)state;
    check_text("\"x\"", "x\n");
    check_text("[1,2]", "[1, 2]\n");
    check_text("{}", "{}\n");
}

static void a_spec_with_every_default_survives(void **state) {
    (void)state;
    json_t *document =
        load("{\"name\":\"a\",\"model\":{\"init\":{\"trainer\":\"mlp\",\"features\":4,"
             "\"classes\":3},\"tensors\":[{\"match\":\"*.running_*\"}]}}");
    struct trib_spec *spec;
    assert_int_equal(trib_spec_parse(trib_env_system(), document, &spec, NULL), TRIB_OK);
    json_t *full = trib_spec_document(spec);
    char *text = json_dumps(full, JSON_COMPACT);
    assert_non_null(text);
    check_text(text, NULL);
    free(text);
    json_decref(full);
    json_decref(document);
    trib_spec_free(spec);
}

static void running_out_of_memory_fails_the_text(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    json_t *value = load("{\"a\":[1,2,3],\"b\":{\"c\":\"text\"}}");
    struct trib_text text;
    trib_env_faulty_fail(&faulty, 1);
    trib_text_init(&text, &faulty.env);
    trib_yaml_add(&text, value);
    assert_true(text.is_failed);
    trib_text_deinit(&text);
    trib_yaml_add(&text, NULL);
    assert_true(text.is_failed);
    trib_text_deinit(&text);
    json_decref(value);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_blocks_and_short_lists_are_not),
        cmocka_unit_test(texts_that_look_like_something_else_are_quoted),
        cmocka_unit_test(numbers_have_the_fewest_digits_that_keep_them),
        cmocka_unit_test(deep_documents_end_as_json),
        cmocka_unit_test(scalars_stand_alone),
        cmocka_unit_test(a_spec_with_every_default_survives),
        cmocka_unit_test(running_out_of_memory_fails_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
