/* fleet.c - a run with a whole population of clients: birth, the loop over moments, the end. */
#include "sim/fleet_parts.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"
#include "codec/codec.h"
#include "train/settings.h"

#define ANSWERS_FIRST 64
#define AHEAD_PER_HAND 4      /* finished updates that may wait for their time */
#define MOMENTS_PER_LOOK 4096 /* between two looks at the owner */
#define LONE_MAX 1000         /* what the run does by itself while nobody is about to do anything */
#define SILENT_MAX 100000     /* and 100 for each place */
#define IDLE_MAX 20000000     /* and 10,000 for each place: more than a night without anybody */

/* --- events ------------------------------------------------------------------------------------- */

void trib_fleet_fail(struct trib_fleet *fleet, enum trib_status status,
                     const struct trib_error *error) {
    if (fleet->status != TRIB_OK) {
        return;
    }
    fleet->status = status;
    fleet->is_over = true;
    (void)trib_error_set(fleet->error, status, "%s",
                         error != NULL && error->text[0] != '\0' ? error->text
                                                                 : trib_status_text(status));
}

void trib_fleet_feed(struct trib_fleet *fleet, struct trib_event *event) {
    struct trib_event tick;
    for (;;) {
        event->now = fleet->now;
        trib_run_step(fleet->run, event, fleet->effects);
        for (uint32_t i = 0; i < fleet->effects->count; i++) {
            trib_fleet_carry(fleet, &fleet->effects->items[i]);
        }
        if (fleet->effects->count == 0 || trib_run_deadline(fleet->run) > fleet->now) {
            return;
        }
        /* More than fits into one step, or a lease that ends just now. */
        tick = (struct trib_event){.kind = TRIB_EVENT_TICK};
        event = &tick;
    }
}

void trib_fleet_settle(struct trib_fleet *fleet) {
    while (trib_fleet_answer(fleet)) {
    }
}

void trib_fleet_put(struct trib_fleet *fleet, trib_time_ns at, enum trib_moment_kind kind,
                    uint32_t place) {
    uint64_t what = (uint64_t)fleet->places[place].generation << 32 |
                    (uint64_t)kind << TRIB_MOMENT_PLACE_BITS | place;
    if (!trib_calendar_put(&fleet->calendar, at, what)) {
        trib_fleet_fail(fleet, TRIB_EMEMORY, NULL);
    }
}

/* --- the loop ----------------------------------------------------------------------------------- */

static void end(struct trib_fleet *fleet, const char *why, const char *more) {
    fleet->is_over = true;
    trib_words(fleet->report->ending, sizeof fleet->report->ending, "%s%s", why, more);
}

/* Neither the run nor any client has anything to do, ever. */
static void stall(struct trib_fleet *fleet) {
    struct trib_run_status status;
    trib_run_status(fleet->run, fleet->now, &status);
    end(fleet, "nothing more can happen: ", status.waiting_for);
}

static bool may_go_on(struct trib_fleet *fleet) {
    const struct trib_fleet_options *options = fleet->options;
    const struct trib_fleet_progress progress = {
        .version = fleet->model.version,
        .now = fleet->now,
        .updates_sent = fleet->report->updates_sent,
    };
    return options->progress == NULL || options->progress(options->context, &progress);
}

/* A run with no end of its own that gets no updates any more, such as one whose clients all fall
 * silent, would go on for ever. False: this is one. */
static bool is_alive(struct trib_fleet *fleet) {
    const uint64_t places = fleet->place_count;
    if (fleet->spec->stop.after > 0) {
        return true;
    }
    if (fleet->lone_count > LONE_MAX) {
        stall(fleet);
    } else if (fleet->silent_count > SILENT_MAX + 100 * places) {
        fleet->is_over = true;
        trib_words(fleet->report->ending, sizeof fleet->report->ending,
                   "%" PRIu64 " tasks in a row fell silent: lower the drop-out, or set stop.after",
                   fleet->silent_count);
    } else if (fleet->idle_count > IDLE_MAX + 10000 * places) {
        fleet->is_over = true;
        trib_words(fleet->report->ending, sizeof fleet->report->ending,
                   "no update has come for the last %" PRIu64
                   " things that happened, up to day %" PRId64
                   "; a run that is to wait longer needs stop.after",
                   fleet->idle_count, fleet->now / (86400 * TRIB_SECOND));
    }
    return !fleet->is_over;
}

/* What comes first; the run's own deadline before a client of the same time, which is late. */
static void play_next(struct trib_fleet *fleet) {
    trib_time_ns next = trib_calendar_next(&fleet->calendar);
    trib_time_ns deadline = trib_run_deadline(fleet->run);
    fleet->idle_count++;
    fleet->lone_count = next == TRIB_TIME_NEVER ? fleet->lone_count + 1 : 0;
    if (!is_alive(fleet)) {
        return;
    }
    if (next == TRIB_TIME_NEVER && deadline == TRIB_TIME_NEVER) {
        stall(fleet);
    } else if (deadline <= next) {
        struct trib_event event = {.kind = TRIB_EVENT_TICK};
        fleet->now = deadline > fleet->now ? deadline : fleet->now;
        trib_fleet_feed(fleet, &event);
    } else {
        struct trib_moment moment;
        (void)trib_calendar_take(&fleet->calendar, &moment);
        fleet->now = moment.at;
        trib_fleet_places_moment(fleet, &moment);
    }
    trib_fleet_settle(fleet);
}

static void play(struct trib_fleet *fleet) {
    struct trib_event event = {.kind = TRIB_EVENT_MODEL};
    trib_fleet_places_open(fleet); /* first, so that a cohort is drawn from everybody */
    trib_fleet_feed(fleet, &event);
    trib_fleet_settle(fleet);
    for (uint64_t moment = 0; !fleet->is_over; moment++) {
        if (moment % MOMENTS_PER_LOOK == 0 && !may_go_on(fleet)) {
            end(fleet, "interrupted", "");
            break;
        }
        play_next(fleet);
    }
    trib_fleet_tell_point(fleet);
    struct trib_run_status status;
    trib_run_status(fleet->run, fleet->now, &status);
    fleet->report->has_best = status.has_best;
    fleet->report->best = status.best;
    fleet->report->best_metric = status.best_metric;
}

/* --- birth and end ------------------------------------------------------------------------------ */

/* Tensors that clients send, and how. */
static enum trib_status make_update_layout(struct trib_fleet *fleet) {
    enum trib_status status = trib_work_update_layout(fleet->env, fleet->model.layout,
                                                      &fleet->change_layout, fleet->error);
    if (status == TRIB_OK) {
        status = trib_packing_layout(&fleet->packing, fleet->env, fleet->change_layout,
                                     &fleet->update_layout, fleet->error);
    }
    return status;
}

/* What every client sends where nothing is trained: made and checked once. */
static enum trib_status make_zero(struct trib_fleet *fleet) {
    struct trib_fleet_update *zero = &fleet->zero;
    const size_t count = (size_t)fleet->change_layout->element_count;
    float *nothing = trib_allocate(fleet->env, count, sizeof *nothing);
    zero->trained = (struct trib_work_trained){.examples = 1, .loss = NAN};
    zero->is_trained = true;
    zero->codec = trib_packing_codec(&fleet->packing);
    zero->body = nothing == NULL
                     ? NULL
                     : trib_packing_encode(&fleet->packing, fleet->env, fleet->change_layout,
                                           fleet->update_layout, nothing);
    trib_release(fleet->env, nothing, count, sizeof *nothing);
    return zero->body == NULL ? TRIB_EMEMORY : trib_fleet_update_check(fleet, zero);
}

static enum trib_status make_hands(struct trib_fleet *fleet) {
    const struct trib_work *work = fleet->work;
    uint32_t threads = fleet->options->threads;
    uint32_t part_count = work->evaluate == NULL ? 0 : work->evaluate_parts;
    fleet->trained = trib_allocate(fleet->env, threads, sizeof *fleet->trained);
    fleet->scores = trib_allocate(fleet->env, part_count + 1, sizeof *fleet->scores);
    fleet->score_errors = trib_allocate(fleet->env, part_count + 1, sizeof *fleet->score_errors);
    if (fleet->trained == NULL || fleet->scores == NULL || fleet->score_errors == NULL) {
        return TRIB_EMEMORY;
    }
    for (uint32_t hand = 0; hand < threads; hand++) {
        fleet->trained[hand] = trib_allocate(fleet->env, (size_t)fleet->model.layout->element_count,
                                             sizeof **fleet->trained);
        if (fleet->trained[hand] == NULL) {
            return TRIB_EMEMORY;
        }
    }
    return trib_hands_new(fleet->env, threads, fleet->place_count + part_count + 1,
                          AHEAD_PER_HAND * threads, trib_fleet_job, fleet, &fleet->hands);
}

/* Versions may have more tensors than the model that somebody brings: they are zero at first. */
static enum trib_status make_model(struct trib_fleet *fleet) {
    struct trib_layout *layout;
    struct trib_block *model = fleet->options->model, *first;
    const struct trib_source source = trib_source_of_memory(model->bytes, model->byte_count);
    enum trib_status status =
        trib_model_import(fleet->env, fleet->spec, &source, &layout, &first, fleet->error);
    if (status == TRIB_OK) {
        status =
            trib_model_init(&fleet->model, fleet->env, fleet->spec, layout, first, 0, fleet->error);
    }
    trib_block_unref(first);
    return status;
}

static enum trib_status make_courses(struct trib_fleet *fleet) {
    const struct trib_train_who nobody = {"", 0, 0};
    const uint32_t site_count = fleet->spec->site_count;
    enum trib_status status = TRIB_OK;
    fleet->courses = trib_allocate(fleet->env, site_count + 1, sizeof *fleet->courses);
    for (uint32_t site = 0; status == TRIB_OK && fleet->courses != NULL && site <= site_count;
         site++) {
        struct trib_fleet_course *course = &fleet->courses[site];
        struct trib_train_settings settings;
        course->settings = trib_work_settings(fleet->env, fleet->spec, site);
        if (course->settings == NULL) {
            return TRIB_EMEMORY;
        }
        status = trib_train_settings_read(course->settings, &nobody, &settings, fleet->error);
        if (status == TRIB_OK) {
            course->is_until_called = settings.is_until_called;
            course->steps = settings.steps < UINT32_MAX ? (uint32_t)settings.steps : UINT32_MAX;
        }
    }
    return fleet->courses == NULL ? TRIB_EMEMORY : status;
}

static enum trib_status make(struct trib_fleet *fleet) {
    const struct trib_run_limits limits = {.accumulators = TRIB_ACCUMULATORS_MAX};
    trib_calendar_init(&fleet->calendar, fleet->env);
    fleet->answer_capacity = ANSWERS_FIRST;
    fleet->answers = trib_allocate(fleet->env, ANSWERS_FIRST, sizeof *fleet->answers);
    fleet->effects = trib_allocate(fleet->env, 1, sizeof *fleet->effects);
    fleet->slots =
        trib_allocate(fleet->env, fleet->spec->updates_pending_max, sizeof *fleet->slots);
    fleet->run = trib_run_new(fleet->env, fleet->spec, &limits);
    if (fleet->answers == NULL || fleet->effects == NULL || fleet->slots == NULL ||
        fleet->run == NULL || !trib_fleet_places_init(fleet)) {
        return TRIB_EMEMORY;
    }
    enum trib_status status = make_courses(fleet);
    if (status == TRIB_OK) {
        status = make_model(fleet);
    }
    if (status == TRIB_OK) {
        status = make_update_layout(fleet);
    }
    if (status == TRIB_OK) {
        status = make_zero(fleet);
    }
    return status == TRIB_OK ? make_hands(fleet) : status;
}

static void destroy(struct trib_fleet *fleet) {
    const struct trib_env *env = fleet->env;
    trib_fleet_places_end(fleet);
    trib_hands_free(fleet->hands);
    for (uint32_t slot = 0; fleet->slots != NULL && slot < fleet->spec->updates_pending_max;
         slot++) {
        trib_fleet_update_free(fleet, fleet->slots[slot]);
    }
    trib_fleet_update_free(fleet, fleet->combined);
    trib_packing_codec(&fleet->packing)->free(fleet->zero.update);
    trib_block_unref(fleet->zero.body);
    trib_block_unref(fleet->due);
    for (uint32_t hand = 0; fleet->trained != NULL && hand < fleet->options->threads; hand++) {
        if (fleet->trained[hand] != NULL) {
            trib_release(env, fleet->trained[hand], (size_t)fleet->model.layout->element_count,
                         sizeof **fleet->trained);
        }
    }
    uint32_t part_count = fleet->work->evaluate == NULL ? 0 : fleet->work->evaluate_parts;
    trib_release(env, fleet->trained, fleet->options->threads, sizeof *fleet->trained);
    trib_release(env, fleet->scores, part_count + 1, sizeof *fleet->scores);
    trib_release(env, fleet->score_errors, part_count + 1, sizeof *fleet->score_errors);
    for (uint32_t site = 0; fleet->courses != NULL && site <= fleet->spec->site_count; site++) {
        trib_text_release(env, fleet->courses[site].settings);
    }
    trib_release(env, fleet->courses, fleet->spec->site_count + 1, sizeof *fleet->courses);
    trib_layout_free(fleet->update_layout);
    trib_layout_free(fleet->change_layout);
    trib_model_deinit(&fleet->model);
    trib_run_free(fleet->run);
    trib_release(env, fleet->slots, fleet->spec->updates_pending_max, sizeof *fleet->slots);
    trib_release(env, fleet->effects, 1, sizeof *fleet->effects);
    trib_release(env, fleet->answers, fleet->answer_capacity, sizeof *fleet->answers);
    trib_calendar_deinit(&fleet->calendar);
}

/* Whoever combines must be there, and be wanted. */
static enum trib_status check_combiner(const struct trib_fleet_options *options,
                                       struct trib_error *error) {
    bool is_external = options->spec->strategy.combiner == TRIB_COMBINER_EXTERNAL;
    bool is_there = options->work->combine != NULL;
    if (is_external && !is_there) {
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.combiner: external, and nobody combines; sum works, or "
                              "from Python trib.simulate(..., combine=rule)");
    }
    if (is_there && !is_external) {
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.combiner: sum leaves nothing to a rule of one's own; "
                              "external works");
    }
    return TRIB_OK;
}

static enum trib_status check_options(const struct trib_fleet_options *options,
                                      struct trib_error *error) {
    const struct trib_spec_stop *stop = &options->spec->stop;
    const struct trib_work *work = options->work;
    const struct trib_spec_evaluate *evaluate = &options->spec->evaluate;
    bool can_evaluate =
        evaluate->every > 0 && ((work->evaluate != NULL && evaluate->on_evaluators) ||
                                (work->evaluate_own != NULL && evaluate->on_clients));
    bool has_metric_rule = !isnan(stop->target) || stop->patience > 0;
    TRIB_ASSERT(options->threads > 0 && options->threads <= TRIB_HANDS_MAX);
    bool ends_itself = options->spec->strategy.tempo == TRIB_TEMPO_SUM;
    const struct trib_spec_strategy *strategy = &options->spec->strategy;
    if (strategy->companions != 0 && work->train != NULL && !work->has_companions) {
        return trib_error_set(
            error, TRIB_EINVALID,
            "strategy.preset: %s needs clients that send more than a model, which "
            "the native trainers do; fedavg works",
            strategy->preset);
    }
    bool is_rounded = options->packing != NULL && options->packing->kind != TRIB_PACKING_DENSE;
    if (is_rounded && (strategy->companions & TRIB_COMPANION_CONTROL) != 0) {
        return trib_error_set(error, TRIB_EINVALID,
                              "codec: %s needs what clients send and what they keep to be the same "
                              "numbers; dense works",
                              strategy->preset);
    }
    if (strategy->population > 0 && strategy->population < options->population->clients) {
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.population: %" PRIu32 ", and there are %" PRIu64
                              " clients; population %" PRIu64 " works",
                              strategy->population, options->population->clients,
                              options->population->clients);
    }
    uint32_t row_count = options->population->attributes.row_count, row = 0;
    while (row < row_count && !trib_fleet_may_ask(options, row)) {
        row++;
    }
    if (row == row_count && !(row_count == 0 && trib_fleet_may_ask(options, 0))) {
        return trib_error_set(error, TRIB_EINVALID,
                              "select, strategy.weights: nobody of this population may be asked; "
                              "say more with attributes");
    }
    if (stop->versions == 0 && stop->after == 0 && !(has_metric_rule && can_evaluate) &&
        !ends_itself) {
        return trib_error_set(error, TRIB_EINVALID,
                              has_metric_rule
                                  ? "the run would never stop: stop.target and stop.patience need "
                                    "an evaluation on test data (or set stop.versions, stop.after)"
                                  : "the run would never stop: set stop.versions or stop.after");
    }
    return check_combiner(options, error);
}

enum trib_status trib_fleet_run(const struct trib_env *env,
                                const struct trib_fleet_options *options,
                                struct trib_fleet_report *report, struct trib_error *error) {
    *report = (struct trib_fleet_report){0};
    enum trib_status status = check_options(options, error);
    if (options->last != NULL) {
        *options->last = NULL;
    }
    if (status != TRIB_OK) {
        return status;
    }
    struct trib_fleet fleet = {
        .env = env,
        .options = options,
        .spec = options->spec,
        .population = options->population,
        .work = options->work,
        .packing = options->packing != NULL ? *options->packing : (struct trib_packing){0},
        .error = error,
        .report = report,
    };
    status = make(&fleet);
    if (status != TRIB_OK) {
        trib_fleet_fail(&fleet, status, error);
    } else {
        fleet.point = (struct trib_fleet_point){.loss = NAN,
                                                .test_accuracy = NAN,
                                                .test_loss = NAN,
                                                .own_accuracy = NAN,
                                                .own_loss = NAN,
                                                .digest = fleet.model.digest};
        play(&fleet);
    }
    if (options->last != NULL) {
        *options->last = fleet.status == TRIB_OK ? trib_block_ref(fleet.model.current) : NULL;
    }
    report->ended_at = fleet.now;
    report->staleness =
        report->updates_counted > 0 ? fleet.staleness_total / (double)report->updates_counted : 0.0;
    destroy(&fleet);
    return fleet.status;
}
