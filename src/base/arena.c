/* arena.c - a chain of blocks filled from the front.
 *
 * Each new block is twice the size of the one before, up to a bound, so a small document costs one
 * allocation and a large one few. An allocation that does not fit the newest block starts
 * another; the rest of the old one is given up. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ALIGNMENT 16
#define FIRST_BLOCK_BYTES 2048
#define LARGEST_BLOCK_BYTES 65536

struct trib_arena_block {
    alignas(ALIGNMENT) struct trib_arena_block *older; /* NULL: the first block */
    size_t byte_count;                                 /* room behind this head */
    size_t bytes_used;
};

static unsigned char *block_bytes(struct trib_arena_block *block) {
    return (unsigned char *)(block + 1);
}

static void release_block(const struct trib_arena *arena, struct trib_arena_block *block) {
    arena->env->release(arena->env->context, block, sizeof *block + block->byte_count);
}

void trib_arena_init(struct trib_arena *arena, const struct trib_env *env, size_t bytes_max) {
    *arena = (struct trib_arena){.env = env, .bytes_max = bytes_max};
}

void trib_arena_deinit(struct trib_arena *arena) {
    if (!arena->newest)
        return;
    trib_arena_reset(arena);
    release_block(arena, arena->newest);
    arena->newest = NULL;
}

void trib_arena_reset(struct trib_arena *arena) {
    arena->bytes_used = 0;
    if (!arena->newest)
        return;
    while (arena->newest->older) {
        struct trib_arena_block *older = arena->newest->older;
        release_block(arena, arena->newest);
        arena->newest = older;
    }
    arena->newest->bytes_used = 0;
}

/* A new newest block with room for at least bytes. */
static bool add_block(struct trib_arena *arena, size_t bytes) {
    size_t room = FIRST_BLOCK_BYTES;
    if (arena->newest) {
        room = arena->newest->byte_count * 2;
        if (room > LARGEST_BLOCK_BYTES)
            room = LARGEST_BLOCK_BYTES;
    }
    if (room < bytes)
        room = bytes;
    struct trib_arena_block *block =
        arena->env->allocate(arena->env->context, sizeof *block + room);
    if (!block)
        return false;
    *block = (struct trib_arena_block){.older = arena->newest, .byte_count = room};
    arena->newest = block;
    return true;
}

void *trib_arena_allocate(struct trib_arena *arena, size_t count, size_t bytes) {
    size_t wanted;
    if (!trib_count_to_bytes(count, bytes, &wanted) ||
        wanted > PTRDIFF_MAX - sizeof(struct trib_arena_block) - ALIGNMENT)
        return NULL;
    wanted = (wanted + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (wanted == 0)
        wanted = ALIGNMENT;
    if (arena->bytes_max > 0 &&
        (arena->bytes_used > arena->bytes_max || wanted > arena->bytes_max - arena->bytes_used))
        return NULL;
    struct trib_arena_block *newest = arena->newest;
    if (!newest || newest->byte_count - newest->bytes_used < wanted) {
        if (!add_block(arena, wanted))
            return NULL;
        newest = arena->newest;
    }
    void *memory = block_bytes(newest) + newest->bytes_used;
    newest->bytes_used += wanted;
    arena->bytes_used += wanted;
    return memset(memory, 0, wanted);
}

char *trib_arena_copy(struct trib_arena *arena, const char *text, size_t text_bytes) {
    if (text_bytes >= PTRDIFF_MAX)
        return NULL;
    char *copy = trib_arena_allocate(arena, text_bytes + 1, 1);
    if (copy && text_bytes > 0)
        memcpy(copy, text, text_bytes);
    return copy;
}

char *trib_arena_format(struct trib_arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int text_bytes = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = text_bytes < 0 ? NULL : trib_arena_allocate(arena, (size_t)text_bytes + 1, 1);
    if (!text)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)text_bytes + 1, format, arguments);
    va_end(arguments);
    return text;
}
