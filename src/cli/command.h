/* command.h - what the program can do: a table of commands, and how one of them is chosen.
 *
 * A command is a constant next to its code; command.c lists them all. Results go to cli->out,
 * everything else to cli->err, so that output can be piped. */
#ifndef TRIB_CLI_COMMAND_H
#define TRIB_CLI_COMMAND_H

#include <stdio.h>

#include "base/env.h"
#include "cli/options.h"

/* How the program ends; `trib help exit` says the same. */
enum trib_exit {
    TRIB_EXIT_OK = 0,
    TRIB_EXIT_FAILED = 1,      /* the daemon refused, or the operation failed */
    TRIB_EXIT_USAGE = 2,       /* the command line or the spec makes no sense */
    TRIB_EXIT_UNREACHABLE = 3, /* no daemon answers */
    TRIB_EXIT_GOAL = 4,        /* watch --goal: the run ended below its goal */
    TRIB_EXIT_INTERRUPTED = 130
};

/* The surroundings of a command. */
struct trib_cli {
    const struct trib_env *env;
    FILE *out;
    FILE *err;
};

/* options points to the struct that the command's table describes. */
typedef enum trib_exit trib_command_run(const struct trib_cli *cli, const void *options);

struct trib_command {
    const char *name;    /* "run create" */
    const char *group;   /* heading on the help page */
    const char *summary; /* one line */
    const char *details; /* further help, whole lines; NULL: none */
    const struct trib_option *options;
    size_t options_bytes; /* of the struct behind the table */
    trib_command_run *run;
};

extern const struct trib_command trib_command_serve;
extern const struct trib_command trib_command_cert;
extern const struct trib_command trib_command_run_create;
extern const struct trib_command trib_command_run_validate;
extern const struct trib_command trib_command_run_list;
extern const struct trib_command trib_command_run_show;
extern const struct trib_command trib_command_run_clients;
extern const struct trib_command trib_command_run_set;
extern const struct trib_command trib_command_run_pause;
extern const struct trib_command trib_command_run_resume;
extern const struct trib_command trib_command_run_stop;
extern const struct trib_command trib_command_run_rm;
extern const struct trib_command trib_command_plan_coalitions;
extern const struct trib_command trib_command_plan_requests;
extern const struct trib_command trib_command_join;
extern const struct trib_command trib_command_sim;
extern const struct trib_command trib_command_status;
extern const struct trib_command trib_command_watch;
extern const struct trib_command trib_command_model_get;
extern const struct trib_command trib_command_model_inspect;
extern const struct trib_command trib_command_model_diff;
extern const struct trib_command trib_command_token_create;
extern const struct trib_command trib_command_token_list;
extern const struct trib_command trib_command_token_revoke;
extern const struct trib_command trib_command_ledger_show;
extern const struct trib_command trib_command_ledger_verify;
extern const struct trib_command trib_command_replay;
extern const struct trib_command trib_command_version;
extern const struct trib_command trib_command_help;

/* The table in the order of the help page, groups together; NULL past the end. */
const struct trib_command *trib_command_at(size_t index);
/* The command that words[count] begin with; *used is how many of them name it. NULL: none, and
 * error says what is near. */
const struct trib_command *trib_command_find(const char *const *words, size_t count, size_t *used,
                                             struct trib_error *error);
/* Do what words[count], the command line without the program's name, ask for. */
enum trib_exit trib_cli_run(const struct trib_cli *cli, const char *const *words, size_t count);

/* Print "trib: ..." to cli->err. Returns its argument, so that giving up is one line. */
enum trib_exit trib_cli_fail(const struct trib_cli *cli, enum trib_exit exit, const char *format,
                             ...) __attribute__((format(printf, 3, 4)));

#endif
