/* ledger.c - trib ledger show and verify: the record of a run, and whether it holds. */
#include <inttypes.h>
#include <string.h>

#include "cli/ledger_pages.h"
#include "cli/print.h"
#include "cli/receipt.h"
#include "node/audit.h"

struct ledger_options {
    const char *run;
    const char *data_dir;
    uint64_t from;
    bool is_json;
    struct trib_receipt_options receipt;
    struct trib_remote_options remote;
    uint64_t model_bytes;
};

#define AT(member) offsetof(struct ledger_options, member)

/* --- show ------------------------------------------------------------------------------------- */

static const struct trib_option show_table[] = {
    {"run", TRIB_OPTION_TEXT, AT(run), .value = "RUN", .is_positional = true, .is_required = true,
     .meaning = "name of the run"},
    {"from", TRIB_OPTION_INTEGER, AT(from), .value = "N", .initial = "0", .least = 0,
     .most = INT64_MAX, .meaning = "first record"},
    {"json", TRIB_OPTION_FLAG, AT(is_json), .meaning = "print the records as JSON lines"},
    TRIB_REMOTE_ROWS(struct ledger_options, remote),
    {0},
};

/* "12  3f9c2a01b4d5  2026-11-20T16:38:38Z  version version=7 ...": what is in a record as key=value,
 * lists by their length. */
static void print_record(const struct trib_cli *cli, const json_t *line) {
    const json_t *record = json_object_get(line, "record");
    const char *digest = json_string_value(json_object_get(line, "digest"));
    const char *type = json_string_value(json_object_get(record, "type"));
    char stamp[TRIB_STAMP_BYTES];
    const char *key;
    json_t *value;
    trib_print_stamp(json_number_value(json_object_get(record, "time")), stamp);
    (void)fprintf(cli->out, "%6lld  %.12s  %s  %s",
                  (long long)json_integer_value(json_object_get(line, "index")),
                  digest == NULL ? "" : digest, stamp, type == NULL ? "record" : type);
    json_object_foreach((json_t *)record, key, value) { /* jansson's own lack of const */
        if (strcmp(key, "type") == 0 || strcmp(key, "time") == 0) {
            continue; /* they have been said */
        }
        if (json_is_string(value)) {
            /* 12 digits tell digests apart; the rest is in --json */
            bool is_digest = json_string_length(value) == TRIB_DIGEST_HEX_BYTES - 1;
            (void)fprintf(cli->out, " %s=%.*s", key, is_digest ? 12 : 80, json_string_value(value));
        } else if (json_is_integer(value)) {
            (void)fprintf(cli->out, " %s=%lld", key, (long long)json_integer_value(value));
        } else if (json_is_real(value)) {
            (void)fprintf(cli->out, " %s=%.15g", key, json_real_value(value));
        } else if (json_is_array(value)) {
            (void)fprintf(cli->out, " %s=[%zu]", key, json_array_size(value));
        }
    }
    (void)fprintf(cli->out, "\n");
}

struct showing {
    const struct trib_cli *cli;
    bool is_json;
};

static void show_record(void *context, const char *line, const json_t *document) {
    const struct showing *showing = context;
    if (showing->is_json) {
        (void)fprintf(showing->cli->out, "%s\n", line);
    } else {
        print_record(showing->cli, document);
    }
}

static enum trib_exit show(const struct trib_cli *cli, const void *given) {
    const struct ledger_options *options = given;
    struct trib_remote remote;
    enum trib_exit result = trib_remote_open(cli, &options->remote, &remote);
    if (result == TRIB_EXIT_OK) {
        struct showing showing = {cli, options->is_json};
        result = trib_ledger_pages(&remote, options->run, options->from, show_record, &showing);
        trib_remote_close(&remote);
    }
    return result;
}

const struct trib_command trib_command_ledger_show = {
    .name = "ledger show",
    .group = "Records",
    .summary = "Print the records of a run, one per line",
    .options = show_table,
    .options_bytes = sizeof(struct ledger_options),
    .run = show,
};

/* --- verify ----------------------------------------------------------------------------------- */

static const struct trib_option verify_table[] = {
    {"data-dir", TRIB_OPTION_TEXT, AT(data_dir), .value = "DIR", .is_positional = true,
     .otherwise = "only with --receipt",
     .meaning = "data directory of a daemon that is not running"},
    {"run", TRIB_OPTION_TEXT, AT(run), .value = "RUN", .is_positional = true,
     .otherwise = "only with --receipt", .meaning = "name of the run"},
    {"receipt", TRIB_OPTION_TEXT, AT(receipt.signed_file), .value = "FILE",
     .otherwise = "the whole run",
     .meaning = "check this instead: what an update was answered with, or .../ledger/head"},
    {"key", TRIB_OPTION_TEXT, AT(receipt.key_file), .value = "FILE",
     .otherwise = "needed with --receipt", .meaning = "the daemon's ledger.pub"},
    {"ledger", TRIB_OPTION_TEXT, AT(receipt.ledger_file), .value = "FILE",
     .otherwise = "that of DIR and RUN, if given",
     .meaning = "what 'trib ledger show RUN --json' printed"},
    {"model-memory", TRIB_OPTION_SIZE, AT(model_bytes), .value = "SIZE", .initial = "8GiB",
     .meaning = "a model that takes more with its sums is not made again, only digested"},
    {"json", TRIB_OPTION_FLAG, AT(is_json), .meaning = "print JSON"},
    {0},
};

static enum trib_exit print_report(const struct trib_cli *cli,
                                   const struct trib_audit_report *report, bool is_json) {
    char hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(&report->head, hex);
    if (is_json) {
        json_t *document =
            json_pack("{s:I, s:I, s:s, s:I, s:I, s:I, s:I}", "records", (json_int_t)report->records,
                      "torn_bytes", (json_int_t)report->torn_bytes, "head", hex, "versions",
                      (json_int_t)report->versions, "recomputed", (json_int_t)report->recomputed,
                      "files_checked", (json_int_t)report->files_checked, "updates",
                      (json_int_t)report->updates);
        enum trib_exit result = trib_print_json(cli, document);
        json_decref(document);
        return result;
    }
    (void)fprintf(cli->out,
                  "records   %" PRIu64 ", chain whole, last one %s\n"
                  "versions  %" PRIu64 " of %" PRIu64 " updates; %" PRIu64
                  " recomputed bit for bit, %" PRIu64 " files have their digest\n",
                  report->records, hex, report->versions, report->updates, report->recomputed,
                  report->files_checked);
    if (report->torn_bytes > 0) {
        (void)fprintf(cli->out, "torn      %" PRIu64 " bytes were cut from the end\n",
                      report->torn_bytes);
    }
    return TRIB_EXIT_OK;
}

static enum trib_exit verify_receipt(const struct trib_cli *cli,
                                     const struct ledger_options *options) {
    struct trib_receipt_options receipt = options->receipt;
    receipt.data_dir = options->data_dir;
    receipt.run = options->run;
    if (receipt.key_file == NULL) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "--receipt needs --key");
    }
    return trib_receipt_verify(cli, &receipt);
}

static enum trib_exit verify(const struct trib_cli *cli, const void *given) {
    const struct ledger_options *options = given;
    if ((options->data_dir == NULL) != (options->run == NULL)) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "DIR and RUN belong together");
    }
    if (options->receipt.signed_file != NULL) {
        return verify_receipt(cli, options);
    }
    if (options->data_dir == NULL) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "give DIR and RUN, or --receipt and --key");
    }
    struct trib_audit_report report = {0};
    struct trib_error error = {0};
    if (trib_audit_run(cli->env, options->data_dir, options->run, options->model_bytes, &report,
                       &error) != TRIB_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s", error.text);
    }
    return print_report(cli, &report, options->is_json);
}

const struct trib_command trib_command_ledger_verify = {
    .name = "ledger verify",
    .group = "Records",
    .summary = "Check a run's files: the chain, the digests, and each version made again",
    .details = "Versions can be made again while the bodies of their updates are kept\n"
               "(keep.updates in 'trib help spec').\n",
    .options = verify_table,
    .options_bytes = sizeof(struct ledger_options),
    .run = verify,
};
