/* run.h - the heart: one training of one model as a pure state machine.
 *
 * Events in, effects out. A step cannot block or fail: bad input becomes a refusal. Inside there
 * are no sockets, files, threads, clock, randomness or log: time is in the event, the only random
 * choice (the cohort) is derived from the spec's seed and the version.
 *
 *   node:  event --> trib_run_step() --> effects --> carried out --> events ...
 *
 * Order is law: persist, then acknowledge, then publish.
 *
 * One update's way:   OFFER (head) -> RECEIVE | REFUSE
 *                     UPDATE (body) -> admission: staleness, weight, buffer -> SPOOL | REFUSE
 *                     SPOOLED -> ACKNOWLEDGE, FOLD       (or, check failed: REFUSE)
 *                     FOLDED;  the policy closes the buffer, nothing of it is under way -> MERGE
 *                     MERGED -> PERSIST;  PERSISTED -> PUBLISH, tasks
 *
 * With strategy.combiner external nothing is folded: when the buffer is closed and durable it is
 * COMBINE, and MERGE when somebody has COMBINED it. A stop does not wait for that.
 *
 * Two versions can be in the making. Updates go into the next one until its buffer is closed (by
 * the policy, or because an update would pass weight_total_max: that one goes into the version
 * after, and the full buffer need not wait for its quorum). Staleness is counted against the
 * version that the update is applied to: whoever comes during a merge is one version older than
 * just before.
 *
 * A policy may hold updates (policy.h): then target, staleness and weight are 0 at admission, and an
 * update gets all three when the policy closes what it waits for. A restart lets it go on waiting.
 *
 * A pause gives no tasks and closes no round; finished updates are still taken, a version that is
 * being made is published, and the round's deadline moves on by the length of the pause. A stop
 * finishes a merge that has begun and merges nothing more. Updates that were acknowledged and are
 * not counted by then become dropped (reason: "run stopped"): the RECORD of the state STOPPED must
 * list them, trib_run_slots_pending(). Limits on versions and time wait for the evaluation of the
 * last version first.
 *
 * Three refusals in a row that a sound trainer does not earn (WEIGHT, BODY, BASE_UNKNOWN,
 * TOO_LARGE, CONFLICT) set it aside: its polls wait, its updates are refused. Joining again does
 * not help, nor does a restart; a resume by the operator, also while the run is running, clears all
 * of them. A good update resets the count.
 *
 * The roster holds clients_max clients. When it is full, one that joins takes the place of the
 * client that has been absent longest and has nothing under way; that one is refused as unknown
 * until it joins again, and no update or report of it can be counted twice.
 */
#ifndef TRIB_RUN_RUN_H
#define TRIB_RUN_RUN_H

#include "base/digest.h"
#include "run/spec.h"

/* Whoever waits for an answer: chosen by the node, never 0. Every request given to the heart is
 * answered exactly once, by one of the effects marked "answers", or withdrawn by LEAVE. */
typedef uint64_t trib_request;
/* Index of an admitted update until its version is persisted; < updates_pending_max. */
typedef uint32_t trib_slot;
#define TRIB_SLOT_NONE UINT32_MAX
typedef uint64_t trib_version;

enum trib_client_role { TRIB_CLIENT_TRAINER, TRIB_CLIENT_EVALUATOR, TRIB_CLIENT_MERGER };

enum trib_run_state {
    TRIB_RUN_AWAITING_MODEL,
    TRIB_RUN_RUNNING,
    TRIB_RUN_PAUSED,
    TRIB_RUN_STOPPED, /* final */
    TRIB_RUN_FAILED,  /* I/O; a restart resumes */
};

/* Codes on the wire: trib_refusal_code(); the node maps them to a status. */
enum trib_refusal {
    TRIB_REFUSE_NONE,
    TRIB_REFUSE_UNKNOWN_CLIENT, /* 403: join first */
    TRIB_REFUSE_ROLE,           /* 403: an evaluator sent an update */
    TRIB_REFUSE_SET_ASIDE,      /* 403: three refusals in a row */
    TRIB_REFUSE_STATE,          /* 409: the run's state does not allow it */
    TRIB_REFUSE_ENDED,          /* 409: work for a run that has stopped, is about to, or failed */
    TRIB_REFUSE_BASE_UNKNOWN,   /* 409: newer than the current version */
    TRIB_REFUSE_STALE,          /* 409: staleness over the maximum, or late: refuse */
    TRIB_REFUSE_WEIGHT,         /* 422: 0, over weight_max, or rounds to 0 */
    TRIB_REFUSE_CONFLICT,       /* 409: same id, other body */
    TRIB_REFUSE_TOO_LARGE,      /* 413: body over update_bytes_max */
    TRIB_REFUSE_BUSY,           /* 503: a limit is reached, or a first attempt is under way */
    TRIB_REFUSE_FULL,           /* 503: clients_max */
    TRIB_REFUSE_BODY,           /* 422: the codec's check; details from the node */
    TRIB_REFUSE_IO,             /* 507/500 */
    TRIB_REFUSE_TASK_UNKNOWN,   /* 409: decline of a task that is not the client's */
    TRIB_REFUSE_VERSION,        /* 404: evaluation of a version that does not exist */
};
const char *trib_refusal_code(enum trib_refusal refusal); /* "stale" */

enum trib_fate { TRIB_FATE_NONE, TRIB_FATE_SPOOLED, TRIB_FATE_COUNTED, TRIB_FATE_DROPPED };

enum trib_task_kind { TRIB_TASK_TRAIN, TRIB_TASK_EVALUATE, TRIB_TASK_WAIT, TRIB_TASK_STOP };

struct trib_task {
    enum trib_task_kind kind;
    trib_version version;
    char id[32];              /* "12.0", "e12" */
    uint32_t site;            /* train: index + 1 in spec.sites, whose settings it gets; 0: none */
    trib_time_ns expected_by; /* absolute, advice; TRIB_TIME_NEVER: none */
    trib_time_ns not_before;  /* wait: absolute */
    uint32_t steps;           /* train: local steps of this task; 0: as the settings say */
    char reason[96];          /* wait and stop: for people */
};

/* What the ledger or index already knows of (client, update id); looked up by the node for ids
 * that the heart no longer holds. So a client that was forgotten can send nothing twice. */
struct trib_settled {
    enum trib_fate fate;       /* NONE: unknown id */
    trib_version version;      /* counted in */
    struct trib_digest digest; /* of the body */
};

enum trib_event_kind {
    TRIB_EVENT_TICK,       /* time has reached trib_run_deadline() */
    TRIB_EVENT_MODEL,      /* version 0 is durable */
    TRIB_EVENT_JOIN,       /* request, client, role, attributes */
    TRIB_EVENT_ASK,        /* request, client, wait_until */
    TRIB_EVENT_LEAVE,      /* request: whoever waited has gone */
    TRIB_EVENT_ALIVE,      /* client: bytes of its upload move, it is not silent */
    TRIB_EVENT_DEPART,     /* client: will not come back; a poll of it is answered */
    TRIB_EVENT_DECLINE,    /* request, client, task */
    TRIB_EVENT_RENEW,      /* request, client: it works on, and is not silent */
    TRIB_EVENT_OFFER,      /* request, client, id, base, examples, byte_count, settled */
    TRIB_EVENT_UPDATE,     /* the same, body complete */
    TRIB_EVENT_REPEAT,     /* request, client, id, digest, settled: a body for a known id */
    TRIB_EVENT_SPOOLED,    /* slot, status, digest */
    TRIB_EVENT_FOLDED,     /* slot, status */
    TRIB_EVENT_COMBINED,   /* version: what somebody has made of its updates is durable. Nothing
                              comes of it unless the version waits for that */
    TRIB_EVENT_MERGED,     /* version, status */
    TRIB_EVENT_PERSISTED,  /* version, status */
    TRIB_EVENT_EVALUATION, /* request, client, version, examples, metric, has_metric, settled:
                              COUNTED when a report of this client on it is on record */
    TRIB_EVENT_RECORDED,   /* record, status: a RECORD effect is durable */
    TRIB_EVENT_CONTROL,    /* request, control */
    TRIB_EVENT_REVISE,     /* request: the node has another spec for this run */
};

enum trib_control { TRIB_CONTROL_PAUSE, TRIB_CONTROL_RESUME, TRIB_CONTROL_STOP };

struct trib_event {
    trib_time_ns now;
    enum trib_event_kind kind;
    trib_request request;
    const char *client; /* borrowed during the step */
    const char *id;     /* update id, evaluation id or task id; borrowed */
    enum trib_client_role role;
    const struct trib_attribute *attributes; /* JOIN: [attribute_count]; borrowed */
    uint32_t attribute_count;
    trib_version version; /* base of an update; version of the others */
    uint64_t examples;
    uint64_t byte_count;
    trib_time_ns wait_until;
    trib_slot slot;
    enum trib_status status;
    struct trib_digest digest;
    struct trib_settled settled;
    double metric; /* the deciding metric of an evaluation */
    bool has_metric;
    uint64_t record;
    enum trib_control control;
};

enum trib_effect_kind {
    TRIB_EFFECT_JOINED,      /* answers request */
    TRIB_EFFECT_TASK,        /* answers request with task */
    TRIB_EFFECT_DONE,        /* answers request: decline, renewal, control, evaluation */
    TRIB_EFFECT_REFUSE,      /* answers request with refusal; drop its body if there is one */
    TRIB_EFFECT_RECEIVE,     /* goes on with request: take the body, then send UPDATE */
    TRIB_EFFECT_COMPARE,     /* goes on with request: take the body, digest it, send REPEAT */
    TRIB_EFFECT_SPOOL,       /* slot (and its request): check, append, sync, then send SPOOLED */
    TRIB_EFFECT_ACKNOWLEDGE, /* answers request: fate, version; slot with its staleness and weight,
                                TRIB_SLOT_NONE for an id that is settled. Weight 0: the update
                                waits for its version */
    TRIB_EFFECT_FOLD,        /* slot into accumulator, then send FOLDED; version, staleness and
                                weight are final */
    TRIB_EFFECT_COMBINE,     /* version: offer its slots, whose staleness and weight are final; then
                                send COMBINED, or nothing at all */
    TRIB_EFFECT_MERGE,       /* version, accumulator: merge, clear it, then send MERGED */
    TRIB_EFFECT_PERSIST,     /* version: record with the buffer's slots, then send PERSISTED */
    TRIB_EFFECT_PUBLISH,     /* version is current from now on; its slots are free already */
    TRIB_EFFECT_RECORD,      /* append a record, then send RECORDED: an evaluation (request,
                                version), a revision (request; version from which on it holds)
                                or a state (state, text: reason); STOPPED also drops
                                trib_run_slots_pending() */
    TRIB_EFFECT_BEST,        /* version is the best so far */
    TRIB_EFFECT_EVALUATED,   /* version has its reports; again when a further one moves its mean */
    TRIB_EFFECT_STATE,       /* the state has changed: tell watchers */
    TRIB_EFFECT_SET_ASIDE,   /* append a record of it; text: the client. Nobody waits */
    TRIB_EFFECT_REOPEN, /* version is to be made by the recorded spec: free this run and make it
                                anew with that, as after a restart. No update is under way */
};

enum trib_record_kind { TRIB_RECORD_STATE, TRIB_RECORD_EVALUATION, TRIB_RECORD_REVISION };

struct trib_effect {
    enum trib_effect_kind kind;
    trib_request request;
    trib_slot slot;
    trib_version version;
    uint32_t accumulator; /* 0 .. accumulators - 1 */
    enum trib_refusal refusal;
    enum trib_fate fate;
    enum trib_record_kind record_kind;
    uint64_t record;            /* number to give back in RECORDED */
    enum trib_run_state state;  /* STATE, RECORD of a state */
    uint64_t staleness, weight; /* SPOOL, ACKNOWLEDGE of a slot, FOLD */
    union {
        struct trib_task task; /* TASK */
        char text[160];        /* REFUSE: message with field, value and limit; STATE and RECORD of
                                  one: reason; SET_ASIDE: the client */
    };
};

#define TRIB_EFFECTS_MAX 256
struct trib_effects {
    struct trib_effect items[TRIB_EFFECTS_MAX];
    uint32_t count;
};

struct trib_run_limits {
    uint32_t accumulators; /* 1 or 2: may the next buffer fold while one merges? */
};

struct trib_run;

/* `spec` is borrowed for the life of the run. All memory that grows with clients or updates is
 * bounded by the spec's clients_max and updates_pending_max. NULL: no memory. */
struct trib_run *trib_run_new(const struct trib_env *env, const struct trib_spec *spec,
                              const struct trib_run_limits *limits);
void trib_run_free(struct trib_run *run); /* NULL allowed */

/* effects is emptied first. When it fills up, what is left is done in the next step:
 * trib_run_deadline() is then not later than `now`. */
void trib_run_step(struct trib_run *run, const struct trib_event *event,
                   struct trib_effects *effects);
/* When to send the next TICK; TRIB_TIME_NEVER: only an event can change anything. */
trib_time_ns trib_run_deadline(const struct trib_run *run);

/* --- restart: call in this order before the first step ------------------------------------ */
struct trib_restored {
    enum trib_run_state state; /* as recorded last */
    char reason[96];
    bool has_model;
    trib_version version; /* newest persisted */
    trib_time_ns now;
    trib_time_ns ran_for;      /* running time before the restart (stop.after) */
    uint64_t counted;          /* updates in all versions */
    uint64_t dropped;          /* updates in records of drops */
    trib_version revised_from; /* a recorded revision that does not hold yet; 0: none */
};
void trib_run_restore(struct trib_run *run, const struct trib_restored *restored);
/* A client that had joined; it counts as present only when it speaks. Give them in the order in
 * which they joined: when they are more than clients_max, the first are forgotten. False: no
 * memory. */
bool trib_run_restore_client(struct trib_run *run, const char *client, enum trib_client_role role,
                             const struct trib_attribute *attributes, uint32_t attribute_count);
/* A client that was set aside, as recorded; NULL: a record of the state RUNNING, which forgives all.
 * In ledger order. */
void trib_run_restore_set_aside(struct trib_run *run, const char *client);
/* A durable update that no record counts or drops yet, as admitted (held: target and weight 0). Its FOLD comes with the first
 * steps (send a TICK). False: no slot, the same id twice, or the run is stopped or has no model.
 * */
struct trib_pending {
    const char *client, *id;
    trib_version base, target;
    uint64_t staleness, weight, examples;
    struct trib_digest digest;
};
bool trib_run_restore_update(struct trib_run *run, const struct trib_pending *pending,
                             trib_slot *slot);
/* An evaluation report that was recorded; all of them, in ledger order. */
void trib_run_restore_evaluation(struct trib_run *run, const char *client, trib_version version,
                                 uint64_t examples, double metric, bool has_metric);

/* --- views, for records, status and tests --------------------------------------------------- */
struct trib_slot_view {
    const char *client, *id; /* valid until the slot is freed */
    trib_version base, target;
    uint64_t staleness, weight, examples;
    struct trib_digest digest;
};
void trib_run_slot(const struct trib_run *run, trib_slot slot, struct trib_slot_view *view);
/* The durable update of that name that no version counts yet; false when there is none. */
bool trib_run_find(const struct trib_run *run, const char *client, const char *id,
                   struct trib_slot_view *view);
/* Slots counted in `version` (being merged or persisted), sorted by client, then id. Returns
 * how many; writes at most slots_max. */
size_t trib_run_slots_of(const struct trib_run *run, trib_version version, trib_slot *slots,
                         size_t slots_max);
/* Durable slots that no version counts yet, in the same order: when a RECORD of the state STOPPED
 * is carried out, these are the updates that it must list as dropped, with its text as reason. */
size_t trib_run_slots_pending(const struct trib_run *run, trib_slot *slots, size_t slots_max);

struct trib_run_status {
    enum trib_run_state state;
    bool has_model;
    trib_version version;
    char waiting_for[192]; /* one sentence for people */
    uint32_t joined, present, training, set_aside;
    uint32_t unselected; /* present trainers that `select` leaves out */
    uint32_t asked, received, wanted, quorum;
    bool round_open;
    trib_time_ns deadline;   /* absolute; TRIB_TIME_NEVER */
    bool is_ending;          /* it is being stopped: what is not merged yet will be dropped */
    bool is_offered;         /* version + 1 waits for an external combiner, */
    trib_time_ns offered_at; /* absolute: since then */
    uint64_t counted, pending, dropped;
    trib_time_ns ran_for; /* time in the state RUNNING; to be restored after a restart */
    bool has_best, has_evaluated;
    trib_version best, evaluated;
    double best_metric, evaluated_metric;
};
void trib_run_status(const struct trib_run *run, trib_time_ns now, struct trib_run_status *status);
struct trib_client_view {
    bool is_present, is_training, is_selected, is_set_aside;
};
/* False: the run does not know it. */
bool trib_run_client(const struct trib_run *run, const char *client, struct trib_client_view *view);
/* Names of clients that are set aside, by index; NULL past the end. */
const char *trib_run_set_aside(const struct trib_run *run, size_t index);
const char *trib_run_state_name(enum trib_run_state state); /* "awaiting_model", ... */

#endif
