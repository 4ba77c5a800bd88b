/* transcripts.c - plays the scripts among the transcripts of this folder and compares.
 *
 * A transcript is its own script: lines that start with '[' are events, up to " -> "; lines that
 * start with a blank are what the run and the node made of them; the rest sets the scene. The
 * player makes the whole text anew and the test fails at the first line that differs. After a
 * change that is meant: TRIB_TRANSCRIPTS=write, then read the difference.
 *
 *   spec KEY VALUE ...        settings, see spec_fields
 *   policy NAME               rounds (usual), buffer, ticks, async or groups
 *   require|prefer|never NAME=VALUE ...   select, with values as in join; quota NAME=COUNT ...
 *   brief                     count effects of a kind, and complete jobs without a word
 *   hold JOB ...              these jobs complete only when the script says so
 *   [   2.0] dev-1 > ask wait 30
 *   [   2.0] dev-1 > join trainer site=mercy gpu=true cores=8
 *   [   2.0] dev-001..dev-300 > ask wait 30          the same from many
 *   [   3.0] node > done spool dev-1/u1 eio          complete a held job, with a status
 *   [   4.0] node > restart                          what is durable stays
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "learn/policy.h"
#include "support/check.h"
#include "world.h"

#define WORDS_MAX 32
#define LISTED_MAX 4       /* updates of a record that are named */
#define LINE_CHARACTERS 86 /* of an event and its first effect, to stand in one line */
#define ALIKE_MAX 4        /* effects of one kind in a row that are spelled out */

struct player {
    struct trib_spec spec;
    uint32_t accumulators;
    struct world *world;
    bool is_held[WORLD_RECORD + 1];
    bool is_brief;
    FILE *out;
    /* effects since the event's line was begun, as text */
    char (*lines)[256];
    size_t line_count, line_capacity;
    char brief[32][256]; /* the same, counted */
};

static void say(struct player *player, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct player *player, const char *format, ...) {
    if (player->line_count == player->line_capacity) {
        player->line_capacity = player->line_capacity ? 2 * player->line_capacity : 64;
        player->lines = realloc(player->lines, player->line_capacity * sizeof *player->lines);
        assert_non_null(player->lines);
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(player->lines[player->line_count++], sizeof *player->lines, format, arguments);
    va_end(arguments);
}

/* --- the scene -------------------------------------------------------------------------------- */

enum field_kind { FIELD_U32, FIELD_U64, FIELD_DOUBLE, FIELD_SECONDS, FIELD_FLAG, FIELD_WORD };

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
    const char *words[4]; /* enum values by order */
};

#define AT(member) offsetof(struct trib_spec, member)
static const struct field spec_fields[] = {
    {"fraction", FIELD_DOUBLE, AT(strategy.fraction), {0}},
    {"over_selection", FIELD_DOUBLE, AT(strategy.over_selection), {0}},
    {"goal", FIELD_U32, AT(strategy.goal), {0}},
    {"concurrency", FIELD_U32, AT(strategy.concurrency), {0}},
    {"tick", FIELD_SECONDS, AT(strategy.tick), {0}},
    {"steps_min", FIELD_U32, AT(strategy.steps_min), {0}},
    {"steps_max", FIELD_U32, AT(strategy.steps_max), {0}},
    {"slack", FIELD_DOUBLE, AT(strategy.slack), {0}},
    {"speed_beta", FIELD_DOUBLE, AT(strategy.speed_beta), {0}},
    {"quorum", FIELD_U32, AT(strategy.quorum), {0}},
    {"deadline", FIELD_SECONDS, AT(strategy.deadline), {0}},
    {"first_deadline", FIELD_SECONDS, AT(strategy.first_deadline), {0}},
    {"short", FIELD_WORD, AT(strategy.if_short), {"wait", "go", "pause"}},
    {"late", FIELD_WORD, AT(strategy.late), {"count", "refuse"}},
    {"combiner", FIELD_WORD, AT(strategy.combiner), {"sum", "external"}},
    {"staleness_max", FIELD_U32, AT(strategy.staleness_max), {0}},
    {"weight_share_max", FIELD_DOUBLE, AT(strategy.weight_share_max), {0}},
    {"weights", FIELD_WORD, AT(strategy.weights), {"examples", "equal", "attribute"}},
    {"weight_max", FIELD_U64, AT(strategy.weight_max), {0}},
    {"weight_total_max", FIELD_U64, AT(strategy.weight_total_max), {0}},
    {"update_bytes_max", FIELD_U64, AT(update_bytes_max), {0}},
    {"updates_pending_max", FIELD_U32, AT(updates_pending_max), {0}},
    {"clients_max", FIELD_U32, AT(clients_max), {0}},
    {"lease", FIELD_SECONDS, AT(lease), {0}},
    {"evaluate.every", FIELD_U32, AT(evaluate.every), {0}},
    {"evaluate.clients", FIELD_FLAG, AT(evaluate.on_clients), {0}},
    {"evaluate.min_clients", FIELD_U32, AT(evaluate.clients_min), {0}},
    {"evaluate.deadline", FIELD_SECONDS, AT(evaluate.deadline), {0}},
    {"stop.versions", FIELD_U64, AT(stop.versions), {0}},
    {"stop.target", FIELD_DOUBLE, AT(stop.target), {0}},
    {"stop.patience", FIELD_U32, AT(stop.patience), {0}},
    {"stop.after", FIELD_SECONDS, AT(stop.after), {0}},
};
#undef AT

static void set_field(struct trib_spec *spec, const struct field *field, const char *value) {
    void *place = (char *)spec + field->offset;
    switch (field->kind) {
    case FIELD_U32:
        *(uint32_t *)place = (uint32_t)strtoul(value, NULL, 10);
        break;
    case FIELD_U64:
        *(uint64_t *)place = strtoull(value, NULL, 10);
        break;
    case FIELD_DOUBLE:
        *(double *)place = strtod(value, NULL);
        break;
    case FIELD_SECONDS:
        *(trib_time_ns *)place = strcmp(value, "auto") == 0
                                     ? TRIB_DURATION_AUTO
                                     : (trib_time_ns)(strtod(value, NULL) * TRIB_SECOND);
        break;
    case FIELD_FLAG:
        *(bool *)place = strcmp(value, "yes") == 0;
        break;
    case FIELD_WORD:
        for (unsigned word = 0; word < 4 && field->words[word]; word++) {
            if (strcmp(field->words[word], value) == 0)
                *(unsigned *)place = word;
        }
        break;
    }
}

static void set_defaults(struct player *player) {
    player->accumulators = 2;
    player->spec = (struct trib_spec){
        .name = "transcript",
        .seed = 1,
        .strategy = {.policy = trib_policy_find("rounds"),
                     .fraction = 1,
                     .quorum = 1,
                     .deadline = 60 * TRIB_SECOND,
                     .first_deadline = 3600 * TRIB_SECOND,
                     .staleness_max = 3,
                     .weight_max = 1000000,
                     .weight_total_max = 1000000,
                     .steps_min = 20,
                     .steps_max = 100,
                     .slack = 1.5,
                     .speed_beta = 0.9,
                     .staleness_table = {1, 1, 1, 1}},
        .evaluate = {.on_evaluators = true, .metric = "accuracy", .clients_min = 1},
        .stop = {.target = (double)NAN},
        .lease = 30 * TRIB_SECOND,
        .clients_max = WORLD_CLIENTS_MAX,
        .updates_pending_max = 64,
    };
}

/* Weights in units of 2^-bits: each version of staleness costs one unit per example. */
static void set_weight_unit(struct trib_spec_strategy *strategy, uint32_t bits) {
    strategy->weight_unit_bits = bits;
    for (uint32_t staleness = 0; staleness <= strategy->staleness_max; staleness++)
        strategy->staleness_table[staleness] = (1u << bits) - staleness;
}

/* Those that are not rounds have no deadline but one that the script sets after this. */
static void set_policy(struct trib_spec_strategy *strategy, const char *name) {
    strategy->policy = trib_policy_find(name);
    assert_non_null(strategy->policy);
    strategy->deadline = TRIB_TIME_NEVER;
}

/* "site=mercy", "gpu=true", "cores=8" */
static void read_attribute(const char *word, struct trib_attribute *attribute) {
    const char *value = strchr(word, '=') + 1;
    char *end;
    memset(attribute, 0, sizeof *attribute);
    snprintf(attribute->name, sizeof attribute->name, "%.*s", (int)(value - word - 1), word);
    attribute->number = strtod(value, &end);
    attribute->kind = TRIB_ATTRIBUTE_NUMBER;
    if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
        attribute->kind = TRIB_ATTRIBUTE_FLAG;
        attribute->number = strcmp(value, "true") == 0;
    } else if (*end) {
        attribute->kind = TRIB_ATTRIBUTE_TEXT;
        snprintf(attribute->text, sizeof attribute->text, "%s", value);
    }
}

/* False: the line is about something else. */
static bool set_select(struct trib_spec_select *select, char **words, size_t count) {
    const struct {
        const char *word;
        struct trib_matches *matches;
    } rows[] = {
        {"require", &select->require}, {"prefer", &select->prefer}, {"never", &select->never}};
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        for (size_t word = 1; word < count && strcmp(words[0], rows[row].word) == 0; word++)
            read_attribute(words[word], &rows[row].matches->items[rows[row].matches->count++]);
        if (strcmp(words[0], rows[row].word) == 0)
            return true;
    }
    if (strcmp(words[0], "quota") != 0)
        return false;
    for (size_t word = 1; word < count; word++) {
        struct trib_attribute limit;
        struct trib_quota *quota = &select->quotas[select->quota_count++];
        read_attribute(words[word], &limit);
        snprintf(quota->name, sizeof quota->name, "%s", limit.name);
        quota->most = (uint32_t)limit.number;
    }
    return true;
}

static const char *const job_names[] = {"spool", "fold", "combine", "merge", "persist", "record"};

static void set_scene(struct player *player, char **words, size_t count) {
    assert_null(player->world); /* The scene is set before the first event. */
    bool is_hold = strcmp(words[0], "hold") == 0;
    if (strcmp(words[0], "brief") == 0)
        player->is_brief = true;
    if (strcmp(words[0], "policy") == 0) {
        set_policy(&player->spec.strategy, words[1]);
        return;
    }
    if (set_select(&player->spec.select, words, count))
        return;
    for (size_t word = 1; word + !is_hold < count; word += is_hold ? 1 : 2) {
        size_t known = 0;
        if (is_hold) {
            for (size_t job = 0; job <= WORLD_RECORD; job++) {
                if (strcmp(words[word], job_names[job]) == 0)
                    known = player->is_held[job] = true;
            }
        } else if (strcmp(words[word], "weight_unit_bits") == 0) {
            known = 1;
            set_weight_unit(&player->spec.strategy, (uint32_t)strtoul(words[word + 1], NULL, 10));
        } else if (strcmp(words[word], "weights_linear") == 0) {
            known = 1;
            for (uint32_t u = 0; u <= player->spec.strategy.staleness_max; u++)
                player->spec.strategy.staleness_table[u] = 1 + u;
        } else if (strcmp(words[word], "participation") == 0) {
            known = 1;
            player->spec.strategy.staleness = TRIB_STALENESS_PARTICIPATION;
            player->spec.strategy.weight_unit_bits = 1;
            player->spec.strategy.staleness_table[3] = 4 << 1;
        } else if (strcmp(words[word], "weight_attribute") == 0) {
            known = 1;
            snprintf(player->spec.strategy.weight_attribute, TRIB_ATTRIBUTE_NAME_BYTES, "%s",
                     words[word + 1]);
        } else if (strcmp(words[word], "accumulators") == 0) {
            known = player->accumulators = (uint32_t)strtoul(words[word + 1], NULL, 10);
        } else {
            for (size_t row = 0; row < sizeof spec_fields / sizeof spec_fields[0]; row++) {
                if (strcmp(words[word], spec_fields[row].name) != 0)
                    continue;
                set_field(&player->spec, &spec_fields[row], words[word + 1]);
                known = 1;
            }
        }
        if (!known)
            fail_msg("unknown word in the scene: %s", words[word]);
    }
}

/* --- effects as words ----------------------------------------------------------------------- */

static double seconds(trib_time_ns time) {
    return (double)time / TRIB_SECOND;
}

static void say_task(struct player *player, const char *who, const struct trib_task *task) {
    char by[48] = "", steps[48] = "";
    if (task->steps > 0)
        snprintf(steps, sizeof steps, ", %u steps", task->steps);
    if (task->expected_by != TRIB_TIME_NEVER)
        snprintf(by, sizeof by, ", expected by %.1f", seconds(task->expected_by));
    if (task->kind == TRIB_TASK_TRAIN)
        say(player, "%s: train %s%s%s", who, task->id, steps, by);
    else if (task->kind == TRIB_TASK_EVALUATE)
        say(player, "%s: evaluate %s", who, task->id);
    else if (task->kind == TRIB_TASK_WAIT)
        say(player, "%s: wait until %.1f (%s)", who, seconds(task->not_before), task->reason);
    else
        say(player, "%s: stop (%s)", who, task->reason);
}

static void say_acknowledged(struct player *player, const char *who,
                             const struct trib_effect *effect) {
    if (effect->fate == TRIB_FATE_SPOOLED && effect->version == 0)
        say(player, "%s: spooled, waits for its version", who);
    else if (effect->fate == TRIB_FATE_SPOOLED)
        say(player, "%s: spooled for version %" PRIu64, who, effect->version);
    else if (effect->fate == TRIB_FATE_COUNTED)
        say(player, "%s: counted in version %" PRIu64, who, effect->version);
    else
        say(player, "%s: dropped", who);
}

/* "dev-1/u1 100, dev-2/u1 300": with their weights; many are only counted. */
static void list_updates(const struct player *player, const trib_slot *slots, size_t count,
                         char *text, size_t room) {
    size_t used = 0;
    text[0] = 0;
    if (count > LISTED_MAX) {
        snprintf(text, room, "%zu updates", count);
        return;
    }
    for (size_t place = 0; place < count && used < room; place++) {
        struct trib_slot_view view;
        trib_run_slot(player->world->run, slots[place], &view);
        used += (size_t)snprintf(text + used, room - used, "%s%s/%s %" PRIu64, place ? ", " : "",
                                 view.client, view.id, view.weight);
    }
}

static void say_record(struct player *player, const char *who, const struct trib_effect *effect) {
    if (effect->record_kind == TRIB_RECORD_REVISION) {
        say(player, "record another spec from version %" PRIu64 " on", effect->version);
        return;
    }
    if (effect->record_kind == TRIB_RECORD_EVALUATION) {
        say(player, "record %s's evaluation of version %" PRIu64, who, effect->version);
        return;
    }
    char updates[160] = "";
    trib_slot slots[WORLD_SLOTS_MAX];
    size_t count = 0;
    if (effect->state == TRIB_RUN_STOPPED)
        count = trib_run_slots_pending(player->world->run, slots, WORLD_SLOTS_MAX);
    list_updates(player, slots, count, updates, sizeof updates);
    const char *reason = effect->text[0] ? effect->text : "on request";
    say(player, "record %s (%s)%s%s", trib_run_state_name(effect->state), reason,
        count ? ", dropping " : "", updates);
}

static void listen(struct world *world, const struct trib_effect *effect) {
    struct player *player = world->listener;
    const char *who = effect->request ? world_request_at(world, effect->request)->who : "nobody";
    struct trib_slot_view view = {0};
    if (effect->kind == TRIB_EFFECT_SPOOL || effect->kind == TRIB_EFFECT_FOLD)
        trib_run_slot(world->run, effect->slot, &view);
    trib_slot slots[WORLD_SLOTS_MAX];
    char updates[200];
    switch (effect->kind) {
    case TRIB_EFFECT_JOINED:
        say(player, "%s: joined", who);
        break;
    case TRIB_EFFECT_TASK:
        say_task(player, who, &effect->task);
        break;
    case TRIB_EFFECT_DONE:
        say(player, "%s: done", who);
        break;
    case TRIB_EFFECT_REFUSE:
        say(player, "%s: refused, %s (%s)", who, trib_refusal_code(effect->refusal), effect->text);
        break;
    case TRIB_EFFECT_RECEIVE:
        say(player, "%s: receive", who);
        break;
    case TRIB_EFFECT_COMPARE:
        say(player, "%s: compare", who);
        break;
    case TRIB_EFFECT_SPOOL:
        if (effect->weight == 0) {
            say(player, "spool %s/%s, held", view.client, view.id);
            break;
        }
        say(player,
            "spool %s/%s for version %" PRIu64 " (staleness %" PRIu64 ", weight %" PRIu64 ")",
            view.client, view.id, effect->version, effect->staleness, effect->weight);
        break;
    case TRIB_EFFECT_ACKNOWLEDGE:
        say_acknowledged(player, who, effect);
        break;
    case TRIB_EFFECT_FOLD:
        say(player, "fold %s/%s into %u", view.client, view.id, effect->accumulator);
        break;
    case TRIB_EFFECT_COMBINE:
        list_updates(player, slots,
                     trib_run_slots_of(world->run, effect->version, slots, WORLD_SLOTS_MAX),
                     updates, sizeof updates);
        say(player, "combine version %" PRIu64 ": %s", effect->version, updates);
        break;
    case TRIB_EFFECT_MERGE:
        say(player, "merge version %" PRIu64 " from %u", effect->version, effect->accumulator);
        break;
    case TRIB_EFFECT_PERSIST:
        list_updates(player, slots,
                     trib_run_slots_of(world->run, effect->version, slots, WORLD_SLOTS_MAX),
                     updates, sizeof updates);
        say(player, "persist version %" PRIu64 ": %s", effect->version, updates);
        break;
    case TRIB_EFFECT_PUBLISH:
        say(player, "publish version %" PRIu64, effect->version);
        break;
    case TRIB_EFFECT_RECORD:
        say_record(player, who, effect);
        break;
    case TRIB_EFFECT_REOPEN:
        say(player, "open again for version %" PRIu64, effect->version);
        break;
    case TRIB_EFFECT_BEST:
        say(player, "best is version %" PRIu64, effect->version);
        break;
    case TRIB_EFFECT_EVALUATED:
        say(player, "evaluated version %" PRIu64, effect->version);
        break;
    case TRIB_EFFECT_SET_ASIDE:
        say(player, "record that %s is set aside", effect->text);
        break;
    case TRIB_EFFECT_STATE:
        say(player, "state %s%s%s%s", trib_run_state_name(effect->state),
            effect->text[0] ? " (" : "", effect->text, effect->text[0] ? ")" : "");
        break;
    }
}

/* --- lines ------------------------------------------------------------------------------------ */

/* What an effect's line is about: "dev-7: train 1.0" -> "train". */
static void name_effect(const char *line, char *name, size_t room) {
    const char *colon = strstr(line, ": "), *space = strchr(line, ' ');
    const char *start = colon && colon < space ? colon + 2 : line;
    snprintf(name, room, "%.*s", (int)strcspn(start, " "), start);
}

/* Effects of the same name become one line with their number, in the order of the first of each. */
static void count_alike(struct player *player) {
    size_t kept = 0;
    for (size_t line = 0; line < player->line_count; line++) {
        char name[32], other[32], counted[64];
        name_effect(player->lines[line], name, sizeof name);
        size_t count = 0;
        bool is_first = true;
        for (size_t place = 0; place < player->line_count; place++) {
            name_effect(player->lines[place], other, sizeof other);
            count += strcmp(name, other) == 0;
            is_first = is_first && !(place < line && strcmp(name, other) == 0);
        }
        snprintf(counted, sizeof counted, "%zu x %s", count, name);
        if (is_first)
            snprintf(player->brief[kept++], sizeof player->brief[0], "%s",
                     count > 1 ? counted : player->lines[line]);
        assert_true(kept < sizeof player->brief / sizeof player->brief[0]);
    }
    memcpy(player->lines, player->brief, kept * sizeof *player->lines);
    player->line_count = kept;
}

/* One event with what came of it. Those of the node or the clock that led to nothing are left
 * out. */
static void put_line(struct player *player, const char *event, bool is_scripted) {
    if (!is_scripted && player->line_count == 0)
        return;
    if (player->is_brief && strstr(event, " status") == NULL)
        count_alike(player);
    fprintf(player->out, "%s%s", is_scripted ? "" : "         ", event);
    for (size_t line = 0; line < player->line_count; line++) {
        if (line > 0 || strlen(event) + strlen(player->lines[0]) > LINE_CHARACTERS)
            fprintf(player->out, "\n        ");
        fprintf(player->out, " -> %s", player->lines[line]);
    }
    fprintf(player->out, "\n");
    player->line_count = 0;
}

static void name_job(const struct world *world, const struct world_job *job, char *name,
                     size_t room) {
    const char *kind = job_names[job->kind];
    if (job->kind == WORLD_SPOOL || job->kind == WORLD_FOLD)
        snprintf(name, room, "%s %s/%s", kind, world->updates[job->update].client,
                 world->updates[job->update].id);
    else if (job->kind != WORLD_RECORD)
        snprintf(name, room, "%s %" PRIu64, kind, job->version);
    else if (job->record_kind == TRIB_RECORD_REVISION)
        snprintf(name, room, "%s revision", kind);
    else if (job->record_kind == TRIB_RECORD_STATE)
        snprintf(name, room, "%s %s", kind, trib_run_state_name(job->state));
    else
        snprintf(name, room, "%s %s/%" PRIu64, kind, job->client, job->version);
}

/* Jobs that are not held complete at once, oldest first. */
static void complete_jobs(struct player *player) {
    for (uint32_t place = 0; place < player->world->job_count;) {
        const struct world_job *job = &player->world->jobs[place];
        if (player->is_held[job->kind]) {
            place++;
            continue;
        }
        char name[160], event[200];
        name_job(player->world, job, name, sizeof name);
        snprintf(event, sizeof event, "node > done %s", name);
        world_complete(player->world, place, TRIB_OK);
        if (!player->is_brief)
            put_line(player, event, false);
        place = 0;
    }
    put_line(player, "node > done all", false);
}

/* Ticks up to `until`, as the run asks for them. */
static void pass_time(struct player *player, trib_time_ns until) {
    struct world *world = player->world;
    trib_time_ns due;
    while ((due = trib_run_deadline(world->run)) <= until) {
        if (due > world->now)
            world->now = due;
        world_step(world, (struct trib_event){.kind = TRIB_EVENT_TICK});
        char event[64];
        snprintf(event, sizeof event, "[%6.1f] tick", seconds(world->now));
        put_line(player, event, false);
        complete_jobs(player);
    }
    world->now = until;
}

/* --- events of the script ------------------------------------------------------------------- */

static const char *word_after(char **words, size_t count, const char *key) {
    for (size_t word = 0; word + 1 < count; word++) {
        if (strcmp(words[word], key) == 0)
            return words[word + 1];
    }
    return NULL;
}

static uint64_t number_after(char **words, size_t count, const char *key) {
    const char *text = word_after(words, count, key);
    return text ? strtoull(text, NULL, 10) : 0;
}

struct verb {
    const char *name;
    enum trib_event_kind kind;
    bool is_asking; /* makes a request */
    bool has_id;    /* the next word is an id */
};

static const struct verb verbs[] = {
    {"join", TRIB_EVENT_JOIN, true, false},          {"ask", TRIB_EVENT_ASK, true, false},
    {"leave", TRIB_EVENT_LEAVE, false, false},       {"alive", TRIB_EVENT_ALIVE, false, false},
    {"depart", TRIB_EVENT_DEPART, false, false},     {"decline", TRIB_EVENT_DECLINE, true, true},
    {"renew", TRIB_EVENT_RENEW, true, false},        {"offer", TRIB_EVENT_OFFER, true, true},
    {"update", TRIB_EVENT_UPDATE, true, true},       {"repeat", TRIB_EVENT_REPEAT, true, true},
    {"evaluate", TRIB_EVENT_EVALUATION, true, true}, {"pause", TRIB_EVENT_CONTROL, true, false},
    {"resume", TRIB_EVENT_CONTROL, true, false},     {"stop", TRIB_EVENT_CONTROL, true, false},
    {"revise", TRIB_EVENT_REVISE, true, false},
};

static enum trib_control control_of(const char *word) {
    if (strcmp(word, "pause") == 0)
        return TRIB_CONTROL_PAUSE;
    return strcmp(word, "resume") == 0 ? TRIB_CONTROL_RESUME : TRIB_CONTROL_STOP;
}

/* WORDS: verb, then what it needs. */
static void play_verb(struct player *player, const char *who, const struct verb *verb, char **words,
                      size_t count) {
    struct world *world = player->world;
    const char *id = verb->has_id && count > 1 ? words[1] : "";
    const char *body = word_after(words, count, "body");
    const char *accuracy = word_after(words, count, "accuracy");
    struct trib_event event = {
        .kind = verb->kind,
        .client = who,
        .id = id,
        .version = number_after(words, count, "base"),
        .examples = number_after(words, count, "examples"),
        .byte_count = number_after(words, count, "bytes"),
        .wait_until = world->now + (trib_time_ns)number_after(words, count, "wait") * TRIB_SECOND,
        .settled = world_settled(world, who, id),
        .digest = world_body(body ? body : ""),
        .control = control_of(words[0]),
    };
    struct trib_attribute attributes[TRIB_ATTRIBUTES_MAX];
    if (verb->kind == TRIB_EVENT_JOIN) {
        event.role = count > 1 && strcmp(words[1], "evaluator") == 0 ? TRIB_CLIENT_EVALUATOR
                                                                     : TRIB_CLIENT_TRAINER;
        event.attributes = attributes;
        for (size_t word = 2; word < count; word++)
            read_attribute(words[word], &attributes[event.attribute_count++]);
    }
    if (verb->kind == TRIB_EVENT_EVALUATION) {
        event.version = strtoull(id, NULL, 10);
        event.metric = accuracy ? strtod(accuracy, NULL) : 0;
        event.has_metric = accuracy != NULL;
        event.settled = world_reported(world, who, event.version);
    }
    if (verb->is_asking) {
        event.request = world_request(world, who);
        struct world_request *request = world_request_at(world, event.request);
        snprintf(request->id, sizeof request->id, "%s", id);
        request->role = event.role;
        request->body = event.digest;
        request->examples = event.examples;
        request->metric = event.metric;
        request->has_metric = event.has_metric;
    } else if (verb->kind == TRIB_EVENT_LEAVE) {
        event.request = world_open_request(world, who);
        assert_true(event.request != 0);
        world_request_at(world, event.request)->is_open = false;
        world->requests_open--;
    }
    world_step(world, event);
    /* What only goes on with the request is over for this script. */
    for (uint32_t index = 0; index < world->effects.count; index++) {
        enum trib_effect_kind kind = world->effects.items[index].kind;
        if (kind == TRIB_EFFECT_RECEIVE || kind == TRIB_EFFECT_COMPARE) {
            world_request_at(world, event.request)->is_open = false;
            world->requests_open--;
        }
    }
}

static void play_client(struct player *player, const char *who, char **words, size_t count) {
    for (size_t row = 0; row < sizeof verbs / sizeof verbs[0]; row++) {
        if (strcmp(verbs[row].name, words[0]) == 0) {
            play_verb(player, who, &verbs[row], words, count);
            return;
        }
    }
    fail_msg("unknown event: %s", words[0]);
}

/* "dev-001..dev-300" */
static void play_clients(struct player *player, const char *who, char **words, size_t count) {
    const char *dots = strstr(who, "..");
    if (!dots) {
        play_client(player, who, words, count);
        return;
    }
    int prefix = (int)strcspn(who, "0123456789");
    int digits = (int)(dots - who) - prefix;
    unsigned first = (unsigned)strtoul(who + prefix, NULL, 10);
    unsigned last = (unsigned)strtoul(dots + 2 + prefix, NULL, 10);
    for (unsigned number = first; number <= last; number++) {
        char name[TRIB_NAME_BYTES];
        snprintf(name, sizeof name, "%.*s%0*u", prefix, who, digits, number);
        play_client(player, name, words, count);
    }
}

static enum trib_status status_named(const char *word) {
    if (!word || strcmp(word, "ok") == 0)
        return TRIB_OK;
    for (int status = 0; status < 64; status++) {
        if (strcasecmp(trib_status_name((enum trib_status)status) + 1, word) == 0 ||
            strcasecmp(trib_status_name((enum trib_status)status), word) == 0)
            return (enum trib_status)status;
    }
    fail_msg("unknown status: %s", word);
    return TRIB_OK;
}

static void play_done(struct player *player, char **words, size_t count) {
    assert_true(count >= 3);
    char wanted[160], name[160];
    snprintf(wanted, sizeof wanted, "%s %s", words[1], words[2]);
    for (uint32_t place = 0; place < player->world->job_count; place++) {
        name_job(player->world, &player->world->jobs[place], name, sizeof name);
        if (strcmp(name, wanted) == 0) {
            world_complete(player->world, place, status_named(count > 3 ? words[3] : NULL));
            return;
        }
    }
    fail_msg("no such job: %s", wanted);
}

static void play_status(struct player *player) {
    struct trib_run_status status;
    trib_run_status(player->world->run, player->world->now, &status);
    say(player, "%s at version %" PRIu64 ", waits for %s", trib_run_state_name(status.state),
        status.version, status.waiting_for);
    say(player,
        "%u joined, %u present, %u training, %u set aside; %" PRIu64 " counted, %" PRIu64
        " pending, %" PRIu64 " dropped",
        status.joined, status.present, status.training, status.set_aside, status.counted,
        status.pending, status.dropped);
    if (status.unselected > 0)
        say(player, "%u not selected", status.unselected);
    if (status.has_best)
        say(player,
            "best: version %" PRIu64 " with %.4g; newest evaluated: version %" PRIu64 " with %.4g",
            status.best, status.best_metric, status.evaluated, status.evaluated_metric);
}

static void play_event(struct player *player, const char *who, char **words, size_t count) {
    if (strcmp(who, "node") == 0 && strcmp(words[0], "done") == 0)
        play_done(player, words, count);
    else if (strcmp(who, "node") == 0 && strcmp(words[0], "restart") == 0)
        world_restart(player->world, 0);
    else if (strcmp(who, "clock") == 0)
        world_step(player->world, (struct trib_event){.kind = TRIB_EVENT_TICK});
    else if (strcmp(words[0], "model") == 0)
        world_model(player->world);
    else if (strcmp(words[0], "status") == 0)
        play_status(player);
    else
        play_clients(player, who, words, count);
}

/* "[   2.0] dev-1 > ask wait 30" */
static void play_line(struct player *player, const char *line) {
    char copy[512], *words[WORDS_MAX], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", line);
    size_t count = 0;
    double time = strtod(copy + 1, &rest);
    assert_true(*rest == ']');
    for (char *word = strtok_r(rest + 1, " ", &rest); word && count < WORDS_MAX;
         word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    assert_true(count >= 3 && strcmp(words[1], ">") == 0);
    if (!player->world) {
        player->world = world_new(&player->spec, player->accumulators, 0);
        player->world->listen = listen;
        player->world->listener = player;
    }
    pass_time(player, (trib_time_ns)llround(time * 10) * (TRIB_SECOND / 10));
    play_event(player, words[0], words + 2, count - 2);
    put_line(player, line, true);
    complete_jobs(player);
    pass_time(player, player->world->now);
}

static void play_scene_line(struct player *player, const char *line) {
    char copy[512], *words[WORDS_MAX], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", line);
    size_t count = 0;
    for (char *word = strtok_r(copy, " ", &rest); word && count < WORDS_MAX;
         word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    if (count > 0 && words[0][0] != '#')
        set_scene(player, words, count);
    fprintf(player->out, "%s\n", line);
}

/* --- files ------------------------------------------------------------------------------------ */

static char *read_file(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot open %s", path);
    char *text = NULL;
    size_t room = 0;
    if (getdelim(&text, &room, 0, file) < 0)
        fail_msg("cannot read %s", path);
    fclose(file);
    return text;
}

static void play_text(struct player *player, const char *text) {
    while (*text) {
        size_t length = strcspn(text, "\n");
        char line[512];
        assert_true(length < sizeof line);
        snprintf(line, sizeof line, "%.*s", (int)length, text);
        if (line[0] == '[') {
            char *arrow = strstr(line, " -> ");
            if (arrow)
                *arrow = 0;
            play_line(player, line);
        } else if (line[0] != ' ') {
            play_scene_line(player, line);
        }
        text += length + (text[length] == '\n');
    }
}

static void compare(const char *path, const char *expected, const char *played) {
    unsigned line = 1;
    while (*expected || *played) {
        size_t left = strcspn(expected, "\n"), right = strcspn(played, "\n");
        if (left != right || memcmp(expected, played, left) != 0)
            fail_msg("%s:%u differs\n  expected %.*s\n  played   %.*s", path, line, (int)left,
                     expected, (int)right, played);
        expected += left + (expected[left] == '\n');
        played += right + (played[right] == '\n');
        line++;
    }
}

static void a_transcript_plays_as_written(void **state) {
    const char *path = *state;
    char *expected = read_file(path), *played = NULL;
    size_t played_bytes = 0;
    struct player player = {.out = open_memstream(&played, &played_bytes)};
    assert_non_null(player.out);
    set_defaults(&player);
    play_text(&player, expected);
    fclose(player.out);
    const char *mode = getenv("TRIB_TRANSCRIPTS");
    if (mode && strcmp(mode, "write") == 0) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(played, file);
        fclose(file);
    } else {
        compare(path, expected, played);
    }
    world_free(player.world);
    free(player.lines);
    free(expected);
    free(played);
}

int main(int argc, char **argv) {
    struct CMUnitTest *tests = calloc((size_t)argc, sizeof *tests);
    for (int file = 1; file < argc; file++) {
        const char *name = strrchr(argv[file], '/');
        tests[file - 1] = (struct CMUnitTest){.name = name ? name + 1 : argv[file],
                                              .test_func = a_transcript_plays_as_written,
                                              .initial_state = argv[file]};
    }
    int failed = _cmocka_run_group_tests("transcripts", tests, (size_t)argc - 1, NULL, NULL);
    free(tests);
    return failed;
}
