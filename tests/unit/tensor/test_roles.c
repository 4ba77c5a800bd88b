/* test_roles.c - who trains what: roles, groups and bounds by rule and by default. */
#include "support/check.h"

#include <stdio.h>

#include "support/env_faulty.h"
#include "tensor/safetensors.h"

/* A small network as training libraries save it. */
static const struct trib_tensor network[] = {
    {.name = "bn.num_batches_tracked", .dtype = TRIB_I64},
    {.name = "bn.running_mean", .rank = 1, .shape = {4}},
    {.name = "bn.weight", .dtype = TRIB_F16, .rank = 1, .shape = {4}},
    {.name = "encoder.weight", .dtype = TRIB_BF16, .rank = 2, .shape = {3, 4}},
    {.name = "head.lora", .rank = 1, .shape = {2}},
    {.name = "head.weight", .dtype = TRIB_F64, .rank = 1, .shape = {4}},
    {.name = "mask", .dtype = TRIB_BOOL, .rank = 1, .shape = {4}},
};

static struct trib_layout *file_of_network(void) {
    struct trib_layout *file = NULL;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), network,
                                            sizeof network / sizeof network[0], &file, NULL),
                     TRIB_OK);
    return file;
}

static enum trib_status assign(const struct trib_role_rule *rules, size_t count,
                               struct trib_layout **layout, struct trib_error *error) {
    struct trib_layout *file = file_of_network();
    enum trib_status status =
        trib_layout_of_model(trib_env_system(), file, rules, count, 16, layout, error);
    trib_layout_free(file); /* the result must not point into it */
    return status;
}

static const struct trib_tensor *find(const struct trib_layout *layout, const char *name) {
    const struct trib_tensor *tensor = trib_layout_find(layout, name);
    assert_non_null(tensor);
    return tensor;
}

static void roles_have_names(void **state) {
    (void)state;
    const char *const names[] = {"train", "average", "freeze", "local"};
    for (int i = 0; i < 4; i++) {
        enum trib_role role;
        assert_true(trib_role_from_name(names[i], &role));
        assert_int_equal(role, i);
        assert_string_equal(trib_role_name(role), names[i]);
    }
    enum trib_role role;
    assert_false(trib_role_from_name("Train", &role));
}

static void without_rules_the_dtype_and_the_name_decide(void **state) {
    (void)state;
    struct trib_layout *layout = NULL;
    struct trib_error error;
    assert_int_equal(assign(NULL, 0, &layout, &error), TRIB_OK);
    assert_int_equal(layout->tensor_count, 5); /* integers and BOOL stay with the clients */
    assert_null(trib_layout_find(layout, "bn.num_batches_tracked"));
    assert_null(trib_layout_find(layout, "mask"));
    assert_int_equal(find(layout, "bn.running_mean")->role, TRIB_ROLE_AVERAGE);
    assert_int_equal(find(layout, "bn.weight")->role, TRIB_ROLE_TRAIN);
    for (size_t i = 0; i < layout->tensor_count; i++) {
        assert_int_equal(layout->tensors[i].dtype, TRIB_F32);
        assert_int_equal(layout->tensors[i].group, 0);
        assert_true(layout->tensors[i].delta_max == 16);
    }
    assert_int_equal(layout->group_count, 1);
    assert_string_equal(layout->group_names[0], "");
    assert_int_equal(layout->element_count, 26);
    assert_int_equal(layout->data_bytes, 104);
    assert_int_equal(layout->data_offset % 64, 0);
    trib_layout_free(layout);
}

static void the_first_rule_that_matches_decides_all(void **state) {
    (void)state;
    const struct trib_role_rule rules[] = {
        {.match = "bn.running_*", .role = TRIB_ROLE_LOCAL, .has_role = true},
        {.match = "encoder.*", .role = TRIB_ROLE_FREEZE, .has_role = true},
        {.match = "head.*", .delta_max = 0.5},
        {.match = "*.lora", .group = "adapters"}, /* too late for head.lora */
        {.match = "bn.w?ight", .role = TRIB_ROLE_AVERAGE, .has_role = true, .delta_max = 2},
        {.match = "mask", .delta_max = 3}, /* no role: the default of its dtype */
    };
    struct trib_layout *layout = NULL;
    struct trib_error error;
    assert_int_equal(assign(rules, 6, &layout, &error), TRIB_OK);
    assert_int_equal(layout->tensor_count, 4);
    assert_null(trib_layout_find(layout, "bn.running_mean"));
    assert_null(trib_layout_find(layout, "mask"));
    assert_int_equal(find(layout, "encoder.weight")->role, TRIB_ROLE_FREEZE);
    assert_int_equal(find(layout, "bn.weight")->role, TRIB_ROLE_AVERAGE);
    assert_true(find(layout, "bn.weight")->delta_max == 2);
    assert_true(find(layout, "encoder.weight")->delta_max == 16);
    assert_true(find(layout, "head.lora")->delta_max == 0.5);
    assert_int_equal(layout->group_count, 1);
    trib_layout_free(layout);
}

static void groups_are_numbered_by_their_first_tensor(void **state) {
    (void)state;
    const struct trib_role_rule rules[] = {
        {.match = "head.weight", .group = "top"},
        {.match = "bn.*", .group = "norm"},
        {.match = "encoder.*", .role = TRIB_ROLE_FREEZE, .has_role = true, .group = "unused"},
    };
    struct trib_layout *layout = NULL;
    struct trib_error error;
    assert_int_equal(assign(rules, 2, &layout, &error), TRIB_OK);
    assert_int_equal(layout->group_count, 3);
    assert_string_equal(layout->group_names[0], "norm");
    assert_string_equal(layout->group_names[1], "");
    assert_string_equal(layout->group_names[2], "top");
    assert_int_equal(find(layout, "bn.weight")->group, 0);
    assert_int_equal(find(layout, "encoder.weight")->group, 1);
    assert_int_equal(find(layout, "head.weight")->group, 2);
    trib_layout_free(layout);
    assert_int_equal(assign(rules, 3, &layout, &error), TRIB_OK);
    assert_int_equal(layout->group_count, 3); /* a frozen tensor makes no group */
    assert_string_equal(layout->group_names[1], "");
    trib_layout_free(layout);
}

static void integers_can_be_frozen_but_not_summed(void **state) {
    (void)state;
    struct trib_role_rule rule = {
        .match = "*batches*", .role = TRIB_ROLE_AVERAGE, .has_role = true};
    struct trib_layout *layout = NULL;
    struct trib_error error;
    assert_int_equal(assign(&rule, 1, &layout, &error), TRIB_EDTYPE);
    assert_null(layout);
    assert_string_equal(error.text, "tensor bn.num_batches_tracked: rule \"*batches*\" says "
                                    "average, but I64 values can only be freeze or local");
    rule.role = TRIB_ROLE_FREEZE;
    assert_int_equal(assign(&rule, 1, &layout, &error), TRIB_OK);
    assert_int_equal(find(layout, "bn.num_batches_tracked")->role, TRIB_ROLE_FREEZE);
    trib_layout_free(layout);
}

static void something_must_be_trained(void **state) {
    (void)state;
    const struct trib_role_rule rule = {.match = "*", .role = TRIB_ROLE_FREEZE, .has_role = true};
    struct trib_layout *layout = NULL;
    struct trib_error error;
    assert_int_equal(assign(&rule, 1, &layout, &error), TRIB_EINVALID);
    assert_null(layout);
    assert_string_equal(error.text, "no tensor has the role train");
}

static void groups_have_a_limit(void **state) {
    (void)state;
    struct trib_tensor tensors[TRIB_GROUPS_MAX + 1];
    struct trib_role_rule rules[TRIB_GROUPS_MAX + 1];
    memset(tensors, 0, sizeof tensors);
    memset(rules, 0, sizeof rules);
    for (size_t i = 0; i <= TRIB_GROUPS_MAX; i++) {
        snprintf(rules[i].match, sizeof rules[i].match, "t%zu", i);
        snprintf(rules[i].group, sizeof rules[i].group, "g%zu", i);
        tensors[i].name = rules[i].match;
    }
    for (size_t count = TRIB_GROUPS_MAX; count <= TRIB_GROUPS_MAX + 1; count++) {
        struct trib_layout *file = NULL;
        struct trib_layout *layout = NULL;
        struct trib_error error;
        assert_int_equal(trib_layout_of_tensors(trib_env_system(), tensors, count, &file, NULL),
                         TRIB_OK);
        assert_int_equal(
            trib_layout_of_model(trib_env_system(), file, rules, count, 1, &layout, &error),
            count > TRIB_GROUPS_MAX ? TRIB_ELIMIT : TRIB_OK);
        trib_layout_free(layout);
        trib_layout_free(file);
    }
}

static void memory_that_runs_out_leaves_nothing(void **state) {
    (void)state;
    struct trib_layout *file = file_of_network();
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&faulty, ++nth);
        struct trib_layout *layout = NULL;
        struct trib_error error;
        enum trib_status status =
            trib_layout_of_model(&faulty.env, file, NULL, 0, 1, &layout, &error);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_true((layout != NULL) == (status == TRIB_OK));
        trib_layout_free(layout);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_int_equal(nth, 5);
    trib_env_faulty_deinit(&faulty);
    trib_layout_free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_have_names),
        cmocka_unit_test(without_rules_the_dtype_and_the_name_decide),
        cmocka_unit_test(the_first_rule_that_matches_decides_all),
        cmocka_unit_test(groups_are_numbered_by_their_first_tensor),
        cmocka_unit_test(integers_can_be_frozen_but_not_summed),
        cmocka_unit_test(something_must_be_trained),
        cmocka_unit_test(groups_have_a_limit),
        cmocka_unit_test(memory_that_runs_out_leaves_nothing),
    };
    return cmocka_run_group_tests_name("roles", tests, NULL, NULL);
}
