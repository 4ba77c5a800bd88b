/* turns.c - who is next, by weight. */
#include "node/turns.h"

#define TURN_LENGTH (UINT64_C(1) << 24) /* of weight 1: 2^40 turns before it ends */

void trib_turn_wake(const struct trib_turns *turns, struct trib_turn *turn) {
    turn->next = turn->next < turns->now ? turns->now : turn->next;
}

bool trib_turn_is_before(const struct trib_turn *turn, const struct trib_turn *other) {
    return turn->next < other->next;
}

void trib_turn_take(struct trib_turns *turns, struct trib_turn *turn) {
    turns->now = turn->next;
    turn->next += TURN_LENGTH / (turn->weight == 0 ? 1 : turn->weight);
}
