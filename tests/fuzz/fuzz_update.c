/* fuzz_update.c - any bytes as an update of one small model, for every codec.
 *
 * Rules: an update that was opened carries whole groups; one that was checked has a finite norm and
 * folds to the same sums in one piece, element by element, and from a source that must be read. */
#include "fuzz/target.h"

#include <math.h>

#include "codec/codec.h"
#include "tensor/safetensors.h"

#define ELEMENTS 12

/* The seeds are updates of this model: tests/fuzz/seeds.py. */
static const struct trib_tensor tensors[] = {
    {.name = "bn.running_mean", .rank = 1, .shape = {2}},
    {.name = "fc.bias", .rank = 1, .shape = {3}},
    {.name = "fc.weight", .rank = 2, .shape = {3, 2}},
    {.name = "frozen", .rank = 0},
};
static const struct trib_role_rule rules[] = {
    {.match = "frozen", .role = TRIB_ROLE_FREEZE, .has_role = true},
    {.match = "bn.*", .group = "norm", .delta_max = 4},
};
static const int8_t shifts[] = {30, 20, 20, 0};

static struct trib_layout *make_model(void) {
    struct trib_layout *file = NULL;
    struct trib_layout *model = NULL;
    TRIB_ASSERT(trib_layout_of_tensors(trib_env_system(), tensors, 4, &file, NULL) == TRIB_OK);
    TRIB_ASSERT(trib_layout_of_model(trib_env_system(), file, rules, 2, 16, &model, NULL) ==
                TRIB_OK);
    TRIB_ASSERT(model->element_count == ELEMENTS);
    trib_layout_free(file);
    return model;
}

/* A body that lies in no memory: read calls only. */
struct unseen {
    const uint8_t *bytes;
    size_t byte_count;
};

static enum trib_status read_unseen(void *context, uint64_t offset, void *bytes, size_t count) {
    const struct unseen *unseen = context;
    TRIB_ASSERT(offset <= unseen->byte_count && count <= unseen->byte_count - offset);
    memcpy(bytes, unseen->bytes + offset, count);
    return TRIB_OK;
}

static struct trib_update *open_update(const struct trib_codec *codec,
                                       const struct trib_layout *model,
                                       const struct trib_source *source) {
    struct trib_update *update = NULL;
    struct trib_update_metadata metadata;
    struct trib_error error = {0};
    const enum trib_status status =
        codec->open(trib_env_system(), model, source, &update, &metadata, &error);
    TRIB_ASSERT((status == TRIB_OK) == (update != NULL));
    TRIB_ASSERT(status == TRIB_OK || (error.status == status && error.text[0] != '\0'));
    return update;
}

static void check_folds(const struct trib_codec *codec, const struct trib_update *update,
                        const struct trib_update *unseen) {
    const struct trib_kernels *kernels = trib_kernels_select();
    int64_t whole[ELEMENTS] = {0};
    int64_t single[ELEMENTS] = {0};
    int64_t from_reads[ELEMENTS] = {0};
    TRIB_ASSERT(codec->fold(&(struct trib_term){update, 600}, 1, kernels, shifts, 0, ELEMENTS,
                            whole) == TRIB_OK);
    TRIB_ASSERT(codec->fold(&(struct trib_term){unseen, 600}, 1, kernels, shifts, 0, ELEMENTS,
                            from_reads) == TRIB_OK);
    for (uint64_t i = 0; i < ELEMENTS; i++) {
        TRIB_ASSERT(codec->fold(&(struct trib_term){update, 600}, 1, kernels, shifts, i, 1,
                                single + i) == TRIB_OK);
    }
    TRIB_ASSERT(memcmp(whole, single, sizeof whole) == 0);
    TRIB_ASSERT(memcmp(whole, from_reads, sizeof whole) == 0);
    TRIB_ASSERT(whole[ELEMENTS - 1] == 0); /* the frozen scalar */
}

static void try_codec(const struct trib_codec *codec, const struct trib_layout *model,
                      const struct trib_source *seen, const struct trib_source *unseen) {
    struct trib_update *update = open_update(codec, model, seen);
    struct trib_update *other = open_update(codec, model, unseen);
    TRIB_ASSERT((update == NULL) == (other == NULL));
    if (update != NULL) {
        TRIB_ASSERT(codec->has_group(update, 0) || codec->has_group(update, 1));
        double norm = 0;
        struct trib_error error = {0};
        if (codec->check(update, trib_kernels_select(), &norm, &error) == TRIB_OK) {
            TRIB_ASSERT(isfinite(norm));
            check_folds(codec, update, other);
        } else {
            TRIB_ASSERT(error.text[0] != '\0');
        }
    }
    codec->free(update);
    codec->free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct trib_codec *const codecs[] = {&trib_codec_dense, &trib_codec_int8,
                                                      &trib_codec_sparse};
    uint8_t *copy = fuzz_copy(data, size);
    struct trib_layout *model = make_model();
    struct unseen bytes = {copy, size};
    const struct trib_source seen = trib_source_of_memory(copy, size);
    const struct trib_source unseen = {&bytes, size, read_unseen, NULL};
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        try_codec(codecs[i], model, &seen, &unseen);
    }
    trib_layout_free(model);
    free(copy);
    return 0;
}
