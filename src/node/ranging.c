/* ranging.c - from durable updates to the next version of a model that is larger than memory.
 *
 * An update that has become durable is counted and stays in the spool. When its version is made, each window is a job of
 * its own (ranged.h): other runs have their turns in between, and workers split the window as they split a model. */
#include "node/daemon.h"

#define VERIFY_PARTS_MAX 64

/* --- counting ----------------------------------------------------------------------------------- */

static struct trib_ranged_update *add_counted(struct trib_folding *folding) {
    const struct trib_env *env = folding->hosted->node->env;
    if (folding->counted_count == folding->counted_room) {
        size_t room = folding->counted_room == 0 ? 64 : 2 * folding->counted_room;
        struct trib_ranged_update *grown = trib_regrow(env, folding->counted, folding->counted_room,
                                                       room, sizeof *folding->counted);
        if (grown == NULL) {
            return NULL;
        }
        folding->counted = grown;
        folding->counted_room = room;
    }
    return &folding->counted[folding->counted_count++];
}

enum trib_status trib_ranging_count(struct trib_folding *folding) {
    struct trib_hosted *hosted = folding->hosted;
    enum trib_status status = TRIB_OK;
    for (struct trib_upload *u = folding->batch; status == TRIB_OK && u != NULL; u = u->next) {
        struct trib_ranged_update *update = add_counted(folding);
        if (update == NULL) {
            return TRIB_EMEMORY;
        }
        *update = (struct trib_ranged_update){.entry = &u->entry, .weight = u->entry.weight};
        status =
            trib_ranged_count(&hosted->model, folding->accumulator, hosted->spool, update, NULL);
    }
    return status;
}

/* --- making ------------------------------------------------------------------------------------- */

static enum trib_status begin(void *context) {
    struct trib_hosted *hosted = context;
    return trib_ranged_begin(hosted->ranged, &hosted->merge_error);
}

static enum trib_status verify_part(void *context, uint32_t part, uint32_t part_count) {
    const struct trib_hosted *hosted = context;
    return trib_ranged_verify(hosted->ranged, part, part_count);
}

static enum trib_status load(void *context) {
    struct trib_hosted *hosted = context;
    return trib_ranged_load(hosted->ranged);
}

static enum trib_status make_part(void *context, uint32_t part, uint32_t part_count) {
    struct trib_hosted *hosted = context;
    struct trib_ranged *ranged = hosted->ranged;
    struct trib_error error = {0};
    uint64_t first, count;
    trib_phases_range(ranged->window.count, part, part_count, &first, &count);
    enum trib_status status = trib_ranged_make(ranged, ranged->window.first + first, count, &error);
    if (status != TRIB_OK) {
        trib_log(hosted->node->env, TRIB_LOG_ERROR, "merge_failed run=%s reason=\"%s\"",
                 hosted->spec->name, error.text);
    }
    return status;
}

static enum trib_status store(void *context) {
    struct trib_hosted *hosted = context;
    enum trib_status status = trib_ranged_store(hosted->ranged);
    bool is_last = !trib_ranged_has_more(hosted->ranged);
    return status == TRIB_OK && is_last ? trib_ranged_end(hosted->ranged) : status;
}

static void free_ranged(struct trib_hosted *hosted) {
    if (hosted->ranged != NULL) {
        trib_ranged_close(hosted->ranged);
        trib_release(hosted->node->env, hosted->ranged, 1, sizeof *hosted->ranged);
        hosted->ranged = NULL;
    }
}

static void finish(struct trib_hosted *hosted, enum trib_status status) {
    struct trib_event event = {
        .kind = TRIB_EVENT_MERGED, .version = hosted->model.version + 1, .status = status};
    if (status == TRIB_OK) {
        hosted->draft = hosted->ranged->draft;
        hosted->ranged->draft = (struct trib_ranged_draft){0};
        hosted->folding[hosted->merging_accumulator].counted_count = 0;
    } else {
        trib_hosted_note_failure(hosted, status); /* opened again, it begins anew */
        trib_log(hosted->node->env, TRIB_LOG_ERROR, "version_failed run=%s reason=\"%s\"",
                 hosted->spec->name,
                 hosted->merge_error.text[0] != '\0' ? hosted->merge_error.text
                                                     : trib_status_text(status));
    }
    free_ranged(hosted);
    trib_hosted_feed(hosted, &event);
    trib_hosted_job_done(hosted);
}

static void go_on(void *context, enum trib_status status) {
    struct trib_hosted *hosted = context;
    const struct trib_ranged *ranged = hosted->ranged;
    if (status != TRIB_OK || !trib_ranged_has_more(ranged)) {
        finish(hosted, status);
        return;
    }
    hosted->merging = (struct trib_phases){
        .share = &hosted->share,
        .part_count = trib_folding_part_count(hosted->node, ranged->window_elements),
        .context = hosted,
        .prepare = load,
        .part = make_part,
        .finish = store,
        .done = go_on,
    };
    trib_phases_start(&hosted->merging);
}

/* What keeps version and state from being written should go before there is no more room. */
static void make_room(struct trib_hosted *hosted) {
    const struct trib_optimizer_state *state = &hosted->model.state;
    uint64_t bytes = trib_model_file_bytes(&hosted->model) +
                     state->vector_count * state->train_element_count * sizeof(float);
    if (!trib_spool_has_room(hosted->spool, bytes)) {
        struct trib_pruning pruning = trib_pruning_now(hosted);
        trib_prune_for_room(hosted, &pruning);
    }
}

void trib_ranging_merge(struct trib_hosted *hosted, uint32_t accumulator) {
    const struct trib_node *node = hosted->node;
    const struct trib_folding *folding = &hosted->folding[accumulator];
    hosted->jobs++;
    hosted->merging_accumulator = accumulator;
    hosted->merge_error = (struct trib_error){0};
    hosted->ranged = trib_allocate(node->env, 1, sizeof *hosted->ranged);
    if (hosted->ranged == NULL) {
        finish(hosted, TRIB_EMEMORY);
        return;
    }
    *hosted->ranged = (struct trib_ranged){
        .model = &hosted->model,
        .files = node->directory.files,
        .path = hosted->path,
        .spool = hosted->spool,
        .accumulator = accumulator,
        .updates = folding->counted,
        .update_count = folding->counted_count,
    };
    make_room(hosted);
    uint64_t parts = node->config.worker_count;
    parts = parts < VERIFY_PARTS_MAX ? parts : VERIFY_PARTS_MAX;
    hosted->merging = (struct trib_phases){
        .share = &hosted->share,
        .part_count = (uint32_t)parts,
        .context = hosted,
        .prepare = begin,
        .part = verify_part,
        .done = go_on,
    };
    trib_phases_start(&hosted->merging);
}

void trib_ranging_deinit(struct trib_hosted *hosted) {
    const struct trib_env *env = hosted->node->env;
    free_ranged(hosted);
    trib_ranged_discard(&hosted->draft);
    for (size_t i = 0; i < TRIB_ACCUMULATORS_MAX; i++) {
        struct trib_folding *folding = &hosted->folding[i];
        trib_release(env, folding->counted, folding->counted_room, sizeof *folding->counted);
    }
}
