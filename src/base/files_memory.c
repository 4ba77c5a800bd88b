/* files_memory.c - files and directories as nodes with a current and a durable side.
 *
 * A node is held by every entry that names it (of a current or durable directory) and every open
 * file; it goes when the last holder does. Memory of the fake itself never fails. */
#include "base/files_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"

#define SECTOR_BYTES 512

struct contents {
    unsigned char *bytes;
    size_t byte_count;
    size_t capacity;
};

struct entry {
    char *name;
    struct memory_node *node;
};

struct entries {
    struct entry *list;
    size_t count;
};

struct memory_node {
    unsigned holders;
    bool is_directory;
    struct contents current, durable; /* files */
    bool *dirty_sectors;              /* one per sector of current.capacity */
    struct entries now, synced;       /* directories */
};

struct trib_file {
    struct memory_node *node;
    struct trib_file *next; /* of memory->handles */
    bool is_orphan;         /* opened before a crash */
    bool is_writable;
};

static void *must_grow(void *memory, size_t bytes) {
    void *grown = realloc(memory, bytes);
    TRIB_ASSERT(grown != NULL);
    return grown;
}

static size_t sectors(size_t bytes) {
    return (bytes + SECTOR_BYTES - 1) / SECTOR_BYTES;
}

/* --- Contents of files --- */

/* Bytes between the old and the new size are zero. */
static void resize(struct contents *contents, size_t byte_count) {
    if (byte_count > contents->capacity) {
        contents->capacity = sectors(byte_count * 2) * SECTOR_BYTES;
        contents->bytes = must_grow(contents->bytes, contents->capacity);
    }
    if (byte_count > contents->byte_count)
        memset(contents->bytes + contents->byte_count, 0, byte_count - contents->byte_count);
    contents->byte_count = byte_count;
}

static void resize_current(struct memory_node *node, size_t byte_count) {
    size_t sectors_before = sectors(node->current.capacity);
    resize(&node->current, byte_count);
    size_t sectors_after = sectors(node->current.capacity);
    if (sectors_after > sectors_before) {
        node->dirty_sectors = must_grow(node->dirty_sectors, sectors_after * sizeof(bool));
        memset(node->dirty_sectors + sectors_before, 0,
               (sectors_after - sectors_before) * sizeof(bool));
    }
}

static void soil(struct memory_node *node, size_t offset, size_t count) {
    for (size_t sector = offset / SECTOR_BYTES; sector < sectors(offset + count); sector++)
        node->dirty_sectors[sector] = true;
}

static void clean(struct memory_node *node) {
    if (node->dirty_sectors)
        memset(node->dirty_sectors, 0, sectors(node->current.capacity) * sizeof(bool));
}

static void sync_sector(struct memory_node *node, size_t sector) {
    size_t start = sector * SECTOR_BYTES;
    if (start >= node->durable.byte_count || start >= node->current.byte_count)
        return;
    size_t current_left = node->current.byte_count - start;
    size_t durable_left = node->durable.byte_count - start;
    size_t count = current_left < durable_left ? current_left : durable_left;
    memcpy(node->durable.bytes + start, node->current.bytes + start,
           count < SECTOR_BYTES ? count : SECTOR_BYTES);
}

/* With a random generator: only what its coin lets through. */
static void sync_node(struct memory_node *node, struct trib_random *coin) {
    if (!coin || trib_random_below(coin, 2))
        resize(&node->durable, node->current.byte_count);
    for (size_t sector = 0; sector < sectors(node->current.byte_count); sector++) {
        if (node->dirty_sectors[sector] && (!coin || trib_random_below(coin, 2)))
            sync_sector(node, sector);
    }
    clean(node);
}

/* --- Directories --- */

static void let_go(struct memory_node *node);

static void clear_entries(struct entries *entries) {
    for (size_t index = 0; index < entries->count; index++) {
        free(entries->list[index].name);
        let_go(entries->list[index].node);
    }
    free(entries->list);
    *entries = (struct entries){0};
}

static void let_go(struct memory_node *node) {
    if (--node->holders > 0)
        return;
    clear_entries(&node->now);
    clear_entries(&node->synced);
    free(node->current.bytes);
    free(node->durable.bytes);
    free(node->dirty_sectors);
    free(node);
}

static struct memory_node *new_node(bool is_directory) {
    struct memory_node *node = must_grow(NULL, sizeof *node);
    *node = (struct memory_node){.is_directory = is_directory};
    return node;
}

static struct entry *find_entry(const struct entries *entries, const char *name) {
    for (size_t index = 0; index < entries->count; index++) {
        if (strcmp(entries->list[index].name, name) == 0)
            return &entries->list[index];
    }
    return NULL;
}

/* Kept in bytewise order, which is the order of list(). Takes a hold of the node. */
static void add_entry(struct entries *entries, const char *name, struct memory_node *node) {
    entries->list = must_grow(entries->list, (entries->count + 1) * sizeof *entries->list);
    size_t index = entries->count++;
    for (; index > 0 && strcmp(entries->list[index - 1].name, name) > 0; index--)
        entries->list[index] = entries->list[index - 1];
    char *copy = strdup(name);
    TRIB_ASSERT(copy != NULL);
    entries->list[index] = (struct entry){copy, node};
    node->holders++;
}

static void remove_entry(struct entries *entries, const char *name) {
    struct entry *entry = find_entry(entries, name);
    size_t index = (size_t)(entry - entries->list);
    free(entry->name);
    let_go(entry->node);
    memmove(entry, entry + 1, (entries->count - index - 1) * sizeof *entry);
    entries->count--;
}

static void copy_entries(struct entries *target, const struct entries *source) {
    struct entries before = *target;
    *target = (struct entries){0};
    for (size_t index = 0; index < source->count; index++)
        add_entry(target, source->list[index].name, source->list[index].node);
    clear_entries(&before);
}

/* The directory that holds the last component of path, and that component. NULL: a directory on
 * the way is missing. For the root itself *name is NULL. */
static struct memory_node *find_parent(struct trib_files_memory *memory, const char *path,
                                       const char **name) {
    struct memory_node *node = memory->root;
    *name = NULL;
    if (*path == '\0' || strcmp(path, ".") == 0)
        return node;
    for (const char *slash; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        char component[256];
        size_t count = (size_t)(slash - path);
        TRIB_ASSERT(count > 0 && count < sizeof component);
        memcpy(component, path, count);
        component[count] = '\0';
        const struct entry *entry = find_entry(&node->now, component);
        if (!entry || !entry->node->is_directory)
            return NULL;
        node = entry->node;
    }
    TRIB_ASSERT(*path != '\0');
    *name = path;
    return node;
}

static struct memory_node *find_node(struct trib_files_memory *memory, const char *path) {
    const char *name;
    struct memory_node *parent = find_parent(memory, path, &name);
    if (!parent || !name)
        return parent;
    const struct entry *entry = find_entry(&parent->now, name);
    return entry ? entry->node : NULL;
}

/* --- The table: each call is entered, done and left under the lock --- */

/* Whether this call fails, and how. */
static enum trib_status enter(struct trib_files_memory *memory) {
    pthread_mutex_lock(&memory->lock);
    memory->call_count++;
    if (memory->calls_until_failure == 0)
        return TRIB_OK;
    if (memory->calls_until_failure > 1) {
        memory->calls_until_failure--;
        return TRIB_OK;
    }
    memory->has_failed = true;
    if (!memory->is_stopping)
        memory->calls_until_failure = 0;
    return memory->failure;
}

static enum trib_status enter_file(struct trib_files_memory *memory, const struct trib_file *file) {
    enum trib_status status = enter(memory);
    return file->is_orphan ? TRIB_EIO : status;
}

static enum trib_status leave(struct trib_files_memory *memory, enum trib_status status) {
    pthread_mutex_unlock(&memory->lock);
    return status;
}

static enum trib_status open_node(struct trib_files_memory *memory, const char *path,
                                  enum trib_file_mode mode, struct memory_node **node) {
    const char *name;
    struct memory_node *parent = find_parent(memory, path, &name);
    if (!parent)
        return TRIB_ENOTFOUND;
    if (!name)
        return TRIB_EIO; /* the root is a directory */
    const struct entry *entry = find_entry(&parent->now, name);
    if (!entry && mode == TRIB_FILE_READ)
        return TRIB_ENOTFOUND;
    if (!entry) {
        add_entry(&parent->now, name, new_node(false));
        entry = find_entry(&parent->now, name);
    }
    if (entry->node->is_directory)
        return TRIB_EIO;
    if (mode == TRIB_FILE_CREATE)
        resize_current(entry->node, 0);
    *node = entry->node;
    return TRIB_OK;
}

static enum trib_status memory_open(void *context, const char *path, enum trib_file_mode mode,
                                    struct trib_file **file) {
    struct trib_files_memory *memory = context;
    struct memory_node *node;
    enum trib_status status = enter(memory);
    if (status == TRIB_OK)
        status = open_node(memory, path, mode, &node);
    if (status != TRIB_OK)
        return leave(memory, status);
    struct trib_file *opened = must_grow(NULL, sizeof *opened);
    *opened = (struct trib_file){
        .node = node, .next = memory->handles, .is_writable = mode != TRIB_FILE_READ};
    node->holders++;
    memory->handles = opened;
    memory->handles_open++;
    *file = opened;
    return leave(memory, TRIB_OK);
}

static void memory_close(void *context, struct trib_file *file) {
    struct trib_files_memory *memory = context;
    if (!file)
        return;
    pthread_mutex_lock(&memory->lock);
    struct trib_file **link = &memory->handles;
    while (*link && *link != file)
        link = &(*link)->next;
    TRIB_ASSERT(*link == file); /* else: closed twice */
    *link = file->next;
    if (!file->is_orphan)
        memory->handles_open--;
    let_go(file->node);
    free(file);
    pthread_mutex_unlock(&memory->lock);
}

static enum trib_status memory_read_at(void *context, struct trib_file *file, uint64_t offset,
                                       void *bytes, size_t count, size_t *done) {
    struct trib_files_memory *memory = context;
    *done = 0;
    enum trib_status status = enter_file(memory, file);
    if (status != TRIB_OK)
        return leave(memory, status);
    const struct contents *contents = &file->node->current;
    size_t left = offset < contents->byte_count ? contents->byte_count - (size_t)offset : 0;
    if (count > left)
        count = left;
    if (memory->short_read_bytes > 0 && count > memory->short_read_bytes)
        count = memory->short_read_bytes;
    if (count > 0)
        memcpy(bytes, contents->bytes + offset, count);
    *done = count;
    return leave(memory, TRIB_OK);
}

static uint64_t tree_bytes(const struct memory_node *node) {
    uint64_t bytes = node->current.byte_count;
    for (size_t index = 0; index < node->now.count; index++)
        bytes += tree_bytes(node->now.list[index].node);
    return bytes;
}

/* How many bytes the tree may still grow. */
static uint64_t room_left(const struct trib_files_memory *memory) {
    if (memory->capacity_bytes == 0)
        return UINT64_C(1) << 40;
    uint64_t used = tree_bytes(memory->root);
    return used < memory->capacity_bytes ? memory->capacity_bytes - used : 0;
}

static void set_current_size(struct memory_node *node, size_t byte_count) {
    size_t before = node->current.byte_count;
    resize_current(node, byte_count);
    if (byte_count > before)
        soil(node, before, byte_count - before);
}

static void write_node(struct memory_node *node, size_t offset, const void *bytes, size_t count) {
    if (count == 0)
        return;
    if (offset + count > node->current.byte_count)
        set_current_size(node, offset + count);
    memcpy(node->current.bytes + offset, bytes, count);
    soil(node, offset, count);
}

static enum trib_status memory_write_at(void *context, struct trib_file *file, uint64_t offset,
                                        const void *bytes, size_t count) {
    struct trib_files_memory *memory = context;
    TRIB_ASSERT(file->is_writable);
    enum trib_status status = enter_file(memory, file);
    uint64_t end_max = file->node->current.byte_count + room_left(memory);
    if (status != TRIB_OK) {
        count /= 2;
    } else if (offset + count > end_max) {
        count = offset < end_max ? (size_t)(end_max - offset) : 0;
        status = TRIB_EFULL;
    }
    if (!file->is_orphan)
        write_node(file->node, (size_t)offset, bytes, count);
    return leave(memory, status);
}

static enum trib_status memory_sync(void *context, struct trib_file *file) {
    struct trib_files_memory *memory = context;
    enum trib_status status = enter_file(memory, file);
    if (status == TRIB_OK && !memory->is_losing_syncs) {
        sync_node(file->node, NULL);
        memory->sync_count++;
    } else if (status != TRIB_OK && !memory->is_stopping) {
        clean(file->node);
    }
    return leave(memory, status);
}

static enum trib_status memory_truncate(void *context, struct trib_file *file, uint64_t bytes) {
    struct trib_files_memory *memory = context;
    TRIB_ASSERT(file->is_writable);
    enum trib_status status = enter_file(memory, file);
    if (status == TRIB_OK && bytes > file->node->current.byte_count + room_left(memory))
        status = TRIB_EFULL;
    if (status == TRIB_OK)
        set_current_size(file->node, (size_t)bytes);
    return leave(memory, status);
}

static enum trib_status memory_size(void *context, struct trib_file *file, uint64_t *bytes) {
    struct trib_files_memory *memory = context;
    enum trib_status status = enter_file(memory, file);
    if (status == TRIB_OK)
        *bytes = file->node->current.byte_count;
    return leave(memory, status);
}

static int memory_descriptor(void *context, struct trib_file *file) {
    (void)context;
    (void)file;
    return -1;
}

static enum trib_status rename_entry(struct trib_files_memory *memory, const char *from,
                                     const char *to) {
    const char *from_name, *to_name;
    struct memory_node *from_parent = find_parent(memory, from, &from_name);
    struct memory_node *to_parent = find_parent(memory, to, &to_name);
    if (!from_parent || !to_parent)
        return TRIB_ENOTFOUND;
    TRIB_ASSERT(from_name && to_name);
    const struct entry *source = find_entry(&from_parent->now, from_name);
    const struct entry *target = find_entry(&to_parent->now, to_name);
    if (!source)
        return TRIB_ENOTFOUND;
    struct memory_node *node = source->node;
    if (target && target->node == node)
        return TRIB_OK;
    if (target && target->node->is_directory)
        return node->is_directory && target->node->now.count > 0 ? TRIB_ECONFLICT : TRIB_EIO;
    if (target)
        remove_entry(&to_parent->now, to_name);
    add_entry(&to_parent->now, to_name, node);
    remove_entry(&from_parent->now, from_name);
    return TRIB_OK;
}

static enum trib_status memory_rename(void *context, const char *from, const char *to) {
    struct trib_files_memory *memory = context;
    enum trib_status status = enter(memory);
    return leave(memory, status == TRIB_OK ? rename_entry(memory, from, to) : status);
}

static enum trib_status memory_remove(void *context, const char *path) {
    struct trib_files_memory *memory = context;
    const char *name;
    enum trib_status status = enter(memory);
    struct memory_node *parent = find_parent(memory, path, &name);
    const struct entry *entry = parent && name ? find_entry(&parent->now, name) : NULL;
    if (status == TRIB_OK && !entry)
        status = TRIB_ENOTFOUND;
    if (status == TRIB_OK && entry->node->now.count > 0)
        status = TRIB_ECONFLICT;
    if (status == TRIB_OK)
        remove_entry(&parent->now, name);
    return leave(memory, status);
}

static enum trib_status make_node(struct trib_files_memory *memory, const char *path) {
    const char *name;
    struct memory_node *parent = find_parent(memory, path, &name);
    if (!parent)
        return TRIB_ENOTFOUND;
    const struct entry *entry = name ? find_entry(&parent->now, name) : NULL;
    if (entry && !entry->node->is_directory)
        return TRIB_ECONFLICT;
    if (name && !entry)
        add_entry(&parent->now, name, new_node(true));
    return TRIB_OK;
}

static enum trib_status memory_make_directory(void *context, const char *path) {
    struct trib_files_memory *memory = context;
    enum trib_status status = enter(memory);
    return leave(memory, status == TRIB_OK ? make_node(memory, path) : status);
}

static enum trib_status memory_sync_directory(void *context, const char *path) {
    struct trib_files_memory *memory = context;
    enum trib_status status = enter(memory);
    struct memory_node *node = find_node(memory, path);
    if (status == TRIB_OK && (!node || !node->is_directory))
        status = TRIB_ENOTFOUND;
    if (status == TRIB_OK && !memory->is_losing_syncs)
        copy_entries(&node->synced, &node->now);
    return leave(memory, status);
}

static enum trib_status memory_list(void *context, const char *path,
                                    void (*visit)(void *visitor, const char *name), void *visitor) {
    struct trib_files_memory *memory = context;
    struct entries entries = {0};
    enum trib_status status = enter(memory);
    struct memory_node *node = find_node(memory, path);
    if (status == TRIB_OK && (!node || !node->is_directory))
        status = TRIB_ENOTFOUND;
    if (status == TRIB_OK)
        copy_entries(&entries, &node->now);
    leave(memory, status);
    /* Outside the lock: a visitor may use the table. */
    for (size_t index = 0; index < entries.count; index++)
        visit(visitor, entries.list[index].name);
    pthread_mutex_lock(&memory->lock);
    clear_entries(&entries);
    pthread_mutex_unlock(&memory->lock);
    return status;
}

static enum trib_status memory_free_bytes(void *context, uint64_t *bytes) {
    struct trib_files_memory *memory = context;
    enum trib_status status = enter(memory);
    if (status == TRIB_OK)
        *bytes = room_left(memory);
    return leave(memory, status);
}

/* --- The machine around it --- */

void trib_files_memory_init(struct trib_files_memory *memory) {
    *memory = (struct trib_files_memory){
        .files =
            {
                .context = memory,
                .open = memory_open,
                .close = memory_close,
                .read_at = memory_read_at,
                .write_at = memory_write_at,
                .sync = memory_sync,
                .truncate = memory_truncate,
                .size = memory_size,
                .descriptor = memory_descriptor,
                .rename = memory_rename,
                .remove = memory_remove,
                .make_directory = memory_make_directory,
                .sync_directory = memory_sync_directory,
                .list = memory_list,
                .free_bytes = memory_free_bytes,
            },
    };
    memory->root = new_node(true);
    memory->root->holders = 1;
    TRIB_ASSERT(pthread_mutex_init(&memory->lock, NULL) == 0);
}

void trib_files_memory_deinit(struct trib_files_memory *memory) {
    TRIB_ASSERT(memory->handles_open == 0);
    while (memory->handles) /* only orphans are left, of owners that died in a crash */
        memory_close(memory, memory->handles);
    let_go(memory->root);
    pthread_mutex_destroy(&memory->lock);
}

static void set_failure(struct trib_files_memory *memory, uint64_t nth, enum trib_status failure,
                        bool is_stopping) {
    pthread_mutex_lock(&memory->lock);
    memory->calls_until_failure = nth;
    memory->failure = failure;
    memory->is_stopping = is_stopping;
    memory->has_failed = false;
    pthread_mutex_unlock(&memory->lock);
}

void trib_files_memory_fail(struct trib_files_memory *memory, uint64_t nth,
                            enum trib_status status) {
    TRIB_ASSERT(status != TRIB_OK);
    set_failure(memory, nth, status, false);
}

void trib_files_memory_stop(struct trib_files_memory *memory, uint64_t nth) {
    set_failure(memory, nth, TRIB_EIO, true);
}

static void revert(struct memory_node *node, struct trib_random *coin) {
    if (!node->is_directory) {
        if (coin)
            sync_node(node, coin);
        resize_current(node, node->durable.byte_count);
        if (node->durable.byte_count > 0)
            memcpy(node->current.bytes, node->durable.bytes, node->durable.byte_count);
        clean(node);
        return;
    }
    if (coin && trib_random_below(coin, 2))
        copy_entries(&node->synced, &node->now);
    copy_entries(&node->now, &node->synced);
    for (size_t index = 0; index < node->now.count; index++)
        revert(node->now.list[index].node, coin);
}

void trib_files_memory_kill(struct trib_files_memory *memory) {
    bool had_failed = memory->has_failed;
    set_failure(memory, 0, TRIB_EIO, false);
    pthread_mutex_lock(&memory->lock);
    memory->has_failed = had_failed;
    for (struct trib_file *file = memory->handles; file; file = file->next)
        file->is_orphan = true;
    memory->handles_open = 0;
    pthread_mutex_unlock(&memory->lock);
}

static void crash(struct trib_files_memory *memory, struct trib_random *coin) {
    trib_files_memory_kill(memory);
    pthread_mutex_lock(&memory->lock);
    revert(memory->root, coin);
    pthread_mutex_unlock(&memory->lock);
}

void trib_files_memory_crash(struct trib_files_memory *memory) {
    crash(memory, NULL);
}

void trib_files_memory_crash_torn(struct trib_files_memory *memory, uint64_t seed) {
    struct trib_random coin;
    trib_random_init(&coin, seed);
    crash(memory, &coin);
}

/* The file that a crash would leave under this path; NULL: none. */
static struct memory_node *find_durable(const struct trib_files_memory *memory, const char *path) {
    struct memory_node *node = memory->root;
    for (;;) {
        char component[256];
        size_t count = strcspn(path, "/");
        TRIB_ASSERT(count > 0 && count < sizeof component);
        memcpy(component, path, count);
        component[count] = '\0';
        const struct entry *entry = find_entry(&node->synced, component);
        if (!entry)
            return NULL;
        node = entry->node;
        if (path[count] == '\0')
            return node;
        path += count + 1;
    }
}

const void *trib_files_memory_durable(const struct trib_files_memory *memory, const char *path,
                                      uint64_t *byte_count) {
    const struct memory_node *node = find_durable(memory, path);
    if (!node)
        return NULL;
    *byte_count = node->durable.byte_count;
    return node->durable.bytes ? (const void *)node->durable.bytes : "";
}

void trib_files_memory_rot(struct trib_files_memory *memory, const char *path, uint64_t offset) {
    pthread_mutex_lock(&memory->lock);
    struct memory_node *node = find_durable(memory, path);
    node = node ? node : find_node(memory, path);
    TRIB_ASSERT(node && (offset < node->current.byte_count || offset < node->durable.byte_count));
    if (offset < node->current.byte_count)
        node->current.bytes[offset] ^= 1;
    if (offset < node->durable.byte_count)
        node->durable.bytes[offset] ^= 1;
    pthread_mutex_unlock(&memory->lock);
}
