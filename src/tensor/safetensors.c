/* safetensors.c - from the bytes of a head to a layout, believing nothing.
 *
 * Two passes over the JSON: the first counts, so that the second fills memory of exactly the right
 * size. Then the tensors are put in the order of their data, where they must tile the data section:
 * a byte that belongs to nobody, or to two, is refused. */
#include "tensor/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "base/map.h"

#define LENGTH_BYTES 8

/* One head while it is read. */
struct head {
    const struct trib_env *env;
    struct trib_json json;
    const void *bytes; /* the JSON */
    size_t byte_count;
    size_t tensor_count; /* from the first pass, with names_bytes */
    size_t names_bytes;
    uint64_t data_bytes;
    trib_metadata_visit *visit;
    void *context;
    struct trib_error *error;
};

/* One entry: {"dtype": ..., "shape": ..., "data_offsets": [begin, end]}. */
struct entry {
    struct trib_tensor tensor;
    uint64_t offset_end;
    bool has_dtype, has_shape, has_offsets;
};

static enum trib_status refuse(struct head *head, const char *what) {
    return trib_error_set(head->error, TRIB_EMALFORMED, "safetensors head, byte %zu: %s",
                          LENGTH_BYTES + trib_json_offset(&head->json), what);
}

static enum trib_status refuse_tensor(struct head *head, const struct entry *entry,
                                      const char *what) {
    return trib_error_set(head->error, TRIB_EMALFORMED, "tensor %.*s: %s",
                          trib_name_shown(entry->tensor.name), entry->tensor.name, what);
}

/* First pass: is it JSON at all, how many tensors are there, how long are their names? */
static enum trib_status count_tensors(struct head *head) {
    struct trib_json *json = &head->json;
    trib_json_init(json, head->bytes, head->byte_count);
    if (((const char *)head->bytes)[0] != '{' || trib_json_next(json) != TRIB_JSON_OBJECT) {
        return refuse(head, "it does not start with {");
    }
    enum trib_json_kind kind;
    while ((kind = trib_json_next(json)) == TRIB_JSON_KEY) {
        if (!trib_json_is(json, "__metadata__")) {
            head->tensor_count++;
            head->names_bytes += json->text_bytes + 1; /* escapes only make it longer */
        }
        if (!trib_json_skip(json)) {
            return refuse(head, "malformed JSON");
        }
    }
    if (kind != TRIB_JSON_OBJECT_END || trib_json_next(json) != TRIB_JSON_END) {
        return refuse(head, "malformed JSON");
    }
    if (head->tensor_count > TRIB_TENSORS_MAX) {
        return trib_error_set(head->error, TRIB_ELIMIT, "%zu tensors are over the limit of %d",
                              head->tensor_count, TRIB_TENSORS_MAX);
    }
    return TRIB_OK;
}

/* Show one string to the visitor. */
static enum trib_status visit_string(struct head *head, const char *key) {
    const size_t room = head->json.text_bytes + 1;
    char *value = trib_allocate(head->env, room, 1);
    if (value == NULL) {
        return trib_error_set(head->error, TRIB_EMEMORY, "no memory for %zu bytes of metadata",
                              room);
    }
    enum trib_status status = TRIB_OK;
    if (!trib_json_copy_text(&head->json, value, room)) {
        status = refuse(head, "a string of __metadata__ is not valid text");
    } else {
        if (head->error != NULL) {
            head->error->status = TRIB_OK; /* to see whether the visitor explains itself */
        }
        if (!head->visit(key, value, head->context)) {
            status = TRIB_EINVALID;
            if (head->error != NULL && head->error->status == TRIB_OK) {
                (void)trib_error_set(head->error, status, "a string of __metadata__ is refused");
            }
        }
    }
    trib_release(head->env, value, room, 1);
    return status;
}

static enum trib_status read_metadata_strings(struct head *head, struct trib_map *seen) {
    struct trib_json *json = &head->json;
    enum trib_json_kind kind;
    while ((kind = trib_json_next(json)) == TRIB_JSON_KEY) {
        char key[TRIB_METADATA_KEY_BYTES_MAX + 1];
        if (json->text_bytes == 0 || !trib_json_copy_text(json, key, sizeof key)) {
            return refuse(head, "a key of __metadata__ is empty, too long or not valid text");
        }
        if (trib_map_get(seen, key, strlen(key), NULL)) {
            return refuse(head, "a key of __metadata__ is there twice");
        }
        if (seen->used == TRIB_METADATA_KEYS_MAX) {
            return trib_error_set(head->error, TRIB_ELIMIT, "__metadata__ has over %d keys",
                                  TRIB_METADATA_KEYS_MAX);
        }
        if (!trib_map_put(seen, key, strlen(key), 1)) {
            return trib_error_set(head->error, TRIB_EMEMORY, "no memory for __metadata__");
        }
        if (trib_json_next(json) != TRIB_JSON_STRING) {
            return refuse(head, "__metadata__ holds something other than strings");
        }
        enum trib_status status = head->visit != NULL ? visit_string(head, key) : TRIB_OK;
        if (status != TRIB_OK) {
            return status;
        }
    }
    return kind == TRIB_JSON_OBJECT_END ? TRIB_OK : refuse(head, "malformed JSON");
}

static enum trib_status read_metadata(struct head *head) {
    if (trib_json_next(&head->json) != TRIB_JSON_OBJECT) {
        return refuse(head, "__metadata__ is not an object");
    }
    struct trib_map seen;
    trib_map_init(&seen, head->env);
    enum trib_status status = read_metadata_strings(head, &seen);
    trib_map_deinit(&seen);
    return status;
}

static enum trib_status read_dtype(struct head *head, struct entry *entry) {
    const struct trib_json *json = &head->json;
    char name[16];
    if (trib_json_next(&head->json) != TRIB_JSON_STRING) {
        return refuse_tensor(head, entry, "dtype is not a string");
    }
    if (!trib_json_copy_text(json, name, sizeof name) ||
        !trib_dtype_from_name(name, &entry->tensor.dtype)) {
        /* Shown with its escapes, so that it stays on one line. */
        return trib_error_set(head->error, TRIB_EDTYPE, "tensor %.*s: unknown dtype %.*s",
                              trib_name_shown(entry->tensor.name), entry->tensor.name,
                              json->text_bytes < sizeof name ? (int)json->text_bytes : 0,
                              json->text);
    }
    return TRIB_OK;
}

/* An array of at most count_max whole numbers. */
static enum trib_status read_numbers(struct head *head, const struct entry *entry, const char *what,
                                     uint64_t *numbers, uint32_t count_max, uint32_t *count) {
    *count = 0;
    if (trib_json_next(&head->json) != TRIB_JSON_ARRAY) {
        return refuse_tensor(head, entry, what);
    }
    while (trib_json_next(&head->json) == TRIB_JSON_NUMBER) {
        if (*count == count_max || !trib_json_u64(&head->json, &numbers[*count])) {
            return refuse_tensor(head, entry, what);
        }
        (*count)++;
    }
    return head->json.kind == TRIB_JSON_ARRAY_END ? TRIB_OK : refuse_tensor(head, entry, what);
}

static enum trib_status read_offsets(struct head *head, struct entry *entry) {
    static const char expected[] = "data_offsets is not [begin, end]";
    uint64_t numbers[2];
    uint32_t count = 0;
    enum trib_status status = read_numbers(head, entry, expected, numbers, 2, &count);
    if (status != TRIB_OK) {
        return status;
    }
    if (count != 2 || numbers[0] > numbers[1]) {
        return refuse_tensor(head, entry, expected);
    }
    entry->tensor.byte_offset = numbers[0];
    entry->offset_end = numbers[1];
    return TRIB_OK;
}

/* Which of the three keys this is, once each. */
static enum trib_status read_field(struct head *head, struct entry *entry) {
    struct trib_json *json = &head->json;
    bool *has_field = trib_json_is(json, "dtype")          ? &entry->has_dtype
                      : trib_json_is(json, "shape")        ? &entry->has_shape
                      : trib_json_is(json, "data_offsets") ? &entry->has_offsets
                                                           : NULL;
    if (has_field == NULL) {
        return refuse_tensor(head, entry, "it has a key other than dtype, shape, data_offsets");
    }
    if (*has_field) {
        return refuse_tensor(head, entry, "it has a key twice");
    }
    *has_field = true;
    if (has_field == &entry->has_dtype) {
        return read_dtype(head, entry);
    }
    if (has_field == &entry->has_offsets) {
        return read_offsets(head, entry);
    }
    return read_numbers(head, entry, "shape is not an array of at most 8 sizes",
                        entry->tensor.shape, TRIB_RANK_MAX, &entry->tensor.rank);
}

/* Do dtype, shape and offsets agree, and is that inside the file? */
static enum trib_status check_extent(struct head *head, const struct entry *entry,
                                     const struct trib_tensor *tensor) {
    const uint64_t needed = trib_tensor_bytes(tensor);
    const uint64_t given = entry->offset_end - tensor->byte_offset;
    if (needed != given) {
        char shape[TRIB_SHAPE_TEXT_BYTES];
        return trib_error_set(head->error, TRIB_EMALFORMED,
                              "tensor %.*s: shape %s needs %" PRIu64
                              " bytes, data_offsets give %" PRIu64,
                              trib_name_shown(tensor->name), tensor->name,
                              trib_shape_text(tensor, shape, sizeof shape), needed, given);
    }
    if (entry->offset_end > head->data_bytes) {
        return trib_error_set(
            head->error, TRIB_ETRUNCATED,
            "tensor %.*s: it ends at byte %" PRIu64 " of the data, which has %" PRIu64,
            trib_name_shown(tensor->name), tensor->name, entry->offset_end, head->data_bytes);
    }
    return TRIB_OK;
}

/* The value of the key just read becomes one more tensor of the layout. */
static enum trib_status read_tensor(struct head *head, struct trib_layout *layout) {
    struct trib_json *json = &head->json;
    char name[TRIB_TENSOR_NAME_BYTES_MAX + 1];
    if (!trib_json_copy_text(json, name, sizeof name)) {
        return trib_error_set(head->error, TRIB_EINVALID,
                              "a tensor name is over %d bytes or not valid text",
                              TRIB_TENSOR_NAME_BYTES_MAX);
    }
    struct entry entry = {.tensor.name = name};
    if (trib_json_next(json) != TRIB_JSON_OBJECT) {
        return refuse_tensor(head, &entry, "its value is not an object");
    }
    while (trib_json_next(json) == TRIB_JSON_KEY) {
        enum trib_status status = read_field(head, &entry);
        if (status != TRIB_OK) {
            return status;
        }
    }
    if (!entry.has_dtype || !entry.has_shape || !entry.has_offsets) {
        return refuse_tensor(head, &entry, "dtype, shape or data_offsets is missing");
    }
    enum trib_status status = trib_layout_append(layout, &entry.tensor, head->error);
    if (status != TRIB_OK) {
        return status;
    }
    return check_extent(head, &entry, &layout->tensors[layout->tensor_count - 1]);
}

static int compare_offsets(const void *a, const void *b) {
    const struct trib_tensor *left = *(const struct trib_tensor *const *)a;
    const struct trib_tensor *right = *(const struct trib_tensor *const *)b;
    if (left->byte_offset != right->byte_offset) {
        return left->byte_offset < right->byte_offset ? -1 : 1;
    }
    /* Empty tensors lie between others and must come before what starts at the same byte. */
    const uint64_t left_bytes = trib_tensor_bytes(left);
    const uint64_t right_bytes = trib_tensor_bytes(right);
    return (left_bytes > right_bytes) - (left_bytes < right_bytes);
}

/* Every byte of the data belongs to exactly one tensor. */
static enum trib_status check_tiling(const struct trib_layout *layout,
                                     const struct trib_tensor **by_offset,
                                     struct trib_error *error) {
    for (size_t i = 0; i < layout->tensor_count; i++) {
        by_offset[i] = &layout->tensors[i];
    }
    qsort(by_offset, layout->tensor_count, sizeof by_offset[0], compare_offsets);
    uint64_t covered = 0;
    for (size_t i = 0; i < layout->tensor_count; i++) {
        const struct trib_tensor *tensor = by_offset[i];
        if (tensor->byte_offset != covered) {
            return trib_error_set(
                error, TRIB_EMALFORMED,
                "tensor %.*s: it begins at byte %" PRIu64 " of the data, %s at %" PRIu64,
                trib_name_shown(tensor->name), tensor->name, tensor->byte_offset,
                tensor->byte_offset < covered ? "the one before it ends" : "a gap begins", covered);
        }
        covered += trib_tensor_bytes(tensor);
    }
    if (covered != layout->data_bytes) {
        return trib_error_set(error, TRIB_EMALFORMED,
                              "the tensors end at byte %" PRIu64 " of the data, which has %" PRIu64,
                              covered, layout->data_bytes);
    }
    return TRIB_OK;
}

/* Second pass. */
static enum trib_status read_head(struct head *head, struct trib_layout *layout) {
    struct trib_json *json = &head->json;
    bool has_metadata = false;
    trib_json_init(json, head->bytes, head->byte_count);
    (void)trib_json_next(json); /* the first pass has seen that it is an object */
    while (trib_json_next(json) == TRIB_JSON_KEY) {
        enum trib_status status;
        if (!trib_json_is(json, "__metadata__")) {
            status = read_tensor(head, layout);
        } else if (has_metadata) {
            status = refuse(head, "__metadata__ is there twice");
        } else {
            has_metadata = true;
            status = read_metadata(head);
        }
        if (status != TRIB_OK) {
            return status;
        }
    }
    return trib_layout_order(layout, head->error);
}

/* Both passes over a head in memory. */
static enum trib_status parse_head(struct head *head, struct trib_layout **layout) {
    enum trib_status status = count_tensors(head);
    if (status != TRIB_OK) {
        return status;
    }
    struct trib_layout *made = trib_layout_new(head->env, head->tensor_count, head->names_bytes);
    const size_t room = head->tensor_count + 1; /* an allocation of nothing is not allowed */
    const struct trib_tensor **by_offset = trib_allocate(head->env, room, sizeof by_offset[0]);
    if (made == NULL || by_offset == NULL) {
        status = trib_error_set(head->error, TRIB_EMEMORY, "no memory for %zu tensors",
                                head->tensor_count);
    } else {
        made->data_offset = LENGTH_BYTES + head->byte_count;
        made->data_bytes = head->data_bytes;
        status = read_head(head, made);
    }
    if (status == TRIB_OK) {
        status = check_tiling(made, by_offset, head->error);
    }
    trib_release(head->env, by_offset, room, sizeof by_offset[0]);
    if (status != TRIB_OK) {
        trib_layout_free(made);
        return status;
    }
    *layout = made;
    return TRIB_OK;
}

/* How long is the head? */
static enum trib_status read_length(const struct trib_source *source, size_t head_bytes_max,
                                    size_t *head_bytes, struct trib_error *error) {
    if (source->byte_count < LENGTH_BYTES) {
        return trib_error_set(error, TRIB_ETRUNCATED,
                              "%" PRIu64 " bytes are too few for a safetensors file",
                              source->byte_count);
    }
    unsigned char bytes[LENGTH_BYTES];
    if (source->read(source->context, 0, bytes, sizeof bytes) != TRIB_OK) {
        return trib_error_set(error, TRIB_EIO, "the safetensors head cannot be read");
    }
    struct trib_reader reader;
    trib_reader_init(&reader, bytes, sizeof bytes);
    const uint64_t length = trib_get_u64(&reader);
    if (head_bytes_max > TRIB_SAFETENSORS_HEAD_MAX) {
        head_bytes_max = TRIB_SAFETENSORS_HEAD_MAX;
    }
    if (length > head_bytes_max) {
        return trib_error_set(error, TRIB_ELIMIT,
                              "a safetensors head of %" PRIu64 " bytes is over the limit of %zu",
                              length, head_bytes_max);
    }
    if (length > source->byte_count - LENGTH_BYTES) {
        return trib_error_set(error, TRIB_ETRUNCATED,
                              "the safetensors head should have %" PRIu64
                              " bytes, but only %" PRIu64 " follow",
                              length, source->byte_count - LENGTH_BYTES);
    }
    if (length == 0) {
        return trib_error_set(error, TRIB_EMALFORMED, "the safetensors head is empty");
    }
    *head_bytes = (size_t)length;
    return TRIB_OK;
}

enum trib_status trib_safetensors_parse(const struct trib_env *env,
                                        const struct trib_source *source, size_t head_bytes_max,
                                        trib_metadata_visit *visit, void *context,
                                        struct trib_layout **layout, struct trib_error *error) {
    *layout = NULL;
    struct head head = {.env = env, .visit = visit, .context = context, .error = error};
    enum trib_status status = read_length(source, head_bytes_max, &head.byte_count, error);
    if (status != TRIB_OK) {
        return status;
    }
    head.data_bytes = source->byte_count - LENGTH_BYTES - head.byte_count;
    unsigned char *copy = trib_allocate(env, head.byte_count, 1);
    if (copy == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for a safetensors head of %zu bytes",
                              head.byte_count);
    }
    head.bytes = trib_source_bytes(source, LENGTH_BYTES, head.byte_count, copy);
    status = head.bytes != NULL
                 ? parse_head(&head, layout)
                 : trib_error_set(error, TRIB_EIO, "the safetensors head cannot be read");
    trib_release(env, copy, head.byte_count, 1);
    return status;
}
