/* replay.c - make recorded versions again from the spool: after a restart, and to prove a ledger. */
#include "node/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json_memory.h"
#include "node/record_document.h"
#include "store/directory.h"
#include "wire/documents.h"

#define SPEC_BYTES_MAX ((size_t)16 << 20)
#define KEY_BYTES (2 * TRIB_NAME_BYTES)

void trib_bodies_init(struct trib_bodies *bodies, const struct trib_env *env) {
    memset(bodies, 0, sizeof *bodies);
    bodies->env = env;
    trib_map_init(&bodies->map, env);
}

void trib_bodies_deinit(struct trib_bodies *bodies) {
    if (bodies->env != NULL) {
        trib_map_deinit(&bodies->map);
        trib_release(bodies->env, bodies->items, bodies->capacity, sizeof *bodies->items);
    }
    memset(bodies, 0, sizeof *bodies);
}

static size_t make_key(const char *client, const char *update, char key[KEY_BYTES]) {
    return (size_t)snprintf(key, KEY_BYTES, "%s/%s", client, update);
}

static size_t make_combined_key(const struct trib_digest *digest, char key[KEY_BYTES]) {
    char hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(digest, hex);
    return make_key("", hex, key); /* no client is called so */
}

bool trib_bodies_add(struct trib_bodies *bodies, const struct trib_spool_entry *entry,
                     bool *is_repeat) {
    char key[KEY_BYTES];
    size_t key_bytes = entry->kind == TRIB_SPOOL_COMBINED
                           ? make_combined_key(&entry->digest, key)
                           : make_key(entry->client, entry->update, key);
    *is_repeat = trib_map_get(&bodies->map, key, key_bytes, NULL);
    if (*is_repeat) {
        return true;
    }
    if (bodies->count == bodies->capacity) {
        size_t capacity = bodies->capacity == 0 ? 64 : 2 * bodies->capacity;
        struct trib_spool_entry *items =
            trib_regrow(bodies->env, bodies->items, bodies->capacity, capacity, sizeof *items);
        if (items == NULL) {
            return false;
        }
        bodies->items = items;
        bodies->capacity = capacity;
    }
    if (!trib_map_put(&bodies->map, key, key_bytes, bodies->count)) {
        return false;
    }
    bodies->items[bodies->count++] = *entry;
    return true;
}

static const struct trib_spool_entry *find(const struct trib_bodies *bodies, const char *key,
                                           size_t key_bytes) {
    uint64_t index;
    return trib_map_get(&bodies->map, key, key_bytes, &index) ? &bodies->items[index] : NULL;
}

const struct trib_spool_entry *trib_bodies_find(const struct trib_bodies *bodies,
                                                const char *client, const char *update) {
    char key[KEY_BYTES];
    return find(bodies, key, make_key(client, update, key));
}

const struct trib_spool_entry *trib_bodies_find_combined(const struct trib_bodies *bodies,
                                                         const struct trib_digest *digest) {
    char key[KEY_BYTES];
    return find(bodies, key, make_combined_key(digest, key));
}

/* --- revisions ------------------------------------------------------------------------------------- */

struct trib_revision_row {
    trib_version from;
    json_t *spec;
};

void trib_revisions_init(struct trib_revisions *revisions, const struct trib_env *env) {
    memset(revisions, 0, sizeof *revisions);
    revisions->env = env;
}

void trib_revisions_deinit(struct trib_revisions *revisions) {
    for (size_t i = 0; i < revisions->count; i++) {
        json_decref(revisions->rows[i].spec);
    }
    if (revisions->env != NULL) {
        trib_release(revisions->env, revisions->rows, revisions->capacity, sizeof *revisions->rows);
    }
    memset(revisions, 0, sizeof *revisions);
}

enum trib_status trib_revisions_take(struct trib_revisions *revisions, const json_t *record) {
    if (strcmp(trib_record_type(record), "revision") != 0) {
        return TRIB_OK;
    }
    json_t *spec = json_object_get(record, "spec");
    if (!json_is_object(spec)) {
        return TRIB_ECORRUPT;
    }
    if (revisions->count == revisions->capacity) {
        size_t capacity = revisions->capacity == 0 ? 4 : 2 * revisions->capacity;
        struct trib_revision_row *rows = trib_regrow(revisions->env, revisions->rows,
                                                     revisions->capacity, capacity, sizeof *rows);
        if (rows == NULL) {
            return TRIB_EMEMORY;
        }
        revisions->rows = rows;
        revisions->capacity = capacity;
    }
    revisions->rows[revisions->count++] = (struct trib_revision_row){
        .from = trib_record_number(record, "version"), .spec = json_incref(spec)};
    return TRIB_OK;
}

/* The newest record decides: one may have been replaced before it held. */
const json_t *trib_revisions_find(const struct trib_revisions *revisions, trib_version version) {
    for (size_t i = revisions->count; i-- > 0;) {
        if (revisions->rows[i].from <= version) {
            return revisions->rows[i].spec;
        }
    }
    return NULL;
}

trib_version trib_revisions_next(const struct trib_revisions *revisions, trib_version version) {
    bool is_open = revisions->count > 0 && revisions->rows[revisions->count - 1].from > version;
    return is_open ? revisions->rows[revisions->count - 1].from : 0;
}

/* --- from files ------------------------------------------------------------------------------------ */

enum trib_status trib_replay_read_spec(const struct trib_env *env, const struct trib_files *files,
                                       const char *run, struct trib_spec **spec,
                                       struct trib_error *error) {
    char path[TRIB_DIRECTORY_PATH_BYTES];
    char *text = NULL;
    size_t bytes = 0;
    *spec = NULL;
    enum trib_status status = trib_files_read_all(
        env, files, trib_directory_path(path, run, "spec.json"), SPEC_BYTES_MAX, &text, &bytes);
    if (status != TRIB_OK) {
        return trib_error_set(error, status, "spec.json: %s", trib_status_text(status));
    }
    json_t *document = NULL;
    (void)trib_json_was_refused(); /* a note of before says nothing about this */
    status = trib_document_read(text, bytes, &document, error);
    if (status == TRIB_OK) {
        status = trib_spec_parse(env, document, spec, error);
    }
    json_decref(document);
    trib_release(env, text, bytes + 1, 1);
    if (trib_json_was_refused() && status == TRIB_OK) { /* its defaults may be others */
        trib_spec_free(*spec);
        *spec = NULL;
        status = trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    return status == TRIB_OK ? TRIB_OK : trib_error_prefix(error, status, "spec.json");
}

bool trib_replay_start_read(const json_t *document, struct trib_replay_start *start) {
    struct trib_replay_start read = {.version = trib_record_number(document, "version")};
    bool is_there = strcmp(trib_record_type(document), "version") == 0 &&
                    json_is_true(json_object_get(document, "checkpoint")) &&
                    trib_record_digest(document, "model", &read.model) &&
                    trib_record_digest(document, "state", &read.state);
    if (is_there) {
        *start = read;
    }
    return is_there;
}

static enum trib_status load_whole(const struct trib_env *env, const struct trib_files *files,
                                   const char *run_path, const struct trib_spec *spec,
                                   const struct trib_replay_start *start, struct trib_model *model,
                                   struct trib_error *error) {
    struct trib_block *block = NULL, *state = NULL;
    struct trib_layout *layout = NULL;
    enum trib_status status = trib_checkpoint_load_version(env, files, run_path, start->version,
                                                           &start->model, &block, error);
    if (status == TRIB_OK) {
        status = trib_checkpoint_load_state(env, files, run_path, start->version, &start->state,
                                            &state, error);
    }
    if (status == TRIB_OK) {
        status = trib_model_read_layout(env, spec, block, &layout, error);
    }
    if (status == TRIB_OK) {
        status = trib_model_init(model, env, spec, layout, block, start->version, error);
    }
    if (status == TRIB_OK) {
        status = trib_model_set_state(model, state->bytes, state->byte_count);
    }
    trib_block_unref(block);
    trib_block_unref(state);
    return status;
}

/* The bytes of an open file have the digest of the record. */
static enum trib_status compare_file(const struct trib_env *env,
                                     const struct trib_checkpoint_reader *reader,
                                     const struct trib_digest *expected, struct trib_error *error) {
    enum trib_status status = trib_checkpoint_verify(env, reader, expected);
    return status == TRIB_OK
               ? status
               : trib_error_set(error, status, "checkpoint: %s", trib_status_text(status));
}

/* The steps of the optimizer; its vectors stay where they are. */
static enum trib_status load_steps(const struct trib_files *files, const char *run_path,
                                   const struct trib_replay_start *start, struct trib_model *model,
                                   struct trib_error *error) {
    struct trib_checkpoint_reader reader;
    unsigned char head[TRIB_OPTIMIZER_HEAD_BYTES];
    struct trib_optimizer_encoded expected;
    trib_optimizer_state_encode(&model->state, &expected);
    enum trib_status status = trib_checkpoint_open(files, run_path, TRIB_CHECKPOINT_STATE,
                                                   start->version, &reader, error);
    if (status == TRIB_OK) {
        status = compare_file(model->env, &reader, &start->state, error);
    }
    if (status == TRIB_OK && reader.source.byte_count != expected.source.byte_count) {
        status = TRIB_ECORRUPT;
    }
    if (status == TRIB_OK) {
        status = reader.source.read(reader.source.context, 0, head, sizeof head);
    }
    if (status == TRIB_OK) {
        status = trib_optimizer_state_decode_head(&model->state, head);
    }
    trib_checkpoint_close(&reader);
    return status;
}

static enum trib_status load_ranged(const struct trib_env *env, const struct trib_files *files,
                                    const char *run_path, const struct trib_spec *spec,
                                    const struct trib_replay_start *start,
                                    const struct trib_checkpoint_reader *version,
                                    struct trib_layout *layout, uint64_t window_bytes,
                                    struct trib_model *model, struct trib_error *error) {
    enum trib_status status = compare_file(env, version, &start->model, error);
    if (status != TRIB_OK) {
        trib_layout_free(layout);
        return status;
    }
    status = trib_model_init_ranged(model, env, spec, layout, &start->model, start->version,
                                    window_bytes, error);
    if (status == TRIB_OK) {
        status = load_steps(files, run_path, start, model, error);
        model->has_stored_state = true;
    }
    return status;
}

enum trib_status trib_replay_load(const struct trib_env *env, const struct trib_files *files,
                                  const char *run_path, const struct trib_spec *spec,
                                  const struct trib_replay_start *start, uint64_t bytes_free,
                                  struct trib_model *model, struct trib_error *error) {
    struct trib_checkpoint_reader version;
    struct trib_layout *stored = NULL, *layout = NULL;
    uint64_t window_bytes = 0;
    memset(model, 0, sizeof *model);
    enum trib_status status = trib_checkpoint_open(files, run_path, TRIB_CHECKPOINT_VERSION,
                                                   start->version, &version, error);
    if (status == TRIB_OK) {
        status = trib_model_import_layouts(env, spec, &version.source, &stored, &layout, error);
        trib_layout_free(stored);
    }
    if (status == TRIB_OK) {
        window_bytes = trib_ranged_window_bytes(spec, layout, bytes_free);
    }
    if (status == TRIB_OK && window_bytes > 0) {
        status = load_ranged(env, files, run_path, spec, start, &version, layout, window_bytes,
                             model, error);
    } else if (status == TRIB_OK) {
        trib_layout_free(layout);
        status = load_whole(env, files, run_path, spec, start, model, error);
    }
    trib_checkpoint_close(&version);
    if (status != TRIB_OK) {
        (void)trib_error_prefix(error, status, "version %" PRIu64, start->version);
        trib_model_deinit(model);
    }
    return status;
}

/* --- one version ---------------------------------------------------------------------------------- */

enum trib_status trib_replay_fold(struct trib_model *model, uint32_t accumulator,
                                  const struct trib_spool *spool,
                                  const struct trib_spool_entry *entry, uint64_t weight,
                                  struct trib_error *error) {
    struct trib_spool_reader reader = {0};
    struct trib_weighted_update update = {
        .codec = trib_codec_find(entry->codec), .weight = weight, .base = entry->base};
    if (update.codec == NULL) {
        return trib_error_set(error, TRIB_EUNSUPPORTED, "codec %s is not known", entry->codec);
    }
    enum trib_status status = trib_spool_read_verify(spool, &entry->place, &entry->digest);
    if (status == TRIB_OK) {
        status = trib_spool_read_open(spool, &entry->place, &reader);
    }
    if (status != TRIB_OK) {
        return trib_error_set(error, status, "body: %s", trib_status_text(status));
    }
    struct trib_update_metadata metadata = {0};
    status = update.codec->open(model->env, model->layout, &reader.source, &update.update,
                                &metadata, error);
    if (status == TRIB_OK) {
        status = trib_model_count(model, accumulator, &update);
    }
    if (status == TRIB_OK) {
        status = trib_model_fold(model, accumulator, &update, 1, 0, model->layout->element_count);
    }
    update.codec->free(update.update);
    trib_spool_read_close(&reader);
    return status;
}

/* Every body of the record is there, and is the one that was counted. */
static enum trib_status find_all(const struct trib_bodies *bodies, const json_t *updates,
                                 struct trib_ranged_update *found, struct trib_error *error) {
    size_t i;
    json_t *element;
    json_array_foreach(updates, i, element) {
        struct trib_counted counted;
        if (!trib_counted_read(element, &counted)) {
            return trib_error_set(error, TRIB_ECORRUPT, "update %zu of the record is malformed", i);
        }
        const struct trib_spool_entry *entry =
            trib_bodies_find(bodies, counted.client, counted.update);
        if (entry == NULL) {
            return trib_error_set(error, TRIB_ENOTFOUND, "update %s of %s is no longer kept",
                                  counted.update, counted.client);
        }
        if (!trib_digest_equal(&entry->digest, &counted.digest)) {
            return trib_error_set(error, TRIB_ECORRUPT,
                                  "update %s of %s: the body kept is not the one counted",
                                  counted.update, counted.client);
        }
        found[i] = (struct trib_ranged_update){entry, counted.weight};
    }
    return TRIB_OK;
}

static enum trib_status compare_model(const struct trib_model *model, const json_t *record,
                                      struct trib_error *error) {
    struct trib_digest recorded;
    if (!trib_record_digest(record, "model", &recorded) ||
        !trib_digest_equal(&recorded, &model->next_digest)) {
        return trib_error_set(error, TRIB_ECORRUPT, "the recomputed model has another digest");
    }
    return TRIB_OK;
}

static enum trib_status merge(struct trib_model *model, const json_t *record,
                              struct trib_error *error) {
    enum trib_status status = trib_model_merge_begin(model, 0);
    if (status == TRIB_OK) {
        status = trib_model_merge_range(model, 0, model->layout->element_count, error);
    }
    if (status != TRIB_OK) {
        return status;
    }
    trib_model_merge_end(model);
    status = compare_model(model, record, error);
    if (status == TRIB_OK) {
        trib_model_advance(model);
    }
    return status;
}

/* Of a ranged model: all of them window by window, into the files of the version. */
static enum trib_status make_ranged(struct trib_model *model, const struct trib_replay_place *place,
                                    const struct trib_ranged_update *updates, size_t count,
                                    const json_t *record, struct trib_error *error) {
    struct trib_ranged ranged = {
        .model = model,
        .files = place->files,
        .path = place->run_path,
        .spool = place->spool,
        .updates = updates,
        .update_count = count,
    };
    struct trib_digest state;
    enum trib_status status = TRIB_OK;
    for (size_t i = 0; status == TRIB_OK && i < count; i++) {
        status = trib_ranged_count(model, 0, place->spool, &updates[i], error);
    }
    if (status == TRIB_OK) {
        status = trib_ranged_run(&ranged, error);
    }
    if (status == TRIB_OK) {
        status = compare_model(model, record, error);
    }
    if (status == TRIB_OK) {
        status = trib_ranged_publish(model->env, &ranged.draft, &state, error);
    }
    trib_ranged_close(&ranged);
    if (status == TRIB_OK) {
        trib_model_advance(model);
    }
    return status;
}

/* Of a resident model: one after the other into the sum, then the version in one piece. */
static enum trib_status make_resident(struct trib_model *model,
                                      const struct trib_replay_place *place,
                                      const struct trib_ranged_update *updates, size_t count,
                                      const json_t *record, struct trib_error *error) {
    enum trib_status status = TRIB_OK;
    for (size_t i = 0; status == TRIB_OK && i < count; i++) {
        status =
            trib_replay_fold(model, 0, place->spool, updates[i].entry, updates[i].weight, error);
    }
    return status == TRIB_OK ? merge(model, record, error) : status;
}

/* What the version was combined of outside: one body, which is all that is needed. */
static enum trib_status find_combined(const struct trib_bodies *bodies, const json_t *combined,
                                      struct trib_ranged_update *update, struct trib_error *error) {
    struct trib_digest digest;
    if (!trib_record_digest(combined, "digest", &digest)) {
        return trib_error_set(error, TRIB_ECORRUPT, "the record of what was combined is malformed");
    }
    *update = (struct trib_ranged_update){trib_bodies_find_combined(bodies, &digest), 1};
    return update->entry != NULL
               ? TRIB_OK
               : trib_error_set(error, TRIB_ENOTFOUND, "what was combined is no longer kept");
}

static enum trib_status make(struct trib_model *model, const struct trib_replay_place *place,
                             const json_t *record, struct trib_error *error) {
    const json_t *combined = json_object_get(record, "combined");
    const json_t *list = json_object_get(record, "updates");
    const size_t count = combined != NULL ? 1 : json_array_size(list);
    struct trib_ranged_update *updates = trib_allocate(model->env, count, sizeof *updates);
    enum trib_status status = updates != NULL ? TRIB_OK : TRIB_EMEMORY;
    if (status == TRIB_OK) {
        status = combined != NULL ? find_combined(place->bodies, combined, updates, error)
                                  : find_all(place->bodies, list, updates, error);
    }
    if (status == TRIB_OK) {
        status = (model->window_bytes > 0 ? make_ranged : make_resident)(model, place, updates,
                                                                         count, record, error);
    }
    trib_release(model->env, updates, count, sizeof *updates);
    return status;
}

enum trib_status trib_replay_version(struct trib_model *model,
                                     const struct trib_replay_place *place, const json_t *record,
                                     struct trib_error *error) {
    uint64_t version = trib_record_number(record, "version");
    TRIB_ASSERT(version == model->version + 1);
    enum trib_status status = make(model, place, record, error);
    return status == TRIB_OK ? TRIB_OK
                             : trib_error_prefix(error, status, "version %" PRIu64, version);
}
