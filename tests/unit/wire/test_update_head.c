/* test_update_head.c - headers and metadata of an update agree, or the update is refused. */
#include "wire/documents.h"

#include "support/check.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct trib_update_head read_texts(struct trib_update_texts texts) {
    struct trib_update_head head;
    struct trib_error error = {0};
    if (trib_update_head_decode(&texts, &head, &error) != TRIB_OK)
        fail_msg("%s", error.text);
    return head;
}

static void reads_each_field_by_itself(void **state) {
    (void)state;
    struct trib_update_head head = read_texts((struct trib_update_texts){0});
    assert_false(head.has_base || head.has_examples || head.has_codec || head.has_metrics);
    head = read_texts(
        (struct trib_update_texts){"0", "18446744073709551615", "dense", "{\"loss\": 1}"});
    assert_true(head.has_base && head.has_examples && head.has_codec && head.has_metrics);
    assert_int_equal(head.base, 0);
    assert_true(head.examples == UINT64_MAX); /* the run judges, not the wire */
    assert_string_equal(head.codec, "dense");
    assert_int_equal(head.metrics.count, 1);
}

static void bad_texts_are_refused_and_change_nothing(void **state) {
    (void)state;
    static const struct {
        struct trib_update_texts texts;
        const char *error;
    } rows[] = {
        {{.base = "-1"}, "base version: \"-1\" is not a whole number"},
        {{.base = ""}, "base version: \"\" is not a whole number"},
        {{.base = "latest"}, "base version: \"latest\" is not a whole number"},
        {{.base = "1, 1"}, "base version: \"1, 1\" is not a whole number"},
        {{.examples = "600.0"}, "examples: \"600.0\" is not a whole number"},
        {{.examples = "1e3"}, "examples: \"1e3\" is not a whole number"},
        {{.codec = "../dense"}, "codec: \"../dense\" is not a name"},
        {{.codec = "a12345678901234567890123456789012"},
         "codec: \"a1234567890123456789012345678901\" is not a name"},
        {{.metrics = "{\"loss\": \"x\"}"}, "metrics.loss: must be a finite number"},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        struct trib_update_head head = {.base = 77};
        struct trib_error error = {0};
        assert_true(trib_update_head_decode(&rows[index].texts, &head, &error) != TRIB_OK);
        assert_string_equal(error.text, rows[index].error);
        assert_int_equal(head.base, 77);
    }
}

static void either_source_is_enough(void **state) {
    (void)state;
    struct trib_update_head none = read_texts((struct trib_update_texts){0});
    struct trib_update_head full =
        read_texts((struct trib_update_texts){"12", "600", "topk", "{\"loss\": 1}"});
    const struct trib_update_head *pairs[][2] = {{&full, &none}, {&none, &full}, {&full, &full}};
    for (size_t index = 0; index < COUNT(pairs); index++) {
        struct trib_update_head head;
        assert_int_equal(trib_update_head_join(pairs[index][0], pairs[index][1], &head, NULL),
                         TRIB_OK);
        assert_int_equal(head.base, 12);
        assert_int_equal(head.examples, 600);
        assert_string_equal(head.codec, "topk");
        assert_true(head.has_metrics);
        assert_int_equal(head.metrics.count, 1);
    }
}

static void the_sources_complete_each_other(void **state) {
    (void)state;
    struct trib_update_head headers = read_texts((struct trib_update_texts){.base = "12"});
    struct trib_update_head metadata = read_texts((struct trib_update_texts){.examples = "5"});
    assert_int_equal(trib_update_head_join(&headers, &metadata, &headers, NULL), TRIB_OK);
    assert_int_equal(headers.base, 12);
    assert_int_equal(headers.examples, 5);
    assert_string_equal(headers.codec, "dense"); /* the default */
    assert_false(headers.has_metrics);
}

static void equal_values_may_be_spelt_differently(void **state) {
    (void)state;
    struct trib_update_head headers =
        read_texts((struct trib_update_texts){"1", "2", NULL, "{\"a\":0.5,\"b\":1}"});
    struct trib_update_head metadata =
        read_texts((struct trib_update_texts){"1", "2", NULL, "{\"b\": 1.0, \"a\": 5e-1}"});
    struct trib_update_head head;
    assert_int_equal(trib_update_head_join(&headers, &metadata, &head, NULL), TRIB_OK);
}

static void different_values_are_refused(void **state) {
    (void)state;
    static const struct {
        struct trib_update_texts metadata;
        const char *error;
    } rows[] = {
        {{.base = "13"}, "base version: header and __metadata__ differ"},
        {{.examples = "601"}, "examples: header and __metadata__ differ"},
        {{.codec = "topk"}, "codec: header and __metadata__ differ"},
        {{.metrics = "{\"loss\": 2}"}, "metrics: header and __metadata__ differ"},
        {{.metrics = "{}"}, "metrics: header and __metadata__ differ"},
    };
    struct trib_update_head headers =
        read_texts((struct trib_update_texts){"12", "600", "dense", "{\"loss\": 1}"});
    for (size_t index = 0; index < COUNT(rows); index++) {
        struct trib_update_head metadata = read_texts(rows[index].metadata);
        struct trib_update_head head = {.base = 77};
        struct trib_error error = {0};
        assert_int_equal(trib_update_head_join(&headers, &metadata, &head, &error), TRIB_EINVALID);
        assert_string_equal(error.text, rows[index].error);
        assert_int_equal(head.base, 77);
        /* The rule does not depend on which side is which. */
        assert_int_equal(trib_update_head_join(&metadata, &headers, &head, &error), TRIB_EINVALID);
    }
}

static void base_and_examples_are_required_in_the_end(void **state) {
    (void)state;
    struct trib_update_head none = read_texts((struct trib_update_texts){0});
    struct trib_update_head base = read_texts((struct trib_update_texts){.base = "1"});
    struct trib_update_head head;
    struct trib_error error = {0};
    assert_int_equal(trib_update_head_join(&none, &none, &head, &error), TRIB_EINVALID);
    assert_string_equal(error.text,
                        "Tributary-Base-Version is missing in the headers and in __metadata__");
    assert_int_equal(trib_update_head_join(&base, &none, &head, &error), TRIB_EINVALID);
    assert_string_equal(error.text,
                        "Tributary-Examples is missing in the headers and in __metadata__");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_field_by_itself),
        cmocka_unit_test(bad_texts_are_refused_and_change_nothing),
        cmocka_unit_test(either_source_is_enough),
        cmocka_unit_test(the_sources_complete_each_other),
        cmocka_unit_test(equal_values_may_be_spelt_differently),
        cmocka_unit_test(different_values_are_refused),
        cmocka_unit_test(base_and_examples_are_required_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
