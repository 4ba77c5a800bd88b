/* tributary/client.h - take part in a Tributary run from any C or C++ program.
 *
 * Needs libc only (TLS comes through struct trib_transport). One client is one participant of one run;
 * every call blocks, retries what may be retried (lost connections, 429, 503) with growing,
 * jittered pauses, and returns TRIB_CLIENT_OK or a reason whose text trib_client_error() has. A call may be cut short from another
 * thread or a signal handler by trib_client_interrupt().
 * Thread: one thread per client handle, except for trib_client_interrupt().
 *
 * The protocol behind it is docs/protocol.md. */
#ifndef TRIBUTARY_CLIENT_H
#define TRIBUTARY_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- results ------------------------------------------------------------------------------- */

enum trib_client_result {
    TRIB_CLIENT_OK = 0,
    TRIB_CLIENT_STOPPED = 1,     /* the run has ended: no more tasks will come */
    TRIB_CLIENT_REFUSED = 2,     /* the daemon said no; do not send the same again */
    TRIB_CLIENT_UNREACHABLE = 3, /* gave up after retry_for_s */
    TRIB_CLIENT_INVALID = 4,     /* an argument or a reply makes no sense */
    TRIB_CLIENT_MEMORY = 5,
    TRIB_CLIENT_INTERRUPTED = 6
};

/* --- opening ------------------------------------------------------------------------------- */

/* How bytes reach the daemon, for TLS or other carriers. NULL slots of options.transport: plain TCP or a Unix socket. */
struct trib_transport {
    void *context;
    /* Connect to host and port; *connection is passed to the others. 0, or -1 with text set. */
    int (*connect)(void *context, const char *host, const char *port, void **connection,
                   char *text, size_t text_room);
    /* Bytes read or written (> 0), 0: closed by the peer, -1: failed or interrupted. */
    long (*read)(void *context, void *connection, void *bytes, size_t count);
    long (*write)(void *context, void *connection, const void *bytes, size_t count);
    void (*close)(void *context, void *connection);
};

struct trib_client_options {
    size_t size;             /* sizeof(struct trib_client_options) */
    const char *link;        /* trib://host:port/run#token or http(s)://host[:port]/prefix/run#token */
    const char *client;      /* id: 1 to 64 of [A-Za-z0-9._-], the first a letter or digit */
    const char *role;        /* "trainer" (NULL: trainer) or "evaluator" */
    const char *attributes;  /* JSON object with up to 16 strings or numbers, or NULL */
    double retry_for_s;      /* give up after so long without an answer; 0: 600 s */
    const struct trib_transport *transport; /* NULL: plain sockets; borrowed for the client's life */
};

struct trib_client;

/* Join the run. On success *client is the caller's (trib_client_close). On failure *client is NULL and text, if
 * not NULL, says why in at most text_room bytes. */
enum trib_client_result trib_client_open(const struct trib_client_options *options,
                                         struct trib_client **client, char *text,
                                         size_t text_room);
void trib_client_close(struct trib_client *client); /* NULL allowed */
const char *trib_client_error(const struct trib_client *client); /* of the last failed call */
void trib_client_interrupt(struct trib_client *client); /* async-signal-safe */

/* --- tasks ---------------------------------------------------------------------------------- */

enum trib_client_task_kind { TRIB_CLIENT_TRAIN = 1, TRIB_CLIENT_EVALUATE = 2 };

struct trib_client_task {
    enum trib_client_task_kind kind;
    char id[32];             /* "12.0" */
    uint64_t version;        /* the version to start from, or to evaluate */
    uint64_t global_step;    /* versions made so far */
    double expected_by_s;    /* advice: seconds from now; < 0: none */
    const char *settings;    /* JSON object of the spec's `train`; valid until the next call of next */
};

/* Wait for the next piece of work. TRIB_CLIENT_STOPPED when the run has ended. */
enum trib_client_result trib_client_next(struct trib_client *client,
                                         struct trib_client_task *task);
/* A number or text from task->settings; the fallback when it is absent or of another type. */
double trib_client_setting(const struct trib_client_task *task, const char *name,
                           double fallback);

/* --- the model -------------------------------------------------------------------------------- */

struct trib_client_tensor {
    const char *name;
    float *values;           /* float32[element_count]; in the client's own copy of the model */
    uint64_t element_count;
    uint32_t rank;
    uint64_t shape[8];
};

/* Fetch the task's version (from memory when it is the one held already). Tensors come sorted by
 * name; `values` may be changed in place: that is how training happens. Valid until the next call of
 * model or close. */
enum trib_client_result trib_client_model(struct trib_client *client,
                                          const struct trib_client_task *task,
                                          const struct trib_client_tensor **tensors,
                                          size_t *tensor_count);
/* Send what training changed: delta = values now - values fetched. Returns when the daemon has made it durable; a repeat
 * after a lost connection cannot count twice. metrics: JSON object of finite numbers, or NULL. */
enum trib_client_result trib_client_submit(struct trib_client *client,
                                           const struct trib_client_task *task,
                                           uint64_t examples, const char *metrics);
/* Answer an evaluate task. metrics: JSON object of finite numbers. */
enum trib_client_result trib_client_report(struct trib_client *client,
                                           const struct trib_client_task *task,
                                           uint64_t examples, const char *metrics);
enum trib_client_result trib_client_decline(struct trib_client *client,
                                            const struct trib_client_task *task,
                                            const char *reason);

/* A whole participant:
 *
 *     struct trib_client *client;
 *     struct trib_client_options options = {.size = sizeof options, .link = link, .client = "dev-1"};
 *     if (trib_client_open(&options, &client, text, sizeof text) != TRIB_CLIENT_OK) ...
 *     struct trib_client_task task;
 *     while (trib_client_next(client, &task) == TRIB_CLIENT_OK) {
 *         const struct trib_client_tensor *tensors;
 *         size_t count;
 *         trib_client_model(client, &task, &tensors, &count);
 *         ... change tensors[i].values ...
 *         trib_client_submit(client, &task, examples, "{\"loss\":0.3}");
 *     }
 *     trib_client_close(client);
 */

#ifdef __cplusplus
}
#endif

#endif
