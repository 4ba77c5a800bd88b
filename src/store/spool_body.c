/* spool_body.c - bodies of the spool on their way in, as files of their own, and on their way out.
 *
 * Nothing here touches the commit job's state: only the folder and its atomic counters. */
#include "store/spool.h"

#include <stdio.h>

#include "store/spool_folder.h"

struct trib_spool_body {
    struct trib_spool_folder *folder;
    struct trib_file *file;
    uint64_t number;
    uint64_t byte_count;
    uint64_t bytes_expected; /* taken from the quota; at least byte_count */
    bool is_finished;        /* synced */
    bool is_broken;
};

const char *trib_spool_path(const struct trib_spool_folder *folder, uint64_t number,
                            const char *suffix, char path[TRIB_SPOOL_PATH_BYTES]) {
    snprintf(path, TRIB_SPOOL_PATH_BYTES, "%s/%llu%s", folder->path, (unsigned long long)number,
             suffix);
    return path;
}

bool trib_spool_charge(struct trib_spool_folder *folder, uint64_t bytes) {
    uint64_t before = atomic_fetch_add(&folder->bytes_used, bytes);
    if (folder->bytes_max == 0 || before + bytes <= folder->bytes_max)
        return true;
    atomic_fetch_sub(&folder->bytes_used, bytes);
    return false;
}

void trib_spool_give_back(struct trib_spool_folder *folder, uint64_t bytes) {
    atomic_fetch_sub(&folder->bytes_used, bytes);
}

enum trib_status trib_spool_refuse(const struct trib_spool_folder *folder, uint64_t bytes,
                                   struct trib_error *error) {
    return trib_error_set(error, TRIB_EFULL,
                          "the spool holds %llu of %llu bytes, %llu more do not fit",
                          (unsigned long long)atomic_load(&folder->bytes_used),
                          (unsigned long long)folder->bytes_max, (unsigned long long)bytes);
}

uint64_t trib_spool_bytes(const struct trib_spool *spool) {
    return atomic_load(&trib_spool_folder_const(spool)->bytes_used);
}

bool trib_spool_has_room(const struct trib_spool *spool, uint64_t bytes) {
    const struct trib_spool_folder *folder = trib_spool_folder_const(spool);
    uint64_t bytes_free, bytes_coming = atomic_load(&folder->bytes_coming);
    if (folder->files->free_bytes(folder->files->context, &bytes_free) != TRIB_OK)
        return true;
    return bytes_free >= bytes_coming && bytes_free - bytes_coming >= bytes;
}

static bool expect(struct trib_spool_body *body, uint64_t bytes) {
    if (!trib_spool_charge(body->folder, bytes))
        return false;
    body->bytes_expected += bytes;
    atomic_fetch_add(&body->folder->bytes_coming, bytes);
    return true;
}

/* What was expected and has not come will not come any more. */
static void expect_no_more(struct trib_spool_body *body) {
    uint64_t missing = body->bytes_expected - body->byte_count;
    body->bytes_expected -= missing;
    atomic_fetch_sub(&body->folder->bytes_coming, missing);
    trib_spool_give_back(body->folder, missing);
}

enum trib_status trib_spool_body_begin(struct trib_spool *spool, uint64_t bytes_expected,
                                       struct trib_spool_body **body, struct trib_error *error) {
    struct trib_spool_folder *folder = trib_spool_folder(spool);
    *body = NULL;
    if (folder->bytes_max > 0 && atomic_load(&folder->bytes_used) >= folder->bytes_max)
        return trib_spool_refuse(folder, bytes_expected > 0 ? bytes_expected : 1, error);
    struct trib_spool_body *begun = trib_allocate(folder->env, 1, sizeof *begun);
    if (!begun)
        return trib_error_set(error, TRIB_EMEMORY, "spool a large update: out of memory");
    begun->folder = folder;
    if (!expect(begun, bytes_expected)) {
        trib_release(folder->env, begun, 1, sizeof *begun);
        return trib_spool_refuse(folder, bytes_expected, error);
    }
    begun->number = atomic_fetch_add(&folder->body_next, 1);
    char path[TRIB_SPOOL_PATH_BYTES];
    trib_spool_path(folder, begun->number, ".body", path);
    enum trib_status status =
        folder->files->open(folder->files->context, path, TRIB_FILE_CREATE, &begun->file);
    if (status != TRIB_OK) {
        expect_no_more(begun);
        trib_release(folder->env, begun, 1, sizeof *begun);
        return trib_error_set(error, status, "create %s: %s", path, trib_status_text(status));
    }
    *body = begun;
    return TRIB_OK;
}

enum trib_status trib_spool_body_append(struct trib_spool_body *body, const void *bytes,
                                        size_t count) {
    TRIB_ASSERT(!body->is_finished);
    const struct trib_files *files = body->folder->files;
    if (body->is_broken)
        return TRIB_EIO;
    uint64_t missing = body->bytes_expected - body->byte_count;
    if (count > missing && !expect(body, count - missing)) {
        body->is_broken = true;
        return TRIB_EFULL;
    }
    enum trib_status status =
        files->write_at(files->context, body->file, body->byte_count, bytes, count);
    body->byte_count += count;
    atomic_fetch_sub(&body->folder->bytes_coming, count);
    body->is_broken = status != TRIB_OK;
    return status;
}

enum trib_status trib_spool_body_write(struct trib_spool_body *body, uint64_t offset,
                                       const void *bytes, size_t count) {
    const struct trib_files *files = body->folder->files;
    TRIB_ASSERT(body->byte_count == 0 && !body->is_finished);
    TRIB_ASSERT(offset <= body->bytes_expected && count <= body->bytes_expected - offset);
    return files->write_at(files->context, body->file, offset, bytes, count);
}

void trib_spool_body_fill(struct trib_spool_body *body) {
    TRIB_ASSERT(body->byte_count == 0 && !body->is_finished);
    body->byte_count = body->bytes_expected;
    atomic_fetch_sub(&body->folder->bytes_coming, body->byte_count);
}

enum trib_status trib_spool_body_finish(struct trib_spool_body *body) {
    TRIB_ASSERT(!body->is_finished);
    const struct trib_files *files = body->folder->files;
    if (body->is_broken)
        return TRIB_EIO;
    enum trib_status status = files->sync(files->context, body->file);
    if (status == TRIB_OK)
        status = files->sync_directory(files->context, body->folder->path);
    expect_no_more(body);
    body->is_finished = status == TRIB_OK;
    body->is_broken = status != TRIB_OK;
    return status;
}

uint64_t trib_spool_body_byte_count(const struct trib_spool_body *body) {
    return body->byte_count;
}

static enum trib_status read_file(const struct trib_files *files, struct trib_file *file,
                                  uint64_t offset, void *bytes, size_t count) {
    size_t done = 0;
    enum trib_status status = files->read_at(files->context, file, offset, bytes, count, &done);
    return status == TRIB_OK && done < count ? TRIB_EIO : status;
}

static enum trib_status read_body(void *context, uint64_t offset, void *bytes, size_t count) {
    const struct trib_spool_body *body = context;
    return read_file(body->folder->files, body->file, offset, bytes, count);
}

struct trib_source trib_spool_body_source(const struct trib_spool_body *body) {
    return (struct trib_source){
        .context = (void *)(uintptr_t)body, /* read_body only reads */
        .byte_count = body->byte_count,
        .read = read_body,
    };
}

void trib_spool_body_keep(struct trib_spool_body *body) {
    const struct trib_spool_folder *folder = body->folder;
    TRIB_ASSERT(body->is_finished);
    folder->files->close(folder->files->context, body->file);
    trib_release(folder->env, body, 1, sizeof *body);
}

void trib_spool_body_abandon(struct trib_spool_body *body) {
    if (!body)
        return;
    struct trib_spool_folder *folder = body->folder;
    char path[TRIB_SPOOL_PATH_BYTES];
    trib_spool_path(folder, body->number, ".body", path);
    folder->files->close(folder->files->context, body->file);
    /* One that cannot be removed is an orphan for the next open. */
    (void)folder->files->remove(folder->files->context, path);
    expect_no_more(body);
    trib_spool_give_back(folder, body->byte_count);
    trib_release(folder->env, body, 1, sizeof *body);
}

bool trib_spool_body_is_finished(const struct trib_spool_body *body) {
    return body->is_finished;
}

uint64_t trib_spool_body_number(const struct trib_spool_body *body) {
    return body->number;
}

/* ---- reading ---- */

static enum trib_status read_entry(void *context, uint64_t offset, void *bytes, size_t count) {
    const struct trib_spool_reader *reader = context;
    return read_file(reader->files, reader->file, reader->offset + offset, bytes, count);
}

enum trib_status trib_spool_read_open(const struct trib_spool *spool,
                                      const struct trib_spool_place *place,
                                      struct trib_spool_reader *reader) {
    const struct trib_spool_folder *folder = trib_spool_folder_const(spool);
    const struct trib_files *files = folder->files;
    *reader = (struct trib_spool_reader){.files = files, .offset = place->body_offset};
    reader->source = (struct trib_source){
        .context = reader, .byte_count = place->body_bytes, .read = read_entry};
    char path[TRIB_SPOOL_PATH_BYTES];
    if (place->body_number > 0)
        trib_spool_path(folder, place->body_number, ".body", path);
    else
        trib_spool_path(folder, place->segment, ".segment", path);
    enum trib_status status = files->open(files->context, path, TRIB_FILE_READ, &reader->file);
    uint64_t file_bytes = 0;
    if (status == TRIB_OK)
        status = files->size(files->context, reader->file, &file_bytes);
    if (status == TRIB_OK &&
        (file_bytes < place->body_offset || file_bytes - place->body_offset < place->body_bytes))
        status = TRIB_ETRUNCATED;
    if (status != TRIB_OK)
        trib_spool_read_close(reader);
    return status;
}

void trib_spool_read_close(struct trib_spool_reader *reader) {
    if (reader->file)
        reader->files->close(reader->files->context, reader->file);
    *reader = (struct trib_spool_reader){0};
}

enum trib_status trib_spool_read_verify(const struct trib_spool *spool,
                                        const struct trib_spool_place *place,
                                        const struct trib_digest *digest) {
    struct trib_spool_reader reader;
    struct trib_digest found;
    enum trib_status status = trib_spool_read_open(spool, place, &reader);
    if (status != TRIB_OK)
        return status;
    status = trib_source_digest(&reader.source, &found);
    trib_spool_read_close(&reader);
    if (status == TRIB_OK && !trib_digest_equal(&found, digest))
        status = TRIB_ECORRUPT;
    return status;
}
