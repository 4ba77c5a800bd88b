/* test_files.c - publishing is all or nothing at every call that can fail and at every crash. */
#include "base/files.h"

#include "base/files_memory.h"
#include "support/check.h"
#include "support/env_faulty.h"

static const char old_text[] = "version 1";
static const char new_text[] = "version 2, which is longer";

struct world {
    struct trib_env_faulty faulty;
    struct trib_files_memory memory;
};

/* A directory with a durable file "runs/state". */
static int set_up(void **state) {
    static struct world world;
    trib_env_faulty_init(&world.faulty);
    trib_files_memory_init(&world.memory);
    const struct trib_files *files = &world.memory.files;
    assert_int_equal(files->make_directory(files->context, "runs"), TRIB_OK);
    assert_int_equal(files->sync_directory(files->context, "."), TRIB_OK);
    assert_int_equal(trib_files_publish(files, "runs/state", old_text, sizeof old_text), TRIB_OK);
    *state = &world;
    return 0;
}

static int tear_down(void **state) {
    struct world *world = *state;
    trib_files_memory_deinit(&world->memory);
    trib_env_faulty_deinit(&world->faulty);
    return 0;
}

/* The file holds exactly this text. */
static bool holds(struct world *world, const char *text) {
    char *bytes;
    size_t count;
    enum trib_status status = trib_files_read_all(&world->faulty.env, &world->memory.files,
                                                  "runs/state", 1000, &bytes, &count);
    assert_int_equal(status, TRIB_OK);
    assert_int_equal(bytes[count], '\0');
    bool is_equal = count == strlen(text) + 1 && memcmp(bytes, text, count) == 0;
    trib_release(&world->faulty.env, bytes, count + 1, 1);
    return is_equal;
}

static void count_name(void *visitor, const char *name) {
    (void)name;
    ++*(size_t *)visitor;
}

static size_t name_count(struct world *world, const char *path) {
    const struct trib_files *files = &world->memory.files;
    size_t count = 0;
    assert_int_equal(files->list(files->context, path, count_name, &count), TRIB_OK);
    return count;
}

static void test_a_published_file_survives_a_crash(void **state) {
    struct world *world = *state;
    const struct trib_files *files = &world->memory.files;
    assert_int_equal(trib_files_publish(files, "runs/state", new_text, sizeof new_text), TRIB_OK);
    trib_files_memory_crash(&world->memory);
    assert_true(holds(world, new_text));
    assert_int_equal(trib_files_publish(files, "top", new_text, sizeof new_text), TRIB_OK);
    trib_files_memory_crash(&world->memory);
    assert_int_equal(name_count(world, "."), 2);
}

static void test_every_failing_call_leaves_the_old_or_the_new(void **state) {
    struct world *world = *state;
    const struct trib_files *files = &world->memory.files;
    for (uint64_t nth = 1;; nth++) {
        assert_int_equal(trib_files_publish(files, "runs/state", old_text, sizeof old_text),
                         TRIB_OK);
        trib_files_memory_fail(&world->memory, nth, TRIB_EFULL);
        enum trib_status status =
            trib_files_publish(files, "runs/state", new_text, sizeof new_text);
        trib_files_memory_fail(&world->memory, 0, TRIB_EIO);
        assert_true(holds(world, old_text) || holds(world, new_text));
        assert_int_equal(name_count(world, "runs"), 1); /* no draft is left */
        assert_int_equal(world->memory.handles_open, 0);
        if (status == TRIB_OK) {
            assert_int_equal(nth, 6); /* open, write, sync, rename, sync the directory */
            break;
        }
        assert_int_equal(status, TRIB_EFULL);
    }
}

static void test_every_crash_leaves_the_old_or_the_new(void **state) {
    struct world *world = *state;
    const struct trib_files *files = &world->memory.files;
    size_t old_count = 0, new_count = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        bool was_stopped = true;
        for (uint64_t nth = 1; was_stopped; nth++) {
            assert_int_equal(trib_files_publish(files, "runs/state", old_text, sizeof old_text),
                             TRIB_OK);
            trib_files_memory_stop(&world->memory, nth);
            enum trib_status status =
                trib_files_publish(files, "runs/state", new_text, sizeof new_text);
            was_stopped = world->memory.has_failed;
            assert_true((status == TRIB_OK) == !was_stopped);
            if (seed == 0)
                trib_files_memory_crash(&world->memory);
            else
                trib_files_memory_crash_torn(&world->memory, seed);
            bool is_new = holds(world, new_text);
            assert_true(is_new || holds(world, old_text));
            assert_true(is_new || was_stopped); /* what was promised is there */
            *(is_new ? &new_count : &old_count) += 1;
        }
    }
    assert_true(old_count > 60);
    assert_true(new_count > 60); /* some renames reached the disk although their sync did not run */
}

static void test_overlong_paths_are_refused(void **state) {
    struct world *world = *state;
    char path[600];
    memset(path, 'x', sizeof path);
    path[501] = '\0';
    assert_int_equal(trib_files_publish(&world->memory.files, path, "", 0), TRIB_EINVALID);
}

static void test_read_all_has_a_bound(void **state) {
    struct world *world = *state;
    char *bytes = NULL;
    size_t count = 7;
    const struct trib_files *files = &world->memory.files;
    const struct trib_env *env = &world->faulty.env;
    assert_int_equal(
        trib_files_read_all(env, files, "runs/state", sizeof old_text - 1, &bytes, &count),
        TRIB_ELIMIT);
    assert_int_equal(trib_files_read_all(env, files, "runs/none", 1000, &bytes, &count),
                     TRIB_ENOTFOUND);
    assert_null(bytes);
    assert_int_equal(count, 7);
    assert_int_equal(trib_files_publish(files, "empty", NULL, 0), TRIB_OK);
    assert_int_equal(trib_files_read_all(env, files, "empty", 0, &bytes, &count), TRIB_OK);
    assert_int_equal(count, 0);
    assert_string_equal(bytes, "");
    trib_release(env, bytes, 1, 1);
}

static void test_read_all_notices_a_shrinking_file(void **state) {
    struct world *world = *state;
    char *bytes;
    size_t count;
    world->memory.short_read_bytes = 3;
    assert_int_equal(trib_files_read_all(&world->faulty.env, &world->memory.files, "runs/state",
                                         1000, &bytes, &count),
                     TRIB_ETRUNCATED);
    world->memory.short_read_bytes = 0;
}

static void test_read_all_fails_cleanly(void **state) {
    struct world *world = *state;
    char *bytes;
    size_t count;
    for (uint64_t nth = 1; nth <= 3; nth++) { /* open, size, read */
        trib_files_memory_fail(&world->memory, nth, TRIB_EIO);
        assert_int_equal(trib_files_read_all(&world->faulty.env, &world->memory.files, "runs/state",
                                             1000, &bytes, &count),
                         TRIB_EIO);
        assert_int_equal(world->memory.handles_open, 0);
        assert_int_equal(world->faulty.blocks_live, 0);
    }
    trib_env_faulty_fail(&world->faulty, 1);
    assert_int_equal(trib_files_read_all(&world->faulty.env, &world->memory.files, "runs/state",
                                         1000, &bytes, &count),
                     TRIB_EMEMORY);
    assert_int_equal(world->memory.handles_open, 0);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_published_file_survives_a_crash),
        TEST(test_every_failing_call_leaves_the_old_or_the_new),
        TEST(test_every_crash_leaves_the_old_or_the_new),
        TEST(test_overlong_paths_are_refused),
        TEST(test_read_all_has_a_bound),
        TEST(test_read_all_notices_a_shrinking_file),
        TEST(test_read_all_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
