/* http.c - HTTP/1.1 heads and chunked framing.
 *
 * A head passes three gates: its bytes (scan), its lines (check_*), and http_parser, which says
 * where the parts are. Only then are they given a meaning (read_*). The library's own checks are
 * a second opinion, not the first: the build in Debian has strict mode off.
 * Source: RFC 9110 (fields, methods, Expect), RFC 9112 (syntax, framing, chunks). */
#include "wire/http.h"

#include <http_parser.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/bytes.h"

enum {
    SIZE_LINE_BYTES_MAX = 256, /* a chunk size with its extensions; nobody sends any */
    TRAILER_BYTES_MAX = 4096,
};

/* Lengths stay far from overflow, whatever is added to them later. */
#define LENGTH_MAX (UINT64_C(1) << 62)

#define REFUSAL(name, status, code, message) \
    static const struct trib_http_refusal name = {status, code, message}

REFUSAL(bare_ending, 400, "malformed", "a line of the head does not end with CR LF");
REFUSAL(control_character, 400, "malformed", "a control character in the head");
REFUSAL(bad_request_line, 400, "malformed", "the first line is not METHOD /target HTTP/1.1");
REFUSAL(bad_target, 400, "malformed", "the target is not an absolute path of printable ASCII");
REFUSAL(bad_field_line, 400, "header", "a field is not name: value on one line");
REFUSAL(bad_host, 400, "header", "Host must be there once");
REFUSAL(bad_length, 400, "header",
        "Content-Length must be one number, and not beside Transfer-Encoding");
REFUSAL(bad_encoding, 400, "header", "the only Transfer-Encoding is chunked");
REFUSAL(repeated_field, 400, "header", "a field that may be there once is repeated");
REFUSAL(not_http, 400, "malformed", "the head is not HTTP/1.1");
REFUSAL(bad_expectation, 417, "expectation", "the only expectation is 100-continue");
REFUSAL(head_too_large, 431, "header_too_large", "the head is over 16 KiB or 64 fields");
REFUSAL(unknown_method, 501, "unsupported",
        "the methods are GET, HEAD, PUT, POST, PATCH and DELETE");
REFUSAL(other_version, 505, "http_version", "the version must be HTTP/1.1");

static const char *const method_names[] = {
    [TRIB_HTTP_GET] = "GET",   [TRIB_HTTP_HEAD] = "HEAD",     [TRIB_HTTP_PUT] = "PUT",
    [TRIB_HTTP_POST] = "POST", [TRIB_HTTP_DELETE] = "DELETE", [TRIB_HTTP_PATCH] = "PATCH",
};

enum { METHOD_COUNT = sizeof method_names / sizeof method_names[0] };

/* Fields that mean one thing, so that two of them would be read differently by different readers.
 * Those that decide about framing have checks of their own. */
static const char *const single_fields[] = {
    "authorization", "content-encoding", "content-range", "content-type",
    "expect",        "if-range",         "origin",        "range",
};

/* A piece of the head; not NUL-terminated. */
struct span {
    const char *bytes;
    size_t count;
};

/* What the library reports: spans in the order sent. */
struct sighting {
    struct span target;
    struct span names[TRIB_HTTP_FIELDS_MAX];
    struct span values[TRIB_HTTP_FIELDS_MAX];
    size_t name_count;
    size_t value_count;
    bool is_persistent;
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool is_control(char c) {
    unsigned char byte = (unsigned char)c;
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

/* RFC 9110, section 5.6.2: tchar. */
static bool is_token_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(const char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!is_token_character(bytes[i])) {
            return false;
        }
    }
    return count > 0;
}

const char *trib_http_method_name(enum trib_http_method method) {
    return method_names[method];
}

const struct trib_http_refusal *trib_http_head_scan(const char *bytes, size_t count,
                                                    size_t *scanned, size_t *head_bytes) {
    *head_bytes = 0;
    for (size_t i = *scanned; i < count; i++) {
        *scanned = i;
        if (i == TRIB_HTTP_HEAD_BYTES_MAX) {
            return &head_too_large;
        }
        bool follows_cr = i > 0 && bytes[i - 1] == '\r';
        if ((bytes[i] == '\n') != follows_cr) {
            return &bare_ending;
        }
        if (bytes[i] == '\n') {
            if (i == 1) {
                return &bad_request_line;
            }
            if (i >= 3 && bytes[i - 2] == '\n') {
                *scanned = *head_bytes = i + 1;
                return NULL;
            }
        } else if (bytes[i] != '\r' && is_control(bytes[i])) {
            return &control_character;
        }
    }
    *scanned = count;
    return count >= TRIB_HTTP_HEAD_BYTES_MAX ? &head_too_large : NULL;
}

/* ---- the lines ---- */

/* HTTP/1.0 is refused as well: it has no Host, no chunks and other rules for closing. */
static const struct trib_http_refusal *check_version(const char *version, size_t count) {
    if (count == 8 && memcmp(version, "HTTP/1.1", 8) == 0) {
        return NULL;
    }
    bool is_version = count == 8 && memcmp(version, "HTTP/", 5) == 0 && version[6] == '.' &&
                      version[5] >= '0' && version[5] <= '9' && version[7] >= '0' &&
                      version[7] <= '9';
    return is_version ? &other_version : &bad_request_line;
}

static const struct trib_http_refusal *find_method(const char *name, size_t count,
                                                   enum trib_http_method *method) {
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        if (strlen(method_names[i]) == count && memcmp(method_names[i], name, count) == 0) {
            *method = (enum trib_http_method)i;
            return NULL;
        }
    }
    return is_token(name, count) ? &unknown_method : &bad_request_line;
}

/* Only the origin form (RFC 9112, section 3.2.1): we are no proxy. */
static const struct trib_http_refusal *check_target(const char *target, size_t count) {
    if (count == 0 || target[0] != '/') {
        return &bad_target;
    }
    for (size_t i = 0; i < count; i++) {
        if (target[i] <= ' ' || target[i] > '~' || target[i] == '#') {
            return &bad_target;
        }
    }
    return NULL;
}

static const struct trib_http_refusal *check_request_line(const char *line, size_t count,
                                                          enum trib_http_method *method) {
    const char *target = memchr(line, ' ', count);
    if (target == NULL) {
        return &bad_request_line;
    }
    target++;
    const char *end = line + count;
    const char *version = memchr(target, ' ', (size_t)(end - target));
    if (version == NULL) {
        return &bad_request_line;
    }
    version++;
    const struct trib_http_refusal *refusal = check_version(version, (size_t)(end - version));
    if (refusal == NULL) {
        refusal = find_method(line, (size_t)(target - 1 - line), method);
    }
    if (refusal == NULL) {
        refusal = check_target(target, (size_t)(version - 1 - target));
    }
    return refusal;
}

/* A folded line begins with a blank, a space before the colon is no token: both end here. */
static const struct trib_http_refusal *check_field_line(const char *line, size_t count) {
    const char *colon = memchr(line, ':', count);
    if (colon == NULL || !is_token(line, (size_t)(colon - line))) {
        return &bad_field_line;
    }
    return NULL;
}

/* The scan has made sure that every line ends with CR LF and the last one is empty. */
static const struct trib_http_refusal *check_lines(const char *head, size_t head_bytes,
                                                   enum trib_http_method *method) {
    const char *line = head;
    const char *ending = memchr(line, '\r', head_bytes);
    const struct trib_http_refusal *refusal =
        check_request_line(line, (size_t)(ending - line), method);
    size_t field_count = 0;
    while (refusal == NULL) {
        line = ending + 2;
        ending = memchr(line, '\r', head_bytes - (size_t)(line - head));
        if (ending == line) {
            break;
        }
        if (++field_count > TRIB_HTTP_FIELDS_MAX) {
            return &head_too_large;
        }
        refusal = check_field_line(line, (size_t)(ending - line));
    }
    return refusal;
}

/* ---- the library ---- */

static int saw_target(http_parser *parser, const char *bytes, size_t count) {
    struct sighting *sighting = parser->data;
    sighting->target = (struct span){bytes, count};
    return 0;
}

static int saw_name(http_parser *parser, const char *bytes, size_t count) {
    struct sighting *sighting = parser->data;
    if (sighting->name_count == TRIB_HTTP_FIELDS_MAX) {
        return 1;
    }
    sighting->names[sighting->name_count++] = (struct span){bytes, count};
    return 0;
}

static int saw_value(http_parser *parser, const char *bytes, size_t count) {
    struct sighting *sighting = parser->data;
    if (sighting->value_count == TRIB_HTTP_FIELDS_MAX) {
        return 1;
    }
    sighting->values[sighting->value_count++] = (struct span){bytes, count};
    return 0;
}

static int saw_all(http_parser *parser) {
    struct sighting *sighting = parser->data;
    sighting->is_persistent = http_should_keep_alive(parser) != 0;
    return 0;
}

/* What the library refuses after our own gates is framing, or something nobody has thought of. */
static const struct trib_http_refusal *explain(enum http_errno error) {
    switch (error) {
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return &bad_length;
    case HPE_INVALID_TRANSFER_ENCODING:
        return &bad_encoding;
    default:
        return &not_http;
    }
}

static const struct trib_http_refusal *parse_with_library(const char *head, size_t head_bytes,
                                                          struct sighting *sighting) {
    static const http_parser_settings settings = {
        .on_url = saw_target,
        .on_header_field = saw_name,
        .on_header_value = saw_value,
        .on_headers_complete = saw_all,
    };
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = sighting;
    size_t parsed = http_parser_execute(&parser, &settings, head, head_bytes);
    enum http_errno error = HTTP_PARSER_ERRNO(&parser);
    if (error != HPE_OK) {
        return explain(error);
    }
    bool is_whole = parsed == head_bytes && sighting->target.count > 0 &&
                    sighting->name_count == sighting->value_count;
    return is_whole ? NULL : &not_http;
}

/* ---- the meaning ---- */

/* The span lies in head, which is ours to write; what follows it is punctuation. */
static char *terminate(char *head, struct span span) {
    char *text = head + (span.bytes - head);
    text[span.count] = '\0';
    return text;
}

static struct span trim(struct span span) {
    while (span.count > 0 && is_blank(span.bytes[span.count - 1])) {
        span.count--;
    }
    while (span.count > 0 && is_blank(span.bytes[0])) {
        span.bytes++;
        span.count--;
    }
    return span;
}

static void read_texts(char *head, const struct sighting *sighting,
                       struct trib_http_request *request) {
    char *path = terminate(head, sighting->target);
    char *query = strchr(path, '?');
    request->path = path;
    request->query = "";
    if (query != NULL) {
        *query = '\0';
        request->query = query + 1;
    }
    request->field_count = sighting->name_count;
    for (size_t i = 0; i < sighting->name_count; i++) {
        char *name = terminate(head, sighting->names[i]);
        for (char *c = name; *c != '\0'; c++) {
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
        }
        request->fields[i].name = name;
        /* Where an empty value is, the library does not say. */
        struct span value = trim(sighting->values[i]);
        request->fields[i].value = value.count > 0 ? terminate(head, value) : "";
    }
}

static size_t count_fields(const struct trib_http_request *request, const char *name) {
    size_t count = 0;
    for (size_t i = 0; i < request->field_count; i++) {
        count += strcmp(request->fields[i].name, name) == 0;
    }
    return count;
}

static bool read_length(const char *text, uint64_t *length) {
    *length = 0;
    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || *length > LENGTH_MAX / 10 - 1) {
            return false;
        }
        *length = *length * 10 + (uint64_t)(*text - '0');
    }
    return true;
}

/* How long is the body? RFC 9112, section 6.3, without its lenience. */
static const struct trib_http_refusal *read_framing(struct trib_http_request *request) {
    size_t length_count = count_fields(request, "content-length");
    size_t encoding_count = count_fields(request, "transfer-encoding");
    if (length_count > 0) {
        const char *length = trib_http_request_field(request, "content-length");
        if (length_count > 1 || encoding_count > 0 ||
            !read_length(length, &request->content_length)) {
            return &bad_length;
        }
        request->has_length = true;
    }
    if (encoding_count > 0) {
        const char *encoding = trib_http_request_field(request, "transfer-encoding");
        if (encoding_count > 1 || strcasecmp(encoding, "chunked") != 0) {
            return &bad_encoding;
        }
        request->is_chunked = true;
    }
    return NULL;
}

static const struct trib_http_refusal *check_repetitions(const struct trib_http_request *request) {
    for (size_t i = 0; i < sizeof single_fields / sizeof single_fields[0]; i++) {
        if (count_fields(request, single_fields[i]) > 1) {
            return &repeated_field;
        }
    }
    for (size_t i = 0; i < request->field_count; i++) {
        const char *name = request->fields[i].name;
        if (strncmp(name, "tributary-", 10) == 0 && count_fields(request, name) > 1) {
            return &repeated_field;
        }
    }
    return NULL;
}

static const struct trib_http_refusal *read_fields(struct trib_http_request *request) {
    request->host = trib_http_request_field(request, "host");
    request->origin = trib_http_request_field(request, "origin");
    if (count_fields(request, "host") != 1 || request->host[0] == '\0') {
        return &bad_host;
    }
    const struct trib_http_refusal *refusal = read_framing(request);
    if (refusal == NULL) {
        refusal = check_repetitions(request);
    }
    if (refusal != NULL) {
        return refusal;
    }
    const char *expectation = trib_http_request_field(request, "expect");
    if (expectation != NULL) {
        if (strcasecmp(expectation, "100-continue") != 0) {
            return &bad_expectation;
        }
        /* Without a body there is nothing to wait for (RFC 9110, section 10.1.1). */
        request->expects_continue = request->is_chunked || request->content_length > 0;
    }
    return NULL;
}

const struct trib_http_refusal *trib_http_request_parse(char *head, size_t head_bytes,
                                                        struct trib_http_request *request) {
    memset(request, 0, offsetof(struct trib_http_request, fields));
    size_t scanned = 0;
    size_t end = 0;
    const struct trib_http_refusal *refusal = trib_http_head_scan(head, head_bytes, &scanned, &end);
    if (refusal == NULL && (end == 0 || end != head_bytes)) {
        refusal = &not_http;
    }
    if (refusal == NULL) {
        refusal = check_lines(head, head_bytes, &request->method);
    }
    struct sighting sighting = {0};
    if (refusal == NULL) {
        refusal = parse_with_library(head, head_bytes, &sighting);
    }
    if (refusal != NULL) {
        return refusal;
    }
    read_texts(head, &sighting, request);
    request->is_persistent = sighting.is_persistent;
    return read_fields(request);
}

const char *trib_http_request_field(const struct trib_http_request *request, const char *name) {
    for (size_t i = 0; i < request->field_count; i++) {
        if (strcmp(request->fields[i].name, name) == 0) {
            return request->fields[i].value;
        }
    }
    return NULL;
}

/* ---- chunked bodies ---- */

/*     1f4;ext=1 CR LF  500 bytes CR LF  0 CR LF  Trailer: x CR LF  CR LF
 *     |  |         |   |         |  |   |        |              |     |
 *     SIZE          |   DATA      |  |   SIZE     |      TRAILER_LF    END_LF
 *        EXTENSION  SIZE_LF  DATA_CR |            TRAILER_START, TRAILER
 *                              DATA_LF                                          */
enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START,
    CHUNK_TRAILER,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
};

static int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static enum trib_status step_size(struct trib_http_chunks *chunks, char c) {
    int digit = hex_value(c);
    if (digit >= 0) {
        if (chunks->chunk_left > LENGTH_MAX / 16 - 1) {
            return TRIB_ELIMIT;
        }
        chunks->chunk_left = chunks->chunk_left * 16 + (uint64_t)digit;
        chunks->has_digits = true;
        return TRIB_OK;
    }
    if (!chunks->has_digits || (c != ';' && c != '\r')) {
        return TRIB_EMALFORMED;
    }
    chunks->state = c == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
    return TRIB_OK;
}

/* The state after one that accepts nothing but `wanted`. */
static enum trib_status step_exactly(struct trib_http_chunks *chunks, char c, char wanted,
                                     enum chunk_state next) {
    chunks->state = (unsigned char)next;
    return c == wanted ? TRIB_OK : TRIB_EMALFORMED;
}

/* Extensions and trailers: anything printable up to CR. */
static enum trib_status step_skipped(struct trib_http_chunks *chunks, char c, enum chunk_state same,
                                     enum chunk_state after_cr) {
    chunks->state = (unsigned char)(c == '\r' ? after_cr : same);
    return c != '\r' && is_control(c) ? TRIB_EMALFORMED : TRIB_OK;
}

/* One byte of framing. */
static enum trib_status step_framing(struct trib_http_chunks *chunks, char c) {
    bool is_trailer = chunks->state >= CHUNK_TRAILER_START;
    if (++chunks->line_bytes > (is_trailer ? TRAILER_BYTES_MAX : SIZE_LINE_BYTES_MAX)) {
        return TRIB_ELIMIT;
    }
    enum trib_status status;
    switch ((enum chunk_state)chunks->state) {
    case CHUNK_SIZE:
        return step_size(chunks, c);
    case CHUNK_EXTENSION:
        return step_skipped(chunks, c, CHUNK_EXTENSION, CHUNK_SIZE_LF);
    case CHUNK_SIZE_LF:
        chunks->line_bytes = 0;
        return step_exactly(chunks, c, '\n',
                            chunks->chunk_left > 0 ? CHUNK_DATA : CHUNK_TRAILER_START);
    case CHUNK_DATA_CR:
        return step_exactly(chunks, c, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF:
        chunks->line_bytes = 0;
        chunks->has_digits = false;
        return step_exactly(chunks, c, '\n', CHUNK_SIZE);
    case CHUNK_TRAILER_START:
        return step_skipped(chunks, c, CHUNK_TRAILER, CHUNK_END_LF);
    case CHUNK_TRAILER:
        return step_skipped(chunks, c, CHUNK_TRAILER, CHUNK_TRAILER_LF);
    case CHUNK_TRAILER_LF:
        return step_exactly(chunks, c, '\n', CHUNK_TRAILER_START);
    case CHUNK_END_LF:
        status = step_exactly(chunks, c, '\n', CHUNK_END_LF);
        chunks->is_done = status == TRIB_OK;
        return status;
    case CHUNK_DATA:
        break; /* no framing: the caller's */
    }
    return TRIB_EMALFORMED;
}

enum trib_status trib_http_chunks_decode(struct trib_http_chunks *chunks, char *bytes, size_t count,
                                         size_t *payload, size_t *consumed) {
    size_t kept = 0;
    size_t next = 0;
    enum trib_status status = TRIB_OK;
    while (next < count && !chunks->is_done && status == TRIB_OK) {
        if (chunks->state != CHUNK_DATA) {
            status = step_framing(chunks, bytes[next]);
            next++;
            continue;
        }
        size_t here = count - next;
        if (here > chunks->chunk_left) {
            here = (size_t)chunks->chunk_left;
        }
        memmove(bytes + kept, bytes + next, here);
        kept += here;
        next += here;
        chunks->chunk_left -= here;
        if (chunks->chunk_left == 0) {
            chunks->state = CHUNK_DATA_CR;
        }
    }
    *payload = kept;
    *consumed = next;
    return status;
}

/* ---- replies ---- */

static const struct reason {
    int status;
    const char *text;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *trib_http_reason(int status) {
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status) {
            return reasons[i].text;
        }
    }
    return "";
}

static void put_plain(struct trib_writer *writer, const char *text) {
    trib_put_bytes(writer, text, strlen(text));
}

static void put_field(struct trib_writer *writer, const char *name, const char *value) {
    put_plain(writer, name);
    put_plain(writer, ": ");
    put_plain(writer, value);
    put_plain(writer, "\r\n");
}

static bool is_value(const char *value) {
    for (; *value != '\0'; value++) {
        if (is_control(*value)) {
            return false;
        }
    }
    return true;
}

/* IMF-fixdate (RFC 9110, section 5.6.7); strftime would follow the locale. */
static void put_date(struct trib_writer *writer, int64_t date_s) {
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)date_s;
    struct tm tm;
    if (date_s < 0 || gmtime_r(&seconds, &tm) == NULL) {
        return;
    }
    char text[64];
    (void)snprintf(text, sizeof text, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
                   days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900,
                   tm.tm_hour, tm.tm_min, tm.tm_sec); /* cut when the year has five digits */
    put_field(writer, "Date", text);
}

static void put_framing(struct trib_writer *writer, const struct trib_http_reply *reply) {
    char number[24];
    switch (reply->framing) {
    case TRIB_HTTP_NO_BODY:
        break;
    case TRIB_HTTP_LENGTH:
        (void)snprintf(number, sizeof number, "%llu", (unsigned long long)reply->body_bytes);
        put_field(writer, "Content-Length", number);
        break;
    case TRIB_HTTP_CHUNKED:
        put_field(writer, "Transfer-Encoding", "chunked");
        break;
    }
}

enum trib_status trib_http_reply_write(const struct trib_http_reply *reply, char *head, size_t room,
                                       size_t *head_bytes) {
    TRIB_ASSERT(reply->status >= 200 && reply->status <= 599);
    struct trib_writer writer;
    trib_writer_init(&writer, head, room);
    char line[64];
    (void)snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", reply->status,
                   trib_http_reason(reply->status)); /* the longest reason fits */
    put_plain(&writer, line);
    put_date(&writer, reply->date_s);
    put_field(&writer, "Tributary-Version", "1");
    if (reply->content_type != NULL) {
        if (!is_value(reply->content_type)) {
            return TRIB_EINVALID;
        }
        put_field(&writer, "Content-Type", reply->content_type);
    }
    put_framing(&writer, reply);
    if (reply->is_closing) {
        put_field(&writer, "Connection", "close");
    }
    for (size_t i = 0; i < reply->field_count; i++) {
        const struct trib_http_field *field = &reply->fields[i];
        if (!is_token(field->name, strlen(field->name)) || !is_value(field->value)) {
            return TRIB_EINVALID;
        }
        put_field(&writer, field->name, field->value);
    }
    put_plain(&writer, "\r\n");
    *head_bytes = writer.byte_count;
    return writer.is_failed ? TRIB_ELIMIT : TRIB_OK;
}

size_t trib_http_chunk_head_write(char head[TRIB_HTTP_CHUNK_HEAD_BYTES], size_t count) {
    TRIB_ASSERT(count > 0); /* an empty chunk would be the end of the body */
    int written = snprintf(head, TRIB_HTTP_CHUNK_HEAD_BYTES, "%zx\r\n", count);
    return (size_t)written;
}
