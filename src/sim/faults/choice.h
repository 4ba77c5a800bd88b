/* choice.h - what kind of world a seed stands for: its run, its people, its daemon, its troubles. */
#ifndef TRIB_SIM_FAULTS_CHOICE_H
#define TRIB_SIM_FAULTS_CHOICE_H

#include "node/node.h"
#include "sim/faults/judge.h"
#include "sim/faults/people.h"

#define CHOICE_SPEC_BYTES 16384
#define CHOICE_CHANGE_BYTES 2048

struct choice {
    char spec[CHOICE_SPEC_BYTES];                          /* JSON, complete */
    char changes[PEOPLE_CHANGES_MAX][CHOICE_CHANGE_BYTES]; /* JSON, what changes */
    struct judge_rules judge;
    struct people_rules people;
    struct trib_node_config config;
    bool is_checkpointed_always; /* no update stays in the spool once it is counted */
    bool is_recorded;            /* the run can be played again */
    bool keeps_bodies;           /* durability: spool */
    trib_time_ns trouble;        /* how long it lasts */
    trib_time_ns slowest;        /* what one version may take by the spec alone */
    double crash_chance;         /* per second of trouble, as those below */
    double disk_chance, clock_chance;
    double rot_chance;    /* per start */
    double index_chance;  /* per file call of SQLite */
    double memory_chance; /* per allocation */
};

/* Everything is drawn from the world's chance. spec: the user's run instead of one that is drawn;
 * its name and model are replaced; NULL: none. TRIB_EINVALID: it cannot be run in a world. */
enum trib_status choice_make(struct choice *choice, const json_t *spec, struct trib_error *error);

#endif
