/* revision.c - another strategy, from some version on.
 *
 * A run keeps its spec for life. When the operator changes it, the heart says from which version on that
 * holds: the first whose buffer holds nothing yet. From then on it admits nothing for that version,
 * so that no update is weighed by one spec and summed by another; and as soon as the version before
 * is published, and nothing of any update is under way, it asks the node to open the run again, as
 * after a restart, with the new spec (REOPEN). */
#include "run/heart.h"

static bool is_empty(const struct trib_buffer *buffer) {
    return buffer->state == TRIB_BUFFER_COLLECTING && buffer->writing == 0 &&
           trib_buffer_received(buffer) == 0;
}

static trib_version first_unopened(const struct trib_run *run) {
    if (!is_empty(&run->buffers[1]))
        return run->version + 3;
    return run->version + (is_empty(&run->buffers[0]) ? 1 : 2);
}

bool trib_revision_blocks(const struct trib_run *run, trib_version target) {
    return run->revision.from > 0 && target >= run->revision.from;
}

void trib_revision_ask(struct trib_run *run, const struct trib_event *event) {
    struct trib_revision *revision = &run->revision;
    bool is_alive = run->state == TRIB_RUN_RUNNING || run->state == TRIB_RUN_PAUSED;
    if (!is_alive || run->ending.is_set)
        trib_heart_refuse(run, event->request, NULL, TRIB_REFUSE_STATE, "run is %s",
                          run->ending.is_set ? "stopping" : trib_run_state_name(run->state));
    else if (revision->record || run->change.record || revision->is_asked)
        trib_heart_refuse(run, event->request, NULL, TRIB_REFUSE_BUSY,
                          "another change is being recorded");
    else if (!trib_heart_hold(run, event->request, TRIB_HOLDER_REVISION, 0))
        trib_heart_refuse(run, event->request, NULL, TRIB_REFUSE_BUSY, "no memory for a request");
    else {
        /* A second one before the first holds takes its place. */
        revision->from = revision->from > 0 ? revision->from : first_unopened(run);
        revision->record = ++run->records;
        revision->request = event->request;
        struct trib_effect *effect = trib_heart_emit(run, TRIB_EFFECT_RECORD);
        effect->record_kind = TRIB_RECORD_REVISION;
        effect->record = revision->record;
        effect->request = event->request;
        effect->version = revision->from;
    }
}

bool trib_revision_recorded(struct trib_run *run, const struct trib_event *event) {
    struct trib_revision *revision = &run->revision;
    if (revision->record == 0 || revision->record != event->record)
        return false;
    revision->record = 0;
    trib_heart_let_go(run, revision->request);
    if (event->status == TRIB_OK) {
        revision->is_recorded = true;
        trib_heart_done(run, revision->request);
    } else {
        trib_heart_refuse(run, revision->request, NULL, TRIB_REFUSE_IO, "record the change: %s",
                          trib_status_text(event->status));
        trib_states_fail(run, event->status, "record a change of strategy");
    }
    revision->request = 0;
    return true;
}

void trib_revision_settle(struct trib_run *run) {
    struct trib_revision *revision = &run->revision;
    bool is_alive = run->state == TRIB_RUN_RUNNING || run->state == TRIB_RUN_PAUSED;
    bool is_due = revision->is_recorded && revision->record == 0 && !revision->is_asked &&
                  run->version + 1 == revision->from;
    if (!is_due || !is_alive || run->ending.is_set || run->change.record)
        return;
    TRIB_ASSERT(is_empty(&run->buffers[0]) && is_empty(&run->buffers[1]));
    revision->is_asked = true;
    trib_heart_emit(run, TRIB_EFFECT_REOPEN)->version = revision->from;
}
