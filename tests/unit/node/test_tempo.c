/* test_tempo.c - presets without rounds from their spec to the numbers of a version, against vectors
 * that were computed independently (tests/vectors). */
#include "node/model.h"

#include <math.h>

#include "learn/small_model.h"
#include "learn/vectors.h"
#include "support/check.h"

/* Takes the document. */
static struct trib_spec *parse(json_t *document) {
    struct trib_spec *spec = NULL;
    struct trib_error error = {0};
    assert_non_null(document);
    if (trib_spec_parse(trib_env_system(), document, &spec, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    json_decref(document);
    return spec;
}

static struct trib_spec *fedbuff_of(const json_t *inputs, const char *divide, bool has_examples) {
    return parse(json_pack(
        "{s:s, s:{}, s:{s:s, s:i, s:s, s:s, s:i, s:i, s:{s:f}}}", "name", "vector", "model",
        "strategy", "preset", "fedbuff", "goal", (int)vectors_number(inputs, "K"), "divide", divide,
        "weights", has_examples ? "examples" : "equal", "weight_max", 64, "weight_total_max", 1000,
        "server", "lr", vectors_number(inputs, "eta_server")));
}

/* A run whose newest version is this one. */
static void model_init_at(struct trib_model *model, const struct trib_spec *spec,
                          trib_version number, const float values[2]) {
    const struct trib_env *env = trib_env_system();
    struct trib_layout *layout = vector_layout(env, 2, 16);
    struct trib_block *version = small_version(env, layout, values);
    assert_int_equal(trib_model_init(model, env, spec, layout, version, number, NULL), TRIB_OK);
    trib_block_unref(version);
}

static void model_init(struct trib_model *model, const struct trib_spec *spec) {
    model_init_at(model, spec, 0, (const float[2]){0});
}

/* A version before it was like this. */
static void model_was(struct trib_model *model, trib_version number, const float values[2]) {
    struct trib_block *version = small_version(trib_env_system(), model->layout, values);
    trib_model_remember(model, number, version);
    trib_block_unref(version);
}

static void check_values(const struct trib_model *model, const double expected[2]) {
    const float *values = small_values(model->current, model->layout);
    for (size_t i = 0; i < 2; i++) {
        if (fabs(values[i] - expected[i]) > VECTOR_TOLERANCE_FP32 * (1 + fabs(expected[i]))) {
            fail_msg("%.9g is not %.9g", (double)values[i], expected[i]);
        }
    }
}

/* One arrival as the daemon takes it: staleness and weight at admission, then count and fold. */
static void add_arrival(struct trib_model *model, const json_t *arrival) {
    double delta[2];
    vectors_numbers(json_object_get(arrival, "delta"), delta, 2);
    const float values[2] = {(float)delta[0], (float)delta[1]};
    uint64_t base = (uint64_t)vectors_number(arrival, "base_version");
    uint64_t examples = (uint64_t)vectors_number(arrival, "examples");
    uint64_t weight = trib_spec_weight(model->spec, examples, model->version - base);
    struct small_update update;
    small_update_init(&update, trib_env_system(), model->layout, 1, TRIB_F32, values, weight);
    struct trib_weighted_update weighted = {&trib_codec_dense, update.update, weight, base};
    assert_int_equal(trib_model_count(model, 0, &weighted), TRIB_OK);
    assert_int_equal(trib_model_fold(model, 0, &weighted, 1, 0, 2), TRIB_OK);
    small_update_deinit(&update);
}

/* An update that leads from its base to `end`. */
static void add_model(struct trib_model *model, trib_version base, const float base_values[2],
                      const double end[2], uint64_t mass) {
    json_t *arrival = json_pack("{s:I, s:I, s:[f, f]}", "base_version", (json_int_t)base,
                                "examples", (json_int_t)mass, "delta",
                                end[0] - (double)base_values[0], end[1] - (double)base_values[1]);
    add_arrival(model, arrival);
    json_decref(arrival);
}

static void make_version(struct trib_model *model) {
    assert_int_equal(trib_model_merge_begin(model, 0), TRIB_OK);
    assert_int_equal(trib_model_merge_range(model, 0, 2, NULL), TRIB_OK);
    trib_model_merge_end(model);
    trib_model_advance(model);
}

/* Weights are integers in units of 2^-16: half a unit of error in each, which is all there is. */
static void check_version(const struct trib_model *model, const json_t *logged) {
    double expected[2];
    vectors_numbers(json_object_get(logged, "x"), expected, 2);
    assert_int_equal(model->version, vectors_number(logged, "version"));
    const float *values = small_values(model->current, model->layout);
    for (size_t i = 0; i < 2; i++) {
        double tolerance = VECTOR_TOLERANCE_FP32 * fabs(expected[i]) + 0x1p-17;
        if (fabs(values[i] - expected[i]) > tolerance) {
            fail_msg("version %d: %.9g is not %.9g", (int)model->version, values[i], expected[i]);
        }
    }
}

static void fedbuff_is_the_published_rule(void **state) {
    (void)state;
    static const struct {
        const char *name, *divide;
        bool has_examples;
    } rows[] = {
        {"divide_by_K", "goal", false},
        {"divide_by_sum_of_weights", "weight", false},
        {"divide_by_sum_of_weights_times_examples", "weight", true},
        {"weighted_sum_no_normalisation", "none", false},
    };
    json_t *file = vectors_load("fedbuff.json");
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        const json_t *item = vectors_case(file, rows[row].name);
        const json_t *inputs = vectors_at(item, "inputs");
        struct trib_spec *spec = fedbuff_of(inputs, rows[row].divide, rows[row].has_examples);
        assert_int_equal(spec->strategy.weight_unit_bits, 16);
        struct trib_model model;
        model_init(&model, spec);
        size_t index;
        json_t *logged;
        json_array_foreach((json_t *)vectors_at(item, "outputs.log"), index, logged) {
            add_arrival(&model, json_array_get(vectors_at(inputs, "arrivals"), index));
            if (json_is_true(json_object_get(logged, "flushed"))) {
                make_version(&model);
                check_version(&model, logged);
            }
        }
        assert_int_equal(model.version, 3);
        trib_model_deinit(&model);
        trib_spec_free(spec);
    }
    json_decref(file);
}

/* merge.json: the sum of leaves by base version is what the root would have summed. */
static void updates_of_five_bases_make_one_sum(void **state) {
    (void)state;
    json_t *file = vectors_load("merge.json");
    const json_t *item = vectors_case(file, "fedbuff_buckets_by_base_version");
    const json_t *arrivals = vectors_at(item, "inputs.arrivals");
    struct trib_spec *spec = parse(
        json_pack("{s:s, s:{}, s:{s:s, s:i, s:i}}", "name", "vector", "model", "strategy", "preset",
                  "fedbuff", "goal", (int)json_array_size(arrivals), "weight_total_max", 1000));
    struct trib_model model;
    model_init(&model, spec);
    model.version = (trib_version)vectors_number(item, "inputs.current_version");
    size_t index;
    json_t *arrival;
    json_array_foreach((json_t *)arrivals, index, arrival) {
        (void)json_object_set_new(arrival, "examples", json_integer(1));
        add_arrival(&model, arrival);
    }
    make_version(&model);
    double expected[2];
    vectors_numbers(vectors_at(item, "outputs.divided_by_K"), expected, 2);
    const float *values = small_values(model.current, model.layout);
    for (size_t i = 0; i < 2; i++) {
        assert_true(fabs(values[i] - expected[i]) <= VECTOR_TOLERANCE_FP32 + 0x1p-17);
    }
    trib_model_deinit(&model);
    trib_spec_free(spec);
    json_decref(file);
}

/* fedfix.json: d = ceil(tau / tick) * p; a client that takes n ticks is n - 1 versions old. */
static void fedfix_makes_up_for_slowness(void **state) {
    (void)state;
    json_t *file = vectors_load("fedfix.json");
    const json_t *item = vectors_case(file, "fedfix");
    struct trib_spec *spec =
        parse(json_pack("{s:s, s:{}, s:{s:s, s:s, s:i}}", "name", "vector", "model", "strategy",
                        "preset", "fedfix", "weights", "examples", "weight_max", 1000));
    double durations[3], shares[3], expected[3];
    vectors_numbers(vectors_at(item, "inputs.tau"), durations, 3);
    vectors_numbers(vectors_at(item, "inputs.p"), shares, 3);
    vectors_numbers(vectors_at(item, "outputs.d_i"), expected, 3);
    for (size_t i = 0; i < 3; i++) {
        double ticks = ceil(durations[i] / vectors_number(item, "inputs.delta_t"));
        uint64_t weight = trib_spec_weight(spec, (uint64_t)(100 * shares[i]), (uint64_t)ticks - 1);
        assert_true(fabs((double)weight / 100 - expected[i]) <= VECTOR_TOLERANCE);
    }
    trib_spec_free(spec);
    json_decref(file);
}

/* fedasync.json: alpha * s(u) as the integer weights that updates get. */
static void fedasync_shares_follow_the_rule(void **state) {
    (void)state;
    static const struct {
        const char *column, *rule;
        double a, b;
    } rules[] = {
        {"constant", "constant", 0, 0},
        {"poly_a_0_5", "polynomial", 0.5, 0},
        {"hinge_a10_b4", "hinge", 10, 4},
    };
    json_t *file = vectors_load("fedasync.json");
    const json_t *rows = vectors_at(vectors_case(file, "staleness_table"), "outputs.rows");
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        json_t *strategy = json_pack("{s:s, s:s, s:i}", "preset", "fedasync", "staleness",
                                     rules[i].rule, "staleness_max", 100);
        if (rules[i].a > 0) {
            (void)json_object_set_new(strategy, "staleness_a", json_real(rules[i].a));
        }
        if (rules[i].b > 0) {
            (void)json_object_set_new(strategy, "staleness_b", json_real(rules[i].b));
        }
        struct trib_spec *spec =
            parse(json_pack("{s:s, s:{}, s:o}", "name", "vector", "model", "strategy", strategy));
        size_t index;
        json_t *row;
        json_array_foreach((json_t *)rows, index, row) {
            uint64_t staleness = (uint64_t)vectors_number(row, "staleness");
            double share = ldexp((double)trib_spec_weight(spec, 7, staleness),
                                 -(int)spec->strategy.weight_unit_bits);
            assert_true(fabs(share - 0.6 * vectors_number(row, rules[i].column)) <= 0x1p-25);
        }
        trib_spec_free(spec);
    }
    json_decref(file);
}

static struct trib_spec *fedasync_of(const json_t *inputs) {
    return parse(json_pack("{s:s, s:{}, s:{s:s, s:f, s:s, s:f, s:f, s:i}}", "name", "vector",
                           "model", "strategy", "preset", "fedasync", "alpha",
                           vectors_number(inputs, "alpha"), "staleness", "hinge", "staleness_a",
                           vectors_number(inputs, "a"), "staleness_b", vectors_number(inputs, "b"),
                           "staleness_max", 2));
}

static void fedasmu_shares_follow_the_rule(void **state) {
    (void)state;
    json_t *file = vectors_load("fedasmu.json");
    const json_t *item = vectors_case(file, "weights");
    struct trib_spec *spec = parse(
        json_pack("{s:s, s:{}, s:{s:s, s:f, s:f, s:f, s:i}}", "name", "vector", "model", "strategy",
                  "preset", "fedasmu", "alpha", vectors_number(item, "inputs.lam"), "staleness_a",
                  vectors_number(item, "inputs.sigma"), "floor",
                  vectors_number(item, "inputs.iota"), "staleness_max", 100));
    size_t index;
    json_t *row;
    json_array_foreach((json_t *)vectors_at(item, "outputs.rows"), index, row) {
        uint64_t version = (uint64_t)vectors_number(row, "t");
        struct trib_weighing weighing = {.mass = 7,
                                         .staleness = version -
                                                      (uint64_t)vectors_number(row, "base_version"),
                                         .version = version,
                                         .versions = 1,
                                         .updates = 1};
        double share =
            ldexp((double)trib_spec_weigh(spec, &weighing), -(int)spec->strategy.weight_unit_bits);
        assert_true(fabs(share - vectors_number(row, "alpha")) <= 0x1p-24);
    }
    trib_spec_free(spec);
    json_decref(file);
}

/* A share is at most what it is for all examples that there can be (CDFL mixes so, by the share that
 * a client has in a cluster: tests/vectors/semidec.json). */
static void examples_are_a_part_of_a_share(void **state) {
    (void)state;
    json_t *file = vectors_load("semidec.json");
    const json_t *item = vectors_case(file, "cdfl_smallest_version");
    double mixture[2], rates[2];
    vectors_numbers(vectors_at(item, "inputs.mixture"), mixture, 2);
    vectors_numbers(vectors_at(item, "outputs.rates"), rates, 2);
    struct trib_spec *spec = parse(json_pack("{s:s, s:{}, s:{s:s, s:f, s:s, s:i}}", "name",
                                             "vector", "model", "strategy", "preset", "fedasync",
                                             "alpha", vectors_number(item, "inputs.alpha"),
                                             "weights", "examples", "weight_max", 1000));
    uint64_t staleness = (uint64_t)vectors_number(item, "inputs.staleness");
    for (size_t i = 0; i < 2; i++) {
        uint64_t weight = trib_spec_weight(spec, (uint64_t)(1000 * mixture[i]), staleness);
        assert_true(ldexp((double)weight, -(int)spec->strategy.weight_unit_bits) == rates[i]);
    }
    assert_int_equal(trib_spec_weight(spec, 1001, 0), 0);
    trib_spec_free(spec);
    json_decref(file);
}

/* --- means of models: FAVANO, S2S, CDFL --------------------------------------------------------- */

static struct trib_spec *preset(const char *name) {
    return parse(
        json_pack("{s:s, s:{}, s:{s:s}}", "name", "vector", "model", "strategy", "preset", name));
}

/* favano.json: w = (w + what s clients sent) / (s + 1). A client with alpha steps sends start +
 * (own - start) / alpha, as a change of its start; the two started from different versions. */
static void favano_averages_models_of_several_bases(void **state) {
    (void)state;
    json_t *file = vectors_load("favano.json");
    const json_t *item = vectors_case(file, "server_step");
    struct trib_spec *spec = preset("favano");
    float now[2], start[2][2];
    double numbers[2], expected[2];
    vectors_numbers(vectors_at(item, "inputs.w_prev"), numbers, 2);
    now[0] = (float)numbers[0], now[1] = (float)numbers[1];
    const json_t *clients = vectors_at(item, "inputs.clients");
    for (size_t i = 0; i < 2; i++) {
        vectors_numbers(json_object_get(json_array_get(clients, i), "w_init"), numbers, 2);
        start[i][0] = (float)numbers[0], start[i][1] = (float)numbers[1];
    }
    for (size_t first = 0; first < 2; first++) { /* in both orders: the same bits */
        struct trib_model model;
        static struct trib_digest digest;
        model_init_at(&model, spec, 5, now);
        model_was(&model, 3, start[1]);
        for (size_t n = 0; n < 2; n++) {
            size_t i = n ^ first;
            vectors_numbers(json_array_get(vectors_at(item, "outputs.w_unbiased"), i), numbers, 2);
            add_model(&model, i == 0 ? 5 : 3, start[i], numbers, 1);
        }
        make_version(&model);
        vectors_numbers(vectors_at(item, "outputs.w_next"), expected, 2);
        check_values(&model, expected);
        assert_true(first == 0 || trib_digest_equal(&digest, &model.digest));
        digest = model.digest;
        trib_model_deinit(&model);
    }
    trib_spec_free(spec);
    json_decref(file);
}

/* semidec.json: the mean of the sampled devices' models, wherever each of them and the server is; what
 * was counted once leaves nothing in the next version. */
static void s2s_averages_the_sampled_models(void **state) {
    (void)state;
    json_t *file = vectors_load("semidec.json");
    const json_t *item = vectors_case(file, "one_round");
    struct trib_spec *spec = preset("s2s");
    double x[4], sampled[2];
    vectors_numbers(vectors_at(item, "inputs.x"), x, 4);
    vectors_numbers(vectors_at(item, "inputs.sampled"), sampled, 2);
    double mean = vectors_number(item, "outputs.aggregate");
    struct trib_model model;
    model_init_at(&model, spec, 2, (const float[2]){9, -9});
    for (size_t i = 0; i < 2; i++) {
        const float base[2] = {(float)i - 3, (float)i};
        double own = x[(size_t)sampled[i]];
        model_was(&model, i, base);
        add_model(&model, i, base, (double[]){own, own}, 1);
    }
    make_version(&model);
    check_values(&model, (double[]){mean, mean});
    add_model(&model, 3, (const float[2]){3, 3}, (double[]){4, 5}, 1);
    make_version(&model);
    check_values(&model, (double[]){4, 5});
    trib_model_deinit(&model);
    trib_spec_free(spec);
    json_decref(file);
}

/* semidec.json: an upload goes into each cluster, a run of its own, by the client's share there. */
static void cdfl_mixes_an_upload_into_each_cluster(void **state) {
    (void)state;
    json_t *file = vectors_load("semidec.json");
    const json_t *item = vectors_case(file, "cdfl_smallest_version");
    double mixture[2], upload[2], cluster[2];
    vectors_numbers(vectors_at(item, "inputs.mixture"), mixture, 2);
    vectors_numbers(vectors_at(item, "inputs.upload"), upload, 2);
    uint64_t staleness = (uint64_t)vectors_number(item, "inputs.staleness");
    struct trib_spec *spec =
        parse(json_pack("{s:s, s:{}, s:{s:s, s:f}}", "name", "vector", "model", "strategy",
                        "preset", "cdfl", "alpha", vectors_number(item, "inputs.alpha")));
    assert_string_equal(spec->strategy.weight_attribute, "share");
    for (size_t k = 0; k < 2; k++) {
        const float base[2] = {0.5f, -1};
        struct trib_model model;
        vectors_numbers(json_array_get(vectors_at(item, "inputs.clusters"), k), cluster, 2);
        model_init_at(&model, spec, staleness,
                      (const float[]){(float)cluster[0], (float)cluster[1]});
        model_was(&model, 0, base);
        add_model(&model, 0, base, upload, (uint64_t)(1000 * mixture[k]));
        make_version(&model);
        vectors_numbers(json_array_get(vectors_at(item, "outputs.clusters"), k), cluster, 2);
        check_values(&model, cluster);
        trib_model_deinit(&model);
    }
    trib_spec_free(spec);
    json_decref(file);
}

/* Arrivals are whole models there; a client sends what it changed in its base. */
static json_t *arrival_of(const json_t *arrival, double (*versions)[2]) {
    size_t base = (size_t)vectors_number(arrival, "base_version");
    double trained[2];
    vectors_numbers(json_object_get(arrival, "model"), trained, 2);
    return json_pack("{s:I, s:i, s:[f, f]}", "base_version", (json_int_t)base, "examples", 1,
                     "delta", trained[0] - versions[base][0], trained[1] - versions[base][1]);
}

static void fedasync_mixes_models(void **state) {
    (void)state;
    json_t *file = vectors_load("fedasync.json");
    const json_t *item = vectors_case(file, "mixing_hinge_a10_b1");
    struct trib_spec *spec = fedasync_of(vectors_at(item, "inputs"));
    struct trib_model model;
    model_init(&model, spec);
    double versions[8][2] = {{0}};
    size_t index;
    json_t *arrival;
    json_array_foreach((json_t *)vectors_at(item, "inputs.arrivals"), index, arrival) {
        json_t *sent = arrival_of(arrival, versions);
        const json_t *step = json_array_get(vectors_at(item, "outputs.steps"), index);
        add_arrival(&model, sent);
        make_version(&model);
        check_version(&model, step);
        vectors_numbers(json_object_get(step, "x"), versions[index + 1], 2);
        json_decref(sent);
    }
    assert_int_equal(model.version, 4);
    trib_model_deinit(&model);
    trib_spec_free(spec);
    json_decref(file);
}

/* Rule: as many versions stay at hand as an update can be old, also after a restart; nothing is
 * mixed with a base that is not. */
static void bases_stay_at_hand(void **state) {
    (void)state;
    json_t *file = vectors_load("fedasync.json");
    struct trib_spec *spec =
        fedasync_of(vectors_at(vectors_case(file, "mixing_hinge_a10_b1"), "inputs"));
    struct trib_model model, again;
    model_init(&model, spec);
    struct trib_block *blocks[5] = {trib_block_ref(model.current)};
    for (int version = 0; version < 4; version++) {
        json_t *arrival = json_pack("{s:i, s:i, s:[f, f]}", "base_version", version, "examples", 1,
                                    "delta", 1.0 + version, 0.5);
        add_arrival(&model, arrival);
        make_version(&model);
        blocks[version + 1] = trib_block_ref(model.current);
        json_decref(arrival);
    }
    struct trib_layout *layout = vector_layout(trib_env_system(), 2, 16);
    assert_int_equal(trib_model_init(&again, trib_env_system(), spec, layout, blocks[4], 4, NULL),
                     TRIB_OK);
    assert_int_equal(trib_model_bytes(&again), trib_model_bytes(&model));
    for (int version = 1; version <= 4; version++) {
        trib_model_remember(&again, (trib_version)version, blocks[version]);
    }
    json_t *oldest =
        json_pack("{s:i, s:i, s:[f, f]}", "base_version", 2, "examples", 1, "delta", 0.25, 0.125);
    add_arrival(&model, oldest);
    add_arrival(&again, oldest);
    make_version(&model);
    make_version(&again);
    assert_true(trib_digest_equal(&model.digest, &again.digest));
    /* What mixing is for: the result is not that of adding the delta to the current version. */
    assert_true(small_values(model.current, model.layout)[0] !=
                small_values(blocks[4], model.layout)[0] + 0.6f * 0.25f);
    model.bases.based[0][2] = (struct trib_based){.base = 2, .weight = 1};
    assert_int_equal(trib_model_merge_begin(&model, 0), TRIB_ENOTFOUND);
    json_decref(oldest);
    for (int version = 0; version <= 4; version++) {
        trib_block_unref(blocks[version]);
    }
    trib_model_deinit(&model);
    trib_model_deinit(&again);
    trib_spec_free(spec);
    json_decref(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fedbuff_is_the_published_rule),
        cmocka_unit_test(updates_of_five_bases_make_one_sum),
        cmocka_unit_test(fedasync_shares_follow_the_rule),
        cmocka_unit_test(fedasmu_shares_follow_the_rule),
        cmocka_unit_test(examples_are_a_part_of_a_share),
        cmocka_unit_test(favano_averages_models_of_several_bases),
        cmocka_unit_test(s2s_averages_the_sampled_models),
        cmocka_unit_test(cdfl_mixes_an_upload_into_each_cluster),
        cmocka_unit_test(fedasync_mixes_models),
        cmocka_unit_test(bases_stay_at_hand),
        cmocka_unit_test(fedfix_makes_up_for_slowness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
