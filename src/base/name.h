/* name.h - names that come from outside: run names, client ids, update ids.
 *
 * A name is 1 to 64 characters of [A-Za-z0-9._-], the first a letter or digit. So no name can be
 * a path, an option or a control character, and none needs encoding in a URL or a file name. */
#ifndef TRIB_BASE_NAME_H
#define TRIB_BASE_NAME_H

#include <stdbool.h>
#include <stddef.h>

#define TRIB_NAME_BYTES 65 /* with the NUL */

bool trib_name_is_valid(const char *text, size_t text_bytes);

/* Glob match of a tensor name: '*' any run of characters, '?' one; everything else itself.
 * No recursion; linear in practice, quadratic at worst. */
bool trib_glob_matches(const char *pattern, const char *text);

/* Edit distance (Levenshtein) of two short texts, both cut to 63 characters; used for
 * "did you mean". */
size_t trib_text_distance(const char *a, const char *b);

#endif
