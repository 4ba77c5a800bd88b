/* companions.c - tensors that a strategy keeps about other tensors.
 *
 * They are part of a version, so that they travel with it, are checkpointed with it and are summed
 * as exactly as everything else; their names tell what they are, so that a version file needs no
 * other word. */
#include "tensor/layout.h"

#include <stdio.h>
#include <string.h>

#include "tensor/safetensors.h"

static const struct {
    enum trib_companion companion;
    const char *prefix;
    enum trib_role role;
} kinds[] = {
    {TRIB_COMPANION_CONTROL, "control.", TRIB_ROLE_CONTROL},
    {TRIB_COMPANION_MOMENTUM, "momentum.", TRIB_ROLE_AVERAGE},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

const char *trib_companion_prefix(enum trib_companion companion) {
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (kinds[i].companion == companion) {
            return kinds[i].prefix;
        }
    }
    return NULL;
}

bool trib_companion_is(const struct trib_layout *layout, const struct trib_tensor *tensor) {
    for (size_t i = 0; i < KIND_COUNT; i++) {
        const size_t prefix_bytes = strlen(kinds[i].prefix);
        if (strncmp(tensor->name, kinds[i].prefix, prefix_bytes) == 0 &&
            trib_layout_find(layout, tensor->name + prefix_bytes) != NULL) {
            return true;
        }
    }
    return false;
}

/* Tensors of the new layout, and the names that it does not share with the old one. */
struct list {
    struct trib_tensor *tensors;
    size_t count;
    char *names;
    size_t names_used;
};

static void append(struct list *list, const struct trib_tensor *tensor, size_t kind) {
    char *name = list->names + list->names_used;
    list->names_used += (size_t)sprintf(name, "%s%s", kinds[kind].prefix, tensor->name) + 1;
    list->tensors[list->count] = *tensor;
    list->tensors[list->count].name = name;
    list->tensors[list->count].role = kinds[kind].role;
    list->tensors[list->count].is_companion = true;
    list->count++;
}

static void choose(const struct trib_layout *layout, uint32_t companions, struct list *list) {
    for (size_t i = 0; i < layout->tensor_count; i++) {
        const struct trib_tensor *tensor = &layout->tensors[i];
        list->tensors[list->count++] = *tensor;
        for (size_t kind = 0; kind < KIND_COUNT; kind++) {
            if (tensor->role == TRIB_ROLE_TRAIN && (companions & kinds[kind].companion) != 0) {
                append(list, tensor, kind);
            }
        }
    }
}

/* Bytes of all names with each prefix before each of them. */
static size_t names_bytes(const struct trib_layout *layout) {
    size_t bytes = 1;
    for (size_t i = 0; i < layout->tensor_count; i++) {
        for (size_t kind = 0; kind < KIND_COUNT; kind++) {
            bytes += strlen(kinds[kind].prefix) + strlen(layout->tensors[i].name) + 1;
        }
    }
    return bytes;
}

enum trib_status trib_layout_accompany(struct trib_layout *layout, uint32_t companions,
                                       struct trib_layout **accompanied, struct trib_error *error) {
    const struct trib_env *env = layout->env;
    const size_t room = layout->tensor_count * (1 + KIND_COUNT);
    const size_t name_room = names_bytes(layout);
    struct list list = {
        .tensors = trib_allocate(env, room, sizeof *list.tensors),
        .names = trib_allocate(env, name_room, 1),
    };
    enum trib_status status = TRIB_EMEMORY;
    *accompanied = NULL;
    if (list.tensors == NULL || list.names == NULL) {
        (void)trib_error_set(error, status, "no memory for %zu tensors", room);
    } else {
        choose(layout, companions, &list);
        status = trib_layout_of_tensors(env, list.tensors, list.count, accompanied, error);
    }
    if (status == TRIB_OK) {
        (*accompanied)->group_count = layout->group_count;
        memcpy((*accompanied)->group_names, layout->group_names, sizeof layout->group_names);
    }
    trib_release(env, list.names, name_room, 1);
    trib_release(env, list.tensors, room, sizeof *list.tensors);
    trib_layout_free(layout);
    return status;
}
