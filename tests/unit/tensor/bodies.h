/* bodies.h - for tests: safetensors files written by hand, and sources that show them in pieces. */
#ifndef TRIB_TENSOR_BODIES_H
#define TRIB_TENSOR_BODIES_H

#include <stdlib.h>
#include <string.h>

#include "tensor/source.h"

/* A file on the heap, of exactly its size, so that a sanitizer sees a read past its end. */
struct body {
    unsigned char *bytes;
    size_t byte_count;
    struct trib_source source;
};

/* u64 N, the JSON, then data_bytes of data (NULL: zeros). */
static inline struct body body_of(const char *json, const void *data, size_t data_bytes) {
    const size_t head = strlen(json);
    struct body body = {.byte_count = 8 + head + data_bytes};
    body.bytes = calloc(1, body.byte_count);
    for (size_t i = 0; i < 8; i++) {
        body.bytes[i] = (unsigned char)((uint64_t)head >> (8 * i));
    }
    memcpy(body.bytes + 8, json, head);
    if (data != NULL) {
        memcpy(body.bytes + 8 + head, data, data_bytes);
    }
    body.source = trib_source_of_memory(body.bytes, body.byte_count);
    return body;
}

static inline void body_free(struct body *body) {
    free(body->bytes);
    *body = (struct body){0};
}

/* The same bytes as lent chunks (chunk_bytes > 0) or as a file (0: nothing can be viewed). */
struct pieces {
    const unsigned char *bytes;
    size_t chunk_bytes;
    size_t reads_left; /* after so many reads they fail */
    size_t read_count;
    size_t view_count; /* that showed all that was asked for */
};

static inline enum trib_status pieces_read(void *context, uint64_t offset, void *bytes,
                                           size_t count) {
    struct pieces *pieces = context;
    if (pieces->read_count == pieces->reads_left) {
        return TRIB_EIO;
    }
    pieces->read_count++;
    memcpy(bytes, pieces->bytes + offset, count);
    return TRIB_OK;
}

static inline const void *pieces_view(void *context, uint64_t offset, size_t *count) {
    struct pieces *pieces = context;
    if (pieces->chunk_bytes == 0) {
        return NULL;
    }
    const size_t left = pieces->chunk_bytes - (size_t)(offset % pieces->chunk_bytes);
    pieces->view_count += *count <= left;
    *count = *count < left ? *count : left;
    return pieces->bytes + offset;
}

static inline struct trib_source pieces_of(struct pieces *pieces, const struct body *body,
                                           size_t chunk_bytes) {
    *pieces = (struct pieces){body->bytes, chunk_bytes, SIZE_MAX, 0, 0};
    return (struct trib_source){pieces, body->byte_count, pieces_read, pieces_view};
}

#endif
