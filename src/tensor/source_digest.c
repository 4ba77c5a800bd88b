/* source_digest.c - digests of a source. By itself, because a device reads sources without OpenSSL. */
#include "tensor/source.h"

#define PIECE_BYTES ((size_t)1 << 16)

enum trib_status trib_source_add(const struct trib_source *source, struct trib_digester *digester) {
    unsigned char buffer[PIECE_BYTES];
    for (uint64_t at = 0; at < source->byte_count;) {
        const uint64_t left = source->byte_count - at;
        const size_t count = left < sizeof buffer ? (size_t)left : sizeof buffer;
        const void *bytes = trib_source_bytes(source, at, count, buffer);
        if (bytes == NULL) {
            return TRIB_EIO;
        }
        trib_digester_add(digester, bytes, count);
        at += count;
    }
    return TRIB_OK;
}

enum trib_status trib_source_digest(const struct trib_source *source, struct trib_digest *digest) {
    struct trib_digester digester = {0};
    if (!trib_digester_begin(&digester)) {
        return TRIB_EMEMORY;
    }
    enum trib_status status = trib_source_add(source, &digester);
    if (status == TRIB_OK) {
        trib_digester_finish(&digester, digest);
    }
    trib_digester_abandon(&digester);
    return status;
}
