/* test_client.c - the public calls against a daemon that plays a script. */
#include "tributary/client.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/env.h"
#include "client/scripted.h"
#include "client/small_version.h"
#include "client/socket.h"
#include "support/check.h"

#define JOINED "{\"client\":\"dev-1\",\"role\":\"trainer\",\"token\":\"mine\",\"lease_s\":30}"
#define TRAIN                                                                   \
    "{\"kind\":\"train\",\"task\":\"12.0\",\"version\":12,\"digest\":\"feed\"," \
    "\"settings\":{\"lr\":0.25,\"frozen\":[\"scale\"]},\"expected_by_s\":9,\"global_step\":12}"
#define EVALUATE \
    "{\"kind\":\"evaluate\",\"task\":\"e12\",\"version\":12,\"digest\":\"feed\",\"settings\":{}}"
#define STOP "{\"kind\":\"stop\",\"reason\":\"20 versions\"}"
#define RECEIPT "{\"update\":\"dev-1.12.0\",\"fate\":\"spooled\"}"

#define STEP_JOIN                                                     \
    {                                                                 \
        .expected = "PUT /v1/runs/digits/clients/dev-1 HTTP/1.1\r\n", \
        .reply = scripted_json(200, NULL, JOINED)                     \
    }
#define STEP_TASK(json)                                                  \
    {                                                                    \
        .expected = "GET /v1/runs/digits/task?wait=30 HTTP/1.1\r\n",     \
        .reply = scripted_json(200, "Cache-Control: no-store\r\n", json) \
    }
#define STEP_MODEL                                                                        \
    {                                                                                     \
        .expected = "GET /v1/runs/digits/versions/12 HTTP/1.1\r\n", .reply = model_reply, \
        .reply_bytes = model_reply_bytes                                                  \
    }
#define UPDATE_LINE "PUT /v1/runs/digits/updates/dev-1.12.0 HTTP/1.1\r\n"
#define EVALUATION_LINE "PUT /v1/runs/digits/evaluations/dev-1.e12 HTTP/1.1\r\n"

static char model_reply[4096];
static size_t model_reply_bytes;
static size_t model_bytes;
static unsigned char *model;

static size_t write_model_reply(char *reply, const char *status_line, const char *tag, size_t first,
                                size_t limit, size_t announced) {
    int head = sprintf(reply,
                       "HTTP/1.1 %s\r\nETag: \"%s\"\r\nTributary-Model-Version: 12\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       status_line, tag, announced);
    memcpy(reply + head, model + first, limit - first);
    return (size_t)head + limit - first;
}

static int set_up_model(void **state) {
    (void)state;
    model = small_version(trib_env_system(), 10, &model_bytes);
    model_reply_bytes =
        write_model_reply(model_reply, "200 OK", "feed", 0, model_bytes, model_bytes);
    return 0;
}

static int tear_down_model(void **state) {
    (void)state;
    trib_release(trib_env_system(), model, model_bytes, 1);
    return 0;
}

struct world {
    struct scripted server;
    struct trib_client *client;
    struct trib_client_task task;
    char text[256];
};

static enum trib_client_result open_client(struct world *world, double retry_for_s) {
    char link[128];
    snprintf(link, sizeof link, "trib://%s:%s/digits#join", world->server.host, world->server.port);
    const struct trib_client_options options = {
        .size = sizeof options, .link = link, .client = "dev-1", .retry_for_s = retry_for_s};
    return trib_client_open(&options, &world->client, world->text, sizeof world->text);
}

static void begin(struct world *world, const struct scripted_step *steps, size_t count) {
    memset(world, 0, sizeof *world);
    scripted_start(&world->server, steps, count);
    assert_int_equal(open_client(world, 20), TRIB_CLIENT_OK);
}

#define BEGIN(world, steps) begin(world, steps, sizeof(steps) / sizeof *(steps))

/* Until release the requests can be looked at. */
static void finish(struct world *world) {
    trib_client_close(world->client);
    scripted_finish(&world->server);
}

static void end(struct world *world) {
    finish(world);
    scripted_release(&world->server);
}

/* Ask for the task and train: every value of bias grows by 0.5, of weight by 1. */
static void train(struct world *world) {
    const struct trib_client_tensor *tensors;
    size_t count;
    assert_int_equal(trib_client_next(world->client, &world->task), TRIB_CLIENT_OK);
    assert_int_equal(trib_client_model(world->client, &world->task, &tensors, &count),
                     TRIB_CLIENT_OK);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++) {
        for (uint64_t k = 0; k < tensors[i].element_count; k++) {
            tensors[i].values[k] += i == 0 ? 0.5F : 1;
        }
    }
}

static void expect_update(const struct scripted_request *request) {
    float values[SMALL_VALUES];
    char names[64];
    assert_int_equal(small_version_read(request->body, request->body_bytes, values, names), 8);
    assert_string_equal(names, "bias,weight"); /* scale is frozen */
    for (int i = 0; i < 8; i++) {
        assert_true(values[i] == (i < 2 ? 0.5F : 1));
    }
}

static void a_whole_round(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        STEP_JOIN,
        STEP_TASK(TRAIN),
        STEP_MODEL,
        {.expected = UPDATE_LINE, .reply = scripted_json(200, NULL, RECEIPT)},
        STEP_TASK(STOP)};
    struct world world;
    BEGIN(&world, steps);
    train(&world);
    assert_int_equal(world.task.kind, TRIB_CLIENT_TRAIN);
    assert_string_equal(world.task.id, "12.0");
    assert_int_equal(world.task.version, 12);
    assert_int_equal(world.task.global_step, 12);
    assert_true(world.task.expected_by_s == 9);
    assert_true(trib_client_setting(&world.task, "lr", 7) == 0.25);
    assert_true(trib_client_setting(&world.task, "batch", 7) == 7);
    assert_true(trib_client_setting(&world.task, "frozen", 7) == 7);
    assert_int_equal(trib_client_submit(world.client, &world.task, 600, "{\"loss\":\n0.5}"),
                     TRIB_CLIENT_OK);
    assert_string_equal(trib_client_error(world.client), "");
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_STOPPED);
    assert_string_equal(trib_client_error(world.client), "20 versions");
    finish(&world);
    const struct scripted_request *requests = world.server.requests;
    assert_non_null(strstr(requests[0].head, "Authorization: Bearer join\r\n"));
    assert_non_null(strstr(requests[1].head, "Authorization: Bearer mine\r\n"));
    assert_non_null(strstr(requests[3].head, "Tributary-Base-Version: 12\r\n"));
    assert_non_null(strstr(requests[3].head, "Tributary-Examples: 600\r\n"));
    assert_non_null(strstr(requests[3].head, "Tributary-Metrics: {\"loss\": 0.5}\r\n"));
    assert_non_null(strstr(requests[3].head, "Content-Type: application/safetensors\r\n"));
    assert_int_equal(requests[4].connection, 1);
    scripted_release(&world.server);
}

static void an_update_is_repeated_to_the_letter(void **state) {
    (void)state;
    struct scripted_step steps[] = {
        STEP_JOIN,
        STEP_TASK(TRAIN),
        STEP_MODEL,
        {.expected = UPDATE_LINE, .is_cut = true},
        {.expected = UPDATE_LINE, .closes = true}, /* arrived, but the reply is lost */
        {.expected = UPDATE_LINE,
         .reply =
             scripted_json(503, "Retry-After: 1\r\n", "{\"code\":\"busy\",\"message\":\"full\"}")},
        {.expected = UPDATE_LINE, .reply = scripted_json(200, NULL, RECEIPT)}};
    struct world world;
    BEGIN(&world, steps);
    train(&world);
    assert_int_equal(trib_client_submit(world.client, &world.task, 600, NULL), TRIB_CLIENT_OK);
    finish(&world);
    const struct scripted_request *requests = world.server.requests;
    const int whole[] = {4, 5, 6};
    for (int i = 0; i < 3; i++) {
        expect_update(&requests[whole[i]]);
        assert_string_equal(requests[whole[i]].head, requests[3].head);
    }
    scripted_release(&world.server);
}

static void values_are_sent_from_where_they_lie(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        STEP_JOIN,
        STEP_TASK(TRAIN),
        STEP_MODEL,
        {.expected = UPDATE_LINE, .reply = scripted_json(200, NULL, RECEIPT)}};
    struct world world;
    float mine[2][6];
    BEGIN(&world, steps);
    assert_null(trib_client_keep(world.client));
    train(&world);
    struct trib_client_kept *kept = trib_client_keep(world.client);
    const struct trib_client_tensor *tensors;
    size_t count;
    assert_int_equal(trib_client_model(world.client, &world.task, &tensors, &count),
                     TRIB_CLIENT_OK);
    for (int k = 0; k < 6; k++) {
        mine[0][k] = k < 2 ? tensors[0].values[k] + 0.5F : 0;
        mine[1][k] = tensors[2].values[k] + 1;
    }
    const float *const values[] = {mine[0], NULL, mine[1]};
    assert_int_equal(trib_client_submit_values(world.client, &world.task, values, 600, NULL),
                     TRIB_CLIENT_OK);
    finish(&world);
    expect_update(&world.server.requests[3]);
    scripted_release(&world.server);
    trib_client_release(kept);
    trib_client_release(NULL);
}

static void a_value_that_is_not_finite_stays_at_home(void **state) {
    (void)state;
    const struct scripted_step steps[] = {STEP_JOIN, STEP_TASK(TRAIN), STEP_MODEL};
    struct world world;
    BEGIN(&world, steps);
    train(&world);
    const struct trib_client_tensor *tensors;
    size_t count;
    assert_int_equal(trib_client_model(world.client, &world.task, &tensors, &count),
                     TRIB_CLIENT_OK);
    tensors[2].values[3] = NAN;
    assert_int_equal(trib_client_submit(world.client, &world.task, 600, NULL), TRIB_CLIENT_INVALID);
    assert_string_equal(trib_client_error(world.client),
                        "tensor weight: value 3 is not a finite number");
    end(&world);
}

static void joining_may_wait_for_the_first_call(void **state) {
    (void)state;
    const struct scripted_step steps[] = {STEP_JOIN,
                                          STEP_TASK(TRAIN),
                                          {.expected = "POST /v1/runs/digits/task/renew ",
                                           .reply = "HTTP/1.1 204 No Content\r\n\r\n"},
                                          STEP_JOIN};
    struct world world = {.client = NULL};
    char link[64];
    scripted_start(&world.server, steps, 4);
    snprintf(link, sizeof link, "http://127.0.0.1:%s/digits", world.server.port);
    const struct trib_client_options options = {
        .size = sizeof options, .link = link, .client = "dev-1", .joins_later = 1};
    assert_int_equal(trib_client_open(&options, &world.client, NULL, 0), TRIB_CLIENT_OK);
    assert_true(trib_client_lease_s(world.client) == 0);
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_OK);
    assert_true(trib_client_lease_s(world.client) == 30);
    assert_int_equal(trib_client_renew(world.client, &world.task, 0.25), TRIB_CLIENT_OK);
    assert_int_equal(trib_client_renew(world.client, &world.task, 1.25), TRIB_CLIENT_INVALID);
    assert_int_equal(trib_client_join(world.client), TRIB_CLIENT_OK);
    finish(&world);
    assert_string_equal(world.server.requests[2].body, "{\"task\":\"12.0\",\"done\":0.250000}");
    scripted_release(&world.server);
}

static void retry_after_is_kept_to(void **state) {
    (void)state;
    const struct scripted_step steps[] = {STEP_JOIN,
                                          {.expected = "GET",
                                           .reply = scripted_json(503, "Retry-After: 1\r\n", "{}"),
                                           .closes = true},
                                          STEP_TASK(TRAIN)};
    struct world world;
    BEGIN(&world, steps);
    const struct trib_env *env = trib_env_system();
    trib_time_ns before = env->monotonic(env->context);
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_OK);
    assert_true(env->monotonic(env->context) - before >= TRIB_SECOND);
    end(&world);
}

static void the_version_held_is_not_fetched_again(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        STEP_JOIN,
        STEP_TASK(TRAIN),
        STEP_MODEL,
        {.expected = "POST /v1/runs/digits/task/decline ",
         .reply = "HTTP/1.1 204 No Content\r\n\r\n"},
        STEP_TASK(TRAIN),
        {.expected = UPDATE_LINE, .reply = scripted_json(200, NULL, RECEIPT)}};
    struct world world;
    BEGIN(&world, steps);
    train(&world);
    assert_int_equal(trib_client_decline(world.client, &world.task, "on battery"), TRIB_CLIENT_OK);
    train(&world); /* from the version again, not from what was trained already */
    assert_int_equal(trib_client_submit(world.client, &world.task, 600, NULL), TRIB_CLIENT_OK);
    finish(&world);
    assert_string_equal(world.server.requests[3].body,
                        "{\"task\":\"12.0\",\"reason\":\"on battery\"}");
    expect_update(&world.server.requests[5]);
    scripted_release(&world.server);
}

static void a_broken_download_goes_on_where_it_ended(void **state) {
    (void)state;
    static char half[4096];
    static char rest[4096];
    size_t half_bytes = write_model_reply(half, "200 OK", "feed", 0, 100, model_bytes);
    size_t rest_bytes =
        write_model_reply(rest, "206 Partial Content", "feed", 100, model_bytes, model_bytes - 100);
    const struct scripted_step steps[] = {
        STEP_JOIN,
        STEP_TASK(TRAIN),
        {.expected = "GET /v1/runs/digits/versions/12 ",
         .reply = half,
         .reply_bytes = half_bytes,
         .closes = true},
        {.expected = "GET /v1/runs/digits/versions/12 ", .reply = rest, .reply_bytes = rest_bytes},
        {.expected = UPDATE_LINE, .reply = scripted_json(200, NULL, RECEIPT)}};
    struct world world;
    BEGIN(&world, steps);
    train(&world);
    assert_int_equal(trib_client_submit(world.client, &world.task, 600, NULL), TRIB_CLIENT_OK);
    finish(&world);
    assert_null(strstr(world.server.requests[2].head, "Range"));
    assert_non_null(strstr(world.server.requests[3].head, "Range: bytes=100-\r\n"));
    expect_update(&world.server.requests[4]);
    scripted_release(&world.server);
}

#define LARGE_BYTES ((size_t)5 << 20)
#define HELD ((size_t)1 << 20)
#define UPDATE_GET "GET /v1/runs/digits/updates/dev-1.12.0 HTTP/1.1\r\n"

/* Bytes of an update that are all different from those beside them. */
static unsigned char *large_update(void) {
    unsigned char *bytes = malloc(LARGE_BYTES);
    assert_non_null(bytes);
    for (size_t i = 0; i < LARGE_BYTES; i++) {
        bytes[i] = (unsigned char)(i * 2654435761U >> 13);
    }
    return bytes;
}

static enum trib_client_result submit_large(struct world *world, const unsigned char *bytes,
                                            size_t count) {
    enum trib_client_fate fate;
    assert_int_equal(trib_client_next(world->client, &world->task), TRIB_CLIENT_OK);
    enum trib_client_result result = trib_client_submit_packed(
        world->client, &world->task, 600, "{\"loss\":0.5}", bytes, count, &fate);
    assert_int_equal(fate, TRIB_CLIENT_COUNTED);
    return result;
}

static void expect_rest(const struct scripted_request *request, const unsigned char *bytes,
                        size_t first, const char *range) {
    assert_true(range == NULL ? strstr(request->head, "Content-Range") == NULL
                              : strstr(request->head, range) != NULL);
    assert_non_null(strstr(request->head, "Tributary-Base-Version: 12\r\n"));
    assert_int_equal(request->body_bytes, LARGE_BYTES - first);
    assert_memory_equal(request->body, bytes + first, LARGE_BYTES - first);
}

static void a_broken_upload_goes_on_where_it_ended(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        STEP_JOIN,
        STEP_TASK(TRAIN),
        {.expected = UPDATE_LINE, .is_cut = true},
        {.expected = UPDATE_LINE, .is_cut = true}, /* the kept connection's silent repeat */
        {.expected = UPDATE_LINE, .is_cut = true},
        {.expected = UPDATE_GET,
         .reply = scripted_json(200, NULL, "{\"fate\":\"receiving\",\"next\":1048576}")},
        {.expected = UPDATE_LINE, .reply = scripted_json(200, NULL, RECEIPT)}};
    struct world world;
    unsigned char *bytes = large_update();
    BEGIN(&world, steps);
    assert_int_equal(submit_large(&world, bytes, LARGE_BYTES), TRIB_CLIENT_OK);
    finish(&world);
    const struct scripted_request *requests = world.server.requests;
    assert_null(strstr(requests[2].head, "Content-Range"));
    assert_non_null(strstr(requests[4].head, "Content-Range: bytes 0-5242879/5242880\r\n"));
    expect_rest(&requests[6], bytes, HELD, "Content-Range: bytes 1048576-5242879/5242880\r\n");
    scripted_release(&world.server);
    free(bytes);
}

/* Whatever the daemon says about what it holds, in the end the whole is sent as it is. */
static void a_daemon_at_odds_about_parts_gets_the_whole(void **state) {
    (void)state;
    static const char *const answers[] = {"{\"fate\":\"spooled\"}",
                                          "{\"fate\":\"receiving\",\"next\":1000}",
                                          "{\"fate\":\"receiving\",\"next\":5242880}", "nonsense"};
    unsigned char *bytes = large_update();
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const struct scripted_step steps[] = {
            STEP_JOIN,
            STEP_TASK(TRAIN),
            {.expected = UPDATE_LINE, .is_cut = true},
            {.expected = UPDATE_LINE, .is_cut = true},
            {.expected = UPDATE_LINE, .is_cut = true},
            {.expected = UPDATE_GET, .reply = scripted_json(200, NULL, answers[i])},
            {.expected = UPDATE_LINE, .reply = scripted_json(200, NULL, RECEIPT)}};
        struct world world;
        BEGIN(&world, steps);
        assert_int_equal(submit_large(&world, bytes, LARGE_BYTES), TRIB_CLIENT_OK);
        finish(&world);
        expect_rest(&world.server.requests[6], bytes, 0, NULL);
        scripted_release(&world.server);
    }
    const struct scripted_step steps[] = {
        STEP_JOIN,
        STEP_TASK(TRAIN),
        {.expected = UPDATE_LINE, .is_cut = true},
        {.expected = UPDATE_LINE, .is_cut = true},
        {.expected = UPDATE_LINE,
         .reply = scripted_json(409, NULL, "{\"code\":\"conflict\",\"message\":\"held\"}")},
        {.expected = UPDATE_GET, .reply = scripted_json(404, NULL, "{\"code\":\"not_found\"}")},
        {.expected = UPDATE_LINE,
         .reply = scripted_json(409, NULL, "{\"code\":\"conflict\",\"message\":\"held\"}")},
        {.expected = UPDATE_LINE, .reply = scripted_json(200, NULL, RECEIPT)}};
    struct world world;
    BEGIN(&world, steps);
    assert_int_equal(submit_large(&world, bytes, LARGE_BYTES), TRIB_CLIENT_OK);
    finish(&world);
    expect_rest(&world.server.requests[7], bytes, 0, NULL);
    scripted_release(&world.server);
    free(bytes);
}

static void a_daemon_without_ranges_starts_over(void **state) {
    (void)state;
    static char half[4096];
    size_t half_bytes = write_model_reply(half, "200 OK", "feed", 0, 100, model_bytes);
    const struct scripted_step steps[] = {
        STEP_JOIN,
        STEP_TASK(TRAIN),
        {.expected = "GET", .reply = half, .reply_bytes = half_bytes, .closes = true},
        STEP_MODEL};
    struct world world;
    BEGIN(&world, steps);
    train(&world);
    end(&world);
}

static void another_model_than_the_task_names_is_not_trained(void **state) {
    (void)state;
    static char other[4096];
    size_t other_bytes = write_model_reply(other, "200 OK", "f00d", 0, model_bytes, model_bytes);
    const struct scripted_step steps[] = {
        STEP_JOIN,
        STEP_TASK(TRAIN),
        {.expected = "GET", .reply = other, .reply_bytes = other_bytes}};
    struct world world;
    const struct trib_client_tensor *tensors;
    size_t count;
    BEGIN(&world, steps);
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_OK);
    assert_int_equal(trib_client_model(world.client, &world.task, &tensors, &count),
                     TRIB_CLIENT_INVALID);
    assert_null(tensors);
    assert_string_equal(trib_client_error(world.client),
                        "version 12 of the daemon is not the one of the task");
    end(&world);
}

static void a_pruned_version_is_a_refusal(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        STEP_JOIN,
        STEP_TASK(TRAIN),
        {.expected = "GET",
         .reply =
             scripted_json(410, NULL, "{\"code\":\"pruned\",\"message\":\"version 12 is gone\"}")},
        STEP_TASK(TRAIN)};
    struct world world;
    const struct trib_client_tensor *tensors;
    size_t count;
    BEGIN(&world, steps);
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_OK);
    assert_int_equal(trib_client_model(world.client, &world.task, &tensors, &count),
                     TRIB_CLIENT_REFUSED);
    assert_string_equal(trib_client_error(world.client), "version 12 is gone (410 pruned)");
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_OK);
    end(&world);
}

static void refused_and_overtaken_updates_are_told_apart(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        STEP_JOIN,
        STEP_TASK(TRAIN),
        STEP_MODEL,
        {.expected = UPDATE_LINE,
         .reply = scripted_json(422, NULL, "{\"code\":\"nonfinite\",\"message\":\"NaN\"}")},
        {.expected = UPDATE_LINE,
         .reply = scripted_json(409, NULL, "{\"code\":\"stale\",\"message\":\"too old\"}")}};
    struct world world;
    BEGIN(&world, steps);
    train(&world);
    assert_int_equal(trib_client_submit(world.client, &world.task, 1, NULL), TRIB_CLIENT_REFUSED);
    assert_string_equal(trib_client_error(world.client), "NaN (422 nonfinite)");
    assert_int_equal(trib_client_submit(world.client, &world.task, 1, NULL), TRIB_CLIENT_OK);
    end(&world);
}

static void evaluations_are_reported(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        STEP_JOIN,
        STEP_TASK(EVALUATE),
        STEP_MODEL,
        {.expected = EVALUATION_LINE, .reply = scripted_json(200, NULL, "{\"version\":12}")}};
    struct world world;
    const struct trib_client_tensor *tensors;
    size_t count;
    BEGIN(&world, steps);
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_OK);
    assert_int_equal(world.task.kind, TRIB_CLIENT_EVALUATE);
    assert_int_equal(trib_client_model(world.client, &world.task, &tensors, &count),
                     TRIB_CLIENT_OK);
    assert_int_equal(trib_client_submit(world.client, &world.task, 1, NULL), TRIB_CLIENT_INVALID);
    assert_int_equal(trib_client_report(world.client, &world.task, 1, NULL), TRIB_CLIENT_INVALID);
    assert_int_equal(trib_client_report(world.client, &world.task, 360, "{\"accuracy\":0.95}"),
                     TRIB_CLIENT_OK);
    finish(&world);
    assert_string_equal(world.server.requests[3].body,
                        "{\"version\":12,\"examples\":360,\"metrics\":{\"accuracy\":0.95}}");
    scripted_release(&world.server);
}

static void arguments_are_checked_before_anything_is_sent(void **state) {
    (void)state;
    static char long_metrics[1200];
    memset(long_metrics, ' ', sizeof long_metrics - 1);
    memcpy(long_metrics, "{}", 2);
    const struct scripted_step steps[] = {STEP_JOIN, STEP_TASK(TRAIN), STEP_MODEL};
    struct world world;
    BEGIN(&world, steps);
    assert_int_equal(trib_client_submit(world.client, &world.task, 1, NULL), TRIB_CLIENT_INVALID);
    train(&world);
    struct trib_client_task other = world.task;
    other.version = 13;
    assert_int_equal(trib_client_submit(world.client, &other, 1, NULL), TRIB_CLIENT_INVALID);
    other = world.task;
    strcpy(other.id, "a/b");
    assert_int_equal(trib_client_submit(world.client, &other, 1, NULL), TRIB_CLIENT_INVALID);
    assert_int_equal(trib_client_decline(world.client, &other, NULL), TRIB_CLIENT_INVALID);
    assert_int_equal(trib_client_submit(world.client, &world.task, 0, NULL), TRIB_CLIENT_INVALID);
    assert_int_equal(trib_client_submit(world.client, &world.task, (UINT64_C(1) << 53) + 1, NULL),
                     TRIB_CLIENT_INVALID);
    assert_int_equal(trib_client_submit(world.client, &world.task, 1, "0.3"), TRIB_CLIENT_INVALID);
    assert_int_equal(trib_client_submit(world.client, &world.task, 1, long_metrics),
                     TRIB_CLIENT_INVALID);
    assert_string_equal(trib_client_error(world.client),
                        "metrics are no JSON object of at most 1 KiB");
    end(&world);
}

static void options_are_checked(void **state) {
    (void)state;
    static const struct trib_client_options wrong[] = {
        {.size = 0, .link = "trib://127.0.0.1:1/r", .client = "a"},
        {.size = sizeof wrong[0], .client = "a"},
        {.size = sizeof wrong[0], .link = "trib://127.0.0.1:1/r"},
        {.size = sizeof wrong[0], .link = "trib://127.0.0.1:1/r", .client = "-a"},
        {.size = sizeof wrong[0], .link = "127.0.0.1:1/r", .client = "a"},
        {.size = sizeof wrong[0], .link = "trib://far.example:1/r", .client = "a"},
        {.size = sizeof wrong[0], .link = "https://127.0.0.1:1/r", .client = "a"},
        {.size = sizeof wrong[0], .link = "trib://127.0.0.1:1/r", .client = "a", .role = "boss"},
        {.size = sizeof wrong[0],
         .link = "trib://127.0.0.1:1/r",
         .client = "a",
         .attributes = "[]"},
        {.size = sizeof wrong[0], .link = "trib://127.0.0.1:1/r", .client = "a", .retry_for_s = -1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct trib_client *client = (struct trib_client *)&client;
        char text[128] = "";
        assert_int_equal(trib_client_open(&wrong[i], &client, text, sizeof text),
                         TRIB_CLIENT_INVALID);
        assert_null(client);
        assert_true(text[0] != '\0');
        assert_int_equal(trib_client_open(&wrong[i], &client, NULL, 0), TRIB_CLIENT_INVALID);
    }
    trib_client_close(NULL);
}

static void a_link_tells_its_pin(void **state) {
    (void)state;
    char pin[65];
    char link[128];
    snprintf(link, sizeof link, "trib://127.0.0.1:1/r?pin=sha256:%064d#t", 7);
    assert_int_equal(trib_client_pin(link, pin), TRIB_CLIENT_OK);
    assert_int_equal(strlen(pin), 64);
    assert_string_equal(pin + 60, "0007");
    assert_int_equal(trib_client_pin("trib://127.0.0.1:1/r#t", pin), TRIB_CLIENT_OK);
    assert_string_equal(pin, "");
    assert_int_equal(trib_client_pin("trib://127.0.0.1", pin), TRIB_CLIENT_INVALID);
    assert_int_equal(trib_client_pin(NULL, pin), TRIB_CLIENT_INVALID);
}

/* Plain sockets, over which `allowed` connections can be made before the way is closed. */
struct turnstile {
    int allowed;
    int refused;
};

static int pass_turnstile(void *context, const char *host, const char *port, void **connection,
                          char *text, size_t text_room) {
    struct turnstile *turnstile = context;
    const struct trib_transport *plain = trib_socket_transport();
    if (turnstile->allowed-- > 0) {
        return plain->connect(plain->context, host, port, connection, text, text_room);
    }
    turnstile->refused++;
    snprintf(text, text_room, "not on the list");
    return TRIB_CONNECT_REFUSED;
}

static long read_plainly(void *context, void *connection, void *bytes, size_t count) {
    (void)context;
    const struct trib_transport *plain = trib_socket_transport();
    return plain->read(plain->context, connection, bytes, count);
}

static long write_plainly(void *context, void *connection, const void *bytes, size_t count) {
    (void)context;
    const struct trib_transport *plain = trib_socket_transport();
    return plain->write(plain->context, connection, bytes, count);
}

static void close_plainly(void *context, void *connection) {
    (void)context;
    const struct trib_transport *plain = trib_socket_transport();
    plain->close(plain->context, connection);
}

static void who_is_refused_at_the_start_does_not_try_again_but_later_does(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        {"PUT ", scripted_json(200, "Connection: close\r\n", JOINED), .closes = true}};
    struct world world = {.client = NULL};
    struct turnstile turnstile = {.allowed = 0};
    const struct trib_transport transport = {.context = &turnstile,
                                             .connect = pass_turnstile,
                                             .read = read_plainly,
                                             .write = write_plainly,
                                             .close = close_plainly};
    char link[64];
    scripted_start(&world.server, steps, 1);
    snprintf(link, sizeof link, "http://127.0.0.1:%s/digits", world.server.port);
    const struct trib_client_options options = {.size = sizeof options,
                                                .link = link,
                                                .client = "dev-1",
                                                .retry_for_s = 0.5,
                                                .transport = &transport};
    assert_int_equal(trib_client_open(&options, &world.client, world.text, sizeof world.text),
                     TRIB_CLIENT_REFUSED);
    assert_non_null(strstr(world.text, "not on the list"));
    assert_int_equal(turnstile.refused, 1);
    turnstile = (struct turnstile){.allowed = 1};
    assert_int_equal(trib_client_open(&options, &world.client, NULL, 0), TRIB_CLIENT_OK);
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_UNREACHABLE);
    assert_true(turnstile.refused > 1);
    finish(&world);
    scripted_release(&world.server);
}

static void older_options_are_enough(void **state) {
    (void)state;
    const struct scripted_step steps[] = {STEP_JOIN};
    struct world world = {.client = NULL};
    char link[64];
    scripted_start(&world.server, steps, 1);
    snprintf(link, sizeof link, "http://127.0.0.1:%s/digits", world.server.port);
    const struct trib_client_options options = {.size = offsetof(struct trib_client_options, role),
                                                .link = link,
                                                .client = "dev-1",
                                                .role = "not read"};
    assert_int_equal(trib_client_open(&options, &world.client, NULL, 0), TRIB_CLIENT_OK);
    finish(&world);
    assert_string_equal(world.server.requests[0].body, "{\"role\":\"trainer\"}");
    assert_null(strstr(world.server.requests[0].head, "Authorization"));
    scripted_release(&world.server);
}

static void nobody_there_is_unreachable(void **state) {
    (void)state;
    struct world world = {.server = {.host = "127.0.0.1"}};
    scripted_free_port(world.server.port);
    assert_int_equal(open_client(&world, 0.2), TRIB_CLIENT_UNREACHABLE);
    assert_null(world.client);
    assert_non_null(strstr(world.text, "Connection refused"));
}

static void a_refused_join_says_why(void **state) {
    (void)state;
    const struct scripted_step step = {
        .expected = "PUT",
        .reply = scripted_json(
            403, NULL, "{\"code\":\"forbidden\",\"message\":\"this needs the run's join token\"}")};
    struct world world = {.client = NULL};
    scripted_start(&world.server, &step, 1);
    assert_int_equal(open_client(&world, 5), TRIB_CLIENT_REFUSED);
    assert_string_equal(world.text, "this needs the run's join token (403 forbidden)");
    end(&world);
}

static void *interrupt_later(void *context) {
    usleep(50000);
    trib_client_interrupt(context);
    return NULL;
}

static void a_long_poll_can_be_interrupted(void **state) {
    (void)state;
    const struct scripted_step steps[] = {
        STEP_JOIN, {.expected = "GET", .holds = true}, STEP_TASK(STOP)};
    struct world world;
    pthread_t thread;
    BEGIN(&world, steps);
    const struct trib_env *env = trib_env_system();
    trib_time_ns before = env->monotonic(env->context);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_later, world.client), 0);
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_INTERRUPTED);
    assert_true(env->monotonic(env->context) - before < 10 * TRIB_SECOND);
    pthread_join(thread, NULL);
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_STOPPED);
    end(&world);
}

static void a_pause_can_be_interrupted(void **state) {
    (void)state;
    const struct scripted_step steps[] = {STEP_JOIN,
                                          STEP_TASK("{\"kind\":\"wait\",\"after_s\":600}")};
    struct world world;
    pthread_t thread;
    BEGIN(&world, steps);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_later, world.client), 0);
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_INTERRUPTED);
    pthread_join(thread, NULL);
    end(&world);
}

static void an_interrupt_between_calls_ends_the_next(void **state) {
    (void)state;
    const struct scripted_step steps[] = {STEP_JOIN, STEP_TASK(STOP)};
    struct world world;
    BEGIN(&world, steps);
    trib_client_interrupt(world.client);
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_INTERRUPTED);
    assert_int_equal(trib_client_next(world.client, &world.task), TRIB_CLIENT_STOPPED);
    end(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_round),
        cmocka_unit_test(an_update_is_repeated_to_the_letter),
        cmocka_unit_test(values_are_sent_from_where_they_lie),
        cmocka_unit_test(a_value_that_is_not_finite_stays_at_home),
        cmocka_unit_test(joining_may_wait_for_the_first_call),
        cmocka_unit_test(retry_after_is_kept_to),
        cmocka_unit_test(the_version_held_is_not_fetched_again),
        cmocka_unit_test(a_broken_download_goes_on_where_it_ended),
        cmocka_unit_test(a_broken_upload_goes_on_where_it_ended),
        cmocka_unit_test(a_daemon_at_odds_about_parts_gets_the_whole),
        cmocka_unit_test(a_daemon_without_ranges_starts_over),
        cmocka_unit_test(another_model_than_the_task_names_is_not_trained),
        cmocka_unit_test(a_pruned_version_is_a_refusal),
        cmocka_unit_test(refused_and_overtaken_updates_are_told_apart),
        cmocka_unit_test(evaluations_are_reported),
        cmocka_unit_test(arguments_are_checked_before_anything_is_sent),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(older_options_are_enough),
        cmocka_unit_test(nobody_there_is_unreachable),
        cmocka_unit_test(a_refused_join_says_why),
        cmocka_unit_test(a_link_tells_its_pin),
        cmocka_unit_test(who_is_refused_at_the_start_does_not_try_again_but_later_does),
        cmocka_unit_test(a_long_poll_can_be_interrupted),
        cmocka_unit_test(a_pause_can_be_interrupted),
        cmocka_unit_test(an_interrupt_between_calls_ends_the_next),
    };
    return cmocka_run_group_tests(tests, set_up_model, tear_down_model);
}
