/* name.c - which names are allowed, which tensors a glob means, which word was meant. */
#include "base/name.h"

#include <string.h>

#define DISTANCE_TEXT_MAX 63

/* Not isalnum: that follows the locale. */
static bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool trib_name_is_valid(const char *text, size_t text_bytes) {
    if (text_bytes < 1 || text_bytes >= TRIB_NAME_BYTES || !is_letter_or_digit(text[0]))
        return false;
    for (size_t index = 1; index < text_bytes; index++) {
        char c = text[index];
        if (!is_letter_or_digit(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

bool trib_glob_matches(const char *pattern, const char *text) {
    /* Only the last star is ever tried again: what an earlier one could swallow more, the last
     * one can swallow as well. */
    const char *after_star = NULL;
    const char *retry_text = NULL;
    while (*text) {
        if (*pattern == '*') {
            after_star = ++pattern;
            retry_text = text;
        } else if (*pattern == '?' || (*pattern == *text && *pattern)) {
            pattern++;
            text++;
        } else if (after_star) {
            pattern = after_star;
            text = ++retry_text;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t trib_text_distance(const char *a, const char *b) {
    size_t a_count = strnlen(a, DISTANCE_TEXT_MAX);
    size_t b_count = strnlen(b, DISTANCE_TEXT_MAX);
    /* row[j] = distance of the first i characters of a and the first j of b. */
    size_t row[DISTANCE_TEXT_MAX + 1];
    for (size_t j = 0; j <= b_count; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_count; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_count; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = smaller(replaced, smaller(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_count];
}
