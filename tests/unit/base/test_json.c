/* test_json.c - tables of documents, and a comparison with jansson on broken ones. */
#include "base/json.h"

#include <locale.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/random.h"
#include "support/check.h"

static struct trib_json json_of(const char *text) {
    struct trib_json json;
    trib_json_init(&json, text, strlen(text));
    return json;
}

/* Read to the end; true when the document is whole. */
static bool is_accepted(const void *bytes, size_t byte_count) {
    struct trib_json json;
    trib_json_init(&json, bytes, byte_count);
    for (;;) {
        enum trib_json_kind kind = trib_json_next(&json);
        if (kind == TRIB_JSON_END || kind == TRIB_JSON_ERROR)
            return kind == TRIB_JSON_END;
    }
}

static void test_tokens_come_in_order(void **state) {
    (void)state;
    struct trib_json json =
        json_of(" {\"a\" : [1, true, {}], \"b\":null ,\"c\":\"x\", \"d\":false}\n");
    static const enum trib_json_kind kinds[] = {
        TRIB_JSON_OBJECT, TRIB_JSON_KEY,    TRIB_JSON_ARRAY,      TRIB_JSON_NUMBER,
        TRIB_JSON_TRUE,   TRIB_JSON_OBJECT, TRIB_JSON_OBJECT_END, TRIB_JSON_ARRAY_END,
        TRIB_JSON_KEY,    TRIB_JSON_NULL,   TRIB_JSON_KEY,        TRIB_JSON_STRING,
        TRIB_JSON_KEY,    TRIB_JSON_FALSE,  TRIB_JSON_OBJECT_END, TRIB_JSON_END,
        TRIB_JSON_END,
    };
    for (size_t index = 0; index < sizeof kinds / sizeof *kinds; index++) {
        assert_int_equal(trib_json_next(&json), kinds[index]);
        assert_int_equal(json.kind, kinds[index]);
        if (index == 1)
            assert_true(trib_json_is(&json, "a"));
        if (index == 5)
            assert_int_equal(json.depth, 3);
    }
    assert_false(json.is_failed);
}

static void test_text_is_borrowed_from_the_input(void **state) {
    (void)state;
    const char *text = "[\"abc\",-1.5e3]";
    struct trib_json json = json_of(text);
    trib_json_next(&json);
    trib_json_next(&json);
    assert_ptr_equal(json.text, text + 2);
    assert_int_equal(json.text_bytes, 3);
    assert_int_equal(trib_json_offset(&json), 6);
    trib_json_next(&json);
    assert_ptr_equal(json.text, text + 7);
    assert_int_equal(json.text_bytes, 6);
}

static void test_whole_documents(void **state) {
    (void)state;
    static const char *const documents[] = {
        "0",
        "-0",
        "1.25E-3",
        "\"\"",
        "null",
        " true ",
        "[]",
        "{}",
        "[[],{}]",
        "{\"\":0}",
        "[1,\n2]",
        "\"\\u00e9\\n\\/\\\\\\\"\"",
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\x8a\x7f\"",
        "\"\\ud800\"", /* grammar allows it; copy_text does not */
        "{\"a\":1,\"a\":2}",
    };
    for (size_t index = 0; index < sizeof documents / sizeof *documents; index++) {
        if (!is_accepted(documents[index], strlen(documents[index])))
            fail_msg("%s was refused", documents[index]);
    }
}

static void test_broken_documents(void **state) {
    (void)state;
    static const char *const documents[] = {
        "",
        " ",
        "[",
        "{",
        "]",
        "}",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{1:2}",
        "{\"a\" 1}",
        "{\"a\":1]",
        "[1}",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "0x1",
        "1 2",
        "[]]",
        "truth",
        "tru",
        "nul",
        "NaN",
        "Infinity",
        "'a'",
        "\"",
        "\"a",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"\t\"",
        "// c\n1",
        "[1]/**/",
        "\xef\xbb\xbf[]",
        "[\"a\",\"b\":1]",
        "{\"a\":1 \"b\":2}",
        "{\"a\"::1}",
        "[1,,2]",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xe0\x9f\xbf\"",
        "\"\xed\xa0\x80\"",
        "\"\xf0\x8f\xbf\xbf\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xe2\x82\"",
        "\"\x80\"",
    };
    for (size_t index = 0; index < sizeof documents / sizeof *documents; index++) {
        if (is_accepted(documents[index], strlen(documents[index])))
            fail_msg("document %zu was accepted: %s", index, documents[index]);
    }
    assert_false(is_accepted("[1]\0", 4));
    assert_false(is_accepted("\"a\0b\"", 5));
    assert_false(is_accepted(NULL, 0));
}

static void test_errors_stay(void **state) {
    (void)state;
    struct trib_json json = json_of("[1,] []");
    trib_json_next(&json);
    trib_json_next(&json);
    assert_int_equal(trib_json_next(&json), TRIB_JSON_ERROR);
    assert_true(json.is_failed);
    assert_int_equal(trib_json_next(&json), TRIB_JSON_ERROR);
    assert_false(trib_json_skip(&json));
}

static void test_depth_is_bounded(void **state) {
    (void)state;
    char text[2 * (TRIB_JSON_DEPTH_MAX + 1)];
    for (size_t depth = TRIB_JSON_DEPTH_MAX; depth <= TRIB_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_true(is_accepted(text, 2 * depth) == (depth == TRIB_JSON_DEPTH_MAX));
    }
}

static void test_skip_passes_one_value(void **state) {
    (void)state;
    struct trib_json json = json_of("{\"a\":{\"b\":[1,{\"c\":2}]},\"d\":3,\"e\":[4]}");
    trib_json_next(&json);
    trib_json_next(&json);
    assert_true(trib_json_skip(&json));
    assert_int_equal(trib_json_next(&json), TRIB_JSON_KEY);
    assert_true(trib_json_is(&json, "d"));
    assert_true(trib_json_skip(&json));
    trib_json_next(&json);
    trib_json_next(&json);
    assert_true(trib_json_skip(&json));  /* 4 */
    assert_false(trib_json_skip(&json)); /* the array ends */
    assert_int_equal(trib_json_next(&json), TRIB_JSON_OBJECT_END);

    json = json_of("[[1,2");
    trib_json_next(&json);
    assert_false(trib_json_skip(&json));
}

static void test_escapes_are_decoded(void **state) {
    (void)state;
    char text[32];
    struct trib_json json =
        json_of("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83c\\udf0a\"");
    trib_json_next(&json);
    assert_true(json.has_escape);
    assert_true(trib_json_copy_text(&json, text, sizeof text));
    const char *plain = "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\x8a";
    assert_string_equal(text, plain);
    assert_true(trib_json_is(&json, plain));
    assert_false(trib_json_is(&json, "\"\\/\b"));
    assert_false(trib_json_is(&json, ""));
}

static void test_copies_fit_or_fail(void **state) {
    (void)state;
    char text[8];
    struct trib_json json = json_of("\"tide\"");
    trib_json_next(&json);
    assert_false(json.has_escape);
    assert_false(trib_json_copy_text(&json, text, 4));
    assert_true(trib_json_copy_text(&json, text, 5));
    assert_string_equal(text, "tide");
    assert_false(trib_json_copy_text(&json, text, 0));
    json = json_of("\"\"");
    trib_json_next(&json);
    assert_true(trib_json_copy_text(&json, text, 1));
    assert_string_equal(text, "");
    json = json_of("7");
    trib_json_next(&json);
    assert_false(trib_json_copy_text(&json, text, sizeof text));
    assert_false(trib_json_is(&json, "7"));
}

static void test_texts_that_c_cannot_hold_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "\"a\\u0000\"",       "\"\\ud800\"",         "\"\\udc00\"", "\"\\ud800\\u0041\"",
        "\"\\ud800\\ud800\"", "\"\\ud800\\n12345\"", "\"\\ud83cx\""};
    char text[32];
    for (size_t index = 0; index < sizeof texts / sizeof *texts; index++) {
        struct trib_json json = json_of(texts[index]);
        assert_int_equal(trib_json_next(&json), TRIB_JSON_STRING);
        assert_false(trib_json_copy_text(&json, text, sizeof text));
        assert_false(trib_json_is(&json, "a"));
    }
}

static void test_unsigned_numbers_are_exact(void **state) {
    (void)state;
    uint64_t value = 1;
    struct trib_json json = json_of("18446744073709551615");
    trib_json_next(&json);
    assert_true(trib_json_u64(&json, &value));
    assert_true(value == UINT64_MAX);
    static const char *const others[] = {
        "18446744073709551616",    "-1",  "-0", "1.0", "1e2", "\"1\"",
        "99999999999999999999999", "true"};
    for (size_t index = 0; index < sizeof others / sizeof *others; index++) {
        json = json_of(others[index]);
        trib_json_next(&json);
        assert_false(trib_json_u64(&json, &value));
    }
    assert_true(value == UINT64_MAX);
}

static void test_doubles_are_nearest_in_any_locale(void **state) {
    (void)state;
    /* Where the locale is installed, strtod() would stop at the point. */
    const char *locale = setlocale(LC_ALL, "de_DE.UTF-8");
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0.1", 0.1},
        {"-1.5e3", -1500},
        {"9007199254740993", 9007199254740992.0}, /* halfway: to even */
        {"1.7976931348623157e308", 1.7976931348623157e308},
        {"4.9e-324", 0x1p-1074},
        {"1e-400", 0},
    };
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
        double value = -1;
        struct trib_json json = json_of(cases[index].text);
        trib_json_next(&json);
        assert_true(trib_json_f64(&json, &value));
        assert_true(value == cases[index].value);
    }
    double value = -1;
    struct trib_json json = json_of("1e309");
    trib_json_next(&json);
    assert_false(trib_json_f64(&json, &value));
    json = json_of("\"1\"");
    trib_json_next(&json);
    assert_false(trib_json_f64(&json, &value));
    char digits[1100];
    memset(digits, '1', sizeof digits);
    trib_json_init(&json, digits, sizeof digits);
    assert_int_equal(trib_json_next(&json), TRIB_JSON_NUMBER);
    assert_false(trib_json_f64(&json, &value));
    assert_true(value == -1);
    if (locale)
        setlocale(LC_ALL, "C");
}

/* Accepted, and every text and number in it is one that jansson takes as well. */
static bool is_plain(const char *bytes, size_t byte_count) {
    struct trib_json json;
    trib_json_init(&json, bytes, byte_count);
    for (;;) {
        char text[256];
        double number;
        switch (trib_json_next(&json)) {
        case TRIB_JSON_ERROR:
            return false;
        case TRIB_JSON_END:
            return true;
        case TRIB_JSON_KEY:
        case TRIB_JSON_STRING:
            if (!trib_json_copy_text(&json, text, sizeof text))
                return false;
            break;
        case TRIB_JSON_NUMBER:
            if (!trib_json_f64(&json, &number))
                return false;
            break;
        default:
            break;
        }
    }
}

static void test_agrees_with_jansson_on_broken_documents(void **state) {
    (void)state;
    static const char *const seeds[] = {
        "{\"a\":[1,-2.5e+3,true,null],\"b\":{\"c\":\"x\\u00e9\\n\"}}",
        "[0.1,\"\xc3\xa9\xf0\x9f\x8c\x8a\",{\"\":[]},[[{}]],false]",
        "{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}",
    };
    static const char pieces[] = "[]{}:,\"\\u0123 -+.eE\n\xc3\xa9\x80tfn";
    struct trib_random random;
    trib_random_init(&random, 1);
    size_t accepted = 0;
    for (int round = 0; round < 100000; round++) {
        char text[128];
        const char *seed = seeds[trib_random_below(&random, 3)];
        size_t count = strlen(seed);
        memcpy(text, seed, count);
        for (uint64_t left = 1 + trib_random_below(&random, 3); left > 0; left--) {
            size_t place = (size_t)trib_random_below(&random, count);
            char piece = pieces[trib_random_below(&random, sizeof pieces - 1)];
            switch (trib_random_below(&random, 3)) {
            case 0:
                text[place] = piece;
                break;
            case 1:
                memmove(text + place, text + place + 1, --count - place);
                break;
            default:
                memmove(text + place + 1, text + place, count++ - place);
                text[place] = piece;
                break;
            }
        }
        /* An exact copy, so that a sanitizer sees any read beyond the end. */
        char *exact = malloc(count);
        memcpy(exact, text, count);
        json_t *other = json_loadb(exact, count, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
        bool is_mine = is_plain(exact, count);
        if (is_mine != (other != NULL))
            fail_msg("%.*s: %s", (int)count, text, is_mine ? "accepted" : "refused");
        accepted += is_mine;
        json_decref(other);
        free(exact);
    }
    assert_in_range(accepted, 5000, 95000); /* both sides were tried */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_come_in_order),
        cmocka_unit_test(test_text_is_borrowed_from_the_input),
        cmocka_unit_test(test_whole_documents),
        cmocka_unit_test(test_broken_documents),
        cmocka_unit_test(test_errors_stay),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_skip_passes_one_value),
        cmocka_unit_test(test_escapes_are_decoded),
        cmocka_unit_test(test_copies_fit_or_fail),
        cmocka_unit_test(test_texts_that_c_cannot_hold_are_refused),
        cmocka_unit_test(test_unsigned_numbers_are_exact),
        cmocka_unit_test(test_doubles_are_nearest_in_any_locale),
        cmocka_unit_test(test_agrees_with_jansson_on_broken_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
