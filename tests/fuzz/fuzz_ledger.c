/* fuzz_ledger.c - any bytes as the ledger of a run.
 *
 * Rules: a ledger that opens says the same when it is opened again, after power was lost, and takes
 * one more record; one that does not open says why. */
#include "fuzz/target.h"

#include "base/files_memory.h"
#include "fuzz/journal_input.h"
#include "store/ledger.h"

#define RUN "r1"
#define PATH "ledger"

struct chain {
    struct trib_digest previous;
};

static void repair_chain(void *context, uint8_t *payload, size_t payload_bytes) {
    struct chain *chain = context;
    struct trib_digester digester;
    if (payload_bytes < TRIB_DIGEST_BYTES) {
        return;
    }
    TRIB_ASSERT(trib_digester_begin(&digester));
    trib_digester_add(&digester, chain->previous.bytes, TRIB_DIGEST_BYTES);
    trib_digester_add(&digester, payload, payload_bytes - TRIB_DIGEST_BYTES);
    trib_digester_finish(&digester, &chain->previous);
    memcpy(payload + payload_bytes - TRIB_DIGEST_BYTES, chain->previous.bytes, TRIB_DIGEST_BYTES);
}

static enum trib_status count_record(void *context, const struct trib_ledger_record *record) {
    uint64_t *count = context;
    TRIB_ASSERT(record->index == *count);
    TRIB_ASSERT(record->payload_bytes > 0);
    *count += 1;
    return TRIB_OK;
}

static struct trib_ledger *open_ledger(const struct trib_files *files, uint64_t *count) {
    struct trib_ledger *ledger;
    struct trib_error error = {0};
    *count = 0;
    const enum trib_status status = trib_ledger_open(trib_env_system(), files, PATH, RUN, &ledger,
                                                     NULL, &error, count, count_record);
    TRIB_ASSERT((status == TRIB_OK) == (ledger != NULL));
    TRIB_ASSERT(status == TRIB_OK || error.text[0] != '\0');
    TRIB_ASSERT(status != TRIB_OK || trib_ledger_count(ledger) == *count);
    return ledger;
}

static void check_use(struct trib_files_memory *memory, struct trib_ledger *ledger,
                      uint64_t count) {
    uint64_t again = 0;
    TRIB_ASSERT(trib_ledger_read(ledger, 0, UINT64_MAX, &again, count_record) == TRIB_OK);
    TRIB_ASSERT(again == count);
    trib_ledger_close(ledger);
    trib_files_memory_crash(memory);
    ledger = open_ledger(&memory->files, &again);
    TRIB_ASSERT(ledger != NULL && again == count);
    TRIB_ASSERT(trib_ledger_append(ledger, "{}", 2) == TRIB_OK);
    TRIB_ASSERT(trib_ledger_sync(ledger) == TRIB_OK);
    trib_ledger_close(ledger);
    ledger = open_ledger(&memory->files, &again);
    TRIB_ASSERT(ledger != NULL && again == count + 1);
    trib_ledger_close(ledger);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    uint8_t *copy = fuzz_copy(data + 1, size - 1);
    if (data[0] != 0) {
        struct chain chain;
        trib_digest_of("tributary ledger 1\n" RUN, 21, &chain.previous);
        fuzz_repair_journal(copy, size - 1, "TRIBLEDG", sizeof RUN - 1, &chain, repair_chain);
    }
    struct trib_files_memory memory;
    trib_files_memory_init(&memory);
    fuzz_put_file(&memory.files, PATH, copy, size - 1);
    uint64_t count;
    struct trib_ledger *ledger = open_ledger(&memory.files, &count);
    if (ledger != NULL) {
        check_use(&memory, ledger, count);
    }
    trib_files_memory_deinit(&memory);
    free(copy);
    return 0;
}
