/* metadata.c - the four keys of docs/protocol.md, section 4, for clients that set no headers. */
#include "codec/metadata.h"

#include <string.h>

#include "base/json.h"

/* The whole text is one number as JSON writes it: no sign, no blanks, no leading zero. */
static bool read_number(const char *text, uint64_t *number) {
    struct trib_json json;
    trib_json_init(&json, text, strlen(text));
    return trib_json_next(&json) == TRIB_JSON_NUMBER && json.text_bytes == strlen(text) &&
           trib_json_u64(&json, number);
}

static bool copy_text(const char *text, char *copy, size_t room) {
    if (strlen(text) >= room) {
        return false;
    }
    memcpy(copy, text, strlen(text) + 1);
    return true;
}

bool trib_metadata_read(const char *key, const char *value, void *context) {
    const struct trib_metadata_reader *reader = context;
    struct trib_update_metadata *metadata = reader->metadata;
    const char *fault = NULL;
    if (strcmp(key, "base_version") == 0) {
        metadata->has_base = read_number(value, &metadata->base);
        fault = metadata->has_base ? NULL : "not a whole number";
    } else if (strcmp(key, "examples") == 0) {
        metadata->has_examples = read_number(value, &metadata->examples);
        fault = metadata->has_examples ? NULL : "not a whole number";
    } else if (strcmp(key, "codec") == 0) {
        metadata->has_codec = copy_text(value, metadata->codec, sizeof metadata->codec);
        fault = metadata->has_codec ? NULL : "not the name of a codec";
    } else if (strcmp(key, "metrics") == 0) {
        metadata->has_metrics = copy_text(value, metadata->metrics, sizeof metadata->metrics);
        fault = metadata->has_metrics ? NULL : "too long";
    }
    if (fault != NULL) {
        (void)trib_error_set(reader->error, TRIB_EINVALID, "%s in __metadata__ is %s", key, fault);
    }
    return fault == NULL;
}
