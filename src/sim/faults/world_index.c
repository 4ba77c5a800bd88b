/* world_index.c - SQLite's files, whose calls fail now and then: a VFS before the usual one.
 *
 * The index is a cache: whatever happens to it, the daemon must refuse, rest or make it anew. */
#include <sqlite3.h>
#include <string.h>

#include "base/status.h"
#include "sim/faults/machine.h"
#include "sim/faults/world.h"
#include "store/index.h"

struct index_file {
    sqlite3_file base;  /* ours */
    sqlite3_file *real; /* lies behind it */
};

static sqlite3_vfs *usual;
static sqlite3_vfs flaky;

static bool fails(void) {
    return world.is_inside && world.index_chance > 0 &&
           world_fault(TALLY_INDEX_CALL, world.index_chance);
}

static sqlite3_file *real_of(sqlite3_file *file) {
    return ((struct index_file *)(void *)file)->real;
}

static int close_file(sqlite3_file *file) {
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int read_file(sqlite3_file *file, void *bytes, int count, sqlite3_int64 offset) {
    return fails() ? SQLITE_IOERR_READ
                   : real_of(file)->pMethods->xRead(real_of(file), bytes, count, offset);
}

static int write_file(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 offset) {
    return fails() ? (world_chance(0.5) ? SQLITE_FULL : SQLITE_IOERR_WRITE)
                   : real_of(file)->pMethods->xWrite(real_of(file), bytes, count, offset);
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 size) {
    return fails() ? SQLITE_IOERR_TRUNCATE
                   : real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int sync_file(sqlite3_file *file, int flags) {
    return fails() ? SQLITE_IOERR_FSYNC : real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size) {
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int lock(sqlite3_file *file, int level) {
    return fails() ? SQLITE_IOERR_LOCK : real_of(file)->pMethods->xLock(real_of(file), level);
}

static int unlock(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int is_reserved(sqlite3_file *file, int *result) {
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), result);
}

static int control(sqlite3_file *file, int what, void *argument) {
    return real_of(file)->pMethods->xFileControl(real_of(file), what, argument);
}

static int sector_size(sqlite3_file *file) {
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int traits(sqlite3_file *file) {
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int map_shared(sqlite3_file *file, int page, int page_bytes, int extends,
                      void volatile **memory) {
    return fails()
               ? SQLITE_IOERR_SHMMAP
               : real_of(file)->pMethods->xShmMap(real_of(file), page, page_bytes, extends, memory);
}

static int lock_shared(sqlite3_file *file, int offset, int count, int flags) {
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static void shared_barrier(sqlite3_file *file) {
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int unmap_shared(sqlite3_file *file, int is_deleted) {
    return real_of(file)->pMethods->xShmUnmap(real_of(file), is_deleted);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = lock,
    .xUnlock = unlock,
    .xCheckReservedLock = is_reserved,
    .xFileControl = control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = traits,
    .xShmMap = map_shared,
    .xShmLock = lock_shared,
    .xShmBarrier = shared_barrier,
    .xShmUnmap = unmap_shared,
};

static int open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                     int *flags_out) {
    (void)vfs;
    struct index_file *ours = (struct index_file *)(void *)file;
    memset(ours, 0, sizeof *ours);
    ours->real = (sqlite3_file *)(void *)(ours + 1);
    if (fails()) {
        return SQLITE_CANTOPEN;
    }
    int result = usual->xOpen(usual, name, ours->real, flags, flags_out);
    ours->base.pMethods = ours->real->pMethods == NULL ? NULL : &methods;
    return result;
}

/* SQLite keeps pages: most look-ups touch no file. So these fail by themselves, too. */
enum trib_status __real_trib_index_get_update(struct trib_index *, const char *, const char *,
                                              struct trib_index_update *); /* NOLINT */
enum trib_status __wrap_trib_index_get_update(struct trib_index *index, const char *client,
                                              const char *update,
                                              struct trib_index_update *found); /* NOLINT */
enum trib_status __wrap_trib_index_get_update(struct trib_index *index, const char *client,
                                              const char *update, struct trib_index_update *found) {
    return fails() ? TRIB_EIO : __real_trib_index_get_update(index, client, update, found);
}

void machine_index_begin(void) {
    if (usual != NULL) {
        return; /* it is there for the life of the program */
    }
    usual = sqlite3_vfs_find(NULL);
    TRIB_ASSERT(usual != NULL);
    flaky = *usual;
    flaky.zName = "flaky";
    flaky.szOsFile = usual->szOsFile + (int)sizeof(struct index_file);
    flaky.xOpen = open_file;
    flaky.pNext = NULL;
    TRIB_ASSERT(sqlite3_vfs_register(&flaky, 1) == SQLITE_OK);
}
