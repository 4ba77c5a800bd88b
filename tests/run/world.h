/* world.h - a node in memory around one run: carries out effects, forgets what is not durable, and
 * watches the promises at every step.
 *
 * Effects that take time become jobs; whoever drives the world says when a job completes, and how.
 * What a completed job made durable (updates, version records, states, evaluations) survives
 * world_restart(); everything else is gone, as after a kill. Each broken promise ends the test
 * with the rule, the time and the seed. */
#ifndef TRIB_TEST_RUN_WORLD_H
#define TRIB_TEST_RUN_WORLD_H

#include <stdio.h>

#include "run/run.h"

#define WORLD_CLIENTS_MAX 512
#define WORLD_UPDATES_MAX 8192
#define WORLD_REQUESTS_MAX 65536
#define WORLD_JOBS_MAX 1024
#define WORLD_EVALUATIONS_MAX 4096
#define WORLD_SLOTS_MAX 512

/* One update that reached SPOOL. */
struct world_update {
    char client[TRIB_NAME_BYTES], id[TRIB_NAME_BYTES];
    trib_version base, target;
    uint64_t staleness, weight, examples;
    uint64_t counted; /* what its fold says it weighs: less than weight where shares are capped */
    struct trib_digest digest;
    bool is_durable;
    bool is_acknowledged;
    enum trib_fate fate; /* NONE while pending */
    trib_version version;
    uint32_t folds; /* issued since the last restart */
    bool is_folded;
};

struct world_request {
    char who[TRIB_NAME_BYTES];
    char id[TRIB_NAME_BYTES];   /* of the update it is about */
    enum trib_client_role role; /* of a join */
    struct trib_digest body;    /* of an update */
    uint64_t examples;          /* these three: of an evaluation */
    double metric;
    bool has_metric;
    bool is_open;
};

enum world_job_kind {
    WORLD_SPOOL,
    WORLD_FOLD,
    WORLD_COMBINE,
    WORLD_MERGE,
    WORLD_PERSIST,
    WORLD_RECORD,
};

struct world_job {
    enum world_job_kind kind;
    trib_time_ns done_at; /* for whoever drives the world */
    trib_slot slot;
    uint32_t update; /* spool, fold */
    trib_version version;
    uint32_t accumulator;
    uint64_t record;
    enum trib_record_kind record_kind;
    enum trib_run_state state;
    char reason[96];
    uint32_t *listed; /* updates that a version counts or a stop drops */
    size_t listed_count;
    struct trib_digest digest;
    char client[TRIB_NAME_BYTES];
    uint64_t examples;
    double metric;
    bool has_metric;
};

struct world_evaluation {
    char client[TRIB_NAME_BYTES];
    trib_version version;
    uint64_t examples;
    double metric;
    bool has_metric;
};

struct world {
    const struct trib_spec *spec;
    struct trib_run_limits limits;
    uint64_t seed; /* named when a promise is broken */
    trib_time_ns now;
    struct trib_run *run;
    const struct trib_event *event; /* of the step under way */
    struct trib_effects effects;    /* of the newest step */

    /* Called for each effect, before it is carried out; NULL: nobody listens. */
    void (*listen)(struct world *world, const struct trib_effect *effect);
    void *listener;

    /* durable */
    enum trib_run_state state;
    char reason[96];
    bool has_model;
    trib_version version;
    uint64_t counted, dropped;
    trib_version revised_from; /* 0: never, or it holds */
    bool is_reopening;         /* the run has asked to be made anew: restart it */
    struct world_update updates[WORLD_UPDATES_MAX];
    uint32_t update_count;
    struct world_evaluation evaluations[WORLD_EVALUATIONS_MAX];
    uint32_t evaluation_count;
    struct {
        char name[TRIB_NAME_BYTES];
        enum trib_client_role role;
        struct trib_attribute attributes[TRIB_ATTRIBUTES_MAX];
        uint32_t attribute_count;
        bool is_set_aside;
    } clients[WORLD_CLIENTS_MAX];
    uint32_t client_count;

    /* lost at a restart */
    trib_version published;
    uint32_t slots[WORLD_SLOTS_MAX]; /* slot -> update + 1; 0 = free */
    uint64_t sums[2];                /* weight in each accumulator */
    trib_version summed[2];          /* version that it is for; 0 = empty */
    uint64_t merged;                 /* weight of the newest merge */
    struct world_job jobs[WORLD_JOBS_MAX];
    uint32_t job_count;
    struct world_request requests[WORLD_REQUESTS_MAX]; /* by number % MAX */
    uint64_t request_count;
    uint64_t requests_open;
    uint64_t idle_ticks;
};

struct world *world_new(const struct trib_spec *spec, uint32_t accumulators, uint64_t seed);
void world_free(struct world *world);

/* A new request of `who`; 0 is never one. */
trib_request world_request(struct world *world, const char *who);
struct world_request *world_request_at(struct world *world, trib_request request);
/* The newest open request of who; 0: none. */
trib_request world_open_request(struct world *world, const char *who);

/* Give an event to the run (now is filled in), check and carry out what it answers. */
void world_step(struct world *world, struct trib_event event);
/* The model becomes durable. */
void world_model(struct world *world);
/* What the ledger says about an update the run may have forgotten. */
struct trib_settled world_settled(const struct world *world, const char *client, const char *id);
/* The same about a report on a version. */
struct trib_settled world_reported(const struct world *world, const char *client,
                                   trib_version version);
/* Complete a job; it leaves the list, the order of the others stays. */
void world_complete(struct world *world, uint32_t job, enum trib_status status);
/* Kill and start again; jobs whose bit in `survivors` (bit = place % 64) is set had reached the
 * disk without being told. */
void world_restart(struct world *world, uint64_t survivors);

/* All acknowledged updates are settled and nobody waits for an answer. */
void world_check_end(struct world *world);

/* Unless condition: print the rule that is broken and abort. */
void world_require(const struct world *world, bool condition, const char *rule);

struct trib_digest world_body(const char *words);

#endif
