/* availability.h - when devices can be asked: a function of the device and the time.
 *
 *   always
 *   diurnal:SHARE,SWING  each device is there for SHARE of every day of 24 h, at one stretch; the
 *                        middle of it is drawn with the density 1 + SWING * cos(2 pi t / day), so
 *                        that most devices are there around time 0 of each day ("at night, idle and
 *                        charging": Bonawitz et al. 2019, section 9). SHARE above 0 and below 1,
 *                        SWING from 0 to 1.
 *   trace:FILE           CSV with the columns device, from, until (seconds): each client draws one
 *                        of the devices and lives its day again and again; a day is as long as the
 *                        latest `until`. Rows by device, then by time. */
#ifndef TRIB_SIM_AVAILABILITY_H
#define TRIB_SIM_AVAILABILITY_H

#include "sim/chance.h"
#include "sim/trace.h"

enum trib_availability_kind {
    TRIB_AVAILABILITY_ALWAYS,
    TRIB_AVAILABILITY_DIURNAL,
    TRIB_AVAILABILITY_TRACE,
};

struct trib_availability {
    /* private */
    enum trib_availability_kind kind;
    double share, swing;
    trib_time_ns period;
    struct trib_chance chance;
    struct trib_trace trace;
    const struct trib_env *env;
    uint32_t *first_rows; /* [device_count + 1] of each device in the trace */
    uint32_t device_count;
};

/* A stretch of time in which a device is there: now, or next. */
struct trib_stretch {
    trib_time_ns from, until; /* from <= now: it is there; until TRIB_TIME_NEVER: for good */
};

/* TRIB_EINVALID: error says what is allowed; for a trace also the line of the row that is out of
 * order, and what trib_trace_read() returns. On error *availability is zero. */
enum trib_status trib_availability_parse(struct trib_availability *availability,
                                         const struct trib_env *env, const char *text,
                                         uint64_t seed, struct trib_error *error);
void trib_availability_deinit(struct trib_availability *availability); /* all-zero is safe */

/* The stretch that ends first after `now`. */
struct trib_stretch trib_availability_at(const struct trib_availability *availability,
                                         uint64_t client, trib_time_ns now);

#endif
