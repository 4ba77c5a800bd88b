/* help.h - pages of help, made from the table of commands. */
#ifndef TRIB_CLI_HELP_H
#define TRIB_CLI_HELP_H

#include "cli/command.h"

/* All commands by group. */
enum trib_exit trib_help_overview(const struct trib_cli *cli);
/* A command ("run create"), its family ("run"), or a topic: "spec", "schema", "exit".
 * TRIB_EXIT_USAGE: there is no page of that name. */
enum trib_exit trib_help_about(const struct trib_cli *cli, const char *name);

#endif
