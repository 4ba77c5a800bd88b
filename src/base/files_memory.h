/* files_memory.h - a file system in memory that forgets, on a crash, all that was not synced.
 *
 * Model: a file has current and durable contents in sectors of 512 bytes; a write makes sectors
 * dirty, sync makes dirty sectors durable. A directory has current and durable entries;
 * sync_directory makes its entries durable (a synced file whose directory was not synced is lost,
 * as POSIX allows). A sync that fails leaves the sectors clean but not durable, as Linux does:
 * only writing them again helps. Any thread may call; "" and "." name the root.
 *
 * Sweep over the crash points of an operation:
 *
 *     trib_files_memory_stop(&memory, nth);       nothing works from the nth call on
 *     operation(&memory.files);                   release what it made, whatever it returned
 *     trib_files_memory_crash(&memory);           power comes back
 *     ... open again and check the promise ...
 */
#ifndef TRIB_BASE_FILES_MEMORY_H
#define TRIB_BASE_FILES_MEMORY_H

#include <pthread.h>

#include "base/files.h"

struct trib_files_memory {
    struct trib_files files; /* read-only: pass &memory.files */

    /* settings, changed at will between calls */
    uint64_t capacity_bytes;   /* of all named files; a write beyond it writes what fits and
                                  returns TRIB_EFULL; 0 = no limit */
    uint64_t short_read_bytes; /* no read returns more, as if the file ended there; 0 = no limit */
    bool is_losing_syncs;      /* sync and sync_directory succeed and do nothing */

    /* read-only */
    bool has_failed;       /* a call was failed since the last ..._fail() or ..._stop();
                              kept over a crash, so that a sweep knows when to end */
    uint64_t call_count;   /* of everything but close and descriptor, since init */
    uint64_t sync_count;   /* successful syncs of files, since init */
    uint64_t handles_open; /* not closed, not orphaned by a crash */

    /* private */
    uint64_t calls_until_failure; /* 0: none */
    enum trib_status failure;
    bool is_stopping; /* the failure is for good, until the crash */
    struct memory_node *root;
    struct trib_file *handles;
    pthread_mutex_t lock;
};

void trib_files_memory_init(struct trib_files_memory *memory);
/* Asserts that every file was closed but those that a crash orphaned. */
void trib_files_memory_deinit(struct trib_files_memory *memory);

/* The nth call from now (1 = the next, 0 = none) returns status, once. A write that fails has
 * written the first half of its bytes. Close and descriptor never fail and are not counted. */
void trib_files_memory_fail(struct trib_files_memory *memory, uint64_t nth,
                            enum trib_status status);
/* The nth call and all after it return TRIB_EIO until the next crash. */
void trib_files_memory_stop(struct trib_files_memory *memory, uint64_t nth);

/* The machine loses power and comes back: every file has its last synced contents, every
 * directory its last synced entries. Open files are orphaned: all calls on them but close fail.
 * Ends ..._fail() and ..._stop(). */
void trib_files_memory_crash(struct trib_files_memory *memory);
/* The same, but each dirty sector, each changed file size and each changed directory has, by
 * the toss of a seeded coin, reached the disk all the same: torn writes. */
void trib_files_memory_crash_torn(struct trib_files_memory *memory, uint64_t seed);

/* The program dies and the machine goes on: all that was written stays as it is, synced or not. Open
 * files are orphaned as above. Ends ..._fail() and ..._stop(). */
void trib_files_memory_kill(struct trib_files_memory *memory);

/* What a crash would leave of a file at this moment; borrowed until the next call of any kind.
 * NULL: nothing, there would be no such file. */
const void *trib_files_memory_durable(const struct trib_files_memory *memory, const char *path,
                                      uint64_t *byte_count);

/* Flip one bit of the durable file of this name, else of the current one: in what a crash would
 * leave as in what is read now. Asserts that the byte exists. */
void trib_files_memory_rot(struct trib_files_memory *memory, const char *path, uint64_t offset);

#endif
