/* files.c - whole small files over any table: published without a half state, read with a bound. */
#include "base/files.h"

#include <stdio.h>
#include <string.h>

#define PATH_CHARACTERS_MAX 500
#define PATH_ROOM (PATH_CHARACTERS_MAX + sizeof ".tmp")

static enum trib_status write_synced(const struct trib_files *files, const char *path,
                                     const void *bytes, size_t count) {
    struct trib_file *file;
    enum trib_status status = files->open(files->context, path, TRIB_FILE_CREATE, &file);
    if (status != TRIB_OK)
        return status;
    status = files->write_at(files->context, file, 0, bytes, count);
    if (status == TRIB_OK)
        status = files->sync(files->context, file);
    files->close(files->context, file);
    return status;
}

enum trib_status trib_files_publish(const struct trib_files *files, const char *path,
                                    const void *bytes, size_t count) {
    char draft[PATH_ROOM];
    char directory[PATH_ROOM];
    if (strlen(path) > PATH_CHARACTERS_MAX)
        return TRIB_EINVALID;
    snprintf(draft, sizeof draft, "%s.tmp", path);
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash)
        *slash = '\0';
    else
        strcpy(directory, ".");

    enum trib_status status = write_synced(files, draft, bytes, count);
    if (status == TRIB_OK)
        status = files->rename(files->context, draft, path);
    if (status != TRIB_OK) {
        /* The first error is the one to tell; a draft left behind is emptied by the next try. */
        (void)files->remove(files->context, draft);
        return status;
    }
    return files->sync_directory(files->context, directory);
}

static enum trib_status read_whole(const struct trib_env *env, const struct trib_files *files,
                                   struct trib_file *file, size_t bytes_max, char **bytes,
                                   size_t *count) {
    uint64_t file_bytes;
    enum trib_status status = files->size(files->context, file, &file_bytes);
    if (status != TRIB_OK)
        return status;
    if (file_bytes > bytes_max || file_bytes >= PTRDIFF_MAX)
        return TRIB_ELIMIT;
    size_t wanted = (size_t)file_bytes;
    char *read = trib_allocate(env, wanted + 1, 1);
    if (!read)
        return TRIB_EMEMORY;
    size_t done = 0;
    status = files->read_at(files->context, file, 0, read, wanted, &done);
    if (status == TRIB_OK && done < wanted)
        status = TRIB_ETRUNCATED;
    if (status != TRIB_OK) {
        trib_release(env, read, wanted + 1, 1);
        return status;
    }
    *bytes = read;
    *count = wanted;
    return TRIB_OK;
}

enum trib_status trib_files_read_all(const struct trib_env *env, const struct trib_files *files,
                                     const char *path, size_t bytes_max, char **bytes,
                                     size_t *count) {
    struct trib_file *file;
    enum trib_status status = files->open(files->context, path, TRIB_FILE_READ, &file);
    if (status != TRIB_OK)
        return status;
    status = read_whole(env, files, file, bytes_max, bytes, count);
    files->close(files->context, file);
    return status;
}
