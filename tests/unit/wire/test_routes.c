/* test_routes.c - which service a request asks for, and what is wrong when it asks for none. */
#include "wire/routes.h"

#include "support/check.h"

static enum trib_status decode(enum trib_http_method method, const char *path, const char *query,
                               struct trib_target *target, struct trib_error *error) {
    *error = (struct trib_error){0};
    enum trib_status status = trib_target_decode(method, path, query, target, error);
    assert_int_equal(error->status, status);
    assert_int_equal(target->rule != NULL, status == TRIB_OK);
    return status;
}

/* One row for every line of the tables in docs/protocol.md. */
static const struct {
    enum trib_http_method method;
    const char *path;
    enum trib_route route;
    enum trib_access access;
    enum trib_body_kind body;
} services[] = {
    {TRIB_HTTP_POST, "/v1/runs", TRIB_ROUTE_RUN_CREATE, TRIB_ACCESS_CONTROL, TRIB_BODY_JSON},
    {TRIB_HTTP_GET, "/v1/runs", TRIB_ROUTE_RUN_LIST, TRIB_ACCESS_READ, TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/v1/runs/r1", TRIB_ROUTE_RUN_STATUS, TRIB_ACCESS_READ, TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/v1/runs/r1/spec", TRIB_ROUTE_RUN_SPEC, TRIB_ACCESS_READ, TRIB_BODY_NONE},
    {TRIB_HTTP_PATCH, "/v1/runs/r1", TRIB_ROUTE_RUN_CHANGE, TRIB_ACCESS_CONTROL, TRIB_BODY_JSON},
    {TRIB_HTTP_POST, "/v1/runs/r1/pause", TRIB_ROUTE_RUN_PAUSE, TRIB_ACCESS_CONTROL,
     TRIB_BODY_NONE},
    {TRIB_HTTP_POST, "/v1/runs/r1/resume", TRIB_ROUTE_RUN_RESUME, TRIB_ACCESS_CONTROL,
     TRIB_BODY_NONE},
    {TRIB_HTTP_POST, "/v1/runs/r1/stop", TRIB_ROUTE_RUN_STOP, TRIB_ACCESS_CONTROL, TRIB_BODY_NONE},
    {TRIB_HTTP_POST, "/v1/runs/r1/tokens", TRIB_ROUTE_TOKEN_CREATE, TRIB_ACCESS_CONTROL,
     TRIB_BODY_JSON},
    {TRIB_HTTP_DELETE, "/v1/runs/r1/tokens/00c0ffee00c0ffee", TRIB_ROUTE_TOKEN_REVOKE,
     TRIB_ACCESS_CONTROL, TRIB_BODY_NONE},
    {TRIB_HTTP_DELETE, "/v1/runs/r1/clients/dev-1", TRIB_ROUTE_CLIENT_REVOKE, TRIB_ACCESS_CONTROL,
     TRIB_BODY_NONE},
    {TRIB_HTTP_PUT, "/v1/runs/r1/versions/0", TRIB_ROUTE_MODEL_PUT, TRIB_ACCESS_MODEL,
     TRIB_BODY_TENSORS},
    {TRIB_HTTP_GET, "/v1/runs/r1/versions/12", TRIB_ROUTE_MODEL_GET, TRIB_ACCESS_READ,
     TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/v1/runs/r1/clients", TRIB_ROUTE_CLIENT_LIST, TRIB_ACCESS_READ,
     TRIB_BODY_NONE},
    {TRIB_HTTP_PUT, "/v1/runs/r1/clients/dev-1/probe", TRIB_ROUTE_CLIENT_PROBE, TRIB_ACCESS_JOIN,
     TRIB_BODY_OCTETS},
    {TRIB_HTTP_PUT, "/v1/runs/r1/clients/dev-1", TRIB_ROUTE_CLIENT_JOIN, TRIB_ACCESS_JOIN,
     TRIB_BODY_JSON_OPTIONAL},
    {TRIB_HTTP_GET, "/v1/runs/r1/task", TRIB_ROUTE_TASK_GET, TRIB_ACCESS_CLIENT, TRIB_BODY_NONE},
    {TRIB_HTTP_POST, "/v1/runs/r1/task/decline", TRIB_ROUTE_TASK_DECLINE, TRIB_ACCESS_CLIENT,
     TRIB_BODY_JSON},
    {TRIB_HTTP_POST, "/v1/runs/r1/task/renew", TRIB_ROUTE_TASK_RENEW, TRIB_ACCESS_CLIENT,
     TRIB_BODY_JSON},
    {TRIB_HTTP_PUT, "/v1/runs/r1/updates/u.1", TRIB_ROUTE_UPDATE_PUT, TRIB_ACCESS_CLIENT,
     TRIB_BODY_TENSORS},
    {TRIB_HTTP_GET, "/v1/runs/r1/updates/u.1", TRIB_ROUTE_UPDATE_GET, TRIB_ACCESS_CLIENT,
     TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/v1/runs/r1/merge", TRIB_ROUTE_OFFER_GET, TRIB_ACCESS_MERGE, TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/v1/runs/r1/merge/12/3", TRIB_ROUTE_OFFER_UPDATE_GET, TRIB_ACCESS_MERGE,
     TRIB_BODY_NONE},
    {TRIB_HTTP_PUT, "/v1/runs/r1/merge/12", TRIB_ROUTE_COMBINED_PUT, TRIB_ACCESS_MERGE,
     TRIB_BODY_TENSORS},
    {TRIB_HTTP_PUT, "/v1/runs/r1/evaluations/e12", TRIB_ROUTE_EVALUATION_PUT, TRIB_ACCESS_CLIENT,
     TRIB_BODY_JSON},
    {TRIB_HTTP_GET, "/v1/runs/r1/events", TRIB_ROUTE_EVENTS, TRIB_ACCESS_READ, TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/v1/runs/r1/ledger", TRIB_ROUTE_LEDGER, TRIB_ACCESS_READ, TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/v1/runs/r1/ledger/head", TRIB_ROUTE_LEDGER_HEAD, TRIB_ACCESS_READ,
     TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/v1/runs/r1/history", TRIB_ROUTE_HISTORY, TRIB_ACCESS_READ, TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/metrics", TRIB_ROUTE_METRICS, TRIB_ACCESS_READ, TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/healthz", TRIB_ROUTE_HEALTH, TRIB_ACCESS_OPEN, TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/readyz", TRIB_ROUTE_READY, TRIB_ACCESS_OPEN, TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/", TRIB_ROUTE_CONSOLE, TRIB_ACCESS_OPEN, TRIB_BODY_NONE},
    {TRIB_HTTP_GET, "/assets/index-1a.js", TRIB_ROUTE_CONSOLE, TRIB_ACCESS_OPEN, TRIB_BODY_NONE},
};

static void finds_every_service(void **state) {
    (void)state;
    bool is_seen[TRIB_ROUTE_COUNT] = {false};
    struct trib_target target;
    struct trib_error error;
    for (size_t index = 0; index < sizeof services / sizeof *services; index++) {
        assert_int_equal(decode(services[index].method, services[index].path, "", &target, &error),
                         TRIB_OK);
        assert_int_equal(target.rule->route, services[index].route);
        assert_int_equal(target.rule->access, services[index].access);
        assert_int_equal(target.rule->body, services[index].body);
        assert_int_equal(trib_route_rule_of(services[index].route)->route, services[index].route);
        assert_false(target.is_head);
        is_seen[services[index].route] = true;
    }
    assert_int_equal(decode(TRIB_HTTP_DELETE, "/v1/runs/r1", "name=r1", &target, &error), TRIB_OK);
    assert_int_equal(target.rule->route, TRIB_ROUTE_RUN_DELETE);
    is_seen[TRIB_ROUTE_RUN_DELETE] = true;
    for (int route = 0; route < TRIB_ROUTE_COUNT; route++)
        assert_true(is_seen[route]);
}

static void only_tensors_have_no_limit_of_their_own(void **state) {
    (void)state;
    for (int route = 0; route < TRIB_ROUTE_COUNT; route++) {
        const struct trib_route_rule *rule = trib_route_rule_of((enum trib_route)route);
        bool is_json = rule->body == TRIB_BODY_JSON || rule->body == TRIB_BODY_JSON_OPTIONAL;
        bool is_probe = rule->body == TRIB_BODY_OCTETS;
        assert_int_equal(rule->body_bytes_max, is_json    ? TRIB_JSON_BODY_BYTES_MAX
                                               : is_probe ? TRIB_PROBE_BYTES_MAX
                                                          : 0);
    }
}

static void decodes_names_and_versions(void **state) {
    (void)state;
    struct trib_target target;
    struct trib_error error;
    assert_int_equal(
        decode(TRIB_HTTP_PUT, "/v1/runs/chest-xray/updates/dev-3.12.0", "", &target, &error),
        TRIB_OK);
    assert_string_equal(target.run, "chest-xray");
    assert_string_equal(target.id, "dev-3.12.0");
    assert_int_equal(decode(TRIB_HTTP_PUT, "/v1/%72uns/a%2db/clients/%44", "", &target, &error),
                     TRIB_OK);
    assert_string_equal(target.run, "a-b");
    assert_string_equal(target.client, "D");
    assert_int_equal(decode(TRIB_HTTP_GET, "/v1/runs/r/versions/latest", "", &target, &error),
                     TRIB_OK);
    assert_int_equal(target.selector, TRIB_VERSION_LATEST);
    assert_int_equal(decode(TRIB_HTTP_GET, "/v1/runs/r/versions/best", "", &target, &error),
                     TRIB_OK);
    assert_int_equal(target.selector, TRIB_VERSION_BEST);
    assert_int_equal(decode(TRIB_HTTP_GET, "/v1/runs/r/versions/18446744073709551615", "as=bf16",
                            &target, &error),
                     TRIB_OK);
    assert_int_equal(target.selector, TRIB_VERSION_NUMBER);
    assert_true(target.version == UINT64_MAX);
    assert_int_equal(target.as, TRIB_AS_BF16);
    assert_int_equal(decode(TRIB_HTTP_GET, "/assets/app.css", "", &target, &error), TRIB_OK);
    assert_string_equal(target.asset, "app.css");
}

static void head_is_served_where_get_is_cheap(void **state) {
    (void)state;
    struct trib_target target;
    struct trib_error error;
    assert_int_equal(decode(TRIB_HTTP_HEAD, "/v1/runs/r/versions/3", "", &target, &error), TRIB_OK);
    assert_true(target.is_head);
    assert_int_equal(target.rule->route, TRIB_ROUTE_MODEL_GET);
    assert_int_equal(decode(TRIB_HTTP_HEAD, "/v1/runs/r/task", "", &target, &error),
                     TRIB_EUNSUPPORTED);
    assert_int_equal(decode(TRIB_HTTP_HEAD, "/v1/runs/r/events", "", &target, &error),
                     TRIB_EUNSUPPORTED);
}

static void a_wrong_method_is_told_the_right_ones(void **state) {
    (void)state;
    static const struct {
        enum trib_http_method method;
        const char *path, *allow;
    } rows[] = {
        {TRIB_HTTP_PUT, "/v1/runs", "POST, GET, HEAD"},
        {TRIB_HTTP_PUT, "/v1/runs/r", "GET, HEAD, PATCH, DELETE"},
        {TRIB_HTTP_GET, "/v1/runs/r/stop", "POST"},
        {TRIB_HTTP_PUT, "/v1/runs/r/versions/1", "GET, HEAD"},
        {TRIB_HTTP_POST, "/v1/runs/r/versions/0", "GET, HEAD, PUT"},
        {TRIB_HTTP_DELETE, "/", "GET, HEAD"},
        {TRIB_HTTP_POST, "/v1/runs/r/updates/u", "GET, HEAD, PUT"},
    };
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++) {
        struct trib_target target;
        struct trib_error error;
        assert_int_equal(decode(rows[index].method, rows[index].path, "", &target, &error),
                         TRIB_EUNSUPPORTED);
        assert_string_equal(target.allow, rows[index].allow);
    }
}

static void unknown_paths_are_not_found(void **state) {
    (void)state;
    static const char *const rows[] = {"/v1",          "/v1/",
                                       "/v1/run",      "/v1/runs/",
                                       "/v2/runs",     "//v1/runs",
                                       "/V1/runs",     "/v1/runs/r/",
                                       "/v1/runs//",   "/v1/runs/r/versions",
                                       "/v1/runs/r/x", "/v1/runs/r/task/decline/now",
                                       "/assets",      "/assets/a/b",
                                       "/healthz/x",   "/v1/runs/r/versions/1/2/3/4/5/6/7/8",
                                       "/favicon.ico", "/v1%2Fruns"};
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++) {
        struct trib_target target;
        struct trib_error error;
        enum trib_status status = decode(TRIB_HTTP_GET, rows[index], "", &target, &error);
        /* An empty name is a name that is not valid, in a path that exists. */
        bool is_empty_name = strcmp(rows[index], "/v1/runs/") == 0;
        assert_int_equal(status, is_empty_name ? TRIB_EINVALID : TRIB_ENOTFOUND);
    }
}

static void names_that_could_be_paths_are_refused(void **state) {
    (void)state;
    static const char *const rows[] = {
        "/v1/runs/..",
        "/v1/runs/.hidden",
        "/v1/runs/%2e%2e",
        "/v1/runs/a%2Fb",
        "/v1/runs/a%5Cb",
        "/v1/runs/-rf",
        "/v1/runs/a%20b",
        "/v1/runs/a%0ab",
        "/v1/runs/%c3%a4",
        "/v1/runs/a123456789a123456789a123456789a123456789a123456789a123456789abcde",
        "/v1/runs/r/versions/-1",
        "/v1/runs/r/versions/01",
        "/v1/runs/r/versions/newest",
        "/v1/runs/r/versions/18446744073709551616",
        "/assets/..",
    };
    struct trib_target target;
    struct trib_error error;
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++)
        assert_int_equal(decode(TRIB_HTTP_GET, rows[index], "", &target, &error), TRIB_EINVALID);
    char path[512] = "/v1/runs/";
    memset(path + strlen(path), 'a', 400);
    assert_int_equal(decode(TRIB_HTTP_GET, path, "", &target, &error), TRIB_EINVALID);
}

static void bad_percent_codes_are_malformed(void **state) {
    (void)state;
    static const char *const rows[] = {"/v1/runs/%", "/v1/runs/%4", "/v1/runs/%zz", "/v1/runs/a%00",
                                       "/%"};
    struct trib_target target;
    struct trib_error error;
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++)
        assert_int_equal(decode(TRIB_HTTP_GET, rows[index], "", &target, &error), TRIB_EMALFORMED);
}

static void reads_query_parameters_where_they_belong(void **state) {
    (void)state;
    struct trib_target target;
    struct trib_error error;
    assert_int_equal(decode(TRIB_HTTP_GET, "/v1/runs/r/task", "wait=30", &target, &error), TRIB_OK);
    assert_int_equal(target.wait_s, 30);
    assert_int_equal(decode(TRIB_HTTP_GET, "/v1/runs/r/task", "&&w%61it=60&", &target, &error),
                     TRIB_OK);
    assert_int_equal(target.wait_s, 60);
    assert_int_equal(decode(TRIB_HTTP_GET, "/v1/runs/r/ledger", "from=41", &target, &error),
                     TRIB_OK);
    assert_int_equal(target.from, 41);
}

static void refuses_wrong_query_parameters(void **state) {
    (void)state;
    static const struct {
        const char *path, *query, *text;
    } rows[] = {
        {"/v1/runs/r/task", "wait=61", "wait: whole seconds from 0 to 60"},
        {"/v1/runs/r/task", "wait=", "wait: whole seconds from 0 to 60"},
        {"/v1/runs/r/task", "wait", "wait: whole seconds from 0 to 60"},
        {"/v1/runs/r/task", "wait=1.5", "wait: whole seconds from 0 to 60"},
        {"/v1/runs/r/task", "wait=4294967297", "wait: whole seconds from 0 to 60"},
        {"/v1/runs/r/task", "wiat=3", "query parameter wiat is not known here; did you mean wait?"},
        {"/v1/runs/r/task", "wait=1&wait=2", "query parameter wait is given twice"},
        {"/v1/runs/r/task", "from=1", "query parameter from is not known here"},
        {"/v1/runs/r", "wait=1", "query parameter wait is not known here"},
        {"/v1/runs/r/ledger", "from=-1", "from: the number of a record"},
        {"/v1/runs/r/versions/1", "as=int8", "as: one of f32, bf16, f16"},
        {"/v1/runs/r/versions/1", "as=%zz", "the query is malformed or too long"},
    };
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++) {
        struct trib_target target;
        struct trib_error error;
        assert_int_equal(
            decode(TRIB_HTTP_GET, rows[index].path, rows[index].query, &target, &error),
            TRIB_EMALFORMED);
        assert_string_equal(error.text, rows[index].text);
    }
}

static void removing_a_run_needs_its_name_again(void **state) {
    (void)state;
    static const char *const rows[] = {"", "name=", "name=other", "name"};
    struct trib_target target;
    struct trib_error error;
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++)
        assert_int_equal(decode(TRIB_HTTP_DELETE, "/v1/runs/r1", rows[index], &target, &error),
                         TRIB_EMALFORMED);
}

static void content_types_are_exact_but_for_case_and_parameters(void **state) {
    (void)state;
    assert_true(trib_body_accepts(TRIB_BODY_JSON, "application/json"));
    assert_true(trib_body_accepts(TRIB_BODY_JSON, "Application/JSON; charset=utf-8"));
    assert_true(trib_body_accepts(TRIB_BODY_JSON, "application/json ;charset=utf-8"));
    assert_true(trib_body_accepts(TRIB_BODY_TENSORS, "application/safetensors"));
    assert_true(trib_body_accepts(TRIB_BODY_NONE, NULL));
    assert_true(trib_body_accepts(TRIB_BODY_NONE, "text/plain"));
    assert_false(trib_body_accepts(TRIB_BODY_JSON, NULL));
    assert_false(trib_body_accepts(TRIB_BODY_JSON, ""));
    assert_false(trib_body_accepts(TRIB_BODY_JSON, "text/plain"));
    assert_false(trib_body_accepts(TRIB_BODY_JSON, "application/json5"));
    assert_false(trib_body_accepts(TRIB_BODY_JSON, "application/json, text/plain"));
    assert_false(trib_body_accepts(TRIB_BODY_TENSORS, "application/octet-stream"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_every_service),
        cmocka_unit_test(only_tensors_have_no_limit_of_their_own),
        cmocka_unit_test(decodes_names_and_versions),
        cmocka_unit_test(head_is_served_where_get_is_cheap),
        cmocka_unit_test(a_wrong_method_is_told_the_right_ones),
        cmocka_unit_test(unknown_paths_are_not_found),
        cmocka_unit_test(names_that_could_be_paths_are_refused),
        cmocka_unit_test(bad_percent_codes_are_malformed),
        cmocka_unit_test(reads_query_parameters_where_they_belong),
        cmocka_unit_test(refuses_wrong_query_parameters),
        cmocka_unit_test(removing_a_run_needs_its_name_again),
        cmocka_unit_test(content_types_are_exact_but_for_case_and_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
