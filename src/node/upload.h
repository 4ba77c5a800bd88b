/* upload.h - one update's body on its way: from the first byte until it is folded.
 *
 *   receiving ---> checked ---> spooled ---> folded ---> counted
 *
 * Where the bytes are depends on the announced length, on what the budget has (node/lending.h), and on the run's durability:
 *
 *   small            a block                                     in memory until it is folded
 *   large, memory    chunks                                      in memory until it is folded
 *   large, spool     chunks, written to a body file as they fill
 *                    and kept in memory where the budget allows  on disk; in memory until it is folded
 *   else             chunks, written to a body file as they fill on disk
 *   handed over      a block (base/handover.h) that the client   in memory until it is folded; a large one that has to be
 *                    has filled                                  durable goes to a body file when it is checked
 *
 * "Small" is up to TRIB_UPLOAD_INLINE_BYTES. What goes to a file is digested by the same job, while it is in the cache. */
#ifndef TRIB_NODE_UPLOAD_H
#define TRIB_NODE_UPLOAD_H

#include "base/block.h"
#include "codec/codec.h"
#include "node/lending.h"
#include "run/run.h"
#include "store/spool.h"
#include "wire/documents.h"

#define TRIB_UPLOAD_INLINE_BYTES (UINT64_C(1) << 20)

struct trib_hosted;
struct trib_call;
struct trib_node;

struct trib_upload {
    struct trib_hosted *hosted;
    struct trib_call *call;        /* whoever sends it; NULL once the exchange has ended */
    struct trib_spool_entry entry; /* client, id, ...; decided fields from admission on */
    struct trib_update_head head;  /* from the headers, later joined with the metadata */
    bool is_compare;               /* the id is known: only the digest matters */
    uint64_t length;               /* announced; UINT64_MAX: chunked, nobody knows */
    bool is_handed;                /* as memory: no bytes are received */
    bool wants_receipt;            /* to be signed while it is checked */
    uint64_t byte_count;           /* received so far */

    uint64_t charged;              /* to the budget for bodies */
    uint64_t charge_wanted;        /* what it will be; 0: it does not stay in memory */
    struct trib_block *block;      /* small body, NULL until it is charged; or one handed over */
    unsigned char **kept;          /* [kept_max] chunks of a larger body that stays in memory */
    size_t kept_count, kept_max;   /* filled; all of them */
    struct trib_spool_body *file;  /* NULL: in memory only, or spooled */
    struct trib_digester digester; /* of the bytes that a worker has seen on their way */
    unsigned char *chunk;          /* being filled; NULL: none lent */
    size_t chunk_filled;
    trib_time_ns chunk_at;  /* when it was lent */
    unsigned char *writing; /* being digested and written by a worker */
    size_t writing_bytes;
    struct trib_parts *parts;               /* it is a part of this (parts.h); NULL: a whole body */
    uint64_t part_first, part_at, part_end; /* of the body: begins, is written up to, ends before */
    struct trib_upload *next_part;          /* of those that arrive */
    bool is_complete;                       /* the last byte has arrived */
    bool is_waiting;                        /* for memory, in a queue of its run (lending.h) */
    bool is_lent;                           /* a worker looks at the complete body */
    bool is_orphan;                         /* to be dropped when the worker reports */
    enum trib_want want;
    trib_time_ns waits_since;

    enum trib_status status; /* of the step that a worker does at the moment */
    struct trib_error error;
    bool is_head_wrong; /* the error is about headers or metadata, not about tensors */
    trib_slot slot;
    bool is_spooled; /* durable: entry.place is set */
    char *receipt;   /* signed on a worker, until it is told; NULL: none, or made when needed */
    bool is_settled; /* released from its slot */
    struct trib_upload *next; /* in the queue it stands in */
};

/* Start to take the body of `call`, whose head is being answered, into call->upload. False: the call has
 * been refused (no memory, the budget for bodies is used up, or no file). */
bool trib_upload_begin(struct trib_call *call, bool is_compare);
/* The same for a model that becomes version 0. */
bool trib_upload_begin_model(struct trib_call *call);
/* Forget an upload that the heart did not admit, or that has been folded and settled. */
void trib_upload_free(struct trib_upload *upload);

/* A body file of `bytes` (UINT64_MAX: nobody knows), for which there is room. (parts.c needs it, too.) */
enum trib_status trib_upload_begin_file(struct trib_hosted *hosted, uint64_t bytes,
                                        struct trib_spool_body **file, struct trib_error *error);

/* The server's lend() and filled(). */
void *trib_upload_lend(struct trib_upload *upload, size_t *room);
void trib_upload_filled(struct trib_upload *upload, size_t count);
/* The server's complete(): `ready` is called, at once or when the last chunk is in its file. upload->status says how it went. */
void trib_upload_complete(struct trib_upload *upload);

/* Once a second: while uploads wait, take chunks back from those that are slow to fill theirs, and
 * send those that have waited for long by way of the disk. */
void trib_upload_hurry(struct trib_node *node);

/* Is the complete body in memory? Else it is in its file, or in the spool. */
bool trib_upload_is_in_memory(const struct trib_upload *upload);
/* The bytes of a complete body that is in memory or in its file; borrows the upload. */
struct trib_source trib_upload_source(const struct trib_upload *upload);
/* The code on the wire for `error`. */
const char *trib_upload_error_code(const struct trib_upload *upload);
/* The signed receipt of an admitted update whose digest is known (node/signed.h), into text. */
const char *trib_upload_receipt(const struct trib_upload *upload, char *text);
/* The body is no longer needed in memory (or, not spooled, at all). */
void trib_upload_drop_body(struct trib_upload *upload);
/* upload->head from the headers and the body's own metadata; TRIB_EINVALID when they contradict
 * each other or something is missing (upload->error). Thread: a worker. (answers_updates.c) */
enum trib_status trib_upload_read_metadata(struct trib_upload *upload,
                                           const struct trib_update_metadata *found);
/* The complete body's SHA-256 (durability: memory: its fingerprint) into entry.digest: once. What was handed over and
 * has a body file is written there, too. Thread: a worker. */
enum trib_status trib_upload_digest(struct trib_upload *upload);

#endif
