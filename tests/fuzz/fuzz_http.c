/* fuzz_http.c - any bytes as a head, as a chunked body, and as the fields of a reply.
 *
 * Rules: a head means the same however it is cut into pieces; what was accepted has one Host, one
 * framing and no control character; a chunked body gives the same payload and ends at the same
 * place however it is cut; no field of a reply becomes two. */
#include "fuzz/target.h"

#include "wire/http.h"

static void check_text(const char *text) {
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        TRIB_ASSERT((byte >= 0x20 || byte == '\t') && byte != 0x7f);
    }
}

static void check_request(const struct trib_http_request *request) {
    size_t hosts = 0;
    size_t framings = 0;
    TRIB_ASSERT(request->path[0] == '/');
    check_text(request->path);
    check_text(request->query);
    TRIB_ASSERT(request->field_count <= TRIB_HTTP_FIELDS_MAX);
    for (size_t i = 0; i < request->field_count; i++) {
        const struct trib_http_field *field = &request->fields[i];
        TRIB_ASSERT(field->name[0] != '\0');
        check_text(field->name);
        check_text(field->value);
        hosts += strcmp(field->name, "host") == 0;
        framings += strcmp(field->name, "content-length") == 0;
        framings += strcmp(field->name, "transfer-encoding") == 0;
    }
    TRIB_ASSERT(hosts == 1 && request->host[0] != '\0');
    TRIB_ASSERT(framings == (size_t)request->has_length + request->is_chunked);
    TRIB_ASSERT(request->content_length <= UINT64_C(1) << 62);
    TRIB_ASSERT(!request->expects_continue || request->is_chunked || request->content_length > 0);
}

static void try_head(const uint8_t *data, size_t size) {
    TRIB_ASSERT(size > 0);
    size_t scanned = 0;
    size_t head_bytes = 0;
    uint8_t *copy = fuzz_copy(data, size);
    const struct trib_http_refusal *whole =
        trib_http_head_scan((const char *)copy, size, &scanned, &head_bytes);
    size_t piece_scanned = 0;
    size_t piece_bytes = 0;
    const struct trib_http_refusal *pieces = NULL;
    for (size_t i = 1; i <= size && pieces == NULL && piece_bytes == 0; i++) {
        pieces = trib_http_head_scan((const char *)copy, i, &piece_scanned, &piece_bytes);
    }
    TRIB_ASSERT(whole == pieces && head_bytes == piece_bytes);
    free(copy);
    /* The scan is no condition for the parse: it must be safe on anything. */
    size_t count = head_bytes > 0 ? head_bytes : size;
    copy = fuzz_copy(data, count);
    struct trib_http_request request;
    const struct trib_http_refusal *refusal =
        trib_http_request_parse((char *)copy, count, &request);
    if (refusal == NULL) {
        TRIB_ASSERT(head_bytes > 0);
        check_request(&request);
    }
    free(copy);
}

/* Decode data in pieces; *payload_bytes of it to payload. Returns what was consumed. */
static size_t decode(const uint8_t *data, size_t size, size_t piece, uint8_t *payload,
                     size_t *payload_bytes, enum trib_status *status) {
    struct trib_http_chunks chunks = {0};
    size_t next = 0;
    *payload_bytes = 0;
    *status = TRIB_OK;
    while (next < size && !chunks.is_done && *status == TRIB_OK) {
        size_t count = piece < size - next ? piece : size - next;
        uint8_t *copy = fuzz_copy(data + next, count);
        size_t kept = 0;
        size_t consumed = 0;
        *status = trib_http_chunks_decode(&chunks, (char *)copy, count, &kept, &consumed);
        TRIB_ASSERT(kept <= consumed && consumed <= count);
        TRIB_ASSERT(consumed == count || chunks.is_done || *status != TRIB_OK);
        memcpy(payload + *payload_bytes, copy, kept);
        *payload_bytes += kept;
        next += consumed;
        free(copy);
    }
    return next;
}

static void try_chunks(const uint8_t *data, size_t size) {
    uint8_t *payload = malloc(2 * size + 2);
    TRIB_ASSERT(payload != NULL);
    uint8_t *other = payload + size + 1;
    enum trib_status status;
    size_t payload_bytes;
    size_t end = decode(data, size, size, payload, &payload_bytes, &status);
    for (size_t piece = 1; piece < 8; piece++) {
        enum trib_status other_status;
        size_t other_bytes;
        size_t other_end = decode(data, size, piece, other, &other_bytes, &other_status);
        TRIB_ASSERT(other_end == end && other_status == status);
        TRIB_ASSERT(other_bytes == payload_bytes);
        TRIB_ASSERT(memcmp(payload, other, payload_bytes) == 0);
    }
    free(payload);
}

static void try_reply(const uint8_t *data, size_t size) {
    char name[64];
    char value[256];
    size_t name_bytes = size < sizeof name - 1 ? size : sizeof name - 1;
    size_t value_bytes = size < sizeof value - 1 ? size : sizeof value - 1;
    memcpy(name, data, name_bytes);
    memcpy(value, data, value_bytes);
    name[name_bytes] = value[value_bytes] = '\0';
    const struct trib_http_field fields[] = {{"X", value}, {name, "x"}};
    for (size_t i = 0; i < 2; i++) {
        const struct trib_http_reply reply = {
            .status = 200, .date_s = -1, .fields = &fields[i], .field_count = 1};
        char head[512];
        size_t head_bytes = 0;
        if (trib_http_reply_write(&reply, head, sizeof head, &head_bytes) == TRIB_OK) {
            size_t lines = 0;
            for (size_t n = 0; n < head_bytes; n++) {
                lines += head[n] == '\n' || head[n] == '\r';
            }
            TRIB_ASSERT(lines == 2 * 4); /* status, version, the field, the end */
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0) { /* nothing is a case of the unit tests */
        try_head(data, size);
        try_chunks(data, size);
        try_reply(data, size);
    }
    return 0;
}
