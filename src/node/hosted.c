/* hosted.c - one run as the daemon hosts it: feeding the heart, and the end of a run. */
#include "node/hosted.h"

#include "node/daemon.h"
#include "node/recording.h"

#include <stdlib.h>
#include <string.h>

/* The heart has more to do than fits into one step's effects: go on at once. */
static void step_until_idle(struct trib_hosted *hosted, struct trib_event *event) {
    struct trib_effects effects;
    for (;;) {
        trib_tape_add_event(&hosted->tape, event);
        trib_run_step(hosted->run, event, &effects);
        for (uint32_t i = 0; i < effects.count; i++) {
            trib_hosted_carry(hosted, &effects.items[i]);
        }
        trib_time_ns now = event->now;
        if (effects.count < TRIB_EFFECTS_MAX || trib_run_deadline(hosted->run) > now) {
            break;
        }
        memset(event, 0, sizeof *event);
        event->kind = TRIB_EVENT_TICK;
        event->now = now;
    }
}

void trib_hosted_feed(struct trib_hosted *hosted, struct trib_event *event) {
    if (hosted->is_closing) {
        return;
    }
    event->now = trib_node_now(hosted->node);
    step_until_idle(hosted, event);
    trib_timer_arm(hosted->timer, trib_run_deadline(hosted->run));
    if (trib_tape_is_due(&hosted->tape)) {
        trib_recording_flush(hosted);
    }
}

void trib_hosted_note_failure(struct trib_hosted *hosted, enum trib_status status) {
    bool may_pass = status == TRIB_EIO || status == TRIB_EFULL || status == TRIB_EMEMORY;
    if (may_pass && hosted->io_status == TRIB_OK) {
        hosted->io_status = status;
    }
}

void trib_hosted_charge_model(struct trib_hosted *hosted, uint64_t bytes) {
    struct trib_node *node = hosted->node;
    node->model_bytes = node->model_bytes - hosted->model_bytes + bytes;
    hosted->model_bytes = bytes;
    if (bytes > 0) {
        trib_log(node->env, TRIB_LOG_INFO,
                 "model run=%s parameters=%llu held=%s memory=%llu of=%llu", hosted->spec->name,
                 (unsigned long long)hosted->model.layout->element_count,
                 hosted->model.window_bytes > 0 ? "by_ranges" : "whole", (unsigned long long)bytes,
                 (unsigned long long)node->config.model_bytes_max);
    }
}

void trib_hosted_job_done(struct trib_hosted *hosted) {
    TRIB_ASSERT(hosted->jobs > 0);
    hosted->jobs--;
}

/* A job answers those that wait for the ledger or a model. All others are told now, also those
 * whose body is still arriving: nothing that it could ask reaches the heart any more. */
static void turn_away(struct trib_call *call) {
    call->waits = false;
    if (call->is_answered || call->import != NULL || call->record != NULL) {
        return;
    }
    trib_upload_free(call->upload);
    call->upload = NULL;
    trib_combining_forget_call(call);
    trib_call_refuse(call, "closing", "the daemon is closing run %s", call->hosted->spec->name);
}

void trib_hosted_close(struct trib_hosted *hosted) {
    hosted->is_closing = true;
    trib_timer_disarm(hosted->timer);
    trib_watchers_end(&hosted->watchers);
    for (struct trib_call *call = hosted->node->calls; call != NULL; call = call->next) {
        if (call->hosted == hosted) {
            turn_away(call);
        }
    }
}

static void free_uploads(struct trib_hosted *hosted) {
    for (uint32_t i = 0; hosted->slots != NULL && i < hosted->spec->updates_pending_max; i++) {
        trib_upload_free(hosted->slots[i]);
    }
}

void trib_hosted_free(struct trib_hosted *hosted) {
    if (hosted == NULL) {
        return;
    }
    const struct trib_env *env = hosted->node->env;
    free_uploads(hosted);
    trib_combining_deinit(hosted);
    trib_parts_drop_all(hosted);
    TRIB_ASSERT(hosted->jobs == 0);
    trib_ranging_deinit(hosted);
    trib_timer_free(hosted->timer);
    trib_run_free(hosted->run);
    hosted->node->model_bytes -= hosted->model_bytes;
    trib_model_deinit(&hosted->model);
    trib_index_close(hosted->index);
    trib_index_close(hosted->index_writer);
    trib_spool_close(hosted->spool);
    trib_ledger_close(hosted->ledger);
    trib_tape_end(&hosted->tape);
    trib_places_deinit(env, &hosted->released);
    trib_places_deinit(env, &hosted->releasing);
    trib_places_deinit(env, &hosted->uncheckpointed);
    if (hosted->spec != NULL) {
        trib_release(env, hosted->slots, hosted->spec->updates_pending_max, sizeof(void *));
    }
    for (size_t i = 0; i <= TRIB_SITES_MAX; i++) {
        free(hosted->settings[i]);
    }
    trib_revoked_deinit(&hosted->revoked);
    trib_quotas_deinit(&hosted->quotas);
    trib_spec_free(hosted->revised);
    trib_spec_free(hosted->spec);
    trib_release(env, hosted, 1, sizeof *hosted);
}

bool trib_places_add(const struct trib_env *env, struct trib_places *places,
                     const struct trib_spool_place *place) {
    if (places->count == places->capacity) {
        size_t capacity = places->capacity == 0 ? 64 : 2 * places->capacity;
        struct trib_spool_place *items =
            trib_regrow(env, places->items, places->capacity, capacity, sizeof *items);
        if (items == NULL) {
            return false; /* the entry stays on disk until the next restart offers it again */
        }
        places->items = items;
        places->capacity = capacity;
    }
    places->items[places->count++] = *place;
    return true;
}

void trib_places_deinit(const struct trib_env *env, struct trib_places *places) {
    trib_release(env, places->items, places->capacity, sizeof *places->items);
    memset(places, 0, sizeof *places);
}
