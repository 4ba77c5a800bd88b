/* test_files_crash.c - files with crash points do what files do; the points have their names; a
 * kill leaves what was written, a power cut only what was synced.
 *
 * What may die does so in a child, on a real directory; the parent looks at what is left. */
#include "base/files_crash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/files_memory.h"
#include "support/check.h"
#include "support/env_faulty.h"

static char folder[64];

static int set_up(void **state) {
    (void)state;
    unsetenv("TRIB_CRASH");
    unsetenv("TRIB_CRASH_LIST");
    snprintf(folder, sizeof folder, "/tmp/trib-crash-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[160];
    snprintf(command, sizeof command, "rm -rf %s %s.list", folder, folder);
    return system(command);
}

/* Without cmocka's checks: they may not run in a child. */
static void must(enum trib_status status) {
    TRIB_ASSERT(status == TRIB_OK);
}

static struct trib_file *open_for_writing(const struct trib_files *files, const char *path) {
    struct trib_file *file;
    must(files->open(files->context, path, TRIB_FILE_WRITE, &file));
    return file;
}

static void write_text(const struct trib_files *files, struct trib_file *file, uint64_t offset,
                       const char *text) {
    must(files->write_at(files->context, file, offset, text, strlen(text)));
}

/* In a child with this plan: open the folder and act. Returns the signal that ended it, 0: none. */
static int act_in_child(const char *plan, void (*act)(const struct trib_files *files)) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char list[96];
        snprintf(list, sizeof list, "%s.list", folder);
        setenv("TRIB_CRASH_LIST", list, 1);
        if (plan)
            setenv("TRIB_CRASH", plan, 1);
        struct trib_files *files;
        must(trib_files_open(trib_env_system(), folder, true, &files, NULL));
        act(files);
        trib_files_close(files);
        _exit(0);
    }
    int outcome;
    assert_int_equal(waitpid(child, &outcome, 0), child);
    return WIFSIGNALED(outcome) ? WTERMSIG(outcome) : 0;
}

static const char *contents(const char *name) {
    static char text[4096];
    char path[192];
    snprintf(path, sizeof path, "%s%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    size_t count = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    for (size_t index = 0; index < count; index++)
        text[index] = text[index] == '\0' ? '0' : text[index]; /* not the end of the text */
    text[count] = '\0';
    return text;
}

/* ---- points ---- */

static void change_everything(const struct trib_files *files) {
    must(files->make_directory(files->context, "spool"));
    struct trib_file *file = open_for_writing(files, "spool/12.segment");
    write_text(files, file, 0, "ab");
    must(files->sync(files->context, file));
    must(files->truncate(files->context, file, 1));
    files->close(files->context, file);
    must(files->sync_directory(files->context, "spool"));
    must(files->make_directory(files->context, "state"));
    file = open_for_writing(files, "state/7.tmp");
    must(files->sync(files->context, file));
    files->close(files->context, file);
    must(files->rename(files->context, "state/7.tmp", "state/7"));
    must(files->remove(files->context, "state/7"));
    must(files->sync_directory(files->context, "."));
}

static void test_each_change_passes_its_points(void **state) {
    (void)state;
    assert_int_equal(act_in_child(NULL, change_everything), 0);
    assert_string_equal(contents(".list"), "segment.write.before\n"
                                           "segment.write.half\n"
                                           "segment.write.after\n"
                                           "segment.sync.before\n"
                                           "segment.sync.after\n"
                                           "segment.truncate.before\n"
                                           "segment.truncate.after\n"
                                           "spool.sync-directory.before\n"
                                           "spool.sync-directory.after\n"
                                           "state.sync.before\n"
                                           "state.sync.after\n"
                                           "state.rename.before\n"
                                           "state.rename.after\n"
                                           "state.remove.before\n"
                                           "state.remove.after\n"
                                           "root.sync-directory.before\n"
                                           "root.sync-directory.after\n");
}

/* ---- what a death leaves ---- */

/* "old" is synced; then it is overwritten, appended to, synced no more. */
static void write_over(const struct trib_files *files) {
    struct trib_file *file = open_for_writing(files, "ledger");
    write_text(files, file, 0, "old ");
    must(files->sync(files->context, file));
    write_text(files, file, 2, "LDER");
    write_text(files, file, 6, "!!");
    trib_crash_point("all", "is", "written");
    must(files->sync(files->context, file));
    trib_crash_point("all", "is", "synced");
    files->close(files->context, file);
}

static void test_a_kill_leaves_what_was_written(void **state) {
    (void)state;
    assert_int_equal(act_in_child("all.is.written:1", write_over), SIGKILL);
    assert_string_equal(contents("/ledger"), "olLDER!!");
}

static void test_a_kill_between_the_halves_tears_a_write(void **state) {
    (void)state;
    assert_int_equal(act_in_child("ledger.write.half:2", write_over), SIGKILL);
    assert_string_equal(contents("/ledger"), "olLD");
}

static void test_a_power_cut_leaves_what_was_synced(void **state) {
    (void)state;
    assert_int_equal(act_in_child("all.is.written:1:power", write_over), SIGKILL);
    assert_string_equal(contents("/ledger"), "old ");
    assert_int_equal(act_in_child("all.is.synced:1:power", write_over), SIGKILL);
    assert_string_equal(contents("/ledger"), "olLDER!!");
}

static void write_and_forget(const struct trib_files *files) {
    struct trib_file *file = open_for_writing(files, "a.tmp");
    write_text(files, file, 0, "not synced");
    files->close(files->context, file);
    must(files->rename(files->context, "a.tmp", "a"));
    file = open_for_writing(files, "b");
    write_text(files, file, 0, "123456");
    must(files->sync(files->context, file));
    must(files->truncate(files->context, file, 2));
    files->close(files->context, file);
    trib_crash_point("all", "is", "written");
}

static void test_a_power_cut_follows_names_and_truncations(void **state) {
    (void)state;
    assert_int_equal(act_in_child("all.is.written:1:power", write_and_forget), SIGKILL);
    assert_string_equal(contents("/a"), "");
    assert_string_equal(contents("/b"), "123456");
    assert_null(contents("/a.tmp"));
}

static void write_and_remove(const struct trib_files *files) {
    struct trib_file *file = open_for_writing(files, "a");
    write_text(files, file, 0, "x");
    files->close(files->context, file);
    must(files->remove(files->context, "a"));
    trib_crash_point("all", "is", "written");
}

static void test_a_power_cut_brings_no_removed_file_back(void **state) {
    (void)state;
    assert_int_equal(act_in_child("all.is.written:1:power", write_and_remove), SIGKILL);
    assert_null(contents("/a"));
}

/* ---- the table ---- */

static void test_without_a_plan_nothing_is_installed(void **state) {
    (void)state;
    struct trib_files *files;
    assert_int_equal(trib_files_open(trib_env_system(), folder, true, &files, NULL), TRIB_OK);
    struct trib_files before = *files;
    trib_files_crash_remove(files);
    assert_memory_equal(files, &before, sizeof before);
    trib_files_close(files);
}

static void test_a_wrong_plan_opens_nothing(void **state) {
    (void)state;
    struct trib_files *files;
    struct trib_error error = {0};
    setenv("TRIB_CRASH", "typo", 1);
    assert_int_equal(trib_files_open(trib_env_system(), folder, true, &files, &error),
                     TRIB_EINVALID);
    assert_non_null(strstr(error.text, "typo"));
}

/* Write, read and remove through the points. */
static enum trib_status use(const struct trib_files *files) {
    struct trib_file *file = NULL;
    enum trib_status status = files->open(files->context, "a.tmp", TRIB_FILE_WRITE, &file);
    if (status != TRIB_OK)
        return status;
    status = files->write_at(files->context, file, 1, "bcd", 3);
    if (status == TRIB_OK)
        status = files->truncate(files->context, file, 3);
    if (status == TRIB_OK) {
        char bytes[8];
        size_t done = 0;
        uint64_t count = 0;
        must(files->read_at(files->context, file, 0, bytes, sizeof bytes, &done));
        TRIB_ASSERT(done == 3 && memcmp(bytes, "\0bc", 3) == 0);
        must(files->size(files->context, file, &count));
        TRIB_ASSERT(count == 3);
        TRIB_ASSERT(files->descriptor(files->context, file) == -1); /* files in memory */
        must(files->free_bytes(files->context, &count));
        status = files->rename(files->context, "a.tmp", "a");
    }
    files->close(files->context, file);
    files->close(files->context, NULL);
    TRIB_ASSERT(files->remove(files->context, "none") == TRIB_ENOTFOUND);
    return status;
}

static void sweep_allocations(const struct trib_files *ignored) {
    (void)ignored; /* files in memory take no descriptors and make no noise */
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_files_memory memory;
        trib_files_memory_init(&memory);
        struct trib_files before = memory.files;
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_files_crash_install(&faulty.env, &memory.files);
        if (status == TRIB_OK) {
            status = use(&memory.files);
            trib_files_crash_remove(&memory.files);
        }
        TRIB_ASSERT(status == (faulty.has_failed ? TRIB_EMEMORY : TRIB_OK));
        TRIB_ASSERT(memcmp(&memory.files, &before, sizeof before) == 0);
        TRIB_ASSERT(faulty.blocks_live == 0);
        trib_files_memory_deinit(&memory);
    } while (faulty.has_failed);
    TRIB_ASSERT(nth > 3);
    trib_env_faulty_deinit(&faulty);
}

static void test_failed_allocations_leak_nothing(void **state) {
    (void)state;
    sweep_allocations(NULL);
    assert_int_equal(act_in_child("no.such.point:1:power", sweep_allocations), 0);
}

/* A write half of which fails is a failed write. */
static void test_errors_come_through(void **state) {
    (void)state;
    struct trib_files_memory memory;
    trib_files_memory_init(&memory);
    assert_int_equal(trib_files_crash_install(trib_env_system(), &memory.files), TRIB_OK);
    const struct trib_files *files = &memory.files;
    struct trib_file *file = open_for_writing(files, "a");
    for (uint64_t nth = 1; nth <= 2; nth++) {
        trib_files_memory_fail(&memory, nth, TRIB_EFULL);
        assert_int_equal(files->write_at(files->context, file, 0, "abcd", 4), TRIB_EFULL);
    }
    trib_files_memory_fail(&memory, 1, TRIB_EIO);
    assert_int_equal(files->sync(files->context, file), TRIB_EIO);
    files->close(files->context, file);
    trib_files_crash_remove(&memory.files);
    trib_files_memory_deinit(&memory);
}

int main(void) {
#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_each_change_passes_its_points),
        CASE(test_a_kill_leaves_what_was_written),
        CASE(test_a_kill_between_the_halves_tears_a_write),
        CASE(test_a_power_cut_leaves_what_was_synced),
        CASE(test_a_power_cut_follows_names_and_truncations),
        CASE(test_a_power_cut_brings_no_removed_file_back),
        CASE(test_without_a_plan_nothing_is_installed),
        CASE(test_a_wrong_plan_opens_nothing),
        CASE(test_failed_allocations_leak_nothing),
        CASE(test_errors_come_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
