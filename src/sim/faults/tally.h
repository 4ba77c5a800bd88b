/* tally.h - how often what happened in the worlds of this process: faults by kind, and how often
 * each promise was looked at. A promise that is broken ends the program, so none is among these. */
#ifndef TRIB_SIM_FAULTS_TALLY_H
#define TRIB_SIM_FAULTS_TALLY_H

#include <stdint.h>

#define TALLY_FAULTS(ROW)                                                     \
    ROW(POWER_CUT, "power cut, between two happenings or within a file call") \
    ROW(KILLED, "daemon killed, and the machine went on")                     \
    ROW(TORN, "unsynced sectors that were there all the same")                \
    ROW(TERMINATED, "daemon told to end")                                     \
    ROW(ADDRESS_TAKEN, "address taken when it started")                       \
    ROW(CALL_FAILED, "file call that failed")                                 \
    ROW(CALL_FULL, "file call without room")                                  \
    ROW(DISK_FULL, "disk full for a while")                                   \
    ROW(ROT_LEDGER, "bit flipped in a ledger")                                \
    ROW(ROT_SPOOL, "bit flipped in a spool")                                  \
    ROW(ROT_VERSION, "bit flipped in a version")                              \
    ROW(ROT_STATE, "bit flipped in an optimizer's state")                     \
    ROW(INDEX_LOST, "index lost")                                             \
    ROW(INDEX_OLD, "index replaced by an older one")                          \
    ROW(INDEX_CALL, "file call of SQLite that failed")                        \
    ROW(NO_MEMORY, "allocation refused")                                      \
    ROW(NO_JSON_MEMORY, "allocation of a JSON document refused")              \
    ROW(NO_WORKER, "work that no thread could take")                          \
    ROW(CLOCK_AHEAD, "wall clock set ahead")                                  \
    ROW(CLOCK_BACK, "wall clock set back")                                    \
    ROW(SUSPENDED, "everything stood still for minutes")                      \
    ROW(LOST_REQUEST, "request lost")                                         \
    ROW(CUT_BODY, "connection reset in the middle of a body")                 \
    ROW(RESET, "connection reset while an answer was due")                    \
    ROW(LOST_REPLY, "answer lost")                                            \
    ROW(DELAYED, "message held up for seconds, overtaken by others")          \
    ROW(DUPLICATED, "request delivered twice")                                \
    ROW(PARTITIONED, "client cut off for minutes")                            \
    ROW(STREAM_CUT, "event stream that took no more")                         \
    ROW(CLIENT_DIED, "client that forgot all it had in hand")                 \
    ROW(REVOKED, "client's token revoked")                                    \
    ROW(MEDDLED, "run paused or stopped by the operator")                     \
    ROW(CHANGED, "change of a live run's spec asked for")                     \
    ROW(COMBINER_DIED, "combiner that forgot the offer it worked on")         \
    ROW(COMBINER_SLOW, "combiner that took minutes for an offer")             \
    ROW(COMBINED_TWICE, "offer answered twice, alike or not")                 \
    ROW(OTHER_RUN, "something else done in another run")

#define TALLY_LOOKS(ROW)                                                                     \
    ROW(STEPS, "happenings, in virtual time")                                                \
    ROW(STARTS, "starts of the daemon")                                                      \
    ROW(REQUESTS, "requests")                                                                \
    ROW(ACKNOWLEDGED, "updates acknowledged, on the disk by then")                           \
    ROW(COUNTED, "updates counted, each once, as it was acknowledged")                       \
    ROW(DROPPED, "updates dropped, with the reason")                                         \
    ROW(FORGOTTEN, "acknowledged in memory only (durability: memory) and lost in a crash")   \
    ROW(VERSIONS, "versions computed again from what the clients sent: the same bits")       \
    ROW(RANGED, "of these, made window by window of a model larger than memory")             \
    ROW(REVISIONS, "changes of the spec, each version judged by its own")                    \
    ROW(COMBINED, "versions that are what an external combiner sent for their updates")      \
    ROW(PLAYED, "versions made again by telling the heart the same: the same bits")          \
    ROW(TOLD, "answers that told nothing which was not durable")                             \
    ROW(CRASHES_CHECKED, "crashes after which every durable record was there")               \
    ROW(ROT_NOTICED, "flipped bits that the daemon noticed")                                 \
    ROW(ENDS, "ends of the daemon after which all memory, files and chunks were given back") \
    ROW(CALM, "worlds that made progress once it was calm")                                  \
    ROW(FATES, "updates whose fate was asked in the end, before and after a last start")

enum tally {
#define TALLY_ENUM(name, text) TALLY_##name,
    TALLY_FAULTS(TALLY_ENUM) TALLY_LOOKS(TALLY_ENUM)
#undef TALLY_ENUM
        TALLY_COUNT
};

void tally_add(enum tally what, uint64_t count);
/* Both tables, for people. */
void tally_print(uint64_t first_seed, uint64_t world_count);

#endif
