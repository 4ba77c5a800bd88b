/* documents.c - requests read field by field from tables, replies put together with jansson.
 *
 * A decoder fills a fresh structure and copies it out at the end, so that an error leaves the
 * caller's untouched. */
#include "wire/documents.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json_memory.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define WRITE_DEPTH_MAX 32

/* --- JSON text ------------------------------------------------------------------------------ */

enum trib_status trib_document_read(const char *bytes, size_t byte_count, json_t **document,
                                    struct trib_error *error) {
    json_error_t detail = {0};
    *document = json_loadb(bytes, byte_count, JSON_REJECT_DUPLICATES, &detail);
    /* Jansson has words for whatever is wrong with the text, none for most lack of memory. */
    bool is_refused = trib_json_was_refused();
    if (is_refused ||
        (!*document && (!detail.text[0] || json_error_code(&detail) == json_error_out_of_memory))) {
        json_decref(*document);
        *document = NULL;
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    if (!*document)
        return trib_error_set(error, TRIB_EMALFORMED, "line %d, column %d: %s", detail.line,
                              detail.column, detail.text);
    if (json_is_object(*document))
        return TRIB_OK;
    json_decref(*document);
    *document = NULL;
    return trib_error_set(error, TRIB_EINVALID, "the body must be a JSON object");
}

static int append(const char *bytes, size_t byte_count, void *text) {
    trib_text_add(text, bytes, byte_count);
    return 0;
}

/* The fewest digits that read back as the same number: 0.1 and not 0.10000000000000001. */
static size_t digits_needed(double number) {
    char text[32];
    for (int digits = 15; digits < 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            return (size_t)digits;
    }
    return 17;
}

/* Documents are ours and shallow; the depth is a guard, not a limit that is met. */
static void write_value(struct trib_text *text, const json_t *value, int depth) {
    if (!value || depth > WRITE_DEPTH_MAX) {
        text->is_failed = true;
    } else if (json_is_object(value)) {
        const char *separator = "{";
        const char *key;
        json_t *member;
        json_object_foreach((json_t *)value, key, member) {
            json_t *name = json_string(key);
            trib_text_add(text, separator, 1);
            write_value(text, name, depth + 1);
            trib_text_add(text, ":", 1);
            write_value(text, member, depth + 1);
            json_decref(name);
            separator = ",";
        }
        trib_text_add(text, "{}", *separator == '{' ? 2 : 0);
        trib_text_add(text, "}", *separator == ',');
    } else if (json_is_array(value)) {
        trib_text_add(text, "[", 1);
        for (size_t index = 0; index < json_array_size(value); index++) {
            trib_text_add(text, ",", index > 0);
            write_value(text, json_array_get(value, index), depth + 1);
        }
        trib_text_add(text, "]", 1);
    } else {
        size_t flags = JSON_ENCODE_ANY | JSON_COMPACT;
        if (json_is_real(value))
            flags |= JSON_REAL_PRECISION(digits_needed(json_real_value(value)));
        if (json_dump_callback(value, append, text, flags) != 0)
            text->is_failed = true;
    }
}

void trib_document_write(struct trib_text *text, const json_t *document) {
    write_value(text, document, 0);
    if (trib_json_was_refused())
        text->is_failed = true;
}

/* --- errors --------------------------------------------------------------------------------- */

struct code {
    const char *code;
    int http_status;
};

static const struct code codes[] = {
    {"malformed", 400},   {"name", 400},         {"header", 400},
    {"spec", 400},        {"token", 401},        {"expired", 401},
    {"revoked", 401},     {"attempts", 429},     {"rate", 429},
    {"forbidden", 403},   {"host", 403},         {"origin", 403},
    {"set_aside", 403},   {"not_found", 404},    {"method", 405},
    {"conflict", 409},    {"base_unknown", 409}, {"stale", 409},
    {"ended", 409},       {"pruned", 410},       {"length", 411},
    {"too_large", 413},   {"content_type", 415}, {"range", 416},
    {"expectation", 417}, {"tensor", 422},       {"shape", 422},
    {"dtype", 422},       {"nonfinite", 422},    {"bound", 422},
    {"weight", 422},      {"group", 422},        {"header_too_large", 431},
    {"io", 500},          {"unsupported", 501},  {"busy", 503},
    {"closing", 503},     {"http_version", 505}, {"quota", 507},
};

int trib_code_http_status(const char *code) {
    for (size_t index = 0; index < COUNT(codes); index++) {
        if (strcmp(codes[index].code, code) == 0)
            return codes[index].http_status;
    }
    return 500;
}

const char *trib_status_code(enum trib_status status) {
    switch (status) {
    case TRIB_EMALFORMED:
    case TRIB_EINVALID:
    case TRIB_ETRUNCATED:
        return "malformed";
    case TRIB_ELIMIT:
        return "too_large";
    case TRIB_EMEMORY:
    case TRIB_EUNAVAILABLE:
    case TRIB_ETIMEOUT:
        return "busy";
    case TRIB_EFULL:
        return "quota";
    case TRIB_ENOTFOUND:
        return "not_found";
    case TRIB_ECONFLICT:
        return "conflict";
    case TRIB_EGONE:
        return "pruned";
    case TRIB_ESHAPE:
        return "shape";
    case TRIB_EDTYPE:
        return "dtype";
    case TRIB_ENONFINITE:
        return "nonfinite";
    case TRIB_EBOUND:
        return "bound";
    case TRIB_EUNAUTHORIZED:
        return "token";
    case TRIB_EFORBIDDEN:
        return "forbidden";
    case TRIB_EUNSUPPORTED:
        return "unsupported";
    case TRIB_ESTALE:
        return "stale";
    case TRIB_OK:
    case TRIB_EIO:
    case TRIB_ECORRUPT:
    case TRIB_ECLOSED:
        break;
    }
    return "io";
}

/* A JSON string of any bytes: an error text may quote what came in, or be cut inside a
 * character. Every byte above ASCII becomes '?' when the whole is not UTF-8. */
static json_t *string_of(const char *bytes) {
    json_t *string = json_string(bytes);
    if (string)
        return string;
    char plain[2 * TRIB_ERROR_TEXT_BYTES];
    size_t count = 0;
    for (; bytes[count] && count + 1 < sizeof plain; count++)
        plain[count] = (unsigned char)bytes[count] < 0x80 ? bytes[count] : '?';
    plain[count] = '\0';
    return json_string(plain);
}

json_t *trib_error_document(const char *code, const char *message, const char *hint) {
    json_t *document = json_pack("{s:s, s:o}", "code", code, "message", string_of(message));
    if (hint && json_object_set_new(document, "hint", string_of(hint)) != 0) {
        json_decref(document);
        return NULL;
    }
    return document;
}

/* --- fields --------------------------------------------------------------------------------- */

/* Every key is one of names[count]. */
static enum trib_status check_keys(const json_t *object, const char *const *names, size_t count,
                                   struct trib_error *error) {
    void *iterator = json_object_iter((json_t *)object);
    for (; iterator; iterator = json_object_iter_next((json_t *)object, iterator)) {
        const char *key = json_object_iter_key(iterator);
        const char *nearest = NULL;
        size_t distance = 3;
        bool is_known = false;
        for (size_t index = 0; index < count; index++) {
            size_t here = trib_text_distance(key, names[index]);
            is_known = is_known || strcmp(key, names[index]) == 0;
            if (here < distance) {
                distance = here;
                nearest = names[index];
            }
        }
        if (!is_known)
            return trib_error_set(error, TRIB_EINVALID, "%.64s: unknown field%s%s%s", key,
                                  nearest ? "; did you mean " : "", nearest ? nearest : "",
                                  nearest ? "?" : "");
    }
    return TRIB_OK;
}

/* A text field into text[room]; "" when it is absent and not required. */
static enum trib_status read_text(const json_t *object, const char *name, bool is_required,
                                  char *text, size_t room, struct trib_error *error) {
    const json_t *value = json_object_get(object, name);
    text[0] = '\0';
    if (!value && !is_required)
        return TRIB_OK;
    size_t byte_count = json_string_length(value);
    if (!json_is_string(value) || (is_required && byte_count == 0))
        return trib_error_set(error, TRIB_EINVALID, "%s: %s", name,
                              value ? "must be a text" : "required");
    if (byte_count >= room)
        return trib_error_set(error, TRIB_ELIMIT, "%s: %zu bytes, at most %zu", name, byte_count,
                              room - 1);
    memcpy(text, json_string_value(value), byte_count + 1);
    return TRIB_OK;
}

/* A required whole number; 3.0 counts, as some writers know no integers. */
static enum trib_status read_whole(const json_t *object, const char *name, uint64_t least,
                                   uint64_t most, uint64_t *number, struct trib_error *error) {
    const json_t *value = json_object_get(object, name);
    double real = json_number_value(value);
    if (!json_is_number(value) || real < (double)least || real > (double)most ||
        real != floor(real))
        return trib_error_set(error, TRIB_EINVALID,
                              "%s: %s a whole number from %" PRIu64 " to %" PRIu64, name,
                              value ? "must be" : "required,", least, most);
    *number = json_is_integer(value) ? (uint64_t)json_integer_value(value) : (uint64_t)real;
    return TRIB_OK;
}

/* --- metrics -------------------------------------------------------------------------------- */

static enum trib_status read_metrics(const json_t *object, struct trib_metrics *metrics,
                                     struct trib_error *error) {
    memset(metrics, 0, sizeof *metrics);
    if (!json_is_object(object))
        return trib_error_set(error, TRIB_EINVALID, "metrics: must be an object of numbers");
    if (json_object_size(object) > TRIB_METRICS_MAX)
        return trib_error_set(error, TRIB_ELIMIT, "metrics: %zu, at most %d",
                              json_object_size(object), TRIB_METRICS_MAX);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        struct trib_metric *metric = &metrics->items[metrics->count];
        size_t byte_count = strlen(name);
        if (!trib_name_is_valid(name, byte_count) || byte_count >= sizeof metric->name)
            return trib_error_set(error, TRIB_EINVALID,
                                  "metrics: \"%.40s\" is not a name of 1 to %d characters", name,
                                  TRIB_METRIC_NAME_BYTES - 1);
        /* Jansson refuses what is not finite; a large integer is finite as a double. */
        if (!json_is_number(value))
            return trib_error_set(error, TRIB_EINVALID, "metrics.%s: must be a finite number",
                                  name);
        memcpy(metric->name, name, byte_count + 1);
        metric->value = json_number_value(value);
        metrics->count++;
    }
    return TRIB_OK;
}

enum trib_status trib_metrics_decode(const char *bytes, size_t byte_count,
                                     struct trib_metrics *metrics, struct trib_error *error) {
    if (byte_count > TRIB_METRICS_TEXT_BYTES_MAX)
        return trib_error_set(error, TRIB_ELIMIT, "metrics: %zu bytes, at most %d", byte_count,
                              TRIB_METRICS_TEXT_BYTES_MAX);
    json_t *document;
    struct trib_metrics fresh;
    enum trib_status status = trib_document_read(bytes, byte_count, &document, error);
    if (status != TRIB_OK)
        return trib_error_prefix(error, status, "metrics");
    status = read_metrics(document, &fresh, error);
    json_decref(document);
    if (status == TRIB_OK)
        *metrics = fresh;
    return status;
}

json_t *trib_metrics_document(const struct trib_metrics *metrics) {
    json_t *document = json_object();
    for (uint32_t index = 0; index < metrics->count; index++) {
        const struct trib_metric *metric = &metrics->items[index];
        if (json_object_set_new(document, metric->name, json_real(metric->value)) != 0) {
            json_decref(document);
            return NULL;
        }
    }
    return document;
}

const double *trib_metrics_find(const struct trib_metrics *metrics, const char *name) {
    for (uint32_t index = 0; index < metrics->count; index++) {
        if (strcmp(metrics->items[index].name, name) == 0)
            return &metrics->items[index].value;
    }
    return NULL;
}

bool trib_metrics_equal(const struct trib_metrics *a, const struct trib_metrics *b) {
    for (uint32_t index = 0; index < a->count; index++) {
        const double *value = trib_metrics_find(b, a->items[index].name);
        if (!value || *value != a->items[index].value)
            return false;
    }
    return a->count == b->count; /* names are unique in each */
}

/* --- join ----------------------------------------------------------------------------------- */

static enum trib_status read_attribute(const char *name, const json_t *value,
                                       struct trib_attribute *attribute, struct trib_error *error) {
    size_t byte_count = strlen(name);
    if (!trib_name_is_valid(name, byte_count) || byte_count >= sizeof attribute->name)
        return trib_error_set(error, TRIB_EINVALID,
                              "attributes: \"%.40s\" is not a name of 1 to %d characters", name,
                              TRIB_ATTRIBUTE_NAME_BYTES - 1);
    memcpy(attribute->name, name, byte_count + 1);
    if (json_is_number(value)) {
        attribute->kind = TRIB_ATTRIBUTE_NUMBER;
        attribute->number = json_number_value(value);
        return TRIB_OK;
    }
    if (json_is_boolean(value)) {
        attribute->kind = TRIB_ATTRIBUTE_FLAG;
        attribute->number = json_is_true(value);
        return TRIB_OK;
    }
    if (!json_is_string(value))
        return trib_error_set(error, TRIB_EINVALID,
                              "attributes.%s: must be a text, a number, true or false", name);
    attribute->kind = TRIB_ATTRIBUTE_TEXT;
    if (json_string_length(value) >= sizeof attribute->text)
        return trib_error_set(error, TRIB_ELIMIT, "attributes.%s: %zu bytes, at most %d", name,
                              json_string_length(value), TRIB_ATTRIBUTE_TEXT_BYTES - 1);
    memcpy(attribute->text, json_string_value(value), json_string_length(value) + 1);
    return TRIB_OK;
}

static enum trib_status read_attributes(const json_t *object, struct trib_attribute *attributes,
                                        uint32_t *count, struct trib_error *error) {
    if (!object)
        return TRIB_OK;
    if (!json_is_object(object))
        return trib_error_set(error, TRIB_EINVALID, "attributes: must be an object");
    if (json_object_size(object) > TRIB_ATTRIBUTES_MAX)
        return trib_error_set(error, TRIB_ELIMIT, "attributes: %zu, at most %d",
                              json_object_size(object), TRIB_ATTRIBUTES_MAX);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        enum trib_status status = read_attribute(name, value, &attributes[(*count)++], error);
        if (status != TRIB_OK)
            return status;
    }
    return TRIB_OK;
}

static enum trib_status read_join(const json_t *document, struct trib_join *join,
                                  struct trib_error *error) {
    static const char *const names[] = {"role", "attributes"};
    enum trib_status status = check_keys(document, names, COUNT(names), error);
    if (status != TRIB_OK)
        return status;
    const json_t *role = json_object_get(document, "role");
    const char *word = role ? json_string_value(role) : "trainer";
    join->is_evaluator = word && strcmp(word, "evaluator") == 0;
    if (!word || (!join->is_evaluator && strcmp(word, "trainer") != 0))
        return trib_error_set(error, TRIB_EINVALID, "role: must be trainer or evaluator");
    return read_attributes(json_object_get(document, "attributes"), join->attributes,
                           &join->attribute_count, error);
}

enum trib_status trib_join_decode(const char *bytes, size_t byte_count, struct trib_join *join,
                                  struct trib_error *error) {
    struct trib_join fresh;
    memset(&fresh, 0, sizeof fresh);
    if (byte_count > 0) {
        json_t *document;
        enum trib_status status = trib_document_read(bytes, byte_count, &document, error);
        if (status == TRIB_OK)
            status = read_join(document, &fresh, error);
        json_decref(document);
        if (status != TRIB_OK)
            return status;
    }
    *join = fresh;
    return TRIB_OK;
}

json_t *trib_join_document(const struct trib_join *join) {
    json_t *attributes = json_object();
    for (uint32_t index = 0; index < join->attribute_count; index++) {
        const struct trib_attribute *attribute = &join->attributes[index];
        json_t *value = attribute->kind == TRIB_ATTRIBUTE_TEXT   ? json_string(attribute->text)
                        : attribute->kind == TRIB_ATTRIBUTE_FLAG ? json_boolean(attribute->number)
                                                                 : json_real(attribute->number);
        if (json_object_set_new(attributes, attribute->name, value) != 0) {
            json_decref(attributes);
            return NULL;
        }
    }
    return json_pack("{s:s, s:o}", "role", join->is_evaluator ? "evaluator" : "trainer",
                     "attributes", attributes);
}

enum trib_status trib_attributes_decode(const char *bytes, size_t byte_count,
                                        struct trib_attribute attributes[TRIB_ATTRIBUTES_MAX],
                                        uint32_t *count, struct trib_error *error) {
    struct trib_attribute fresh[TRIB_ATTRIBUTES_MAX] = {0};
    uint32_t fresh_count = 0;
    json_t *document;
    enum trib_status status = trib_document_read(bytes, byte_count, &document, error);
    if (status == TRIB_OK)
        status = read_attributes(document, fresh, &fresh_count, error);
    json_decref(document);
    if (status != TRIB_OK)
        return status;
    memcpy(attributes, fresh, sizeof fresh);
    *count = fresh_count;
    return TRIB_OK;
}

/* --- decline, renewal and evaluation -------------------------------------------------------- */

enum trib_status trib_decline_decode(const char *bytes, size_t byte_count,
                                     struct trib_decline *decline, struct trib_error *error) {
    static const char *const names[] = {"task", "reason"};
    struct trib_decline fresh;
    json_t *document;
    enum trib_status status = trib_document_read(bytes, byte_count, &document, error);
    if (status == TRIB_OK)
        status = check_keys(document, names, COUNT(names), error);
    if (status == TRIB_OK)
        status = read_text(document, "task", true, fresh.task, sizeof fresh.task, error);
    if (status == TRIB_OK)
        status = read_text(document, "reason", false, fresh.reason, sizeof fresh.reason, error);
    json_decref(document);
    if (status == TRIB_OK)
        *decline = fresh;
    return status;
}

json_t *trib_decline_document(const struct trib_decline *decline) {
    return json_pack("{s:s, s:s}", "task", decline->task, "reason", decline->reason);
}

static enum trib_status read_share(const json_t *object, const char *name, double *share,
                                   struct trib_error *error) {
    const json_t *value = json_object_get(object, name);
    *share = value == NULL ? -1 : json_number_value(value);
    if (value != NULL && (!json_is_number(value) || *share < 0 || *share > 1))
        return trib_error_set(error, TRIB_EINVALID, "%s: must be a number from 0 to 1", name);
    return TRIB_OK;
}

enum trib_status trib_renewal_decode(const char *bytes, size_t byte_count,
                                     struct trib_renewal *renewal, struct trib_error *error) {
    static const char *const names[] = {"task", "done"};
    struct trib_renewal fresh;
    json_t *document;
    enum trib_status status = trib_document_read(bytes, byte_count, &document, error);
    if (status == TRIB_OK)
        status = check_keys(document, names, COUNT(names), error);
    if (status == TRIB_OK)
        status = read_text(document, "task", true, fresh.task, sizeof fresh.task, error);
    if (status == TRIB_OK)
        status = read_share(document, "done", &fresh.done, error);
    json_decref(document);
    if (status == TRIB_OK)
        *renewal = fresh;
    return status;
}

json_t *trib_renewal_document(const struct trib_renewal *renewal) {
    return renewal->done < 0
               ? json_pack("{s:s}", "task", renewal->task)
               : json_pack("{s:s, s:f}", "task", renewal->task, "done", renewal->done);
}

enum trib_status trib_evaluation_decode(const char *bytes, size_t byte_count,
                                        struct trib_evaluation *evaluation,
                                        struct trib_error *error) {
    static const char *const names[] = {"version", "examples", "metrics"};
    struct trib_evaluation fresh;
    json_t *document;
    enum trib_status status = trib_document_read(bytes, byte_count, &document, error);
    if (status == TRIB_OK)
        status = check_keys(document, names, COUNT(names), error);
    if (status == TRIB_OK)
        status = read_whole(document, "version", 0, TRIB_WHOLE_MAX, &fresh.version, error);
    if (status == TRIB_OK)
        status = read_whole(document, "examples", 1, TRIB_WHOLE_MAX, &fresh.examples, error);
    if (status == TRIB_OK)
        status = read_metrics(json_object_get(document, "metrics"), &fresh.metrics, error);
    if (status == TRIB_OK && fresh.metrics.count == 0)
        status = trib_error_set(error, TRIB_EINVALID, "metrics: at least one is needed");
    json_decref(document);
    if (status == TRIB_OK)
        *evaluation = fresh;
    return status;
}

json_t *trib_evaluation_document(const struct trib_evaluation *evaluation) {
    return json_pack("{s:I, s:I, s:o}", "version", (json_int_t)evaluation->version, "examples",
                     (json_int_t)evaluation->examples, "metrics",
                     trib_metrics_document(&evaluation->metrics));
}

/* --- tokens --------------------------------------------------------------------------------- */

static enum trib_status read_lasting(const json_t *document, trib_time_ns *lasts,
                                     struct trib_error *error) {
    char text[24];
    enum trib_status status = read_text(document, "expires", false, text, sizeof text, error);
    *lasts = 0;
    if (status == TRIB_OK && text[0] != '\0' &&
        (!trib_duration_parse(text, lasts) || *lasts < TRIB_SECOND))
        return trib_error_set(error, TRIB_EINVALID,
                              "expires: a duration of a second or more, such as 7d or 12h");
    return status;
}

enum trib_status trib_token_request_decode(const char *bytes, size_t byte_count,
                                           struct trib_token_request *request,
                                           struct trib_error *error) {
    static const char *const names[] = {"scope", "subject", "expires"};
    struct trib_token_request fresh;
    json_t *document;
    enum trib_status status = trib_document_read(bytes, byte_count, &document, error);
    if (status == TRIB_OK)
        status = check_keys(document, names, COUNT(names), error);
    if (status == TRIB_OK)
        status = read_text(document, "scope", true, fresh.scope, sizeof fresh.scope, error);
    if (status == TRIB_OK)
        status = read_text(document, "subject", false, fresh.subject, sizeof fresh.subject, error);
    if (status == TRIB_OK && fresh.subject[0] != '\0' &&
        !trib_name_is_valid(fresh.subject, strlen(fresh.subject)))
        status = trib_error_set(error, TRIB_EINVALID, "subject: must be a name");
    if (status == TRIB_OK)
        status = read_lasting(document, &fresh.lasts, error);
    json_decref(document);
    if (status == TRIB_OK)
        *request = fresh;
    return status;
}

/* --- replies -------------------------------------------------------------------------------- */

json_t *trib_task_document(const struct trib_task_reply *task) {
    bool is_train = strcmp(task->kind, "train") == 0;
    if (strcmp(task->kind, "wait") == 0)
        return json_pack("{s:s, s:f, s:o}", "kind", task->kind, "after_s", task->after_s, "reason",
                         string_of(task->reason));
    if (strcmp(task->kind, "stop") == 0)
        return json_pack("{s:s, s:o}", "kind", task->kind, "reason", string_of(task->reason));
    json_t *document = json_pack("{s:s, s:s, s:I, s:s, s:o}", "kind", task->kind, "task",
                                 task->task, "version", (json_int_t)task->version, "digest",
                                 task->digest, "settings", json_loads(task->settings, 0, NULL));
    int failures = 0;
    if (is_train && task->expected_by_s >= 0)
        failures +=
            json_object_set_new(document, "expected_by_s", json_real(task->expected_by_s)) != 0;
    if (is_train)
        failures += json_object_set_new(document, "global_step",
                                        json_integer((json_int_t)task->global_step)) != 0;
    if (failures == 0)
        return document;
    json_decref(document);
    return NULL;
}

json_t *trib_receipt_document(const struct trib_receipt *receipt) {
    json_t *document = json_pack("{s:s, s:s, s:s*}", "update", receipt->update, "fate",
                                 receipt->fate, "durability", receipt->durability);
    const struct {
        const char *name;
        bool is_known;
        uint64_t value;
    } numbers[] = {
        {"base", receipt->has_admission, receipt->base},
        {"staleness", receipt->has_admission, receipt->staleness},
        {"weight", receipt->has_admission && receipt->weight > 0, receipt->weight},
        {"version", receipt->has_version, receipt->version},
    };
    int failures = document == NULL;
    for (size_t index = 0; index < COUNT(numbers); index++) {
        if (numbers[index].is_known)
            failures += json_object_set_new(document, numbers[index].name,
                                            json_integer((json_int_t)numbers[index].value)) != 0;
    }
    if (receipt->reason)
        failures += json_object_set_new(document, "reason", string_of(receipt->reason)) != 0;
    if (failures == 0)
        return document;
    json_decref(document);
    return NULL;
}
