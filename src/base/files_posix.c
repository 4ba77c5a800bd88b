/* files_posix.c - the real file system below one root directory.
 *
 * Paths are resolved from the root's descriptor, so a daemon that changes its working directory,
 * or whose data directory is moved, goes on writing where it began. */
#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/crash.h"
#include "base/files_crash.h"

struct trib_file {
    int descriptor;
};

struct posix_root {
    struct trib_files files; /* first, so that the table leads back here */
    const struct trib_env *env;
    int descriptor;
    int lock; /* -1: not locked */
};

static enum trib_status status_of(int error) {
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return TRIB_EFULL;
    case ENOENT:
    case ENOTDIR:
        return TRIB_ENOTFOUND;
    case EEXIST:
    case ENOTEMPTY:
        return TRIB_ECONFLICT;
    case ENOMEM:
        return TRIB_EMEMORY;
    default:
        return TRIB_EIO;
    }
}

static enum trib_status status_of_call(int result) {
    return result == 0 ? TRIB_OK : status_of(errno);
}

/* open, whatever signals say. */
static int open_at(int directory, const char *path, int flags) {
    int descriptor;
    do
        descriptor = openat(directory, path, flags | O_CLOEXEC, 0600);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

static enum trib_status posix_open(void *context, const char *path, enum trib_file_mode mode,
                                   struct trib_file **file) {
    static const int flags[] = {
        [TRIB_FILE_READ] = O_RDONLY,
        [TRIB_FILE_WRITE] = O_RDWR | O_CREAT,
        [TRIB_FILE_CREATE] = O_RDWR | O_CREAT | O_TRUNC,
    };
    struct posix_root *root = context;
    struct trib_file *opened = trib_allocate(root->env, 1, sizeof *opened);
    if (!opened)
        return TRIB_EMEMORY;
    opened->descriptor = open_at(root->descriptor, path, flags[mode]);
    if (opened->descriptor < 0) {
        enum trib_status status = status_of(errno);
        trib_release(root->env, opened, 1, sizeof *opened);
        return status;
    }
    *file = opened;
    return TRIB_OK;
}

static void posix_close(void *context, struct trib_file *file) {
    struct posix_root *root = context;
    if (!file)
        return;
    /* Linux frees the descriptor even when close fails; what matters was synced before. */
    (void)close(file->descriptor);
    trib_release(root->env, file, 1, sizeof *file);
}

static enum trib_status posix_read_at(void *context, struct trib_file *file, uint64_t offset,
                                      void *bytes, size_t count, size_t *done) {
    (void)context;
    *done = 0;
    while (*done < count) {
        ssize_t got =
            pread(file->descriptor, (char *)bytes + *done, count - *done, (off_t)(offset + *done));
        if (got == 0)
            break;
        if (got > 0)
            *done += (size_t)got;
        else if (errno != EINTR)
            return status_of(errno);
    }
    return TRIB_OK;
}

static enum trib_status posix_write_at(void *context, struct trib_file *file, uint64_t offset,
                                       const void *bytes, size_t count) {
    (void)context;
    size_t done = 0;
    while (done < count) {
        ssize_t put = pwrite(file->descriptor, (const char *)bytes + done, count - done,
                             (off_t)(offset + done));
        if (put > 0)
            done += (size_t)put;
        else if (put == 0 || errno != EINTR)
            return put == 0 ? TRIB_EIO : status_of(errno);
    }
    return TRIB_OK;
}

static enum trib_status posix_sync(void *context, struct trib_file *file) {
    (void)context;
    int result;
    do /* an interrupted sync has not failed yet, so asking again is no retry */
        result = fdatasync(file->descriptor);
    while (result != 0 && errno == EINTR);
    return status_of_call(result);
}

static enum trib_status posix_truncate(void *context, struct trib_file *file, uint64_t bytes) {
    (void)context;
    int result;
    do
        result = ftruncate(file->descriptor, (off_t)bytes);
    while (result != 0 && errno == EINTR);
    return status_of_call(result);
}

static enum trib_status posix_size(void *context, struct trib_file *file, uint64_t *bytes) {
    (void)context;
    struct stat facts;
    if (fstat(file->descriptor, &facts) != 0)
        return status_of(errno);
    *bytes = (uint64_t)facts.st_size;
    return TRIB_OK;
}

static int posix_descriptor(void *context, struct trib_file *file) {
    (void)context;
    return file->descriptor;
}

static enum trib_status posix_rename(void *context, const char *from, const char *to) {
    struct posix_root *root = context;
    return status_of_call(renameat(root->descriptor, from, root->descriptor, to));
}

static enum trib_status posix_remove(void *context, const char *path) {
    struct posix_root *root = context;
    int result = unlinkat(root->descriptor, path, 0);
    if (result != 0 && errno == EISDIR)
        result = unlinkat(root->descriptor, path, AT_REMOVEDIR);
    return status_of_call(result);
}

static enum trib_status posix_make_directory(void *context, const char *path) {
    struct posix_root *root = context;
    if (mkdirat(root->descriptor, path, 0700) == 0)
        return TRIB_OK;
    struct stat facts;
    int error = errno;
    if (error == EEXIST && fstatat(root->descriptor, path, &facts, 0) == 0 &&
        S_ISDIR(facts.st_mode))
        return TRIB_OK;
    return status_of(error);
}

static enum trib_status posix_sync_directory(void *context, const char *path) {
    struct posix_root *root = context;
    int descriptor = open_at(root->descriptor, path, O_RDONLY | O_DIRECTORY);
    if (descriptor < 0)
        return status_of(errno);
    int result;
    do
        result = fsync(descriptor);
    while (result != 0 && errno == EINTR);
    enum trib_status status = status_of_call(result);
    (void)close(descriptor);
    return status;
}

/* Names of one directory, in an arena. */
struct name_list {
    const struct trib_env *env;
    struct trib_arena arena;
    char **names;
    size_t name_count;
    size_t names_max;
};

static bool add_name(struct name_list *list, const char *name) {
    if (list->name_count == list->names_max) {
        size_t names_max = list->names_max > 0 ? list->names_max * 2 : 64;
        char **grown =
            trib_regrow(list->env, list->names, list->names_max, names_max, sizeof *list->names);
        if (!grown)
            return false;
        list->names = grown;
        list->names_max = names_max;
    }
    char *copy = trib_arena_copy(&list->arena, name, strlen(name));
    if (copy)
        list->names[list->name_count++] = copy;
    return copy != NULL;
}

static enum trib_status read_names(struct name_list *list, DIR *directory) {
    for (;;) {
        errno = 0; /* the only way to tell the end from an error */
        const struct dirent *entry = readdir(directory);
        if (!entry)
            return errno == 0 ? TRIB_OK : status_of(errno);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !add_name(list, entry->d_name))
            return TRIB_EMEMORY;
    }
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum trib_status posix_list(void *context, const char *path,
                                   void (*visit)(void *visitor, const char *name), void *visitor) {
    struct posix_root *root = context;
    int descriptor = open_at(root->descriptor, path, O_RDONLY | O_DIRECTORY);
    if (descriptor < 0)
        return status_of(errno);
    DIR *directory = fdopendir(descriptor);
    if (!directory) {
        enum trib_status status = status_of(errno);
        (void)close(descriptor);
        return status;
    }
    struct name_list list = {.env = root->env};
    trib_arena_init(&list.arena, root->env, 0);
    enum trib_status status = read_names(&list, directory);
    (void)closedir(directory);
    if (status == TRIB_OK && list.name_count > 0) {
        qsort(list.names, list.name_count, sizeof *list.names, compare_names);
        for (size_t index = 0; index < list.name_count; index++)
            visit(visitor, list.names[index]);
    }
    trib_release(root->env, list.names, list.names_max, sizeof *list.names);
    trib_arena_deinit(&list.arena);
    return status;
}

static enum trib_status posix_free_bytes(void *context, uint64_t *bytes) {
    struct posix_root *root = context;
    struct statvfs facts;
    if (fstatvfs(root->descriptor, &facts) != 0)
        return status_of(errno);
    *bytes = (uint64_t)facts.f_bavail * facts.f_frsize;
    return TRIB_OK;
}

static const struct trib_files posix_table = {
    .open = posix_open,
    .close = posix_close,
    .read_at = posix_read_at,
    .write_at = posix_write_at,
    .sync = posix_sync,
    .truncate = posix_truncate,
    .size = posix_size,
    .descriptor = posix_descriptor,
    .rename = posix_rename,
    .remove = posix_remove,
    .make_directory = posix_make_directory,
    .sync_directory = posix_sync_directory,
    .list = posix_list,
    .free_bytes = posix_free_bytes,
};

static enum trib_status refuse(struct trib_error *error, int cause, const char *what,
                               const char *path) {
    return trib_error_set(error, status_of(cause), "%s %s: %s", what, path, strerror(cause));
}

/* Fills descriptor. A root made here is made durable: its entry in the parent is synced. */
static enum trib_status open_root(struct posix_root *root, const char *path,
                                  struct trib_error *error) {
    bool is_new = mkdir(path, 0700) == 0;
    if (!is_new && errno != EEXIST)
        return refuse(error, errno, "create directory", path);
    root->descriptor = open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    if (root->descriptor < 0)
        return refuse(error, errno, "open directory", path);
    enum trib_status status = is_new ? posix_sync_directory(root, "..") : TRIB_OK;
    if (status != TRIB_OK)
        trib_error_set(error, status, "sync the parent of %s: %s", path, trib_status_text(status));
    return status;
}

static enum trib_status take_lock(struct posix_root *root, const char *path,
                                  struct trib_error *error) {
    root->lock = open_at(root->descriptor, "lock", O_RDWR | O_CREAT);
    if (root->lock < 0)
        return refuse(error, errno, "open the lock in", path);
    int result;
    do
        result = flock(root->lock, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return TRIB_OK;
    if (errno == EWOULDBLOCK)
        return trib_error_set(error, TRIB_ECONFLICT, "%s is in use by another process", path);
    return refuse(error, errno, "lock", path);
}

enum trib_status trib_files_open(const struct trib_env *env, const char *root, bool is_exclusive,
                                 struct trib_files **files, struct trib_error *error) {
    struct posix_root *opened = trib_allocate(env, 1, sizeof *opened);
    if (!opened)
        return trib_error_set(error, TRIB_EMEMORY, "open directory %s: out of memory", root);
    *opened = (struct posix_root){.files = posix_table, .env = env, .descriptor = -1, .lock = -1};
    opened->files.context = opened;
    enum trib_status status = open_root(opened, root, error);
    if (status == TRIB_OK && is_exclusive)
        status = take_lock(opened, root, error);
    if (status == TRIB_OK)
        status = trib_crash_arm(error);
    if (status == TRIB_OK && trib_crash_is_armed())
        status = trib_files_crash_install(env, &opened->files);
    if (status != TRIB_OK) {
        trib_files_close(&opened->files);
        return status;
    }
    *files = &opened->files;
    return TRIB_OK;
}

void trib_files_close(struct trib_files *files) {
    if (!files)
        return;
    trib_files_crash_remove(files);
    struct posix_root *root = files->context;
    if (root->lock >= 0)
        (void)close(root->lock); /* releases the lock */
    if (root->descriptor >= 0)
        (void)close(root->descriptor);
    trib_release(root->env, root, 1, sizeof *root);
}
