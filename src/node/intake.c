/* intake.c - from admission to durability: check on any worker, then commit in groups.
 *
 *   SPOOL --> check (one job per update, side by side) --> commit (one job at a time) --> SPOOLED
 *
 * While one commit waits for the disk, the next group gathers, so that one sync serves all that came meanwhile. Entries
 * that are no longer needed are released by the same job: the spool allows one writer. */
#include "node/daemon.h"

#include <string.h>

#define ROOM_BESIDES (UINT64_C(1) << 20) /* for heads, and what else is being written */

/* --- check ------------------------------------------------------------------------------------ */

static enum trib_status check_values(struct trib_upload *upload, const struct trib_source *source) {
    const struct trib_model *model = &upload->hosted->model;
    const struct trib_codec *codec = trib_codec_find(upload->entry.codec);
    if (codec == NULL) {
        return trib_error_set(&upload->error, TRIB_EUNSUPPORTED, "codec %s is not known",
                              upload->entry.codec);
    }
    struct trib_update *update = NULL;
    struct trib_update_metadata metadata = {0};
    double norm;
    enum trib_status status = codec->open(upload->hosted->node->env, model->layout, source, &update,
                                          &metadata, &upload->error);
    if (status == TRIB_OK && upload->entry.kind == TRIB_SPOOL_UPDATE) {
        status = trib_upload_read_metadata(upload, &metadata);
    }
    if (status == TRIB_OK) {
        status = codec->check(update, model->kernels, &norm, &upload->error);
    }
    codec->free(update);
    return status;
}

static void check(void *context) {
    struct trib_upload *upload = context;
    struct trib_source source = trib_upload_source(upload);
    enum trib_status status = check_values(upload, &source);
    if (status == TRIB_OK) {
        status = trib_upload_digest(upload);
    }
    bool needs_sync = upload->hosted->spec->durability == TRIB_DURABILITY_SPOOL;
    if (status == TRIB_OK && upload->file != NULL && needs_sync) {
        status = trib_spool_body_finish(upload->file);
    }
    if (status == TRIB_OK && upload->wants_receipt) { /* costs more than many a small update */
        char line[TRIB_SIGNED_TEXT_BYTES];
        upload->receipt =
            trib_text_copy(upload->hosted->node->env, trib_upload_receipt(upload, line));
    }
    upload->status = status;
    if (status != TRIB_OK && upload->error.status == TRIB_OK) {
        (void)trib_error_set(&upload->error, status, "%s", trib_status_text(status));
    }
}

/* Is it folded only when others have come? Then its body is read from the spool: in memory, many
 * such updates would keep out those that they wait for. */
static bool waits_for_others(const struct trib_upload *upload) {
    const struct trib_spec *spec = upload->hosted->spec;
    return spec->durability == TRIB_DURABILITY_SPOOL &&
           (upload->entry.target == 0 || trib_spec_caps_shares(spec) ||
            spec->strategy.combiner == TRIB_COMBINER_EXTERNAL);
}

static void report(struct trib_upload *upload) {
    struct trib_event event = {
        .kind = TRIB_EVENT_SPOOLED,
        .slot = upload->slot,
        .status = upload->status,
        .digest = upload->entry.digest,
    };
    struct trib_hosted *hosted = upload->hosted;
    upload->is_spooled = upload->status == TRIB_OK;
    if (upload->is_spooled && waits_for_others(upload)) {
        trib_upload_drop_body(upload);
    }
    if (upload->entry.kind == TRIB_SPOOL_COMBINED) {
        trib_combining_stored(upload);
        return;
    }
    trib_hosted_feed(hosted, &event);
    if (!upload->is_spooled) {
        hosted->slots[upload->slot] = NULL; /* refused: the heart has freed its slot */
        trib_upload_free(upload);
    }
}

static void check_done(void *context) {
    struct trib_upload *upload = context;
    struct trib_hosted *hosted = upload->hosted;
    if (upload->status == TRIB_OK && hosted->spec->durability == TRIB_DURABILITY_SPOOL) {
        upload->next = NULL;
        if (hosted->checked == NULL) {
            hosted->checked = upload;
        } else {
            hosted->checked_last->next = upload;
        }
        hosted->checked_last = upload;
        trib_intake_pump(hosted);
    } else {
        report(upload);
    }
    trib_hosted_job_done(hosted);
}

void trib_intake_spool(struct trib_hosted *hosted, struct trib_upload *upload) {
    hosted->jobs++;
    upload->status = TRIB_OK;
    upload->error = (struct trib_error){0};
    if (trib_share_submit(&hosted->share, check, check_done, upload) != TRIB_OK) {
        upload->status = trib_error_set(&upload->error, TRIB_EUNAVAILABLE, "out of memory");
        report(upload);
        trib_hosted_job_done(hosted);
    }
}

/* --- commit ----------------------------------------------------------------------------------- */

static void append(struct trib_hosted *hosted, struct trib_upload *upload) {
    struct trib_source body = {0};
    upload->error = (struct trib_error){0};
    if (upload->file == NULL) {
        body = trib_upload_source(upload);
    }
    upload->status =
        trib_spool_append(hosted->spool, &upload->entry, upload->file == NULL ? &body : NULL,
                          upload->file, &upload->error);
}

/* Those that are not durable yet. True: the disk or the quota is full, for one of them at least. */
static bool commit_group(struct trib_hosted *hosted) {
    for (struct trib_upload *u = hosted->committing; u != NULL; u = u->next) {
        if (!u->is_spooled) {
            append(hosted, u);
        }
    }
    struct trib_error error = {0};
    enum trib_status status = trib_spool_sync(hosted->spool, &error);
    bool is_full = false;
    for (struct trib_upload *u = hosted->committing; u != NULL; u = u->next) {
        if (!u->is_spooled && u->status == TRIB_OK && status != TRIB_OK) {
            u->status = status;
            u->error = error;
        }
        u->is_spooled = u->status == TRIB_OK;
        is_full |= u->status == TRIB_EFULL;
    }
    return is_full;
}

static void release_all(struct trib_hosted *hosted) {
    for (size_t i = 0; i < hosted->releasing.count; i++) {
        enum trib_status released = trib_spool_release(hosted->spool, &hosted->releasing.items[i]);
        if (released != TRIB_OK) {
            trib_log(hosted->node->env, TRIB_LOG_WARN, "spool_release_failed run=%s reason=\"%s\"",
                     hosted->spec->name, trib_status_text(released));
        }
    }
    hosted->releasing.count = 0;
}

/* Versions go only if it is the disk that is full, not the quota of the spool. */
static void make_room(struct trib_hosted *hosted) {
    uint64_t bytes = ROOM_BESIDES;
    for (const struct trib_upload *u = hosted->committing; u != NULL; u = u->next) {
        bytes += u->file != NULL ? 0 : u->byte_count;
    }
    if (!trib_spool_has_room(hosted->spool, bytes)) {
        trib_prune_for_room(hosted, &hosted->commit_pruning);
    }
}

/* Where disk or quota are full, room is made, and those that did not fit are tried once more: the
 * spool has left what it could not write and begins a new segment. */
static void commit(void *context) {
    struct trib_hosted *hosted = context;
    bool is_full = commit_group(hosted);
    release_all(hosted);
    if (is_full) {
        make_room(hosted);
        (void)commit_group(hosted); /* each has its status */
    }
}

static void commit_done(void *context) {
    struct trib_hosted *hosted = context;
    struct trib_upload *next = hosted->committing;
    hosted->committing = NULL;
    hosted->is_committing = false;
    trib_intake_pump(hosted); /* the next group's sync runs while this one is answered */
    while (next != NULL) {
        struct trib_upload *upload = next;
        next = upload->next;
        if (upload->status == TRIB_OK && upload->file != NULL) {
            trib_spool_body_keep(upload->file); /* the entry owns it now */
            upload->file = NULL;
        }
        report(upload);
    }
    trib_hosted_job_done(hosted);
}

void trib_intake_pump(struct trib_hosted *hosted) {
    if (hosted->is_committing || (hosted->checked == NULL && hosted->released.count == 0)) {
        return;
    }
    hosted->is_committing = true;
    hosted->committing = hosted->checked;
    hosted->checked = hosted->checked_last = NULL;
    struct trib_places emptied = hosted->releasing;
    hosted->releasing = hosted->released;
    hosted->released = emptied;
    hosted->commit_pruning = trib_pruning_now(hosted);
    hosted->jobs++;
    if (trib_share_submit(&hosted->share, commit, commit_done, hosted) != TRIB_OK) {
        commit(hosted);
        commit_done(hosted);
    }
}

void trib_intake_release(struct trib_hosted *hosted, const struct trib_spool_place *place) {
    (void)trib_places_add(hosted->node->env, &hosted->released, place);
}
