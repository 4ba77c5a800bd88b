/* routes.c - the table of services and the decoding of request targets.
 *
 * A target is split at '/' into segments; each is percent-decoded by itself (RFC 3986 section
 * 2.4: decode after splitting, so that %2F never makes a new segment) and matched against the
 * rows. Names are judged only once the shape of a path is known, so that a wrong name is told apart
 * from a path that does not exist. */
#include "wire/routes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "wire/number.h"

#define SEGMENTS_MAX 6
#define SEGMENT_BYTES 192 /* longer ones are no name and no word of ours */

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { QUERY_NAME, QUERY_WAIT, QUERY_FROM, QUERY_AS, QUERY_AFTER, QUERY_COUNT };
static const char *const query_names[QUERY_COUNT] = {"name", "wait", "from", "as", "after"};
#define TAKES(parameter) (1u << QUERY_##parameter)

/* What a row says beyond path and access. HEAD_TOO is for replies that cost nothing to make
 * twice; a task or an event stream has no head worth asking for. */
#define HEAD_TOO .has_head = true
#define QUERY(parameter) .query = TAKES(parameter)
#define NO_BODY .body = TRIB_BODY_NONE
#define JSON .body = TRIB_BODY_JSON, .body_bytes_max = TRIB_JSON_BODY_BYTES_MAX
#define JSON_OR_NONE .body = TRIB_BODY_JSON_OPTIONAL, .body_bytes_max = TRIB_JSON_BODY_BYTES_MAX
#define TENSORS .body = TRIB_BODY_TENSORS
#define OCTETS .body = TRIB_BODY_OCTETS, .body_bytes_max = TRIB_PROBE_BYTES_MAX

#define ROW(service, verb, where, needs, ...)                                       \
    {                                                                               \
        .route = TRIB_ROUTE_##service, .method = TRIB_HTTP_##verb, .path = (where), \
        .access = TRIB_ACCESS_##needs, __VA_ARGS__                                  \
    }
#define RUN "/v1/runs/{run}"

static const struct trib_route_rule rules[] = {
    ROW(RUN_CREATE, POST, "/v1/runs", CONTROL, JSON),
    ROW(RUN_LIST, GET, "/v1/runs", READ, HEAD_TOO),
    ROW(RUN_STATUS, GET, RUN, READ, HEAD_TOO),
    ROW(RUN_CHANGE, PATCH, RUN, CONTROL, JSON),
    ROW(RUN_DELETE, DELETE, RUN, CONTROL, QUERY(NAME)),
    ROW(RUN_SPEC, GET, RUN "/spec", READ, HEAD_TOO),
    ROW(RUN_PAUSE, POST, RUN "/pause", CONTROL, NO_BODY),
    ROW(RUN_RESUME, POST, RUN "/resume", CONTROL, NO_BODY),
    ROW(RUN_STOP, POST, RUN "/stop", CONTROL, NO_BODY),
    ROW(TOKEN_CREATE, POST, RUN "/tokens", CONTROL, JSON),
    ROW(TOKEN_REVOKE, DELETE, RUN "/tokens/{serial}", CONTROL, NO_BODY),
    ROW(MODEL_GET, GET, RUN "/versions/{version}", READ, HEAD_TOO, QUERY(AS)),
    ROW(MODEL_PUT, PUT, RUN "/versions/0", MODEL, TENSORS),
    ROW(CLIENT_LIST, GET, RUN "/clients", READ, HEAD_TOO, QUERY(AFTER)),
    ROW(CLIENT_JOIN, PUT, RUN "/clients/{client}", JOIN, JSON_OR_NONE),
    ROW(CLIENT_REVOKE, DELETE, RUN "/clients/{client}", CONTROL, NO_BODY),
    ROW(CLIENT_PROBE, PUT, RUN "/clients/{client}/probe", JOIN, OCTETS),
    ROW(TASK_GET, GET, RUN "/task", CLIENT, QUERY(WAIT)),
    ROW(TASK_DECLINE, POST, RUN "/task/decline", CLIENT, JSON),
    ROW(TASK_RENEW, POST, RUN "/task/renew", CLIENT, JSON),
    ROW(UPDATE_GET, GET, RUN "/updates/{id}", CLIENT, HEAD_TOO),
    ROW(UPDATE_PUT, PUT, RUN "/updates/{id}", CLIENT, TENSORS),
    ROW(EVALUATION_PUT, PUT, RUN "/evaluations/{id}", CLIENT, JSON),
    ROW(OFFER_GET, GET, RUN "/merge", MERGE, QUERY(WAIT)),
    ROW(OFFER_UPDATE_GET, GET, RUN "/merge/{number}/{index}", MERGE, NO_BODY),
    ROW(COMBINED_PUT, PUT, RUN "/merge/{number}", MERGE, TENSORS),
    ROW(EVENTS, GET, RUN "/events", READ, NO_BODY),
    ROW(LEDGER, GET, RUN "/ledger", READ, HEAD_TOO, QUERY(FROM)),
    ROW(LEDGER_HEAD, GET, RUN "/ledger/head", READ, NO_BODY),
    ROW(HISTORY, GET, RUN "/history", READ, HEAD_TOO),
    ROW(METRICS, GET, "/metrics", READ, HEAD_TOO),
    ROW(HEALTH, GET, "/healthz", OPEN, HEAD_TOO),
    ROW(READY, GET, "/readyz", OPEN, HEAD_TOO),
    ROW(CONSOLE, GET, "/", OPEN, HEAD_TOO),
    ROW(CONSOLE, GET, "/assets/{asset}", OPEN, HEAD_TOO),
};

const struct trib_route_rule *trib_route_rule_of(enum trib_route route) {
    for (size_t index = 0; index < COUNT(rules); index++) {
        if (rules[index].route == route)
            return &rules[index];
    }
    return NULL;
}

/* --- percent codes -------------------------------------------------------------------------- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum decoded { DECODED, DECODED_TOO_LONG, DECODED_BADLY };

/* Bytes [from, limit) into text[room], NUL-terminated. Too long: cut, and told so. */
static enum decoded decode_percent(const char *from, const char *limit, char *text, size_t room) {
    size_t count = 0;
    bool is_cut = false;
    while (from < limit) {
        char c = *from++;
        if (c == '%') {
            int high = limit - from >= 2 ? hex_digit(from[0]) : -1;
            int low = limit - from >= 2 ? hex_digit(from[1]) : -1;
            if (high < 0 || low < 0)
                return DECODED_BADLY;
            c = (char)(high * 16 + low);
            from += 2;
        }
        if (c == '\0')
            return DECODED_BADLY;
        if (count + 1 < room)
            text[count++] = c;
        else
            is_cut = true;
    }
    text[count] = '\0';
    return is_cut ? DECODED_TOO_LONG : DECODED;
}

/* --- path ----------------------------------------------------------------------------------- */

struct path {
    char segments[SEGMENTS_MAX][SEGMENT_BYTES];
    size_t count; /* SEGMENTS_MAX + 1: too many for any row */
};

/* "/" is one empty segment. False: a malformed percent code. */
static bool split_path(const char *from, const char *limit, struct path *path) {
    path->count = 0;
    while (from < limit) {
        const char *start = from + 1; /* after the slash */
        const char *slash = memchr(start, '/', (size_t)(limit - start));
        from = slash ? slash : limit;
        if (path->count == SEGMENTS_MAX) {
            path->count++;
            return true;
        }
        if (decode_percent(start, from, path->segments[path->count++], SEGMENT_BYTES) ==
            DECODED_BADLY)
            return false;
    }
    return true;
}

/* Next segment of a pattern; NULL after the last. */
static const char *pattern_next(const char **pattern, size_t *byte_count) {
    if (!**pattern)
        return NULL;
    const char *start = *pattern + 1;
    *byte_count = strcspn(start, "/");
    *pattern = start + *byte_count;
    return start;
}

/* Same number of segments, and every literal one equal. */
static bool has_shape(const char *pattern, const struct path *path) {
    const char *segment;
    size_t byte_count;
    size_t index = 0;
    for (; (segment = pattern_next(&pattern, &byte_count)); index++) {
        if (index >= path->count || index >= SEGMENTS_MAX)
            return false;
        const char *actual = path->segments[index];
        bool is_name = segment[0] == '{';
        if (!is_name && (strlen(actual) != byte_count || memcmp(actual, segment, byte_count) != 0))
            return false;
    }
    return index == path->count;
}

static bool read_version(const char *text, struct trib_target *target) {
    if (strcmp(text, "latest") == 0)
        target->selector = TRIB_VERSION_LATEST;
    else if (strcmp(text, "best") == 0)
        target->selector = TRIB_VERSION_BEST;
    else
        return trib_number_read(text, &target->version);
    return true;
}

static bool read_name(const char *text, char name[TRIB_NAME_BYTES]) {
    size_t byte_count = strlen(text);
    if (!trib_name_is_valid(text, byte_count))
        return false;
    memcpy(name, text, byte_count + 1);
    return true;
}

/* One {variable} of the pattern. */
static enum trib_status read_variable(const char *variable, const char *text,
                                      struct trib_target *target, struct trib_error *error) {
    const struct {
        const char *variable;
        char *name;
    } names[] = {
        {"{run}", target->run},   {"{client}", target->client}, {"{id}", target->id},
        {"{serial}", target->id}, {"{asset}", target->asset},
    };
    for (size_t index = 0; index < COUNT(names); index++) {
        if (strncmp(variable, names[index].variable, strlen(names[index].variable)) == 0)
            return read_name(text, names[index].name)
                       ? TRIB_OK
                       : trib_error_set(error, TRIB_EINVALID,
                                        "%s in the path: a name is 1 to 64 characters of A-Z a-z "
                                        "0-9 . _ -, the first a letter or digit",
                                        names[index].variable);
    }
    const struct {
        const char *variable;
        uint64_t *number;
    } numbers[] = {{"{number}", &target->version}, {"{index}", &target->index}};
    for (size_t index = 0; index < COUNT(numbers); index++) {
        if (strncmp(variable, numbers[index].variable, strlen(numbers[index].variable)) == 0)
            return trib_number_read(text, numbers[index].number)
                       ? TRIB_OK
                       : trib_error_set(error, TRIB_EINVALID, "%s in the path: a number",
                                        numbers[index].variable);
    }
    return read_version(text, target)
               ? TRIB_OK
               : trib_error_set(error, TRIB_EINVALID,
                                "{version} in the path: a number, latest or best");
}

static enum trib_status read_variables(const char *pattern, const struct path *path,
                                       struct trib_target *target, struct trib_error *error) {
    enum trib_status status = TRIB_OK;
    const char *segment;
    size_t byte_count;
    for (size_t index = 0; status == TRIB_OK && (segment = pattern_next(&pattern, &byte_count));
         index++) {
        if (segment[0] == '{')
            status = read_variable(segment, path->segments[index], target, error);
    }
    return status;
}

/* --- method --------------------------------------------------------------------------------- */

static bool takes_method(const struct trib_route_rule *rule, enum trib_http_method method) {
    return rule->method == method || (rule->has_head && method == TRIB_HTTP_HEAD);
}

/* "GET, HEAD, PUT" of every row of this shape. */
static void list_methods(const struct path *path, char *allow, size_t room) {
    size_t used = 0;
    allow[0] = '\0';
    for (size_t index = 0; index < COUNT(rules); index++) {
        if (!has_shape(rules[index].path, path))
            continue;
        used += (size_t)snprintf(allow + used, room - used, "%s%s%s", used > 0 ? ", " : "",
                                 trib_http_method_name(rules[index].method),
                                 rules[index].has_head ? ", HEAD" : "");
        TRIB_ASSERT(used < room);
    }
}

static enum trib_status find_rule(enum trib_http_method method, const struct path *path,
                                  struct trib_target *target, struct trib_error *error) {
    bool is_known = false;
    for (size_t index = 0; index < COUNT(rules); index++) {
        if (!has_shape(rules[index].path, path))
            continue;
        is_known = true;
        if (takes_method(&rules[index], method)) {
            target->rule = &rules[index];
            target->is_head = method == TRIB_HTTP_HEAD;
            return TRIB_OK;
        }
    }
    if (!is_known)
        return trib_error_set(error, TRIB_ENOTFOUND, "no such path");
    list_methods(path, target->allow, sizeof target->allow);
    return trib_error_set(error, TRIB_EUNSUPPORTED, "%s is not possible here, only %s",
                          trib_http_method_name(method), target->allow);
}

/* --- query ---------------------------------------------------------------------------------- */

static enum trib_status read_parameter(int parameter, const char *value, struct trib_target *target,
                                       struct trib_error *error) {
    uint64_t number;
    switch (parameter) {
    case QUERY_NAME:
        if (strcmp(value, target->run) == 0)
            return TRIB_OK;
        return trib_error_set(error, TRIB_EMALFORMED, "name: must repeat the name of the run, %s",
                              target->run);
    case QUERY_WAIT:
        if (!trib_number_read(value, &number) || number > TRIB_TASK_WAIT_S_MAX)
            return trib_error_set(error, TRIB_EMALFORMED, "wait: whole seconds from 0 to %d",
                                  TRIB_TASK_WAIT_S_MAX);
        target->wait_s = (uint32_t)number;
        return TRIB_OK;
    case QUERY_FROM:
        if (!trib_number_read(value, &target->from))
            return trib_error_set(error, TRIB_EMALFORMED, "from: the number of a record");
        return TRIB_OK;
    case QUERY_AFTER:
        return read_name(value, target->after)
                   ? TRIB_OK
                   : trib_error_set(error, TRIB_EMALFORMED, "after: the name of a client");
    default:
        break;
    }
    static const char *const representations[] = {"f32", "bf16", "f16"};
    for (size_t index = 0; index < COUNT(representations); index++) {
        if (strcmp(value, representations[index]) == 0) {
            target->as = (enum trib_representation)index;
            return TRIB_OK;
        }
    }
    return trib_error_set(error, TRIB_EMALFORMED, "as: one of f32, bf16, f16");
}

static enum trib_status refuse_parameter(const struct trib_route_rule *rule, const char *name,
                                         struct trib_error *error) {
    for (int index = 0; index < QUERY_COUNT; index++) {
        if ((rule->query >> index & 1) && trib_text_distance(name, query_names[index]) <= 2)
            return trib_error_set(error, TRIB_EMALFORMED,
                                  "query parameter %.40s is not known here; did you mean %s?", name,
                                  query_names[index]);
    }
    return trib_error_set(error, TRIB_EMALFORMED, "query parameter %.40s is not known here", name);
}

/* One "name=value" of [from, limit). */
static enum trib_status read_pair(const char *from, const char *limit, uint32_t *seen,
                                  struct trib_target *target, struct trib_error *error) {
    char name[SEGMENT_BYTES];
    char value[SEGMENT_BYTES];
    const char *equals = memchr(from, '=', (size_t)(limit - from));
    if (decode_percent(from, equals ? equals : limit, name, sizeof name) != DECODED ||
        decode_percent(equals ? equals + 1 : limit, limit, value, sizeof value) != DECODED)
        return trib_error_set(error, TRIB_EMALFORMED, "the query is malformed or too long");
    for (int index = 0; index < QUERY_COUNT; index++) {
        uint32_t bit = 1u << index;
        if (!(target->rule->query & bit) || strcmp(name, query_names[index]) != 0)
            continue;
        if (*seen & bit)
            return trib_error_set(error, TRIB_EMALFORMED, "query parameter %s is given twice",
                                  name);
        *seen |= bit;
        return read_parameter(index, value, target, error);
    }
    return refuse_parameter(target->rule, name, error);
}

static enum trib_status read_query(const char *query, struct trib_target *target,
                                   struct trib_error *error) {
    const char *from = query;
    const char *limit = query + strlen(query);
    uint32_t seen = 0;
    while (from < limit) {
        const char *ampersand = memchr(from, '&', (size_t)(limit - from));
        const char *end = ampersand ? ampersand : limit;
        if (end > from) { /* an empty pair ("a=1&&b=2", "?") says nothing */
            enum trib_status status = read_pair(from, end, &seen, target, error);
            if (status != TRIB_OK)
                return status;
        }
        from = ampersand ? ampersand + 1 : limit;
    }
    if ((target->rule->query & TAKES(NAME)) && !(seen & TAKES(NAME)))
        return trib_error_set(error, TRIB_EMALFORMED,
                              "to remove a run for good, repeat its name: ?name=%s", target->run);
    return TRIB_OK;
}

/* --- target --------------------------------------------------------------------------------- */

enum trib_status trib_target_decode(enum trib_http_method method, const char *path,
                                    const char *query, struct trib_target *target,
                                    struct trib_error *error) {
    struct path split;
    memset(target, 0, sizeof *target);
    if (!split_path(path, path + strlen(path), &split))
        return trib_error_set(error, TRIB_EMALFORMED, "bad percent code in the path");
    enum trib_status status = find_rule(method, &split, target, error);
    if (status == TRIB_OK)
        status = read_variables(target->rule->path, &split, target, error);
    if (status == TRIB_OK)
        status = read_query(query, target, error);
    if (status != TRIB_OK)
        target->rule = NULL;
    return status;
}

/* --- bodies --------------------------------------------------------------------------------- */

const char *trib_body_content_type(enum trib_body_kind body) {
    switch (body) {
    case TRIB_BODY_NONE:
        return NULL;
    case TRIB_BODY_JSON:
    case TRIB_BODY_JSON_OPTIONAL:
        return "application/json";
    case TRIB_BODY_TENSORS:
        return "application/safetensors";
    case TRIB_BODY_OCTETS:
        return "application/octet-stream";
    }
    return NULL;
}

bool trib_body_accepts(enum trib_body_kind body, const char *content_type) {
    const char *expected = trib_body_content_type(body);
    if (!expected)
        return true;
    size_t byte_count = strlen(expected);
    if (!content_type || strncasecmp(content_type, expected, byte_count) != 0)
        return false;
    const char *rest = content_type + byte_count;
    rest += strspn(rest, " \t");
    return *rest == '\0' || *rest == ';';
}
