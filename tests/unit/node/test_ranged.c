/* test_ranged.c - a model that is larger than memory: the bits of one that is not, whatever the preset. */
#include "node/ranged.h"

#include <jansson.h>
#include <stdio.h>

#include "base/files_memory.h"
#include "base/random.h"
#include "run/strategy.h"
#include "support/check.h"
#include "support/env_faulty.h"

#define RUN "r"
#define UPDATES 11 /* more than are open at one time */
#define WINDOW_BYTES TRIB_WINDOW_BYTES_MIN
#define ROOM 400000

static const struct trib_tensor tensors[] = {
    {.name = "a", .dtype = TRIB_F32, .rank = 1, .shape = {1999}},
    {.name = "b.frozen", .dtype = TRIB_F32, .rank = 1, .shape = {700}},
    {.name = "c.running_mean", .dtype = TRIB_F32, .rank = 1, .shape = {7}},
    {.name = "d", .dtype = TRIB_F32, .rank = 2, .shape = {41, 37}},
};

/* A resident model and a ranged one of the same run, and the spool of both. */
struct pair {
    struct trib_env_faulty faulty;
    struct trib_files_memory memory;
    const struct trib_files *files;
    struct trib_spool *spool;
    struct trib_spec *spec;
    struct trib_random random;
    struct trib_model resident, ranged;
    struct trib_spool_entry entries[UPDATES];
    struct trib_ranged_update updates[UPDATES];
    size_t update_count;
    unsigned char *bodies[UPDATES];
    size_t body_bytes;
};

static enum trib_status visit(void *context, const struct trib_spool_entry *entry) {
    (void)context;
    (void)entry;
    return TRIB_OK;
}

static struct trib_spec *parse_spec(const char *preset) {
    json_t *document =
        json_pack("{s:s, s:{s:[{s:s, s:s}]}, s:{s:s}}", "name", RUN, "model", "tensors", "match",
                  "*.frozen", "role", "freeze", "strategy", "preset", preset);
    struct trib_spec *spec = NULL;
    struct trib_error error = {0};
    if (trib_strategy_find(preset)->companions & TRIB_COMPANION_CONTROL) {
        json_object_set_new(json_object_get(document, "strategy"), "population", json_integer(20));
    }
    if (trib_spec_parse(trib_env_system(), document, &spec, &error) != TRIB_OK) {
        fail_msg("%s: %s", preset, error.text);
    }
    json_decref(document);
    return spec;
}

static void fill(struct pair *pair, const struct trib_layout *layout, unsigned char *bytes,
                 float bound) {
    trib_safetensors_write_head(layout, bytes, layout->data_offset);
    float *values = (float *)(bytes + layout->data_offset);
    for (uint64_t i = 0; i < layout->element_count; i++) {
        values[i] = (float)((2.0 * trib_random_unit(&pair->random) - 1.0) * bound);
    }
}

/* Version 0 of both, from one file. */
static void begin_models(struct pair *pair) {
    const struct trib_env *env = trib_env_system();
    struct trib_layout *file_layout = NULL, *layout = NULL;
    struct trib_block *version = NULL;
    struct trib_ranged_draft draft = {0};
    struct trib_digest digest, state;
    double scale;
    assert_int_equal(
        trib_layout_of_tensors(env, tensors, sizeof tensors / sizeof *tensors, &file_layout, NULL),
        TRIB_OK);
    struct trib_block *file = trib_safetensors_block(env, file_layout);
    fill(pair, file_layout, file->bytes, 1);
    struct trib_source source = trib_source_of_memory(file->bytes, file->byte_count);
    assert_int_equal(trib_model_import(env, pair->spec, &source, &layout, &version, NULL), TRIB_OK);
    assert_int_equal(trib_model_init(&pair->resident, env, pair->spec, layout, version, 0, NULL),
                     TRIB_OK);
    assert_int_equal(trib_model_read_layout(env, pair->spec, version, &layout, NULL), TRIB_OK);
    const struct trib_ranged_import import = {env,         pair->files, RUN,    pair->spec,
                                              file_layout, layout,      &source};
    assert_int_equal(trib_ranged_import(&import, &draft, &digest, &scale, NULL), TRIB_OK);
    assert_true(scale == trib_model_scale(&pair->resident));
    assert_int_equal(trib_ranged_publish(env, &draft, &state, NULL), TRIB_OK);
    assert_int_equal(trib_model_init_ranged(&pair->ranged, &pair->faulty.env, pair->spec, layout,
                                            &digest, 0, WINDOW_BYTES, NULL),
                     TRIB_OK);
    assert_true(trib_digest_equal(&digest, &pair->resident.digest));
    trib_block_unref(version);
    trib_block_unref(file);
    trib_layout_free(file_layout);
}

static void begin(struct pair *pair, const char *preset) {
    static const char *const folders[] = {RUN, RUN "/spool", RUN "/versions", RUN "/state"};
    memset(pair, 0, sizeof *pair);
    trib_env_faulty_init(&pair->faulty);
    trib_files_memory_init(&pair->memory);
    trib_random_init(&pair->random, 7);
    pair->files = &pair->memory.files;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pair->files->make_directory(pair->files->context, folders[i]), TRIB_OK);
    }
    assert_int_equal(trib_spool_open(trib_env_system(), pair->files, RUN "/spool", NULL,
                                     &pair->spool, NULL, NULL, NULL, visit),
                     TRIB_OK);
    pair->spec = parse_spec(preset);
    begin_models(pair);
}

static void end(struct pair *pair) {
    for (size_t i = 0; i < pair->update_count; i++) {
        test_free(pair->bodies[i]);
    }
    trib_model_deinit(&pair->resident);
    trib_model_deinit(&pair->ranged);
    trib_spec_free(pair->spec);
    trib_spool_close(pair->spool);
    trib_files_memory_deinit(&pair->memory);
    assert_int_equal(pair->faulty.blocks_live, 0);
    trib_env_faulty_deinit(&pair->faulty);
}

/* Everything that is summed, in the layout of an update. */
static struct trib_layout *layout_of_updates(const struct trib_layout *model) {
    struct trib_tensor carried[16];
    struct trib_layout *layout = NULL;
    size_t count = 0;
    for (size_t t = 0; t < model->tensor_count; t++) {
        if (trib_role_is_summed(model->tensors[t].role)) {
            carried[count++] = model->tensors[t];
        }
    }
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), carried, count, &layout, NULL),
                     TRIB_OK);
    return layout;
}

/* From several versions, where these are pulled towards. */
static trib_version base_of(const struct pair *pair, size_t i) {
    const struct trib_spec_strategy *strategy = &pair->spec->strategy;
    trib_version age = strategy->pull == TRIB_PULL_NONE ? 0 : i % strategy->base_versions;
    return age > pair->resident.version ? 0 : pair->resident.version - age;
}

static void spool_updates(struct pair *pair, size_t count) {
    struct trib_layout *layout = layout_of_updates(pair->resident.layout);
    pair->body_bytes = layout->data_offset + layout->data_bytes;
    for (size_t i = 0; i < pair->update_count; i++) {
        test_free(pair->bodies[i]);
    }
    pair->update_count = count;
    const uint64_t weight_max = pair->resident.resolution.weight_max;
    for (size_t i = 0; i < count; i++) {
        struct trib_spool_entry *entry = &pair->entries[i];
        *entry = (struct trib_spool_entry){.kind = TRIB_SPOOL_UPDATE,
                                           .client = "c",
                                           .base = base_of(pair, i),
                                           .weight = 1 + i % (weight_max < 5 ? weight_max : 5),
                                           .codec = "dense"};
        snprintf(entry->update, sizeof entry->update, "u%zu-%zu", (size_t)pair->resident.version,
                 i);
        pair->bodies[i] = test_malloc(pair->body_bytes);
        fill(pair, layout, pair->bodies[i], 0.25f);
        trib_digest_of(pair->bodies[i], pair->body_bytes, &entry->digest);
        struct trib_source body = trib_source_of_memory(pair->bodies[i], pair->body_bytes);
        assert_int_equal(trib_spool_append(pair->spool, entry, &body, NULL, NULL), TRIB_OK);
        pair->updates[i] = (struct trib_ranged_update){entry, entry->weight};
    }
    assert_int_equal(trib_spool_sync(pair->spool, NULL), TRIB_OK);
    trib_layout_free(layout);
}

static void make_resident(struct pair *pair) {
    struct trib_model *model = &pair->resident;
    const uint64_t count = model->layout->element_count;
    for (size_t i = 0; i < pair->update_count; i++) {
        struct trib_source body = trib_source_of_memory(pair->bodies[i], pair->body_bytes);
        struct trib_weighted_update update = {.codec = &trib_codec_dense,
                                              .weight = pair->updates[i].weight,
                                              .base = pair->entries[i].base};
        assert_int_equal(
            update.codec->open(trib_env_system(), model->layout, &body, &update.update, NULL, NULL),
            TRIB_OK);
        assert_int_equal(trib_model_count(model, 0, &update), TRIB_OK);
        assert_int_equal(trib_model_fold(model, 0, &update, 1, 0, count), TRIB_OK);
        update.codec->free(update.update);
    }
    assert_int_equal(trib_model_merge_begin(model, 0), TRIB_OK);
    assert_int_equal(trib_model_merge_range(model, 0, count, NULL), TRIB_OK);
    trib_model_merge_end(model);
}

static struct trib_ranged ranged_of(struct pair *pair) {
    return (struct trib_ranged){.model = &pair->ranged,
                                .files = pair->files,
                                .path = RUN,
                                .spool = pair->spool,
                                .updates = pair->updates,
                                .update_count = pair->update_count};
}

static enum trib_status count_all(struct pair *pair) {
    enum trib_status status = TRIB_OK;
    for (size_t i = 0; status == TRIB_OK && i < pair->update_count; i++) {
        status = trib_ranged_count(&pair->ranged, 0, pair->spool, &pair->updates[i], NULL);
    }
    return status;
}

static void advance(struct pair *pair, struct trib_ranged *ranged) {
    struct trib_digest written, expected;
    struct trib_optimizer_encoded encoded;
    assert_true(trib_digest_equal(&pair->ranged.next_digest, &pair->resident.next_digest));
    assert_int_equal(trib_ranged_publish(trib_env_system(), &ranged->draft, &written, NULL),
                     TRIB_OK);
    trib_optimizer_state_encode(&pair->resident.state, &encoded);
    assert_int_equal(trib_source_digest(&encoded.source, &expected), TRIB_OK);
    assert_true(trib_digest_equal(&written, &expected));
    trib_model_advance(&pair->resident);
    trib_model_advance(&pair->ranged);
}

/* Rule: version and state have the bits of a resident model. */
static void every_preset_has_the_bits_of_a_resident_model(void **state) {
    (void)state;
    for (size_t s = 0; trib_strategy_at(s) != NULL; s++) {
        const char *preset = trib_strategy_at(s)->name;
        struct pair pair;
        if (strcmp(preset, "sum") == 0) {
            continue; /* has no model but zeros: as fedavg */
        }
        begin(&pair, preset);
        for (trib_version version = 0; version < 4; version++) {
            spool_updates(&pair, UPDATES);
            make_resident(&pair);
            struct trib_ranged ranged = ranged_of(&pair);
            assert_int_equal(count_all(&pair), TRIB_OK);
            assert_int_equal(trib_ranged_run(&ranged, NULL), TRIB_OK);
            assert_true(ranged.window.first > 0); /* there were several windows */
            advance(&pair, &ranged);
            trib_ranged_close(&ranged);
        }
        end(&pair);
    }
}

static size_t names_in(const struct pair *pair, const char *folder) {
    struct trib_numbers numbers = {0};
    size_t count;
    assert_int_equal(trib_numbers_list(trib_env_system(), pair->files, folder, ".tmp", &numbers),
                     TRIB_OK);
    count = numbers.count;
    trib_numbers_deinit(&numbers);
    return count;
}

/* Rule: whatever goes wrong, the version before and its state stay as they are, nothing is left
 * behind, and the same version can be made from them by a model that is loaded again. */
static void a_failure_anywhere_leaves_the_version_before(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        bool has_failed = true;
        for (uint64_t nth = 1; has_failed; nth++) {
            struct pair pair;
            begin(&pair, "fedadam");
            spool_updates(&pair, UPDATES);
            make_resident(&pair);
            struct trib_ranged ranged = ranged_of(&pair);
            assert_int_equal(count_all(&pair), TRIB_OK);
            if (kind == 0) {
                trib_env_faulty_fail(&pair.faulty, nth);
            } else {
                trib_files_memory_fail(&pair.memory, nth, TRIB_EIO);
            }
            enum trib_status status = trib_ranged_run(&ranged, NULL);
            has_failed = status != TRIB_OK;
            trib_env_faulty_fail(&pair.faulty, 0);
            trib_files_memory_fail(&pair.memory, 0, TRIB_EIO);
            trib_ranged_close(&ranged);
            assert_int_equal(names_in(&pair, RUN "/versions"), 0);
            assert_int_equal(names_in(&pair, RUN "/state"), 0);
            struct trib_checkpoint_reader reader;
            assert_int_equal(
                trib_checkpoint_open(pair.files, RUN, TRIB_CHECKPOINT_VERSION, 1, &reader, NULL),
                TRIB_ENOTFOUND);
            end(&pair);
        }
    }
}

/* Rule: what lay on the disk is not believed. */
static void rot_is_noticed_before_it_counts(void **state) {
    (void)state;
    static const char *const paths[] = {RUN "/versions/0.safetensors", RUN "/state/0",
                                        RUN "/spool/1.segment"};
    for (size_t i = 0; i < 3; i++) {
        struct pair pair;
        begin(&pair, "fedavgm");
        pair.ranged.has_stored_state = true;
        spool_updates(&pair, 2);
        struct trib_ranged ranged = ranged_of(&pair);
        assert_int_equal(count_all(&pair), TRIB_OK);
        trib_files_memory_rot(&pair.memory, paths[i],
                              i == 2 ? pair.entries[1].place.body_offset + 5000 : 5000);
        assert_int_equal(trib_ranged_run(&ranged, NULL), TRIB_ECORRUPT);
        trib_ranged_close(&ranged);
        end(&pair);
    }
}

/* Rule: a model is held whole as long as it fits, and always where nothing keeps its updates. */
static void the_budget_decides(void **state) {
    (void)state;
    struct pair pair;
    begin(&pair, "fedavg");
    const struct trib_layout *layout = pair.resident.layout;
    uint64_t whole = trib_model_bytes(&pair.resident);
    assert_int_equal(trib_ranged_window_bytes(pair.spec, layout, whole), 0);
    assert_int_equal(trib_ranged_window_bytes(pair.spec, layout, whole - 1), (whole - 1) / 2);
    assert_int_equal(trib_ranged_window_bytes(pair.spec, layout, 0), TRIB_WINDOW_BYTES_MIN);
    pair.spec->durability = TRIB_DURABILITY_MEMORY;
    assert_int_equal(trib_ranged_window_bytes(pair.spec, layout, 0), 0);
    end(&pair);
}

/* Rule: zeros take no place on disk, and read as zeros. */
static void zeros_are_holes(void **state) {
    (void)state;
    struct pair pair;
    begin(&pair, "fedavgm");
    struct trib_checkpoint_reader reader;
    unsigned char byte = 1;
    assert_int_equal(trib_checkpoint_open(pair.files, RUN, TRIB_CHECKPOINT_STATE, 0, &reader, NULL),
                     TRIB_OK);
    assert_int_equal(reader.source.byte_count,
                     TRIB_OPTIMIZER_HEAD_BYTES + 4 * pair.ranged.state.train_element_count);
    assert_int_equal(
        reader.source.read(reader.source.context, reader.source.byte_count - 1, &byte, 1), TRIB_OK);
    assert_int_equal(byte, 0);
    assert_int_equal(trib_checkpoint_verify(trib_env_system(), &reader, NULL), TRIB_OK);
    trib_checkpoint_close(&reader);
    end(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_preset_has_the_bits_of_a_resident_model),
        cmocka_unit_test(a_failure_anywhere_leaves_the_version_before),
        cmocka_unit_test(rot_is_noticed_before_it_counts),
        cmocka_unit_test(the_budget_decides),
        cmocka_unit_test(zeros_are_holes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
