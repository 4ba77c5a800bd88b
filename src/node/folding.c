/* folding.c - from durable updates to the next version: folding in batches, merging by ranges.
 *
 * A batch takes every update that waits for one accumulator; workers split the parameters, not the updates, so no
 * sum is touched by two of them. Bodies that are still in memory are folded from there, others from the spool. */
#include "node/daemon.h"

#include <string.h>

/* Fewer parameters than this are not worth waking another worker for. */
#define PART_ELEMENTS UINT64_C(262144)
#define PARTS_MAX 64

uint32_t trib_folding_part_count(const struct trib_node *node, uint64_t element_count) {
    uint64_t parts = element_count / PART_ELEMENTS;
    uint64_t workers = node->config.worker_count;
    parts = parts > workers ? workers : parts;
    parts = parts > PARTS_MAX ? PARTS_MAX : parts;
    return parts == 0 ? 1 : (uint32_t)parts;
}

/* --- folding ------------------------------------------------------------------------------------ */

static enum trib_status open_update(struct trib_folding *folding, size_t i,
                                    struct trib_upload *upload) {
    const struct trib_hosted *hosted = folding->hosted;
    const struct trib_source *source = &folding->sources[i];
    if (trib_upload_is_in_memory(upload) || upload->file != NULL) {
        folding->sources[i] = trib_upload_source(upload);
    } else {
        /* It lay on the disk since it was checked, perhaps for long: rot must not be counted. */
        enum trib_status status =
            trib_spool_read_verify(hosted->spool, &upload->entry.place, &upload->entry.digest);
        if (status == TRIB_OK) {
            status =
                trib_spool_read_open(hosted->spool, &upload->entry.place, &folding->readers[i]);
        }
        if (status != TRIB_OK) {
            return status;
        }
        source = &folding->readers[i].source;
    }
    struct trib_weighted_update *update = &folding->updates[i];
    struct trib_update_metadata metadata = {0};
    update->codec = trib_codec_find(upload->entry.codec);
    update->weight = upload->entry.weight;
    update->base = upload->entry.base;
    return update->codec->open(hosted->node->env, hosted->model.layout, source, &update->update,
                               &metadata, NULL);
}

static enum trib_status prepare_batch(void *context) {
    struct trib_folding *folding = context;
    const struct trib_env *env = folding->hosted->node->env;
    if (folding->hosted->model.window_bytes > 0) {
        return trib_ranging_count(folding);
    }
    folding->updates = trib_allocate(env, folding->batch_count, sizeof *folding->updates);
    folding->readers = trib_allocate(env, folding->batch_count, sizeof *folding->readers);
    folding->sources = trib_allocate(env, folding->batch_count, sizeof *folding->sources);
    if (folding->updates == NULL || folding->readers == NULL || folding->sources == NULL) {
        return TRIB_EMEMORY;
    }
    size_t i = 0;
    enum trib_status status = TRIB_OK;
    for (struct trib_upload *u = folding->batch; status == TRIB_OK && u != NULL; u = u->next) {
        status = open_update(folding, i, u);
        if (status == TRIB_OK) {
            status = trib_model_count(&folding->hosted->model, folding->accumulator,
                                      &folding->updates[i]);
        }
        i++;
    }
    return status;
}

static enum trib_status fold_part(void *context, uint32_t part, uint32_t part_count) {
    struct trib_folding *folding = context;
    struct trib_model *model = &folding->hosted->model;
    uint64_t first, count;
    if (model->window_bytes > 0) {
        return TRIB_OK;
    }
    trib_phases_range(model->layout->element_count, part, part_count, &first, &count);
    return trib_model_fold(model, folding->accumulator, folding->updates, folding->batch_count,
                           first, count);
}

static void close_batch(struct trib_folding *folding) {
    const struct trib_env *env = folding->hosted->node->env;
    for (size_t i = 0; i < folding->batch_count; i++) {
        if (folding->updates != NULL && folding->updates[i].update != NULL) {
            folding->updates[i].codec->free(folding->updates[i].update);
        }
        if (folding->readers != NULL) {
            trib_spool_read_close(&folding->readers[i]);
        }
    }
    trib_release(env, folding->updates, folding->batch_count, sizeof *folding->updates);
    trib_release(env, folding->readers, folding->batch_count, sizeof *folding->readers);
    trib_release(env, folding->sources, folding->batch_count, sizeof *folding->sources);
    folding->updates = NULL;
    folding->readers = NULL;
    folding->sources = NULL;
    folding->batch = NULL;
}

static void start_batch(struct trib_folding *folding);

static void batch_done(void *context, enum trib_status status) {
    struct trib_folding *folding = context;
    struct trib_hosted *hosted = folding->hosted;
    struct trib_upload *next = folding->batch;
    close_batch(folding);
    start_batch(folding);
    if (status != TRIB_OK) {
        trib_hosted_note_failure(hosted, status);
        trib_log(hosted->node->env, TRIB_LOG_ERROR, "fold_failed run=%s reason=\"%s\"",
                 hosted->spec->name, trib_status_text(status));
    }
    while (next != NULL) {
        struct trib_upload *upload = next;
        next = upload->next;
        struct trib_event event = {
            .kind = TRIB_EVENT_FOLDED, .slot = upload->slot, .status = status};
        trib_upload_drop_body(upload);
        if (upload->entry.kind == TRIB_SPOOL_COMBINED) {
            trib_combining_folded(hosted, status);
        } else {
            trib_hosted_feed(hosted, &event);
        }
    }
    trib_hosted_job_done(hosted);
}

static void start_batch(struct trib_folding *folding) {
    if (folding->batch != NULL || folding->waiting == NULL) {
        return;
    }
    struct trib_hosted *hosted = folding->hosted;
    folding->batch = folding->waiting;
    folding->waiting = folding->waiting_last = NULL;
    folding->batch_count = 0;
    for (const struct trib_upload *u = folding->batch; u != NULL; u = u->next) {
        folding->batch_count++;
    }
    const struct trib_model *model = &hosted->model;
    folding->phases = (struct trib_phases){
        .share = &hosted->share,
        .part_count = model->window_bytes > 0
                          ? 1
                          : trib_folding_part_count(hosted->node, model->layout->element_count),
        .context = folding,
        .prepare = prepare_batch,
        .part = fold_part,
        .done = batch_done,
    };
    hosted->jobs++;
    trib_phases_start(&folding->phases);
}

void trib_folding_add(struct trib_hosted *hosted, struct trib_upload *upload,
                      uint32_t accumulator) {
    struct trib_folding *folding = &hosted->folding[accumulator];
    upload->next = NULL;
    if (folding->waiting == NULL) {
        folding->waiting = upload;
    } else {
        folding->waiting_last->next = upload;
    }
    folding->waiting_last = upload;
    start_batch(folding);
}

/* --- merging ------------------------------------------------------------------------------------ */

static enum trib_status begin_merge(void *context) {
    struct trib_hosted *hosted = context;
    return trib_model_merge_begin(&hosted->model, hosted->merging_accumulator);
}

static enum trib_status merge_part(void *context, uint32_t part, uint32_t part_count) {
    struct trib_hosted *hosted = context;
    uint64_t first, count;
    trib_phases_range(hosted->model.layout->element_count, part, part_count, &first, &count);
    struct trib_error error = {0};
    enum trib_status status = trib_model_merge_range(&hosted->model, first, count, &error);
    if (status != TRIB_OK) {
        trib_log(hosted->node->env, TRIB_LOG_ERROR, "merge_failed run=%s reason=\"%s\"",
                 hosted->spec->name, error.text);
    }
    return status;
}

static enum trib_status end_merge(void *context) {
    struct trib_hosted *hosted = context;
    trib_model_merge_end(&hosted->model);
    return TRIB_OK;
}

static void merge_done(void *context, enum trib_status status) {
    struct trib_hosted *hosted = context;
    struct trib_event event = {
        .kind = TRIB_EVENT_MERGED,
        .version = hosted->model.version + 1,
        .status = status,
    };
    trib_hosted_feed(hosted, &event);
    trib_hosted_job_done(hosted);
}

void trib_folding_merge(struct trib_hosted *hosted, uint32_t accumulator) {
    if (hosted->model.window_bytes > 0) {
        trib_ranging_merge(hosted, accumulator);
        return;
    }
    hosted->merging_accumulator = accumulator;
    hosted->merging = (struct trib_phases){
        .share = &hosted->share,
        .part_count = trib_folding_part_count(hosted->node, hosted->model.layout->element_count),
        .context = hosted,
        .prepare = begin_merge,
        .part = merge_part,
        .finish = end_merge,
        .done = merge_done,
    };
    hosted->jobs++;
    trib_phases_start(&hosted->merging);
}
