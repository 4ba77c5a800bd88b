/* files.h - the door to the file system, as a table of functions.
 *
 * Paths are relative to the root the table was opened with ("runs/r1/ledger"; "." is the root
 * itself); components are made by this program only. Every call may return TRIB_EIO, TRIB_EFULL
 * (ENOSPC, EDQUOT), TRIB_ENOTFOUND, TRIB_ECONFLICT (exists, or a directory is not empty),
 * TRIB_EMEMORY. The real one is trib_files_open(); tests and the simulator keep files in memory
 * and inject torn writes, lost syncs and full disks. Thread: any call, on any thread; calls that
 * write the same file are the caller's to order. */
#ifndef TRIB_BASE_FILES_H
#define TRIB_BASE_FILES_H

#include "base/env.h"
#include "base/status.h"

struct trib_file; /* one open file; opaque */

enum trib_file_mode {
    TRIB_FILE_READ,   /* must exist */
    TRIB_FILE_WRITE,  /* read and write, created when missing (mode 0600), kept when there */
    TRIB_FILE_CREATE, /* read and write, emptied when there */
};

struct trib_files {
    void *context;
    enum trib_status (*open)(void *context, const char *path, enum trib_file_mode mode,
                             struct trib_file **file);
    void (*close)(void *context, struct trib_file *file); /* NULL allowed */
    /* Reads up to count bytes at offset; *done < count only at the end of the file. */
    enum trib_status (*read_at)(void *context, struct trib_file *file, uint64_t offset, void *bytes,
                                size_t count, size_t *done);
    /* All or an error; after an error any part may have been written. */
    enum trib_status (*write_at)(void *context, struct trib_file *file, uint64_t offset,
                                 const void *bytes, size_t count);
    /* Data and the size needed to read it back (fdatasync). A failed sync is never retried on the
     * same file: the pages may be gone (the caller reopens and rewrites). */
    enum trib_status (*sync)(void *context, struct trib_file *file);
    enum trib_status (*truncate)(void *context, struct trib_file *file, uint64_t bytes);
    enum trib_status (*size)(void *context, struct trib_file *file, uint64_t *bytes);
    /* A descriptor for sendfile, owned by the file; -1 where there is none. */
    int (*descriptor)(void *context, struct trib_file *file);
    /* Names only; the directory is not synced by these. rename replaces a file that is there.
     * make_directory accepts one that exists. */
    enum trib_status (*rename)(void *context, const char *from, const char *to);
    enum trib_status (*remove)(void *context, const char *path); /* file or empty directory */
    enum trib_status (*make_directory)(void *context, const char *path);
    enum trib_status (*sync_directory)(void *context, const char *path);
    /* Calls visit for each entry but "." and "..", in bytewise order. */
    enum trib_status (*list)(void *context, const char *path,
                             void (*visit)(void *visitor, const char *name), void *visitor);
    /* Bytes free for this process on the file system of the root. */
    enum trib_status (*free_bytes)(void *context, uint64_t *bytes);
};

/* The real file system below root (created 0700 when missing). Takes an exclusive lock on
 * root/lock when is_exclusive (TRIB_ECONFLICT: another process holds it).
 * error says which path and why. Close with trib_files_close(). */
enum trib_status trib_files_open(const struct trib_env *env, const char *root, bool is_exclusive,
                                 struct trib_files **files, struct trib_error *error);
void trib_files_close(struct trib_files *files); /* NULL allowed; releases the lock */

/* Write a whole small file so that a crash leaves the old or the new one, never half:
 * write path.tmp, sync, rename, sync the directory. Cleans path.tmp up on error. TRIB_EINVALID:
 * the path has more than 500 characters. After an error of the last step the new file is visible
 * but may not survive a crash. */
enum trib_status trib_files_publish(const struct trib_files *files, const char *path,
                                    const void *bytes, size_t count);
/* Read a whole file of at most bytes_max into fresh memory (release with
 * trib_release(env, *bytes, *count + 1, 1)); a NUL follows the last byte. TRIB_ELIMIT: larger;
 * TRIB_ETRUNCATED: became shorter meanwhile. On error *bytes and *count are untouched. */
enum trib_status trib_files_read_all(const struct trib_env *env, const struct trib_files *files,
                                     const char *path, size_t bytes_max, char **bytes,
                                     size_t *count);

#endif
