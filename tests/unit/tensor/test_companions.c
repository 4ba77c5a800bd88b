/* test_companions.c - what a strategy keeps about tensors is added, known again, and begins at zero. */
#include "support/check.h"

#include "support/env_faulty.h"
#include "tensor/safetensors.h"

static const struct trib_tensor network[] = {
    {.name = "bn.running_mean", .rank = 1, .shape = {4}},
    {.name = "control.knob", .rank = 1, .shape = {1}}, /* a name like any other: there is no knob */
    {.name = "fc.bias", .rank = 1, .shape = {3}},
    {.name = "fc.weight", .rank = 2, .shape = {3, 2}},
};
static const struct trib_role_rule rules[] = {{.match = "fc.*", .group = "head", .delta_max = 2}};

static struct trib_layout *model_of(const struct trib_env *env, const struct trib_layout *file,
                                    uint32_t companions, enum trib_status *status) {
    struct trib_layout *layout = NULL;
    *status = trib_layout_of_model(env, file, rules, 1, 16, &layout, NULL);
    if (*status == TRIB_OK) {
        *status = trib_layout_accompany(layout, companions, &layout, NULL);
    }
    return layout;
}

static struct trib_layout *accompanied(const struct trib_layout *file, uint32_t companions) {
    enum trib_status status;
    struct trib_layout *layout = model_of(trib_env_system(), file, companions, &status);
    assert_int_equal(status, TRIB_OK);
    return layout;
}

static struct trib_layout *file_of_network(void) {
    struct trib_layout *file = NULL;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), network, 4, &file, NULL), TRIB_OK);
    return file;
}

static void check_same(const struct trib_layout *a, const struct trib_layout *b) {
    assert_int_equal(a->tensor_count, b->tensor_count);
    assert_int_equal(a->group_count, b->group_count);
    for (size_t i = 0; i < a->tensor_count; i++) {
        assert_string_equal(a->tensors[i].name, b->tensors[i].name);
        assert_int_equal(a->tensors[i].role, b->tensors[i].role);
        assert_int_equal(a->tensors[i].group, b->tensors[i].group);
        assert_int_equal(a->tensors[i].is_companion, b->tensors[i].is_companion);
        assert_int_equal(a->tensors[i].element_offset, b->tensors[i].element_offset);
        assert_true(a->tensors[i].delta_max == b->tensors[i].delta_max);
    }
}

static void trained_tensors_get_companions_of_their_kind(void **state) {
    (void)state;
    struct trib_layout *file = file_of_network();
    struct trib_layout *layout = accompanied(file, TRIB_COMPANION_CONTROL);
    assert_int_equal(layout->tensor_count, 7); /* also of control.knob, which is trained */
    const struct trib_tensor *weight = trib_layout_find(layout, "fc.weight");
    const struct trib_tensor *control = trib_layout_find(layout, "control.fc.weight");
    assert_non_null(control);
    assert_int_equal(control->role, TRIB_ROLE_CONTROL);
    assert_true(control->is_companion && !weight->is_companion);
    assert_int_equal(control->group, weight->group);
    assert_true(control->delta_max == 2.0);
    assert_int_equal(control->element_count, 6);
    assert_null(trib_layout_find(layout, "control.bn.running_mean"));
    trib_layout_free(layout);

    layout = accompanied(file, TRIB_COMPANION_ALL);
    assert_int_equal(layout->tensor_count, 10);
    assert_int_equal(trib_layout_find(layout, "momentum.fc.bias")->role, TRIB_ROLE_AVERAGE);
    trib_layout_free(layout);
    trib_layout_free(file);
}

/* A restart reads the layout from the file of a version; another run may begin with one. */
static void a_version_file_tells_its_companions_by_name(void **state) {
    (void)state;
    struct trib_layout *file = file_of_network();
    for (uint32_t companions = 0; companions <= TRIB_COMPANION_ALL; companions++) {
        struct trib_layout *layout = accompanied(file, companions);
        for (uint32_t wanted = 0; wanted <= TRIB_COMPANION_ALL; wanted++) {
            struct trib_layout *again = accompanied(layout, wanted);
            struct trib_layout *expected = accompanied(file, wanted);
            check_same(again, expected);
            trib_layout_free(expected);
            trib_layout_free(again);
        }
        trib_layout_free(layout);
    }
    trib_layout_free(file);
}

static void they_begin_at_zero_whatever_the_file_holds(void **state) {
    (void)state;
    struct trib_layout *file = file_of_network();
    struct trib_layout *layout = accompanied(file, TRIB_COMPANION_CONTROL);
    struct trib_block *old = trib_safetensors_block(trib_env_system(), layout);
    float *values = (float *)(void *)(old->bytes + layout->data_offset);
    for (uint64_t i = 0; i < layout->element_count; i++) {
        values[i] = 1.0F;
    }
    const struct trib_source source = trib_source_of_memory(old->bytes, old->byte_count);
    struct trib_block *version = NULL;
    assert_int_equal(
        trib_safetensors_import(trib_env_system(), layout, &source, layout, &version, NULL),
        TRIB_OK);
    values = (float *)(void *)(version->bytes + layout->data_offset);
    for (size_t t = 0; t < layout->tensor_count; t++) {
        const float expected = layout->tensors[t].is_companion ? 0.0F : 1.0F;
        for (uint64_t i = 0; i < layout->tensors[t].element_count; i++) {
            assert_true(values[layout->tensors[t].element_offset + i] == expected);
        }
    }
    trib_block_unref(version);
    trib_block_unref(old);
    trib_layout_free(layout);
    trib_layout_free(file);
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    struct trib_layout *file = file_of_network();
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        enum trib_status status;
        trib_env_faulty_fail(&faulty, ++nth);
        struct trib_layout *layout = model_of(&faulty.env, file, TRIB_COMPANION_ALL, &status);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_layout_free(layout);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 5);
    trib_env_faulty_deinit(&faulty);
    trib_layout_free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trained_tensors_get_companions_of_their_kind),
        cmocka_unit_test(a_version_file_tells_its_companions_by_name),
        cmocka_unit_test(they_begin_at_zero_whatever_the_file_holds),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
