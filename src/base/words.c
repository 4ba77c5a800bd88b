/* words.c - sentences for people in buffers of fixed size. */
#include "base/words.h"

#include <stdio.h>

void trib_words_list(char *text, size_t room, const char *format, va_list arguments) {
    (void)vsnprintf(text, room, format, arguments); /* Cut text is still text. */
}

void trib_words(char *text, size_t room, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    trib_words_list(text, room, format, arguments);
    va_end(arguments);
}
