/* world.h - the machine that the daemon under test believes in: time, chance, memory, disk.
 *
 * Nothing here waits: every act of the loop, of a worker, of the network or of a client is a
 * happening with a time of its own, chosen by the seed, and the world goes from one to the next.
 * So a second of the simulation may hold a virtual day, and the same seed gives the same day.
 *
 * There is one world per process at a time. Everything is on one thread. */
#ifndef TRIB_SIM_FAULTS_WORLD_H
#define TRIB_SIM_FAULTS_WORLD_H

#include "base/env.h"
#include "base/files_memory.h"
#include "base/random.h"
#include "node/node.h"
#include "sim/faults/tally.h"

/* Whose happening it is: those of the machine vanish in a crash, those of the others do not. */
enum world_owner { WORLD_MACHINE, WORLD_OUTSIDE };

struct world {
    uint64_t seed;
    bool is_tracing;
    trib_time_ns now;
    uint64_t step_count;
    struct trib_random chance;
    struct trib_env env;           /* of the daemon */
    struct trib_files_memory disk; /* its data directory, but for the SQLite index */
    char directory[128];           /* a real one, for the index only */
    struct trib_node *node;        /* NULL: the machine is down */
    bool is_calm;                  /* no more faults: everything must come to a good end */
    bool is_inside;                /* the daemon is at work, not those who watch it or talk to it */
    double memory_chance;          /* that an allocation of the daemon is refused */
    bool has_refused_memory;       /* since somebody cleared it */
    bool has_lost_tape;            /* what the heart was told is not on record any more */
    double index_chance;           /* that a file call of SQLite fails */
    double wall_shift;             /* seconds: the wall clock was set */
    bool is_crash_wanted;          /* power fails before the next happening */
    bool is_over;                  /* the loop returns; the world decides what is next */
    uint64_t crashes, starts, requests; /* how much happened, for the summary */
    uint64_t trace_digest; /* of all trace lines: equal in two runs of a seed, or it is no replay */
};
extern struct world world;

/* directory: for the index; made when missing. */
void world_begin(uint64_t seed, bool is_tracing, const char *directory);
/* Everything must have been given back by now. */
void world_end(void);

/* --- time --- */

typedef void world_act(void *context);
/* act(context) at now + delay; which of two that are due together comes first is left to chance.
 * Returns a number for world_cancel(), never 0. */
uint64_t world_schedule(trib_time_ns delay, enum world_owner owner, world_act *act, void *context);
void world_cancel(uint64_t number); /* one that is not there any more is fine */
/* The next happening. False: the machine died or nothing is left to happen. */
bool world_step(void);

/* --- chance --- */

bool world_chance(double probability);
uint64_t world_below(uint64_t bound);
/* Between the two, both included; long ones are rarer. */
trib_time_ns world_delay(trib_time_ns least, trib_time_ns most);
/* Between 0 and 1, without the 1. */
double world_unit(void);
/* world_chance(), but never once the world is calm; counted. */
bool world_fault(enum tally kind, double probability);

/* Whose code runs from now on: only the daemon's runs out of memory. Returns what was before. */
bool world_enter(bool is_inside);
/* No memory for the daemon, this time. */
bool world_refuses_memory(enum tally kind);

/* --- the end of the machine --- */

/* The disk has stopped in the middle of something: whatever the daemon still says is not heard. */
bool world_is_dying(void);
/* The daemon is gone without a word; the disk keeps what was synced (torn: or a part of more). */
void world_crash(void);
/* Bytes and blocks that the daemon holds. */
uint64_t world_blocks_live(void);

/* --- telling --- */

void world_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* An invariant is broken: prints it with the command that replays the seed, and ends the program. */
_Noreturn void world_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
