/* import.c - how a run gets its version 0: from a PUT, a native trainer, or a version of another run. */
#include "node/import.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/daemon.h"
#include "node/record.h"
#include "node/report.h"

/* A safetensors file whose tensors are zero: its head, and no end of zeros. */
struct zeros {
    unsigned char *head;
    size_t head_bytes;
};

struct trib_import {
    struct trib_hosted *hosted;
    struct trib_call *call; /* NULL: has gone */
    unsigned char *body;    /* a small safetensors file, or NULL */
    size_t body_bytes, body_room;
    struct trib_upload *upload;            /* a large one, in a file of the spool, or NULL */
    struct trib_block *file;               /* one that a trainer made, or NULL */
    struct zeros zeros;                    /* or all zero, by the spec */
    struct trib_checkpoint_reader version; /* or a version of another run */
    char source_path[TRIB_NAME_BYTES + 8]; /* that run's folder, or "" */
    trib_version source_version;
    uint64_t bytes_free; /* of the memory for models, when it began */
    bool has_made_model; /* `model` is there; false: only the digest was wanted */
    bool is_comparing;   /* the run has a model: is it this one? */
    struct trib_digest digest;
    double scale;
    struct trib_model model;
    struct trib_ranged_draft draft; /* of a ranged one */
    enum trib_status status;
    struct trib_error error;
};

/* --- on a worker ---------------------------------------------------------------------------------- */

static enum trib_status read_zeros(void *context, uint64_t offset, void *bytes, size_t count) {
    const struct zeros *zeros = context;
    size_t of_head = 0;
    if (offset < zeros->head_bytes) {
        of_head = zeros->head_bytes - (size_t)offset;
        of_head = of_head < count ? of_head : count;
        memcpy(bytes, zeros->head + offset, of_head);
    }
    memset((unsigned char *)bytes + of_head, 0, count - of_head);
    return TRIB_OK;
}

static enum trib_status begin_zeros(struct trib_import *import, struct trib_source *source) {
    const struct trib_env *env = import->hosted->node->env;
    const struct trib_spec_model *model = &import->hosted->spec->model;
    struct trib_tensor tensors[TRIB_ZEROS_MAX] = {0};
    struct trib_layout *layout;
    for (uint32_t i = 0; i < model->zeros_count; i++) {
        tensors[i].name = model->zeros[i].name;
        tensors[i].rank = model->zeros[i].rank;
        for (uint32_t axis = 0; axis < tensors[i].rank; axis++) {
            tensors[i].shape[axis] = model->zeros[i].shape[axis];
        }
    }
    enum trib_status status =
        trib_layout_of_tensors(env, tensors, model->zeros_count, &layout, &import->error);
    if (status != TRIB_OK) {
        return status;
    }
    struct zeros *zeros = &import->zeros;
    zeros->head = trib_allocate(env, (size_t)layout->data_offset, 1);
    if (zeros->head == NULL) {
        status = TRIB_EMEMORY;
    } else {
        zeros->head_bytes = (size_t)layout->data_offset;
        trib_safetensors_write_head(layout, zeros->head, zeros->head_bytes);
        *source = (struct trib_source){.context = zeros,
                                       .byte_count = layout->data_offset + layout->data_bytes,
                                       .read = read_zeros};
    }
    trib_layout_free(layout);
    return status;
}

/* The file that becomes version 0, wherever it is. */
static enum trib_status open_file(struct trib_import *import, struct trib_source *source) {
    struct trib_node *node = import->hosted->node;
    enum trib_status status = TRIB_OK;
    if (import->body != NULL) {
        *source = trib_source_of_memory(import->body, import->body_bytes);
    } else if (import->upload != NULL) {
        *source = trib_upload_source(import->upload);
    } else if (import->source_path[0] != '\0') {
        status = trib_checkpoint_open(node->directory.files, import->source_path,
                                      TRIB_CHECKPOINT_VERSION, import->source_version,
                                      &import->version, &import->error);
        *source = import->version.source;
    } else if (import->hosted->spec->model.init == TRIB_INIT_ZEROS) {
        status = begin_zeros(import, source);
    } else {
        status = node->config.create_model(node->config.create_model_context, node->env,
                                           import->hosted->spec, &import->file, &import->error);
        if (status == TRIB_OK) {
            *source = trib_source_of_memory(import->file->bytes, import->file->byte_count);
        }
    }
    return status;
}

static void close_file(struct trib_import *import) {
    trib_checkpoint_close(&import->version);
    trib_release(import->hosted->node->env, import->zeros.head, import->zeros.head_bytes, 1);
    import->zeros = (struct zeros){0};
}

static enum trib_status refuse_size(struct trib_import *import, uint64_t bytes,
                                    uint64_t bytes_free) {
    const struct trib_hosted *hosted = import->hosted;
    bool is_whole = hosted->spec->durability != TRIB_DURABILITY_SPOOL;
    return trib_error_set(&import->error, TRIB_ELIMIT,
                          "%llu bytes with its sums; %llu of %llu are free (model_bytes_max)%s",
                          (unsigned long long)bytes, (unsigned long long)bytes_free,
                          (unsigned long long)hosted->node->config.model_bytes_max,
                          is_whole ? "; in parts only with durability: spool" : "");
}

static enum trib_status make_resident(struct trib_import *import,
                                      const struct trib_source *source) {
    struct trib_hosted *hosted = import->hosted;
    const struct trib_env *env = hosted->node->env;
    struct trib_layout *layout = NULL;
    struct trib_block *version = NULL;
    enum trib_status status =
        trib_model_import(env, hosted->spec, source, &layout, &version, &import->error);
    if (status == TRIB_OK) {
        status =
            trib_model_init(&import->model, env, hosted->spec, layout, version, 0, &import->error);
    }
    if (status == TRIB_OK) {
        import->scale = trib_model_scale(&import->model);
    }
    trib_block_unref(version);
    return status;
}

static enum trib_status make_ranged(struct trib_import *import,
                                    const struct trib_ranged_import *from,
                                    struct trib_layout **layout, uint64_t window_bytes) {
    const struct trib_hosted *hosted = import->hosted;
    enum trib_status status =
        trib_ranged_import(from, &import->draft, &import->digest, &import->scale, &import->error);
    if (status == TRIB_OK) {
        status = trib_model_init_ranged(&import->model, from->env, hosted->spec, *layout,
                                        &import->digest, 0, window_bytes, &import->error);
        import->model.has_stored_state = status == TRIB_OK;
        import->model.scale = import->scale;
        *layout = NULL;
    }
    return status;
}

static enum trib_status make_model(struct trib_import *import, const struct trib_source *source) {
    const struct trib_hosted *hosted = import->hosted;
    const struct trib_env *env = hosted->node->env;
    struct trib_layout *file_layout = NULL, *layout = NULL;
    enum trib_status status =
        trib_model_import_layouts(env, hosted->spec, source, &file_layout, &layout, &import->error);
    if (status != TRIB_OK) {
        return status;
    }
    const struct trib_ranged_import from = {
        env,   hosted->node->directory.files, hosted->path, hosted->spec, file_layout, layout,
        source};
    uint64_t window_bytes = trib_ranged_window_bytes(hosted->spec, layout, import->bytes_free);
    uint64_t bytes = window_bytes > 0 ? window_bytes : trib_model_bytes_of(hosted->spec, layout);
    if (import->is_comparing) {
        status = trib_ranged_import(&from, NULL, &import->digest, &import->scale, &import->error);
    } else if (bytes > import->bytes_free) {
        status = refuse_size(import, bytes, import->bytes_free);
    } else {
        status = window_bytes > 0 ? make_ranged(import, &from, &layout, window_bytes)
                                  : make_resident(import, source);
        import->has_made_model = status == TRIB_OK;
    }
    trib_layout_free(file_layout);
    trib_layout_free(layout);
    return status;
}

static void work(void *context) {
    struct trib_import *import = context;
    struct trib_source source = {0};
    import->status = open_file(import, &source);
    if (import->status == TRIB_OK) {
        import->status = make_model(import, &source);
    }
    close_file(import);
    if (import->status != TRIB_OK && import->error.status == TRIB_OK) {
        (void)trib_error_set(&import->error, import->status, "%s",
                             trib_status_text(import->status));
    }
}

/* --- on the loop's thread ------------------------------------------------------------------------- */

static void free_import(struct trib_import *import) {
    struct trib_hosted *hosted = import->hosted;
    const struct trib_env *env = hosted->node->env;
    if (import->call != NULL) {
        import->call->import = NULL;
    }
    trib_call_release_body(hosted->node, import->body, import->body_room,
                           &hosted->node->model_bytes);
    trib_block_unref(import->file);
    trib_upload_free(import->upload);
    trib_ranged_discard(&import->draft);
    if (import->has_made_model) {
        trib_model_deinit(&import->model);
    }
    if (hosted->import == import) {
        hosted->import = NULL;
    }
    trib_release(env, import, 1, sizeof *import);
    trib_hosted_job_done(hosted);
}

/* first: of version 0; the run may be further by now. */
static void reply_model(struct trib_import *import, int status, const struct trib_digest *first) {
    const struct trib_layout *layout = import->hosted->model.layout;
    char hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(first, hex);
    trib_call_reply(import->call, status,
                    json_pack("{s:I, s:s, s:I, s:I, s:f, s:f}", "version", (json_int_t)0, "digest",
                              hex, "parameters", (json_int_t)layout->element_count, "tensors",
                              (json_int_t)layout->tensor_count, "resolution",
                              trib_model_resolution(&import->hosted->model), "scale",
                              import->scale));
}

/* The run was made for this model; without it the run would wait for ever. */
static bool is_creation(const struct trib_import *import) {
    return import->call != NULL && import->call->target.rule->route == TRIB_ROUTE_RUN_CREATE;
}

static void fail(struct trib_import *import) {
    struct trib_hosted *hosted = import->hosted;
    bool was_creation = is_creation(import);
    if (import->call != NULL) {
        (void)trib_error_prefix(&import->error, import->status, "model");
        trib_call_refuse_error(import->call, &import->error);
        import->call->hosted = was_creation ? NULL : import->call->hosted;
    }
    trib_log(hosted->node->env, TRIB_LOG_WARN, "model_refused run=%s reason=\"%s\"",
             hosted->spec->name, import->error.text);
    free_import(import);
    if (was_creation) {
        trib_node_delete_run(hosted->node, hosted);
    }
}

static void compare(struct trib_import *import) {
    struct trib_hosted *hosted = import->hosted;
    struct trib_digest first;
    bool is_known = trib_report_digest(hosted, 0, &first);
    if (import->call == NULL) {
        free_import(import);
        return;
    }
    if (is_known && trib_digest_equal(&first, &import->digest)) {
        reply_model(import, 200, &first);
    } else {
        trib_call_refuse(import->call, "conflict", "run %s has another version 0",
                         hosted->spec->name);
    }
    free_import(import);
}

static void done(void *context) {
    struct trib_import *import = context;
    struct trib_hosted *hosted = import->hosted;
    struct trib_node *node = hosted->node;
    if (import->status != TRIB_OK) {
        fail(import);
        return;
    }
    if (import->is_comparing) {
        compare(import);
        return;
    }
    uint64_t bytes = trib_model_bytes(&import->model),
             bytes_free = trib_node_model_bytes_free(node);
    if (bytes > bytes_free) { /* another one has come meanwhile */
        import->status = refuse_size(import, bytes, bytes_free);
        fail(import);
        return;
    }
    hosted->model = import->model;
    hosted->draft = import->draft;
    import->draft = (struct trib_ranged_draft){0};
    trib_model_moved(&hosted->model);
    trib_hosted_charge_model(hosted, bytes);
    import->has_made_model = false;
    hosted->has_model = true;
    hosted->version_at = trib_node_now(node);
    trib_record_first_version(hosted, import->call);
}

void trib_import_recorded(struct trib_hosted *hosted, enum trib_status status) {
    struct trib_import *import = hosted->import;
    if (status != TRIB_OK) {
        trib_hosted_charge_model(hosted, 0);
        trib_ranged_discard(&hosted->draft);
        trib_model_deinit(&hosted->model);
        hosted->has_model = false;
        import->status =
            trib_error_set(&import->error, status, "version 0 could not be recorded: %s",
                           trib_status_text(status));
        fail(import);
        return;
    }
    if (is_creation(import)) {
        trib_call_reply_run(import->call, 201, hosted);
    } else if (import->call != NULL) {
        reply_model(import, 201, &hosted->model.digest);
    }
    free_import(import);
}

static struct trib_import *new_import(struct trib_hosted *hosted, struct trib_call *call) {
    struct trib_import *import = NULL;
    if (hosted->import == NULL) {
        import = trib_allocate(hosted->node->env, 1, sizeof *import);
    }
    if (import == NULL) {
        trib_call_refuse(call, "busy", "another model is being taken in; try again");
        return NULL;
    }
    import->hosted = hosted;
    import->call = call;
    import->is_comparing = hosted->has_model;
    import->bytes_free = trib_node_model_bytes_free(hosted->node);
    call->import = import;
    hosted->import = import;
    hosted->jobs++;
    return import;
}

static void start(struct trib_import *import) {
    if (trib_share_submit(&import->hosted->share, work, done, import) != TRIB_OK) {
        import->status = trib_error_set(&import->error, TRIB_EUNAVAILABLE, "out of memory");
        fail(import);
    }
}

void trib_import_body(struct trib_hosted *hosted, struct trib_call *call) {
    struct trib_import *import = new_import(hosted, call);
    if (import != NULL) {
        import->body = call->body;
        import->body_bytes = call->body_bytes;
        import->body_room = call->body_room;
        call->body = NULL;
        start(import);
    }
}

void trib_import_upload(struct trib_call *call) {
    struct trib_import *import = new_import(call->hosted, call);
    if (import != NULL) {
        import->upload = call->upload;
        import->upload->call = NULL;
        call->upload = NULL;
        start(import);
    }
}

/* The number behind "latest", "best" or digits; false when there is no such version. */
static bool pick_version(const struct trib_hosted *source, const char *text,
                         trib_version *version) {
    if (!source->has_model) {
        return false;
    }
    *version = source->model.version;
    if (strcmp(text, "best") == 0) {
        *version = source->best;
        return source->has_best;
    }
    return strcmp(text, "latest") == 0 || sscanf(text, "%" SCNu64, version) == 1;
}

void trib_import_by_spec(struct trib_hosted *hosted, struct trib_call *call,
                         struct trib_hosted *source) {
    struct trib_import *import = new_import(hosted, call);
    if (import == NULL) {
        return;
    }
    const struct trib_spec_model *model = &hosted->spec->model;
    if (source != NULL) {
        if (!pick_version(source, model->source_version, &import->source_version)) {
            import->status =
                trib_error_set(&import->error, TRIB_ENOTFOUND, "run %s has no version %s",
                               source->spec->name, model->source_version);
            fail(import);
            return;
        }
        memcpy(import->source_path, source->path, sizeof import->source_path);
    }
    start(import);
}

void trib_import_forget_call(struct trib_import *import) {
    import->call = NULL;
}
