/* random_world.c - runs with random clients, disks, operators and crashes, one world per seed.
 *
 * Clients follow docs/protocol.md: they join, ask, train for a while, offer and send their update,
 * retry what was not answered. Besides that they fall silent, decline, send twice, send another
 * body under an old id, send what fails its check, hang up, or leave. In some worlds they are more
 * than the roster holds, and are forgotten while they are away. Jobs of the node complete in any
 * order, some fail; now and then everything is killed and restarted. world.c checks the promises
 * after every step; here it is checked that each run comes to its end within a virtual week and
 * that by then every acknowledged update is settled.
 *
 * TRIB_WORLD_SEEDS=count plays more seeds; TRIB_WORLD_SEED=seed plays one. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "learn/policy.h"
#include "support/check.h"
#include "world.h"

#define SEEDS_USUAL 200
#define DEVICES_MAX 14
#define HOURS_MAX (7 * 24)
#define HOUR (3600 * TRIB_SECOND)

enum device_plan { PLAN_JOIN, PLAN_ASK, PLAN_OFFER, PLAN_SEND, PLAN_REPORT, PLAN_DONE };

struct device {
    char name[TRIB_NAME_BYTES];
    enum trib_client_role role;
    struct trib_attribute site;
    enum device_plan plan;
    trib_time_ns next_at;   /* TRIB_TIME_NEVER: waits for an answer */
    trib_time_ns leaves_at; /* hangs up on what it waits for */
    trib_request request;   /* 0: none */
    trib_time_ns speed;     /* usual length of a task */
    /* the update under way */
    char id[TRIB_NAME_BYTES];
    char body[TRIB_NAME_BYTES];
    trib_version base;
    uint64_t examples;
    bool is_comparing; /* the daemon knows the id */
    uint32_t attempts;
    trib_version reports; /* version it is to evaluate */
    uint32_t update_count;
};

struct play {
    struct trib_spec spec;
    struct trib_random random;
    struct world *world;
    struct device devices[DEVICES_MAX];
    uint32_t device_count;
    trib_time_ns operator_at, crash_at;
    trib_request operator_request;
    uint32_t crashes_left;
    bool is_calm; /* no more faults: the run has to come to its end */
};

/* --- chance ----------------------------------------------------------------------------------- */

static uint64_t below(struct play *play, uint64_t bound) {
    return trib_random_below(&play->random, bound);
}

static bool chance(struct play *play, double probability) {
    return trib_random_unit(&play->random) < probability;
}

static bool trouble(struct play *play, double probability) {
    return chance(play, probability) && !play->is_calm;
}

/* Between nothing and twice the usual, now and then much longer. */
static trib_time_ns around(struct play *play, trib_time_ns usual) {
    trib_time_ns time = (trib_time_ns)(2 * trib_random_unit(&play->random) * (double)usual);
    return trouble(play, 0.03) ? 20 * time : time;
}

/* --- the scene -------------------------------------------------------------------------------- */

/* Half of all worlds have no rounds. */
static void choose_tempo(struct play *play) {
    struct trib_spec_strategy *strategy = &play->spec.strategy;
    if (chance(play, 0.5))
        return;
    static const char *const names[] = {"buffer", "buffer", "ticks", "async", "groups", "contacts"};
    const char *name = names[below(play, 6)];
    bool has_deadline = name[0] == 'b' && chance(play, 0.3);
    strategy->policy = trib_policy_find(name);
    strategy->late = TRIB_LATE_COUNT;
    strategy->goal = name[0] == 'a' ? 0 : 1 + (uint32_t)below(play, 5);
    strategy->concurrency = chance(play, 0.5) ? 0 : 1 + (uint32_t)below(play, 8);
    strategy->steps_min = 1 + (uint32_t)below(play, 20);
    strategy->steps_max = strategy->steps_min + (uint32_t)below(play, 100);
    strategy->slack = 1 + trib_random_unit(&play->random);
    strategy->speed_beta = 1 - 0.9 * trib_random_unit(&play->random);
    if (name[0] == 'g') /* see spec_fit.c */
        strategy->weight_total_max = 4 * strategy->weight_max * play->spec.updates_pending_max;
    strategy->tick = (trib_time_ns)(10 + below(play, 120)) * TRIB_SECOND;
    strategy->deadline = has_deadline ? 90 * TRIB_SECOND : TRIB_TIME_NEVER;
    play->spec.stop.versions *= 3;
}

static struct trib_attribute site_of(uint32_t index) {
    return (struct trib_attribute){
        .name = "site", .kind = TRIB_ATTRIBUTE_NUMBER, .number = index % 4};
}

/* Four sites, of each of which enough may be asked for any quorum; some are preferred; a few have
 * too much to say. */
static void choose_selection(struct play *play) {
    struct trib_spec_select *select = &play->spec.select;
    if (chance(play, 0.3)) {
        select->quota_count = 1;
        select->quotas[0] = (struct trib_quota){.name = "site", .most = 2};
    }
    if (chance(play, 0.3)) {
        select->prefer.count = 1;
        select->prefer.items[0] = site_of(1);
    }
    const struct trib_policy *policy = play->spec.strategy.policy;
    bool is_called = policy == &trib_policy_contacts;
    if (policy != &trib_policy_async && !policy->arrive && !is_called && chance(play, 0.3))
        play->spec.strategy.weight_share_max = 0.2 + 0.6 * trib_random_unit(&play->random);
    else if (policy != &trib_policy_async && !is_called && chance(play, 0.2))
        play->spec.strategy.combiner = TRIB_COMBINER_EXTERNAL;
}

static void choose_spec(struct play *play, uint64_t seed) {
    static const double fractions[] = {1, 1, 0.5, 0.3};
    struct trib_spec_strategy *strategy = &play->spec.strategy;
    play->spec = (struct trib_spec){
        .name = "random",
        .seed = seed,
        .strategy = {.policy = trib_policy_find("rounds"),
                     .fraction = fractions[below(play, 4)],
                     .over_selection = chance(play, 0.3) ? 0.5 : 0,
                     .quorum = (uint32_t)below(play, 4) + 1,
                     .deadline = chance(play, 0.5) ? TRIB_DURATION_AUTO : 90 * TRIB_SECOND,
                     .first_deadline = 600 * TRIB_SECOND,
                     .if_short = (enum trib_short_rule)below(play, 3),
                     .late = chance(play, 0.25) ? TRIB_LATE_REFUSE : TRIB_LATE_COUNT,
                     .staleness_max = (uint32_t)below(play, 4),
                     .weights = chance(play, 0.2) ? TRIB_WEIGHT_EQUAL : TRIB_WEIGHT_EXAMPLES,
                     .weight_max = 1000,
                     .weight_total_max = chance(play, 0.3) ? 2500 : 100000,
                     .weight_unit_bits = 2,
                     .staleness_table = {4, 3, 2, 1}},
        .evaluate = {.every = (uint32_t)below(play, 3),
                     .on_clients = chance(play, 0.5),
                     .on_evaluators = true,
                     .metric = "accuracy",
                     .clients_min = 1,
                     .deadline = 600 * TRIB_SECOND},
        .stop = {.versions = 3 + below(play, 15), .target = (double)NAN},
        .lease = (trib_time_ns)(10 + below(play, 300)) * TRIB_SECOND,
        .clients_max = DEVICES_MAX,
        .updates_pending_max = chance(play, 0.3) ? 5 : 64,
    };
    if (chance(play, 0.1))
        play->spec.stop.patience = 3;
    if (chance(play, 0.1))
        play->spec.stop.target = 0.9;
    if (chance(play, 0.1))
        play->spec.stop.after = 2 * HOUR;
    strategy->backs_up = chance(play, 0.3);
    strategy->noise = (double)below(play, 4);
    if (chance(play, 0.2))
        strategy->staleness = TRIB_STALENESS_PARTICIPATION;
    if (strategy->weights == TRIB_WEIGHT_EQUAL)
        strategy->weight_total_max = chance(play, 0.3) ? 3 : 1000;
    choose_tempo(play);
    choose_selection(play);
}

static void choose_devices(struct play *play) {
    uint32_t evaluators = 0;
    play->device_count = play->spec.strategy.quorum + 2 + (uint32_t)below(play, 8);
    for (uint32_t index = 0; index < play->device_count; index++) {
        struct device *device = &play->devices[index];
        *device = (struct device){.next_at = around(play, 60 * TRIB_SECOND),
                                  .speed = (trib_time_ns)(1 + below(play, 90)) * TRIB_SECOND,
                                  .leaves_at = TRIB_TIME_NEVER};
        snprintf(device->name, sizeof device->name, "dev-%u", index);
        bool is_evaluator = index >= play->spec.strategy.quorum + 1 && chance(play, 0.2);
        device->site = site_of(index);
        device->role = is_evaluator ? TRIB_CLIENT_EVALUATOR : TRIB_CLIENT_TRAINER;
        evaluators += is_evaluator;
    }
    /* Evaluators that stay must leave room for a quorum; and where sites have quotas, clients that
     * stay could all be of the same ones, so there everybody finds room. */
    if (chance(play, 0.3) && play->spec.select.quota_count == 0)
        play->spec.clients_max = play->spec.strategy.quorum + evaluators + 1;
}

/* --- devices ---------------------------------------------------------------------------------- */

static void plan(struct play *play, struct device *device, enum device_plan next,
                 trib_time_ns after) {
    device->plan = next;
    device->next_at = play->world->now + after;
    device->leaves_at = TRIB_TIME_NEVER;
    device->request = 0;
}

static struct trib_event ask(struct play *play, struct device *device, enum trib_event_kind kind) {
    trib_request number = world_request(play->world, device->name);
    struct world_request *request = world_request_at(play->world, number);
    snprintf(request->id, sizeof request->id, "%s", device->id);
    request->role = device->role;
    request->body = world_body(device->body);
    device->request = number;
    device->next_at = TRIB_TIME_NEVER;
    device->leaves_at =
        trouble(play, 0.05) ? play->world->now + around(play, 20 * TRIB_SECOND) : TRIB_TIME_NEVER;
    return (struct trib_event){
        .kind = kind,
        .request = number,
        .client = device->name,
        .role = device->role,
        .attributes = &device->site,
        .attribute_count = 1,
        .id = device->id,
        .version = device->base,
        .examples = device->examples,
        .byte_count = 100,
        .digest = world_body(device->body),
        .settled = world_settled(play->world, device->name, device->id),
    };
}

/* Away for minutes; it may be forgotten meanwhile. */
static void leave(struct play *play, struct device *device) {
    plan(play, device, PLAN_ASK, around(play, 600 * TRIB_SECOND));
    world_step(play->world, (struct trib_event){.kind = TRIB_EVENT_DEPART, .client = device->name});
}

static void act_ask(struct play *play, struct device *device) {
    struct trib_event event = ask(play, device, TRIB_EVENT_ASK);
    event.wait_until = play->world->now;
    if (chance(play, 0.8))
        event.wait_until += (trib_time_ns)below(play, 60) * TRIB_SECOND;
    world_step(play->world, event);
}

static void act_report(struct play *play, struct device *device) {
    struct trib_event event = ask(play, device, TRIB_EVENT_EVALUATION);
    struct world_request *request = world_request_at(play->world, event.request);
    event.version = device->reports;
    event.examples = request->examples = 1 + below(play, 100);
    event.metric = request->metric = trib_random_unit(&play->random);
    event.has_metric = request->has_metric = chance(play, 0.9);
    event.settled = world_reported(play->world, device->name, device->reports);
    world_step(play->world, event);
}

/* One more upload of what was sent before, or of another body under its id. */
static bool send_again(struct play *play, struct device *device) {
    if (device->update_count == 0 || !trouble(play, 0.1))
        return false;
    if (chance(play, 0.1))
        snprintf(device->body, sizeof device->body, "other-%u", device->update_count);
    plan(play, device, PLAN_OFFER, 0);
    return true;
}

static void act(struct play *play, struct device *device) {
    switch (device->plan) {
    case PLAN_JOIN:
        world_step(play->world, ask(play, device, TRIB_EVENT_JOIN));
        break;
    case PLAN_ASK:
        if (trouble(play, 0.03))
            leave(play, device);
        else if (!send_again(play, device))
            act_ask(play, device);
        break;
    case PLAN_OFFER:
        world_step(play->world, ask(play, device, TRIB_EVENT_OFFER));
        break;
    case PLAN_SEND:
        if (trouble(play, 0.2))
            world_step(play->world,
                       (struct trib_event){.kind = TRIB_EVENT_ALIVE, .client = device->name});
        world_step(play->world,
                   ask(play, device, device->is_comparing ? TRIB_EVENT_REPEAT : TRIB_EVENT_UPDATE));
        break;
    case PLAN_REPORT:
        act_report(play, device);
        break;
    case PLAN_DONE:
        break;
    }
}

static void hang_up(struct play *play, struct device *device) {
    trib_request number = device->request;
    world_request_at(play->world, number)->is_open = false;
    play->world->requests_open--;
    plan(play, device, device->plan == PLAN_SEND ? PLAN_OFFER : device->plan,
         around(play, 10 * TRIB_SECOND));
    world_step(play->world, (struct trib_event){.kind = TRIB_EVENT_LEAVE, .request = number});
}

static void take_task(struct play *play, struct device *device, const struct trib_task *task) {
    if (task->kind == TRIB_TASK_STOP) {
        plan(play, device, PLAN_DONE, 0);
        device->next_at = TRIB_TIME_NEVER;
        return;
    }
    if (task->kind == TRIB_TASK_WAIT) {
        trib_time_ns pause = task->not_before - play->world->now;
        plan(play, device, PLAN_ASK, pause + around(play, TRIB_SECOND));
        return;
    }
    if (task->kind == TRIB_TASK_EVALUATE) {
        device->reports = task->version;
        plan(play, device, PLAN_REPORT, around(play, device->speed));
        return;
    }
    device->base = task->version;
    device->examples = 1 + below(play, 900);
    device->attempts = 0;
    snprintf(device->id, sizeof device->id, "%s", task->id);
    snprintf(device->body, sizeof device->body, "body-%u", ++device->update_count);
    plan(play, device, PLAN_OFFER, around(play, device->speed));
}

static void decline(struct play *play, struct device *device, const struct trib_task *task) {
    snprintf(device->id, sizeof device->id, "%s", task->id);
    plan(play, device, PLAN_ASK, 0);
    world_step(play->world, ask(play, device, TRIB_EVENT_DECLINE));
}

static bool is_temporary(enum trib_refusal refusal) {
    return refusal == TRIB_REFUSE_BUSY || refusal == TRIB_REFUSE_IO || refusal == TRIB_REFUSE_STATE;
}

static void take_refusal(struct play *play, struct device *device, enum trib_refusal refusal) {
    if (refusal == TRIB_REFUSE_UNKNOWN_CLIENT)
        plan(play, device, PLAN_JOIN, TRIB_SECOND);
    else if (is_temporary(refusal) && device->plan == PLAN_SEND && device->attempts++ < 20)
        plan(play, device, PLAN_OFFER, around(play, 3 * TRIB_SECOND));
    else if (is_temporary(refusal) && device->plan == PLAN_OFFER && device->attempts++ < 20)
        plan(play, device, PLAN_OFFER, around(play, 3 * TRIB_SECOND));
    else
        plan(play, device, PLAN_ASK, around(play, 3 * TRIB_SECOND));
}

/* Copies: acting on one answer makes a step and with it new effects. */
static void take_answer(struct play *play, struct device *device, struct trib_effect answer) {
    switch (answer.kind) {
    case TRIB_EFFECT_JOINED:
    case TRIB_EFFECT_DONE:
    case TRIB_EFFECT_ACKNOWLEDGE:
        plan(play, device, PLAN_ASK, around(play, TRIB_SECOND));
        break;
    case TRIB_EFFECT_TASK:
        if (answer.task.id[0] && trouble(play, 0.04))
            decline(play, device, &answer.task);
        else
            take_task(play, device, &answer.task);
        break;
    case TRIB_EFFECT_REFUSE:
        take_refusal(play, device, answer.refusal);
        break;
    case TRIB_EFFECT_RECEIVE:
    case TRIB_EFFECT_COMPARE:
        world_request_at(play->world, answer.request)->is_open = false;
        play->world->requests_open--;
        device->is_comparing = answer.kind == TRIB_EFFECT_COMPARE;
        plan(play, device, PLAN_SEND, around(play, 2 * TRIB_SECOND));
        break;
    default:
        break;
    }
}

/* --- effects: answers wait in a queue, jobs get their time -------------------------------- */

#define ANSWERS_MAX 1024
struct listener {
    struct play *play;
    struct trib_effect answers[ANSWERS_MAX];
    uint32_t answer_count;
};

static void listen(struct world *world, const struct trib_effect *effect) {
    struct listener *listener = world->listener;
    if (effect->request == 0 || effect->kind == TRIB_EFFECT_SPOOL ||
        effect->kind == TRIB_EFFECT_RECORD)
        return;
    world_require(world, listener->answer_count < ANSWERS_MAX, "the test has room");
    listener->answers[listener->answer_count++] = *effect;
}

static void deliver_answers(struct play *play, struct listener *listener) {
    for (uint32_t next = 0; next < listener->answer_count; next++) {
        struct trib_effect answer = listener->answers[next];
        if (answer.request == play->operator_request)
            play->operator_request = 0;
        for (uint32_t index = 0; index < play->device_count; index++) {
            if (play->devices[index].request == answer.request)
                take_answer(play, &play->devices[index], answer);
        }
    }
    listener->answer_count = 0;
}

static trib_time_ns job_takes(struct play *play, const struct world_job *job) {
    static const trib_time_ns usual[] = {
        [WORLD_SPOOL] = 20 * TRIB_MILLISECOND,    [WORLD_FOLD] = 30 * TRIB_MILLISECOND,
        [WORLD_COMBINE] = 900 * TRIB_MILLISECOND, [WORLD_MERGE] = 500 * TRIB_MILLISECOND,
        [WORLD_PERSIST] = 300 * TRIB_MILLISECOND, [WORLD_RECORD] = 10 * TRIB_MILLISECOND,
    };
    return 1 + around(play, chance(play, 0.1) ? 100 * usual[job->kind] : usual[job->kind]);
}

static enum trib_status job_ends(struct play *play, const struct world_job *job) {
    if (job->kind == WORLD_SPOOL && trouble(play, 0.03))
        return chance(play, 0.5) ? TRIB_ENONFINITE : TRIB_EBOUND;
    if (job->kind == WORLD_SPOOL && trouble(play, 0.03))
        return chance(play, 0.5) ? TRIB_EIO : TRIB_EFULL;
    bool can_fail = job->kind != WORLD_COMBINE; /* who combines tries again until it is good */
    return can_fail && trouble(play, 0.002) ? TRIB_EIO : TRIB_OK;
}

/* --- operator and crashes --------------------------------------------------------------------- */

static void operate(struct play *play) {
    struct trib_run_status status;
    trib_run_status(play->world->run, play->world->now, &status);
    play->operator_at = play->world->now + around(play, 600 * TRIB_SECOND) + TRIB_SECOND;
    if (play->operator_request != 0)
        return;
    enum trib_control control = TRIB_CONTROL_RESUME;
    if (status.state == TRIB_RUN_RUNNING && trouble(play, 0.3))
        control = TRIB_CONTROL_PAUSE;
    else if (trouble(play, 0.01))
        control = TRIB_CONTROL_STOP;
    play->operator_request = world_request(play->world, "operator");
    world_step(play->world, (struct trib_event){.kind = TRIB_EVENT_CONTROL,
                                                .request = play->operator_request,
                                                .control = control});
}

static void crash(struct play *play) {
    play->crash_at = play->world->now + around(play, 1800 * TRIB_SECOND) + TRIB_SECOND;
    world_restart(play->world, trib_random_u64(&play->random));
    play->operator_request = 0;
    for (uint32_t index = 0; index < play->device_count; index++) {
        struct device *device = &play->devices[index];
        if (device->request != 0) /* Its connection is lost: it tries again. */
            plan(play, device, device->plan == PLAN_SEND ? PLAN_OFFER : device->plan,
                 around(play, 5 * TRIB_SECOND));
    }
}

/* A daemon that has failed is restarted by whoever runs it. */
static bool needs_restart(const struct play *play) {
    struct trib_run_status status;
    trib_run_status(play->world->run, play->world->now, &status);
    return status.state == TRIB_RUN_FAILED;
}

/* --- time ------------------------------------------------------------------------------------- */

static trib_time_ns earlier(trib_time_ns a, trib_time_ns b) {
    return a < b ? a : b;
}

static trib_time_ns next_time(const struct play *play) {
    trib_time_ns next = earlier(play->operator_at, trib_run_deadline(play->world->run));
    next = earlier(next, play->crash_at);
    for (uint32_t job = 0; job < play->world->job_count; job++)
        next = earlier(next, play->world->jobs[job].done_at);
    for (uint32_t index = 0; index < play->device_count; index++) {
        next = earlier(next, play->devices[index].next_at);
        next = earlier(next, play->devices[index].leaves_at);
    }
    return next;
}

/* One thing that is due now. */
static void play_next(struct play *play) {
    struct world *world = play->world;
    for (uint32_t place = 0; place < world->job_count; place++) {
        if (world->jobs[place].done_at <= world->now) {
            world_complete(world, place, job_ends(play, &world->jobs[place]));
            return;
        }
    }
    if (play->crash_at <= world->now) {
        crash(play);
        return;
    }
    for (uint32_t index = 0; index < play->device_count; index++) {
        struct device *device = &play->devices[index];
        if (device->request != 0 && device->leaves_at <= world->now) {
            hang_up(play, device);
            return;
        }
        if (device->next_at <= world->now) {
            act(play, device);
            return;
        }
    }
    if (play->operator_at <= world->now)
        operate(play);
    else
        world_step(world, (struct trib_event){.kind = TRIB_EVENT_TICK});
}

static bool is_over(const struct play *play) {
    if (play->world->state != TRIB_RUN_STOPPED || play->world->job_count > 0)
        return false;
    for (uint32_t index = 0; index < play->device_count; index++) {
        if (play->devices[index].plan != PLAN_DONE)
            return false;
    }
    return play->operator_request == 0;
}

static uint64_t play_counts[2]; /* versions without and with rounds */

static uint64_t play_seed(uint64_t seed) {
    static struct listener listener;
    struct play play = {0};
    trib_random_derive(&play.random, seed, "random world", 0);
    choose_spec(&play, seed);
    choose_devices(&play);
    play.world = world_new(&play.spec, (uint32_t)below(&play, 2) + 1, seed);
    play.world->listen = listen;
    play.world->listener = &listener;
    play.operator_at = around(&play, 600 * TRIB_SECOND);
    play.crash_at = chance(&play, 0.5) ? around(&play, 600 * TRIB_SECOND) : TRIB_TIME_NEVER;
    listener.answer_count = 0;
    world_model(play.world);
    while (!is_over(&play)) {
        for (uint32_t job = 0; job < play.world->job_count; job++) {
            if (play.world->jobs[job].done_at == 0)
                play.world->jobs[job].done_at =
                    play.world->now + job_takes(&play, &play.world->jobs[job]);
        }
        trib_time_ns next = next_time(&play);
        world_require(play.world, next < HOURS_MAX * HOUR, "a run makes progress");
        if (next > play.world->now)
            play.world->now = next;
        /* After two days nothing fails any more: then there is no excuse. */
        play.is_calm = play.world->now > 48 * HOUR;
        if (play.is_calm)
            play.crash_at = TRIB_TIME_NEVER;
        play_next(&play);
        deliver_answers(&play, &listener);
        if (needs_restart(&play))
            crash(&play);
    }
    world_check_end(play.world);
    uint64_t version = play.world->version;
    play_counts[play.spec.strategy.policy == &trib_policy_rounds] += version;
    world_free(play.world);
    return version;
}

/* --- tests ------------------------------------------------------------------------------------ */

static uint64_t number_from(const char *name, uint64_t usual) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : usual;
}

static void promises_hold_in_random_worlds(void **state) {
    (void)state;
    uint64_t only = number_from("TRIB_WORLD_SEED", 0);
    uint64_t count = number_from("TRIB_WORLD_SEEDS", SEEDS_USUAL), versions = 0;
    if (only > 0) {
        play_seed(only);
        return;
    }
    for (uint64_t seed = 1; seed <= count; seed++)
        versions += play_seed(seed);
    /* Worlds in which nothing happens would hold every promise. */
    assert_true(versions >= 3 * count);
    assert_true(play_counts[false] >= count && play_counts[true] >= count);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(promises_hold_in_random_worlds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
