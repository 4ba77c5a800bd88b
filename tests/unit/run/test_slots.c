/* test_slots.c - slots are lent and freed, found by client and id, listed in one order. */
#include "run/slots.h"

#include "support/check.h"
#include "support/env_faulty.h"

static void an_update_is_found_by_client_and_id(void **state) {
    (void)state;
    struct trib_slots slots;
    assert_true(trib_slots_init(&slots, trib_env_system(), 4));
    trib_slot first = trib_slots_take(&slots, "dev-1", "u1");
    trib_slot second = trib_slots_take(&slots, "dev-2", "u1");
    assert_int_not_equal(first, second);
    assert_int_equal(trib_slots_find(&slots, "dev-1", "u1"), first);
    assert_int_equal(trib_slots_find(&slots, "dev-2", "u1"), second);
    assert_int_equal(trib_slots_find(&slots, "dev-1", "u2"), TRIB_SLOT_NONE);
    trib_slots_free(&slots, first);
    assert_int_equal(trib_slots_find(&slots, "dev-1", "u1"), TRIB_SLOT_NONE);
    assert_int_equal(slots.used, 1);
    trib_slots_deinit(&slots);
}

static void slots_are_bounded_and_come_back(void **state) {
    (void)state;
    struct trib_slots slots;
    assert_true(trib_slots_init(&slots, trib_env_system(), 2));
    for (int round = 0; round < 1000; round++) {
        trib_slot first = trib_slots_take(&slots, "dev-1", "u1");
        trib_slot second = trib_slots_take(&slots, "dev-1", "u2");
        assert_true(first < 2 && second < 2 && first != second);
        assert_int_equal(trib_slots_take(&slots, "dev-1", "u3"), TRIB_SLOT_NONE);
        trib_slots_free(&slots, round % 2 ? first : second);
        trib_slots_free(&slots, round % 2 ? second : first);
        assert_int_equal(slots.used, 0);
    }
    trib_slots_deinit(&slots);
}

static trib_slot take(struct trib_slots *slots, const char *client, const char *id,
                      trib_version target, enum trib_slot_state slot_state) {
    trib_slot slot = trib_slots_take(slots, client, id);
    assert_int_not_equal(slot, TRIB_SLOT_NONE);
    slots->items[slot].target = target;
    slots->items[slot].state = slot_state;
    return slot;
}

static void a_version_lists_its_durable_updates_by_client_then_id(void **state) {
    (void)state;
    struct trib_slots slots;
    assert_true(trib_slots_init(&slots, trib_env_system(), 8));
    trib_slot last = take(&slots, "dev-2", "a", 1, TRIB_SLOT_FOLDED);
    trib_slot middle = take(&slots, "dev-1", "b", 1, TRIB_SLOT_DURABLE);
    trib_slot first = take(&slots, "dev-1", "a", 1, TRIB_SLOT_FOLDING);
    take(&slots, "dev-0", "a", 1, TRIB_SLOT_WRITING);
    trib_slot next = take(&slots, "dev-0", "b", 2, TRIB_SLOT_FOLDED);
    trib_slot gathered[8];
    assert_int_equal(trib_slots_gather(&slots, 1, 1, gathered, 8), 3);
    assert_int_equal(gathered[0], first);
    assert_int_equal(gathered[1], middle);
    assert_int_equal(gathered[2], last);
    assert_int_equal(trib_slots_gather(&slots, 1, 2, gathered, 8), 4);
    assert_int_equal(gathered[0], next);
    assert_int_equal(trib_slots_gather(&slots, 1, 2, NULL, 0), 4); /* only how many */
    trib_slots_deinit(&slots);
}

static void the_slots_of_a_version_are_found_one_by_one(void **state) {
    (void)state;
    struct trib_slots slots;
    assert_true(trib_slots_init(&slots, trib_env_system(), 4));
    trib_slot first = take(&slots, "dev-1", "a", 1, TRIB_SLOT_FOLDED);
    take(&slots, "dev-1", "b", 2, TRIB_SLOT_FOLDED);
    trib_slot second = take(&slots, "dev-1", "c", 1, TRIB_SLOT_WRITING);
    assert_int_equal(trib_slots_next_of(&slots, 1, 0), first);
    assert_int_equal(trib_slots_next_of(&slots, 1, first + 1), second);
    trib_slots_free(&slots, second);
    assert_int_equal(trib_slots_next_of(&slots, 1, first + 1), TRIB_SLOT_NONE);
    trib_slots_deinit(&slots);
}

static void without_memory_nothing_is_taken(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct trib_slots slots;
        trib_env_faulty_fail(&faulty, nth);
        if (trib_slots_init(&slots, &faulty.env, 64)) {
            char id[] = "u00";
            for (int number = 0; number < 64; number++) {
                id[1] = (char)('0' + number / 10);
                id[2] = (char)('0' + number % 10);
                uint32_t used = slots.used;
                if (trib_slots_take(&slots, "dev-1", id) != TRIB_SLOT_NONE)
                    continue;
                assert_int_equal(slots.used, used);
                assert_int_equal(trib_slots_find(&slots, "dev-1", id), TRIB_SLOT_NONE);
                assert_int_not_equal(trib_slots_take(&slots, "dev-1", id), TRIB_SLOT_NONE);
            }
            assert_int_equal(slots.used, 64);
        }
        has_failed = faulty.has_failed;
        trib_slots_deinit(&slots);
        assert_int_equal(faulty.blocks_live, 0);
    }
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_update_is_found_by_client_and_id),
        cmocka_unit_test(slots_are_bounded_and_come_back),
        cmocka_unit_test(a_version_lists_its_durable_updates_by_client_then_id),
        cmocka_unit_test(the_slots_of_a_version_are_found_one_by_one),
        cmocka_unit_test(without_memory_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
