/* tape.c - what the heart of a run was told, in order: enough to play the run again.
 *
 * A telling is its kind, a mask of the fields that are not zero, and these fields. Numbers are
 * written seven bits to a byte, the lowest first (LEB128); times of events as the difference from
 * the one before. One table knows all fields; writing and reading go through it. */
#include "node/tape.h"

#include <stddef.h>
#include <string.h>

#include "base/bytes.h"

#define MAGIC "TRIBTAPE"
#define CHUNK_KIND 1
#define DUE_BYTES ((size_t)64 << 10)
#define GATHERED_BYTES_MAX ((size_t)16 << 20) /* the disk takes nothing: the tape ends */
#define NUMBER_BYTES_MAX 10

/* --- fields ------------------------------------------------------------------------------------- */

enum field_kind {
    FIELD_U64,
    FIELD_U32, /* also enums */
    FIELD_BOOL,
    FIELD_F64,
    FIELD_MOMENT, /* against the newest event */
    FIELD_TEXT,   /* const char *, NULL: not there */
    FIELD_REASON, /* char[], of restored.reason's size */
    FIELD_DIGEST,
    FIELD_ATTRIBUTES, /* of event */
};

/* Bit i of a mask is fields[i]; new ones go to the end. Those of most events come first. */
static const struct {
    enum field_kind kind;
    size_t offset;
} fields[] = {
#define FIELD(kind, member) \
    { FIELD_##kind, offsetof(struct trib_told, member) }
    FIELD(U32, event.kind),
    FIELD(MOMENT, event.now),
    FIELD(U64, event.request),
    FIELD(TEXT, event.client),
    FIELD(TEXT, event.id),
    FIELD(U32, event.slot),
    FIELD(U64, event.version),
    FIELD(U64, event.examples),
    FIELD(U64, event.byte_count),
    FIELD(DIGEST, event.digest),
    FIELD(MOMENT, event.wait_until),
    FIELD(U32, event.status),
    FIELD(U64, event.record),
    FIELD(U32, event.role),
    FIELD(ATTRIBUTES, event.attributes),
    FIELD(U32, event.settled.fate),
    FIELD(U64, event.settled.version),
    FIELD(DIGEST, event.settled.digest),
    FIELD(F64, event.metric),
    FIELD(BOOL, event.has_metric),
    FIELD(U32, event.control),
    FIELD(U64, target),
    FIELD(U64, staleness),
    FIELD(U64, weight),
    FIELD(U64, ledger_count),
    FIELD(U32, restored.state),
    FIELD(REASON, restored.reason),
    FIELD(BOOL, restored.has_model),
    FIELD(U64, restored.version),
    FIELD(U64, restored.now),
    FIELD(U64, restored.ran_for),
    FIELD(U64, restored.counted),
    FIELD(U64, restored.dropped),
    FIELD(U64, restored.revised_from),
#undef FIELD
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)
_Static_assert(FIELD_COUNT <= 64, "a mask has 64 bits");
_Static_assert(sizeof(trib_time_ns) == 8 && sizeof(enum trib_status) == 4, "as the table reads");

#define REASON_BYTES sizeof(((struct trib_restored *)0)->reason)

/* --- writing ------------------------------------------------------------------------------------ */

static void put_number(struct trib_text *text, uint64_t value) {
    char bytes[NUMBER_BYTES_MAX];
    size_t count = 0;
    for (; value >= 128; value >>= 7) {
        bytes[count++] = (char)((value & 127) | 128);
    }
    bytes[count++] = (char)value;
    trib_text_add(text, bytes, count);
}

/* Small numbers for small differences of either sign. */
static uint64_t fold_sign(int64_t value) {
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static int64_t unfold_sign(uint64_t value) {
    return (int64_t)(value >> 1 ^ ((value & 1) != 0 ? UINT64_MAX : 0));
}

/* With its NUL, so that a reader can point at it. */
static void put_text(struct trib_text *text, const char *value) {
    size_t bytes = strlen(value) + 1;
    put_number(text, bytes);
    trib_text_add(text, value, bytes);
}

static void put_real(struct trib_text *text, double value) {
    char bytes[8];
    struct trib_writer writer;
    trib_writer_init(&writer, bytes, sizeof bytes);
    trib_put_f64(&writer, value);
    trib_text_add(text, bytes, sizeof bytes);
}

static void put_attributes(struct trib_text *text, const struct trib_event *event) {
    put_number(text, event->attribute_count);
    for (uint32_t i = 0; i < event->attribute_count; i++) {
        const struct trib_attribute *attribute = &event->attributes[i];
        put_text(text, attribute->name);
        put_number(text, attribute->kind);
        put_real(text, attribute->number);
        put_text(text, attribute->text);
    }
}

static uint64_t read_u64(const char *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t read_u32(const char *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static const char *read_pointer(const char *at) {
    const char *value;
    memcpy(&value, at, sizeof value);
    return value;
}

static bool is_set(enum field_kind kind, const char *at, const struct trib_event *event) {
    static const struct trib_digest nothing;
    switch (kind) {
    case FIELD_U64:
    case FIELD_F64: /* -0.0 is not nothing */
    case FIELD_MOMENT:
        return read_u64(at) != 0;
    case FIELD_U32:
        return read_u32(at) != 0;
    case FIELD_BOOL:
    case FIELD_REASON:
        return *at != 0;
    case FIELD_TEXT:
        return read_pointer(at) != NULL;
    case FIELD_DIGEST:
        return memcmp(at, &nothing, sizeof nothing) != 0;
    case FIELD_ATTRIBUTES:
        return event->attribute_count > 0;
    }
    return false;
}

static void put_field(struct trib_text *text, enum field_kind kind, const char *at,
                      const struct trib_event *event, trib_time_ns now) {
    double real;
    switch (kind) {
    case FIELD_U64:
        put_number(text, read_u64(at));
        break;
    case FIELD_U32:
        put_number(text, read_u32(at));
        break;
    case FIELD_BOOL: /* its bit in the mask says it all */
        break;
    case FIELD_F64:
        memcpy(&real, at, sizeof real);
        put_real(text, real);
        break;
    case FIELD_MOMENT: /* modulo 2^64: both ends of time are fine */
        put_number(text, fold_sign((int64_t)(read_u64(at) - (uint64_t)now)));
        break;
    case FIELD_TEXT:
        put_text(text, read_pointer(at));
        break;
    case FIELD_REASON:
        put_text(text, at);
        break;
    case FIELD_DIGEST:
        trib_text_add(text, at, sizeof(struct trib_digest));
        break;
    case FIELD_ATTRIBUTES:
        put_attributes(text, event);
        break;
    }
}

static void put_told(struct trib_text *text, const struct trib_told *told, trib_time_ns *now) {
    const char *base = (const char *)told;
    uint64_t mask = 0;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        bool is_there = is_set(fields[i].kind, base + fields[i].offset, &told->event);
        mask |= (uint64_t)is_there << i;
    }
    put_number(text, told->kind);
    put_number(text, mask);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if ((mask >> i & 1) != 0) {
            put_field(text, fields[i].kind, base + fields[i].offset, &told->event, *now);
        }
    }
    *now = told->event.now != 0 ? told->event.now : *now;
}

static bool is_kept(const struct trib_tape *tape) {
    return tape->env != NULL && !tape->gathered.is_failed;
}

void trib_tape_add(struct trib_tape *tape, const struct trib_told *told) {
    if (!is_kept(tape)) {
        return;
    }
    put_told(&tape->gathered, told, &tape->now);
    tape->gathered.is_failed |= tape->gathered.byte_count > GATHERED_BYTES_MAX;
    if (tape->gathered.is_failed) {
        trib_log(tape->env, TRIB_LOG_WARN, "tape_ends file=%s reason=\"out of room\"", tape->path);
        trib_text_deinit(&tape->gathered);
        tape->gathered.is_failed = true;
    }
}

void trib_tape_add_event(struct trib_tape *tape, const struct trib_event *event) {
    if (is_kept(tape)) {
        const struct trib_told told = {.kind = TRIB_TOLD_EVENT, .event = *event};
        trib_tape_add(tape, &told);
    }
}

bool trib_tape_is_due(const struct trib_tape *tape) {
    return is_kept(tape) && tape->gathered.byte_count >= DUE_BYTES;
}

void trib_tape_take(struct trib_tape *tape) {
    if (!is_kept(tape)) {
        return;
    }
    TRIB_ASSERT(tape->writing.byte_count == 0);
    struct trib_text emptied = tape->writing;
    tape->writing = tape->gathered;
    tape->gathered = emptied;
}

static enum trib_status open_file(struct trib_tape *tape) {
    const struct trib_files *files = tape->files;
    char folder[TRIB_DIRECTORY_PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%s/tape", tape->run_path);
    enum trib_status status = files->make_directory(files->context, folder);
    if (status == TRIB_OK) {
        status = files->sync_directory(files->context, tape->run_path);
    }
    if (status == TRIB_OK) {
        status = trib_journal_create(tape->env, files, tape->path, MAGIC, "", 0);
    }
    if (status == TRIB_OK) {
        status = trib_journal_open(&tape->journal, tape->env, files, tape->path, MAGIC, NULL);
    }
    if (status == TRIB_OK) {
        status = trib_journal_settle(&tape->journal);
        tape->has_journal = status == TRIB_OK;
    }
    return status;
}

enum trib_status trib_tape_write(struct trib_tape *tape) {
    struct trib_text *text = &tape->writing;
    if (text->byte_count == 0) {
        return TRIB_OK;
    }
    enum trib_status status = TRIB_OK;
    if (!tape->is_broken && !tape->has_journal) {
        status = open_file(tape);
    }
    if (!tape->is_broken && status == TRIB_OK) {
        uint64_t offset;
        status = trib_journal_begin(&tape->journal, CHUNK_KIND);
        status = status == TRIB_OK ? trib_journal_add(&tape->journal, text->bytes, text->byte_count)
                                   : status;
        status = status == TRIB_OK ? trib_journal_end(&tape->journal, &offset) : status;
        status = status == TRIB_OK ? trib_journal_sync(&tape->journal) : status;
    }
    tape->is_broken |= status != TRIB_OK;
    text->byte_count = 0;
    return status;
}

enum trib_status trib_tape_list(const struct trib_env *env, const struct trib_files *files,
                                const char *run, struct trib_numbers *numbers) {
    char folder[TRIB_DIRECTORY_PATH_BYTES];
    enum trib_status status =
        trib_numbers_list(env, files, trib_directory_path(folder, run, "tape"), "", numbers);
    return status == TRIB_ENOTFOUND ? TRIB_OK : status;
}

static void name_file(char path[TRIB_DIRECTORY_PATH_BYTES], const char *run, uint64_t number) {
    char leaf[32];
    (void)snprintf(leaf, sizeof leaf, "tape/%llu", (unsigned long long)number);
    (void)trib_directory_path(path, run, leaf);
}

enum trib_status trib_tape_begin(struct trib_tape *tape, const struct trib_env *env,
                                 const struct trib_files *files, const char *run) {
    struct trib_numbers numbers = {0};
    *tape = (struct trib_tape){0};
    enum trib_status status = trib_tape_list(env, files, run, &numbers);
    if (status != TRIB_OK) {
        return status;
    }
    uint64_t last = numbers.count == 0 ? 0 : numbers.numbers[numbers.count - 1];
    trib_numbers_deinit(&numbers);
    tape->env = env;
    tape->files = files;
    name_file(tape->path, run, last + 1);
    (void)snprintf(tape->run_path, sizeof tape->run_path, "runs/%s", run);
    trib_text_init(&tape->gathered, env);
    trib_text_init(&tape->writing, env);
    return TRIB_OK;
}

void trib_tape_end(struct trib_tape *tape) {
    trib_text_deinit(&tape->gathered);
    trib_text_deinit(&tape->writing);
    trib_journal_close(&tape->journal);
    *tape = (struct trib_tape){0};
}

/* --- reading ------------------------------------------------------------------------------------ */

struct reading {
    struct trib_told told;
    struct trib_attribute attributes[TRIB_ATTRIBUTES_MAX]; /* of told.event */
    trib_time_ns now;
    struct trib_error *error;
    void *context;
    trib_tape_visit *visit;
};

static uint64_t get_number(struct trib_reader *reader) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = trib_get_u8(reader);
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            return value;
        }
    }
    reader->is_failed = true;
    return 0;
}

/* "" when it is malformed. */
static const char *get_text(struct trib_reader *reader) {
    uint64_t bytes = get_number(reader);
    const char *text = bytes > reader->bytes_left ? NULL : trib_get_bytes(reader, (size_t)bytes);
    bool is_good =
        text != NULL && bytes > 0 && memchr(text, '\0', (size_t)bytes) == text + bytes - 1;
    reader->is_failed |= !is_good;
    return is_good ? text : "";
}

static void copy_text(struct trib_reader *reader, char *text, size_t text_max) {
    const char *got = get_text(reader);
    size_t bytes = strlen(got) + 1;
    reader->is_failed |= bytes > text_max;
    if (bytes <= text_max) {
        memcpy(text, got, bytes);
    }
}

static void get_attributes(struct trib_reader *reader, struct reading *reading) {
    struct trib_event *event = &reading->told.event;
    uint64_t count = get_number(reader);
    reader->is_failed |= count > TRIB_ATTRIBUTES_MAX;
    event->attributes = reading->attributes;
    event->attribute_count = reader->is_failed ? 0 : (uint32_t)count;
    for (uint32_t i = 0; i < event->attribute_count; i++) {
        struct trib_attribute *attribute = &reading->attributes[i];
        memset(attribute, 0, sizeof *attribute);
        copy_text(reader, attribute->name, sizeof attribute->name);
        attribute->kind = (enum trib_attribute_kind)get_number(reader);
        attribute->number = trib_get_f64(reader);
        copy_text(reader, attribute->text, sizeof attribute->text);
    }
}

static void get_field(struct trib_reader *reader, enum field_kind kind, char *at,
                      struct reading *reading) {
    uint64_t number;
    uint32_t small;
    double real;
    const void *bytes;
    const char *text;
    switch (kind) {
    case FIELD_U64:
        number = get_number(reader);
        memcpy(at, &number, sizeof number);
        break;
    case FIELD_U32:
        number = get_number(reader);
        reader->is_failed |= number > UINT32_MAX;
        small = (uint32_t)number;
        memcpy(at, &small, sizeof small);
        break;
    case FIELD_BOOL:
        *(bool *)at = true;
        break;
    case FIELD_F64:
        real = trib_get_f64(reader);
        memcpy(at, &real, sizeof real);
        break;
    case FIELD_MOMENT:
        number = (uint64_t)reading->now + (uint64_t)unfold_sign(get_number(reader));
        memcpy(at, &number, sizeof number);
        break;
    case FIELD_TEXT:
        text = get_text(reader);
        memcpy(at, &text, sizeof text);
        break;
    case FIELD_REASON:
        copy_text(reader, at, REASON_BYTES);
        break;
    case FIELD_DIGEST:
        bytes = trib_get_bytes(reader, sizeof(struct trib_digest));
        if (bytes != NULL) {
            memcpy(at, bytes, sizeof(struct trib_digest));
        }
        break;
    case FIELD_ATTRIBUTES:
        get_attributes(reader, reading);
        break;
    }
}

static void get_told(struct trib_reader *reader, struct reading *reading) {
    struct trib_told *told = &reading->told;
    memset(told, 0, sizeof *told);
    uint64_t kind = get_number(reader);
    uint64_t mask = get_number(reader);
    reader->is_failed |= kind == 0 || kind >= TRIB_TOLD_KIND_END || mask >> FIELD_COUNT != 0;
    told->kind = (enum trib_told_kind)kind;
    for (size_t i = 0; i < FIELD_COUNT && !reader->is_failed; i++) {
        if ((mask >> i & 1) != 0) {
            get_field(reader, fields[i].kind, (char *)told + fields[i].offset, reading);
        }
    }
    reader->is_failed |= told->event.kind > TRIB_EVENT_REVISE;
    reading->now = told->event.now != 0 ? told->event.now : reading->now;
}

static enum trib_status read_chunk(void *context, uint32_t kind, uint64_t offset,
                                   const void *payload, size_t payload_bytes) {
    struct reading *reading = context;
    struct trib_reader reader;
    trib_reader_init(&reader, payload, payload_bytes);
    enum trib_status status = TRIB_OK;
    while (status == TRIB_OK && kind == CHUNK_KIND && reader.bytes_left > 0) {
        get_told(&reader, reading);
        if (reader.is_failed) {
            return trib_error_set(reading->error, TRIB_ECORRUPT,
                                  "the chunk at %llu tells what nobody can be told",
                                  (unsigned long long)offset);
        }
        status = reading->visit(reading->context, &reading->told);
    }
    return status;
}

enum trib_status trib_tape_read(const struct trib_env *env, const struct trib_files *files,
                                const char *run, uint64_t number, struct trib_error *error,
                                void *context, trib_tape_visit *visit) {
    char path[TRIB_DIRECTORY_PATH_BYTES];
    struct trib_journal journal = {0};
    struct reading *reading = trib_allocate(env, 1, sizeof *reading);
    if (reading == NULL) {
        return TRIB_EMEMORY;
    }
    *reading = (struct reading){.error = error, .context = context, .visit = visit};
    name_file(path, run, number);
    enum trib_status status = trib_journal_open(&journal, env, files, path, MAGIC, error);
    if (status == TRIB_OK) {
        status = trib_journal_scan(&journal, TRIB_JOURNAL_UNLIMITED, error, reading, read_chunk);
        trib_journal_close(&journal);
    }
    trib_release(env, reading, 1, sizeof *reading);
    return status;
}

/* --- restoring ---------------------------------------------------------------------------------- */

bool trib_told_restore(struct trib_run *run, const struct trib_told *told, trib_slot *slot) {
    const struct trib_event *event = &told->event;
    const struct trib_pending pending = {
        .client = event->client,
        .id = event->id,
        .base = event->version,
        .target = told->target,
        .staleness = told->staleness,
        .weight = told->weight,
        .examples = event->examples,
        .digest = event->digest,
    };
    switch (told->kind) {
    case TRIB_TOLD_RESTORE:
        trib_run_restore(run, &told->restored);
        return true;
    case TRIB_TOLD_CLIENT:
        return trib_run_restore_client(run, event->client, event->role, event->attributes,
                                       event->attribute_count);
    case TRIB_TOLD_SET_ASIDE:
        trib_run_restore_set_aside(run, event->client);
        return true;
    case TRIB_TOLD_EVALUATION:
        trib_run_restore_evaluation(run, event->client, event->version, event->examples,
                                    event->metric, event->has_metric);
        return true;
    case TRIB_TOLD_PENDING:
        return trib_run_restore_update(run, &pending, slot);
    case TRIB_TOLD_EVENT:
    case TRIB_TOLD_KIND_END:
        break;
    }
    return false;
}
