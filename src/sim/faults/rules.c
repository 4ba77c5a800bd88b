/* rules.c - what the spec of a run says about its updates and versions, read from its document. */
#include "sim/faults/rules.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define UNIT_BITS_MAX 16
#define UNIT_BITS_MIXING 24
#define WEIGHT_MAX (UINT64_C(1) << 29)

static const char *text_of(const json_t *object, const char *key, const char *otherwise) {
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? otherwise : text;
}

static double real_of(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key)); /* 0 when it is not there */
}

static uint64_t whole_of(const json_t *object, const char *key) {
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static double share_of(const struct rules *rules, uint64_t staleness) {
    double u = (double)staleness;
    double fresh = rules->is_mixing ? rules->alpha : 1;
    if (strcmp(rules->staleness, "polynomial") == 0) {
        return fresh * pow(1 + u, -rules->staleness_a);
    }
    if (strcmp(rules->staleness, "hinge") == 0) {
        double late = rules->staleness_a * (u - rules->staleness_b) + 1;
        return u <= rules->staleness_b ? fresh : fresh * (1 / late);
    }
    return strcmp(rules->staleness, "linear") == 0 ? fresh * (1 + u) : fresh;
}

uint64_t rules_weight(const struct rules *rules, uint64_t examples, uint64_t staleness) {
    uint64_t units = (uint64_t)lround(ldexp(share_of(rules, staleness), rules->unit_bits));
    if (rules->is_mixing && !rules->is_equal) { /* a part of the share */
        return (uint64_t)((double)units * ((double)examples / (double)rules->examples_max) + 0.5);
    }
    return units * (rules->is_equal ? 1 : examples);
}

static int choose_unit_bits(const struct rules *rules) {
    bool is_whole =
        strcmp(rules->staleness, "constant") == 0 || strcmp(rules->staleness, "linear") == 0;
    uint64_t fresh = rules->is_equal ? 1 : rules->examples_max;
    int bits = rules->is_mixing ? UNIT_BITS_MIXING : 0;
    while (!rules->is_mixing && !is_whole && bits < UNIT_BITS_MAX &&
           fresh << (bits + 1) <= WEIGHT_MAX) {
        bits++;
    }
    return bits;
}

static void read_server(struct rules_server *server, const json_t *document) {
    (void)snprintf(server->kind, sizeof server->kind, "%s", text_of(document, "optimizer", ""));
    server->is_standard = strcmp(text_of(document, "variant", ""), "standard") == 0;
    server->lr = real_of(document, "lr");
    server->momentum = real_of(document, "momentum");
    server->beta1 = real_of(document, "beta1");
    server->beta2 = real_of(document, "beta2");
    server->tau = real_of(document, "tau");
}

static bool is_one_of(const char *text, const char *const *words) {
    while (*words != NULL && strcmp(*words, text) != 0) {
        words++;
    }
    return *words != NULL;
}

bool rules_read(struct rules *rules, const json_t *document) {
    static const char *const weights[] = {"equal", "examples", NULL};
    static const char *const staleness[] = {"constant", "polynomial", "hinge", "linear", NULL};
    const json_t *strategy = json_object_get(document, "strategy");
    memset(rules, 0, sizeof *rules);
    rules->is_durable = strcmp(text_of(document, "durability", ""), "spool") == 0;
    rules->is_equal = strcmp(text_of(strategy, "weights", "equal"), "equal") == 0;
    rules->is_mixing = json_object_get(strategy, "alpha") != NULL;
    rules->has_models =
        json_object_get(strategy, "tick") != NULL && json_object_get(strategy, "fraction") != NULL;
    rules->alpha = real_of(strategy, "alpha");
    (void)snprintf(rules->staleness, sizeof rules->staleness, "%s",
                   text_of(strategy, "staleness", ""));
    rules->staleness_a = real_of(strategy, "staleness_a");
    rules->staleness_b = real_of(strategy, "staleness_b");
    rules->staleness_max = whole_of(strategy, "staleness_max");
    rules->examples_max = whole_of(strategy, "weight_max");
    rules->unit_bits = choose_unit_bits(rules);
    for (uint64_t u = 0; u <= rules->staleness_max; u++) {
        uint64_t weight = rules_weight(rules, rules->examples_max, u);
        rules->weight_max = weight > rules->weight_max ? weight : rules->weight_max;
    }
    if (rules->is_mixing) { /* a share of at most 1 */
        rules->weight_max = UINT64_C(1) << rules->unit_bits;
    }
    uint64_t total = rules->is_mixing ? 1 : whole_of(strategy, "weight_total_max");
    rules->total_max = total << rules->unit_bits;
    const char *divide = text_of(strategy, "divide", rules->is_mixing ? "none" : "weight");
    rules->divisor = strcmp(divide, "goal") == 0   ? RULES_BY_GOAL
                     : strcmp(divide, "none") == 0 ? RULES_BY_ONE
                     : strcmp(divide, "both") == 0 ? RULES_BY_BOTH
                                                   : RULES_BY_WEIGHT;
    rules->is_combined = strcmp(text_of(strategy, "combiner", ""), "external") == 0;
    if (rules->is_combined) {
        rules->divisor = RULES_BY_WEIGHT;
    }
    rules->goal = whole_of(strategy, "goal");
    rules->delta_max = real_of(json_object_get(document, "model"), "delta_max");
    read_server(&rules->server, json_object_get(strategy, "server"));
    return is_one_of(text_of(strategy, "weights", "equal"), weights) &&
           is_one_of(rules->staleness, staleness);
}

int rules_shift(const struct rules *rules) {
    int shift = 127;
    double weight_max = rules->is_combined ? 1 : (double)rules->weight_max;
    double total_max = rules->is_combined ? 1 : (double)rules->total_max;
    while (ldexp(weight_max * rules->delta_max, shift) > 0x1p51 ||
           ldexp(total_max * rules->delta_max, shift) >= 0x1p62) {
        shift--;
    }
    return shift;
}
