/* json_memory.c - memory for jansson that leaves a note when there is none. */
#include "base/json_memory.h"

#include <stdlib.h>

static _Thread_local bool is_noted;

void trib_json_note_refusal(void) {
    is_noted = true;
}

bool trib_json_was_refused(void) {
    bool was_noted = is_noted;
    is_noted = false;
    return was_noted;
}

void *trib_json_allocate(size_t byte_count) {
    void *memory = malloc(byte_count);
    if (memory == NULL) {
        trib_json_note_refusal();
    }
    return memory;
}
