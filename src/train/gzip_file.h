/* gzip_file.h - a plain or gzip file, read once from front to back.
 *
 * Every failure is put into words with the path in front, and the file stays failed. */
#ifndef TRIB_TRAIN_GZIP_FILE_H
#define TRIB_TRAIN_GZIP_FILE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define TRIB_PATH_BYTES_MAX 4096

struct trib_gzip_file {
    char path[TRIB_PATH_BYTES_MAX]; /* read-only: as opened */
    struct gzFile_s *stream;        /* private */
};

/* Open folder/name, or folder/name.gz when that is what there is; with a NULL folder exactly the
 * file `name`. TRIB_ENOTFOUND: neither is there; TRIB_EIO: there, but cannot be opened;
 * TRIB_ELIMIT: path too long. Error is set in each case. Close after success. */
enum trib_status trib_gzip_file_open(struct trib_gzip_file *file, const char *folder,
                                     const char *name, struct trib_error *error);
void trib_gzip_file_close(struct trib_gzip_file *file); /* all-zero is safe */

/* Exactly count bytes. TRIB_ETRUNCATED: the file ends before; TRIB_EIO: unreadable or damaged. */
enum trib_status trib_gzip_file_read(struct trib_gzip_file *file, void *bytes, size_t count,
                                     struct trib_error *error);
/* TRIB_EMALFORMED when anything follows; TRIB_EIO as above. */
enum trib_status trib_gzip_file_expect_end(struct trib_gzip_file *file, struct trib_error *error);

/* The next byte, or -1: the end or a failure, and trib_gzip_file_check() tells which. */
int trib_gzip_file_get(struct trib_gzip_file *file);
/* TRIB_OK while nothing has failed. */
enum trib_status trib_gzip_file_check(struct trib_gzip_file *file, struct trib_error *error);

#endif
