/* test_heard.c - the daemon's documents, and everything that is none. */
#include "client/heard.h"

#include <stdio.h>

#include "support/check.h"

static bool hear(const char *text, struct trib_heard_task *task) {
    /* In memory of exactly its size, so that a sanitizer sees every step too far. */
    size_t count = strlen(text);
    char *copy = test_malloc(count);
    memcpy(copy, text, count);
    bool is_task = trib_heard_task(copy, count, task);
    if (is_task && task->settings != NULL) {
        task->settings = text + (task->settings - copy);
    }
    test_free(copy);
    return is_task;
}

static void train_tasks_are_read_whole(void **state) {
    (void)state;
    struct trib_heard_task task;
    assert_true(
        hear("{\"kind\": \"train\", \"task\": \"12.0\", \"version\": 12, \"digest\": \"ab\", "
             "\"settings\": { \"lr\": 0.1, \"sub\": {\"a\": [1]}}, \"expected_by_s\": 12.5, "
             "\"global_step\": 13, \"from the future\": [{}]}",
             &task));
    assert_int_equal(task.kind, TRIB_HEARD_TRAIN);
    assert_string_equal(task.id, "12.0");
    assert_int_equal(task.version, 12);
    assert_int_equal(task.global_step, 13);
    assert_string_equal(task.digest, "ab");
    assert_true(task.expected_by_s == 12.5);
    assert_int_equal(task.settings_bytes, strlen("{ \"lr\": 0.1, \"sub\": {\"a\": [1]}}"));
    assert_memory_equal(task.settings, "{ \"lr\": 0.1, \"sub\": {\"a\": [1]}}",
                        task.settings_bytes);
}

static void other_tasks_need_less(void **state) {
    (void)state;
    struct trib_heard_task task;
    assert_true(
        hear("{\"kind\":\"evaluate\",\"task\":\"e3\",\"version\":3,\"settings\":{}}", &task));
    assert_int_equal(task.kind, TRIB_HEARD_EVALUATE);
    assert_true(task.expected_by_s < 0);
    assert_true(hear("{\"kind\":\"wait\",\"after_s\":2.5,\"reason\":\"round full\"}", &task));
    assert_int_equal(task.kind, TRIB_HEARD_WAIT);
    assert_true(task.after_s == 2.5);
    assert_string_equal(task.reason, "round full");
    assert_true(hear("{\"kind\":\"stop\"}", &task));
    assert_int_equal(task.kind, TRIB_HEARD_STOP);
    assert_string_equal(task.reason, "");
    assert_null(task.settings);
}

static void what_is_no_task_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "<html></html>",
        "{\"kind\":\"dance\"}",
        "{\"kind\":1}",
        "{\"kind\":\"train\",\"task\":\"1.0\"}",
        "{\"kind\":\"train\",\"version\":1}",
        "{\"kind\":\"train\",\"task\":\"\",\"version\":1}",
        "{\"kind\":\"train\",\"task\":\"1.0\",\"version\":-1}",
        "{\"kind\":\"train\",\"task\":\"1.0\",\"version\":1.5}",
        "{\"kind\":\"train\",\"task\":\"1.0\",\"version\":1,\"settings\":[]}",
        "{\"kind\":\"train\",\"task\":\"0123456789012345678901234567890123456789\",\"version\":1}",
        "{\"kind\":\"wait\",\"after_s\":-1}",
        "{\"kind\":\"stop\"} x",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct trib_heard_task task;
        assert_false(hear(texts[i], &task));
    }
}

static void a_cut_reply_is_no_task(void **state) {
    (void)state;
    const char *text =
        "{\"kind\":\"train\",\"task\":\"1.0\",\"version\":1,\"settings\":{\"a\":[1]}}";
    for (size_t count = 0; count < strlen(text); count++) {
        char piece[128];
        struct trib_heard_task task;
        memcpy(piece, text, count);
        piece[count] = '\0';
        assert_false(hear(piece, &task));
    }
}

static void a_long_reason_does_not_spoil_a_task(void **state) {
    (void)state;
    struct trib_heard_task task;
    char text[400];
    snprintf(text, sizeof text, "{\"kind\":\"stop\",\"reason\":\"%0300d\"}", 0);
    assert_true(hear(text, &task));
    assert_string_equal(task.reason, "");
}

static void joining_gives_a_token(void **state) {
    (void)state;
    char token[16] = "";
    const char *text =
        "{\"client\":\"a\",\"role\":\"trainer\",\"token\":\"secret\",\"lease_s\":30}";
    assert_true(trib_heard_join(text, strlen(text), token, sizeof token));
    assert_string_equal(token, "secret");
    assert_false(trib_heard_join(text, strlen(text), token, 6)); /* does not fit */
    assert_false(trib_heard_join("{}", 2, token, sizeof token));
    assert_false(trib_heard_join("{\"token\":1}", 11, token, sizeof token));
    assert_false(trib_heard_join("{\"token\":\"x\"", 12, token, sizeof token));
}

static void errors_are_read_or_empty(void **state) {
    (void)state;
    struct trib_heard_error error;
    const char *text = "{\"code\":\"shape\",\"message\":\"tensor \\\"a\\\"\",\"hint\":\"h\"}";
    trib_heard_error(text, strlen(text), &error);
    assert_string_equal(error.code, "shape");
    assert_string_equal(error.message, "tensor \"a\"");
    text = "<html>502 Bad Gateway</html>";
    trib_heard_error(text, strlen(text), &error);
    assert_string_equal(error.code, "");
    assert_string_equal(error.message, "");
    text = "{\"code\":\"shape\",\"message\":";
    trib_heard_error(text, strlen(text), &error);
    assert_string_equal(error.code, "");
}

static void objects_are_told_from_the_rest(void **state) {
    (void)state;
    assert_true(trib_heard_is_object(" {\"a\": [1, {}]} ", 16));
    assert_true(trib_heard_is_object("{}", 2));
    assert_false(trib_heard_is_object("[]", 2));
    assert_false(trib_heard_is_object("{}{}", 4));
    assert_false(trib_heard_is_object("{\"a\":NaN}", 9));
    assert_false(trib_heard_is_object("", 0));
}

static void numbers_are_found_at_the_top_only(void **state) {
    (void)state;
    const char *object = "{\"sub\":{\"lr\":9},\"lr\":0.25,\"name\":\"x\",\"l\\u0072x\":3}";
    double number = 7;
    assert_true(trib_heard_number(object, strlen(object), "lr", &number));
    assert_true(number == 0.25);
    assert_true(trib_heard_number(object, strlen(object), "lrx", &number));
    assert_true(number == 3);
    assert_false(trib_heard_number(object, strlen(object), "name", &number));
    assert_false(trib_heard_number(object, strlen(object), "absent", &number));
}

static bool collect(void *context, const char *text) {
    strcat(context, text);
    strcat(context, ";");
    return strcmp(text, "stop") != 0;
}

static bool strings(const char *object, char *seen) {
    seen[0] = '\0';
    return trib_heard_strings(object, strlen(object), "frozen", collect, seen);
}

static void lists_of_names_are_visited(void **state) {
    (void)state;
    char seen[64];
    assert_true(strings("{\"a\":1,\"frozen\":[\"x\",\"y\\\"z\"]}", seen));
    assert_string_equal(seen, "x;y\"z;");
    assert_true(strings("{}", seen));
    assert_string_equal(seen, "");
    assert_true(strings("{\"frozen\":[]}", seen));
    assert_false(strings("{\"frozen\":[1]}", seen));
    assert_false(strings("{\"frozen\":\"x\"}", seen));
    assert_false(strings("{\"frozen\":[\"x\"", seen));
    assert_false(strings("{\"frozen\":[\"stop\",\"more\"]}", seen));
    assert_string_equal(seen, "stop;");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(train_tasks_are_read_whole),
        cmocka_unit_test(other_tasks_need_less),
        cmocka_unit_test(what_is_no_task_is_refused),
        cmocka_unit_test(a_cut_reply_is_no_task),
        cmocka_unit_test(a_long_reason_does_not_spoil_a_task),
        cmocka_unit_test(joining_gives_a_token),
        cmocka_unit_test(errors_are_read_or_empty),
        cmocka_unit_test(objects_are_told_from_the_rest),
        cmocka_unit_test(numbers_are_found_at_the_top_only),
        cmocka_unit_test(lists_of_names_are_visited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
