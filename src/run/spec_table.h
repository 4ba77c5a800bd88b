/* spec_table.h - the fields of a spec as rows of one table.
 *
 * Parsing, the document with all defaults, the JSON Schema, the help page and every error text
 * come from these rows, so they cannot disagree. */
#ifndef TRIB_RUN_SPEC_TABLE_H
#define TRIB_RUN_SPEC_TABLE_H

#include "run/spec.h"

enum trib_field_kind {
    TRIB_FIELD_OBJECT,   /* holds the rows whose path goes on from its own */
    TRIB_FIELD_NAME,     /* char[]: a name as in base/name.h */
    TRIB_FIELD_TEXT,     /* char[]: without control characters; least = fewest bytes */
    TRIB_FIELD_INTEGER,  /* uint32_t or uint64_t */
    TRIB_FIELD_REAL,     /* double; null = NAN if has_null */
    TRIB_FIELD_FLAG,     /* bool */
    TRIB_FIELD_CHOICE,   /* enum or bool: index into choices; char[]: the word itself */
    TRIB_FIELD_DURATION, /* trib_time_ns; range in seconds */
    TRIB_FIELD_BYTES,    /* uint64_t */
    /* One row each, with a shape of its own: */
    TRIB_FIELD_PRESET,    /* a row of the strategy table; fills in the fields below it */
    TRIB_FIELD_OPTIMIZER, /* a choice that fills in the optimizer's usual numbers */
    TRIB_FIELD_INIT,      /* one of choices, or an object whose fields tell which kind it is */
    TRIB_FIELD_WIDTHS,    /* model.init.hidden: list of integers */
    TRIB_FIELD_ZEROS,     /* model.init.zeros: map from names to shapes */
    TRIB_FIELD_VERSION,   /* char[]: "latest", "best" or a number */
    TRIB_FIELD_RULES,     /* model.tensors: list of objects, their rows are "model.tensors[].x" */
    TRIB_FIELD_SETTINGS,  /* train: open map of scalars; its rows are settings with a known range */
    TRIB_FIELD_PLACES,    /* evaluate.on: list of choices */
    TRIB_FIELD_MATCHES, /* struct trib_matches: map from attributes to a value or a list of them */
    TRIB_FIELD_QUOTAS,  /* select.quota: map from attributes to a whole number */
    TRIB_FIELD_SITES,   /* sites: list of objects, their rows are "sites[].x" */
    TRIB_FIELD_OVERRIDES, /* sites[].train: settings as in `train`, but for some clients */
};

struct trib_field {
    const char *path; /* "strategy.quorum" */
    enum trib_field_kind kind;
    size_t offset, bytes; /* of the member, in struct trib_spec or what a list is made of;
                                   bytes 0: checked, kept elsewhere */
    const char *initial;  /* default as JSON; NULL: none */
    bool is_required;
    const char *otherwise;         /* where there is neither: who decides, for people */
    double least, most;            /* range; in seconds for durations */
    bool is_above, is_below;       /* the range leaves out least, most */
    bool has_auto;                 /* duration: "auto" = TRIB_DURATION_AUTO */
    bool has_none;                 /* duration: "none" = TRIB_TIME_NEVER */
    bool has_null;                 /* real: null = NAN */
    const char *const *choices;    /* NULL at the end; in the order of the enum */
    size_t decider, decider_bytes; /* the field applies only if the enum or bool there ... */
    uint32_t decider_values;       /* ... is one of this set of bits; 0: always */
    const char *applies;           /* the same for people: "optimizer adam" */
    const char *meaning;
};

/* Rows in document order, parents before children; NULL past the end. */
const struct trib_field *trib_field_at(size_t index);
/* Is child directly inside parent (NULL: the document)? */
bool trib_field_is_child(const struct trib_field *parent, const struct trib_field *child);
/* "quorum" of "strategy.quorum". */
const char *trib_field_key(const struct trib_field *field);
/* The row of a key directly inside parent; NULL: unknown. */
const struct trib_field *trib_field_find(const struct trib_field *parent, const char *key);
/* Allowed words of a choice, preset, init or places row; NULL past the end. */
const char *trib_field_choice(const struct trib_field *field, size_t index);
/* Does the field exist in this object? base: the struct its offset counts from. */
bool trib_field_applies(const struct trib_field *field, const void *base);
/* Unsigned number of field->bytes bytes at offset: an enum, a bool, an integer. */
uint64_t trib_field_number(const void *base, size_t offset, size_t bytes);
/* Append what is allowed: "a whole number from 1 to 64". */
void trib_field_expect(const struct trib_field *field, struct trib_text *text);

#endif
