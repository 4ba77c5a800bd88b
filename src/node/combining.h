/* combining.h - versions whose updates somebody else combines (strategy.combiner: external).
 *
 *   COMBINE --> offered --PUT--> checked, spooled --COMBINED--> MERGE: folded alone, merged --> PUBLISH
 *                  ^----------------'  a bad body
 *
 * A closed buffer is offered to whoever has a token of scope merge: it reads the updates, each from the
 * spool, and sends one delta. That is checked and made durable like an update, and is then all that the
 * version is made of; the ledger lists the updates, which count with it, and its digest.
 *
 * An offer is named by what is in it, so that no delta is taken for other updates than it was made of.
 * It is not remembered across a restart: the buffer may close with more updates then. What was combined
 * and is not in the ledger is forgotten, and asked for again. */
#ifndef TRIB_NODE_COMBINING_H
#define TRIB_NODE_COMBINING_H

#include <stdbool.h>

#include "base/digest.h"
#include "node/token.h"
#include "run/run.h"

struct trib_call;
struct trib_hosted;
struct trib_node;
struct trib_upload;

struct trib_combining {       /* all-zero: nothing is offered */
    trib_version version;     /* to be made of the offer; 0: there is none */
    struct trib_digest offer; /* names it: SHA-256 of its updates' names and digests */
    trib_slot *slots;         /* [slot_count] its updates by client, then id */
    size_t slot_count;
    struct trib_upload
        *upload;            /* what has come for it, until that is recorded; NULL: nothing yet */
    struct trib_call *call; /* whoever sent it and waits; NULL: has gone */
    char by[TRIB_TOKEN_WHO_BYTES];
    bool is_merging;      /* the heart has taken it */
    uint32_t accumulator; /* that it is folded into */
    struct {
        trib_version version; /* 0: none so far */
        struct trib_digest digest;
    } done; /* the newest version that was combined, and of what */
};

/* Is something offered that nobody has answered yet? */
bool trib_combining_is_open(const struct trib_combining *combining);

/* COMBINE: this version's updates are offered; whoever waits for an offer is answered. */
void trib_combining_offer(struct trib_hosted *hosted, trib_version version);
/* Take the complete body of a call as the answer to the open offer; the call is answered when the version
 * is published. Takes the upload. */
void trib_combining_take(struct trib_call *call, struct trib_upload *upload);
/* The body has been checked and spooled, or not: upload->status. */
void trib_combining_stored(struct trib_upload *upload);
/* MERGE: fold it alone, and merge. */
void trib_combining_merge(struct trib_hosted *hosted, uint32_t accumulator);
void trib_combining_folded(struct trib_hosted *hosted, enum trib_status status);
/* PUBLISH, and then: its record has been written. Nothing happens where nothing was combined. */
void trib_combining_published(struct trib_hosted *hosted);
void trib_combining_settle(struct trib_hosted *hosted);
/* The run has ended: whoever waits is told why. */
void trib_combining_withdraw(struct trib_hosted *hosted, const char *reason);

/* Answer those who have waited long enough for an offer. */
void trib_combining_expire(struct trib_node *node);
/* The call waits no more. */
void trib_combining_forget_call(const struct trib_call *call);
void trib_combining_deinit(struct trib_hosted *hosted);

#endif
