/* spec_parse.c - a JSON document -> a spec, along the rows of spec_table.c.
 *
 * A field that is missing is read from its default by the same code as one that is there. The
 * functions that call each other descend along the table, four levels at most, never along the
 * input. */
#include <math.h>
#include <string.h>

#include "base/words.h"
#include "run/spec_fit.h"
#include "run/spec_table.h"
#include "run/strategy.h"

#define SETTING_TEXT_BYTES_MAX 256
#define SHOWN_BYTES_MAX 32 /* of a text that an error quotes */

struct reading {
    struct trib_spec *spec;
    struct trib_error *error;
    const struct trib_strategy *strategy; /* the preset, once it was read */
    const json_t
        *given;  /* of a change: what was asked for; the rest is as before. NULL: all of it */
    size_t item; /* of model.tensors or sites, for error texts */
};

static enum trib_status read_object(struct reading *reading, const struct trib_field *parent,
                                    const json_t *object, void *base);

/* --- errors --------------------------------------------------------------------------------- */

/* Put the field's path in front of the error: "model.tensors[3].role: ...". */
static enum trib_status at(struct reading *reading, const struct trib_field *field,
                           enum trib_status status) {
    const char *bracket = strchr(field->path, '[');
    if (!bracket)
        return trib_error_prefix(reading->error, status, "%s", field->path);
    return trib_error_prefix(reading->error, status, "%.*s[%zu]%s", (int)(bracket - field->path),
                             field->path, reading->item, bracket + 2);
}

/* The candidate that is nearest to what was written, if any is near. */
struct guess {
    const char *written;
    const char *best;
    size_t distance;
};

static struct guess guess_begin(const char *written) {
    return (struct guess){written, NULL, strlen(written) / 3 + 2};
}

static void guess_consider(struct guess *guess, const char *candidate) {
    size_t distance = trib_text_distance(guess->written, candidate);
    if (distance < guess->distance) {
        guess->best = candidate;
        guess->distance = distance;
    }
}

static void describe(const json_t *value, struct trib_text *text) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        trib_text_format(text, "an object");
        break;
    case JSON_ARRAY:
        trib_text_format(text, "a list");
        break;
    case JSON_STRING: {
        const char *string = json_string_value(value);
        size_t shown = strnlen(string, SHOWN_BYTES_MAX);
        while (shown > 0 && (string[shown] & 0xC0) == 0x80) /* not inside a UTF-8 sequence */
            shown--;
        trib_text_format(text, "\"%.*s%s\"", (int)shown, string, string[shown] ? "..." : "");
        break;
    }
    case JSON_INTEGER:
        trib_text_format(text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        trib_text_format(text, "%.15g", json_real_value(value));
        break;
    case JSON_TRUE:
        trib_text_format(text, "true");
        break;
    case JSON_FALSE:
        trib_text_format(text, "false");
        break;
    case JSON_NULL:
        trib_text_format(text, "null");
        break;
    }
}

/* "strategy.short: must be one of wait, go, pause, not "wiat"; did you mean wait?"
 * Presets are too many to be listed in a sentence. */
static enum trib_status refuse(struct reading *reading, const struct trib_field *field,
                               const json_t *value) {
    struct trib_text text;
    trib_text_init(&text, reading->spec->env);
    bool is_preset = field->kind == TRIB_FIELD_PRESET;
    trib_text_format(&text, "must be ");
    if (is_preset)
        trib_text_format(&text, "a preset that `trib help spec` lists");
    else
        trib_field_expect(field, &text);
    trib_text_format(&text, ", not ");
    describe(value, &text);
    bool has_choices = field->choices || is_preset;
    if (has_choices && json_is_string(value)) {
        struct guess guess = guess_begin(json_string_value(value));
        const char *choice;
        for (size_t index = 0; (choice = trib_field_choice(field, index)); index++)
            guess_consider(&guess, choice);
        if (guess.best && guess.distance > 0) /* 0: the right word where a list belongs */
            trib_text_format(&text, "; did you mean %s?", guess.best);
    }
    enum trib_status status = text.is_failed
                                  ? trib_error_set(reading->error, TRIB_EMEMORY, "out of memory")
                                  : trib_error_set(reading->error, TRIB_EINVALID, "%s", text.bytes);
    trib_text_deinit(&text);
    return at(reading, field, status);
}

/* A key without a row. A field of that name elsewhere is the next best guess. */
static enum trib_status refuse_key(struct reading *reading, const struct trib_field *parent,
                                   const char *key) {
    struct guess guess = guess_begin(key);
    const char *elsewhere = NULL;
    const struct trib_field *field;
    for (size_t index = 0; (field = trib_field_at(index)); index++) {
        if (trib_field_is_child(parent, field))
            guess_consider(&guess, trib_field_key(field));
        else if (!elsewhere && strcmp(trib_field_key(field), key) == 0)
            elsewhere = field->path;
    }
    const char *best = elsewhere && guess.distance > 1 ? elsewhere : guess.best;
    enum trib_status status =
        trib_error_set(reading->error, TRIB_EINVALID, "%.64s: unknown field%s%s%s", key,
                       best ? "; did you mean " : "", best ? best : "", best ? "?" : "");
    if (!parent)
        return status;
    /* The path goes on with the key, so "." and not ": " joins them. */
    if (parent->kind == TRIB_FIELD_RULES || parent->kind == TRIB_FIELD_SITES)
        return trib_error_set(reading->error, status, "%s[%zu].%s", parent->path, reading->item,
                              reading->error ? reading->error->text : "");
    return trib_error_set(reading->error, status, "%s.%s", parent->path,
                          reading->error ? reading->error->text : "");
}

static enum trib_status out_of_memory(struct reading *reading) {
    return trib_error_set(reading->error, TRIB_EMEMORY, "out of memory");
}

/* --- scalars -------------------------------------------------------------------------------- */

static void store_number(const struct trib_field *field, void *base, uint64_t number) {
    uint8_t small = (uint8_t)number;
    uint32_t medium = (uint32_t)number;
    if (field->bytes == 0) /* a setting of `train`, kept as text */
        return;
    unsigned char *member = (unsigned char *)base + field->offset;
    if (field->bytes == sizeof small)
        memcpy(member, &small, sizeof small);
    else if (field->bytes == sizeof medium)
        memcpy(member, &medium, sizeof medium);
    else
        memcpy(member, &number, sizeof number);
}

static void store_text(const struct trib_field *field, void *base, const char *text) {
    size_t byte_count = strlen(text);
    TRIB_ASSERT(byte_count < field->bytes);
    memcpy((char *)base + field->offset, text, byte_count + 1);
}

static bool is_in_range(const struct trib_field *field, double number) {
    return (field->is_above ? number > field->least : number >= field->least) &&
           (field->is_below ? number < field->most : number <= field->most);
}

/* 3 and 3.0 are the same number: some writers know no integers. */
static bool read_whole(const json_t *value, const struct trib_field *field, uint64_t *number) {
    double real = json_number_value(value);
    if (!json_is_number(value) || !is_in_range(field, real) || real != floor(real))
        return false;
    *number = (uint64_t)real;
    return true;
}

static bool read_real(const struct trib_field *field, const json_t *value, void *base) {
    bool is_none = field->has_null && json_is_null(value);
    double number = is_none ? (double)NAN : json_number_value(value);
    if (!is_none && (!json_is_number(value) || !is_in_range(field, number)))
        return false;
    if (field->bytes > 0)
        memcpy((char *)base + field->offset, &number, sizeof number);
    return true;
}

static bool read_duration(const struct trib_field *field, const json_t *value, void *base) {
    trib_time_ns duration;
    const char *text = json_string_value(value);
    if (text && field->has_auto && strcmp(text, "auto") == 0) {
        duration = TRIB_DURATION_AUTO;
    } else if (text && field->has_none && strcmp(text, "none") == 0) {
        duration = TRIB_TIME_NEVER;
    } else if (text) {
        if (!trib_duration_parse(text, &duration) ||
            !is_in_range(field, (double)duration / (double)TRIB_SECOND))
            return false;
    } else {
        double seconds = json_number_value(value);
        if (!json_is_number(value) || !is_in_range(field, seconds))
            return false;
        duration = (trib_time_ns)llround(seconds * (double)TRIB_SECOND);
    }
    memcpy((char *)base + field->offset, &duration, sizeof duration);
    return true;
}

static bool read_bytes(const struct trib_field *field, const json_t *value, void *base) {
    uint64_t bytes;
    const char *text = json_string_value(value);
    bool is_read = text ? trib_bytes_parse(text, &bytes) && is_in_range(field, (double)bytes)
                        : read_whole(value, field, &bytes);
    if (is_read)
        store_number(field, base, bytes);
    return is_read;
}

static bool find_choice(const struct trib_field *field, const json_t *value, size_t *index) {
    const char *text = json_string_value(value);
    const char *choice;
    for (*index = 0; text && (choice = trib_field_choice(field, *index)); ++*index) {
        if (strcmp(choice, text) == 0)
            return true;
    }
    return false;
}

static bool read_choice(const struct trib_field *field, const json_t *value, void *base) {
    size_t index;
    if (!find_choice(field, value, &index))
        return false;
    if (field->bytes > sizeof(uint64_t))
        store_text(field, base, field->choices[index]);
    else
        store_number(field, base, index);
    return true;
}

static bool read_name(const struct trib_field *field, const json_t *value, void *base) {
    size_t byte_count = json_string_length(value);
    if (!json_is_string(value) || byte_count >= field->bytes ||
        !trib_name_is_valid(json_string_value(value), byte_count))
        return false;
    store_text(field, base, json_string_value(value));
    return true;
}

static bool is_plain_text(const json_t *value, size_t bytes_max) {
    const char *text = json_string_value(value);
    size_t byte_count = json_string_length(value);
    if (!text || byte_count > bytes_max)
        return false;
    for (size_t index = 0; index < byte_count; index++) {
        if ((unsigned char)text[index] < 0x20 || text[index] == 0x7F)
            return false;
    }
    return true;
}

static bool read_text(const struct trib_field *field, const json_t *value, void *base) {
    if (!is_plain_text(value, field->bytes - 1) || (double)json_string_length(value) < field->least)
        return false;
    store_text(field, base, json_string_value(value));
    return true;
}

static bool read_version(const struct trib_field *field, const json_t *value, void *base) {
    char digits[24];
    const char *text = json_string_value(value);
    if (text && strcmp(text, "latest") != 0 && strcmp(text, "best") != 0) {
        size_t byte_count = strspn(text, "0123456789");
        if (byte_count == 0 || byte_count > 15 || text[byte_count])
            return false;
    }
    if (!text) {
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return false;
        uint64_t number = (uint64_t)json_integer_value(value);
        char *next = digits + sizeof digits;
        *--next = '\0';
        do {
            *--next = (char)('0' + number % 10);
        } while (number /= 10);
        text = next;
    }
    store_text(field, base, text);
    return true;
}

/* --- rows with a shape of their own --------------------------------------------------------- */

static bool read_preset(struct reading *reading, const struct trib_field *field,
                        const json_t *value) {
    const struct trib_strategy *preset =
        json_is_string(value) ? trib_strategy_find(json_string_value(value)) : NULL;
    if (!preset)
        return false;
    struct trib_spec_strategy *strategy = &reading->spec->strategy;
    store_text(field, reading->spec, preset->name);
    const struct trib_pace *pace = preset->pace;
    strategy->tempo = pace->tempo;
    strategy->policy = pace->policy;
    strategy->deadline = pace->deadline;
    strategy->fraction = pace->fraction;
    strategy->goal = pace->goal;
    strategy->alpha = pace->alpha;
    strategy->backs_up = pace->backs_up;
    strategy->staleness_max = pace->staleness_max;
    strategy->staleness = pace->staleness;
    strategy->weights = pace->weights;
    strategy->weight_max = pace->weight_max > 0 ? pace->weight_max : TRIB_WEIGHT_MAX_USUAL;
    trib_words(strategy->weight_attribute, sizeof strategy->weight_attribute, "%s",
               pace->weight_attribute ? pace->weight_attribute : "");
    strategy->divide = pace->divide;
    strategy->weight_total_max = 1; /* where it is no field: one update is a version */
    strategy->optimizer = *preset->optimizer;
    strategy->companions = preset->companions;
    reading->strategy = preset;
    return true;
}

static bool read_optimizer(struct reading *reading, const struct trib_field *field,
                           const json_t *value) {
    size_t index;
    if (!find_choice(field, value, &index))
        return false;
    enum trib_optimizer_kind kind = (enum trib_optimizer_kind)index;
    /* Another kind than the preset's: the preset's numbers mean nothing to it. */
    if (kind != reading->spec->strategy.optimizer.kind)
        reading->spec->strategy.optimizer = *trib_optimizer_usual(kind);
    return true;
}

static enum trib_status read_init(struct reading *reading, const struct trib_field *field,
                                  const json_t *value) {
    struct trib_spec_model *model = &reading->spec->model;
    size_t index;
    if (find_choice(field, value, &index)) {
        model->init = (enum trib_init_kind)index;
        return TRIB_OK;
    }
    if (json_object_get(value, "trainer"))
        model->init = TRIB_INIT_TRAINER;
    else if (json_object_get(value, "run"))
        model->init = TRIB_INIT_RUN;
    else if (json_object_get(value, "zeros"))
        model->init = TRIB_INIT_ZEROS;
    else
        return refuse(reading, field, value);
    return read_object(reading, field, value, reading->spec);
}

static bool read_widths(struct reading *reading, const struct trib_field *field,
                        const json_t *value) {
    struct trib_spec_model *model = &reading->spec->model;
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count > TRIB_HIDDEN_LAYERS_MAX)
        return false;
    for (size_t index = 0; index < count; index++) {
        uint64_t width;
        if (!read_whole(json_array_get(value, index), field, &width))
            return false;
        model->hidden[index] = (uint32_t)width;
    }
    model->hidden_count = (uint32_t)count;
    return true;
}

/* One tensor; *left: elements that there may still be. */
static bool read_shape(const struct trib_field *field, const char *name, const json_t *shape,
                       struct trib_zeros *zeros, uint64_t *left) {
    size_t byte_count = strlen(name);
    uint64_t elements = 1;
    if (!trib_name_is_valid(name, byte_count) || !json_is_array(shape) ||
        json_array_size(shape) > TRIB_RANK_MAX)
        return false;
    memcpy(zeros->name, name, byte_count + 1);
    zeros->rank = (uint32_t)json_array_size(shape);
    for (uint32_t axis = 0; axis < zeros->rank; axis++) {
        uint64_t width;
        if (!read_whole(json_array_get(shape, axis), field, &width) || width > UINT32_MAX ||
            width > *left / elements)
            return false;
        elements *= width;
        zeros->shape[axis] = (uint32_t)width;
    }
    bool fits = elements <= *left;
    *left -= fits ? elements : 0;
    return fits;
}

static enum trib_status read_zeros(struct reading *reading, const struct trib_field *field,
                                   const json_t *value) {
    struct trib_spec_model *model = &reading->spec->model;
    size_t count = json_object_size(value);
    if (!json_is_object(value) || count == 0 || count > TRIB_ZEROS_MAX)
        return refuse(reading, field, value);
    model->zeros = trib_allocate(reading->spec->env, count, sizeof *model->zeros);
    if (!model->zeros)
        return out_of_memory(reading);
    model->zeros_count = (uint32_t)count;
    uint64_t left = TRIB_ZEROS_ELEMENTS_MAX;
    struct trib_zeros *next = model->zeros;
    const char *name;
    json_t *shape;
    json_object_foreach((json_t *)value, name, shape) {
        if (!read_shape(field, name, shape, next++, &left))
            return refuse(reading, field, value);
    }
    return TRIB_OK;
}

static bool read_places(struct reading *reading, const struct trib_field *field,
                        const json_t *value) {
    bool is_on[2] = {false, false};
    if (!json_is_array(value))
        return false;
    for (size_t index = 0; index < json_array_size(value); index++) {
        size_t place;
        if (!find_choice(field, json_array_get(value, index), &place) || is_on[place])
            return false;
        is_on[place] = true;
    }
    reading->spec->evaluate.on_clients = is_on[0];
    reading->spec->evaluate.on_evaluators = is_on[1];
    return true;
}

static enum trib_status read_rules(struct reading *reading, const struct trib_field *field,
                                   const json_t *value) {
    struct trib_spec_model *model = &reading->spec->model;
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count > TRIB_ROLE_RULES_MAX)
        return refuse(reading, field, value);
    for (size_t index = 0; index < count; index++) {
        const json_t *item = json_array_get(value, index);
        struct trib_role_rule *rule = &model->rules[index];
        reading->item = index;
        if (!json_is_object(item))
            return refuse(reading, field, item);
        rule->has_role = json_object_get(item, "role") != NULL;
        enum trib_status status = read_object(reading, field, item, rule);
        if (status != TRIB_OK)
            return status;
    }
    model->rule_count = count;
    return TRIB_OK;
}

/* --- train ---------------------------------------------------------------------------------- */

static enum trib_status read_value(struct reading *reading, const struct trib_field *field,
                                   const json_t *value, void *base);

static enum trib_status check_setting(struct reading *reading, const struct trib_field *train,
                                      const char *name, const json_t *value) {
    if (!trib_name_is_valid(name, strlen(name)))
        return at(reading, train,
                  trib_error_set(reading->error, TRIB_EINVALID,
                                 "\"%.64s\" is not a name of 1 to 64 characters A-Z a-z 0-9 . _ -",
                                 name));
    const struct trib_field *known = trib_field_find(train, name);
    if (known)
        return read_value(reading, known, value, NULL);
    if (is_plain_text(value, SETTING_TEXT_BYTES_MAX) || json_is_number(value) ||
        json_is_boolean(value))
        return TRIB_OK;
    return trib_error_set(reading->error, TRIB_EINVALID,
                          "train.%s: must be a number, true, false or a text of at most %d bytes",
                          name, SETTING_TEXT_BYTES_MAX);
}

/* Presets whose pace is their definition (FedSGD) take no other. */
static enum trib_status check_pace(struct reading *reading, const json_t *given,
                                   const json_t *preset) {
    static const char *const names[] = {"epochs", "steps", "batch"};
    for (size_t index = 0; index < sizeof names / sizeof *names; index++) {
        const json_t *value = json_object_get(given, names[index]);
        const json_t *fixed = json_object_get(preset, names[index]);
        if (value && !(fixed && json_number_value(value) == json_number_value(fixed)))
            return trib_error_set(reading->error, TRIB_EINVALID,
                                  "train.%s: preset %s fixes %s; use fedavg for local training",
                                  names[index], reading->strategy->name, reading->strategy->train);
    }
    return TRIB_OK;
}

/* Most rules read what the server keeps for one preset, and their arithmetic is that of plain steps
 * of SGD (train/rule.h). */
static enum trib_status check_rule(struct reading *reading, const json_t *given,
                                   const json_t *preset) {
    static const char *const others[] = {"optimizer", "mu", "weight_decay", "clip"};
    const char *rule = json_string_value(json_object_get(given, "rule"));
    const char *expected = json_string_value(json_object_get(preset, "rule"));
    bool is_free =
        !expected &&
        (!rule || strcmp(rule, "plain") == 0 ||
         (strcmp(rule, "fedspeed") == 0 && reading->strategy->pace->tempo == TRIB_TEMPO_ROUNDS));
    if (rule && !is_free && !(expected && strcmp(rule, expected) == 0))
        return trib_error_set(reading->error, TRIB_EINVALID,
                              "train.rule: %s does not go with preset %s; strategy.preset %s works",
                              rule, reading->strategy->name,
                              strcmp(rule, "plain") == 0 ? "fedavg" : rule);
    for (size_t index = 0; index < sizeof others / sizeof *others; index++) {
        const json_t *value = json_object_get(given, others[index]);
        const char *word = json_string_value(value);
        bool is_plain = !value || (word ? strcmp(word, "sgd") == 0 : json_number_value(value) == 0);
        if (reading->strategy->companions != 0 && !is_plain)
            return trib_error_set(reading->error, TRIB_EINVALID,
                                  "train.%s: preset %s counts on plain steps of SGD; leave it out, "
                                  "or use fedavg",
                                  others[index], reading->strategy->name);
    }
    return TRIB_OK;
}

/* Policies that give each client its own number of steps take none for all. */
static enum trib_status check_assigned(struct reading *reading, const json_t *given) {
    static const char *const names[] = {"epochs", "steps"};
    for (size_t index = 0; index < sizeof names / sizeof *names; index++) {
        if (json_object_get(given, names[index]))
            return trib_error_set(reading->error, TRIB_EINVALID,
                                  "train.%s: preset %s gives each client steps of its own; "
                                  "strategy.steps_min and strategy.steps_max bound them",
                                  names[index], reading->strategy->name);
    }
    return TRIB_OK;
}

static int append(const char *bytes, size_t byte_count, void *text) {
    trib_text_add(text, bytes, byte_count);
    return 0;
}

static enum trib_status keep_settings(struct reading *reading, const json_t *settings,
                                      char **kept) {
    const struct trib_env *env = reading->spec->env;
    struct trib_text text;
    trib_text_init(&text, env);
    if (json_dump_callback(settings, append, &text, JSON_COMPACT) == 0 && !text.is_failed)
        *kept = trib_text_copy(env, text.bytes);
    trib_text_deinit(&text);
    return *kept ? TRIB_OK : out_of_memory(reading);
}

/* Add what is not there yet. Jansson's own functions for this ignore a lack of memory. */
static enum trib_status add_missing(struct reading *reading, json_t *settings,
                                    const json_t *others) {
    const char *name;
    json_t *setting;
    json_object_foreach((json_t *)others, name, setting) {
        if (!json_object_get(settings, name) && json_object_set(settings, name, setting) != 0)
            return out_of_memory(reading);
    }
    return TRIB_OK;
}

/* Of all clients or of some; preset: those that the strategy brings. */
static enum trib_status check_settings(struct reading *reading, const json_t *settings,
                                       const json_t *preset) {
    const struct trib_field *train = trib_field_find(NULL, "train");
    enum trib_status status = TRIB_OK;
    const char *name;
    json_t *setting;
    json_object_foreach((json_t *)settings, name, setting) { /* const is not jansson's way */
        status = check_setting(reading, train, name, setting);
        if (status != TRIB_OK)
            return status;
    }
    if (reading->strategy->is_pace_fixed)
        status = check_pace(reading, settings, preset);
    if (status == TRIB_OK && reading->strategy->pace->tempo == TRIB_TEMPO_GROUPS)
        status = check_assigned(reading, settings);
    if (status == TRIB_OK)
        status = check_rule(reading, settings, preset);
    return status;
}

static enum trib_status read_settings(struct reading *reading, const struct trib_field *field,
                                      const json_t *value) {
    if (!json_is_object(value) || json_object_size(value) > TRIB_TRAIN_SETTINGS_MAX)
        return refuse(reading, field, value);
    json_t *preset = json_loads(reading->strategy->train, 0, NULL);
    json_t *settings = json_object();
    enum trib_status status = preset && settings ? TRIB_OK : out_of_memory(reading);
    if (status == TRIB_OK)
        status = check_settings(reading, value, preset);
    if (status == TRIB_OK)
        status = add_missing(reading, settings, value);
    if (status == TRIB_OK)
        status = add_missing(reading, settings, preset);
    if (status == TRIB_OK && json_object_size(settings) > TRIB_TRAIN_SETTINGS_MAX)
        status = refuse(reading, field, settings);
    if (status == TRIB_OK)
        status = keep_settings(reading, settings, &reading->spec->train);
    json_decref(settings);
    json_decref(preset);
    return status;
}

/* --- attributes ----------------------------------------------------------------------------- */

static bool read_attribute_name(const char *name, char *target) {
    size_t byte_count = strlen(name);
    bool is_name = byte_count < TRIB_ATTRIBUTE_NAME_BYTES && trib_name_is_valid(name, byte_count);
    if (is_name)
        memcpy(target, name, byte_count + 1);
    return is_name;
}

/* One value that is sought, as wire/documents.c reads those that clients have. */
static bool add_match(struct trib_matches *matches, const char *name, const json_t *value) {
    if (matches->count == TRIB_MATCHES_MAX)
        return false;
    struct trib_attribute *match = &matches->items[matches->count++];
    if (!read_attribute_name(name, match->name))
        return false;
    if (is_plain_text(value, TRIB_ATTRIBUTE_TEXT_BYTES - 1)) {
        match->kind = TRIB_ATTRIBUTE_TEXT;
        memcpy(match->text, json_string_value(value), json_string_length(value) + 1);
        return true;
    }
    match->kind = json_is_number(value) ? TRIB_ATTRIBUTE_NUMBER : TRIB_ATTRIBUTE_FLAG;
    match->number = json_is_number(value) ? json_number_value(value) : json_is_true(value);
    return json_is_number(value) || json_is_boolean(value);
}

static bool read_matches(const struct trib_field *field, const json_t *value, void *base) {
    struct trib_matches *matches = (struct trib_matches *)((char *)base + field->offset);
    const char *name;
    json_t *sought;
    if (!json_is_object(value))
        return false;
    json_object_foreach((json_t *)value, name, sought) {
        bool is_list = json_is_array(sought);
        size_t count = is_list ? json_array_size(sought) : 1;
        for (size_t index = 0; index < count; index++) {
            if (!add_match(matches, name, is_list ? json_array_get(sought, index) : sought))
                return false;
        }
        if (count == 0)
            return false;
    }
    return true;
}

static bool read_quotas(struct reading *reading, const struct trib_field *field,
                        const json_t *value) {
    struct trib_spec_select *select = &reading->spec->select;
    const char *name;
    json_t *most;
    if (!json_is_object(value) || json_object_size(value) > TRIB_QUOTAS_MAX)
        return false;
    json_object_foreach((json_t *)value, name, most) {
        struct trib_quota *quota = &select->quotas[select->quota_count++];
        uint64_t number;
        if (!read_attribute_name(name, quota->name) || !read_whole(most, field, &number))
            return false;
        quota->most = (uint32_t)number;
    }
    return true;
}

static enum trib_status read_overrides(struct reading *reading, const struct trib_field *field,
                                       const json_t *value, struct trib_site *site) {
    if (!json_is_object(value) || json_object_size(value) > TRIB_TRAIN_SETTINGS_MAX)
        return refuse(reading, field, value);
    json_t *preset = json_loads(reading->strategy->train, 0, NULL);
    enum trib_status status =
        preset ? check_settings(reading, value, preset) : out_of_memory(reading);
    json_decref(preset);
    if (status != TRIB_OK)
        return trib_error_prefix(reading->error, status, "sites[%zu]", reading->item);
    return keep_settings(reading, value, &site->train);
}

static enum trib_status read_sites(struct reading *reading, const struct trib_field *field,
                                   const json_t *value) {
    struct trib_spec *spec = reading->spec;
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count > TRIB_SITES_MAX)
        return refuse(reading, field, value);
    if (count == 0)
        return TRIB_OK;
    spec->sites = trib_allocate(spec->env, count, sizeof *spec->sites);
    if (!spec->sites)
        return out_of_memory(reading);
    spec->site_count = (uint32_t)count;
    for (size_t index = 0; index < count; index++) {
        const json_t *item = json_array_get(value, index);
        reading->item = index;
        enum trib_status status = json_is_object(item)
                                      ? read_object(reading, field, item, &spec->sites[index])
                                      : refuse(reading, field, item);
        if (status != TRIB_OK)
            return status;
    }
    return TRIB_OK;
}

/* --- rows ----------------------------------------------------------------------------------- */

static bool read_scalar(struct reading *reading, const struct trib_field *field,
                        const json_t *value, void *base) {
    switch (field->kind) {
    case TRIB_FIELD_NAME:
        return read_name(field, value, base);
    case TRIB_FIELD_TEXT:
        return read_text(field, value, base);
    case TRIB_FIELD_INTEGER: {
        uint64_t number;
        if (!read_whole(value, field, &number))
            return false;
        store_number(field, base, number);
        return true;
    }
    case TRIB_FIELD_REAL:
        return read_real(field, value, base);
    case TRIB_FIELD_FLAG:
        if (json_is_boolean(value))
            store_number(field, base, json_is_true(value));
        return json_is_boolean(value);
    case TRIB_FIELD_CHOICE:
        return read_choice(field, value, base);
    case TRIB_FIELD_DURATION:
        return read_duration(field, value, base);
    case TRIB_FIELD_BYTES:
        return read_bytes(field, value, base);
    case TRIB_FIELD_PRESET:
        return read_preset(reading, field, value);
    case TRIB_FIELD_OPTIMIZER:
        return read_optimizer(reading, field, value);
    case TRIB_FIELD_WIDTHS:
        return read_widths(reading, field, value);
    case TRIB_FIELD_VERSION:
        return read_version(field, value, base);
    case TRIB_FIELD_PLACES:
        return read_places(reading, field, value);
    case TRIB_FIELD_MATCHES:
        return read_matches(field, value, base);
    case TRIB_FIELD_QUOTAS:
        return read_quotas(reading, field, value);
    default:
        TRIB_ASSERT(!"a row that read_value() handles");
        return false;
    }
}

static enum trib_status read_value(struct reading *reading, const struct trib_field *field,
                                   const json_t *value, void *base) {
    switch (field->kind) {
    case TRIB_FIELD_INIT:
        return read_init(reading, field, value);
    case TRIB_FIELD_ZEROS:
        return read_zeros(reading, field, value);
    case TRIB_FIELD_RULES:
        return read_rules(reading, field, value);
    case TRIB_FIELD_SETTINGS:
        return read_settings(reading, field, value);
    case TRIB_FIELD_SITES:
        return read_sites(reading, field, value);
    case TRIB_FIELD_OVERRIDES:
        return read_overrides(reading, field, value, base);
    case TRIB_FIELD_OBJECT:
        return json_is_object(value) ? read_object(reading, field, value, base)
                                     : refuse(reading, field, value);
    default:
        return read_scalar(reading, field, value, base) ? TRIB_OK : refuse(reading, field, value);
    }
}

static enum trib_status read_default(struct reading *reading, const struct trib_field *field,
                                     void *base) {
    if (field->is_required)
        return at(reading, field,
                  trib_error_set(reading->error, TRIB_EINVALID, "required: %s", field->meaning));
    if (field->kind == TRIB_FIELD_OBJECT)
        return read_object(reading, field, NULL, base);
    if (!field->initial)
        return TRIB_OK;
    json_t *initial = json_loads(field->initial, JSON_DECODE_ANY, NULL);
    if (!initial)
        return out_of_memory(reading);
    enum trib_status status = read_value(reading, field, initial, base);
    json_decref(initial);
    return status;
}

static bool is_given(const json_t *given, const struct trib_field *field) {
    char component[32];
    const char *path = field->path, *dot;
    for (; (dot = strchr(path, '.')); path = dot + 1) {
        size_t byte_count = (size_t)(dot - path);
        TRIB_ASSERT(byte_count < sizeof component);
        memcpy(component, path, byte_count);
        component[byte_count] = '\0';
        given = json_object_get(given, component);
    }
    return json_object_get(given, path) != NULL;
}

static enum trib_status read_member(struct reading *reading, const struct trib_field *field,
                                    const json_t *value, void *base) {
    /* What was there before a change goes when it means nothing any more. */
    if (reading->given && !trib_field_applies(field, base) && !is_given(reading->given, field))
        return TRIB_OK;
    if (trib_field_applies(field, base))
        return value ? read_value(reading, field, value, base) : read_default(reading, field, base);
    if (!value)
        return TRIB_OK;
    return at(reading, field,
              trib_error_set(reading->error, TRIB_EINVALID, "only with %s", field->applies));
}

/* object NULL: every default. */
static enum trib_status read_object(struct reading *reading, const struct trib_field *parent,
                                    const json_t *object, void *base) {
    void *iterator = json_object_iter((json_t *)object);
    for (; iterator; iterator = json_object_iter_next((json_t *)object, iterator)) {
        if (!trib_field_find(parent, json_object_iter_key(iterator)))
            return refuse_key(reading, parent, json_object_iter_key(iterator));
    }
    enum trib_status status = TRIB_OK;
    const struct trib_field *field;
    for (size_t index = 0; status == TRIB_OK && (field = trib_field_at(index)); index++) {
        if (trib_field_is_child(parent, field))
            status =
                read_member(reading, field, json_object_get(object, trib_field_key(field)), base);
    }
    return status;
}

enum trib_status trib_spec_parse(const struct trib_env *env, const json_t *document,
                                 struct trib_spec **spec, struct trib_error *error) {
    return trib_spec_parse_merged(env, document, NULL, spec, error);
}

enum trib_status trib_spec_parse_merged(const struct trib_env *env, const json_t *document,
                                        const json_t *given, struct trib_spec **spec,
                                        struct trib_error *error) {
    *spec = NULL;
    if (!json_is_object(document))
        return trib_error_set(error, TRIB_EINVALID, "a spec must be an object");
    struct trib_spec *fresh = trib_allocate(env, 1, sizeof *fresh);
    if (!fresh)
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    fresh->env = env;
    struct reading reading = {.spec = fresh, .error = error, .given = given};
    enum trib_status status = read_object(&reading, NULL, document, fresh);
    if (status == TRIB_OK)
        status = trib_spec_fit(fresh, error);
    if (status == TRIB_OK)
        *spec = fresh;
    else
        trib_spec_free(fresh);
    return status;
}
