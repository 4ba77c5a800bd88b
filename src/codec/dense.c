/* dense.c - one F32, BF16 or F16 value per element, as every training library can write it. */
#include "codec/encoding.h"

#include "tensor/convert.h"

/* 16 KiB of fp32 from each of the updates that are folded together: with the sums of the block they
 * stay in the second-level cache. Also the room on the stack for bodies that must be read. */
#define BLOCK_ELEMENTS 4096
#define ELEMENT_BYTES_MAX 4

static size_t block_length(uint64_t elements_left) {
    return elements_left < BLOCK_ELEMENTS ? (size_t)elements_left : BLOCK_ELEMENTS;
}

/* The values [first, first + count) of one tensor, in place or in buffer; NULL: not readable. */
static const void *see_values(const struct trib_update *update, const struct trib_carried *carried,
                              uint64_t first, size_t count, void *buffer) {
    const size_t width = trib_dtype_bytes(carried->dtype);
    return trib_source_bytes(update->source, carried->values_offset + first * width, count * width,
                             buffer);
}

static enum trib_status check_dense(const struct trib_update *update, size_t tensor_index,
                                    const struct trib_kernels *kernels, double *square_sum,
                                    struct trib_error *error) {
    _Alignas(64) unsigned char buffer[BLOCK_ELEMENTS * ELEMENT_BYTES_MAX];
    const struct trib_tensor *tensor = &update->model->tensors[tensor_index];
    const struct trib_carried *carried = &update->carried[tensor_index];
    uint64_t done = 0;
    while (done < tensor->element_count) {
        const size_t count = block_length(tensor->element_count - done);
        const void *values = see_values(update, carried, done, count, buffer);
        if (values == NULL) {
            return trib_refuse_unreadable(tensor, error);
        }
        const struct trib_scan scan =
            trib_scan_values(kernels, carried->dtype, values, count, tensor->delta_max);
        if (scan.first_bad < count) {
            const size_t width = trib_dtype_bytes(carried->dtype);
            float bad;
            (void)trib_convert_to_f32(&bad, carried->dtype,
                                      (const unsigned char *)values + scan.first_bad * width, 1);
            return trib_refuse_value(tensor, done + scan.first_bad, (double)bad, error);
        }
        *square_sum += scan.square_sum;
        done += count;
    }
    return TRIB_OK;
}

static trib_fold_kernel *fold_kernel(const struct trib_kernels *kernels, enum trib_dtype dtype) {
    switch (dtype) {
    case TRIB_BF16:
        return kernels->fold_bf16;
    case TRIB_F16:
        return kernels->fold_f16;
    default:
        return kernels->fold_f32;
    }
}

enum trib_status trib_dense_fold(const struct trib_stretch *stretches, const double *scales,
                                 size_t count, const struct trib_kernels *kernels,
                                 int64_t *totals) {
    _Alignas(64) unsigned char buffers[TRIB_FUSED_MAX][BLOCK_ELEMENTS * ELEMENT_BYTES_MAX];
    const size_t tensor = stretches[0].tensor;
    trib_fold_kernel *fold = fold_kernel(kernels, stretches[0].update->carried[tensor].dtype);
    const uint64_t limit = stretches[0].limit;
    uint64_t at = stretches[0].first;
    while (at < limit) {
        const size_t length = block_length(limit - at);
        const void *values[TRIB_FUSED_MAX];
        for (size_t k = 0; k < count; k++) {
            const struct trib_update *update = stretches[k].update;
            values[k] = see_values(update, &update->carried[tensor], at, length, buffers[k]);
            if (values[k] == NULL) {
                return TRIB_EIO;
            }
        }
        fold(totals, values, scales, count, length);
        at += length;
        totals += length;
    }
    return TRIB_OK;
}

static enum trib_status fold_dense(const struct trib_stretch *stretch,
                                   const struct trib_kernels *kernels, double scale,
                                   int64_t *totals) {
    return trib_dense_fold(stretch, &scale, 1, kernels, totals);
}

const struct trib_encoding trib_encoding_dense = {
    .parts = TRIB_PART_VALUES,
    .check = check_dense,
    .fold = fold_dense,
};
