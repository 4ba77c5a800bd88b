/* csv_table.h - a table of numbers read from text, the last column a label. */
#ifndef TRIB_TRAIN_CSV_TABLE_H
#define TRIB_TRAIN_CSV_TABLE_H

#include "base/env.h"
#include "base/status.h"

struct trib_csv_table {
    /* read-only */
    float *values; /* [row_count][column_count]: features as they are in the file, then the label */
    size_t row_count;    /* > 0 after a read */
    size_t column_count; /* > 1 after a read */

    /* private */
    const struct trib_env *env;
    size_t value_count;
    size_t value_capacity;
};

/* Read a whole file; folder and name as for trib_gzip_file_open(). All values are finite, labels
 * whole numbers below TRIB_DATASET_CLASSES_MAX.
 *
 * Deinit the table after success and after an error.
 * TRIB_EMALFORMED, TRIB_EBOUND (a number beyond float), TRIB_ELIMIT, TRIB_EMEMORY: error names
 * file, line and column; and what opening and reading may say. */
enum trib_status trib_csv_table_read(struct trib_csv_table *table, const struct trib_env *env,
                                     const char *folder, const char *name,
                                     struct trib_error *error);
void trib_csv_table_deinit(struct trib_csv_table *table); /* all-zero is safe */

/* float[column_count]. row < row_count. */
const float *trib_csv_table_row(const struct trib_csv_table *table, size_t row);
uint32_t trib_csv_table_label(const struct trib_csv_table *table, size_t row);

#endif
