/* parts.c - a list of updates in parts per run: short, and looked at once per part. */
#include "node/parts.h"

#include "node/daemon.h"

#include <inttypes.h>
#include <string.h>

#define PATIENCE (3600 * TRIB_SECOND)
#define ALIGNMENT 64

static struct trib_parts *find(const struct trib_hosted *hosted, const char *client,
                               const char *id) {
    for (struct trib_parts *parts = hosted->parts; parts != NULL; parts = parts->next) {
        if (strcmp(parts->client, client) == 0 && (id == NULL || strcmp(parts->id, id) == 0)) {
            return parts;
        }
    }
    return NULL;
}

/* Its file has gone elsewhere, or goes with it. */
static void drop(struct trib_parts *parts) {
    struct trib_hosted *hosted = parts->hosted;
    TRIB_ASSERT(parts->arriving == NULL);
    struct trib_parts **link = &hosted->parts;
    while (*link != parts) {
        link = &(*link)->next;
    }
    *link = parts->next;
    hosted->parts_count--;
    trib_spool_body_abandon(parts->file);
    trib_release(hosted->node->env, parts, 1, sizeof *parts);
}

void trib_parts_expire(struct trib_hosted *hosted) {
    trib_time_ns now = trib_node_now(hosted->node);
    struct trib_parts *next = NULL;
    for (struct trib_parts *parts = hosted->parts; parts != NULL; parts = next) {
        next = parts->next;
        if (parts->arriving == NULL && now - parts->touched_at >= PATIENCE) {
            drop(parts);
        }
    }
}

void trib_parts_drop_all(struct trib_hosted *hosted) {
    while (hosted->parts != NULL) {
        drop(hosted->parts);
    }
}

/* --- documents ---------------------------------------------------------------------------------- */

static json_t *held_document(const struct trib_parts *parts) {
    json_t *held = json_array();
    for (size_t i = 0; i < parts->held.count; i++) {
        const struct trib_bytes_range *range = &parts->held.items[i];
        (void)json_array_append_new(
            held, json_pack("[I, I]", (json_int_t)range->first, (json_int_t)range->end - 1));
    }
    return held;
}

static json_t *document_of(const struct trib_parts *parts) {
    const struct trib_bytes_range *start = &parts->held.items[0];
    const bool has_start = parts->held.count > 0 && start->first == 0;
    return json_pack("{s:s, s:s, s:I, s:I, s:o}", "update", parts->id, "fate", "receiving", "bytes",
                     (json_int_t)parts->total, "next", (json_int_t)(has_start ? start->end : 0),
                     "held", held_document(parts));
}

bool trib_parts_are_held(const struct trib_hosted *hosted, const char *client, const char *id) {
    return find(hosted, client, id) != NULL;
}

json_t *trib_parts_document(const struct trib_hosted *hosted, const char *client, const char *id) {
    return document_of(find(hosted, client, id));
}

static void refuse_overlap(struct trib_call *call, const struct trib_parts *parts,
                           const char *what) {
    json_t *document = trib_error_document("conflict", what, NULL);
    (void)json_object_set_new(document, "bytes", json_integer((json_int_t)parts->total));
    (void)json_object_set_new(document, "held", held_document(parts));
    trib_call_refuse_document(call, "conflict", what, document);
}

/* --- the first part ------------------------------------------------------------------------------- */

/* NULL: refused. */
static struct trib_parts *begin(struct trib_call *call) {
    struct trib_hosted *hosted = call->hosted;
    struct trib_parts *other = find(hosted, call->token.subject, NULL);
    if (other != NULL && other->arriving != NULL) {
        trib_call_refuse(call, "busy", "parts of update %s are still arriving", other->id);
        return NULL;
    }
    if (other != NULL) {
        drop(other);
    }
    if (hosted->parts_count == TRIB_PARTS_MAX) {
        trib_call_refuse(call, "busy", "%d updates of this run arrive in parts; try again",
                         TRIB_PARTS_MAX);
        return NULL;
    }
    struct trib_parts *parts = trib_allocate(hosted->node->env, 1, sizeof *parts);
    struct trib_error error = {0};
    if (parts == NULL) {
        trib_call_refuse(call, "busy", "no memory for an update in parts; try again");
        return NULL;
    }
    if (trib_upload_begin_file(hosted, call->part.total, &parts->file, &error) != TRIB_OK) {
        trib_release(hosted->node->env, parts, 1, sizeof *parts);
        trib_call_refuse_error(call, &error);
        return NULL;
    }
    parts->hosted = hosted;
    memcpy(parts->client, call->token.subject, sizeof parts->client);
    memcpy(parts->id, call->target.id, sizeof parts->id);
    parts->total = call->part.total;
    parts->next = hosted->parts;
    hosted->parts = parts;
    hosted->parts_count++;
    return parts;
}

/* --- each part ------------------------------------------------------------------------------------ */

/* A client that comes again with bytes that still arrive has lost its connection and knows it
 * before we do. */
static bool cuts_off_another(const struct trib_parts *parts, uint64_t first, uint64_t end) {
    bool is_cutting = false;
    for (struct trib_upload *u = parts->arriving; u != NULL; u = u->next_part) {
        if (first < u->part_end && u->part_first < end) {
            is_cutting = true;
            if (!u->is_orphan) {
                trib_exchange_abort(u->call->exchange);
            }
        }
    }
    return is_cutting;
}

static bool fits(struct trib_call *call, const struct trib_parts *parts, uint64_t first,
                 uint64_t end) {
    if (parts->total != call->part.total) {
        trib_call_refuse(call, "conflict",
                         "Content-Range: the body has %" PRIu64 " bytes here, and %" PRIu64
                         " in the parts before",
                         call->part.total, parts->total);
    } else if (trib_ranges_overlap(&parts->held, first, end)) {
        refuse_overlap(call, parts, "Content-Range: some of these bytes are held already");
    } else if (cuts_off_another(parts, first, end)) {
        trib_call_refuse(call, "busy",
                         "some of these bytes are arriving on another connection, which is being "
                         "closed; ask what is held, and try again");
    } else if (parts->held.count + parts->arriving_count >= TRIB_RANGES_MAX) {
        refuse_overlap(call, parts, "Content-Range: fill gaps first; 64 ranges are held");
    } else {
        return true;
    }
    return false;
}

bool trib_parts_join(struct trib_call *call, struct trib_upload *upload) {
    const uint64_t first = call->part.first, end = call->part.last + 1;
    struct trib_parts *parts = find(call->hosted, call->token.subject, call->target.id);
    if (parts == NULL ? (parts = begin(call)) == NULL : !fits(call, parts, first, end)) {
        return false;
    }
    upload->parts = parts;
    upload->part_first = upload->part_at = first;
    upload->part_end = end;
    upload->next_part = parts->arriving;
    parts->arriving = upload;
    parts->arriving_count++;
    parts->touched_at = trib_node_now(call->node);
    return true;
}

enum trib_status trib_parts_write(struct trib_upload *upload, const void *bytes, size_t count) {
    enum trib_status status =
        trib_spool_body_write(upload->parts->file, upload->part_at, bytes, count);
    if (status == TRIB_OK) {
        upload->part_at += count;
    }
    return status;
}

/* What has come of a part. One that was cut off ends at a multiple of 64, so that whoever makes the
 * body from arrays of numbers can go on with a whole one. */
static uint64_t end_of(const struct trib_upload *upload) {
    uint64_t whole = upload->part_at / ALIGNMENT * ALIGNMENT;
    if (upload->part_at == upload->part_end) {
        return upload->part_end;
    }
    return whole > upload->part_first ? whole : upload->part_first;
}

void trib_parts_leave(struct trib_upload *upload) {
    struct trib_parts *parts = upload->parts;
    if (parts == NULL) {
        return;
    }
    struct trib_upload **link = &parts->arriving;
    while (*link != upload) {
        link = &(*link)->next_part;
    }
    *link = upload->next_part;
    parts->arriving_count--;
    trib_ranges_add(&parts->held, upload->part_first, end_of(upload));
    parts->touched_at = trib_node_now(parts->hosted->node);
    upload->parts = NULL;
}

bool trib_parts_finish(struct trib_upload *upload) {
    struct trib_parts *parts = upload->parts;
    struct trib_call *call = upload->call;
    const uint64_t missing = upload->part_end - upload->part_at;
    trib_parts_leave(upload);
    if (upload->status != TRIB_OK) {
        trib_call_refuse_error(call, &upload->error);
        return false;
    }
    if (missing > 0) {
        trib_call_refuse(call, "header",
                         "Content-Range: %" PRIu64 " bytes fewer have come than it says", missing);
        return false;
    }
    if (!trib_ranges_hold(&parts->held, parts->total)) {
        trib_call_reply(call, 202, document_of(parts));
        return false;
    }
    upload->byte_count = upload->length = parts->total;
    upload->file = parts->file;
    trib_spool_body_fill(upload->file);
    parts->file = NULL;
    drop(parts);
    return true;
}
