/* small_model.c - a model of a few thousand elements and updates for it, for tests of learn. */
#include "small_model.h"

#include <math.h>
#include <string.h>

#include "support/check.h"
#include "tensor/safetensors.h"

static struct trib_tensor tensor_of(const char *name, uint64_t rows, uint64_t columns) {
    return (struct trib_tensor){
        .name = name, .dtype = TRIB_F32, .rank = 2, .shape = {rows, columns}};
}

static struct trib_layout *layout_of(const struct trib_env *env, const struct trib_tensor *tensors,
                                     size_t count, const struct trib_role_rule *rules,
                                     size_t rule_count, double delta_max) {
    struct trib_layout *file = NULL;
    struct trib_layout *layout = NULL;
    assert_int_equal(trib_layout_of_tensors(env, tensors, count, &file, NULL), TRIB_OK);
    assert_int_equal(trib_layout_of_model(env, file, rules, rule_count, delta_max, &layout, NULL),
                     TRIB_OK);
    trib_layout_free(file);
    return layout;
}

struct trib_layout *small_layout(const struct trib_env *env, double delta_max) {
    const struct trib_tensor tensors[] = {
        tensor_of("a.frozen", 1, 7),           tensor_of("body.bias", 1, 33),
        tensor_of("body.weight", 65, 32),      tensor_of("head.weight", 32, 19),
        tensor_of("norm.running_mean", 1, 33), tensor_of("norm.running_var", 1, 33),
    };
    const struct trib_role_rule rules[] = {
        {.match = "*.frozen", .has_role = true, .role = TRIB_ROLE_FREEZE},
        {.match = "head.*", .group = "head"},
    };
    struct trib_layout *layout = layout_of(env, tensors, 6, rules, 2, delta_max);
    assert_int_equal(layout->element_count, SMALL_ELEMENTS);
    assert_int_equal(layout->group_count, SMALL_GROUPS);
    return layout;
}

struct trib_layout *vector_layout(const struct trib_env *env, uint64_t count, double delta_max) {
    const struct trib_tensor tensor = tensor_of("w", 1, count);
    return layout_of(env, &tensor, 1, NULL, 0, delta_max);
}

/* The bits of a value that the dtype holds exactly. */
static void put_value(unsigned char *bytes, enum trib_dtype dtype, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t half = (uint16_t)(bits >> 16);
    switch (dtype) {
    case TRIB_F16:
        half = (uint16_t)(bits >> 16 & 0x8000u);
        if (value != 0) { /* the exponent's bias is 15 instead of 127 */
            half |= (uint16_t)((bits >> 13 & 0x3ffffu) - (112u << 10));
        }
        memcpy(bytes, &half, sizeof half);
        break;
    case TRIB_BF16:
        memcpy(bytes, &half, sizeof half);
        break;
    default:
        memcpy(bytes, &value, sizeof value);
        break;
    }
}

void small_update_init(struct small_update *update, const struct trib_env *env,
                       const struct trib_layout *layout, uint32_t groups, enum trib_dtype dtype,
                       const float *values, uint64_t weight) {
    struct trib_tensor carried[8] = {0};
    const struct trib_tensor *origin[8];
    size_t count = 0;
    for (size_t i = 0; i < layout->tensor_count; i++) {
        const struct trib_tensor *tensor = &layout->tensors[i];
        if (tensor->role != TRIB_ROLE_FREEZE && (groups >> tensor->group & 1) != 0) {
            assert_true(count < 8);
            origin[count] = tensor;
            carried[count] = *tensor;
            carried[count++].dtype = dtype;
        }
    }
    struct trib_layout *body = NULL;
    assert_int_equal(trib_layout_of_tensors(env, carried, count, &body, NULL), TRIB_OK);
    update->body = trib_safetensors_block(env, body);
    assert_non_null(update->body);
    unsigned char *data = update->body->bytes + body->data_offset;
    const size_t width = trib_dtype_bytes(dtype);
    for (size_t i = 0; i < count; i++) { /* both are sorted by name */
        for (uint64_t k = 0; k < origin[i]->element_count; k++) {
            put_value(data + body->tensors[i].byte_offset + k * width, dtype,
                      values[origin[i]->element_offset + k]);
        }
    }
    trib_layout_free(body);
    trib_block_seal(update->body);
    update->source = trib_source_of_memory(update->body->bytes, update->body->byte_count);
    update->weight = weight;
    assert_int_equal(
        trib_codec_dense.open(env, layout, &update->source, &update->update, NULL, NULL), TRIB_OK);
    double norm = 0;
    assert_int_equal(trib_codec_dense.check(update->update, trib_kernels_select(), &norm, NULL),
                     TRIB_OK);
}

void small_update_deinit(struct small_update *update) {
    trib_codec_dense.free(update->update);
    trib_block_unref(update->body);
}

void small_update_add(const struct small_update *update, struct trib_exact_sum *sum,
                      const struct trib_kernels *kernels) {
    assert_int_equal(trib_exact_sum_count(sum, &trib_codec_dense, update->update, update->weight),
                     TRIB_OK);
    assert_int_equal(trib_exact_sum_fold(sum, &trib_codec_dense,
                                         &(struct trib_term){update->update, update->weight}, 1,
                                         kernels, 0, sum->layout->element_count),
                     TRIB_OK);
}

void small_sum_clear(struct trib_exact_sum *sum) {
    trib_exact_sum_clear_range(sum, 0, sum->layout->element_count);
    trib_exact_sum_clear_counts(sum);
}

struct trib_block *small_version(const struct trib_env *env, const struct trib_layout *layout,
                                 const float *values) {
    struct trib_block *version = trib_safetensors_block(env, layout);
    assert_non_null(version);
    memcpy(version->bytes + layout->data_offset, values, layout->data_bytes);
    trib_block_seal(version);
    return version;
}

const float *small_values(const struct trib_block *version, const struct trib_layout *layout) {
    return (const float *)(version->bytes + layout->data_offset);
}

float small_round(double value) {
    int exponent = 0;
    double significand = frexp(value, &exponent);
    double rounded = ldexp(rint(ldexp(significand, 8)), exponent - 8);
    return fabs(rounded) < 0x1p-14 ? 0.0f : (float)rounded;
}
