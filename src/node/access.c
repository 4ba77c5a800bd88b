/* access.c - who may ask for what, judged from a request's head and the row of its route.
 *
 * Loopback must name itself in Host and may not come from a foreign web page. A token that comes
 * must be good, also where none is needed: whoever holds a dead one shall notice. What it must
 * allow is in the row of the route (wire/routes.h). */
#include "node/access.h"

#include <string.h>
#include <strings.h>

#include "node/daemon.h"
#include "wire/link.h"

const char *const trib_token_fault_names[TRIB_TOKEN_FAULT_COUNT] = {
    [TRIB_TOKEN_FAULT_NONE] = "",
    [TRIB_TOKEN_FAULT_BAD] = "bad",
    [TRIB_TOKEN_FAULT_EXPIRED] = "expired",
    [TRIB_TOKEN_FAULT_REVOKED] = "revoked",
    [TRIB_TOKEN_FAULT_FORBIDDEN] = "forbidden",
};

/* --- where from ------------------------------------------------------------------------------- */

/* The host of an authority ("localhost:7700", "[::1]", what follows "://" in a URL). */
static void copy_host(const char *authority, char *host, size_t room) {
    size_t bytes = strcspn(authority, authority[0] == '[' ? "]" : ":/");
    size_t skip = authority[0] == '[' && bytes > 0 ? 1 : 0;
    bytes -= skip;
    if (bytes >= room) {
        bytes = room - 1;
    }
    memcpy(host, authority + skip, bytes);
    host[bytes] = '\0';
}

static bool is_our_host(const struct trib_node *node, const char *authority) {
    char host[256], public_host[256];
    copy_host(authority, host, sizeof host);
    if (trib_host_is_loopback(host)) {
        return true;
    }
    const char *url = node->config.public_url;
    const char *after_scheme = url == NULL ? NULL : strstr(url, "://");
    if (after_scheme != NULL) {
        copy_host(after_scheme + 3, public_host, sizeof public_host);
        if (strcasecmp(host, public_host) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < TRIB_LISTEN_MAX && node->config.host_names[i] != NULL; i++) {
        if (strcasecmp(host, node->config.host_names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A web page on this machine's browser could reach a loopback daemon: it must name us in Host
 * (against DNS rebinding) and come from our own page (Origin). */
static bool is_from_here(struct trib_call *call, const struct trib_http_request *request) {
    if (trib_exchange_is_loopback(call->exchange) && !trib_exchange_is_unix(call->exchange) &&
        !is_our_host(call->node, request->host)) {
        trib_call_refuse(call, "host", "Host %.80s is neither loopback nor a configured name",
                         request->host);
        return false;
    }
    const char *origin = request->origin;
    const char *authority = origin == NULL ? NULL : strstr(origin, "://");
    if (origin != NULL && (authority == NULL || strcmp(authority + 3, request->host) != 0)) {
        trib_call_refuse(call, "origin", "Origin %.80s is not this daemon's", origin);
        return false;
    }
    return true;
}

/* --- the token -------------------------------------------------------------------------------- */

/* The one decision that is taken by wall time: an expiry is a promise between people. */
static bool is_expired(const struct trib_node *node, const struct trib_token *token) {
    return token->expiry != 0 && node->env->wall(node->env->context) >= (double)token->expiry;
}

static bool is_revoked(const struct trib_node *node, const struct trib_token *token) {
    const struct trib_hosted *hosted =
        token->run[0] == '\0' ? NULL : trib_node_find(node, token->run);
    return hosted != NULL && trib_revoked_has(&hosted->revoked, token);
}

/* Whoever can reach loopback may read and join without a token. A reverse proxy on this machine
 * would hand that on to everybody: so not what was forwarded, and, where the daemon is told that
 * it is known elsewhere under a public URL, nothing but its Unix socket. */
static bool is_local(const struct trib_call *call, const struct trib_http_request *request) {
    bool is_unix = trib_exchange_is_unix(call->exchange);
    bool is_here = is_unix || (trib_exchange_is_loopback(call->exchange) &&
                               call->node->config.public_url == NULL);
    return is_here && trib_http_request_field(request, "forwarded") == NULL &&
           trib_http_request_field(request, "x-forwarded-for") == NULL &&
           trib_http_request_field(request, "via") == NULL;
}

void trib_access_read(struct trib_call *call, const struct trib_http_request *request) {
    const struct trib_node *node = call->node;
    call->is_local = is_local(call, request);
    const char *field = trib_http_request_field(request, "authorization");
    if (field == NULL) {
        return;
    }
    if (strncasecmp(field, "Bearer ", 7) != 0 ||
        !trib_token_parse(node->directory.key, field + 7, strlen(field + 7), &call->token)) {
        call->fault = TRIB_TOKEN_FAULT_BAD;
    } else if (is_revoked(node, &call->token)) {
        call->fault = TRIB_TOKEN_FAULT_REVOKED;
    } else if (is_expired(node, &call->token)) {
        call->fault = TRIB_TOKEN_FAULT_EXPIRED;
    }
}

bool trib_access_was_revoked(const struct trib_call *call) {
    return call->token.scope != TRIB_TOKEN_NONE && is_revoked(call->node, &call->token);
}

void trib_access_end_revoked(struct trib_hosted *hosted) {
    for (struct trib_call *call = hosted->node->calls; call != NULL; call = call->next) {
        if (call->hosted != hosted || !trib_access_was_revoked(call)) {
            continue;
        }
        enum trib_route route = call->target.rule->route;
        if (route == TRIB_ROUTE_TASK_GET && call->waits) {
            struct trib_event leave = {.kind = TRIB_EVENT_LEAVE,
                                       .request = (trib_request)(uintptr_t)call};
            call->waits = false;
            trib_hosted_feed(hosted, &leave);
            trib_call_refuse(call, "revoked", "the token has been revoked");
        } else if (call->offer_until > 0) {
            call->offer_until = 0;
            trib_call_refuse(call, "revoked", "the token has been revoked");
        } else if (route == TRIB_ROUTE_EVENTS) {
            trib_exchange_abort(call->exchange);
        }
    }
}

/* Local users have names of their own in the kernel; over a Unix socket nobody guesses unseen. */
static uint32_t count_attempt(struct trib_call *call) {
    struct trib_node *node = call->node;
    if (trib_exchange_is_unix(call->exchange)) {
        return 0;
    }
    return trib_attempts_add(&node->attempts, trib_exchange_peer(call->exchange),
                             trib_node_now(node));
}

static bool has_good_token(struct trib_call *call) {
    switch (call->fault) {
    case TRIB_TOKEN_FAULT_BAD:
        call->retry_after_s = count_attempt(call);
        if (call->retry_after_s > 0) {
            trib_call_refuse(call, "attempts", "too many bad tokens from this address");
        } else {
            trib_call_refuse(call, "token", "the token is not one of this daemon's");
        }
        break;
    case TRIB_TOKEN_FAULT_EXPIRED:
        trib_call_refuse(call, "expired", "the token has expired; ask for a new one");
        break;
    case TRIB_TOKEN_FAULT_REVOKED:
        trib_call_refuse(call, "revoked", "the token has been revoked");
        break;
    default:
        return true;
    }
    call->node->token_faults[call->fault]++;
    return false;
}

/* --- what it allows --------------------------------------------------------------------------- */

static bool may_join(const struct trib_call *call) {
    const struct trib_token *token = &call->token;
    const char *client = call->target.client;
    if (token->scope == TRIB_TOKEN_CLIENT && strcmp(token->subject, client) == 0) {
        return strcmp(token->run, call->target.run) == 0;
    }
    if (call->hosted != NULL && trib_revoked_times(&call->hosted->revoked, client) > 0) {
        return false; /* let in again by the operator only, loopback or not */
    }
    bool is_join = token->scope == TRIB_TOKEN_JOIN && strcmp(token->run, call->target.run) == 0 &&
                   (token->subject[0] == '\0' || strcmp(token->subject, client) == 0);
    return is_join || call->is_local;
}

static bool is_allowed(const struct trib_call *call) {
    const struct trib_token *token = &call->token;
    enum trib_access access = call->target.rule->access;
    bool is_of_run = token->scope != TRIB_TOKEN_NONE && strcmp(token->run, call->target.run) == 0;
    if (token->scope == TRIB_TOKEN_ADMIN && (token->run[0] == '\0' || is_of_run)) {
        return access != TRIB_ACCESS_CLIENT;
    }
    bool is_client = is_of_run && token->scope == TRIB_TOKEN_CLIENT;
    switch (access) {
    case TRIB_ACCESS_OPEN:
        return true;
    case TRIB_ACCESS_READ:
        return is_of_run || call->is_local;
    case TRIB_ACCESS_JOIN:
        return may_join(call);
    case TRIB_ACCESS_CLIENT:
        return is_client;
    case TRIB_ACCESS_MODEL:
        return is_client && call->hosted != NULL &&
               call->hosted->spec->model.init == TRIB_INIT_FIRST_CLIENT;
    case TRIB_ACCESS_MERGE:
        return is_of_run && token->scope == TRIB_TOKEN_MERGE;
    default:
        return false;
    }
}

static bool is_permitted(struct trib_call *call) {
    if (is_allowed(call)) {
        return true;
    }
    static const char *const needs[] = {
        [TRIB_ACCESS_OPEN] = "nothing",
        [TRIB_ACCESS_READ] = "a token of this run",
        [TRIB_ACCESS_JOIN] = "a join token for this client of the run, or the admin token",
        [TRIB_ACCESS_CLIENT] = "the token that joining this run returned",
        [TRIB_ACCESS_MODEL] = "the admin token",
        [TRIB_ACCESS_MERGE] = "a token of scope merge for this run, or the admin token",
        [TRIB_ACCESS_CONTROL] = "the admin token (file admin.token in the data directory)",
    };
    bool has_token = call->token.scope != TRIB_TOKEN_NONE;
    if (has_token) {
        call->node->token_faults[TRIB_TOKEN_FAULT_FORBIDDEN]++;
    }
    trib_call_refuse(call, has_token ? "forbidden" : "token", "this needs %s",
                     needs[call->target.rule->access]);
    return false;
}

bool trib_access_is_granted(struct trib_call *call, const struct trib_http_request *request) {
    return is_from_here(call, request) && (call->target.rule->access == TRIB_ACCESS_OPEN ||
                                           (has_good_token(call) && is_permitted(call)));
}
