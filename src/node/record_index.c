/* record_index.c - from the ledger's documents to the rows of the index; live and on replay alike. */
#include "node/record_index.h"

#include <stdlib.h>
#include <string.h>

#include "node/record_document.h"

static enum trib_status index_counted(struct trib_index *index, const json_t *document) {
    size_t i;
    json_t *element;
    json_array_foreach(json_object_get(document, "updates"), i, element) {
        struct trib_counted counted;
        if (!trib_counted_read(element, &counted)) {
            return TRIB_ECORRUPT;
        }
        struct trib_index_update row = {
            .fate = TRIB_INDEX_COUNTED,
            .version = trib_record_number(document, "version"),
            .digest = counted.digest,
            .weight = counted.weight,
            .staleness = counted.staleness,
        };
        (void)strncpy(row.client, counted.client, sizeof row.client - 1);
        (void)strncpy(row.update, counted.update, sizeof row.update - 1);
        enum trib_status status = trib_index_put_update(index, &row);
        if (status != TRIB_OK) {
            return status;
        }
    }
    return TRIB_OK;
}

static enum trib_status index_version(struct trib_index *index, const json_t *document) {
    const json_t *means = json_object_get(document, "train"); /* version 0 has none */
    char *train = means == NULL ? NULL : json_dumps(means, JSON_COMPACT);
    if (means != NULL && train == NULL) {
        return TRIB_EMEMORY;
    }
    struct trib_index_version row = {
        .version = trib_record_number(document, "version"),
        .updates = json_array_size(json_object_get(document, "updates")),
        .weight = trib_record_number(document, "weight"),
        .bytes = trib_record_number(document, "bytes"),
        .seconds = json_number_value(json_object_get(document, "seconds")),
        .wall_s = json_number_value(json_object_get(document, "time")),
        .train = train == NULL ? "{}" : train,
    };
    enum trib_status status = TRIB_ECORRUPT;
    if (trib_record_digest(document, "model", &row.digest)) {
        status = trib_index_put_version(index, &row);
    }
    free(train);
    return status == TRIB_OK ? index_counted(index, document) : status;
}

static enum trib_status index_dropped(struct trib_index *index, const json_t *document) {
    const char *reason = json_string_value(json_object_get(document, "reason"));
    size_t i;
    json_t *element;
    json_array_foreach(json_object_get(document, "dropped"), i, element) {
        struct trib_counted dropped;
        if (!trib_counted_read(element, &dropped)) {
            return TRIB_ECORRUPT;
        }
        struct trib_index_update row = {.fate = TRIB_INDEX_DROPPED, .digest = dropped.digest};
        (void)strncpy(row.client, dropped.client, sizeof row.client - 1);
        (void)strncpy(row.update, dropped.update, sizeof row.update - 1);
        (void)strncpy(row.reason, reason == NULL ? "" : reason, sizeof row.reason - 1);
        enum trib_status status = trib_index_put_update(index, &row);
        if (status != TRIB_OK) {
            return status;
        }
    }
    return TRIB_OK;
}

static enum trib_status add_report(void *context, const struct trib_index_evaluation *row) {
    trib_means_add(context, row->metrics, row->examples);
    return TRIB_OK;
}

static enum trib_status index_evaluation(struct trib_index *index, const json_t *document) {
    const char *client = json_string_value(json_object_get(document, "client"));
    const char *id = json_string_value(json_object_get(document, "evaluation"));
    const json_t *values = json_object_get(document, "metrics");
    if (client == NULL || id == NULL || values == NULL) {
        return TRIB_ECORRUPT;
    }
    char *metrics = json_dumps(values, JSON_COMPACT);
    if (metrics == NULL) {
        return TRIB_EMEMORY;
    }
    struct trib_index_evaluation row = {
        .version = trib_record_number(document, "version"),
        .examples = trib_record_number(document, "examples"),
        .metrics = metrics,
    };
    (void)strncpy(row.client, client, sizeof row.client - 1);
    (void)strncpy(row.evaluation, id, sizeof row.evaluation - 1);
    enum trib_status status = trib_index_put_evaluation(index, &row);
    free(metrics);
    struct trib_means means = {.values = json_object(), .weights = json_object()};
    if (status == TRIB_OK) {
        status = trib_index_evaluations(index, row.version, &means, add_report);
    }
    char *text = json_dumps(means.values, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (status == TRIB_OK) {
        status = text == NULL || means.is_failed
                     ? TRIB_EMEMORY
                     : trib_index_put_version_evaluation(index, row.version, text);
    }
    free(text);
    json_decref(means.values);
    json_decref(means.weights);
    return status;
}

static enum trib_status index_client(struct trib_index *index, const json_t *document) {
    const char *client = json_string_value(json_object_get(document, "client"));
    const char *role = json_string_value(json_object_get(document, "role"));
    char *attributes = json_dumps(json_object_get(document, "attributes"), JSON_COMPACT);
    if (client == NULL || role == NULL) {
        free(attributes);
        return TRIB_ECORRUPT;
    }
    struct trib_index_client row = {
        .attributes = attributes == NULL ? "{}" : attributes,
        .joined_s = json_number_value(json_object_get(document, "time")),
    };
    (void)strncpy(row.client, client, sizeof row.client - 1);
    (void)strncpy(row.role, role, sizeof row.role - 1);
    enum trib_status status = trib_index_put_client(index, &row);
    free(attributes);
    return status;
}

static const struct {
    const char *type;
    enum trib_status (*put)(struct trib_index *index, const json_t *document);
} indexers[] = {
    {"version", index_version},
    {"state", index_dropped},
    {"evaluation", index_evaluation},
    {"client", index_client},
};

enum trib_status trib_record_index(struct trib_index *index, const json_t *document) {
    for (size_t i = 0; i < sizeof indexers / sizeof *indexers; i++) {
        if (strcmp(trib_record_type(document), indexers[i].type) == 0) {
            return indexers[i].put(index, document);
        }
    }
    return TRIB_OK; /* records that have nothing to look up */
}
