/* ledger_pages.c - GET .../ledger?from=N until a page is empty. */
#include "cli/ledger_pages.h"

#include <inttypes.h>
#include <string.h>

/* *next is the index behind the last record of the page. */
static enum trib_exit visit_page(const struct trib_cli *cli, char *page, uint64_t *next,
                                 trib_ledger_visit *visit, void *context) {
    char *rest = NULL;
    for (char *line = strtok_r(page, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        json_t *document = json_loads(line, 0, NULL);
        const json_t *index = json_object_get(document, "index");
        if (!json_is_integer(index) || (uint64_t)json_integer_value(index) != *next) {
            json_decref(document);
            return trib_cli_fail(cli, TRIB_EXIT_FAILED,
                                 "record %" PRIu64 " is missing or makes no sense", *next);
        }
        ++*next;
        visit(context, line, document);
        json_decref(document);
    }
    return TRIB_EXIT_OK;
}

enum trib_exit trib_ledger_pages(struct trib_remote *remote, const char *run, uint64_t from,
                                 trib_ledger_visit *visit, void *context) {
    uint64_t next = from, before;
    enum trib_exit result = TRIB_EXIT_OK;
    do {
        char rest[64], path[TRIB_REMOTE_PATH_BYTES];
        const struct trib_remote_request request = {.method = "GET", .path = path};
        struct trib_error error = {0};
        char *page;
        size_t count;
        before = next;
        (void)snprintf(rest, sizeof rest, "/ledger?from=%" PRIu64, next);
        result = trib_remote_run_path(remote->cli, run, rest, path);
        if (result == TRIB_EXIT_OK) {
            result = trib_remote_send(remote, &request);
        }
        if (result != TRIB_EXIT_OK) {
            return result;
        }
        if (trib_http_read_all(remote->http, TRIB_REMOTE_DOCUMENT_BYTES_MAX, &page, &count,
                               &error) != TRIB_OK) {
            return trib_remote_fail(remote, &error);
        }
        result = visit_page(remote->cli, page, &next, visit, context);
        trib_release(remote->cli->env, page, count + 1, 1);
    } while (result == TRIB_EXIT_OK && next > before); /* an empty page is the end */
    return result;
}
