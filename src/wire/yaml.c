/* yaml.c - libyaml's events -> jansson, with a stack of our own instead of recursion.
 *
 * Text that begins with '{' is tried as JSON first: libyaml knows no surrogate pairs ("\ud83d
 * \ude00"), which JSON writers produce; a YAML flow mapping that is no JSON goes the usual way. */
#include "wire/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#define KEY_SHOWN_BYTES 40

struct level {
    json_t *value; /* borrowed from its parent; the lowest is owned by `building` */
    char *key;     /* of the member that comes next; NULL: a key is expected */
};

struct building {
    json_t *root;
    struct level levels[TRIB_YAML_DEPTH_MAX];
    size_t depth;
    bool has_document;
    bool is_complete;
    struct trib_error *error;
};

static enum trib_status refuse(struct building *building, enum trib_status status, yaml_mark_t mark,
                               const char *what) {
    return trib_error_set(building->error, status, "line %zu, column %zu: %s", mark.line + 1,
                          mark.column + 1, what);
}

static enum trib_status out_of_memory(struct building *building) {
    return trib_error_set(building->error, TRIB_EMEMORY, "out of memory");
}

/* --- scalars -------------------------------------------------------------------------------- */

static bool is_one_of(const char *text, const char *const *words) {
    for (; *words; words++) {
        if (strcmp(text, *words) == 0)
            return true;
    }
    return false;
}

static size_t count_digits(const char *text) {
    return strspn(text, "0123456789");
}

/* [-+]? ( . digits | digits ( . digits? )? ) ( [eE] [-+]? digits )? of section 10.3.2; an integer
 * when it has neither point nor exponent. */
static bool is_number(const char *text, bool *is_integer) {
    text += *text == '-' || *text == '+';
    size_t whole = count_digits(text);
    text += whole;
    *is_integer = true;
    if (*text == '.') {
        size_t fraction = count_digits(++text);
        if (whole + fraction == 0)
            return false;
        text += fraction;
        *is_integer = false;
    } else if (whole == 0) {
        return false;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        size_t exponent = count_digits(text);
        if (exponent == 0)
            return false;
        text += exponent;
        *is_integer = false;
    }
    return *text == '\0';
}

/* 0o17 and 0x1f: base 8 or 16, or 0. */
static int base_of(const char *text) {
    if (text[0] != '0' || (text[1] != 'o' && text[1] != 'x') || !text[2])
        return 0;
    bool is_octal = text[1] == 'o';
    const char *digits = is_octal ? "01234567" : "0123456789abcdefABCDEF";
    return text[2 + strspn(text + 2, digits)] ? 0 : is_octal ? 8 : 16;
}

static enum trib_status integer_value(struct building *building, yaml_mark_t mark,
                                      const char *digits, int base, json_t **value) {
    errno = 0;
    long long number = strtoll(digits, NULL, base);
    if (errno == ERANGE)
        return refuse(building, TRIB_EMALFORMED, mark, "the number is too large");
    *value = json_integer(number);
    return TRIB_OK;
}

/* A plain scalar by the core schema. *value stays NULL when memory is out. */
static enum trib_status plain_value(struct building *building, yaml_mark_t mark, const char *text,
                                    json_t **value) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const truths[] = {"true", "True", "TRUE", NULL};
    static const char *const lies[] = {"false", "False", "FALSE", NULL};
    static const char *const odd_numbers[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                              "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                              ".NaN",  ".NAN",  NULL};
    bool is_integer;
    if (is_one_of(text, nulls)) {
        *value = json_null();
    } else if (is_one_of(text, truths)) {
        *value = json_true();
    } else if (is_one_of(text, lies)) {
        *value = json_false();
    } else if (is_one_of(text, odd_numbers)) {
        return refuse(building, TRIB_EMALFORMED, mark, "infinity and NaN are not allowed");
    } else if (base_of(text)) {
        return integer_value(building, mark, text + 2, base_of(text), value);
    } else if (!is_number(text, &is_integer)) {
        *value = json_string(text);
    } else if (is_integer) {
        return integer_value(building, mark, text, 10, value);
    } else {
        double number = strtod(text, NULL);
        if (!isfinite(number))
            return refuse(building, TRIB_EMALFORMED, mark, "the number is too large");
        *value = json_real(number);
    }
    return TRIB_OK;
}

/* --- structure ------------------------------------------------------------------------------ */

static struct level *top_of(struct building *building) {
    return building->depth > 0 ? &building->levels[building->depth - 1] : NULL;
}

/* Take value (NULL: no memory) into the container on top, or as the root. */
static enum trib_status place(struct building *building, json_t *value) {
    struct level *top = top_of(building);
    if (!value)
        return out_of_memory(building);
    if (!top) {
        building->root = value;
        return TRIB_OK;
    }
    int result;
    if (json_is_array(top->value)) {
        result = json_array_append_new(top->value, value);
    } else {
        result = json_object_set_new(top->value, top->key, value);
        free(top->key);
        top->key = NULL;
    }
    return result == 0 ? TRIB_OK : out_of_memory(building);
}

static bool expects_key(const struct level *top) {
    return top && json_is_object(top->value) && !top->key;
}

static enum trib_status take_key(struct building *building, yaml_mark_t mark, const char *text) {
    struct level *top = top_of(building);
    if (!*text)
        return refuse(building, TRIB_EMALFORMED, mark, "an empty key");
    if (json_object_get(top->value, text))
        return trib_error_set(building->error, TRIB_EMALFORMED,
                              "line %zu, column %zu: %.*s is there twice", mark.line + 1,
                              mark.column + 1, KEY_SHOWN_BYTES, text);
    top->key = strdup(text);
    return top->key ? TRIB_OK : out_of_memory(building);
}

static enum trib_status take_scalar(struct building *building, const yaml_event_t *event) {
    const char *text = (const char *)event->data.scalar.value;
    yaml_mark_t mark = event->start_mark;
    if (event->data.scalar.anchor)
        return refuse(building, TRIB_EMALFORMED, mark, "anchors are not allowed");
    if (event->data.scalar.tag)
        return refuse(building, TRIB_EMALFORMED, mark, "tags are not allowed");
    if (strlen(text) != event->data.scalar.length)
        return refuse(building, TRIB_EMALFORMED, mark, "a NUL character");
    if (expects_key(top_of(building)))
        return take_key(building, mark, text);
    json_t *value = NULL;
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        enum trib_status status = plain_value(building, mark, text, &value);
        if (status != TRIB_OK)
            return status;
    } else {
        value = json_string(text);
    }
    return place(building, value);
}

static enum trib_status begin_container(struct building *building, const yaml_event_t *event,
                                        bool has_anchor, bool has_tag, json_t *container) {
    enum trib_status status;
    if (has_anchor)
        status = refuse(building, TRIB_EMALFORMED, event->start_mark, "anchors are not allowed");
    else if (has_tag)
        status = refuse(building, TRIB_EMALFORMED, event->start_mark, "tags are not allowed");
    else if (expects_key(top_of(building)))
        status = refuse(building, TRIB_EMALFORMED, event->start_mark, "a key must be a text");
    else if (building->depth == TRIB_YAML_DEPTH_MAX)
        status = refuse(building, TRIB_ELIMIT, event->start_mark, "nested too deeply");
    else {
        status = place(building, container); /* takes it, also on error */
        if (status == TRIB_OK)
            building->levels[building->depth++] = (struct level){container, NULL};
        return status;
    }
    json_decref(container);
    return status;
}

static enum trib_status take_event(struct building *building, const yaml_event_t *event) {
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (building->has_document)
            return refuse(building, TRIB_EMALFORMED, event->start_mark, "a second document");
        building->has_document = true;
        return TRIB_OK;
    case YAML_ALIAS_EVENT:
        return refuse(building, TRIB_EMALFORMED, event->start_mark, "aliases are not allowed");
    case YAML_SCALAR_EVENT:
        return take_scalar(building, event);
    case YAML_MAPPING_START_EVENT:
        return begin_container(building, event, event->data.mapping_start.anchor != NULL,
                               event->data.mapping_start.tag != NULL, json_object());
    case YAML_SEQUENCE_START_EVENT:
        return begin_container(building, event, event->data.sequence_start.anchor != NULL,
                               event->data.sequence_start.tag != NULL, json_array());
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        building->depth--;
        return TRIB_OK;
    case YAML_STREAM_END_EVENT:
        building->is_complete = true;
        return TRIB_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return TRIB_OK;
}

/* --- reading -------------------------------------------------------------------------------- */

static enum trib_status refuse_syntax(struct building *building, const yaml_parser_t *parser) {
    if (parser->error == YAML_MEMORY_ERROR)
        return out_of_memory(building);
    if (parser->error == YAML_READER_ERROR) /* bytes that are not UTF-8 have no line yet */
        return trib_error_set(building->error, TRIB_EMALFORMED, "byte %zu: %s",
                              parser->problem_offset, parser->problem);
    return refuse(building, TRIB_EMALFORMED, parser->problem_mark, parser->problem);
}

static enum trib_status read_events(struct building *building, yaml_parser_t *parser) {
    enum trib_status status = TRIB_OK;
    while (status == TRIB_OK && !building->is_complete) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return refuse_syntax(building, parser);
        status = take_event(building, &event);
        yaml_event_delete(&event);
    }
    if (status == TRIB_OK && !building->root)
        return trib_error_set(building->error, TRIB_EMALFORMED, "the document is empty");
    return status;
}

static json_t *try_json(const char *bytes, size_t byte_count) {
    size_t blanks = 0;
    while (blanks < byte_count && memchr(" \t\r\n", bytes[blanks], 4))
        blanks++;
    bool is_object = blanks < byte_count && bytes[blanks] == '{';
    return is_object ? json_loadb(bytes, byte_count, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

enum trib_status trib_yaml_read(const char *bytes, size_t byte_count, json_t **document,
                                struct trib_error *error) {
    *document = NULL;
    if (byte_count > TRIB_YAML_BYTES_MAX)
        return trib_error_set(error, TRIB_ELIMIT, "%zu bytes, at most %d", byte_count,
                              TRIB_YAML_BYTES_MAX);
    *document = try_json(bytes, byte_count);
    if (*document)
        return TRIB_OK;
    struct building building = {.error = error};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return out_of_memory(&building);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, byte_count);
    enum trib_status status = read_events(&building, &parser);
    yaml_parser_delete(&parser);
    for (size_t depth = 0; depth < building.depth; depth++)
        free(building.levels[depth].key);
    if (status == TRIB_OK)
        *document = building.root;
    else
        json_decref(building.root);
    return status;
}
