/* words.c - sentences for people in buffers of fixed size. */
#include "base/words.h"

#include <stdio.h>
#include <string.h>

void trib_words_list(char *text, size_t room, const char *format, va_list arguments) {
    (void)vsnprintf(text, room, format, arguments); /* Cut text is still text. */
}

void trib_words(char *text, size_t room, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    trib_words_list(text, room, format, arguments);
    va_end(arguments);
}

size_t trib_words_decimal(char *text, uint64_t number) {
    char digits[TRIB_DECIMAL_BYTES - 1];
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    size_t count = sizeof digits - first;
    memcpy(text, digits + first, count);
    text[count] = '\0';
    return count;
}
