/* distribution.h - random quantities as people write them: how long devices take, how fast links
 * are.
 *
 *   A, constant:A       always A
 *   uniform:A,B         from A to B
 *   exponential:A       mean A
 *   halfnormal:A        |normal| * A (durations in Nguyen et al. 2022, section 5: mean A * 0.80)
 *   lognormal:A,S       median A, exp(S * normal) around it
 *   pareto:A,S          at least A; P(more than x) = (A / x)^S
 *   trace:FILE          one of the numbers of a CSV file with one column (trace.h)
 *   70% KIND + 30% KIND a mixture: groups of devices
 *
 * A is a duration ("30s"), a number of bytes ("2MB") or a plain number, as the owner says. */
#ifndef TRIB_SIM_DISTRIBUTION_H
#define TRIB_SIM_DISTRIBUTION_H

#include "sim/chance.h"
#include "sim/trace.h"

#define TRIB_DISTRIBUTION_PARTS_MAX 8

enum trib_unit { TRIB_UNIT_NUMBER, TRIB_UNIT_SECONDS, TRIB_UNIT_BYTES };

enum trib_distribution_kind {
    TRIB_DISTRIBUTION_CONSTANT,
    TRIB_DISTRIBUTION_UNIFORM,
    TRIB_DISTRIBUTION_EXPONENTIAL,
    TRIB_DISTRIBUTION_HALFNORMAL,
    TRIB_DISTRIBUTION_LOGNORMAL,
    TRIB_DISTRIBUTION_PARETO,
    TRIB_DISTRIBUTION_TRACE,
    TRIB_DISTRIBUTION_COUNT
};

struct trib_distribution_part {
    enum trib_distribution_kind kind;
    double upto; /* shares up to and with this part: drawn when a unit is below */
    double a, b; /* in seconds, bytes or as such */
    struct trib_trace trace;
};

struct trib_distribution {
    struct trib_distribution_part parts[TRIB_DISTRIBUTION_PARTS_MAX]; /* private */
    size_t part_count;                                                /* read-only */
};

/* TRIB_EINVALID: error says what is wrong and what is allowed; and what trib_trace_read() returns.
 * On error *distribution is zero. */
enum trib_status trib_distribution_parse(struct trib_distribution *distribution,
                                         const struct trib_env *env, const char *text,
                                         enum trib_unit unit, struct trib_error *error);
void trib_distribution_deinit(struct trib_distribution *distribution); /* all-zero is safe */

/* Draw number `index`: >= 0 and finite. */
double trib_distribution_draw(const struct trib_distribution *distribution,
                              const struct trib_chance *chance, uint64_t index);

#endif
