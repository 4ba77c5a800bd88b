/* numbers.h - files that are called by a number: "7.safetensors", "12.segment", "3".
 *
 * Thread: any, one caller per list. */
#ifndef TRIB_STORE_NUMBERS_H
#define TRIB_STORE_NUMBERS_H

#include "base/files.h"

struct trib_numbers {
    uint64_t *numbers;          /* read-only: ascending */
    size_t count;               /* read-only */
    size_t capacity;            /* private */
    const struct trib_env *env; /* private */
};

/* The numbers of all files <number><suffix> in `folder` (decimal, without leading zeros); other
 * names are passed over. On error *numbers is zero. */
enum trib_status trib_numbers_list(const struct trib_env *env, const struct trib_files *files,
                                   const char *folder, const char *suffix,
                                   struct trib_numbers *numbers);
void trib_numbers_deinit(struct trib_numbers *numbers); /* all-zero is safe */

/* Position of number; count when it is not there. */
size_t trib_numbers_find(const struct trib_numbers *numbers, uint64_t number);

#endif
