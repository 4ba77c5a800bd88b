/* test_arena.c - aligned zeroed memory under a limit, given back together. */
#include "base/arena.h"

#include "support/check.h"
#include "support/env_faulty.h"

static void test_memory_is_aligned_zero_and_disjoint(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_arena arena;
    trib_env_faulty_init(&faulty);
    trib_arena_init(&arena, &faulty.env, 0);
    for (int round = 0; round < 2; round++) { /* the second round reuses the first block */
        unsigned char *pieces[300];
        for (size_t index = 0; index < 300; index++) {
            size_t count = 1 + index * 7 % 90;
            unsigned char *piece = pieces[index] = trib_arena_allocate(&arena, count, 1);
            assert_int_equal((uintptr_t)piece % 16, 0);
            for (size_t offset = 0; offset < count; offset++) {
                assert_int_equal(piece[offset], 0);
                piece[offset] = (unsigned char)(index + 1);
            }
        }
        for (size_t index = 0; index < 300; index++)
            assert_int_equal(pieces[index][0], (unsigned char)(index + 1));
        trib_arena_reset(&arena);
    }
    trib_arena_deinit(&arena);
    trib_env_faulty_deinit(&faulty);
}

static void test_reset_keeps_one_block(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_arena arena;
    trib_env_faulty_init(&faulty);
    trib_arena_init(&arena, &faulty.env, 0);
    for (int index = 0; index < 100; index++)
        assert_non_null(trib_arena_allocate(&arena, 100, 10));
    assert_true(faulty.blocks_live > 1);
    trib_arena_reset(&arena);
    assert_int_equal(faulty.blocks_live, 1);
    assert_int_equal(arena.bytes_used, 0);
    uint64_t before = faulty.allocation_count;
    assert_non_null(trib_arena_allocate(&arena, 100, 10));
    assert_int_equal(faulty.allocation_count, before);
    trib_arena_deinit(&arena);
    trib_env_faulty_deinit(&faulty);
}

static void test_limit_holds_until_reset(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_arena arena;
    trib_env_faulty_init(&faulty);
    trib_arena_init(&arena, &faulty.env, 64);
    assert_non_null(trib_arena_allocate(&arena, 48, 1));
    assert_null(trib_arena_allocate(&arena, 17, 1));
    assert_non_null(trib_arena_allocate(&arena, 16, 1));
    assert_null(trib_arena_allocate(&arena, 1, 1));
    assert_int_equal(arena.bytes_used, 64);
    trib_arena_reset(&arena);
    assert_non_null(trib_arena_allocate(&arena, 64, 1));
    trib_arena_deinit(&arena);
    trib_env_faulty_deinit(&faulty);
}

static void test_overflowing_counts_are_refused(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_arena arena;
    trib_env_faulty_init(&faulty);
    trib_arena_init(&arena, &faulty.env, 0);
    assert_null(trib_arena_allocate(&arena, SIZE_MAX / 2, 4));
    assert_null(trib_arena_allocate(&arena, PTRDIFF_MAX, 1));
    assert_null(trib_arena_copy(&arena, "x", SIZE_MAX));
    assert_non_null(trib_arena_allocate(&arena, 0, 8));
    assert_non_null(trib_arena_allocate(&arena, 1000000, 1)); /* larger than any usual block */
    trib_arena_deinit(&arena);
    trib_env_faulty_deinit(&faulty);
}

static void test_texts_are_terminated(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_arena arena;
    trib_env_faulty_init(&faulty);
    trib_arena_init(&arena, &faulty.env, 0);
    assert_string_equal(trib_arena_copy(&arena, "river bed", 5), "river");
    assert_string_equal(trib_arena_copy(&arena, NULL, 0), "");
    assert_string_equal(trib_arena_format(&arena, "%s-%d", "run", 7), "run-7");
    assert_string_equal(trib_arena_format(&arena, "%s", ""), "");
    trib_arena_deinit(&arena);
    trib_env_faulty_deinit(&faulty);
}

static void test_failed_allocations_leave_the_arena_usable(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_arena arena;
        trib_arena_init(&arena, &faulty.env, 0);
        trib_env_faulty_fail(&faulty, ++nth);
        size_t refused = 0;
        for (int index = 0; index < 40; index++)
            refused += trib_arena_format(&arena, "%0500d", index) == NULL;
        assert_int_equal(refused, faulty.has_failed ? 1 : 0);
        trib_arena_deinit(&arena);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 2);
    trib_env_faulty_deinit(&faulty);
}

static void test_all_zero_is_safe_to_deinit(void **state) {
    (void)state;
    struct trib_arena arena = {0};
    trib_arena_deinit(&arena);
    trib_arena_reset(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_aligned_zero_and_disjoint),
        cmocka_unit_test(test_reset_keeps_one_block),
        cmocka_unit_test(test_limit_holds_until_reset),
        cmocka_unit_test(test_overflowing_counts_are_refused),
        cmocka_unit_test(test_texts_are_terminated),
        cmocka_unit_test(test_failed_allocations_leave_the_arena_usable),
        cmocka_unit_test(test_all_zero_is_safe_to_deinit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
