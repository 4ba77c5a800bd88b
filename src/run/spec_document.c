/* spec_document.c - a spec -> its document; the table -> JSON Schema and help page.
 *
 * Jansson's setters release what they cannot store, so a failure is only remembered and the
 * whole is dropped at the end. */
#include <math.h>
#include <string.h>

#include "run/spec_table.h"

struct writing {
    const struct trib_spec *spec; /* NULL for the schema */
    bool is_failed;               /* memory ran out */
};

static void put(struct writing *writing, json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value) != 0)
        writing->is_failed = true;
}

static void push(struct writing *writing, json_t *list, json_t *value) {
    if (json_array_append_new(list, value) != 0)
        writing->is_failed = true;
}

/* `whole` for the caller, or NULL when a part of it is missing. */
static json_t *finish(struct writing *writing, json_t *whole) {
    if (!writing->is_failed)
        return whole;
    json_decref(whole);
    return NULL;
}

/* --- document ------------------------------------------------------------------------------- */

/* In the largest unit that is exact. */
static json_t *duration_value(trib_time_ns duration) {
    static const struct {
        const char *name;
        trib_time_ns length;
    } units[] = {
        {"d", 86400 * TRIB_SECOND},
        {"h", 3600 * TRIB_SECOND},
        {"m", 60 * TRIB_SECOND},
        {"s", TRIB_SECOND},
        {"ms", TRIB_MILLISECOND},
        {"us", 1000},
        {"ns", 1},
    };
    if (duration == TRIB_DURATION_AUTO)
        return json_string("auto");
    if (duration == TRIB_TIME_NEVER)
        return json_string("none");
    if (duration == 0)
        return json_string("0s");
    size_t index = 0;
    while (duration % units[index].length != 0)
        index++;
    return json_sprintf("%lld%s", (long long)(duration / units[index].length), units[index].name);
}

static json_t *real_value(const void *member) {
    double number;
    memcpy(&number, member, sizeof number);
    return isnan(number) ? json_null() : json_real(number);
}

static json_t *version_value(const char *version) {
    if (version[0] < '0' || version[0] > '9')
        return json_string(version);
    json_int_t number = 0;
    for (; *version; version++)
        number = number * 10 + (*version - '0');
    return json_integer(number);
}

static json_t *init_value(const struct writing *writing, const struct trib_field *field) {
    enum trib_init_kind init = writing->spec->model.init;
    bool is_word = init == TRIB_INIT_UPLOAD || init == TRIB_INIT_FIRST_CLIENT;
    return is_word ? json_string(trib_field_choice(field, init)) : json_object();
}

static json_t *widths_value(struct writing *writing) {
    json_t *list = json_array();
    for (uint32_t index = 0; index < writing->spec->model.hidden_count; index++)
        push(writing, list, json_integer(writing->spec->model.hidden[index]));
    return list;
}

static json_t *zeros_value(struct writing *writing) {
    const struct trib_spec_model *model = &writing->spec->model;
    json_t *object = json_object();
    for (uint32_t index = 0; index < model->zeros_count; index++) {
        const struct trib_zeros *zeros = &model->zeros[index];
        json_t *shape = json_array();
        for (uint32_t axis = 0; axis < zeros->rank; axis++)
            push(writing, shape, json_integer(zeros->shape[axis]));
        put(writing, object, zeros->name, shape);
    }
    return object;
}

static json_t *places_value(struct writing *writing, const struct trib_field *field) {
    json_t *list = json_array();
    if (writing->spec->evaluate.on_clients)
        push(writing, list, json_string(trib_field_choice(field, 0)));
    if (writing->spec->evaluate.on_evaluators)
        push(writing, list, json_string(trib_field_choice(field, 1)));
    return list;
}

static json_t *attribute_value(const struct trib_attribute *attribute) {
    switch (attribute->kind) {
    case TRIB_ATTRIBUTE_TEXT:
        return json_string(attribute->text);
    case TRIB_ATTRIBUTE_NUMBER:
        return json_real(attribute->number);
    case TRIB_ATTRIBUTE_FLAG:
        return json_boolean(attribute->number != 0);
    }
    return NULL;
}

/* {"gpu": true, "site": ["mercy", "gray"]}: a name's second value makes a list of it. */
static json_t *matches_value(struct writing *writing, const struct trib_matches *matches) {
    json_t *object = json_object();
    for (uint32_t index = 0; index < matches->count; index++) {
        const struct trib_attribute *match = &matches->items[index];
        json_t *there = json_object_get(object, match->name);
        if (!there) {
            put(writing, object, match->name, attribute_value(match));
        } else if (json_is_array(there)) {
            push(writing, there, attribute_value(match));
        } else {
            json_t *list = json_array();
            push(writing, list, json_incref(there));
            push(writing, list, attribute_value(match));
            put(writing, object, match->name, list);
        }
    }
    return object;
}

static json_t *quotas_value(struct writing *writing) {
    const struct trib_spec_select *select = &writing->spec->select;
    json_t *object = json_object();
    for (uint32_t index = 0; index < select->quota_count; index++)
        put(writing, object, select->quotas[index].name, json_integer(select->quotas[index].most));
    return object;
}

static json_t *rules_value(struct writing *writing, const struct trib_field *parent);
static json_t *sites_value(struct writing *writing, const struct trib_field *parent);

/* New reference; NULL: no memory. base: the struct that holds the field. */
static json_t *field_value(struct writing *writing, const struct trib_field *field,
                           const void *base) {
    const char *member = (const char *)base + field->offset;
    uint64_t number = 0;
    if (field->bytes <= sizeof number && field->bytes > 0)
        number = trib_field_number(base, field->offset, field->bytes);
    switch (field->kind) {
    case TRIB_FIELD_OBJECT:
        return json_object();
    case TRIB_FIELD_NAME:
    case TRIB_FIELD_TEXT:
    case TRIB_FIELD_PRESET:
        return json_string(member);
    case TRIB_FIELD_INTEGER:
    case TRIB_FIELD_BYTES:
        return json_integer((json_int_t)number);
    case TRIB_FIELD_REAL:
        return real_value(member);
    case TRIB_FIELD_FLAG:
        return json_boolean(number);
    case TRIB_FIELD_CHOICE:
    case TRIB_FIELD_OPTIMIZER:
        return json_string(field->bytes > sizeof number ? member
                                                        : trib_field_choice(field, (size_t)number));
    case TRIB_FIELD_DURATION:
        return duration_value((trib_time_ns)number);
    case TRIB_FIELD_INIT:
        return init_value(writing, field);
    case TRIB_FIELD_WIDTHS:
        return widths_value(writing);
    case TRIB_FIELD_ZEROS:
        return zeros_value(writing);
    case TRIB_FIELD_VERSION:
        return version_value(member);
    case TRIB_FIELD_RULES:
        return rules_value(writing, field);
    case TRIB_FIELD_SETTINGS:
        return json_loads(writing->spec->train, 0, NULL);
    case TRIB_FIELD_PLACES:
        return places_value(writing, field);
    case TRIB_FIELD_MATCHES:
        return matches_value(writing, (const struct trib_matches *)member);
    case TRIB_FIELD_QUOTAS:
        return quotas_value(writing);
    case TRIB_FIELD_SITES:
        return sites_value(writing, field);
    case TRIB_FIELD_OVERRIDES:
        return json_loads(((const struct trib_site *)base)->train, 0, NULL);
    }
    return NULL;
}

/* One item of a list, whose rows are those below parent. base: the struct that holds it. */
static json_t *item_value(struct writing *writing, const struct trib_field *parent,
                          const void *base) {
    json_t *item = json_object();
    const struct trib_field *field;
    for (size_t row = 0; (field = trib_field_at(row)); row++) {
        if (trib_field_is_child(parent, field) && trib_field_applies(field, base))
            put(writing, item, trib_field_key(field), field_value(writing, field, base));
    }
    return item;
}

static json_t *rules_value(struct writing *writing, const struct trib_field *parent) {
    json_t *list = json_array();
    for (size_t index = 0; index < writing->spec->model.rule_count; index++)
        push(writing, list, item_value(writing, parent, &writing->spec->model.rules[index]));
    return list;
}

static json_t *sites_value(struct writing *writing, const struct trib_field *parent) {
    json_t *list = json_array();
    for (uint32_t index = 0; index < writing->spec->site_count; index++)
        push(writing, list, item_value(writing, parent, &writing->spec->sites[index]));
    return list;
}

/* The object that holds the field: walk along its path but for the last component. */
static json_t *holder_of(json_t *document, const char *path) {
    char component[32];
    const char *dot;
    for (; (dot = strchr(path, '.')); path = dot + 1) {
        size_t byte_count = (size_t)(dot - path);
        TRIB_ASSERT(byte_count < sizeof component);
        memcpy(component, path, byte_count);
        component[byte_count] = '\0';
        document = json_object_get(document, component);
    }
    return document;
}

json_t *trib_spec_document(const struct trib_spec *spec) {
    struct writing writing = {.spec = spec};
    json_t *document = json_object();
    const struct trib_field *field;
    for (size_t row = 0; (field = trib_field_at(row)); row++) {
        /* The row above them writes items of lists and known settings. */
        bool is_part =
            strstr(field->path, "[]") || (field->bytes == 0 && field->kind != TRIB_FIELD_OBJECT);
        if (!is_part && trib_field_applies(field, spec))
            put(&writing, holder_of(document, field->path), trib_field_key(field),
                field_value(&writing, field, spec));
    }
    return finish(&writing, document);
}

/* --- schema --------------------------------------------------------------------------------- */

#define NAME_PATTERN "^[A-Za-z0-9][A-Za-z0-9._-]*$"

static json_t *bound_value(const struct trib_field *field, double bound) {
    bool is_whole = field->kind == TRIB_FIELD_INTEGER || field->kind == TRIB_FIELD_WIDTHS ||
                    field->kind == TRIB_FIELD_QUOTAS || field->kind == TRIB_FIELD_ZEROS;
    return is_whole ? json_integer((json_int_t)bound) : json_real(bound);
}

static void put_range(struct writing *writing, json_t *schema, const struct trib_field *field) {
    put(writing, schema, field->is_above ? "exclusiveMinimum" : "minimum",
        bound_value(field, field->least));
    put(writing, schema, field->is_below ? "exclusiveMaximum" : "maximum",
        bound_value(field, field->most));
}

static json_t *choices_schema(struct writing *writing, const struct trib_field *field) {
    json_t *list = json_array();
    const char *choice;
    for (size_t index = 0; (choice = trib_field_choice(field, index)); index++)
        push(writing, list, json_string(choice));
    return list;
}

static json_t *type_schema(struct writing *writing, const char *first, const char *second) {
    if (!second)
        return json_string(first);
    json_t *list = json_array();
    push(writing, list, json_string(first));
    push(writing, list, json_string(second));
    return list;
}

static json_t *object_schema(struct writing *writing, const struct trib_field *parent,
                             uint32_t deciders);

/* A list whose items are like `items`. */
static void put_list(struct writing *writing, json_t *schema, json_t *items, int items_max) {
    put(writing, schema, "type", json_string("array"));
    put(writing, schema, "items", items);
    put(writing, schema, "maxItems", json_integer(items_max));
}

/* A map from any names to `values`. */
static void put_map(struct writing *writing, json_t *schema, json_t *values, int names_max) {
    put(writing, schema, "type", json_string("object"));
    put(writing, schema, "additionalProperties", values);
    put(writing, schema, "maxProperties", json_integer(names_max));
}

/* A value that an attribute is compared with, or a list of them. */
static json_t *matches_schema(struct writing *writing) {
    json_t *forms = json_array(), *list = json_object();
    put_list(writing, list, json_pack("{s:[s,s,s]}", "type", "string", "number", "boolean"),
             TRIB_MATCHES_MAX);
    push(writing, forms, json_pack("{s:[s,s,s]}", "type", "string", "number", "boolean"));
    push(writing, forms, list);
    json_t *schema = json_object();
    put(writing, schema, "anyOf", forms);
    return schema;
}

static void put_init(struct writing *writing, json_t *schema, const struct trib_field *field) {
    json_t *word = json_object();
    put(writing, word, "enum", choices_schema(writing, field));
    json_t *forms = json_array();
    push(writing, forms, word);
    push(writing, forms, object_schema(writing, field, 1u << TRIB_INIT_TRAINER));
    push(writing, forms, object_schema(writing, field, 1u << TRIB_INIT_RUN));
    push(writing, forms, object_schema(writing, field, 1u << TRIB_INIT_ZEROS));
    put(writing, schema, "oneOf", forms);
}

static json_t *kind_schema(struct writing *writing, const struct trib_field *field) {
    if (field->kind == TRIB_FIELD_OBJECT || field->kind == TRIB_FIELD_SETTINGS)
        return object_schema(writing, field, 0);
    if (field->kind == TRIB_FIELD_OVERRIDES)
        return object_schema(writing, trib_field_find(NULL, "train"), 0);
    json_t *schema = json_object();
    json_t *items = NULL;
    switch (field->kind) {
    case TRIB_FIELD_NAME:
        put(writing, schema, "type", json_string("string"));
        put(writing, schema, "pattern", json_string(NAME_PATTERN));
        put(writing, schema, "maxLength", json_integer((json_int_t)field->bytes - 1));
        break;
    case TRIB_FIELD_TEXT:
        put(writing, schema, "type", json_string("string"));
        put(writing, schema, "minLength", json_integer((json_int_t)field->least));
        put(writing, schema, "maxLength", json_integer((json_int_t)field->bytes - 1));
        break;
    case TRIB_FIELD_INTEGER:
        put(writing, schema, "type", json_string("integer"));
        put_range(writing, schema, field);
        break;
    case TRIB_FIELD_REAL:
        put(writing, schema, "type",
            type_schema(writing, "number", field->has_null ? "null" : NULL));
        put_range(writing, schema, field);
        break;
    case TRIB_FIELD_FLAG:
        put(writing, schema, "type", json_string("boolean"));
        break;
    case TRIB_FIELD_CHOICE:
    case TRIB_FIELD_PRESET:
    case TRIB_FIELD_OPTIMIZER:
        put(writing, schema, "enum", choices_schema(writing, field));
        break;
    case TRIB_FIELD_DURATION:
        /* Bounds hold for numbers (seconds); a text is checked by the daemon alone. */
        put_range(writing, schema, field);
        put(writing, schema, "type", type_schema(writing, "string", "number"));
        break;
    case TRIB_FIELD_BYTES:
    case TRIB_FIELD_VERSION:
        put(writing, schema, "type", type_schema(writing, "string", "integer"));
        put(writing, schema, "minimum", json_integer(0));
        break;
    case TRIB_FIELD_INIT:
        put_init(writing, schema, field);
        break;
    case TRIB_FIELD_WIDTHS:
        items = json_object();
        put(writing, items, "type", json_string("integer"));
        put_range(writing, items, field);
        put_list(writing, schema, items, TRIB_HIDDEN_LAYERS_MAX);
        break;
    case TRIB_FIELD_ZEROS: {
        json_t *shape = json_object();
        items = json_object();
        put(writing, items, "type", json_string("integer"));
        put_range(writing, items, field);
        put_list(writing, shape, items, TRIB_RANK_MAX);
        put_map(writing, schema, shape, TRIB_ZEROS_MAX);
        break;
    }
    case TRIB_FIELD_RULES:
        put_list(writing, schema, object_schema(writing, field, 0), TRIB_ROLE_RULES_MAX);
        break;
    case TRIB_FIELD_PLACES:
        items = json_object();
        put(writing, items, "enum", choices_schema(writing, field));
        put_list(writing, schema, items, 2);
        put(writing, schema, "uniqueItems", json_true());
        break;
    case TRIB_FIELD_MATCHES:
        put_map(writing, schema, matches_schema(writing), TRIB_MATCHES_MAX);
        break;
    case TRIB_FIELD_QUOTAS:
        items = json_object();
        put(writing, items, "type", json_string("integer"));
        put_range(writing, items, field);
        put_map(writing, schema, items, TRIB_QUOTAS_MAX);
        break;
    case TRIB_FIELD_SITES:
        put_list(writing, schema, object_schema(writing, field, 0), TRIB_SITES_MAX);
        break;
    case TRIB_FIELD_OBJECT:
    case TRIB_FIELD_SETTINGS:
    case TRIB_FIELD_OVERRIDES:
        break;
    }
    return schema;
}

static json_t *field_schema(struct writing *writing, const struct trib_field *field) {
    json_t *schema = kind_schema(writing, field);
    put(writing, schema, "description",
        field->applies ? json_sprintf("%s (only with %s)", field->meaning, field->applies)
                       : json_string(field->meaning));
    if (field->initial)
        put(writing, schema, "default", json_loads(field->initial, JSON_DECODE_ANY, NULL));
    return schema;
}

/* deciders: only the rows that apply to one of these; 0: all. */
static json_t *object_schema(struct writing *writing, const struct trib_field *parent,
                             uint32_t deciders) {
    json_t *properties = json_object();
    json_t *required = json_array();
    const struct trib_field *field;
    for (size_t row = 0; (field = trib_field_at(row)); row++) {
        if (!trib_field_is_child(parent, field) ||
            (deciders && !(field->decider_values & deciders)))
            continue;
        put(writing, properties, trib_field_key(field), field_schema(writing, field));
        if (field->is_required)
            push(writing, required, json_string(trib_field_key(field)));
    }
    json_t *schema = json_object();
    put(writing, schema, "type", json_string("object"));
    put(writing, schema, "properties", properties);
    put(writing, schema, "required", required);
    if (parent && parent->kind == TRIB_FIELD_SETTINGS) {
        put(writing, schema, "additionalProperties",
            json_pack("{s:[s,s,s]}", "type", "string", "number", "boolean"));
        put(writing, schema, "maxProperties", json_integer(TRIB_TRAIN_SETTINGS_MAX));
    } else {
        put(writing, schema, "additionalProperties", json_false());
    }
    return schema;
}

json_t *trib_spec_schema(void) {
    struct writing writing = {0};
    json_t *schema = json_object();
    put(&writing, schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    put(&writing, schema, "title", json_string("Tributary run spec"));
    json_t *fields = object_schema(&writing, NULL, 0);
    if (json_object_update(schema, fields) != 0)
        writing.is_failed = true;
    json_decref(fields);
    return finish(&writing, schema);
}

/* --- help ----------------------------------------------------------------------------------- */

void trib_spec_help(struct trib_text *text) {
    const struct trib_field *field;
    for (size_t row = 0; (field = trib_field_at(row)); row++) {
        if (field->kind == TRIB_FIELD_OBJECT) {
            trib_text_format(text, "\n%s: %s\n", field->path, field->meaning);
            continue;
        }
        trib_text_format(text, "%s\n    %s\n    ", field->path, field->meaning);
        trib_field_expect(field, text);
        if (field->applies)
            trib_text_format(text, "; only with %s", field->applies);
        if (field->is_required)
            trib_text_format(text, "; required\n");
        else
            trib_text_format(text, "; default %s\n",
                             field->initial ? field->initial : field->otherwise);
    }
}
