/* data_part.h - the share of a data set that one client of the command line has. */
#ifndef TRIB_CLI_DATA_PART_H
#define TRIB_CLI_DATA_PART_H

#include "train/dataset.h"
#include "train/partition.h"

struct trib_data_part {
    bool is_test;        /* of the held-out rows instead of the training rows */
    bool is_whole;       /* all rows: no partition */
    uint32_t part_index; /* < partition.client_count */
    struct trib_partition partition;
};

/* part: "I/N", I from 0; NULL: the whole. partition: "iid", "shards", "shards:PER_CLIENT" or
 * "dirichlet:ALPHA" or "natural". TRIB_EINVALID: error says which text and what is allowed. */
enum trib_status trib_data_part_parse(const char *part, const char *partition, uint64_t seed,
                                      struct trib_data_part *share, struct trib_error *error);
/* Load only these rows of the data set at path. Errors: as trib_dataset_load() and
 * trib_partition_rows(); TRIB_EINVALID too when natural parts are asked of data that does not tell
 * who brought which row. */
enum trib_status trib_data_part_load(const struct trib_env *env, const char *path,
                                     const struct trib_data_part *share,
                                     struct trib_dataset *dataset, struct trib_error *error);
/* The part of every row of a whole data set that is loaded already: owners[row] is below
 * share->partition.client_count. path is for messages. Errors: as trib_partition_owners(). */
enum trib_status trib_data_part_owners(const struct trib_env *env, const char *path,
                                       const struct trib_data_part *share,
                                       const struct trib_dataset *dataset, uint32_t *owners,
                                       struct trib_error *error);

#endif
