/* reports.c - evaluations: who is to report, what is taken, what a durable report changes. */
#include "run/heart.h"

bool trib_reports_may(const struct trib_run *run, const struct trib_client *client) {
    const struct trib_spec_evaluate *rules = &run->spec->evaluate;
    return (client->role == TRIB_CLIENT_TRAINER && rules->on_clients) ||
           (client->role == TRIB_CLIENT_EVALUATOR && rules->on_evaluators);
}

bool trib_reports_due(const struct trib_run *run, trib_version *version) {
    uint32_t every = run->spec->evaluate.every;
    if (every == 0)
        return false;
    *version = run->ending.is_set ? run->version : run->version - run->version % every;
    return *version > 0;
}

static bool is_under_way(const struct trib_run *run, uint32_t client_index, trib_version version) {
    for (uint32_t index = 0; index < TRIB_RECORDS_MAX; index++) {
        const struct trib_report *report = &run->reports[index];
        if (report->record && report->client_index == client_index && report->version == version)
            return true;
    }
    return false;
}

bool trib_reports_has_evaluator(const struct trib_run *run) {
    for (uint32_t index = 0; index < run->roster.count; index++) {
        const struct trib_client *client = &run->roster.clients[index];
        if (client->is_present && trib_reports_may(run, client))
            return true;
    }
    return false;
}

/* Sound and of a version that takes reports, or refused. */
static bool is_welcome(struct trib_run *run, const struct trib_event *event,
                       struct trib_client *client) {
    bool has_model = run->state != TRIB_RUN_AWAITING_MODEL;
    bool is_over = run->state == TRIB_RUN_STOPPED || run->state == TRIB_RUN_FAILED;
    if (!trib_reports_may(run, client))
        trib_heart_refuse(run, event->request, client, TRIB_REFUSE_ROLE,
                          "%s does not evaluate in this run (evaluate.on)", client->name);
    else if (!has_model || !trib_evaluations_takes(event->version, run->version))
        trib_heart_refuse(run, event->request, client, TRIB_REFUSE_VERSION,
                          "version %" PRIu64 " (reports are taken on the newest %d versions)",
                          event->version, TRIB_EVALUATIONS_KEPT);
    else if (is_over)
        trib_heart_refuse(run, event->request, client, TRIB_REFUSE_ENDED, "run %s: %s",
                          trib_run_state_name(run->state), run->reason);
    else if (event->examples == 0 || event->examples > TRIB_EXAMPLES_MAX)
        trib_heart_refuse(run, event->request, client, TRIB_REFUSE_WEIGHT,
                          "examples is %" PRIu64 " (allowed: 1 to 2^53)", event->examples);
    else if (event->has_metric &&
             !(event->metric >= -TRIB_METRIC_MAX && event->metric <= TRIB_METRIC_MAX))
        trib_heart_refuse(run, event->request, client, TRIB_REFUSE_BODY, "%s is not in +-%g",
                          run->spec->evaluate.metric, TRIB_METRIC_MAX);
    else
        return true;
    return false;
}

static struct trib_report *free_report(struct trib_run *run) {
    for (uint32_t index = 0; index < TRIB_RECORDS_MAX; index++) {
        if (run->reports[index].record == 0)
            return &run->reports[index];
    }
    return NULL;
}

void trib_reports_evaluation(struct trib_run *run, const struct trib_event *event) {
    struct trib_client *client = trib_polls_hear(run, event);
    if (!client)
        return;
    if (event->settled.fate != TRIB_FATE_NONE) /* by a client that was forgotten since */
        trib_client_mark_reported(client, event->version);
    if (trib_client_has_reported(client, event->version)) {
        trib_heart_done(run, event->request); /* a repeat, also after the run has stopped */
        return;
    }
    if (!is_welcome(run, event, client))
        return;
    uint32_t client_index = trib_roster_index(&run->roster, client);
    struct trib_report *report = free_report(run);
    bool is_first = !is_under_way(run, client_index, event->version);
    if (!is_first || !report ||
        !trib_heart_hold(run, event->request, TRIB_HOLDER_REPORT,
                         (uint32_t)(report - run->reports))) {
        trib_heart_refuse(run, event->request, client, TRIB_REFUSE_BUSY,
                          is_first ? "too many evaluations are being recorded"
                                   : "the first attempt is being recorded");
        return;
    }
    *report = (struct trib_report){
        .record = ++run->records,
        .request = event->request,
        .client_index = client_index,
        .version = event->version,
        .examples = event->examples,
        .metric = event->metric,
        .has_metric = event->has_metric,
    };
    trib_roster_pin(&run->roster, client_index);
    struct trib_effect *effect = trib_heart_emit(run, TRIB_EFFECT_RECORD);
    effect->request = event->request;
    effect->version = event->version;
    effect->record_kind = TRIB_RECORD_EVALUATION;
    effect->record = report->record;
}

static void count_report(struct trib_run *run, const struct trib_report *report) {
    struct trib_client *client = &run->roster.clients[report->client_index];
    trib_client_mark_reported(client, report->version);
    /* While it was being written the run may have moved past what is kept. */
    if (!trib_evaluations_takes(report->version, run->version))
        return;
    struct trib_evaluation_news news = trib_evaluations_add(
        &run->evaluations, report->version, report->examples, report->metric, report->has_metric);
    if (news.is_evaluated)
        trib_heart_emit(run, TRIB_EFFECT_EVALUATED)->version = report->version;
    if (news.is_best)
        trib_heart_emit(run, TRIB_EFFECT_BEST)->version = run->evaluations.best.version;
}

bool trib_reports_recorded(struct trib_run *run, const struct trib_event *event) {
    for (uint32_t index = 0; index < TRIB_RECORDS_MAX; index++) {
        struct trib_report *report = &run->reports[index];
        if (report->record == 0 || report->record != event->record)
            continue;
        trib_heart_let_go(run, report->request);
        if (event->status == TRIB_OK) {
            trib_heart_done(run, report->request);
            count_report(run, report);
        } else {
            trib_heart_refuse(run, report->request, NULL, TRIB_REFUSE_IO,
                              "record the evaluation: %s", trib_status_text(event->status));
        }
        report->record = 0;
        trib_roster_unpin(&run->roster, report->client_index);
        return true;
    }
    return false;
}
