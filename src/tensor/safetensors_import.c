/* safetensors_import.c - a model file becomes version 0: fp32, canonical, sealed. */
#include "tensor/safetensors.h"

#include <inttypes.h>
#include <string.h>

#include "tensor/convert.h"

/* At most 32 KiB on the stack (F64): musl gives a thread 128 KiB. */
#define PIECE_ELEMENTS 4096
#define ELEMENT_BYTES_MAX 8

static enum trib_status refuse_value(const struct trib_tensor *tensor, uint64_t index,
                                     struct trib_error *error) {
    const bool is_float = trib_dtype_is_float(tensor->dtype);
    return trib_error_set(error, is_float ? TRIB_ENONFINITE : TRIB_EBOUND,
                          "tensor %.*s: value %" PRIu64 " %s", trib_name_shown(tensor->name),
                          tensor->name, index,
                          is_float ? "is not a finite fp32 number" : "is not exact in fp32");
}

/* Elements [first, limit) of a tensor of the file. */
static enum trib_status import_values(const struct trib_layout *file,
                                      const struct trib_source *source,
                                      const struct trib_tensor *tensor, uint64_t first,
                                      uint64_t limit, float *values, struct trib_error *error) {
    _Alignas(64) unsigned char buffer[PIECE_ELEMENTS * ELEMENT_BYTES_MAX];
    const size_t width = trib_dtype_bytes(tensor->dtype);
    while (first < limit) {
        const size_t count =
            limit - first < PIECE_ELEMENTS ? (size_t)(limit - first) : PIECE_ELEMENTS;
        const uint64_t offset = file->data_offset + tensor->byte_offset + first * width;
        const void *bytes = trib_source_bytes(source, offset, count * width, buffer);
        if (bytes == NULL) {
            return trib_error_set(error, TRIB_EIO, "tensor %.*s cannot be read",
                                  trib_name_shown(tensor->name), tensor->name);
        }
        const size_t first_bad = trib_convert_to_f32(values, tensor->dtype, bytes, count);
        if (first_bad < count) {
            return refuse_value(tensor, first + first_bad, error);
        }
        first += count;
        values += count;
    }
    return TRIB_OK;
}

/* The same of a tensor of the version. */
static enum trib_status import_tensor(const struct trib_layout *file,
                                      const struct trib_source *source,
                                      const struct trib_tensor *target, uint64_t first,
                                      uint64_t limit, float *values, struct trib_error *error) {
    TRIB_ASSERT(target->dtype == TRIB_F32);
    if (target->is_companion) { /* begins at zero, whatever another run has left in the file */
        memset(values, 0, (size_t)(limit - first) * sizeof *values);
        return TRIB_OK;
    }
    const struct trib_tensor *origin = trib_layout_find(file, target->name);
    if (origin == NULL) {
        return trib_error_set(error, TRIB_ENOTFOUND, "tensor %.*s is missing",
                              trib_name_shown(target->name), target->name);
    }
    enum trib_status status = trib_tensor_same_shape(target, origin, error);
    return status == TRIB_OK ? import_values(file, source, origin, first, limit, values, error)
                             : status;
}

enum trib_status trib_safetensors_import_range(const struct trib_layout *file,
                                               const struct trib_source *source,
                                               const struct trib_layout *layout, uint64_t first,
                                               uint64_t count, float *values,
                                               struct trib_error *error) {
    const uint64_t end = first + count;
    enum trib_status status = TRIB_OK;
    size_t i = trib_layout_tensor_at(layout, first);
    for (; i < layout->tensor_count && status == TRIB_OK; i++) {
        const struct trib_tensor *target = &layout->tensors[i];
        const uint64_t begin = target->element_offset, limit = begin + target->element_count;
        if (begin >= end) {
            break;
        }
        const uint64_t from = first > begin ? first : begin, to = end < limit ? end : limit;
        if (from < to) {
            status = import_tensor(file, source, target, from - begin, to - begin,
                                   values + (from - first), error);
        }
    }
    return status;
}

enum trib_status trib_safetensors_import(const struct trib_env *env, const struct trib_layout *file,
                                         const struct trib_source *source,
                                         const struct trib_layout *layout,
                                         struct trib_block **version, struct trib_error *error) {
    *version = NULL;
    struct trib_block *block = trib_safetensors_block(env, layout);
    if (block == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for a version of %" PRIu64 " bytes",
                              layout->data_offset + layout->data_bytes);
    }
    float *values = (float *)(block->bytes + layout->data_offset);
    enum trib_status status = trib_safetensors_import_range(file, source, layout, 0,
                                                            layout->element_count, values, error);
    if (status != TRIB_OK) {
        trib_block_unref(block);
        return status;
    }
    trib_block_seal(block);
    *version = block;
    return TRIB_OK;
}
