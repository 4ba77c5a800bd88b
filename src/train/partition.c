/* partition.c - which row of a data set belongs to which client.
 *
 * Every kind fills one array, the owner of each row; the rows of a client are read off it. All
 * draws come from generators derived from the seed by name, one per purpose. */
#include "train/partition.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

#define SHARDS_PER_CLIENT_DEFAULT 2
#define ALPHA_DEFAULT 0.5
#define ALPHA_MIN 0.001
#define ALPHA_MAX 1000.0

static const char *const kind_names[TRIB_PARTITION_COUNT] = {
    [TRIB_PARTITION_IID] = "iid",
    [TRIB_PARTITION_SHARDS] = "shards",
    [TRIB_PARTITION_DIRICHLET] = "dirichlet",
    [TRIB_PARTITION_NATURAL] = "natural",
};

const char *trib_partition_name(enum trib_partition_kind kind) {
    TRIB_ASSERT((size_t)kind < TRIB_PARTITION_COUNT);
    return kind_names[kind];
}

bool trib_partition_from_name(const char *name, enum trib_partition_kind *kind) {
    for (size_t i = 0; i < TRIB_PARTITION_COUNT; i++) {
        if (strcmp(kind_names[i], name) == 0) {
            *kind = (enum trib_partition_kind)i;
            return true;
        }
    }
    return false;
}

static enum trib_status check(const struct trib_partition *partition, const int32_t *labels,
                              size_t row_count, uint32_t class_count, struct trib_error *error) {
    if ((size_t)partition->kind >= TRIB_PARTITION_COUNT) {
        return trib_error_set(error, TRIB_EINVALID, "no such kind of partition");
    }
    if (row_count > UINT32_MAX) {
        return trib_error_set(error, TRIB_EINVALID, "%zu rows are too many", row_count);
    }
    if (partition->client_count == 0 || partition->client_count > row_count) {
        return trib_error_set(error, TRIB_EINVALID, "%zu rows cannot be dealt to %u clients",
                              row_count, partition->client_count);
    }
    if (partition->kind == TRIB_PARTITION_SHARDS &&
        (uint64_t)partition->client_count * partition->shards_per_client > row_count) {
        return trib_error_set(error, TRIB_EINVALID,
                              "%zu rows cannot be cut into %u shards for each of %u clients",
                              row_count, partition->shards_per_client, partition->client_count);
    }
    if (partition->kind == TRIB_PARTITION_DIRICHLET &&
        !(partition->alpha >= ALPHA_MIN && partition->alpha <= ALPHA_MAX)) {
        return trib_error_set(error, TRIB_EINVALID, "alpha is %g, must be %g to %g",
                              partition->alpha, ALPHA_MIN, ALPHA_MAX);
    }
    for (size_t row = 0; row < row_count; row++) {
        if (labels[row] < 0 || (uint32_t)labels[row] >= class_count) {
            return trib_error_set(error, TRIB_EINVALID, "label %d of row %zu: there are %u classes",
                                  labels[row], row, class_count);
        }
    }
    return TRIB_OK;
}

/* Part `index` of `total` things cut into `parts` as equal as can be. */
static uint32_t equal_part(size_t index, size_t total, uint32_t parts) {
    return (uint32_t)((uint64_t)index * parts / total);
}

static void count_up(uint32_t *indices, size_t count) {
    for (size_t i = 0; i < count; i++) {
        indices[i] = (uint32_t)i;
    }
}

static void deal_iid(const struct trib_partition *partition, size_t row_count, uint32_t *order,
                     uint32_t *owners) {
    struct trib_random random;
    trib_random_derive(&random, partition->seed, "partition.iid", 0);
    count_up(order, row_count);
    trib_random_shuffle(&random, order, row_count);
    for (size_t i = 0; i < row_count; i++) {
        owners[order[i]] = equal_part(i, row_count, partition->client_count);
    }
}

/* Row indices by label, file order within a label; starts[class_count + 1] says where each label
 * begins. */
static void sort_by_label(const int32_t *labels, size_t row_count, uint32_t class_count,
                          uint32_t *order, uint32_t *starts) {
    for (size_t row = 0; row < row_count; row++) {
        starts[labels[row] + 1]++;
    }
    for (uint32_t label = 0; label < class_count; label++) {
        starts[label + 1] += starts[label];
    }
    for (size_t row = 0; row < row_count; row++) {
        order[starts[labels[row]]++] = (uint32_t)row;
    }
    /* Each start has moved to the next one. */
    memmove(starts + 1, starts, class_count * sizeof *starts);
    starts[0] = 0;
}

static enum trib_status deal_shards(const struct trib_env *env,
                                    const struct trib_partition *partition, size_t row_count,
                                    const uint32_t *order, uint32_t *owners) {
    const uint32_t shard_count = partition->client_count * partition->shards_per_client;
    uint32_t *shards = trib_allocate(env, shard_count, sizeof *shards);
    if (shards == NULL) {
        return TRIB_EMEMORY;
    }
    struct trib_random random;
    trib_random_derive(&random, partition->seed, "partition.shards", 0);
    count_up(shards, shard_count);
    trib_random_shuffle(&random, shards, shard_count);
    for (size_t i = 0; i < row_count; i++) {
        owners[order[i]] =
            shards[equal_part(i, row_count, shard_count)] / partition->shards_per_client;
    }
    trib_release(env, shards, shard_count, sizeof *shards);
    return TRIB_OK;
}

/* In (0, 1]: its logarithm is finite. */
static double draw_positive(struct trib_random *random) {
    return 1.0 - trib_random_unit(random);
}

/* The logarithm of a gamma variate of the given shape, scale 1. Marsaglia and Tsang 2000: the
 * squeeze of section 4 for shape + 1, then the step down of section 6. Logarithms, because
 * for a small shape u^(1 / shape) is often below the smallest double. */
static double draw_log_gamma(struct trib_random *random, double shape) {
    const double d = shape + 1.0 - 1.0 / 3.0;
    const double c = 1.0 / sqrt(9.0 * d);
    for (;;) {
        const double x = trib_random_normal(random);
        const double root = 1.0 + c * x;
        if (root <= 0.0) {
            continue;
        }
        const double v = root * root * root;
        const double u = draw_positive(random);
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v)) {
            return log(d * v) + log(draw_positive(random)) / shape;
        }
    }
}

/* Turn log weights into the running sum of shares; the last one is 1 up to rounding. */
static void shares_from_logs(double *shares, uint32_t count) {
    double largest = shares[0];
    for (uint32_t i = 1; i < count; i++) {
        largest = fmax(largest, shares[i]);
    }
    double total = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        total += exp(shares[i] - largest);
        shares[i] = total;
    }
    for (uint32_t i = 0; i < count; i++) {
        shares[i] /= total;
    }
}

/* Give every client without a row one of a client that has more than row_count / client_count.
 * There is always one: what some lack, others have too much of. */
static void feed_the_empty(uint32_t *owners, size_t row_count, uint32_t *counts,
                           uint32_t client_count) {
    const size_t fair_count = row_count / client_count;
    size_t row = 0;
    for (uint32_t client = 0; client < client_count; client++) {
        if (counts[client] > 0) {
            continue;
        }
        while (counts[owners[row]] <= fair_count) {
            row++;
            TRIB_ASSERT(row < row_count);
        }
        counts[owners[row]]--;
        owners[row] = client;
        counts[client] = 1;
    }
}

static enum trib_status deal_dirichlet(const struct trib_env *env,
                                       const struct trib_partition *partition, size_t row_count,
                                       uint32_t class_count, uint32_t *order,
                                       const uint32_t *starts, uint32_t *owners) {
    const uint32_t client_count = partition->client_count;
    double *shares = trib_allocate(env, client_count, sizeof *shares);
    uint32_t *counts = trib_allocate(env, client_count, sizeof *counts);
    const bool has_memory = shares != NULL && counts != NULL;
    for (uint32_t label = 0; has_memory && label < class_count; label++) {
        uint32_t *rows = order + starts[label];
        const size_t count = starts[label + 1] - starts[label];
        struct trib_random random;
        trib_random_derive(&random, partition->seed, "partition.dirichlet", label);
        trib_random_shuffle(&random, rows, count);
        for (uint32_t client = 0; client < client_count; client++) {
            shares[client] = draw_log_gamma(&random, partition->alpha);
        }
        shares_from_logs(shares, client_count);
        size_t i = 0;
        for (uint32_t client = 0; client < client_count; client++) {
            const size_t limit =
                client + 1 == client_count ? count : (size_t)(shares[client] * (double)count + 0.5);
            for (; i < limit; i++) {
                owners[rows[i]] = client;
                counts[client]++;
            }
        }
    }
    if (has_memory) {
        feed_the_empty(owners, row_count, counts, client_count);
    }
    trib_release(env, counts, client_count, sizeof *counts);
    trib_release(env, shares, client_count, sizeof *shares);
    return has_memory ? TRIB_OK : TRIB_EMEMORY;
}

static enum trib_status deal_natural(const struct trib_partition *partition, uint32_t owner_count,
                                     const uint32_t *order, const uint32_t *starts,
                                     uint32_t *owners, struct trib_error *error) {
    uint32_t present_count = 0;
    for (uint32_t owner = 0; owner < owner_count; owner++) {
        if (starts[owner] == starts[owner + 1]) {
            continue;
        }
        for (uint32_t i = starts[owner]; i < starts[owner + 1]; i++) {
            owners[order[i]] = present_count % partition->client_count;
        }
        present_count++;
    }
    if (present_count < partition->client_count) {
        return trib_error_set(error, TRIB_EINVALID, "%u owners cannot be dealt to %u clients",
                              present_count, partition->client_count);
    }
    return TRIB_OK;
}

enum trib_status trib_partition_owners(const struct trib_env *env,
                                       const struct trib_partition *partition,
                                       const int32_t *labels, size_t row_count,
                                       uint32_t class_count, uint32_t *owners,
                                       struct trib_error *error) {
    struct trib_partition settings = *partition;
    if (settings.shards_per_client == 0) {
        settings.shards_per_client = SHARDS_PER_CLIENT_DEFAULT;
    }
    if (settings.alpha == 0.0) {
        settings.alpha = ALPHA_DEFAULT;
    }
    enum trib_status status = check(&settings, labels, row_count, class_count, error);
    if (status != TRIB_OK) {
        return status;
    }

    const size_t start_count = (size_t)class_count + 1;
    uint32_t *order = trib_allocate(env, row_count, sizeof *order);
    uint32_t *starts = trib_allocate(env, start_count, sizeof *starts);
    if (order == NULL || starts == NULL) {
        status = TRIB_EMEMORY;
    } else if (settings.kind == TRIB_PARTITION_NATURAL) {
        sort_by_label(labels, row_count, class_count, order, starts);
        status = deal_natural(&settings, class_count, order, starts, owners, error);
    } else if (settings.kind == TRIB_PARTITION_IID) {
        deal_iid(&settings, row_count, order, owners);
    } else {
        sort_by_label(labels, row_count, class_count, order, starts);
        status =
            settings.kind == TRIB_PARTITION_SHARDS
                ? deal_shards(env, &settings, row_count, order, owners)
                : deal_dirichlet(env, &settings, row_count, class_count, order, starts, owners);
    }
    trib_release(env, starts, start_count, sizeof *starts);
    trib_release(env, order, row_count, sizeof *order);
    return status == TRIB_EMEMORY
               ? trib_error_set(error, status, "no memory to deal %zu rows", row_count)
               : status;
}

enum trib_status trib_partition_rows(const struct trib_env *env,
                                     const struct trib_partition *partition, const int32_t *labels,
                                     size_t row_count, uint32_t class_count, uint32_t client,
                                     uint32_t **rows, size_t *count, struct trib_error *error) {
    if (client >= partition->client_count) {
        return trib_error_set(error, TRIB_EINVALID, "client %u, but there are %u", client,
                              partition->client_count);
    }
    uint32_t *owners = trib_allocate(env, row_count, sizeof *owners);
    if (owners == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory to deal %zu rows", row_count);
    }
    enum trib_status status =
        trib_partition_owners(env, partition, labels, row_count, class_count, owners, error);
    if (status == TRIB_OK) {
        size_t own_count = 0;
        for (size_t row = 0; row < row_count; row++) {
            own_count += owners[row] == client;
        }
        uint32_t *own_rows = trib_allocate(env, own_count, sizeof *own_rows);
        if (own_rows == NULL) {
            status = trib_error_set(error, TRIB_EMEMORY, "no memory for %zu rows", own_count);
        } else {
            size_t next = 0;
            for (size_t row = 0; row < row_count; row++) {
                if (owners[row] == client) {
                    own_rows[next++] = (uint32_t)row;
                }
            }
            *rows = own_rows;
            *count = own_count;
        }
    }
    trib_release(env, owners, row_count, sizeof *owners);
    return status;
}

size_t trib_hold_out_count(size_t row_count, uint32_t percent) {
    if (percent == 0 || row_count < 2) {
        return 0;
    }
    const size_t count = row_count * percent / 100;
    return count == 0 ? 1 : count;
}

bool trib_hold_out_has(size_t row, size_t row_count, size_t held) {
    return (row + 1) * held / row_count > row * held / row_count;
}
