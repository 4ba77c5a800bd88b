/* ledger.c - the append-only, hash-chained record of a run: a journal whose payloads end in the
 * digest of everything up to them.
 *
 * payload   text | SHA-256 of (digest of the record before || text) */
#include "store/ledger.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/name.h"
#include "store/journal.h"

#define MAGIC "TRIBLEDG"
#define KIND 1u
#define MARKS_MAX 1024u
#define COPY_BYTES (64u << 10)
#define PATH_BYTES 512

_Static_assert(TRIB_LEDGER_PAYLOAD_BYTES_MAX + TRIB_DIGEST_BYTES <= TRIB_JOURNAL_RECORD_BYTES_MAX,
               "a ledger record fits into a journal record");

struct tally {
    uint64_t count;          /* records */
    struct trib_digest head; /* of the last one */
};

struct trib_ledger {
    const struct trib_env *env;
    const struct trib_files *files;
    char path[PATH_BYTES];
    struct trib_journal journal;
    struct trib_digest start; /* of the chain */
    struct tally synced;
    struct tally written; /* including what was appended since the last sync */

    /* marks[i]: offset of record i * stride. When they are full every other one goes, so that
     * finding a record costs a short walk at any length of ledger. Marks of records that a failed
     * sync took away are overwritten by those that come instead. */
    uint64_t stride;
    uint64_t marks[MARKS_MAX];
};

static void put_mark(struct trib_ledger *ledger, uint64_t index, uint64_t offset) {
    if (index / ledger->stride == MARKS_MAX) {
        for (size_t mark = 0; mark < MARKS_MAX / 2; mark++)
            ledger->marks[mark] = ledger->marks[2 * mark];
        ledger->stride *= 2;
    }
    if (index % ledger->stride == 0)
        ledger->marks[index / ledger->stride] = offset;
}

static bool chain(const struct trib_digest *previous, const void *text, size_t text_bytes,
                  struct trib_digest *digest) {
    struct trib_digester digester;
    if (!trib_digester_begin(&digester))
        return false;
    trib_digester_add(&digester, previous->bytes, TRIB_DIGEST_BYTES);
    trib_digester_add(&digester, text, text_bytes);
    trib_digester_finish(&digester, digest);
    return true;
}

static void start_chain(const char *run_name, struct trib_digest *start) {
    char text[32 + TRIB_NAME_BYTES];
    int count = snprintf(text, sizeof text, "tributary ledger 1\n%s", run_name);
    trib_digest_of(text, (size_t)count, start);
}

/* Walks the chain record by record, handing those from first on to the visitor. */
struct follower {
    struct tally tally; /* of the records seen so far */
    uint64_t first;
    uint64_t end;               /* one behind the last that the visitor wants */
    struct trib_ledger *marked; /* gets the marks; NULL: has them */
    struct trib_error *error;
    void *context;
    trib_ledger_visit *visit; /* may be NULL */
};

static enum trib_status follow(void *context, uint32_t kind, uint64_t offset, const void *payload,
                               size_t payload_bytes) {
    struct follower *follower = context;
    struct trib_ledger_record record = {.index = follower->tally.count,
                                        .previous = follower->tally.head};
    if (kind != KIND)
        return trib_error_set(follower->error, TRIB_EUNSUPPORTED,
                              "record %llu at offset %llu is of the unknown kind %u",
                              (unsigned long long)record.index, (unsigned long long)offset,
                              (unsigned)kind);
    bool is_sound = payload_bytes > TRIB_DIGEST_BYTES;
    if (is_sound) {
        record.payload = payload;
        record.payload_bytes = payload_bytes - TRIB_DIGEST_BYTES;
        if (!chain(&record.previous, payload, record.payload_bytes, &record.digest))
            return TRIB_EMEMORY;
        is_sound = memcmp(record.payload + record.payload_bytes, record.digest.bytes,
                          TRIB_DIGEST_BYTES) == 0;
    }
    if (!is_sound)
        return trib_error_set(follower->error, TRIB_ECORRUPT,
                              "record %llu at offset %llu does not continue the chain",
                              (unsigned long long)record.index, (unsigned long long)offset);
    if (follower->marked)
        put_mark(follower->marked, record.index, offset);
    follower->tally = (struct tally){.count = record.index + 1, .head = record.digest};
    if (!follower->visit || record.index < follower->first || record.index >= follower->end)
        return TRIB_OK;
    return follower->visit(follower->context, &record);
}

enum trib_status trib_ledger_create(const struct trib_env *env, const struct trib_files *files,
                                    const char *path, const char *run_name) {
    TRIB_ASSERT(strlen(run_name) < TRIB_NAME_BYTES);
    return trib_journal_create(env, files, path, MAGIC, run_name, strlen(run_name));
}

/* A text for a bare code. */
static enum trib_status say(struct trib_error *error, enum trib_status status) {
    return status == TRIB_OK ? status
                             : trib_error_set(error, status, "%s", trib_status_text(status));
}

static enum trib_status check_name(const struct trib_ledger *ledger, const char *run_name,
                                   struct trib_error *error) {
    const struct trib_journal *journal = &ledger->journal;
    if (journal->about_bytes == strlen(run_name) &&
        memcmp(journal->about, run_name, journal->about_bytes) == 0)
        return TRIB_OK;
    return trib_error_set(error, TRIB_ECONFLICT, "%s belongs to the run %.*s, not to %s",
                          ledger->path, (int)journal->about_bytes, (const char *)journal->about,
                          run_name);
}

static enum trib_status load(struct trib_ledger *ledger, const char *run_name,
                             struct trib_error *error, void *context, trib_ledger_visit *visit) {
    enum trib_status status =
        trib_journal_open(&ledger->journal, ledger->env, ledger->files, ledger->path, MAGIC, error);
    if (status == TRIB_OK)
        status = check_name(ledger, run_name, error);
    if (status != TRIB_OK)
        return status;
    struct follower follower = {.tally = {.head = ledger->start},
                                .end = UINT64_MAX,
                                .marked = ledger,
                                .error = error,
                                .context = context,
                                .visit = visit};
    status = trib_journal_scan(&ledger->journal, TRIB_JOURNAL_UNLIMITED, error, &follower, follow);
    if (status == TRIB_OK)
        status = say(error, trib_journal_settle(&ledger->journal));
    if (status != TRIB_OK)
        return trib_error_prefix(error, status, "%s", ledger->path);
    ledger->synced = ledger->written = follower.tally;
    return TRIB_OK;
}

enum trib_status trib_ledger_open(const struct trib_env *env, const struct trib_files *files,
                                  const char *path, const char *run_name,
                                  struct trib_ledger **ledger, uint64_t *torn_bytes,
                                  struct trib_error *error, void *context,
                                  trib_ledger_visit *visit) {
    *ledger = NULL;
    struct trib_ledger *opened = trib_allocate(env, 1, sizeof *opened);
    if (!opened)
        return trib_error_set(error, TRIB_EMEMORY, "open %s: out of memory", path);
    TRIB_ASSERT(strlen(path) + sizeof ".tmp" <= sizeof opened->path);
    TRIB_ASSERT(strlen(run_name) < TRIB_NAME_BYTES);
    opened->env = env;
    opened->files = files;
    opened->stride = 1;
    snprintf(opened->path, sizeof opened->path, "%s", path);
    start_chain(run_name, &opened->start);

    enum trib_status status = load(opened, run_name, error, context, visit);
    if (status != TRIB_OK) {
        trib_ledger_close(opened);
        return status;
    }
    if (torn_bytes)
        *torn_bytes = opened->journal.torn_bytes;
    *ledger = opened;
    return TRIB_OK;
}

void trib_ledger_close(struct trib_ledger *ledger) {
    if (!ledger)
        return;
    trib_journal_close(&ledger->journal);
    trib_release(ledger->env, ledger, 1, sizeof *ledger);
}

enum trib_status trib_ledger_append(struct trib_ledger *ledger, const void *payload,
                                    size_t payload_bytes) {
    if (payload_bytes == 0)
        return TRIB_EINVALID;
    if (payload_bytes > TRIB_LEDGER_PAYLOAD_BYTES_MAX)
        return TRIB_ELIMIT;
    struct tally after = {.count = ledger->written.count + 1};
    if (!chain(&ledger->written.head, payload, payload_bytes, &after.head))
        return TRIB_EMEMORY;
    uint64_t offset = 0;
    enum trib_status status = trib_journal_begin(&ledger->journal, KIND);
    if (status == TRIB_OK)
        status = trib_journal_add(&ledger->journal, payload, payload_bytes);
    if (status == TRIB_OK)
        status = trib_journal_add(&ledger->journal, after.head.bytes, TRIB_DIGEST_BYTES);
    if (status == TRIB_OK)
        status = trib_journal_end(&ledger->journal, &offset);
    if (status != TRIB_OK) {
        ledger->written = ledger->synced;
        return status;
    }
    put_mark(ledger, ledger->written.count, offset);
    ledger->written = after;
    return TRIB_OK;
}

enum trib_status trib_ledger_sync(struct trib_ledger *ledger) {
    enum trib_status status = trib_journal_sync(&ledger->journal);
    if (status == TRIB_OK)
        ledger->synced = ledger->written;
    else
        ledger->written = ledger->synced;
    return status;
}

bool trib_ledger_is_broken(const struct trib_ledger *ledger) {
    return ledger->journal.is_broken;
}

/* Copy the synced part of the ledger to a new file and sync it. */
static enum trib_status copy_synced(const struct trib_ledger *ledger, const char *path) {
    const struct trib_files *files = ledger->files;
    const uint64_t end = ledger->journal.synced_bytes;
    struct trib_file *file;
    enum trib_status status = files->open(files->context, path, TRIB_FILE_CREATE, &file);
    if (status != TRIB_OK)
        return status;
    unsigned char *bytes = trib_allocate(ledger->env, COPY_BYTES, 1);
    if (!bytes)
        status = TRIB_EMEMORY;
    for (uint64_t offset = 0; status == TRIB_OK && offset < end;) {
        size_t count = end - offset < COPY_BYTES ? (size_t)(end - offset) : COPY_BYTES;
        status = trib_journal_read(&ledger->journal, offset, bytes, count);
        if (status == TRIB_OK)
            status = files->write_at(files->context, file, offset, bytes, count);
        offset += count;
    }
    if (status == TRIB_OK)
        status = files->sync(files->context, file);
    if (bytes)
        trib_release(ledger->env, bytes, COPY_BYTES, 1);
    files->close(files->context, file);
    return status;
}

/* Open the copy and check that it says exactly what was synced. */
static enum trib_status check_copy(const struct trib_ledger *ledger, const char *path,
                                   struct trib_journal *fresh, struct trib_error *error) {
    struct follower follower = {.tally = {.head = ledger->start}, .error = error};
    enum trib_status status =
        trib_journal_open(fresh, ledger->env, ledger->files, path, MAGIC, error);
    if (status != TRIB_OK)
        return status;
    status = trib_journal_scan(fresh, ledger->journal.synced_bytes, error, &follower, follow);
    if (status == TRIB_OK)
        status = say(error, trib_journal_settle(fresh));
    if (status == TRIB_OK && (follower.tally.count != ledger->synced.count ||
                              !trib_digest_equal(&follower.tally.head, &ledger->synced.head)))
        status = trib_error_set(error, TRIB_ECORRUPT, "the copy differs");
    if (status != TRIB_OK)
        trib_journal_close(fresh);
    return status;
}

static const char *folder_of(const char *path, char folder[PATH_BYTES]) {
    const char *slash = strrchr(path, '/');
    snprintf(folder, PATH_BYTES, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    return folder;
}

enum trib_status trib_ledger_reopen(struct trib_ledger *ledger, struct trib_error *error) {
    const struct trib_files *files = ledger->files;
    char draft[PATH_BYTES + sizeof ".tmp"];
    char folder[PATH_BYTES];
    struct trib_journal fresh = {0};
    snprintf(draft, sizeof draft, "%s.tmp", ledger->path);

    trib_journal_break(&ledger->journal); /* until the new file has taken its place */
    ledger->written = ledger->synced;
    enum trib_status status = say(error, copy_synced(ledger, draft));
    if (status == TRIB_OK)
        status = check_copy(ledger, draft, &fresh, error);
    if (status == TRIB_OK)
        status = say(error, files->rename(files->context, draft, ledger->path));
    if (status == TRIB_OK)
        status = say(error, files->sync_directory(files->context, folder_of(ledger->path, folder)));
    if (status != TRIB_OK) {
        trib_journal_close(&fresh);
        /* The first error is the one to tell; the next try empties the draft. */
        (void)files->remove(files->context, draft);
        return trib_error_prefix(error, status, "rewrite %s", ledger->path);
    }
    trib_journal_close(&ledger->journal);
    ledger->journal = fresh;
    return TRIB_OK;
}

uint64_t trib_ledger_count(const struct trib_ledger *ledger) {
    return ledger->synced.count;
}

uint64_t trib_ledger_byte_count(const struct trib_ledger *ledger) {
    return ledger->journal.synced_bytes;
}

void trib_ledger_head(const struct trib_ledger *ledger, struct trib_digest *digest) {
    *digest = ledger->synced.head;
}

enum trib_status trib_ledger_read(struct trib_ledger *ledger, uint64_t first, uint64_t count,
                                  void *context, trib_ledger_visit *visit) {
    if (first >= ledger->synced.count || count == 0)
        return TRIB_OK;
    const uint64_t records_left = ledger->synced.count - first;
    const uint64_t end = first + (count < records_left ? count : records_left);
    const uint64_t mark = first / ledger->stride;
    const uint64_t end_mark = (end - 1) / ledger->stride + 1; /* the first one not needed */
    const uint64_t offset = ledger->marks[mark];
    const uint64_t end_offset = end_mark * ledger->stride < ledger->synced.count
                                    ? ledger->marks[end_mark]
                                    : ledger->journal.synced_bytes;
    struct follower follower = {.tally = {.count = mark * ledger->stride, .head = ledger->start},
                                .first = first,
                                .end = end,
                                .context = context,
                                .visit = visit};
    if (mark > 0) { /* the record before ends in its digest */
        enum trib_status status = trib_journal_read(&ledger->journal, offset - TRIB_DIGEST_BYTES,
                                                    follower.tally.head.bytes, TRIB_DIGEST_BYTES);
        if (status != TRIB_OK)
            return status;
    }
    return trib_journal_walk(&ledger->journal, offset, end_offset, NULL, &follower, follow);
}
