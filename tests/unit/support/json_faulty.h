/* json_faulty.h - jansson with an allocator that counts, and fails on demand.
 *
 * Jansson takes its memory from functions set once for the whole program, so a test that sweeps
 * its allocations sets these:
 *
 *     json_faulty_begin();
 *     uint64_t nth = 0;
 *     do {
 *         json_faulty_fail(++nth);
 *         ... the operation, its result checked against json_faulty_has_failed() ...
 *         assert_int_equal(json_faulty_blocks_live(), 0);
 *     } while (json_faulty_has_failed());
 *     json_faulty_end();
 */
#ifndef TRIB_SUPPORT_JSON_FAULTY_H
#define TRIB_SUPPORT_JSON_FAULTY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <jansson.h>

static struct {
    uint64_t until_failure; /* 0: none */
    uint64_t blocks_live;
    bool has_failed;
} json_faulty;

static inline void *json_faulty_allocate(size_t byte_count) {
    if (json_faulty.until_failure > 0 && --json_faulty.until_failure == 0) {
        json_faulty.has_failed = true;
        return NULL;
    }
    void *memory = malloc(byte_count);
    json_faulty.blocks_live += memory != NULL;
    return memory;
}

static inline void json_faulty_release(void *memory) {
    json_faulty.blocks_live -= memory != NULL;
    free(memory);
}

static inline void json_faulty_begin(void) {
    json_set_alloc_funcs(json_faulty_allocate, json_faulty_release);
    json_faulty.blocks_live = 0;
}

static inline void json_faulty_end(void) {
    json_faulty.until_failure = 0;
    json_set_alloc_funcs(malloc, free);
}

/* The nth allocation from now on returns NULL (0 = none); once. */
static inline void json_faulty_fail(uint64_t nth) {
    json_faulty.until_failure = nth;
    json_faulty.has_failed = false;
}

static inline bool json_faulty_has_failed(void) {
    return json_faulty.has_failed;
}

static inline uint64_t json_faulty_blocks_live(void) {
    return json_faulty.blocks_live;
}

#endif
