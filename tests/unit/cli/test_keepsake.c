/* test_keepsake.c - what is kept moves with an update that counts and with no other. */
#include "cli/keepsake.h"

#include "folder.h"
#include "support/check.h"
#include "support/env_faulty.h"

static const float first_own[3] = {1.0F, -2.0F, 3.0F};
static const float second_own[3] = {4.0F, 5.0F, -6.0F};

static struct trib_keepsake open_for(const char *path, const char *run, const char *client,
                                     enum trib_status expected) {
    struct trib_keepsake keepsake;
    struct trib_error error = {0};
    const enum trib_status status =
        trib_keepsake_open(&keepsake, trib_env_system(), path, run, client, &error);
    if (status != expected) {
        fail_msg("%d, not %d: %s", status, expected, error.text);
    }
    return keepsake;
}

static struct trib_keepsake reopen(struct trib_keepsake *keepsake, const char *path) {
    if (keepsake != NULL) {
        trib_keepsake_close(keepsake);
    }
    return open_for(path, "r", "dev", TRIB_OK);
}

static void promise(struct trib_keepsake *keepsake, const char *task, uint64_t base,
                    const float *own) {
    const struct trib_promise given = {.task = task,
                                       .base = base,
                                       .examples = 7,
                                       .metrics = "{\"loss\":1}",
                                       .body = "the update",
                                       .body_bytes = 10,
                                       .next_own = own,
                                       .count = 3};
    assert_int_equal(trib_keepsake_promise(keepsake, &given, NULL), TRIB_OK);
}

static void check_promised(const struct trib_keepsake *keepsake, const char *task, uint64_t base) {
    assert_non_null(keepsake->body);
    assert_int_equal(keepsake->body_bytes, 10);
    assert_memory_equal(keepsake->body, "the update", 10);
    assert_string_equal(keepsake->task, task);
    assert_string_equal(keepsake->metrics, "{\"loss\":1}");
    assert_int_equal(keepsake->base, base);
    assert_int_equal(keepsake->examples, 7);
}

static void an_update_that_counts_changes_what_is_kept(void **state) {
    struct test_folder *folder = *state;
    const char *path = folder->path;
    struct trib_keepsake keepsake = reopen(NULL, path);
    assert_null(keepsake.own);
    assert_null(keepsake.body);
    promise(&keepsake, "4.0", 4, first_own);
    keepsake = reopen(&keepsake, path);
    assert_null(keepsake.own); /* promised is not counted */
    check_promised(&keepsake, "4.0", 4);
    assert_int_equal(trib_keepsake_settle(&keepsake, true, NULL), TRIB_OK);
    for (int i = 0; i < 2; i++) { /* in memory, then from the disk */
        assert_null(keepsake.body);
        assert_int_equal(keepsake.count, 3);
        assert_int_equal(keepsake.version, 4);
        assert_memory_equal(keepsake.own, first_own, sizeof first_own);
        keepsake = reopen(&keepsake, path);
    }
    trib_keepsake_close(&keepsake);
}

static void an_update_that_does_not_count_changes_nothing(void **state) {
    struct test_folder *folder = *state;
    const char *path = folder->path;
    struct trib_keepsake keepsake = reopen(NULL, path);
    promise(&keepsake, "0.0", 0, first_own);
    assert_int_equal(trib_keepsake_settle(&keepsake, true, NULL), TRIB_OK);
    promise(&keepsake, "1.0", 1, second_own);
    keepsake = reopen(&keepsake, path);
    check_promised(&keepsake, "1.0", 1);
    assert_int_equal(trib_keepsake_settle(&keepsake, false, NULL), TRIB_OK);
    keepsake = reopen(&keepsake, path);
    assert_null(keepsake.body);
    assert_int_equal(keepsake.version, 0);
    assert_memory_equal(keepsake.own, first_own, sizeof first_own);
    trib_keepsake_close(&keepsake);
}

/* The process died between replacing `own` and removing `sending`: it must not move twice. */
static void a_settled_update_is_not_settled_again(void **state) {
    struct test_folder *folder = *state;
    const char *path = folder->path;
    struct trib_keepsake keepsake = reopen(NULL, path);
    struct trib_files *files = NULL;
    char *bytes = NULL;
    size_t byte_count = 0;
    promise(&keepsake, "2.0", 2, first_own);
    trib_keepsake_close(&keepsake);
    assert_int_equal(trib_files_open(trib_env_system(), path, false, &files, NULL), TRIB_OK);
    assert_int_equal(
        trib_files_read_all(trib_env_system(), files, "sending", 4096, &bytes, &byte_count),
        TRIB_OK);
    keepsake = reopen(NULL, path);
    assert_int_equal(trib_keepsake_settle(&keepsake, true, NULL), TRIB_OK);
    assert_int_equal(trib_files_publish(files, "sending", bytes, byte_count), TRIB_OK);
    keepsake = reopen(&keepsake, path);
    assert_null(keepsake.body);
    assert_memory_equal(keepsake.own, first_own, sizeof first_own);
    trib_keepsake_close(&keepsake);
    trib_release(trib_env_system(), bytes, byte_count + 1, 1);
    trib_files_close(files);
}

static void it_belongs_to_one_client_of_one_run(void **state) {
    struct test_folder *folder = *state;
    const char *path = folder->path;
    struct trib_keepsake keepsake = reopen(NULL, path);
    promise(&keepsake, "0.0", 0, first_own);
    (void)open_for(path, "r", "dev", TRIB_ECONFLICT); /* in use */
    trib_keepsake_close(&keepsake);
    (void)open_for(path, "r", "other", TRIB_ECONFLICT);
    (void)open_for(path, "s", "dev", TRIB_ECONFLICT);
    keepsake = reopen(NULL, path);
    check_promised(&keepsake, "0.0", 0);
    trib_keepsake_close(&keepsake);
}

/* Any byte that is not as it was written, and any end before the end. */
static void damage_is_noticed(void **state) {
    struct test_folder *folder = *state;
    const char *path = folder->path;
    struct trib_keepsake keepsake = reopen(NULL, path);
    struct trib_files *files = NULL;
    char *bytes = NULL;
    size_t byte_count = 0;
    promise(&keepsake, "0.0", 0, first_own);
    trib_keepsake_close(&keepsake);
    assert_int_equal(trib_files_open(trib_env_system(), path, false, &files, NULL), TRIB_OK);
    assert_int_equal(
        trib_files_read_all(trib_env_system(), files, "sending", 4096, &bytes, &byte_count),
        TRIB_OK);
    for (size_t i = 0; i < byte_count; i++) {
        bytes[i] ^= 0x40;
        test_folder_write(folder, "sending", bytes, byte_count);
        (void)open_for(path, "r", "dev", TRIB_ECORRUPT);
        bytes[i] ^= 0x40;
        test_folder_write(folder, "sending", bytes, i);
        (void)open_for(path, "r", "dev", TRIB_ECORRUPT);
    }
    trib_release(trib_env_system(), bytes, byte_count + 1, 1);
    trib_files_close(files);
}

static void memory_may_run_out_anywhere(void **state) {
    struct test_folder *folder = *state;
    const char *path = folder->path;
    struct trib_env_faulty faulty;
    struct trib_keepsake prepared = reopen(NULL, path);
    promise(&prepared, "0.0", 0, first_own);
    assert_int_equal(trib_keepsake_settle(&prepared, true, NULL), TRIB_OK);
    promise(&prepared, "1.0", 1, second_own);
    trib_keepsake_close(&prepared);
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_keepsake keepsake;
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status =
            trib_keepsake_open(&keepsake, &faulty.env, path, "r", "dev", NULL);
        if (status == TRIB_OK) {
            status = trib_keepsake_settle(&keepsake, true, NULL);
        }
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_keepsake_close(&keepsake);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 5);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(an_update_that_counts_changes_what_is_kept),
        TEST_IN_FOLDER(an_update_that_does_not_count_changes_nothing),
        TEST_IN_FOLDER(a_settled_update_is_not_settled_again),
        TEST_IN_FOLDER(it_belongs_to_one_client_of_one_run),
        TEST_IN_FOLDER(damage_is_noticed),
        TEST_IN_FOLDER(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
