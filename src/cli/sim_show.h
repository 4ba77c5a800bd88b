/* sim_show.h - what a simulation shows: a bar while it runs, lines of JSON, a table, plots. */
#ifndef TRIB_CLI_SIM_SHOW_H
#define TRIB_CLI_SIM_SHOW_H

#include "cli/command.h"
#include "sim/fleet.h"
#include "sim/plot.h"

#define TRIB_SIM_RUNS_MAX TRIB_OPTION_LIST_MAX

/* One run: its curve for the plots, its end for the table. */
struct trib_sim_run {
    char name[TRIB_NAME_BYTES];
    struct trib_curve curve;
    struct trib_fleet_report report;
    struct trib_fleet_point last; /* that was evaluated; or the last of all */
    double best_accuracy;         /* NAN: not measured */
    trib_time_ns spent;           /* real time */
};

struct trib_sim_show {
    const struct trib_cli *cli;
    FILE *json;       /* NULL: none */
    bool is_terminal; /* of cli->err */
    bool has_bar;     /* there is one on the screen */
    struct trib_sim_run runs[TRIB_SIM_RUNS_MAX];
    size_t run_count;
    const struct trib_spec *spec; /* of the run under way */
    trib_time_ns began_at, drawn_at;
};

/* json: a path, "-" or NULL. A failure is said to the user. */
enum trib_exit trib_sim_show_open(struct trib_sim_show *show, const struct trib_cli *cli,
                                  const char *json);
/* A run begins. */
void trib_sim_show_begin(struct trib_sim_show *show, const struct trib_spec *spec);
/* For trib_fleet_options; context is the show. */
void trib_sim_show_point(void *context, const struct trib_fleet_point *point);
bool trib_sim_show_progress(void *context, const struct trib_fleet_progress *progress);
void trib_sim_show_interrupted(void);                 /* nothing: progress looks itself */
void trib_sim_show_clear(struct trib_sim_show *show); /* take the bar off the screen */
void trib_sim_show_end(struct trib_sim_show *show, const struct trib_fleet_report *report);
/* Print the table, write the plots into the folder (NULL: none), give everything back. */
enum trib_exit trib_sim_show_close(struct trib_sim_show *show, const char *plots);

#endif
