/* fuzz_yaml.c - any bytes as YAML.
 *
 * Rules: what was read twice is the same value; as JSON inside an object it reads back equal;
 * it is no deeper than allowed; a refusal has words. */
#include "fuzz/target.h"

#include "wire/yaml.h"

static int depth_of(const json_t *value, int depth) {
    int deepest = depth;
    TRIB_ASSERT(depth <= 64); /* also bounds this recursion */
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)value, key, member) {
        const int here = depth_of(member, depth + 1);
        deepest = here > deepest ? here : deepest;
    }
    for (size_t index = 0; index < json_array_size(value); index++) {
        const int here = depth_of(json_array_get(value, index), depth + 1);
        deepest = here > deepest ? here : deepest;
    }
    return deepest;
}

static void check_again(const json_t *document, const char *bytes, size_t size) {
    json_t *again = NULL;
    TRIB_ASSERT(trib_yaml_read(bytes, size, &again, NULL) == TRIB_OK);
    TRIB_ASSERT(json_equal(document, again));
    json_decref(again);
}

static void check_as_json(json_t *document) {
    json_t *wrapped = json_pack("{s:O}", "value", document);
    char *text = json_dumps(wrapped, 0);
    TRIB_ASSERT(text != NULL);
    if (strlen(text) <= TRIB_YAML_BYTES_MAX) {
        check_again(wrapped, text, strlen(text));
    }
    free(text);
    json_decref(wrapped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = (char *)fuzz_copy(data, size);
    json_t *document = NULL;
    struct trib_error error = {0};
    const enum trib_status status = trib_yaml_read(copy, size, &document, &error);
    TRIB_ASSERT((status == TRIB_OK) == (document != NULL));
    TRIB_ASSERT(status == error.status && (status == TRIB_OK || error.text[0] != '\0'));
    if (document != NULL) {
        TRIB_ASSERT(depth_of(document, 0) <= TRIB_YAML_DEPTH_MAX);
        check_again(document, copy, size);
        check_as_json(document);
    }
    json_decref(document);
    free(copy);
    return 0;
}
