/* codec.c - the table of codecs. A new encoding is a file of its own. */
#include "codec/codec.h"

#include <string.h>

static const struct trib_codec *const codecs[] = {
    &trib_codec_dense,
    &trib_codec_int8,
    &trib_codec_sparse,
};

const struct trib_codec *trib_codec_find(const char *name) {
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        if (strcmp(codecs[i]->name, name) == 0) {
            return codecs[i];
        }
    }
    return NULL;
}
