/* people.c - who takes part in a world: trainers of all characters, an evaluator, an operator, perhaps
 * a combiner (combiner.c). */
#include "sim/faults/people.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/daemon.h"
#include "sim/faults/combiner.h"
#include "sim/faults/judge.h"
#include "sim/faults/network.h"
#include "sim/faults/world.h"

#define MINUTE (60 * TRIB_SECOND)
#define NOTHING SIZE_MAX
#define OTHER_RUN "r2"

struct person {
    char name[32];
    bool is_evaluator, is_vandal;
    char token[256];
    size_t outgoing; /* made and not answered; NOTHING: none */
    size_t answered; /* the last one answered with 200; NOTHING: none */
    unsigned made;   /* for ids that are not a task's */
    uint64_t evaluated_version;
    bool has_evaluation; /* of that version, not answered */
};

static struct {
    struct people_rules rules;
    enum people_aim aim;
    struct person all[PEOPLE_TRAINERS_MAX + 2];
    size_t count;
    uint64_t version; /* newest that anybody has heard of */
    /* the operator */
    char state[32];
    bool has_set_aside;
    trib_time_ns failed_since; /* 0: it has not */
    /* questions about fates */
    size_t asked, heard;
} people;

static void act(void *context);

static void next_act(struct person *person, trib_time_ns least, trib_time_ns most) {
    (void)world_schedule(world_delay(least, most), WORLD_OUTSIDE, act, person);
}

static json_t *document_of(const struct network_answer *answer) {
    return answer->body == NULL
               ? NULL
               : json_loadb((const char *)answer->body, answer->body_bytes, 0, NULL);
}

static const char *text_of(const json_t *document, const char *key) {
    const char *text = json_string_value(json_object_get(document, key));
    return text == NULL ? "" : text;
}

static struct network_request ask(const struct person *person, enum network_purpose purpose,
                                  const char *method, const char *path) {
    struct network_request request = {
        .purpose = purpose, .method = method, .run = people.rules.run, .sent = NOTHING};
    (void)snprintf(request.target, sizeof request.target, "/v1/runs/%s%s", people.rules.run, path);
    if (person != NULL) {
        request.client = person->name;
        memcpy(request.token, person->token, sizeof request.token);
    }
    return request;
}

/* What joining would have returned. */
static void make_token(const char *run, const char *client, char text[256]) {
    struct trib_token token = {.scope = TRIB_TOKEN_CLIENT};
    token.serial = strcmp(run, people.rules.run) == 0 ? judge_revocations(client) : 0;
    (void)snprintf(token.run, sizeof token.run, "%s", run);
    (void)snprintf(token.subject, sizeof token.subject, "%s", client);
    text[0] = '\0';
    if (world.node != NULL) {
        trib_token_format(world.node->directory.key, &token, text);
    }
}

static void nobody_cares(void *context, const struct network_answer *answer) {
    (void)context;
    (void)answer;
}

/* --- making updates ----------------------------------------------------------------------------------- */

static float draw_delta(void) {
    double value = (world_unit() - 0.5) * 2 * people.rules.delta_max;
    return (float)ldexp(value, -(int)world_below(30));
}

/* Something that must be refused. True: done. */
static bool spoil(struct judge_sent *sent, float *deltas, size_t count) {
    switch (world_below(4)) {
    case 0:
        deltas[world_below(count)] = NAN;
        return true;
    case 1:
        deltas[world_below(count)] = (float)people.rules.delta_max * 1.25F;
        return true;
    case 2:
        if (people.rules.is_equal) {
            return false;
        }
        sent->examples = people.rules.weight_max + 1 + world_below(1000);
        return true;
    default:
        return false; /* its end is cut off, below */
    }
}

/* A pseudo-random update of this base. */
static size_t make_update(const struct person *person, const char *id, uint64_t base) {
    const struct sums *sums = judge_sums();
    size_t count = sums_update_count(sums);
    bool is_bf16 = world_chance(0.2);
    struct judge_sent sent = {.client = person->name, .base = base, .is_sound = true};
    sent.examples = 1 + world_below(people.rules.weight_max);
    sent.deltas = malloc(count * sizeof *sent.deltas);
    TRIB_ASSERT(sent.deltas != NULL);
    (void)snprintf(sent.id, sizeof sent.id, "%s", id);
    for (size_t i = 0; i < count; i++) {
        float delta = draw_delta();
        sent.deltas[i] = is_bf16 && i < sums->counts[0] ? sums_bf16(delta) : delta;
    }
    bool is_spoiled = world_chance(person->is_vandal ? 0.7 : 0.03);
    bool is_cut = is_spoiled && !spoil(&sent, sent.deltas, count);
    sent.is_sound = !is_spoiled;
    char metadata[160];
    (void)snprintf(metadata, sizeof metadata,
                   "{\"base_version\": \"%" PRIu64 "\", \"examples\": \"%" PRIu64 "\"}", sent.base,
                   sent.examples);
    bool has_metadata = world_chance(0.3);
    sent.body = sums_body(sums, sent.deltas, has_metadata ? metadata : NULL, is_bf16 && !is_spoiled,
                          &sent.body_bytes);
    if (is_cut) {
        sent.body_bytes -= 1 + (size_t)world_below(sent.body_bytes - 1);
    }
    return judge_note(&sent);
}

/* Headers may be left out when the body says it itself. */
static struct network_request put_update(const struct person *person, size_t index) {
    const struct judge_sent *sent = judge_look(index);
    char path[100];
    (void)snprintf(path, sizeof path, "/updates/%s", sent->id);
    struct network_request request = ask(person, NETWORK_UPDATE_PUT, "PUT", path);
    bool has_metadata =
        sent->body_bytes > 40 && memmem(sent->body, sent->body_bytes, "__metadata__", 12) != NULL;
    if (!has_metadata || world_chance(0.5)) {
        (void)snprintf(request.fields, sizeof request.fields,
                       "Tributary-Base-Version: %" PRIu64 "\r\nTributary-Examples: %" PRIu64
                       "\r\nTributary-Metrics: {\"loss\":%u.25}\r\n",
                       sent->base, sent->examples, (unsigned)world_below(9));
    }
    if (world_chance(0.3)) {
        strcat(request.fields, "Tributary-Receipt: yes\r\n");
    }
    request.content_type = "application/safetensors";
    request.body = sent->body;
    request.body_bytes = sent->body_bytes;
    request.has_body = true;
    request.is_chunked = people.rules.is_chunked ? world_chance(0.7) : world_chance(0.2);
    request.sent = index;
    memcpy(request.id, sent->id, sizeof request.id);
    return request;
}

/* --- trainers ------------------------------------------------------------------------------------------- */

static void joined(void *context, const struct network_answer *answer) {
    struct person *person = context;
    if (answer->status == 200) {
        json_t *document = document_of(answer);
        (void)snprintf(person->token, sizeof person->token, "%s", text_of(document, "token"));
        json_decref(document);
    }
    next_act(person, 0, answer->status == 200 ? TRIB_SECOND : 10 * TRIB_SECOND);
}

static void join(struct person *person) {
    char path[100];
    (void)snprintf(path, sizeof path, "/clients/%s", person->name);
    struct network_request request = ask(person, NETWORK_JOIN, "PUT", path);
    request.body = person->is_evaluator ? "{\"role\": \"evaluator\"}"
                   : world_chance(0.5)  ? "{}"
                                        : "{\"attributes\": {\"site\": \"mercy\"}}";
    request.body_bytes = strlen(request.body);
    request.content_type = "application/json";
    request.has_body = true;
    if (judge_revocations(person->name) > 0 && world.node != NULL) {
        /* Whoever was put out is let in again by the operator. */
        (void)snprintf(request.token, sizeof request.token, "%s", world.node->admin_token);
    }
    network_send(&request, joined, person);
}

/* 401: the daemon has another key; 403: it does not know us any more, or set us aside. */
static bool must_join_again(struct person *person, const struct network_answer *answer) {
    json_t *document = document_of(answer);
    bool is_unknown =
        answer->status == 401 ||
        (answer->status == 403 && strcmp(text_of(document, "code"), "set_aside") != 0);
    json_decref(document);
    if (is_unknown) {
        person->token[0] = '\0';
    }
    return is_unknown;
}

static bool is_worth_another_try(int status) {
    return status == 0 || status == 401 || status == 403 || status == 404 || status == 408 ||
           status >= 500;
}

static void update_answered(void *context, const struct network_answer *answer) {
    struct person *person = context;
    (void)must_join_again(person, answer);
    if (answer->status == 200) {
        person->answered = person->outgoing;
    }
    if (!is_worth_another_try(answer->status)) {
        person->outgoing = NOTHING;
    }
    next_act(person, 0, answer->status == 200 ? TRIB_SECOND : 20 * TRIB_SECOND);
}

static void send_outgoing(struct person *person) {
    struct network_request request = put_update(person, person->outgoing);
    if (world_chance(0.1)) {
        tally_add(TALLY_DUPLICATED, 1);
        network_send(&request, nobody_cares, NULL); /* both are on their way at the same time */
    }
    network_send(&request, update_answered, person);
}

static void take_task(struct person *person, const json_t *task) {
    const char *kind = text_of(task, "kind");
    uint64_t version = (uint64_t)json_integer_value(json_object_get(task, "version"));
    if (strcmp(kind, "train") == 0) {
        char id[64];
        (void)snprintf(id, sizeof id, "%s.%s", person->name, text_of(task, "task"));
        if (world_chance(0.1)) { /* another id for the same task */
            (void)snprintf(id, sizeof id, "%s.own%u", person->name, ++person->made);
        }
        uint64_t base = world_chance(0.05) ? world_below(version + 3) : version;
        person->outgoing = make_update(person, id, base);
        people.version = version > people.version ? version : people.version;
        next_act(person, 0, world_chance(0.1) ? 5 * MINUTE : 10 * TRIB_SECOND);
    } else if (strcmp(kind, "evaluate") == 0) {
        person->evaluated_version = version;
        person->has_evaluation = true;
        next_act(person, 0, 5 * TRIB_SECOND);
    } else {
        next_act(person, TRIB_SECOND, strcmp(kind, "stop") == 0 ? MINUTE : 10 * TRIB_SECOND);
    }
}

static void task_answered(void *context, const struct network_answer *answer) {
    struct person *person = context;
    if (answer->status == 200) {
        json_t *task = document_of(answer);
        take_task(person, task);
        json_decref(task);
        return;
    }
    (void)must_join_again(person, answer);
    next_act(person, 0, 10 * TRIB_SECOND);
}

static void ask_for_task(struct person *person) {
    char path[40];
    (void)snprintf(path, sizeof path, "/task?wait=%u", (unsigned)world_below(61));
    struct network_request request = ask(person, NETWORK_TASK, "GET", path);
    network_send(&request, task_answered, person);
}

static void evaluation_answered(void *context, const struct network_answer *answer) {
    struct person *person = context;
    (void)must_join_again(person, answer);
    person->has_evaluation = is_worth_another_try(answer->status) && answer->status != 404;
    next_act(person, 0, 5 * TRIB_SECOND);
}

static void send_evaluation(struct person *person) {
    static char bodies[PEOPLE_TRAINERS_MAX + 2]
                      [120]; /* must outlive the request: one person has one under way */
    char *body = bodies[(size_t)(person - people.all)];
    char path[80];
    (void)snprintf(path, sizeof path, "/evaluations/%s.e%" PRIu64, person->name,
                   person->evaluated_version);
    (void)snprintf(body, sizeof bodies[0],
                   "{\"version\": %" PRIu64
                   ", \"examples\": %u, \"metrics\": {\"accuracy\": 0.%u}}",
                   person->evaluated_version, 1 + (unsigned)world_below(500),
                   100 + (unsigned)world_below(800));
    struct network_request request = ask(person, NETWORK_EVALUATION, "PUT", path);
    request.body = body;
    request.body_bytes = strlen(body);
    request.content_type = "application/json";
    request.has_body = true;
    network_send(&request, evaluation_answered, person);
}

/* Beside the point: look at fates and versions, send again what is long known, or something else
 * under the same id. Whoever answers is not listened to. */
static void fidget(struct person *person) {
    char path[100];
    struct network_request request;
    uint64_t kind = world_below(5);
    if (kind == 0 || person->answered == NOTHING) {
        (void)snprintf(path, sizeof path, "/versions/%s", world_chance(0.5) ? "latest" : "best");
        if (world_chance(0.5)) {
            (void)snprintf(path, sizeof path, "/versions/%" PRIu64,
                           world_below(people.version + 2));
        }
        request = ask(person, NETWORK_MODEL_GET, "GET", path);
    } else if (kind == 1) {
        (void)snprintf(path, sizeof path, "/updates/%s", judge_look(person->answered)->id);
        request = ask(person, NETWORK_UPDATE_GET, "GET", path);
        memcpy(request.id, judge_look(person->answered)->id, sizeof request.id);
    } else if (kind == 2 && world_chance(0.3)) {
        const struct judge_sent *before = judge_look(person->answered);
        request = put_update(person, make_update(person, before->id, before->base));
    } else {
        request = put_update(person, person->answered);
    }
    network_send(&request, nobody_cares, NULL);
}

/* A guest in the other run, which may be gone before there is an answer. */
static void visit_other_run(const struct person *person) {
    char token[256], tail[100] = "";
    struct network_request request = ask(person, NETWORK_OTHER, "GET", "");
    uint64_t kind = world_below(3);
    if (kind == 0) {
        (void)snprintf(tail, sizeof tail, "clients/%s", person->name);
        request.method = "PUT";
        request.content_type = "application/json";
        request.body = "{}";
        request.body_bytes = 2;
        request.has_body = true;
    } else if (kind == 1) {
        (void)snprintf(tail, sizeof tail, "task?wait=60");
    } else if (person->answered != NOTHING) {
        request = put_update(person, person->answered);
        request.purpose = NETWORK_OTHER;
        (void)snprintf(tail, sizeof tail, "updates/%s", request.id);
    }
    (void)snprintf(request.target, sizeof request.target, "/v1/runs/%s/%s", OTHER_RUN, tail);
    make_token(OTHER_RUN, person->name, token);
    memcpy(request.token, token, sizeof request.token);
    network_send(&request, nobody_cares, NULL);
}

static void act(void *context) {
    struct person *person = context;
    if (people.aim == PEOPLE_REST) {
        return;
    }
    if (world_fault(TALLY_CLIENT_DIED,
                    0.01)) { /* its battery is empty: what it had in hand is forgotten */
        person->outgoing = NOTHING;
        person->has_evaluation = false;
        person->token[0] = '\0';
        next_act(person, 0, 5 * MINUTE);
        return;
    }
    if (world_fault(TALLY_PARTITIONED, 0.003)) {
        network_cut_off(person->name, world_delay(MINUTE, 10 * MINUTE));
    }
    if (person->token[0] == '\0') {
        join(person);
    } else if (person->outgoing != NOTHING) {
        send_outgoing(person);
    } else if (person->has_evaluation) {
        send_evaluation(person);
    } else {
        if (world_chance(0.2)) {
            fidget(person);
        }
        if (world_fault(TALLY_OTHER_RUN, people.rules.other_run_chance)) {
            visit_other_run(person);
        }
        ask_for_task(person);
    }
}

/* --- the operator ------------------------------------------------------------------------------------------ */

static void operate(void *context);

static void operate_later(trib_time_ns most) {
    (void)world_schedule(world_delay(TRIB_SECOND, most), WORLD_OUTSIDE, operate, NULL);
}

static void operated(void *context, const struct network_answer *answer) {
    (void)context;
    (void)answer;
    operate_later(5 * TRIB_SECOND);
}

static struct network_request command(enum network_purpose purpose, const char *method,
                                      const char *path) {
    struct network_request request = ask(NULL, purpose, method, path);
    if (world.node != NULL) { /* reads the file admin.token */
        (void)snprintf(request.token, sizeof request.token, "%s", world.node->admin_token);
    }
    return request;
}

static void create_run(void) {
    struct network_request request = command(NETWORK_CREATE, "POST", "");
    (void)snprintf(request.target, sizeof request.target, "/v1/runs");
    request.body = people.rules.spec;
    request.body_bytes = strlen(people.rules.spec);
    request.content_type = "application/json";
    request.has_body = true;
    network_send(&request, operated, NULL);
}

static void put_model(void) {
    struct network_request request = command(NETWORK_MODEL_PUT, "PUT", "/versions/0");
    size_t byte_count;
    request.body = judge_first_model(&byte_count);
    request.body_bytes = byte_count;
    request.content_type = "application/safetensors";
    request.has_body = true;
    request.is_chunked = world_chance(0.3);
    network_send(&request, operated, NULL);
}

static void control(const char *path) {
    struct network_request request = command(NETWORK_CONTROL, "POST", path);
    network_send(&request, operated, NULL);
}

/* Somebody is put out, and may ask to be let in again. */
static void revoke_somebody(void) {
    const struct person *person = &people.all[world_below(people.count)];
    char path[100];
    (void)snprintf(path, sizeof path, "/clients/%s", person->name);
    struct network_request request = command(NETWORK_REVOKE, "DELETE", path);
    (void)snprintf(request.id, sizeof request.id, "%s", person->name);
    network_send(&request, operated, NULL);
}

/* Another strategy from some version on; it may be refused. */
static void change_spec(void) {
    struct network_request request = command(NETWORK_CHANGE, "PATCH", "");
    request.body = people.rules.changes[world_below(people.rules.change_count)];
    request.body_bytes = strlen(request.body);
    request.content_type = "application/json";
    request.has_body = true;
    network_send(&request, operated, NULL);
}

static void look_around(void) {
    static const char *const paths[] = {"/ledger", "/history", "/spec", "/events",
                                        "/ledger?from=3"};
    static const char *const others[] = {"/metrics", "/", "/readyz", "/v1/runs"};
    struct network_request request = ask(NULL, NETWORK_OTHER, "GET", paths[world_below(5)]);
    if (world_chance(0.4)) {
        (void)snprintf(request.target, sizeof request.target, "%s", others[world_below(4)]);
    }
    bool is_stream = strstr(request.target, "/events") != NULL;
    if (!is_stream || !world.is_calm) {
        network_send(&request, nobody_cares, NULL);
    }
}

/* A second run comes and goes; nobody watches it, but whoever is in the middle of something there
 * must be told, and the first run must not notice. */
static void play_with_other_run(void) {
    static char spec[2200];
    struct network_request request = command(NETWORK_OTHER, "POST", "");
    uint64_t kind = world_below(4);
    if (kind == 0) {
        (void)snprintf(spec, sizeof spec, "%s", people.rules.spec);
        memcpy(strstr(spec, people.rules.run), OTHER_RUN, strlen(OTHER_RUN)); /* of one length */
        (void)snprintf(request.target, sizeof request.target, "/v1/runs");
        request.body = spec;
        request.body_bytes = strlen(spec);
        request.content_type = "application/json";
        request.has_body = true;
    } else if (kind == 1) {
        size_t byte_count;
        request.method = "PUT";
        (void)snprintf(request.target, sizeof request.target, "/v1/runs/%s/versions/0", OTHER_RUN);
        request.body = judge_first_model(&byte_count);
        request.body_bytes = byte_count;
        request.content_type = "application/safetensors";
        request.has_body = true;
    } else if (kind == 2) {
        (void)snprintf(request.target, sizeof request.target, "/v1/runs/%s/stop", OTHER_RUN);
    } else {
        request.method = "DELETE";
        (void)snprintf(request.target, sizeof request.target, "/v1/runs/%s?name=%s", OTHER_RUN,
                       OTHER_RUN);
    }
    network_send(&request, nobody_cares, NULL);
}

/* What the operator does about what he sees. */
static void decide(void) {
    if (strcmp(people.state, "none") == 0) {
        create_run();
    } else if (strcmp(people.state, "awaiting_model") == 0) {
        put_model();
    } else if (people.aim == PEOPLE_STOP && strcmp(people.state, "stopped") != 0) {
        control("/stop");
    } else if (strcmp(people.state, "paused") == 0 || people.has_set_aside) {
        control("/resume");
    } else if (judge_has_version() && world_fault(TALLY_REVOKED, 0.01)) {
        revoke_somebody();
    } else if (people.rules.change_count > 0 && world_fault(TALLY_CHANGED, 0.05)) {
        change_spec();
    } else if (world_fault(TALLY_MEDDLED, 0.03)) {
        control(world_chance(0.93) ? "/pause" : "/stop");
    } else {
        if (world_chance(0.2)) {
            look_around();
        }
        if (world_fault(TALLY_OTHER_RUN, people.rules.other_run_chance)) {
            play_with_other_run();
        }
        operate_later(20 * TRIB_SECOND);
    }
}

static void status_answered(void *context, const struct network_answer *answer) {
    (void)context;
    if (answer->status == 200) {
        json_t *status = document_of(answer);
        (void)snprintf(people.state, sizeof people.state, "%s", text_of(status, "state"));
        const json_t *aside = json_object_get(json_object_get(status, "clients"), "set_aside");
        people.has_set_aside = json_array_size(aside) > 0;
        uint64_t version = (uint64_t)json_integer_value(json_object_get(status, "version"));
        people.version = version > people.version ? version : people.version;
        json_decref(status);
    } else if (answer->status == 404) {
        (void)snprintf(people.state, sizeof people.state, "none");
    } else {
        operate_later(10 * TRIB_SECOND);
        return;
    }
    bool has_failed = strcmp(people.state, "failed") == 0;
    people.failed_since = !has_failed ? 0 : people.failed_since ? people.failed_since : world.now;
    decide();
}

static void operate(void *context) {
    (void)context;
    if (people.aim != PEOPLE_REST) {
        struct network_request request = ask(NULL, NETWORK_STATUS, "GET", "");
        network_send(&request, status_answered, NULL);
    }
}

bool people_saw_stopped(void) {
    return strcmp(people.state, "stopped") == 0;
}

bool people_saw_failed(void) {
    bool is_time = people.failed_since != 0 && world.now - people.failed_since > 10 * MINUTE;
    if (is_time) {
        people.failed_since = 0;
    }
    return is_time;
}

void people_aim(enum people_aim aim) {
    people.aim = aim;
    if (aim == PEOPLE_REST) {
        combiner_rest();
    }
}

void people_begin(const struct people_rules *rules) {
    memset(&people, 0, sizeof people);
    people.rules = *rules;
    people.count = rules->trainer_count + 1 + rules->has_vandal;
    for (size_t i = 0; i < people.count; i++) {
        struct person *person = &people.all[i];
        person->outgoing = person->answered = NOTHING;
        person->is_evaluator = i == rules->trainer_count;
        person->is_vandal = i > rules->trainer_count;
        (void)snprintf(person->name, sizeof person->name, "%s%zu",
                       person->is_evaluator ? "eva"
                       : person->is_vandal  ? "vandal"
                                            : "dev-",
                       i);
        next_act(person, 0, MINUTE);
    }
    operate_later(TRIB_SECOND);
    if (rules->has_combiner) {
        combiner_begin(rules->run, rules->delta_max);
    }
}

void people_end(void) {
    combiner_end();
}

/* --- in the end: what became of it all? -------------------------------------------------------------------- */

static void ask_fate(size_t nth);

static void fate_answered(void *context, const struct network_answer *answer) {
    size_t nth = (size_t)(uintptr_t)context;
    const struct judge_sent *sent = judge_look(judge_acknowledged(nth));
    if (answer->status == 0 || answer->status == 401 || answer->status == 503) {
        ask_fate(nth);
        return;
    }
    if (answer->status == 403) { /* a full roster has forgotten the client, which may join again */
        people.heard++;
        return;
    }
    uint64_t version;
    json_t *receipt = document_of(answer);
    const char *fate = judge_fate(sent->client, sent->id, &version);
    if (answer->status != 200 || strcmp(text_of(receipt, "fate"), fate) != 0) {
        world_fail("update %s of %s is %s by the ledger; the daemon says %d %.*s", sent->id,
                   sent->client, fate, answer->status, (int)answer->body_bytes,
                   answer->body == NULL ? (const unsigned char *)"" : answer->body);
    }
    json_decref(receipt);
    people.heard++;
    tally_add(TALLY_FATES, 1);
}

/* By asking, or by sending it once more. */
static void ask_fate(size_t nth) {
    const struct judge_sent *sent = judge_look(judge_acknowledged(nth));
    struct person person = {.token = ""};
    make_token(people.rules.run, sent->client, person.token);
    struct network_request request = put_update(&person, judge_acknowledged(nth));
    if (world_chance(0.5)) {
        char path[100];
        (void)snprintf(path, sizeof path, "/updates/%s", sent->id);
        request = ask(&person, NETWORK_UPDATE_GET, "GET", path);
        memcpy(request.id, sent->id, sizeof request.id);
    }
    request.client = sent->client;
    network_send(&request, fate_answered, (void *)(uintptr_t)nth);
}

void people_ask_fates(void) {
    people.asked = judge_acknowledged_count();
    people.heard = 0;
    for (size_t i = 0; i < people.asked; i++) {
        ask_fate(i);
    }
}

bool people_have_asked(void) {
    return people.heard == people.asked;
}
