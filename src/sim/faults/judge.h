/* judge.h - the promises, watched from outside.
 *
 * The judge knows what the clients sent, hears every reply at the moment the daemon gives it, and
 * reads the ledger from the disk as a crash would leave it, with a reader of its own. It holds that
 *
 *   - what is told (an acknowledgement, a version, a task, a state) is durable before it is told;
 *   - an acknowledged id stands for one body, whose digest is the one counted;
 *   - each id is settled once, in one version or in one list of dropped ones, and never both;
 *   - versions are numbered without gaps, their weights add up, and each has the digest that the
 *     updates of the clients give (sums.h), or what an external combiner sent for them (offers.h),
 *     by the spec that holds for it: the ledger tells of each change before it holds;
 *   - what was durable once is there after every crash;
 *   - in the end every acknowledged update is settled. */
#ifndef TRIB_SIM_FAULTS_JUDGE_H
#define TRIB_SIM_FAULTS_JUDGE_H

#include "base/digest.h"
#include "sim/faults/network.h"
#include "sim/faults/sums.h"

struct judge_rules {
    const char *run;
    struct rules spec;
    uint32_t counts[SUMS_TENSORS];
    bool is_ranged; /* the model is larger than the memory for models */
};

void judge_begin(const struct judge_rules *rules);
void judge_end(void);

const char *judge_run(void);
/* The first version's bytes, for the operator; borrowed. */
const unsigned char *judge_first_model(size_t *byte_count);
const struct sums *judge_sums(void);

/* A client has made an update and will send it, perhaps often. deltas and body are taken over.
 * is_sound: nothing is wrong with it; otherwise it must never be counted. */
struct judge_sent {
    const char *client; /* borrowed for the life of the world */
    char id[64];
    uint64_t base, examples;
    bool is_sound;
    float *deltas;
    unsigned char *body;
    size_t body_bytes;
    struct trib_digest digest; /* filled in */
};
size_t judge_note(const struct judge_sent *sent); /* its index */
const struct judge_sent *judge_look(size_t index);
/* Index of what this client sent under this id with this digest; SIZE_MAX: nobody did. */
size_t judge_find(const char *client, const char *id, const struct trib_digest *digest);

/* The network tells of every reply: when the daemon gives it, and when its last byte has left. */
void judge_replied(const struct network_request *request, int status, const char *etag,
                   uint64_t version, bool has_version, const unsigned char *body,
                   size_t body_bytes);
/* An event of a stream, as text. */
void judge_heard(const char *text, size_t text_bytes);
void judge_delivered(const struct network_request *request, int status, const char *etag,
                     const unsigned char *body, size_t body_bytes, bool is_lost);

/* After the disk was reverted, before the daemon starts again. */
void judge_crashed(void);
/* The daemon has started, or opened the run again: with `durability: memory` it may have forgotten
 * what was acknowledged and has no fate yet. */
void judge_begins_anew(void);
/* Read what is new on the disk. */
void judge_read_ledger(void);

/* How often a client of this name was revoked, by the ledger. */
uint64_t judge_revocations(const char *name);
/* A token of this serial is dead, and the operator was told so. */
bool judge_is_revoked(const char *name, uint64_t serial);

/* What the ledger says by now. */
bool judge_has_version(void);
uint64_t judge_version(void);
size_t judge_acknowledged_count(void);
/* Every acknowledged update is settled; call when the run has stopped. */
void judge_settled(void);
/* The fate of what was acknowledged: "counted" with *version, "dropped", or "spooled". */
const char *judge_fate(const char *client, const char *id, uint64_t *version);
/* The nth acknowledged update: index of what was sent. */
size_t judge_acknowledged(size_t nth);

#endif
