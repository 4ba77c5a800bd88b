/* work.c - from what a simulated client has trained to the body that it sends. */
#include "sim/work.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/safetensors.h"

void trib_work_client_name(uint64_t client, char *name) {
    name[0] = 'c';
    (void)trib_words_decimal(name + 1, client);
}

enum trib_status trib_work_update_layout(const struct trib_env *env,
                                         const struct trib_layout *model,
                                         struct trib_layout **update, struct trib_error *error) {
    struct trib_tensor *sent = trib_allocate(env, model->tensor_count, sizeof *sent);
    if (sent == NULL) {
        return TRIB_EMEMORY;
    }
    size_t count = 0;
    for (size_t t = 0; t < model->tensor_count; t++) {
        const struct trib_tensor *tensor = &model->tensors[t];
        if (trib_role_is_summed(tensor->role)) {
            sent[count++] = *tensor;
        }
    }
    enum trib_status status = trib_layout_of_tensors(env, sent, count, update, error);
    trib_release(env, sent, model->tensor_count, sizeof *sent);
    return status;
}

void trib_work_subtract(const struct trib_layout *model, const struct trib_layout *update,
                        const float *trained, const float *base, float *delta) {
    for (size_t t = 0; t < update->tensor_count; t++) {
        const struct trib_tensor *part = &update->tensors[t];
        const struct trib_tensor *whole = trib_layout_find(model, part->name);
        const float *from = base + whole->element_offset;
        const float *to = trained + whole->element_offset;
        float *out = delta + part->element_offset;
        for (uint64_t i = 0; i < part->element_count; i++) {
            out[i] = to[i] - from[i];
        }
    }
}

char *trib_work_settings(const struct trib_env *env, const struct trib_spec *spec, uint32_t site) {
    json_t *settings = json_loads(spec->train, 0, NULL);
    json_t *own = site > 0 ? json_loads(spec->sites[site - 1].train, 0, NULL) : json_object();
    char *text = NULL, *kept = NULL;
    if (json_object_update(settings, own) == 0) {
        text = json_dumps(settings, JSON_COMPACT);
    }
    if (text != NULL) {
        kept = trib_text_copy(env, text);
    }
    free(text);
    json_decref(own);
    json_decref(settings);
    return kept;
}
