/* polls.c - clients that join, ask for a task, decline it, fall silent or leave.
 *
 * Every ASK is parked and its client called: at the end of the step it gets its task or, when its
 * time to wait is over, the reason why there is none; else it stays parked until called again. */
#include <string.h>

#include "base/words.h"
#include "run/heart.h"

#define TASK_ID_BYTES sizeof((struct trib_task *)0)->id
_Static_assert(TASK_ID_BYTES >= TRIB_DECIMAL_BYTES - 1 + sizeof ".4294967295",
               "room for a version and a number");

struct trib_client *trib_polls_hear(struct trib_run *run, const struct trib_event *event) {
    struct trib_client *client = trib_roster_find_speaker(&run->roster, event->client);
    if (!client) {
        trib_heart_refuse(run, event->request, NULL, TRIB_REFUSE_UNKNOWN_CLIENT,
                          "client %.64s has not joined this run", event->client);
        return NULL;
    }
    trib_roster_hear(&run->roster, client, run->now);
    trib_round_notice(run, client);
    return client;
}

/* Control variates are means over the trainers of a closed population: nobody else may come, and
 * nobody may be forgotten or change places. NULL: he may join; else why not. */
static const char *closed_to(const struct trib_run *run, const struct trib_client *client,
                             enum trib_client_role role) {
    uint32_t population = run->spec->strategy.population;
    if (population == 0 || (client && client->role == role))
        return NULL;
    if (client)
        return "takes part already, and the roles of a closed population do not change";
    if (run->roster.count == run->roster.clients_max)
        return "comes too late: clients_max are known, and a closed population forgets nobody";
    if (role != TRIB_CLIENT_TRAINER)
        return NULL;
    uint32_t trainers = 0;
    for (uint32_t index = 0; index < run->roster.count; index++)
        trainers += run->roster.clients[index].role == TRIB_CLIENT_TRAINER;
    return trainers < population ? NULL
                                 : "comes too late: all trainers of strategy.population are known";
}

void trib_polls_join(struct trib_run *run, const struct trib_event *event) {
    struct trib_client *client = trib_roster_find_speaker(&run->roster, event->client);
    const char *obstacle = closed_to(run, client, event->role);
    if (obstacle) {
        trib_heart_refuse(run, event->request, NULL, TRIB_REFUSE_ROLE, "client %.64s %s",
                          event->client, obstacle);
        return;
    }
    if (!client) {
        client = trib_roster_add(&run->roster, event->client, event->role);
        trib_round_meet(run, client);
    } else if (client->role != event->role) {
        trib_round_lose_seat(run, client);
        trib_roster_set_role(&run->roster, client, event->role);
    }
    if (!client) {
        trib_heart_refuse(run, event->request, NULL, TRIB_REFUSE_FULL,
                          "%u clients take part (clients_max %u)", run->roster.count,
                          run->spec->clients_max);
        return;
    }
    trib_round_describe(run, client, event->attributes, event->attribute_count);
    trib_roster_hear(&run->roster, client, run->now);
    trib_round_notice(run, client);
    trib_heart_emit(run, TRIB_EFFECT_JOINED)->request = event->request;
}

/* --- tasks ------------------------------------------------------------------------------------ */

/* "<version>.<n>": the n-th update of its client with this base. A number that an update has is
 * skipped: where one before it was found bad, they are not counted up in step. */
static void name_train_task(const struct trib_run *run, const struct trib_client *client,
                            char *id) {
    uint32_t number = client->base == client->task_version ? client->updates_of_base : 0;
    size_t digits = trib_words_decimal(id, client->task_version);
    id[digits] = '.';
    do {
        (void)trib_words_decimal(id + digits + 1, number++);
    } while (client->pins > 0 && trib_slots_find(&run->slots, client->name, id) != TRIB_SLOT_NONE);
}

static void name_evaluation_task(trib_version version, char *id) {
    trib_words(id, TASK_ID_BYTES, "e%" PRIu64, version);
}

static bool can_train(const struct trib_run *run, const struct trib_client *client) {
    bool is_late = run->buffers[0].state != TRIB_BUFFER_COLLECTING;
    return run->state == TRIB_RUN_RUNNING && !trib_states_is_stopping(run) &&
           trib_client_is_available(client) &&
           trib_round_task_state(run, client) == TRIB_TASK_HELD &&
           !(is_late && run->spec->strategy.late == TRIB_LATE_REFUSE);
}

static bool can_evaluate(const struct trib_run *run, const struct trib_client *client,
                         trib_version *version) {
    bool is_open = run->state == TRIB_RUN_RUNNING || run->state == TRIB_RUN_PAUSED;
    return is_open && !client->is_set_aside && trib_reports_may(run, client) &&
           trib_reports_due(run, version) && !trib_client_has_reported(client, *version) &&
           client->spared != *version;
}

static void explain_round(const struct trib_run *run, const struct trib_client *client,
                          char *reason, size_t room) {
    trib_version next = run->version + 1;
    if (client->role != TRIB_CLIENT_TRAINER)
        trib_words(reason, room, "nothing to evaluate");
    else if (client->traits.unselected_by > 0)
        trib_traits_explain(run->spec, &client->traits, reason, room);
    else if (trib_revision_blocks(run, next))
        trib_words(reason, room, "the strategy changes with version %" PRIu64, next);
    else if (trib_round_task_state(run, client) == TRIB_TASK_ANSWERED)
        trib_words(reason, room, "version %" PRIu64 " is in the making", next);
    else if (!run->round.is_open)
        trib_words(reason, room, "too few trainers for version %" PRIu64, next);
    else if (run->buffers[0].state != TRIB_BUFFER_COLLECTING)
        trib_words(reason, room, "version %" PRIu64 " is in the making", next);
    else if (!trib_tally_has_room(&run->tally, &run->spec->select, &client->traits))
        trib_words(reason, room, "select.quota: enough clients of its group are asked");
    else if (trib_round_waits_for_group(run, client))
        trib_words(reason, room, "its group waits for others");
    else if (run->needs.keeps_seats)
        trib_words(reason, room, "%u clients are training already", run->round.seats_held);
    else
        trib_words(reason, room, "version %" PRIu64 " has its cohort", next);
}

static void explain_wait(const struct trib_run *run, const struct trib_client *client, char *reason,
                         size_t room) {
    if (client->is_set_aside)
        trib_words(reason, room, "set aside after %u refusals in a row", TRIB_REFUSALS_MAX);
    else if (run->state == TRIB_RUN_AWAITING_MODEL)
        trib_words(reason, room, "the run has no model yet");
    else if (run->state == TRIB_RUN_PAUSED)
        trib_words(reason, room, "paused: %s", run->reason);
    else if (run->state == TRIB_RUN_FAILED)
        trib_words(reason, room, "failed: %s", run->reason);
    else if (trib_states_is_stopping(run))
        trib_words(reason, room, "the run is stopping");
    else
        explain_round(run, client, reason, room);
}

static struct trib_task task_for(const struct trib_run *run, const struct trib_client *client) {
    struct trib_task task = {
        .version = run->version, .expected_by = TRIB_TIME_NEVER, .not_before = run->now};
    if (run->state == TRIB_RUN_STOPPED) {
        task.kind = TRIB_TASK_STOP;
        trib_words(task.reason, sizeof task.reason, "run stopped: %s", run->reason);
    } else if (can_train(run, client)) {
        task.kind = TRIB_TASK_TRAIN;
        name_train_task(run, client, task.id);
        task.site = client->traits.site;
        if (run->spec->strategy.policy->assign) {
            task.steps = client->assignment.steps;
            task.expected_by = client->assignment.expected_by;
        } else if (run->round.is_open && !run->needs.keeps_seats) {
            task.expected_by = run->round.plan.deadline;
        }
    } else if (can_evaluate(run, client, &task.version)) {
        task.kind = TRIB_TASK_EVALUATE;
        name_evaluation_task(task.version, task.id);
    } else {
        task.kind = TRIB_TASK_WAIT;
        task.version = run->version;
        explain_wait(run, client, task.reason, sizeof task.reason);
        /* Who did not wait here is told to wait at home; who did may ask again at once. */
        if (client->poll_until <= client->spoke_at)
            task.not_before += TRIB_POLL_PAUSE;
    }
    return task;
}

/* --- polls ------------------------------------------------------------------------------------ */

static bool is_asking(const struct trib_run *run, const struct trib_client *client) {
    return run->asking == trib_roster_index(&run->roster, client) + 1;
}

static void answer(struct trib_run *run, struct trib_client *client, const struct trib_task *task) {
    struct trib_effect *effect = trib_heart_emit(run, TRIB_EFFECT_TASK);
    effect->request = client->poll;
    effect->version = task->version;
    effect->task = *task;
    if (is_asking(run, client))
        run->asking = 0;
    else
        trib_heart_let_go(run, client->poll);
    trib_roster_unpark(&run->roster, client, run->now);
}

static void answer_wait(struct trib_run *run, struct trib_client *client, const char *reason) {
    struct trib_task task = {.kind = TRIB_TASK_WAIT,
                             .version = run->version,
                             .expected_by = TRIB_TIME_NEVER,
                             .not_before = run->now + TRIB_POLL_PAUSE};
    trib_words(task.reason, sizeof task.reason, "%s", reason);
    answer(run, client, &task);
}

void trib_polls_ask(struct trib_run *run, const struct trib_event *event) {
    struct trib_client *client = trib_polls_hear(run, event);
    if (!client)
        return;
    if (client->poll)
        answer_wait(run, client, "a newer poll of this client has taken its place");
    trib_roster_park(&run->roster, client, event->request, event->wait_until, run->now);
    trib_roster_call(&run->roster, client);
    run->asking = trib_roster_index(&run->roster, client) + 1;
}

/* Most polls are answered in their own step. Only one that is not can be withdrawn. */
static void hold_asking(struct trib_run *run) {
    if (run->asking == 0)
        return;
    struct trib_client *client = &run->roster.clients[run->asking - 1];
    if (trib_heart_hold(run, client->poll, TRIB_HOLDER_POLL, run->asking - 1))
        run->asking = 0;
    else
        answer_wait(run, client, "no memory to wait here");
}

void trib_polls_settle(struct trib_run *run) {
    struct trib_client *client;
    while (trib_heart_has_room(run) && (client = trib_roster_next_called(&run->roster)) != NULL) {
        if (client->poll) {
            trib_round_renew(run, client);
            struct trib_task task = task_for(run, client);
            if (task.kind != TRIB_TASK_WAIT || client->poll_until <= run->now)
                answer(run, client, &task);
        }
        trib_roster_schedule(&run->roster, client, run->now);
    }
    hold_asking(run);
}

/* --- silence and departure ---------------------------------------------------------------- */

void trib_polls_alive(struct trib_run *run, const struct trib_event *event) {
    struct trib_client *client = trib_roster_find_speaker(&run->roster, event->client);
    if (!client)
        return; /* Nobody waits for an answer to this. */
    trib_roster_hear(&run->roster, client, run->now);
    trib_round_notice(run, client);
}

void trib_polls_depart(struct trib_run *run, const struct trib_event *event) {
    struct trib_client *client = trib_roster_find_speaker(&run->roster, event->client);
    if (!client)
        return;
    if (client->poll)
        answer_wait(run, client, "this client has left");
    trib_round_lose_seat(run, client);
    trib_roster_dismiss(&run->roster, client);
}

void trib_polls_expire(struct trib_run *run) {
    struct trib_client *client;
    while ((client = trib_roster_next_due(&run->roster, run->now)) != NULL) {
        if (!client->is_present)
            trib_round_lose_seat(run, client);
        trib_round_notice(run, client);
    }
}

void trib_polls_decline(struct trib_run *run, const struct trib_event *event) {
    struct trib_client *client = trib_polls_hear(run, event);
    if (!client)
        return;
    char id[TASK_ID_BYTES];
    enum trib_task_state state = trib_round_task_state(run, client);
    name_train_task(run, client, id);
    if (state != TRIB_TASK_NONE && state != TRIB_TASK_ANSWERED && strcmp(id, event->id) == 0) {
        if (state == TRIB_TASK_HELD) /* else it has been given back before */
            trib_round_return(run, client);
        trib_heart_done(run, event->request);
        return;
    }
    trib_version version = 0;
    if (trib_reports_may(run, client) && trib_reports_due(run, &version)) {
        name_evaluation_task(version, id);
        if (strcmp(id, event->id) == 0) {
            client->spared = version;
            trib_heart_done(run, event->request);
            return;
        }
    }
    trib_heart_refuse(run, event->request, client, TRIB_REFUSE_TASK_UNKNOWN,
                      "task %.64s is not, or no longer, a task of %s", event->id, client->name);
}

/* Whatever it works on is welcome as long as admission says so: there is no task to judge here. */
void trib_polls_renew(struct trib_run *run, const struct trib_event *event) {
    if (trib_polls_hear(run, event))
        trib_heart_done(run, event->request);
}

void trib_polls_leave(struct trib_run *run, const struct trib_event *event) {
    uint64_t value;
    if (!trib_map_get(&run->waiting, &event->request, sizeof event->request, &value))
        return;
    trib_heart_let_go(run, event->request);
    uint32_t index = (uint32_t)value;
    switch ((enum trib_holder)(value >> 32)) {
    case TRIB_HOLDER_POLL:
        trib_roster_unpark(&run->roster, &run->roster.clients[index], run->now);
        break;
    case TRIB_HOLDER_SLOT:
        run->slots.items[index].request = 0;
        break;
    case TRIB_HOLDER_REPORT:
        run->reports[index].request = 0;
        break;
    case TRIB_HOLDER_REVISION:
        run->revision.request = 0;
        break;
    case TRIB_HOLDER_STATE:
        if (run->change.request == event->request)
            run->change.request = 0;
        if (run->ending.request == event->request)
            run->ending.request = 0;
        break;
    }
}
