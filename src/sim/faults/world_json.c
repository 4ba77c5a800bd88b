/* world_json.c - the memory of jansson, so that a crash can take it and a clean end can count it.
 *
 * Jansson gives texts away that its users return with free(), so its blocks cannot have a head of
 * ours: a set of addresses knows them, and free() of all that is linked here passes by (the
 * linker's --wrap). The set is a table with linear probing, removal shifts back. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_memory.h"
#include "base/status.h"
#include "sim/faults/machine.h"
#include "sim/faults/world.h"

static struct {
    void **places;
    size_t place_count; /* a power of two */
    size_t count;
} known;

void __real_free(void *memory); /* NOLINT: the linker's name for free() */
void __wrap_free(void *memory); /* NOLINT */

static size_t home_of(const void *memory) {
    return (size_t)((uintptr_t)memory * UINT64_C(0x9e3779b97f4a7c15) >> 20) &
           (known.place_count - 1);
}

static void put(void *memory) {
    size_t place = home_of(memory);
    while (known.places[place] != NULL) {
        place = (place + 1) & (known.place_count - 1);
    }
    known.places[place] = memory;
    known.count++;
}

static void grow(void) {
    void **before = known.places;
    size_t count = known.place_count;
    known.place_count = count == 0 ? 1024 : 2 * count;
    known.places = calloc(known.place_count, sizeof *known.places);
    TRIB_ASSERT(known.places != NULL);
    known.count = 0;
    for (size_t i = 0; i < count; i++) {
        if (before[i] != NULL) {
            put(before[i]);
        }
    }
    __real_free(before);
}

/* Those behind the gap move up, as long as that brings none before its home. */
static void close_gap(size_t gap) {
    size_t mask = known.place_count - 1;
    for (size_t next = (gap + 1) & mask; known.places[next] != NULL; next = (next + 1) & mask) {
        size_t home = home_of(known.places[next]);
        if (((next - home) & mask) >= ((next - gap) & mask)) {
            known.places[gap] = known.places[next];
            gap = next;
        }
    }
    known.places[gap] = NULL;
}

static void forget(const void *memory) {
    if (known.place_count == 0) {
        return;
    }
    for (size_t place = home_of(memory); known.places[place] != NULL;
         place = (place + 1) & (known.place_count - 1)) {
        if (known.places[place] == memory) {
            known.count--;
            close_gap(place);
            return;
        }
    }
}

void __wrap_free(void *memory) {
    if (memory != NULL) {
        forget(memory);
        __real_free(memory);
    }
}

static bool is_reading;

/* Short of memory, jansson's reader drops characters, and may then stop the program over what it
 * has made of them. So a text is read as a whole or not at all. */
json_t *__real_json_loadb(const char *, size_t, size_t, json_error_t *); /* NOLINT */
json_t *__wrap_json_loadb(const char *bytes, size_t count, size_t flags,
                          json_error_t *error); /* NOLINT */
json_t *__wrap_json_loadb(const char *bytes, size_t count, size_t flags, json_error_t *error) {
    if (world_refuses_memory(TALLY_NO_JSON_MEMORY)) {
        trib_json_note_refusal();
        return NULL;
    }
    is_reading = true;
    json_t *document = __real_json_loadb(bytes, count, flags, error);
    is_reading = false;
    return document;
}

json_t *__wrap_json_loads(const char *text, size_t flags, json_error_t *error); /* NOLINT */
json_t *__wrap_json_loads(const char *text, size_t flags, json_error_t *error) {
    return text == NULL ? NULL : __wrap_json_loadb(text, strlen(text), flags, error);
}

static void *json_allocate(size_t bytes) {
    if (!is_reading && world_refuses_memory(TALLY_NO_JSON_MEMORY)) {
        trib_json_note_refusal();
        return NULL;
    }
    if (2 * known.count >= known.place_count) {
        grow();
    }
    void *memory = malloc(bytes);
    TRIB_ASSERT(memory != NULL);
    put(memory);
    return memory;
}

size_t machine_json_live(void) {
    return known.count;
}

void machine_json_begin(void) {
    json_object_seed(1); /* the same tables in every run of a seed */
    json_set_alloc_funcs(json_allocate, __wrap_free);
}

void machine_json_crash(void) {
    for (size_t i = 0; i < known.place_count; i++) {
        __real_free(known.places[i]);
        known.places[i] = NULL;
    }
    known.count = 0;
}

void machine_json_end(void) {
    __real_free(known.places);
    known.places = NULL;
    known.place_count = known.count = 0;
    json_set_alloc_funcs(malloc, free);
}
