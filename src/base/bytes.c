/* bytes.c - shifts instead of casts, so neither alignment nor the host's byte order matters. */
#include "base/bytes.h"

#include <string.h>

#include "base/status.h"

void trib_reader_init(struct trib_reader *reader, const void *bytes, size_t byte_count) {
    *reader = (struct trib_reader){.next = bytes, .bytes_left = byte_count};
}

const void *trib_get_bytes(struct trib_reader *reader, size_t count) {
    if (reader->is_failed || count > reader->bytes_left) {
        reader->is_failed = true;
        return NULL;
    }
    const unsigned char *bytes = reader->next;
    /* An empty range may be NULL, and NULL + 0 is not defined in C. */
    if (count > 0)
        reader->next += count;
    reader->bytes_left -= count;
    return bytes;
}

static uint64_t get_unsigned(struct trib_reader *reader, size_t count) {
    const unsigned char *bytes = trib_get_bytes(reader, count);
    uint64_t value = 0;
    if (bytes) {
        for (size_t index = 0; index < count; index++)
            value |= (uint64_t)bytes[index] << (8 * index);
    }
    return value;
}

uint8_t trib_get_u8(struct trib_reader *reader) {
    return (uint8_t)get_unsigned(reader, 1);
}

uint16_t trib_get_u16(struct trib_reader *reader) {
    return (uint16_t)get_unsigned(reader, 2);
}

uint32_t trib_get_u32(struct trib_reader *reader) {
    return (uint32_t)get_unsigned(reader, 4);
}

uint64_t trib_get_u64(struct trib_reader *reader) {
    return get_unsigned(reader, 8);
}

double trib_get_f64(struct trib_reader *reader) {
    uint64_t bits = get_unsigned(reader, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void trib_get_text(struct trib_reader *reader, char *text, size_t text_max) {
    TRIB_ASSERT(text_max > 0);
    text[0] = '\0';
    size_t count = trib_get_u16(reader);
    const void *bytes = trib_get_bytes(reader, count);
    if (reader->is_failed)
        return;
    if (count >= text_max || (count > 0 && memchr(bytes, '\0', count))) {
        reader->is_failed = true;
        return;
    }
    if (count > 0)
        memcpy(text, bytes, count);
    text[count] = '\0';
}

void trib_writer_init(struct trib_writer *writer, void *bytes, size_t bytes_max) {
    *writer = (struct trib_writer){.start = bytes, .bytes_max = bytes_max};
}

void trib_put_bytes(struct trib_writer *writer, const void *bytes, size_t count) {
    if (writer->is_failed || count > writer->bytes_max - writer->byte_count) {
        writer->is_failed = true;
        return;
    }
    if (count > 0)
        memcpy(writer->start + writer->byte_count, bytes, count);
    writer->byte_count += count;
}

static void put_unsigned(struct trib_writer *writer, uint64_t value, size_t count) {
    unsigned char bytes[8];
    for (size_t index = 0; index < count; index++)
        bytes[index] = (unsigned char)(value >> (8 * index));
    trib_put_bytes(writer, bytes, count);
}

void trib_put_u8(struct trib_writer *writer, uint8_t value) {
    put_unsigned(writer, value, 1);
}

void trib_put_u16(struct trib_writer *writer, uint16_t value) {
    put_unsigned(writer, value, 2);
}

void trib_put_u32(struct trib_writer *writer, uint32_t value) {
    put_unsigned(writer, value, 4);
}

void trib_put_u64(struct trib_writer *writer, uint64_t value) {
    put_unsigned(writer, value, 8);
}

void trib_put_f64(struct trib_writer *writer, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_unsigned(writer, bits, 8);
}

void trib_put_text(struct trib_writer *writer, const char *text) {
    size_t count = strlen(text);
    if (count > UINT16_MAX) {
        writer->is_failed = true;
        return;
    }
    trib_put_u16(writer, (uint16_t)count);
    trib_put_bytes(writer, text, count);
}
