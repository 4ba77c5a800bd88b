/* codec.c - the table of codecs. A new one is a file of its own and a line here. */
#include "codec/codec.h"

#include <string.h>

static const struct trib_codec *const codecs[] = {
    &trib_codec_dense,
};

const struct trib_codec *trib_codec_find(const char *name) {
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        if (strcmp(codecs[i]->name, name) == 0) {
            return codecs[i];
        }
    }
    return NULL;
}
