/* sending.c - replies, streams and what TLS says by itself, on their way to the socket.
 *
 * One slice is written at a time; when it has gone, trib_connection_send() decides what is next:
 * cipher text that waits, 100 Continue, the reply's head with a copied body, a block, a file, a
 * stream. Blocks go to the kernel from where they are, in slices of 1 MiB.
 *
 * Files go by sendfile(2) on a worker thread, because it waits for the disk. The one in libuv
 * 1.44 (uv_fs_sendfile) cannot be used with sockets: it asks copy_file_range(2) first, which says
 * EINVAL, and then copies through user space and holds its thread until the peer has read. Ours
 * never waits for a peer: when the socket is full, it reads one buffer of the file, and writing
 * that buffer tells when there is room again. Under TLS all of the file goes that way. */
#include "net/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

enum {
    SLICE_BYTES = 1 << 20,
    TLS_SLICE_BYTES = 1 << 16, /* encrypted at once, so as not to keep others waiting */
    FILE_BUFFER_BYTES = 1 << 16,
};

static const char continue_head[] = "HTTP/1.1 100 Continue\r\n\r\n";

/* A worker has it between submit and done; everything but connection is for it alone. */
struct file_transfer {
    struct trib_connection *connection;
    int socket;
    int file;
    uint64_t offset;
    size_t bytes_max; /* of this step */
    bool may_sendfile;
    ssize_t sent_bytes; /* by sendfile */
    ssize_t held_bytes; /* read into the buffer instead; -1: error */
    bool has_peer_left;
    unsigned char buffer[FILE_BUFFER_BYTES];
};

uint64_t trib_connection_moved(const struct trib_connection *connection) {
    return connection->bytes_in + connection->bytes_out -
           uv_stream_get_write_queue_size(&connection->socket.stream);
}

static void release_cipher(struct trib_connection *connection) {
    struct outgoing *out = &connection->out;
    const struct trib_env *env = connection->server->env;
    if (out->cipher != NULL) {
        env->release(env->context, out->cipher, out->cipher_bytes);
        out->cipher = NULL;
    }
}

/* What is being written stays until it has been: cipher text and flight. The rest is only being
 * written when the connection closes in the same breath, and then libuv looks at it no more. */
void trib_connection_discard(struct trib_connection *connection) {
    struct outgoing *out = &connection->out;
    const struct trib_env *env = connection->server->env;
    if (out->prefix != NULL) {
        env->release(env->context, out->prefix, out->prefix_bytes);
    }
    trib_block_unref(out->block);
    trib_release(env, out->file, 1, sizeof *out->file);
    trib_text_deinit(&out->pending);
    *out = (struct outgoing){.cipher = out->cipher,
                             .cipher_bytes = out->cipher_bytes,
                             .flight = out->flight,
                             .slice_body_bytes = 0};
}

/* ---- one slice ---- */

static void written(uv_write_t *write, int failed) {
    struct trib_connection *connection = write->data;
    struct outgoing *out = &connection->out;
    connection->is_writing = false;
    release_cipher(connection);
    trib_text_deinit(&out->flight);
    if (connection->phase == CONNECTION_CLOSING) {
        return;
    }
    if (failed != 0) {
        trib_connection_fail(connection, TRIB_ECLOSED);
        return;
    }
    connection->exchange.bytes_sent += out->slice_body_bytes;
    connection->server->counts.bytes_sent += out->slice_body_bytes;
    out->slice_body_bytes = 0;
    trib_connection_send(connection);
}

static void write_buffers(struct trib_connection *connection, const uv_buf_t *buffers,
                          unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        connection->bytes_out += buffers[i].len;
    }
    connection->write.data = connection;
    if (uv_write(&connection->write, &connection->socket.stream, buffers, count, written) != 0) {
        trib_server_schedule_failure(connection, TRIB_ECLOSED);
        return;
    }
    connection->is_writing = true;
}

/* The bytes must stay where they are until written() is called. */
static void write_plain(struct trib_connection *connection, const void *bytes, size_t count) {
    uv_buf_t buffer = {.base = (char *)(uintptr_t)bytes, .len = count};
    write_buffers(connection, &buffer, 1);
}

static void write_cipher(struct trib_connection *connection) {
    struct outgoing *out = &connection->out;
    const struct trib_env *env = connection->server->env;
    size_t count = trib_tls_pending(connection->tls);
    TRIB_ASSERT(out->cipher == NULL);
    out->cipher = env->allocate(env->context, count);
    if (out->cipher == NULL) {
        trib_server_schedule_failure(connection, TRIB_EMEMORY);
        return;
    }
    out->cipher_bytes = count;
    trib_tls_drain(connection->tls, out->cipher, count);
    write_plain(connection, out->cipher, count);
}

static void write_slice(struct trib_connection *connection, const void *bytes, size_t count) {
    if (connection->tls == NULL) {
        write_plain(connection, bytes, count);
        return;
    }
    enum trib_status status = trib_tls_write(connection->tls, bytes, count);
    if (status != TRIB_OK) {
        trib_server_schedule_failure(connection, status);
        return;
    }
    write_cipher(connection);
}

/* ---- bytes and blocks ---- */

static size_t slice_of(const struct trib_connection *connection, size_t count) {
    size_t slice = connection->tls == NULL ? SLICE_BYTES : TLS_SLICE_BYTES;
    return count < slice ? count : slice;
}

static void send_prefix(struct trib_connection *connection) {
    struct outgoing *out = &connection->out;
    size_t count = slice_of(connection, out->prefix_bytes - out->prefix_next);
    const unsigned char *bytes = out->prefix + out->prefix_next;
    out->prefix_next += count;
    if (out->prefix_next > out->prefix_head_bytes) {
        uint64_t body_done = out->prefix_next - out->prefix_head_bytes;
        out->slice_body_bytes = body_done < count ? body_done : count;
    }
    write_slice(connection, bytes, count);
}

static void send_block(struct trib_connection *connection) {
    struct outgoing *out = &connection->out;
    size_t count = slice_of(connection, out->block_left);
    const unsigned char *bytes = out->block_next;
    out->block_next += count;
    out->block_left -= count;
    out->slice_body_bytes = count;
    write_slice(connection, bytes, count);
}

/* Head and block in one system call, and one packet when they are small. */
static void send_prefix_and_block(struct trib_connection *connection) {
    struct outgoing *out = &connection->out;
    size_t count = slice_of(connection, out->block_left);
    uv_buf_t buffers[] = {
        {.base = (char *)out->prefix, .len = out->prefix_bytes},
        {.base = (char *)(uintptr_t)out->block_next, .len = count},
    };
    out->prefix_next = out->prefix_bytes;
    out->block_next += count;
    out->block_left -= count;
    out->slice_body_bytes = count;
    write_buffers(connection, buffers, 2);
}

/* ---- files ---- */

static void step_file(void *context) {
    struct file_transfer *file = context;
    file->sent_bytes = file->held_bytes = 0;
    if (file->may_sendfile) {
        off_t offset = (off_t)file->offset;
        do {
            file->sent_bytes = sendfile(file->socket, file->file, &offset, file->bytes_max);
        } while (file->sent_bytes < 0 && errno == EINTR);
        if (file->sent_bytes >= 0) {
            return;
        }
        file->has_peer_left = errno == EPIPE || errno == ECONNRESET;
        if (file->has_peer_left) {
            return;
        }
        /* Some file systems have no sendfile. Any other error will come again when reading. */
        file->may_sendfile = errno == EAGAIN;
    }
    size_t count = file->bytes_max < FILE_BUFFER_BYTES ? file->bytes_max : FILE_BUFFER_BYTES;
    do {
        file->held_bytes = pread(file->file, file->buffer, count, (off_t)file->offset);
    } while (file->held_bytes < 0 && errno == EINTR);
}

static void file_stepped(void *context) {
    struct file_transfer *file = context;
    struct trib_connection *connection = file->connection;
    struct outgoing *out = &connection->out;
    connection->is_file_busy = false;
    if (connection->failure != TRIB_OK) {
        trib_connection_fail(connection, connection->failure);
        return;
    }
    size_t moved = 0;
    if (file->sent_bytes > 0) {
        moved = (size_t)file->sent_bytes;
        connection->bytes_out += moved;
        connection->exchange.bytes_sent += moved;
        connection->server->counts.bytes_sent += moved;
    } else if (file->held_bytes > 0) {
        moved = (size_t)file->held_bytes;
        out->slice_body_bytes = moved;
        write_slice(connection, file->buffer, moved);
    } else {
        /* Shorter than it was said to be: the peer must not take what it has for the whole. */
        trib_connection_fail(connection, file->has_peer_left ? TRIB_ECLOSED : TRIB_EIO);
        return;
    }
    file->offset += moved;
    out->file_left -= moved;
    trib_connection_send(connection);
}

static void send_file(struct trib_connection *connection) {
    struct outgoing *out = &connection->out;
    uv_os_fd_t descriptor = -1;
    TRIB_ASSERT(uv_fileno(&connection->socket.handle, &descriptor) == 0);
    out->file->socket = descriptor;
    out->file->bytes_max = out->file_left < SLICE_BYTES ? (size_t)out->file_left : SLICE_BYTES;
    enum trib_status status =
        trib_work_submit(connection->server->loop, step_file, file_stepped, out->file);
    if (status != TRIB_OK) {
        trib_server_schedule_failure(connection, status);
        return;
    }
    connection->is_file_busy = true;
}

/* ---- what is next ---- */

static void send_pending(struct trib_connection *connection) {
    struct outgoing *out = &connection->out;
    if (connection->tls == NULL) {
        out->flight = out->pending;
        trib_text_init(&out->pending, connection->server->env);
        write_plain(connection, out->flight.bytes, out->flight.byte_count);
        return;
    }
    /* At most stream_bytes; the session has its own copy when this returns. */
    write_slice(connection, out->pending.bytes, out->pending.byte_count);
    trib_text_deinit(&out->pending);
    trib_text_init(&out->pending, connection->server->env);
}

void trib_connection_send(struct trib_connection *connection) {
    struct outgoing *out = &connection->out;
    if (connection->is_writing || connection->is_file_busy || connection->failure != TRIB_OK ||
        connection->phase == CONNECTION_CLOSING) {
        return;
    }
    if (connection->tls != NULL && trib_tls_pending(connection->tls) > 0) {
        write_cipher(connection);
    } else if (connection->owes_continue) {
        connection->owes_continue = false;
        write_slice(connection, continue_head, sizeof continue_head - 1);
    } else if (out->prefix_next < out->prefix_bytes) {
        bool is_gathered = connection->tls == NULL && out->block_left > 0;
        (is_gathered ? send_prefix_and_block : send_prefix)(connection);
    } else if (out->block_left > 0) {
        send_block(connection);
    } else if (out->file_left > 0) {
        send_file(connection);
    } else if (out->pending.byte_count > 0) {
        send_pending(connection);
    } else if (connection->phase == CONNECTION_SEND ||
               (connection->phase == CONNECTION_STREAM && !connection->exchange.is_streaming)) {
        trib_connection_sent(connection);
    }
}

/* ---- replies ---- */

static size_t count_fields(const struct trib_reply *reply) {
    size_t count = 0;
    while (count < TRIB_REPLY_FIELDS_MAX && reply->fields[count].name != NULL) {
        count++;
    }
    return count;
}

static enum trib_status put_prefix(struct trib_connection *connection,
                                   const struct trib_reply *reply, enum trib_http_framing framing) {
    const struct trib_env *env = connection->server->env;
    struct outgoing *out = &connection->out;
    struct trib_http_field fields[TRIB_REPLY_FIELDS_MAX + 1];
    size_t field_count = count_fields(reply);
    memcpy(fields, reply->fields, field_count * sizeof *fields);
    if (connection->is_unix) { /* so that clients know it before they try */
        fields[field_count++] = (struct trib_http_field){"Tributary-Handover", "memfd"};
    }
    const struct trib_http_reply head = {
        .status = reply->status,
        .framing = framing,
        .body_bytes = reply->body_bytes,
        .content_type = reply->content_type,
        .is_closing = connection->is_closing,
        .date_s = (int64_t)env->wall(env->context),
        .fields = fields,
        .field_count = field_count,
    };
    char text[TRIB_HTTP_REPLY_BYTES_MAX];
    size_t head_bytes = 0;
    if (trib_http_reply_write(&head, text, sizeof text, &head_bytes) != TRIB_OK) {
        return TRIB_EINVALID;
    }
    size_t copied_bytes = 0;
    if (reply->body == TRIB_REPLY_BYTES && !connection->is_head_request) {
        copied_bytes = (size_t)reply->body_bytes;
    }
    out->prefix = env->allocate(env->context, head_bytes + copied_bytes);
    if (out->prefix == NULL) {
        return TRIB_EMEMORY;
    }
    memcpy(out->prefix, text, head_bytes);
    if (copied_bytes > 0) {
        memcpy(out->prefix + head_bytes, reply->bytes, copied_bytes);
    }
    out->prefix_head_bytes = head_bytes;
    out->prefix_bytes = head_bytes + copied_bytes;
    return TRIB_OK;
}

static enum trib_status put_body(struct trib_connection *connection,
                                 const struct trib_reply *reply) {
    struct outgoing *out = &connection->out;
    if (connection->is_head_request) {
        return TRIB_OK;
    }
    if (reply->body == TRIB_REPLY_BLOCK) {
        TRIB_ASSERT(reply->offset <= reply->block->byte_count);
        TRIB_ASSERT(reply->body_bytes <= reply->block->byte_count - reply->offset);
        out->block = trib_block_ref(reply->block);
        out->block_next = reply->block->bytes + reply->offset;
        out->block_left = (size_t)reply->body_bytes;
    } else if (reply->body == TRIB_REPLY_FILE && reply->body_bytes > 0) {
        out->file = trib_allocate(connection->server->env, 1, sizeof *out->file);
        if (out->file == NULL) {
            return TRIB_EMEMORY;
        }
        out->file->connection = connection;
        out->file->file = reply->descriptor;
        out->file->offset = reply->offset;
        out->file->may_sendfile = connection->tls == NULL;
        out->file_left = reply->body_bytes;
    }
    return TRIB_OK;
}

static void begin_reply(struct trib_connection *connection, const struct trib_reply *reply,
                        enum trib_http_framing framing) {
    connection->owes_continue = false;
    enum trib_status status = put_prefix(connection, reply, framing);
    if (status == TRIB_OK) {
        status = put_body(connection, reply);
    }
    if (status != TRIB_OK) {
        trib_server_schedule_failure(connection, status);
        return;
    }
    trib_idle_restart(&connection->idle, trib_loop_now(connection->server->loop),
                      trib_connection_moved(connection));
    trib_connection_send(connection);
}

/* A reply that comes before the body has been read ends the connection with it. */
static bool must_close(const struct trib_connection *connection, const struct trib_reply *reply) {
    return reply->is_closing || !connection->is_persistent || connection->body != BODY_NONE ||
           connection->server->is_stopping;
}

static bool may_reply(const struct trib_connection *connection) {
    TRIB_ASSERT(connection->exchange.is_live);
    TRIB_ASSERT(connection->phase == CONNECTION_WAIT || connection->phase == CONNECTION_BODY);
    return connection->failure == TRIB_OK; /* else gone() is on its way */
}

void trib_exchange_reply(struct trib_exchange *exchange, const struct trib_reply *reply) {
    struct trib_connection *connection = trib_connection_of(exchange);
    if (!may_reply(connection)) {
        return;
    }
    bool has_no_body = reply->status == 204 || reply->status == 304;
    TRIB_ASSERT(!has_no_body || reply->body_bytes == 0);
    TRIB_ASSERT(reply->body != TRIB_REPLY_EMPTY || reply->body_bytes == 0);
    connection->is_closing = must_close(connection, reply);
    connection->phase = CONNECTION_SEND;
    begin_reply(connection, reply, has_no_body ? TRIB_HTTP_NO_BODY : TRIB_HTTP_LENGTH);
}

void trib_connection_refuse(struct trib_connection *connection,
                            const struct trib_http_refusal *refusal) {
    if (connection->tls != NULL && !trib_tls_is_established(connection->tls)) {
        trib_connection_fail(connection, TRIB_ECLOSED); /* nobody could read it */
        return;
    }
    char text[256];
    int count = snprintf(text, sizeof text, "{\"code\": \"%s\", \"message\": \"%s\"}\n",
                         refusal->code, refusal->message);
    TRIB_ASSERT(count > 0 && (size_t)count < sizeof text);
    const struct trib_reply reply = {
        .status = refusal->status,
        .content_type = "application/json",
        .body = TRIB_REPLY_BYTES,
        .bytes = text,
        .body_bytes = (uint64_t)count,
    };
    connection->is_closing = true;
    connection->phase = CONNECTION_SEND;
    begin_reply(connection, &reply, TRIB_HTTP_LENGTH);
}

/* ---- streams ---- */

void trib_exchange_stream(struct trib_exchange *exchange, const struct trib_reply *reply) {
    struct trib_connection *connection = trib_connection_of(exchange);
    if (!may_reply(connection)) {
        return;
    }
    TRIB_ASSERT(reply->body == TRIB_REPLY_EMPTY);
    connection->is_closing = true;
    exchange->is_streaming = !connection->is_head_request;
    connection->phase = exchange->is_streaming ? CONNECTION_STREAM : CONNECTION_SEND;
    trib_text_init(&connection->out.pending, connection->server->env);
    begin_reply(connection, reply, TRIB_HTTP_CHUNKED);
}

bool trib_exchange_write(struct trib_exchange *exchange, const void *bytes, size_t count) {
    struct trib_connection *connection = trib_connection_of(exchange);
    struct outgoing *out = &connection->out;
    TRIB_ASSERT(exchange->is_live);
    if (!exchange->is_streaming || connection->failure != TRIB_OK || count == 0) {
        return true; /* nobody waits for it: a HEAD request, or gone() is on its way */
    }
    size_t queued_bytes =
        out->pending.byte_count + uv_stream_get_write_queue_size(&connection->socket.stream);
    size_t bytes_max = connection->server->config.stream_bytes;
    if (queued_bytes > bytes_max || count > bytes_max - queued_bytes) {
        return false;
    }
    char head[TRIB_HTTP_CHUNK_HEAD_BYTES];
    trib_text_add(&out->pending, head, trib_http_chunk_head_write(head, count));
    trib_text_add(&out->pending, bytes, count);
    trib_text_add(&out->pending, "\r\n", 2);
    if (out->pending.is_failed) {
        trib_server_schedule_failure(connection, TRIB_EMEMORY); /* half a chunk is no chunk */
        return false;
    }
    exchange->bytes_sent += count;
    connection->server->counts.bytes_sent += count;
    trib_connection_send(connection);
    return true;
}

void trib_exchange_end(struct trib_exchange *exchange) {
    struct trib_connection *connection = trib_connection_of(exchange);
    TRIB_ASSERT(exchange->is_live);
    if (!exchange->is_streaming || connection->failure != TRIB_OK) {
        return;
    }
    exchange->is_streaming = false;
    trib_text_add(&connection->out.pending, "0\r\n\r\n", 5);
    if (connection->out.pending.is_failed) {
        trib_server_schedule_failure(connection, TRIB_EMEMORY);
        return;
    }
    trib_connection_send(connection);
}

/* ---- the end ---- */

static void shut_down(uv_shutdown_t *shutdown, int failed) {
    (void)shutdown;
    (void)failed; /* the peer has left already: reading tells, or the clock */
}

void trib_connection_half_close(struct trib_connection *connection) {
    struct trib_server *server = connection->server;
    connection->phase = CONNECTION_LINGER;
    connection->linger_end = trib_loop_now(server->loop) + server->config.linger;
    if (connection->tls != NULL) {
        trib_tls_finish(connection->tls);
        trib_connection_send(connection);
    }
    if (uv_shutdown(&connection->shutdown, &connection->socket.stream, shut_down) != 0) {
        trib_server_schedule_failure(connection, TRIB_ECLOSED);
    }
}
