/* test_ledger.c - a synced record is there for ever, in its place in the chain; nothing else is. */
#include "store/ledger.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/files_memory.h"
#include "support/check.h"
#include "support/env_faulty.h"

#define PATH "runs/r1/ledger"
#define RUN "r1"

struct world {
    struct trib_env_faulty faulty;
    struct trib_files_memory memory;
    struct trib_ledger *ledger;
    struct trib_error error;
};

static void text_of(uint64_t number, char text[64]) {
    snprintf(text, 64, "{\"record\":%llu}", (unsigned long long)number);
}

static void begin_world(struct world *world) {
    memset(world, 0, sizeof *world);
    trib_env_faulty_init(&world->faulty);
    trib_files_memory_init(&world->memory);
    const struct trib_files *files = &world->memory.files;
    assert_int_equal(files->make_directory(files->context, "runs"), TRIB_OK);
    assert_int_equal(files->make_directory(files->context, "runs/r1"), TRIB_OK);
    assert_int_equal(files->sync_directory(files->context, "."), TRIB_OK);
    assert_int_equal(files->sync_directory(files->context, "runs"), TRIB_OK);
    assert_int_equal(trib_ledger_create(&world->faulty.env, files, PATH, RUN), TRIB_OK);
}

static void end_world(struct world *world) {
    trib_ledger_close(world->ledger);
    trib_files_memory_deinit(&world->memory);
    trib_env_faulty_deinit(&world->faulty);
}

/* Checks the chain and the texts of consecutive records. */
struct reader {
    uint64_t next;
    uint64_t count;
    struct trib_digest previous;
    enum trib_status answer;
};

static enum trib_status check_record(void *context, const struct trib_ledger_record *record) {
    struct reader *reader = context;
    char text[64];
    text_of(record->index, text);
    assert_int_equal(record->index, reader->next);
    assert_int_equal(record->payload_bytes, strlen(text));
    assert_memory_equal(record->payload, text, record->payload_bytes);
    if (reader->count > 0)
        assert_true(trib_digest_equal(&record->previous, &reader->previous));
    unsigned char chained[TRIB_DIGEST_BYTES + 64];
    struct trib_digest digest;
    memcpy(chained, record->previous.bytes, TRIB_DIGEST_BYTES);
    memcpy(chained + TRIB_DIGEST_BYTES, record->payload, record->payload_bytes);
    trib_digest_of(chained, TRIB_DIGEST_BYTES + record->payload_bytes, &digest);
    assert_true(trib_digest_equal(&digest, &record->digest));
    reader->previous = record->digest;
    reader->next++;
    reader->count++;
    return reader->answer;
}

static enum trib_status reopen(struct world *world, struct reader *reader) {
    trib_ledger_close(world->ledger);
    *reader = (struct reader){0};
    return trib_ledger_open(&world->faulty.env, &world->memory.files, PATH, RUN, &world->ledger,
                            NULL, &world->error, reader, check_record);
}

static enum trib_status append(struct world *world, uint64_t number) {
    char text[64];
    text_of(number, text);
    return trib_ledger_append(world->ledger, text, strlen(text));
}

static void test_records_come_back_in_order(void **state) {
    (void)state;
    struct world world;
    struct reader reader;
    struct trib_digest head, start;
    begin_world(&world);
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    trib_ledger_head(world.ledger, &start);
    struct trib_digest expected;
    trib_digest_of("tributary ledger 1\nr1", 21, &expected);
    assert_true(trib_digest_equal(&start, &expected));
    for (uint64_t number = 0; number < 5; number++)
        assert_int_equal(append(&world, number), TRIB_OK);
    assert_int_equal(trib_ledger_count(world.ledger), 0); /* not before the sync */
    assert_int_equal(trib_ledger_sync(world.ledger), TRIB_OK);
    assert_int_equal(trib_ledger_count(world.ledger), 5);
    trib_ledger_head(world.ledger, &head);
    trib_files_memory_crash(&world.memory);
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    assert_int_equal(reader.count, 5);
    assert_true(trib_digest_equal(&head, &reader.previous));
    assert_int_equal(trib_ledger_count(world.ledger), 5);
    trib_ledger_head(world.ledger, &head);
    assert_true(trib_digest_equal(&head, &reader.previous));
    end_world(&world);
}

static void test_what_cannot_be_a_record_is_refused(void **state) {
    (void)state;
    struct world world;
    struct reader reader;
    begin_world(&world);
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    assert_int_equal(trib_ledger_append(world.ledger, "", 0), TRIB_EINVALID);
    char *huge = calloc(1, TRIB_LEDGER_PAYLOAD_BYTES_MAX + 1);
    assert_non_null(huge);
    assert_int_equal(
        trib_ledger_append(world.ledger, huge, TRIB_LEDGER_PAYLOAD_BYTES_MAX + (size_t)1),
        TRIB_ELIMIT);
    assert_false(trib_ledger_is_broken(world.ledger));
    assert_int_equal(trib_ledger_append(world.ledger, huge, TRIB_LEDGER_PAYLOAD_BYTES_MAX),
                     TRIB_OK);
    assert_int_equal(trib_ledger_sync(world.ledger), TRIB_OK);
    free(huge);
    end_world(&world);
}

static void test_another_runs_ledger_is_refused(void **state) {
    (void)state;
    struct world world;
    begin_world(&world);
    struct trib_ledger *ledger;
    assert_int_equal(trib_ledger_open(&world.faulty.env, &world.memory.files, PATH, "r2", &ledger,
                                      NULL, &world.error, NULL, NULL),
                     TRIB_ECONFLICT);
    assert_null(ledger);
    assert_int_equal(trib_ledger_open(&world.faulty.env, &world.memory.files, "runs/none", "r2",
                                      &ledger, NULL, &world.error, NULL, NULL),
                     TRIB_ENOTFOUND);
    end_world(&world);
}

/* More records than there are marks, so that the table was thinned out twice. */
static void test_any_range_can_be_read(void **state) {
    (void)state;
    enum { COUNT = 3000 };
    static const uint64_t firsts[] = {0, 1, 1023, 1024, 1025, 2047, 2048, 2998, 2999};
    struct world world;
    struct reader reader;
    begin_world(&world);
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t number = 0; number < COUNT && pass == 0; number++)
            assert_int_equal(append(&world, number), TRIB_OK);
        assert_int_equal(trib_ledger_sync(world.ledger), TRIB_OK);
        for (size_t index = 0; index < sizeof firsts / sizeof *firsts; index++) {
            for (uint64_t count = 1; count <= 5; count += 2) {
                uint64_t first = firsts[index];
                reader = (struct reader){.next = first};
                assert_int_equal(
                    trib_ledger_read(world.ledger, first, count, &reader, check_record), TRIB_OK);
                assert_int_equal(reader.count, first + count > COUNT ? COUNT - first : count);
            }
        }
        reader = (struct reader){.next = 1500};
        assert_int_equal(trib_ledger_read(world.ledger, 1500, UINT64_MAX, &reader, check_record),
                         TRIB_OK);
        assert_int_equal(reader.count, COUNT - 1500);
        assert_int_equal(trib_ledger_read(world.ledger, COUNT, UINT64_MAX, &reader, check_record),
                         TRIB_OK);
        reader = (struct reader){.answer = TRIB_ESTALE};
        assert_int_equal(trib_ledger_read(world.ledger, 0, 9, &reader, check_record), TRIB_ESTALE);
        assert_int_equal(reader.count, 1);
        assert_int_equal(reopen(&world, &reader), TRIB_OK); /* and from marks made by a scan */
        assert_int_equal(reader.count, COUNT);
    }
    end_world(&world);
}

static void test_rot_is_found_at_every_byte(void **state) {
    (void)state;
    struct world world;
    struct reader reader;
    begin_world(&world);
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    for (uint64_t number = 0; number < 4; number++) {
        assert_int_equal(append(&world, number), TRIB_OK);
        assert_int_equal(trib_ledger_sync(world.ledger), TRIB_OK);
    }
    uint64_t byte_count = trib_ledger_byte_count(world.ledger);
    for (uint64_t offset = 0; offset < byte_count; offset++) {
        trib_files_memory_rot(&world.memory, PATH, offset);
        assert_int_not_equal(reopen(&world, &reader), TRIB_OK);
        assert_null(world.ledger);
        assert_non_null(strstr(world.error.text, "ledger"));
        trib_files_memory_rot(&world.memory, PATH, offset); /* back */
    }
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    assert_int_equal(reader.count, 4);
    end_world(&world);
}

/* A record whose checksums are right but whose digest does not follow: somebody edited it. */
static void test_a_forged_record_does_not_chain(void **state) {
    (void)state;
    struct world world;
    struct reader reader;
    begin_world(&world);
    const struct trib_files *files = &world.memory.files;
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    assert_int_equal(append(&world, 0), TRIB_OK);
    uint64_t second_offset = 0;
    assert_int_equal(trib_ledger_sync(world.ledger), TRIB_OK);
    second_offset = trib_ledger_byte_count(world.ledger);
    assert_int_equal(append(&world, 1), TRIB_OK);
    assert_int_equal(append(&world, 2), TRIB_OK);
    assert_int_equal(trib_ledger_sync(world.ledger), TRIB_OK);
    uint64_t end = trib_ledger_byte_count(world.ledger);
    /* Take record 1 out: record 2, whole in itself, comes in its place. */
    unsigned char record[512];
    size_t record_bytes = (size_t)(end - second_offset) / 2, done;
    struct trib_file *file;
    assert_int_equal(files->open(files->context, PATH, TRIB_FILE_WRITE, &file), TRIB_OK);
    assert_int_equal(files->read_at(files->context, file, second_offset + record_bytes, record,
                                    record_bytes, &done),
                     TRIB_OK);
    assert_int_equal(files->write_at(files->context, file, second_offset, record, record_bytes),
                     TRIB_OK);
    assert_int_equal(files->truncate(files->context, file, second_offset + record_bytes), TRIB_OK);
    files->close(files->context, file);
    assert_int_equal(reopen(&world, &reader), TRIB_ECORRUPT);
    assert_non_null(strstr(world.error.text, "record 1 at offset"));
    assert_non_null(strstr(world.error.text, "chain"));
    end_world(&world);
}

static void test_torn_tail_is_cut_and_reported(void **state) {
    (void)state;
    struct world world;
    struct reader reader = {0};
    uint64_t torn_bytes = 0;
    struct trib_file *file;
    begin_world(&world);
    const struct trib_files *files = &world.memory.files;
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    assert_int_equal(append(&world, 0), TRIB_OK);
    assert_int_equal(trib_ledger_sync(world.ledger), TRIB_OK);
    uint64_t end = trib_ledger_byte_count(world.ledger);
    assert_int_equal(append(&world, 1), TRIB_OK);
    trib_ledger_close(world.ledger);
    assert_int_equal(files->open(files->context, PATH, TRIB_FILE_WRITE, &file), TRIB_OK);
    assert_int_equal(files->truncate(files->context, file, end + 41), TRIB_OK);
    files->close(files->context, file);
    reader = (struct reader){0};
    assert_int_equal(trib_ledger_open(&world.faulty.env, files, PATH, RUN, &world.ledger,
                                      &torn_bytes, NULL, &reader, check_record),
                     TRIB_OK);
    assert_int_equal(torn_bytes, 41);
    assert_int_equal(reader.count, 1);
    assert_int_equal(append(&world, 1), TRIB_OK);
    assert_int_equal(trib_ledger_sync(world.ledger), TRIB_OK);
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    assert_int_equal(reader.count, 2);
    end_world(&world);
}

static void test_after_a_failed_sync_only_reopen_helps(void **state) {
    (void)state;
    struct world world;
    struct reader reader;
    struct trib_digest before, after;
    begin_world(&world);
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    assert_int_equal(append(&world, 0), TRIB_OK);
    assert_int_equal(trib_ledger_sync(world.ledger), TRIB_OK);
    trib_ledger_head(world.ledger, &before);
    assert_int_equal(append(&world, 1), TRIB_OK);
    trib_files_memory_fail(&world.memory, 1, TRIB_EIO);
    assert_int_equal(trib_ledger_sync(world.ledger), TRIB_EIO);
    assert_true(trib_ledger_is_broken(world.ledger));
    assert_int_equal(append(&world, 1), TRIB_EIO);
    assert_int_equal(trib_ledger_sync(world.ledger), TRIB_EIO);
    assert_int_equal(trib_ledger_count(world.ledger), 1);
    reader = (struct reader){0};
    assert_int_equal(trib_ledger_read(world.ledger, 0, 9, &reader, check_record), TRIB_OK);
    assert_int_equal(reader.count, 1);

    assert_int_equal(trib_ledger_reopen(world.ledger, &world.error), TRIB_OK);
    assert_false(trib_ledger_is_broken(world.ledger));
    trib_ledger_head(world.ledger, &after);
    assert_true(trib_digest_equal(&before, &after));
    trib_files_memory_crash(&world.memory); /* the mended file is durable as it is */
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    assert_int_equal(reader.count, 1);
    assert_int_equal(append(&world, 1), TRIB_OK);
    assert_int_equal(trib_ledger_sync(world.ledger), TRIB_OK);
    trib_files_memory_crash(&world.memory);
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    assert_int_equal(reader.count, 2);
    end_world(&world);
}

/* Ten records, one or two to a sync; mends the ledger when it breaks. Returns how many were
 * acknowledged, or begun. */
static void write_records(struct world *world, uint64_t *acknowledged, uint64_t *begun) {
    *acknowledged = *begun = trib_ledger_count(world->ledger);
    for (int tries = 0; *acknowledged < 10 && tries < 20; tries++) {
        if (trib_ledger_is_broken(world->ledger) &&
            trib_ledger_reopen(world->ledger, &world->error) != TRIB_OK)
            continue;
        *acknowledged = trib_ledger_count(world->ledger);
        uint64_t count = *acknowledged % 3 == 0 ? 2 : 1;
        enum trib_status status = TRIB_OK;
        for (uint64_t index = 0; index < count && status == TRIB_OK; index++)
            status = append(world, *acknowledged + index);
        if (*acknowledged + count > *begun)
            *begun = *acknowledged + count;
        if (status == TRIB_OK && trib_ledger_sync(world->ledger) == TRIB_OK)
            *acknowledged = trib_ledger_count(world->ledger);
    }
}

static void test_crash_after_every_call(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        bool has_stopped = true;
        for (uint64_t nth = 1; has_stopped; nth++) {
            struct world world;
            struct reader reader;
            uint64_t acknowledged, begun;
            begin_world(&world);
            assert_int_equal(reopen(&world, &reader), TRIB_OK);
            trib_files_memory_stop(&world.memory, nth);
            write_records(&world, &acknowledged, &begun);
            has_stopped = world.memory.has_failed;
            if (seed == 0)
                trib_files_memory_crash(&world.memory);
            else
                trib_files_memory_crash_torn(&world.memory, seed * 1000 + nth);
            assert_int_equal(reopen(&world, &reader), TRIB_OK);
            assert_true(reader.count >= acknowledged);
            assert_true(reader.count <= begun);
            uint64_t believed = reader.count;
            trib_files_memory_crash(&world.memory); /* what was believed once is durable */
            assert_int_equal(reopen(&world, &reader), TRIB_OK);
            assert_int_equal(reader.count, believed);
            end_world(&world);
        }
    }
}

/* A first fault breaks the ledger (in the write or in the sync), a second one strikes anywhere
 * while it is mended, then the power goes. */
static void test_faults_while_mending(void **state) {
    (void)state;
    for (uint64_t first = 1; first <= 2; first++) {
        bool has_failed = true;
        for (uint64_t nth = 1; has_failed; nth++) {
            struct world world;
            struct reader reader;
            uint64_t acknowledged, begun;
            begin_world(&world);
            assert_int_equal(reopen(&world, &reader), TRIB_OK);
            trib_files_memory_fail(&world.memory, first, TRIB_EIO);
            assert_int_equal(append(&world, 0), first == 1 ? TRIB_EIO : TRIB_OK);
            assert_int_equal(trib_ledger_sync(world.ledger), TRIB_EIO);
            trib_files_memory_fail(&world.memory, nth, TRIB_EFULL);
            write_records(&world, &acknowledged, &begun);
            has_failed = world.memory.has_failed;
            trib_files_memory_fail(&world.memory, 0, TRIB_EIO);
            assert_true(acknowledged >= 10);
            trib_files_memory_crash_torn(&world.memory, first * 1000 + nth);
            assert_int_equal(reopen(&world, &reader), TRIB_OK);
            assert_int_equal(reader.count, acknowledged);
            end_world(&world);
        }
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct world world;
    struct reader reader;
    begin_world(&world);
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&world.faulty, ++nth);
        enum trib_status status = reopen(&world, &reader);
        if (status == TRIB_OK)
            status = append(&world, reader.count);
        if (status == TRIB_OK)
            status = trib_ledger_sync(world.ledger);
        if (status == TRIB_OK)
            status = trib_ledger_reopen(world.ledger, &world.error);
        assert_int_equal(status, world.faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_ledger_close(world.ledger);
        world.ledger = NULL;
        assert_int_equal(world.faulty.blocks_live, 0);
    } while (world.faulty.has_failed);
    assert_true(nth > 4);
    end_world(&world);
}

/* A ledger of format 1 with two records, frozen. */
static void test_golden_file(void **state) {
    (void)state;
    static const unsigned char golden[] = {
        0x54, 0x52, 0x49, 0x42, 0x4c, 0x45, 0x44, 0x47, 0x01, 0x00, 0x00, 0x00, 0x02, 0x00,
        0x00, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x72, 0x31, 0x06, 0x72,
        0x30, 0xe1, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x01, 0x00, 0x00, 0x00,
        0x2c, 0x00, 0x00, 0x00, 0x1e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xe3, 0xb4,
        0xc1, 0xe1, 0x27, 0x85, 0xc6, 0x9d, 0x7b, 0x22, 0x72, 0x65, 0x63, 0x6f, 0x72, 0x64,
        0x22, 0x3a, 0x30, 0x7d, 0xe8, 0x5f, 0x74, 0x44, 0x07, 0xf3, 0x79, 0xc6, 0x42, 0xd9,
        0x2e, 0x50, 0xc2, 0x11, 0xa2, 0x8c, 0xe4, 0xab, 0x9d, 0xdc, 0xcf, 0xfa, 0xc5, 0x34,
        0x22, 0x4f, 0x5a, 0x60, 0x5b, 0x3e, 0x29, 0x59, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66,
        0x77, 0x88, 0x01, 0x00, 0x00, 0x00, 0x2c, 0x00, 0x00, 0x00, 0x6a, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x86, 0x46, 0x8a, 0xe9, 0xdf, 0x81, 0x64, 0x1d, 0x7b, 0x22,
        0x72, 0x65, 0x63, 0x6f, 0x72, 0x64, 0x22, 0x3a, 0x31, 0x7d, 0x92, 0x33, 0x3e, 0x2c,
        0xa6, 0x46, 0x1a, 0xce, 0x00, 0x7f, 0xe3, 0x81, 0xea, 0xd8, 0x23, 0xaf, 0x4b, 0x18,
        0x34, 0x63, 0x28, 0x75, 0x38, 0x86, 0x9c, 0xa7, 0xfa, 0xe6, 0xb9, 0xba, 0x80, 0xe7};
    struct world world;
    struct reader reader;
    struct trib_file *file;
    begin_world(&world);
    const struct trib_files *files = &world.memory.files;
    assert_int_equal(files->open(files->context, PATH, TRIB_FILE_CREATE, &file), TRIB_OK);
    assert_int_equal(files->write_at(files->context, file, 0, golden, sizeof golden), TRIB_OK);
    files->close(files->context, file);
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    assert_int_equal(reader.count, 2);

    /* And what is written now is what was written then. */
    assert_int_equal(files->open(files->context, PATH, TRIB_FILE_WRITE, &file), TRIB_OK);
    assert_int_equal(files->truncate(files->context, file, 30), TRIB_OK);
    assert_int_equal(reopen(&world, &reader), TRIB_OK);
    for (uint64_t number = 0; number < 2; number++) {
        assert_int_equal(append(&world, number), TRIB_OK);
        assert_int_equal(trib_ledger_sync(world.ledger), TRIB_OK);
    }
    unsigned char written[sizeof golden];
    size_t done;
    assert_int_equal(files->read_at(files->context, file, 0, written, sizeof written, &done),
                     TRIB_OK);
    files->close(files->context, file);
    assert_int_equal(trib_ledger_byte_count(world.ledger), sizeof golden);
    assert_memory_equal(written, golden, sizeof golden);
    end_world(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_come_back_in_order),
        cmocka_unit_test(test_what_cannot_be_a_record_is_refused),
        cmocka_unit_test(test_another_runs_ledger_is_refused),
        cmocka_unit_test(test_any_range_can_be_read),
        cmocka_unit_test(test_rot_is_found_at_every_byte),
        cmocka_unit_test(test_a_forged_record_does_not_chain),
        cmocka_unit_test(test_torn_tail_is_cut_and_reported),
        cmocka_unit_test(test_after_a_failed_sync_only_reopen_helps),
        cmocka_unit_test(test_crash_after_every_call),
        cmocka_unit_test(test_faults_while_mending),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_golden_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
