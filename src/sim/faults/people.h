/* people.h - who takes part in a world: trainers of all characters, an evaluator, an operator, perhaps a combiner.
 *
 * Each does one thing after the other and hears about it or not. What was not answered is sent
 * again with the same id; some send everything twice, some send rubbish, some go away. */
#ifndef TRIB_SIM_FAULTS_PEOPLE_H
#define TRIB_SIM_FAULTS_PEOPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEOPLE_TRAINERS_MAX 16
#define PEOPLE_CHANGES_MAX 4

struct people_rules {
    const char *run;
    const char *spec; /* JSON document of the run; borrowed */
    uint32_t trainer_count;
    bool has_vandal;         /* one more, who hardly ever sends anything sound */
    bool is_chunked;         /* large bodies without a length */
    double other_run_chance; /* that somebody does something in a second run */
    double delta_max;
    uint64_t weight_max;
    bool is_equal;                           /* examples do not matter, or not always */
    bool has_combiner;                       /* versions may be made of what it sends */
    const char *changes[PEOPLE_CHANGES_MAX]; /* of the live run's spec; borrowed */
    size_t change_count;
};

void people_begin(const struct people_rules *rules);
void people_end(void);

/* What the operator does when nothing is wrong. */
enum people_aim {
    PEOPLE_GO_ON, /* create the run, keep it running; meddle at times */
    PEOPLE_STOP,  /* stop it for good */
    PEOPLE_REST,  /* nobody starts anything any more */
};
void people_aim(enum people_aim aim);

/* What the operator has seen last. */
bool people_saw_stopped(void);
bool people_saw_failed(void); /* for ten minutes: it is time to start the daemon again */

/* Ask for the fate of everything acknowledged, send some of it again, and compare with the ledger.
 * people_have_asked(): all answers have come. */
void people_ask_fates(void);
bool people_have_asked(void);

#endif
