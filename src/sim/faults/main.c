/* main.c - worlds by seed: trouble for a while, then calm, then a good end.
 *
 *     world --seeds FIRST:COUNT [--trace] [--verbose] [--directory PATH]
 *
 * In trouble, power fails, disks fail and fill up, connections break. In calm the run must make
 * progress; then it is stopped, everything acknowledged must be settled, everything lent given
 * back, and a last start must know it all again. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/daemon.h"
#include "sim/faults/judge.h"
#include "sim/faults/machine.h"
#include "sim/faults/network.h"
#include "sim/faults/people.h"
#include "sim/faults/world.h"

#define MINUTE (60 * TRIB_SECOND)
#define HOUR (60 * MINUTE)
#define RUN "r1"

enum phase { TROUBLE, CALM, STOPPING, DRAINING, ASKING, ENDING, ASKING_AGAIN, ENDED };
static const char *const phase_names[] = {"trouble", "calm",   "stopping",     "draining",
                                          "asking",  "ending", "asking again", "ended"};
/* Longest virtual time in each; beyond it there is no progress. */
static const trib_time_ns patience[] = {HOUR,        3 * HOUR,    HOUR,        10 * MINUTE,
                                        10 * MINUTE, 10 * MINUTE, 10 * MINUTE, 0};

static struct {
    enum phase phase;
    trib_time_ns until;       /* of the phase */
    uint64_t versions_wanted; /* to leave CALM */
    double crash_chance;      /* per second of trouble */
    double disk_chance;
    char spec[2048];
    struct trib_node_config config;
    bool is_checkpointed_always;
} plan;

/* --- what kind of world ---------------------------------------------------------------------------------- */

static const char *one_of(const char *const *words, size_t count) {
    return words[world_below(count)];
}
#define ONE_OF(...)                            \
    one_of((const char *const[]){__VA_ARGS__}, \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void choose_sizes(struct judge_rules *rules) {
    uint64_t kind = world_below(30);
    rules->counts[0] = 1 + (uint32_t)world_below(200);
    rules->counts[1] = 1 + (uint32_t)world_below(20);
    rules->counts[2] = 1 + (uint32_t)world_below(10);
    if (kind == 0) {
        rules->counts[0] = 265000; /* bodies over 1 MiB */
    } else if (kind == 1) {
        rules->counts[0] = 525000; /* and work in two parts */
    } else if (kind < 4) {
        rules->counts[0] = 20000;
    }
}

/* Rounds mostly, else a version per so many updates, or per tick of a clock. */
static void choose_tempo(struct judge_rules *rules, bool is_momentum, uint64_t quorum, char *text,
                         size_t room) {
    uint64_t kind = world_below(10);
    if (kind < 6) {
        (void)snprintf(
            text, room,
            "\"preset\": \"%s\", \"fraction\": %s, \"over_selection\": %s, \"deadline\": %s, "
            "\"first_deadline\": \"2m\", \"short\": \"%s\", \"late\": \"%s\"",
            is_momentum ? "fedavgm" : "fedavg", ONE_OF("1.0", "1.0", "0.5"), ONE_OF("0.0", "0.5"),
            ONE_OF("\"auto\"", "\"5s\"", "\"30s\"", "\"5m\""),
            ONE_OF("wait", "wait", "go", "pause"), ONE_OF("count", "count", "refuse"));
    } else if (kind < 9) {
        static const char *const words[] = {"weight", "goal", "none"};
        rules->divisor = rules->is_equal ? (enum sums_divisor)world_below(3) : SUMS_BY_WEIGHT;
        rules->goal = quorum + world_below(3);
        if (rules->goal > rules->weight_total_max) {
            rules->goal = quorum;
        }
        (void)snprintf(text, room,
                       "\"preset\": \"fedbuff\", \"goal\": %" PRIu64
                       ", \"concurrency\": %u, \"divide\": \"%s\", \"deadline\": \"%s\"",
                       rules->goal, world_chance(0.5) ? 0 : (unsigned)rules->goal,
                       words[rules->divisor], ONE_OF("20s", "2m"));
    } else {
        (void)snprintf(text, room,
                       "\"preset\": \"fedfix\", \"tick\": \"%s\", \"divide\": \"weight\"",
                       ONE_OF("5s", "1m"));
    }
}

static void choose_world(struct judge_rules *rules, struct people_rules *people) {
    memset(&plan, 0, sizeof plan);
    choose_sizes(rules);
    bool is_large = rules->counts[0] > 100000;
    uint32_t trainers = 1 + (uint32_t)world_below(is_large ? 3 : PEOPLE_TRAINERS_MAX);
    bool is_momentum = world_chance(0.4);
    rules->run = RUN;
    rules->momentum = is_momentum ? 0.9 : 0;
    rules->delta_max = world_chance(0.5) ? 16 : 0.125;
    rules->weight_max = world_chance(0.5) ? 1048576 : 1 + world_below(1000);
    rules->weight_total_max =
        world_chance(0.7) ? 1073741824 : rules->weight_max * (1 + world_below(4));
    rules->is_equal = world_chance(0.3);
    rules->is_polynomial = world_chance(0.3);
    uint64_t quorum = 1 + world_below(trainers);
    if (quorum > rules->weight_total_max) {
        quorum = 1;
    }
    char tempo[400];
    choose_tempo(rules, is_momentum, quorum, tempo, sizeof tempo);
    plan.is_checkpointed_always = world_chance(0.5);
    const char *keep_updates = world_chance(0.15) ? "forever" : "until-counted";
    (void)snprintf(
        plan.spec, sizeof plan.spec,
        "{\"name\": \"%s\", \"seed\": %" PRIu64
        ", \"model\": {\"delta_max\": %g, \"tensors\": [{\"match\": \"c.frozen\", \"role\": "
        "\"freeze\"}]}, \"strategy\": {%s, \"quorum\": %" PRIu64 ", \"staleness\": \"%s\", "
        "\"staleness_max\": 8, \"weights\": \"%s\", \"weight_max\": %" PRIu64
        ", \"weight_total_max\": %" PRIu64
        ", \"server\": {\"optimizer\": \"%s\", \"lr\": 1.0}}, \"evaluate\": {\"every\": %u, "
        "\"on\": %s, \"deadline\": \"30s\"}, \"keep\": {\"versions\": {\"last\": %u, \"every\": %u}, "
        "\"updates\": \"%s\"}, \"lease\": \"%s\", \"checkpoint_every\": \"%s\", "
        "\"updates_pending_max\": %u}",
        RUN, world.seed, rules->delta_max, tempo, quorum,
        rules->is_polynomial ? "polynomial" : "constant", rules->is_equal ? "equal" : "examples",
        rules->weight_max, rules->weight_total_max, is_momentum ? "momentum" : "sgd",
        (unsigned)world_below(3), ONE_OF("[\"evaluators\"]", "[\"clients\", \"evaluators\"]"),
        1 + (unsigned)world_below(4), (unsigned)world_below(4), keep_updates,
        ONE_OF("20s", "2m", "10m"), plan.is_checkpointed_always ? "0s" : ONE_OF("10s", "1m", "10m"),
        (unsigned)(quorum + rules->goal + world_below(world_chance(0.3) ? 3 : 60)));
    plan.is_checkpointed_always =
        plan.is_checkpointed_always && strcmp(keep_updates, "until-counted") == 0;
    plan.config = (struct trib_node_config){
        .data_dir = world.directory,
        .worker_count = 1 + (unsigned)world_below(4),
        .chunk_count_max = 1 + (size_t)world_below(4),
        .body_bytes_max = world_chance(0.3) ? (UINT64_C(1) << 20) + 100000 : 0,
    };
    *people = (struct people_rules){
        .run = RUN,
        .spec = plan.spec,
        .trainer_count = trainers,
        .has_vandal = world_chance(0.3),
        .is_chunked = world_chance(0.2),
        .other_run_chance = world_chance(0.5) ? 0 : 0.3,
        .delta_max = rules->delta_max,
        .weight_max = rules->weight_max,
        .is_equal = rules->is_equal,
    };
    plan.until = world.now + world_delay(MINUTE, is_large ? 4 * MINUTE : 30 * MINUTE);
    plan.crash_chance = world_chance(0.15) ? 0 : 0.003 + 0.02 * trib_random_unit(&world.chance);
    plan.disk_chance = world_chance(0.3) ? 0 : 0.03 * trib_random_unit(&world.chance);
}

/* --- the course of a world ------------------------------------------------------------------------------- */

static void enter_phase(enum phase phase) {
    plan.phase = phase;
    plan.until = world.now + patience[phase];
    world_trace("        === %s", phase_names[phase]);
}

static void trouble(void) {
    if (world_fault(plan.crash_chance)) {
        world.is_crash_wanted = true;
    } else if (world_fault(plan.crash_chance / 5)) {
        machine_terminate();
    }
    if (world_fault(plan.disk_chance)) {
        machine_files_trouble();
    }
}

static void calm_down(void) {
    world.is_calm = true;
    machine_files_calm();
    enter_phase(CALM);
    plan.versions_wanted = judge_version() + 2 + world_below(3);
}

/* Nobody asks for anything any more, and no job is under way. */
static bool is_quiet(void) {
    const struct trib_node *node = world.node;
    if (network_under_way() > 0 || node == NULL || node->closing_count > 0 ||
        trib_node_find(node, RUN) == NULL) {
        return false;
    }
    uint64_t jobs = 0;
    for (size_t i = 0; i < node->hosted_count; i++) {
        jobs += node->hosted[i]->jobs;
    }
    return jobs == 0;
}

static void check_all_returned(void) {
    const struct trib_node *node = world.node;
    if (node->body_bytes != 0) {
        world_fail("%" PRIu64 " bytes of bodies are charged and nobody sends one",
                   node->body_bytes);
    }
    if (trib_pool_chunks_lent(node->pool) != 0) {
        world_fail("%zu chunks were not returned", trib_pool_chunks_lent(node->pool));
    }
    if (node->calls != NULL) {
        world_fail("a call is left that nobody waits for");
    }
    struct trib_spool_counters counters;
    trib_spool_count(trib_node_find(node, RUN)->spool, &counters);
    if (plan.is_checkpointed_always && counters.live_entries > 0) {
        world_fail("%" PRIu64 " entries of the spool were not released", counters.live_entries);
    }
}

static bool is_phase_over(void) {
    switch (plan.phase) {
    case TROUBLE:
        return world.now >= plan.until;
    case CALM:
        return people_saw_stopped() || judge_version() >= plan.versions_wanted;
    case STOPPING:
        return people_saw_stopped();
    case DRAINING:
        return is_quiet();
    case ASKING:
    case ASKING_AGAIN:
        return people_have_asked() && is_quiet();
    default:
        return false;
    }
}

static void next_phase(void) {
    switch (plan.phase) {
    case TROUBLE:
        calm_down();
        break;
    case CALM:
        people_aim(PEOPLE_STOP);
        enter_phase(STOPPING);
        break;
    case STOPPING:
        people_aim(PEOPLE_REST);
        judge_settled();
        enter_phase(DRAINING);
        break;
    case DRAINING:
        check_all_returned();
        people_ask_fates();
        enter_phase(ASKING);
        break;
    case ASKING:
        check_all_returned();
        enter_phase(ENDING);
        machine_terminate();
        break;
    case ASKING_AGAIN:
        enter_phase(ENDED);
        machine_terminate();
        break;
    default:
        break;
    }
}

static void supervise(void *context) {
    (void)context;
    judge_read_ledger();
    if (is_phase_over()) {
        next_phase();
    } else if (plan.phase == TROUBLE) {
        trouble();
    } else if (plan.phase != ENDED && world.now >= plan.until) {
        world_fail("no progress: %s takes too long, version %" PRIu64 " of %" PRIu64 ", %" PRIu64
                   " requests under way",
                   phase_names[plan.phase], judge_version(), plan.versions_wanted,
                   network_under_way());
    }
    if (plan.phase <= CALM && people_saw_failed()) {
        world_trace("        the operator starts the daemon again");
        machine_terminate();
    }
    if (plan.phase != ENDED) {
        (void)world_schedule(TRIB_SECOND, WORLD_OUTSIDE, supervise, NULL);
    }
}

/* --- lives of the daemon ----------------------------------------------------------------------------------- */

static void check_nothing_left(const char *when) {
    if (world_blocks_live() > 0) {
        world_fail("%" PRIu64 " blocks of memory are left after %s", world_blocks_live(), when);
    }
    if (world.disk.handles_open > 0) {
        world_fail("%" PRIu64 " files are open after %s", world.disk.handles_open, when);
    }
}

static void be_down(trib_time_ns most) {
    trib_time_ns until = world.now + world_delay(0, most);
    while (world.now < until && !world.is_crash_wanted && world_step()) {
    }
    world.is_crash_wanted = false; /* the machine was off already */
}

/* May it refuse to start? Only while the disk gives it a reason. */
static bool start(void) {
    struct trib_error error = {0};
    bool was_full = world.disk.capacity_bytes != 0;
    world.starts++;
    world.disk.has_failed = false;
    if (trib_node_new(&world.env, &plan.config, &world.node, &error) == TRIB_OK) {
        world_trace("        the daemon runs");
        return true;
    }
    world.node = NULL;
    world_trace("        the daemon does not start: %s", error.text);
    bool has_reason = world.disk.has_failed || was_full || error.status == TRIB_ECONFLICT;
    if (world.is_calm || !has_reason) {
        world_fail("the daemon does not start: %s", error.text);
    }
    check_nothing_left("a start that failed");
    return false;
}

static void live_once(void) {
    if (start()) {
        TRIB_ASSERT(trib_node_run(world.node) == TRIB_OK);
        if (!world.is_crash_wanted && !world_is_dying()) {
            struct trib_node *node = world.node;
            world.node = NULL;
            trib_node_free(node);
            check_nothing_left("a clean end");
            world_trace("        the daemon has ended");
        }
    }
    if (world.is_crash_wanted || world_is_dying()) {
        world_crash();
        judge_crashed();
    }
}

static void live(void) {
    while (plan.phase != ENDED) {
        live_once();
        if (plan.phase == ENDING) {
            enter_phase(ASKING_AGAIN);
            people_ask_fates();
        } else if (plan.phase != ENDED) {
            be_down(plan.phase == TROUBLE ? 30 * TRIB_SECOND : TRIB_SECOND);
        }
    }
}

static void run_world(uint64_t seed, bool is_tracing, bool is_verbose, const char *directory) {
    struct judge_rules rules = {0};
    struct people_rules people = {0};
    world_begin(seed, is_tracing, directory);
    choose_world(&rules, &people);
    world_trace("        spec: %s", plan.spec);
    judge_begin(&rules);
    people_begin(&people);
    (void)world_schedule(TRIB_SECOND, WORLD_OUTSIDE, supervise, NULL);
    live();
    while (world_step()) { /* the last connections hear that they are lost */
    }
    if (is_verbose) {
        printf("seed %" PRIu64 ": %" PRIu64 " steps, %.0f s, %" PRIu64 " requests, %" PRIu64
               " crashes, %" PRIu64 " starts, %zu acknowledged, version %" PRIu64
               ", trace %016" PRIx64 "\n",
               seed, world.step_count, (double)world.now / 1e9, world.requests, world.crashes,
               world.starts, judge_acknowledged_count(), judge_version(), world.trace_digest);
    }
    judge_end();
    world_end();
}

/* --- the program --------------------------------------------------------------------------------------------- */

static const char *program;

/* An assertion of the daemon or a broken invariant: say how to see it again. */
static void on_death(int number) {
    char text[512];
    int count =
        snprintf(text, sizeof text,
                 "seed %" PRIu64 " failed; replay it with: %s --seeds %" PRIu64 ":1 --trace\n",
                 world.seed, program, world.seed);
    (void)!write(STDERR_FILENO, text, (size_t)count);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

/* A crash drops a node where it stands. What it had from the world's environment is given back, and
 * jansson's too; what it had from OpenSSL, its signing key, would have gone with the process. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libcrypto.so\n";
}

int main(int argc, char **argv) {
    uint64_t first = 1, count = 200;
    bool is_tracing = false, is_verbose = false;
    char directory[100];
    program = argv[0];
    const char *temporary = getenv("TMPDIR");
    (void)snprintf(directory, sizeof directory, "%s/tributary-sim-%ld",
                   temporary == NULL ? "/tmp" : temporary, (long)getpid());
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc &&
            sscanf(argv[i + 1], "%" SCNu64 ":%" SCNu64, &first, &count) >= 1) {
            i++;
        } else if (strcmp(argv[i], "--trace") == 0) {
            is_tracing = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            is_verbose = true;
        } else {
            (void)fprintf(stderr, "usage: %s [--seeds FIRST:COUNT] [--trace] [--verbose]\n",
                          argv[0]);
            return 2;
        }
    }
    (void)signal(SIGABRT, on_death);
    (void)signal(SIGSEGV, on_death);
    for (uint64_t seed = first; seed < first + count; seed++) {
        run_world(seed, is_tracing, is_verbose, directory);
    }
    printf("%" PRIu64 " worlds, from seed %" PRIu64 ": every promise kept\n", count, first);
    return 0;
}
