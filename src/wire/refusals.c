/* refusals.c - how often each error code was the answer. */
#include "wire/refusals.h"

#include <string.h>

void trib_refusals_add(struct trib_refusals *refusals, const char *code) {
    for (size_t i = 0; i < refusals->row_count; i++) {
        if (strcmp(refusals->rows[i].code, code) == 0) {
            refusals->rows[i].count++;
            return;
        }
    }
    if (refusals->row_count == TRIB_REFUSAL_CODES_MAX) {
        refusals->rows[TRIB_REFUSAL_CODES_MAX - 1].code = "other";
        refusals->rows[TRIB_REFUSAL_CODES_MAX - 1].count++;
        return;
    }
    refusals->rows[refusals->row_count++] = (struct trib_refusals_row){.code = code, .count = 1};
}
