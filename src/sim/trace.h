/* trace.h - measured behaviour of devices as a CSV file of numbers.
 *
 * Numbers separated by commas, one row per line, all of the same width. A first line that begins
 * with a letter, a quote, '_' or '#' is a header; empty lines are skipped; the file may be gzip
 * with ".gz" at the end of its name. */
#ifndef TRIB_SIM_TRACE_H
#define TRIB_SIM_TRACE_H

#include "base/env.h"
#include "base/status.h"

#define TRIB_TRACE_ROWS_MAX (1u << 26)
#define TRIB_TRACE_COLUMNS_MAX 8

struct trib_trace {
    const struct trib_env *env; /* private */
    double *values;             /* private: [capacity][column_count + 1] */
    size_t row_count;           /* read-only: > 0 after a read */
    size_t column_count;        /* read-only */
    size_t capacity;            /* private: in rows */
};

/* column_count  1..TRIB_TRACE_COLUMNS_MAX: what every row must have.
 *
 * TRIB_ENOTFOUND, TRIB_EIO; TRIB_EMALFORMED, TRIB_ELIMIT, TRIB_EMEMORY: error names file, line and
 * column. On error *trace is zero. */
enum trib_status trib_trace_read(struct trib_trace *trace, const struct trib_env *env,
                                 const char *path, size_t column_count, struct trib_error *error);
void trib_trace_deinit(struct trib_trace *trace); /* all-zero is safe */

/* double[column_count], finite and >= 0. row < row_count. */
const double *trib_trace_row(const struct trib_trace *trace, size_t row);
/* Where the row is in the file, from 1, for messages. */
size_t trib_trace_line(const struct trib_trace *trace, size_t row);

#endif
