/* fleet.h - a run with a whole population of clients, in virtual time.
 *
 * The server is the production one: the heart (run/), admission, exact sums, merges and codecs are
 * the code that the daemon runs, fed by a calendar instead of sockets. Server work takes no virtual
 * time; whatever clients do takes the time that their population says (population.h).
 *
 * Clients check in at *places*. Where there is a place for every client, client i has place i and
 * is there whenever it is available. A larger population takes turns, as in Papaya (Huba et al.
 * 2022): whoever finishes leaves the run, and a client drawn from those that are idle and available
 * joins it, so that the run knows no more clients than there are places, and some that have left.
 * An idle client costs two bits.
 *
 * A client that falls silent tells nobody: its seat is free again when its lease (spec) ends.
 *
 * Same options and seed: same points, same digests, whatever the number of threads. */
#ifndef TRIB_SIM_FLEET_H
#define TRIB_SIM_FLEET_H

#include "codec/packing.h"
#include "run/spec.h"
#include "sim/population.h"
#include "sim/work.h"

/* One version, with everything up to its publication. */
struct trib_fleet_point {
    trib_version version; /* 0: the first model */
    trib_time_ns at;
    uint64_t updates;              /* that this version counts */
    uint64_t updates_sent;         /* by all clients so far, also those refused */
    uint64_t bytes_down, bytes_up; /* so far */
    double staleness;              /* mean of its updates; 0 for version 0 */
    double loss;                   /* mean of its updates, as clients measured; NAN: unknown */
    bool is_evaluated;
    double test_accuracy, test_loss; /* NAN: not measured */
    uint64_t own_reports; /* of clients on data of their own, while this version was the newest */
    double own_accuracy, own_loss; /* mean over the examples of these; NAN: not measured */
    struct trib_digest digest;     /* of the model */
};

struct trib_fleet_progress {
    trib_version version;
    trib_time_ns now; /* virtual */
    uint64_t updates_sent;
};

struct trib_fleet_options {
    const struct trib_spec *spec; /* with a stop rule */
    const struct trib_population *population;
    struct trib_block *model; /* version 0, canonical and sealed; borrowed */
    const struct trib_work *work;
    uint32_t threads;                   /* 1..TRIB_HANDS_MAX */
    const struct trib_packing *packing; /* how clients write what `train` makes; NULL: dense */
    void *context;                      /* of both below */
    /* A version and, where it was evaluated, its score; in order. NULL allowed. */
    void (*point)(void *context, const struct trib_fleet_point *point);
    /* Every few thousand moments; false: stop here. NULL allowed. */
    bool (*progress)(void *context, const struct trib_fleet_progress *progress);
    struct trib_block **last; /* becomes the last version, the caller's to unref; NULL on error.
                                 NULL: not wanted */
};

struct trib_fleet_report {
    char ending[160]; /* why it ended, for people */
    bool is_complete; /* by a rule of the spec; else interrupted, stalled or paused */
    trib_version version;
    trib_time_ns ended_at;
    uint64_t tasks; /* given out */
    uint64_t updates_sent, updates_counted, updates_refused;
    uint64_t vanished;    /* tasks whose client fell silent */
    uint64_t outlasted;   /* tasks that took longer than the lease: their seat was given on */
    uint64_t clients;     /* different ones that had a task */
    uint64_t own_reports; /* evaluations by clients on data of their own */
    bool has_best;        /* by evaluate.metric, of all who evaluate, as the run counts it: */
    trib_version best;
    double best_metric;
    double staleness; /* mean over all updates counted */
    uint64_t bytes_down, bytes_up;
    uint32_t places;
    uint64_t population_bytes; /* memory that grows with the population */
};

/* Simulate until a rule of the spec ends the run.
 * TRIB_EINVALID: options that do not fit together; TRIB_EMEMORY; the errors of a merge or of an
 * evaluation. error is in words. *report is filled in either way. */
enum trib_status trib_fleet_run(const struct trib_env *env,
                                const struct trib_fleet_options *options,
                                struct trib_fleet_report *report, struct trib_error *error);

#endif
