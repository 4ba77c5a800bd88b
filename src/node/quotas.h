/* quotas.h - how much each client of a run has sent within its hour (`limits` of the spec).
 *
 * An hour begins with the first update after the last one has ended; so a client that is refused
 * is told exactly when it may go on. What counts is what is sent, repeats too: they cost the
 * same. Kept in memory only: a restart begins new hours. */
#ifndef TRIB_NODE_QUOTAS_H
#define TRIB_NODE_QUOTAS_H

#include "base/map.h"
#include "run/spec.h"

struct trib_quotas {
    const struct trib_env *env;   /* private */
    struct trib_map map;          /* private: client -> index of rows */
    struct trib_quotas_row *rows; /* private */
    size_t row_count, capacity;   /* private */
};

void trib_quotas_init(struct trib_quotas *quotas, const struct trib_env *env);
void trib_quotas_deinit(struct trib_quotas *quotas); /* all-zero is safe */

/* May this client send one more update, of so many bytes as far as known? It is counted if it may.
 * Returns 0, or how many seconds (at least 1) it shall wait; also when memory is out. Without
 * limits nothing is kept. clients: those that have joined, whose number the run bounds. */
uint32_t trib_quotas_take(struct trib_quotas *quotas, const struct trib_spec_limits *limits,
                          const char *client, uint64_t bytes, trib_time_ns now);
/* Bytes that had not been announced have come. */
void trib_quotas_add(struct trib_quotas *quotas, const char *client, uint64_t bytes);

#endif
