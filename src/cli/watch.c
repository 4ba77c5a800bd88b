/* watch.c - trib watch: a run as it goes, from its event stream.
 *
 * The stream is opened before status and history are read, so that nothing can fall between them;
 * what both tell is known twice and printed once. When the stream breaks the same is done again. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/events.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/remote.h"
#include "client/socket.h"

#define RETRY_MS 500

struct watch_options {
    const char *run;
    bool until_stopped;
    bool has_goal;
    trib_time_ns retry_for;
    struct trib_remote_options remote;
};

#define AT(member) offsetof(struct watch_options, member)

static const struct trib_option watch_table[] = {
    {"run", TRIB_OPTION_TEXT, AT(run), .value = "RUN", .is_positional = true, .is_required = true,
     .meaning = "name of the run"},
    {"until-stopped", TRIB_OPTION_FLAG, AT(until_stopped),
     .meaning = "go on while the run is paused, which otherwise ends the watch"},
    {"goal", TRIB_OPTION_FLAG, AT(has_goal),
     .meaning = "say whether evaluate.goal of the spec was reached; exit code 4 if not"},
    {"retry-for", TRIB_OPTION_DURATION, AT(retry_for), .value = "DURATION", .initial = "60s",
     .meaning = "how long a daemon that does not answer is tried again"},
    TRIB_REMOTE_ROWS(struct watch_options, remote),
    {0},
};

struct watch {
    const struct trib_cli *cli;
    const struct watch_options *options;
    struct trib_remote stream, documents; /* a connection each */
    struct trib_event_stream events;
    struct trib_progress progress;
    double goal;        /* NAN: none */
    bool is_goal_least; /* evaluate.mode: min */
    bool is_begun;      /* the spec is known and the header printed */
    bool is_over;       /* no more events matter */
    bool is_failed;     /* the run is */
    bool is_terminal, has_bar;
};

/* --- the screen ------------------------------------------------------------------------------- */

static size_t screen_width(const struct watch *watch) {
    struct winsize size;
    if (ioctl(fileno(watch->cli->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col - 1u; /* a full last column would wrap */
    }
    return 79;
}

static void wipe_bar(struct watch *watch) {
    if (watch->has_bar) {
        (void)fputs("\r\x1b[K", watch->cli->out); /* to the start, clear to the end of the line */
        watch->has_bar = false;
    }
}

static void print_text(struct watch *watch, struct trib_text *text, const char *end) {
    if (text->bytes != NULL && !text->is_failed) {
        (void)fprintf(watch->cli->out, "%s%s", text->bytes, end);
    }
    trib_text_deinit(text);
}

static void draw_bar(struct watch *watch) {
    wipe_bar(watch);
    if (watch->is_terminal && !watch->is_over) {
        struct trib_text text;
        trib_text_init(&text, watch->cli->env);
        trib_progress_bar(&watch->progress, screen_width(watch), &text);
        print_text(watch, &text, "");
        watch->has_bar = true;
    }
    (void)fflush(watch->cli->out); /* lines shall be seen when they are true */
}

static void print_rows(struct watch *watch, bool is_over) {
    struct trib_progress_row row;
    while (trib_progress_next(&watch->progress, is_over, &row)) {
        struct trib_text text;
        trib_text_init(&text, watch->cli->env);
        wipe_bar(watch);
        trib_progress_line(&watch->progress, &row, &text);
        print_text(watch, &text, "\n");
    }
}

/* --- documents -------------------------------------------------------------------------------- */

static enum trib_exit get(struct watch *watch, const char *rest, json_t **document) {
    char path[TRIB_REMOTE_PATH_BYTES];
    enum trib_exit result = trib_remote_run_path(watch->cli, watch->options->run, rest, path);
    return result == TRIB_EXIT_OK ? trib_remote_json(&watch->documents, "GET", path, NULL, document)
                                  : result;
}

/* The spec cannot change, so it is read once. */
static enum trib_exit begin(struct watch *watch) {
    json_t *spec;
    if (watch->is_begun) {
        return TRIB_EXIT_OK;
    }
    enum trib_exit result = get(watch, "/spec", &spec);
    if (result != TRIB_EXIT_OK) {
        return result;
    }
    const json_t *evaluate = json_object_get(spec, "evaluate");
    const json_t *goal = json_object_get(evaluate, "goal");
    const char *mode = json_string_value(json_object_get(evaluate, "mode"));
    trib_progress_init(&watch->progress, spec);
    watch->goal = json_is_number(goal) ? json_number_value(goal) : (double)NAN;
    watch->is_goal_least = mode != NULL && strcmp(mode, "min") == 0;
    watch->is_begun = true;
    json_decref(spec);
    if (watch->options->has_goal && isnan(watch->goal)) {
        return trib_cli_fail(watch->cli, TRIB_EXIT_USAGE,
                             "run %s has no goal: its spec leaves out evaluate.goal",
                             watch->options->run);
    }
    struct trib_text text;
    trib_text_init(&text, watch->cli->env);
    trib_progress_header(&watch->progress, &text);
    print_text(watch, &text, "\n");
    return TRIB_EXIT_OK;
}

/* A paused run makes nothing to watch, unless it shall be waited for. */
static void take_state(struct watch *watch, const char *state, const char *reason) {
    bool is_paused = state != NULL && strcmp(state, "paused") == 0;
    bool is_stopped = state != NULL && strcmp(state, "stopped") == 0;
    watch->is_failed = state != NULL && strcmp(state, "failed") == 0;
    watch->is_over =
        is_stopped || watch->is_failed || (is_paused && !watch->options->until_stopped);
    if (is_paused || watch->is_over) {
        wipe_bar(watch);
        print_rows(watch, watch->is_over);
        (void)fprintf(watch->cli->out, "%s: %s\n", watch->options->run,
                      reason == NULL ? state : reason);
    }
}

static enum trib_exit read_history(struct watch *watch, json_t **history) {
    enum trib_exit result = get(watch, "/history", history);
    size_t i;
    json_t *version;
    json_array_foreach(json_object_get(*history, "versions"), i, version) {
        trib_progress_version(&watch->progress, version);
        print_rows(watch, false);
    }
    return result;
}

static enum trib_exit catch_up(struct watch *watch) {
    json_t *history = NULL, *status = NULL;
    enum trib_exit result = begin(watch);
    if (result == TRIB_EXIT_OK) {
        result = get(watch, "", &status);
    }
    if (result == TRIB_EXIT_OK) { /* after the status: what is stopped changes no more */
        result = read_history(watch, &history);
    }
    if (result == TRIB_EXIT_OK) {
        trib_progress_status(&watch->progress, status);
        const char *waiting = json_string_value(json_object_get(status, "waiting_for"));
        const char *colon = waiting == NULL ? NULL : strstr(waiting, ": ");
        /* "nothing: stopped (20 versions)" */
        take_state(watch, json_string_value(json_object_get(status, "state")),
                   colon == NULL ? NULL : colon + 2);
        draw_bar(watch);
    }
    json_decref(history);
    json_decref(status);
    return result;
}

/* --- events ----------------------------------------------------------------------------------- */

static void take_event(struct watch *watch) {
    const char *name = watch->events.name;
    json_t *data = json_loadb(watch->events.data.bytes, watch->events.data.byte_count, 0, NULL);
    if (strcmp(name, "version") == 0) {
        trib_progress_version(&watch->progress, data);
    } else if (strcmp(name, "evaluation") == 0) {
        trib_progress_evaluation(&watch->progress, data);
    } else if (strcmp(name, "update") == 0) {
        trib_progress_update(&watch->progress);
    } else if (strcmp(name, "state") == 0) {
        char reason[256];
        const char *state = json_string_value(json_object_get(data, "state"));
        const char *why = json_string_value(json_object_get(data, "reason"));
        (void)snprintf(reason, sizeof reason, "%s%s%s%s", state == NULL ? "" : state,
                       why == NULL || why[0] == '\0' ? "" : " (", why == NULL ? "" : why,
                       why == NULL || why[0] == '\0' ? "" : ")");
        take_state(watch, state, reason);
    }
    json_decref(data);
    print_rows(watch, false);
    draw_bar(watch);
}

/* Until the run is over or the stream breaks. */
static void follow(struct watch *watch) {
    char bytes[4096];
    size_t count = 1;
    while (!watch->is_over && count > 0 &&
           trib_http_read(watch->stream.http, bytes, sizeof bytes, &count, NULL) == TRIB_OK) {
        size_t done = 0, used;
        while (!watch->is_over && done < count) {
            bool is_event =
                trib_event_stream_feed(&watch->events, bytes + done, count - done, &used);
            done += used;
            if (is_event) {
                take_event(watch);
            } else if (trib_event_stream_is_failed(&watch->events)) {
                return;
            }
        }
    }
}

static enum trib_exit open_stream(struct watch *watch, bool is_quiet) {
    char path[TRIB_REMOTE_PATH_BYTES];
    const struct trib_remote_request request = {
        .method = "GET", .path = path, .is_quiet = is_quiet};
    enum trib_exit result = trib_remote_run_path(watch->cli, watch->options->run, "/events", path);
    trib_event_stream_deinit(&watch->events);
    trib_event_stream_init(&watch->events, watch->cli->env);
    return result == TRIB_EXIT_OK ? trib_remote_send(&watch->stream, &request) : result;
}

static enum trib_exit follow_all(struct watch *watch) {
    const struct trib_env *env = watch->cli->env;
    const struct trib_sockets no_bell = {.bell = {-1, -1}};
    trib_time_ns lost_at = env->monotonic(env->context);
    while (!watch->is_over) {
        trib_time_ns now = env->monotonic(env->context);
        bool is_last = !watch->is_begun || now - lost_at >= watch->options->retry_for;
        enum trib_exit result = open_stream(watch, !is_last);
        if (result == TRIB_EXIT_OK) {
            result = catch_up(watch);
            if (result == TRIB_EXIT_OK) {
                follow(watch);
                lost_at = env->monotonic(env->context);
            }
        }
        if (result != TRIB_EXIT_OK && (is_last || result != TRIB_EXIT_UNREACHABLE)) {
            return result;
        }
        if (!watch->is_over) {
            (void)trib_sockets_pause(&no_bell, RETRY_MS); /* nobody rings */
        }
    }
    return TRIB_EXIT_OK;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Did the last version reach it? Its evaluation, not the best one: that is the model one gets. */
static enum trib_exit judge(struct watch *watch) {
    json_t *history = NULL;
    enum trib_exit result = get(watch, "/history", &history);
    if (result != TRIB_EXIT_OK) {
        return result;
    }
    const json_t *versions = json_object_get(history, "versions");
    const json_t *last = json_array_get(versions, json_array_size(versions) - 1);
    const json_t *value =
        json_object_get(json_object_get(last, "evaluation"), watch->progress.metric);
    double measured = json_number_value(value);
    bool is_reached = json_is_number(value) &&
                      (watch->is_goal_least ? measured <= watch->goal : measured >= watch->goal);
    if (json_is_number(value)) {
        (void)fprintf(watch->cli->out, "test %s %.4f (goal %.6g %sreached)\n",
                      watch->progress.metric, measured, watch->goal, is_reached ? "" : "not ");
    } else {
        (void)fprintf(watch->cli->out, "version %lld has no %s (goal %.6g not reached)\n",
                      (long long)json_integer_value(json_object_get(last, "version")),
                      watch->progress.metric, watch->goal);
    }
    json_decref(history);
    return is_reached ? TRIB_EXIT_OK : TRIB_EXIT_GOAL;
}

static enum trib_exit watch_run(const struct trib_cli *cli, const void *given) {
    const struct watch_options *options = given;
    struct watch watch = {.cli = cli, .options = options};
    watch.is_terminal = isatty(fileno(cli->out)) == 1;
    trib_interrupt_catch(NULL);
    enum trib_exit result = trib_remote_open(cli, &options->remote, &watch.stream);
    if (result == TRIB_EXIT_OK) {
        result = trib_remote_open(cli, &options->remote, &watch.documents);
    }
    if (result == TRIB_EXIT_OK) {
        result = follow_all(&watch);
    }
    if (result == TRIB_EXIT_OK && watch.is_failed) {
        result = TRIB_EXIT_FAILED;
    }
    if (result == TRIB_EXIT_OK && options->has_goal) {
        result = judge(&watch);
    }
    trib_event_stream_deinit(&watch.events);
    trib_remote_close(&watch.stream);
    trib_remote_close(&watch.documents);
    return result;
}

const struct trib_command trib_command_watch = {
    .name = "watch",
    .group = "Watching",
    .summary = "Follow a run, one line per version, until it is stopped or has failed",
    .details =
        "clients: updates in the version; accuracy (or what evaluate.metric names) and loss:\n"
        "of its evaluation; MB/s: bodies of updates received while it was made.\n",
    .options = watch_table,
    .options_bytes = sizeof(struct watch_options),
    .run = watch_run,
};
