/* keepsake.c - what a client keeps between its tasks, in a directory of its own.
 *
 * `own` and `sending` are the same record; `own` has no body:
 *
 *   u32 magic | text run | text client | text task | u64 base | u64 examples | text metrics |
 *   u64 count | float32[count] | u64 body bytes | body | SHA-256 of all before
 *
 * Numbers are little-endian; the floats are this machine's, as nobody else reads them. */
#include "cli/keepsake.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/digest.h"

#define MAGIC 0x4b425254u /* "TRBK" */
#define OWN "own"
#define SENDING "sending"
#define FILE_BYTES_MAX (SIZE_MAX / 2)

/* One record; texts and arrays are borrowed from where it was read or comes from. */
struct record {
    char run[TRIB_NAME_BYTES];
    char client[TRIB_NAME_BYTES];
    char task[TRIB_KEEPSAKE_TASK_BYTES];
    uint64_t base;
    uint64_t examples;
    char metrics[TRIB_KEEPSAKE_METRICS_BYTES];
    const float *own;
    size_t count;
    const void *body;
    size_t body_bytes;
};

static void release_own(const struct trib_keepsake *keepsake, float **own, size_t *count) {
    trib_release(keepsake->env, *own, *count, sizeof **own);
    *own = NULL;
    *count = 0;
}

static void release_body(struct trib_keepsake *keepsake) {
    trib_release(keepsake->env, keepsake->body, keepsake->body_bytes, 1);
    keepsake->body = NULL;
    keepsake->body_bytes = 0;
}

/* --- records ---------------------------------------------------------------------------------- */

static enum trib_status write_record(const struct trib_keepsake *keepsake, const char *path,
                                     const struct record *record, struct trib_error *error) {
    const size_t own_bytes = record->count * sizeof(float);
    const size_t room = sizeof *record + own_bytes + record->body_bytes + TRIB_DIGEST_BYTES;
    unsigned char *bytes = trib_allocate(keepsake->env, room, 1);
    if (bytes == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory to write %s", path);
    }
    struct trib_writer writer;
    trib_writer_init(&writer, bytes, room);
    trib_put_u32(&writer, MAGIC);
    trib_put_text(&writer, record->run);
    trib_put_text(&writer, record->client);
    trib_put_text(&writer, record->task);
    trib_put_u64(&writer, record->base);
    trib_put_u64(&writer, record->examples);
    trib_put_text(&writer, record->metrics);
    trib_put_u64(&writer, record->count);
    trib_put_bytes(&writer, record->own, own_bytes);
    trib_put_u64(&writer, record->body_bytes);
    trib_put_bytes(&writer, record->body, record->body_bytes);
    struct trib_digest digest;
    trib_digest_of(bytes, writer.byte_count, &digest);
    trib_put_bytes(&writer, digest.bytes, sizeof digest.bytes);
    TRIB_ASSERT(!writer.is_failed);
    const enum trib_status status =
        trib_files_publish(keepsake->files, path, bytes, writer.byte_count);
    trib_release(keepsake->env, bytes, room, 1);
    return status == TRIB_OK ? TRIB_OK
                             : trib_error_set(error, status, "%s cannot be written: %s", path,
                                              trib_status_text(status));
}

/* False: not what write_record() writes. */
static bool parse(const char *bytes, size_t byte_count, struct record *record) {
    struct trib_digest digest;
    if (byte_count < TRIB_DIGEST_BYTES) {
        return false;
    }
    const size_t content = byte_count - TRIB_DIGEST_BYTES;
    trib_digest_of(bytes, content, &digest);
    if (memcmp(digest.bytes, bytes + content, TRIB_DIGEST_BYTES) != 0) {
        return false;
    }
    struct trib_reader reader;
    trib_reader_init(&reader, bytes, content);
    const bool is_ours = trib_get_u32(&reader) == MAGIC;
    trib_get_text(&reader, record->run, sizeof record->run);
    trib_get_text(&reader, record->client, sizeof record->client);
    trib_get_text(&reader, record->task, sizeof record->task);
    record->base = trib_get_u64(&reader);
    record->examples = trib_get_u64(&reader);
    trib_get_text(&reader, record->metrics, sizeof record->metrics);
    const uint64_t count = trib_get_u64(&reader);
    if (reader.is_failed || count > reader.bytes_left / sizeof(float)) {
        return false;
    }
    record->count = (size_t)count;
    record->own = trib_get_bytes(&reader, record->count * sizeof(float));
    record->body_bytes = (size_t)trib_get_u64(&reader);
    if (reader.is_failed || record->body_bytes != reader.bytes_left) {
        return false;
    }
    record->body = trib_get_bytes(&reader, record->body_bytes);
    return is_ours;
}

/* --- into the keepsake ------------------------------------------------------------------------ */

static enum trib_status keep_own(struct trib_keepsake *keepsake, const struct record *record,
                                 float **own, size_t *count) {
    float *copy = trib_allocate(keepsake->env, record->count, sizeof *copy);
    if (copy == NULL) {
        return TRIB_EMEMORY;
    }
    memcpy(copy, record->own, record->count * sizeof *copy); /* may be unaligned there */
    release_own(keepsake, own, count);
    *own = copy;
    *count = record->count;
    return TRIB_OK;
}

static enum trib_status take_own(struct trib_keepsake *keepsake, const struct record *record) {
    memcpy(keepsake->own_task, record->task, sizeof keepsake->own_task);
    keepsake->version = record->base;
    return keep_own(keepsake, record, &keepsake->own, &keepsake->count);
}

static enum trib_status take_sending(struct trib_keepsake *keepsake, const struct record *record) {
    keepsake->body = trib_allocate(keepsake->env, record->body_bytes, 1);
    if (keepsake->body == NULL) {
        return TRIB_EMEMORY;
    }
    memcpy(keepsake->body, record->body, record->body_bytes);
    keepsake->body_bytes = record->body_bytes;
    memcpy(keepsake->task, record->task, sizeof keepsake->task);
    memcpy(keepsake->metrics, record->metrics, sizeof keepsake->metrics);
    keepsake->base = record->base;
    keepsake->examples = record->examples;
    return keep_own(keepsake, record, &keepsake->next_own, &keepsake->next_count);
}

/* TRIB_OK also when there is no such file. */
static enum trib_status load(struct trib_keepsake *keepsake, const char *path,
                             enum trib_status (*take)(struct trib_keepsake *keepsake,
                                                      const struct record *record),
                             struct trib_error *error) {
    char *bytes = NULL;
    size_t byte_count = 0;
    struct record record = {0};
    enum trib_status status = trib_files_read_all(keepsake->env, keepsake->files, path,
                                                  FILE_BYTES_MAX, &bytes, &byte_count);
    if (status == TRIB_ENOTFOUND) {
        return TRIB_OK;
    }
    if (status != TRIB_OK) {
        return trib_error_set(error, status, "%s cannot be read: %s", path,
                              trib_status_text(status));
    }
    if (!parse(bytes, byte_count, &record)) {
        status = trib_error_set(error, TRIB_ECORRUPT, "%s is damaged", path);
    } else if (strcmp(record.run, keepsake->run) != 0 ||
               strcmp(record.client, keepsake->client) != 0) {
        status = trib_error_set(error, TRIB_ECONFLICT,
                                "this is what client %s of run %s keeps; give every client a "
                                "directory of its own",
                                record.client, record.run);
    } else {
        status = take(keepsake, &record);
        if (status != TRIB_OK) {
            (void)trib_error_set(error, status, "no memory for %s", path);
        }
    }
    trib_release(keepsake->env, bytes, byte_count + 1, 1);
    return status;
}

/* --- opening ---------------------------------------------------------------------------------- */

static enum trib_status forget_sending(struct trib_keepsake *keepsake, struct trib_error *error) {
    const enum trib_status status = keepsake->files->remove(keepsake->files->context, SENDING);
    release_body(keepsake);
    release_own(keepsake, &keepsake->next_own, &keepsake->next_count);
    return status == TRIB_OK || status == TRIB_ENOTFOUND
               ? TRIB_OK
               : trib_error_set(error, status, "%s cannot be removed: %s", SENDING,
                                trib_status_text(status));
}

enum trib_status trib_keepsake_open_files(struct trib_keepsake *keepsake,
                                          const struct trib_env *env,
                                          const struct trib_files *files, const char *run,
                                          const char *client, struct trib_error *error) {
    *keepsake = (struct trib_keepsake){.env = env, .files = files};
    (void)snprintf(keepsake->run, sizeof keepsake->run, "%s", run);
    (void)snprintf(keepsake->client, sizeof keepsake->client, "%s", client);
    enum trib_status status = load(keepsake, OWN, take_own, error);
    if (status == TRIB_OK) {
        status = load(keepsake, SENDING, take_sending, error);
    }
    if (status == TRIB_OK && keepsake->body != NULL && keepsake->own != NULL &&
        strcmp(keepsake->task, keepsake->own_task) == 0) {
        status = forget_sending(keepsake, error); /* settled, but for this */
    }
    if (status != TRIB_OK) {
        trib_keepsake_close(keepsake);
    }
    return status;
}

enum trib_status trib_keepsake_open(struct trib_keepsake *keepsake, const struct trib_env *env,
                                    const char *directory, const char *run, const char *client,
                                    struct trib_error *error) {
    struct trib_files *files;
    *keepsake = (struct trib_keepsake){0};
    enum trib_status status = trib_files_open(env, directory, true, &files, error);
    if (status != TRIB_OK) {
        return status;
    }
    status = trib_keepsake_open_files(keepsake, env, files, run, client, error);
    if (status == TRIB_OK) {
        keepsake->opened = files;
    } else {
        (void)trib_error_prefix(error, status, "%s", directory);
        trib_files_close(files);
    }
    return status;
}

void trib_keepsake_close(struct trib_keepsake *keepsake) {
    if (keepsake->env != NULL) {
        release_own(keepsake, &keepsake->own, &keepsake->count);
        release_own(keepsake, &keepsake->next_own, &keepsake->next_count);
        release_body(keepsake);
        trib_files_close(keepsake->opened);
    }
    *keepsake = (struct trib_keepsake){0};
}

/* --- promise and settle ----------------------------------------------------------------------- */

enum trib_status trib_keepsake_promise(struct trib_keepsake *keepsake,
                                       const struct trib_promise *promise,
                                       struct trib_error *error) {
    TRIB_ASSERT(keepsake->body == NULL);
    TRIB_ASSERT(promise->body_bytes > 0 && promise->count > 0);
    struct record record = {
        .base = promise->base,
        .examples = promise->examples,
        .own = promise->next_own,
        .count = promise->count,
        .body = promise->body,
        .body_bytes = promise->body_bytes,
    };
    memcpy(record.run, keepsake->run, sizeof record.run);
    memcpy(record.client, keepsake->client, sizeof record.client);
    (void)snprintf(record.task, sizeof record.task, "%s", promise->task);
    (void)snprintf(record.metrics, sizeof record.metrics, "%s", promise->metrics);
    enum trib_status status = take_sending(keepsake, &record);
    if (status != TRIB_OK) {
        release_body(keepsake);
        return trib_error_set(error, status, "no memory for an update");
    }
    status = write_record(keepsake, SENDING, &record, error);
    if (status != TRIB_OK) { /* it may be there all the same */
        struct trib_error unused;
        (void)forget_sending(keepsake, &unused); /* the first error is the one to tell */
    }
    return status;
}

enum trib_status trib_keepsake_settle(struct trib_keepsake *keepsake, bool is_counted,
                                      struct trib_error *error) {
    TRIB_ASSERT(keepsake->body != NULL);
    if (is_counted) {
        struct record record = {
            .base = keepsake->base,
            .examples = keepsake->examples,
            .own = keepsake->next_own,
            .count = keepsake->next_count,
            .body = "",
        };
        memcpy(record.run, keepsake->run, sizeof record.run);
        memcpy(record.client, keepsake->client, sizeof record.client);
        memcpy(record.task, keepsake->task, sizeof record.task);
        const enum trib_status status = write_record(keepsake, OWN, &record, error);
        if (status != TRIB_OK) {
            return status;
        }
        release_own(keepsake, &keepsake->own, &keepsake->count);
        keepsake->own = keepsake->next_own;
        keepsake->count = keepsake->next_count;
        keepsake->next_own = NULL;
        keepsake->next_count = 0;
        keepsake->version = keepsake->base;
        memcpy(keepsake->own_task, keepsake->task, sizeof keepsake->own_task);
    }
    return forget_sending(keepsake, error);
}
