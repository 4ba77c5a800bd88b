/* bytes.h - little-endian readers and writers over a byte range; they fail once and stay failed.
 *
 * After a failure every get returns 0 and every put does nothing; look at is_failed once. */
#ifndef TRIB_BASE_BYTES_H
#define TRIB_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trib_reader {
    const unsigned char *next; /* read-only */
    size_t bytes_left;         /* read-only */
    bool is_failed;            /* read-only */
};

struct trib_writer {
    unsigned char *start; /* private */
    size_t byte_count;    /* read-only: written so far */
    size_t bytes_max;     /* private */
    bool is_failed;       /* read-only: did not fit */
};

void trib_reader_init(struct trib_reader *reader, const void *bytes, size_t byte_count);
uint8_t trib_get_u8(struct trib_reader *reader);
uint16_t trib_get_u16(struct trib_reader *reader);
uint32_t trib_get_u32(struct trib_reader *reader);
uint64_t trib_get_u64(struct trib_reader *reader);
double trib_get_f64(struct trib_reader *reader);
/* Borrowed view of the next count bytes; NULL when they are not there. */
const void *trib_get_bytes(struct trib_reader *reader, size_t count);
/* u16 length, then that many bytes, copied and NUL-terminated into text[text_max]; fails when it
 * does not fit or holds a NUL. */
void trib_get_text(struct trib_reader *reader, char *text, size_t text_max);

void trib_writer_init(struct trib_writer *writer, void *bytes, size_t bytes_max);
void trib_put_u8(struct trib_writer *writer, uint8_t value);
void trib_put_u16(struct trib_writer *writer, uint16_t value);
void trib_put_u32(struct trib_writer *writer, uint32_t value);
void trib_put_u64(struct trib_writer *writer, uint64_t value);
void trib_put_f64(struct trib_writer *writer, double value);
void trib_put_bytes(struct trib_writer *writer, const void *bytes, size_t count);
void trib_put_text(struct trib_writer *writer, const char *text); /* as trib_get_text reads */

#endif
