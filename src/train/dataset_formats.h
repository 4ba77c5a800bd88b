/* dataset_formats.h - the readers behind trib_dataset_load(), one per file format.
 *
 * Contract of each: request is not NULL and its rows ascend; *dataset is filled on success and
 * empty (safe to deinit) after an error, which is set. */
#ifndef TRIB_TRAIN_DATASET_FORMATS_H
#define TRIB_TRAIN_DATASET_FORMATS_H

#include "train/dataset.h"

/* Arrays for row_count rows (features only when wanted), and owners for text.
 * symbol_count  0: numbers, one label per row. Else text, as many labels as features.
 * TRIB_ELIMIT, TRIB_EMEMORY. */
enum trib_status trib_dataset_reserve(struct trib_dataset *dataset, const struct trib_env *env,
                                      size_t row_count, size_t feature_count, uint32_t symbol_count,
                                      bool has_features, struct trib_error *error);

/* How many of a part's part_row_count rows are kept: all, or those requested.
 * TRIB_EINVALID: a requested row is not in the part. */
enum trib_status trib_dataset_count_kept(const struct trib_dataset_request *request,
                                         size_t part_row_count, size_t *kept_count,
                                         struct trib_error *error);

/* Is `row` the next one to keep, after kept_count others? Rows are asked for in order. */
bool trib_dataset_is_kept(const struct trib_dataset_request *request, size_t row,
                          size_t kept_count);

enum trib_status trib_dataset_load_idx(const struct trib_env *env, const char *folder,
                                       const struct trib_dataset_request *request,
                                       struct trib_dataset *dataset, struct trib_error *error);
enum trib_status trib_dataset_load_csv_folder(const struct trib_env *env, const char *folder,
                                              const struct trib_dataset_request *request,
                                              struct trib_dataset *dataset,
                                              struct trib_error *error);
enum trib_status trib_dataset_load_csv_file(const struct trib_env *env, const char *path,
                                            const struct trib_dataset_request *request,
                                            struct trib_dataset *dataset, struct trib_error *error);
enum trib_status trib_dataset_load_text(const struct trib_env *env, const char *path,
                                        const struct trib_dataset_request *request,
                                        struct trib_dataset *dataset, struct trib_error *error);
enum trib_status trib_dataset_load_heart(const struct trib_env *env, const char *folder,
                                         const struct trib_dataset_request *request,
                                         struct trib_dataset *dataset, struct trib_error *error);
enum trib_status trib_dataset_load_wisdm(const struct trib_env *env, const char *path,
                                         const struct trib_dataset_request *request,
                                         struct trib_dataset *dataset, struct trib_error *error);

#endif
