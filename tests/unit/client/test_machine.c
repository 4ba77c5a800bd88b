/* test_machine.c - whole errands as transcripts in virtual time.
 *
 * "> " is what the machine sends, "< " what it hears, "~" a pause in milliseconds. The pauses are
 * part of the transcripts: their jitter follows from the client's name. */
#include "client/machine.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"

#define TRAIN "{\"kind\":\"train\",\"task\":\"12.0\",\"version\":12,\"settings\":{\"lr\":0.1}}"
#define JOINED "{\"client\":\"dev-1\",\"role\":\"trainer\",\"token\":\"mine\",\"lease_s\":30}"

/* What the daemon does with one request; status 0: the connection is lost. */
struct event {
    int status;
    double retry_after_s; /* 0: not said */
    const char *body;
};

struct world {
    struct trib_machine machine;
    trib_time_ns now;
    char transcript[16384];
};

static void note(struct world *world, const char *text) {
    assert_true(strlen(world->transcript) + strlen(text) + 2 < sizeof world->transcript);
    strcat(world->transcript, text);
    strcat(world->transcript, "\n");
}

static void set_up(struct world *world, const char *token, double retry_for_s) {
    const struct trib_machine_settings settings = {
        .prefix = "/hub",
        .run = "digits",
        .client = "dev-1",
        .role = "trainer",
        .attributes = "{\"site\":\"mercy\"}",
        .token = token,
        .retry_for = (trib_time_ns)(retry_for_s * 1e9),
    };
    memset(world, 0, sizeof *world);
    assert_true(trib_machine_init(&world->machine, &settings));
}

static void note_request(struct world *world) {
    const struct trib_machine_request *request = &world->machine.request;
    char line[12288];
    snprintf(line, sizeof line, "> %s %s [%s] %s%.*s", request->method, request->target,
             request->token, request->fields, (int)request->body_bytes, request->body);
    for (char *next = line; *next != '\0'; next++) {
        *next = *next == '\r' || *next == '\n' ? '|' : *next;
    }
    note(world, line);
}

static void send_request(struct world *world, const struct event *event) {
    char line[256];
    note_request(world);
    if (event->status == 0) {
        note(world, "< lost");
        trib_machine_lose(&world->machine, "cable cut", world->now);
        return;
    }
    const char *body = event->body == NULL ? "" : event->body;
    const struct trib_machine_reply reply = {
        .status = event->status,
        .retry_after_s = event->retry_after_s > 0 ? event->retry_after_s : -1,
        .body = body,
        .body_bytes = strlen(body),
    };
    snprintf(line, sizeof line, "< %d", event->status);
    note(world, line);
    trib_machine_hear(&world->machine, &reply, world->now);
}

/* Carry an errand against the script; all events must be used. */
static enum trib_client_result carry(struct world *world, const struct trib_errand *errand,
                                     const struct event *events, size_t count) {
    size_t used = 0;
    char line[64];
    world->transcript[0] = '\0';
    trib_machine_begin(&world->machine, errand);
    for (;;) {
        switch (trib_machine_next(&world->machine)) {
        case TRIB_MACHINE_SEND:
            assert_true(used < count);
            send_request(world, &events[used++]);
            break;
        case TRIB_MACHINE_PAUSE:
            snprintf(line, sizeof line, "~ %lld",
                     (long long)((world->machine.pause_until - world->now) / TRIB_MILLISECOND));
            note(world, line);
            world->now = world->machine.pause_until;
            break;
        case TRIB_MACHINE_OVER:
            assert_int_equal(used, count);
            return world->machine.result;
        }
    }
}

#define CARRY(world, errand, ...)                             \
    carry(world, errand, (const struct event[]){__VA_ARGS__}, \
          sizeof(const struct event[]){__VA_ARGS__} / sizeof(struct event))

static const struct trib_errand join = {.kind = TRIB_ERRAND_JOIN};
static const struct trib_errand ask = {.kind = TRIB_ERRAND_ASK};
static const struct trib_errand submit = {
    .kind = TRIB_ERRAND_SUBMIT,
    .task = "12.0",
    .metrics = "{\"loss\":0.5}",
    .version = 12,
    .examples = 600,
};

static void join_world(struct world *world) {
    set_up(world, "link", 600);
    assert_int_equal(CARRY(world, &join, {200, 0, JOINED}), TRIB_CLIENT_OK);
}

static void joining_uses_the_link_then_its_own_token(void **state) {
    (void)state;
    struct world world;
    join_world(&world);
    assert_string_equal(world.transcript,
                        "> PUT /hub/v1/runs/digits/clients/dev-1 [link] "
                        "{\"role\":\"trainer\",\"attributes\":{\"site\":\"mercy\"}}\n< 200\n");
    assert_int_equal(CARRY(&world, &ask, {200, 0, TRAIN}), TRIB_CLIENT_OK);
    assert_string_equal(world.transcript,
                        "> GET /hub/v1/runs/digits/task?wait=30 [mine] \n< 200\n");
    assert_string_equal(world.machine.task.id, "12.0");
}

static void every_errand_has_its_request(void **state) {
    (void)state;
    struct world world;
    join_world(&world);
    const struct trib_errand fetch = {.kind = TRIB_ERRAND_FETCH, .version = 12};
    assert_int_equal(CARRY(&world, &fetch, {200, 0, ""}), TRIB_CLIENT_OK);
    assert_string_equal(world.transcript, "> GET /hub/v1/runs/digits/versions/12 [mine] \n< 200\n");
    assert_int_equal(CARRY(&world, &submit, {200, 0, "{}"}), TRIB_CLIENT_OK);
    assert_string_equal(world.transcript, "> PUT /hub/v1/runs/digits/updates/dev-1.12.0 [mine] "
                                          "Tributary-Base-Version: 12||Tributary-Examples: 600||"
                                          "Tributary-Metrics: {\"loss\":0.5}||\n< 200\n");
    assert_string_equal(world.machine.request.content_type, "application/safetensors");
    const struct trib_errand evaluate = {.kind = TRIB_ERRAND_EVALUATE,
                                         .task = "e12",
                                         .metrics = "{\"accuracy\":0.9}",
                                         .version = 12,
                                         .examples = 360};
    assert_int_equal(CARRY(&world, &evaluate, {200, 0, "{}"}), TRIB_CLIENT_OK);
    assert_string_equal(world.transcript,
                        "> PUT /hub/v1/runs/digits/evaluations/dev-1.e12 [mine] {\"version\":12,"
                        "\"examples\":360,\"metrics\":{\"accuracy\":0.9}}\n< 200\n");
    const struct trib_errand decline = {
        .kind = TRIB_ERRAND_DECLINE, .task = "12.0", .reason = "on \"battery\"\n"};
    assert_int_equal(CARRY(&world, &decline, {204, 0, NULL}), TRIB_CLIENT_OK);
    assert_string_equal(world.transcript,
                        "> POST /hub/v1/runs/digits/task/decline [mine] "
                        "{\"task\":\"12.0\",\"reason\":\"on ?battery??\"}\n< 204\n");
}

static void a_lease_is_renewed_once_or_not_at_all(void **state) {
    (void)state;
    struct world world;
    join_world(&world);
    assert_true(world.machine.lease_s == 30);
    struct trib_errand renew = {.kind = TRIB_ERRAND_RENEW, .task = "12.0", .done = -1};
    assert_int_equal(CARRY(&world, &renew, {204, 0, NULL}), TRIB_CLIENT_OK);
    assert_string_equal(world.transcript, "> POST /hub/v1/runs/digits/task/renew [mine] "
                                          "{\"task\":\"12.0\"}\n< 204\n");
    renew.done = 0.4;
    assert_int_equal(CARRY(&world, &renew, {0, 0, NULL}), TRIB_CLIENT_UNREACHABLE);
    assert_string_equal(world.transcript, "> POST /hub/v1/runs/digits/task/renew [mine] "
                                          "{\"task\":\"12.0\",\"done\":0.400000}\n< lost\n");
    assert_string_equal(world.machine.text, "cable cut");
    assert_int_equal(CARRY(&world, &renew, {503, 9, "{}"}), TRIB_CLIENT_UNREACHABLE);
}

static void waiting_is_asking_again(void **state) {
    (void)state;
    struct world world;
    join_world(&world);
    assert_int_equal(CARRY(&world, &ask, {200, 0, "{\"kind\":\"wait\",\"after_s\":2.0}"},
                           {200, 0, "{\"kind\":\"wait\",\"after_s\":0}"}, {200, 0, TRAIN}),
                     TRIB_CLIENT_OK);
    assert_string_equal(world.transcript,
                        "> GET /hub/v1/runs/digits/task?wait=30 [mine] \n< 200\n~ 2000\n"
                        "> GET /hub/v1/runs/digits/task?wait=30 [mine] \n< 200\n~ 100\n"
                        "> GET /hub/v1/runs/digits/task?wait=30 [mine] \n< 200\n");
}

static void a_stopped_run_ends_it(void **state) {
    (void)state;
    struct world world;
    join_world(&world);
    assert_int_equal(
        CARRY(&world, &ask, {200, 0, "{\"kind\":\"stop\",\"reason\":\"20 versions\"}"}),
        TRIB_CLIENT_STOPPED);
    assert_string_equal(world.machine.text, "20 versions");
}

static void lost_connections_are_tried_again_ever_more_slowly(void **state) {
    (void)state;
    struct world world;
    join_world(&world);
    assert_int_equal(CARRY(&world, &submit, {0}, {0}, {502, 0, "<html>"}, {0}, {200, 0, "{}"}),
                     TRIB_CLIENT_OK);
    long long last = 0;
    int pauses = 0;
    for (const char *next = world.transcript; (next = strstr(next, "~ ")) != NULL; next++) {
        long long pause = atoll(next + 2);
        long long full = 250LL << pauses++;
        assert_in_range(pause, full / 2, full);
        assert_true(pause >= last / 2); /* doubling outweighs the jitter */
        last = pause;
    }
    assert_int_equal(pauses, 4);
    /* Each attempt is the same to the letter: that is what makes it safe to repeat. */
    const char *first = strstr(world.transcript, "> ");
    size_t count = (size_t)(strchr(first, '\n') - first);
    int same = 0;
    for (const char *next = world.transcript; (next = strstr(next, "> ")) != NULL; next++) {
        same += strncmp(next, first, count) == 0;
    }
    assert_int_equal(same, 5);
}

static void pauses_do_not_grow_for_ever(void **state) {
    (void)state;
    struct world world;
    set_up(&world, "", 1e6);
    trib_machine_begin(&world.machine, &join);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(trib_machine_next(&world.machine), TRIB_MACHINE_SEND);
        trib_machine_lose(&world.machine, "cable cut", world.now);
        assert_int_equal(trib_machine_next(&world.machine), TRIB_MACHINE_PAUSE);
        assert_in_range(world.machine.pause_until - world.now, TRIB_SECOND / 8, 30 * TRIB_SECOND);
        world.now = world.machine.pause_until;
    }
}

static void two_clients_do_not_come_back_together(void **state) {
    (void)state;
    struct trib_machine machines[2];
    for (int i = 0; i < 2; i++) {
        const struct trib_machine_settings settings = {.prefix = "",
                                                       .run = "r",
                                                       .client = i == 0 ? "dev-1" : "dev-2",
                                                       .role = "trainer",
                                                       .token = "",
                                                       .retry_for = 600 * TRIB_SECOND};
        assert_true(trib_machine_init(&machines[i], &settings));
        trib_machine_begin(&machines[i], &join);
        assert_int_equal(trib_machine_next(&machines[i]), TRIB_MACHINE_SEND);
        trib_machine_lose(&machines[i], "cable cut", 0);
    }
    assert_true(machines[0].pause_until != machines[1].pause_until);
}

static void silence_is_borne_for_so_long_only(void **state) {
    (void)state;
    struct world world;
    set_up(&world, "", 10);
    trib_machine_begin(&world.machine, &join);
    enum trib_machine_turn turn;
    while ((turn = trib_machine_next(&world.machine)) != TRIB_MACHINE_OVER) {
        if (turn == TRIB_MACHINE_SEND) {
            trib_machine_lose(&world.machine, "cable cut", world.now);
        } else {
            world.now = world.machine.pause_until;
        }
    }
    assert_int_equal(world.machine.result, TRIB_CLIENT_UNREACHABLE);
    assert_string_equal(world.machine.text, "gave up after 10 s: cable cut");
    assert_int_equal(world.now, 10 * TRIB_SECOND); /* the last attempt is at the very end */
}

static void a_long_poll_is_no_silence(void **state) {
    (void)state;
    struct world world;
    set_up(&world, "", 10);
    assert_int_equal(CARRY(&world, &join, {200, 0, JOINED}), TRIB_CLIENT_OK);
    trib_machine_begin(&world.machine, &ask);
    assert_int_equal(trib_machine_next(&world.machine), TRIB_MACHINE_SEND);
    world.now += 29 * TRIB_SECOND; /* then the daemon is restarted */
    trib_machine_lose(&world.machine, "cable cut", world.now);
    assert_int_equal(trib_machine_next(&world.machine), TRIB_MACHINE_PAUSE);
}

static void an_answer_starts_everything_anew(void **state) {
    (void)state;
    struct world world;
    set_up(&world, "link", 10);
    assert_int_equal(CARRY(&world, &join, {200, 0, JOINED}), TRIB_CLIENT_OK);
    /* Silences of different hours do not add up, and each may cost the token once. */
    assert_int_equal(CARRY(&world, &ask, {0}, {200, 0, "{\"kind\":\"wait\",\"after_s\":600}"}, {0},
                           {401, 0, NULL}, {200, 0, JOINED},
                           {200, 0, "{\"kind\":\"wait\",\"after_s\":600}"}, {401, 0, NULL},
                           {200, 0, JOINED}, {200, 0, TRAIN}),
                     TRIB_CLIENT_OK);
}

static void progress_starts_the_silence_anew(void **state) {
    (void)state;
    struct world world;
    set_up(&world, "", 10);
    trib_machine_begin(&world.machine, &join);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(trib_machine_next(&world.machine), TRIB_MACHINE_SEND);
        world.now += 9 * TRIB_SECOND;
        trib_machine_progress(&world.machine);
        trib_machine_lose(&world.machine, "cable cut", world.now);
        assert_int_equal(trib_machine_next(&world.machine), TRIB_MACHINE_PAUSE);
        world.now = world.machine.pause_until;
    }
}

static void retry_after_is_a_lower_bound(void **state) {
    (void)state;
    struct world world;
    join_world(&world);
    assert_int_equal(CARRY(&world, &submit, {503, 7, "{\"code\":\"busy\",\"message\":\"full\"}"},
                           {429, 0, NULL}, {200, 0, "{}"}),
                     TRIB_CLIENT_OK);
    assert_non_null(strstr(world.transcript, "< 503\n~ 7000\n"));
}

static void a_retry_after_beyond_patience_ends_it(void **state) {
    (void)state;
    struct world world;
    set_up(&world, "", 10);
    assert_int_equal(CARRY(&world, &join, {503, 11, "{\"code\":\"closing\",\"message\":\"bye\"}"}),
                     TRIB_CLIENT_UNREACHABLE);
    assert_string_equal(world.machine.text, "gave up after 0 s: bye (503 closing)");
}

static void a_lost_token_is_fetched_anew(void **state) {
    (void)state;
    struct world world;
    join_world(&world);
    assert_int_equal(CARRY(&world, &ask, {401, 0, "{\"code\":\"token\",\"message\":\"no\"}"},
                           {200, 0, "{\"token\":\"fresh\"}"}, {200, 0, TRAIN}),
                     TRIB_CLIENT_OK);
    assert_string_equal(world.transcript,
                        "> GET /hub/v1/runs/digits/task?wait=30 [mine] \n< 401\n"
                        "> PUT /hub/v1/runs/digits/clients/dev-1 [link] "
                        "{\"role\":\"trainer\",\"attributes\":{\"site\":\"mercy\"}}\n< 200\n"
                        "> GET /hub/v1/runs/digits/task?wait=30 [fresh] \n< 200\n");
    assert_int_equal(CARRY(&world, &submit,
                           {403, 0, "{\"code\":\"forbidden\",\"message\":\"join first\"}"},
                           {200, 0, JOINED}, {200, 0, "{}"}),
                     TRIB_CLIENT_OK);
}

static void a_token_that_never_helps_is_a_refusal(void **state) {
    (void)state;
    struct world world;
    join_world(&world);
    assert_int_equal(CARRY(&world, &ask, {401, 0, NULL}, {200, 0, JOINED}, {401, 0, NULL}),
                     TRIB_CLIENT_REFUSED);
    assert_int_equal(CARRY(&world, &ask, {401, 0, NULL},
                           {403, 0, "{\"code\":\"forbidden\",\"message\":\"no\"}"}),
                     TRIB_CLIENT_REFUSED);
    assert_string_equal(world.machine.text, "no (403 forbidden)");
}

static void without_a_token_in_the_link_the_own_one_is_shown(void **state) {
    (void)state;
    struct world world;
    set_up(&world, "", 600);
    assert_int_equal(CARRY(&world, &join, {200, 0, JOINED}), TRIB_CLIENT_OK);
    assert_int_equal(CARRY(&world, &ask,
                           {403, 0, "{\"code\":\"forbidden\",\"message\":\"join first\"}"},
                           {200, 0, JOINED}, {200, 0, TRAIN}),
                     TRIB_CLIENT_OK);
    assert_non_null(strstr(world.transcript, "clients/dev-1 [mine]"));
}

static void an_overtaken_update_ends_the_task(void **state) {
    (void)state;
    struct world world;
    join_world(&world);
    assert_int_equal(CARRY(&world, &submit, {409, 0, "{\"code\":\"ended\",\"message\":\"over\"}"}),
                     TRIB_CLIENT_OK);
    assert_int_equal(CARRY(&world, &submit, {409, 0, "{\"code\":\"stale\",\"message\":\"old\"}"}),
                     TRIB_CLIENT_OK);
    assert_int_equal(
        CARRY(&world, &submit, {409, 0, "{\"code\":\"base_unknown\",\"message\":\"?\"}"}),
        TRIB_CLIENT_OK);
    assert_int_equal(
        CARRY(&world, &submit, {409, 0, "{\"code\":\"conflict\",\"message\":\"other\"}"}),
        TRIB_CLIENT_REFUSED);
    assert_string_equal(world.machine.text, "other (409 conflict)");
}

static void refusals_are_final(void **state) {
    (void)state;
    static const int statuses[] = {302, 400, 403, 404, 405, 410, 411,
                                   413, 415, 417, 422, 431, 501, 505};
    struct world world;
    join_world(&world);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        assert_int_equal(
            CARRY(&world, &submit, {statuses[i], 0, "{\"code\":\"x\",\"message\":\"m\"}"}),
            TRIB_CLIENT_REFUSED);
    }
}

static void nonsense_is_invalid(void **state) {
    (void)state;
    struct world world;
    join_world(&world);
    assert_int_equal(CARRY(&world, &ask, {200, 0, "<html>hotel wifi</html>"}), TRIB_CLIENT_INVALID);
    assert_int_equal(
        CARRY(&world, &ask, {200, 0, "{\"kind\":\"train\",\"task\":\"../x\",\"version\":1}"}),
        TRIB_CLIENT_INVALID);
    assert_int_equal(CARRY(&world, &join, {200, 0, "{}"}), TRIB_CLIENT_INVALID);
}

static void long_names_still_make_valid_ids(void **state) {
    (void)state;
    static const char name[] = "a123456789a123456789a123456789a123456789a123456789a123456789a123";
    const struct trib_machine_settings settings = {.prefix = "",
                                                   .run = name,
                                                   .client = name,
                                                   .role = "trainer",
                                                   .token = "",
                                                   .retry_for = TRIB_SECOND};
    struct trib_machine machine;
    struct trib_errand errand = submit;
    errand.task = "1234567890.123456789.0123456789";
    assert_true(trib_machine_init(&machine, &settings));
    trib_machine_begin(&machine, &join);
    assert_int_equal(trib_machine_next(&machine), TRIB_MACHINE_SEND);
    const struct trib_machine_reply reply = {200, -1, JOINED, strlen(JOINED)};
    trib_machine_hear(&machine, &reply, 0);
    trib_machine_begin(&machine, &errand);
    assert_int_equal(trib_machine_next(&machine), TRIB_MACHINE_SEND);
    const char *id = strrchr(machine.request.target, '/') + 1;
    assert_true(trib_name_is_valid(id, strlen(id)));
    assert_string_equal(strchr(id, '.') + 1, errand.task);
}

static void attributes_have_a_limit(void **state) {
    (void)state;
    static char attributes[TRIB_MACHINE_BODY_BYTES];
    memset(attributes, ' ', sizeof attributes - 1);
    memcpy(attributes, "{}", 2);
    const struct trib_machine_settings settings = {.prefix = "",
                                                   .run = "r",
                                                   .client = "c",
                                                   .role = "trainer",
                                                   .attributes = attributes,
                                                   .token = "",
                                                   .retry_for = TRIB_SECOND};
    struct trib_machine machine;
    assert_false(trib_machine_init(&machine, &settings));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joining_uses_the_link_then_its_own_token),
        cmocka_unit_test(every_errand_has_its_request),
        cmocka_unit_test(a_lease_is_renewed_once_or_not_at_all),
        cmocka_unit_test(waiting_is_asking_again),
        cmocka_unit_test(a_stopped_run_ends_it),
        cmocka_unit_test(lost_connections_are_tried_again_ever_more_slowly),
        cmocka_unit_test(pauses_do_not_grow_for_ever),
        cmocka_unit_test(two_clients_do_not_come_back_together),
        cmocka_unit_test(silence_is_borne_for_so_long_only),
        cmocka_unit_test(a_long_poll_is_no_silence),
        cmocka_unit_test(an_answer_starts_everything_anew),
        cmocka_unit_test(progress_starts_the_silence_anew),
        cmocka_unit_test(retry_after_is_a_lower_bound),
        cmocka_unit_test(a_retry_after_beyond_patience_ends_it),
        cmocka_unit_test(a_lost_token_is_fetched_anew),
        cmocka_unit_test(a_token_that_never_helps_is_a_refusal),
        cmocka_unit_test(without_a_token_in_the_link_the_own_one_is_shown),
        cmocka_unit_test(an_overtaken_update_ends_the_task),
        cmocka_unit_test(refusals_are_final),
        cmocka_unit_test(nonsense_is_invalid),
        cmocka_unit_test(long_names_still_make_valid_ids),
        cmocka_unit_test(attributes_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
