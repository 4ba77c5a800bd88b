/* world_files.c - trib_files_open() on the disk in memory, and what can befall it.
 *
 * Only the SQLite index is outside: it does its own I/O in a real directory. It is a cache that the
 * daemon must do without, so a crash sometimes removes it or brings back an older one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/faults/machine.h"
#include "sim/faults/world.h"

#define DESCRIPTOR_FIRST 1000
#define DESCRIPTORS_MAX 256

static struct {
    struct trib_files files;
    struct trib_file *described[DESCRIPTORS_MAX];
    uint64_t disk_full_until; /* happening that makes room again; 0: none */
    bool is_armed;            /* one call will fail */
    enum trib_status failure; /* so */
} machine;

static const char *const index_parts[] = {"", "-wal", "-shm"};

static void index_path(char path[256], const char *run, const char *part) {
    (void)snprintf(path, 256, "%s/runs/%s/index.sqlite%s", world.directory, run, part);
}

/* The real folder of a run, for its index. */
static void make_folder(const char *run) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/runs", world.directory);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof path, "%s/runs/%s", world.directory, run);
    (void)mkdir(path, 0700);
}

static void remove_index(const char *run) {
    char path[256];
    for (size_t i = 0; i < sizeof index_parts / sizeof *index_parts; i++) {
        index_path(path, run, index_parts[i]);
        (void)unlink(path);
    }
}

static void remove_older_index(const char *run) {
    char path[256];
    index_path(path, run, ".older");
    (void)unlink(path);
}

/* --- the table: the disk's own, but for descriptors and the folder of the index ------------------ */

static int give_descriptor(void *context, struct trib_file *file) {
    (void)context;
    for (int i = 0; i < DESCRIPTORS_MAX; i++) {
        if (machine.described[i] == NULL) {
            machine.described[i] = file;
            return DESCRIPTOR_FIRST + i;
        }
    }
    world_fail("more than %d files are being sent", DESCRIPTORS_MAX);
}

struct trib_file *machine_file_of(int descriptor) {
    int index = descriptor - DESCRIPTOR_FIRST;
    TRIB_ASSERT(index >= 0 && index < DESCRIPTORS_MAX);
    TRIB_ASSERT(machine.described[index] != NULL); /* else: closed before it was sent */
    return machine.described[index];
}

static void close_file(void *context, struct trib_file *file) {
    for (int i = 0; i < DESCRIPTORS_MAX && file != NULL; i++) {
        if (machine.described[i] == file) {
            machine.described[i] = NULL;
        }
    }
    world.disk.files.close(context, file);
}

/* A run that is made or removed takes its index with it. */
static enum trib_status rename_path(void *context, const char *from, const char *to) {
    enum trib_status status = world.disk.files.rename(context, from, to);
    if (status == TRIB_OK && strncmp(from, "runs/.new.", 10) == 0) {
        make_folder(to + 5);
        remove_index(to + 5);
    } else if (status == TRIB_OK && strncmp(to, "runs/.trash.", 12) == 0) {
        remove_index(from + 5);
        remove_older_index(from + 5);
    }
    return status;
}

enum trib_status trib_files_open(const struct trib_env *env, const char *root, bool is_exclusive,
                                 struct trib_files **files, struct trib_error *error) {
    (void)env;
    (void)root;
    (void)is_exclusive;
    (void)error;
    machine.files = world.disk.files;
    machine.files.descriptor = give_descriptor;
    machine.files.close = close_file;
    machine.files.rename = rename_path;
    *files = &machine.files;
    return TRIB_OK;
}

void trib_files_close(struct trib_files *files) {
    (void)files;
}

/* --- trouble ------------------------------------------------------------------------------------------ */

static void make_room(void *context) {
    (void)context;
    machine.disk_full_until = 0;
    world.disk.capacity_bytes = 0;
    world_trace("        the disk has room again");
}

static void fill_disk(void) {
    uint64_t left;
    const uint64_t whole = UINT64_C(1) << 40;
    world.disk.capacity_bytes = whole;
    if (world.disk.files.free_bytes(&world.disk, &left) == TRIB_OK) {
        world.disk.capacity_bytes = whole - left + world_below(4096);
    } else {
        world.disk.capacity_bytes = 0;
        return;
    }
    world_trace("        the disk is full");
    tally_add(TALLY_DISK_FULL, 1);
    machine.disk_full_until =
        world_schedule(world_delay(TRIB_SECOND, 20 * TRIB_SECOND), WORLD_OUTSIDE, make_room, NULL);
}

/* A call that was to fail did: it counts. */
static void note_failure(void) {
    if (machine.is_armed && world.disk.has_failed) {
        tally_add(machine.failure == TRIB_EIO ? TALLY_CALL_FAILED : TALLY_CALL_FULL, 1);
        machine.is_armed = false;
    }
}

void machine_files_trouble(void) {
    note_failure();
    if (world.disk.is_stopping) {
        return;
    }
    machine.is_armed = false;
    uint64_t kind = world_below(10);
    if (kind < 4) {
        machine.is_armed = true;
        machine.failure = world_chance(0.7) ? TRIB_EIO : TRIB_EFULL;
        trib_files_memory_fail(&world.disk, 1 + world_below(60), machine.failure);
    } else if (kind < 9) {
        trib_files_memory_stop(&world.disk, 1 + world_below(80));
    } else if (machine.disk_full_until == 0) {
        fill_disk();
    }
}

void machine_files_calm(void) {
    note_failure();
    if (!world_is_dying()) {
        trib_files_memory_fail(&world.disk, 0, TRIB_EIO);
    }
    if (machine.disk_full_until != 0) {
        world_cancel(machine.disk_full_until);
        make_room(NULL);
    }
}

/* --- rot ----------------------------------------------------------------------------------------------- */

static struct {
    char path[160];
    uint64_t offset;
    unsigned char byte; /* the rotten one */
    enum tally kind;
} rot = {.kind = TALLY_COUNT};

struct pick {
    char name[64]; /* each of those seen so far with the same chance */
    uint64_t seen;
};

static void pick_name(void *visitor, const char *name) {
    struct pick *pick = visitor;
    if (strstr(name, ".tmp") == NULL && world_below(++pick->seen) == 0) {
        (void)snprintf(pick->name, sizeof pick->name, "%s", name);
    }
}

enum tally machine_files_rotten(void) {
    return rot.kind;
}

void machine_files_rot(const char *run) {
    static const struct {
        enum tally kind;
        const char *folder; /* NULL: the ledger */
    } places[] = {{TALLY_ROT_LEDGER, NULL},
                  {TALLY_ROT_SPOOL, "spool"},
                  {TALLY_ROT_VERSION, "versions"},
                  {TALLY_ROT_STATE, "state"}};
    size_t place = (size_t)world_below(sizeof places / sizeof *places);
    struct pick pick = {.name = "ledger"};
    char folder[100];
    (void)snprintf(folder, sizeof folder, "runs/%s%s%s", run,
                   places[place].folder == NULL ? "" : "/",
                   places[place].folder == NULL ? "" : places[place].folder);
    if (places[place].folder != NULL) {
        pick.name[0] = '\0';
        (void)world.disk.files.list(&world.disk, folder, pick_name, &pick);
    }
    (void)snprintf(rot.path, sizeof rot.path, "%s/%s", folder, pick.name);
    uint64_t byte_count = 0;
    if (pick.name[0] == '\0' ||
        trib_files_memory_durable(&world.disk, rot.path, &byte_count) == NULL || byte_count == 0) {
        return;
    }
    rot.offset = world_below(byte_count);
    rot.kind = places[place].kind;
    trib_files_memory_rot(&world.disk, rot.path, rot.offset);
    rot.byte = ((const unsigned char *)trib_files_memory_durable(&world.disk, rot.path,
                                                                 &byte_count))[rot.offset];
    tally_add(rot.kind, 1);
    world_trace("        one bit of %s at %llu is another", rot.path,
                (unsigned long long)rot.offset);
}

void machine_files_mend(void) {
    uint64_t byte_count = 0;
    const unsigned char *bytes =
        rot.kind == TALLY_COUNT ? NULL
                                : trib_files_memory_durable(&world.disk, rot.path, &byte_count);
    if (bytes != NULL && rot.offset < byte_count && bytes[rot.offset] == rot.byte) {
        trib_files_memory_rot(&world.disk, rot.path, rot.offset);
        world_trace("        %s is as it was", rot.path);
    }
    rot.kind = TALLY_COUNT;
}

/* --- the index over a crash ------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to) {
    FILE *source = fopen(from, "rb");
    FILE *target = source == NULL ? NULL : fopen(to, "wb");
    char bytes[65536];
    size_t count;
    while (target != NULL && (count = fread(bytes, 1, sizeof bytes, source)) > 0) {
        (void)fwrite(bytes, 1, count, target);
    }
    if (source != NULL) {
        (void)fclose(source);
    }
    if (target != NULL) {
        (void)fclose(target);
    }
}

static void age_index(void *visitor, const char *run) {
    (void)visitor;
    char path[256], older[264];
    make_folder(run);
    index_path(path, run, "");
    (void)snprintf(older, sizeof older, "%s.older", path);
    if (world_chance(0.15)) {
        world_trace("        the index of run %s is lost", run);
        tally_add(TALLY_INDEX_LOST, 1);
        remove_index(run);
    } else if (access(older, R_OK) == 0 && world_chance(0.2)) {
        world_trace("        the index of run %s is an older one", run);
        tally_add(TALLY_INDEX_OLD, 1);
        remove_index(run);
        copy_file(older, path);
    } else if (world_chance(0.5)) {
        copy_file(path, older);
    }
}

void machine_files_crash(void) {
    machine.is_armed = false;
    memset(machine.described, 0, sizeof machine.described);
    if (machine.disk_full_until != 0) {
        world_cancel(machine.disk_full_until);
        make_room(NULL);
    }
    (void)world.disk.files.list(&world.disk, "runs", age_index, NULL);
}

static void remove_run(const char *run) {
    char path[256];
    remove_index(run);
    remove_older_index(run);
    (void)snprintf(path, sizeof path, "%s/runs/%s", world.directory, run);
    (void)rmdir(path);
}

void machine_files_begin(void) {
    memset(&machine, 0, sizeof machine);
    rot.kind = TALLY_COUNT;
}

void machine_files_end(void) {
    static const char *const runs[] = {"r1", "r2"};
    char path[256];
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        remove_run(runs[i]);
    }
    (void)snprintf(path, sizeof path, "%s/runs", world.directory);
    (void)rmdir(path);
}
