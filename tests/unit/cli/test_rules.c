/* test_rules.c - client rules and server together give the numbers of the papers, against vectors that
 * were computed independently (tests/vectors).
 *
 * Three clients with F_i(y) = sum a_i/2 (y - b_i)^2; their steps are the client's own code, sums and
 * versions the daemon's. */
#include <math.h>

#include "learn/small_model.h"
#include "learn/vectors.h"
#include "node/model.h"
#include "support/check.h"
#include "train/rule.h"

enum { SIZE = 2, CLIENTS = 3, PARTS_MAX = 3 };

struct world {
    json_t *file;
    const json_t *inputs, *outputs;
    struct trib_spec *spec;
    struct trib_model model;
    struct trib_train_settings settings;
    uint64_t step_count;
    float own[CLIENTS][SIZE];
};

static const float *part(const struct world *world, const char *name) {
    const struct trib_tensor *tensor = trib_layout_find(world->model.layout, name);
    return tensor == NULL
               ? NULL
               : small_values(world->model.current, world->model.layout) + tensor->element_offset;
}

static void init(struct world *world, const char *file, const char *name, const char *preset,
                 struct trib_train_settings settings) {
    *world = (struct world){.file = vectors_load(file), .settings = settings};
    const struct trib_env *env = trib_env_system();
    const float zero[PARTS_MAX * SIZE] = {0};
    const json_t *item = vectors_case(world->file, name);
    world->inputs = vectors_at(item, "inputs");
    world->outputs = vectors_at(item, "outputs");
    world->settings.lr = vectors_number(world->inputs, "eta_local");
    world->step_count = (uint64_t)vectors_number(world->inputs, "K");
    const bool has_control = trib_rule_has_control(settings.rule);
    json_t *document =
        json_pack("{s:s, s:{}, s:{s:s}}", "name", "v", "model", "strategy", "preset", preset);
    if (has_control) {
        json_object_set_new(json_object_get(document, "strategy"), "population",
                            json_integer(CLIENTS));
    }
    struct trib_error error = {0};
    if (trib_spec_parse(env, document, &world->spec, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    json_decref(document);
    struct trib_layout *layout = NULL;
    assert_int_equal(trib_layout_accompany(vector_layout(env, SIZE, 16),
                                           world->spec->strategy.companions, &layout, NULL),
                     TRIB_OK);
    struct trib_block *version = small_version(env, layout, zero);
    assert_int_equal(trib_model_init(&world->model, env, world->spec, layout, version, 0, NULL),
                     TRIB_OK);
    trib_block_unref(version);
}

static void destroy(struct world *world) {
    trib_model_deinit(&world->model);
    trib_spec_free(world->spec);
    json_decref(world->file);
}

static void slope(const struct world *world, size_t client, const float *at, float *gradient) {
    double curvature[SIZE], minimiser[SIZE];
    vectors_numbers(json_array_get(vectors_at(world->inputs, "curvature"), client), curvature,
                    SIZE);
    vectors_numbers(json_array_get(vectors_at(world->inputs, "minimiser"), client), minimiser,
                    SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        gradient[i] = (float)(curvature[i] * ((double)at[i] - minimiser[i]));
    }
}

/* The gradient that a step takes: fedspeed's is partly that from uphill. */
static void find_gradient(const struct world *world, size_t client, const float *at,
                          float *gradient) {
    float uphill[SIZE], second[SIZE];
    slope(world, client, at, gradient);
    if (world->settings.rule != TRIB_RULE_FEDSPEED) {
        return;
    }
    for (size_t i = 0; i < SIZE; i++) {
        uphill[i] = at[i] + (float)world->settings.rho * gradient[i];
    }
    slope(world, client, uphill, second);
    for (size_t i = 0; i < SIZE; i++) {
        gradient[i] += (float)world->settings.alpha * (second[i] - gradient[i]);
    }
}

/* What the client sends is the difference of these to the version, and own moves with it. */
static void train(struct world *world, size_t client, float *sent, float *next_control,
                  float *next_momentum) {
    float start[SIZE], shift[SIZE], gradient[SIZE], full[SIZE], next_own[SIZE];
    const struct trib_rule_vectors vectors = {
        .control = part(world, "control.w"),
        .momentum = part(world, "momentum.w"),
        .own = world->own[client],
        .next_control = next_control,
        .next_momentum = next_momentum,
        .next_own = next_own,
    };
    struct trib_step step = {.lr = world->settings.lr};
    memcpy(start, part(world, "w"), sizeof start);
    memcpy(sent, start, sizeof start);
    trib_rule_begin(&world->settings, &vectors, SIZE, shift, &step);
    step.base = start;
    for (uint64_t k = 1; k <= world->step_count; k++) {
        find_gradient(world, client, sent, gradient);
        trib_step_take(&step, k, sent, gradient, NULL, SIZE);
    }
    slope(world, client, start, full);
    trib_rule_end(&world->settings, &vectors, &step, start,
                  world->settings.scaffold_option == 1 ? full : NULL, world->step_count, SIZE,
                  sent);
    if (trib_rule_has_own(world->settings.rule)) {
        memcpy(world->own[client], next_own, sizeof next_own);
    }
}

/* An update of the client, folded as the daemon folds it. */
static void answer(struct world *world, size_t client) {
    float sent[SIZE], next_control[SIZE], next_momentum[SIZE];
    float values[PARTS_MAX * SIZE];
    const float *current = small_values(world->model.current, world->model.layout);
    train(world, client, sent, next_control, next_momentum);
    for (size_t t = 0; t < world->model.layout->tensor_count; t++) {
        const struct trib_tensor *tensor = &world->model.layout->tensors[t];
        const float *after = tensor->name[0] == 'c'   ? next_control
                             : tensor->name[0] == 'm' ? next_momentum
                                                      : sent;
        for (size_t i = 0; i < SIZE; i++) {
            const size_t at = (size_t)tensor->element_offset + i;
            values[at] = after[i] - current[at];
        }
    }
    struct small_update update;
    small_update_init(&update, trib_env_system(), world->model.layout, 1, TRIB_F32, values, 1);
    struct trib_weighted_update weighted = {&trib_codec_dense, update.update, 1,
                                            world->model.version};
    assert_int_equal(trib_model_count(&world->model, 0, &weighted), TRIB_OK);
    assert_int_equal(
        trib_model_fold(&world->model, 0, &weighted, 1, 0, world->model.layout->element_count),
        TRIB_OK);
    small_update_deinit(&update);
}

static void check(const float *values, const json_t *expected) {
    double numbers[SIZE];
    vectors_numbers(expected, numbers, SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        if (!(fabs((double)values[i] - numbers[i]) <= 4e-6 * (1.0 + fabs(numbers[i])))) {
            fail_msg("%.9g is not %.9g", (double)values[i], numbers[i]);
        }
    }
}

/* Every round of the vectors; who takes part is in them, or else everybody does. */
static void play(struct world *world) {
    size_t index;
    json_t *round;
    json_array_foreach((json_t *)vectors_at(world->outputs, "rounds"), index, round) {
        const json_t *sampled = json_object_get(round, "sampled");
        const size_t count = sampled != NULL ? json_array_size(sampled) : CLIENTS;
        for (size_t i = 0; i < count; i++) {
            answer(world,
                   sampled != NULL ? (size_t)json_integer_value(json_array_get(sampled, i)) : i);
        }
        assert_int_equal(trib_model_merge_begin(&world->model, 0), TRIB_OK);
        assert_int_equal(
            trib_model_merge_range(&world->model, 0, world->model.layout->element_count, NULL),
            TRIB_OK);
        trib_model_merge_end(&world->model);
        trib_model_advance(&world->model);
        check(part(world, "w"), vectors_at(round, "x"));
        if (json_object_get(round, "c") != NULL) {
            check(part(world, "control.w"), vectors_at(round, "c"));
        }
        if (json_object_get(round, "g") != NULL) {
            check(part(world, "momentum.w"), vectors_at(round, "g"));
        }
    }
    const json_t *final = json_object_get(world->outputs, "final_c_i");
    for (size_t i = 0; final != NULL && i < CLIENTS; i++) {
        check(world->own[i], json_array_get(final, i));
    }
}

static void scaffold_is_the_published_algorithm(void **state) {
    (void)state;
    for (uint32_t option = 1; option <= 2; option++) {
        struct world world;
        init(&world, "scaffold.json", option == 1 ? "SCAFFOLD_option_I" : "SCAFFOLD_option_II",
             "scaffold",
             (struct trib_train_settings){.rule = TRIB_RULE_SCAFFOLD, .scaffold_option = option});
        play(&world);
        destroy(&world);
    }
}

static void the_momentum_rules_are_the_published_ones(void **state) {
    (void)state;
    static const struct {
        const char *name, *preset;
        enum trib_rule rule;
    } rows[] = {{"FedAvg_M", "fedcm", TRIB_RULE_FEDCM},
                {"SCAFFOLD_M", "scaffold_m", TRIB_RULE_SCAFFOLD_M}};
    for (size_t i = 0; i < 2; i++) {
        struct world world;
        init(&world, "scaffold.json", rows[i].name, rows[i].preset,
             (struct trib_train_settings){.rule = rows[i].rule, .beta = 0.3});
        /* The vectors' gamma moves x by gamma * g; ours by lr * K * g. */
        assert_true(vectors_number(world.inputs, "gamma") ==
                    world.settings.lr * (double)world.step_count);
        play(&world);
        destroy(&world);
    }
}

static void fedspeed_is_the_published_algorithm(void **state) {
    (void)state;
    struct world world;
    init(&world, "fedspeed.json", "two_rounds", "fedspeed",
         (struct trib_train_settings){
             .rule = TRIB_RULE_FEDSPEED, .lambda = 10, .rho = 0.05, .alpha = 0.5});
    play(&world);
    destroy(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scaffold_is_the_published_algorithm),
        cmocka_unit_test(the_momentum_rules_are_the_published_ones),
        cmocka_unit_test(fedspeed_is_the_published_algorithm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
