/* response.c - HTTP/1.1 responses, read byte by byte where they are framing and in spans where
 * they are body.
 *
 * What does not follow RFC 9112 to the letter is refused rather than guessed at: a client that
 * guesses where a reply ends takes the next reply for its answer. */
#include "client/response.h"

#include <string.h>
#include <strings.h>

#define STATUS_LINE_BYTES_MIN 14 /* "HTTP/1.1 200" CR LF: a blank and a reason may be missing */
#define FRAME_BYTES_MAX 4096     /* of a size line with its extensions, and of all trailers */
#define CHUNK_BITS_MAX 60

enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

enum chunk_state {
    CHUNK_SIZE_FIRST, /* the first digit, which must be there */
    CHUNK_SIZE,       /* more hexadecimal digits */
    CHUNK_EXTENSION,  /* ignored up to the end of the line */
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER, /* at the start of a trailer line; an empty one ends the response */
    CHUNK_TRAILER_LINE,
    CHUNK_LAST_LF,
};

void trib_response_begin(struct trib_response *response, bool is_head_request) {
    memset(response, 0, offsetof(struct trib_response, head));
    response->is_head_request = is_head_request;
}

static void break_reply(struct trib_response *response, const char *error) {
    response->state = TRIB_RESPONSE_BROKEN;
    response->error = error;
    response->keeps_alive = false;
}

/* --- the head ------------------------------------------------------------------------------- */

/* A value inside the head. */
struct value {
    const char *text; /* NULL: there is no such field */
    size_t text_bytes;
    const char *line_end;
};

/* The first field of that name whose line begins behind `line_end`. */
static struct value find_field(const struct trib_response *response, const char *name,
                               const char *line_end) {
    size_t name_bytes = strlen(name);
    const char *limit = response->head + response->head_bytes;
    while (line_end != NULL && line_end + 1 < limit) {
        const char *line = line_end + 1;
        line_end = memchr(line, '\n', (size_t)(limit - line));
        if (line_end == NULL || (size_t)(line_end - line) <= name_bytes ||
            line[name_bytes] != ':' || strncasecmp(line, name, name_bytes) != 0) {
            continue;
        }
        const char *first = line + name_bytes + 1;
        const char *last = line_end;
        while (first < last && (*first == ' ' || *first == '\t')) {
            first++;
        }
        while (last > first && (last[-1] == '\r' || last[-1] == ' ' || last[-1] == '\t')) {
            last--;
        }
        return (struct value){first, (size_t)(last - first), line_end};
    }
    return (struct value){NULL, 0, NULL};
}

static struct value first_field(const struct trib_response *response, const char *name) {
    return find_field(response, name, memchr(response->head, '\n', response->head_bytes));
}

static bool is_value(const struct value *value, const char *expected) {
    return value->text_bytes == strlen(expected) &&
           strncasecmp(value->text, expected, value->text_bytes) == 0;
}

bool trib_response_field(const struct trib_response *response, const char *name, char *text,
                         size_t room) {
    const struct value value = first_field(response, name);
    if (value.text == NULL || value.text_bytes >= room) {
        return false;
    }
    memcpy(text, value.text, value.text_bytes);
    text[value.text_bytes] = '\0';
    return true;
}

/* Digits only, at most 18 of them: no overflow, no sign, no blanks. */
static bool parse_length(const struct value *value, uint64_t *length) {
    if (value->text_bytes == 0 || value->text_bytes > 18) {
        return false;
    }
    *length = 0;
    for (size_t i = 0; i < value->text_bytes; i++) {
        if (value->text[i] < '0' || value->text[i] > '9') {
            return false;
        }
        *length = *length * 10 + (uint64_t)(value->text[i] - '0');
    }
    return true;
}

static bool parse_status_line(struct trib_response *response) {
    const char *head = response->head;
    if (response->head_bytes < STATUS_LINE_BYTES_MIN || memcmp(head, "HTTP/1.1 ", 9) != 0 ||
        (head[12] != ' ' && head[12] != '\r')) {
        return false;
    }
    for (size_t i = 9; i < 12; i++) {
        if (head[i] < '0' || head[i] > '9') {
            return false;
        }
        response->status = response->status * 10 + (head[i] - '0');
    }
    return response->status >= 100 && response->status < 600;
}

/* Where the body ends (RFC 9112, section 6.3). */
static void choose_framing(struct trib_response *response) {
    const struct value coding = first_field(response, "Transfer-Encoding");
    const struct value length = first_field(response, "Content-Length");
    const struct value connection = first_field(response, "Connection");
    response->keeps_alive = connection.text == NULL || is_value(&connection, "keep-alive");
    response->has_length = length.text != NULL;
    if (response->has_length &&
        (!parse_length(&length, &response->body_bytes) ||
         find_field(response, "Content-Length", length.line_end).text != NULL)) {
        break_reply(response, "malformed Content-Length");
        return;
    }
    if (coding.text != NULL && (response->has_length || !is_value(&coding, "chunked"))) {
        break_reply(response, "unknown Transfer-Encoding, or one besides a Content-Length");
        return;
    }
    if (response->is_head_request || response->status == 204 || response->status == 304) {
        response->framing = FRAMING_NONE;
    } else if (coding.text != NULL) {
        response->framing = FRAMING_CHUNKED;
    } else if (response->has_length) {
        response->framing = response->body_bytes > 0 ? FRAMING_LENGTH : FRAMING_NONE;
        response->span_bytes_left = response->body_bytes;
    } else {
        response->framing = FRAMING_CLOSE;
        response->keeps_alive = false;
    }
    response->state = response->framing == FRAMING_NONE ? TRIB_RESPONSE_DONE : TRIB_RESPONSE_BODY;
}

static void finish_head(struct trib_response *response) {
    response->status = 0;
    if (!parse_status_line(response)) {
        break_reply(response, "not an HTTP/1.1 response");
    } else if (response->status < 200) {
        bool has_continued = response->has_continued || response->status == 100;
        trib_response_begin(response, response->is_head_request); /* 100 Continue and its like */
        response->has_continued = has_continued;
    } else {
        choose_framing(response);
    }
}

static size_t feed_head(struct trib_response *response, const char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (response->head_bytes == TRIB_RESPONSE_HEAD_MAX) {
            break_reply(response, "head too large");
            return i;
        }
        response->head[response->head_bytes++] = bytes[i];
        if (bytes[i] == '\n' && response->head_bytes >= 4 &&
            memcmp(response->head + response->head_bytes - 4, "\r\n\r\n", 4) == 0) {
            finish_head(response);
            return i + 1;
        }
    }
    return count;
}

/* --- the body ------------------------------------------------------------------------------- */

static int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static void feed_chunk_size(struct trib_response *response, char byte) {
    int digit = hex_digit(byte);
    if (digit >= 0 && response->span_bytes_left >> (CHUNK_BITS_MAX - 4) == 0) {
        response->span_bytes_left = response->span_bytes_left * 16 + (uint64_t)digit;
        response->chunk_state = CHUNK_SIZE;
    } else if (digit >= 0) {
        break_reply(response, "chunk too large");
    } else if (response->chunk_state == CHUNK_SIZE_FIRST) {
        break_reply(response, "chunk without its size");
    } else if (byte == '\r') {
        response->chunk_state = CHUNK_SIZE_LF;
    } else if (byte == ';' || byte == ' ' || byte == '\t') {
        response->chunk_state = CHUNK_EXTENSION;
    } else {
        break_reply(response, "malformed chunk size");
    }
}

static void expect(struct trib_response *response, char byte, char expected,
                   enum chunk_state next) {
    if (byte == expected) {
        response->chunk_state = (uint8_t)next;
    } else {
        break_reply(response, "malformed chunk");
    }
}

/* One byte of the framing between the chunks' data. */
static void feed_chunk_frame(struct trib_response *response, char byte) {
    if (++response->line_bytes > FRAME_BYTES_MAX) {
        break_reply(response, "chunk extensions or trailers too large");
        return;
    }
    switch (response->chunk_state) {
    case CHUNK_SIZE_FIRST:
    case CHUNK_SIZE:
        feed_chunk_size(response, byte);
        return;
    case CHUNK_EXTENSION:
        if (byte == '\r') {
            response->chunk_state = CHUNK_SIZE_LF;
        }
        return;
    case CHUNK_SIZE_LF:
        response->line_bytes = 0;
        expect(response, byte, '\n', response->span_bytes_left > 0 ? CHUNK_DATA : CHUNK_TRAILER);
        return;
    case CHUNK_DATA_CR:
        expect(response, byte, '\r', CHUNK_DATA_LF);
        return;
    case CHUNK_DATA_LF:
        response->line_bytes = 0;
        expect(response, byte, '\n', CHUNK_SIZE_FIRST);
        return;
    case CHUNK_TRAILER:
        response->chunk_state = byte == '\r' ? CHUNK_LAST_LF : CHUNK_TRAILER_LINE;
        return;
    case CHUNK_TRAILER_LINE:
        if (byte == '\n') {
            response->chunk_state = CHUNK_TRAILER;
        }
        return;
    default:
        expect(response, byte, '\n', CHUNK_LAST_LF);
        if (response->state == TRIB_RESPONSE_BODY) {
            response->state = TRIB_RESPONSE_DONE;
        }
        return;
    }
}

/* Hand out as much of the announced bytes as is there. */
static size_t take_span(struct trib_response *response, const char *bytes, size_t count,
                        const char **body, size_t *body_bytes) {
    size_t taken = count < response->span_bytes_left ? count : (size_t)response->span_bytes_left;
    *body = bytes;
    *body_bytes = taken;
    response->span_bytes_left -= taken;
    return taken;
}

static size_t feed_chunked(struct trib_response *response, const char *bytes, size_t count,
                           const char **body, size_t *body_bytes) {
    size_t used = 0;
    while (used < count && response->state == TRIB_RESPONSE_BODY) {
        if (response->chunk_state != CHUNK_DATA) {
            feed_chunk_frame(response, bytes[used++]);
            continue;
        }
        used += take_span(response, bytes + used, count - used, body, body_bytes);
        if (response->span_bytes_left == 0) {
            response->chunk_state = CHUNK_DATA_CR;
        }
        break; /* one span per call */
    }
    return used;
}

size_t trib_response_feed(struct trib_response *response, const char *bytes, size_t count,
                          const char **body, size_t *body_bytes) {
    *body = NULL;
    *body_bytes = 0;
    if (response->state == TRIB_RESPONSE_HEAD) {
        return feed_head(response, bytes, count);
    }
    if (response->state != TRIB_RESPONSE_BODY) {
        return 0;
    }
    switch (response->framing) {
    case FRAMING_LENGTH: {
        size_t taken = take_span(response, bytes, count, body, body_bytes);
        if (response->span_bytes_left == 0) {
            response->state = TRIB_RESPONSE_DONE;
        }
        return taken;
    }
    case FRAMING_CHUNKED:
        return feed_chunked(response, bytes, count, body, body_bytes);
    default: /* up to the end of the connection */
        *body = bytes;
        *body_bytes = count;
        return count;
    }
}

void trib_response_closed(struct trib_response *response) {
    if (response->state == TRIB_RESPONSE_BODY && response->framing == FRAMING_CLOSE) {
        response->state = TRIB_RESPONSE_DONE;
    } else if (response->state == TRIB_RESPONSE_HEAD || response->state == TRIB_RESPONSE_BODY) {
        break_reply(response, "connection closed in mid-response");
    }
}
