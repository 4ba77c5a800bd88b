/* fleet_places.c - clients: check in, train, send, fall silent, go.
 *
 *   VACANT --check in--> WAITING --task--> TRAINING --update--> VACANT --check in--> ...
 *      ^                    |                  |
 *      '----not available---'   silence: VACANT for a lease
 *
 * After each change of state the moments that were put in for the one before mean nothing: they
 * carry the generation of their place. */
#include "sim/fleet_parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "run/heart.h"
#include "run/select.h"

#define EVALUATOR "test"              /* its name; no client has it */
#define DRAWS_MAX 1000                /* of a client that is idle and available, in a row */
#define LOOK_AGAIN (10 * TRIB_SECOND) /* when there was none */

/* --- bits --------------------------------------------------------------------------------------- */

static bool has_bit(const uint64_t *bits, uint64_t client) {
    return bits[client / 64] >> client % 64 & 1;
}

static void set_bit(uint64_t *bits, uint64_t client, bool value) {
    uint64_t bit = UINT64_C(1) << client % 64;
    bits[client / 64] = value ? bits[client / 64] | bit : bits[client / 64] & ~bit;
}

/* --- events ------------------------------------------------------------------------------------- */

/* What every event of a place says of itself. */
static struct trib_event event_of(const struct trib_fleet *fleet, uint32_t number,
                                  enum trib_event_kind kind) {
    const struct trib_place *place = &fleet->places[number];
    return (struct trib_event){
        .kind = kind,
        .request = number + 1,
        .client = place->name,
        .id = place->task,
        .version = place->base,
        .examples = place->examples,
        .wait_until = TRIB_TIME_NEVER,
    };
}

void trib_fleet_places_ask(struct trib_fleet *fleet, uint32_t number) {
    struct trib_event event = event_of(fleet, number, TRIB_EVENT_ASK);
    trib_fleet_feed(fleet, &event);
}

void trib_fleet_places_decline(struct trib_fleet *fleet, uint32_t number) {
    struct trib_event event = event_of(fleet, number, TRIB_EVENT_DECLINE);
    trib_fleet_feed(fleet, &event);
    trib_fleet_places_ask(fleet, number);
}

static uint64_t update_bytes(const struct trib_fleet *fleet) {
    return fleet->update_layout->data_offset + fleet->update_layout->data_bytes;
}

/* --- check-in ----------------------------------------------------------------------------------- */

static void change(struct trib_place *place, enum trib_place_state state) {
    place->state = state;
    place->generation++;
}

static void occupy(struct trib_fleet *fleet, uint32_t number, uint64_t client,
                   trib_time_ns there_until) {
    struct trib_place *place = &fleet->places[number];
    place->client = client;
    trib_work_client_name(client, place->name);
    place->there_until = there_until;
    change(place, TRIB_PLACE_WAITING);
    set_bit(fleet->busy, client, true);
    if (there_until != TRIB_TIME_NEVER) {
        trib_fleet_put(fleet, there_until, TRIB_MOMENT_LEAVE, number);
    }
    if (fleet->has_turns || !place->is_joined) {
        struct trib_event event = event_of(fleet, number, TRIB_EVENT_JOIN);
        const struct trib_attributes *attributes = &fleet->population->attributes;
        event.attributes = trib_attributes_of(attributes, trib_attributes_row(attributes, client),
                                              &event.attribute_count);
        place->is_joined = true;
        trib_fleet_feed(fleet, &event);
    }
    trib_fleet_places_ask(fleet, number);
}

/* The client of this place comes back as soon as it is available. */
static void check_in_own(struct trib_fleet *fleet, uint32_t number) {
    struct trib_stretch stretch =
        trib_availability_at(&fleet->population->availability, number, fleet->now);
    if (stretch.from > fleet->now) {
        trib_fleet_put(fleet, stretch.from, TRIB_MOMENT_CHECK_IN, number);
    } else {
        occupy(fleet, number, number, stretch.until);
    }
}

/* Somebody who is idle, available and may be asked, each with the same chance. */
static void check_in_any(struct trib_fleet *fleet, uint32_t number) {
    for (uint32_t draw = 0; draw < DRAWS_MAX; draw++) {
        uint64_t client =
            trib_chance_below(&fleet->turns, fleet->turn_count++, fleet->population->clients);
        uint32_t row = trib_attributes_row(&fleet->population->attributes, client);
        if (has_bit(fleet->busy, client) || !fleet->is_selected[row]) {
            continue;
        }
        struct trib_stretch stretch =
            trib_availability_at(&fleet->population->availability, client, fleet->now);
        if (stretch.from <= fleet->now) {
            occupy(fleet, number, client, stretch.until);
            return;
        }
    }
    trib_fleet_put(fleet, fleet->now + LOOK_AGAIN, TRIB_MOMENT_CHECK_IN, number);
}

static void check_in(struct trib_fleet *fleet, uint32_t number) {
    if (fleet->has_turns) {
        check_in_any(fleet, number);
    } else {
        check_in_own(fleet, number);
    }
}

static void vacate(struct trib_fleet *fleet, uint32_t number) {
    struct trib_place *place = &fleet->places[number];
    set_bit(fleet->busy, place->client, false);
    place->client = TRIB_NOBODY;
    change(place, TRIB_PLACE_VACANT);
}

/* The client says goodbye, so that no seat is kept for it. */
static void depart(struct trib_fleet *fleet, uint32_t number) {
    struct trib_event event = event_of(fleet, number, TRIB_EVENT_DEPART);
    trib_fleet_feed(fleet, &event);
}

/* Its task is over: the client goes, or asks for the next one at once. */
static void go_on(struct trib_fleet *fleet, uint32_t number) {
    if (fleet->has_turns || fleet->places[number].there_until <= fleet->now) {
        depart(fleet, number);
    }
    vacate(fleet, number);
    check_in(fleet, number);
}

/* --- training ----------------------------------------------------------------------------------- */

static void give_job(struct trib_fleet *fleet, uint32_t number) {
    struct trib_place *place = &fleet->places[number];
    place->update = trib_allocate(fleet->env, 1, sizeof *place->update);
    if (place->update == NULL) {
        trib_fleet_fail(fleet, TRIB_EMEMORY, NULL);
        return;
    }
    TRIB_ASSERT(place->base == fleet->model.version);
    place->base_block = trib_block_ref(fleet->model.current);
    place->update->client = place->client;
    if (fleet->owns != NULL && fleet->owns[place->client] != NULL) {
        place->own = trib_block_ref(fleet->owns[place->client]);
    }
    place->has_job = true;
    trib_hands_give(fleet->hands, number, place->due);
}

static void end_job(struct trib_fleet *fleet, struct trib_place *place) {
    place->has_job = false;
    trib_block_unref(place->base_block);
    trib_block_unref(place->own);
    place->base_block = place->own = NULL;
    (void)fleet;
}

/* A client that works until it is called finishes the step at which that finds it, and idles when all
 * steps are done before. What is worked out for all steps of a task becomes what this one takes. */
static void fit_call(struct trib_fleet *fleet, struct trib_place *place,
                     const struct trib_task *task, struct trib_errand *errand) {
    const struct trib_fleet_course *course = &fleet->courses[task->site];
    if (!course->is_until_called || course->steps == 0 || task->expected_by == TRIB_TIME_NEVER) {
        return;
    }
    trib_time_ns left = task->expected_by - fleet->now - errand->download;
    double pace = (double)errand->compute / course->steps;
    double steps = pace > 0 && left > 0 ? ceil((double)left / pace) : 1.0;
    if (pace <= 0 && left > 0) {
        steps = course->steps;
    }
    place->steps = steps < course->steps ? (uint32_t)steps : course->steps;
    trib_time_ns worked = (trib_time_ns)(pace * place->steps);
    errand->compute = worked > left ? worked : left;
}

void trib_fleet_places_end_evaluation(const struct trib_fleet *fleet, struct trib_place *place) {
    trib_release(fleet->env, place->evaluation, 1, sizeof *place->evaluation);
    place->evaluation = NULL;
    trib_block_unref(place->base_block);
    place->base_block = NULL;
}

/* Most strategies keep nothing, so there is room for it only once something is kept. */
void trib_fleet_places_keep(struct trib_fleet *fleet, struct trib_fleet_update *update) {
    if (update->trained.next_own == NULL) {
        return;
    }
    if (fleet->owns == NULL) {
        fleet->owns = trib_allocate(fleet->env, fleet->population->clients, sizeof *fleet->owns);
    }
    if (fleet->owns == NULL) {
        trib_fleet_fail(fleet, TRIB_EMEMORY, NULL);
        return;
    }
    trib_block_unref(fleet->owns[update->client]);
    fleet->owns[update->client] = update->trained.next_own;
    update->trained.next_own = NULL;
}

static void plan(struct trib_fleet *fleet, uint32_t number, const struct trib_errand *errand) {
    struct trib_place *place = &fleet->places[number];
    trib_time_ns length = errand->download + errand->compute + errand->upload;
    trib_time_ns silent_at = TRIB_TIME_NEVER;
    place->due = fleet->now + length;
    if (errand->vanishes_after < 1.0) {
        silent_at = fleet->now + (trib_time_ns)(errand->vanishes_after * (double)length);
    }
    silent_at = place->there_until < silent_at ? place->there_until : silent_at;
    place->is_silent = silent_at < place->due;
    if (place->is_silent) {
        trib_fleet_put(fleet, silent_at, TRIB_MOMENT_VANISH, number);
    } else if (errand->upload > 0) {
        trib_fleet_put(fleet, place->due - errand->upload, TRIB_MOMENT_OFFER, number);
    } else {
        trib_fleet_put(fleet, place->due, TRIB_MOMENT_UPDATE, number);
    }
}

void trib_fleet_places_begin(struct trib_fleet *fleet, uint32_t number,
                             const struct trib_task *task) {
    struct trib_place *place = &fleet->places[number];
    const struct trib_work *work = fleet->work;
    struct trib_fleet_report *report = fleet->report;
    TRIB_ASSERT(place->state == TRIB_PLACE_WAITING);
    change(place, TRIB_PLACE_TRAINING);
    place->base = task->version;
    place->steps = task->steps;
    place->site = task->site;
    memcpy(place->task, task->id, sizeof place->task);
    place->examples = work->examples != NULL ? work->examples(work->context, place->client) : 1;
    uint64_t model_bytes = fleet->model.current->byte_count;
    const struct trib_errand_task errand_task = {
        .client = place->client,
        .number = fleet->task_count++,
        .examples = place->examples,
        .steps = place->steps > 0 ? place->steps : fleet->courses[task->site].steps,
        .model_bytes = model_bytes,
        .update_bytes = update_bytes(fleet),
    };
    struct trib_errand errand = trib_population_errand(fleet->population, &errand_task);
    fit_call(fleet, place, task, &errand);
    plan(fleet, number, &errand);
    report->tasks++;
    report->bytes_down += model_bytes;
    report->outlasted += !place->is_silent && place->due - fleet->now > fleet->spec->lease;
    report->clients += !has_bit(fleet->seen, place->client);
    set_bit(fleet->seen, place->client, true);
    if (work->train == NULL) {
        place->update = &fleet->zero;
    } else if (!place->is_silent) {
        give_job(fleet, number);
    }
}

/* --- moments ------------------------------------------------------------------------------------ */

/* Until the lease is over the run thinks that it is there, so its place is not free. */
static void vanish(struct trib_fleet *fleet, uint32_t number) {
    fleet->report->vanished++;
    fleet->silent_count++;
    fleet->places[number].update = NULL;
    vacate(fleet, number);
    trib_time_ns lease = fleet->spec->lease;
    if (fleet->now < TRIB_TIME_NEVER - lease) {
        trib_fleet_put(fleet, fleet->now + lease, TRIB_MOMENT_CHECK_IN, number);
    }
}

/* The head is judged before the body is sent; a refusal saves the client the upload. */
static void offer(struct trib_fleet *fleet, uint32_t number) {
    struct trib_place *place = &fleet->places[number];
    struct trib_event event = event_of(fleet, number, TRIB_EVENT_OFFER);
    uint64_t refused = fleet->report->updates_refused;
    event.byte_count = update_bytes(fleet);
    trib_fleet_feed(fleet, &event);
    if (fleet->report->updates_refused == refused) {
        trib_fleet_put(fleet, place->due, TRIB_MOMENT_UPDATE, number);
        return;
    }
    fleet->report->updates_sent++;
    if (place->has_job) {
        (void)trib_hands_drop(fleet->hands, number);
        end_job(fleet, place);
    }
    trib_fleet_update_free(fleet, place->update);
    place->update = NULL;
    go_on(fleet, number);
}

static void send(struct trib_fleet *fleet, uint32_t number) {
    struct trib_place *place = &fleet->places[number];
    struct trib_event event = event_of(fleet, number, TRIB_EVENT_UPDATE);
    event.byte_count = update_bytes(fleet);
    event.examples = place->update->trained.examples;
    fleet->report->updates_sent++;
    fleet->report->bytes_up += event.byte_count;
    fleet->silent_count = fleet->idle_count = 0;
    trib_fleet_feed(fleet, &event);
    trib_fleet_settle(fleet); /* so that whoever comes now is given the newest version */
}

static bool ends_simulation(enum trib_status status) {
    return status == TRIB_EMEMORY || status == TRIB_ECLOSED;
}

static void finish(struct trib_fleet *fleet, uint32_t number) {
    struct trib_place *place = &fleet->places[number];
    bool is_trained = true;
    if (place->has_job) {
        trib_hands_take(fleet->hands, number);
        end_job(fleet, place);
        is_trained = place->update->is_trained;
    }
    if (!is_trained && ends_simulation(place->update->status)) {
        (void)trib_error_prefix(&place->update->error, place->update->status,
                                "client %" PRIu64 " on version %" PRIu64, place->client,
                                place->base);
        trib_fleet_fail(fleet, place->update->status, &place->update->error);
    } else if (is_trained) {
        send(fleet, number);
    } else { /* a client whose training came to nothing gives its task back */
        struct trib_event event = event_of(fleet, number, TRIB_EVENT_DECLINE);
        trib_fleet_feed(fleet, &event);
    }
    trib_fleet_update_free(fleet, place->update); /* refused, or nothing */
    place->update = NULL;
    go_on(fleet, number);
}

void trib_fleet_places_moment(struct trib_fleet *fleet, const struct trib_moment *moment) {
    static void (*const handlers[])(struct trib_fleet * fleet, uint32_t number) = {
        [TRIB_MOMENT_CHECK_IN] = check_in, [TRIB_MOMENT_LEAVE] = go_on,
        [TRIB_MOMENT_OFFER] = offer,       [TRIB_MOMENT_UPDATE] = finish,
        [TRIB_MOMENT_VANISH] = vanish,
    };
    uint32_t number = (uint32_t)moment->what & TRIB_MOMENT_PLACE_MASK;
    enum trib_moment_kind kind = (uint32_t)moment->what >> TRIB_MOMENT_PLACE_BITS;
    if (fleet->places[number].generation == moment->what >> 32) {
        handlers[kind](fleet, number);
    }
}

/* --- life --------------------------------------------------------------------------------------- */

static uint32_t choose_place_count(const struct trib_fleet *fleet) {
    const struct trib_spec *spec = fleet->spec;
    uint64_t clients = fleet->population->clients;
    uint32_t joined_max = spec->clients_max > 1 ? spec->clients_max - 1 : 1; /* and the evaluator */
    uint64_t wanted = fleet->population->present;
    bool has_room = clients <= joined_max;
    if (wanted == 0) {
        wanted = !has_room && spec->strategy.concurrency > 0 ? spec->strategy.concurrency : clients;
    }
    wanted = wanted < clients ? wanted : clients;
    wanted = wanted < joined_max ? wanted : joined_max;
    return (uint32_t)wanted;
}

bool trib_fleet_may_ask(const struct trib_fleet_options *options, uint32_t row) {
    struct trib_traits traits;
    uint32_t count;
    const struct trib_attribute *said =
        trib_attributes_of(&options->population->attributes, row, &count);
    trib_traits_of(options->spec, said, count, &traits);
    return traits.unselected_by == 0;
}

bool trib_fleet_places_init(struct trib_fleet *fleet) {
    uint64_t clients = fleet->population->clients;
    fleet->place_count = choose_place_count(fleet);
    fleet->has_turns = fleet->place_count < clients;
    fleet->turns = trib_chance_of(fleet->population->seed, "turn");
    fleet->bit_words = (size_t)(clients + 63) / 64;
    fleet->busy = trib_allocate(fleet->env, fleet->bit_words, sizeof *fleet->busy);
    fleet->seen = trib_allocate(fleet->env, fleet->bit_words, sizeof *fleet->seen);
    fleet->places =
        trib_allocate(fleet->env, (size_t)fleet->place_count + 1, sizeof *fleet->places);
    if (fleet->busy == NULL || fleet->seen == NULL || fleet->places == NULL) {
        return false;
    }
    for (uint32_t number = 0; number <= fleet->place_count; number++) {
        fleet->places[number].client = TRIB_NOBODY;
    }
    memcpy(fleet->places[fleet->place_count].name, EVALUATOR, sizeof EVALUATOR);
    uint32_t row_count = fleet->population->attributes.row_count;
    fleet->is_selected = trib_allocate(fleet->env, (size_t)row_count + 1, sizeof(bool));
    if (fleet->is_selected == NULL) {
        return false;
    }
    for (uint32_t row = 0; row < (row_count > 0 ? row_count : 1); row++) {
        fleet->is_selected[row] = trib_fleet_may_ask(fleet->options, row);
    }
    fleet->report->places = fleet->place_count;
    fleet->report->population_bytes = 2 * fleet->bit_words * sizeof *fleet->busy;
    return true;
}

void trib_fleet_places_open(struct trib_fleet *fleet) {
    if (fleet->work->evaluate != NULL && fleet->spec->evaluate.on_evaluators) {
        struct trib_event event = event_of(fleet, fleet->place_count, TRIB_EVENT_JOIN);
        event.role = TRIB_CLIENT_EVALUATOR;
        trib_fleet_feed(fleet, &event);
        trib_fleet_places_ask(fleet, fleet->place_count);
    }
    for (uint32_t number = 0; number < fleet->place_count; number++) {
        check_in(fleet, number);
    }
}

void trib_fleet_places_end(struct trib_fleet *fleet) {
    for (uint32_t number = 0; fleet->places != NULL && number < fleet->place_count; number++) {
        struct trib_place *place = &fleet->places[number];
        if (place->has_job) {
            (void)trib_hands_drop(fleet->hands, number);
            end_job(fleet, place);
        }
        if (place->evaluation != NULL) {
            (void)trib_hands_drop(fleet->hands, number);
            trib_fleet_places_end_evaluation(fleet, place);
        }
        trib_fleet_update_free(fleet, place->update);
    }
    for (uint64_t client = 0; fleet->owns != NULL && client < fleet->population->clients;
         client++) {
        trib_block_unref(fleet->owns[client]);
    }
    trib_release(fleet->env, fleet->owns, fleet->population->clients, sizeof *fleet->owns);
    trib_release(fleet->env, fleet->is_selected,
                 (size_t)fleet->population->attributes.row_count + 1, sizeof *fleet->is_selected);
    trib_release(fleet->env, fleet->places, (size_t)fleet->place_count + 1, sizeof *fleet->places);
    trib_release(fleet->env, fleet->busy, fleet->bit_words, sizeof *fleet->busy);
    trib_release(fleet->env, fleet->seen, fleet->bit_words, sizeof *fleet->seen);
}
