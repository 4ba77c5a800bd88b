/* record.h - what the ledger says: JSON records, one writer, and their way into the index.
 *
 *   {"type": "run", "spec": {...}}                                        the first record
 *   {"type": "version", "version": n, "model": sha256, "state": sha256, "updates": [{"client", "update", "base",
 *    "staleness", "weight", "examples", "digest"}...], "weight", "bytes", "seconds", "train": {metrics}, "checkpoint": bool, "time"}
 *   {"type": "state", "state": "paused", "reason", "dropped": [{"client", "update", "digest"}...], "time"}
 *   {"type": "client", "client", "role", "attributes", "time"}            joined, or other attributes
 *   {"type": "token", "scope", "subject", "serial", "expires", "time"}    was made (not the token itself)
 *   {"type": "revoked", "serial" or "client", "time"}                     is honoured no more
 *   {"type": "evaluation", "client", "evaluation", "version", "examples", "metrics", "time"}
 *
 * What somebody asked for with a token also says "by" whom: trib_token_who().
 * The synced record is the commit point. Records are written in the order they were asked for, as many per
 * sync as have gathered. */
#ifndef TRIB_NODE_RECORD_H
#define TRIB_NODE_RECORD_H

#include <jansson.h>

#include "node/hosted.h"

enum trib_record_reply {
    TRIB_RECORD_REPLY_MODEL,     /* MODEL: version 0 */
    TRIB_RECORD_REPLY_PERSISTED, /* PERSISTED */
    TRIB_RECORD_REPLY_RECORDED,  /* RECORDED */
    TRIB_RECORD_REPLY_CALL,      /* the call that asked for the record is answered */
    TRIB_RECORD_REPLY_HEAD,      /* nothing is written: the call wants the ledger's head, signed */
    TRIB_RECORD_REPLY_READ,      /* nothing is written: the call wants to read the ledger */
};

struct trib_record {
    struct trib_hosted *hosted;
    enum trib_record_reply reply;
    json_t *document;               /* owned */
    uint64_t number;                /* RECORDED: of the effect */
    trib_version version;           /* MODEL, PERSISTED */
    bool is_checkpoint;             /* write version and state first */
    const struct trib_block *block; /* of the version; borrowed from the model */
    struct trib_upload **uploads;   /* counted in the version, sorted by client, then id */
    size_t upload_count;
    struct trib_call *call; /* CALL, HEAD, READ: who waits; NULL: has gone */
    json_t *answer;         /* CALL: owned; NULL: 204 */
    int answer_status;      /* of `answer` */
    struct trib_text text;  /* HEAD: JSON; READ: JSON lines */
    uint64_t from;          /* READ: first record wanted */
    bool has_best;          /* when the record was asked for: for retention */
    trib_version best;
    enum trib_status status;
    struct trib_record *next;
};

/* PERSIST: the merged version with its buffer. */
void trib_record_version(struct trib_hosted *hosted, trib_version version);
/* Version 0 has been taken in: model.current. call: whose model it is; NULL: the spec's. */
void trib_record_first_version(struct trib_hosted *hosted, const struct trib_call *call);
/* RECORD of a state change (call: who wants it; NULL: nobody did) or an evaluation (whose document
 * the call has). */
void trib_record_state(struct trib_hosted *hosted, const struct trib_effect *effect,
                       const struct trib_call *call);
void trib_record_evaluation(struct trib_hosted *hosted, const struct trib_effect *effect,
                            const struct trib_call *call);

/* Record what a call asks for (takes document; "by" and "time" are added), then answer the call:
 * 201 with `answer` (takes it), or 204 when that is NULL. */
void trib_record_for_call(struct trib_hosted *hosted, struct trib_call *call, json_t *document,
                          json_t *answer);

/* A client joined: recorded unless it is known just so, then answered with 200 and `answer` (takes
 * it). Told sooner, it could come with its token after a crash and be unknown. */
void trib_record_client(struct trib_hosted *hosted, struct trib_call *call, json_t *answer);

/* Answer the call with records from target.from on, between two writes: the ledger has one user at a time. At most
 * TRIB_RECORDS_READ_MAX lines; the reader goes on with `from`. */
#define TRIB_RECORDS_READ_MAX 1000
void trib_record_read(struct trib_hosted *hosted, struct trib_call *call);
/* Answer the call with the signed head of the ledger, between two writes. */
void trib_record_read_head(struct trib_hosted *hosted, struct trib_call *call);
void trib_record_forget_call(struct trib_record *record);

/* Write one document to the ledger, without syncing. Thread: the recording job, or before there is one. */
enum trib_status trib_record_append(struct trib_hosted *hosted, const json_t *document);
/* Take one record into the index; live and on replay alike. */
enum trib_status trib_record_index(struct trib_index *index, const json_t *document);

/* One counted update of a version record; false when the element is not one. */
struct trib_counted {
    const char *client, *update; /* borrowed from the document */
    uint64_t base, staleness, weight, examples;
    struct trib_digest digest;
};
bool trib_counted_read(const json_t *element, struct trib_counted *counted);
/* A member that is a whole number >= 0; 0 when it is not there. */
uint64_t trib_record_number(const json_t *document, const char *key);
bool trib_record_digest(const json_t *document, const char *key, struct trib_digest *digest);
/* "version"; "" when there is none. */
const char *trib_record_type(const json_t *document);

#endif
