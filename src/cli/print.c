/* print.c - documents as people and programs read them.
 *
 * Which texts need quotes in YAML is asked of the reader itself, so the two cannot disagree. Below
 * DEPTH_MAX levels a value is written as JSON, which is YAML too, so that a document from outside
 * cannot make the functions here call each other without end. */
#include "cli/print.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/yaml.h"

#define DEPTH_MAX 8
#define PLAIN_BYTES_MAX 64
#define SECONDS_MAX 253402300800.0 /* the year 10000 */
/* Every number that a person writes with 15 digits looks the same again. */
#define JSON_LOOKS (JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

enum trib_exit trib_print_json(const struct trib_cli *cli, const json_t *document) {
    if (document == NULL || json_dumpf(document, cli->out, JSON_LOOKS | JSON_INDENT(2)) != 0) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "the document could not be written");
    }
    (void)fputc('\n', cli->out); /* checked by trib_cli_run() when it flushes */
    return TRIB_EXIT_OK;
}

/* --- YAML ------------------------------------------------------------------------------------- */

static void add_json(struct trib_text *text, const json_t *value, size_t flags) {
    char *json = json_dumps(value, flags | JSON_ENCODE_ANY);
    text->is_failed = text->is_failed || json == NULL;
    if (json != NULL) {
        trib_text_add(text, json, strlen(json));
    }
    free(json);
}

/* Without quotes, is it still a text? */
static bool is_plain(const char *string) {
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-";
    size_t bytes = strlen(string);
    if (bytes == 0 || bytes > PLAIN_BYTES_MAX || string[strspn(string, plain)] != '\0' ||
        string[0] == '-') {
        return false;
    }
    json_t *value = NULL;
    bool is_text = trib_yaml_read(string, bytes, &value, NULL) == TRIB_OK && json_is_string(value);
    json_decref(value);
    return is_text;
}

static void add_scalar(struct trib_text *text, const json_t *value) {
    if (json_is_string(value) && is_plain(json_string_value(value))) {
        trib_text_add(text, json_string_value(value), json_string_length(value));
    } else if (json_is_real(value)) {
        /* The fewest digits that are this number. */
        size_t digits = 15;
        char shown[40];
        do {
            (void)snprintf(shown, sizeof shown, "%.*g", (int)digits, json_real_value(value));
        } while (++digits <= 17 && strtod(shown, NULL) != json_real_value(value));
        add_json(text, value, JSON_REAL_PRECISION(digits - 1));
    } else {
        add_json(text, value, 0);
    }
}

/* Fits behind "key: " or "- ". */
static bool is_inline(const json_t *value, int depth) {
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) {
        if ((json_is_object(item) || json_is_array(item)) && depth < DEPTH_MAX) {
            return false;
        }
    }
    return !json_is_object(value) || json_object_size(value) == 0 || depth >= DEPTH_MAX;
}

static void add_inline(struct trib_text *text, const json_t *value) {
    if (json_is_object(value)) {
        add_json(text, value, JSON_COMPACT);
        return;
    }
    if (!json_is_array(value)) {
        add_scalar(text, value);
        return;
    }
    trib_text_format(text, "[");
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        trib_text_format(text, "%s", i == 0 ? "" : ", ");
        if (json_is_object(item) || json_is_array(item)) {
            add_json(text, item, JSON_COMPACT);
        } else {
            add_scalar(text, item);
        }
    }
    trib_text_format(text, "]");
}

static void add_lines(struct trib_text *text, const json_t *value, int depth);

static void add_indent(struct trib_text *text, int depth) {
    trib_text_format(text, "%*s", 2 * depth, "");
}

static void add_member(struct trib_text *text, const char *key, const json_t *value, int depth) {
    json_t *key_text = json_string(key);
    add_scalar(text, key_text);
    json_decref(key_text);
    if (is_inline(value, depth)) {
        trib_text_format(text, ": ");
        add_inline(text, value);
        trib_text_format(text, "\n");
    } else {
        trib_text_format(text, ":\n");
        add_indent(text, depth + 1);
        add_lines(text, value, depth + 1);
    }
}

/* All lines of what is not inline, the first without indent: the cursor is where it stands. */
static void add_lines(struct trib_text *text, const json_t *value, int depth) {
    int indent = 0;
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) {
        add_indent(text, indent);
        trib_text_format(text, "- ");
        if (is_inline(item, depth)) {
            add_inline(text, item);
            trib_text_format(text, "\n");
        } else {
            add_lines(text, item, depth + 1);
        }
        indent = depth;
    }
    const char *key;
    json_object_foreach((json_t *)value, key, item) { /* jansson's own lack of const */
        add_indent(text, indent);
        add_member(text, key, item, depth);
        indent = depth;
    }
}

void trib_yaml_add(struct trib_text *text, const json_t *value) {
    if (value == NULL) {
        text->is_failed = true;
    } else if (is_inline(value, 0)) {
        add_inline(text, value);
        trib_text_format(text, "\n");
    } else {
        add_lines(text, value, 0);
    }
}

enum trib_exit trib_print_yaml(const struct trib_cli *cli, const json_t *value) {
    struct trib_text text;
    trib_text_init(&text, cli->env);
    trib_yaml_add(&text, value);
    bool is_whole = !text.is_failed && text.bytes != NULL;
    if (is_whole) {
        (void)fputs(text.bytes, cli->out); /* checked by trib_cli_run() when it flushes */
    }
    trib_text_deinit(&text);
    return is_whole ? TRIB_EXIT_OK : trib_cli_fail(cli, TRIB_EXIT_FAILED, "out of memory");
}

/* --- moments ---------------------------------------------------------------------------------- */

void trib_print_stamp(double seconds, char stamp[TRIB_STAMP_BYTES]) {
    time_t whole = seconds > 0.0 && seconds < SECONDS_MAX ? (time_t)seconds : 0;
    struct tm utc;
    (void)strcpy(stamp, "-");
    if (whole > 0 && gmtime_r(&whole, &utc) != NULL) {
        (void)strftime(stamp, TRIB_STAMP_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
}
