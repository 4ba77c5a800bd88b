/* dense.c - one F32, BF16 or F16 value per element, as every training library can write it.
 *
 * Nothing is expanded: kernels read the values where they lie, in blocks of fixed length. The
 * blocks begin at the tensor, not where chunks of the body begin, so that the norm is summed in
 * the same order whatever way the body came. */
#include "codec/codec.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "codec/metadata.h"
#include "tensor/convert.h"
#include "tensor/safetensors.h"

/* 32 KiB of fp32: stays in the first-level cache, and musl gives a thread 128 KiB of stack. */
#define BLOCK_ELEMENTS 8192
#define ELEMENT_BYTES_MAX 4

/* Where the values of one model tensor lie. */
struct carried {
    uint64_t byte_offset; /* in the body */
    enum trib_dtype dtype;
    bool is_present;
};

struct trib_update {
    const struct trib_env *env;
    const struct trib_layout *model;
    const struct trib_source *source;
    struct carried *carried; /* one per model tensor */
    uint64_t groups;         /* bit g: group g is in the update */
};

_Static_assert(TRIB_GROUPS_MAX <= 64, "groups fit one word");

static bool is_expected(const struct trib_tensor *tensor) {
    return tensor->role == TRIB_ROLE_TRAIN || tensor->role == TRIB_ROLE_AVERAGE;
}

/* A head says the same things about the same tensors as the model's own, perhaps with blanks and
 * with every character of a name escaped; beyond this it cannot be an update of this model. */
static size_t head_bytes_max(const struct trib_layout *model) {
    const uint64_t limit = 6 * model->data_offset + 65536;
    return limit < TRIB_SAFETENSORS_HEAD_MAX ? (size_t)limit : TRIB_SAFETENSORS_HEAD_MAX;
}

/* Is this tensor of the body what the model's versions want? */
static enum trib_status match_tensor(struct trib_update *update, const struct trib_layout *body,
                                     const struct trib_tensor *tensor, struct trib_error *error) {
    const struct trib_layout *model = update->model;
    const int shown = trib_name_shown(tensor->name);
    const struct trib_tensor *target = trib_layout_find(model, tensor->name);
    if (target == NULL) {
        return trib_error_set(error, TRIB_ENOTFOUND, "tensor %.*s is not in the model", shown,
                              tensor->name);
    }
    if (!is_expected(target)) {
        return trib_error_set(error, TRIB_EINVALID, "tensor %.*s has the role %s", shown,
                              tensor->name, trib_role_name(target->role));
    }
    if (tensor->dtype != TRIB_F32 && tensor->dtype != TRIB_BF16 && tensor->dtype != TRIB_F16) {
        return trib_error_set(error, TRIB_EDTYPE,
                              "tensor %.*s: dtype %s, an update has F32, BF16 or F16", shown,
                              tensor->name, trib_dtype_name(tensor->dtype));
    }
    enum trib_status status = trib_tensor_same_shape(target, tensor, error);
    if (status != TRIB_OK) {
        return status;
    }
    update->carried[target - model->tensors] = (struct carried){
        .byte_offset = body->data_offset + tensor->byte_offset,
        .dtype = tensor->dtype,
        .is_present = true,
    };
    update->groups |= UINT64_C(1) << target->group;
    return TRIB_OK;
}

/* Whole groups or nothing: half a group would be averaged over other clients than the rest. */
static enum trib_status check_groups(const struct trib_update *update, struct trib_error *error) {
    const struct trib_layout *model = update->model;
    if (update->groups == 0) {
        return trib_error_set(error, TRIB_ENOTFOUND, "the update has no tensor");
    }
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct trib_tensor *tensor = &model->tensors[i];
        if (!is_expected(tensor) || update->carried[i].is_present ||
            !trib_codec_dense.has_group(update, tensor->group)) {
            continue;
        }
        if (model->group_count == 1) {
            return trib_error_set(error, TRIB_ENOTFOUND, "tensor %.*s is missing",
                                  trib_name_shown(tensor->name), tensor->name);
        }
        return trib_error_set(
            error, TRIB_EINVALID, "tensor %.*s is missing, other tensors of group \"%s\" are there",
            trib_name_shown(tensor->name), tensor->name, model->group_names[tensor->group]);
    }
    return TRIB_OK;
}

static void free_dense(struct trib_update *update) {
    if (update == NULL) {
        return;
    }
    const struct trib_env *env = update->env;
    trib_release(env, update->carried, update->model->tensor_count, sizeof *update->carried);
    trib_release(env, update, 1, sizeof *update);
}

static struct trib_update *new_dense(const struct trib_env *env, const struct trib_layout *model,
                                     const struct trib_source *source) {
    struct trib_update *update = trib_allocate(env, 1, sizeof *update);
    if (update == NULL) {
        return NULL;
    }
    *update = (struct trib_update){.env = env, .model = model, .source = source};
    update->carried = trib_allocate(env, model->tensor_count, sizeof *update->carried);
    if (update->carried == NULL) {
        free_dense(update);
        return NULL;
    }
    return update;
}

static enum trib_status open_dense(const struct trib_env *env, const struct trib_layout *model,
                                   const struct trib_source *source, struct trib_update **update,
                                   struct trib_update_metadata *metadata,
                                   struct trib_error *error) {
    TRIB_ASSERT(model->tensor_count > 0);
    *update = NULL;
    struct trib_update_metadata unwanted;
    struct trib_metadata_reader reader = {metadata != NULL ? metadata : &unwanted, error};
    memset(reader.metadata, 0, sizeof *reader.metadata);
    struct trib_layout *body = NULL;
    enum trib_status status = trib_safetensors_parse(env, source, head_bytes_max(model),
                                                     trib_metadata_read, &reader, &body, error);
    if (status != TRIB_OK) {
        return status;
    }
    struct trib_update *opened = new_dense(env, model, source);
    if (opened == NULL) {
        status = trib_error_set(error, TRIB_EMEMORY, "no memory to open an update");
    }
    for (size_t i = 0; i < body->tensor_count && status == TRIB_OK; i++) {
        status = match_tensor(opened, body, &body->tensors[i], error);
    }
    if (status == TRIB_OK) {
        status = check_groups(opened, error);
    }
    trib_layout_free(body);
    if (status != TRIB_OK) {
        free_dense(opened);
        return status;
    }
    *update = opened;
    return TRIB_OK;
}

static bool has_group(const struct trib_update *update, uint32_t group) {
    return group < TRIB_GROUPS_MAX && (update->groups >> group & 1) != 0;
}

/* The values [first, first + count) of one tensor, in place or in buffer; NULL: not readable. */
static const void *see_values(const struct trib_update *update, const struct carried *carried,
                              uint64_t first, size_t count, void *buffer) {
    const size_t width = trib_dtype_bytes(carried->dtype);
    return trib_source_bytes(update->source, carried->byte_offset + first * width, count * width,
                             buffer);
}

static size_t block_length(uint64_t elements_left) {
    return elements_left < BLOCK_ELEMENTS ? (size_t)elements_left : BLOCK_ELEMENTS;
}

static struct trib_scan scan_values(const struct trib_kernels *kernels, enum trib_dtype dtype,
                                    const void *values, size_t count, double bound) {
    switch (dtype) {
    case TRIB_BF16:
        return kernels->scan_bf16(values, count, bound);
    case TRIB_F16:
        return kernels->scan_f16(values, count, bound);
    default:
        return kernels->scan_f32(values, count, bound);
    }
}

static void fold_values(const struct trib_kernels *kernels, enum trib_dtype dtype, int64_t *totals,
                        const void *values, size_t count, double scale) {
    switch (dtype) {
    case TRIB_BF16:
        kernels->fold_bf16(totals, values, count, scale);
        break;
    case TRIB_F16:
        kernels->fold_f16(totals, values, count, scale);
        break;
    default:
        kernels->fold_f32(totals, values, count, scale);
        break;
    }
}

/* The value at `index` of the tensor broke the rule: which one? */
static enum trib_status refuse_value(const struct trib_tensor *tensor, uint64_t index, float value,
                                     struct trib_error *error) {
    const int shown = trib_name_shown(tensor->name);
    if (!isfinite(value)) {
        return trib_error_set(error, TRIB_ENONFINITE, "tensor %.*s: value %" PRIu64 " is %s", shown,
                              tensor->name, index, isnan(value) ? "not a number" : "infinite");
    }
    return trib_error_set(error, TRIB_EBOUND,
                          "tensor %.*s: value %" PRIu64 " is %.9g, delta_max is %.9g", shown,
                          tensor->name, index, (double)value, tensor->delta_max);
}

static enum trib_status check_tensor(const struct trib_update *update, size_t tensor_index,
                                     const struct trib_kernels *kernels, double *square_sum,
                                     struct trib_error *error) {
    _Alignas(64) unsigned char buffer[BLOCK_ELEMENTS * ELEMENT_BYTES_MAX];
    const struct trib_tensor *tensor = &update->model->tensors[tensor_index];
    const struct carried *carried = &update->carried[tensor_index];
    uint64_t done = 0;
    while (done < tensor->element_count) {
        const size_t count = block_length(tensor->element_count - done);
        const void *values = see_values(update, carried, done, count, buffer);
        if (values == NULL) {
            return trib_error_set(error, TRIB_EIO, "tensor %.*s cannot be read",
                                  trib_name_shown(tensor->name), tensor->name);
        }
        const struct trib_scan scan =
            scan_values(kernels, carried->dtype, values, count, tensor->delta_max);
        if (scan.first_bad < count) {
            const size_t width = trib_dtype_bytes(carried->dtype);
            float bad;
            (void)trib_convert_to_f32(&bad, carried->dtype,
                                      (const unsigned char *)values + scan.first_bad * width, 1);
            return refuse_value(tensor, done + scan.first_bad, bad, error);
        }
        *square_sum += scan.square_sum;
        done += count;
    }
    return TRIB_OK;
}

static enum trib_status check_dense(struct trib_update *update, const struct trib_kernels *kernels,
                                    double *norm, struct trib_error *error) {
    double square_sum = 0;
    for (size_t i = 0; i < update->model->tensor_count; i++) {
        enum trib_status status = TRIB_OK;
        if (update->carried[i].is_present) {
            status = check_tensor(update, i, kernels, &square_sum, error);
        }
        if (status != TRIB_OK) {
            return status;
        }
    }
    *norm = sqrt(square_sum);
    return TRIB_OK;
}

/* The elements [first, limit) of one tensor; totals is where the first of them goes. */
static enum trib_status fold_tensor(const struct trib_update *update, size_t tensor_index,
                                    const struct trib_kernels *kernels, double scale,
                                    uint64_t first, uint64_t limit, int64_t *totals) {
    _Alignas(64) unsigned char buffer[BLOCK_ELEMENTS * ELEMENT_BYTES_MAX];
    const struct carried *carried = &update->carried[tensor_index];
    while (first < limit) {
        const size_t count = block_length(limit - first);
        const void *values = see_values(update, carried, first, count, buffer);
        if (values == NULL) {
            return TRIB_EIO;
        }
        fold_values(kernels, carried->dtype, totals, values, count, scale);
        first += count;
        totals += count;
    }
    return TRIB_OK;
}

static enum trib_status fold_dense(const struct trib_update *update,
                                   const struct trib_kernels *kernels, uint64_t weight,
                                   const int8_t *shift, uint64_t first, uint64_t count,
                                   int64_t *totals) {
    const struct trib_layout *model = update->model;
    TRIB_ASSERT(first <= model->element_count);
    TRIB_ASSERT(count <= model->element_count - first);
    const uint64_t limit = first + count;
    for (size_t i = trib_layout_tensor_at(model, first);
         i < model->tensor_count && model->tensors[i].element_offset < limit; i++) {
        if (!update->carried[i].is_present) {
            continue;
        }
        const uint64_t tensor_first = model->tensors[i].element_offset;
        const uint64_t tensor_limit = tensor_first + model->tensors[i].element_count;
        const uint64_t fold_first = first > tensor_first ? first : tensor_first;
        const uint64_t fold_limit = limit < tensor_limit ? limit : tensor_limit;
        /* A whole number below 2^53 times a power of two: exact. */
        const double scale = ldexp((double)weight, shift[i]);
        enum trib_status status =
            fold_tensor(update, i, kernels, scale, fold_first - tensor_first,
                        fold_limit - tensor_first, totals + (fold_first - first));
        if (status != TRIB_OK) {
            return status;
        }
    }
    return TRIB_OK;
}

const struct trib_codec trib_codec_dense = {
    .name = "dense",
    .open = open_dense,
    .free = free_dense,
    .check = check_dense,
    .has_group = has_group,
    .fold = fold_dense,
};
