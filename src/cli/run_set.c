/* run_set.c - trib run set: change the strategy of a run that has begun. */
#include <string.h>

#include "cli/remote.h"
#include "run/spec_table.h"

struct set_options {
    const char *run;
    struct trib_option_list changes;
    struct trib_remote_options remote;
};

#define AT(member) offsetof(struct set_options, member)

static const struct trib_option set_table[] = {
    {"run", TRIB_OPTION_TEXT, AT(run), .value = "RUN", .is_positional = true, .is_required = true,
     .meaning = "name of the run"},
    {"change", TRIB_OPTION_LIST, AT(changes), .value = "FIELD=VALUE", .is_positional = true,
     .is_required = true,
     .meaning = "such as strategy.preset=fedbuff, or goal=5; an empty VALUE is the default"},
    TRIB_REMOTE_ROWS(struct set_options, remote),
    {0},
};

/* "goal" -> "strategy.goal": a field of the strategy may go without its section. */
static const char *full_path(const char *path) {
    const struct trib_field *strategy = trib_field_find(NULL, "strategy");
    const struct trib_field *field = trib_field_find(strategy, path);
    return field == NULL ? path : field->path;
}

/* A number, true, false, an object or a list where it is one, as in a spec; nothing: null. */
static json_t *read_value(const char *text) {
    json_t *value = text[0] == '\0' ? json_null() : json_loads(text, JSON_DECODE_ANY, NULL);
    return value == NULL ? json_string(text) : value;
}

/* Put a value where the path says: {"strategy": {"goal": 5}}. */
static bool put(json_t *patch, const char *path, json_t *value) {
    char component[64];
    const char *dot;
    for (; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        if ((size_t)(dot - path) >= sizeof component) {
            json_decref(value);
            return false;
        }
        memcpy(component, path, (size_t)(dot - path));
        component[dot - path] = '\0';
        json_t *inner = json_object_get(patch, component);
        if (!json_is_object(inner)) {
            inner = json_object();
            (void)json_object_set_new(patch, component, inner);
        }
        patch = inner;
    }
    return json_object_set_new(patch, path, value) == 0;
}

static json_t *patch_of(const struct trib_cli *cli, const struct trib_option_list *changes) {
    json_t *patch = json_object();
    for (size_t i = 0; i < changes->count; i++) {
        const char *item = changes->items[i];
        const char *equals = strchr(item, '=');
        char path[128];
        bool is_read = equals != NULL && equals > item && (size_t)(equals - item) < sizeof path;
        if (is_read) {
            memcpy(path, item, (size_t)(equals - item));
            path[equals - item] = '\0';
            is_read = put(patch, full_path(path), read_value(equals + 1));
        }
        if (!is_read) {
            (void)trib_cli_fail(cli, TRIB_EXIT_USAGE, "%.64s: must be FIELD=VALUE", item);
            json_decref(patch);
            return NULL;
        }
    }
    return patch;
}

static enum trib_exit set_run(const struct trib_cli *cli, const void *given) {
    const struct set_options *options = given;
    char path[TRIB_REMOTE_PATH_BYTES];
    struct trib_remote remote;
    json_t *reply = NULL;
    if (trib_remote_run_path(cli, options->run, "", path) != TRIB_EXIT_OK) {
        return TRIB_EXIT_USAGE;
    }
    json_t *patch = patch_of(cli, &options->changes);
    if (patch == NULL) {
        return TRIB_EXIT_USAGE;
    }
    enum trib_exit result = trib_remote_open(cli, &options->remote, &remote);
    if (result == TRIB_EXIT_OK) {
        result = trib_remote_json(&remote, "PATCH", path, patch, &reply);
        trib_remote_close(&remote);
    }
    if (result == TRIB_EXIT_OK) {
        (void)fprintf(cli->out, "%s: holds from version %" JSON_INTEGER_FORMAT " on\n",
                      options->run, json_integer_value(json_object_get(reply, "version")));
    }
    json_decref(reply);
    json_decref(patch);
    return result;
}

const struct trib_command trib_command_run_set = {
    .name = "run set",
    .group = "Runs",
    .summary = "Change the strategy of a run that has begun, with its next buffer",
    .details =
        "What can change: strategy, train, sites, select, evaluate, stop and keep; see\n"
        "'trib help spec'. The buffer that is open is finished by the rules it began with.\n",
    .options = set_table,
    .options_bytes = sizeof(struct set_options),
    .run = set_run,
};
