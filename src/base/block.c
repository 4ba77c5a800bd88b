/* block.c - one allocation: a head of 64 bytes, so that the data behind it stays aligned. Only bytes
 * that came from elsewhere lie elsewhere. */
#include "base/block.h"

#include <stdatomic.h>

#include "base/status.h"

#define HEAD_BYTES 64

_Static_assert(sizeof(struct trib_block) <= HEAD_BYTES, "the head must fit before the data");

/* A head with `room` bytes behind it. */
static struct trib_block *new_block(const struct trib_env *env, size_t room) {
    struct trib_block *block = trib_allocate(env, HEAD_BYTES + room, 1);
    if (!block)
        return NULL;
    block->bytes = (unsigned char *)block + HEAD_BYTES;
    block->byte_count = room;
    block->env = env;
    atomic_init(&block->references, 1);
    atomic_init(&block->is_sealed, false);
    return block;
}

struct trib_block *trib_block_new(const struct trib_env *env, size_t byte_count) {
    return byte_count > PTRDIFF_MAX - HEAD_BYTES ? NULL : new_block(env, byte_count);
}

struct trib_block *trib_block_of(const struct trib_env *env, void *bytes, size_t byte_count,
                                 void (*release)(void *bytes, size_t byte_count)) {
    struct trib_block *block = new_block(env, 0);
    if (!block)
        return NULL;
    block->bytes = bytes;
    block->byte_count = byte_count;
    block->release = release;
    trib_block_seal(block);
    return block;
}

void trib_block_seal(struct trib_block *block) {
    atomic_store_explicit(&block->is_sealed, true, memory_order_release);
}

bool trib_block_reopen(struct trib_block *block) {
    /* Acquires what the others did before they let go of it. */
    if (block->release || atomic_load_explicit(&block->references, memory_order_acquire) != 1)
        return false;
    atomic_store_explicit(&block->is_sealed, false, memory_order_relaxed);
    return true;
}

bool trib_block_is_sealed(const struct trib_block *block) {
    return atomic_load_explicit(&block->is_sealed, memory_order_acquire);
}

struct trib_block *trib_block_ref(struct trib_block *block) {
    uint32_t before = atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    TRIB_ASSERT(before > 0);
    TRIB_ASSERT(before < UINT32_MAX);
    return block;
}

void trib_block_unref(struct trib_block *block) {
    if (!block)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel);
    TRIB_ASSERT(before > 0);
    if (before > 1)
        return;
    if (block->release)
        block->release(block->bytes, block->byte_count);
    trib_release(block->env, block, HEAD_BYTES + (block->release ? 0 : block->byte_count), 1);
}
