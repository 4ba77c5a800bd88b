/* attempts.h - who has tried bad tokens lately: a bounded table of networks.
 *
 * A MAC of 256 bits is not found by trying; what is limited here is the noise of trying: log lines,
 * work, and operators who take a guesser for a broken client. So a limited network is told to come
 * back later for each further bad token, and its good tokens still work: nobody can lock out his
 * neighbours behind the same address. */
#ifndef TRIB_NODE_ATTEMPTS_H
#define TRIB_NODE_ATTEMPTS_H

#include "base/env.h"

#define TRIB_ATTEMPTS_MAX 20                    /* bad tokens per window */
#define TRIB_ATTEMPTS_WINDOW (60 * TRIB_SECOND) /* from the first of them */
#define TRIB_ATTEMPTS_NETWORKS 1024             /* when all are in use the oldest is forgotten */

/* All zero: empty. */
struct trib_attempts {
    struct trib_attempts_row {
        unsigned char network[16]; /* IPv4 mapped into IPv6; IPv6: its /64, as one site has */
        trib_time_ns since;
        uint32_t count;             /* 0: the row is free */
    } rows[TRIB_ATTEMPTS_NETWORKS]; /* private */
};

/* A bad token came from this peer ("192.0.2.7:50312", "[2001:db8::1]:50312"). Returns 0, or how many
 * seconds (at least 1) the network shall wait: it has had its share of this window. */
uint32_t trib_attempts_add(struct trib_attempts *attempts, const char *peer, trib_time_ns now);

#endif
