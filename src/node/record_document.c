/* record_document.c - reading the ledger's documents, and means of metrics. */
#include "node/record_document.h"

#include <string.h>

#include "wire/documents.h"

const char *trib_record_type(const json_t *document) {
    const char *type = json_string_value(json_object_get(document, "type"));
    return type == NULL ? "" : type;
}

uint64_t trib_record_number(const json_t *document, const char *key) {
    json_int_t value = json_integer_value(json_object_get(document, key));
    return value < 0 ? 0 : (uint64_t)value;
}

bool trib_record_digest(const json_t *document, const char *key, struct trib_digest *digest) {
    const char *hex = json_string_value(json_object_get(document, key));
    return hex != NULL && trib_digest_from_hex(hex, digest);
}

bool trib_counted_read(const json_t *element, struct trib_counted *counted) {
    counted->client = json_string_value(json_object_get(element, "client"));
    counted->update = json_string_value(json_object_get(element, "update"));
    counted->base = trib_record_number(element, "base");
    counted->staleness = trib_record_number(element, "staleness");
    counted->weight = trib_record_number(element, "weight");
    counted->examples = trib_record_number(element, "examples");
    return counted->client != NULL && counted->update != NULL &&
           trib_record_digest(element, "digest", &counted->digest);
}

json_t *trib_record_hex(const struct trib_digest *digest) {
    char hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(digest, hex);
    return json_string(hex);
}

void trib_means_add(struct trib_means *means, const char *metrics_text, uint64_t examples) {
    json_t *metrics = NULL;
    if (metrics_text[0] != '\0' &&
        trib_document_read(metrics_text, strlen(metrics_text), &metrics, NULL) != TRIB_OK) {
        means->is_failed = true;
    }
    const char *name;
    json_t *value;
    json_object_foreach(metrics, name, value) {
        double weight = json_number_value(json_object_get(means->weights, name)) + (double)examples;
        double mean = json_number_value(json_object_get(means->values, name));
        mean += (json_number_value(value) - mean) * ((double)examples / weight);
        int result = json_object_set_new(means->values, name, json_real(mean));
        result |= json_object_set_new(means->weights, name, json_real(weight));
        means->is_failed = means->is_failed || result != 0;
    }
    json_decref(metrics);
}
