/* layout.c - a model's tensors in name order: built once, searched often. */
#include "tensor/layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_SHOWN 80

static const struct {
    const char *name;
    size_t bytes;
    bool is_float;
} dtypes[TRIB_DTYPE_COUNT] = {
    [TRIB_F32] = {"F32", 4, true},         [TRIB_F16] = {"F16", 2, true},
    [TRIB_BF16] = {"BF16", 2, true},       [TRIB_F64] = {"F64", 8, true},
    [TRIB_F8_E4M3] = {"F8_E4M3", 1, true}, [TRIB_F8_E5M2] = {"F8_E5M2", 1, true},
    [TRIB_I8] = {"I8", 1, false},          [TRIB_I16] = {"I16", 2, false},
    [TRIB_I32] = {"I32", 4, false},        [TRIB_I64] = {"I64", 8, false},
    [TRIB_U8] = {"U8", 1, false},          [TRIB_U16] = {"U16", 2, false},
    [TRIB_U32] = {"U32", 4, false},        [TRIB_U64] = {"U64", 8, false},
    [TRIB_BOOL] = {"BOOL", 1, false},
};

const char *trib_dtype_name(enum trib_dtype dtype) {
    TRIB_ASSERT(dtype < TRIB_DTYPE_COUNT);
    return dtypes[dtype].name;
}

size_t trib_dtype_bytes(enum trib_dtype dtype) {
    TRIB_ASSERT(dtype < TRIB_DTYPE_COUNT);
    return dtypes[dtype].bytes;
}

bool trib_dtype_is_float(enum trib_dtype dtype) {
    TRIB_ASSERT(dtype < TRIB_DTYPE_COUNT);
    return dtypes[dtype].is_float;
}

bool trib_dtype_from_name(const char *name, enum trib_dtype *dtype) {
    for (size_t i = 0; i < TRIB_DTYPE_COUNT; i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            *dtype = (enum trib_dtype)i;
            return true;
        }
    }
    return false;
}

void trib_layout_free(struct trib_layout *layout) {
    if (layout == NULL) {
        return;
    }
    const struct trib_env *env = layout->env;
    trib_release(env, layout->names, layout->names_bytes, 1);
    trib_release(env, layout->tensors, layout->tensors_max, sizeof *layout->tensors);
    trib_release(env, layout, 1, sizeof *layout);
}

const struct trib_tensor *trib_layout_find(const struct trib_layout *layout, const char *name) {
    size_t first = 0;
    size_t count = layout->tensor_count;
    while (count > 0) {
        const struct trib_tensor *middle = &layout->tensors[first + count / 2];
        int order = strcmp(name, middle->name);
        if (order == 0) {
            return middle;
        }
        if (order > 0) {
            first += count / 2 + 1;
            count -= count / 2 + 1;
        } else {
            count /= 2;
        }
    }
    return NULL;
}

size_t trib_layout_tensor_at(const struct trib_layout *layout, uint64_t element) {
    size_t first = 0;
    size_t limit = layout->tensor_count;
    while (first < limit) {
        size_t middle = first + (limit - first) / 2;
        const struct trib_tensor *tensor = &layout->tensors[middle];
        if (tensor->element_offset + tensor->element_count <= element) {
            first = middle + 1;
        } else {
            limit = middle;
        }
    }
    return first;
}

/* Both are sorted, so the first pair of names that differs shows which side lacks one. */
enum trib_status trib_layout_same(const struct trib_layout *expected,
                                  const struct trib_layout *actual, struct trib_error *error) {
    for (size_t i = 0; i < expected->tensor_count || i < actual->tensor_count; i++) {
        const struct trib_tensor *wanted =
            i < expected->tensor_count ? &expected->tensors[i] : NULL;
        const struct trib_tensor *found = i < actual->tensor_count ? &actual->tensors[i] : NULL;
        int order = wanted == NULL ? 1 : found == NULL ? -1 : strcmp(wanted->name, found->name);
        if (order < 0) {
            return trib_error_set(error, TRIB_ENOTFOUND, "tensor %.*s is missing",
                                  trib_name_shown(wanted->name), wanted->name);
        }
        if (order > 0) {
            return trib_error_set(error, TRIB_ENOTFOUND, "tensor %.*s is not in the model",
                                  trib_name_shown(found->name), found->name);
        }
        enum trib_status status = trib_tensor_same_shape(wanted, found, error);
        if (status != TRIB_OK) {
            return status;
        }
    }
    return TRIB_OK;
}

uint64_t trib_tensor_bytes(const struct trib_tensor *tensor) {
    return tensor->element_count * trib_dtype_bytes(tensor->dtype);
}

enum trib_status trib_tensor_same_shape(const struct trib_tensor *expected,
                                        const struct trib_tensor *actual,
                                        struct trib_error *error) {
    if (expected->rank == actual->rank &&
        memcmp(expected->shape, actual->shape, expected->rank * sizeof *expected->shape) == 0) {
        return TRIB_OK;
    }
    char wanted[TRIB_SHAPE_TEXT_BYTES];
    char found[TRIB_SHAPE_TEXT_BYTES];
    return trib_error_set(error, TRIB_ESHAPE, "tensor %.*s: shape %s, the model has %s",
                          trib_name_shown(actual->name), actual->name,
                          trib_shape_text(actual, found, sizeof found),
                          trib_shape_text(expected, wanted, sizeof wanted));
}

const char *trib_shape_text(const struct trib_tensor *tensor, char *buffer, size_t room) {
    char text[TRIB_SHAPE_TEXT_BYTES] = "[";
    size_t used = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%" PRIu64, i > 0 ? "," : "",
                                 tensor->shape[i]);
    }
    (void)snprintf(buffer, room, "%s]", text); /* cut to the caller's room */
    return buffer;
}

int trib_name_shown(const char *name) {
    size_t count = strnlen(name, NAME_BYTES_SHOWN + 1);
    if (count > NAME_BYTES_SHOWN) {
        count = NAME_BYTES_SHOWN;
        while (count > 0 && ((unsigned char)name[count] & 0xC0) == 0x80) {
            count--; /* in the middle of a character */
        }
    }
    return (int)count;
}

struct trib_layout *trib_layout_new(const struct trib_env *env, size_t tensors_max,
                                    size_t names_bytes) {
    struct trib_layout *layout = trib_allocate(env, 1, sizeof *layout);
    if (layout == NULL) {
        return NULL;
    }
    layout->env = env;
    /* Not 0: an empty model is allowed, an allocation of nothing is not. */
    layout->tensors_max = tensors_max > 0 ? tensors_max : 1;
    layout->names_bytes = names_bytes > 0 ? names_bytes : 1;
    layout->tensors = trib_allocate(env, layout->tensors_max, sizeof *layout->tensors);
    layout->names = trib_allocate(env, layout->names_bytes, 1);
    if (layout->tensors == NULL || layout->names == NULL) {
        trib_layout_free(layout);
        return NULL;
    }
    return layout;
}

/* Bytes of the printable UTF-8 character at text; 0 when there is none. RFC 3629, section 4. */
static size_t character_bytes(const unsigned char *text) {
    if (text[0] < 0x80) {
        return text[0] >= 0x20 && text[0] != 0x7F ? 1 : 0;
    }
    /* Each test of a byte fails on the NUL, so none looks past the end. */
    unsigned char second_min = 0x80, second_max = 0xBF;
    size_t count;
    if (text[0] >= 0xC2 && text[0] <= 0xDF) {
        count = 2;
        second_min = text[0] == 0xC2 ? 0xA0 : 0x80; /* U+0080..U+009F are controls */
    } else if ((text[0] & 0xF0) == 0xE0) {
        count = 3;
        second_min = text[0] == 0xE0 ? 0xA0 : 0x80; /* overlong */
        second_max = text[0] == 0xED ? 0x9F : 0xBF; /* surrogates */
    } else if (text[0] >= 0xF0 && text[0] <= 0xF4) {
        count = 4;
        second_min = text[0] == 0xF0 ? 0x90 : 0x80; /* overlong */
        second_max = text[0] == 0xF4 ? 0x8F : 0xBF; /* beyond U+10FFFF */
    } else {
        return 0;
    }
    if (text[1] < second_min || text[1] > second_max) {
        return 0;
    }
    for (size_t i = 2; i < count; i++) {
        if ((text[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return count;
}

static enum trib_status check_name(const char *name, struct trib_error *error) {
    if (name[0] == '\0') {
        return trib_error_set(error, TRIB_EINVALID, "a tensor has an empty name");
    }
    if (strcmp(name, "__metadata__") == 0) {
        return trib_error_set(error, TRIB_EINVALID, "__metadata__ cannot be a tensor");
    }
    size_t used = 0;
    while (name[used] != '\0') {
        size_t count = character_bytes((const unsigned char *)name + used);
        if (count == 0) {
            return trib_error_set(
                error, TRIB_EINVALID, "a tensor name is not printable UTF-8 after \"%.*s\"",
                used < NAME_BYTES_SHOWN ? (int)used : trib_name_shown(name), name);
        }
        used += count;
    }
    if (used > TRIB_TENSOR_NAME_BYTES_MAX) {
        return trib_error_set(error, TRIB_ELIMIT, "tensor %.*s...: its name has %zu bytes, not %d",
                              trib_name_shown(name), name, used, TRIB_TENSOR_NAME_BYTES_MAX);
    }
    return TRIB_OK;
}

/* The product of the shape, such that its bytes and offsets stay far from overflow. */
static enum trib_status count_elements(struct trib_tensor *tensor, struct trib_error *error) {
    uint64_t count = 1;
    uint64_t bytes = 0;
    bool is_over = false;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        is_over |= __builtin_mul_overflow(count, tensor->shape[i], &count);
    }
    is_over |= __builtin_mul_overflow(count, trib_dtype_bytes(tensor->dtype), &bytes);
    if (is_over || bytes > INT64_MAX) {
        char shape[TRIB_SHAPE_TEXT_BYTES];
        return trib_error_set(error, TRIB_ELIMIT, "tensor %.*s: shape %s is too large",
                              trib_name_shown(tensor->name), tensor->name,
                              trib_shape_text(tensor, shape, sizeof shape));
    }
    tensor->element_count = count;
    return TRIB_OK;
}

enum trib_status trib_layout_append(struct trib_layout *layout, const struct trib_tensor *tensor,
                                    struct trib_error *error) {
    enum trib_status status = check_name(tensor->name, error);
    if (status != TRIB_OK) {
        return status;
    }
    if (tensor->rank > TRIB_RANK_MAX) {
        return trib_error_set(error, TRIB_ELIMIT, "tensor %.*s: rank %" PRIu32 " is over %d",
                              trib_name_shown(tensor->name), tensor->name, tensor->rank,
                              TRIB_RANK_MAX);
    }
    struct trib_tensor copy = *tensor;
    status = count_elements(&copy, error);
    if (status != TRIB_OK) {
        return status;
    }
    size_t name_bytes = strlen(tensor->name) + 1;
    TRIB_ASSERT(layout->tensor_count < layout->tensors_max);
    TRIB_ASSERT(name_bytes <= layout->names_bytes - layout->names_used);
    copy.name = memcpy(layout->names + layout->names_used, tensor->name, name_bytes);
    layout->names_used += name_bytes;
    layout->tensors[layout->tensor_count++] = copy;
    return TRIB_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const struct trib_tensor *)a)->name, ((const struct trib_tensor *)b)->name);
}

enum trib_status trib_layout_order(struct trib_layout *layout, struct trib_error *error) {
    struct trib_tensor *tensors = layout->tensors;
    qsort(tensors, layout->tensor_count, sizeof *tensors, compare_names);
    uint64_t element_count = 0;
    for (size_t i = 0; i < layout->tensor_count; i++) {
        if (i > 0 && strcmp(tensors[i - 1].name, tensors[i].name) == 0) {
            return trib_error_set(error, TRIB_EINVALID, "tensor %.*s is there twice",
                                  trib_name_shown(tensors[i].name), tensors[i].name);
        }
        tensors[i].element_offset = element_count;
        /* Each count is at most INT64_MAX, so this sum cannot wrap before the test sees it. */
        element_count += tensors[i].element_count;
        if (element_count > INT64_MAX) {
            return trib_error_set(error, TRIB_ELIMIT, "the tensors have too many elements");
        }
    }
    layout->element_count = element_count;
    return TRIB_OK;
}
