/* fuzz_response.c - any bytes as what a daemon answers.
 *
 * The first byte is the size of the pieces in which the rest arrives, and its top bit a HEAD request.
 * Rules: the pieces make no difference; spans lie inside of what was fed; nothing is consumed once
 * the reply is complete or broken; whatever the body is, reading it as a document ends. */
#include "fuzz/target.h"

#include "client/heard.h"
#include "client/response.h"

#define BODY_BYTES_MAX (1 << 20)

struct outcome {
    struct trib_response response;
    size_t consumed;
    size_t body_bytes;
    uint8_t body[BODY_BYTES_MAX];
};

static void check_span(const struct outcome *outcome, const char *piece, size_t count,
                       const char *body, size_t body_bytes) {
    TRIB_ASSERT(body_bytes == 0 || (body >= piece && body + body_bytes <= piece + count));
    TRIB_ASSERT(outcome->body_bytes + body_bytes <= BODY_BYTES_MAX);
}

static void feed(struct outcome *outcome, const uint8_t *data, size_t size, size_t step,
                 bool is_head_request) {
    trib_response_begin(&outcome->response, is_head_request);
    outcome->consumed = 0;
    outcome->body_bytes = 0;
    while (outcome->consumed < size) {
        size_t left = size - outcome->consumed;
        size_t count = left < step ? left : step;
        char *piece = (char *)fuzz_copy(data + outcome->consumed, count);
        const char *body;
        size_t body_bytes;
        bool is_over = outcome->response.state == TRIB_RESPONSE_DONE ||
                       outcome->response.state == TRIB_RESPONSE_BROKEN;
        size_t taken = trib_response_feed(&outcome->response, piece, count, &body, &body_bytes);
        TRIB_ASSERT(taken <= count);
        TRIB_ASSERT(!is_over || taken == 0);
        check_span(outcome, piece, count, body, body_bytes);
        if (body_bytes > 0) {
            memcpy(outcome->body + outcome->body_bytes, body, body_bytes);
        }
        outcome->body_bytes += body_bytes;
        outcome->consumed += taken;
        free(piece);
        if (taken == 0) {
            TRIB_ASSERT(outcome->response.state == TRIB_RESPONSE_DONE ||
                        outcome->response.state == TRIB_RESPONSE_BROKEN);
            break;
        }
    }
    if (outcome->response.state != TRIB_RESPONSE_DONE) {
        trib_response_closed(&outcome->response);
    }
    TRIB_ASSERT((outcome->response.state == TRIB_RESPONSE_BROKEN) ==
                (outcome->response.error != NULL));
}

static void check_same(const struct outcome *a, const struct outcome *b) {
    TRIB_ASSERT(a->response.state == b->response.state);
    TRIB_ASSERT(a->response.status == b->response.status);
    TRIB_ASSERT(a->response.keeps_alive == b->response.keeps_alive);
    TRIB_ASSERT(a->body_bytes == b->body_bytes);
    TRIB_ASSERT(memcmp(a->body, b->body, a->body_bytes) == 0);
    TRIB_ASSERT(a->response.state == TRIB_RESPONSE_BROKEN || a->consumed == b->consumed);
}

static void read_documents(const uint8_t *body, size_t size) {
    char *copy = (char *)fuzz_copy(body, size);
    char token[64];
    struct trib_heard_task task;
    struct trib_heard_error error;
    double number;
    if (trib_heard_task(copy, size, &task)) {
        TRIB_ASSERT(task.settings == NULL ||
                    trib_heard_is_object(task.settings, task.settings_bytes));
    }
    if (trib_heard_join(copy, size, token, sizeof token)) {
        TRIB_ASSERT(strlen(token) < sizeof token);
    }
    trib_heard_error(copy, size, &error);
    (void)trib_heard_number(copy, size, "lr", &number); /* only that it ends */
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct outcome whole;
    static struct outcome pieces;
    if (size == 0 || size > BODY_BYTES_MAX) {
        return 0;
    }
    bool is_head_request = (data[0] & 0x80) != 0;
    feed(&whole, data + 1, size - 1, size, is_head_request);
    feed(&pieces, data + 1, size - 1, (data[0] & 0x7f) + 1u, is_head_request);
    check_same(&whole, &pieces);
    read_documents(whole.body, whole.body_bytes);
    char value[16];
    (void)trib_response_field(&whole.response, "ETag", value, sizeof value); /* likewise */
    return 0;
}
