/* upload.c - one update's body on its way: from the first byte until it is folded.
 *
 * A large body has one chunk being filled and at most one being written, so its memory is two
 * chunks whatever its size. When no chunk can be lent the exchange is not read and the upload
 * stands in its run's queue: a chunk that comes back goes to the runs in turn. Slow clients cannot
 * keep all chunks to themselves: while others wait, what has been filling for a second is written
 * as it is and its chunk lent to the next. */
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

/* content_length: UINT64_MAX when unknown (chunked). */
static struct trib_upload *new_upload(struct trib_hosted *hosted, struct trib_call *call,
                                      uint64_t content_length, struct trib_error *error) {
    struct trib_node *node = hosted->node;
    struct trib_upload *upload = trib_allocate(node->env, 1, sizeof *upload);
    if (upload == NULL) {
        (void)trib_error_set(error, TRIB_EMEMORY, "no memory for another update");
        return NULL;
    }
    upload->hosted = hosted;
    upload->call = call;
    if (content_length > TRIB_UPLOAD_INLINE_BYTES) {
        if (begin_file(upload, content_length, error) != TRIB_OK) {
            trib_release(node->env, upload, 1, sizeof *upload);
            return NULL;
        }
        return upload;
    }
    if (node->body_bytes + content_length > node->config.body_bytes_max ||
        (upload->block = trib_block_new(node->env, content_length)) == NULL) {
        (void)trib_error_set(error, TRIB_EUNAVAILABLE,
                             "%llu MiB of update bodies are being received; try again",
                             (unsigned long long)(node->body_bytes >> 20));
        trib_release(node->env, upload, 1, sizeof *upload);
        return NULL;
    }
    node->body_bytes += content_length;
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
    struct trib_upload *upload = new_upload(call->hosted, call, length, &error);
    if (upload == NULL) {
        trib_call_refuse_error(call, &error);
        return false;
    }
    upload->is_compare = is_compare;
    call->upload = upload;
    trib_exchange_receive(call->exchange, bytes_max);
    return true;
}

/* --- chunks ------------------------------------------------------------------------------------- */

static void wait_for_chunk(struct trib_upload *upload) {
    struct trib_hosted *hosted = upload->hosted;
    upload->is_starved = true;
    upload->next = NULL;
    if (hosted->starved == NULL) {
        hosted->starved = upload;
        trib_turn_wake(&hosted->node->chunk_turns, &hosted->chunk_turn);
    } else {
        hosted->starved_last->next = upload;
    }
    hosted->starved_last = upload;
    hosted->node->starved_count++;
}

static void wait_no_more(struct trib_upload *upload) {
    struct trib_hosted *hosted = upload->hosted;
    struct trib_upload *previous = NULL;
    for (struct trib_upload *u = hosted->starved; u != upload; u = u->next) {
        previous = u;
    }
    if (previous == NULL) {
        hosted->starved = upload->next;
    } else {
        previous->next = upload->next;
    }
    if (hosted->starved_last == upload) {
        hosted->starved_last = previous;
    }
    upload->is_starved = false;
    hosted->node->starved_count--;
}

/* The first in the queue of the run whose turn it is; NULL: only runs that are being closed. */
static struct trib_upload *next_starved(struct trib_node *node) {
    const struct trib_hosted *next = NULL;
    for (size_t i = 0; i < node->hosted_count; i++) {
        const struct trib_hosted *hosted = node->hosted[i];
        bool is_next = next == NULL || trib_turn_is_before(&hosted->chunk_turn, &next->chunk_turn);
        if (hosted->starved != NULL && is_next) {
            next = hosted;
        }
    }
    return next == NULL ? NULL : next->starved;
}

static bool lend_chunk(struct trib_upload *upload) {
    struct trib_node *node = upload->hosted->node;
    upload->chunk = trib_pool_lend(node->pool);
    upload->chunk_filled = 0;
    upload->chunk_at = trib_node_now(node);
    return upload->chunk != NULL;
}

void trib_upload_lend_chunks(struct trib_node *node) {
    struct trib_upload *upload;
    while (node->starved_count > 0 && (upload = next_starved(node)) != NULL && lend_chunk(upload)) {
        trib_turn_take(&node->chunk_turns, &upload->hosted->chunk_turn);
        wait_no_more(upload);
        trib_call_resume(upload->call);
    }
}

static void return_chunk(struct trib_node *node, unsigned char **chunk) {
    if (*chunk != NULL) {
        trib_pool_return(node->pool, *chunk);
        *chunk = NULL;
        trib_upload_lend_chunks(node);
    }
}

void trib_upload_free(struct trib_upload *upload) {
    if (upload == NULL) {
        return;
    }
    if (upload->is_starved) {
        wait_no_more(upload);
    }
    if (upload->writing != NULL || upload->is_lent) {
        upload->is_orphan = true; /* a worker still reads it: freed when it reports */
        return;
    }
    struct trib_hosted *hosted = upload->hosted;
    return_chunk(hosted->node, &upload->chunk);
    trib_upload_drop_body(upload);
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
    if (upload->block != NULL) {
        upload->hosted->node->body_bytes -= upload->block->byte_count;
        trib_block_unref(upload->block);
        upload->block = NULL;
    }
    trib_spool_body_abandon(upload->file);
    upload->file = NULL;
}

static void write_chunk(void *context) {
    struct trib_upload *upload = context;
    enum trib_status status =
        trib_spool_body_append(upload->file, upload->writing, upload->writing_bytes);
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

#define CHUNK_PATIENCE TRIB_SECOND

void trib_upload_hurry(struct trib_node *node) {
    trib_upload_lend_chunks(node); /* there may be memory again */
    for (struct trib_call *call = node->calls; call != NULL; call = call->next) {
        struct trib_upload *upload = call->upload;
        if (node->starved_count == 0) {
            return;
        }
        if (upload == NULL || upload->chunk == NULL || upload->writing != NULL ||
            trib_node_now(node) - upload->chunk_at < CHUNK_PATIENCE) {
            continue;
        }
        if (upload->chunk_filled > 0) {
            start_writing(upload);
        } else {
            return_chunk(node, &upload->chunk);
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
    return_chunk(hosted->node, &upload->writing);
    go_on(upload);
    trib_hosted_job_done(hosted);
}

void *trib_upload_lend(struct trib_upload *upload, size_t *room) {
    if (upload->block != NULL) {
        *room = upload->block->byte_count - upload->byte_count;
        return upload->block->bytes + upload->byte_count;
    }
    if (upload->chunk != NULL && upload->chunk_filled == TRIB_CHUNK_BYTES) {
        return NULL; /* full, and the one before is still being written */
    }
    if (upload->is_starved) {
        return NULL;
    }
    /* Who waits already goes first. */
    if (upload->chunk == NULL && (upload->hosted->node->starved_count > 0 || !lend_chunk(upload))) {
        wait_for_chunk(upload);
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
        start_writing(upload);
    }
}

void trib_upload_complete(struct trib_upload *upload) {
    upload->is_complete = true;
    if (upload->is_starved) {
        wait_no_more(upload); /* it wanted room for the framing only, and did without */
    }
    if (upload->chunk_filled == 0) {
        return_chunk(upload->hosted->node, &upload->chunk);
    }
    if (upload->file != NULL && upload->writing == NULL && upload->chunk_filled > 0) {
        start_writing(upload);
    } else if (upload->writing == NULL) {
        finish(upload);
    }
}

struct trib_source trib_upload_source(const struct trib_upload *upload) {
    return upload->block != NULL
               ? trib_source_of_memory(upload->block->bytes, upload->block->byte_count)
               : trib_spool_body_source(upload->file);
}

const char *trib_upload_error_code(const struct trib_upload *upload) {
    if (upload->is_head_wrong) {
        return "header";
    }
    bool is_about_names = upload->status == TRIB_ENOTFOUND || upload->status == TRIB_EINVALID;
    return is_about_names ? "tensor" : trib_status_code(upload->status);
}
