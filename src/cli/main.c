/* main.c - the program trib. */
#include "cli/command.h"

int main(int argc, char **argv) {
    const struct trib_cli cli = {trib_env_system(), stdout, stderr};
    return trib_cli_run(&cli, (const char *const *)argv + 1, argc > 0 ? (size_t)argc - 1 : 0);
}
