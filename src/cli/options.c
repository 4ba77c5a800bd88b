/* options.c - words -> options, options -> help, along one table. */
#include "cli/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/name.h"

#define NAME_COLUMN 28 /* where meanings start in help */

struct reading {
    const struct trib_option *table;
    void *target;
    uint64_t given; /* bit per row */
    struct trib_error *error;
};

static size_t row_of(const struct reading *reading, const struct trib_option *option) {
    return (size_t)(option - reading->table);
}

static bool is_given(const struct reading *reading, const struct trib_option *option) {
    return reading->given >> row_of(reading, option) & 1;
}

/* --- values ----------------------------------------------------------------------------------- */

static bool read_integer(const char *text, uint64_t least, uint64_t most, uint64_t *number) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] != '\0') {
        return false;
    }
    uint64_t value = 0;
    for (; *text != '\0'; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *number = value;
    return value >= least && value <= most;
}

static enum trib_status refuse_value(const struct reading *reading,
                                     const struct trib_option *option, const char *expected) {
    return trib_error_set(reading->error, TRIB_EINVALID, "--%s: must be %s", option->name,
                          expected);
}

/* Store text as the value of the option. */
static enum trib_status store(struct reading *reading, const struct trib_option *option,
                              const char *text) {
    void *member = (char *)reading->target + option->offset;
    char expected[96];
    uint64_t number;
    trib_time_ns duration;
    switch (option->kind) {
    case TRIB_OPTION_FLAG:
        memcpy(member, &(bool){true}, sizeof(bool));
        return TRIB_OK;
    case TRIB_OPTION_TEXT:
        if (text[0] == '\0') {
            return trib_error_set(reading->error, TRIB_EINVALID, "%s is empty", option->value);
        }
        memcpy(member, &text, sizeof text);
        return TRIB_OK;
    case TRIB_OPTION_LIST: {
        struct trib_option_list *list = member;
        if (list->count == TRIB_OPTION_LIST_MAX) {
            return refuse_value(reading, option, "given at most 16 times");
        }
        list->items[list->count++] = text;
        return TRIB_OK;
    }
    case TRIB_OPTION_INTEGER:
        if (!read_integer(text, option->least, option->most, &number)) {
            (void)snprintf(expected, sizeof expected, "a whole number from %" PRIu64 " to %" PRIu64,
                           option->least, option->most);
            return refuse_value(reading, option, expected);
        }
        memcpy(member, &number, sizeof number);
        return TRIB_OK;
    case TRIB_OPTION_SIZE:
        if (!trib_bytes_parse(text, &number)) {
            return refuse_value(reading, option, "a size such as 64MiB or 2GB");
        }
        memcpy(member, &number, sizeof number);
        return TRIB_OK;
    case TRIB_OPTION_DURATION:
        if (!trib_duration_parse(text, &duration)) {
            return refuse_value(reading, option, "a duration such as 500ms, 30s or 2h");
        }
        memcpy(member, &duration, sizeof duration);
        return TRIB_OK;
    }
    return TRIB_OK;
}

/* --- words ------------------------------------------------------------------------------------ */

static enum trib_status refuse_name(const struct reading *reading, const char *name,
                                    size_t name_bytes) {
    char written[64] = "";
    memcpy(written, name, name_bytes < sizeof written ? name_bytes : sizeof written - 1);
    const struct trib_option *best = NULL;
    size_t distance = strlen(written) / 3 + 2;
    for (const struct trib_option *row = reading->table; row->name != NULL; row++) {
        size_t found = trib_text_distance(written, row->name);
        if (!row->is_positional && found < distance) {
            best = row;
            distance = found;
        }
    }
    if (best == NULL) {
        return trib_error_set(reading->error, TRIB_EINVALID, "--%s: unknown option", written);
    }
    return trib_error_set(reading->error, TRIB_EINVALID, "--%s: unknown option; did you mean --%s?",
                          written, best->name);
}

static bool is_called(const struct trib_option *option, const char *name, size_t name_bytes) {
    const char *const own[] = {option->name, option->alias};
    bool is_called = false;
    for (size_t i = 0; i < 2 && !option->is_positional; i++) {
        is_called = is_called || (own[i] != NULL && strlen(own[i]) == name_bytes &&
                                  memcmp(own[i], name, name_bytes) == 0);
    }
    return is_called;
}

/* words[*index] is "--name" or "--name=value"; takes the next word too where that is the value. */
static enum trib_status read_named(struct reading *reading, const char *const *words, size_t count,
                                   size_t *index) {
    const char *name = words[*index] + 2;
    const char *equals = strchr(name, '=');
    size_t name_bytes = equals == NULL ? strlen(name) : (size_t)(equals - name);
    const struct trib_option *option = reading->table;
    while (option->name != NULL && !is_called(option, name, name_bytes)) {
        option++;
    }
    if (option->name == NULL) {
        return refuse_name(reading, name, name_bytes);
    }
    if (is_given(reading, option) && option->kind != TRIB_OPTION_LIST) {
        return trib_error_set(reading->error, TRIB_EINVALID, "--%s: given twice", option->name);
    }
    reading->given |= UINT64_C(1) << row_of(reading, option);
    if (option->kind == TRIB_OPTION_FLAG) {
        return equals == NULL ? store(reading, option, "")
                              : trib_error_set(reading->error, TRIB_EINVALID,
                                               "--%s: takes no value", option->name);
    }
    if (equals != NULL) {
        return store(reading, option, equals + 1);
    }
    /* A forgotten value must not swallow the option behind it; --name=--x says so if it is meant. */
    if (*index + 1 == count || strncmp(words[*index + 1], "--", 2) == 0) {
        return trib_error_set(reading->error, TRIB_EINVALID, "--%s: needs a value (%s)",
                              option->name, option->value);
    }
    return store(reading, option, words[++*index]);
}

static enum trib_status read_positional(struct reading *reading, const char *word) {
    for (const struct trib_option *row = reading->table; row->name != NULL; row++) {
        bool takes_more = row->kind == TRIB_OPTION_LIST || !is_given(reading, row);
        if (row->is_positional && takes_more) {
            reading->given |= UINT64_C(1) << row_of(reading, row);
            return store(reading, row, word);
        }
    }
    return trib_error_set(reading->error, TRIB_EINVALID, "%.64s: one word too many", word);
}

/* What was not given: its default, or a complaint. */
static enum trib_status complete(struct reading *reading, const struct trib_option *option) {
    if (is_given(reading, option)) {
        return TRIB_OK;
    }
    if (option->is_required) {
        return trib_error_set(reading->error, TRIB_EINVALID, "%s%s%s is missing: %s",
                              option->is_positional ? "" : "--",
                              option->is_positional ? "" : option->name,
                              option->is_positional ? option->value : "", option->meaning);
    }
    return option->initial == NULL ? TRIB_OK : store(reading, option, option->initial);
}

enum trib_status trib_options_read(const struct trib_option *table, const char *const *words,
                                   size_t count, void *target, struct trib_error *error) {
    struct reading reading = {.table = table, .target = target, .error = error};
    enum trib_status status = TRIB_OK;
    bool has_names = true;
    for (size_t i = 0; i < count && status == TRIB_OK; i++) {
        if (has_names && strcmp(words[i], "--") == 0) {
            has_names = false;
        } else if (has_names && strncmp(words[i], "--", 2) == 0) {
            status = read_named(&reading, words, count, &i);
        } else {
            status = read_positional(&reading, words[i]);
        }
    }
    for (const struct trib_option *row = table; row->name != NULL && status == TRIB_OK; row++) {
        TRIB_ASSERT(row_of(&reading, row) < 64);
        status = complete(&reading, row);
    }
    return status;
}

/* --- help ------------------------------------------------------------------------------------- */

void trib_options_usage(const struct trib_option *table, struct trib_text *text) {
    bool has_more = false;
    for (const struct trib_option *row = table; row->name != NULL; row++) {
        if (row->is_positional) {
            trib_text_format(text, row->is_required ? " %s" : " [%s]", row->value);
            trib_text_format(text, "%s", row->kind == TRIB_OPTION_LIST ? "..." : "");
        } else if (row->is_required) {
            trib_text_format(text, " --%s %s", row->name, row->value);
        } else {
            has_more = true;
        }
    }
    trib_text_format(text, "%s", has_more ? " [options]" : "");
}

static void add_default(const struct trib_option *option, struct trib_text *text) {
    if (option->kind == TRIB_OPTION_LIST) {
        trib_text_format(text, "; may be repeated");
    }
    if (option->is_required) {
        trib_text_format(text, " (required)");
    } else if (option->initial != NULL) {
        trib_text_format(text, " (default %s)", option->initial);
    } else if (option->otherwise != NULL) {
        trib_text_format(text, " (default: %s)", option->otherwise);
    }
}

void trib_options_help(const struct trib_option *table, struct trib_text *text) {
    for (const struct trib_option *row = table; row->name != NULL; row++) {
        size_t start = text->byte_count;
        if (row->is_positional) {
            trib_text_format(text, "  %s", row->value);
        } else {
            trib_text_format(text, "  --%s%s%s", row->name, row->value == NULL ? "" : " ",
                             row->value == NULL ? "" : row->value);
        }
        size_t width = text->byte_count - start;
        if (width + 2 > NAME_COLUMN) {
            trib_text_format(text, "\n");
            width = 0;
        }
        trib_text_format(text, "%*s%s", (int)(NAME_COLUMN - width), "", row->meaning);
        add_default(row, text);
        trib_text_format(text, "\n");
    }
}
