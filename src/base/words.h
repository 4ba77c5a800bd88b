/* words.h - sentences for people in buffers of fixed size.
 *
 * For rooms that must not see stdio (run/), and wherever cut text is still text. */
#ifndef TRIB_BASE_WORDS_H
#define TRIB_BASE_WORDS_H

#include <stdarg.h>
#include <stddef.h>

/* printf into text[room], cut to fit, NUL-terminated. room > 0. */
void trib_words(char *text, size_t room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void trib_words_list(char *text, size_t room, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

#endif
