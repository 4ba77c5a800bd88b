/* sim_show.c - what a simulation shows. */
#include "cli/sim_show.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/interrupt.h"

#define BAR_CELLS 28
#define REDRAW_EVERY (100 * TRIB_MILLISECOND)

enum column { VERSION, SECONDS, UPDATES, BYTES, ACCURACY, LOSS };

static trib_time_ns real_now(const struct trib_sim_show *show) {
    return show->cli->env->monotonic(show->cli->env->context);
}

static double seconds_of(trib_time_ns time) {
    return (double)time / (double)TRIB_SECOND;
}

static struct trib_sim_run *current(struct trib_sim_show *show) {
    return &show->runs[show->run_count - 1];
}

/* --- opening ------------------------------------------------------------------------------------ */

enum trib_exit trib_sim_show_open(struct trib_sim_show *show, const struct trib_cli *cli,
                                  const char *json) {
    *show = (struct trib_sim_show){.cli = cli, .is_terminal = isatty(fileno(cli->err)) == 1};
    if (json == NULL) {
        return TRIB_EXIT_OK;
    }
    show->json = strcmp(json, "-") == 0 ? cli->out : fopen(json, "we");
    if (show->json == NULL) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s: %s", json, strerror(errno));
    }
    return TRIB_EXIT_OK;
}

void trib_sim_show_begin(struct trib_sim_show *show, const struct trib_spec *spec) {
    struct trib_sim_run *run = &show->runs[show->run_count++];
    show->spec = spec;
    show->began_at = show->drawn_at = real_now(show);
    memcpy(run->name, spec->name, sizeof run->name);
    run->best_accuracy = NAN;
    trib_curve_init(&run->curve, show->cli->env, run->name);
}

/* --- lines of JSON ------------------------------------------------------------------------------ */

/* JSON has no NaN: what was not measured is left out. */
static void add_real(json_t *line, const char *name, double value) {
    if (isfinite(value)) {
        (void)json_object_set_new(line, name, json_real(value));
    }
}

static void write_line(const struct trib_sim_show *show, json_t *line) {
    (void)json_dumpf(line, show->json, JSON_COMPACT | JSON_REAL_PRECISION(12));
    (void)fputc('\n', show->json); /* failures are seen when the file is closed */
    json_decref(line);
}

static void write_point(struct trib_sim_show *show, const struct trib_fleet_point *point) {
    char hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(&point->digest, hex);
    json_t *line =
        json_pack("{s:s, s:I, s:f, s:I, s:I, s:I, s:I, s:f, s:s}", "run", current(show)->name,
                  "version", (json_int_t)point->version, "time", seconds_of(point->at), "updates",
                  (json_int_t)point->updates, "updates_sent", (json_int_t)point->updates_sent,
                  "bytes_down", (json_int_t)point->bytes_down, "bytes_up",
                  (json_int_t)point->bytes_up, "staleness", point->staleness, "digest", hex);
    add_real(line, "train_loss", point->loss);
    add_real(line, "accuracy", point->test_accuracy);
    add_real(line, "loss", point->test_loss);
    if (point->own_reports > 0) {
        (void)json_object_set_new(line, "clients_reported",
                                  json_integer((json_int_t)point->own_reports));
        add_real(line, "clients_accuracy", point->own_accuracy);
        add_real(line, "clients_loss", point->own_loss);
    }
    write_line(show, line);
}

static void write_report(struct trib_sim_show *show, const struct trib_sim_run *run) {
    const struct trib_fleet_report *report = &run->report;
    json_t *line = json_pack(
        "{s:s, s:s, s:b, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I}", "run",
        run->name, "ending", report->ending, "complete", report->is_complete, "version",
        (json_int_t)report->version, "time", seconds_of(report->ended_at), "tasks",
        (json_int_t)report->tasks, "updates_sent", (json_int_t)report->updates_sent,
        "updates_counted", (json_int_t)report->updates_counted, "updates_refused",
        (json_int_t)report->updates_refused, "vanished", (json_int_t)report->vanished, "outlasted",
        (json_int_t)report->outlasted, "clients", (json_int_t)report->clients, "staleness",
        report->staleness, "bytes_down", (json_int_t)report->bytes_down, "bytes_up",
        (json_int_t)report->bytes_up);
    add_real(line, "best_accuracy", run->best_accuracy);
    if (report->has_best) {
        (void)json_object_set_new(line, "best_version", json_integer((json_int_t)report->best));
        add_real(line, "best_metric", report->best_metric);
    }
    write_line(show, line);
}

/* --- while it runs ------------------------------------------------------------------------------ */

void trib_sim_show_point(void *context, const struct trib_fleet_point *point) {
    struct trib_sim_show *show = context;
    struct trib_sim_run *run = current(show);
    if (show->json != NULL) {
        write_point(show, point);
    }
    if (point->is_evaluated) {
        const double values[TRIB_CURVE_COLUMNS] = {
            [VERSION] = (double)point->version,
            [SECONDS] = seconds_of(point->at),
            [UPDATES] = (double)point->updates_sent,
            [BYTES] = (double)(point->bytes_down + point->bytes_up),
            [ACCURACY] = point->test_accuracy,
            [LOSS] = point->test_loss,
        };
        (void)trib_curve_add(&run->curve, values); /* without memory the plot has a point less */
        run->best_accuracy = fmax(run->best_accuracy, point->test_accuracy);
    }
    if (point->is_evaluated || !run->last.is_evaluated) {
        run->last = *point;
    }
}

/* How much of the run is done, by the rule that is nearest to ending it. */
static double share_done(const struct trib_sim_show *show,
                         const struct trib_fleet_progress *progress) {
    const struct trib_spec_stop *stop = &show->spec->stop;
    double share = 0.0;
    if (stop->versions > 0) {
        share = fmax(share, (double)progress->version / (double)stop->versions);
    }
    if (stop->after > 0) {
        share = fmax(share, (double)progress->now / (double)stop->after);
    }
    return fmin(share, 1.0);
}

static void draw_bar(struct trib_sim_show *show, const struct trib_fleet_progress *progress) {
    char virtual_time[32], left[32] = "?";
    double share = share_done(show, progress);
    trib_time_ns spent = real_now(show) - show->began_at;
    if (share > 0.0) {
        (void)trib_duration_human(left, sizeof left,
                                  (trib_time_ns)((double)spent * (1.0 - share) / share));
    }
    char cells[BAR_CELLS + 1];
    for (int i = 0; i < BAR_CELLS; i++) {
        cells[i] = i < (int)(share * BAR_CELLS) ? '#' : '.';
    }
    cells[BAR_CELLS] = '\0';
    (void)fprintf(show->cli->err,
                  "\r\033[K[%s] %s: version %" PRIu64 ", %" PRIu64
                  " updates, %s simulated, %s left",
                  cells, current(show)->name, progress->version, progress->updates_sent,
                  trib_duration_human(virtual_time, sizeof virtual_time, progress->now), left);
    (void)fflush(show->cli->err); /* a bar that cannot be seen is nobody's loss */
    show->has_bar = true;
}

bool trib_sim_show_progress(void *context, const struct trib_fleet_progress *progress) {
    struct trib_sim_show *show = context;
    trib_time_ns now = real_now(show);
    if (show->is_terminal && now - show->drawn_at >= REDRAW_EVERY) {
        show->drawn_at = now;
        draw_bar(show, progress);
    }
    return !trib_is_interrupted();
}

void trib_sim_show_interrupted(void) {
}

void trib_sim_show_clear(struct trib_sim_show *show) {
    if (show->has_bar) {
        (void)fputs("\r\033[K", show->cli->err);
        show->has_bar = false;
    }
}

void trib_sim_show_end(struct trib_sim_show *show, const struct trib_fleet_report *report) {
    struct trib_sim_run *run = current(show);
    run->report = *report;
    run->spent = real_now(show) - show->began_at;
    trib_sim_show_clear(show);
    if (show->json != NULL) {
        write_report(show, run);
    }
}

/* --- the table ---------------------------------------------------------------------------------- */

static void print_measure(FILE *out, int width, double value) {
    if (isfinite(value)) {
        (void)fprintf(out, "  %*.4f", width, value);
    } else {
        (void)fprintf(out, "  %*s", width, "-");
    }
}

static int widest_name(const struct trib_sim_show *show) {
    size_t widest = strlen("run");
    for (size_t i = 0; i < show->run_count; i++) {
        size_t width = strlen(show->runs[i].name);
        widest = width > widest ? width : widest;
    }
    return (int)widest;
}

static void print_row(FILE *out, int name_width, const struct trib_sim_run *run) {
    const struct trib_fleet_report *report = &run->report;
    char time[32], traffic[32];
    (void)fprintf(out, "%-*s  %8" PRIu64 "  %10s  %9" PRIu64 "  %9s  %9.2f", name_width, run->name,
                  report->version, trib_duration_human(time, sizeof time, report->ended_at),
                  report->updates_sent,
                  trib_bytes_human(traffic, sizeof traffic, report->bytes_down + report->bytes_up),
                  report->staleness);
    print_measure(out, 8, run->last.test_accuracy);
    print_measure(out, 8, run->best_accuracy);
    print_measure(out, 8, run->last.test_loss);
    (void)fprintf(out, "  %7.1f\n", seconds_of(run->spent));
}

static void print_notes(FILE *out, const struct trib_sim_run *run) {
    const struct trib_fleet_report *report = &run->report;
    (void)fprintf(out, "%s: %s; %" PRIu64 " clients had %" PRIu64 " tasks", run->name,
                  report->ending, report->clients, report->tasks);
    if (report->updates_refused > 0) {
        (void)fprintf(out, ", %" PRIu64 " refused", report->updates_refused);
    }
    if (report->vanished > 0) {
        (void)fprintf(out, ", %" PRIu64 " fell silent", report->vanished);
    }
    if (report->outlasted > 0) {
        (void)fprintf(out, ", %" PRIu64 " took longer than the lease", report->outlasted);
    }
    (void)fprintf(out, "\n");
}

static void print_table(const struct trib_sim_show *show) {
    FILE *out = show->cli->out;
    int name_width = widest_name(show);
    (void)fprintf(out, "%-*s  %8s  %10s  %9s  %9s  %9s  %8s  %8s  %8s  %7s\n", name_width, "run",
                  "versions", "time", "updates", "traffic", "staleness", "accuracy", "best", "loss",
                  "seconds");
    for (size_t i = 0; i < show->run_count; i++) {
        print_row(out, name_width, &show->runs[i]);
    }
    for (size_t i = 0; i < show->run_count; i++) {
        print_notes(out, &show->runs[i]);
    }
}

/* --- plots -------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *label;
    enum column column;
} abscissas[] = {
    {"versions", "versions", VERSION},
    {"time", "virtual time", SECONDS},
    {"updates", "client updates", UPDATES},
    {"bytes", "bytes down and up", BYTES},
};

static const struct {
    const char *name, *title, *label;
    enum column column;
} ordinates[] = {
    {"accuracy", "Accuracy on the test set", "accuracy", ACCURACY},
    {"loss", "Loss on the test set", "loss (nats)", LOSS},
};

static enum trib_exit write_plot(const struct trib_sim_show *show, const char *folder, size_t x,
                                 size_t y) {
    const struct trib_plot plot = {
        .title = ordinates[y].title,
        .x_label = abscissas[x].label,
        .y_label = ordinates[y].label,
        .x_column = abscissas[x].column,
        .y_column = ordinates[y].column,
        .is_seconds = abscissas[x].column == SECONDS,
        .is_bytes = abscissas[x].column == BYTES,
    };
    const struct trib_curve *curves[TRIB_SIM_RUNS_MAX];
    for (size_t i = 0; i < show->run_count; i++) {
        curves[i] = &show->runs[i].curve;
    }
    struct trib_text path, svg;
    trib_text_init(&path, show->cli->env);
    trib_text_init(&svg, show->cli->env);
    enum trib_exit exit = TRIB_EXIT_OK;
    if (trib_plot_draw(&plot, curves, show->run_count, &svg)) {
        trib_text_format(&path, "%s/%s-%s.svg", folder, ordinates[y].name, abscissas[x].name);
        FILE *file = path.is_failed || svg.is_failed ? NULL : fopen(path.bytes, "we");
        bool is_written =
            file != NULL && fwrite(svg.bytes, 1, svg.byte_count, file) == svg.byte_count;
        if ((file != NULL && fclose(file) != 0) || !is_written) {
            exit = trib_cli_fail(show->cli, TRIB_EXIT_FAILED, "%s: cannot be written",
                                 path.is_failed ? folder : path.bytes);
        }
    }
    trib_text_deinit(&svg);
    trib_text_deinit(&path);
    return exit;
}

static enum trib_exit write_plots(const struct trib_sim_show *show, const char *folder) {
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        return trib_cli_fail(show->cli, TRIB_EXIT_FAILED, "%s: %s", folder, strerror(errno));
    }
    bool is_any = false;
    for (size_t i = 0; i < show->run_count; i++) {
        is_any = is_any || show->runs[i].curve.count > 0;
    }
    if (!is_any) {
        return trib_cli_fail(show->cli, TRIB_EXIT_FAILED,
                             "no version was scored, so there is nothing to plot");
    }
    enum trib_exit exit = TRIB_EXIT_OK;
    for (size_t y = 0; y < sizeof ordinates / sizeof *ordinates; y++) {
        for (size_t x = 0; x < sizeof abscissas / sizeof *abscissas && exit == TRIB_EXIT_OK; x++) {
            exit = write_plot(show, folder, x, y);
        }
    }
    return exit;
}

enum trib_exit trib_sim_show_close(struct trib_sim_show *show, const char *plots) {
    enum trib_exit exit = TRIB_EXIT_OK;
    bool is_ended = show->run_count > 0 && current(show)->report.ending[0] != '\0';
    if (is_ended && show->json != show->cli->out) {
        print_table(show);
    }
    if (is_ended && plots != NULL) {
        exit = write_plots(show, plots);
    }
    if (show->json != NULL && show->json != show->cli->out && fclose(show->json) != 0) {
        exit = trib_cli_fail(show->cli, TRIB_EXIT_FAILED, "the JSON lines could not be written");
    }
    for (size_t i = 0; i < show->run_count; i++) {
        trib_curve_deinit(&show->runs[i].curve);
    }
    return exit;
}
