/* models.c - trib model get, inspect, diff. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/model_file.h"
#include "cli/print.h"
#include "cli/remote.h"

#define PATH_BYTES 4096

/* --- get -------------------------------------------------------------------------------------- */

struct get_options {
    const char *run;
    const char *version;
    const char *output;
    struct trib_remote_options remote;
};

static const struct trib_option get_table[] = {
    {"run", TRIB_OPTION_TEXT, offsetof(struct get_options, run), .value = "RUN",
     .is_positional = true, .is_required = true, .meaning = "name of the run"},
    {"version", TRIB_OPTION_TEXT, offsetof(struct get_options, version), .value = "VERSION",
     .is_positional = true, .initial = "latest", .meaning = "latest, best or a number"},
    {"output", TRIB_OPTION_TEXT, offsetof(struct get_options, output), .value = "FILE",
     .otherwise = "RUN-N.safetensors", .meaning = "file to write, replaced when it is there"},
    TRIB_REMOTE_ROWS(struct get_options, remote),
    {0},
};

static bool is_version(const char *text) {
    size_t digits = strspn(text, "0123456789");
    return strcmp(text, "latest") == 0 || strcmp(text, "best") == 0 ||
           (digits > 0 && digits < 20 && text[digits] == '\0');
}

/* The body of the reply into the file, and the digest of what was written. */
static enum trib_exit receive(struct trib_remote *remote, int descriptor, const char *path,
                              struct trib_digest *digest) {
    const struct trib_cli *cli = remote->cli;
    struct trib_digester digester;
    if (!trib_digester_begin(&digester)) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "out of memory");
    }
    char bytes[65536];
    size_t count = 1;
    enum trib_exit result = TRIB_EXIT_OK;
    while (count > 0 && result == TRIB_EXIT_OK) {
        struct trib_error error = {0};
        if (trib_http_read(remote->http, bytes, sizeof bytes, &count, &error) != TRIB_OK) {
            result = trib_remote_fail(remote, &error);
        } else if (count > 0 && write(descriptor, bytes, count) != (ssize_t)count) {
            result = trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s: %s", path,
                                   errno == 0 ? "no space left" : strerror(errno));
        } else {
            trib_digester_add(&digester, bytes, count);
        }
    }
    trib_digester_finish(&digester, digest);
    return result;
}

/* Keep the draft under its name when it is whole: the digest is the ETag. */
static enum trib_exit keep(struct trib_remote *remote, const char *draft, const char *path,
                           const struct trib_digest *digest) {
    const struct trib_cli *cli = remote->cli;
    char hex[TRIB_DIGEST_HEX_BYTES], etag[TRIB_DIGEST_HEX_BYTES + 2], expected[sizeof etag];
    trib_digest_to_hex(digest, hex);
    (void)snprintf(expected, sizeof expected, "\"%s\"", hex);
    if (!trib_http_reply_field(remote->http, "ETag", etag, sizeof etag) ||
        strcmp(etag, expected) != 0) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED,
                             "what came has the SHA-256 %s, which is not what the daemon announced",
                             hex);
    }
    if (rename(draft, path) != 0) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s: %s", path, strerror(errno));
    }
    (void)fprintf(cli->out, "%s  %s\n", hex, path);
    return TRIB_EXIT_OK;
}

static enum trib_exit save(struct trib_remote *remote, const char *path) {
    char draft[PATH_BYTES + 8];
    struct trib_digest digest;
    (void)snprintf(draft, sizeof draft, "%s.part", path);
    int descriptor = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        return trib_cli_fail(remote->cli, TRIB_EXIT_FAILED, "%s: %s", draft, strerror(errno));
    }
    trib_interrupt_removes(draft);
    trib_interrupt_catch(NULL);
    enum trib_exit result = receive(remote, descriptor, draft, &digest);
    if (close(descriptor) != 0 && result == TRIB_EXIT_OK) {
        result = trib_cli_fail(remote->cli, TRIB_EXIT_FAILED, "%s: %s", draft, strerror(errno));
    }
    if (result == TRIB_EXIT_OK) {
        result = keep(remote, draft, path, &digest);
    }
    if (result != TRIB_EXIT_OK) {
        (void)unlink(draft); /* what cannot be removed does no harm */
    }
    trib_interrupt_removes(NULL);
    return result;
}

static enum trib_exit get(const struct trib_cli *cli, const void *given) {
    const struct get_options *options = given;
    char rest[64], target[TRIB_REMOTE_PATH_BYTES], number[24], path[PATH_BYTES];
    if (!is_version(options->version)) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "%.32s: must be latest, best or a number",
                             options->version);
    }
    (void)snprintf(rest, sizeof rest, "/versions/%s", options->version);
    struct trib_remote remote;
    const struct trib_remote_request request = {.method = "GET", .path = target};
    enum trib_exit result = trib_remote_run_path(cli, options->run, rest, target);
    if (result == TRIB_EXIT_OK) {
        result = trib_remote_open(cli, &options->remote, &remote);
    }
    if (result != TRIB_EXIT_OK) {
        return result;
    }
    result = trib_remote_send(&remote, &request);
    if (result == TRIB_EXIT_OK) {
        bool is_numbered =
            trib_http_reply_field(remote.http, "Tributary-Model-Version", number, sizeof number) &&
            is_version(number);
        if (options->output != NULL) {
            (void)snprintf(path, sizeof path, "%s", options->output);
        } else {
            (void)snprintf(path, sizeof path, "%s-%s.safetensors", options->run,
                           is_numbered ? number : options->version);
        }
        result = save(&remote, path);
    }
    trib_remote_close(&remote);
    return result;
}

const struct trib_command trib_command_model_get = {
    .name = "model get",
    .group = "Models",
    .summary = "Download a version as a safetensors file, checked by its SHA-256",
    .options = get_table,
    .options_bytes = sizeof(struct get_options),
    .run = get,
};

/* --- inspect ---------------------------------------------------------------------------------- */

struct file_options {
    const char *path;
    const char *other;
    bool is_json;
};

static const struct trib_option inspect_table[] = {
    {"file", TRIB_OPTION_TEXT, offsetof(struct file_options, path), .value = "FILE",
     .is_positional = true, .is_required = true, .meaning = "a safetensors file"},
    {"json", TRIB_OPTION_FLAG, offsetof(struct file_options, is_json), .meaning = "print JSON"},
    {0},
};

/* JSON has no NaN and no infinity: null. */
static json_t *number_or_null(double number) {
    return isfinite(number) ? json_real(number) : json_null();
}

static json_t *shape_of(const struct trib_tensor *tensor) {
    json_t *shape = json_array();
    for (uint32_t i = 0; i < tensor->rank; i++) {
        (void)json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i]));
    }
    return shape;
}

static enum trib_status summarise(const struct trib_model_file *file, json_t *tensors) {
    for (size_t i = 0; i < file->layout->tensor_count; i++) {
        const struct trib_tensor *tensor = &file->layout->tensors[i];
        struct trib_tensor_summary summary;
        if (trib_model_file_summary(file, tensor, &summary) != TRIB_OK) {
            return TRIB_EIO;
        }
        json_t *row =
            json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I}", "name", tensor->name, "dtype",
                      trib_dtype_name(tensor->dtype), "shape", shape_of(tensor), "mean",
                      number_or_null(summary.mean), "std", number_or_null(summary.deviation), "min",
                      number_or_null(summary.smallest), "max", number_or_null(summary.largest),
                      "nan", (json_int_t)summary.nan_count);
        if (json_array_append_new(tensors, row) != 0) {
            return TRIB_EMEMORY;
        }
    }
    return TRIB_OK;
}

/* Everything that is known of the file as one document, which both forms print. */
static enum trib_status describe(const struct trib_model_file *file, const char *path,
                                 json_t **document) {
    struct trib_digest digest;
    char hex[TRIB_DIGEST_HEX_BYTES];
    bool is_canonical;
    json_t *tensors = json_array();
    *document = NULL;
    enum trib_status status = trib_model_file_digest(file, &digest);
    if (status == TRIB_OK) {
        status = trib_model_file_is_canonical(file, &is_canonical);
    }
    if (status == TRIB_OK) {
        status = summarise(file, tensors);
    }
    if (status == TRIB_OK) {
        trib_digest_to_hex(&digest, hex);
        *document = json_pack("{s:s, s:I, s:s, s:b, s:I, s:O}", "file", path, "bytes",
                              (json_int_t)file->source.byte_count, "digest", hex, "canonical",
                              (int)is_canonical, "parameters",
                              (json_int_t)file->layout->element_count, "tensors", tensors);
        status = *document == NULL ? TRIB_EMEMORY : TRIB_OK;
    }
    json_decref(tensors);
    return status;
}

static void print_value(const struct trib_cli *cli, const json_t *row, const char *key) {
    const json_t *value = json_object_get(row, key);
    if (json_is_number(value)) {
        (void)fprintf(cli->out, "  %11.4g", json_number_value(value));
    } else {
        (void)fprintf(cli->out, "  %11s", "-");
    }
}

static int widest_name(const json_t *tensors) {
    size_t width = strlen("tensor");
    size_t i;
    json_t *row;
    json_array_foreach(tensors, i, row) {
        size_t bytes = json_string_length(json_object_get(row, "name"));
        width = bytes > width ? bytes : width;
    }
    return (int)width;
}

static void print_description(const struct trib_cli *cli, const json_t *document,
                              const struct trib_layout *layout) {
    static const char *const columns[] = {"mean", "std", "min", "max"};
    const json_t *tensors = json_object_get(document, "tensors");
    char human[24], shape[TRIB_SHAPE_TEXT_BYTES];
    int width = widest_name(tensors);
    (void)fprintf(
        cli->out, "%s: %zu tensors, %lld parameters, %s, %scanonical\nsha256 %s\n\n",
        json_string_value(json_object_get(document, "file")), layout->tensor_count,
        (long long)layout->element_count,
        trib_bytes_human(human, sizeof human,
                         (uint64_t)json_integer_value(json_object_get(document, "bytes"))),
        json_is_true(json_object_get(document, "canonical")) ? "" : "not ",
        json_string_value(json_object_get(document, "digest")));
    (void)fprintf(cli->out, "%-*s  %-7s  %-12s", width, "tensor", "dtype", "shape");
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
        (void)fprintf(cli->out, "  %11s", columns[c]);
    }
    (void)fprintf(cli->out, "  NaN\n");
    for (size_t i = 0; i < layout->tensor_count; i++) {
        const struct trib_tensor *tensor = &layout->tensors[i];
        const json_t *row = json_array_get(tensors, i);
        (void)fprintf(cli->out, "%-*s  %-7s  %-12s", width, tensor->name,
                      trib_dtype_name(tensor->dtype), trib_shape_text(tensor, shape, sizeof shape));
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
            print_value(cli, row, columns[c]);
        }
        (void)fprintf(cli->out, "  %lld\n",
                      (long long)json_integer_value(json_object_get(row, "nan")));
    }
}

static enum trib_exit fail_file(const struct trib_cli *cli, const char *path,
                                enum trib_status status) {
    return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s: %s", path, trib_status_text(status));
}

static enum trib_exit inspect(const struct trib_cli *cli, const void *given) {
    const struct file_options *options = given;
    struct trib_model_file file;
    struct trib_error error = {0};
    json_t *document;
    if (trib_model_file_open(cli->env, options->path, &file, &error) != TRIB_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s", error.text);
    }
    enum trib_exit result = TRIB_EXIT_OK;
    enum trib_status status = describe(&file, options->path, &document);
    if (status != TRIB_OK) {
        result = fail_file(cli, options->path, status);
    } else if (options->is_json) {
        result = trib_print_json(cli, document);
    } else {
        print_description(cli, document, file.layout);
    }
    json_decref(document);
    trib_model_file_close(&file);
    return result;
}

const struct trib_command trib_command_model_inspect = {
    .name = "model inspect",
    .group = "Models",
    .summary = "Print the tensors of a safetensors file, what is in them, and its digest",
    .options = inspect_table,
    .options_bytes = sizeof(struct file_options),
    .run = inspect,
};

/* --- diff ------------------------------------------------------------------------------------- */

static const struct trib_option diff_table[] = {
    {"a", TRIB_OPTION_TEXT, offsetof(struct file_options, path), .value = "A",
     .is_positional = true, .is_required = true, .meaning = "a safetensors file"},
    {"b", TRIB_OPTION_TEXT, offsetof(struct file_options, other), .value = "B",
     .is_positional = true, .is_required = true, .meaning = "another one"},
    {"json", TRIB_OPTION_FLAG, offsetof(struct file_options, is_json), .meaning = "print JSON"},
    {0},
};

static bool is_same_kind(const struct trib_tensor *a, const struct trib_tensor *b) {
    return a->dtype == b->dtype && trib_tensor_same_shape(a, b, NULL) == TRIB_OK;
}

/* {"name", "what": "equal" | "values" | "shape" | "dtype" | "only in A" | "only in B", ...} */
static enum trib_status compare_tensors(const struct trib_model_file *a,
                                        const struct trib_tensor *left,
                                        const struct trib_model_file *b,
                                        const struct trib_tensor *right, json_t **row) {
    if (right == NULL) {
        *row = json_pack("{s:s, s:s}", "name", left->name, "what", "only in A");
        return TRIB_OK;
    }
    if (!is_same_kind(left, right)) {
        bool has_shape = trib_tensor_same_shape(left, right, NULL) == TRIB_OK;
        *row = json_pack("{s:s, s:s}", "name", left->name, "what", has_shape ? "dtype" : "shape");
        return TRIB_OK;
    }
    struct trib_tensor_difference found;
    if (trib_model_file_compare(a, left, b, right, &found) != TRIB_OK) {
        return TRIB_EIO;
    }
    *row = json_pack("{s:s, s:s, s:I, s:o, s:o, s:o}", "name", left->name, "what",
                     found.differing == 0 ? "equal" : "values", "differing",
                     (json_int_t)found.differing, "max", number_or_null(found.largest), "norm",
                     number_or_null(found.norm), "relative", number_or_null(found.relative));
    return TRIB_OK;
}

static enum trib_status compare_files(const struct trib_model_file *a,
                                      const struct trib_model_file *b, json_t *rows) {
    enum trib_status status = TRIB_OK;
    for (size_t i = 0; i < a->layout->tensor_count && status == TRIB_OK; i++) {
        const struct trib_tensor *left = &a->layout->tensors[i];
        json_t *row = NULL;
        status = compare_tensors(a, left, b, trib_layout_find(b->layout, left->name), &row);
        if (status == TRIB_OK && json_array_append_new(rows, row) != 0) {
            status = TRIB_EMEMORY;
        }
    }
    for (size_t i = 0; i < b->layout->tensor_count && status == TRIB_OK; i++) {
        const char *name = b->layout->tensors[i].name;
        if (trib_layout_find(a->layout, name) == NULL &&
            json_array_append_new(
                rows, json_pack("{s:s, s:s}", "name", name, "what", "only in B")) != 0) {
            status = TRIB_EMEMORY;
        }
    }
    return status;
}

static bool has_difference(const json_t *rows) {
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        if (strcmp(json_string_value(json_object_get(row, "what")), "equal") != 0) {
            return true;
        }
    }
    return false;
}

static void print_differences(const struct trib_cli *cli, const json_t *rows) {
    int width = widest_name(rows);
    size_t i;
    json_t *row;
    (void)fprintf(cli->out, "%-*s  %11s  %11s  %11s\n", width, "tensor", "max |a-b|", "norm",
                  "relative");
    json_array_foreach(rows, i, row) {
        const char *what = json_string_value(json_object_get(row, "what"));
        (void)fprintf(cli->out, "%-*s", width, json_string_value(json_object_get(row, "name")));
        if (strcmp(what, "values") == 0) {
            print_value(cli, row, "max");
            print_value(cli, row, "norm");
            print_value(cli, row, "relative");
            (void)fprintf(cli->out, "\n");
        } else {
            (void)fprintf(cli->out, "  %11s\n", what);
        }
    }
}

static enum trib_exit diff_open(const struct trib_cli *cli, const struct file_options *options,
                                const struct trib_model_file *a, const struct trib_model_file *b) {
    json_t *rows = json_array();
    enum trib_status status = compare_files(a, b, rows);
    enum trib_exit result = TRIB_EXIT_OK;
    if (status != TRIB_OK) {
        result = fail_file(cli, options->path, status);
    } else if (options->is_json) {
        json_t *document =
            json_pack("{s:b, s:O}", "equal", (int)!has_difference(rows), "tensors", rows);
        result = trib_print_json(cli, document);
        json_decref(document);
    } else {
        print_differences(cli, rows);
    }
    if (result == TRIB_EXIT_OK && has_difference(rows)) {
        result = TRIB_EXIT_FAILED;
    }
    json_decref(rows);
    return result;
}

static enum trib_exit diff(const struct trib_cli *cli, const void *given) {
    const struct file_options *options = given;
    struct trib_model_file a, b;
    struct trib_error error = {0};
    if (trib_model_file_open(cli->env, options->path, &a, &error) != TRIB_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "%s", error.text);
    }
    enum trib_exit result;
    if (trib_model_file_open(cli->env, options->other, &b, &error) != TRIB_OK) {
        result = trib_cli_fail(cli, TRIB_EXIT_USAGE, "%s", error.text);
    } else {
        result = diff_open(cli, options, &a, &b);
        trib_model_file_close(&b);
    }
    trib_model_file_close(&a);
    return result;
}

const struct trib_command trib_command_model_diff = {
    .name = "model diff",
    .group = "Models",
    .summary = "Compare two safetensors files tensor by tensor; exit code 1 when they differ",
    .details = "relative: norm of the difference over the norm of A. A NaN equals a NaN.\n",
    .options = diff_table,
    .options_bytes = sizeof(struct file_options),
    .run = diff,
};
