/* files_crash.c - crash points around files, and what a power cut takes back. */
#include "base/files_crash.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/crash.h"

#define KIND_BYTES 128

struct trib_file {
    struct trib_file *inner;
    char *path;
};

/* What a write or a truncation of a file that is not synced yet has replaced. */
struct change {
    struct change *older;
    char *path;
    uint64_t file_bytes; /* before */
    uint64_t offset;
    size_t byte_count; /* of bytes[] that were there from offset on */
    unsigned char bytes[];
};

struct crash_root {
    struct trib_files inner;
    const struct trib_env *env;
    bool is_power_cut;
    pthread_mutex_t lock; /* of a power cut: a change and its memory are one */
    struct change *newest;
};

/* ---- names ---- */

static void name_kind(const char *path, char kind[KIND_BYTES]) {
    const char *end = path + strlen(path);
    for (;;) {
        const char *first = end;
        while (first > path && first[-1] != '/')
            first--;
        size_t count = (size_t)(end - first);
        if (count > 4 && strncmp(end - 4, ".tmp", 4) == 0)
            count -= 4;
        size_t digits = strspn(first, "0123456789");
        if (digits < count && first[digits] == '.')
            digits++;
        if (digits < count) {
            snprintf(kind, KIND_BYTES, "%.*s", (int)(count - digits), first + digits);
            return;
        }
        if (first == path) { /* nothing but numbers and dots up to here */
            snprintf(kind, KIND_BYTES, "root");
            return;
        }
        end = first - 1;
    }
}

static void pass(const char *path, const char *action, const char *moment) {
    char kind[KIND_BYTES];
    name_kind(path, kind);
    trib_crash_point(kind, action, moment);
}

/* ---- what a power cut takes back ---- */

static void free_change(const struct crash_root *root, struct change *change) {
    trib_text_release(root->env, change->path);
    trib_release(root->env, change, 1, sizeof *change + change->byte_count);
}

/* The file's changes are durable, or the file is gone. */
static void forget(struct crash_root *root, const char *path) {
    for (struct change **link = &root->newest; *link;) {
        struct change *change = *link;
        if (strcmp(change->path, path) == 0) {
            *link = change->older;
            free_change(root, change);
        } else {
            link = &change->older;
        }
    }
}

/* The bytes of [offset, offset + count) that are about to be replaced. */
static enum trib_status remember(struct crash_root *root, struct trib_file *file, uint64_t offset,
                                 uint64_t count) {
    const struct trib_files *inner = &root->inner;
    uint64_t file_bytes;
    enum trib_status status = inner->size(inner->context, file->inner, &file_bytes);
    if (status != TRIB_OK)
        return status;
    uint64_t there = offset < file_bytes ? file_bytes - offset : 0;
    size_t byte_count = (size_t)(there < count ? there : count);
    struct change *change = trib_allocate(root->env, 1, sizeof *change + byte_count);
    if (!change)
        return TRIB_EMEMORY;
    *change = (struct change){.file_bytes = file_bytes, .offset = offset, .byte_count = byte_count};
    change->path = trib_text_copy(root->env, file->path);
    size_t done = 0;
    status = change->path ? inner->read_at(inner->context, file->inner, offset, change->bytes,
                                           byte_count, &done)
                          : TRIB_EMEMORY;
    if (status == TRIB_OK && done < byte_count)
        status = TRIB_EIO;
    if (status != TRIB_OK) {
        free_change(root, change);
        return status;
    }
    change->older = root->newest;
    root->newest = change;
    return TRIB_OK;
}

/* A file that has meanwhile lost its name has nothing to lose. */
static void take_back(const struct trib_files *files, const struct change *change) {
    struct trib_file *file;
    if (files->open(files->context, change->path, TRIB_FILE_WRITE, &file) != TRIB_OK)
        return;
    (void)files->write_at(files->context, file, change->offset, change->bytes, change->byte_count);
    (void)files->truncate(files->context, file, change->file_bytes);
    files->close(files->context, file);
}

/* The lock is kept: nobody writes any more. */
static void cut_power(void *context) {
    struct crash_root *root = context;
    pthread_mutex_lock(&root->lock);
    for (const struct change *change = root->newest; change; change = change->older)
        take_back(&root->inner, change);
}

/* ---- the table ---- */

static enum trib_status crash_open(void *context, const char *path, enum trib_file_mode mode,
                                   struct trib_file **file) {
    struct crash_root *root = context;
    struct trib_file *opened = trib_allocate(root->env, 1, sizeof *opened);
    char *copy = trib_text_copy(root->env, path);
    enum trib_status status = TRIB_EMEMORY;
    if (opened && copy)
        status = root->inner.open(root->inner.context, path, mode, &opened->inner);
    if (status != TRIB_OK) {
        trib_text_release(root->env, copy);
        trib_release(root->env, opened, 1, sizeof *opened);
        return status;
    }
    opened->path = copy;
    *file = opened;
    return TRIB_OK;
}

static void crash_close(void *context, struct trib_file *file) {
    struct crash_root *root = context;
    if (!file)
        return;
    root->inner.close(root->inner.context, file->inner);
    trib_text_release(root->env, file->path);
    trib_release(root->env, file, 1, sizeof *file);
}

static enum trib_status crash_read_at(void *context, struct trib_file *file, uint64_t offset,
                                      void *bytes, size_t count, size_t *done) {
    struct crash_root *root = context;
    return root->inner.read_at(root->inner.context, file->inner, offset, bytes, count, done);
}

static enum trib_status change_bytes(struct crash_root *root, struct trib_file *file,
                                     uint64_t offset, const void *bytes, size_t count) {
    if (!root->is_power_cut)
        return root->inner.write_at(root->inner.context, file->inner, offset, bytes, count);
    pthread_mutex_lock(&root->lock);
    enum trib_status status = remember(root, file, offset, count);
    if (status == TRIB_OK)
        status = root->inner.write_at(root->inner.context, file->inner, offset, bytes, count);
    pthread_mutex_unlock(&root->lock);
    return status;
}

static enum trib_status crash_write_at(void *context, struct trib_file *file, uint64_t offset,
                                       const void *bytes, size_t count) {
    const unsigned char *first = bytes;
    size_t half = count / 2;
    pass(file->path, "write", "before");
    enum trib_status status = change_bytes(context, file, offset, first, half);
    if (status != TRIB_OK)
        return status;
    pass(file->path, "write", "half");
    status = change_bytes(context, file, offset + half, first + half, count - half);
    pass(file->path, "write", "after");
    return status;
}

static enum trib_status crash_sync(void *context, struct trib_file *file) {
    struct crash_root *root = context;
    pass(file->path, "sync", "before");
    pthread_mutex_lock(&root->lock);
    enum trib_status status = root->inner.sync(root->inner.context, file->inner);
    if (status == TRIB_OK)
        forget(root, file->path);
    pthread_mutex_unlock(&root->lock);
    pass(file->path, "sync", "after");
    return status;
}

static enum trib_status crash_truncate(void *context, struct trib_file *file, uint64_t bytes) {
    struct crash_root *root = context;
    pass(file->path, "truncate", "before");
    pthread_mutex_lock(&root->lock);
    enum trib_status status =
        root->is_power_cut ? remember(root, file, bytes, UINT64_MAX) : TRIB_OK;
    if (status == TRIB_OK)
        status = root->inner.truncate(root->inner.context, file->inner, bytes);
    pthread_mutex_unlock(&root->lock);
    pass(file->path, "truncate", "after");
    return status;
}

static enum trib_status crash_size(void *context, struct trib_file *file, uint64_t *bytes) {
    struct crash_root *root = context;
    return root->inner.size(root->inner.context, file->inner, bytes);
}

static int crash_descriptor(void *context, struct trib_file *file) {
    struct crash_root *root = context;
    return root->inner.descriptor(root->inner.context, file->inner);
}

/* What was not synced under the old name is not durable under the new one. */
static enum trib_status follow(struct crash_root *root, const char *from, const char *to) {
    forget(root, to);
    for (struct change *change = root->newest; change; change = change->older) {
        if (strcmp(change->path, from) != 0)
            continue;
        char *path = trib_text_copy(root->env, to);
        if (!path)
            return TRIB_EMEMORY;
        trib_text_release(root->env, change->path);
        change->path = path;
    }
    return TRIB_OK;
}

static enum trib_status crash_rename(void *context, const char *from, const char *to) {
    struct crash_root *root = context;
    pass(to, "rename", "before");
    pthread_mutex_lock(&root->lock);
    enum trib_status status = root->inner.rename(root->inner.context, from, to);
    if (status == TRIB_OK)
        status = follow(root, from, to);
    pthread_mutex_unlock(&root->lock);
    pass(to, "rename", "after");
    return status;
}

static enum trib_status crash_remove(void *context, const char *path) {
    struct crash_root *root = context;
    pass(path, "remove", "before");
    pthread_mutex_lock(&root->lock);
    enum trib_status status = root->inner.remove(root->inner.context, path);
    if (status == TRIB_OK)
        forget(root, path);
    pthread_mutex_unlock(&root->lock);
    pass(path, "remove", "after");
    return status;
}

static enum trib_status crash_make_directory(void *context, const char *path) {
    struct crash_root *root = context;
    return root->inner.make_directory(root->inner.context, path);
}

static enum trib_status crash_sync_directory(void *context, const char *path) {
    struct crash_root *root = context;
    pass(path, "sync-directory", "before");
    enum trib_status status = root->inner.sync_directory(root->inner.context, path);
    pass(path, "sync-directory", "after");
    return status;
}

static enum trib_status crash_list(void *context, const char *path,
                                   void (*visit)(void *visitor, const char *name), void *visitor) {
    struct crash_root *root = context;
    return root->inner.list(root->inner.context, path, visit, visitor);
}

static enum trib_status crash_free_bytes(void *context, uint64_t *bytes) {
    struct crash_root *root = context;
    return root->inner.free_bytes(root->inner.context, bytes);
}

static const struct trib_files crash_table = {
    .open = crash_open,
    .close = crash_close,
    .read_at = crash_read_at,
    .write_at = crash_write_at,
    .sync = crash_sync,
    .truncate = crash_truncate,
    .size = crash_size,
    .descriptor = crash_descriptor,
    .rename = crash_rename,
    .remove = crash_remove,
    .make_directory = crash_make_directory,
    .sync_directory = crash_sync_directory,
    .list = crash_list,
    .free_bytes = crash_free_bytes,
};

enum trib_status trib_files_crash_install(const struct trib_env *env, struct trib_files *files) {
    struct crash_root *root = trib_allocate(env, 1, sizeof *root);
    if (!root)
        return TRIB_EMEMORY;
    *root =
        (struct crash_root){.inner = *files, .env = env, .is_power_cut = trib_crash_is_power_cut()};
    pthread_mutex_init(&root->lock, NULL);
    if (root->is_power_cut)
        trib_crash_set_last_act(cut_power, root);
    *files = crash_table;
    files->context = root;
    return TRIB_OK;
}

void trib_files_crash_remove(struct trib_files *files) {
    if (files->open != crash_open)
        return;
    struct crash_root *root = files->context;
    if (root->is_power_cut)
        trib_crash_set_last_act(NULL, NULL);
    *files = root->inner;
    for (struct change *change = root->newest, *older; change; change = older) {
        older = change->older;
        free_change(root, change);
    }
    pthread_mutex_destroy(&root->lock);
    trib_release(root->env, root, 1, sizeof *root);
}
