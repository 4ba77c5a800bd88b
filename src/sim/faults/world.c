/* world.c - the machine that the daemon under test believes in: time, chance, memory, disk. */
#include "sim/faults/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/daemon.h"
#include "sim/faults/judge.h"
#include "sim/faults/machine.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#endif

struct world world;

/* --- memory: every block of the daemon is known, so that a crash can take all of it --------------
 *
 * Addresses are a part of the daemon's state (the heart knows requests by them), so the same seed
 * must give the same ones: blocks come from one place in the address space, in powers of two, and
 * those that were given back wait in a queue before they are used again. */

#define HEAD_BYTES 64
#define RUBBISH_NEW 0xa5
#define RUBBISH_OLD 0xdd
#define ARENA_AT ((void *)0x100000000000)
#define ARENA_BYTES ((size_t)1 << 36) /* of addresses; pages come with their first use */
#define CLASSES 32

struct block_head {
    struct block_head *next, *previous; /* of those in use, or in the queue of its class */
    size_t bytes;
    int class;
};

static struct {
    unsigned char *start;
    size_t used;
    struct block_head *free_first[CLASSES], *free_last[CLASSES];
} arena;

static struct block_head *blocks;
static uint64_t block_count;

static void begin_arena(void) {
    if (arena.start == NULL) {
        arena.start = mmap(ARENA_AT, ARENA_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        TRIB_ASSERT(arena.start != MAP_FAILED);
    }
    ASAN_UNPOISON_MEMORY_REGION(arena.start, arena.used);
    (void)madvise(arena.start, arena.used, MADV_DONTNEED);
    arena.used = 0;
    memset(arena.free_first, 0, sizeof arena.free_first);
    memset(arena.free_last, 0, sizeof arena.free_last);
}

static struct block_head *pick_block(int class) {
    struct block_head *head = arena.free_first[class];
    if (head == NULL) {
        head = (struct block_head *)(void *)(arena.start + arena.used);
        arena.used += (size_t)HEAD_BYTES << class;
        TRIB_ASSERT(arena.used <= ARENA_BYTES);
        return head;
    }
    ASAN_UNPOISON_MEMORY_REGION(head, (size_t)HEAD_BYTES << class);
    arena.free_first[class] = head->next;
    return head;
}

static void *take_block(size_t bytes) {
    int class = 1;
    while (((size_t)HEAD_BYTES << class) < HEAD_BYTES + bytes) {
        class ++;
    }
    TRIB_ASSERT(class < CLASSES);
    struct block_head *head = pick_block(class);
    *head = (struct block_head){.next = blocks, .bytes = bytes, .class = class};
    if (blocks != NULL) {
        blocks->previous = head;
    }
    blocks = head;
    block_count++;
    unsigned char *memory = (unsigned char *)head + HEAD_BYTES;
    ASAN_POISON_MEMORY_REGION(memory + bytes, ((size_t)HEAD_BYTES << class) - HEAD_BYTES - bytes);
    return memset(memory, RUBBISH_NEW, bytes);
}

static void give_block(struct block_head *head) {
    if (head->previous != NULL) {
        head->previous->next = head->next;
    } else {
        blocks = head->next;
    }
    if (head->next != NULL) {
        head->next->previous = head->previous;
    }
    block_count--;
    memset((unsigned char *)head + HEAD_BYTES, RUBBISH_OLD, head->bytes);
    int class = head->class;
    head->next = NULL;
    if (arena.free_first[class] == NULL) {
        arena.free_first[class] = head;
    } else {
        ASAN_UNPOISON_MEMORY_REGION(arena.free_last[class], sizeof *head);
        arena.free_last[class]->next = head;
        ASAN_POISON_MEMORY_REGION(arena.free_last[class], sizeof *head);
    }
    arena.free_last[class] = head;
    ASAN_POISON_MEMORY_REGION(head, (size_t)HEAD_BYTES << class);
}

static struct block_head *head_of(void *memory) {
    return (struct block_head *)((unsigned char *)memory - HEAD_BYTES);
}

static void *env_allocate(void *context, size_t bytes) {
    (void)context;
    return world_refuses_memory(TALLY_NO_MEMORY) ? NULL : take_block(bytes);
}

static void env_release(void *context, void *memory, size_t bytes) {
    (void)context;
    if (memory != NULL) {
        TRIB_ASSERT(head_of(memory)->bytes == bytes);
        give_block(head_of(memory));
    }
}

uint64_t world_blocks_live(void) {
    return block_count + machine_json_live();
}

/* --- clocks, entropy, log -------------------------------------------------------------------------- */

static trib_time_ns env_monotonic(void *context) {
    (void)context;
    return world.now;
}

static double env_wall(void *context) {
    (void)context;
    return 1.7e9 + world.wall_shift + (double)world.now / 1e9;
}

static void env_entropy(void *context, void *bytes, size_t count) {
    (void)context;
    for (size_t i = 0; i < count; i++) {
        ((unsigned char *)bytes)[i] = (unsigned char)world_below(256);
    }
}

static void env_log(void *context, enum trib_log_level level, const char *line) {
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    (void)context;
    world_trace("        daemon %s: %s", levels[level], line);
    world.has_lost_tape |= strncmp(line, "tape_ends ", 10) == 0;
    if (strncmp(line, "reopened ", 9) == 0) {
        bool before = world_enter(false);
        judge_begins_anew();
        (void)world_enter(before);
    }
}

/* --- time ------------------------------------------------------------------------------------------ */

struct happening {
    trib_time_ns due;
    uint64_t order; /* drawn by lot: decides between those due together */
    uint64_t number;
    enum world_owner owner;
    world_act *act;
    void *context;
};

static struct {
    struct happening *items;
    size_t count, capacity;
    uint64_t last_number;
} future;

uint64_t world_schedule(trib_time_ns delay, enum world_owner owner, world_act *act, void *context) {
    if (future.count == future.capacity) {
        future.capacity = future.capacity == 0 ? 64 : 2 * future.capacity;
        future.items = realloc(future.items, future.capacity * sizeof *future.items);
        TRIB_ASSERT(future.items != NULL);
    }
    future.items[future.count++] = (struct happening){
        .due = world.now + (delay < 0 ? 0 : delay),
        .order = trib_random_u64(&world.chance),
        .number = ++future.last_number,
        .owner = owner,
        .act = act,
        .context = context,
    };
    return future.last_number;
}

void world_cancel(uint64_t number) {
    for (size_t i = 0; i < future.count; i++) {
        if (future.items[i].number == number) {
            future.items[i] = future.items[--future.count];
            return;
        }
    }
}

static bool is_before(const struct happening *a, const struct happening *b) {
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

bool world_step(void) {
    if (world_is_dying()) {
        world.is_crash_wanted = true;
    }
    if (future.count == 0 || world.is_crash_wanted) {
        return false;
    }
    size_t first = 0;
    for (size_t i = 1; i < future.count; i++) {
        first = is_before(&future.items[i], &future.items[first]) ? i : first;
    }
    struct happening next = future.items[first];
    future.items[first] = future.items[--future.count];
    world.now = next.due > world.now ? next.due : world.now;
    world.step_count++;
    bool before = world_enter(next.owner == WORLD_MACHINE);
    next.act(next.context);
    (void)world_enter(before);
    return true;
}

/* --- chance ------------------------------------------------------------------------------------------ */

uint64_t world_below(uint64_t bound) {
    return trib_random_below(&world.chance, bound);
}

bool world_chance(double probability) {
    return trib_random_unit(&world.chance) < probability;
}

trib_time_ns world_delay(trib_time_ns least, trib_time_ns most) {
    double share = trib_random_unit(&world.chance);
    return least + (trib_time_ns)(share * share * share * (double)(most - least));
}

double world_unit(void) {
    return trib_random_unit(&world.chance);
}

bool world_fault(enum tally kind, double probability) {
    bool is_now = !world.is_calm && world_chance(probability);
    tally_add(kind, is_now);
    return is_now;
}

bool world_enter(bool is_inside) {
    bool before = world.is_inside;
    world.is_inside = is_inside;
    return before;
}

bool world_refuses_memory(enum tally kind) {
    bool is_now =
        world.is_inside && world.memory_chance > 0 && world_fault(kind, world.memory_chance);
    world.has_refused_memory |= is_now;
    return is_now;
}

/* --- the end of the machine ---------------------------------------------------------------------------- */

bool world_is_dying(void) {
    return world.disk.is_stopping && world.disk.has_failed;
}

/* SQLite keeps its own memory and files; they are a cache that may be in any state. */
static void close_indexes(struct trib_node *node) {
    for (size_t i = 0; i < node->hosted_count; i++) {
        trib_index_close(node->hosted[i]->index);
        trib_index_close(node->hosted[i]->index_writer);
    }
    for (size_t i = 0; i < node->closing_count; i++) {
        trib_index_close(node->closing[i]->index);
        trib_index_close(node->closing[i]->index_writer);
    }
}

void world_crash(void) {
    bool is_killed = world_chance(0.3);
    world.crashes++;
    tally_add(is_killed ? TALLY_KILLED : TALLY_POWER_CUT, 1);
    if (world.node != NULL) {
        close_indexes(world.node);
        world.node = NULL;
    }
    for (size_t i = 0; i < future.count;) {
        if (future.items[i].owner == WORLD_MACHINE) {
            future.items[i] = future.items[--future.count];
        } else {
            i++;
        }
    }
    machine_loop_crash();
    machine_server_crash();
    while (blocks != NULL) {
        give_block(blocks);
    }
    machine_json_crash();
    bool is_torn = !is_killed && world_chance(0.5);
    tally_add(TALLY_TORN, is_torn);
    if (is_killed) {
        trib_files_memory_kill(&world.disk);
    } else if (is_torn) {
        trib_files_memory_crash_torn(&world.disk, trib_random_u64(&world.chance));
    } else {
        trib_files_memory_crash(&world.disk);
    }
    world.disk.has_failed = false;
    machine_files_crash();
    world.is_crash_wanted = false;
    world_trace("        the %s%s", is_killed ? "daemon was killed" : "machine crashed",
                is_torn ? ", some unsynced sectors are there" : "");
}

/* --- telling --------------------------------------------------------------------------------------------- */

void world_trace(const char *format, ...) {
    char line[1200];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (int i = 0; i < bytes && i < (int)sizeof line - 1; i++) {
        world.trace_digest =
            (world.trace_digest ^ (unsigned char)line[i]) * UINT64_C(1099511628211); /* FNV-1a */
    }
    world.trace_digest ^= (uint64_t)world.now;
    if (world.is_tracing) {
        printf("[%10.3f] %s\n", (double)world.now / 1e9, line);
    }
}

void world_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)fflush(stdout);
    (void)fprintf(stderr, "seed %" PRIu64 " at %.3f s: ", world.seed, (double)world.now / 1e9);
    (void)vfprintf(stderr, format, arguments);
    (void)fprintf(stderr, "\n");
    va_end(arguments);
    abort(); /* main.c says how to replay it */
}

/* --- beginning and end ------------------------------------------------------------------------------------- */

void world_begin(uint64_t seed, bool is_tracing, const char *directory) {
    memset(&world, 0, sizeof world);
    world.seed = seed;
    world.is_tracing = is_tracing;
    trib_random_derive(&world.chance, seed, "world", 0);
    world.env = (struct trib_env){
        .allocate = env_allocate,
        .release = env_release,
        .monotonic = env_monotonic,
        .wall = env_wall,
        .entropy = env_entropy,
        .log = env_log,
    };
    world.now = TRIB_SECOND;
    world.trace_digest = UINT64_C(14695981039346656037);
    (void)snprintf(world.directory, sizeof world.directory, "%s", directory);
    (void)mkdir(directory, 0700);
    begin_arena();
    trib_files_memory_init(&world.disk);
    machine_json_begin();
    machine_index_begin();
    machine_files_begin();
}

void world_end(void) {
    if (world_blocks_live() > 0) {
        world_fail("%" PRIu64 " blocks of memory were not given back", world_blocks_live());
    }
    trib_files_memory_deinit(&world.disk);
    machine_server_end();
    free(future.items);
    memset(&future, 0, sizeof future);
    machine_json_end();
    machine_files_end();
    (void)rmdir(world.directory);
}
