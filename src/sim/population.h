/* population.h - who is out there: clients as functions of their number.
 *
 * A population is described by a few texts, the fields below, given as options of `trib sim` or as
 * the lines of a YAML file (`speed: lognormal:30s,0.5`): one table, one syntax. Nothing is kept per
 * client: how fast it is, when it is there, what becomes of its n-th task is worked out from the
 * seed whenever it is wanted. */
#ifndef TRIB_SIM_POPULATION_H
#define TRIB_SIM_POPULATION_H

#include "sim/attributes.h"
#include "sim/availability.h"
#include "sim/distribution.h"

#define TRIB_POPULATION_MAX 10000000

/* member, name, what help calls the value, default (NULL: none), what help says of it, meaning. */
#define TRIB_POPULATION_FIELDS(X)                                                                 \
    X(clients, "clients", "N", NULL, "100, or one for each natural part",                         \
      "how many there are, up to 10,000,000")                                                     \
    X(present, "present", "N", NULL, "all, or as many as train at one time",                      \
      "most that are checked in at one time")                                                     \
    X(seed, "seed", "S", "1", "1", "of everything random about clients, their data and training") \
    X(speed, "speed", "HOW", "10s", "10s", "time of a task, drawn for each client")               \
    X(per, "per", "WHAT", "task", "task", "what that time is for: task, example or step")         \
    X(jitter, "jitter", "HOW", "1", "1", "factor on that time, drawn for each task")              \
    X(availability, "availability", "HOW", "always", "always",                                    \
      "when clients are there: always, diurnal:SHARE,SWING, trace:FILE")                          \
    X(attributes, "attributes", "HOW", NULL, "none",                                              \
      "what clients say when they join: site=a,gpu=true, or trace:FILE")                          \
    X(dropout, "dropout", "P", "0", "0", "share of tasks whose client falls silent half-way")     \
    X(latency, "latency", "HOW", "0s", "0s", "time before a transfer begins")                     \
    X(download, "download", "HOW", "0B", "no limit", "bytes per second")                          \
    X(upload, "upload", "HOW", "0B", "no limit", "bytes per second")

/* What takes as long as `speed` says. Steps are those that a run asks for (FedCompass) or that its
 * settings name; a task that has no number of them is one. */
enum trib_per { TRIB_PER_TASK, TRIB_PER_EXAMPLE, TRIB_PER_STEP };

struct trib_population {
    /* read-only */
    uint64_t clients; /* 0: not said, to be filled in before use */
    uint32_t present; /* 0: not said */
    uint64_t seed;
    enum trib_per per;
    double dropout;
    struct trib_availability availability;
    struct trib_attributes attributes;

    /* private */
    struct trib_distribution speed, jitter, latency, download, upload;
    struct trib_chance speeds, jitters, latencies, downloads, uploads, dropouts;
};

/* The fields as texts; NULL: the default. */
struct trib_population_texts {
#define X(member, name, value, initial, unsaid, meaning) const char *member;
    TRIB_POPULATION_FIELDS(X)
#undef X
};

/* TRIB_EINVALID and the errors of traces: error names the field, its value and what is allowed. On
 * error *population is zero. */
enum trib_status trib_population_parse(struct trib_population *population,
                                       const struct trib_env *env,
                                       const struct trib_population_texts *texts,
                                       struct trib_error *error);
void trib_population_deinit(struct trib_population *population); /* all-zero is safe */

struct trib_errand_task {
    uint64_t client;
    uint64_t number; /* of the task among all of the population: each has draws of its own */
    uint64_t examples;
    uint32_t steps; /* 0: not said */
    uint64_t model_bytes, update_bytes;
};

/* What becomes of a client's task. */
struct trib_errand {
    trib_time_ns download, compute, upload; /* how long each takes */
    double vanishes_after; /* the part of all three after which the client is gone; 1: it is not */
};
struct trib_errand trib_population_errand(const struct trib_population *population,
                                          const struct trib_errand_task *task);

#endif
