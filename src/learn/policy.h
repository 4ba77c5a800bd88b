/* policy.h - when a buffer of updates becomes a version and how many clients are asked; never who.
 *
 *   rounds   a cohort per version: FedAvg and its kin
 *   buffer   so many updates per version, clients go on without a pause: FedBuff
 *   ticks    whatever has arrived when the clock ticks: FedFix
 *   async    each update is a version, mixed into the one before: FedAsync
 *
 * A policy is a table of pure functions over its settings, its memory and a view of the run. It
 * knows counts, weights, ages and times, no devices. The heart (run/) asks it and does the rest. */
#ifndef TRIB_LEARN_POLICY_H
#define TRIB_LEARN_POLICY_H

#include "base/env.h"
#include "learn/optimizer.h"

enum trib_policy_short { TRIB_POLICY_SHORT_WAIT, TRIB_POLICY_SHORT_GO, TRIB_POLICY_SHORT_PAUSE };

/* What the weighted sum of a buffer is divided by; each policy allows some of these. */
enum trib_policy_divide {
    TRIB_DIVIDE_WEIGHT, /* the sum of the weights: a weighted mean */
    TRIB_DIVIDE_GOAL,   /* the goal K, as in FedBuff */
    TRIB_DIVIDE_NONE,   /* 1: the weighted sum itself */
};

/* Settings that policies read; the heart fills them from the spec. */
struct trib_policy_settings {
    double fraction;             /* rounds: share of the present clients asked, 0 < C <= 1 */
    double over_selection;       /* rounds: o >= 0 */
    uint32_t quorum;             /* fewest updates at the deadline or tick; 0 = 1 */
    trib_time_ns deadline;       /* rounds, buffer; TRIB_TIME_NEVER: none; rounds: < 0: observed */
    trib_time_ns first_deadline; /* rounds */
    enum trib_policy_short if_short; /* rounds */
    uint32_t goal;                   /* buffer: K, updates of a version; 0 = 1 */
    uint32_t concurrency;            /* buffer: clients that train at one time; 0 = all */
    trib_time_ns tick;               /* ticks: > 0 */
    uint32_t staleness_max;          /* async: how far back bases can be */
    enum trib_policy_divide divide;
};

/* What a policy remembers between versions; all-zero at the start, rebuilt by use after a restart
 * (it never reaches the bits of a version). */
#define TRIB_POLICY_ARRIVALS 64
struct trib_policy_memory {
    trib_time_ns arrivals[TRIB_POLICY_ARRIVALS]; /* ring of observed task durations */
    uint32_t arrival_count;                      /* all observed so far */
};

/* What the policy declares about itself (design section 5). */
struct trib_policy_needs {
    enum trib_denominator denominator;
    double constant;           /* of TRIB_DENOMINATOR_CONSTANT and _GOAL */
    uint32_t buffers_max;      /* open at one time, charged to the memory budget */
    uint32_t updates_max;      /* in one buffer; 0: any number */
    uint32_t base_versions;    /* newest versions that must stay readable, the current one too */
    uint32_t present_min;      /* fewest trainers that must be there for plan() to say yes */
    bool weights_at_admission; /* false: fold at merge, from the spool */
    bool keeps_seats;          /* whoever trains goes on when a version is published */
    bool asks_again;           /* whoever has answered may be asked again at once */
    bool is_mixing;            /* an update pulls towards the base it started from, too */
};

/* The plan of one buffer, fixed when it opens. */
struct trib_plan {
    uint32_t asked;        /* seats: clients that have a task; UINT32_MAX: for everybody */
    uint32_t wanted;       /* updates that close the buffer; UINT32_MAX: only time does */
    uint32_t quorum;       /* updates that may close it at the deadline */
    trib_time_ns deadline; /* absolute; TRIB_TIME_NEVER: none */
};

struct trib_policy_view {
    trib_time_ns now;
    uint32_t present;  /* trainers that are there and not set aside; the heart has given
                                    them every free seat already */
    uint32_t received; /* durable updates in the open buffer */
    uint32_t writing;  /* admitted, not yet durable */
    uint32_t training; /* seats given out and still held for this buffer */
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
};

extern const struct trib_policy trib_policy_rounds;
extern const struct trib_policy trib_policy_buffer;
extern const struct trib_policy trib_policy_ticks;
extern const struct trib_policy trib_policy_async;

/* NULL when unknown. */
const struct trib_policy *trib_policy_find(const char *name);

#endif
