/* numbers.c - files that are called by a number. */
#include "store/numbers.h"

#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 19 /* so that no number can overflow 64 bits */

struct listing {
    struct trib_numbers *numbers;
    const char *suffix;
    bool is_failed; /* memory ran out */
};

static bool parse_number(const char *name, const char *suffix, uint64_t *number) {
    size_t digits = strspn(name, "0123456789");
    bool has_leading_zero = name[0] == '0' && digits > 1;
    if (digits == 0 || digits > DIGITS_MAX || has_leading_zero ||
        strcmp(name + digits, suffix) != 0)
        return false;
    *number = 0;
    for (size_t index = 0; index < digits; index++)
        *number = *number * 10 + (uint64_t)(name[index] - '0');
    return true;
}

static void add_number(void *visitor, const char *name) {
    struct listing *listing = visitor;
    struct trib_numbers *numbers = listing->numbers;
    uint64_t number;
    if (listing->is_failed || !parse_number(name, listing->suffix, &number))
        return;
    if (numbers->count == numbers->capacity) {
        size_t capacity = numbers->capacity > 0 ? 2 * numbers->capacity : 64;
        uint64_t *grown =
            trib_regrow(numbers->env, numbers->numbers, numbers->capacity, capacity, sizeof *grown);
        listing->is_failed = grown == NULL;
        if (!grown)
            return;
        numbers->numbers = grown;
        numbers->capacity = capacity;
    }
    numbers->numbers[numbers->count++] = number;
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t first = *(const uint64_t *)a;
    uint64_t second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

enum trib_status trib_numbers_list(const struct trib_env *env, const struct trib_files *files,
                                   const char *folder, const char *suffix,
                                   struct trib_numbers *numbers) {
    *numbers = (struct trib_numbers){.env = env};
    struct listing listing = {.numbers = numbers, .suffix = suffix};
    enum trib_status status = files->list(files->context, folder, add_number, &listing);
    if (status == TRIB_OK && listing.is_failed)
        status = TRIB_EMEMORY;
    if (status != TRIB_OK) {
        trib_numbers_deinit(numbers);
        return status;
    }
    if (numbers->count > 0)
        qsort(numbers->numbers, numbers->count, sizeof *numbers->numbers, compare_numbers);
    return TRIB_OK;
}

void trib_numbers_deinit(struct trib_numbers *numbers) {
    if (numbers->numbers)
        trib_release(numbers->env, numbers->numbers, numbers->capacity, sizeof *numbers->numbers);
    *numbers = (struct trib_numbers){0};
}

size_t trib_numbers_find(const struct trib_numbers *numbers, uint64_t number) {
    size_t first = 0;
    size_t end = numbers->count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (numbers->numbers[middle] < number)
            first = middle + 1;
        else
            end = middle;
    }
    bool is_found = first < numbers->count && numbers->numbers[first] == number;
    return is_found ? first : numbers->count;
}
