/* test_working_copy.c - a version held twice, and the difference as an update. */
#include "client/working_copy.h"

#include <math.h>

#include "client/small_version.h"
#include "support/check.h"
#include "support/env_faulty.h"

static void hold(struct trib_working_copy *copy, float first) {
    size_t count;
    unsigned char *file = small_version(trib_env_system(), first, &count);
    trib_working_copy_init(copy, trib_env_system());
    assert_int_equal(trib_working_copy_hold(copy, file, count, NULL), TRIB_OK);
}

/* The update in pieces of `step` bytes; -1 when it is refused. */
static int read_update(struct trib_working_copy *copy, const char *settings, size_t step,
                       float values[SMALL_VALUES], char names[64]) {
    static unsigned char file[4096];
    struct trib_source update;
    if (trib_working_copy_update(copy, settings, NULL, &update, NULL) != TRIB_OK) {
        return -1;
    }
    assert_true(update.byte_count <= sizeof file);
    for (uint64_t offset = 0; offset < update.byte_count; offset += step) {
        uint64_t left = update.byte_count - offset;
        assert_int_equal(
            update.read(update.context, offset, file + offset, left < step ? (size_t)left : step),
            TRIB_OK);
    }
    return small_version_read(file, (size_t)update.byte_count, values, names);
}

static void tensors_are_shown_in_name_order(void **state) {
    (void)state;
    struct trib_working_copy copy;
    hold(&copy, 10);
    assert_int_equal(copy.tensor_count, 3);
    assert_string_equal(copy.tensors[0].name, "bias");
    assert_string_equal(copy.tensors[2].name, "weight");
    assert_int_equal(copy.tensors[2].rank, 2);
    assert_int_equal(copy.tensors[2].shape[1], 3);
    assert_int_equal(copy.tensors[2].element_count, 6);
    assert_true(copy.tensors[0].values[0] == 10);
    assert_true(copy.tensors[2].values[5] == 18);
    trib_working_copy_deinit(&copy);
}

static void an_update_is_what_was_changed(void **state) {
    (void)state;
    struct trib_working_copy copy;
    float values[SMALL_VALUES];
    char names[64];
    hold(&copy, 10);
    copy.tensors[0].values[1] += 0.5F;
    copy.tensors[2].values[5] -= 2;
    const size_t steps[] = {4, 8, 64, 1024};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(read_update(&copy, "{}", steps[i], values, names), SMALL_VALUES);
        assert_string_equal(names, "bias,scale,weight");
        for (int k = 0; k < SMALL_VALUES; k++) {
            assert_true(values[k] == (k == 1 ? 0.5F : k == 8 ? -2 : 0));
        }
    }
    trib_working_copy_deinit(&copy);
}

static void frozen_tensors_stay_at_home(void **state) {
    (void)state;
    struct trib_working_copy copy;
    float values[SMALL_VALUES];
    char names[64];
    hold(&copy, 10);
    copy.tensors[2].values[0] += 1;
    assert_int_equal(
        read_update(&copy, "{\"lr\":1,\"frozen\":[\"scale\",\"unknown\"]}", 4, values, names), 8);
    assert_string_equal(names, "bias,weight");
    assert_true(values[2] == 1);
    assert_int_equal(
        read_update(&copy, "{\"frozen\":[\"bias\",\"scale\",\"weight\"]}", 4, values, names), -1);
    assert_int_equal(read_update(&copy, "{\"frozen\":\"bias\"}", 4, values, names), -1);
    assert_int_equal(read_update(&copy, "{}", 4, values, names), SMALL_VALUES);
    trib_working_copy_deinit(&copy);
}

static void reset_gives_the_version_back(void **state) {
    (void)state;
    struct trib_working_copy copy;
    hold(&copy, 10);
    copy.tensors[1].values[0] = 99;
    assert_int_equal(trib_working_copy_reset(&copy), TRIB_OK);
    assert_true(copy.tensors[1].values[0] == 12);
    trib_working_copy_deinit(&copy);
}

static void values_may_lie_elsewhere_or_be_left_out(void **state) {
    (void)state;
    struct trib_working_copy copy;
    struct trib_source update;
    struct trib_error error = {0};
    float values[SMALL_VALUES];
    char names[64];
    static unsigned char file[4096];
    hold(&copy, 10);
    float bias[2] = {10.25F, 11};
    float weight[6] = {13, 14, 15, 16, 17, 19};
    const float *const trained[] = {bias, NULL, weight};
    assert_int_equal(trib_working_copy_update(&copy, "{}", trained, &update, NULL), TRIB_OK);
    assert_int_equal(update.read(update.context, 0, file, (size_t)update.byte_count), TRIB_OK);
    assert_int_equal(small_version_read(file, (size_t)update.byte_count, values, names), 8);
    assert_string_equal(names, "bias,weight");
    assert_true(values[0] == 0.25F);
    assert_true(values[7] == 1);

    const float *const nothing[] = {NULL, NULL, NULL};
    assert_int_equal(trib_working_copy_update(&copy, "{}", nothing, &update, &error),
                     TRIB_EINVALID);
    assert_string_equal(error.text, "no tensor is left to send");
    trib_working_copy_deinit(&copy);
}

static void what_is_not_finite_is_named(void **state) {
    (void)state;
    struct trib_working_copy copy;
    struct trib_source update;
    struct trib_error error = {0};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    hold(&copy, 10);
    for (size_t i = 0; i < 3; i++) {
        copy.tensors[2].values[4] = bad[i];
        assert_int_equal(trib_working_copy_update(&copy, "{}", NULL, &update, &error),
                         TRIB_ENONFINITE);
        assert_string_equal(error.text, "tensor weight: value 4 is not a finite number");
    }
    /* Of what is not sent nobody need know. */
    assert_int_equal(
        trib_working_copy_update(&copy, "{\"frozen\":[\"weight\"]}", NULL, &update, &error),
        TRIB_OK);
    copy.tensors[2].values[4] = 3e38F;
    assert_int_equal(trib_working_copy_update(&copy, "{}", NULL, &update, &error), TRIB_OK);
    trib_working_copy_deinit(&copy);
}

static void kept_values_outlive_the_copy(void **state) {
    (void)state;
    struct trib_working_copy copy;
    hold(&copy, 10);
    float *bias = copy.tensors[0].values;
    struct trib_block *kept = trib_working_copy_keep(&copy);
    bias[0] = 99;
    assert_int_equal(trib_working_copy_reset(&copy), TRIB_OK);
    assert_true(copy.tensors[0].values != bias);
    assert_true(copy.tensors[0].values[0] == 10);
    float *fresh = copy.tensors[0].values;
    assert_int_equal(trib_working_copy_reset(&copy), TRIB_OK); /* nobody keeps the fresh ones */
    assert_true(copy.tensors[0].values == fresh);
    trib_working_copy_deinit(&copy);
    assert_true(bias[0] == 99);
    trib_block_unref(kept);
}

static void what_is_no_version_is_not_held(void **state) {
    (void)state;
    struct trib_working_copy copy;
    struct trib_error error = {0};
    size_t count;
    hold(&copy, 10);
    unsigned char *file = small_version(trib_env_system(), 0, &count);
    char *dtype = memmem(file, count, "F32", 3);
    memcpy(dtype, "I32", 3);
    assert_int_equal(trib_working_copy_hold(&copy, file, count, &error), TRIB_EDTYPE);
    assert_string_equal(error.text, "tensor bias is not F32");
    assert_null(copy.tensors);
    file = trib_allocate(trib_env_system(), 5, 1);
    assert_int_equal(trib_working_copy_hold(&copy, file, 5, &error), TRIB_ETRUNCATED);
    trib_working_copy_deinit(&copy);
}

static enum trib_status use(const struct trib_env *env) {
    struct trib_working_copy copy;
    struct trib_source update;
    size_t count;
    trib_working_copy_init(&copy, env);
    unsigned char *file = small_version(env, 1, &count);
    enum trib_status status =
        file == NULL ? TRIB_EMEMORY : trib_working_copy_hold(&copy, file, count, NULL);
    if (status == TRIB_OK) {
        trib_block_unref(trib_working_copy_keep(&copy));
        status = trib_working_copy_reset(&copy);
    }
    if (status == TRIB_OK) {
        status = trib_working_copy_update(&copy, "{\"frozen\":[\"bias\"]}", NULL, &update, NULL);
    }
    trib_working_copy_deinit(&copy);
    return status;
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = use(&faulty.env);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 8);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_shown_in_name_order),
        cmocka_unit_test(an_update_is_what_was_changed),
        cmocka_unit_test(frozen_tensors_stay_at_home),
        cmocka_unit_test(reset_gives_the_version_back),
        cmocka_unit_test(values_may_lie_elsewhere_or_be_left_out),
        cmocka_unit_test(what_is_not_finite_is_named),
        cmocka_unit_test(kept_values_outlive_the_copy),
        cmocka_unit_test(what_is_no_version_is_not_held),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
