/* fuzz_routes.c - a method (first byte), a path and a query (after the first '?').
 *
 * Rules: a service was found, or the refusal has words; names that came through are names; a
 * path that exists for another method says for which. */
#include "fuzz/target.h"

#include "wire/routes.h"

static void check_name(const char *name) {
    TRIB_ASSERT(name[0] == '\0' || trib_name_is_valid(name, strlen(name)));
}

static void check_target(const struct trib_target *target, enum trib_http_method method) {
    check_name(target->run);
    check_name(target->client);
    check_name(target->id);
    check_name(target->asset);
    TRIB_ASSERT(target->wait_s <= TRIB_TASK_WAIT_S_MAX);
    TRIB_ASSERT(target->is_head == (method == TRIB_HTTP_HEAD));
    TRIB_ASSERT(target->rule->method == method || (target->is_head && target->rule->has_head));
    TRIB_ASSERT(target->rule->route != TRIB_ROUTE_RUN_DELETE || target->run[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const enum trib_http_method method = (enum trib_http_method)(data[0] % 5);
    char *path = malloc(size); /* all but the first byte, and a NUL */
    TRIB_ASSERT(path != NULL);
    memcpy(path, data + 1, size - 1);
    path[size - 1] = '\0';
    char *mark = strchr(path, '?');
    const char *query = mark != NULL ? mark + 1 : "";
    if (mark != NULL) {
        *mark = '\0';
    }
    if (path[0] == '/') { /* as struct trib_http_request promises */
        struct trib_target target;
        struct trib_error error = {0};
        const enum trib_status status = trib_target_decode(method, path, query, &target, &error);
        TRIB_ASSERT(error.status == status && (status == TRIB_OK || error.text[0] != '\0'));
        TRIB_ASSERT((status == TRIB_OK) == (target.rule != NULL));
        TRIB_ASSERT((status == TRIB_EUNSUPPORTED) == (target.allow[0] != '\0'));
        if (status == TRIB_OK) {
            check_target(&target, method);
        }
    }
    free(path);
    return 0;
}
