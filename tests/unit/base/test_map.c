/* test_map.c - the map against a plain list, and every allocation failed once. */
#include "base/map.h"

#include <stdio.h>

#include "base/random.h"
#include "support/check.h"
#include "support/env_faulty.h"

static void test_put_get_replace_remove(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_map map;
    uint64_t value = 99;
    trib_env_faulty_init(&faulty);
    trib_map_init(&map, &faulty.env);
    assert_false(trib_map_get(&map, "a", 1, &value));
    assert_false(trib_map_remove(&map, "a", 1));
    assert_int_equal(value, 99);
    assert_true(trib_map_put(&map, "a", 1, 1));
    assert_true(trib_map_put(&map, "ab", 2, 2));
    assert_true(trib_map_put(&map, "a", 1, UINT64_MAX));
    assert_int_equal(map.used, 2);
    assert_true(trib_map_get(&map, "a", 1, &value));
    assert_true(value == UINT64_MAX);
    assert_true(trib_map_get(&map, "ab", 2, NULL));
    assert_false(trib_map_get(&map, "b", 1, NULL));
    assert_true(trib_map_remove(&map, "a", 1));
    assert_false(trib_map_get(&map, "a", 1, NULL));
    assert_true(trib_map_get(&map, "ab", 2, &value));
    assert_int_equal(value, 2);
    trib_map_deinit(&map);
    trib_env_faulty_deinit(&faulty);
}

static void test_keys_are_copied_bytes(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_map map;
    trib_env_faulty_init(&faulty);
    trib_map_init(&map, &faulty.env);
    char key[TRIB_MAP_KEY_BYTES_MAX] = {0}; /* NULs are bytes like others */
    assert_true(trib_map_put(&map, key, sizeof key, 1));
    assert_true(trib_map_put(&map, key, sizeof key - 1, 2));
    key[159] = 1;
    assert_false(trib_map_get(&map, key, sizeof key, NULL));
    uint64_t value;
    assert_true(trib_map_get(&map, key, sizeof key - 1, &value));
    assert_int_equal(value, 2);
    trib_map_deinit(&map);
    trib_env_faulty_deinit(&faulty);
}

/* 20000 random operations on 500 keys, against an array that holds the truth. */
static void test_agrees_with_a_plain_list(void **state) {
    (void)state;
    enum { KEYS = 500 };
    uint64_t truth[KEYS];
    bool is_there[KEYS] = {false};
    size_t used = 0;
    struct trib_env_faulty faulty;
    struct trib_map map;
    struct trib_random random;
    trib_env_faulty_init(&faulty);
    trib_map_init(&map, &faulty.env);
    trib_random_init(&random, 1);
    for (int step = 0; step < 20000; step++) {
        size_t which = (size_t)trib_random_below(&random, KEYS);
        char key[80];
        int key_bytes = snprintf(key, sizeof key, "client-%zu/%0*d", which, (int)(which % 50), 7);
        uint64_t value = 0;
        assert_true(trib_map_get(&map, key, (size_t)key_bytes, &value) == is_there[which]);
        if (is_there[which])
            assert_true(value == truth[which]);
        if (trib_random_below(&random, 2)) {
            truth[which] = trib_random_u64(&random);
            used += !is_there[which];
            is_there[which] = true;
            assert_true(trib_map_put(&map, key, (size_t)key_bytes, truth[which]));
        } else {
            assert_true(trib_map_remove(&map, key, (size_t)key_bytes) == is_there[which]);
            used -= is_there[which];
            is_there[which] = false;
        }
        assert_int_equal(map.used, used);
    }
    trib_map_deinit(&map);
    trib_env_faulty_deinit(&faulty);
}

static void test_a_queue_of_keys_does_not_grow_the_map(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_map map;
    trib_env_faulty_init(&faulty);
    trib_map_init(&map, &faulty.env);
    /* Old keys leave as new ones come, as update ids do; only ten are ever there. */
    for (uint64_t number = 0; number < 100000; number++) {
        uint64_t old = number - 10;
        assert_true(trib_map_put(&map, &number, sizeof number, number));
        if (number >= 10)
            assert_true(trib_map_remove(&map, &old, sizeof old));
    }
    assert_true(map.slot_count <= 64);
    assert_true(faulty.bytes_peak < 16384);
    trib_map_deinit(&map);
    trib_env_faulty_deinit(&faulty);
}

static void test_a_failed_put_changes_nothing(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_map map;
        trib_map_init(&map, &faulty.env);
        trib_env_faulty_fail(&faulty, ++nth);
        size_t refused = 0;
        for (uint32_t key = 0; key < 200; key++) {
            size_t used = map.used;
            if (trib_map_put(&map, &key, sizeof key, key))
                continue;
            refused++;
            assert_int_equal(map.used, used);
            assert_false(trib_map_get(&map, &key, sizeof key, NULL));
            assert_true(trib_map_put(&map, &key, sizeof key, key));
        }
        assert_int_equal(refused, faulty.has_failed ? 1 : 0);
        for (uint32_t key = 0; key < 200; key++)
            assert_true(trib_map_get(&map, &key, sizeof key, NULL));
        trib_map_deinit(&map);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 6);
    trib_env_faulty_deinit(&faulty);
}

static void test_all_zero_is_safe_to_deinit(void **state) {
    (void)state;
    struct trib_map map = {0};
    trib_map_deinit(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_replace_remove),
        cmocka_unit_test(test_keys_are_copied_bytes),
        cmocka_unit_test(test_agrees_with_a_plain_list),
        cmocka_unit_test(test_a_queue_of_keys_does_not_grow_the_map),
        cmocka_unit_test(test_a_failed_put_changes_nothing),
        cmocka_unit_test(test_all_zero_is_safe_to_deinit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
