/* heard.c - each reply is one loop over the keys of an object. */
#include "client/heard.h"

#include <string.h>

#include "base/json.h"

#define STRING_BYTES 513

/* Begin at the top: true when the document is an object. */
static bool open_object(struct trib_json *json, const char *bytes, size_t byte_count) {
    trib_json_init(json, bytes, byte_count);
    return trib_json_next(json) == TRIB_JSON_OBJECT;
}

/* True while there is one more key, whose value comes next. */
static bool next_key(struct trib_json *json) {
    return trib_json_next(json) == TRIB_JSON_KEY;
}

/* The last key was the last, and nothing follows the object. */
static bool is_complete(struct trib_json *json) {
    return json->kind == TRIB_JSON_OBJECT_END && trib_json_next(json) == TRIB_JSON_END;
}

static bool read_text(struct trib_json *json, char *text, size_t room) {
    return trib_json_next(json) == TRIB_JSON_STRING && trib_json_copy_text(json, text, room);
}

/* A text for people: one that does not fit is no reason to refuse the reply. */
static bool read_remark(struct trib_json *json, char *text, size_t room) {
    if (trib_json_next(json) != TRIB_JSON_STRING) {
        return false;
    }
    if (!trib_json_copy_text(json, text, room)) {
        text[0] = '\0';
    }
    return true;
}

static bool read_whole(struct trib_json *json, uint64_t *value) {
    return trib_json_next(json) == TRIB_JSON_NUMBER && trib_json_u64(json, value);
}

static bool read_number(struct trib_json *json, double *value) {
    return trib_json_next(json) == TRIB_JSON_NUMBER && trib_json_f64(json, value);
}

/* Go to the end of an array or object that has just begun. */
static bool leave(struct trib_json *json) {
    uint32_t outside = json->depth - 1;
    while (json->depth > outside) {
        if (trib_json_next(json) == TRIB_JSON_ERROR) {
            return false;
        }
    }
    return true;
}

/* --- tasks ---------------------------------------------------------------------------------- */

static bool read_kind(struct trib_json *json, enum trib_heard_kind *kind) {
    static const char *const names[] = {"train", "evaluate", "wait", "stop"};
    if (trib_json_next(json) != TRIB_JSON_STRING) {
        return false;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (trib_json_is(json, names[i])) {
            *kind = (enum trib_heard_kind)i;
            return true;
        }
    }
    return false;
}

static bool read_settings(struct trib_json *json, const char *bytes, struct trib_heard_task *task) {
    if (trib_json_next(json) != TRIB_JSON_OBJECT) {
        return false;
    }
    size_t first = trib_json_offset(json) - 1; /* the brace that was just read */
    if (!leave(json)) {
        return false;
    }
    task->settings = bytes + first;
    task->settings_bytes = trib_json_offset(json) - first;
    return true;
}

static bool read_task_field(struct trib_json *json, const char *bytes, bool *has_kind,
                            bool *has_version, struct trib_heard_task *task) {
    if (trib_json_is(json, "kind")) {
        return *has_kind = read_kind(json, &task->kind);
    }
    if (trib_json_is(json, "task")) {
        return read_text(json, task->id, sizeof task->id);
    }
    if (trib_json_is(json, "version")) {
        return *has_version = read_whole(json, &task->version);
    }
    if (trib_json_is(json, "global_step")) {
        return read_whole(json, &task->global_step);
    }
    if (trib_json_is(json, "digest")) {
        return read_text(json, task->digest, sizeof task->digest);
    }
    if (trib_json_is(json, "expected_by_s")) {
        return read_number(json, &task->expected_by_s);
    }
    if (trib_json_is(json, "after_s")) {
        return read_number(json, &task->after_s) && task->after_s >= 0;
    }
    if (trib_json_is(json, "reason")) {
        return read_remark(json, task->reason, sizeof task->reason);
    }
    if (trib_json_is(json, "settings")) {
        return read_settings(json, bytes, task);
    }
    return trib_json_skip(json);
}

bool trib_heard_task(const char *bytes, size_t byte_count, struct trib_heard_task *task) {
    struct trib_json json;
    bool has_kind = false;
    bool has_version = false;
    *task = (struct trib_heard_task){.expected_by_s = -1};
    if (!open_object(&json, bytes, byte_count)) {
        return false;
    }
    while (next_key(&json)) {
        if (!read_task_field(&json, bytes, &has_kind, &has_version, task)) {
            return false;
        }
    }
    bool is_work = task->kind == TRIB_HEARD_TRAIN || task->kind == TRIB_HEARD_EVALUATE;
    return is_complete(&json) && has_kind && (!is_work || (has_version && task->id[0] != '\0'));
}

/* --- small replies -------------------------------------------------------------------------- */

bool trib_heard_join(const char *bytes, size_t byte_count, char *token, size_t room) {
    struct trib_json json;
    bool has_token = false;
    if (!open_object(&json, bytes, byte_count)) {
        return false;
    }
    while (next_key(&json)) {
        if (trib_json_is(&json, "token")) {
            if (!read_text(&json, token, room)) {
                return false;
            }
            has_token = true;
        } else if (!trib_json_skip(&json)) {
            return false;
        }
    }
    return is_complete(&json) && has_token;
}

void trib_heard_error(const char *bytes, size_t byte_count, struct trib_heard_error *error) {
    struct trib_json json;
    bool is_fine = open_object(&json, bytes, byte_count);
    *error = (struct trib_heard_error){0};
    while (is_fine && next_key(&json)) {
        if (trib_json_is(&json, "code")) {
            is_fine = read_remark(&json, error->code, sizeof error->code);
        } else if (trib_json_is(&json, "message")) {
            is_fine = read_remark(&json, error->message, sizeof error->message);
        } else {
            is_fine = trib_json_skip(&json);
        }
    }
    if (!is_fine || !is_complete(&json)) {
        *error = (struct trib_heard_error){0};
    }
}

/* --- other people's JSON -------------------------------------------------------------------- */

bool trib_heard_is_object(const char *bytes, size_t byte_count) {
    struct trib_json json;
    return open_object(&json, bytes, byte_count) && leave(&json) &&
           trib_json_next(&json) == TRIB_JSON_END;
}

/* The value of the key `name` comes next; false when there is none. */
static bool find(struct trib_json *json, const char *object, size_t byte_count, const char *name) {
    bool is_fine = open_object(json, object, byte_count);
    while (is_fine && next_key(json)) {
        if (trib_json_is(json, name)) {
            return true;
        }
        is_fine = trib_json_skip(json);
    }
    return false;
}

bool trib_heard_number(const char *object, size_t byte_count, const char *name, double *number) {
    struct trib_json json;
    return find(&json, object, byte_count, name) && read_number(&json, number);
}

bool trib_heard_is_dropped(const char *bytes, size_t byte_count) {
    struct trib_json json;
    return bytes != NULL && find(&json, bytes, byte_count, "fate") &&
           trib_json_next(&json) == TRIB_JSON_STRING && trib_json_is(&json, "dropped");
}

bool trib_heard_strings(const char *object, size_t byte_count, const char *name,
                        bool (*visit)(void *context, const char *text), void *context) {
    struct trib_json json;
    if (!find(&json, object, byte_count, name)) {
        return true;
    }
    if (trib_json_next(&json) != TRIB_JSON_ARRAY) {
        return false;
    }
    char text[STRING_BYTES];
    while (trib_json_next(&json) == TRIB_JSON_STRING) {
        if (!trib_json_copy_text(&json, text, sizeof text) || !visit(context, text)) {
            return false;
        }
    }
    return json.kind == TRIB_JSON_ARRAY_END;
}
