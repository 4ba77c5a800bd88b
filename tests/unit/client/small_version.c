/* small_version.c - through the library's own reader and writer, whose tests are elsewhere. */
#include "client/small_version.h"

#include <string.h>

#include "tensor/safetensors.h"

static struct trib_layout *make_layout(void) {
    const struct trib_tensor tensors[] = {
        {.name = "bias", .dtype = TRIB_F32, .rank = 1, .shape = {2}},
        {.name = "scale", .dtype = TRIB_F32, .rank = 1, .shape = {1}},
        {.name = "weight", .dtype = TRIB_F32, .rank = 2, .shape = {2, 3}},
    };
    struct trib_layout *layout = NULL;
    TRIB_ASSERT(trib_layout_of_tensors(trib_env_system(), tensors, 3, &layout, NULL) == TRIB_OK);
    return layout;
}

unsigned char *small_version(const struct trib_env *env, float first, size_t *byte_count) {
    struct trib_layout *layout = make_layout();
    *byte_count = (size_t)(layout->data_offset + layout->data_bytes);
    unsigned char *file = trib_allocate(env, *byte_count, 1);
    if (file != NULL) {
        trib_safetensors_write_head(layout, file, *byte_count);
        for (size_t i = 0; i < SMALL_VALUES; i++) {
            float value = first + (float)i;
            memcpy(file + layout->data_offset + i * sizeof value, &value, sizeof value);
        }
    }
    trib_layout_free(layout);
    return file;
}

int small_version_read(const void *file, size_t byte_count, float values[SMALL_VALUES],
                       char names[64]) {
    const struct trib_source source = trib_source_of_memory(file, byte_count);
    struct trib_layout *layout = NULL;
    if (trib_safetensors_parse(trib_env_system(), &source, 4096, NULL, NULL, &layout, NULL) !=
        TRIB_OK) {
        return -1;
    }
    struct trib_layout *canonical = NULL;
    TRIB_ASSERT(trib_layout_of_tensors(trib_env_system(), layout->tensors, layout->tensor_count,
                                       &canonical, NULL) == TRIB_OK);
    unsigned char head[4096];
    trib_safetensors_write_head(canonical, head, sizeof head);
    bool is_canonical = canonical->data_offset == layout->data_offset &&
                        memcmp(head, file, (size_t)layout->data_offset) == 0;
    int count = is_canonical ? (int)layout->element_count : -1;
    names[0] = '\0';
    for (size_t i = 0; i < layout->tensor_count; i++) {
        strcat(names, i > 0 ? "," : "");
        strcat(names, layout->tensors[i].name);
    }
    memcpy(values, (const char *)file + layout->data_offset,
           (size_t)layout->element_count * sizeof *values);
    trib_layout_free(canonical);
    trib_layout_free(layout);
    return count;
}
