/* machine.c - errands, requests, replies. */
#include "client/machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

#define PAUSE_FIRST (TRIB_SECOND / 4)
#define PAUSE_MAX (30 * TRIB_SECOND)
#define WAIT_MIN (TRIB_SECOND / 10) /* a daemon that says "wait 0 s" must not be asked in a loop */
#define SECONDS_MAX 86400.0         /* nobody means a longer pause than a day */
#define POLL_SECONDS 30

/* --- requests ------------------------------------------------------------------------------- */

/* "client.task", the usual id. Ids belong to their client, so a long name may be cut. */
static void write_id(const struct trib_machine *machine, char id[TRIB_NAME_BYTES]) {
    size_t task_bytes = strlen(machine->errand.task);
    int client_bytes = TRIB_NAME_BYTES - 2 - (int)task_bytes;
    snprintf(id, TRIB_NAME_BYTES, "%.*s.%s", client_bytes, machine->settings.client,
             machine->errand.task);
}

/* Method and target, `rest` behind /v1/runs/{run}. */
static void aim(struct trib_machine *machine, const char *method, const char *rest) {
    struct trib_machine_request *request = &machine->request;
    request->method = method;
    int count = snprintf(request->target, sizeof request->target, "%s/v1/runs/%s%s",
                         machine->settings.prefix, machine->settings.run, rest);
    TRIB_ASSERT(count > 0 && (size_t)count < sizeof request->target);
}

static bool write_join(struct trib_machine *machine) {
    struct trib_machine_request *request = &machine->request;
    const struct trib_machine_settings *settings = &machine->settings;
    char rest[128];
    snprintf(rest, sizeof rest, "/clients/%s", settings->client);
    aim(machine, "PUT", rest);
    bool has_attributes = settings->attributes != NULL;
    int count = snprintf(request->body, sizeof request->body, "{\"role\":\"%s\"%s%s}",
                         settings->role, has_attributes ? ",\"attributes\":" : "",
                         has_attributes ? settings->attributes : "");
    request->body_bytes = (size_t)count;
    request->content_type = "application/json";
    /* The link lets in whoever has it, also under a name that was taken; without a token in the
     * link only our own proves that the name is ours. */
    request->token = settings->token[0] != '\0' ? settings->token : machine->token;
    return count > 0 && (size_t)count < sizeof request->body;
}

static void write_submit(struct trib_machine *machine) {
    struct trib_machine_request *request = &machine->request;
    const struct trib_errand *errand = &machine->errand;
    char id[TRIB_NAME_BYTES];
    char rest[128];
    write_id(machine, id);
    snprintf(rest, sizeof rest, "/updates/%s", id);
    aim(machine, "PUT", rest);
    int count = snprintf(
        request->fields, sizeof request->fields,
        "Tributary-Base-Version: %" PRIu64 "\r\n"
        "Tributary-Examples: %" PRIu64 "\r\n%s%s%s",
        errand->version, errand->examples, errand->metrics == NULL ? "" : "Tributary-Metrics: ",
        errand->metrics == NULL ? "" : errand->metrics, errand->metrics == NULL ? "" : "\r\n");
    TRIB_ASSERT(count > 0 && (size_t)count < sizeof request->fields);
    request->content_type = "application/safetensors";
}

static void write_evaluation(struct trib_machine *machine) {
    struct trib_machine_request *request = &machine->request;
    const struct trib_errand *errand = &machine->errand;
    char id[TRIB_NAME_BYTES];
    char rest[128];
    write_id(machine, id);
    snprintf(rest, sizeof rest, "/evaluations/%s", id);
    aim(machine, "PUT", rest);
    int count = snprintf(request->body, sizeof request->body,
                         "{\"version\":%" PRIu64 ",\"examples\":%" PRIu64 ",\"metrics\":%s}",
                         errand->version, errand->examples, errand->metrics);
    TRIB_ASSERT(count > 0 && (size_t)count < sizeof request->body);
    request->body_bytes = (size_t)count;
    request->content_type = "application/json";
}

/* The reason comes from a program, not from JSON: what would need an escape is replaced. */
static void write_decline(struct trib_machine *machine) {
    struct trib_machine_request *request = &machine->request;
    const char *given = machine->errand.reason == NULL ? "" : machine->errand.reason;
    char reason[96];
    size_t count = 0;
    for (; given[count] != '\0' && count + 1 < sizeof reason; count++) {
        bool is_plain = given[count] >= ' ' && given[count] <= '~' && given[count] != '"' &&
                        given[count] != '\\';
        reason[count] = is_plain ? given[count] : '?';
    }
    reason[count] = '\0';
    aim(machine, "POST", "/task/decline");
    request->body_bytes =
        (size_t)snprintf(request->body, sizeof request->body, "{\"task\":\"%s\",\"reason\":\"%s\"}",
                         machine->errand.task, reason);
    request->content_type = "application/json";
}

static void write_renewal(struct trib_machine *machine) {
    struct trib_machine_request *request = &machine->request;
    const struct trib_errand *errand = &machine->errand;
    char done[32] = "";
    if (errand->done >= 0) {
        snprintf(done, sizeof done, ",\"done\":%.6f", errand->done);
    }
    aim(machine, "POST", "/task/renew");
    request->body_bytes = (size_t)snprintf(request->body, sizeof request->body,
                                           "{\"task\":\"%s\"%s}", errand->task, done);
    request->content_type = "application/json";
}

static void write_request(struct trib_machine *machine) {
    struct trib_machine_request *request = &machine->request;
    char rest[64];
    request->kind = machine->is_joined ? machine->errand.kind : TRIB_ERRAND_JOIN;
    request->content_type = NULL;
    request->fields[0] = '\0';
    request->body_bytes = 0;
    request->token = machine->token;
    switch (request->kind) {
    case TRIB_ERRAND_JOIN:
        TRIB_ASSERT(write_join(machine)); /* init has tried it */
        return;
    case TRIB_ERRAND_ASK:
        snprintf(rest, sizeof rest, "/task?wait=%d", POLL_SECONDS);
        aim(machine, "GET", rest);
        return;
    case TRIB_ERRAND_FETCH:
        snprintf(rest, sizeof rest, "/versions/%" PRIu64, machine->errand.version);
        aim(machine, "GET", rest);
        return;
    case TRIB_ERRAND_SUBMIT:
        write_submit(machine);
        return;
    case TRIB_ERRAND_EVALUATE:
        write_evaluation(machine);
        return;
    case TRIB_ERRAND_DECLINE:
        write_decline(machine);
        return;
    case TRIB_ERRAND_RENEW:
        write_renewal(machine);
        return;
    }
}

/* --- turns ---------------------------------------------------------------------------------- */

bool trib_machine_init(struct trib_machine *machine, const struct trib_machine_settings *settings) {
    memset(machine, 0, sizeof *machine);
    machine->settings = *settings;
    machine->turn = TRIB_MACHINE_OVER;
    trib_random_derive(&machine->random, 0, settings->client, 0);
    return write_join(machine);
}

void trib_machine_begin(struct trib_machine *machine, const struct trib_errand *errand) {
    machine->errand = *errand;
    machine->is_joined = machine->is_joined && errand->kind != TRIB_ERRAND_JOIN;
    machine->has_rejoined = false;
    machine->failures = 0;
    machine->result = TRIB_CLIENT_OK;
    machine->text[0] = '\0';
    machine->fate = TRIB_CLIENT_OPEN;
    machine->turn = TRIB_MACHINE_SEND;
}

enum trib_machine_turn trib_machine_next(struct trib_machine *machine) {
    enum trib_machine_turn turn = machine->turn;
    if (turn == TRIB_MACHINE_SEND) {
        write_request(machine);
    } else if (turn == TRIB_MACHINE_PAUSE) {
        machine->turn = TRIB_MACHINE_SEND;
    }
    return turn;
}

bool trib_machine_is_done(const struct trib_machine *machine) {
    return machine->turn == TRIB_MACHINE_OVER && machine->result == TRIB_CLIENT_OK;
}

void trib_machine_end(struct trib_machine *machine, enum trib_client_result result,
                      const char *text) {
    machine->turn = TRIB_MACHINE_OVER;
    machine->result = result;
    snprintf(machine->text, sizeof machine->text, "%s", text);
}

static trib_time_ns nanoseconds(double seconds) {
    return (trib_time_ns)((seconds < SECONDS_MAX ? seconds : SECONDS_MAX) * (double)TRIB_SECOND);
}

static void pause_for(struct trib_machine *machine, trib_time_ns pause, trib_time_ns now) {
    machine->turn = TRIB_MACHINE_PAUSE;
    machine->pause_until = now + pause;
}

/* Try again later, or give up when there has been nothing but failures for too long. */
static void retry(struct trib_machine *machine, const char *why, double retry_after_s,
                  trib_time_ns now) {
    if (machine->errand.kind == TRIB_ERRAND_RENEW) {
        trib_machine_end(machine, TRIB_CLIENT_UNREACHABLE, why);
        return;
    }
    trib_time_ns pause = PAUSE_FIRST;
    for (uint32_t i = 0; i < machine->failures && pause < PAUSE_MAX; i++) {
        pause *= 2;
    }
    pause = pause < PAUSE_MAX ? pause : PAUSE_MAX;
    pause -= (trib_time_ns)(trib_random_unit(&machine->random) * 0.5 * (double)pause);
    if (machine->failures++ == 0) {
        machine->silent_since = now;
    }
    trib_time_ns left = machine->silent_since + machine->settings.retry_for - now;
    trib_time_ns asked = retry_after_s < 0 ? 0 : nanoseconds(retry_after_s);
    if (left <= 0 || asked > left) {
        char text[TRIB_MACHINE_TEXT_BYTES];
        snprintf(text, sizeof text, "gave up after %.0f s: %s",
                 (double)(now - machine->silent_since) / (double)TRIB_SECOND, why);
        trib_machine_end(machine, TRIB_CLIENT_UNREACHABLE, text);
        return;
    }
    pause = pause < left ? pause : left; /* one last attempt at the very end */
    pause_for(machine, pause > asked ? pause : asked, now);
}

void trib_machine_lose(struct trib_machine *machine, const char *why, trib_time_ns now) {
    retry(machine, why, -1, now);
}

void trib_machine_progress(struct trib_machine *machine) {
    machine->failures = 0;
}

/* --- replies -------------------------------------------------------------------------------- */

static void hear_task(struct trib_machine *machine, const struct trib_machine_reply *reply,
                      trib_time_ns now) {
    struct trib_heard_task *task = &machine->task;
    if (!trib_heard_task(reply->body, reply->body_bytes, task) ||
        (task->id[0] != '\0' && !trib_name_is_valid(task->id, strlen(task->id)))) {
        trib_machine_end(machine, TRIB_CLIENT_INVALID, "the daemon's reply is not a task");
        return;
    }
    switch (task->kind) {
    case TRIB_HEARD_TRAIN:
    case TRIB_HEARD_EVALUATE:
        trib_machine_end(machine, TRIB_CLIENT_OK, "");
        return;
    case TRIB_HEARD_WAIT: {
        trib_time_ns pause = nanoseconds(task->after_s);
        pause_for(machine, pause > WAIT_MIN ? pause : WAIT_MIN, now);
        return;
    }
    case TRIB_HEARD_STOP:
        trib_machine_end(machine, TRIB_CLIENT_STOPPED,
                         task->reason[0] != '\0' ? task->reason : "the run has ended");
        return;
    }
}

static void hear_join(struct trib_machine *machine, const struct trib_machine_reply *reply) {
    char token[TRIB_MACHINE_TOKEN_BYTES];
    if (!trib_heard_join(reply->body, reply->body_bytes, token, sizeof token)) {
        trib_machine_end(machine, TRIB_CLIENT_INVALID,
                         "the daemon's reply to joining has no token");
        return;
    }
    memcpy(machine->token, token, sizeof token);
    if (!trib_heard_number(reply->body, reply->body_bytes, "lease_s", &machine->lease_s)) {
        machine->lease_s = 0;
    }
    machine->is_joined = true;
    if (machine->errand.kind == TRIB_ERRAND_JOIN) {
        trib_machine_end(machine, TRIB_CLIENT_OK, "");
    }
}

static void hear_success(struct trib_machine *machine, const struct trib_machine_reply *reply,
                         trib_time_ns now) {
    trib_machine_progress(machine);
    if (machine->request.kind == TRIB_ERRAND_JOIN) {
        hear_join(machine, reply);
        return;
    }
    machine->has_rejoined = false;
    if (machine->request.kind == TRIB_ERRAND_ASK) {
        hear_task(machine, reply, now);
    } else {
        machine->fate = trib_heard_is_dropped(reply->body, reply->body_bytes) ? TRIB_CLIENT_UNWANTED
                                                                              : TRIB_CLIENT_COUNTED;
        trib_machine_end(machine, TRIB_CLIENT_OK, "");
    }
}

/* Refusals that pass by themselves. 507 is among them: someone may make room. */
static bool is_temporary(int status) {
    return status == 408 || status == 429 || (status >= 500 && status != 501 && status != 505);
}

/* The token is not (or no more) good for this, but a fresh one may be. */
static bool asks_to_join(const struct trib_machine *machine, int status, const char *code) {
    return (status == 401 || (status == 403 && strcmp(code, "forbidden") == 0)) &&
           machine->request.kind != TRIB_ERRAND_JOIN && !machine->has_rejoined;
}

/* The run has moved on without this task. Nothing is wrong with it or with us. */
static bool is_overtaken(int status, const char *code) {
    return status == 409 && (strcmp(code, "stale") == 0 || strcmp(code, "base_unknown") == 0 ||
                             strcmp(code, "ended") == 0);
}

void trib_machine_hear(struct trib_machine *machine, const struct trib_machine_reply *reply,
                       trib_time_ns now) {
    if (reply->status < 300) {
        hear_success(machine, reply, now);
        return;
    }
    struct trib_heard_error error;
    trib_heard_error(reply->body, reply->body_bytes, &error);
    char text[TRIB_MACHINE_TEXT_BYTES];
    snprintf(text, sizeof text, "%s (%d%s%s)",
             error.message[0] != '\0' ? error.message : "the daemon refuses", reply->status,
             error.code[0] != '\0' ? " " : "", error.code);
    if (is_temporary(reply->status)) {
        retry(machine, text, reply->retry_after_s, now);
    } else if (asks_to_join(machine, reply->status, error.code)) {
        machine->is_joined = false;
        machine->has_rejoined = true;
    } else if (is_overtaken(reply->status, error.code)) {
        machine->fate = TRIB_CLIENT_UNWANTED;
        trib_machine_end(machine, TRIB_CLIENT_OK, "");
    } else {
        /* A bad token says nothing about an update that may have come before. */
        bool is_about_token = reply->status == 401 || reply->status == 403;
        machine->fate = is_about_token ? TRIB_CLIENT_OPEN : TRIB_CLIENT_UNWANTED;
        trib_machine_end(machine, TRIB_CLIENT_REFUSED, text);
    }
}
