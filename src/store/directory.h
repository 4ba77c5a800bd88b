/* directory.h - the data directory: its format, its lock, its key and its runs.
 *
 *     lock  format  key  admin.token  runs/<run>/{spec.json ledger index.sqlite
 *                                                  spool/ versions/ state/ tape/}
 *
 * One daemon per directory. A run appears whole, by one rename, and disappears by one rename;
 * what a crash leaves behind (runs/.new.<run>, runs/.trash.<run>, drafts called *.tmp; no run can
 * be called that) is cleaned up by the next open.
 *
 * Thread: the caller serialises open, create and remove. */
#ifndef TRIB_STORE_DIRECTORY_H
#define TRIB_STORE_DIRECTORY_H

#include "base/files.h"
#include "base/name.h"

#define TRIB_DIRECTORY_KEY_BYTES 32
#define TRIB_DIRECTORY_PATH_BYTES 160 /* room for any path of ours below the root */

struct trib_directory {
    const struct trib_env *env;                  /* private */
    struct trib_files *files;                    /* read-only: borrow for ledger, spool, ... */
    unsigned char key[TRIB_DIRECTORY_KEY_BYTES]; /* read-only: secret behind all tokens */
};

/* Open root for this process alone, made when missing. On error *directory is zero.
 * TRIB_ECONFLICT: another process has it; TRIB_EUNSUPPORTED: `format` says something
 * else; TRIB_ECORRUPT: key missing or damaged; TRIB_EIO. */
enum trib_status trib_directory_open(struct trib_directory *directory, const struct trib_env *env,
                                     const char *root, struct trib_error *error);
void trib_directory_close(struct trib_directory *directory); /* all-zero is safe; wipes the key */

/* What open does once the files are there, for files of any kind: check or write `format`, read
 * or make the key, clean up after a crash. A directory without `format` must be empty but for the
 * lock (TRIB_ECONFLICT): it is somebody else's. */
enum trib_status trib_directory_prepare(const struct trib_env *env, const struct trib_files *files,
                                        unsigned char key[TRIB_DIRECTORY_KEY_BYTES],
                                        struct trib_error *error);

/* Create a run: folders, spec.json with the given bytes and an empty ledger, all or nothing,
 * durable. (When only the last sync failed, TRIB_EIO is returned and the run is there until a
 * crash decides.) TRIB_ECONFLICT: there is one of that name; TRIB_EINVALID: not a name. */
enum trib_status trib_directory_create_run(const struct trib_env *env,
                                           const struct trib_files *files, const char *run,
                                           const void *spec, size_t spec_bytes,
                                           struct trib_error *error);
/* Remove a run and all its data; every file of it must be closed. After TRIB_OK, or an error
 * that came after the rename was durable, it never comes back. TRIB_ENOTFOUND. */
enum trib_status trib_directory_remove_run(const struct trib_env *env,
                                           const struct trib_files *files, const char *run,
                                           struct trib_error *error);

/* Each run, bytewise by name. Anything but TRIB_OK from visit stops and is returned. */
typedef enum trib_status trib_directory_visit(void *context, const char *run);
enum trib_status trib_directory_runs(const struct trib_env *env, const struct trib_files *files,
                                     void *context, trib_directory_visit *visit);

/* "runs/<run>" or "runs/<run>/<leaf>" (leaf may be NULL), relative to the root; returns path. */
const char *trib_directory_path(char path[TRIB_DIRECTORY_PATH_BYTES], const char *run,
                                const char *leaf);

#endif
