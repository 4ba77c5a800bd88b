/* working_copy.c - holds a version and hands out what was changed in it. */
#include "client/working_copy.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "client/heard.h"
#include "tensor/safetensors.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "values are used as they lie in safetensors files");

void trib_working_copy_init(struct trib_working_copy *copy, const struct trib_env *env) {
    memset(copy, 0, sizeof *copy);
    copy->env = env;
}

static void drop_update(struct trib_working_copy *copy) {
    if (copy->update != NULL) {
        trib_release(copy->env, copy->update_head, (size_t)copy->update->data_offset, 1);
        trib_layout_free(copy->update);
    }
    copy->update = NULL;
    copy->update_head = NULL;
    copy->trained = NULL;
}

void trib_working_copy_deinit(struct trib_working_copy *copy) {
    drop_update(copy);
    trib_block_unref(copy->values);
    trib_release(copy->env, copy->tensors, copy->tensor_count, sizeof *copy->tensors);
    trib_layout_free(copy->layout);
    trib_release(copy->env, copy->file, copy->file_bytes, 1);
    trib_working_copy_init(copy, copy->env);
}

/* --- holding -------------------------------------------------------------------------------- */

/* The values into fresh memory. False: there is none. */
static bool renew_values(struct trib_working_copy *copy) {
    size_t byte_count;
    struct trib_block *fresh = NULL;
    if (trib_count_to_bytes((size_t)copy->layout->element_count, sizeof(float), &byte_count)) {
        fresh = trib_block_new(copy->env, byte_count);
    }
    if (fresh == NULL) {
        return false;
    }
    trib_block_unref(copy->values);
    copy->values = fresh;
    copy->is_kept = false;
    for (size_t i = 0; i < copy->tensor_count; i++) {
        const struct trib_tensor *tensor = &copy->layout->tensors[i];
        copy->tensors[i] = (struct trib_client_tensor){
            .name = tensor->name,
            .values = (float *)(void *)fresh->bytes + tensor->element_offset,
            .element_count = tensor->element_count,
            .rank = tensor->rank,
        };
        memcpy(copy->tensors[i].shape, tensor->shape, sizeof tensor->shape);
    }
    return true;
}

static enum trib_status read_file(struct trib_working_copy *copy, struct trib_error *error) {
    const struct trib_source source = trib_source_of_memory(copy->file, copy->file_bytes);
    enum trib_status status = trib_safetensors_parse(copy->env, &source, TRIB_SAFETENSORS_HEAD_MAX,
                                                     NULL, NULL, &copy->layout, error);
    if (status != TRIB_OK) {
        return status;
    }
    for (size_t i = 0; i < copy->layout->tensor_count; i++) {
        const struct trib_tensor *tensor = &copy->layout->tensors[i];
        if (tensor->dtype != TRIB_F32) {
            return trib_error_set(error, TRIB_EDTYPE, "tensor %.*s is not F32",
                                  trib_name_shown(tensor->name), tensor->name);
        }
    }
    copy->tensor_count = copy->layout->tensor_count;
    copy->tensors = trib_allocate(copy->env, copy->tensor_count, sizeof *copy->tensors);
    if (copy->tensors == NULL || !renew_values(copy)) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for a copy of the model");
    }
    return trib_working_copy_reset(copy);
}

enum trib_status trib_working_copy_hold(struct trib_working_copy *copy, unsigned char *file,
                                        size_t file_bytes, struct trib_error *error) {
    trib_working_copy_deinit(copy);
    copy->file = file;
    copy->file_bytes = file_bytes;
    enum trib_status status = read_file(copy, error);
    if (status != TRIB_OK) {
        trib_working_copy_deinit(copy);
    }
    return status;
}

static const unsigned char *bytes_before(const struct trib_working_copy *copy,
                                         const struct trib_tensor *tensor) {
    return copy->file + copy->layout->data_offset + tensor->byte_offset;
}

enum trib_status trib_working_copy_reset(struct trib_working_copy *copy) {
    drop_update(copy);
    if (copy->is_kept && !renew_values(copy)) {
        return TRIB_EMEMORY;
    }
    for (size_t i = 0; i < copy->tensor_count; i++) {
        const struct trib_tensor *tensor = &copy->layout->tensors[i];
        memcpy(copy->tensors[i].values, bytes_before(copy, tensor),
               (size_t)trib_tensor_bytes(tensor));
    }
    return TRIB_OK;
}

struct trib_block *trib_working_copy_keep(struct trib_working_copy *copy) {
    copy->is_kept = true;
    return trib_block_ref(copy->values);
}

/* --- updates -------------------------------------------------------------------------------- */

/* delta[i] = values[first + i] - before[first + i]; neither end needs alignment. */
static void subtract(unsigned char *delta, const float *values, const unsigned char *before,
                     size_t count) {
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, before + i * sizeof value, sizeof value);
        value = values[i] - value;
        memcpy(delta + i * sizeof value, &value, sizeof value);
    }
}

/* Where the values of a tensor lie now; NULL: it is left out. */
static const float *values_of(const struct trib_working_copy *copy,
                              const struct trib_tensor *whole) {
    size_t index = (size_t)(whole - copy->layout->tensors);
    return copy->trained == NULL ? copy->tensors[index].values : copy->trained[index];
}

static void read_delta(const struct trib_working_copy *copy, uint64_t element, unsigned char *bytes,
                       size_t count) {
    while (count > 0) {
        const struct trib_tensor *part =
            &copy->update->tensors[trib_layout_tensor_at(copy->update, element)];
        const struct trib_tensor *whole = trib_layout_find(copy->layout, part->name);
        uint64_t first = element - part->element_offset;
        uint64_t left = part->element_count - first;
        size_t taken = count < left ? count : (size_t)left;
        subtract(bytes, values_of(copy, whole) + first,
                 bytes_before(copy, whole) + first * sizeof(float), taken);
        element += taken;
        bytes += taken * sizeof(float);
        count -= taken;
    }
}

static enum trib_status read_update(void *context, uint64_t offset, void *bytes, size_t count) {
    const struct trib_working_copy *copy = context;
    uint64_t head_bytes = copy->update->data_offset;
    unsigned char *next = bytes;
    TRIB_ASSERT(offset % sizeof(float) == 0 && count % sizeof(float) == 0);
    if (offset < head_bytes) {
        uint64_t left = head_bytes - offset;
        size_t taken = count < left ? count : (size_t)left;
        memcpy(next, copy->update_head + offset, taken);
        next += taken;
        offset += taken;
        count -= taken;
    }
    read_delta(copy, (offset - head_bytes) / sizeof(float), next, count / sizeof(float));
    return TRIB_OK;
}

/* Which tensors stay at home. */
struct selection {
    const struct trib_layout *layout;
    bool *is_left_out; /* of each tensor */
};

static bool freeze(void *context, const char *name) {
    const struct selection *selection = context;
    const struct trib_tensor *tensor = trib_layout_find(selection->layout, name);
    if (tensor != NULL) {
        selection->is_left_out[tensor - selection->layout->tensors] = true;
    }
    return true; /* a name of another model's freezes nothing */
}

/* The tensors that are sent into chosen[]; false: "frozen" is malformed. */
static bool choose(const struct trib_working_copy *copy, const char *settings, bool *is_left_out,
                   struct trib_tensor *chosen, size_t *count) {
    const struct trib_layout *layout = copy->layout;
    struct selection selection = {layout, is_left_out};
    if (!trib_heard_strings(settings, strlen(settings), "frozen", freeze, &selection)) {
        return false;
    }
    *count = 0;
    for (size_t i = 0; i < layout->tensor_count; i++) {
        if (!is_left_out[i] && values_of(copy, &layout->tensors[i]) != NULL) {
            chosen[(*count)++] = layout->tensors[i];
        }
    }
    return true;
}

static enum trib_status make_layout(struct trib_working_copy *copy, const char *settings,
                                    bool *is_left_out, struct trib_tensor *chosen,
                                    struct trib_error *error) {
    size_t count = 0;
    if (!choose(copy, settings, is_left_out, chosen, &count)) {
        return trib_error_set(error, TRIB_EINVALID,
                              "the task's setting frozen is no array of tensor names");
    }
    if (count == 0) {
        return trib_error_set(error, TRIB_EINVALID, "no tensor is left to send");
    }
    return trib_layout_of_tensors(copy->env, chosen, count, &copy->update, error);
}

static enum trib_status plan_update(struct trib_working_copy *copy, const char *settings,
                                    struct trib_error *error) {
    size_t count = copy->tensor_count;
    bool *is_left_out = trib_allocate(copy->env, count, sizeof *is_left_out);
    struct trib_tensor *chosen = trib_allocate(copy->env, count, sizeof *chosen);
    enum trib_status status = TRIB_EMEMORY;
    if (is_left_out != NULL && chosen != NULL) {
        status = make_layout(copy, settings, is_left_out, chosen, error);
    }
    trib_release(copy->env, chosen, count, sizeof *chosen);
    trib_release(copy->env, is_left_out, count, sizeof *is_left_out);
    return status;
}

/* Index of the first NaN or infinity, count when there is none. First all bits at once, because
 * there hardly ever is one: the largest magnitude, as an integer, tells. */
static uint64_t first_nonfinite(const float *values, uint64_t count) {
    const uint32_t infinity = UINT32_C(0x7f800000);
    uint32_t largest = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t magnitude;
        memcpy(&magnitude, values + i, sizeof magnitude);
        magnitude &= UINT32_C(0x7fffffff);
        largest = magnitude > largest ? magnitude : largest;
    }
    uint64_t index = largest < infinity ? count : 0;
    while (index < count && isfinite(values[index])) {
        index++;
    }
    return index;
}

/* What cannot be counted is better refused here than after all of it has been sent. */
static enum trib_status check_values(const struct trib_working_copy *copy,
                                     struct trib_error *error) {
    for (size_t i = 0; i < copy->update->tensor_count; i++) {
        const struct trib_tensor *tensor = &copy->update->tensors[i];
        uint64_t index = first_nonfinite(
            values_of(copy, trib_layout_find(copy->layout, tensor->name)), tensor->element_count);
        if (index < tensor->element_count) {
            return trib_error_set(error, TRIB_ENONFINITE,
                                  "tensor %.*s: value %" PRIu64 " is not a finite number",
                                  trib_name_shown(tensor->name), tensor->name, index);
        }
    }
    return TRIB_OK;
}

enum trib_status trib_working_copy_update(struct trib_working_copy *copy, const char *settings,
                                          const float *const *trained, struct trib_source *update,
                                          struct trib_error *error) {
    drop_update(copy);
    copy->trained = trained;
    enum trib_status status = plan_update(copy, settings, error);
    status = status == TRIB_OK ? check_values(copy, error) : status;
    if (status == TRIB_OK) {
        copy->update_head = trib_allocate(copy->env, (size_t)copy->update->data_offset, 1);
        status = copy->update_head == NULL ? TRIB_EMEMORY : TRIB_OK;
    }
    if (status == TRIB_EMEMORY) {
        (void)trib_error_set(error, TRIB_EMEMORY, "no memory for an update"); /* returned below */
    }
    if (status != TRIB_OK) {
        drop_update(copy);
        return status;
    }
    trib_safetensors_write_head(copy->update, copy->update_head, (size_t)copy->update->data_offset);
    *update = (struct trib_source){
        .context = copy,
        .byte_count = copy->update->data_offset + copy->update->data_bytes,
        .read = read_update,
    };
    return TRIB_OK;
}
