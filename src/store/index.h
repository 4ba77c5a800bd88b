/* index.h - what the ledger says, made searchable: a SQLite file that may be lost at any time.
 *
 * The ledger is the truth. The index knows how many ledger records it has taken in; after open
 * the node feeds it the rest, and from record 0 when the file was missing, damaged or of another
 * layout (it is then deleted and empty). So nothing here is synced, and every put may be repeated:
 * it replaces the row of the same key.
 *
 * SQLite does its own I/O, therefore `path` is a real one. Texts handed to a visitor are borrowed
 * until it returns. Any call may answer TRIB_EIO, TRIB_EFULL, TRIB_EMEMORY or TRIB_ECORRUPT; after
 * TRIB_ECORRUPT call trib_index_rebuild() and replay the ledger.
 *
 * Thread: the caller serialises all calls on one index; visitors must not call into it. */
#ifndef TRIB_STORE_INDEX_H
#define TRIB_STORE_INDEX_H

#include "base/digest.h"
#include "base/env.h"
#include "base/name.h"
#include "base/status.h"

#define TRIB_INDEX_REASON_BYTES 160

struct trib_index;

enum trib_index_fate { TRIB_INDEX_COUNTED = 1, TRIB_INDEX_DROPPED = 2 };

struct trib_index_update { /* key: client, update */
    char client[TRIB_NAME_BYTES];
    char update[TRIB_NAME_BYTES];
    enum trib_index_fate fate;
    uint64_t version;                     /* counted in; 0 for dropped ones */
    char reason[TRIB_INDEX_REASON_BYTES]; /* "" for counted ones */
    struct trib_digest digest;            /* of the body */
    uint64_t weight;
    uint64_t staleness;
};

struct trib_index_version { /* key: version */
    uint64_t version;
    struct trib_digest digest;
    struct trib_digest parent; /* all zero for version 0 */
    uint64_t updates;          /* how many were counted in it */
    uint64_t weight;           /* their sum */
    uint64_t bytes;            /* received for it */
    double seconds;            /* from the version before to this one */
    double wall_s;             /* seconds since 1970, of its commit */
    const char *train;         /* JSON: means of the clients' metrics; never NULL when read */
    const char *evaluation;    /* JSON; NULL in a put: keep what is there; "" when read: none */
};

struct trib_index_evaluation { /* key: client, version */
    char client[TRIB_NAME_BYTES];
    char evaluation[TRIB_NAME_BYTES]; /* id, the client's own */
    uint64_t version;
    uint64_t examples;
    const char *metrics; /* JSON */
};

struct trib_index_client { /* key: client */
    char client[TRIB_NAME_BYTES];
    char role[16];
    const char *attributes; /* JSON */
    double joined_s;        /* seconds since 1970 */
};

/* Anything but TRIB_OK stops the walk and is returned by it. */
typedef enum trib_status trib_index_version_visit(void *context,
                                                  const struct trib_index_version *version);
typedef enum trib_status trib_index_evaluation_visit(
    void *context, const struct trib_index_evaluation *evaluation);
typedef enum trib_status trib_index_client_visit(void *context,
                                                 const struct trib_index_client *client);

/* *ledger_count: records taken in so far; feed it the others. On error *index is NULL. */
enum trib_status trib_index_open(const struct trib_env *env, const char *path,
                                 struct trib_index **index, uint64_t *ledger_count,
                                 struct trib_error *error);
void trib_index_close(struct trib_index *index); /* NULL allowed; an open batch is lost */

/* Drop everything, also a damaged file: as after an open that found nothing. Ends a batch. */
enum trib_status trib_index_rebuild(struct trib_index *index, struct trib_error *error);

/* A batch appears as a whole, together with the ledger count it brings the index to. Puts outside
 * a batch are allowed and slower. */
enum trib_status trib_index_begin(struct trib_index *index);
enum trib_status trib_index_commit(struct trib_index *index, uint64_t ledger_count);
void trib_index_rollback(struct trib_index *index); /* without a batch: nothing */

enum trib_status trib_index_put_update(struct trib_index *index,
                                       const struct trib_index_update *update);
/* TRIB_ENOTFOUND. */
enum trib_status trib_index_get_update(struct trib_index *index, const char *client,
                                       const char *update, struct trib_index_update *found);
/* How many updates have this fate. */
enum trib_status trib_index_count_updates(struct trib_index *index, enum trib_index_fate fate,
                                          uint64_t *count);

enum trib_status trib_index_put_version(struct trib_index *index,
                                        const struct trib_index_version *version);
/* The evaluation of a version that is there, JSON. TRIB_ENOTFOUND. */
enum trib_status trib_index_put_version_evaluation(struct trib_index *index, uint64_t version,
                                                   const char *evaluation);
/* The versions first .. last, ascending (one: first = last; all: 0, UINT64_MAX). */
enum trib_status trib_index_versions(struct trib_index *index, uint64_t first, uint64_t last,
                                     void *context, trib_index_version_visit *visit);

enum trib_status trib_index_put_evaluation(struct trib_index *index,
                                           const struct trib_index_evaluation *evaluation);
/* Those of one version, by client. */
enum trib_status trib_index_evaluations(struct trib_index *index, uint64_t version, void *context,
                                        trib_index_evaluation_visit *visit);

/* TRIB_ENOTFOUND. */
enum trib_status trib_index_has_evaluation(struct trib_index *index, uint64_t version,
                                           const char *client);

enum trib_status trib_index_put_client(struct trib_index *index,
                                       const struct trib_index_client *client);
/* client NULL: all, by the time of joining; otherwise that one, if there. */
enum trib_status trib_index_clients(struct trib_index *index, const char *client, void *context,
                                    trib_index_client_visit *visit);
/* Those whose names come after this one bytewise ("": all), by name. */
enum trib_status trib_index_clients_after(struct trib_index *index, const char *client,
                                          void *context, trib_index_client_visit *visit);

#endif
