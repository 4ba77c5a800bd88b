/* source.h - the bytes of a body wherever they lie: one block, lent chunks, or a file.
 *
 * Readers ask for views and copy only where a view would straddle two chunks. */
#ifndef TRIB_TENSOR_SOURCE_H
#define TRIB_TENSOR_SOURCE_H

#include "base/digest.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct trib_source {
    void *context;
    uint64_t byte_count;
    /* Exactly count bytes at offset (offset + count <= byte_count). TRIB_EIO. Thread: any. */
    enum trib_status (*read)(void *context, uint64_t offset, void *bytes, size_t count);
    /* Borrow the bytes at offset without copying: *count is what can be seen in one piece, at
     * most what was asked. NULL slot, or NULL result: not in memory, use read. Thread: any. */
    const void *(*view)(void *context, uint64_t offset, size_t *count);
};

/* Bytes that stay in memory while the source is used. The struct is the caller's. */
struct trib_source trib_source_of_memory(const void *bytes, uint64_t byte_count);

/* See exactly count bytes at offset (offset + count <= byte_count): in place when one view holds
 * them all, otherwise read into buffer, which has room for count bytes. The result has any
 * alignment and is valid as long as both source and buffer. NULL: TRIB_EIO. Thread: any. */
const void *trib_source_bytes(const struct trib_source *source, uint64_t offset, size_t count,
                              void *buffer);
/* Add all its bytes to a digest that has begun, a piece at a time. TRIB_EIO: some of them. */
enum trib_status trib_source_add(const struct trib_source *source, struct trib_digester *digester);
/* SHA-256 of all its bytes, a piece at a time. TRIB_EIO, TRIB_EMEMORY: *digest is untouched. */
enum trib_status trib_source_digest(const struct trib_source *source, struct trib_digest *digest);

#endif
