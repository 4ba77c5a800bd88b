/* dataset_text.c - text as windows of symbols, by owner.
 *
 * The file is read whole. Lines are listed with their owners, and a second pass writes, owner after
 * owner, the lines of the wanted part into windows. */
#include "train/dataset_formats.h"

#include <string.h>

#include "base/map.h"
#include "train/gzip_file.h"

#define BYTES_MAX (UINT64_C(256) << 20) /* of a file, unpacked */
#define BYTES_AT_FIRST 65536
#define OWNERS_AT_FIRST 256

struct line {
    size_t first; /* byte in the text */
    size_t count; /* bytes, without the newline */
    uint32_t owner;
};

struct text {
    const struct trib_env *env;
    const char *path;
    struct trib_error *error;
    char *bytes;
    size_t byte_count, byte_capacity;
    struct line *lines; /* in the order of the file */
    size_t line_count, line_capacity;
    uint32_t owner_count;
    size_t *line_counts; /* [owner_count]; a .txt has one line, its whole text */
    size_t owner_capacity;
};

static enum trib_status no_memory(const struct text *text) {
    return trib_error_set(text->error, TRIB_EMEMORY, "%s: out of memory", text->path);
}

static void deinit(struct text *text) {
    trib_release(text->env, text->bytes, text->byte_capacity, 1);
    trib_release(text->env, text->lines, text->line_capacity, sizeof *text->lines);
    trib_release(text->env, text->line_counts, text->owner_capacity, sizeof *text->line_counts);
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum trib_status read_bytes(struct text *text) {
    struct trib_gzip_file file;
    enum trib_status status = trib_gzip_file_open(&file, NULL, text->path, text->error);
    if (status != TRIB_OK) {
        return status;
    }
    for (int byte; status == TRIB_OK && (byte = trib_gzip_file_get(&file)) >= 0;) {
        if (text->byte_count == BYTES_MAX) {
            status = trib_error_set(text->error, TRIB_ELIMIT, "%s: more than %llu MiB of text",
                                    text->path, (unsigned long long)(BYTES_MAX >> 20));
            break;
        }
        if (text->byte_count == text->byte_capacity) {
            const size_t capacity =
                text->byte_capacity == 0 ? BYTES_AT_FIRST : 2 * text->byte_capacity;
            char *bytes = trib_regrow(text->env, text->bytes, text->byte_capacity, capacity, 1);
            if (bytes == NULL) {
                status = no_memory(text);
                break;
            }
            text->bytes = bytes;
            text->byte_capacity = capacity;
        }
        text->bytes[text->byte_count++] = (char)byte;
    }
    if (status == TRIB_OK) {
        status = trib_gzip_file_check(&file, text->error);
    }
    trib_gzip_file_close(&file);
    return status;
}

/* The owner called `name`, who may be new. */
static enum trib_status find_owner(struct text *text, struct trib_map *names, const char *name,
                                   size_t name_bytes, uint32_t *owner) {
    uint64_t known;
    if (trib_map_get(names, name, name_bytes, &known)) {
        *owner = (uint32_t)known;
        return TRIB_OK;
    }
    if (text->owner_count == text->owner_capacity) {
        const size_t capacity =
            text->owner_capacity == 0 ? OWNERS_AT_FIRST : 2 * text->owner_capacity;
        size_t *counts = trib_regrow(text->env, text->line_counts, text->owner_capacity, capacity,
                                     sizeof *counts);
        if (counts == NULL) {
            return no_memory(text);
        }
        text->line_counts = counts;
        text->owner_capacity = capacity;
    }
    if (!trib_map_put(names, name, name_bytes, text->owner_count)) {
        return no_memory(text);
    }
    text->line_counts[text->owner_count] = 0;
    *owner = text->owner_count++;
    return TRIB_OK;
}

/* "play TAB role TAB speech TAB line"; play and role are the owner. */
static enum trib_status list_line(struct text *text, struct trib_map *names, size_t number,
                                  size_t first, size_t end) {
    size_t columns[3]; /* first byte of the second, third and fourth */
    size_t next = first;
    for (size_t i = 0; i < 3; i++) {
        const char *tab = next < end ? memchr(text->bytes + next, '\t', end - next) : NULL;
        if (tab == NULL) {
            return trib_error_set(text->error, TRIB_EMALFORMED,
                                  "%s: line %zu: must be play, role, speech and line with tabs "
                                  "between them, column %zu is missing",
                                  text->path, number, i + 2);
        }
        next = columns[i] = (size_t)(tab - text->bytes) + 1;
    }
    const size_t name_bytes = columns[1] - 1 - first;
    if (name_bytes > TRIB_MAP_KEY_BYTES_MAX) {
        return trib_error_set(text->error, TRIB_ELIMIT,
                              "%s: line %zu: play and role have %zu bytes, at most %d", text->path,
                              number, name_bytes, TRIB_MAP_KEY_BYTES_MAX);
    }
    struct line *line = &text->lines[text->line_count];
    const enum trib_status status =
        find_owner(text, names, text->bytes + first, name_bytes, &line->owner);
    if (status == TRIB_OK) {
        line->first = columns[2];
        line->count = end - columns[2];
        text->line_counts[line->owner]++;
        text->line_count++;
    }
    return status;
}

static enum trib_status reserve_lines(struct text *text) {
    text->line_capacity = 1;
    for (size_t i = 0; i < text->byte_count; i++) {
        text->line_capacity += text->bytes[i] == '\n';
    }
    text->lines = trib_allocate(text->env, text->line_capacity, sizeof *text->lines);
    return text->lines != NULL ? TRIB_OK : no_memory(text);
}

static enum trib_status list_lines(struct text *text) {
    struct trib_map names;
    trib_map_init(&names, text->env);
    enum trib_status status = reserve_lines(text);
    size_t number = 1;
    for (size_t first = 0; status == TRIB_OK && first < text->byte_count; number++) {
        const char *newline = memchr(text->bytes + first, '\n', text->byte_count - first);
        const size_t end = newline != NULL ? (size_t)(newline - text->bytes) : text->byte_count;
        status = list_line(text, &names, number, first, end);
        first = end + 1;
    }
    trib_map_deinit(&names);
    return status;
}

/* A .txt is one owner with two lines: what comes before 90 % of it, and what comes after. */
static enum trib_status list_whole(struct text *text) {
    struct trib_map names;
    uint32_t owner;
    trib_map_init(&names, text->env);
    enum trib_status status = find_owner(text, &names, "text", 4, &owner);
    trib_map_deinit(&names);
    text->line_capacity = 2;
    text->lines = trib_allocate(text->env, text->line_capacity, sizeof *text->lines);
    if (status != TRIB_OK || text->lines == NULL) {
        return no_memory(text);
    }
    const size_t cut = text->byte_count / 10 * 9;
    text->lines[0] = (struct line){.first = 0, .count = cut};
    text->lines[1] = (struct line){.first = cut, .count = text->byte_count - cut};
    text->line_count = text->line_counts[0] = 2;
    return TRIB_OK;
}

/* Lines of one owner next to each other, in the order of the file: a counting sort. */
static enum trib_status sort_by_owner(struct text *text) {
    struct line *sorted = trib_allocate(text->env, text->line_capacity, sizeof *sorted);
    size_t *next = trib_allocate(text->env, text->owner_capacity, sizeof *next);
    if (sorted == NULL || next == NULL) {
        trib_release(text->env, sorted, text->line_capacity, sizeof *sorted);
        trib_release(text->env, next, text->owner_capacity, sizeof *next);
        return no_memory(text);
    }
    for (uint32_t owner = 1; owner < text->owner_count; owner++) {
        next[owner] = next[owner - 1] + text->line_counts[owner - 1];
    }
    for (size_t i = 0; i < text->line_count; i++) {
        sorted[next[text->lines[i].owner]++] = text->lines[i];
    }
    trib_release(text->env, next, text->owner_capacity, sizeof *next);
    trib_release(text->env, text->lines, text->line_capacity, sizeof *text->lines);
    text->lines = sorted;
    return TRIB_OK;
}

/* --- parts ------------------------------------------------------------------------------------ */

/* The lines of an owner that are in a part; text->lines are sorted, first is his first. */
struct share {
    const struct line *lines;
    size_t line_count;
};

static struct share share_of(const struct text *text, enum trib_dataset_part part, size_t first,
                             uint32_t owner) {
    const size_t count = text->line_counts[owner];
    const struct line *lines = text->lines + first;
    if (count < 2) {
        return (struct share){lines, 0};
    }
    const size_t eighty_percent = count * 8 / 10;
    const size_t training = eighty_percent > 0 ? eighty_percent : 1;
    return part == TRIB_DATASET_TRAIN ? (struct share){lines, training}
                                      : (struct share){lines + training, count - training};
}

static size_t windows_of(const struct share *share) {
    size_t size = 0;
    for (size_t i = 0; i < share->line_count; i++) {
        size += share->lines[i].count + 1;
    }
    return (size + TRIB_TEXT_WINDOW - 1) / TRIB_TEXT_WINDOW;
}

static size_t count_windows(const struct text *text, enum trib_dataset_part part) {
    size_t count = 0;
    size_t first = 0;
    for (uint32_t owner = 0; owner < text->owner_count; owner++) {
        const struct share share = share_of(text, part, first, owner);
        count += windows_of(&share);
        first += text->line_counts[owner];
    }
    return count;
}

/* Writes symbol after symbol into the windows that are kept. */
struct pen {
    const struct trib_dataset_request *request;
    struct trib_dataset *dataset;
    size_t window;   /* of the part, from 0 */
    size_t position; /* in the window */
    size_t row;      /* of the dataset: windows kept before this one */
    uint32_t before; /* the symbol before */
};

/* The symbol that comes next; TRIB_TEXT_END has no label. */
static void put(struct pen *pen, uint32_t owner, uint32_t symbol) {
    struct trib_dataset *dataset = pen->dataset;
    const bool is_kept = trib_dataset_is_kept(pen->request, pen->window, pen->row);
    if (is_kept) {
        const size_t at = pen->row * TRIB_TEXT_WINDOW + pen->position;
        dataset->owners[pen->row] = owner;
        dataset->labels[at] = symbol == TRIB_TEXT_END ? -1 : (int32_t)symbol;
        if (dataset->features != NULL) {
            dataset->features[at] = (float)pen->before;
        }
    }
    pen->before = symbol;
    if (++pen->position == TRIB_TEXT_WINDOW) {
        pen->position = 0;
        pen->window++;
        pen->row += is_kept;
    }
}

static void write_share(struct pen *pen, const struct text *text, uint32_t owner,
                        const struct share *share) {
    pen->before = TRIB_TEXT_START;
    for (size_t i = 0; i < share->line_count; i++) {
        const struct line *line = &share->lines[i];
        for (size_t k = 0; k < line->count; k++) {
            put(pen, owner, (unsigned char)text->bytes[line->first + k]);
        }
        put(pen, owner, '\n');
    }
    while (pen->position > 0) {
        put(pen, owner, TRIB_TEXT_END);
    }
}

static enum trib_status write_windows(const struct text *text,
                                      const struct trib_dataset_request *request,
                                      struct trib_dataset *dataset) {
    size_t kept_count = 0;
    const size_t window_count = count_windows(text, request->part);
    if (window_count == 0 || window_count > TRIB_DATASET_ROWS_MAX) {
        return trib_error_set(text->error, TRIB_EMALFORMED, "%s: no text to split", text->path);
    }
    enum trib_status status =
        trib_dataset_count_kept(request, window_count, &kept_count, text->error);
    if (status == TRIB_OK) {
        status = trib_dataset_reserve(dataset, text->env, kept_count, TRIB_TEXT_WINDOW,
                                      TRIB_TEXT_SYMBOLS, !request->is_labels_only, text->error);
    }
    if (status != TRIB_OK) {
        return status;
    }
    dataset->class_count = TRIB_TEXT_SYMBOLS;
    dataset->owner_count = text->owner_count;
    struct pen pen = {.request = request, .dataset = dataset};
    size_t first = 0;
    for (uint32_t owner = 0; owner < text->owner_count; owner++) {
        const struct share share = share_of(text, request->part, first, owner);
        write_share(&pen, text, owner, &share);
        first += text->line_counts[owner];
    }
    TRIB_ASSERT(pen.row == dataset->row_count);
    return TRIB_OK;
}

enum trib_status trib_dataset_load_text(const struct trib_env *env, const char *path,
                                        const struct trib_dataset_request *request,
                                        struct trib_dataset *dataset, struct trib_error *error) {
    struct text text = {.env = env, .path = path, .error = error};
    const bool has_roles = strstr(path, ".tsv") != NULL;
    if (request->class_count > 0 && request->class_count < TRIB_TEXT_SYMBOLS) {
        return trib_error_set(error, TRIB_EINVALID, "%s: text has %d symbols, not %u", path,
                              TRIB_TEXT_SYMBOLS, request->class_count);
    }
    enum trib_status status = read_bytes(&text);
    if (status == TRIB_OK) {
        status = has_roles ? list_lines(&text) : list_whole(&text);
    }
    if (status == TRIB_OK) {
        status = sort_by_owner(&text);
    }
    if (status == TRIB_OK) {
        status = write_windows(&text, request, dataset);
    }
    deinit(&text);
    if (status != TRIB_OK) {
        trib_dataset_deinit(dataset);
    }
    return status;
}
