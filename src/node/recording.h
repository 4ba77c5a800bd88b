/* recording.h - the one writer of a run's ledger: documents become durable in the order they were asked for.
 *
 * As many records as have gathered share one sync; the synced record is the commit point. A version
 * brings its checkpoint, which is written first. Afterwards the index takes the same documents in, and whoever
 * waits is answered: the heart with an event, a call with its reply. */
#ifndef TRIB_NODE_RECORDING_H
#define TRIB_NODE_RECORDING_H

#include <jansson.h>

#include "node/hosted.h"
#include "node/pruning.h"

enum trib_record_reply {
    TRIB_RECORD_REPLY_NONE,      /* nobody waits */
    TRIB_RECORD_REPLY_MODEL,     /* MODEL: version 0 */
    TRIB_RECORD_REPLY_PERSISTED, /* PERSISTED */
    TRIB_RECORD_REPLY_RECORDED,  /* RECORDED */
    TRIB_RECORD_REPLY_CALL,      /* the call that asked for the record is answered */
    TRIB_RECORD_REPLY_HEAD,      /* nothing is written: the call wants the ledger's head, signed */
    TRIB_RECORD_REPLY_READ,      /* nothing is written: the call wants to read the ledger */
    TRIB_RECORD_REPLY_FLUSH,     /* nothing is written but the tape, as before every record */
};

struct trib_record {
    struct trib_hosted *hosted;
    enum trib_record_reply reply;
    json_t *document;               /* owned */
    uint64_t number;                /* RECORDED: of the effect */
    trib_version version;           /* MODEL, PERSISTED */
    bool is_checkpoint;             /* write version and state first */
    const struct trib_block *block; /* of the version; borrowed from the model; NULL: the draft */
    struct trib_upload **uploads;   /* counted in the version, sorted by client, then id */
    size_t upload_count;
    const struct trib_upload *combined; /* what the version was made of instead; NULL: of these */
    struct trib_call *call;             /* CALL, HEAD, READ: who waits; NULL: has gone */
    json_t *answer;                     /* CALL: owned; NULL: 204 */
    int answer_status;                  /* of `answer` */
    struct trib_text text;              /* HEAD: JSON; READ: JSON lines */
    uint64_t from;                      /* READ: first record wanted */
    struct trib_pruning pruning;        /* of a version with a checkpoint */
    enum trib_status status;            /* not TRIB_OK before it is queued: it cannot be written */
    struct trib_record *next;
};

/* Put a value (taken) into its document. One that memory runs out for is not written at all: what
 * lacks a part would be a lie. */
void trib_record_put(struct trib_record *record, const char *key, json_t *value);
/* Queue a record that the caller made (record.c); it is freed when it has been answered. */
void trib_recording_add(struct trib_record *record);
/* Write the tape (tape.h) soon, if there is nothing to record. */
void trib_recording_flush(struct trib_hosted *hosted);
/* Give back one that is not queued. NULL allowed. */
void trib_recording_forgo(struct trib_record *record);
/* The call that waits for it has gone. */
void trib_record_forget_call(struct trib_record *record);
/* Write one document to the ledger, without syncing. Thread: the recording job, or before there is one. */
enum trib_status trib_record_append(struct trib_hosted *hosted, const json_t *document);
/* Of updates in a record: a document for each, in their order; NULL: no memory. */
json_t *trib_record_counted(struct trib_upload *const *uploads, size_t count);

/* A reader is answered with at most so many records. */
#define TRIB_RECORDS_READ_MAX 1000

#endif
