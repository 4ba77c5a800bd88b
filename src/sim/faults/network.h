/* network.h - how the clients of a world reach the daemon, and what the network does to them.
 *
 * A request arrives late, in pieces, in part or not at all; its answer too. Whoever sent it hears
 * exactly once: an answer, or that the connection was lost, which may mean anything. */
#ifndef TRIB_SIM_FAULTS_NETWORK_H
#define TRIB_SIM_FAULTS_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"

/* What the judge is to look at in the answer. */
enum network_purpose {
    NETWORK_OTHER,
    NETWORK_CREATE,
    NETWORK_MODEL_PUT,
    NETWORK_MODEL_GET,
    NETWORK_TASK,
    NETWORK_UPDATE_PUT,
    NETWORK_UPDATE_GET,
    NETWORK_EVALUATION,
    NETWORK_CONTROL,
    NETWORK_STATUS,
    NETWORK_JOIN,
    NETWORK_REVOKE,
    NETWORK_CHANGE,
    NETWORK_OFFER,
    NETWORK_OFFER_UPDATE,
    NETWORK_COMBINE,
};

struct network_request {
    enum network_purpose purpose;
    const char *method;
    char target[256];
    char token[256];          /* "": none */
    const char *content_type; /* NULL: none */
    char fields[512];         /* more header lines, each with CRLF */
    const void *body;         /* borrowed until the answer */
    size_t body_bytes;
    bool has_body;
    bool is_chunked;
    /* for the judge */
    const char *client; /* borrowed for the life of the world */
    char id[64];
    size_t sent; /* UPDATE_PUT: index of what was sent; COMBINE: likewise (offers.h) */
    const char *run;
    bool is_dead; /* its token was revoked before it arrived; filled in */
};

struct network_answer {
    int status; /* 0: the connection was lost */
    const unsigned char *body;
    size_t body_bytes;
    char etag[80];    /* with its quotes; "": none */
    uint64_t version; /* Tributary-Model-Version */
    bool has_version;
};

typedef void network_answered(void *context, const struct network_answer *answer);

/* answered: never called from inside. */
void network_send(const struct network_request *request, network_answered *answered, void *context);
/* Nothing of this client gets through, either way, for so long. One at a time. */
void network_cut_off(const char *client, trib_time_ns duration);
/* Requests that have not been answered. */
uint64_t network_under_way(void);

#endif
