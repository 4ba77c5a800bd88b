/* journal_input.h - fuzz input as a journal file: raw, or with its checksums put right.
 *
 * The first byte says which: 0 leaves the rest as it is, anything else repairs magic, lengths and
 * checksums as far as the bytes go, so that a fuzzer reaches what lies behind them. */
#ifndef TRIB_FUZZ_JOURNAL_INPUT_H
#define TRIB_FUZZ_JOURNAL_INPUT_H

#include "fuzz/target.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "base/files.h"

enum { FUZZ_ABOUT_OFFSET = 24, FUZZ_SALT_OFFSET = 16, FUZZ_HEAD_BYTES = 32 };

static inline void fuzz_put_u32(uint8_t *bytes, uint32_t value) {
    struct trib_writer writer;
    trib_writer_init(&writer, bytes, 4);
    trib_put_u32(&writer, value);
}

/* Make the payload of one record right, if it has more than a checksum; NULL: nothing to do. */
typedef void fuzz_repair_payload(void *context, uint8_t *payload, size_t payload_bytes);

/* Repair a journal whose header has about_bytes bytes of its own. */
static inline void fuzz_repair_journal(uint8_t *bytes, size_t size, const char *magic,
                                       size_t about_bytes, void *context,
                                       fuzz_repair_payload *repair) {
    size_t offset = FUZZ_ABOUT_OFFSET + about_bytes + 4;
    if (size < offset) {
        return;
    }
    memcpy(bytes, magic, 8);
    fuzz_put_u32(bytes + 8, 1);
    fuzz_put_u32(bytes + 12, (uint32_t)about_bytes);
    fuzz_put_u32(bytes + offset - 4, trib_crc32(0, bytes, offset - 4));
    while (size - offset >= FUZZ_HEAD_BYTES) {
        uint8_t *head = bytes + offset;
        size_t bytes_left = size - offset - FUZZ_HEAD_BYTES;
        size_t payload_bytes = head[12] | (size_t)head[13] << 8;
        payload_bytes = payload_bytes < bytes_left ? payload_bytes : bytes_left;
        if (repair != NULL) {
            repair(context, head + FUZZ_HEAD_BYTES, payload_bytes);
        }
        memcpy(head, bytes + FUZZ_SALT_OFFSET, 8);
        fuzz_put_u32(head + 12, (uint32_t)payload_bytes);
        fuzz_put_u32(head + 16, (uint32_t)(FUZZ_ABOUT_OFFSET + about_bytes + 4));
        fuzz_put_u32(head + 20, 0);
        fuzz_put_u32(head + 24, trib_crc32(0, head + FUZZ_HEAD_BYTES, payload_bytes));
        fuzz_put_u32(head + 28, trib_crc32(0, head, 28));
        offset += FUZZ_HEAD_BYTES + payload_bytes;
    }
}

static inline void fuzz_put_file(const struct trib_files *files, const char *path,
                                 const uint8_t *bytes, size_t size) {
    TRIB_ASSERT(trib_files_publish(files, path, bytes, size) == TRIB_OK);
}

#endif
