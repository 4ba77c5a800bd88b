/* fuzz_safetensors.c - any bytes as a safetensors file.
 *
 * Rules: what is accepted is sorted and tiles its data; written canonically it reads back the same;
 * with roles it becomes a version whose own import is the identity. */
#include "fuzz/target.h"

#include "tensor/safetensors.h"

#define HEAD_BYTES_MAX 65536

static bool see_metadata(const char *key, const char *value, void *context) {
    size_t *bytes = context;
    *bytes += strlen(key) + strlen(value);
    return true;
}

static struct trib_layout *parse(const void *bytes, size_t count) {
    const struct trib_source source = trib_source_of_memory(bytes, count);
    struct trib_layout *layout = NULL;
    struct trib_error error = {0};
    size_t metadata_bytes = 0;
    const enum trib_status status = trib_safetensors_parse(
        trib_env_system(), &source, HEAD_BYTES_MAX, see_metadata, &metadata_bytes, &layout, &error);
    TRIB_ASSERT((status == TRIB_OK) == (layout != NULL));
    TRIB_ASSERT(status == TRIB_OK || (error.status == status && error.text[0] != '\0'));
    TRIB_ASSERT(metadata_bytes <= HEAD_BYTES_MAX);
    return layout;
}

static void check_layout(const struct trib_layout *layout, size_t file_bytes) {
    TRIB_ASSERT(layout->data_offset + layout->data_bytes == file_bytes);
    uint64_t elements = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < layout->tensor_count; i++) {
        const struct trib_tensor *tensor = &layout->tensors[i];
        TRIB_ASSERT(i == 0 || strcmp(layout->tensors[i - 1].name, tensor->name) < 0);
        TRIB_ASSERT(trib_layout_find(layout, tensor->name) == tensor);
        TRIB_ASSERT(tensor->element_offset == elements);
        TRIB_ASSERT(tensor->byte_offset + trib_tensor_bytes(tensor) <= layout->data_bytes);
        elements += tensor->element_count;
        bytes += trib_tensor_bytes(tensor);
    }
    TRIB_ASSERT(elements == layout->element_count);
    TRIB_ASSERT(bytes == layout->data_bytes);
}

/* The same tensors in canonical form, read back. */
static void check_round_trip(const struct trib_layout *layout) {
    struct trib_layout *canonical = NULL;
    TRIB_ASSERT(trib_layout_of_tensors(trib_env_system(), layout->tensors, layout->tensor_count,
                                       &canonical, NULL) == TRIB_OK);
    struct trib_block *block = trib_safetensors_block(trib_env_system(), canonical);
    TRIB_ASSERT(block != NULL);
    struct trib_layout *again = parse(block->bytes, block->byte_count);
    TRIB_ASSERT(again != NULL);
    TRIB_ASSERT(trib_layout_same(layout, again, NULL) == TRIB_OK);
    for (size_t i = 0; i < layout->tensor_count; i++) {
        TRIB_ASSERT(layout->tensors[i].dtype == again->tensors[i].dtype);
        TRIB_ASSERT(canonical->tensors[i].byte_offset == again->tensors[i].byte_offset);
    }
    trib_layout_free(again);
    trib_block_unref(block);
    trib_layout_free(canonical);
}

/* Version 0 of this file with the default roles; NULL when it is no model. */
static struct trib_block *import(const struct trib_layout *file, const void *bytes, size_t count) {
    const struct trib_source source = trib_source_of_memory(bytes, count);
    struct trib_layout *layout = NULL;
    struct trib_block *version = NULL;
    if (trib_layout_of_model(trib_env_system(), file, NULL, 0, 16, &layout, NULL) == TRIB_OK) {
        (void)trib_safetensors_import(trib_env_system(), file, &source, layout, &version, NULL);
    }
    trib_layout_free(layout);
    return version;
}

static void check_import(const struct trib_layout *file, const void *bytes, size_t count) {
    struct trib_block *version = import(file, bytes, count);
    if (version == NULL) {
        return;
    }
    struct trib_layout *layout = parse(version->bytes, version->byte_count);
    TRIB_ASSERT(layout != NULL);
    struct trib_block *again = import(layout, version->bytes, version->byte_count);
    TRIB_ASSERT(again != NULL);
    TRIB_ASSERT(again->byte_count == version->byte_count);
    TRIB_ASSERT(memcmp(again->bytes, version->bytes, version->byte_count) == 0);
    trib_block_unref(again);
    trib_layout_free(layout);
    trib_block_unref(version);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = fuzz_copy(data, size);
    struct trib_layout *layout = parse(copy, size);
    if (layout != NULL) {
        check_layout(layout, size);
        check_round_trip(layout);
        check_import(layout, copy, size);
    }
    trib_layout_free(layout);
    free(copy);
    return 0;
}
