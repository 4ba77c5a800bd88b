/* fuzz_spool.c - any bytes as the only segment of a spool.
 *
 * Rules: every entry that is visited is one that could have been appended, and its body lies within
 * the segment; a spool that opens says the same after power was lost and takes one more entry; one
 * that does not open says why. */
#include "fuzz/target.h"

#include "base/files_memory.h"
#include "fuzz/journal_input.h"
#include "store/spool_entry.h"

#define ABOUT_BYTES 16

struct visit {
    const struct trib_files *files;
    uint64_t count;
    struct trib_spool_place last; /* of an update with a body in the segment */
    bool has_last;
};

static enum trib_status check_entry(void *context, const struct trib_spool_entry *entry) {
    struct visit *visit = context;
    TRIB_ASSERT(trib_spool_entry_is_valid(entry));
    TRIB_ASSERT(entry->place.segment == 1);
    visit->count++;
    if (entry->place.body_number == 0) {
        visit->last = entry->place;
        visit->has_last = true;
    } else {
        TRIB_ASSERT(entry->place.is_body_missing);
    }
    return TRIB_OK;
}

static struct trib_spool *open_spool(const struct trib_files *files, struct visit *visit) {
    struct trib_spool *spool;
    struct trib_error error = {0};
    *visit = (struct visit){.files = files};
    const enum trib_status status = trib_spool_open(trib_env_system(), files, "spool", NULL, &spool,
                                                    NULL, &error, visit, check_entry);
    TRIB_ASSERT((status == TRIB_OK) == (spool != NULL));
    TRIB_ASSERT(status == TRIB_OK || error.text[0] != '\0');
    return spool;
}

static void read_body(const struct trib_spool *spool, const struct trib_spool_place *place) {
    struct trib_spool_reader reader;
    uint8_t *body = malloc(place->body_bytes + 1);
    TRIB_ASSERT(body != NULL);
    TRIB_ASSERT(trib_spool_read_open(spool, place, &reader) == TRIB_OK);
    TRIB_ASSERT(reader.source.read(reader.source.context, 0, body, place->body_bytes) == TRIB_OK);
    trib_spool_read_close(&reader);
    free(body);
}

static void check_use(struct trib_files_memory *memory, struct trib_spool *spool,
                      const struct visit *visit) {
    struct trib_spool_entry entry = {.kind = TRIB_SPOOL_DROP, .client = "c", .update = "u"};
    struct visit again;
    if (visit->has_last) {
        read_body(spool, &visit->last);
    }
    trib_spool_close(spool);
    trib_files_memory_crash(memory);
    spool = open_spool(&memory->files, &again);
    TRIB_ASSERT(spool != NULL && again.count == visit->count);
    TRIB_ASSERT(trib_spool_append(spool, &entry, NULL, NULL, NULL) == TRIB_OK);
    TRIB_ASSERT(trib_spool_sync(spool, NULL) == TRIB_OK);
    trib_spool_close(spool);
    spool = open_spool(&memory->files, &again);
    TRIB_ASSERT(spool != NULL && again.count == visit->count + 1);
    trib_spool_close(spool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    uint8_t *copy = fuzz_copy(data + 1, size - 1);
    if (data[0] != 0) {
        fuzz_repair_journal(copy, size - 1, "TRIBSPOL", ABOUT_BYTES, NULL, NULL);
    }
    struct trib_files_memory memory;
    trib_files_memory_init(&memory);
    const struct trib_files *files = &memory.files;
    TRIB_ASSERT(files->make_directory(files->context, "spool") == TRIB_OK);
    TRIB_ASSERT(files->sync_directory(files->context, ".") == TRIB_OK);
    fuzz_put_file(files, "spool/1.segment", copy, size - 1);
    struct visit visit;
    struct trib_spool *spool = open_spool(files, &visit);
    if (spool != NULL) {
        check_use(&memory, spool, &visit);
    }
    trib_files_memory_deinit(&memory);
    free(copy);
    return 0;
}
