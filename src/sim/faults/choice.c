/* choice.c - what kind of world a seed stands for: its run, its people, its daemon, its troubles. */
#include "sim/faults/choice.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "run/spec.h"
#include "sim/faults/world.h"

#define MINUTE (60 * TRIB_SECOND)
#define RUN "r1"
#define STALENESS_MAX 8
#define SLOWEST_DRAWN (10 * MINUTE) /* no time that a strategy is drawn with is longer */

static const char *one_of(const char *const *words, size_t count) {
    return words[world_below(count)];
}
#define ONE_OF(...)                            \
    one_of((const char *const[]){__VA_ARGS__}, \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void put(json_t *object, const char *key, json_t *value) {
    TRIB_ASSERT(json_object_set_new(object, key, value) == 0);
}

static void put_text(json_t *object, const char *key, const char *value) {
    put(object, key, json_string(value));
}

static void put_whole(json_t *object, const char *key, uint64_t value) {
    put(object, key, json_integer((json_int_t)value));
}

/* --- a spec that is drawn -------------------------------------------------------------------------- */

static json_t *draw_server(void) {
    const char *kind = ONE_OF("sgd", "sgd", "momentum", "nesterov", "adagrad", "adam", "yogi");
    json_t *server = json_object();
    put_text(server, "optimizer", kind);
    bool is_adaptive =
        strcmp(kind, "adagrad") == 0 || strcmp(kind, "adam") == 0 || strcmp(kind, "yogi") == 0;
    if (is_adaptive) {
        put_text(server, "variant", ONE_OF("paper", "standard"));
    }
    return server;
}

/* Weights, and the most of them in one version: now and then hardly more than the least that the
 * spec allows. */
static void draw_weights(json_t *strategy, bool is_equal, uint64_t weight_max) {
    const char *staleness = json_string_value(json_object_get(strategy, "staleness"));
    bool is_linear = strcmp(staleness, "linear") == 0;
    uint64_t least = (is_equal ? 1 : weight_max) * (is_linear ? 1 + STALENESS_MAX : 1);
    uint64_t goal = (uint64_t)json_integer_value(json_object_get(strategy, "goal"));
    uint64_t quorum = (uint64_t)json_integer_value(json_object_get(strategy, "quorum"));
    least = goal > least ? goal : least;
    least = quorum > least ? quorum : least;
    put_text(strategy, "weights", is_equal ? "equal" : "examples");
    put_whole(strategy, "weight_total_max",
              world_chance(0.7) ? 1073741824 : least * (1 + world_below(4)));
}

static void draw_rounds(json_t *strategy, uint64_t quorum) {
    put_text(strategy, "preset", ONE_OF("fedavg", "fedavg", "fedprox", "fedsgd"));
    put(strategy, "fraction", json_real(world_chance(0.3) ? 0.5 : 1.0));
    put(strategy, "over_selection", json_real(world_chance(0.5) ? 0.5 : 0.0));
    put_text(strategy, "deadline", ONE_OF("auto", "5s", "30s", "5m"));
    put_text(strategy, "first_deadline", "2m");
    put_text(strategy, "short", ONE_OF("wait", "wait", "go", "pause"));
    put_text(strategy, "late", ONE_OF("count", "count", "refuse"));
    put_text(strategy, "staleness", ONE_OF("constant", "constant", "polynomial", "hinge"));
    put_whole(strategy, "quorum", quorum);
}

static void draw_buffer(json_t *strategy, uint64_t quorum, bool is_equal) {
    uint64_t goal = quorum + world_below(3);
    put_text(strategy, "preset", "fedbuff");
    put_whole(strategy, "goal", goal);
    put_whole(strategy, "concurrency", world_chance(0.5) ? 0 : goal);
    put_text(strategy, "divide", is_equal ? ONE_OF("weight", "goal", "none") : "weight");
    put_text(strategy, "staleness", ONE_OF("constant", "polynomial", "hinge"));
    bool is_open = world_chance(0.3);
    put_text(strategy, "deadline", is_open ? "none" : ONE_OF("20s", "2m"));
    put_whole(strategy, "quorum", is_open ? 1 : quorum);
}

static void draw_ticks(json_t *strategy, uint64_t quorum) {
    put_text(strategy, "preset", "fedfix");
    put_text(strategy, "tick", ONE_OF("5s", "1m"));
    put_text(strategy, "divide", ONE_OF("weight", "none"));
    put_text(strategy, "staleness", ONE_OF("linear", "linear", "constant"));
    put_whole(strategy, "quorum", quorum);
}

/* What clients do when they are called is theirs; here they send when they like. */
static void draw_contacts(json_t *strategy, uint64_t quorum, bool is_equal) {
    bool has_server = is_equal && world_chance(0.5);
    put_text(strategy, "preset", has_server ? "favano" : "s2s");
    put_text(strategy, "tick", ONE_OF("5s", "1m"));
    put(strategy, "fraction", json_real(world_chance(0.5) ? 0.25 : 1.0));
    put_text(strategy, "staleness", ONE_OF("constant", "polynomial"));
    put_whole(strategy, "quorum", quorum);
}

static void draw_mixing(json_t *strategy) {
    put_text(strategy, "preset", "fedasync");
    put(strategy, "alpha", json_real(world_chance(0.5) ? 0.6 : 0.05 + 0.95 * world_unit()));
    put_whole(strategy, "concurrency", world_below(4));
    put_text(strategy, "staleness", ONE_OF("constant", "polynomial", "hinge"));
}

/* Rounds mostly, else a version per so many updates, per tick of a clock, or per update. */
static json_t *draw_strategy(uint64_t trainers, uint64_t weight_max) {
    json_t *strategy = json_object();
    uint64_t kind = world_below(20), quorum = 1 + world_below(trainers);
    bool is_equal = world_chance(0.3);
    put_whole(strategy, "staleness_max", STALENESS_MAX);
    put_whole(strategy, "weight_max", weight_max);
    if (kind >= 16) {
        draw_mixing(strategy);
    } else {
        if (kind < 9) {
            draw_rounds(strategy, quorum);
        } else if (kind < 14) {
            draw_buffer(strategy, quorum, is_equal);
        } else if (kind < 15) {
            draw_ticks(strategy, quorum);
        } else {
            draw_contacts(strategy, quorum, is_equal);
        }
        draw_weights(strategy, is_equal, weight_max);
        if (kind < 15 && world_chance(0.15)) { /* a mean of models is a rule of its own */
            put_text(strategy, "combiner", "external");
        }
    }
    put(strategy, "server", draw_server());
    return strategy;
}

/* So small that whoever is absent must be forgotten, and with room for a quorum beside those who
 * are no trainers. */
static uint64_t draw_roster(const json_t *strategy) {
    uint64_t quorum = (uint64_t)json_integer_value(json_object_get(strategy, "quorum"));
    uint64_t least = (uint64_t)json_integer_value(json_object_get(strategy, "concurrency"));
    uint64_t enough = (quorum > 0 ? quorum : 1) + 2 + world_below(2);
    return enough > least ? enough : least;
}

static bool is_combined(const json_t *spec) {
    return json_object_get(json_object_get(spec, "strategy"), "combiner") != NULL;
}

/* is_changing: changes are drawn for it, too, whose needs are not known yet. */
static json_t *draw_spec(uint64_t trainers, uint64_t weight_max, bool is_changing) {
    json_t *spec = json_object();
    put(spec, "strategy", draw_strategy(trainers, weight_max));
    put(spec, "model", json_pack("{s:f}", "delta_max", world_chance(0.5) ? 16.0 : 0.125));
    put(spec, "evaluate",
        json_pack("{s:I, s:s, s:I}", "every", (json_int_t)world_below(3), "deadline", "30s",
                  "min_clients", (json_int_t)(1 + world_below(2))));
    json_t *on = json_pack("[s]", "evaluators");
    if (world_chance(0.5)) {
        TRIB_ASSERT(json_array_append_new(on, json_string("clients")) == 0);
    }
    put(json_object_get(spec, "evaluate"), "on", on);
    put(spec, "keep",
        json_pack("{s:{s:I, s:I}, s:s}", "versions", "last", (json_int_t)(1 + world_below(4)),
                  "every", (json_int_t)world_below(4), "updates",
                  world_chance(0.15) ? "forever" : "until-counted"));
    bool is_in_memory = world_chance(0.12) && !is_combined(spec); /* which reads from the disk */
    put_text(spec, "durability", is_in_memory ? "memory" : "spool");
    put_text(spec, "lease", ONE_OF("20s", "2m", "10m"));
    put_text(spec, "checkpoint_every", world_chance(0.5) ? "0s" : ONE_OF("10s", "1m", "10m"));
    put_whole(spec, "updates_pending_max",
              2 * trainers + 2 + world_below(world_chance(0.3) ? 3 : 60));
    if (!is_changing && world_chance(0.15)) {
        put_whole(spec, "clients_max", draw_roster(json_object_get(spec, "strategy")));
    }
    if (world_chance(0.1)) {
        put(spec, "stop", json_pack("{s:I}", "versions", (json_int_t)(5 + world_below(60))));
    }
    return spec;
}

/* --- changes of it ---------------------------------------------------------------------------------- */

/* What an operator may ask of the live run, and may be refused: the same strategy with another server,
 * combined by another, another strategy, or something beside it. Examples keep their bound, so that
 * what is sound stays so. */
static json_t *draw_change(uint64_t trainers, uint64_t weight_max) {
    json_t *change = json_object(), *strategy = json_object();
    switch (world_below(5)) {
    case 0:
        put(strategy, "server", draw_server());
        break;
    case 1:
        put_text(strategy, "combiner", ONE_OF("external", "sum"));
        break;
    case 2:
        put(change, "train", json_pack("{s:i}", "steps", 1 + (int)world_below(100)));
        put(change, "evaluate", json_pack("{s:I}", "every", (json_int_t)world_below(3)));
        break;
    default:
        json_decref(strategy);
        strategy = draw_strategy(trainers, weight_max);
    }
    put(change, "strategy", strategy);
    return change;
}

static void draw_changes(struct choice *choice, uint64_t trainers) {
    struct people_rules *people = &choice->people;
    people->change_count = 1 + (size_t)world_below(PEOPLE_CHANGES_MAX);
    for (size_t i = 0; i < people->change_count; i++) {
        json_t *change = draw_change(trainers, people->weight_max);
        size_t count =
            json_dumpb(change, choice->changes[i], sizeof choice->changes[i] - 1, JSON_COMPACT);
        TRIB_ASSERT(count > 0 && count < sizeof choice->changes[i]);
        choice->changes[i][count] = '\0';
        people->changes[i] = choice->changes[i];
        json_decref(change);
    }
    people->is_equal = true;
    people->has_combiner = true;
    choice->slowest = choice->slowest > SLOWEST_DRAWN ? choice->slowest : SLOWEST_DRAWN;
}

/* --- complete ---------------------------------------------------------------------------------------- */

/* The world has a name and a model of its own, small and with a tensor of each role. */
static void replace_model(json_t *document) {
    json_t *bound = json_incref(json_object_get(json_object_get(document, "model"), "delta_max"));
    put_text(document, "name", RUN);
    put(document, "model",
        json_pack("{s:s, s:[{s:s, s:s}]}", "init", "upload", "tensors", "match", "c.frozen", "role",
                  "freeze"));
    if (bound != NULL) {
        put(json_object_get(document, "model"), "delta_max", bound);
    }
}

static trib_time_ns slowest_of(const struct trib_spec *spec) {
    const trib_time_ns waits[] = {spec->strategy.deadline, spec->strategy.first_deadline,
                                  spec->strategy.tick, spec->lease, spec->evaluate.deadline};
    trib_time_ns slowest = MINUTE;
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        bool is_a_time = waits[i] != TRIB_TIME_NEVER;
        slowest = is_a_time && waits[i] > slowest ? waits[i] : slowest;
    }
    return slowest;
}

static enum trib_status read_spec(struct choice *choice, const json_t *document,
                                  struct trib_error *error) {
    struct trib_spec *spec = NULL;
    enum trib_status status = trib_spec_parse(trib_env_system(), document, &spec, error);
    if (status == TRIB_OK && spec->strategy.quorum > PEOPLE_TRAINERS_MAX) {
        status = trib_error_set(error, TRIB_EINVALID,
                                "strategy.quorum: %" PRIu32 ", and a world has %d trainers",
                                spec->strategy.quorum, PEOPLE_TRAINERS_MAX);
    }
    if (status == TRIB_OK) {
        json_t *complete = trib_spec_document(spec);
        size_t count = json_dumpb(complete, choice->spec, sizeof choice->spec - 1, JSON_COMPACT);
        TRIB_ASSERT(count > 0 && count < sizeof choice->spec);
        choice->spec[count] = '\0';
        if (!rules_read(&choice->judge.spec, complete)) {
            status = trib_error_set(error, TRIB_EINVALID,
                                    "strategy: worlds know weights equal and examples, staleness "
                                    "constant, polynomial, hinge and linear");
        }
        json_decref(complete);
        choice->slowest = slowest_of(spec);
        choice->is_checkpointed_always = spec->checkpoint_every == 0 && !spec->keep.updates_forever;
        choice->is_recorded =
            spec->keep.updates_forever && spec->durability == TRIB_DURABILITY_SPOOL;
        choice->keeps_bodies = spec->durability == TRIB_DURABILITY_SPOOL;
        choice->people.trainer_count = spec->strategy.quorum;
    }
    trib_spec_free(spec);
    return status;
}

static void draw_sizes(uint32_t counts[SUMS_TENSORS]) {
    uint64_t kind = world_below(30);
    counts[0] = 1 + (uint32_t)world_below(200);
    counts[1] = 1 + (uint32_t)world_below(20);
    counts[2] = 1 + (uint32_t)world_below(10);
    if (kind == 0) {
        counts[0] = 265000; /* bodies over 1 MiB */
    } else if (kind == 1) {
        counts[0] = 525000; /* and work in two parts */
    } else if (kind < 6) {
        counts[0] = 20000;
    }
}

static void draw_troubles(struct choice *choice, bool is_large) {
    choice->trouble = world_delay(MINUTE, is_large ? 4 * MINUTE : 30 * MINUTE);
    choice->crash_chance = world_chance(0.15) ? 0 : 0.003 + 0.02 * world_unit();
    choice->disk_chance = world_chance(0.3) ? 0 : 0.03 * world_unit();
    choice->clock_chance = world_chance(0.5) ? 0 : 0.01 * world_unit();
    choice->rot_chance = world_chance(0.7) ? 0 : 0.4;
    choice->index_chance = world_chance(0.6) ? 0 : pow(10, -1.5 - 3 * world_unit());
    choice->memory_chance = world_chance(0.6) ? 0 : pow(10, -2 - 3 * world_unit());
}

enum trib_status choice_make(struct choice *choice, const json_t *spec, struct trib_error *error) {
    memset(choice, 0, sizeof *choice);
    draw_sizes(choice->judge.counts);
    bool is_large = choice->judge.counts[0] > 100000;
    uint32_t trainers = 1 + (uint32_t)world_below(is_large ? 3 : 6);
    bool is_changing = spec == NULL && world_chance(0.4);
    uint64_t weight_max = world_chance(0.5) ? 1048576 : 1 + world_below(1000);
    json_t *document =
        spec == NULL ? draw_spec(trainers, weight_max, is_changing) : json_deep_copy(spec);
    replace_model(document);
    enum trib_status status = read_spec(choice, document, error);
    json_decref(document);
    if (status != TRIB_OK) {
        return status;
    }
    uint32_t needed = choice->people.trainer_count;
    choice->judge.run = RUN;
    choice->people = (struct people_rules){
        .run = RUN,
        .spec = choice->spec,
        .trainer_count = trainers > needed ? trainers : needed,
        .has_vandal = world_chance(0.3),
        .is_chunked = world_chance(0.2),
        .other_run_chance = world_chance(0.5) ? 0 : 0.3,
        .delta_max = choice->judge.spec.delta_max,
        .weight_max = choice->judge.spec.examples_max,
        .is_equal = choice->judge.spec.is_equal,
        .has_combiner = choice->judge.spec.is_combined,
    };
    if (is_changing) {
        draw_changes(choice, choice->people.trainer_count);
    }
    choice->config = (struct trib_node_config){
        .data_dir = world.directory,
        .worker_count = 1 + (unsigned)world_below(4),
        .chunk_count_max = 1 + (size_t)world_below(4),
        .body_bytes_max = world_chance(0.3) ? (UINT64_C(1) << 20) + 100000 : 0,
    };
    if (choice->judge.counts[0] >= 20000 && choice->keeps_bodies && world_chance(0.6)) {
        /* A third of what the model would take, so that it is made window by window. */
        choice->judge.is_ranged = true;
        choice->config.model_bytes_max = UINT64_C(8) * choice->judge.counts[0];
    }
    draw_troubles(choice, is_large);
    return TRIB_OK;
}
