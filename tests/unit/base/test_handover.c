/* test_handover.c - memory that goes to another process is checked before it is looked at. */
#include "base/handover.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/check.h"
#include "support/env_faulty.h"

#define TEXT "every byte of it"
#define BYTES (sizeof TEXT - 1)

static int sealed_memory(void) {
    int descriptor = -1;
    assert_int_equal(trib_handover_begin(&descriptor), TRIB_OK);
    assert_int_equal(trib_handover_append(descriptor, TEXT, 5), TRIB_OK);
    assert_int_equal(trib_handover_append(descriptor, TEXT + 5, BYTES - 5), TRIB_OK);
    assert_int_equal(trib_handover_seal(descriptor), TRIB_OK);
    return descriptor;
}

static void test_the_block_has_the_bytes_and_outlives_the_descriptor(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_block *block = NULL;
    trib_env_faulty_init(&faulty);
    int descriptor = sealed_memory();
    assert_int_equal(trib_handover_map(&faulty.env, descriptor, BYTES, &block, NULL), TRIB_OK);
    close(descriptor);
    assert_int_equal(block->byte_count, BYTES);
    assert_memory_equal(block->bytes, TEXT, BYTES);
    assert_true(trib_block_is_sealed(block));
    assert_false(trib_block_reopen(block)); /* nobody may ever write there */
    trib_block_unref(trib_block_ref(block));
    assert_memory_equal(block->bytes, TEXT, BYTES);
    trib_block_unref(block);
    trib_env_faulty_deinit(&faulty);
}

static void test_sealed_memory_cannot_be_changed(void **state) {
    (void)state;
    int descriptor = sealed_memory();
    assert_int_equal(write(descriptor, "x", 1), -1);
    assert_int_equal(pwrite(descriptor, "x", 1, 0), -1);
    assert_int_equal(ftruncate(descriptor, 1), -1);
    assert_int_equal(ftruncate(descriptor, 100), -1);
    assert_int_equal(fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK), -1);
    assert_ptr_equal(mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
                     MAP_FAILED);
    close(descriptor);
}

static void refuse(int descriptor, size_t byte_count, const char *what) {
    struct trib_error error = {0};
    struct trib_block *block = NULL;
    assert_int_equal(trib_handover_map(trib_env_system(), descriptor, byte_count, &block, &error),
                     TRIB_EINVALID);
    assert_null(block);
    assert_non_null(strstr(error.text, what));
}

static void test_a_missing_seal_is_named(void **state) {
    (void)state;
    static const struct {
        int seals;
        const char *missing;
    } cases[] = {{F_SEAL_SHRINK | F_SEAL_GROW, "F_SEAL_WRITE"},
                 {F_SEAL_WRITE | F_SEAL_GROW, "F_SEAL_SHRINK"},
                 {F_SEAL_WRITE | F_SEAL_SHRINK, "F_SEAL_GROW"},
                 {0, "F_SEAL_WRITE"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int descriptor = -1;
        assert_int_equal(trib_handover_begin(&descriptor), TRIB_OK);
        assert_int_equal(trib_handover_append(descriptor, TEXT, BYTES), TRIB_OK);
        assert_int_equal(fcntl(descriptor, F_ADD_SEALS, cases[i].seals), 0);
        refuse(descriptor, BYTES, cases[i].missing);
        close(descriptor);
    }
}

static void test_another_size_and_what_is_no_memory_are_refused(void **state) {
    (void)state;
    int descriptor = sealed_memory();
    refuse(descriptor, BYTES + 1, "has 16 bytes, 17 were announced");
    refuse(descriptor, BYTES - 1, "has 16 bytes, 15 were announced");
    close(descriptor);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    refuse(ends[0], BYTES, "no memfd");
    close(ends[0]);
    close(ends[1]);
    refuse(-1, BYTES, "no memfd");
}

static void test_without_memory_for_the_block_nothing_stays_mapped(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_block *block = NULL;
    trib_env_faulty_init(&faulty);
    int descriptor = sealed_memory();
    trib_env_faulty_fail(&faulty, 1);
    assert_int_equal(trib_handover_map(&faulty.env, descriptor, BYTES, &block, NULL), TRIB_EMEMORY);
    assert_null(block);
    close(descriptor);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_block_has_the_bytes_and_outlives_the_descriptor),
        cmocka_unit_test(test_sealed_memory_cannot_be_changed),
        cmocka_unit_test(test_a_missing_seal_is_named),
        cmocka_unit_test(test_another_size_and_what_is_no_memory_are_refused),
        cmocka_unit_test(test_without_memory_for_the_block_nothing_stays_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
