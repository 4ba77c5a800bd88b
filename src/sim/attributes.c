/* attributes.c - what the clients of a population say of themselves when they join. */
#include "sim/attributes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/name.h"
#include "train/gzip_file.h"

#define LINE_BYTES_MAX 4096
#define ROOM_FIRST 64
#define END_OF_FILE (-1)

/* --- rows --------------------------------------------------------------------------------------- */

static bool grow(const struct trib_env *env, void **array, uint32_t used, uint32_t *capacity,
                 size_t bytes) {
    if (used < *capacity) {
        return true;
    }
    uint32_t fresh = *capacity == 0 ? ROOM_FIRST : 2 * *capacity;
    void *grown = trib_regrow(env, *array, *capacity, fresh, bytes);
    if (grown != NULL) {
        *array = grown;
        *capacity = fresh;
    }
    return grown != NULL;
}

/* The row after the last one, empty so far. */
static enum trib_status begin_row(struct trib_attributes *attributes, struct trib_error *error) {
    void *rows = attributes->first_items;
    if (!grow(attributes->env, &rows, attributes->row_count + 1, &attributes->row_capacity,
              sizeof *attributes->first_items)) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    attributes->first_items = rows;
    attributes->first_items[attributes->row_count++] = attributes->item_count;
    attributes->first_items[attributes->row_count] = attributes->item_count;
    return TRIB_OK;
}

static void read_value(struct trib_attribute *attribute, const char *value) {
    char *end;
    double number = strtod(value, &end);
    bool is_plain = strspn(value, "0123456789+-.eE") == strlen(value);
    if (is_plain && end != value && *end == '\0' && isfinite(number)) {
        attribute->kind = TRIB_ATTRIBUTE_NUMBER;
        attribute->number = number;
    } else if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
        attribute->kind = TRIB_ATTRIBUTE_FLAG;
        attribute->number = value[0] == 't';
    } else {
        attribute->kind = TRIB_ATTRIBUTE_TEXT;
        memcpy(attribute->text, value, strlen(value) + 1);
    }
}

/* Add to the last row. */
static enum trib_status add_item(struct trib_attributes *attributes, const char *name,
                                 const char *value, struct trib_error *error) {
    uint32_t *end = &attributes->first_items[attributes->row_count];
    uint32_t first = end[-1];
    const struct trib_attribute *row = attributes->items + first;
    void *items = attributes->items;
    size_t name_bytes = strlen(name);
    if (name_bytes >= TRIB_ATTRIBUTE_NAME_BYTES || !trib_name_is_valid(name, name_bytes)) {
        return trib_error_set(error, TRIB_EINVALID,
                              "\"%.40s\" is not a name of 1 to %d characters A-Z a-z 0-9 . _ -",
                              name, TRIB_ATTRIBUTE_NAME_BYTES - 1);
    }
    if (value[0] == '\0' || strlen(value) >= TRIB_ATTRIBUTE_TEXT_BYTES) {
        return trib_error_set(error, TRIB_EINVALID, "%s: a value has 1 to %d bytes", name,
                              TRIB_ATTRIBUTE_TEXT_BYTES - 1);
    }
    if (trib_attribute_find(row, *end - first, name) != NULL) {
        return trib_error_set(error, TRIB_EINVALID, "%s: named twice", name);
    }
    if (*end - first == TRIB_ATTRIBUTES_MAX || *end == TRIB_ATTRIBUTE_ITEMS_MAX) {
        return trib_error_set(error, TRIB_ELIMIT, "more than %u",
                              *end - first == TRIB_ATTRIBUTES_MAX ? (unsigned)TRIB_ATTRIBUTES_MAX
                                                                  : TRIB_ATTRIBUTE_ITEMS_MAX);
    }
    if (!grow(attributes->env, &items, *end, &attributes->item_capacity,
              sizeof *attributes->items)) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    attributes->items = items;
    struct trib_attribute *attribute = &attributes->items[*end];
    *attribute = (struct trib_attribute){0};
    memcpy(attribute->name, name, name_bytes + 1);
    read_value(attribute, value);
    attributes->item_count = ++*end;
    return TRIB_OK;
}

/* The text up to the next `separator`, without blanks around it; *next: what follows, or NULL. */
static char *cut(char *text, char separator, char **next) {
    char *end = strchr(text, separator);
    *next = end == NULL ? NULL : end + 1;
    if (end != NULL) {
        *end = '\0';
    }
    text += strspn(text, " \t\r");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r", text[length - 1]) != NULL) {
        text[--length] = '\0';
    }
    return text;
}

/* --- groups ------------------------------------------------------------------------------------- */

/* "70% site=mercy,gpu=true"; a group alone needs no share. */
static enum trib_status read_group(struct trib_attributes *attributes, char *text, double *share,
                                   struct trib_error *error) {
    char *percent = strchr(text, '%'), *next, *end;
    const char *equals = strchr(text, '=');
    *share = 100.0;
    if (percent != NULL && (equals == NULL || percent < equals)) {
        *percent = '\0';
        *share = strtod(text, &end);
        if (end == text || *end != '\0' || !(*share > 0.0 && *share <= 100.0)) {
            return trib_error_set(error, TRIB_EINVALID,
                                  "%.32s%%: a share must be above 0 and at most 100", text);
        }
        text = percent + 1;
    }
    enum trib_status status = begin_row(attributes, error);
    for (text = cut(text, ',', &next); status == TRIB_OK && text != NULL;
         text = next == NULL ? NULL : cut(next, ',', &next)) {
        char *value = strchr(text, '=');
        if (value == NULL) {
            return trib_error_set(error, TRIB_EINVALID, "%.40s: must be such as site=mercy", text);
        }
        *value++ = '\0';
        status = add_item(attributes, text, value, error);
    }
    return status;
}

static enum trib_status read_groups(struct trib_attributes *attributes, const char *text,
                                    struct trib_error *error) {
    char copy[LINE_BYTES_MAX];
    double total = 0.0;
    if (strlen(text) >= sizeof copy) {
        return trib_error_set(error, TRIB_EINVALID, "longer than %zu bytes", sizeof copy - 1);
    }
    memcpy(copy, text, strlen(text) + 1);
    attributes->is_drawn = true;
    for (char *next = copy; next != NULL;) {
        char *group = next, *end = strstr(next, " + ");
        double share = 0.0;
        next = end == NULL ? NULL : end + 3;
        if (end != NULL) {
            *end = '\0';
        }
        if (attributes->row_count == TRIB_ATTRIBUTE_GROUPS_MAX) {
            return trib_error_set(error, TRIB_EINVALID, "more than %d groups",
                                  TRIB_ATTRIBUTE_GROUPS_MAX);
        }
        enum trib_status status = read_group(attributes, group, &share, error);
        if (status != TRIB_OK) {
            return status;
        }
        total += share;
        attributes->upto[attributes->row_count - 1] = total / 100.0;
    }
    return fabs(total - 100.0) <= 1e-6
               ? TRIB_OK
               : trib_error_set(error, TRIB_EINVALID, "the shares come to %g%%, not to 100%%",
                                total);
}

/* --- files -------------------------------------------------------------------------------------- */

struct reader {
    struct trib_gzip_file file;
    struct trib_attributes *attributes;
    struct trib_error *error;
    char names[LINE_BYTES_MAX]; /* the first line, its cells ended by NUL */
    const char *columns[TRIB_ATTRIBUTES_MAX];
    size_t column_count;
    char line[LINE_BYTES_MAX];
    size_t line_number;
};

static enum trib_status complain(const struct reader *reader, size_t column,
                                 enum trib_status status) {
    return trib_error_prefix(reader->error, status, "%s: line %zu, column %zu", reader->file.path,
                             reader->line_number, column);
}

static enum trib_status read_line(struct reader *reader, bool *is_last) {
    size_t used = 0;
    int byte;
    reader->line_number++;
    while ((byte = trib_gzip_file_get(&reader->file)) != '\n' && byte != END_OF_FILE) {
        if (used == LINE_BYTES_MAX - 1) {
            (void)trib_error_set(reader->error, TRIB_EMALFORMED, "the line is too long");
            return complain(reader, 1, TRIB_EMALFORMED);
        }
        reader->line[used++] = (char)byte;
    }
    reader->line[used] = '\0';
    *is_last = byte == END_OF_FILE;
    return *is_last ? trib_gzip_file_check(&reader->file, reader->error) : TRIB_OK;
}

static enum trib_status read_names(struct reader *reader) {
    char *next;
    memcpy(reader->names, reader->line, sizeof reader->names);
    for (char *name = cut(reader->names, ',', &next); name != NULL;
         name = next == NULL ? NULL : cut(next, ',', &next)) {
        if (reader->column_count == TRIB_ATTRIBUTES_MAX) {
            (void)trib_error_set(reader->error, TRIB_EMALFORMED, "more than %d names",
                                 TRIB_ATTRIBUTES_MAX);
            return complain(reader, reader->column_count + 1, TRIB_EMALFORMED);
        }
        reader->columns[reader->column_count++] = name;
    }
    return TRIB_OK;
}

static enum trib_status read_row(struct reader *reader) {
    char *next;
    size_t column = 0;
    enum trib_status status = begin_row(reader->attributes, reader->error);
    for (char *cell = cut(reader->line, ',', &next); status == TRIB_OK && cell != NULL;
         cell = next == NULL ? NULL : cut(next, ',', &next)) {
        if (column++ == reader->column_count) {
            (void)trib_error_set(reader->error, TRIB_EMALFORMED, "more cells than names");
            return complain(reader, column, TRIB_EMALFORMED);
        }
        if (*cell != '\0') {
            status = add_item(reader->attributes, reader->columns[column - 1], cell, reader->error);
        }
    }
    return status == TRIB_OK ? TRIB_OK : complain(reader, column, status);
}

static enum trib_status read_file(struct trib_attributes *attributes, const char *path,
                                  struct trib_error *error) {
    struct reader *reader = trib_allocate(attributes->env, 1, sizeof *reader);
    if (reader == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    reader->attributes = attributes;
    reader->error = error;
    enum trib_status status = trib_gzip_file_open(&reader->file, NULL, path, error);
    for (bool is_last = false; status == TRIB_OK && !is_last;) {
        status = read_line(reader, &is_last);
        bool is_empty = reader->line[strspn(reader->line, " \t\r")] == '\0';
        if (status == TRIB_OK && !is_empty) {
            status = reader->column_count == 0 ? read_names(reader) : read_row(reader);
        }
    }
    if (status == TRIB_OK && attributes->row_count == 0) {
        status = trib_error_set(error, TRIB_EMALFORMED, "%s: no rows below the names", path);
    }
    trib_gzip_file_close(&reader->file);
    trib_release(attributes->env, reader, 1, sizeof *reader);
    return status;
}

/* --- all of it ---------------------------------------------------------------------------------- */

enum trib_status trib_attributes_parse(struct trib_attributes *attributes,
                                       const struct trib_env *env, const char *text, uint64_t seed,
                                       struct trib_error *error) {
    *attributes =
        (struct trib_attributes){.env = env, .chance = trib_chance_of(seed, "attributes")};
    enum trib_status status = strncmp(text, "trace:", 6) == 0
                                  ? read_file(attributes, text + 6, error)
                                  : read_groups(attributes, text, error);
    if (status != TRIB_OK) {
        trib_attributes_deinit(attributes);
    }
    return status;
}

void trib_attributes_deinit(struct trib_attributes *attributes) {
    if (attributes->env != NULL) {
        trib_release(attributes->env, attributes->items, attributes->item_capacity,
                     sizeof *attributes->items);
        trib_release(attributes->env, attributes->first_items, attributes->row_capacity,
                     sizeof *attributes->first_items);
    }
    *attributes = (struct trib_attributes){0};
}

uint32_t trib_attributes_row(const struct trib_attributes *attributes, uint64_t client) {
    if (!attributes->is_drawn) {
        return attributes->row_count == 0 ? 0 : (uint32_t)(client % attributes->row_count);
    }
    uint32_t row = 0;
    double unit = trib_chance_unit(&attributes->chance, client);
    while (row + 1 < attributes->row_count && unit >= attributes->upto[row]) {
        row++;
    }
    return row;
}

const struct trib_attribute *trib_attributes_of(const struct trib_attributes *attributes,
                                                uint32_t row, uint32_t *count) {
    if (attributes->row_count == 0) {
        *count = 0;
        return NULL;
    }
    *count = attributes->first_items[row + 1] - attributes->first_items[row];
    return attributes->items + attributes->first_items[row];
}
