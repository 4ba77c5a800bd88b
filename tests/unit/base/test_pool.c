/* test_pool.c - a pool never has more chunks out than it was given, whatever happens. */
#include "base/pool.h"

#include <pthread.h>

#include "support/check.h"
#include "support/death.h"
#include "support/env_faulty.h"

static void test_lends_up_to_the_limit_and_never_more(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_pool *pool = trib_pool_new(&faulty.env, 100, 3);
    assert_int_equal(trib_pool_chunk_bytes(pool), 100);
    assert_int_equal(trib_pool_chunks_max(pool), 3);
    void *chunks[3];
    for (size_t index = 0; index < 3; index++) {
        chunks[index] = trib_pool_lend(pool);
        assert_non_null(chunks[index]);
        assert_int_equal(trib_pool_chunks_lent(pool), index + 1);
    }
    assert_null(trib_pool_lend(pool));
    trib_pool_return(pool, chunks[1]);
    assert_ptr_equal(trib_pool_lend(pool), chunks[1]);
    assert_null(trib_pool_lend(pool));
    for (size_t index = 0; index < 3; index++)
        trib_pool_return(pool, chunks[index]);
    assert_int_equal(trib_pool_chunks_lent(pool), 0);
    trib_pool_free(pool);
    trib_pool_free(NULL);
    trib_env_faulty_deinit(&faulty);
}

static void test_memory_is_taken_on_first_need_and_kept(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_pool *pool = trib_pool_new(&faulty.env, 4096, 1000);
    assert_int_equal(faulty.blocks_live, 1);
    for (int round = 0; round < 10; round++) {
        void *first = trib_pool_lend(pool);
        void *second = trib_pool_lend(pool);
        trib_pool_return(pool, first);
        trib_pool_return(pool, second);
    }
    assert_int_equal(faulty.allocation_count, 3);
    trib_pool_free(pool);
    trib_env_faulty_deinit(&faulty);
}

static void test_idle_chunks_go_back_down_to_what_is_said(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_pool *pool = trib_pool_new(&faulty.env, 100, 4);
    void *chunks[4];
    for (size_t index = 0; index < 4; index++)
        chunks[index] = trib_pool_lend(pool);
    for (size_t index = 0; index < 3; index++)
        trib_pool_return(pool, chunks[index]);
    trib_pool_trim(pool, 5);
    assert_int_equal(faulty.blocks_live, 5);
    trib_pool_trim(pool, 1);
    assert_int_equal(faulty.blocks_live, 3);
    assert_int_equal(trib_pool_chunks_lent(pool), 1);
    trib_pool_return(pool, chunks[3]);
    trib_pool_free(pool);
    trib_env_faulty_deinit(&faulty);
}

static void test_chunks_that_are_needed_now_and_then_stay(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_pool *pool = trib_pool_new(&faulty.env, 100, 3);
    void *chunks[3];
    for (size_t index = 0; index < 3; index++)
        chunks[index] = trib_pool_lend(pool);
    for (size_t index = 0; index < 3; index++)
        trib_pool_return(pool, chunks[index]);
    trib_pool_trim_spare(pool); /* all three were out at one time */
    assert_int_equal(faulty.blocks_live, 4);
    trib_pool_return(pool, trib_pool_lend(pool));
    trib_pool_trim_spare(pool); /* since then one */
    assert_int_equal(faulty.blocks_live, 2);
    trib_pool_trim_spare(pool); /* and none */
    assert_int_equal(faulty.blocks_live, 1);
    trib_pool_free(pool);
    trib_env_faulty_deinit(&faulty);
}

static void test_no_memory_is_an_answer(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    trib_env_faulty_fail(&faulty, 1);
    assert_null(trib_pool_new(&faulty.env, 8, 8));
    assert_null(trib_pool_new(&faulty.env, 8, SIZE_MAX / 4));
    struct trib_pool *pool = trib_pool_new(&faulty.env, 8, 8);
    trib_env_faulty_fail(&faulty, 1);
    assert_null(trib_pool_lend(pool));
    assert_int_equal(trib_pool_chunks_lent(pool), 0);
    void *chunk = trib_pool_lend(pool);
    assert_non_null(chunk);
    trib_pool_return(pool, chunk);
    trib_pool_free(pool);
    trib_env_faulty_deinit(&faulty);
}

static void free_while_lent(void *context) {
    struct trib_pool *pool = trib_pool_new(context, 8, 1);
    (void)trib_pool_lend(pool);
    trib_pool_free(pool);
}

static void return_twice(void *context) {
    struct trib_pool *pool = trib_pool_new(context, 8, 1);
    void *chunk = trib_pool_lend(pool);
    trib_pool_return(pool, chunk);
    trib_pool_return(pool, chunk);
}

static void test_loans_must_be_settled(void **state) {
    (void)state;
    assert_true(trib_test_aborts(free_while_lent, (void *)trib_env_system()));
    assert_true(trib_test_aborts(return_twice, (void *)trib_env_system()));
}

struct borrower {
    struct trib_pool *pool;
    bool is_mixed; /* saw bytes of another owner */
};

static void *borrow_often(void *argument) {
    struct borrower *borrower = argument;
    struct trib_pool *pool = borrower->pool;
    bool *mixed = &borrower->is_mixed;
    for (int round = 0; round < 5000; round++) {
        unsigned char *chunk = trib_pool_lend(pool);
        if (!chunk)
            continue;
        /* A second owner would write over this one's mark. */
        memset(chunk, round, trib_pool_chunk_bytes(pool));
        for (size_t index = 0; index < trib_pool_chunk_bytes(pool); index++)
            *mixed |= chunk[index] != (unsigned char)round;
        trib_pool_return(pool, chunk);
    }
    return NULL;
}

static void test_threads_never_share_a_chunk(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_pool *pool = trib_pool_new(&faulty.env, 64, 2);
    pthread_t threads[4];
    struct borrower borrowers[4];
    for (size_t index = 0; index < 4; index++) {
        borrowers[index] = (struct borrower){.pool = pool};
        assert_int_equal(pthread_create(&threads[index], NULL, borrow_often, &borrowers[index]), 0);
    }
    for (size_t index = 0; index < 4; index++) {
        pthread_join(threads[index], NULL);
        assert_false(borrowers[index].is_mixed);
    }
    assert_int_equal(trib_pool_chunks_lent(pool), 0);
    assert_true(faulty.allocation_count <= 3);
    trib_pool_free(pool);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lends_up_to_the_limit_and_never_more),
        cmocka_unit_test(test_memory_is_taken_on_first_need_and_kept),
        cmocka_unit_test(test_idle_chunks_go_back_down_to_what_is_said),
        cmocka_unit_test(test_chunks_that_are_needed_now_and_then_stay),
        cmocka_unit_test(test_no_memory_is_an_answer),
        cmocka_unit_test(test_loans_must_be_settled),
        cmocka_unit_test(test_threads_never_share_a_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
