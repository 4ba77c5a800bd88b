/* optimizer.c - the server optimizers by name, their rates, and their state. */
#include "learn/optimizer.h"

#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "learn/optimizer_rules.h"

static const struct {
    const char *name;
    size_t state_count;
    trib_optimizer_rule *apply;
    bool is_corrected_m, is_corrected_v; /* by the standard variant */
} rules[TRIB_OPTIMIZER_COUNT] = {
    [TRIB_OPTIMIZER_SGD] = {"sgd", 0, apply_sgd, false, false},
    [TRIB_OPTIMIZER_MOMENTUM] = {"momentum", 1, apply_momentum, false, false},
    [TRIB_OPTIMIZER_NESTEROV] = {"nesterov", 1, apply_nesterov, false, false},
    [TRIB_OPTIMIZER_ADAGRAD] = {"adagrad", 2, apply_adagrad, true, false},
    [TRIB_OPTIMIZER_ADAM] = {"adam", 2, apply_adam, true, true},
    [TRIB_OPTIMIZER_YOGI] = {"yogi", 2, apply_yogi, true, true},
};

const char *trib_optimizer_name(enum trib_optimizer_kind kind) {
    TRIB_ASSERT(kind < TRIB_OPTIMIZER_COUNT);
    return rules[kind].name;
}

bool trib_optimizer_from_name(const char *name, enum trib_optimizer_kind *kind) {
    for (size_t i = 0; i < TRIB_OPTIMIZER_COUNT; i++) {
        if (strcmp(rules[i].name, name) == 0) {
            *kind = (enum trib_optimizer_kind)i;
            return true;
        }
    }
    return false;
}

size_t trib_optimizer_state_count(const struct trib_optimizer *optimizer) {
    return rules[optimizer->kind].state_count;
}

/* base^exponent by squaring, lowest bit first. pow() would differ between C libraries. */
static double power(double base, uint64_t exponent) {
    double product = 1;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1) {
            product *= base;
        }
        base *= base;
    }
    return product;
}

double trib_optimizer_rate(const struct trib_optimizer *optimizer, uint64_t step) {
    TRIB_ASSERT(step >= 1);
    double rate = optimizer->lr;
    if (optimizer->variant == TRIB_VARIANT_STANDARD && rules[optimizer->kind].is_corrected_v) {
        rate *= sqrt(1 - power(optimizer->beta2, step));
    }
    if (optimizer->variant == TRIB_VARIANT_STANDARD && rules[optimizer->kind].is_corrected_m) {
        rate /= 1 - power(optimizer->beta1, step);
    }
    return rate;
}

double trib_optimizer_first_v(const struct trib_optimizer *optimizer) {
    return optimizer->variant == TRIB_VARIANT_PAPER ? optimizer->tau * optimizer->tau : 0;
}

void trib_optimizer_apply(const struct trib_optimizer *optimizer, uint64_t step, double mean,
                          struct trib_optimizer_element *element) {
    rules[optimizer->kind].apply(optimizer, trib_optimizer_rate(optimizer, step), mean, element);
}

/* The loops of optimizer_span.c, built for each instruction set. */
trib_optimizer_span_function trib_optimizer_span_scalar;
#if defined(__x86_64__)
trib_optimizer_span_function trib_optimizer_span_avx2, trib_optimizer_span_avx512;
#elif defined(__aarch64__)
trib_optimizer_span_function trib_optimizer_span_neon;
#endif

static const struct {
    const char *tier;
    trib_optimizer_span_function *apply;
} spans[] = {
    {"scalar", trib_optimizer_span_scalar},
#if defined(__x86_64__)
    {"avx2", trib_optimizer_span_avx2},
    {"avx512", trib_optimizer_span_avx512},
#elif defined(__aarch64__)
    {"neon", trib_optimizer_span_neon},
#endif
};

bool trib_optimizer_apply_span(const struct trib_optimizer *optimizer,
                               const struct trib_kernels *kernels, double rate,
                               const struct trib_optimizer_span *span) {
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        if (strcmp(spans[i].tier, kernels->name) == 0) {
            return spans[i].apply(optimizer, rate, span);
        }
    }
    return trib_optimizer_span_scalar(optimizer, rate, span);
}

void trib_optimizer_state_begin(struct trib_optimizer_state *state,
                                const struct trib_optimizer *optimizer,
                                const struct trib_layout *layout) {
    uint64_t train_count = 0;
    for (size_t i = 0; i < layout->tensor_count; i++) {
        if (layout->tensors[i].role == TRIB_ROLE_TRAIN) {
            train_count += layout->tensors[i].element_count;
        }
    }
    *state = (struct trib_optimizer_state){
        .vector_count = trib_optimizer_state_count(optimizer),
        .train_element_count = train_count,
    };
}

void trib_optimizer_state_fill(const struct trib_optimizer *optimizer, size_t which, float *vector,
                               uint64_t count) {
    const float first = which == 1 ? (float)trib_optimizer_first_v(optimizer) : 0;
    for (uint64_t i = 0; i < count; i++) {
        vector[i] = first;
    }
}

enum trib_status trib_optimizer_state_init(struct trib_optimizer_state *state,
                                           const struct trib_env *env,
                                           const struct trib_optimizer *optimizer,
                                           const struct trib_layout *layout) {
    trib_optimizer_state_begin(state, optimizer, layout);
    const uint64_t count = state->train_element_count;
    state->held_count = count;
    if (state->vector_count == 0) {
        return TRIB_OK;
    }
    size_t byte_count = 0;
    if (count <= SIZE_MAX &&
        trib_count_to_bytes((size_t)count, state->vector_count * sizeof(float), &byte_count)) {
        state->vectors = trib_block_new(env, byte_count);
    }
    if (state->vectors == NULL) {
        *state = (struct trib_optimizer_state){0};
        return TRIB_EMEMORY;
    }
    for (size_t which = 0; which < state->vector_count; which++) {
        trib_optimizer_state_fill(optimizer, which, (float *)state->vectors->bytes + which * count,
                                  count);
    }
    return TRIB_OK;
}

void trib_optimizer_state_deinit(struct trib_optimizer_state *state) {
    trib_block_unref(state->vectors);
    *state = (struct trib_optimizer_state){0};
}

/* u32 magic | u32 group slots | u64 train elements | u64 bytes of vectors | u64 steps per group
 * slot | vectors, fp32. Little-endian, like the tensors that the kernels read. */
#define STATE_MAGIC 0x31534f54u /* "TOS1" */

static uint64_t vectors_bytes(const struct trib_optimizer_state *state) {
    return state->vector_count * state->train_element_count * sizeof(float);
}

/* Two pieces of memory that are read as one. */
static enum trib_status read_encoded(void *context, uint64_t offset, void *bytes, size_t count) {
    const struct trib_optimizer_encoded *encoded = context;
    unsigned char *target = bytes;
    if (offset < TRIB_OPTIMIZER_HEAD_BYTES) {
        size_t left = TRIB_OPTIMIZER_HEAD_BYTES - (size_t)offset;
        size_t of_head = count < left ? count : left;
        memcpy(target, encoded->head + offset, of_head);
        target += of_head;
        offset += of_head;
        count -= of_head;
    }
    if (count > 0) {
        memcpy(target, encoded->state->vectors->bytes + (offset - TRIB_OPTIMIZER_HEAD_BYTES),
               count);
    }
    return TRIB_OK;
}

void trib_optimizer_state_encode(const struct trib_optimizer_state *state,
                                 struct trib_optimizer_encoded *encoded) {
    struct trib_writer writer;
    trib_writer_init(&writer, encoded->head, sizeof encoded->head);
    trib_put_u32(&writer, STATE_MAGIC);
    trib_put_u32(&writer, TRIB_GROUPS_MAX);
    trib_put_u64(&writer, state->train_element_count);
    trib_put_u64(&writer, vectors_bytes(state));
    for (size_t group = 0; group < TRIB_GROUPS_MAX; group++) {
        trib_put_u64(&writer, state->steps[group]);
    }
    TRIB_ASSERT(!writer.is_failed && writer.byte_count == sizeof encoded->head);
    encoded->state = state;
    encoded->source = (struct trib_source){
        .context = encoded,
        .byte_count = sizeof encoded->head + vectors_bytes(state),
        .read = read_encoded,
    };
}

static bool is_all_finite(const unsigned char *bytes, size_t byte_count) {
    bool is_finite = true;
    for (size_t i = 0; i < byte_count; i += sizeof(float)) {
        float value;
        memcpy(&value, bytes + i, sizeof value);
        is_finite &= isfinite(value) != 0;
    }
    return is_finite;
}

enum trib_status trib_optimizer_state_decode_head(
    struct trib_optimizer_state *state, const unsigned char head[TRIB_OPTIMIZER_HEAD_BYTES]) {
    struct trib_reader reader;
    trib_reader_init(&reader, head, TRIB_OPTIMIZER_HEAD_BYTES);
    bool fits = trib_get_u32(&reader) == STATE_MAGIC;
    fits &= trib_get_u32(&reader) == TRIB_GROUPS_MAX;
    fits &= trib_get_u64(&reader) == state->train_element_count;
    fits &= trib_get_u64(&reader) == vectors_bytes(state);
    uint64_t steps[TRIB_GROUPS_MAX];
    for (size_t group = 0; group < TRIB_GROUPS_MAX; group++) {
        steps[group] = trib_get_u64(&reader);
    }
    if (reader.is_failed || !fits) {
        return TRIB_ECORRUPT;
    }
    memcpy(state->steps, steps, sizeof steps);
    return TRIB_OK;
}

enum trib_status trib_optimizer_state_decode(struct trib_optimizer_state *state, const void *bytes,
                                             size_t byte_count) {
    if (byte_count != TRIB_OPTIMIZER_HEAD_BYTES + vectors_bytes(state)) {
        return TRIB_ECORRUPT;
    }
    const unsigned char *vectors = (const unsigned char *)bytes + TRIB_OPTIMIZER_HEAD_BYTES;
    if (!is_all_finite(vectors, byte_count - TRIB_OPTIMIZER_HEAD_BYTES)) {
        return TRIB_ECORRUPT;
    }
    enum trib_status status = trib_optimizer_state_decode_head(state, bytes);
    if (status == TRIB_OK && state->vectors != NULL) {
        memcpy(state->vectors->bytes, vectors, state->vectors->byte_count);
    }
    return status;
}
