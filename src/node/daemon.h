/* daemon.h - what the files of this room share of the daemon: configuration, loop, budgets, runs. */
#ifndef TRIB_NODE_DAEMON_H
#define TRIB_NODE_DAEMON_H

#include <stdatomic.h>

#include "node/attempts.h"
#include "node/call.h"
#include "node/hosted.h"
#include "node/lending.h"
#include "node/node.h"
#include "node/shares.h"
#include "node/signed.h"
#include "node/token.h"
#include "wire/refusals.h"

/* A run whose disk failed: closed, and opened again when the pause is over. */
struct trib_resting {
    char run[TRIB_NAME_BYTES];
    trib_time_ns retry_at;
    trib_time_ns pause; /* doubles with each attempt that fails */
    char reason[TRIB_ERROR_TEXT_BYTES];
};

struct trib_node {
    const struct trib_env *env;
    struct trib_node_config config; /* every default filled in; texts borrowed from the caller */
    struct trib_directory directory;
    struct trib_signature_key *ledger_key;       /* of receipts and heads */
    struct trib_fingerprint_key fingerprint_key; /* of bodies, where durability is memory */
    struct trib_loop *loop;
    struct trib_shares shares; /* of its workers, between runs */
    struct trib_server *server;
    struct trib_lending lending; /* memory for bodies, between runs */
    struct trib_timer *pulse;    /* once a second: keeps event streams awake, ends closed runs */
    struct trib_hosted *hosted[TRIB_RUNS_MAX];
    size_t hosted_count;
    struct trib_hosted *closing[TRIB_RUNS_MAX]; /* deleted runs whose jobs still run */
    size_t closing_count;
    struct trib_resting resting[TRIB_RUNS_MAX];
    size_t resting_count;
    struct trib_call *calls;      /* every exchange under way, newest first */
    unsigned char drain[1 << 16]; /* where bytes go that nobody wants, all connections' alike */
    uint64_t body_bytes;          /* charged to config.body_bytes_max */
    uint64_t model_bytes;         /* charged to config.model_bytes_max */
    char url[300];
    char admin_token[TRIB_TOKEN_TEXT_BYTES];
    trib_time_ns started_at;
    bool is_stopping;            /* no new work; connections are being ended */
    bool is_stopped;             /* no connection is left */
    _Atomic bool is_stop_wanted; /* trib_node_stop() was called */
    /* counters for /metrics */
    uint64_t updates_received, update_bytes_received, versions_published;
    uint64_t updates_handed; /* of those: as memory */
    struct trib_refusals refusals;
    uint64_t token_faults[TRIB_TOKEN_FAULT_COUNT];
    struct trib_attempts attempts; /* bad tokens */
};

/* NULL when there is no run of that name, or it rests. */
struct trib_hosted *trib_node_find(const struct trib_node *node, const char *run);
/* The daemon stops, or the run is being closed after a failure: ask again later. */
bool trib_node_is_closing(const struct trib_node *node, const char *run);
/* NULL when no run of that name rests. */
const struct trib_resting *trib_node_find_resting(const struct trib_node *node, const char *run);
/* Create a run from a spec document (directory, ledger, model by trainer or from another run). */
enum trib_status trib_node_create_run(struct trib_node *node, const struct trib_spec *spec,
                                      struct trib_error *error);
/* Stop hosting a run and remove its data once its jobs have ended. */
void trib_node_delete_run(struct trib_node *node, struct trib_hosted *hosted);
/* The link of a run with a token in it; text has TRIB_LINK_TEXT_BYTES of room. */
void trib_node_link(const struct trib_node *node, const struct trib_token *token, char *text);
trib_time_ns trib_node_now(const struct trib_node *node);
/* What is left of config.model_bytes_max. */
uint64_t trib_node_model_bytes_free(const struct trib_node *node);
/* Seconds since 1970, for records and logs. */
double trib_node_wall(const struct trib_node *node);

#endif
