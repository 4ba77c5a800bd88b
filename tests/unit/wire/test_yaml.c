/* test_yaml.c - the YAML that people write has one meaning; everything else is refused. */
#include "wire/yaml.h"

#include <stdlib.h>

#include "support/check.h"
#include "support/json_faulty.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Reads a copy of the exact size, so that a sanitizer sees every step outside. */
static enum trib_status read_yaml(const char *text, size_t byte_count, json_t **document,
                                  struct trib_error *error) {
    char *copy = malloc(byte_count > 0 ? byte_count : 1);
    memcpy(copy, text, byte_count);
    *error = (struct trib_error){0};
    enum trib_status status = trib_yaml_read(copy, byte_count, document, error);
    free(copy);
    assert_int_equal(error->status, status);
    assert_int_equal(*document != NULL, status == TRIB_OK);
    return status;
}

static void check_value(const char *yaml, const char *json) {
    json_t *document;
    struct trib_error error;
    if (read_yaml(yaml, strlen(yaml), &document, &error) != TRIB_OK)
        fail_msg("%s: %s", yaml, error.text);
    json_t *expected = json_loads(json, JSON_DECODE_ANY, NULL);
    assert_non_null(expected);
    if (!json_equal(document, expected)) {
        char *actual = json_dumps(document, JSON_ENCODE_ANY);
        print_error("%s -> %s\n", yaml, actual);
        free(actual);
        fail();
    }
    json_decref(expected);
    json_decref(document);
}

/* YAML 1.2.2 section 10.3.2, core schema. */
static void plain_scalars_have_the_type_of_the_core_schema(void **state) {
    (void)state;
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"null", "null"},
        {"~", "null"},
        {"NULL", "null"},
        {"nULL", "\"nULL\""},
        {"true", "true"},
        {"True", "true"},
        {"FALSE", "false"},
        {"no", "\"no\""},
        {"yes", "\"yes\""},
        {"on", "\"on\""},
        {"y", "\"y\""},
        {"0", "0"},
        {"-0", "0"},
        {"007", "7"},
        {"+12", "12"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"9223372036854775807", "9223372036854775807"},
        {"0o17", "15"},
        {"0x1F", "31"},
        {"0o18", "\"0o18\""},
        {"0x", "\"0x\""},
        {"-0x1f", "\"-0x1f\""},
        {"0b1", "\"0b1\""},
        {"1_000", "\"1_000\""},
        {"1:30", "\"1:30\""},
        {"2024-01-01", "\"2024-01-01\""},
        {"1.5", "1.5"},
        {"1.", "1.0"},
        {".5", "0.5"},
        {"-.5e-3", "-0.0005"},
        {"1e3", "1000.0"},
        {"+1E+3", "1000.0"},
        {".", "\".\""},
        {"1e", "\"1e\""},
        {"1e+", "\"1e+\""},
        {"e3", "\"e3\""},
        {"1.2.3", "\"1.2.3\""},
        {"-", "[null]"},
        {"30s", "\"30s\""},
        {"\"12\"", "\"12\""},
        {"'true'", "\"true\""},
        {"\"\"", "\"\""},
        {"|\n  null\n", "\"null\\n\""},
        {">-\n  a\n  b\n", "\"a b\""},
    };
    for (size_t index = 0; index < COUNT(rows); index++)
        check_value(rows[index].yaml, rows[index].json);
}

static void containers_nest(void **state) {
    (void)state;
    check_value("{}", "{}");
    check_value("[]", "[]");
    check_value("a:\n- 1\n- {b: [x, y]}\n-\nc:\n", "{\"a\":[1,{\"b\":[\"x\",\"y\"]},null],"
                                                   "\"c\":null}");
    check_value("- - 1\n  - 2\n- []\n", "[[1,2],[]]");
    check_value("%YAML 1.2\n---\na: 1\n...\n", "{\"a\":1}");
    check_value("\xef\xbb\xbf"
                "a: 1 # comment\n",
                "{\"a\":1}");
    check_value("1: a\ntrue: b\nnull: c\n", "{\"1\":\"a\",\"true\":\"b\",\"null\":\"c\"}");
    check_value("<<: {a: 1}\n", "{\"<<\":{\"a\":1}}"); /* no merge keys in 1.2 */
}

/* The example of the design document. */
static void reads_a_spec(void **state) {
    (void)state;
    check_value("name: chest-xray\n"
                "model:\n"
                "  init: upload          # PUT by the operator\n"
                "  tensors: [{match: \"*.running_*\", role: average}, {match: \"encoder.*\", role: "
                "freeze}]\n"
                "strategy: {preset: fedavg, fraction: 0.5, quorum: 3, deadline: auto, "
                "first_deadline: 6h, short: wait}\n"
                "train: {steps: 200, lr: 0.01}\n"
                "evaluate: {every: 1, on: [clients, evaluators], metric: auc, mode: max}\n"
                "keep: {versions: {last: 5, best: true}, disk: 200GiB}\n",
                "{\"name\":\"chest-xray\",\"model\":{\"init\":\"upload\",\"tensors\":[{\"match\":"
                "\"*.running_*\",\"role\":\"average\"},{\"match\":\"encoder.*\",\"role\":\"freeze\""
                "}]},\"strategy\":{\"preset\":\"fedavg\",\"fraction\":0.5,\"quorum\":3,"
                "\"deadline\":\"auto\",\"first_deadline\":\"6h\",\"short\":\"wait\"},\"train\":{"
                "\"steps\":200,\"lr\":0.01},\"evaluate\":{\"every\":1,\"on\":[\"clients\","
                "\"evaluators\"],\"metric\":\"auc\",\"mode\":\"max\"},\"keep\":{\"versions\":{"
                "\"last\":5,\"best\":true},\"disk\":\"200GiB\"}}");
}

static void a_json_file_is_valid_input(void **state) {
    (void)state;
    check_value("{\n\t\"a\": [1, 2.5e3, true, null],\n\t\"b\": \"\\ud83d\\ude00 \\/ \\u00e4\"\n}",
                "{\"a\":[1,2500.0,true,null],\"b\":\"\\ud83d\\ude00 / \\u00e4\"}");
    check_value("[1, {\"a\": 2}]", "[1,{\"a\":2}]");
    check_value(" {a: 1, \"b\": x}", "{\"a\":1,\"b\":\"x\"}"); /* a flow mapping, no JSON */
}

static void what_has_two_meanings_is_refused_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *yaml;
        enum trib_status status;
        const char *error;
    } rows[] = {
        {"a: &x 1\nb: *x\n", TRIB_EMALFORMED, "line 1, column 4: anchors are not allowed"},
        {"a: &x [1]\n", TRIB_EMALFORMED, "line 1, column 4: anchors are not allowed"},
        {"- *x\n", TRIB_EMALFORMED, "line 1, column 3: aliases are not allowed"},
        {"a: !!str 1\n", TRIB_EMALFORMED, "line 1, column 4: tags are not allowed"},
        {"a: ! 1\n", TRIB_EMALFORMED, "line 1, column 4: tags are not allowed"},
        {"a: !!map {}\n", TRIB_EMALFORMED, "line 1, column 4: tags are not allowed"},
        {"a: 1\n---\nb: 2\n", TRIB_EMALFORMED, "line 2, column 1: a second document"},
        {"a: 1\nb: 2\na: 3\n", TRIB_EMALFORMED, "line 3, column 1: a is there twice"},
        {"{\"a\": 1, \"a\": 2}", TRIB_EMALFORMED, "line 1, column 10: a is there twice"},
        {"a: {b: 1, 'b': 2}\n", TRIB_EMALFORMED, "line 1, column 11: b is there twice"},
        {"[a]: 1\n", TRIB_EMALFORMED, "line 1, column 1: a key must be a text"},
        {"? {a: 1}\n: 2\n", TRIB_EMALFORMED, "line 1, column 3: a key must be a text"},
        {"'': 1\n", TRIB_EMALFORMED, "line 1, column 1: an empty key"},
        {"a: .inf\n", TRIB_EMALFORMED, "line 1, column 4: infinity and NaN are not allowed"},
        {"a: .NaN\n", TRIB_EMALFORMED, "line 1, column 4: infinity and NaN are not allowed"},
        {"a: 1e999\n", TRIB_EMALFORMED, "line 1, column 4: the number is too large"},
        {"a: 9223372036854775808\n", TRIB_EMALFORMED, "line 1, column 4: the number is too large"},
        {"a: 0xffffffffffffffff\n", TRIB_EMALFORMED, "line 1, column 4: the number is too large"},
        {"a: \"x\\0y\"\n", TRIB_EMALFORMED, "line 1, column 4: a NUL character"},
        {"", TRIB_EMALFORMED, "the document is empty"},
        {"# only a comment\n", TRIB_EMALFORMED, "the document is empty"},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        json_t *document;
        struct trib_error error;
        enum trib_status status =
            read_yaml(rows[index].yaml, strlen(rows[index].yaml), &document, &error);
        if (status == TRIB_OK)
            fail_msg("accepted: %s", rows[index].yaml);
        assert_int_equal(status, rows[index].status);
        assert_string_equal(error.text, rows[index].error);
    }
}

static void broken_syntax_is_refused_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *yaml, *place;
    } rows[] = {
        {"a: [1, 2\n", "line 2, column 1: "},
        {"a: 1\n b: 2\n", "line 2, column 3: "},
        {"a: 'x\n", "line 2, column 1: "},
        {"a:\n\t- 1\n", "line 2, column 1: "},
        {"{a: 1", "line 2, column 1: "},
        {"a: \xff\n", "byte 3: "},
        {"a: \xc3", "byte 3: "},
        {"a: \x01\n", "byte 3: "},
        {"a: @x\n", "line 1, column 4: "},
        {"a: \"\\ud83d\\ude00\"\n", "line 1, column 7: "},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        json_t *document;
        struct trib_error error;
        assert_int_equal(read_yaml(rows[index].yaml, strlen(rows[index].yaml), &document, &error),
                         TRIB_EMALFORMED);
        if (strncmp(error.text, rows[index].place, strlen(rows[index].place)) != 0)
            fail_msg("%s: %s", rows[index].yaml, error.text);
    }
    json_t *document;
    struct trib_error error;
    assert_int_equal(read_yaml("a: x\0y\n", 7, &document, &error), TRIB_EMALFORMED);
}

static void depth_and_size_have_limits(void **state) {
    (void)state;
    char text[2 * (TRIB_YAML_DEPTH_MAX + 1)];
    json_t *document;
    struct trib_error error;
    for (size_t depth = TRIB_YAML_DEPTH_MAX; depth <= TRIB_YAML_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(read_yaml(text, 2 * depth, &document, &error),
                         depth <= TRIB_YAML_DEPTH_MAX ? TRIB_OK : TRIB_ELIMIT);
        json_decref(document);
    }
    assert_string_equal(error.text, "line 1, column 33: nested too deeply");
    char *large = malloc(TRIB_YAML_BYTES_MAX + 1);
    memset(large, ' ', TRIB_YAML_BYTES_MAX + 1);
    large[0] = '1';
    assert_int_equal(read_yaml(large, TRIB_YAML_BYTES_MAX, &document, &error), TRIB_OK);
    json_decref(document);
    assert_int_equal(read_yaml(large, TRIB_YAML_BYTES_MAX + 1, &document, &error), TRIB_ELIMIT);
    /* A file of nothing but opening brackets ends at the limit of depth, not of memory. */
    memset(large, '[', TRIB_YAML_BYTES_MAX);
    assert_int_equal(read_yaml(large, TRIB_YAML_BYTES_MAX, &document, &error), TRIB_ELIMIT);
    free(large);
}

static void survives_every_failed_allocation_of_jansson(void **state) {
    (void)state;
    const char *text = "a: [1, 2.5, x, ~, true]\nb: {c: {d: \"e\"}}\n";
    json_faulty_begin();
    uint64_t nth = 0;
    do {
        json_t *document;
        struct trib_error error;
        json_faulty_fail(++nth);
        enum trib_status status = read_yaml(text, strlen(text), &document, &error);
        assert_int_equal(status, json_faulty_has_failed() ? TRIB_EMEMORY : TRIB_OK);
        json_decref(document);
        assert_int_equal(json_faulty_blocks_live(), 0);
    } while (json_faulty_has_failed());
    json_faulty_end();
    assert_true(nth > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_scalars_have_the_type_of_the_core_schema),
        cmocka_unit_test(containers_nest),
        cmocka_unit_test(reads_a_spec),
        cmocka_unit_test(a_json_file_is_valid_input),
        cmocka_unit_test(what_has_two_meanings_is_refused_with_its_place),
        cmocka_unit_test(broken_syntax_is_refused_with_its_place),
        cmocka_unit_test(depth_and_size_have_limits),
        cmocka_unit_test(survives_every_failed_allocation_of_jansson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
