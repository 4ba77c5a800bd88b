/* settings.c - from the settings that come with a task to those of a trainer.
 *
 * The daemon has checked its spec, but who knows which daemon: ranges are looked at again. */
#include "train/settings.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/random.h"
#include "train/rule.h"

#define EPOCHS_MAX 1e6 /* as the spec allows */
#define LARGE 1e9

struct numbers {
    double epochs, steps, batch, lr, lr_decay, mu;
    double momentum, beta1, beta2, epsilon, weight_decay, clip;
    double beta, option, lambda, rho, alpha;
};

static const struct {
    const char *name;
    size_t offset;
    double fallback, least, most;
} fields[] = {
#define FIELD(name, fallback, least, most) \
    { #name, offsetof(struct numbers, name), (fallback), (least), (most) }
    FIELD(epochs, 1, 0, EPOCHS_MAX),
    FIELD(steps, 0, 0, LARGE),
    FIELD(batch, 32, 0, LARGE),
    FIELD(lr, 0.1, 0, LARGE),
    FIELD(lr_decay, 1, 0, 1),
    FIELD(mu, 0, 0, LARGE),
    FIELD(momentum, 0.9, 0, 1),
    FIELD(beta1, 0.9, 0, 1),
    FIELD(beta2, 0.999, 0, 1),
    FIELD(epsilon, 1e-8, 0, 1),
    FIELD(weight_decay, 0, 0, LARGE),
    FIELD(clip, 0, 0, LARGE),
    FIELD(beta, 0.1, 0, 1),
    FIELD(option, 2, 1, 2),
    FIELD(lambda, 10, 0, LARGE),
    FIELD(rho, 0.1, 0, LARGE),
    FIELD(alpha, 1, 0, 1),
#undef FIELD
};
#define FIELD_COUNT (sizeof fields / sizeof fields[0])

static const char *const optimizers[TRIB_STEP_COUNT] = {
    [TRIB_STEP_SGD] = "sgd",
    [TRIB_STEP_MOMENTUM] = "momentum",
    [TRIB_STEP_ADAM] = "adam",
};

/* What is given as a word. */
struct words {
    enum trib_step_kind optimizer;
    enum trib_rule rule;
    bool is_ascent_normalised;
    bool is_until_called;
    bool is_per_step;
};

static double *number_at(struct numbers *numbers, size_t field) {
    return (double *)(void *)((char *)numbers + fields[field].offset);
}

static bool read_optimizer(const struct trib_json *json, struct words *words) {
    for (size_t i = 0; i < TRIB_STEP_COUNT; i++) {
        if (json->kind == TRIB_JSON_STRING && trib_json_is(json, optimizers[i])) {
            words->optimizer = (enum trib_step_kind)i;
            return true;
        }
    }
    return false;
}

static bool read_rule(const struct trib_json *json, struct words *words) {
    char name[16];
    return json->kind == TRIB_JSON_STRING && trib_json_copy_text(json, name, sizeof name) &&
           trib_rule_from_name(name, &words->rule);
}

/* The value of a key, which is the name of a field; false: it is none of those it may be. */
static bool read_number(struct trib_json *json, size_t field, struct numbers *numbers,
                        struct trib_error *error) {
    double value;
    if (trib_json_next(json) == TRIB_JSON_NUMBER && trib_json_f64(json, &value) &&
        value >= fields[field].least && value <= fields[field].most) {
        *number_at(numbers, field) = value;
        return true;
    }
    (void)trib_error_set(error, TRIB_EINVALID, "setting %s: must be a number from %g to %g",
                         fields[field].name, fields[field].least, fields[field].most);
    return false;
}

/* One member: false with error set, or, when the text is no JSON, without. */
static bool read_member(struct trib_json *json, struct numbers *numbers, struct words *words,
                        struct trib_error *error) {
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (trib_json_is(json, fields[i].name)) {
            return read_number(json, i, numbers, error);
        }
    }
    if (trib_json_is(json, "optimizer")) {
        (void)trib_json_next(json);
        return read_optimizer(json, words) ||
               trib_error_set(error, TRIB_EINVALID,
                              "setting optimizer: must be sgd, momentum or adam") == TRIB_OK;
    }
    if (trib_json_is(json, "rule")) {
        (void)trib_json_next(json);
        return read_rule(json, words) ||
               trib_error_set(error, TRIB_EINVALID,
                              "setting rule: must be plain, fedcm, scaffold, scaffold_m or "
                              "fedspeed; an older program does not know newer ones") == TRIB_OK;
    }
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"normalise_ascent", &words->is_ascent_normalised},
                 {"until_called", &words->is_until_called},
                 {"per_step", &words->is_per_step}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (trib_json_is(json, flags[i].name)) {
            *flags[i].flag = trib_json_next(json) == TRIB_JSON_TRUE;
            return !json->is_failed;
        }
    }
    return trib_json_skip(json);
}

static enum trib_status read_object(const char *text, struct numbers *numbers, struct words *words,
                                    struct trib_error *error) {
    struct trib_json json;
    struct trib_error reason = {0};
    trib_json_init(&json, text, strlen(text));
    bool is_good = trib_json_next(&json) == TRIB_JSON_OBJECT;
    while (is_good && trib_json_next(&json) == TRIB_JSON_KEY) {
        is_good = read_member(&json, numbers, words, &reason);
    }
    if (is_good && json.kind == TRIB_JSON_OBJECT_END) {
        return TRIB_OK;
    }
    return trib_error_set(error, TRIB_EINVALID, "%s",
                          reason.text[0] != '\0' ? reason.text : "settings are no JSON object");
}

enum trib_status trib_train_settings_read(const char *json, const struct trib_train_who *who,
                                          struct trib_train_settings *settings,
                                          struct trib_error *error) {
    struct numbers numbers;
    struct words words = {0};
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        *number_at(&numbers, i) = fields[i].fallback;
    }
    const enum trib_status status =
        read_object(json == NULL ? "{}" : json, &numbers, &words, error);
    if (status != TRIB_OK) {
        return status;
    }
    if (words.rule != TRIB_RULE_PLAIN && (words.is_until_called || words.is_per_step)) {
        return trib_error_set(error, TRIB_EINVALID,
                              "setting rule: %s needs all steps and the whole change, so neither "
                              "until_called nor per_step",
                              trib_rule_name(words.rule));
    }
    /* Each client and version shuffles in its own way, whoever else takes part. */
    struct trib_random random;
    trib_random_derive(&random, who->seed, who->client, who->version);
    const bool climbs = words.rule == TRIB_RULE_FEDSPEED;
    *settings = (struct trib_train_settings){
        .epochs = (uint32_t)numbers.epochs,
        .steps = (uint64_t)numbers.steps,
        .batch = (size_t)numbers.batch,
        .lr = numbers.lr * pow(numbers.lr_decay, (double)who->version),
        .mu = numbers.mu,
        .seed = trib_random_u64(&random),
        .optimizer = words.optimizer,
        .momentum = numbers.momentum,
        .beta1 = numbers.beta1,
        .beta2 = numbers.beta2,
        .epsilon = numbers.epsilon,
        .weight_decay = numbers.weight_decay,
        .clip = numbers.clip,
        .rule = words.rule,
        .beta = numbers.beta,
        .scaffold_option = (uint32_t)numbers.option,
        .lambda = numbers.lambda,
        .rho = climbs ? numbers.rho : 0.0,
        .alpha = climbs ? numbers.alpha : 0.0,
        .is_ascent_normalised = words.is_ascent_normalised,
        .is_until_called = words.is_until_called,
        .is_per_step = words.is_per_step,
    };
    return TRIB_OK;
}
