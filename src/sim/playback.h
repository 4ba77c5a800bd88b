/* playback.h - a recorded run once more, in virtual time: does it come to the same bits?
 *
 * The tapes of the run (node/tape.h) tell the heart what it was told then, each event at its
 * recorded time, restarts included. What the heart decides is carried out by the production code,
 * and compared with what is on record: every admission (version, staleness, weight) with the spool's
 * entry, every version with the ledger's - its updates, their weights, its digest -, every state.
 *
 * Updates come from the spool, or are made anew: then clients train again what they trained, and the
 * recording is only the order of arrival (pupils.h). */
#ifndef TRIB_SIM_PLAYBACK_H
#define TRIB_SIM_PLAYBACK_H

#include "base/files.h"
#include "sim/fleet.h"

struct trib_playback_options {
    const struct trib_files *files; /* of a data directory that nobody else uses */
    const char *run;
    const struct trib_work *work; /* who trains again, by its first hand; NULL: the updates that
                                      were kept are played */
    const struct trib_spec *spec; /* with work: as the run's; NULL: not compared */
    struct trib_block *model;     /* with work: version 0 (else the one that was kept); borrowed */
    void *context;                /* of both below */
    /* Each version, as it is found to be the same. NULL allowed. */
    void (*point)(void *context, const struct trib_fleet_point *point);
    /* Before each version; false: stop here. NULL allowed. */
    bool (*progress)(void *context, const struct trib_fleet_progress *progress);
    struct trib_block **last; /* as of trib_fleet_options */
};

struct trib_playback_report {
    uint64_t versions, updates; /* made again: the same bits; without version 0 */
    uint64_t openings;          /* of the run: 1 + restarts and changes of its spec */
    uint64_t events;            /* that the heart was told */
    struct trib_digest digest;  /* of the last version */
    struct trib_fleet_report fleet;
};

/* TRIB_OK: all the same. TRIB_ECORRUPT: something differs, or is damaged; error names the first, what
 * the ledger has (expected) and what the playback has (found). TRIB_EUNSUPPORTED: it cannot be
 * played, and why. TRIB_ENOTFOUND: no such run. TRIB_EINVALID: a client cannot train again.
 * *report is filled in either way. */
enum trib_status trib_playback_run(const struct trib_env *env,
                                   const struct trib_playback_options *options,
                                   struct trib_playback_report *report, struct trib_error *error);

#endif
