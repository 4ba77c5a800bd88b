/* fleet_parts.h - the fleet from inside, and what its files do for each other.
 *
 *   fleet.c         birth, the loop over moments, the end
 *   fleet_places.c  clients: check in, train, send, fall silent, go
 *   fleet_server.c  the node: effects of the heart are carried out at once
 *   fleet_combine.c versions whose updates somebody else combines
 *   fleet_update.c  from a base version to a checked update, on any thread */
#ifndef TRIB_SIM_FLEET_PARTS_H
#define TRIB_SIM_FLEET_PARTS_H

#include "node/model.h"
#include "sim/calendar.h"
#include "sim/fleet.h"
#include "sim/hands.h"

#define TRIB_NOBODY UINT64_MAX

/* One update from training to its fold. */
struct trib_fleet_update {
    struct trib_block *body; /* canonical safetensors; NULL: none was made */
    struct trib_source source;
    const struct trib_codec *codec; /* of the body */
    struct trib_update *update;     /* opened and checked; NULL unless status is TRIB_OK */
    struct trib_digest digest;      /* of the body */
    struct trib_work_trained trained;
    uint64_t client;
    bool is_trained;         /* false: training itself failed, there is nothing to send */
    enum trib_status status; /* of the check */
    struct trib_error error;
    trib_version base;
};

/* Of the updates of one version. */
struct trib_fleet_tally {
    uint64_t updates, losses;
    double staleness, loss;
};

/* A client's score of a version on data of its own, which takes no virtual time. */
struct trib_fleet_evaluation {
    struct trib_work_score score; /* both written by the job */
    struct trib_error error;      /* with its status */
};

enum trib_place_state {
    TRIB_PLACE_VACANT,   /* until its next moment */
    TRIB_PLACE_WAITING,  /* its client waits for a task */
    TRIB_PLACE_TRAINING, /* its client has one */
};

struct trib_place {
    uint64_t client;                 /* TRIB_NOBODY: vacant */
    char name[TRIB_WORK_NAME_BYTES]; /* of that client; of the last one while vacant */
    enum trib_place_state state;
    uint32_t generation; /* of its moments: older ones mean nothing */
    bool is_joined;
    bool is_silent;           /* TRAINING: its client will not be heard of again before its lease */
    bool has_job;             /* its update is worked on, or done */
    trib_time_ns there_until; /* its client is available */
    trib_time_ns due;         /* TRAINING: when the update is there */
    uint64_t examples;
    trib_version base;
    uint32_t steps; /* of the task; 0: as the settings say */
    uint32_t site;  /* of its client: index + 1; 0: none */
    char task[sizeof((struct trib_task *)0)->id];
    struct trib_fleet_evaluation *evaluation; /* WAITING: its client scores a version; or NULL */
    struct trib_block *base_block;            /* while has_job */
    struct trib_block *own; /* likewise: what its client kept when it was asked; or NULL */
    struct trib_fleet_update *update; /* written by the job */
};

/* A moment says whose it is: generation << 32 | kind << 28 | place. */
#define TRIB_MOMENT_PLACE_BITS 28
#define TRIB_MOMENT_PLACE_MASK ((1u << TRIB_MOMENT_PLACE_BITS) - 1)

enum trib_moment_kind {
    TRIB_MOMENT_CHECK_IN, /* somebody may take the place */
    TRIB_MOMENT_LEAVE,    /* its client is not available any more */
    TRIB_MOMENT_OFFER,    /* training is done, the upload begins */
    TRIB_MOMENT_UPDATE,   /* the upload is complete */
    TRIB_MOMENT_VANISH,   /* its client falls silent */
};

/* What settings of clients say about how long a task takes. */
struct trib_fleet_course {
    char *settings;       /* JSON object: the spec's, and instead of some the site's own */
    bool is_until_called; /* it lasts until the client is called, */
    uint32_t steps;       /* and no more than so many steps; 0: not said */
};

/* What the node owes the heart: answered in order, at the same time. */
struct trib_fleet_answer {
    enum trib_event_kind kind;
    enum trib_status status;
    uint32_t place; /* DECLINE, ASK, EVALUATION */
    trib_slot slot;
    trib_version version;
    uint64_t record;
};

struct trib_fleet {
    const struct trib_env *env;
    const struct trib_fleet_options *options;
    const struct trib_spec *spec;
    const struct trib_population *population;
    const struct trib_work *work;
    struct trib_error *error;

    trib_time_ns now;
    struct trib_calendar calendar;
    struct trib_run *run;
    struct trib_effects *effects;
    struct trib_fleet_answer *answers; /* ring: [answer_capacity] */
    size_t answer_capacity, first_answer, answer_count;
    enum trib_status status; /* the first failure of ours */
    bool is_over;

    struct trib_fleet_course *courses; /* [spec->site_count + 1]; 0: of clients of no site */
    struct trib_model model;
    struct trib_packing packing;
    struct trib_layout *change_layout;  /* of what an update changes, in fp32 */
    struct trib_layout *update_layout;  /* of the bodies of updates */
    struct trib_fleet_update **slots;   /* [updates_pending_max] */
    struct trib_fleet_update zero;      /* of every client, where nothing is trained */
    struct trib_fleet_update *combined; /* what the next version is made of, where somebody else
                                           combines updates; NULL: nothing yet */
    float **trained;                    /* [threads] scratch, element_count each */

    struct trib_hands *hands;        /* jobs: one per place, then the parts of an evaluation */
    struct trib_work_score *scores;  /* [work->evaluate_parts] */
    struct trib_error *score_errors; /* [work->evaluate_parts]; status: of the part */
    struct trib_block *scored;       /* the version under evaluation */
    struct trib_block *due;          /* the version that is to be evaluated; NULL: none yet */
    trib_version due_version;
    struct trib_work_score own; /* sums of clients' reports on the current version */

    struct trib_place *places; /* [place_count + 1]; the last is the evaluator's */
    uint32_t place_count;
    bool has_turns;        /* the population is larger than the places */
    uint64_t *busy, *seen; /* one bit per client: it has a place; it had a task */
    struct trib_block *
        *owns; /* [population->clients] what each keeps; NULL: nobody keeps anything */
    size_t bit_words;
    struct trib_chance turns; /* who comes next */
    uint64_t turn_count, task_count;
    bool *
        is_selected; /* [population->attributes.row_count + 1]: may clients that say this be asked? */
    uint64_t silent_count; /* tasks in a row whose client fell silent */
    uint64_t idle_count;   /* moments since the last update was sent */
    uint64_t lone_count;   /* deadlines of the run in a row with nobody about to do anything */

    struct trib_fleet_point point;      /* of the current version, not told yet */
    struct trib_fleet_tally tallies[2]; /* of the next version, and of the one after */
    double staleness_total;
    struct trib_fleet_report *report;
};

/* --- fleet.c --- */

/* Give an event to the heart and carry out its effects. `now` is filled in. */
void trib_fleet_feed(struct trib_fleet *fleet, struct trib_event *event);
/* Answer all that the node owes the heart: afterwards everything that can happen now has. */
void trib_fleet_settle(struct trib_fleet *fleet);
/* Our own failure: the first one ends the simulation. error is in words already, or NULL. */
void trib_fleet_fail(struct trib_fleet *fleet, enum trib_status status,
                     const struct trib_error *error);
void trib_fleet_put(struct trib_fleet *fleet, trib_time_ns at, enum trib_moment_kind kind,
                    uint32_t place);

/* --- fleet_places.c --- */

/* May clients with this row of the population's attributes be asked to train? */
bool trib_fleet_may_ask(const struct trib_fleet_options *options, uint32_t row);
bool trib_fleet_places_init(struct trib_fleet *fleet);
void trib_fleet_places_end(struct trib_fleet *fleet); /* all-zero is safe */
/* Everybody who is there at the start checks in. */
void trib_fleet_places_open(struct trib_fleet *fleet);
void trib_fleet_places_moment(struct trib_fleet *fleet, const struct trib_moment *moment);
/* Its client has been given this task. */
void trib_fleet_places_begin(struct trib_fleet *fleet, uint32_t place,
                             const struct trib_task *task);
/* An update of this client counts, so it keeps what was made with it. */
void trib_fleet_places_keep(struct trib_fleet *fleet, struct trib_fleet_update *update);
/* The job of its evaluation has been taken. */
void trib_fleet_places_end_evaluation(const struct trib_fleet *fleet, struct trib_place *place);
/* Its client asks for a task. */
void trib_fleet_places_ask(struct trib_fleet *fleet, uint32_t place);
void trib_fleet_places_decline(struct trib_fleet *fleet, uint32_t place);

/* --- fleet_server.c --- */
bool trib_fleet_server_init(struct trib_fleet *fleet);
void trib_fleet_server_end(struct trib_fleet *fleet);
void trib_fleet_carry(struct trib_fleet *fleet, const struct trib_effect *effect);
/* Answer the oldest debt; false: there is none. */
bool trib_fleet_answer(struct trib_fleet *fleet);
/* The current version is complete: tell the owner. */
void trib_fleet_tell_point(struct trib_fleet *fleet);
/* The update is one of `version`, with its final staleness. */
void trib_fleet_tally(struct trib_fleet *fleet, trib_version version, uint64_t staleness,
                      const struct trib_fleet_update *update);
/* Add an update with its weight to a sum. */
enum trib_status trib_fleet_fold(struct trib_fleet *fleet, uint32_t accumulator,
                                 const struct trib_fleet_update *update, uint64_t weight);

/* --- fleet_combine.c --- */

/* COMBINE: have the updates of this version combined; their bodies are gone afterwards. False: our
 * own failure has ended the simulation. */
bool trib_fleet_combine(struct trib_fleet *fleet, trib_version version);

/* --- fleet_update.c --- */

/* The job of a place, or of a part of an evaluation. */
void trib_fleet_job(void *context, uint32_t job, uint32_t hand);
/* Open and check update->body as the daemon does with what it is sent; its digest too. */
enum trib_status trib_fleet_update_check(const struct trib_fleet *fleet,
                                         struct trib_fleet_update *update);
/* The same for a body that was made elsewhere: its maker must know what is wrong, not only the server,
 * so that TRIB_ECLOSED stands for whatever the codec says. */
enum trib_status trib_fleet_update_check_foreign(const struct trib_fleet *fleet,
                                                 struct trib_fleet_update *update);
void trib_fleet_update_free(const struct trib_fleet *fleet, struct trib_fleet_update *update);

#endif
