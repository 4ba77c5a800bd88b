/* run_create.c - trib run create and trib run validate: from a spec file to a run. */
#include <string.h>

#include "cli/model_file.h"
#include "cli/print.h"
#include "cli/remote.h"
#include "cli/spec_files.h"
#include "run/spec.h"

struct create_options {
    const char *path;
    const char *model;
    const char *data;
    bool is_link_only;
    bool is_json;
    struct trib_remote_options remote;
};

#define AT(member) offsetof(struct create_options, member)
#define SPEC_ROW                                                                                \
    {                                                                                           \
        "spec", TRIB_OPTION_TEXT, AT(path), .value = "SPEC", .is_positional = true,             \
                                            .is_required = true,                                \
                                            .meaning = "YAML or JSON file; - is standard input" \
    }
#define DATA_ROW                                                             \
    {                                                                        \
        "data", TRIB_OPTION_TEXT, AT(data),                                  \
            .value = "PATH", .otherwise = "the spec says them",              \
            .meaning = "data set that tells model.init.features and classes" \
    }

static const struct trib_option create_table[] = {
    SPEC_ROW,
    {"init", TRIB_OPTION_TEXT, AT(model), .value = "FILE", .otherwise = "as the spec says",
     .meaning = "safetensors file that becomes version 0"},
    DATA_ROW,
    {"link-only", TRIB_OPTION_FLAG, AT(is_link_only), .meaning = "print only the join link"},
    {"json", TRIB_OPTION_FLAG, AT(is_json), .meaning = "print the daemon's answer as JSON"},
    TRIB_REMOTE_ROWS(struct create_options, remote),
    {0},
};

static const struct trib_option validate_table[] = {
    SPEC_ROW,
    DATA_ROW,
    {"json", TRIB_OPTION_FLAG, AT(is_json), .meaning = "print JSON instead of YAML"},
    {0},
};

/* Read and check. The spec is only looked at: the daemon is sent what was written. */
static enum trib_exit load(const struct trib_cli *cli, const struct create_options *options,
                           struct trib_spec_file *file, struct trib_spec **spec) {
    const struct trib_spec_file_request request = {options->path, options->model, options->data};
    struct trib_error error = {0};
    *spec = NULL;
    enum trib_status status = trib_spec_file_read(cli->env, &request, file, &error);
    if (status == TRIB_OK) {
        status = trib_spec_parse(cli->env, file->document, spec, &error);
        if (status != TRIB_OK) {
            (void)trib_error_prefix(&error, status, "%s", options->path);
            trib_spec_file_deinit(file);
        }
    }
    if (status == TRIB_OK) {
        return TRIB_EXIT_OK;
    }
    return trib_cli_fail(cli, status == TRIB_EMEMORY ? TRIB_EXIT_FAILED : TRIB_EXIT_USAGE, "%s",
                         error.text);
}

/* --- validate --------------------------------------------------------------------------------- */

static enum trib_exit validate(const struct trib_cli *cli, const void *given) {
    const struct create_options *options = given;
    struct trib_spec_file file;
    struct trib_spec *spec;
    enum trib_exit result = load(cli, options, &file, &spec);
    if (result != TRIB_EXIT_OK) {
        return result;
    }
    json_t *document = trib_spec_document(spec);
    result = options->is_json ? trib_print_json(cli, document) : trib_print_yaml(cli, document);
    json_decref(document);
    trib_spec_free(spec);
    trib_spec_file_deinit(&file);
    return result;
}

const struct trib_command trib_command_run_validate = {
    .name = "run validate",
    .group = "Runs",
    .summary = "Check a spec and print it with every default filled in; no daemon needed",
    .details = "The fields are explained by 'trib help spec'.\n",
    .options = validate_table,
    .options_bytes = sizeof(struct create_options),
    .run = validate,
};

/* --- create ----------------------------------------------------------------------------------- */

/* PUT the file as version 0 and add what the daemon says of it to the answer. */
static enum trib_exit upload(struct trib_remote *remote, const char *run,
                             const struct trib_model_file *model, json_t *answer) {
    char path[TRIB_REMOTE_PATH_BYTES];
    const struct trib_remote_request request = {
        .method = "PUT",
        .path = path,
        .content_type = "application/safetensors",
        .body = &model->source,
    };
    json_t *version = NULL;
    enum trib_exit result = trib_remote_run_path(remote->cli, run, "/versions/0", path);
    if (result == TRIB_EXIT_OK) {
        result = trib_remote_send(remote, &request);
    }
    if (result == TRIB_EXIT_OK) {
        result = trib_remote_document(remote, &version);
    }
    if (result == TRIB_EXIT_OK) {
        (void)json_object_update_missing(answer, version); /* for people: a line less to read */
        json_decref(version);
    }
    return result;
}

static void print_answer(const struct trib_cli *cli, const char *run, const json_t *answer) {
    const char *link = json_string_value(json_object_get(answer, "join"));
    const char *init = json_string_value(
        json_object_get(json_object_get(json_object_get(answer, "spec"), "model"), "init"));
    const json_t *resolution = json_object_get(answer, "resolution");
    const json_t *scale = json_object_get(answer, "scale");
    (void)fprintf(cli->out, "run     %s\njoin    %s\n", run, link == NULL ? "" : link);
    if (json_is_number(resolution)) {
        (void)fprintf(cli->out, "sums    exact to %.3g", json_number_value(resolution));
        if (json_is_number(scale)) {
            (void)fprintf(cli->out, ", weights are about %.3g", json_number_value(scale));
        }
        (void)fprintf(cli->out, "\n");
    } else if (init != NULL) {
        (void)fprintf(cli->out, "model   missing; %s\n",
                      strcmp(init, "upload") == 0 ? "PUT versions/0, or create it with --init FILE"
                                                  : "the first client will send it");
    }
    (void)fprintf(cli->out,
                  "\nStart a client:  trib join '%s' --client ID --data PATH\n"
                  "Watch:           trib watch %s\n",
                  link == NULL ? "LINK" : link, run);
}

static enum trib_exit create_run(const struct trib_cli *cli, const struct create_options *options,
                                 const struct trib_spec_file *file, const char *run) {
    struct trib_model_file model = {0};
    struct trib_remote remote = {0};
    json_t *answer = NULL;
    struct trib_error error = {0};
    enum trib_exit result = TRIB_EXIT_OK;
    /* A file that is not there shall be noticed before there is a run without a model. */
    if (file->model_path != NULL &&
        trib_model_file_open(cli->env, file->model_path, &model, &error) != TRIB_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "%s", error.text);
    }
    result = trib_remote_open(cli, &options->remote, &remote);
    if (result == TRIB_EXIT_OK) {
        result = trib_remote_json(&remote, "POST", "/v1/runs", file->document, &answer);
    }
    if (result == TRIB_EXIT_OK && file->model_path != NULL) {
        result = upload(&remote, run, &model, answer);
    }
    if (result == TRIB_EXIT_OK && options->is_link_only) {
        const char *link = json_string_value(json_object_get(answer, "join"));
        (void)fprintf(cli->out, "%s\n", link == NULL ? "" : link);
    } else if (result == TRIB_EXIT_OK && options->is_json) {
        result = trib_print_json(cli, answer);
    } else if (result == TRIB_EXIT_OK) {
        print_answer(cli, run, answer);
    }
    json_decref(answer);
    trib_remote_close(&remote);
    trib_model_file_close(&model);
    return result;
}

static enum trib_exit create(const struct trib_cli *cli, const void *given) {
    const struct create_options *options = given;
    struct trib_spec_file file;
    struct trib_spec *spec;
    enum trib_exit result = load(cli, options, &file, &spec);
    if (result != TRIB_EXIT_OK) {
        return result;
    }
    result = create_run(cli, options, &file, spec->name);
    trib_spec_free(spec);
    trib_spec_file_deinit(&file);
    return result;
}

const struct trib_command trib_command_run_create = {
    .name = "run create",
    .group = "Runs",
    .summary = "Create a run from a spec file and print the link that clients join with",
    .details = "Doing it again with the same spec changes nothing and prints the link again.\n"
               "In the spec, model.init may also be a .safetensors file, relative to the spec.\n",
    .options = create_table,
    .options_bytes = sizeof(struct create_options),
    .run = create,
};
