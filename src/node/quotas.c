/* quotas.c - how much each client of a run has sent within its hour (`limits` of the spec). */
#include "node/quotas.h"

#include <string.h>

#define HOUR (3600 * TRIB_SECOND)

struct trib_quotas_row {
    trib_time_ns since;
    uint64_t updates, bytes;
};

void trib_quotas_init(struct trib_quotas *quotas, const struct trib_env *env) {
    memset(quotas, 0, sizeof *quotas);
    quotas->env = env;
    trib_map_init(&quotas->map, env);
}

void trib_quotas_deinit(struct trib_quotas *quotas) {
    if (quotas->env != NULL) {
        trib_release(quotas->env, quotas->rows, quotas->capacity, sizeof *quotas->rows);
    }
    trib_map_deinit(&quotas->map);
}

static struct trib_quotas_row *find(const struct trib_quotas *quotas, const char *client) {
    uint64_t index;
    return trib_map_get(&quotas->map, client, strlen(client), &index) ? &quotas->rows[index] : NULL;
}

/* NULL: no memory. */
static struct trib_quotas_row *add(struct trib_quotas *quotas, const char *client,
                                   trib_time_ns now) {
    if (quotas->row_count == quotas->capacity) {
        size_t capacity = quotas->capacity == 0 ? 16 : 2 * quotas->capacity;
        struct trib_quotas_row *rows =
            trib_regrow(quotas->env, quotas->rows, quotas->capacity, capacity, sizeof *rows);
        if (rows == NULL) {
            return NULL;
        }
        quotas->rows = rows;
        quotas->capacity = capacity;
    }
    if (!trib_map_put(&quotas->map, client, strlen(client), quotas->row_count)) {
        return NULL;
    }
    struct trib_quotas_row *row = &quotas->rows[quotas->row_count++];
    *row = (struct trib_quotas_row){.since = now};
    return row;
}

static bool has_room(const struct trib_quotas_row *row, const struct trib_spec_limits *limits,
                     uint64_t bytes) {
    uint64_t most = limits->client_bytes_per_hour;
    bool has_updates =
        limits->client_updates_per_hour == 0 || row->updates < limits->client_updates_per_hour;
    return has_updates && (most == 0 || (row->bytes <= most && bytes <= most - row->bytes));
}

uint32_t trib_quotas_take(struct trib_quotas *quotas, const struct trib_spec_limits *limits,
                          const char *client, uint64_t bytes, trib_time_ns now) {
    if (limits->client_updates_per_hour == 0 && limits->client_bytes_per_hour == 0) {
        return 0;
    }
    struct trib_quotas_row *row = find(quotas, client);
    row = row == NULL ? add(quotas, client, now) : row;
    if (row == NULL) {
        return 1;
    }
    if (now - row->since >= HOUR) {
        *row = (struct trib_quotas_row){.since = now};
    }
    if (!has_room(row, limits, bytes)) {
        return (uint32_t)((row->since + HOUR - now + TRIB_SECOND - 1) / TRIB_SECOND);
    }
    row->updates++;
    row->bytes += bytes;
    return 0;
}

void trib_quotas_add(struct trib_quotas *quotas, const char *client, uint64_t bytes) {
    struct trib_quotas_row *row = find(quotas, client);
    if (row != NULL) {
        row->bytes += bytes;
    }
}
