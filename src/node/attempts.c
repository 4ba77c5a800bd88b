/* attempts.c - who has tried bad tokens lately: a bounded table of networks. */
#include "node/attempts.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* The network of a peer; all zero for whatever is no address. */
static void network_of(const char *peer, unsigned char network[16]) {
    static const unsigned char mapped[12] = {
        [10] = 0xff, [11] = 0xff}; /* RFC 4291 section 2.5.5.2 */
    char host[64];
    bool is_bracketed = peer[0] == '[';
    const char *start = peer + (is_bracketed ? 1 : 0);
    (void)snprintf(host, sizeof host, "%.*s", (int)strcspn(start, is_bracketed ? "]" : ":"), start);
    memset(network, 0, 16);
    if (inet_pton(AF_INET, host, network + 12) == 1) {
        memcpy(network, mapped, sizeof mapped);
    } else if (inet_pton(AF_INET6, host, network) == 1 &&
               memcmp(network, mapped, sizeof mapped) != 0) {
        memset(network + 8, 0, 8);
    }
}

static bool is_over(const struct trib_attempts_row *row, trib_time_ns now) {
    return row->count == 0 || now - row->since >= TRIB_ATTEMPTS_WINDOW;
}

/* The row of this network, or else a free one, or the oldest. */
static struct trib_attempts_row *choose_row(struct trib_attempts *attempts,
                                            const unsigned char network[16], trib_time_ns now) {
    struct trib_attempts_row *chosen = &attempts->rows[0];
    for (size_t i = 0; i < TRIB_ATTEMPTS_NETWORKS; i++) {
        struct trib_attempts_row *row = &attempts->rows[i];
        if (row->count > 0 && memcmp(row->network, network, 16) == 0) {
            return row;
        }
        bool is_better = chosen->count > 0 && (row->count == 0 || row->since < chosen->since);
        chosen = is_better ? row : chosen;
    }
    (void)memcpy(chosen->network, network, 16);
    chosen->count = 0;
    chosen->since = now;
    return chosen;
}

uint32_t trib_attempts_add(struct trib_attempts *attempts, const char *peer, trib_time_ns now) {
    unsigned char network[16];
    network_of(peer, network);
    struct trib_attempts_row *row = choose_row(attempts, network, now);
    if (is_over(row, now)) {
        row->since = now;
        row->count = 0;
    }
    if (row->count < TRIB_ATTEMPTS_MAX) {
        row->count++;
        return 0;
    }
    trib_time_ns left = row->since + TRIB_ATTEMPTS_WINDOW - now;
    return (uint32_t)((left + TRIB_SECOND - 1) / TRIB_SECOND);
}
