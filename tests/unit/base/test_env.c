/* test_env.c - the system environment and the helpers over any environment. */
#include "base/env.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "support/check.h"
#include "support/death.h"
#include "support/env_faulty.h"

static void test_memory_is_aligned_and_zero(void **state) {
    (void)state;
    const struct trib_env *env = trib_env_system();
    for (size_t count = 1; count < 200; count += 13) {
        unsigned char *memory = trib_allocate(env, count, 3);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 64, 0);
        for (size_t index = 0; index < count * 3; index++)
            assert_int_equal(memory[index], 0);
        trib_release(env, memory, count, 3);
    }
}

static void test_sizes_are_checked_for_overflow(void **state) {
    (void)state;
    size_t total = 0;
    assert_true(trib_count_to_bytes(3, 5, &total));
    assert_int_equal(total, 15);
    assert_true(trib_count_to_bytes(0, SIZE_MAX, &total));
    assert_true(trib_count_to_bytes(PTRDIFF_MAX, 1, &total));
    assert_false(trib_count_to_bytes((size_t)PTRDIFF_MAX + 1, 1, &total));
    assert_false(trib_count_to_bytes(SIZE_MAX / 2, 3, &total));
    assert_null(trib_allocate(trib_env_system(), SIZE_MAX / 2, 3));
}

static void test_an_empty_array_is_not_a_failure(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    void *memory = trib_allocate(&faulty.env, 0, 8);
    assert_non_null(memory);
    trib_release(&faulty.env, memory, 0, 8);
    trib_release(&faulty.env, NULL, 5, 8);
    trib_env_faulty_deinit(&faulty);
}

static void test_regrow_keeps_contents_or_the_old_array(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint32_t *array = trib_regrow(&faulty.env, NULL, 0, 2, sizeof *array);
    array[0] = 7;
    array[1] = 8;
    trib_env_faulty_fail(&faulty, 1);
    assert_null(trib_regrow(&faulty.env, array, 2, 100, sizeof *array));
    assert_int_equal(array[1], 8);
    array = trib_regrow(&faulty.env, array, 2, 100, sizeof *array);
    assert_int_equal(array[0], 7);
    assert_int_equal(array[1], 8);
    assert_int_equal(array[99], 0);
    assert_int_equal(faulty.blocks_live, 1);
    trib_release(&faulty.env, array, 100, sizeof *array);
    trib_env_faulty_deinit(&faulty);
}

static void test_text_copies_are_released_by_their_length(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    char *copy = trib_text_copy(&faulty.env, "river");
    assert_string_equal(copy, "river");
    trib_text_release(&faulty.env, copy);
    trib_text_release(&faulty.env, NULL);
    trib_env_faulty_fail(&faulty, 1);
    assert_null(trib_text_copy(&faulty.env, "river"));
    trib_env_faulty_deinit(&faulty);
}

static void test_clocks_go_forward(void **state) {
    (void)state;
    const struct trib_env *env = trib_env_system();
    trib_time_ns first = env->monotonic(env->context);
    trib_time_ns second = env->monotonic(env->context);
    assert_true(first > 0);
    assert_true(second >= first);
    assert_true(env->wall(env->context) > 1.7e9);
}

static void test_entropy_fills_every_byte(void **state) {
    (void)state;
    const struct trib_env *env = trib_env_system();
    /* Each byte must become non-zero once; 64 misses in a row would be 2^-512. */
    unsigned char seen[300] = {0};
    for (int round = 0; round < 64; round++) {
        unsigned char bytes[sizeof seen] = {0};
        env->entropy(env->context, bytes, sizeof bytes);
        for (size_t index = 0; index < sizeof seen; index++)
            seen[index] |= bytes[index];
    }
    for (size_t index = 0; index < sizeof seen; index++)
        assert_int_not_equal(seen[index], 0);
}

static void test_log_values_cannot_forge_a_line(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    trib_log(&faulty.env, TRIB_LOG_WARN, "join client=%s", "a\n2026 info\tadmin\x7f");
    assert_string_equal(faulty.log_last, "join client=a?2026 info?admin?");
    assert_int_equal(faulty.log_last_level, TRIB_LOG_WARN);
    trib_env_faulty_deinit(&faulty);
}

/* What the system log writes to stderr for one line, NUL-terminated. */
static void capture_log(enum trib_log_level level, const char *line, char *text, size_t room) {
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    trib_log(trib_env_system(), level, "%s", line);
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t got = read(ends[0], text, room - 1);
    text[got > 0 ? got : 0] = '\0';
    close(ends[0]);
    close(ends[1]);
}

static void test_log_lines_have_time_level_and_event(void **state) {
    (void)state;
    char text[2048];
    int year, month, day, hour, minute, second, used = 0;
    capture_log(TRIB_LOG_ERROR, "disk_full run=r1", text, sizeof text);
    assert_int_equal(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &year, &month, &day, &hour, &minute,
                            &second, &used),
                     6);
    assert_int_equal(used, 20);
    assert_true(year >= 2024);
    assert_string_equal(text + used, " error disk_full run=r1\n");
}

static void test_long_log_lines_are_cut_but_end(void **state) {
    (void)state;
    char line[3000], text[4096];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\0';
    capture_log(TRIB_LOG_INFO, line, text, sizeof text);
    assert_true(strlen(text) < 1200);
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void test_log_level_hides_lesser_lines(void **state) {
    (void)state;
    char text[256];
    capture_log(TRIB_LOG_DEBUG, "detail", text, sizeof text);
    assert_string_equal(text, "");
    trib_env_log_level(TRIB_LOG_DEBUG);
    capture_log(TRIB_LOG_DEBUG, "detail", text, sizeof text);
    assert_non_null(strstr(text, " debug detail\n"));
    trib_env_log_level(TRIB_LOG_ERROR);
    capture_log(TRIB_LOG_WARN, "detail", text, sizeof text);
    assert_string_equal(text, "");
    trib_env_log_level(TRIB_LOG_INFO);
}

/* The faulty environment is a judge in other tests, so it is tried itself. */

static void release_wrong_size(void *context) {
    struct trib_env_faulty *faulty = context;
    trib_release(&faulty->env, trib_allocate(&faulty->env, 8, 1), 7, 1);
}

static void leak(void *context) {
    struct trib_env_faulty *faulty = context;
    (void)trib_allocate(&faulty->env, 8, 1);
    trib_env_faulty_deinit(faulty);
}

static void test_faulty_environment_finds_wrong_sizes_and_leaks(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    assert_true(trib_test_aborts(release_wrong_size, &faulty));
    assert_true(trib_test_aborts(leak, &faulty));
    trib_env_faulty_deinit(&faulty);
}

static void test_faulty_environment_fails_the_nth_once(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    trib_env_faulty_fail(&faulty, 2);
    void *first = trib_allocate(&faulty.env, 1, 1);
    assert_non_null(first);
    assert_false(faulty.has_failed);
    assert_null(trib_allocate(&faulty.env, 1, 1));
    assert_true(faulty.has_failed);
    void *third = trib_allocate(&faulty.env, 1, 1);
    assert_non_null(third);
    trib_release(&faulty.env, first, 1, 1);
    trib_release(&faulty.env, third, 1, 1);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_aligned_and_zero),
        cmocka_unit_test(test_sizes_are_checked_for_overflow),
        cmocka_unit_test(test_an_empty_array_is_not_a_failure),
        cmocka_unit_test(test_regrow_keeps_contents_or_the_old_array),
        cmocka_unit_test(test_text_copies_are_released_by_their_length),
        cmocka_unit_test(test_clocks_go_forward),
        cmocka_unit_test(test_entropy_fills_every_byte),
        cmocka_unit_test(test_log_values_cannot_forge_a_line),
        cmocka_unit_test(test_log_lines_have_time_level_and_event),
        cmocka_unit_test(test_long_log_lines_are_cut_but_end),
        cmocka_unit_test(test_log_level_hides_lesser_lines),
        cmocka_unit_test(test_faulty_environment_finds_wrong_sizes_and_leaks),
        cmocka_unit_test(test_faulty_environment_fails_the_nth_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
