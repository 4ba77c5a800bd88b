/* offers.h - what an external combiner was offered, and what it sent for that.
 *
 * Kept for the judge: a version of a run whose combiner is external is made of one delta that somebody
 * sent for the very updates which its record lists. */
#ifndef TRIB_SIM_FAULTS_OFFERS_H
#define TRIB_SIM_FAULTS_OFFERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"

#define OFFERS_NONE SIZE_MAX

struct offer {
    uint64_t version;                 /* to be made of it */
    char name[TRIB_DIGEST_HEX_BYTES]; /* Tributary-Offer */
    size_t *updates;                  /* [count] indexes of what was sent (judge_look) */
    uint64_t *weights;                /* [count] */
    size_t count;
};

/* What a combiner makes of an offer. */
struct combined {
    struct offer offer; /* its own copy */
    bool is_sound;      /* nothing is wrong with it; otherwise no version may be made of it */
    float *deltas;      /* [sums_update_count()] */
    unsigned char *body;
    size_t body_bytes;
    struct trib_digest digest; /* filled in */
};

/* Read the document of an offer; the world fails if it lists what nobody sent, or is malformed. The
 * caller releases it. */
void offer_read(struct offer *offer, const json_t *document);
void offer_copy(struct offer *target, const struct offer *source);
void offer_release(struct offer *offer); /* all-zero is safe */
/* Do these updates of a version's record and those of the offer agree, weights and order too? */
bool offer_is_of(const struct offer *offer, const json_t *updates);

/* A delta was made and will be sent, perhaps often; all of it is taken over. Its index. */
size_t offers_note(const struct combined *combined);
const struct combined *offers_look(size_t index);
/* The one that was sent for this version and these updates with this digest; OFFERS_NONE. */
size_t offers_find(uint64_t version, const struct trib_digest *digest, const json_t *updates);
void offers_end(void);

#endif
