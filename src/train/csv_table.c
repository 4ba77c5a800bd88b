/* csv_table.c - a table of numbers read from text, the last column a label.
 *
 * The file is read field by field, not line by line, so that nothing depends on how long a line
 * is. Quoted fields, blanks inside numbers and missing values are refused with line and column. */
#include "train/csv_table.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/dataset.h"
#include "train/gzip_file.h"

#define FIELD_BYTES_MAX 64 /* longer than any number worth writing */
#define VALUES_AT_FIRST 4096
#define END_OF_FILE (-1)

struct parser {
    struct trib_gzip_file file;
    struct trib_csv_table *table;
    struct trib_error *error;
    size_t line;   /* from 1, of the field being read */
    size_t column; /* from 1: which field of the line */
    char field[FIELD_BYTES_MAX];
    size_t field_bytes;
};

static enum trib_status complain(const struct parser *parser, enum trib_status status,
                                 const char *what) {
    return trib_error_set(parser->error, status, "%s: line %zu, column %zu: %s", parser->file.path,
                          parser->line, parser->column, what);
}

static enum trib_status add_value(struct parser *parser, float value) {
    struct trib_csv_table *table = parser->table;
    if (table->value_count == table->value_capacity) {
        if (table->value_capacity * sizeof value * 2 > TRIB_DATASET_BYTES_MAX) {
            return complain(parser, TRIB_ELIMIT, "the table is too large");
        }
        const size_t capacity =
            table->value_capacity == 0 ? VALUES_AT_FIRST : table->value_capacity * 2;
        float *values =
            trib_regrow(table->env, table->values, table->value_capacity, capacity, sizeof *values);
        if (values == NULL) {
            return complain(parser, TRIB_EMEMORY, "out of memory");
        }
        table->values = values;
        table->value_capacity = capacity;
    }
    table->values[table->value_count++] = value;
    return TRIB_OK;
}

/* The next field without blanks around it, and what ended it: ',', '\n' or the end. */
static enum trib_status read_field(struct parser *parser, int *ending) {
    parser->field_bytes = 0;
    int byte = trib_gzip_file_get(&parser->file);
    while (byte != ',' && byte != '\n' && byte != END_OF_FILE) {
        const bool is_leading_blank = parser->field_bytes == 0 && isspace(byte);
        if (!is_leading_blank) {
            if (parser->field_bytes == FIELD_BYTES_MAX - 1) {
                return complain(parser, TRIB_EMALFORMED, "not a number: too long");
            }
            parser->field[parser->field_bytes++] = (char)byte;
        }
        byte = trib_gzip_file_get(&parser->file);
    }
    while (parser->field_bytes > 0 &&
           isspace((unsigned char)parser->field[parser->field_bytes - 1])) {
        parser->field_bytes--;
    }
    parser->field[parser->field_bytes] = '\0';
    *ending = byte;
    return byte == END_OF_FILE ? trib_gzip_file_check(&parser->file, parser->error) : TRIB_OK;
}

/* Decimal numbers only: strtod also takes hexadecimal, "nan" and "inf". The program never calls
 * setlocale(), so the decimal sign is a point. */
static enum trib_status parse_number(const struct parser *parser, float *number) {
    if (parser->field_bytes == 0) {
        return complain(parser, TRIB_EMALFORMED, "nothing where a number should be");
    }
    char *end = NULL;
    const double value = strtod(parser->field, &end);
    if (strspn(parser->field, "0123456789+-.eE") != parser->field_bytes ||
        end != parser->field + parser->field_bytes) {
        return complain(parser, TRIB_EMALFORMED, "not a number");
    }
    if (!(fabs(value) <= FLT_MAX)) {
        return complain(parser, TRIB_EBOUND, "too large a number");
    }
    *number = (float)value;
    return TRIB_OK;
}

static enum trib_status end_row(struct parser *parser) {
    struct trib_csv_table *table = parser->table;
    if (table->column_count == 0) {
        table->column_count = parser->column;
        if (table->column_count < 2) {
            return complain(parser, TRIB_EMALFORMED, "a row needs a feature and a label");
        }
        if (table->column_count - 1 > TRIB_DATASET_FEATURES_MAX) {
            return complain(parser, TRIB_ELIMIT, "too many features");
        }
    }
    if (parser->column != table->column_count) {
        return trib_error_set(parser->error, TRIB_EMALFORMED,
                              "%s: line %zu has %zu columns, the lines before it have %zu",
                              parser->file.path, parser->line, parser->column, table->column_count);
    }
    const float label = table->values[table->value_count - 1];
    if (!(label >= 0.0F && label < TRIB_DATASET_CLASSES_MAX) || label != truncf(label)) {
        return complain(parser, TRIB_EMALFORMED, "the label is not a small whole number");
    }
    if (++table->row_count > TRIB_DATASET_ROWS_MAX) {
        return complain(parser, TRIB_ELIMIT, "too many rows");
    }
    return TRIB_OK;
}

static bool is_header(const struct parser *parser) {
    const unsigned char first = (unsigned char)parser->field[0];
    return parser->line == 1 && parser->column == 1 &&
           (isalpha(first) || first == '"' || first == '_' || first == '#');
}

static int skip_line(struct parser *parser) {
    int byte = trib_gzip_file_get(&parser->file);
    while (byte != '\n' && byte != END_OF_FILE) {
        byte = trib_gzip_file_get(&parser->file);
    }
    return byte;
}

/* One line; *ending tells what comes after it. */
static enum trib_status read_line(struct parser *parser, int *ending) {
    parser->line++;
    for (parser->column = 1;; parser->column++) {
        enum trib_status status = read_field(parser, ending);
        if (status != TRIB_OK) {
            return status;
        }
        if (parser->column == 1 && parser->field_bytes == 0 && *ending != ',') {
            return TRIB_OK; /* an empty line, or nothing after the last line break */
        }
        if (is_header(parser)) {
            if (*ending == ',') {
                *ending = skip_line(parser);
            }
            return trib_gzip_file_check(&parser->file, parser->error);
        }
        float number = 0.0F;
        status = parse_number(parser, &number);
        if (status == TRIB_OK) {
            status = add_value(parser, number);
        }
        if (status != TRIB_OK) {
            return status;
        }
        if (*ending != ',') {
            return end_row(parser);
        }
    }
}

enum trib_status trib_csv_table_read(struct trib_csv_table *table, const struct trib_env *env,
                                     const char *folder, const char *name,
                                     struct trib_error *error) {
    struct parser parser = {.table = table, .error = error};
    memset(table, 0, sizeof *table);
    table->env = env;
    enum trib_status status = trib_gzip_file_open(&parser.file, folder, name, error);
    int ending = '\n';
    while (status == TRIB_OK && ending != END_OF_FILE) {
        status = read_line(&parser, &ending);
    }
    if (status == TRIB_OK && table->row_count == 0) {
        status = trib_error_set(error, TRIB_EMALFORMED, "%s: no rows", parser.file.path);
    }
    trib_gzip_file_close(&parser.file);
    return status;
}

void trib_csv_table_deinit(struct trib_csv_table *table) {
    if (table->env != NULL) {
        trib_release(table->env, table->values, table->value_capacity, sizeof *table->values);
    }
    memset(table, 0, sizeof *table);
}

const float *trib_csv_table_row(const struct trib_csv_table *table, size_t row) {
    return table->values + row * table->column_count;
}

uint32_t trib_csv_table_label(const struct trib_csv_table *table, size_t row) {
    return (uint32_t)trib_csv_table_row(table, row)[table->column_count - 1];
}
