/* ledger.h - the append-only, hash-chained record of a run.
 *
 * A record is a text (JSON, made by the caller, opaque here) and the SHA-256 of the digest before
 * it followed by the text; the chain starts at SHA-256("tributary ledger 1\n" + run name).
 *
 * The synced record is the commit point of a version: append, then sync; until the sync has
 * succeeded the record does not exist for count, head and read. Three ends are possible:
 *
 *   synced          it is there after any crash.
 *   crash before    it is there after the restart if it reached the disk whole (the open then
 *                   makes it durable before it is reported), otherwise it is cut off. Both are
 *                   right: nobody had been told anything yet.
 *   failed          the ledger is broken: append and sync answer TRIB_EIO until
 *                   trib_ledger_reopen() has put a fresh file with the synced records in its
 *                   place. The failed records are not in it; append them again.
 *
 * Thread: the caller serialises all calls on one ledger. Memory: fixed, about 140 KiB. */
#ifndef TRIB_STORE_LEDGER_H
#define TRIB_STORE_LEDGER_H

#include "base/digest.h"
#include "base/files.h"

#define TRIB_LEDGER_PAYLOAD_BYTES_MAX (32u << 20) /* 200,000 counted updates in one record */

struct trib_ledger;

struct trib_ledger_record {
    uint64_t index;      /* 0 for the first */
    const char *payload; /* borrowed until the visit returns; no NUL at its end */
    size_t payload_bytes;
    struct trib_digest previous; /* digest of record index - 1, or the start of the chain */
    struct trib_digest digest;
};

/* Anything but TRIB_OK stops the walk and is returned by it. */
typedef enum trib_status trib_ledger_visit(void *context, const struct trib_ledger_record *record);

/* Publish an empty ledger for a new run (replaces what is there). run_name: at most 64 bytes. */
enum trib_status trib_ledger_create(const struct trib_env *env, const struct trib_files *files,
                                    const char *path, const char *run_name);

/* Open, check every checksum and the chain, visit each record in order (visit may be NULL), cut
 * off a torn tail. *torn_bytes: how much was cut (0: nothing); may be NULL. On error *ledger is
 * NULL. TRIB_ENOTFOUND; TRIB_ECONFLICT: the ledger of another run; TRIB_ECORRUPT: error says at
 * which offset and index (visited records stay visited). */
enum trib_status trib_ledger_open(const struct trib_env *env, const struct trib_files *files,
                                  const char *path, const char *run_name,
                                  struct trib_ledger **ledger, uint64_t *torn_bytes,
                                  struct trib_error *error, void *context,
                                  trib_ledger_visit *visit);
void trib_ledger_close(struct trib_ledger *ledger); /* NULL allowed; unsynced records are lost */

/* Write one record without syncing. TRIB_EINVALID: empty; TRIB_ELIMIT: too long (both leave the
 * ledger as it was); TRIB_EMEMORY (same); TRIB_EIO, TRIB_EFULL: now broken. */
enum trib_status trib_ledger_append(struct trib_ledger *ledger, const void *payload,
                                    size_t payload_bytes);
/* Make all appended records durable, all or none. On error the ledger is broken and they are
 * forgotten. Nothing appended: TRIB_OK without a sync. */
enum trib_status trib_ledger_sync(struct trib_ledger *ledger);

bool trib_ledger_is_broken(const struct trib_ledger *ledger);
/* Mend a broken ledger: copy the synced records to a new file, check them again, sync, rename,
 * sync the directory. On error it stays broken and this may be called again. On a sound ledger
 * it does the same and drops unsynced records. */
enum trib_status trib_ledger_reopen(struct trib_ledger *ledger, struct trib_error *error);

uint64_t trib_ledger_count(const struct trib_ledger *ledger);      /* synced records */
uint64_t trib_ledger_byte_count(const struct trib_ledger *ledger); /* synced bytes of the file */
/* Digest of the last synced record (start of the chain when there is none). */
void trib_ledger_head(const struct trib_ledger *ledger, struct trib_digest *digest);

/* Visit the synced records first .. first + count - 1 (fewer at the end). Works on a broken
 * ledger. TRIB_ECORRUPT when the file has rotted since. Cost: a seek to at most one 1024th of
 * the records before `first`. */
enum trib_status trib_ledger_read(struct trib_ledger *ledger, uint64_t first, uint64_t count,
                                  void *context, trib_ledger_visit *visit);

#endif
