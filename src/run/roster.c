/* roster.c - who takes part. */
#include "run/roster.h"

#include <string.h>

#define CAPACITY_FIRST 16

void trib_roster_init(struct trib_roster *roster, const struct trib_env *env, uint32_t clients_max,
                      trib_time_ns lease) {
    *roster = (struct trib_roster){.env = env, .clients_max = clients_max, .lease = lease};
    trib_map_init(&roster->names, env);
    trib_agenda_init(&roster->agenda, env);
}

void trib_roster_deinit(struct trib_roster *roster) {
    trib_release(roster->env, roster->clients, roster->capacity, sizeof *roster->clients);
    trib_release(roster->env, roster->ranking, roster->ranking_capacity, sizeof *roster->ranking);
    trib_release(roster->env, roster->unseated, roster->unseated_capacity,
                 sizeof *roster->unseated);
    trib_map_deinit(&roster->names);
    trib_agenda_deinit(&roster->agenda);
    *roster = (struct trib_roster){0};
}

struct trib_client *trib_roster_find(const struct trib_roster *roster, const char *name) {
    uint64_t index;
    size_t name_bytes = strlen(name);
    if (name_bytes == 0 || name_bytes >= TRIB_NAME_BYTES ||
        !trib_map_get(&roster->names, name, name_bytes, &index))
        return NULL;
    return &roster->clients[index];
}

struct trib_client *trib_roster_find_speaker(struct trib_roster *roster, const char *name) {
    struct trib_client *last = roster->speaker ? &roster->clients[roster->speaker - 1] : NULL;
    if (last && strcmp(last->name, name) == 0)
        return last;
    struct trib_client *client = trib_roster_find(roster, name);
    if (client)
        roster->speaker = trib_roster_index(roster, client) + 1;
    return client;
}

static bool grow_ranking(struct trib_roster *roster, uint32_t capacity) {
    if (capacity <= roster->ranking_capacity)
        return true;
    struct trib_ranked *grown = trib_regrow(roster->env, roster->ranking, roster->ranking_capacity,
                                            capacity, sizeof *roster->ranking);
    if (!grown)
        return false;
    roster->ranking = grown;
    roster->ranking_capacity = capacity;
    return true;
}

static bool grow_unseated(struct trib_roster *roster, uint32_t capacity) {
    if (capacity <= roster->unseated_capacity)
        return true;
    uint32_t *grown = trib_regrow(roster->env, roster->unseated, roster->unseated_capacity,
                                  capacity, sizeof *roster->unseated);
    if (!grown)
        return false;
    roster->unseated = grown;
    roster->unseated_capacity = capacity;
    return true;
}

static bool make_room(struct trib_roster *roster) {
    if (roster->count < roster->capacity)
        return true;
    uint32_t capacity = roster->capacity ? roster->capacity : CAPACITY_FIRST;
    while (capacity <= roster->count)
        capacity *= 2;
    if (capacity > roster->clients_max)
        capacity = roster->clients_max;
    if (!trib_agenda_reserve(&roster->agenda, capacity) || !grow_ranking(roster, capacity) ||
        !grow_unseated(roster, capacity))
        return false;
    struct trib_client *grown = trib_regrow(roster->env, roster->clients, roster->capacity,
                                            capacity, sizeof *roster->clients);
    if (!grown)
        return false;
    roster->clients = grown;
    roster->capacity = capacity;
    return true;
}

uint32_t trib_roster_index(const struct trib_roster *roster, const struct trib_client *client) {
    return (uint32_t)(client - roster->clients);
}

/* --- the idle ------------------------------------------------------------------------------ */

static void take_from_idle(struct trib_roster *roster, struct trib_client *client) {
    struct trib_client *clients = roster->clients;
    *(client->previous_idle ? &clients[client->previous_idle - 1].next_idle : &roster->first_idle) =
        client->next_idle;
    *(client->next_idle ? &clients[client->next_idle - 1].previous_idle : &roster->last_idle) =
        client->previous_idle;
    client->is_idle = false;
    client->next_idle = client->previous_idle = 0;
}

/* Between `previous` and its next one (index + 1; 0: at the front). */
static void put_among_idle(struct trib_roster *roster, struct trib_client *client,
                           uint32_t previous) {
    uint32_t place = trib_roster_index(roster, client) + 1;
    uint32_t *after = previous ? &roster->clients[previous - 1].next_idle : &roster->first_idle;
    client->is_idle = true;
    client->previous_idle = previous;
    client->next_idle = *after;
    *(*after ? &roster->clients[*after - 1].previous_idle : &roster->last_idle) = place;
    *after = place;
}

/* After anything that decides it has changed. Who becomes idle is the last to be forgotten; as
 * silence is noticed in its order, the queue is in the order in which clients were last seen. */
static void judge_idle(struct trib_roster *roster, struct trib_client *client) {
    bool is_idle = !client->is_present && !client->is_set_aside && client->pins == 0;
    if (is_idle && !client->is_idle)
        put_among_idle(roster, client, roster->last_idle);
    else if (!is_idle && client->is_idle)
        take_from_idle(roster, client);
}

void trib_roster_pin(struct trib_roster *roster, uint32_t index) {
    roster->clients[index].pins++;
    judge_idle(roster, &roster->clients[index]);
}

void trib_roster_unpin(struct trib_roster *roster, uint32_t index) {
    TRIB_ASSERT(roster->clients[index].pins > 0);
    roster->clients[index].pins--;
    judge_idle(roster, &roster->clients[index]);
}

/* --- who is known -------------------------------------------------------------------------- */

/* The client's place becomes free. It may be in the queue of the called, without a poll: there it
 * stays, and nobody minds when its successor's turn comes. */
static void forget(struct trib_roster *roster, struct trib_client *client) {
    take_from_idle(roster, client);
    (void)trib_map_remove(&roster->names, client->name, strlen(client->name));
    *client =
        (struct trib_client){.is_called = client->is_called, .next_called = client->next_called};
}

struct trib_client *trib_roster_add(struct trib_roster *roster, const char *name,
                                    enum trib_client_role role) {
    size_t name_bytes = strlen(name);
    TRIB_ASSERT(name_bytes > 0 && name_bytes < TRIB_NAME_BYTES);
    bool is_full = roster->count == roster->clients_max;
    if (is_full ? roster->first_idle == 0 : !make_room(roster))
        return NULL;
    uint32_t index = is_full ? roster->first_idle - 1 : roster->count;
    if (!trib_map_put(&roster->names, name, name_bytes, index))
        return NULL;
    struct trib_client *client = &roster->clients[index];
    if (is_full) {
        forget(roster, client);
    } else {
        *client = (struct trib_client){0};
        roster->count++;
    }
    client->role = role;
    memcpy(client->name, name, name_bytes + 1);
    roster->speaker = index + 1;
    judge_idle(roster, client);
    return client;
}

bool trib_client_is_available(const struct trib_client *client) {
    return client->is_present && !client->is_set_aside && client->role == TRIB_CLIENT_TRAINER &&
           client->traits.unselected_by == 0;
}

/* The numbers of the roster, without and then again with this client. */
static void count(struct trib_roster *roster, const struct trib_client *client, uint32_t by) {
    roster->present += by * client->is_present;
    roster->set_aside += by * client->is_set_aside;
    roster->trainers_available += by * trib_client_is_available(client);
    roster->trainers_unselected +=
        by * (client->is_present && client->role == TRIB_CLIENT_TRAINER &&
              client->traits.unselected_by > 0);
}

static void count_out(struct trib_roster *roster, const struct trib_client *client) {
    count(roster, client, UINT32_MAX); /* -1 */
}

/* Keep the list of the unseated. The last one takes the place of whoever leaves it. */
static void judge_unseated(struct trib_roster *roster, struct trib_client *client) {
    bool is_unseated = trib_client_is_available(client) && !client->has_seat;
    if (is_unseated && client->unseated_place == 0) {
        roster->unseated[roster->unseated_count++] = trib_roster_index(roster, client);
        client->unseated_place = roster->unseated_count;
    } else if (!is_unseated && client->unseated_place != 0) {
        uint32_t last = roster->unseated[--roster->unseated_count];
        roster->unseated[client->unseated_place - 1] = last;
        roster->clients[last].unseated_place = client->unseated_place;
        client->unseated_place = 0;
    }
}

static void count_in(struct trib_roster *roster, struct trib_client *client) {
    count(roster, client, 1);
    judge_unseated(roster, client);
}

void trib_roster_set_seat(struct trib_roster *roster, struct trib_client *client, bool has_seat) {
    client->has_seat = has_seat;
    judge_unseated(roster, client);
}

void trib_roster_set_role(struct trib_roster *roster, struct trib_client *client,
                          enum trib_client_role role) {
    count_out(roster, client);
    client->role = role;
    count_in(roster, client);
}

void trib_roster_set_aside(struct trib_roster *roster, struct trib_client *client,
                           bool is_set_aside) {
    count_out(roster, client);
    client->is_set_aside = is_set_aside;
    count_in(roster, client);
    judge_idle(roster, client);
}

void trib_roster_set_traits(struct trib_roster *roster, struct trib_client *client,
                            const struct trib_traits *traits) {
    count_out(roster, client);
    client->traits = *traits;
    count_in(roster, client);
}

static void set_present(struct trib_roster *roster, struct trib_client *client, bool is_present) {
    count_out(roster, client);
    client->is_present = is_present;
    count_in(roster, client);
    judge_idle(roster, client);
}

void trib_roster_hear(struct trib_roster *roster, struct trib_client *client, trib_time_ns now) {
    client->spoke_at = now;
    if (!client->is_present)
        set_present(roster, client, true);
    trib_roster_schedule(roster, client, now);
}

void trib_roster_dismiss(struct trib_roster *roster, struct trib_client *client) {
    TRIB_ASSERT(client->poll == 0);
    set_present(roster, client, false);
    trib_roster_schedule(roster, client, client->spoke_at);
    if (client->is_idle) {
        take_from_idle(roster, client);
        put_among_idle(roster, client, 0);
    }
}

void trib_roster_park(struct trib_roster *roster, struct trib_client *client, trib_request request,
                      trib_time_ns until, trib_time_ns now) {
    TRIB_ASSERT(client->poll == 0 && request != 0);
    client->poll = request;
    client->poll_until = until;
    roster->parked++;
    trib_roster_hear(roster, client, now);
}

void trib_roster_unpark(struct trib_roster *roster, struct trib_client *client, trib_time_ns now) {
    roster->parked -= client->poll != 0;
    client->poll = 0;
    trib_roster_hear(roster, client, now);
}

void trib_roster_call(struct trib_roster *roster, struct trib_client *client) {
    if (client->poll == 0 || client->is_called)
        return;
    uint32_t place = trib_roster_index(roster, client) + 1;
    client->is_called = true;
    client->next_called = 0;
    if (roster->last_called)
        roster->clients[roster->last_called - 1].next_called = place;
    else
        roster->first_called = place;
    roster->last_called = place;
    trib_agenda_set(&roster->agenda, place - 1, TRIB_TIME_NEVER);
}

void trib_roster_call_all(struct trib_roster *roster) {
    uint32_t found = 0;
    for (uint32_t index = 0; index < roster->count && found < roster->parked; index++) {
        found += roster->clients[index].poll != 0;
        trib_roster_call(roster, &roster->clients[index]);
    }
}

struct trib_client *trib_roster_next_called(struct trib_roster *roster) {
    if (roster->first_called == 0)
        return NULL;
    struct trib_client *client = &roster->clients[roster->first_called - 1];
    roster->first_called = client->next_called;
    if (roster->first_called == 0)
        roster->last_called = 0;
    client->is_called = false;
    return client;
}

bool trib_roster_has_called(const struct trib_roster *roster) {
    return roster->first_called != 0;
}

static trib_time_ns later(trib_time_ns start, trib_time_ns duration) {
    return duration > TRIB_TIME_NEVER - start ? TRIB_TIME_NEVER : start + duration;
}

void trib_roster_schedule(struct trib_roster *roster, struct trib_client *client,
                          trib_time_ns now) {
    trib_time_ns due = TRIB_TIME_NEVER;
    if (client->is_called)
        return; /* Its turn comes in any case. */
    if (client->poll)
        due = client->poll_until;
    else if (client->is_present)
        due = later(client->spoke_at, roster->lease);
    if (client->is_present && client->rests_until > now && client->rests_until < due)
        due = client->rests_until;
    trib_agenda_set(&roster->agenda, trib_roster_index(roster, client), due);
}

struct trib_client *trib_roster_next_due(struct trib_roster *roster, trib_time_ns now) {
    uint32_t index;
    if (trib_agenda_first(&roster->agenda, &index) > now)
        return NULL;
    struct trib_client *client = &roster->clients[index];
    if (client->poll && client->poll_until <= now)
        trib_roster_call(roster, client);
    else if (!client->poll && later(client->spoke_at, roster->lease) <= now)
        set_present(roster, client, false);
    trib_roster_schedule(roster, client, now);
    return client;
}

trib_time_ns trib_roster_deadline(const struct trib_roster *roster) {
    return trib_agenda_first(&roster->agenda, NULL);
}

bool trib_client_has_reported(const struct trib_client *client, trib_version version) {
    if (client->reports == 0 || version > client->reported)
        return false;
    trib_version ago = client->reported - version;
    return ago < 64 && (client->reports >> ago & 1);
}

void trib_client_mark_reported(struct trib_client *client, trib_version version) {
    if (client->reports == 0 || version > client->reported) {
        trib_version ahead = client->reports ? version - client->reported : 0;
        client->reports = ahead < 64 ? client->reports << ahead : 0;
        client->reported = version;
    }
    trib_version ago = client->reported - version;
    if (ago < 64)
        client->reports |= UINT64_C(1) << ago;
}
