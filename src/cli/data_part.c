/* data_part.c - the share of a data set that one client of the command line has. */
#include "cli/data_part.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A whole number below 2^32 at *text, which is moved behind it. */
static bool take_number(const char **text, uint32_t *number) {
    size_t digits = strspn(*text, "0123456789");
    if (digits == 0 || digits > 9) {
        return false;
    }
    *number = (uint32_t)strtoul(*text, NULL, 10);
    *text += digits;
    return true;
}

static bool parse_part(const char *text, struct trib_data_part *share) {
    uint32_t index, count;
    if (!take_number(&text, &index) || *text++ != '/' || !take_number(&text, &count) ||
        *text != '\0' || index >= count) {
        return false;
    }
    share->part_index = index;
    share->partition.client_count = count;
    return true;
}

static bool parse_partition(const char *text, struct trib_partition *partition) {
    char name[16] = "";
    const char *colon = strchr(text, ':');
    size_t name_bytes = colon == NULL ? strlen(text) : (size_t)(colon - text);
    if (name_bytes >= sizeof name) {
        return false;
    }
    memcpy(name, text, name_bytes);
    if (!trib_partition_from_name(name, &partition->kind)) {
        return false;
    }
    if (colon == NULL) {
        return true;
    }
    const char *value = colon + 1;
    if (partition->kind == TRIB_PARTITION_SHARDS) {
        return take_number(&value, &partition->shards_per_client) && *value == '\0' &&
               partition->shards_per_client > 0;
    }
    char *end;
    partition->alpha = strtod(value, &end);
    return partition->kind == TRIB_PARTITION_DIRICHLET && end != value && *end == '\0' &&
           partition->alpha >= 0.001 && partition->alpha <= 1000.0;
}

enum trib_status trib_data_part_parse(const char *part, const char *partition, uint64_t seed,
                                      struct trib_data_part *share, struct trib_error *error) {
    *share = (struct trib_data_part){.is_whole = part == NULL, .partition.seed = seed};
    if (part != NULL && !parse_part(part, share)) {
        return trib_error_set(error, TRIB_EINVALID,
                              "part %.32s: must be I/N, the parts counted from 0, such as 3/10",
                              part);
    }
    if (!parse_partition(partition, &share->partition)) {
        return trib_error_set(error, TRIB_EINVALID,
                              "partition %.32s: must be iid, shards, shards:PER_CLIENT, "
                              "dirichlet:ALPHA (ALPHA from 0.001 to 1000) or natural",
                              partition);
    }
    return TRIB_OK;
}

/* What decides who owns which row: labels, or who brought it. */
struct marks {
    const int32_t *items; /* [row_count] */
    uint32_t kind_count;
};

static enum trib_status find_marks(const char *path, const struct trib_data_part *share,
                                   const struct trib_dataset *labels, struct marks *marks,
                                   struct trib_error *error) {
    const bool has_owners = labels->owners != NULL;
    if (share->partition.kind == TRIB_PARTITION_NATURAL && !has_owners) {
        return trib_error_set(error, TRIB_EINVALID,
                              "%s does not tell who brought which row; partition iid works", path);
    }
    *marks = (struct marks){
        has_owners ? (const int32_t *)labels->owners : labels->labels,
        has_owners ? labels->owner_count : labels->class_count,
    };
    return TRIB_OK;
}

static enum trib_status choose_rows(const struct trib_env *env, const char *path,
                                    const struct trib_data_part *share,
                                    const struct trib_dataset *labels, uint32_t **rows,
                                    size_t *row_count, struct trib_error *error) {
    struct marks marks = {0};
    enum trib_status status = find_marks(path, share, labels, &marks, error);
    if (status != TRIB_OK) {
        return status;
    }
    return trib_partition_rows(env, &share->partition, marks.items, labels->row_count,
                               marks.kind_count, share->part_index, rows, row_count, error);
}

enum trib_status trib_data_part_owners(const struct trib_env *env, const char *path,
                                       const struct trib_data_part *share,
                                       const struct trib_dataset *dataset, uint32_t *owners,
                                       struct trib_error *error) {
    struct marks marks = {0};
    enum trib_status status = find_marks(path, share, dataset, &marks, error);
    if (status != TRIB_OK) {
        return status;
    }
    return trib_partition_owners(env, &share->partition, marks.items, dataset->row_count,
                                 marks.kind_count, owners, error);
}

enum trib_status trib_data_part_load(const struct trib_env *env, const char *path,
                                     const struct trib_data_part *share,
                                     struct trib_dataset *dataset, struct trib_error *error) {
    struct trib_dataset_request request = {.part = share->is_test ? TRIB_DATASET_TEST
                                                                  : TRIB_DATASET_TRAIN};
    if (share->is_whole) {
        return trib_dataset_load(env, path, &request, dataset, error);
    }
    /* The labels alone decide who owns which row. */
    struct trib_dataset labels = {0};
    request.is_labels_only = true;
    enum trib_status status = trib_dataset_load(env, path, &request, &labels, error);
    if (status != TRIB_OK) {
        return status;
    }
    uint32_t *rows = NULL;
    size_t row_count = 0;
    status = choose_rows(env, path, share, &labels, &rows, &row_count, error);
    trib_dataset_deinit(&labels);
    if (status == TRIB_OK) {
        request.is_labels_only = false;
        request.rows = rows;
        request.row_count = row_count;
        status = trib_dataset_load(env, path, &request, dataset, error);
        trib_release(env, rows, row_count, sizeof *rows);
    }
    return status;
}
