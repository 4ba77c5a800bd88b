/* test_attempts.c - guessing is slowed down per network, in bounded memory. */
#include "node/attempts.h"

#include "support/check.h"

#include <stdio.h>

static struct trib_attempts attempts;

static int setup(void **state) {
    (void)state;
    memset(&attempts, 0, sizeof attempts);
    return 0;
}

static void fill(const char *peer, trib_time_ns now) {
    for (int i = 0; i < TRIB_ATTEMPTS_MAX; i++) {
        assert_int_equal(trib_attempts_add(&attempts, peer, now), 0);
    }
}

static void a_network_that_tries_too_often_shall_wait(void **state) {
    (void)state;
    trib_time_ns now = 5 * TRIB_SECOND;
    fill("192.0.2.7:1000", now);
    assert_int_equal(trib_attempts_add(&attempts, "192.0.2.7:1000", now), 60);
    assert_int_equal(trib_attempts_add(&attempts, "192.0.2.7:2000", now + TRIB_SECOND / 2), 60);
    assert_int_equal(trib_attempts_add(&attempts, "192.0.2.7:1000", now + TRIB_ATTEMPTS_WINDOW - 1),
                     1);
    fill("192.0.2.7:1000", now + TRIB_ATTEMPTS_WINDOW);
    assert_true(trib_attempts_add(&attempts, "192.0.2.7:1000", now + TRIB_ATTEMPTS_WINDOW) > 0);
}

static void others_are_not_punished(void **state) {
    (void)state;
    fill("192.0.2.7:1000", 0);
    fill("192.0.2.8:1000", 0);
    fill("[2001:db8::1]:1000", 0);
    fill("[2001:db8:0:1::1]:1000", 0);
    fill("?", 0);
}

/* A site has a /64 of addresses to spend; and IPv4 reaches a dual socket as a mapped address. */
static void one_network_is_one(void **state) {
    (void)state;
    fill("[2001:db8::1]:1000", 0);
    assert_true(trib_attempts_add(&attempts, "[2001:db8::ffff:1:2:3]:7", 0) > 0);
    fill("192.0.2.7:1000", 0);
    assert_true(trib_attempts_add(&attempts, "[::ffff:192.0.2.7]:1000", 0) > 0);
    assert_int_equal(trib_attempts_add(&attempts, "[::ffff:192.0.2.8]:1000", 0), 0);
}

static void when_the_table_is_full_the_oldest_is_forgotten(void **state) {
    (void)state;
    char peer[32];
    for (int i = 0; i < TRIB_ATTEMPTS_NETWORKS; i++) {
        (void)snprintf(peer, sizeof peer, "10.0.%d.%d:1", i / 256, i % 256);
        fill(peer, i);
    }
    fill("192.0.2.7:1", TRIB_ATTEMPTS_NETWORKS);
    assert_true(trib_attempts_add(&attempts, "10.0.0.1:1", TRIB_ATTEMPTS_NETWORKS) > 0);
    assert_int_equal(trib_attempts_add(&attempts, "10.0.0.0:1", TRIB_ATTEMPTS_NETWORKS), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_network_that_tries_too_often_shall_wait, setup),
        cmocka_unit_test_setup(others_are_not_punished, setup),
        cmocka_unit_test_setup(one_network_is_one, setup),
        cmocka_unit_test_setup(when_the_table_is_full_the_oldest_is_forgotten, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
