/* documents.h - the JSON documents of the protocol <-> typed structures.
 *
 * Requests: every decode checks the whole document (types, ranges, limits, duplicate and unknown
 * fields) and changes its result only on success. Replies: every encode returns a new jansson
 * reference (NULL: no memory); trib_document_write() makes text of it.
 * Jansson allocates with malloc; what one document can take is bounded by TRIB_JSON_BODY_BYTES_MAX.
 *
 * Errors of the decoders, with the field in `error`: TRIB_EMALFORMED (not JSON), TRIB_EINVALID
 * (a field is missing, unknown, mistyped or out of range), TRIB_ELIMIT (too many or too long),
 * TRIB_EMEMORY. */
#ifndef TRIB_WIRE_DOCUMENTS_H
#define TRIB_WIRE_DOCUMENTS_H

#include <jansson.h>

#include "base/attribute.h"
#include "base/name.h"
#include "base/status.h"
#include "base/text.h"

#define TRIB_METRICS_MAX 32
#define TRIB_METRIC_NAME_BYTES 33        /* with the NUL; so is the other */
#define TRIB_METRICS_TEXT_BYTES_MAX 1024 /* of the Tributary-Metrics header */
#define TRIB_CODEC_NAME_BYTES 33
#define TRIB_REASON_BYTES 96
#define TRIB_WHOLE_MAX (UINT64_C(1) << 53) /* of numbers in documents */

/* --- JSON text ------------------------------------------------------------------------------ */

/* Any JSON object. Duplicate keys, trailing bytes, U+0000 and numbers that do not fit are refused,
 * with line and column. On error *document is NULL. */
enum trib_status trib_document_read(const char *bytes, size_t byte_count, json_t **document,
                                    struct trib_error *error);
/* Append compact JSON; text->is_failed tells when memory ran out. document NULL: fails text. */
void trib_document_write(struct trib_text *text, const json_t *document);

/* --- errors --------------------------------------------------------------------------------- */

/* {"code", "message"[, "hint"]}. Bytes that are not UTF-8 become '?': messages may quote input. */
json_t *trib_error_document(const char *code, const char *message, const char *hint);
/* HTTP status of an error code (docs/protocol.md, table of errors); 500 for an unknown one. */
int trib_code_http_status(const char *code);
/* The code that fits a status best: TRIB_ENONFINITE -> "nonfinite", TRIB_EIO -> "io". */
const char *trib_status_code(enum trib_status status);

/* --- metrics -------------------------------------------------------------------------------- */

struct trib_metric {
    char name[TRIB_METRIC_NAME_BYTES];
    double value; /* finite */
};

struct trib_metrics { /* in document order */
    struct trib_metric items[TRIB_METRICS_MAX];
    uint32_t count;
};

/* The value of Tributary-Metrics: {"loss": 0.31}. */
enum trib_status trib_metrics_decode(const char *bytes, size_t byte_count,
                                     struct trib_metrics *metrics, struct trib_error *error);
json_t *trib_metrics_document(const struct trib_metrics *metrics);
/* Same names with the same values, in any order. */
bool trib_metrics_equal(const struct trib_metrics *a, const struct trib_metrics *b);
/* NULL when there is none of that name. */
const double *trib_metrics_find(const struct trib_metrics *metrics, const char *name);

/* --- requests ------------------------------------------------------------------------------- */

struct trib_join {
    bool is_evaluator; /* role; false: trainer, the default */
    struct trib_attribute attributes[TRIB_ATTRIBUTES_MAX];
    uint32_t attribute_count;
};

/* An empty body (byte_count 0) joins as a trainer without attributes. */
enum trib_status trib_join_decode(const char *bytes, size_t byte_count, struct trib_join *join,
                                  struct trib_error *error);
json_t *trib_join_document(const struct trib_join *join);
/* The attributes alone, as the index has them: {"site": "mercy", "gpu": true}. */
enum trib_status trib_attributes_decode(const char *bytes, size_t byte_count,
                                        struct trib_attribute attributes[TRIB_ATTRIBUTES_MAX],
                                        uint32_t *count, struct trib_error *error);

struct trib_decline {
    char task[32];                  /* required */
    char reason[TRIB_REASON_BYTES]; /* "" when absent; longer is refused */
};

enum trib_status trib_decline_decode(const char *bytes, size_t byte_count,
                                     struct trib_decline *decline, struct trib_error *error);
json_t *trib_decline_document(const struct trib_decline *decline);

struct trib_renewal {
    char task[32]; /* required */
    double done;   /* share of the work, 0 to 1; < 0 when absent */
};

enum trib_status trib_renewal_decode(const char *bytes, size_t byte_count,
                                     struct trib_renewal *renewal, struct trib_error *error);
json_t *trib_renewal_document(const struct trib_renewal *renewal);

struct trib_evaluation {
    uint64_t version;
    uint64_t examples;           /* 1 .. TRIB_WHOLE_MAX */
    struct trib_metrics metrics; /* at least one */
};

enum trib_status trib_evaluation_decode(const char *bytes, size_t byte_count,
                                        struct trib_evaluation *evaluation,
                                        struct trib_error *error);
json_t *trib_evaluation_document(const struct trib_evaluation *evaluation);

struct trib_token_request {
    char scope[16];                /* required: "join", "observe", "admin" */
    char subject[TRIB_NAME_BYTES]; /* a name, or "" when absent */
    trib_time_ns lasts;            /* expires: "7d"; 0 when absent: for ever */
};

enum trib_status trib_token_request_decode(const char *bytes, size_t byte_count,
                                           struct trib_token_request *request,
                                           struct trib_error *error);

/* --- the head of an update ------------------------------------------------------------------ */

/* Texts as they came; NULL: absent. */
struct trib_update_texts {
    const char *base;     /* Tributary-Base-Version */
    const char *examples; /* Tributary-Examples */
    const char *codec;    /* Tributary-Codec */
    const char *metrics;  /* Tributary-Metrics */
};

/* What one source says about an update: its headers, or its body's __metadata__. */
struct trib_update_head {
    bool has_base, has_examples, has_codec, has_metrics;
    uint64_t base;
    uint64_t examples; /* any number: the run knows the limits */
    char codec[TRIB_CODEC_NAME_BYTES];
    struct trib_metrics metrics; /* empty when absent */
};

/* Headers are optional one by one. *head changes only on success. */
enum trib_status trib_update_head_decode(const struct trib_update_texts *texts,
                                         struct trib_update_head *head, struct trib_error *error);
/* Both sources together, once the body is there. A field that both give must have the same value
 * in both; base and examples are required; a missing codec is "dense". TRIB_EINVALID (400
 * header) otherwise. *head may be one of the sources and changes only on success. */
enum trib_status trib_update_head_join(const struct trib_update_head *headers,
                                       const struct trib_update_head *metadata,
                                       struct trib_update_head *head, struct trib_error *error);

/* --- replies -------------------------------------------------------------------------------- */

/* One task; fields that its kind does not have are left out of the document. */
struct trib_task_reply {
    const char *kind;     /* "train", "evaluate", "wait", "stop" */
    const char *task;     /* train, evaluate: "12.0" */
    uint64_t version;     /* train, evaluate */
    const char *digest;   /* train, evaluate: hex */
    const char *settings; /* train: JSON object as text; evaluate: "{}" */
    double expected_by_s; /* train: seconds from now; negative: none */
    uint64_t global_step; /* train */
    double after_s;       /* wait: seconds */
    const char *reason;   /* wait, stop */
};
json_t *trib_task_document(const struct trib_task_reply *task);

struct trib_receipt {
    const char *update;               /* id */
    const char *fate;                 /* "spooled", "counted", "dropped" */
    const char *durability;           /* "spool", "memory"; NULL: left out */
    bool has_admission;               /* base, staleness and weight are known (not for an old id) */
    uint64_t base, staleness, weight; /* weight 0: not known yet */
    bool has_version;                 /* the one it is or will be counted in */
    uint64_t version;
    const char *reason; /* of "dropped"; NULL: left out */
};
json_t *trib_receipt_document(const struct trib_receipt *receipt);

#endif
