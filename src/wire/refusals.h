/* refusals.h - how often each error code (docs/protocol.md) was the answer. */
#ifndef TRIB_WIRE_REFUSALS_H
#define TRIB_WIRE_REFUSALS_H

#include <stddef.h>
#include <stdint.h>

#define TRIB_REFUSAL_CODES_MAX 64 /* docs/protocol.md has fewer; what does not fit is "other" */

/* All zero: none yet. */
struct trib_refusals {
    struct trib_refusals_row {
        const char *code;
        uint64_t count;
    } rows[TRIB_REFUSAL_CODES_MAX]; /* read-only */
    size_t row_count;               /* read-only */
};

/* code: kept, a constant of the program. */
void trib_refusals_add(struct trib_refusals *refusals, const char *code);

#endif
