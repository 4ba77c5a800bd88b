/* env_faulty.c - each block has a head of 64 bytes that remembers its size. */
#include "support/env_faulty.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

#define HEAD_BYTES 64
#define HEAD_MAGIC UINT64_C(0x7472696275746172)
#define RUBBISH_NEW 0xa5
#define RUBBISH_OLD 0xdd

struct block_head {
    uint64_t magic;
    size_t bytes;
};

static bool is_failure_due(struct trib_env_faulty *faulty) {
    if (faulty->allocations_until_failure == 0 || --faulty->allocations_until_failure > 0)
        return false;
    faulty->has_failed = true;
    return true;
}

static void *faulty_allocate(void *context, size_t bytes) {
    struct trib_env_faulty *faulty = context;
    TRIB_ASSERT(bytes > 0);
    pthread_mutex_lock(&faulty->lock);
    unsigned char *block = NULL;
    void *memory = NULL;
    if (!is_failure_due(faulty) && bytes <= PTRDIFF_MAX - HEAD_BYTES &&
        posix_memalign((void **)&block, HEAD_BYTES, HEAD_BYTES + bytes) == 0) {
        *(struct block_head *)block = (struct block_head){HEAD_MAGIC, bytes};
        memory = memset(block + HEAD_BYTES, RUBBISH_NEW, bytes);
        faulty->allocation_count++;
        faulty->blocks_live++;
        faulty->bytes_live += bytes;
        if (faulty->bytes_peak < faulty->bytes_live)
            faulty->bytes_peak = faulty->bytes_live;
    }
    pthread_mutex_unlock(&faulty->lock);
    return memory;
}

static void faulty_release(void *context, void *memory, size_t bytes) {
    struct trib_env_faulty *faulty = context;
    if (!memory)
        return;
    struct block_head *head = (struct block_head *)((unsigned char *)memory - HEAD_BYTES);
    TRIB_ASSERT(head->magic == HEAD_MAGIC); /* else: not from here, released twice, or underrun */
    TRIB_ASSERT(head->bytes == bytes);
    head->magic = 0;
    memset(memory, RUBBISH_OLD, bytes);
    pthread_mutex_lock(&faulty->lock);
    TRIB_ASSERT(faulty->blocks_live > 0);
    faulty->blocks_live--;
    faulty->bytes_live -= bytes;
    pthread_mutex_unlock(&faulty->lock);
    free(head);
}

static trib_time_ns faulty_monotonic(void *context) {
    return ((struct trib_env_faulty *)context)->now;
}

static double faulty_wall(void *context) {
    return ((struct trib_env_faulty *)context)->wall_now;
}

static void faulty_entropy(void *context, void *bytes, size_t count) {
    struct trib_env_faulty *faulty = context;
    pthread_mutex_lock(&faulty->lock);
    for (size_t index = 0; index < count; index++)
        ((unsigned char *)bytes)[index] = (unsigned char)trib_random_u64(&faulty->random);
    pthread_mutex_unlock(&faulty->lock);
}

static void faulty_log(void *context, enum trib_log_level level, const char *line) {
    struct trib_env_faulty *faulty = context;
    pthread_mutex_lock(&faulty->lock);
    faulty->log_count++;
    faulty->log_last_level = level;
    snprintf(faulty->log_last, sizeof faulty->log_last, "%s", line);
    pthread_mutex_unlock(&faulty->lock);
}

void trib_env_faulty_init(struct trib_env_faulty *faulty) {
    *faulty = (struct trib_env_faulty){
        .env =
            {
                .context = faulty,
                .allocate = faulty_allocate,
                .release = faulty_release,
                .monotonic = faulty_monotonic,
                .wall = faulty_wall,
                .entropy = faulty_entropy,
                .log = faulty_log,
            },
        .wall_now = 1.7e9,
    };
    trib_random_init(&faulty->random, 1);
    TRIB_ASSERT(pthread_mutex_init(&faulty->lock, NULL) == 0);
}

void trib_env_faulty_deinit(struct trib_env_faulty *faulty) {
    TRIB_ASSERT(faulty->blocks_live == 0);
    TRIB_ASSERT(faulty->bytes_live == 0);
    pthread_mutex_destroy(&faulty->lock);
}

void trib_env_faulty_fail(struct trib_env_faulty *faulty, uint64_t nth) {
    pthread_mutex_lock(&faulty->lock);
    faulty->allocations_until_failure = nth;
    faulty->has_failed = false;
    pthread_mutex_unlock(&faulty->lock);
}

uint64_t trib_env_faulty_bytes_live(struct trib_env_faulty *faulty) {
    pthread_mutex_lock(&faulty->lock);
    uint64_t bytes_live = faulty->bytes_live;
    pthread_mutex_unlock(&faulty->lock);
    return bytes_live;
}

bool trib_env_faulty_has_failed(struct trib_env_faulty *faulty) {
    pthread_mutex_lock(&faulty->lock);
    bool has_failed = faulty->has_failed;
    pthread_mutex_unlock(&faulty->lock);
    return has_failed;
}
