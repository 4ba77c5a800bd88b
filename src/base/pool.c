/* pool.c - chunks come from the environment on first need and wait in a stack between loans.
 *
 * The stack's storage is taken once, so lending and returning never allocate after the first
 * round, and the chunk returned last, still warm in the cache, is lent first. */
#include "base/pool.h"

#include <pthread.h>

#include "base/status.h"

struct trib_pool {
    const struct trib_env *env;
    size_t chunk_bytes;
    size_t chunks_max;
    pthread_mutex_t lock;
    size_t lent_count; /* out now */
    size_t idle_count; /* allocated and not out: idle[0 .. idle_count) */
    size_t idle_least; /* the least that idle_count has been since trib_pool_trim_spare() */
    void *idle[];
};

static size_t pool_bytes(size_t chunks_max) {
    return sizeof(struct trib_pool) + chunks_max * sizeof(void *);
}

struct trib_pool *trib_pool_new(const struct trib_env *env, size_t chunk_bytes, size_t chunks_max) {
    TRIB_ASSERT(chunk_bytes > 0);
    TRIB_ASSERT(chunks_max > 0);
    size_t stack_bytes;
    if (!trib_count_to_bytes(chunks_max, sizeof(void *), &stack_bytes) ||
        stack_bytes > PTRDIFF_MAX - sizeof(struct trib_pool))
        return NULL;
    struct trib_pool *pool = trib_allocate(env, pool_bytes(chunks_max), 1);
    if (!pool)
        return NULL;
    pool->env = env;
    pool->chunk_bytes = chunk_bytes;
    pool->chunks_max = chunks_max;
    TRIB_ASSERT(pthread_mutex_init(&pool->lock, NULL) == 0);
    return pool;
}

void trib_pool_free(struct trib_pool *pool) {
    if (!pool)
        return;
    TRIB_ASSERT(pool->lent_count == 0);
    for (size_t index = 0; index < pool->idle_count; index++)
        trib_release(pool->env, pool->idle[index], pool->chunk_bytes, 1);
    pthread_mutex_destroy(&pool->lock);
    trib_release(pool->env, pool, pool_bytes(pool->chunks_max), 1);
}

void *trib_pool_lend(struct trib_pool *pool) {
    void *chunk = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->idle_count > 0)
        chunk = pool->idle[--pool->idle_count];
    else if (pool->lent_count < pool->chunks_max) /* none idle: all that exist are out */
        chunk = pool->env->allocate(pool->env->context, pool->chunk_bytes);
    if (chunk)
        pool->lent_count++;
    if (pool->idle_count < pool->idle_least)
        pool->idle_least = pool->idle_count;
    pthread_mutex_unlock(&pool->lock);
    return chunk;
}

void trib_pool_return(struct trib_pool *pool, void *chunk) {
    TRIB_ASSERT(chunk != NULL);
    pthread_mutex_lock(&pool->lock);
    TRIB_ASSERT(pool->lent_count > 0);
    pool->lent_count--;
    pool->idle[pool->idle_count++] = chunk;
    pthread_mutex_unlock(&pool->lock);
}

static void trim(struct trib_pool *pool, size_t idle_max) {
    while (pool->idle_count > idle_max)
        trib_release(pool->env, pool->idle[--pool->idle_count], pool->chunk_bytes, 1);
    if (pool->idle_count < pool->idle_least)
        pool->idle_least = pool->idle_count;
}

void trib_pool_trim(struct trib_pool *pool, size_t idle_max) {
    pthread_mutex_lock(&pool->lock);
    trim(pool, idle_max);
    pthread_mutex_unlock(&pool->lock);
}

void trib_pool_trim_spare(struct trib_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    trim(pool, pool->idle_count - pool->idle_least);
    pool->idle_least = pool->idle_count;
    pthread_mutex_unlock(&pool->lock);
}

size_t trib_pool_chunk_bytes(const struct trib_pool *pool) {
    return pool->chunk_bytes;
}

size_t trib_pool_chunks_max(const struct trib_pool *pool) {
    return pool->chunks_max;
}

size_t trib_pool_chunks_lent(const struct trib_pool *pool) {
    /* The lock is the one part of a const pool that a reader must change. */
    pthread_mutex_t *lock = (pthread_mutex_t *)&pool->lock;
    pthread_mutex_lock(lock);
    size_t lent_count = pool->lent_count;
    pthread_mutex_unlock(lock);
    return lent_count;
}
