/* small_version.h - a version of three tensors: bias [2], scale [1], weight [2,3]. */
#ifndef TRIB_TEST_SMALL_VERSION_H
#define TRIB_TEST_SMALL_VERSION_H

#include <stddef.h>

#include "base/env.h"

#define SMALL_VALUES 9

/* The file of a version whose values, in name order, are first, first + 1, ...; release with
 * trib_release(env, file, *byte_count, 1). NULL: no memory. */
unsigned char *small_version(const struct trib_env *env, float first, size_t *byte_count);
/* Reads the values of a file back, in name order; returns how many there are, -1 when the file is
 * not canonical safetensors. names gets "bias,scale,weight". */
int small_version_read(const void *file, size_t byte_count, float values[SMALL_VALUES],
                       char names[64]);

#endif
