/* record_document.h - reading the ledger's documents (record.h lists them), and means of metrics.
 *
 * Pure: JSON in, values out; what the index, a replay and an audit share. */
#ifndef TRIB_NODE_RECORD_DOCUMENT_H
#define TRIB_NODE_RECORD_DOCUMENT_H

#include <jansson.h>

#include "base/digest.h"

/* "version"; "" when there is none. */
const char *trib_record_type(const json_t *document);
/* A member that is a whole number >= 0; 0 when it is not there. */
uint64_t trib_record_number(const json_t *document, const char *key);
bool trib_record_digest(const json_t *document, const char *key, struct trib_digest *digest);
/* A digest as 64 hex digits; new reference. */
json_t *trib_record_hex(const struct trib_digest *digest);

/* One counted update of a version record; false when the element is not one. */
struct trib_counted {
    const char *client, *update; /* borrowed from the document */
    uint64_t base, staleness, weight, examples;
    struct trib_digest digest;
};
bool trib_counted_read(const json_t *element, struct trib_counted *counted);

/* Running means of metrics, weighted by examples; a metric counts where it was sent. */
struct trib_means {
    json_t *values, *weights; /* objects; the owner's */
    bool is_failed;           /* memory ran out: they are not the means */
};
/* metrics: JSON object, or "". */
void trib_means_add(struct trib_means *means, const char *metrics, uint64_t examples);

#endif
