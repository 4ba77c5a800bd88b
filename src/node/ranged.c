/* ranged.c - the versions of a model that is larger than memory, made window by window from files to a file. */
#include "node/ranged.h"

#include <string.h>

/* Windows are cut at multiples of this, as the parts of a window are (phases.h). */
#define WINDOW_STEP UINT64_C(1024)
/* Updates whose heads are open at one time, for each thread: as many as are folded in one pass. */
#define OPEN_MAX 8
/* What is all zero in a fresh file is not written: large models that begin with zeros, and the
 * state of what was never trained, take no place on disk. */
#define HOLE_BYTES ((size_t)1 << 16)
/* Elements of version 0 that are converted at a time. */
#define IMPORT_ELEMENTS ((size_t)1 << 18)

uint64_t trib_ranged_window_bytes(const struct trib_spec *spec, const struct trib_layout *layout,
                                  uint64_t bytes_free) {
    bool is_resident = trib_model_bytes_of(spec, layout) <= bytes_free ||
                       spec->durability != TRIB_DURABILITY_SPOOL;
    if (is_resident) {
        return 0;
    }
    uint64_t half = bytes_free / 2;
    uint64_t bytes = half < TRIB_WINDOW_BYTES_MAX ? half : TRIB_WINDOW_BYTES_MAX;
    return bytes > TRIB_WINDOW_BYTES_MIN ? bytes : TRIB_WINDOW_BYTES_MIN;
}

/* --- files in the making ------------------------------------------------------------------------ */

static enum trib_status begin_draft(struct trib_ranged_draft *draft, const struct trib_files *files,
                                    const char *path, trib_version version,
                                    const struct trib_layout *layout,
                                    const struct trib_optimizer_state *state,
                                    struct trib_error *error) {
    struct trib_optimizer_encoded encoded;
    trib_optimizer_state_encode(state, &encoded);
    *draft = (struct trib_ranged_draft){.files = files, .path = path, .version = version};
    enum trib_status status =
        trib_checkpoint_begin(files, path, TRIB_CHECKPOINT_VERSION, version,
                              layout->data_offset + layout->data_bytes, &draft->model, error);
    if (status == TRIB_OK) {
        status = trib_checkpoint_begin(files, path, TRIB_CHECKPOINT_STATE, version,
                                       encoded.source.byte_count, &draft->state, error);
    }
    return status;
}

enum trib_status trib_ranged_publish(const struct trib_env *env, struct trib_ranged_draft *draft,
                                     struct trib_digest *digest, struct trib_error *error) {
    TRIB_ASSERT(draft->model != NULL && draft->state != NULL);
    const struct trib_files *files = draft->files;
    struct trib_file *model = draft->model;
    draft->model = NULL;
    enum trib_status status = trib_checkpoint_publish(
        env, files, draft->path, TRIB_CHECKPOINT_VERSION, draft->version, model, NULL, error);
    if (status == TRIB_OK) {
        struct trib_file *state = draft->state;
        draft->state = NULL;
        status = trib_checkpoint_publish(env, files, draft->path, TRIB_CHECKPOINT_STATE,
                                         draft->version, state, digest, error);
    }
    trib_ranged_discard(draft);
    return status;
}

void trib_ranged_discard(struct trib_ranged_draft *draft) {
    if (draft->files == NULL) {
        return;
    }
    trib_checkpoint_abandon(draft->files, draft->path, TRIB_CHECKPOINT_VERSION, draft->version,
                            draft->model);
    trib_checkpoint_abandon(draft->files, draft->path, TRIB_CHECKPOINT_STATE, draft->version,
                            draft->state);
    memset(draft, 0, sizeof *draft);
}

static bool is_zero(const unsigned char *bytes, size_t count) {
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0;
}

static enum trib_status write_unless_zero(const struct trib_files *files, struct trib_file *file,
                                          uint64_t offset, const void *bytes, uint64_t count) {
    enum trib_status status = TRIB_OK;
    const unsigned char *next = bytes;
    while (count > 0 && status == TRIB_OK) {
        const size_t piece = count < HOLE_BYTES ? (size_t)count : HOLE_BYTES;
        if (!is_zero(next, piece)) {
            status = files->write_at(files->context, file, offset, next, piece);
        }
        offset += piece;
        next += piece;
        count -= piece;
    }
    return status;
}

/* The head of a version into its draft, if there is one, and the digest. */
static enum trib_status write_head(const struct trib_env *env, const struct trib_layout *layout,
                                   const struct trib_ranged_draft *draft,
                                   struct trib_digester *digester) {
    const size_t head_bytes = (size_t)layout->data_offset;
    void *head = trib_allocate(env, head_bytes, 1);
    if (head == NULL) {
        return TRIB_EMEMORY;
    }
    trib_safetensors_write_head(layout, head, head_bytes);
    trib_digester_add(digester, head, head_bytes);
    enum trib_status status = TRIB_OK;
    if (draft != NULL) {
        status = draft->files->write_at(draft->files->context, draft->model, 0, head, head_bytes);
    }
    trib_release(env, head, head_bytes, 1);
    return status;
}

static enum trib_status write_state_head(const struct trib_ranged_draft *draft,
                                         const struct trib_optimizer_state *state) {
    struct trib_optimizer_encoded encoded;
    trib_optimizer_state_encode(state, &encoded);
    return draft->files->write_at(draft->files->context, draft->state, TRIB_CHECKPOINT_STATE_OFFSET,
                                  encoded.head, sizeof encoded.head);
}

/* Where a train element of a state vector lies behind the head of the state's bytes. */
static uint64_t state_offset(const struct trib_optimizer_state *state, size_t which,
                             uint64_t train_element) {
    return TRIB_OPTIMIZER_HEAD_BYTES +
           (which * state->train_element_count + train_element) * sizeof(float);
}

/* --- version 0 ---------------------------------------------------------------------------------- */

static enum trib_status write_first_state(const struct trib_ranged_draft *draft,
                                          const struct trib_optimizer *optimizer,
                                          const struct trib_optimizer_state *state, float *values) {
    enum trib_status status = write_state_head(draft, state);
    for (size_t which = 0; which < state->vector_count; which++) {
        trib_optimizer_state_fill(optimizer, which, values, IMPORT_ELEMENTS);
        for (uint64_t at = 0; status == TRIB_OK && at < state->train_element_count;) {
            uint64_t left = state->train_element_count - at;
            uint64_t count = left < IMPORT_ELEMENTS ? left : IMPORT_ELEMENTS;
            status =
                write_unless_zero(draft->files, draft->state,
                                  TRIB_CHECKPOINT_STATE_OFFSET + state_offset(state, which, at),
                                  values, count * sizeof(float));
            at += count;
        }
    }
    return status;
}

static enum trib_status convert(const struct trib_ranged_import *import,
                                const struct trib_ranged_draft *draft,
                                struct trib_digester *digester, float *values, double *square_sum,
                                struct trib_error *error) {
    const struct trib_layout *layout = import->layout;
    enum trib_status status = write_head(import->env, layout, draft, digester);
    for (uint64_t at = 0; status == TRIB_OK && at < layout->element_count;) {
        uint64_t left = layout->element_count - at;
        uint64_t count = left < IMPORT_ELEMENTS ? left : IMPORT_ELEMENTS;
        status = trib_safetensors_import_range(import->file_layout, import->source, layout, at,
                                               count, values, error);
        if (status == TRIB_OK) {
            trib_digester_add(digester, values, (size_t)count * sizeof *values);
            trib_model_add_squares(layout, at, count, values, square_sum);
        }
        if (status == TRIB_OK && draft != NULL) {
            status = write_unless_zero(import->files, draft->model,
                                       layout->data_offset + at * sizeof *values, values,
                                       count * sizeof *values);
        }
        at += count;
    }
    return status;
}

enum trib_status trib_ranged_import(const struct trib_ranged_import *import,
                                    struct trib_ranged_draft *draft, struct trib_digest *digest,
                                    double *scale, struct trib_error *error) {
    const struct trib_optimizer *optimizer = &import->spec->strategy.optimizer;
    struct trib_optimizer_state state;
    struct trib_digester digester = {0};
    double square_sum = 0;
    float *values = trib_allocate(import->env, IMPORT_ELEMENTS, sizeof *values);
    enum trib_status status =
        values != NULL && trib_digester_begin(&digester) ? TRIB_OK : TRIB_EMEMORY;
    trib_optimizer_state_begin(&state, optimizer, import->layout);
    if (status == TRIB_OK && draft != NULL) {
        status = begin_draft(draft, import->files, import->path, 0, import->layout, &state, error);
    }
    if (status == TRIB_OK) {
        status = convert(import, draft, &digester, values, &square_sum, error);
    }
    if (status == TRIB_OK && draft != NULL) {
        status = write_first_state(draft, optimizer, &state, values);
    }
    trib_release(import->env, values, IMPORT_ELEMENTS, sizeof *values);
    if (status != TRIB_OK) {
        trib_digester_abandon(&digester);
        if (draft != NULL) {
            trib_ranged_discard(draft);
        }
        return status;
    }
    trib_digester_finish(&digester, digest);
    *scale = trib_model_scale_of(import->layout, square_sum);
    return TRIB_OK;
}

/* --- updates ------------------------------------------------------------------------------------ */

/* A body that is open; it must not move. */
struct opened {
    struct trib_spool_reader reader;
    struct trib_weighted_update update;
};

static enum trib_status open_update(const struct trib_model *model, const struct trib_spool *spool,
                                    const struct trib_ranged_update *update, struct opened *opened,
                                    struct trib_error *error) {
    const struct trib_spool_entry *entry = update->entry;
    struct trib_update_metadata metadata = {0};
    *opened = (struct opened){.update = {.codec = trib_codec_find(entry->codec),
                                         .weight = update->weight,
                                         .base = entry->base}};
    if (opened->update.codec == NULL) {
        return trib_error_set(error, TRIB_EUNSUPPORTED, "codec %s is not known", entry->codec);
    }
    enum trib_status status = trib_spool_read_open(spool, &entry->place, &opened->reader);
    if (status != TRIB_OK) {
        return trib_error_set(error, status, "body: %s", trib_status_text(status));
    }
    return opened->update.codec->open(model->env, model->layout, &opened->reader.source,
                                      &opened->update.update, &metadata, error);
}

static void close_update(struct opened *opened) {
    if (opened->update.codec != NULL) {
        opened->update.codec->free(opened->update.update);
    }
    trib_spool_read_close(&opened->reader);
}

enum trib_status trib_ranged_count(struct trib_model *model, uint32_t accumulator,
                                   const struct trib_spool *spool,
                                   const struct trib_ranged_update *update,
                                   struct trib_error *error) {
    struct opened opened;
    enum trib_status status = open_update(model, spool, update, &opened, error);
    if (status == TRIB_OK) {
        status = trib_model_count(model, accumulator, &opened.update);
    }
    close_update(&opened);
    return status;
}

enum trib_status trib_ranged_verify(const struct trib_ranged *ranged, uint32_t part,
                                    uint32_t part_count) {
    const struct trib_model *model = ranged->model;
    const size_t file_count = ranged->base_count + 2;
    enum trib_status status = TRIB_OK;
    for (size_t i = part; status == TRIB_OK && i < file_count + ranged->update_count;
         i += part_count) {
        if (i >= file_count) {
            const struct trib_spool_entry *entry = ranged->updates[i - file_count].entry;
            status = trib_spool_read_verify(ranged->spool, &entry->place, &entry->digest);
        } else if (i >= 2) {
            status =
                trib_checkpoint_verify(model->env, &ranged->bases[i - 2],
                                       trib_model_recent_digest(model, model->bases.pulled[i - 2]));
        } else if (i == 1) {
            status = trib_checkpoint_verify(model->env, &ranged->current, &model->digest);
        } else if (ranged->state.file != NULL) {
            status = trib_checkpoint_verify(model->env, &ranged->state, NULL);
        }
    }
    return status;
}

/* Some updates into the elements; they are open no longer than this takes. */
static enum trib_status fold_some(struct trib_ranged *ranged,
                                  const struct trib_ranged_update *updates, size_t count,
                                  uint64_t first, uint64_t element_count,
                                  struct trib_error *error) {
    struct opened opened[OPEN_MAX];
    struct trib_weighted_update weighted[OPEN_MAX];
    size_t open_count = 0;
    enum trib_status status = TRIB_OK;
    for (; status == TRIB_OK && open_count < count; open_count++) {
        status = open_update(ranged->model, ranged->spool, &updates[open_count],
                             &opened[open_count], error);
        weighted[open_count] = opened[open_count].update;
    }
    if (status == TRIB_OK) {
        status = trib_model_fold(ranged->model, ranged->accumulator, weighted, count, first,
                                 element_count);
    }
    for (size_t i = 0; i < open_count; i++) {
        close_update(&opened[i]);
    }
    return status;
}

/* --- the next version --------------------------------------------------------------------------- */

static enum trib_status allocate(struct trib_ranged *ranged) {
    const struct trib_model *model = ranged->model;
    const size_t vector_count = model->state.vector_count;
    const size_t values = 2 + ranged->base_count; /* current, next, bases */
    const size_t element_bytes = sizeof(int64_t) + (values + vector_count) * sizeof(float);
    uint64_t count = model->window_bytes / element_bytes / WINDOW_STEP * WINDOW_STEP;
    count = count < WINDOW_STEP ? WINDOW_STEP : count;
    count = count < model->layout->element_count ? count : model->layout->element_count;
    ranged->window_elements = count;
    struct trib_model_window *window = &ranged->window;
    ranged->numbers = trib_block_new(model->env, (size_t)count * values * sizeof(float));
    window->totals = trib_block_new(model->env, (size_t)count * sizeof(int64_t));
    if (vector_count > 0) {
        window->vectors = trib_block_new(model->env, (size_t)count * vector_count * sizeof(float));
    }
    if (ranged->numbers == NULL || window->totals == NULL ||
        (vector_count > 0 && window->vectors == NULL)) {
        return TRIB_EMEMORY;
    }
    float *numbers = (float *)ranged->numbers->bytes;
    window->current = numbers;
    window->next = numbers + count;
    for (size_t i = 0; i < ranged->base_count; i++) {
        ranged->base_values[i] = numbers + (2 + i) * count;
    }
    window->bases = ranged->base_values;
    return TRIB_OK;
}

static enum trib_status open_files(struct trib_ranged *ranged, struct trib_error *error) {
    const struct trib_model *model = ranged->model;
    enum trib_status status =
        trib_checkpoint_open(ranged->files, ranged->path, TRIB_CHECKPOINT_VERSION, model->version,
                             &ranged->current, error);
    ranged->base_count = model->merge.pull_count;
    ranged->bases = trib_allocate(model->env, ranged->base_count, sizeof *ranged->bases);
    ranged->base_values = trib_allocate(model->env, ranged->base_count, sizeof(const float *));
    if (ranged->bases == NULL || ranged->base_values == NULL) {
        return TRIB_EMEMORY;
    }
    for (size_t i = 0; status == TRIB_OK && i < ranged->base_count; i++) {
        status = trib_checkpoint_open(ranged->files, ranged->path, TRIB_CHECKPOINT_VERSION,
                                      model->bases.pulled[i], &ranged->bases[i], error);
    }
    if (status == TRIB_OK && model->has_stored_state) {
        status = trib_checkpoint_open(ranged->files, ranged->path, TRIB_CHECKPOINT_STATE,
                                      model->version, &ranged->state, error);
    }
    return status;
}

enum trib_status trib_ranged_begin(struct trib_ranged *ranged, struct trib_error *error) {
    struct trib_model *model = ranged->model;
    enum trib_status status = trib_model_begin_ranged(model, ranged->accumulator);
    if (status == TRIB_OK) {
        status = open_files(ranged, error);
    }
    if (status == TRIB_OK) {
        status = allocate(ranged);
    }
    if (status == TRIB_OK) {
        status = begin_draft(&ranged->draft, ranged->files, ranged->path, model->version + 1,
                             model->layout, &model->state, error);
    }
    if (status == TRIB_OK && !trib_digester_begin(&ranged->digester)) {
        status = TRIB_EMEMORY;
    }
    if (status == TRIB_OK) {
        status = write_head(model->env, model->layout, &ranged->draft, &ranged->digester);
    }
    return status;
}

bool trib_ranged_has_more(const struct trib_ranged *ranged) {
    return ranged->window.first + ranged->window.count < ranged->model->layout->element_count;
}

/* How many elements of the window are trained. */
static uint64_t count_trained(const struct trib_layout *layout, uint64_t first, uint64_t count) {
    const uint64_t end = first + count;
    uint64_t trained = 0;
    for (size_t t = trib_layout_tensor_at(layout, first); t < layout->tensor_count; t++) {
        const struct trib_tensor *tensor = &layout->tensors[t];
        const uint64_t begin = tensor->element_offset, limit = begin + tensor->element_count;
        if (begin >= end) {
            break;
        }
        const uint64_t from = first > begin ? first : begin, to = end < limit ? end : limit;
        trained += tensor->role == TRIB_ROLE_TRAIN && from < to ? to - from : 0;
    }
    return trained;
}

static enum trib_status load_state(struct trib_ranged *ranged) {
    const struct trib_model *model = ranged->model;
    const struct trib_model_window *window = &ranged->window;
    enum trib_status status = TRIB_OK;
    for (size_t which = 0; status == TRIB_OK && which < model->state.vector_count; which++) {
        float *vector = (float *)window->vectors->bytes + which * window->train_count;
        if (model->has_stored_state) {
            status =
                ranged->state.source.read(ranged->state.source.context,
                                          state_offset(&model->state, which, window->train_first),
                                          vector, (size_t)window->train_count * sizeof *vector);
        } else {
            trib_optimizer_state_fill(&model->spec->strategy.optimizer, which, vector,
                                      window->train_count);
        }
    }
    return status;
}

static enum trib_status load_values(const struct trib_ranged *ranged,
                                    const struct trib_checkpoint_reader *reader,
                                    const float *values) {
    const struct trib_model_window *window = &ranged->window;
    const uint64_t offset = ranged->model->layout->data_offset + window->first * sizeof *values;
    float *target = (float *)ranged->numbers->bytes + (values - window->current);
    return reader->source.read(reader->source.context, offset, target,
                               (size_t)window->count * sizeof *values);
}

enum trib_status trib_ranged_load(struct trib_ranged *ranged) {
    TRIB_ASSERT(trib_ranged_has_more(ranged));
    const struct trib_layout *layout = ranged->model->layout;
    struct trib_model_window *window = &ranged->window;
    window->first += window->count;
    window->train_first += window->train_count;
    const uint64_t left = layout->element_count - window->first;
    window->count = left < ranged->window_elements ? left : ranged->window_elements;
    window->train_count = count_trained(layout, window->first, window->count);
    enum trib_status status = load_values(ranged, &ranged->current, window->current);
    for (size_t i = 0; status == TRIB_OK && i < ranged->base_count; i++) {
        status = load_values(ranged, &ranged->bases[i], window->bases[i]);
    }
    if (status == TRIB_OK) {
        status = load_state(ranged);
    }
    if (status == TRIB_OK) {
        trib_model_open_window(ranged->model, window);
        ranged->is_open = true;
    }
    return status;
}

enum trib_status trib_ranged_make(struct trib_ranged *ranged, uint64_t first, uint64_t count,
                                  struct trib_error *error) {
    enum trib_status status = TRIB_OK;
    for (size_t i = 0; status == TRIB_OK && i < ranged->update_count; i += OPEN_MAX) {
        const size_t left = ranged->update_count - i;
        status = fold_some(ranged, &ranged->updates[i], left < OPEN_MAX ? left : OPEN_MAX, first,
                           count, error);
    }
    return status == TRIB_OK ? trib_model_merge_range(ranged->model, first, count, error) : status;
}

static void close_window(struct trib_ranged *ranged) {
    if (ranged->is_open) {
        trib_model_close_window(ranged->model);
        ranged->is_open = false;
    }
}

enum trib_status trib_ranged_store(struct trib_ranged *ranged) {
    const struct trib_model *model = ranged->model;
    const struct trib_model_window *window = &ranged->window;
    const struct trib_files *files = ranged->files;
    trib_digester_add(&ranged->digester, window->next, (size_t)window->count * sizeof(float));
    enum trib_status status = write_unless_zero(
        files, ranged->draft.model, model->layout->data_offset + window->first * sizeof(float),
        window->next, window->count * sizeof(float));
    for (size_t which = 0; status == TRIB_OK && which < model->state.vector_count; which++) {
        status = write_unless_zero(
            files, ranged->draft.state,
            TRIB_CHECKPOINT_STATE_OFFSET + state_offset(&model->state, which, window->train_first),
            (const float *)window->vectors->bytes + which * window->train_count,
            window->train_count * sizeof(float));
    }
    close_window(ranged);
    return status;
}

enum trib_status trib_ranged_end(struct trib_ranged *ranged) {
    TRIB_ASSERT(!trib_ranged_has_more(ranged));
    struct trib_digest digest;
    enum trib_status status = write_state_head(&ranged->draft, &ranged->model->state);
    if (status == TRIB_OK) {
        trib_digester_finish(&ranged->digester, &digest);
        trib_model_end_ranged(ranged->model, &digest);
    }
    return status;
}

void trib_ranged_close(struct trib_ranged *ranged) {
    const struct trib_env *env = ranged->model->env;
    close_window(ranged);
    trib_checkpoint_close(&ranged->current);
    trib_checkpoint_close(&ranged->state);
    for (size_t i = 0; ranged->bases != NULL && i < ranged->base_count; i++) {
        trib_checkpoint_close(&ranged->bases[i]);
    }
    trib_release(env, ranged->bases, ranged->base_count, sizeof *ranged->bases);
    trib_release(env, ranged->base_values, ranged->base_count, sizeof(const float *));
    ranged->bases = NULL;
    ranged->base_values = NULL;
    ranged->base_count = 0;
    trib_digester_abandon(&ranged->digester);
    trib_block_unref(ranged->numbers);
    trib_block_unref(ranged->window.totals);
    trib_block_unref(ranged->window.vectors);
    trib_ranged_discard(&ranged->draft);
    memset(&ranged->window, 0, sizeof ranged->window);
    ranged->numbers = NULL;
}

enum trib_status trib_ranged_run(struct trib_ranged *ranged, struct trib_error *error) {
    enum trib_status status = trib_ranged_begin(ranged, error);
    if (status == TRIB_OK) {
        status = trib_ranged_verify(ranged, 0, 1);
    }
    while (status == TRIB_OK && trib_ranged_has_more(ranged)) {
        status = trib_ranged_load(ranged);
        if (status == TRIB_OK) {
            status = trib_ranged_make(ranged, ranged->window.first, ranged->window.count, error);
        }
        if (status == TRIB_OK) {
            status = trib_ranged_store(ranged);
        }
    }
    return status == TRIB_OK ? trib_ranged_end(ranged) : status;
}
