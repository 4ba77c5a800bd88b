/* tributary/client.h - take part in a Tributary run from any C or C++ program.
 *
 * Needs libc only (TLS comes through struct trib_transport). One client is one participant of one
 * run. Every call blocks, repeats what may be repeated (lost connections, 408, 429, 5xx) after
 * growing, jittered pauses, joins again when the daemon no longer knows its token, and returns
 * TRIB_CLIENT_OK or a reason whose text trib_client_error() has.
 * Thread: one thread per client handle, except for trib_client_interrupt() and
 * trib_client_release().
 *
 * The protocol behind it is docs/protocol.md. */
#ifndef TRIBUTARY_CLIENT_H
#define TRIBUTARY_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- results -------------------------------------------------------------------------------- */

enum trib_client_result {
    TRIB_CLIENT_OK = 0,
    TRIB_CLIENT_STOPPED = 1,     /* the run has ended: no more tasks will come */
    TRIB_CLIENT_REFUSED = 2,     /* the daemon said no; do not send the same again */
    TRIB_CLIENT_UNREACHABLE = 3, /* gave up after retry_for_s */
    TRIB_CLIENT_INVALID = 4,     /* an argument or a reply makes no sense */
    TRIB_CLIENT_MEMORY = 5,      /* memory or file descriptors have run out */
    TRIB_CLIENT_INTERRUPTED = 6  /* by trib_client_interrupt(); the call may be repeated */
};

/* --- opening -------------------------------------------------------------------------------- */

/* What connect below may return besides 0 and -1: trying again is of no use, because a certificate
 * is not trusted or a proxy says no. Opening then fails at once with TRIB_CLIENT_REFUSED. */
#define TRIB_CONNECT_REFUSED (-2)

/* How bytes reach the daemon: for TLS, or carriers of one's own. Calls block; a connection is used
 * by one thread at a time. */
struct trib_transport {
    void *context;
    /* Connect to host and port; *connection (not NULL) is passed to the others. host is a name, an
     * address without brackets or "unix:/path" (then port is ""). 0, or -1 (TRIB_CONNECT_REFUSED)
     * with text set. A proxy is the transport's own matter, and so is the pin of a link. */
    int (*connect)(void *context, const char *host, const char *port, void **connection, char *text,
                   size_t text_room);
    /* Bytes read or written (> 0), 0: closed by the peer, -1: failed or interrupted. A write that
     * cannot go on while there is something to read may end with -1: the daemon has refused. */
    long (*read)(void *context, void *connection, void *bytes, size_t count);
    long (*write)(void *context, void *connection, const void *bytes, size_t count);
    void (*close)(void *context, void *connection);
    /* Wait up to timeout_ms (0: only look) until read would not block: 1, or 0 when it still would,
     * -1: failed or interrupted. NULL: a silent daemon is waited for without end, and a refusal is
     * seen only when everything has been sent. */
    int (*wait)(void *context, void *connection, int timeout_ms);
};

struct trib_client_options {
    size_t size;            /* sizeof(struct trib_client_options) */
    const char *link;       /* trib://host:port/run#token, http(s)://host[:port]/prefix/run#token
                               or unix:/path/of/socket/run#token (updates of 1 MiB and more go
                               there as shared memory); the token may be missing. Those
                               with TLS may have ?pin=sha256:... before the # */
    const char *client;     /* id: 1 to 64 of [A-Za-z0-9._-], the first a letter or digit */
    const char *role;       /* "trainer" (NULL: trainer) or "evaluator" */
    const char *attributes; /* JSON object with up to 16 strings, numbers, true or false; NULL */
    double retry_for_s;     /* give up after so long without a useful answer; 0: 600 s */
    const struct trib_transport *transport; /* NULL: plain sockets, through HTTP_PROXY unless
                                               NO_PROXY names the host, and links that ask for TLS
                                               are TRIB_CLIENT_INVALID; borrowed until close */
    int joins_later; /* 0: open joins. 1: open sends nothing, and the first call that needs
                               it joins, or trib_client_join() */
};

struct trib_client;

/* The pin of a link: 64 hex digits, or "" when it has none. It is the SHA-256 of the public key
 * (DER of SubjectPublicKeyInfo) that the daemon's certificate must have; a transport of one's own
 * accepts that key and no other, whatever else the certificate says, or checks the certificate in
 * the usual way. TRIB_CLIENT_INVALID: it is no link. */
enum trib_client_result trib_client_pin(const char *link, char pin[65]);

/* Join the run; a daemon that is not there yet is waited for up to retry_for_s. On success *client
 * is the caller's (trib_client_close). On failure *client is NULL and text, if not NULL, says why
 * in at most text_room bytes. All texts of the options are copied. */
enum trib_client_result trib_client_open(const struct trib_client_options *options,
                                         struct trib_client **client, char *text, size_t text_room);
/* Join now, or again. Unlike open, it can be interrupted. */
enum trib_client_result trib_client_join(struct trib_client *client);
void trib_client_close(struct trib_client *client); /* NULL allowed */
/* Why the last call failed, or "" when it did not; valid until the next call. */
const char *trib_client_error(const struct trib_client *client);
/* Cut short the call in progress, or else the next one that has to wait. From any thread or signal
 * handler. A transport of one's own notices when its own call returns. */
void trib_client_interrupt(struct trib_client *client);

/* --- tasks ---------------------------------------------------------------------------------- */

enum trib_client_task_kind { TRIB_CLIENT_TRAIN = 1, TRIB_CLIENT_EVALUATE = 2 };

struct trib_client_task {
    enum trib_client_task_kind kind;
    char id[32];          /* "12.0" */
    uint64_t version;     /* the version to start from, or to evaluate */
    uint64_t global_step; /* versions made so far */
    double expected_by_s; /* advice: seconds from now; < 0: none */
    const char *settings; /* JSON object of the spec's `train`, completed by the strategy; valid
                             until the next call of next */
};

/* Wait for the next piece of work. TRIB_CLIENT_STOPPED when the run has ended. */
enum trib_client_result trib_client_next(struct trib_client *client, struct trib_client_task *task);
/* A number at the top of task->settings; fallback when it is absent or of another type. */
double trib_client_setting(const struct trib_client_task *task, const char *name, double fallback);

/* --- the model ------------------------------------------------------------------------------ */

struct trib_client_tensor {
    const char *name;
    float *values;          /* float32[element_count], row-major; the client's own copy */
    uint64_t element_count; /* product of the shape */
    uint32_t rank;
    uint64_t shape[8]; /* rank of them */
};

/* Fetch the task's version (no download when it is the one held already). Tensors come sorted by
 * name; `values` may be changed in place: that is how training happens. Valid until the next call
 * of model or close. On failure *tensors is NULL.
 * TRIB_CLIENT_REFUSED when the version is no longer kept: decline the task, or ask again. */
enum trib_client_result trib_client_model(struct trib_client *client,
                                          const struct trib_client_task *task,
                                          const struct trib_client_tensor **tensors,
                                          size_t *tensor_count);

struct trib_client_kept;

/* Keep the values of the tensors for longer: they stay where they are, and as they are but for the
 * caller's own changes, until the release, also after the next call of model, and after close.
 * NULL: there is no model. */
struct trib_client_kept *trib_client_keep(struct trib_client *client);
void trib_client_release(struct trib_client_kept *kept); /* NULL allowed. Thread: any */

/* Send what training changed: delta = values now - values fetched, of every tensor but those that
 * the task's settings list under "frozen" (the daemon adds that array of names when the spec
 * freezes tensors). Returns when the daemon has made it durable; a repeat after a lost connection
 * cannot count twice. TRIB_CLIENT_OK also when the run has moved on and no longer wants it: the
 * task is over either way. TRIB_CLIENT_INVALID before anything is sent when a value is NaN or
 * infinite.
 *
 * task      a train task whose model was fetched last.
 * examples  behind the update, 1 to 2^53.
 * metrics   JSON object of finite numbers, at most 32 and 1 KiB, or NULL. */
enum trib_client_result trib_client_submit(struct trib_client *client,
                                           const struct trib_client_task *task, uint64_t examples,
                                           const char *metrics);
/* The same with values that lie in the caller's own memory, so that they need not be copied:
 * values[i] is float32 of the shape of the i-th tensor of trib_client_model(), row-major, or NULL
 * to leave that tensor out (the daemon takes whole groups of tensors). Borrowed until return. */
enum trib_client_result trib_client_submit_values(struct trib_client *client,
                                                  const struct trib_client_task *task,
                                                  const float *const *values, uint64_t examples,
                                                  const char *metrics);
/* The same in two halves, for participants that keep something which must change exactly when the
 * update counts, such as SCAFFOLD's control variate: write down what would be sent and what would be
 * kept, send it, then settle. A process that finds such a note sends the same bytes again.
 *
 * pack: the update of the model fetched last into bytes[room]; *byte_count is its size, also when
 * that is more than room (then nothing is written; bytes may be NULL). */
enum trib_client_result trib_client_pack(struct trib_client *client,
                                         const struct trib_client_task *task, void *bytes,
                                         size_t room, size_t *byte_count);
enum trib_client_fate {
    TRIB_CLIENT_OPEN = 0,    /* nobody knows: send the same bytes again */
    TRIB_CLIENT_COUNTED = 1, /* durable; it counts once, if it did not before */
    TRIB_CLIENT_UNWANTED = 2 /* refused, dropped, or too late: it does not count and never will */
};
/* Send it. Of task only kind, id and version are looked at, so that it may be that of an earlier
 * process. *fate is set whatever the result is. */
enum trib_client_result trib_client_submit_packed(struct trib_client *client,
                                                  const struct trib_client_task *task,
                                                  uint64_t examples, const char *metrics,
                                                  const void *bytes, size_t byte_count,
                                                  enum trib_client_fate *fate);
/* Answer an evaluate task. metrics as above, at least one. */
enum trib_client_result trib_client_report(struct trib_client *client,
                                           const struct trib_client_task *task, uint64_t examples,
                                           const char *metrics);
/* Give a task back, so that another client may have it. reason: up to 95 plain characters for the
 * daemon's log, or NULL. */
enum trib_client_result trib_client_decline(struct trib_client *client,
                                            const struct trib_client_task *task,
                                            const char *reason);
/* Work on the task goes on: the daemon need not give its seat to another after the run's `lease`
 * (trib_client_lease_s()) of silence. Tried once, for it is asked again soon:
 * TRIB_CLIENT_UNREACHABLE is no reason to stop.
 *
 * done  share of the work, 0 to 1, for those who watch the run; < 0: not known. */
enum trib_client_result trib_client_renew(struct trib_client *client,
                                          const struct trib_client_task *task, double done);
/* Seconds, as the daemon said when the client joined; 0: not yet, or it did not. */
double trib_client_lease_s(const struct trib_client *client);

/* A whole participant, without an evaluator's tasks; my_training() changes the values and returns
 * its number of examples:
 *
 *     char text[256];
 *     struct trib_client_options options = {.size = sizeof options, .link = link, .client = "a"};
 *     struct trib_client *client;
 *     struct trib_client_task task;
 *     if (trib_client_open(&options, &client, text, sizeof text) != TRIB_CLIENT_OK)
 *         return 1;
 *     while (trib_client_next(client, &task) == TRIB_CLIENT_OK) {
 *         const struct trib_client_tensor *tensors;
 *         size_t count;
 *         if (trib_client_model(client, &task, &tensors, &count) == TRIB_CLIENT_OK)
 *             trib_client_submit(client, &task, my_training(tensors, count), "{\"loss\":0.3}");
 *     }
 *     trib_client_close(client);
 *     return 0;
 */

#ifdef __cplusplus
}
#endif

#endif
