/* combiner.c - the external combiner of a world: asks for offers, reads their updates, answers. */
#include "sim/faults/combiner.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/daemon.h"
#include "sim/faults/judge.h"
#include "sim/faults/network.h"
#include "sim/faults/offers.h"
#include "sim/faults/world.h"

#define MINUTE (60 * TRIB_SECOND)
#define NAME "combiner"
#define ANSWERS_KEPT 4 /* the newest ones, to be sent late */

static const char name[] = NAME; /* one address: who is cut off is told by it */

static struct {
    const char *run;
    double delta_max;
    bool is_resting;
    struct offer offer; /* .version 0: none */
    size_t read_count;  /* of its updates */
    size_t answer;      /* made for it; OFFERS_NONE: not yet */
} self;

static void act(void *context);

static void next_act(trib_time_ns least, trib_time_ns most) {
    (void)world_schedule(world_delay(least, most), WORLD_OUTSIDE, act, NULL);
}

static void forget_offer(void) {
    offer_release(&self.offer);
    self.read_count = 0;
    self.answer = OFFERS_NONE;
}

static struct network_request ask(enum network_purpose purpose, const char *method) {
    struct network_request request = {
        .purpose = purpose, .method = method, .run = self.run, .client = name};
    struct trib_token token = {.scope = TRIB_TOKEN_MERGE, .subject = NAME};
    (void)snprintf(token.run, sizeof token.run, "%s", self.run);
    if (world.node != NULL) {
        trib_token_format(world.node->directory.key, &token, request.token);
    }
    return request;
}

static void nobody_cares(void *context, const struct network_answer *answer) {
    (void)context;
    (void)answer;
}

/* --- asking ------------------------------------------------------------------------------------------- */

static void offer_answered(void *context, const struct network_answer *answer) {
    (void)context;
    if (answer->status != 200) {
        next_act(TRIB_SECOND, answer->status == 409 ? MINUTE : 10 * TRIB_SECOND);
        return;
    }
    json_t *document =
        json_loadb((const char *)answer->body, answer->body_bytes, JSON_DECODE_ANY, NULL);
    forget_offer();
    if (json_is_object(document)) {
        offer_read(&self.offer, document);
    }
    json_decref(document);
    next_act(0, TRIB_SECOND);
}

static void ask_for_offer(void) {
    struct network_request request = ask(NETWORK_OFFER, "GET");
    (void)snprintf(request.target, sizeof request.target, "/v1/runs/%s/merge?wait=%u", self.run,
                   (unsigned)world_below(61));
    network_send(&request, offer_answered, NULL);
}

/* --- reading -------------------------------------------------------------------------------------------- */

static bool is_as_offered(const struct network_answer *answer) {
    struct trib_digest digest;
    trib_digest_of(answer->body, answer->body_bytes, &digest);
    return trib_digest_equal(&digest, &judge_look(self.offer.updates[self.read_count])->digest);
}

static void update_answered(void *context, const struct network_answer *answer) {
    (void)context;
    if (answer->status == 200 && is_as_offered(answer)) {
        self.read_count++;
    } else if (answer->status == 200 || answer->status == 404) {
        forget_offer(); /* it is another one by now, or the bits are rotten */
    }
    next_act(0, answer->status == 200 ? TRIB_SECOND : 10 * TRIB_SECOND);
}

static void read_update(void) {
    struct network_request request = ask(NETWORK_OFFER_UPDATE, "GET");
    (void)snprintf(request.target, sizeof request.target, "/v1/runs/%s/merge/%" PRIu64 "/%zu",
                   self.run, self.offer.version, self.read_count);
    network_send(&request, update_answered, NULL);
}

/* --- answering ------------------------------------------------------------------------------------------ */

/* The mean of the offered updates, or of some of them: what it is, is the combiner's business. */
static size_t make_answer(void) {
    const struct sums *sums = judge_sums();
    size_t count = sums_update_count(sums);
    struct combined made = {.is_sound = !world_chance(0.05)};
    made.deltas = calloc(count, sizeof *made.deltas);
    TRIB_ASSERT(made.deltas != NULL);
    double share = world_unit() / (double)self.offer.count;
    for (size_t u = 0; u < self.offer.count; u++) {
        const float *deltas = judge_look(self.offer.updates[u])->deltas;
        for (size_t i = 0; i < count; i++) {
            made.deltas[i] += (float)(share * (double)deltas[i]);
        }
    }
    if (!made.is_sound) {
        made.deltas[world_below(count)] = world_chance(0.5) ? NAN : (float)self.delta_max * 1.25F;
    }
    made.body = sums_body(sums, made.deltas, NULL, false, &made.body_bytes);
    offer_copy(&made.offer, &self.offer);
    return offers_note(&made);
}

static void answered(void *context, const struct network_answer *answer) {
    size_t index = (size_t)(uintptr_t)context;
    bool is_bad = answer->status == 400 || answer->status == 422;
    if (is_bad && offers_look(index)->is_sound) {
        world_fail("what was combined for version %" PRIu64 " is sound and was refused: %.*s",
                   offers_look(index)->offer.version, (int)answer->body_bytes,
                   (const char *)answer->body);
    }
    if (answer->status == 200 || answer->status == 409) {
        forget_offer();
    } else if (is_bad) {
        self.answer = OFFERS_NONE; /* the offer stays */
    }
    next_act(0, answer->status == 200 ? TRIB_SECOND : 10 * TRIB_SECOND);
}

static void send_answer(size_t index, network_answered *told) {
    const struct combined *made = offers_look(index);
    struct network_request request = ask(NETWORK_COMBINE, "PUT");
    (void)snprintf(request.target, sizeof request.target, "/v1/runs/%s/merge/%" PRIu64, self.run,
                   made->offer.version);
    (void)snprintf(request.fields, sizeof request.fields, "Tributary-Offer: %s\r\n",
                   made->offer.name);
    request.content_type = "application/safetensors";
    request.body = made->body;
    request.body_bytes = made->body_bytes;
    request.has_body = true;
    request.is_chunked = world_chance(0.3);
    request.sent = index;
    network_send(&request, told, (void *)(uintptr_t)index);
}

/* The same once more, something else, or what was meant for an offer before this one. */
static size_t choose_another(void) {
    size_t back = (size_t)world_below(ANSWERS_KEPT);
    return world_chance(0.3)     ? make_answer()
           : back <= self.answer ? self.answer - back
                                 : self.answer;
}

static void give_answer(void) {
    if (self.answer == OFFERS_NONE) {
        self.answer = make_answer();
    }
    if (world_fault(TALLY_COMBINED_TWICE, 0.3)) {
        send_answer(choose_another(), nobody_cares);
    }
    send_answer(self.answer, answered);
}

/* --- its life --------------------------------------------------------------------------------------------- */

static void act(void *context) {
    (void)context;
    if (self.is_resting) {
        return;
    }
    if (world_fault(TALLY_COMBINER_DIED, 0.02)) {
        forget_offer();
        next_act(0, 5 * MINUTE);
        return;
    }
    if (world_fault(TALLY_PARTITIONED, 0.003)) {
        network_cut_off(name, world_delay(MINUTE, 10 * MINUTE));
    }
    if (self.offer.version == 0) {
        ask_for_offer();
    } else if (self.read_count < self.offer.count && !world_chance(0.1)) {
        read_update();
    } else if (self.answer == OFFERS_NONE && world_fault(TALLY_COMBINER_SLOW, 0.1)) {
        self.answer = make_answer();
        next_act(MINUTE, 20 * MINUTE);
    } else {
        give_answer();
    }
}

void combiner_begin(const char *run, double delta_max) {
    memset(&self, 0, sizeof self);
    self.run = run;
    self.delta_max = delta_max;
    self.answer = OFFERS_NONE;
    next_act(0, MINUTE);
}

void combiner_rest(void) {
    self.is_resting = true;
}

void combiner_end(void) {
    forget_offer();
}
