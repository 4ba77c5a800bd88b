/* test_dense.c - dense updates: opened whole, checked whole, folded in any pieces. */
#include "support/check.h"

#include <math.h>
#include <stdio.h>

#include "codec/codec.h"
#include "support/env_faulty.h"
#include "tensor/bodies.h"
#include "tensor/convert.h"
#include "tensor/safetensors.h"

/* The model of these tests: three groups, a frozen tensor between them, an empty one, and one that
 * is longer than a block of the codec. */
#define BIG 20001
static const struct trib_tensor model_tensors[] = {
    {.name = "adapter.a", .rank = 1, .shape = {3}},
    {.name = "adapter.b", .rank = 2, .shape = {2, 2}},
    {.name = "bn.running_mean", .rank = 1, .shape = {5}},
    {.name = "encoder", .rank = 1, .shape = {7}},
    {.name = "head.none", .rank = 1, .shape = {0}},
    {.name = "head.weight", .rank = 1, .shape = {BIG}},
};
#define TENSORS (sizeof model_tensors / sizeof model_tensors[0])
#define ELEMENTS (3 + 4 + 5 + 7 + BIG)
enum { ADAPTER_A, ADAPTER_B, RUNNING_MEAN, ENCODER, HEAD_NONE, HEAD_WEIGHT };

static const struct trib_role_rule three_groups[] = {
    {.match = "adapter.*", .group = "adapter", .delta_max = 2},
    {.match = "encoder", .role = TRIB_ROLE_FREEZE, .has_role = true},
    {.match = "head.*", .group = "head"},
};
static const int8_t shifts[TENSORS] = {40, 40, 20, 0, 9, 31};

static struct trib_layout *model_of(const struct trib_role_rule *rules, size_t count) {
    struct trib_layout *file = NULL;
    struct trib_layout *model = NULL;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), model_tensors, TENSORS, &file, NULL),
                     TRIB_OK);
    assert_int_equal(trib_layout_of_model(trib_env_system(), file, rules, count, 16, &model, NULL),
                     TRIB_OK);
    trib_layout_free(file);
    return model;
}

static struct trib_layout *model_of_groups(void) {
    return model_of(three_groups, 3);
}

/* Which of the model's tensors a body carries. */
#define BIT(tensor) (1u << (tensor))
#define ADAPTER (BIT(ADAPTER_A) | BIT(ADAPTER_B))
#define HEAD (BIT(HEAD_NONE) | BIT(HEAD_WEIGHT))
#define ALL (ADAPTER | HEAD | BIT(RUNNING_MEAN))

/* Element i of the update: within every bound, and different in each place. */
static float value_at(size_t element) {
    return ldexpf((float)((int)(element * 37 % 1021) - 510), -(int)(element % 5) - 9);
}

/* The bits of value_at() rounded towards zero to the dtype; all are normal numbers in F16. */
static uint32_t bits_at(size_t element, enum trib_dtype dtype) {
    uint32_t bits;
    const float value = value_at(element);
    memcpy(&bits, &value, sizeof bits);
    if (dtype == TRIB_BF16) {
        return bits >> 16;
    }
    if (dtype == TRIB_F16 && value != 0) {
        return (bits >> 16 & 0x8000) | (((bits & 0x7FFFFFFF) >> 13) - (112u << 10));
    }
    return bits;
}

/* An update of the tensors in `mask`. F32 files get a data section at an odd address. */
static struct body body_of_update(unsigned mask, enum trib_dtype dtype) {
    char json[1024];
    static unsigned char data[ELEMENTS * 4];
    size_t used = (size_t)sprintf(json, "{\"__metadata__\":{\"examples\":\"600\"}");
    size_t bytes = 0;
    size_t element = 0;
    const size_t width = trib_dtype_bytes(dtype);
    for (size_t t = 0; t < TENSORS; t++) {
        size_t count = 1;
        char shape[64] = "";
        for (size_t d = 0; d < model_tensors[t].rank; d++) {
            count *= (size_t)model_tensors[t].shape[d];
            sprintf(shape + strlen(shape), "%s%zu", d ? "," : "",
                    (size_t)model_tensors[t].shape[d]);
        }
        if (mask >> t & 1) {
            used += (size_t)sprintf(
                json + used, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                model_tensors[t].name, trib_dtype_name(dtype), shape, bytes, bytes + count * width);
            for (size_t i = 0; i < count; i++, bytes += width) {
                const uint32_t bits = bits_at(element + i, dtype);
                memcpy(data + bytes, &bits, width);
            }
        }
        element += count;
    }
    strcpy(json + used, strlen(json) % 2 == 0 ? "}" : "} ");
    return body_of(json, data, bytes);
}

static struct trib_update *open_update(const struct trib_layout *model,
                                       const struct trib_source *source) {
    struct trib_update *update = NULL;
    struct trib_error error = {0};
    if (trib_codec_dense.open(trib_env_system(), model, source, &update, NULL, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    return update;
}

/* The definition: totals += rint(weight * x * 2^shift), where the update has the element. */
static void fold_plainly(const struct trib_layout *model, unsigned mask, enum trib_dtype dtype,
                         uint64_t weight, int64_t *totals) {
    for (size_t t = 0; t < TENSORS; t++) {
        const struct trib_tensor *tensor = &model->tensors[t];
        for (size_t i = 0; i < tensor->element_count && (mask >> t & 1); i++) {
            const size_t element = (size_t)tensor->element_offset + i;
            const uint32_t bits = bits_at(element, dtype);
            float x;
            trib_convert_to_f32(&x, dtype, &bits, 1);
            totals[element] += (int64_t)rint((double)weight * (double)x * exp2(shifts[t]));
        }
    }
}

static void fold_equals_its_definition(void **state) {
    (void)state;
    static const enum trib_dtype dtypes[] = {TRIB_F32, TRIB_BF16, TRIB_F16};
    static const unsigned masks[] = {ALL, HEAD, ADAPTER | BIT(RUNNING_MEAN)};
    static int64_t expected[ELEMENTS], totals[ELEMENTS];
    struct trib_layout *model = model_of_groups();
    for (size_t c = 0; c < 9; c++) {
        const enum trib_dtype dtype = dtypes[c / 3];
        const unsigned mask = masks[c % 3];
        struct body body = body_of_update(mask, dtype);
        struct trib_update *update = open_update(model, &body.source);
        for (size_t i = 0; i < ELEMENTS; i++) {
            expected[i] = totals[i] = (int64_t)i * 1000003 - 5; /* what was there stays */
        }
        fold_plainly(model, mask, dtype, 600, expected);
        for (size_t tier = 0; tier < TRIB_KERNEL_TIERS; tier++) {
            const struct trib_kernels *kernels = trib_kernels_tier(tier);
            if (kernels == NULL) {
                continue;
            }
            for (size_t i = 0; i < ELEMENTS; i++) {
                totals[i] = (int64_t)i * 1000003 - 5;
            }
            assert_int_equal(trib_codec_dense.fold(&(struct trib_term){update, 600}, 1, kernels,
                                                   shifts, 0, ELEMENTS, totals),
                             TRIB_OK);
            assert_memory_equal(totals, expected, sizeof totals);
        }
        trib_codec_dense.free(update);
        body_free(&body);
    }
    trib_layout_free(model);
}

/* Whichever way the body lies and the range is cut, the sum has the same bits, and nothing outside
 * of the range is touched. */
static void pieces_add_up_to_the_whole(void **state) {
    (void)state;
    static const size_t chunks[] = {0, 1, 3, 4097, 262144};
    static const uint64_t pieces_bounds[] = {0,  1,  2,    3,    7,    8,     12,      13,
                                             19, 20, 8210, 8211, 8212, 16403, ELEMENTS};
    static int64_t expected[ELEMENTS], totals[ELEMENTS + 2];
    const size_t bounds = sizeof pieces_bounds / sizeof pieces_bounds[0];
    const struct trib_kernels *kernels = trib_kernels_select();
    struct trib_layout *model = model_of_groups();
    struct body body = body_of_update(ALL, TRIB_F32);
    fold_plainly(model, ALL, TRIB_F32, 7, expected);
    for (size_t c = 0; c < sizeof chunks / sizeof chunks[0]; c++) {
        struct pieces pieces;
        struct trib_source source = pieces_of(&pieces, &body, chunks[c]);
        struct trib_update *update = open_update(model, &source);
        memset(totals, 0, sizeof totals);
        for (size_t i = bounds - 1; i > 0; i--) { /* backwards: the order is free */
            const uint64_t first = pieces_bounds[i - 1];
            assert_int_equal(trib_codec_dense.fold(&(struct trib_term){update, 7}, 1, kernels,
                                                   shifts, first, pieces_bounds[i] - first,
                                                   totals + 1 + first),
                             TRIB_OK);
        }
        assert_int_equal(totals[0], 0);
        assert_memory_equal(totals + 1, expected, sizeof expected);
        assert_int_equal(totals[ELEMENTS + 1], 0);
        assert_int_equal(trib_codec_dense.fold(&(struct trib_term){update, 7}, 1, kernels, shifts,
                                               ELEMENTS, 0, totals),
                         TRIB_OK);
        trib_codec_dense.free(update);
    }
    body_free(&body);
    trib_layout_free(model);
}

static void the_norm_has_the_same_bits_everywhere(void **state) {
    (void)state;
    static const size_t chunks[] = {0, 1, 3, 4097, 262144, SIZE_MAX};
    struct trib_layout *model = model_of_groups();
    struct body body = body_of_update(ALL, TRIB_F32);
    double first_norm = 0;
    for (size_t c = 0; c < sizeof chunks / sizeof chunks[0]; c++) {
        for (size_t tier = 0; tier < TRIB_KERNEL_TIERS; tier++) {
            const struct trib_kernels *kernels = trib_kernels_tier(tier);
            if (kernels == NULL) {
                continue;
            }
            struct pieces pieces;
            struct trib_source source = pieces_of(&pieces, &body, chunks[c]);
            struct trib_update *update = open_update(model, &source);
            double norm = 0;
            assert_int_equal(trib_codec_dense.check(update, kernels, &norm, NULL), TRIB_OK);
            first_norm = c == 0 && tier == 0 ? norm : first_norm;
            assert_memory_equal(&norm, &first_norm, sizeof norm);
            trib_codec_dense.free(update);
        }
    }
    double square_sum = 0;
    for (size_t i = 0; i < ELEMENTS; i++) {
        if (i < 12 || i >= 19) { /* all but the frozen tensor */
            square_sum += (double)value_at(i) * (double)value_at(i);
        }
    }
    assert_true(fabs(first_norm - sqrt(square_sum)) <= 1e-12 * first_norm);
    body_free(&body);
    trib_layout_free(model);
}

/* Where element i of `tensor` lies in a body that carries everything. */
static unsigned char *place_of(struct body *body, const struct trib_layout *model, size_t tensor,
                               size_t index) {
    size_t elements = 0;
    for (size_t t = 0; t < TENSORS; t++) {
        elements += t >= tensor && t != ENCODER ? (size_t)model->tensors[t].element_count : 0;
    }
    return body->bytes + body->byte_count - (elements - index) * sizeof(float);
}

static void every_value_must_be_finite_and_bounded(void **state) {
    (void)state;
    const struct {
        size_t tensor, index;
        float value;
        enum trib_status status;
        const char *text;
    } cases[] = {
        {ADAPTER_B, 3, 2, TRIB_OK, ""}, /* exactly the bound */
        {ADAPTER_B, 3, -2, TRIB_OK, ""},
        {ADAPTER_B, 3, 0x1.000002p1f, TRIB_EBOUND,
         "tensor adapter.b: value 3 is 2.00000024, delta_max is 2"},
        {RUNNING_MEAN, 0, -16.5f, TRIB_EBOUND,
         "tensor bn.running_mean: value 0 is -16.5, delta_max is 16"},
        {HEAD_WEIGHT, BIG - 1, NAN, TRIB_ENONFINITE,
         "tensor head.weight: value 20000 is not a number"},
        {HEAD_WEIGHT, 8192, -INFINITY, TRIB_ENONFINITE,
         "tensor head.weight: value 8192 is infinite"},
        {HEAD_WEIGHT, 8191, 1e30f, TRIB_EBOUND,
         "tensor head.weight: value 8191 is 1.00000002e+30, delta_max is 16"},
    };
    struct trib_layout *model = model_of_groups();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct body body = body_of_update(ALL, TRIB_F32);
        memcpy(place_of(&body, model, cases[i].tensor, cases[i].index), &cases[i].value,
               sizeof(float));
        struct trib_update *update = open_update(model, &body.source);
        struct trib_error error = {0};
        double norm = -1;
        assert_int_equal(trib_codec_dense.check(update, trib_kernels_select(), &norm, &error),
                         cases[i].status);
        assert_string_equal(error.text, cases[i].text);
        assert_true((norm == -1) == (cases[i].status != TRIB_OK));
        trib_codec_dense.free(update);
        body_free(&body);
    }
    trib_layout_free(model);
}

static void half_precision_is_checked_too(void **state) {
    (void)state;
    static const struct trib_tensor one = {.name = "w", .rank = 1, .shape = {2}};
    struct trib_layout *file = NULL, *model = NULL;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), &one, 1, &file, NULL), TRIB_OK);
    assert_int_equal(trib_layout_of_model(trib_env_system(), file, NULL, 0, 4, &model, NULL),
                     TRIB_OK);
    const struct {
        const char *dtype;
        uint16_t values[2];
        enum trib_status status;
        const char *text;
    } cases[] = {
        {"F16", {0x4200, 0x4400}, TRIB_OK, ""}, /* 3, 4 */
        {"BF16", {0x4040, 0x4080}, TRIB_OK, ""},
        {"F16", {0x4200, 0x4401}, TRIB_EBOUND, "tensor w: value 1 is 4.00390625, delta_max is 4"},
        {"BF16", {0xC081, 0}, TRIB_EBOUND, "tensor w: value 0 is -4.03125, delta_max is 4"},
        {"F16", {0, 0x7E00}, TRIB_ENONFINITE, "tensor w: value 1 is not a number"},
        {"BF16", {0x7F80, 0}, TRIB_ENONFINITE, "tensor w: value 0 is infinite"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[128];
        sprintf(json, "{\"w\":{\"dtype\":\"%s\",\"shape\":[2],\"data_offsets\":[0,4]}}",
                cases[i].dtype);
        struct body body = body_of(json, cases[i].values, 4);
        struct trib_update *update = open_update(model, &body.source);
        struct trib_error error = {0};
        double norm = 0;
        assert_int_equal(trib_codec_dense.check(update, trib_kernels_select(), &norm, &error),
                         cases[i].status);
        assert_string_equal(error.text, cases[i].text);
        assert_true(cases[i].status != TRIB_OK || norm == 5);
        trib_codec_dense.free(update);
        body_free(&body);
    }
    trib_layout_free(model);
    trib_layout_free(file);
}

/* Open and free again: an error leaves nothing behind. Takes the body. */
static enum trib_status try_open(const struct trib_layout *model, struct body body,
                                 struct trib_error *error) {
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    struct trib_update *update = NULL;
    enum trib_status status =
        trib_codec_dense.open(&faulty.env, model, &body.source, &update, NULL, error);
    assert_true((update != NULL) == (status == TRIB_OK));
    trib_codec_dense.free(update);
    trib_env_faulty_deinit(&faulty);
    body_free(&body);
    return status;
}

static void groups_come_whole_or_not_at_all(void **state) {
    (void)state;
    struct trib_layout *model = model_of_groups();
    assert_int_equal(model->group_count, 3);
    const uint32_t adapter = model->tensors[ADAPTER_A].group;
    const uint32_t mean = model->tensors[RUNNING_MEAN].group;
    const uint32_t head = model->tensors[HEAD_WEIGHT].group;
    struct trib_error error;
    for (unsigned mask = 0; mask < 1u << TENSORS; mask++) {
        if (mask & BIT(ENCODER)) {
            continue;
        }
        const bool is_whole = ((mask & ADAPTER) == 0 || (mask & ADAPTER) == ADAPTER) &&
                              ((mask & HEAD) == 0 || (mask & HEAD) == HEAD);
        const enum trib_status status = try_open(model, body_of_update(mask, TRIB_BF16), &error);
        assert_int_equal(status, mask == 0 ? TRIB_ENOTFOUND : is_whole ? TRIB_OK : TRIB_EINVALID);
    }
    struct body body = body_of_update(HEAD | BIT(RUNNING_MEAN), TRIB_F32);
    struct trib_update *update = open_update(model, &body.source);
    assert_false(trib_codec_dense.has_group(update, adapter));
    assert_true(trib_codec_dense.has_group(update, mean));
    assert_true(trib_codec_dense.has_group(update, head));
    assert_false(trib_codec_dense.has_group(update, 3));
    assert_false(trib_codec_dense.has_group(update, 64));
    trib_codec_dense.free(update);
    body_free(&body);
    assert_int_equal(try_open(model, body_of_update(0, TRIB_F32), &error), TRIB_ENOTFOUND);
    assert_string_equal(error.text, "the update has no tensor");
    assert_int_equal(try_open(model, body_of_update(BIT(ADAPTER_A), TRIB_F32), &error),
                     TRIB_EINVALID);
    assert_string_equal(error.text, "tensor adapter.b is missing, other tensors of group "
                                    "\"adapter\" are there");
    trib_layout_free(model);
    /* Without groups a missing tensor is just that. */
    model = model_of(three_groups + 1, 1);
    assert_int_equal(try_open(model, body_of_update(ALL, TRIB_F32), &error), TRIB_OK);
    assert_int_equal(try_open(model, body_of_update(ALL & ~BIT(HEAD_NONE), TRIB_F32), &error),
                     TRIB_ENOTFOUND);
    assert_string_equal(error.text, "tensor head.none is missing");
    trib_layout_free(model);
}

#define A "\"adapter.a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}"

static void what_the_model_does_not_want_is_refused(void **state) {
    (void)state;
    const struct {
        const char *json;
        size_t data_bytes;
        enum trib_status status;
        const char *text;
    } cases[] = {
        {"{\"other\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}", 12,
         TRIB_ENOTFOUND, "tensor other is not in the model"},
        {"{\"encoder\":{\"dtype\":\"F32\",\"shape\":[7],\"data_offsets\":[0,28]}}", 28,
         TRIB_EINVALID, "tensor encoder has the role freeze"},
        {"{\"adapter.a\":{\"dtype\":\"F32\",\"shape\":[3,1],\"data_offsets\":[0,12]}}", 12,
         TRIB_ESHAPE, "tensor adapter.a: shape [3,1], the model has [3]"},
        {"{\"adapter.a\":{\"dtype\":\"I8\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3, TRIB_EDTYPE,
         "tensor adapter.a: dtype I8, an update has F32, BF16 or F16"},
        {"{\"adapter.a\":{\"dtype\":\"F64\",\"shape\":[3],\"data_offsets\":[0,24]}}", 24,
         TRIB_EDTYPE, "tensor adapter.a: dtype F64, an update has F32, BF16 or F16"},
        {"{" A "}", 11, TRIB_ETRUNCATED,
         "tensor adapter.a: it ends at byte 12 of the data, which "
         "has 11"},
        {"{\"__metadata__\":{\"examples\":\"many\"}," A "}", 12, TRIB_EINVALID,
         "examples in __metadata__ is not a whole number"},
    };
    struct trib_layout *model = model_of_groups();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trib_error error = {0};
        assert_int_equal(try_open(model, body_of(cases[i].json, NULL, cases[i].data_bytes), &error),
                         cases[i].status);
        assert_string_equal(error.text, cases[i].text);
    }
    trib_layout_free(model);
}

/* A stranger cannot make the daemon hold a head that no update of this model could have. */
static void a_head_far_over_the_models_is_refused(void **state) {
    (void)state;
    struct trib_layout *model = model_of_groups();
    const size_t limit = 12 * (size_t)model->data_offset + 65536;
    char *json = calloc(1, limit + 2);
    assert_non_null(json);
    memset(json, ' ', limit + 1);
    memcpy(json, "{}", 2);
    struct trib_error error;
    assert_int_equal(try_open(model, body_of(json, NULL, 0), &error), TRIB_ELIMIT);
    json[limit] = '\0';
    assert_int_equal(try_open(model, body_of(json, NULL, 0), &error), TRIB_ENOTFOUND);
    free(json);
    trib_layout_free(model);
}

static void metadata_is_handed_over(void **state) {
    (void)state;
    struct trib_layout *model = model_of_groups();
    struct body body = body_of_update(ALL, TRIB_F32);
    struct trib_update *update = NULL;
    struct trib_update_metadata metadata;
    memset(&metadata, 0xFF, sizeof metadata);
    assert_int_equal(
        trib_codec_dense.open(trib_env_system(), model, &body.source, &update, &metadata, NULL),
        TRIB_OK);
    assert_true(metadata.has_examples);
    assert_int_equal(metadata.examples, 600);
    assert_false(metadata.has_base || metadata.has_codec || metadata.has_metrics);
    trib_codec_dense.free(update);
    trib_codec_dense.free(NULL);
    body_free(&body);
    trib_layout_free(model);
}

static void memory_that_runs_out_leaves_nothing(void **state) {
    (void)state;
    struct trib_layout *model = model_of_groups();
    struct body body = body_of_update(ALL, TRIB_F16);
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&faulty, ++nth);
        struct trib_update *update = NULL;
        struct trib_error error;
        enum trib_status status =
            trib_codec_dense.open(&faulty.env, model, &body.source, &update, NULL, &error);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_true((update != NULL) == (status == TRIB_OK));
        trib_codec_dense.free(update);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 6);
    trib_env_faulty_deinit(&faulty);
    body_free(&body);
    trib_layout_free(model);
}

/* Fail the 1st, 2nd, 3rd ... read until everything succeeds. */
static void a_disk_that_fails_is_io(void **state) {
    (void)state;
    static int64_t totals[ELEMENTS];
    struct trib_layout *model = model_of_groups();
    struct body body = body_of_update(ALL, TRIB_F32);
    struct pieces pieces;
    struct trib_source source = pieces_of(&pieces, &body, 0);
    struct trib_update *update = open_update(model, &source);
    const struct trib_kernels *kernels = trib_kernels_select();
    enum trib_status status;
    size_t reads = 0;
    do {
        pieces.read_count = 0;
        pieces.reads_left = reads++;
        double norm = -1;
        struct trib_error error = {0};
        status = trib_codec_dense.check(update, kernels, &norm, &error);
        assert_true(status == TRIB_EIO ? norm == -1 && strstr(error.text, "cannot be read") != NULL
                                       : status == TRIB_OK);
    } while (status != TRIB_OK);
    assert_int_equal(reads, 1 + 3 + 5); /* three small tensors, five blocks of the large one */
    reads = 0;
    do {
        pieces.read_count = 0;
        pieces.reads_left = reads++;
        status = trib_codec_dense.fold(&(struct trib_term){update, 1}, 1, kernels, shifts, 0,
                                       ELEMENTS, totals);
        assert_true(status == TRIB_EIO || status == TRIB_OK);
    } while (status != TRIB_OK);
    assert_int_equal(reads, 1 + 3 + 5);
    trib_codec_dense.free(update);
    body_free(&body);
    trib_layout_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fold_equals_its_definition),
        cmocka_unit_test(pieces_add_up_to_the_whole),
        cmocka_unit_test(the_norm_has_the_same_bits_everywhere),
        cmocka_unit_test(every_value_must_be_finite_and_bounded),
        cmocka_unit_test(half_precision_is_checked_too),
        cmocka_unit_test(groups_come_whole_or_not_at_all),
        cmocka_unit_test(what_the_model_does_not_want_is_refused),
        cmocka_unit_test(a_head_far_over_the_models_is_refused),
        cmocka_unit_test(metadata_is_handed_over),
        cmocka_unit_test(memory_that_runs_out_leaves_nothing),
        cmocka_unit_test(a_disk_that_fails_is_io),
    };
    return cmocka_run_group_tests_name("dense", tests, NULL, NULL);
}
