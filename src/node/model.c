/* model.c - the numbers of one run: the current version, the optimizer's state, the exact sums. */
#include "node/model.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* Elements folded from every update before moving on: 8 bytes each, so that the totals of one
 * block (128 KiB) stay in a core's second-level cache. */
#define FOLD_BLOCK_ELEMENTS UINT64_C(16384)
/* Elements merged before their totals are cleared: 2 MiB of totals, still in some cache. */
#define MERGE_BLOCK_ELEMENTS UINT64_C(262144)
/* Updates that are added in one pass over a block. */
#define FOLD_TERMS 8

enum trib_status trib_model_import_layouts(const struct trib_env *env, const struct trib_spec *spec,
                                           const struct trib_source *file,
                                           struct trib_layout **file_layout,
                                           struct trib_layout **layout, struct trib_error *error) {
    *layout = NULL;
    enum trib_status status = trib_safetensors_parse(env, file, TRIB_SAFETENSORS_HEAD_MAX, NULL,
                                                     NULL, file_layout, error);
    if (status == TRIB_OK) {
        status = trib_layout_of_model(env, *file_layout, spec->model.rules, spec->model.rule_count,
                                      spec->model.delta_max, layout, error);
    }
    if (status == TRIB_OK) {
        status = trib_layout_accompany(*layout, spec->strategy.companions, layout, error);
    }
    if (status != TRIB_OK) {
        trib_layout_free(*file_layout);
        *file_layout = NULL;
    }
    return status;
}

enum trib_status trib_model_import(const struct trib_env *env, const struct trib_spec *spec,
                                   const struct trib_source *file, struct trib_layout **layout,
                                   struct trib_block **version, struct trib_error *error) {
    struct trib_layout *file_layout = NULL;
    *version = NULL;
    enum trib_status status =
        trib_model_import_layouts(env, spec, file, &file_layout, layout, error);
    if (status == TRIB_OK) {
        status = trib_safetensors_import(env, file_layout, file, *layout, version, error);
    }
    if (status != TRIB_OK) {
        trib_layout_free(*layout);
        *layout = NULL;
    }
    trib_layout_free(file_layout);
    return status;
}

enum trib_status trib_model_read_layout(const struct trib_env *env, const struct trib_spec *spec,
                                        const struct trib_block *version,
                                        struct trib_layout **layout, struct trib_error *error) {
    struct trib_layout *stored = NULL;
    struct trib_source source = trib_source_of_memory(version->bytes, version->byte_count);
    enum trib_status status = trib_model_import_layouts(env, spec, &source, &stored, layout, error);
    trib_layout_free(stored);
    return status;
}

/* Bounds of the sums, in weight units. A delta that was combined outside is alone, with weight 1: so
 * it is taken as finely as numbers of its size can be. */
static enum trib_status make_resolution(const struct trib_model *model,
                                        const struct trib_spec *spec,
                                        struct trib_resolution *resolution,
                                        struct trib_error *error) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    bool is_alone = strategy->combiner == TRIB_COMBINER_EXTERNAL;
    return trib_resolution_init(
        resolution, model->env, model->layout, is_alone ? 1 : trib_spec_weight_max(spec),
        is_alone ? 1 : strategy->weight_total_max << strategy->weight_unit_bits, error);
}

/* Room for the versions that updates may still have as their base, besides the current one, and for
 * what the sums have of each. */
static enum trib_status make_recent(struct trib_model *model) {
    const struct trib_spec_strategy *strategy = &model->spec->strategy;
    uint32_t count = strategy->base_versions;
    if (strategy->pull == TRIB_PULL_NONE) {
        return TRIB_OK;
    }
    model->bases.recent_count = count - 1;
    model->bases.recent = trib_allocate(model->env, count, sizeof *model->bases.recent);
    model->bases.pulls = trib_allocate(model->env, count, sizeof *model->bases.pulls);
    model->bases.pulled = trib_allocate(model->env, count, sizeof *model->bases.pulled);
    model->bases.digests = trib_allocate(model->env, count, sizeof *model->bases.digests);
    bool has_memory = model->bases.recent != NULL && model->bases.pulls != NULL &&
                      model->bases.pulled != NULL && model->bases.digests != NULL;
    for (uint32_t i = 0; i < TRIB_ACCUMULATORS_MAX; i++) {
        model->bases.based[i] = trib_allocate(model->env, count, sizeof *model->bases.based[i]);
        has_memory = has_memory && model->bases.based[i] != NULL;
    }
    return has_memory ? TRIB_OK : TRIB_EMEMORY;
}

/* What make_recent() made; all-zero is safe. */
static void forget_recent(const struct trib_env *env, struct trib_bases *bases) {
    const size_t count = (size_t)bases->recent_count + 1;
    for (uint32_t i = 0; bases->recent != NULL && i < bases->recent_count; i++) {
        trib_block_unref(bases->recent[i]);
    }
    trib_release(env, bases->recent, count, sizeof *bases->recent);
    trib_release(env, bases->pulls, count, sizeof *bases->pulls);
    trib_release(env, bases->pulled, count, sizeof *bases->pulled);
    trib_release(env, bases->digests, count, sizeof *bases->digests);
    for (uint32_t i = 0; i < TRIB_ACCUMULATORS_MAX; i++) {
        trib_release(env, bases->based[i], count, sizeof *bases->based[i]);
    }
    *bases = (struct trib_bases){0};
}

/* A state of no steps for this optimizer. */
static enum trib_status begin_state(struct trib_model *model,
                                    const struct trib_optimizer *optimizer) {
    model->has_stored_state = false;
    if (model->window_bytes > 0) {
        trib_optimizer_state_begin(&model->state, optimizer, model->layout);
        return TRIB_OK;
    }
    return trib_optimizer_state_init(&model->state, model->env, optimizer, model->layout);
}

/* What does not depend on where the version is. */
static enum trib_status init(struct trib_model *model, const struct trib_env *env,
                             const struct trib_spec *spec, struct trib_layout *layout,
                             trib_version version, struct trib_error *error) {
    model->env = env;
    model->spec = spec;
    model->kernels = trib_kernels_select();
    model->layout = layout;
    model->version = version;
    enum trib_status status = make_recent(model);
    if (status == TRIB_OK) {
        status = make_resolution(model, spec, &model->resolution, error);
    }
    for (uint32_t i = 0; status == TRIB_OK && i < TRIB_ACCUMULATORS_MAX; i++) {
        trib_exact_sum_begin(&model->sums[i], layout, &model->resolution);
    }
    if (status == TRIB_OK) {
        status = begin_state(model, &spec->strategy.optimizer);
    }
    if (status != TRIB_OK) {
        if (status == TRIB_EMEMORY) {
            (void)trib_error_set(error, status, "no memory for the state of %zu tensors",
                                 layout->tensor_count);
        }
        trib_model_deinit(model);
    }
    return status;
}

enum trib_status trib_model_init(struct trib_model *model, const struct trib_env *env,
                                 const struct trib_spec *spec, struct trib_layout *layout,
                                 struct trib_block *current, trib_version version,
                                 struct trib_error *error) {
    TRIB_ASSERT(trib_block_is_sealed(current));
    memset(model, 0, sizeof *model);
    model->current = trib_block_ref(current);
    trib_digest_of(current->bytes, current->byte_count, &model->digest);
    return init(model, env, spec, layout, version, error);
}

enum trib_status trib_model_init_ranged(struct trib_model *model, const struct trib_env *env,
                                        const struct trib_spec *spec, struct trib_layout *layout,
                                        const struct trib_digest *digest, trib_version version,
                                        uint64_t window_bytes, struct trib_error *error) {
    TRIB_ASSERT(window_bytes > 0);
    memset(model, 0, sizeof *model);
    model->window_bytes = window_bytes;
    model->digest = *digest;
    model->scale = NAN;
    return init(model, env, spec, layout, version, error);
}

enum trib_status trib_model_check(const struct trib_model *model, const struct trib_spec *spec,
                                  struct trib_error *error) {
    struct trib_resolution resolution;
    enum trib_status status = make_resolution(model, spec, &resolution, error);
    if (status == TRIB_OK) {
        trib_resolution_deinit(&resolution);
    }
    return status;
}

/* The versions at hand, in as much room as the new spec wants. */
static enum trib_status change_recent(struct trib_model *model) {
    struct trib_bases old = model->bases;
    model->bases = (struct trib_bases){0};
    enum trib_status status = make_recent(model);
    for (uint32_t age = 1; age <= old.recent_count && age <= model->version; age++) {
        trib_version version = model->version - age;
        struct trib_block *block = old.recent[version % old.recent_count];
        if (status == TRIB_OK && block != NULL) {
            trib_model_remember(model, version, block);
        }
        if (status == TRIB_OK) {
            trib_model_remember_digest(model, version, &old.digests[version % old.recent_count]);
        }
    }
    forget_recent(model->env, &old);
    return status;
}

enum trib_status trib_model_change(struct trib_model *model, const struct trib_spec *spec,
                                   struct trib_error *error) {
    const struct trib_optimizer *old = &model->spec->strategy.optimizer;
    const struct trib_optimizer *fresh = &spec->strategy.optimizer;
    bool is_same = old->kind == fresh->kind && old->variant == fresh->variant;
    struct trib_resolution resolution;
    enum trib_status status = make_resolution(model, spec, &resolution, error);
    if (status != TRIB_OK) {
        return status;
    }
    trib_resolution_deinit(&model->resolution);
    model->resolution = resolution;
    model->spec = spec;
    if (!is_same) {
        trib_optimizer_state_deinit(&model->state);
        status = begin_state(model, fresh);
    }
    return status == TRIB_OK ? change_recent(model) : status;
}

void trib_model_deinit(struct trib_model *model) {
    for (size_t i = 0; i < TRIB_ACCUMULATORS_MAX; i++) {
        trib_exact_sum_deinit(&model->sums[i]);
    }
    trib_block_unref(model->spare_totals);
    trib_optimizer_state_deinit(&model->state);
    if (model->layout != NULL) {
        trib_resolution_deinit(&model->resolution);
    }
    if (model->env != NULL) {
        forget_recent(model->env, &model->bases);
    }
    trib_block_unref(model->spare);
    trib_block_unref(model->next);
    trib_block_unref(model->current);
    trib_layout_free(model->layout);
    memset(model, 0, sizeof *model);
}

void trib_model_moved(struct trib_model *model) {
    for (size_t i = 0; i < TRIB_ACCUMULATORS_MAX; i++) {
        model->sums[i].resolution = &model->resolution;
    }
}

uint64_t trib_model_bytes(const struct trib_model *model) {
    return model->window_bytes > 0 ? model->window_bytes
                                   : trib_model_bytes_of(model->spec, model->layout);
}

uint64_t trib_model_bytes_of(const struct trib_spec *spec, const struct trib_layout *layout) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    uint64_t recent_count = strategy->pull == TRIB_PULL_NONE ? 0 : strategy->base_versions - 1;
    uint64_t bytes = (2 + recent_count) * (layout->data_offset + layout->data_bytes);
    struct trib_optimizer_state state;
    trib_optimizer_state_begin(&state, &spec->strategy.optimizer, layout);
    bytes += TRIB_ACCUMULATORS_MAX * sizeof(int64_t) * layout->element_count;
    return bytes + state.vector_count * state.train_element_count * sizeof(float);
}

uint64_t trib_model_file_bytes(const struct trib_model *model) {
    return model->layout->data_offset + model->layout->data_bytes;
}

double trib_model_resolution(const struct trib_model *model) {
    double step = 0.0;
    for (size_t t = 0; t < model->resolution.tensor_count; t++) {
        double of_tensor = ldexp(1.0, -model->resolution.shift[t]);
        step = of_tensor > step ? of_tensor : step;
    }
    return step;
}

static const float *data_of(const struct trib_model *model, const struct trib_block *version) {
    return version == NULL ? NULL : (const float *)(version->bytes + model->layout->data_offset);
}

void trib_model_add_squares(const struct trib_layout *layout, uint64_t first, uint64_t count,
                            const float *values, double *sum) {
    const uint64_t end = first + count;
    for (size_t t = trib_layout_tensor_at(layout, first); t < layout->tensor_count; t++) {
        const struct trib_tensor *tensor = &layout->tensors[t];
        const uint64_t begin = tensor->element_offset, limit = begin + tensor->element_count;
        if (begin >= end) {
            return;
        }
        if (tensor->role != TRIB_ROLE_TRAIN) {
            continue;
        }
        for (uint64_t i = first > begin ? first : begin; i < end && i < limit; i++) {
            *sum += (double)values[i - first] * (double)values[i - first];
        }
    }
}

double trib_model_scale(const struct trib_model *model) {
    if (model->window_bytes > 0) {
        return model->scale;
    }
    double sum = 0.0;
    trib_model_add_squares(model->layout, 0, model->layout->element_count,
                           data_of(model, model->current), &sum);
    return trib_model_scale_of(model->layout, sum);
}

double trib_model_scale_of(const struct trib_layout *layout, double square_sum) {
    uint64_t count = 0;
    for (size_t t = 0; t < layout->tensor_count; t++) {
        const struct trib_tensor *tensor = &layout->tensors[t];
        count += tensor->role == TRIB_ROLE_TRAIN ? tensor->element_count : 0;
    }
    return count == 0 ? 0.0 : sqrt(square_sum / (double)count);
}

enum trib_status trib_model_set_state(struct trib_model *model, const void *bytes, size_t count) {
    return trib_optimizer_state_decode(&model->state, bytes, count);
}

static bool is_recent(const struct trib_model *model, trib_version version) {
    return version < model->version && model->version - version <= model->bases.recent_count;
}

void trib_model_remember_digest(struct trib_model *model, trib_version version,
                                const struct trib_digest *digest) {
    if (is_recent(model, version)) {
        model->bases.digests[version % model->bases.recent_count] = *digest;
    }
}

const struct trib_digest *trib_model_recent_digest(const struct trib_model *model,
                                                   trib_version version) {
    static const struct trib_digest none;
    if (version == model->version) {
        return &model->digest;
    }
    if (!is_recent(model, version)) {
        return NULL;
    }
    const struct trib_digest *digest = &model->bases.digests[version % model->bases.recent_count];
    return trib_digest_equal(digest, &none) ? NULL : digest;
}

void trib_model_remember(struct trib_model *model, trib_version version, struct trib_block *block) {
    if (is_recent(model, version)) {
        struct trib_block **place = &model->bases.recent[version % model->bases.recent_count];
        trib_block_unref(*place);
        *place = trib_block_ref(block);
    }
}

/* The second sum is needed only while updates come for the version after the one that is being
 * made, which in most rounds none does. */
static enum trib_status lend_totals(struct trib_model *model, struct trib_exact_sum *sum) {
    if (sum->totals != NULL) {
        return TRIB_OK;
    }
    struct trib_block *totals = atomic_exchange(&model->spare_totals, NULL);
    if (totals == NULL) {
        totals = trib_exact_sum_totals(model->env, model->layout);
    }
    if (totals == NULL) {
        return TRIB_EMEMORY;
    }
    trib_exact_sum_lend(sum, totals, 0);
    return TRIB_OK;
}

/* One is kept, since fresh pages cost more than the merge; a second one is not. */
static void return_totals(struct trib_model *model, struct trib_exact_sum *sum) {
    struct trib_block *none = NULL;
    struct trib_block *totals = trib_exact_sum_return(sum);
    if (!atomic_compare_exchange_strong(&model->spare_totals, &none, totals)) {
        trib_block_unref(totals);
    }
}

enum trib_status trib_model_count(struct trib_model *model, uint32_t accumulator,
                                  const struct trib_weighted_update *update) {
    enum trib_status status = TRIB_OK;
    if (model->window_bytes == 0) { /* else the sum is made when the version is */
        status = lend_totals(model, &model->sums[accumulator]);
    }
    if (status != TRIB_OK) {
        return status;
    }
    status = trib_exact_sum_count(&model->sums[accumulator], update->codec, update->update,
                                  update->weight);
    if (status == TRIB_OK && model->bases.based[accumulator] != NULL) {
        struct trib_based *based =
            &model->bases
                 .based[accumulator][update->base % (model->bases.recent_count + UINT64_C(1))];
        if (based->base != update->base || based->weight == 0) {
            *based = (struct trib_based){.base = update->base};
        }
        based->weight += update->weight;
    }
    return status;
}

/* The first updates that have one codec; at least one. */
static size_t take_terms(const struct trib_weighted_update *updates, size_t update_count,
                         struct trib_term terms[FOLD_TERMS]) {
    size_t count = 0;
    while (count < FOLD_TERMS && count < update_count && updates[count].codec == updates->codec) {
        terms[count] = (struct trib_term){updates[count].update, updates[count].weight};
        count++;
    }
    return count;
}

enum trib_status trib_model_fold(struct trib_model *model, uint32_t accumulator,
                                 const struct trib_weighted_update *updates, size_t update_count,
                                 uint64_t first, uint64_t count) {
    struct trib_exact_sum *sum = &model->sums[accumulator];
    uint64_t end = first + count;
    for (uint64_t at = first; at < end; at += FOLD_BLOCK_ELEMENTS) {
        uint64_t block = end - at < FOLD_BLOCK_ELEMENTS ? end - at : FOLD_BLOCK_ELEMENTS;
        for (size_t i = 0; i < update_count;) {
            struct trib_term terms[FOLD_TERMS];
            const struct trib_codec *codec = updates[i].codec;
            size_t term_count = take_terms(updates + i, update_count - i, terms);
            enum trib_status status =
                trib_exact_sum_fold(sum, codec, terms, term_count, model->kernels, at, block);
            if (status != TRIB_OK) {
                return status;
            }
            i += term_count;
        }
    }
    return TRIB_OK;
}

/* NULL: not at hand. */
static const struct trib_block *find_base(const struct trib_model *model, trib_version base) {
    if (base == model->version) {
        return model->current;
    }
    return is_recent(model, base) ? model->bases.recent[base % model->bases.recent_count] : NULL;
}

/* The merge's pulls, the oldest base first, so that their order is that of no arrival. They come and
 * go with the accumulator's updates. A share is a weight, or its part of all that is divided by. */
static enum trib_status find_pulls(struct trib_model *model, uint32_t accumulator) {
    struct trib_merge *merge = &model->merge;
    struct trib_based *based = model->bases.based[accumulator];
    const uint64_t count = model->bases.recent_count + UINT64_C(1);
    bool is_mean = model->spec->strategy.pull == TRIB_PULL_MODELS;
    double unit = is_mean ? 1 / trib_merge_denominator(merge, 0) : merge->weight_unit;
    merge->pulls = model->bases.pulls;
    for (uint64_t age = count; based != NULL && age-- > 0;) {
        if (age > model->version || based[(model->version - age) % count].weight == 0) {
            continue;
        }
        struct trib_based *from = &based[(model->version - age) % count];
        const struct trib_block *base = find_base(model, from->base);
        bool is_there = base != NULL ||
                        (model->window_bytes > 0 && trib_model_recent_digest(model, from->base));
        if (!is_there || from->base != model->version - age) {
            return TRIB_ENOTFOUND;
        }
        model->bases.pulled[merge->pull_count] = from->base;
        model->bases.pulls[merge->pull_count++] =
            (struct trib_pull_towards){data_of(model, base), (double)from->weight * unit};
    }
    return TRIB_OK;
}

/* All but where the numbers are. */
static enum trib_status begin_merge(struct trib_model *model, uint32_t accumulator) {
    const struct trib_spec_strategy *strategy = &model->spec->strategy;
    model->merging = &model->sums[accumulator];
    model->merge = (struct trib_merge){
        .layout = model->layout,
        .resolution = &model->resolution,
        .sum = model->merging,
        .optimizer = &strategy->optimizer,
        .denominator = strategy->denominator,
        .constant = strategy->denominator_constant,
        .population = (double)strategy->population,
        .weight_unit = 1.0 / (double)(UINT64_C(1) << strategy->weight_unit_bits),
        .state = &model->state,
        .next_state = &model->state,
        .kernels = model->kernels,
    };
    return find_pulls(model, accumulator);
}

enum trib_status trib_model_merge_begin(struct trib_model *model, uint32_t accumulator) {
    TRIB_ASSERT(model->next == NULL && model->window_bytes == 0);
    enum trib_status status = begin_merge(model, accumulator);
    if (status != TRIB_OK) {
        return status;
    }
    /* Fresh pages cost more than the merge itself. */
    model->next = model->spare;
    model->spare = NULL;
    if (model->next == NULL) {
        model->next = trib_safetensors_block(model->env, model->layout);
    }
    if (model->next == NULL) {
        return TRIB_EMEMORY;
    }
    model->merge.current = data_of(model, model->current);
    model->merge.next = (float *)(model->next->bytes + model->layout->data_offset);
    trib_merge_begin(&model->merge);
    return TRIB_OK;
}

enum trib_status trib_model_merge_range(struct trib_model *model, uint64_t first, uint64_t count,
                                        struct trib_error *error) {
    uint64_t end = first + count;
    for (uint64_t at = first; at < end; at += MERGE_BLOCK_ELEMENTS) {
        uint64_t block = end - at < MERGE_BLOCK_ELEMENTS ? end - at : MERGE_BLOCK_ELEMENTS;
        enum trib_status status = trib_merge_range(&model->merge, at, block, error);
        if (status != TRIB_OK) {
            return status;
        }
        if (model->merging->totals != NULL) {                      /* NULL: there was no update */
            trib_exact_sum_clear_range(model->merging, at, block); /* while it is in the cache */
        }
    }
    return TRIB_OK;
}

static void forget_counts(struct trib_model *model, struct trib_exact_sum *sum) {
    trib_exact_sum_clear_counts(sum);
    struct trib_based *based = model->bases.based[sum - model->sums];
    if (based != NULL) {
        memset(based, 0, (model->bases.recent_count + (size_t)1) * sizeof *based);
    }
}

/* Its totals are all zero: what else it knows of updates goes, and its memory. */
static void forget_updates(struct trib_model *model, struct trib_exact_sum *sum) {
    forget_counts(model, sum);
    return_totals(model, sum);
}

void trib_model_merge_end(struct trib_model *model) {
    trib_block_seal(model->next);
    trib_digest_of(model->next->bytes, model->next->byte_count, &model->next_digest);
    forget_updates(model, model->merging);
    model->has_next = true;
}

enum trib_status trib_model_rewind(struct trib_model *model, const void *state,
                                   size_t state_bytes) {
    trib_block_unref(model->next);
    model->next = NULL;
    model->has_next = false;
    for (size_t i = 0; i < TRIB_ACCUMULATORS_MAX; i++) {
        if (model->sums[i].totals != NULL) {
            trib_exact_sum_clear_range(&model->sums[i], 0, model->layout->element_count);
        }
        forget_updates(model, &model->sums[i]);
    }
    return trib_model_set_state(model, state, state_bytes);
}

enum trib_status trib_model_begin_ranged(struct trib_model *model, uint32_t accumulator) {
    TRIB_ASSERT(!model->has_next && model->window_bytes > 0);
    enum trib_status status = begin_merge(model, accumulator);
    if (status == TRIB_OK) {
        trib_merge_begin(&model->merge);
    }
    return status;
}

void trib_model_open_window(struct trib_model *model, const struct trib_model_window *window) {
    trib_exact_sum_lend(model->merging, window->totals, window->first);
    model->state.vectors = window->vectors;
    model->state.held_first = window->train_first;
    model->state.held_count = window->train_count;
    model->merge.first = window->first;
    for (size_t i = 0; i < model->merge.pull_count; i++) {
        model->bases.pulls[i].base = window->bases[i];
    }
    model->merge.current = window->current;
    model->merge.next = window->next;
}

void trib_model_close_window(struct trib_model *model) {
    (void)trib_exact_sum_return(model->merging);
    model->state.vectors = NULL;
    model->state.held_first = model->state.held_count = 0;
}

void trib_model_end_ranged(struct trib_model *model, const struct trib_digest *digest) {
    forget_counts(model, model->merging);
    model->next_digest = *digest;
    model->has_next = true;
}

void trib_model_advance(struct trib_model *model) {
    TRIB_ASSERT(model->has_next);
    struct trib_block *previous = model->current;
    model->current = model->next;
    model->next = NULL;
    model->has_next = false;
    model->has_stored_state = model->window_bytes > 0;
    const struct trib_digest previous_digest = model->digest;
    model->digest = model->next_digest;
    model->version++;
    if (previous == NULL) {
        trib_model_remember_digest(model, model->version - 1, &previous_digest);
        return;
    }
    trib_model_remember(model, model->version - 1, previous);
    if (model->spare == NULL && trib_block_reopen(previous)) {
        model->spare = previous;
    } else {
        trib_block_unref(previous);
    }
}
