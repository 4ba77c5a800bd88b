/* vectors.h - the test vectors of tests/vectors, which were computed independently (see there).
 *
 * All functions assert that what they ask for is there. */
#ifndef TRIB_TESTS_LEARN_VECTORS_H
#define TRIB_TESTS_LEARN_VECTORS_H

#include <jansson.h>
#include <stddef.h>

#define VECTOR_TOLERANCE 1e-12     /* absolute, float64; as the files say */
#define VECTOR_TOLERANCE_FP32 2e-6 /* relative */

json_t *vectors_load(const char *file_name); /* json_decref() when done */
const json_t *vectors_case(const json_t *file, const char *case_name);
/* A member by its path, as in "outputs.leaf_A.sum_n". */
const json_t *vectors_at(const json_t *object, const char *path);
double vectors_number(const json_t *object, const char *path);
/* The numbers of an array, which must have exactly count of them. */
void vectors_numbers(const json_t *array, double *numbers, size_t count);

#endif
