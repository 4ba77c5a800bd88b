/* words.h - sentences for people in buffers of fixed size.
 *
 * For rooms that must not see stdio (run/), and wherever cut text is still text. */
#ifndef TRIB_BASE_WORDS_H
#define TRIB_BASE_WORDS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* printf into text[room], cut to fit, NUL-terminated. room > 0. */
void trib_words(char *text, size_t room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void trib_words_list(char *text, size_t room, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
/* The decimal digits of a number into text[TRIB_DECIMAL_BYTES], NUL-terminated, for names that are
 * made millions of times. Returns how many digits. */
#define TRIB_DECIMAL_BYTES 21
size_t trib_words_decimal(char *text, uint64_t number);

#endif
