/* playback_ledger.c - what is on record, and whether the playback came to the same.
 *
 * The ledger is read alongside: up to the record of a version when the heart heard that it was
 * durable, and as far as a restart found it when a tape begins. So a version whose record was
 * written just before a crash counts, though no tape has heard of it. */
#include "sim/playback_parts.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "node/record_document.h"
#include "store/checkpoint.h"
#include "store/directory.h"

enum trib_status trib_playback_save_state(struct trib_playback *playback) {
    struct trib_optimizer_encoded encoded;
    trib_optimizer_state_encode(&playback->model.state, &encoded);
    size_t bytes = (size_t)encoded.source.byte_count;
    if (bytes != playback->state_bytes) {
        trib_release(playback->env, playback->state, playback->state_bytes, 1);
        playback->state = trib_allocate(playback->env, bytes, 1);
        playback->state_bytes = playback->state == NULL ? 0 : bytes;
    }
    return playback->state == NULL
               ? TRIB_EMEMORY
               : encoded.source.read(encoded.source.context, 0, playback->state, bytes);
}

static enum trib_status differ_digest(const struct trib_playback *playback, trib_version version,
                                      const struct trib_digest *expected,
                                      const struct trib_digest *found) {
    char expected_hex[TRIB_DIGEST_HEX_BYTES], found_hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(expected, expected_hex);
    trib_digest_to_hex(found, found_hex);
    return trib_error_set(playback->error, TRIB_ECORRUPT,
                          "version %" PRIu64 ": expected %s, found %s", version, expected_hex,
                          found_hex);
}

/* --- versions ----------------------------------------------------------------------------------- */

static void tell_point(struct trib_playback *playback, trib_version version, size_t updates,
                       uint64_t staleness) {
    const struct trib_playback_options *options = playback->options;
    const struct trib_fleet_report *fleet = &playback->report->fleet;
    struct trib_fleet_point point = {
        .version = version,
        .at = playback->now - playback->began_at,
        .updates = updates,
        .updates_sent = fleet->updates_sent,
        .bytes_up = fleet->bytes_up,
        .staleness = updates > 0 ? (double)staleness / (double)updates : 0.0,
        .loss = version > 0 && playback->made.losses > 0
                    ? playback->made.loss / (double)playback->made.losses
                    : (double)NAN,
        .test_accuracy = NAN,
        .test_loss = NAN,
        .digest = playback->model.digest,
    };
    if (options->point != NULL) {
        trib_playback_evaluate(playback, &point);
        options->point(options->context, &point);
    }
}

/* As the daemon takes in a first model. */
static enum trib_status import_first(struct trib_playback *playback,
                                     const struct trib_digest *expected,
                                     struct trib_layout **layout, struct trib_block **version) {
    const struct trib_block *model = playback->options->model;
    const struct trib_source source = trib_source_of_memory(model->bytes, model->byte_count);
    struct trib_digest found;
    enum trib_status status =
        trib_model_import(playback->env, playback->spec, &source, layout, version, playback->error);
    if (status != TRIB_OK) {
        return status;
    }
    trib_digest_of((*version)->bytes, (*version)->byte_count, &found);
    if (trib_digest_equal(expected, &found)) {
        return TRIB_OK;
    }
    trib_layout_free(*layout);
    return differ_digest(playback, 0, expected, &found);
}

static enum trib_status load_first(struct trib_playback *playback,
                                   const struct trib_digest *expected, struct trib_layout **layout,
                                   struct trib_block **version) {
    const struct trib_playback_options *options = playback->options;
    char path[TRIB_DIRECTORY_PATH_BYTES];
    enum trib_status status = trib_checkpoint_load_version(
        playback->env, options->files, trib_directory_path(path, options->run, NULL), 0, expected,
        version, playback->error);
    if (status == TRIB_OK) {
        status = trib_model_read_layout(playback->env, playback->spec, *version, layout,
                                        playback->error);
    }
    return status == TRIB_OK ? TRIB_OK : trib_error_prefix(playback->error, status, "version 0");
}

/* Version 0: the one that was kept, or the one that is said to be it. */
static enum trib_status take_first_version(struct trib_playback *playback,
                                           const struct trib_digest *expected) {
    struct trib_block *version = NULL;
    struct trib_layout *layout = NULL;
    enum trib_status status = playback->options->model != NULL
                                  ? import_first(playback, expected, &layout, &version)
                                  : load_first(playback, expected, &layout, &version);
    if (status == TRIB_OK) {
        status = trib_model_init(&playback->model, playback->env, playback->spec, layout, version,
                                 0, playback->error);
        playback->has_model = status == TRIB_OK;
    }
    trib_block_unref(version);
    if (status != TRIB_OK) {
        return status;
    }
    tell_point(playback, 0, 0, 0);
    return trib_playback_save_state(playback);
}

static enum trib_status compare_update(const struct trib_playback *playback,
                                       const struct trib_counted *expected,
                                       const struct trib_playback_counted *found) {
    trib_version version = playback->made.version;
    if (strcmp(expected->client, found->client) != 0 ||
        strcmp(expected->update, found->update) != 0) {
        return trib_error_set(playback->error, TRIB_ECORRUPT,
                              "version %" PRIu64 ": expected update %s of %s, found %s of %s",
                              version, expected->update, expected->client, found->update,
                              found->client);
    }
    const struct {
        const char *name;
        uint64_t expected, found;
    } fields[] = {
        {"base", expected->base, found->base},
        {"staleness", expected->staleness, found->staleness},
        {"weight", expected->weight, found->weight},
        {"examples", expected->examples, found->examples},
        {"digest", 0, !trib_digest_equal(&expected->digest, &found->digest)},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].expected != fields[i].found) {
            return trib_error_set(playback->error, TRIB_ECORRUPT,
                                  "version %" PRIu64 ": update %s of %s: expected %s %" PRIu64
                                  ", found %" PRIu64,
                                  version, found->update, found->client, fields[i].name,
                                  fields[i].expected, fields[i].found);
        }
    }
    return TRIB_OK;
}

static enum trib_status compare_updates(const struct trib_playback *playback,
                                        const json_t *updates) {
    size_t count = json_array_size(updates);
    for (size_t i = 0; i < count && i < playback->made.count; i++) {
        struct trib_counted expected;
        if (!trib_counted_read(json_array_get(updates, i), &expected)) {
            return trib_error_set(playback->error, TRIB_ECORRUPT,
                                  "version %" PRIu64 ": update %zu of its record is malformed",
                                  playback->made.version, i);
        }
        enum trib_status status = compare_update(playback, &expected, &playback->made.updates[i]);
        if (status != TRIB_OK) {
            return status;
        }
    }
    return count == playback->made.count
               ? TRIB_OK
               : trib_error_set(playback->error, TRIB_ECORRUPT,
                                "version %" PRIu64 ": expected %zu updates, found %zu",
                                playback->made.version, count, playback->made.count);
}

static uint64_t staleness_of(const struct trib_playback *playback) {
    uint64_t staleness = 0;
    for (size_t i = 0; i < playback->made.count; i++) {
        staleness += playback->made.updates[i].staleness;
    }
    return staleness;
}

static bool may_go_on(const struct trib_playback *playback) {
    const struct trib_playback_options *options = playback->options;
    const struct trib_fleet_progress progress = {
        .version = playback->model.version,
        .now = playback->now - playback->began_at,
        .updates_sent = playback->report->fleet.updates_sent,
    };
    return options->progress == NULL || options->progress(options->context, &progress);
}

/* The version that was merged is the one of this record: it becomes the current one. */
static enum trib_status take_version(struct trib_playback *playback, const json_t *record) {
    struct trib_digest expected;
    trib_version version = trib_record_number(record, "version");
    if (!trib_record_digest(record, "model", &expected)) {
        return trib_error_set(playback->error, TRIB_ECORRUPT, "version %" PRIu64 " has no digest",
                              version);
    }
    if (version == 0 && !playback->has_model && playback->spec != NULL) {
        return take_first_version(playback, &expected);
    }
    if (version != playback->made.version || playback->model.next == NULL) {
        return trib_error_set(playback->error, TRIB_ECORRUPT,
                              "version %" PRIu64 " is on record, and tape %" PRIu64
                              " does not come to it",
                              version, playback->tape);
    }
    enum trib_status status = compare_updates(playback, json_object_get(record, "updates"));
    if (status == TRIB_OK && !may_go_on(playback)) {
        return trib_error_set(playback->error, TRIB_ECLOSED, "interrupted");
    }
    if (status == TRIB_OK && !trib_digest_equal(&expected, &playback->model.next_digest)) {
        status = differ_digest(playback, version, &expected, &playback->model.next_digest);
    }
    if (status != TRIB_OK) {
        return status;
    }
    struct trib_playback_report *report = playback->report;
    report->versions++;
    report->updates += playback->made.count;
    report->fleet.updates_counted = report->updates;
    trib_block_unref(playback->previous);
    playback->previous = trib_block_ref(playback->model.current);
    trib_model_advance(&playback->model);
    tell_point(playback, version, playback->made.count, staleness_of(playback));
    playback->made.version = 0;
    return trib_playback_save_state(playback);
}

/* --- states ------------------------------------------------------------------------------------- */

static enum trib_status take_state(struct trib_playback *playback, const json_t *record) {
    const char *state = json_string_value(json_object_get(record, "state"));
    const char *reason = json_string_value(json_object_get(record, "reason"));
    const char *found =
        playback->change.is_set ? trib_run_state_name(playback->change.state) : "no change";
    bool is_same = playback->change.is_set && state != NULL && strcmp(state, found) == 0 &&
                   reason != NULL && strcmp(reason, playback->change.reason) == 0;
    playback->change.is_set = false;
    return is_same ? TRIB_OK
                   : trib_error_set(playback->error, TRIB_ECORRUPT,
                                    "state after version %" PRIu64
                                    ": expected %.20s (%.60s), found %s (%.60s)",
                                    playback->model.version, state == NULL ? "" : state,
                                    reason == NULL ? "" : reason, found, playback->change.reason);
}

/* --- records ------------------------------------------------------------------------------------ */

struct walk {
    struct trib_playback *playback;
    const char *until; /* this type of record is the last; NULL: none is */
    bool is_found;
};

static enum trib_status take_record(void *context, const struct trib_ledger_record *record) {
    struct walk *walk = context;
    struct trib_playback *playback = walk->playback;
    json_t *document = json_loadb(record->payload, record->payload_bytes, 0, NULL);
    if (document == NULL) {
        return trib_error_set(playback->error, TRIB_ECORRUPT, "record %" PRIu64 " is not JSON",
                              record->index);
    }
    const char *type = trib_record_type(document);
    enum trib_status status = trib_revisions_take(&playback->revisions, document);
    if (status == TRIB_OK && strcmp(type, "version") == 0) {
        status = take_version(playback, document);
    } else if (status == TRIB_OK && strcmp(type, "state") == 0) {
        status = take_state(playback, document);
    }
    playback->next_record = record->index + 1;
    walk->is_found = walk->until != NULL && strcmp(type, walk->until) == 0;
    if (status != TRIB_OK && status != TRIB_ECLOSED) {
        (void)trib_error_prefix(playback->error, status, "record %" PRIu64, record->index);
    }
    json_decref(document);
    return status == TRIB_OK && walk->is_found ? TRIB_ELIMIT : status;
}

static enum trib_status walk_records(struct trib_playback *playback, uint64_t count,
                                     const char *until) {
    struct walk walk = {playback, until, false};
    enum trib_status status =
        trib_ledger_read(playback->ledger, playback->next_record, count, &walk, take_record);
    if (walk.is_found && status == TRIB_ELIMIT) {
        return TRIB_OK;
    }
    return status == TRIB_OK && until != NULL
               ? trib_error_set(playback->error, TRIB_ECORRUPT,
                                "the ledger ends before a %s that tape %" PRIu64 " tells of", until,
                                playback->tape)
               : status;
}

enum trib_status trib_playback_catch_up(struct trib_playback *playback, uint64_t record_end) {
    return playback->next_record < record_end
               ? walk_records(playback, record_end - playback->next_record, NULL)
               : TRIB_OK;
}

enum trib_status trib_playback_find_version(struct trib_playback *playback) {
    return walk_records(playback, UINT64_MAX, "version");
}

enum trib_status trib_playback_find_state(struct trib_playback *playback) {
    return walk_records(playback, UINT64_MAX, "state");
}

/* --- combined outside --------------------------------------------------------------------------- */

static enum trib_status find_combined(void *context, const struct trib_ledger_record *record) {
    struct trib_playback *playback = context;
    struct trib_digest digest;
    json_t *document = json_loadb(record->payload, record->payload_bytes, 0, NULL);
    bool is_version = strcmp(trib_record_type(document), "version") == 0;
    bool is_combined =
        is_version && trib_record_digest(json_object_get(document, "combined"), "digest", &digest);
    json_decref(document);
    if (!is_version) {
        return TRIB_OK;
    }
    playback->combined = is_combined ? trib_bodies_find_combined(&playback->bodies, &digest) : NULL;
    return TRIB_ELIMIT;
}

/* What came for the version is named by its record, the next of a version. A tape may tell of a merge
 * whose version never came to be; then any will do. */
enum trib_status trib_playback_fold_combined(struct trib_playback *playback, uint32_t accumulator) {
    playback->combined = NULL;
    enum trib_status status = trib_ledger_read(playback->ledger, playback->next_record, UINT64_MAX,
                                               playback, find_combined);
    if (status != TRIB_OK && status != TRIB_ELIMIT) {
        return status;
    }
    if (playback->combined == NULL) {
        return status == TRIB_OK ? TRIB_OK
                                 : trib_error_set(playback->error, TRIB_EUNSUPPORTED,
                                                  "what was combined for it is no longer kept");
    }
    return trib_replay_fold(&playback->model, accumulator, playback->spool, playback->combined, 1,
                            playback->error);
}

/* --- evaluation --------------------------------------------------------------------------------- */

void trib_playback_evaluate(struct trib_playback *playback, struct trib_fleet_point *point) {
    const struct trib_work *work = playback->options->work;
    uint32_t every = playback->spec->evaluate.every;
    if (work == NULL || work->evaluate == NULL || every == 0 || point->version == 0 ||
        point->version % every != 0) {
        return;
    }
    const struct trib_model *model = &playback->model;
    const float *values = (const float *)(model->current->bytes + model->layout->data_offset);
    struct trib_work_score sum = {0};
    for (uint32_t part = 0; part < work->evaluate_parts; part++) {
        struct trib_work_score score = {0};
        if (work->evaluate(work->context, 0, part, values, &score, playback->error) != TRIB_OK) {
            return; /* how good a version is does not decide whether it is the same */
        }
        sum.examples += score.examples;
        sum.correct += score.correct;
        sum.loss += score.loss;
    }
    point->is_evaluated = true;
    point->test_accuracy = sum.correct / (double)sum.examples;
    point->test_loss = sum.loss / (double)sum.examples;
}
