/* command.c - the table of commands, and the way from a command line to one of them. */
#include "cli/command.h"

#include <stdarg.h>
#include <string.h>

#include "base/name.h"
#include "cli/help.h"

#define COMMAND_WORDS_MAX 2
#define COMMAND_NAME_BYTES 64

static const struct trib_command *const commands[] = {
    /* Daemon */
    &trib_command_serve,
    &trib_command_cert,
    /* Runs */
    &trib_command_run_create,
    &trib_command_run_validate,
    &trib_command_run_list,
    &trib_command_run_show,
    &trib_command_run_clients,
    &trib_command_run_set,
    &trib_command_run_pause,
    &trib_command_run_resume,
    &trib_command_run_stop,
    &trib_command_run_rm,
    /* Planning */
    &trib_command_plan_coalitions,
    &trib_command_plan_requests,
    /* Taking part */
    &trib_command_join,
    /* Simulation */
    &trib_command_sim,
    /* Watching */
    &trib_command_status,
    &trib_command_watch,
    /* Access */
    &trib_command_token_create,
    &trib_command_token_list,
    &trib_command_token_revoke,
    /* Models */
    &trib_command_model_get,
    &trib_command_model_inspect,
    &trib_command_model_diff,
    /* Records */
    &trib_command_ledger_show,
    &trib_command_ledger_verify,
    &trib_command_replay,
    /* Help */
    &trib_command_version,
    &trib_command_help,
};

const struct trib_command *trib_command_at(size_t index) {
    return index < sizeof commands / sizeof *commands ? commands[index] : NULL;
}

/* Join the first `used` words with blanks; false when they are too long for a command. */
static bool join_words(const char *const *words, size_t used, char name[COMMAND_NAME_BYTES]) {
    size_t length = 0;
    for (size_t i = 0; i < used; i++) {
        size_t bytes = strlen(words[i]);
        if (length + bytes + 2 > COMMAND_NAME_BYTES) {
            return false;
        }
        if (i > 0) {
            name[length++] = ' ';
        }
        memcpy(name + length, words[i], bytes);
        length += bytes;
    }
    name[length] = '\0';
    return true;
}

/* "run" alone, or "run" and something that is not one of its commands. */
static const struct trib_command *family_of(const char *word) {
    size_t bytes = strlen(word);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strncmp(commands[i]->name, word, bytes) == 0 && commands[i]->name[bytes] == ' ') {
            return commands[i];
        }
    }
    return NULL;
}

static void refuse(const char *const *words, size_t count, struct trib_error *error) {
    char written[COMMAND_NAME_BYTES];
    bool is_family = family_of(words[0]) != NULL;
    if (is_family && count == 1) {
        (void)trib_error_set(error, TRIB_EINVALID, "%s: which? See 'trib help %s'", words[0],
                             words[0]);
        return;
    }
    const char *best = NULL;
    if (join_words(words, is_family ? 2 : 1, written)) {
        size_t distance = strlen(written) / 3 + 2;
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
            size_t found = trib_text_distance(written, commands[i]->name);
            if (found < distance) {
                distance = found;
                best = commands[i]->name;
            }
        }
    } else {
        (void)strcpy(written, "that");
    }
    if (best == NULL) {
        (void)trib_error_set(error, TRIB_EINVALID, "%s: unknown command; see 'trib help'", written);
    } else {
        (void)trib_error_set(error, TRIB_EINVALID, "%s: unknown command; did you mean %s?", written,
                             best);
    }
}

const struct trib_command *trib_command_find(const char *const *words, size_t count, size_t *used,
                                             struct trib_error *error) {
    char name[COMMAND_NAME_BYTES];
    for (*used = count < COMMAND_WORDS_MAX ? count : COMMAND_WORDS_MAX; *used > 0; --*used) {
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
            if (join_words(words, *used, name) && strcmp(commands[i]->name, name) == 0) {
                return commands[i];
            }
        }
    }
    if (count == 0) {
        (void)trib_error_set(error, TRIB_EINVALID, "no command; see 'trib help'");
    } else {
        refuse(words, count, error);
    }
    return NULL;
}

enum trib_exit trib_cli_fail(const struct trib_cli *cli, enum trib_exit exit, const char *format,
                             ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)fputs("trib: ", cli->err); /* nobody to tell when this fails */
    (void)vfprintf(cli->err, format, arguments);
    (void)fputc('\n', cli->err);
    va_end(arguments);
    return exit;
}

static bool is_asking_for_help(const char *const *words, size_t count) {
    for (size_t i = 0; i < count && strcmp(words[i], "--") != 0; i++) {
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

static enum trib_exit run_command(const struct trib_cli *cli, const struct trib_command *command,
                                  const char *const *words, size_t count) {
    struct trib_error error = {0};
    void *options = trib_allocate(cli->env, 1, command->options_bytes);
    if (options == NULL) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "out of memory");
    }
    enum trib_exit result;
    if (trib_options_read(command->options, words, count, options, &error) != TRIB_OK) {
        result = trib_cli_fail(cli, TRIB_EXIT_USAGE, "%s: %s (see 'trib help %s')", command->name,
                               error.text, command->name);
    } else {
        result = command->run(cli, options);
    }
    trib_release(cli->env, options, 1, command->options_bytes);
    return result;
}

enum trib_exit trib_cli_run(const struct trib_cli *cli, const char *const *words, size_t count) {
    struct trib_error error = {0};
    size_t used = 0;
    if (count > 0 && (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0)) {
        return trib_help_overview(cli);
    }
    if (count > 0 && strcmp(words[0], "--version") == 0) {
        return run_command(cli, &trib_command_version, words + 1, count - 1);
    }
    const struct trib_command *command = trib_command_find(words, count, &used, &error);
    if (command == NULL && count == 2 && is_asking_for_help(words + 1, 1)) {
        return trib_help_about(cli, words[0]); /* trib run --help */
    }
    if (command == NULL) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "%s", error.text);
    }
    if (is_asking_for_help(words + used, count - used)) {
        return trib_help_about(cli, command->name);
    }
    enum trib_exit result = run_command(cli, command, words + used, count - used);
    /* A full disk or a closed pipe behind the output is a failure as well. */
    if (fflush(cli->out) != 0 && result == TRIB_EXIT_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "the output could not be written");
    }
    return result;
}
