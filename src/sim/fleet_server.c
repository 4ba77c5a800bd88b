/* fleet_server.c - the node: effects of the heart are carried out at once.
 *
 * What the daemon does on workers and disks happens here between two moments of virtual time, in
 * the order in which the heart asked for it. */
#include "sim/fleet_parts.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/words.h"
#include "codec/codec.h"

static void owe(struct trib_fleet *fleet, const struct trib_fleet_answer *answer) {
    if (fleet->answer_count == fleet->answer_capacity) {
        size_t capacity = 2 * fleet->answer_capacity;
        struct trib_fleet_answer *grown = trib_allocate(fleet->env, capacity, sizeof *grown);
        if (grown == NULL) {
            trib_fleet_fail(fleet, TRIB_EMEMORY, NULL);
            return;
        }
        for (size_t i = 0; i < fleet->answer_count; i++) {
            grown[i] = fleet->answers[(fleet->first_answer + i) % fleet->answer_capacity];
        }
        trib_release(fleet->env, fleet->answers, fleet->answer_capacity, sizeof *grown);
        fleet->answers = grown;
        fleet->answer_capacity = capacity;
        fleet->first_answer = 0;
    }
    size_t last = fleet->first_answer + fleet->answer_count++;
    fleet->answers[last % fleet->answer_capacity] = *answer;
}

/* The request of a place is its number + 1. */
static uint32_t place_of(const struct trib_effect *effect) {
    return (uint32_t)effect->request - 1;
}

/* --- answers to clients ------------------------------------------------------------------------- */

/* Evaluations take no time: they are done by all hands, and answered in their order. */
static void begin_evaluation(struct trib_fleet *fleet, uint32_t number, trib_version version) {
    struct trib_place *place = &fleet->places[number];
    bool is_evaluator = number == fleet->place_count;
    bool is_possible = is_evaluator || fleet->work->evaluate_own != NULL;
    owe(fleet, &(struct trib_fleet_answer){.kind = is_possible ? TRIB_EVENT_EVALUATION
                                                               : TRIB_EVENT_DECLINE,
                                           .place = number,
                                           .version = version});
    if (is_possible && !is_evaluator) {
        TRIB_ASSERT(version == fleet->model.version || version == fleet->due_version);
        place->evaluation = trib_allocate(fleet->env, 1, sizeof *place->evaluation);
        if (place->evaluation == NULL) {
            trib_fleet_fail(fleet, TRIB_EMEMORY, NULL);
            return;
        }
        place->base_block =
            trib_block_ref(version == fleet->model.version ? fleet->model.current : fleet->due);
        trib_hands_give(fleet->hands, number, fleet->now);
    }
}

static void carry_task(struct trib_fleet *fleet, const struct trib_effect *effect) {
    const struct trib_task *task = &effect->task;
    uint32_t place = place_of(effect);
    switch (task->kind) {
    case TRIB_TASK_TRAIN:
        trib_fleet_places_begin(fleet, place, task);
        break;
    case TRIB_TASK_EVALUATE:
        memcpy(fleet->places[place].task, task->id, sizeof task->id);
        begin_evaluation(fleet, place, task->version);
        break;
    case TRIB_TASK_WAIT: /* only a run that has no memory for a poll says so: nobody asks twice */
    case TRIB_TASK_STOP:
        break;
    }
}

static void carry_refuse(struct trib_fleet *fleet, const struct trib_effect *effect) {
    (void)effect;
    fleet->report->updates_refused++;
}

static void carry_nothing(struct trib_fleet *fleet, const struct trib_effect *effect) {
    (void)fleet, (void)effect;
}

/* --- updates ------------------------------------------------------------------------------------ */

static void carry_spool(struct trib_fleet *fleet, const struct trib_effect *effect) {
    struct trib_place *place = &fleet->places[place_of(effect)];
    struct trib_fleet_update *update = place->update;
    enum trib_status status = update->status;
    place->update = NULL;
    update->base = place->base;
    fleet->slots[effect->slot] = status == TRIB_OK ? update : NULL;
    owe(fleet, &(struct trib_fleet_answer){
                   .kind = TRIB_EVENT_SPOOLED, .slot = effect->slot, .status = status});
    if (status == TRIB_OK) {
        trib_fleet_places_keep(fleet, update);
    } else {
        trib_fleet_update_free(fleet, update);
    }
}

/* Version and staleness are final only now: an update may have been held. */
void trib_fleet_tally(struct trib_fleet *fleet, trib_version version, uint64_t staleness,
                      const struct trib_fleet_update *update) {
    struct trib_fleet_tally *tally = &fleet->tallies[version - fleet->model.version - 1];
    bool has_loss = !isnan(update->trained.loss);
    tally->updates++;
    tally->staleness += (double)staleness;
    tally->losses += has_loss;
    tally->loss += has_loss ? update->trained.loss : 0.0;
}

enum trib_status trib_fleet_fold(struct trib_fleet *fleet, uint32_t accumulator,
                                 const struct trib_fleet_update *update, uint64_t weight) {
    const struct trib_weighted_update weighted = {update->codec, update->update, weight,
                                                  update->base};
    enum trib_status status = trib_model_count(&fleet->model, accumulator, &weighted);
    return status == TRIB_OK ? trib_model_fold(&fleet->model, accumulator, &weighted, 1, 0,
                                               fleet->model.layout->element_count)
                             : status;
}

static void carry_fold(struct trib_fleet *fleet, const struct trib_effect *effect) {
    struct trib_fleet_update *update = fleet->slots[effect->slot];
    trib_fleet_tally(fleet, effect->version, effect->staleness, update);
    /* The weight is the effect's: `zero` is in many slots at once. */
    enum trib_status status = trib_fleet_fold(fleet, effect->accumulator, update, effect->weight);
    owe(fleet, &(struct trib_fleet_answer){
                   .kind = TRIB_EVENT_FOLDED, .slot = effect->slot, .status = status});
    fleet->slots[effect->slot] = NULL;
    trib_fleet_update_free(fleet, update);
}

/* --- versions ----------------------------------------------------------------------------------- */

static void carry_combine(struct trib_fleet *fleet, const struct trib_effect *effect) {
    if (trib_fleet_combine(fleet, effect->version)) {
        owe(fleet,
            &(struct trib_fleet_answer){.kind = TRIB_EVENT_COMBINED, .version = effect->version});
    }
}

static void carry_merge(struct trib_fleet *fleet, const struct trib_effect *effect) {
    struct trib_model *model = &fleet->model;
    struct trib_error error = {0};
    enum trib_status status = fleet->combined == NULL
                                  ? TRIB_OK
                                  : trib_fleet_fold(fleet, effect->accumulator, fleet->combined, 1);
    if (status == TRIB_OK) {
        status = trib_model_merge_begin(model, effect->accumulator);
    }
    if (status == TRIB_OK) {
        status = trib_model_merge_range(model, 0, model->layout->element_count, &error);
    }
    if (status == TRIB_OK) {
        trib_model_merge_end(model);
    } else {
        trib_fleet_fail(fleet, status, &error);
    }
    owe(fleet, &(struct trib_fleet_answer){
                   .kind = TRIB_EVENT_MERGED, .version = effect->version, .status = status});
}

static void carry_persist(struct trib_fleet *fleet, const struct trib_effect *effect) {
    owe(fleet,
        &(struct trib_fleet_answer){.kind = TRIB_EVENT_PERSISTED, .version = effect->version});
}

void trib_fleet_tell_point(struct trib_fleet *fleet) {
    if (fleet->options->point != NULL) {
        fleet->options->point(fleet->options->context, &fleet->point);
    }
}

static void carry_publish(struct trib_fleet *fleet, const struct trib_effect *effect) {
    trib_model_advance(&fleet->model);
    TRIB_ASSERT(fleet->model.version == effect->version);
    trib_fleet_tell_point(fleet);
    struct trib_fleet_report *report = fleet->report;
    const struct trib_fleet_tally tally = fleet->tallies[0];
    fleet->tallies[0] = fleet->tallies[1];
    fleet->tallies[1] = (struct trib_fleet_tally){0};
    fleet->point = (struct trib_fleet_point){
        .version = effect->version,
        .at = fleet->now,
        .updates = tally.updates,
        .updates_sent = report->updates_sent,
        .bytes_down = report->bytes_down,
        .bytes_up = report->bytes_up,
        .staleness = tally.staleness / (double)tally.updates,
        .loss = tally.losses > 0 ? tally.loss / (double)tally.losses : (double)NAN,
        .test_accuracy = NAN,
        .test_loss = NAN,
        .own_accuracy = NAN,
        .own_loss = NAN,
        .digest = fleet->model.digest,
    };
    fleet->own = (struct trib_work_score){0};
    uint32_t every = fleet->spec->evaluate.every;
    if (every > 0 && effect->version % every == 0) { /* clients that train may come to it late */
        trib_block_unref(fleet->due);
        fleet->due = trib_block_ref(fleet->model.current);
        fleet->due_version = effect->version;
    }
    report->version = effect->version;
    report->updates_counted += tally.updates;
    fleet->staleness_total += tally.staleness;
}

static void carry_record(struct trib_fleet *fleet, const struct trib_effect *effect) {
    owe(fleet, &(struct trib_fleet_answer){.kind = TRIB_EVENT_RECORDED, .record = effect->record});
}

static void carry_state(struct trib_fleet *fleet, const struct trib_effect *effect) {
    struct trib_fleet_report *report = fleet->report;
    if (effect->state == TRIB_RUN_RUNNING) {
        return;
    }
    fleet->is_over = true;
    report->is_complete = effect->state == TRIB_RUN_STOPPED;
    trib_words(report->ending, sizeof report->ending, "%s: %s", trib_run_state_name(effect->state),
               effect->text);
}

static void (*const carriers[])(struct trib_fleet *fleet, const struct trib_effect *effect) = {
    [TRIB_EFFECT_JOINED] = carry_nothing,    [TRIB_EFFECT_TASK] = carry_task,
    [TRIB_EFFECT_DONE] = carry_nothing,      [TRIB_EFFECT_REFUSE] = carry_refuse,
    [TRIB_EFFECT_RECEIVE] = carry_nothing,   [TRIB_EFFECT_COMPARE] = carry_nothing,
    [TRIB_EFFECT_SPOOL] = carry_spool,       [TRIB_EFFECT_ACKNOWLEDGE] = carry_nothing,
    [TRIB_EFFECT_FOLD] = carry_fold,         [TRIB_EFFECT_MERGE] = carry_merge,
    [TRIB_EFFECT_PERSIST] = carry_persist,   [TRIB_EFFECT_PUBLISH] = carry_publish,
    [TRIB_EFFECT_RECORD] = carry_record,     [TRIB_EFFECT_BEST] = carry_nothing,
    [TRIB_EFFECT_EVALUATED] = carry_nothing, [TRIB_EFFECT_STATE] = carry_state,
    [TRIB_EFFECT_SET_ASIDE] = carry_nothing, [TRIB_EFFECT_COMBINE] = carry_combine,
};

void trib_fleet_carry(struct trib_fleet *fleet, const struct trib_effect *effect) {
    TRIB_ASSERT(effect->kind < sizeof carriers / sizeof *carriers);
    carriers[effect->kind](fleet, effect);
}

/* --- the evaluator ------------------------------------------------------------------------------ */

/* The current version on the held-out data, by all hands; the parts are added up in their order. */
static bool score(struct trib_fleet *fleet, struct trib_work_score *sum) {
    uint32_t part_count = fleet->work->evaluate_parts;
    fleet->scored = fleet->model.current;
    for (uint32_t part = 0; part < part_count; part++) {
        fleet->score_errors[part] = (struct trib_error){0};
        trib_hands_give(fleet->hands, fleet->place_count + part, fleet->now);
    }
    *sum = (struct trib_work_score){0};
    for (uint32_t part = 0; part < part_count; part++) {
        trib_hands_take(fleet->hands, fleet->place_count + part);
        const struct trib_error *error = &fleet->score_errors[part];
        if (error->status != TRIB_OK) {
            trib_fleet_fail(fleet, error->status, error);
        }
        sum->examples += fleet->scores[part].examples;
        sum->correct += fleet->scores[part].correct;
        sum->loss += fleet->scores[part].loss;
    }
    return fleet->status == TRIB_OK;
}

/* What a client has found on data of its own. */
static bool score_own(struct trib_fleet *fleet, const struct trib_fleet_answer *answer,
                      struct trib_work_score *score) {
    struct trib_place *place = &fleet->places[answer->place];
    if (place->evaluation == NULL) {
        return false; /* there was no memory for it */
    }
    trib_hands_take(fleet->hands, answer->place);
    const struct trib_fleet_evaluation done = *place->evaluation;
    trib_fleet_places_end_evaluation(fleet, place);
    if (done.error.status != TRIB_OK) {
        trib_fleet_fail(fleet, done.error.status, &done.error);
        return false;
    }
    *score = done.score;
    fleet->report->own_reports++;
    if (answer->version == fleet->model.version) {
        struct trib_fleet_point *point = &fleet->point;
        fleet->own.examples += score->examples;
        fleet->own.correct += score->correct;
        fleet->own.loss += score->loss;
        point->own_reports++;
        point->own_accuracy = fleet->own.correct / (double)fleet->own.examples;
        point->own_loss = fleet->own.loss / (double)fleet->own.examples;
    }
    return true;
}

static bool score_test(struct trib_fleet *fleet, const struct trib_fleet_answer *answer,
                       struct trib_work_score *sum) {
    struct trib_fleet_point *point = &fleet->point;
    TRIB_ASSERT(answer->version == fleet->model.version); /* it reports at once */
    if (!score(fleet, sum)) {
        return false;
    }
    point->is_evaluated = true;
    point->test_accuracy = sum->correct / (double)sum->examples;
    point->test_loss = sum->loss / (double)sum->examples;
    return true;
}

static void answer_evaluation(struct trib_fleet *fleet, const struct trib_fleet_answer *answer) {
    struct trib_work_score sum;
    bool is_evaluator = answer->place == fleet->place_count;
    if (!(is_evaluator ? score_test : score_own)(fleet, answer, &sum)) {
        return;
    }
    const char *metric = fleet->spec->evaluate.metric;
    double total = strcmp(metric, "accuracy") == 0 ? sum.correct
                   : strcmp(metric, "loss") == 0   ? sum.loss
                                                   : (double)NAN;
    double value = total / (double)sum.examples;
    struct trib_event event = {
        .kind = TRIB_EVENT_EVALUATION,
        .request = answer->place + 1,
        .client = fleet->places[answer->place].name,
        .id = fleet->places[answer->place].task,
        .version = answer->version,
        .examples = sum.examples,
        .has_metric = isfinite(value),
        .metric = isfinite(value) ? value : 0.0,
    };
    trib_fleet_feed(fleet, &event);
    /* After its report is on record: until then the same version would be asked of it again. */
    owe(fleet, &(struct trib_fleet_answer){.kind = TRIB_EVENT_ASK, .place = answer->place});
}

/* --- debts -------------------------------------------------------------------------------------- */

bool trib_fleet_answer(struct trib_fleet *fleet) {
    if (fleet->answer_count == 0) {
        return false;
    }
    const struct trib_fleet_answer answer = fleet->answers[fleet->first_answer];
    fleet->first_answer = (fleet->first_answer + 1) % fleet->answer_capacity;
    fleet->answer_count--;
    struct trib_event event = {
        .kind = answer.kind,
        .slot = answer.slot,
        .status = answer.status,
        .version = answer.version,
        .record = answer.record,
    };
    switch (answer.kind) {
    case TRIB_EVENT_SPOOLED:
        if (fleet->slots[answer.slot] != NULL) {
            event.digest = fleet->slots[answer.slot]->digest;
        }
        trib_fleet_feed(fleet, &event);
        break;
    case TRIB_EVENT_DECLINE:
        trib_fleet_places_decline(fleet, answer.place);
        break;
    case TRIB_EVENT_ASK:
        trib_fleet_places_ask(fleet, answer.place);
        break;
    case TRIB_EVENT_EVALUATION:
        answer_evaluation(fleet, &answer);
        break;
    default:
        trib_fleet_feed(fleet, &event);
    }
    return true;
}
