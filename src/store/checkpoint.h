/* checkpoint.h - versions and server states as files, and which of them to keep.
 *
 *     <run>/versions/<n>.safetensors   the canonical bytes of a version, nothing else
 *     <run>/state/<n>                  framed opaque bytes (server optimizer, policy)
 *
 * Files appear whole or not at all (write to <name>.tmp, sync, rename, sync the directory) and
 * are never changed. What is loaded is checked against the digest in the ledger. `run` is the
 * run's folder ("runs/r1"); its folders must exist (directory.h makes them).
 *
 * Thread: any; at most one writer per file at a time. */
#ifndef TRIB_STORE_CHECKPOINT_H
#define TRIB_STORE_CHECKPOINT_H

#include "base/block.h"
#include "base/digest.h"
#include "base/files.h"
#include "store/numbers.h"
#include "tensor/source.h"

/* Publish version n from its canonical bytes, streamed. Replaces one that is there. A block in
 * memory: trib_source_of_memory(block->bytes, block->byte_count). On error no file appeared
 * (or, when only the last sync of the directory failed, a whole one). */
enum trib_status trib_checkpoint_write_version(const struct trib_env *env,
                                               const struct trib_files *files, const char *run,
                                               uint64_t version, const struct trib_source *bytes,
                                               struct trib_error *error);
/* Publish the state that belongs to version n. */
enum trib_status trib_checkpoint_write_state(const struct trib_env *env,
                                             const struct trib_files *files, const char *run,
                                             uint64_t version, const struct trib_source *bytes,
                                             struct trib_error *error);

/* The same of files that are written range by range, for what is never whole in memory: begin, write
 * at any offsets, publish. The draft has its full size from the beginning, and what is never written
 * is zero and takes no place on disk. `file` is the caller's until publish, which closes it in any
 * case, or abandon.
 *
 * TRIB_CHECKPOINT_STATE_OFFSET is where the bytes of a state begin in its file; publish reads them
 * again, for their checksum and digest. */
#define TRIB_CHECKPOINT_STATE_OFFSET 36
enum trib_checkpoint_kind { TRIB_CHECKPOINT_VERSION, TRIB_CHECKPOINT_STATE };
enum trib_status trib_checkpoint_begin(const struct trib_files *files, const char *run,
                                       enum trib_checkpoint_kind kind, uint64_t version,
                                       uint64_t byte_count, struct trib_file **file,
                                       struct trib_error *error);
/* digest: of the bytes of a state (NULL for versions, whose digest is known). */
enum trib_status trib_checkpoint_publish(const struct trib_env *env, const struct trib_files *files,
                                         const char *run, enum trib_checkpoint_kind kind,
                                         uint64_t version, struct trib_file *file,
                                         struct trib_digest *digest, struct trib_error *error);
/* file: NULL allowed. */
void trib_checkpoint_abandon(const struct trib_files *files, const char *run,
                             enum trib_checkpoint_kind kind, uint64_t version,
                             struct trib_file *file);

/* Load into a fresh sealed block (one reference, the caller's). expected: SHA-256 of all bytes of
 * the version (for a state: of its bytes without the frame); NULL: do not compare (the state's
 * own CRC-32 still is). TRIB_ENOTFOUND, TRIB_EMEMORY, TRIB_EIO, TRIB_ECORRUPT. */
enum trib_status trib_checkpoint_load_version(const struct trib_env *env,
                                              const struct trib_files *files, const char *run,
                                              uint64_t version, const struct trib_digest *expected,
                                              struct trib_block **block, struct trib_error *error);
enum trib_status trib_checkpoint_load_state(const struct trib_env *env,
                                            const struct trib_files *files, const char *run,
                                            uint64_t version, const struct trib_digest *expected,
                                            struct trib_block **block, struct trib_error *error);

/* A version or state open for reading; the struct is the caller's and must not move. open checks
 * the frame of a state, whose source has its bytes alone; their checksum is left to verify.
 * TRIB_ENOTFOUND, TRIB_EIO, TRIB_ECORRUPT. */
struct trib_checkpoint_reader {
    struct trib_source source;      /* read-only: pass &reader.source. Thread: any */
    const struct trib_files *files; /* private */
    struct trib_file *file;         /* private */
    uint64_t offset;                /* private: of the bytes in the file */
    uint32_t crc;                   /* private: that those of a state should have */
};
enum trib_status trib_checkpoint_open(const struct trib_files *files, const char *run,
                                      enum trib_checkpoint_kind kind, uint64_t version,
                                      struct trib_checkpoint_reader *reader,
                                      struct trib_error *error);
/* Read all of it: a version has the digest (of a state: NULL allowed), a state also its checksum.
 * TRIB_ECORRUPT, TRIB_EIO, TRIB_EMEMORY. Thread: any. */
enum trib_status trib_checkpoint_verify(const struct trib_env *env,
                                        const struct trib_checkpoint_reader *reader,
                                        const struct trib_digest *digest);
void trib_checkpoint_close(struct trib_checkpoint_reader *reader); /* all-zero is safe */

/* For sendfile and reading by range; close with files->close. TRIB_ENOTFOUND: pruned or never. */
enum trib_status trib_checkpoint_open_version(const struct trib_files *files, const char *run,
                                              uint64_t version, struct trib_file **file,
                                              uint64_t *byte_count);

/* One that is not there is fine. The directory is not synced: a file that a crash brings back is
 * removed again by the next retention. */
enum trib_status trib_checkpoint_remove_version(const struct trib_files *files, const char *run,
                                                uint64_t version);
enum trib_status trib_checkpoint_remove_state(const struct trib_files *files, const char *run,
                                              uint64_t version);

/* Numbers of the files present (release with trib_numbers_deinit). On error *numbers is zero. */
enum trib_status trib_checkpoint_list_versions(const struct trib_env *env,
                                               const struct trib_files *files, const char *run,
                                               struct trib_numbers *numbers);
enum trib_status trib_checkpoint_list_states(const struct trib_env *env,
                                             const struct trib_files *files, const char *run,
                                             struct trib_numbers *numbers);

/* Which versions stay. Always: the newest one. */
struct trib_keep {
    uint64_t last;  /* this many newest ones; 0 = 1 */
    uint64_t every; /* versions divisible by this; 0 = no such rule */
    bool has_best;
    uint64_t best; /* the best version so far */
    bool has_checkpoint;
    uint64_t checkpoint; /* newest version with a state: a restart needs it */
    bool has_base;
    uint64_t base; /* all from this one on: clients or the policy still read them */
};

/* Write to doomed[] (room for count) those of present[count], ascending, that no rule keeps;
 * returns how many. Pure. */
size_t trib_keep_choose(const struct trib_keep *keep, const uint64_t *present, size_t count,
                        uint64_t *doomed);

#endif
