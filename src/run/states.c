/* states.c - pause, resume, stop and failure: every change of state is durable before it holds.
 *
 * A stop waits until nothing of any update is under way; a merge that has begun is finished, no
 * other begins. What was acknowledged and is not counted then is dropped by the very record that
 * stops the run. */
#include "base/words.h"
#include "run/heart.h"

static const bool allowed[][TRIB_RUN_FAILED + 1] = {
    [TRIB_RUN_AWAITING_MODEL] =
        {[TRIB_RUN_RUNNING] = true, [TRIB_RUN_STOPPED] = true, [TRIB_RUN_FAILED] = true},
    [TRIB_RUN_RUNNING] = {[TRIB_RUN_RUNNING] = true, /* a resume that only forgives */
                          [TRIB_RUN_PAUSED] = true,
                          [TRIB_RUN_STOPPED] = true,
                          [TRIB_RUN_FAILED] = true},
    [TRIB_RUN_PAUSED] =
        {[TRIB_RUN_RUNNING] = true, [TRIB_RUN_STOPPED] = true, [TRIB_RUN_FAILED] = true},
    [TRIB_RUN_STOPPED] = {false},
    [TRIB_RUN_FAILED] = {false},
};

static void move(struct trib_run *run, enum trib_run_state to, const char *reason) {
    TRIB_ASSERT(allowed[run->state][to]);
    run->ran_for = trib_states_ran_for(run, run->now);
    run->state = to;
    run->state_since = run->now;
    trib_words(run->reason, sizeof run->reason, "%s", reason);
    struct trib_effect *effect = trib_heart_emit(run, TRIB_EFFECT_STATE);
    effect->state = to;
    effect->version = run->version;
    trib_words(effect->text, sizeof effect->text, "%s", reason);
}

trib_time_ns trib_states_ran_for(const struct trib_run *run, trib_time_ns now) {
    trib_time_ns since = run->state == TRIB_RUN_RUNNING ? now - run->state_since : 0;
    return run->ran_for + since;
}

bool trib_states_is_stopping(const struct trib_run *run) {
    return run->ending.is_set;
}

void trib_states_model(struct trib_run *run) {
    run->has_model = true;
    if (run->state == TRIB_RUN_AWAITING_MODEL)
        move(run, TRIB_RUN_RUNNING, "");
}

void trib_states_fail(struct trib_run *run, enum trib_status status, const char *format, ...) {
    if (run->state == TRIB_RUN_FAILED)
        return; /* The first failure tells most. */
    char what[96], reason[96];
    va_list arguments;
    va_start(arguments, format);
    trib_words_list(what, sizeof what, format, arguments);
    va_end(arguments);
    trib_words(reason, sizeof reason, "%.60s: %s", what, trib_status_text(status));
    move(run, TRIB_RUN_FAILED, reason);
    if (run->ending.request) {
        trib_heart_let_go(run, run->ending.request);
        trib_heart_refuse(run, run->ending.request, NULL, TRIB_REFUSE_IO, "%s", reason);
    }
    run->ending = (struct trib_ending){0};
}

/* --- changes ---------------------------------------------------------------------------------- */

static void begin_change(struct trib_run *run, enum trib_run_state to, const char *reason,
                         trib_request request) {
    TRIB_ASSERT(run->change.record == 0);
    run->change = (struct trib_change){.record = ++run->records, .to = to, .request = request};
    trib_words(run->change.reason, sizeof run->change.reason, "%s", reason);
    struct trib_effect *effect = trib_heart_emit(run, TRIB_EFFECT_RECORD);
    effect->record_kind = TRIB_RECORD_STATE;
    effect->record = run->change.record;
    effect->request = request;
    effect->state = to;
    effect->version = run->version;
    trib_words(effect->text, sizeof effect->text, "%s", reason);
}

void trib_states_pause(struct trib_run *run, const char *format, ...) {
    char reason[96];
    va_list arguments;
    va_start(arguments, format);
    trib_words_list(reason, sizeof reason, format, arguments);
    va_end(arguments);
    begin_change(run, TRIB_RUN_PAUSED, reason, 0);
}

void trib_states_forgive_all(struct trib_run *run) {
    for (uint32_t index = 0; index < run->roster.count; index++) {
        struct trib_client *client = &run->roster.clients[index];
        client->refusals = 0;
        trib_roster_set_aside(&run->roster, client, false);
    }
    run->round.may_fill = true;
}

static void apply_change(struct trib_run *run, const struct trib_change *change) {
    trib_time_ns state_lasted = run->now - run->state_since;
    if (change->to == TRIB_RUN_STOPPED) {
        trib_buffers_drop_all(run);
        run->ending = (struct trib_ending){0};
        trib_round_end(run);
    }
    if (change->to == TRIB_RUN_RUNNING) {
        if (run->state == TRIB_RUN_PAUSED)
            trib_round_postpone(run, state_lasted);
        trib_states_forgive_all(run);
    }
    move(run, change->to, change->reason);
    trib_heart_done(run, change->request);
    trib_roster_call_all(&run->roster); /* There may be tasks again, or none for ever. */
}

void trib_states_recorded(struct trib_run *run, const struct trib_event *event) {
    TRIB_ASSERT(run->change.record != 0 && run->change.record == event->record);
    struct trib_change change = run->change;
    run->change.record = 0;
    trib_heart_let_go(run, change.request);
    if (event->status != TRIB_OK) {
        trib_heart_refuse(run, change.request, NULL, TRIB_REFUSE_IO, "record the state: %s",
                          trib_status_text(event->status));
        trib_states_fail(run, event->status, "record the state");
    } else if (run->state == TRIB_RUN_FAILED) {
        trib_heart_refuse(run, change.request, NULL, TRIB_REFUSE_STATE, "run failed: %s",
                          run->reason);
    } else {
        apply_change(run, &change);
    }
}

/* --- the operator --------------------------------------------------------------------------- */

static void refuse_state(struct trib_run *run, trib_request request) {
    trib_heart_refuse(run, request, NULL, TRIB_REFUSE_STATE, "run is %s",
                      run->ending.is_set ? "stopping" : trib_run_state_name(run->state));
}

/* True: the request waits for a record, or is refused because there is no room to wait. */
static bool hold(struct trib_run *run, trib_request request) {
    if (trib_heart_hold(run, request, TRIB_HOLDER_STATE, 0))
        return true;
    trib_heart_refuse(run, request, NULL, TRIB_REFUSE_BUSY, "no memory for a request");
    return false;
}

static void control_pause(struct trib_run *run, trib_request request) {
    if (run->state == TRIB_RUN_PAUSED)
        trib_heart_done(run, request);
    else if (run->state != TRIB_RUN_RUNNING || run->ending.is_set)
        refuse_state(run, request);
    else if (hold(run, request))
        begin_change(run, TRIB_RUN_PAUSED, "by the operator", request);
}

static void control_resume(struct trib_run *run, trib_request request) {
    if (run->ending.is_set || (run->state != TRIB_RUN_RUNNING && run->state != TRIB_RUN_PAUSED)) {
        refuse_state(run, request);
    } else if (hold(run, request)) {
        begin_change(run, TRIB_RUN_RUNNING, "", request);
    }
}

static void control_stop(struct trib_run *run, trib_request request) {
    if (run->state == TRIB_RUN_STOPPED) {
        trib_heart_done(run, request);
    } else if (run->state == TRIB_RUN_FAILED) {
        refuse_state(run, request);
    } else if (run->ending.request) {
        trib_heart_refuse(run, request, NULL, TRIB_REFUSE_BUSY, "the run is being stopped");
    } else if (hold(run, request)) {
        /* Also cuts short the wait for a last evaluation. */
        run->ending = (struct trib_ending){
            .is_set = true, .reason = "by the operator", .request = request, .until = run->now};
    }
}

void trib_states_control(struct trib_run *run, const struct trib_event *event) {
    if (run->change.record) {
        trib_heart_refuse(run, event->request, NULL, TRIB_REFUSE_BUSY,
                          "another change of state is being recorded");
        return;
    }
    switch (event->control) {
    case TRIB_CONTROL_PAUSE:
        control_pause(run, event->request);
        break;
    case TRIB_CONTROL_RESUME:
        control_resume(run, event->request);
        break;
    case TRIB_CONTROL_STOP:
        control_stop(run, event->request);
        break;
    }
}

/* --- rules that stop a run -------------------------------------------------------------------- */

static void end(struct trib_run *run, bool awaits_evaluation, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void end(struct trib_run *run, bool awaits_evaluation, const char *format, ...) {
    struct trib_ending *ending = &run->ending;
    *ending = (struct trib_ending){.is_set = true, .until = run->now};
    trib_version version;
    if (awaits_evaluation && trib_reports_due(run, &version) && trib_reports_has_evaluator(run))
        ending->until += run->spec->evaluate.deadline;
    va_list arguments;
    va_start(arguments, format);
    trib_words_list(ending->reason, sizeof ending->reason, format, arguments);
    va_end(arguments);
    trib_roster_call_all(&run->roster); /* the last version is to be evaluated */
}

static void look_for_end(struct trib_run *run) {
    const struct trib_spec_stop *stop = &run->spec->stop;
    const struct trib_evaluations *evaluations = &run->evaluations;
    const char *metric = run->spec->evaluate.metric;
    if (evaluations->reached.is_set)
        end(run, false, "%s %.6g at version %" PRIu64 " reached the target", metric,
            evaluations->reached.metric, evaluations->reached.version);
    else if (stop->patience > 0 && evaluations->without_best >= stop->patience)
        end(run, false, "no better %s than at version %" PRIu64 " in %u evaluated versions", metric,
            evaluations->best.version, evaluations->without_best);
    else if (stop->versions > 0 && run->version >= stop->versions)
        end(run, true, "%" PRIu64 " version%s", run->version, run->version == 1 ? "" : "s");
    else if (stop->after > 0 && trib_states_ran_for(run, run->now) >= stop->after)
        end(run, true, "%.0f s of running", (double)stop->after / (double)TRIB_SECOND);
}

static bool awaits_evaluation(const struct trib_run *run) {
    return run->now < run->ending.until &&
           !trib_evaluations_is_evaluated(&run->evaluations, run->version);
}

void trib_states_settle(struct trib_run *run) {
    if (run->state == TRIB_RUN_STOPPED || run->state == TRIB_RUN_FAILED || run->change.record)
        return;
    if (run->state == TRIB_RUN_RUNNING && !run->ending.is_set)
        look_for_end(run);
    if (!run->ending.is_set || awaits_evaluation(run) || !trib_buffers_are_quiet(run))
        return;
    trib_request request = run->ending.request;
    run->ending.request = 0; /* From here on the change answers it. */
    begin_change(run, TRIB_RUN_STOPPED, run->ending.reason, request);
}

trib_time_ns trib_states_deadline(const struct trib_run *run) {
    if (run->change.record)
        return TRIB_TIME_NEVER;
    if (run->ending.is_set)
        return awaits_evaluation(run) ? run->ending.until : TRIB_TIME_NEVER;
    if (run->state == TRIB_RUN_RUNNING && run->spec->stop.after > 0)
        return run->state_since + (run->spec->stop.after - run->ran_for);
    return TRIB_TIME_NEVER;
}
