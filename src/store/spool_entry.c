/* spool_entry.c - an entry of the spool as bytes.
 *
 * u32 bytes of the record | record | small body.   Fields that a later version puts behind ours
 * in the record are skipped. */
#include "store/spool_entry.h"

#include <string.h>

#include "base/bytes.h"
#include "store/journal.h"

#define LENGTH_BYTES 4
#define BODY_NUMBER_MAX \
    UINT64_C(1000000000000000000) /* files called by larger ones are not found */

size_t trib_spool_entry_encode(const struct trib_spool_entry *entry,
                               unsigned char bytes[TRIB_SPOOL_ENTRY_BYTES_MAX]) {
    struct trib_writer writer;
    trib_writer_init(&writer, bytes + LENGTH_BYTES, TRIB_SPOOL_ENTRY_BYTES_MAX - LENGTH_BYTES);
    trib_put_u64(&writer, entry->base);
    trib_put_u64(&writer, entry->target);
    trib_put_u64(&writer, entry->staleness);
    trib_put_u64(&writer, entry->weight);
    trib_put_u64(&writer, entry->examples);
    trib_put_u64(&writer, entry->place.body_bytes);
    trib_put_u64(&writer, entry->place.body_number);
    trib_put_f64(&writer, entry->wall_s);
    trib_put_bytes(&writer, entry->digest.bytes, TRIB_DIGEST_BYTES);
    trib_put_text(&writer, entry->client);
    trib_put_text(&writer, entry->update);
    trib_put_text(&writer, entry->codec);
    trib_put_text(&writer, entry->metrics);
    trib_put_text(&writer, entry->reason);
    TRIB_ASSERT(!writer.is_failed);
    size_t record_bytes = writer.byte_count;
    trib_writer_init(&writer, bytes, LENGTH_BYTES);
    trib_put_u32(&writer, (uint32_t)record_bytes);
    return LENGTH_BYTES + record_bytes;
}

bool trib_spool_entry_decode(const void *payload, size_t payload_bytes, uint64_t offset,
                             struct trib_spool_entry *entry) {
    struct trib_reader outer;
    struct trib_reader reader;
    trib_reader_init(&outer, payload, payload_bytes);
    uint32_t record_bytes = trib_get_u32(&outer);
    const void *record = trib_get_bytes(&outer, record_bytes);
    if (!record)
        return false;
    trib_reader_init(&reader, record, record_bytes);
    entry->base = trib_get_u64(&reader);
    entry->target = trib_get_u64(&reader);
    entry->staleness = trib_get_u64(&reader);
    entry->weight = trib_get_u64(&reader);
    entry->examples = trib_get_u64(&reader);
    entry->place.body_bytes = trib_get_u64(&reader);
    entry->place.body_number = trib_get_u64(&reader);
    entry->wall_s = trib_get_f64(&reader);
    const void *digest = trib_get_bytes(&reader, TRIB_DIGEST_BYTES);
    trib_get_text(&reader, entry->client, sizeof entry->client);
    trib_get_text(&reader, entry->update, sizeof entry->update);
    trib_get_text(&reader, entry->codec, sizeof entry->codec);
    trib_get_text(&reader, entry->metrics, sizeof entry->metrics);
    trib_get_text(&reader, entry->reason, sizeof entry->reason);
    if (reader.is_failed || !trib_name_is_valid(entry->client, strlen(entry->client)) ||
        !trib_name_is_valid(entry->update, strlen(entry->update)))
        return false;
    memcpy(entry->digest.bytes, digest, TRIB_DIGEST_BYTES);
    if (entry->place.body_number >= BODY_NUMBER_MAX)
        return false;
    if (entry->place.body_number > 0) {
        entry->place.body_offset = 0;
        return outer.bytes_left == 0;
    }
    entry->place.body_offset = offset + TRIB_JOURNAL_HEAD_BYTES + LENGTH_BYTES + record_bytes;
    return outer.bytes_left == entry->place.body_bytes;
}

bool trib_spool_entry_is_kind(uint32_t kind) {
    return kind >= TRIB_SPOOL_UPDATE && kind <= TRIB_SPOOL_COMBINED;
}

static bool text_ends(const char *text, size_t room) {
    return memchr(text, '\0', room) != NULL;
}

bool trib_spool_entry_is_valid(const struct trib_spool_entry *entry) {
    return trib_spool_entry_is_kind(entry->kind) &&
           text_ends(entry->client, sizeof entry->client) &&
           text_ends(entry->update, sizeof entry->update) &&
           text_ends(entry->codec, sizeof entry->codec) &&
           text_ends(entry->metrics, sizeof entry->metrics) &&
           text_ends(entry->reason, sizeof entry->reason) &&
           trib_name_is_valid(entry->client, strlen(entry->client)) &&
           trib_name_is_valid(entry->update, strlen(entry->update));
}
