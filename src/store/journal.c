/* journal.c - an append-only file of framed records.
 *
 * file    magic 8 | format u32 | about bytes u32 | salt u64 | about | CRC-32 of all before u32
 * record  salt u64 | kind u32 | payload bytes u32 | synced u64 | CRC-32 of payload u32 |
 *         CRC-32 of the 28 bytes before u32 | payload
 *
 * The first piece of a record, which begins with its head, is written last: a record whose writing
 * was cut short either runs past the end of the file or has a hole, and both look torn. */
#include "store/journal.h"

#include <string.h>

#include "base/bytes.h"
#include "base/digest.h"

#define FORMAT 1
#define MAGIC_BYTES 8
#define HEADER_FIXED_BYTES 24 /* up to the about bytes */
#define CRC_BYTES 4
#define HEAD_BYTES TRIB_JOURNAL_HEAD_BYTES
#define PIECE_BYTES (64u << 10)
#define STAGING_BYTES (2u * PIECE_BYTES)
#define SECTOR_BYTES 512u /* the smallest unit that a disk writes whole or not at all */

struct head {
    uint32_t kind;
    uint32_t payload_bytes;
    uint32_t payload_crc;
    uint64_t synced; /* the file was durable up to here when the record was written */
};

/* How far a walk came, and why it stopped. */
struct walk {
    uint64_t offset; /* end of the last good record */
    uint64_t index;  /* of the record that would follow */
    uint64_t proven; /* the last record says: synced up to here */
    enum { WALK_DONE, WALK_CUT, WALK_BAD } end;
    uint64_t suspect_bytes; /* WALK_BAD: length of the bytes at offset that are wrong */
};

/* A payload buffer that grows to the largest record. */
struct buffer {
    const struct trib_env *env;
    unsigned char *bytes;
    size_t byte_count;
};

enum trib_status trib_journal_create(const struct trib_env *env, const struct trib_files *files,
                                     const char *path, const char *magic, const void *about,
                                     size_t about_bytes) {
    TRIB_ASSERT(about_bytes <= TRIB_JOURNAL_ABOUT_BYTES_MAX);
    unsigned char header[HEADER_FIXED_BYTES + TRIB_JOURNAL_ABOUT_BYTES_MAX + CRC_BYTES];
    uint64_t salt;
    env->entropy(env->context, &salt, sizeof salt);

    struct trib_writer writer;
    trib_writer_init(&writer, header, sizeof header);
    trib_put_bytes(&writer, magic, MAGIC_BYTES);
    trib_put_u32(&writer, FORMAT);
    trib_put_u32(&writer, (uint32_t)about_bytes);
    trib_put_u64(&writer, salt);
    trib_put_bytes(&writer, about, about_bytes);
    trib_put_u32(&writer, trib_crc32(0, header, writer.byte_count));
    TRIB_ASSERT(!writer.is_failed);
    return trib_files_publish(files, path, header, writer.byte_count);
}

static enum trib_status read_header(struct trib_journal *journal, const char *magic,
                                    const char *path, struct trib_error *error) {
    unsigned char bytes[HEADER_FIXED_BYTES + TRIB_JOURNAL_ABOUT_BYTES_MAX + CRC_BYTES];
    size_t got = 0;
    enum trib_status status = journal->files->read_at(journal->files->context, journal->file, 0,
                                                      bytes, sizeof bytes, &got);
    if (status != TRIB_OK)
        return trib_error_set(error, status, "%s: read header: %s", path, trib_status_text(status));
    struct trib_reader reader;
    trib_reader_init(&reader, bytes, got);
    const void *found = trib_get_bytes(&reader, MAGIC_BYTES);
    if (!found || memcmp(found, magic, MAGIC_BYTES) != 0)
        return trib_error_set(error, TRIB_ECORRUPT, "%s: does not begin as it should", path);
    uint32_t format = trib_get_u32(&reader);
    uint32_t about_bytes = trib_get_u32(&reader);
    journal->salt = trib_get_u64(&reader);
    const void *about =
        about_bytes <= sizeof journal->about ? trib_get_bytes(&reader, about_bytes) : NULL;
    size_t checked_bytes = got - reader.bytes_left;
    uint32_t crc = trib_get_u32(&reader);
    if (!about || reader.is_failed || crc != trib_crc32(0, bytes, checked_bytes))
        return trib_error_set(error, TRIB_ECORRUPT, "%s: checksum of the header differs", path);
    if (format != FORMAT)
        return trib_error_set(error, TRIB_EUNSUPPORTED, "%s: format %u, this program knows %u",
                              path, (unsigned)format, FORMAT);
    memcpy(journal->about, about, about_bytes);
    journal->about_bytes = about_bytes;
    journal->header_bytes = checked_bytes + CRC_BYTES;
    journal->byte_count = journal->header_bytes;
    journal->synced_bytes = journal->header_bytes;
    return TRIB_OK;
}

enum trib_status trib_journal_open(struct trib_journal *journal, const struct trib_env *env,
                                   const struct trib_files *files, const char *path,
                                   const char *magic, struct trib_error *error) {
    *journal = (struct trib_journal){.env = env, .files = files};
    /* Opened for reading first, because opening for writing would make a missing file. */
    enum trib_status status = files->open(files->context, path, TRIB_FILE_READ, &journal->file);
    if (status == TRIB_OK) {
        files->close(files->context, journal->file);
        journal->file = NULL;
        status = files->open(files->context, path, TRIB_FILE_WRITE, &journal->file);
    }
    if (status != TRIB_OK)
        trib_error_set(error, status, "open %s: %s", path, trib_status_text(status));
    else
        status = read_header(journal, magic, path, error);
    if (status != TRIB_OK)
        trib_journal_close(journal);
    return status;
}

void trib_journal_close(struct trib_journal *journal) {
    if (journal->file)
        journal->files->close(journal->files->context, journal->file);
    if (journal->staging)
        trib_release(journal->env, journal->staging, STAGING_BYTES, 1);
    *journal = (struct trib_journal){0};
}

static void encode_head(unsigned char bytes[HEAD_BYTES], uint64_t salt, const struct head *head) {
    struct trib_writer writer;
    trib_writer_init(&writer, bytes, HEAD_BYTES);
    trib_put_u64(&writer, salt);
    trib_put_u32(&writer, head->kind);
    trib_put_u32(&writer, head->payload_bytes);
    trib_put_u64(&writer, head->synced);
    trib_put_u32(&writer, head->payload_crc);
    trib_put_u32(&writer, trib_crc32(0, bytes, HEAD_BYTES - CRC_BYTES));
    TRIB_ASSERT(!writer.is_failed && writer.byte_count == HEAD_BYTES);
}

static bool decode_head(const unsigned char bytes[HEAD_BYTES], uint64_t salt, struct head *head) {
    struct trib_reader reader;
    trib_reader_init(&reader, bytes, HEAD_BYTES);
    if (trib_get_u64(&reader) != salt) /* the quick answer for all but a few in find_proof */
        return false;
    head->kind = trib_get_u32(&reader);
    head->payload_bytes = trib_get_u32(&reader);
    head->synced = trib_get_u64(&reader);
    head->payload_crc = trib_get_u32(&reader);
    uint32_t crc = trib_get_u32(&reader);
    return crc == trib_crc32(0, bytes, HEAD_BYTES - CRC_BYTES) &&
           head->payload_bytes <= TRIB_JOURNAL_RECORD_BYTES_MAX;
}

static bool reserve(struct buffer *buffer, size_t byte_count) {
    if (byte_count <= buffer->byte_count)
        return true;
    if (buffer->bytes)
        trib_release(buffer->env, buffer->bytes, buffer->byte_count, 1);
    size_t rounded = PIECE_BYTES;
    while (rounded < byte_count)
        rounded *= 2;
    buffer->bytes = trib_allocate(buffer->env, rounded, 1);
    buffer->byte_count = buffer->bytes ? rounded : 0;
    return buffer->bytes != NULL;
}

/* Visit records from walk->offset until end_bytes or until one is not good. */
static enum trib_status walk_records(const struct trib_journal *journal, uint64_t end_bytes,
                                     struct walk *walk, struct buffer *buffer, void *context,
                                     trib_journal_visit *visit) {
    while (walk->offset < end_bytes) {
        uint64_t bytes_left = end_bytes - walk->offset;
        unsigned char bytes[HEAD_BYTES];
        struct head head;
        walk->end = WALK_CUT;
        if (bytes_left < HEAD_BYTES)
            return TRIB_OK;
        enum trib_status status = trib_journal_read(journal, walk->offset, bytes, HEAD_BYTES);
        if (status != TRIB_OK)
            return status;
        walk->suspect_bytes = HEAD_BYTES;
        walk->end = WALK_BAD;
        if (!decode_head(bytes, journal->salt, &head) || head.synced > walk->offset ||
            head.synced < walk->proven)
            return TRIB_OK;
        walk->end = WALK_CUT;
        if (bytes_left - HEAD_BYTES < head.payload_bytes)
            return TRIB_OK;
        if (!reserve(buffer, head.payload_bytes))
            return TRIB_EMEMORY;
        status = trib_journal_read(journal, walk->offset + HEAD_BYTES, buffer->bytes,
                                   head.payload_bytes);
        if (status != TRIB_OK)
            return status;
        walk->suspect_bytes = HEAD_BYTES + (uint64_t)head.payload_bytes;
        walk->end = WALK_BAD;
        if (trib_crc32(0, buffer->bytes, head.payload_bytes) != head.payload_crc)
            return TRIB_OK;
        status = visit(context, head.kind, walk->offset, buffer->bytes, head.payload_bytes);
        if (status != TRIB_OK)
            return status;
        walk->offset += walk->suspect_bytes;
        walk->index++;
        walk->proven = head.synced;
    }
    walk->end = WALK_DONE;
    return TRIB_OK;
}

/* Is there a record after `offset` that was written when `offset` was already synced? */
static enum trib_status find_proof(const struct trib_journal *journal, uint64_t offset,
                                   uint64_t file_bytes, unsigned char *piece, bool *is_proven) {
    *is_proven = false;
    for (uint64_t from = offset + 1; from + HEAD_BYTES <= file_bytes;) {
        uint64_t bytes_left = file_bytes - from;
        size_t count = bytes_left < PIECE_BYTES ? (size_t)bytes_left : PIECE_BYTES;
        enum trib_status status = trib_journal_read(journal, from, piece, count);
        if (status != TRIB_OK)
            return status;
        for (size_t index = 0; index + HEAD_BYTES <= count; index++) {
            struct head head;
            if (decode_head(piece + index, journal->salt, &head) && head.synced > offset) {
                *is_proven = true;
                return TRIB_OK;
            }
        }
        from += count - (HEAD_BYTES - 1); /* a head may straddle two pieces */
    }
    return TRIB_OK;
}

/* Is offset .. offset + count all zero within one of the sectors that it touches? */
static enum trib_status find_hole(const struct trib_journal *journal, uint64_t offset,
                                  uint64_t count, bool *has_hole) {
    static const unsigned char zeros[SECTOR_BYTES];
    const uint64_t end = offset + count;
    *has_hole = false;
    while (offset < end && !*has_hole) {
        unsigned char sector[SECTOR_BYTES];
        uint64_t sector_end = (offset / SECTOR_BYTES + 1) * SECTOR_BYTES;
        size_t part = (size_t)((sector_end < end ? sector_end : end) - offset);
        enum trib_status status = trib_journal_read(journal, offset, sector, part);
        if (status != TRIB_OK)
            return status;
        *has_hole = memcmp(sector, zeros, part) == 0;
        offset += part;
    }
    return TRIB_OK;
}

/* May what the walk stumbled over be the torn tail of a crash? journal.h says when. */
static enum trib_status judge_tail(const struct trib_journal *journal, const struct walk *walk,
                                   uint64_t file_bytes, struct buffer *buffer, bool *is_torn) {
    bool is_proven;
    bool has_hole = false;
    *is_torn = false;
    if (!reserve(buffer, PIECE_BYTES))
        return TRIB_EMEMORY;
    enum trib_status status =
        find_proof(journal, walk->offset, file_bytes, buffer->bytes, &is_proven);
    if (status != TRIB_OK || is_proven)
        return status;
    if (walk->end == WALK_BAD)
        status = find_hole(journal, walk->offset, walk->suspect_bytes, &has_hole);
    *is_torn = walk->end == WALK_CUT || has_hole;
    return status;
}

static enum trib_status say_corrupt(struct trib_error *error, const struct walk *walk) {
    return trib_error_set(error, TRIB_ECORRUPT, "record %llu at offset %llu is damaged",
                          (unsigned long long)walk->index, (unsigned long long)walk->offset);
}

static enum trib_status scan(struct trib_journal *journal, uint64_t end_bytes,
                             struct buffer *buffer, struct trib_error *error, void *context,
                             trib_journal_visit *visit) {
    const bool is_tail_allowed = end_bytes == TRIB_JOURNAL_UNLIMITED;
    struct walk walk = {.offset = journal->header_bytes, .proven = journal->header_bytes};
    uint64_t file_bytes;
    enum trib_status status =
        journal->files->size(journal->files->context, journal->file, &file_bytes);
    if (status != TRIB_OK)
        return status;
    if (is_tail_allowed)
        end_bytes = file_bytes;
    if (file_bytes < end_bytes || end_bytes < journal->header_bytes)
        return trib_error_set(error, TRIB_ECORRUPT, "has %llu bytes, must have %llu",
                              (unsigned long long)file_bytes, (unsigned long long)end_bytes);
    status = walk_records(journal, end_bytes, &walk, buffer, context, visit);
    if (status != TRIB_OK)
        return status;
    if (walk.end != WALK_DONE) {
        bool is_torn = false;
        if (is_tail_allowed)
            status = judge_tail(journal, &walk, file_bytes, buffer, &is_torn);
        if (status != TRIB_OK)
            return status;
        if (!is_torn)
            return say_corrupt(error, &walk);
    }
    journal->byte_count = walk.offset;
    journal->synced_bytes = is_tail_allowed ? walk.proven : walk.offset;
    journal->torn_bytes = file_bytes - walk.offset;
    return TRIB_OK;
}

enum trib_status trib_journal_scan(struct trib_journal *journal, uint64_t end_bytes,
                                   struct trib_error *error, void *context,
                                   trib_journal_visit *visit) {
    struct buffer buffer = {.env = journal->env};
    struct trib_error reason = {.status = TRIB_OK};
    if (error)
        error->status = TRIB_OK;
    enum trib_status status = scan(journal, end_bytes, &buffer, &reason, context, visit);
    if (reason.status != TRIB_OK)
        trib_error_set(error, status, "%s", reason.text);
    else if (status != TRIB_OK && error && error->status == TRIB_OK) /* nor did the visitor say */
        trib_error_set(error, status, "%s", trib_status_text(status));
    if (buffer.bytes)
        trib_release(buffer.env, buffer.bytes, buffer.byte_count, 1);
    return status;
}

/* Write bytes from..to of the file over themselves, so that the next sync includes them. */
static enum trib_status write_again(struct trib_journal *journal, uint64_t from, uint64_t to) {
    const struct trib_files *files = journal->files;
    enum trib_status status = TRIB_OK;
    while (from < to && status == TRIB_OK) {
        size_t count = to - from < STAGING_BYTES ? (size_t)(to - from) : STAGING_BYTES;
        status = trib_journal_read(journal, from, journal->staging, count);
        if (status == TRIB_OK)
            status = files->write_at(files->context, journal->file, from, journal->staging, count);
        from += count;
    }
    return status;
}

enum trib_status trib_journal_settle(struct trib_journal *journal) {
    const struct trib_files *files = journal->files;
    if (!journal->staging) {
        journal->staging = trib_allocate(journal->env, STAGING_BYTES, 1);
        if (!journal->staging)
            return TRIB_EMEMORY;
    }
    if (journal->torn_bytes == 0 && journal->synced_bytes == journal->byte_count)
        return TRIB_OK;
    enum trib_status status = TRIB_OK;
    if (journal->torn_bytes > 0)
        status = files->truncate(files->context, journal->file, journal->byte_count);
    if (status == TRIB_OK)
        status = write_again(journal, journal->synced_bytes, journal->byte_count);
    if (status == TRIB_OK)
        status = files->sync(files->context, journal->file);
    if (status == TRIB_OK)
        journal->synced_bytes = journal->byte_count;
    else
        journal->is_broken = true;
    return status;
}

static enum trib_status write_piece(struct trib_journal *journal, uint64_t record_offset,
                                    const unsigned char *bytes, size_t count) {
    enum trib_status status = journal->files->write_at(
        journal->files->context, journal->file, journal->byte_count + record_offset, bytes, count);
    if (status != TRIB_OK)
        trib_journal_break(journal);
    return status;
}

enum trib_status trib_journal_begin(struct trib_journal *journal, uint32_t kind) {
    TRIB_ASSERT(journal->staging != NULL);
    TRIB_ASSERT(journal->record_bytes == 0);
    if (journal->is_broken)
        return TRIB_EIO;
    journal->kind = kind;
    journal->payload_crc = 0;
    journal->record_bytes = HEAD_BYTES; /* filled in by end */
    return TRIB_OK;
}

/* The first PIECE_BYTES of the record stay in the first half of staging until the end; the rest
 * passes through the second half. */
enum trib_status trib_journal_add(struct trib_journal *journal, const void *bytes, size_t count) {
    TRIB_ASSERT(journal->record_bytes >= HEAD_BYTES);
    TRIB_ASSERT(count <= TRIB_JOURNAL_RECORD_BYTES_MAX + HEAD_BYTES - journal->record_bytes);
    const unsigned char *next = bytes;
    journal->payload_crc = trib_crc32(journal->payload_crc, bytes, count);
    while (count > 0) {
        bool is_first = journal->record_bytes < PIECE_BYTES;
        size_t used = (size_t)(journal->record_bytes % PIECE_BYTES);
        size_t part = count < PIECE_BYTES - used ? count : PIECE_BYTES - used;
        memcpy(journal->staging + (is_first ? 0 : PIECE_BYTES) + used, next, part);
        journal->record_bytes += part;
        next += part;
        count -= part;
        if (!is_first && used + part == PIECE_BYTES) {
            enum trib_status status = write_piece(journal, journal->record_bytes - PIECE_BYTES,
                                                  journal->staging + PIECE_BYTES, PIECE_BYTES);
            if (status != TRIB_OK)
                return status;
        }
    }
    return TRIB_OK;
}

enum trib_status trib_journal_end(struct trib_journal *journal, uint64_t *offset) {
    TRIB_ASSERT(journal->record_bytes >= HEAD_BYTES);
    const uint64_t record_bytes = journal->record_bytes;
    const struct head head = {
        .kind = journal->kind,
        .payload_bytes = (uint32_t)(record_bytes - HEAD_BYTES),
        .payload_crc = journal->payload_crc,
        .synced = journal->synced_bytes,
    };
    encode_head(journal->staging, journal->salt, &head);

    size_t rest = record_bytes > PIECE_BYTES ? (size_t)(record_bytes % PIECE_BYTES) : 0;
    enum trib_status status = TRIB_OK;
    if (rest > 0)
        status = write_piece(journal, record_bytes - rest, journal->staging + PIECE_BYTES, rest);
    size_t first = record_bytes < PIECE_BYTES ? (size_t)record_bytes : PIECE_BYTES;
    if (status == TRIB_OK)
        status = write_piece(journal, 0, journal->staging, first);
    if (status != TRIB_OK)
        return status;
    *offset = journal->byte_count;
    journal->byte_count += record_bytes;
    journal->record_bytes = 0;
    return TRIB_OK;
}

enum trib_status trib_journal_sync(struct trib_journal *journal) {
    TRIB_ASSERT(journal->record_bytes == 0);
    if (journal->is_broken)
        return TRIB_EIO;
    if (journal->synced_bytes == journal->byte_count)
        return TRIB_OK;
    enum trib_status status = journal->files->sync(journal->files->context, journal->file);
    if (status == TRIB_OK)
        journal->synced_bytes = journal->byte_count;
    else
        journal->is_broken = true;
    return status;
}

void trib_journal_break(struct trib_journal *journal) {
    journal->is_broken = true;
    journal->record_bytes = 0;
}

enum trib_status trib_journal_walk(const struct trib_journal *journal, uint64_t first_offset,
                                   uint64_t end_bytes, struct trib_error *error, void *context,
                                   trib_journal_visit *visit) {
    struct buffer buffer = {.env = journal->env};
    struct walk walk = {.offset = first_offset, .proven = journal->header_bytes};
    enum trib_status status = walk_records(journal, end_bytes, &walk, &buffer, context, visit);
    if (buffer.bytes)
        trib_release(buffer.env, buffer.bytes, buffer.byte_count, 1);
    if (status == TRIB_OK && walk.end != WALK_DONE)
        return trib_error_set(error, TRIB_ECORRUPT, "the record at offset %llu is damaged",
                              (unsigned long long)walk.offset);
    return status;
}

enum trib_status trib_journal_read(const struct trib_journal *journal, uint64_t offset, void *bytes,
                                   size_t count) {
    size_t done = 0;
    enum trib_status status = journal->files->read_at(journal->files->context, journal->file,
                                                      offset, bytes, count, &done);
    return status == TRIB_OK && done < count ? TRIB_EIO : status;
}
