/* block.h - large numeric data: 64-byte aligned, reference counted, sealed before it is shared.
 *
 * The holder of the only reference may write until trib_block_seal(); afterwards nobody may, unless
 * all others have let go of it and it is opened again.
 * References may be taken and dropped on any thread. */
#ifndef TRIB_BASE_BLOCK_H
#define TRIB_BASE_BLOCK_H

#include "base/env.h"

struct trib_block {
    unsigned char *bytes;       /* 64-byte aligned; writable only before seal */
    size_t byte_count;          /* read-only */
    const struct trib_env *env; /* private */
    void (*release)(void *bytes, size_t byte_count); /* private; NULL: they lie behind the head */
    _Atomic uint32_t references;                     /* private */
    _Atomic bool is_sealed;                          /* private */
};

/* Contents are zero; one reference. byte_count may be 0. NULL: no memory. */
struct trib_block *trib_block_new(const struct trib_env *env, size_t byte_count);
/* A sealed block of bytes[byte_count] that are kept elsewhere: release(bytes, byte_count) is called,
 * on whatever thread, when nobody holds it any more. NULL: no memory, and they are the caller's. */
struct trib_block *trib_block_of(const struct trib_env *env, void *bytes, size_t byte_count,
                                 void (*release)(void *bytes, size_t byte_count));
void trib_block_seal(struct trib_block *block);
/* Makes a sealed block writable again, as it is. False: somebody else holds it, too, or its bytes
 * are not its own. */
bool trib_block_reopen(struct trib_block *block);
bool trib_block_is_sealed(const struct trib_block *block);
struct trib_block *trib_block_ref(struct trib_block *block); /* returns its argument */
void trib_block_unref(struct trib_block *block);             /* NULL allowed */

#endif
