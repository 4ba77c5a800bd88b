/* test_fleet.c - a population trains a run: the same points whatever the threads, staleness as
 * theory says, every preset, little memory for those who wait. */
#include "sim/fleet.h"

#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "run/strategy.h"
#include "support/check.h"
#include "support/env_faulty.h"
#include "tensor/safetensors.h"

#define ELEMENTS 24
#define POINTS_MAX 400

/* --- a world of its own ------------------------------------------------------------------------- */

struct trial {
    struct trib_spec *spec;
    struct trib_population population;
    struct trib_block *model;
    struct trib_work work;
    struct trib_fleet_report report;
    struct trib_fleet_point points[POINTS_MAX];
    size_t point_count;
};

static void note_point(void *context, const struct trib_fleet_point *point) {
    struct trial *trial = context;
    if (trial->point_count < POINTS_MAX) {
        trial->points[trial->point_count++] = *point;
    }
}

static struct trib_block *make_model(void) {
    const struct trib_tensor tensor = {
        .name = "weight", .dtype = TRIB_F32, .rank = 1, .shape = {ELEMENTS}};
    struct trib_layout *layout;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), &tensor, 1, &layout, NULL), TRIB_OK);
    struct trib_block *block = trib_safetensors_block(trib_env_system(), layout);
    trib_layout_free(layout);
    trib_block_seal(block);
    return block;
}

/* Takes the strategy. */
static struct trib_spec *make_spec(json_t *strategy, int versions) {
    struct trib_spec *spec;
    struct trib_error error = {0};
    json_t *document =
        json_pack("{s:s, s:{}, s:o, s:{s:i}, s:{s:i}, s:s}", "name", "trial", "model", "strategy",
                  strategy, "stop", "versions", versions, "evaluate", "every", 3, "lease", "30m");
    if (trib_spec_parse(trib_env_system(), document, &spec, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    json_decref(document);
    return spec;
}

/* A step towards a place of the client's own, from wherever the base is. */
static enum trib_status train(void *context, uint32_t hand, const struct trib_work_task *task,
                              const float *base, float *trained, struct trib_work_trained *result,
                              struct trib_error *error) {
    (void)context, (void)hand, (void)error;
    struct trib_random random;
    trib_random_derive(&random, 9, task->name, task->version);
    for (size_t i = 0; i < ELEMENTS; i++) {
        trained[i] = base[i] + 0.1F * ((float)trib_random_unit(&random) - base[i]);
    }
    *result = (struct trib_work_trained){.examples = 1 + task->client % 7,
                                         .loss = trib_random_unit(&random)};
    return TRIB_OK;
}

static enum trib_status evaluate(void *context, uint32_t hand, uint32_t part,
                                 const float *parameters, struct trib_work_score *score,
                                 struct trib_error *error) {
    (void)context, (void)hand, (void)error;
    *score = (struct trib_work_score){
        .examples = 10, .correct = (double)(parameters[part] * 10), .loss = part};
    return TRIB_OK;
}

/* The weighted mean in floats: close to what the exact sum gives, never the same bits for long. */
static enum trib_status combine(void *context, trib_version version,
                                const struct trib_work_offered *updates, size_t update_count,
                                struct trib_block **delta, struct trib_error *error) {
    (void)context, (void)version, (void)error;
    const size_t data_offset = updates[0].body->byte_count - ELEMENTS * sizeof(float);
    struct trib_block *made = trib_block_new(trib_env_system(), updates[0].body->byte_count);
    float sums[ELEMENTS] = {0}, weight_total = 0;
    for (size_t u = 0; u < update_count; u++) {
        const float *values = (const float *)(updates[u].body->bytes + data_offset);
        assert_true(u == 0 || strcmp(updates[u - 1].client, updates[u].client) <= 0);
        weight_total += (float)updates[u].weight;
        for (size_t i = 0; i < ELEMENTS; i++) {
            sums[i] += (float)updates[u].weight * values[i];
        }
    }
    memcpy(made->bytes, updates[0].body->bytes, data_offset);
    for (size_t i = 0; i < ELEMENTS; i++) {
        ((float *)(made->bytes + data_offset))[i] = sums[i] / weight_total;
    }
    trib_block_seal(made);
    *delta = made;
    return TRIB_OK;
}

static struct trial *begin(json_t *strategy, int versions,
                           const struct trib_population_texts *texts) {
    struct trial *trial = calloc(1, sizeof *trial);
    struct trib_error error = {0};
    trial->spec = make_spec(strategy, versions);
    if (trib_population_parse(&trial->population, trib_env_system(), texts, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    trial->model = make_model();
    return trial;
}

static void run_on(struct trial *trial, const struct trib_env *env, uint32_t threads) {
    const struct trib_fleet_options options = {
        .spec = trial->spec,
        .population = &trial->population,
        .model = trial->model,
        .work = &trial->work,
        .threads = threads,
        .context = trial,
        .point = note_point,
    };
    struct trib_error error = {0};
    trial->point_count = 0;
    if (trib_fleet_run(env, &options, &trial->report, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
}

static void end(struct trial *trial) {
    trib_spec_free(trial->spec);
    trib_population_deinit(&trial->population);
    trib_block_unref(trial->model);
    free(trial);
}

/* --- rules -------------------------------------------------------------------------------------- */

static void compare_threads(struct trial *trial) {
    static struct trib_fleet_point first[POINTS_MAX];
    trial->work = (struct trib_work){.train = train, .evaluate = evaluate, .evaluate_parts = 5};
    run_on(trial, trib_env_system(), 1);
    size_t count = trial->point_count;
    memcpy(first, trial->points, sizeof first);
    const struct trib_fleet_report report = trial->report;
    assert_true(count > 10);
    assert_true(report.is_complete);
    for (uint32_t threads = 2; threads <= 3; threads++) {
        run_on(trial, trib_env_system(), threads);
        assert_int_equal(trial->point_count, count);
        for (size_t i = 0; i < count; i++) {
            assert_memory_equal(&trial->points[i], &first[i], sizeof first[i]);
        }
        assert_memory_equal(&trial->report, &report, sizeof report);
    }
}

static void threads_do_not_change_a_bit(void **state) {
    (void)state;
    const struct trib_population_texts texts = {
        .clients = "30", .speed = "lognormal:20s,1", .dropout = "0.05", .upload = "20kB"};
    struct trial *trial = begin(
        json_pack("{s:s, s:i, s:i}", "preset", "fedbuff", "goal", 3, "concurrency", 8), 60, &texts);
    compare_threads(trial);
    assert_true(trial->report.vanished > 0);
    assert_true(trial->report.staleness > 0.5);
    end(trial);
    trial = begin(json_pack("{s:s, s:f}", "preset", "fedavg", "fraction", 0.3), 20, &texts);
    compare_threads(trial);
    end(trial);
    trial = begin(json_pack("{s:s, s:s}", "preset", "favano", "tick", "20s"), 20, &texts);
    compare_threads(trial);
    end(trial);
}

/* The same clients, times and staleness as with the sum, and models next to its. */
static void somebody_else_may_combine(void **state) {
    (void)state;
    static struct trib_fleet_point summed[POINTS_MAX];
    const struct trib_population_texts texts = {.clients = "30", .speed = "lognormal:20s,1"};
    for (int is_external = 0; is_external <= 1; is_external++) {
        struct trial *trial =
            begin(json_pack("{s:s, s:s, s:s}", "preset", "fedbuff", "divide", "weight", "combiner",
                            is_external ? "external" : "sum"),
                  20, &texts);
        trial->work = (struct trib_work){.train = train,
                                         .evaluate = evaluate,
                                         .evaluate_parts = 1,
                                         .combine = is_external ? combine : NULL};
        run_on(trial, trib_env_system(), 1 + (uint32_t)is_external);
        assert_int_equal(trial->point_count, 21);
        for (size_t i = 0; is_external && i < trial->point_count; i++) {
            const struct trib_fleet_point *point = &trial->points[i];
            assert_int_equal(point->at, summed[i].at);
            assert_int_equal(point->updates, summed[i].updates);
            assert_true(point->staleness == summed[i].staleness);
            assert_int_equal(point->is_evaluated, summed[i].is_evaluated);
            assert_true(!point->is_evaluated ||
                        fabs(point->test_accuracy - summed[i].test_accuracy) < 1e-5);
        }
        assert_true(trial->report.staleness > 0);
        memcpy(summed, trial->points, sizeof summed);
        end(trial);
    }
}

static void another_seed_is_another_run(void **state) {
    (void)state;
    struct trib_digest digests[2];
    for (int seed = 0; seed < 2; seed++) {
        const struct trib_population_texts texts = {
            .clients = "30", .speed = "lognormal:20s,1", .seed = seed == 0 ? "1" : "2"};
        struct trial *trial =
            begin(json_pack("{s:s, s:i}", "preset", "fedbuff", "goal", 3), 20, &texts);
        trial->work.train = train;
        run_on(trial, trib_env_system(), 1);
        digests[seed] = trial->points[trial->point_count - 1].digest;
        end(trial);
    }
    assert_false(trib_digest_equal(&digests[0], &digests[1]));
}

/* If every seat is taken again at once, an update is (C - 1) / K versions old in the mean, whatever
 * the durations (tests/vectors/merge.json, steady_state_mean_staleness). */
static void staleness_is_what_theory_says(void **state) {
    (void)state;
    static const struct {
        const char *clients, *speed, *jitter;
        int goal, concurrency;
    } rows[] = {
        {"50", "1s", "exponential:1", 5, 0},
        {"400", "lognormal:10s,0.5", "1", 10, 40},
        {"100000", "10s", "halfnormal:1", 10, 100},
        {"100000", "pareto:5s,3", "1", 4, 30},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct trib_population_texts texts = {
            .clients = rows[i].clients, .speed = rows[i].speed, .jitter = rows[i].jitter};
        struct trial *trial =
            begin(json_pack("{s:s, s:i, s:i, s:i}", "preset", "fedbuff", "goal", rows[i].goal,
                            "concurrency", rows[i].concurrency, "staleness_max", 1000),
                  3000, &texts);
        run_on(trial, trib_env_system(), 1);
        double seats = rows[i].concurrency > 0 ? rows[i].concurrency : atof(rows[i].clients);
        double expected = (seats - 1) / rows[i].goal;
        if (fabs(trial->report.staleness - expected) > 0.03 * expected) {
            fail_msg("row %zu: staleness %g, not %g", i, trial->report.staleness, expected);
        }
        assert_int_equal(trial->report.updates_counted, 3000 * rows[i].goal);
        end(trial);
    }
}

static void every_preset_runs(void **state) {
    (void)state;
    const struct trib_population_texts texts = {
        .clients = "12",
        .speed = "uniform:5s,40s",
        .dropout = "0.05",
        .attributes = "40% share=1000 + 60% share=250"}; /* cdfl asks nobody without one */
    const struct trib_strategy *strategy;
    for (size_t index = 0; (strategy = trib_strategy_at(index)) != NULL; index++) {
        if (strategy->companions != 0) { /* refused */
            continue;
        }
        bool is_sum = strcmp(strategy->name, "sum") == 0; /* made once, stops by itself */
        trib_version versions = is_sum ? 1 : 12;
        struct trial *trial =
            begin(json_pack("{s:s}", "preset", strategy->name), is_sum ? 0 : (int)versions, &texts);
        trial->work = (struct trib_work){.train = train, .evaluate = evaluate, .evaluate_parts = 2};
        run_on(trial, trib_env_system(), 2);
        if (!trial->report.is_complete || trial->report.version != versions) {
            fail_msg("%s: %s", strategy->name, trial->report.ending);
        }
        assert_true(is_sum || (trial->points[3].is_evaluated && !trial->points[4].is_evaluated));
        end(trial);
    }
}

/* --- clients whose models drift, and a record of all that they train ------------------------------ */

#define CALLS_MAX 4000

/* Steps that move a client's model by its own drift; and all that was trained, as it arrived. */
static struct {
    struct {
        uint64_t client;
        trib_version base;
        uint32_t steps;
        char settings[64];
    } calls[CALLS_MAX];
    size_t call_count;
    double versions[POINTS_MAX]; /* element 0 of each */
    size_t version_count;
} drifting;

static double drift_of(uint64_t client) {
    return ldexp((double)(client % 8) - 3, -10);
}

static enum trib_status drift(void *context, uint32_t hand, const struct trib_work_task *task,
                              const float *base, float *trained, struct trib_work_trained *result,
                              struct trib_error *error) {
    (void)context, (void)hand, (void)error;
    for (size_t i = 0; i < ELEMENTS; i++) {
        trained[i] = (float)(base[i] + drift_of(task->client) * task->steps);
    }
    if (drifting.call_count < CALLS_MAX) {
        drifting.calls[drifting.call_count].client = task->client;
        drifting.calls[drifting.call_count].base = task->version;
        snprintf(drifting.calls[drifting.call_count].settings, sizeof drifting.calls[0].settings,
                 "%s", task->settings);
        drifting.calls[drifting.call_count++].steps = task->steps;
    }
    *result = (struct trib_work_trained){.examples = 1, .loss = NAN};
    return TRIB_OK;
}

/* --- attributes ---------------------------------------------------------------------------------- */

static struct trial *begin_selecting(const char *json, const struct trib_population_texts *texts) {
    struct trial *trial = calloc(1, sizeof *trial);
    struct trib_error error = {0};
    json_t *document = json_loads(json, 0, NULL);
    assert_non_null(document);
    if (trib_spec_parse(trib_env_system(), document, &trial->spec, &error) != TRIB_OK ||
        trib_population_parse(&trial->population, trib_env_system(), texts, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    json_decref(document);
    trial->model = make_model();
    trial->work.train = drift;
    memset(&drifting, 0, sizeof drifting);
    return trial;
}

static uint32_t group_of(const struct trial *trial, uint64_t client) {
    return trib_attributes_row(&trial->population.attributes, client);
}

/* Only the selected are asked, whether all have a place or they take turns; each trains with the
 * settings of its site. */
static void those_selected_train_with_the_settings_of_their_site(void **state) {
    (void)state;
    static const char spec[] =
        "{\"name\":\"t\",\"model\":{},\"strategy\":{\"preset\":\"fedbuff\",\"goal\":4,"
        "\"concurrency\":8},\"train\":{\"batch\":9,\"lr\":0.5},\"stop\":{\"versions\":60},"
        "\"select\":{\"never\":{\"site\":\"gray\"}},\"evaluate\":{\"every\":0},"
        "\"sites\":[{\"match\":{\"gpu\":true},\"train\":{\"batch\":4}}]}";
    static const char *const sizes[] = {"60", "100000"};
    for (size_t size = 0; size < 2; size++) {
        const struct trib_population_texts texts = {
            .clients = sizes[size],
            .present = size == 0 ? NULL : "40",
            .attributes = "50% site=mercy,gpu=true + 30% site=gray + 20% site=7"};
        struct trial *trial = begin_selecting(spec, &texts);
        run_on(trial, trib_env_system(), 1);
        assert_true(trial->report.is_complete);
        size_t with_gpu = 0;
        for (size_t call = 0; call < drifting.call_count; call++) {
            uint32_t group = group_of(trial, drifting.calls[call].client);
            assert_int_not_equal(group, 1);
            assert_string_equal(drifting.calls[call].settings, group == 0
                                                                   ? "{\"batch\":4,\"lr\":0.5}"
                                                                   : "{\"batch\":9,\"lr\":0.5}");
            with_gpu += group == 0;
        }
        assert_in_range(drifting.call_count, 240, 260);
        assert_in_range(with_gpu, 140, 220); /* five of seven */
        end(trial);
    }
}

/* Two of each site in a round, and whoever is preferred before others. */
static void quotas_and_preferences_hold(void **state) {
    (void)state;
    const struct trib_population_texts texts = {
        .clients = "40", .attributes = "50% site=1 + 30% site=2,fast=true + 20% site=2"};
    struct trial *trial =
        begin_selecting("{\"name\":\"t\",\"model\":{},\"strategy\":{\"deadline\":\"none\"},"
                        "\"select\":{\"quota\":{\"site\":2},\"prefer\":{\"fast\":true}},"
                        "\"stop\":{\"versions\":20},\"evaluate\":{\"every\":0}}",
                        &texts);
    run_on(trial, trib_env_system(), 1);
    assert_int_equal(trial->report.updates_counted, 20 * 4);
    size_t in_group[3] = {0};
    for (size_t call = 0; call < drifting.call_count; call++) {
        in_group[group_of(trial, drifting.calls[call].client)]++;
    }
    assert_int_equal(in_group[0], 20 * 2);
    assert_int_equal(in_group[1], 20 * 2);
    assert_int_equal(in_group[2], 0);
    end(trial);
}

static void refuse_saying(struct trial *trial, const char *words) {
    const struct trib_fleet_options options = {.spec = trial->spec,
                                               .population = &trial->population,
                                               .model = trial->model,
                                               .work = &trial->work,
                                               .threads = 1};
    struct trib_error error = {0};
    assert_int_equal(trib_fleet_run(trib_env_system(), &options, &trial->report, &error),
                     TRIB_EINVALID);
    if (strstr(error.text, words) == NULL) {
        fail_msg("%s", error.text);
    }
}

static void a_population_of_which_nobody_may_be_asked_is_refused(void **state) {
    (void)state;
    static const char *const said[] = {NULL, "site=gray"};
    for (size_t i = 0; i < 2; i++) {
        const struct trib_population_texts texts = {.clients = "2", .attributes = said[i]};
        struct trial *trial = begin_selecting(
            "{\"name\":\"t\",\"model\":{},\"select\":{\"require\":{\"site\":\"mercy\"}},"
            "\"stop\":{\"versions\":20}}",
            &texts);
        refuse_saying(trial, "nobody of this population may be asked");
        end(trial);
    }
}

/* --- clients that evaluate ------------------------------------------------------------------------ */

static enum trib_status evaluate_own(void *context, uint32_t hand, uint64_t client,
                                     const float *parameters, struct trib_work_score *score,
                                     struct trib_error *error) {
    (void)context, (void)hand, (void)error;
    const double accuracy = (double)client / 10 + (double)parameters[0];
    *score = (struct trib_work_score){.examples = client + 1,
                                      .correct = accuracy * (double)(client + 1),
                                      .loss = 2 * accuracy * (double)(client + 1)};
    return TRIB_OK;
}

/* The mean over the examples of all clients; the run counts what they report: best and target. */
static void clients_evaluate_on_data_of_their_own(void **state) {
    (void)state;
    const struct trib_population_texts texts = {.clients = "4", .speed = "lognormal:20s,1"};
    struct trial *trial = begin_selecting(
        "{\"name\":\"t\",\"model\":{},\"strategy\":{\"quorum\":4},\"stop\":{\"versions\":6},"
        "\"evaluate\":{\"every\":2,\"on\":[\"clients\"],\"min_clients\":4}}",
        &texts);
    trial->work = (struct trib_work){.train = train, .evaluate_own = evaluate_own};
    struct trib_fleet_point last;
    for (uint32_t threads = 1; threads <= 3; threads++) {
        run_on(trial, trib_env_system(), threads);
        const struct trib_fleet_point *point = &trial->points[trial->point_count - 1];
        assert_int_equal(point->version, 6);
        assert_int_equal(point->own_reports, 4);
        /* (0 * 1 + 0.1 * 2 + 0.2 * 3 + 0.3 * 4) / 10, and what is in the model */
        assert_true(point->own_accuracy > 0.2 && point->own_accuracy < 1.2);
        assert_true(fabs(point->own_loss - 2 * point->own_accuracy) < 1e-12);
        assert_false(point->is_evaluated);
        assert_true(trial->report.has_best && trial->report.best == 6);
        assert_true(fabs(trial->report.best_metric - point->own_accuracy) < 1e-12);
        assert_true(threads == 1 || memcmp(&last, point, sizeof last) == 0);
        last = *point;
    }
    end(trial);
    /* Where seats are free, clients come to a version while the next one is made, or later. */
    trial = begin_selecting(
        "{\"name\":\"t\",\"model\":{},\"strategy\":{\"preset\":\"fedbuff\",\"goal\":2,"
        "\"concurrency\":2},\"stop\":{\"target\":0.5,\"versions\":90},"
        "\"evaluate\":{\"every\":3,\"on\":[\"clients\"]}}",
        &texts);
    trial->work = (struct trib_work){.train = train, .evaluate_own = evaluate_own};
    run_on(trial, trib_env_system(), 2);
    assert_true(trial->report.is_complete && trial->report.version < 90);
    assert_non_null(strstr(trial->report.ending, "reached the target"));
    assert_true(trial->report.own_reports >= trial->report.version / 3);
    end(trial);
}

/* --- what clients keep ---------------------------------------------------------------------------- */

static struct {
    uint32_t good[64]; /* of each client: tasks whose update was one */
    uint32_t trained, bad, wrong;
} keeping;

/* A client keeps how many of its updates have counted; every seventh is no update. */
static enum trib_status keep(void *context, uint32_t hand, const struct trib_work_task *task,
                             const float *base, float *trained, struct trib_work_trained *result,
                             struct trib_error *error) {
    (void)context, (void)hand, (void)error;
    const bool is_bad = ++keeping.trained % 7 == 0;
    float kept = 0;
    if (task->own != NULL) {
        memcpy(&kept, task->own->bytes, sizeof kept);
    }
    keeping.wrong += kept != (float)keeping.good[task->client];
    keeping.bad += is_bad;
    keeping.good[task->client] += !is_bad;
    for (size_t i = 0; i < ELEMENTS; i++) {
        trained[i] = is_bad ? NAN : base[i];
    }
    *result = (struct trib_work_trained){
        .examples = 1, .loss = NAN, .next_own = trib_block_new(trib_env_system(), sizeof kept)};
    kept += 1;
    memcpy(result->next_own->bytes, &kept, sizeof kept);
    trib_block_seal(result->next_own);
    return TRIB_OK;
}

static void what_a_client_keeps_changes_with_updates_that_count(void **state) {
    (void)state;
    static const char *const present[] = {NULL, "10"};
    for (size_t i = 0; i < 2; i++) {
        const struct trib_population_texts texts = {
            .clients = "40", .present = present[i], .speed = "lognormal:20s,1", .dropout = "0.2"};
        memset(&keeping, 0, sizeof keeping);
        struct trial *trial =
            begin(json_pack("{s:s, s:i}", "preset", "fedbuff", "goal", 3), 100, &texts);
        trial->work.train = keep;
        run_on(trial, trib_env_system(), 1);
        assert_true(trial->report.is_complete);
        assert_true(keeping.bad > 20 && keeping.trained > 300);
        assert_int_equal(keeping.wrong, 0);
        end(trial);
    }
}

/* --- clients that are called --------------------------------------------------------------------- */

static enum trib_status look(void *context, uint32_t hand, uint32_t part, const float *parameters,
                             struct trib_work_score *score, struct trib_error *error) {
    (void)context, (void)hand, (void)part, (void)error;
    drifting.versions[drifting.version_count++] = (double)parameters[0];
    *score = (struct trib_work_score){.examples = 1, .correct = 1, .loss = 1};
    return TRIB_OK;
}

/* Forty clients, half of them with a second for a step and half with five; calls are half a tick of
 * ten seconds before the tick that counts them. */
static struct trial *begin_called(const char *preset, int versions) {
    const struct trib_population_texts texts = {
        .clients = "40", .speed = "50% 1s + 50% 5s", .per = "step"};
    memset(&drifting, 0, sizeof drifting);
    drifting.version_count = 1; /* version 0 is zero, and nobody looks at it */
    struct trial *trial = calloc(1, sizeof *trial);
    struct trib_error error = {0};
    json_t *document = json_pack("{s:s, s:{}, s:{s:s, s:s, s:f, s:i}, s:{s:i}, s:{s:i}, s:{s:i}}",
                                 "name", "trial", "model", "strategy", "preset", preset, "tick",
                                 "10s", "fraction", 0.25, "staleness_max", 30, "stop", "versions",
                                 versions, "evaluate", "every", 1, "train", "steps", 20);
    if (trib_spec_parse(trib_env_system(), document, &trial->spec, &error) != TRIB_OK ||
        trib_population_parse(&trial->population, trib_env_system(), &texts, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    json_decref(document);
    trial->model = make_model();
    trial->work = (struct trib_work){.train = drift, .evaluate = look, .evaluate_parts = 1};
    run_on(trial, trib_env_system(), 1);
    if (!trial->report.is_complete || drifting.version_count != (size_t)versions + 1) {
        fail_msg("%s: %zu versions", trial->report.ending, drifting.version_count);
    }
    return trial;
}

/* S2S: a version is the mean of the models of those that were called, which have each gone on from
 * where they were left: so those that take it leave the mean of all devices where it is. FAVANO: the
 * version before is one more of them. */
static void versions_are_means_of_the_models_of_those_called(void **state) {
    (void)state;
    for (int has_server = 0; has_server < 2; has_server++) {
        struct trial *trial = begin_called(has_server ? "favano" : "s2s", 100);
        size_t call = 0;
        uint64_t stale = 0;
        for (size_t v = 1; v < drifting.version_count; v++) {
            double sum = has_server ? drifting.versions[v - 1] : 0;
            uint64_t updates = trial->points[v].updates;
            for (uint64_t n = 0; n < updates; n++, call++) {
                assert_true(drifting.calls[call].base < v);
                stale += drifting.calls[call].base < v - 1;
                sum += drifting.versions[drifting.calls[call].base] +
                       drift_of(drifting.calls[call].client) * drifting.calls[call].steps;
            }
            double mean = sum / (double)(updates + (uint64_t)has_server);
            assert_true(fabs(drifting.versions[v] - mean) < 1e-6);
        }
        assert_true(stale > call / 2); /* most of them were left alone for several versions */
        end(trial);
    }
}

/* Each client is called with probability C in a tick, whatever its speed, and has done then what it
 * could: j ticks and a half later a second each, at most K. */
static void calls_do_not_wait_for_the_slow(void **state) {
    (void)state;
    struct trial *trial = begin_called("s2s", 300);
    uint64_t fast = 0, slow = 0;
    for (size_t call = 0; call < drifting.call_count; call++) {
        double pace = trib_population_errand(&trial->population,
                                             &(struct trib_errand_task){
                                                 .client = drifting.calls[call].client, .steps = 1})
                                  .compute > 2 * TRIB_SECOND
                          ? 5
                          : 1;
        uint32_t steps = drifting.calls[call].steps;
        if (pace == 1) {
            assert_true(steps % 10 == 5 || steps == 20);
        } else {
            assert_true(steps % 2 == 1 || steps == 20);
        }
        fast += pace == 1;
        slow += pace == 5;
    }
    uint64_t all = fast + slow;
    assert_in_range(all, 300 * 40 / 4 * 9 / 10, 300 * 40 / 4 * 11 / 10);
    /* Of 40 draws about half are fast; each is called as often as any other. */
    uint64_t fast_clients = 0;
    for (uint64_t client = 0; client < 40; client++) {
        fast_clients +=
            trib_population_errand(&trial->population,
                                   &(struct trib_errand_task){.client = client, .steps = 1})
                .compute < 2 * TRIB_SECOND;
    }
    assert_in_range(fast, all * fast_clients / 40 * 9 / 10, all * fast_clients / 40 * 11 / 10);
    end(trial);
}

/* Transfers take their time: a task is as long as its four parts. */
static void links_cost_time_and_bytes(void **state) {
    (void)state;
    const struct trib_population_texts texts = {
        .clients = "1", .speed = "10s", .latency = "500ms", .download = "1kB", .upload = "100B"};
    struct trial *trial = begin(json_pack("{s:s, s:i}", "preset", "fedbuff", "goal", 1), 4, &texts);
    run_on(trial, trib_env_system(), 1);
    double body = (double)trial->model->byte_count;
    double task = 10.0 + 2 * 0.5 + body / 1000 + body / 100;
    assert_true(fabs((double)trial->points[4].at / TRIB_SECOND - 4 * task) < 1e-3);
    assert_int_equal(trial->report.bytes_up, 4 * trial->model->byte_count);
    end(trial);
}

/* A lease after the client has fallen silent its seat is another's. */
static void the_silent_are_replaced(void **state) {
    (void)state;
    const struct trib_population_texts texts = {
        .clients = "10000", .speed = "10s", .dropout = "0.5"};
    struct trial *trial = begin(
        json_pack("{s:s, s:i, s:i}", "preset", "fedbuff", "goal", 2, "concurrency", 4), 50, &texts);
    run_on(trial, trib_env_system(), 1);
    assert_true(trial->report.is_complete);
    assert_true(trial->report.vanished > 60 && trial->report.vanished < 140);
    assert_true(trial->report.clients > 190); /* hardly anybody twice */
    end(trial);
}

/* Nobody can train for good: the run says so instead of hanging. */
static void a_run_that_cannot_go_on_ends(void **state) {
    (void)state;
    const struct trib_population_texts texts = {.clients = "2"};
    struct trial *trial =
        begin(json_pack("{s:s, s:i, s:s}", "preset", "fedavg", "quorum", 3, "deadline", "none"), 5,
              &texts);
    run_on(trial, trib_env_system(), 1);
    assert_false(trial->report.is_complete);
    assert_non_null(strstr(trial->report.ending, "nothing more can happen"));
    end(trial);
}

/* A clock ticks for ever, and a version would need more clients than there are; or all of them fall
 * silent, again and again. */
static void a_run_that_gets_no_updates_any_more_ends(void **state) {
    (void)state;
    const struct trib_population_texts few = {.clients = "2"};
    struct trial *trial =
        begin(json_pack("{s:s, s:i, s:s}", "preset", "fedfix", "quorum", 3, "tick", "1s"), 5, &few);
    run_on(trial, trib_env_system(), 1);
    assert_false(trial->report.is_complete);
    assert_non_null(strstr(trial->report.ending, "nothing more can happen"));
    end(trial);
    const struct trib_population_texts silent = {.clients = "3", .dropout = "0.99999999"};
    trial = begin(json_pack("{s:s}", "preset", "fedavg"), 5, &silent);
    run_on(trial, trib_env_system(), 1);
    assert_false(trial->report.is_complete);
    assert_non_null(strstr(trial->report.ending, "100301 tasks in a row fell silent"));
    end(trial);
}

static void a_run_without_an_end_is_refused(void **state) {
    (void)state;
    const struct trib_population_texts texts = {.clients = "2"};
    struct trial *trial = begin(json_pack("{s:s}", "preset", "fedavg"), 0, &texts);
    const struct trib_fleet_options options = {.spec = trial->spec,
                                               .population = &trial->population,
                                               .model = trial->model,
                                               .work = &trial->work,
                                               .threads = 1};
    struct trib_error error = {0};
    assert_int_equal(trib_fleet_run(trib_env_system(), &options, &trial->report, &error),
                     TRIB_EINVALID);
    assert_non_null(strstr(error.text, "would never stop"));
    end(trial);
}

static void a_strategy_with_companions_is_refused(void **state) {
    (void)state;
    const struct trib_population_texts texts = {.clients = "2"};
    struct trial *trial = begin(json_pack("{s:s}", "preset", "fedcm"), 3, &texts);
    trial->work.train = train; /* which makes nothing beside the model */
    const struct trib_fleet_options options = {.spec = trial->spec,
                                               .population = &trial->population,
                                               .model = trial->model,
                                               .work = &trial->work,
                                               .threads = 1};
    struct trib_error error = {0};
    assert_int_equal(trib_fleet_run(trib_env_system(), &options, &trial->report, &error),
                     TRIB_EINVALID);
    assert_non_null(strstr(error.text, "fedcm"));
    end(trial);
}

/* --- memory ------------------------------------------------------------------------------------- */

/* As many different clients train in both, and so little that the roster is far from growing. */
static uint64_t peak_of(const char *clients) {
    const struct trib_population_texts texts = {.clients = clients, .speed = "lognormal:9s,1"};
    struct trial *trial =
        begin(json_pack("{s:s, s:i, s:i}", "preset", "fedbuff", "goal", 10, "concurrency", 50), 60,
              &texts);
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    run_on(trial, &faulty.env, 1);
    assert_int_equal(faulty.blocks_live, 0);
    uint64_t peak = faulty.bytes_peak;
    trib_env_faulty_deinit(&faulty);
    end(trial);
    return peak;
}

static void an_idle_client_costs_next_to_nothing(void **state) {
    (void)state;
    uint64_t few = peak_of("20000"), many = peak_of("1020000");
    assert_true(many > few);
    assert_true(many - few <= 1000000 / 2); /* half a byte each; the target is 64 */
}

/* Ends the trial. */
static void fail_every_allocation(struct trial *trial) {
    const struct trib_fleet_options options = {.spec = trial->spec,
                                               .population = &trial->population,
                                               .model = trial->model,
                                               .work = &trial->work,
                                               .threads = 1};
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    enum trib_status status = TRIB_OK;
    uint64_t nth = 0, failures = 0;
    do {
        struct trib_error error = {0};
        trib_env_faulty_fail(&faulty, ++nth);
        status = trib_fleet_run(&faulty.env, &options, &trial->report, &error);
        assert_true(status == TRIB_OK || (status == TRIB_EMEMORY && error.text[0] != '\0'));
        assert_int_equal(faulty.blocks_live, 0);
        failures += status != TRIB_OK;
    } while (faulty.has_failed);
    assert_int_equal(status, TRIB_OK);
    assert_true(failures > 20);
    trib_env_faulty_deinit(&faulty);
    end(trial);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    const struct trib_population_texts texts = {
        .clients = "6", .upload = "10kB", .attributes = "50% site=1 + 50% site=2"};
    const struct trib_work work = {
        .train = train, .evaluate = evaluate, .evaluate_parts = 2, .combine = combine};
    for (int is_external = 0; is_external < 2; is_external++) {
        struct trial *trial = begin(json_pack("{s:s, s:i, s:s}", "preset", "fedbuff", "goal", 2,
                                              "combiner", is_external ? "external" : "sum"),
                                    4, &texts);
        trial->work = work;
        trial->work.combine = is_external ? combine : NULL;
        fail_every_allocation(trial);
    }
    /* Clients that evaluate and keep something, models from several bases. */
    struct trial *trial = begin_selecting(
        "{\"name\":\"t\",\"model\":{},\"strategy\":{\"preset\":\"s2s\",\"tick\":\"20s\"},"
        "\"evaluate\":{\"on\":[\"clients\",\"evaluators\"]},\"stop\":{\"versions\":4},"
        "\"sites\":[{\"match\":{\"site\":2},\"train\":{\"lr\":1}}]}",
        &texts);
    trial->work = work;
    trial->work.combine = NULL;
    trial->work.train = keep;
    trial->work.evaluate_own = evaluate_own;
    fail_every_allocation(trial);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(somebody_else_may_combine),
        cmocka_unit_test(another_seed_is_another_run),
        cmocka_unit_test(staleness_is_what_theory_says),
        cmocka_unit_test(every_preset_runs),
        cmocka_unit_test(those_selected_train_with_the_settings_of_their_site),
        cmocka_unit_test(quotas_and_preferences_hold),
        cmocka_unit_test(a_population_of_which_nobody_may_be_asked_is_refused),
        cmocka_unit_test(clients_evaluate_on_data_of_their_own),
        cmocka_unit_test(what_a_client_keeps_changes_with_updates_that_count),
        cmocka_unit_test(versions_are_means_of_the_models_of_those_called),
        cmocka_unit_test(calls_do_not_wait_for_the_slow),
        cmocka_unit_test(links_cost_time_and_bytes),
        cmocka_unit_test(the_silent_are_replaced),
        cmocka_unit_test(a_run_that_cannot_go_on_ends),
        cmocka_unit_test(a_run_that_gets_no_updates_any_more_ends),
        cmocka_unit_test(a_run_without_an_end_is_refused),
        cmocka_unit_test(a_strategy_with_companions_is_refused),
        cmocka_unit_test(an_idle_client_costs_next_to_nothing),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
