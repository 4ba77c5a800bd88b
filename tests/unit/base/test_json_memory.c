/* test_json_memory.c - whoever was refused memory for a document is told so, once, in its thread. */
#include "base/json_memory.h"

#include <pthread.h>
#include <stdlib.h>

#include "support/check.h"

static void test_a_note_is_there_once(void **state) {
    (void)state;
    assert_false(trib_json_was_refused());
    trib_json_note_refusal();
    assert_true(trib_json_was_refused());
    assert_false(trib_json_was_refused());
}

static void test_memory_that_is_there_leaves_no_note(void **state) {
    (void)state;
    void *memory = trib_json_allocate(100);
    assert_non_null(memory);
    free(memory);
    assert_false(trib_json_was_refused());
}

static void *be_refused(void *context) {
    (void)context;
    trib_json_note_refusal();
    return NULL;
}

static void test_notes_are_per_thread(void **state) {
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, be_refused, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(trib_json_was_refused());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_note_is_there_once),
        cmocka_unit_test(test_memory_that_is_there_leaves_no_note),
        cmocka_unit_test(test_notes_are_per_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
