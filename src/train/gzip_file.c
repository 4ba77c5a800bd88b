/* gzip_file.c - a plain or gzip file, read once from front to back. */
#include "train/gzip_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <zlib.h>

/* Decompressed data is handed out of this many bytes at a time. */
#define BUFFER_BYTES (128u << 10)

/* TRIB_ENOTFOUND without words: the caller may have another name to try. */
static enum trib_status open_path(struct trib_gzip_file *file, struct trib_error *error) {
    errno = 0; /* zlib leaves it alone when it runs out of memory itself */
    file->stream = gzopen(file->path, "rb");
    if (file->stream == NULL) {
        if (errno == ENOENT || errno == ENOTDIR) {
            return TRIB_ENOTFOUND;
        }
        return trib_error_set(error, errno == 0 ? TRIB_EMEMORY : TRIB_EIO, "%s: %s", file->path,
                              errno == 0 ? "out of memory" : strerror(errno));
    }
    /* It can only be refused before the first read, and then the default buffer serves too. */
    (void)gzbuffer(file->stream, BUFFER_BYTES);
    return TRIB_OK;
}

enum trib_status trib_gzip_file_open(struct trib_gzip_file *file, const char *folder,
                                     const char *name, struct trib_error *error) {
    static const char *const endings[] = {"", ".gz"};
    const size_t ending_count = folder == NULL ? 1 : 2;

    memset(file, 0, sizeof *file);
    for (size_t i = 0; i < ending_count; i++) {
        const int length = folder == NULL ? snprintf(file->path, sizeof file->path, "%s", name)
                                          : snprintf(file->path, sizeof file->path, "%s/%s%s",
                                                     folder, name, endings[i]);
        if (length < 0 || (size_t)length >= sizeof file->path) {
            return trib_error_set(error, TRIB_ELIMIT, "path of %s is too long", name);
        }
        const enum trib_status status = open_path(file, error);
        if (status != TRIB_ENOTFOUND) {
            return status;
        }
    }
    return trib_error_set(error, TRIB_ENOTFOUND, "%s: no such file", file->path);
}

void trib_gzip_file_close(struct trib_gzip_file *file) {
    if (file->stream != NULL) {
        /* Only reads were done: nothing is lost by a failure to close. */
        (void)gzclose(file->stream);
        file->stream = NULL;
    }
}

enum trib_status trib_gzip_file_check(struct trib_gzip_file *file, struct trib_error *error) {
    int code = Z_OK;
    const char *text = gzerror(file->stream, &code);
    if (code == Z_OK || code == Z_STREAM_END) {
        return TRIB_OK;
    }
    if (code == Z_ERRNO) {
        text = strerror(errno);
    }
    return trib_error_set(error, TRIB_EIO, "%s: %s", file->path, text);
}

enum trib_status trib_gzip_file_read(struct trib_gzip_file *file, void *bytes, size_t count,
                                     struct trib_error *error) {
    if (gzfread(bytes, 1, count, file->stream) == count) {
        return TRIB_OK;
    }
    const enum trib_status status = trib_gzip_file_check(file, error);
    if (status != TRIB_OK) {
        return status;
    }
    return trib_error_set(error, TRIB_ETRUNCATED, "%s: ends too early, %ld bytes in", file->path,
                          (long)gztell(file->stream));
}

enum trib_status trib_gzip_file_expect_end(struct trib_gzip_file *file, struct trib_error *error) {
    if (trib_gzip_file_get(file) != -1) {
        return trib_error_set(error, TRIB_EMALFORMED, "%s: has more bytes than its head announces",
                              file->path);
    }
    return trib_gzip_file_check(file, error);
}

int trib_gzip_file_get(struct trib_gzip_file *file) {
    return gzgetc(file->stream);
}
