/* test_work_pipe.c - clients in another program: what it is asked, what its answers become, and that
 * everything that is no answer ends the simulation in words. */
#include "sim/work_pipe.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/model.h"
#include "sim/fleet.h"
#include "support/check.h"
#include "support/env_faulty.h"
#include "tensor/safetensors.h"
#include "wire/documents.h"

#define HELLO "{\"evaluates\":true}\n"
#define COMBINES "{\"evaluates\":false,\"combines\":true}\n"
#define ELEMENTS 3
#define BYTES_MAX 8192

/* --- the other program, which has said everything beforehand ------------------------------------ */

/* Both pipes hold all that is said in a test, so nobody has to answer while it runs. */
struct peer {
    struct trib_spec *spec;
    struct trib_layout *layout;
    struct trib_block *model; /* frozen [1], weight [3] */
    int says, hears;          /* its ends */
    struct trib_work_pipe_options options;
    struct trib_work_pipe *pipe;
    struct trib_error error;
};

static struct trib_block *block_of(const struct trib_tensor *tensors, size_t count,
                                   const float *values) {
    struct trib_layout *layout;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), tensors, count, &layout, NULL),
                     TRIB_OK);
    struct trib_block *block = trib_safetensors_block(trib_env_system(), layout);
    memcpy(block->bytes + layout->data_offset, values, layout->data_bytes);
    trib_layout_free(layout);
    trib_block_seal(block);
    return block;
}

static struct trib_block *make_model(void) {
    const struct trib_tensor tensors[] = {
        {.name = "frozen", .dtype = TRIB_F32, .rank = 1, .shape = {1}},
        {.name = "weight", .dtype = TRIB_F32, .rank = 1, .shape = {ELEMENTS}},
    };
    return block_of(tensors, 2, (const float[]){7, 1, 2, 3});
}

static struct trib_spec *make_spec(const char *combiner) {
    struct trib_spec *spec;
    struct trib_error error = {0};
    json_t *document =
        json_pack("{s:s, s:{s:[{s:s, s:s}]}, s:{s:s, s:i, s:i, s:s}, s:{s:f}, s:{s:i}, s:{s:i}}",
                  "name", "piped", "model", "tensors", "match", "frozen", "role", "freeze",
                  "strategy", "preset", "fedbuff", "goal", 1, "concurrency", 1, "combiner",
                  combiner, "train", "lr", 0.5, "stop", "versions", 2, "evaluate", "every", 1);
    if (trib_spec_parse(trib_env_system(), document, &spec, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    json_decref(document);
    return spec;
}

static void say(const struct peer *peer, const void *bytes, size_t byte_count) {
    assert_int_equal(write(peer->says, bytes, byte_count), byte_count);
}

static void say_line(const struct peer *peer, const char *line) {
    say(peer, line, strlen(line));
}

static struct trib_block *weight_of(uint64_t element_count, const float *values) {
    const struct trib_tensor tensor = {
        .name = "weight", .dtype = TRIB_F32, .rank = 1, .shape = {element_count}};
    return block_of(&tensor, 1, values);
}

/* format  of the line, with a %zu for the bytes that follow it */
static void say_body(const struct peer *peer, const char *format, uint64_t element_count,
                     const float *values) {
    struct trib_block *body = weight_of(element_count, values);
    char line[96];
    (void)snprintf(line, sizeof line, format, body->byte_count);
    say_line(peer, line);
    say(peer, body->bytes, body->byte_count);
    trib_block_unref(body);
}

#define say_update(peer, element_count, values)                                                    \
    say_body(peer, "{\"examples\":40,\"metrics\":{\"loss\":0.25},\"bytes\":%zu}\n", element_count, \
             values)
#define say_delta(peer, element_count, values) \
    say_body(peer, "{\"bytes\":%zu}\n", element_count, values)

/* Ends after `hello` and whatever the test says before meet(). */
static struct peer begin_with(const char *hello, const char *combiner) {
    int answers[2], questions[2];
    assert_int_equal(pipe(answers), 0);
    assert_int_equal(pipe(questions), 0);
    struct peer peer = {.spec = make_spec(combiner),
                        .model = make_model(),
                        .says = answers[1],
                        .hears = questions[0]};
    assert_int_equal(
        trib_model_read_layout(trib_env_system(), peer.spec, peer.model, &peer.layout, &peer.error),
        TRIB_OK);
    peer.options = (struct trib_work_pipe_options){.input = answers[0],
                                                   .output = questions[1],
                                                   .layout = peer.layout,
                                                   .settings = peer.spec->train};
    say_line(&peer, hello);
    return peer;
}

static struct peer begin(const char *hello) {
    return begin_with(hello, "sum");
}

static enum trib_status meet(struct peer *peer) {
    return trib_work_pipe_new(trib_env_system(), &peer->options, &peer->pipe, &peer->error);
}

static void end(struct peer *peer) {
    trib_work_pipe_free(peer->pipe);
    if (peer->says >= 0) {
        (void)close(peer->says);
    }
    if (peer->hears >= 0) {
        (void)close(peer->hears);
    }
    trib_layout_free(peer->layout);
    trib_block_unref(peer->model);
    trib_spec_free(peer->spec);
}

static enum trib_status train(struct peer *peer, struct trib_work_trained *result) {
    const struct trib_work work = trib_work_pipe_table(peer->pipe);
    const struct trib_work_task task = {.client = 17, .name = "c17", .version = 3, .steps = 8};
    const float *base = (const float *)(peer->model->bytes + peer->layout->data_offset);
    float trained[1 + ELEMENTS];
    return work.train(work.context, 0, &task, base, trained, result, &peer->error);
}

/* A run of one client that trains at the peer. */
static enum trib_status run_fleet(struct peer *peer, struct trib_block **last) {
    struct trib_population population;
    const struct trib_population_texts texts = {.clients = "1"};
    const struct trib_work work = trib_work_pipe_table(peer->pipe);
    assert_int_equal(trib_population_parse(&population, trib_env_system(), &texts, &peer->error),
                     TRIB_OK);
    const struct trib_fleet_options options = {.spec = peer->spec,
                                               .population = &population,
                                               .model = peer->model,
                                               .work = &work,
                                               .threads = 1,
                                               .last = last};
    struct trib_fleet_report report;
    enum trib_status status = trib_fleet_run(trib_env_system(), &options, &report, &peer->error);
    trib_population_deinit(&population);
    return status;
}

/* --- rules -------------------------------------------------------------------------------------- */

static void a_task_is_a_line_and_the_version(void **state) {
    (void)state;
    struct peer peer = begin(HELLO);
    struct trib_work_trained result;
    char heard[BYTES_MAX], line[BYTES_MAX];
    assert_int_equal(meet(&peer), TRIB_OK);
    say_update(&peer, ELEMENTS, ((const float[]){0.5F, 0, -1}));
    assert_int_equal(train(&peer, &result), TRIB_OK);
    (void)snprintf(line, sizeof line,
                   "{\"kind\":\"train\",\"client\":17,\"name\":\"c17\",\"version\":3,\"settings\":{"
                   "\"lr\":0.5,\"frozen\":[\"frozen\"],\"steps\":8},\"model_bytes\":%zu}\n",
                   peer.model->byte_count);
    ssize_t count = read(peer.hears, heard, sizeof heard);
    assert_int_equal(count, strlen(line) + peer.model->byte_count);
    assert_memory_equal(heard, line, strlen(line));
    assert_memory_equal(heard + strlen(line), peer.model->bytes, peer.model->byte_count);
    assert_int_equal(result.examples, 40);
    assert_true(result.loss == 0.25);
    assert_true(trib_block_is_sealed(result.body));
    trib_block_unref(result.body);
    end(&peer);
}

static void an_evaluation_is_metrics(void **state) {
    (void)state;
    struct peer peer = begin(HELLO "{\"examples\":4,\"metrics\":{\"accuracy\":0.75}}\n"
                                   "{\"examples\":4,\"bytes\":1}\n");
    assert_int_equal(meet(&peer), TRIB_OK);
    const struct trib_work work = trib_work_pipe_table(peer.pipe);
    struct trib_work_score score;
    const float values[1 + ELEMENTS] = {0};
    assert_int_equal(work.evaluate_parts, 1);
    assert_int_equal(work.evaluate(work.context, 0, 0, values, &score, &peer.error), TRIB_OK);
    assert_int_equal(score.examples, 4);
    assert_true(score.correct == 3.0);
    assert_true(isnan(score.loss));
    assert_int_equal(work.evaluate(work.context, 0, 0, values, &score, &peer.error), TRIB_ECLOSED);
    end(&peer);
    peer = begin("{\"evaluates\":false}\n");
    assert_int_equal(meet(&peer), TRIB_OK);
    assert_null(trib_work_pipe_table(peer.pipe).evaluate);
    end(&peer);
}

/* Updates of one client with goal 1 are added as they are, frozen tensors stay. */
static void a_fleet_makes_versions_of_the_answers(void **state) {
    (void)state;
    struct peer peer = begin("{\"evaluates\":false}\n");
    struct trib_block *last;
    assert_int_equal(meet(&peer), TRIB_OK);
    say_update(&peer, ELEMENTS, ((const float[]){0.5F, 0, -1}));
    say_update(&peer, ELEMENTS, ((const float[]){0.25F, 8, 0}));
    assert_int_equal(run_fleet(&peer, &last), TRIB_OK);
    const float *values = (const float *)(last->bytes + peer.layout->data_offset);
    const float expected[1 + ELEMENTS] = {7, 1.75F, 10, 2};
    assert_memory_equal(values, expected, sizeof expected);
    trib_block_unref(last);
    end(&peer);
}

static void what_the_codec_refuses_ends_the_simulation(void **state) {
    (void)state;
    static const struct {
        uint64_t element_count;
        float first;
        const char *words;
    } cases[] = {
        {ELEMENTS - 1, 0, "client 0 on version 0: "},
        {ELEMENTS, NAN, "client 0 on version 0: "},
        {ELEMENTS, INFINITY, "client 0 on version 0: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct peer peer = begin("{\"evaluates\":false}\n");
        struct trib_block *last;
        assert_int_equal(meet(&peer), TRIB_OK);
        say_update(&peer, cases[i].element_count, ((const float[]){cases[i].first, 0, 0}));
        assert_int_equal(run_fleet(&peer, &last), TRIB_ECLOSED);
        assert_null(last);
        assert_ptr_equal(strstr(peer.error.text, cases[i].words), peer.error.text);
        assert_non_null(strstr(peer.error.text, "weight"));
        end(&peer);
    }
}

static void updates_to_combine_are_a_line_and_their_bodies(void **state) {
    (void)state;
    struct peer peer = begin_with(COMBINES, "external");
    struct trib_block *bodies[] = {weight_of(ELEMENTS, (const float[]){1, 2, 3}),
                                   weight_of(ELEMENTS, (const float[]){4, 5, 6})};
    const size_t byte_count = bodies[0]->byte_count;
    const struct trib_work_offered updates[] = {{"c17", 40, 41, bodies[0]},
                                                {"c2", 30, 30, bodies[1]}};
    struct trib_block *delta;
    char heard[BYTES_MAX], line[BYTES_MAX];
    assert_int_equal(meet(&peer), TRIB_OK);
    say_delta(&peer, ELEMENTS, ((const float[]){7, 8, 9}));
    const struct trib_work work = trib_work_pipe_table(peer.pipe);
    assert_int_equal(work.combine(work.context, 4, updates, 2, &delta, &peer.error), TRIB_OK);
    (void)snprintf(
        line, sizeof line,
        "{\"kind\":\"combine\",\"version\":4,\"updates\":[{\"client\":\"c17\",\"weight\":"
        "40,\"examples\":41,\"bytes\":%zu},{\"client\":\"c2\",\"weight\":30,\"examples\":30,"
        "\"bytes\":%zu}]}\n",
        byte_count, byte_count);
    ssize_t count = read(peer.hears, heard, sizeof heard);
    assert_int_equal(count, strlen(line) + 2 * byte_count);
    assert_memory_equal(heard, line, strlen(line));
    for (size_t i = 0; i < 2; i++) {
        assert_memory_equal(heard + strlen(line) + i * byte_count, bodies[i]->bytes, byte_count);
        trib_block_unref(bodies[i]);
    }
    bodies[0] = weight_of(ELEMENTS, (const float[]){7, 8, 9});
    assert_int_equal(delta->byte_count, byte_count);
    assert_memory_equal(delta->bytes, bodies[0]->bytes, byte_count);
    trib_block_unref(bodies[0]);
    trib_block_unref(delta);
    end(&peer);
}

/* What is combined is added as it is, not what the client has sent. */
static void a_fleet_makes_versions_of_what_is_combined(void **state) {
    (void)state;
    struct peer peer = begin_with(COMBINES, "external");
    struct trib_block *last;
    assert_int_equal(meet(&peer), TRIB_OK);
    for (int version = 1; version <= 2; version++) {
        say_update(&peer, ELEMENTS, ((const float[]){0.5F, 0, -1}));
        say_delta(&peer, ELEMENTS, ((const float[]){8, 0, 1e-6F}));
    }
    assert_int_equal(run_fleet(&peer, &last), TRIB_OK);
    const float *values = (const float *)(last->bytes + peer.layout->data_offset);
    const float expected[1 + ELEMENTS] = {7, 17, 2, 3.0F + 1e-6F + 1e-6F};
    assert_memory_equal(values, expected, sizeof expected);
    trib_block_unref(last);
    end(&peer);
}

static void what_is_combined_is_checked_like_an_update(void **state) {
    (void)state;
    static const struct {
        uint64_t element_count;
        float first;
    } cases[] = {{ELEMENTS - 1, 0}, {ELEMENTS, NAN}, {ELEMENTS, 1e9F}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct peer peer = begin_with(COMBINES, "external");
        struct trib_block *last;
        assert_int_equal(meet(&peer), TRIB_OK);
        say_update(&peer, ELEMENTS, ((const float[]){0.5F, 0, -1}));
        say_delta(&peer, cases[i].element_count, ((const float[]){cases[i].first, 0, 0}));
        assert_int_equal(run_fleet(&peer, &last), TRIB_ECLOSED);
        assert_null(last);
        assert_ptr_equal(strstr(peer.error.text, "what version 1 is made of: "), peer.error.text);
        assert_non_null(strstr(peer.error.text, "weight"));
        end(&peer);
    }
}

static void whoever_combines_must_be_there_and_be_wanted(void **state) {
    (void)state;
    struct trib_block *last;
    struct peer peer = begin_with(HELLO, "external");
    assert_int_equal(meet(&peer), TRIB_OK);
    assert_int_equal(run_fleet(&peer, &last), TRIB_EINVALID);
    assert_non_null(strstr(peer.error.text, "strategy.combiner: external, and nobody combines"));
    end(&peer);
    peer = begin_with(COMBINES, "sum");
    assert_int_equal(meet(&peer), TRIB_OK);
    assert_int_equal(run_fleet(&peer, &last), TRIB_EINVALID);
    assert_non_null(strstr(peer.error.text, "strategy.combiner: sum leaves nothing"));
    end(&peer);
}

static void what_is_no_answer_is_said(void **state) {
    (void)state;
    static const struct {
        const char *answer, *words;
    } cases[] = {
        {"{\"error\":\"no data for client 17\"}\n", "no data for client 17"},
        {"rubbish\n", "the answer is no JSON object"},
        {"[1]\n", "the answer is no JSON object"},
        {"{\"examples\":1,\"bytes\":0}", "the program that trains is gone"},
        {"{\"examples\":1,\"bytes\":9}\n12345678", "the program that trains is gone"},
        {"", "the program that trains is gone"},
        {"{\"bytes\":0}\n", "the answer's examples must be"},
        {"{\"examples\":0,\"bytes\":0}\n", "the answer's examples must be"},
        {"{\"examples\":1.5,\"bytes\":0}\n", "the answer's examples must be"},
        {"{\"examples\":9007199254740993,\"bytes\":0}\n", "the answer's examples must be"},
        {"{\"examples\":1,\"bytes\":-1}\n", "the answer's bytes must be"},
        {"{\"examples\":1,\"bytes\":1000000000000}\n", "the answer's bytes must be"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct peer peer = begin(HELLO);
        struct trib_work_trained result;
        assert_int_equal(meet(&peer), TRIB_OK);
        say_line(&peer, cases[i].answer);
        (void)close(peer.says);
        peer.says = -1;
        assert_int_equal(train(&peer, &result), TRIB_ECLOSED);
        if (strstr(peer.error.text, cases[i].words) == NULL) {
            fail_msg("case %zu: %s", i, peer.error.text);
        }
        end(&peer);
    }
}

static void a_line_has_a_limit(void **state) {
    (void)state;
    struct peer peer = begin(HELLO);
    struct trib_work_trained result;
    char blanks[4096];
    assert_int_equal(meet(&peer), TRIB_OK);
    memset(blanks, ' ', sizeof blanks);
    for (int i = 0; i < 16; i++) { /* as many as a pipe holds, and no end of the line */
        say(&peer, blanks, sizeof blanks);
    }
    assert_int_equal(train(&peer, &result), TRIB_ECLOSED);
    assert_non_null(strstr(peer.error.text, "no line of up to"));
    end(&peer);
}

static void a_peer_that_hears_nothing_is_gone(void **state) {
    (void)state;
    struct peer peer = begin(HELLO);
    struct trib_work_trained result;
    assert_int_equal(meet(&peer), TRIB_OK);
    (void)close(peer.hears);
    peer.hears = -1;
    assert_int_equal(train(&peer, &result), TRIB_ECLOSED);
    assert_string_equal(peer.error.text, "the program that trains is gone");
    end(&peer);
}

static void the_first_line_must_be_a_greeting(void **state) {
    (void)state;
    const char *const lines[] = {"{}\n", "{\"evaluates\":1}\n",
                                 "{\"evaluates\":true,\"combines\":1}\n", "{\"error\":\"no\"}\n",
                                 "hello\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct peer peer = begin(lines[i]);
        assert_int_equal(meet(&peer), TRIB_ECLOSED);
        assert_null(peer.pipe);
        end(&peer);
    }
    struct peer peer = begin(HELLO);
    (void)close(peer.options.input);
    peer.options.input = 1 << 20;
    assert_int_equal(meet(&peer), TRIB_EINVALID);
    assert_non_null(strstr(peer.error.text, "descriptor 1048576"));
    char byte;
    assert_int_equal(read(peer.hears, &byte, 1), 0); /* the other descriptor is closed */
    end(&peer);
}

static void without_memory_nothing_is_left(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    uint64_t nth = 0;
    trib_env_faulty_init(&faulty);
    do {
        struct peer peer = begin(HELLO);
        struct trib_work_trained result = {0};
        say_update(&peer, ELEMENTS, ((const float[]){0, 0, 0}));
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status =
            trib_work_pipe_new(&faulty.env, &peer.options, &peer.pipe, &peer.error);
        if (status == TRIB_OK) {
            status = train(&peer, &result);
        }
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_block_unref(result.body);
        end(&peer);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 3);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_is_a_line_and_the_version),
        cmocka_unit_test(an_evaluation_is_metrics),
        cmocka_unit_test(a_fleet_makes_versions_of_the_answers),
        cmocka_unit_test(what_the_codec_refuses_ends_the_simulation),
        cmocka_unit_test(updates_to_combine_are_a_line_and_their_bodies),
        cmocka_unit_test(a_fleet_makes_versions_of_what_is_combined),
        cmocka_unit_test(what_is_combined_is_checked_like_an_update),
        cmocka_unit_test(whoever_combines_must_be_there_and_be_wanted),
        cmocka_unit_test(what_is_no_answer_is_said),
        cmocka_unit_test(a_line_has_a_limit),
        cmocka_unit_test(a_peer_that_hears_nothing_is_gone),
        cmocka_unit_test(the_first_line_must_be_a_greeting),
        cmocka_unit_test(without_memory_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
