/* test_block.c - one owner writes, then many read, on any thread; the last one frees. */
#include "base/block.h"

#include <pthread.h>

#include "support/check.h"
#include "support/env_faulty.h"

static void test_blocks_are_aligned_and_zero(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_block *block = trib_block_new(&faulty.env, 1000);
    assert_int_equal((uintptr_t)block->bytes % 64, 0);
    assert_int_equal(block->byte_count, 1000);
    for (size_t index = 0; index < 1000; index++)
        assert_int_equal(block->bytes[index], 0);
    trib_block_unref(block);
    block = trib_block_new(&faulty.env, 0);
    assert_non_null(block);
    trib_block_unref(block);
    trib_block_unref(NULL);
    trib_env_faulty_deinit(&faulty);
}

static void test_no_memory_is_null(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    trib_env_faulty_fail(&faulty, 1);
    assert_null(trib_block_new(&faulty.env, 10));
    assert_null(trib_block_new(&faulty.env, SIZE_MAX));
    trib_env_faulty_deinit(&faulty);
}

static void test_seal_is_for_good_and_shared(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_block *block = trib_block_new(&faulty.env, 4);
    assert_false(trib_block_is_sealed(block));
    trib_block_seal(block);
    assert_true(trib_block_is_sealed(block));
    struct trib_block *other = trib_block_ref(block);
    assert_ptr_equal(other, block);
    trib_block_unref(block);
    assert_int_equal(faulty.blocks_live, 1);
    assert_true(trib_block_is_sealed(other));
    trib_block_unref(other);
    trib_env_faulty_deinit(&faulty);
}

static void test_only_a_sole_holder_may_reopen(void **state) {
    (void)state;
    struct trib_block *block = trib_block_new(trib_env_system(), 4);
    block->bytes[0] = 7;
    trib_block_seal(block);
    struct trib_block *reader = trib_block_ref(block);
    assert_false(trib_block_reopen(block));
    assert_true(trib_block_is_sealed(block));
    trib_block_unref(reader);
    assert_true(trib_block_reopen(block));
    assert_false(trib_block_is_sealed(block));
    assert_int_equal(block->bytes[0], 7);
    trib_block_unref(block);
}

static void *take_and_drop(void *argument) {
    struct trib_block *block = argument;
    for (int round = 0; round < 10000; round++) {
        trib_block_ref(block);
        trib_block_unref(block);
    }
    trib_block_unref(block);
    return NULL;
}

static void test_references_are_counted_across_threads(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_block *block = trib_block_new(&faulty.env, 64);
    trib_block_seal(block);
    pthread_t threads[4];
    for (size_t index = 0; index < 4; index++)
        assert_int_equal(
            pthread_create(&threads[index], NULL, take_and_drop, trib_block_ref(block)), 0);
    for (size_t index = 0; index < 4; index++)
        pthread_join(threads[index], NULL);
    assert_int_equal(faulty.blocks_live, 1);
    trib_block_unref(block);
    trib_env_faulty_deinit(&faulty);
}

static size_t released_bytes;

static void release(void *bytes, size_t byte_count) {
    assert_string_equal(bytes, "elsewhere");
    released_bytes += byte_count;
}

static void test_bytes_from_elsewhere_are_given_back_once(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    char bytes[] = "elsewhere";
    struct trib_block *block = trib_block_of(&faulty.env, bytes, sizeof bytes, release);
    assert_ptr_equal(block->bytes, bytes);
    assert_true(trib_block_is_sealed(block));
    assert_false(trib_block_reopen(block));
    trib_block_unref(trib_block_ref(block));
    assert_int_equal(released_bytes, 0);
    trib_block_unref(block);
    assert_int_equal(released_bytes, sizeof bytes);
    trib_env_faulty_fail(&faulty, 1);
    assert_null(trib_block_of(&faulty.env, bytes, sizeof bytes, release));
    assert_int_equal(released_bytes, sizeof bytes);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_aligned_and_zero),
        cmocka_unit_test(test_no_memory_is_null),
        cmocka_unit_test(test_seal_is_for_good_and_shared),
        cmocka_unit_test(test_only_a_sole_holder_may_reopen),
        cmocka_unit_test(test_bytes_from_elsewhere_are_given_back_once),
        cmocka_unit_test(test_references_are_counted_across_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
