/* spool.c - updates on their way to be counted.
 *
 * A segment is a journal "<n>.segment"; its header names n and where the segment before it ends, so
 * that starting a segment is also the durable end of the one before: whatever a failed group left
 * behind there is not looked at again. A large body is a file "<n>.body".
 *
 * payload of an entry   u32 bytes of the record | record (spool_entry.c) | small body */
#include "store/spool.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "store/journal.h"
#include "store/numbers.h"
#include "store/spool_entry.h"
#include "store/spool_folder.h"

#define MAGIC "TRIBSPOL"
#define ABOUT_BYTES 16u /* number u64 | end of the segment before u64 */
#define PIECE_BYTES (64u << 10)
#define SEGMENT_BYTES_DEFAULT (UINT64_C(64) << 20)
#define INLINE_BYTES_DEFAULT (UINT64_C(1) << 20)
#define INLINE_BYTES_MAX (UINT64_C(32) << 20)

_Static_assert(INLINE_BYTES_MAX + TRIB_SPOOL_ENTRY_BYTES_MAX <= TRIB_JOURNAL_RECORD_BYTES_MAX,
               "an entry with the largest small body fits into a journal record");

struct segment {
    uint64_t number;
    uint64_t end_bytes;  /* what is believed; past it lie the remains of a failed group */
    uint64_t file_bytes; /* what is charged for it */
    uint64_t live;       /* durable entries that are not released */
    bool has_remains;    /* the file is longer than end_bytes */
};

struct trib_spool {
    struct trib_spool_folder folder;   /* shared with bodies and readers on other threads */
    struct trib_spool_options options; /* defaults filled in */

    struct segment *segments; /* ascending; the newest is never removed, so numbers never repeat */
    size_t segment_count;
    size_t segments_max;
    struct trib_journal journal; /* of the newest segment, while is_active */
    bool is_active;              /* the newest segment takes entries */

    uint64_t pending;       /* entries of the group under way */
    enum trib_status group; /* TRIB_OK, or what broke the group */
    uint64_t live;          /* entries */
};

/* ---- segments ---- */

static struct segment *newest(struct trib_spool *spool) {
    return spool->segment_count > 0 ? &spool->segments[spool->segment_count - 1] : NULL;
}

static bool add_segment(struct trib_spool *spool, const struct segment *segment) {
    if (spool->segment_count == spool->segments_max) {
        size_t segments_max = spool->segments_max > 0 ? 2 * spool->segments_max : 16;
        struct segment *grown = trib_regrow(spool->folder.env, spool->segments, spool->segments_max,
                                            segments_max, sizeof *grown);
        if (!grown)
            return false;
        spool->segments = grown;
        spool->segments_max = segments_max;
    }
    spool->segments[spool->segment_count++] = *segment;
    return true;
}

static enum trib_status remove_segment(struct trib_spool *spool, size_t index) {
    const struct trib_files *files = spool->folder.files;
    const struct segment segment = spool->segments[index];
    char path[TRIB_SPOOL_PATH_BYTES];
    enum trib_status status = files->remove(
        files->context, trib_spool_path(&spool->folder, segment.number, ".segment", path));
    if (status != TRIB_OK && status != TRIB_ENOTFOUND)
        return status;
    /* Should a crash bring these remains back, the segment that says where they begin must
     * still be there: so this removal is durable before the next one starts. */
    if (segment.has_remains)
        status = files->sync_directory(files->context, spool->folder.path);
    else
        status = TRIB_OK;
    if (status != TRIB_OK)
        return status;
    trib_spool_give_back(&spool->folder, segment.file_bytes);
    memmove(&spool->segments[index], &spool->segments[index + 1],
            (spool->segment_count - index - 1) * sizeof *spool->segments);
    spool->segment_count--;
    return TRIB_OK;
}

/* Remove the segments without live entries; but never the newest, and not the one whose header
 * ends a predecessor that has remains. */
static enum trib_status reap(struct trib_spool *spool) {
    size_t index = 0;
    while (index + 1 < spool->segment_count) {
        const struct segment *segment = &spool->segments[index];
        const struct segment *before = index > 0 ? segment - 1 : NULL;
        bool is_fence = before && before->has_remains && before->number + 1 == segment->number;
        if (segment->live > 0 || is_fence) {
            index++;
            continue;
        }
        enum trib_status status = remove_segment(spool, index);
        if (status != TRIB_OK)
            return status;
    }
    return TRIB_OK;
}

/* The disk is full: what the failed group has written of itself may be the very room that the next
 * segment needs. Nothing hangs on it: what cannot be cut off is not looked at. */
static void cut_remains(struct trib_spool *spool) {
    const struct trib_files *files = spool->folder.files;
    struct trib_journal *journal = &spool->journal;
    if (files->truncate(files->context, journal->file, journal->synced_bytes) == TRIB_OK)
        (void)files->sync(files->context, journal->file);
}

/* No more entries for the newest segment: it ends where it was last synced. */
static void retire(struct trib_spool *spool) {
    struct segment *segment = newest(spool);
    segment->end_bytes = spool->journal.synced_bytes;
    segment->has_remains = spool->journal.is_broken;
    trib_journal_close(&spool->journal);
    spool->is_active = false;
}

static enum trib_status start_segment(struct trib_spool *spool, struct trib_error *error) {
    const struct segment *last = newest(spool);
    struct segment segment = {.number = last ? last->number + 1 : 1};
    unsigned char about[ABOUT_BYTES];
    struct trib_writer writer;
    trib_writer_init(&writer, about, sizeof about);
    trib_put_u64(&writer, segment.number);
    trib_put_u64(&writer, last ? last->end_bytes : 0);

    char path[TRIB_SPOOL_PATH_BYTES];
    trib_spool_path(&spool->folder, segment.number, ".segment", path);
    enum trib_status status = trib_journal_create(spool->folder.env, spool->folder.files, path,
                                                  MAGIC, about, sizeof about);
    if (status == TRIB_OK)
        status = trib_journal_open(&spool->journal, spool->folder.env, spool->folder.files, path,
                                   MAGIC, NULL);
    if (status == TRIB_OK)
        status = trib_journal_settle(&spool->journal);
    segment.end_bytes = segment.file_bytes = spool->journal.byte_count;
    if (status == TRIB_OK && !add_segment(spool, &segment))
        status = TRIB_EMEMORY;
    if (status != TRIB_OK) {
        /* The file may stay: the next try replaces it by one that says the same. */
        trib_journal_close(&spool->journal);
        return trib_error_set(error, status, "start %s: %s", path, trib_status_text(status));
    }
    atomic_fetch_add(&spool->folder.bytes_used, segment.file_bytes);
    spool->is_active = true;
    /* What cannot be removed now waits for the next release or open. */
    (void)reap(spool);
    return TRIB_OK;
}

/* ---- open ---- */

struct scan {
    struct trib_spool *spool;
    struct segment *segment;
    const struct trib_numbers *bodies; /* on disk */
    bool *is_entered;                  /* per body: an entry owns it */
    uint64_t body_number_max;
    struct trib_error *error;
    void *context;
    trib_spool_visit *visit;
};

static enum trib_status file_size(const struct trib_files *files, const char *path,
                                  uint64_t *byte_count) {
    struct trib_file *file;
    enum trib_status status = files->open(files->context, path, TRIB_FILE_READ, &file);
    if (status != TRIB_OK)
        return status;
    status = files->size(files->context, file, byte_count);
    files->close(files->context, file);
    return status;
}

/* Match an entry with its body file. */
static enum trib_status claim_body(struct scan *scan, struct trib_spool_entry *entry) {
    struct trib_spool *spool = scan->spool;
    uint64_t number = entry->place.body_number;
    if (number > scan->body_number_max)
        scan->body_number_max = number;
    size_t index = trib_numbers_find(scan->bodies, number);
    entry->place.is_body_missing = index == scan->bodies->count;
    if (entry->place.is_body_missing)
        return TRIB_OK;
    char path[TRIB_SPOOL_PATH_BYTES];
    uint64_t byte_count;
    enum trib_status status = file_size(
        spool->folder.files, trib_spool_path(&spool->folder, number, ".body", path), &byte_count);
    if (status != TRIB_OK)
        return status;
    if (byte_count != entry->place.body_bytes)
        return trib_error_set(scan->error, TRIB_ECORRUPT, "%s has %llu bytes, its entry says %llu",
                              path, (unsigned long long)byte_count,
                              (unsigned long long)entry->place.body_bytes);
    scan->is_entered[index] = true;
    atomic_fetch_add(&spool->folder.bytes_used, byte_count);
    return TRIB_OK;
}

static enum trib_status take_entry(void *context, uint32_t kind, uint64_t offset,
                                   const void *payload, size_t payload_bytes) {
    struct scan *scan = context;
    struct trib_spool_entry entry = {
        .kind = (enum trib_spool_kind)kind,
        .place = {.segment = scan->segment->number, .offset = offset},
    };
    if (!trib_spool_entry_is_kind(kind))
        return trib_error_set(scan->error, TRIB_EUNSUPPORTED,
                              "entry at offset %llu is of the unknown kind %u",
                              (unsigned long long)offset, (unsigned)kind);
    if (!trib_spool_entry_decode(payload, payload_bytes, offset, &entry))
        return trib_error_set(scan->error, TRIB_ECORRUPT, "entry at offset %llu makes no sense",
                              (unsigned long long)offset);
    enum trib_status status = TRIB_OK;
    if (entry.place.body_number > 0)
        status = claim_body(scan, &entry);
    if (status != TRIB_OK)
        return status;
    scan->segment->live++;
    scan->spool->live++;
    return scan->visit ? scan->visit(scan->context, &entry) : TRIB_OK;
}

/* Read the headers: each tells where the segment before it ends. */
static enum trib_status read_headers(struct trib_spool *spool, const struct trib_numbers *numbers,
                                     struct trib_error *error) {
    const struct trib_files *files = spool->folder.files;
    for (size_t index = 0; index < numbers->count; index++) {
        struct segment segment = {.number = numbers->numbers[index]};
        struct segment *before = newest(spool);
        char path[TRIB_SPOOL_PATH_BYTES];
        struct trib_journal journal;
        trib_spool_path(&spool->folder, segment.number, ".segment", path);
        enum trib_status status =
            trib_journal_open(&journal, spool->folder.env, files, path, MAGIC, error);
        if (status != TRIB_OK)
            return status;
        struct trib_reader reader;
        trib_reader_init(&reader, journal.about, journal.about_bytes);
        uint64_t number = trib_get_u64(&reader);
        uint64_t before_end_bytes = trib_get_u64(&reader);
        status = files->size(files->context, journal.file, &segment.file_bytes);
        trib_journal_close(&journal);
        if (status != TRIB_OK)
            return trib_error_set(error, status, "%s: %s", path, trib_status_text(status));
        if (reader.is_failed || number != segment.number)
            return trib_error_set(error, TRIB_ECORRUPT, "%s says that it is segment %llu", path,
                                  (unsigned long long)number);
        segment.end_bytes = segment.file_bytes;
        if (before && before->number + 1 == number)
            before->end_bytes = before_end_bytes;
        if (!add_segment(spool, &segment))
            return trib_error_set(error, TRIB_EMEMORY, "open %s: out of memory", path);
        atomic_fetch_add(&spool->folder.bytes_used, segment.file_bytes);
    }
    return TRIB_OK;
}

static enum trib_status scan_segment(struct scan *scan, struct segment *segment,
                                     struct trib_spool_report *report) {
    struct trib_spool *spool = scan->spool;
    const bool is_newest = segment == newest(spool);
    char path[TRIB_SPOOL_PATH_BYTES];
    trib_spool_path(&spool->folder, segment->number, ".segment", path);
    struct trib_journal journal;
    enum trib_status status = trib_journal_open(&journal, spool->folder.env, spool->folder.files,
                                                path, MAGIC, scan->error);
    if (status != TRIB_OK)
        return status;
    scan->segment = segment;
    status = trib_journal_scan(&journal, is_newest ? TRIB_JOURNAL_UNLIMITED : segment->end_bytes,
                               scan->error, scan, take_entry);
    if (status != TRIB_OK)
        trib_error_prefix(scan->error, status, "%s", path);
    if (status == TRIB_OK && is_newest) {
        status = trib_journal_settle(&journal);
        if (status != TRIB_OK)
            trib_error_set(scan->error, status, "mend %s: %s", path, trib_status_text(status));
    }
    if (status != TRIB_OK) {
        trib_journal_close(&journal);
        return status;
    }
    if (!is_newest) {
        segment->has_remains = journal.torn_bytes > 0;
        trib_journal_close(&journal);
        return TRIB_OK;
    }
    report->torn_bytes = journal.torn_bytes;
    trib_spool_give_back(&spool->folder, journal.torn_bytes);
    segment->file_bytes = segment->end_bytes = journal.byte_count;
    spool->journal = journal;
    spool->is_active = true;
    if (journal.byte_count >= spool->options.segment_bytes)
        retire(spool);
    return TRIB_OK;
}

static enum trib_status remove_orphans(const struct scan *scan, struct trib_spool_report *report) {
    const struct trib_spool *spool = scan->spool;
    for (size_t index = 0; index < scan->bodies->count; index++) {
        if (scan->is_entered[index])
            continue;
        char path[TRIB_SPOOL_PATH_BYTES];
        trib_spool_path(&spool->folder, scan->bodies->numbers[index], ".body", path);
        enum trib_status status = spool->folder.files->remove(spool->folder.files->context, path);
        if (status != TRIB_OK)
            return trib_error_set(scan->error, status, "remove %s: %s", path,
                                  trib_status_text(status));
        report->orphan_count++;
    }
    return TRIB_OK;
}

static enum trib_status scan_all(struct scan *scan, const struct trib_numbers *segments,
                                 struct trib_spool_report *report) {
    struct trib_spool *spool = scan->spool;
    enum trib_status status = read_headers(spool, segments, scan->error);
    for (size_t index = 0; status == TRIB_OK && index < spool->segment_count; index++)
        status = scan_segment(scan, &spool->segments[index], report);
    if (status == TRIB_OK)
        status = remove_orphans(scan, report);
    if (status != TRIB_OK)
        return status;
    if (scan->bodies->count > 0) {
        uint64_t last = scan->bodies->numbers[scan->bodies->count - 1];
        scan->body_number_max = last > scan->body_number_max ? last : scan->body_number_max;
    }
    atomic_store(&spool->folder.body_next, scan->body_number_max + 1);
    /* What cannot be removed now waits for the next release. */
    (void)reap(spool);
    return TRIB_OK;
}

/* What is found may have its name for the time being only: whoever gave it that, died or failed before
 * the folder was synced. */
static enum trib_status load(struct scan *scan, struct trib_spool_report *report) {
    const struct trib_spool *spool = scan->spool;
    const struct trib_files *files = spool->folder.files;
    struct trib_numbers segments = {0};
    struct trib_numbers bodies = {0};
    enum trib_status status = files->sync_directory(files->context, spool->folder.path);
    if (status == TRIB_OK)
        status =
            trib_numbers_list(spool->folder.env, files, spool->folder.path, ".segment", &segments);
    if (status == TRIB_OK)
        status = trib_numbers_list(spool->folder.env, spool->folder.files, spool->folder.path,
                                   ".body", &bodies);
    if (status == TRIB_OK) {
        scan->bodies = &bodies;
        scan->is_entered = trib_allocate(spool->folder.env, bodies.count + 1, sizeof(bool));
        status = scan->is_entered ? TRIB_OK : TRIB_EMEMORY;
    }
    if (status != TRIB_OK)
        trib_error_set(scan->error, status, "open %s: %s", spool->folder.path,
                       trib_status_text(status));
    else
        status = scan_all(scan, &segments, report);
    if (scan->is_entered)
        trib_release(spool->folder.env, scan->is_entered, bodies.count + 1, sizeof(bool));
    trib_numbers_deinit(&bodies);
    trib_numbers_deinit(&segments);
    return status;
}

enum trib_status trib_spool_open(const struct trib_env *env, const struct trib_files *files,
                                 const char *path, const struct trib_spool_options *options,
                                 struct trib_spool **spool, struct trib_spool_report *report,
                                 struct trib_error *error, void *context, trib_spool_visit *visit) {
    struct trib_spool_report unseen;
    report = report ? report : &unseen;
    *report = (struct trib_spool_report){0};
    *spool = NULL;
    struct trib_spool *opened = trib_allocate(env, 1, sizeof *opened);
    if (!opened)
        return trib_error_set(error, TRIB_EMEMORY, "open %s: out of memory", path);
    opened->folder.env = env;
    opened->folder.files = files;
    TRIB_ASSERT(strlen(path) + sizeof "/18446744073709551615.segment.tmp" <=
                sizeof opened->folder.path);
    snprintf(opened->folder.path, sizeof opened->folder.path, "%s", path);
    if (options)
        opened->options = *options;
    opened->folder.bytes_max = opened->options.bytes_max;
    if (opened->options.segment_bytes == 0)
        opened->options.segment_bytes = SEGMENT_BYTES_DEFAULT;
    if (opened->options.inline_bytes_max == 0)
        opened->options.inline_bytes_max = INLINE_BYTES_DEFAULT;
    TRIB_ASSERT(opened->options.inline_bytes_max <= INLINE_BYTES_MAX);

    struct scan scan = {.spool = opened, .error = error, .context = context, .visit = visit};
    enum trib_status status = load(&scan, report);
    if (status != TRIB_OK) {
        trib_spool_close(opened);
        return status;
    }
    *spool = opened;
    return TRIB_OK;
}

void trib_spool_close(struct trib_spool *spool) {
    if (!spool)
        return;
    trib_journal_close(&spool->journal);
    if (spool->segments)
        trib_release(spool->folder.env, spool->segments, spool->segments_max,
                     sizeof *spool->segments);
    trib_release(spool->folder.env, spool, 1, sizeof *spool);
}

/* ---- commit ---- */

static enum trib_status add_body(struct trib_spool *spool, const struct trib_source *body) {
    enum trib_status status = TRIB_OK;
    unsigned char piece[PIECE_BYTES];
    for (uint64_t offset = 0; offset < body->byte_count && status == TRIB_OK;) {
        uint64_t bytes_left = body->byte_count - offset;
        size_t count = bytes_left < PIECE_BYTES ? (size_t)bytes_left : PIECE_BYTES;
        const void *bytes = trib_source_bytes(body, offset, count, piece);
        status = bytes ? trib_journal_add(&spool->journal, bytes, count) : TRIB_EIO;
        offset += count;
    }
    return status;
}

static enum trib_status write_entry(struct trib_spool *spool, struct trib_spool_entry *entry,
                                    const unsigned char *record, size_t record_bytes,
                                    const struct trib_source *body) {
    struct trib_journal *journal = &spool->journal;
    uint64_t offset = 0;
    enum trib_status status = trib_journal_begin(journal, (uint32_t)entry->kind);
    if (status == TRIB_OK)
        status = trib_journal_add(journal, record, record_bytes);
    if (status == TRIB_OK && body)
        status = add_body(spool, body);
    if (status == TRIB_OK)
        status = trib_journal_end(journal, &offset);
    if (status != TRIB_OK) {
        trib_journal_break(journal); /* also when the body could not be read */
        return status;
    }
    entry->place.segment = newest(spool)->number;
    entry->place.offset = offset;
    entry->place.body_offset = body ? offset + TRIB_JOURNAL_HEAD_BYTES + record_bytes : 0;
    return TRIB_OK;
}

enum trib_status trib_spool_append(struct trib_spool *spool, struct trib_spool_entry *entry,
                                   const struct trib_source *body,
                                   const struct trib_spool_body *file, struct trib_error *error) {
    TRIB_ASSERT(!body || !file);
    TRIB_ASSERT(!file || trib_spool_body_is_finished(file));
    if (!trib_spool_entry_is_valid(entry))
        return trib_error_set(error, TRIB_EINVALID, "spool an update: a field is not valid");
    if (body && body->byte_count > spool->options.inline_bytes_max)
        return trib_error_set(error, TRIB_ELIMIT,
                              "spool an update: a body of %llu bytes needs a file",
                              (unsigned long long)body->byte_count);
    if (spool->group != TRIB_OK)
        return trib_error_set(error, spool->group,
                              "spool an update: an earlier one of its group failed: %s",
                              trib_status_text(spool->group));
    if (!spool->is_active) {
        enum trib_status status = start_segment(spool, error);
        if (status != TRIB_OK)
            return status;
    }
    entry->place = (struct trib_spool_place){
        .body_bytes = file   ? trib_spool_body_byte_count(file)
                      : body ? body->byte_count
                             : 0,
        .body_number = file ? trib_spool_body_number(file) : 0,
    };
    unsigned char record[TRIB_SPOOL_ENTRY_BYTES_MAX];
    size_t record_bytes = trib_spool_entry_encode(entry, record);
    uint64_t bytes = TRIB_JOURNAL_HEAD_BYTES + record_bytes + (body ? body->byte_count : 0);
    if (!trib_spool_charge(&spool->folder, bytes))
        return trib_spool_refuse(&spool->folder, bytes, error);
    newest(spool)->file_bytes += bytes;
    enum trib_status status = write_entry(spool, entry, record, record_bytes, body);
    if (status != TRIB_OK) {
        spool->group = status;
        return trib_error_set(error, status, "spool an update: %s", trib_status_text(status));
    }
    spool->pending++;
    return TRIB_OK;
}

enum trib_status trib_spool_sync(struct trib_spool *spool, struct trib_error *error) {
    enum trib_status status = spool->group;
    if (status == TRIB_OK && spool->pending == 0)
        return TRIB_OK;
    if (status == TRIB_OK)
        status = trib_journal_sync(&spool->journal);
    if (status == TRIB_OK) {
        newest(spool)->live += spool->pending;
        spool->live += spool->pending;
        if (spool->journal.byte_count >= spool->options.segment_bytes)
            retire(spool);
    } else {
        trib_journal_break(&spool->journal);
        if (status == TRIB_EFULL)
            cut_remains(spool);
        retire(spool);
        trib_error_set(error, status, "commit %llu updates: %s", (unsigned long long)spool->pending,
                       trib_status_text(status));
        /* At once, so that what has failed cannot come back; if the disk refuses this too, the
         * next append tries again before anything is acknowledged. */
        (void)start_segment(spool, NULL);
    }
    spool->group = TRIB_OK;
    spool->pending = 0;
    return status;
}

static struct segment *find_segment(struct trib_spool *spool, uint64_t number) {
    size_t first = 0;
    size_t end = spool->segment_count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (spool->segments[middle].number < number)
            first = middle + 1;
        else
            end = middle;
    }
    bool is_found = first < spool->segment_count && spool->segments[first].number == number;
    return is_found ? &spool->segments[first] : NULL;
}

enum trib_status trib_spool_release(struct trib_spool *spool,
                                    const struct trib_spool_place *place) {
    struct segment *segment = find_segment(spool, place->segment);
    TRIB_ASSERT(segment != NULL);
    TRIB_ASSERT(segment->live > 0);
    segment->live--;
    spool->live--;
    enum trib_status status = TRIB_OK;
    if (place->body_number > 0 && !place->is_body_missing) {
        char path[TRIB_SPOOL_PATH_BYTES];
        trib_spool_path(&spool->folder, place->body_number, ".body", path);
        status = spool->folder.files->remove(spool->folder.files->context, path);
        if (status == TRIB_OK)
            trib_spool_give_back(&spool->folder, place->body_bytes);
    }
    enum trib_status reaped = segment->live == 0 ? reap(spool) : TRIB_OK;
    return status != TRIB_OK ? status : reaped;
}

/* ---- counters ---- */

void trib_spool_count(const struct trib_spool *spool, struct trib_spool_counters *counters) {
    *counters = (struct trib_spool_counters){
        .live_entries = spool->live,
        .segment_count = spool->segment_count,
        .bytes_on_disk = atomic_load(&spool->folder.bytes_used),
        .bytes_max = spool->options.bytes_max,
    };
}

struct trib_spool_folder *trib_spool_folder(struct trib_spool *spool) {
    return &spool->folder;
}

const struct trib_spool_folder *trib_spool_folder_const(const struct trib_spool *spool) {
    return &spool->folder;
}
