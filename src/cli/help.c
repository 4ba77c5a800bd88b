/* help.c - pages of help, made from the table of commands. */
#include "cli/help.h"

#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "run/spec.h"

static enum trib_exit show(const struct trib_cli *cli, struct trib_text *text) {
    bool is_whole = !text->is_failed && text->bytes != NULL;
    if (is_whole) {
        (void)fputs(text->bytes, cli->out); /* checked by trib_cli_run() when it flushes */
    }
    trib_text_deinit(text);
    return is_whole ? TRIB_EXIT_OK : trib_cli_fail(cli, TRIB_EXIT_FAILED, "out of memory");
}

/* --- commands --------------------------------------------------------------------------------- */

static void add_summary(const struct trib_command *command, struct trib_text *text) {
    trib_text_format(text, "  %-16s %s\n", command->name, command->summary);
}

enum trib_exit trib_help_overview(const struct trib_cli *cli) {
    struct trib_text text;
    trib_text_init(&text, cli->env);
    trib_text_format(&text, "trib - train one model across many machines that keep their data\n\n"
                            "Usage: trib COMMAND [options]\n");
    const char *group = "";
    const struct trib_command *command;
    for (size_t i = 0; (command = trib_command_at(i)) != NULL; i++) {
        if (strcmp(command->group, group) != 0) {
            group = command->group;
            trib_text_format(&text, "\n%s:\n", group);
        }
        add_summary(command, &text);
    }
    trib_text_format(&text, "\n'trib help COMMAND' has the options of a command; 'trib help spec', "
                            "'schema' and 'exit' have more.\n");
    return show(cli, &text);
}

static bool has_kind(const struct trib_option *table, enum trib_option_kind kind) {
    while (table->name != NULL && table->kind != kind) {
        table++;
    }
    return table->name != NULL;
}

static enum trib_exit show_command(const struct trib_cli *cli, const struct trib_command *command) {
    struct trib_text text;
    trib_text_init(&text, cli->env);
    trib_text_format(&text, "Usage: trib %s", command->name);
    trib_options_usage(command->options, &text);
    trib_text_format(&text, "\n\n%s.\n", command->summary);
    if (command->details != NULL) {
        trib_text_format(&text, "\n%s", command->details);
    }
    if (command->options->name != NULL) {
        trib_text_format(&text, "\n");
        trib_options_help(command->options, &text);
    }
    if (has_kind(command->options, TRIB_OPTION_SIZE)) {
        trib_text_format(&text, "\nSIZE is a number of bytes, or one with kB, MB, GB, KiB, MiB or "
                                "GiB: 64MiB, 1.5GB.\n");
    }
    if (has_kind(command->options, TRIB_OPTION_DURATION)) {
        trib_text_format(&text, "\nDURATION is a number with ms, s, m, h or d: 500ms, 1h30m.\n");
    }
    return show(cli, &text);
}

/* The commands that begin with this word; nothing is appended when there are none. */
static void add_family(const char *word, struct trib_text *text) {
    size_t bytes = strlen(word);
    const struct trib_command *command;
    for (size_t i = 0; (command = trib_command_at(i)) != NULL; i++) {
        if (strncmp(command->name, word, bytes) == 0 && command->name[bytes] == ' ') {
            add_summary(command, text);
        }
    }
}

/* --- topics ----------------------------------------------------------------------------------- */

static enum trib_exit show_spec(const struct trib_cli *cli) {
    struct trib_text text;
    trib_text_init(&text, cli->env);
    trib_text_format(&text, "A spec says what a run is to do; it is written as YAML or JSON. Only "
                            "name and model are required.\n");
    trib_spec_help(&text);
    return show(cli, &text);
}

static enum trib_exit show_schema(const struct trib_cli *cli) {
    json_t *schema = trib_spec_schema();
    enum trib_exit result = trib_print_json(cli, schema);
    json_decref(schema);
    return result;
}

static enum trib_exit show_exit(const struct trib_cli *cli) {
    (void)fprintf(cli->out, "How trib ends:\n"
                            "    0  done\n"
                            "    1  the daemon refused, or the operation failed\n"
                            "    2  the command line or the spec makes no sense\n"
                            "    3  no daemon answers at the address\n"
                            "    4  watch --goal: the run ended without reaching evaluate.goal\n"
                            "  130  interrupted\n");
    return TRIB_EXIT_OK;
}

static const struct {
    const char *name;
    enum trib_exit (*show)(const struct trib_cli *cli);
} topics[] = {{"spec", show_spec}, {"schema", show_schema}, {"exit", show_exit}};

enum trib_exit trib_help_about(const struct trib_cli *cli, const char *name) {
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
        if (strcmp(topics[i].name, name) == 0) {
            return topics[i].show(cli);
        }
    }
    const struct trib_command *command;
    for (size_t i = 0; (command = trib_command_at(i)) != NULL; i++) {
        if (strcmp(command->name, name) == 0) {
            return show_command(cli, command);
        }
    }
    struct trib_text text;
    trib_text_init(&text, cli->env);
    add_family(name, &text);
    if (text.byte_count > 0 || text.is_failed) {
        return show(cli, &text);
    }
    struct trib_error error = {0};
    size_t used;
    (void)trib_command_find(&name, 1, &used, &error); /* for its suggestion */
    return trib_cli_fail(cli, TRIB_EXIT_USAGE, "%s", error.text);
}

/* --- trib help -------------------------------------------------------------------------------- */

struct help_options {
    const char *first, *second;
};

static const struct trib_option help_table[] = {
    {"first", TRIB_OPTION_TEXT, offsetof(struct help_options, first), .value = "COMMAND",
     .is_positional = true, .otherwise = "all commands",
     .meaning = "a command, or spec, schema, exit"},
    {"second", TRIB_OPTION_TEXT, offsetof(struct help_options, second), .value = "WORD",
     .is_positional = true, .otherwise = "none", .meaning = "its second word, as in run create"},
    {0},
};

static enum trib_exit help(const struct trib_cli *cli, const void *given) {
    const struct help_options *options = given;
    if (options->first == NULL) {
        return trib_help_overview(cli);
    }
    if (options->second == NULL) {
        return trib_help_about(cli, options->first);
    }
    char name[64];
    (void)snprintf(name, sizeof name, "%s %s", options->first, options->second);
    return trib_help_about(cli, name);
}

const struct trib_command trib_command_help = {
    .name = "help",
    .group = "Help",
    .summary = "Explain a command, the fields of a spec (spec, schema) or the exit codes (exit)",
    .options = help_table,
    .options_bytes = sizeof(struct help_options),
    .run = help,
};
