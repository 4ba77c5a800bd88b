/* audit.c - prove a run from its files: chain, version digests, and the versions made again.
 *
 * The walk goes from version 0 on. Where updates are no longer kept it goes on from the next version that has a
 * checkpoint; versions in between are proved by the digest of their file, if that is kept. */
#include "node/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/record_document.h"
#include "node/replay.h"
#include "store/directory.h"
#include "store/ledger.h"

struct audit {
    const struct trib_env *env;
    const struct trib_files *files;
    char path[TRIB_DIRECTORY_PATH_BYTES]; /* "runs/<run>" */
    struct trib_spec *spec;               /* of the version that is looked at */
    struct trib_revisions revisions;
    const json_t *spec_document; /* of `spec`; NULL: the run's first */
    struct trib_ledger *ledger;
    struct trib_spool *spool;
    struct trib_bodies bodies;
    struct trib_model model;
    bool has_model; /* model is that of the record before */
    uint64_t model_bytes_max;
    struct trib_audit_report *report;
    struct trib_error *error;
};

static enum trib_status keep_body(void *context, const struct trib_spool_entry *entry) {
    struct audit *audit = context;
    bool is_repeat;
    if (entry->kind == TRIB_SPOOL_DROP || entry->place.is_body_missing) {
        return TRIB_OK;
    }
    return trib_bodies_add(&audit->bodies, entry, &is_repeat) ? TRIB_OK : TRIB_EMEMORY;
}

/* The file of a version, when it is kept, has the bytes that were recorded. */
static enum trib_status check_file(struct audit *audit, trib_version version,
                                   const struct trib_digest *digest) {
    struct trib_checkpoint_reader reader;
    enum trib_status status = trib_checkpoint_open(audit->files, audit->path,
                                                   TRIB_CHECKPOINT_VERSION, version, &reader, NULL);
    if (status == TRIB_ENOTFOUND) {
        return TRIB_OK;
    }
    if (status == TRIB_OK) {
        status = trib_checkpoint_verify(audit->env, &reader, digest);
        trib_checkpoint_close(&reader);
    }
    if (status != TRIB_OK) {
        return trib_error_set(audit->error, status, "load versions/%" PRIu64 ".safetensors: %s",
                              version, trib_status_text(status));
    }
    audit->report->files_checked++;
    return TRIB_OK;
}

/* Is there memory to make the next version whole, from this one? */
static bool fits(const struct audit *audit, trib_version version) {
    struct trib_checkpoint_reader reader;
    struct trib_layout *stored = NULL, *layout = NULL;
    if (trib_checkpoint_open(audit->files, audit->path, TRIB_CHECKPOINT_VERSION, version, &reader,
                             NULL) != TRIB_OK) {
        return false;
    }
    bool is_small = trib_model_import_layouts(audit->env, audit->spec, &reader.source, &stored,
                                              &layout, NULL) == TRIB_OK &&
                    trib_model_bytes_of(audit->spec, layout) <= audit->model_bytes_max;
    trib_layout_free(stored);
    trib_layout_free(layout);
    trib_checkpoint_close(&reader);
    return is_small;
}

/* The first version starts from a fresh optimizer, any other from its checkpoint. */
static void try_checkpoint(struct audit *audit, const json_t *record) {
    struct trib_replay_start start;
    if (!trib_replay_start_read(record, &start) || !fits(audit, start.version)) {
        return;
    }
    if (start.version > 0) {
        audit->has_model = trib_replay_load(audit->env, audit->files, audit->path, audit->spec,
                                            &start, UINT64_MAX, &audit->model, NULL) == TRIB_OK;
        return;
    }
    struct trib_block *block = NULL;
    struct trib_layout *layout = NULL;
    if (trib_checkpoint_load_version(audit->env, audit->files, audit->path, 0, &start.model, &block,
                                     NULL) == TRIB_OK &&
        trib_model_read_layout(audit->env, audit->spec, block, &layout, NULL) == TRIB_OK) {
        audit->has_model = trib_model_init(&audit->model, audit->env, audit->spec, layout, block, 0,
                                           NULL) == TRIB_OK;
    }
    trib_block_unref(block);
}

/* Go on with the spec that makes this version. */
static enum trib_status follow_revision(struct audit *audit, trib_version version) {
    const json_t *document = trib_revisions_find(&audit->revisions, version);
    if (document == audit->spec_document) {
        return TRIB_OK;
    }
    struct trib_spec *spec;
    enum trib_status status = trib_spec_parse(audit->env, document, &spec, audit->error);
    if (status == TRIB_OK && audit->has_model) {
        status = trib_model_change(&audit->model, spec, audit->error);
    }
    if (status != TRIB_OK) {
        trib_spec_free(spec);
        return trib_error_prefix(audit->error, status, "the spec of version %" PRIu64, version);
    }
    trib_spec_free(audit->spec);
    audit->spec = spec;
    audit->spec_document = document;
    return TRIB_OK;
}

static enum trib_status recompute(struct audit *audit, const json_t *record) {
    const struct trib_replay_place place = {audit->files, audit->path, audit->spool,
                                            &audit->bodies};
    enum trib_status status = trib_replay_version(&audit->model, &place, record, audit->error);
    if (status == TRIB_OK) {
        audit->report->recomputed++;
        return TRIB_OK;
    }
    trib_model_deinit(&audit->model);
    audit->has_model = false;
    return status == TRIB_ENOTFOUND ? TRIB_OK : status;
}

static enum trib_status audit_version(struct audit *audit, const json_t *record) {
    struct trib_digest digest;
    trib_version version = trib_record_number(record, "version");
    if (!trib_record_digest(record, "model", &digest)) {
        return trib_error_set(audit->error, TRIB_ECORRUPT, "version %" PRIu64 " has no digest",
                              version);
    }
    audit->report->versions += version > 0;
    audit->report->updates += json_array_size(json_object_get(record, "updates"));
    enum trib_status status = check_file(audit, version, &digest);
    if (status == TRIB_OK) {
        status = follow_revision(audit, version);
    }
    if (status == TRIB_OK && audit->has_model) {
        status = recompute(audit, record);
    }
    if (status == TRIB_OK && !audit->has_model) {
        try_checkpoint(audit, record);
    }
    return status;
}

static enum trib_status audit_record(void *context, const struct trib_ledger_record *record) {
    struct audit *audit = context;
    json_t *document = json_loadb(record->payload, record->payload_bytes, 0, NULL);
    if (document == NULL) {
        return trib_error_set(audit->error, TRIB_ECORRUPT, "record %" PRIu64 " is not JSON",
                              record->index);
    }
    enum trib_status status = trib_revisions_take(&audit->revisions, document);
    if (status == TRIB_OK && strcmp(trib_record_type(document), "version") == 0) {
        status = audit_version(audit, document);
    }
    json_decref(document);
    return status;
}

static enum trib_status walk(struct audit *audit, const char *run) {
    char path[TRIB_DIRECTORY_PATH_BYTES];
    enum trib_status status =
        trib_replay_read_spec(audit->env, audit->files, run, &audit->spec, audit->error);
    if (status == TRIB_OK) {
        status = trib_spool_open(audit->env, audit->files, trib_directory_path(path, run, "spool"),
                                 NULL, &audit->spool, NULL, audit->error, audit, keep_body);
    }
    if (status == TRIB_OK) {
        status = trib_ledger_open(audit->env, audit->files,
                                  trib_directory_path(path, run, "ledger"), run, &audit->ledger,
                                  &audit->report->torn_bytes, audit->error, NULL, NULL);
    }
    if (status == TRIB_OK) {
        audit->report->records = trib_ledger_count(audit->ledger);
        trib_ledger_head(audit->ledger, &audit->report->head);
        status = trib_ledger_read(audit->ledger, 0, UINT64_MAX, audit, audit_record);
    }
    return status;
}

enum trib_status trib_audit_run(const struct trib_env *env, const char *data_dir, const char *run,
                                uint64_t model_bytes_max, struct trib_audit_report *report,
                                struct trib_error *error) {
    struct trib_files *files = NULL;
    memset(report, 0, sizeof *report);
    if (!trib_name_is_valid(run, strlen(run))) {
        return trib_error_set(error, TRIB_EINVALID, "%.64s is not a name of a run", run);
    }
    enum trib_status status = trib_files_open(env, data_dir, true, &files, error);
    if (status != TRIB_OK) {
        return status;
    }
    struct audit audit = {.env = env,
                          .files = files,
                          .model_bytes_max = model_bytes_max,
                          .report = report,
                          .error = error};
    (void)trib_directory_path(audit.path, run, NULL);
    trib_bodies_init(&audit.bodies, env);
    trib_revisions_init(&audit.revisions, env);
    status = walk(&audit, run);
    if (status != TRIB_OK && error != NULL && error->status == TRIB_OK) {
        (void)trib_error_set(error, status, "%s", trib_status_text(status));
    }
    if (audit.has_model) {
        trib_model_deinit(&audit.model);
    }
    trib_bodies_deinit(&audit.bodies);
    trib_revisions_deinit(&audit.revisions);
    trib_ledger_close(audit.ledger);
    trib_spool_close(audit.spool);
    trib_spec_free(audit.spec);
    trib_files_close(files);
    return status;
}
