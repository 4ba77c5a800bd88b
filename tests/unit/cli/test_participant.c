/* test_participant.c - a task trains or scores the model that came, and says only what it measured. */
#include "cli/participant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"
#include "support/env_faulty.h"

/* Two features, the larger of which is the class. */
static float features[8][2] = {{1, 0},   {0, 1},   {0.9f, 0.2f}, {0.1f, 0.8f},
                               {1, .5f}, {.5f, 1}, {.7f, .1f},   {.2f, .9f}};
static int32_t labels[8] = {0, 1, 0, 1, 0, 1, 0, 1};
static const struct trib_dataset dataset = {.features = &features[0][0],
                                            .labels = labels,
                                            .row_count = 8,
                                            .feature_count = 2,
                                            .class_count = 2};

struct model {
    float bias[2], weight[4];
    struct trib_client_tensor tensors[2];
};

static void fill_model(struct model *model) {
    *model = (struct model){0};
    model->tensors[0] = (struct trib_client_tensor){
        .name = "bias", .values = model->bias, .element_count = 2, .rank = 1, .shape = {2}};
    model->tensors[1] = (struct trib_client_tensor){
        .name = "weight", .values = model->weight, .element_count = 4, .rank = 2, .shape = {2, 2}};
}

static struct trib_participant new_participant(const struct trib_env *env) {
    return (struct trib_participant){.env = env, .dataset = &dataset, .client = "dev-1", .seed = 1};
}

static struct trib_client_task train_task(const char *settings, uint64_t version) {
    return (struct trib_client_task){
        .kind = TRIB_CLIENT_TRAIN, .id = "1.0", .version = version, .settings = settings};
}

static enum trib_status work(struct trib_participant *participant,
                             const struct trib_client_task *task, struct model *model,
                             struct trib_participant_result *result, struct trib_error *error) {
    return trib_participant_work(participant, task, model->tensors, 2, result, error);
}

static void training_changes_the_tensors_in_place(void **state) {
    (void)state;
    struct trib_participant participant = new_participant(trib_env_system());
    struct trib_client_task task = train_task("{\"epochs\":20,\"batch\":2,\"lr\":0.5}", 1);
    struct trib_participant_result result;
    struct model model;
    fill_model(&model);
    assert_int_equal(work(&participant, &task, &model, &result, NULL), TRIB_OK);
    assert_int_equal(result.examples, 8);
    assert_int_equal(result.step_count, 80);
    assert_true(result.loss > 0.0 && result.loss < 0.7);
    assert_true(isnan(result.accuracy)); /* nobody measured it */
    assert_null(strstr(result.metrics, "accuracy"));
    assert_int_equal(strncmp(result.metrics, "{\"loss\":0.", 10), 0);
    assert_true(model.weight[0] > 0.1f && model.weight[1] < -0.1f);

    task.kind = TRIB_CLIENT_EVALUATE;
    struct model before = model;
    assert_int_equal(work(&participant, &task, &model, &result, NULL), TRIB_OK);
    assert_true(result.accuracy == 1.0);
    assert_int_equal(strncmp(result.metrics, "{\"accuracy\":1,\"loss\":0.", 23), 0);
    assert_memory_equal(model.weight, before.weight, sizeof model.weight);
    trib_participant_deinit(&participant);
}

/* The tensors after one task. */
static struct model trained(const char *client, uint64_t seed, uint64_t version,
                            const char *settings) {
    struct trib_participant participant = new_participant(trib_env_system());
    participant.client = client;
    participant.seed = seed;
    struct trib_client_task task = train_task(settings, version);
    struct trib_participant_result result;
    struct model model;
    fill_model(&model);
    assert_int_equal(work(&participant, &task, &model, &result, NULL), TRIB_OK);
    trib_participant_deinit(&participant);
    return model;
}

static bool is_same(struct model a, struct model b) {
    return memcmp(a.weight, b.weight, sizeof a.weight) == 0 &&
           memcmp(a.bias, b.bias, sizeof a.bias) == 0;
}

static void order_depends_on_client_seed_and_version(void **state) {
    (void)state;
    const char *settings = "{\"batch\":1,\"lr\":0.5}";
    struct model model = trained("dev-1", 1, 3, settings);
    assert_true(is_same(model, trained("dev-1", 1, 3, settings)));
    assert_false(is_same(model, trained("dev-2", 1, 3, settings)));
    assert_false(is_same(model, trained("dev-1", 2, 3, settings)));
    assert_false(is_same(model, trained("dev-1", 1, 4, settings)));
}

static void the_rate_decays_with_the_version(void **state) {
    (void)state;
    /* One whole batch from zero: the change is in proportion to the rate. */
    struct model first = trained("a", 1, 0, "{\"batch\":0,\"lr\":0.4,\"lr_decay\":0.5}");
    struct model third = trained("a", 1, 2, "{\"batch\":0,\"lr\":0.4,\"lr_decay\":0.5}");
    for (size_t i = 0; i < 4; i++) {
        assert_true(fabsf(third.weight[i] - first.weight[i] / 4.0f) < 1e-6f);
    }
}

static void failures_leave_the_tensors_alone(void **state) {
    (void)state;
    static const struct {
        const char *settings;
        enum trib_status status;
    } cases[] = {
        {"{\"lr\":0}", TRIB_EINVALID},
        {"{\"lr\":-1}", TRIB_EINVALID},
        {"{\"epochs\":1e18}", TRIB_EINVALID},
        {"{\"lr_decay\":2}", TRIB_EINVALID},
        {"{\"batch\":-1}", TRIB_EINVALID},
        {"{\"lr\":1e9,\"epochs\":1000,\"mu\":1e9}", TRIB_ENONFINITE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct trib_participant participant = new_participant(trib_env_system());
        struct trib_client_task task = train_task(cases[i].settings, 0);
        struct trib_participant_result result;
        struct trib_error error = {0};
        struct model model, before;
        fill_model(&model);
        before = model;
        assert_int_equal(work(&participant, &task, &model, &result, &error), cases[i].status);
        assert_true(error.text[0] != '\0');
        assert_true(is_same(model, before));
        trib_participant_deinit(&participant);
    }
}

static void a_model_for_other_data_is_refused(void **state) {
    (void)state;
    struct trib_participant participant = new_participant(trib_env_system());
    struct trib_dataset other = dataset;
    struct trib_client_task task = train_task("{}", 0);
    struct trib_participant_result result;
    struct trib_error error = {0};
    struct model model;
    fill_model(&model);
    participant.dataset = &other;
    other.feature_count = 1;
    assert_int_equal(work(&participant, &task, &model, &result, &error), TRIB_ESHAPE);
    assert_non_null(strstr(error.text, "the model takes 2 features"));
    other.feature_count = 2;
    other.class_count = 3;
    assert_int_equal(work(&participant, &task, &model, &result, &error), TRIB_ESHAPE);
    other.class_count = 1; /* fewer classes here than elsewhere are usual */
    assert_int_equal(work(&participant, &task, &model, &result, &error), TRIB_OK);
    trib_participant_deinit(&participant);
}

static void memory_may_run_out(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    uint64_t nth = 0;
    trib_env_faulty_init(&faulty);
    do {
        struct trib_participant participant = new_participant(&faulty.env);
        struct trib_client_task task = train_task("{}", 0);
        struct trib_participant_result result;
        struct model model;
        fill_model(&model);
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = work(&participant, &task, &model, &result, NULL);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        if (faulty.has_failed) { /* and it can be tried again */
            assert_int_equal(work(&participant, &task, &model, &result, NULL), TRIB_OK);
        }
        trib_participant_deinit(&participant);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 3);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_changes_the_tensors_in_place),
        cmocka_unit_test(order_depends_on_client_seed_and_version),
        cmocka_unit_test(the_rate_decays_with_the_version),
        cmocka_unit_test(failures_leave_the_tensors_alone),
        cmocka_unit_test(a_model_for_other_data_is_refused),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
