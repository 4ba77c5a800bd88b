/* dataset.c - which reader serves a path, and what all of them share. */
#include "train/dataset.h"

#include <math.h>
#include <string.h>

#include "train/dataset_formats.h"
#include "train/gzip_file.h"

static bool ends_with(const char *text, const char *ending) {
    const size_t text_bytes = strlen(text);
    const size_t ending_bytes = strlen(ending);
    return text_bytes >= ending_bytes && strcmp(text + text_bytes - ending_bytes, ending) == 0;
}

/* True also for a file that cannot be opened: the reader will say why. */
static bool holds(const char *folder, const char *name) {
    struct trib_gzip_file file;
    const enum trib_status status = trib_gzip_file_open(&file, folder, name, NULL);
    trib_gzip_file_close(&file);
    return status != TRIB_ENOTFOUND;
}

static enum trib_status check_request(const struct trib_dataset_request *request,
                                      struct trib_error *error) {
    if (request->part != TRIB_DATASET_TRAIN && request->part != TRIB_DATASET_TEST) {
        return trib_error_set(error, TRIB_EINVALID, "no such part of a data set");
    }
    if (!(request->feature_scale >= 0.0) || !isfinite(request->feature_scale)) {
        return trib_error_set(error, TRIB_EINVALID, "the scale of features must be positive");
    }
    if (request->class_count > TRIB_DATASET_CLASSES_MAX) {
        return trib_error_set(error, TRIB_ELIMIT, "%u classes, %d are allowed",
                              request->class_count, TRIB_DATASET_CLASSES_MAX);
    }
    if (request->rows == NULL) {
        return TRIB_OK;
    }
    if (request->row_count == 0) {
        return trib_error_set(error, TRIB_EINVALID, "no rows were asked for");
    }
    for (size_t i = 1; i < request->row_count; i++) {
        if (request->rows[i - 1] >= request->rows[i]) {
            return trib_error_set(error, TRIB_EINVALID, "row %u does not come after row %u",
                                  request->rows[i], request->rows[i - 1]);
        }
    }
    return TRIB_OK;
}

enum trib_status trib_dataset_load(const struct trib_env *env, const char *path,
                                   const struct trib_dataset_request *request,
                                   struct trib_dataset *dataset, struct trib_error *error) {
    static const struct trib_dataset_request everything;
    if (request == NULL) {
        request = &everything;
    }
    enum trib_status status = check_request(request, error);
    if (status != TRIB_OK) {
        return status;
    }

    struct trib_dataset loaded = {0};
    if (ends_with(path, ".csv") || ends_with(path, ".csv.gz")) {
        status = trib_dataset_load_csv_file(env, path, request, &loaded, error);
    } else if (ends_with(path, ".tsv") || ends_with(path, ".tsv.gz") || ends_with(path, ".txt") ||
               ends_with(path, ".txt.gz")) {
        status = trib_dataset_load_text(env, path, request, &loaded, error);
    } else if (ends_with(path, ".arff") || ends_with(path, ".arff.gz")) {
        status = trib_dataset_load_wisdm(env, path, request, &loaded, error);
    } else if (holds(path, "processed.cleveland.data")) {
        status = trib_dataset_load_heart(env, path, request, &loaded, error);
    } else if (holds(path, "train-labels-idx1-ubyte")) {
        status = trib_dataset_load_idx(env, path, request, &loaded, error);
    } else if (holds(path, "train.csv")) {
        status = trib_dataset_load_csv_folder(env, path, request, &loaded, error);
    } else {
        return trib_error_set(error, TRIB_ENOTFOUND,
                              "%s: no .csv, .tsv, .txt or .arff file, and no folder with "
                              "train-labels-idx1-ubyte, train.csv or processed.cleveland.data "
                              "(or each with .gz)",
                              path);
    }
    if (status == TRIB_OK) {
        *dataset = loaded;
    }
    return status;
}

/* Of all rows. */
static size_t label_total(const struct trib_dataset *dataset) {
    return dataset->row_count * (dataset->symbol_count > 0 ? dataset->feature_count : 1);
}

void trib_dataset_deinit(struct trib_dataset *dataset) {
    if (dataset->env != NULL) {
        trib_release(dataset->env, dataset->features, dataset->row_count * dataset->feature_count,
                     sizeof *dataset->features);
        trib_release(dataset->env, dataset->labels, label_total(dataset), sizeof *dataset->labels);
        trib_release(dataset->env, dataset->owners, dataset->row_count, sizeof *dataset->owners);
    }
    memset(dataset, 0, sizeof *dataset);
}

enum trib_status trib_dataset_reserve(struct trib_dataset *dataset, const struct trib_env *env,
                                      size_t row_count, size_t feature_count, uint32_t symbol_count,
                                      bool has_features, struct trib_error *error) {
    TRIB_ASSERT(row_count > 0 && row_count <= TRIB_DATASET_ROWS_MAX);
    TRIB_ASSERT(feature_count > 0 && feature_count <= TRIB_DATASET_FEATURES_MAX);
    if (has_features &&
        (uint64_t)row_count * feature_count * sizeof *dataset->features > TRIB_DATASET_BYTES_MAX) {
        return trib_error_set(error, TRIB_ELIMIT, "%zu rows of %zu features are more than %llu MiB",
                              row_count, feature_count,
                              (unsigned long long)(TRIB_DATASET_BYTES_MAX >> 20));
    }
    *dataset = (struct trib_dataset){
        .env = env,
        .row_count = row_count,
        .feature_count = feature_count,
        .symbol_count = symbol_count,
    };
    const bool is_text = symbol_count > 0;
    dataset->labels = trib_allocate(env, label_total(dataset), sizeof *dataset->labels);
    if (dataset->labels != NULL && is_text) {
        dataset->owners = trib_allocate(env, row_count, sizeof *dataset->owners);
    }
    if (dataset->labels != NULL && has_features) {
        dataset->features =
            trib_allocate(env, row_count * feature_count, sizeof *dataset->features);
    }
    if (dataset->labels == NULL || (is_text && dataset->owners == NULL) ||
        (has_features && dataset->features == NULL)) {
        trib_dataset_deinit(dataset);
        return trib_error_set(error, TRIB_EMEMORY, "no memory for %zu rows", row_count);
    }
    return TRIB_OK;
}

enum trib_status trib_dataset_pick(const struct trib_env *env, const struct trib_dataset *from,
                                   const uint32_t *rows, size_t row_count,
                                   struct trib_dataset *dataset, struct trib_error *error) {
    struct trib_dataset picked = {0};
    const size_t width = from->feature_count;
    const size_t label_count = from->symbol_count > 0 ? width : 1;
    enum trib_status status =
        trib_dataset_reserve(&picked, env, row_count, width, from->symbol_count, true, error);
    for (size_t i = 0; status == TRIB_OK && i < row_count; i++) {
        memcpy(picked.features + i * width, from->features + rows[i] * width,
               width * sizeof *picked.features);
        memcpy(picked.labels + i * label_count, from->labels + rows[i] * label_count,
               label_count * sizeof *picked.labels);
    }
    picked.class_count = from->class_count;
    if (status != TRIB_OK) {
        trib_dataset_deinit(&picked);
    }
    *dataset = picked;
    return status;
}

enum trib_status trib_dataset_count_kept(const struct trib_dataset_request *request,
                                         size_t part_row_count, size_t *kept_count,
                                         struct trib_error *error) {
    if (request->rows == NULL) {
        *kept_count = part_row_count;
        return TRIB_OK;
    }
    const uint32_t final_row = request->rows[request->row_count - 1];
    if (final_row >= part_row_count) {
        return trib_error_set(error, TRIB_EINVALID, "row %u was asked for, there are %zu",
                              final_row, part_row_count);
    }
    *kept_count = request->row_count;
    return TRIB_OK;
}

bool trib_dataset_is_kept(const struct trib_dataset_request *request, size_t row,
                          size_t kept_count) {
    return request->rows == NULL ||
           (kept_count < request->row_count && request->rows[kept_count] == row);
}
