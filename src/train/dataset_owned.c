/* dataset_owned.c - measurements of people and hospitals: tables whose rows have owners.
 *
 *   UCI heart disease   processed.cleveland.data and its like, one hospital each: 13 attributes
 *                       and the diagnosis, of which only "none" (0) or "some" is told
 *   WISDM 1.1           one .arff file: number, person, 43 features of ten seconds of a phone's
 *                       accelerometer, and what the person did
 *
 * Every fifth row of an owner is held out, so that both parts have all of its activities. Features
 * are centred and divided by their deviation, as the training rows of all owners have them; a value
 * that is missing ('?') becomes the mean, 0. */
#include "train/dataset_formats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/gzip_file.h"

#define LINE_BYTES_MAX 1024
#define HELD_OUT_EVERY 5
#define ROWS_FIRST 1024
#define END_OF_FILE (-1)

#define HEART_FEATURES 13
#define WISDM_FEATURES 43
#define WISDM_PEOPLE 36

static const char *const hospitals[] = {"cleveland", "hungarian", "switzerland", "va"};
static const char *const activities[] = {"Downstairs", "Jogging",  "Sitting",
                                         "Standing",   "Upstairs", "Walking"};
#define HOSPITALS (sizeof hospitals / sizeof *hospitals)
#define ACTIVITIES (sizeof activities / sizeof *activities)

/* One row as it was read; NAN: missing. */
struct owned_row {
    float values[WISDM_FEATURES];
    uint32_t label, owner;
    bool is_test;
};

struct table {
    const struct trib_env *env;
    struct owned_row *rows;
    size_t row_count, capacity;
    size_t feature_count;
    uint32_t class_count, owner_count;
    uint32_t rows_of[WISDM_PEOPLE]; /* read so far, by owner */
};

struct reader {
    struct trib_gzip_file file;
    struct table *table;
    struct trib_error *error;
    char line[LINE_BYTES_MAX];
    size_t line_number, column;
    const char *next; /* in line */
};

/* --- fields ------------------------------------------------------------------------------------- */

static enum trib_status complain(const struct reader *reader, const char *what) {
    return trib_error_set(reader->error, TRIB_EMALFORMED, "%s: line %zu, column %zu: %s",
                          reader->file.path, reader->line_number, reader->column, what);
}

static enum trib_status read_line(struct reader *reader, bool *is_last) {
    size_t used = 0;
    int byte;
    reader->line_number++;
    reader->column = 1;
    reader->next = reader->line;
    while ((byte = trib_gzip_file_get(&reader->file)) != '\n' && byte != END_OF_FILE) {
        if (used == LINE_BYTES_MAX - 1) {
            return complain(reader, "the line is too long");
        }
        reader->line[used++] = (char)byte;
    }
    while (used > 0 && strchr("\r ;", reader->line[used - 1]) != NULL) {
        used--;
    }
    reader->line[used] = '\0';
    *is_last = byte == END_OF_FILE;
    return *is_last ? trib_gzip_file_check(&reader->file, reader->error) : TRIB_OK;
}

/* The next field of the line, "" past its end. */
static void take_field(struct reader *reader, char field[32]) {
    size_t length = strcspn(reader->next, ",");
    size_t kept = length < 31 ? length : 31;
    memcpy(field, reader->next, kept);
    field[kept] = '\0';
    reader->next += length + (reader->next[length] == ',');
}

static enum trib_status take_number(struct reader *reader, float *value) {
    char field[32], *end;
    take_field(reader, field);
    if (strcmp(field, "?") == 0) {
        *value = NAN;
    } else {
        *value = strtof(field, &end);
        if (field[0] == '\0' || strspn(field, "0123456789+-.eE") != strlen(field) || *end != '\0' ||
            !isfinite(*value)) {
            return complain(reader, "not a number");
        }
    }
    reader->column++;
    return TRIB_OK;
}

/* A whole number from least to most; nothing that may be missing. */
static enum trib_status take_whole(struct reader *reader, uint32_t least, uint32_t most,
                                   uint32_t *whole) {
    float value;
    enum trib_status status = take_number(reader, &value);
    if (status != TRIB_OK) {
        return status;
    }
    if (!(value >= (float)least && value <= (float)most) || value != truncf(value)) {
        reader->column--;
        return complain(reader, "not a whole number in its range");
    }
    *whole = (uint32_t)value;
    return TRIB_OK;
}

static enum trib_status take_numbers(struct reader *reader, float *values, size_t count) {
    enum trib_status status = TRIB_OK;
    for (size_t i = 0; status == TRIB_OK && i < count; i++) {
        status = take_number(reader, &values[i]);
    }
    return status;
}

static enum trib_status add_row(struct reader *reader, struct owned_row *row) {
    struct table *table = reader->table;
    if (*reader->next != '\0') {
        return complain(reader, "more columns than there should be");
    }
    if (table->row_count == table->capacity) {
        size_t capacity = table->capacity == 0 ? ROWS_FIRST : 2 * table->capacity;
        struct owned_row *grown =
            capacity > TRIB_DATASET_ROWS_MAX
                ? NULL
                : trib_regrow(table->env, table->rows, table->capacity, capacity, sizeof *grown);
        if (grown == NULL) {
            return trib_error_set(reader->error, TRIB_EMEMORY, "%s: out of memory",
                                  reader->file.path);
        }
        table->rows = grown;
        table->capacity = capacity;
    }
    row->is_test = table->rows_of[row->owner]++ % HELD_OUT_EVERY == HELD_OUT_EVERY - 1;
    table->rows[table->row_count++] = *row;
    return TRIB_OK;
}

/* --- formats ------------------------------------------------------------------------------------ */

static enum trib_status read_heart_line(struct reader *reader, uint32_t owner) {
    struct owned_row row = {.owner = owner};
    uint32_t diagnosis = 0;
    enum trib_status status = take_numbers(reader, row.values, HEART_FEATURES);
    if (status == TRIB_OK) {
        status = take_whole(reader, 0, 4, &diagnosis);
    }
    row.label = diagnosis > 0;
    return status == TRIB_OK ? add_row(reader, &row) : status;
}

static enum trib_status read_wisdm_line(struct reader *reader, uint32_t owner) {
    struct owned_row row = {0};
    char field[32];
    uint32_t person = 0;
    (void)owner;               /* is in the line */
    take_field(reader, field); /* a number that says nothing */
    reader->column++;
    enum trib_status status = take_whole(reader, 1, WISDM_PEOPLE, &person);
    if (status == TRIB_OK) {
        status = take_numbers(reader, row.values, WISDM_FEATURES);
    }
    if (status != TRIB_OK) {
        return status;
    }
    take_field(reader, field);
    while (row.label < ACTIVITIES && strcmp(field, activities[row.label]) != 0) {
        row.label++;
    }
    row.owner = person - 1;
    return row.label < ACTIVITIES ? add_row(reader, &row) : complain(reader, "unknown activity");
}

static enum trib_status read_lines(struct table *table, const char *folder, const char *name,
                                   bool is_arff, uint32_t owner, struct trib_error *error) {
    struct reader reader = {.table = table, .error = error};
    bool is_last = false, is_data = !is_arff;
    enum trib_status status = trib_gzip_file_open(&reader.file, folder, name, error);
    while (status == TRIB_OK && !is_last) {
        status = read_line(&reader, &is_last);
        if (status != TRIB_OK || reader.line[0] == '\0') {
            continue;
        }
        if (!is_data) { /* the head of an .arff file says what we know */
            is_data = strcmp(reader.line, "@data") == 0;
        } else {
            status = (is_arff ? read_wisdm_line : read_heart_line)(&reader, owner);
        }
    }
    if (status == TRIB_OK && !is_data) {
        status = trib_error_set(error, TRIB_EMALFORMED, "%s: no line @data", reader.file.path);
    }
    trib_gzip_file_close(&reader.file);
    return status;
}

/* --- from rows to a data set -------------------------------------------------------------------- */

struct measure {
    double mean[WISDM_FEATURES], deviation[WISDM_FEATURES];
};

static void measure_training(const struct table *table, struct measure *measure) {
    for (size_t i = 0; i < table->feature_count; i++) {
        double sum = 0.0, square_sum = 0.0, count = 0.0;
        for (size_t row = 0; row < table->row_count; row++) {
            double value = table->rows[row].values[i];
            if (!table->rows[row].is_test && !isnan(value)) {
                sum += value;
                square_sum += value * value;
                count += 1.0;
            }
        }
        double mean = count > 0.0 ? sum / count : 0.0;
        double variance = count > 0.0 ? square_sum / count - mean * mean : 0.0;
        measure->mean[i] = mean;
        measure->deviation[i] = variance > 0.0 ? sqrt(variance) : 1.0;
    }
}

static enum trib_status copy_part(const struct table *table,
                                  const struct trib_dataset_request *request,
                                  struct trib_dataset *dataset, struct trib_error *error) {
    bool wants_test = request->part == TRIB_DATASET_TEST;
    size_t part_rows = 0, kept_count = 0, seen = 0, kept = 0;
    struct measure measure;
    for (size_t row = 0; row < table->row_count; row++) {
        part_rows += table->rows[row].is_test == wants_test;
    }
    enum trib_status status = trib_dataset_count_kept(request, part_rows, &kept_count, error);
    if (status == TRIB_OK && kept_count == 0) {
        status = trib_error_set(error, TRIB_EMALFORMED, "too few rows to split");
    }
    if (status == TRIB_OK) {
        status = trib_dataset_reserve(dataset, table->env, kept_count, table->feature_count, 0,
                                      !request->is_labels_only, error);
    }
    if (status != TRIB_OK) {
        return status;
    }
    dataset->owners = trib_allocate(table->env, kept_count, sizeof *dataset->owners);
    if (dataset->owners == NULL) {
        trib_dataset_deinit(dataset);
        return trib_error_set(error, TRIB_EMEMORY, "no memory for %zu rows", kept_count);
    }
    dataset->owner_count = table->owner_count;
    dataset->class_count = table->class_count;
    measure_training(table, &measure);
    for (size_t index = 0; index < table->row_count; index++) {
        const struct owned_row *row = &table->rows[index];
        if (row->is_test != wants_test || !trib_dataset_is_kept(request, seen++, kept)) {
            continue;
        }
        for (size_t i = 0; dataset->features != NULL && i < table->feature_count; i++) {
            double value = isnan(row->values[i]) ? measure.mean[i] : (double)row->values[i];
            dataset->features[kept * table->feature_count + i] =
                (float)((value - measure.mean[i]) / measure.deviation[i]);
        }
        dataset->labels[kept] = (int32_t)row->label;
        dataset->owners[kept++] = row->owner;
    }
    return TRIB_OK;
}

static enum trib_status finish(struct table *table, enum trib_status status,
                               const struct trib_dataset_request *request,
                               struct trib_dataset *dataset, struct trib_error *error) {
    if (status == TRIB_OK) {
        status = copy_part(table, request, dataset, error);
    }
    trib_release(table->env, table->rows, table->capacity, sizeof *table->rows);
    return status;
}

enum trib_status trib_dataset_load_heart(const struct trib_env *env, const char *folder,
                                         const struct trib_dataset_request *request,
                                         struct trib_dataset *dataset, struct trib_error *error) {
    struct table table = {
        .env = env, .feature_count = HEART_FEATURES, .class_count = 2, .owner_count = HOSPITALS};
    enum trib_status status = TRIB_OK;
    for (uint32_t owner = 0; status == TRIB_OK && owner < HOSPITALS; owner++) {
        char name[48] = "processed.";
        strcat(strcat(name, hospitals[owner]), ".data");
        status = read_lines(&table, folder, name, false, owner, error);
    }
    return finish(&table, status, request, dataset, error);
}

enum trib_status trib_dataset_load_wisdm(const struct trib_env *env, const char *path,
                                         const struct trib_dataset_request *request,
                                         struct trib_dataset *dataset, struct trib_error *error) {
    struct table table = {.env = env,
                          .feature_count = WISDM_FEATURES,
                          .class_count = ACTIVITIES,
                          .owner_count = WISDM_PEOPLE};
    return finish(&table, read_lines(&table, NULL, path, true, 0, error), request, dataset, error);
}
