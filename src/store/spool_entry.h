/* spool_entry.h - an entry of the spool as bytes; pure. Layout: docs/state.md. */
#ifndef TRIB_STORE_SPOOL_ENTRY_H
#define TRIB_STORE_SPOOL_ENTRY_H

#include "store/spool.h"

#define TRIB_SPOOL_ENTRY_BYTES_MAX 2048u /* of everything but the small body */

/* One of trib_spool_kind. */
bool trib_spool_entry_is_kind(uint32_t kind);
/* Kind and texts are allowed and end, names are names. */
bool trib_spool_entry_is_valid(const struct trib_spool_entry *entry);

/* Write a valid entry (place.body_bytes and place.body_number set); returns how many bytes. A
 * small body follows them. */
size_t trib_spool_entry_encode(const struct trib_spool_entry *entry,
                               unsigned char bytes[TRIB_SPOOL_ENTRY_BYTES_MAX]);

/* Read the payload of the journal record at `offset` back, all but kind, place.segment and
 * place.offset. False: it makes no sense (*entry is then undefined). */
bool trib_spool_entry_decode(const void *payload, size_t payload_bytes, uint64_t offset,
                             struct trib_spool_entry *entry);

#endif
