/* json_memory.h - memory for jansson that leaves a note when there is none.
 *
 * When memory runs out while jansson reads a text, it calls the text malformed or, worse, drops
 * characters from it and goes on (2.14, lex_save). So a daemon gives it this allocator, and
 * whoever reads or writes a document looks for the note: what was made since may be wrong. */
#ifndef TRIB_BASE_JSON_MEMORY_H
#define TRIB_BASE_JSON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* malloc() with the note: json_set_alloc_funcs(trib_json_allocate, free). Any thread. */
void *trib_json_allocate(size_t byte_count);
/* Leave the note: for allocators of tests. Notes are per thread. */
void trib_json_note_refusal(void);
/* Is there a note? Takes it away. */
bool trib_json_was_refused(void);

#endif
