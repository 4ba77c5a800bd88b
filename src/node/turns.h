/* turns.h - who is next, when each is to get turns in proportion to its weight.
 *
 * Everyone has a time of its own, which a turn moves on by 1/weight; the one that is furthest
 * behind is next. Whoever has been away begins at the present, so that nobody saves turns up, and a
 * newcomer waits for at most one turn of each of the others.
 *
 * Source: Goyal, Vin and Cheng 1996, Start-time Fair Queueing, with turns of one length. Pure. */
#ifndef TRIB_NODE_TURNS_H
#define TRIB_NODE_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#define TRIB_TURN_WEIGHT_MAX 100

struct trib_turns { /* all-zero: nobody has had a turn */
    uint64_t now;   /* private: when the newest turn began, in the time of whoever had it */
};

struct trib_turn {   /* all-zero: weight 1, never had one */
    uint32_t weight; /* 1 .. TRIB_TURN_WEIGHT_MAX; 0 is 1 */
    uint64_t next;   /* private: when its next turn begins, in its own time */
};

/* It has something to do again, after it had nothing. */
void trib_turn_wake(const struct trib_turns *turns, struct trib_turn *turn);
/* Is `turn` before `other`? Neither: both are as far. */
bool trib_turn_is_before(const struct trib_turn *turn, const struct trib_turn *other);
/* It has a turn now. */
void trib_turn_take(struct trib_turns *turns, struct trib_turn *turn);

#endif
