/* test_numbers.c - only files that are called exactly by a number are listed, in order. */
#include "store/numbers.h"

#include "base/files_memory.h"
#include "support/check.h"
#include "support/env_faulty.h"

static void make_file(struct trib_files_memory *memory, const char *path) {
    struct trib_file *file;
    assert_int_equal(memory->files.open(memory, path, TRIB_FILE_CREATE, &file), TRIB_OK);
    memory->files.close(memory, file);
}

static void test_list(void **state) {
    (void)state;
    static const char *const names[] = {"d/10.x",
                                        "d/9.x",
                                        "d/0.x",
                                        "d/007.x",
                                        "d/x",
                                        "d/.x",
                                        "d/5.y",
                                        "d/5",
                                        "d/6",
                                        "d/7.x1",
                                        "d/-1.x",
                                        "d/8.tmp",
                                        "d/9999999999999999999.x",
                                        "d/99999999999999999999.x"};
    struct trib_env_faulty faulty;
    struct trib_files_memory memory;
    struct trib_numbers numbers;
    trib_env_faulty_init(&faulty);
    trib_files_memory_init(&memory);
    assert_int_equal(trib_numbers_list(&faulty.env, &memory.files, "d", ".x", &numbers),
                     TRIB_ENOTFOUND);
    assert_int_equal(memory.files.make_directory(&memory, "d"), TRIB_OK);
    assert_int_equal(trib_numbers_list(&faulty.env, &memory.files, "d", ".x", &numbers), TRIB_OK);
    assert_int_equal(numbers.count, 0);
    assert_int_equal(trib_numbers_find(&numbers, 0), 0);
    trib_numbers_deinit(&numbers);
    for (size_t index = 0; index < sizeof names / sizeof *names; index++)
        make_file(&memory, names[index]);

    assert_int_equal(trib_numbers_list(&faulty.env, &memory.files, "d", ".x", &numbers), TRIB_OK);
    static const uint64_t expected[] = {0, 9, 10, UINT64_C(9999999999999999999)};
    assert_int_equal(numbers.count, 4);
    assert_memory_equal(numbers.numbers, expected, sizeof expected);
    assert_int_equal(trib_numbers_find(&numbers, 9), 1);
    assert_int_equal(trib_numbers_find(&numbers, 11), numbers.count);
    assert_int_equal(trib_numbers_find(&numbers, UINT64_MAX), numbers.count);
    trib_numbers_deinit(&numbers);

    assert_int_equal(trib_numbers_list(&faulty.env, &memory.files, "d", "", &numbers), TRIB_OK);
    assert_int_equal(numbers.count, 2);
    trib_numbers_deinit(&numbers);
    trib_files_memory_deinit(&memory);
    trib_env_faulty_deinit(&faulty);
}

static void test_faults(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_files_memory memory;
    struct trib_numbers numbers;
    char name[] = "d/100.x";
    trib_env_faulty_init(&faulty);
    trib_files_memory_init(&memory);
    assert_int_equal(memory.files.make_directory(&memory, "d"), TRIB_OK);
    for (int index = 0; index < 200; index++) { /* so that the list grows twice */
        name[2] = (char)('1' + index / 100);
        name[3] = (char)('0' + index / 10 % 10);
        name[4] = (char)('0' + index % 10);
        make_file(&memory, name);
    }
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status =
            trib_numbers_list(&faulty.env, &memory.files, "d", ".x", &numbers);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_int_equal(numbers.count, faulty.has_failed ? 0 : 200);
        trib_numbers_deinit(&numbers);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 2);
    trib_files_memory_fail(&memory, 1, TRIB_EIO);
    assert_int_equal(trib_numbers_list(&faulty.env, &memory.files, "d", ".x", &numbers), TRIB_EIO);
    trib_files_memory_deinit(&memory);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
