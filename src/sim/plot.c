/* plot.c - curves of several runs as an SVG picture. */
#include "sim/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 760.0
#define HEIGHT 440.0
#define LEFT 78.0
#define RIGHT 24.0
#define TOP 52.0
#define BOTTOM 62.0
#define TICKS_WANTED 6.0
#define POINTS_FIRST 64
#define LABEL_BYTES 32
#define MARKERS_MAX 60 /* more points than this are a line alone */

/* Okabe and Ito 2008: told apart also by those who do not see red and green. */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#000000", "#8c6d1f"};

/* --- curves ------------------------------------------------------------------------------------- */

void trib_curve_init(struct trib_curve *curve, const struct trib_env *env, const char *name) {
    *curve = (struct trib_curve){.env = env, .name = name};
}

void trib_curve_deinit(struct trib_curve *curve) {
    if (curve->points != NULL) {
        trib_release(curve->env, curve->points, curve->capacity, sizeof *curve->points);
    }
    *curve = (struct trib_curve){0};
}

bool trib_curve_add(struct trib_curve *curve, const double *values) {
    if (curve->count == curve->capacity) {
        size_t capacity = curve->capacity == 0 ? POINTS_FIRST : 2 * curve->capacity;
        double(*grown)[TRIB_CURVE_COLUMNS] =
            trib_regrow(curve->env, curve->points, curve->capacity, capacity, sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        curve->points = grown;
        curve->capacity = capacity;
    }
    memcpy(curve->points[curve->count++], values, sizeof *curve->points);
    return true;
}

/* --- axes --------------------------------------------------------------------------------------- */

struct axis {
    double least, most; /* what is shown: whole ticks */
    double step;
    double from, length; /* on the picture; length < 0: upwards */
};

/* The smallest of 1, 2 and 5 times a power of ten that gives few enough ticks. */
static double round_step(double span) {
    double rough = span / TICKS_WANTED;
    double power = pow(10.0, floor(log10(rough)));
    double times = rough / power;
    return power * (times <= 1.0 ? 1.0 : times <= 2.0 ? 2.0 : times <= 5.0 ? 5.0 : 10.0);
}

/* Of a clock and a calendar. */
static double clock_step(double span) {
    static const double steps[] = {1,     2,     5,     10,    15,     30,    60,
                                   120,   300,   600,   900,   1800,   3600,  7200,
                                   10800, 21600, 43200, 86400, 172800, 604800};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (span >= TICKS_WANTED && span / steps[i] <= TICKS_WANTED) {
            return steps[i];
        }
    }
    return round_step(span);
}

static struct axis make_axis(double least, double most, bool is_clock, double from, double length) {
    double span = most - least;
    if (!(span > 0.0)) {
        span = fabs(most) > 0.0 ? fabs(most) : 1.0;
        most = least + span;
    }
    double step = is_clock ? clock_step(span) : round_step(span);
    return (struct axis){
        .least = floor(least / step) * step,
        .most = ceil(most / step - 1e-9) * step,
        .step = step,
        .from = from,
        .length = length,
    };
}

static double place_on(const struct axis *axis, double value) {
    return axis->from + (value - axis->least) / (axis->most - axis->least) * axis->length;
}

static int tick_count(const struct axis *axis) {
    return (int)lround((axis->most - axis->least) / axis->step);
}

static double tick_at(const struct axis *axis, int tick) {
    double value = axis->least + tick * axis->step;
    return fabs(value) < axis->step * 1e-9 ? 0.0 : value;
}

static void label_scaled(char *label, double value, const char *const *units, double factor) {
    size_t unit = 0;
    while (units[unit + 1] != NULL && fabs(value) >= factor) {
        value /= factor;
        unit++;
    }
    (void)snprintf(label, LABEL_BYTES, "%.4g%s%s", value, *units[unit] != '\0' ? " " : "",
                   units[unit]);
}

static void label_clock(char *label, double seconds, double step) {
    static const struct {
        double seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t unit = 0;
    while (unit < 3 && step < units[unit].seconds) {
        unit++;
    }
    (void)snprintf(label, LABEL_BYTES, "%.4g %s", seconds / units[unit].seconds, units[unit].name);
}

static void label_tick(const struct trib_plot *plot, bool is_x, double value, double step,
                       char *label) {
    static const char *const counts[] = {"", "k", "M", "G", NULL};
    static const char *const sizes[] = {"B", "kB", "MB", "GB", "TB", "PB", NULL};
    if (is_x && plot->is_seconds) {
        label_clock(label, value, step);
    } else if (is_x && plot->is_bytes) {
        label_scaled(label, value, sizes, 1000.0);
    } else if (is_x) {
        label_scaled(label, value, counts, 1000.0);
    } else {
        (void)snprintf(label, LABEL_BYTES, "%.4g", value);
    }
}

/* --- the picture -------------------------------------------------------------------------------- */

static bool read_point(const struct trib_plot *plot, const struct trib_curve *curve, size_t index,
                       double *x, double *y) {
    *x = curve->points[index][plot->x_column];
    *y = curve->points[index][plot->y_column];
    return isfinite(*x) && isfinite(*y);
}

static bool find_bounds(const struct trib_plot *plot, const struct trib_curve *const *curves,
                        size_t curve_count, double bounds[4]) {
    bool is_any = false;
    bounds[0] = bounds[2] = INFINITY;
    bounds[1] = bounds[3] = -INFINITY;
    for (size_t c = 0; c < curve_count; c++) {
        for (size_t i = 0; i < curves[c]->count; i++) {
            double x, y;
            if (!read_point(plot, curves[c], i, &x, &y)) {
                continue;
            }
            bounds[0] = fmin(bounds[0], x);
            bounds[1] = fmax(bounds[1], x);
            bounds[2] = fmin(bounds[2], y);
            bounds[3] = fmax(bounds[3], y);
            is_any = true;
        }
    }
    return is_any;
}

static void draw_frame(const struct trib_plot *plot, const struct axis *x, const struct axis *y,
                       struct trib_text *svg) {
    char label[LABEL_BYTES];
    for (int tick = 0; tick <= tick_count(y); tick++) {
        double at = place_on(y, tick_at(y, tick));
        label_tick(plot, false, tick_at(y, tick), y->step, label);
        trib_text_format(svg,
                         "<line class=\"g\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
                         "<text class=\"t\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                         LEFT, at, WIDTH - RIGHT, at, LEFT - 8, at + 4, label);
    }
    for (int tick = 0; tick <= tick_count(x); tick++) {
        double at = place_on(x, tick_at(x, tick));
        label_tick(plot, true, tick_at(x, tick), x->step, label);
        trib_text_format(
            svg,
            "<line class=\"a\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"t\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
            at, HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 5, at, HEIGHT - BOTTOM + 20, label);
    }
    trib_text_format(svg, "<path class=\"a\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", LEFT, TOP,
                     HEIGHT - BOTTOM, WIDTH - RIGHT);
    trib_text_format(svg, "<text class=\"h\" x=\"%.1f\" y=\"26\">", LEFT);
    trib_text_add_html(svg, plot->title);
    trib_text_format(svg,
                     "</text>\n<text class=\"l\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
                     (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16);
    trib_text_add_html(svg, plot->x_label);
    trib_text_format(svg,
                     "</text>\n<text class=\"l\" transform=\"translate(20 %.1f) rotate(-90)\" "
                     "text-anchor=\"middle\">",
                     (TOP + HEIGHT - BOTTOM) / 2);
    trib_text_add_html(svg, plot->y_label);
    trib_text_format(svg, "</text>\n");
}

static const char *colour_of(size_t curve) {
    return colours[curve % (sizeof colours / sizeof *colours)];
}

static void draw_curve(const struct trib_plot *plot, const struct trib_curve *curve, size_t number,
                       const struct axis *x, const struct axis *y, struct trib_text *svg) {
    double at_x, at_y;
    const char *command = "M";
    trib_text_format(svg, "<path class=\"c\" stroke=\"%s\" d=\"", colour_of(number));
    for (size_t i = 0; i < curve->count; i++) {
        if (read_point(plot, curve, i, &at_x, &at_y)) {
            trib_text_format(svg, "%s%.1f %.1f", command, place_on(x, at_x), place_on(y, at_y));
            command = "L";
        }
    }
    trib_text_format(svg, "\"/>\n");
    for (size_t i = 0; curve->count <= MARKERS_MAX && i < curve->count; i++) {
        if (read_point(plot, curve, i, &at_x, &at_y)) {
            trib_text_format(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>\n",
                             place_on(x, at_x), place_on(y, at_y), colour_of(number));
        }
    }
}

/* Right of the title, one name after the other from the right edge. */
static void draw_legend(const struct trib_curve *const *curves, size_t curve_count,
                        struct trib_text *svg) {
    double right = WIDTH - RIGHT;
    for (size_t c = curve_count; c-- > 0;) {
        double width = 7.0 * (double)strlen(curves[c]->name) + 34.0;
        right -= width;
        trib_text_format(svg,
                         "<path class=\"c\" stroke=\"%s\" d=\"M%.1f 40h18\"/>"
                         "<text class=\"t\" x=\"%.1f\" y=\"44\">",
                         colour_of(c), right, right + 23.0);
        trib_text_add_html(svg, curves[c]->name);
        trib_text_format(svg, "</text>\n");
    }
}

bool trib_plot_draw(const struct trib_plot *plot, const struct trib_curve *const *curves,
                    size_t curve_count, struct trib_text *svg) {
    double bounds[4];
    if (!find_bounds(plot, curves, curve_count, bounds)) {
        return false;
    }
    const struct axis x =
        make_axis(fmin(bounds[0], 0.0), bounds[1], plot->is_seconds, LEFT, WIDTH - RIGHT - LEFT);
    const struct axis y =
        make_axis(bounds[2], bounds[3], false, HEIGHT - BOTTOM, TOP + BOTTOM - HEIGHT);
    trib_text_format(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 "
        "%.0f %.0f\">\n<style>text{font-family:sans-serif;fill:#222}.h{font-size:16px;font-weight:"
        "600}.l{font-size:13px}.t{font-size:12px;fill:#444}.g{stroke:#e3e3e3}.a{stroke:#666;fill:"
        "none}.c{fill:none;stroke-width:2;stroke-linejoin:round}</style>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        WIDTH, HEIGHT, WIDTH, HEIGHT);
    draw_frame(plot, &x, &y, svg);
    for (size_t c = 0; c < curve_count; c++) {
        draw_curve(plot, curves[c], c, &x, &y, svg);
    }
    draw_legend(curves, curve_count, svg);
    trib_text_format(svg, "</svg>\n");
    return true;
}
