/* pool.h - a fixed number of equal chunks, lent and returned; it never grows.
 *
 * Memory is taken from the environment chunk by chunk as it is first needed and kept until it is
 * trimmed.
 * Thread: any; lending and returning take a short lock. */
#ifndef TRIB_BASE_POOL_H
#define TRIB_BASE_POOL_H

#include "base/env.h"

struct trib_pool;

/* chunk_bytes > 0; chunks_max > 0 bounds what can be out at one time. NULL: no memory. */
struct trib_pool *trib_pool_new(const struct trib_env *env, size_t chunk_bytes, size_t chunks_max);
/* Every chunk must have been returned (asserted: lent = returned). NULL allowed. */
void trib_pool_free(struct trib_pool *pool);

/* NULL when chunks_max are out or memory is: stop reading, do not grow. */
void *trib_pool_lend(struct trib_pool *pool);
void trib_pool_return(struct trib_pool *pool, void *chunk);

/* Give idle chunks back to the environment until `idle_max` are left. */
void trib_pool_trim(struct trib_pool *pool, size_t idle_max);
/* Give back those that nobody has missed since the last call. */
void trib_pool_trim_spare(struct trib_pool *pool);

size_t trib_pool_chunk_bytes(const struct trib_pool *pool);
size_t trib_pool_chunks_max(const struct trib_pool *pool);
size_t trib_pool_chunks_lent(const struct trib_pool *pool);

#endif
