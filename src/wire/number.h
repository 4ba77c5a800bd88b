/* number.h - whole numbers as they stand in paths, queries and header fields. */
#ifndef TRIB_WIRE_NUMBER_H
#define TRIB_WIRE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* The whole text is one number below 2^64 as JSON writes it: digits only, no leading zero, so that
 * a number has one spelling. *number changes only on success. */
bool trib_number_read(const char *text, uint64_t *number);

#endif
