/* spool.h - updates on their way to be counted: durable before they are acknowledged.
 *
 * An update is an entry in an append-only segment; a small body lies in the segment too, a large
 * one in a file of its own that is written while it arrives. Commit is in groups:
 *
 *     trib_spool_append(...) for each finished update     nothing is promised yet
 *     trib_spool_sync(...)   once                         TRIB_OK: all of them are durable
 *                                                         error:   none of them is
 *
 * On a failed write or sync the segment is abandoned where it was last synced, and a fresh one is
 * started whose header says where the old one ends: an entry that was reported as failed cannot
 * come back once a later one has been acknowledged. (If the disk refuses the fresh segment too
 * and the process dies before another try, a failed entry that had reached the disk whole comes
 * back on open; the client's retry then meets its own update.)
 *
 * Entries never change. Release is remembered in memory only: after a restart every entry whose
 * segment is still there is visited again and the caller, who has the ledger, releases again.
 *
 * Thread: append, sync, release and the counters: one caller at a time (the commit job).
 * trib_spool_body_*: one caller per body, any number of bodies on any threads, at any time.
 * trib_spool_read_*: any thread, at any time, also while the commit job appends: readers open
 * files of their own. Only release must not race with a reader of the same entry. */
#ifndef TRIB_STORE_SPOOL_H
#define TRIB_STORE_SPOOL_H

#include "base/digest.h"
#include "base/files.h"
#include "base/name.h"
#include "tensor/source.h"

#define TRIB_SPOOL_METRICS_BYTES 1025 /* with the NUL */
#define TRIB_SPOOL_CODEC_BYTES 32
#define TRIB_SPOOL_REASON_BYTES 160

struct trib_spool;
struct trib_spool_body; /* a large body while it arrives */

enum trib_spool_kind {
    TRIB_SPOOL_UPDATE = 1,
    TRIB_SPOOL_DROP = 2, /* a marker: this client's update will not be counted, with the reason */
    TRIB_SPOOL_COMBINED = 3, /* what an external combiner has made of the updates of a version */
};

/* Where an entry lies; small, the caller keeps it for reading and release. */
struct trib_spool_place {
    uint64_t segment;     /* with offset: unique and ascending in the life of the run */
    uint64_t offset;      /* of the entry in the segment */
    uint64_t body_offset; /* in the segment, or 0 in a body file */
    uint64_t body_bytes;  /* 0 for markers */
    uint64_t body_number; /* 0: in the segment; else <n>.body */
    bool is_body_missing; /* found on open: released earlier, or its group failed; not readable */
};

/* What was decided at admission, never recomputed. */
struct trib_spool_entry {
    enum trib_spool_kind kind;
    char client[TRIB_NAME_BYTES];
    char update[TRIB_NAME_BYTES]; /* id, the client's own */
    uint64_t base;                /* version the client started from */
    uint64_t target;              /* version it will be counted in */
    uint64_t staleness;           /* versions */
    uint64_t weight;              /* integer units of the run */
    uint64_t examples;
    struct trib_digest digest; /* SHA-256 of the body */
    char codec[TRIB_SPOOL_CODEC_BYTES];
    char metrics[TRIB_SPOOL_METRICS_BYTES]; /* JSON text or "" */
    char reason[TRIB_SPOOL_REASON_BYTES];   /* markers: why; "" for updates */
    double wall_s;                          /* seconds since 1970, of the admission */
    struct trib_spool_place place;          /* set by append */
};

struct trib_spool_options {
    uint64_t segment_bytes;    /* start a new segment at this size; 0 = 64 MiB */
    uint64_t inline_bytes_max; /* larger bodies need a file; 0 = 1 MiB, at most 32 MiB */
    uint64_t bytes_max;        /* quota for everything in the folder; 0 = none */
};

struct trib_spool_report { /* what open had to mend */
    uint64_t torn_bytes;   /* cut from the end of the last segment */
    uint64_t orphan_count; /* body files without an entry, removed */
};

/* An entry found on open, in the order of their append. Anything but TRIB_OK stops the open. */
typedef enum trib_status trib_spool_visit(void *context, const struct trib_spool_entry *entry);

/* Open the folder `path` (it must exist), check every segment, visit the entries. options and
 * report may be NULL. On error *spool is NULL. TRIB_ECORRUPT: error says which file and where. */
enum trib_status trib_spool_open(const struct trib_env *env, const struct trib_files *files,
                                 const char *path, const struct trib_spool_options *options,
                                 struct trib_spool **spool, struct trib_spool_report *report,
                                 struct trib_error *error, void *context, trib_spool_visit *visit);
/* NULL allowed; bodies must be gone, readers closed; unsynced entries are lost. */
void trib_spool_close(struct trib_spool *spool);

/* ---- commit ---- */

/* Enter one update or marker. body: its bytes when they are small (NULL: none, or in `file`);
 * file: its finished body file (else NULL). entry->place is set.
 * TRIB_ELIMIT: body over inline_bytes_max; TRIB_EINVALID: a name is not valid or a text does not
 * end; TRIB_EFULL: quota or disk; TRIB_EIO; TRIB_EMEMORY. Whether an error took the
 * whole group with it is what trib_spool_sync() says: it must follow in any case. */
enum trib_status trib_spool_append(struct trib_spool *spool, struct trib_spool_entry *entry,
                                   const struct trib_source *body,
                                   const struct trib_spool_body *file, struct trib_error *error);
/* Make the group durable: every entry whose append returned TRIB_OK since the last sync, or none
 * of them. Nothing appended: TRIB_OK. After an error the spool is ready for a new group. */
enum trib_status trib_spool_sync(struct trib_spool *spool, struct trib_error *error);

/* A durable entry is no longer needed (its version has a checkpoint, or its fate is in the
 * ledger): removes its body file, and the segment with its last entry. Exactly once per entry.
 * An error of the file system leaves a file behind that the next open offers again. */
enum trib_status trib_spool_release(struct trib_spool *spool, const struct trib_spool_place *place);

/* ---- large bodies ---- */

/* Start <n>.body. bytes_expected: its size, if it is known, else 0; they are taken from the quota at
 * once, so that no body is begun that could not end. TRIB_EFULL: over quota. */
enum trib_status trib_spool_body_begin(struct trib_spool *spool, uint64_t bytes_expected,
                                       struct trib_spool_body **body, struct trib_error *error);
/* Append at its end. After an error only abandon is left. TRIB_EFULL: quota or disk. */
enum trib_status trib_spool_body_append(struct trib_spool_body *body, const void *bytes,
                                        size_t count);
/* The same for a body that comes in parts, of bytes_expected bytes: any order, no byte twice.
 * Thread: any number at different places. An error is the part's own: it may be written again. */
enum trib_status trib_spool_body_write(struct trib_spool_body *body, uint64_t offset,
                                       const void *bytes, size_t count);
/* All of them are there. */
void trib_spool_body_fill(struct trib_spool_body *body);
/* Sync file and directory; then it may be given to trib_spool_append(). Never tried twice. */
enum trib_status trib_spool_body_finish(struct trib_spool_body *body);
uint64_t trib_spool_body_byte_count(const struct trib_spool_body *body);
/* The bytes so far, for checking before admission; valid until keep or abandon. */
struct trib_source trib_spool_body_source(const struct trib_spool_body *body);
/* After a good trib_spool_sync(): close, the entry owns the file now. */
void trib_spool_body_keep(struct trib_spool_body *body);
/* Close and remove the file. NULL allowed. */
void trib_spool_body_abandon(struct trib_spool_body *body);

/* ---- reading ---- */

/* A durable body, open for reading. The struct is the caller's and must not move while open. */
struct trib_spool_reader {
    struct trib_source source;      /* read-only: pass &reader.source */
    const struct trib_files *files; /* private */
    struct trib_file *file;         /* read-only: the body begins at */
    uint64_t offset;                /* read-only: this place of it */
};

/* TRIB_ENOTFOUND: released; TRIB_ETRUNCATED: the file is shorter than the entry says. */
enum trib_status trib_spool_read_open(const struct trib_spool *spool,
                                      const struct trib_spool_place *place,
                                      struct trib_spool_reader *reader);
void trib_spool_read_close(struct trib_spool_reader *reader); /* all-zero is safe */
/* Read the whole body and compare its SHA-256: TRIB_ECORRUPT. Open checks small bodies (CRC-32)
 * and the size of large ones; this is for large ones before they are replayed. */
enum trib_status trib_spool_read_verify(const struct trib_spool *spool,
                                        const struct trib_spool_place *place,
                                        const struct trib_digest *digest);

/* ---- counters ---- */

struct trib_spool_counters {
    uint64_t live_entries;  /* durable, not released */
    uint64_t segment_count; /* files */
    uint64_t bytes_on_disk; /* segments, body files, those that still arrive as expected */
    uint64_t bytes_max;     /* quota; 0 = none */
};
void trib_spool_count(const struct trib_spool *spool, struct trib_spool_counters *counters);
/* As bytes_on_disk.  Thread: any. */
uint64_t trib_spool_bytes(const struct trib_spool *spool);
/* Has the disk room for so many more bytes, besides those of bodies that still arrive? True where
 * nobody knows. The quota is another question.  Thread: any. */
bool trib_spool_has_room(const struct trib_spool *spool, uint64_t bytes);

#endif
