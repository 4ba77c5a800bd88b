/* json.c - a reader of one token at a time; nesting is a word of bits, so nothing recurses.
 *
 * Grammar: RFC 8259. What may come next is one of six expectations; a token either meets it and
 * sets the next one, or the document is malformed and the reader stays failed. */

#include "base/json.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES_MAX 1000

enum expectation {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END, /* after [ */
    EXPECT_KEY,          /* after a comma in an object */
    EXPECT_KEY_OR_END,   /* after { */
    EXPECT_COMMA_OR_END, /* after a value in an array or object */
    EXPECT_NOTHING,      /* after the outermost value */
};

void trib_json_init(struct trib_json *json, const void *bytes, size_t byte_count) {
    *json = (struct trib_json){.start = bytes, .next = bytes, .expects = EXPECT_VALUE};
    json->limit = byte_count > 0 ? json->start + byte_count : json->start;
}

size_t trib_json_offset(const struct trib_json *json) {
    return json->next == json->start ? 0 : (size_t)(json->next - json->start);
}

static enum trib_json_kind fail(struct trib_json *json) {
    json->is_failed = true;
    return TRIB_JSON_ERROR;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool has_next(const struct trib_json *json, char c) {
    return json->next < json->limit && *json->next == c;
}

static void skip_blanks(struct trib_json *json) {
    while (has_next(json, ' ') || has_next(json, '\n') || has_next(json, '\r') ||
           has_next(json, '\t'))
        json->next++;
}

static bool is_in_object(const struct trib_json *json) {
    return json->depth > 0 && (json->nesting & 1) != 0;
}

/* Bytes of the UTF-8 sequence at text, 0 when it is not one. RFC 3629, section 4: neither
 * overlong forms nor surrogates nor anything above U+10FFFF. */
static size_t utf8_bytes(const char *text, const char *limit) {
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char lead = bytes[0];
    size_t count = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead > 0xf4 || count == 0 || (size_t)(limit - text) < count)
        return 0;
    for (size_t index = 1; index < count; index++) {
        if ((bytes[index] & 0xc0) != 0x80)
            return 0;
    }
    if ((lead == 0xe0 && bytes[1] < 0xa0) || (lead == 0xed && bytes[1] > 0x9f) ||
        (lead == 0xf0 && bytes[1] < 0x90) || (lead == 0xf4 && bytes[1] > 0x8f))
        return 0;
    return count;
}

/* Value of four hex digits, -1 when they are not. */
static int32_t hex4(const char *text, const char *limit) {
    if (limit - text < 4)
        return -1;
    int32_t value = 0;
    for (size_t index = 0; index < 4; index++) {
        char c = text[index];
        int digit = is_digit(c)              ? c - '0'
                    : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                    : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                             : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* Bytes of the escape at text, after its backslash; 0 when it is not one. */
static size_t escape_bytes(const char *text, const char *limit) {
    if (text == limit)
        return 0;
    if (*text == 'u')
        return hex4(text + 1, limit) < 0 ? 0 : 5;
    return *text != '\0' && strchr("\"\\/bfnrt", *text) ? 1 : 0;
}

/* The opening quote was read. */
static bool read_string(struct trib_json *json) {
    json->text = json->next;
    json->has_escape = false;
    while (json->next < json->limit && *json->next != '"') {
        size_t count;
        if (*json->next == '\\') {
            count = escape_bytes(json->next + 1, json->limit);
            json->next += count > 0 ? 1 : 0;
            json->has_escape = true;
        } else {
            bool is_control = (unsigned char)*json->next < 0x20;
            count = is_control ? 0 : utf8_bytes(json->next, json->limit);
        }
        if (count == 0)
            return false;
        json->next += count;
    }
    if (json->next == json->limit)
        return false;
    json->text_bytes = (size_t)(json->next - json->text);
    json->next++;
    return true;
}

static bool skip_digits(struct trib_json *json) {
    const char *first = json->next;
    while (json->next < json->limit && is_digit(*json->next))
        json->next++;
    return json->next > first;
}

static bool read_number(struct trib_json *json) {
    json->text = json->next;
    json->has_escape = false;
    if (has_next(json, '-'))
        json->next++;
    if (has_next(json, '0'))
        json->next++;
    else if (!skip_digits(json))
        return false;
    if (has_next(json, '.')) {
        json->next++;
        if (!skip_digits(json))
            return false;
    }
    if (has_next(json, 'e') || has_next(json, 'E')) {
        json->next++;
        if (has_next(json, '+') || has_next(json, '-'))
            json->next++;
        if (!skip_digits(json))
            return false;
    }
    json->text_bytes = (size_t)(json->next - json->text);
    return true;
}

static bool read_word(struct trib_json *json, const char *word) {
    size_t count = strlen(word);
    if ((size_t)(json->limit - json->next) < count || memcmp(json->next, word, count) != 0)
        return false;
    json->next += count;
    return true;
}

static void expect_after_value(struct trib_json *json) {
    json->expects = json->depth > 0 ? EXPECT_COMMA_OR_END : EXPECT_NOTHING;
}

static enum trib_json_kind open_level(struct trib_json *json, bool is_object) {
    if (json->depth == TRIB_JSON_DEPTH_MAX)
        return fail(json);
    json->next++;
    json->depth++;
    json->nesting = json->nesting << 1 | is_object;
    json->expects = is_object ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    return is_object ? TRIB_JSON_OBJECT : TRIB_JSON_ARRAY;
}

static enum trib_json_kind close_level(struct trib_json *json) {
    bool was_object = is_in_object(json);
    json->next++;
    json->depth--;
    json->nesting >>= 1;
    expect_after_value(json);
    return was_object ? TRIB_JSON_OBJECT_END : TRIB_JSON_ARRAY_END;
}

static enum trib_json_kind read_key(struct trib_json *json) {
    if (!has_next(json, '"'))
        return fail(json);
    json->next++;
    if (!read_string(json))
        return fail(json);
    skip_blanks(json);
    if (!has_next(json, ':'))
        return fail(json);
    json->next++;
    json->expects = EXPECT_VALUE;
    return TRIB_JSON_KEY;
}

static enum trib_json_kind read_value(struct trib_json *json) {
    enum trib_json_kind kind;
    bool is_read;
    switch (*json->next) {
    case '{':
        return open_level(json, true);
    case '[':
        return open_level(json, false);
    case '"':
        json->next++;
        kind = TRIB_JSON_STRING;
        is_read = read_string(json);
        break;
    case 't':
        kind = TRIB_JSON_TRUE;
        is_read = read_word(json, "true");
        break;
    case 'f':
        kind = TRIB_JSON_FALSE;
        is_read = read_word(json, "false");
        break;
    case 'n':
        kind = TRIB_JSON_NULL;
        is_read = read_word(json, "null");
        break;
    default:
        kind = TRIB_JSON_NUMBER;
        is_read = read_number(json);
        break;
    }
    if (!is_read)
        return fail(json);
    expect_after_value(json);
    return kind;
}

static enum trib_json_kind read_token(struct trib_json *json) {
    if (json->is_failed)
        return TRIB_JSON_ERROR;
    skip_blanks(json);
    if (json->next == json->limit)
        return json->expects == EXPECT_NOTHING ? TRIB_JSON_END : fail(json);
    if (json->expects == EXPECT_COMMA_OR_END && has_next(json, ',')) {
        json->next++;
        skip_blanks(json);
        json->expects = is_in_object(json) ? EXPECT_KEY : EXPECT_VALUE;
        if (json->next == json->limit)
            return fail(json);
    }
    bool may_end = json->expects == EXPECT_COMMA_OR_END || json->expects == EXPECT_KEY_OR_END ||
                   json->expects == EXPECT_VALUE_OR_END;
    if (may_end && has_next(json, is_in_object(json) ? '}' : ']'))
        return close_level(json);
    switch ((enum expectation)json->expects) {
    case EXPECT_VALUE:
    case EXPECT_VALUE_OR_END:
        return read_value(json);
    case EXPECT_KEY:
    case EXPECT_KEY_OR_END:
        return read_key(json);
    case EXPECT_COMMA_OR_END:
    case EXPECT_NOTHING:
        break;
    }
    return fail(json);
}

enum trib_json_kind trib_json_next(struct trib_json *json) {
    json->text = NULL;
    json->text_bytes = 0;
    json->has_escape = false;
    json->kind = read_token(json);
    return json->kind;
}

bool trib_json_skip(struct trib_json *json) {
    uint32_t depth = json->depth;
    switch (trib_json_next(json)) {
    case TRIB_JSON_ERROR:
    case TRIB_JSON_END:
    case TRIB_JSON_OBJECT_END:
    case TRIB_JSON_ARRAY_END:
    case TRIB_JSON_KEY:
        return false;
    default:
        break;
    }
    while (json->depth > depth) {
        if (trib_json_next(json) == TRIB_JSON_ERROR)
            return false;
    }
    return true;
}

/* Decode the character at *next, which read_string() has accepted, to at most four bytes of
 * UTF-8. Returns their number; 0 for U+0000 and for half of a surrogate pair alone. */
static size_t decode_character(const char **next, const char *limit, char utf8[4]) {
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *text = *next;
    if (*text != '\\') {
        size_t count = utf8_bytes(text, limit);
        memcpy(utf8, text, count);
        *next += count;
        return count;
    }
    if (text[1] != 'u') {
        utf8[0] = meanings[strchr(letters, text[1]) - letters];
        *next += 2;
        return 1;
    }
    uint32_t code = (uint32_t)hex4(text + 2, limit);
    *next += 6;
    if (code >= 0xd800 && code < 0xe000) {
        if (code >= 0xdc00 || limit - *next < 6 || (*next)[0] != '\\' || (*next)[1] != 'u')
            return 0;
        uint32_t low = (uint32_t)hex4(*next + 2, limit);
        if (low < 0xdc00 || low >= 0xe000)
            return 0;
        code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
        *next += 6;
    }
    if (code < 0x80) {
        utf8[0] = (char)code;
        return code == 0 ? 0 : 1;
    }
    size_t count = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t index = count - 1; index > 0; index--, code >>= 6)
        utf8[index] = (char)(0x80 | (code & 0x3f));
    utf8[0] = (char)(leads[count] | code);
    return count;
}

static bool is_text(const struct trib_json *json) {
    return json->kind == TRIB_JSON_KEY || json->kind == TRIB_JSON_STRING;
}

bool trib_json_copy_text(const struct trib_json *json, char *text, size_t room) {
    if (!is_text(json) || room == 0)
        return false;
    const char *next = json->text;
    const char *limit = json->text + json->text_bytes;
    size_t used = 0;
    while (next < limit) {
        char utf8[4];
        size_t count = decode_character(&next, limit, utf8);
        if (count == 0 || count >= room - used)
            return false;
        memcpy(text + used, utf8, count);
        used += count;
    }
    text[used] = '\0';
    return true;
}

bool trib_json_is(const struct trib_json *json, const char *plain) {
    if (!is_text(json))
        return false;
    if (!json->has_escape)
        return strlen(plain) == json->text_bytes &&
               memcmp(plain, json->text, json->text_bytes) == 0;
    const char *next = json->text;
    const char *limit = json->text + json->text_bytes;
    while (next < limit) {
        char utf8[4];
        size_t count = decode_character(&next, limit, utf8);
        if (count == 0 || strncmp(plain, utf8, count) != 0)
            return false;
        plain += count;
    }
    return *plain == '\0';
}

bool trib_json_u64(const struct trib_json *json, uint64_t *value) {
    if (json->kind != TRIB_JSON_NUMBER)
        return false;
    uint64_t sum = 0;
    for (size_t index = 0; index < json->text_bytes; index++) {
        char c = json->text[index];
        if (!is_digit(c) || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(c - '0'), &sum))
            return false;
    }
    *value = sum;
    return true;
}

bool trib_json_f64(const struct trib_json *json, double *value) {
    char digits[NUMBER_BYTES_MAX + 1]; /* strtod wants a NUL */
    if (json->kind != TRIB_JSON_NUMBER || json->text_bytes >= sizeof digits)
        return false;
    memcpy(digits, json->text, json->text_bytes);
    digits[json->text_bytes] = '\0';
    /* A program that embeds this code may have set a locale with a decimal comma. The C locale
     * is a constant of the C library; asking for it allocates nothing. */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain)
        return false;
    double read = strtod_l(digits, NULL, plain);
    freelocale(plain);
    if (!isfinite(read))
        return false;
    *value = read;
    return true;
}
