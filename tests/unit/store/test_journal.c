/* test_journal.c - which records a journal believes after faults, crashes and rot. */
#include "store/journal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/files_memory.h"
#include "support/check.h"
#include "support/death.h"
#include "support/env_faulty.h"

#define MAGIC "TESTJRNL"
#define PATH "j"
#define RECORDS_MAX 64

struct world {
    struct trib_env_faulty faulty;
    struct trib_files_memory memory;
    struct trib_journal journal;
    struct trib_error error;
};

/* What a scan saw. */
struct seen {
    size_t count;
    uint32_t kinds[RECORDS_MAX];
    size_t sizes[RECORDS_MAX];
    enum trib_status answer; /* of the visitor */
};

/* Byte `index` of the payload of record `kind`: never zero, so that a hole is a hole. */
static unsigned char byte_of(uint32_t kind, size_t index) {
    return (unsigned char)(1 + (kind * 131 + index * 7) % 255);
}

static enum trib_status see(void *context, uint32_t kind, uint64_t offset, const void *payload,
                            size_t payload_bytes) {
    struct seen *seen = context;
    assert_true(seen->count < RECORDS_MAX);
    assert_true(offset > 0);
    for (size_t index = 0; index < payload_bytes; index++)
        assert_int_equal(((const unsigned char *)payload)[index], byte_of(kind, index));
    seen->kinds[seen->count] = kind;
    seen->sizes[seen->count++] = payload_bytes;
    return seen->answer;
}

static void begin_world(struct world *world) {
    memset(world, 0, sizeof *world);
    trib_env_faulty_init(&world->faulty);
    trib_files_memory_init(&world->memory);
    assert_int_equal(
        trib_journal_create(&world->faulty.env, &world->memory.files, PATH, MAGIC, "about", 5),
        TRIB_OK);
}

static void end_world(struct world *world) {
    trib_journal_close(&world->journal);
    trib_files_memory_deinit(&world->memory);
    trib_env_faulty_deinit(&world->faulty);
}

static enum trib_status open_and_scan(struct world *world, struct seen *seen) {
    *seen = (struct seen){0};
    enum trib_status status = trib_journal_open(&world->journal, &world->faulty.env,
                                                &world->memory.files, PATH, MAGIC, &world->error);
    if (status == TRIB_OK)
        status =
            trib_journal_scan(&world->journal, TRIB_JOURNAL_UNLIMITED, &world->error, seen, see);
    return status;
}

static void open_settled(struct world *world, struct seen *seen) {
    assert_int_equal(open_and_scan(world, seen), TRIB_OK);
    assert_int_equal(trib_journal_settle(&world->journal), TRIB_OK);
}

static enum trib_status append(struct world *world, uint32_t kind, size_t payload_bytes) {
    uint64_t offset;
    unsigned char *payload = malloc(payload_bytes + 1);
    assert_non_null(payload);
    for (size_t index = 0; index < payload_bytes; index++)
        payload[index] = byte_of(kind, index);
    enum trib_status status = trib_journal_begin(&world->journal, kind);
    if (status == TRIB_OK)
        status = trib_journal_add(&world->journal, payload, payload_bytes / 3);
    if (status == TRIB_OK)
        status = trib_journal_add(&world->journal, payload + payload_bytes / 3,
                                  payload_bytes - payload_bytes / 3);
    if (status == TRIB_OK)
        status = trib_journal_end(&world->journal, &offset);
    free(payload);
    return status;
}

static void zero(struct world *world, uint64_t offset, size_t count) {
    static const unsigned char zeros[2048];
    struct trib_file *file;
    const struct trib_files *files = &world->memory.files;
    assert_true(count <= sizeof zeros);
    assert_int_equal(files->open(files->context, PATH, TRIB_FILE_WRITE, &file), TRIB_OK);
    assert_int_equal(files->write_at(files->context, file, offset, zeros, count), TRIB_OK);
    files->close(files->context, file);
}

static void cut(struct world *world, uint64_t byte_count) {
    struct trib_file *file;
    const struct trib_files *files = &world->memory.files;
    assert_int_equal(files->open(files->context, PATH, TRIB_FILE_WRITE, &file), TRIB_OK);
    assert_int_equal(files->truncate(files->context, file, byte_count), TRIB_OK);
    files->close(files->context, file);
}

static void test_records_of_all_sizes_come_back(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 65503, 65504, 65505, 131040, 131041, 200000};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    struct world world;
    struct seen seen;
    begin_world(&world);
    open_settled(&world, &seen);
    assert_int_equal(seen.count, 0);
    assert_memory_equal(world.journal.about, "about", 5);
    for (uint32_t kind = 0; kind < COUNT; kind++)
        assert_int_equal(append(&world, kind, sizes[kind]), TRIB_OK);
    assert_int_equal(trib_journal_sync(&world.journal), TRIB_OK);
    trib_journal_close(&world.journal);
    trib_files_memory_crash(&world.memory);
    open_settled(&world, &seen);
    assert_int_equal(seen.count, COUNT);
    for (uint32_t kind = 0; kind < COUNT; kind++) {
        assert_int_equal(seen.kinds[kind], kind);
        assert_int_equal(seen.sizes[kind], sizes[kind]);
    }
    assert_int_equal(world.journal.torn_bytes, 0);
    end_world(&world);
}

/* The bytes of format 1, frozen. */
static void test_golden_bytes(void **state) {
    (void)state;
    static const unsigned char golden[] = {
        0x54, 0x45, 0x53, 0x54, 0x4a, 0x52, 0x4e, 0x4c, 0x01, 0x00, 0x00, 0x00, 0x05, 0x00,
        0x00, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x61, 0x62, 0x6f, 0x75,
        0x74, 0x33, 0xdb, 0x55, 0xdb, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x07,
        0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x21, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x93, 0x88, 0x5c, 0xe8, 0x2e, 0xa5, 0x09, 0xe0, 0x99, 0xa0, 0xa7, 0xae};
    struct world world;
    struct seen seen;
    struct trib_file *file;
    begin_world(&world);
    const struct trib_files *files = &world.memory.files;
    assert_int_equal(files->open(files->context, PATH, TRIB_FILE_CREATE, &file), TRIB_OK);
    assert_int_equal(files->write_at(files->context, file, 0, golden, sizeof golden), TRIB_OK);
    files->close(files->context, file);
    open_settled(&world, &seen);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.kinds[0], 7);
    /* And what is written now is what was written then. */
    cut(&world, 33);
    trib_journal_close(&world.journal);
    open_settled(&world, &seen);
    assert_int_equal(append(&world, 7, 4), TRIB_OK);
    unsigned char written[sizeof golden];
    assert_int_equal(trib_journal_read(&world.journal, 0, written, sizeof written), TRIB_OK);
    assert_memory_equal(written, golden, sizeof golden);
    end_world(&world);
}

static void test_another_magic_or_format_is_refused(void **state) {
    (void)state;
    struct world world;
    begin_world(&world);
    assert_int_equal(trib_journal_open(&world.journal, &world.faulty.env, &world.memory.files, PATH,
                                       "TESTJRNX", &world.error),
                     TRIB_ECORRUPT);
    assert_null(world.journal.file);
    assert_int_equal(trib_journal_open(&world.journal, &world.faulty.env, &world.memory.files,
                                       "missing", MAGIC, &world.error),
                     TRIB_ENOTFOUND);
    cut(&world, 30);
    assert_int_equal(trib_journal_open(&world.journal, &world.faulty.env, &world.memory.files, PATH,
                                       MAGIC, &world.error),
                     TRIB_ECORRUPT);
    end_world(&world);
}

/* Synced, then flipped: no bit of the file may go unnoticed. */
static void test_rot_is_found_at_every_byte(void **state) {
    (void)state;
    struct world world;
    struct seen seen;
    begin_world(&world);
    open_settled(&world, &seen);
    for (uint32_t kind = 1; kind <= 3; kind++) {
        assert_int_equal(append(&world, kind, 400), TRIB_OK);
        assert_int_equal(trib_journal_sync(&world.journal), TRIB_OK);
    }
    uint64_t byte_count = world.journal.byte_count;
    for (uint64_t offset = 0; offset < byte_count; offset++) {
        trib_journal_close(&world.journal);
        trib_files_memory_rot(&world.memory, PATH, offset);
        assert_int_not_equal(open_and_scan(&world, &seen), TRIB_OK);
        assert_int_not_equal(world.error.text[0], 0);
        trib_files_memory_rot(&world.memory, PATH, offset); /* back */
    }
    trib_journal_close(&world.journal);
    open_settled(&world, &seen);
    assert_int_equal(seen.count, 3);
    end_world(&world);
}

/* However the tail is cut or holed, the records before it stay; and a hole before a record that
 * proves it is no tail. */
static void test_torn_tail_is_cut_and_torn_middle_is_not(void **state) {
    (void)state;
    struct world world;
    struct seen seen;
    begin_world(&world);
    open_settled(&world, &seen);
    assert_int_equal(append(&world, 1, 1000), TRIB_OK);
    uint64_t second = world.journal.byte_count;
    assert_int_equal(append(&world, 2, 1500), TRIB_OK);
    uint64_t end = world.journal.byte_count;
    for (uint64_t byte_count = end - 1; byte_count >= second; byte_count--) {
        trib_journal_close(&world.journal);
        cut(&world, byte_count);
        assert_int_equal(open_and_scan(&world, &seen), TRIB_OK);
        assert_int_equal(seen.count, 1);
        assert_int_equal(world.journal.torn_bytes, byte_count - second);
    }
    assert_int_equal(trib_journal_settle(&world.journal), TRIB_OK);

    /* Two records of one group; the sector 1024..1536 of the first never came. */
    assert_int_equal(append(&world, 2, 1500), TRIB_OK);
    assert_int_equal(append(&world, 3, 100), TRIB_OK);
    trib_journal_close(&world.journal);
    zero(&world, 1536, 512);
    assert_int_equal(open_and_scan(&world, &seen), TRIB_OK);
    assert_int_equal(seen.count, 1);
    assert_int_equal(world.journal.byte_count, second);
    assert_int_equal(trib_journal_settle(&world.journal), TRIB_OK);

    /* The same hole, but with a record that was written after a sync of it. */
    assert_int_equal(append(&world, 2, 1500), TRIB_OK);
    assert_int_equal(trib_journal_sync(&world.journal), TRIB_OK);
    assert_int_equal(append(&world, 3, 100), TRIB_OK);
    trib_journal_close(&world.journal);
    zero(&world, 1536, 512);
    assert_int_equal(open_and_scan(&world, &seen), TRIB_ECORRUPT);
    assert_non_null(strstr(world.error.text, "record 1 at offset"));
    end_world(&world);
}

/* A sync fails, the process dies, the page cache still shows the record: whoever believes it must
 * first make it durable. */
static void test_settle_makes_durable_what_only_the_cache_had(void **state) {
    (void)state;
    struct world world;
    struct seen seen;
    begin_world(&world);
    open_settled(&world, &seen);
    assert_int_equal(append(&world, 1, 1000), TRIB_OK);
    assert_int_equal(trib_journal_sync(&world.journal), TRIB_OK);
    assert_int_equal(append(&world, 2, 1000), TRIB_OK);
    trib_files_memory_fail(&world.memory, 1, TRIB_EIO);
    assert_int_equal(trib_journal_sync(&world.journal), TRIB_EIO);
    assert_true(world.journal.is_broken);
    assert_int_equal(trib_journal_begin(&world.journal, 3), TRIB_EIO);
    assert_int_equal(trib_journal_sync(&world.journal), TRIB_EIO);
    trib_journal_close(&world.journal);

    open_settled(&world, &seen);
    assert_int_equal(seen.count, 2);
    trib_journal_close(&world.journal);
    trib_files_memory_crash(&world.memory);
    open_settled(&world, &seen);
    assert_int_equal(seen.count, 2);
    end_world(&world);
}

/* Six records in three groups; returns how many were acknowledged and how many begun. */
static void write_groups(struct world *world, size_t *acknowledged, size_t *begun) {
    static const size_t sizes[] = {10, 700, 70000, 5, 1500, 300};
    *acknowledged = *begun = 0;
    for (uint32_t kind = 0; kind < 6; kind++) {
        if (append(world, kind, sizes[kind]) != TRIB_OK) {
            *begun += 1;
            return;
        }
        *begun = kind + 1;
        if (kind % 2 == 1 && trib_journal_sync(&world->journal) != TRIB_OK)
            return;
        if (kind % 2 == 1)
            *acknowledged = kind + 1;
    }
}

static void check_survivors(struct world *world, size_t acknowledged, size_t begun) {
    struct seen seen;
    trib_journal_close(&world->journal);
    enum trib_status status = open_and_scan(world, &seen);
    if (status != TRIB_OK)
        print_error("%s\n", world->error.text);
    assert_int_equal(status, TRIB_OK);
    assert_true(seen.count >= acknowledged);
    assert_true(seen.count <= begun);
    for (uint32_t kind = 0; kind < seen.count; kind++)
        assert_int_equal(seen.kinds[kind], kind);
    assert_int_equal(trib_journal_settle(&world->journal), TRIB_OK);
    /* What was believed once stays, and there is room for more. */
    assert_int_equal(append(world, (uint32_t)seen.count, 50), TRIB_OK);
    assert_int_equal(trib_journal_sync(&world->journal), TRIB_OK);
    size_t count = seen.count + 1;
    trib_journal_close(&world->journal);
    trib_files_memory_crash(&world->memory);
    assert_int_equal(open_and_scan(world, &seen), TRIB_OK);
    assert_int_equal(seen.count, count);
}

/* Power fails after every call, with every kind of tearing: what was synced is there, what is
 * there was written. */
static void test_crash_after_every_call(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        bool has_stopped = true;
        for (uint64_t nth = 1; has_stopped; nth++) {
            struct world world;
            struct seen seen;
            size_t acknowledged, begun;
            begin_world(&world);
            open_settled(&world, &seen);
            trib_files_memory_stop(&world.memory, nth);
            write_groups(&world, &acknowledged, &begun);
            has_stopped = world.memory.has_failed;
            if (seed == 0)
                trib_files_memory_crash(&world.memory);
            else
                trib_files_memory_crash_torn(&world.memory, seed * 1000 + nth);
            check_survivors(&world, acknowledged, begun);
            end_world(&world);
        }
    }
}

/* Every call fails once and the process dies of it, but the machine stays up. */
static void test_fault_at_every_call(void **state) {
    (void)state;
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct world world;
        struct seen seen;
        size_t acknowledged, begun;
        begin_world(&world);
        open_settled(&world, &seen);
        trib_files_memory_fail(&world.memory, nth, nth % 2 ? TRIB_EIO : TRIB_EFULL);
        write_groups(&world, &acknowledged, &begun);
        has_failed = world.memory.has_failed;
        trib_files_memory_fail(&world.memory, 0, TRIB_EIO);
        assert_int_equal(world.journal.is_broken, has_failed);
        check_survivors(&world, acknowledged, begun);
        end_world(&world);
    }
}

/* Opening, scanning and settling over a torn tail, with every call failing once. */
static void test_fault_while_opening(void **state) {
    (void)state;
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct world world;
        struct seen seen;
        begin_world(&world);
        open_settled(&world, &seen);
        assert_int_equal(append(&world, 0, 100), TRIB_OK);
        assert_int_equal(trib_journal_sync(&world.journal), TRIB_OK);
        assert_int_equal(append(&world, 1, 100), TRIB_OK);
        assert_int_equal(append(&world, 2, 100), TRIB_OK);
        uint64_t end = world.journal.byte_count;
        trib_journal_close(&world.journal);
        cut(&world, end - 1);
        trib_files_memory_fail(&world.memory, nth, TRIB_EIO);
        enum trib_status status = open_and_scan(&world, &seen);
        if (status == TRIB_OK)
            status = trib_journal_settle(&world.journal);
        has_failed = world.memory.has_failed;
        trib_files_memory_fail(&world.memory, 0, TRIB_EIO);
        assert_int_equal(status, has_failed ? TRIB_EIO : TRIB_OK);
        trib_journal_close(&world.journal);
        open_settled(&world, &seen);
        assert_int_equal(seen.count, 2);
        end_world(&world);
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct world world;
    struct seen seen;
    begin_world(&world);
    open_settled(&world, &seen);
    assert_int_equal(append(&world, 0, 100000), TRIB_OK);
    trib_journal_close(&world.journal);
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&world.faulty, ++nth);
        enum trib_status status = open_and_scan(&world, &seen);
        if (status == TRIB_OK)
            status = trib_journal_settle(&world.journal);
        assert_int_equal(status, world.faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_journal_close(&world.journal);
        assert_int_equal(world.faulty.blocks_live, 0);
    } while (world.faulty.has_failed);
    assert_true(nth > 2);
    end_world(&world);
}

static void test_scan_to_a_given_end(void **state) {
    (void)state;
    struct world world;
    struct seen seen = {0};
    begin_world(&world);
    open_settled(&world, &seen);
    assert_int_equal(append(&world, 0, 100), TRIB_OK);
    uint64_t end = world.journal.byte_count;
    assert_int_equal(append(&world, 1, 100), TRIB_OK);
    uint64_t file_bytes = world.journal.byte_count;
    trib_journal_close(&world.journal);
    trib_files_memory_rot(&world.memory, PATH, end + 5); /* what is behind does not matter */
    assert_int_equal(trib_journal_open(&world.journal, &world.faulty.env, &world.memory.files, PATH,
                                       MAGIC, NULL),
                     TRIB_OK);
    assert_int_equal(trib_journal_scan(&world.journal, end, NULL, &seen, see), TRIB_OK);
    assert_int_equal(seen.count, 1);
    assert_int_equal(world.journal.torn_bytes, file_bytes - end);
    assert_int_equal(trib_journal_scan(&world.journal, end - 1, NULL, &seen, see), TRIB_ECORRUPT);
    assert_int_equal(trib_journal_scan(&world.journal, end + 1, NULL, &seen, see), TRIB_ECORRUPT);
    assert_int_equal(trib_journal_scan(&world.journal, file_bytes + 1, NULL, &seen, see),
                     TRIB_ECORRUPT);
    seen.answer = TRIB_ESTALE;
    assert_int_equal(trib_journal_scan(&world.journal, end, &world.error, &seen, see), TRIB_ESTALE);
    end_world(&world);
}

static void begin_unsettled(void *context) {
    (void)trib_journal_begin(context, 1); /* aborts */
}

static void test_appending_before_settle_is_a_broken_promise(void **state) {
    (void)state;
    struct world world;
    struct seen seen;
    begin_world(&world);
    assert_int_equal(open_and_scan(&world, &seen), TRIB_OK);
    assert_true(trib_test_aborts(begin_unsettled, &world.journal));
    end_world(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_of_all_sizes_come_back),
        cmocka_unit_test(test_golden_bytes),
        cmocka_unit_test(test_another_magic_or_format_is_refused),
        cmocka_unit_test(test_rot_is_found_at_every_byte),
        cmocka_unit_test(test_torn_tail_is_cut_and_torn_middle_is_not),
        cmocka_unit_test(test_settle_makes_durable_what_only_the_cache_had),
        cmocka_unit_test(test_crash_after_every_call),
        cmocka_unit_test(test_fault_at_every_call),
        cmocka_unit_test(test_fault_while_opening),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_scan_to_a_given_end),
        cmocka_unit_test(test_appending_before_settle_is_a_broken_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
