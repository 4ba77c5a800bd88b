/* source.c - bytes in memory as a source, and the one way to look at a range of any source. */
#include "tensor/source.h"

#include <string.h>

static enum trib_status read_memory(void *context, uint64_t offset, void *bytes, size_t count) {
    if (count > 0) {
        memcpy(bytes, (const unsigned char *)context + offset, count);
    }
    return TRIB_OK;
}

static const void *view_memory(void *context, uint64_t offset, size_t *count) {
    (void)count; /* everything asked for is in one piece */
    return (const unsigned char *)context + offset;
}

struct trib_source trib_source_of_memory(const void *bytes, uint64_t byte_count) {
    return (struct trib_source){
        .context = (void *)(uintptr_t)bytes, /* both functions only read */
        .byte_count = byte_count,
        .read = read_memory,
        .view = view_memory,
    };
}

const void *trib_source_bytes(const struct trib_source *source, uint64_t offset, size_t count,
                              void *buffer) {
    TRIB_ASSERT(offset <= source->byte_count);
    TRIB_ASSERT(count <= source->byte_count - offset);
    if (count == 0) {
        return buffer;
    }
    if (source->view != NULL) {
        size_t seen = count;
        const void *bytes = source->view(source->context, offset, &seen);
        if (bytes != NULL && seen == count) {
            return bytes;
        }
    }
    return source->read(source->context, offset, buffer, count) == TRIB_OK ? buffer : NULL;
}
