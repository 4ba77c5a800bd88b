/* fleet_combine.c - versions whose updates somebody else combines (strategy.combiner: external).
 *
 * What node/combining.c does between requests happens here at once: the heart offers a closed buffer,
 * whoever combines gets its updates as they were sent, and the delta that comes back is checked like
 * one of them. Then it is all that the version is made of. */
#include "sim/fleet_parts.h"

#include <inttypes.h>

/* The heart's slots of the version, as whoever combines sees them; counted, for they are final. */
static void gather(struct trib_fleet *fleet, trib_version version, const trib_slot *slots,
                   size_t count, struct trib_work_offered *offered) {
    for (size_t i = 0; i < count; i++) {
        const struct trib_fleet_update *update = fleet->slots[slots[i]];
        struct trib_slot_view view;
        trib_run_slot(fleet->run, slots[i], &view);
        offered[i] =
            (struct trib_work_offered){view.client, view.weight, view.examples, update->body};
        trib_fleet_tally(fleet, version, view.staleness, update);
    }
}

static enum trib_status ask(struct trib_fleet *fleet, trib_version version,
                            const struct trib_work_offered *offered, size_t count,
                            struct trib_error *error) {
    struct trib_fleet_update *combined = fleet->combined;
    enum trib_status status =
        fleet->work->combine(fleet->work->context, version, offered, count, &combined->body, error);
    if (status != TRIB_OK) {
        return status;
    }
    combined->base = fleet->model.version;
    status = trib_fleet_update_check_foreign(fleet, combined);
    if (status != TRIB_OK) {
        *error = combined->error;
        (void)trib_error_prefix(error, status, "what version %" PRIu64 " is made of", version);
    }
    return status;
}

static enum trib_status combine(struct trib_fleet *fleet, trib_version version, trib_slot *slots,
                                size_t count, struct trib_error *error) {
    struct trib_work_offered *offered = trib_allocate(fleet->env, count, sizeof *offered);
    fleet->combined = trib_allocate(fleet->env, 1, sizeof *fleet->combined);
    enum trib_status status = TRIB_EMEMORY;
    if (offered != NULL && fleet->combined != NULL) {
        gather(fleet, version, slots, count, offered);
        status = ask(fleet, version, offered, count, error);
    }
    trib_release(fleet->env, offered, count, sizeof *offered);
    return status;
}

bool trib_fleet_combine(struct trib_fleet *fleet, trib_version version) {
    struct trib_error error = {0};
    size_t count = trib_run_slots_of(fleet->run, version, NULL, 0);
    trib_slot *slots = trib_allocate(fleet->env, count, sizeof *slots);
    enum trib_status status = TRIB_EMEMORY;
    trib_fleet_update_free(fleet, fleet->combined); /* of the version before */
    fleet->combined = NULL;
    if (slots != NULL) {
        (void)trib_run_slots_of(fleet->run, version, slots, count);
        status = combine(fleet, version, slots, count, &error);
        for (size_t i = 0; i < count; i++) {
            trib_fleet_update_free(fleet, fleet->slots[slots[i]]);
            fleet->slots[slots[i]] = NULL;
        }
    }
    trib_release(fleet->env, slots, count, sizeof *slots);
    if (status != TRIB_OK) {
        trib_fleet_fail(fleet, status, &error);
    }
    return status == TRIB_OK;
}
