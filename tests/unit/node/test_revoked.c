/* test_revoked.c - what was revoked is refused, what came after it is not. */
#include "node/revoked.h"

#include "support/check.h"
#include "support/env_faulty.h"

static enum trib_status take(struct trib_revoked *revoked, const char *text) {
    json_t *record = json_loads(text, 0, NULL);
    assert_non_null(record);
    enum trib_status status = trib_revoked_take(revoked, record);
    json_decref(record);
    return status;
}

static struct trib_token join_token(uint64_t serial) {
    return (struct trib_token){.scope = TRIB_TOKEN_JOIN, .run = "r", .serial = serial};
}

static struct trib_token client_token(const char *client, uint64_t times) {
    struct trib_token token = {.scope = TRIB_TOKEN_CLIENT, .run = "r", .serial = times};
    (void)strncpy(token.subject, client, sizeof token.subject - 1);
    return token;
}

static void a_serial_is_refused(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_revoked revoked;
    trib_revoked_init(&revoked, &faulty.env);
    struct trib_token token = join_token(0x5f), other = join_token(0x60), first = join_token(0);
    struct trib_token client = client_token("dev", 0);
    assert_false(trib_revoked_has(&revoked, &token));
    assert_int_equal(take(&revoked, "{\"type\": \"revoked\", \"serial\": \"000000000000005f\"}"),
                     TRIB_OK);
    assert_true(trib_revoked_has(&revoked, &token));
    assert_false(trib_revoked_has(&revoked, &other));
    assert_int_equal(take(&revoked, "{\"type\": \"revoked\", \"serial\": \"0000000000000000\"}"),
                     TRIB_OK);
    assert_true(trib_revoked_has(&revoked, &first));
    assert_false(trib_revoked_has(&revoked, &client));
    trib_revoked_deinit(&revoked);
    trib_env_faulty_deinit(&faulty);
}

static void a_client_is_refused_until_it_is_let_in_again(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_revoked revoked;
    trib_revoked_init(&revoked, &faulty.env);
    for (uint64_t times = 0; times < 3; times++) {
        struct trib_token token = client_token("dev", times);
        struct trib_token other = client_token("dev-2", 0);
        assert_int_equal(trib_revoked_times(&revoked, "dev"), times);
        assert_false(trib_revoked_has(&revoked, &token));
        assert_int_equal(take(&revoked, "{\"type\": \"revoked\", \"client\": \"dev\"}"), TRIB_OK);
        assert_true(trib_revoked_has(&revoked, &token));
        assert_false(trib_revoked_has(&revoked, &other));
    }
    trib_revoked_deinit(&revoked);
    trib_env_faulty_deinit(&faulty);
}

static void records_of_other_types_and_rotten_ones_change_nothing(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_revoked revoked;
    trib_revoked_init(&revoked, &faulty.env);
    assert_int_equal(take(&revoked, "{}"), TRIB_OK);
    assert_int_equal(take(&revoked, "{\"type\": \"client\", \"client\": \"dev\"}"), TRIB_OK);
    assert_int_equal(take(&revoked, "{\"type\": \"token\", \"serial\": \"000000000000005f\"}"),
                     TRIB_OK);
    assert_int_equal(take(&revoked, "{\"type\": \"revoked\"}"), TRIB_ECORRUPT);
    assert_int_equal(take(&revoked, "{\"type\": \"revoked\", \"serial\": \"5f\"}"), TRIB_ECORRUPT);
    assert_int_equal(take(&revoked, "{\"type\": \"revoked\", \"client\": \"../x\"}"),
                     TRIB_ECORRUPT);
    assert_int_equal(revoked.map.used, 0);
    trib_revoked_deinit(&revoked);
    trib_env_faulty_deinit(&faulty);
}

static void without_memory_nothing_changes(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_revoked revoked;
        trib_revoked_init(&revoked, &faulty.env);
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = take(&revoked, "{\"type\": \"revoked\", \"client\": \"dev\"}");
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_int_equal(trib_revoked_times(&revoked, "dev"), faulty.has_failed ? 0 : 1);
        trib_revoked_deinit(&revoked);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    trib_env_faulty_deinit(&faulty);
}

static void the_set_has_an_end(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_revoked revoked;
    trib_revoked_init(&revoked, &faulty.env);
    for (uint64_t i = 0; i < TRIB_REVOKED_MAX; i++) {
        assert_false(trib_revoked_is_full(&revoked));
        char serial[TRIB_TOKEN_SERIAL_BYTES];
        trib_token_serial_format(i, serial);
        json_t *record = json_pack("{s:s, s:s}", "type", "revoked", "serial", serial);
        assert_int_equal(trib_revoked_take(&revoked, record), TRIB_OK);
        json_decref(record);
    }
    assert_true(trib_revoked_is_full(&revoked));
    assert_true(faulty.bytes_live < 8 << 20);
    trib_revoked_deinit(&revoked);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_serial_is_refused),
        cmocka_unit_test(a_client_is_refused_until_it_is_let_in_again),
        cmocka_unit_test(records_of_other_types_and_rotten_ones_change_nothing),
        cmocka_unit_test(without_memory_nothing_changes),
        cmocka_unit_test(the_set_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
