/* test_replay.c - bodies are found by client and update, combined ones by their digest; the first stays. */
#include "node/replay.h"

#include "support/check.h"
#include "support/env_faulty.h"

#include <stdio.h>

static struct trib_spool_entry entry(const char *client, const char *update, uint64_t offset) {
    struct trib_spool_entry made = {.kind = TRIB_SPOOL_UPDATE, .place = {.offset = offset}};
    (void)snprintf(made.client, sizeof made.client, "%s", client);
    (void)snprintf(made.update, sizeof made.update, "%s", update);
    return made;
}

static void the_first_of_a_name_stays(void **state) {
    (void)state;
    struct trib_bodies bodies;
    bool is_repeat;
    trib_bodies_init(&bodies, trib_env_system());
    struct trib_spool_entry entries[] = {entry("a", "b.c", 1), entry("a.b", "c", 2),
                                         entry("a", "b.c", 3)};
    for (size_t i = 0; i < 3; i++) {
        assert_true(trib_bodies_add(&bodies, &entries[i], &is_repeat));
        assert_int_equal(is_repeat, i == 2);
    }
    assert_int_equal(bodies.count, 2);
    assert_int_equal(trib_bodies_find(&bodies, "a", "b.c")->place.offset, 1);
    assert_int_equal(trib_bodies_find(&bodies, "a.b", "c")->place.offset, 2);
    assert_null(trib_bodies_find(&bodies, "a", "c"));
    trib_bodies_deinit(&bodies);
}

/* A client may call itself and its update as it likes: it never stands in for a combiner. */
static void what_was_combined_is_found_by_its_digest_alone(void **state) {
    (void)state;
    struct trib_bodies bodies;
    bool is_repeat;
    char hex[TRIB_DIGEST_HEX_BYTES];
    trib_bodies_init(&bodies, trib_env_system());
    struct trib_spool_entry first = entry("combiner", "1", 1), second = entry("combiner", "1", 2);
    first.kind = second.kind = TRIB_SPOOL_COMBINED;
    first.digest.bytes[0] = 7;
    trib_digest_to_hex(&first.digest, hex);
    struct trib_spool_entry others[] = {entry("combiner", "1", 3), entry("combiner", hex, 4)};
    struct trib_spool_entry all[] = {others[0], others[1], first, second};
    for (size_t i = 0; i < 4; i++) {
        assert_true(trib_bodies_add(&bodies, &all[i], &is_repeat));
        assert_false(is_repeat);
    }
    assert_int_equal(trib_bodies_find_combined(&bodies, &first.digest)->place.offset, 1);
    assert_int_equal(trib_bodies_find_combined(&bodies, &second.digest)->place.offset, 2);
    assert_int_equal(trib_bodies_find(&bodies, "combiner", "1")->place.offset, 3);
    trib_bodies_deinit(&bodies);
}

static void no_memory_is_said_and_leaves_nothing(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_bodies bodies;
        bool is_good = true;
        trib_env_faulty_fail(&faulty, ++nth);
        trib_bodies_init(&bodies, &faulty.env);
        for (uint64_t i = 0; i < 200 && is_good; i++) {
            char name[16];
            bool is_repeat;
            (void)snprintf(name, sizeof name, "u%d", (int)i);
            struct trib_spool_entry made = entry("client", name, i);
            is_good = trib_bodies_add(&bodies, &made, &is_repeat);
        }
        assert_int_equal(is_good, !faulty.has_failed);
        trib_bodies_deinit(&bodies);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_a_name_stays),
        cmocka_unit_test(what_was_combined_is_found_by_its_digest_alone),
        cmocka_unit_test(no_memory_is_said_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
