/* text.c - a growing text; durations and sizes as people write them. */
#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/status.h"

#define CAPACITY_MIN 256

struct unit {
    const char *name;
    uint64_t factor;
};

void trib_text_init(struct trib_text *text, const struct trib_env *env) {
    *text = (struct trib_text){.env = env};
}

void trib_text_deinit(struct trib_text *text) {
    if (text->bytes)
        trib_release(text->env, text->bytes, text->capacity, 1);
    *text = (struct trib_text){.env = text->env};
}

/* Room for byte_count more and the NUL. */
static bool reserve(struct trib_text *text, size_t byte_count) {
    if (text->is_failed)
        return false;
    if (byte_count < text->capacity - text->byte_count)
        return true;
    size_t capacity = text->capacity * 2;
    if (capacity < CAPACITY_MIN)
        capacity = CAPACITY_MIN;
    if (capacity - text->byte_count <= byte_count)
        capacity = text->byte_count + byte_count + 1; /* too large ones fail in the environment */
    char *grown = capacity > byte_count
                      ? trib_regrow(text->env, text->bytes, text->capacity, capacity, 1)
                      : NULL;
    if (!grown) {
        text->is_failed = true;
        return false;
    }
    text->bytes = grown;
    text->capacity = capacity;
    return true;
}

void trib_text_add(struct trib_text *text, const char *bytes, size_t byte_count) {
    if (!reserve(text, byte_count))
        return;
    if (byte_count > 0)
        memcpy(text->bytes + text->byte_count, bytes, byte_count);
    text->byte_count += byte_count;
    text->bytes[text->byte_count] = '\0';
}

void trib_text_format(struct trib_text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int byte_count = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    TRIB_ASSERT(byte_count >= 0);
    if (!reserve(text, (size_t)byte_count))
        return;
    va_start(arguments, format);
    vsnprintf(text->bytes + text->byte_count, (size_t)byte_count + 1, format, arguments);
    va_end(arguments);
    text->byte_count += (size_t)byte_count;
}

void trib_text_add_html(struct trib_text *text, const char *plain) {
    while (*plain) {
        size_t harmless = strcspn(plain, "&<>\"'");
        trib_text_add(text, plain, harmless);
        plain += harmless;
        if (*plain)
            trib_text_format(text, "&#%d;", *plain++);
    }
}

/* A number with at most nine digits after the point, split so that no digit is lost to a double. */
struct decimal {
    uint64_t whole;
    uint64_t billionths;
};

/* Returns what follows the number; NULL when there is none or it is too large. */
static const char *read_decimal(const char *text, struct decimal *number) {
    *number = (struct decimal){0};
    if (*text < '0' || *text > '9')
        return NULL;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(number->whole, 10, &number->whole) ||
            __builtin_add_overflow(number->whole, (uint64_t)(*text - '0'), &number->whole))
            return NULL;
    }
    if (*text != '.')
        return text;
    text++;
    if (*text < '0' || *text > '9')
        return NULL;
    uint64_t place = 100000000;
    for (; *text >= '0' && *text <= '9'; text++, place /= 10) {
        if (place == 0)
            return NULL;
        number->billionths += (uint64_t)(*text - '0') * place;
    }
    return text;
}

/* total += number * factor, rounded down; false when it would pass the limit. */
static bool add_scaled(uint64_t *total, struct decimal number, uint64_t factor, uint64_t limit) {
    uint64_t scaled;
    if (__builtin_mul_overflow(number.whole, factor, &scaled))
        return false;
    /* factor = a * 10^9 + b, so that no product passes 2^64. */
    const uint64_t billion = 1000000000;
    uint64_t part =
        factor / billion * number.billionths + factor % billion * number.billionths / billion;
    if (__builtin_add_overflow(scaled, part, &scaled) ||
        __builtin_add_overflow(scaled, *total, &scaled) || scaled > limit)
        return false;
    *total = scaled;
    return true;
}

bool trib_duration_parse(const char *text, trib_time_ns *duration) {
    static const struct unit units[] = {
        {"d", UINT64_C(86400000000000)},
        {"h", UINT64_C(3600000000000)},
        {"ms", 1000000}, /* before "m", which it begins with */
        {"m", UINT64_C(60000000000)},
        {"s", 1000000000},
        {"us", 1000},
        {"ns", 1},
    };
    uint64_t total = 0;
    uint64_t factor_before = UINT64_MAX;
    do {
        struct decimal number;
        text = read_decimal(text, &number);
        if (!text)
            return false;
        const struct unit *unit = NULL;
        for (size_t index = 0; index < sizeof units / sizeof *units && !unit; index++) {
            if (strncmp(text, units[index].name, strlen(units[index].name)) == 0)
                unit = &units[index];
        }
        if (!unit || unit->factor >= factor_before ||
            !add_scaled(&total, number, unit->factor, INT64_MAX))
            return false;
        factor_before = unit->factor;
        text += strlen(unit->name);
    } while (*text);
    *duration = (trib_time_ns)total;
    return true;
}

bool trib_bytes_parse(const char *text, uint64_t *bytes) {
    static const struct unit units[] = {
        {"", 1},
        {"B", 1},
        {"kB", 1000},
        {"MB", 1000000},
        {"GB", 1000000000},
        {"TB", UINT64_C(1000000000000)},
        {"KiB", UINT64_C(1) << 10},
        {"MiB", UINT64_C(1) << 20},
        {"GiB", UINT64_C(1) << 30},
        {"TiB", UINT64_C(1) << 40},
    };
    struct decimal number;
    text = read_decimal(text, &number);
    if (!text)
        return false;
    if (*text == ' ')
        text++;
    for (size_t index = 0; index < sizeof units / sizeof *units; index++) {
        uint64_t total = 0;
        if (strcasecmp(text, units[index].name) == 0) {
            bool is_read = add_scaled(&total, number, units[index].factor, UINT64_C(1) << 62);
            if (is_read)
                *bytes = total;
            return is_read;
        }
    }
    return false;
}

const char *trib_bytes_human(char *buffer, size_t room, uint64_t bytes) {
    static const char *const names[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    if (bytes < 1000) {
        snprintf(buffer, room, "%" PRIu64 " B", bytes);
        return buffer;
    }
    double value = (double)bytes / 1000;
    size_t index = 0;
    /* 999.95 would be printed as "1000.0". */
    while (value >= 999.95 && index + 1 < sizeof names / sizeof *names) {
        value /= 1000;
        index++;
    }
    snprintf(buffer, room, "%.1f %s", value, names[index]);
    return buffer;
}

const char *trib_duration_human(char *buffer, size_t room, trib_time_ns duration) {
    if (duration == TRIB_TIME_NEVER) {
        snprintf(buffer, room, "never");
        return buffer;
    }
    const char *sign = duration < 0 ? "-" : "";
    uint64_t ns = duration < 0 ? 0 - (uint64_t)duration : (uint64_t)duration;
    uint64_t seconds = ns / 1000000000;
    if (ns < 1000000)
        snprintf(buffer, room, "%s%" PRIu64 "us", sign, ns / 1000);
    else if (seconds < 1)
        snprintf(buffer, room, "%s%" PRIu64 "ms", sign, ns / 1000000);
    else if (seconds < 60)
        snprintf(buffer, room, "%s%" PRIu64 ".%" PRIu64 "s", sign, seconds, ns / 100000000 % 10);
    else if (seconds < 3600)
        snprintf(buffer, room, "%s%" PRIu64 "m %02" PRIu64 "s", sign, seconds / 60, seconds % 60);
    else if (seconds < 86400)
        snprintf(buffer, room, "%s%" PRIu64 "h %02" PRIu64 "m", sign, seconds / 3600,
                 seconds / 60 % 60);
    else
        snprintf(buffer, room, "%s%" PRIu64 "d %02" PRIu64 "h", sign, seconds / 86400,
                 seconds / 3600 % 24);
    return buffer;
}
