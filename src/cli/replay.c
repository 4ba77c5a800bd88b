/* replay.c - trib replay: a recorded run once more, does it come to the same bits? */
#include <inttypes.h>

#include "cli/command.h"
#include "cli/print.h"
#include "sim/playback.h"

struct replay_options {
    const char *data_dir;
    const char *run;
    bool is_json;
};

#define AT(member) offsetof(struct replay_options, member)

static const struct trib_option replay_table[] = {
    {"data-dir", TRIB_OPTION_TEXT, AT(data_dir), .value = "DIR", .is_positional = true,
     .is_required = true, .meaning = "data directory of a daemon that is not running"},
    {"run", TRIB_OPTION_TEXT, AT(run), .value = "RUN", .is_positional = true, .is_required = true,
     .meaning = "name of the run"},
    {"json", TRIB_OPTION_FLAG, AT(is_json), .meaning = "print JSON"},
    {0},
};

static enum trib_exit print_report(const struct trib_cli *cli,
                                   const struct trib_playback_report *report, bool is_json) {
    char hex[TRIB_DIGEST_HEX_BYTES];
    trib_digest_to_hex(&report->digest, hex);
    if (is_json) {
        json_t *document =
            json_pack("{s:I, s:I, s:I, s:I, s:f, s:s}", "versions", (json_int_t)report->versions,
                      "updates", (json_int_t)report->updates, "openings",
                      (json_int_t)report->openings, "events", (json_int_t)report->events, "seconds",
                      (double)report->fleet.ended_at / (double)TRIB_SECOND, "digest", hex);
        enum trib_exit result = trib_print_json(cli, document);
        json_decref(document);
        return result;
    }
    (void)fprintf(cli->out,
                  "replayed %" PRIu64 " versions, %" PRIu64 " updates: same bits\n"
                  "%" PRIu64 " events, the run was opened %" PRIu64 " time%s; last version %s\n",
                  report->versions, report->updates, report->events, report->openings,
                  report->openings == 1 ? "" : "s", hex);
    return TRIB_EXIT_OK;
}

static enum trib_exit replay(const struct trib_cli *cli, const void *given) {
    const struct replay_options *options = given;
    struct trib_files *files;
    struct trib_error error = {0};
    if (trib_files_open(cli->env, options->data_dir, true, &files, &error) != TRIB_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s", error.text);
    }
    struct trib_playback_report report;
    const struct trib_playback_options playback = {.files = files, .run = options->run};
    enum trib_status status = trib_playback_run(cli->env, &playback, &report, &error);
    trib_files_close(files);
    return status == TRIB_OK ? print_report(cli, &report, options->is_json)
                             : trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s", error.text);
}

const struct trib_command trib_command_replay = {
    .name = "replay",
    .group = "Records",
    .summary = "Play a recorded run again, event by event, and compare all bits",
    .details =
        "Everything that the run was told, in its order and at its times, is told to the same code\n"
        "again, with the updates that were kept. Each version must count the same updates with the\n"
        "same weights and have the digest that the ledger says; the first that differs is named.\n"
        "A run is recorded while keep.updates is forever ('trib help spec'). 'trib sim --order' lets\n"
        "clients train again in the recorded order instead.\n",
    .options = replay_table,
    .options_bytes = sizeof(struct replay_options),
    .run = replay,
};
