/* availability.c - when devices can be asked. */
#include "sim/availability.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TAU 6.283185307179586
#define DAY (86400 * TRIB_SECOND)
#define TRIES_MAX 64 /* draws of one middle; all of them fail once in 2^64 */

enum trace_column { DEVICE, FROM, UNTIL, TRACE_COLUMNS };

/* --- reading ------------------------------------------------------------------------------------ */

static enum trib_status read_diurnal(struct trib_availability *availability, const char *text,
                                     struct trib_error *error) {
    int used = 0;
    bool is_read =
        sscanf(text, "diurnal:%lf,%lf%n", &availability->share, &availability->swing, &used) == 2 &&
        text[used] == '\0';
    if (!is_read || !(availability->share > 0.0 && availability->share < 1.0) ||
        !(availability->swing >= 0.0 && availability->swing <= 1.0)) {
        return trib_error_set(error, TRIB_EINVALID,
                              "%.64s: must be diurnal:SHARE,SWING, SHARE above 0 and below 1, "
                              "SWING from 0 to 1",
                              text);
    }
    availability->kind = TRIB_AVAILABILITY_DIURNAL;
    availability->period = DAY;
    return TRIB_OK;
}

static trib_time_ns nanoseconds(double seconds) {
    return (trib_time_ns)(seconds * (double)TRIB_SECOND);
}

static enum trib_status check_row(const struct trib_trace *trace, size_t index, const char *path,
                                  struct trib_error *error) {
    const double *row = trib_trace_row(trace, index);
    const double *before = index == 0 ? NULL : trib_trace_row(trace, index - 1);
    size_t line = trib_trace_line(trace, index);
    if (!(row[UNTIL] > row[FROM]) || row[UNTIL] > 1e9) {
        return trib_error_set(error, TRIB_EINVALID,
                              "%s: line %zu, column %d: must be after column 2 and at most 1e9 s",
                              path, line, UNTIL + 1);
    }
    if (before != NULL && row[DEVICE] < before[DEVICE]) {
        return trib_error_set(error, TRIB_EINVALID,
                              "%s: line %zu, column 1: rows must be sorted by device", path, line);
    }
    if (before != NULL && row[DEVICE] == before[DEVICE] && row[FROM] < before[UNTIL]) {
        return trib_error_set(
            error, TRIB_EINVALID,
            "%s: line %zu, column 2: begins before the stretch above it has ended", path, line);
    }
    return TRIB_OK;
}

static enum trib_status read_trace(struct trib_availability *availability, const char *path,
                                   struct trib_error *error) {
    struct trib_trace *trace = &availability->trace;
    enum trib_status status = trib_trace_read(trace, availability->env, path, TRACE_COLUMNS, error);
    double latest = 0.0;
    for (size_t row = 0; status == TRIB_OK && row < trace->row_count; row++) {
        status = check_row(trace, row, path, error);
        latest = fmax(latest, trib_trace_row(trace, row)[UNTIL]);
        availability->device_count += row == 0 || trib_trace_row(trace, row)[DEVICE] !=
                                                      trib_trace_row(trace, row - 1)[DEVICE];
    }
    if (status != TRIB_OK) {
        return status;
    }
    availability->kind = TRIB_AVAILABILITY_TRACE;
    availability->period = nanoseconds(latest);
    availability->first_rows = trib_allocate(availability->env, availability->device_count + 1,
                                             sizeof *availability->first_rows);
    if (availability->first_rows == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    uint32_t device = 0;
    for (size_t row = 1; row < trace->row_count; row++) {
        if (trib_trace_row(trace, row)[DEVICE] != trib_trace_row(trace, row - 1)[DEVICE]) {
            availability->first_rows[++device] = (uint32_t)row;
        }
    }
    availability->first_rows[availability->device_count] = (uint32_t)trace->row_count;
    return TRIB_OK;
}

enum trib_status trib_availability_parse(struct trib_availability *availability,
                                         const struct trib_env *env, const char *text,
                                         uint64_t seed, struct trib_error *error) {
    *availability =
        (struct trib_availability){.env = env, .chance = trib_chance_of(seed, "availability")};
    enum trib_status status = TRIB_OK;
    if (strncmp(text, "diurnal", 7) == 0) {
        status = read_diurnal(availability, text, error);
    } else if (strncmp(text, "trace:", 6) == 0) {
        status = read_trace(availability, text + 6, error);
    } else if (strcmp(text, "always") != 0) {
        status = trib_error_set(error, TRIB_EINVALID,
                                "%.64s: must be always, diurnal:SHARE,SWING or trace:FILE", text);
    }
    if (status != TRIB_OK) {
        trib_availability_deinit(availability);
    }
    return status;
}

void trib_availability_deinit(struct trib_availability *availability) {
    trib_trace_deinit(&availability->trace);
    if (availability->first_rows != NULL) {
        trib_release(availability->env, availability->first_rows, availability->device_count + 1,
                     sizeof *availability->first_rows);
    }
    *availability = (struct trib_availability){0};
}

/* --- asking ------------------------------------------------------------------------------------- */

/* The middle of a device's day as a part of the day: by rejection under the density's roof. */
static double middle_of(const struct trib_availability *availability, uint64_t client) {
    double middle = 0.0;
    for (uint64_t try = 0; try < TRIES_MAX; try++) {
        uint64_t index = 2 * (client * TRIES_MAX + try);
        middle = trib_chance_unit(&availability->chance, index);
        double roof =
            (1.0 + availability->swing) * trib_chance_unit(&availability->chance, index + 1);
        if (roof <= 1.0 + availability->swing * cos(TAU * middle)) {
            break;
        }
    }
    return middle;
}

static struct trib_stretch diurnal_at(const struct trib_availability *availability, uint64_t client,
                                      trib_time_ns now) {
    trib_time_ns length = (trib_time_ns)(availability->share * (double)DAY);
    trib_time_ns from = (trib_time_ns)(middle_of(availability, client) * (double)DAY) - length / 2;
    /* The first stretch that ends after now. */
    trib_time_ns days = now < from + length ? 0 : (now - from - length) / DAY + 1;
    from += days * DAY;
    bool was_before = from - DAY + length > now; /* only for the stretch around time 0 */
    from -= was_before ? DAY : 0;
    return (struct trib_stretch){.from = from, .until = from + length};
}

/* The first row from `row` to `end` that ends after `offset`; `end`: none. */
static uint32_t row_after(const struct trib_trace *trace, uint32_t row, uint32_t end,
                          trib_time_ns offset) {
    while (row < end) {
        uint32_t middle = row + (end - row) / 2;
        if (nanoseconds(trib_trace_row(trace, middle)[UNTIL]) > offset) {
            end = middle;
        } else {
            row = middle + 1;
        }
    }
    return row;
}

static struct trib_stretch trace_at(const struct trib_availability *availability, uint64_t client,
                                    trib_time_ns now) {
    uint64_t device = trib_chance_below(&availability->chance, client, availability->device_count);
    uint32_t first = availability->first_rows[device];
    uint32_t end = availability->first_rows[device + 1];
    trib_time_ns day = now / availability->period * availability->period;
    uint32_t row = row_after(&availability->trace, first, end, now - day);
    if (row == end) {
        row = first;
        day += availability->period;
    }
    const double *stretch = trib_trace_row(&availability->trace, row);
    return (struct trib_stretch){.from = day + nanoseconds(stretch[FROM]),
                                 .until = day + nanoseconds(stretch[UNTIL])};
}

struct trib_stretch trib_availability_at(const struct trib_availability *availability,
                                         uint64_t client, trib_time_ns now) {
    switch (availability->kind) {
    case TRIB_AVAILABILITY_DIURNAL:
        return diurnal_at(availability, client, now);
    case TRIB_AVAILABILITY_TRACE:
        return trace_at(availability, client, now);
    case TRIB_AVAILABILITY_ALWAYS:
        break;
    }
    return (struct trib_stretch){.from = 0, .until = TRIB_TIME_NEVER};
}
