/* attribute.c - what a client says of itself. */
#include "base/attribute.h"

#include <string.h>

bool trib_attribute_equal(const struct trib_attribute *a, const struct trib_attribute *b) {
    if (a->kind != b->kind)
        return false;
    return a->kind == TRIB_ATTRIBUTE_TEXT ? strcmp(a->text, b->text) == 0 : a->number == b->number;
}

const struct trib_attribute *trib_attribute_find(const struct trib_attribute *attributes,
                                                 size_t count, const char *name) {
    for (size_t index = 0; index < count; index++) {
        if (strcmp(attributes[index].name, name) == 0)
            return &attributes[index];
    }
    return NULL;
}
