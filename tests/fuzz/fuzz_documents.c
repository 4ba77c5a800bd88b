/* fuzz_documents.c - a kind (first byte) and the body of a request of that kind.
 *
 * Rules: what was read is written as a document that reads back to the same document; a refusal
 * has words. For the head of an update: both sources from the same texts agree. */
#include "fuzz/target.h"

#include "wire/documents.h"

typedef json_t *fuzz_read(const char *bytes, size_t byte_count, struct trib_error *error);

static json_t *read_join(const char *bytes, size_t byte_count, struct trib_error *error) {
    struct trib_join join;
    return trib_join_decode(bytes, byte_count, &join, error) == TRIB_OK ? trib_join_document(&join)
                                                                        : NULL;
}

static json_t *read_decline(const char *bytes, size_t byte_count, struct trib_error *error) {
    struct trib_decline decline;
    return trib_decline_decode(bytes, byte_count, &decline, error) == TRIB_OK
               ? trib_decline_document(&decline)
               : NULL;
}

static json_t *read_evaluation(const char *bytes, size_t byte_count, struct trib_error *error) {
    struct trib_evaluation evaluation;
    return trib_evaluation_decode(bytes, byte_count, &evaluation, error) == TRIB_OK
               ? trib_evaluation_document(&evaluation)
               : NULL;
}

static void check_document(fuzz_read *read, const char *bytes, size_t byte_count) {
    struct trib_error error = {0};
    json_t *document = read(bytes, byte_count, &error);
    TRIB_ASSERT((document == NULL) == (error.status != TRIB_OK));
    TRIB_ASSERT(document != NULL || error.text[0] != '\0');
    if (document != NULL) {
        struct trib_text text;
        trib_text_init(&text, trib_env_system());
        trib_document_write(&text, document);
        TRIB_ASSERT(!text.is_failed);
        json_t *again = read(text.bytes, text.byte_count, &error);
        TRIB_ASSERT(again != NULL && json_equal(document, again));
        json_decref(again);
        trib_text_deinit(&text);
    } else {
        /* The refusal may quote the input, and must still be a document. */
        json_t *refusal = trib_error_document(trib_status_code(error.status), error.text, bytes);
        TRIB_ASSERT(refusal != NULL);
        json_decref(refusal);
    }
    json_decref(document);
}

/* Up to four lines: base, examples, codec, metrics; an empty line is an absent field. */
static void check_update_head(char *lines) {
    const char *texts[4] = {NULL};
    for (size_t index = 0; index < 4 && lines != NULL; index++) {
        char *end = strchr(lines, '\n');
        if (end != NULL) {
            *end++ = '\0';
        }
        texts[index] = lines[0] != '\0' ? lines : NULL;
        lines = end;
    }
    const struct trib_update_texts source = {texts[0], texts[1], texts[2], texts[3]};
    struct trib_update_head head;
    struct trib_error error = {0};
    if (trib_update_head_decode(&source, &head, &error) != TRIB_OK) {
        TRIB_ASSERT(error.text[0] != '\0');
        return;
    }
    struct trib_update_head joined;
    const enum trib_status status = trib_update_head_join(&head, &head, &joined, &error);
    TRIB_ASSERT((status == TRIB_OK) == (head.has_base && head.has_examples));
    TRIB_ASSERT(status != TRIB_OK || (joined.base == head.base && joined.codec[0] != '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    char *copy = malloc(size); /* all but the first byte, and a NUL */
    TRIB_ASSERT(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    copy[size - 1] = '\0';
    switch (data[0] % 4) {
    case 0:
        check_document(read_join, copy, size - 1);
        break;
    case 1:
        check_document(read_decline, copy, size - 1);
        break;
    case 2:
        check_document(read_evaluation, copy, size - 1);
        break;
    default:
        check_update_head(copy);
        break;
    }
    free(copy);
    return 0;
}
