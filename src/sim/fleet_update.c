/* fleet_update.c - from a base version to a checked update, on any thread.
 *
 * A job reads its place, the base version and the data, and writes its own update: nothing of that
 * is touched by anybody else until the job is taken. */
#include "sim/fleet_parts.h"

#include <string.h>

#include "codec/codec.h"

static const float *values_of(const struct trib_fleet *fleet, const struct trib_block *version) {
    return (const float *)(version->bytes + fleet->model.layout->data_offset);
}

/* delta = trained - base, of the tensors that an update has, as a body. NULL: no memory. */
static struct trib_block *subtract(const struct trib_fleet *fleet, const float *trained,
                                   const float *base) {
    const struct trib_layout *layout = fleet->change_layout;
    const size_t count = (size_t)layout->element_count;
    float *delta = trib_allocate(fleet->env, count, sizeof *delta);
    if (delta != NULL) {
        trib_work_subtract(fleet->model.layout, layout, trained, base, delta);
    }
    struct trib_block *body =
        delta == NULL
            ? NULL
            : trib_packing_encode(&fleet->packing, fleet->env, layout, fleet->update_layout, delta);
    trib_release(fleet->env, delta, count, sizeof *delta);
    return body;
}

enum trib_status trib_fleet_update_check(const struct trib_fleet *fleet,
                                         struct trib_fleet_update *update) {
    double norm;
    update->source = trib_source_of_memory(update->body->bytes, update->body->byte_count);
    trib_digest_of(update->body->bytes, update->body->byte_count, &update->digest);
    enum trib_status status = update->codec->open(fleet->env, fleet->model.layout, &update->source,
                                                  &update->update, NULL, &update->error);
    if (status == TRIB_OK) {
        status = update->codec->check(update->update, fleet->model.kernels, &norm, &update->error);
    }
    if (status != TRIB_OK) {
        update->codec->free(update->update);
        update->update = NULL;
    }
    return status;
}

enum trib_status trib_fleet_update_check_foreign(const struct trib_fleet *fleet,
                                                 struct trib_fleet_update *update) {
    update->codec = &trib_codec_dense;
    enum trib_status status = trib_fleet_update_check(fleet, update);
    return status == TRIB_OK || status == TRIB_EMEMORY ? status : TRIB_ECLOSED;
}

static void work_on_update(struct trib_fleet *fleet, uint32_t number, uint32_t hand) {
    struct trib_place *place = &fleet->places[number];
    struct trib_fleet_update *update = place->update;
    const float *base = values_of(fleet, place->base_block);
    const struct trib_work_task task = {place->client, place->name,
                                        place->base,   place->steps,
                                        place->own,    fleet->courses[place->site].settings};
    update->status = fleet->work->train(fleet->work->context, hand, &task, base,
                                        fleet->trained[hand], &update->trained, &update->error);
    if (update->status != TRIB_OK) {
        return;
    }
    if (update->trained.body != NULL) {
        update->body = update->trained.body;
        update->status = trib_fleet_update_check_foreign(fleet, update);
        update->is_trained = update->status == TRIB_OK;
        return;
    }
    update->is_trained = true;
    update->codec = trib_packing_codec(&fleet->packing);
    update->body = subtract(fleet, fleet->trained[hand], base);
    update->status = update->body == NULL ? TRIB_EMEMORY : trib_fleet_update_check(fleet, update);
}

void trib_fleet_job(void *context, uint32_t job, uint32_t hand) {
    struct trib_fleet *fleet = context;
    struct trib_place *place = &fleet->places[job < fleet->place_count ? job : fleet->place_count];
    if (place->evaluation != NULL) {
        struct trib_fleet_evaluation *evaluation = place->evaluation;
        evaluation->error.status = fleet->work->evaluate_own(
            fleet->work->context, hand, place->client, values_of(fleet, place->base_block),
            &evaluation->score, &evaluation->error);
        return;
    }
    if (job < fleet->place_count) {
        work_on_update(fleet, job, hand);
        return;
    }
    uint32_t part = job - fleet->place_count;
    struct trib_error *error = &fleet->score_errors[part];
    enum trib_status status =
        fleet->work->evaluate(fleet->work->context, hand, part, values_of(fleet, fleet->scored),
                              &fleet->scores[part], error);
    error->status = status;
}

void trib_fleet_update_free(const struct trib_fleet *fleet, struct trib_fleet_update *update) {
    if (update == NULL || update == &fleet->zero) {
        return;
    }
    if (update->codec != NULL) {
        update->codec->free(update->update);
    }
    trib_block_unref(update->body);
    trib_block_unref(update->trained.next_own);
    trib_release(fleet->env, update, 1, sizeof *update);
}
