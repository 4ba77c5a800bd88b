/* distribution.c - random quantities as people write them. */
#include "sim/distribution.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/name.h"
#include "base/text.h"

#define TEXT_BYTES_MAX 1024
#define SHAPE_MAX 1000.0
#define TAU 6.283185307179586

enum second { NO_SECOND, SECOND_QUANTITY, SECOND_SHAPE }; /* what B is */

static const struct {
    const char *name;
    enum second second;
} kinds[TRIB_DISTRIBUTION_COUNT] = {
    [TRIB_DISTRIBUTION_CONSTANT] = {"constant", NO_SECOND},
    [TRIB_DISTRIBUTION_UNIFORM] = {"uniform", SECOND_QUANTITY},
    [TRIB_DISTRIBUTION_EXPONENTIAL] = {"exponential", NO_SECOND},
    [TRIB_DISTRIBUTION_HALFNORMAL] = {"halfnormal", NO_SECOND},
    [TRIB_DISTRIBUTION_LOGNORMAL] = {"lognormal", SECOND_SHAPE},
    [TRIB_DISTRIBUTION_PARETO] = {"pareto", SECOND_SHAPE},
    [TRIB_DISTRIBUTION_TRACE] = {"trace", NO_SECOND},
};

/* --- reading ------------------------------------------------------------------------------------ */

static bool read_number(const char *text, double *number) {
    char *end;
    *number = strtod(text, &end);
    return *text != '\0' && strspn(text, "0123456789.eE+-") == strlen(text) && *end == '\0' &&
           *number >= 0.0 && *number <= FLT_MAX;
}

static bool read_quantity(const char *text, enum trib_unit unit, double *quantity) {
    trib_time_ns duration;
    uint64_t bytes;
    switch (unit) {
    case TRIB_UNIT_NUMBER:
        return read_number(text, quantity);
    case TRIB_UNIT_SECONDS:
        if (!trib_duration_parse(text, &duration)) {
            return false;
        }
        *quantity = (double)duration / (double)TRIB_SECOND;
        return true;
    case TRIB_UNIT_BYTES:
        if (!trib_bytes_parse(text, &bytes)) {
            return false;
        }
        *quantity = (double)bytes;
        return true;
    }
    return false;
}

static const char *unit_example(enum trib_unit unit) {
    static const char *const examples[] = {"1.5", "30s", "2MB"};
    return examples[unit];
}

static enum trib_status find_kind(const char *name, enum trib_distribution_kind *kind,
                                  struct trib_error *error) {
    size_t nearest = 0, distance = SIZE_MAX;
    for (size_t i = 0; i < TRIB_DISTRIBUTION_COUNT; i++) {
        size_t found = trib_text_distance(name, kinds[i].name);
        if (found < distance) {
            distance = found;
            nearest = i;
        }
    }
    *kind = (enum trib_distribution_kind)nearest;
    if (distance == 0) {
        return TRIB_OK;
    }
    if (distance <= strlen(name) / 3 + 1) {
        return trib_error_set(error, TRIB_EINVALID, "%.32s: unknown; did you mean %s?", name,
                              kinds[nearest].name);
    }
    return trib_error_set(error, TRIB_EINVALID,
                          "%.32s: must be one of constant, uniform, exponential, halfnormal, "
                          "lognormal, pareto, trace",
                          name);
}

static enum trib_status read_arguments(struct trib_distribution_part *part, char *arguments,
                                       enum trib_unit unit, struct trib_error *error) {
    const char *name = kinds[part->kind].name;
    enum second second = kinds[part->kind].second;
    char *comma = second == NO_SECOND ? NULL : strchr(arguments, ',');
    if (comma != NULL) {
        *comma = '\0';
    }
    if (!read_quantity(arguments, unit, &part->a)) {
        return trib_error_set(error, TRIB_EINVALID, "%s:%.32s: must be such as %s", name, arguments,
                              unit_example(unit));
    }
    if (second == NO_SECOND) {
        return TRIB_OK;
    }
    enum trib_unit second_unit = second == SECOND_SHAPE ? TRIB_UNIT_NUMBER : unit;
    if (comma == NULL || !read_quantity(comma + 1, second_unit, &part->b)) {
        return trib_error_set(error, TRIB_EINVALID, "%s: needs two values, such as %s:%s,%s", name,
                              name, unit_example(unit), unit_example(second_unit));
    }
    if (second == SECOND_SHAPE && (part->b <= 0.0 || part->b > SHAPE_MAX)) {
        return trib_error_set(error, TRIB_EINVALID,
                              "%s: the second value must be above 0 and at most 1000", name);
    }
    if (second == SECOND_QUANTITY && part->b < part->a) {
        return trib_error_set(error, TRIB_EINVALID, "%s: the second value is the larger one", name);
    }
    return TRIB_OK;
}

/* "lognormal:30s,0.5" */
static enum trib_status read_kind(struct trib_distribution_part *part, const struct trib_env *env,
                                  char *text, enum trib_unit unit, struct trib_error *error) {
    if (text[0] >= '0' && text[0] <= '9') { /* a quantity alone */
        return read_arguments(part, text, unit, error);
    }
    char *colon = strchr(text, ':');
    if (colon != NULL) {
        *colon = '\0';
    }
    enum trib_status status = find_kind(text, &part->kind, error);
    if (status != TRIB_OK) {
        return status;
    }
    if (colon == NULL || colon[1] == '\0') {
        return trib_error_set(error, TRIB_EINVALID, "%s: needs a value, such as %s:%s", text, text,
                              part->kind == TRIB_DISTRIBUTION_TRACE ? "devices.csv"
                                                                    : unit_example(unit));
    }
    if (part->kind == TRIB_DISTRIBUTION_TRACE) {
        return trib_trace_read(&part->trace, env, colon + 1, 1, error);
    }
    return read_arguments(part, colon + 1, unit, error);
}

/* "70% lognormal:30s,0.5"; a part alone needs no share. */
static enum trib_status read_part(struct trib_distribution_part *part, const struct trib_env *env,
                                  char *text, enum trib_unit unit, double *share,
                                  struct trib_error *error) {
    text += strspn(text, " ");
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == ' ') {
        text[--length] = '\0';
    }
    char *percent = strchr(text, '%');
    *share = 100.0;
    if (percent != NULL) {
        *percent = '\0';
        if (!read_number(text, share) || *share <= 0.0 || *share > 100.0) {
            return trib_error_set(error, TRIB_EINVALID,
                                  "%.32s%%: a share must be above 0 and at most 100", text);
        }
        text = percent + 1 + strspn(percent + 1, " ");
    }
    return read_kind(part, env, text, unit, error);
}

enum trib_status trib_distribution_parse(struct trib_distribution *distribution,
                                         const struct trib_env *env, const char *text,
                                         enum trib_unit unit, struct trib_error *error) {
    char copy[TEXT_BYTES_MAX];
    *distribution = (struct trib_distribution){0};
    if (strlen(text) >= sizeof copy) {
        return trib_error_set(error, TRIB_EINVALID, "longer than %zu bytes", sizeof copy - 1);
    }
    memcpy(copy, text, strlen(text) + 1);
    double total = 0.0;
    enum trib_status status = TRIB_OK;
    char *next = copy;
    while (status == TRIB_OK && next != NULL) {
        char *end = strstr(next, " + ");
        if (end != NULL) {
            *end = '\0';
        }
        if (distribution->part_count == TRIB_DISTRIBUTION_PARTS_MAX) {
            status = trib_error_set(error, TRIB_EINVALID, "more than %d groups",
                                    TRIB_DISTRIBUTION_PARTS_MAX);
            break;
        }
        struct trib_distribution_part *part = &distribution->parts[distribution->part_count++];
        double share;
        status = read_part(part, env, next, unit, &share, error);
        total += share;
        part->upto = total / 100.0;
        next = end == NULL ? NULL : end + 3;
    }
    if (status == TRIB_OK && fabs(total - 100.0) > 1e-6) {
        status =
            trib_error_set(error, TRIB_EINVALID, "the shares come to %g%%, not to 100%%", total);
    }
    if (status != TRIB_OK) {
        trib_distribution_deinit(distribution);
    }
    return status;
}

void trib_distribution_deinit(struct trib_distribution *distribution) {
    for (size_t i = 0; i < distribution->part_count; i++) {
        trib_trace_deinit(&distribution->parts[i].trace);
    }
    *distribution = (struct trib_distribution){0};
}

/* --- drawing ------------------------------------------------------------------------------------ */

/* Which group, then two units for the draw itself. */
#define UNITS_PER_DRAW 3

/* Box and Muller 1958. u and v in [0, 1). */
static double normal(double u, double v) {
    return sqrt(-2.0 * log1p(-u)) * cos(TAU * v);
}

static double draw_part(const struct trib_distribution_part *part, double u, double v) {
    switch (part->kind) {
    case TRIB_DISTRIBUTION_CONSTANT:
        return part->a;
    case TRIB_DISTRIBUTION_UNIFORM:
        return part->a + (part->b - part->a) * u;
    case TRIB_DISTRIBUTION_EXPONENTIAL:
        return -part->a * log1p(-u);
    case TRIB_DISTRIBUTION_HALFNORMAL:
        return part->a * fabs(normal(u, v));
    case TRIB_DISTRIBUTION_LOGNORMAL:
        return part->a * exp(part->b * normal(u, v));
    case TRIB_DISTRIBUTION_PARETO:
        return part->a * pow(1.0 - u, -1.0 / part->b);
    case TRIB_DISTRIBUTION_TRACE:
        return *trib_trace_row(&part->trace, (size_t)(u * (double)part->trace.row_count));
    case TRIB_DISTRIBUTION_COUNT:
        break;
    }
    return 0.0;
}

double trib_distribution_draw(const struct trib_distribution *distribution,
                              const struct trib_chance *chance, uint64_t index) {
    const struct trib_distribution_part *part = &distribution->parts[0];
    if (distribution->part_count == 1 && part->kind == TRIB_DISTRIBUTION_CONSTANT) {
        return part->a;
    }
    uint64_t first = UNITS_PER_DRAW * index;
    if (distribution->part_count > 1) {
        double unit = trib_chance_unit(chance, first);
        const struct trib_distribution_part *last = part + distribution->part_count - 1;
        while (part < last && unit >= part->upto) {
            part++;
        }
    }
    double drawn =
        draw_part(part, trib_chance_unit(chance, first + 1), trib_chance_unit(chance, first + 2));
    return drawn < FLT_MAX ? drawn : FLT_MAX;
}
