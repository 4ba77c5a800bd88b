/* version.c - trib version. */
#include "cli/command.h"
#include "tensor/kernels.h"

#define PROTOCOL_VERSION 1 /* of docs/protocol.md */

struct version_options {
    bool unused; /* a struct needs a member */
};

static const struct trib_option version_table[] = {{0}};

static enum trib_exit version(const struct trib_cli *cli, const void *options) {
    (void)options; /* there are none */
    (void)fprintf(cli->out, "trib %s\nprotocol %d\nkernels %s\n", TRIB_PROGRAM_VERSION,
                  PROTOCOL_VERSION, trib_kernels_select()->name);
    return TRIB_EXIT_OK;
}

const struct trib_command trib_command_version = {
    .name = "version",
    .group = "Help",
    .summary = "Print the versions of the program and its protocol, and the kernels in use",
    .options = version_table,
    .options_bytes = sizeof(struct version_options),
    .run = version,
};
