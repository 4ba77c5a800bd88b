/* sim_faults.h - trib sim --faults: a user's spec in worlds where everything goes wrong. */
#ifndef TRIB_CLI_SIM_FAULTS_H
#define TRIB_CLI_SIM_FAULTS_H

#include "cli/command.h"

struct trib_sim_faults {
    const char *spec;  /* file */
    const char *seeds; /* "FIRST:COUNT" */
    bool is_tracing;   /* tell every step */
};

/* Becomes the program trib-faults, which lies beside this one or in ../libexec/tributary; returns
 * only when that cannot be. */
enum trib_exit trib_sim_faults_run(const struct trib_cli *cli,
                                   const struct trib_sim_faults *options);

#endif
