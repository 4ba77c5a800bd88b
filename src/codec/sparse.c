/* sparse.c - positions and values; what has no position is 0.
 *
 * Positions rise strictly, so every element is added once, a range is found by bisection, and
 * workers on disjoint ranges never meet. */
#include "codec/encoding.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tensor/convert.h"

#define BLOCK_ELEMENTS 1024

static enum trib_status match_sparse(const struct trib_tensor *tensor,
                                     const struct trib_carried *carried, struct trib_error *error) {
    if (carried->side_count != carried->values_count) {
        return trib_error_set(error, TRIB_ESHAPE,
                              "tensor %.*s: %" PRIu64 " positions in .index, %" PRIu64
                              " numbers in .value",
                              trib_name_shown(tensor->name), tensor->name, carried->side_count,
                              carried->values_count);
    }
    return TRIB_OK;
}

/* Negative positions come out larger than any tensor. */
static uint64_t position_at(const unsigned char *bytes, enum trib_dtype dtype) {
    if (dtype == TRIB_I64 || dtype == TRIB_U64) {
        uint64_t position;
        memcpy(&position, bytes, sizeof position);
        return position;
    }
    uint32_t position;
    memcpy(&position, bytes, sizeof position);
    return dtype == TRIB_I32 ? (uint64_t)(int64_t)(int32_t)position : position;
}

/* Neighbouring positions and values. */
struct block {
    size_t count;
    uint64_t positions[BLOCK_ELEMENTS];
    float values[BLOCK_ELEMENTS];
};

static bool read_block(const struct trib_update *update, const struct trib_carried *carried,
                       uint64_t first, struct block *block) {
    unsigned char buffer[BLOCK_ELEMENTS * sizeof(uint64_t)];
    const uint64_t left = carried->side_count - first;
    const size_t width = trib_dtype_bytes(carried->side_dtype);
    const size_t value_width = trib_dtype_bytes(carried->dtype);
    block->count = left < BLOCK_ELEMENTS ? (size_t)left : BLOCK_ELEMENTS;
    const unsigned char *positions = trib_source_bytes(
        update->source, carried->side_offset + first * width, block->count * width, buffer);
    for (size_t i = 0; positions != NULL && i < block->count; i++) {
        block->positions[i] = position_at(positions + i * width, carried->side_dtype);
    }
    const void *values =
        trib_source_bytes(update->source, carried->values_offset + first * value_width,
                          block->count * value_width, buffer);
    if (positions == NULL || values == NULL) {
        return false;
    }
    (void)trib_convert_to_f32(block->values, carried->dtype, values, block->count);
    return true;
}

/* Each position is in the tensor and above the one before; *next is the lowest that may follow. */
static enum trib_status check_positions(const struct trib_tensor *tensor, const struct block *block,
                                        uint64_t first, uint64_t *next, struct trib_error *error) {
    for (size_t i = 0; i < block->count; i++) {
        const uint64_t position = block->positions[i];
        if (position >= tensor->element_count || position < *next) {
            return trib_error_set(error, TRIB_EINVALID,
                                  "tensor %.*s: .index[%" PRIu64 "] is %" PRId64
                                  "; positions rise and stay below %" PRIu64,
                                  trib_name_shown(tensor->name), tensor->name, first + i,
                                  (int64_t)position, tensor->element_count);
        }
        *next = position + 1;
    }
    return TRIB_OK;
}

static enum trib_status check_sparse(const struct trib_update *update, size_t tensor_index,
                                     const struct trib_kernels *kernels, double *square_sum,
                                     struct trib_error *error) {
    struct block block;
    const struct trib_tensor *tensor = &update->model->tensors[tensor_index];
    const struct trib_carried *carried = &update->carried[tensor_index];
    uint64_t next = 0;
    for (uint64_t at = 0; at < carried->side_count; at += block.count) {
        if (!read_block(update, carried, at, &block)) {
            return trib_refuse_unreadable(tensor, error);
        }
        const enum trib_status status = check_positions(tensor, &block, at, &next, error);
        if (status != TRIB_OK) {
            return status;
        }
        const struct trib_scan scan =
            kernels->scan_f32(block.values, block.count, tensor->delta_max);
        if (scan.first_bad < block.count) {
            return trib_refuse_value(tensor, block.positions[scan.first_bad],
                                     (double)block.values[scan.first_bad], error);
        }
        *square_sum += scan.square_sum;
    }
    return TRIB_OK;
}

/* How many positions are below `element`: the first of a range. UINT64_MAX: not readable. */
static uint64_t count_below(const struct trib_update *update, const struct trib_carried *carried,
                            uint64_t element) {
    const size_t width = trib_dtype_bytes(carried->side_dtype);
    uint64_t low = 0;
    uint64_t high = carried->side_count;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        unsigned char bytes[sizeof(uint64_t)];
        if (update->source->read(update->source->context, carried->side_offset + middle * width,
                                 bytes, width) != TRIB_OK) {
            return UINT64_MAX;
        }
        if (position_at(bytes, carried->side_dtype) < element) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static enum trib_status fold_sparse(const struct trib_stretch *stretch,
                                    const struct trib_kernels *kernels, double scale,
                                    int64_t *totals) {
    (void)kernels; /* what is scattered is not added by vectors */
    struct block block;
    const struct trib_carried *carried = &stretch->update->carried[stretch->tensor];
    uint64_t at = count_below(stretch->update, carried, stretch->first);
    if (at == UINT64_MAX) {
        return TRIB_EIO;
    }
    for (; at < carried->side_count; at += block.count) {
        if (!read_block(stretch->update, carried, at, &block)) {
            return TRIB_EIO;
        }
        for (size_t i = 0; i < block.count; i++) {
            if (block.positions[i] >= stretch->limit) {
                return TRIB_OK;
            }
            totals[block.positions[i] - stretch->first] +=
                (int64_t)rint((double)block.values[i] * scale);
        }
    }
    return TRIB_OK;
}

const struct trib_encoding trib_encoding_sparse = {
    .parts = TRIB_PART_INDEX | TRIB_PART_SELECTED,
    .match = match_sparse,
    .check = check_sparse,
    .fold = fold_sparse,
};
