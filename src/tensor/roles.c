/* roles.c - from a model as somebody brought it to the layout of its versions: who trains what.
 *
 * A rule may only ask for what the dtype can do. Integers cannot be summed as weighted deltas, so
 * they stay with the clients (batch counters) or are frozen into version 0. */
#include "tensor/layout.h"

#include <string.h>

#include "base/name.h"
#include "tensor/safetensors.h"

static const char *const role_names[] = {
    [TRIB_ROLE_TRAIN] = "train", [TRIB_ROLE_AVERAGE] = "average", [TRIB_ROLE_FREEZE] = "freeze",
    [TRIB_ROLE_LOCAL] = "local", [TRIB_ROLE_CONTROL] = "control",
};
#define ROLE_COUNT (sizeof role_names / sizeof role_names[0])

const char *trib_role_name(enum trib_role role) {
    TRIB_ASSERT(role < ROLE_COUNT);
    return role_names[role];
}

bool trib_role_from_name(const char *name, enum trib_role *role) {
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        if (strcmp(role_names[i], name) == 0) {
            *role = (enum trib_role)i;
            return true;
        }
    }
    return false;
}

bool trib_role_is_summed(enum trib_role role) {
    return role == TRIB_ROLE_TRAIN || role == TRIB_ROLE_AVERAGE || role == TRIB_ROLE_CONTROL;
}

struct rules {
    const struct trib_role_rule *first;
    size_t count;
};

static const struct trib_role_rule *find_rule(const struct rules *rules, const char *name) {
    for (size_t i = 0; i < rules->count; i++) {
        if (trib_glob_matches(rules->first[i].match, name)) {
            return &rules->first[i];
        }
    }
    return NULL;
}

static enum trib_role default_role(const struct trib_tensor *tensor) {
    if (!trib_dtype_is_float(tensor->dtype)) {
        return TRIB_ROLE_LOCAL;
    }
    /* Statistics of batch normalisation: an optimizer step could make a variance negative. */
    return trib_glob_matches("*running_*", tensor->name) ? TRIB_ROLE_AVERAGE : TRIB_ROLE_TRAIN;
}

/* The tensors of `file` that versions have, as fp32 with role and bound, into chosen[]. */
static enum trib_status choose_tensors(const struct trib_layout *file, const struct rules *rules,
                                       double delta_max, struct trib_tensor *chosen, size_t *count,
                                       struct trib_error *error) {
    bool has_train = false;
    *count = 0;
    for (size_t i = 0; i < file->tensor_count; i++) {
        struct trib_tensor tensor = file->tensors[i];
        if (trib_companion_is(file, &tensor)) { /* a strategy's own; whoever wants it adds it */
            continue;
        }
        const struct trib_role_rule *rule = find_rule(rules, tensor.name);
        tensor.role = rule != NULL && rule->has_role ? rule->role : default_role(&tensor);
        if (trib_role_is_summed(tensor.role) && !trib_dtype_is_float(tensor.dtype)) {
            return trib_error_set(
                error, TRIB_EDTYPE,
                "tensor %.*s: rule \"%s\" says %s, but %s values can only be freeze or local",
                trib_name_shown(tensor.name), tensor.name, rule->match, trib_role_name(tensor.role),
                trib_dtype_name(tensor.dtype));
        }
        if (tensor.role == TRIB_ROLE_LOCAL) {
            continue;
        }
        tensor.dtype = TRIB_F32;
        tensor.delta_max = rule != NULL && rule->delta_max > 0 ? rule->delta_max : delta_max;
        has_train |= tensor.role == TRIB_ROLE_TRAIN;
        chosen[(*count)++] = tensor;
    }
    if (!has_train) {
        return trib_error_set(error, TRIB_EINVALID, "no tensor has the role train");
    }
    return TRIB_OK;
}

static enum trib_status assign_groups(struct trib_layout *layout, const struct rules *rules,
                                      struct trib_error *error) {
    for (size_t i = 0; i < layout->tensor_count; i++) {
        struct trib_tensor *tensor = &layout->tensors[i];
        tensor->group = 0;
        if (!trib_role_is_summed(tensor->role)) {
            continue;
        }
        const struct trib_role_rule *rule = find_rule(rules, tensor->name);
        const char *name = rule != NULL ? rule->group : "";
        size_t group = 0;
        while (group < layout->group_count && strcmp(layout->group_names[group], name) != 0) {
            group++;
        }
        if (group == TRIB_GROUPS_MAX) {
            return trib_error_set(error, TRIB_ELIMIT, "group %s: there are more than %d groups",
                                  name, TRIB_GROUPS_MAX);
        }
        if (group == layout->group_count) {
            layout->group_count++;
            memcpy(layout->group_names[group], name, strnlen(name, TRIB_GROUP_NAME_BYTES - 1));
        }
        tensor->group = (uint32_t)group;
    }
    return TRIB_OK;
}

enum trib_status trib_layout_of_model(const struct trib_env *env, const struct trib_layout *file,
                                      const struct trib_role_rule *rules, size_t rule_count,
                                      double delta_max, struct trib_layout **layout,
                                      struct trib_error *error) {
    *layout = NULL;
    const struct rules all_rules = {rules, rule_count};
    const size_t room = file->tensor_count > 0 ? file->tensor_count : 1;
    struct trib_tensor *chosen = trib_allocate(env, room, sizeof *chosen);
    if (chosen == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for %zu tensors", room);
    }
    struct trib_layout *made = NULL;
    size_t count = 0;
    enum trib_status status = choose_tensors(file, &all_rules, delta_max, chosen, &count, error);
    if (status == TRIB_OK) {
        status = trib_layout_of_tensors(env, chosen, count, &made, error);
    }
    if (status == TRIB_OK) {
        status = assign_groups(made, &all_rules, error);
    }
    trib_release(env, chosen, room, sizeof *chosen);
    if (status != TRIB_OK) {
        trib_layout_free(made);
        return status;
    }
    *layout = made;
    return TRIB_OK;
}
