/* test_directory.c - a run is there whole or not at all, and nobody else's directory is touched. */
#include "store/directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/files_memory.h"
#include "store/ledger.h"
#include "support/check.h"
#include "support/env_faulty.h"

struct world {
    struct trib_env_faulty faulty;
    struct trib_files_memory memory;
    struct trib_error error;
    unsigned char key[TRIB_DIRECTORY_KEY_BYTES];
};

static void begin_world(struct world *world) {
    memset(world, 0, sizeof *world);
    trib_env_faulty_init(&world->faulty);
    trib_files_memory_init(&world->memory);
}

static void end_world(struct world *world) {
    trib_files_memory_deinit(&world->memory);
    trib_env_faulty_deinit(&world->faulty);
}

static enum trib_status prepare(struct world *world) {
    return trib_directory_prepare(&world->faulty.env, &world->memory.files, world->key,
                                  &world->error);
}

static enum trib_status create(struct world *world, const char *run) {
    return trib_directory_create_run(&world->faulty.env, &world->memory.files, run, "{}", 2,
                                     &world->error);
}

static enum trib_status remove_run(struct world *world, const char *run) {
    return trib_directory_remove_run(&world->faulty.env, &world->memory.files, run, &world->error);
}

static void put_file(struct world *world, const char *path, const char *text) {
    assert_int_equal(trib_files_publish(&world->memory.files, path, text, strlen(text)), TRIB_OK);
}

static bool is_there(struct world *world, const char *path) {
    struct trib_file *file;
    const struct trib_files *files = &world->memory.files;
    if (files->open(files->context, path, TRIB_FILE_READ, &file) != TRIB_OK)
        return false;
    files->close(files->context, file);
    return true;
}

static void add_entry(void *visitor, const char *name) {
    strcat(strcat(visitor, name), " ");
}

static enum trib_status add_run(void *context, const char *run) {
    add_entry(context, run);
    return TRIB_OK;
}

/* The runs, each followed by a blank; every one of them must be whole. */
static void list_runs(struct world *world, char text[256]) {
    text[0] = '\0';
    assert_int_equal(trib_directory_runs(&world->faulty.env, &world->memory.files, text, add_run),
                     TRIB_OK);
    char runs[256], path[TRIB_DIRECTORY_PATH_BYTES];
    strcpy(runs, text);
    for (char *run = strtok(runs, " "); run; run = strtok(NULL, " ")) {
        struct trib_ledger *ledger;
        assert_true(is_there(world, trib_directory_path(path, run, "spec.json")));
        trib_directory_path(path, run, "ledger");
        assert_int_equal(trib_ledger_open(&world->faulty.env, &world->memory.files, path, run,
                                          &ledger, NULL, NULL, NULL, NULL),
                         TRIB_OK);
        trib_ledger_close(ledger);
    }
}

/* Everything below runs/, hidden names too. */
static void list_raw(struct world *world, char text[256]) {
    const struct trib_files *files = &world->memory.files;
    text[0] = '\0';
    assert_int_equal(files->list(files->context, "runs", add_entry, text), TRIB_OK);
}

static void test_key_and_format_stay(void **state) {
    (void)state;
    struct world world;
    unsigned char key[TRIB_DIRECTORY_KEY_BYTES];
    char *text;
    size_t text_bytes;
    begin_world(&world);
    assert_int_equal(prepare(&world), TRIB_OK);
    memcpy(key, world.key, sizeof key);
    trib_files_memory_crash(&world.memory);
    assert_int_equal(prepare(&world), TRIB_OK);
    assert_memory_equal(key, world.key, sizeof key);
    assert_int_equal(trib_files_read_all(&world.faulty.env, &world.memory.files, "format", 64,
                                         &text, &text_bytes),
                     TRIB_OK);
    assert_string_equal(text, "tributary 1\n");
    trib_release(&world.faulty.env, text, text_bytes + 1, 1);
    end_world(&world);
}

static void test_other_directories_are_refused(void **state) {
    (void)state;
    struct world world;
    begin_world(&world);
    put_file(&world, "thesis.tex", "x");
    assert_int_equal(prepare(&world), TRIB_ECONFLICT);
    assert_non_null(strstr(world.error.text, "thesis.tex"));
    assert_false(is_there(&world, "key"));
    end_world(&world);

    begin_world(&world);
    assert_int_equal(prepare(&world), TRIB_OK);
    put_file(&world, "format", "tributary 2\n");
    assert_int_equal(prepare(&world), TRIB_EUNSUPPORTED);
    assert_non_null(strstr(world.error.text, "\"tributary 2\""));
    put_file(&world, "format", "a very long text that says nothing about what this directory is");
    assert_int_equal(prepare(&world), TRIB_EUNSUPPORTED);
    put_file(&world, "format", "tributary 1\n");
    put_file(&world, "key", "short");
    assert_int_equal(prepare(&world), TRIB_ECORRUPT);
    assert_int_equal(world.memory.files.remove(&world.memory, "key"), TRIB_OK);
    assert_int_equal(prepare(&world), TRIB_ECORRUPT); /* no silent new one: all tokens would die */
    end_world(&world);
}

static void test_runs_come_and_go(void **state) {
    (void)state;
    struct world world;
    char text[256];
    begin_world(&world);
    assert_int_equal(prepare(&world), TRIB_OK);
    assert_int_equal(create(&world, "b"), TRIB_OK);
    assert_int_equal(create(&world, "a"), TRIB_OK);
    assert_int_equal(create(&world, "a"), TRIB_ECONFLICT);
    assert_int_equal(create(&world, "../a"), TRIB_EINVALID);
    assert_int_equal(remove_run(&world, ".new.a"), TRIB_EINVALID);
    assert_int_equal(remove_run(&world, "c"), TRIB_ENOTFOUND);
    trib_files_memory_crash(&world.memory);
    list_runs(&world, text);
    assert_string_equal(text, "a b ");
    put_file(&world, "runs/a/spool/1.segment", "x");
    put_file(&world, "runs/a/index.sqlite-wal", "x");
    assert_int_equal(remove_run(&world, "a"), TRIB_OK);
    list_raw(&world, text);
    assert_string_equal(text, "b ");
    trib_files_memory_crash(&world.memory); /* gone for good */
    list_runs(&world, text);
    assert_string_equal(text, "b ");
    assert_int_equal(create(&world, "a"), TRIB_OK);
    end_world(&world);
}

static void test_drafts_are_cleaned_up(void **state) {
    (void)state;
    struct world world;
    char text[256];
    begin_world(&world);
    assert_int_equal(prepare(&world), TRIB_OK);
    assert_int_equal(create(&world, "a"), TRIB_OK);
    put_file(&world, "runs/a/ledger.tmp", "x");
    put_file(&world, "runs/a/versions/3.safetensors.tmp", "x");
    put_file(&world, "runs/a/versions/3.safetensors", "x");
    put_file(&world, "runs/a/state/3.tmp", "x");
    put_file(&world, "runs/a/spool/9.segment.tmp", "x");
    assert_int_equal(world.memory.files.make_directory(&world.memory, "runs/.new.z"), TRIB_OK);
    put_file(&world, "runs/.new.z/spec.json", "x");
    assert_int_equal(prepare(&world), TRIB_OK);
    assert_false(is_there(&world, "runs/a/ledger.tmp"));
    assert_false(is_there(&world, "runs/a/versions/3.safetensors.tmp"));
    assert_false(is_there(&world, "runs/a/state/3.tmp"));
    assert_false(is_there(&world, "runs/a/spool/9.segment.tmp"));
    assert_true(is_there(&world, "runs/a/versions/3.safetensors"));
    list_raw(&world, text);
    assert_string_equal(text, "a ");
    end_world(&world);
}

/* Set up, create two runs and remove the second. Says what is certain about them. */
static void live(struct world *world, bool *has_a, bool *is_b_gone) {
    *has_a = *is_b_gone = false;
    if (prepare(world) != TRIB_OK)
        return;
    *has_a = create(world, "a") == TRIB_OK;
    if (create(world, "b") == TRIB_OK)
        *is_b_gone = remove_run(world, "b") == TRIB_OK;
}

/* Each call fails once or is the last before the power goes; afterwards everything works. */
static void test_every_call_fails_or_is_the_last(void **state) {
    (void)state;
    for (uint64_t mode = 0; mode < 20; mode++) {
        bool has_failed = true;
        for (uint64_t nth = 1; has_failed; nth++) {
            struct world world;
            char text[256];
            bool has_a, is_b_gone;
            begin_world(&world);
            if (mode == 0)
                trib_files_memory_fail(&world.memory, nth, TRIB_EIO);
            else
                trib_files_memory_stop(&world.memory, nth);
            live(&world, &has_a, &is_b_gone);
            has_failed = world.memory.has_failed;
            assert_true(has_failed || (has_a && is_b_gone));
            trib_files_memory_fail(&world.memory, 0, TRIB_EIO);
            if (mode == 1)
                trib_files_memory_crash(&world.memory);
            else if (mode > 1)
                trib_files_memory_crash_torn(&world.memory, mode * 1000 + nth);
            assert_int_equal(prepare(&world), TRIB_OK);
            list_runs(&world, text); /* whole ones only */
            assert_true(!has_a || strstr(text, "a "));
            assert_false(is_b_gone && strstr(text, "b "));
            if (!strstr(text, "b "))
                assert_int_equal(create(&world, "b"), TRIB_OK);
            assert_int_equal(remove_run(&world, "b"), TRIB_OK);
            list_raw(&world, text);
            assert_true(strcmp(text, "a ") == 0 || strcmp(text, "") == 0);
            end_world(&world);
        }
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct world world;
    uint64_t nth = 0;
    do {
        begin_world(&world);
        trib_env_faulty_fail(&world.faulty, ++nth);
        enum trib_status status = prepare(&world);
        if (status == TRIB_OK)
            status = create(&world, "a");
        if (status == TRIB_OK)
            status = prepare(&world);
        if (status == TRIB_OK)
            status = remove_run(&world, "a");
        assert_int_equal(status, world.faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_int_equal(world.faulty.blocks_live, 0);
        trib_files_memory_deinit(&world.memory);
    } while (world.faulty.has_failed);
    assert_true(nth > 4);
    trib_env_faulty_deinit(&world.faulty);
}

/* The same on a real file system, with the lock. */
static void test_one_process_at_a_time(void **state) {
    (void)state;
    char root[] = "/tmp/trib-directory-XXXXXX";
    char path[128];
    struct trib_directory first, second;
    struct trib_error error;
    assert_non_null(mkdtemp(root));
    assert_int_equal(trib_directory_open(&first, trib_env_system(), root, &error), TRIB_OK);
    assert_int_equal(trib_directory_open(&second, trib_env_system(), root, &error), TRIB_ECONFLICT);
    assert_null(second.files);
    trib_directory_close(&second); /* all-zero is safe */
    assert_int_equal(trib_directory_create_run(trib_env_system(), first.files, "r", "{}", 2, NULL),
                     TRIB_OK);
    trib_directory_close(&first);
    assert_int_equal(trib_directory_open(&second, trib_env_system(), root, &error), TRIB_OK);
    assert_int_equal(trib_directory_remove_run(trib_env_system(), second.files, "r", NULL),
                     TRIB_OK);
    trib_directory_close(&second);
    static const char *const leftovers[] = {"lock", "key", "format", "runs", "."};
    for (size_t index = 0; index < 5; index++) { /* nothing else is there, so all can go */
        snprintf(path, sizeof path, "%s/%s", root, leftovers[index]);
        assert_int_equal(strcmp(leftovers[index], ".") == 0 ? rmdir(root) : remove(path), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_and_format_stay),
        cmocka_unit_test(test_other_directories_are_refused),
        cmocka_unit_test(test_runs_come_and_go),
        cmocka_unit_test(test_drafts_are_cleaned_up),
        cmocka_unit_test(test_every_call_fails_or_is_the_last),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_one_process_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
