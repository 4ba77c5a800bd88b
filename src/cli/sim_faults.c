/* sim_faults.c - trib sim --faults: a user's spec in worlds where everything goes wrong.
 *
 * A program of its own runs them: there the loop, the network and the disk of the daemon are
 * simulated ones, which this program shall not carry (src/sim/faults). */
#include "cli/sim_faults.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "trib-faults"
#define PATH_BYTES 4096

/* The folder of this very program. */
static bool find_folder(char folder[PATH_BYTES]) {
    ssize_t count = readlink("/proc/self/exe", folder, PATH_BYTES - 1);
    if (count <= 0) {
        return false;
    }
    folder[count] = '\0';
    char *end = strrchr(folder, '/');
    if (end != NULL) {
        *end = '\0';
    }
    return end != NULL;
}

enum trib_exit trib_sim_faults_run(const struct trib_cli *cli,
                                   const struct trib_sim_faults *options) {
    static const char *const places[] = {"", "/../libexec/tributary"};
    char folder[PATH_BYTES], path[PATH_BYTES + 64], replay[PATH_BYTES];
    if (!find_folder(folder)) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "/proc is not there");
    }
    (void)snprintf(replay, sizeof replay, "trib sim %s --faults", options->spec);
    const char *words[] = {PROGRAM, "--seeds", options->seeds, "--spec", options->spec,
                           "--as",  replay,    NULL,           NULL};
    words[7] = options->is_tracing ? "--trace" : NULL;
    (void)fflush(cli->out);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        (void)snprintf(path, sizeof path, "%s%s/" PROGRAM, folder, places[i]);
        (void)execv(path, (char *const *)words);
    }
    return trib_cli_fail(cli, TRIB_EXIT_FAILED,
                         PROGRAM " is neither in %s nor in ../libexec/tributary", folder);
}
