/* test_status.c - names are frozen, error texts are cut and never overflow. */
#include "base/status.h"

#include "support/check.h"
#include "support/death.h"

static void test_values_are_frozen(void **state) {
    (void)state;
    assert_int_equal(TRIB_OK, 0);
    assert_int_equal(TRIB_ECORRUPT, 7);
    assert_int_equal(TRIB_EBOUND, 14);
    assert_int_equal(TRIB_ESTALE, 22);
}

static void test_every_status_has_name_and_text(void **state) {
    (void)state;
    assert_string_equal(trib_status_name(TRIB_EMALFORMED), "EMALFORMED");
    assert_string_equal(trib_status_text(TRIB_EMALFORMED), "malformed input");
    assert_string_equal(trib_status_name(TRIB_OK), "OK");
    assert_string_equal(trib_status_name((enum trib_status)999), "EUNKNOWN");
    assert_string_equal(trib_status_text((enum trib_status)999), "unknown status");
}

static void test_set_returns_the_status_also_without_an_error(void **state) {
    (void)state;
    struct trib_error error = {0};
    assert_int_equal(trib_error_set(&error, TRIB_ESHAPE, "tensor %s has %d rows", "a.w", 3),
                     TRIB_ESHAPE);
    assert_int_equal(error.status, TRIB_ESHAPE);
    assert_string_equal(error.text, "tensor a.w has 3 rows");
    assert_int_equal(trib_error_set(NULL, TRIB_EIO, "nobody reads this"), TRIB_EIO);
}

static void test_set_may_use_the_text_it_replaces(void **state) {
    (void)state;
    struct trib_error error = {0};
    trib_error_set(&error, TRIB_EIO, "block 7");
    trib_error_set(&error, TRIB_EIO, "read %s failed", error.text);
    assert_string_equal(error.text, "read block 7 failed");
}

static void test_prefix_puts_context_in_front(void **state) {
    (void)state;
    struct trib_error error = {0};
    trib_error_set(&error, TRIB_ECORRUPT, "checksum differs");
    assert_int_equal(trib_error_prefix(&error, TRIB_EIO, "read block %d", 7), TRIB_ECORRUPT);
    assert_string_equal(error.text, "read block 7: checksum differs");
    assert_int_equal(trib_error_prefix(NULL, TRIB_EIO, "x"), TRIB_EIO);
}

static void test_prefix_of_nothing_takes_the_status(void **state) {
    (void)state;
    struct trib_error error = {0};
    assert_int_equal(trib_error_prefix(&error, TRIB_EFULL, "write ledger"), TRIB_EFULL);
    assert_string_equal(error.text, "write ledger: no space left");
}

static void test_long_texts_are_cut(void **state) {
    (void)state;
    char text[400];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    struct trib_error error = {0};
    trib_error_set(&error, TRIB_EIO, "%s", text);
    assert_int_equal(strlen(error.text), TRIB_ERROR_TEXT_BYTES - 1);
    trib_error_prefix(&error, TRIB_EIO, "here");
    assert_int_equal(strlen(error.text), TRIB_ERROR_TEXT_BYTES - 1);
    assert_memory_equal(error.text, "here: xxx", 9);
    trib_error_prefix(&error, TRIB_EIO, "%s", text);
    assert_int_equal(strlen(error.text), TRIB_ERROR_TEXT_BYTES - 1);
}

static void keep_promise(void *context) {
    TRIB_ASSERT(context != NULL);
}

static void test_broken_promises_abort(void **state) {
    (void)state;
    assert_true(trib_test_aborts(keep_promise, NULL));
    assert_false(trib_test_aborts(keep_promise, "kept"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_frozen),
        cmocka_unit_test(test_every_status_has_name_and_text),
        cmocka_unit_test(test_set_returns_the_status_also_without_an_error),
        cmocka_unit_test(test_set_may_use_the_text_it_replaces),
        cmocka_unit_test(test_prefix_puts_context_in_front),
        cmocka_unit_test(test_prefix_of_nothing_takes_the_status),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_broken_promises_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
