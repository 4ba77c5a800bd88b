/* lending.c - memory for the bodies of updates: a budget, chunks, and queues for both.
 *
 * A body is charged as a whole before its first byte is read, so that what has begun in memory can
 * end there: parts of many bodies could otherwise use the budget up, and none of them be complete. */
#include "node/lending.h"

#include "node/daemon.h"

/* Many small bodies go on while large ones fill their part. */
#define KEPT_SHARE(bytes) ((bytes) / 4 * 3)

static struct trib_node *node_of(const struct trib_upload *upload) {
    return upload->hosted->node;
}

static bool is_small(const struct trib_node *node, uint64_t length) {
    return length <= TRIB_UPLOAD_INLINE_BYTES && length <= node->config.body_bytes_max;
}

bool trib_lending_init(struct trib_node *node, size_t chunk_count_max) {
    struct trib_lending *lending = &node->lending;
    uint64_t kept_max = KEPT_SHARE(node->config.body_bytes_max) / TRIB_CHUNK_BYTES;
    lending->chunks = trib_pool_new(node->env, TRIB_CHUNK_BYTES, chunk_count_max);
    lending->kept_chunks =
        trib_pool_new(node->env, TRIB_CHUNK_BYTES, kept_max == 0 ? 1 : (size_t)kept_max);
    return lending->chunks != NULL && lending->kept_chunks != NULL;
}

void trib_lending_deinit(struct trib_node *node) {
    trib_pool_free(node->lending.chunks);
    trib_pool_free(node->lending.kept_chunks);
}

/* --- queues --------------------------------------------------------------------------------------- */

void trib_lending_wait(struct trib_upload *upload, enum trib_want want) {
    struct trib_lending *lending = &node_of(upload)->lending;
    struct trib_queue *queue = &upload->hosted->queues[want];
    TRIB_ASSERT(!upload->is_waiting);
    upload->is_waiting = true;
    upload->want = want;
    upload->waits_since = trib_node_now(node_of(upload));
    upload->next = NULL;
    if (queue->first == NULL) {
        queue->first = upload;
        trib_turn_wake(&lending->turns[want], &queue->turn);
    } else {
        queue->last->next = upload;
    }
    queue->last = upload;
    lending->waiting_count[want]++;
}

void trib_lending_wait_no_more(struct trib_upload *upload) {
    if (!upload->is_waiting) {
        return;
    }
    struct trib_queue *queue = &upload->hosted->queues[upload->want];
    struct trib_upload *previous = NULL;
    for (struct trib_upload *u = queue->first; u != upload; u = u->next) {
        previous = u;
    }
    if (previous == NULL) {
        queue->first = upload->next;
    } else {
        previous->next = upload->next;
    }
    if (queue->last == upload) {
        queue->last = previous;
    }
    upload->is_waiting = false;
    node_of(upload)->lending.waiting_count[upload->want]--;
}

/* The queue of the run whose turn it is; NULL: only runs that are being closed have one. */
static struct trib_queue *next_queue(struct trib_node *node, enum trib_want want) {
    struct trib_queue *next = NULL;
    for (size_t i = 0; i < node->hosted_count; i++) {
        struct trib_queue *queue = &node->hosted[i]->queues[want];
        bool is_next = next == NULL || trib_turn_is_before(&queue->turn, &next->turn);
        if (queue->first != NULL && is_next) {
            next = queue;
        }
    }
    return next;
}

struct trib_upload *trib_lending_overdue(const struct trib_node *node, int64_t before) {
    for (size_t i = 0; i < node->hosted_count; i++) {
        struct trib_upload *oldest = node->hosted[i]->queues[TRIB_WANT_BUDGET].first;
        if (oldest != NULL && oldest->waits_since <= before) {
            return oldest;
        }
    }
    return NULL;
}

/* --- lending -------------------------------------------------------------------------------------- */

uint64_t trib_lending_charge_for(const struct trib_node *node, uint64_t length) {
    if (is_small(node, length)) {
        return length;
    }
    uint64_t kept_max = KEPT_SHARE(node->config.body_bytes_max);
    if (length > kept_max) {
        return 0;
    }
    uint64_t charge = (length + TRIB_CHUNK_BYTES - 1) / TRIB_CHUNK_BYTES * TRIB_CHUNK_BYTES;
    return charge <= kept_max ? charge : 0;
}

/* Idle chunks are within the budget, too. */
static void trim_idle(struct trib_node *node) {
    uint64_t bytes_left = node->config.body_bytes_max - node->body_bytes;
    trib_pool_trim(node->lending.kept_chunks, (size_t)(bytes_left / TRIB_CHUNK_BYTES));
}

static bool take_charge(struct trib_upload *upload) {
    struct trib_node *node = node_of(upload);
    struct trib_lending *lending = &node->lending;
    const uint64_t bytes = upload->charge_wanted;
    const bool is_kept = !is_small(node, upload->length);
    if (bytes > node->config.body_bytes_max - node->body_bytes ||
        (is_kept && lending->kept_bytes + bytes > KEPT_SHARE(node->config.body_bytes_max))) {
        return false;
    }
    if (is_kept) {
        upload->kept_max = (size_t)(bytes / TRIB_CHUNK_BYTES);
        upload->kept = trib_allocate(node->env, upload->kept_max, sizeof *upload->kept);
    } else {
        upload->block = trib_block_new(node->env, (size_t)bytes);
    }
    if (upload->kept == NULL && upload->block == NULL) {
        return false;
    }
    upload->charged = bytes;
    node->body_bytes += bytes;
    lending->kept_bytes += is_kept ? bytes : 0;
    trim_idle(node);
    return true;
}

bool trib_lending_charge(struct trib_upload *upload) {
    if (upload->charged == upload->charge_wanted) {
        return true;
    }
    return node_of(upload)->lending.waiting_count[TRIB_WANT_BUDGET] == 0 && take_charge(upload);
}

bool trib_lending_charge_handed(struct trib_upload *upload) {
    struct trib_node *node = node_of(upload);
    struct trib_lending *lending = &node->lending;
    uint64_t kept_max = KEPT_SHARE(node->config.body_bytes_max);
    if (upload->length > node->config.body_bytes_max - node->body_bytes ||
        lending->kept_bytes > kept_max || upload->length > kept_max - lending->kept_bytes) {
        return false;
    }
    upload->charged = upload->charge_wanted = upload->length;
    node->body_bytes += upload->charged;
    lending->kept_bytes += upload->charged;
    trim_idle(node);
    return true;
}

static struct trib_pool *pool_of(const struct trib_upload *upload) {
    struct trib_lending *lending = &node_of(upload)->lending;
    return upload->kept != NULL ? lending->kept_chunks : lending->chunks;
}

static bool take_chunk(struct trib_upload *upload) {
    upload->chunk = trib_pool_lend(pool_of(upload));
    upload->chunk_filled = 0;
    upload->chunk_at = trib_node_now(node_of(upload));
    return upload->chunk != NULL;
}

bool trib_lending_chunk(struct trib_upload *upload) {
    const struct trib_lending *lending = &node_of(upload)->lending;
    /* Those that stay in memory have been charged for their chunks, and need not queue. */
    bool is_first = upload->kept != NULL || lending->waiting_count[TRIB_WANT_CHUNK] == 0;
    return is_first && take_chunk(upload);
}

static void serve(struct trib_node *node, enum trib_want want) {
    struct trib_lending *lending = &node->lending;
    struct trib_queue *queue;
    while (lending->waiting_count[want] > 0 && (queue = next_queue(node, want)) != NULL) {
        struct trib_upload *upload = queue->first;
        if (!(want == TRIB_WANT_BUDGET ? take_charge(upload) : take_chunk(upload))) {
            return;
        }
        trib_turn_take(&lending->turns[want], &queue->turn);
        trib_lending_wait_no_more(upload);
        trib_call_resume(upload->call);
    }
}

void trib_lending_serve(struct trib_node *node) {
    for (enum trib_want want = 0; want < TRIB_WANT_COUNT; want++) {
        serve(node, want);
    }
}

void trib_lending_return_chunk(struct trib_upload *upload, unsigned char **chunk) {
    if (*chunk != NULL) {
        trib_pool_return(pool_of(upload), *chunk);
        *chunk = NULL;
        serve(node_of(upload), TRIB_WANT_CHUNK);
    }
}

void trib_lending_return_body(struct trib_upload *upload) {
    struct trib_node *node = node_of(upload);
    if (upload->charged == 0) {
        return;
    }
    for (size_t i = 0; i < upload->kept_count; i++) {
        trib_pool_return(node->lending.kept_chunks, upload->kept[i]);
    }
    if (upload->kept != NULL) {
        trib_release(node->env, upload->kept, upload->kept_max, sizeof *upload->kept);
    }
    if (upload->kept != NULL || upload->is_handed) {
        node->lending.kept_bytes -= upload->charged;
    }
    trib_block_unref(upload->block);
    node->body_bytes -= upload->charged;
    upload->kept = NULL;
    upload->kept_count = 0;
    upload->block = NULL;
    upload->charged = upload->charge_wanted = 0;
    serve(node, TRIB_WANT_BUDGET);
}

void trib_lending_trim(struct trib_node *node) {
    trib_pool_trim_spare(node->lending.kept_chunks);
}
