/* sums.c - the model of a world, and what its versions must be. */
#include "sim/faults/sums.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "sim/faults/world.h"

static const char *const names[SUMS_TENSORS] = {"a.weight", "b.running_mean", "c.frozen"};

static void *must_have(size_t count, size_t bytes) {
    void *memory = calloc(count + 1, bytes);
    TRIB_ASSERT(memory != NULL);
    return memory;
}

static size_t element_count(const struct sums *sums) {
    return (size_t)sums->counts[0] + sums->counts[1] + sums->counts[2];
}

size_t sums_update_count(const struct sums *sums) {
    return (size_t)sums->counts[0] + sums->counts[1];
}

/* Does an update pull towards the version that it was made from? */
static bool has_bases(const struct rules *rules) {
    return rules->is_mixing || rules->has_models;
}

/* The current version may become the base of an update. */
static void remember(struct sums *sums) {
    if (sums->base_count > 0) {
        memcpy(sums->bases[sums->version % sums->base_count], sums->values,
               element_count(sums) * sizeof *sums->values);
    }
}

/* It has seen nothing yet. */
static void begin_optimizer(struct sums *sums) {
    const struct rules_server *server = &sums->rules.server;
    float start = server->is_standard ? 0 : (float)(server->tau * server->tau);
    for (size_t i = 0; i < sums->counts[0]; i++) {
        sums->first_moments[i] = 0;
        sums->second_moments[i] = start;
    }
    sums->steps = 0;
}

void sums_begin(struct sums *sums, const uint32_t counts[SUMS_TENSORS], const struct rules *rules) {
    memset(sums, 0, sizeof *sums);
    sums->rules = *rules;
    memcpy(sums->counts, counts, sizeof sums->counts);
    sums->shift = rules_shift(rules);
    sums->base_count = has_bases(rules) ? (size_t)rules->staleness_max + 1 : 0;
    size_t count = element_count(sums);
    sums->values = must_have(count, sizeof *sums->values);
    sums->first_moments = must_have(counts[0], sizeof *sums->first_moments);
    sums->second_moments = must_have(counts[0], sizeof *sums->second_moments);
    sums->bases = must_have(sums->base_count, sizeof *sums->bases);
    sums->base_weights = must_have(sums->base_count, sizeof *sums->base_weights);
    sums->totals = must_have(count, sizeof *sums->totals);
    for (size_t i = 0; i < sums->base_count; i++) {
        sums->bases[i] = must_have(count, sizeof *sums->bases[i]);
    }
    for (size_t i = 0; i < count; i++) {
        sums->values[i] = (float)(world_unit() - 0.5);
    }
    begin_optimizer(sums);
    remember(sums);
}

void sums_follow(struct sums *sums, const struct rules *rules) {
    const struct rules_server *old = &sums->rules.server, *fresh = &rules->server;
    bool is_same = strcmp(old->kind, fresh->kind) == 0 && old->is_standard == fresh->is_standard;
    TRIB_ASSERT(sums->update_count == 0);
    TRIB_ASSERT(!has_bases(rules) || sums->base_count == rules->staleness_max + 1);
    sums->rules = *rules;
    sums->shift = rules_shift(rules);
    if (!is_same) {
        begin_optimizer(sums);
    }
}

void sums_end(struct sums *sums) {
    for (size_t i = 0; i < sums->base_count; i++) {
        free(sums->bases[i]);
    }
    free(sums->bases);
    free(sums->base_weights);
    free(sums->values);
    free(sums->first_moments);
    free(sums->second_moments);
    free(sums->totals);
    memset(sums, 0, sizeof *sums);
}

/* rint(weight * x * 2^shift), halves to even: x is a whole number times a power of two. */
static sums_wide term(float x, uint64_t weight, int shift) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 23 & 0xff);
    TRIB_ASSERT(exponent != 0xff); /* not finite: must have been refused */
    uint32_t digits = bits & 0x7fffff;
    if (exponent == 0) {
        exponent = 1;
    } else {
        digits |= 0x800000;
    }
    int places = exponent - 150 + shift; /* |x| * 2^shift = digits * 2^places */
    sums_size size = (sums_size)digits * weight;
    if (places >= 0) {
        size <<= places;
    } else if (places <= -100) {
        size = 0;
    } else {
        sums_size rest = size & (((sums_size)1 << -places) - 1);
        sums_size half = (sums_size)1 << (-places - 1);
        size >>= -places;
        size += rest > half || (rest == half && (size & 1) != 0);
    }
    return bits >> 31 ? -(sums_wide)size : (sums_wide)size;
}

void sums_add(struct sums *sums, const float *deltas, uint64_t base, uint64_t weight) {
    for (size_t i = 0; i < sums_update_count(sums); i++) {
        sums->totals[i] += term(deltas[i], weight, sums->shift);
    }
    sums->weight_total += weight;
    sums->update_count++;
    if (has_bases(&sums->rules)) {
        sums->base_weights[base % sums->base_count] += weight;
    }
}

static double divisor_of(const struct sums *sums) {
    const struct rules *rules = &sums->rules;
    uint64_t most = sums->update_count > rules->goal ? sums->update_count : rules->goal;
    switch (rules->divisor) {
    case RULES_BY_GOAL:
        return ldexp((double)most, rules->unit_bits);
    case RULES_BY_ONE:
        return ldexp(1, rules->unit_bits);
    case RULES_BY_BOTH:
        return (double)sums->weight_total + ldexp(1, rules->unit_bits);
    default:
        return (double)sums->weight_total;
    }
}

/* --- the server optimizers (docs/strategies.md): doubles inside, fp32 between versions ------------ */

/* base^exponent by squaring, as the bias correction is defined. */
static double power(double base, uint64_t exponent) {
    double product = 1;
    for (; exponent > 0; exponent /= 2) {
        product *= exponent % 2 == 1 ? base : 1;
        base *= base;
    }
    return product;
}

static bool is_kind(const struct sums *sums, const char *kind) {
    return strcmp(sums->rules.server.kind, kind) == 0;
}

/* Of the next version. */
static double rate_of(const struct sums *sums) {
    const struct rules_server *server = &sums->rules.server;
    double rate = server->lr;
    if (server->is_standard && server->beta2 > 0) {
        rate *= sqrt(1 - power(server->beta2, sums->steps + 1));
    }
    return server->is_standard ? rate / (1 - power(server->beta1, sums->steps + 1)) : rate;
}

static double second_moment(const struct sums *sums, double v, double square) {
    double rest = 1 - sums->rules.server.beta2;
    if (is_kind(sums, "adagrad")) {
        return v + square;
    }
    if (is_kind(sums, "adam")) {
        return sums->rules.server.beta2 * v + rest * square;
    }
    return v > square ? v - rest * square : v < square ? v + rest * square : v; /* yogi */
}

/* Element i of a.weight. */
static void optimize(struct sums *sums, size_t i, double rate, double mean) {
    const struct rules_server *server = &sums->rules.server;
    double x = (double)sums->values[i], m = (double)sums->first_moments[i], step;
    if (is_kind(sums, "sgd")) {
        step = mean;
    } else if (server->tau == 0) { /* momentum and nesterov have none */
        m = server->momentum * m + mean;
        step = is_kind(sums, "nesterov") ? mean + server->momentum * m : m;
    } else {
        double v = second_moment(sums, (double)sums->second_moments[i], mean * mean);
        m = server->beta1 * m + (1 - server->beta1) * mean;
        sums->values[i] = (float)(x + rate * m / (sqrt(v) + server->tau));
        sums->first_moments[i] = (float)m;
        sums->second_moments[i] = (float)v;
        return;
    }
    sums->values[i] = (float)(x + rate * step);
    sums->first_moments[i] = (float)m;
}

/* What bases add to the mean of element i, the oldest first. */
static double pull(const struct sums *sums, size_t i, double mean, double unit) {
    size_t count = sums->base_count;
    for (size_t age = count; age-- > 0;) {
        size_t place = (size_t)((sums->version + count - age) % count);
        double share = (double)sums->base_weights[place] * unit;
        if (age <= sums->version && sums->base_weights[place] > 0) {
            mean += share * ((double)sums->bases[place][i] - (double)sums->values[i]);
        }
    }
    return mean;
}

void sums_merge(struct sums *sums) {
    const struct rules *rules = &sums->rules;
    double divisor = divisor_of(sums), rate = rate_of(sums);
    double unit = rules->has_models ? 1 / divisor : ldexp(1, -rules->unit_bits);
    TRIB_ASSERT(!rules->is_mixing || sums->update_count == 1);
    for (size_t i = 0; i < sums_update_count(sums); i++) {
        TRIB_ASSERT(sums->totals[i] <= INT64_MAX && sums->totals[i] >= INT64_MIN);
        double mean = ldexp((double)(int64_t)sums->totals[i], -sums->shift) / divisor;
        mean = pull(sums, i, mean, unit);
        if (i < sums->counts[0]) {
            optimize(sums, i, rate, mean);
        } else {
            sums->values[i] = (float)((double)sums->values[i] + mean);
        }
        sums->totals[i] = 0;
    }
    sums->weight_total = sums->update_count = 0;
    memset(sums->base_weights, 0, sums->base_count * sizeof *sums->base_weights);
    sums->version++;
    sums->steps++;
    remember(sums);
}

/* --- safetensors ---------------------------------------------------------------------------------------- */

static void put_head(unsigned char *bytes, const char *head, size_t head_bytes) {
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)((uint64_t)head_bytes >> 8 * i);
    }
    memcpy(bytes + 8, head, head_bytes);
}

unsigned char *sums_version(const struct sums *sums, size_t *byte_count) {
    char head[512];
    size_t at = 0, data = 0;
    for (size_t t = 0; t < SUMS_TENSORS; t++) {
        size_t end = data + sums->counts[t] * sizeof(float);
        at += (size_t)snprintf(
            head + at, sizeof head - at,
            "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%u],\"data_offsets\":[%zu,%zu]}",
            t == 0 ? "{" : ",", names[t], sums->counts[t], data, end);
        data = end;
    }
    head[at++] = '}';
    while ((8 + at) % 64 != 0) {
        head[at++] = ' ';
    }
    *byte_count = 8 + at + data;
    unsigned char *bytes = must_have(*byte_count, 1);
    put_head(bytes, head, at);
    memcpy(bytes + 8 + at, sums->values, data);
    return bytes;
}

float sums_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits &= 0xffff0000;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void put_bf16(unsigned char *target, const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        target[2 * i] = (unsigned char)(bits >> 16);
        target[2 * i + 1] = (unsigned char)(bits >> 24);
    }
}

unsigned char *sums_body(const struct sums *sums, const float *deltas, const char *metadata,
                         bool is_bf16, size_t *byte_count) {
    char head[1024];
    size_t means = sums->counts[1] * sizeof(float);
    size_t weights = sums->counts[0] * (is_bf16 ? 2 : sizeof(float));
    /* The second tensor lies first: order is the client's choice. */
    int count = snprintf(
        head, sizeof head,
        "{%s%s%s\"%s\": {\"dtype\": \"F32\", \"shape\": [%u], \"data_offsets\": [0, %zu]}, "
        "\"%s\": {\"dtype\": \"%s\", \"shape\": [%u], \"data_offsets\": [%zu, %zu]}}",
        metadata == NULL ? "" : "\"__metadata__\": ", metadata == NULL ? "" : metadata,
        metadata == NULL ? "" : ", ", names[1], sums->counts[1], means, names[0],
        is_bf16 ? "BF16" : "F32", sums->counts[0], means, means + weights);
    TRIB_ASSERT(count > 0 && (size_t)count < sizeof head - 8);
    size_t head_bytes = (size_t)count;
    while ((8 + head_bytes) % 8 != 0) {
        head[head_bytes++] = ' ';
    }
    *byte_count = 8 + head_bytes + means + weights;
    unsigned char *bytes = must_have(*byte_count, 1);
    put_head(bytes, head, head_bytes);
    unsigned char *data = bytes + 8 + head_bytes;
    memcpy(data, deltas + sums->counts[0], means);
    if (is_bf16) {
        put_bf16(data + means, deltas, sums->counts[0]);
    } else {
        memcpy(data + means, deltas, weights);
    }
    return bytes;
}
