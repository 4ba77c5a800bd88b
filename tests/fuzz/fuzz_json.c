/* fuzz_json.c - the pull reader of JSON.
 *
 * Rules: it ends; texts lie inside the input; after an error nothing more comes; what it takes as a
 * whole, jansson takes too, and the other way round but for its limits. */
#include "fuzz/target.h"

#include <jansson.h>

#include "base/json.h"

/* Read the whole document; true when it is complete and nothing follows. */
static bool read_all(const char *bytes, size_t size, bool *is_deep) {
    struct trib_json json;
    trib_json_init(&json, bytes, size);
    for (;;) {
        enum trib_json_kind kind = trib_json_next(&json);
        *is_deep |= json.depth >= TRIB_JSON_DEPTH_MAX;
        TRIB_ASSERT(trib_json_offset(&json) <= size);
        if (kind == TRIB_JSON_ERROR) {
            TRIB_ASSERT(trib_json_next(&json) == TRIB_JSON_ERROR);
            return false;
        }
        if (kind == TRIB_JSON_END) {
            return true;
        }
        if (kind == TRIB_JSON_KEY || kind == TRIB_JSON_STRING || kind == TRIB_JSON_NUMBER) {
            char text[64];
            TRIB_ASSERT(json.text >= bytes && json.text + json.text_bytes <= bytes + size);
            (void)trib_json_copy_text(&json, text, sizeof text);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *bytes = malloc(size > 0 ? size : 1);
    bool is_deep = false;
    TRIB_ASSERT(bytes != NULL);
    memcpy(bytes, data, size);
    bool is_good = read_all(bytes, size, &is_deep);
    if (memchr(bytes, '\0', size) != NULL) { /* jansson ends there */
        TRIB_ASSERT(!is_good);
        free(bytes);
        return 0;
    }
    json_error_t error;
    json_t *value = json_loadb(bytes, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    bool is_range = value == NULL && json_error_code(&error) == json_error_numeric_overflow;
    TRIB_ASSERT(value == NULL || is_good || is_deep);
    TRIB_ASSERT(!is_good || value != NULL || is_range ||
                json_error_code(&error) == json_error_invalid_syntax);
    json_decref(value);
    free(bytes);
    return 0;
}
