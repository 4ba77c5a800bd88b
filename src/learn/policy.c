/* policy.c - the policies by name. */
#include "learn/policy.h"

#include <string.h>

static const struct trib_policy *const policies[] = {
    &trib_policy_rounds, &trib_policy_buffer, &trib_policy_ticks, &trib_policy_contacts,
    &trib_policy_async,  &trib_policy_groups, &trib_policy_sum,
};

const struct trib_policy *trib_policy_find(const char *name) {
    for (size_t index = 0; index < sizeof policies / sizeof policies[0]; index++) {
        if (strcmp(policies[index]->name, name) == 0)
            return policies[index];
    }
    return NULL;
}
