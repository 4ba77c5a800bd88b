/* partition.h - which row of a data set belongs to which client.
 *
 * Pure functions of labels, settings and seed, so that every client can work out its own share
 * without asking anybody. Each row has exactly one owner and each client owns at least one row.
 *
 *   iid        shuffle, then cut into equal parts (sizes differ by one at most).
 *   shards     sort by label, cut into shards_per_client * client_count shards, deal them out at
 *              random: two shards of one or two labels each make a client that has seen hardly
 *              any other digit. Source: McMahan et al. 2017, section 3 ("pathological non-IID").
 *   dirichlet  for each label, shares ~ Dirichlet(alpha, ..., alpha) over the clients; a small alpha
 *              is skewed in labels and in sizes. Source: Yurochkin et al. 2019, section 4; Li et
 *              al. 2022, "distribution-based label imbalance". A client left without a row takes
 *              one from a client that has more than its fair share.
 *   natural    `labels` are not labels but who brought each row (trib_dataset.owners): all rows of
 *              an owner go to one client. The owners that have rows are dealt out in turn.
 *
 * Text has no label that tells clients apart; its owners take the place of labels in every kind.
 *
 * All but dirichlet are integer arithmetic: the same rows everywhere. dirichlet needs log and exp in
 * double: where two C libraries round one of them differently, a boundary between two clients
 * could move by a row; by estimate that happens for less than one seed in 10^8. */
#ifndef TRIB_TRAIN_PARTITION_H
#define TRIB_TRAIN_PARTITION_H

#include "base/env.h"
#include "base/status.h"

enum trib_partition_kind {
    TRIB_PARTITION_IID,
    TRIB_PARTITION_SHARDS,
    TRIB_PARTITION_DIRICHLET,
    TRIB_PARTITION_NATURAL,
    TRIB_PARTITION_COUNT
};

struct trib_partition {
    enum trib_partition_kind kind;
    uint32_t client_count;      /* > 0, at most the number of rows; of owners, if natural */
    uint32_t shards_per_client; /* shards only; 0 = 2 */
    double alpha;               /* dirichlet only, 0.001 to 1000; 0 = 0.5 */
    uint64_t seed;
};

const char *trib_partition_name(enum trib_partition_kind kind); /* "iid", ..., "natural" */
bool trib_partition_from_name(const char *name, enum trib_partition_kind *kind);

/* The owner of every row: owners[row] = index of its client.
 *
 * labels  int32[row_count], all >= 0 and < class_count; borrowed.
 * owners  uint32[row_count], written; its contents are undefined after an error.
 *
 * TRIB_EINVALID: no clients, more clients or shards than rows, alpha out of range, unknown kind,
 * or a label outside the classes; TRIB_EMEMORY.  Thread: any. */
enum trib_status trib_partition_owners(const struct trib_env *env,
                                       const struct trib_partition *partition,
                                       const int32_t *labels, size_t row_count,
                                       uint32_t class_count, uint32_t *owners,
                                       struct trib_error *error);

/* Of a client's rows, how many it does not train on and keeps to evaluate versions with: so many of a
 * hundred (below 100), but one at least; none if percent is 0 or there is one row. */
size_t trib_hold_out_count(size_t row_count, uint32_t percent);
/* Is row `row` of row_count one of `held` of them? They are spread evenly. */
bool trib_hold_out_has(size_t row, size_t row_count, size_t held);

/* The rows of one client in ascending order, as trib_dataset_request takes them.
 *
 * client     < partition->client_count, or TRIB_EINVALID.
 * rows       *rows is a new uint32[*count], *count > 0; trib_release(env, *rows, *count,
 *            sizeof **rows). Unchanged on error.
 * Other errors as above. */
enum trib_status trib_partition_rows(const struct trib_env *env,
                                     const struct trib_partition *partition, const int32_t *labels,
                                     size_t row_count, uint32_t class_count, uint32_t client,
                                     uint32_t **rows, size_t *count, struct trib_error *error);

#endif
