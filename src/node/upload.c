/* upload.c - one update's body on its way: from the first byte until it is folded.
 *
 * A body that goes to a file has one chunk being filled and at most one being written, so that its
 * memory is two chunks whatever its size; one that stays in memory keeps its chunks as they fill, and
 * no worker is asked before it is complete. */
#include "node/upload.h"

#include "base/handover.h"
#include "node/daemon.h"
#include "node/pruning.h"
#include "node/report.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* A body that the disk cannot hold is refused at its head, after room has been made for it. */
enum trib_status trib_upload_begin_file(struct trib_hosted *hosted, uint64_t bytes,
                                        struct trib_spool_body **file, struct trib_error *error) {
    /* Of chunked bodies nobody knows; they fail when they meet the end of the disk. One that is
     * larger than any may be is refused for that (413), and no version has to go for it. */
    uint64_t bytes_max = hosted->has_model ? trib_report_update_bytes_max(hosted) : INT64_MAX;
    uint64_t expected = bytes > bytes_max ? 0 : bytes;
    if (!trib_spool_has_room(hosted->spool, expected)) {
        struct trib_pruning pruning = trib_pruning_now(hosted);
        trib_prune_for_room(hosted, &pruning);
    }
    if (!trib_spool_has_room(hosted->spool, expected)) {
        return trib_error_set(error, TRIB_EFULL, "no space left on the disk for %llu more bytes",
                              (unsigned long long)expected);
    }
    return trib_spool_body_begin(hosted->spool, expected, file, error);
}

static bool is_durable(const struct trib_upload *upload) {
    return upload->hosted->spec->durability == TRIB_DURABILITY_SPOOL;
}

static bool is_small(const struct trib_upload *upload) {
    return upload->length <= TRIB_UPLOAD_INLINE_BYTES && upload->charge_wanted == upload->length;
}

/* A receipt, the ledger and what is read from the spool later prove a durable body by its SHA-256.
 * Of others nothing is promised that a third party could check; only this daemon tells a repeat from
 * another body. */
static bool begin_digest(struct trib_upload *upload) {
    return is_durable(upload) ? trib_digester_begin(&upload->digester)
                              : trib_digester_begin_fingerprint(
                                    &upload->digester, &upload->hosted->node->fingerprint_key);
}

/* Its bytes pass by a worker, to a file or, of a known id, only for their digest. */
static enum trib_status begin_passing(struct trib_upload *upload, struct trib_error *error) {
    if (!begin_digest(upload)) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for another update");
    }
    return upload->is_compare
               ? TRIB_OK
               : trib_upload_begin_file(upload->hosted, upload->length, &upload->file, error);
}

/* What is not taken as memory may still be sent. */
static enum trib_status begin_handed(struct trib_upload *upload, struct trib_error *error) {
    const struct trib_node *node = upload->hosted->node;
    upload->is_handed = true;
    if (!trib_lending_charge_handed(upload)) {
        return trib_error_set(error, TRIB_EUNSUPPORTED,
                              "no room for this body in memory (--memory is %llu MiB, %llu are "
                              "used): send the bytes",
                              (unsigned long long)(node->config.body_bytes_max >> 20),
                              (unsigned long long)(node->body_bytes >> 20));
    }
    bool needs_file = is_durable(upload) && upload->length > TRIB_UPLOAD_INLINE_BYTES;
    return !needs_file || upload->is_compare
               ? TRIB_OK
               : trib_upload_begin_file(upload->hosted, upload->length, &upload->file, error);
}

/* A large body of a model that is not held in memory would fill it instead, and a model is read once. */
static uint64_t charge_for(const struct trib_upload *upload) {
    bool is_model = upload->call->target.rule->route == TRIB_ROUTE_MODEL_PUT;
    bool is_ranged = upload->hosted->model.window_bytes > 0;
    bool goes_to_file = is_model || (is_ranged && upload->length > TRIB_UPLOAD_INLINE_BYTES);
    return goes_to_file ? 0 : trib_lending_charge_for(upload->hosted->node, upload->length);
}

/* Where a whole body will be. */
static enum trib_status find_place(struct trib_upload *upload, struct trib_error *error) {
    if (trib_exchange_is_handed(upload->call->exchange)) {
        return begin_handed(upload, error);
    }
    upload->charge_wanted = charge_for(upload);
    if (is_small(upload)) {
        return TRIB_OK;
    }
    if (upload->is_compare) {
        upload->charge_wanted = 0;
    }
    bool is_passing = is_durable(upload) || upload->charge_wanted == 0;
    return is_passing ? begin_passing(upload, error) : TRIB_OK;
}

/* Into call->upload; false: refused. */
static bool add_upload(struct trib_call *call, uint64_t length, bool is_compare) {
    struct trib_node *node = call->node;
    struct trib_error error = {0};
    struct trib_upload *upload = trib_allocate(node->env, 1, sizeof *upload);
    if (upload == NULL) {
        trib_call_refuse(call, "busy", "no memory for another update");
        return false;
    }
    upload->hosted = call->hosted;
    upload->call = call;
    upload->length = length;
    upload->is_compare = is_compare;
    if (call->part.total > 0) {
        if (trib_parts_join(call, upload)) {
            call->upload = upload;
            return true;
        }
    } else if (find_place(upload, &error) == TRIB_OK) {
        call->upload = upload;
        return true;
    } else if (upload->is_handed && error.status == TRIB_EUNSUPPORTED) {
        trib_call_refuse(call, "expectation", "%s", error.text);
    } else {
        trib_call_refuse_error(call, &error);
    }
    trib_upload_free(upload);
    return false;
}

/* A part: what Content-Range says goes together with what has been said elsewhere. */
static bool is_good_part(struct trib_call *call, uint64_t length, bool is_compare) {
    const struct trib_content_range *part = &call->part;
    const uint64_t part_bytes = part->last - part->first + 1;
    if (is_compare) {
        trib_call_refuse(call, "conflict", "update %s is here already, as a whole",
                         call->target.id);
        return false;
    }
    if (length != UINT64_MAX && length != part_bytes) {
        trib_call_refuse(call, "header",
                         "Content-Range: has %" PRIu64 " bytes, Content-Length says %" PRIu64,
                         part_bytes, length);
        return false;
    }
    return true;
}

static bool begin(struct trib_call *call, uint64_t bytes_max, bool is_compare) {
    const struct trib_http_request *request = call->request;
    const uint64_t length = request->has_length ? request->content_length : UINT64_MAX;
    const bool is_part = call->part.total > 0;
    const uint64_t whole = is_part ? call->part.total : length;
    if (whole != UINT64_MAX && whole > bytes_max) {
        trib_call_refuse(call, "too_large", "body of %" PRIu64 " bytes (at most %" PRIu64 ")",
                         whole, bytes_max);
        return false;
    }
    if ((is_part && !is_good_part(call, length, is_compare)) ||
        !add_upload(call, length, is_compare)) {
        return false;
    }
    if (call->upload->is_handed) {
        trib_exchange_receive_handed(call->exchange);
        return true;
    }
    uint64_t part_bytes = call->part.last - call->part.first + 1;
    trib_exchange_receive(call->exchange, is_part ? part_bytes : bytes_max);
    return true;
}

bool trib_upload_begin(struct trib_call *call, bool is_compare) {
    return begin(call, trib_report_update_bytes_max(call->hosted), is_compare);
}

bool trib_upload_begin_model(struct trib_call *call) {
    return begin(call, INT64_MAX, false); /* the disk and the run's quota are its limits */
}

/* --- its memory --------------------------------------------------------------------------------- */

void trib_upload_free(struct trib_upload *upload) {
    if (upload == NULL) {
        return;
    }
    trib_lending_wait_no_more(upload);
    if (upload->writing != NULL || upload->is_lent) {
        upload->is_orphan = true; /* a worker still reads it: freed when it reports */
        return;
    }
    struct trib_hosted *hosted = upload->hosted;
    trib_lending_return_chunk(upload, &upload->chunk);
    trib_parts_leave(upload);
    trib_upload_drop_body(upload);
    trib_digester_abandon(&upload->digester);
    trib_text_release(hosted->node->env, upload->receipt);
    trib_release(hosted->node->env, upload, 1, sizeof *upload);
}

const char *trib_upload_receipt(const struct trib_upload *upload, char *text) {
    const struct trib_spool_entry *entry = &upload->entry;
    struct trib_signed_receipt receipt = {
        .digest = entry->digest,
        .base = entry->base,
        /* What is not final yet is not promised. */
        .weight = trib_spec_caps_shares(upload->hosted->spec) ? 0 : entry->weight,
        .version = entry->target,
        .time = (uint64_t)entry->wall_s,
    };
    memcpy(receipt.run, upload->hosted->spec->name, sizeof receipt.run);
    memcpy(receipt.client, entry->client, sizeof receipt.client);
    memcpy(receipt.update, entry->update, sizeof receipt.update);
    return trib_signed_receipt_write(upload->hosted->node->ledger_key, &receipt, text);
}

void trib_upload_drop_body(struct trib_upload *upload) {
    trib_lending_return_body(upload);
    trib_spool_body_abandon(upload->file);
    upload->file = NULL;
}

/* --- chunks on their way ------------------------------------------------------------------------ */

static void write_chunk(void *context) {
    struct trib_upload *upload = context;
    enum trib_status status = TRIB_OK;
    if (upload->parts != NULL) {
        status = trib_parts_write(upload, upload->writing, upload->writing_bytes);
    } else {
        trib_digester_add(&upload->digester, upload->writing, upload->writing_bytes);
    }
    if (upload->file != NULL) {
        status = trib_spool_body_append(upload->file, upload->writing, upload->writing_bytes);
    }
    if (upload->status == TRIB_OK) {
        upload->status = status;
    }
}

/* Do its chunks go to a worker as they fill? */
static bool is_passing(const struct trib_upload *upload) {
    return upload->parts != NULL || upload->digester.state != NULL;
}

static void chunk_written(void *context);

/* Hand the filled chunk to a worker; the next one can be filled meanwhile. */
static void start_writing(struct trib_upload *upload) {
    upload->writing = upload->chunk;
    upload->writing_bytes = upload->chunk_filled;
    upload->chunk = NULL;
    upload->chunk_filled = 0;
    struct trib_hosted *hosted = upload->hosted;
    hosted->jobs++;
    if (trib_share_submit(&hosted->share, write_chunk, chunk_written, upload) != TRIB_OK) {
        write_chunk(upload);
        chunk_written(upload);
    }
}

/* The chunk has been dealt with, but for staying in memory. */
static void put_away(struct trib_upload *upload, unsigned char **chunk) {
    if (upload->kept == NULL) {
        trib_lending_return_chunk(upload, chunk);
        return;
    }
    TRIB_ASSERT(upload->kept_count < upload->kept_max);
    upload->kept[upload->kept_count++] = *chunk;
    *chunk = NULL;
}

/* A chunk is full, or it is the last one. */
static void pass_on(struct trib_upload *upload) {
    if (is_passing(upload)) {
        start_writing(upload);
    } else {
        put_away(upload, &upload->chunk);
        upload->chunk_filled = 0;
    }
}

#define CHUNK_PATIENCE TRIB_SECOND
/* Memory that comes back at all comes back within moments; opening files takes the loop's time. */
#define BUDGET_PATIENCE (5 * TRIB_SECOND)
#define DETOURS_MAX 64

/* It waits for the budget no more, and goes through chunks to a file. */
static void go_by_disk(struct trib_upload *upload) {
    struct trib_error error = {0};
    trib_lending_wait_no_more(upload);
    upload->charge_wanted = 0;
    if (begin_passing(upload, &error) == TRIB_OK) {
        trib_call_resume(upload->call);
    } else {
        trib_call_refuse_error(upload->call, &error);
    }
}

void trib_upload_hurry(struct trib_node *node) {
    trib_lending_trim(node);
    trib_lending_serve(node); /* there may be memory again */
    trib_time_ns now = trib_node_now(node);
    struct trib_upload *overdue;
    for (int detours = 0; detours < DETOURS_MAX; detours++) {
        if ((overdue = trib_lending_overdue(node, now - BUDGET_PATIENCE)) == NULL) {
            break;
        }
        go_by_disk(overdue);
    }
    for (struct trib_call *call = node->calls; call != NULL; call = call->next) {
        struct trib_upload *upload = call->upload;
        if (node->lending.waiting_count[TRIB_WANT_CHUNK] == 0) {
            return;
        }
        if (upload == NULL || upload->chunk == NULL || upload->writing != NULL ||
            upload->kept != NULL || now - upload->chunk_at < CHUNK_PATIENCE) {
            continue;
        }
        if (upload->chunk_filled > 0) {
            start_writing(upload);
        } else {
            trib_lending_return_chunk(upload, &upload->chunk);
        }
    }
}

/* The last byte has arrived and nothing is being written any more. */
static void finish(struct trib_upload *upload) {
    if (upload->status != TRIB_OK && upload->error.status == TRIB_OK) {
        (void)trib_error_set(&upload->error, upload->status, "body could not be stored: %s",
                             trib_status_text(upload->status));
    }
    if (upload->parts == NULL || trib_parts_finish(upload)) {
        trib_call_upload_complete(upload->call, upload);
    }
}

static void go_on(struct trib_upload *upload) {
    if (upload->is_orphan) {
        trib_upload_free(upload);
        return;
    }
    bool is_last = upload->is_complete && upload->chunk_filled > 0;
    if (is_last || upload->chunk_filled == TRIB_CHUNK_BYTES) {
        start_writing(upload);
    } else if (upload->is_complete) {
        finish(upload);
        return;
    }
    if (!upload->is_complete) {
        trib_call_resume(upload->call);
    }
}

static void chunk_written(void *context) {
    struct trib_upload *upload = context;
    struct trib_hosted *hosted = upload->hosted;
    put_away(upload, &upload->writing);
    go_on(upload);
    trib_hosted_job_done(hosted);
}

/* Has its budget, or needs none. Of what goes to a file a copy in memory only saves reading. */
static bool has_budget(struct trib_upload *upload) {
    if (trib_lending_charge(upload)) {
        return true;
    }
    if (upload->file != NULL) {
        upload->charge_wanted = 0;
        return true;
    }
    trib_lending_wait(upload, TRIB_WANT_BUDGET);
    return false;
}

void *trib_upload_lend(struct trib_upload *upload, size_t *room) {
    if (upload->is_waiting || !has_budget(upload)) {
        return NULL;
    }
    if (upload->block != NULL) {
        *room = upload->block->byte_count - upload->byte_count;
        return upload->block->bytes + upload->byte_count;
    }
    if (upload->chunk != NULL && upload->chunk_filled == TRIB_CHUNK_BYTES) {
        return NULL; /* full, and the one before is still being written */
    }
    if (upload->chunk == NULL && !trib_lending_chunk(upload)) {
        trib_lending_wait(upload, TRIB_WANT_CHUNK);
        return NULL;
    }
    *room = TRIB_CHUNK_BYTES - upload->chunk_filled;
    return upload->chunk + upload->chunk_filled;
}

void trib_upload_filled(struct trib_upload *upload, size_t count) {
    upload->byte_count += count;
    if (upload->block != NULL) {
        return;
    }
    upload->chunk_filled += count;
    if (upload->chunk_filled == TRIB_CHUNK_BYTES && upload->writing == NULL) {
        pass_on(upload);
    }
}

/* What came instead of bytes. What it holds is judged later, like any other body. */
static void take_handed(struct trib_upload *upload) {
    struct trib_node *node = upload->hosted->node;
    struct trib_call *call = upload->call;
    struct trib_error error = {0};
    int descriptor = trib_exchange_take_handed(call->exchange);
    enum trib_status status =
        descriptor < 0
            ? trib_error_set(&error, TRIB_EINVALID, "no descriptor came with the byte of the body")
            : trib_handover_map(node->env, descriptor, (size_t)upload->length, &upload->block,
                                &error);
    if (descriptor >= 0) {
        (void)close(descriptor); /* the mapping keeps the memory */
    }
    if (status != TRIB_OK) {
        trib_call_refuse(call, "expectation", "%s", error.text);
        return;
    }
    upload->byte_count = upload->length;
    node->update_bytes_received += upload->byte_count;
    node->updates_handed++;
    finish(upload);
}

void trib_upload_complete(struct trib_upload *upload) {
    upload->is_complete = true;
    if (upload->is_handed) {
        take_handed(upload);
        return;
    }
    trib_lending_wait_no_more(upload); /* it wanted room for the framing only, and did without */
    if (upload->chunk_filled == 0) {
        trib_lending_return_chunk(upload, &upload->chunk);
    }
    if (upload->writing != NULL) {
        return;
    }
    if (upload->chunk_filled > 0 && is_passing(upload)) {
        start_writing(upload); /* and go on from there, perhaps at once */
        return;
    }
    if (upload->chunk_filled > 0) {
        put_away(upload, &upload->chunk);
    }
    finish(upload);
}

/* --- the complete body -------------------------------------------------------------------------- */

bool trib_upload_is_in_memory(const struct trib_upload *upload) {
    return upload->block != NULL || upload->kept != NULL;
}

static const void *view_kept(void *context, uint64_t offset, size_t *count) {
    const struct trib_upload *upload = context;
    size_t within = (size_t)(offset % TRIB_CHUNK_BYTES);
    size_t seen = TRIB_CHUNK_BYTES - within;
    *count = *count < seen ? *count : seen;
    return upload->kept[offset / TRIB_CHUNK_BYTES] + within;
}

static enum trib_status read_kept(void *context, uint64_t offset, void *bytes, size_t count) {
    unsigned char *next = bytes;
    while (count > 0) {
        size_t seen = count;
        const void *piece = view_kept(context, offset, &seen);
        memcpy(next, piece, seen);
        next += seen;
        offset += seen;
        count -= seen;
    }
    return TRIB_OK;
}

struct trib_source trib_upload_source(const struct trib_upload *upload) {
    if (upload->kept != NULL) {
        return (struct trib_source){
            .context = (void *)(uintptr_t)upload, /* both functions only read */
            .byte_count = upload->byte_count,
            .read = read_kept,
            .view = view_kept,
        };
    }
    if (upload->file != NULL && upload->block == NULL) {
        return trib_spool_body_source(upload->file);
    }
    return trib_source_of_memory(upload->block == NULL ? NULL : upload->block->bytes,
                                 upload->byte_count);
}

/* A body that was handed over passes the digester on its way to its file, as chunks do: each piece
 * while it is in the cache. */
static enum trib_status store_handed(struct trib_upload *upload) {
    const struct trib_block *block = upload->block;
    enum trib_status status = TRIB_OK;
    for (size_t at = 0; at < block->byte_count && status == TRIB_OK;) {
        size_t left = block->byte_count - at;
        size_t count = left < TRIB_CHUNK_BYTES ? left : TRIB_CHUNK_BYTES;
        trib_digester_add(&upload->digester, block->bytes + at, count);
        status = trib_spool_body_append(upload->file, block->bytes + at, count);
        at += count;
    }
    return status;
}

enum trib_status trib_upload_digest(struct trib_upload *upload) {
    enum trib_status status = TRIB_OK;
    bool is_handed_to_file = upload->is_handed && upload->file != NULL;
    if (upload->digester.state == NULL) { /* no worker has seen its bytes on their way */
        struct trib_source source = trib_upload_source(upload);
        status = !begin_digest(upload) ? TRIB_EMEMORY
                 : is_handed_to_file   ? store_handed(upload)
                                       : trib_source_add(&source, &upload->digester);
    }
    if (status == TRIB_OK) {
        trib_digester_finish(&upload->digester, &upload->entry.digest);
    }
    return status;
}

const char *trib_upload_error_code(const struct trib_upload *upload) {
    if (upload->is_head_wrong) {
        return "header";
    }
    bool is_about_names = upload->status == TRIB_ENOTFOUND || upload->status == TRIB_EINVALID;
    return is_about_names ? "tensor" : trib_status_code(upload->status);
}
