/* offers.c - what an external combiner was offered, and what it sent for that. */
#include "sim/faults/offers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/faults/judge.h"
#include "sim/faults/world.h"

static struct {
    struct combined *all;
    size_t count;
} offers;

/* --- offers ------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *document, const char *key) {
    const char *text = json_string_value(json_object_get(document, key));
    return text == NULL ? "" : text;
}

static uint64_t number_of(const json_t *document, const char *key) {
    return (uint64_t)json_integer_value(json_object_get(document, key));
}

/* What was sent, of an update that a document lists. */
static size_t sent_of(const json_t *update) {
    struct trib_digest digest;
    return trib_digest_from_hex(text_of(update, "digest"), &digest)
               ? judge_find(text_of(update, "client"), text_of(update, "update"), &digest)
               : OFFERS_NONE;
}

static void make_room(struct offer *offer) {
    offer->updates = calloc(offer->count + 1, sizeof *offer->updates);
    offer->weights = calloc(offer->count + 1, sizeof *offer->weights);
    TRIB_ASSERT(offer->updates != NULL);
    TRIB_ASSERT(offer->weights != NULL);
}

void offer_read(struct offer *offer, const json_t *document) {
    const json_t *updates = json_object_get(document, "updates");
    *offer = (struct offer){.version = number_of(document, "version"),
                            .count = json_array_size(updates)};
    (void)snprintf(offer->name, sizeof offer->name, "%s", text_of(document, "offer"));
    make_room(offer);
    for (size_t i = 0; i < offer->count; i++) {
        const json_t *update = json_array_get(updates, i);
        offer->updates[i] = sent_of(update);
        offer->weights[i] = number_of(update, "weight");
        if (offer->updates[i] == OFFERS_NONE || number_of(update, "index") != i) {
            world_fail("version %" PRIu64 " is offered with an update that nobody sent: %s of %s",
                       offer->version, text_of(update, "update"), text_of(update, "client"));
        }
    }
}

void offer_copy(struct offer *target, const struct offer *source) {
    *target = *source;
    make_room(target);
    memcpy(target->updates, source->updates, source->count * sizeof *source->updates);
    memcpy(target->weights, source->weights, source->count * sizeof *source->weights);
}

void offer_release(struct offer *offer) {
    free(offer->updates);
    free(offer->weights);
    memset(offer, 0, sizeof *offer);
}

bool offer_is_of(const struct offer *offer, const json_t *updates) {
    bool is_same = offer->count == json_array_size(updates);
    for (size_t i = 0; is_same && i < offer->count; i++) {
        const json_t *update = json_array_get(updates, i);
        is_same = offer->updates[i] == sent_of(update) &&
                  offer->weights[i] == number_of(update, "weight");
    }
    return is_same;
}

/* --- what was made of them ------------------------------------------------------------------------------ */

size_t offers_note(const struct combined *combined) {
    offers.all = realloc(offers.all, (offers.count + 1) * sizeof *offers.all);
    TRIB_ASSERT(offers.all != NULL);
    offers.all[offers.count] = *combined;
    trib_digest_of(combined->body, combined->body_bytes, &offers.all[offers.count].digest);
    return offers.count++;
}

const struct combined *offers_look(size_t index) {
    TRIB_ASSERT(index < offers.count);
    return &offers.all[index];
}

size_t offers_find(uint64_t version, const struct trib_digest *digest, const json_t *updates) {
    for (size_t i = 0; i < offers.count; i++) {
        const struct combined *combined = &offers.all[i];
        if (combined->offer.version == version && trib_digest_equal(&combined->digest, digest) &&
            offer_is_of(&combined->offer, updates)) {
            return i;
        }
    }
    return OFFERS_NONE;
}

void offers_end(void) {
    for (size_t i = 0; i < offers.count; i++) {
        offer_release(&offers.all[i].offer);
        free(offers.all[i].deltas);
        free(offers.all[i].body);
    }
    free(offers.all);
    memset(&offers, 0, sizeof offers);
}
