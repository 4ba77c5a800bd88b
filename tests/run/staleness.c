/* staleness.c - how old updates are with FedBuff, and how much each client counts with FedFix,
 * measured on the heart with an instant node.
 *
 * FedBuff: if every seat is taken again at once and staleness is read as an update arrives, then an update is
 * (C - 1) / K versions old in the mean, whatever the distribution of durations: while one client
 * trains, the others bring C - 1 updates in the mean, and K make a version. The rows of
 * tests/vectors/merge.json were simulated independently. Here durations are drawn anew for each
 * task, and there are as many clients as seats, or twice as many.
 *
 * Asynchronous FedAvg: with weights by participation the same holds whatever the strategy; the mean
 * weights are those of the vectors.
 *
 * FedFix: with the weights ceil(duration / tick), here 1 + staleness, every client counts as much
 * as any other in the long run, however slow it is (tests/vectors/fedfix.json). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "learn/vectors.h"
#include "run/run.h"
#include "support/check.h"

#define CLIENTS_MAX 200
#define UPDATES_FIRST 2000 /* until the start is forgotten */
#define UPDATES_COUNTED 40000
#define VERSIONS_COUNTED 1000
#define TOLERANCE 0.05 /* of the mean, plus as much of a version */

struct device {
    char name[TRIB_NAME_BYTES];
    char task[32];
    trib_version base;
    trib_time_ns done_at; /* TRIB_TIME_NEVER: has no task */
    double seconds;       /* how long it always takes; 0: drawn for each task */
    uint64_t examples;    /* behind each of its updates; 0: 1 */
    double weight;        /* of its updates together */
    uint64_t updates;
};

struct fleet {
    struct trib_spec *spec;
    struct trib_run *run;
    struct trib_random random;
    const char *durations;
    struct device devices[CLIENTS_MAX];
    uint32_t device_count;
    trib_time_ns now;
    uint64_t update_count;
    double staleness_sum;
};

static trib_time_ns draw_duration(struct fleet *fleet) {
    double unit = 1 - trib_random_unit(&fleet->random); /* above 0 */
    double seconds = 10;
    if (strcmp(fleet->durations, "exp") == 0)
        seconds = -10 * log(unit);
    else if (strcmp(fleet->durations, "pareto") == 0)
        seconds = 5 / sqrt(unit);
    else if (strcmp(fleet->durations, "bimodal") == 0)
        seconds = unit < 0.8 ? 1 : 50;
    else
        assert_string_equal(fleet->durations, "const");
    return (trib_time_ns)(seconds * (double)TRIB_SECOND);
}

/* A request is the number of its device, plus one. */
static void take_task(struct fleet *fleet, const struct trib_effect *effect) {
    struct device *device = &fleet->devices[effect->request - 1];
    assert_int_equal(effect->task.kind, TRIB_TASK_TRAIN);
    memcpy(device->task, effect->task.id, sizeof device->task);
    device->base = effect->task.version;
    device->done_at =
        fleet->now + (device->seconds > 0 ? (trib_time_ns)(device->seconds * (double)TRIB_SECOND)
                                          : draw_duration(fleet));
}

static void note_update(struct fleet *fleet, const struct trib_effect *effect) {
    if (fleet->update_count++ >= UPDATES_FIRST)
        fleet->staleness_sum += (double)effect->staleness;
    fleet->devices[effect->request - 1].weight += (double)effect->weight;
    fleet->devices[effect->request - 1].updates++;
}

/* What the node answers to an effect; false: nothing. */
static bool carry_out(const struct trib_effect *effect, struct trib_event *event) {
    static const enum trib_event_kind answers[] = {
        [TRIB_EFFECT_SPOOL] = TRIB_EVENT_SPOOLED,
        [TRIB_EFFECT_FOLD] = TRIB_EVENT_FOLDED,
        [TRIB_EFFECT_MERGE] = TRIB_EVENT_MERGED,
        [TRIB_EFFECT_PERSIST] = TRIB_EVENT_PERSISTED,
    };
    if (effect->kind >= sizeof answers / sizeof *answers || !answers[effect->kind])
        return false;
    *event = (struct trib_event){
        .kind = answers[effect->kind], .slot = effect->slot, .version = effect->version};
    return true;
}

/* One event, and all that follows from it at the same time. */
static void step(struct fleet *fleet, struct trib_event event) {
    static struct trib_effects effects;
    struct trib_event queue[1024];
    size_t first = 0, count = 0;
    queue[count++] = event;
    while (first < count) {
        event = queue[first++];
        event.now = fleet->now;
        trib_run_step(fleet->run, &event, &effects);
        for (uint32_t index = 0; index < effects.count; index++) {
            const struct trib_effect *effect = &effects.items[index];
            if (effect->kind == TRIB_EFFECT_TASK)
                take_task(fleet, effect);
            if (effect->kind == TRIB_EFFECT_SPOOL)
                note_update(fleet, effect);
            assert_true(effect->kind != TRIB_EFFECT_REFUSE && count < 1024);
            count += carry_out(effect, &queue[count]);
        }
    }
}

static void ask(struct fleet *fleet, uint32_t index, enum trib_event_kind kind) {
    struct device *device = &fleet->devices[index];
    step(fleet, (struct trib_event){.kind = kind,
                                    .request = index + 1,
                                    .client = device->name,
                                    .id = device->task,
                                    .version = device->base,
                                    .examples = device->examples ? device->examples : 1,
                                    .wait_until = TRIB_TIME_NEVER});
}

/* Go on to the next thing: a client finishes, or the run has asked for a tick. */
static void play_next(struct fleet *fleet) {
    uint32_t next = 0;
    for (uint32_t index = 1; index < fleet->device_count; index++) {
        if (fleet->devices[index].done_at < fleet->devices[next].done_at)
            next = index;
    }
    trib_time_ns deadline = trib_run_deadline(fleet->run);
    struct device *device = &fleet->devices[next];
    bool is_tick = deadline <= device->done_at; /* an update that is in time to the dot is late */
    fleet->now = is_tick ? deadline : device->done_at;
    assert_true(fleet->now != TRIB_TIME_NEVER);
    if (is_tick) {
        step(fleet, (struct trib_event){.kind = TRIB_EVENT_TICK});
    } else {
        device->done_at = TRIB_TIME_NEVER;
        ask(fleet, next, TRIB_EVENT_UPDATE);
        ask(fleet, next, TRIB_EVENT_ASK);
    }
}

/* Takes the strategy. */
static void fleet_init(struct fleet *fleet, json_t *strategy, uint32_t device_count,
                       const char *durations) {
    json_t *document =
        json_pack("{s:s, s:{}, s:o, s:s, s:i, s:{s:i}}", "name", "fleet", "model", "strategy",
                  strategy, "lease", "3650d", "updates_pending_max", 512, "evaluate", "every", 0);
    fleet->durations = durations;
    fleet->device_count = device_count;
    assert_int_equal(trib_spec_parse(trib_env_system(), document, &fleet->spec, NULL), TRIB_OK);
    json_decref(document);
    fleet->run =
        trib_run_new(trib_env_system(), fleet->spec, &(struct trib_run_limits){.accumulators = 2});
    assert_non_null(fleet->run);
    trib_random_derive(&fleet->random, 7, durations, device_count);
    step(fleet, (struct trib_event){.kind = TRIB_EVENT_MODEL});
    for (uint32_t index = 0; index < device_count; index++) {
        struct device *device = &fleet->devices[index];
        snprintf(device->name, sizeof device->name, "dev-%03u", index);
        device->done_at = TRIB_TIME_NEVER;
        ask(fleet, index, TRIB_EVENT_JOIN);
        ask(fleet, index, TRIB_EVENT_ASK);
    }
}

static double mean_staleness(uint32_t concurrency, uint32_t goal, uint32_t device_count,
                             const char *durations) {
    struct fleet fleet = {0};
    json_t *strategy = json_pack("{s:s, s:i, s:i, s:i, s:s}", "preset", "fedbuff", "goal",
                                 (int)goal, "concurrency", (int)concurrency, "staleness_max",
                                 TRIB_STALENESS_MAX, "staleness", "constant");
    fleet_init(&fleet, strategy, device_count, durations);
    while (fleet.update_count < UPDATES_FIRST + UPDATES_COUNTED) {
        play_next(&fleet);
        struct trib_run_status status;
        trib_run_status(fleet.run, fleet.now, &status);
        assert_int_equal(status.training, concurrency); /* no seat is ever empty */
    }
    trib_run_free(fleet.run);
    trib_spec_free(fleet.spec);
    return fleet.staleness_sum / UPDATES_COUNTED;
}

static void updates_are_as_old_as_concurrency_and_goal_make_them(void **state) {
    (void)state;
    json_t *file = vectors_load("merge.json");
    const json_t *rows =
        vectors_at(vectors_case(file, "steady_state_mean_staleness"), "outputs.rows");
    assert_true(json_array_size(rows) >= 4);
    size_t index;
    json_t *row;
    json_array_foreach((json_t *)rows, index, row) {
        uint32_t concurrency = (uint32_t)vectors_number(row, "concurrency");
        uint32_t goal = (uint32_t)vectors_number(row, "K");
        const char *durations = json_string_value(json_object_get(row, "durations"));
        double predicted = vectors_number(row, "predicted");
        for (uint32_t factor = 1; factor <= 2; factor++) {
            double mean = mean_staleness(concurrency, goal, factor * concurrency, durations);
            if (fabs(mean - predicted) > TOLERANCE * (1 + predicted))
                fail_msg("C %u, K %u, %s durations, %u clients: %.3f versions, not %.3f",
                         concurrency, goal, durations, factor * concurrency, mean, predicted);
        }
    }
    json_decref(file);
}

static void slow_clients_count_as_much_as_fast_ones(void **state) {
    (void)state;
    json_t *file = vectors_load("fedfix.json");
    const json_t *item = vectors_case(file, "fedfix");
    double durations[3];
    vectors_numbers(vectors_at(item, "inputs.tau"), durations, 3);
    struct fleet fleet = {0};
    for (size_t index = 0; index < 3; index++)
        fleet.devices[index].seconds = durations[index] - 1e-6;
    fleet_init(
        &fleet,
        json_pack("{s:s, s:f}", "preset", "fedfix", "tick", vectors_number(item, "inputs.delta_t")),
        3, "");
    struct trib_run_status status = {0};
    while (status.version < VERSIONS_COUNTED) {
        play_next(&fleet);
        trib_run_status(fleet.run, fleet.now, &status);
    }
    for (size_t index = 0; index < 3; index++)
        assert_true(fabs(fleet.devices[index].weight - VERSIONS_COUNTED) <= 3);
    trib_run_free(fleet.run);
    trib_spec_free(fleet.spec);
    json_decref(file);
}

/* The mean weight of client i's updates, as a share: d_i = (sum of 1/tau) tau_i p_i. And with the
 * rule of thumb that is p_i / (the share of versions that it is in). */
static void weights_by_participation_are_asynchronous_fedavgs(void **state) {
    (void)state;
    json_t *file = vectors_load("fedfix.json");
    const json_t *item = vectors_case(file, "asynchronous_fedavg");
    double durations[3], shares[3], expected[3];
    vectors_numbers(vectors_at(item, "inputs.tau"), durations, 3);
    vectors_numbers(vectors_at(item, "inputs.p"), shares, 3);
    vectors_numbers(vectors_at(item, "outputs.d_i"), expected, 3);
    struct fleet fleet = {0};
    for (size_t index = 0; index < 3; index++) {
        fleet.devices[index].seconds = durations[index];
        fleet.devices[index].examples = (uint64_t)(4 * shares[index]);
    }
    fleet_init(&fleet,
               json_pack("{s:s, s:s, s:i, s:s}", "preset", "asyncfedavg", "weights", "examples",
                         "weight_max", 4, "divide", "none"),
               3, "");
    struct trib_run_status status = {0};
    while (status.version < VERSIONS_COUNTED) {
        play_next(&fleet);
        trib_run_status(fleet.run, fleet.now, &status);
    }
    double unit = ldexp(1, (int)fleet.spec->strategy.weight_unit_bits);
    for (size_t index = 0; index < 3; index++) {
        const struct device *device = &fleet.devices[index];
        double mean = device->weight / (double)device->updates / unit / 4;
        assert_true(fabs(mean - expected[index]) <= 0.02 * expected[index]);
        double rate = (double)device->updates / VERSIONS_COUNTED;
        assert_true(fabs(mean - shares[index] / rate) <= 0.02 * mean);
    }
    trib_run_free(fleet.run);
    trib_spec_free(fleet.spec);
    json_decref(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_are_as_old_as_concurrency_and_goal_make_them),
        cmocka_unit_test(slow_clients_count_as_much_as_fast_ones),
        cmocka_unit_test(weights_by_participation_are_asynchronous_fedavgs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
