/* test_roster.c - who is present, who is called, and that numbers and memory stay right. */
#include "run/roster.h"

#include <stdio.h>

#include "support/check.h"
#include "support/env_faulty.h"

#define LEASE (30 * TRIB_SECOND)

static struct trib_roster new_roster(void) {
    struct trib_roster roster;
    trib_roster_init(&roster, trib_env_system(), 100, LEASE);
    return roster;
}

static void silence_longer_than_the_lease_ends_presence(void **state) {
    (void)state;
    struct trib_roster roster = new_roster();
    struct trib_client *client = trib_roster_add(&roster, "dev-1", TRIB_CLIENT_TRAINER);
    assert_int_equal(roster.present, 0); /* joined is not present */
    trib_roster_hear(&roster, client, 0);
    assert_int_equal(roster.present, 1);
    assert_int_equal(trib_roster_deadline(&roster), LEASE);
    trib_roster_hear(&roster, client, 10);
    assert_null(trib_roster_next_due(&roster, LEASE));
    assert_int_equal(trib_roster_deadline(&roster), LEASE + 10);
    assert_ptr_equal(trib_roster_next_due(&roster, LEASE + 10), client);
    assert_false(client->is_present);
    assert_int_equal(roster.trainers_available, 0);
    assert_int_equal(trib_roster_deadline(&roster), TRIB_TIME_NEVER);
    trib_roster_deinit(&roster);
}

static void a_parked_poll_is_presence_until_it_ends(void **state) {
    (void)state;
    struct trib_roster roster = new_roster();
    struct trib_client *client = trib_roster_add(&roster, "dev-1", TRIB_CLIENT_TRAINER);
    trib_roster_park(&roster, client, 7, 10 * LEASE, 0);
    assert_null(trib_roster_next_due(&roster, 9 * LEASE));
    assert_true(client->is_present);
    assert_ptr_equal(trib_roster_next_due(&roster, 10 * LEASE), client);
    assert_true(client->is_present); /* its time is over: it is called, not lost */
    assert_ptr_equal(trib_roster_next_called(&roster), client);
    trib_roster_unpark(&roster, client, 10 * LEASE);
    assert_int_equal(trib_roster_deadline(&roster), 11 * LEASE);
    trib_roster_deinit(&roster);
}

static void the_called_are_answered_in_order_and_once(void **state) {
    (void)state;
    struct trib_roster roster = new_roster();
    struct trib_client *first = trib_roster_add(&roster, "dev-1", TRIB_CLIENT_TRAINER);
    struct trib_client *second = trib_roster_add(&roster, "dev-2", TRIB_CLIENT_TRAINER);
    struct trib_client *third = trib_roster_add(&roster, "dev-3", TRIB_CLIENT_TRAINER);
    trib_roster_park(&roster, first, 1, LEASE, 0);
    trib_roster_park(&roster, second, 2, LEASE, 0);
    trib_roster_call(&roster, second);
    trib_roster_call(&roster, third); /* has no poll */
    trib_roster_call_all(&roster);
    assert_true(trib_roster_has_called(&roster));
    assert_ptr_equal(trib_roster_next_called(&roster), second);
    assert_ptr_equal(trib_roster_next_called(&roster), first);
    assert_null(trib_roster_next_called(&roster));
    assert_false(trib_roster_has_called(&roster));
    trib_roster_deinit(&roster);
}

static void only_present_trainers_in_good_standing_are_available(void **state) {
    (void)state;
    struct trib_roster roster = new_roster();
    struct trib_client *client = trib_roster_add(&roster, "dev-1", TRIB_CLIENT_EVALUATOR);
    trib_roster_hear(&roster, client, 0);
    assert_int_equal(roster.trainers_available, 0);
    trib_roster_set_role(&roster, client, TRIB_CLIENT_TRAINER);
    assert_int_equal(roster.trainers_available, 1);
    trib_roster_set_aside(&roster, client, true);
    trib_roster_set_aside(&roster, client, true); /* once is enough */
    assert_int_equal(roster.set_aside, 1);
    assert_int_equal(roster.trainers_available, 0);
    trib_roster_set_aside(&roster, client, false);
    assert_int_equal(roster.set_aside, 0);
    assert_int_equal(roster.trainers_available, 1);
    trib_roster_deinit(&roster);
}

static void a_rest_ends_by_itself(void **state) {
    (void)state;
    struct trib_roster roster = new_roster();
    struct trib_client *client = trib_roster_add(&roster, "dev-1", TRIB_CLIENT_TRAINER);
    trib_roster_park(&roster, client, 1, 10 * LEASE, 0);
    client->rests_until = LEASE / 2;
    trib_roster_schedule(&roster, client, 0);
    assert_int_equal(trib_roster_deadline(&roster), LEASE / 2);
    assert_ptr_equal(trib_roster_next_due(&roster, LEASE / 2), client);
    assert_int_equal(trib_roster_deadline(&roster), 10 * LEASE);
    trib_roster_deinit(&roster);
}

static void a_report_is_remembered_for_64_versions(void **state) {
    (void)state;
    struct trib_client client = {0};
    assert_false(trib_client_has_reported(&client, 0));
    trib_client_mark_reported(&client, 0);
    assert_true(trib_client_has_reported(&client, 0));
    assert_false(trib_client_has_reported(&client, 1));
    trib_client_mark_reported(&client, 63);
    assert_true(trib_client_has_reported(&client, 0));
    assert_true(trib_client_has_reported(&client, 63));
    assert_false(trib_client_has_reported(&client, 62));
    trib_client_mark_reported(&client, 40); /* late */
    assert_true(trib_client_has_reported(&client, 40));
    trib_client_mark_reported(&client, 64);
    assert_false(trib_client_has_reported(&client, 0));
    assert_true(trib_client_has_reported(&client, 40));
    trib_client_mark_reported(&client, 1000);
    assert_false(trib_client_has_reported(&client, 64));
    assert_true(trib_client_has_reported(&client, 1000));
}

static void the_roster_is_bounded(void **state) {
    (void)state;
    struct trib_roster roster;
    trib_roster_init(&roster, trib_env_system(), 20, LEASE);
    char name[16];
    for (int index = 0; index < 20; index++) {
        snprintf(name, sizeof name, "dev-%d", index);
        struct trib_client *client = trib_roster_add(&roster, name, TRIB_CLIENT_TRAINER);
        assert_non_null(client);
        trib_roster_hear(&roster, client, 0);
    }
    assert_null(trib_roster_add(&roster, "dev-20", TRIB_CLIENT_TRAINER));
    for (int index = 0; index < 20; index++) {
        snprintf(name, sizeof name, "dev-%d", index);
        struct trib_client *client = trib_roster_find(&roster, name);
        assert_non_null(client);
        assert_string_equal(client->name, name);
    }
    assert_null(trib_roster_find(&roster, "dev-20"));
    assert_null(trib_roster_find(&roster, ""));
    trib_roster_deinit(&roster);
}

static void a_full_roster_forgets_the_one_that_is_idle_longest(void **state) {
    (void)state;
    struct trib_roster roster;
    trib_roster_init(&roster, trib_env_system(), 5, LEASE);
    static const char *const names[] = {"dev-0", "dev-1", "dev-2", "dev-3", "dev-4"};
    for (uint32_t index = 0; index < 5; index++)
        (void)trib_roster_add(&roster, names[index], TRIB_CLIENT_TRAINER);
    /* Seen in another order; 2 stays, 4 is set aside, something of 1 is under way. */
    trib_roster_hear(&roster, &roster.clients[3], 1);
    trib_roster_hear(&roster, &roster.clients[0], 2);
    trib_roster_park(&roster, &roster.clients[2], 7, 9 * LEASE, 2);
    trib_roster_set_aside(&roster, &roster.clients[4], true);
    trib_roster_pin(&roster, 1);
    trib_roster_pin(&roster, 1);
    trib_roster_unpin(&roster, 1);
    while (trib_roster_next_due(&roster, 2 * LEASE))
        continue;
    assert_ptr_equal(trib_roster_add(&roster, "new-3", TRIB_CLIENT_EVALUATOR), &roster.clients[3]);
    assert_null(trib_roster_find(&roster, "dev-3"));
    assert_int_equal(roster.clients[3].role, TRIB_CLIENT_EVALUATOR);
    trib_roster_hear(&roster, &roster.clients[3], 2 * LEASE);
    assert_ptr_equal(trib_roster_add(&roster, "new-0", TRIB_CLIENT_TRAINER), &roster.clients[0]);
    trib_roster_hear(&roster, &roster.clients[0], 2 * LEASE);
    assert_null(trib_roster_add(&roster, "new-1", TRIB_CLIENT_TRAINER));
    trib_roster_unpin(&roster, 1);
    assert_ptr_equal(trib_roster_add(&roster, "new-1", TRIB_CLIENT_TRAINER), &roster.clients[1]);
    assert_int_equal(roster.count, 5);
    assert_int_equal(roster.present, 3);
    assert_int_equal(roster.set_aside, 1);
    trib_roster_deinit(&roster);
}

/* Also while it is in the queue of the called, which goes on past its place. */
static void whoever_departs_is_the_first_to_be_forgotten(void **state) {
    (void)state;
    struct trib_roster roster;
    trib_roster_init(&roster, trib_env_system(), 3, LEASE);
    (void)trib_roster_add(&roster, "dev-0", TRIB_CLIENT_TRAINER); /* idle all the time */
    (void)trib_roster_add(&roster, "dev-1", TRIB_CLIENT_TRAINER);
    struct trib_client *last = trib_roster_add(&roster, "dev-2", TRIB_CLIENT_TRAINER);
    struct trib_client *gone = &roster.clients[1];
    trib_roster_park(&roster, gone, 1, LEASE, 0);
    trib_roster_park(&roster, last, 2, LEASE, 0);
    trib_roster_call_all(&roster);
    trib_roster_unpark(&roster, gone, 0);
    trib_roster_dismiss(&roster, gone);
    assert_int_equal(roster.present, 1);
    assert_ptr_equal(trib_roster_add(&roster, "new-1", TRIB_CLIENT_TRAINER), gone);
    assert_ptr_equal(trib_roster_next_called(&roster), gone);
    assert_ptr_equal(trib_roster_next_called(&roster), last);
    assert_null(trib_roster_next_called(&roster));
    assert_ptr_equal(trib_roster_add(&roster, "new-0", TRIB_CLIENT_TRAINER), &roster.clients[0]);
    trib_roster_deinit(&roster);
}

/* Each allocation of the first 40 joins fails once: nobody is lost, nobody is there twice. */
static void without_memory_a_join_changes_nothing(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct trib_roster roster;
        trib_roster_init(&roster, &faulty.env, 100, LEASE);
        trib_env_faulty_fail(&faulty, nth);
        char name[16];
        for (uint32_t index = 0; index < 40; index++) {
            snprintf(name, sizeof name, "dev-%u", index);
            struct trib_client *client = trib_roster_add(&roster, name, TRIB_CLIENT_TRAINER);
            if (!client) {
                assert_int_equal(roster.count, index);
                assert_null(trib_roster_find(&roster, name));
                client = trib_roster_add(&roster, name, TRIB_CLIENT_TRAINER);
            }
            assert_non_null(client);
            trib_roster_hear(&roster, client, index);
        }
        assert_int_equal(roster.count, 40);
        assert_int_equal(roster.present, 40);
        has_failed = faulty.has_failed;
        trib_roster_deinit(&roster);
        assert_int_equal(faulty.blocks_live, 0);
    }
    trib_env_faulty_deinit(&faulty);
}

static void whoever_speaks_again_is_found_and_whoever_is_forgotten_is_not(void **state) {
    (void)state;
    struct trib_roster roster;
    trib_roster_init(&roster, trib_env_system(), 1, LEASE);
    assert_null(trib_roster_find_speaker(&roster, "dev-1"));
    struct trib_client *first = trib_roster_add(&roster, "dev-1", TRIB_CLIENT_TRAINER);
    assert_ptr_equal(trib_roster_find_speaker(&roster, "dev-1"), first);
    assert_null(trib_roster_find_speaker(&roster, "dev-2"));
    struct trib_client *second = trib_roster_add(&roster, "dev-2", TRIB_CLIENT_TRAINER);
    assert_ptr_equal(second, first); /* its place */
    assert_null(trib_roster_find_speaker(&roster, "dev-1"));
    assert_ptr_equal(trib_roster_find_speaker(&roster, "dev-2"), second);
    trib_roster_deinit(&roster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_longer_than_the_lease_ends_presence),
        cmocka_unit_test(a_parked_poll_is_presence_until_it_ends),
        cmocka_unit_test(the_called_are_answered_in_order_and_once),
        cmocka_unit_test(only_present_trainers_in_good_standing_are_available),
        cmocka_unit_test(a_rest_ends_by_itself),
        cmocka_unit_test(a_report_is_remembered_for_64_versions),
        cmocka_unit_test(the_roster_is_bounded),
        cmocka_unit_test(a_full_roster_forgets_the_one_that_is_idle_longest),
        cmocka_unit_test(whoever_departs_is_the_first_to_be_forgotten),
        cmocka_unit_test(whoever_speaks_again_is_found_and_whoever_is_forgotten_is_not),
        cmocka_unit_test(without_memory_a_join_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
