/* number.c - whole numbers in text, without strtoull's blanks, signs and locale. */
#include "wire/number.h"

bool trib_number_read(const char *text, uint64_t *number) {
    uint64_t value = 0;
    if (!*text || (text[0] == '0' && text[1]))
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    }
    *number = value;
    return true;
}
