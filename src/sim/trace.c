/* trace.c - measured behaviour of devices as a CSV file of numbers. */
#include "sim/trace.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/gzip_file.h"

#define LINE_BYTES_MAX 512
#define ROWS_FIRST 1024
#define END_OF_FILE (-1)

struct reader {
    struct trib_gzip_file file;
    struct trib_trace *trace;
    struct trib_error *error;
    char line[LINE_BYTES_MAX];
    size_t line_number;
};

static enum trib_status complain(const struct reader *reader, enum trib_status status,
                                 size_t column, const char *what) {
    return trib_error_set(reader->error, status, "%s: line %zu, column %zu: %s", reader->file.path,
                          reader->line_number, column, what);
}

/* The next line without its end; *is_last: the file ends here. */
static enum trib_status read_line(struct reader *reader, bool *is_last) {
    size_t used = 0;
    int byte;
    reader->line_number++;
    while ((byte = trib_gzip_file_get(&reader->file)) != '\n' && byte != END_OF_FILE) {
        if (used == LINE_BYTES_MAX - 1) {
            return complain(reader, TRIB_EMALFORMED, 1, "the line is too long for numbers");
        }
        reader->line[used++] = (char)byte;
    }
    reader->line[used] = '\0';
    *is_last = byte == END_OF_FILE;
    return *is_last ? trib_gzip_file_check(&reader->file, reader->error) : TRIB_OK;
}

/* The line of each row is kept behind its numbers. */
static size_t width(const struct trib_trace *trace) {
    return trace->column_count + 1;
}

static bool make_room(struct trib_trace *trace) {
    if (trace->row_count < trace->capacity) {
        return true;
    }
    size_t capacity = trace->capacity == 0 ? ROWS_FIRST : 2 * trace->capacity;
    double *values = trib_regrow(trace->env, trace->values, trace->capacity * width(trace),
                                 capacity * width(trace), sizeof *values);
    if (values == NULL) {
        return false;
    }
    trace->values = values;
    trace->capacity = capacity;
    return true;
}

static const char *skip_blanks(const char *text) {
    return text + strspn(text, " \t\r");
}

/* One number and what ends it; decimal only, as strtod also takes "nan", "inf" and hexadecimal. */
static enum trib_status read_number(const struct reader *reader, size_t column, const char **next,
                                    double *number) {
    const char *text = skip_blanks(*next);
    size_t length = strspn(text, "0123456789+-.eE");
    char *end = NULL;
    *number = strtod(text, &end);
    if (length == 0 || end != text + length) {
        return complain(reader, TRIB_EMALFORMED, column,
                        length == 0 && (*text == '\0' || *text == ',')
                            ? "nothing where a number should be"
                            : "not a number");
    }
    if (!(*number >= 0.0) || !isfinite(*number)) {
        return complain(reader, TRIB_EMALFORMED, column, "must be a finite number of at least 0");
    }
    *next = skip_blanks(end);
    return TRIB_OK;
}

static enum trib_status read_row(struct reader *reader) {
    struct trib_trace *trace = reader->trace;
    if (trace->row_count == TRIB_TRACE_ROWS_MAX) {
        return complain(reader, TRIB_ELIMIT, 1, "too many rows");
    }
    if (!make_room(trace)) {
        return complain(reader, TRIB_EMEMORY, 1, "out of memory");
    }
    const char *next = reader->line;
    double *row = trace->values + trace->row_count * width(trace);
    for (size_t column = 1; column <= trace->column_count; column++) {
        enum trib_status status = read_number(reader, column, &next, &row[column - 1]);
        if (status != TRIB_OK) {
            return status;
        }
        bool is_final = column == trace->column_count;
        if (*next != (is_final ? '\0' : ',')) {
            return complain(reader, TRIB_EMALFORMED, column + (*next == ','),
                            is_final ? "more than the columns that are expected"
                                     : "fewer columns than are expected");
        }
        next += !is_final;
    }
    row[trace->column_count] = (double)reader->line_number;
    trace->row_count++;
    return TRIB_OK;
}

static bool is_header(const struct reader *reader) {
    const unsigned char first = (unsigned char)*skip_blanks(reader->line);
    return reader->line_number == 1 &&
           (isalpha(first) || first == '"' || first == '_' || first == '#');
}

enum trib_status trib_trace_read(struct trib_trace *trace, const struct trib_env *env,
                                 const char *path, size_t column_count, struct trib_error *error) {
    TRIB_ASSERT(column_count > 0 && column_count <= TRIB_TRACE_COLUMNS_MAX);
    struct reader reader = {.trace = trace, .error = error};
    *trace = (struct trib_trace){.env = env, .column_count = column_count};
    enum trib_status status = trib_gzip_file_open(&reader.file, NULL, path, error);
    bool is_last = status != TRIB_OK;
    while (status == TRIB_OK && !is_last) {
        status = read_line(&reader, &is_last);
        bool is_row = *skip_blanks(reader.line) != '\0' && !is_header(&reader);
        if (status == TRIB_OK && is_row) {
            status = read_row(&reader);
        }
    }
    if (status == TRIB_OK && trace->row_count == 0) {
        status = trib_error_set(error, TRIB_EMALFORMED, "%s: no rows", path);
    }
    trib_gzip_file_close(&reader.file);
    if (status != TRIB_OK) {
        trib_trace_deinit(trace);
    }
    return status;
}

void trib_trace_deinit(struct trib_trace *trace) {
    if (trace->env != NULL) {
        trib_release(trace->env, trace->values, trace->capacity * width(trace),
                     sizeof *trace->values);
    }
    *trace = (struct trib_trace){0};
}

const double *trib_trace_row(const struct trib_trace *trace, size_t row) {
    return trace->values + row * width(trace);
}

size_t trib_trace_line(const struct trib_trace *trace, size_t row) {
    return (size_t)trib_trace_row(trace, row)[trace->column_count];
}
