/* main.c - worlds by seed: trouble for a while, then calm, then a good end.
 *
 *     trib-faults --seeds FIRST:COUNT [--spec FILE] [--trace] [--verbose]
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
#include "sim/faults/choice.h"
#include "sim/faults/judge.h"
#include "sim/faults/machine.h"
#include "sim/faults/network.h"
#include "sim/faults/people.h"
#include "sim/faults/tally.h"
#include "sim/faults/world.h"
#include "sim/playback.h"
#include "wire/yaml.h"

#define MINUTE (60 * TRIB_SECOND)
#define HOUR (60 * MINUTE)

enum phase { TROUBLE, CALM, STOPPING, DRAINING, ASKING, ENDING, ASKING_AGAIN, ENDED };
static const char *const phase_names[] = {"trouble", "calm",   "stopping",     "draining",
                                          "asking",  "ending", "asking again", "ended"};
/* Longest virtual time in each; beyond it there is no progress. */
static const trib_time_ns patience[] = {HOUR,        3 * HOUR,    HOUR,        10 * MINUTE,
                                        10 * MINUTE, 10 * MINUTE, 10 * MINUTE, 0};
#define SLOWEST_TIMES 20 /* versions at the pace of the spec, on top of CALM */

static struct {
    enum phase phase;
    trib_time_ns until;       /* of the phase */
    uint64_t versions_wanted; /* to leave CALM */
    struct choice choice;
} plan;

struct options {
    const char *program;
    const char *command; /* --as: what a user has called; NULL: the program */
    uint64_t first, count;
    const char *spec_path; /* NULL: each world has a spec of its own */
    json_t *spec;
    bool is_tracing, is_verbose;
};

/* --- the course of a world ------------------------------------------------------------------------------- */

static void enter_phase(enum phase phase) {
    plan.phase = phase;
    plan.until = world.now + patience[phase];
    plan.until += phase == CALM ? SLOWEST_TIMES * plan.choice.slowest : 0;
    world_trace("        === %s", phase_names[phase]);
}

static void trouble(void) {
    if (world_chance(plan.choice.crash_chance)) {
        world.is_crash_wanted = true;
    } else if (world_fault(TALLY_TERMINATED, plan.choice.crash_chance / 5)) {
        machine_terminate();
    }
    if (world_chance(plan.choice.disk_chance)) {
        machine_files_trouble();
    }
    double day = 86400;
    if (world_fault(TALLY_CLOCK_AHEAD, plan.choice.clock_chance)) {
        world.wall_shift += 10 * day * world_unit();
    } else if (world_fault(TALLY_CLOCK_BACK, plan.choice.clock_chance)) {
        world.wall_shift -= 10 * day * world_unit();
    } else if (world_fault(TALLY_SUSPENDED, plan.choice.clock_chance / 10)) {
        world.now += world_delay(MINUTE, 10 * MINUTE);
    }
}

static void calm_down(void) {
    world.is_calm = true;
    machine_files_calm();
    machine_files_mend();
    enter_phase(CALM);
    plan.versions_wanted = judge_version() + 2 + world_below(3);
}

/* Nobody asks for anything any more, and no job is under way. */
static bool is_quiet(void) {
    const struct trib_node *node = world.node;
    if (network_under_way() > 0 || node == NULL || node->closing_count > 0 ||
        trib_node_find(node, plan.choice.judge.run) == NULL) {
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
    const struct trib_lending *lending = &node->lending;
    size_t chunks_lent =
        trib_pool_chunks_lent(lending->chunks) + trib_pool_chunks_lent(lending->kept_chunks);
    if (chunks_lent != 0) {
        world_fail("%zu chunks were not returned", chunks_lent);
    }
    if (node->calls != NULL) {
        world_fail("a call is left that nobody waits for");
    }
    struct trib_spool_counters counters;
    trib_spool_count(trib_node_find(node, plan.choice.judge.run)->spool, &counters);
    /* Without memory to remember that an entry is free, it stays until the next start. */
    if (plan.choice.is_checkpointed_always && !world.has_refused_memory &&
        counters.live_entries > 0) {
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
        tally_add(TALLY_CALM, 1);
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
    tally_add(TALLY_ENDS, 1);
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
    tally_add(TALLY_STARTS, 1);
    world.disk.has_failed = false;
    world.has_refused_memory = false;
    (void)world_enter(true);
    enum trib_status status = trib_node_new(&world.env, &plan.choice.config, &world.node, &error);
    (void)world_enter(false);
    if (status == TRIB_OK) {
        world_trace("        the daemon runs");
        if (machine_files_rotten() == TALLY_ROT_LEDGER) {
            world_fail("the daemon starts with a ledger that has a flipped bit");
        }
        judge_begins_anew();
        return true;
    }
    world.node = NULL;
    world_trace("        the daemon does not start: %s", error.text);
    bool has_reason = world.disk.has_failed || was_full || error.status == TRIB_ECONFLICT ||
                      world.has_refused_memory || machine_files_rotten() != TALLY_COUNT ||
                      plan.choice.index_chance > 0;
    tally_add(TALLY_ROT_NOTICED, machine_files_rotten() != TALLY_COUNT);
    if (world.is_calm || !has_reason) {
        world_fail("the daemon does not start: %s", error.text);
    }
    check_nothing_left("a start that failed");
    return false;
}

static void live_once(void) {
    if (plan.phase == TROUBLE && world_chance(plan.choice.rot_chance)) {
        machine_files_rot(plan.choice.judge.run);
    }
    if (start()) {
        TRIB_ASSERT(trib_node_run(world.node) == TRIB_OK);
        if (!world.is_crash_wanted && !world_is_dying()) {
            struct trib_node *node = world.node;
            world.node = NULL;
            (void)world_enter(true);
            trib_node_free(node);
            (void)world_enter(false);
            check_nothing_left("a clean end");
            world_trace("        the daemon has ended");
        }
    }
    machine_files_mend();
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

/* What the heart was told, it is told again. A bit that was flipped, or a tape that the disk did not
 * take, is a reason not to come to the same. */
static void play_again(void) {
    struct trib_error error = {0};
    struct trib_files *files;
    struct trib_playback_report report;
    if (!plan.choice.is_recorded || world.has_lost_tape) {
        return;
    }
    TRIB_ASSERT(trib_files_open(&world.env, "data", true, &files, &error) == TRIB_OK);
    const struct trib_playback_options options = {.files = files, .run = plan.choice.judge.run};
    if (trib_playback_run(&world.env, &options, &report, &error) != TRIB_OK) {
        world_fail("played again: %s", error.text);
    }
    trib_files_close(files);
    if (report.versions != judge_version()) {
        world_fail("played again: %" PRIu64 " versions of %" PRIu64, report.versions,
                   judge_version());
    }
    check_nothing_left("a playback");
    tally_add(TALLY_PLAYED, report.versions);
}

static void run_world(uint64_t seed, const struct options *options) {
    struct trib_error error = {0};
    memset(&plan, 0, sizeof plan);
    world_begin(seed, options->is_tracing, "data"); /* where it is shall not show in messages */
    if (choice_make(&plan.choice, options->spec, &error) != TRIB_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        exit(2);
    }
    plan.until = world.now + plan.choice.trouble;
    world.memory_chance = plan.choice.memory_chance;
    world.index_chance = plan.choice.index_chance;
    world_trace("        spec: %s", plan.choice.spec);
    judge_begin(&plan.choice.judge);
    people_begin(&plan.choice.people);
    (void)world_schedule(TRIB_SECOND, WORLD_OUTSIDE, supervise, NULL);
    live();
    while (world_step()) { /* the last connections hear that they are lost */
    }
    play_again();
    if (options->is_verbose) {
        printf("seed %" PRIu64 ": %" PRIu64 " steps, %.0f s, %" PRIu64 " requests, %" PRIu64
               " crashes, %" PRIu64 " starts, %zu acknowledged, version %" PRIu64
               ", trace %016" PRIx64 "\n",
               seed, world.step_count, (double)world.now / 1e9, world.requests, world.crashes,
               world.starts, judge_acknowledged_count(), judge_version(), world.trace_digest);
    }
    tally_add(TALLY_STEPS, world.step_count);
    tally_add(TALLY_REQUESTS, world.requests);
    tally_add(TALLY_ACKNOWLEDGED, judge_acknowledged_count());
    people_end();
    judge_end();
    world_end();
}

/* --- the program --------------------------------------------------------------------------------------------- */

/* The command that a user gave, to be told again with one seed. */
static char replay[1024];

/* An assertion of the daemon or a broken invariant: say how to see it again. */
static void on_death(int number) {
    char text[1200];
    int count =
        snprintf(text, sizeof text,
                 "seed %" PRIu64 " failed; replay it with: %s --seeds %" PRIu64 ":1 --trace\n",
                 world.seed, replay, world.seed);
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

/* The user's spec, YAML or JSON; NULL with what is wrong printed. */
static json_t *read_document(const char *path) {
    static char bytes[TRIB_YAML_BYTES_MAX];
    struct trib_error error = {0};
    json_t *document = NULL;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return NULL;
    }
    size_t count = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    if (trib_yaml_read(bytes, count, &document, &error) != TRIB_OK) {
        (void)fprintf(stderr, "%s: %s\n", path, error.text);
    } else if (!json_is_object(document)) {
        (void)fprintf(stderr, "%s: not a spec\n", path);
        json_decref(document);
        document = NULL;
    }
    return document;
}

static bool read_options(int argc, char **argv, struct options *options) {
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--seeds") == 0 && has_value &&
            sscanf(argv[i + 1], "%" SCNu64 ":%" SCNu64, &options->first, &options->count) >= 1) {
            i++;
        } else if (strcmp(argv[i], "--spec") == 0 && has_value) {
            options->spec_path = argv[++i];
        } else if (strcmp(argv[i], "--as") == 0 && has_value) {
            options->command = argv[++i];
        } else if (strcmp(argv[i], "--trace") == 0) {
            options->is_tracing = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            options->is_verbose = true;
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv) {
    struct options options = {.program = argv[0], .first = 1, .count = 200};
    if (!read_options(argc, argv, &options)) {
        (void)fprintf(stderr,
                      "usage: %s [--seeds FIRST:COUNT] [--spec FILE] [--trace] [--verbose]\n",
                      options.program);
        return 2;
    }
    options.spec = options.spec_path == NULL ? NULL : read_document(options.spec_path);
    if (options.spec_path != NULL && options.spec == NULL) {
        return 2;
    }
    bool has_spec = options.spec_path != NULL;
    if (options.command != NULL) {
        (void)snprintf(replay, sizeof replay, "%s", options.command);
    } else {
        (void)snprintf(replay, sizeof replay, "%s%s%s", options.program, has_spec ? " --spec " : "",
                       has_spec ? options.spec_path : "");
    }
    const char *temporary = getenv("TMPDIR");
    char directory[200];
    (void)snprintf(directory, sizeof directory, "%s/trib-faults-XXXXXX",
                   temporary == NULL ? "/tmp" : temporary);
    if (mkdtemp(directory) == NULL || chdir(directory) != 0) {
        perror(directory);
        return 2;
    }
    (void)signal(SIGABRT, on_death);
    (void)signal(SIGSEGV, on_death);
    for (uint64_t seed = options.first; seed < options.first + options.count; seed++) {
        run_world(seed, &options);
    }
    json_decref(options.spec);
    (void)rmdir(directory);
    tally_print(options.first, options.count);
    return 0;
}
