/* answers_models.c - PUT of version 0, GET of any: from memory where it is held, else from its file. */
#include <inttypes.h>
#include <stdio.h>

#include "node/daemon.h"
#include "node/import.h"
#include "node/report.h"
#include "wire/range.h"

void trib_answer_model_begin(struct trib_call *call, const struct trib_http_request *request) {
    if (call->target.selector != TRIB_VERSION_NUMBER || call->target.version != 0) {
        trib_call_refuse(call, "conflict", "only version 0 can be put; the others are made here");
        return;
    }
    if (trib_spec_makes_model(call->hosted->spec)) {
        trib_call_refuse(call, "conflict", "the spec of run %s says where its model comes from",
                         call->target.run);
        return;
    }
    /* One in memory is charged for as models are, and would leave less for its own numbers. */
    uint64_t most = trib_node_model_bytes_free(call->node) / 8;
    most = most < TRIB_UPLOAD_INLINE_BYTES ? most : TRIB_UPLOAD_INLINE_BYTES;
    if (request->has_length && request->content_length <= most) {
        trib_exchange_receive(call->exchange, most);
    } else {
        (void)trib_upload_begin_model(call); /* then trib_import_upload() */
    }
}

void trib_answer_model_put(struct trib_call *call) {
    trib_import_body(call->hosted, call);
}

static bool choose_version(struct trib_call *call, trib_version *version) {
    const struct trib_hosted *hosted = call->hosted;
    struct trib_run_status status;
    trib_run_status(hosted->run, trib_node_now(call->node), &status);
    if (!hosted->has_model || !status.has_model) {
        trib_call_refuse(call, "not_found", "run %s has no model yet", call->target.run);
        return false;
    }
    *version = hosted->model.version;
    if (call->target.selector == TRIB_VERSION_BEST) {
        *version = hosted->best;
        if (!hosted->has_best) {
            trib_call_refuse(call, "not_found", "no version of run %s has been evaluated",
                             call->target.run);
            return false;
        }
    } else if (call->target.selector == TRIB_VERSION_NUMBER) {
        *version = call->target.version;
        if (*version > hosted->model.version) {
            trib_call_refuse(call, "not_found",
                             "version %" PRIu64 " does not exist; latest is %" PRIu64, *version,
                             hosted->model.version);
            return false;
        }
    }
    return true;
}

/* Where the bytes of a version are: the sealed block, or a file that the call keeps open. */
static bool find_bytes(struct trib_call *call, trib_version version, struct trib_reply *reply,
                       struct trib_digest *digest, uint64_t *byte_count) {
    struct trib_hosted *hosted = call->hosted;
    const struct trib_files *files = call->node->directory.files;
    if (version == hosted->model.version && hosted->model.current != NULL) {
        reply->body = TRIB_REPLY_BLOCK;
        reply->block = hosted->model.current;
        *digest = hosted->model.digest;
        *byte_count = reply->block->byte_count;
        return true;
    }
    enum trib_status status =
        trib_checkpoint_open_version(files, hosted->path, version, &call->file, byte_count);
    if (status == TRIB_ENOTFOUND || !trib_report_digest(hosted, version, digest)) {
        trib_call_refuse(call, "pruned", "version %" PRIu64 " is no longer kept", version);
        return false;
    }
    if (status != TRIB_OK) {
        trib_call_refuse(call, "io", "version %" PRIu64 ": %s", version, trib_status_text(status));
        return false;
    }
    reply->body = TRIB_REPLY_FILE;
    reply->descriptor = files->descriptor(files->context, call->file);
    return true;
}

void trib_answer_model_get(struct trib_call *call, const struct trib_http_request *request) {
    trib_version version;
    struct trib_digest digest;
    uint64_t byte_count;
    struct trib_reply reply = {.content_type = "application/safetensors"};
    if (call->target.as != TRIB_AS_F32) {
        trib_call_refuse(call, "unsupported", "versions are served as f32 only");
        return;
    }
    if (!choose_version(call, &version) ||
        !find_bytes(call, version, &reply, &digest, &byte_count)) {
        return;
    }
    char hex[TRIB_DIGEST_HEX_BYTES], etag[TRIB_DIGEST_HEX_BYTES + 2], number[24],
        span[TRIB_RANGE_TEXT_BYTES];
    trib_digest_to_hex(&digest, hex);
    (void)snprintf(etag, sizeof etag, "\"%s\"", hex);
    (void)snprintf(number, sizeof number, "%" PRIu64, version);
    struct trib_range_request conditions = {
        .is_head = call->target.is_head,
        .is_moving = call->target.selector != TRIB_VERSION_NUMBER,
        .range = trib_http_request_field(request, "range"),
        .if_range = trib_http_request_field(request, "if-range"),
        .if_none_match = trib_http_request_field(request, "if-none-match"),
    };
    struct trib_range range = trib_range_evaluate(&conditions, etag, byte_count);
    static const int statuses[] = {200, 206, 304, 416};
    reply.status = statuses[range.kind];
    reply.offset = range.first;
    reply.body_bytes = range.count;
    reply.fields[0] = (struct trib_http_field){"ETag", etag};
    reply.fields[1] = (struct trib_http_field){"Tributary-Model-Version", number};
    reply.fields[2] = (struct trib_http_field){"Accept-Ranges", "bytes"};
    reply.fields[3] = (struct trib_http_field){"Cache-Control", "no-cache"};
    if (range.kind == TRIB_RANGE_PART || range.kind == TRIB_RANGE_UNSATISFIABLE) {
        reply.fields[4] =
            (struct trib_http_field){"Content-Range", trib_range_text(&range, byte_count, span)};
    }
    if (range.kind == TRIB_RANGE_NOT_MODIFIED || range.kind == TRIB_RANGE_UNSATISFIABLE) {
        reply.body = TRIB_REPLY_EMPTY;
    }
    call->is_answered = true;
    trib_exchange_reply(call->exchange, &reply);
}
