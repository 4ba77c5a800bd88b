/* test_quotas.c - a client has its share of an hour, and no part of another's. */
#include "node/quotas.h"

#include "support/check.h"
#include "support/env_faulty.h"

#define HOUR (3600 * TRIB_SECOND)

struct world {
    struct trib_env_faulty faulty;
    struct trib_quotas quotas;
};

static void begin(struct world *world) {
    trib_env_faulty_init(&world->faulty);
    trib_quotas_init(&world->quotas, &world->faulty.env);
}

static void end(struct world *world) {
    trib_quotas_deinit(&world->quotas);
    trib_env_faulty_deinit(&world->faulty);
}

static void updates_per_hour(void **state) {
    (void)state;
    const struct trib_spec_limits limits = {.client_updates_per_hour = 2};
    struct world world;
    begin(&world);
    trib_time_ns now = 7 * TRIB_SECOND;
    assert_int_equal(trib_quotas_take(&world.quotas, &limits, "dev", 0, now), 0);
    assert_int_equal(trib_quotas_take(&world.quotas, &limits, "dev", 0, now + 1), 0);
    assert_int_equal(trib_quotas_take(&world.quotas, &limits, "dev", 0, now), 3600);
    assert_int_equal(trib_quotas_take(&world.quotas, &limits, "dev", 0, now + HOUR - 1), 1);
    assert_int_equal(trib_quotas_take(&world.quotas, &limits, "other", 0, now), 0);
    assert_int_equal(trib_quotas_take(&world.quotas, &limits, "dev", 0, now + HOUR), 0);
    assert_int_equal(trib_quotas_take(&world.quotas, &limits, "dev", 0, now + HOUR), 0);
    assert_int_equal(trib_quotas_take(&world.quotas, &limits, "dev", 0, now + HOUR), 3600);
    end(&world);
}

static void bytes_per_hour(void **state) {
    (void)state;
    const struct trib_spec_limits limits = {.client_bytes_per_hour = 100};
    struct world world;
    begin(&world);
    assert_int_equal(trib_quotas_take(&world.quotas, &limits, "dev", 60, 0), 0);
    assert_true(trib_quotas_take(&world.quotas, &limits, "dev", 41, 0) > 0);
    assert_int_equal(trib_quotas_take(&world.quotas, &limits, "dev", 40, 0), 0);
    assert_true(trib_quotas_take(&world.quotas, &limits, "dev", 1, 0) > 0);
    assert_true(trib_quotas_take(&world.quotas, &limits, "dev", UINT64_MAX, 0) > 0);
    /* A body without a length is known when it is there; the next one pays. */
    assert_int_equal(trib_quotas_take(&world.quotas, &limits, "chunky", 0, 0), 0);
    trib_quotas_add(&world.quotas, "chunky", 1000);
    assert_true(trib_quotas_take(&world.quotas, &limits, "chunky", 0, 0) > 0);
    trib_quotas_add(&world.quotas, "nobody", 1000);
    end(&world);
}

static void without_limits_nothing_is_kept(void **state) {
    (void)state;
    const struct trib_spec_limits limits = {0};
    struct world world;
    begin(&world);
    assert_int_equal(trib_quotas_take(&world.quotas, &limits, "dev", UINT64_MAX, 0), 0);
    assert_int_equal(world.faulty.blocks_live, 0);
    end(&world);
}

static void without_memory_a_client_waits_and_nothing_leaks(void **state) {
    (void)state;
    const struct trib_spec_limits limits = {.client_updates_per_hour = 1};
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct world world;
        begin(&world);
        trib_env_faulty_fail(&world.faulty, nth);
        uint32_t wait = trib_quotas_take(&world.quotas, &limits, "dev", 0, 0);
        has_failed = world.faulty.has_failed;
        assert_int_equal(wait, has_failed ? 1 : 0);
        trib_env_faulty_fail(&world.faulty, 0);
        assert_int_equal(trib_quotas_take(&world.quotas, &limits, "dev", 0, 0) == 0, has_failed);
        end(&world);
    }
}

static void many_clients_have_their_own(void **state) {
    (void)state;
    const struct trib_spec_limits limits = {.client_updates_per_hour = 1};
    struct world world;
    begin(&world);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++) {
            char name[8] = {'c', (char)('0' + i / 100), (char)('0' + i / 10 % 10),
                            (char)('0' + i % 10)};
            assert_int_equal(trib_quotas_take(&world.quotas, &limits, name, 0, 0) > 0, round);
        }
    }
    end(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_per_hour),
        cmocka_unit_test(bytes_per_hour),
        cmocka_unit_test(without_limits_nothing_is_kept),
        cmocka_unit_test(without_memory_a_client_waits_and_nothing_leaks),
        cmocka_unit_test(many_clients_have_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
