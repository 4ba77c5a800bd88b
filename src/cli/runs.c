/* runs.c - trib run list, show, clients, pause, resume, stop, rm; trib status. */
#include <string.h>
#include <time.h>

#include "cli/print.h"
#include "cli/remote.h"

struct run_options {
    const char *run;
    bool is_json;
    bool is_sure;
    struct trib_remote_options remote;
};

#define AT(member) offsetof(struct run_options, member)
#define RUN_ROW                                                                             \
    {                                                                                       \
        "run", TRIB_OPTION_TEXT, AT(run), .value = "RUN", .is_positional = true,            \
                                          .is_required = true, .meaning = "name of the run" \
    }
#define JSON_ROW \
    { "json", TRIB_OPTION_FLAG, AT(is_json), .meaning = "print what the daemon says as JSON" }
#define REMOTE_ROWS TRIB_REMOTE_ROWS(struct run_options, remote)

static const struct trib_option list_table[] = {JSON_ROW, REMOTE_ROWS, {0}};
static const struct trib_option run_table[] = {RUN_ROW, JSON_ROW, REMOTE_ROWS, {0}};
static const struct trib_option control_table[] = {RUN_ROW, REMOTE_ROWS, {0}};
static const struct trib_option rm_table[] = {
    RUN_ROW,
    {"yes", TRIB_OPTION_FLAG, AT(is_sure), .meaning = "really: all versions and records are lost"},
    REMOTE_ROWS,
    {0},
};
static const struct trib_option status_table[] = {
    {"run", TRIB_OPTION_TEXT, AT(run), .value = "RUN", .is_positional = true,
     .otherwise = "all of them", .meaning = "name of the run"},
    JSON_ROW,
    REMOTE_ROWS,
    {0},
};

/* One request about a run; reply as trib_remote_json(). */
static enum trib_exit ask(const struct trib_cli *cli, const struct run_options *options,
                          const char *method, const char *rest, json_t **reply) {
    char path[TRIB_REMOTE_PATH_BYTES] = "/v1/runs";
    struct trib_remote remote;
    *reply = NULL;
    if (options->run != NULL &&
        trib_remote_run_path(cli, options->run, rest, path) != TRIB_EXIT_OK) {
        return TRIB_EXIT_USAGE;
    }
    enum trib_exit result = trib_remote_open(cli, &options->remote, &remote);
    if (result == TRIB_EXIT_OK) {
        bool has_reply = strcmp(method, "DELETE") != 0;
        result = trib_remote_json(&remote, method, path, NULL, has_reply ? reply : NULL);
        trib_remote_close(&remote);
    }
    return result;
}

/* --- what people read ------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static long long whole_of(const json_t *object, const char *key) {
    return (long long)json_integer_value(json_object_get(object, key));
}

/* "digits: running at version 12, waiting for 3 of 10 updates for version 13", or
 * "digits: paused at version 12 (by the operator), waiting for resume". */
static void print_sentence(const struct trib_cli *cli, const json_t *run) {
    const char *waiting = text_of(run, "waiting_for");
    const char *colon = strpbrk(waiting, ":("); /* "resume: paused (by the operator)" */
    colon = colon != NULL && colon[0] == ':' ? colon : NULL;
    const char *reason = colon == NULL ? NULL : strchr(colon, '(');
    int waiting_bytes = (int)(colon == NULL ? strlen(waiting) : (size_t)(colon - waiting));
    (void)fprintf(cli->out, "%s: %s at version %lld", text_of(run, "run"), text_of(run, "state"),
                  whole_of(run, "version"));
    if (reason != NULL) {
        (void)fprintf(cli->out, " %s", reason);
    }
    if (strncmp(waiting, "nothing", 7) != 0) {
        (void)fprintf(cli->out, ", waiting for %.*s", waiting_bytes, waiting);
    }
    (void)fprintf(cli->out, "\n");
}

static enum trib_exit print_runs(const struct trib_cli *cli, const json_t *reply) {
    const json_t *runs = json_object_get(reply, "runs");
    size_t i;
    json_t *run;
    json_array_foreach(runs, i, run) {
        print_sentence(cli, run);
    }
    if (json_array_size(runs) == 0) {
        (void)fprintf(cli->out, "no runs; 'trib run create SPEC' makes one\n");
    }
    return TRIB_EXIT_OK;
}

static void print_metrics(const struct trib_cli *cli, const json_t *evaluated) {
    const char *name;
    json_t *value;
    (void)fprintf(cli->out, "evaluated  version %lld:", whole_of(evaluated, "version"));
    json_object_foreach(json_object_get(evaluated, "metrics"), name, value) {
        (void)fprintf(cli->out, " %s %.6g", name, json_number_value(value));
    }
    (void)fprintf(cli->out, "\n");
}

static void print_refused(const struct trib_cli *cli, const json_t *status) {
    json_t *refused = json_object_get(status, "refused");
    time_t since = (time_t)json_number_value(json_object_get(status, "since"));
    char since_text[24] = "";
    const char *code;
    json_t *count;
    if (json_object_size(refused) == 0) {
        return;
    }
    (void)strftime(since_text, sizeof since_text, "%Y-%m-%d %H:%MZ", gmtime(&since));
    (void)fprintf(cli->out, "refused    since %s:", since_text);
    json_object_foreach(refused, code, count) {
        (void)fprintf(cli->out, " %s %lld", code, (long long)json_integer_value(count));
    }
    (void)fprintf(cli->out, "\n");
}

/* The first line answers the question that people come with: what is it waiting for? */
static void print_status(const struct trib_cli *cli, const json_t *status) {
    const json_t *model = json_object_get(status, "model");
    const json_t *clients = json_object_get(status, "clients");
    const json_t *updates = json_object_get(status, "updates");
    const json_t *best = json_object_get(status, "best");
    const json_t *evaluated = json_object_get(status, "evaluated");
    const json_t *aside = json_object_get(clients, "set_aside");
    print_sentence(cli, status);
    if (model != NULL) {
        (void)fprintf(cli->out, "model      %lld tensors, %lld parameters, sha256 %s\n",
                      whole_of(model, "tensors"), whole_of(model, "parameters"),
                      text_of(model, "digest"));
    }
    (void)fprintf(cli->out, "clients    %lld joined, %lld present, %lld training",
                  whole_of(clients, "joined"), whole_of(clients, "present"),
                  whole_of(clients, "training"));
    for (size_t i = 0; i < json_array_size(aside); i++) {
        (void)fprintf(cli->out, "%s %s", i == 0 ? "; set aside:" : ",",
                      json_string_value(json_array_get(aside, i)));
    }
    (void)fprintf(cli->out, "\nupdates    %lld counted, %lld pending, %lld dropped\n",
                  whole_of(updates, "counted"), whole_of(updates, "pending"),
                  whole_of(updates, "dropped"));
    if (best != NULL) {
        (void)fprintf(cli->out, "best       version %lld: %s %.6g\n", whole_of(best, "version"),
                      text_of(best, "metric"), json_number_value(json_object_get(best, "value")));
    }
    if (evaluated != NULL) {
        print_metrics(cli, evaluated);
    }
    print_refused(cli, status);
}

/* --- commands --------------------------------------------------------------------------------- */

static enum trib_exit show_status(const struct trib_cli *cli, const void *given) {
    const struct run_options *options = given;
    json_t *reply;
    enum trib_exit result = ask(cli, options, "GET", "", &reply);
    if (result == TRIB_EXIT_OK && options->is_json) {
        result = trib_print_json(cli, reply);
    } else if (result == TRIB_EXIT_OK && options->run == NULL) {
        result = print_runs(cli, reply);
    } else if (result == TRIB_EXIT_OK) {
        print_status(cli, reply);
    }
    json_decref(reply);
    return result;
}

/* Status and spec together. */
static enum trib_exit show_run(const struct trib_cli *cli, const void *given) {
    const struct run_options *options = given;
    json_t *status, *spec = NULL;
    enum trib_exit result = ask(cli, options, "GET", "", &status);
    if (result == TRIB_EXIT_OK) {
        result = ask(cli, options, "GET", "/spec", &spec);
    }
    if (result == TRIB_EXIT_OK && options->is_json) {
        json_t *both = json_pack("{s:O, s:O}", "status", status, "spec", spec);
        result = trib_print_json(cli, both);
        json_decref(both);
    } else if (result == TRIB_EXIT_OK) {
        print_status(cli, status);
        (void)fprintf(cli->out, "\n");
        result = trib_print_yaml(cli, spec);
    }
    json_decref(status);
    json_decref(spec);
    return result;
}

/* "site=mercy gpu=true" */
static void print_attributes(const struct trib_cli *cli, json_t *attributes) {
    const char *name;
    json_t *value;
    json_object_foreach(attributes, name, value) {
        (void)fprintf(cli->out, " %s=", name);
        if (json_is_string(value)) {
            (void)fprintf(cli->out, "%s", json_string_value(value));
        } else if (json_is_boolean(value)) {
            (void)fprintf(cli->out, "%s", json_is_true(value) ? "true" : "false");
        } else {
            (void)fprintf(cli->out, "%.15g", json_number_value(value));
        }
    }
}

/* "dev-1  trainer  training  site=mercy" */
static void print_client(const struct trib_cli *cli, const json_t *client) {
    const char *does = "absent";
    if (json_is_true(json_object_get(client, "set_aside"))) {
        does = "set aside";
    } else if (json_is_true(json_object_get(client, "training"))) {
        does = "training";
    } else if (json_is_true(json_object_get(client, "present"))) {
        does = json_is_true(json_object_get(client, "selected")) ? "present" : "not selected";
    }
    (void)fprintf(cli->out, "%-24s %-10s %-12s", text_of(client, "client"), text_of(client, "role"),
                  does);
    print_attributes(cli, json_object_get(client, "attributes"));
    (void)fprintf(cli->out, "\n");
}

/* The daemon lists so many at a time, by name. */
static enum trib_exit show_clients(const struct trib_cli *cli, const void *given) {
    const struct run_options *options = given;
    json_t *all = json_array();
    char rest[TRIB_REMOTE_PATH_BYTES] = "/clients";
    enum trib_exit result = TRIB_EXIT_OK;
    size_t count = 1;
    while (result == TRIB_EXIT_OK && count > 0) {
        json_t *reply;
        result = ask(cli, options, "GET", rest, &reply);
        json_t *clients = json_object_get(reply, "clients");
        count = json_array_size(clients);
        if (count > 0) {
            (void)snprintf(rest, sizeof rest, "/clients?after=%.64s",
                           text_of(json_array_get(clients, count - 1), "client"));
            (void)json_array_extend(all, clients);
        }
        json_decref(reply);
    }
    if (result == TRIB_EXIT_OK && options->is_json) {
        result = trib_print_json(cli, all);
    }
    for (size_t i = 0; result == TRIB_EXIT_OK && !options->is_json && i < json_array_size(all);
         i++) {
        print_client(cli, json_array_get(all, i));
    }
    json_decref(all);
    return result;
}

static enum trib_exit control(const struct trib_cli *cli, const struct run_options *options,
                              const char *verb) {
    json_t *reply;
    enum trib_exit result = ask(cli, options, "POST", verb, &reply);
    if (result == TRIB_EXIT_OK) {
        (void)fprintf(cli->out, "%s: %s\n", text_of(reply, "run"), text_of(reply, "state"));
    }
    json_decref(reply);
    return result;
}

static enum trib_exit pause_run(const struct trib_cli *cli, const void *options) {
    return control(cli, options, "/pause");
}

static enum trib_exit resume_run(const struct trib_cli *cli, const void *options) {
    return control(cli, options, "/resume");
}

static enum trib_exit stop_run(const struct trib_cli *cli, const void *options) {
    return control(cli, options, "/stop");
}

static enum trib_exit remove_run(const struct trib_cli *cli, const void *given) {
    const struct run_options *options = given;
    char rest[TRIB_REMOTE_PATH_BYTES];
    json_t *reply;
    if (!options->is_sure) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE,
                             "all versions and records of run %.64s would be lost; say --yes",
                             options->run);
    }
    (void)snprintf(rest, sizeof rest, "?name=%.64s", options->run);
    enum trib_exit result = ask(cli, options, "DELETE", rest, &reply);
    if (result == TRIB_EXIT_OK) {
        (void)fprintf(cli->out, "%s: deleted\n", options->run);
    }
    return result;
}

#define COMMAND(word, heading, text, table, function)                              \
    {                                                                              \
        .name = (word), .group = (heading), .summary = (text), .options = (table), \
        .options_bytes = sizeof(struct run_options), .run = (function)             \
    }

const struct trib_command trib_command_run_list =
    COMMAND("run list", "Runs", "List the runs of a daemon and what each is waiting for",
            list_table, show_status);
const struct trib_command trib_command_run_show = COMMAND(
    "run show", "Runs", "Print the status and the whole spec of a run", run_table, show_run);
const struct trib_command trib_command_run_clients =
    COMMAND("run clients", "Runs", "List who has joined, with attributes and what each is doing",
            run_table, show_clients);
const struct trib_command trib_command_run_pause = COMMAND(
    "run pause", "Runs", "Hand out no more work until it is resumed", control_table, pause_run);
const struct trib_command trib_command_run_resume =
    COMMAND("run resume", "Runs", "Go on with a paused run", control_table, resume_run);
const struct trib_command trib_command_run_stop =
    COMMAND("run stop", "Runs", "End a run for good; its versions and records stay", control_table,
            stop_run);
const struct trib_command trib_command_run_rm = COMMAND(
    "run rm", "Runs", "Delete a run with all its versions and records", rm_table, remove_run);
const struct trib_command trib_command_status =
    COMMAND("status", "Watching", "Tell what a run, or each of them, is waiting for", status_table,
            show_status);
