/* test_model.c - import, fold, merge, advance: whatever the pieces, the same bits. */
#include "node/model.h"

#include "support/check.h"
#include "support/env_faulty.h"

#include <jansson.h>

#define WIDTH 40000 /* several blocks of a fold */

static struct trib_spec *parse_spec(const struct trib_env *env, const char *text) {
    json_t *document = json_loads(text, 0, NULL);
    struct trib_spec *spec = NULL;
    struct trib_error error = {0};
    assert_non_null(document);
    if (trib_spec_parse(env, document, &spec, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    json_decref(document);
    return spec;
}

/* A file with one tensor w [WIDTH]. */
static struct trib_block *file_of(const struct trib_env *env, float (*value)(size_t i)) {
    struct trib_tensor tensor = {.name = "w", .dtype = TRIB_F32, .rank = 1, .shape = {WIDTH}};
    struct trib_layout *layout = NULL;
    assert_int_equal(trib_layout_of_tensors(env, &tensor, 1, &layout, NULL), TRIB_OK);
    struct trib_block *block = trib_safetensors_block(env, layout);
    assert_non_null(block);
    float *values = (float *)(block->bytes + layout->data_offset);
    for (size_t i = 0; i < WIDTH; i++) {
        values[i] = value(i);
    }
    trib_block_seal(block);
    trib_layout_free(layout);
    return block;
}

static float start_value(size_t i) {
    return (float)i / 1000.0f;
}
static float first_delta(size_t i) {
    return (float)(i % 7) - 3.0f;
}
static float second_delta(size_t i) {
    return (float)(i % 5) / 8.0f;
}

static enum trib_status make_model(const struct trib_env *env, const struct trib_spec *spec,
                                   struct trib_model *model) {
    struct trib_block *file = file_of(trib_env_system(), start_value);
    struct trib_source source = trib_source_of_memory(file->bytes, file->byte_count);
    struct trib_layout *layout = NULL;
    struct trib_block *version = NULL;
    struct trib_error error = {0};
    memset(model, 0, sizeof *model);
    enum trib_status status = trib_model_import(env, spec, &source, &layout, &version, &error);
    if (status == TRIB_OK) {
        status = trib_model_init(model, env, spec, layout, version, 0, &error);
    }
    trib_block_unref(version);
    trib_block_unref(file);
    return status;
}

struct opened {
    struct trib_block *body;
    struct trib_source source;
    struct trib_weighted_update update;
};

static void open_update(const struct trib_model *model, float (*value)(size_t i), uint64_t weight,
                        struct opened *opened) {
    struct trib_update_metadata metadata = {0};
    opened->body = file_of(trib_env_system(), value);
    opened->source = trib_source_of_memory(opened->body->bytes, opened->body->byte_count);
    opened->update = (struct trib_weighted_update){.codec = &trib_codec_dense, .weight = weight};
    assert_int_equal(trib_codec_dense.open(trib_env_system(), model->layout, &opened->source,
                                           &opened->update.update, &metadata, NULL),
                     TRIB_OK);
}

static void close_update(struct opened *opened) {
    trib_codec_dense.free(opened->update.update);
    trib_block_unref(opened->body);
}

/* One version from two updates, folded in the pieces given. */
static void make_version(struct trib_model *model, uint64_t piece, bool is_reversed) {
    struct opened opened[2];
    open_update(model, first_delta, 3, &opened[is_reversed]);
    open_update(model, second_delta, 1, &opened[!is_reversed]);
    struct trib_weighted_update updates[2] = {opened[0].update, opened[1].update};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(trib_model_count(model, 1, &updates[i]), TRIB_OK);
    }
    for (uint64_t at = 0; at < WIDTH; at += piece) {
        uint64_t count = WIDTH - at < piece ? WIDTH - at : piece;
        assert_int_equal(trib_model_fold(model, 1, updates, 2, at, count), TRIB_OK);
    }
    assert_int_equal(trib_model_merge_begin(model, 1), TRIB_OK);
    for (uint64_t at = 0; at < WIDTH; at += piece) {
        uint64_t count = WIDTH - at < piece ? WIDTH - at : piece;
        assert_int_equal(trib_model_merge_range(model, at, count, NULL), TRIB_OK);
    }
    trib_model_merge_end(model);
    trib_model_advance(model);
    close_update(&opened[0]);
    close_update(&opened[1]);
}

#define ADAM "{\"name\":\"m\",\"model\":{},\"strategy\":{\"preset\":\"fedadam\"}}"

static void pieces_and_order_change_no_bit(void **state) {
    (void)state;
    struct trib_spec *spec = parse_spec(trib_env_system(), ADAM);
    struct trib_digest digests[3];
    const uint64_t pieces[3] = {WIDTH, 1024, 12345};
    for (size_t i = 0; i < 3; i++) {
        struct trib_model model;
        assert_int_equal(make_model(trib_env_system(), spec, &model), TRIB_OK);
        for (int version = 0; version < 3; version++) {
            make_version(&model, pieces[i], i == 1);
        }
        assert_int_equal(model.version, 3);
        digests[i] = model.digest;
        trib_model_deinit(&model);
    }
    assert_true(trib_digest_equal(&digests[0], &digests[1]));
    assert_true(trib_digest_equal(&digests[0], &digests[2]));
    trib_spec_free(spec);
}

static void the_mean_is_weighted(void **state) {
    (void)state;
    struct trib_spec *spec = parse_spec(trib_env_system(), "{\"name\":\"m\",\"model\":{}}");
    struct trib_model model;
    assert_int_equal(make_model(trib_env_system(), spec, &model), TRIB_OK);
    make_version(&model, WIDTH, false);
    const float *values = (const float *)(model.current->bytes + model.layout->data_offset);
    for (size_t i = 0; i < WIDTH; i += 997) {
        float mean = (3.0f * first_delta(i) + second_delta(i)) / 4.0f;
        assert_float_equal(values[i], start_value(i) + mean, 1e-5);
    }
    trib_model_deinit(&model);
    trib_spec_free(spec);
}

/* Rule: an old version's memory is used again, but not while somebody reads it; the bits are those of
 * fresh memory. */
static void memory_is_used_again_when_nobody_reads_it(void **state) {
    (void)state;
    struct trib_spec *spec = parse_spec(trib_env_system(), ADAM);
    struct trib_model model;
    assert_int_equal(make_model(trib_env_system(), spec, &model), TRIB_OK);
    make_version(&model, WIDTH, false);
    struct trib_block *reader = trib_block_ref(model.current);
    const struct trib_digest digest = model.digest;
    make_version(&model, WIDTH, false);
    make_version(&model, WIDTH, false);
    assert_ptr_not_equal(model.current, reader);
    struct trib_digest again;
    trib_digest_of(reader->bytes, reader->byte_count, &again);
    assert_true(trib_digest_equal(&digest, &again));
    trib_block_unref(reader);
    const struct trib_block *old = model.current;
    make_version(&model, WIDTH, false);
    make_version(&model, WIDTH, false);
    assert_ptr_equal(model.current, old);
    trib_model_deinit(&model);
    trib_spec_free(spec);
}

/* A checkpoint is the version and the state: from it, the next version has the same bits. */
static void a_model_goes_on_from_its_checkpoint(void **state) {
    (void)state;
    struct trib_spec *spec = parse_spec(trib_env_system(), ADAM);
    struct trib_model model, restored;
    assert_int_equal(make_model(trib_env_system(), spec, &model), TRIB_OK);
    make_version(&model, WIDTH, false);
    struct trib_optimizer_encoded state_of;
    trib_optimizer_state_encode(&model.state, &state_of);
    size_t bytes = state_of.source.byte_count;
    void *encoded = test_malloc(bytes);
    assert_int_equal(state_of.source.read(state_of.source.context, 0, encoded, bytes), TRIB_OK);
    struct trib_layout *layout = NULL;
    assert_int_equal(trib_model_read_layout(trib_env_system(), spec, model.current, &layout, NULL),
                     TRIB_OK);
    assert_int_equal(
        trib_model_init(&restored, trib_env_system(), spec, layout, model.current, 1, NULL),
        TRIB_OK);
    assert_int_equal(trib_model_set_state(&restored, encoded, bytes), TRIB_OK);
    assert_int_equal(trib_model_set_state(&restored, encoded, bytes - 1), TRIB_ECORRUPT);
    assert_int_equal(trib_model_set_state(&restored, encoded, bytes), TRIB_OK);
    make_version(&model, WIDTH, false);
    make_version(&restored, 5000, true);
    assert_true(trib_digest_equal(&model.digest, &restored.digest));
    test_free(encoded);
    trib_model_deinit(&restored);
    trib_model_deinit(&model);
    trib_spec_free(spec);
}

/* Rule: a sum has memory from its first update to its merge; one buffer at a time never needs that
 * of two, and after two at a time one is given back. */
static void sums_take_memory_only_while_they_are_used(void **state) {
    (void)state;
    struct trib_spec *spec = parse_spec(trib_env_system(), ADAM);
    struct trib_env_faulty faulty;
    struct trib_model model;
    trib_env_faulty_init(&faulty);
    assert_int_equal(make_model(&faulty.env, spec, &model), TRIB_OK);
    assert_null(model.sums[0].totals);
    assert_null(model.sums[1].totals);
    make_version(&model, WIDTH, false);
    uint64_t blocks = faulty.blocks_live;
    struct opened early;
    open_update(&model, first_delta, 1, &early);
    assert_int_equal(trib_model_count(&model, 0, &early.update), TRIB_OK);
    assert_non_null(model.sums[0].totals);
    assert_null(model.sums[1].totals);
    assert_int_equal(faulty.blocks_live, blocks); /* those of the version before */
    make_version(&model, WIDTH, true);            /* meanwhile, of other updates */
    assert_null(model.sums[1].totals);
    assert_int_equal(faulty.blocks_live, blocks + 1);
    assert_int_equal(trib_model_merge_begin(&model, 0), TRIB_OK);
    assert_int_equal(trib_model_merge_range(&model, 0, WIDTH, NULL), TRIB_OK);
    trib_model_merge_end(&model);
    trib_model_advance(&model);
    assert_null(model.sums[0].totals);
    assert_int_equal(faulty.blocks_live, blocks);
    close_update(&early);
    trib_model_deinit(&model);
    assert_int_equal(faulty.blocks_live, 0);
    trib_env_faulty_deinit(&faulty);
    trib_spec_free(spec);
}

static void no_memory_leaves_nothing_behind(void **state) {
    (void)state;
    struct trib_spec *spec = parse_spec(trib_env_system(), ADAM);
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_model model;
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = make_model(&faulty.env, spec, &model);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        if (status == TRIB_OK) {
            trib_model_deinit(&model);
        }
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    trib_env_faulty_deinit(&faulty);
    trib_spec_free(spec);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_and_order_change_no_bit),
        cmocka_unit_test(the_mean_is_weighted),
        cmocka_unit_test(memory_is_used_again_when_nobody_reads_it),
        cmocka_unit_test(a_model_goes_on_from_its_checkpoint),
        cmocka_unit_test(sums_take_memory_only_while_they_are_used),
        cmocka_unit_test(no_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
