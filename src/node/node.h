/* node.h - the daemon: one data directory, one event loop, many runs.
 *
 * Memory is bounded by the configuration: bodies that are in memory are charged to body_bytes_max, others stream through
 * chunk_count_max chunks of 256 KiB, models are charged to model_bytes_max. What does not fit waits or gets 503. */
#ifndef TRIB_NODE_NODE_H
#define TRIB_NODE_NODE_H

#include "base/block.h"
#include "base/pool.h"
#include "net/server.h"
#include "run/spec.h"
#include "store/directory.h"

#define TRIB_LISTEN_MAX 8
#define TRIB_RUNS_MAX 256
#define TRIB_CHUNK_BYTES ((size_t)256 << 10)

/* Makes the first version of a run whose spec says {trainer: ...}; given by the program that knows trainers. Called on a
 * worker thread. *model is a sealed block with a safetensors file. */
typedef enum trib_status trib_create_model(void *context, const struct trib_env *env,
                                           const struct trib_spec *spec, struct trib_block **model,
                                           struct trib_error *error);

/* Zero or NULL means the default. */
struct trib_node_config {
    const char *data_dir;                /* required */
    const char *listen[TRIB_LISTEN_MAX]; /* default "127.0.0.1:7700"; net/server.h has the forms */
    const char *host_names[TRIB_LISTEN_MAX]; /* further values of Host that are ours */
    const char *public_url;       /* what join links say; default from the first address */
    const char *certificate_file; /* PEM; needed beyond loopback unless is_insecure */
    const char *key_file;
    const char *client_ca_file;      /* PEM; then TLS clients need a certificate signed by it */
    bool is_insecure;                /* plain text beyond loopback, said out loud */
    uint64_t body_bytes_max;         /* bodies in memory; default 256 MiB */
    size_t chunk_count_max;          /* chunks on the way to files; default 256 (64 MiB) */
    uint64_t model_bytes_max;        /* all models with their sums; default 8 GiB */
    size_t connections_max;          /* default 4096 */
    unsigned worker_count;           /* threads for one run; all get one more; default 4 */
    trib_time_ns idle_after;         /* the idle rule; default 30 s */
    uint64_t idle_bytes;             /* default 1 KiB */
    trib_create_model *create_model; /* NULL: specs with {trainer: ...} are refused */
    void *create_model_context;
};

struct trib_node;

/* Open the data directory, restore every run, listen. On error *node is NULL and error says what
 * to do about it. */
enum trib_status trib_node_new(const struct trib_env *env, const struct trib_node_config *config,
                               struct trib_node **node, struct trib_error *error);
/* Serve until trib_node_stop() or SIGTERM or SIGINT: finish what is being answered, at most 5 s.
 * SIGHUP: read the certificate files again. TRIB_OK; blocks. */
enum trib_status trib_node_run(struct trib_node *node);
void trib_node_stop(struct trib_node *node); /* any thread */
void trib_node_free(struct trib_node *node); /* NULL allowed; not while running */

/* "http://127.0.0.1:7700", for people and the ready file. */
const char *trib_node_url(const struct trib_node *node);

#endif
