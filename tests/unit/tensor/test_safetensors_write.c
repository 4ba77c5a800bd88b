/* test_safetensors_write.c - the writer: one model, one sequence of bytes, for ever. */
#include "support/check.h"

#include "base/digest.h"
#include "support/env_faulty.h"
#include "tensor/bodies.h"
#include "tensor/safetensors.h"

/* Given in disorder; the name of the last needs both escapes and holds a letter beyond ASCII. */
static const struct trib_tensor model[] = {
    {.name = "fc1.weight", .rank = 2, .shape = {2, 3}},
    {.name = "odd\"\\\xC3\xA9", .rank = 0},
    {.name = "empty", .rank = 2, .shape = {0, 4}},
    {.name = "fc1.bias", .rank = 1, .shape = {2}},
};
static const float model_values[] = {1.5f, -2.5f, 0, 1, -1, 0.5f, 2, -0.25f, 3};

/* Made once, by another program, from docs/protocol.md, section 3. Digests of versions depend on
 * these bytes: if this test fails, the format has changed. */
static const char golden_hex[] =
    "f8000000000000007b22656d707479223a7b226474797065223a22463332222c227368617065223a"
    "5b302c345d2c22646174615f6f666673657473223a5b302c305d7d2c226663312e62696173223a7b"
    "226474797065223a22463332222c227368617065223a5b325d2c22646174615f6f66667365747322"
    "3a5b302c385d7d2c226663312e776569676874223a7b226474797065223a22463332222c22736861"
    "7065223a5b322c335d2c22646174615f6f666673657473223a5b382c33325d7d2c226f64645c225c"
    "5cc3a9223a7b226474797065223a22463332222c227368617065223a5b5d2c22646174615f6f6666"
    "73657473223a5b33322c33365d7d7d200000c03f000020c0000000000000803f000080bf0000003f"
    "00000040000080be00004040";
static const char golden_digest[] =
    "903e7d57e537a524ed2d75e9e00c2e6c361569e5e222097e54c6384aaac65f94";

static struct trib_layout *layout_of_model(void) {
    struct trib_layout *layout = NULL;
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), model, 4, &layout, NULL), TRIB_OK);
    return layout;
}

static struct trib_block *block_of_model(const struct trib_layout *layout) {
    struct trib_block *block = trib_safetensors_block(trib_env_system(), layout);
    assert_non_null(block);
    memcpy(block->bytes + layout->data_offset, model_values, sizeof model_values);
    return block;
}

static void a_small_model_has_the_golden_bytes(void **state) {
    (void)state;
    struct trib_layout *layout = layout_of_model();
    struct trib_block *block = block_of_model(layout);
    char hex[sizeof golden_hex];
    assert_int_equal(block->byte_count, (sizeof golden_hex - 1) / 2);
    for (size_t i = 0; i < block->byte_count; i++) {
        hex[2 * i] = "0123456789abcdef"[block->bytes[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[block->bytes[i] & 15];
    }
    hex[sizeof hex - 1] = '\0';
    assert_string_equal(hex, golden_hex);
    struct trib_digest digest;
    char digest_hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_of(block->bytes, block->byte_count, &digest);
    trib_digest_to_hex(&digest, digest_hex);
    assert_string_equal(digest_hex, golden_digest);
    trib_block_unref(block);
    trib_layout_free(layout);
}

static void assert_same_layouts(const struct trib_layout *a, const struct trib_layout *b) {
    assert_int_equal(a->tensor_count, b->tensor_count);
    assert_int_equal(a->element_count, b->element_count);
    assert_int_equal(a->data_offset, b->data_offset);
    assert_int_equal(a->data_bytes, b->data_bytes);
    for (size_t i = 0; i < a->tensor_count; i++) {
        const struct trib_tensor *x = &a->tensors[i];
        const struct trib_tensor *y = &b->tensors[i];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->dtype, y->dtype);
        assert_int_equal(x->rank, y->rank);
        assert_memory_equal(x->shape, y->shape, sizeof x->shape);
        assert_int_equal(x->element_count, y->element_count);
        assert_int_equal(x->byte_offset, y->byte_offset);
        assert_int_equal(x->element_offset, y->element_offset);
    }
}

/* parse(write(x)) = x, and write(parse(write(x))) = write(x). */
static void assert_round_trip(const struct trib_layout *layout) {
    struct trib_block *block = trib_safetensors_block(trib_env_system(), layout);
    assert_non_null(block);
    assert_int_equal(layout->data_offset % 64, 0);
    assert_false(trib_block_is_sealed(block));
    struct trib_source source = trib_source_of_memory(block->bytes, block->byte_count);
    struct trib_layout *read = NULL;
    struct trib_error error;
    assert_int_equal(trib_safetensors_parse(trib_env_system(), &source, TRIB_SAFETENSORS_HEAD_MAX,
                                            NULL, NULL, &read, &error),
                     TRIB_OK);
    assert_same_layouts(layout, read);
    unsigned char *head = malloc((size_t)read->data_offset);
    trib_safetensors_write_head(read, head, (size_t)read->data_offset);
    assert_memory_equal(head, block->bytes, (size_t)read->data_offset);
    free(head);
    trib_layout_free(read);
    trib_block_unref(block);
}

static void what_is_written_is_read_back(void **state) {
    (void)state;
    struct trib_layout *layout = layout_of_model();
    assert_round_trip(layout);
    trib_layout_free(layout);
    assert_int_equal(trib_layout_of_tensors(trib_env_system(), NULL, 0, &layout, NULL), TRIB_OK);
    assert_int_equal(layout->data_offset, 64);
    assert_round_trip(layout);
    trib_layout_free(layout);
}

static void every_dtype_rank_and_name_is_read_back(void **state) {
    (void)state;
    struct trib_tensor tensors[TRIB_DTYPE_COUNT];
    char names[TRIB_DTYPE_COUNT][64];
    memset(tensors, 0, sizeof tensors);
    for (size_t i = 0; i < TRIB_DTYPE_COUNT; i++) {
        /* Names of every length, with whatever ASCII prints, so that each padding occurs. */
        size_t length = 0;
        for (; length < 4 * i + 1; length++) {
            names[i][length] = (char)(' ' + (length * 31 + i * 7) % 95);
        }
        names[i][length] = '\0';
        tensors[i].name = names[i];
        tensors[i].dtype = (enum trib_dtype)i;
        tensors[i].rank = (uint32_t)(i % (TRIB_RANK_MAX + 1));
        for (size_t d = 0; d < tensors[i].rank; d++) {
            tensors[i].shape[d] = 1 + (i + d) % 3;
        }
    }
    for (size_t count = 1; count <= TRIB_DTYPE_COUNT; count++) {
        struct trib_layout *layout = NULL;
        assert_int_equal(trib_layout_of_tensors(trib_env_system(), tensors, count, &layout, NULL),
                         TRIB_OK);
        assert_round_trip(layout);
        trib_layout_free(layout);
    }
}

static void the_order_of_the_list_does_not_matter(void **state) {
    (void)state;
    struct trib_layout *layout = layout_of_model();
    struct trib_block *block = trib_safetensors_block(trib_env_system(), layout);
    struct trib_tensor turned[4];
    for (size_t first = 1; first < 4; first++) {
        for (size_t i = 0; i < 4; i++) {
            turned[i] = model[(first + i) % 4];
        }
        struct trib_layout *other = NULL;
        assert_int_equal(trib_layout_of_tensors(trib_env_system(), turned, 4, &other, NULL),
                         TRIB_OK);
        struct trib_block *same = trib_safetensors_block(trib_env_system(), other);
        assert_int_equal(same->byte_count, block->byte_count);
        assert_memory_equal(same->bytes, block->bytes, block->byte_count);
        trib_block_unref(same);
        trib_layout_free(other);
    }
    trib_block_unref(block);
    trib_layout_free(layout);
}

static void a_block_without_memory_is_null(void **state) {
    (void)state;
    struct trib_layout *layout = layout_of_model();
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&faulty, ++nth);
        struct trib_block *block = trib_safetensors_block(&faulty.env, layout);
        assert_true((block == NULL) == faulty.has_failed);
        trib_block_unref(block);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 1);
    trib_env_faulty_deinit(&faulty);
    trib_layout_free(layout);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_model_has_the_golden_bytes),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(every_dtype_rank_and_name_is_read_back),
        cmocka_unit_test(the_order_of_the_list_does_not_matter),
        cmocka_unit_test(a_block_without_memory_is_null),
    };
    return cmocka_run_group_tests_name("safetensors_write", tests, NULL, NULL);
}
