/* test_spool_body.c - large bodies on their way in and out, also while others commit. */
#include "store/spool.h"

#include <pthread.h>
#include <stdio.h>

#include "base/files_memory.h"
#include "support/check.h"
#include "support/env_faulty.h"

struct world {
    struct trib_env_faulty faulty;
    struct trib_files_memory memory;
    struct trib_spool *spool;
    struct trib_error error;
};

static void begin_world(struct world *world, uint64_t bytes_max) {
    const struct trib_spool_options options = {.segment_bytes = 4000, .bytes_max = bytes_max};
    memset(world, 0, sizeof *world);
    trib_env_faulty_init(&world->faulty);
    trib_files_memory_init(&world->memory);
    const struct trib_files *files = &world->memory.files;
    assert_int_equal(files->make_directory(files->context, "spool"), TRIB_OK);
    assert_int_equal(trib_spool_open(&world->faulty.env, files, "spool", &options, &world->spool,
                                     NULL, &world->error, NULL, NULL),
                     TRIB_OK);
}

static void end_world(struct world *world) {
    trib_spool_close(world->spool);
    trib_files_memory_deinit(&world->memory);
    trib_env_faulty_deinit(&world->faulty);
}

static uint64_t bytes_on_disk(const struct world *world) {
    struct trib_spool_counters counters;
    trib_spool_count(world->spool, &counters);
    return counters.bytes_on_disk;
}

static void test_body_can_be_read_while_it_arrives(void **state) {
    (void)state;
    struct world world;
    struct trib_spool_body *body;
    char found[8] = {0};
    begin_world(&world, 0);
    assert_int_equal(trib_spool_body_begin(world.spool, 0, &body, &world.error), TRIB_OK);
    assert_int_equal(trib_spool_body_append(body, "abc", 3), TRIB_OK);
    assert_int_equal(trib_spool_body_append(body, "defg", 4), TRIB_OK);
    assert_int_equal(trib_spool_body_byte_count(body), 7);
    struct trib_source source = trib_spool_body_source(body);
    assert_int_equal(source.byte_count, 7);
    assert_int_equal(source.read(source.context, 2, found, 4), TRIB_OK);
    assert_string_equal(found, "cdef");
    assert_int_equal(bytes_on_disk(&world), 7);
    trib_spool_body_abandon(body);
    assert_int_equal(bytes_on_disk(&world), 0);
    trib_spool_body_abandon(NULL);
    end_world(&world);
}

static void test_quota_counts_bodies_that_still_arrive(void **state) {
    (void)state;
    struct world world;
    struct trib_spool_body *first, *second, *third;
    begin_world(&world, 10);
    assert_int_equal(trib_spool_body_begin(world.spool, 0, &first, &world.error), TRIB_OK);
    assert_int_equal(trib_spool_body_begin(world.spool, 0, &second, &world.error), TRIB_OK);
    assert_int_equal(trib_spool_body_append(first, "123456", 6), TRIB_OK);
    assert_int_equal(trib_spool_body_append(second, "12345", 5), TRIB_EFULL);
    assert_int_equal(trib_spool_body_append(second, "1", 1), TRIB_EIO); /* only abandon is left */
    assert_int_equal(trib_spool_body_finish(second), TRIB_EIO);
    assert_int_equal(trib_spool_body_append(first, "7890", 4), TRIB_OK);
    assert_int_equal(trib_spool_body_begin(world.spool, 0, &third, &world.error), TRIB_EFULL);
    assert_non_null(strstr(world.error.text, "10 of 10 bytes"));
    assert_null(third);
    trib_spool_body_abandon(second);
    trib_spool_body_abandon(first);
    assert_int_equal(bytes_on_disk(&world), 0);
    end_world(&world);
}

/* Two bodies that cannot both end are not both begun; what was expected in vain is free again. */
static void test_what_is_expected_is_taken_at_once(void **state) {
    (void)state;
    struct world world;
    struct trib_spool_body *first, *second;
    begin_world(&world, 10);
    uint64_t bytes_free;
    world.memory.capacity_bytes = 1 << 20;
    const struct trib_files *files = &world.memory.files;
    assert_int_equal(files->free_bytes(files->context, &bytes_free), TRIB_OK);
    world.memory.capacity_bytes -= bytes_free - 20; /* 20 are left */
    assert_true(trib_spool_has_room(world.spool, 20));
    assert_int_equal(trib_spool_body_begin(world.spool, 7, &first, &world.error), TRIB_OK);
    assert_int_equal(bytes_on_disk(&world), 7);
    assert_false(trib_spool_has_room(world.spool, 14));
    assert_int_equal(trib_spool_body_begin(world.spool, 4, &second, &world.error), TRIB_EFULL);
    assert_int_equal(trib_spool_body_begin(world.spool, 3, &second, &world.error), TRIB_OK);
    assert_int_equal(trib_spool_body_append(second, "12", 2), TRIB_OK);
    assert_int_equal(trib_spool_body_append(first, "1234567", 7), TRIB_OK);
    assert_int_equal(trib_spool_body_append(first, "8", 1), TRIB_EFULL); /* one is still to come */
    trib_spool_body_abandon(first);
    assert_int_equal(trib_spool_body_finish(second), TRIB_OK); /* shorter than announced */
    assert_int_equal(bytes_on_disk(&world), 2);
    assert_true(trib_spool_has_room(world.spool, 18));
    assert_false(trib_spool_has_room(world.spool, 19));
    trib_spool_body_abandon(second);
    assert_int_equal(bytes_on_disk(&world), 0);
    end_world(&world);
}

/* Create, write, sync, sync the directory: whichever fails, the body is not finished and nothing
 * of it stays. */
static void test_a_body_in_parts_is_whole_when_all_are_written(void **state) {
    (void)state;
    struct world world;
    struct trib_spool_body *body;
    char found[11] = {0};
    begin_world(&world, 10);
    assert_int_equal(trib_spool_body_begin(world.spool, 10, &body, &world.error), TRIB_OK);
    assert_int_equal(trib_spool_body_write(body, 6, "6789", 4), TRIB_OK);
    assert_int_equal(trib_spool_body_write(body, 0, "012", 3), TRIB_OK);
    assert_int_equal(trib_spool_body_byte_count(body), 0);
    assert_int_equal(trib_spool_body_write(body, 3, "345", 3), TRIB_OK);
    trib_spool_body_fill(body);
    assert_int_equal(trib_spool_body_byte_count(body), 10);
    struct trib_source source = trib_spool_body_source(body);
    assert_int_equal(source.read(source.context, 0, found, 10), TRIB_OK);
    assert_string_equal(found, "0123456789");
    assert_int_equal(bytes_on_disk(&world), 10);
    assert_int_equal(trib_spool_body_finish(body), TRIB_OK);
    assert_int_equal(bytes_on_disk(&world), 10);
    trib_spool_body_abandon(body);
    assert_int_equal(trib_spool_body_begin(world.spool, 10, &body, &world.error), TRIB_OK);
    assert_int_equal(trib_spool_body_write(body, 6, "6789", 4), TRIB_OK);
    trib_spool_body_abandon(body); /* half of it: nothing is left */
    assert_int_equal(bytes_on_disk(&world), 0);
    end_world(&world);
}

static void test_fault_at_every_call(void **state) {
    (void)state;
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct world world;
        struct trib_spool_body *body;
        begin_world(&world, 0);
        trib_files_memory_fail(&world.memory, nth, TRIB_EIO);
        enum trib_status status = trib_spool_body_begin(world.spool, 0, &body, &world.error);
        if (status == TRIB_OK)
            status = trib_spool_body_append(body, "abc", 3);
        if (status == TRIB_OK)
            status = trib_spool_body_finish(body);
        has_failed = world.memory.has_failed;
        assert_int_equal(status, has_failed ? TRIB_EIO : TRIB_OK);
        assert_int_equal(nth <= 4, has_failed);
        if (body && has_failed)
            assert_int_equal(trib_spool_body_finish(body), TRIB_EIO); /* never tried twice */
        trib_spool_body_abandon(body);
        assert_int_equal(bytes_on_disk(&world), 0);
        end_world(&world);
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct world world;
    struct trib_spool_body *body;
    begin_world(&world, 0);
    trib_env_faulty_fail(&world.faulty, 1);
    assert_int_equal(trib_spool_body_begin(world.spool, 0, &body, &world.error), TRIB_EMEMORY);
    assert_null(body);
    end_world(&world);
}

static void test_reading_what_is_not_there(void **state) {
    (void)state;
    struct world world;
    struct trib_spool_reader reader;
    begin_world(&world, 0);
    struct trib_spool_entry entry = {
        .kind = TRIB_SPOOL_UPDATE, .client = "c", .update = "u", .codec = "dense"};
    struct trib_source body = trib_source_of_memory("abc", 3);
    assert_int_equal(trib_spool_append(world.spool, &entry, &body, NULL, NULL), TRIB_OK);
    assert_int_equal(trib_spool_sync(world.spool, NULL), TRIB_OK);
    struct trib_digest digest;
    trib_digest_of("abd", 3, &digest);
    assert_int_equal(trib_spool_read_verify(world.spool, &entry.place, &digest), TRIB_ECORRUPT);
    entry.place.body_bytes = 4;
    assert_int_equal(trib_spool_read_open(world.spool, &entry.place, &reader), TRIB_ETRUNCATED);
    assert_null(reader.file);
    entry.place.body_number = 99;
    assert_int_equal(trib_spool_read_open(world.spool, &entry.place, &reader), TRIB_ENOTFOUND);
    trib_spool_read_close(&reader); /* all-zero is safe */
    end_world(&world);
}

enum { WRITERS = 3, BODIES_EACH = 20, COMMITS = 60 };

/* One place for readers to look at, set by the commit job. */
struct shared {
    struct world *world;
    pthread_mutex_t lock;
    struct trib_spool_place place; /* of a durable entry that is never released */
    bool is_done;
};

static void *write_bodies(void *context) {
    struct shared *shared = context;
    char chunk[256];
    memset(chunk, 'x', sizeof chunk);
    for (int number = 0; number < BODIES_EACH; number++) {
        struct trib_spool_body *body;
        assert_int_equal(trib_spool_body_begin(shared->world->spool, 0, &body, NULL), TRIB_OK);
        for (int index = 0; index < 4; index++)
            assert_int_equal(trib_spool_body_append(body, chunk, sizeof chunk), TRIB_OK);
        assert_int_equal(trib_spool_body_finish(body), TRIB_OK);
        trib_spool_body_abandon(body);
    }
    return NULL;
}

static void *read_entries(void *context) {
    struct shared *shared = context;
    struct trib_digest digest;
    trib_digest_of("small body", 10, &digest);
    for (bool is_done = false; !is_done;) {
        pthread_mutex_lock(&shared->lock);
        struct trib_spool_place place = shared->place;
        is_done = shared->is_done;
        pthread_mutex_unlock(&shared->lock);
        assert_int_equal(trib_spool_read_verify(shared->world->spool, &place, &digest), TRIB_OK);
    }
    return NULL;
}

static struct trib_spool_place commit_one(struct world *world, int number) {
    struct trib_spool_entry entry = {.kind = TRIB_SPOOL_UPDATE, .client = "c", .codec = "dense"};
    struct trib_source body = trib_source_of_memory("small body", 10);
    snprintf(entry.update, sizeof entry.update, "u%d", number);
    assert_int_equal(trib_spool_append(world->spool, &entry, &body, NULL, NULL), TRIB_OK);
    assert_int_equal(trib_spool_sync(world->spool, NULL), TRIB_OK);
    return entry.place;
}

/* The thread rule of the header, for a thread sanitizer to judge. */
static void test_bodies_and_readers_run_beside_the_commit_job(void **state) {
    (void)state;
    struct world world;
    struct shared shared = {.world = &world, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t writers[WRITERS], reader;
    begin_world(&world, 0);
    shared.place = commit_one(&world, 0);
    for (int index = 0; index < WRITERS; index++)
        assert_int_equal(pthread_create(&writers[index], NULL, write_bodies, &shared), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_entries, &shared), 0);
    for (int number = 1; number <= COMMITS; number++) {
        struct trib_spool_place place = commit_one(&world, number);
        if (number % 2 == 0) {
            assert_int_equal(trib_spool_release(world.spool, &place), TRIB_OK);
            continue;
        }
        pthread_mutex_lock(&shared.lock);
        shared.place = place;
        pthread_mutex_unlock(&shared.lock);
    }
    pthread_mutex_lock(&shared.lock);
    shared.is_done = true;
    pthread_mutex_unlock(&shared.lock);
    for (int index = 0; index < WRITERS; index++)
        assert_int_equal(pthread_join(writers[index], NULL), 0);
    assert_int_equal(pthread_join(reader, NULL), 0);
    struct trib_spool_counters counters;
    trib_spool_count(world.spool, &counters);
    assert_int_equal(counters.live_entries, 1 + COMMITS / 2);
    assert_true(counters.segment_count > 1);
    end_world(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body_can_be_read_while_it_arrives),
        cmocka_unit_test(test_what_is_expected_is_taken_at_once),
        cmocka_unit_test(test_quota_counts_bodies_that_still_arrive),
        cmocka_unit_test(test_a_body_in_parts_is_whole_when_all_are_written),
        cmocka_unit_test(test_fault_at_every_call),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_reading_what_is_not_there),
        cmocka_unit_test(test_bodies_and_readers_run_beside_the_commit_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
