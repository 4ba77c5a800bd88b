/* test_documents.c - bodies are checked whole; documents have exactly the fields they should. */
#include "wire/documents.h"

#include <math.h>

#include "base/json_memory.h"
#include "support/check.h"
#include "support/json_faulty.h"

#define BYTES(text) (text), strlen(text)
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The document as text; takes it. */
static void check_text(json_t *document, const char *expected) {
    struct trib_text text;
    trib_text_init(&text, trib_env_system());
    assert_non_null(document);
    trib_document_write(&text, document);
    assert_false(text.is_failed);
    assert_string_equal(text.bytes, expected);
    trib_text_deinit(&text);
    json_decref(document);
}

/* --- JSON text --- */

static void only_one_json_object_is_a_body(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum trib_status status;
    } rows[] = {
        {"{}", TRIB_OK},
        {" {\"a\": [1, 2.5e3, null]} \n", TRIB_OK},
        {"", TRIB_EMALFORMED},
        {"{", TRIB_EMALFORMED},
        {"{} {}", TRIB_EMALFORMED},
        {"{\"a\": 1, \"a\": 2}", TRIB_EMALFORMED},
        {"{\"a\": NaN}", TRIB_EMALFORMED},
        {"{\"a\": 1e999}", TRIB_EMALFORMED},
        {"{\"a\": 99999999999999999999}", TRIB_EMALFORMED},
        {"{\"a\": \"\\u0000\"}", TRIB_EMALFORMED},
        {"{\"a\": \"\xff\"}", TRIB_EMALFORMED},
        {"[]", TRIB_EINVALID},
        {"3", TRIB_EMALFORMED},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        json_t *document = (json_t *)&rows;
        struct trib_error error = {0};
        assert_int_equal(trib_document_read(BYTES(rows[index].text), &document, &error),
                         rows[index].status);
        assert_int_equal(error.status, rows[index].status);
        assert_int_equal(document != NULL, rows[index].status == TRIB_OK);
        json_decref(document);
    }
    json_t *document;
    struct trib_error error = {0};
    assert_int_equal(trib_document_read(BYTES("{\n \"a\": x}"), &document, &error),
                     TRIB_EMALFORMED);
    assert_non_null(strstr(error.text, "line 2"));
}

static void numbers_are_written_with_the_fewest_digits(void **state) {
    (void)state;
    check_text(json_pack("[f, f, f, f, I]", 0.1, 1.0 / 3, 1e-7, 123456789.125, (json_int_t)-5),
               "[0.1,0.3333333333333333,1e-7,123456789.125,-5]");
    check_text(json_pack("{s:{}, s:[], s:[n, b, s]}", "a", "b", "c", true, "x\"\n\xc3\xa4"),
               "{\"a\":{},\"b\":[],\"c\":[null,true,\"x\\\"\\n\xc3\xa4\"]}");
}

static void every_written_number_reads_back_the_same(void **state) {
    (void)state;
    uint64_t bits = UINT64_C(0x9E3779B97F4A7C15);
    for (int round = 0; round < 2000; round++) {
        double number;
        bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memcpy(&number, &bits, sizeof number);
        if (!isfinite(number))
            continue;
        struct trib_text text;
        trib_text_init(&text, trib_env_system());
        json_t *list = json_pack("[f]", number);
        trib_document_write(&text, list);
        json_t *again = json_loads(text.bytes, 0, NULL);
        assert_true(json_number_value(json_array_get(again, 0)) == number);
        json_decref(again);
        json_decref(list);
        trib_text_deinit(&text);
    }
}

static void a_missing_document_fails_the_text(void **state) {
    (void)state;
    struct trib_text text;
    trib_text_init(&text, trib_env_system());
    trib_document_write(&text, NULL);
    assert_true(text.is_failed);
    trib_text_deinit(&text);
}

/* --- errors --- */

static void error_documents_survive_any_bytes(void **state) {
    (void)state;
    check_text(trib_error_document("shape", "tensor a: [3]", NULL),
               "{\"code\":\"shape\",\"message\":\"tensor a: [3]\"}");
    check_text(trib_error_document("name", "caf\xc3\xa9", "a \"hint\""),
               "{\"code\":\"name\",\"message\":\"caf\xc3\xa9\",\"hint\":\"a \\\"hint\\\"\"}");
    check_text(trib_error_document("name", "cut \xc3", "\xff.\xfe"),
               "{\"code\":\"name\",\"message\":\"cut ?\",\"hint\":\"?.?\"}");
}

/* docs/protocol.md section 1, the table of errors. */
static void every_code_of_the_protocol_has_its_status(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *codes;
    } rows[] = {
        {400, "malformed name header spec"},
        {401, "token"},
        {403, "forbidden host origin set_aside"},
        {404, "not_found"},
        {405, "method"},
        {409, "conflict base_unknown stale"},
        {410, "pruned"},
        {411, "length"},
        {413, "too_large"},
        {415, "content_type"},
        {416, "range"},
        {417, "expectation"},
        {422, "tensor shape dtype nonfinite bound weight group"},
        {431, "header_too_large"},
        {500, "io no_such_code"},
        {501, "unsupported"},
        {503, "busy closing"},
        {505, "http_version"},
        {507, "quota"},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        char words[128];
        strcpy(words, rows[index].codes);
        for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
            assert_int_equal(trib_code_http_status(word), rows[index].status);
    }
}

static void every_status_has_a_code_that_fits(void **state) {
    (void)state;
#define X(name, value, text) \
    assert_true(trib_code_http_status(trib_status_code(TRIB_##name)) >= 400);
    TRIB_STATUS_LIST(X)
#undef X
    assert_string_equal(trib_status_code(TRIB_ENONFINITE), "nonfinite");
    assert_string_equal(trib_status_code(TRIB_EGONE), "pruned");
    assert_string_equal(trib_status_code(TRIB_EFULL), "quota");
    assert_string_equal(trib_status_code((enum trib_status)999), "io");
}

/* --- metrics --- */

static void metrics_are_finite_numbers_by_name(void **state) {
    (void)state;
    struct trib_metrics metrics;
    assert_int_equal(
        trib_metrics_decode(BYTES("{\"loss\": 0.31, \"accuracy\": 1}"), &metrics, NULL), TRIB_OK);
    assert_int_equal(metrics.count, 2);
    assert_true(*trib_metrics_find(&metrics, "loss") == 0.31);
    assert_true(*trib_metrics_find(&metrics, "accuracy") == 1);
    assert_null(trib_metrics_find(&metrics, "los"));
    check_text(trib_metrics_document(&metrics), "{\"loss\":0.31,\"accuracy\":1.0}");
}

static void bad_metrics_are_refused_and_change_nothing(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum trib_status status;
        const char *error;
    } rows[] = {
        {"{\"loss\": \"0.3\"}", TRIB_EINVALID, "metrics.loss: must be a finite number"},
        {"{\"loss\": null}", TRIB_EINVALID, "metrics.loss: must be a finite number"},
        {"{\"loss\": [1]}", TRIB_EINVALID, "metrics.loss: must be a finite number"},
        {"{\"a b\": 1}", TRIB_EINVALID, "metrics: \"a b\" is not a name of 1 to 32 characters"},
        {"{\"\": 1}", TRIB_EINVALID, "metrics: \"\" is not a name of 1 to 32 characters"},
        {"{\"a12345678901234567890123456789012\": 1}", TRIB_EINVALID,
         "metrics: \"a12345678901234567890123456789012\" is not a name of 1 to 32 characters"},
        {"{\"a\": 1e999}", TRIB_EMALFORMED, NULL},
        {"{\"a\": 1, \"a\": 1}", TRIB_EMALFORMED, NULL},
        {"[1]", TRIB_EINVALID, NULL},
        {"", TRIB_EMALFORMED, NULL},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        struct trib_metrics metrics = {.count = 7};
        struct trib_error error = {0};
        assert_int_equal(trib_metrics_decode(BYTES(rows[index].text), &metrics, &error),
                         rows[index].status);
        assert_int_equal(metrics.count, 7);
        if (rows[index].error)
            assert_string_equal(error.text, rows[index].error);
    }
}

static void metrics_have_a_limit_in_number_and_bytes(void **state) {
    (void)state;
    char text[2048] = "{";
    struct trib_metrics metrics;
    for (int count = 1; count <= TRIB_METRICS_MAX + 1; count++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s\"m%d\": %d}", count > 1 ? "," : "", count,
                 count);
        assert_int_equal(trib_metrics_decode(BYTES(text), &metrics, NULL),
                         count <= TRIB_METRICS_MAX ? TRIB_OK : TRIB_ELIMIT);
        text[strlen(text) - 1] = '\0';
    }
    assert_int_equal(metrics.count, TRIB_METRICS_MAX);
    memset(text, ' ', TRIB_METRICS_TEXT_BYTES_MAX + 1);
    memcpy(text, "{}", 2);
    assert_int_equal(trib_metrics_decode(text, TRIB_METRICS_TEXT_BYTES_MAX, &metrics, NULL),
                     TRIB_OK);
    assert_int_equal(trib_metrics_decode(text, TRIB_METRICS_TEXT_BYTES_MAX + 1, &metrics, NULL),
                     TRIB_ELIMIT);
}

static void metrics_are_equal_in_any_order(void **state) {
    (void)state;
    struct trib_metrics a;
    struct trib_metrics b;
    static const struct {
        const char *a, *b;
        bool is_equal;
    } rows[] = {
        {"{}", "{}", true},
        {"{\"x\": 1, \"y\": 2}", "{\"y\": 2.0, \"x\": 1e0}", true},
        {"{\"x\": 1}", "{\"x\": 2}", false},
        {"{\"x\": 1}", "{\"y\": 1}", false},
        {"{\"x\": 1}", "{\"x\": 1, \"y\": 2}", false},
        {"{\"x\": 1, \"y\": 2}", "{\"x\": 1}", false},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        assert_int_equal(trib_metrics_decode(BYTES(rows[index].a), &a, NULL), TRIB_OK);
        assert_int_equal(trib_metrics_decode(BYTES(rows[index].b), &b, NULL), TRIB_OK);
        assert_int_equal(trib_metrics_equal(&a, &b), rows[index].is_equal);
    }
}

/* --- requests --- */

static void a_join_has_a_role_and_attributes(void **state) {
    (void)state;
    struct trib_join join;
    assert_int_equal(trib_join_decode("", 0, &join, NULL), TRIB_OK);
    assert_false(join.is_evaluator);
    assert_int_equal(join.attribute_count, 0);
    const char *text = "{\"role\":\"evaluator\",\"attributes\":{\"site\":\"mercy\",\"load\":1.5,"
                       "\"gpu\":true}}";
    assert_int_equal(trib_join_decode(BYTES(text), &join, NULL), TRIB_OK);
    assert_true(join.is_evaluator);
    assert_int_equal(join.attribute_count, 3);
    assert_string_equal(join.attributes[0].name, "site");
    assert_string_equal(join.attributes[0].text, "mercy");
    assert_int_equal(join.attributes[0].kind, TRIB_ATTRIBUTE_TEXT);
    assert_int_equal(join.attributes[1].kind, TRIB_ATTRIBUTE_NUMBER);
    assert_true(join.attributes[1].number == 1.5);
    assert_int_equal(join.attributes[2].kind, TRIB_ATTRIBUTE_FLAG);
    assert_true(join.attributes[2].number == 1);
    check_text(trib_join_document(&join), text);
}

static void bad_joins_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum trib_status status;
        const char *error;
    } rows[] = {
        {"{\"rol\": \"trainer\"}", TRIB_EINVALID, "rol: unknown field; did you mean role?"},
        {"{\"something\": 1}", TRIB_EINVALID, "something: unknown field"},
        {"{\"role\": \"admin\"}", TRIB_EINVALID, "role: must be trainer or evaluator"},
        {"{\"role\": 3}", TRIB_EINVALID, "role: must be trainer or evaluator"},
        {"{\"role\": null}", TRIB_EINVALID, "role: must be trainer or evaluator"},
        {"{\"attributes\": []}", TRIB_EINVALID, "attributes: must be an object"},
        {"{\"attributes\": {\"a\": null}}", TRIB_EINVALID,
         "attributes.a: must be a text, a number, true or false"},
        {"{\"attributes\": {\"../a\": 1}}", TRIB_EINVALID,
         "attributes: \"../a\" is not a name of 1 to 32 characters"},
        {"{\"attributes\": {\"a\": "
         "\"0123456789012345678901234567890123456789012345678901234567890123x\"}}",
         TRIB_ELIMIT, "attributes.a: 65 bytes, at most 64"},
        {"{\"attributes\": {\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,"
         "\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,\"q\":1}}",
         TRIB_ELIMIT, "attributes: 17, at most 16"},
        {"[]", TRIB_EINVALID, "the body must be a JSON object"},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        struct trib_join join = {.attribute_count = 3};
        struct trib_error error = {0};
        assert_int_equal(trib_join_decode(BYTES(rows[index].text), &join, &error),
                         rows[index].status);
        assert_string_equal(error.text, rows[index].error);
        assert_int_equal(join.attribute_count, 3);
    }
}

static void a_decline_names_its_task(void **state) {
    (void)state;
    struct trib_decline decline;
    assert_int_equal(trib_decline_decode(BYTES("{\"task\": \"12.0\"}"), &decline, NULL), TRIB_OK);
    assert_string_equal(decline.task, "12.0");
    assert_string_equal(decline.reason, "");
    const char *text = "{\"task\":\"12.0\",\"reason\":\"on battery\"}";
    assert_int_equal(trib_decline_decode(BYTES(text), &decline, NULL), TRIB_OK);
    check_text(trib_decline_document(&decline), text);

    static const struct {
        const char *text;
        enum trib_status status;
        const char *error;
    } rows[] = {
        {"{}", TRIB_EINVALID, "task: required"},
        {"{\"task\": \"\"}", TRIB_EINVALID, "task: must be a text"},
        {"{\"task\": 12}", TRIB_EINVALID, "task: must be a text"},
        {"{\"task\": \"1\", \"reason\": 7}", TRIB_EINVALID, "reason: must be a text"},
        {"{\"task\": \"1\", \"raeson\": \"x\"}", TRIB_EINVALID,
         "raeson: unknown field; did you mean reason?"},
        {"{\"task\": \"01234567890123456789012345678901\"}", TRIB_ELIMIT,
         "task: 32 bytes, at most 31"},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        struct trib_error error = {0};
        assert_int_equal(trib_decline_decode(BYTES(rows[index].text), &decline, &error),
                         rows[index].status);
        assert_string_equal(error.text, rows[index].error);
        assert_string_equal(decline.reason, "on battery");
    }
}

static void a_renewal_may_say_how_much_is_done(void **state) {
    (void)state;
    struct trib_renewal renewal;
    const char *text = "{\"task\":\"12.0\"}";
    assert_int_equal(trib_renewal_decode(BYTES(text), &renewal, NULL), TRIB_OK);
    assert_string_equal(renewal.task, "12.0");
    assert_true(renewal.done < 0);
    check_text(trib_renewal_document(&renewal), text);
    text = "{\"task\":\"12.0\",\"done\":0.25}";
    assert_int_equal(trib_renewal_decode(BYTES(text), &renewal, NULL), TRIB_OK);
    assert_true(renewal.done == 0.25);
    check_text(trib_renewal_document(&renewal), text);

    static const struct {
        const char *text;
        const char *error;
    } rows[] = {
        {"{}", "task: required"},
        {"{\"task\": \"1\", \"done\": 1.01}", "done: must be a number from 0 to 1"},
        {"{\"task\": \"1\", \"done\": -0.5}", "done: must be a number from 0 to 1"},
        {"{\"task\": \"1\", \"done\": \"all\"}", "done: must be a number from 0 to 1"},
        {"{\"task\": \"1\", \"dome\": 1}", "dome: unknown field; did you mean done?"},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        struct trib_error error = {0};
        assert_int_equal(trib_renewal_decode(BYTES(rows[index].text), &renewal, &error),
                         TRIB_EINVALID);
        assert_string_equal(error.text, rows[index].error);
        assert_true(renewal.done == 0.25);
    }
}

static void a_request_for_a_token_is_checked(void **state) {
    (void)state;
    struct trib_token_request request;
    assert_int_equal(trib_token_request_decode(BYTES("{\"scope\": \"join\"}"), &request, NULL),
                     TRIB_OK);
    assert_string_equal(request.scope, "join");
    assert_string_equal(request.subject, "");
    assert_int_equal(request.lasts, 0);
    const char *text = "{\"scope\":\"admin\",\"subject\":\"alice\",\"expires\":\"1h30m\"}";
    assert_int_equal(trib_token_request_decode(BYTES(text), &request, NULL), TRIB_OK);
    assert_string_equal(request.subject, "alice");
    assert_int_equal(request.lasts, 5400 * TRIB_SECOND);

    static const struct {
        const char *text;
        enum trib_status status;
        const char *error;
    } rows[] = {
        {"{}", TRIB_EINVALID, "scope: required"},
        {"{\"scope\": \"j\", \"expires\": 60}", TRIB_EINVALID, "expires: must be a text"},
        {"{\"scope\": \"j\", \"expires\": \"999ms\"}", TRIB_EINVALID,
         "expires: a duration of a second or more, such as 7d or 12h"},
        {"{\"scope\": \"j\", \"subject\": \"a~b\"}", TRIB_EINVALID, "subject: must be a name"},
        {"{\"scope\": \"j\", \"expire\": \"7d\"}", TRIB_EINVALID,
         "expire: unknown field; did you mean expires?"},
        {"{\"scope\": \"0123456789abcdef\"}", TRIB_ELIMIT, "scope: 16 bytes, at most 15"},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        struct trib_error error = {0};
        assert_int_equal(trib_token_request_decode(BYTES(rows[index].text), &request, &error),
                         rows[index].status);
        assert_string_equal(error.text, rows[index].error);
        assert_string_equal(request.subject, "alice");
    }
}

static void an_evaluation_is_complete(void **state) {
    (void)state;
    struct trib_evaluation evaluation;
    const char *text =
        "{\"version\":12,\"examples\":360,\"metrics\":{\"accuracy\":0.95,\"loss\":0.2}}";
    assert_int_equal(trib_evaluation_decode(BYTES(text), &evaluation, NULL), TRIB_OK);
    assert_int_equal(evaluation.version, 12);
    assert_int_equal(evaluation.examples, 360);
    check_text(trib_evaluation_document(&evaluation), text);
    assert_int_equal(
        trib_evaluation_decode(BYTES("{\"version\":3.0,\"examples\":1e2,\"metrics\":{\"a\":1}}"),
                               &evaluation, NULL),
        TRIB_OK);
    assert_int_equal(evaluation.version, 3);
    assert_int_equal(evaluation.examples, 100);

    static const struct {
        const char *text, *error;
    } rows[] = {
        {"{\"examples\":1,\"metrics\":{\"a\":1}}",
         "version: required, a whole number from 0 to 9007199254740992"},
        {"{\"version\":-1,\"examples\":1,\"metrics\":{\"a\":1}}",
         "version: must be a whole number from 0 to 9007199254740992"},
        {"{\"version\":1,\"examples\":0,\"metrics\":{\"a\":1}}",
         "examples: must be a whole number from 1 to 9007199254740992"},
        {"{\"version\":1,\"examples\":1.5,\"metrics\":{\"a\":1}}",
         "examples: must be a whole number from 1 to 9007199254740992"},
        {"{\"version\":1,\"examples\":9007199254740994,\"metrics\":{\"a\":1}}",
         "examples: must be a whole number from 1 to 9007199254740992"},
        {"{\"version\":\"1\",\"examples\":1,\"metrics\":{\"a\":1}}",
         "version: must be a whole number from 0 to 9007199254740992"},
        {"{\"version\":1,\"examples\":1}", "metrics: must be an object of numbers"},
        {"{\"version\":1,\"examples\":1,\"metrics\":{}}", "metrics: at least one is needed"},
        {"{\"version\":1,\"examples\":1,\"metrics\":{\"a\":1},\"metric\":1}",
         "metric: unknown field; did you mean metrics?"},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        struct trib_error error = {0};
        assert_int_equal(trib_evaluation_decode(BYTES(rows[index].text), &evaluation, &error),
                         TRIB_EINVALID);
        assert_string_equal(error.text, rows[index].error);
        assert_int_equal(evaluation.examples, 100);
    }
}

/* --- replies: the examples of docs/protocol.md section 4 --- */

static void task_documents_have_the_fields_of_their_kind(void **state) {
    (void)state;
    struct trib_task_reply task = {
        .kind = "train",
        .task = "12.0",
        .version = 12,
        .digest = "ab",
        .settings = "{\"epochs\": 1, \"lr\": 0.10000000000000001}",
        .expected_by_s = 12.5,
        .global_step = 12,
        .after_s = 2,
        .reason = "round 12 has its cohort",
    };
    check_text(trib_task_document(&task),
               "{\"kind\":\"train\",\"task\":\"12.0\",\"version\":12,\"digest\":\"ab\","
               "\"settings\":{\"epochs\":1,\"lr\":0.1},\"expected_by_s\":12.5,\"global_step\":12}");
    task.expected_by_s = -1;
    check_text(trib_task_document(&task),
               "{\"kind\":\"train\",\"task\":\"12.0\",\"version\":12,\"digest\":\"ab\","
               "\"settings\":{\"epochs\":1,\"lr\":0.1},\"global_step\":12}");
    task.kind = "evaluate";
    task.settings = "{}";
    check_text(trib_task_document(&task), "{\"kind\":\"evaluate\",\"task\":\"12.0\",\"version\":12,"
                                          "\"digest\":\"ab\",\"settings\":{}}");
    task.kind = "wait";
    check_text(trib_task_document(&task), "{\"kind\":\"wait\",\"after_s\":2.0,\"reason\":\"round "
                                          "12 has its cohort\"}");
    task.kind = "stop";
    check_text(trib_task_document(&task),
               "{\"kind\":\"stop\",\"reason\":\"round 12 has its cohort\"}");
}

static void receipts_say_what_is_known(void **state) {
    (void)state;
    struct trib_receipt receipt = {
        .update = "dev-1.12.0",
        .fate = "spooled",
        .durability = "spool",
        .has_admission = true,
        .base = 12,
        .staleness = 0,
        .weight = 600,
        .has_version = true,
        .version = 13,
    };
    check_text(trib_receipt_document(&receipt),
               "{\"update\":\"dev-1.12.0\",\"fate\":\"spooled\",\"durability\":\"spool\","
               "\"base\":12,\"staleness\":0,\"weight\":600,\"version\":13}");
    receipt = (struct trib_receipt){.update = "u", .fate = "dropped", .reason = "run stopped"};
    check_text(trib_receipt_document(&receipt),
               "{\"update\":\"u\",\"fate\":\"dropped\",\"reason\":\"run stopped\"}");
}

/* --- memory --- */

static json_t *make_documents(void) {
    struct trib_metrics metrics = {.items = {{"loss", 0.5}}, .count = 1};
    struct trib_evaluation evaluation = {.version = 1, .examples = 2, .metrics = metrics};
    struct trib_join join = {.attributes = {{.name = "a", .text = "b"}}, .attribute_count = 1};
    struct trib_task_reply task = {.kind = "train", .task = "1.0", .digest = "d", .settings = "{}"};
    struct trib_receipt receipt = {.update = "u", .fate = "f", .has_version = true, .reason = "r"};
    json_t *documents[] = {
        trib_error_document("a", "b\xff", "c"),
        trib_evaluation_document(&evaluation),
        trib_join_document(&join),
        trib_task_document(&task),
        trib_receipt_document(&receipt),
    };
    json_t *all = json_array();
    bool is_whole = all != NULL;
    for (size_t index = 0; index < COUNT(documents); index++)
        is_whole = json_array_append_new(all, documents[index]) == 0 && is_whole;
    if (is_whole)
        return all;
    json_decref(all);
    return NULL;
}

static void writers_survive_every_failed_allocation(void **state) {
    (void)state;
    json_faulty_begin();
    uint64_t nth = 0;
    do {
        json_faulty_fail(++nth);
        json_t *all = make_documents();
        /* A message that is no UTF-8 is tried twice, so not every failure reaches the result;
         * what counts is that nothing leaks and nothing is half there. */
        if (!json_faulty_has_failed())
            assert_non_null(all);
        assert_true(!all || json_array_size(all) == 5);
        json_decref(all);
        assert_int_equal(json_faulty_blocks_live(), 0);
    } while (json_faulty_has_failed());
    json_faulty_end();
    assert_true(nth > 30);
}

static void readers_survive_every_failed_allocation(void **state) {
    (void)state;
    const char *text = "{\"version\": 12, \"examples\": 3, \"metrics\": {\"a\": 0.5}}";
    json_faulty_begin();
    uint64_t nth = 0;
    do {
        struct trib_evaluation evaluation = {.version = 7};
        json_faulty_fail(++nth);
        enum trib_status status = trib_evaluation_decode(BYTES(text), &evaluation, NULL);
        /* Jansson's lexer reports some lack of memory as an unexpected token. */
        if (json_faulty_has_failed())
            assert_true(status == TRIB_EMEMORY || status == TRIB_EMALFORMED);
        else
            assert_int_equal(status, TRIB_OK);
        assert_int_equal(evaluation.version, json_faulty_has_failed() ? 7 : 12);
        assert_int_equal(json_faulty_blocks_live(), 0);
    } while (json_faulty_has_failed());
    json_faulty_end();
    assert_true(nth > 5);
}

/* Jansson may have dropped characters where memory was refused: what it made is not believed. */
static void what_was_made_without_memory_is_not_believed(void **state) {
    (void)state;
    json_t *document = (json_t *)&document;
    struct trib_error error = {0};
    trib_json_note_refusal();
    assert_int_equal(trib_document_read(BYTES("{\"a\": 1}"), &document, &error), TRIB_EMEMORY);
    assert_null(document);
    struct trib_text text;
    trib_text_init(&text, trib_env_system());
    document = json_pack("{s:i}", "a", 1);
    trib_json_note_refusal();
    trib_document_write(&text, document);
    assert_true(text.is_failed);
    json_decref(document);
    trib_text_deinit(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_one_json_object_is_a_body),
        cmocka_unit_test(what_was_made_without_memory_is_not_believed),
        cmocka_unit_test(numbers_are_written_with_the_fewest_digits),
        cmocka_unit_test(every_written_number_reads_back_the_same),
        cmocka_unit_test(a_missing_document_fails_the_text),
        cmocka_unit_test(error_documents_survive_any_bytes),
        cmocka_unit_test(every_code_of_the_protocol_has_its_status),
        cmocka_unit_test(every_status_has_a_code_that_fits),
        cmocka_unit_test(metrics_are_finite_numbers_by_name),
        cmocka_unit_test(bad_metrics_are_refused_and_change_nothing),
        cmocka_unit_test(metrics_have_a_limit_in_number_and_bytes),
        cmocka_unit_test(metrics_are_equal_in_any_order),
        cmocka_unit_test(a_join_has_a_role_and_attributes),
        cmocka_unit_test(bad_joins_are_refused),
        cmocka_unit_test(a_decline_names_its_task),
        cmocka_unit_test(a_renewal_may_say_how_much_is_done),
        cmocka_unit_test(a_request_for_a_token_is_checked),
        cmocka_unit_test(an_evaluation_is_complete),
        cmocka_unit_test(task_documents_have_the_fields_of_their_kind),
        cmocka_unit_test(receipts_say_what_is_known),
        cmocka_unit_test(writers_survive_every_failed_allocation),
        cmocka_unit_test(readers_survive_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
