/* test_checkpoint.c - files appear whole or not at all; what is loaded is what was written. */
#include "store/checkpoint.h"

#include <stdlib.h>

#include "base/files_memory.h"
#include "support/check.h"
#include "support/env_faulty.h"

#define RUN "runs/r1"
#define BYTES 600000 /* more than two pieces of the writer */

struct world {
    struct trib_env_faulty faulty;
    struct trib_files_memory memory;
    struct trib_error error;
    unsigned char *bytes;
    struct trib_source source;
    struct trib_digest digest;
};

static void begin_world(struct world *world) {
    static const char *const folders[] = {"runs", RUN, RUN "/versions", RUN "/state"};
    memset(world, 0, sizeof *world);
    trib_env_faulty_init(&world->faulty);
    trib_files_memory_init(&world->memory);
    const struct trib_files *files = &world->memory.files;
    for (size_t index = 0; index < 4; index++)
        assert_int_equal(files->make_directory(files->context, folders[index]), TRIB_OK);
    for (size_t index = 0; index < 2; index++)
        assert_int_equal(files->sync_directory(files->context, folders[index]), TRIB_OK);
    assert_int_equal(files->sync_directory(files->context, "."), TRIB_OK);
    world->bytes = malloc(BYTES);
    assert_non_null(world->bytes);
    for (size_t index = 0; index < BYTES; index++)
        world->bytes[index] = (unsigned char)(index * 7 + index / 251);
    world->source = trib_source_of_memory(world->bytes, BYTES);
    trib_digest_of(world->bytes, BYTES, &world->digest);
}

static void end_world(struct world *world) {
    free(world->bytes);
    trib_files_memory_deinit(&world->memory);
    trib_env_faulty_deinit(&world->faulty);
}

static enum trib_status write(struct world *world, bool is_state, uint64_t version) {
    return (is_state ? trib_checkpoint_write_state : trib_checkpoint_write_version)(
        &world->faulty.env, &world->memory.files, RUN, version, &world->source, &world->error);
}

static enum trib_status load(struct world *world, bool is_state, uint64_t version,
                             const struct trib_digest *expected, struct trib_block **block) {
    return (is_state ? trib_checkpoint_load_state : trib_checkpoint_load_version)(
        &world->faulty.env, &world->memory.files, RUN, version, expected, block, &world->error);
}

static void check_loaded(struct world *world, bool is_state, uint64_t version) {
    struct trib_block *block;
    assert_int_equal(load(world, is_state, version, &world->digest, &block), TRIB_OK);
    assert_int_equal(block->byte_count, BYTES);
    assert_memory_equal(block->bytes, world->bytes, BYTES);
    assert_true(trib_block_is_sealed(block));
    trib_block_unref(block);
}

static void test_written_is_loaded(void **state) {
    (void)state;
    struct world world;
    struct trib_file *file;
    uint64_t byte_count;
    begin_world(&world);
    assert_int_equal(write(&world, false, 12), TRIB_OK);
    assert_int_equal(write(&world, true, 12), TRIB_OK);
    trib_files_memory_crash(&world.memory);
    check_loaded(&world, false, 12);
    check_loaded(&world, true, 12);
    const struct trib_files *files = &world.memory.files;
    assert_int_equal(trib_checkpoint_open_version(files, RUN, 12, &file, &byte_count), TRIB_OK);
    assert_int_equal(byte_count, BYTES); /* nothing but the canonical bytes */
    files->close(files->context, file);
    assert_int_equal(trib_checkpoint_open_version(files, RUN, 13, &file, &byte_count),
                     TRIB_ENOTFOUND);
    world.source = trib_source_of_memory("", 0);
    assert_int_equal(write(&world, true, 13), TRIB_OK); /* a strategy without state */
    struct trib_block *block;
    assert_int_equal(load(&world, true, 13, NULL, &block), TRIB_OK);
    assert_int_equal(block->byte_count, 0);
    trib_block_unref(block);
    end_world(&world);
}

static void test_rot_and_other_versions_are_refused(void **state) {
    (void)state;
    static const uint64_t offsets[] = {0, 8, 12, 16, 24, 32, 36, 1000, BYTES - 1};
    struct world world;
    begin_world(&world);
    assert_int_equal(write(&world, false, 7), TRIB_OK);
    assert_int_equal(write(&world, true, 7), TRIB_OK);
    for (size_t index = 0; index < sizeof offsets / sizeof *offsets; index++) {
        struct trib_block *block;
        trib_files_memory_rot(&world.memory, RUN "/versions/7.safetensors", offsets[index]);
        assert_int_equal(load(&world, false, 7, &world.digest, &block), TRIB_ECORRUPT);
        assert_null(block);
        assert_non_null(strstr(world.error.text, "versions/7.safetensors"));
        trib_files_memory_rot(&world.memory, RUN "/versions/7.safetensors", offsets[index]);
        trib_files_memory_rot(&world.memory, RUN "/state/7", offsets[index]);
        assert_int_equal(load(&world, true, 7, NULL, &block), TRIB_ECORRUPT);
        assert_null(block);
        trib_files_memory_rot(&world.memory, RUN "/state/7", offsets[index]);
    }
    check_loaded(&world, false, 7);
    check_loaded(&world, true, 7);
    /* A state file under the name of another version is not that version's state. */
    const struct trib_files *files = &world.memory.files;
    struct trib_block *block;
    struct trib_digest other = {.bytes = {1}};
    assert_int_equal(load(&world, true, 7, &other, &block), TRIB_ECORRUPT);
    assert_int_equal(files->rename(files->context, RUN "/state/7", RUN "/state/8"), TRIB_OK);
    assert_int_equal(load(&world, true, 8, &world.digest, &block), TRIB_ECORRUPT);
    assert_int_equal(load(&world, true, 7, &world.digest, &block), TRIB_ENOTFOUND);
    end_world(&world);
}

/* The old file or the new one, whole, whatever call fails or whenever the power goes. */
static void test_every_call_fails_or_is_the_last(void **state) {
    (void)state;
    for (uint64_t mode = 0; mode < 8; mode++) { /* state or version, once or for good, torn */
        bool is_state = mode % 2;
        bool has_failed = true;
        for (uint64_t nth = 1; has_failed; nth++) {
            struct world world;
            struct trib_block *block;
            struct trib_digest old_digest;
            begin_world(&world);
            struct trib_source source = world.source;
            world.source = trib_source_of_memory("old", 3);
            trib_digest_of("old", 3, &old_digest);
            assert_int_equal(write(&world, is_state, 1), TRIB_OK);
            world.source = source;
            if (mode & 2)
                trib_files_memory_stop(&world.memory, nth);
            else
                trib_files_memory_fail(&world.memory, nth, TRIB_EFULL);
            enum trib_status status = write(&world, is_state, 1);
            has_failed = world.memory.has_failed;
            assert_int_equal(status == TRIB_OK, !has_failed);
            if (status != TRIB_OK)
                assert_non_null(strstr(world.error.text, is_state ? "state/1" : "versions/1"));
            if (mode & 4)
                trib_files_memory_crash_torn(&world.memory, nth);
            else
                trib_files_memory_crash(&world.memory);
            if (status == TRIB_OK) {
                check_loaded(&world, is_state, 1);
            } else if (load(&world, is_state, 1, &old_digest, &block) == TRIB_OK) {
                trib_block_unref(block);
            } else {
                check_loaded(&world, is_state, 1); /* renamed, then the sync failed */
            }
            end_world(&world);
        }
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct world world;
    begin_world(&world);
    uint64_t nth = 0;
    do {
        struct trib_block *block = NULL;
        trib_env_faulty_fail(&world.faulty, ++nth);
        enum trib_status status = write(&world, true, 1);
        if (status == TRIB_OK)
            status = load(&world, true, 1, &world.digest, &block);
        assert_int_equal(status, world.faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_block_unref(block);
        assert_int_equal(world.faulty.blocks_live, 0);
    } while (world.faulty.has_failed);
    assert_true(nth > 2);
    end_world(&world);
}

static void test_list_and_remove(void **state) {
    (void)state;
    struct world world;
    struct trib_numbers numbers;
    begin_world(&world);
    const struct trib_env *env = &world.faulty.env;
    const struct trib_files *files = &world.memory.files;
    world.source = trib_source_of_memory("x", 1);
    for (uint64_t version = 8; version <= 11; version++)
        assert_int_equal(write(&world, false, version), TRIB_OK);
    assert_int_equal(write(&world, true, 10), TRIB_OK);
    assert_int_equal(trib_checkpoint_remove_version(files, RUN, 9), TRIB_OK);
    assert_int_equal(trib_checkpoint_remove_version(files, RUN, 9), TRIB_OK);
    assert_int_equal(trib_checkpoint_list_versions(env, files, RUN, &numbers), TRIB_OK);
    static const uint64_t expected[] = {8, 10, 11};
    assert_int_equal(numbers.count, 3);
    assert_memory_equal(numbers.numbers, expected, sizeof expected);
    trib_numbers_deinit(&numbers);
    assert_int_equal(trib_checkpoint_list_states(env, files, RUN, &numbers), TRIB_OK);
    assert_int_equal(numbers.count, 1);
    trib_numbers_deinit(&numbers);
    assert_int_equal(trib_checkpoint_remove_state(files, RUN, 10), TRIB_OK);
    assert_int_equal(trib_checkpoint_list_states(env, files, RUN, &numbers), TRIB_OK);
    assert_int_equal(numbers.count, 0);
    trib_numbers_deinit(&numbers);
    end_world(&world);
}

/* Choose among versions 0..count-1 and compare with those that must stay. */
static void check_keep(struct trib_keep keep, size_t count, const uint64_t *kept,
                       size_t kept_count) {
    uint64_t present[16] = {0}, doomed[16];
    for (size_t index = 0; index < count; index++)
        present[index] = index;
    size_t doomed_count = trib_keep_choose(&keep, present, count, doomed);
    assert_int_equal(doomed_count, count - kept_count);
    size_t next_kept = 0, next_doomed = 0;
    for (uint64_t version = 0; version < count; version++) {
        if (next_kept < kept_count && kept[next_kept] == version)
            next_kept++;
        else
            assert_int_equal(doomed[next_doomed++], version);
    }
}

static void test_each_rule_keeps_what_it_names(void **state) {
    (void)state;
    check_keep((struct trib_keep){0}, 12, (const uint64_t[]){11}, 1);
    check_keep((struct trib_keep){.last = 3}, 12, (const uint64_t[]){9, 10, 11}, 3);
    check_keep((struct trib_keep){.last = 99}, 2, (const uint64_t[]){0, 1}, 2);
    check_keep((struct trib_keep){.every = 5}, 12, (const uint64_t[]){0, 5, 10, 11}, 4);
    check_keep((struct trib_keep){.has_best = true, .best = 4}, 12, (const uint64_t[]){4, 11}, 2);
    check_keep((struct trib_keep){.has_checkpoint = true, .checkpoint = 6}, 12,
               (const uint64_t[]){6, 11}, 2);
    check_keep((struct trib_keep){.has_base = true, .base = 9}, 12, (const uint64_t[]){9, 10, 11},
               3);
    check_keep((struct trib_keep){.last = 2, .every = 6, .has_best = true, .best = 10}, 12,
               (const uint64_t[]){0, 6, 10, 11}, 4);
    check_keep((struct trib_keep){.last = 1}, 0, NULL, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_is_loaded),
        cmocka_unit_test(test_rot_and_other_versions_are_refused),
        cmocka_unit_test(test_every_call_fails_or_is_the_last),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_list_and_remove),
        cmocka_unit_test(test_each_rule_keeps_what_it_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
