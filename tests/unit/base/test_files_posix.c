/* test_files_posix.c - one contract, two tables: what the real file system does, the fake does.
 *
 * The cases at the end are about the real one alone: lock, modes, leaks. */
#include "base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files_memory.h"
#include "support/check.h"
#include "support/env_faulty.h"

struct world {
    struct trib_env_faulty faulty;
    struct trib_files_memory memory;
    struct trib_files *real;
    char root[64];
    const struct trib_files *files; /* the table on trial */
};

static struct world world;

static int set_up_real(void **state) {
    snprintf(world.root, sizeof world.root, "/tmp/trib-files-XXXXXX");
    assert_non_null(mkdtemp(world.root));
    trib_env_faulty_init(&world.faulty);
    struct trib_error error = {0};
    assert_int_equal(trib_files_open(&world.faulty.env, world.root, false, &world.real, &error),
                     TRIB_OK);
    world.files = world.real;
    *state = &world;
    return 0;
}

static int tear_down_real(void **state) {
    (void)state;
    trib_files_close(world.real);
    trib_env_faulty_deinit(&world.faulty);
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", world.root);
    return system(command);
}

static int set_up_fake(void **state) {
    trib_files_memory_init(&world.memory);
    world.files = &world.memory.files;
    *state = &world;
    return 0;
}

static int tear_down_fake(void **state) {
    (void)state;
    trib_files_memory_deinit(&world.memory);
    return 0;
}

/* Shorthands for the table on trial. */

static enum trib_status try_open(const char *path, enum trib_file_mode mode) {
    struct trib_file *file = NULL;
    enum trib_status status = world.files->open(world.files->context, path, mode, &file);
    world.files->close(world.files->context, file);
    return status;
}

static struct trib_file *must_open(const char *path, enum trib_file_mode mode) {
    struct trib_file *file;
    assert_int_equal(world.files->open(world.files->context, path, mode, &file), TRIB_OK);
    return file;
}

static void must_write(struct trib_file *file, uint64_t offset, const char *text) {
    assert_int_equal(world.files->write_at(world.files->context, file, offset, text, strlen(text)),
                     TRIB_OK);
}

static void assert_contents(struct trib_file *file, const void *expected, size_t count) {
    char bytes[256];
    size_t done;
    uint64_t file_bytes;
    assert_int_equal(
        world.files->read_at(world.files->context, file, 0, bytes, sizeof bytes, &done), TRIB_OK);
    assert_int_equal(done, count);
    assert_memory_equal(bytes, expected, count);
    assert_int_equal(world.files->size(world.files->context, file, &file_bytes), TRIB_OK);
    assert_int_equal(file_bytes, count);
}

static void close_file(struct trib_file *file) {
    world.files->close(world.files->context, file);
}

/* The contract. */

static void test_modes(void **state) {
    (void)state;
    assert_int_equal(try_open("a", TRIB_FILE_READ), TRIB_ENOTFOUND);
    struct trib_file *file = must_open("a", TRIB_FILE_WRITE);
    must_write(file, 0, "abc");
    close_file(file);
    file = must_open("a", TRIB_FILE_WRITE); /* kept */
    assert_contents(file, "abc", 3);
    close_file(file);
    file = must_open("a", TRIB_FILE_CREATE); /* emptied */
    assert_contents(file, "", 0);
    close_file(file);
    assert_int_equal(try_open("a", TRIB_FILE_READ), TRIB_OK);
    assert_int_equal(try_open("none/a", TRIB_FILE_WRITE), TRIB_ENOTFOUND);
    assert_int_equal(try_open("a/b", TRIB_FILE_WRITE), TRIB_ENOTFOUND);
    assert_int_equal(world.files->make_directory(world.files->context, "d"), TRIB_OK);
    assert_int_equal(try_open("d", TRIB_FILE_WRITE), TRIB_EIO);
    close_file(NULL);
}

static void test_reads_and_writes_at_offsets(void **state) {
    (void)state;
    struct trib_file *file = must_open("a", TRIB_FILE_WRITE);
    must_write(file, 3, "def");
    assert_contents(file, "\0\0\0def", 6); /* a gap reads as zeros */
    must_write(file, 0, "abc");
    must_write(file, 2, "CD");
    assert_contents(file, "abCDef", 6);
    char bytes[4];
    size_t done;
    assert_int_equal(world.files->read_at(world.files->context, file, 4, bytes, 4, &done), TRIB_OK);
    assert_int_equal(done, 2);
    assert_memory_equal(bytes, "ef", 2);
    assert_int_equal(world.files->read_at(world.files->context, file, 99, bytes, 4, &done),
                     TRIB_OK);
    assert_int_equal(done, 0);
    assert_int_equal(world.files->write_at(world.files->context, file, 50, "", 0), TRIB_OK);
    assert_contents(file, "abCDef", 6);
    assert_int_equal(world.files->sync(world.files->context, file), TRIB_OK);
    close_file(file);
}

static void test_truncate_cuts_and_extends_with_zeros(void **state) {
    (void)state;
    struct trib_file *file = must_open("a", TRIB_FILE_WRITE);
    must_write(file, 0, "abcdef");
    assert_int_equal(world.files->truncate(world.files->context, file, 2), TRIB_OK);
    assert_contents(file, "ab", 2);
    assert_int_equal(world.files->truncate(world.files->context, file, 4), TRIB_OK);
    assert_contents(file, "ab\0\0", 4);
    close_file(file);
}

static void test_rename_replaces_and_keeps_open_files(void **state) {
    (void)state;
    struct trib_file *first = must_open("a", TRIB_FILE_WRITE);
    struct trib_file *second = must_open("b", TRIB_FILE_WRITE);
    must_write(first, 0, "one");
    must_write(second, 0, "two");
    assert_int_equal(world.files->rename(world.files->context, "none", "x"), TRIB_ENOTFOUND);
    assert_int_equal(world.files->rename(world.files->context, "a", "none/x"), TRIB_ENOTFOUND);
    assert_int_equal(world.files->rename(world.files->context, "a", "b"), TRIB_OK);
    assert_int_equal(try_open("a", TRIB_FILE_READ), TRIB_ENOTFOUND);
    struct trib_file *third = must_open("b", TRIB_FILE_READ);
    assert_contents(third, "one", 3);
    assert_contents(second, "two", 3); /* its name is gone, the file is not */
    close_file(first);
    close_file(second);
    close_file(third);
}

static void test_remove_takes_files_and_empty_directories(void **state) {
    (void)state;
    const struct trib_files *files = world.files;
    assert_int_equal(files->make_directory(files->context, "d"), TRIB_OK);
    assert_int_equal(files->make_directory(files->context, "d"), TRIB_OK); /* exists already */
    assert_int_equal(try_open("d/a", TRIB_FILE_WRITE), TRIB_OK);
    assert_int_equal(files->make_directory(files->context, "d/a"), TRIB_ECONFLICT);
    assert_int_equal(files->make_directory(files->context, "none/d"), TRIB_ENOTFOUND);
    assert_int_equal(files->remove(files->context, "d"), TRIB_ECONFLICT);
    assert_int_equal(files->remove(files->context, "d/a"), TRIB_OK);
    assert_int_equal(files->remove(files->context, "d/a"), TRIB_ENOTFOUND);
    assert_int_equal(files->remove(files->context, "d"), TRIB_OK);
    assert_int_equal(files->sync_directory(files->context, "d"), TRIB_ENOTFOUND);
    assert_int_equal(files->sync_directory(files->context, "."), TRIB_OK);
}

struct names {
    char text[512];
    bool is_removing;
};

static void add_name(void *visitor, const char *name) {
    struct names *names = visitor;
    strcat(names->text, name);
    strcat(names->text, " ");
    if (names->is_removing)
        assert_int_equal(world.files->remove(world.files->context, name), TRIB_OK);
}

static void test_list_is_in_bytewise_order(void **state) {
    (void)state;
    static const char *const names[] = {"b", "B", "10", "9", "a-b", "a", "\xc3\xa9"};
    for (size_t index = 0; index < sizeof names / sizeof *names; index++)
        assert_int_equal(try_open(names[index], TRIB_FILE_WRITE), TRIB_OK);
    struct names seen = {0};
    assert_int_equal(world.files->list(world.files->context, ".", add_name, &seen), TRIB_OK);
    assert_string_equal(seen.text, "10 9 B a a-b b \xc3\xa9 ");
    seen = (struct names){.is_removing = true}; /* a visitor may use the table */
    assert_int_equal(world.files->list(world.files->context, ".", add_name, &seen), TRIB_OK);
    seen = (struct names){0};
    assert_int_equal(world.files->list(world.files->context, ".", add_name, &seen), TRIB_OK);
    assert_string_equal(seen.text, "");
    assert_int_equal(world.files->list(world.files->context, "none", add_name, &seen),
                     TRIB_ENOTFOUND);
}

static void test_free_bytes_are_some(void **state) {
    (void)state;
    uint64_t bytes = 0;
    assert_int_equal(world.files->free_bytes(world.files->context, &bytes), TRIB_OK);
    assert_true(bytes > 0);
}

/* The real one alone. */

static void test_one_process_at_a_time(void **state) {
    (void)state;
    struct trib_files *first, *second;
    struct trib_error error = {0};
    const struct trib_env *env = &world.faulty.env;
    assert_int_equal(trib_files_open(env, world.root, true, &first, &error), TRIB_OK);
    assert_int_equal(trib_files_open(env, world.root, true, &second, &error), TRIB_ECONFLICT);
    assert_non_null(strstr(error.text, world.root));
    assert_non_null(strstr(error.text, "another process"));
    assert_int_equal(trib_files_open(env, world.root, false, &second, &error), TRIB_OK);
    trib_files_close(second);
    trib_files_close(first);
    assert_int_equal(trib_files_open(env, world.root, true, &first, &error), TRIB_OK);
    trib_files_close(first);
    trib_files_close(NULL);
}

static void test_what_it_makes_is_private(void **state) {
    (void)state;
    char path[128];
    struct stat facts;
    struct trib_files *files;
    struct trib_error error = {0};
    snprintf(path, sizeof path, "%s/new", world.root);
    assert_int_equal(trib_files_open(&world.faulty.env, path, true, &files, &error), TRIB_OK);
    trib_files_close(files);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    snprintf(path, sizeof path, "%s/new/lock", world.root);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(try_open("a", TRIB_FILE_WRITE), TRIB_OK);
    snprintf(path, sizeof path, "%s/a", world.root);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
}

static void test_errors_name_the_path_and_the_cause(void **state) {
    (void)state;
    char path[128];
    struct trib_files *files;
    struct trib_error error = {0};
    snprintf(path, sizeof path, "%s/missing/root", world.root);
    assert_int_equal(trib_files_open(&world.faulty.env, path, true, &files, &error),
                     TRIB_ENOTFOUND);
    assert_non_null(strstr(error.text, path));
    assert_non_null(strstr(error.text, "No such file"));
    assert_int_equal(try_open("a", TRIB_FILE_WRITE), TRIB_OK);
    snprintf(path, sizeof path, "%s/a", world.root);
    assert_int_not_equal(trib_files_open(&world.faulty.env, path, true, &files, NULL), TRIB_OK);
}

static void test_descriptors_close_on_exec(void **state) {
    (void)state;
    struct trib_file *file = must_open("a", TRIB_FILE_WRITE);
    int descriptor = world.files->descriptor(world.files->context, file);
    assert_true(descriptor >= 0);
    assert_true(fcntl(descriptor, F_GETFD) & FD_CLOEXEC);
    close_file(file);
}

static size_t open_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void count_name(void *visitor, const char *name) {
    (void)name;
    ++*(size_t *)visitor;
}

/* Open the root a second time, list a hundred names, open one. */
static enum trib_status look_around(void) {
    struct trib_files *files;
    enum trib_status status = trib_files_open(&world.faulty.env, world.root, true, &files, NULL);
    if (status != TRIB_OK)
        return status;
    size_t name_count = 0;
    struct trib_file *file = NULL;
    status = files->list(files->context, ".", count_name, &name_count);
    assert_int_equal(name_count, status == TRIB_OK ? 101 : 0); /* the lock is one */
    if (status == TRIB_OK)
        status = files->open(files->context, "file-1", TRIB_FILE_READ, &file);
    files->close(files->context, file);
    trib_files_close(files);
    return status;
}

static void test_failed_allocations_leak_nothing(void **state) {
    (void)state;
    for (int index = 0; index < 100; index++) {
        char name[16];
        snprintf(name, sizeof name, "file-%d", index);
        assert_int_equal(try_open(name, TRIB_FILE_WRITE), TRIB_OK);
    }
    size_t descriptors = open_descriptors();
    uint64_t blocks = world.faulty.blocks_live;
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&world.faulty, ++nth);
        enum trib_status status = look_around();
        assert_int_equal(status, world.faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_int_equal(world.faulty.blocks_live, blocks);
        assert_int_equal(open_descriptors(), descriptors);
    } while (world.faulty.has_failed);
    assert_true(nth > 5);
}

/* Every call that needs a descriptor fails for want of one, and gives back what it took. */
static void test_no_descriptors_is_an_error(void **state) {
    (void)state;
    struct rlimit limit, before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    size_t names = 0;
    struct trib_files *files;
    limit.rlim_cur = 3; /* 0, 1 and 2 are taken */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    enum trib_status statuses[] = {
        try_open("a", TRIB_FILE_WRITE),
        world.files->list(world.files->context, ".", count_name, &names),
        world.files->sync_directory(world.files->context, "."),
        trib_files_open(&world.faulty.env, world.root, true, &files, NULL),
    };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t index = 0; index < sizeof statuses / sizeof *statuses; index++)
        assert_int_equal(statuses[index], TRIB_EIO);
}

/* RLIMIT_FSIZE stops a write half-way, as a full disk does. */
static void test_a_write_is_all_or_an_error(void **state) {
    (void)state;
    struct rlimit limit, before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 4;
    struct trib_file *file = must_open("a", TRIB_FILE_WRITE);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum trib_status status = world.files->write_at(world.files->context, file, 0, "abcdef", 6);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, TRIB_EIO);
    assert_contents(file, "abcd", 4);
    close_file(file);
}

int main(void) {
#define REAL(function) cmocka_unit_test_setup_teardown(function, set_up_real, tear_down_real)
#define FAKE(function) \
    { "fake_" #function, function, set_up_fake, tear_down_fake, NULL }
#define BOTH(function) REAL(function), FAKE(function)
    const struct CMUnitTest tests[] = {
        BOTH(test_modes),
        BOTH(test_reads_and_writes_at_offsets),
        BOTH(test_truncate_cuts_and_extends_with_zeros),
        BOTH(test_rename_replaces_and_keeps_open_files),
        BOTH(test_remove_takes_files_and_empty_directories),
        BOTH(test_list_is_in_bytewise_order),
        BOTH(test_free_bytes_are_some),
        REAL(test_one_process_at_a_time),
        REAL(test_what_it_makes_is_private),
        REAL(test_errors_name_the_path_and_the_cause),
        REAL(test_descriptors_close_on_exec),
        REAL(test_failed_allocations_leak_nothing),
        REAL(test_no_descriptors_is_an_error),
        REAL(test_a_write_is_all_or_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
