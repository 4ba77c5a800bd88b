/* routes.h - method and target of a request -> which service is asked, with decoded names.
 *
 * One table in routes.c says for each service its path, methods, query parameters, the access it
 * needs and the body it takes; docs/protocol.md describes the same rows for people. Pure: no
 * sockets, no state. Names are percent-decoded and checked here, so that nothing behind this
 * file sees a path from outside. */
#ifndef TRIB_WIRE_ROUTES_H
#define TRIB_WIRE_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/name.h"
#include "base/status.h"
#include "wire/http.h"

#define TRIB_JSON_BODY_BYTES_MAX (1 << 20) /* docs/protocol.md section 1 */
#define TRIB_PROBE_BYTES_MAX (16 << 20)    /* the same, section 4 */
#define TRIB_TASK_WAIT_S_MAX 60

enum trib_route {
    TRIB_ROUTE_RUN_CREATE,
    TRIB_ROUTE_RUN_LIST,
    TRIB_ROUTE_RUN_STATUS,
    TRIB_ROUTE_RUN_SPEC,
    TRIB_ROUTE_RUN_PAUSE,
    TRIB_ROUTE_RUN_RESUME,
    TRIB_ROUTE_RUN_STOP,
    TRIB_ROUTE_RUN_CHANGE,
    TRIB_ROUTE_RUN_DELETE,
    TRIB_ROUTE_TOKEN_CREATE,
    TRIB_ROUTE_TOKEN_REVOKE,
    TRIB_ROUTE_MODEL_PUT,
    TRIB_ROUTE_MODEL_GET,
    TRIB_ROUTE_CLIENT_LIST,
    TRIB_ROUTE_CLIENT_JOIN,
    TRIB_ROUTE_CLIENT_REVOKE,
    TRIB_ROUTE_CLIENT_PROBE,
    TRIB_ROUTE_TASK_GET,
    TRIB_ROUTE_TASK_DECLINE,
    TRIB_ROUTE_TASK_RENEW,
    TRIB_ROUTE_UPDATE_PUT,
    TRIB_ROUTE_UPDATE_GET,
    TRIB_ROUTE_EVALUATION_PUT,
    TRIB_ROUTE_OFFER_GET,
    TRIB_ROUTE_OFFER_UPDATE_GET,
    TRIB_ROUTE_COMBINED_PUT,
    TRIB_ROUTE_EVENTS,
    TRIB_ROUTE_LEDGER,
    TRIB_ROUTE_LEDGER_HEAD,
    TRIB_ROUTE_HISTORY,
    TRIB_ROUTE_METRICS,
    TRIB_ROUTE_HEALTH,
    TRIB_ROUTE_READY,
    TRIB_ROUTE_CONSOLE,
    TRIB_ROUTE_COUNT
};

/* What a caller must prove. */
enum trib_access {
    TRIB_ACCESS_OPEN,    /* nothing: health and the console's own files */
    TRIB_ACCESS_READ,    /* nothing on loopback, else any token of the run or admin */
    TRIB_ACCESS_JOIN,    /* nothing on loopback, else join, admin or the client's own token */
    TRIB_ACCESS_CLIENT,  /* the token that joining returned */
    TRIB_ACCESS_MODEL,   /* control; a client's token when model.init is first-client */
    TRIB_ACCESS_MERGE,   /* a token of scope merge or admin, always: single updates are read */
    TRIB_ACCESS_CONTROL, /* an admin token, always */
};

enum trib_body_kind {
    TRIB_BODY_NONE,          /* no body, or an empty one */
    TRIB_BODY_JSON,          /* application/json */
    TRIB_BODY_JSON_OPTIONAL, /* application/json, or an empty body of any type */
    TRIB_BODY_TENSORS,       /* application/safetensors */
    TRIB_BODY_OCTETS,        /* application/octet-stream, which nobody keeps */
};

enum trib_version_selector { TRIB_VERSION_NUMBER, TRIB_VERSION_LATEST, TRIB_VERSION_BEST };

/* Other representations of a version (`as`), each with its own ETag. */
enum trib_representation { TRIB_AS_F32, TRIB_AS_BF16, TRIB_AS_F16 };

/* A row of the table. */
struct trib_route_rule {
    enum trib_route route;
    enum trib_http_method method;
    const char *path; /* "/v1/runs/{run}/versions/{version}" */
    enum trib_access access;
    bool has_head; /* HEAD is served too */
    enum trib_body_kind body;
    uint64_t body_bytes_max; /* 0: no body, or (tensors) bounded by the run's spec */
    uint32_t query;          /* private: set of parameters that are known here */
};

/* A decoded target. Fields that the route does not have are empty or 0. */
struct trib_target {
    const struct trib_route_rule *rule; /* NULL unless a service was found */
    bool is_head;                       /* answer with the head alone */
    char run[TRIB_NAME_BYTES];
    char client[TRIB_NAME_BYTES];
    char id[TRIB_NAME_BYTES];    /* update, evaluation, or serial of a token */
    char asset[TRIB_NAME_BYTES]; /* console file; "" is the page itself */
    enum trib_version_selector selector;
    uint64_t version;            /* for TRIB_VERSION_NUMBER */
    uint64_t index;              /* of an update in an offer */
    uint32_t wait_s;             /* task, offer: 0 .. TRIB_TASK_WAIT_S_MAX */
    uint64_t from;               /* ledger: first record */
    char after[TRIB_NAME_BYTES]; /* clients: those behind this one; "": all */
    enum trib_representation as;
    char allow[48]; /* on TRIB_EUNSUPPORTED: value of the Allow header */
};

/* Decode method, path and query as struct trib_http_request has them.
 *
 * Returns TRIB_OK and a full *target, or with the reason in error:
 *   TRIB_ENOTFOUND     404 not_found: no such path
 *   TRIB_EUNSUPPORTED  405 method: target->allow lists what the path takes
 *   TRIB_EINVALID      400 name: a name or version in the path is not valid
 *   TRIB_EMALFORMED    400 malformed: bad percent code, unknown or bad query parameter, or
 *                      DELETE without the run's name */
enum trib_status trib_target_decode(enum trib_http_method method, const char *path,
                                    const char *query, struct trib_target *target,
                                    struct trib_error *error);

/* The first row of `route`. */
const struct trib_route_rule *trib_route_rule_of(enum trib_route route);
/* "application/json"; NULL for TRIB_BODY_NONE. */
const char *trib_body_content_type(enum trib_body_kind body);
/* Does a Content-Type header (NULL: absent) name the type that `body` needs? Parameters such as
 * charset=utf-8 are allowed (RFC 9110 section 8.3.1); always true for TRIB_BODY_NONE. */
bool trib_body_accepts(enum trib_body_kind body, const char *content_type);

#endif
