/* test_spool.c - acknowledged entries survive everything; failed ones never come back later. */
#include "store/spool.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/files_memory.h"
#include "base/random.h"
#include "store/numbers.h"
#include "support/check.h"
#include "support/env_faulty.h"

#define ITEMS_MAX 256
#define LARGE_BYTES 3000
#define SMALL_BYTES_MAX 1000

static const struct trib_spool_options tight = {.segment_bytes = 2000,
                                                .inline_bytes_max = SMALL_BYTES_MAX};

/* What the world knows of an entry. */
struct item {
    enum { UNUSED, WRITTEN, ACKNOWLEDGED, FAILED, RELEASED } state;
    bool is_outlived; /* failed, and a later one was acknowledged */
    bool is_seen;     /* by the scan */
    size_t body_bytes;
    enum trib_spool_kind kind;
    struct trib_spool_place place;
    struct trib_spool_body *body; /* a large one, until kept or abandoned */
};

struct world {
    struct trib_env_faulty faulty;
    struct trib_files_memory memory;
    struct trib_spool *spool;
    struct trib_spool_report report;
    struct trib_error error;
    struct trib_random random;
    struct item items[ITEMS_MAX];
    size_t item_count;
    size_t last_seen; /* number + 1 of the entry visited last */
};

static void begin_world(struct world *world, uint64_t seed) {
    memset(world, 0, sizeof *world);
    trib_env_faulty_init(&world->faulty);
    trib_files_memory_init(&world->memory);
    trib_random_init(&world->random, seed);
    const struct trib_files *files = &world->memory.files;
    assert_int_equal(files->make_directory(files->context, "spool"), TRIB_OK);
    assert_int_equal(files->sync_directory(files->context, "."), TRIB_OK);
}

static void end_world(struct world *world) {
    trib_spool_close(world->spool);
    trib_files_memory_deinit(&world->memory);
    trib_env_faulty_deinit(&world->faulty);
}

static void fill_body(size_t number, unsigned char *body, size_t body_bytes) {
    for (size_t index = 0; index < body_bytes; index++)
        body[index] = (unsigned char)(1 + (number * 37 + index * 11) % 255);
}

static struct trib_spool_entry make_entry(const struct item *item, size_t number) {
    unsigned char body[LARGE_BYTES];
    struct trib_spool_entry entry = {.kind = item->kind,
                                     .client = "dev-1",
                                     .base = number,
                                     .target = number + 1,
                                     .weight = 600 + number,
                                     .examples = 600,
                                     .codec = "dense",
                                     .wall_s = 1.7e9};
    snprintf(entry.update, sizeof entry.update, "u%zu", number);
    if (item->kind == TRIB_SPOOL_DROP)
        snprintf(entry.reason, sizeof entry.reason, "run stopped");
    fill_body(number, body, item->body_bytes);
    trib_digest_of(body, item->body_bytes, &entry.digest);
    return entry;
}

/* The body of an entry is what was appended. */
static void check_body(struct world *world, size_t number) {
    const struct item *item = &world->items[number];
    unsigned char expected[LARGE_BYTES], found[LARGE_BYTES];
    struct trib_spool_reader reader;
    assert_int_equal(trib_spool_read_open(world->spool, &item->place, &reader), TRIB_OK);
    assert_int_equal(reader.source.byte_count, item->body_bytes);
    assert_int_equal(reader.source.read(reader.source.context, 0, found, item->body_bytes),
                     TRIB_OK);
    trib_spool_read_close(&reader);
    fill_body(number, expected, item->body_bytes);
    assert_memory_equal(found, expected, item->body_bytes);
    struct trib_spool_entry entry = make_entry(item, number);
    assert_int_equal(trib_spool_read_verify(world->spool, &item->place, &entry.digest), TRIB_OK);
}

static enum trib_status see(void *context, const struct trib_spool_entry *entry) {
    struct world *world = context;
    size_t number = (size_t)entry->base;
    assert_true(number < world->item_count);
    assert_true(number >= world->last_seen); /* in order, none twice */
    struct item *item = &world->items[number];
    struct trib_spool_entry expected = make_entry(item, number);
    assert_true(item->state != UNUSED);
    assert_false(item->state == FAILED && item->is_outlived);
    assert_false(item->state == ACKNOWLEDGED && entry->place.is_body_missing);
    assert_int_equal(entry->kind, expected.kind);
    assert_string_equal(entry->update, expected.update);
    assert_string_equal(entry->reason, expected.reason);
    assert_int_equal(entry->weight, expected.weight);
    assert_true(trib_digest_equal(&entry->digest, &expected.digest));
    assert_int_equal(entry->place.body_bytes, item->body_bytes);
    item->place = entry->place;
    item->is_seen = true;
    world->last_seen = number + 1;
    return TRIB_OK;
}

static enum trib_status open_spool(struct world *world, const struct trib_spool_options *options) {
    for (size_t number = 0; number < world->item_count; number++)
        world->items[number].is_seen = false;
    world->last_seen = 0;
    return trib_spool_open(&world->faulty.env, &world->memory.files, "spool", options,
                           &world->spool, &world->report, &world->error, world, see);
}

static enum trib_status fill_file(struct world *world, size_t number) {
    struct item *item = &world->items[number];
    unsigned char body[LARGE_BYTES];
    fill_body(number, body, LARGE_BYTES);
    enum trib_status status = trib_spool_body_begin(world->spool, 0, &item->body, &world->error);
    if (status == TRIB_OK)
        status = trib_spool_body_append(item->body, body, 1234);
    if (status == TRIB_OK)
        status = trib_spool_body_append(item->body, body + 1234, LARGE_BYTES - 1234);
    return status == TRIB_OK ? trib_spool_body_finish(item->body) : status;
}

/* Append one more item: body_bytes of LARGE_BYTES goes through a file. */
static enum trib_status append(struct world *world, enum trib_spool_kind kind, size_t body_bytes) {
    assert_true(world->item_count < ITEMS_MAX);
    size_t number = world->item_count++;
    struct item *item = &world->items[number];
    *item = (struct item){.state = WRITTEN, .kind = kind, .body_bytes = body_bytes};
    struct trib_spool_entry entry = make_entry(item, number);
    unsigned char body[LARGE_BYTES];
    fill_body(number, body, body_bytes);
    struct trib_source source = trib_source_of_memory(body, body_bytes);
    bool is_large = body_bytes == LARGE_BYTES;
    bool is_small = kind == TRIB_SPOOL_UPDATE && !is_large;
    enum trib_status status = is_large ? fill_file(world, number) : TRIB_OK;
    if (status == TRIB_OK)
        status = trib_spool_append(world->spool, &entry, is_small ? &source : NULL, item->body,
                                   &world->error);
    item->place = entry.place;
    if (status != TRIB_OK)
        item->state = FAILED;
    return status;
}

/* Sync the items from first on, and do what a caller does with the outcome. */
static enum trib_status commit(struct world *world, size_t first) {
    enum trib_status status = trib_spool_sync(world->spool, &world->error);
    bool has_acknowledged = false;
    for (size_t number = first; number < world->item_count; number++) {
        struct item *item = &world->items[number];
        if (item->state == WRITTEN)
            item->state = status == TRIB_OK ? ACKNOWLEDGED : FAILED;
        has_acknowledged |= item->state == ACKNOWLEDGED;
        if (item->body && item->state == ACKNOWLEDGED)
            trib_spool_body_keep(item->body);
        else
            trib_spool_body_abandon(item->body);
        item->body = NULL;
    }
    for (size_t number = 0; has_acknowledged && number < world->item_count; number++) {
        if (world->items[number].state == FAILED)
            world->items[number].is_outlived = true;
    }
    return status;
}

static void release(struct world *world, size_t number) {
    world->items[number].state = RELEASED;
    (void)trib_spool_release(world->spool, &world->items[number].place); /* files may stay */
}

/* A life of a spool: groups of all kinds, releases now and then. */
static void live(struct world *world, size_t group_count) {
    for (size_t group = 0; group < group_count; group++) {
        size_t first = world->item_count;
        size_t count = 1 + (size_t)trib_random_below(&world->random, 3);
        for (size_t index = 0; index < count; index++) {
            uint64_t choice = trib_random_below(&world->random, 8);
            size_t small = (size_t)trib_random_below(&world->random, SMALL_BYTES_MAX + 1);
            if (choice == 0)
                (void)append(world, TRIB_SPOOL_DROP, 0);
            else
                (void)append(world, TRIB_SPOOL_UPDATE, choice <= 2 ? LARGE_BYTES : small);
        }
        (void)commit(world, first);
        for (size_t number = 0; number < world->item_count; number++) {
            if (world->items[number].state == ACKNOWLEDGED &&
                trib_random_below(&world->random, 4) == 0)
                release(world, number);
        }
    }
}

static void reopen_and_check(struct world *world) {
    trib_spool_close(world->spool);
    world->spool = NULL;
    enum trib_status status = open_spool(world, &tight);
    if (status != TRIB_OK)
        print_error("%s\n", world->error.text);
    assert_int_equal(status, TRIB_OK);
    for (size_t number = 0; number < world->item_count; number++) {
        struct item *item = &world->items[number];
        if (item->state == ACKNOWLEDGED)
            assert_true(item->is_seen);
        if (!item->is_seen)
            continue;
        if (!item->place.is_body_missing)
            check_body(world, number);
        bool was_released = item->state == RELEASED || item->place.is_body_missing;
        item->state = ACKNOWLEDGED; /* believed now, whatever it was before */
        if (was_released)
            release(world, number);
    }
}

static size_t count_files(struct world *world, const char *suffix) {
    struct trib_numbers numbers;
    assert_int_equal(
        trib_numbers_list(trib_env_system(), &world->memory.files, "spool", suffix, &numbers),
        TRIB_OK);
    size_t count = numbers.count;
    trib_numbers_deinit(&numbers);
    return count;
}

static uint64_t measure_files(const struct world *world, const char *suffix) {
    const struct trib_files *files = &world->memory.files;
    struct trib_numbers numbers;
    uint64_t sum = 0;
    assert_int_equal(trib_numbers_list(trib_env_system(), files, "spool", suffix, &numbers),
                     TRIB_OK);
    for (size_t index = 0; index < numbers.count; index++) {
        struct trib_file *file;
        char path[64];
        uint64_t byte_count;
        snprintf(path, sizeof path, "spool/%llu%s", (unsigned long long)numbers.numbers[index],
                 suffix);
        assert_int_equal(files->open(files->context, path, TRIB_FILE_READ, &file), TRIB_OK);
        assert_int_equal(files->size(files->context, file, &byte_count), TRIB_OK);
        files->close(files->context, file);
        sum += byte_count;
    }
    trib_numbers_deinit(&numbers);
    return sum;
}

/* The sizes of all files in the spool's folder. */
static uint64_t measure(const struct world *world) {
    return measure_files(world, ".segment") + measure_files(world, ".body");
}

/* When all is released nothing stays but the newest segment. */
static void release_all(struct world *world) {
    struct trib_spool_counters counters;
    for (size_t number = 0; number < world->item_count; number++) {
        if (world->items[number].state == ACKNOWLEDGED)
            release(world, number);
    }
    trib_spool_count(world->spool, &counters);
    assert_int_equal(counters.live_entries, 0);
    assert_int_equal(count_files(world, ".body"), 0);
    assert_int_equal(count_files(world, ".segment"), counters.segment_count);
    assert_true(counters.segment_count <= 1);
}

static void test_entries_come_back_with_their_bodies(void **state) {
    (void)state;
    struct world world;
    struct trib_spool_counters counters;
    begin_world(&world, 1);
    assert_int_equal(open_spool(&world, &tight), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 0), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 1000), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, LARGE_BYTES), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_DROP, 0), TRIB_OK);
    trib_spool_count(world.spool, &counters);
    assert_int_equal(counters.live_entries, 0); /* not before the sync */
    uint64_t sync_count = world.memory.sync_count;
    assert_int_equal(commit(&world, 0), TRIB_OK);
    assert_int_equal(world.memory.sync_count, sync_count + 1); /* one for all of them */
    trib_spool_count(world.spool, &counters);
    assert_int_equal(counters.live_entries, 4);
    for (size_t number = 0; number < 4; number++)
        check_body(&world, number);
    trib_files_memory_crash(&world.memory);
    reopen_and_check(&world);
    struct trib_spool_counters after;
    trib_spool_count(world.spool, &after);
    assert_int_equal(after.live_entries, counters.live_entries);
    assert_int_equal(after.segment_count, counters.segment_count);
    assert_int_equal(after.bytes_on_disk, counters.bytes_on_disk);
    release_all(&world);
    end_world(&world);
}

static void test_segments_roll_and_go(void **state) {
    (void)state;
    struct world world;
    begin_world(&world, 1);
    assert_int_equal(open_spool(&world, &tight), TRIB_OK);
    for (size_t number = 0; number < 9; number++) {
        assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 900), TRIB_OK);
        assert_int_equal(commit(&world, number), TRIB_OK);
    }
    assert_int_equal(count_files(&world, ".segment"), 5); /* two entries each, the last has one */
    release(&world, 0);
    assert_int_equal(count_files(&world, ".segment"), 5);
    release(&world, 3);
    release(&world, 2);
    assert_int_equal(count_files(&world, ".segment"), 4); /* the second may go before the first */
    release(&world, 8);
    assert_int_equal(count_files(&world, ".segment"), 4); /* the newest stays */
    trib_files_memory_crash(&world.memory);
    reopen_and_check(&world);
    release_all(&world);
    end_world(&world);
}

static void test_quota(void **state) {
    (void)state;
    const struct trib_spool_options options = {
        .segment_bytes = 2000, .inline_bytes_max = SMALL_BYTES_MAX, .bytes_max = 6000};
    struct world world;
    struct trib_spool_counters counters;
    begin_world(&world, 1);
    assert_int_equal(open_spool(&world, &options), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, LARGE_BYTES), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 1000), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, LARGE_BYTES), TRIB_EFULL);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 100), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 1000), TRIB_EFULL);
    assert_non_null(strstr(world.error.text, "of 6000 bytes"));
    assert_int_equal(commit(&world, 0), TRIB_OK); /* the refused ones do not hurt the others */
    assert_int_equal(world.items[0].state, ACKNOWLEDGED);
    assert_int_equal(world.items[2].state, FAILED);
    assert_int_equal(world.items[3].state, ACKNOWLEDGED);
    trib_spool_count(world.spool, &counters);
    assert_true(counters.bytes_on_disk <= 6000);
    assert_int_equal(counters.bytes_on_disk, measure(&world));
    release(&world, 0);
    size_t first = world.item_count;
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 1000), TRIB_OK);
    assert_int_equal(commit(&world, first), TRIB_OK);
    trib_spool_count(world.spool, &counters);
    assert_int_equal(counters.bytes_on_disk, measure(&world));
    end_world(&world);
}

static void test_what_cannot_be_an_entry_is_refused(void **state) {
    (void)state;
    struct world world;
    begin_world(&world, 1);
    assert_int_equal(open_spool(&world, &tight), TRIB_OK);
    struct trib_spool_entry entry = make_entry(&(struct item){.kind = TRIB_SPOOL_UPDATE}, 0);
    static const unsigned char bytes[SMALL_BYTES_MAX + 1];
    struct trib_source source = trib_source_of_memory(bytes, sizeof bytes);
    assert_int_equal(trib_spool_append(world.spool, &entry, &source, NULL, &world.error),
                     TRIB_ELIMIT);
    strcpy(entry.client, "a/b");
    assert_int_equal(trib_spool_append(world.spool, &entry, NULL, NULL, &world.error),
                     TRIB_EINVALID);
    assert_int_equal(trib_spool_sync(world.spool, &world.error), TRIB_OK);
    end_world(&world);
}

static enum trib_status refuse_to_read(void *context, uint64_t offset, void *bytes, size_t count) {
    (void)context, (void)offset, (void)bytes, (void)count;
    return TRIB_EIO;
}

/* Half an entry is written when its body turns out to be unreadable: the group is lost, not the
 * spool. */
static void test_unreadable_body_fails_its_group_only(void **state) {
    (void)state;
    struct world world;
    begin_world(&world, 1);
    assert_int_equal(open_spool(&world, &tight), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 10), TRIB_OK);
    struct trib_spool_entry entry = make_entry(&(struct item){.kind = TRIB_SPOOL_UPDATE}, 0);
    struct trib_source source = {.byte_count = 100, .read = refuse_to_read};
    assert_int_equal(trib_spool_append(world.spool, &entry, &source, NULL, &world.error), TRIB_EIO);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 10), TRIB_EIO);
    assert_int_equal(commit(&world, 0), TRIB_EIO);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 10), TRIB_OK);
    assert_int_equal(commit(&world, 2), TRIB_OK);
    reopen_and_check(&world);
    assert_false(world.items[0].is_seen);
    assert_true(world.items[2].is_seen);
    end_world(&world);
}

/* A sync fails; the entry is on disk all the same. It must not come back, not even when the
 * segment that ends the failed one has nothing left to hold. */
static void test_failed_group_stays_failed(void **state) {
    (void)state;
    struct world world;
    begin_world(&world, 1);
    assert_int_equal(open_spool(&world, &tight), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 10), TRIB_OK); /* 0 keeps segment 1 */
    assert_int_equal(commit(&world, 0), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 20), TRIB_OK); /* 1 fails */
    trib_files_memory_fail(&world.memory, 1, TRIB_EIO);
    assert_int_equal(commit(&world, 1), TRIB_EIO);
    reopen_and_check(&world); /* the fresh segment was started at once */
    assert_false(world.items[1].is_seen);
    for (size_t number = 2; number < 6; number++) { /* 2, 3 in segment 2; 4, 5 in segment 3 */
        assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 900), TRIB_OK);
        assert_int_equal(commit(&world, number), TRIB_OK);
    }
    release(&world, 2);
    release(&world, 3);
    reopen_and_check(&world); /* see() refuses 1 */
    assert_false(world.items[1].is_seen);
    assert_true(world.items[0].is_seen);
    release_all(&world);
    trib_files_memory_crash(&world.memory); /* the remains are gone for good */
    assert_int_equal(count_files(&world, ".segment"), 2);
    reopen_and_check(&world);
    end_world(&world);
}

static void test_orphans_are_removed(void **state) {
    (void)state;
    struct world world;
    begin_world(&world, 1);
    assert_int_equal(open_spool(&world, &tight), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, LARGE_BYTES), TRIB_OK);
    assert_int_equal(commit(&world, 0), TRIB_OK);
    struct trib_spool_body *body;
    assert_int_equal(trib_spool_body_begin(world.spool, 0, &body, NULL), TRIB_OK);
    assert_int_equal(trib_spool_body_append(body, "abc", 3), TRIB_OK);
    assert_int_equal(trib_spool_body_finish(body), TRIB_OK);
    trib_spool_body_keep(body); /* as if the process died before it was entered */
    reopen_and_check(&world);
    assert_int_equal(world.report.orphan_count, 1);
    assert_int_equal(count_files(&world, ".body"), 1);
    end_world(&world);
}

static void test_rot_is_found(void **state) {
    (void)state;
    struct world world;
    begin_world(&world, 1);
    assert_int_equal(open_spool(&world, &tight), TRIB_OK);
    for (size_t number = 0; number < 5; number++) {
        assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, number == 4 ? LARGE_BYTES : 500),
                         TRIB_OK);
        assert_int_equal(commit(&world, number), TRIB_OK);
    }
    trib_spool_close(world.spool);
    world.spool = NULL;
    for (int segment = 1; segment <= 2; segment++) {
        char path[32];
        struct trib_file *file;
        uint64_t byte_count;
        const struct trib_files *files = &world.memory.files;
        snprintf(path, sizeof path, "spool/%d.segment", segment);
        assert_int_equal(files->open(files->context, path, TRIB_FILE_READ, &file), TRIB_OK);
        assert_int_equal(files->size(files->context, file, &byte_count), TRIB_OK);
        files->close(files->context, file);
        for (uint64_t offset = 0; offset < byte_count; offset++) {
            trib_files_memory_rot(&world.memory, path, offset);
            assert_int_not_equal(open_spool(&world, &tight), TRIB_OK);
            assert_null(world.spool);
            assert_non_null(strstr(world.error.text, "segment"));
            trib_files_memory_rot(&world.memory, path, offset); /* back */
        }
    }
    /* A large body is too long to read on open; its digest tells. */
    trib_files_memory_rot(&world.memory, "spool/1.body", 2999);
    assert_int_equal(open_spool(&world, &tight), TRIB_OK);
    struct trib_spool_entry entry = make_entry(&world.items[4], 4);
    assert_int_equal(trib_spool_read_verify(world.spool, &world.items[4].place, &entry.digest),
                     TRIB_ECORRUPT);
    end_world(&world);
}

static void test_a_lost_segment_tail_is_found(void **state) {
    (void)state;
    struct world world;
    struct trib_file *file;
    begin_world(&world, 1);
    assert_int_equal(open_spool(&world, &tight), TRIB_OK);
    for (size_t number = 0; number < 3; number++) {
        assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 900), TRIB_OK);
        assert_int_equal(commit(&world, number), TRIB_OK);
    }
    trib_spool_close(world.spool);
    world.spool = NULL;
    const struct trib_files *files = &world.memory.files;
    assert_int_equal(files->open(files->context, "spool/1.segment", TRIB_FILE_WRITE, &file),
                     TRIB_OK);
    uint64_t byte_count;
    assert_int_equal(files->size(files->context, file, &byte_count), TRIB_OK);
    assert_int_equal(files->truncate(files->context, file, byte_count - 1), TRIB_OK);
    files->close(files->context, file);
    assert_int_equal(open_spool(&world, &tight), TRIB_ECORRUPT);
    assert_non_null(strstr(world.error.text, "1.segment"));
    end_world(&world);
}

/* How the machine goes down after a life. */
enum end { STAYS_UP, LOSES_POWER, LOSES_POWER_TORN, END_COUNT };

static void go_down(struct world *world, enum end end, uint64_t seed) {
    trib_files_memory_fail(&world->memory, 0, TRIB_EIO);
    if (end == LOSES_POWER)
        trib_files_memory_crash(&world->memory);
    else if (end == LOSES_POWER_TORN)
        trib_files_memory_crash_torn(&world->memory, seed);
}

/* Each call of a life fails once; the life goes on, ends in each way, is followed by another. */
static void test_fault_at_every_call(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        bool has_failed = true;
        for (uint64_t nth = 1; has_failed; nth++) {
            struct world world;
            begin_world(&world, seed);
            assert_int_equal(open_spool(&world, &tight), TRIB_OK);
            trib_files_memory_fail(&world.memory, nth, nth % 2 ? TRIB_EIO : TRIB_EFULL);
            live(&world, 12);
            has_failed = world.memory.has_failed;
            go_down(&world, (enum end)((seed + nth) % END_COUNT), seed * 1000 + nth);
            reopen_and_check(&world);
            live(&world, 5);
            go_down(&world, LOSES_POWER, 0);
            reopen_and_check(&world);
            release_all(&world);
            end_world(&world);
        }
    }
}

/* Power fails after each call of a life, and again after each call of the next open. */
static void test_crash_after_every_call(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        bool has_stopped = true;
        for (uint64_t nth = 1; has_stopped; nth++) {
            struct world world;
            begin_world(&world, seed);
            assert_int_equal(open_spool(&world, &tight), TRIB_OK);
            trib_files_memory_stop(&world.memory, nth);
            live(&world, 12);
            has_stopped = world.memory.has_failed;
            go_down(&world, seed % 3 == 0 ? LOSES_POWER : LOSES_POWER_TORN, seed * 1000 + nth);
            trib_spool_close(world.spool);
            world.spool = NULL;
            trib_files_memory_stop(&world.memory, 1 + trib_random_below(&world.random, 40));
            (void)open_spool(&world, &tight);
            go_down(&world, LOSES_POWER_TORN, seed * 999 + nth);
            reopen_and_check(&world);
            live(&world, 5);
            go_down(&world, LOSES_POWER, 0);
            reopen_and_check(&world);
            release_all(&world);
            end_world(&world);
        }
    }
}

/* A program that dies after any call leaves files whose names no folder was synced for. The next one
 * finds them and goes on with them; what it promises must outlast a power cut all the same. */
static void test_names_of_a_life_before_are_for_good(void **state) {
    (void)state;
    bool has_stopped = true;
    for (uint64_t nth = 1; has_stopped; nth++) {
        struct world world;
        begin_world(&world, nth);
        assert_int_equal(open_spool(&world, &tight), TRIB_OK);
        trib_files_memory_stop(&world.memory, nth);
        (void)append(&world, TRIB_SPOOL_UPDATE, 100);
        (void)commit(&world, 0);
        has_stopped = world.memory.has_failed;
        trib_files_memory_kill(&world.memory);
        reopen_and_check(&world);
        size_t first = world.item_count;
        assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 100), TRIB_OK);
        assert_int_equal(commit(&world, first), TRIB_OK);
        go_down(&world, LOSES_POWER, 0);
        reopen_and_check(&world);
        release_all(&world);
        end_world(&world);
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        bool has_failed = true;
        for (uint64_t nth = 1; has_failed; nth++) {
            struct world world;
            begin_world(&world, seed);
            trib_env_faulty_fail(&world.faulty, nth);
            enum trib_status status = open_spool(&world, &tight);
            assert_int_equal(status, world.faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
            if (status == TRIB_OK)
                live(&world, 40); /* more than the first 16 segments */
            has_failed = world.faulty.has_failed;
            trib_env_faulty_fail(&world.faulty, 0);
            reopen_and_check(&world);
            release_all(&world);
            trib_spool_close(world.spool);
            world.spool = NULL;
            assert_int_equal(world.faulty.blocks_live, 0);
            end_world(&world);
        }
    }
}

static void test_open_out_of_memory(void **state) {
    (void)state;
    struct world world;
    begin_world(&world, 3);
    assert_int_equal(open_spool(&world, &tight), TRIB_OK);
    live(&world, 10);
    trib_spool_close(world.spool);
    world.spool = NULL;
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&world.faulty, ++nth);
        enum trib_status status = open_spool(&world, &tight);
        assert_int_equal(status, world.faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_spool_close(world.spool);
        world.spool = NULL;
        assert_int_equal(world.faulty.blocks_live, 0);
    } while (world.faulty.has_failed);
    assert_true(nth > 5);
    end_world(&world);
}

/* A segment of format 1 with one update, frozen. */
static void test_golden_file(void **state) {
    (void)state;
    static const unsigned char golden[] = {
        0x54, 0x52, 0x49, 0x42, 0x53, 0x50, 0x4f, 0x4c, 0x01, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00,
        0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xb8, 0x5b, 0x3d, 0xfa, 0x11,
        0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x01, 0x00, 0x00, 0x00, 0x7d, 0x00, 0x00, 0x00,
        0x2c, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x2d, 0x7f, 0x93, 0x7b, 0x51, 0xd1, 0xda,
        0x90, 0x76, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x58,
        0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x58, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x40, 0xfc, 0x54, 0xd9, 0x41, 0x70, 0x70, 0xc0, 0x59, 0x7f, 0x09,
        0x50, 0x4f, 0xbe, 0xab, 0x6c, 0x59, 0x73, 0xf7, 0x9e, 0xee, 0x8b, 0x7b, 0x95, 0x43, 0x7d,
        0x0b, 0xcc, 0xab, 0xb8, 0x23, 0x3c, 0x1f, 0x1c, 0xe8, 0x95, 0x24, 0x05, 0x00, 0x64, 0x65,
        0x76, 0x2d, 0x31, 0x02, 0x00, 0x75, 0x30, 0x05, 0x00, 0x64, 0x65, 0x6e, 0x73, 0x65, 0x00,
        0x00, 0x00, 0x00, 0x01, 0x0c, 0x17};
    struct world world;
    struct trib_file *file;
    begin_world(&world, 1);
    const struct trib_files *files = &world.memory.files;
    world.item_count = 1;
    world.items[0] =
        (struct item){.state = ACKNOWLEDGED, .kind = TRIB_SPOOL_UPDATE, .body_bytes = 3};
    assert_int_equal(files->open(files->context, "spool/1.segment", TRIB_FILE_CREATE, &file),
                     TRIB_OK);
    assert_int_equal(files->write_at(files->context, file, 0, golden, sizeof golden), TRIB_OK);
    reopen_and_check(&world);
    assert_true(world.items[0].is_seen);

    /* And what is written now is what was written then. */
    assert_int_equal(files->truncate(files->context, file, 44), TRIB_OK);
    trib_spool_close(world.spool);
    world.item_count = 0;
    assert_int_equal(open_spool(&world, &tight), TRIB_OK);
    assert_int_equal(append(&world, TRIB_SPOOL_UPDATE, 3), TRIB_OK);
    assert_int_equal(commit(&world, 0), TRIB_OK);
    unsigned char written[sizeof golden + 1];
    size_t done;
    assert_int_equal(files->read_at(files->context, file, 0, written, sizeof written, &done),
                     TRIB_OK);
    files->close(files->context, file);
    assert_int_equal(done, sizeof golden);
    assert_memory_equal(written, golden, sizeof golden);
    end_world(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_come_back_with_their_bodies),
        cmocka_unit_test(test_segments_roll_and_go),
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_what_cannot_be_an_entry_is_refused),
        cmocka_unit_test(test_unreadable_body_fails_its_group_only),
        cmocka_unit_test(test_failed_group_stays_failed),
        cmocka_unit_test(test_orphans_are_removed),
        cmocka_unit_test(test_rot_is_found),
        cmocka_unit_test(test_a_lost_segment_tail_is_found),
        cmocka_unit_test(test_fault_at_every_call),
        cmocka_unit_test(test_crash_after_every_call),
        cmocka_unit_test(test_names_of_a_life_before_are_for_good),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_open_out_of_memory),
        cmocka_unit_test(test_golden_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
