/* target.h - what a fuzz target is: one function, called with one input at a time.
 *
 * The name is libFuzzer's. As a regression program main.c calls it with every file of a corpus. */
#ifndef TRIB_FUZZ_TARGET_H
#define TRIB_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

/* Copies the input first (fuzz_copy); aborts when a rule is broken; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A heap buffer of exactly the input's size, so that a sanitizer sees one byte too many. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    TRIB_ASSERT(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

#endif
