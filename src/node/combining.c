/* combining.c - versions whose updates somebody else combines. */
#include "node/combining.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/daemon.h"

/* In the spool: what is no update has no client. A client of this name is told apart by the kind. */
#define SPOOL_CLIENT "combiner"

bool trib_combining_is_open(const struct trib_combining *combining) {
    return combining->version > 0 && combining->upload == NULL;
}

/* --- who waits for an offer ------------------------------------------------------------------- */

static void answer_waiting(struct trib_hosted *hosted) {
    for (struct trib_call *call = hosted->node->calls; call != NULL; call = call->next) {
        if (call->hosted == hosted && call->offer_until > 0) {
            call->offer_until = 0;
            trib_call_reply_offer(call);
        }
    }
}

void trib_combining_expire(struct trib_node *node) {
    trib_time_ns now = trib_node_now(node);
    for (struct trib_call *call = node->calls; call != NULL; call = call->next) {
        if (call->offer_until > 0 && call->offer_until <= now) {
            call->offer_until = 0;
            trib_call_reply_empty(call, 204);
        }
    }
}

void trib_combining_forget_call(const struct trib_call *call) {
    struct trib_combining *combining = &call->hosted->combining;
    if (combining->call == call) {
        combining->call = NULL;
    }
}

/* --- the offer -------------------------------------------------------------------------------- */

static void close_offer(struct trib_hosted *hosted) {
    struct trib_combining *combining = &hosted->combining;
    trib_release(hosted->node->env, combining->slots, combining->slot_count,
                 sizeof *combining->slots);
    combining->slots = NULL;
    combining->slot_count = 0;
    combining->version = 0;
    combining->call = NULL;
    combining->is_merging = false;
}

/* What was decided about an update when its version closed is what the record will say. */
static void take_decision(struct trib_hosted *hosted, trib_slot slot) {
    struct trib_slot_view view;
    struct trib_spool_entry *entry = &hosted->slots[slot]->entry;
    trib_run_slot(hosted->run, slot, &view);
    entry->target = view.target;
    entry->staleness = view.staleness;
    entry->weight = view.weight;
}

static bool name_offer(struct trib_hosted *hosted) {
    struct trib_combining *combining = &hosted->combining;
    struct trib_digester digester = {0};
    if (!trib_digester_begin(&digester)) {
        return false;
    }
    for (size_t i = 0; i < combining->slot_count; i++) {
        const struct trib_spool_entry *entry = &hosted->slots[combining->slots[i]]->entry;
        trib_digester_add(&digester, entry->client, sizeof entry->client);
        trib_digester_add(&digester, entry->update, sizeof entry->update);
        trib_digester_add(&digester, entry->digest.bytes, TRIB_DIGEST_BYTES);
    }
    trib_digester_finish(&digester, &combining->offer);
    return true;
}

void trib_combining_offer(struct trib_hosted *hosted, trib_version version) {
    struct trib_combining *combining = &hosted->combining;
    TRIB_ASSERT(combining->version == 0);
    size_t count = trib_run_slots_of(hosted->run, version, NULL, 0);
    combining->slots = trib_allocate(hosted->node->env, count, sizeof *combining->slots);
    combining->slot_count = combining->slots == NULL ? 0 : count;
    (void)trib_run_slots_of(hosted->run, version, combining->slots, combining->slot_count);
    for (size_t i = 0; i < combining->slot_count; i++) {
        take_decision(hosted, combining->slots[i]);
    }
    if (combining->slots == NULL || !name_offer(hosted)) {
        close_offer(hosted);
        trib_hosted_note_failure(hosted, TRIB_EMEMORY); /* opened again it is offered */
        return;
    }
    combining->version = version;
    trib_log(hosted->node->env, TRIB_LOG_INFO, "offer run=%s version=%" PRIu64 " updates=%zu",
             hosted->spec->name, version, count);
    answer_waiting(hosted);
}

void trib_combining_withdraw(struct trib_hosted *hosted, const char *reason) {
    struct trib_combining *combining = &hosted->combining;
    if (combining->call != NULL) {
        trib_call_refuse(combining->call, "ended", "the run has ended: %s", reason);
    }
    close_offer(hosted); /* a body that is being checked is dropped when that is done */
    for (struct trib_call *call = hosted->node->calls; call != NULL; call = call->next) {
        if (call->hosted == hosted && call->offer_until > 0) {
            call->offer_until = 0;
            trib_call_refuse(call, "ended", "the run has ended: %s", reason);
        }
    }
}

/* --- the answer to it ------------------------------------------------------------------------- */

static void drop_upload(struct trib_hosted *hosted) {
    struct trib_combining *combining = &hosted->combining;
    struct trib_upload *upload = combining->upload;
    combining->upload = NULL;
    combining->call = NULL;
    if (upload->is_spooled) {
        trib_intake_release(hosted, &upload->entry.place);
        trib_intake_pump(hosted);
    }
    trib_upload_free(upload);
}

void trib_combining_take(struct trib_call *call, struct trib_upload *upload) {
    struct trib_hosted *hosted = call->hosted;
    struct trib_combining *combining = &hosted->combining;
    struct trib_spool_entry *entry = &upload->entry;
    TRIB_ASSERT(trib_combining_is_open(combining));
    call->upload = NULL;
    upload->call = NULL;
    combining->upload = upload;
    combining->call = call;
    (void)trib_token_who(&call->token, combining->by);
    entry->kind = TRIB_SPOOL_COMBINED;
    memcpy(entry->client, SPOOL_CLIENT, sizeof SPOOL_CLIENT);
    (void)snprintf(entry->update, sizeof entry->update, "%" PRIu64, combining->version);
    entry->base = hosted->model.version;
    entry->target = combining->version;
    entry->weight = 1;
    memcpy(entry->codec, trib_codec_dense.name, strlen(trib_codec_dense.name) + 1);
    entry->wall_s = trib_node_wall(hosted->node);
    trib_intake_spool(hosted, upload);
}

void trib_combining_stored(struct trib_upload *upload) {
    struct trib_hosted *hosted = upload->hosted;
    struct trib_combining *combining = &hosted->combining;
    if (upload->status != TRIB_OK) {
        if (combining->call != NULL) {
            trib_call_refuse(combining->call, trib_upload_error_code(upload), "%s",
                             upload->error.text);
        }
        drop_upload(hosted);
        if (trib_combining_is_open(combining)) {
            answer_waiting(hosted);
        }
        return;
    }
    struct trib_event event = {.kind = TRIB_EVENT_COMBINED, .version = upload->entry.target};
    trib_hosted_feed(hosted, &event);
    if (combining->is_merging) {
        return;
    }
    if (combining->call != NULL) {
        trib_call_refuse(combining->call, "ended", "the run is stopping");
    }
    drop_upload(hosted);
}

void trib_combining_merge(struct trib_hosted *hosted, uint32_t accumulator) {
    struct trib_combining *combining = &hosted->combining;
    combining->is_merging = true;
    combining->accumulator = accumulator;
    trib_folding_add(hosted, combining->upload, accumulator);
}

void trib_combining_folded(struct trib_hosted *hosted, enum trib_status status) {
    if (status == TRIB_OK) {
        trib_folding_merge(hosted, hosted->combining.accumulator);
        return;
    }
    struct trib_event event = {
        .kind = TRIB_EVENT_MERGED, .version = hosted->model.version + 1, .status = status};
    trib_hosted_feed(hosted, &event);
}

void trib_combining_published(struct trib_hosted *hosted) {
    struct trib_combining *combining = &hosted->combining;
    if (!combining->is_merging) {
        return;
    }
    combining->done.version = combining->version;
    combining->done.digest = combining->upload->entry.digest;
    if (combining->call != NULL) {
        trib_call_reply_combined(combining->call, combining->version);
    }
    close_offer(hosted);
}

void trib_combining_settle(struct trib_hosted *hosted) {
    trib_upload_free(hosted->combining.upload);
    hosted->combining.upload = NULL;
}

void trib_combining_deinit(struct trib_hosted *hosted) {
    close_offer(hosted);
    trib_combining_settle(hosted);
}
