/* policy.h - when a buffer of updates becomes a version and how many clients are asked; never who.
 *
 *   rounds   a cohort per version: FedAvg and its kin; also with dynamic backup workers
 *   buffer   so many updates per version, clients go on without a pause: FedBuff
 *   sum      one exact sum of whoever is there
 *   ticks    whatever has arrived when the clock ticks: FedFix
 *   contacts the same, of clients that are called in the middle of their work: FAVANO, S2S
 *   async    each update is a version, mixed into the one before: FedAsync
 *   groups   clients get as many steps as let them arrive together: FedCompass
 *
 * A policy is a table of pure functions over its settings, its memory and a view of the run. It
 * knows counts, weights, ages and times, no devices. The heart (run/) asks it and does the rest.
 *
 * Most policies decide at admission into which version an update goes. One that `holds` decides it
 * later: a durable update gets the number of what it waits for from arrive(), and judge() names the
 * numbers that the next version takes; staleness and weight are fixed then. */
#ifndef TRIB_LEARN_POLICY_H
#define TRIB_LEARN_POLICY_H

#include "base/env.h"
#include "learn/optimizer.h"

enum trib_policy_short { TRIB_POLICY_SHORT_WAIT, TRIB_POLICY_SHORT_GO, TRIB_POLICY_SHORT_PAUSE };

/* What the weighted sum of a buffer is divided by; each policy allows some of these. */
enum trib_policy_divide {
    TRIB_DIVIDE_WEIGHT,  /* the sum of the weights: a weighted mean */
    TRIB_DIVIDE_GOAL,    /* the goal K, as in FedBuff */
    TRIB_DIVIDE_NONE,    /* 1: the weighted sum itself */
    TRIB_DIVIDE_CLIENTS, /* N, the number of clients: each has a share of 1/N */
    TRIB_DIVIDE_BOTH,    /* the sum of the weights and 1 for the version before, as in FAVANO */
};

/* Settings that policies read; the heart fills them from the spec. */
struct trib_policy_settings {
    uint64_t seed;               /* contacts: of who is called when */
    double fraction;             /* 0 < C <= 1; rounds: share of the present clients asked;
                                    contacts: that are called in a tick */
    bool backs_up;               /* rounds: as many updates as pay are waited for */
    double noise;                /* with backs_up: rho >= 0 */
    double over_selection;       /* rounds: o >= 0 */
    uint32_t quorum;             /* fewest updates at the deadline or tick; 0 = 1 */
    trib_time_ns deadline;       /* rounds, buffer; TRIB_TIME_NEVER: none; rounds: < 0: observed */
    trib_time_ns first_deadline; /* rounds */
    enum trib_policy_short if_short; /* rounds */
    uint32_t goal;                   /* buffer: K, updates of a version; 0 = 1 */
    uint32_t concurrency;            /* buffer: clients that train at one time; 0 = all */
    trib_time_ns tick;               /* ticks, contacts: > 0 */
    uint32_t staleness_max;          /* async, contacts: how far back bases can be */
    uint32_t clients;                /* N of TRIB_DIVIDE_CLIENTS */
    uint32_t steps_min, steps_max;   /* groups: 0 < least <= most local steps of a task */
    double slack;                    /* groups: >= 1, how much longer than planned is in time */
    double speed_beta;               /* groups: share of the newest speed in the estimate */
    enum trib_policy_divide divide;
};

/* What a policy that knows its clients remembers of one; all-zero: it has never met it. */
struct trib_policy_client {
    double pace;           /* seconds per local step, all in all; 0: not known */
    trib_time_ns asked_at; /* these two: of its task */
    uint32_t steps;        /* 0: it has none that was given here */
    uint32_t group;        /* what it trains for, or its update waits for; 0: nothing */
    bool is_waiting;       /* it has answered and is not asked before its group has closed */
};

/* Clients that are to arrive together. */
#define TRIB_POLICY_GROUPS 64
struct trib_policy_group {
    uint32_t number; /* never used twice; 0: this place is free */
    trib_time_ns expected, latest;
    uint32_t training, arrived; /* members */
};

/* What a policy remembers between versions; all-zero at the start, rebuilt by use after a restart
 * (it never reaches the bits of a version). */
#define TRIB_POLICY_ARRIVALS 64
struct trib_policy_memory {
    trib_time_ns arrivals[TRIB_POLICY_ARRIVALS]; /* ring of observed task durations */
    uint32_t arrival_count;                      /* all observed so far */
    uint64_t call_count;                         /* contacts: draws so far */

    /* Where the policy holds updates: */
    struct trib_policy_client *clients; /* [client_count], the heart's */
    uint32_t client_count;              /* room; all-zero past those that were ever asked */
    uint32_t clients_seen;              /* the highest index that was ever used, + 1 */
    struct trib_policy_group groups[TRIB_POLICY_GROUPS];
    uint32_t groups_made;
    uint32_t first_count, late_count; /* updates that wait as TRIB_HOLD_FIRST, TRIB_HOLD_LATE */
};

/* Towards which old versions the next one is pulled, besides the sum of deltas. */
enum trib_pull {
    TRIB_PULL_NONE,  /* towards none: x + lr * sum of deltas / divisor */
    TRIB_PULL_SHARE, /* the base of its only update, which is mixed in by its weight: FedAsync */
    TRIB_PULL_MODELS, /* the base of each update, so that a version is a mean of models (base + delta)
                         and not of deltas: FAVANO, S2S */
};

/* What the policy declares about itself (design section 5). */
struct trib_policy_needs {
    enum trib_denominator denominator;
    double constant;        /* of TRIB_DENOMINATOR_CONSTANT and _GOAL */
    uint32_t buffers_max;   /* open at one time, charged to the memory budget */
    uint32_t updates_max;   /* in one buffer; 0: any number */
    uint32_t base_versions; /* newest versions that must stay readable, the current one too */
    uint32_t present_min;   /* fewest trainers that must be there for plan() to say yes */
    bool keeps_seats;       /* whoever trains goes on when a version is published */
    bool asks_again;        /* whoever has answered may be asked again at once */
    enum trib_pull pull;
    bool is_once; /* a client has at most one update in a version */
    bool holds;   /* versions of updates are decided when judge() closes */
};

/* What a held update waits for. */
enum trib_hold {
    TRIB_HOLD_NONE,  /* nothing: it has its version */
    TRIB_HOLD_LATE,  /* whatever closes next */
    TRIB_HOLD_FIRST, /* nobody: it makes a version as soon as one can be made */
    TRIB_HOLD_GROUPS /* this number and above: the group of that number */
};

/* The plan of one client's task. */
struct trib_assignment {
    uint32_t steps;           /* local steps; 0: as the settings say */
    trib_time_ns expected_by; /* absolute, advice; TRIB_TIME_NEVER: none */
};

/* The plan of one buffer, fixed when it opens. */
struct trib_plan {
    uint32_t asked;        /* seats: clients that have a task; UINT32_MAX: for everybody */
    uint32_t wanted;       /* updates that close the buffer; UINT32_MAX: only time does */
    uint32_t quorum;       /* updates that may close it at the deadline */
    trib_time_ns deadline; /* absolute; TRIB_TIME_NEVER: none */
    uint32_t closes[2];    /* with TRIB_VERDICT_CLOSE, where updates are held: which are taken */
};

struct trib_policy_view {
    trib_time_ns now;
    uint32_t present;  /* trainers that are there and not set aside; the heart has given
                                    them every free seat already */
    uint32_t received; /* durable updates in the open buffer */
    uint32_t writing;  /* admitted, not yet durable */
    uint32_t training; /* seats given out and still held for this buffer */
    bool is_full;      /* no update can be admitted before some are counted */
};

enum trib_verdict {
    TRIB_VERDICT_WAIT,  /* for updates or the deadline */
    TRIB_VERDICT_CLOSE, /* merge what is there */
    TRIB_VERDICT_PAUSE, /* short of the quorum and the spec says pause */
};

struct trib_policy {
    const char *name; /* "rounds" */
    void (*declare)(const struct trib_policy_settings *settings, struct trib_policy_needs *needs);
    /* Open a buffer: false while too few clients are present. */
    bool (*plan)(const struct trib_policy_settings *settings,
                 const struct trib_policy_memory *memory, const struct trib_policy_view *view,
                 struct trib_plan *plan);
    /* Look at the open buffer. *look_again: when to ask next without an event (may be
     * TRIB_TIME_NEVER). May move plan->deadline and lower plan->wanted (short). */
    enum trib_verdict (*judge)(const struct trib_policy_settings *settings,
                               const struct trib_policy_memory *memory,
                               const struct trib_policy_view *view, struct trib_plan *plan,
                               trib_time_ns *look_again);
    /* A client took this long from its task to its complete update. NULL: of no interest. */
    void (*observe)(struct trib_policy_memory *memory, trib_time_ns duration);

    /* A client is asked now; what it had before is forgotten. NULL: all tasks are alike. */
    void (*assign)(const struct trib_policy_settings *settings, struct trib_policy_memory *memory,
                   uint32_t client, trib_time_ns now, struct trib_assignment *assignment);

    /* Where the policy holds (all NULL where it does not). Of those that may be asked, whoever has
     * the smallest pace is asked first. `client` is an index below memory->client_count. */

    /* An update of it is durable; returns what it waits for. is_answer: to the task of assign(). */
    uint32_t (*arrive)(const struct trib_policy_settings *settings,
                       struct trib_policy_memory *memory, uint32_t client, trib_time_ns now,
                       bool is_answer);
    /* It is silent, has given back its task, or the like: nobody waits for it. */
    void (*leave)(struct trib_policy_memory *memory, uint32_t client);
    /* What waited for this number has been taken. */
    void (*closed)(struct trib_policy_memory *memory, uint32_t hold);
};

extern const struct trib_policy trib_policy_rounds;
extern const struct trib_policy trib_policy_sum;
extern const struct trib_policy trib_policy_buffer;
extern const struct trib_policy trib_policy_ticks;
extern const struct trib_policy trib_policy_contacts;
extern const struct trib_policy trib_policy_async;
extern const struct trib_policy trib_policy_groups;

/* NULL when unknown. */
const struct trib_policy *trib_policy_find(const char *name);

#endif
