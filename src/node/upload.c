/* upload.c - one update's body on its way: from the first byte until it is folded.
 *
 * A body that goes to a file has one chunk being filled and at most one being written, so that its
 * memory is two chunks whatever its size; one that stays in memory keeps its chunks as they fill, and
 * no worker is asked before it is complete. */
#include "node/upload.h"

#include "node/daemon.h"
#include "node/pruning.h"
#include "node/report.h"

#include <inttypes.h>
#include <string.h>

/* A body that the disk cannot hold is refused at its head, after room has been made for it. */
static enum trib_status begin_file(struct trib_upload *upload, uint64_t content_length,
                                   struct trib_error *error) {
    struct trib_hosted *hosted = upload->hosted;
    /* Of chunked bodies nobody knows; they fail when they meet the end of the disk. One that is
     * larger than any may be is refused for that (413), and no version has to go for it. */
    uint64_t bytes_max = trib_report_update_bytes_max(hosted);
    uint64_t expected = content_length > bytes_max ? 0 : content_length;
    if (!trib_spool_has_room(hosted->spool, expected)) {
        struct trib_pruning pruning = trib_pruning_now(hosted);
        trib_prune_for_room(hosted, &pruning);
    }
    if (!trib_spool_has_room(hosted->spool, expected)) {
        return trib_error_set(error, TRIB_EFULL, "no space left on the disk for %llu more bytes",
                              (unsigned long long)expected);
    }
    return trib_spool_body_begin(hosted->spool, expected, &upload->file, error);
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
    return upload->is_compare ? TRIB_OK : begin_file(upload, upload->length, error);
}

static struct trib_upload *new_upload(struct trib_call *call, uint64_t length, bool is_compare,
                                      struct trib_error *error) {
    struct trib_hosted *hosted = call->hosted;
    struct trib_node *node = hosted->node;
    struct trib_upload *upload = trib_allocate(node->env, 1, sizeof *upload);
    if (upload == NULL) {
        (void)trib_error_set(error, TRIB_EMEMORY, "no memory for another update");
        return NULL;
    }
    upload->hosted = hosted;
    upload->call = call;
    upload->length = length;
    upload->is_compare = is_compare;
    upload->charge_wanted = trib_lending_charge_for(node, length);
    if (is_small(upload)) {
        return upload;
    }
    if (is_compare) {
        upload->charge_wanted = 0;
    }
    bool is_passing = is_durable(upload) || upload->charge_wanted == 0;
    if (is_passing && begin_passing(upload, error) != TRIB_OK) {
        trib_upload_free(upload);
        return NULL;
    }
    return upload;
}

bool trib_upload_begin(struct trib_call *call, bool is_compare) {
    const struct trib_http_request *request = call->request;
    struct trib_error error = {0};
    uint64_t length = request->has_length ? request->content_length : UINT64_MAX;
    uint64_t bytes_max = trib_report_update_bytes_max(call->hosted);
    if (request->has_length && length > bytes_max) {
        trib_call_refuse(call, "too_large", "body of %" PRIu64 " bytes (at most %" PRIu64 ")",
                         length, bytes_max);
        return false;
    }
    struct trib_upload *upload = new_upload(call, length, is_compare, &error);
    if (upload == NULL) {
        trib_call_refuse_error(call, &error);
        return false;
    }
    call->upload = upload;
    trib_exchange_receive(call->exchange, bytes_max);
    return true;
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
    trib_digester_add(&upload->digester, upload->writing, upload->writing_bytes);
    if (upload->file != NULL) {
        status = trib_spool_body_append(upload->file, upload->writing, upload->writing_bytes);
    }
    if (upload->status == TRIB_OK) {
        upload->status = status;
    }
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
    if (upload->digester.state != NULL) {
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
    trib_call_upload_complete(upload->call, upload);
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

void trib_upload_complete(struct trib_upload *upload) {
    upload->is_complete = true;
    trib_lending_wait_no_more(upload); /* it wanted room for the framing only, and did without */
    if (upload->chunk_filled == 0) {
        trib_lending_return_chunk(upload, &upload->chunk);
    }
    if (upload->writing != NULL) {
        return;
    }
    if (upload->chunk_filled > 0 && upload->digester.state != NULL) {
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
        memcpy(next, view_kept(context, offset, &seen), seen);
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
    if (upload->file != NULL) {
        return trib_spool_body_source(upload->file);
    }
    return trib_source_of_memory(upload->block == NULL ? NULL : upload->block->bytes,
                                 upload->byte_count);
}

enum trib_status trib_upload_digest(struct trib_upload *upload) {
    enum trib_status status = TRIB_OK;
    if (upload->digester.state == NULL) { /* no worker has seen its bytes on their way */
        struct trib_source source = trib_upload_source(upload);
        status = begin_digest(upload) ? trib_source_add(&source, &upload->digester) : TRIB_EMEMORY;
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
