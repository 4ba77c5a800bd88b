/* update.c - an update of any codec: which tensors it carries, how, and the way over all of them.
 *
 * Nothing is expanded: encodings read values where they lie, a block at a time. Blocks begin at the
 * tensor, not where chunks of the body begin, so that the norm is summed in the same order whatever
 * way the body came. */
#include "codec/encoding.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "codec/metadata.h"
#include "tensor/safetensors.h"

_Static_assert(TRIB_GROUPS_MAX <= 64, "groups fit one word");

static const struct trib_encoding *const encodings[] = {
    &trib_encoding_dense,
    &trib_encoding_int8,
    &trib_encoding_sparse,
};
#define ENCODING_COUNT (sizeof encodings / sizeof encodings[0])

/* What a name means beside that of a model tensor. */
static const struct suffix {
    const char *text;
    enum trib_part part;
} suffixes[] = {
    {".scale", TRIB_PART_SCALE},
    {".index", TRIB_PART_INDEX},
    {".value", TRIB_PART_SELECTED},
};
#define SUFFIX_COUNT (sizeof suffixes / sizeof suffixes[0])

static bool is_expected(const struct trib_tensor *tensor) {
    return trib_role_is_summed(tensor->role);
}

/* A head says the same things about the same tensors as the model's own, at most twice (values and
 * what belongs to them), perhaps with blanks and with every character of a name escaped; beyond
 * this it cannot be an update of this model. */
static size_t head_bytes_max(const struct trib_layout *model) {
    const uint64_t limit = 12 * model->data_offset + 65536;
    return limit < TRIB_SAFETENSORS_HEAD_MAX ? (size_t)limit : TRIB_SAFETENSORS_HEAD_MAX;
}

/* --- opening -------------------------------------------------------------------------------------- */

/* The model tensor that a tensor of the body tells of, and the part of it; a name that the model
 * has means itself. NULL: none. */
static const struct trib_tensor *find_target(const struct trib_layout *model, const char *name,
                                             enum trib_part *part) {
    const struct trib_tensor *target = trib_layout_find(model, name);
    if (target != NULL) {
        *part = TRIB_PART_VALUES;
        return target;
    }
    const size_t length = strlen(name);
    for (size_t i = 0; i < SUFFIX_COUNT; i++) {
        const size_t suffix_length = strlen(suffixes[i].text);
        if (length <= suffix_length ||
            strcmp(name + length - suffix_length, suffixes[i].text) != 0) {
            continue;
        }
        char stem[TRIB_TENSOR_NAME_BYTES_MAX + 1];
        memcpy(stem, name, length - suffix_length);
        stem[length - suffix_length] = '\0';
        *part = suffixes[i].part;
        return trib_layout_find(model, stem);
    }
    return NULL;
}

static enum trib_status refuse_dtype(const struct trib_tensor *tensor, const char *wanted,
                                     struct trib_error *error) {
    return trib_error_set(error, TRIB_EDTYPE, "tensor %.*s: dtype %s, an update has %s",
                          trib_name_shown(tensor->name), tensor->name,
                          trib_dtype_name(tensor->dtype), wanted);
}

static bool is_value_dtype(enum trib_dtype dtype) {
    return dtype == TRIB_F32 || dtype == TRIB_BF16 || dtype == TRIB_F16;
}

static bool is_index_dtype(enum trib_dtype dtype) {
    return dtype == TRIB_I32 || dtype == TRIB_I64 || dtype == TRIB_U32 || dtype == TRIB_U64;
}

/* Note one part. Values that are I8 are quanta. */
static enum trib_status note_part(struct trib_carried *carried, enum trib_part part,
                                  unsigned allowed, const struct trib_layout *body,
                                  const struct trib_tensor *tensor, struct trib_error *error) {
    if (part == TRIB_PART_VALUES && tensor->dtype == TRIB_I8 && (allowed & TRIB_PART_QUANTA)) {
        part = TRIB_PART_QUANTA;
    }
    const bool is_side = part == TRIB_PART_SCALE || part == TRIB_PART_INDEX;
    if (part == TRIB_PART_SCALE && tensor->dtype != TRIB_F32) {
        return refuse_dtype(tensor, "F32", error);
    }
    if (part == TRIB_PART_INDEX && !is_index_dtype(tensor->dtype)) {
        return refuse_dtype(tensor, "I32, I64, U32 or U64", error);
    }
    if ((part == TRIB_PART_VALUES || part == TRIB_PART_SELECTED) &&
        !is_value_dtype(tensor->dtype)) {
        return refuse_dtype(
            tensor, allowed & TRIB_PART_QUANTA ? "F32, BF16, F16 or I8" : "F32, BF16 or F16",
            error);
    }
    carried->parts |= part;
    if (is_side) {
        carried->side_dtype = tensor->dtype;
        carried->side_offset = body->data_offset + tensor->byte_offset;
        carried->side_count = tensor->element_count;
    } else {
        carried->dtype = tensor->dtype;
        carried->values_offset = body->data_offset + tensor->byte_offset;
        carried->values_count = tensor->element_count;
    }
    return TRIB_OK;
}

/* Is this tensor of the body what the model's versions want? */
static enum trib_status match_tensor(struct trib_update *update, unsigned allowed,
                                     const struct trib_layout *body,
                                     const struct trib_tensor *tensor, struct trib_error *error) {
    const struct trib_layout *model = update->model;
    const int shown = trib_name_shown(tensor->name);
    enum trib_part part = 0;
    const struct trib_tensor *target = find_target(model, tensor->name, &part);
    if (target == NULL || !(part & allowed)) {
        return trib_error_set(error, TRIB_ENOTFOUND, "tensor %.*s is not in the model", shown,
                              tensor->name);
    }
    if (!is_expected(target)) {
        return trib_error_set(error, TRIB_EINVALID, "tensor %.*s has the role %s", shown,
                              tensor->name, trib_role_name(target->role));
    }
    enum trib_status status =
        note_part(&update->carried[target - model->tensors], part, allowed, body, tensor, error);
    if (status == TRIB_OK && part == TRIB_PART_VALUES) {
        status = trib_tensor_same_shape(target, tensor, error);
    }
    update->groups |= UINT64_C(1) << target->group;
    return status;
}

static const struct trib_encoding *find_encoding(unsigned parts) {
    for (size_t i = 0; i < ENCODING_COUNT; i++) {
        if (encodings[i]->parts == parts) {
            return encodings[i];
        }
    }
    return NULL;
}

/* Every part of some encoding, and of no other one. */
static enum trib_status choose_encoding(struct trib_update *update, size_t index,
                                        struct trib_error *error) {
    const struct trib_tensor *tensor = &update->model->tensors[index];
    struct trib_carried *carried = &update->carried[index];
    if (carried->parts == 0) {
        return TRIB_OK;
    }
    carried->encoding = find_encoding(carried->parts);
    if (carried->encoding == NULL) {
        return trib_error_set(error, TRIB_EINVALID,
                              "tensor %.*s: an update has its values, or I8 and .scale, or .index "
                              "and .value; some are missing, or more are there",
                              trib_name_shown(tensor->name), tensor->name);
    }
    return carried->encoding->match == NULL ? TRIB_OK
                                            : carried->encoding->match(tensor, carried, error);
}

static bool has_group(const struct trib_update *update, uint32_t group) {
    return group < TRIB_GROUPS_MAX && (update->groups >> group & 1) != 0;
}

/* Whole groups or nothing: half a group would be averaged over other clients than the rest. */
static enum trib_status check_groups(const struct trib_update *update, struct trib_error *error) {
    const struct trib_layout *model = update->model;
    if (update->groups == 0) {
        return trib_error_set(error, TRIB_ENOTFOUND, "the update has no tensor");
    }
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct trib_tensor *tensor = &model->tensors[i];
        if (!is_expected(tensor) || update->carried[i].encoding != NULL ||
            !has_group(update, tensor->group)) {
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

static void free_update(struct trib_update *update) {
    if (update == NULL) {
        return;
    }
    const struct trib_env *env = update->env;
    trib_release(env, update->carried, update->model->tensor_count, sizeof *update->carried);
    trib_release(env, update, 1, sizeof *update);
}

static struct trib_update *new_update(const struct trib_env *env, const struct trib_layout *model,
                                      const struct trib_source *source) {
    struct trib_update *update = trib_allocate(env, 1, sizeof *update);
    if (update == NULL) {
        return NULL;
    }
    *update = (struct trib_update){.env = env, .model = model, .source = source};
    update->carried = trib_allocate(env, model->tensor_count, sizeof *update->carried);
    if (update->carried == NULL) {
        free_update(update);
        return NULL;
    }
    return update;
}

static enum trib_status read_head(const struct trib_env *env, const struct trib_layout *model,
                                  const struct trib_source *source,
                                  struct trib_update_metadata *metadata, struct trib_layout **body,
                                  struct trib_error *error) {
    struct trib_metadata_reader reader = {metadata, error};
    *metadata = (struct trib_update_metadata){0};
    return trib_safetensors_parse(env, source, head_bytes_max(model), trib_metadata_read, &reader,
                                  body, error);
}

enum trib_status trib_update_describe(const struct trib_env *env, const struct trib_layout *model,
                                      const struct trib_source *source,
                                      struct trib_update_metadata *metadata,
                                      struct trib_error *error) {
    struct trib_layout *body = NULL;
    const enum trib_status status = read_head(env, model, source, metadata, &body, error);
    trib_layout_free(body);
    return status;
}

static enum trib_status open_update(const struct trib_env *env, const struct trib_layout *model,
                                    const struct trib_source *source, unsigned allowed,
                                    struct trib_update **update,
                                    struct trib_update_metadata *metadata,
                                    struct trib_error *error) {
    TRIB_ASSERT(model->tensor_count > 0);
    *update = NULL;
    struct trib_update_metadata unwanted;
    struct trib_layout *body = NULL;
    enum trib_status status =
        read_head(env, model, source, metadata != NULL ? metadata : &unwanted, &body, error);
    if (status != TRIB_OK) {
        return status;
    }
    struct trib_update *opened = new_update(env, model, source);
    if (opened == NULL) {
        status = trib_error_set(error, TRIB_EMEMORY, "no memory to open an update");
    }
    for (size_t i = 0; i < body->tensor_count && status == TRIB_OK; i++) {
        status = match_tensor(opened, allowed, body, &body->tensors[i], error);
    }
    for (size_t i = 0; i < model->tensor_count && status == TRIB_OK; i++) {
        status = choose_encoding(opened, i, error);
    }
    if (status == TRIB_OK) {
        status = check_groups(opened, error);
    }
    trib_layout_free(body);
    if (status != TRIB_OK) {
        free_update(opened);
        return status;
    }
    *update = opened;
    return TRIB_OK;
}

/* --- over all tensors ---------------------------------------------------------------------------- */

static enum trib_status check_update(struct trib_update *update, const struct trib_kernels *kernels,
                                     double *norm, struct trib_error *error) {
    double square_sum = 0;
    for (size_t i = 0; i < update->model->tensor_count; i++) {
        const struct trib_encoding *encoding = update->carried[i].encoding;
        enum trib_status status = TRIB_OK;
        if (encoding != NULL) {
            status = encoding->check(update, i, kernels, &square_sum, error);
        }
        if (status != TRIB_OK) {
            return status;
        }
    }
    *norm = sqrt(square_sum);
    return TRIB_OK;
}

/* Dense stretches that wait to be folded together. */
struct fused {
    struct trib_stretch stretches[TRIB_FUSED_MAX];
    double scales[TRIB_FUSED_MAX];
    size_t count;
    enum trib_dtype dtype;
};

static enum trib_status fold_fused(struct fused *fused, const struct trib_kernels *kernels,
                                   int64_t *totals) {
    const size_t count = fused->count;
    fused->count = 0;
    return count == 0 ? TRIB_OK
                      : trib_dense_fold(fused->stretches, fused->scales, count, kernels, totals);
}

/* One tensor, from all updates: dense ones of one dtype together, the others by themselves. */
static enum trib_status fold_tensor(const struct trib_term *terms, size_t term_count,
                                    const struct trib_kernels *kernels, int shift,
                                    struct trib_stretch stretch, int64_t *totals) {
    struct fused fused = {.count = 0};
    enum trib_status status = TRIB_OK;
    for (size_t k = 0; k < term_count && status == TRIB_OK; k++) {
        stretch.update = terms[k].update;
        const struct trib_carried *carried = &stretch.update->carried[stretch.tensor];
        /* A whole number below 2^53 times a power of two: exact. */
        const double scale = ldexp((double)terms[k].weight, shift);
        if (carried->encoding == NULL) {
            continue;
        }
        if (carried->encoding != &trib_encoding_dense) {
            status = carried->encoding->fold(&stretch, kernels, scale, totals);
            continue;
        }
        if (fused.count == TRIB_FUSED_MAX || (fused.count > 0 && fused.dtype != carried->dtype)) {
            status = fold_fused(&fused, kernels, totals);
        }
        fused.dtype = carried->dtype;
        fused.stretches[fused.count] = stretch;
        fused.scales[fused.count++] = scale;
    }
    return status == TRIB_OK ? fold_fused(&fused, kernels, totals) : status;
}

static enum trib_status fold_updates(const struct trib_term *terms, size_t term_count,
                                     const struct trib_kernels *kernels, const int8_t *shift,
                                     uint64_t first, uint64_t count, int64_t *totals) {
    if (term_count == 0) {
        return TRIB_OK;
    }
    const struct trib_layout *model = terms[0].update->model;
    TRIB_ASSERT(first <= model->element_count);
    TRIB_ASSERT(count <= model->element_count - first);
    const uint64_t limit = first + count;
    for (size_t i = trib_layout_tensor_at(model, first);
         i < model->tensor_count && model->tensors[i].element_offset < limit; i++) {
        const uint64_t tensor_first = model->tensors[i].element_offset;
        const uint64_t tensor_limit = tensor_first + model->tensors[i].element_count;
        const uint64_t fold_first = first > tensor_first ? first : tensor_first;
        const uint64_t fold_limit = limit < tensor_limit ? limit : tensor_limit;
        const struct trib_stretch stretch = {
            .tensor = i,
            .first = fold_first - tensor_first,
            .limit = fold_limit - tensor_first,
        };
        const enum trib_status status = fold_tensor(terms, term_count, kernels, shift[i], stretch,
                                                    totals + (fold_first - first));
        if (status != TRIB_OK) {
            return status;
        }
    }
    return TRIB_OK;
}

/* --- what encodings share ------------------------------------------------------------------------- */

struct trib_scan trib_scan_values(const struct trib_kernels *kernels, enum trib_dtype dtype,
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

enum trib_status trib_refuse_value(const struct trib_tensor *tensor, uint64_t index, double value,
                                   struct trib_error *error) {
    const int shown = trib_name_shown(tensor->name);
    if (!isfinite(value)) {
        return trib_error_set(error, TRIB_ENONFINITE, "tensor %.*s: value %" PRIu64 " is %s", shown,
                              tensor->name, index, isnan(value) ? "not a number" : "infinite");
    }
    return trib_error_set(error, TRIB_EBOUND,
                          "tensor %.*s: value %" PRIu64 " is %.9g, delta_max is %.9g", shown,
                          tensor->name, index, value, tensor->delta_max);
}

enum trib_status trib_refuse_unreadable(const struct trib_tensor *tensor,
                                        struct trib_error *error) {
    return trib_error_set(error, TRIB_EIO, "tensor %.*s cannot be read",
                          trib_name_shown(tensor->name), tensor->name);
}

/* --- the codecs ------------------------------------------------------------------------------------ */

/* A codec by the parts that its updates may have. */
#define CODEC(codec, parts)                                                     \
    static enum trib_status open_##codec(                                       \
        const struct trib_env *env, const struct trib_layout *model,            \
        const struct trib_source *source, struct trib_update **update,          \
        struct trib_update_metadata *metadata, struct trib_error *error) {      \
        return open_update(env, model, source, parts, update, metadata, error); \
    }                                                                           \
    const struct trib_codec trib_codec_##codec = {                              \
        .name = #codec,                                                         \
        .open = open_##codec,                                                   \
        .free = free_update,                                                    \
        .check = check_update,                                                  \
        .has_group = has_group,                                                 \
        .fold = fold_updates,                                                   \
    };

CODEC(dense, TRIB_PART_VALUES)
CODEC(int8, TRIB_PART_VALUES | TRIB_PART_QUANTA | TRIB_PART_SCALE)
CODEC(sparse, TRIB_PART_VALUES | TRIB_PART_INDEX | TRIB_PART_SELECTED)
