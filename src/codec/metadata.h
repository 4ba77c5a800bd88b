/* metadata.h - what every codec's body may say about itself in __metadata__. */
#ifndef TRIB_CODEC_METADATA_H
#define TRIB_CODEC_METADATA_H

#include "codec/codec.h"

struct trib_metadata_reader {
    struct trib_update_metadata *metadata; /* filled; the caller has zeroed it */
    struct trib_error *error;              /* says which key is wrong; may be NULL */
};

/* A trib_metadata_visit whose context is a struct trib_metadata_reader. Unknown keys are skipped:
 * libraries add their own ("format": "pt"). */
bool trib_metadata_read(const char *key, const char *value, void *context);

#endif
