/* test_turns.c - turns come in proportion to weight; nobody saves them up, nobody waits for long. */
#include "node/turns.h"

#include "support/check.h"

#define TURNS 3
#define ROUNDS 1000

/* The one that is furthest behind, the first of those that are alike. */
static size_t take_next(struct trib_turns *turns, struct trib_turn *turn, size_t count) {
    size_t next = 0;
    for (size_t i = 1; i < count; i++) {
        if (trib_turn_is_before(&turn[i], &turn[next])) {
            next = i;
        }
    }
    trib_turn_take(turns, &turn[next]);
    return next;
}

static void turns_are_in_proportion_to_weight(void **state) {
    (void)state;
    struct trib_turns turns = {0};
    struct trib_turn turn[TURNS] = {{.weight = 3}, {.weight = 0}, {.weight = 100}};
    size_t had[TURNS] = {0};
    for (size_t i = 0; i < 104 * ROUNDS; i++) {
        had[take_next(&turns, turn, TURNS)]++;
    }
    assert_in_range(had[0], 3 * ROUNDS - 1, 3 * ROUNDS + 1);
    assert_in_range(had[1], ROUNDS - 1, ROUNDS + 1);
    assert_in_range(had[2], 100 * ROUNDS - 1, 100 * ROUNDS + 1);
}

/* A heavy one that comes back has no turns saved up: the others are as often next as ever. */
static void whoever_was_away_begins_at_the_present(void **state) {
    (void)state;
    struct trib_turns turns = {0};
    struct trib_turn turn[2] = {{.weight = 1}, {.weight = 1}};
    for (size_t i = 0; i < ROUNDS; i++) {
        trib_turn_take(&turns, &turn[0]);
    }
    trib_turn_wake(&turns, &turn[1]);
    assert_int_equal(take_next(&turns, turn, 2), 1); /* at once, */
    assert_int_equal(take_next(&turns, turn, 2), 0); /* but not all that it has missed */
    assert_int_equal(take_next(&turns, turn, 2), 1);
}

/* Nor does a nap help: whoever has had its turn keeps the time that it has used. */
static void a_nap_does_not_help(void **state) {
    (void)state;
    struct trib_turns turns = {0};
    struct trib_turn turn[2] = {{.weight = 1}, {.weight = 1}};
    size_t had[2] = {0};
    for (size_t i = 0; i < 2 * ROUNDS; i++) {
        trib_turn_wake(&turns, &turn[0]);
        had[take_next(&turns, turn, 2)]++;
    }
    assert_int_equal(had[0], had[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_are_in_proportion_to_weight),
        cmocka_unit_test(whoever_was_away_begins_at_the_present),
        cmocka_unit_test(a_nap_does_not_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
