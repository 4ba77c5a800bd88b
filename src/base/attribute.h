/* attribute.h - what a client says of itself: a name with a text, a number or a truth value.
 *
 * Attributes are claims of the client: they choose who is asked, with which settings and with what
 * weight; they prove nothing. */
#ifndef TRIB_BASE_ATTRIBUTE_H
#define TRIB_BASE_ATTRIBUTE_H

#include <stdbool.h>
#include <stddef.h>

#define TRIB_ATTRIBUTES_MAX 16       /* of one client */
#define TRIB_ATTRIBUTE_NAME_BYTES 33 /* with the NUL; so is the other */
#define TRIB_ATTRIBUTE_TEXT_BYTES 65

enum trib_attribute_kind { TRIB_ATTRIBUTE_TEXT, TRIB_ATTRIBUTE_NUMBER, TRIB_ATTRIBUTE_FLAG };

struct trib_attribute {
    char name[TRIB_ATTRIBUTE_NAME_BYTES];
    enum trib_attribute_kind kind;
    double number;                        /* NUMBER: finite; FLAG: 1 is true, 0 false */
    char text[TRIB_ATTRIBUTE_TEXT_BYTES]; /* TEXT; otherwise "" */
};

/* The same kind and value; names are not looked at. The number 1 is not the flag true. */
bool trib_attribute_equal(const struct trib_attribute *a, const struct trib_attribute *b);
/* The one of this name; NULL: none. */
const struct trib_attribute *trib_attribute_find(const struct trib_attribute *attributes,
                                                 size_t count, const char *name);

#endif
