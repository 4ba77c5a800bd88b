/* int8.c - symmetric 8-bit blocks: x = q * scale of the block.
 *
 * The product of 8 and 24 bits is exact in double, and so is scale * weight: a term is rounded to
 * double once and to an integer once, whatever the instruction set. */
#include "codec/encoding.h"

#include <inttypes.h>
#include <math.h>

#define READ_ELEMENTS 8192

/* Elements of one block: so many that side_count blocks hold them all. */
static uint64_t block_elements(const struct trib_tensor *tensor,
                               const struct trib_carried *carried) {
    const uint64_t scales = carried->side_count;
    return tensor->element_count / scales + (tensor->element_count % scales != 0);
}

static enum trib_status match_int8(const struct trib_tensor *tensor,
                                   const struct trib_carried *carried, struct trib_error *error) {
    bool fits = carried->side_count > 0;
    if (fits && tensor->element_count > 0) {
        const uint64_t block = block_elements(tensor, carried);
        fits = (tensor->element_count - 1) / block + 1 == carried->side_count;
    }
    if (!fits) {
        return trib_error_set(error, TRIB_ESHAPE,
                              "tensor %.*s: %" PRIu64 " elements do not make %" PRIu64
                              " blocks of one length",
                              trib_name_shown(tensor->name), tensor->name, tensor->element_count,
                              carried->side_count);
    }
    return TRIB_OK;
}

/* A stretch within one block: its values, and their scale. */
struct piece {
    uint64_t first;
    size_t count;
    const int8_t *values;
    float scale;
};

/* The piece at element `first`, not past `limit`. False: not readable. */
static bool see_piece(const struct trib_update *update, size_t tensor_index, uint64_t first,
                      uint64_t limit, int8_t *buffer, struct piece *piece) {
    const struct trib_tensor *tensor = &update->model->tensors[tensor_index];
    const struct trib_carried *carried = &update->carried[tensor_index];
    const uint64_t length = block_elements(tensor, carried);
    const uint64_t block = first / length;
    const uint64_t block_limit = (block + 1) * length;
    uint64_t end = limit < block_limit ? limit : block_limit;
    end = end - first > READ_ELEMENTS ? first + READ_ELEMENTS : end;
    piece->first = first;
    piece->count = (size_t)(end - first);
    piece->values =
        trib_source_bytes(update->source, carried->values_offset + first, piece->count, buffer);
    const uint64_t scale_offset = carried->side_offset + block * sizeof piece->scale;
    return piece->values != NULL &&
           update->source->read(update->source->context, scale_offset, &piece->scale,
                                sizeof piece->scale) == TRIB_OK;
}

/* The largest q >= 0 with q * scale within the bound: at most 128. */
static int largest_quantum(double scale, double bound) {
    int q = 128;
    while (q > 0 && !(q * scale <= bound)) {
        q--;
    }
    return q;
}

static enum trib_status check_int8(const struct trib_update *update, size_t tensor_index,
                                   const struct trib_kernels *kernels, double *square_sum,
                                   struct trib_error *error) {
    int8_t buffer[READ_ELEMENTS];
    const struct trib_tensor *tensor = &update->model->tensors[tensor_index];
    struct piece piece;
    for (uint64_t at = 0; at < tensor->element_count; at += piece.count) {
        if (!see_piece(update, tensor_index, at, tensor->element_count, buffer, &piece)) {
            return trib_refuse_unreadable(tensor, error);
        }
        const double scale = (double)piece.scale;
        if (!(scale >= 0) || isinf(scale)) {
            return trib_error_set(error, TRIB_ENONFINITE,
                                  "tensor %.*s: the scale of value %" PRIu64
                                  " is %g, not a number of 0 or more",
                                  trib_name_shown(tensor->name), tensor->name, at, scale);
        }
        const struct trib_scan scan =
            kernels->scan_i8(piece.values, piece.count, largest_quantum(scale, tensor->delta_max));
        if (scan.first_bad < piece.count) {
            return trib_refuse_value(tensor, at + scan.first_bad,
                                     piece.values[scan.first_bad] * scale, error);
        }
        *square_sum += scan.square_sum * scale * scale;
    }
    return TRIB_OK;
}

static enum trib_status fold_int8(const struct trib_stretch *stretch,
                                  const struct trib_kernels *kernels, double scale,
                                  int64_t *totals) {
    int8_t buffer[READ_ELEMENTS];
    struct piece piece;
    for (uint64_t at = stretch->first; at < stretch->limit; at += piece.count) {
        if (!see_piece(stretch->update, stretch->tensor, at, stretch->limit, buffer, &piece)) {
            return TRIB_EIO;
        }
        const void *values = piece.values;
        const double piece_scale = (double)piece.scale * scale;
        kernels->fold_i8(totals + (at - stretch->first), &values, &piece_scale, 1, piece.count);
    }
    return TRIB_OK;
}

const struct trib_encoding trib_encoding_int8 = {
    .parts = TRIB_PART_QUANTA | TRIB_PART_SCALE,
    .match = match_int8,
    .check = check_int8,
    .fold = fold_int8,
};
