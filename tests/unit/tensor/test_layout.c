/* test_layout.c - the rules of layout.h, but for roles (test_roles.c). */
#include "support/check.h"

#include "support/env_faulty.h"
#include "tensor/layout.h"
#include "tensor/safetensors.h"

static struct trib_layout *layout_of(const struct trib_tensor *tensors, size_t count) {
    struct trib_layout *layout = NULL;
    struct trib_error error;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), tensors, count, &layout, &error),
                     TRIB_OK);
    return layout;
}

/* In disorder, with a scalar, an empty tensor, and names where "a" < "a.b" < "aa" < "B" would be
 * wrong under any order but that of bytes. */
static const struct trib_tensor disorder[] = {
    {.name = "b", .rank = 2, .shape = {2, 3}},
    {.name = "aa", .rank = 1, .shape = {0}},
    {.name = "a.b", .rank = 0},
    {.name = "B", .rank = 1, .shape = {5}},
    {.name = "\xC3\xA9", .rank = 1, .shape = {4}},
};

static void dtypes_have_names_and_sizes(void **state) {
    (void)state;
    for (int i = 0; i < TRIB_DTYPE_COUNT; i++) {
        enum trib_dtype found = TRIB_DTYPE_COUNT;
        assert_true(trib_dtype_from_name(trib_dtype_name((enum trib_dtype)i), &found));
        assert_int_equal(found, i);
        assert_true(trib_dtype_bytes(found) >= 1 && trib_dtype_bytes(found) <= 8);
    }
    assert_int_equal(trib_dtype_bytes(TRIB_BF16), 2);
    assert_true(trib_dtype_is_float(TRIB_F8_E5M2));
    assert_false(trib_dtype_is_float(TRIB_BOOL));
    enum trib_dtype dtype;
    assert_false(trib_dtype_from_name("f32", &dtype));
    assert_false(trib_dtype_from_name("", &dtype));
}

static void tensors_are_sorted_by_bytes_and_numbered(void **state) {
    (void)state;
    struct trib_layout *layout = layout_of(disorder, 5);
    const char *const names[] = {"B", "a.b", "aa", "b", "\xC3\xA9"};
    const uint64_t offsets[] = {0, 5, 6, 6, 12};
    assert_int_equal(layout->tensor_count, 5);
    assert_int_equal(layout->element_count, 16);
    assert_int_equal(layout->data_bytes, 64);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(layout->tensors[i].name, names[i]);
        assert_int_equal(layout->tensors[i].element_offset, offsets[i]);
        assert_int_equal(layout->tensors[i].byte_offset, 4 * offsets[i]);
    }
    trib_layout_free(layout);
}

static void every_tensor_is_found_and_no_other(void **state) {
    (void)state;
    struct trib_layout *layout = layout_of(disorder, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_ptr_equal(trib_layout_find(layout, layout->tensors[i].name), &layout->tensors[i]);
    }
    const char *const absent[] = {"", "A", "a", "a.", "a.c", "aaa", "c", "\xC3\xAA"};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        assert_null(trib_layout_find(layout, absent[i]));
    }
    trib_layout_free(layout);
    layout = layout_of(NULL, 0);
    assert_null(trib_layout_find(layout, "a"));
    trib_layout_free(layout);
}

static void every_element_is_in_its_tensor(void **state) {
    (void)state;
    struct trib_layout *layout = layout_of(disorder, 5);
    for (uint64_t element = 0; element < 16; element++) {
        size_t index = trib_layout_tensor_at(layout, element);
        const struct trib_tensor *tensor = &layout->tensors[index];
        assert_true(tensor->element_offset <= element);
        assert_true(element < tensor->element_offset + tensor->element_count);
    }
    assert_int_equal(trib_layout_tensor_at(layout, 16), 5);
    assert_int_equal(trib_layout_tensor_at(layout, UINT64_MAX), 5);
    trib_layout_free(layout);
}

static void differences_are_named(void **state) {
    (void)state;
    struct trib_layout *model =
        layout_of((struct trib_tensor[]){{.name = "fc1.bias", .rank = 1, .shape = {10}},
                                         {.name = "fc1.weight", .rank = 2, .shape = {10, 4}}},
                  2);
    struct trib_layout *half = layout_of(
        (struct trib_tensor[]){{.name = "fc1.bias", .dtype = TRIB_BF16, .rank = 1, .shape = {10}}},
        1);
    struct trib_layout *narrow =
        layout_of((struct trib_tensor[]){{.name = "fc1.bias", .rank = 1, .shape = {10}},
                                         {.name = "fc1.weight", .rank = 2, .shape = {10, 3}}},
                  2);
    struct trib_error error;
    assert_int_equal(trib_layout_same(model, model, &error), TRIB_OK);
    assert_int_equal(trib_layout_same(model, half, &error), TRIB_ENOTFOUND);
    assert_string_equal(error.text, "tensor fc1.weight is missing");
    assert_int_equal(trib_layout_same(half, model, &error), TRIB_ENOTFOUND);
    assert_string_equal(error.text, "tensor fc1.weight is not in the model");
    assert_int_equal(trib_layout_same(model, narrow, &error), TRIB_ESHAPE);
    assert_string_equal(error.text, "tensor fc1.weight: shape [10,3], the model has [10,4]");
    assert_int_equal(trib_layout_same(model, narrow, NULL), TRIB_ESHAPE);
    trib_layout_free(model);
    trib_layout_free(half);
    trib_layout_free(narrow);
}

static void any_shape_fits_its_text(void **state) {
    (void)state;
    struct trib_tensor tensor = {.rank = TRIB_RANK_MAX};
    char text[TRIB_SHAPE_TEXT_BYTES];
    for (size_t i = 0; i < TRIB_RANK_MAX; i++) {
        tensor.shape[i] = UINT64_MAX;
    }
    assert_ptr_equal(trib_shape_text(&tensor, text, sizeof text), text);
    assert_int_equal(strlen(text), 8 * 20 + 7 + 2);
    tensor = (struct trib_tensor){.rank = 2, .shape = {784, 200}};
    assert_string_equal(trib_shape_text(&tensor, text, sizeof text), "[784,200]");
    tensor.rank = 0;
    assert_string_equal(trib_shape_text(&tensor, text, sizeof text), "[]");
}

static void a_shown_name_is_cut_between_characters(void **state) {
    (void)state;
    char name[128];
    assert_int_equal(trib_name_shown("fc1.weight"), 10);
    memset(name, 'x', 80);
    name[80] = '\0';
    assert_int_equal(trib_name_shown(name), 80);
    strcpy(name + 79, "\xE2\x82\xAC"); /* three bytes, from 79 to 81 */
    assert_int_equal(trib_name_shown(name), 79);
}

static void bad_tensors_are_refused(void **state) {
    (void)state;
    static char long_name[TRIB_TENSOR_NAME_BYTES_MAX + 2];
    memset(long_name, 'n', sizeof long_name - 1);
    const struct {
        struct trib_tensor tensor;
        enum trib_status status;
    } cases[] = {
        {{.name = ""}, TRIB_EINVALID},
        {{.name = "__metadata__"}, TRIB_EINVALID},
        {{.name = "a\nb"}, TRIB_EINVALID},
        {{.name = "a\x7F"}, TRIB_EINVALID},
        {{.name = "a\xC2\x85"}, TRIB_EINVALID},        /* U+0085, a control character */
        {{.name = "a\xC2"}, TRIB_EINVALID},            /* ends inside a character */
        {{.name = "a\x80"}, TRIB_EINVALID},            /* begins inside one */
        {{.name = "\xC0\xAF"}, TRIB_EINVALID},         /* overlong */
        {{.name = "\xE0\x9F\xBF"}, TRIB_EINVALID},     /* overlong */
        {{.name = "\xED\xA0\x80"}, TRIB_EINVALID},     /* surrogate */
        {{.name = "\xF0\x8F\xBF\xBF"}, TRIB_EINVALID}, /* overlong */
        {{.name = "\xF4\x90\x80\x80"}, TRIB_EINVALID}, /* beyond U+10FFFF */
        {{.name = "\xC2\xA0\xE2\x82\xAC\xF0\x9F\x8C\x8A"}, TRIB_OK},
        {{.name = "\xED\x9F\xBF\xF4\x8F\xBF\xBF"}, TRIB_OK},
        {{.name = long_name}, TRIB_ELIMIT},
        {{.name = long_name + 1}, TRIB_OK},
        {{.name = "a", .rank = TRIB_RANK_MAX + 1}, TRIB_ELIMIT},
        {{.name = "a", .rank = 2, .shape = {UINT64_C(1) << 32, UINT64_C(1) << 32}}, TRIB_ELIMIT},
        {{.name = "a", .rank = 1, .shape = {UINT64_C(1) << 62}}, TRIB_ELIMIT},
        {{.name = "a", .rank = 1, .shape = {UINT64_C(1) << 61}}, TRIB_ELIMIT},
        {{.name = "a", .rank = 2, .shape = {UINT64_MAX, 0}}, TRIB_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trib_layout *layout = NULL;
        struct trib_error error = {0};
        enum trib_status status =
            trib_layout_of_tensors(trib_env_system(), &cases[i].tensor, 1, &layout, &error);
        if (status != cases[i].status) {
            fail_msg("case %zu: %s (%s)", i, trib_status_name(status), error.text);
        }
        assert_true((layout != NULL) == (status == TRIB_OK));
        trib_layout_free(layout);
    }
}

static void a_name_is_there_once(void **state) {
    (void)state;
    const struct trib_tensor twice[] = {{.name = "w"}, {.name = "a"}, {.name = "w"}};
    struct trib_layout *layout = NULL;
    struct trib_error error;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), twice, 3, &layout, &error),
                     TRIB_EINVALID);
    assert_null(layout);
    assert_string_equal(error.text, "tensor w is there twice");
}

static void sums_that_would_wrap_are_refused(void **state) {
    (void)state;
    struct trib_tensor huge[] = {
        {.name = "a", .dtype = TRIB_U8, .rank = 1, .shape = {INT64_MAX}},
        {.name = "b", .dtype = TRIB_U8, .rank = 1, .shape = {1}},
    };
    struct trib_layout *layout = NULL;
    struct trib_error error;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), huge, 2, &layout, &error),
                     TRIB_ELIMIT);
    assert_string_equal(error.text, "the tensors have too many elements");
    for (size_t i = 0; i < 2; i++) {
        huge[i].dtype = TRIB_F32;
        huge[i].shape[0] = INT64_MAX / 4;
    }
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), huge, 2, &layout, &error),
                     TRIB_ELIMIT);
    assert_string_equal(error.text, "the tensors have too many bytes");
    assert_null(layout);
    huge[1].shape[0] = 0;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), huge, 2, &layout, &error), TRIB_OK);
    trib_layout_free(layout);
    assert_int_equal(
        trib_layout_of_tensors(trib_env_system(), huge, TRIB_TENSORS_MAX + 1, &layout, &error),
        TRIB_ELIMIT);
}

static void memory_that_runs_out_leaves_nothing(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&faulty, ++nth);
        struct trib_layout *layout = NULL;
        struct trib_error error;
        enum trib_status status = trib_layout_of_tensors(&faulty.env, disorder, 5, &layout, &error);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_true((layout != NULL) == (status == TRIB_OK));
        trib_layout_free(layout);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_int_equal(nth, 4);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dtypes_have_names_and_sizes),
        cmocka_unit_test(tensors_are_sorted_by_bytes_and_numbered),
        cmocka_unit_test(every_tensor_is_found_and_no_other),
        cmocka_unit_test(every_element_is_in_its_tensor),
        cmocka_unit_test(differences_are_named),
        cmocka_unit_test(any_shape_fits_its_text),
        cmocka_unit_test(a_shown_name_is_cut_between_characters),
        cmocka_unit_test(bad_tensors_are_refused),
        cmocka_unit_test(a_name_is_there_once),
        cmocka_unit_test(sums_that_would_wrap_are_refused),
        cmocka_unit_test(memory_that_runs_out_leaves_nothing),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
