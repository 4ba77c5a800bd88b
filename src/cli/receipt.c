/* receipt.c - check what a daemon has signed: a receipt of an update, or the head of a ledger.
 *
 * A ledger is walked record by record, each with its place in the hash chain; so a verdict about
 * an update is one about a history that nobody can change without changing the head. */
#include "cli/receipt.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "node/record_document.h"
#include "node/signed.h"
#include "store/directory.h"
#include "store/ledger.h"

#define FILE_BYTES_MAX 8192 /* of a key or a signed line */

struct verdict {
    struct trib_signed_receipt receipt;
    struct trib_signed_head head;
    bool is_head;
    struct trib_digest last; /* of the record before; the start of the chain at first */
    uint64_t records;
    uint64_t version; /* the last one in the ledger */
    unsigned counted, dropped;
    uint64_t counted_in;
    char reason[160]; /* of dropping */
    bool is_other;    /* the update is there, but not as it was signed */
    bool has_head;    /* the record of the head was met, and is the one */
    struct trib_error *error;
};

/* --- files ------------------------------------------------------------------------------------ */

/* A small text file; NULL, and an error for people, when it cannot be read. */
static bool read_small(const char *path, char text[FILE_BYTES_MAX], struct trib_error *error) {
    FILE *file = fopen(path, "re");
    size_t count = file == NULL ? 0 : fread(text, 1, FILE_BYTES_MAX - 1, file);
    bool is_read = file != NULL && ferror(file) == 0 && feof(file) != 0;
    if (!is_read) {
        (void)trib_error_set(error, TRIB_EIO, "%s: %s", path,
                             file == NULL ? strerror(errno) : "cannot be read, or is too long");
    }
    if (file != NULL) {
        (void)fclose(file); /* only read */
    }
    text[count] = '\0';
    return is_read;
}

static bool read_key(const char *path, struct trib_signature_key **key, struct trib_error *error) {
    char pem[FILE_BYTES_MAX];
    if (!read_small(path, pem, error)) {
        return false;
    }
    if (trib_signature_key_read(pem, strlen(pem), key) != TRIB_OK) {
        (void)trib_error_set(error, TRIB_EMALFORMED, "%s: not an Ed25519 key in PEM", path);
        return false;
    }
    return true;
}

/* A reply in JSON has the line in "receipt" or "head". */
static void unwrap(char text[FILE_BYTES_MAX]) {
    json_t *document = text[0] == '{' ? json_loads(text, 0, NULL) : NULL;
    const char *line = json_string_value(json_object_get(document, "receipt"));
    line = line == NULL ? json_string_value(json_object_get(document, "head")) : line;
    if (line != NULL) {
        (void)snprintf(text, FILE_BYTES_MAX, "%s", line);
    }
    json_decref(document);
}

/* --- what a record says about it ---------------------------------------------------------------- */

static bool is_ours(const struct verdict *verdict, const struct trib_counted *update) {
    return strcmp(update->client, verdict->receipt.client) == 0 &&
           strcmp(update->update, verdict->receipt.update) == 0;
}

static void judge_version(struct verdict *verdict, const json_t *record) {
    const struct trib_signed_receipt *receipt = &verdict->receipt;
    size_t i;
    json_t *element;
    verdict->version = trib_record_number(record, "version");
    json_array_foreach(json_object_get(record, "updates"), i, element) {
        struct trib_counted update;
        if (trib_counted_read(element, &update) && is_ours(verdict, &update)) {
            verdict->counted++;
            verdict->counted_in = verdict->version;
            /* One without a weight was signed while its update waited for both. */
            bool is_as_promised = receipt->weight == 0 || (update.weight == receipt->weight &&
                                                           verdict->version == receipt->version);
            verdict->is_other = verdict->is_other ||
                                !trib_digest_equal(&update.digest, &receipt->digest) ||
                                update.base != receipt->base || !is_as_promised;
        }
    }
}

static void judge_dropped(struct verdict *verdict, const json_t *record) {
    const char *reason = json_string_value(json_object_get(record, "reason"));
    size_t i;
    json_t *element;
    json_array_foreach(json_object_get(record, "dropped"), i, element) {
        struct trib_counted update;
        if (trib_counted_read(element, &update) && is_ours(verdict, &update)) {
            verdict->dropped++;
            (void)snprintf(verdict->reason, sizeof verdict->reason, "%s",
                           reason == NULL ? "" : reason);
            verdict->is_other =
                verdict->is_other || !trib_digest_equal(&update.digest, &verdict->receipt.digest);
        }
    }
}

/* One record, whose place in the chain has been checked. */
static enum trib_status judge(void *context, const struct trib_ledger_record *record) {
    struct verdict *verdict = context;
    verdict->records++;
    if (verdict->is_head) {
        verdict->has_head =
            verdict->has_head || (record->index == verdict->head.index &&
                                  trib_digest_equal(&record->digest, &verdict->head.digest));
        return TRIB_OK;
    }
    json_t *document =
        json_loadb(record->payload, record->payload_bytes, JSON_REJECT_DUPLICATES, NULL);
    if (document == NULL) {
        return trib_error_set(verdict->error, TRIB_ECORRUPT, "record %" PRIu64 " is not JSON",
                              record->index);
    }
    judge_version(verdict, document);
    judge_dropped(verdict, document);
    json_decref(document);
    return TRIB_OK;
}

/* --- ledgers ------------------------------------------------------------------------------------ */

static void begin_chain(const char *run, struct trib_digest *digest) {
    char text[64 + TRIB_NAME_BYTES];
    int count = snprintf(text, sizeof text, "tributary ledger 1\n%s", run); /* docs/state.md (2) */
    trib_digest_of(text, (size_t)count, digest);
}

/* {"index":N,"digest":"...","previous":"...","record":PAYLOAD}: the payload as it was hashed. */
static bool find_payload(char *line, struct trib_ledger_record *record) {
    static const char before[] = ",\"record\":";
    size_t count = strlen(line);
    while (count > 0 && (line[count - 1] == '\n' || line[count - 1] == '\r')) {
        count--;
    }
    char *start = strstr(line, before);
    if (start == NULL || line[count - 1] != '}') {
        return false;
    }
    record->payload = start + sizeof before - 1;
    record->payload_bytes = (size_t)(line + count - 1 - record->payload);
    return true;
}

static bool is_next(const struct verdict *verdict, const struct trib_ledger_record *record,
                    const json_t *line) {
    struct trib_digest digest;
    struct trib_digester digester = {0};
    if (!trib_digester_begin(&digester)) {
        return false;
    }
    trib_digester_add(&digester, verdict->last.bytes, sizeof verdict->last.bytes);
    trib_digester_add(&digester, record->payload, record->payload_bytes);
    trib_digester_finish(&digester, &digest);
    return record->index == verdict->records &&
           json_integer_value(json_object_get(line, "index")) == (json_int_t)record->index &&
           trib_digest_equal(&record->previous, &verdict->last) &&
           trib_digest_equal(&record->digest, &digest);
}

static enum trib_status judge_line(struct verdict *verdict, char *text) {
    struct trib_ledger_record record = {.index = verdict->records};
    json_t *line = json_loads(text, 0, NULL);
    bool is_good = trib_record_digest(line, "digest", &record.digest) &&
                   trib_record_digest(line, "previous", &record.previous) &&
                   find_payload(text, &record) && is_next(verdict, &record, line);
    json_decref(line);
    if (!is_good) {
        return trib_error_set(verdict->error, TRIB_ECORRUPT,
                              "record %" PRIu64 " does not follow from those before it",
                              verdict->records);
    }
    enum trib_status status = judge(verdict, &record);
    verdict->last = record.digest;
    return status;
}

static enum trib_status walk_file(const char *path, struct verdict *verdict) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return trib_error_set(verdict->error, TRIB_EIO, "%s: %s", path, strerror(errno));
    }
    char *line = NULL;
    size_t room = 0;
    enum trib_status status = TRIB_OK;
    while (status == TRIB_OK && getline(&line, &room, file) > 0) {
        status = judge_line(verdict, line);
    }
    if (status == TRIB_OK && ferror(file) != 0) {
        status = trib_error_set(verdict->error, TRIB_EIO, "%s: cannot be read", path);
    }
    free(line);
    (void)fclose(file); /* only read */
    return status;
}

static enum trib_status walk_directory(const struct trib_cli *cli,
                                       const struct trib_receipt_options *options,
                                       struct verdict *verdict) {
    struct trib_files *files;
    struct trib_ledger *ledger = NULL;
    char path[TRIB_DIRECTORY_PATH_BYTES];
    if (!trib_name_is_valid(options->run, strlen(options->run))) {
        return trib_error_set(verdict->error, TRIB_EINVALID, "%.80s: not the name of a run",
                              options->run);
    }
    enum trib_status status =
        trib_files_open(cli->env, options->data_dir, true, &files, verdict->error);
    if (status != TRIB_OK) {
        return status;
    }
    status = trib_ledger_open(cli->env, files, trib_directory_path(path, options->run, "ledger"),
                              options->run, &ledger, NULL, verdict->error, verdict, judge);
    trib_ledger_close(ledger);
    trib_files_close(files);
    return status;
}

/* --- verdicts ----------------------------------------------------------------------------------- */

static enum trib_exit tell_update(const struct trib_cli *cli, const struct verdict *verdict) {
    if (verdict->counted + verdict->dropped > 1) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED,
                             "the ledger counts it %u times, drops it %u times", verdict->counted,
                             verdict->dropped);
    }
    if (verdict->is_other) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED,
                             "the ledger has this update, but not as the receipt says");
    }
    if (verdict->counted == 1) {
        (void)fprintf(cli->out, "ledger    counted once, in version %" PRIu64 "\n",
                      verdict->counted_in);
        return TRIB_EXIT_OK;
    }
    if (verdict->dropped == 1) {
        (void)fprintf(cli->out, "ledger    dropped: %s\n", verdict->reason);
        return TRIB_EXIT_OK;
    }
    return trib_cli_fail(cli, TRIB_EXIT_FAILED,
                         "the ledger, which ends at version %" PRIu64
                         ", neither counts nor drops it",
                         verdict->version);
}

static enum trib_exit tell_head(const struct trib_cli *cli, const struct verdict *verdict) {
    if (!verdict->has_head) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "the ledger is another one, or was cut short");
    }
    (void)fprintf(cli->out, "ledger    record %" PRIu64 " is this one, of %" PRIu64 "\n",
                  verdict->head.index, verdict->records);
    return TRIB_EXIT_OK;
}

static enum trib_exit judge_ledger(const struct trib_cli *cli,
                                   const struct trib_receipt_options *options,
                                   struct verdict *verdict) {
    const char *run = verdict->is_head ? verdict->head.run : verdict->receipt.run;
    enum trib_status status;
    if (options->ledger_file == NULL && options->data_dir == NULL) {
        return TRIB_EXIT_OK;
    }
    begin_chain(run, &verdict->last);
    if (options->ledger_file != NULL) {
        status = walk_file(options->ledger_file, verdict);
    } else if (strcmp(options->run, run) != 0) {
        status = trib_error_set(verdict->error, TRIB_EINVALID, "it was signed for run %s", run);
    } else {
        status = walk_directory(cli, options, verdict);
    }
    if (status != TRIB_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s",
                             verdict->error->status == TRIB_OK ? trib_status_text(status)
                                                               : verdict->error->text);
    }
    return verdict->is_head ? tell_head(cli, verdict) : tell_update(cli, verdict);
}

static enum trib_status read_signed(const char *text, const struct trib_signature_key *key,
                                    struct verdict *verdict) {
    enum trib_status status = trib_signed_receipt_read(key, text, &verdict->receipt);
    if (status == TRIB_EMALFORMED) {
        status = trib_signed_head_read(key, text, &verdict->head);
        verdict->is_head = status == TRIB_OK;
    }
    return status;
}

static void tell_signed(const struct trib_cli *cli, const struct verdict *verdict) {
    char hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(verdict->is_head ? &verdict->head.digest : &verdict->receipt.digest, hex);
    if (verdict->is_head) {
        (void)fprintf(cli->out,
                      "head      signed with this key: record %" PRIu64 " of run %s\n"
                      "digest    %s\ntime      %" PRIu64 "\n",
                      verdict->head.index, verdict->head.run, hex, verdict->head.time);
    } else {
        const struct trib_signed_receipt *receipt = &verdict->receipt;
        (void)fprintf(cli->out,
                      "receipt   signed with this key: update %s of client %s in run %s\n"
                      "digest    %s\nbase      %" PRIu64 ", weight %" PRIu64
                      ", for version %" PRIu64 "\ntime      %" PRIu64 "\n",
                      receipt->update, receipt->client, receipt->run, hex, receipt->base,
                      receipt->weight, receipt->version, receipt->time);
    }
}

enum trib_exit trib_receipt_verify(const struct trib_cli *cli,
                                   const struct trib_receipt_options *options) {
    struct trib_error error = {0};
    struct verdict verdict = {.error = &error};
    struct trib_signature_key *key = NULL;
    char text[FILE_BYTES_MAX];
    if (!read_key(options->key_file, &key, &error) ||
        !read_small(options->signed_file, text, &error)) {
        trib_signature_key_free(key);
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s", error.text);
    }
    unwrap(text);
    enum trib_status status = read_signed(text, key, &verdict);
    trib_signature_key_free(key);
    if (status != TRIB_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s: %s", options->signed_file,
                             status == TRIB_EUNAUTHORIZED ? "not signed with this key"
                                                          : "no receipt and no head of a ledger");
    }
    tell_signed(cli, &verdict);
    return judge_ledger(cli, options, &verdict);
}
