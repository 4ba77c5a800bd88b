/* spec_files.c - specs as people keep them: a YAML or JSON file, maybe next to a model file. */
#include "cli/spec_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "train/dataset.h"
#include "wire/yaml.h"

#define MODEL_ENDING ".safetensors"

/* The whole stream into text, one byte more than is allowed so that the reader notices. */
static enum trib_status read_stream(FILE *stream, struct trib_text *text) {
    char piece[4096];
    size_t count = 1;
    while (count > 0 && text->byte_count <= TRIB_YAML_BYTES_MAX && !text->is_failed) {
        count = fread(piece, 1, sizeof piece, stream);
        trib_text_add(text, piece, count);
    }
    if (text->is_failed) {
        return TRIB_EMEMORY;
    }
    return ferror(stream) ? TRIB_EIO : TRIB_OK;
}

static enum trib_status read_text(const char *path, struct trib_text *text,
                                  struct trib_error *error) {
    bool is_input = strcmp(path, "-") == 0;
    FILE *stream = is_input ? stdin : fopen(path, "rb");
    if (stream == NULL) {
        return trib_error_set(error, errno == ENOENT ? TRIB_ENOTFOUND : TRIB_EIO, "%s",
                              strerror(errno));
    }
    enum trib_status status = read_stream(stream, text);
    if (!is_input) {
        (void)fclose(stream); /* nothing was written to it */
    }
    return status == TRIB_OK ? TRIB_OK
                             : trib_error_set(error, status, "%s", trib_status_text(status));
}

static enum trib_status read_document(struct trib_spec_file *file, const char *path,
                                      struct trib_error *error) {
    struct trib_text text;
    trib_text_init(&text, file->env);
    enum trib_status status = read_text(path, &text, error);
    if (status == TRIB_OK) {
        status = trib_yaml_read(text.bytes == NULL ? "" : text.bytes, text.byte_count,
                                &file->document, error);
    }
    trib_text_deinit(&text);
    if (status == TRIB_OK && !json_is_object(file->document)) {
        status = trib_error_set(error, TRIB_EINVALID, "a spec must be an object");
    }
    return status;
}

/* --- the first model -------------------------------------------------------------------------- */

static bool is_model_name(const char *text) {
    size_t bytes = text == NULL ? 0 : strlen(text);
    return bytes > strlen(MODEL_ENDING) &&
           strcmp(text + bytes - strlen(MODEL_ENDING), MODEL_ENDING) == 0;
}

/* name as seen from the folder of spec_path; NULL: no memory. */
static char *beside(const struct trib_env *env, const char *spec_path, const char *name) {
    const char *slash = strrchr(spec_path, '/');
    if (name[0] == '/' || slash == NULL) {
        return trib_text_copy(env, name);
    }
    struct trib_text text;
    trib_text_init(&text, env);
    trib_text_add(&text, spec_path, (size_t)(slash - spec_path) + 1);
    trib_text_format(&text, "%s", name);
    char *path = text.is_failed ? NULL : trib_text_copy(env, text.bytes);
    trib_text_deinit(&text);
    return path;
}

static enum trib_status choose_model(struct trib_spec_file *file,
                                     const struct trib_spec_file_request *request,
                                     struct trib_error *error) {
    json_t *model = json_object_get(file->document, "model");
    const char *init = json_string_value(json_object_get(model, "init"));
    if (request->model != NULL) {
        file->model_path = trib_text_copy(file->env, request->model);
    } else if (is_model_name(init)) {
        file->model_path = beside(file->env, request->path, init);
    } else {
        return TRIB_OK;
    }
    if (model == NULL) { /* --init alone says all that model has to say */
        model = json_object();
        (void)json_object_set_new(file->document, "model", model); /* seen below */
    }
    bool is_set = file->model_path != NULL &&
                  (!json_is_object(model) || /* refused later on */
                   json_object_set_new(model, "init", json_string("upload")) == 0);
    return is_set ? TRIB_OK : trib_error_set(error, TRIB_EMEMORY, "out of memory");
}

/* --- sizes from the data ---------------------------------------------------------------------- */

static enum trib_status fill_from_data(struct trib_spec_file *file, const char *data,
                                       struct trib_error *error) {
    json_t *init = json_object_get(json_object_get(file->document, "model"), "init");
    bool has_features = json_object_get(init, "features") != NULL;
    bool has_classes = json_object_get(init, "classes") != NULL;
    if (data == NULL || json_object_get(init, "trainer") == NULL || (has_features && has_classes)) {
        return TRIB_OK;
    }
    const struct trib_dataset_request request = {.is_labels_only = true};
    struct trib_dataset dataset = {0};
    enum trib_status status = trib_dataset_load(file->env, data, &request, &dataset, error);
    if (status != TRIB_OK) {
        return status;
    }
    json_int_t features = (json_int_t)dataset.feature_count;
    json_int_t classes = (json_int_t)dataset.class_count;
    trib_dataset_deinit(&dataset);
    if ((!has_features && json_object_set_new(init, "features", json_integer(features)) != 0) ||
        (!has_classes && json_object_set_new(init, "classes", json_integer(classes)) != 0)) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    return TRIB_OK;
}

enum trib_status trib_spec_file_read(const struct trib_env *env,
                                     const struct trib_spec_file_request *request,
                                     struct trib_spec_file *file, struct trib_error *error) {
    *file = (struct trib_spec_file){.env = env};
    enum trib_status status = read_document(file, request->path, error);
    if (status == TRIB_OK) {
        status = choose_model(file, request, error);
    }
    if (status != TRIB_OK) {
        (void)trib_error_prefix(error, status, "%s", request->path);
    } else {
        status = fill_from_data(file, request->data, error);
    }
    if (status != TRIB_OK) {
        trib_spec_file_deinit(file);
    }
    return status;
}

void trib_spec_file_deinit(struct trib_spec_file *file) {
    json_decref(file->document);
    if (file->env != NULL) {
        trib_text_release(file->env, file->model_path);
    }
    *file = (struct trib_spec_file){0};
}
