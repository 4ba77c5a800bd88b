/* journal.h - an append-only file of framed records; the floor under the ledger and the spool.
 *
 * It answers one question for both: after a crash, which records may be believed? A record head
 * says how far the file was synced when the record was written, so every record proves the ones
 * before it. What cannot be read is judged like this:
 *
 *   - a later record proves that it had been synced               -> TRIB_ECORRUPT (torn middle)
 *   - it runs past the end of the file, or is all zero within one
 *     512-byte sector, as where a sector never reached the disk   -> torn tail, cut off
 *   - anything else is rot                                        -> TRIB_ECORRUPT
 *
 * After a failed write or sync a journal is broken for good: the kernel may have forgotten the
 * pages, so neither is tried again on that file. The layout is in docs/state.md.
 *
 * Thread: the caller serialises all calls on one journal. */
#ifndef TRIB_STORE_JOURNAL_H
#define TRIB_STORE_JOURNAL_H

#include "base/files.h"

#define TRIB_JOURNAL_ABOUT_BYTES_MAX 128u
#define TRIB_JOURNAL_RECORD_BYTES_MAX (64u << 20) /* of one payload; bounds the scan's memory */
#define TRIB_JOURNAL_HEAD_BYTES 32u               /* in front of each payload */
#define TRIB_JOURNAL_UNLIMITED UINT64_MAX

struct trib_journal {
    const struct trib_env *env;                        /* private */
    const struct trib_files *files;                    /* private */
    struct trib_file *file;                            /* private */
    unsigned char about[TRIB_JOURNAL_ABOUT_BYTES_MAX]; /* read-only: the caller's header bytes */
    size_t about_bytes;                                /* read-only */
    uint64_t salt;         /* private: marks this file's records, so that no body can fake one */
    uint64_t header_bytes; /* read-only: where the first record starts */
    uint64_t byte_count;   /* read-only: end of the last complete record */
    uint64_t synced_bytes; /* read-only: known durable up to here */
    uint64_t torn_bytes;   /* read-only: bytes past byte_count that the scan did not believe */
    bool is_broken;        /* read-only: takes no more records */

    unsigned char *staging; /* private: the first piece of a record, then a piece of the rest */
    uint64_t record_bytes;  /* private: of the record under way so far; 0: none is */
    uint32_t payload_crc;   /* private */
    uint32_t kind;          /* private */
};

/* One record, in file order. payload is borrowed until return; offset is where the record (its
 * head) starts in the file. Anything but TRIB_OK stops the scan and is returned by it. */
typedef enum trib_status trib_journal_visit(void *context, uint32_t kind, uint64_t offset,
                                            const void *payload, size_t payload_bytes);

/* Publish a journal without records: after a crash it is there whole or not at all.
 * magic: 8 characters. about: at most TRIB_JOURNAL_ABOUT_BYTES_MAX bytes. */
enum trib_status trib_journal_create(const struct trib_env *env, const struct trib_files *files,
                                     const char *path, const char *magic, const void *about,
                                     size_t about_bytes);

/* Open and read the header; byte_count is header_bytes until a scan. On error *journal is zero.
 * TRIB_ENOTFOUND; TRIB_EUNSUPPORTED a later format; TRIB_ECORRUPT another magic, a bad header. */
enum trib_status trib_journal_open(struct trib_journal *journal, const struct trib_env *env,
                                   const struct trib_files *files, const char *path,
                                   const char *magic, struct trib_error *error);
void trib_journal_close(struct trib_journal *journal); /* all-zero is safe */

/* Visit every record up to end_bytes. TRIB_JOURNAL_UNLIMITED: to the end of the file, where a
 * torn tail is allowed (torn_bytes). A given end must be the end of a record; what lies behind it
 * is counted as torn and not looked at. TRIB_ECORRUPT: error says at which offset and index; a
 * text that the visitor put into the same error stays. */
enum trib_status trib_journal_scan(struct trib_journal *journal, uint64_t end_bytes,
                                   struct trib_error *error, void *context,
                                   trib_journal_visit *visit);

/* After a scan: cut the torn tail off, write the records again that no later one proves (their
 * sync may have failed and left them in the page cache only), sync. Required before appending. */
enum trib_status trib_journal_settle(struct trib_journal *journal);

/* A record in pieces: begin, add any number of times, end. Nothing is durable before
 * trib_journal_sync(). An error of add or end breaks the journal (TRIB_EIO, TRIB_EFULL);
 * begin on a broken journal is TRIB_EIO. At most TRIB_JOURNAL_RECORD_BYTES_MAX. */
enum trib_status trib_journal_begin(struct trib_journal *journal, uint32_t kind);
enum trib_status trib_journal_add(struct trib_journal *journal, const void *bytes, size_t count);
/* *offset: where the record starts in the file; its payload is TRIB_JOURNAL_HEAD_BYTES behind. */
enum trib_status trib_journal_end(struct trib_journal *journal, uint64_t *offset);
enum trib_status trib_journal_sync(struct trib_journal *journal);
/* Mark broken by hand, e.g. because the pieces of a record could not all be had. */
void trib_journal_break(struct trib_journal *journal);

/* Visit the records from first_offset (where a record starts) to end_bytes (where one ends), as
 * for a scan of what is known to be sound. Changes nothing; works on a broken journal. */
enum trib_status trib_journal_walk(const struct trib_journal *journal, uint64_t first_offset,
                                   uint64_t end_bytes, struct trib_error *error, void *context,
                                   trib_journal_visit *visit);

/* Exactly count bytes at offset, or TRIB_EIO. */
enum trib_status trib_journal_read(const struct trib_journal *journal, uint64_t offset, void *bytes,
                                   size_t count);

#endif
