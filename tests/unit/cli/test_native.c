/* test_native.c - a model that a trainer makes is recognised, and nothing else is. */
#include "cli/native.h"

#include <stdio.h>

#include "support/check.h"
#include "support/env_faulty.h"
#include "tensor/safetensors.h"

static struct trib_spec *load_spec(const char *init) {
    char text[256];
    (void)snprintf(text, sizeof text, "{\"name\":\"a\",\"model\":{\"init\":%s}}", init);
    json_t *document = json_loads(text, 0, NULL);
    struct trib_spec *spec;
    assert_non_null(document);
    assert_int_equal(trib_spec_parse(trib_env_system(), document, &spec, NULL), TRIB_OK);
    json_decref(document);
    return spec;
}

static const char mlp[] = "{\"trainer\":\"mlp\",\"seed\":5,\"features\":6,\"classes\":3,"
                          "\"hidden\":[4,7]}";
static const char cnn[] = "{\"trainer\":\"cnn\",\"features\":64,\"classes\":3,\"hidden\":[7]}";
static const char lstm[] = "{\"trainer\":\"lstm\",\"features\":9,\"classes\":5,\"hidden\":[6,3]}";
static const char softmax[] = "{\"trainer\":\"softmax\",\"features\":6,\"classes\":3}";

/* The tensors of a file as a client has them (without values). */
static size_t tensors_of(const struct trib_layout *layout, struct trib_client_tensor *tensors) {
    for (size_t i = 0; i < layout->tensor_count; i++) {
        const struct trib_tensor *tensor = &layout->tensors[i];
        tensors[i] = (struct trib_client_tensor){
            .name = tensor->name, .element_count = tensor->element_count, .rank = tensor->rank};
        memcpy(tensors[i].shape, tensor->shape, sizeof tensors[i].shape);
    }
    return layout->tensor_count;
}

static void what_is_made_is_canonical_and_recognised(void **state) {
    (void)state;
    static const char *const inits[] = {mlp, softmax, cnn, lstm};
    static const size_t features[] = {6, 6, 64, 0}; /* an lstm reads any length */
    static const uint32_t classes[] = {3, 3, 3, 5};
    for (size_t i = 0; i < 4; i++) {
        struct trib_spec *spec = load_spec(inits[i]);
        struct trib_block *model;
        assert_int_equal(trib_native_create(NULL, trib_env_system(), spec, &model, NULL), TRIB_OK);
        assert_true(trib_block_is_sealed(model));
        struct trib_source source = trib_source_of_memory(model->bytes, model->byte_count);
        struct trib_layout *layout;
        assert_int_equal(
            trib_safetensors_parse(trib_env_system(), &source, 1 << 20, NULL, NULL, &layout, NULL),
            TRIB_OK);
        assert_int_equal(layout->data_offset % 64, 0);
        struct trib_client_tensor tensors[16];
        struct trib_trainer_spec found;
        assert_int_equal(trib_native_infer(tensors, tensors_of(layout, tensors), &found, NULL),
                         TRIB_OK);
        assert_string_equal(found.kind, spec->model.trainer);
        assert_int_equal(found.feature_count, features[i]);
        assert_int_equal(found.class_count, classes[i]);
        assert_int_equal(found.hidden_count, spec->model.hidden_count);
        assert_memory_equal(found.hidden, spec->model.hidden, sizeof found.hidden);
        trib_layout_free(layout);
        trib_block_unref(model);
        trib_spec_free(spec);
    }
}

static void the_seed_decides_the_weights(void **state) {
    (void)state;
    struct trib_spec *spec = load_spec(mlp);
    struct trib_block *model, *same, *other;
    assert_int_equal(trib_native_create(NULL, trib_env_system(), spec, &model, NULL), TRIB_OK);
    assert_int_equal(trib_native_create(NULL, trib_env_system(), spec, &same, NULL), TRIB_OK);
    spec->model.trainer_seed = 6;
    assert_int_equal(trib_native_create(NULL, trib_env_system(), spec, &other, NULL), TRIB_OK);
    assert_int_equal(model->byte_count, other->byte_count);
    assert_memory_equal(model->bytes, same->bytes, model->byte_count);
    assert_memory_not_equal(model->bytes, other->bytes, model->byte_count);
    trib_block_unref(model);
    trib_block_unref(same);
    trib_block_unref(other);
    trib_spec_free(spec);
}

static void memory_may_run_out(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_spec *spec = load_spec(mlp);
    uint64_t nth = 0;
    trib_env_faulty_init(&faulty);
    do {
        struct trib_block *model;
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_native_create(NULL, &faulty.env, spec, &model, NULL);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_true((model == NULL) == faulty.has_failed);
        trib_block_unref(model);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 3);
    trib_env_faulty_deinit(&faulty);
    trib_spec_free(spec);
}

#define VECTOR(text, count)                           \
    {                                                 \
        .name = (text), .rank = 1, .shape = { count } \
    }
#define MATRIX(text, rows, columns)                           \
    {                                                         \
        .name = (text), .rank = 2, .shape = { rows, columns } \
    }

static void other_models_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        struct trib_client_tensor tensors[6];
        size_t count;
        const char *named;
    } cases[] = {
        {{VECTOR("bias", 3), MATRIX("weights", 3, 4)}, 2, "weights"},
        {{VECTOR("bias", 2), MATRIX("weight", 3, 4)}, 2, "weight"},
        {{MATRIX("bias", 3, 1), MATRIX("weight", 3, 4)}, 2, "bias"},
        {{VECTOR("bias", 3), VECTOR("weight", 12)}, 2, "weight"},
        {{VECTOR("fc1.bias", 3), MATRIX("fc1.weight", 3, 4)}, 2, "2 tensors"},
        {{VECTOR("fc1.bias", 5), MATRIX("fc1.weight", 5, 4), VECTOR("fc2.bias", 3),
          MATRIX("fc2.weight", 3, 6)},
         4,
         "fc2.weight"},
        {{VECTOR("fc1.bias", 5), MATRIX("fc1.weight", 5, 4), VECTOR("fc3.bias", 3),
          MATRIX("fc3.weight", 3, 5)},
         4,
         "fc3.bias"},
        {{VECTOR("fc1.bias", 5), MATRIX("fc1.weight", 5, 4), VECTOR("scale", 1)}, 3, "3 tensors"},
        {{VECTOR("bias", 3)}, 1, "1 tensors"},
        {{VECTOR("bias", 3)}, 0, "0 tensors"},
        {{VECTOR("bias", 3), MATRIX("weight", UINT64_C(1) << 40, 4)}, 2, "weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct trib_trainer_spec spec = {.kind = "untouched"};
        struct trib_error error = {0};
        assert_int_equal(trib_native_infer(cases[i].tensors, cases[i].count, &spec, &error),
                         TRIB_EUNSUPPORTED);
        assert_string_equal(spec.kind, "untouched");
        if (strstr(error.text, cases[i].named) == NULL) {
            fail_msg("%s does not name %s", error.text, cases[i].named);
        }
    }
}

/* Any tensor of another name or shape in place of the right one. */
static void one_wrong_tensor_is_enough(void **state) {
    (void)state;
    static const char *const inits[] = {mlp, cnn, lstm};
    for (size_t i = 0; i < 3; i++) {
        struct trib_spec *spec = load_spec(inits[i]);
        struct trib_block *model;
        assert_int_equal(trib_native_create(NULL, trib_env_system(), spec, &model, NULL), TRIB_OK);
        struct trib_source source = trib_source_of_memory(model->bytes, model->byte_count);
        struct trib_layout *layout;
        assert_int_equal(
            trib_safetensors_parse(trib_env_system(), &source, 1 << 20, NULL, NULL, &layout, NULL),
            TRIB_OK);
        for (size_t wrong = 0; wrong < 3 * layout->tensor_count; wrong++) {
            struct trib_client_tensor tensors[16];
            struct trib_trainer_spec found = {.kind = "untouched"};
            struct trib_error error = {0};
            const size_t count = tensors_of(layout, tensors);
            struct trib_client_tensor *tensor = &tensors[wrong / 3];
            if (wrong % 3 == 0) {
                tensor->name = "other";
            } else if (wrong % 3 == 1) {
                tensor->rank++;
                tensor->shape[tensor->rank - 1] = 1;
            } else if (i == 0 && strcmp(tensor->name, "fc1.weight") == 0) {
                continue; /* another number of features is another mlp */
            } else {
                tensor->shape[tensor->rank - 1] += 1;
            }
            assert_int_equal(trib_native_infer(tensors, count, &found, &error), TRIB_EUNSUPPORTED);
            assert_string_equal(found.kind, "untouched");
            assert_true(error.text[0] != '\0');
        }
        trib_layout_free(layout);
        trib_block_unref(model);
        trib_spec_free(spec);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_made_is_canonical_and_recognised),
        cmocka_unit_test(the_seed_decides_the_weights),
        cmocka_unit_test(memory_may_run_out),
        cmocka_unit_test(other_models_are_refused_by_name),
        cmocka_unit_test(one_wrong_tensor_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
