/* safetensors_write.c - the canonical head: one model, one sequence of bytes.
 *
 * The same function counts and writes, so that the two cannot disagree. */
#include "tensor/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define LENGTH_BYTES 8
#define DATA_ALIGNMENT 64

/* Counts what is written; bytes is NULL when counting is all that is wanted. */
struct pen {
    char *bytes;
    uint64_t byte_count;
};

static void put(struct pen *pen, const char *text, size_t byte_count) {
    if (pen->bytes != NULL) {
        memcpy(pen->bytes + pen->byte_count, text, byte_count);
    }
    pen->byte_count += byte_count;
}

static void put_text(struct pen *pen, const char *text) {
    put(pen, text, strlen(text));
}

static void put_number(struct pen *pen, uint64_t number) {
    char digits[24];
    put(pen, digits, (size_t)snprintf(digits, sizeof digits, "%" PRIu64, number));
}

/* Names hold no control characters, so nothing else needs an escape (RFC 8259, section 7). */
static void put_name(struct pen *pen, const char *name) {
    put_text(pen, "\"");
    for (; *name != '\0'; name++) {
        if (*name == '"' || *name == '\\') {
            put_text(pen, "\\");
        }
        put(pen, name, 1);
    }
    put_text(pen, "\"");
}

static void put_tensor(struct pen *pen, const struct trib_tensor *tensor) {
    put_name(pen, tensor->name);
    put_text(pen, ":{\"dtype\":\"");
    put_text(pen, trib_dtype_name(tensor->dtype));
    put_text(pen, "\",\"shape\":[");
    for (uint32_t i = 0; i < tensor->rank; i++) {
        put_text(pen, i > 0 ? "," : "");
        put_number(pen, tensor->shape[i]);
    }
    put_text(pen, "],\"data_offsets\":[");
    put_number(pen, tensor->byte_offset);
    put_text(pen, ",");
    put_number(pen, tensor->byte_offset + trib_tensor_bytes(tensor));
    put_text(pen, "]}");
}

static void put_head(struct pen *pen, const struct trib_layout *layout) {
    put_text(pen, "{");
    for (size_t i = 0; i < layout->tensor_count; i++) {
        put_text(pen, i > 0 ? "," : "");
        put_tensor(pen, &layout->tensors[i]);
    }
    put_text(pen, "}");
    while ((LENGTH_BYTES + pen->byte_count) % DATA_ALIGNMENT != 0) {
        put_text(pen, " ");
    }
}

/* Where each tensor lies when they follow one another in name order. */
static enum trib_status place_tensors(struct trib_layout *layout, struct trib_error *error) {
    layout->data_bytes = 0;
    for (size_t i = 0; i < layout->tensor_count; i++) {
        struct trib_tensor *tensor = &layout->tensors[i];
        tensor->byte_offset = layout->data_bytes;
        /* Each is at most INT64_MAX, so this sum cannot wrap before the test sees it. */
        layout->data_bytes += trib_tensor_bytes(tensor);
        if (layout->data_bytes > INT64_MAX) {
            return trib_error_set(error, TRIB_ELIMIT, "the tensors have too many bytes");
        }
    }
    struct pen count = {NULL, 0};
    put_head(&count, layout);
    layout->data_offset = LENGTH_BYTES + count.byte_count;
    return TRIB_OK;
}

enum trib_status trib_layout_of_tensors(const struct trib_env *env,
                                        const struct trib_tensor *tensors, size_t count,
                                        struct trib_layout **layout, struct trib_error *error) {
    *layout = NULL;
    if (count > TRIB_TENSORS_MAX) {
        return trib_error_set(error, TRIB_ELIMIT, "%zu tensors are over the limit of %d", count,
                              TRIB_TENSORS_MAX);
    }
    size_t names_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        names_bytes += strlen(tensors[i].name) + 1;
    }
    struct trib_layout *made = trib_layout_new(env, count, names_bytes);
    if (made == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for %zu tensors", count);
    }
    enum trib_status status = TRIB_OK;
    for (size_t i = 0; i < count && status == TRIB_OK; i++) {
        status = trib_layout_append(made, &tensors[i], error);
    }
    if (status == TRIB_OK) {
        status = trib_layout_order(made, error);
    }
    if (status == TRIB_OK) {
        status = place_tensors(made, error);
    }
    if (status != TRIB_OK) {
        trib_layout_free(made);
        return status;
    }
    *layout = made;
    return TRIB_OK;
}

struct trib_block *trib_safetensors_block(const struct trib_env *env,
                                          const struct trib_layout *layout) {
    /* Both are far below 2^64; a machine of 32 bits may still not have the memory. */
    const uint64_t byte_count = layout->data_offset + layout->data_bytes;
    if (byte_count > PTRDIFF_MAX) {
        return NULL;
    }
    struct trib_block *block = trib_block_new(env, (size_t)byte_count);
    if (block != NULL) {
        trib_safetensors_write_head(layout, block->bytes, block->byte_count);
    }
    return block;
}

void trib_safetensors_write_head(const struct trib_layout *layout, void *bytes, size_t room) {
    TRIB_ASSERT(room >= layout->data_offset);
    struct trib_writer writer;
    trib_writer_init(&writer, bytes, room);
    trib_put_u64(&writer, layout->data_offset - LENGTH_BYTES);
    /* Counted first: a layout that was parsed may have another head than the one it would get. */
    struct pen pen = {NULL, 0};
    put_head(&pen, layout);
    TRIB_ASSERT(LENGTH_BYTES + pen.byte_count == layout->data_offset);
    pen = (struct pen){(char *)bytes + LENGTH_BYTES, 0};
    put_head(&pen, layout);
}
