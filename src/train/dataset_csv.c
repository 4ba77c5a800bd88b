/* dataset_csv.c - data sets kept as tables of numbers in text.
 *
 * The training rows fix scale and classes; then the rows of the wanted part are copied out. */
#include "train/dataset_formats.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "train/csv_table.h"

/* What the training part decides for all parts. */
struct measure {
    double scale;
    uint32_t class_count;
};

/* is_test may be NULL: every row of the table is a training row. */
static struct measure measure_training(const struct trib_csv_table *table, const bool *is_test,
                                       const struct trib_dataset_request *request) {
    float largest = 0.0F;
    uint32_t largest_label = 0;
    for (size_t row = 0; row < table->row_count; row++) {
        if (is_test != NULL && is_test[row]) {
            continue;
        }
        const float *values = trib_csv_table_row(table, row);
        for (size_t i = 0; i + 1 < table->column_count; i++) {
            largest = fmaxf(largest, fabsf(values[i]));
        }
        if (trib_csv_table_label(table, row) > largest_label) {
            largest_label = trib_csv_table_label(table, row);
        }
    }
    struct measure measure = {.scale = request->feature_scale, .class_count = request->class_count};
    if (measure.scale == 0.0) {
        measure.scale = largest > 0.0F ? (double)largest : 1.0;
    }
    if (measure.class_count == 0) {
        measure.class_count = largest_label + 1;
    }
    return measure;
}

/* Copy the wanted rows of a part, scaled. The part is the rows with is_test[row] == wants_test, or
 * all of them when is_test is NULL. */
static enum trib_status copy_part(const struct trib_csv_table *table, const bool *is_test,
                                  bool wants_test, const struct measure *measure,
                                  const struct trib_dataset_request *request,
                                  struct trib_dataset *dataset, struct trib_error *error) {
    size_t part_row_count = 0;
    for (size_t row = 0; row < table->row_count; row++) {
        part_row_count += is_test == NULL || is_test[row] == wants_test;
    }
    size_t kept_count = 0;
    enum trib_status status = trib_dataset_count_kept(request, part_row_count, &kept_count, error);
    if (status == TRIB_OK && kept_count == 0) {
        status = trib_error_set(error, TRIB_EMALFORMED, "too few rows to split");
    }
    if (status == TRIB_OK) {
        status = trib_dataset_reserve(dataset, table->env, kept_count, table->column_count - 1, 0,
                                      !request->is_labels_only, error);
    }
    if (status != TRIB_OK) {
        return status;
    }
    dataset->class_count = measure->class_count;

    size_t kept = 0;
    size_t part_row = 0;
    for (size_t row = 0; row < table->row_count; row++) {
        if (is_test != NULL && is_test[row] != wants_test) {
            continue;
        }
        const uint32_t label = trib_csv_table_label(table, row);
        if (label >= measure->class_count) {
            return trib_error_set(error, TRIB_EMALFORMED,
                                  "label %u of row %zu, but there are only %u classes", label, row,
                                  measure->class_count);
        }
        if (!trib_dataset_is_kept(request, part_row++, kept)) {
            continue;
        }
        dataset->labels[kept] = (int32_t)label;
        for (size_t i = 0; !request->is_labels_only && i < dataset->feature_count; i++) {
            dataset->features[kept * dataset->feature_count + i] =
                (float)((double)trib_csv_table_row(table, row)[i] / measure->scale);
        }
        kept++;
    }
    TRIB_ASSERT(kept == dataset->row_count);
    return TRIB_OK;
}

enum trib_status trib_dataset_load_csv_folder(const struct trib_env *env, const char *folder,
                                              const struct trib_dataset_request *request,
                                              struct trib_dataset *dataset,
                                              struct trib_error *error) {
    struct trib_csv_table training;
    struct trib_csv_table test = {0};
    enum trib_status status = trib_csv_table_read(&training, env, folder, "train.csv", error);
    const struct trib_csv_table *wanted = &training;
    if (status == TRIB_OK && request->part == TRIB_DATASET_TEST) {
        status = trib_csv_table_read(&test, env, folder, "test.csv", error);
        if (status == TRIB_OK && test.column_count != training.column_count) {
            status = trib_error_set(error, TRIB_ESHAPE,
                                    "%s: test.csv has %zu columns, train.csv has %zu", folder,
                                    test.column_count, training.column_count);
        }
        wanted = &test;
    }
    if (status == TRIB_OK) {
        const struct measure measure = measure_training(&training, NULL, request);
        status = copy_part(wanted, NULL, false, &measure, request, dataset, error);
        if (status != TRIB_OK) {
            (void)trib_error_prefix(error, status, "%s", folder);
        }
    }
    trib_csv_table_deinit(&test);
    trib_csv_table_deinit(&training);
    if (status != TRIB_OK) {
        trib_dataset_deinit(dataset);
    }
    return status;
}

/* Mark a fifth of the rows, rounded up. NULL: no memory. */
static bool *draw_test_rows(const struct trib_csv_table *table, uint64_t seed) {
    const size_t row_count = table->row_count;
    bool *is_test = trib_allocate(table->env, row_count, sizeof *is_test);
    uint32_t *order = trib_allocate(table->env, row_count, sizeof *order);
    if (is_test != NULL && order != NULL) {
        struct trib_random random;
        trib_random_derive(&random, seed, "dataset.split", 0);
        for (size_t i = 0; i < row_count; i++) {
            order[i] = (uint32_t)i;
        }
        trib_random_shuffle(&random, order, row_count);
        for (size_t i = 0; i < (row_count + 4) / 5; i++) {
            is_test[order[i]] = true;
        }
    } else {
        trib_release(table->env, is_test, row_count, sizeof *is_test);
        is_test = NULL;
    }
    trib_release(table->env, order, row_count, sizeof *order);
    return is_test;
}

enum trib_status trib_dataset_load_csv_file(const struct trib_env *env, const char *path,
                                            const struct trib_dataset_request *request,
                                            struct trib_dataset *dataset,
                                            struct trib_error *error) {
    struct trib_csv_table table;
    bool *is_test = NULL;
    enum trib_status status = trib_csv_table_read(&table, env, NULL, path, error);
    if (status == TRIB_OK) {
        is_test = draw_test_rows(&table, request->split_seed);
        if (is_test == NULL) {
            status = trib_error_set(error, TRIB_EMEMORY, "%s: out of memory", path);
        }
    }
    if (status == TRIB_OK) {
        const struct measure measure = measure_training(&table, is_test, request);
        status = copy_part(&table, is_test, request->part == TRIB_DATASET_TEST, &measure, request,
                           dataset, error);
        if (status != TRIB_OK) {
            (void)trib_error_prefix(error, status, "%s", path);
        }
    }
    trib_release(env, is_test, table.row_count, sizeof *is_test);
    trib_csv_table_deinit(&table);
    if (status != TRIB_OK) {
        trib_dataset_deinit(dataset);
    }
    return status;
}
