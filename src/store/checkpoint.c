/* checkpoint.c - versions and server states as files, and which of them to keep.
 *
 * state   magic 8 | format u32 | CRC-32 of the payload u32 | version u64 | payload bytes u64 |
 *         CRC-32 of the 32 bytes before u32 | payload */
#include "store/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define STATE_MAGIC "TRIBSTAT"
#define STATE_FORMAT 1
#define STATE_HEAD_BYTES TRIB_CHECKPOINT_STATE_OFFSET
#define MAGIC_BYTES 8
#define CRC_BYTES 4
#define PIECE_BYTES ((size_t)1 << 18)
#define PATH_BYTES 512

static const char versions_folder[] = "versions";
static const char state_folder[] = "state";

static const char *path_of(const char *run, const char *folder, uint64_t version,
                           const char *suffix, char path[PATH_BYTES]) {
    int count = snprintf(path, PATH_BYTES, "%s/%s/%llu%s", run, folder, (unsigned long long)version,
                         suffix);
    TRIB_ASSERT(count > 0 && (size_t)count < PATH_BYTES - sizeof ".tmp");
    return path;
}

static const char *version_path(const char *run, uint64_t version, char path[PATH_BYTES]) {
    return path_of(run, versions_folder, version, ".safetensors", path);
}

static const char *state_path(const char *run, uint64_t version, char path[PATH_BYTES]) {
    return path_of(run, state_folder, version, "", path);
}

static enum trib_status explain(struct trib_error *error, enum trib_status status, const char *verb,
                                const char *path) {
    return status == TRIB_OK
               ? status
               : trib_error_set(error, status, "%s %s: %s", verb, path, trib_status_text(status));
}

static enum trib_status read_exactly(const struct trib_files *files, struct trib_file *file,
                                     uint64_t offset, void *bytes, size_t count) {
    size_t done = 0;
    enum trib_status status = files->read_at(files->context, file, offset, bytes, count, &done);
    return status == TRIB_OK && done < count ? TRIB_EIO : status;
}

/* ---- writing ---- */

/* Stream the source into the file from offset on; *crc becomes that of its bytes. */
static enum trib_status write_source(const struct trib_env *env, const struct trib_files *files,
                                     struct trib_file *file, uint64_t file_offset,
                                     const struct trib_source *source, uint32_t *crc) {
    unsigned char *piece = trib_allocate(env, PIECE_BYTES, 1);
    if (!piece)
        return TRIB_EMEMORY;
    enum trib_status status = TRIB_OK;
    *crc = 0;
    for (uint64_t offset = 0; offset < source->byte_count && status == TRIB_OK;) {
        uint64_t bytes_left = source->byte_count - offset;
        size_t count = bytes_left < PIECE_BYTES ? (size_t)bytes_left : PIECE_BYTES;
        const void *bytes = trib_source_bytes(source, offset, count, piece);
        if (!bytes) {
            status = TRIB_EIO;
            break;
        }
        *crc = trib_crc32(*crc, bytes, count);
        status = files->write_at(files->context, file, file_offset + offset, bytes, count);
        offset += count;
    }
    trib_release(env, piece, PIECE_BYTES, 1);
    return status;
}

static enum trib_status write_state_head(const struct trib_files *files, struct trib_file *file,
                                         uint64_t version, uint64_t payload_bytes, uint32_t crc) {
    unsigned char head[STATE_HEAD_BYTES];
    struct trib_writer writer;
    trib_writer_init(&writer, head, sizeof head);
    trib_put_bytes(&writer, STATE_MAGIC, MAGIC_BYTES);
    trib_put_u32(&writer, STATE_FORMAT);
    trib_put_u32(&writer, crc);
    trib_put_u64(&writer, version);
    trib_put_u64(&writer, payload_bytes);
    trib_put_u32(&writer, trib_crc32(0, head, STATE_HEAD_BYTES - CRC_BYTES));
    TRIB_ASSERT(!writer.is_failed && writer.byte_count == STATE_HEAD_BYTES);
    return files->write_at(files->context, file, 0, head, sizeof head);
}

static const char *draft_path(const char *path, char draft[PATH_BYTES]) {
    (void)snprintf(draft, PATH_BYTES, "%.*s.tmp", (int)(PATH_BYTES - sizeof ".tmp"), path);
    return draft;
}

/* Sync and close the draft, rename it to path, sync the folder. status: of writing it. */
static enum trib_status finish_draft(const struct trib_files *files, const char *run,
                                     const char *folder, const char *path, struct trib_file *file,
                                     enum trib_status status) {
    char draft[PATH_BYTES];
    char folder_path[PATH_BYTES];
    (void)draft_path(path, draft);
    (void)snprintf(folder_path, sizeof folder_path, "%s/%s", run, folder);
    if (status == TRIB_OK)
        status = files->sync(files->context, file);
    files->close(files->context, file);
    if (status == TRIB_OK)
        status = files->rename(files->context, draft, path);
    if (status != TRIB_OK) {
        /* The first error is the one to tell; the next try empties the draft. */
        (void)files->remove(files->context, draft);
        return status;
    }
    return files->sync_directory(files->context, folder_path);
}

/* Write a draft and publish it. state: put a head in front. */
static enum trib_status publish(const struct trib_env *env, const struct trib_files *files,
                                const char *run, const char *folder, const char *path,
                                bool is_state, uint64_t version, const struct trib_source *source) {
    char draft[PATH_BYTES];
    struct trib_file *file;
    uint32_t crc;
    enum trib_status status =
        files->open(files->context, draft_path(path, draft), TRIB_FILE_CREATE, &file);
    if (status != TRIB_OK)
        return status;
    status = write_source(env, files, file, is_state ? STATE_HEAD_BYTES : 0, source, &crc);
    if (status == TRIB_OK && is_state)
        status = write_state_head(files, file, version, source->byte_count, crc);
    return finish_draft(files, run, folder, path, file, status);
}

enum trib_status trib_checkpoint_write_version(const struct trib_env *env,
                                               const struct trib_files *files, const char *run,
                                               uint64_t version, const struct trib_source *bytes,
                                               struct trib_error *error) {
    char path[PATH_BYTES];
    version_path(run, version, path);
    return explain(error, publish(env, files, run, versions_folder, path, false, version, bytes),
                   "write", path);
}

enum trib_status trib_checkpoint_write_state(const struct trib_env *env,
                                             const struct trib_files *files, const char *run,
                                             uint64_t version, const struct trib_source *bytes,
                                             struct trib_error *error) {
    char path[PATH_BYTES];
    state_path(run, version, path);
    return explain(error, publish(env, files, run, state_folder, path, true, version, bytes),
                   "write", path);
}

/* ---- writing by ranges ---- */

static const char *kind_path(const char *run, enum trib_checkpoint_kind kind, uint64_t version,
                             char path[PATH_BYTES]) {
    return kind == TRIB_CHECKPOINT_STATE ? state_path(run, version, path)
                                         : version_path(run, version, path);
}

enum trib_status trib_checkpoint_begin(const struct trib_files *files, const char *run,
                                       enum trib_checkpoint_kind kind, uint64_t version,
                                       uint64_t byte_count, struct trib_file **file,
                                       struct trib_error *error) {
    char path[PATH_BYTES], draft[PATH_BYTES];
    uint64_t head_bytes = kind == TRIB_CHECKPOINT_STATE ? STATE_HEAD_BYTES : 0;
    *file = NULL;
    (void)draft_path(kind_path(run, kind, version, path), draft);
    enum trib_status status = files->open(files->context, draft, TRIB_FILE_CREATE, file);
    if (status == TRIB_OK)
        status = files->truncate(files->context, *file, head_bytes + byte_count);
    if (status != TRIB_OK && *file != NULL) {
        trib_checkpoint_abandon(files, run, kind, version, *file);
        *file = NULL;
    }
    return explain(error, status, "write", draft);
}

void trib_checkpoint_abandon(const struct trib_files *files, const char *run,
                             enum trib_checkpoint_kind kind, uint64_t version,
                             struct trib_file *file) {
    char path[PATH_BYTES], draft[PATH_BYTES];
    if (file == NULL)
        return;
    files->close(files->context, file);
    /* What stays is removed by the next start. */
    (void)files->remove(files->context, draft_path(kind_path(run, kind, version, path), draft));
}

/* Checksum and digest of all bytes from offset on. */
static enum trib_status sum_up(const struct trib_env *env, const struct trib_files *files,
                               struct trib_file *file, uint64_t offset, uint64_t file_bytes,
                               uint32_t *crc, struct trib_digest *digest) {
    struct trib_digester digester = {0};
    unsigned char *piece = trib_allocate(env, PIECE_BYTES, 1);
    enum trib_status status =
        piece != NULL && trib_digester_begin(&digester) ? TRIB_OK : TRIB_EMEMORY;
    *crc = 0;
    for (uint64_t at = offset; status == TRIB_OK && at < file_bytes;) {
        size_t count = file_bytes - at < PIECE_BYTES ? (size_t)(file_bytes - at) : PIECE_BYTES;
        status = read_exactly(files, file, at, piece, count);
        if (status == TRIB_OK) {
            *crc = trib_crc32(*crc, piece, count);
            trib_digester_add(&digester, piece, count);
        }
        at += count;
    }
    trib_release(env, piece, PIECE_BYTES, 1);
    if (status == TRIB_OK)
        trib_digester_finish(&digester, digest);
    else
        trib_digester_abandon(&digester);
    return status;
}

static enum trib_status seal_state(const struct trib_env *env, const struct trib_files *files,
                                   struct trib_file *file, uint64_t version,
                                   struct trib_digest *digest) {
    uint64_t file_bytes = 0;
    uint32_t crc = 0;
    enum trib_status status = files->size(files->context, file, &file_bytes);
    if (status == TRIB_OK)
        status = sum_up(env, files, file, STATE_HEAD_BYTES, file_bytes, &crc, digest);
    return status == TRIB_OK
               ? write_state_head(files, file, version, file_bytes - STATE_HEAD_BYTES, crc)
               : status;
}

enum trib_status trib_checkpoint_publish(const struct trib_env *env, const struct trib_files *files,
                                         const char *run, enum trib_checkpoint_kind kind,
                                         uint64_t version, struct trib_file *file,
                                         struct trib_digest *digest, struct trib_error *error) {
    char path[PATH_BYTES];
    bool is_state = kind == TRIB_CHECKPOINT_STATE;
    (void)kind_path(run, kind, version, path);
    enum trib_status status = is_state ? seal_state(env, files, file, version, digest) : TRIB_OK;
    status =
        finish_draft(files, run, is_state ? state_folder : versions_folder, path, file, status);
    return explain(error, status, "write", path);
}

/* ---- loading ---- */

static enum trib_status open_sized(const struct trib_files *files, const char *path,
                                   struct trib_file **file, uint64_t *byte_count) {
    enum trib_status status = files->open(files->context, path, TRIB_FILE_READ, file);
    if (status != TRIB_OK)
        return status;
    status = files->size(files->context, *file, byte_count);
    if (status != TRIB_OK) {
        files->close(files->context, *file);
        *file = NULL;
    }
    return status;
}

/* Check the head of a state file; *crc is what its payload must have. */
static enum trib_status read_state_head(const struct trib_files *files, struct trib_file *file,
                                        uint64_t file_bytes, uint64_t version, uint32_t *crc) {
    unsigned char head[STATE_HEAD_BYTES];
    if (file_bytes < STATE_HEAD_BYTES)
        return TRIB_ECORRUPT;
    enum trib_status status = read_exactly(files, file, 0, head, sizeof head);
    if (status != TRIB_OK)
        return status;
    struct trib_reader reader;
    trib_reader_init(&reader, head, sizeof head);
    bool is_ours = memcmp(trib_get_bytes(&reader, MAGIC_BYTES), STATE_MAGIC, MAGIC_BYTES) == 0;
    uint32_t format = trib_get_u32(&reader);
    *crc = trib_get_u32(&reader);
    uint64_t found_version = trib_get_u64(&reader);
    uint64_t payload_bytes = trib_get_u64(&reader);
    if (!is_ours || trib_get_u32(&reader) != trib_crc32(0, head, STATE_HEAD_BYTES - CRC_BYTES))
        return TRIB_ECORRUPT;
    if (format != STATE_FORMAT)
        return TRIB_EUNSUPPORTED;
    bool is_whole = payload_bytes == file_bytes - STATE_HEAD_BYTES;
    return found_version == version && is_whole ? TRIB_OK : TRIB_ECORRUPT;
}

/* Bytes offset.. of the file as a sealed block that has the expected digest (NULL: any) and
 * checksum (NULL: any). */
static enum trib_status load_block(const struct trib_env *env, const struct trib_files *files,
                                   struct trib_file *file, uint64_t offset, uint64_t byte_count,
                                   const struct trib_digest *expected, const uint32_t *crc,
                                   struct trib_block **block) {
    if (byte_count > PTRDIFF_MAX)
        return TRIB_ELIMIT;
    struct trib_block *read = trib_block_new(env, (size_t)byte_count);
    if (!read)
        return TRIB_EMEMORY;
    enum trib_status status = read_exactly(files, file, offset, read->bytes, read->byte_count);
    if (status == TRIB_OK && crc && trib_crc32(0, read->bytes, read->byte_count) != *crc)
        status = TRIB_ECORRUPT;
    if (status == TRIB_OK && expected) {
        struct trib_digest found;
        trib_digest_of(read->bytes, read->byte_count, &found);
        if (!trib_digest_equal(&found, expected))
            status = TRIB_ECORRUPT;
    }
    if (status != TRIB_OK) {
        trib_block_unref(read);
        return status;
    }
    trib_block_seal(read);
    *block = read;
    return TRIB_OK;
}

enum trib_status trib_checkpoint_load_version(const struct trib_env *env,
                                              const struct trib_files *files, const char *run,
                                              uint64_t version, const struct trib_digest *expected,
                                              struct trib_block **block, struct trib_error *error) {
    char path[PATH_BYTES];
    struct trib_file *file = NULL;
    uint64_t byte_count = 0;
    *block = NULL;
    enum trib_status status =
        open_sized(files, version_path(run, version, path), &file, &byte_count);
    if (status == TRIB_OK)
        status = load_block(env, files, file, 0, byte_count, expected, NULL, block);
    files->close(files->context, file);
    return explain(error, status, "load", path);
}

enum trib_status trib_checkpoint_load_state(const struct trib_env *env,
                                            const struct trib_files *files, const char *run,
                                            uint64_t version, const struct trib_digest *expected,
                                            struct trib_block **block, struct trib_error *error) {
    char path[PATH_BYTES];
    struct trib_file *file = NULL;
    uint64_t byte_count = 0;
    uint32_t crc = 0;
    *block = NULL;
    enum trib_status status = open_sized(files, state_path(run, version, path), &file, &byte_count);
    if (status == TRIB_OK)
        status = read_state_head(files, file, byte_count, version, &crc);
    if (status == TRIB_OK)
        status = load_block(env, files, file, STATE_HEAD_BYTES, byte_count - STATE_HEAD_BYTES,
                            expected, &crc, block);
    files->close(files->context, file);
    return explain(error, status, "load", path);
}

/* ---- reading by ranges ---- */

static enum trib_status read_range(void *context, uint64_t offset, void *bytes, size_t count) {
    const struct trib_checkpoint_reader *reader = context;
    return read_exactly(reader->files, reader->file, reader->offset + offset, bytes, count);
}

enum trib_status trib_checkpoint_open(const struct trib_files *files, const char *run,
                                      enum trib_checkpoint_kind kind, uint64_t version,
                                      struct trib_checkpoint_reader *reader,
                                      struct trib_error *error) {
    char path[PATH_BYTES];
    uint64_t file_bytes = 0;
    *reader = (struct trib_checkpoint_reader){.files = files};
    enum trib_status status =
        open_sized(files, kind_path(run, kind, version, path), &reader->file, &file_bytes);
    if (status == TRIB_OK && kind == TRIB_CHECKPOINT_STATE) {
        status = read_state_head(files, reader->file, file_bytes, version, &reader->crc);
        reader->offset = STATE_HEAD_BYTES;
    }
    reader->source = (struct trib_source){
        .context = reader,
        .byte_count = file_bytes - reader->offset,
        .read = read_range,
    };
    if (status != TRIB_OK)
        trib_checkpoint_close(reader);
    return explain(error, status, "load", path);
}

enum trib_status trib_checkpoint_verify(const struct trib_env *env,
                                        const struct trib_checkpoint_reader *reader,
                                        const struct trib_digest *digest) {
    uint32_t crc;
    struct trib_digest found;
    enum trib_status status = sum_up(env, reader->files, reader->file, reader->offset,
                                     reader->offset + reader->source.byte_count, &crc, &found);
    bool is_state = reader->offset > 0;
    bool is_good =
        (!is_state || crc == reader->crc) && (digest == NULL || trib_digest_equal(&found, digest));
    return status == TRIB_OK && !is_good ? TRIB_ECORRUPT : status;
}

void trib_checkpoint_close(struct trib_checkpoint_reader *reader) {
    if (reader->file != NULL)
        reader->files->close(reader->files->context, reader->file);
    *reader = (struct trib_checkpoint_reader){0};
}

enum trib_status trib_checkpoint_open_version(const struct trib_files *files, const char *run,
                                              uint64_t version, struct trib_file **file,
                                              uint64_t *byte_count) {
    char path[PATH_BYTES];
    *file = NULL;
    return open_sized(files, version_path(run, version, path), file, byte_count);
}

/* ---- keeping ---- */

static enum trib_status remove_if_there(const struct trib_files *files, const char *path) {
    enum trib_status status = files->remove(files->context, path);
    return status == TRIB_ENOTFOUND ? TRIB_OK : status;
}

enum trib_status trib_checkpoint_remove_version(const struct trib_files *files, const char *run,
                                                uint64_t version) {
    char path[PATH_BYTES];
    return remove_if_there(files, version_path(run, version, path));
}

enum trib_status trib_checkpoint_remove_state(const struct trib_files *files, const char *run,
                                              uint64_t version) {
    char path[PATH_BYTES];
    return remove_if_there(files, state_path(run, version, path));
}

static enum trib_status list(const struct trib_env *env, const struct trib_files *files,
                             const char *run, const char *folder, const char *suffix,
                             struct trib_numbers *numbers) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", run, folder);
    return trib_numbers_list(env, files, path, suffix, numbers);
}

enum trib_status trib_checkpoint_list_versions(const struct trib_env *env,
                                               const struct trib_files *files, const char *run,
                                               struct trib_numbers *numbers) {
    return list(env, files, run, versions_folder, ".safetensors", numbers);
}

enum trib_status trib_checkpoint_list_states(const struct trib_env *env,
                                             const struct trib_files *files, const char *run,
                                             struct trib_numbers *numbers) {
    return list(env, files, run, state_folder, "", numbers);
}

size_t trib_keep_choose(const struct trib_keep *keep, const uint64_t *present, size_t count,
                        uint64_t *doomed) {
    const uint64_t last = keep->last > 0 ? keep->last : 1;
    size_t doomed_count = 0;
    for (size_t index = 0; index < count; index++) {
        const uint64_t version = present[index];
        bool is_kept = count - index <= last;
        is_kept |= keep->every > 0 && version % keep->every == 0;
        is_kept |= keep->has_best && version == keep->best;
        is_kept |= keep->has_checkpoint && version == keep->checkpoint;
        is_kept |= keep->has_base && version >= keep->base;
        if (!is_kept)
            doomed[doomed_count++] = version;
    }
    return doomed_count;
}
