/* plot.h - curves of several runs as an SVG picture: axes, ticks, a legend, one colour per run.
 *
 * Pure: points in, text out; the same points give the same bytes. */
#ifndef TRIB_SIM_PLOT_H
#define TRIB_SIM_PLOT_H

#include "base/text.h"

/* Numbers of a point, from which a plot chooses two. */
#define TRIB_CURVE_COLUMNS 8

struct trib_curve {
    const struct trib_env *env;           /* private */
    const char *name;                     /* for the legend; borrowed */
    double (*points)[TRIB_CURVE_COLUMNS]; /* read-only: [count]; NAN: not measured */
    size_t count;                         /* read-only */
    size_t capacity;                      /* private */
};

void trib_curve_init(struct trib_curve *curve, const struct trib_env *env, const char *name);
void trib_curve_deinit(struct trib_curve *curve); /* all-zero is safe */
/* values: double[TRIB_CURVE_COLUMNS]. False: no memory, nothing has changed. */
bool trib_curve_add(struct trib_curve *curve, const double *values);

struct trib_plot {
    const char *title, *x_label, *y_label;
    uint32_t x_column, y_column;
    bool is_seconds; /* x: ticks are durations (90 s is "1m 30s") */
    bool is_bytes;   /* x: ticks are sizes */
};

/* Append the picture. Points where either coordinate is not finite are left out; false: there is
 * none at all, and nothing is appended. */
bool trib_plot_draw(const struct trib_plot *plot, const struct trib_curve *const *curves,
                    size_t curve_count, struct trib_text *svg);

#endif
