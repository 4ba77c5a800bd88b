/* world.c - a node in memory that watches the promises of a run. */
#include "world.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_TICKS_MAX 2000

void world_require(const struct world *world, bool condition, const char *rule) {
    if (condition)
        return;
    fprintf(stderr, "\nbroken: %s\nseed %" PRIu64 ", time %.3f s, version %" PRIu64 "\n", rule,
            world->seed, (double)world->now / TRIB_SECOND, world->version);
    abort();
}

static void copy_name(char *to, const char *from) {
    size_t name_bytes = strlen(from);
    TRIB_ASSERT(name_bytes < TRIB_NAME_BYTES);
    memcpy(to, from, name_bytes + 1);
}

struct trib_digest world_body(const char *words) {
    struct trib_digest digest;
    trib_digest_of(words, strlen(words), &digest);
    return digest;
}

struct world *world_new(const struct trib_spec *spec, uint32_t accumulators, uint64_t seed) {
    struct world *world = calloc(1, sizeof *world);
    TRIB_ASSERT(world != NULL);
    world->spec = spec;
    world->limits.accumulators = accumulators;
    world->seed = seed;
    TRIB_ASSERT(spec->updates_pending_max <= WORLD_SLOTS_MAX);
    world->run = trib_run_new(trib_env_system(), spec, &world->limits);
    TRIB_ASSERT(world->run != NULL);
    return world;
}

void world_free(struct world *world) {
    for (uint32_t job = 0; job < world->job_count; job++)
        free(world->jobs[job].listed);
    trib_run_free(world->run);
    free(world);
}

/* --- requests --------------------------------------------------------------------------------- */

struct world_request *world_request_at(struct world *world, trib_request request) {
    return &world->requests[request % WORLD_REQUESTS_MAX];
}

trib_request world_request(struct world *world, const char *who) {
    trib_request number = ++world->request_count;
    struct world_request *request = world_request_at(world, number);
    world_require(world, !request->is_open, "no request waits for ever");
    *request = (struct world_request){.is_open = true};
    copy_name(request->who, who);
    world->requests_open++;
    return number;
}

trib_request world_open_request(struct world *world, const char *who) {
    for (trib_request number = world->request_count; number > 0; number--) {
        const struct world_request *request = world_request_at(world, number);
        if (request->is_open && strcmp(request->who, who) == 0)
            return number;
    }
    return 0;
}

static void close_request(struct world *world, trib_request number) {
    struct world_request *request = world_request_at(world, number);
    world_require(world, number > 0 && number <= world->request_count && request->is_open,
                  "a request is answered once, and only if somebody waits for it");
    request->is_open = false;
    world->requests_open--;
}

/* --- updates ---------------------------------------------------------------------------------- */

static struct world_update *find_update(const struct world *world, const char *client,
                                        const char *id) {
    for (uint32_t index = 0; index < world->update_count; index++) {
        const struct world_update *update = &world->updates[index];
        if (update->is_durable && strcmp(update->client, client) == 0 &&
            strcmp(update->id, id) == 0)
            return (struct world_update *)update;
    }
    return NULL;
}

struct trib_settled world_settled(const struct world *world, const char *client, const char *id) {
    const struct world_update *update = find_update(world, client, id);
    if (!update || update->fate == TRIB_FATE_NONE)
        return (struct trib_settled){0};
    return (struct trib_settled){update->fate, update->version, update->digest};
}

struct trib_settled world_reported(const struct world *world, const char *client,
                                   trib_version version) {
    for (uint32_t index = 0; index < world->evaluation_count; index++) {
        const struct world_evaluation *evaluation = &world->evaluations[index];
        if (evaluation->version == version && strcmp(evaluation->client, client) == 0)
            return (struct trib_settled){.fate = TRIB_FATE_COUNTED};
    }
    return (struct trib_settled){0};
}

static struct world_update *update_in(struct world *world, trib_slot slot) {
    world_require(world, slot < WORLD_SLOTS_MAX && world->slots[slot] != 0,
                  "a slot is used only while it is lent");
    return &world->updates[world->slots[slot] - 1];
}

static void free_slots(struct world *world, const uint32_t *listed, size_t listed_count) {
    for (trib_slot slot = 0; slot < WORLD_SLOTS_MAX; slot++) {
        for (size_t place = 0; place < listed_count && world->slots[slot]; place++) {
            if (world->slots[slot] == listed[place] + 1)
                world->slots[slot] = 0;
        }
    }
}

/* --- effects ---------------------------------------------------------------------------------- */

static struct world_job *add_job(struct world *world, enum world_job_kind kind) {
    world_require(world, world->job_count < WORLD_JOBS_MAX, "jobs are bounded");
    struct world_job *job = &world->jobs[world->job_count++];
    *job = (struct world_job){.kind = kind, .slot = TRIB_SLOT_NONE};
    return job;
}

static bool holds(const struct world *world) {
    return world->spec->strategy.policy->arrive != NULL;
}

static void check_admitted(const struct world *world, const struct trib_slot_view *view) {
    world_require(world, view->target == world->version + 1 || view->target == world->version + 2,
                  "an update is for one of the next two versions");
    world_require(world, view->staleness == view->target - 1 - view->base,
                  "staleness is the version it is applied to minus its base");
    uint64_t oldest = world->spec->strategy.staleness_max;
    uint64_t counts_as = holds(world) && view->staleness > oldest ? oldest : view->staleness;
    if (world->spec->strategy.staleness == TRIB_STALENESS_PARTICIPATION)
        world_require(world, view->weight > 0 && view->weight <= trib_spec_weight_max(world->spec),
                      "a weight is what the spec allows");
    else if (world->spec->strategy.weights != TRIB_WEIGHT_ATTRIBUTE)
        world_require(world,
                      view->weight == trib_spec_weight(world->spec, view->examples, counts_as),
                      "the weight is the spec's");
}

static void spool(struct world *world, const struct trib_effect *effect) {
    struct trib_slot_view view;
    trib_run_slot(world->run, effect->slot, &view);
    world_require(world, world->slots[effect->slot] == 0, "a slot is lent to one update");
    world_require(world, world->revised_from == 0 || view.target < world->revised_from,
                  "nothing is admitted for a version of another spec");
    if (holds(world))
        world_require(world, view.target == 0 && view.weight == 0,
                      "a held update has no version and no weight yet");
    else
        check_admitted(world, &view);
    world_require(world, world->update_count < WORLD_UPDATES_MAX, "the test has room");
    const struct world_update *known = find_update(world, view.client, view.id);
    world_require(world, known == NULL, "an update id is spooled once");
    struct world_update *update = &world->updates[world->update_count++];
    *update = (struct world_update){.base = view.base,
                                    .target = view.target,
                                    .staleness = view.staleness,
                                    .weight = view.weight,
                                    .examples = view.examples,
                                    .digest = world_request_at(world, effect->request)->body};
    copy_name(update->client, view.client);
    copy_name(update->id, view.id);
    world->slots[effect->slot] = world->update_count;
    struct world_job *job = add_job(world, WORLD_SPOOL);
    job->slot = effect->slot;
    job->update = world->update_count - 1;
}

static void acknowledge(struct world *world, const struct trib_effect *effect) {
    const struct world_request *request = world_request_at(world, effect->request);
    struct world_update *update = find_update(world, request->who, request->id);
    world_require(world, update != NULL, "nothing is acknowledged before it is durable");
    world_require(world, trib_digest_equal(&update->digest, &request->body),
                  "what is acknowledged is the body that is durable");
    uint64_t told = trib_spec_caps_shares(world->spec) ? 0 : update->weight;
    if (update->fate == TRIB_FATE_NONE)
        world_require(world,
                      effect->fate == TRIB_FATE_SPOOLED && effect->version == update->target &&
                          effect->weight == told && effect->staleness == update->staleness,
                      "an acknowledgement tells what was fixed at admission");
    else
        world_require(world, effect->fate == update->fate && effect->version == update->version,
                      "an acknowledgement tells the update's fate");
    update->is_acknowledged = true;
}

/* A held update gets its version, which stays. */
static void take_version(struct world *world, trib_slot slot, struct world_update *update) {
    struct trib_slot_view view;
    trib_run_slot(world->run, slot, &view);
    check_admitted(world, &view);
    update->target = view.target;
    update->staleness = view.staleness;
    update->weight = view.weight;
}

static void fold(struct world *world, const struct trib_effect *effect) {
    struct world_update *update = update_in(world, effect->slot);
    world_require(world, update->is_durable, "only durable updates are folded");
    if (update->target == 0)
        take_version(world, effect->slot, update);
    world_require(world,
                  effect->version == update->target && effect->staleness == update->staleness,
                  "a fold tells what is final");
    update->counted = effect->weight;
    world_require(world, update->counted > 0 && update->counted <= update->weight,
                  "an update counts, and at most with its weight");
    world_require(world, update->counted == update->weight || trib_spec_caps_shares(world->spec),
                  "only a cap on shares cuts a weight");
    world_require(world, ++update->folds == 1, "an update is folded once");
    world_require(world, effect->accumulator < world->limits.accumulators,
                  "no accumulator is used that does not exist");
    trib_version *summed = &world->summed[effect->accumulator];
    world_require(world, *summed == 0 || *summed == update->target,
                  "an accumulator sums for one version");
    *summed = update->target;
    struct world_job *job = add_job(world, WORLD_FOLD);
    job->slot = effect->slot;
    job->update = world->slots[effect->slot] - 1;
    job->accumulator = effect->accumulator;
}

/* Somebody else sums them: at once, for this world. */
static void combine(struct world *world, const struct trib_effect *effect) {
    trib_slot slots[WORLD_SLOTS_MAX];
    size_t count = trib_run_slots_of(world->run, effect->version, slots, WORLD_SLOTS_MAX);
    world_require(world, count > 0, "nobody is asked to combine nothing");
    for (size_t place = 0; place < count; place++) {
        struct world_update *update = update_in(world, slots[place]);
        world_require(world, update->is_durable, "only durable updates are combined");
        world_require(world, ++update->folds == 1, "an update is combined once");
        if (update->target == 0)
            take_version(world, slots[place], update);
        update->counted = update->weight;
        update->is_folded = true;
        world->sums[0] += update->weight;
    }
    world->summed[0] = effect->version;
    add_job(world, WORLD_COMBINE)->version = effect->version;
}

static void merge(struct world *world, const struct trib_effect *effect) {
    world_require(world, world->summed[effect->accumulator] == effect->version,
                  "the accumulator that is merged holds that version's sum");
    world_require(world, world->sums[effect->accumulator] > 0, "no empty version");
    struct world_job *job = add_job(world, WORLD_MERGE);
    job->version = effect->version;
    job->accumulator = effect->accumulator;
}

/* What a record lists, as update numbers. */
static void list_slots(struct world *world, struct world_job *job, const trib_slot *slots,
                       size_t count) {
    job->listed = calloc(count + 1, sizeof *job->listed);
    TRIB_ASSERT(job->listed != NULL);
    job->listed_count = count;
    for (size_t place = 0; place < count; place++) {
        const struct world_update *update = update_in(world, slots[place]);
        job->listed[place] = (uint32_t)(update - world->updates);
        if (place == 0)
            continue;
        const struct world_update *before = update_in(world, slots[place - 1]);
        int order = strcmp(before->client, update->client);
        world_require(world, order < 0 || (order == 0 && strcmp(before->id, update->id) < 0),
                      "records list updates by client, then id");
    }
}

/* A share of the whole, or where they are too few for that, an equal one. */
static void check_shares(const struct world *world, const struct world_job *job, uint64_t whole) {
    double share_max = world->spec->strategy.weight_share_max;
    uint64_t least = UINT64_MAX, most = 0, clients = 0;
    for (size_t place = 0, end; place < job->listed_count; place = end) {
        const char *client = world->updates[job->listed[place]].client;
        uint64_t weight = 0;
        for (end = place; end < job->listed_count &&
                          strcmp(world->updates[job->listed[end]].client, client) == 0;
             end++)
            weight += world->updates[job->listed[end]].counted;
        least = weight < least ? weight : least;
        most = weight > most ? weight : most;
        clients++;
    }
    if (!trib_spec_caps_shares(world->spec))
        return;
    /* Each update keeps a weight of 1 at least: that many units may be over. */
    double slack = (double)job->listed_count;
    bool is_shared = (double)most <= share_max * (double)whole + slack;
    bool is_even = (double)most <= (double)least + slack;
    world_require(world, (double)clients * share_max < 1 ? is_even : is_shared,
                  "nobody has more than weight_share_max of a version");
}

static void persist(struct world *world, const struct trib_effect *effect) {
    trib_slot slots[WORLD_SLOTS_MAX];
    size_t count = trib_run_slots_of(world->run, effect->version, slots, WORLD_SLOTS_MAX);
    struct world_job *job = add_job(world, WORLD_PERSIST);
    job->version = effect->version;
    list_slots(world, job, slots, count);
    uint64_t weight = 0;
    for (size_t place = 0; place < count; place++) {
        const struct world_update *update = &world->updates[job->listed[place]];
        world_require(world, update->is_folded && update->target == effect->version,
                      "a version lists what was folded into it");
        weight += update->counted;
    }
    check_shares(world, job, weight);
    for (uint32_t index = 0; index < world->update_count; index++) {
        const struct world_update *update = &world->updates[index];
        bool is_left = update->is_durable && update->fate == TRIB_FATE_NONE && update->target > 0 &&
                       update->target <= effect->version;
        count -= is_left;
    }
    world_require(world, count == 0, "a version lists every durable update that is for it");
    bool is_async = world->spec->strategy.policy == &trib_policy_async;
    world_require(world, !is_async || job->listed_count == 1, "one update is mixed at a time");
    world_require(world, weight == world->merged,
                  "the weights of a version's updates are the weight of its sum");
    world_require(world,
                  weight <= world->spec->strategy.weight_total_max
                                << world->spec->strategy.weight_unit_bits,
                  "no version is heavier than weight_total_max");
}

static void record(struct world *world, const struct trib_effect *effect) {
    struct world_job *job = add_job(world, WORLD_RECORD);
    job->record = effect->record;
    job->record_kind = effect->record_kind;
    job->state = effect->state;
    job->version = effect->version;
    if (effect->record_kind == TRIB_RECORD_REVISION) {
        for (uint32_t index = 0; index < world->update_count; index++)
            world_require(world, world->updates[index].target < effect->version,
                          "no update is for a version of another spec");
        return;
    }
    if (effect->record_kind == TRIB_RECORD_EVALUATION) {
        const struct world_request *request = world_request_at(world, effect->request);
        copy_name(job->client, request->who);
        job->examples = request->examples;
        job->metric = request->metric;
        job->has_metric = request->has_metric;
        return;
    }
    snprintf(job->reason, sizeof job->reason, "%.95s", effect->text);
    if (effect->state == TRIB_RUN_STOPPED) {
        trib_slot slots[WORLD_SLOTS_MAX];
        size_t count = trib_run_slots_pending(world->run, slots, WORLD_SLOTS_MAX);
        list_slots(world, job, slots, count);
    }
}

static void remember_client(struct world *world, const struct trib_effect *effect) {
    const struct world_request *request = world_request_at(world, effect->request);
    uint32_t place = 0;
    while (place < world->client_count && strcmp(world->clients[place].name, request->who) != 0)
        place++;
    world_require(world, place < WORLD_CLIENTS_MAX, "the test has room");
    world->client_count += place == world->client_count;
    copy_name(world->clients[place].name, request->who);
    world->clients[place].role = request->role;
    const struct trib_event *join = world->event;
    for (uint32_t index = 0; index < join->attribute_count; index++)
        world->clients[place].attributes[index] = join->attributes[index];
    world->clients[place].attribute_count = join->attribute_count;
}

static void publish(struct world *world, const struct trib_effect *effect) {
    world_require(world, effect->version == world->version,
                  "a version is published after its record is durable");
    world_require(world, effect->version == world->published + 1, "versions grow by one");
    world->published = effect->version;
}

/* Nobody waits for this record; here it is durable at once. */
static void set_aside(struct world *world, const char *name) {
    uint32_t place = 0;
    while (place < world->client_count && strcmp(world->clients[place].name, name) != 0)
        place++;
    world_require(world, place < world->client_count, "only who has joined is set aside");
    world_require(world, !world->clients[place].is_set_aside, "and only once");
    world->clients[place].is_set_aside = true;
}

static void forgive_all(struct world *world) {
    for (uint32_t place = 0; place < world->client_count; place++)
        world->clients[place].is_set_aside = false;
}

static bool is_answer(const struct trib_effect *effect) {
    switch (effect->kind) {
    case TRIB_EFFECT_JOINED:
    case TRIB_EFFECT_TASK:
    case TRIB_EFFECT_DONE:
    case TRIB_EFFECT_REFUSE:
    case TRIB_EFFECT_ACKNOWLEDGE:
        return true;
    default:
        return false;
    }
}

static void check_task(struct world *world, const struct trib_effect *effect) {
    if (effect->task.kind == TRIB_TASK_TRAIN) {
        const char *who = world_request_at(world, effect->request)->who;
        world_require(world, effect->task.version == world->version,
                      "train tasks are for the current version");
        world_require(world, strtoull(effect->task.id, NULL, 10) == world->version,
                      "a train task has its version in its name");
        world_require(world, find_update(world, who, effect->task.id) == NULL,
                      "a train task has a name that no update of its client has");
    }
    if (effect->task.kind == TRIB_TASK_STOP)
        world_require(world, world->state == TRIB_RUN_STOPPED, "a stop is told once it is durable");
}

static void carry_out(struct world *world, const struct trib_effect *effect) {
    switch (effect->kind) {
    case TRIB_EFFECT_JOINED:
        remember_client(world, effect);
        break;
    case TRIB_EFFECT_TASK:
        check_task(world, effect);
        break;
    case TRIB_EFFECT_SPOOL:
        spool(world, effect);
        break;
    case TRIB_EFFECT_ACKNOWLEDGE:
        acknowledge(world, effect);
        break;
    case TRIB_EFFECT_FOLD:
        fold(world, effect);
        break;
    case TRIB_EFFECT_COMBINE:
        combine(world, effect);
        break;
    case TRIB_EFFECT_MERGE:
        merge(world, effect);
        break;
    case TRIB_EFFECT_PERSIST:
        persist(world, effect);
        break;
    case TRIB_EFFECT_PUBLISH:
        publish(world, effect);
        break;
    case TRIB_EFFECT_RECORD:
        record(world, effect);
        break;
    case TRIB_EFFECT_SET_ASIDE:
        set_aside(world, effect->text);
        break;
    case TRIB_EFFECT_REOPEN:
        world_require(world, world->revised_from == world->version + 1,
                      "a run is opened again when its revision is to hold");
        for (uint32_t index = 0; index < world->update_count; index++)
            world_require(world,
                          !world->updates[index].is_acknowledged ||
                              world->updates[index].fate != TRIB_FATE_NONE,
                          "no update is under way when a run is opened again");
        world->is_reopening = true;
        break;
    case TRIB_EFFECT_STATE:
        world_require(world, effect->state == TRIB_RUN_FAILED || effect->state == world->state,
                      "a state holds once it is durable");
        break;
    default:
        break;
    }
    if (is_answer(effect))
        close_request(world, effect->request);
}

static void check_status(struct world *world) {
    struct trib_run_status status;
    trib_run_status(world->run, world->now, &status);
    uint32_t lent = 0;
    for (trib_slot slot = 0; slot < WORLD_SLOTS_MAX; slot++)
        lent += world->slots[slot] != 0;
    world_require(world, status.pending == lent, "slots lent are slots in use");
    world_require(world, status.version == world->version, "the version is the durable one");
    world_require(world, status.counted == world->counted, "updates are counted once");
    world_require(world, status.dropped == world->dropped, "updates are dropped once");
    world_require(world, status.waiting_for[0] != 0, "the status says what the run waits for");
    world_require(world, status.training <= world->client_count, "only clients train");
    uint32_t concurrency = world->spec->strategy.concurrency;
    const struct trib_policy *policy = world->spec->strategy.policy;
    bool is_buffer = policy == &trib_policy_buffer || policy == &trib_policy_async;
    world_require(world, !is_buffer || concurrency == 0 || status.training <= concurrency,
                  "no more clients train than strategy.concurrency");
}

void world_step(struct world *world, struct trib_event event) {
    event.now = world->now;
    world->event = &event;
    trib_run_step(world->run, &event, &world->effects);
    world_require(world, world->effects.count <= TRIB_EFFECTS_MAX, "effects are bounded");
    bool is_idle = world->effects.count == 0 && event.kind == TRIB_EVENT_TICK;
    world->idle_ticks = is_idle ? world->idle_ticks + 1 : 0;
    world_require(world, world->idle_ticks < IDLE_TICKS_MAX, "ticks lead somewhere");
    for (uint32_t index = 0; index < world->effects.count; index++) {
        const struct trib_effect *effect = &world->effects.items[index];
        if (world->listen)
            world->listen(world, effect);
        carry_out(world, effect);
    }
    world->event = NULL;
    check_status(world);
}

void world_model(struct world *world) {
    world->has_model = true;
    world->state = TRIB_RUN_RUNNING;
    world_step(world, (struct trib_event){.kind = TRIB_EVENT_MODEL});
}

/* --- jobs ------------------------------------------------------------------------------------- */

static void settle_listed(struct world *world, const struct world_job *job, enum trib_fate fate,
                          trib_version version) {
    for (size_t place = 0; place < job->listed_count; place++) {
        struct world_update *update = &world->updates[job->listed[place]];
        world_require(world, update->is_durable && update->fate == TRIB_FATE_NONE,
                      "an update is counted in one version or dropped, once");
        update->fate = fate;
        update->version = version;
    }
}

/* What the job leaves on the disk when it succeeds. */
static void make_durable(struct world *world, const struct world_job *job) {
    if (job->kind == WORLD_SPOOL) {
        world->updates[job->update].is_durable = true;
    } else if (job->kind == WORLD_PERSIST) {
        settle_listed(world, job, TRIB_FATE_COUNTED, job->version);
        world->version = job->version;
        world->counted += job->listed_count;
    } else if (job->kind == WORLD_RECORD && job->record_kind == TRIB_RECORD_STATE) {
        settle_listed(world, job, TRIB_FATE_DROPPED, 0);
        world->dropped += job->listed_count;
        world->state = job->state;
        if (job->state == TRIB_RUN_RUNNING)
            forgive_all(world);
        snprintf(world->reason, sizeof world->reason, "%s", job->reason);
    } else if (job->kind == WORLD_RECORD && job->record_kind == TRIB_RECORD_REVISION) {
        world->revised_from = job->version;
    } else if (job->kind == WORLD_RECORD) {
        world_require(world, world->evaluation_count < WORLD_EVALUATIONS_MAX, "the test has room");
        world_require(world,
                      world_reported(world, job->client, job->version).fate == TRIB_FATE_NONE,
                      "a client's report on a version is counted once");
        struct world_evaluation *evaluation = &world->evaluations[world->evaluation_count++];
        *evaluation = (struct world_evaluation){.version = job->version,
                                                .examples = job->examples,
                                                .metric = job->metric,
                                                .has_metric = job->has_metric};
        copy_name(evaluation->client, job->client);
    }
}

static struct trib_event event_of(struct world *world, const struct world_job *job,
                                  enum trib_status status) {
    static const enum trib_event_kind kinds[] = {
        [WORLD_SPOOL] = TRIB_EVENT_SPOOLED,     [WORLD_FOLD] = TRIB_EVENT_FOLDED,
        [WORLD_COMBINE] = TRIB_EVENT_COMBINED,  [WORLD_MERGE] = TRIB_EVENT_MERGED,
        [WORLD_PERSIST] = TRIB_EVENT_PERSISTED, [WORLD_RECORD] = TRIB_EVENT_RECORDED,
    };
    struct trib_event event = {.kind = kinds[job->kind],
                               .slot = job->slot,
                               .version = job->version,
                               .record = job->record,
                               .status = status};
    if (job->kind == WORLD_SPOOL)
        event.digest = world->updates[job->update].digest;
    return event;
}

void world_complete(struct world *world, uint32_t place, enum trib_status status) {
    TRIB_ASSERT(place < world->job_count);
    struct world_job job = world->jobs[place];
    world->job_count--;
    memmove(&world->jobs[place], &world->jobs[place + 1],
            (world->job_count - place) * sizeof *world->jobs);
    bool is_ok = status == TRIB_OK;
    if (is_ok)
        make_durable(world, &job);
    if (job.kind == WORLD_FOLD) {
        world->updates[job.update].is_folded = is_ok;
        world->sums[job.accumulator] += world->updates[job.update].counted;
    } else if (job.kind == WORLD_MERGE && is_ok) {
        world->merged = world->sums[job.accumulator];
        world->sums[job.accumulator] = 0;
        world->summed[job.accumulator] = 0;
    } else if (job.kind == WORLD_SPOOL && !is_ok) {
        world->slots[job.slot] = 0;
    } else if (is_ok) {
        free_slots(world, job.listed, job.listed_count);
    }
    world_step(world, event_of(world, &job, status));
    free(job.listed);
}

/* --- restart ---------------------------------------------------------------------------------- */

static void restore_updates(struct world *world) {
    memset(world->slots, 0, sizeof world->slots);
    memset(world->sums, 0, sizeof world->sums);
    memset(world->summed, 0, sizeof world->summed);
    for (uint32_t index = 0; index < world->update_count; index++) {
        struct world_update *update = &world->updates[index];
        update->folds = 0;
        update->is_folded = false;
        if (holds(world) && update->fate == TRIB_FATE_NONE)
            update->target = update->staleness = update->weight = 0; /* as it was spooled */
        if (!update->is_durable || update->fate != TRIB_FATE_NONE)
            continue;
        struct trib_pending pending = {update->client,   update->id,        update->base,
                                       update->target,   update->staleness, update->weight,
                                       update->examples, update->digest};
        trib_slot slot;
        bool is_restored = trib_run_restore_update(world->run, &pending, &slot);
        world_require(world, is_restored, "every pending update finds its slot again");
        world->slots[slot] = index + 1;
    }
}

void world_restart(struct world *world, uint64_t survivors) {
    struct trib_run_status status;
    trib_run_status(world->run, world->now, &status);
    for (uint32_t job = 0; job < world->job_count; job++) {
        /* A version record or a stop is written after whatever it lists: the disk keeps order. */
        if (survivors >> job % 64 & 1)
            make_durable(world, &world->jobs[job]);
        free(world->jobs[job].listed);
    }
    world->job_count = 0;
    for (size_t place = 0; place < WORLD_REQUESTS_MAX && place <= world->request_count; place++)
        world->requests[place].is_open = false;
    world->requests_open = 0;
    trib_run_free(world->run);
    world->run = trib_run_new(trib_env_system(), world->spec, &world->limits);
    TRIB_ASSERT(world->run != NULL);

    if (world->revised_from <= world->version + 1)
        world->revised_from = 0; /* it holds */
    world->is_reopening = false;
    struct trib_restored restored = {.state = world->state,
                                     .revised_from = world->revised_from,
                                     .has_model = world->has_model,
                                     .version = world->version,
                                     .now = world->now,
                                     .ran_for = status.ran_for,
                                     .counted = world->counted,
                                     .dropped = world->dropped};
    snprintf(restored.reason, sizeof restored.reason, "%s", world->reason);
    trib_run_restore(world->run, &restored);
    for (uint32_t client = 0; client < world->client_count; client++)
        trib_run_restore_client(world->run, world->clients[client].name,
                                world->clients[client].role, world->clients[client].attributes,
                                world->clients[client].attribute_count);
    restore_updates(world);
    for (uint32_t client = 0; client < world->client_count; client++) {
        if (world->clients[client].is_set_aside)
            trib_run_restore_set_aside(world->run, world->clients[client].name);
    }
    for (uint32_t index = 0; index < world->evaluation_count; index++) {
        const struct world_evaluation *evaluation = &world->evaluations[index];
        trib_run_restore_evaluation(world->run, evaluation->client, evaluation->version,
                                    evaluation->examples, evaluation->metric,
                                    evaluation->has_metric);
    }
    world->published = world->version;
}

void world_check_end(struct world *world) {
    for (uint32_t index = 0; index < world->update_count; index++) {
        const struct world_update *update = &world->updates[index];
        world_require(world, !update->is_durable || update->fate != TRIB_FATE_NONE,
                      "every acknowledged update is counted or dropped in the end");
        world_require(world, !update->is_acknowledged || update->is_durable,
                      "what was acknowledged is durable");
    }
    world_require(world, world->requests_open == 0, "every request is answered");
}
