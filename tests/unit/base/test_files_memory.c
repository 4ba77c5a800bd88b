/* test_files_memory.c - the fake forgets what a crash forgets, no more and no less. */
#include "base/files_memory.h"

#include "support/check.h"
#include "support/death.h"

static struct trib_files_memory memory;
static const struct trib_files *const files = &memory.files;

static int set_up(void **state) {
    (void)state;
    trib_files_memory_init(&memory);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    trib_files_memory_deinit(&memory);
    return 0;
}

static struct trib_file *must_open(const char *path, enum trib_file_mode mode) {
    struct trib_file *file;
    assert_int_equal(files->open(files->context, path, mode, &file), TRIB_OK);
    return file;
}

static void must_write(struct trib_file *file, uint64_t offset, const char *text) {
    assert_int_equal(files->write_at(files->context, file, offset, text, strlen(text)), TRIB_OK);
}

/* The file's first bytes, up to 15, as text; "-" when there is no such file. */
static const char *contents(const char *path) {
    static char text[16];
    struct trib_file *file;
    size_t done;
    if (files->open(files->context, path, TRIB_FILE_READ, &file) != TRIB_OK)
        return "-";
    assert_int_equal(files->read_at(files->context, file, 0, text, sizeof text - 1, &done),
                     TRIB_OK);
    text[done] = '\0';
    files->close(files->context, file);
    return text;
}

/* A durable file "a" with durable contents, open for writing. */
static struct trib_file *durable_file(const char *text) {
    struct trib_file *file = must_open("a", TRIB_FILE_WRITE);
    must_write(file, 0, text);
    assert_int_equal(files->sync(files->context, file), TRIB_OK);
    assert_int_equal(files->sync_directory(files->context, "."), TRIB_OK);
    return file;
}

static void test_unsynced_bytes_are_lost(void **state) {
    (void)state;
    struct trib_file *file = durable_file("old");
    must_write(file, 0, "new, longer");
    assert_string_equal(contents("a"), "new, longer");
    trib_files_memory_crash(&memory);
    assert_string_equal(contents("a"), "old");
}

static void test_unsynced_truncation_is_undone(void **state) {
    (void)state;
    struct trib_file *file = durable_file("old");
    assert_int_equal(files->truncate(files->context, file, 1), TRIB_OK);
    trib_files_memory_crash(&memory);
    assert_string_equal(contents("a"), "old");
    file = must_open("a", TRIB_FILE_WRITE);
    assert_int_equal(files->truncate(files->context, file, 1), TRIB_OK);
    assert_int_equal(files->sync(files->context, file), TRIB_OK);
    trib_files_memory_crash(&memory);
    assert_string_equal(contents("a"), "o");
}

static void test_a_synced_file_needs_a_synced_name(void **state) {
    (void)state;
    struct trib_file *file = must_open("a", TRIB_FILE_WRITE);
    must_write(file, 0, "text");
    assert_int_equal(files->sync(files->context, file), TRIB_OK);
    trib_files_memory_crash(&memory);
    assert_string_equal(contents("a"), "-");
}

static void test_names_go_back_to_the_last_directory_sync(void **state) {
    (void)state;
    files->close(files->context, durable_file("old"));
    assert_int_equal(files->rename(files->context, "a", "b"), TRIB_OK);
    trib_files_memory_crash(&memory);
    assert_string_equal(contents("a"), "old");
    assert_string_equal(contents("b"), "-");
    assert_int_equal(files->remove(files->context, "a"), TRIB_OK);
    trib_files_memory_crash(&memory);
    assert_string_equal(contents("a"), "old");
    assert_int_equal(files->remove(files->context, "a"), TRIB_OK);
    assert_int_equal(files->sync_directory(files->context, "."), TRIB_OK);
    trib_files_memory_crash(&memory);
    assert_string_equal(contents("a"), "-");
}

static void test_lost_syncs_say_yes_and_do_nothing(void **state) {
    (void)state;
    struct trib_file *file = durable_file("old");
    memory.is_losing_syncs = true;
    must_write(file, 0, "new");
    assert_int_equal(files->sync(files->context, file), TRIB_OK);
    assert_int_equal(memory.sync_count, 1);
    trib_files_memory_crash(&memory);
    assert_string_equal(contents("a"), "old");
}

static void test_a_sync_after_a_failed_one_is_no_help(void **state) {
    (void)state;
    struct trib_file *file = durable_file("old");
    must_write(file, 0, "new");
    trib_files_memory_fail(&memory, 1, TRIB_EIO);
    assert_int_equal(files->sync(files->context, file), TRIB_EIO);
    assert_int_equal(files->sync(files->context, file), TRIB_OK);
    assert_string_equal(contents("a"), "new");
    trib_files_memory_crash(&memory);
    assert_string_equal(contents("a"), "old");
    file = must_open("a", TRIB_FILE_WRITE); /* what helps: open again, write again */
    must_write(file, 0, "new");
    assert_int_equal(files->sync(files->context, file), TRIB_OK);
    trib_files_memory_crash(&memory);
    assert_string_equal(contents("a"), "new");
}

static void test_crashed_files_only_close(void **state) {
    (void)state;
    struct trib_file *file = durable_file("old");
    trib_files_memory_crash(&memory);
    uint64_t bytes;
    assert_int_equal(memory.handles_open, 0);
    assert_int_equal(files->write_at(files->context, file, 0, "new", 3), TRIB_EIO);
    assert_int_equal(files->sync(files->context, file), TRIB_EIO);
    assert_int_equal(files->size(files->context, file, &bytes), TRIB_EIO);
    assert_string_equal(contents("a"), "old");
    files->close(files->context, file);
}

static void test_a_kill_takes_nothing_but_what_is_open(void **state) {
    (void)state;
    struct trib_file *file = durable_file("old");
    must_write(file, 0, "new");
    trib_files_memory_stop(&memory, 1);
    trib_files_memory_kill(&memory);
    assert_int_equal(memory.handles_open, 0);
    assert_int_equal(files->write_at(files->context, file, 0, "odd", 3), TRIB_EIO);
    assert_string_equal(contents("a"), "new");
    trib_files_memory_crash(&memory); /* nobody has synced it since */
    assert_string_equal(contents("a"), "old");
    files->close(files->context, file);
}

static void test_failed_writes_are_half_done(void **state) {
    (void)state;
    struct trib_file *file = durable_file("old");
    trib_files_memory_fail(&memory, 2, TRIB_EIO);
    must_write(file, 0, "new");
    assert_int_equal(files->write_at(files->context, file, 3, "12345678", 8), TRIB_EIO);
    assert_true(memory.has_failed);
    assert_string_equal(contents("a"), "new1234");
    must_write(file, 7, "5");
    files->close(files->context, file);
}

static void test_stop_is_for_good_until_the_crash(void **state) {
    (void)state;
    struct trib_file *file = durable_file("old");
    trib_files_memory_stop(&memory, 2);
    must_write(file, 0, "new");
    for (int round = 0; round < 3; round++)
        assert_int_equal(files->sync(files->context, file), TRIB_EIO);
    assert_int_equal(files->remove(files->context, "a"), TRIB_EIO);
    trib_files_memory_crash(&memory);
    assert_true(memory.has_failed);
    assert_string_equal(contents("a"), "old");
}

static void test_a_full_disk_takes_what_fits(void **state) {
    (void)state;
    struct trib_file *file = durable_file("old");
    memory.capacity_bytes = 5;
    uint64_t bytes;
    assert_int_equal(files->free_bytes(files->context, &bytes), TRIB_OK);
    assert_int_equal(bytes, 2);
    assert_int_equal(files->write_at(files->context, file, 3, "1234", 4), TRIB_EFULL);
    assert_string_equal(contents("a"), "old12");
    assert_int_equal(files->truncate(files->context, file, 6), TRIB_EFULL);
    must_write(file, 0, "OLD"); /* what is there can be written over */
    assert_int_equal(files->truncate(files->context, file, 3), TRIB_OK);
    must_write(file, 3, "ab");
    files->close(files->context, file);
}

/* Two sectors are rewritten; over many seeds each of the four outcomes must come up. */
static void test_torn_crashes_keep_any_subset_of_sectors(void **state) {
    (void)state;
    char before[1024], after[1024], bytes[1024];
    memset(before, 'o', sizeof before);
    memset(after, 'n', sizeof after);
    size_t outcomes[2][2] = {{0}};
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct trib_file *file = must_open("a", TRIB_FILE_WRITE);
        size_t done;
        assert_int_equal(files->write_at(files->context, file, 0, before, 1024), TRIB_OK);
        assert_int_equal(files->sync(files->context, file), TRIB_OK);
        assert_int_equal(files->sync_directory(files->context, "."), TRIB_OK);
        assert_int_equal(files->write_at(files->context, file, 0, after, 1024), TRIB_OK);
        trib_files_memory_crash_torn(&memory, seed);
        files->close(files->context, file);
        file = must_open("a", TRIB_FILE_READ);
        assert_int_equal(files->read_at(files->context, file, 0, bytes, 1024, &done), TRIB_OK);
        assert_int_equal(done, 1024);
        assert_memory_equal(bytes, bytes[0] == 'n' ? after : before, 512);
        assert_memory_equal(bytes + 512, bytes[512] == 'n' ? after : before, 512);
        outcomes[bytes[0] == 'n'][bytes[512] == 'n']++;
        files->close(files->context, file);
    }
    for (size_t index = 0; index < 4; index++)
        assert_true(outcomes[index / 2][index % 2] > 5);
}

static void test_rot_is_durable(void **state) {
    (void)state;
    files->close(files->context, durable_file("old"));
    trib_files_memory_rot(&memory, "a", 2);
    assert_string_equal(contents("a"), "ole");
    trib_files_memory_crash(&memory);
    assert_string_equal(contents("a"), "ole");
}

static void leave_open(void *context) {
    (void)context;
    struct trib_file *file;
    files->open(files->context, "a", TRIB_FILE_WRITE, &file);
    trib_files_memory_deinit(&memory);
}

static void test_open_files_are_a_leak(void **state) {
    (void)state;
    assert_true(trib_test_aborts(leave_open, NULL));
}

/* Looking ahead changes nothing, and sees neither unsynced bytes nor an unsynced name. */
static void test_durable_is_what_a_crash_leaves(void **state) {
    (void)state;
    uint64_t byte_count;
    struct trib_file *file = must_open("a", TRIB_FILE_CREATE);
    must_write(file, 0, "one");
    assert_int_equal(files->sync(files->context, file), TRIB_OK);
    assert_null(trib_files_memory_durable(&memory, "a", &byte_count));
    assert_int_equal(files->sync_directory(files->context, "."), TRIB_OK);
    must_write(file, 3, "two");
    const char *durable = trib_files_memory_durable(&memory, "a", &byte_count);
    assert_non_null(durable);
    assert_int_equal(byte_count, 3);
    assert_memory_equal(durable, "one", 3);
    assert_string_equal(contents("a"), "onetwo");
    files->close(files->context, file);
    assert_null(trib_files_memory_durable(&memory, "b/c", &byte_count));
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_unsynced_bytes_are_lost),
        TEST(test_unsynced_truncation_is_undone),
        TEST(test_a_synced_file_needs_a_synced_name),
        TEST(test_names_go_back_to_the_last_directory_sync),
        TEST(test_lost_syncs_say_yes_and_do_nothing),
        TEST(test_a_sync_after_a_failed_one_is_no_help),
        TEST(test_crashed_files_only_close),
        TEST(test_a_kill_takes_nothing_but_what_is_open),
        TEST(test_failed_writes_are_half_done),
        TEST(test_stop_is_for_good_until_the_crash),
        TEST(test_a_full_disk_takes_what_fits),
        TEST(test_torn_crashes_keep_any_subset_of_sectors),
        TEST(test_durable_is_what_a_crash_leaves),
        TEST(test_rot_is_durable),
        TEST(test_open_files_are_a_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
