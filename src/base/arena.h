/* arena.h - memory that dies together: one message, one document, one step.
 *
 * Allocations are 16-byte aligned, never freed one by one; reset keeps the first block. */
#ifndef TRIB_BASE_ARENA_H
#define TRIB_BASE_ARENA_H

#include "base/env.h"

struct trib_arena {
    const struct trib_env *env;      /* private */
    struct trib_arena_block *newest; /* private */
    size_t bytes_max;                /* private: 0 = no limit */
    size_t bytes_used;               /* read-only */
};

/* bytes_max limits the sum of all allocations since init or reset (0 = unlimited). */
void trib_arena_init(struct trib_arena *arena, const struct trib_env *env, size_t bytes_max);
void trib_arena_deinit(struct trib_arena *arena); /* all-zero is safe */
void trib_arena_reset(struct trib_arena *arena);

/* Zeroed memory for count elements (not NULL for 0 of them); NULL: no memory, overflow or over
 * the limit. */
void *trib_arena_allocate(struct trib_arena *arena, size_t count, size_t bytes);
/* Copies of text; the result is NUL-terminated. NULL as above. */
char *trib_arena_copy(struct trib_arena *arena, const char *text, size_t text_bytes);
char *trib_arena_format(struct trib_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
