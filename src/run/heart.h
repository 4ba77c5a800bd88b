/* heart.h - the run from inside: one structure, and what its files do for each other.
 *
 *   run.c        birth, restart, the step: an event is handled, then all that follows from it
 *   admission.c  an update from its head to its acknowledgement
 *   round.c      the cohort: who has a seat, when the buffer closes
 *   polls.c      clients that join, ask, decline, fall silent
 *   buffers.c    from durable updates to the next version: fold, merge, persist, publish
 *   reports.c    evaluations
 *   revision.c   another strategy from some version on
 *   states.c     pause, resume, stop and failure
 *   status.c     views
 *
 * A step emits a bounded number of effects for its event and then works off queues (polls to
 * answer, folds to issue) while there is room; what is left over waits for the next step. */
#ifndef TRIB_RUN_HEART_H
#define TRIB_RUN_HEART_H

#include <inttypes.h>

#include "learn/policy.h"
#include "run/evaluations.h"
#include "run/roster.h"
#include "run/run.h"
#include "run/slots.h"

#define TRIB_REFUSALS_MAX 3         /* in a row set a client aside */
#define TRIB_RECORDS_MAX 256        /* evaluations on their way to the ledger */
#define TRIB_POLL_PAUSE TRIB_SECOND /* before a client that does not wait asks again */
#define TRIB_EXAMPLES_MAX (UINT64_C(1) << 53)
#define TRIB_ACCUMULATOR_NONE UINT32_MAX

/* A buffer of updates on its way to a version. buffers[0] becomes the next version; buffers[1],
 * the one after, takes updates as soon as buffers[0] is closed.
 *
 *   COLLECTING --> CLOSED --> MERGING --> PERSISTING --> (published: buffers[1] moves up)
 *        ^----------'  '--> OFFERED --^   where the combiner is external
 *         every update of it turned out bad */
enum trib_buffer_state {
    TRIB_BUFFER_COLLECTING,
    TRIB_BUFFER_CLOSED,  /* admits no more; what was admitted is written and folded */
    TRIB_BUFFER_OFFERED, /* waits for its combined delta; a stop may still drop it */
    TRIB_BUFFER_MERGING,
    TRIB_BUFFER_PERSISTING, /* its accumulator is free again */
};

struct trib_buffer {
    enum trib_buffer_state state;
    uint32_t accumulator; /* TRIB_ACCUMULATOR_NONE: not lent yet */
    uint32_t writing;     /* admitted, not yet durable */
    uint32_t durable;     /* waiting for their fold: */
    trib_slot first_durable, last_durable;
    uint32_t folding;
    uint32_t folded;
    uint64_t weight_total; /* of all of these */
    bool is_capped;        /* closed, and weights are cut: weight_share_max */
    trib_time_ns offered_at;
};

/* The round that fills buffers[0]: seats are tasks that are given out and still waited for. Where
 * the policy keeps seats (trib_policy_needs), those of clients that train outlive the version. */
struct trib_round {
    bool is_open;  /* it has a plan */
    bool may_fill; /* a seat or a candidate has turned up */
    struct trib_plan plan;
    uint32_t seats_held; /* clients that are training */
    uint32_t seats_answered;
    trib_time_ns look_again; /* when the policy wants to judge again */
    uint32_t seats_max;      /* not open: seats that select.quota allows, when last looked at */
};

/* A change of state that is being recorded. */
struct trib_change {
    uint64_t record; /* 0: none under way */
    enum trib_run_state to;
    char reason[96];
    trib_request request; /* 0: nobody waits for it */
};

/* The run is to stop as soon as nothing of it is under way. */
struct trib_ending {
    bool is_set;
    char reason[96];
    trib_request request; /* 0: nobody waits for it */
    trib_time_ns until;   /* longest wait for the last evaluation; `now` or earlier: none */
};

/* Another spec, from some version on. */
struct trib_revision {
    trib_version from;    /* 0: there is none */
    uint64_t record;      /* being recorded; 0: no */
    trib_request request; /* 0: nobody waits for it */
    bool is_recorded;     /* one is durable */
    bool is_asked;        /* REOPEN was emitted: nothing more happens */
};

/* An evaluation that is being recorded. */
struct trib_report {
    uint64_t record;      /* 0: free */
    trib_request request; /* 0: has left */
    uint32_t client_index;
    trib_version version;
    uint64_t examples;
    double metric;
    bool has_metric;
};

struct trib_run {
    const struct trib_env *env;
    const struct trib_spec *spec;
    struct trib_run_limits limits;
    struct trib_policy_settings settings;
    struct trib_policy_needs needs;
    struct trib_policy_memory memory;

    trib_time_ns now;             /* of the newest event */
    struct trib_effects *effects; /* of the step under way */
    bool has_more;                /* the step ran out of room */

    enum trib_run_state state;
    char reason[96]; /* of the state */
    trib_time_ns state_since;
    trib_time_ns ran_for; /* running, before state_since */
    bool has_model;
    trib_version version; /* current; 0 before there is a model */
    struct trib_change change;
    struct trib_ending ending;
    struct trib_revision revision;

    struct trib_roster roster;
    struct trib_tally tally; /* groups of those who have a seat, or in a round had one */
    struct trib_slots slots;
    struct trib_buffer buffers[2];
    struct trib_buffer held; /* updates that wait for their version: only writing and durable */
    struct trib_round round;
    uint64_t draws; /* of clients for single seats, since the start */
    struct {        /* where shares are capped: room to weigh one buffer, [updates_pending_max] */
        trib_slot *slots;
        uint64_t *weights; /* of its clients */
    } scale;
    struct trib_evaluations evaluations;
    struct trib_report *reports; /* [TRIB_RECORDS_MAX] */
    uint64_t records;            /* numbers given to RECORD effects so far */
    struct trib_map waiting;     /* request -> who holds it, for LEAVE */
    uint32_t asking; /* roster index + 1 of whose ASK this step is, while it may be answered yet */

    uint64_t counted, dropped;
};

/* --- run.c --- */

/* Append an effect, zeroed but for its kind; its task is left to whoever gives one. There is always room for what one event causes. */
struct trib_effect *trib_heart_emit(struct trib_run *run, enum trib_effect_kind kind);
/* May a queue be worked off further? False: the rest waits for the next step. */
bool trib_heart_has_room(struct trib_run *run);
/* Refuse a request, with a reason for people. client may be NULL; refusals of the kinds that show
 * a broken trainer count against it. request 0: nobody is told. */
void trib_heart_refuse(struct trib_run *run, trib_request request, struct trib_client *client,
                       enum trib_refusal refusal, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void trib_heart_done(struct trib_run *run, trib_request request); /* nothing when request is 0 */

/* Who holds a request that is not answered within its step. */
enum trib_holder {
    TRIB_HOLDER_POLL,
    TRIB_HOLDER_SLOT,
    TRIB_HOLDER_REPORT,
    TRIB_HOLDER_STATE,
    TRIB_HOLDER_REVISION
};
/* False: no memory; the request must be answered now. */
bool trib_heart_hold(struct trib_run *run, trib_request request, enum trib_holder holder,
                     uint32_t index);
void trib_heart_let_go(struct trib_run *run, trib_request request);

/* --- admission.c --- */
/* The weight of an update of this client that has this staleness in this version; is_new: it is none
 * of client->updates yet. */
uint64_t trib_admission_weigh(const struct trib_run *run, const struct trib_client *client,
                              const struct trib_admitted *admitted, bool is_new);
void trib_admission_offer(struct trib_run *run, const struct trib_event *event);
void trib_admission_update(struct trib_run *run, const struct trib_event *event);
void trib_admission_repeat(struct trib_run *run, const struct trib_event *event);
void trib_admission_spooled(struct trib_run *run, const struct trib_event *event);

/* --- round.c --- */

/* What this client's task for the current version has come to. */
enum trib_task_state trib_round_task_state(const struct trib_run *run,
                                           const struct trib_client *client);
bool trib_round_has_seat(const struct trib_run *run, const struct trib_client *client);
/* The client has these attributes from now on; it may lose its seat by it. */
void trib_round_describe(struct trib_run *run, struct trib_client *client,
                         const struct trib_attribute *attributes, uint32_t count);
/* A task that is older than the current version is replaced by one for it: nobody has begun it, or
 * whoever did has forgotten it. */
void trib_round_renew(struct trib_run *run, struct trib_client *client);
/* Where updates are held: it has answered, and its group or the disk has not. */
bool trib_round_waits_for_group(const struct trib_run *run, const struct trib_client *client);
/* A new client, whose place may have been another's; NULL: there was no room for it. */
void trib_round_meet(struct trib_run *run, const struct trib_client *client);
/* The client is there: it may be the one that a free seat waits for. */
void trib_round_notice(struct trib_run *run, const struct trib_client *client);
/* An update with this base was admitted for this version. */
void trib_round_answer(struct trib_run *run, struct trib_client *client, trib_version base,
                       trib_version target);
/* That update could not be stored (its client trains on and sends it again) or, is_bad, must not
 * be (the seat goes to another). */
void trib_round_unanswer(struct trib_run *run, struct trib_client *client, trib_version base,
                         bool is_bad);
/* The update is durable: from now on it waits for what the policy says. */
void trib_round_arrive(struct trib_run *run, struct trib_admitted *admitted);
/* The client is silent, set aside or has another role: its seat is free. In a round its task stays;
 * where seats are kept it has none any more. */
void trib_round_lose_seat(struct trib_run *run, struct trib_client *client);
/* The task is given back; for this version (where seats are kept: at all) its client is not asked
 * again for one lease. */
void trib_round_return(struct trib_run *run, struct trib_client *client);
/* The run was paused this long; the deadline moves on by it. */
void trib_round_postpone(struct trib_run *run, trib_time_ns duration);
/* The run has stopped: nobody has a seat any more. */
void trib_round_end(struct trib_run *run);
void trib_round_settle(struct trib_run *run);
trib_time_ns trib_round_deadline(const struct trib_run *run);

/* --- polls.c --- */
void trib_polls_join(struct trib_run *run, const struct trib_event *event);
void trib_polls_ask(struct trib_run *run, const struct trib_event *event);
void trib_polls_alive(struct trib_run *run, const struct trib_event *event);
void trib_polls_depart(struct trib_run *run, const struct trib_event *event);
void trib_polls_decline(struct trib_run *run, const struct trib_event *event);
void trib_polls_renew(struct trib_run *run, const struct trib_event *event);
void trib_polls_leave(struct trib_run *run, const struct trib_event *event);
/* Known and heard, or NULL and refused. */
struct trib_client *trib_polls_hear(struct trib_run *run, const struct trib_event *event);
void trib_polls_expire(struct trib_run *run);
void trib_polls_settle(struct trib_run *run);

/* --- buffers.c --- */
uint32_t trib_buffer_received(const struct trib_buffer *buffer); /* durable updates */
struct trib_buffer trib_buffer_empty(void);
/* The slot is free again, and its client no longer pinned by it. */
void trib_buffer_free_slot(struct trib_run *run, trib_slot slot);
/* This update is durable: it waits for its fold. */
void trib_buffer_add_durable(struct trib_run *run, trib_slot slot);
struct trib_buffer *trib_buffer_of(struct trib_run *run, trib_version target);
/* Held updates that wait for one of these go into the next version; staleness and weight are fixed
 * now. */
void trib_buffer_release(struct trib_run *run, const uint32_t holds[2]);
uint64_t trib_buffer_weight_max(const struct trib_run *run);
void trib_buffers_folded(struct trib_run *run, const struct trib_event *event);
void trib_buffers_combined(struct trib_run *run, const struct trib_event *event);
void trib_buffers_merged(struct trib_run *run, const struct trib_event *event);
void trib_buffers_persisted(struct trib_run *run, const struct trib_event *event);
/* Nothing of any update is under way. */
bool trib_buffers_are_quiet(const struct trib_run *run);
void trib_buffers_drop_all(struct trib_run *run);
void trib_buffers_settle(struct trib_run *run);
bool trib_buffers_have_more(const struct trib_run *run);

/* --- reports.c --- */
void trib_reports_evaluation(struct trib_run *run, const struct trib_event *event);
/* False: the record is not an evaluation's. */
bool trib_reports_recorded(struct trib_run *run, const struct trib_event *event);
/* The version that clients are to evaluate; false: none. */
bool trib_reports_due(const struct trib_run *run, trib_version *version);
bool trib_reports_may(const struct trib_run *run, const struct trib_client *client);
/* A client that may evaluate is present: somebody to wait for. */
bool trib_reports_has_evaluator(const struct trib_run *run);

/* --- revision.c --- */
void trib_revision_ask(struct trib_run *run, const struct trib_event *event);
/* False: the record is not a revision's. */
bool trib_revision_recorded(struct trib_run *run, const struct trib_event *event);
/* Is this version made by another spec? Then nothing is admitted for it. */
bool trib_revision_blocks(const struct trib_run *run, trib_version target);
void trib_revision_settle(struct trib_run *run);

/* --- states.c --- */
void trib_states_model(struct trib_run *run);
void trib_states_control(struct trib_run *run, const struct trib_event *event);
void trib_states_recorded(struct trib_run *run, const struct trib_event *event);
/* Ask for the state PAUSED on the run's own account. */
void trib_states_pause(struct trib_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Input or output of ours failed: nothing more happens until a restart. */
void trib_states_fail(struct trib_run *run, enum trib_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The operator has looked: whoever was set aside may try again. */
void trib_states_forgive_all(struct trib_run *run);
/* No more tasks, no more updates. */
bool trib_states_is_stopping(const struct trib_run *run);
trib_time_ns trib_states_ran_for(const struct trib_run *run, trib_time_ns now);
void trib_states_settle(struct trib_run *run);
trib_time_ns trib_states_deadline(const struct trib_run *run);

#endif
